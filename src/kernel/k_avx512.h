/* K types with AVX-512: what their one-token and many-token files share. Levels stay unsigned, as
 * bytes; scales of sub-blocks are int16 (one token) or int32 (tiles). */
#ifndef COVEY_KERNEL_K_AVX512_H
#define COVEY_KERNEL_K_AVX512_H

#include "kernel/lanes_avx512.h"

/* 16 bytes at `at` of four rows, a row a 128-bit lane. */
COVEY__INLINE __m512i covey__rows4(const uint8_t *const p[4], size_t at) {
    __m512i z = _mm512_castsi128_si512(covey__load128(p[0] + at));
    z = _mm512_inserti32x4(z, covey__load128(p[1] + at), 1);
    z = _mm512_inserti32x4(z, covey__load128(p[2] + at), 2);
    return _mm512_inserti32x4(z, covey__load128(p[3] + at), 3);
}

/* Two runs of 32 bytes as one register. */
COVEY__INLINE __m512i covey__pair512(const void *low, const void *high) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(covey__load256(low)), covey__load256(high), 1);
}

/* 16 rows' dwords, z[k] holding rows 4k to 4k + 3 in its lanes: out[c] is dword c of all rows. */
COVEY__INLINE void covey__transpose4(const __m512i z[4], __m512i out[4]) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i low0 = _mm512_unpacklo_epi32(z[0], z[1]), high0 = _mm512_unpackhi_epi32(z[0], z[1]);
    __m512i low1 = _mm512_unpacklo_epi32(z[2], z[3]), high1 = _mm512_unpackhi_epi32(z[2], z[3]);
    out[0] = _mm512_permutexvar_epi32(order, _mm512_unpacklo_epi64(low0, low1));
    out[1] = _mm512_permutexvar_epi32(order, _mm512_unpackhi_epi64(low0, low1));
    out[2] = _mm512_permutexvar_epi32(order, _mm512_unpacklo_epi64(high0, high1));
    out[3] = _mm512_permutexvar_epi32(order, _mm512_unpackhi_epi64(high0, high1));
}

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
    y = _mm512_and_si512(y, _mm512_set1_epi8(0x30));
    return _mm512_ternarylogic_epi32(x, mask, y, 0xea); /* (x & mask) | y */
}

/* d and dmin of 16 blocks, from the first dwords of their heads. */
COVEY__INLINE __m512 covey__low_halves(__m512i dwords) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(dwords));
}
COVEY__INLINE __m512 covey__high_halves(__m512i dwords) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(dwords, 16)));
}

/* For tiles: 16 rows' heads (rows 4k to 4k + 3 in heads[k]) to the scales and mins of block `b`. */
COVEY__INLINE void covey__unpack_heads(const __m512i heads[4], int32_t *sub, int16_t *mins,
                                       float *d, float *m) {
    __m512i bits[4], by_row[4];
    COVEY__UNROLL
    for (int k = 0; k < 4; k++) bits[k] = covey__six_bits4(heads[k]);
    covey__transpose4(bits, by_row);
    COVEY__UNROLL
    for (int c = 0; c < 2; c++) {
        const __m512i byte = _mm512_set1_epi32(255);
        __m512i scales = by_row[c], minimums = by_row[2 + c];
        int32_t *to = sub + 128 * c;
        _mm512_storeu_si512(to, _mm512_and_si512(scales, byte));
        _mm512_storeu_si512(to + 32, _mm512_and_si512(_mm512_srli_epi32(scales, 8), byte));
        _mm512_storeu_si512(to + 64, _mm512_and_si512(_mm512_srli_epi32(scales, 16), byte));
        _mm512_storeu_si512(to + 96, _mm512_srli_epi32(scales, 24));
        const __m512i first = _mm512_broadcast_i32x4(
            _mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
        const __m512i second = _mm512_broadcast_i32x4(
            _mm_setr_epi8(2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1));
        _mm512_storeu_si512(mins + 128 * c, _mm512_shuffle_epi8(minimums, first));
        _mm512_storeu_si512(mins + 128 * c + 64, _mm512_shuffle_epi8(minimums, second));
    }
    covey__transpose4(heads, by_row);
    _mm512_storeu_ps(d, covey__low_halves(by_row[0]));
    _mm512_storeu_ps(m, covey__high_halves(by_row[0]));
}

/* One token, 8 rows together: scales as int16, 8 of a row in a 128-bit lane; those numbered i0 to
 * i3 over the 16 bytes that each lane of levels has. */
COVEY__INLINE __m512i covey__spread_scales(__m512i scales, int i0, int i1, int i2, int i3) {
    const long long one = 0x0001000100010001;
    return _mm512_permutexvar_epi16(_mm512_setr_epi64(i0 * one, i0 * one, i1 * one, i1 * one,
                                                      i2 * one, i2 * one, i3 * one, i3 * one),
                                    scales);
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

/* 8 rows in two registers of four lanes: the sums of each lane's four dwords, in order. */
COVEY__INLINE __m256i covey__sum_lanes8(__m512i a, __m512i b) {
    __m512i z = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    z = _mm512_add_epi32(z, _mm512_shuffle_epi32(z, (_MM_PERM_ENUM)0xb1));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, z));
}

/* The first dword of each of the 8 lanes. */
COVEY__INLINE __m256i covey__first_dwords8(__m512i a, __m512i b) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm512_castsi512_si256(_mm512_permutex2var_epi32(a, order, b));
}

/* The float step of 8 outputs with minimums; `halves`: d and dmin of each row. */
COVEY__INLINE __m256 covey__step_min8(__m256 acc, __m256i isum, __m256i msum, __m256i halves,
                                      float da) {
    __m256 d = _mm256_cvtph_ps(_mm256_cvtepi32_epi16(halves));
    __m256 m = _mm256_cvtph_ps(_mm256_cvtepi32_epi16(_mm256_srli_epi32(halves, 16)));
    __m256 y = _mm256_sub_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(isum), d),
                             _mm256_mul_ps(_mm256_cvtepi32_ps(msum), m));
    return _mm256_add_ps(acc, _mm256_mul_ps(y, _mm256_set1_ps(da)));
}

/* Without minimums. */
COVEY__INLINE __m256 covey__step8(__m256 acc, __m256i isum, __m128i halves, float da) {
    __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(isum), _mm256_cvtph_ps(halves));
    return _mm256_add_ps(acc, _mm256_mul_ps(y, _mm256_set1_ps(da)));
}

COVEY__INLINE void covey__store8(float *out, int32_t rows, __m256 acc) {
    _mm256_mask_storeu_ps(out, (__mmask8)covey__mask16(rows < 8 ? rows : 8), acc);
}

#endif
