/* Loading 8 float weights of any of the three types as float32, for *_float_avx2.c. */
#ifndef COVEY_KERNEL_FLOAT_AVX2_H
#define COVEY_KERNEL_FLOAT_AVX2_H

#include "kernel/lanes_avx2.h"

/* Columns i to i + 7 of a row, of which n are there; the others are 0 and are not read. */
COVEY__INLINE __m256 covey__weights8(uint32_t type, const uint8_t *row, int32_t i, int32_t n) {
    if (n <= 0) return _mm256_setzero_ps();
    if (type == COVEY__KT_F32) {
        const float *p = (const float *)(const void *)(row + 4 * (size_t)i);
        return covey__get8(p, n);
    }
    __m128i raw;
    if (n >= 8)
        raw = covey__load128(row + 2 * (size_t)i);
    else {
        uint16_t some[8] = {0};
        memcpy(some, row + 2 * (size_t)i, 2 * (size_t)n);
        raw = covey__load128(some);
    }
    if (type == COVEY__KT_F16) return _mm256_cvtph_ps(raw);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(raw), 16));
}

#endif
