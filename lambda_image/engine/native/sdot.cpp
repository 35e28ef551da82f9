// Armv8.2 with the dot product extension (Neoverse N1: AWS Graviton2): 4 products added to each of 4 sums.
#include "neon.h"
#include "glue.h"
#include "quantize.h"

namespace curtain {
namespace {

struct Sdot {
    struct Unpacked {
        int8x16_t weights[16];
        float32x4_t scales[2];
    };

    static void unpack(const uint8_t *block, Unpacked *to) {
        const uint16x8_t scales = vld1q_u16(reinterpret_cast<const uint16_t *>(block + 128));
        by_four_columns(block, to->weights);
        to->scales[0] = bfloat16(vget_low_u16(scales));
        to->scales[1] = bfloat16(vget_high_u16(scales));
    }

    static void tile(const Unpacked *weights, int64_t groups, const Tile &tile, bool first, const float *biases) {
        float32x4_t top[kTile], bottom[kTile];
        for (int i = 0; i < kTile; i++) {
            top[i] = first ? vdupq_n_f32(0) : vld1q_f32(tile.y[i]);
            bottom[i] = first ? vdupq_n_f32(0) : vld1q_f32(tile.y[i] + 4);
        }
        for (int64_t group = 0; group < groups; group++) {
            const Unpacked &w = weights[group];
            for (int i = 0; i < kTile; i++) {
                const int8_t *values = tile.values[i] + group * kGroup;
                const int8x16_t x = vld1q_s8(values), more = vld1q_s8(values + 16);
                const float scale = tile.scales[i][group];
                top[i] = vfmaq_f32(top[i], vcvtq_n_f32_s32(dot(w.weights, x, more), kShift),
                                   vmulq_n_f32(w.scales[0], scale));
                bottom[i] = vfmaq_f32(bottom[i], vcvtq_n_f32_s32(dot(w.weights + 1, x, more), kShift),
                                      vmulq_n_f32(w.scales[1], scale));
            }
        }
        for (int i = 0; i < kTile; i++) {
            vst1q_f32(tile.y[i], biases ? vaddq_f32(top[i], vld1q_f32(biases)) : top[i]);
            vst1q_f32(tile.y[i] + 4, biases ? vaddq_f32(bottom[i], vld1q_f32(biases + 4)) : bottom[i]);
        }
    }
};

}  // namespace

const Kernels sdot = {"sdot", has_dot_product, quantize, matmul<Sdot>, &glue};

}  // namespace curtain
