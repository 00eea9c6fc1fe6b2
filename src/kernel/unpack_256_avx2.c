/* Rows of blocks of 256 into tiles, with AVX2: see tile_avx2.h. */
#include "kernel/quants_avx2.h"
#include "kernel/tile_avx2.h"

/* 8 rows' scales of a block with 8 sub-blocks. */
static COVEY__NOINLINE void put_scales_8(const covey__scales s[8], int16_t *sub, int16_t *pairs) {
    __m256i z[8], m[4];
    COVEY__UNROLL
    for (int i = 0; i < 8; i++) {
        __m256i order = _mm256_permute4x64_epi64(s[i].scale, 0x50);
        z[i] = _mm256_unpacklo_epi16(order, order);
    }
    COVEY__UNROLL
    for (int i = 0; i < 4; i++) m[i] = _mm256_permute2x128_si256(s[i].other, s[i + 4].other, 0x20);
    covey__transpose8(z, (uint8_t *)sub, 64);
    covey__transpose4(m, (uint8_t *)pairs, 64);
}

static COVEY__NOINLINE void put_pairs_16(const covey__scales s[8], int16_t *pairs) {
    __m256i z[8];
    COVEY__UNROLL
    for (int i = 0; i < 8; i++) z[i] = s[i].other;
    covey__transpose8(z, (uint8_t *)pairs, 64);
}

/* And with 16. */
static COVEY__NOINLINE void put_scales_16(const covey__scales s[8], int16_t *sub, int16_t *pairs) {
    __m256i z[8];
    for (int half = 0; half < 2; half++) {
        COVEY__UNROLL
        for (int i = 0; i < 8; i++) {
            __m256i both = _mm256_permute4x64_epi64(s[i].scale, 0xd8);
            z[i] = half ? _mm256_unpackhi_epi16(both, both) : _mm256_unpacklo_epi16(both, both);
        }
        covey__transpose8(z, (uint8_t *)(sub + 256 * half), 64);
    }
    put_pairs_16(s, pairs);
}

/* 8 rows' half of a block: 128 columns. */
COVEY__INLINE void unpack_half(const uint8_t *const p[8], size_t at, const covey__cut *cut,
                               uint8_t *to, const int c, const size_t bytes, covey__half_fn half,
                               const int flip) {
    const __m256i sign = _mm256_set1_epi8((char)flip);
    __m256i u[8][4], z[8];
    for (int i = 0; i < 8; i++) {
        const char *next = (const char *)p[i] + at + cut->ahead + bytes / 2 * (size_t)c;
        _mm_prefetch(next, _MM_HINT_T1);
        if (bytes > 128) _mm_prefetch(next + 64, _MM_HINT_T1);
        half(p[i] + at, c, u[i]);
    }
    for (size_t j = 0; j < 4; j++) {
        COVEY__UNROLL
        for (int i = 0; i < 8; i++) z[i] = flip ? _mm256_xor_si256(u[i][j], sign) : u[i][j];
        covey__transpose8(z, to + 512 * j, 64);
    }
}

/* `d_at`: where the block's float scales are. `sub`: columns a sub-block, or WHOLE where the scales
 * are in the levels already. */
#define WHOLE 0
COVEY__INLINE void unpack(const covey__cut *cut, covey__tile *tile, const size_t bytes,
                          const size_t d_at, covey__half_fn half, covey__scales_fn scales,
                          const int sub, const int flip, const bool minima) {
    const int subs = sub == 32 ? 8 : 16;
    for (int32_t side = 0; side < 2; side++) {
        const uint8_t *p[8];
        covey__rows(cut->w, cut->r + 8 * side, cut->end, (size_t)cut->k0 / 256 * bytes, p, 8);
        for (int32_t b = 0; b < cut->columns / 256; b++) {
            size_t at = (size_t)b * bytes;
            uint8_t *to = tile->q + (size_t)b * 4096 + (size_t)side * 32;
            int16_t *sub_to = tile->sub + b * subs * 32 + side * 16;
            int16_t *pairs_to = tile->pairs + b * subs * 16 + side * 16;
            covey__scales s[8];
            for (int c = 0; c < 2; c++)
                unpack_half(p, at, cut, to + 2048 * c, c, bytes, half, flip);
            for (int i = 0; i < 8; i++) s[i] = scales(p[i] + at);
            if (sub == 32)
                put_scales_8(s, sub_to, pairs_to);
            else if (sub == WHOLE)
                put_pairs_16(s, pairs_to);
            else
                put_scales_16(s, sub_to, pairs_to);
            __m256 d, m = _mm256_setzero_ps();
            if (minima)
                covey__scales8x2(p, at + d_at, &d, &m);
            else
                d = covey__scales8(p, at + d_at);
            _mm256_storeu_ps(tile->d + 16 * b + 8 * side, d);
            if (minima) _mm256_storeu_ps(tile->m + 16 * b + 8 * side, m);
        }
    }
}

#define UNPACK(type, bytes, d_at, sub, flip, minima)                                               \
    void covey__unpack_##type##_avx2(const covey__cut *cut, covey__tile *tile) {                   \
        unpack(cut, tile, bytes, d_at, covey__half_##type, covey__scales_##type, sub, flip,        \
               minima);                                                                            \
    }
UNPACK(q2_k, 84, 80, 16, 0, true)
UNPACK(q3_k, 110, 108, 16, 0, false)
UNPACK(q4_k, 144, 0, 32, 0, true)
UNPACK(q5_k, 176, 0, 32, 0, true)
UNPACK(q6_k, 210, 208, 16, 0, false)
UNPACK(iq4_xs, 136, 0, 32, 0x80, false)
UNPACK(q2_k_whole, 84, 80, WHOLE, 0, true)
UNPACK(q3_k_whole, 110, 108, WHOLE, 0, false)
