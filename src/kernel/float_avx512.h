/* Loading 16 float weights of any of the three types as float32, for *_float_avx512.c. */
#ifndef COVEY_KERNEL_FLOAT_AVX512_H
#define COVEY_KERNEL_FLOAT_AVX512_H

#include "kernel/lanes_avx512.h"

/* Columns i to i + 15 of a row; those not in the mask are 0 and are not read. */
COVEY__INLINE __m512 covey__weights16(uint32_t type, const uint8_t *row, int32_t i, __mmask16 m) {
    if (type == COVEY__KT_F32) return _mm512_maskz_loadu_ps(m, row + 4 * (size_t)i);
    __m256i raw = _mm256_maskz_loadu_epi16(m, row + 2 * (size_t)i);
    if (type == COVEY__KT_F16) return _mm512_cvtph_ps(raw);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16));
}

#endif
