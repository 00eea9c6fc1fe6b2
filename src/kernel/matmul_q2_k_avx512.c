/* Q2_K times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. Level times scale fits a byte
 * (3
 * * 15), so the sub-blocks' scales cost nothing where tokens are multiplied. */
#include "kernel/unpack_k_avx512.h"

COVEY__INLINE __m512i chunk(const uint8_t *block, const int8_t scales[16], int c) {
    __m512i all = covey__twice256(block + 16 + 32 * (c / 2));
    int16_t shift = (int16_t)(4 * (c % 2));
    __m512i levels = _mm512_and_si512(
        _mm512_srlv_epi16(all, covey__counts16(shift, (int16_t)(shift + 2))), _mm512_set1_epi8(3));
    return covey__scale_levels(levels, scales, c, 0, 0);
}

COVEY__INLINE void put_scales(const uint8_t *const p[16], size_t at, covey__tile_place to) {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i z[4], by_row[4];
    COVEY__UNROLL
    for (int k = 0; k < 4; k++) {
        z[k] = covey__rows4(p + 4 * k, at);
        _mm512_storeu_si512(to.bytes[4 * k], _mm512_and_si512(z[k], nibble));
    }
    covey__transpose4(z, by_row);
    COVEY__UNROLL
    for (int c = 0; c < 4; c++)
        covey__put_mins4(_mm512_and_si512(_mm512_srli_epi16(by_row[c], 4), nibble),
                         to.mins + 128 * c);
    COVEY__UNROLL
    for (int k = 0; k < 4; k++) z[k] = covey__rows4(p + 4 * k, at + 68);
    covey__transpose4(z, by_row);
    covey__put_halves(by_row[3], to.d, to.m);
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    covey__unpack_k(cut, tile, 84, 16, chunk, put_scales);
}

COVEY__TILE_MATMUL(q2_k, COVEY__TILE_WHOLE_MIN, 0)
