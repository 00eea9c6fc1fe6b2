/* Attention with AVX-512: up to 8 queries on one KV head together. Scores have keys in the lanes
 * (two registers a page) and run over the head's dimensions; values have dimensions in the lanes
 * and run over keys. A block's queries see different keys: scores are computed for all that one
 * of them sees, and what a query must not see gets weight zero. */
#include "kernel/lanes_avx512.h"

#define ROWS COVEY__SCORE_ROWS

/* A block of queries: rows (token, head) in order of tokens. */
typedef struct block {
    const covey__attention *a;
    int32_t count;
    int32_t token[ROWS], head[ROWS];
    covey__sight see[ROWS];  /* keys, counted from the block's first page */
    const void *const *page; /* the block's first */
    int32_t pages;           /* that its rows need together */
    float *scores;           /* [ROWS][stride] */
    size_t stride;
    float *q; /* [head_dim][ROWS], scaled */
} block;

COVEY__INLINE const float *page_floats(const block *b, int32_t page, size_t offset) {
    return (const float *)(const void *)((const uint8_t *)b->page[page] + offset);
}

/* Scores of `rows` queries over `pages` pages from page `first` on. */
COVEY__INLINE void score(const block *b, int32_t first, const int pages, const int rows) {
    const float *k[4];
    __m512 s[ROWS][4][2];
    COVEY__UNROLL
    for (int p = 0; p < pages; p++) {
        k[p] = page_floats(b, first + p, b->a->k_offset);
        COVEY__UNROLL
        for (int t = 0; t < rows; t++) s[t][p][0] = s[t][p][1] = _mm512_setzero_ps();
    }
    for (int32_t d = 0; d < b->a->head_dim; d++) {
        const float *q = b->q + (size_t)d * ROWS;
        COVEY__UNROLL
        for (int p = 0; p < pages; p++) {
            __m512 k0 = _mm512_loadu_ps(k[p] + 32 * (size_t)d);
            __m512 k1 = _mm512_loadu_ps(k[p] + 32 * (size_t)d + 16);
            COVEY__UNROLL
            for (int t = 0; t < rows; t++) {
                __m512 v = _mm512_set1_ps(q[t]);
                s[t][p][0] = _mm512_add_ps(s[t][p][0], _mm512_mul_ps(v, k0));
                s[t][p][1] = _mm512_add_ps(s[t][p][1], _mm512_mul_ps(v, k1));
            }
        }
    }
    COVEY__UNROLL
    for (int t = 0; t < rows; t++) {
        float *to = b->scores + (size_t)t * b->stride + (size_t)first * COVEY__PAGE_KEYS;
        COVEY__UNROLL
        for (int p = 0; p < pages; p++) {
            _mm512_storeu_ps(to + 32 * p, s[t][p][0]);
            _mm512_storeu_ps(to + 32 * p + 16, s[t][p][1]);
        }
    }
}

/* Few queries take several pages at once, to have enough independent sums. */
#define SCORE(rows, together)                                                                      \
    static COVEY__NOINLINE void score_##rows(const block *b) {                                     \
        int32_t p = 0;                                                                             \
        for (; p + (together) <= b->pages; p += (together)) score(b, p, together, rows);           \
        for (; p < b->pages; p++) score(b, p, 1, rows);                                            \
    }
SCORE(1, 4)
SCORE(2, 4)
SCORE(4, 2)
SCORE(8, 1)

/* Lanes i to i + 15 that the row sees. */
COVEY__INLINE __mmask16 seen16(covey__sight see, int32_t i) {
    return (__mmask16)(covey__mask16(see.end - i) & ~covey__mask16(see.first - i));
}

/* Scores to weights (not yet divided by their sum), zero where the row sees no key; returns
 * 1 / sum. A page holds a multiple of 16 keys, so a lane is the key's partial sum. */
static float weigh(float *s, covey__sight see, int32_t pages) {
    __m512 greatest = _mm512_set1_ps(s[see.first]), partial = _mm512_setzero_ps();
    int32_t start = see.first & ~15, i = start;
    for (; i < see.end; i += 16)
        greatest = _mm512_mask_max_ps(greatest, seen16(see, i), _mm512_loadu_ps(s + i), greatest);
    __m512 max = _mm512_set1_ps(_mm512_reduce_max_ps(greatest));
    for (i = 0; i < start; i += 16) _mm512_storeu_ps(s + i, _mm512_setzero_ps());
    for (; i < see.end; i += 16) {
        __m512 e = covey__exp16(_mm512_sub_ps(_mm512_loadu_ps(s + i), max));
        e = _mm512_maskz_mov_ps(seen16(see, i), e);
        _mm512_storeu_ps(s + i, e);
        partial = _mm512_add_ps(partial, e);
    }
    for (; i < pages * COVEY__PAGE_KEYS; i += 16) _mm512_storeu_ps(s + i, _mm512_setzero_ps());
    return 1.0f / covey__sum16(partial);
}

