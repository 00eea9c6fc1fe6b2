/* What an ensemble is and what changes between two, as text for people or as JSON. The figure that
 * matters of a change is what a device with the old one must fetch: both are cut into chunks here
 * as publishing would, and what the old one has is counted as free. */
#include <covey/bundle.h>

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"
#include "base/sha256.h"
#include "bundle/fields.h"
#include "delta/chunk_maker.h"
#include "delta/chunk_plan.h"

#include "bundle/manifest.h"

#include <inttypes.h>
#include <string.h>

#define TEXT_BYTES_MAX (4u << 20)

typedef struct change {
    const covey__component *from, *to; /* NULL: added, removed */
    uint64_t fetch_bytes;              /* content of `to` that is nowhere in the old ensemble */
} change;

typedef struct diff {
    const covey__env *env;
    covey__manifest *from, *to;
    const char *from_folder;
    covey__chunk_index **indexes; /* of the old components, in their order */
    covey__chunk_source *sources;
    char **paths;
} diff;

static const char *kind_of(const change *c) {
    if (c->from == NULL) return "added";
    if (c->to == NULL) return "removed";
    if (c->from->scale != c->to->scale || c->from->on_request != c->to->on_request)
        return "changed";
    return memcmp(c->from->sha256, c->to->sha256, 32) == 0 ? "same" : "changed";
}

/* "scale 0.5, on request" of an adapter. */
static void put_use_plain(covey__buffer *out, const covey__component *component,
                          const char *before) {
    if (strcmp(component->role, "adapter") != 0) return;
    covey__buffer_format(out, "%sscale %g%s", before, (double)component->scale,
                         component->on_request ? ", on request" : "");
}

static void show_plain(const covey__manifest *manifest, covey__buffer *out) {
    covey__buffer_format(out, "%s@%s %s\n", manifest->name, manifest->version, manifest->variant);
    covey__buffer_format(out, "digest      %s\n", manifest->digest_hex);
    for (size_t i = 0; i < manifest->component_count; i++) {
        const covey__component *component = &manifest->components[i];
        char hex[65], key[33];
        covey__hex(component->sha256, 32, hex);
        covey__buffer_format(out, "%-11s %s, %" PRIu64 " bytes, sha256 %.16s…", component->role,
                             component->file, component->size, hex);
        put_use_plain(out, component, ", ");
        covey__hex(component->key_id, sizeof component->key_id, key);
        if (component->encrypted) covey__buffer_format(out, ", encrypted with key %s", key);
        covey__buffer_byte(out, '\n');
    }
    covey__buffer_format(out,
                         "needs       %" PRIu64 " bytes of memory, engine interface %" PRId32
                         ", arithmetic %" PRId32 ", app %s",
                         manifest->memory_bytes, manifest->engine_interface,
                         manifest->arithmetic_version, manifest->app);
    for (size_t i = 0; i < manifest->os_count; i++)
        covey__buffer_format(out, ", %s %s", manifest->os[i].os, manifest->os[i].range);
    covey__buffer_byte(out, '\n');
}

static covey_status take_text(covey__buffer *out, char **text, covey_error *error) {
    covey_status status = covey__buffer_check(out, error, "bundle: text");
    if (status == COVEY_OK) *text = covey__buffer_take(out, NULL);
    if (status == COVEY_OK && *text == NULL) status = covey__no_memory(error, "bundle: text", 1);
    covey__buffer_free(out);
    return status;
}

