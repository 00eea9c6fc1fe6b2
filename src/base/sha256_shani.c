/* SHA-256's block function with the x86 SHA extensions (Intel SDM volume 2, SHA256RNDS2). The
 * instructions want the state as {ABEF} and {CDGH}, so it is shuffled on the way in and out; each
 * step of four rounds makes the message words that are wanted four steps later. Built with its own
 * flags; called only where base/cpu.h says so. Must agree with sha256.c bit for bit. */
#include "base/sha256_blocks.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>

/* Four rounds with the message words `words` and the constants from `step`. */
static inline void four_rounds(__m128i *abef, __m128i *cdgh, __m128i words, int step) {
    __m128i k;
    memcpy(&k, covey__sha256_constants + 4 * step, sizeof k);
    __m128i sum = _mm_add_epi32(words, k);
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sum);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(sum, 0x0e));
}

/* The next four message words from the last sixteen, oldest first. */
static inline __m128i next_words(__m128i w0, __m128i w1, __m128i w2, __m128i w3) {
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    return _mm_sha256msg2_epu32(sum, w3);
}

static inline __m128i load_words(const uint8_t *data) {
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m128i words;
    memcpy(&words, data, sizeof words);
    return _mm_shuffle_epi8(words, swap);
}

void covey__sha256_blocks_shani(uint32_t state[8], const uint8_t *data, size_t block_count) {
    __m128i abcd, efgh;
    memcpy(&abcd, state, sizeof abcd);
    memcpy(&efgh, state + 4, sizeof efgh);
    __m128i badc = _mm_shuffle_epi32(abcd, 0xb1), hgfe = _mm_shuffle_epi32(efgh, 0x1b);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
    __m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
    for (; block_count > 0; block_count--, data += 64) {
        __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w0 = load_words(data), w1 = load_words(data + 16);
        __m128i w2 = load_words(data + 32), w3 = load_words(data + 48);
        for (int step = 0; step < 16; step++) {
            four_rounds(&abef, &cdgh, w0, step);
            __m128i next =
                next_words(w0, w1, w2, w3); /* unused ones of the last steps cost little */
            w0 = w1, w1 = w2, w2 = w3, w3 = next;
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    abcd = _mm_blend_epi16(feba, dchg, 0xf0);
    efgh = _mm_alignr_epi8(dchg, feba, 8);
    memcpy(state, &abcd, sizeof abcd);
    memcpy(state + 4, &efgh, sizeof efgh);
}

bool covey__sha256_blocks_shani_is_built(void) {
    return true;
}
#else

void covey__sha256_blocks_shani(uint32_t state[8], const uint8_t *data, size_t block_count) {
    covey__sha256_blocks_portable(state, data, block_count);
}

bool covey__sha256_blocks_shani_is_built(void) {
    return false;
}
#endif
