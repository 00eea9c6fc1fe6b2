/* Q5_1 times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. */
#include "kernel/unpack_32_avx512.h"

COVEY__INLINE __m256i levels(const uint8_t *block) {
    return covey__nibbles32_fifth(block + 4);
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    covey__unpack_32(cut, tile, 24, true, levels);
}

COVEY__TILE_MATMUL(q5_1, COVEY__TILE_MIN, 0)
