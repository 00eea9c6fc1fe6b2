/* Small pieces that the AVX2 files share: sums in the order of the definition, transposes, partial
 * loads, the exponential, prefetching. Included by *_avx2.c alone. The 16 partial sums of a float
 * reduction are two registers: lanes 0 to 7 and 8 to 15. */
#ifndef COVEY_KERNEL_LANES_AVX2_H
#define COVEY_KERNEL_LANES_AVX2_H

#include <immintrin.h>

#include "kernel/parts.h"

COVEY__INLINE __m256i covey__load256(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
COVEY__INLINE __m128i covey__load128(const void *p) {
    return _mm_loadu_si128((const __m128i *)p);
}

/* The same four bytes in every lane. */
COVEY__INLINE __m256i covey__spread32(const void *p) {
    int32_t value;
    memcpy(&value, p, 4);
    return _mm256_set1_epi32(value);
}

/* All ones in the first n of 8 lanes; none for n below 1. */
COVEY__INLINE __m256i covey__mask8(int32_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
/* The first n of 8 floats, zeros after them. */
COVEY__INLINE __m256 covey__get8(const float *p, int32_t n) {
    return n >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, covey__mask8(n));
}
COVEY__INLINE void covey__put8(float *p, int32_t n, __m256 v) {
    if (n >= 8)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, covey__mask8(n), v);
}
/* Floats left of n at i, as the lane counts above take them. */
COVEY__INLINE int32_t covey__left(size_t n, size_t i) {
    return n - i >= 8 ? 8 : (int32_t)(n - i);
}

/* 16 partial sums by the tree of covey__tree16. */
COVEY__INLINE float covey__sum16(__m256 low, __m256 high) {
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* The greatest lane. */
COVEY__INLINE float covey__max8(__m256 v) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* covey__exp_f32 in every lane. */
COVEY__INLINE __m256 covey__exp8(__m256 x) {
    __m256 t = _mm256_max_ps(x, _mm256_set1_ps(-87.0f));
    t = _mm256_min_ps(t, _mm256_set1_ps(88.0f));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(t, _mm256_set1_ps(1.44269504f)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_sub_ps(t, _mm256_mul_ps(n, _mm256_set1_ps(0.693359375f)));
    r = _mm256_sub_ps(r, _mm256_mul_ps(n, _mm256_set1_ps(-2.12194440e-4f)));
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_add_ps(_mm256_mul_ps(_mm256_mul_ps(p, r), r),
                      _mm256_add_ps(r, _mm256_set1_ps(1.0f)));
    __m256i scaled =
        _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23));
    __m256 zero = _mm256_cmp_ps(x, _mm256_set1_ps(-87.0f), _CMP_LT_OQ);
    return _mm256_andnot_ps(zero, _mm256_castsi256_ps(scaled));
}

/* covey__erfc_f32 in every lane. */
COVEY__INLINE __m256 covey__erfc8(__m256 x) {
    static const float c[] = {-0.651341438f, 1.08690858f,   -0.602669239f,
                              -0.158279970f, 0.0430634469f, 0.0202513583f,
                              0.389675438f,  0.998275161f,  -1.26543021f};
    const __m256 one = _mm256_set1_ps(1.0f);
    __m256 a = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
    __m256 t = _mm256_div_ps(one, _mm256_add_ps(_mm256_mul_ps(a, _mm256_set1_ps(0.5f)), one));
    __m256 p = _mm256_set1_ps(0.139546826f);
    for (int i = 0; i < 9; i++) p = _mm256_add_ps(_mm256_mul_ps(p, t), _mm256_set1_ps(c[i]));
    __m256 r = _mm256_mul_ps(t, covey__exp8(_mm256_sub_ps(p, _mm256_mul_ps(a, a))));
    __m256 below = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ);
    return _mm256_blendv_ps(r, _mm256_sub_ps(_mm256_set1_ps(2.0f), r), below);
}

/* The half-precision numbers at byte `at` of 8 rows, as floats. */
COVEY__INLINE __m256 covey__scales8(const uint8_t *const p[8], size_t at) {
    __m128i h = _mm_cvtsi32_si128(covey__load_u16(p[0] + at));
    h = _mm_insert_epi16(h, covey__load_u16(p[1] + at), 1);
    h = _mm_insert_epi16(h, covey__load_u16(p[2] + at), 2);
    h = _mm_insert_epi16(h, covey__load_u16(p[3] + at), 3);
    h = _mm_insert_epi16(h, covey__load_u16(p[4] + at), 4);
    h = _mm_insert_epi16(h, covey__load_u16(p[5] + at), 5);
    h = _mm_insert_epi16(h, covey__load_u16(p[6] + at), 6);
    return _mm256_cvtph_ps(_mm_insert_epi16(h, covey__load_u16(p[7] + at), 7));
}

/* Two half-precision numbers, one after the other, at byte `at` of 8 rows. */
COVEY__INLINE void covey__scales8x2(const uint8_t *const p[8], size_t at, __m256 *first,
                                    __m256 *second) {
    const __m128i apart = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    __m128i h[8];
    COVEY__UNROLL
    for (int i = 0; i < 8; i++) {
        int32_t both;
        memcpy(&both, p[i] + at, 4);
        h[i] = _mm_cvtsi32_si128(both);
    }
    __m128i low =
        _mm_unpacklo_epi64(_mm_unpacklo_epi32(h[0], h[1]), _mm_unpacklo_epi32(h[2], h[3]));
    __m128i high =
        _mm_unpacklo_epi64(_mm_unpacklo_epi32(h[4], h[5]), _mm_unpacklo_epi32(h[6], h[7]));
    low = _mm_shuffle_epi8(low, apart);
    high = _mm_shuffle_epi8(high, apart);
    *first = _mm256_cvtph_ps(_mm_unpacklo_epi64(low, high));
    *second = _mm256_cvtph_ps(_mm_unpackhi_epi64(low, high));
}

COVEY__INLINE __m256i covey__sum_lanes4(__m256i a, __m256i b, __m256i c, __m256i d) {
    __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    return _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
}
/* The sums of all eight lanes of z[0] to z[7], in order. */
COVEY__INLINE __m256i covey__sum_rows8(const __m256i z[8]) {
    __m256i a = covey__sum_lanes4(z[0], z[1], z[2], z[3]);
    __m256i b = covey__sum_lanes4(z[4], z[5], z[6], z[7]);
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                            _mm256_permute2x128_si256(a, b, 0x31));
}

/* Rows of 4 dwords, i and i + 4 in the halves of r[i]: out[c] is dword c of all 8 rows, in order.
 */
COVEY__INLINE void covey__turn4(const __m256i r[4], __m256i out[4]) {
    __m256i a = _mm256_unpacklo_epi32(r[0], r[1]), b = _mm256_unpackhi_epi32(r[0], r[1]);
    __m256i c = _mm256_unpacklo_epi32(r[2], r[3]), d = _mm256_unpackhi_epi32(r[2], r[3]);
    out[0] = _mm256_unpacklo_epi64(a, c);
    out[1] = _mm256_unpackhi_epi64(a, c);
    out[2] = _mm256_unpacklo_epi64(b, d);
    out[3] = _mm256_unpackhi_epi64(b, d);
}

#endif
