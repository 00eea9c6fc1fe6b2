/* The metadata folder of the control plane:
 *
 *   N.root.json       every root from the first on
 *   N.targets.json    and N.ROLE.json for each delegation
 *   N.snapshot.json   names all of the above by version, length and hash
 *   timestamp.json    names the snapshot: what is not reached from here is not served as current
 *
 * Invariants: a document is written once under its version and never changed; the timestamp is
 * replaced last, so a crash at any point leaves the old set or the new one. Documents that people
 * signed are checked as a device would check them before anything is written. The only key here is
 * the online one, which signs nothing but snapshot and timestamp.
 *
 * Neighbours: api_metadata.c hands documents in and out; trust/tuf_make.c writes, tuf_document.c
 * reads. metadata_check.c judges a whole set. */
#include "fleet/metadata_parts.h"

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "trust/tuf_make.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Files ------------------------------------------------------------------------------------
 */

/* "ROLE.json" or "VERSION.ROLE.json", in new memory. */
static char *document_path(const covey__metadata *metadata, const char *role, int64_t version) {
    if (version == 0) return covey__format(metadata->env, "%s/%s.json", metadata->folder, role);
    return covey__format(metadata->env, "%s/%" PRId64 ".%s.json", metadata->folder, version, role);
}

static covey_status read_document(const covey__metadata *metadata, const char *role,
                                  int64_t version, covey__buffer *out, covey_error *error) {
    char *path = document_path(metadata, role, version);
    if (path == NULL) return covey__no_memory(error, "a path", 0);
    covey__buffer_init(out, metadata->env, COVEY__METADATA_BYTES_MAX);
    covey_status status = covey__file_read(metadata->env, path, out, error);
    if (status != COVEY_OK) covey__buffer_free(out);
    covey__free(metadata->env, path);
    return status;
}

static covey_status write_document(const covey__metadata *metadata, const char *role,
                                   int64_t version, const covey__buffer *text, covey_error *error) {
    char *path = document_path(metadata, role, version);
    if (path == NULL) return covey__no_memory(error, "a path", 0);
    covey_status status = covey__file_replace(metadata->env, path, text->data, text->size, error);
    covey__free(metadata->env, path);
    return status;
}

/* ---- Sets -------------------------------------------------------------------------------------
 */

void covey__metadata_set_free(covey__metadata_set *set) {
    if (set == NULL) return;
    for (size_t i = 0; i < set->role_count; i++) {
        covey__tuf_free(set->roles[i].document);
        covey__buffer_free(&set->roles[i].text);
    }
    covey__free(set->env, set);
}

covey__metadata_item *covey__metadata_item_find(covey__metadata_set *set, const char *role) {
    for (size_t i = 0; i < set->role_count; i++)
        if (strcmp(set->roles[i].name, role) == 0) return &set->roles[i];
    return NULL;
}

static covey__tuf_type type_of(const char *role) {
    static const char *const tops[] = {"root", "timestamp", "snapshot"};
    for (int i = 0; i < 3; i++)
        if (strcmp(role, tops[i]) == 0) return (covey__tuf_type)i;
    return COVEY__TUF_TARGETS;
}

covey_status covey__metadata_put(covey__metadata_set *set, const char *role, const void *data,
                                 size_t size, covey_error *error) {
    covey__metadata_item *item = covey__metadata_item_find(set, role);
    covey__tuf_document *document = NULL;
    covey__buffer text;
    if (item == NULL && set->role_count == COVEY__METADATA_ROLE_COUNT)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__METADATA_ROLE_COUNT,
                                 COVEY__METADATA_ROLE_COUNT + 1,
                                 "metadata: at most %d roles are kept", COVEY__METADATA_ROLE_COUNT);
    covey__buffer_init(&text, set->env, COVEY__METADATA_BYTES_MAX);
    covey_status status = covey__buffer_append(&text, data, size);
    if (status != COVEY_OK) status = covey__buffer_check(&text, error, role);
    if (status == COVEY_OK)
        status = covey__tuf_parse(set->env, type_of(role), data, size, &document, error);
    if (status != COVEY_OK) {
        covey__buffer_free(&text);
        return covey__prefix(error, status, "%s", role);
    }
    if (item == NULL) {
        item = &set->roles[set->role_count++];
        memset(item, 0, sizeof *item);
        snprintf(item->name, sizeof item->name, "%s", role);
    } else {
        covey__tuf_free(item->document);
        covey__buffer_free(&item->text);
    }
    item->document = document;
    item->text = text;
    return COVEY_OK;
}

