// Eight floats at a time, on whatever registers the including file's instruction set has.
#pragma once
#include <stdint.h>
#include <string.h>
#if defined(__F16C__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace curtain::steps {
namespace {  // a copy per file: one linked copy might hold instructions that this CPU lacks

typedef float V8 __attribute__((vector_size(32)));
typedef int32_t I8 __attribute__((vector_size(32)));
typedef uint32_t U8 __attribute__((vector_size(32)));
typedef uint16_t H16 __attribute__((vector_size(32)));
typedef uint16_t H8 __attribute__((vector_size(16)));
#define CURTAIN_INLINE __attribute__((always_inline)) inline
#define CURTAIN_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

CURTAIN_INLINE V8 load8(const float *x) {
    V8 v;
    memcpy(&v, x, sizeof v);
    return v;
}

CURTAIN_INLINE void store8(float *x, V8 v) { memcpy(x, &v, sizeof v); }

CURTAIN_INLINE V8 splat8(float x) { return V8{x, x, x, x, x, x, x, x}; }

CURTAIN_INLINE V8 as_floats(U8 bits) {
    V8 v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

CURTAIN_INLINE U8 as_bits(V8 v) {
    U8 bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

// Where one is a NaN, the first.
CURTAIN_INLINE V8 larger(V8 a, V8 b) { return a < b ? b : a; }

// a * b + c, rounded once: so every instruction set gives the same bits.
CURTAIN_INLINE V8 fma8(V8 a, V8 b, V8 c) {
#if defined(__FMA__)
    return (V8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    float32x4_t x[2], y[2], z[2];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    memcpy(z, &c, sizeof z);
    for (int i = 0; i < 2; i++) z[i] = vfmaq_f32(z[i], x[i], y[i]);
    memcpy(&c, z, sizeof c);
    return c;
#else
    for (int i = 0; i < 8; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
#endif
}

CURTAIN_INLINE float sum8(V8 v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

CURTAIN_INLINE float largest8(V8 v) {
    v = larger(v, CURTAIN_SHUFFLE(v, v, 4, 5, 6, 7, 0, 1, 2, 3));
    v = larger(v, CURTAIN_SHUFFLE(v, v, 2, 3, 0, 1, 6, 7, 4, 5));
    return v[0] < v[1] ? v[1] : v[0];
}

CURTAIN_INLINE V8 from_half8(const uint16_t *x) {
#if defined(__F16C__)
    return (V8)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(x)));
#elif defined(__aarch64__)
    const float16x8_t h = vreinterpretq_f16_u16(vld1q_u16(x));
    const float32x4_t parts[2] = {vcvt_f32_f16(vget_low_f16(h)), vcvt_f32_f16(vget_high_f16(h))};
    V8 v;
    memcpy(&v, parts, sizeof v);
    return v;
#else
    H8 h;
    memcpy(&h, x, sizeof h);
    const U8 bits = __builtin_convertvector(h, U8);
    // Exponents differ by 112; the product is exact, for subnormals too.
    const U8 magnitude = as_bits(as_floats((bits & 0x7fff) << 13) * splat8(0x1p112f));
    const I8 special = (bits & 0x7c00) == 0x7c00;
    U8 infinite;
    memcpy(&infinite, &special, sizeof infinite);
    return as_floats(magnitude | (infinite & 0x7f800000) | (bits & 0x8000) << 16);
#endif
}

CURTAIN_INLINE void to_half8(V8 v, uint16_t *x) {
#if defined(__F16C__)
    _mm_storeu_si128(reinterpret_cast<__m128i *>(x), _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__aarch64__)
    float32x4_t parts[2];
    memcpy(parts, &v, sizeof parts);
    vst1q_u16(x, vreinterpretq_u16_f16(vcombine_f16(vcvt_f16_f32(parts[0]), vcvt_f16_f32(parts[1]))));
#else
    for (int i = 0; i < 8; i++) {
        uint32_t bits;
        const float value = v[i];
        memcpy(&bits, &value, sizeof bits);
        const uint32_t sign = bits >> 16 & 0x8000;
        bits &= 0x7fffffff;
        if (bits > 0x7f800000) {
            bits = 0x7e00;
        } else if (bits >= 0x477ff000) {  // 65520 rounds to infinity
            bits = 0x7c00;
        } else if (bits < 0x38800000) {  // under 2^-14: subnormal; 0.5's last bit is 2^-24
            float small;
            memcpy(&small, &bits, sizeof small);
            small += 0.5f;
            memcpy(&bits, &small, sizeof bits);
            bits -= 0x3f000000;
        } else {
            bits = (bits + 0xfff + (bits >> 13 & 1) - 0x38000000) >> 13;
        }
        x[i] = static_cast<uint16_t>(sign | bits);
    }
#endif
}

// e^x to about 2e-7, x taken as within -87..88; NaN gives NaN. x = n ln 2 + r; Taylor's series for |r| <= ln 2 / 2.
CURTAIN_INLINE V8 exp8(V8 x) {
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: a sum with it is rounded to an integer
    x = x < splat8(-87.0f) ? splat8(-87.0f) : x;
    x = x > splat8(88.0f) ? splat8(88.0f) : x;
    const V8 shifted = fma8(x, splat8(1.44269504f), splat8(kRound)), n = shifted - kRound;
    V8 r = fma8(n, splat8(-0.693359375f), x);  // ln 2 in two parts; the first times n is exact
    r = fma8(n, splat8(2.12194440e-4f), r);
    V8 y = splat8(1.0f / 5040);
    y = fma8(y, r, splat8(1.0f / 720));
    y = fma8(y, r, splat8(1.0f / 120));
    y = fma8(y, r, splat8(1.0f / 24));
    y = fma8(y, r, splat8(1.0f / 6));
    y = fma8(y, r, splat8(0.5f));
    y = fma8(y, r, splat8(1.0f));
    y = fma8(y, r, splat8(1.0f));
    return as_floats(as_bits(y) + (as_bits(shifted) << 23));
}

// Two blocks of eight rows of eight, transposed in place: one in the first halves of m, one in the second.
CURTAIN_INLINE void transpose8(H16 *m) {
    for (int round = 0; round < 3; round++) {
        H16 t[8];
        for (int i = 0; i < 4; i++) {
            t[2 * i] = CURTAIN_SHUFFLE(m[i], m[i + 4], 0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11, 27);
            t[2 * i + 1] =
                CURTAIN_SHUFFLE(m[i], m[i + 4], 4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13, 29, 14, 30, 15, 31);
        }
        memcpy(m, t, sizeof t);
    }
}

}  // namespace
}  // namespace curtain::steps
