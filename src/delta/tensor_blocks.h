/* Quantized tensors taken apart for a patch, 32 blocks at a time, and put together again: F16
 * scales, sub-block scales and codes become arrays of their own. Every bit of a block is in one of
 * them, so that what is put together is what was taken apart, whatever the bytes. The layouts are
 * ggml's (ggml-common.h). */
#ifndef COVEY_DELTA_TENSOR_BLOCKS_H
#define COVEY_DELTA_TENSOR_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COVEY__BATCH_BLOCKS 32
#define COVEY__BATCH_CODES  (COVEY__BATCH_BLOCKS * 256)

typedef struct covey__block_batch {
    uint16_t d[COVEY__BATCH_BLOCKS], m[COVEY__BATCH_BLOCKS]; /* F16 bits */
    int8_t scale[16][COVEY__BATCH_BLOCKS], min[16][COVEY__BATCH_BLOCKS];
    int8_t codes[COVEY__BATCH_CODES]; /* block after block, less the type's zero */
} covey__block_batch;

typedef struct covey__block_layout {
    uint16_t weights, bytes; /* of a block */
    uint8_t subs;            /* sub-blocks with a scale of their own; 0: none */
    bool has_m;              /* a second float: m, dmin */
    bool has_mins;           /* of sub-blocks */
    bool has_codebook;       /* codes stand for values of covey__iq4_values */
    int8_t low, high;        /* of codes, less the zero */
    int8_t scale_low, scale_high;
    void (*take)(const uint8_t *data, int32_t block, covey__block_batch *batch);
    void (*put)(const covey__block_batch *batch, int32_t block, uint8_t *data);
} covey__block_layout;

/* NULL for types that are not made of blocks, and unknown ones. */
const covey__block_layout *covey__block_layout_get(uint32_t type);
/* The same, for machines with AVX2 alone. */
const covey__block_layout *covey__block_layout_avx2(uint32_t type);

extern const int8_t covey__iq4_values[16];

#endif
