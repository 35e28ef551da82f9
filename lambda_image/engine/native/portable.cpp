// Plain C++ for any CPU: the fallback, and the definition that the other kernels are tested against.
#include "kernels.h"
#include "glue.h"
#include "quantize.h"

namespace curtain {
namespace {

bool supported() { return true; }

float load(const uint8_t *bytes) {
    float value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

float bfloat16(const uint8_t *bytes) {
    const uint32_t bits = static_cast<uint32_t>(bytes[0]) << 16 | static_cast<uint32_t>(bytes[1]) << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int32_t weight(int nibble) { return (nibble ^ 8) - 8; }

// One group of one row; layout.py has the order of the nibbles.
int32_t dot(const uint8_t *row, const int8_t *x) {
    int32_t sum = 0;
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < 8; i++) {
            const uint8_t byte = row[64 * half + i];
            sum += weight(byte & 15) * x[8 * half + i] + weight(byte >> 4) * x[16 + 8 * half + i];
        }
    }
    return sum;
}

void matmul(const uint8_t *packed, int64_t columns, int64_t panels, Quantized x, int64_t tokens, float *y,
            int64_t stride) {
    const int64_t groups = columns / kGroup, bytes = groups * kBlock + kTail;
    for (int64_t panel = 0; panel < panels; panel++, packed += bytes) {
        const uint8_t *biases = packed + groups * kBlock + kTail / 2;
        for (int64_t token = 0; token < tokens; token++) {
            for (int64_t row = 0; row < kPanel; row++) {
                float sum = 0.0f;
                for (int64_t group = 0; group < groups; group++) {
                    const uint8_t *block = packed + group * kBlock;
                    const int32_t product = dot(block + 8 * row, x.values + token * columns + group * kGroup);
                    const float scale = bfloat16(block + 128 + 2 * row) * x.scales[token * groups + group];
                    sum = __builtin_fmaf(static_cast<float>(product), scale, sum);
                }
                y[token * stride + panel * kPanel + row] = sum + load(biases + 4 * row);
            }
        }
    }
}

}  // namespace

const Kernels portable = {"portable", supported, quantize, matmul, &glue};

}  // namespace curtain
