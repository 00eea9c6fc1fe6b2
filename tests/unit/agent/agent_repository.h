/* The publisher's repository behind the control plane of agent_double.h: metadata of The Update
 * Framework over what is published, made and signed anew at each change. Keys: root two of two,
 * steering and the product's role their own, and one online key for snapshot and timestamp. */
#ifndef COVEY_TEST_AGENT_REPOSITORY_H
#define COVEY_TEST_AGENT_REPOSITORY_H

#include "support/support.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/runtime.h"
#include "base/sha256.h"
#include "trust/crypto.h"
#include "trust/tuf_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPO_FILES_MAX   256
#define REPO_TARGETS_MAX 16
#define REPO_DAY_MS      INT64_C(86400000)

typedef enum repo_key {
    REPO_ROOT_A,
    REPO_ROOT_B,
    REPO_TARGETS_KEY,
    REPO_STEERING_KEY,
    REPO_PRODUCT_KEY,
    REPO_ONLINE_KEY,
    REPO_KEY_COUNT
} repo_key;

typedef struct repo_file {
    char name[64];
    char *data;
    size_t size;
} repo_file;

typedef struct agent_repository {
    const covey__env *env;
    covey__arena arena;
    covey__key keys[REPO_KEY_COUNT];
    covey__public_key publics[REPO_KEY_COUNT];
    covey__tuf_make_target releases[REPO_TARGETS_MAX], steering;
    size_t release_count;
    bool has_steering;
    int64_t root, targets, product, steering_version, snapshot, timestamp;
    int64_t expires_ms, issued_ms;
    repo_file files[REPO_FILES_MAX]; /* what is served; older versions stay */
    size_t file_count;
    int requests;
    char log[4096]; /* names that were asked for, with a space after each */
    /* misbehaviour */
    bool is_down;          /* 503 to everything */
    uint64_t endless;      /* bytes behind each document */
    const char *slow;      /* this document never ends in time */
    unsigned root_signers; /* a mask of keys; 0: both */
} agent_repository;

static inline repo_file *repo_find(agent_repository *r, const char *name) {
    for (size_t i = 0; i < r->file_count; i++)
        if (!strcmp(r->files[i].name, name)) return r->files + i;
    return NULL;
}

static inline void repo_put(agent_repository *r, const char *name, const void *data, size_t size) {
    repo_file *file = repo_find(r, name);
    if (!file) {
        assert_true(r->file_count < REPO_FILES_MAX);
        file = r->files + r->file_count++;
        snprintf(file->name, sizeof file->name, "%s", name);
        file->data = NULL;
    }
    free(file->data);
    file->data = malloc(size + 1);
    memcpy(file->data, data, size);
    file->size = size;
}

/* Keys made of `seed`: another seed is a stranger's repository. */
static inline void repo_open(agent_repository *r, const covey__env *env, uint8_t seed) {
    covey_error error = {0};
    memset(r, 0, sizeof *r);
    r->env = env;
    covey__arena_init(&r->arena, env, 4u << 20);
    for (int i = 0; i < REPO_KEY_COUNT; i++) {
        uint8_t bytes[32] = {seed, (uint8_t)(i + 1)};
        assert_int_equal(covey__key_from_seed(env, bytes, r->keys + i, &error), COVEY_OK);
        assert_int_equal(covey__public_key_make(&r->arena, COVEY_KEY_ED25519, r->keys[i].public_key,
                                                32, r->publics + i, &error),
                         COVEY_OK);
    }
}

static inline void repo_close(agent_repository *r) {
    for (size_t i = 0; i < r->file_count; i++) free(r->files[i].data);
    covey__arena_free(&r->arena);
}

/* Signs `text` by the keys of the mask and serves it; empties `text`. */
static inline void repo_serve(agent_repository *r, const char *role, int64_t version,
                              unsigned signers, covey__buffer *text) {
    char name[64];
    covey_error error = {0};
    covey__buffer next;
    covey__buffer_init(&next, r->env, 4u << 20);
    for (int i = 0; i < REPO_KEY_COUNT; i++) {
        if (!(signers >> i & 1)) continue;
        covey__buffer_clear(&next);
        if (covey__tuf_sign(r->env, text->data, text->size, r->keys + i, &next, &error))
            fail_msg("%s", error.message);
        covey__buffer_clear(text);
        assert_int_equal(covey__buffer_append(text, next.data, next.size), COVEY_OK);
    }
    if (version)
        snprintf(name, sizeof name, "%lld.%s.json", (long long)version, role);
    else
        snprintf(name, sizeof name, "%s.json", role);
    repo_put(r, name, text->data, text->size);
    covey__buffer_free(&next);
    covey__buffer_clear(text);
}

static inline covey__tuf_make_file repo_meta(agent_repository *r, const char *name,
                                             int64_t version) {
    char served[80];
    snprintf(served, sizeof served, "%lld.%s", (long long)version, name);
    const repo_file *file = repo_find(r, served);
    covey__tuf_make_file meta = {.name = name, .version = version, .length = file->size};
    covey__sha256_of(file->data, file->size, meta.sha256);
    return meta;
}

static inline void repo_publish_root(agent_repository *r) {
    covey__buffer text;
    covey_error error = {0};
    const covey__public_key roots[] = {r->publics[REPO_ROOT_A], r->publics[REPO_ROOT_B]};
    const covey__tuf_signers roles[4] = {
        {roots, 2, 2},
        {r->publics + REPO_ONLINE_KEY, 1, 1},
        {r->publics + REPO_ONLINE_KEY, 1, 1},
        {r->publics + REPO_TARGETS_KEY, 1, 1},
    };
    covey__buffer_init(&text, r->env, 4u << 20);
    covey__tuf_head head = {++r->root, r->expires_ms};
    if (covey__tuf_make_root(r->env, head, roles, &text, &error)) fail_msg("%s", error.message);
    repo_serve(r, "root", r->root, r->root_signers ? r->root_signers : 3, &text);
    covey__buffer_free(&text);
}

