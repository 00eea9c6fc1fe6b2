/* Products over tiles in vectors of 128 bits. A type's part is unpacking alone: 8 rows at a time
 * into a tile in the layout that the set's integer product wants (v128_*.h), 32 rows by some
 * hundred columns, so that tile and activations stay in the first cache. Where tiles hold words,
 * the scales of sub-blocks are multiplied into them; where they hold bytes, scales multiply the
 * sums. What multiplies a tile depends on the kind alone: blocks of 32 or 256, sub-blocks, minima.
 * Between two stretches of columns the outputs hold the accumulators, which changes no bit. */
#ifndef COVEY_KERNEL_TILE_V128_H
#define COVEY_KERNEL_TILE_V128_H

#include "kernel/unpack_v128.h"

#define TILE_ROWS    32
#define TILE_COLUMNS (COVEY__TILE_WORDS ? 256 : 512)
#define TILE_CELL    (COVEY__TILE_WORDS ? 2 : 1)
#define EIGHTS       (TILE_ROWS / 8)
#define SCALES_LANES (COVEY__TILE_WORDS ? 1 : COVEY__TILE_FLIP ? 4 : 2)
#if COVEY__TILE_WORDS
#define COVEY__TILE_FLIP 0
#endif

typedef struct covey__tile {
    uint8_t q[EIGHTS][TILE_COLUMNS * 8 * TILE_CELL];
    float d[TILE_COLUMNS / 32][TILE_ROWS], m[TILE_COLUMNS / 32][TILE_ROWS];
    covey__i4 scales[EIGHTS][TILE_COLUMNS / 16][SCALES_LANES]; /* tiles of bytes */
    int16_t mins[EIGHTS][TILE_COLUMNS / 256 * 16 * 8];
} covey__tile;
_Static_assert(sizeof(covey__tile) <= COVEY__FLOAT_SCRATCH, "scratch");

/* What to unpack: rows r to r + 31 (the last one before `end` again beyond it), `columns` columns
 * from k0 on. The next tile's rows are `ahead` bytes further. */
typedef struct covey__cut {
    const covey__weights *w;
    int32_t r, end, k0, columns;
    size_t ahead;
} covey__cut;

/* A group's activations from column k0 on, and where its outputs go. */
typedef struct covey__stretch {
    const int8_t *q;
    const float *d;
    const int32_t *bias; /* kinds with blocks of 32 and minima: -8 times sums by 32 */
    const int16_t *sums; /* kinds with blocks of 256 and minima: of the first token */
    size_t sums_stride;  /* to the next token */
    float *out;
    size_t out_stride;
    int32_t columns, rows, tokens; /* rows and tokens that are there */
    bool first;                    /* else the accumulators are continued from `out` */
} covey__stretch;

typedef enum kind {
    SCALE_32,
    MIN_32,
    SCALE_16_OF_256,
    SCALE_32_OF_256,
    MIN_16_OF_256,
    MIN_32_OF_256,
    KINDS
} kind;

COVEY__INLINE kind kind_of(const int op) {
    if (covey__op_block(op) == 32) return covey__op_mins(op) ? MIN_32 : SCALE_32;
    if (covey__op_sub(op) == 16) return covey__op_mins(op) ? MIN_16_OF_256 : SCALE_16_OF_256;
    return covey__op_mins(op) ? MIN_32_OF_256 : SCALE_32_OF_256;
}

/* ---- Unpacking ---------------------------------------------------------------------------- */

/* A block of 256 of 8 rows: their scales and minima by sub-block. */
typedef struct sub_blocks {
    int8_t scales[8][16], mins[8][16];
} sub_blocks;

/* Where a set's products look for them: not with a type's unpacking, of which there are many. */
static COVEY__NOINLINE void put_sub_blocks(const sub_blocks *from, int count, bool mins,
                                           covey__i4 (*scales_to)[SCALES_LANES], int16_t *mins_to) {
    for (int j = 0; j < count && mins; j++)
        for (int i = 0; i < 8; i++) mins_to[covey__min_place(j, i)] = from->mins[i][j];
    for (int j = 0; j < count && !COVEY__TILE_WORDS; j++)
        for (int i = 0; i < 8; i++) {
            int32_t scale = from->scales[i][j];
            if (COVEY__TILE_FLIP)
                scales_to[j][i / 2][i % 2 * 2] = scales_to[j][i / 2][i % 2 * 2 + 1] = scale;
            else
                scales_to[j][i / 4 % SCALES_LANES][i % 4] = scale;
        }
}

