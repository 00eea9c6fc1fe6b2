/* Q3_K times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. Levels are brought to 32 too
 * much, as Q6_K's are, so that both share a multiply function and the activations' bias. */
#include "kernel/unpack_k_avx512.h"

COVEY__INLINE __m512i chunk(const uint8_t *block, int c) {
    __m512i all = covey__twice256(block + 32 + 32 * (c / 2));
    int16_t shift = (int16_t)(4 * (c % 2));
    __m512i high = covey__bits_to(covey__twice256(block), 2 * c, 2 * c + 1, 2);
    __m512i low = _mm512_srlv_epi16(all, covey__counts16(shift, (int16_t)(shift + 2)));
    return _mm512_add_epi8(covey__and_or(low, _mm512_set1_epi8(3), high), _mm512_set1_epi8(28));
}

COVEY__INLINE void put_scales(const uint8_t *const p[16], size_t at, covey__tile_place to) {
    __m512i z[4], by_row[4];
    COVEY__UNROLL
    for (int k = 0; k < 4; k++) z[k] = covey__scales_q3_k(covey__rows4(p + 4 * k, at + 94));
    covey__transpose4(z, by_row);
    COVEY__UNROLL
    for (int c = 0; c < 4; c++) covey__put_signed4(by_row[c], to.sub + 128 * c);
    _mm512_storeu_ps(to.d, covey__scales16(p, at + 108));
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    covey__unpack_k(cut, tile, 110, 16, chunk, put_scales);
}

COVEY__TILE_MATMUL(q3_k, COVEY__TILE_SUB16, 0)
