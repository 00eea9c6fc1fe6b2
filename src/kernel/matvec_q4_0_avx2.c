/* Q4_0 times one token, AVX2: 8 rows together. Weights stay unsigned (0 to 15), and the bias takes
 * 8 times the sum back. */
#include "kernel/lanes_avx2.h"

#define ROWS 8

void covey__matvec_q4_0_avx2(const covey__weights *w, const covey__act_row *a, int32_t r0,
                             int32_t r1, const uint8_t *next, float *out) {
    const __m256i one = _mm256_set1_epi16(1), nibble = _mm256_set1_epi8(15);
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 32; b++, ahead += 18 * ROWS) {
            size_t at = (size_t)b * 18;
            covey__prefetch(ahead, 18 * ROWS);
            __m256i q = covey__load256(a->q + 32 * b), z[ROWS];
            COVEY__UNROLL
            for (int i = 0; i < ROWS; i++) {
                __m128i both = covey__load128(p[i] + at + 2);
                __m256i weights = _mm256_inserti128_si256(_mm256_castsi128_si256(both),
                                                          _mm_srli_epi16(both, 4), 1);
                weights = _mm256_and_si256(weights, nibble);
                z[i] = _mm256_madd_epi16(_mm256_maddubs_epi16(weights, q), one);
            }
            __m256i isum = _mm256_add_epi32(covey__sum_rows8(z), _mm256_set1_epi32(a->bias[0][b]));
            __m256 scale = _mm256_mul_ps(covey__scales8(p, at), _mm256_set1_ps(a->d[b]));
            acc = _mm256_add_ps(acc, _mm256_mul_ps(_mm256_cvtepi32_ps(isum), scale));
        }
        covey__put8(out + r, r1 - r, acc);
    }
}
