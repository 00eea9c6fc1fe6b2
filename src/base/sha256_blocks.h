/* The block functions of SHA-256, so that sha256.c can choose and tests can compare them. */
#ifndef COVEY_BASE_SHA256_BLOCKS_H
#define COVEY_BASE_SHA256_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const uint32_t covey__sha256_constants[64];

/* Takes `block_count` blocks of 64 bytes into the state. */
typedef void (*covey__sha256_blocks_fn)(uint32_t state[8], const uint8_t *data, size_t block_count);
void covey__sha256_blocks_portable(uint32_t state[8], const uint8_t *data, size_t block_count);
/* With SHA-NI: to be called only where covey__cpu says `sha` and this build has it. */
void covey__sha256_blocks_shani(uint32_t state[8], const uint8_t *data, size_t block_count);
/* Two states side by side: one waits for the other's instructions, so both take little longer than
 * one. */
void covey__sha256_pair_shani(uint32_t a[8], const uint8_t *data_a, uint32_t b[8],
                              const uint8_t *data_b, size_t block_count);
bool covey__sha256_blocks_shani_is_built(void);

#endif
