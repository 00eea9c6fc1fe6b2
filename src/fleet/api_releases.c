/* Release keys and releases (docs/api.md).
 *
 * Neighbours: release_check.c judges; fleet_server.c keeps the trusted keys and tells check-ins.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fleet/release_check.h"
#include "fleet/routes.h"

/* ---- keys --------------------------------------------------------------------------------- */

static covey_status write_key(void *user, const uint8_t key[32], int64_t added_ms) {
    covey__json_writer *w = user;
    char hex[65];
    covey__hex(key, 32, hex);
    covey__json_begin_object(w);
    covey__json_member_string(w, "key", hex);
    covey__json_member_i64(w, "added_ms", added_ms);
    covey__json_end_object(w);
    return COVEY_OK;
}

int covey__api_keys_list(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "release_keys");
    covey__json_begin_array(&w);
    covey_status status = store->driver->key_each(store, write_key, &w, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    return 200;
}

int covey__api_key_add(covey__exchange *x) {
    static const char *const members[] = {"key", NULL};
    covey_error error = {0};
    const covey__json *root;
    const char *hex;
    uint8_t key[32];
    bool was_known = false;
    int answer = covey__read_json(x, &root);
    if (answer != 0) return answer;
    covey_status status = covey__json_only(root, "", members, &error);
    if (status == COVEY_OK) status = covey__json_string(root, "key", "key", &hex, &error);
    if (status == COVEY_OK && !covey__unhex(hex, strlen(hex), key, 32)) {
        status = covey__fail(&error, COVEY_ERROR_FORMAT, "key: expected 64 hex digits");
    }
    if (status != COVEY_OK) return covey__bad_field(x, &error);
    status = covey__fleet_add_key(x->server, key, &was_known, &error);
    if (status == COVEY_ERROR_LIMIT) return covey__bad_field(x, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    (void)covey__buffer_text(&x->answer, "{}");
    return was_known ? 200 : 201;
}

/* ---- releases ----------------------------------------------------------------------------- */

static covey_status write_release(void *user, const covey__release_row *row) {
    covey__json_writer *w = user;
    char hex[65];
    covey__hex(row->digest, 32, hex);
    covey__json_begin_object(w);
    covey__json_member_string(w, "name", row->name);
    covey__json_member_string(w, "version", row->version);
    covey__json_member_string(w, "digest", hex);
    covey__json_member_i64(w, "size", row->size);
    covey__json_member_i64(w, "bytes", row->bytes);
    covey__json_member_i64(w, "published_ms", row->published_ms);
    covey__json_end_object(w);
    return COVEY_OK;
}

int covey__api_releases_list(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "releases");
    covey__json_begin_array(&w);
    covey_status status = store->driver->release_each(store, write_release, &w, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    return 200;
}

/* {"error":{…},"missing":{"count":…,"blobs":[…]}} */
static int answer_missing(covey__exchange *x, const covey__release_checked *checked) {
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "error");
    covey__json_begin_object(&w);
    covey__json_member_string(&w, "code", "missing_blobs");
    covey__json_member_string(&w, "message", checked->message);
    covey__json_end_object(&w);
    covey__json_name(&w, "missing");
    covey__json_begin_object(&w);
    covey__json_member_u64(&w, "count", checked->missing_count);
    covey__json_name(&w, "blobs");
    covey__json_begin_array(&w);
    for (size_t i = 0; i < checked->missing_count && i < COVEY__MISSING_SHOWN_MAX; i++) {
        char hex[65];
        covey__hex(checked->missing[i], 32, hex);
        covey__json_put_string(&w, hex);
    }
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    covey__json_end_object(&w);
    return 409;
}

static int answer_verdict(covey__exchange *x, const covey__release_checked *checked) {
    switch (checked->verdict) {
    case COVEY__RELEASE_GOOD:
        return 0;
    case COVEY__RELEASE_UNTRUSTED_KEY:
        return covey__answer_error(x, 403, "untrusted_key", "%s", checked->message);
    case COVEY__RELEASE_BAD_SIGNATURE:
        return covey__answer_error(x, 403, "bad_signature", "%s", checked->message);
    case COVEY__RELEASE_BAD_FORMAT:
        return covey__answer_error(x, 400, "bad_field", "signature: %s", checked->message);
    case COVEY__RELEASE_BAD:
        return covey__answer_error(x, 422, "bad_release", "%s", checked->message);
    case COVEY__RELEASE_MISSING_BLOBS:
        return answer_missing(x, checked);
    }
    return covey__answer_error(x, 500, "internal", "no verdict");
}

