/* Products over tiles, for AVX2 and AVX-VNNI: compiled once for each, by tile_dots_avx2.c and
 * tile_dots_avxvnni.c. Before they include this they define how bytes are multiplied, over `steps`
 * times 4 columns of 16 rows:
 *
 *   dots(w, q, x, steps, fit, tokens)             x = x + dot
 *   dots_scaled(w, q, s, x, steps, fit, tokens)   x = x + s * dot, with s as the tile holds it
 *   WIDE_EXCESS                                   see below
 *
 * `fit` says how large the tile's bytes are: so many steps' products add up in int16. With FIT_WIDE
 * not even one does; such weights have 128 added. A tile's bytes are unsigned: weights that are not
 * have 2^excess added, which goes back out through the activations' sums. WIDE_EXCESS is 7, or
 * NO_EXCESS where the dots themselves take the 128 off. */
#ifndef COVEY_KERNEL_TILE_DOTS_AVX2_H
#define COVEY_KERNEL_TILE_DOTS_AVX2_H

#include "kernel/tile_avx2.h"

#define FIT_WIDE  0
#define FIT_WHOLE (-1) /* as wide, and without scales of sub-blocks: they are in the bytes */
#define NO_EXCESS (-1)
#define MINIMA    (-2) /* unsigned weights, and minima beside the scales */

typedef __m256 floats[COVEY__TILE_TOKENS][2];
typedef __m256i ints[COVEY__TILE_TOKENS][2];

COVEY__INLINE void dots(const uint8_t *w, const int8_t *q, ints x, const int steps, const int fit,
                        const int tokens);
COVEY__INLINE void dots_scaled(const uint8_t *w, const int8_t *q, const int16_t *s, ints x,
                               const int steps, const int fit, const int tokens);

static COVEY__NOINLINE void accumulators_get(const covey__stretch *s, floats f) {
    for (int t = 0; t < COVEY__TILE_TOKENS; t++) {
        const float *out = s->out + (size_t)t * s->out_stride;
        bool zero = s->first || t >= s->tokens;
        f[t][0] = zero ? _mm256_setzero_ps() : covey__get8(out, s->rows);
        f[t][1] = zero ? _mm256_setzero_ps() : covey__get8(out + 8, s->rows - 8);
    }
}

static COVEY__NOINLINE void accumulators_put(const covey__stretch *s, floats f) {
    for (int t = 0; t < s->tokens; t++) {
        float *out = s->out + (size_t)t * s->out_stride;
        covey__put8(out, s->rows, f[t][0]);
        covey__put8(out + 8, s->rows - 8, f[t][1]);
    }
}

/* The float step of a block of 32: float(x) * (dw * da), or with a minimum
 * (float(x) * dw + float(sum) * m) * da; `bias` is -8 times the sum. */
COVEY__INLINE __m256 step_32(__m256i x, __m256 dw, __m256 m, float da, int32_t bias,
                             const int excess) {
    __m256 y = _mm256_cvtepi32_ps(x), scale = _mm256_set1_ps(da);
    if (excess != MINIMA) return _mm256_mul_ps(y, _mm256_mul_ps(dw, scale));
    __m256i sum = _mm256_srai_epi32(_mm256_set1_epi32(-bias), 3);
    __m256 offset = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), m);
    return _mm256_mul_ps(_mm256_add_ps(_mm256_mul_ps(y, dw), offset), scale);
}

/* Blocks of 32 with one scale. */
COVEY__INLINE void multiply_32(const covey__tile *tile, const covey__stretch *s, const int fit,
                               const int excess, const int tokens) {
    floats f;
    accumulators_get(s, f);
    const int8_t *q = s->q;
    const float *d = s->d;
    const int32_t *bias = s->bias;
    for (int32_t b = 0; b < s->columns / 32; b++) {
        ints x;
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            x[t][0] = _mm256_setzero_si256();
            if (excess >= 3) x[t][0] = _mm256_slli_epi32(_mm256_set1_epi32(bias[t]), excess - 3);
            x[t][1] = x[t][0];
        }
        dots(tile->q + 512 * (size_t)b, q, x, 8, fit, tokens);
        COVEY__UNROLL
        for (int half = 0; half < 2; half++) {
            __m256 dw = _mm256_loadu_ps(tile->d + 16 * b + 8 * half);
            __m256 m = _mm256_loadu_ps(tile->m + 16 * b + 8 * half);
            COVEY__UNROLL
            for (int t = 0; t < tokens; t++) {
                __m256 y = step_32(x[t][half], dw, m, d[t], bias[t], excess);
                f[t][half] = _mm256_add_ps(f[t][half], y);
            }
        }
        q += 32 * COVEY__GROUP;
        d += COVEY__GROUP;
        bias += COVEY__GROUP;
    }
    accumulators_put(s, f);
}

