/* Signature documents: small JSON beside the bytes that they sign (docs/formats/release.md), and
 * the set of keys that a device trusts. */
#ifndef COVEY_TRUST_SIGNATURE_H
#define COVEY_TRUST_SIGNATURE_H

#include "base/buffer.h"
#include "trust/crypto.h"

#define COVEY__SIGNATURE_BYTES_MAX   (64u << 10)
#define COVEY__SIGNATURE_COUNT_MAX   16
#define COVEY__TRUSTED_KEY_COUNT_MAX 16

typedef struct covey__trusted_keys {
    uint8_t keys[COVEY__TRUSTED_KEY_COUNT_MAX][32];
    size_t key_count;
} covey__trusted_keys;

/* Adds a public key in hex; LIMIT when full, FORMAT when it is no key. A key twice counts once. */
covey_status covey__trusted_add(covey__trusted_keys *trusted, const char *hex,
                                covey_error *error) COVEY_MUST_USE;

/* Appends the document with one signature by each key. */
covey_status covey__signature_make(const covey__env *env, const char *domain, const void *data,
                                   size_t size, const covey__key *keys, size_t key_count,
                                   covey__buffer *out, covey_error *error) COVEY_MUST_USE;

/* OK when at least one signature by a trusted key is right; `signer` (may be NULL) gets that key.
 * MISMATCH when a trusted key's signature is wrong or the digest differs, DENIED when no trusted
 * key signed, FORMAT when the document is malformed. */
covey_status covey__signature_check(const covey__env *env, const char *domain, const void *data,
                                    size_t size, const char *document, size_t document_size,
                                    const covey__trusted_keys *trusted, uint8_t signer[32],
                                    covey_error *error) COVEY_MUST_USE;

#endif
