/* What v128.h takes from SSE4.1. */
#ifndef COVEY_KERNEL_V128_SSE41_H
#define COVEY_KERNEL_V128_SSE41_H

#include <smmintrin.h>

#include "kernel/v128_words.h"

COVEY__INLINE covey__f4 covey__max_f4(covey__f4 a, covey__f4 b) {
    return (covey__f4)_mm_max_ps((__m128)a, (__m128)b);
}
COVEY__INLINE covey__f4 covey__min_f4(covey__f4 a, covey__f4 b) {
    return (covey__f4)_mm_min_ps((__m128)a, (__m128)b);
}
/* The first 8 bytes as words, and the last 8. */
COVEY__INLINE covey__h8 covey__low_words(covey__b16 v) {
    return (covey__h8)_mm_cvtepi8_epi16((__m128i)v);
}
COVEY__INLINE covey__h8 covey__high_words(covey__b16 v) {
    return (covey__h8)_mm_cvtepi8_epi16(_mm_unpackhi_epi64((__m128i)v, (__m128i)v));
}
COVEY__INLINE covey__i4 covey__low_dwords(covey__h8 v) {
    return (covey__i4)_mm_cvtepi16_epi32((__m128i)v);
}
COVEY__INLINE covey__i4 covey__high_dwords(covey__h8 v) {
    return (covey__i4)_mm_cvtepi16_epi32(_mm_unpackhi_epi64((__m128i)v, (__m128i)v));
}
/* Products of words, summed in pairs. */
COVEY__INLINE covey__i4 covey__pairs(covey__h8 a, covey__h8 b) {
    return (covey__i4)_mm_madd_epi16((__m128i)a, (__m128i)b);
}
/* acc plus products of 16 bytes in any order: only the sum of all lanes is defined. The sign of w
 * goes to a, which has no -128; two products fit a word, at most 2 * 128 * 127. */
COVEY__INLINE covey__i4 covey__dot16(covey__i4 acc, covey__b16 w, covey__b16 a) {
    __m128i size = _mm_abs_epi8((__m128i)w), turned = _mm_sign_epi8((__m128i)a, (__m128i)w);
    __m128i two = _mm_maddubs_epi16(size, turned);
    return acc + (covey__i4)_mm_madd_epi16(two, _mm_set1_epi16(1));
}
/* Entries of a table of 16 bytes; indices are below 16. */
COVEY__INLINE covey__b16 covey__lookup(covey__b16 table, covey__ub16 index) {
    return (covey__b16)_mm_shuffle_epi8((__m128i)table, (__m128i)index);
}
/* 16 integers of -127 to 127 to bytes. */
COVEY__INLINE covey__b16 covey__narrow(covey__i4 a, covey__i4 b, covey__i4 c, covey__i4 d) {
    return (covey__b16)_mm_packs_epi16(_mm_packs_epi32((__m128i)a, (__m128i)b),
                                       _mm_packs_epi32((__m128i)c, (__m128i)d));
}

#endif