covey_status covey__metadata_set_new(const covey__env *env, covey__metadata_set **out,
                                     covey_error *error) {
    *out = covey__calloc(env, 1, sizeof **out);
    if (*out == NULL) return covey__no_memory(error, "metadata", sizeof **out);
    (*out)->env = env;
    return COVEY_OK;
}

/* A copy to be changed: documents are parsed anew, which keeps ownership simple. */
covey_status covey__metadata_set_copy(const covey__metadata_set *from, covey__metadata_set **out,
                                      covey_error *error) {
    covey_status status = covey__metadata_set_new(from->env, out, error);
    for (size_t i = 0; status == COVEY_OK && i < from->role_count; i++)
        status = covey__metadata_put(*out, from->roles[i].name, from->roles[i].text.data,
                                     from->roles[i].text.size, error);
    if (status == COVEY_OK) return COVEY_OK;
    covey__metadata_set_free(*out);
    *out = NULL;
    return status;
}

/* ---- Snapshot and timestamp -------------------------------------------------------------------
 */

static covey_status sign_online(const covey__metadata *metadata, const covey__buffer *plain,
                                covey__buffer *out, covey_error *error) {
    covey__buffer bytes, signature;
    covey__buffer_init(&bytes, metadata->env, COVEY__METADATA_BYTES_MAX);
    covey__buffer_init(&signature, metadata->env, COVEY__SIGNATURE_SIZE_MAX);
    covey_status status =
        covey__tuf_sign_bytes(metadata->env, plain->data, plain->size, &bytes, error);
    if (status == COVEY_OK)
        status = covey__signer_sign(metadata->online, bytes.data, bytes.size, &signature, error);
    if (status == COVEY_OK)
        status = covey__tuf_add_signature(metadata->env, plain->data, plain->size,
                                          metadata->online->key.id, signature.data, signature.size,
                                          out, error);
    covey__buffer_free(&signature);
    covey__buffer_free(&bytes);
    return status;
}

static covey__tuf_make_file file_of(const covey__metadata_item *item, const char *name) {
    covey__tuf_make_file file = {
        .name = name, .version = item->document->version, .length = item->text.size};
    covey__sha256_of(item->text.data, item->text.size, file.sha256);
    return file;
}

static int64_t version_of(covey__metadata_set *set, const char *role) {
    const covey__metadata_item *item = covey__metadata_item_find(set, role);
    return item == NULL ? 0 : item->document->version;
}

typedef struct file_list {
    covey__tuf_make_file files[COVEY__METADATA_ROLE_COUNT];
    char names[COVEY__METADATA_ROLE_COUNT][COVEY__METADATA_ROLE_SIZE + 5];
    size_t count;
} file_list;

/* What a snapshot names: the top targets and each delegation. */
static void list_files(covey__metadata_set *set, file_list *list) {
    list->count = 0;
    for (size_t i = 0; i < set->role_count; i++) {
        if (type_of(set->roles[i].name) != COVEY__TUF_TARGETS) continue;
        char *name = list->names[list->count];
        snprintf(name, sizeof list->names[0], "%s.json", set->roles[i].name);
        list->files[list->count++] = file_of(&set->roles[i], name);
    }
}