static int read_release_request(covey__exchange *x, uint8_t digest[32], covey__buffer *signature) {
    static const char *const members[] = {"digest", "signature", NULL};
    covey_error error = {0};
    const covey__json *root, *node;
    const char *hex;
    int answer = covey__read_json(x, &root);
    if (answer != 0) return answer;
    covey_status status = covey__json_only(root, "", members, &error);
    if (status == COVEY_OK) status = covey__json_string(root, "digest", "digest", &hex, &error);
    if (status == COVEY_OK && !covey__unhex(hex, strlen(hex), digest, 32)) {
        status = covey__fail(&error, COVEY_ERROR_FORMAT, "digest: expected 64 hex digits");
    }
    if (status == COVEY_OK && covey__json_get(root, "signature") == NULL) return 0;
    if (status == COVEY_OK) {
        status =
            covey__json_member(root, "signature", "signature", COVEY__JSON_OBJECT, &node, &error);
    }
    if (status != COVEY_OK) return covey__bad_field(x, &error);
    covey__json_writer w;
    covey__json_writer_init(&w, signature, false);
    covey__json_put_node(&w, node);
    status = covey__buffer_check(signature, &error, "signature");
    return status == COVEY_OK ? 0 : covey__bad_field(x, &error);
}

/* 0 when the metadata names this very document as the release's target. */
static int check_named(covey__exchange *x, const covey__release_checked *checked,
                       const uint8_t digest[32]) {
    covey__metadata_target target;
    char name[160];
    (void)snprintf(name, sizeof(name), "%s/%s/release.json", checked->name, checked->version);
    covey_status status = covey__metadata_find(x->server->house.metadata, name, &target, NULL);
    if (status != COVEY_OK) {
        return covey__answer_error(x, 403, "not_in_metadata",
                                   "the metadata names no target %s: send it first", name);
    }
    if (memcmp(target.sha256, digest, 32) == 0 && target.length == checked->size) return 0;
    return covey__answer_error(x, 403, "not_in_metadata",
                               "the metadata names another document as %s (role %s)", name,
                               target.role);
}

static int add_release(covey__exchange *x, const uint8_t digest[32],
                       const covey__buffer *signature) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    covey__release_checked checked;
    covey__trusted_keys trusted;
    bool was_known = false;
    (void)pthread_rwlock_rdlock(&x->server->facts_lock);
    trusted = x->server->trusted;
    (void)pthread_rwlock_unlock(&x->server->facts_lock);
    covey_status status = covey__release_check(x->env, &x->server->blobs, &trusted, digest,
                                               signature->size > 0 ? signature->data : NULL,
                                               signature->size, &checked, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    int answer = answer_verdict(x, &checked);
    if (answer == 0 && signature->size == 0) answer = check_named(x, &checked, digest);
    if (answer != 0) return answer;
    covey__release_row row = {.name = checked.name,
                              .version = checked.version,
                              .size = (int64_t)checked.size,
                              .bytes = (int64_t)checked.bytes,
                              .published_ms = covey__now_ms(x->env),
                              .signature = signature->size > 0 ? signature->data : ""};
    memcpy(row.digest, digest, 32);
    status = store->driver->release_add(store, &row, &was_known, &error);
    if (status == COVEY_ERROR_EXISTS) {
        return covey__answer_error(x, 409, "conflict", "%s", error.message);
    }
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    if (!was_known) {
        covey__log(x->env, COVEY_LOG_INFO, "fleet", "%s@%s was published", row.name, row.version);
    }
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    (void)write_release(&w, &row);
    return was_known ? 200 : 201;
}

int covey__api_release_add(covey__exchange *x) {
    uint8_t digest[32];
    covey__buffer signature;
    covey__buffer_init(&signature, x->env, COVEY__SIGNATURE_BYTES_MAX);
    int answer = read_release_request(x, digest, &signature);
    if (answer == 0) answer = add_release(x, digest, &signature);
    covey__buffer_free(&signature);
    return answer;
}
