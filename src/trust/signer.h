/* A signer: a public key and something that signs with its private half, which may be a key in
 * memory, an external program, or a system's keystore. */
#ifndef COVEY_TRUST_SIGNER_H
#define COVEY_TRUST_SIGNER_H

#include "base/buffer.h"
#include "trust/key_file.h"
#include "trust/public_key.h"

/* The longest signature of any scheme: RSA with 8192 bits. */
#define COVEY__SIGNATURE_SIZE_MAX 1024u

typedef struct covey__signer {
    const covey__env *env;
    covey__public_key key;
    covey__arena arena; /* holds the key's bytes */
    /* The maker's. `sign` appends the raw signature over these bytes; `close` (may be NULL) wipes
     * and releases `user`. */
    covey_status (*sign)(void *user, const void *bytes, size_t size, covey__buffer *signature,
                         covey_error *error);
    void (*close)(void *user);
    void *user;
} covey__signer;

/* Makes of a key in memory, which is copied; of a key file (covey__key_open). Closed by the caller
 * once they succeeded. */
covey_status covey__signer_of_key(const covey__env *env, const covey__key *key,
                                  covey__signer *signer, covey_error *error) COVEY_MUST_USE;
covey_status covey__signer_of_file(const covey__env *env, const char *path,
                                   const covey__passphrase *passphrase, covey__signer *signer,
                                   covey_error *error) COVEY_MUST_USE;

/* For other makers: env, arena and a copy of the public key; `sign`, `close` and `user` are NULL.
 */
covey_status covey__signer_begin(const covey__env *env, covey_key_scheme scheme, const void *bytes,
                                 size_t size, covey__signer *signer,
                                 covey_error *error) COVEY_MUST_USE;

/* Appends the raw signature, once it was verified with the public key: what a token or a program
 * gave back is never believed. MISMATCH when it does not hold. */
covey_status covey__signer_sign(const covey__signer *signer, const void *bytes, size_t size,
                                covey__buffer *signature, covey_error *error) COVEY_MUST_USE;
/* Harmless on one that was closed or zeroed. */
void covey__signer_close(covey__signer *signer);

#endif
