/* Blocks of quantized weights taken apart in plain C: what the scalar products and the decoding of
 * rows share. A block of 32 is levels, a scale and a minimum; a block of 256 has a scale and a
 * minimum for each 16 levels (types with sub-blocks of 32 give each twice). The layouts are ggml's
 * (ggml-common.h, and dequantize_row_* of ggml-quants.c for the order of values). */
#ifndef COVEY_KERNEL_BLOCKS_H
#define COVEY_KERNEL_BLOCKS_H

#include "kernel/parts.h"

/* The values that IQ4_NL's and IQ4_XS's levels stand for. */
extern const int8_t covey__codebook[16];

typedef struct covey__block32 {
    int32_t q[32];
    float d, m; /* m: Q4_1 and Q5_1, else 0 */
} covey__block32;

typedef struct covey__block256 {
    int32_t q[256];
    int32_t scale[16], min[16];
    float d, dmin; /* min and dmin: Q2_K, Q4_K and Q5_K, else 0 */
} covey__block256;

typedef void (*covey__take32_fn)(const uint8_t *data, covey__block32 *out);
typedef void (*covey__take256_fn)(const uint8_t *data, covey__block256 *out);

void covey__take_q8_0(const uint8_t *data, covey__block32 *out);
void covey__take_q4_0(const uint8_t *data, covey__block32 *out);
void covey__take_q4_1(const uint8_t *data, covey__block32 *out);
void covey__take_q5_0(const uint8_t *data, covey__block32 *out);
void covey__take_q5_1(const uint8_t *data, covey__block32 *out);
void covey__take_iq4_nl(const uint8_t *data, covey__block32 *out);
void covey__take_q2_k(const uint8_t *data, covey__block256 *out);
void covey__take_q3_k(const uint8_t *data, covey__block256 *out);
void covey__take_q4_k(const uint8_t *data, covey__block256 *out);
void covey__take_q5_k(const uint8_t *data, covey__block256 *out);
void covey__take_q6_k(const uint8_t *data, covey__block256 *out);
void covey__take_iq4_xs(const uint8_t *data, covey__block256 *out);

/* What a type's block is: bytes, and where its one or two 16-bit floats lie. */
typedef struct covey__block_info {
    int16_t columns; /* 32 or 256 */
    uint8_t bytes, d;
    uint8_t floats; /* 1, or 2: the second follows the first */
    covey__take32_fn take32;
    covey__take256_fn take256;
} covey__block_info;
/* NULL for F32, F16, BF16 and unknown types. */
const covey__block_info *covey__block_info_get(uint32_t type);

#endif
