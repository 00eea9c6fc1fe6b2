/* Patch indexes: reader and writer. The bytes come from outside, and that the metadata names them
 * is for the caller to see first; what is returned satisfies the bounds below, names only files and
 * versions that are such, and has no edge that leads nowhere. What an edge promises of a patch is
 * proved when the patch is fetched (its chunks) and applied (both components' digests), never here.
 *
 * Neighbours: release.c names what a release is made of; delta/update_path.h chooses among edges;
 * fleet/publish_patches.c makes them. */
#include "bundle/patch_index.h"

#include "base/error.h"
#include "base/sha256.h"
#include "bundle/fields.h"
#include "bundle/manifest.h"

#include <inttypes.h>
#include <string.h>

#define ARENA_BYTES_MAX   (16u << 20)
#define VARIANT_COUNT_MAX 32
#define SEALED            "sealed"

/* ---- Reading ----------------------------------------------------------------------------------
 */

/* A nested {"sha256", "size"} with 1 to `size_max` bytes. */
static covey_status parse_blob(const covey__json *node, const char *name, const char *path,
                               uint64_t size_max, covey__patch_blob *out, covey_error *error) {
    const covey__json *blob;
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.%s", path, name);
    covey_status status = covey__json_member(node, name, field, COVEY__JSON_OBJECT, &blob, error);
    if (status != COVEY_OK) return status;
    covey__field_path(field, "%s.%s.sha256", path, name);
    status = covey__field_digest(blob, "sha256", field, out->sha256, error);
    covey__field_path(field, "%s.%s.size", path, name);
    if (status == COVEY_OK) status = covey__field_size(blob, "size", field, &out->size, error);
    if (status == COVEY_OK && (out->size > size_max || out->size == 0))
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)size_max, (int64_t)out->size,
                                 "%s: 1 to %" PRIu64 " bytes expected, %" PRIu64 " found", field,
                                 size_max, out->size);
    return status;
}

static covey_status parse_variants(covey__arena *arena, const covey__json *node, const char *path,
                                   covey__patch_edge *edge, covey_error *error) {
    const covey__json *list;
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.variants", path);
    covey_status status =
        covey__field_list(node, "variants", field, VARIANT_COUNT_MAX, &list, error);
    if (status != COVEY_OK) return status;
    edge->variants = covey__arena_calloc(arena, list->size, sizeof *edge->variants);
    if (edge->variants == NULL)
        return covey__arena_fail(arena, list->size * sizeof *edge->variants, error, field);
    for (const covey__json *item = list->child; item != NULL; item = item->next) {
        if (item->kind != COVEY__JSON_STRING || strlen(item->text) != item->size ||
            !covey__ensemble_name_valid(item->text))
            return covey__fail(error, COVEY_ERROR_FORMAT, "%s: names of variants expected", field);
        edge->variants[edge->variant_count++] = item->text;
    }
    return COVEY_OK;
}

static covey_status parse_names(const covey__json *node, const char *path, covey__patch_edge *edge,
                                covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.role", path);
    covey_status status = covey__field_name(node, "role", field, &edge->role, error);
    covey__field_path(field, "%s.file", path);
    if (status == COVEY_OK) status = covey__json_string(node, "file", field, &edge->file, error);
    if (status == COVEY_OK && !covey__component_name_valid(edge->file))
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: no name of a component's file", field);
    covey__field_path(field, "%s.from_release", path);
    if (status == COVEY_OK)
        status = covey__field_version(node, "from_release", field, &edge->from_release, error);
    covey__field_path(field, "%s.to_release", path);
    if (status == COVEY_OK)
        status = covey__field_version(node, "to_release", field, &edge->to_release, error);
    if (status == COVEY_OK && covey__json_get(node, SEALED) != NULL) {
        covey__field_path(field, "%s." SEALED, path);
        status = covey__json_bool(node, SEALED, field, &edge->sealed, error);
    }
    return status;
}

