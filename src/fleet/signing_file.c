/* Files that carry what is to be signed to machines without a network and back:
 *
 *   {"format": 1, "covey_signing": "one line", "release": "64 hex", "release_name": "a@1.0.0",
 *    "blob": "a steering document", "drafts": [{"role", "document"}], "bases": [...]}
 *
 * Invariants: what is shown to whoever signs is made from the documents themselves; nothing else in
 * the file is believed. What an older version already had is left out of that only when the very
 * key that is about to sign has signed the older version: an attacker who writes the file could
 * otherwise hide a target in it.
 *
 * Neighbours: repository_sign.c signs what is read here.
 */
#include "fleet/repository.h"

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"
#include "base/sha256.h"
#include "base/utc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX (48u << 20)
#define TREE_BYTES_MAX (192u << 20)

/* ---- writing and reading ------------------------------------------------------------------- */

static void write_set(covey__json_writer *w, const char *name, const covey__metadata_set *set,
                      covey__metadata_set *only) {
    covey__json_name(w, name);
    covey__json_begin_array(w);
    for (size_t i = 0; i < set->role_count; i++) {
        const covey__metadata_item *item = &set->roles[i];
        bool wanted = only == NULL || strcmp(item->name, "root") == 0 ||
                      strcmp(item->name, "targets") == 0 ||
                      covey__metadata_item_find(only, item->name) != NULL;
        if (!wanted) continue;
        covey__json_begin_object(w);
        covey__json_member_string(w, "role", item->name);
        covey__json_name(w, "document");
        covey__json_put_text(w, item->text.data, item->text.size);
        covey__json_end_object(w);
    }
    covey__json_end_array(w);
}

covey_status covey__signing_text(covey__signing *signing, covey__buffer *text, covey_error *error) {
    covey__json_writer w;
    covey__json_writer_init(&w, text, true);
    covey__json_begin_object(&w);
    covey__json_member_i64(&w, "format", 1);
    covey__json_member_string(&w, "covey_signing", signing->purpose);
    covey__json_member_string(&w, "release", signing->release);
    covey__json_member_string(&w, "release_name", signing->release_name);
    covey__json_name(&w, "blob");
    covey__json_put_text(&w, signing->blob.data != NULL ? signing->blob.data : "",
                         signing->blob.size);
    write_set(&w, "drafts", signing->drafts, NULL);
    write_set(&w, "bases", signing->bases, signing->drafts);
    covey__json_end_object(&w);
    (void)covey__buffer_byte(text, '\n');
    return covey__buffer_check(text, error, "signing");
}

covey_status covey__signing_write(covey__signing *signing, const char *path, covey_error *error) {
    covey__buffer text;
    covey__buffer_init(&text, signing->env, FILE_BYTES_MAX);
    covey_status status = covey__signing_text(signing, &text, error);
    if (status == COVEY_OK)
        status = covey__file_replace(signing->env, path, text.data, text.size, error);
    covey__buffer_free(&text);
    return status;
}

static covey_status read_set(const covey__json *root, const char *name, covey__metadata_set *set,
                             covey_error *error) {
    const covey__json *list, *text;
    covey_status status = covey__json_member(root, name, name, COVEY__JSON_ARRAY, &list, error);
    const covey__json *each = status == COVEY_OK ? list->child : NULL;
    for (; status == COVEY_OK && each != NULL; each = each->next) {
        const char *role;
        status = covey__json_string(each, "role", name, &role, error);
        if (status == COVEY_OK)
            status = covey__json_member(each, "document", name, COVEY__JSON_STRING, &text, error);
        if (status == COVEY_OK && strcmp(role, "root") != 0 && !covey__metadata_role_valid(role))
            status = covey__fail(error, COVEY_ERROR_FORMAT, "%s: a strange role", name);
        if (status == COVEY_OK)
            status = covey__metadata_put(set, role, text->text, text->size, error);
    }
    return status;
}

static void copy_text(const covey__json *root, const char *name, char *out, size_t capacity) {
    const covey__json *node = covey__json_get(root, name);
    out[0] = '\0';
    if (node != NULL && node->kind == COVEY__JSON_STRING)
        covey__printable(node->text, node->size, out, capacity);
}

