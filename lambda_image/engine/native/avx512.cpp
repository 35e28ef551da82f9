// AVX-512 without VNNI (Skylake): products of 8 bits are added in 16 bits, of which 4 fit: 15 * 127 * 8 = 15240.
#include "avx512.h"
#include "glue.h"
#include "quantize.h"

namespace curtain {
namespace {

inline __m512i dot(const __m512i weights[4], const __m512i x[4]) {
    const __m512i a = _mm512_add_epi16(_mm512_maddubs_epi16(weights[0], x[0]), _mm512_maddubs_epi16(weights[1], x[1]));
    const __m512i b = _mm512_add_epi16(_mm512_maddubs_epi16(weights[2], x[2]), _mm512_maddubs_epi16(weights[3], x[3]));
    return _mm512_madd_epi16(_mm512_add_epi16(a, b), _mm512_set1_epi16(1));
}

}  // namespace

const Kernels avx512 = {"avx512", has_avx512, quantize, matmul<dot>, &glue};

}  // namespace curtain
