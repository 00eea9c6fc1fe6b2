/* Releases (docs/api.md): one is taken when the metadata names its document.
 *
 * Neighbours: release_check.c judges; metadata.c knows targets; fleet_server.c tells check-ins.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "bundle/patch_index.h"
#include "fleet/release_check.h"
#include "fleet/routes.h"

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
    case COVEY__RELEASE_BAD:
        return covey__answer_error(x, 422, "bad_release", "%s", checked->message);
    case COVEY__RELEASE_MISSING_BLOBS:
        return answer_missing(x, checked);
    }
    return covey__answer_error(x, 500, "internal", "no verdict");
}

static int read_release_request(covey__exchange *x, uint8_t digest[32]) {
    static const char *const members[] = {"digest", NULL};
    covey_error error = {0};
    const covey__json *root;
    const char *hex;
    int answer = covey__read_json(x, &root);
    if (answer != 0) return answer;
    covey_status status = covey__json_only(root, "", members, &error);
    if (status == COVEY_OK) status = covey__json_string(root, "digest", "digest", &hex, &error);
    if (status == COVEY_OK && !covey__unhex(hex, strlen(hex), digest, 32)) {
        status = covey__fail(&error, COVEY_ERROR_FORMAT, "digest: expected 64 hex digits");
    }
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

/* 0 when the metadata names no patch index of the release, or one whose patches are all here. */
static int check_patches(covey__exchange *x, const covey__release_checked *release) {
    covey_error error = {0};
    covey__metadata_target target;
    covey__release_checked checked;
    char name[160];
    (void)snprintf(name, sizeof(name), "%s/%s/" COVEY__PATCH_INDEX_FILE, release->name,
                   release->version);
    if (covey__metadata_find(x->server->house.metadata, name, &target, NULL) != COVEY_OK) return 0;
    covey_status status =
        covey__release_check_patches(x->env, &x->server->blobs, target.sha256, release->name,
                                     release->version, &checked, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    return answer_verdict(x, &checked);
}

static int add_release(covey__exchange *x, const uint8_t digest[32]) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    covey__release_checked checked;
    bool was_known = false;
    covey_status status = covey__release_check(x->env, &x->server->blobs, digest, &checked, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    int answer = answer_verdict(x, &checked);
    if (answer == 0) answer = check_named(x, &checked, digest);
    if (answer == 0) answer = check_patches(x, &checked);
    if (answer != 0) return answer;
    covey__release_row row = {.name = checked.name,
                              .version = checked.version,
                              .size = (int64_t)checked.size,
                              .bytes = (int64_t)checked.bytes,
                              .published_ms = covey__now_ms(x->env)};
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
    int answer = read_release_request(x, digest);
    return answer == 0 ? add_release(x, digest) : answer;
}
