/* Signing and checking through the environment's crypto table. This file adds what every use needs:
 * the domain before the bytes, a clear error when an app brought no table, and keys that are wiped.
 * Who may sign what is decided above (trust/signature.h). */
#include "trust/crypto.h"

#include "base/error.h"

#include <string.h>

static covey_status need_crypto(const covey__env *env, covey_error *error) {
    if (env->crypto != NULL) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "trust: this runtime has no crypto table: open it with "
                       "covey_runtime_open or set covey_runtime_options.crypto");
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

/* DOMAIN NUL BYTES in new memory: Ed25519 reads its message twice, so it must stand in one piece.
 */
static covey_status frame(const covey__env *env, const char *domain, const void *data, size_t size,
                          uint8_t **message, size_t *message_size, covey_error *error) {
    size_t domain_size = strlen(domain) + 1, total;
    if (!covey__add_size(domain_size, size, &total))
        return covey__fail(error, COVEY_ERROR_LIMIT, "trust: %zu bytes are too many to sign", size);
    uint8_t *out = covey__alloc(env, total);
    if (out == NULL) return covey__no_memory(error, "trust: a signed message", total);
    memcpy(out, domain, domain_size);
    if (size != 0) memcpy(out + domain_size, data, size);
    *message = out;
    *message_size = total;
    return COVEY_OK;
}

covey_status covey__sign(const covey__env *env, const char *domain, const void *data, size_t size,
                         const covey__key *key, uint8_t signature[64], covey_error *error) {
    uint8_t *message = NULL;
    size_t message_size = 0;
    covey_status status = need_crypto(env, error);
    if (status == COVEY_OK) status = frame(env, domain, data, size, &message, &message_size, error);
    if (status != COVEY_OK) return status;
    status =
        env->crypto->ed25519_sign(env->crypto->user, key->seed, message, message_size, signature);
    covey__free(env, message);
    if (status != COVEY_OK) return covey__fail(error, status, "trust: signing %s failed", domain);
    return COVEY_OK;
}

covey_status covey__verify(const covey__env *env, const char *domain, const void *data, size_t size,
                           const uint8_t public_key[32], const uint8_t signature[64],
                           covey_error *error) {
    uint8_t *message = NULL;
    size_t message_size = 0;
    covey_status status = need_crypto(env, error);
    if (status == COVEY_OK) status = frame(env, domain, data, size, &message, &message_size, error);
    if (status != COVEY_OK) return status;
    status = env->crypto->ed25519_verify(env->crypto->user, public_key, message, message_size,
                                         signature);
    covey__free(env, message);
    if (status != COVEY_OK)
        return covey__fail(error, status, "trust: the signature over %s does not hold", domain);
    return COVEY_OK;
}