/* The manifest as it was read, with its digest beside it. */
static covey_status show_json(const covey__env *env, const char *folder,
                              const covey__manifest *manifest, covey__buffer *out,
                              covey_error *error) {
    covey__buffer raw;
    covey__arena arena;
    const covey__json *root;
    covey__json_writer writer;
    covey__buffer_init(&raw, env, COVEY__MANIFEST_BYTES_MAX);
    covey__arena_init(&arena, env, 16u << 20);
    char *path = covey__path_join(env, folder, COVEY__MANIFEST_FILE);
    covey_status status = path == NULL ? covey__no_memory(error, "path", strlen(folder))
                                       : covey__file_read(env, path, &raw, error);
    if (status == COVEY_OK)
        status =
            covey__json_parse(&arena, raw.data, raw.size, COVEY__JSON_LIMITS_DEFAULT, &root, error);
    if (status == COVEY_OK) {
        covey__json_writer_init(&writer, out, true);
        covey__json_begin_object(&writer);
        covey__json_member_string(&writer, "digest", manifest->digest_hex);
        covey__json_name(&writer, "manifest");
        covey__json_put_node(&writer, root);
        covey__json_end_object(&writer);
        covey__buffer_byte(out, '\n');
    }
    covey__free(env, path);
    covey__arena_free(&arena);
    covey__buffer_free(&raw);
    return status;
}

covey_status covey_bundle_show(covey_runtime *runtime, const char *folder, bool json, char **text,
                               covey_error *error) {
    if (runtime == NULL || folder == NULL || text == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: runtime, folder and text must not be NULL");
    const covey__env *env = covey__runtime_env(runtime);
    covey__manifest *manifest;
    covey__buffer out;
    *text = NULL;
    covey_status status = covey__manifest_read(env, folder, &manifest, error);
    if (status != COVEY_OK) return status;
    covey__buffer_init(&out, env, TEXT_BYTES_MAX);
    if (json) {
        status = show_json(env, folder, manifest, &out, error);
    } else {
        show_plain(manifest, &out);
    }
    covey__manifest_free(manifest);
    if (status == COVEY_OK) return take_text(&out, text, error);
    covey__buffer_free(&out);
    return status;
}

void covey_bundle_free_text(covey_runtime *runtime, char *text) {
    if (runtime != NULL) covey__free(covey__runtime_env(runtime), text);
}

/* Indexes of the old ensemble's files: where chunks of the new one may be found. */
static covey_status index_old(diff *d, covey_error *error) {
    size_t count = d->from->component_count;
    d->indexes = covey__calloc(d->env, count, sizeof *d->indexes);
    d->sources = covey__calloc(d->env, count, sizeof *d->sources);
    d->paths = covey__calloc(d->env, count, sizeof *d->paths);
    if (d->indexes == NULL || d->sources == NULL || d->paths == NULL)
        return covey__no_memory(error, "bundle: sources", count);
    for (size_t i = 0; i < count; i++) {
        d->paths[i] = covey__path_join(d->env, d->from_folder, d->from->components[i].file);
        if (d->paths[i] == NULL) return covey__no_memory(error, "path", 1);
        covey_status status =
            covey__chunk_index_make(d->env, d->paths[i], &d->indexes[i], error, NULL, NULL);
        if (status != COVEY_OK) return status;
        d->sources[i] = (covey__chunk_source){d->paths[i], d->indexes[i]};
    }
    return COVEY_OK;
}

static covey_status count_fetch(diff *d, const char *folder, const covey__component *component,
                                uint64_t *fetch_bytes, covey_error *error) {
    covey__chunk_index *index = NULL;
    covey__chunk_plan *plan = NULL;
    char *path = covey__path_join(d->env, folder, component->file);
    if (path == NULL) return covey__no_memory(error, "path", strlen(folder));
    covey_status status = covey__chunk_index_make(d->env, path, &index, error, NULL, NULL);
    if (status == COVEY_OK)
        status = covey__chunk_plan_make(d->env, index, d->sources, d->from->component_count, &plan,
                                        error);
    if (status == COVEY_OK) *fetch_bytes = plan->fetch_bytes;
    covey__chunk_plan_free(plan);
    covey__chunk_index_free(index);
    covey__free(d->env, path);
    return status;
}

/* The component of `manifest` that stands where this one stands: the same role and, where a role
 * may repeat, the same file. */
static const covey__component *counterpart(const covey__manifest *manifest,
                                           const covey__component *component) {
    const covey__component *by_role = NULL;
    size_t same_role = 0;
    for (size_t i = 0; i < manifest->component_count; i++) {
        const covey__component *other = &manifest->components[i];
        if (strcmp(other->role, component->role) != 0) continue;
        if (strcmp(other->file, component->file) == 0) return other;
        by_role = other;
        same_role++;
    }
    bool repeats = strcmp(component->role, "adapter") == 0 || strcmp(component->role, "index") == 0;
    return same_role == 1 && !repeats ? by_role : NULL;
}

static void put_change_plain(covey__buffer *out, const change *c) {
    const covey__component *named = c->to != NULL ? c->to : c->from;
    covey__buffer_format(out, "%-9s %-10s %s", kind_of(c), named->role, named->file);
    if (c->from != NULL && c->to != NULL && c->from->size != c->to->size)
        covey__buffer_format(out, ", %" PRIu64 " -> %" PRIu64 " bytes", c->from->size, c->to->size);
    else
        covey__buffer_format(out, ", %" PRIu64 " bytes", named->size);
    if (c->to != NULL && c->fetch_bytes > 0)
        covey__buffer_format(out, ", %" PRIu64 " to fetch", c->fetch_bytes);
    put_use_plain(out, c->from != NULL ? c->from : c->to, ", ");
    if (c->from != NULL && c->to != NULL) put_use_plain(out, c->to, " -> ");
    covey__buffer_byte(out, '\n');
}

static void put_use_json(covey__json_writer *writer, const char *name,
                         const covey__component *component) {
    if (component == NULL || strcmp(component->role, "adapter") != 0) return;
    covey__json_name(writer, name);
    covey__json_begin_object(writer);
    covey__json_member_f64(writer, "scale", (double)component->scale);
    covey__json_member_bool(writer, "on_request", component->on_request);
    covey__json_end_object(writer);
}

static void put_change_json(covey__json_writer *writer, const change *c) {
    const covey__component *named = c->to != NULL ? c->to : c->from;
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "kind", kind_of(c));
    covey__json_member_string(writer, "role", named->role);
    covey__json_member_string(writer, "file", named->file);
    if (c->from != NULL) covey__json_member_u64(writer, "from_size", c->from->size);
    if (c->to != NULL) covey__json_member_u64(writer, "to_size", c->to->size);
    if (c->to != NULL) covey__json_member_u64(writer, "fetch_bytes", c->fetch_bytes);
    put_use_json(writer, "from_use", c->from);
    put_use_json(writer, "to_use", c->to);
    covey__json_end_object(writer);
}

