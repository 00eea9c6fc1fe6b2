/* Multiplying the tiles of tile_v128.h with all tokens. What a block is made of decides, not its
 * type: six kinds of product, each compiled for a few counts of tokens. Between two stretches of
 * columns the outputs hold the accumulators, which changes no bit. */
#ifndef COVEY_KERNEL_MULTIPLY_V128_H
#define COVEY_KERNEL_MULTIPLY_V128_H

#include "kernel/tile_v128.h"

/* The integer sums of a block of 256 with scales beside the tile. */
COVEY__INLINE void dot_scaled(const uint8_t *w, const int8_t *q,
                              const covey__i4 (*scales)[SCALES_LANES], const int sub,
                              covey__i4 *total, const int tokens) {
    COVEY__UNROLL
    for (int i = 0; i < 2 * tokens; i++) total[i] = (covey__i4){0};
    for (int j = 0; j < 256 / sub; j++, w += 8 * sub, q += sub * COVEY__GROUP) {
        covey__i4 x[2 * COVEY__TILE_TOKENS];
        COVEY__UNROLL
        for (int i = 0; i < 2 * tokens; i++) x[i] = (covey__i4){0};
        covey__tile_dot(x, w, q, sub, tokens);
        COVEY__UNROLL
        for (int i = 0; i < 2 * tokens; i++)
            total[i] = total[i] + x[i] * scales[j][i % SCALES_LANES];
    }
}

/* Accumulators f[2 * t + half] from and to the outputs; where rows end within the 8, slowly. */
COVEY__INLINE float *output_of(const covey__stretch *s, int32_t e, int i) {
    return s->out + (size_t)(i / 2) * s->out_stride + 8 * e + 4 * (i % 2);
}
static COVEY__NOINLINE void get_some(const covey__stretch *s, int32_t e, covey__f4 *f) {
    for (int i = 0; i < 2 * s->tokens; i++)
        f[i] = covey__get4(output_of(s, e, i), s->rows - 8 * e - 4 * (i % 2));
}
static COVEY__NOINLINE void put_some(const covey__stretch *s, int32_t e, const covey__f4 *f) {
    for (int i = 0; i < 2 * s->tokens; i++)
        covey__put4(output_of(s, e, i), s->rows - 8 * e - 4 * (i % 2), f[i]);
}
COVEY__INLINE void get_outputs(const covey__stretch *s, int32_t e, covey__f4 *f, const int tokens) {
    COVEY__UNROLL
    for (int i = 0; i < 2 * tokens; i++) f[i] = covey__zero_f4();
    if (s->first) return;
    if (s->rows - 8 * e < 8 || s->tokens < tokens) {
        covey__f4 some[2 * COVEY__TILE_TOKENS] = {{0}};
        get_some(s, e, some);
        for (int i = 0; i < 2 * tokens; i++) f[i] = some[i];
        return;
    }
    COVEY__UNROLL
    for (int i = 0; i < 2 * tokens; i++) f[i] = covey__load_f4(output_of(s, e, i));
}
COVEY__INLINE void put_outputs(const covey__stretch *s, int32_t e, const covey__f4 *f,
                               const int tokens) {
    if (s->rows - 8 * e < 8 || s->tokens < tokens) {
        covey__f4 some[2 * COVEY__TILE_TOKENS];
        for (int i = 0; i < 2 * tokens; i++) some[i] = f[i];
        put_some(s, e, some);
        return;
    }
    COVEY__UNROLL
    for (int i = 0; i < 2 * tokens; i++) covey__store_f4(output_of(s, e, i), f[i]);
}

/* 8 rows times the stretch's tokens. */
COVEY__INLINE void multiply(const kind k, const covey__tile *tile, const covey__stretch *s,
                            int32_t e, const int tokens) {
    const int32_t block = k == SCALE_32 || k == MIN_32 ? 32 : 256;
    const int sub = k == SCALE_16_OF_256 || k == MIN_16_OF_256 ? 16 : 32;
    covey__f4 f[2 * COVEY__TILE_TOKENS];
    get_outputs(s, e, f, tokens);
    for (int32_t b = 0; b < s->columns / block; b++) {
        const uint8_t *w = tile->q[e] + (size_t)(b * block) * 8 * TILE_CELL;
        const int8_t *q = s->q + b * block * COVEY__GROUP;
        const float *da = s->d + b * COVEY__GROUP;
        covey__i4 x[2 * COVEY__TILE_TOKENS];
        if (block == 256 && !COVEY__TILE_WORDS) {
            dot_scaled(w, q, tile->scales[e] + b * (256 / sub), sub, x, tokens);
        } else {
            COVEY__UNROLL
            for (int i = 0; i < 2 * tokens; i++) x[i] = (covey__i4){0};
            covey__tile_dot(x, w, q, block, tokens);
        }
        covey__tile_lanes(x, tokens);
        covey__f4 d[2] = {covey__load_f4(tile->d[b] + 8 * e),
                          covey__load_f4(tile->d[b] + 8 * e + 4)};
        covey__f4 m[2] = {covey__load_f4(tile->m[b] + 8 * e),
                          covey__load_f4(tile->m[b] + 8 * e + 4)};
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            covey__i4 msum[2];
            float asum = k == MIN_32 ? (float)(s->bias[b * COVEY__GROUP + t] / -8) : 0.0f;
            if (k == MIN_16_OF_256 || k == MIN_32_OF_256)
                covey__min_dot(msum, tile->mins[e] + b * 128,
                               s->sums + (size_t)(t < s->tokens ? t : 0) * s->sums_stride +
                                   b * (256 / sub),
                               256 / sub);
            COVEY__UNROLL
            for (int h = 0; h < 2; h++) {
                covey__f4 isum = covey__to_f4(x[2 * t + h]);
                if (k == SCALE_32)
                    f[2 * t + h] = f[2 * t + h] + isum * (d[h] * da[t]);
                else if (k == MIN_32)
                    f[2 * t + h] = f[2 * t + h] + (isum * d[h] + asum * m[h]) * da[t];
                else if (k == SCALE_16_OF_256 || k == SCALE_32_OF_256)
                    f[2 * t + h] = f[2 * t + h] + (isum * d[h]) * da[t];
                else
                    f[2 * t + h] =
                        f[2 * t + h] + (isum * d[h] - covey__to_f4(msum[h]) * m[h]) * da[t];
            }
        }
    }
    put_outputs(s, e, f, tokens);
}