static covey_status make_snapshot(covey__metadata *metadata, covey__metadata_set *set,
                                  int64_t now_ms, covey_error *error) {
    covey__buffer plain, text;
    covey__tuf_head head = {version_of(set, "snapshot") + 1, now_ms + COVEY__METADATA_SNAPSHOT_MS};
    file_list *list = covey__calloc(metadata->env, 1, sizeof *list);
    if (list == NULL) return covey__no_memory(error, "a snapshot", sizeof *list);
    list_files(set, list);
    covey__buffer_init(&plain, metadata->env, COVEY__METADATA_BYTES_MAX);
    covey__buffer_init(&text, metadata->env, COVEY__METADATA_BYTES_MAX);
    covey_status status =
        covey__tuf_make_snapshot(metadata->env, head, list->files, list->count, &plain, error);
    if (status == COVEY_OK) status = sign_online(metadata, &plain, &text, error);
    if (status == COVEY_OK)
        status = covey__metadata_put(set, "snapshot", text.data, text.size, error);
    covey__buffer_free(&text);
    covey__buffer_free(&plain);
    covey__free(metadata->env, list);
    return status;
}

static covey_status make_timestamp(covey__metadata *metadata, covey__metadata_set *set,
                                   int64_t now_ms, covey_error *error) {
    covey__buffer plain, text;
    covey__tuf_head head = {version_of(set, "timestamp") + 1,
                            now_ms + COVEY__METADATA_TIMESTAMP_MS};
    covey__tuf_make_file snapshot =
        file_of(covey__metadata_item_find(set, "snapshot"), "snapshot.json");
    covey__buffer_init(&plain, metadata->env, COVEY__METADATA_BYTES_MAX);
    covey__buffer_init(&text, metadata->env, COVEY__METADATA_BYTES_MAX);
    covey_status status =
        covey__tuf_make_timestamp(metadata->env, head, now_ms, &snapshot, &plain, error);
    if (status == COVEY_OK) status = sign_online(metadata, &plain, &text, error);
    if (status == COVEY_OK)
        status = covey__metadata_put(set, "timestamp", text.data, text.size, error);
    covey__buffer_free(&text);
    covey__buffer_free(&plain);
    return status;
}

/* Whether the online key is one that this root names for the role. */
static bool may_sign(const covey__metadata *metadata, const covey__tuf_document *root,
                     covey__tuf_type type) {
    const covey__tuf_role *role = &root->top[type];
    for (size_t i = 0; i < role->key_count; i++)
        if (role->keys[i] != NULL &&
            memcmp(role->keys[i]->key.fingerprint, metadata->online->key.fingerprint, 32) == 0)
            return role->threshold == 1;
    return false;
}

static covey_status check_online(const covey__metadata *metadata, covey__metadata_set *set,
                                 covey_error *error) {
    const covey__tuf_document *root = covey__metadata_item_find(set, "root")->document;
    if (metadata->online == NULL)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "this control plane has no online key: start it with --online-key");
    if (may_sign(metadata, root, COVEY__TUF_TIMESTAMP) &&
        may_sign(metadata, root, COVEY__TUF_SNAPSHOT))
        return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_DENIED,
                       "root %" PRId64 " does not name this control plane's online key %.16s… for "
                       "snapshot and timestamp, with threshold 1",
                       root->version, metadata->online->key.id);
}

/* ---- Writing a set ----------------------------------------------------------------------------
 */

/* What differs from `before` and is named by the timestamp, under its version. */
static covey_status write_named(const covey__metadata *metadata, covey__metadata_set *before,
                                covey__metadata_set *set, covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < set->role_count; i++) {
        const covey__metadata_item *item = &set->roles[i];
        if (strcmp(item->name, "timestamp") == 0 || strcmp(item->name, "root") == 0) continue;
        if (version_of(before, item->name) == item->document->version) continue;
        status = write_document(metadata, item->name, item->document->version, &item->text, error);
    }
    return status;
}

