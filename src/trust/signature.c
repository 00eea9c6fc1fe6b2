/* Signature documents (docs/formats/release.md, "Signature"). The document is only a carrier: what
 * it claims (a digest, a key) is believed for messages and for choosing, never for trust. Invariant
 * of covey__signature_check: COVEY_OK only after the crypto table verified a signature over these
 * bytes, in this domain, with a key out of `trusted`. */
#include "trust/signature.h"

#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"

#include <string.h>

covey_status covey__trusted_add(covey__trusted_keys *trusted, const char *hex, covey_error *error) {
    uint8_t key[32];
    if (!covey__unhex(hex, strlen(hex), key, sizeof key))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "trust: a release key is 64 hex digits, not %zu characters",
                           strlen(hex));
    for (size_t i = 0; i < trusted->key_count; i++)
        if (memcmp(trusted->keys[i], key, sizeof key) == 0) return COVEY_OK;
    if (trusted->key_count >= COVEY__TRUSTED_KEY_COUNT_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__TRUSTED_KEY_COUNT_MAX,
                                 COVEY__TRUSTED_KEY_COUNT_MAX + 1,
                                 "trust: at most %d release keys are trusted at once",
                                 COVEY__TRUSTED_KEY_COUNT_MAX);
    memcpy(trusted->keys[trusted->key_count++], key, sizeof key);
    return COVEY_OK;
}

covey_status covey__signature_make(const covey__env *env, const char *domain, const void *data,
                                   size_t size, const covey__key *keys, size_t key_count,
                                   covey__buffer *out, covey_error *error) {
    if (key_count == 0 || key_count > COVEY__SIGNATURE_COUNT_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "trust: 1 to %d keys can sign, not %zu", COVEY__SIGNATURE_COUNT_MAX,
                           key_count);
    uint8_t digest[32], signature[64];
    char hex[129];
    covey__json_writer writer;
    covey__json_writer_init(&writer, out, false);
    covey__sha256_of(data, size, digest);
    covey__hex(digest, 32, hex);
    covey__json_begin_object(&writer);
    covey__json_member_i64(&writer, "format", 1);
    covey__json_member_string(&writer, "domain", domain);
    covey__json_member_string(&writer, "sha256", hex);
    covey__json_name(&writer, "signatures");
    covey__json_begin_array(&writer);
    for (size_t i = 0; i < key_count; i++) {
        covey_status status = covey__sign(env, domain, data, size, &keys[i], signature, error);
        if (status != COVEY_OK) return status;
        covey__json_begin_object(&writer);
        covey__json_member_string(&writer, "algorithm", "ed25519");
        covey__hex(keys[i].public_key, 32, hex);
        covey__json_member_string(&writer, "key", hex);
        covey__hex(signature, 64, hex);
        covey__json_member_string(&writer, "signature", hex);
        covey__json_end_object(&writer);
    }
    covey__json_end_array(&writer);
    covey__json_end_object(&writer);
    return covey__buffer_check(out, error, "trust: signature document");
}

static const uint8_t *find_trusted(const covey__trusted_keys *trusted, const uint8_t key[32]) {
    for (size_t i = 0; i < trusted->key_count; i++)
        if (memcmp(trusted->keys[i], key, 32) == 0) return trusted->keys[i];
    return NULL;
}

/* The document's frame: format, domain, the digest it claims, the list of signatures. */
static covey_status parse_frame(covey__arena *arena, const char *domain, const char *document,
                                size_t document_size, uint8_t claimed[32],
                                const covey__json **signatures, covey_error *error) {
    const covey__json *root;
    const char *said_domain, *digest;
    int64_t format;
    covey__json_limits limits = {COVEY__SIGNATURE_BYTES_MAX, 8, 512};
    covey_status status = covey__json_parse(arena, document, document_size, limits, &root, error);
    if (status == COVEY_OK)
        status = covey__json_i64(root, "format", "format", 1, 1, &format, error);
    if (status == COVEY_OK)
        status = covey__json_string(root, "domain", "domain", &said_domain, error);
    if (status == COVEY_OK) status = covey__json_string(root, "sha256", "sha256", &digest, error);
    if (status == COVEY_OK)
        status = covey__json_member(root, "signatures", "signatures", COVEY__JSON_ARRAY, signatures,
                                    error);
    if (status != COVEY_OK) return status;
    if (strcmp(said_domain, domain) != 0)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "domain: this signs another kind of document; %s expected", domain);
    if (!covey__unhex(digest, strlen(digest), claimed, 32))
        return covey__fail(error, COVEY_ERROR_FORMAT, "sha256: 64 hex digits expected");
    if ((*signatures)->size == 0 || (*signatures)->size > COVEY__SIGNATURE_COUNT_MAX)
        return covey__fail(error, COVEY_ERROR_FORMAT, "signatures: 1 to %d expected, %zu found",
                           COVEY__SIGNATURE_COUNT_MAX, (*signatures)->size);
    return COVEY_OK;
}