typedef void (*multiply_fn)(const covey__tile *tile, const covey__stretch *s, int32_t e);

#define MULTIPLY(k, tokens)                                                                        \
    static COVEY__NOINLINE void multiply_##k##_##tokens(const covey__tile *tile,                   \
                                                        const covey__stretch *s, int32_t e) {      \
        multiply(k, tile, s, e, tokens);                                                           \
    }
#if COVEY__TILE_TOKENS == 6
#define MULTIPLIES(k) MULTIPLY(k, 2) MULTIPLY(k, 4) MULTIPLY(k, 6)
#define ROW_OF(k)     [k] = {multiply_##k##_2, multiply_##k##_4, multiply_##k##_6}
#else
#define MULTIPLIES(k) MULTIPLY(k, 1) MULTIPLY(k, 3)
#define ROW_OF(k)     [k] = {multiply_##k##_1, multiply_##k##_3, multiply_##k##_3}
#endif
MULTIPLIES(SCALE_32)
MULTIPLIES(MIN_32)
MULTIPLIES(SCALE_16_OF_256)
MULTIPLIES(SCALE_32_OF_256)
MULTIPLIES(MIN_16_OF_256)
MULTIPLIES(MIN_32_OF_256)
static const multiply_fn kinds[KINDS][3] = {ROW_OF(SCALE_32),        ROW_OF(MIN_32),
                                            ROW_OF(SCALE_16_OF_256), ROW_OF(SCALE_32_OF_256),
                                            ROW_OF(MIN_16_OF_256),   ROW_OF(MIN_32_OF_256)};

typedef struct tile_kind {
    void (*unpack)(const covey__cut *cut, covey__tile *tile);
    const multiply_fn *multiply; /* by tokens */
} tile_kind;

/* All tokens against one tile. */
static void run_groups(const tile_kind *ops, const int32_t block, const int32_t sub,
                       const covey__product *p, covey__stretch s, const covey__cut *cut,
                       const covey__tile *tile) {
    const covey__activations *a = p->a;
    size_t k = (size_t)a->columns;
    const int16_t *sums = sub == 16 ? a->sums16 : a->sums32;
    s.sums_stride = k / (size_t)sub;
    for (int32_t t = 0; t < a->tokens; t += COVEY__TILE_TOKENS) {
        s.tokens = a->tokens - t < COVEY__TILE_TOKENS ? a->tokens - t : COVEY__TILE_TOKENS;
        size_t from = (size_t)(t / COVEY__GROUP) * k + (size_t)cut->k0;
        size_t place = (size_t)(t % COVEY__GROUP);
        s.q = a->q + from * COVEY__GROUP + place * 4;
        s.d = a->d + from / (size_t)block * COVEY__GROUP + place;
        s.bias = a->bias[0] + from / 32 * COVEY__GROUP + place; /* of use with blocks of 32 */
        if (block == 256) s.sums = sums + (size_t)t * s.sums_stride + cut->k0 / sub;
        s.out = p->out + (size_t)t * p->out_stride + cut->r;
        int32_t size = COVEY__TILE_TOKENS == 6 ? (s.tokens - 1) / 2 : s.tokens - 1;
        for (int32_t e = 0; e < EIGHTS && 8 * e < s.rows; e++) ops->multiply[size](tile, &s, e);
    }
}

static void run_tiles(const tile_kind *ops, const int op, const covey__product *p, int32_t r0,
                      int32_t r1, void *scratch) {
    const covey__weights *w = p->w;
    const int32_t block = covey__op_block(op), sub = covey__op_sub(op);
    for (int32_t r = r0; r < r1; r += TILE_ROWS) {
        covey__stretch s = {.out_stride = p->out_stride, .rows = r1 - r};
        covey__cut cut = {w, r, r1, 0, 0, 0};
        if (r + TILE_ROWS < r1) cut.ahead = TILE_ROWS * w->row_bytes;
        for (cut.k0 = 0; cut.k0 < w->columns; cut.k0 += cut.columns) {
            cut.columns = w->columns - cut.k0;
            if (cut.columns > TILE_COLUMNS) cut.columns = TILE_COLUMNS;
            s.columns = cut.columns;
            s.first = cut.k0 == 0;
            ops->unpack(&cut, scratch);
            run_groups(ops, block, sub, p, s, &cut, scratch);
        }
    }
}

#endif
