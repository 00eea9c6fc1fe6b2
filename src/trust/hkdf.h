/* HMAC and HKDF with SHA-256 (RFC 2104, RFC 5869), over base's SHA-256: no crypto table is needed.
 */
#ifndef COVEY_TRUST_HKDF_H
#define COVEY_TRUST_HKDF_H

#include "base/sha256.h"

typedef struct covey__hmac {
    covey__sha256 inner, outer;
} covey__hmac;

void covey__hmac_init(covey__hmac *hmac, const void *key, size_t key_size);
void covey__hmac_update(covey__hmac *hmac, const void *data, size_t size);
/* Wipes the state. */
void covey__hmac_final(covey__hmac *hmac, uint8_t digest[32]);

/* `salt` may be NULL with size 0: 32 zeros, as the RFC says. */
void covey__hkdf_extract(const void *salt, size_t salt_size, const void *secret, size_t secret_size,
                         uint8_t prk[32]);
#define COVEY__HKDF_BYTES_MAX (255u * 32u)
/* At most COVEY__HKDF_BYTES_MAX bytes. */
void covey__hkdf_expand(const uint8_t prk[32], const void *info, size_t info_size, void *out,
                        size_t out_size);

#endif