static covey_status read_all(covey__signing *signing, const covey__json *root, covey_error *error) {
    int64_t format = 0;
    uint8_t digest[32];
    const covey__json *blob = covey__json_get(root, "blob");
    covey_status status = covey__json_i64(root, "format", "format", 1, 1, &format, error);
    if (status != COVEY_OK) return status;
    copy_text(root, "covey_signing", signing->purpose, sizeof(signing->purpose));
    copy_text(root, "release", signing->release, sizeof(signing->release));
    copy_text(root, "release_name", signing->release_name, sizeof(signing->release_name));
    if (signing->release[0] != '\0' &&
        !covey__unhex(signing->release, strlen(signing->release), digest, 32))
        return covey__fail(error, COVEY_ERROR_FORMAT, "release: expected 64 hex digits");
    if (blob != NULL && blob->kind == COVEY__JSON_STRING)
        (void)covey__buffer_append(&signing->blob, blob->text, blob->size);
    status = covey__buffer_check(&signing->blob, error, "blob");
    if (status == COVEY_OK) status = read_set(root, "drafts", signing->drafts, error);
    if (status == COVEY_OK) status = read_set(root, "bases", signing->bases, error);
    if (status == COVEY_OK && signing->drafts->role_count == 0)
        status = covey__fail(error, COVEY_ERROR_FORMAT, "drafts: there is nothing to be signed");
    return status;
}

/* The target of a draft that has this digest; NULL when none has. */
static const covey__tuf_entry *find_digest(const covey__signing *signing,
                                           const uint8_t digest[32]) {
    for (size_t i = 0; i < signing->drafts->role_count; i++) {
        const covey__tuf_document *draft = signing->drafts->roles[i].document;
        for (size_t t = 0; draft->type == COVEY__TUF_TARGETS && t < draft->target_count; t++) {
            const covey__tuf_entry *entry = draft->targets[t];
            if (entry->hashes.has_sha256 && memcmp(entry->hashes.sha256, digest, 32) == 0)
                return entry;
        }
    }
    return NULL;
}

/* The statements and the release that are shown must be those that are signed: who wrote the file
 * could otherwise show one thing and have another signed. */
static covey_status check_shown(const covey__signing *signing, covey_error *error) {
    uint8_t digest[32];
    char path[COVEY__METADATA_ROLE_SIZE + 160];
    if (signing->blob.size > 0) {
        covey__sha256_of(signing->blob.data, signing->blob.size, digest);
        if (find_digest(signing, digest) == NULL)
            return covey__fail(error, COVEY_ERROR_MISMATCH,
                               "blob: the document that is shown is none that would be signed");
    }
    if (signing->release[0] == '\0') return COVEY_OK;
    const char *at = strchr(signing->release_name, '@');
    bool right = at != NULL && covey__unhex(signing->release, 64, digest, 32);
    const covey__tuf_entry *entry = right ? find_digest(signing, digest) : NULL;
    if (entry != NULL)
        (void)snprintf(path, sizeof(path), "%.*s/%s/release.json",
                       (int)(at - signing->release_name), signing->release_name, at + 1);
    if (entry != NULL && strcmp(entry->name, path) == 0) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "release: the one that is shown is none that would be signed");
}

covey_status covey__signing_parse(const covey__env *env, const char *text, size_t size,
                                  covey__signing **signing, covey_error *error) {
    covey__arena tree;
    const covey__json *root;
    covey__signing *made = NULL;
    covey__json_limits limits = {FILE_BYTES_MAX, 8, 4096};
    covey__arena_init(&tree, env, TREE_BYTES_MAX);
    covey_status status = covey__json_parse(&tree, text, size, limits, &root, error);
    if (status == COVEY_OK) status = covey__signing_new(env, NULL, &made, error);
    if (status == COVEY_OK) status = read_all(made, root, error);
    if (status == COVEY_OK) status = check_shown(made, error);
    covey__arena_free(&tree);
    if (status == COVEY_OK) {
        *signing = made;
    } else {
        covey__signing_free(made);
    }
    return status;
}

covey_status covey__signing_read(const covey__env *env, const char *path, covey__signing **signing,
                                 covey_error *error) {
    covey__buffer text;
    covey__buffer_init(&text, env, FILE_BYTES_MAX);
    covey_status status = covey__file_read(env, path, &text, error);
    if (status == COVEY_OK)
        status = covey__signing_parse(env, text.data != NULL ? text.data : "", text.size, signing,
                                      error);
    covey__buffer_free(&text);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "%s", path);
}

