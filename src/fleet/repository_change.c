/* Changes of who may sign: a new key folder, keys added, rotated and revoked, products, renewals.
 *
 * Each makes the fewest documents that the change needs. A role whose document no longer has enough
 * signatures by the keys that now count gets a new version with the same content, so that what is
 * served is never left without a signature that holds.
 *
 * Neighbours: repository_draft.c, repository_sign.c; docs/trust.md says who holds what.
 */
#include "fleet/repository.h"

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REPORT_BYTES_MAX (256u << 10)

static bool is_top(const char *role) {
    return strcmp(role, "root") == 0 || strcmp(role, "targets") == 0 || strcmp(role, "online") == 0;
}

/* ---- lists of keys ------------------------------------------------------------------------- */

static covey_status list_add(covey__key_list *list, const covey__public_key *key,
                             covey_error *error) {
    for (size_t i = 0; i < list->count; i++)
        if (memcmp(list->keys[i].fingerprint, key->fingerprint, 32) == 0)
            return covey__fail(error, COVEY_ERROR_EXISTS, "the role has the key %.16s already",
                               key->id);
    if (list->count == COVEY__TUF_ROLE_KEY_COUNT_MAX)
        return covey__fail(error, COVEY_ERROR_LIMIT, "a role has at most %d keys",
                           COVEY__TUF_ROLE_KEY_COUNT_MAX);
    list->keys[list->count++] = *key;
    return COVEY_OK;
}

static covey_status list_remove(covey__key_list *list, const char *id, covey_error *error) {
    size_t found = list->count, matches = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->keys[i].id, id, strlen(id)) != 0) continue;
        found = i;
        matches++;
    }
    if (matches != 1 || strlen(id) < 6)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "expected the beginning (6 digits or more) of the id of one of the "
                           "role's keys; \"covey-fleet keys status\" shows them");
    for (size_t i = found; i + 1 < list->count; i++) list->keys[i] = list->keys[i + 1];
    list->count--;
    return COVEY_OK;
}

/* ---- one change ---------------------------------------------------------------------------- */

typedef struct change {
    covey_fleet_keys *keys;
    const covey_fleet_keys_change *options;
    covey__signing *signing;
    int64_t now_ms;
    covey__public_key added[COVEY__TUF_ROLE_KEY_COUNT_MAX];
    size_t added_count;
    char made[96]; /* the file of a key that was made here, "" */
} change;

/* "assistant-2": the first name of that kind that no file has. */
static void free_name(const covey_fleet_keys *keys, const char *role, const char *end, char *out,
                      size_t capacity) {
    for (int n = 1; n < 1000; n++) {
        if (n == 1) {
            (void)snprintf(out, capacity, "%s", role);
        } else {
            (void)snprintf(out, capacity, "%s-%d", role, n);
        }
        char *path = covey__format(keys->env, "%s/%s%s", keys->folder, out, end);
        bool taken = path != NULL && covey__file_exists(path);
        covey__free(keys->env, path);
        if (!taken) return;
    }
}

static covey_status make_key(change *c, covey_error *error) {
    covey_fleet_keys *keys = c->keys;
    covey__key key;
    char name[80];
    bool online = strcmp(c->options->role, "online") == 0;
    if (c->added_count == COVEY__TUF_ROLE_KEY_COUNT_MAX)
        return covey__fail(error, COVEY_ERROR_LIMIT, "too many keys");
    free_name(keys, c->options->role, ".key", name, sizeof(name));
    covey_status status =
        covey__repository_key_make(keys->env, keys->folder, name, online ? NULL : keys->passphrase,
                                   keys->passphrase_user, &key, error);
    if (status != COVEY_OK) return status;
    (void)snprintf(c->made, sizeof(c->made), "%s.key", name);
    status = covey__public_key_make(&keys->arena, COVEY_KEY_ED25519, key.public_key, 32,
                                    &c->added[c->added_count++], error);
    covey__key_wipe(&key);
    return status == COVEY_OK ? covey__repository_scan(keys, error) : status;
}

