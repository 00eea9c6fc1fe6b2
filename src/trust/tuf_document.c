/* Reading metadata of The Update Framework: the envelope, root, timestamp and snapshot, and what is
 * asked of any document. The tree of a document lives while it is read; what is kept is compact and
 * in the document's own arena. Every count has a bound (tuf_document.h), checked before anything is
 * made of it. Neighbours: tuf_targets.c reads targets and delegations; tuf_verify.c counts
 * signatures. */
#include "trust/tuf_document.h"
#include "base/error.h"
#include "base/sha256.h"
#include "base/sort.h"
#include "base/utc.h"
#include "trust/canonical_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {"root", "timestamp", "snapshot", "targets"};

const char *covey__tuf_type_name(covey__tuf_type type) {
    return type_names[type];
}

covey_status covey__tuf_copy_name(covey__tuf_reader *reader, const char *text, size_t size,
                                  size_t max, const char *what, const char **out,
                                  covey_error *error) {
    if (size > max)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)max, (int64_t)size,
                                 "%s: a name of %zu bytes, at most %zu are allowed", what, size,
                                 max);
    if (size == 0 || memchr(text, 0, size) != NULL)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: expected a name, found %s", what,
                           size == 0 ? "an empty one" : "one with a NUL in it");
    char *copy = covey__arena_strndup(&reader->document->arena, text, size);
    if (copy == NULL) return covey__arena_fail(&reader->document->arena, size, error, what);
    *out = copy;
    return COVEY_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

covey_status covey__tuf_sort(covey__tuf_reader *reader, const void *first, size_t stride,
                             size_t count, const void ***sorted, covey_error *error) {
    covey__arena *arena = &reader->document->arena;
    *sorted = covey__arena_calloc(arena, count + 1, sizeof **sorted);
    const void **scratch = covey__calloc(reader->env, count + 1, sizeof *scratch);
    covey_status status = COVEY_OK;
    if (*sorted == NULL)
        status = covey__arena_fail(arena, count * sizeof **sorted, error, "an index of names");
    else if (scratch == NULL)
        status = covey__no_memory(error, "an index of names", count * sizeof *scratch);
    for (size_t i = 0; status == COVEY_OK && i < count; i++)
        (*sorted)[i] = (const char *)first + i * stride;
    if (status == COVEY_OK) covey__sort_pointers(*sorted, scratch, count, by_name);
    covey__free(reader->env, scratch);
    return status;
}

const void *covey__tuf_lookup(const void *const *sorted, size_t count, const char *name) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(*(const char *const *)sorted[middle], name);
        if (order == 0) return sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static covey_status read_signature(covey__tuf_reader *reader, const covey__json *node,
                                   covey__tuf_signature *signature, covey_error *error) {
    covey__arena *arena = &reader->document->arena;
    const covey__json *id, *text;
    covey_status status =
        covey__json_member(node, "keyid", "signatures[]", COVEY__JSON_STRING, &id, error);
    if (status == COVEY_OK)
        status = covey__json_member(node, "sig", "signatures[]", COVEY__JSON_STRING, &text, error);
    if (status == COVEY_OK)
        status = covey__tuf_copy_name(reader, id->text, id->size, COVEY__TUF_KEY_ID_BYTES_MAX,
                                      "signatures[].keyid", &signature->name, error);
    if (status != COVEY_OK) return status;
    size_t size = text->size / 2;
    /* What is no signature counts as none: others may be enough. */
    if (size == 0 || size > COVEY__TUF_SIGNATURE_BYTES_MAX) return COVEY_OK;
    uint8_t *bytes = covey__arena_alloc(arena, size);
    if (bytes == NULL) return covey__arena_fail(arena, size, error, "a signature");
    if (!covey__unhex(text->text, text->size, bytes, size)) return COVEY_OK;
    signature->bytes = bytes;
    signature->size = size;
    return COVEY_OK;
}