/* Values of `rows` queries from row `from` on, for `width` registers of dimensions from `d` on. */
COVEY__INLINE void value(const block *b, int from, int32_t d, __mmask16 last, const float *inverse,
                         const int rows, const int width) {
    __m512 o[4][4];
    size_t dim = (size_t)b->a->head_dim;
    const float *s = b->scores + (size_t)from * b->stride;
    COVEY__UNROLL
    for (int t = 0; t < rows; t++) COVEY__UNROLL
    for (int j = 0; j < width; j++) o[t][j] = _mm512_setzero_ps();
    for (int32_t p = 0; p < b->pages; p++) {
        const float *v = page_floats(b, p, b->a->v_offset) + d;
        for (int32_t key = 0; key < COVEY__PAGE_KEYS; key++, v += dim, s++) {
            __m512 row[4];
            COVEY__UNROLL
            for (int j = 0; j < width; j++)
                row[j] = j + 1 == width ? _mm512_maskz_loadu_ps(last, v + 16 * j)
                                        : _mm512_loadu_ps(v + 16 * j);
            COVEY__UNROLL
            for (int t = 0; t < rows; t++) {
                __m512 weight = _mm512_set1_ps(s[(size_t)t * b->stride]);
                COVEY__UNROLL
                for (int j = 0; j < width; j++)
                    o[t][j] = _mm512_add_ps(o[t][j], _mm512_mul_ps(weight, row[j]));
            }
        }
    }
    COVEY__UNROLL
    for (int t = 0; t < rows; t++) {
        float *out = b->a->out + (size_t)b->token[from + t] * b->a->out_stride +
                     (size_t)b->head[from + t] * dim + (size_t)d;
        __m512 factor = _mm512_set1_ps(inverse[from + t]);
        COVEY__UNROLL
        for (int j = 0; j < width; j++)
            _mm512_mask_storeu_ps(out + 16 * j, j + 1 == width ? last : 0xffff,
                                  _mm512_mul_ps(o[t][j], factor));
    }
}

#define VALUE(rows, width)                                                                         \
    static COVEY__NOINLINE void value_##rows##_##width(const block *b, int from, int32_t d,        \
                                                       __mmask16 last, const float *inverse) {     \
        value(b, from, d, last, inverse, rows, width);                                             \
    }
VALUE(1, 1)
VALUE(1, 4)
VALUE(2, 1)
VALUE(2, 4)
VALUE(4, 1)
VALUE(4, 4)

static void values(const block *b, int from, int rows, const float *inverse) {
    int32_t dim = b->a->head_dim, d = 0;
    for (; d + 64 <= dim; d += 64) {
        if (rows == 4)
            value_4_4(b, from, d, 0xffff, inverse);
        else if (rows == 2)
            value_2_4(b, from, d, 0xffff, inverse);
        else
            value_1_4(b, from, d, 0xffff, inverse);
    }
    for (; d < dim; d += 16) {
        __mmask16 last = covey__mask16(dim - d);
        if (rows == 4)
            value_4_1(b, from, d, last, inverse);
        else if (rows == 2)
            value_2_1(b, from, d, last, inverse);
        else
            value_1_1(b, from, d, last, inverse);
    }
}

/* Lays the block's queries side by side; rows that only fill up the shape are zero. */
static void load_queries(block *b, int shape) {
    const covey__attention *a = b->a;
    for (int t = 0; t < shape; t++) {
        const float *q = NULL;
        if (t < b->count)
            q = a->q + (size_t)b->token[t] * a->q_stride + (size_t)(b->head[t] * a->head_dim);
        for (int32_t d = 0; d < a->head_dim; d++) b->q[d * ROWS + t] = q ? q[d] * a->scale : 0.0f;
    }
}

static void run_block(block *b) {
    float inverse[ROWS];
    int shape = b->count > 4 ? 8 : b->count > 2 ? 4 : b->count;
    load_queries(b, shape);
    if (shape == 8)
        score_8(b);
    else if (shape == 4)
        score_4(b);
    else if (shape == 2)
        score_2(b);
    else
        score_1(b);
    for (int t = 0; t < b->count; t++)
        inverse[t] = weigh(b->scores + (size_t)t * b->stride, b->see[t], b->pages);
    int t = 0;
    for (; t + 4 <= b->count; t += 4) values(b, t, 4, inverse);
    for (; t + 2 <= b->count; t += 2) values(b, t, 2, inverse);
    if (t < b->count) values(b, t, 1, inverse);
}

/* The rows from `row` on: as many as a block takes, the keys and the pages that they see. */
static void set_rows(block *b, int32_t row) {
    const covey__attention *a = b->a;
    int32_t rows = a->tokens * a->heads, first = INT32_MAX, end = 0;
    b->count = rows - row < ROWS ? rows - row : ROWS;
    for (int32_t i = 0; i < b->count; i++) {
        b->token[i] = (row + i) / a->heads;
        b->head[i] = (row + i) % a->heads;
        b->see[i] = covey__sight_of(a, b->token[i]);
        if (b->see[i].first < first) first = b->see[i].first;
        if (b->see[i].end > end) end = b->see[i].end;
    }
    first /= COVEY__PAGE_KEYS;
    b->page = a->pages + first;
    b->pages = (end + COVEY__PAGE_KEYS - 1) / COVEY__PAGE_KEYS - first;
    for (int32_t i = 0; i < b->count; i++) {
        b->see[i].first -= first * COVEY__PAGE_KEYS;
        b->see[i].end -= first * COVEY__PAGE_KEYS;
    }
    /* 16 floats more than the keys: rows at a power of two would share cache sets */
    b->stride = (size_t)b->pages * COVEY__PAGE_KEYS + 16;
}

void covey__attention_avx512(const covey__attention *a, void *scratch) {
    if (a->kv != COVEY__KV_F32) {
        covey__attention_scalar(a, scratch);
        return;
    }
    block b;
    memset(&b, 0, sizeof b);
    b.a = a;
    b.q = scratch;
    b.scores = b.q + (size_t)a->head_dim * ROWS;
    for (int32_t row = 0; row < a->tokens * a->heads; row += b.count) {
        set_rows(&b, row);
        run_block(&b);
    }
}