static covey_status list_changes(diff *d, const char *to_folder, change *changes, size_t *count,
                                 covey_error *error) {
    *count = 0;
    for (size_t i = 0; i < d->to->component_count; i++) {
        change *c = &changes[(*count)++];
        c->to = &d->to->components[i];
        c->from = counterpart(d->from, c->to);
        covey_status status = count_fetch(d, to_folder, c->to, &c->fetch_bytes, error);
        if (status != COVEY_OK) return status;
    }
    for (size_t i = 0; i < d->from->component_count; i++)
        if (counterpart(d->to, &d->from->components[i]) == NULL)
            changes[(*count)++].from = &d->from->components[i];
    return COVEY_OK;
}

static void put_side(covey__json_writer *writer, const char *name,
                     const covey__manifest *manifest) {
    covey__json_name(writer, name);
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "name", manifest->name);
    covey__json_member_string(writer, "version", manifest->version);
    covey__json_member_string(writer, "variant", manifest->variant);
    covey__json_member_string(writer, "digest", manifest->digest_hex);
    covey__json_member_u64(writer, "memory_bytes", manifest->memory_bytes);
    covey__json_member_i64(writer, "arithmetic_version", manifest->arithmetic_version);
    covey__json_member_string(writer, "app", manifest->app);
    covey__json_end_object(writer);
}

