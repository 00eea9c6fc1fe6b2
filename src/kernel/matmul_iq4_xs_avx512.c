/* IQ4_XS times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. The codebook's values are
 * 128 too much. */
#include "kernel/unpack_k_avx512.h"

/* Two sub-blocks of 16 bytes, each low nibbles, then high ones. */
COVEY__INLINE __m512i chunk(const uint8_t *block, const int8_t scales[16], int c) {
    (void)scales;
    const __m512i order = _mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3);
    const __m512i shift = _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4);
    __m512i both = _mm512_castsi256_si512(covey__load256(block + 8 + 32 * c));
    __m512i index = _mm512_srlv_epi64(_mm512_permutexvar_epi64(order, both), shift);
    return _mm512_shuffle_epi8(covey__codebook_plus128(),
                               _mm512_and_si512(index, _mm512_set1_epi8(15)));
}

COVEY__INLINE void put_scales(const uint8_t *const p[16], size_t at, covey__tile_place to) {
    __m512i heads[4], z[4], by_row[4];
    COVEY__UNROLL
    for (int k = 0; k < 4; k++) {
        heads[k] = covey__rows4(p + 4 * k, at);
        z[k] = covey__scales_iq4_xs(heads[k]);
    }
    covey__transpose4(z, by_row);
    COVEY__UNROLL
    for (int c = 0; c < 4; c++) {
        __m512i low = _mm512_srai_epi32(_mm512_slli_epi32(by_row[c], 16), 16);
        _mm512_storeu_si512(to.sub + 64 * c, low);
        _mm512_storeu_si512(to.sub + 64 * c + 32, _mm512_srai_epi32(by_row[c], 16));
    }
    covey__transpose4(heads, by_row);
    covey__put_halves(by_row[0], to.d, NULL);
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    covey__unpack_k(cut, tile, 136, 8, chunk, put_scales);
}

COVEY__TILE_MATMUL(iq4_xs, COVEY__TILE_SUB32, 1)
