/* Products in bfloat16 with sums in F32, for CPUs that have AVX512_BF16: twice the speed of F32
 * products where rounding the factors to 8 bits is good enough, as it is for the linear maps of
 * training. Factors are rounded while they are packed, two along the depth to a word, so that one
 * instruction multiplies and adds both. The blocking is that of train_multiply.c. */
#include "train/train_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#pragma GCC push_options
#pragma GCC target("avx512bf16")

#define ROWS          14
#define COLUMNS       32
#define DEPTH         COVEY__TRAIN_DEPTH
#define BLOCK_COLUMNS 512
#define UNROLL_ROWS   _Pragma("GCC unroll 14")

/* Pairs of bfloat16 in words. */
typedef struct half_scratch {
    float edge[ROWS * COLUMNS];
    uint32_t rows[ROWS * DEPTH / 2];
    uint32_t turned[COLUMNS * DEPTH / 2];
    uint32_t packed[BLOCK_COLUMNS * DEPTH / 2];
} half_scratch;

static inline size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline __mmask16 first(size_t n) {
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1u);
}

/* n floats to (n + 1) / 2 words, an odd end filled with zero. */
static void round_row(const float *x, size_t n, uint32_t *out) {
    for (size_t i = 0; i < n; i += 32) {
        __m512 low = _mm512_maskz_loadu_ps(first(n - i), x + i);
        __m512 high =
            n - i > 16 ? _mm512_maskz_loadu_ps(first(n - i - 16), x + i + 16) : _mm512_setzero_ps();
        __m512bh both = _mm512_cvtne2ps_pbh(high, low);
        _mm512_mask_storeu_epi32(out + i / 2, first((n - i + 1) / 2), (__m512i)both);
    }
}

/* Two rows of up to 16 floats to words that hold one of each; `second` may be NULL for zeros. */
static inline __m512i weave(const float *one, const float *second, size_t n) {
    __m512 low = _mm512_maskz_loadu_ps(first(n), one);
    __m512 high = second ? _mm512_maskz_loadu_ps(first(n), second) : _mm512_setzero_ps();
    __m512i a = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low));
    __m512i b = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
    return _mm512_or_si512(a, _mm512_slli_epi32(b, 16));
}

static void pack_plain(const float *b, size_t ldb, size_t depth, size_t n, uint32_t *out) {
    for (size_t p = 0; p < depth; p += 2, out += COLUMNS) {
        const float *one = b + p * ldb, *second = p + 1 < depth ? one + ldb : NULL;
        size_t left = least(n, 16);
        _mm512_storeu_si512(out, weave(one, second, left));
        _mm512_storeu_si512(out + 16, weave(one + left, second ? second + left : NULL, n - left));
    }
}

static void pack_panel(const covey__train_product *product, const float *b, size_t depth, size_t n,
                       half_scratch *scratch, uint32_t *out) {
    size_t pairs = (depth + 1) / 2;
    if (!product->transpose_b) {
        pack_plain(b, product->ldb, depth, n, out);
        return;
    }
    for (size_t c = 0; c < n; c++)
        round_row(b + c * product->ldb, depth, scratch->turned + c * pairs);
    for (size_t p = 0; p < pairs; p += 16) {
        size_t count = least(pairs - p, 16);
        for (size_t c = 0; c < n; c++)
            for (size_t i = 0; i < count; i++)
                out[(p + i) * COLUMNS + c] = scratch->turned[c * pairs + p + i];
        for (size_t i = 0; i < count && n < COLUMNS; i++)
            memset(out + (p + i) * COLUMNS + n, 0, (COLUMNS - n) * sizeof *out);
    }
}

/* A's rows for one tile: [row][pair], or, where A is stored by depth, [pair][row]. */
static void pack_rows(const covey__train_product *product, const float *a, size_t depth, size_t n,
                      uint32_t *out) {
    size_t pairs = (depth + 1) / 2;
    if (!product->transpose_a) {
        for (size_t r = 0; r < n; r++) round_row(a + r * product->lda, depth, out + r * pairs);
        memset(out + n * pairs, 0, (ROWS - n) * pairs * sizeof *out);
        return;
    }
    for (size_t p = 0; p < depth; p += 2, out += ROWS) {
        const float *one = a + p * product->lda;
        const float *second = p + 1 < depth ? one + product->lda : NULL;
        _mm512_mask_storeu_epi32(out, first(ROWS), weave(one, second, n));
    }
}

