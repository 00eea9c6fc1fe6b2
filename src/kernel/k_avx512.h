/* K types with AVX-512: blocks of 256 taken apart, for their one-token and many-token files. Levels
 * stay unsigned bytes. Those of one row fill four registers, in an order that costs little; the
 * token's values are loaded in the same order, and the sub-blocks' scales spread to match. Products
 * of pairs fit int16 (at most 63 * 127 * 2), and the scales multiply them on their way to int32. */
#ifndef COVEY_KERNEL_K_AVX512_H
#define COVEY_KERNEL_K_AVX512_H

#include "kernel/lanes_avx512.h"

/* The first dword of each of the 8 lanes of rows 0 to 3 and 4 to 7. */
COVEY__INLINE __m256i covey__first_dwords8(__m512i a, __m512i b) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm512_castsi512_si256(_mm512_permutex2var_epi32(a, order, b));
}

/* Two runs of 32 bytes as one register; one run twice. */
COVEY__INLINE __m512i covey__pair512(const void *low, const void *high) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(covey__load256(low)), covey__load256(high), 1);
}
COVEY__INLINE __m512i covey__twice256(const void *p) {
    return _mm512_broadcast_i64x4(covey__load256(p));
}
/* The same number for the low 256 bits and another for the high ones: shift counts. */
COVEY__INLINE __m512i covey__counts64(int low, int high) {
    return _mm512_inserti64x4(_mm512_set1_epi64(low), _mm256_set1_epi64x(high), 1);
}
COVEY__INLINE __m512i covey__counts16(int16_t low, int16_t high) {
    return _mm512_inserti64x4(_mm512_set1_epi16(low), _mm256_set1_epi16(high), 1);
}

/* Bit `low` of each byte of the low half and bit `high` of the others, moved to bit `to`. */
COVEY__INLINE __m512i covey__bits_to(__m512i bytes, int low, int high, int to) {
    __m512i turned = _mm512_rolv_epi64(bytes, covey__counts64((to - low) & 63, (to - high) & 63));
    return _mm512_and_si512(turned, _mm512_set1_epi8((char)(1 << to)));
}

/* ---- The four registers of a block's levels ----
 * Q6_K: columns in order.
 * Q4_K, Q5_K: columns (0, 64), (32, 96), (128, 192), (160, 224), 32 from each.
 * Q2_K, Q3_K: columns (0, 128), (32, 160), (64, 192), (96, 224). */

typedef void (*covey__k_levels_fn)(const uint8_t *block, __m512i u[4]);
typedef void (*covey__k_order_fn)(const void *q, __m512i out[4]);

COVEY__INLINE void covey__order_whole(const void *q, __m512i out[4]) {
    for (int j = 0; j < 4; j++) out[j] = covey__load512((const uint8_t *)q + 64 * j);
}
COVEY__INLINE void covey__order_nibbles(const void *q, __m512i out[4]) {
    const uint8_t *x = q;
    for (int c = 0; c < 2; c++) {
        out[2 * c] = covey__pair512(x + 128 * c, x + 128 * c + 64);
        out[2 * c + 1] = covey__pair512(x + 128 * c + 32, x + 128 * c + 96);
    }
}
COVEY__INLINE void covey__order_twos(const void *q, __m512i out[4]) {
    const uint8_t *x = q;
    for (int j = 0; j < 4; j++) out[j] = covey__pair512(x + 32 * j, x + 128 + 32 * j);
}

