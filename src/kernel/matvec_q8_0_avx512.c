/* Q8_0 times one token, AVX-512 VNNI: 8 rows together in 256-bit registers, their integer sums
 * transposed into lanes so that the float steps of 8 outputs run side by side. Weights become
 * unsigned by adding 128, which the bias takes back. */
#include "kernel/lanes_avx512.h"

#define ROWS 8

void covey__matvec_q8_0_avx512(const covey__weights *w, const covey__act_row *a, int32_t r0,
                               int32_t r1, const uint8_t *next, float *out) {
    const __m256i flip = _mm256_set1_epi8(-128);
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
                __m256i weights = _mm256_xor_si256(covey__load256(p[i] + at + 2), flip);
                z[i] = _mm256_dpbusd_epi32(_mm256_setzero_si256(), weights, q);
            }
            __m256i isum = _mm256_add_epi32(covey__sum_rows8(z), _mm256_set1_epi32(a->bias[1][b]));
            __m256 scale =
                _mm256_mul_ps(_mm256_cvtph_ps(covey__halves8(p, at)), _mm256_set1_ps(a->d[b]));
            acc = _mm256_add_ps(acc, _mm256_mul_ps(_mm256_cvtepi32_ps(isum), scale));
        }
        _mm256_mask_storeu_ps(out + r, (__mmask8)covey__mask16(r1 - r < 8 ? r1 - r : 8), acc);
    }
}
