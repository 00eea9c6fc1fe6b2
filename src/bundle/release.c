/* Release documents: the reader, the choice of a variant, and the checks that tie what was fetched
 * by digest back to what the release said of it. Bytes come from outside; that
 * metadata names them is for the caller to see first (trust/tuf_client.h). */
#include "bundle/release.h"

#include "base/error.h"
#include "base/sha256.h"
#include "bundle/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ARENA_BYTES_MAX (16u << 20)
#define CLASS_COUNT_MAX 16

/* A nested {"sha256", "size"} with at most `size_max` bytes. */
static covey_status parse_blob(const covey__json *node, const char *name, const char *path,
                               uint64_t size_max, uint8_t sha256[32], uint64_t *size,
                               covey_error *error) {
    const covey__json *blob;
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.%s", path, name);
    covey_status status = covey__json_member(node, name, field, COVEY__JSON_OBJECT, &blob, error);
    if (status != COVEY_OK) return status;
    covey__field_path(field, "%s.%s.sha256", path, name);
    status = covey__field_digest(blob, "sha256", field, sha256, error);
    covey__field_path(field, "%s.%s.size", path, name);
    if (status == COVEY_OK) status = covey__field_size(blob, "size", field, size, error);
    if (status == COVEY_OK && *size > size_max)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)size_max, (int64_t)*size,
                                 "%s: %" PRIu64 " bytes, at most %" PRIu64 " are allowed", field,
                                 *size, size_max);
    return status;
}

static covey_status parse_classes(covey__arena *arena, const covey__json *node, const char *path,
                                  covey__release_variant *variant, covey_error *error) {
    const covey__json *list;
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.classes", path);
    covey_status status = covey__field_list(node, "classes", field, CLASS_COUNT_MAX, &list, error);
    if (status != COVEY_OK) return status;
    variant->classes = covey__arena_calloc(arena, list->size, sizeof *variant->classes);
    if (variant->classes == NULL) return covey__no_memory(error, field, list->size);
    for (const covey__json *item = list->child; item != NULL; item = item->next) {
        if (item->kind != COVEY__JSON_STRING || strlen(item->text) != item->size ||
            !covey__ensemble_name_valid(item->text))
            return covey__fail(error, COVEY_ERROR_FORMAT, "%s: names of classes expected", field);
        variant->classes[variant->class_count++] = item->text;
    }
    return COVEY_OK;
}

static covey_status parse_component(const covey__json *node, const char *path,
                                    covey__release_component *out, covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.sha256", path);
    covey_status status = covey__field_digest(node, "sha256", field, out->sha256, error);
    covey__field_path(field, "%s.size", path);
    if (status == COVEY_OK) status = covey__field_size(node, "size", field, &out->size, error);
    covey__field_path(field, "%s.stored_size", path);
    if (status == COVEY_OK)
        status = covey__field_size(node, "stored_size", field, &out->stored_size, error);
    if (status == COVEY_OK && out->stored_size > out->size)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: is larger than the component", field);
    if (status == COVEY_OK)
        status = parse_blob(node, "index", path, COVEY__INDEX_BYTES_MAX, out->index_sha256,
                            &out->index_size, error);
    return status;
}

