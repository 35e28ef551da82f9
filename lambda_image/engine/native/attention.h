// Attention over float16 keys and values, sums in float32. Part of glue.h.
//
// A block is kSpan positions. Within one, a query's scores are summed dimension by dimension and its values
// position by position; blocks are folded in order. So a token's result doesn't depend on which tokens come with it.
#pragma once
#include "steps.h"
#include "vector.h"

namespace curtain::steps {
namespace {

constexpr int64_t kTile = 16;  // positions whose keys are turned to [head_dim][kTile] at a time: they stay in L1
constexpr int64_t kLine = 32;  // float16 numbers in a line of the CPU's caches
constexpr int kTogether = 4;   // queries that share a loaded key or value

// tile [head_dim][kTile] = keys of `rows` positions, the rest zeros.
CURTAIN_INLINE void turn_keys(const uint16_t *keys, int64_t rows, int64_t head_dim, uint16_t *tile) {
    for (int64_t d = 0; d < head_dim; d += 8) {
        H16 m[8] = {};
        for (int64_t i = 0; i < 8; i++) {
            if (i < rows) memcpy(&m[i], keys + i * head_dim + d, 16);
            if (i + 8 < rows) memcpy(reinterpret_cast<char *>(&m[i]) + 16, keys + (i + 8) * head_dim + d, 16);
        }
        transpose8(m);
        memcpy(tile + kTile * d, m, sizeof m);
    }
}

// A layer's weights push keys and values out of the CPU's caches: kAhead asks for what comes next, `next_keys` and
// `values` of a tile, one line per dimension, because a CPU waits when too many are under way.
template <int kCount, bool kAhead>
CURTAIN_INLINE void score(const float *const *queries, const uint16_t *tile, int64_t head_dim, float *scores,
                          const uint16_t *next_keys, const uint16_t *values) {
    V8 sums[kCount][2] = {};
    for (int64_t d = 0; d < head_dim; d++) {
        if (kAhead) __builtin_prefetch((d & 1 ? values : next_keys) + d / 2 * kLine);
        const V8 low = from_half8(tile + kTile * d), high = from_half8(tile + kTile * d + 8);
        for (int i = 0; i < kCount; i++) {
            const V8 q = splat8(queries[i][d]);
            sums[i][0] = fma8(q, low, sums[i][0]);
            sums[i][1] = fma8(q, high, sums[i][1]);
        }
    }
    for (int i = 0; i < kCount; i++) {
        store8(scores + i * kSpan, sums[i][0]);
        store8(scores + i * kSpan + 8, sums[i][1]);
    }
}

// work(at, seen) for each eight scores of [from, to), the lanes outside marked at both ends.
template <class Work>
CURTAIN_INLINE void for_each_eight(int64_t from, int64_t to, const Work &work) {
    const I8 lanes = {0, 1, 2, 3, 4, 5, 6, 7}, all = lanes >= 0;
    for (int64_t at = from & ~7; at < to; at += 8) {
        if (at >= from && at + 8 <= to) {
            work(at, all);
        } else {
            work(at, (lanes >= static_cast<int32_t>(from - at)) & (lanes < static_cast<int32_t>(to - at)));
        }
    }
}

// Scores of [from, to) become exponentials; the state's header gets the largest score and the sum.
CURTAIN_INLINE void exponentials(float *scores, int64_t from, int64_t to, float *state) {
    const V8 none = splat8(-__builtin_inff());
    V8 largest = none, sum = {};
    for_each_eight(from, to, [&](int64_t at, I8 seen) {
        largest = larger(largest, seen ? load8(scores + at) : none);
    });
    const float maximum = largest8(largest);
    for_each_eight(from, to, [&](int64_t at, I8 seen) {
        const V8 p = seen ? exp8(load8(scores + at) - maximum) : V8{};
        store8(scores + at, p);
        sum += p;
    });
    state[0] = maximum;
    state[1] = sum8(sum);
}

// out[i][0, 8 kWide) += sum over [from, to) of scores[i] x values, position by position.
template <int kCount, int kWide>
CURTAIN_INLINE void weigh_columns(const float *scores, const uint16_t *values, int64_t from, int64_t to,
                                  int64_t head_dim, float *const *out, int64_t column) {
    V8 sums[kCount][kWide];
    for (int i = 0; i < kCount; i++) {
        for (int j = 0; j < kWide; j++) sums[i][j] = load8(out[i] + column + 8 * j);
    }
    for (int64_t at = from; at < to; at++) {
        for (int j = 0; j < kWide; j++) {
            const V8 v = from_half8(values + at * head_dim + column + 8 * j);
            for (int i = 0; i < kCount; i++) sums[i][j] = fma8(splat8(scores[i * kSpan + at]), v, sums[i][j]);
        }
    }
    for (int i = 0; i < kCount; i++) {
        for (int j = 0; j < kWide; j++) store8(out[i] + column + 8 * j, sums[i][j]);
    }
}

template <int kCount, int kWide>
CURTAIN_INLINE void weigh(const float *scores, const uint16_t *values, int64_t from, int64_t to, int64_t head_dim,
                          float *const *out) {
    int64_t d = 0;
    for (; d + 8 * kWide <= head_dim; d += 8 * kWide) {
        weigh_columns<kCount, kWide>(scores, values, from, to, head_dim, out, d);
    }
    for (; d < head_dim; d += 8) weigh_columns<kCount, 1>(scores, values, from, to, head_dim, out, d);
}

// kCount queries from the `first`: each its own part of the positions, what all see in one go.
template <int kCount>
CURTAIN_INLINE void weigh_queries(const Attention &a, int64_t block, int64_t first, const float *scores,
                                  float *states) {
    const uint16_t *values = a.values + block * kSpan * a.head_dim;
    int64_t from[kCount], to[kCount], begin = 0, end = kSpan;
    float *out[kCount];
    for (int i = 0; i < kCount; i++) {
        out[i] = states + (first + i) * a.state_floats() + kStateHeader;
        memset(out[i], 0, a.head_dim * sizeof(float));
        if (!a.sees((first + i) / a.heads, block, &from[i], &to[i])) from[i] = to[i] = 0;
        begin = from[i] > begin ? from[i] : begin;
        end = to[i] < end ? to[i] : end;
    }
    if (kCount == 1 || begin >= end) {
        for (int i = 0; i < kCount; i++) {
            weigh<1, 8>(scores + (first + i) * kSpan, values, from[i], to[i], a.head_dim, &out[i]);
        }
        return;
    }
    for (int i = 0; i < kCount; i++) {
        weigh<1, 8>(scores + (first + i) * kSpan, values, from[i], begin, a.head_dim, &out[i]);
    }
    weigh<kCount, 2>(scores + first * kSpan, values, begin, end, a.head_dim, out);
    for (int i = 0; i < kCount; i++) {
        weigh<1, 8>(scores + (first + i) * kSpan, values, end, to[i], a.head_dim, &out[i]);
    }
}

void attend_block(const Attention &a, int64_t block, float *scratch, float *states) {
    uint16_t *tile = reinterpret_cast<uint16_t *>(scratch);
    float *scores = scratch + kTile * a.head_dim / 2;
    const uint16_t *keys = a.keys + block * kSpan * a.head_dim;
    const int64_t count = a.states(), written = a.start + a.tokens - block * kSpan;
    int64_t begin, end, unused;
    a.sees(0, block, &begin, &unused);
    a.sees(a.tokens - 1, block, &unused, &end);
    const auto query = [&](int64_t i) {
        return a.queries + i / a.heads * a.stride + i % a.heads * a.head_dim;
    };
    for (int64_t at = begin / kTile * kTile; at < end; at += kTile) {
        turn_keys(keys + at * a.head_dim, written - at, a.head_dim, tile);
        const uint16_t *next = keys + (at + kTile) * a.head_dim, *values = a.values + (block * kSpan + at) * a.head_dim;
        int64_t i = 0;
        for (; i + kTogether <= count; i += kTogether) {
            const float *four[kTogether] = {query(i), query(i + 1), query(i + 2), query(i + 3)};
            const auto scored = i ? score<kTogether, false> : score<kTogether, true>;
            scored(four, tile, a.head_dim, scores + i * kSpan + at, next, values);
        }
        for (; i < count; i++) {
            const float *one[1] = {query(i)};
            const auto scored = i ? score<1, false> : score<1, true>;
            scored(one, tile, a.head_dim, scores + i * kSpan + at, next, values);
        }
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t from, to;
        if (a.sees(i / a.heads, block, &from, &to)) {
            exponentials(scores + i * kSpan, from, to, states + i * a.state_floats());
        }
    }
    int64_t i = 0;
    for (; i + kTogether <= count; i += kTogether) weigh_queries<kTogether>(a, block, i, scores, states);
    for (; i < count; i++) weigh_queries<1>(a, block, i, scores, states);
}

// state = state and then block, each relative to its own largest score.
CURTAIN_INLINE void fold(float *state, const float *block, int64_t head_dim) {
    const float largest = state[0] < block[0] ? block[0] : state[0];
    const V8 factors = exp8(V8{state[0] - largest, block[0] - largest}), old = splat8(factors[0]);
    const V8 added = splat8(factors[1]);
    state[0] = largest;
    state[1] = state[1] * factors[0] + block[1] * factors[1];
    for (int64_t d = kStateHeader; d < kStateHeader + head_dim; d += 8) {
        store8(state + d, fma8(load8(block + d), added, load8(state + d) * old));
    }
}

CURTAIN_INLINE void clear_states(const Attention &a, float *states) {
    memset(states, 0, a.states() * a.state_floats() * sizeof(float));
    for (int64_t i = 0; i < a.states(); i++) states[i * a.state_floats()] = -__builtin_inff();
}

CURTAIN_INLINE void fold_block(const Attention &a, int64_t block, const float *found, float *states) {
    for (int64_t i = 0; i < a.states(); i++) {
        int64_t from, to;
        if (a.sees(i / a.heads, block, &from, &to)) {
            fold(states + i * a.state_floats(), found + i * a.state_floats(), a.head_dim);
        }
    }
}

CURTAIN_INLINE void write_states(const Attention &a, const float *states, float *out, int64_t out_stride) {
    for (int64_t i = 0; i < a.states(); i++, states += a.state_floats()) {
        float *y = out + i / a.heads * out_stride + i % a.heads * a.head_dim;
        for (int64_t d = 0; d < a.head_dim; d += 8) store8(y + d, load8(states + kStateHeader + d) / states[1]);
    }
}

void attend(const Attention &a, float *scratch, float *out, int64_t out_stride) {
    float *found = scratch + kTile * a.head_dim / 2 + a.states() * kSpan;
    float *states = found + a.states() * a.state_floats();
    clear_states(a, states);
    for (int64_t block = a.first_block(); block <= a.last_block(); block++) {
        attend_block(a, block, scratch, found);
        fold_block(a, block, found, states);
    }
    write_states(a, states, out, out_stride);
}

void combine(const Attention &a, const float *found, int64_t block_stride, float *scratch, float *out,
             int64_t out_stride) {
    clear_states(a, scratch);
    for (int64_t block = a.first_block(); block <= a.last_block(); block++, found += block_stride) {
        fold_block(a, block, found, scratch);
    }
    write_states(a, scratch, out, out_stride);
}

}  // namespace
}  // namespace curtain::steps