static covey_status write_timestamp(const covey__metadata *metadata, covey__metadata_set *set,
                                    covey_error *error) {
    return write_document(metadata, "timestamp", 0,
                          &covey__metadata_item_find(set, "timestamp")->text, error);
}

/* Takes each root of a chain in turn: what stands in between must be served for ever. */
static covey_status take_root(const covey__metadata *metadata, covey__metadata_set *set,
                              const covey__metadata_document *document, covey_error *error) {
    covey__tuf_document *next = NULL;
    const covey__metadata_item *held = covey__metadata_item_find(set, "root");
    covey_status status = covey__tuf_parse(metadata->env, COVEY__TUF_ROOT, document->data,
                                           document->size, &next, error);
    if (status == COVEY_OK)
        status =
            covey__metadata_check_root(metadata->env, held ? held->document : NULL, next, error);
    covey__tuf_free(next);
    if (status != COVEY_OK) return covey__prefix(error, status, "root");
    return covey__metadata_put(set, "root", document->data, document->size, error);
}

static covey_status take_all(const covey__metadata *metadata, covey__metadata_set *set,
                             const covey__metadata_document *documents, size_t count,
                             covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < count; i++) {
        const char *role = documents[i].role;
        if (strcmp(role, "root") == 0) {
            status = take_root(metadata, set, &documents[i], error);
            continue;
        }
        if (!covey__metadata_role_valid(role))
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "metadata: snapshot and timestamp are made here; others are named "
                               "with 1 to 64 letters, digits, '.', '_', '-'");
        int64_t before = version_of(set, role);
        status = covey__metadata_put(set, role, documents[i].data, documents[i].size, error);
        if (status == COVEY_OK && version_of(set, role) <= before)
            status =
                covey__fail_sizes(error, COVEY_ERROR_ROLLBACK, before + 1, version_of(set, role),
                                  "%s: version %" PRId64 " is not above the one served, "
                                  "%" PRId64,
                                  role, version_of(set, role), before);
    }
    return status;
}

/* The roots of a chain, each under its version. A root is served from then on, so what it needs is
 * on the disk already, and roll_forward finds it if the timestamp does not come to be written. */
static covey_status write_roots(const covey__metadata *metadata,
                                const covey__metadata_document *documents, size_t count,
                                covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < count; i++) {
        covey__tuf_document *root = NULL;
        covey__buffer text = {.data = (char *)(uintptr_t)documents[i].data,
                              .size = documents[i].size};
        if (strcmp(documents[i].role, "root") != 0) continue;
        status =
            covey__tuf_parse(metadata->env, COVEY__TUF_ROOT, text.data, text.size, &root, error);
        if (status == COVEY_OK)
            status = write_document(metadata, "root", root->version, &text, error);
        covey__tuf_free(root);
    }
    return status;
}

static void take_set(covey__metadata *metadata, covey__metadata_set *set) {
    if (set != metadata->set) covey__metadata_set_free(metadata->set);
    metadata->set = set;
    atomic_store(&metadata->root, version_of(set, "root"));
    atomic_store(&metadata->timestamp, version_of(set, "timestamp"));
}

static covey_status accept(covey__metadata *metadata, const covey__metadata_document *documents,
                           size_t count, int64_t now_ms, covey_error *error) {
    covey__metadata_set *next = NULL;
    covey_status status = covey__metadata_set_copy(metadata->set, &next, error);
    if (status == COVEY_OK) status = take_all(metadata, next, documents, count, error);
    if (status == COVEY_OK) status = covey__metadata_check(next, now_ms, error);
    if (status == COVEY_OK) status = check_online(metadata, next, error);
    if (status == COVEY_OK) status = make_snapshot(metadata, next, now_ms, error);
    if (status == COVEY_OK) status = make_timestamp(metadata, next, now_ms, error);
    if (status == COVEY_OK) status = write_named(metadata, metadata->set, next, error);
    if (status == COVEY_OK) status = write_roots(metadata, documents, count, error);
    if (status == COVEY_OK) status = write_timestamp(metadata, next, error);
    if (status != COVEY_OK) {
        covey__metadata_set_free(next);
        return status;
    }
    take_set(metadata, next);
    metadata->issued_ms = now_ms;
    return COVEY_OK;
}

