/* Signing and checking through the environment's crypto table. This file adds what every use needs:
 * the domain before the bytes, a clear error when an app brought no table, and keys that are wiped.
 * Who may sign what is decided above (trust/tuf_client.h). */
#include "trust/crypto.h"

#include "base/error.h"

#include <stddef.h>
#include <string.h>

/* Whether a table holds that entry: tables of older callers are smaller. */
#define HAS(table, entry)                                                                          \
    ((table)->size >= offsetof(covey_crypto, entry) + sizeof(table)->entry &&                      \
     (table)->entry != NULL)

static covey_status need_crypto(const covey__env *env, covey_error *error) {
    if (env->crypto != NULL) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "trust: this runtime has no crypto table: open it with "
                       "covey_runtime_open or set covey_runtime_options.crypto");
}

static covey_status fail_missing(covey_error *error, const char *what) {
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "trust: this app's crypto table has no %s: set it in "
                       "covey_runtime_options.crypto, or leave that NULL",
                       what);
}

covey_status covey__key_from_seed(const covey__env *env, const uint8_t seed[32], covey__key *key,
                                  covey_error *error) {
    covey_status status = need_crypto(env, error);
    if (status != COVEY_OK) return status;
    covey__key made;
    memcpy(made.seed, seed, 32);
    status = env->crypto->ed25519_public(env->crypto->user, made.seed, made.public_key);
    if (status == COVEY_OK) {
        *key = made;
    } else {
        status = covey__fail(error, status, "trust: no public key can be made of this seed");
    }
    covey__key_wipe(&made);
    return status;
}

covey_status covey__key_make(const covey__env *env, covey__key *key, covey_error *error) {
    covey_status status = need_crypto(env, error);
    if (status != COVEY_OK) return status;
    uint8_t seed[32];
    status = env->crypto->random(env->crypto->user, seed, sizeof seed);
    if (status != COVEY_OK)
        return covey__fail(error, status, "trust: the system gave no random bytes for a key");
    status = covey__key_from_seed(env, seed, key, error);
    explicit_bzero(seed, sizeof seed);
    return status;
}

void covey__key_wipe(covey__key *key) {
    explicit_bzero(key, sizeof *key);
}

covey_status covey__sign_bytes(const covey__env *env, const void *data, size_t size,
                               const covey__key *key, uint8_t signature[64], covey_error *error) {
    covey_status status = need_crypto(env, error);
    if (status != COVEY_OK) return status;
    status = env->crypto->ed25519_sign(env->crypto->user, key->seed, data, size, signature);
    if (status != COVEY_OK) return covey__fail(error, status, "trust: signing failed");
    return COVEY_OK;
}

static covey_status verify_any(const covey_crypto *crypto, covey_key_scheme scheme, const void *key,
                               size_t key_size, const void *message, size_t message_size,
                               const void *signature, size_t signature_size) {
    if (HAS(crypto, verify))
        return crypto->verify(crypto->user, scheme, key, key_size, message, message_size, signature,
                              signature_size);
    if (scheme != COVEY_KEY_ED25519) return COVEY_ERROR_UNSUPPORTED;
    if (key_size != 32) return COVEY_ERROR_FORMAT;
    if (signature_size != 64) return COVEY_ERROR_MISMATCH;
    return crypto->ed25519_verify(crypto->user, key, message, message_size, signature);
}

covey_status covey__verify_bytes(const covey__env *env, covey_key_scheme scheme, const void *key,
                                 size_t key_size, const void *message, size_t message_size,
                                 const void *signature, size_t signature_size, covey_error *error) {
    covey_status status = need_crypto(env, error);
    if (status != COVEY_OK) return status;
    status = verify_any(env->crypto, scheme, key, key_size, message, message_size, signature,
                        signature_size);
    if (status == COVEY_OK) return COVEY_OK;
    const char *why = status == COVEY_ERROR_MISMATCH      ? "the signature does not hold"
                      : status == COVEY_ERROR_FORMAT      ? "the public key is malformed"
                      : status == COVEY_ERROR_UNSUPPORTED ? "this app's crypto table does not know "
                                                            "the key's scheme"
                                                          : "the signature could not be checked";
    return covey__fail(error, status, "trust: %s", why);
}

covey_status covey__x25519(const covey__env *env, const uint8_t private_key[32],
                           const uint8_t peer[32], uint8_t shared[32], covey_error *error) {
    covey_status status = need_crypto(env, error);
    if (status != COVEY_OK) return status;
    if (!HAS(env->crypto, x25519)) return fail_missing(error, "x25519");
    status = env->crypto->x25519(env->crypto->user, private_key, peer, shared);
    if (status != COVEY_OK)
        return covey__fail(error, status, "trust: no secret can be shared with this X25519 key");
    return COVEY_OK;
}

covey_status covey__x25519_public(const covey__env *env, const uint8_t private_key[32],
                                  uint8_t public_key[32], covey_error *error) {
    static const uint8_t base[32] = {9};
    return covey__x25519(env, private_key, base, public_key, error);
}

covey_status covey__gcm_seal(const covey__env *env, const covey__gcm *gcm, const void *aad,
                             size_t aad_size, const void *plain, size_t size, void *sealed,
                             covey_error *error) {
    covey_status status = need_crypto(env, error);
    if (status != COVEY_OK) return status;
    if (!HAS(env->crypto, aes256_gcm_seal)) return fail_missing(error, "aes256_gcm_seal");
    status = env->crypto->aes256_gcm_seal(env->crypto->user, gcm->key, gcm->nonce, aad, aad_size,
                                          plain, size, sealed);
    if (status != COVEY_OK) return covey__fail(error, status, "trust: encryption failed");
    return COVEY_OK;
}

covey_status covey__gcm_open(const covey__env *env, const covey__gcm *gcm, const void *aad,
                             size_t aad_size, const void *sealed, size_t sealed_size, void *plain,
                             covey_error *error) {
    covey_status status = need_crypto(env, error);
    if (status != COVEY_OK) return status;
    if (!HAS(env->crypto, aes256_gcm_open)) return fail_missing(error, "aes256_gcm_open");
    status = sealed_size < COVEY__GCM_TAG_BYTES
                 ? COVEY_ERROR_MISMATCH
                 : env->crypto->aes256_gcm_open(env->crypto->user, gcm->key, gcm->nonce, aad,
                                                aad_size, sealed, sealed_size, plain);
    if (status == COVEY_OK) return COVEY_OK;
    if (sealed_size > COVEY__GCM_TAG_BYTES)
        explicit_bzero(plain, sealed_size - COVEY__GCM_TAG_BYTES);
    return covey__fail(error, status,
                       "trust: these bytes are not what was encrypted with this key");
}

covey_status covey__scrypt(const covey__env *env, const covey_scrypt *parameters, void *out,
                           size_t out_size, covey_error *error) {
    covey_status status = need_crypto(env, error);
    if (status != COVEY_OK) return status;
    if (!HAS(env->crypto, scrypt)) return fail_missing(error, "scrypt");
    status = env->crypto->scrypt(env->crypto->user, parameters, out, out_size);
    if (status == COVEY_ERROR_LIMIT)
        return covey__fail(error, status, "trust: scrypt would take more than %d MiB of memory",
                           (int)(COVEY_SCRYPT_MEMORY_MAX >> 20));
    if (status != COVEY_OK) return covey__fail(error, status, "trust: scrypt failed");
    return COVEY_OK;
}