/* ---- showing ------------------------------------------------------------------------------- */

static void show_keys(const covey__tuf_role *role, const char *name, covey__buffer *out) {
    (void)covey__buffer_format(out, "  %s: %" PRId64 " of", name, role->threshold);
    for (size_t i = 0; i < role->key_count; i++)
        (void)covey__buffer_format(out, " %.16s",
                                   role->keys[i] != NULL ? role->keys[i]->key.id : "unknown");
    (void)covey__buffer_byte(out, '\n');
}

static void show_delegations(const covey__tuf_document *document, covey__buffer *out) {
    for (size_t i = 0; i < document->role_count; i++) {
        const covey__tuf_role *role = &document->roles[i];
        char shown[120];
        show_keys(role, role->name, out);
        for (size_t p = 0; p < role->pattern_count; p++)
            (void)covey__buffer_format(out, "    speaks for %s\n",
                                       covey__printable(role->patterns[p],
                                                        strlen(role->patterns[p]), shown,
                                                        sizeof(shown)));
    }
}

static bool same_target(const covey__tuf_document *base, const covey__tuf_entry *entry) {
    const covey__tuf_entry *old = base != NULL ? covey__tuf_entry_find(base, entry->name) : NULL;
    return old != NULL && old->length == entry->length && old->hashes.has_sha256 &&
           entry->hashes.has_sha256 && memcmp(old->hashes.sha256, entry->hashes.sha256, 32) == 0;
}

static void show_targets(const covey__tuf_document *document, const covey__tuf_document *base,
                         covey__buffer *out) {
    size_t kept = 0;
    char shown[300], hex[65];
    for (size_t i = 0; i < document->target_count; i++) {
        const covey__tuf_entry *entry = document->targets[i];
        if (same_target(base, entry)) {
            kept++;
            continue;
        }
        covey__hex(entry->hashes.sha256, 32, hex);
        (void)covey__buffer_format(
            out, "  target %s\n    sha256 %s, %" PRId64 " bytes\n",
            covey__printable(entry->name, strlen(entry->name), shown, sizeof(shown)), hex,
            entry->length);
    }
    for (size_t i = 0; base != NULL && i < base->target_count; i++) {
        const covey__tuf_entry *entry = base->targets[i];
        if (covey__tuf_entry_find(document, entry->name) == NULL)
            (void)covey__buffer_format(
                out, "  target %s is taken away\n",
                covey__printable(entry->name, strlen(entry->name), shown, sizeof(shown)));
    }
    if (kept > 0)
        (void)covey__buffer_format(
            out, "  %zu more targets, as in version %" PRId64 ", which this key signed\n", kept,
            base->version);
}

/* The base, when this key signed it. */
static const covey__tuf_document *trusted_base(covey__signing *signing, const char *role,
                                               const covey__public_key *key) {
    const covey__metadata_item *item = covey__metadata_item_find(signing->bases, role);
    if (item == NULL || key == NULL) return NULL;
    covey__tuf_key named = {key->id, *key};
    const covey__tuf_key *pointer = &named;
    const char *id = key->id;
    covey__tuf_role one = {.key_ids = &id, .keys = &pointer, .key_count = 1, .threshold = 1};
    return covey__tuf_verify(signing->env, item->document, &one, NULL) == COVEY_OK ? item->document
                                                                                   : NULL;
}

static void show_draft(covey__signing *signing, const covey__metadata_item *draft,
                       const covey__public_key *key, covey__buffer *out) {
    static const char *const tops[] = {"root", "timestamp", "snapshot", "targets"};
    const covey__tuf_document *document = draft->document;
    char at[COVEY__UTC_SIZE], hex[65];
    uint8_t digest[32];
    covey__utc_format(document->expires_ms, at);
    covey__sha256_of(document->canonical, document->canonical_size, digest);
    covey__hex(digest, 32, hex);
    (void)covey__buffer_format(
        out, "%s, version %" PRId64 ", expires %s\n  what is signed has sha256 %s\n", draft->name,
        document->version, at, hex);
    for (int i = 0; document->type == COVEY__TUF_ROOT && i < COVEY__TUF_TOP_COUNT; i++)
        show_keys(&document->top[i], tops[i], out);
    if (document->type == COVEY__TUF_TARGETS) {
        show_delegations(document, out);
        show_targets(document, trusted_base(signing, draft->name, key), out);
    }
}

