// What one instruction set provides. One file each: portable, avx2, avx512, vnni, sdot, smmla.
#pragma once
#include <stdint.h>

namespace curtain {

constexpr int64_t kGroup = 32;   // columns that share a scale
constexpr int64_t kPanel = 8;    // rows packed together
constexpr int64_t kBlock = 144;  // bytes of one group of one panel
constexpr int64_t kTail = 64;    // bytes after a panel's blocks: 8 row sums, 8 biases, float32

// Activations of some tokens, quantized: x ~ scale * value, value in -127..127.
struct Quantized {
    const int8_t *values;  // [tokens, columns]
    const float *scales;   // [tokens, columns / 32]
    const int32_t *sums;   // [tokens, columns / 32]: of a group's values; for kernels with unsigned weights
};

struct Kernels {
    const char *name;
    bool (*supported)();

    // scale = max|x| / 127 of a group (0 for a group of zeros); value = x * (127 / max|x|) rounded to nearest,
    // ties to even. Bit-equal in every instruction set.
    void (*quantize)(const float *x, int64_t tokens, int64_t columns, int8_t *values, float *scales, int32_t *sums);

    // y[t * stride + 8 p + r] for `panels` panels. Bit-equal in every instruction set: per row and token, groups
    // in order, sum = fma(float(integer dot product), weight_scale * activation_scale, sum), starting at 0; then
    // + bias.
    void (*matmul)(const uint8_t *packed, int64_t columns, int64_t panels, Quantized x, int64_t tokens, float *y,
                   int64_t stride);

    // The glue, from glue.h compiled for this instruction set.
    const struct Glue *glue;
};

extern const Kernels portable;
#if defined(__x86_64__)
extern const Kernels avx2, avx512, vnni;
#elif defined(__aarch64__)
extern const Kernels sdot, smmla;
#endif

}  // namespace curtain
