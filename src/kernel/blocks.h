/* Blocks of quantized weights: their layout, and how they are taken apart in plain C: what the
 * scalar products and the decoding of rows share. A block of 32 is levels, a scale and a minimum; a
 * block of 256 has a scale and a minimum for each 16 levels (types with sub-blocks of 32 give each
 * twice). The layouts are ggml's (ggml-common.h, and dequantize_row_* of ggml-quants.c for the
 * order of values). */
#ifndef COVEY_KERNEL_BLOCKS_H
#define COVEY_KERNEL_BLOCKS_H

#include "kernel/parts.h"

/* Blocks as ggml lays them out (ggml-common.h): little-endian, without padding. */
typedef struct covey__block_q8_0 {
    uint16_t d;
    int8_t q[32];
} covey__block_q8_0;
typedef struct covey__block_q4_0 {
    uint16_t d;
    uint8_t q[16]; /* low nibbles: values 0 to 15, high: 16 to 31 */
} covey__block_q4_0;
typedef struct covey__block_q4_1 {
    uint16_t d, m;
    uint8_t q[16]; /* as Q4_0 */
} covey__block_q4_1;
typedef struct covey__block_q5_0 {
    uint16_t d;
    uint8_t high[4]; /* bit i: the fifth bit of value i */
    uint8_t q[16];
} covey__block_q5_0;
typedef struct covey__block_q5_1 {
    uint16_t d, m;
    uint8_t high[4];
    uint8_t q[16];
} covey__block_q5_1;
typedef struct covey__block_iq4_nl {
    uint16_t d;
    uint8_t q[16]; /* as Q4_0, but indices of covey__codebook */
} covey__block_iq4_nl;
typedef struct covey__block_q2_k {
    uint8_t scales[16]; /* low nibble: scale, high: min, of 16 values each */
    uint8_t q[64];
    uint16_t d, dmin;
} covey__block_q2_k;
typedef struct covey__block_q3_k {
    uint8_t high[32], low[64];
    uint8_t scales[12];
    uint16_t d;
} covey__block_q3_k;
typedef struct covey__block_q4_k {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t q[128];
} covey__block_q4_k;
typedef struct covey__block_q5_k {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t high[32];
    uint8_t q[128];
} covey__block_q5_k;
typedef struct covey__block_iq4_xs {
    uint16_t d, scales_high;
    uint8_t scales_low[4];
    uint8_t q[128];
} covey__block_iq4_xs;
typedef struct covey__block_q6_k {
    uint8_t low[128], high[64];
    int8_t scales[16];
    uint16_t d;
} covey__block_q6_k;
_Static_assert(sizeof(covey__block_q8_0) == 34, "block layout");
_Static_assert(sizeof(covey__block_q4_0) == 18, "block layout");
_Static_assert(sizeof(covey__block_q6_k) == 210, "block layout");
_Static_assert(sizeof(covey__block_q4_1) == 20, "block layout");
_Static_assert(sizeof(covey__block_q5_0) == 22, "block layout");
_Static_assert(sizeof(covey__block_q5_1) == 24, "block layout");
_Static_assert(sizeof(covey__block_iq4_nl) == 18, "block layout");
_Static_assert(sizeof(covey__block_q2_k) == 84, "block layout");
_Static_assert(sizeof(covey__block_q3_k) == 110, "block layout");
_Static_assert(sizeof(covey__block_q4_k) == 144, "block layout");
_Static_assert(sizeof(covey__block_q5_k) == 176, "block layout");
_Static_assert(sizeof(covey__block_iq4_xs) == 136, "block layout");

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
