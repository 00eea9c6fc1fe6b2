/* Unpacking Q6_K with AVX2, for matvec_q6_k_avx2.c and matmul_q6_k_avx2.c. */
#ifndef COVEY_KERNEL_Q6_K_AVX2_H
#define COVEY_KERNEL_Q6_K_AVX2_H

#include "kernel/lanes_avx2.h"

/* Half a block (64 bytes of low bits, 32 of high ones) as 128 unsigned weights (0 to 63) in order.
 */
COVEY__INLINE void covey__q6_k_half(const uint8_t *low, const uint8_t *high, __m256i u[4]) {
    const __m256i nibble = _mm256_set1_epi8(15), bits = _mm256_set1_epi8(0x30);
    __m256i l0 = covey__load256(low), l1 = covey__load256(low + 32), h = covey__load256(high);
    u[0] = _mm256_or_si256(_mm256_and_si256(l0, nibble),
                           _mm256_and_si256(_mm256_slli_epi16(h, 4), bits));
    u[1] = _mm256_or_si256(_mm256_and_si256(l1, nibble),
                           _mm256_and_si256(_mm256_slli_epi16(h, 2), bits));
    u[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(l0, 4), nibble),
                           _mm256_and_si256(h, bits));
    u[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(l1, 4), nibble),
                           _mm256_and_si256(_mm256_srli_epi16(h, 2), bits));
}

#endif
