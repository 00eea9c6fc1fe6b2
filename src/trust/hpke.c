/* HPKE, RFC 9180, for one message to a known key; sections are named where their formulas stand.
 * The names in the labels are the RFC's. Secrets are wiped. Neighbours: trust/hkdf.h,
 * trust/crypto.h. */
#include "trust/hpke.h"

#include "base/error.h"
#include "trust/hkdf.h"

#include <string.h>

#define KEM_X25519_HKDF_SHA256 0x0020
#define KDF_HKDF_SHA256        0x0001
#define AEAD_AES_128_GCM       0x0001
#define AEAD_AES_256_GCM       0x0002

typedef struct suite_id {
    uint8_t bytes[10];
    size_t size;
} suite_id;

/* Section 4.1. */
static suite_id kem_suite(void) {
    return (suite_id){{'K', 'E', 'M', 0, KEM_X25519_HKDF_SHA256}, 5};
}

/* Section 5.1. */
static suite_id hpke_suite(uint16_t aead_id) {
    return (suite_id){{'H', 'P', 'K', 'E', 0, KEM_X25519_HKDF_SHA256, 0, KDF_HKDF_SHA256,
                       (uint8_t)(aead_id >> 8), (uint8_t)aead_id},
                      10};
}

/* Section 4: Extract(salt, "HPKE-v1" || suite_id || label || ikm). */
static void labeled_extract(const suite_id *suite, const uint8_t *salt, size_t salt_size,
                            const char *label, const void *ikm, size_t ikm_size, uint8_t prk[32]) {
    covey__hmac hmac;
    covey__hmac_init(&hmac, salt, salt_size);
    covey__hmac_update(&hmac, "HPKE-v1", 7);
    covey__hmac_update(&hmac, suite->bytes, suite->size);
    covey__hmac_update(&hmac, label, strlen(label));
    covey__hmac_update(&hmac, ikm, ikm_size);
    covey__hmac_final(&hmac, prk);
}

/* Section 4: Expand(prk, I2OSP(L, 2) || "HPKE-v1" || suite_id || label || info, L); info has 65
 * bytes at most here. */
static void labeled_expand(const suite_id *suite, const uint8_t prk[32], const char *label,
                           const uint8_t *info, size_t info_size, uint8_t *out, size_t out_size) {
    uint8_t labeled[2 + 7 + sizeof suite->bytes + 16 + 65];
    size_t used = 0, label_size = strlen(label);
    labeled[used++] = (uint8_t)(out_size >> 8);
    labeled[used++] = (uint8_t)out_size;
    memcpy(labeled + used, "HPKE-v1", 7);
    used += 7;
    memcpy(labeled + used, suite->bytes, suite->size);
    used += suite->size;
    memcpy(labeled + used, label, label_size);
    used += label_size;
    memcpy(labeled + used, info, info_size);
    used += info_size;
    covey__hkdf_expand(prk, labeled, used, out, out_size);
}

/* Section 4.1, ExtractAndExpand over DH(private_key, peer) and kem_context = enc || pkRm. */
covey_status covey__hpke_shared(const covey__env *env, const uint8_t private_key[32],
                                const uint8_t peer[32], const uint8_t encapsulated[32],
                                const uint8_t receiver[32], uint8_t shared[32],
                                covey_error *error) {
    suite_id suite = kem_suite();
    uint8_t agreed[32], prk[32], kem_context[64];
    covey_status status = covey__x25519(env, private_key, peer, agreed, error);
    if (status != COVEY_OK) return status;
    memcpy(kem_context, encapsulated, 32);
    memcpy(kem_context + 32, receiver, 32);
    labeled_extract(&suite, NULL, 0, "eae_prk", agreed, sizeof agreed, prk);
    labeled_expand(&suite, prk, "shared_secret", kem_context, sizeof kem_context, shared, 32);
    explicit_bzero(agreed, sizeof agreed);
    explicit_bzero(prk, sizeof prk);
    return COVEY_OK;
}

/* Section 5.1, KeySchedule with mode_base, no PSK; the nonce of message 0 is base_nonce itself. */
void covey__hpke_schedule(const uint8_t shared[32], uint16_t aead_id, const void *info,
                          size_t info_size, covey__gcm *gcm) {
    suite_id suite = hpke_suite(aead_id);
    uint8_t context[65] = {0}, secret[32]; /* mode || psk_id_hash || info_hash */
    labeled_extract(&suite, NULL, 0, "psk_id_hash", NULL, 0, context + 1);
    labeled_extract(&suite, NULL, 0, "info_hash", info, info_size, context + 33);
    labeled_extract(&suite, shared, 32, "secret", NULL, 0, secret);
    memset(gcm, 0, sizeof *gcm);
    labeled_expand(&suite, secret, "key", context, sizeof context, gcm->key,
                   aead_id == AEAD_AES_128_GCM ? 16 : 32);
    labeled_expand(&suite, secret, "base_nonce", context, sizeof context, gcm->nonce, 12);
    explicit_bzero(secret, sizeof secret);
}

covey_status covey__hpke_seal_with(const covey__env *env, const uint8_t ephemeral[32],
                                   const uint8_t peer[32], const covey__hpke_context *context,
                                   const void *plain, size_t size, void *sealed,
                                   covey_error *error) {
    uint8_t *out = sealed, shared[32];
    covey__gcm gcm;
    covey_status status = covey__x25519_public(env, ephemeral, out, error);
    if (status == COVEY_OK)
        status = covey__hpke_shared(env, ephemeral, peer, out, peer, shared, error);
    if (status != COVEY_OK) return status;
    covey__hpke_schedule(shared, AEAD_AES_256_GCM, context->info, context->info_size, &gcm);
    status =
        covey__gcm_seal(env, &gcm, context->aad, context->aad_size, plain, size, out + 32, error);
    explicit_bzero(shared, sizeof shared);
    explicit_bzero(&gcm, sizeof gcm);
    return status;
}

covey_status covey__hpke_seal(const covey__env *env, const uint8_t peer[32],
                              const covey__hpke_context *context, const void *plain, size_t size,
                              void *sealed, covey_error *error) {
    uint8_t ephemeral[32];
    covey_status status = covey__random(env, ephemeral, sizeof ephemeral, error);
    if (status == COVEY_OK)
        status = covey__hpke_seal_with(env, ephemeral, peer, context, plain, size, sealed, error);
    explicit_bzero(ephemeral, sizeof ephemeral);
    return status;
}

covey_status covey__hpke_open(const covey__env *env, const uint8_t private_key[32],
                              const covey__hpke_context *context, const void *sealed,
                              size_t sealed_size, void *plain, covey_error *error) {
    const uint8_t *in = sealed;
    uint8_t receiver[32], shared[32];
    covey__gcm gcm;
    if (sealed_size < COVEY__HPKE_EXTRA_BYTES)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "trust: %zu bytes are too few for something sealed", sealed_size);
    covey_status status = covey__x25519_public(env, private_key, receiver, error);
    if (status == COVEY_OK)
        status = covey__hpke_shared(env, private_key, in, in, receiver, shared, error);
    if (status != COVEY_OK) return status;
    covey__hpke_schedule(shared, AEAD_AES_256_GCM, context->info, context->info_size, &gcm);
    status = covey__gcm_open(env, &gcm, context->aad, context->aad_size, in + 32, sealed_size - 32,
                             plain, error);
    explicit_bzero(shared, sizeof shared);
    explicit_bzero(&gcm, sizeof gcm);
    return status;
}
