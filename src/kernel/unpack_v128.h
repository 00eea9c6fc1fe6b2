/* Blocks of quantized weights as vectors, for every type: 32 levels at a time as two vectors of
 * bytes, and the scales and minima of sub-blocks as bytes. Levels come as they are stored, from
 * zero up, or centred, as the definition has them (blocks.c); products of one token use the first
 * and take the centre back with the sums of the activations. `op` is a constant everywhere. */
#ifndef COVEY_KERNEL_UNPACK_V128_H
#define COVEY_KERNEL_UNPACK_V128_H

#include "kernel/blocks.h"
#include "kernel/v128.h"

COVEY__INLINE size_t covey__op_bytes(const int op) {
    return op == COVEY__OP_Q8_0     ? 34
           : op == COVEY__OP_Q4_0   ? 18
           : op == COVEY__OP_Q4_1   ? 20
           : op == COVEY__OP_Q5_0   ? 22
           : op == COVEY__OP_Q5_1   ? 24
           : op == COVEY__OP_IQ4_NL ? 18
           : op == COVEY__OP_Q2_K   ? 84
           : op == COVEY__OP_Q3_K   ? 110
           : op == COVEY__OP_Q4_K   ? 144
           : op == COVEY__OP_Q5_K   ? 176
           : op == COVEY__OP_Q6_K   ? 210
                                    : 136;
}
COVEY__INLINE int32_t covey__op_block(const int op) {
    return op == COVEY__OP_Q2_K || op == COVEY__OP_Q3_K || op == COVEY__OP_Q4_K ||
                   op == COVEY__OP_Q5_K || op == COVEY__OP_Q6_K || op == COVEY__OP_IQ4_XS
               ? 256
               : 32;
}
/* Columns that share a scale within a block of 256. */
COVEY__INLINE int32_t covey__op_sub(const int op) {
    return op == COVEY__OP_Q2_K || op == COVEY__OP_Q3_K || op == COVEY__OP_Q6_K ? 16 : 32;
}
COVEY__INLINE bool covey__op_mins(const int op) {
    return op == COVEY__OP_Q4_1 || op == COVEY__OP_Q5_1 || op == COVEY__OP_Q2_K ||
           op == COVEY__OP_Q4_K || op == COVEY__OP_Q5_K;
}
/* Where the block's scale lies; the minimum's follows it. */
COVEY__INLINE size_t covey__op_d(const int op) {
    return op == COVEY__OP_Q2_K ? 80 : op == COVEY__OP_Q3_K ? 108 : op == COVEY__OP_Q6_K ? 208 : 0;
}
/* What centred levels are less than stored ones. */
COVEY__INLINE int32_t covey__op_centre(const int op) {
    return op == COVEY__OP_Q4_0   ? 8
           : op == COVEY__OP_Q5_0 ? 16
           : op == COVEY__OP_Q3_K ? 4
           : op == COVEY__OP_Q6_K ? 32
                                  : 0;
}

COVEY__INLINE covey__ub16 covey__or16(covey__ub16 a, covey__ub16 b) {
    return a | b;
}
/* A vector whose bytes 8i to 8i + 7 are byte i of the two at p. */
COVEY__INLINE covey__ub16 covey__spread_bits(const uint8_t *p) {
    uint64_t low = p[0] * UINT64_C(0x0101010101010101), high = p[1] * UINT64_C(0x0101010101010101);
    covey__ub16 v;
    memcpy(&v, &low, 8);
    memcpy((uint8_t *)&v + 8, &high, 8);
    return v;
}
/* 16 where the byte's bit of 8 is set. */
COVEY__INLINE covey__ub16 covey__fifth(const uint8_t *p) {
    const covey__ub16 bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    return (covey__ub16)((covey__spread_bits(p) & bit) == bit) & covey__splat_ub16(16);
}

/* Nibbles of 16 bytes: low ones, then high ones. */
COVEY__INLINE void covey__nibbles(const uint8_t *p, covey__ub16 u[2]) {
    covey__ub16 both = covey__load_ub16(p);
    u[0] = both & 15;
    u[1] = both >> 4;
}

/* Levels 32j to 32j + 31 of the block at p, as stored. */
COVEY__INLINE void covey__levels(const int op, const uint8_t *p, const int j, covey__ub16 u[2]) {
    const uint8_t *run;
    switch (op) {
    case COVEY__OP_Q8_0:
        u[0] = covey__load_ub16(p + 2);
        u[1] = covey__load_ub16(p + 18);
        break;
    case COVEY__OP_Q4_0:
    case COVEY__OP_IQ4_NL:
        covey__nibbles(p + 2, u);
        break;
    case COVEY__OP_Q4_1:
        covey__nibbles(p + 4, u);
        break;
    case COVEY__OP_Q5_0:
    case COVEY__OP_Q5_1:
        run = p + (op == COVEY__OP_Q5_0 ? 2 : 4);
        covey__nibbles(run + 4, u);
        u[0] |= covey__fifth(run);
        u[1] |= covey__fifth(run + 2);
        break;
    case COVEY__OP_IQ4_XS:
        covey__nibbles(p + 8 + 16 * j, u);
        break;
    default: /* two vectors of 16 levels whose bits lie in different places */
        COVEY__UNROLL
        for (int i = 0; i < 2; i++) {
            const uint8_t *at = p + 16 * i;
            covey__ub16 low, high;
            if (op == COVEY__OP_Q2_K) {
                u[i] = (covey__load_ub16(at + 16 + 32 * (j / 4)) >> (2 * (j % 4))) & 3;
            } else if (op == COVEY__OP_Q3_K) {
                low = (covey__load_ub16(at + 32 + 32 * (j / 4)) >> (2 * (j % 4))) & 3;
                high = (covey__load_ub16(at) >> j) & 1;
                u[i] = low | high << 2;
            } else if (op == COVEY__OP_Q6_K) {
                low = covey__load_ub16(at + 64 * (j / 4) + 32 * (j % 2)) >> (j % 4 >= 2 ? 4 : 0);
                high = covey__load_ub16(at + 128 + 32 * (j / 4)) >> (2 * (j % 4));
                u[i] = (low & 15) | (high & 3) << 4;
            } else {
                run = at + (op == COVEY__OP_Q4_K ? 16 : 48) + 32 * (j / 2);
                u[i] = (covey__load_ub16(run) >> (j % 2 ? 4 : 0)) & 15;
                if (op == COVEY__OP_Q5_K) u[i] |= ((covey__load_ub16(at + 16) >> j) & 1) << 4;
            }
        }
    }
}

