/* Attention in SIMD lanes, for every instruction set: an attention_*.c defines what a register of
 * LANES floats can do (the list below), and includes this file for the walk over keys.
 *
 * Queries on one KV head are worked on in blocks of up to 32 rows (a token's query head each), page
 * by page, so that a page's keys and values are read and decoded once for a block. Scores have keys
 * in the lanes and run over the head's dimensions; values have dimensions in the lanes and run over
 * keys. A block's queries see different keys: scores are computed for all that one of them sees,
 * and what a query must not see gets weight zero. The score of a key, the partial sums by absolute
 * key position and the sums over keys are those of attention_scalar.c, to the bit.
 *
 * Few rows (decoding) are bound by memory: they decode pages on the fly and prefetch the next page.
 * Many rows (prefill) are bound by arithmetic: a page that is not F32 is decoded into scratch.
 *
 * Expected: LANES (4, 8 or 16), the type `lanes`, and
 *   lanes_zero() lanes_set1(f) lanes_load(p) lanes_store(p, v) lanes_add(a, b) lanes_sub(a, b)
 *   lanes_mul(a, b) lanes_max(v, rest)  arithmetic; lanes_max takes `rest` where they are equal
 *   lanes_get(p, n) lanes_put(p, n, v)  the first n floats alone (n may be beyond LANES)
 *   lanes_half(p, n) lanes_int8(p, n)   floats of n f16 or int8
 *   lanes_exp(v) lanes_greatest(v) lanes_sum16(partial)
 *   lanes_see(v, other, first, end)     v in lanes `first` to `end` - 1, else `other`
 *   SCORE_ROWS (2 or 8) and VALUE_ROWS (2 or 4): rows whose sums fit the registers. */
#ifndef COVEY_KERNEL_ATTENTION_LANES_H
#define COVEY_KERNEL_ATTENTION_LANES_H

#include "kernel/attention_scores.h"

/* ---- Values ---- */

/* Dimensions of register j of a key's row, from d on; `left` of them exist. */
COVEY__INLINE lanes value_lanes(const covey__kv_type kv, const uint8_t *v, const float *scales,
                                int32_t d, int j, int32_t left) {
    size_t at = (size_t)(d + j * LANES);
    int32_t n = left - j * LANES;
    if (kv == COVEY__KV_F32) return lanes_get((const float *)(const void *)v + at, n);
    if (kv == COVEY__KV_F16) return lanes_half(v + 2 * at, n);
    return lanes_mul(lanes_int8(v + at, LANES), lanes_set1(scales[at / 32]));
}

/* Adds a page's values for `rows` queries from row `from` on, for `width` registers of dimensions
 * from `d` on. */
COVEY__INLINE void value(const block *b, const piece *p, int from, int32_t d, int32_t left,
                         const int rows, const int width, const covey__kv_type kv) {
    lanes o[VALUE_ROWS][VALUE_WIDTH];
    size_t dim = (size_t)b->a->head_dim, row_bytes = dim * value_bytes(kv);
    const size_t used = (size_t)(width * LANES) * value_bytes(kv);
    const uint8_t *v = p->data, *next = p->next + (size_t)d * value_bytes(kv);
    const float *scales = b->v_scales;
    const float *s = b->scores + (size_t)from * b->stride + (size_t)p->page * PAGE;
    float *sums = b->sums + (size_t)from * b->dim_stride + d;
    COVEY__UNROLL
    for (int t = 0; t < rows; t++) COVEY__UNROLL
    for (int j = 0; j < width; j++)
        o[t][j] = lanes_load(sums + (size_t)t * b->dim_stride + LANES * j);
    for (int32_t key = 0; key < PAGE; key++, s++, v += row_bytes, next += row_bytes) {
        lanes row[VALUE_WIDTH];
        prefetch(next, used);
        COVEY__UNROLL
        for (int j = 0; j < width; j++)
            row[j] = value_lanes(kv, v, scales, d, j, width == 1 ? left : LANES * width);
        if (kv == COVEY__KV_Q8_0) scales += dim / 32;
        COVEY__UNROLL
        for (int t = 0; t < rows; t++) {
            lanes weight = lanes_set1(s[(size_t)t * b->stride]);
            COVEY__UNROLL
            for (int j = 0; j < width; j++) o[t][j] = lanes_add(o[t][j], lanes_mul(weight, row[j]));
        }
    }
    COVEY__UNROLL
    for (int t = 0; t < rows; t++) COVEY__UNROLL
    for (int j = 0; j < width; j++)
        lanes_store(sums + (size_t)t * b->dim_stride + LANES * j, o[t][j]);
}

