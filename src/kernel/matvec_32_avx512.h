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

/* 16 values of each of three blocks, a block a lane, and zeros in the last lane. */
COVEY__INLINE __m512i covey__three_halves(const int8_t *q) {
    __m512i z = _mm512_zextsi128_si512(covey__load128(q));
    z = _mm512_inserti32x4(z, covey__load128(q + 32), 1);
    return _mm512_inserti32x4(z, covey__load128(q + 64), 2);
}

/* Lane `lane` of the four registers, whose lanes are rows 4g to 4g + 3. */
COVEY__INLINE __m512i covey__same_lane(const __m512i z[4], const int lane) {
    const int pair = lane < 2 ? 0x44 : 0xee;
    __m512i a = _mm512_shuffle_i32x4(z[0], z[1], pair), b = _mm512_shuffle_i32x4(z[2], z[3], pair);
    return _mm512_shuffle_i32x4(a, b, lane % 2 ? 0xdd : 0x88);
}

/* Blocks of 18 bytes, nine words each, three at a time: one load of a row has all of them, and one
 * permutation puts the nibbles of a block into a lane each, and the three scales into the last one.
 * The accumulators go over the three in order. Returns the number of blocks done. */
COVEY__INLINE int32_t covey__threes_of_18(const covey__weights *w, const covey__act_row *a,
                                          const uint8_t *const p[16], const uint8_t **ahead,
                                          const int bias, covey__levels32_fn levels, __m512 *acc) {
    const __m512i nibble = _mm512_set1_epi8(15), zero = _mm512_setzero_si512();
    const __m512i order = _mm512_set_epi16(0, 0, 0, 0, 0, 18, 9, 0, 26, 25, 24, 23, 22, 21, 20, 19,
                                           17, 16, 15, 14, 13, 12, 11, 10, 8, 7, 6, 5, 4, 3, 2, 1);
    int32_t b = 0;
    for (; (size_t)b * 18 + 64 <= w->row_bytes; b += 3, *ahead += 3 * 18 * COVEY__ROWS_32) {
        __m512i q0 = covey__three_halves(a->q + 32 * b);
        __m512i q1 = covey__three_halves(a->q + 32 * b + 16);
        __m512i sums[4], first[4], third[4];
        COVEY__UNROLL
        for (int g = 0; g < 4; g++) {
            __m512i v[4], z[4];
            covey__prefetch(*ahead + 216 * g, 216);
            COVEY__UNROLL
            for (int i = 0; i < 4; i++) {
                v[i] = covey__load512(p[4 * g + i] + (size_t)b * 18);
                v[i] = _mm512_permutexvar_epi16(order, v[i]);
                __m512i low = _mm512_and_si512(v[i], nibble);
                __m512i high = _mm512_and_si512(_mm512_srli_epi16(v[i], 4), nibble);
                z[i] = _mm512_dpbusd_epi32(zero, levels(low, zero, false), q0);
                z[i] = _mm512_dpbusd_epi32(z[i], levels(high, zero, true), q1);
            }
            sums[g] = covey__sum_lanes4(z[0], z[1], z[2], z[3]);
            __m512i v01 = _mm512_unpacklo_epi32(v[0], v[1]);
            __m512i v23 = _mm512_unpacklo_epi32(v[2], v[3]);
            first[g] = _mm512_unpacklo_epi64(v01, v23);
            third[g] = _mm512_unpackhi_epi64(v01, v23);
        }
        __m512i both = covey__same_lane(first, 3);
        __m512i scales[3] = {both, _mm512_srli_epi32(both, 16), covey__same_lane(third, 3)};
        __m512i isum[3] = {covey__same_lane(sums, 0), covey__same_lane(sums, 1),
                           covey__same_lane(sums, 2)};
        COVEY__UNROLL
        for (int j = 0; j < 3; j++) {
            __m512i x = _mm512_add_epi32(isum[j], _mm512_set1_epi32(a->bias[bias][b + j]));
            __m512 d = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(scales[j]));
            d = _mm512_mul_ps(d, _mm512_set1_ps(a->d[b + j]));
            *acc = _mm512_add_ps(*acc, _mm512_mul_ps(_mm512_cvtepi32_ps(x), d));
        }
    }
    return b;
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
        int32_t b = bytes == 18 ? covey__threes_of_18(w, a, p, &ahead, bias, levels, &acc) : 0;
        for (; b < w->columns / 32; b++, ahead += bytes * COVEY__ROWS_32) {
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