/* 8 rows of 32 columns, 16 bytes each way; as words, times the scales of their sub-blocks. */
static COVEY__NOINLINE void put_levels(covey__b16 w[2][8], const int16_t scales[2][8],
                                       uint8_t *to) {
    for (int half = 0; half < 2; half++) {
#if COVEY__TILE_WORDS
        for (int part = 0; part < 2; part++, to += 128) {
            covey__h8 words[8];
            COVEY__UNROLL
            for (int i = 0; i < 8; i++) {
                covey__h8 each =
                    part ? covey__high_words(w[half][i]) : covey__low_words(w[half][i]);
                words[i] = scales ? each * scales[half][i] : each;
            }
            covey__tile_put(to, words);
        }
#else
        (void)scales;
        covey__tile_put(to + 128 * half, w[half]);
#endif
    }
}

/* The same block of 8 rows, from byte `at` of each. */
COVEY__INLINE void unpack_block(const int op, const uint8_t *const p[8], size_t at,
                                const sub_blocks *sub, uint8_t *to) {
    COVEY__UNROLL
    for (int j = 0; j < covey__op_block(op) / 32; j++, to += 32 * 8 * TILE_CELL) {
        covey__b16 w[2][8];
        int16_t scales[2][8];
        COVEY__UNROLL_NOT
        for (int i = 0; i < 8; i++) {
            covey__b16 each[2];
            covey__unpack32(op, p[i] + at, j, true, each);
            w[0][i] = each[0];
            w[1][i] = each[1];
            if (!COVEY__TILE_WORDS || covey__op_block(op) == 32) continue;
            bool narrow = covey__op_sub(op) == 16;
            scales[0][i] = sub->scales[i][narrow ? 2 * j : j];
            scales[1][i] = sub->scales[i][narrow ? 2 * j + 1 : j];
        }
        put_levels(w, covey__op_block(op) == 256 ? scales : NULL, to);
    }
}

COVEY__INLINE void unpack_tile(const int op, const covey__cut *cut, covey__tile *tile) {
    const int32_t block = covey__op_block(op), subs = 256 / covey__op_sub(op);
    const size_t bytes = covey__op_bytes(op), d = covey__op_d(op);
    for (int32_t e = 0; e < EIGHTS; e++) {
        const uint8_t *p[8];
        covey__rows(cut->w, cut->r + 8 * e, cut->end, (size_t)(cut->k0 / block) * bytes, p, 8);
        for (int32_t b = 0; b < cut->columns / block; b++) {
            size_t at = (size_t)b * bytes;
            sub_blocks sub;
            COVEY__UNROLL_NOT
            for (int i = 0; i < 8; i++) {
                covey__b16 scales, mins;
                covey__prefetch(p[i] + at + cut->ahead, bytes);
                if (block == 32) continue;
                covey__unpack_scales(op, p[i] + at, &scales, &mins);
                covey__store_b16(sub.scales[i], scales);
                covey__store_b16(sub.mins[i], mins);
            }
            for (int half = 0; half < 2; half++) {
                int32_t row = 8 * e + 4 * half;
                covey__store_f4(tile->d[b] + row, covey__scales4(p + 4 * half, at + d));
                if (covey__op_mins(op))
                    covey__store_f4(tile->m[b] + row, covey__scales4(p + 4 * half, at + d + 2));
            }
            if (block == 256)
                put_sub_blocks(&sub, subs, covey__op_mins(op), tile->scales[e] + b * subs,
                               tile->mins[e] + b * 128);
            unpack_block(op, p, at, &sub, tile->q[e] + (size_t)(b * block) * 8 * TILE_CELL);
        }
    }
}

/* ---- Multiplying -------------------------------------------------------------------------- */

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
