/* Scores and weights of attention in SIMD lanes: the first half of attention_lanes.h, which says
 * what this expects and includes it. */
#ifndef COVEY_KERNEL_ATTENTION_SCORES_H
#define COVEY_KERNEL_ATTENTION_SCORES_H

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

#endif
