/* Q8_0 times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. Levels are 128 too much. */
#include "kernel/unpack_32_avx512.h"

COVEY__INLINE __m256i levels(const uint8_t *block) {
    return _mm256_xor_si256(covey__load256(block + 2), _mm256_set1_epi8(-128));
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    covey__unpack_32(cut, tile, 34, false, levels);
}

COVEY__TILE_MATMUL(q8_0, COVEY__TILE_SCALE, 1)
