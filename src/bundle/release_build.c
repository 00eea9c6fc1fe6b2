/* Making a release out of built ensembles. Each folder is checked to its last byte first, then
 * every component is cut into chunks; chunks, indexes and manifests are handed to the caller as
 * blobs as they are made, so memory is one chunk and one table. The caller stores them before it
 * signs and shows the document: a reader that has the document finds every blob. */
#include "bundle/release.h"

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "bundle/fields.h"
#include "bundle/model_template.h"

#include <string.h>

typedef struct builder {
    const covey__env *env;
    covey__json_writer *writer;
    covey__blob_fn blob;
    void *user;
} builder;

static covey_status hand_chunk(void *user, const covey__chunk *chunk, const void *stored,
                               covey_error *error) {
    builder *b = user;
    return b->blob(b->user, chunk->blob, stored, chunk->stored_size, error);
}

static void put_digest(covey__json_writer *writer, const char *name, const uint8_t digest[32]) {
    char hex[65];
    covey__hex(digest, 32, hex);
    covey__json_member_string(writer, name, hex);
}

static void put_blob(covey__json_writer *writer, const char *name, const uint8_t digest[32],
                     uint64_t size) {
    covey__json_name(writer, name);
    covey__json_begin_object(writer);
    put_digest(writer, "sha256", digest);
    covey__json_member_u64(writer, "size", size);
    covey__json_end_object(writer);
}

static covey_status build_component(builder *b, const covey__component *component,
                                    const char *folder, covey_error *error) {
    covey__chunk_index *index = NULL;
    covey__buffer bytes;
    uint8_t digest[32];
    covey__buffer_init(&bytes, b->env, COVEY__INDEX_BYTES_MAX);
    char *path = covey__path_join(b->env, folder, component->file);
    if (path == NULL) return covey__no_memory(error, "path", strlen(folder));
    covey_status status = covey__chunk_index_make(b->env, path, &index, error, hand_chunk, b);
    /* The file was hashed before; that it still is the same shows only now. */
    if (status == COVEY_OK && memcmp(index->component_sha256, component->sha256, 32) != 0)
        status = covey__fail(error, COVEY_ERROR_MISMATCH, "changed while it was published");
    if (status == COVEY_OK) status = covey__chunk_index_write(index, &bytes, error);
    if (status != COVEY_OK) goto out;
    covey__sha256_of(bytes.data, bytes.size, digest);
    status = b->blob(b->user, digest, bytes.data, bytes.size, error);
    covey__json_begin_object(b->writer);
    put_digest(b->writer, "sha256", component->sha256);
    covey__json_member_u64(b->writer, "size", component->size);
    covey__json_member_u64(b->writer, "stored_size", covey__chunk_index_stored_bytes(index));
    put_blob(b->writer, "index", digest, bytes.size);
    covey__json_end_object(b->writer);
out:
    covey__chunk_index_free(index);
    covey__buffer_free(&bytes);
    covey__free(b->env, path);
    if (status == COVEY_OK) return COVEY_OK;
    return covey__prefix(error, status, "component \"%s\" (%s)", component->role, component->file);
}

static covey_status hand_manifest(builder *b, const covey__manifest *manifest, const char *folder,
                                  covey_error *error) {
    covey__buffer text;
    covey__buffer_init(&text, b->env, COVEY__MANIFEST_BYTES_MAX);
    char *path = covey__path_join(b->env, folder, COVEY__MANIFEST_FILE);
    covey_status status = path == NULL ? covey__no_memory(error, "path", strlen(folder))
                                       : covey__file_read(b->env, path, &text, error);
    uint8_t digest[32];
    if (status == COVEY_OK) {
        covey__sha256_of(text.data, text.size, digest);
        if (memcmp(digest, manifest->digest, 32) != 0)
            status = covey__fail(error, COVEY_ERROR_MISMATCH,
                                 "manifest: changed while it was published");
    }
    if (status == COVEY_OK) {
        put_blob(b->writer, "manifest", digest, text.size);
        status = b->blob(b->user, digest, text.data, text.size, error);
    }
    covey__free(b->env, path);
    covey__buffer_free(&text);
    return status;
}

