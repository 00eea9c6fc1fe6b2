/* The encoders' own border: encode.c picks one by type, encode_block.c has the types with blocks of
 * 32, encode_k.c those with blocks of 256. */
#ifndef COVEY_KERNEL_ENCODE_H
#define COVEY_KERNEL_ENCODE_H

#include "kernel/blocks.h"

/* How much an error in each of n weights of a block counts. Large weights count more, as they move
 * outputs more; with `importance`, the mean square of the inputs that meet them counts too. */
void covey__importance(const float *x, const float *importance, int n, float *out);

/* Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL: by search. */
void covey__encode_block(uint32_t type, const float *x, const float *importance, int32_t columns,
                         uint8_t *out);
/* Q2_K, Q3_K, Q4_K, Q5_K, Q6_K. */
void covey__encode_k(uint32_t type, const float *x, const float *importance, int32_t columns,
                     uint8_t *out);
/* Levels of 0 to 63 into the places of a Q6_K block. */
void covey__pack_q6_k(const uint8_t levels[256], covey__block_q6_k *block);

#endif
