/* What v128.h takes from NEON, and the integer products of three generations: words that are
 * multiplied by an element and lengthened (every aarch64), dots of four bytes (dotprod), and
 * products of 2 by 8 with 8 by 2 bytes (i8mm). The file's compile flags choose. */
#ifndef COVEY_KERNEL_V128_NEON_H
#define COVEY_KERNEL_V128_NEON_H

#include <arm_neon.h>

#define COVEY__MANY_REGISTERS 1 /* 32 */
#define COVEY__TILE_TOKENS    6

COVEY__INLINE void covey__transpose4(covey__i4 r[4]);

COVEY__INLINE covey__f4 covey__max_f4(covey__f4 a, covey__f4 b) {
    return (covey__f4)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
}
COVEY__INLINE covey__f4 covey__min_f4(covey__f4 a, covey__f4 b) {
    return (covey__f4)vminq_f32((float32x4_t)a, (float32x4_t)b);
}
/* The first 8 bytes as words, and the last 8. */
COVEY__INLINE covey__h8 covey__low_words(covey__b16 v) {
    return (covey__h8)vmovl_s8(vget_low_s8((int8x16_t)v));
}
COVEY__INLINE covey__h8 covey__high_words(covey__b16 v) {
    return (covey__h8)vmovl_high_s8((int8x16_t)v);
}
COVEY__INLINE covey__i4 covey__low_dwords(covey__h8 v) {
    return (covey__i4)vmovl_s16(vget_low_s16((int16x8_t)v));
}
COVEY__INLINE covey__i4 covey__high_dwords(covey__h8 v) {
    return (covey__i4)vmovl_high_s16((int16x8_t)v);
}
/* Products of words, two to a lane: only the sum of all lanes is defined. */
COVEY__INLINE covey__i4 covey__pairs(covey__h8 a, covey__h8 b) {
    int32x4_t low = vmull_s16(vget_low_s16((int16x8_t)a), vget_low_s16((int16x8_t)b));
    return (covey__i4)vmlal_high_s16(low, (int16x8_t)a, (int16x8_t)b);
}
/* Entries of a table of 16 bytes; indices are below 16. */
COVEY__INLINE covey__b16 covey__lookup(covey__b16 table, covey__ub16 index) {
    return (covey__b16)vqtbl1q_s8((int8x16_t)table, (uint8x16_t)index);
}
/* 16 integers of -127 to 127 to bytes. */
COVEY__INLINE covey__b16 covey__narrow(covey__i4 a, covey__i4 b, covey__i4 c, covey__i4 d) {
    int16x8_t low = vuzp1q_s16((int16x8_t)a, (int16x8_t)b);
    int16x8_t high = vuzp1q_s16((int16x8_t)c, (int16x8_t)d);
    return (covey__b16)vuzp1q_s8((int8x16_t)low, (int8x16_t)high);
}
COVEY__INLINE covey__f4 covey__half4(const uint16_t h[4]) {
    return (covey__f4)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(h)));
}

/* acc plus products of 16 bytes in any order: only the sum of all lanes is defined. Without
 * dotprod, two products fit a word: at most 2 * 128 * 127. */
COVEY__INLINE covey__i4 covey__dot16(covey__i4 acc, covey__b16 w, covey__b16 a) {
#if defined(__ARM_FEATURE_DOTPROD)
    return (covey__i4)vdotq_s32((int32x4_t)acc, (int8x16_t)w, (int8x16_t)a);
#else
    int16x8_t two = vmull_s8(vget_low_s8((int8x16_t)w), vget_low_s8((int8x16_t)a));
    two = vmlal_high_s8(two, (int8x16_t)w, (int8x16_t)a);
    return (covey__i4)vpadalq_s16((int32x4_t)acc, two);
#endif
}