/* The same as signed bytes: centred when asked for, and what a table gives. */
COVEY__INLINE void covey__unpack32(const int op, const uint8_t *p, const int j, const bool centred,
                                   covey__b16 w[2]) {
    covey__ub16 u[2];
    covey__levels(op, p, j, u);
    COVEY__UNROLL
    for (int i = 0; i < 2; i++) {
        if (op == COVEY__OP_IQ4_NL || op == COVEY__OP_IQ4_XS)
            w[i] = covey__lookup(covey__load_b16(covey__codebook), u[i]);
        else if (centred && covey__op_centre(op))
            w[i] = (covey__b16)(u[i] - (uint8_t)covey__op_centre(op));
        else
            w[i] = (covey__b16)u[i];
    }
}

COVEY__INLINE uint32_t covey__load_u32(const void *p) {
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
}

/* Q4_K's and Q5_K's 8 scales and 8 minima of six bits. */
COVEY__INLINE void covey__six_bits(const uint8_t *p, uint32_t scales[4], uint32_t mins[4]) {
    uint32_t a = covey__load_u32(p), b = covey__load_u32(p + 4), c = covey__load_u32(p + 8);
    scales[0] = a & 0x3f3f3f3fu;
    scales[1] = (c & 0x0f0f0f0fu) | (a >> 6 & 0x03030303u) << 4;
    mins[0] = b & 0x3f3f3f3fu;
    mins[1] = (c >> 4 & 0x0f0f0f0fu) | (b >> 6 & 0x03030303u) << 4;
}
/* Q3_K's 16 scales of six bits, from -32 up. */
COVEY__INLINE void covey__q3_scales(const uint8_t *p, uint32_t scales[4]) {
    uint32_t a = covey__load_u32(p), b = covey__load_u32(p + 4), c = covey__load_u32(p + 8);
    scales[0] = (a & 0x0f0f0f0fu) | (c & 0x03030303u) << 4;
    scales[1] = (b & 0x0f0f0f0fu) | (c >> 2 & 0x03030303u) << 4;
    scales[2] = (a >> 4 & 0x0f0f0f0fu) | (c >> 4 & 0x03030303u) << 4;
    scales[3] = (b >> 4 & 0x0f0f0f0fu) | (c >> 6 & 0x03030303u) << 4;
}
/* IQ4_XS's 8 scales: nibbles, and pairs of high bits, spread over bytes. */
COVEY__INLINE uint64_t covey__iq4_scales(const uint8_t *p) {
    uint64_t low = covey__load_u32(p + 4), high = covey__load_u16(p + 2);
    low = (low | low << 16) & UINT64_C(0x0000ffff0000ffff);
    low = (low | low << 8) & UINT64_C(0x00ff00ff00ff00ff);
    low = (low | low << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    high = (high | high << 24) & UINT64_C(0x000000ff000000ff);
    high = (high | high << 12) & UINT64_C(0x000f000f000f000f);
    high = (high | high << 6) & UINT64_C(0x0303030303030303);
    return low | high << 4;
}

/* The scales (and minima) of the sub-blocks of a block of 256: 16, or 8 and nothing of use. */
COVEY__INLINE void covey__unpack_scales(const int op, const uint8_t *p, covey__b16 *scales,
                                        covey__b16 *mins) {
    uint32_t s[4] = {0}, m[4] = {0};
    *mins = (covey__b16){0};
    if (op == COVEY__OP_Q6_K) {
        *scales = covey__load_b16(p + 192);
    } else if (op == COVEY__OP_Q2_K) {
        covey__ub16 both = covey__load_ub16(p);
        *scales = (covey__b16)(both & 15);
        *mins = (covey__b16)(both >> 4);
    } else if (op == COVEY__OP_IQ4_XS) {
        uint64_t spread = covey__iq4_scales(p);
        memcpy(s, &spread, 8);
        *scales = covey__load_b16(s) - 32;
    } else if (op == COVEY__OP_Q3_K) {
        covey__q3_scales(p + 96, s);
        *scales = covey__load_b16(s) - 32;
    } else {
        covey__six_bits(p + 4, s, m);
        *scales = covey__load_b16(s);
        *mins = covey__load_b16(m);
    }
}

#endif