/* The float steps of block b of 256, whose scaled integer sums are x:
 *
 *   f = f + (float(x) * dw) * da                          or with minima
 *   f = f + (float(x) * dw - float(over) * m) * da
 *
 * `over` is the sum over sub-blocks of the tile's `pairs` times the activations' sums. */
COVEY__INLINE void steps_256(const covey__tile *tile, const covey__stretch *s, int32_t b,
                             const int subs, const int excess, const ints x, floats f) {
    const float *da = s->d + b * COVEY__GROUP;
    const int16_t *pairs = tile->pairs + b * subs * 16;
    for (int32_t t = 0; t < s->tokens; t++) {
        const int16_t *sums = s->sums + (size_t)t * s->sums_stride + subs * b;
        __m256i over[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        COVEY__UNROLL
        for (int j = 0; j < subs; j += 2) {
            __m256i two = covey__spread32(sums + j);
            __m256i p0 = _mm256_madd_epi16(two, covey__load256(pairs + 16 * j));
            __m256i p1 = _mm256_madd_epi16(two, covey__load256(pairs + 16 * j + 16));
            over[0] = _mm256_add_epi32(over[0], p0);
            over[1] = _mm256_add_epi32(over[1], p1);
        }
        COVEY__UNROLL
        for (int half = 0; half < 2; half++) {
            __m256i sum = x[t][half];
            if (excess >= 0)
                sum =
                    _mm256_sub_epi32(sum, _mm256_sll_epi32(over[half], _mm_cvtsi32_si128(excess)));
            __m256 y = _mm256_cvtepi32_ps(sum);
            y = _mm256_mul_ps(y, _mm256_loadu_ps(tile->d + 16 * b + 8 * half));
            if (excess == MINIMA) {
                __m256 m = _mm256_loadu_ps(tile->m + 16 * b + 8 * half);
                y = _mm256_sub_ps(y, _mm256_mul_ps(_mm256_cvtepi32_ps(over[half]), m));
            }
            y = _mm256_mul_ps(y, _mm256_set1_ps(da[t]));
            f[t][half] = _mm256_add_ps(f[t][half], y);
        }
    }
}
/* Apart from the products, which would else contain it once for each number of tokens. */
static COVEY__NOINLINE void steps_8_min(const covey__tile *tile, const covey__stretch *s, int32_t b,
                                        const ints x, floats f) {
    steps_256(tile, s, b, 8, MINIMA, x, f);
}
static COVEY__NOINLINE void steps_16_min(const covey__tile *tile, const covey__stretch *s,
                                         int32_t b, const ints x, floats f) {
    steps_256(tile, s, b, 16, MINIMA, x, f);
}
static COVEY__NOINLINE void steps_8(const covey__tile *tile, const covey__stretch *s, int32_t b,
                                    const int excess, const ints x, floats f) {
    steps_256(tile, s, b, 8, excess, x, f);
}
static COVEY__NOINLINE void steps_16(const covey__tile *tile, const covey__stretch *s, int32_t b,
                                     const int excess, const ints x, floats f) {
    steps_256(tile, s, b, 16, excess, x, f);
}

/* Blocks of 256 in sub-blocks of `sub` columns. */
COVEY__INLINE void multiply_256(const covey__tile *tile, const covey__stretch *s, const int fit,
                                const int excess, const int sub, const int tokens) {
    floats f;
    accumulators_get(s, f);
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
        const __m256i(*of)[2] = (const __m256i(*)[2])sums;
        if (excess == MINIMA && sub == 32)
            steps_8_min(tile, s, b, of, f);
        else if (excess == MINIMA)
            steps_16_min(tile, s, b, of, f);
        else if (sub == 32)
            steps_8(tile, s, b, excess, of, f);
        else
            steps_16(tile, s, b, excess, of, f);
    }
    accumulators_put(s, f);
}

/* A shape's functions and their table, `shape`: for 3 tokens alone, or for 6 too. */
#define SHAPE_FN_32(shape, tokens, fit, excess)                                                    \
    static COVEY__NOINLINE void shape##_##tokens(const covey__tile *tile,                          \
                                                 const covey__stretch *s) {                        \
        multiply_32(tile, s, fit, excess, tokens);                                                 \
    }
#define SHAPE_FN_256(shape, tokens, fit, excess, sub)                                              \
    static COVEY__NOINLINE void shape##_##tokens(const covey__tile *tile,                          \
                                                 const covey__stretch *s) {                        \
        multiply_256(tile, s, fit, excess, sub, tokens);                                           \
    }

#define MATMUL(type, isa, shape) MATMUL_OF(type, isa, shape, covey__unpack_##type##_avx2)
#define MATMUL_OF(type, isa, shape, unpack)                                                        \
    void covey__matmul_##type##_##isa(const covey__product *p, int32_t r0, int32_t r1,             \
                                      void *scratch) {                                             \
        covey__tile_run_avx2(unpack, &(shape), p, r0, r1, scratch);                                \
    }

#endif
