/* The key folder on the disk:
 *
 *   NAME.key, NAME.signer     keys that are here (docs/formats/key-file.md; a program that signs)
 *   root.json                 the newest root, to ship with the app and to hand to other holders
 *   metadata/N.ROLE.json      every document that ever held here
 *   metadata/current.json     which of them hold: {"root": 2, "targets": 5, ...}
 *
 * Invariants: documents are written first and current.json last, so a crash leaves the old set or
 * the new. What is loaded is checked whole, but for expiry: an expired repository must still be
 * opened to be signed anew.
 *
 * Neighbours: repository_sign.c signs drafts, repository_draft.c makes them, repository_keys.c
 * knows the files of keys, client_metadata.c compares with what is served.
 */
#include "fleet/repository.h"

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CURRENT_BYTES_MAX (256u << 10)

static char *document_path(const covey_fleet_keys *keys, const char *role, int64_t version) {
    return covey__format(keys->env, "%s/metadata/%" PRId64 ".%s.json", keys->folder, version, role);
}

covey_status covey__repository_text(covey_fleet_keys *keys, const char *role, int64_t version,
                                    covey__buffer *out, covey_error *error) {
    char *path = document_path(keys, role, version);
    if (path == NULL) return covey__no_memory(error, "a path", 0);
    covey_status status = covey__file_read(keys->env, path, out, error);
    covey__free(keys->env, path);
    return status;
}

/* ---- loading ------------------------------------------------------------------------------- */

static covey_status load_one(covey_fleet_keys *keys, const char *role, int64_t version,
                             covey_error *error) {
    covey__buffer text;
    covey__buffer_init(&text, keys->env, COVEY__METADATA_BYTES_MAX);
    covey_status status = covey__repository_text(keys, role, version, &text, error);
    if (status == COVEY_OK)
        status = covey__metadata_put(keys->set, role, text.data, text.size, error);
    covey__buffer_free(&text);
    return status;
}

static covey_status load_listed(covey_fleet_keys *keys, const covey__buffer *text,
                                covey_error *error) {
    covey__arena arena;
    const covey__json *root = NULL;
    covey__arena_init(&arena, keys->env, 4u << 20);
    covey_status status = covey__json_parse(&arena, text->data != NULL ? text->data : "",
                                            text->size, COVEY__JSON_LIMITS_DEFAULT, &root, error);
    if (status != COVEY_OK) covey__prefix(error, status, "metadata/current.json");
    const covey__json *each = status == COVEY_OK ? root->child : NULL;
    for (; status == COVEY_OK && each != NULL; each = each->next) {
        int64_t version = 0;
        bool right = root->kind == COVEY__JSON_OBJECT && each->kind == COVEY__JSON_NUMBER &&
                     covey__json_to_i64(each, &version) && version > 0 &&
                     (strcmp(each->name, "root") == 0 || covey__metadata_role_valid(each->name));
        status = right ? load_one(keys, each->name, version, error)
                       : covey__fail(error, COVEY_ERROR_FORMAT,
                                     "current.json: expected names of roles with their versions");
    }
    covey__arena_free(&arena);
    return status;
}

/* A folder that was handed a root and nothing more: a team's, or a holder's. */
static covey_status load_anchor(covey_fleet_keys *keys, covey_error *error) {
    covey__buffer text;
    char *path = covey__path_join(keys->env, keys->folder, "root.json");
    if (path == NULL) return covey__no_memory(error, "a path", 0);
    covey__buffer_init(&text, keys->env, COVEY__METADATA_BYTES_MAX);
    covey_status status = covey__file_read(keys->env, path, &text, error);
    if (status == COVEY_ERROR_NOT_FOUND)
        status = covey__fail(error, COVEY_ERROR_NOT_FOUND,
                             "neither metadata nor root.json is here: \"covey-fleet keys init\" "
                             "makes them, or another holder hands on root.json");
    if (status == COVEY_OK)
        status = covey__metadata_put(keys->set, "root", text.data, text.size, error);
    if (status == COVEY_OK) {
        const covey__tuf_document *root = covey__metadata_item_find(keys->set, "root")->document;
        status = covey__tuf_verify(keys->env, root, &root->top[COVEY__TUF_ROOT], error);
    }
    covey__buffer_free(&text);
    covey__free(keys->env, path);
    return status;
}

static covey_status load(covey_fleet_keys *keys, covey_error *error) {
    covey__buffer text;
    char *path = covey__format(keys->env, "%s/metadata/current.json", keys->folder);
    if (path == NULL) return covey__no_memory(error, "a path", 0);
    covey__buffer_init(&text, keys->env, CURRENT_BYTES_MAX);
    covey_status status = covey__file_read(keys->env, path, &text, error);
    if (status == COVEY_ERROR_NOT_FOUND) {
        status = load_anchor(keys, error);
    } else if (status == COVEY_OK) {
        status = load_listed(keys, &text, error);
        if (status == COVEY_OK && covey__metadata_item_find(keys->set, "targets") != NULL)
            status = covey__metadata_check(keys->set, INT64_MIN, error);
    }
    covey__buffer_free(&text);
    covey__free(keys->env, path);
    return status;
}

/* ---- keeping ------------------------------------------------------------------------------- */