/* One tile; element (row, pair) of A is at a[row * row_step + pair * pair_step]. */
static inline __attribute__((always_inline)) void run_tile(size_t pairs, const uint32_t *a,
                                                           size_t row_step, size_t pair_step,
                                                           const uint32_t *b, float *c, size_t ldc,
                                                           bool add) {
    __m512 acc[ROWS][2];
    const uint32_t *base[(ROWS + 2) / 3];
    UNROLL_ROWS
    for (int r = 0; r < ROWS; r++) acc[r][0] = acc[r][1] = _mm512_setzero_ps();
    UNROLL_ROWS
    for (int r = 0; r < (ROWS + 2) / 3; r++) base[r] = a + (size_t)(3 * r) * row_step;
    for (size_t p = 0; p < pairs; p++) {
        __m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
        __m512bh b1 = (__m512bh)_mm512_loadu_si512(b + 16);
        b += COLUMNS;
        UNROLL_ROWS
        for (int r = 0; r < ROWS; r++) {
            uint32_t word = base[r / 3][(size_t)(r % 3) * row_step + p * pair_step];
            __m512bh x = (__m512bh)_mm512_set1_epi32((int)word);
            acc[r][0] = _mm512_dpbf16_ps(acc[r][0], x, b0);
            acc[r][1] = _mm512_dpbf16_ps(acc[r][1], x, b1);
        }
    }
    UNROLL_ROWS
    for (int r = 0; r < ROWS; r++) {
        float *row = c + (size_t)r * ldc;
        if (add) {
            acc[r][0] = _mm512_add_ps(acc[r][0], _mm512_loadu_ps(row));
            acc[r][1] = _mm512_add_ps(acc[r][1], _mm512_loadu_ps(row + 16));
        }
        _mm512_storeu_ps(row, acc[r][0]);
        _mm512_storeu_ps(row + 16, acc[r][1]);
    }
}

static void tile_rows(size_t pairs, const uint32_t *a, const uint32_t *b, float *c, size_t ldc,
                      bool add) {
    run_tile(pairs, a, pairs, 1, b, c, ldc, add);
}

static void tile_columns(size_t pairs, const uint32_t *a, const uint32_t *b, float *c, size_t ldc,
                         bool add) {
    run_tile(pairs, a, 1, ROWS, b, c, ldc, add);
}

static void copy_edge(const float *edge, float *c, size_t ldc, size_t rows, size_t columns,
                      bool add) {
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++)
            c[r * ldc + j] = edge[r * COLUMNS + j] + (add ? c[r * ldc + j] : 0.0f);
}

/* C's block of columns from `column`, over one stretch of the depth. */
static void multiply_block(const covey__train_product *product, size_t column, size_t columns,
                           size_t from, size_t depth, half_scratch *scratch) {
    size_t pairs = (depth + 1) / 2;
    bool add = product->add || from > 0;
    for (size_t c = 0; c < columns; c += COLUMNS) {
        size_t at = column + c;
        const float *b = product->b + (product->transpose_b ? at * product->ldb + from
                                                            : from * product->ldb + at);
        pack_panel(product, b, depth, least(columns - c, COLUMNS), scratch,
                   scratch->packed + c * pairs);
    }
    for (size_t r = 0; r < product->rows; r += ROWS) {
        size_t m = least(product->rows - r, ROWS);
        const float *a =
            product->a + (product->transpose_a ? from * product->lda + r : r * product->lda + from);
        pack_rows(product, a, depth, m, scratch->rows);
        for (size_t c = 0; c < columns; c += COLUMNS) {
            size_t n = least(columns - c, COLUMNS);
            bool whole = m == ROWS && n == COLUMNS;
            float *to = product->c + r * product->ldc + column + c;
            float *out = whole ? to : scratch->edge;
            size_t ldo = whole ? product->ldc : COLUMNS;
            (product->transpose_a ? tile_columns : tile_rows)(
                pairs, scratch->rows, scratch->packed + c * pairs, out, ldo, whole && add);
            if (!whole) copy_edge(scratch->edge, to, product->ldc, m, n, add);
        }
    }
}

void covey__train_multiply_bf16(const covey__train_product *product, float *memory) {
    half_scratch *scratch = (half_scratch *)(void *)memory;
    for (size_t c = 0; c < product->columns; c += BLOCK_COLUMNS)
        for (size_t p = 0; p < product->depth; p += DEPTH)
            multiply_block(product, c, least(product->columns - c, BLOCK_COLUMNS), p,
                           least(product->depth - p, DEPTH), scratch);
}

size_t covey__train_bf16_scratch(void) {
    return sizeof(half_scratch) / sizeof(float);
}

bool covey__train_has_bf16(void) {
    return covey__cpu_best() == COVEY__ISA_AVX512 && __builtin_cpu_supports("avx512bf16") > 0;
}

#pragma GCC pop_options
#endif