static void render_json(const diff *d, const change *changes, size_t count, uint64_t total,
                        covey__buffer *out) {
    covey__json_writer writer;
    covey__json_writer_init(&writer, out, true);
    covey__json_begin_object(&writer);
    put_side(&writer, "from", d->from);
    put_side(&writer, "to", d->to);
    covey__json_name(&writer, "components");
    covey__json_begin_array(&writer);
    for (size_t i = 0; i < count; i++) put_change_json(&writer, &changes[i]);
    covey__json_end_array(&writer);
    covey__json_member_u64(&writer, "fetch_bytes", total);
    covey__json_end_object(&writer);
    covey__buffer_byte(out, '\n');
}

static void render_plain(const diff *d, const change *changes, size_t count, uint64_t total,
                         covey__buffer *out) {
    const covey__manifest *a = d->from, *b = d->to;
    covey__buffer_format(out, "%s@%s %s -> %s@%s %s\n", a->name, a->version, a->variant, b->name,
                         b->version, b->variant);
    for (size_t i = 0; i < count; i++) put_change_plain(out, &changes[i]);
    if (a->memory_bytes != b->memory_bytes)
        covey__buffer_format(out, "needs     memory %" PRIu64 " -> %" PRIu64 " bytes\n",
                             a->memory_bytes, b->memory_bytes);
    if (a->arithmetic_version != b->arithmetic_version)
        covey__buffer_format(out, "needs     arithmetic %" PRId32 " -> %" PRId32 "\n",
                             a->arithmetic_version, b->arithmetic_version);
    if (strcmp(a->app, b->app) != 0)
        covey__buffer_format(out, "needs     app %s -> %s\n", a->app, b->app);
    covey__buffer_format(out, "a device with the first fetches at most %" PRIu64 " bytes\n", total);
}

static void free_diff(diff *d) {
    for (size_t i = 0; d->from != NULL && i < d->from->component_count; i++) {
        if (d->indexes != NULL) covey__chunk_index_free(d->indexes[i]);
        if (d->paths != NULL) covey__free(d->env, d->paths[i]);
    }
    covey__free(d->env, d->indexes);
    covey__free(d->env, d->sources);
    covey__free(d->env, d->paths);
    covey__manifest_free(d->from);
    covey__manifest_free(d->to);
}

covey_status covey_bundle_diff(covey_runtime *runtime, const char *from, const char *to, bool json,
                               char **text, covey_error *error) {
    if (runtime == NULL || from == NULL || to == NULL || text == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: runtime, folders and text must not be NULL");
    diff d = {.env = covey__runtime_env(runtime), .from_folder = from};
    covey__buffer out;
    change *changes = NULL;
    size_t count = 0;
    uint64_t total = 0;
    *text = NULL;
    covey__buffer_init(&out, d.env, TEXT_BYTES_MAX);
    covey_status status = covey__manifest_read(d.env, from, &d.from, error);
    if (status == COVEY_OK) status = covey__manifest_read(d.env, to, &d.to, error);
    if (status == COVEY_OK)
        status = covey__manifest_check_files(d.env, d.from, from, COVEY_CHECK_DIGESTS, error);
    if (status == COVEY_OK)
        status = covey__manifest_check_files(d.env, d.to, to, COVEY_CHECK_DIGESTS, error);
    if (status == COVEY_OK) status = index_old(&d, error);
    if (status != COVEY_OK) goto out;
    changes =
        covey__calloc(d.env, d.from->component_count + d.to->component_count, sizeof *changes);
    status = changes == NULL ? covey__no_memory(error, "bundle: changes", 1)
                             : list_changes(&d, to, changes, &count, error);
    if (status != COVEY_OK) goto out;
    for (size_t i = 0; i < count; i++) total += changes[i].fetch_bytes;
    (json ? render_json : render_plain)(&d, changes, count, total, &out);
    status = take_text(&out, text, error);
out:
    covey__free(d.env, changes);
    covey__buffer_free(&out);
    free_diff(&d);
    return status;
}
