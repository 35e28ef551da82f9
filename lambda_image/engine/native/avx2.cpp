// AVX2 with FMA. Weights become unsigned (w + 8, by flipping a bit of each nibble) for `maddubs`; 8 times the
// sum of the activations is taken off again. Half a group's products fit 16 bits: 15 * 127 * 16 = 30480.
#include <cpuid.h>
#include <immintrin.h>

#include "kernels.h"
#include "glue.h"
#include "quantize.h"

namespace curtain {
namespace {

constexpr int64_t kAhead = 1024;  // bytes that decode prefetches ahead: the CPU's own stops at a page's end
constexpr int64_t kMany = 64;     // tokens for which a panel is read once
constexpr int kTogether = 4;      // of them in registers

bool supported() {
    unsigned a, b, c, d;
    constexpr unsigned kNeeded = bit_FMA | bit_F16C | bit_OSXSAVE | bit_AVX;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kNeeded) != kNeeded) return false;
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6) return false;  // the system doesn't keep the registers' upper halves
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

void prefetch(const uint8_t *block) {
    for (int64_t line = 0; line < kBlock; line += 64) {
        _mm_prefetch(reinterpret_cast<const char *>(block + line), _MM_HINT_T0);
    }
}

// 4 rows by 8 columns (low nibbles) and the 8 that lie 16 further (high): unsigned weights.
struct Weights {
    __m256i low, high;
};

Weights unsigned_weights(__m256i both) {
    const __m256i mask = _mm256_set1_epi8(15);
    both = _mm256_xor_si256(both, _mm256_set1_epi8(static_cast<char>(0x88)));
    return {_mm256_and_si256(both, mask), _mm256_and_si256(_mm256_srli_epi16(both, 4), mask)};
}

__m256i load(const uint8_t *bytes) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(bytes)); }

// Activations, once for each row.
__m256i eight(const int8_t *x) {
    int64_t bits;
    memcpy(&bits, x, sizeof bits);
    return _mm256_set1_epi64x(bits);
}

__m256i four(const int8_t *x) {
    int32_t bits;
    memcpy(&bits, x, sizeof bits);
    return _mm256_set1_epi32(bits);
}

// Rows 0..3 and 4..7 in 64 bits each -> all in 32 bits each, the first or the second halves. Their order is
// then 0 1 4 5 2 3 6 7, until `in_order`.
template <int kHalf>
__m256i halves(__m256i rows0, __m256i rows4) {
    const __m256 a = _mm256_castsi256_ps(rows0), b = _mm256_castsi256_ps(rows4);
    return _mm256_castps_si256(_mm256_shuffle_ps(a, b, kHalf ? 0xDD : 0x88));
}

__m256 in_order(__m256 rows) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(rows), 0xD8));
}

// 8 bfloat16 scales in the order of `halves`.
__m256 weight_scales(const uint8_t *block) {
    const __m128i scales = _mm_loadu_si128(reinterpret_cast<const __m128i *>(block + 128));
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_shuffle_epi32(scales, 0xD8));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

// total + a group's products: `parts` has two sums of unsigned products for each row.
__m256 add_group(__m256 total, __m256i parts, int32_t sum, __m256 weight_scales, float scale) {
    const __m256i offset = _mm256_madd_epi16(_mm256_set1_epi32(sum), _mm256_set1_epi32(8));
    const __m256i dots = _mm256_sub_epi32(_mm256_madd_epi16(parts, _mm256_set1_epi16(1)), offset);
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), _mm256_mul_ps(weight_scales, _mm256_set1_ps(scale)), total);
}

void store(float *y, __m256 total, const uint8_t *tail) {
    const __m256 biases = _mm256_loadu_ps(reinterpret_cast<const float *>(tail + kTail / 2));
    _mm256_storeu_ps(y, _mm256_add_ps(in_order(total), biases));
}

// 4 rows by a group, 4 sums for each row.
__m256i four_rows(const uint8_t *block, const int8_t *x) {
    const Weights first = unsigned_weights(load(block)), second = unsigned_weights(load(block + 64));
    return _mm256_add_epi16(_mm256_add_epi16(_mm256_maddubs_epi16(first.low, eight(x)),
                                             _mm256_maddubs_epi16(second.low, eight(x + 8))),
                            _mm256_add_epi16(_mm256_maddubs_epi16(first.high, eight(x + 16)),
                                             _mm256_maddubs_epi16(second.high, eight(x + 24))));
}

// Some panels by one token.
template <int kPanels>
void decode(const uint8_t *packed, int64_t columns, Quantized x, float *y) {
    const int64_t groups = columns / kGroup, bytes = groups * kBlock + kTail;
    __m256 total[kPanels];
    for (int p = 0; p < kPanels; p++) total[p] = _mm256_setzero_ps();
    for (int64_t group = 0; group < groups; group++, packed += kBlock) {
        // Near a panel's end, what is read after these panels.
        const int64_t ahead = kAhead + (group * kBlock + kAhead < bytes ? 0 : (kPanels - 1) * bytes);
#pragma GCC unroll 4
        for (int p = 0; p < kPanels; p++) {
            const uint8_t *block = packed + p * bytes;
            prefetch(block + ahead);
            const int8_t *values = x.values + group * kGroup;
            const __m256i rows0 = four_rows(block, values), rows4 = four_rows(block + 32, values);
            const __m256i parts = _mm256_add_epi16(halves<0>(rows0, rows4), halves<1>(rows0, rows4));
            total[p] = add_group(total[p], parts, x.sums[group], weight_scales(block), x.scales[group]);
        }
    }
    for (int p = 0; p < kPanels; p++) store(y + p * kPanel, total[p], packed + p * bytes);
}

