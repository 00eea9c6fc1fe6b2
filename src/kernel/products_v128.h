/* Products of quantized weights in vectors of 128 bits, included by products_*.c of each set with
 * COVEY__SET(name) naming its functions. One token: 4 rows together, whose integer sums move into
 * the lanes for the float steps. Many tokens: tile_v128.h and
 * multiply_v128.h. */
#ifndef COVEY_KERNEL_PRODUCTS_V128_H
#define COVEY_KERNEL_PRODUCTS_V128_H

#include "kernel/multiply_v128.h"

#define MATVEC_ROWS 4

/* Blocks of 32: the sums of 4 rows' block at byte `at`, in the lanes. */
COVEY__INLINE covey__i4 sums32(const int op, const uint8_t *const p[4], size_t at,
                               const covey__act_row *a, int32_t b) {
    covey__b16 x0 = covey__load_b16(a->q + 32 * b), x1 = covey__load_b16(a->q + 32 * b + 16);
    covey__i4 z[MATVEC_ROWS];
    COVEY__UNROLL
    for (int i = 0; i < MATVEC_ROWS; i++) {
        covey__b16 w[2];
        covey__unpack32(op, p[i] + at, 0, false, w);
        z[i] = covey__dot16(covey__dot16((covey__i4){0}, w[0], x0), w[1], x1);
    }
    covey__i4 sum = covey__sum_lanes4(z);
    if (covey__op_centre(op)) sum = sum + a->bias[0][b] * (covey__op_centre(op) / 8);
    return sum;
}

COVEY__INLINE void matvec32(const int op, const covey__weights *w, const covey__act_row *a,
                            int32_t r0, int32_t r1, const uint8_t *next, float *out) {
    const size_t bytes = covey__op_bytes(op);
    for (int32_t r = r0; r < r1; r += MATVEC_ROWS) {
        const uint8_t *p[MATVEC_ROWS], *ahead = covey__ahead(w, r, r1, MATVEC_ROWS, next);
        covey__rows(w, r, r1, 0, p, MATVEC_ROWS);
        covey__f4 acc = covey__zero_f4();
        for (int32_t b = 0; b < w->columns / 32; b++, ahead += bytes * MATVEC_ROWS) {
            size_t at = (size_t)b * bytes;
            covey__prefetch(ahead, bytes * MATVEC_ROWS);
            covey__f4 isum = covey__to_f4(sums32(op, p, at, a, b)), d = covey__scales4(p, at);
            if (covey__op_mins(op)) {
                float asum = (float)(a->bias[0][b] / -8);
                covey__f4 sum = isum * d + asum * covey__scales4(p, at + 2);
                acc = acc + sum * a->d[b];
            } else {
                acc = acc + isum * (d * a->d[b]);
            }
        }
        covey__put4(out + r, r1 - r, acc);
    }
}

/* A block of 256 of one row: partial sums of scale times level times activation, in *isum, and of
 * minimum times sum of activations, in *msum. */
COVEY__INLINE void sums256(const int op, const uint8_t *p, const int8_t *q, const int16_t *sums,
                           covey__i4 *isum, covey__i4 *msum) {
    covey__b16 scales, mins;
    covey__unpack_scales(op, p, &scales, &mins);
    covey__h8 low = covey__low_words(scales), high = covey__high_words(scales);
    covey__i4 s[4] = {covey__low_dwords(low), covey__high_dwords(low)}, z = {0};
    if (covey__op_sub(op) == 16) {
        s[2] = covey__low_dwords(high);
        s[3] = covey__high_dwords(high);
    }
    if (covey__op_centre(op)) {
        z = covey__pairs(low, covey__load_h8(sums)) + covey__pairs(high, covey__load_h8(sums + 8));
        z = z * -covey__op_centre(op);
    }
    if (covey__op_mins(op)) {
        *msum = covey__pairs(covey__low_words(mins), covey__load_h8(sums));
        if (covey__op_sub(op) == 16)
            *msum = *msum + covey__pairs(covey__high_words(mins), covey__load_h8(sums + 8));
    }
    COVEY__UNROLL
    for (int j = 0; j < 8; j++) {
        covey__b16 w[2], x0 = covey__load_b16(q + 32 * j), x1 = covey__load_b16(q + 32 * j + 16);
        covey__unpack32(op, p, j, false, w);
        covey__i4 dot = covey__dot16((covey__i4){0}, w[0], x0);
        if (covey__op_sub(op) == 32) {
            z = z + covey__dot16(dot, w[1], x1) * s[j / 4][j % 4];
        } else {
            z = z + dot * s[j / 2][2 * j % 4];
            z = z + covey__dot16((covey__i4){0}, w[1], x1) * s[j / 2][2 * j % 4 + 1];
        }
    }
    *isum = z;
}