/* Two signatures under one id are refused: the specification forbids them (section 4.2). */
static covey_status read_signatures(covey__tuf_reader *reader, const covey__json *array,
                                    covey_error *error) {
    covey__tuf_document *document = reader->document;
    const void **sorted;
    if (array->size > COVEY__TUF_SIGNATURE_COUNT_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__TUF_SIGNATURE_COUNT_MAX,
                                 (int64_t)array->size, "%zu signatures, at most %d are allowed",
                                 array->size, COVEY__TUF_SIGNATURE_COUNT_MAX);
    document->signatures =
        covey__arena_calloc(&document->arena, array->size + 1, sizeof *document->signatures);
    if (document->signatures == NULL)
        return covey__arena_fail(&document->arena, array->size, error, "signatures");
    covey_status status = COVEY_OK;
    for (const covey__json *node = array->child; node != NULL; node = node->next) {
        status =
            read_signature(reader, node, document->signatures + document->signature_count++, error);
        if (status != COVEY_OK) return status;
    }
    status = covey__tuf_sort(reader, document->signatures, sizeof *document->signatures,
                             document->signature_count, &sorted, error);
    for (size_t i = 1; status == COVEY_OK && i < document->signature_count; i++) {
        if (by_name(sorted[i - 1], sorted[i]) == 0) {
            char shown[80];
            const char *id = *(const char *const *)sorted[i];
            status = covey__fail(error, COVEY_ERROR_FORMAT,
                                 "two signatures by the key \"%s\", expected one a key",
                                 covey__printable(id, strlen(id), shown, sizeof shown));
        }
    }
    return status;
}

covey_status covey__tuf_read_keys(covey__tuf_reader *reader, const covey__json *object,
                                  const char *path, covey_error *error) {
    covey__tuf_document *document = reader->document;
    if (object->size > COVEY__TUF_KEY_COUNT_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__TUF_KEY_COUNT_MAX,
                                 (int64_t)object->size, "%s: %zu keys, at most %d are allowed",
                                 path, object->size, COVEY__TUF_KEY_COUNT_MAX);
    covey__tuf_key *keys = covey__arena_calloc(&document->arena, object->size + 1, sizeof *keys);
    if (keys == NULL) return covey__arena_fail(&document->arena, object->size, error, path);
    for (const covey__json *node = object->child; node != NULL; node = node->next) {
        covey__tuf_key *key = keys + document->key_count;
        covey_status status =
            covey__tuf_copy_name(reader, node->name, node->name_size, COVEY__TUF_KEY_ID_BYTES_MAX,
                                 path, &key->name, error);
        if (status == COVEY_OK)
            status = covey__public_key_read(&document->arena, node, &key->key, error);
        if (status != COVEY_OK) return covey__prefix(error, status, "%s", path);
        document->key_count++;
    }
    return covey__tuf_sort(reader, keys, sizeof *keys, document->key_count, &document->keys, error);
}

static covey_status read_key_ids(covey__tuf_reader *reader, const covey__json *array,
                                 const char *path, covey__tuf_role *role, covey_error *error) {
    covey__tuf_document *document = reader->document;
    for (const covey__json *node = array->child; node != NULL; node = node->next) {
        if (node->kind != COVEY__JSON_STRING)
            return covey__fail(error, COVEY_ERROR_FORMAT, "%s.keyids: expected strings", path);
        const char **id = role->key_ids + role->key_count;
        covey_status status = covey__tuf_copy_name(reader, node->text, node->size,
                                                   COVEY__TUF_KEY_ID_BYTES_MAX, path, id, error);
        if (status != COVEY_OK) return status;
        for (size_t i = 0; i < role->key_count; i++) {
            if (strcmp(role->key_ids[i], *id) == 0)
                return covey__fail(error, COVEY_ERROR_FORMAT,
                                   "%s.keyids: a key id twice, expected each once", path);
        }
        role->keys[role->key_count++] = covey__tuf_lookup(document->keys, document->key_count, *id);
    }
    return COVEY_OK;
}

covey_status covey__tuf_read_role(covey__tuf_reader *reader, const covey__json *object,
                                  const char *path, covey__tuf_role *role, covey_error *error) {
    covey__arena *arena = &reader->document->arena;
    const covey__json *ids;
    covey_status status =
        covey__json_member(object, "keyids", path, COVEY__JSON_ARRAY, &ids, error);
    if (status == COVEY_OK)
        status = covey__json_i64(object, "threshold", path, 1, INT32_MAX, &role->threshold, error);
    if (status != COVEY_OK) return status;
    if (ids->size > COVEY__TUF_ROLE_KEY_COUNT_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__TUF_ROLE_KEY_COUNT_MAX,
                                 (int64_t)ids->size, "%s: %zu keys, at most %d are allowed", path,
                                 ids->size, COVEY__TUF_ROLE_KEY_COUNT_MAX);
    role->key_ids = covey__arena_calloc(arena, ids->size + 1, sizeof *role->key_ids);
    role->keys = covey__arena_calloc(arena, ids->size + 1, sizeof *role->keys);
    if (role->key_ids == NULL || role->keys == NULL)
        return covey__arena_fail(arena, ids->size * sizeof *role->keys, error, path);
    return read_key_ids(reader, ids, path, role, error);
}

