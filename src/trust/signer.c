/* Signers. The table is small so that a maker is: a key in memory here, a program in
 * fleet/signer_program.h. Invariant: what covey__signer_sign gives out holds under the signer's own
 * public key; a broken or wrong token shows here and not on a device. */
#include "trust/signer.h"

#include "base/error.h"

#include <string.h>

covey_status covey__signer_begin(const covey__env *env, covey_key_scheme scheme, const void *bytes,
                                 size_t size, covey__signer *signer, covey_error *error) {
    memset(signer, 0, sizeof *signer);
    signer->env = env;
    covey__arena_init(&signer->arena, env, 64u << 10);
    covey_status status =
        covey__public_key_make(&signer->arena, scheme, bytes, size, &signer->key, error);
    if (status != COVEY_OK) covey__signer_close(signer);
    return status;
}

typedef struct memory_key {
    const covey__env *env;
    covey__key key;
} memory_key;

static covey_status sign_in_memory(void *user, const void *bytes, size_t size,
                                   covey__buffer *signature, covey_error *error) {
    memory_key *with = user;
    uint8_t made[64];
    covey_status status = covey__sign_bytes(with->env, bytes, size, &with->key, made, error);
    if (status == COVEY_OK) covey__buffer_append(signature, made, sizeof made);
    return status;
}

static void close_memory(void *user) {
    memory_key *with = user;
    covey__key_wipe(&with->key);
    covey__free(with->env, with);
}

covey_status covey__signer_of_key(const covey__env *env, const covey__key *key,
                                  covey__signer *signer, covey_error *error) {
    covey_status status =
        covey__signer_begin(env, COVEY_KEY_ED25519, key->public_key, 32, signer, error);
    if (status != COVEY_OK) return status;
    memory_key *with = covey__alloc(env, sizeof *with);
    if (with == NULL) {
        covey__signer_close(signer);
        return covey__no_memory(error, "trust: a signer", sizeof *with);
    }
    with->env = env;
    with->key = *key;
    signer->user = with;
    signer->sign = sign_in_memory;
    signer->close = close_memory;
    return COVEY_OK;
}

covey_status covey__signer_of_file(const covey__env *env, const char *path,
                                   const covey__passphrase *passphrase, covey__signer *signer,
                                   covey_error *error) {
    covey__key key;
    covey_status status = covey__key_open(env, path, passphrase, &key, error);
    if (status != COVEY_OK) return status;
    status = covey__signer_of_key(env, &key, signer, error);
    covey__key_wipe(&key);
    return status;
}

covey_status covey__signer_sign(const covey__signer *signer, const void *bytes, size_t size,
                                covey__buffer *signature, covey_error *error) {
    covey__buffer made;
    covey__buffer_init(&made, signer->env, COVEY__SIGNATURE_SIZE_MAX);
    covey_status status = signer->sign(signer->user, bytes, size, &made, error);
    if (status == COVEY_OK) status = covey__buffer_check(&made, error, "trust: a signature");
    if (status == COVEY_OK) {
        status = covey__public_key_verify(signer->env, &signer->key, bytes, size, made.data,
                                          made.size, error);
        if (status != COVEY_OK)
            covey__prefix(error, status, "trust: the signer of key %.16s… signed wrongly",
                          signer->key.id);
    }
    if (status == COVEY_OK) {
        covey__buffer_append(signature, made.data, made.size);
        status = covey__buffer_check(signature, error, "trust: a signature");
    }
    covey__buffer_free(&made);
    return status;
}

void covey__signer_close(covey__signer *signer) {
    if (signer->close != NULL) signer->close(signer->user);
    if (signer->env != NULL) covey__arena_free(&signer->arena);
    memset(signer, 0, sizeof *signer);
}
