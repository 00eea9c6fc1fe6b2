/* Small pieces that the AVX-512 files share: sums in the order of the definition, transposes,
 * loads, the exponential, prefetching. Included by *_avx512.c alone. */
#ifndef COVEY_KERNEL_LANES_AVX512_H
#define COVEY_KERNEL_LANES_AVX512_H

#include <immintrin.h>

#include "kernel/parts.h"

COVEY__INLINE __m256i covey__load256(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
COVEY__INLINE __m128i covey__load128(const void *p) {
    return _mm_loadu_si128((const __m128i *)p);
}
COVEY__INLINE __m512i covey__load512(const void *p) {
    return _mm512_loadu_si512(p);
}

/* The same four bytes in every lane. */
COVEY__INLINE __m512i covey__spread32(const void *p) {
    int32_t value;
    memcpy(&value, p, 4);
    return _mm512_set1_epi32(value);
}

/* The first n of 16 lanes; none for n below 1. */
COVEY__INLINE __mmask16 covey__mask16(int32_t n) {
    return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1);
}

/* 16 partial sums by the tree of covey__tree16. */
COVEY__INLINE float covey__sum16(__m512 p) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(p), _mm512_extractf32x8_ps(p, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* covey__exp_f32 in every lane. */
COVEY__INLINE __m512 covey__exp16(__m512 x) {
    __m512 t = _mm512_max_ps(x, _mm512_set1_ps(-87.0f));
    t = _mm512_min_ps(t, _mm512_set1_ps(88.0f));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(t, _mm512_set1_ps(1.44269504f)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_sub_ps(t, _mm512_mul_ps(n, _mm512_set1_ps(0.693359375f)));
    r = _mm512_sub_ps(r, _mm512_mul_ps(n, _mm512_set1_ps(-2.12194440e-4f)));
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_add_ps(_mm512_mul_ps(_mm512_mul_ps(p, r), r),
                      _mm512_add_ps(r, _mm512_set1_ps(1.0f)));
    __m512i scaled =
        _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23));
    __mmask16 zero = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_LT_OQ);
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(scaled, zero, _mm512_setzero_si512()));
}

/* covey__erfc_f32 in every lane. */
COVEY__INLINE __m512 covey__erfc16(__m512 x) {
    static const float c[] = {-0.651341438f, 1.08690858f,   -0.602669239f,
                              -0.158279970f, 0.0430634469f, 0.0202513583f,
                              0.389675438f,  0.998275161f,  -1.26543021f};
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 a = _mm512_abs_ps(x);
    __m512 t = _mm512_div_ps(one, _mm512_add_ps(_mm512_mul_ps(a, _mm512_set1_ps(0.5f)), one));
    __m512 p = _mm512_set1_ps(0.139546826f);
    for (int i = 0; i < 9; i++) p = _mm512_add_ps(_mm512_mul_ps(p, t), _mm512_set1_ps(c[i]));
    __m512 r = _mm512_mul_ps(t, covey__exp16(_mm512_sub_ps(p, _mm512_mul_ps(a, a))));
    __mmask16 below = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mask_sub_ps(r, below, _mm512_set1_ps(2.0f), r);
}

/* The half-precision numbers at byte `at` of 8 or 16 rows. */
COVEY__INLINE __m128i covey__halves8(const uint8_t *const p[8], size_t at) {
    __m128i h = _mm_cvtsi32_si128(covey__load_u16(p[0] + at));
    h = _mm_insert_epi16(h, covey__load_u16(p[1] + at), 1);
    h = _mm_insert_epi16(h, covey__load_u16(p[2] + at), 2);
    h = _mm_insert_epi16(h, covey__load_u16(p[3] + at), 3);
    h = _mm_insert_epi16(h, covey__load_u16(p[4] + at), 4);
    h = _mm_insert_epi16(h, covey__load_u16(p[5] + at), 5);
    h = _mm_insert_epi16(h, covey__load_u16(p[6] + at), 6);
    return _mm_insert_epi16(h, covey__load_u16(p[7] + at), 7);
}
COVEY__INLINE __m512 covey__scales16(const uint8_t *const p[16], size_t at) {
    __m256i h = _mm256_castsi128_si256(covey__halves8(p, at));
    return _mm512_cvtph_ps(_mm256_inserti128_si256(h, covey__halves8(p + 8, at), 1));
}

/* 16 bytes at `at` of four rows, a row a 128-bit lane. */
COVEY__INLINE __m512i covey__rows4(const uint8_t *const p[4], size_t at) {
    __m512i z = _mm512_castsi128_si512(covey__load128(p[0] + at));
    z = _mm512_inserti32x4(z, covey__load128(p[1] + at), 1);
    z = _mm512_inserti32x4(z, covey__load128(p[2] + at), 2);
    return _mm512_inserti32x4(z, covey__load128(p[3] + at), 3);
}

/* (x & mask) | y */
COVEY__INLINE __m512i covey__and_or(__m512i x, __m512i mask, __m512i y) {
    return _mm512_ternarylogic_epi32(x, mask, y, 0xea);
}

/* IQ4_NL and IQ4_XS: the codebook, 128 too much. */
COVEY__INLINE __m512i covey__codebook_plus128(void) {
    return _mm512_broadcast_i32x4(_mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, (char)129,
                                                (char)141, (char)153, (char)166, (char)181,
                                                (char)197, (char)217, (char)241));
}

/* Lane by lane of 128 bits: the sums of the four 32-bit lanes of a, b, c, d. */
COVEY__INLINE __m512i covey__sum_lanes4(__m512i a, __m512i b, __m512i c, __m512i d) {
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}
COVEY__INLINE __m256i covey__sum_lanes4_256(__m256i a, __m256i b, __m256i c, __m256i d) {
    __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    return _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
}
/* The sums of all eight lanes of z[0] to z[7], in order. */
COVEY__INLINE __m256i covey__sum_rows8(const __m256i z[8]) {
    __m256i a = covey__sum_lanes4_256(z[0], z[1], z[2], z[3]);
    __m256i b = covey__sum_lanes4_256(z[4], z[5], z[6], z[7]);
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                            _mm256_permute2x128_si256(a, b, 0x31));
}

/* Transposes 16 rows of 16 dwords: dword c of all rows goes to `out` + c * stride bytes. */
COVEY__INLINE void covey__transpose16(const __m512i r[16], uint8_t *out, size_t stride) {
    __m512i t[16], u[16];
    COVEY__UNROLL
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    COVEY__UNROLL
    for (int i = 0; i < 4; i++) {
        u[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        u[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        u[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        u[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    /* u[4i + j], 128-bit lane l: dword 4l + j of rows 4i to 4i + 3 */
    COVEY__UNROLL
    for (int j = 0; j < 4; j++) {
        __m512i even0 = _mm512_shuffle_i32x4(u[j], u[4 + j], 0x88);
        __m512i odd0 = _mm512_shuffle_i32x4(u[j], u[4 + j], 0xdd);
        __m512i even1 = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0x88);
        __m512i odd1 = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0xdd);
        uint8_t *to = out + (size_t)j * stride;
        _mm512_storeu_si512(to, _mm512_shuffle_i32x4(even0, even1, 0x88));
        _mm512_storeu_si512(to + 4 * stride, _mm512_shuffle_i32x4(odd0, odd1, 0x88));
        _mm512_storeu_si512(to + 8 * stride, _mm512_shuffle_i32x4(even0, even1, 0xdd));
        _mm512_storeu_si512(to + 12 * stride, _mm512_shuffle_i32x4(odd0, odd1, 0xdd));
    }
}

#endif