/* DIR/NAME.signer for a key that a program holds. */
static covey_status write_signer(change *c, covey_error *error) {
    covey_fleet_keys *keys = c->keys;
    covey__buffer text;
    covey__json_writer w;
    char name[80];
    free_name(keys, c->options->role, ".signer", name, sizeof(name));
    char *path = covey__format(keys->env, "%s/%s.signer", keys->folder, name);
    if (path == NULL) return covey__no_memory(error, "a path", 0);
    covey__buffer_init(&text, keys->env, REPORT_BYTES_MAX);
    covey__json_writer_init(&w, &text, true);
    covey__json_begin_object(&w);
    covey__json_member_i64(&w, "format", 1);
    covey__json_name(&w, "program");
    covey__json_begin_array(&w);
    for (size_t i = 0; c->options->program[i] != NULL; i++)
        covey__json_put_string(&w, c->options->program[i]);
    covey__json_end_array(&w);
    covey__json_name(&w, "key");
    covey__public_key_write(&w, &c->added[0]);
    covey__json_end_object(&w);
    (void)covey__buffer_byte(&text, '\n');
    covey_status status = covey__buffer_check(&text, error, "a signer");
    if (status == COVEY_OK)
        status = covey__file_replace(keys->env, path, text.data, text.size, error);
    covey__buffer_free(&text);
    covey__free(keys->env, path);
    return status == COVEY_OK ? covey__repository_scan(keys, error) : status;
}

static covey_status gather_keys(change *c, covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < c->options->public_count; i++) {
        if (i == COVEY__TUF_ROLE_KEY_COUNT_MAX)
            return covey__fail(error, COVEY_ERROR_LIMIT, "too many keys");
        status = covey__public_key_file(c->keys->env, &c->keys->arena, c->options->public_files[i],
                                        &c->added[c->added_count++], error);
    }
    if (status == COVEY_OK && c->options->program != NULL) {
        status = c->added_count > 0
                     ? write_signer(c, error)
                     : covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                                   "a program's public key must be given: --public FILE");
    }
    if (status == COVEY_OK && c->options->make_new) status = make_key(c, error);
    return status;
}

static covey_status edit_list(change *c, covey__key_list *list, covey_error *error) {
    covey_status status = COVEY_OK;
    const char *remove = c->options->remove;
    if (c->options->rotate && remove == NULL) list->count = 0;
    for (size_t i = 0; status == COVEY_OK && i < c->added_count; i++)
        status = list_add(list, &c->added[i], error);
    if (status == COVEY_OK && remove != NULL) status = list_remove(list, remove, error);
    if (status == COVEY_OK && c->options->threshold > 0) list->threshold = c->options->threshold;
    if (status == COVEY_OK && (list->threshold < 1 || (size_t)list->threshold > list->count))
        status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                             "%s would have %zu keys and a threshold of %" PRId64
                             ": add keys first, or lower the threshold",
                             c->options->role, list->count, list->threshold);
    return status;
}

static covey_status change_root(change *c, covey_error *error) {
    const covey__tuf_document *root = covey__signing_newest(c->signing, "root");
    const char *role = c->options->role;
    covey_status status = COVEY_OK;
    covey__key_list *lists = covey__calloc(c->keys->env, 4, sizeof(*lists));
    if (lists == NULL) return covey__no_memory(error, "root", sizeof(*lists));
    for (int i = 0; status == COVEY_OK && i < 4; i++) {
        bool is_it = strcmp(role, covey__tuf_type_name((covey__tuf_type)i)) == 0 ||
                     (strcmp(role, "online") == 0 &&
                      (i == COVEY__TUF_TIMESTAMP || i == COVEY__TUF_SNAPSHOT));
        covey__key_list_of(&root->top[i], &lists[i]);
        if (is_it) status = edit_list(c, &lists[i], error);
    }
    if (status == COVEY_OK) status = covey__draft_root(c->signing, lists, c->now_ms, error);
    covey__free(c->keys->env, lists);
    return status;
}

