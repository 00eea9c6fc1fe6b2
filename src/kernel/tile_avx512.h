/* Products over tiles with AVX-512 VNNI: 32 rows by up to 6 tokens, rows in the lanes. A type's
 * file unpacks 32 rows into a tile of unsigned bytes, [columns / 4][32 rows][4], and float scales,
 * [blocks][32]; the walk over rows, columns and token groups is here. A tile covers TILE_COLUMNS
 * columns so that it stays in the first cache; between two such stretches the outputs hold the
 * accumulators, which changes no bit. */
#ifndef COVEY_KERNEL_TILE_AVX512_H
#define COVEY_KERNEL_TILE_AVX512_H

#include "kernel/lanes_avx512.h"

#define COVEY__TILE_COLUMNS 1024
#define COVEY__TILE_ROWS    32

typedef struct covey__tile {
    uint8_t q[COVEY__TILE_COLUMNS * COVEY__TILE_ROWS];
    int32_t sub[COVEY__TILE_COLUMNS / 16 * COVEY__TILE_ROWS]; /* Q6_K: scales of sub-blocks */
    float d[COVEY__TILE_COLUMNS / 32 * COVEY__TILE_ROWS];
} covey__tile;
_Static_assert(sizeof(covey__tile) <= COVEY__TILE_SCRATCH, "scratch");

/* A stretch of one token group's activations, and where its outputs go. */
typedef struct covey__stretch {
    const int8_t *q;
    const float *d;
    const int32_t *bias;
    float *out;
    size_t out_stride;
    int32_t columns;
    bool first; /* else the accumulators are continued from `out` */
    __mmask16 m0, m1;
} covey__stretch;

/* What to unpack: rows r to r + 31 (the last one before `end` again beyond it), `columns` columns
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
    covey__tile_fn multiply[COVEY__GROUP + 1]; /* by the number of tokens */
    int32_t block, sub;                        /* columns a scale and columns a bias */
    int32_t bias;                              /* which of the activations' two */
} covey__tile_ops;

COVEY__INLINE void covey__accumulators_get(const covey__stretch *s, __m512 f[COVEY__GROUP][2],
                                           const int tokens) {
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        const float *out = s->out + (size_t)t * s->out_stride;
        f[t][0] = s->first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(s->m0, out);
        f[t][1] = s->first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(s->m1, out + 16);
    }
}

COVEY__INLINE void covey__accumulators_put(const covey__stretch *s, __m512 f[COVEY__GROUP][2],
                                           const int tokens) {
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        float *out = s->out + (size_t)t * s->out_stride;
        _mm512_mask_storeu_ps(out, s->m0, f[t][0]);
        _mm512_mask_storeu_ps(out + 16, s->m1, f[t][1]);
    }
}

/* `steps` times 4 columns of 32 rows by `tokens` tokens, added to x. */
COVEY__INLINE void covey__tile_dots(const uint8_t *w, const int8_t *q, __m512i x[COVEY__GROUP][2],
                                    const int steps, const int tokens) {
    COVEY__UNROLL
    for (int k = 0; k < steps; k++) {
        __m512i w0 = covey__load512(w + 128 * k), w1 = covey__load512(w + 128 * k + 64);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            __m512i a = covey__spread32(q + 4 * (COVEY__GROUP * k + t));
            x[t][0] = _mm512_dpbusd_epi32(x[t][0], w0, a);
            x[t][1] = _mm512_dpbusd_epi32(x[t][1], w1, a);
        }
    }
}

/* Blocks of 32 with one scale: Q8_0 and Q4_0. */
COVEY__INLINE void covey__tile_q32(const covey__tile *tile, const covey__stretch *s,
                                   const int tokens) {
    __m512 f[COVEY__GROUP][2];
    covey__accumulators_get(s, f, tokens);
    const int8_t *q = s->q;
    const float *d = s->d;
    const int32_t *bias = s->bias;
    for (int32_t b = 0; b < s->columns / 32; b++) {
        __m512i x[COVEY__GROUP][2];
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) x[t][0] = x[t][1] = _mm512_set1_epi32(bias[t]);
        covey__tile_dots(tile->q + 1024 * (size_t)b, q, x, 8, tokens);
        __m512 d0 = _mm512_loadu_ps(tile->d + 32 * b), d1 = _mm512_loadu_ps(tile->d + 32 * b + 16);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            __m512 dx = _mm512_set1_ps(d[t]);
            __m512 y0 = _mm512_mul_ps(_mm512_cvtepi32_ps(x[t][0]), _mm512_mul_ps(d0, dx));
            __m512 y1 = _mm512_mul_ps(_mm512_cvtepi32_ps(x[t][1]), _mm512_mul_ps(d1, dx));
            f[t][0] = _mm512_add_ps(f[t][0], y0);
            f[t][1] = _mm512_add_ps(f[t][1], y1);
        }
        q += 32 * COVEY__GROUP;
        d += COVEY__GROUP;
        bias += COVEY__GROUP;
    }
    covey__accumulators_put(s, f, tokens);
}

/* A type's functions for 1 to 6 tokens, and their table, from its inline `body`. */
#define COVEY__TILE_MULTIPLY(body, tokens)                                                         \
    static COVEY__NOINLINE void multiply_##tokens(const covey__tile *tile,                         \
                                                  const covey__stretch *s) {                       \
        body(tile, s, tokens);                                                                     \
    }
#define COVEY__TILE_OPS(body, unpack, block, sub, bias)                                            \
    COVEY__TILE_MULTIPLY(body, 1)                                                                  \
    COVEY__TILE_MULTIPLY(body, 2)                                                                  \
    COVEY__TILE_MULTIPLY(body, 3)                                                                  \
    COVEY__TILE_MULTIPLY(body, 4)                                                                  \
    COVEY__TILE_MULTIPLY(body, 5)                                                                  \
    COVEY__TILE_MULTIPLY(body, 6)                                                                  \
    static const covey__tile_ops ops = {                                                           \
        (unpack),                                                                                  \
        {NULL, multiply_1, multiply_2, multiply_3, multiply_4, multiply_5, multiply_6},            \
        (block),                                                                                   \
        (sub),                                                                                     \
        (bias)};

/* All token groups against one tile. */
COVEY__INLINE void covey__tile_groups(const covey__tile_ops *ops, const covey__product *p,
                                      covey__stretch s, const covey__cut *cut,
                                      const covey__tile *tile) {
    const covey__activations *a = p->a;
    size_t k = (size_t)a->columns;
    for (int32_t t = 0; t < a->tokens; t += COVEY__GROUP) {
        int32_t tokens = a->tokens - t < COVEY__GROUP ? a->tokens - t : COVEY__GROUP;
        size_t from = (size_t)t / COVEY__GROUP * k + (size_t)cut->k0;
        s.q = a->q + from * COVEY__GROUP;
        s.d = a->d + from / (size_t)ops->block * COVEY__GROUP;
        s.bias = a->bias[ops->bias] + from / (size_t)ops->sub * COVEY__GROUP;
        s.out = p->out + (size_t)t * p->out_stride + cut->r;
        ops->multiply[tokens](tile, &s);
    }
}

static void covey__tile_run(const covey__tile_ops *ops, const covey__product *p, int32_t r0,
                            int32_t r1, void *scratch) {
    const covey__weights *w = p->w;
    for (int32_t r = r0; r < r1; r += COVEY__TILE_ROWS) {
        covey__stretch s = {.out_stride = p->out_stride,
                            .m0 = covey__mask16(r1 - r),
                            .m1 = covey__mask16(r1 - r - 16)};
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
