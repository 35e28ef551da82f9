// Armv8.6 with 8-bit matrix products (Neoverse V1 and newer: AWS Graviton3): 2 rows by 8 columns, as the layout has
// them, times 8 columns of 2 tokens.
#include "neon.h"
#include "glue.h"
#include "quantize.h"

namespace curtain {
namespace {

struct Smmla {
    struct Unpacked {
        int8x16_t weights[16];  // 4 o + p: columns 8 o to 8 o + 7 of rows 2 p and 2 p + 1
        float32x4_t scales[4];  // of rows 2 p and 2 p + 1, each twice
    };

    static void unpack(const uint8_t *block, Unpacked *to) {
        for (int i = 0; i < 8; i++) {
            const uint8x16_t both = vld1q_u8(block + 16 * i);
            to->weights[i] = low(both);
            to->weights[i + 8] = high(both);
        }
        const uint16x8_t scales = vld1q_u16(reinterpret_cast<const uint16_t *>(block + 128));
        for (int half = 0; half < 2; half++) {
            const float32x4_t four = bfloat16(half ? vget_high_u16(scales) : vget_low_u16(scales));
            to->scales[2 * half] = vzip1q_f32(four, four);
            to->scales[2 * half + 1] = vzip2q_f32(four, four);
        }
    }

    // 8 columns each of 2 tokens.
    static int8x16_t pair(int64x2_t a, int64x2_t b, bool upper) {
        return vreinterpretq_s8_s64(upper ? vzip2q_s64(a, b) : vzip1q_s64(a, b));
    }

    static int64x2_t load(const int8_t *values) { return vreinterpretq_s64_s8(vld1q_s8(values)); }

    static void tile(const Unpacked *weights, int64_t groups, const Tile &tile, bool first, const float *biases) {
        float32x4_t total[kTile / 2][4];  // per pair of tokens and of rows: row 0 twice, row 1 twice
        for (int i = 0; i < kTile / 2; i++) {
            for (int half = 0; half < 2; half++) {
                const float32x4_t a = first ? vdupq_n_f32(0) : vld1q_f32(tile.y[2 * i] + 4 * half);
                const float32x4_t b = first ? vdupq_n_f32(0) : vld1q_f32(tile.y[2 * i + 1] + 4 * half);
                total[i][2 * half] = vzip1q_f32(a, b);
                total[i][2 * half + 1] = vzip2q_f32(a, b);
            }
        }
        for (int64_t group = 0; group < groups; group++) {
            const Unpacked &w = weights[group];
            for (int i = 0; i < kTile / 2; i++) {
                const int8_t *a = tile.values[2 * i] + group * kGroup, *b = tile.values[2 * i + 1] + group * kGroup;
                int8x16_t x[4];
                for (int o = 0; o < 4; o++) x[o] = pair(load(a + o / 2 * 16), load(b + o / 2 * 16), o % 2);
                const float two[2] = {tile.scales[2 * i][group], tile.scales[2 * i + 1][group]};
                const float32x4_t scale = vcombine_f32(vld1_f32(two), vld1_f32(two));
                for (int p = 0; p < 4; p++) {
                    int32x4_t sum = vdupq_n_s32(0);
                    for (int o = 0; o < 4; o++) sum = vmmlaq_s32(sum, w.weights[4 * o + p], x[o]);
                    total[i][p] = vfmaq_f32(total[i][p], vcvtq_n_f32_s32(sum, kShift), vmulq_f32(w.scales[p], scale));
                }
            }
        }
        for (int i = 0; i < kTile; i++) {
            const float32x4_t *pair = total[i / 2];
            const float32x4_t top = i % 2 ? vuzp2q_f32(pair[0], pair[1]) : vuzp1q_f32(pair[0], pair[1]);
            const float32x4_t bottom = i % 2 ? vuzp2q_f32(pair[2], pair[3]) : vuzp1q_f32(pair[2], pair[3]);
            vst1q_f32(tile.y[i], biases ? vaddq_f32(top, vld1q_f32(biases)) : top);
            vst1q_f32(tile.y[i] + 4, biases ? vaddq_f32(bottom, vld1q_f32(biases + 4)) : bottom);
        }
    }
};

}  // namespace

const Kernels smmla = {"smmla", has_matrix_products, quantize, matmul<Smmla>, &glue};

}  // namespace curtain
