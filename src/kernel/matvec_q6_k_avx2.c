/* Q6_K times one token, AVX2: 8 rows together. Products of pairs fit int16 (63 * 127 * 2), and the
 * sub-blocks' scales multiply them in the integer sum, as the definition asks. */
#include "kernel/q6_k_avx2.h"

#define ROWS 8

/* Sub-blocks 2j and 2j + 1 of the four in each 128-bit half of `scales`: each over 16 weights. */
COVEY__INLINE __m256i spread_scales(__m256i scales, int j) {
    const __m256i lane = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2,
                                          3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3);
    return _mm256_shuffle_epi8(scales, _mm256_add_epi8(lane, _mm256_set1_epi8((char)(4 * j))));
}

COVEY__INLINE __m256i half_sums(__m256i z, const uint8_t *low, const uint8_t *high, const int8_t *q,
                                __m256i scales) {
    __m256i u[4];
    covey__q6_k_half(low, high, u);
    COVEY__UNROLL
    for (int j = 0; j < 4; j++) {
        __m256i pairs = _mm256_maddubs_epi16(u[j], covey__load256(q + 32 * j));
        z = _mm256_add_epi32(z, _mm256_madd_epi16(pairs, spread_scales(scales, j)));
    }
    return z;
}

/* One row's block against the token: 8 partial sums. */
COVEY__INLINE __m256i block_sums(const uint8_t *w, const int8_t *q, __m256i sums16) {
    __m256i scales = _mm256_cvtepi8_epi16(covey__load128(w + 192));
    __m256i bias = _mm256_slli_epi32(_mm256_madd_epi16(scales, sums16), 5);
    __m256i z = _mm256_sub_epi32(_mm256_setzero_si256(), bias);
    z = half_sums(z, w, w + 128, q, _mm256_permute2x128_si256(scales, scales, 0x00));
    return half_sums(z, w + 64, w + 160, q + 128, _mm256_permute2x128_si256(scales, scales, 0x11));
}

void covey__matvec_q6_k_avx2(const covey__weights *w, const covey__act_row *a, int32_t r0,
                             int32_t r1, const uint8_t *next, float *out) {
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 256; b++) {
            size_t at = (size_t)b * 210;
            __m256i sums16 = covey__load256(a->sums16 + 16 * b), z[ROWS];
            for (int i = 0; i < ROWS; i++, ahead += 210) {
                covey__prefetch(ahead, 210);
                z[i] = block_sums(p[i] + at, a->q + 256 * b, sums16);
            }
            __m256 isum = _mm256_cvtepi32_ps(covey__sum_rows8(z));
            __m256 scaled = _mm256_mul_ps(isum, covey__scales8(p, at + 208));
            acc = _mm256_add_ps(acc, _mm256_mul_ps(scaled, _mm256_set1_ps(a->d[b])));
        }
        covey__put8(out + r, r1 - r, acc);
    }
}
