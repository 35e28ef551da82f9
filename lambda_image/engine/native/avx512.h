// Matrix products on 512 bits, for avx512.cpp and vnni.cpp, which differ in how a group is multiplied.
//
// 64 bytes of the layout are 8 rows by 8 columns, so two panels fill the lanes of float sums: 16 rows. Weights
// become unsigned (w + 8, by flipping a bit of each nibble); 8 times the sum of the activations is taken off again.
#pragma once
#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#include "kernels.h"

namespace curtain {
namespace {  // a copy per file: one linked copy might hold instructions that this CPU lacks

// 8 rows by 32 columns, by 8 columns each: unsigned weights, activations once for each row -> lanes 2 r and
// 2 r + 1 hold row r's sum in two parts.
using Dot = __m512i (*)(const __m512i weights[4], const __m512i x[4]);

constexpr int64_t kAhead = 14 * kBlock;  // bytes that decode prefetches ahead: the CPU's own stops at a page's end

// x86-64-v4, for which these files are compiled: FMA, F16C, AVX-512 F, CD, DQ, BW and VL, and registers that the
// system keeps.
bool has_avx512() {
    unsigned a, b, c, d;
    constexpr unsigned kBefore = bit_FMA | bit_F16C | bit_OSXSAVE;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kBefore) != kBefore) return false;
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    constexpr unsigned kNeeded = bit_AVX512F | bit_AVX512CD | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    return (low & 0xE6) == 0xE6 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & kNeeded) == kNeeded;
}

// 8 columns of 8 rows twice: columns 8 i (low nibbles) and 16 + 8 i.
inline void unpack(const uint8_t *bytes, __m512i *low, __m512i *high) {
    const __m512i flip = _mm512_set1_epi8(8), mask = _mm512_set1_epi8(15);
    const __m512i both = _mm512_loadu_si512(bytes);
    *low = _mm512_ternarylogic_epi32(both, mask, flip, 0x6A);  // (both & mask) ^ flip
    *high = _mm512_ternarylogic_epi32(_mm512_srli_epi16(both, 4), mask, flip, 0x6A);
}

// 8 activations, once for each row.
inline __m512i eight(const int8_t *x) {
    int64_t bits;
    memcpy(&bits, x, sizeof bits);
    return _mm512_set1_epi64(bits);
}

// The order in which sums lie: rows 0 1 of the first panel, 0 1 of the second, 2 3 of the first, and so on.
inline __m512 interleaved(__m512 rows) {
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15), rows);
}

inline __m512 separated(__m512 sums) {
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15), sums);
}

inline __m512 weight_scales(const uint8_t *first, const uint8_t *second) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i *>(first + 128));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i *>(second + 128));
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1));
    return interleaved(_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
}

inline __m512 biases(const uint8_t *first, const uint8_t *second) {
    const __m256 a = _mm256_loadu_ps(reinterpret_cast<const float *>(first + kTail / 2));
    const __m256 b = _mm256_loadu_ps(reinterpret_cast<const float *>(second + kTail / 2));
    return _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
}

// Both panels' sums in two parts -> 16 sums, with the weights' offset taken off.
inline __m512 reduce(__m512i first, __m512i second, int32_t sum) {
    const __m512 a = _mm512_castsi512_ps(first), b = _mm512_castsi512_ps(second);
    const __m512i even = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88));
    const __m512i odd = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xDD));
    const __m512i offset = _mm512_slli_epi32(_mm512_set1_epi32(sum), 3);
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_add_epi32(even, odd), offset));
}

// Two panels (or one: the same twice, of which half is stored) by kTokens tokens.
template <Dot dot, int kTokens>
inline void tile(const uint8_t *first, const uint8_t *second, int64_t columns, Quantized x, float *y,
                 int64_t stride) {
    const int64_t groups = columns / kGroup, pair = 2 * (groups * kBlock + kTail);
    __m512 total[kTokens];
    for (int t = 0; t < kTokens; t++) total[t] = _mm512_setzero_ps();
    const uint8_t *a = first, *b = second;
    for (int64_t group = 0; group < groups; group++, a += kBlock, b += kBlock) {
        // Near the end of a panel: the pair after this one. A prompt's weights are fetched a pair ahead.
        const int64_t ahead = kTokens > 1 ? pair : kAhead + (group * kBlock + kAhead < pair / 2 ? 0 : pair / 2);
        for (int64_t line = 0; line < kBlock; line += 64) {
            _mm_prefetch(reinterpret_cast<const char *>(a + ahead + line), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char *>(b + ahead + line), _MM_HINT_T0);
        }
        __m512i weights[2][4];
        for (int half = 0; half < 2; half++) {
            unpack(a + 64 * half, &weights[0][half], &weights[0][half + 2]);
            unpack(b + 64 * half, &weights[1][half], &weights[1][half + 2]);
        }
        const __m512 scales = weight_scales(a, b);
#pragma unroll
        for (int t = 0; t < kTokens; t++) {
            const int8_t *values = x.values + t * columns + group * kGroup;
            const __m512i eights[4] = {eight(values), eight(values + 8), eight(values + 16), eight(values + 24)};
            const __m512 dots = reduce(dot(weights[0], eights), dot(weights[1], eights), x.sums[t * groups + group]);
            const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(x.scales[t * groups + group]));
            total[t] = _mm512_fmadd_ps(dots, scale, total[t]);
        }
    }
    for (int t = 0; t < kTokens; t++) {
        const __m512 rows = _mm512_add_ps(separated(total[t]), biases(a, b));
        if (first == second) {
            _mm256_storeu_ps(y + t * stride, _mm512_castps512_ps256(rows));
        } else {
            _mm512_storeu_ps(y + t * stride, rows);
        }
    }
}

template <Dot dot>
void matmul(const uint8_t *packed, int64_t columns, int64_t panels, Quantized x, int64_t tokens, float *y,
            int64_t stride) {
    const int64_t groups = columns / kGroup, bytes = groups * kBlock + kTail;
    for (int64_t panel = 0; panel < panels; panel += 2, packed += 2 * bytes, y += 2 * kPanel) {
        const uint8_t *second = panel + 1 < panels ? packed + bytes : packed;
        int64_t t = 0;
        const auto rest = [&] {
            return Quantized{x.values + t * columns, x.scales + t * groups, x.sums + t * groups};
        };
        for (; t + 8 <= tokens; t += 8) tile<dot, 8>(packed, second, columns, rest(), y + t * stride, stride);
        for (; t + 2 <= tokens; t += 2) tile<dot, 2>(packed, second, columns, rest(), y + t * stride, stride);
        if (t < tokens) tile<dot, 1>(packed, second, columns, rest(), y + t * stride, stride);
    }
}

}  // namespace
}  // namespace curtain
