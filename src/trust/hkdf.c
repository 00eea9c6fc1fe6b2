/* HMAC-SHA-256 and HKDF. They stand on base/sha256.h and not on the crypto table, so a platform
 * need not bring them and every platform derives the same. What is derived from secrets is wiped.
 */
#include "trust/hkdf.h"

#include <assert.h>
#include <string.h>

#define BLOCK 64u

void covey__hmac_init(covey__hmac *hmac, const void *key, size_t key_size) {
    uint8_t block[BLOCK] = {0};
    if (key_size > BLOCK)
        covey__sha256_of(key, key_size, block);
    else if (key_size > 0)
        memcpy(block, key, key_size);
    for (size_t i = 0; i < BLOCK; i++) block[i] ^= 0x36;
    covey__sha256_init(&hmac->inner);
    covey__sha256_update(&hmac->inner, block, BLOCK);
    for (size_t i = 0; i < BLOCK; i++) block[i] ^= 0x36 ^ 0x5c;
    covey__sha256_init(&hmac->outer);
    covey__sha256_update(&hmac->outer, block, BLOCK);
    explicit_bzero(block, sizeof block);
}

void covey__hmac_update(covey__hmac *hmac, const void *data, size_t size) {
    if (size > 0) covey__sha256_update(&hmac->inner, data, size);
}

void covey__hmac_final(covey__hmac *hmac, uint8_t digest[32]) {
    uint8_t inner[32];
    covey__sha256_final(&hmac->inner, inner);
    covey__sha256_update(&hmac->outer, inner, sizeof inner);
    covey__sha256_final(&hmac->outer, digest);
    explicit_bzero(inner, sizeof inner);
    explicit_bzero(hmac, sizeof *hmac);
}

void covey__hkdf_extract(const void *salt, size_t salt_size, const void *secret, size_t secret_size,
                         uint8_t prk[32]) {
    covey__hmac hmac;
    covey__hmac_init(&hmac, salt, salt_size); /* a key of no bytes is one of zeros */
    covey__hmac_update(&hmac, secret, secret_size);
    covey__hmac_final(&hmac, prk);
}

void covey__hkdf_expand(const uint8_t prk[32], const void *info, size_t info_size, void *out,
                        size_t out_size) {
    uint8_t block[32], *at = out, number = 0;
    assert(out_size <= COVEY__HKDF_BYTES_MAX);
    while (out_size > 0) {
        covey__hmac hmac;
        covey__hmac_init(&hmac, prk, 32);
        if (number > 0) covey__hmac_update(&hmac, block, sizeof block);
        covey__hmac_update(&hmac, info, info_size);
        number++;
        covey__hmac_update(&hmac, &number, 1);
        covey__hmac_final(&hmac, block);
        size_t piece = out_size < sizeof block ? out_size : sizeof block;
        memcpy(at, block, piece);
        at += piece;
        out_size -= piece;
    }
    explicit_bzero(block, sizeof block);
}
