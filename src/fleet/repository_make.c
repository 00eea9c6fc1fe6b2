/* A new key folder: its keys, and the first documents that they sign.
 *
 * Invariants: no file is written over another. Documents are kept last: a folder that was cut off
 * while it was made has keys and no metadata, and is refused by everything but its removal. What
 * fails, a passphrase mistyped say, takes its keys away again.
 *
 * Neighbours: repository_keys.c writes keys, repository_draft.c makes documents.
 */
#include "fleet/repository.h"

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"

#include <stdio.h>
#include <string.h>

#define ROOT_KEYS_MAX 16
#define PRODUCTS_MAX  64
enum { MADE_TARGETS, MADE_ONLINE, MADE_STEERING, MADE_FIRST_ROOT };
#define KEYS_MAX (MADE_FIRST_ROOT + ROOT_KEYS_MAX + PRODUCTS_MAX)

typedef struct making {
    const covey_fleet_keys_make_options *options;
    covey_fleet_keys *keys;
    covey__signing *signing;
    int64_t now_ms;
    covey__key made[KEYS_MAX]; /* targets, online, steering, roots, products */
    covey__public_key public_keys[KEYS_MAX];
    char names[KEYS_MAX][COVEY__METADATA_ROLE_SIZE];
    size_t count;
    covey__key_list lists[4];
} making;

static covey_status make_one(making *m, const char *name, bool plain, covey_error *error) {
    covey_status status = covey__repository_key_make(
        m->keys->env, m->keys->folder, name, plain ? NULL : m->options->passphrase,
        m->options->passphrase_user, &m->made[m->count], error);
    if (status != COVEY_OK) return status;
    (void)snprintf(m->names[m->count], sizeof(m->names[0]), "%s", name);
    status =
        covey__public_key_make(&m->keys->arena, COVEY_KEY_ED25519, m->made[m->count].public_key, 32,
                               &m->public_keys[m->count], error);
    m->count++;
    return status;
}

static covey_status make_keys(making *m, covey_error *error) {
    const covey_fleet_keys_make_options *o = m->options;
    char name[32];
    /* First one that asks for the passphrase: who thinks better of it then leaves no key behind. */
    covey_status status = make_one(m, "targets", false, error);
    if (status == COVEY_OK) status = make_one(m, "online", true, error);
    if (status == COVEY_OK) status = make_one(m, "steering", false, error);
    for (int32_t i = 0; status == COVEY_OK && i < o->root_keys; i++) {
        (void)snprintf(name, sizeof(name), "root-%d", (int)i + 1);
        status = make_one(m, name, false, error);
    }
    for (size_t i = 0; status == COVEY_OK && i < o->product_count; i++)
        status = make_one(m, o->products[i], false, error);
    return status;
}

static void list_set(covey__key_list *list, const covey__public_key *keys, size_t count,
                     int64_t threshold) {
    for (size_t i = 0; i < count; i++) list->keys[i] = keys[i];
    list->count = count;
    list->threshold = threshold;
}

static covey_status add_delegation(making *m, const char *role, const char *path, size_t key,
                                   covey_error *error) {
    const covey__draft_change nothing = {0};
    list_set(&m->lists[0], &m->public_keys[key], 1, 1);
    covey__draft_change change = {.changed = role, .list = &m->lists[0], .path = path};
    covey_status status = covey__draft_targets(m->signing, "targets", &change, m->now_ms, error);
    return status == COVEY_OK ? covey__draft_targets(m->signing, role, &nothing, m->now_ms, error)
                              : status;
}

static covey_status make_documents(making *m, covey_error *error) {
    const covey_fleet_keys_make_options *o = m->options;
    size_t first_product = MADE_FIRST_ROOT + (size_t)o->root_keys;
    char path[COVEY__METADATA_ROLE_SIZE + 8];
    list_set(&m->lists[COVEY__TUF_ROOT], &m->public_keys[MADE_FIRST_ROOT], (size_t)o->root_keys,
             o->threshold);
    list_set(&m->lists[COVEY__TUF_TIMESTAMP], &m->public_keys[MADE_ONLINE], 1, 1);
    list_set(&m->lists[COVEY__TUF_SNAPSHOT], &m->public_keys[MADE_ONLINE], 1, 1);
    list_set(&m->lists[COVEY__TUF_TARGETS], &m->public_keys[MADE_TARGETS], 1, 1);
    covey_status status = covey__draft_root(m->signing, m->lists, m->now_ms, error);
    if (status == COVEY_OK)
        status = add_delegation(m, "steering", "steering/*", MADE_STEERING, error);
    for (size_t i = 0; status == COVEY_OK && i < o->product_count; i++) {
        (void)snprintf(path, sizeof(path), "%s/*/*", o->products[i]);
        status = add_delegation(m, o->products[i], path, first_product + i, error);
    }
    return status;
}