COVEY__INLINE void covey__levels_q4_k(const uint8_t *block, __m512i u[4]) {
    const __m512i nibble = _mm512_set1_epi8(15);
    COVEY__UNROLL
    for (int c = 0; c < 2; c++) {
        __m512i both = covey__load512(block + 16 + 64 * c);
        u[2 * c] = _mm512_and_si512(both, nibble);
        u[2 * c + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    }
}

COVEY__INLINE void covey__levels_q5_k(const uint8_t *block, __m512i u[4]) {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i high = covey__twice256(block + 16);
    COVEY__UNROLL
    for (int c = 0; c < 2; c++) {
        __m512i both = covey__load512(block + 48 + 64 * c);
        u[2 * c] = covey__and_or(both, nibble, covey__bits_to(high, 4 * c, 4 * c + 2, 4));
        u[2 * c + 1] = covey__and_or(_mm512_srli_epi16(both, 4), nibble,
                                     covey__bits_to(high, 4 * c + 1, 4 * c + 3, 4));
    }
}

COVEY__INLINE void covey__levels_q2_k(const uint8_t *block, __m512i u[4]) {
    const __m512i two = _mm512_set1_epi8(3);
    __m512i all = covey__load512(block + 16);
    COVEY__UNROLL
    for (int j = 0; j < 4; j++)
        u[j] = _mm512_and_si512(_mm512_srli_epi16(all, (unsigned)(2 * j)), two);
}

/* 0 to 7: four too much. */
COVEY__INLINE void covey__levels_q3_k(const uint8_t *block, __m512i u[4]) {
    const __m512i two = _mm512_set1_epi8(3);
    __m512i all = covey__load512(block + 32), high = covey__twice256(block);
    COVEY__UNROLL
    for (int j = 0; j < 4; j++)
        u[j] = covey__and_or(_mm512_srli_epi16(all, (unsigned)(2 * j)), two,
                             covey__bits_to(high, j, 4 + j, 2));
}

/* Half a block of Q6_K (64 bytes of low bits, 32 of high ones) as 128 levels: 32 too much. */
COVEY__INLINE void covey__q6_k_half(const uint8_t *low, const uint8_t *high, __m512i *first,
                                    __m512i *second) {
    const __m512i nibble = _mm512_set1_epi8(15), bits = _mm512_set1_epi8(0x30);
    __m512i l = covey__load512(low), h = covey__twice256(high);
    __m512i h0 = _mm512_and_si512(_mm512_sllv_epi16(h, covey__counts16(4, 2)), bits);
    __m512i h1 = _mm512_and_si512(_mm512_srlv_epi16(h, covey__counts16(0, 2)), bits);
    *first = covey__and_or(l, nibble, h0);
    *second = covey__and_or(_mm512_srli_epi16(l, 4), nibble, h1);
}
COVEY__INLINE void covey__levels_q6_k(const uint8_t *block, __m512i u[4]) {
    covey__q6_k_half(block, block + 128, &u[0], &u[1]);
    covey__q6_k_half(block + 64, block + 160, &u[2], &u[3]);
}

/* ---- Scales ---- */

/* Q4_K and Q5_K: the heads of four blocks (d, dmin, 12 bytes of six-bit scales and mins), a block a
 * lane, to 8 scales and 8 mins as bytes. */
COVEY__INLINE __m512i covey__six_bits4(__m512i heads) {
    const __m512i low = _mm512_broadcast_i32x4(
        _mm_setr_epi8(4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512i high = _mm512_broadcast_i32x4(
        _mm_setr_epi8(-1, -1, -1, -1, 4, 5, 6, 7, -1, -1, -1, -1, 8, 9, 10, 11));
    const __m512i shift = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 0, 4));
    const __m512i mask =
        _mm512_broadcast_i32x4(_mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    __m512i x = _mm512_srlv_epi32(_mm512_shuffle_epi8(heads, low), shift);
    __m512i y = _mm512_srli_epi32(_mm512_shuffle_epi8(heads, high), 2);
    return covey__and_or(x, mask, _mm512_and_si512(y, _mm512_set1_epi8(0x30)));
}

/* Q3_K: the last 16 bytes of four blocks to 16 scales (-32 to 31) as bytes. */
COVEY__INLINE __m512i covey__scales_q3_k(__m512i tails) {
    const __m512i low =
        _mm512_broadcast_i32x4(_mm_setr_epi8(2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9));
    const __m512i high = _mm512_broadcast_i32x4(
        _mm_setr_epi8(10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13));
    const __m512i shift = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 4, 4));
    const __m512i turn = _mm512_broadcast_i32x4(_mm_setr_epi32(4, 2, 0, 30));
    __m512i x = _mm512_srlv_epi32(_mm512_shuffle_epi8(tails, low), shift);
    __m512i y = _mm512_rolv_epi32(_mm512_shuffle_epi8(tails, high), turn);
    y = _mm512_and_si512(y, _mm512_set1_epi8(0x30));
    return _mm512_sub_epi8(covey__and_or(x, _mm512_set1_epi8(15), y), _mm512_set1_epi8(32));
}

/* IQ4_XS: the heads of four blocks to 8 scales (-32 to 31) as int16. */
COVEY__INLINE __m512i covey__scales_iq4_xs(__m512i heads) {
    const __m512i low = _mm512_broadcast_i32x4(
        _mm_setr_epi8(4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1));
    const __m512i high =
        _mm512_broadcast_i32x4(_mm_setr_epi8(2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3));
    const __m512i shift_low = _mm512_broadcast_i32x4(_mm_setr_epi16(0, 4, 0, 4, 0, 4, 0, 4));
    const __m512i shift_high = _mm512_broadcast_i32x4(_mm_setr_epi16(0, 2, 4, 6, 8, 10, 12, 14));
    __m512i x = _mm512_srlv_epi16(_mm512_shuffle_epi8(heads, low), shift_low);
    __m512i y = _mm512_srlv_epi16(_mm512_shuffle_epi8(heads, high), shift_high);
    y = _mm512_slli_epi16(_mm512_and_si512(y, _mm512_set1_epi16(3)), 4);
    return _mm512_sub_epi16(covey__and_or(x, _mm512_set1_epi16(15), y), _mm512_set1_epi16(32));
}

