/* Products over tiles, for AVX2 and AVX-VNNI: compiled once for each, by tile_dots_avx2.c and
 * tile_dots_avxvnni.c, which define how bytes are multiplied, over `steps` times 4 columns of 16
 * rows:
 *
 *   dots(w, q, x, steps, fit, tokens)             x = x + dot
 *   dots_scaled(w, q, s, x, steps, fit, tokens)   x = x + s * dot, with s as the tile holds it
 *
 * `fit` says how large the tile's bytes are: so many steps' products add up in int16. With FIT_WIDE
 * not even one does; such weights have 128 added. A tile's bytes are unsigned: weights that are not
 * have 2^excess added, which goes back out through the activations' sums, unless the dots
 * themselves take the 128 off. */
#ifndef COVEY_KERNEL_TILE_DOTS_AVX2_H
#define COVEY_KERNEL_TILE_DOTS_AVX2_H

#include "kernel/tile_avx2.h"

#define FIT_WIDE  0
#define FIT_WHOLE (-1) /* as wide, and without scales of sub-blocks: they are in the bytes */

/* Of blocks of 32, instead of a known excess. */
#define NONE 0
#define ANY  (-1) /* what the shape's table says */

typedef __m256 floats[COVEY__TILE_TOKENS][2];
typedef __m256i ints[COVEY__TILE_TOKENS][2];

COVEY__INLINE void dots(const uint8_t *w, const int8_t *q, ints x, const int steps, const int fit,
                        const int tokens);
COVEY__INLINE void dots_scaled(const uint8_t *w, const int8_t *q, const int16_t *s, ints x,
                               const int steps, const int fit, const int tokens);

/* The float step of a block of 32: float(x) * (dw * da), or with a minimum
 * (float(x) * dw + float(sum) * m) * da; `bias` is -8 times the sum. */
COVEY__INLINE __m256 step_32(__m256i x, __m256 dw, __m256 m, float da, int32_t bias,
                             const bool minimum) {
    __m256 y = _mm256_cvtepi32_ps(x), scale = _mm256_set1_ps(da);
    if (!minimum) return _mm256_mul_ps(y, _mm256_mul_ps(dw, scale));
    __m256i sum = _mm256_srai_epi32(_mm256_set1_epi32(-bias), 3);
    __m256 offset = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), m);
    return _mm256_mul_ps(_mm256_add_ps(_mm256_mul_ps(y, dw), offset), scale);
}

/* Blocks of 32 with one scale, or with a minimum too. */
COVEY__INLINE void multiply_32(const covey__tile *tile, const covey__stretch *s, const int fit,
                               const int excess, const bool minimum, const int tokens) {
    const __m256i shift = _mm256_set1_epi32(s->ops->excess - 3);
    floats f;
    covey__accumulators_get_avx2(s, f);
    const int8_t *q = s->q;
    const float *d = s->d;
    const int32_t *bias = s->bias;
    for (int32_t b = 0; b < s->columns / 32; b++) {
        ints x;
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            x[t][0] = _mm256_setzero_si256();
            if (excess != NONE) x[t][0] = _mm256_set1_epi32(bias[t]);
            if (excess == ANY) x[t][0] = _mm256_sllv_epi32(x[t][0], shift);
            if (excess > 3) x[t][0] = _mm256_slli_epi32(x[t][0], excess - 3);
            x[t][1] = x[t][0];
        }
        dots(tile->q + 512 * (size_t)b, q, x, 8, fit, tokens);
        COVEY__UNROLL
        for (int half = 0; half < 2; half++) {
            __m256 dw = _mm256_loadu_ps(tile->d + 16 * b + 8 * half);
            __m256 m = _mm256_loadu_ps(tile->m + 16 * b + 8 * half);
            COVEY__UNROLL
            for (int t = 0; t < tokens; t++) {
                __m256 y = step_32(x[t][half], dw, m, d[t], bias[t], minimum);
                f[t][half] = _mm256_add_ps(f[t][half], y);
            }
        }
        q += 32 * COVEY__GROUP;
        d += COVEY__GROUP;
        bias += COVEY__GROUP;
    }
    covey__accumulators_put_avx2(s, f);
}

/* Blocks of 256 in sub-blocks of `sub` columns. */
COVEY__INLINE void multiply_256(const covey__tile *tile, const covey__stretch *s, const int fit,
                                const int sub, const int tokens) {
    floats f;
    covey__accumulators_get_avx2(s, f);
    const int8_t *q = s->q;
    const uint8_t *w = tile->q;
    const int16_t *scales = tile->sub;
    for (int32_t b = 0; b < s->columns / 256; b++) {
        ints x, sums;
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) x[t][0] = x[t][1] = _mm256_setzero_si256();
        const int run = fit == FIT_WHOLE ? 32 : sub;
        for (int j = 0; j < 256 / run; j++) {
            if (fit == FIT_WHOLE)
                dots(w, q, x, run / 4, fit, tokens);
            else
                dots_scaled(w, q, scales, x, run / 4, fit, tokens);
            w += run * 16;
            q += run * COVEY__GROUP;
            scales += 32;
        }
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            sums[t][0] = x[t][0];
            sums[t][1] = x[t][1];
        }
        s->ops->steps(tile, s, b, (const __m256i(*)[2])sums, f);
    }
    covey__accumulators_put_avx2(s, f);
}

#define PRODUCT_32(name, tokens, fit, excess, minimum)                                             \
    static COVEY__NOINLINE void name(const covey__tile *tile, const covey__stretch *s) {           \
        multiply_32(tile, s, fit, excess, minimum, tokens);                                        \
    }
#define PRODUCT_256(name, tokens, fit, sub)                                                        \
    static COVEY__NOINLINE void name(const covey__tile *tile, const covey__stretch *s) {           \
        multiply_256(tile, s, fit, sub, tokens);                                                   \
    }

#define MATMUL(type, isa, shape) MATMUL_OF(type, isa, shape, covey__unpack_##type##_avx2)
#define MATMUL_OF(type, isa, shape, unpack)                                                        \
    void covey__matmul_##type##_##isa(const covey__product *p, int32_t r0, int32_t r1,             \
                                      void *scratch) {                                             \
        covey__tile_run_avx2(unpack, &(shape), p, r0, r1, scratch);                                \
    }

#endif
