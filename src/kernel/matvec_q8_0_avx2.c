/* Q8_0 times one token, AVX2: 8 rows together, their integer sums transposed into lanes so that the
 * float steps of 8 outputs run side by side. The unsigned factor of the byte product is |w|, with
 * w's sign moved to the activation: -128 may occur in w, never in the activation, and two products
 * of 128 * 127 fit int16. */
#include "kernel/lanes_avx2.h"

#define ROWS 8

void covey__matvec_q8_0_avx2(const covey__weights *w, const covey__act_row *a, int32_t r0,
                             int32_t r1, const uint8_t *next, float *out) {
    const __m256i one = _mm256_set1_epi16(1);
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 32; b++, ahead += 34 * ROWS) {
            size_t at = (size_t)b * 34;
            covey__prefetch(ahead, 34 * ROWS);
            __m256i q = covey__load256(a->q + 32 * b), z[ROWS];
            COVEY__UNROLL
            for (int i = 0; i < ROWS; i++) {
                __m256i weights = covey__load256(p[i] + at + 2);
                __m256i pairs =
                    _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(q, weights));
                z[i] = _mm256_madd_epi16(pairs, one);
            }
            __m256 scale = _mm256_mul_ps(covey__scales8(p, at), _mm256_set1_ps(a->d[b]));
            __m256 isum = _mm256_cvtepi32_ps(covey__sum_rows8(z));
            acc = _mm256_add_ps(acc, _mm256_mul_ps(isum, scale));
        }
        covey__put8(out + r, r1 - r, acc);
    }
}
