/* IQ4_NL times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. The codebook's values are
 * 128 too much. */
#include "kernel/unpack_32_avx512.h"

COVEY__INLINE __m256i levels(const uint8_t *block) {
    __m256i book = _mm512_castsi512_si256(covey__codebook_plus128());
    return _mm256_shuffle_epi8(book, covey__nibbles32(block + 2));
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    covey__unpack_32(cut, tile, 18, false, levels);
}

COVEY__TILE_MATMUL(iq4_nl, COVEY__TILE_SCALE, 1)