static covey_status parse_edge(covey__arena *arena, const covey__json *node, const char *path,
                               covey__patch_edge *edge, covey_error *error) {
    if (node->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: an object expected", path);
    covey_status status = parse_names(node, path, edge, error);
    if (status == COVEY_OK) status = parse_variants(arena, node, path, edge, error);
    if (status == COVEY_OK)
        status = parse_blob(node, "from", path, COVEY__JSON_INTEGER_MAX, &edge->from, error);
    if (status == COVEY_OK)
        status = parse_blob(node, "to", path, COVEY__JSON_INTEGER_MAX, &edge->to, error);
    if (status == COVEY_OK)
        status = parse_blob(node, "patch", path, COVEY__JSON_INTEGER_MAX, &edge->patch, error);
    if (status == COVEY_OK)
        status = parse_blob(node, "index", path, COVEY__INDEX_BYTES_MAX, &edge->index, error);
    if (status == COVEY_OK && memcmp(edge->from.sha256, edge->to.sha256, 32) == 0)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: leads from a component to itself", path);
    return status;
}

static covey_status parse_root(covey__patch_index *index, const char *text, size_t size,
                               covey_error *error) {
    const covey__json *root, *list;
    covey__json_limits limits = {COVEY__PATCH_INDEX_BYTES_MAX, 16, 1u << 16};
    covey_status status = covey__json_parse(&index->arena, text, size, limits, &root, error);
    if (status == COVEY_OK) status = covey__field_format(root, COVEY__PATCH_INDEX_FORMAT, error);
    if (status == COVEY_OK) status = covey__field_name(root, "name", "name", &index->name, error);
    if (status == COVEY_OK)
        status = covey__field_version(root, "version", "version", &index->version, error);
    if (status == COVEY_OK)
        status =
            covey__field_list(root, "edges", "edges", COVEY__PATCH_EDGE_COUNT_MAX, &list, error);
    if (status != COVEY_OK) return status;
    index->edges = covey__arena_calloc(&index->arena, list->size, sizeof *index->edges);
    if (index->edges == NULL)
        return covey__arena_fail(&index->arena, list->size * sizeof *index->edges, error, "edges");
    for (const covey__json *node = list->child; node != NULL; node = node->next) {
        char path[COVEY__FIELD_PATH_SIZE];
        covey__field_path(path, "edges[%zu]", index->edge_count);
        status = parse_edge(&index->arena, node, path, &index->edges[index->edge_count], error);
        if (status != COVEY_OK) return status;
        index->edge_count++;
    }
    return COVEY_OK;
}

covey_status covey__patch_index_parse(const covey__env *env, const char *text, size_t size,
                                      covey__patch_index **index, covey_error *error) {
    *index = NULL;
    covey__patch_index *made = covey__calloc(env, 1, sizeof *made);
    if (made == NULL) return covey__no_memory(error, "bundle: patch index", sizeof *made);
    covey__arena_init(&made->arena, env, ARENA_BYTES_MAX);
    covey_status status = parse_root(made, text, size, error);
    if (status != COVEY_OK) {
        covey__patch_index_free(made);
        return covey__prefix(error, status, "bundle: patch index");
    }
    *index = made;
    return COVEY_OK;
}

void covey__patch_index_free(covey__patch_index *index) {
    if (index == NULL) return;
    const covey__env *env = index->arena.env;
    covey__arena_free(&index->arena);
    covey__free(env, index);
}

/* ---- Writing ----------------------------------------------------------------------------------
 */

static void put_blob(covey__json_writer *writer, const char *name, const covey__patch_blob *blob) {
    char hex[65];
    covey__hex(blob->sha256, 32, hex);
    covey__json_name(writer, name);
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "sha256", hex);
    covey__json_member_u64(writer, "size", blob->size);
    covey__json_end_object(writer);
}

static void put_edge(covey__json_writer *writer, const covey__patch_edge *edge) {
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "role", edge->role);
    covey__json_member_string(writer, "file", edge->file);
    covey__json_member_string(writer, "from_release", edge->from_release);
    covey__json_member_string(writer, "to_release", edge->to_release);
    covey__json_name(writer, "variants");
    covey__json_begin_array(writer);
    for (size_t i = 0; i < edge->variant_count; i++)
        covey__json_put_string(writer, edge->variants[i]);
    covey__json_end_array(writer);
    put_blob(writer, "from", &edge->from);
    put_blob(writer, "to", &edge->to);
    put_blob(writer, "patch", &edge->patch);
    put_blob(writer, "index", &edge->index);
    if (edge->sealed) covey__json_member_bool(writer, SEALED, true);
    covey__json_end_object(writer);
}

covey_status covey__patch_index_write(const covey__env *env, const char *name, const char *version,
                                      const covey__patch_edge *edges, size_t edge_count,
                                      covey__buffer *out, covey_error *error) {
    covey__json_writer writer;
    covey__patch_index *check = NULL;
    size_t begin = out->size;
    covey__json_writer_init(&writer, out, true);
    covey__json_begin_object(&writer);
    covey__json_member_i64(&writer, "format", COVEY__PATCH_INDEX_FORMAT);
    covey__json_name(&writer, "requires");
    covey__json_begin_array(&writer);
    covey__json_end_array(&writer);
    covey__json_member_string(&writer, "name", name);
    covey__json_member_string(&writer, "version", version);
    covey__json_name(&writer, "edges");
    covey__json_begin_array(&writer);
    for (size_t i = 0; i < edge_count; i++) put_edge(&writer, &edges[i]);
    covey__json_end_array(&writer);
    covey__json_end_object(&writer);
    covey__buffer_byte(out, '\n');
    covey_status status = covey__buffer_check(out, error, "bundle: patch index");
    /* What cannot be read back must not be signed. */
    if (status == COVEY_OK)
        status = covey__patch_index_parse(env, out->data + begin, out->size - begin, &check, error);
    covey__patch_index_free(check);
    return status;
}

/* ---- Asking -----------------------------------------------------------------------------------
 */

uint64_t covey__patch_edge_bytes(const covey__patch_edge *edge) {
    return edge->patch.size + edge->index.size; /* each below 2^53 */
}

covey_status covey__patch_edge_check(const covey__patch_edge *edge, const covey__chunk_index *index,
                                     covey_error *error) {
    if (edge->patch.size != index->component_size ||
        memcmp(edge->patch.sha256, index->component_sha256, 32) != 0)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "delta: chunk index: is of another file than the patch index names");
    /* What was promised of its size is what is fetched. */
    if (covey__chunk_index_stored_bytes(index) > edge->patch.size)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "delta: chunk index: its chunks weigh more than the patch");
    return COVEY_OK;
}

bool covey__patch_index_serves(const covey__patch_index *index, const char *version,
                               const char *variant) {
    for (size_t i = 0; i < index->edge_count; i++) {
        const covey__patch_edge *edge = &index->edges[i];
        if (strcmp(edge->from_release, version) != 0) continue;
        for (size_t v = 0; v < edge->variant_count; v++)
            if (strcmp(edge->variants[v], variant) == 0) return true;
    }
    return false;
}
