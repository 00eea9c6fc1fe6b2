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
        COVEY__NO_UNROLL
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
            COVEY__NO_UNROLL
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

#endif