/* One signature entry. `known` is false when it is to be skipped: another algorithm, another key.
 */
static covey_status parse_entry(const covey__json *entry, const covey__trusted_keys *trusted,
                                bool *known, uint8_t key[32], uint8_t signature[64],
                                covey_error *error) {
    const char *algorithm, *key_hex, *signature_hex;
    *known = false;
    covey_status status =
        covey__json_string(entry, "algorithm", "signatures[].algorithm", &algorithm, error);
    if (status != COVEY_OK || strcmp(algorithm, "ed25519") != 0) return status;
    status = covey__json_string(entry, "key", "signatures[].key", &key_hex, error);
    if (status == COVEY_OK)
        status =
            covey__json_string(entry, "signature", "signatures[].signature", &signature_hex, error);
    if (status != COVEY_OK) return status;
    if (!covey__unhex(key_hex, strlen(key_hex), key, 32))
        return covey__fail(error, COVEY_ERROR_FORMAT, "signatures[].key: 64 hex digits expected");
    if (!covey__unhex(signature_hex, strlen(signature_hex), signature, 64))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "signatures[].signature: 128 hex digits expected");
    *known = find_trusted(trusted, key) != NULL;
    return COVEY_OK;
}

static covey_status check_all(const covey__env *env, const char *domain, const void *data,
                              size_t size, const covey__json *signatures,
                              const covey__trusted_keys *trusted, uint8_t signer[32],
                              covey_error *error) {
    bool good = false;
    for (const covey__json *entry = signatures->child; entry != NULL; entry = entry->next) {
        uint8_t key[32], signature[64];
        bool known;
        covey_status status = parse_entry(entry, trusted, &known, key, signature, error);
        if (status != COVEY_OK) return status;
        if (!known) continue;
        status = covey__verify(env, domain, data, size, key, signature, error);
        if (status != COVEY_OK) return status;
        if (!good && signer != NULL) memcpy(signer, key, 32);
        good = true;
    }
    if (good) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_DENIED,
                       "no key that this device trusts (%zu) signed it; enroll again if the "
                       "publisher changed its key",
                       trusted->key_count);
}

covey_status covey__signature_check(const covey__env *env, const char *domain, const void *data,
                                    size_t size, const char *document, size_t document_size,
                                    const covey__trusted_keys *trusted, uint8_t signer[32],
                                    covey_error *error) {
    covey__arena arena;
    const covey__json *signatures = NULL;
    uint8_t claimed[32], digest[32];
    covey__arena_init(&arena, env, 1u << 20);
    covey_status status =
        parse_frame(&arena, domain, document, document_size, claimed, &signatures, error);
    if (status != COVEY_OK) goto out;
    covey__sha256_of(data, size, digest);
    if (memcmp(claimed, digest, 32) != 0) {
        char want[65], found[65];
        covey__hex(claimed, 32, want);
        covey__hex(digest, 32, found);
        status =
            covey__fail(error, COVEY_ERROR_MISMATCH,
                        "it is over other bytes: SHA-256 %.16s… signed, %.16s… here", want, found);
        goto out;
    }
    status = check_all(env, domain, data, size, signatures, trusted, signer, error);
out:
    covey__arena_free(&arena);
    if (status != COVEY_OK) return covey__prefix(error, status, "trust: signature");
    return COVEY_OK;
}
