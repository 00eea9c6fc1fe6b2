/* Rows of blocks of 32 into tiles, with AVX2: see tile_avx2.h. */
#include "kernel/quants_avx2.h"
#include "kernel/tile_avx2.h"

COVEY__INLINE void put(const __m256i rows[4], uint8_t *to) {
    __m256i z[4];
    covey__turn4(rows, z);
    COVEY__UNROLL
    for (int i = 0; i < 4; i++) _mm256_storeu_si256((__m256i *)(void *)(to + 64 * i), z[i]);
}

/* `flip` is 0x80 for signed levels, which become unsigned so. */
COVEY__INLINE void unpack(const covey__cut *cut, covey__tile *tile, const size_t bytes,
                          covey__levels_fn levels, const int flip, const bool minimum) {
    const __m256i sign = _mm256_set1_epi8((char)flip);
    for (int32_t half = 0; half < 2; half++) {
        const uint8_t *p[8];
        covey__rows(cut->w, cut->r + 8 * half, cut->end, (size_t)cut->k0 / 32 * bytes, p, 8);
        for (int32_t b = 0; b < cut->columns / 32; b++) {
            size_t at = (size_t)b * bytes;
            uint8_t *to = tile->q + (size_t)b * 512 + (size_t)half * 32;
            __m256i low[4], high[4];
            COVEY__UNROLL
            for (int i = 0; i < 4; i++) {
                _mm_prefetch((const char *)p[i] + at + cut->ahead, _MM_HINT_T1);
                _mm_prefetch((const char *)p[i + 4] + at + cut->ahead, _MM_HINT_T1);
                __m256i u[2];
                levels(p[i] + at, p[i + 4] + at, u);
                low[i] = flip ? _mm256_xor_si256(u[0], sign) : u[0];
                high[i] = flip ? _mm256_xor_si256(u[1], sign) : u[1];
            }
            put(low, to);
            put(high, to + 256);
            __m256 d, m = _mm256_setzero_ps();
            if (minimum)
                covey__scales8x2(p, at, &d, &m);
            else
                d = covey__scales8(p, at);
            _mm256_storeu_ps(tile->d + 16 * b + 8 * half, d);
            if (minimum) _mm256_storeu_ps(tile->m + 16 * b + 8 * half, m);
        }
    }
}

#define UNPACK(type, bytes, flip, minimum)                                                         \
    void covey__unpack_##type##_avx2(const covey__cut *cut, covey__tile *tile) {                   \
        unpack(cut, tile, bytes, covey__levels_##type, flip, minimum);                             \
    }
UNPACK(q8_0, 34, 0x80, false)
UNPACK(iq4_nl, 18, 0x80, false)
UNPACK(q4_0, 18, 0, false)
UNPACK(q5_0, 22, 0, false)
UNPACK(q4_1, 20, 0, true)
UNPACK(q5_1, 24, 0, true)
