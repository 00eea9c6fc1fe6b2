/* Q4_K times one token, AVX-512 VNNI: 8 rows together. Products of pairs fit int16 (15 * 127 * 2),
 * and the sub-blocks' scales multiply them in the integer sum, as the definition asks. */
#include "kernel/k_avx512.h"

#define ROWS  8
#define BYTES 144

/* One row's levels against the token: 16 partial sums. `first`: the number of its first scale. */
COVEY__INLINE __m512i row_sums(const uint8_t *w, const __m512i q[4], __m512i scales, int first) {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i z = _mm512_setzero_si512();
    COVEY__UNROLL
    for (int c = 0; c < 2; c++) {
        __m512i both = covey__load512(w + 64 * c);
        __m512i low = _mm512_and_si512(both, nibble);
        __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
        int s = first + 4 * c;
        z = _mm512_dpwssd_epi32(z, _mm512_maddubs_epi16(low, q[2 * c]),
                                covey__spread_scales(scales, s, s, s + 2, s + 2));
        z = _mm512_dpwssd_epi32(z, _mm512_maddubs_epi16(high, q[2 * c + 1]),
                                covey__spread_scales(scales, s + 1, s + 1, s + 3, s + 3));
    }
    return z;
}

void covey__matvec_q4_k_avx512(const covey__weights *w, const covey__act_row *a, int32_t r0,
                               int32_t r1, const uint8_t *next, float *out) {
    const __m512i zero = _mm512_setzero_si512();
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 256; b++) {
            size_t at = (size_t)b * BYTES;
            const int8_t *x = a->q + 256 * b;
            __m512i q[4] = {covey__pair512(x, x + 64), covey__pair512(x + 32, x + 96),
                            covey__pair512(x + 128, x + 192), covey__pair512(x + 160, x + 224)};
            __m512i sums = _mm512_broadcast_i32x4(covey__load128(a->sums32 + 8 * b));
            __m512i heads[2], mins[2], z[ROWS];
            COVEY__UNROLL
            for (int k = 0; k < 2; k++) {
                heads[k] = covey__rows4(p + 4 * k, at);
                __m512i bits = covey__six_bits4(heads[k]);
                __m512i scales = _mm512_unpacklo_epi8(bits, zero);
                mins[k] = _mm512_madd_epi16(_mm512_unpackhi_epi8(bits, zero), sums);
                COVEY__UNROLL
                for (int i = 0; i < 4; i++, ahead += BYTES) {
                    covey__prefetch(ahead, BYTES);
                    z[4 * k + i] = row_sums(p[4 * k + i] + at + 16, q, scales, 8 * i);
                }
            }
            acc =
                covey__step_min8(acc, covey__sum_rows8_512(z), covey__sum_lanes8(mins[0], mins[1]),
                                 covey__first_dwords8(heads[0], heads[1]), a->d[b]);
        }
        covey__store8(out + r, r1 - r, acc);
    }
}
