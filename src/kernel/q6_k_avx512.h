/* Unpacking Q6_K with AVX-512, for matvec_q6_k_avx512.c and matmul_q6_k_avx512.c. */
#ifndef COVEY_KERNEL_Q6_K_AVX512_H
#define COVEY_KERNEL_Q6_K_AVX512_H

#include "kernel/lanes_avx512.h"

/* Half a block (64 bytes of low bits, 32 of high ones) as 128 unsigned weights (0 to 63) in order.
 */
COVEY__INLINE void covey__q6_k_half(const uint8_t *low, const uint8_t *high, __m512i *first,
                                    __m512i *second) {
    const __m512i nibble = _mm512_set1_epi8(15), bits = _mm512_set1_epi8(0x30);
    const __m512i left = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
    const __m512i right = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1);
    __m512i l = covey__load512(low), h = _mm512_broadcast_i64x4(covey__load256(high));
    __m512i h0 = _mm512_and_si512(_mm512_sllv_epi16(h, left), bits);
    __m512i h1 = _mm512_and_si512(_mm512_srlv_epi16(h, right), bits);
    *first = _mm512_ternarylogic_epi32(l, nibble, h0, 0xea); /* (l & nibble) | h0 */
    *second = _mm512_ternarylogic_epi32(_mm512_srli_epi16(l, 4), nibble, h1, 0xea);
}

#endif
