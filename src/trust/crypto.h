/* Signatures and randomness through the environment's crypto table. Bytes are
 * never signed bare: a domain string and a NUL stand before them, so that a signature over one kind
 * of document can never be shown as one over another. */
#ifndef COVEY_TRUST_CRYPTO_H
#define COVEY_TRUST_CRYPTO_H

#include "base/env.h"
#include "trust/crypto_openssl.h"

/* What may be signed. Each is signed as DOMAIN NUL BYTES. */
#define COVEY__DOMAIN_RELEASE "covey-release-v1"

/* A private key (its RFC 8032 seed) with its public half. */
typedef struct covey__key {
    uint8_t seed[32];
    uint8_t public_key[32];
} covey__key;

/* A new key from the table's random bytes. UNSUPPORTED when the environment has no crypto. */
covey_status covey__key_make(const covey__env *env, covey__key *key,
                             covey_error *error) COVEY_MUST_USE;
/* The public half of a seed. */
covey_status covey__key_from_seed(const covey__env *env, const uint8_t seed[32], covey__key *key,
                                  covey_error *error) COVEY_MUST_USE;
/* Overwrites the key in a way that the compiler keeps. */
void covey__key_wipe(covey__key *key);

covey_status covey__sign(const covey__env *env, const char *domain, const void *data, size_t size,
                         const covey__key *key, uint8_t signature[64],
                         covey_error *error) COVEY_MUST_USE;
/* MISMATCH when the signature is not that key's over these bytes in this domain. */
covey_status covey__verify(const covey__env *env, const char *domain, const void *data, size_t size,
                           const uint8_t public_key[32], const uint8_t signature[64],
                           covey_error *error) COVEY_MUST_USE;

#endif
