/* Q4_0 times 2 to 8 tokens, AVX-512 VNNI: see few_avx512.h. Levels are 8 too much, which the
 * activations' bias takes back. */
#include "kernel/few_avx512.h"

#define BYTES 18
#define PACE  (16 * BYTES / 5 + 1)

COVEY__INLINE void block(covey__few f, size_t b, size_t at, const uint8_t *ahead, __m512 *acc,
                         const int tokens) {
    const size_t blocks = (size_t)f.a->columns / 32;
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i x[8], z[4];
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++)
        x[t] = _mm512_set1_epi32(f.a->bias[0][covey__few_at(b, blocks, t, tokens)]);
    covey__few_prefetch(ahead, 0, PACE);
    covey__few_dwords(f, at + 2, z);
    COVEY__UNROLL
    for (int k = 0; k < 4; k++) {
        covey__few_prefetch(ahead, 1 + k, PACE);
        covey__few_dot(f, x, _mm512_and_si512(z[k], nibble), b * 8 + (size_t)k, tokens);
        covey__few_dot(f, x, _mm512_and_si512(_mm512_srli_epi16(z[k], 4), nibble),
                       b * 8 + (size_t)k + 4, tokens);
    }
    __m512 d = covey__scales16(f.row, at);
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        __m512 scale = _mm512_mul_ps(d, covey__few_d(f, b, blocks, t, tokens));
        acc[t] = _mm512_add_ps(acc[t], _mm512_mul_ps(_mm512_cvtepi32_ps(x[t]), scale));
    }
}

COVEY__FEW(q4_0, BYTES, 32)
