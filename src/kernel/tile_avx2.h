/* Products over tiles with AVX2: 16 rows by up to 3 tokens (half a group), rows in the lanes of two
 * registers. A type's file unpacks 16 rows into a tile of bytes, [columns / 4][16 rows][4], and
 * float scales, [blocks][16]; the walk over rows, columns and token groups is here. A tile covers
 * TILE_COLUMNS columns so that it stays in the first cache; between two such stretches the outputs
 * hold the accumulators, which changes no bit. */
#ifndef COVEY_KERNEL_TILE_AVX2_H
#define COVEY_KERNEL_TILE_AVX2_H

#include "kernel/lanes_avx2.h"

#define COVEY__TILE_COLUMNS 1024
#define COVEY__TILE_ROWS    16
#define COVEY__TILE_TOKENS  3

typedef struct covey__tile {
    uint8_t q[COVEY__TILE_COLUMNS * COVEY__TILE_ROWS];
    /* Q6_K, as int16 pairs by row: each sub-block's scale twice, and those of two sub-blocks */
    int16_t sub[COVEY__TILE_COLUMNS / 16 * COVEY__TILE_ROWS * 2];
    int16_t pairs[COVEY__TILE_COLUMNS / 32 * COVEY__TILE_ROWS * 2];
    float d[COVEY__TILE_COLUMNS / 32 * COVEY__TILE_ROWS];
} covey__tile;
_Static_assert(sizeof(covey__tile) <= COVEY__TILE_SCRATCH, "scratch");

/* A stretch of up to 3 tokens' activations, and where its outputs go. */
typedef struct covey__stretch {
    const int8_t *q;
    const float *d;
    const int32_t *bias;
    const int16_t *sums16; /* Q6_K: of the first token; the next is `sums_stride` further */
    size_t sums_stride;
    float *out;
    size_t out_stride;
    int32_t columns, rows;
    bool first; /* else the accumulators are continued from `out` */
} covey__stretch;

/* What to unpack: rows r to r + 15 (the last one before `end` again beyond it), `columns` columns
 * from k0 on. The next tile's rows are `ahead` bytes further, and are prefetched on the way. */
typedef struct covey__cut {
    const covey__weights *w;
    int32_t r, end, k0, columns;
    size_t ahead;
} covey__cut;

typedef void (*covey__tile_unpack_fn)(const covey__cut *cut, covey__tile *tile);
typedef void (*covey__tile_fn)(const covey__tile *tile, const covey__stretch *s);

typedef struct covey__tile_ops {
    covey__tile_unpack_fn unpack;
    covey__tile_fn multiply[COVEY__TILE_TOKENS + 1]; /* by the number of tokens */
    int32_t block, sub;                              /* columns a scale and columns a bias */
    int32_t bias;                                    /* which of the activations' two */
} covey__tile_ops;

COVEY__INLINE void covey__accumulators_get(const covey__stretch *s, __m256 f[COVEY__TILE_TOKENS][2],
                                           const int tokens) {
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        const float *out = s->out + (size_t)t * s->out_stride;
        f[t][0] = s->first ? _mm256_setzero_ps() : covey__get8(out, s->rows);
        f[t][1] = s->first ? _mm256_setzero_ps() : covey__get8(out + 8, s->rows - 8);
    }
}

COVEY__INLINE void covey__accumulators_put(const covey__stretch *s, __m256 f[COVEY__TILE_TOKENS][2],
                                           const int tokens) {
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        float *out = s->out + (size_t)t * s->out_stride;
        covey__put8(out, s->rows, f[t][0]);
        covey__put8(out + 8, s->rows - 8, f[t][1]);
    }
}

/* The float step of a block of 32: f = f + float(x) * (dw * dx). */
COVEY__INLINE void covey__tile_step32(const float *dw, const float *dx, __m256i x[][2],
                                      __m256 f[COVEY__TILE_TOKENS][2], const int tokens) {
    COVEY__UNROLL
    for (int half = 0; half < 2; half++) {
        __m256 d = _mm256_loadu_ps(dw + 8 * half);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(dx[t]));
            __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(x[t][half]), scale);
            f[t][half] = _mm256_add_ps(f[t][half], y);
        }
    }
}

/* A type's functions for 1 to 3 tokens, and their table, from its inline `body`. */
#define COVEY__TILE_MULTIPLY(body, tokens)                                                         \
    static COVEY__NOINLINE void multiply_##tokens(const covey__tile *tile,                         \
                                                  const covey__stretch *s) {                       \
        body(tile, s, tokens);                                                                     \
    }
#define COVEY__TILE_OPS(body, unpack, block, sub, bias)                                            \
    COVEY__TILE_MULTIPLY(body, 1)                                                                  \
    COVEY__TILE_MULTIPLY(body, 2)                                                                  \
    COVEY__TILE_MULTIPLY(body, 3)                                                                  \
    static const covey__tile_ops ops = {                                                           \
        (unpack), {NULL, multiply_1, multiply_2, multiply_3}, (block), (sub), (bias)};

/* All tokens against one tile. */
COVEY__INLINE void covey__tile_groups(const covey__tile_ops *ops, const covey__product *p,
                                      covey__stretch s, const covey__cut *cut,
                                      const covey__tile *tile) {
    const covey__activations *a = p->a;
    size_t k = (size_t)a->columns;
    for (int32_t t = 0; t < a->tokens; t += COVEY__TILE_TOKENS) {
        int32_t tokens = a->tokens - t < COVEY__TILE_TOKENS ? a->tokens - t : COVEY__TILE_TOKENS;
        size_t from = (size_t)(t / COVEY__GROUP) * k + (size_t)cut->k0;
        size_t place = (size_t)(t % COVEY__GROUP);
        s.q = a->q + from * COVEY__GROUP + place * 4;
        s.d = a->d + from / (size_t)ops->block * COVEY__GROUP + place;
        s.bias = a->bias[ops->bias] + from / (size_t)ops->sub * COVEY__GROUP + place;
        s.sums16 = a->sums16 + (size_t)t * s.sums_stride + (size_t)cut->k0 / 16;
        s.out = p->out + (size_t)t * p->out_stride + cut->r;
        ops->multiply[tokens](tile, &s);
    }
}

static void covey__tile_run(const covey__tile_ops *ops, const covey__product *p, int32_t r0,
                            int32_t r1, void *scratch) {
    const covey__weights *w = p->w;
    for (int32_t r = r0; r < r1; r += COVEY__TILE_ROWS) {
        covey__stretch s = {
            .out_stride = p->out_stride, .rows = r1 - r, .sums_stride = (size_t)w->columns / 16};
        covey__cut cut = {w, r, r1, 0, 0, 0};
        if (r + COVEY__TILE_ROWS < r1) cut.ahead = COVEY__TILE_ROWS * w->row_bytes;
        for (cut.k0 = 0; cut.k0 < w->columns; cut.k0 += cut.columns) {
            cut.columns = w->columns - cut.k0;
            if (cut.columns > COVEY__TILE_COLUMNS) cut.columns = COVEY__TILE_COLUMNS;
            s.columns = cut.columns;
            s.first = cut.k0 == 0;
            ops->unpack(&cut, scratch);
            covey__tile_groups(ops, p, s, &cut, scratch);
        }
    }
}

#endif
