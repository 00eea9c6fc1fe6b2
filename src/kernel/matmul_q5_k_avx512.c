/* Q5_K times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. */
#include "kernel/unpack_k_avx512.h"

COVEY__INLINE __m512i chunk(const uint8_t *block, const int8_t scales[16], int c) {
    (void)scales;
    __m512i both = covey__twice256(block + 48 + 32 * c);
    __m512i high = covey__bits_to(covey__twice256(block + 16), 2 * c, 2 * c + 1, 4);
    return covey__and_or(_mm512_srlv_epi16(both, covey__counts16(0, 4)), _mm512_set1_epi8(15),
                         high);
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    covey__unpack_k(cut, tile, 176, 8, chunk, covey__put_six_bits);
}

COVEY__TILE_MATMUL(q5_k, COVEY__TILE_SUB32_MIN, 0)