static covey_status read_root(covey__tuf_reader *reader, const covey__json *signed_part,
                              covey_error *error) {
    covey__tuf_document *document = reader->document;
    const covey__json *keys, *roles, *role;
    if (covey__json_get(signed_part, "consistent_snapshot") != NULL) {
        covey_status status = covey__json_bool(signed_part, "consistent_snapshot", "signed",
                                               &document->consistent_snapshot, error);
        if (status != COVEY_OK) return status;
    }
    covey_status status =
        covey__json_member(signed_part, "keys", "signed", COVEY__JSON_OBJECT, &keys, error);
    if (status == COVEY_OK)
        status =
            covey__json_member(signed_part, "roles", "signed", COVEY__JSON_OBJECT, &roles, error);
    if (status == COVEY_OK) status = covey__tuf_read_keys(reader, keys, "signed.keys", error);
    for (int i = 0; status == COVEY_OK && i < COVEY__TUF_TOP_COUNT; i++) {
        char path[40];
        (void)snprintf(path, sizeof path, "signed.roles.%s", type_names[i]);
        document->top[i].name = type_names[i];
        status = covey__json_member(roles, type_names[i], "signed.roles", COVEY__JSON_OBJECT, &role,
                                    error);
        if (status == COVEY_OK)
            status = covey__tuf_read_role(reader, role, path, document->top + i, error);
    }
    return status;
}

/* The hex of one hash of `object`; false when it is absent or no hash. */
static covey_status read_hash(const covey__json *hashes, const char *name, const char *path,
                              uint8_t *out, size_t size, bool *found, covey_error *error) {
    const covey__json *node = covey__json_get(hashes, name);
    *found = node != NULL;
    if (node == NULL) return COVEY_OK;
    if (node->kind != COVEY__JSON_STRING || !covey__unhex(node->text, node->size, out, size))
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s.hashes.%s: expected %zu hex digits", path,
                           name, 2 * size);
    return COVEY_OK;
}

covey_status covey__tuf_read_hashes(covey__tuf_reader *reader, const covey__json *object,
                                    const char *path, covey__tuf_hashes *out, covey_error *error) {
    const covey__json *hashes;
    uint8_t sha512[64];
    bool has_sha512;
    covey_status status =
        covey__json_member(object, "hashes", path, COVEY__JSON_OBJECT, &hashes, error);
    if (status != COVEY_OK) return status;
    if (hashes->size == 0)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s.hashes: expected a hash, found none",
                           path);
    out->given = true;
    status = read_hash(hashes, "sha256", path, out->sha256, 32, &out->has_sha256, error);
    if (status == COVEY_OK)
        status = read_hash(hashes, "sha512", path, sha512, 64, &has_sha512, error);
    if (status != COVEY_OK || !has_sha512) return status;
    uint8_t *kept = covey__arena_alloc(&reader->document->arena, 64);
    if (kept == NULL) return covey__arena_fail(&reader->document->arena, 64, error, path);
    memcpy(kept, sha512, 64);
    out->sha512 = kept;
    return COVEY_OK;
}

static covey_status read_file(covey__tuf_reader *reader, const covey__json *node,
                              covey__tuf_file *file, covey_error *error) {
    static const char path[] = "signed.meta[]";
    covey_status status =
        covey__tuf_copy_name(reader, node->name, node->name_size, 3 * COVEY__TUF_NAME_BYTES_MAX,
                             path, &file->name, error);
    if (status == COVEY_OK)
        status = covey__json_i64(node, "version", path, 1, INT64_MAX - 1, &file->version, error);
    file->length = -1;
    if (status == COVEY_OK && covey__json_get(node, "length") != NULL)
        status = covey__json_i64(node, "length", path, 0, INT64_MAX, &file->length, error);
    if (status == COVEY_OK && covey__json_get(node, "hashes") != NULL)
        status = covey__tuf_read_hashes(reader, node, path, &file->hashes, error);
    return status;
}

