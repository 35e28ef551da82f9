// What sdot.cpp and smmla.cpp share: one token by itself, and the loop over a prompt.
//
// A signed nibble is left in a byte's upper half, which is 16 times the weight at the price of one instruction; the
// sums are exact all the same (16 * 8 * 127 * 32 < 2^24) and their conversion to float takes the 16 off again.
//
// A prompt's weights are unpacked once for all its tokens, a run of groups at a time so that they stay in the
// first-level cache. A row's sum waits in y between runs: a float is stored exactly, so the order of additions
// is that of one long row.
#pragma once
#include <arm_neon.h>
#include <string.h>

#include "hwcap.h"
#include "kernels.h"

namespace curtain {
namespace {  // a copy per file: one linked copy might hold instructions that this CPU lacks

constexpr int64_t kRun = 32;             // groups: 8 KiB of weights
constexpr int64_t kTile = 4;             // tokens whose sums are held in registers at once
constexpr int64_t kAhead = 14 * kBlock;  // bytes that decode prefetches ahead: the CPU's own stops at a page's end
constexpr int kShift = 4;                // of the weights

inline void prefetch(const uint8_t *bytes) {
    for (int64_t line = 0; line < kBlock; line += 64) __builtin_prefetch(bytes + line);
}

// 16 bytes of the layout: 2 rows by 8 columns, and 8 more columns in the upper nibbles.
inline int8x16_t low(uint8x16_t both) { return vreinterpretq_s8_u8(vshlq_n_u8(both, kShift)); }
inline int8x16_t high(uint8x16_t both) { return vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(0xF0))); }

inline float32x4_t bfloat16(uint16x4_t bits) { return vreinterpretq_f32_u32(vshll_n_u16(bits, 16)); }

// A block's weights by 4 columns of 4 rows: weights[2 q + h] is columns 4 q to 4 q + 3 of rows 4 h to 4 h + 3.
inline void by_four_columns(const uint8_t *block, int8x16_t weights[16]) {
    for (int half = 0; half < 2; half++) {
        for (int rows = 0; rows < 2; rows++) {
            const uint32x4_t a = vreinterpretq_u32_u8(vld1q_u8(block + 64 * half + 32 * rows));
            const uint32x4_t b = vreinterpretq_u32_u8(vld1q_u8(block + 64 * half + 32 * rows + 16));
            const uint8x16_t even = vreinterpretq_u8_u32(vuzp1q_u32(a, b));
            const uint8x16_t odd = vreinterpretq_u8_u32(vuzp2q_u32(a, b));
            weights[4 * half + rows] = low(even);
            weights[4 * half + 2 + rows] = low(odd);
            weights[4 * half + 8 + rows] = high(even);
            weights[4 * half + 10 + rows] = high(odd);
        }
    }
}

// 4 rows by 32 columns: `weights` of one half of the rows, every second of them.
inline int32x4_t dot(const int8x16_t *weights, int8x16_t x, int8x16_t more) {
    int32x4_t sum = vdotq_laneq_s32(vdupq_n_s32(0), weights[0], x, 0);
    sum = vdotq_laneq_s32(sum, weights[2], x, 1);
    sum = vdotq_laneq_s32(sum, weights[4], x, 2);
    sum = vdotq_laneq_s32(sum, weights[6], x, 3);
    sum = vdotq_laneq_s32(sum, weights[8], more, 0);
    sum = vdotq_laneq_s32(sum, weights[10], more, 1);
    sum = vdotq_laneq_s32(sum, weights[12], more, 2);
    return vdotq_laneq_s32(sum, weights[14], more, 3);
}

// One panel by one token, every weight straight from the registers it is unpacked to.
inline void decode(const uint8_t *panel, int64_t groups, Quantized x, float *y) {
    float32x4_t top = vdupq_n_f32(0), bottom = top;
    for (int64_t group = 0; group < groups; group++, panel += kBlock) {
        prefetch(panel + kAhead);
        int8x16_t weights[16];
        by_four_columns(panel, weights);
        const uint16x8_t scales = vld1q_u16(reinterpret_cast<const uint16_t *>(panel + 128));
        const int8x16_t values = vld1q_s8(x.values + group * kGroup), more = vld1q_s8(x.values + group * kGroup + 16);
        const float scale = x.scales[group];
        top = vfmaq_f32(top, vcvtq_n_f32_s32(dot(weights, values, more), kShift),
                        vmulq_n_f32(bfloat16(vget_low_u16(scales)), scale));
        bottom = vfmaq_f32(bottom, vcvtq_n_f32_s32(dot(weights + 1, values, more), kShift),
                           vmulq_n_f32(bfloat16(vget_high_u16(scales)), scale));
    }
    const float *biases = reinterpret_cast<const float *>(panel + kTail / 2);
    vst1q_f32(y, vaddq_f32(top, vld1q_f32(biases)));
    vst1q_f32(y + 4, vaddq_f32(bottom, vld1q_f32(biases + 4)));
}

// A tile's tokens: where each one's activations and sums are. A tile that isn't full repeats its last token,
// which costs time and changes nothing.
struct Tile {
    const int8_t *values[kTile];
    const float *scales[kTile];
    float *y[kTile];
};

// `Isa` has Unpacked, unpack(block, Unpacked *) and tile(Unpacked *, groups, Tile, first, biases): the products of a
// run of groups added to y (the first run sets it), and if biases isn't null, these.
template <class Isa>
void matmul(const uint8_t *packed, int64_t columns, int64_t panels, Quantized x, int64_t tokens, float *y,
            int64_t stride) {
    const int64_t groups = columns / kGroup, bytes = groups * kBlock + kTail;
    for (int64_t panel = 0; panel < panels; panel++, packed += bytes, y += kPanel) {
        if (tokens == 1) {
            decode(packed, groups, x, y);
            continue;
        }
        const float *biases = reinterpret_cast<const float *>(packed + groups * kBlock + kTail / 2);
        for (int64_t run = 0; run < groups; run += kRun) {
            typename Isa::Unpacked weights[kRun];
            const int64_t count = groups - run < kRun ? groups - run : kRun;
            for (int64_t group = 0; group < count; group++) {
                const uint8_t *block = packed + (run + group) * kBlock;
                prefetch(block + kRun * kBlock);
                Isa::unpack(block, &weights[group]);
            }
            for (int64_t token = 0; token < tokens; token += kTile) {
                Tile tile;
                for (int64_t i = 0; i < kTile; i++) {
                    const int64_t t = token + i < tokens ? token + i : tokens - 1;
                    tile.values[i] = x.values + t * columns + run * kGroup;
                    tile.scales[i] = x.scales + t * groups + run;
                    tile.y[i] = y + t * stride;
                }
                Isa::tile(weights, count, tile, run == 0, run + count == groups ? biases : nullptr);
            }
        }
    }
}

}  // namespace
}  // namespace curtain
