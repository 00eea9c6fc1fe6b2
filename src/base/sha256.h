/* SHA-256 (FIPS 180-4), with the CPU's instructions where it has them. */
#ifndef COVEY_BASE_SHA256_H
#define COVEY_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

typedef struct covey__sha256 {
    uint32_t state[8];
    uint64_t byte_count;
    uint8_t block[64];
} covey__sha256;

void covey__sha256_init(covey__sha256 *hash);
void covey__sha256_update(covey__sha256 *hash, const void *data, size_t size);
/* The same as an update of each, in less time: over the same bytes, or over two stretches. */
void covey__sha256_update_pair(covey__sha256 *a, const void *data_a, size_t size_a,
                               covey__sha256 *b, const void *data_b, size_t size_b);
void covey__sha256_final(covey__sha256 *hash, uint8_t digest[32]);
void covey__sha256_of(const void *data, size_t size, uint8_t digest[32]);

/* Lower-case hex; `out` takes 2 * size + 1 bytes. */
void covey__hex(const uint8_t *data, size_t size, char *out);
/* Exactly 2 * size hex digits of either case; false otherwise. */
bool covey__unhex(const char *text, size_t text_size, uint8_t *out, size_t size);
/* Compares in time that does not depend on the contents. */
bool covey__equal_secret(const void *a, const void *b, size_t size);

#endif
