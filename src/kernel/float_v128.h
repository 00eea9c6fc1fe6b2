/* F32, F16 and BF16 weights in vectors of 128 bits, included by float_*.c of each set with
 * COVEY__SET(name) naming its functions. The 16 partial sums of an output are four registers. One
 * token: a few rows together hide the additions' latency. Many: rows made float32 in scratch, by
 * tokens in blocks whose activations stay in the second cache. */
#ifndef COVEY_KERNEL_FLOAT_V128_H
#define COVEY_KERNEL_FLOAT_V128_H

#include "kernel/v128.h"

#define ROWS       2
#define TOKENS     (COVEY__MANY_REGISTERS ? 2 : 1)
#define BLOCK_SIZE (256u << 10)

/* Columns i to i + 3 of a row, of which n are there; the others are 0 and are not read. */
COVEY__INLINE covey__f4 weights4(const uint32_t type, const uint8_t *row, int32_t i, int32_t n) {
    if (type == COVEY__KT_F32) {
        float some[4] = {0};
        if (n >= 4) return covey__load_f4(row + 4 * (size_t)i);
        if (n > 0) memcpy(some, row + 4 * (size_t)i, 4 * (size_t)n);
        return covey__load_f4(some);
    }
    uint16_t h[4] = {0};
    if (n >= 4)
        memcpy(h, row + 2 * (size_t)i, 8);
    else if (n > 0)
        memcpy(h, row + 2 * (size_t)i, 2 * (size_t)n);
    if (type == COVEY__KT_F16) return covey__half4(h);
    covey__u4 bits = {h[0], h[1], h[2], h[3]};
    return (covey__f4)(bits << 16);
}

COVEY__INLINE void matvec(const covey__weights *w, const covey__act_row *a, int32_t r0, int32_t r1,
                          const uint8_t *next, float *out, const uint32_t type) {
    size_t step = type == COVEY__KT_F32 ? 64 : 32;
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        covey__f4 acc[ROWS][4] = {{{0}}};
        for (int32_t k = 0; k < w->columns; k += 16, ahead += step * ROWS) {
            covey__prefetch(ahead, step * ROWS);
            COVEY__UNROLL
            for (int j = 0; j < 4; j++) {
                int32_t at = k + 4 * j, left = w->columns - at;
                covey__f4 x = covey__load_f4(a->x + at);
                COVEY__UNROLL
                for (int i = 0; i < ROWS; i++)
                    acc[i][j] = acc[i][j] + weights4(type, p[i], at, left) * x;
            }
        }
        COVEY__UNROLL
        for (int i = 0; i < ROWS; i++)
            if (r + i < r1) out[r + i] = covey__sum16(acc[i]);
    }
}

#define MATVEC(name, type)                                                                         \
    void COVEY__SET(covey__matvec_##name)(const covey__weights *w, const covey__act_row *a,        \
                                          int32_t r0, int32_t r1, const uint8_t *next,             \
                                          float *out) {                                            \
        matvec(w, a, r0, r1, next, out, type);                                                     \
    }
MATVEC(f32, COVEY__KT_F32)
MATVEC(f16, COVEY__KT_F16)
MATVEC(bf16, COVEY__KT_BF16)

/* The tile is [columns / 16][ROWS][16]. */
static void unpack(const covey__weights *w, int32_t r, int32_t end, float *tile) {
    const uint8_t *p[ROWS];
    covey__rows(w, r, end, 0, p, ROWS);
    for (int i = 0; i < ROWS; i++) {
        for (int32_t k = 0; k < (int32_t)covey__pad16((size_t)w->columns); k += 4) {
            float *to = tile + (size_t)(k / 16 * 16) * ROWS + i * 16 + k % 16;
            int32_t left = w->columns - k;
            covey__store_f4(to, w->type == COVEY__KT_F32 ? weights4(COVEY__KT_F32, p[i], k, left)
                                : w->type == COVEY__KT_F16
                                    ? weights4(COVEY__KT_F16, p[i], k, left)
                                    : weights4(COVEY__KT_BF16, p[i], k, left));
        }
    }
}

/* `count` tokens from x on; rows beyond `rows` are not stored. */
COVEY__INLINE void multiply(const float *tile, const float *x, size_t columns, float *out,
                            size_t out_stride, int32_t rows, const int count) {
    size_t stride = covey__act_stride(columns);
    covey__f4 acc[TOKENS][ROWS][4];
    COVEY__UNROLL
    for (int t = 0; t < count; t++) COVEY__UNROLL
    for (int i = 0; i < ROWS; i++) COVEY__UNROLL
    for (int j = 0; j < 4; j++) acc[t][i][j] = covey__zero_f4();
    for (size_t k = 0; k < columns; k += 16) {
        COVEY__UNROLL
        for (int j = 0; j < 4; j++) {
            const float *from = tile + k * ROWS + 4 * j;
            COVEY__UNROLL
            for (int t = 0; t < count; t++) {
                covey__f4 b = covey__load_f4(x + (size_t)t * stride + k + (size_t)(4 * j));
                COVEY__UNROLL
                for (int i = 0; i < ROWS; i++)
                    acc[t][i][j] = acc[t][i][j] + covey__load_f4(from + 16 * i) * b;
            }
        }
    }
    COVEY__UNROLL
    for (int t = 0; t < count; t++) COVEY__UNROLL
    for (int i = 0; i < ROWS; i++)
        if (i < rows) out[(size_t)t * out_stride + (size_t)i] = covey__sum16(acc[t][i]);
}

static COVEY__NOINLINE void multiply_one(const float *tile, const float *x, size_t columns,
                                         float *out, size_t out_stride, int32_t rows) {
    multiply(tile, x, columns, out, out_stride, rows, 1);
}
static COVEY__NOINLINE void multiply_all(const float *tile, const float *x, size_t columns,
                                         float *out, size_t out_stride, int32_t rows) {
    multiply(tile, x, columns, out, out_stride, rows, TOKENS);
}

void COVEY__SET(covey__matmul_float)(const covey__product *p, int32_t r0, int32_t r1,
                                     void *scratch) {
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
                    multiply_all(scratch, x, columns, out, p->out_stride, r1 - r);
                else
                    multiply_one(scratch, x, columns, out, p->out_stride, r1 - r);
            }
        }
    }
}

#endif