static const covey__tuf_role *find_delegation(const covey__tuf_document *targets,
                                              const char *name) {
    for (size_t i = 0; targets != NULL && i < targets->role_count; i++)
        if (strcmp(targets->roles[i].name, name) == 0) return &targets->roles[i];
    return NULL;
}

static covey_status change_delegation(change *c, covey_error *error) {
    const covey__tuf_document *targets = covey__signing_newest(c->signing, "targets");
    const char *role = c->options->role;
    const covey__tuf_role *held = find_delegation(targets, role);
    char path[COVEY__METADATA_ROLE_SIZE + 8];
    if (held == NULL && !c->options->new_product)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "there is no role \"%s\"; a product is added with \"covey-fleet keys "
                           "product add\"",
                           role);
    if (held != NULL && c->options->new_product)
        return covey__fail(error, COVEY_ERROR_EXISTS, "there is a role \"%s\" already", role);
    covey__key_list *list = covey__calloc(c->keys->env, 1, sizeof(*list));
    if (list == NULL) return covey__no_memory(error, role, sizeof(*list));
    list->threshold = 1;
    if (held != NULL) covey__key_list_of(held, list);
    (void)snprintf(path, sizeof(path), "%s/*/*", role);
    covey__draft_change edit = {.changed = role, .list = list, .path = path};
    covey_status status = edit_list(c, list, error);
    if (status == COVEY_OK)
        status = covey__draft_targets(c->signing, "targets", &edit, c->now_ms, error);
    covey__free(c->keys->env, list);
    return status;
}

/* New versions of what the keys that now count have not signed. */
static covey_status resign(change *c, covey_error *error) {
    const covey__draft_change nothing = {0};
    covey_status status = COVEY_OK;
    const covey__tuf_role *judges[2];
    if (covey__metadata_item_find(c->signing->drafts, "targets") == NULL &&
        covey__signing_judges(c->signing, "targets", judges) == 1 &&
        covey__tuf_verify(c->keys->env, covey__signing_newest(c->signing, "targets"), judges[0],
                          NULL) != COVEY_OK)
        status = covey__draft_targets(c->signing, "targets", &nothing, c->now_ms, error);
    const covey__tuf_document *targets = covey__signing_newest(c->signing, "targets");
    for (size_t i = 0; status == COVEY_OK && i < targets->role_count; i++) {
        const covey__tuf_role *role = &targets->roles[i];
        const covey__tuf_document *held = covey__signing_newest(c->signing, role->name);
        if (held == NULL || covey__tuf_verify(c->keys->env, held, role, NULL) != COVEY_OK)
            status = covey__draft_targets(c->signing, role->name, &nothing, c->now_ms, error);
    }
    return status;
}

/* The same content with a new expiry. */
static covey_status renew(change *c, const char *role, covey_error *error) {
    const covey__draft_change nothing = {0};
    const covey__tuf_document *held = covey__signing_newest(c->signing, role);
    covey__key_list *lists;
    if (held == NULL)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND, "there is no role \"%s\"", role);
    if (held->type != COVEY__TUF_ROOT)
        return covey__draft_targets(c->signing, role, &nothing, c->now_ms, error);
    lists = covey__calloc(c->keys->env, 4, sizeof(*lists));
    if (lists == NULL) return covey__no_memory(error, "root", sizeof(*lists));
    for (int i = 0; i < 4; i++) covey__key_list_of(&held->top[i], &lists[i]);
    covey_status status = covey__draft_root(c->signing, lists, c->now_ms, error);
    covey__free(c->keys->env, lists);
    return status;
}