COVEY__INLINE void matvec256(const int op, const covey__weights *w, const covey__act_row *a,
                             int32_t r0, int32_t r1, const uint8_t *next, float *out) {
    const size_t bytes = covey__op_bytes(op);
    const int16_t *all = covey__op_sub(op) == 16 ? a->sums16 : a->sums32;
    for (int32_t r = r0; r < r1; r += MATVEC_ROWS) {
        const uint8_t *p[MATVEC_ROWS], *ahead = covey__ahead(w, r, r1, MATVEC_ROWS, next);
        covey__rows(w, r, r1, 0, p, MATVEC_ROWS);
        covey__f4 acc = covey__zero_f4();
        for (int32_t b = 0; b < w->columns / 256; b++) {
            size_t at = (size_t)b * bytes;
            covey__i4 isum[MATVEC_ROWS], msum[MATVEC_ROWS];
            for (int i = 0; i < MATVEC_ROWS; i++, ahead += bytes) {
                covey__prefetch(ahead, bytes);
                sums256(op, p[i] + at, a->q + 256 * b, all + 256 / covey__op_sub(op) * b, &isum[i],
                        &msum[i]);
            }
            covey__f4 sum = covey__to_f4(covey__sum_lanes4(isum));
            sum = sum * covey__scales4(p, at + covey__op_d(op));
            if (covey__op_mins(op))
                sum = sum - covey__to_f4(covey__sum_lanes4(msum)) *
                                covey__scales4(p, at + covey__op_d(op) + 2);
            acc = acc + sum * a->d[b];
        }
        covey__put4(out + r, r1 - r, acc);
    }
}

#define PRODUCT(type, op)                                                                          \
    static void matvec_##type(const covey__weights *w, const covey__act_row *a, int32_t r0,        \
                              int32_t r1, const uint8_t *next, float *out) {                       \
        if (covey__op_block(op) == 32)                                                             \
            matvec32(op, w, a, r0, r1, next, out);                                                 \
        else                                                                                       \
            matvec256(op, w, a, r0, r1, next, out);                                                \
    }                                                                                              \
    static void unpack_##type(const covey__cut *cut, covey__tile *tile) {                          \
        unpack_tile(op, cut, tile);                                                                \
    }                                                                                              \
    static void matmul_##type(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {    \
        run_tiles(&(tile_kind){unpack_##type, kinds[kind_of(op)]}, op, p, r0, r1, scratch);        \
    }
PRODUCT(q8_0, COVEY__OP_Q8_0)
PRODUCT(q4_0, COVEY__OP_Q4_0)
PRODUCT(q4_1, COVEY__OP_Q4_1)
PRODUCT(q5_0, COVEY__OP_Q5_0)
PRODUCT(q5_1, COVEY__OP_Q5_1)
PRODUCT(iq4_nl, COVEY__OP_IQ4_NL)
PRODUCT(q2_k, COVEY__OP_Q2_K)
PRODUCT(q3_k, COVEY__OP_Q3_K)
PRODUCT(q4_k, COVEY__OP_Q4_K)
PRODUCT(q5_k, COVEY__OP_Q5_K)
PRODUCT(q6_k, COVEY__OP_Q6_K)
PRODUCT(iq4_xs, COVEY__OP_IQ4_XS)

/* The set's table; `floats` is the set whose float products it uses. */
#define PRODUCT_TABLE(set, floats)                                                                 \
    const covey__product_ops covey__product_ops_##set[COVEY__OP_COUNT] = {                         \
        [COVEY__OP_F32] = {covey__matvec_f32_##floats, covey__matmul_float_##floats},              \
        [COVEY__OP_F16] = {covey__matvec_f16_##floats, covey__matmul_float_##floats},              \
        [COVEY__OP_BF16] = {covey__matvec_bf16_##floats, covey__matmul_float_##floats},            \
        [COVEY__OP_Q8_0] = {matvec_q8_0, matmul_q8_0},                                             \
        [COVEY__OP_Q4_0] = {matvec_q4_0, matmul_q4_0},                                             \
        [COVEY__OP_Q4_1] = {matvec_q4_1, matmul_q4_1},                                             \
        [COVEY__OP_Q5_0] = {matvec_q5_0, matmul_q5_0},                                             \
        [COVEY__OP_Q5_1] = {matvec_q5_1, matmul_q5_1},                                             \
        [COVEY__OP_IQ4_NL] = {matvec_iq4_nl, matmul_iq4_nl},                                       \
        [COVEY__OP_Q2_K] = {matvec_q2_k, matmul_q2_k},                                             \
        [COVEY__OP_Q3_K] = {matvec_q3_k, matmul_q3_k},                                             \
        [COVEY__OP_Q4_K] = {matvec_q4_k, matmul_q4_k},                                             \
        [COVEY__OP_Q5_K] = {matvec_q5_k, matmul_q5_k},                                             \
        [COVEY__OP_Q6_K] = {matvec_q6_k, matmul_q6_k},                                             \
        [COVEY__OP_IQ4_XS] = {matvec_iq4_xs, matmul_iq4_xs},                                       \
    };

#endif
