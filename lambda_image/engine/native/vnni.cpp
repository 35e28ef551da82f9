// AVX-512 with VNNI (Ice Lake, Zen 4 and newer): one instruction multiplies 8 bits and adds in 32.
#include "avx512.h"
#include "glue.h"
#include "quantize.h"

namespace curtain {
namespace {

bool supported() {
    unsigned a, b, c, d;
    return has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_AVX512VNNI);
}

inline __m512i dot(const __m512i weights[4], const __m512i x[4]) {
    const __m512i a = _mm512_dpbusd_epi32(_mm512_setzero_si512(), weights[0], x[0]);
    const __m512i b = _mm512_dpbusd_epi32(a, weights[1], x[1]);
    const __m512i c = _mm512_dpbusd_epi32(b, weights[2], x[2]);
    return _mm512_dpbusd_epi32(c, weights[3], x[3]);
}

}  // namespace

const Kernels vnni = {"vnni", supported, quantize, matmul<dot>, &glue};

}  // namespace curtain
