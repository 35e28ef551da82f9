// Quantizes activations to int8. One source for every instruction set: the compiler vectorises it for each file
// that includes it, and each step is exact or rounded once, so the bits are the same everywhere.
#pragma once
#include <stdint.h>
#include <string.h>

#include "kernels.h"

namespace curtain {
namespace {  // a copy per file: one linked copy might hold instructions that this CPU lacks

// Finite groups as kernels.h says. Groups so small that 127 / max|x| overflows (max|x| under about 3.7e-37) count
// as zeros. An infinity or a NaN gets scale NaN and values 0, so it reaches every result and is noticed.
void quantize(const float *x, int64_t tokens, int64_t columns, int8_t *values, float *scales, int32_t *sums) {
    constexpr uint32_t kInfinity = 0x7f800000, kNaN = 0x7fc00000;
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: a sum with it is rounded to an integer, ties to even
    constexpr int32_t kRoundBits = 0x4b400000;
    for (int64_t group = 0; group < tokens * columns / kGroup; group++, x += kGroup, values += kGroup) {
        uint32_t bits[kGroup], largest = 0;  // |x| orders as its bits do, NaN above all
        memcpy(bits, x, sizeof bits);
        for (int i = 0; i < kGroup; i++) {
            const uint32_t magnitude = bits[i] & 0x7fffffff;
            largest = magnitude > largest ? magnitude : largest;
        }
        float maximum, scale, inverse;
        memcpy(&maximum, &largest, sizeof maximum);
        scale = maximum / 127.0f;
        inverse = largest ? 127.0f / maximum : 0.0f;
        uint32_t inverse_bits;
        memcpy(&inverse_bits, &inverse, sizeof inverse_bits);
        if (largest >= kInfinity || inverse_bits >= kInfinity) {
            const uint32_t replaced = largest >= kInfinity ? kNaN : 0;
            memcpy(&scale, &replaced, sizeof scale);
            memset(values, 0, kGroup);
            scales[group] = scale;
            sums[group] = 0;
            continue;
        }
        int32_t sum = 0;
        for (int i = 0; i < kGroup; i++) {
            const float shifted = x[i] * inverse + kRound;
            int32_t value;
            memcpy(&value, &shifted, sizeof value);
            value -= kRoundBits;
            values[i] = static_cast<int8_t>(value);
            sum += value;
        }
        scales[group] = scale;
        sums[group] = sum;
    }
}

}  // namespace
}  // namespace curtain
