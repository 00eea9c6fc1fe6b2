/* One token by rows of the types with blocks of 32 and four or five bits, AVX-512 VNNI: 16 rows
 * together, four rows in the 128-bit lanes of a register, low nibbles against the first half of the
 * block and high ones against the second. The integer sums come out with rows in the lanes. */
#ifndef COVEY_KERNEL_MATVEC_32_AVX512_H
#define COVEY_KERNEL_MATVEC_32_AVX512_H

#include "kernel/lanes_avx512.h"

#define COVEY__ROWS_32 16

/* What a type adds to its nibbles: `u` are those of values 0 to 15 or, with `second`, 16 to 31, and
 * `heads` the first 16 bytes of the blocks. */
typedef __m512i (*covey__levels32_fn)(__m512i u, __m512i heads, const bool second);

COVEY__INLINE __m512i covey__levels32_plain(__m512i u, __m512i heads, const bool second) {
    (void)heads;
    (void)second;
    return u;
}

COVEY__INLINE __m512i covey__levels32_book(__m512i u, __m512i heads, const bool second) {
    (void)heads;
    (void)second;
    return _mm512_shuffle_epi8(covey__codebook_plus128(), u);
}

/* The fifth bits: four bytes from byte `at` of the block. */
COVEY__INLINE __m512i covey__fifth_bits(__m512i u, __m512i heads, const int at) {
    const char a = (char)at, b = (char)(at + 1);
    const __m512i bytes =
        _mm512_broadcast_i32x4(_mm_setr_epi8(a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b));
    const __m512i bits = _mm512_set1_epi64((long long)0x8040201008040201);
    __mmask64 set = _mm512_test_epi8_mask(_mm512_shuffle_epi8(heads, bytes), bits);
    return _mm512_mask_add_epi8(u, set, u, _mm512_set1_epi8(16));
}
COVEY__INLINE __m512i covey__levels32_q5_0(__m512i u, __m512i heads, const bool second) {
    return covey__fifth_bits(u, heads, second ? 4 : 2);
}
COVEY__INLINE __m512i covey__levels32_q5_1(__m512i u, __m512i heads, const bool second) {
    return covey__fifth_bits(u, heads, second ? 6 : 4);
}

/* The first dwords of 16 blocks, whose rows are i, i + 4, i + 8, i + 12 in the lanes of z[i]. */
COVEY__INLINE __m512i covey__first_dwords16(const __m512i z[4]) {
    return _mm512_unpacklo_epi64(_mm512_unpacklo_epi32(z[0], z[1]),
                                 _mm512_unpacklo_epi32(z[2], z[3]));
}

/* 16 bytes at `at` of rows i, i + 4, i + 8, i + 12. */
COVEY__INLINE __m512i covey__rows_apart4(const uint8_t *const *p, size_t at) {
    const uint8_t *rows[4] = {p[0], p[4], p[8], p[12]};
    return covey__rows4(rows, at);
}

/* `bytes` of a block, its nibbles from byte `q_at`; `minimum`: d and m begin the block, else d.
 * `bias`: what takes back what the levels have too much, shifted left by `shift`; unused with a
 * minimum, where bias[0], -8 times the sum, makes the sum. */
COVEY__INLINE void covey__matvec_32(const covey__weights *w, const covey__act_row *a, int32_t r0,
                                    int32_t r1, const uint8_t *next, float *out, const size_t bytes,
                                    const size_t q_at, const bool minimum, const int bias,
                                    const int shift, covey__levels32_fn levels) {
    const __m512i nibble = _mm512_set1_epi8(15), zero = _mm512_setzero_si512();
    for (int32_t r = r0; r < r1; r += COVEY__ROWS_32) {
        const uint8_t *p[COVEY__ROWS_32], *ahead = covey__ahead(w, r, r1, COVEY__ROWS_32, next);
        covey__rows(w, r, r1, 0, p, COVEY__ROWS_32);
        __m512 acc = _mm512_setzero_ps();
        for (int32_t b = 0; b < w->columns / 32; b++, ahead += bytes * COVEY__ROWS_32) {
            size_t at = (size_t)b * bytes;
            covey__prefetch(ahead + 256, bytes * COVEY__ROWS_32 - 256);
            __m512i q0 = _mm512_broadcast_i32x4(covey__load128(a->q + 32 * b));
            __m512i q1 = _mm512_broadcast_i32x4(covey__load128(a->q + 32 * b + 16));
            __m512i heads[4], z[4];
            COVEY__UNROLL
            for (int i = 0; i < 4; i++) {
                covey__prefetch(ahead + 64 * i, 64); /* spread out, not in a burst */
                heads[i] = covey__rows_apart4(p + i, at);
                __m512i both = covey__rows_apart4(p + i, at + q_at);
                __m512i low = _mm512_and_si512(both, nibble);
                __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
                z[i] = _mm512_dpbusd_epi32(zero, levels(low, heads[i], false), q0);
                z[i] = _mm512_dpbusd_epi32(z[i], levels(high, heads[i], true), q1);
            }
            __m512i isum = covey__sum_lanes4(z[0], z[1], z[2], z[3]);
            __m512i halves = covey__first_dwords16(heads);
            __m512 d = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(halves));
            __m512 da = _mm512_set1_ps(a->d[b]), y;
            if (minimum) {
                __m512 m = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(halves, 16)));
                __m512 asum = _mm512_set1_ps((float)(a->bias[0][b] / -8));
                y = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(isum), d),
                                  _mm512_mul_ps(asum, m));
                y = _mm512_mul_ps(y, da);
            } else {
                isum = _mm512_add_epi32(isum, _mm512_set1_epi32(a->bias[bias][b] * (1 << shift)));
                y = _mm512_mul_ps(_mm512_cvtepi32_ps(isum), _mm512_mul_ps(d, da));
            }
            acc = _mm512_add_ps(acc, y);
        }
        _mm512_mask_storeu_ps(out + r, covey__mask16(r1 - r), acc);
    }
}

#endif