/* The "meta" of a timestamp or a snapshot, which must name `needed`. */
static covey_status read_files(covey__tuf_reader *reader, const covey__json *signed_part,
                               const char *needed, covey_error *error) {
    covey__tuf_document *document = reader->document;
    const covey__json *meta;
    covey_status status =
        covey__json_member(signed_part, "meta", "signed", COVEY__JSON_OBJECT, &meta, error);
    if (status != COVEY_OK) return status;
    covey__tuf_file *files = covey__arena_calloc(&document->arena, meta->size + 1, sizeof *files);
    if (files == NULL)
        return covey__arena_fail(&document->arena, meta->size * sizeof *files, error,
                                 "signed.meta");
    for (const covey__json *node = meta->child; node != NULL; node = node->next) {
        status = read_file(reader, node, files + document->file_count, error);
        if (status != COVEY_OK) return status;
        document->file_count++;
    }
    status = covey__tuf_sort(reader, files, sizeof *files, document->file_count, &document->files,
                             error);
    if (status == COVEY_OK && covey__tuf_file_find(document, needed) == NULL)
        return covey__fail(error, COVEY_ERROR_FORMAT, "signed.meta: expected \"%s\" in it", needed);
    return status;
}

static covey_status read_timestamp(covey__tuf_reader *reader, const covey__json *signed_part,
                                   covey_error *error) {
    const covey__json *issued = covey__json_get(signed_part, "covey_issued");
    if (issued != NULL && (issued->kind != COVEY__JSON_STRING ||
                           !covey__utc_parse(issued->text, &reader->document->issued_ms)))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "signed.covey_issued: expected YYYY-MM-DDTHH:MM:SSZ");
    return read_files(reader, signed_part, "snapshot.json", error);
}

/* "1.0" or "1.0.31": the first number decides. */
static covey_status check_spec_version(const covey__json *signed_part, covey_error *error) {
    const char *text;
    covey_status status = covey__json_string(signed_part, "spec_version", "signed", &text, error);
    if (status != COVEY_OK) return status;
    int dots = 0;
    bool well_formed = text[0] != '.' && text[0] != '\0';
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '.') {
            dots++;
            well_formed = well_formed && at[1] >= '0' && at[1] <= '9';
        } else if (*at < '0' || *at > '9') {
            well_formed = false;
        }
    }
    char shown[40];
    covey__printable(text, strlen(text), shown, sizeof shown);
    if (!well_formed || dots < 1 || dots > 2)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "signed.spec_version: expected 1.MINOR.PATCH, found \"%s\"", shown);
    if (text[0] != '1' || text[1] != '.')
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "signed.spec_version: expected 1.MINOR.PATCH, found \"%s\"", shown);
    return COVEY_OK;
}

/* Some repositories write fractions of a second, which ISO 8601 has and the specification's own
 * form has not: they are left out, so that nothing is valid for longer. */
static bool read_expiry(const char *text, int64_t *ms) {
    char whole[COVEY__UTC_SIZE];
    size_t size = strlen(text), second = COVEY__UTC_SIZE - 2;
    if (size <= COVEY__UTC_SIZE || size > COVEY__UTC_SIZE + 9 || text[second] != '.')
        return covey__utc_parse(text, ms);
    if (strspn(text + second + 1, "0123456789") != size - second - 2 || text[size - 1] != 'Z')
        return false;
    memcpy(whole, text, second);
    memcpy(whole + second, "Z", 2);
    return covey__utc_parse(whole, ms);
}