static inline void repo_publish_targets(agent_repository *r) {
    static const char *const steering[] = {"steering/*"}, *const product[] = {"assistant/*/*"};
    const covey__tuf_make_delegation delegations[] = {
        {"steering", {r->publics + REPO_STEERING_KEY, 1, 1}, true, steering, 1},
        {"assistant", {r->publics + REPO_PRODUCT_KEY, 1, 1}, true, product, 1},
    };
    covey__tuf_make_content content = {NULL, 0, delegations, 2};
    covey__buffer text;
    covey_error error = {0};
    covey__buffer_init(&text, r->env, 4u << 20);
    covey__tuf_head head = {++r->targets, r->expires_ms};
    if (covey__tuf_make_targets(r->env, head, &content, &text, &error))
        fail_msg("%s", error.message);
    repo_serve(r, "targets", r->targets, 1u << REPO_TARGETS_KEY, &text);
    covey__buffer_free(&text);
}

/* A delegated role with these targets. */
static inline void repo_publish_role(agent_repository *r, const char *role, int64_t version,
                                     repo_key key, const covey__tuf_make_target *targets,
                                     size_t count) {
    covey__tuf_make_content content = {targets, count, NULL, 0};
    covey__buffer text;
    covey_error error = {0};
    covey__buffer_init(&text, r->env, 4u << 20);
    covey__tuf_head head = {version, r->expires_ms};
    if (covey__tuf_make_targets(r->env, head, &content, &text, &error))
        fail_msg("%s", error.message);
    repo_serve(r, role, version, 1u << key, &text);
    covey__buffer_free(&text);
}

static inline void repo_publish_snapshot(agent_repository *r) {
    covey__buffer text;
    covey_error error = {0};
    covey__buffer_init(&text, r->env, 4u << 20);
    const covey__tuf_make_file files[] = {
        repo_meta(r, "assistant.json", r->product),
        repo_meta(r, "steering.json", r->steering_version),
        repo_meta(r, "targets.json", r->targets),
    };
    covey__tuf_head head = {++r->snapshot, r->expires_ms};
    if (covey__tuf_make_snapshot(r->env, head, files, 3, &text, &error))
        fail_msg("%s", error.message);
    repo_serve(r, "snapshot", r->snapshot, 1u << REPO_ONLINE_KEY, &text);
    covey__buffer_free(&text);
}

static inline void repo_publish_timestamp(agent_repository *r) {
    covey__buffer text;
    covey_error error = {0};
    covey__buffer_init(&text, r->env, 4u << 20);
    const covey__tuf_make_file snapshot = repo_meta(r, "snapshot.json", r->snapshot);
    covey__tuf_head head = {++r->timestamp, r->expires_ms};
    if (covey__tuf_make_timestamp(r->env, head, r->issued_ms, &snapshot, &text, &error))
        fail_msg("%s", error.message);
    repo_serve(r, "timestamp", 0, 1u << REPO_ONLINE_KEY, &text);
    covey__buffer_free(&text);
}

/* Everything below the root, a version on; the root too where there is none yet. */
static inline void repo_publish(agent_repository *r) {
    if (!r->root) repo_publish_root(r);
    if (!r->targets) repo_publish_targets(r);
    repo_publish_role(r, "assistant", ++r->product, REPO_PRODUCT_KEY, r->releases,
                      r->release_count);
    repo_publish_role(r, "steering", ++r->steering_version, REPO_STEERING_KEY, &r->steering,
                      r->has_steering);
    repo_publish_snapshot(r);
    repo_publish_timestamp(r);
}

/* Names a release document; a second one of that name takes the first's place. False when it was
 * named before. */
static inline bool repo_add_release(agent_repository *r, const char *version, const char *document,
                                    size_t size) {
    char name[120];
    snprintf(name, sizeof name, "assistant/%s/release.json", version);
    covey__tuf_make_target *target = NULL;
    for (size_t i = 0; i < r->release_count; i++)
        if (!strcmp(r->releases[i].name, name)) target = r->releases + i;
    if (!target) {
        assert_true(r->release_count < REPO_TARGETS_MAX);
        target = r->releases + r->release_count++;
        target->name = covey__arena_strndup(&r->arena, name, strlen(name));
    }
    uint8_t before[32];
    memcpy(before, target->sha256, sizeof before);
    target->length = size;
    covey__sha256_of(document, size, target->sha256);
    return memcmp(before, target->sha256, sizeof before) != 0;
}

/* GET of a document of the metadata. */
static inline covey_status repo_fetch(agent_repository *r, const char *url,
                                      covey_http_response *response, covey_http_sink sink,
                                      void *user, covey_error *error) {
    const char *name = strrchr(url, '/') + 1;
    static const char padding[4096];
    size_t used = strlen(r->log);
    r->requests++;
    snprintf(r->log + used, sizeof r->log - used, "%s ", name);
    const repo_file *file = repo_find(r, name);
    response->status = r->is_down ? 503 : file ? 200 : 404;
    if (response->status != 200) return sink(user, response, "{}", 2);
    bool slow = r->slow && strstr(name, r->slow);
    covey_status status = sink(user, response, file->data, slow ? file->size / 2 : file->size);
    for (uint64_t sent = 0; !status && sent < r->endless; sent += sizeof padding)
        status = sink(user, response, padding, sizeof padding);
    if (slow && !status) return covey__fail(error, COVEY_ERROR_TIMEOUT, "no byte for 30 s");
    return status;
}

#endif
