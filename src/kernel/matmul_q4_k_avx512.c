/* Q4_K times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. */
#include "kernel/k_avx512.h"
#include "kernel/tile_avx512.h"

static void unpack(const covey__cut *cut, covey__tile *tile) {
    const __m256i nibble = _mm256_set1_epi8(15);
    for (int32_t half = 0; half < 2; half++) {
        const uint8_t *p[16];
        covey__rows(cut->w, cut->r + 16 * half, cut->end, (size_t)cut->k0 / 256 * 144, p, 16);
        for (int32_t b = 0; b < cut->columns / 256; b++) {
            size_t at = (size_t)b * 144;
            uint8_t *to = tile->q + (size_t)b * 8192 + (size_t)half * 64;
            __m512i heads[4];
            COVEY__UNROLL
            for (int k = 0; k < 4; k++) heads[k] = covey__rows4(p + 4 * k, at);
            covey__unpack_heads(heads, tile->sub + b * 256 + half * 16,
                                tile->mins + b * 256 + half * 32, tile->d + 32 * b + 16 * half,
                                tile->m + 32 * b + 16 * half);
            for (size_t c = 0; c < 4; c++) {
                __m512i z[16];
                COVEY__UNROLL
                for (int i = 0; i < 16; i++) {
                    _mm_prefetch((const char *)p[i] + at + cut->ahead + 36 * c, _MM_HINT_T1);
                    __m256i both = covey__load256(p[i] + at + 16 + 32 * c);
                    __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
                    z[i] = _mm512_castsi256_si512(_mm256_and_si256(both, nibble));
                    z[i] = _mm512_inserti64x4(z[i], high, 1);
                }
                covey__transpose16(z, to + 2048 * c, 128);
            }
        }
    }
}

COVEY__TILE_MATMUL(q4_k, COVEY__TILE_SUB32_MIN, 0)
