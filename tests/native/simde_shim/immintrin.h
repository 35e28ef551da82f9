// <immintrin.h> for a CPU without AVX-512: the kernels' own sources, compiled against SIMDe's emulation of the
// intrinsics. SIMDe's names replace the compiler's; what its version in Debian 12 lacks is added below.
#pragma once
#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

inline simde__m512 shim_cvtepi32_ps(simde__m512i a) {
    simde__m512i_private from = simde__m512i_to_private(a);
    simde__m512_private to;
    for (int i = 0; i < 2; i++) to.m256[i] = simde_mm256_cvtepi32_ps(from.m256i[i]);
    return simde__m512_from_private(to);
}

inline simde__m512i shim_cvtepu16_epi32(simde__m256i a) {
    simde__m256i_private from = simde__m256i_to_private(a);
    simde__m512i_private to;
    for (int i = 0; i < 2; i++) to.m256i[i] = simde_mm256_cvtepu16_epi32(from.m128i[i]);
    return simde__m512i_from_private(to);
}

#define _mm512_cvtepi32_ps(a) shim_cvtepi32_ps(a)
#define _mm512_cvtepu16_epi32(a) shim_cvtepu16_epi32(a)
#undef _mm512_madd_epi16  // defined with the masked one's arguments
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)
