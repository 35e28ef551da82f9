// The single steps, for tests and benches.
#include <stdlib.h>

#include "curtain.h"
#include "dispatch.h"

using namespace curtain;

int32_t curtain_abi(void) { return CURTAIN_ABI; }

const char *curtain_isa(int32_t index) {
    const Kernels *kernels = index < 0 ? nullptr : available(index);
    return kernels ? kernels->name : nullptr;
}

int32_t curtain_quantize(const char *isa, const float *x, int64_t tokens, int64_t columns, int8_t *values,
                         float *scales) {
    const Kernels *kernels = find_kernels(isa);
    if (!kernels) return -1;
    int32_t *sums = static_cast<int32_t *>(malloc(static_cast<size_t>(tokens * columns / kGroup) * sizeof *sums));
    if (!sums) return -2;
    kernels->quantize(x, tokens, columns, values, scales, sums);
    free(sums);
    return 0;
}

int32_t curtain_matmul(const char *isa, CurtainMatrix matrix, const int8_t *values, const float *scales,
                       int64_t tokens, float *y) {
    const Kernels *kernels = find_kernels(isa);
    if (!kernels) return -1;
    const int64_t groups = matrix.columns / kGroup, panels = (matrix.rows + kPanel - 1) / kPanel;
    int32_t *sums = static_cast<int32_t *>(malloc(static_cast<size_t>(tokens * groups) * sizeof *sums));
    float *padded = static_cast<float *>(malloc(static_cast<size_t>(tokens * panels * kPanel) * sizeof *padded));
    if (sums && padded) {
        for (int64_t i = 0; i < tokens * groups; i++) {
            sums[i] = 0;
            for (int64_t j = 0; j < kGroup; j++) sums[i] += values[i * kGroup + j];
        }
        kernels->matmul(matrix.packed, matrix.columns, panels, {values, scales, sums}, tokens, padded,
                        panels * kPanel);
        for (int64_t t = 0; t < tokens; t++) {
            for (int64_t row = 0; row < matrix.rows; row++) {
                y[t * matrix.rows + row] = padded[t * panels * kPanel + row];
            }
        }
    }
    const int32_t result = sums && padded ? 0 : -2;
    free(sums);
    free(padded);
    return result;
}
