/* Q6_K times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. Weights stay unsigned, 0 to
 * 63. */
#include "kernel/q6_k_avx512.h"
#include "kernel/tile_avx512.h"

/* 16 rows' 16 scales (int8) to dwords by sub-block: [16 sub-blocks][32 rows]. */
COVEY__INLINE void unpack_scales(const uint8_t *const p[16], size_t at, int32_t *to) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i z[4], four[4];
    COVEY__UNROLL
    for (int i = 0; i < 4; i++) {
        z[i] = _mm512_castsi128_si512(covey__load128(p[4 * i] + at));
        z[i] = _mm512_inserti32x4(z[i], covey__load128(p[4 * i + 1] + at), 1);
        z[i] = _mm512_inserti32x4(z[i], covey__load128(p[4 * i + 2] + at), 2);
        z[i] = _mm512_inserti32x4(z[i], covey__load128(p[4 * i + 3] + at), 3);
    }
    __m512i low0 = _mm512_unpacklo_epi32(z[0], z[1]), high0 = _mm512_unpackhi_epi32(z[0], z[1]);
    __m512i low1 = _mm512_unpacklo_epi32(z[2], z[3]), high1 = _mm512_unpackhi_epi32(z[2], z[3]);
    four[0] = _mm512_unpacklo_epi64(low0, low1);
    four[1] = _mm512_unpackhi_epi64(low0, low1);
    four[2] = _mm512_unpacklo_epi64(high0, high1);
    four[3] = _mm512_unpackhi_epi64(high0, high1);
    /* four[c]: the scales 4c to 4c + 3 of the rows in the order 0, 4, 8, 12, 1, 5, ... */
    COVEY__UNROLL
    for (int c = 0; c < 4; c++) {
        __m512i v = _mm512_permutexvar_epi32(order, four[c]);
        int32_t *out = to + 128 * c;
        _mm512_storeu_si512(out, _mm512_srai_epi32(_mm512_slli_epi32(v, 24), 24));
        _mm512_storeu_si512(out + 32, _mm512_srai_epi32(_mm512_slli_epi32(v, 16), 24));
        _mm512_storeu_si512(out + 64, _mm512_srai_epi32(_mm512_slli_epi32(v, 8), 24));
        _mm512_storeu_si512(out + 96, _mm512_srai_epi32(v, 24));
    }
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    for (int32_t half = 0; half < 2; half++) {
        const uint8_t *p[16];
        covey__rows(cut->w, cut->r + 16 * half, cut->end, (size_t)cut->k0 / 256 * 210, p, 16);
        for (int32_t b = 0; b < cut->columns / 256; b++) {
            size_t at = (size_t)b * 210;
            uint8_t *to = tile->q + (size_t)b * 8192 + (size_t)half * 64;
            for (size_t c = 0; c < 2; c++) {
                __m512i y[16], z[16];
                COVEY__UNROLL
                for (int i = 0; i < 16; i++) {
                    const char *next = (const char *)p[i] + at + cut->ahead + 105 * c;
                    _mm_prefetch(next, _MM_HINT_T1);
                    _mm_prefetch(next + 64, _MM_HINT_T1);
                    covey__q6_k_half(p[i] + at + 64 * c, p[i] + at + 128 + 32 * c, &y[i], &z[i]);
                }
                covey__transpose16(y, to + 4096 * c, 128);
                covey__transpose16(z, to + 4096 * c + 2048, 128);
            }
            unpack_scales(p, at + 192, tile->sub + b * 512 + half * 16);
            _mm512_storeu_ps(tile->d + 32 * b + 16 * half, covey__scales16(p, at + 208));
        }
    }
}

COVEY__TILE_MATMUL(q6_k, COVEY__TILE_SUB16, 0)