covey_status covey__metadata_accept(covey__metadata *metadata,
                                    const covey__metadata_document *documents, size_t count,
                                    int64_t now_ms, covey_error *error) {
    pthread_mutex_lock(&metadata->lock);
    covey_status status = accept(metadata, documents, count, now_ms, error);
    pthread_mutex_unlock(&metadata->lock);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "metadata");
}

/* ---- Renewal ----------------------------------------------------------------------------------
 */

static bool is_good(const covey__metadata *metadata, covey__metadata_set *set, const char *role,
                    covey__tuf_type type) {
    const covey__metadata_item *item = covey__metadata_item_find(set, role);
    const covey__metadata_item *root = covey__metadata_item_find(set, "root");
    return item != NULL &&
           !covey__tuf_verify(metadata->env, item->document, &root->document->top[type], NULL);
}

static covey_status renew(covey__metadata *metadata, int64_t now_ms, covey_error *error) {
    covey__metadata_set *set = NULL;
    if (covey__metadata_item_find(metadata->set, "root") == NULL ||
        covey__metadata_item_find(metadata->set, "targets") == NULL)
        return COVEY_OK;
    const covey__metadata_item *snapshot = covey__metadata_item_find(metadata->set, "snapshot");
    /* After a root that changed the online key, what the old key signed is worth nothing. */
    bool snapshot_due = snapshot == NULL || metadata->rolled_forward ||
                        snapshot->document->expires_ms - now_ms < COVEY__METADATA_SNAPSHOT_MS / 2 ||
                        !is_good(metadata, metadata->set, "snapshot", COVEY__TUF_SNAPSHOT);
    bool due = snapshot_due || now_ms - metadata->issued_ms >= COVEY__METADATA_RENEW_MS ||
               now_ms < metadata->issued_ms ||
               !is_good(metadata, metadata->set, "timestamp", COVEY__TUF_TIMESTAMP);
    if (!due) return COVEY_OK;
    covey_status status = covey__metadata_set_copy(metadata->set, &set, error);
    if (status == COVEY_OK) status = check_online(metadata, set, error);
    if (status == COVEY_OK && snapshot_due) status = make_snapshot(metadata, set, now_ms, error);
    if (status == COVEY_OK) status = make_timestamp(metadata, set, now_ms, error);
    if (status == COVEY_OK) status = write_named(metadata, metadata->set, set, error);
    if (status == COVEY_OK) status = write_timestamp(metadata, set, error);
    if (status != COVEY_OK) {
        covey__metadata_set_free(set);
        return status;
    }
    take_set(metadata, set);
    metadata->issued_ms = now_ms;
    metadata->rolled_forward = false;
    return COVEY_OK;
}

covey_status covey__metadata_renew(covey__metadata *metadata, int64_t now_ms, covey_error *error) {
    pthread_mutex_lock(&metadata->lock);
    covey_status status = renew(metadata, now_ms, error);
    pthread_mutex_unlock(&metadata->lock);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "metadata");
}

/* ---- Opening ----------------------------------------------------------------------------------
 */

static covey_status load_one(const covey__metadata *metadata, covey__metadata_set *set,
                             const char *role, int64_t version, covey_error *error) {
    covey__buffer text;
    covey_status status = read_document(metadata, role, version, &text, error);
    if (status != COVEY_OK) return status;
    status = covey__metadata_put(set, role, text.data, text.size, error);
    covey__buffer_free(&text);
    return status;
}