/* ---- One token by 8 rows: their sums, and the float step ---- */

/* Scales numbered i0 to i3 (int16), each over the 16 bytes of levels that a lane has. */
COVEY__INLINE __m512i covey__spread_scales(__m512i scales, int i0, int i1, int i2, int i3) {
    const long long one = 0x0001000100010001;
    return _mm512_permutexvar_epi16(_mm512_setr_epi64(i0 * one, i0 * one, i1 * one, i1 * one,
                                                      i2 * one, i2 * one, i3 * one, i3 * one),
                                    scales);
}

/* By the order of levels: the scales of each of the four registers. `first` is the number of the
 * row's first scale. */
typedef void (*covey__k_spread_fn)(__m512i scales, int first, __m512i out[4]);
COVEY__INLINE void covey__spread_whole(__m512i scales, int first, __m512i out[4]) {
    COVEY__UNROLL
    for (int j = 0; j < 4; j++) {
        int s = first + 4 * j;
        out[j] = covey__spread_scales(scales, s, s + 1, s + 2, s + 3);
    }
}
COVEY__INLINE void covey__spread_nibbles(__m512i scales, int first, __m512i out[4]) {
    COVEY__UNROLL
    for (int j = 0; j < 4; j++) {
        int s = first + j / 2 * 4 + j % 2;
        out[j] = covey__spread_scales(scales, s, s, s + 2, s + 2);
    }
}
COVEY__INLINE void covey__spread_twos(__m512i scales, int first, __m512i out[4]) {
    COVEY__UNROLL
    for (int j = 0; j < 4; j++) {
        int s = first + 2 * j;
        out[j] = covey__spread_scales(scales, s, s + 1, s + 8, s + 9);
    }
}

/* One row by one token, added to z: 16 partial sums. */
COVEY__INLINE __m512i covey__k_dot(__m512i z, const __m512i u[4], const __m512i q[4],
                                   const __m512i scales[4]) {
    COVEY__UNROLL
    for (int j = 0; j < 4; j++)
        z = _mm512_dpwssd_epi32(z, _mm512_maddubs_epi16(u[j], q[j]), scales[j]);
    return z;
}

/* The sums of all 16 lanes of z[0] to z[7], in order. */
COVEY__INLINE __m256i covey__sum_rows8_512(const __m512i z[8]) {
    __m512i a = covey__sum_lanes4(z[0], z[1], z[2], z[3]);
    __m512i b = covey__sum_lanes4(z[4], z[5], z[6], z[7]);
    __m256i c = _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    __m256i d = _mm256_add_epi32(_mm512_castsi512_si256(b), _mm512_extracti64x4_epi64(b, 1));
    return _mm256_add_epi32(_mm256_permute2x128_si256(c, d, 0x20),
                            _mm256_permute2x128_si256(c, d, 0x31));
}

/* 8 rows in the lanes of two registers: the sums of each lane's four dwords, in order. */
COVEY__INLINE __m256i covey__sum_lanes8(__m512i a, __m512i b) {
    __m512i z = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    z = _mm512_add_epi32(z, _mm512_shuffle_epi32(z, (_MM_PERM_ENUM)0xb1));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, z));
}

/* `halves`: d (low) and dmin (high) of each row. */
COVEY__INLINE __m256 covey__step_min8(__m256 acc, __m256i isum, __m256i msum, __m256i halves,
                                      float da) {
    __m256 d = _mm256_cvtph_ps(_mm256_cvtepi32_epi16(halves));
    __m256 m = _mm256_cvtph_ps(_mm256_cvtepi32_epi16(_mm256_srli_epi32(halves, 16)));
    __m256 y = _mm256_sub_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(isum), d),
                             _mm256_mul_ps(_mm256_cvtepi32_ps(msum), m));
    return _mm256_add_ps(acc, _mm256_mul_ps(y, _mm256_set1_ps(da)));
}

/* `halves`: d of each row. */
COVEY__INLINE __m256 covey__step8(__m256 acc, __m256i isum, __m128i halves, float da) {
    __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(isum), _mm256_cvtph_ps(halves));
    return _mm256_add_ps(acc, _mm256_mul_ps(y, _mm256_set1_ps(da)));
}

COVEY__INLINE void covey__store8(float *out, int32_t rows, __m256 acc) {
    _mm256_mask_storeu_ps(out, (__mmask8)covey__mask16(rows < 8 ? rows : 8), acc);
}

#endif
