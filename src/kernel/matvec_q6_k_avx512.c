/* Q6_K times one token, AVX-512 VNNI: 8 rows together. Products of pairs fit int16 (63 * 127 * 2),
 * and the sub-blocks' scales multiply them in the integer sum, as the definition asks. */
#include "kernel/q6_k_avx512.h"

#define ROWS 8

/* The scales of sub-blocks 4j to 4j + 3 (int16 in `scales`), each over its 16 weights. */
COVEY__INLINE __m512i spread_scales(__m512i scales, int j) {
    const __m512i lane =
        _mm512_setr_epi32(0, 0, 0, 0, 0x10001, 0x10001, 0x10001, 0x10001, 0x20002, 0x20002, 0x20002,
                          0x20002, 0x30003, 0x30003, 0x30003, 0x30003);
    __m512i index = _mm512_add_epi16(lane, _mm512_set1_epi16((int16_t)(4 * j)));
    return _mm512_permutexvar_epi16(index, scales);
}

/* One row's block against the token: 16 partial sums. */
COVEY__INLINE __m512i block_sums(const uint8_t *w, const __m512i q[4], __m256i sums16) {
    __m512i u[4];
    covey__q6_k_half(w, w + 128, &u[0], &u[1]);
    covey__q6_k_half(w + 64, w + 160, &u[2], &u[3]);
    __m256i scales = _mm256_cvtepi8_epi16(covey__load128(w + 192));
    __m512i wide = _mm512_castsi256_si512(scales);
    __m256i bias = _mm256_slli_epi32(_mm256_madd_epi16(scales, sums16), 5);
    __m512i z = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_zextsi256_si512(bias));
    COVEY__UNROLL
    for (int j = 0; j < 4; j++)
        z = _mm512_dpwssd_epi32(z, _mm512_maddubs_epi16(u[j], q[j]), spread_scales(wide, j));
    return z;
}

COVEY__INLINE __m256i fold(__m512i z) {
    return _mm256_add_epi32(_mm512_castsi512_si256(z), _mm512_extracti64x4_epi64(z, 1));
}

void covey__matvec_q6_k_avx512(const covey__weights *w, const covey__act_row *a, int32_t r0,
                               int32_t r1, const uint8_t *next, float *out) {
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 256; b++) {
            size_t at = (size_t)b * 210;
            __m512i q[4];
            for (int j = 0; j < 4; j++) q[j] = covey__load512(a->q + 256 * b + 64 * j);
            __m256i sums16 = covey__load256(a->sums16 + 16 * b), z[ROWS];
            COVEY__UNROLL
            for (int i = 0; i < ROWS; i++, ahead += 210) {
                covey__prefetch(ahead, 210);
                z[i] = fold(block_sums(p[i] + at, q, sums16));
            }
            __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(covey__sum_rows8(z)),
                                          _mm256_cvtph_ps(covey__halves8(p, at + 208)));
            acc = _mm256_add_ps(acc, _mm256_mul_ps(scaled, _mm256_set1_ps(a->d[b])));
        }
        _mm256_mask_storeu_ps(out + r, (__mmask8)covey__mask16(r1 - r < 8 ? r1 - r : 8), acc);
    }
}
