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

#include "kernel/parts.h"

#define ROWS        COVEY__SCORE_ROWS
#define PAGE        COVEY__PAGE_KEYS
#define PAGE_LANES  (PAGE / LANES) /* registers for a page's keys */
#define VALUE_WIDTH 4              /* registers of dimensions that a row's sums take */

/* A block of queries: rows (token, head) in order of tokens. */
typedef struct block {
    const covey__attention *a;
    int32_t count;
    int32_t token[ROWS], head[ROWS];
    covey__sight see[ROWS];  /* keys, counted from the block's first page */
    const void *const *page; /* the block's first */
    int32_t pages;           /* that its rows need together */
    float *q;                /* [ROWS / SCORE_ROWS][head_dim][SCORE_ROWS], scaled */
    float *sums;             /* [ROWS][dim_stride] */
    float *decoded;          /* K or V of a page */
    float *v_scales;         /* [32][head_dim / 32] of a Q8_0 page */
    float *scores;           /* [ROWS][stride] */
    size_t stride, dim_stride;
} block;

/* K or V of one page, and what will be read after it. */
typedef struct piece {
    const uint8_t *data;
    const uint8_t *next; /* to prefetch; data again where there is no need */
    int32_t page;
} piece;

COVEY__INLINE size_t value_bytes(const covey__kv_type kv) {
    return kv == COVEY__KV_F32 ? 4 : kv == COVEY__KV_F16 ? 2 : 1;
}

COVEY__INLINE void prefetch(const uint8_t *p, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(p + at, 0, 3);
}

/* Piece `index` of the block's stream: K of all pages, then V of all pages. */
static const uint8_t *piece_at(const block *b, int32_t index) {
    if (index >= 2 * b->pages) index = 2 * b->pages - 1;
    bool value = index >= b->pages;
    const uint8_t *page = b->page[value ? index - b->pages : index];
    return page + (value ? b->a->v_offset : b->a->k_offset);
}

/* ---- Scores ---- */

/* Keys of register j at dimension d. */
COVEY__INLINE lanes key_lanes(const covey__kv_type kv, const uint8_t *k, int32_t d, int j,
                              const lanes *scales) {
    size_t at = (size_t)d * PAGE + (size_t)(j * LANES);
    if (kv == COVEY__KV_F32) return lanes_load((const float *)(const void *)k + at);
    if (kv == COVEY__KV_F16) return lanes_half(k + 2 * at, LANES);
    return lanes_mul(lanes_int8(k + at, LANES), scales[j]);
}

/* The scales of the 32 dimensions from d on, of a Q8_0 page. */
COVEY__INLINE void key_scales(const block *b, const uint8_t *k, int32_t d, lanes *scales) {
    const uint8_t *at = k + (size_t)b->a->head_dim * PAGE + (size_t)(d / 32 * PAGE) * 2;
    COVEY__UNROLL
    for (int j = 0; j < PAGE_LANES; j++) scales[j] = lanes_half(at + 2 * LANES * j, LANES);
}

/* Scores of `rows` queries from row `from` on over a page. */
COVEY__INLINE void score(const block *b, const piece *p, int from, const int rows,
                         const covey__kv_type kv) {
    const float *q = b->q + (size_t)from * (size_t)b->a->head_dim;
    const size_t ahead = PAGE * value_bytes(kv);
    int32_t step = kv == COVEY__KV_Q8_0 ? 32 : b->a->head_dim;
    lanes s[SCORE_ROWS][PAGE_LANES], scales[PAGE_LANES];
    COVEY__UNROLL
    for (int t = 0; t < rows; t++) COVEY__UNROLL
    for (int j = 0; j < PAGE_LANES; j++) s[t][j] = lanes_zero();
    for (int32_t from_d = 0; from_d < b->a->head_dim; from_d += step) {
        if (kv == COVEY__KV_Q8_0) key_scales(b, p->data, from_d, scales);
        for (int32_t d = from_d; d < from_d + step; d++, q += SCORE_ROWS) {
            lanes keys[PAGE_LANES];
            if (rows <= 4) prefetch(p->next + (size_t)d * ahead, ahead);
            COVEY__UNROLL
            for (int j = 0; j < PAGE_LANES; j++) keys[j] = key_lanes(kv, p->data, d, j, scales);
            COVEY__UNROLL
            for (int t = 0; t < rows; t++) {
                lanes weight = lanes_set1(q[t]);
                COVEY__UNROLL
                for (int j = 0; j < PAGE_LANES; j++)
                    s[t][j] = lanes_add(s[t][j], lanes_mul(weight, keys[j]));
            }
        }
    }
    COVEY__UNROLL
    for (int t = 0; t < rows; t++) {
        float *to = b->scores + (size_t)(from + t) * b->stride + (size_t)p->page * PAGE;
        COVEY__UNROLL
        for (int j = 0; j < PAGE_LANES; j++) lanes_store(to + LANES * j, s[t][j]);
    }
}

typedef void (*score_fn)(const block *b, const piece *p, int from);

#define SCORE(rows, kv)                                                                            \
    static COVEY__NOINLINE void score_##rows##_##kv(const block *b, const piece *p, int from) {    \
        score(b, p, from, rows, COVEY__KV_##kv);                                                   \
    }