static covey_status parse_components(covey__arena *arena, const covey__json *node, const char *path,
                                     covey__release_variant *variant, covey_error *error) {
    const covey__json *list;
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.components", path);
    covey_status status =
        covey__field_list(node, "components", field, COVEY__COMPONENT_COUNT_MAX, &list, error);
    if (status != COVEY_OK) return status;
    variant->components = covey__arena_calloc(arena, list->size, sizeof *variant->components);
    if (variant->components == NULL) return covey__no_memory(error, field, list->size);
    for (const covey__json *item = list->child; item != NULL; item = item->next) {
        size_t number = variant->component_count++;
        covey__field_path(field, "%s.components[%zu]", path, number);
        status = parse_component(item, field, &variant->components[number], error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

static covey_status parse_variant(covey__release *release, const covey__json *node, size_t number,
                                  covey__release_variant *variant, covey_error *error) {
    char path[COVEY__FIELD_PATH_SIZE], field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(path, "variants[%zu]", number);
    covey__field_path(field, "%s.variant", path);
    covey_status status = covey__field_name(node, "variant", field, &variant->variant, error);
    for (size_t i = 0; status == COVEY_OK && i < number; i++)
        if (strcmp(release->variants[i].variant, variant->variant) == 0)
            return covey__fail(error, COVEY_ERROR_FORMAT, "%s: \"%s\" is there twice", field,
                               variant->variant);
    if (status == COVEY_OK) status = parse_classes(&release->arena, node, path, variant, error);
    if (status == COVEY_OK)
        status = parse_blob(node, "manifest", path, COVEY__MANIFEST_BYTES_MAX,
                            variant->manifest_sha256, &variant->manifest_size, error);
    if (status == COVEY_OK) status = parse_components(&release->arena, node, path, variant, error);
    return status;
}

static covey_status parse_root(covey__release *release, const char *text, size_t size,
                               covey_error *error) {
    const covey__json *root, *list;
    covey__json_limits limits = {COVEY__RELEASE_BYTES_MAX, 16, 1u << 16};
    covey_status status = covey__json_parse(&release->arena, text, size, limits, &root, error);
    if (status == COVEY_OK) status = covey__field_format(root, COVEY__RELEASE_FORMAT, error);
    if (status == COVEY_OK) status = covey__field_name(root, "name", "name", &release->name, error);
    if (status == COVEY_OK)
        status = covey__field_version(root, "version", "version", &release->version, error);
    if (status == COVEY_OK)
        status =
            covey__field_list(root, "variants", "variants", COVEY__VARIANT_COUNT_MAX, &list, error);
    if (status != COVEY_OK) return status;
    release->variants = covey__arena_calloc(&release->arena, list->size, sizeof *release->variants);
    if (release->variants == NULL) return covey__no_memory(error, "variants", list->size);
    for (const covey__json *node = list->child; node != NULL; node = node->next) {
        size_t number = release->variant_count;
        status = parse_variant(release, node, number, &release->variants[number], error);
        if (status != COVEY_OK) return status;
        release->variant_count++;
    }
    return COVEY_OK;
}

covey_status covey__release_parse(const covey__env *env, const char *text, size_t size,
                                  covey__release **release, covey_error *error) {
    *release = NULL;
    covey__release *made = covey__calloc(env, 1, sizeof *made);
    if (made == NULL) return covey__no_memory(error, "bundle: release", sizeof *made);
    covey__arena_init(&made->arena, env, ARENA_BYTES_MAX);
    covey_status status = parse_root(made, text, size, error);
    if (status != COVEY_OK) {
        covey__release_free(made);
        return covey__prefix(error, status, "bundle: release");
    }
    covey__sha256_of(text, size, made->digest);
    covey__hex(made->digest, 32, made->digest_hex);
    *release = made;
    return COVEY_OK;
}

void covey__release_free(covey__release *release) {
    if (release == NULL) return;
    const covey__env *env = release->arena.env;
    covey__arena_free(&release->arena);
    covey__free(env, release);
}

const covey__release_variant *covey__release_choose(const covey__release *release,
                                                    const char *device_class) {
    for (size_t i = 0; i < release->variant_count; i++)
        for (size_t c = 0; c < release->variants[i].class_count; c++)
            if (strcmp(release->variants[i].classes[c], device_class) == 0)
                return &release->variants[i];
    return NULL;
}

static covey_status check_component(const covey__release_component *said,
                                    const covey__component *found, covey_error *error) {
    if (said->size == found->size && memcmp(said->sha256, found->sha256, 32) == 0) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "bundle: component \"%s\" (%s): the release names other bytes", found->role,
                       found->file);
}

covey_status covey__release_check_manifest(const covey__release *release,
                                           const covey__release_variant *variant,
                                           const covey__manifest *manifest, covey_error *error) {
    if (memcmp(variant->manifest_sha256, manifest->digest, 32) != 0)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "bundle: manifest: digest %.16s… is not what the release names",
                           manifest->digest_hex);
    if (strcmp(release->name, manifest->name) != 0 ||
        strcmp(release->version, manifest->version) != 0 ||
        strcmp(variant->variant, manifest->variant) != 0)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "bundle: manifest: is of %s@%s %s, the release is %s@%s %s",
                           manifest->name, manifest->version, manifest->variant, release->name,
                           release->version, variant->variant);
    if (variant->component_count != manifest->component_count)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "bundle: manifest: %zu components, the release names %zu",
                           manifest->component_count, variant->component_count);
    for (size_t i = 0; i < manifest->component_count; i++) {
        covey_status status =
            check_component(&variant->components[i], &manifest->components[i], error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

covey_status covey__release_check_index(const covey__release_component *component,
                                        const covey__chunk_index *index, covey_error *error) {
    if (component->size != index->component_size ||
        memcmp(component->sha256, index->component_sha256, 32) != 0)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "delta: chunk index: is of another file than the release names");
    if (component->stored_size != covey__chunk_index_stored_bytes(index))
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "delta: chunk index: its chunks weigh %" PRIu64
                           " bytes, the release says %" PRIu64,
                           covey__chunk_index_stored_bytes(index), component->stored_size);
    return COVEY_OK;
}
