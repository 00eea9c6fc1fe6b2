/* Types with blocks of 32 into tiles, AVX-512: the walk over a tile's blocks, and nibbles in order.
 * Included by the matmul_*_avx512.c of these types. */
#ifndef COVEY_KERNEL_UNPACK_32_AVX512_H
#define COVEY_KERNEL_UNPACK_32_AVX512_H

#include "kernel/tile_avx512.h"

/* 16 bytes of nibbles as 32 bytes in order: low nibbles, then high ones. */
COVEY__INLINE __m256i covey__nibbles32(const uint8_t *p) {
    __m128i both = covey__load128(p);
    __m256i wide =
        _mm256_inserti128_si256(_mm256_castsi128_si256(both), _mm_srli_epi16(both, 4), 1);
    return _mm256_and_si256(wide, _mm256_set1_epi8(15));
}

/* With the fifth bits in the four bytes before them. */
COVEY__INLINE __m256i covey__nibbles32_fifth(const uint8_t *p) {
    uint32_t bits;
    memcpy(&bits, p, 4);
    __m256i low = covey__nibbles32(p + 4);
    return _mm256_mask_add_epi8(low, bits, low, _mm256_set1_epi8(16));
}

/* A block as 32 unsigned bytes. */
typedef __m256i (*covey__block32_fn)(const uint8_t *block);

/* Two blocks at a time: 16 rows of 64 bytes are transposed by dwords. A last odd block comes with
 * the one before it again. */
COVEY__INLINE void covey__unpack_32(const covey__cut *cut, covey__tile *tile, const size_t bytes,
                                    const bool minimum, covey__block32_fn levels) {
    for (int32_t half = 0; half < 2; half++) {
        const uint8_t *p[16];
        covey__rows(cut->w, cut->r + 16 * half, cut->end, (size_t)cut->k0 / 32 * bytes, p, 16);
        for (int32_t b = 0; b < cut->columns / 32; b += 2) {
            bool odd = b + 1 == cut->columns / 32;
            size_t at = (size_t)b * bytes, second = odd ? at : at + bytes;
            __m512i z[16];
            COVEY__NO_UNROLL
            for (int i = 0; i < 16; i++) {
                z[i] = _mm512_castsi256_si512(levels(p[i] + at));
                z[i] = _mm512_inserti64x4(z[i], levels(p[i] + second), 1);
            }
            size_t to = (size_t)b * 32 + (size_t)half * 16;
            covey__transpose16(z, tile->q + (size_t)b * 1024 + (size_t)half * 64, 128);
            _mm512_storeu_ps(tile->d + to, covey__scales16(p, at));
            _mm512_storeu_ps(tile->d + to + 32, covey__scales16(p, second));
            if (!minimum) continue;
            const __m512 eighth = _mm512_set1_ps(-0.125f); /* see tile_avx512.c */
            _mm512_storeu_ps(tile->m + to, _mm512_mul_ps(covey__scales16(p, at + 2), eighth));
            _mm512_storeu_ps(tile->m + to + 32,
                             _mm512_mul_ps(covey__scales16(p, second + 2), eighth));
        }
    }
}

#endif
