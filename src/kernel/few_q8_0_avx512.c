/* Q8_0 times 2 to 8 tokens, AVX-512 VNNI: see few_avx512.h. Levels are 128 too much, which the
 * activations' bias takes back. */
#include "kernel/few_avx512.h"

#define BYTES 34
#define PACE  (16 * BYTES / 10 + 1)

COVEY__INLINE void block(covey__few f, size_t b, size_t at, const uint8_t *ahead, __m512 *acc,
                         const int tokens) {
    const size_t blocks = (size_t)f.a->columns / 32;
    const __m512i flip = _mm512_set1_epi8(-128);
    __m512i x[8];
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++)
        x[t] = _mm512_set1_epi32(f.a->bias[1][covey__few_at(b, blocks, t, tokens)]);
    for (size_t k = b * 8, end = k + 8; k < end; k += 4, at += 16, ahead += 5 * PACE) {
        __m512i z[4];
        covey__few_prefetch(ahead, 0, PACE);
        covey__few_dwords(f, at + 2, z);
        COVEY__UNROLL
        for (int i = 0; i < 4; i++) {
            covey__few_prefetch(ahead, 1 + i, PACE);
            covey__few_dot(f, x, _mm512_xor_si512(z[i], flip), k + (size_t)i, tokens);
        }
    }
    __m512 d = covey__scales16(f.row, at - 32);
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        __m512 scale = _mm512_mul_ps(d, covey__few_d(f, b, blocks, t, tokens));
        acc[t] = _mm512_add_ps(acc[t], _mm512_mul_ps(_mm512_cvtepi32_ps(x[t]), scale));
    }
}

COVEY__FEW(q8_0, BYTES, 32)
