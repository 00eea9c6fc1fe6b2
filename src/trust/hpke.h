/* HPKE (RFC 9180), base mode, one message: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. */
#ifndef COVEY_TRUST_HPKE_H
#define COVEY_TRUST_HPKE_H

#include "trust/crypto.h"

/* What is added to a message: the encapsulated key before it, the tag behind it. */
#define COVEY__HPKE_EXTRA_BYTES (32u + COVEY__GCM_TAG_BYTES)

/* What both sides must agree on; either may be empty. */
typedef struct covey__hpke_context {
    const void *info;
    size_t info_size;
    const void *aad;
    size_t aad_size;
} covey__hpke_context;

/* `sealed` gets size + COVEY__HPKE_EXTRA_BYTES bytes. MISMATCH when the peer's key is none. */
covey_status covey__hpke_seal(const covey__env *env, const uint8_t peer[32],
                              const covey__hpke_context *context, const void *plain, size_t size,
                              void *sealed, covey_error *error) COVEY_MUST_USE;
/* `plain` gets sealed_size - COVEY__HPKE_EXTRA_BYTES bytes. MISMATCH when it was not sealed to this
 * key in this context. */
covey_status covey__hpke_open(const covey__env *env, const uint8_t private_key[32],
                              const covey__hpke_context *context, const void *sealed,
                              size_t sealed_size, void *plain, covey_error *error) COVEY_MUST_USE;

/* For tests, which compare with the RFC's numbers: sealing with a given ephemeral key, and the two
 * halves of setting up. `aead_id` 1 has keys of 16 bytes, 2 of 32. */
covey_status covey__hpke_seal_with(const covey__env *env, const uint8_t ephemeral[32],
                                   const uint8_t peer[32], const covey__hpke_context *context,
                                   const void *plain, size_t size, void *sealed,
                                   covey_error *error) COVEY_MUST_USE;
covey_status covey__hpke_shared(const covey__env *env, const uint8_t private_key[32],
                                const uint8_t peer[32], const uint8_t encapsulated[32],
                                const uint8_t receiver[32], uint8_t shared[32],
                                covey_error *error) COVEY_MUST_USE;
void covey__hpke_schedule(const uint8_t shared[32], uint16_t aead_id, const void *info,
                          size_t info_size, covey__gcm *gcm);

#endif
