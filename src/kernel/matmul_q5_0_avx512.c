/* Q5_0 times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. Levels are brought to 128 too
 * much, as Q8_0's are, which shares the activations' bias. */
#include "kernel/unpack_32_avx512.h"

COVEY__INLINE __m256i levels(const uint8_t *block) {
    return _mm256_add_epi8(covey__nibbles32_fifth(block + 2), _mm256_set1_epi8(112));
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    covey__unpack_32(cut, tile, 22, false, levels);
}

COVEY__TILE_MATMUL(q5_0, COVEY__TILE_SCALE, 1)