// Some groups of a panel, unpacked once for many tokens: 9 KB, which stay in the first cache.
struct Chunk {
    static constexpr int64_t kGroups = 32;
    __m256i weights[kGroups][8];  // by 4 columns in order
    __m256 scales[kGroups];
};

void unpack(const uint8_t *packed, int64_t groups, int64_t ahead, Chunk *chunk) {
    for (int64_t group = 0; group < groups; group++, packed += kBlock) {
        prefetch(packed + ahead);
        for (int half = 0; half < 2; half++) {
            const __m256i rows0 = load(packed + 64 * half), rows4 = load(packed + 64 * half + 32);
            const Weights first = unsigned_weights(halves<0>(rows0, rows4));
            const Weights second = unsigned_weights(halves<1>(rows0, rows4));
            __m256i *to = chunk->weights[group] + 2 * half;
            to[0] = first.low;
            to[1] = second.low;
            to[4] = first.high;
            to[5] = second.high;
        }
        chunk->scales[group] = weight_scales(packed);
    }
}

// Adds a chunk's products for kTokens tokens; x begins at the chunk.
template <int kTokens>
void add_chunk(const Chunk &chunk, int64_t count, int64_t columns, Quantized x, __m256 *totals) {
    const int64_t groups = columns / kGroup;
    __m256 total[kTokens];
    for (int t = 0; t < kTokens; t++) total[t] = totals[t];
    for (int64_t group = 0; group < count; group++) {
        __m256i parts[kTokens];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            const __m256i weights = chunk.weights[group][i];
#pragma GCC unroll 4
            for (int t = 0; t < kTokens; t++) {
                const __m256i values = four(x.values + t * columns + group * kGroup + 4 * i);
                const __m256i products = _mm256_maddubs_epi16(weights, values);
                parts[t] = i ? _mm256_add_epi16(parts[t], products) : products;
            }
        }
#pragma GCC unroll 4
        for (int t = 0; t < kTokens; t++) {
            const int64_t at = t * groups + group;
            total[t] = add_group(total[t], parts[t], x.sums[at], chunk.scales[group], x.scales[at]);
        }
    }
    for (int t = 0; t < kTokens; t++) totals[t] = total[t];
}

// One panel by at most kMany tokens.
void prompt(const uint8_t *packed, int64_t columns, Quantized x, int64_t tokens, float *y, int64_t stride) {
    const int64_t groups = columns / kGroup, bytes = groups * kBlock + kTail;
    __m256 totals[kMany];
    for (int64_t t = 0; t < tokens; t++) totals[t] = _mm256_setzero_ps();
    Chunk chunk;
    for (int64_t group = 0; group < groups; group += Chunk::kGroups) {
        const int64_t count = groups - group < Chunk::kGroups ? groups - group : Chunk::kGroups;
        unpack(packed + group * kBlock, count, bytes, &chunk);
        int64_t t = 0;
        const auto from = [&] {
            const int64_t at = t * groups + group;
            return Quantized{x.values + at * kGroup, x.scales + at, x.sums + at};
        };
        for (; t + kTogether <= tokens; t += kTogether) {
            add_chunk<kTogether>(chunk, count, columns, from(), totals + t);
        }
        for (; t + 2 <= tokens; t += 2) add_chunk<2>(chunk, count, columns, from(), totals + t);
        if (t < tokens) add_chunk<1>(chunk, count, columns, from(), totals + t);
    }
    for (int64_t t = 0; t < tokens; t++) store(y + t * stride, totals[t], packed + groups * kBlock);
}

void matmul(const uint8_t *packed, int64_t columns, int64_t panels, Quantized x, int64_t tokens, float *y,
            int64_t stride) {
    const int64_t groups = columns / kGroup, bytes = groups * kBlock + kTail;
    for (int64_t t = 0; tokens > 1 && t < tokens; t += kMany) {
        const int64_t count = tokens - t < kMany ? tokens - t : kMany;
        const Quantized some = {x.values + t * columns, x.scales + t * groups, x.sums + t * groups};
        for (int64_t p = 0; p < panels; p++) {
            prompt(packed + p * bytes, columns, some, count, y + t * stride + p * kPanel, stride);
        }
    }
    if (tokens != 1) return;
    // Four streams from memory are faster than one, and no slower than eight.
    for (; panels >= 4; panels -= 4, packed += 4 * bytes, y += 4 * kPanel) decode<4>(packed, columns, x, y);
    for (; panels; panels--, packed += bytes, y += kPanel) decode<1>(packed, columns, x, y);
}

}  // namespace

const Kernels avx2 = {"avx2", supported, quantize, matmul, &glue};

}  // namespace curtain
