/* Public keys as TUF metadata holds them: {"keytype", "scheme", "keyval": {"public"}}. */
#ifndef COVEY_TRUST_PUBLIC_KEY_H
#define COVEY_TRUST_PUBLIC_KEY_H

#include "base/json.h"
#include "trust/crypto.h"
#include "trust/key_encoding.h"

#define COVEY__KEY_UNKNOWN ((covey_key_scheme)0)

typedef struct covey__public_key {
    covey_key_scheme scheme; /* COVEY__KEY_UNKNOWN: it can verify nothing here */
    const uint8_t *bytes;    /* as the crypto table takes them; NULL when not known */
    size_t size;
    /* SHA-256 of the bytes: equal for one key, whatever ids and schemes it goes by. Thresholds
     * count these. Zeros when not known. */
    uint8_t fingerprint[32];
    char id[65]; /* SHA-256 of the object's canonical form, in hex: its usual key id */
} covey__public_key;

/* Reads a key object. A keytype, scheme or value that is not known or not right here gives an
 * unknown key and COVEY_OK: a role may have keys for others. FORMAT only for what is no key object
 * at all (keytype or scheme no string, keyval no object). Bytes and nothing else are the arena's.
 *
 * Known are ed25519/ed25519 (hex or PEM), ecdsa or ecdsa-sha2-nistp256/ecdsa-sha2-nistp256 (PEM, or
 * the whole point in hex) and rsa with rsassa-pss-sha256 or rsa-pkcs1v15-sha256 (PEM). */
covey_status covey__public_key_read(covey__arena *arena, const covey__json *object,
                                    covey__public_key *key, covey_error *error) COVEY_MUST_USE;

/* A known key from bytes as the crypto table takes them, copied into the arena. FORMAT when they
 * are none of that scheme. */
covey_status covey__public_key_make(covey__arena *arena, covey_key_scheme scheme, const void *bytes,
                                    size_t size, covey__public_key *key,
                                    covey_error *error) COVEY_MUST_USE;

/* Writes a known key's object; of its text the id of covey__public_key_make is made. */
void covey__public_key_write(covey__json_writer *writer, const covey__public_key *key);

/* MISMATCH when the signature is not the key's over these bytes; UNSUPPORTED when the key is not
 * known, or the crypto table lacks its scheme. */
covey_status covey__public_key_verify(const covey__env *env, const covey__public_key *key,
                                      const void *message, size_t message_size,
                                      const void *signature, size_t signature_size,
                                      covey_error *error) COVEY_MUST_USE;

#endif