/* Where the minimum of sub-block j of row i lies among those of 8 rows. */
COVEY__INLINE int32_t covey__min_place(int32_t j, int32_t i) {
    return j * 8 + i;
}
/* x[0] and x[1]: the minima of 8 rows times the sums of a token over `count` sub-blocks. */
COVEY__INLINE void covey__min_dot(covey__i4 x[2], const int16_t *mins, const int16_t *sums,
                                  const int count) {
    int32x4_t low = vdupq_n_s32(0), high = low;
    COVEY__UNROLL
    for (int j = 0; j < count; j++) {
        int16x8_t m = vld1q_s16(mins + 8 * j);
        low = vmlal_n_s16(low, vget_low_s16(m), sums[j]);
        high = vmlal_high_n_s16(high, m, sums[j]);
    }
    x[0] = (covey__i4)low;
    x[1] = (covey__i4)high;
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
#define COVEY__TILE_WORDS 0
#define COVEY__TILE_FLIP  1 /* scales in the lanes go by pairs of rows */

/* 8 rows of 16 columns into a tile of bytes: [columns / 8][8 rows][8]. */
COVEY__INLINE void covey__tile_put(uint8_t *to, const covey__b16 rows[8]) {
    COVEY__UNROLL
    for (int i = 0; i < 8; i += 2) {
        int64x2_t a = (int64x2_t)rows[i], b = (int64x2_t)rows[i + 1];
        vst1q_s8((int8_t *)to + 8 * i, vreinterpretq_s8_s64(vzip1q_s64(a, b)));
        vst1q_s8((int8_t *)to + 64 + 8 * i, vreinterpretq_s8_s64(vzip2q_s64(a, b)));
    }
}

/* acc[4 * (t / 2) + pair] takes the products of two rows and two tokens: in its lanes are row 0
 * with both tokens, then row 1. An odd last token is taken with the slot after it. */
COVEY__INLINE void covey__tile_dot(covey__i4 *acc, const uint8_t *w, const int8_t *q,
                                   int32_t columns, const int tokens) {
    COVEY__UNROLL_LITTLE
    for (int32_t k = 0; k < columns; k += 8, w += 64, q += 8 * COVEY__GROUP) {
        int32x4_t a[3], x0 = vreinterpretq_s32_s8(vld1q_s8(q));
        int32x4_t x1 = vreinterpretq_s32_s8(vld1q_s8(q + 4 * COVEY__GROUP));
        a[0] = vzip1q_s32(x0, x1);
        a[1] = vzip2q_s32(x0, x1);
        if (tokens > 4) { /* 8 bytes more than are of use; scales follow the last values */
            int32x4_t y0 = vreinterpretq_s32_s8(vld1q_s8(q + 16));
            int32x4_t y1 = vreinterpretq_s32_s8(vld1q_s8(q + 4 * COVEY__GROUP + 16));
            a[2] = vzip1q_s32(y0, y1);
        }
        COVEY__UNROLL
        for (int i = 0; i < 4; i++) {
            int8x16_t rows = vld1q_s8((const int8_t *)w + 16 * i);
            COVEY__UNROLL
            for (int p = 0; p < (tokens + 1) / 2; p++)
                acc[4 * p + i] = (covey__i4)vmmlaq_s32((int32x4_t)acc[4 * p + i], rows,
                                                       vreinterpretq_s8_s32(a[p]));
        }
    }
}
/* From the order above to acc[2 * t + half] with rows in the lanes. */
COVEY__INLINE void covey__tile_lanes(covey__i4 *acc, const int tokens) {
    COVEY__UNROLL
    for (int p = 0; p < (tokens + 1) / 2; p++) {
        int32x4_t r0 = (int32x4_t)acc[4 * p], r1 = (int32x4_t)acc[4 * p + 1];
        int32x4_t r2 = (int32x4_t)acc[4 * p + 2], r3 = (int32x4_t)acc[4 * p + 3];
        acc[4 * p] = (covey__i4)vuzp1q_s32(r0, r1);
        acc[4 * p + 1] = (covey__i4)vuzp1q_s32(r2, r3);
        acc[4 * p + 2] = (covey__i4)vuzp2q_s32(r0, r1);
        acc[4 * p + 3] = (covey__i4)vuzp2q_s32(r2, r3);
    }
}
#elif defined(__ARM_FEATURE_DOTPROD)
#define COVEY__TILE_WORDS 0
#define COVEY__TILE_FLIP  0

/* 8 rows of 16 columns into a tile of bytes: [columns / 4][8 rows][4]. */
COVEY__INLINE void covey__tile_put(uint8_t *to, const covey__b16 rows[8]) {
    COVEY__UNROLL
    for (int half = 0; half < 2; half++) {
        covey__i4 r[4];
        COVEY__UNROLL
        for (int i = 0; i < 4; i++) r[i] = (covey__i4)rows[4 * half + i];
        covey__transpose4(r);
        COVEY__UNROLL
        for (int i = 0; i < 4; i++) covey__store_i4(to + 32 * i + 16 * half, r[i]);
    }
}

#define COVEY__DOT(t, from, lane)                                                                  \
    if ((t) < tokens) {                                                                            \
        acc[2 * (t)] = (covey__i4)vdotq_laneq_s32((int32x4_t)acc[2 * (t)], w0, from, lane);        \
        acc[2 * (t) + 1] =                                                                         \
            (covey__i4)vdotq_laneq_s32((int32x4_t)acc[2 * (t) + 1], w1, from, lane);               \
    }

/* acc[2 * t + half] takes the products of 8 rows and token t over `columns` columns; rows are in
 * the lanes. */
COVEY__INLINE void covey__tile_dot(covey__i4 *acc, const uint8_t *w, const int8_t *q,
                                   int32_t columns, const int tokens) {
    COVEY__UNROLL_LITTLE
    for (int32_t k = 0; k < columns; k += 4, w += 32, q += 4 * COVEY__GROUP) {
        int8x16_t w0 = vld1q_s8((const int8_t *)w), w1 = vld1q_s8((const int8_t *)w + 16);
        int8x16_t a = vld1q_s8(q);
        COVEY__DOT(0, a, 0)
        COVEY__DOT(1, a, 1)
        COVEY__DOT(2, a, 2)
        COVEY__DOT(3, a, 3)
        if (tokens > 4) { /* 8 bytes more than are of use; scales follow the last values */
            int8x16_t b = vld1q_s8(q + 16);
            COVEY__DOT(4, b, 0)
            COVEY__DOT(5, b, 1)
        }
    }
}
#undef COVEY__DOT
COVEY__INLINE void covey__tile_lanes(covey__i4 *acc, const int tokens) {
    (void)acc, (void)tokens; /* they are in place */
}
#else
#define COVEY__TILE_WORDS 1

/* 8 rows of 8 columns into a tile of words: [columns][8 rows]. */
COVEY__INLINE void covey__tile_put(uint8_t *to, const covey__h8 rows[8]) {
    covey__i4 r[2][4];
    COVEY__UNROLL
    for (int half = 0; half < 2; half++) {
        COVEY__UNROLL
        for (int i = 0; i < 4; i++) r[half][i] = (covey__i4)rows[4 * half + i];
        covey__transpose4(r[half]);
    }
    COVEY__UNROLL
    for (int i = 0; i < 4; i++) {
        int16x8_t a = (int16x8_t)r[0][i], b = (int16x8_t)r[1][i];
        vst1q_u8(to + 32 * i, vreinterpretq_u8_s16(vuzp1q_s16(a, b)));
        vst1q_u8(to + 32 * i + 16, vreinterpretq_u8_s16(vuzp2q_s16(a, b)));
    }
}

#define COVEY__MLAL(t, lane)                                                                       \
    if ((t) < tokens) {                                                                            \
        acc[2 * (t)] = (covey__i4)vmlal_laneq_s16((int32x4_t)acc[2 * (t)], vget_low_s16(rows),     \
                                                  a[(t) / 2], lane);                               \
        acc[2 * (t) + 1] =                                                                         \
            (covey__i4)vmlal_high_laneq_s16((int32x4_t)acc[2 * (t) + 1], rows, a[(t) / 2], lane);  \
    }
#define COVEY__COLUMN(c)                                                                           \
    {                                                                                              \
        int16x8_t rows = vreinterpretq_s16_u8(vld1q_u8(w + 16 * (c)));                             \
        COVEY__MLAL(0, (c))                                                                        \
        COVEY__MLAL(1, 4 + (c))                                                                    \
        COVEY__MLAL(2, (c))                                                                        \
        COVEY__MLAL(3, 4 + (c))                                                                    \
        COVEY__MLAL(4, (c))                                                                        \
        COVEY__MLAL(5, 4 + (c))                                                                    \
    }

/* acc[2 * t + half] takes the products of 8 rows and token t over `columns` columns; rows are in
 * the lanes. */
COVEY__INLINE void covey__tile_dot(covey__i4 *acc, const uint8_t *w, const int8_t *q,
                                   int32_t columns, const int tokens) {
    COVEY__UNROLL_LITTLE
    for (int32_t k = 0; k < columns; k += 4, w += 64, q += 4 * COVEY__GROUP) {
        int16x8_t a[3];
        COVEY__UNROLL
        for (int i = 0; i < (tokens + 1) / 2; i++) a[i] = vmovl_s8(vld1_s8(q + 8 * i));
        COVEY__COLUMN(0)
        COVEY__COLUMN(1)
        COVEY__COLUMN(2)
        COVEY__COLUMN(3)
    }
}
#undef COVEY__MLAL
#undef COVEY__COLUMN
COVEY__INLINE void covey__tile_lanes(covey__i4 *acc, const int tokens) {
    (void)acc, (void)tokens; /* they are in place */
}
#endif

#endif
