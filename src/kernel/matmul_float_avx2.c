/* F32, F16 and BF16 weights times many tokens, AVX2: 2 rows, made float32 in scratch, by 2 tokens,
 * each output with its 16 partial sums in two registers. Tokens are taken in blocks whose
 * activations stay in the second cache while all rows pass. */
#include "kernel/float_avx2.h"

#define ROWS       2
#define TOKENS     2
#define BLOCK_SIZE (256u << 10)

/* The tile is [columns / 16][ROWS][16]. */
static void unpack(const covey__weights *w, int32_t r, int32_t end, float *tile) {
    const uint8_t *p[ROWS];
    covey__rows(w, r, end, 0, p, ROWS);
    for (int i = 0; i < ROWS; i++) {
        for (int32_t k = 0; k < w->columns; k += 16) {
            float *to = tile + (size_t)k * ROWS + i * 16;
            int32_t left = w->columns - k;
            _mm256_storeu_ps(to, covey__weights8(w->type, p[i], k, left));
            _mm256_storeu_ps(to + 8, covey__weights8(w->type, p[i], k + 8, left - 8));
        }
    }
}

/* `count` tokens from x on; rows beyond `rows` are not stored. */
COVEY__INLINE void multiply(const float *tile, const float *x, size_t columns, float *out,
                            size_t out_stride, int32_t rows, const int count) {
    size_t stride = covey__act_stride(columns);
    __m256 acc[ROWS][TOKENS][2];
    COVEY__UNROLL
    for (int i = 0; i < ROWS; i++) COVEY__UNROLL
    for (int t = 0; t < count; t++) acc[i][t][0] = acc[i][t][1] = _mm256_setzero_ps();
    for (size_t k = 0; k < columns; k += 16) {
        COVEY__UNROLL
        for (int half = 0; half < 2; half++) {
            const float *from = tile + k * ROWS + 8 * half;
            __m256 w0 = _mm256_loadu_ps(from), w1 = _mm256_loadu_ps(from + 16);
            COVEY__UNROLL
            for (int t = 0; t < count; t++) {
                __m256 b = _mm256_loadu_ps(x + (size_t)t * stride + k + 8 * half);
                acc[0][t][half] = _mm256_add_ps(acc[0][t][half], _mm256_mul_ps(w0, b));
                acc[1][t][half] = _mm256_add_ps(acc[1][t][half], _mm256_mul_ps(w1, b));
            }
        }
    }
    COVEY__UNROLL
    for (int t = 0; t < count; t++) COVEY__UNROLL
    for (int i = 0; i < ROWS; i++)
        if (i < rows)
            out[(size_t)t * out_stride + (size_t)i] = covey__sum16(acc[i][t][0], acc[i][t][1]);
}

static COVEY__NOINLINE void multiply_1(const float *tile, const float *x, size_t columns,
                                       float *out, size_t out_stride, int32_t rows) {
    multiply(tile, x, columns, out, out_stride, rows, 1);
}
static COVEY__NOINLINE void multiply_2(const float *tile, const float *x, size_t columns,
                                       float *out, size_t out_stride, int32_t rows) {
    multiply(tile, x, columns, out, out_stride, rows, 2);
}

void covey__matmul_float_avx2(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    const covey__weights *w = p->w;
    size_t columns = covey__pad16((size_t)w->columns), stride = covey__act_stride(columns);
    int32_t block = (int32_t)(BLOCK_SIZE / (stride * sizeof(float))) / TOKENS * TOKENS;
    if (block < TOKENS) block = TOKENS;
    for (int32_t t0 = 0; t0 < p->a->tokens; t0 += block) {
        int32_t t1 = p->a->tokens - t0 < block ? p->a->tokens : t0 + block;
        for (int32_t r = r0; r < r1; r += ROWS) {
            unpack(w, r, r1, scratch);
            for (int32_t t = t0; t < t1; t += TOKENS) {
                const float *x = p->a->x + (size_t)t * stride;
                float *out = p->out + (size_t)t * p->out_stride + r;
                if (t1 - t >= TOKENS)
                    multiply_2(scratch, x, columns, out, p->out_stride, r1 - r);
                else
                    multiply_1(scratch, x, columns, out, p->out_stride, r1 - r);
            }
        }
    }
}
