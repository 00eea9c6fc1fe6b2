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
    COVEY__UNROLL
    for (int half = 0; half < 2; half++) {
        __m512i z[4];
        covey__few_prefetch(ahead, 5 * half, PACE);
        covey__few_dwords(f, at + 2 + 16 * (size_t)half, z);
        COVEY__UNROLL
        for (int k = 0; k < 4; k++) {
            covey__few_prefetch(ahead, 5 * half + 1 + k, PACE);
            covey__few_dot(f, x, _mm512_xor_si512(z[k], flip), b * 8 + (size_t)(4 * half + k),
                           tokens);
        }
    }
    __m512 d = covey__scales16(f.row, at);
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        __m512 scale = _mm512_mul_ps(d, covey__few_d(f, b, blocks, t, tokens));
        acc[t] = _mm512_add_ps(acc[t], _mm512_mul_ps(_mm512_cvtepi32_ps(x[t]), scale));
    }
}

COVEY__FEW(q8_0, BYTES, 32)
