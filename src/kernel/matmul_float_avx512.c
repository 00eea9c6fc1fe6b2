/* F32, F16 and BF16 weights times many tokens, AVX-512: 4 rows, made float32 in scratch, by 6
 * tokens, each output with its 16 partial sums in one register. Tokens are taken in blocks whose
 * activations stay in the second cache while all rows pass. */
#include "kernel/float_avx512.h"

#define ROWS       4
#define TOKENS     6
#define BLOCK_SIZE (384u << 10)

/* The tile is [columns / 16][ROWS][16]. */
static void unpack(const covey__weights *w, int32_t r, int32_t end, float *tile) {
    const uint8_t *p[ROWS];
    covey__rows(w, r, end, 0, p, ROWS);
    for (int i = 0; i < ROWS; i++) {
        for (int32_t k = 0; k < w->columns; k += 16) {
            __mmask16 m = covey__mask16(w->columns - k);
            _mm512_storeu_ps(tile + (size_t)k * ROWS + i * 16,
                             covey__weights16(w->type, p[i], k, m));
        }
    }
}

/* `count` tokens from x on; rows beyond `rows` are not stored. */
COVEY__INLINE void multiply(const float *tile, const float *x, size_t columns, float *out,
                            size_t out_stride, int32_t rows, const int count) {
    size_t stride = covey__act_stride(columns);
    __m512 acc[ROWS][TOKENS];
    COVEY__UNROLL
    for (int i = 0; i < ROWS; i++) COVEY__UNROLL
    for (int t = 0; t < count; t++) acc[i][t] = _mm512_setzero_ps();
    for (size_t k = 0; k < columns; k += 16) {
        __m512 v[ROWS];
        COVEY__UNROLL
        for (int i = 0; i < ROWS; i++) v[i] = _mm512_loadu_ps(tile + k * ROWS + 16 * i);
        COVEY__UNROLL
        for (int t = 0; t < count; t++) {
            __m512 b = _mm512_loadu_ps(x + (size_t)t * stride + k);
            COVEY__UNROLL
            for (int i = 0; i < ROWS; i++)
                acc[i][t] = _mm512_add_ps(acc[i][t], _mm512_mul_ps(v[i], b));
        }
    }
    COVEY__UNROLL
    for (int t = 0; t < count; t++) COVEY__UNROLL
    for (int i = 0; i < ROWS; i++)
        if (i < rows) out[(size_t)t * out_stride + (size_t)i] = covey__sum16(acc[i][t]);
}

typedef void (*multiply_fn)(const float *tile, const float *x, size_t columns, float *out,
                            size_t out_stride, int32_t rows);
#define MULTIPLY(count)                                                                            \
    static COVEY__NOINLINE void multiply_##count(const float *tile, const float *x,                \
                                                 size_t columns, float *out, size_t out_stride,    \
                                                 int32_t rows) {                                   \
        multiply(tile, x, columns, out, out_stride, rows, count);                                  \
    }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)
static const multiply_fn multiplies[TOKENS + 1] = {NULL,       multiply_1, multiply_2, multiply_3,
                                                   multiply_4, multiply_5, multiply_6};

void covey__matmul_float_avx512(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    const covey__weights *w = p->w;
    size_t columns = covey__pad16((size_t)w->columns), stride = covey__act_stride(columns);
    int32_t block = (int32_t)(BLOCK_SIZE / (stride * sizeof(float))) / TOKENS * TOKENS;
    if (block < TOKENS) block = TOKENS;
    for (int32_t t0 = 0; t0 < p->a->tokens; t0 += block) {
        int32_t t1 = p->a->tokens - t0 < block ? p->a->tokens : t0 + block;
        for (int32_t r = r0; r < r1; r += ROWS) {
            unpack(w, r, r1, scratch);
            for (int32_t t = t0; t < t1; t += TOKENS) {
                int32_t count = t1 - t < TOKENS ? t1 - t : TOKENS;
                multiplies[count](scratch, p->a->x + (size_t)t * stride, columns,
                                  p->out + (size_t)t * p->out_stride + r, p->out_stride, r1 - r);
            }
        }
    }
}
