// The steps between matrix products. glue.h implements them, once for each instruction set.
#pragma once
#include <stdint.h>

namespace curtain {

constexpr int64_t kSpan = 128;       // positions of an attention block; fixed, so that no sum depends on the caller
constexpr int64_t kQueries = 64;     // queries (tokens x heads) that attention takes at once, or one token's
constexpr int64_t kStateHeader = 8;  // floats of a state before its values: largest score, sum of exponentials

// Attention of some successive tokens' query heads that share one key/value head.
struct Attention {
    const float *queries;           // token t's head g at queries + t * stride + g * head_dim, scaled
    int64_t stride, tokens, heads;  // of queries
    int64_t head_dim;               // a multiple of 8
    const uint16_t *keys, *values;  // float16 [positions, head_dim]
    int64_t start;                  // position of the first token; rows up to the last token's are written
    int64_t window;                 // 0: all

    int64_t states() const { return tokens * heads; }
    int64_t state_floats() const { return kStateHeader + head_dim; }
    int64_t first(int64_t token) const {  // position that the token sees
        const int64_t position = start + token;
        return window && position >= window ? position - window + 1 : 0;
    }
    int64_t first_block() const { return first(0) / kSpan; }
    int64_t last_block() const { return (start + tokens - 1) / kSpan; }
    // Positions of the block that the token sees: [from, to), counted from the block's start.
    bool sees(int64_t token, int64_t block, int64_t *from, int64_t *to) const {
        const int64_t base = block * kSpan, position = start + token;
        *from = first(token) > base ? first(token) - base : 0;
        *to = position + 1 - base < kSpan ? position + 1 - base : kSpan;
        return *from < *to;
    }
};

struct Glue {
    // Row `row` of a packed matrix as float32 [columns].
    void (*gather)(const uint8_t *packed, int64_t columns, int64_t row, float *x);
    // y = x / sqrt(mean(x^2) + epsilon) * weight; size is a multiple of 8; y may be x.
    void (*norm)(const float *x, const float *weight, int64_t size, float epsilon, float *y);
    // x[t * stride + i] += y[t * stride + i]
    void (*add)(const float *y, int64_t tokens, int64_t size, int64_t stride, float *x);
    // y = gate / (1 + exp(-gate)) * up; size is a multiple of 8.
    void (*swiglu)(const float *gate, const float *up, int64_t size, float *y);
    // Rotates the pairs (i, i + head_dim / 2) by the angles' [head_dim / 2] and multiplies by scale.
    void (*rotate)(float *x, const float *cosines, const float *sines, int64_t head_dim, float scale);
    // To float16, to nearest, ties to even; size is a multiple of 8.
    void (*halve)(const float *x, int64_t size, uint16_t *y);

    // The unnormalised state [tokens * heads][state_floats] of one block of positions. scratch: attention_floats.
    void (*attend_block)(const Attention &attention, int64_t block, float *scratch, float *states);
    // All blocks in order: out[t * out_stride + g * head_dim + d].
    void (*attend)(const Attention &attention, float *scratch, float *out, int64_t out_stride);
    // The same from the blocks' states, `block_stride` floats from one block to the next; states is block
    // first_block()'s.
    void (*combine)(const Attention &attention, const float *states, int64_t block_stride, float *scratch, float *out,
                    int64_t out_stride);
};

// Scratch for `queries` (tokens x heads).
constexpr int64_t attention_floats(int64_t queries, int64_t head_dim) {
    return 8 * head_dim + queries * (kSpan + 2 * (kStateHeader + head_dim));
}

}  // namespace curtain
