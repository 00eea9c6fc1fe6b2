/* Q8_0 times many tokens, AVX2: unpacking and the inner loop for tile_avx2.h. Weights stay signed;
 * the unsigned factor of the byte product is |w|, with w's sign moved to the activation. */
#include "kernel/tile_avx2.h"

static void unpack(const covey__cut *cut, covey__tile *tile) {
    for (int32_t half = 0; half < 2; half++) {
        const uint8_t *p[8];
        covey__rows(cut->w, cut->r + 8 * half, cut->end, (size_t)cut->k0 / 32 * 34, p, 8);
        for (int32_t b = 0; b < cut->columns / 32; b++) {
            size_t at = (size_t)b * 34;
            __m256i z[8];
            COVEY__UNROLL
            for (int i = 0; i < 8; i++) {
                _mm_prefetch((const char *)p[i] + at + cut->ahead, _MM_HINT_T1);
                z[i] = covey__load256(p[i] + at + 2);
            }
            covey__transpose8(z, tile->q + (size_t)b * 512 + (size_t)half * 32, 64);
            _mm256_storeu_ps(tile->d + 16 * b + 8 * half, covey__scales8(p, at));
        }
    }
}

COVEY__INLINE void tile_q8_0(const covey__tile *tile, const covey__stretch *s, const int tokens) {
    const __m256i one = _mm256_set1_epi16(1);
    __m256 f[COVEY__TILE_TOKENS][2];
    covey__accumulators_get(s, f, tokens);
    const int8_t *q = s->q;
    const float *d = s->d;
    for (int32_t b = 0; b < s->columns / 32; b++) {
        __m256i x[COVEY__TILE_TOKENS][2];
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) x[t][0] = x[t][1] = _mm256_setzero_si256();
        const uint8_t *w = tile->q + 512 * (size_t)b;
        for (int k = 0; k < 8; k++, w += 64, q += 4 * COVEY__GROUP) {
            __m256i w0 = covey__load256(w), w1 = covey__load256(w + 32);
            __m256i u0 = _mm256_abs_epi8(w0), u1 = _mm256_abs_epi8(w1);
            COVEY__UNROLL
            for (int t = 0; t < tokens; t++) {
                __m256i a = covey__spread32(q + 4 * t);
                __m256i y0 = _mm256_maddubs_epi16(u0, _mm256_sign_epi8(a, w0));
                __m256i y1 = _mm256_maddubs_epi16(u1, _mm256_sign_epi8(a, w1));
                x[t][0] = _mm256_add_epi32(x[t][0], _mm256_madd_epi16(y0, one));
                x[t][1] = _mm256_add_epi32(x[t][1], _mm256_madd_epi16(y1, one));
                COVEY__KEEP(x[t][0]);
                COVEY__KEEP(x[t][1]);
            }
        }
        covey__tile_step32(tile->d + 16 * b, d, x, f, tokens);
        d += COVEY__GROUP;
    }
    covey__accumulators_put(s, f, tokens);
}

COVEY__TILE_OPS(tile_q8_0, unpack, 32, 32, 0)

void covey__matmul_q8_0_avx2(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    covey__tile_run(&ops, p, r0, r1, scratch);
}
