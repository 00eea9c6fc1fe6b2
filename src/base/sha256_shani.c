/* SHA-256's block function with the x86 SHA extensions (Intel SDM volume 2, SHA256RNDS2). The
 * instructions want the state as {ABEF} and {CDGH}, so it is shuffled on the way in and out; each
 * step of four rounds makes the message words that are wanted four steps later. Built with its own
 * flags; called only where base/cpu.h says so. Must agree with sha256.c bit for bit. */
#include "base/sha256_blocks.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* Four rounds with the message words `words` and the constants from `step`. */
INLINE void four_rounds(__m128i *abef, __m128i *cdgh, __m128i words, int step) {
    __m128i k;
    memcpy(&k, covey__sha256_constants + 4 * step, sizeof k);
    __m128i sum = _mm_add_epi32(words, k);
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sum);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(sum, 0x0e));
}

/* The next four message words from the last sixteen, oldest first. */
INLINE __m128i next_words(__m128i w0, __m128i w1, __m128i w2, __m128i w3) {
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    return _mm_sha256msg2_epu32(sum, w3);
}

INLINE __m128i load_words(const uint8_t *data) {
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m128i words;
    memcpy(&words, data, sizeof words);
    return _mm_shuffle_epi8(words, swap);
}

/* A state between blocks. */
typedef struct halves {
    __m128i abef, cdgh;
} halves;

static inline halves take_state(const uint32_t state[8]) {
    __m128i abcd, efgh;
    memcpy(&abcd, state, sizeof abcd);
    memcpy(&efgh, state + 4, sizeof efgh);
    __m128i badc = _mm_shuffle_epi32(abcd, 0xb1), hgfe = _mm_shuffle_epi32(efgh, 0x1b);
    return (halves){_mm_alignr_epi8(badc, hgfe, 8), _mm_blend_epi16(hgfe, badc, 0xf0)};
}

static inline void give_state(halves h, uint32_t state[8]) {
    __m128i feba = _mm_shuffle_epi32(h.abef, 0x1b), dchg = _mm_shuffle_epi32(h.cdgh, 0xb1);
    __m128i abcd = _mm_blend_epi16(feba, dchg, 0xf0), efgh = _mm_alignr_epi8(dchg, feba, 8);
    memcpy(state, &abcd, sizeof abcd);
    memcpy(state + 4, &efgh, sizeof efgh);
}

void covey__sha256_blocks_shani(uint32_t state[8], const uint8_t *data, size_t block_count) {
    halves h = take_state(state);
    for (; block_count > 0; block_count--, data += 64) {
        halves before = h;
        __m128i w0 = load_words(data), w1 = load_words(data + 16);
        __m128i w2 = load_words(data + 32), w3 = load_words(data + 48);
        for (int step = 0; step < 16; step++) {
            four_rounds(&h.abef, &h.cdgh, w0, step);
            __m128i next =
                next_words(w0, w1, w2, w3); /* unused ones of the last steps cost little */
            w0 = w1, w1 = w2, w2 = w3, w3 = next;
        }
        h.abef = _mm_add_epi32(h.abef, before.abef);
        h.cdgh = _mm_add_epi32(h.cdgh, before.cdgh);
    }
    give_state(h, state);
}

void covey__sha256_pair_shani(uint32_t a[8], const uint8_t *data_a, uint32_t b[8],
                              const uint8_t *data_b, size_t block_count) {
    halves h = take_state(a), g = take_state(b);
    for (; block_count > 0; block_count--, data_a += 64, data_b += 64) {
        halves h_before = h, g_before = g;
        __m128i w0 = load_words(data_a), w1 = load_words(data_a + 16);
        __m128i w2 = load_words(data_a + 32), w3 = load_words(data_a + 48);
        __m128i x0 = load_words(data_b), x1 = load_words(data_b + 16);
        __m128i x2 = load_words(data_b + 32), x3 = load_words(data_b + 48);
        for (int step = 0; step < 16; step += 4) {
            four_rounds(&h.abef, &h.cdgh, w0, step);
            four_rounds(&g.abef, &g.cdgh, x0, step);
            w0 = next_words(w0, w1, w2, w3);
            x0 = next_words(x0, x1, x2, x3);
            four_rounds(&h.abef, &h.cdgh, w1, step + 1);
            four_rounds(&g.abef, &g.cdgh, x1, step + 1);
            w1 = next_words(w1, w2, w3, w0);
            x1 = next_words(x1, x2, x3, x0);
            four_rounds(&h.abef, &h.cdgh, w2, step + 2);
            four_rounds(&g.abef, &g.cdgh, x2, step + 2);
            w2 = next_words(w2, w3, w0, w1);
            x2 = next_words(x2, x3, x0, x1);
            four_rounds(&h.abef, &h.cdgh, w3, step + 3);
            four_rounds(&g.abef, &g.cdgh, x3, step + 3);
            w3 = next_words(w3, w0, w1, w2);
            x3 = next_words(x3, x0, x1, x2);
        }
        h.abef = _mm_add_epi32(h.abef, h_before.abef);
        h.cdgh = _mm_add_epi32(h.cdgh, h_before.cdgh);
        g.abef = _mm_add_epi32(g.abef, g_before.abef);
        g.cdgh = _mm_add_epi32(g.cdgh, g_before.cdgh);
    }
    give_state(h, a);
    give_state(g, b);
}

bool covey__sha256_blocks_shani_is_built(void) {
    return true;
}
#else

void covey__sha256_blocks_shani(uint32_t state[8], const uint8_t *data, size_t block_count) {
    covey__sha256_blocks_portable(state, data, block_count);
}

void covey__sha256_pair_shani(uint32_t a[8], const uint8_t *data_a, uint32_t b[8],
                              const uint8_t *data_b, size_t block_count) {
    covey__sha256_blocks_portable(a, data_a, block_count);
    covey__sha256_blocks_portable(b, data_b, block_count);
}

bool covey__sha256_blocks_shani_is_built(void) {
    return false;
}
#endif
