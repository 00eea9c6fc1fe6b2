/* Q8_0 times many tokens, AVX-512 VNNI: unpacking for tile_avx512.h. Weights become unsigned by
 * adding 128. */
#include "kernel/tile_avx512.h"

/* Two blocks at a time: 16 rows of 64 bytes are transposed by dwords. A last odd block comes with
 * the one before it again. */
static void unpack(const covey__cut *cut, covey__tile *tile) {
    const __m512i flip = _mm512_set1_epi8(-128);
    for (int32_t half = 0; half < 2; half++) {
        const uint8_t *p[16];
        covey__rows(cut->w, cut->r + 16 * half, cut->end, (size_t)cut->k0 / 32 * 34, p, 16);
        for (int32_t b = 0; b < cut->columns / 32; b += 2) {
            bool odd = b + 1 == cut->columns / 32;
            size_t at = (size_t)b * 34, second = odd ? at : at + 34;
            __m512i z[16];
            COVEY__UNROLL
            for (int i = 0; i < 16; i++) {
                _mm_prefetch((const char *)p[i] + at + cut->ahead, _MM_HINT_T1);
                z[i] = _mm512_castsi256_si512(covey__load256(p[i] + at + 2));
                z[i] = _mm512_inserti64x4(z[i], covey__load256(p[i] + second + 2), 1);
                z[i] = _mm512_xor_si512(z[i], flip);
            }
            uint8_t *to = tile->q + (size_t)b * 1024 + (size_t)half * 64;
            float *d = tile->d + (size_t)b * 32 + (size_t)half * 16;
            covey__transpose16(z, to, 128);
            _mm512_storeu_ps(d, covey__scales16(p, at));
            _mm512_storeu_ps(d + 32, covey__scales16(p, second));
        }
    }
}

COVEY__TILE_MATMUL(q8_0, COVEY__TILE_SCALE, 1)
