/* One token by rows of K types, AVX-512 VNNI: the two loops that the types' files share, 8 rows
 * together, their integer sums transposed into lanes so that the float steps of 8 outputs run side
 * by side. */
#ifndef COVEY_KERNEL_MATVEC_K_AVX512_H
#define COVEY_KERNEL_MATVEC_K_AVX512_H

#include "kernel/k_avx512.h"

#define COVEY__K_ROWS 8

/* Q4_K and Q5_K. */
COVEY__INLINE void covey__matvec_six_bits(const covey__weights *w, const covey__act_row *a,
                                          int32_t r0, int32_t r1, const uint8_t *next, float *out,
                                          const size_t bytes, covey__k_levels_fn levels) {
    const __m512i zero = _mm512_setzero_si512();
    for (int32_t r = r0; r < r1; r += COVEY__K_ROWS) {
        const uint8_t *p[COVEY__K_ROWS], *ahead = covey__ahead(w, r, r1, COVEY__K_ROWS, next);
        covey__rows(w, r, r1, 0, p, COVEY__K_ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 256; b++) {
            size_t at = (size_t)b * bytes;
            __m512i q[4], heads[2], mins[2], z[COVEY__K_ROWS];
            covey__order_nibbles(a->q + 256 * b, q);
            __m512i sums = _mm512_broadcast_i32x4(covey__load128(a->sums32 + 8 * b));
            COVEY__UNROLL
            for (int k = 0; k < 2; k++) {
                heads[k] = covey__rows4(p + 4 * k, at);
                __m512i bits = covey__six_bits4(heads[k]);
                __m512i scales = _mm512_unpacklo_epi8(bits, zero);
                mins[k] = _mm512_madd_epi16(_mm512_unpackhi_epi8(bits, zero), sums);
                COVEY__UNROLL
                for (int i = 0; i < 4; i++, ahead += bytes) {
                    __m512i u[4], s[4];
                    covey__prefetch(ahead, bytes);
                    levels(p[4 * k + i] + at, u);
                    covey__spread_nibbles(scales, 8 * i, s);
                    z[4 * k + i] = covey__k_dot(zero, u, q, s);
                }
            }
            acc =
                covey__step_min8(acc, covey__sum_rows8_512(z), covey__sum_lanes8(mins[0], mins[1]),
                                 covey__first_dwords8(heads[0], heads[1]), a->d[b]);
        }
        covey__store8(out + r, r1 - r, acc);
    }
}

/* Q6_K and Q3_K: 16 scales as bytes from the 16 bytes at `scales_at` of each block, and levels that
 * are 2^shift too much. */
COVEY__INLINE void covey__matvec_sixteen(const covey__weights *w, const covey__act_row *a,
                                         int32_t r0, int32_t r1, const uint8_t *next, float *out,
                                         const size_t bytes, const size_t scales_at,
                                         const int shift, covey__k_levels_fn levels,
                                         __m512i (*take_scales)(__m512i bytes4),
                                         covey__k_order_fn order, covey__k_spread_fn spread) {
    for (int32_t r = r0; r < r1; r += COVEY__K_ROWS) {
        const uint8_t *p[COVEY__K_ROWS], *ahead = covey__ahead(w, r, r1, COVEY__K_ROWS, next);
        covey__rows(w, r, r1, 0, p, COVEY__K_ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 256; b++) {
            size_t at = (size_t)b * bytes;
            __m512i q[4], z[COVEY__K_ROWS];
            order(a->q + 256 * b, q);
            __m256i sums16 = covey__load256(a->sums16 + 16 * b);
            COVEY__UNROLL
            for (int k = 0; k < 2; k++) {
                __m512i bytes4 = take_scales(covey__rows4(p + 4 * k, at + scales_at));
                __m128i lanes[4] = {
                    _mm512_castsi512_si128(bytes4), _mm512_extracti32x4_epi32(bytes4, 1),
                    _mm512_extracti32x4_epi32(bytes4, 2), _mm512_extracti32x4_epi32(bytes4, 3)};
                COVEY__UNROLL
                for (int i = 0; i < 4; i++, ahead += bytes) {
                    __m512i u[4], s[4];
                    covey__prefetch(ahead, bytes);
                    levels(p[4 * k + i] + at, u);
                    __m256i scales = _mm256_cvtepi8_epi16(lanes[i]);
                    spread(_mm512_castsi256_si512(scales), 0, s);
                    __m256i bias = _mm256_slli_epi32(_mm256_madd_epi16(scales, sums16), shift);
                    bias = _mm256_sub_epi32(_mm256_setzero_si256(), bias);
                    z[4 * k + i] = covey__k_dot(_mm512_zextsi256_si512(bias), u, q, s);
                }
            }
            acc = covey__step8(acc, covey__sum_rows8_512(z), covey__halves8(p, at + bytes - 2),
                               a->d[b]);
        }
        covey__store8(out + r, r1 - r, acc);
    }
}

#endif
