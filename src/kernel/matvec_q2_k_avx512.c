/* Q2_K times one token, AVX-512 VNNI: 8 rows together, as in matvec_k_avx512.h, with a minimum for
 * each 16 columns. */
#include "kernel/matvec_k_avx512.h"

/* d and dmin of 8 rows. */
COVEY__INLINE __m256i halves8(const uint8_t *const p[8], size_t at) {
    int32_t d[8];
    for (int i = 0; i < 8; i++) memcpy(d + i, p[i] + at, 4);
    return _mm256_setr_epi32(d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]);
}

void covey__matvec_q2_k_avx512(const covey__weights *w, const covey__act_row *a, int32_t r0,
                               int32_t r1, const uint8_t *next, float *out) {
    const size_t bytes = 84;
    for (int32_t r = r0; r < r1; r += COVEY__K_ROWS) {
        const uint8_t *p[COVEY__K_ROWS], *ahead = covey__ahead(w, r, r1, COVEY__K_ROWS, next);
        covey__rows(w, r, r1, 0, p, COVEY__K_ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 256; b++) {
            size_t at = (size_t)b * bytes;
            __m512i q[4], z[COVEY__K_ROWS];
            __m256i y[COVEY__K_ROWS];
            covey__order_twos(a->q + 256 * b, q);
            __m256i sums16 = covey__load256(a->sums16 + 16 * b);
            COVEY__UNROLL
            for (int i = 0; i < COVEY__K_ROWS; i++, ahead += bytes) {
                __m512i u[4], s[4];
                covey__prefetch(ahead, bytes);
                covey__levels_q2_k(p[i] + at, u);
                __m256i both = _mm256_cvtepu8_epi16(covey__load128(p[i] + at));
                __m256i scales = _mm256_and_si256(both, _mm256_set1_epi16(15));
                covey__spread_twos(_mm512_castsi256_si512(scales), 0, s);
                y[i] = _mm256_madd_epi16(_mm256_srli_epi16(both, 4), sums16);
                z[i] = covey__k_dot(_mm512_setzero_si512(), u, q, s);
            }
            acc = covey__step_min8(acc, covey__sum_rows8_512(z), covey__sum_rows8(y),
                                   halves8(p, at + 80), a->d[b]);
        }
        covey__store8(out + r, r1 - r, acc);
    }
}