typedef void (*value_fn)(const block *b, const piece *p, int from);

/* All dimensions for `rows` queries. */
COVEY__INLINE void value_dims(const block *b, const piece *p, int from, const int rows,
                              const covey__kv_type kv) {
    int32_t d = 0, dim = b->a->head_dim;
    for (; d + VALUE_WIDTH * LANES <= dim; d += VALUE_WIDTH * LANES)
        value(b, p, from, d, VALUE_WIDTH * LANES, rows, VALUE_WIDTH, kv);
    for (; d < dim; d += LANES) value(b, p, from, d, dim - d, rows, 1, kv);
}

#define VALUE(rows, kv)                                                                            \
    static COVEY__NOINLINE void value_##rows##_##kv(const block *b, const piece *p, int from) {    \
        value_dims(b, p, from, rows, COVEY__KV_##kv);                                              \
    }
#if VALUE_ROWS == 4
#define VALUES(kv)                                                                                 \
    VALUE(1, kv)                                                                                   \
    VALUE(2, kv)                                                                                   \
    VALUE(4, kv)
#define VALUE_TABLE(kv)                                                                            \
    { value_1_##kv, value_2_##kv, value_4_##kv }
#else
#define VALUES(kv)                                                                                 \
    VALUE(1, kv)                                                                                   \
    VALUE(2, kv)
#define VALUE_TABLE(kv)                                                                            \
    { value_1_##kv, value_2_##kv }
#endif
VALUES(F32)
VALUES(F16)
VALUES(Q8_0)

/* By KV type, then for 1, 2 and 4 rows. */
static const value_fn value_functions[COVEY__KV_TYPES][3] = {VALUE_TABLE(F32), VALUE_TABLE(F16),
                                                             VALUE_TABLE(Q8_0)};

static void decode_value_scales(const block *b, const piece *p) {
    int32_t count = b->a->head_dim / 32 * PAGE;
    const uint8_t *halves = p->data + (size_t)b->a->head_dim * PAGE;
    for (int32_t i = 0; i < count; i += LANES)
        lanes_store(b->v_scales + i, lanes_half(halves + 2 * (size_t)i, LANES));
}

/* A page's values as floats in scratch, like a page of F32. */
COVEY__INLINE void decode_values(const block *b, const piece *p, const covey__kv_type kv) {
    int32_t dim = b->a->head_dim, whole = dim / LANES * LANES;
    const uint8_t *from = p->data, *next = p->next;
    const float *scales = b->v_scales;
    float *to = b->decoded;
    for (int32_t key = 0; key < PAGE; key++, to += dim) {
        int32_t d = 0;
        for (; d < whole; d += LANES)
            lanes_store(to + d, value_lanes(kv, from, scales, d, 0, LANES));
        if (d < dim) lanes_put(to + d, dim - d, value_lanes(kv, from, scales, d, 0, dim - d));
        prefetch(next, (size_t)dim * value_bytes(kv));
        from += (size_t)dim * value_bytes(kv);
        next += (size_t)dim * value_bytes(kv);
        scales += dim / 32;
    }
}

static void value_pages(const block *b) {
    bool decode = b->count > VALUE_ROWS && b->a->kv != COVEY__KV_F32;
    memset(b->sums, 0, (size_t)b->count * b->dim_stride * sizeof(float));
    for (int32_t i = 0; i < b->pages; i++) {
        piece p = {piece_at(b, b->pages + i), piece_at(b, b->pages + i + 2), i};
        covey__kv_type kv = b->a->kv;
        if (kv == COVEY__KV_Q8_0) decode_value_scales(b, &p);
        if (decode) {
            if (kv == COVEY__KV_F16)
                decode_values(b, &p, COVEY__KV_F16);
            else
                decode_values(b, &p, COVEY__KV_Q8_0);
            p.data = p.next = (const uint8_t *)b->decoded;
            kv = COVEY__KV_F32;
        }
        for (int from = 0; from < b->count;) {
            int left = b->count - from, shape = left >= 4 && VALUE_ROWS == 4 ? 2 : left > 1;
            value_functions[kv][shape](b, &p, from);
            from += 1 << shape;
        }
    }
}

/* ---- The whole ---- */

/* Lays the block's queries side by side; rows that only fill up the shape are zero. */
static void load_queries(const block *b) {
    const covey__attention *a = b->a;
    size_t dim = (size_t)a->head_dim;
    for (int t = 0; t < (b->count + SCORE_ROWS - 1) / SCORE_ROWS * SCORE_ROWS; t++) {
        float *to = b->q + (size_t)(t / SCORE_ROWS * SCORE_ROWS) * dim + t % SCORE_ROWS;
        const float *q = a->q;
        if (t < b->count) q += (size_t)b->token[t] * a->q_stride + (size_t)b->head[t] * dim;
        for (size_t d = 0; d < dim; d++) to[d * SCORE_ROWS] = t < b->count ? q[d] * a->scale : 0.0f;
    }
}

static void run_block(const block *b) {
    const covey__attention *a = b->a;
    float inverse[ROWS];
    load_queries(b);
    score_pages(b);
    for (int t = 0; t < b->count; t++)
        inverse[t] = weigh(b->scores + (size_t)t * b->stride, b->see[t], b->pages);
    value_pages(b);
    for (int t = 0; t < b->count; t++) {
        const float *sums = b->sums + (size_t)t * b->dim_stride;
        float *out =
            a->out + (size_t)b->token[t] * a->out_stride + (size_t)b->head[t] * (size_t)a->head_dim;
        lanes factor = lanes_set1(inverse[t]);
        for (int32_t d = 0; d < a->head_dim; d += LANES)
            lanes_put(out + d, a->head_dim - d, lanes_mul(lanes_load(sums + d), factor));
    }
}

/* The rows from `row` on: as many as a block takes, the keys and the pages that they see. */
static void set_rows(block *b, int32_t row, int32_t count) {
    const covey__attention *a = b->a;
    int32_t first = INT32_MAX, end = 0;
    b->count = count;
    for (int32_t i = 0; i < count; i++) {
        b->token[i] = (row + i) / a->heads;
        b->head[i] = (row + i) % a->heads;
        b->see[i] = covey__sight_of(a, b->token[i]);
        if (b->see[i].first < first) first = b->see[i].first;
        if (b->see[i].end > end) end = b->see[i].end;
    }
    first /= PAGE;
    b->page = a->pages + first;
    b->pages = (end + PAGE - 1) / PAGE - first;
    for (int32_t i = 0; i < count; i++) {
        b->see[i].first -= first * PAGE;
        b->see[i].end -= first * PAGE;
    }
    b->stride = covey__score_stride(b->pages);
}

static void attend(const covey__attention *a, void *scratch) {
    block b;
    memset(&b, 0, sizeof b);
    b.a = a;
    b.dim_stride = covey__pad16((size_t)a->head_dim);
    b.q = scratch;
    b.sums = b.q + ROWS * b.dim_stride;
    b.decoded = b.sums + ROWS * b.dim_stride;
    b.v_scales = b.decoded + PAGE * b.dim_stride;
    b.scores = b.v_scales + b.dim_stride;
    int32_t rows = a->tokens * a->heads, last = covey__sight_of(a, a->tokens - 1).end;
    int32_t together = covey__score_rows(last);
    for (int32_t row = 0; row < rows; row += b.count) {
        set_rows(&b, row, rows - row < together ? rows - row : together);
        run_block(&b);
    }
}

#undef ROWS
#undef PAGE

#endif
