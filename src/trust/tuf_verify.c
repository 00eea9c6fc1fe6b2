/* What is asked of metadata that was read: who signed it, whether keys changed, what a snapshot
 * says of a file. A threshold counts keys, not ids and not signatures. Neighbours: tuf_document.c,
 * tuf_client.c. */
#include "base/error.h"
#include "base/sha256.h"
#include "trust/sha512.h"
#include "trust/tuf_document.h"

#include <inttypes.h>
#include <string.h>

static const covey__tuf_signature *signature_by(const covey__tuf_document *document,
                                                const char *key_id) {
    for (size_t i = 0; i < document->signature_count; i++) {
        if (strcmp(document->signatures[i].name, key_id) == 0) return document->signatures + i;
    }
    return NULL;
}

/* Whether an earlier key of the role that signed is this one under another id. */
static bool counted(const covey__tuf_role *role, const bool *good, size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (good[i] && memcmp(role->keys[i]->key.fingerprint, role->keys[index]->key.fingerprint,
                              sizeof role->keys[i]->key.fingerprint) == 0)
            return true;
    }
    return false;
}

covey_status covey__tuf_verify(const covey__env *env, const covey__tuf_document *document,
                               const covey__tuf_role *role, covey_error *error) {
    bool good[COVEY__TUF_ROLE_KEY_COUNT_MAX] = {false};
    int64_t count = 0;
    for (size_t i = 0; i < role->key_count && count < role->threshold; i++) {
        const covey__tuf_signature *signature = signature_by(document, role->key_ids[i]);
        if (signature == NULL || signature->bytes == NULL) continue;
        if (role->keys[i] == NULL || role->keys[i]->key.scheme == COVEY__KEY_UNKNOWN) continue;
        if (counted(role, good, i)) continue;
        covey_status status = covey__public_key_verify(
            env, &role->keys[i]->key, document->canonical, document->canonical_size,
            signature->bytes, signature->size, error);
        if (status == COVEY_ERROR_NO_MEMORY) return status;
        good[i] = status == COVEY_OK;
        count += good[i];
    }
    if (count >= role->threshold) return COVEY_OK;
    return covey__fail_sizes(error, COVEY_ERROR_SIGNATURE, role->threshold, count,
                             "expected good signatures by %" PRId64 " of %zu keys, found %" PRId64,
                             role->threshold, role->key_count, count);
}

static bool has_key(const covey__tuf_role *role, size_t index, const covey__tuf_role *other) {
    const covey__tuf_key *key = role->keys[index];
    for (size_t i = 0; i < other->key_count; i++) {
        const covey__tuf_key *found = other->keys[i];
        if (key == NULL || key->key.scheme == COVEY__KEY_UNKNOWN || found == NULL) {
            if (strcmp(role->key_ids[index], other->key_ids[i]) == 0) return true;
        } else if (memcmp(key->key.fingerprint, found->key.fingerprint,
                          sizeof key->key.fingerprint) == 0) {
            return true;
        }
    }
    return false;
}

bool covey__tuf_rotated(const covey__tuf_role *before, const covey__tuf_role *after) {
    for (size_t i = 0; i < before->key_count; i++) {
        if (!has_key(before, i, after)) return true;
    }
    return false;
}

const covey__tuf_file *covey__tuf_file_find(const covey__tuf_document *document, const char *name) {
    return covey__tuf_lookup(document->files, document->file_count, name);
}

const covey__tuf_entry *covey__tuf_entry_find(const covey__tuf_document *document,
                                              const char *name) {
    return covey__tuf_lookup(document->targets, document->target_count, name);
}

bool covey__tuf_hashes_known(const covey__tuf_hashes *hashes) {
    return hashes->has_sha256 || hashes->sha512 != NULL;
}

static covey_status check_hash(const char *name, const uint8_t *expected, const uint8_t *found,
                               size_t size, covey_error *error) {
    char one[129], two[129];
    if (memcmp(expected, found, size) == 0) return COVEY_OK;
    covey__hex(expected, size, one);
    covey__hex(found, size, two);
    return covey__fail(error, COVEY_ERROR_MISMATCH, "expected %s %s, found %s", name, one, two);
}

covey_status covey__tuf_hashes_check(const covey__tuf_hashes *hashes, const uint8_t sha256[32],
                                     const uint8_t sha512[64], covey_error *error) {
    covey_status status = COVEY_OK;
    if (hashes->has_sha256) status = check_hash("SHA-256", hashes->sha256, sha256, 32, error);
    if (status == COVEY_OK && hashes->sha512 != NULL)
        status = check_hash("SHA-512", hashes->sha512, sha512, 64, error);
    return status;
}

covey_status covey__tuf_file_check(const covey__tuf_file *file, const void *data, size_t size,
                                   covey_error *error) {
    uint8_t sha256[32], sha512[64];
    if (file->length >= 0 && (uint64_t)file->length != size)
        return covey__fail_sizes(error, COVEY_ERROR_MISMATCH, file->length, (int64_t)size,
                                 "expected %" PRId64 " bytes, found %zu", file->length, size);
    if (!file->hashes.given) return COVEY_OK;
    if (!covey__tuf_hashes_known(&file->hashes))
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "none of its hashes is known here; expected a SHA-256 too");
    if (file->hashes.has_sha256) covey__sha256_of(data, size, sha256);
    if (file->hashes.sha512 != NULL) covey__sha512_of(data, size, sha512);
    return covey__tuf_hashes_check(&file->hashes, sha256, sha512, error);
}