/* What all four have in common. */
static covey_status read_common(covey__tuf_reader *reader, const covey__json *signed_part,
                                covey_error *error) {
    covey__tuf_document *document = reader->document;
    const char *type, *expires;
    char shown[40];
    covey_status status = covey__json_string(signed_part, "_type", "signed", &type, error);
    if (status != COVEY_OK) return status;
    if (strcmp(type, type_names[document->type]) != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT, "signed._type: expected \"%s\", found \"%s\"",
                           type_names[document->type],
                           covey__printable(type, strlen(type), shown, sizeof shown));
    status = check_spec_version(signed_part, error);
    if (status == COVEY_OK) /* one less than the largest: the next root's number must fit */
        status = covey__json_i64(signed_part, "version", "signed", 1, INT64_MAX - 1,
                                 &document->version, error);
    if (status == COVEY_OK)
        status = covey__json_string(signed_part, "expires", "signed", &expires, error);
    if (status != COVEY_OK) return status;
    if (!read_expiry(expires, &document->expires_ms))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "signed.expires: expected YYYY-MM-DDTHH:MM:SSZ, found \"%s\"",
                           covey__printable(expires, strlen(expires), shown, sizeof shown));
    return COVEY_OK;
}

static covey_status read_signed(covey__tuf_reader *reader, const covey__json *signed_part,
                                covey_error *error) {
    covey_status status = read_common(reader, signed_part, error);
    if (status != COVEY_OK) return status;
    switch (reader->document->type) {
    case COVEY__TUF_ROOT:
        return read_root(reader, signed_part, error);
    case COVEY__TUF_TIMESTAMP:
        return read_timestamp(reader, signed_part, error);
    case COVEY__TUF_SNAPSHOT:
        return read_files(reader, signed_part, "targets.json", error);
    case COVEY__TUF_TARGETS:
    default:
        return covey__tuf_read_targets(reader, signed_part, error);
    }
}

static covey_status keep_canonical(covey__tuf_reader *reader, const covey__json *signed_part,
                                   size_t size, covey_error *error) {
    covey__buffer bytes;
    /* Never longer than the text it came from, but for what \u escapes hide: six bytes for three.
     */
    covey__buffer_init(&bytes, reader->env, 2 * size + 64);
    covey_status status = covey__canonical_json(signed_part, &bytes, error);
    if (status == COVEY_OK)
        reader->document->canonical = covey__buffer_take(&bytes, &reader->document->canonical_size);
    covey__buffer_free(&bytes);
    return status;
}

static covey_status read_envelope(covey__tuf_reader *reader, covey__arena *tree, const void *data,
                                  size_t size, covey_error *error) {
    covey__json_limits limits = {COVEY__TUF_BYTES_MAX, COVEY__TUF_JSON_DEPTH_MAX,
                                 COVEY__TUF_JSON_NODE_COUNT_MAX};
    const covey__json *root, *signed_part, *signatures;
    covey_status status = covey__json_parse(tree, data, size, limits, &root, error);
    if (status == COVEY_OK)
        status = covey__json_member(root, "signed", "", COVEY__JSON_OBJECT, &signed_part, error);
    if (status == COVEY_OK)
        status = covey__json_member(root, "signatures", "", COVEY__JSON_ARRAY, &signatures, error);
    if (status == COVEY_OK) status = read_signatures(reader, signatures, error);
    if (status == COVEY_OK) status = read_signed(reader, signed_part, error);
    if (status == COVEY_OK) status = keep_canonical(reader, signed_part, size, error);
    return status;
}

covey_status covey__tuf_parse(const covey__env *env, covey__tuf_type type, const void *data,
                              size_t size, covey__tuf_document **out, covey_error *error) {
    *out = NULL;
    covey__tuf_document *document = covey__calloc(env, 1, sizeof *document);
    if (document == NULL) return covey__no_memory(error, type_names[type], sizeof *document);
    covey__arena tree;
    covey__arena_init(&tree, env, COVEY__TUF_TREE_BYTES_MAX);
    covey__arena_init(&document->arena, env, COVEY__TUF_VALUE_BYTES_MAX);
    document->type = type;
    covey__tuf_reader reader = {env, document, 0};
    covey_status status = read_envelope(&reader, &tree, data, size, error);
    covey__arena_free(&tree);
    if (status == COVEY_OK)
        *out = document;
    else
        covey__tuf_free(document);
    return status;
}

void covey__tuf_slim(covey__tuf_document *document) {
    covey__free(document->arena.env, document->canonical);
    document->canonical = NULL;
    document->canonical_size = 0;
}

void covey__tuf_free(covey__tuf_document *document) {
    if (document == NULL) return;
    const covey__env *env = document->arena.env;
    covey__tuf_slim(document);
    covey__arena_free(&document->arena);
    covey__free(env, document);
}