static covey_status make_drafts(change *c, covey_error *error) {
    const char *role = c->options->role;
    covey_status status = COVEY_OK;
    if (c->options->renew) {
        for (size_t i = 0; status == COVEY_OK && i < c->keys->set->role_count; i++)
            if (role == NULL || strcmp(role, c->keys->set->roles[i].name) == 0)
                status = renew(c, c->keys->set->roles[i].name, error);
        if (status == COVEY_OK && c->signing->drafts->role_count == 0)
            status = covey__fail(error, COVEY_ERROR_NOT_FOUND, "there is no such role here");
        return status;
    }
    status = gather_keys(c, error);
    if (status == COVEY_OK)
        status = is_top(role) ? change_root(c, error) : change_delegation(c, error);
    return status == COVEY_OK ? resign(c, error) : status;
}

/* A key that was made for a change that failed signs nothing: it would only confuse. */
static void drop_made(change *c) {
    char *path = covey__path_join(c->keys->env, c->keys->folder, c->made);
    covey_error ignored;
    covey_fleet_keys *keys = c->keys;
    for (size_t i = keys->holder_count; i > 0; i--) {
        if (strcmp(keys->holders[i - 1].name, c->made) != 0) continue;
        covey__holder_close(keys->env, &keys->holders[i - 1]);
        keys->holders[i - 1] = keys->holders[--keys->holder_count];
    }
    if (path != NULL && covey__file_remove(c->keys->env, path, &ignored) != COVEY_OK)
        covey__log(c->keys->env, COVEY_LOG_WARN, "fleet", "%s was left, and is of no use", path);
    covey__free(c->keys->env, path);
}

static covey_status report(change *c, bool complete, char **text, covey_error *error) {
    covey__buffer out;
    covey__buffer_init(&out, c->keys->env, REPORT_BYTES_MAX);
    if (c->made[0] != '\0') (void)covey__buffer_format(&out, "made the key %s\n", c->made);
    for (size_t i = 0; i < c->signing->drafts->role_count; i++)
        (void)covey__buffer_format(
            &out, "%s version %" PRId64 " of %s\n", complete ? "signed" : "wrote for signing",
            c->signing->drafts->roles[i].document->version, c->signing->drafts->roles[i].name);
    covey_status status = covey__buffer_check(&out, error, "report");
    if (status == COVEY_OK) {
        size_t size;
        *text = covey__buffer_take(&out, &size);
    }
    covey__buffer_free(&out);
    return status;
}

covey_status covey_fleet_keys_apply(covey_fleet_keys *keys, const covey_fleet_keys_change *options,
                                    char **text, covey_error *error) {
    covey_fleet_keys_change full = COVEY_FLEET_KEYS_CHANGE_INIT;
    memcpy(&full, options, options->size < sizeof(full) ? options->size : sizeof(full));
    const char *role = full.role;
    bool complete = false;
    *text = NULL;
    if (!full.renew && (role == NULL || (!is_top(role) && !covey__metadata_role_valid(role))))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "keys: expected a role: root, targets, online, steering or a product");
    if (covey__metadata_item_find(keys->set, "targets") == NULL)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "keys: this folder has no metadata yet: \"covey-fleet keys pull\"");
    change *c = covey__calloc(keys->env, 1, sizeof(*c));
    if (c == NULL) return covey__no_memory(error, "keys", sizeof(*c));
    c->keys = keys;
    c->options = &full;
    c->now_ms = covey__now_ms(keys->env);
    covey_status status = covey__signing_new(keys->env, keys->set, &c->signing, error);
    if (status == COVEY_OK) {
        (void)snprintf(c->signing->purpose, sizeof(c->signing->purpose), "%s %s",
                       full.renew         ? "renew"
                       : full.new_product ? "add the product"
                       : full.rotate      ? "rotate the keys of"
                       : full.remove      ? "revoke a key of"
                                          : "add a key to",
                       role != NULL ? role : "every role");
        status = make_drafts(c, error);
    }
    if (status == COVEY_OK)
        status = covey__repository_finish(keys, c->signing, full.export_file, &complete, error);
    if (status == COVEY_OK) status = report(c, complete, text, error);
    if (status != COVEY_OK && c->made[0] != '\0') drop_made(c);
    covey__signing_free(c->signing);
    covey__free(keys->env, c);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "keys");
}
