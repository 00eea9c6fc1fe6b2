/* Q6_K times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. Levels are 32 too much. */
#include "kernel/unpack_k_avx512.h"

COVEY__INLINE __m512i chunk(const uint8_t *block, const int8_t scales[16], int c) {
    (void)scales;
    int odd = c % 2;
    __m512i low = covey__load512(block + 64 * (c / 2));
    __m512i high = covey__twice256(block + 128 + 32 * (c / 2));
    high = _mm512_rolv_epi64(high, covey__counts64(4 - 4 * odd, (2 - 4 * odd) & 63));
    low = _mm512_srl_epi16(low, _mm_cvtsi32_si128(4 * odd));
    return covey__and_or(low, _mm512_set1_epi8(15), _mm512_and_si512(high, _mm512_set1_epi8(0x30)));
}

COVEY__INLINE void put_scales(const uint8_t *const p[16], size_t at, covey__tile_place to) {
    __m512i z[4], by_row[4];
    COVEY__UNROLL
    for (int k = 0; k < 4; k++) z[k] = covey__rows4(p + 4 * k, at + 192);
    covey__transpose4(z, by_row);
    COVEY__UNROLL
    for (int c = 0; c < 4; c++) covey__put_signed4(by_row[c], to.sub + 128 * c);
    _mm512_storeu_ps(to.d, covey__scales16(p, at + 208));
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    covey__unpack_k(cut, tile, 210, 16, chunk, put_scales);
}

COVEY__TILE_MATMUL(q6_k, COVEY__TILE_SUB16, 0)
