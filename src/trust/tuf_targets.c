/* Reading the signed part of a targets role: what it says of targets, and to whom it delegates.
 * Delegations keep their order, for the first that matches is trusted over the next. Neighbours:
 * tuf_document.c has the envelope and what the roles share; tuf_find.c walks delegations. */
#include "base/error.h"
#include "trust/tuf_document.h"

#include <stdio.h>
#include <string.h>

static covey_status keep_custom(covey__tuf_reader *reader, const covey__json *node,
                                covey__tuf_entry *entry, covey_error *error) {
    covey__arena *arena = &reader->document->arena;
    covey__buffer text;
    covey__json_writer writer;
    covey__buffer_init(&text, reader->env, COVEY__TUF_BYTES_MAX);
    covey__json_writer_init(&writer, &text, false);
    covey__json_put_node(&writer, node);
    covey_status status = covey__buffer_check(&text, error, "custom");
    if (status == COVEY_OK) {
        entry->custom = covey__arena_strndup(arena, text.data, text.size);
        entry->custom_size = text.size;
        if (entry->custom == NULL) status = covey__arena_fail(arena, text.size, error, "custom");
    }
    covey__buffer_free(&text);
    return status;
}

static covey_status read_entry(covey__tuf_reader *reader, const covey__json *node,
                               covey__tuf_entry *entry, covey_error *error) {
    static const char path[] = "signed.targets[]";
    covey_status status = covey__tuf_copy_name(
        reader, node->name, node->name_size, COVEY__TUF_NAME_BYTES_MAX, path, &entry->name, error);
    if (status == COVEY_OK)
        status = covey__json_i64(node, "length", path, 0, INT64_MAX, &entry->length, error);
    if (status == COVEY_OK)
        status = covey__tuf_read_hashes(reader, node, path, &entry->hashes, error);
    const covey__json *custom = covey__json_get(node, "custom");
    if (status == COVEY_OK && custom != NULL) status = keep_custom(reader, custom, entry, error);
    return status;
}

static covey_status read_entries(covey__tuf_reader *reader, const covey__json *object,
                                 covey_error *error) {
    covey__tuf_document *document = reader->document;
    covey__tuf_entry *entries =
        covey__arena_calloc(&document->arena, object->size + 1, sizeof *entries);
    if (entries == NULL)
        return covey__arena_fail(&document->arena, object->size * sizeof *entries, error,
                                 "signed.targets");
    for (const covey__json *node = object->child; node != NULL; node = node->next) {
        covey_status status = read_entry(reader, node, entries + document->target_count, error);
        if (status != COVEY_OK) return status;
        document->target_count++;
    }
    return covey__tuf_sort(reader, entries, sizeof *entries, document->target_count,
                           &document->targets, error);
}

static bool is_prefix_of_hash(const char *text) {
    size_t size = strspn(text, "0123456789abcdefABCDEF");
    return size > 0 && size <= 64 && text[size] == '\0';
}

static covey_status read_patterns(covey__tuf_reader *reader, const covey__json *array,
                                  const char *path, covey__tuf_role *role, covey_error *error) {
    covey__arena *arena = &reader->document->arena;
    if (array->size > COVEY__TUF_PATTERN_COUNT_MAX - reader->pattern_count)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__TUF_PATTERN_COUNT_MAX,
                                 (int64_t)(reader->pattern_count + array->size),
                                 "%s: more than %d patterns in one document", path,
                                 COVEY__TUF_PATTERN_COUNT_MAX);
    reader->pattern_count += array->size;
    role->patterns = covey__arena_calloc(arena, array->size + 1, sizeof *role->patterns);
    if (role->patterns == NULL)
        return covey__arena_fail(arena, array->size * sizeof *role->patterns, error, path);
    for (const covey__json *node = array->child; node != NULL; node = node->next) {
        if (node->kind != COVEY__JSON_STRING)
            return covey__fail(error, COVEY_ERROR_FORMAT, "%s: expected patterns as strings", path);
        if (node->size == 0 && !role->by_hash) continue; /* matches no name */
        const char **pattern = role->patterns + role->pattern_count;
        covey_status status = covey__tuf_copy_name(reader, node->text, node->size,
                                                   COVEY__TUF_NAME_BYTES_MAX, path, pattern, error);
        if (status != COVEY_OK) return status;
        if (role->by_hash && !is_prefix_of_hash(*pattern))
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "%s.path_hash_prefixes: expected hex digits", path);
        role->pattern_count++;
    }
    return COVEY_OK;
}

/* A role of that name would take a top-level one's place in the store and in the snapshot. */
static bool is_top_level(const char *name) {
    for (int i = 0; i < COVEY__TUF_TOP_COUNT; i++) {
        if (strcmp(name, covey__tuf_type_name((covey__tuf_type)i)) == 0) return true;
    }
    return false;
}

static covey_status read_role_name(covey__tuf_reader *reader, const covey__json *node,
                                   covey__tuf_role *role, covey_error *error) {
    static const char path[] = "signed.delegations.roles[]";
    const covey__json *name;
    covey_status status = covey__json_member(node, "name", path, COVEY__JSON_STRING, &name, error);
    if (status == COVEY_OK)
        status = covey__tuf_copy_name(reader, name->text, name->size, COVEY__TUF_NAME_BYTES_MAX,
                                      path, &role->name, error);
    if (status == COVEY_OK && is_top_level(role->name))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: \"%s\" is a top-level role and cannot be delegated to", path,
                           role->name);
    return status;
}

