// The vector steps between matrix products, compiled for each instruction set. A file for one includes this after
// kernels.h and names the result in its table:
//
//     #include "glue.h"
//     const Kernels avx2 = {"avx2", supported, quantize, matmul, &glue};
//
// Everything has internal linkage, so the copies don't clash. Every sum has an order of its own making: no result
// depends on the neighbours, the chunk or the thread.
#pragma once
#include "attention.h"
#include "kernels.h"
#include "steps.h"
#include "vector.h"

namespace curtain::steps {
namespace {

// The layout is layout.py's.
void gather(const uint8_t *packed, int64_t columns, int64_t row, float *x) {
    const int64_t groups = columns / kGroup;
    packed += row / kPanel * (groups * kBlock + kTail);
    row %= kPanel;
    for (int64_t group = 0; group < groups; group++, packed += kBlock, x += kGroup) {
        uint16_t half;
        memcpy(&half, packed + 128 + 2 * row, sizeof half);
        const uint32_t bits = static_cast<uint32_t>(half) << 16;
        float scale;
        memcpy(&scale, &bits, sizeof scale);
        for (int64_t part = 0; part < 2; part++) {
            for (int64_t i = 0; i < 8; i++) {
                const uint8_t byte = packed[64 * part + 8 * row + i];
                x[8 * part + i] = static_cast<float>(((byte & 15) ^ 8) - 8) * scale;
                x[16 + 8 * part + i] = static_cast<float>(((byte >> 4) ^ 8) - 8) * scale;
            }
        }
    }
}

void norm(const float *x, const float *weight, int64_t size, float epsilon, float *y) {
    V8 sums[4] = {};
    int64_t i = 0;
    for (; i + 32 <= size; i += 32) {
        for (int j = 0; j < 4; j++) sums[j] = fma8(load8(x + i + 8 * j), load8(x + i + 8 * j), sums[j]);
    }
    for (; i < size; i += 8) sums[0] = fma8(load8(x + i), load8(x + i), sums[0]);
    const float mean = sum8((sums[0] + sums[1]) + (sums[2] + sums[3])) / static_cast<float>(size);
    const float scale = 1.0f / __builtin_sqrtf(mean + epsilon);
    for (i = 0; i < size; i += 8) store8(y + i, load8(x + i) * scale * load8(weight + i));
}

void add(const float *y, int64_t tokens, int64_t size, int64_t stride, float *x) {
    for (int64_t t = 0; t < tokens; t++, x += stride, y += stride) {
        for (int64_t i = 0; i < size; i++) x[i] += y[i];
    }
}

void swiglu(const float *gate, const float *up, int64_t size, float *y) {
    for (int64_t i = 0; i < size; i += 8) {
        const V8 g = load8(gate + i);
        store8(y + i, g / (exp8(-g) + 1.0f) * load8(up + i));
    }
}

void rotate(float *x, const float *cosines, const float *sines, int64_t head_dim, float scale) {
    const int64_t half = head_dim / 2;
    for (int64_t i = 0; i < half; i++) {
        const float a = x[i], b = x[half + i], cosine = cosines[i], sine = sines[i];
        x[i] = (a * cosine - b * sine) * scale;
        x[half + i] = (b * cosine + a * sine) * scale;
    }
}

void halve(const float *x, int64_t size, uint16_t *y) {
    for (int64_t i = 0; i < size; i += 8) to_half8(load8(x + i), y + i);
}

}  // namespace
}  // namespace curtain::steps

namespace curtain {
namespace {

const Glue glue = {steps::gather, steps::norm,         steps::add,    steps::swiglu, steps::rotate,
                   steps::halve,  steps::attend_block, steps::attend, steps::combine};

}  // namespace
}  // namespace curtain