/* The newest root of an unbroken chain of files. */
static covey_status load_root(const covey__metadata *metadata, covey__metadata_set *set,
                              covey_error *error) {
    int64_t version = 0;
    covey_error absent;
    while (load_one(metadata, set, "root", version + 1, &absent) == COVEY_OK) version++;
    if (absent.status == COVEY_ERROR_NOT_FOUND) return COVEY_OK;
    if (error != NULL) *error = absent;
    return absent.status;
}

/* What the timestamp names, as a device would walk it. */
static covey_status load_named(const covey__metadata *metadata, covey__metadata_set *set,
                               covey_error *error) {
    covey_error absent;
    covey_status status = load_one(metadata, set, "timestamp", 0, &absent);
    if (status == COVEY_ERROR_NOT_FOUND) return COVEY_OK;
    if (status != COVEY_OK) {
        if (error != NULL) *error = absent;
        return status;
    }
    const covey__tuf_document *timestamp = covey__metadata_item_find(set, "timestamp")->document;
    const covey__tuf_file *file = covey__tuf_file_find(timestamp, "snapshot.json");
    if (file == NULL)
        return covey__fail(error, COVEY_ERROR_FORMAT, "timestamp: it names no snapshot");
    status = load_one(metadata, set, "snapshot", file->version, error);
    if (status != COVEY_OK) return status;
    const covey__tuf_document *snapshot = covey__metadata_item_find(set, "snapshot")->document;
    for (size_t i = 0; status == COVEY_OK && i < snapshot->file_count; i++) {
        char role[COVEY__METADATA_ROLE_SIZE];
        const covey__tuf_file *named = snapshot->files[i];
        size_t size = strlen(named->name);
        if (size < 6 || size - 5 >= sizeof role || strcmp(named->name + size - 5, ".json") != 0)
            return covey__fail(error, COVEY_ERROR_FORMAT, "snapshot: it names a strange role");
        snprintf(role, sizeof role, "%.*s", (int)(size - 5), named->name);
        status = load_one(metadata, set, role, named->version, error);
    }
    return status;
}

/* A crash between a root and the timestamp can leave targets that the new root does not hold for.
 * Their successors were written before that root: they are taken where the whole is right then. */
static covey_status roll_forward(covey__metadata *metadata, covey_error *error) {
    covey__metadata_set *next = NULL;
    int64_t now_ms = covey__now_ms(metadata->env);
    if (covey__metadata_item_find(metadata->set, "targets") == NULL) return COVEY_OK;
    if (covey__metadata_check(metadata->set, now_ms, NULL) == COVEY_OK) return COVEY_OK;
    covey_status status = covey__metadata_set_copy(metadata->set, &next, error);
    if (status != COVEY_OK) return status;
    for (size_t i = 0; i < next->role_count; i++) {
        const char *role = next->roles[i].name;
        if (type_of(role) != COVEY__TUF_TARGETS) continue;
        covey_error absent;
        while (load_one(metadata, next, role, version_of(next, role) + 1, &absent) == COVEY_OK) {
        }
    }
    if (covey__metadata_check(next, now_ms, NULL) != COVEY_OK) {
        covey__metadata_set_free(next);
        return COVEY_OK; /* what is served stays; the publisher sends what is missing */
    }
    take_set(metadata, next);
    metadata->rolled_forward = true;
    return COVEY_OK;
}

