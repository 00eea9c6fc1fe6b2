/* Q4_0 times one token, AVX-512 VNNI: 16 rows together, four rows in the 128-bit lanes of a
 * register, low nibbles against the first half of the block and high ones against the second.
 * Weights stay unsigned (0 to 15), and the bias takes 8 times the sum back. */
#include "kernel/lanes_avx512.h"

#define ROWS 16

COVEY__INLINE __m512i load_rows4(const uint8_t *const *p, size_t at) {
    __m512i z = _mm512_castsi128_si512(covey__load128(p[0] + at));
    z = _mm512_inserti32x4(z, covey__load128(p[4] + at), 1);
    z = _mm512_inserti32x4(z, covey__load128(p[8] + at), 2);
    return _mm512_inserti32x4(z, covey__load128(p[12] + at), 3);
}

void covey__matvec_q4_0_avx512(const covey__weights *w, const covey__act_row *a, int32_t r0,
                               int32_t r1, const uint8_t *next, float *out) {
    const __m512i nibble = _mm512_set1_epi8(15), zero = _mm512_setzero_si512();
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m512 acc = _mm512_setzero_ps();
        for (int32_t b = 0; b < w->columns / 32; b++, ahead += 18 * ROWS) {
            size_t at = (size_t)b * 18;
            covey__prefetch(ahead, 18 * ROWS);
            __m512i q0 = _mm512_broadcast_i32x4(covey__load128(a->q + 32 * b));
            __m512i q1 = _mm512_broadcast_i32x4(covey__load128(a->q + 32 * b + 16)), z[4];
            COVEY__UNROLL
            for (int i = 0; i < 4; i++) {
                __m512i both = load_rows4(p + i, at + 2);
                __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
                z[i] = _mm512_dpbusd_epi32(zero, _mm512_and_si512(both, nibble), q0);
                z[i] = _mm512_dpbusd_epi32(z[i], high, q1);
            }
            __m512i isum = _mm512_add_epi32(covey__sum_lanes4(z[0], z[1], z[2], z[3]),
                                            _mm512_set1_epi32(a->bias[0][b]));
            __m512 scale = _mm512_mul_ps(covey__scales16(p, at), _mm512_set1_ps(a->d[b]));
            acc = _mm512_add_ps(acc, _mm512_mul_ps(_mm512_cvtepi32_ps(isum), scale));
        }
        _mm512_mask_storeu_ps(out + r, covey__mask16(r1 - r), acc);
    }
}
