/* Q3_K times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. Level times scale is
 * between -124 and 128, so that with 127 more it fits a byte, and the sub-blocks' scales cost
 * nothing where tokens are multiplied. */
#include "kernel/unpack_k_avx512.h"

COVEY__INLINE __m512i chunk(const uint8_t *block, const int8_t scales[16], int c) {
    __m512i all = covey__twice256(block + 32 + 32 * (c / 2));
    int16_t shift = (int16_t)(4 * (c % 2));
    __m512i high = covey__bits_to(covey__twice256(block), 2 * c, 2 * c + 1, 2);
    __m512i low = _mm512_srlv_epi16(all, covey__counts16(shift, (int16_t)(shift + 2)));
    __m512i levels = covey__and_or(low, _mm512_set1_epi8(3), high);
    return covey__scale_levels(levels, scales, c, 4, 127);
}

COVEY__INLINE void put_scales(const uint8_t *const p[16], size_t at, covey__tile_place to) {
    COVEY__UNROLL
    for (int k = 0; k < 4; k++)
        _mm512_storeu_si512(to.bytes[4 * k], covey__scales_q3_k(covey__rows4(p + 4 * k, at + 94)));
    _mm512_storeu_ps(to.d, covey__scales16(p, at + 108));
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    covey__unpack_k(cut, tile, 110, 16, chunk, put_scales);
}

COVEY__TILE_MATMUL(q3_k, COVEY__TILE_WHOLE, 0)