covey_status covey__metadata_open(const covey__env *env, const char *folder,
                                  const covey__signer *online, covey__metadata **metadata,
                                  covey_error *error) {
    *metadata = NULL;
    covey__metadata *made = covey__calloc(env, 1, sizeof *made);
    if (made == NULL) return covey__no_memory(error, "metadata", sizeof *made);
    made->env = env;
    made->online = online;
    if (pthread_mutex_init(&made->lock, NULL) != 0) {
        covey__free(env, made);
        return covey__no_memory(error, "metadata", 0);
    }
    made->folder = covey__strdup(env, folder);
    covey_status status =
        made->folder ? COVEY_OK : covey__no_memory(error, "metadata", strlen(folder));
    if (status == COVEY_OK) status = covey__folder_make(env, folder, error);
    if (status == COVEY_OK) status = covey__metadata_set_new(env, &made->set, error);
    if (status == COVEY_OK) status = load_root(made, made->set, error);
    if (status == COVEY_OK) status = load_named(made, made->set, error);
    if (status == COVEY_OK) status = roll_forward(made, error);
    if (status != COVEY_OK) {
        covey__metadata_close(made);
        return covey__prefix(error, status, "metadata: %s", folder);
    }
    const covey__metadata_item *timestamp = covey__metadata_item_find(made->set, "timestamp");
    made->issued_ms = timestamp == NULL ? 0 : timestamp->document->issued_ms;
    take_set(made, made->set);
    *metadata = made;
    return COVEY_OK;
}

void covey__metadata_close(covey__metadata *metadata) {
    if (metadata == NULL) return;
    covey__metadata_set_free(metadata->set);
    covey__free(metadata->env, metadata->folder);
    pthread_mutex_destroy(&metadata->lock);
    covey__free(metadata->env, metadata);
}

/* ---- Asking -----------------------------------------------------------------------------------
 */

covey_status covey__metadata_read(covey__metadata *metadata, const char *name, covey__buffer *out,
                                  covey_error *error) {
    char role[COVEY__METADATA_ROLE_SIZE + 32];
    size_t digits = strspn(name, "0123456789"), size = strlen(name);
    const char *rest = digits > 0 && name[digits] == '.' ? name + digits + 1 : name;
    size_t rest_size = size - (size_t)(rest - name);
    bool named = rest_size > 5 && rest_size - 5 < COVEY__METADATA_ROLE_SIZE &&
                 strcmp(rest + rest_size - 5, ".json") == 0 && digits < 19 && name[0] != '0';
    snprintf(role, sizeof role, "%.*s", named ? (int)(rest_size - 5) : 0, rest);
    bool is_timestamp = strcmp(name, "timestamp.json") == 0;
    if (!named || (rest == name && !is_timestamp) ||
        (strcmp(role, "snapshot") != 0 && strcmp(role, "root") != 0 && !is_timestamp &&
         !covey__metadata_role_valid(role)))
        return covey__fail(error, COVEY_ERROR_NOT_FOUND, "metadata: no such document");
    char *path = covey__format(metadata->env, "%s/%s", metadata->folder, name);
    if (path == NULL) return covey__no_memory(error, "a path", 0);
    covey_status status = covey__file_read(metadata->env, path, out, error);
    covey__free(metadata->env, path);
    return status;
}

covey__metadata_versions covey__metadata_newest(covey__metadata *metadata) {
    covey__metadata_versions versions;
    versions.timestamp = atomic_load(&metadata->timestamp);
    versions.root = atomic_load(&metadata->root);
    return versions;
}

covey_status covey__metadata_find(covey__metadata *metadata, const char *name,
                                  covey__metadata_target *target, covey_error *error) {
    pthread_mutex_lock(&metadata->lock);
    bool found = covey__metadata_look_up(metadata->set, name, target);
    pthread_mutex_unlock(&metadata->lock);
    if (found) return COVEY_OK;
    char shown[128];
    return covey__fail(error, COVEY_ERROR_NOT_FOUND, "metadata: no role describes %s",
                       covey__printable(name, strlen(name), shown, sizeof shown));
}

void covey__metadata_each(covey__metadata *metadata,
                          void (*each)(void *user, const covey__metadata_role *role), void *user) {
    pthread_mutex_lock(&metadata->lock);
    covey__metadata_list(metadata->set, each, user);
    pthread_mutex_unlock(&metadata->lock);
}
