/* IQ4_XS times one token, AVX-512 VNNI: 8 rows together. The codebook's values plus 128 go through
 * 4-way products, since pairs would not fit int16; a lane is a sub-block of 32, and its scale
 * multiplies the sum. What the 128 add is taken back by the activations' sums. */
#include "kernel/k_avx512.h"

#define ROWS 8

/* One row against the token: 16 partial sums. */
COVEY__INLINE __m512i row_sums(const uint8_t *block, const __m512i low[2], const __m512i high[2],
                               __m128i scales, __m128i sums32) {
    const __m512i nibble = _mm512_set1_epi8(15), book = covey__codebook_plus128();
    const __m512i lane = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    __m512i wide = _mm512_castsi256_si512(_mm256_cvtepi16_epi32(scales));
    __m128i bias = _mm_slli_epi32(_mm_madd_epi16(scales, sums32), 7);
    __m512i z = _mm512_zextsi128_si512(_mm_sub_epi32(_mm_setzero_si128(), bias));
    COVEY__UNROLL
    for (int c = 0; c < 2; c++) {
        __m512i both = covey__load512(block + 8 + 64 * c);
        __m512i u = _mm512_shuffle_epi8(book, _mm512_and_si512(both, nibble));
        __m512i x = _mm512_dpbusd_epi32(_mm512_setzero_si512(), u, low[c]);
        u = _mm512_shuffle_epi8(book, _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble));
        x = _mm512_dpbusd_epi32(x, u, high[c]);
        __m512i index = _mm512_add_epi32(lane, _mm512_set1_epi32(4 * c));
        x = _mm512_mullo_epi32(x, _mm512_permutexvar_epi32(index, wide));
        z = _mm512_add_epi32(z, x);
    }
    return z;
}

/* The token's values 0 to 15 of each 32 go with low nibbles, the others with high ones. */
COVEY__INLINE void order(const int8_t *q, __m512i low[2], __m512i high[2]) {
    const __m512i first = _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13);
    const __m512i second = _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15);
    for (int c = 0; c < 2; c++) {
        __m512i a = covey__load512(q + 128 * c), b = covey__load512(q + 128 * c + 64);
        low[c] = _mm512_permutex2var_epi64(a, first, b);
        high[c] = _mm512_permutex2var_epi64(a, second, b);
    }
}

void covey__matvec_iq4_xs_avx512(const covey__weights *w, const covey__act_row *a, int32_t r0,
                                 int32_t r1, const uint8_t *next, float *out) {
    const size_t bytes = 136;
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 256; b++) {
            size_t at = (size_t)b * bytes;
            __m512i low[2], high[2], heads[2], z[ROWS];
            order(a->q + 256 * b, low, high);
            __m128i sums32 = covey__load128(a->sums32 + 8 * b);
            COVEY__UNROLL
            for (int k = 0; k < 2; k++) {
                heads[k] = covey__rows4(p + 4 * k, at);
                __m512i scales = covey__scales_iq4_xs(heads[k]);
                __m128i lanes[4] = {
                    _mm512_castsi512_si128(scales), _mm512_extracti32x4_epi32(scales, 1),
                    _mm512_extracti32x4_epi32(scales, 2), _mm512_extracti32x4_epi32(scales, 3)};
                COVEY__UNROLL
                for (int i = 0; i < 4; i++, ahead += bytes) {
                    covey__prefetch(ahead, bytes);
                    z[4 * k + i] = row_sums(p[4 * k + i] + at, low, high, lanes[i], sums32);
                }
            }
            __m256i halves = covey__first_dwords8(heads[0], heads[1]);
            acc =
                covey__step8(acc, covey__sum_rows8_512(z), _mm256_cvtepi32_epi16(halves), a->d[b]);
        }
        covey__store8(out + r, r1 - r, acc);
    }
}