static covey_status write_current(covey_fleet_keys *keys, covey__metadata_set *set,
                                  covey_error *error) {
    covey__buffer text;
    covey__json_writer w;
    char *path = covey__format(keys->env, "%s/metadata/current.json", keys->folder);
    if (path == NULL) return covey__no_memory(error, "a path", 0);
    covey__buffer_init(&text, keys->env, CURRENT_BYTES_MAX);
    covey__json_writer_init(&w, &text, true);
    covey__json_begin_object(&w);
    for (size_t i = 0; i < set->role_count; i++)
        covey__json_member_i64(&w, set->roles[i].name, set->roles[i].document->version);
    covey__json_end_object(&w);
    (void)covey__buffer_byte(&text, '\n');
    covey_status status = covey__buffer_check(&text, error, "current.json");
    if (status == COVEY_OK)
        status = covey__file_replace(keys->env, path, text.data, text.size, error);
    covey__buffer_free(&text);
    covey__free(keys->env, path);
    return status;
}

static bool same_item(covey__metadata_set *set, const covey__metadata_item *item) {
    const covey__metadata_item *held = covey__metadata_item_find(set, item->name);
    return held != NULL && held->text.size == item->text.size &&
           memcmp(held->text.data, item->text.data, item->text.size) == 0;
}

static covey_status write_item(covey_fleet_keys *keys, const covey__metadata_item *item,
                               covey_error *error) {
    char *path = document_path(keys, item->name, item->document->version);
    if (path == NULL) return covey__no_memory(error, "a path", 0);
    covey_status status = COVEY_OK;
    /* What came from root.json alone is not in a file of its own yet. */
    if (!same_item(keys->set, item) || !covey__file_exists(path))
        status = covey__file_replace(keys->env, path, item->text.data, item->text.size, error);
    covey__free(keys->env, path);
    return status;
}

covey_status covey__repository_keep(covey_fleet_keys *keys, covey__metadata_set *set,
                                    covey_error *error) {
    char *folder = covey__path_join(keys->env, keys->folder, "metadata");
    char *anchor = covey__path_join(keys->env, keys->folder, "root.json");
    covey_status status =
        folder != NULL && anchor != NULL ? COVEY_OK : covey__no_memory(error, "a path", 0);
    if (status == COVEY_OK) status = covey__folder_make(keys->env, folder, error);
    for (size_t i = 0; status == COVEY_OK && i < set->role_count; i++) {
        status = write_item(keys, &set->roles[i], error);
    }
    if (status == COVEY_OK) status = write_current(keys, set, error);
    const covey__metadata_item *root = covey__metadata_item_find(set, "root");
    if (status == COVEY_OK && root != NULL)
        status = covey__file_replace(keys->env, anchor, root->text.data, root->text.size, error);
    if (status == COVEY_OK && set != keys->set) {
        covey__metadata_set *copy = NULL;
        status = covey__metadata_set_copy(set, &copy, error);
        if (status == COVEY_OK) {
            covey__metadata_set_free(keys->set);
            keys->set = copy;
        }
    }
    covey__free(keys->env, anchor);
    covey__free(keys->env, folder);
    return status;
}

/* ---- open and close ------------------------------------------------------------------------ */

covey_status covey__repository_open(const covey__env *env, const char *folder, bool is_new,
                                    covey_fleet_keys **keys, covey_error *error) {
    covey_fleet_keys *made = covey__calloc(env, 1, sizeof(*made));
    if (made == NULL) return covey__no_memory(error, "keys", sizeof(*made));
    made->env = env;
    made->lock = -1;
    covey__arena_init(&made->arena, env, 16u << 20);
    made->folder = covey__strdup(env, folder);
    char *lock = covey__path_join(env, folder, "lock");
    covey_status status = COVEY_OK;
    if (made->folder == NULL || lock == NULL) status = covey__no_memory(error, "keys", 0);
    if (status == COVEY_OK && is_new) status = covey__folder_make(env, folder, error);
    if (status == COVEY_OK && !covey__file_exists(folder))
        status = covey__fail(error, COVEY_ERROR_NOT_FOUND,
                             "there is no such folder: \"covey-fleet keys init\" makes one");
    if (status == COVEY_OK) {
        status = covey__lock_take(env, lock, true, &made->lock, error);
        if (status != COVEY_OK) made->lock = -1;
    }
    covey__free(env, lock);
    if (status == COVEY_OK) status = covey__metadata_set_new(env, &made->set, error);
    if (status == COVEY_OK) status = covey__repository_scan(made, error);
    if (status == COVEY_OK && !is_new) status = load(made, error);
    if (status != COVEY_OK) {
        covey_fleet_keys_close(made);
        return covey__prefix(error, status, "keys: %s", folder);
    }
    *keys = made;
    return COVEY_OK;
}

covey_status covey_fleet_keys_open(covey_runtime *runtime, const char *folder,
                                   covey_fleet_passphrase_fn passphrase, void *passphrase_user,
                                   covey_fleet_keys **keys, covey_error *error) {
    covey_status status =
        covey__repository_open(covey__runtime_env(runtime), folder, false, keys, error);
    if (status != COVEY_OK) return status;
    (*keys)->passphrase = passphrase;
    (*keys)->passphrase_user = passphrase_user;
    return COVEY_OK;
}

void covey_fleet_keys_close(covey_fleet_keys *keys) {
    if (keys == NULL) return;
    for (size_t i = 0; i < keys->holder_count; i++)
        covey__holder_close(keys->env, &keys->holders[i]);
    covey__metadata_set_free(keys->set);
    covey__arena_free(&keys->arena);
    if (keys->lock >= 0) covey__lock_drop(keys->lock);
    covey__free(keys->env, keys->folder);
    covey__free(keys->env, keys);
}

void covey_fleet_keys_text_free(covey_fleet_keys *keys, char *text) {
    if (text != NULL) covey__free(keys->env, text);
}