static covey_status build_variant(builder *b, const covey__release_source *source,
                                  const covey__manifest *manifest, covey_error *error) {
    covey_status status =
        covey__manifest_check_files(b->env, manifest, source->folder, COVEY_CHECK_DIGESTS, error);
    if (status == COVEY_OK) status = covey__template_check(b->env, manifest, source->folder, error);
    if (status != COVEY_OK) return status;
    covey__json_begin_object(b->writer);
    covey__json_member_string(b->writer, "variant", manifest->variant);
    covey__json_name(b->writer, "classes");
    covey__json_begin_array(b->writer);
    for (size_t i = 0; i < source->class_count; i++)
        covey__json_put_string(b->writer, source->classes[i]);
    covey__json_end_array(b->writer);
    status = hand_manifest(b, manifest, source->folder, error);
    covey__json_name(b->writer, "components");
    covey__json_begin_array(b->writer);
    for (size_t i = 0; status == COVEY_OK && i < manifest->component_count; i++)
        status = build_component(b, &manifest->components[i], source->folder, error);
    covey__json_end_array(b->writer);
    covey__json_end_object(b->writer);
    return status;
}

/* All manifests are read before any work, so that a wrong set fails at once. */
static covey_status read_manifests(const covey__env *env, const covey__release_source *sources,
                                   size_t count, covey__manifest **manifests, covey_error *error) {
    for (size_t i = 0; i < count; i++) {
        covey_status status = covey__manifest_read(env, sources[i].folder, &manifests[i], error);
        if (status != COVEY_OK) return status;
        if (strcmp(manifests[i]->name, manifests[0]->name) != 0 ||
            strcmp(manifests[i]->version, manifests[0]->version) != 0)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "bundle: a release is one name and version: %s holds %s@%s, %s "
                               "holds %s@%s",
                               sources[0].folder, manifests[0]->name, manifests[0]->version,
                               sources[i].folder, manifests[i]->name, manifests[i]->version);
        if (sources[i].class_count == 0)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "bundle: %s: name at least one device class that it is for",
                               sources[i].folder);
    }
    return COVEY_OK;
}

static covey_status write_document(builder *b, const covey__release_source *sources, size_t count,
                                   covey__manifest *const *manifests, covey_error *error) {
    covey__json_begin_object(b->writer);
    covey__json_member_i64(b->writer, "format", COVEY__RELEASE_FORMAT);
    covey__json_name(b->writer, "requires");
    covey__json_begin_array(b->writer);
    covey__json_end_array(b->writer);
    covey__json_member_string(b->writer, "name", manifests[0]->name);
    covey__json_member_string(b->writer, "version", manifests[0]->version);
    covey__json_name(b->writer, "variants");
    covey__json_begin_array(b->writer);
    for (size_t i = 0; i < count; i++) {
        covey_status status = build_variant(b, &sources[i], manifests[i], error);
        if (status != COVEY_OK) return covey__prefix(error, status, "%s", sources[i].folder);
    }
    covey__json_end_array(b->writer);
    covey__json_end_object(b->writer);
    return COVEY_OK;
}

covey_status covey__release_build(const covey__env *env, const covey__release_source *sources,
                                  size_t source_count, covey__buffer *out, covey_error *error,
                                  covey__blob_fn blob, void *user) {
    covey__manifest *manifests[COVEY__VARIANT_COUNT_MAX] = {NULL};
    covey__json_writer writer;
    covey__release *check = NULL;
    builder b = {.env = env, .writer = &writer, .blob = blob, .user = user};
    if (source_count == 0 || source_count > COVEY__VARIANT_COUNT_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: a release has 1 to %d variants, not %zu",
                           COVEY__VARIANT_COUNT_MAX, source_count);
    size_t begin = out->size;
    covey__json_writer_init(&writer, out, true);
    covey_status status = read_manifests(env, sources, source_count, manifests, error);
    if (status == COVEY_OK) status = write_document(&b, sources, source_count, manifests, error);
    if (status == COVEY_OK) {
        covey__buffer_byte(out, '\n');
        status = covey__buffer_check(out, error, "bundle: release");
    }
    /* What cannot be read back must not be signed. */
    if (status == COVEY_OK)
        status = covey__release_parse(env, out->data + begin, out->size - begin, &check, error);
    covey__release_free(check);
    for (size_t i = 0; i < source_count; i++) covey__manifest_free(manifests[i]);
    return status;
}