static covey_status read_delegation(covey__tuf_reader *reader, const covey__json *node,
                                    covey__tuf_role *role, covey_error *error) {
    static const char path[] = "signed.delegations.roles[]";
    covey_status status = read_role_name(reader, node, role, error);
    if (status == COVEY_OK) status = covey__tuf_read_role(reader, node, path, role, error);
    if (status == COVEY_OK && covey__json_get(node, "terminating") != NULL)
        status = covey__json_bool(node, "terminating", path, &role->terminating, error);
    if (status != COVEY_OK) return status;
    const covey__json *paths = covey__json_get(node, "paths");
    const covey__json *prefixes = covey__json_get(node, "path_hash_prefixes");
    if (paths != NULL && prefixes != NULL)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: paths and path_hash_prefixes, expected one of them", path);
    role->by_hash = prefixes != NULL;
    if (paths == NULL && prefixes == NULL) return COVEY_OK; /* speaks for nothing */
    status = covey__json_member(node, role->by_hash ? "path_hash_prefixes" : "paths", path,
                                COVEY__JSON_ARRAY, &paths, error);
    if (status == COVEY_OK) status = read_patterns(reader, paths, path, role, error);
    return status;
}

static covey_status read_delegation_list(covey__tuf_reader *reader, const covey__json *array,
                                         covey_error *error) {
    covey__tuf_document *document = reader->document;
    const void **sorted;
    if (array->size > COVEY__TUF_DELEGATION_COUNT_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__TUF_DELEGATION_COUNT_MAX,
                                 (int64_t)array->size,
                                 "signed.delegations: %zu roles, at most %d are allowed",
                                 array->size, COVEY__TUF_DELEGATION_COUNT_MAX);
    document->roles =
        covey__arena_calloc(&document->arena, array->size + 1, sizeof *document->roles);
    if (document->roles == NULL)
        return covey__arena_fail(&document->arena, array->size * sizeof *document->roles, error,
                                 "signed.delegations");
    covey_status status = COVEY_OK;
    for (const covey__json *node = array->child; node != NULL; node = node->next) {
        status = read_delegation(reader, node, document->roles + document->role_count, error);
        if (status != COVEY_OK) return status;
        document->role_count++;
    }
    status = covey__tuf_sort(reader, document->roles, sizeof *document->roles, document->role_count,
                             &sorted, error);
    for (size_t i = 1; status == COVEY_OK && i < document->role_count; i++) {
        const covey__tuf_role *one = sorted[i - 1], *two = sorted[i];
        if (strcmp(one->name, two->name) == 0)
            status = covey__fail(error, COVEY_ERROR_FORMAT,
                                 "signed.delegations.roles: a name twice, expected each once");
    }
    return status;
}

static covey_status read_bins(covey__tuf_reader *reader, const covey__json *object,
                              covey_error *error) {
    static const char path[] = "signed.delegations.succinct_roles";
    covey__tuf_document *document = reader->document;
    const covey__json *prefix;
    int64_t bits;
    covey_status status =
        covey__json_i64(object, "bit_length", path, 1, COVEY__TUF_BIN_BITS_MAX, &bits, error);
    if (status == COVEY_OK)
        status =
            covey__json_member(object, "name_prefix", path, COVEY__JSON_STRING, &prefix, error);
    if (status == COVEY_OK)
        status =
            covey__tuf_copy_name(reader, prefix->text, prefix->size, COVEY__TUF_NAME_BYTES_MAX - 10,
                                 path, &document->bin_prefix, error);
    if (status == COVEY_OK)
        status = covey__tuf_read_role(reader, object, path, &document->bin, error);
    if (status != COVEY_OK) return status;
    document->bin.terminating = true;
    document->bin_bits = (uint32_t)bits;
    return COVEY_OK;
}

static covey_status read_delegations(covey__tuf_reader *reader, const covey__json *object,
                                     covey_error *error) {
    const covey__json *keys, *roles = covey__json_get(object, "roles");
    const covey__json *bins = covey__json_get(object, "succinct_roles");
    covey_status status =
        covey__json_member(object, "keys", "signed.delegations", COVEY__JSON_OBJECT, &keys, error);
    if (status == COVEY_OK)
        status = covey__tuf_read_keys(reader, keys, "signed.delegations.keys", error);
    if (status != COVEY_OK) return status;
    if ((roles != NULL) == (bins != NULL))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "signed.delegations: expected either roles or succinct_roles");
    if (bins != NULL) {
        status = covey__json_member(object, "succinct_roles", "signed.delegations",
                                    COVEY__JSON_OBJECT, &bins, error);
        return status == COVEY_OK ? read_bins(reader, bins, error) : status;
    }
    status =
        covey__json_member(object, "roles", "signed.delegations", COVEY__JSON_ARRAY, &roles, error);
    return status == COVEY_OK ? read_delegation_list(reader, roles, error) : status;
}

covey_status covey__tuf_read_targets(covey__tuf_reader *reader, const covey__json *signed_part,
                                     covey_error *error) {
    const covey__json *targets, *delegations = covey__json_get(signed_part, "delegations");
    covey_status status =
        covey__json_member(signed_part, "targets", "signed", COVEY__JSON_OBJECT, &targets, error);
    if (status == COVEY_OK) status = read_entries(reader, targets, error);
    if (status != COVEY_OK || delegations == NULL) return status;
    status = covey__json_member(signed_part, "delegations", "signed", COVEY__JSON_OBJECT,
                                &delegations, error);
    return status == COVEY_OK ? read_delegations(reader, delegations, error) : status;
}
