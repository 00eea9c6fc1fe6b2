/* SHA-512 (FIPS 180-4), plain: TUF metadata may name nothing else. Hashing at speed is
 * base/sha256.h. */
#ifndef COVEY_TRUST_SHA512_H
#define COVEY_TRUST_SHA512_H

#include <stddef.h>
#include <stdint.h>

typedef struct covey__sha512 {
    uint64_t state[8];
    uint64_t byte_count;
    uint8_t block[128];
} covey__sha512;

void covey__sha512_init(covey__sha512 *hash);
void covey__sha512_update(covey__sha512 *hash, const void *data, size_t size);
void covey__sha512_final(covey__sha512 *hash, uint8_t digest[64]);
void covey__sha512_of(const void *data, size_t size, uint8_t digest[64]);

#endif