#if SCORE_ROWS == 8
#define SCORES(kv)                                                                                 \
    SCORE(1, kv)                                                                                   \
    SCORE(2, kv)                                                                                   \
    SCORE(4, kv)                                                                                   \
    SCORE(8, kv)
#define SCORE_TABLE(kv)                                                                            \
    { score_1_##kv, score_2_##kv, score_4_##kv, score_8_##kv }
#else
#define SCORES(kv)                                                                                 \
    SCORE(1, kv)                                                                                   \
    SCORE(2, kv)
#define SCORE_TABLE(kv)                                                                            \
    { score_1_##kv, score_2_##kv }
#endif
SCORES(F32)
SCORES(F16)
SCORES(Q8_0)

/* By KV type, then for up to 1, 2, 4 and 8 rows; rows that only fill up the shape have q = 0. */
static const score_fn score_functions[COVEY__KV_TYPES][4] = {SCORE_TABLE(F32), SCORE_TABLE(F16),
                                                             SCORE_TABLE(Q8_0)};

static int shape_of(int rows) {
    return rows > 4 ? 3 : rows > 2 ? 2 : rows - 1;
}

/* A page's keys as floats in scratch, like a page of F32. */
COVEY__INLINE void decode_keys(const block *b, const piece *p, const covey__kv_type kv) {
    const size_t ahead = PAGE * value_bytes(kv);
    float *to = b->decoded;
    lanes scales[PAGE_LANES];
    for (int j = 0; j < PAGE_LANES; j++) scales[j] = lanes_zero();
    for (int32_t d = 0; d < b->a->head_dim; d++, to += PAGE) {
        prefetch(p->next + (size_t)d * ahead, ahead);
        if (kv == COVEY__KV_Q8_0 && d % 32 == 0) key_scales(b, p->data, d, scales);
        COVEY__UNROLL
        for (int j = 0; j < PAGE_LANES; j++)
            lanes_store(to + LANES * j, key_lanes(kv, p->data, d, j, scales));
    }
}

static void score_pages(const block *b) {
    bool decode = b->count > SCORE_ROWS && b->a->kv != COVEY__KV_F32;
    for (int32_t i = 0; i < b->pages; i++) {
        piece p = {piece_at(b, i), piece_at(b, i + 2), i};
        covey__kv_type kv = b->a->kv;
        if (decode) {
            if (kv == COVEY__KV_F16)
                decode_keys(b, &p, COVEY__KV_F16);
            else
                decode_keys(b, &p, COVEY__KV_Q8_0);
            p.data = p.next = (const uint8_t *)b->decoded;
            kv = COVEY__KV_F32;
        }
        for (int from = 0; from < b->count; from += SCORE_ROWS) {
            int rows = b->count - from < SCORE_ROWS ? b->count - from : SCORE_ROWS;
            score_functions[kv][shape_of(rows)](b, &p, from);
        }
    }
}

/* ---- Weights ---- */

/* Scores i to i + 15 to weights, those seen added to the partial sums. Only the first and the last
 * 16 that a row sees can hold unseen keys. */
COVEY__INLINE void weigh16(float *s, int32_t i, covey__sight see, const bool all, lanes max,
                           lanes *partial) {
    COVEY__UNROLL
    for (int j = 0; j < 16 / LANES; j++) {
        int32_t at = i + LANES * j;
        lanes e = lanes_exp(lanes_sub(lanes_load(s + at), max));
        if (!all) e = lanes_see(e, lanes_zero(), see.first - at, see.end - at);
        lanes_store(s + at, e);
        partial[j] = lanes_add(partial[j], e);
    }
}

static float greatest_of(const float *s, covey__sight see) {
    lanes greatest[2] = {lanes_set1(s[see.first]), lanes_set1(s[see.first])};
    int32_t i = see.first;
    for (; i + 2 * LANES <= see.end; i += 2 * LANES) {
        greatest[0] = lanes_max(lanes_load(s + i), greatest[0]);
        greatest[1] = lanes_max(lanes_load(s + i + LANES), greatest[1]);
    }
    for (; i < see.end; i += LANES)
        greatest[0] =
            lanes_max(lanes_see(lanes_load(s + i), greatest[0], 0, see.end - i), greatest[0]);
    return lanes_greatest(lanes_max(greatest[1], greatest[0]));
}

/* Scores to weights (not yet divided by their sum), zero where the row sees no key; returns
 * 1 / sum. A page holds a multiple of 16 keys, so places in `s` are those of the partial sums. */
static float weigh(float *s, covey__sight see, int32_t pages) {
    lanes max = lanes_set1(greatest_of(s, see)), partial[16 / LANES];
    int32_t start = see.first & ~15, i = 0;
    for (int j = 0; j < 16 / LANES; j++) partial[j] = lanes_zero();
    for (; i < start; i += LANES) lanes_store(s + i, lanes_zero());
    if (i < see.first) {
        weigh16(s, i, see, false, max, partial);
        i += 16;
    }
    for (; i + 16 <= see.end; i += 16) weigh16(s, i, see, true, max, partial);
    for (; i < see.end; i += 16) weigh16(s, i, see, false, max, partial);
    for (; i < pages * PAGE; i += LANES) lanes_store(s + i, lanes_zero());
    return 1.0f / lanes_sum16(partial);
}

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
