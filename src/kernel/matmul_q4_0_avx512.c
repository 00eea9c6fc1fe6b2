/* Q4_0 times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. Weights stay unsigned, 0 to
 * 15. */
#include "kernel/tile_avx512.h"

/* A block as 32 bytes in order: low nibbles, then high ones. */
COVEY__INLINE __m256i spread(const uint8_t *block) {
    __m128i both = covey__load128(block + 2);
    __m256i wide = _mm256_castsi128_si256(both);
    return _mm256_inserti128_si256(wide, _mm_srli_epi16(both, 4), 1);
}

/* Two blocks at a time, a last odd one with itself. */
static void unpack(const covey__cut *cut, covey__tile *tile) {
    const __m512i nibble = _mm512_set1_epi8(15);
    for (int32_t half = 0; half < 2; half++) {
        const uint8_t *p[16];
        covey__rows(cut->w, cut->r + 16 * half, cut->end, (size_t)cut->k0 / 32 * 18, p, 16);
        for (int32_t b = 0; b < cut->columns / 32; b += 2) {
            bool odd = b + 1 == cut->columns / 32;
            size_t at = (size_t)b * 18, second = odd ? at : at + 18;
            __m512i z[16];
            COVEY__UNROLL
            for (int i = 0; i < 16; i++) {
                _mm_prefetch((const char *)p[i] + at + cut->ahead, _MM_HINT_T1);
                z[i] = _mm512_castsi256_si512(spread(p[i] + at));
                z[i] = _mm512_inserti64x4(z[i], spread(p[i] + second), 1);
                z[i] = _mm512_and_si512(z[i], nibble);
            }
            uint8_t *to = tile->q + (size_t)b * 1024 + (size_t)half * 64;
            float *d = tile->d + (size_t)b * 32 + (size_t)half * 16;
            covey__transpose16(z, to, 128);
            _mm512_storeu_ps(d, covey__scales16(p, at));
            _mm512_storeu_ps(d + 32, covey__scales16(p, second));
        }
    }
}

COVEY__TILE_MATMUL(q4_0, COVEY__TILE_SCALE, 0)