void covey__signing_show(covey__signing *signing, const covey__public_key *key,
                         covey__buffer *out) {
    char shown[2000];
    (void)covey__buffer_format(out, "the file says: %s\n", signing->purpose);
    if (signing->release[0] != '\0')
        (void)covey__buffer_format(out, "release %s, document sha256 %s\n", signing->release_name,
                                   signing->release);
    for (size_t i = 0; i < signing->drafts->role_count; i++)
        show_draft(signing, &signing->drafts->roles[i], key, out);
    if (signing->blob.size > 0) {
        uint8_t digest[32];
        char hex[65];
        covey__sha256_of(signing->blob.data, signing->blob.size, digest);
        covey__hex(digest, 32, hex);
        (void)covey__buffer_format(out, "the steering document, sha256 %s:\n", hex);
        for (const char *line = signing->blob.data; line != NULL && *line != '\0';) {
            size_t size = strcspn(line, "\n");
            (void)covey__buffer_format(out, "  %s\n",
                                       covey__printable(line, size, shown, sizeof(shown)));
            line += size + (line[size] == '\n' ? 1 : 0);
        }
    }
}

/* ---- the machine without a network --------------------------------------------------------- */

static covey_status add_signatures(const covey__env *env, covey__signing *signing,
                                   covey__holder *holder, covey_fleet_passphrase_fn passphrase,
                                   void *user, covey_error *error) {
    size_t count = 0;
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < signing->drafts->role_count; i++) {
        const char *role = signing->drafts->roles[i].name;
        const covey__tuf_role *judges[2];
        bool mine = false;
        size_t judge_count = covey__signing_judges(signing, role, judges);
        for (size_t j = 0; j < judge_count; j++)
            for (size_t k = 0; k < judges[j]->key_count; k++)
                mine = mine ||
                       (judges[j]->keys[k] != NULL && memcmp(judges[j]->keys[k]->key.fingerprint,
                                                             holder->key.fingerprint, 32) == 0);
        if (!mine) continue;
        count++;
        status = covey__holder_open(env, holder, passphrase, user, error);
        if (status == COVEY_OK) status = covey__signing_add(signing, role, &holder->signer, error);
    }
    if (status == COVEY_OK && count == 0)
        status = covey__fail(error, COVEY_ERROR_REFUSED,
                             "the key %.16s may sign none of these documents", holder->key.id);
    return status;
}

covey_status covey_fleet_sign(covey_runtime *runtime, const char *file, const char *key_file,
                              covey_fleet_passphrase_fn passphrase, void *passphrase_user,
                              bool (*agree)(void *user, const char *text), void *agree_user,
                              covey_error *error) {
    const covey__env *env = covey__runtime_env(runtime);
    covey__signing *signing = NULL;
    covey__arena arena;
    covey__holder holder;
    covey__buffer shown;
    memset(&holder, 0, sizeof(holder));
    covey__arena_init(&arena, env, 1u << 20);
    covey__buffer_init(&shown, env, FILE_BYTES_MAX);
    covey_status status = covey__signing_read(env, file, &signing, error);
    if (status == COVEY_OK && key_file != NULL)
        status = covey__holder_read(env, &arena, key_file, &holder, error);
    if (status == COVEY_OK) {
        covey__signing_show(signing, key_file != NULL ? &holder.key : NULL, &shown);
        status = covey__buffer_check(&shown, error, file);
    }
    if (status == COVEY_OK && agree != NULL && !agree(agree_user, shown.data))
        status = covey__fail(error, COVEY_ERROR_REFUSED, "nothing was signed");
    if (status == COVEY_OK && key_file != NULL) {
        status = add_signatures(env, signing, &holder, passphrase, passphrase_user, error);
        if (status == COVEY_OK) status = covey__signing_write(signing, file, error);
    }
    covey__holder_close(env, &holder);
    covey__buffer_free(&shown);
    covey__arena_free(&arena);
    covey__signing_free(signing);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "sign");
}
