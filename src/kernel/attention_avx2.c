/* Attention with AVX2: up to 8 queries on one KV head as a block, two at a time over each page.
 * Scores have keys in the lanes (four registers a page) and run over the head's dimensions; values
 * have dimensions in the lanes and run over keys. A block's queries see different keys: scores are
 * computed for all that one of them sees, and what a query must not see gets weight zero. */
#include "kernel/lanes_avx2.h"

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

/* Scores of `rows` queries from row `from` on over one page. */
COVEY__INLINE void score(const block *b, int32_t page, int from, const int rows) {
    const float *k = page_floats(b, page, b->a->k_offset), *q = b->q + from;
    __m256 s[2][4];
    COVEY__UNROLL
    for (int t = 0; t < rows; t++) COVEY__UNROLL
    for (int j = 0; j < 4; j++) s[t][j] = _mm256_setzero_ps();
    for (int32_t d = 0; d < b->a->head_dim; d++, k += COVEY__PAGE_KEYS, q += ROWS) {
        COVEY__UNROLL
        for (int j = 0; j < 4; j++) {
            __m256 keys = _mm256_loadu_ps(k + 8 * j);
            COVEY__UNROLL
            for (int t = 0; t < rows; t++)
                s[t][j] = _mm256_add_ps(s[t][j], _mm256_mul_ps(_mm256_set1_ps(q[t]), keys));
        }
    }
    COVEY__UNROLL
    for (int t = 0; t < rows; t++) {
        float *to = b->scores + (size_t)(from + t) * b->stride + (size_t)page * COVEY__PAGE_KEYS;
        COVEY__UNROLL
        for (int j = 0; j < 4; j++) _mm256_storeu_ps(to + 8 * j, s[t][j]);
    }
}

static COVEY__NOINLINE void score_page(const block *b, int32_t page) {
    int t = 0;
    for (; t + 2 <= b->count; t += 2) score(b, page, t, 2);
    if (t < b->count) score(b, page, t, 1);
}

/* Lanes i to i + 7 that the row sees. */
COVEY__INLINE __m256 seen8(covey__sight see, int32_t i) {
    __m256i before = covey__mask8(see.first - i), upto = covey__mask8(see.end - i);
    return _mm256_castsi256_ps(_mm256_andnot_si256(before, upto));
}

/* Scores to weights (not yet divided by their sum), zero where the row sees no key; returns
 * 1 / sum. A page holds a multiple of 16 keys, so lane i % 16 is the key's partial sum. */
static float weigh(float *s, covey__sight see, int32_t pages) {
    __m256 greatest = _mm256_set1_ps(s[see.first]);
    __m256 partial[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    int32_t start = see.first & ~7, i = start;
    for (; i < see.end; i += 8) {
        __m256 v = _mm256_blendv_ps(greatest, _mm256_loadu_ps(s + i), seen8(see, i));
        greatest = _mm256_max_ps(v, greatest);
    }
    __m256 max = _mm256_set1_ps(covey__max8(greatest));
    for (i = 0; i < start; i += 8) _mm256_storeu_ps(s + i, _mm256_setzero_ps());
    for (; i < see.end; i += 8) {
        __m256 e = covey__exp8(_mm256_sub_ps(_mm256_loadu_ps(s + i), max));
        e = _mm256_and_ps(e, seen8(see, i));
        _mm256_storeu_ps(s + i, e);
        partial[i / 8 % 2] = _mm256_add_ps(partial[i / 8 % 2], e);
    }
    for (; i < pages * COVEY__PAGE_KEYS; i += 8) _mm256_storeu_ps(s + i, _mm256_setzero_ps());
    return 1.0f / covey__sum16(partial[0], partial[1]);
}

/* Values of `rows` queries from row `from` on, for `width` registers of dimensions from `d` on, of
 * which `left` dimensions exist. */
COVEY__INLINE void value(const block *b, int from, int32_t d, int32_t left, const float *inverse,
                         const int rows, const int width) {
    __m256 o[2][4];
    size_t dim = (size_t)b->a->head_dim;
    const float *s = b->scores + (size_t)from * b->stride;
    COVEY__UNROLL
    for (int t = 0; t < rows; t++) COVEY__UNROLL
    for (int j = 0; j < width; j++) o[t][j] = _mm256_setzero_ps();
    for (int32_t p = 0; p < b->pages; p++) {
        const float *v = page_floats(b, p, b->a->v_offset) + d;
        for (int32_t key = 0; key < COVEY__PAGE_KEYS; key++, v += dim, s++) {
            COVEY__UNROLL
            for (int j = 0; j < width; j++) {
                __m256 row = width == 1 ? covey__get8(v, left) : _mm256_loadu_ps(v + 8 * j);
                COVEY__UNROLL
                for (int t = 0; t < rows; t++) {
                    __m256 weight = _mm256_set1_ps(s[(size_t)t * b->stride]);
                    o[t][j] = _mm256_add_ps(o[t][j], _mm256_mul_ps(weight, row));
                }
            }
        }
    }
    COVEY__UNROLL
    for (int t = 0; t < rows; t++) {
        float *out = b->a->out + (size_t)b->token[from + t] * b->a->out_stride +
                     (size_t)b->head[from + t] * dim + (size_t)d;
        __m256 factor = _mm256_set1_ps(inverse[from + t]);
        COVEY__UNROLL
        for (int j = 0; j < width; j++)
            covey__put8(out + 8 * j, left - 8 * j, _mm256_mul_ps(o[t][j], factor));
    }
}

#define VALUE(rows, width)                                                                         \
    static COVEY__NOINLINE void value_##rows##_##width(const block *b, int from, int32_t d,        \
                                                       int32_t left, const float *inverse) {       \
        value(b, from, d, left, inverse, rows, width);                                             \
    }
VALUE(1, 1)
VALUE(1, 4)
VALUE(2, 1)
VALUE(2, 4)

static void values(const block *b, int from, int rows, const float *inverse) {
    int32_t dim = b->a->head_dim, d = 0;
    for (; d + 32 <= dim; d += 32) {
        if (rows == 2)
            value_2_4(b, from, d, 32, inverse);
        else
            value_1_4(b, from, d, 32, inverse);
    }
    for (; d < dim; d += 8) {
        if (rows == 2)
            value_2_1(b, from, d, dim - d, inverse);
        else
            value_1_1(b, from, d, dim - d, inverse);
    }
}

static void run_block(block *b) {
    const covey__attention *a = b->a;
    float inverse[ROWS];
    for (int t = 0; t < b->count; t++) {
        const float *q =
            a->q + (size_t)b->token[t] * a->q_stride + (size_t)(b->head[t] * a->head_dim);
        for (int32_t d = 0; d < a->head_dim; d++) b->q[d * ROWS + t] = q[d] * a->scale;
    }
    for (int32_t p = 0; p < b->pages; p++) score_page(b, p);
    for (int t = 0; t < b->count; t++)
        inverse[t] = weigh(b->scores + (size_t)t * b->stride, b->see[t], b->pages);
    int t = 0;
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

void covey__attention_avx2(const covey__attention *a, void *scratch) {
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
