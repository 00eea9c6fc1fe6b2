/* Q4_0 times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. Levels are 8 too much. */
#include "kernel/unpack_32_avx512.h"

COVEY__INLINE __m256i levels(const uint8_t *block) {
    return covey__nibbles32(block + 2);
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    covey__unpack_32(cut, tile, 18, false, levels);
}

COVEY__TILE_MATMUL(q4_0, COVEY__TILE_SCALE, 0)
