/* Metadata for a control plane under test: a root of one key, targets, steering and product roles,
 * all signed by keys of fixed seeds. */
#ifndef COVEY_TEST_FLEET_METADATA_H
#define COVEY_TEST_FLEET_METADATA_H

#include "fleet_double.h"

#include "trust/key_file.h"
#include "trust/tuf_make.h"

enum { FLEET_ROOT, FLEET_TARGETS, FLEET_STEERING, FLEET_PRODUCT, FLEET_ONLINE, FLEET_OTHER };
#define FLEET_KEYS 6
#define FLEET_YEAR (INT64_C(365) * 86400000)

typedef struct fleet_keys {
    const covey__env *env;
    covey__arena arena;
    covey__key keys[FLEET_KEYS];
    covey__public_key public_keys[FLEET_KEYS];
} fleet_keys;

static inline void fleet_check(covey_status status, const covey_error *error) {
    if (status != COVEY_OK) fail_msg("%s: %s", covey_status_name(status), error->message);
}

static inline void fleet_keys_make(fleet_keys *k, const covey__env *env) {
    covey_error error = {0};
    k->env = env;
    covey__arena_init(&k->arena, env, 1u << 20);
    for (int i = 0; i < FLEET_KEYS; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1)};
        fleet_check(covey__key_from_seed(env, seed, &k->keys[i], &error), &error);
        fleet_check(covey__public_key_make(&k->arena, COVEY_KEY_ED25519, k->keys[i].public_key, 32,
                                           &k->public_keys[i], &error),
                    &error);
    }
}

static inline void fleet_keys_free(fleet_keys *k) {
    covey__arena_free(&k->arena);
}

/* Starts the server again, with the online key. */
static inline void fleet_restart_online(fleet_double *f, const fleet_keys *k) {
    covey_error error = {0};
    fleet_stop(f);
    snprintf(f->online_key, sizeof f->online_key, "%s/online.key", f->folder.path);
    fleet_check(covey__key_write(k->env, f->online_key, &k->keys[FLEET_ONLINE], &error), &error);
    fleet_start(f);
}

/* Moves `plain`, signed by that key, to `out`. */
static inline void fleet_sign(const fleet_keys *k, covey__buffer *plain, int key,
                              covey__buffer *out) {
    covey_error error = {0};
    covey__buffer_init(out, k->env, 1u << 20);
    fleet_check(covey__tuf_sign(k->env, plain->data, plain->size, &k->keys[key], out, &error),
                &error);
    covey__buffer_free(plain);
}

static inline void fleet_root(const fleet_keys *k, covey__tuf_head head, int online,
                              covey__buffer *out) {
    covey_error error = {0};
    covey__buffer plain;
    covey__tuf_signers roles[4] = {{&k->public_keys[FLEET_ROOT], 1, 1},
                                   {&k->public_keys[online], 1, 1},
                                   {&k->public_keys[online], 1, 1},
                                   {&k->public_keys[FLEET_TARGETS], 1, 1}};
    covey__buffer_init(&plain, k->env, 1u << 20);
    fleet_check(covey__tuf_make_root(k->env, head, roles, &plain, &error), &error);
    fleet_sign(k, &plain, FLEET_ROOT, out);
}

/* Delegates steering/ and one product, whose role has the product's name. */
static inline void fleet_targets(const fleet_keys *k, covey__tuf_head head, const char *product,
                                 covey__buffer *out) {
    static const char *const steering[] = {"steering/*"};
    covey_error error = {0};
    covey__buffer plain;
    char glob[100];
    const char *const paths[] = {glob};
    snprintf(glob, sizeof glob, "%s/*/*", product);
    covey__tuf_make_delegation delegations[] = {
        {"steering", {&k->public_keys[FLEET_STEERING], 1, 1}, true, steering, 1},
        {product, {&k->public_keys[FLEET_PRODUCT], 1, 1}, true, paths, 1}};
    covey__tuf_make_content content = {.delegations = delegations, .delegation_count = 2};
    covey__buffer_init(&plain, k->env, 1u << 20);
    fleet_check(covey__tuf_make_targets(k->env, head, &content, &plain, &error), &error);
    fleet_sign(k, &plain, FLEET_TARGETS, out);
}

/* A role with one target, or none when `name` is NULL. */
static inline void fleet_role(const fleet_keys *k, covey__tuf_head head, int key, const char *name,
                              const void *bytes, size_t size, covey__buffer *out) {
    covey_error error = {0};
    covey__buffer plain;
    covey__tuf_make_target target = {.name = name, .length = size};
    covey__tuf_make_content content = {.targets = &target, .target_count = name != NULL};
    covey__sha256_of(bytes, size, target.sha256);
    covey__buffer_init(&plain, k->env, 1u << 20);
    fleet_check(covey__tuf_make_targets(k->env, head, &content, &plain, &error), &error);
    fleet_sign(k, &plain, key, out);
}

/* POST /v1/metadata; frees the documents. Returns the HTTP status. */
static inline int fleet_post_metadata(fleet_double *f, const char *const *roles,
                                      covey__buffer *documents, size_t count) {
    covey__buffer body;
    covey__json_writer w;
    covey__buffer_init(&body, covey__runtime_env(f->runtime), 8u << 20);
    covey__json_writer_init(&w, &body, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "documents");
    covey__json_begin_array(&w);
    for (size_t i = 0; i < count; i++) {
        covey__json_begin_object(&w);
        covey__json_member_string(&w, "role", roles[i]);
        covey__json_name(&w, "document");
        covey__json_put_text(&w, documents[i].data, documents[i].size);
        covey__json_end_object(&w);
        covey__buffer_free(&documents[i]);
    }
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    int status = fleet_send(f, "POST", "/v1/metadata", f->admin, NULL, body.data, body.size);
    covey__buffer_free(&body);
    return status;
}

/* The first set: root, targets, an empty steering role and an empty role of `product`. */
static inline int fleet_post_first(fleet_double *f, const fleet_keys *k, const char *product) {
    const char *const roles[] = {"root", "targets", "steering", product};
    covey__buffer documents[4];
    covey__tuf_head head = {1, f->now_ms + FLEET_YEAR};
    fleet_root(k, head, FLEET_ONLINE, &documents[0]);
    fleet_targets(k, head, product, &documents[1]);
    fleet_role(k, head, FLEET_STEERING, NULL, "", 0, &documents[2]);
    fleet_role(k, head, FLEET_PRODUCT, NULL, "", 0, &documents[3]);
    return fleet_post_metadata(f, roles, documents, 4);
}

#endif