static covey_status sign_one(making *m, const char *role, size_t key, covey_error *error) {
    covey__signer signer;
    covey_status status = covey__signer_of_key(m->keys->env, &m->made[key], &signer, error);
    if (status != COVEY_OK) return status;
    status = covey__signing_add(m->signing, role, &signer, error);
    covey__signer_close(&signer);
    return status;
}

static covey_status sign_all(making *m, covey_error *error) {
    const covey_fleet_keys_make_options *o = m->options;
    size_t first_product = MADE_FIRST_ROOT + (size_t)o->root_keys;
    covey_status status = sign_one(m, "targets", MADE_TARGETS, error);
    if (status == COVEY_OK) status = sign_one(m, "steering", MADE_STEERING, error);
    for (int32_t i = 0; status == COVEY_OK && i < o->threshold; i++)
        status = sign_one(m, "root", MADE_FIRST_ROOT + (size_t)i, error);
    for (size_t i = 0; status == COVEY_OK && i < o->product_count; i++)
        status = sign_one(m, o->products[i], first_product + i, error);
    return status;
}

static covey_status check_options(const covey_fleet_keys_make_options *o, covey_error *error) {
    if (o->folder == NULL || o->root_keys < 1 || o->root_keys > ROOT_KEYS_MAX || o->threshold < 1 ||
        o->threshold > o->root_keys || o->product_count > PRODUCTS_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "expected a folder, 1 to %d root keys, a threshold within them and at "
                           "most %d products",
                           ROOT_KEYS_MAX, PRODUCTS_MAX);
    for (size_t i = 0; i < o->product_count; i++) {
        const char *name = o->products[i];
        bool taken = strcmp(name, "targets") == 0 || strcmp(name, "steering") == 0 ||
                     strcmp(name, "online") == 0 || strncmp(name, "root-", 5) == 0;
        for (size_t k = 0; k < i; k++) taken = taken || strcmp(name, o->products[k]) == 0;
        if (taken || !covey__metadata_role_valid(name))
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "product: expected names of ensembles, each once: 1 to 64 letters, "
                               "digits, '.', '_', '-'");
    }
    return COVEY_OK;
}

/* Nothing of a folder that is one already. */
static covey_status check_folder(covey_fleet_keys *keys, covey_error *error) {
    char *current = covey__format(keys->env, "%s/metadata/current.json", keys->folder);
    if (current == NULL) return covey__no_memory(error, "a path", 0);
    bool taken = covey__file_exists(current) || keys->holder_count > 0;
    covey__free(keys->env, current);
    if (!taken) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_EXISTS, "%s has keys already, and none is overwritten",
                       keys->folder);
}

/* Keys of a folder that did not come to be: nobody knows them, and the next try needs the place. */
static void drop_keys(const making *m) {
    const covey__env *env = m->keys->env;
    char *current = covey__format(env, "%s/metadata/current.json", m->keys->folder);
    bool kept = current == NULL || covey__file_exists(current);
    for (size_t i = 0; !kept && i < m->count; i++) {
        char *path = covey__format(env, "%s/%s.key", m->keys->folder, m->names[i]);
        if (path != NULL) (void)!covey__file_remove(env, path, NULL);
        covey__free(env, path);
    }
    covey__free(env, current);
}

covey_status covey_fleet_keys_make(covey_runtime *runtime,
                                   const covey_fleet_keys_make_options *options,
                                   covey_error *error) {
    covey_fleet_keys_make_options full = COVEY_FLEET_KEYS_MAKE_OPTIONS_INIT;
    memcpy(&full, options, options->size < sizeof(full) ? options->size : sizeof(full));
    const covey__env *env = covey__runtime_env(runtime);
    covey_status status = check_options(&full, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "keys");
    making *m = covey__calloc(env, 1, sizeof(*m));
    if (m == NULL) return covey__no_memory(error, "keys", sizeof(*m));
    m->options = &full;
    m->now_ms = covey__now_ms(env);
    status = covey__repository_open(env, full.folder, true, &m->keys, error);
    if (status == COVEY_OK) status = check_folder(m->keys, error);
    if (status == COVEY_OK) status = covey__signing_new(env, NULL, &m->signing, error);
    if (status == COVEY_OK) status = make_keys(m, error);
    if (status == COVEY_OK) status = make_documents(m, error);
    if (status == COVEY_OK) status = sign_all(m, error);
    if (status == COVEY_OK) status = covey__repository_commit(m->keys, m->signing, error);
    if (status != COVEY_OK && m->keys != NULL) drop_keys(m);
    for (size_t i = 0; i < m->count; i++) covey__key_wipe(&m->made[i]);
    covey__signing_free(m->signing);
    covey_fleet_keys_close(m->keys);
    covey__free(env, m);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "keys");
}
