/* Cryptography through the environment's crypto table. Each call is UNSUPPORTED, with a message,
 * where there is no table or it lacks the function (an older, smaller table among them). */
#ifndef COVEY_TRUST_CRYPTO_H
#define COVEY_TRUST_CRYPTO_H

#include "base/env.h"
#include "trust/crypto_openssl.h"

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

/* Over DOMAIN NUL BYTES. */
/* Ed25519 over the bytes alone: TUF metadata says its type within. */
covey_status covey__sign_bytes(const covey__env *env, const void *data, size_t size,
                               const covey__key *key, uint8_t signature[64],
                               covey_error *error) COVEY_MUST_USE;
/* As covey_crypto.verify; an older table still verifies Ed25519. */
covey_status covey__verify_bytes(const covey__env *env, covey_key_scheme scheme, const void *key,
                                 size_t key_size, const void *message, size_t message_size,
                                 const void *signature, size_t signature_size,
                                 covey_error *error) COVEY_MUST_USE;

/* X25519 (RFC 7748). MISMATCH when the peer's key agrees with anyone. */
covey_status covey__x25519(const covey__env *env, const uint8_t private_key[32],
                           const uint8_t peer[32], uint8_t shared[32],
                           covey_error *error) COVEY_MUST_USE;
covey_status covey__x25519_public(const covey__env *env, const uint8_t private_key[32],
                                  uint8_t public_key[32], covey_error *error) COVEY_MUST_USE;

/* AES-256-GCM. `key` and `nonce` as one, so that they cannot be swapped. */
typedef struct covey__gcm {
    uint8_t key[32];
    uint8_t nonce[12];
} covey__gcm;
#define COVEY__GCM_TAG_BYTES 16u
/* `sealed` gets size + 16 bytes; it may begin where `plain` does. */
covey_status covey__gcm_seal(const covey__env *env, const covey__gcm *gcm, const void *aad,
                             size_t aad_size, const void *plain, size_t size, void *sealed,
                             covey_error *error) COVEY_MUST_USE;
/* `plain` gets sealed_size - 16 bytes, zeros when they are not what was sealed (MISMATCH). */
covey_status covey__gcm_open(const covey__env *env, const covey__gcm *gcm, const void *aad,
                             size_t aad_size, const void *sealed, size_t sealed_size, void *plain,
                             covey_error *error) COVEY_MUST_USE;

/* As covey_crypto.scrypt. */
covey_status covey__scrypt(const covey__env *env, const covey_scrypt *parameters, void *out,
                           size_t out_size, covey_error *error) COVEY_MUST_USE;

#endif
