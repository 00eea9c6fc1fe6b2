/* Earlier releases, as a publisher on any machine can have them: their documents by the metadata
 * that was verified from the folder's root on, all else by digest from there. So what a patch is
 * made from is what devices have, wherever it was published.
 *
 * Neighbours: publish_patches.c makes patches of it; client_metadata.c verified the set. */
#include "fleet/publish_release.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/semver.h"
#include "base/sha256.h"

#define BLOB_BYTES_MAX (16u << 20)

covey_status covey__fleet_get_blob(covey_fleet_client *client, const uint8_t sha256[32],
                                   covey__buffer *out, covey_error *error) {
    char hex[65], path[96];
    uint8_t digest[32];
    covey__hex(sha256, 32, hex);
    (void)snprintf(path, sizeof(path), "/v1/blobs/sha256/%s", hex);
    covey_status status = covey__fleet_call(client, "GET", path, NULL, 0, out, NULL, error);
    if (status != COVEY_OK) return status;
    covey__sha256_of(out->data != NULL ? out->data : "", out->size, digest);
    if (memcmp(digest, sha256, 32) == 0) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_MISMATCH, "blob %.16s…: other bytes came", hex);
}

/* ---- documents ---------------------------------------------------------------------------- */

covey_status covey__release_view_new(covey_fleet_client *client, const void *document, size_t size,
                                     covey__release_view **view, covey_error *error) {
    *view = NULL;
    covey__release_view *made = covey__calloc(client->env, 1, sizeof(*made));
    if (made == NULL) return covey__no_memory(error, "release", sizeof(*made));
    made->client = client;
    covey_status status = covey__release_parse(client->env, document, size, &made->release, error);
    if (status == COVEY_OK) {
        *view = made;
    } else {
        covey__release_view_free(made);
    }
    return status;
}

covey_status covey__release_view_open(covey_fleet_client *client, covey__metadata_set *set,
                                      const char *name, const char *version,
                                      covey__release_view **view, covey_error *error) {
    covey__metadata_target target;
    covey__buffer text;
    char path[160];
    *view = NULL;
    (void)snprintf(path, sizeof(path), "%s/%s/release.json", name, version);
    if (!covey__metadata_look_up(set, path, &target))
        return covey__fail(error, COVEY_ERROR_NOT_FOUND, "the metadata names no %s", path);
    covey__buffer_init(&text, client->env, COVEY__RELEASE_BYTES_MAX);
    covey_status status = covey__fleet_get_blob(client, target.sha256, &text, error);
    if (status == COVEY_OK)
        status = covey__release_view_new(client, text.data != NULL ? text.data : "", text.size,
                                         view, error);
    covey__buffer_free(&text);
    return status;
}

void covey__release_view_free(covey__release_view *view) {
    if (view == NULL) return;
    const covey__env *env = view->client->env;
    for (size_t v = 0; v < COVEY__VARIANT_COUNT_MAX; v++) {
        size_t count = view->manifests[v] != NULL ? view->manifests[v]->component_count : 0;
        for (size_t i = 0; view->indexes[v] != NULL && i < count; i++)
            covey__chunk_index_free(view->indexes[v][i]);
        covey__free(env, view->indexes[v]);
        covey__manifest_free(view->manifests[v]);
    }
    covey__release_free(view->release);
    covey__free(env, view);
}

int32_t covey__release_view_find(const covey__release_view *view, const char *variant) {
    for (size_t i = 0; i < view->release->variant_count; i++)
        if (strcmp(view->release->variants[i].variant, variant) == 0) return (int32_t)i;
    return -1;
}

static covey_status load_indexes(covey__release_view *view, size_t variant, covey__buffer *bytes,
                                 covey_error *error) {
    const covey__env *env = view->client->env;
    const covey__release_variant *said = &view->release->variants[variant];
    covey_status status = COVEY_OK;
    view->indexes[variant] =
        covey__calloc(env, said->component_count, sizeof(*view->indexes[variant]));
    if (view->indexes[variant] == NULL)
        return covey__no_memory(error, "indexes", said->component_count);
    for (size_t i = 0; i < said->component_count && status == COVEY_OK; i++) {
        status =
            covey__fleet_get_blob(view->client, said->components[i].index_sha256, bytes, error);
        if (status == COVEY_OK)
            status = covey__chunk_index_parse(env, bytes->data != NULL ? bytes->data : "",
                                              bytes->size, &view->indexes[variant][i], error);
        if (status == COVEY_OK)
            status =
                covey__release_check_index(&said->components[i], view->indexes[variant][i], error);
    }
    return status;
}

covey_status covey__release_view_load(covey__release_view *view, size_t variant,
                                      covey_error *error) {
    const covey__release_variant *said = &view->release->variants[variant];
    covey__buffer bytes;
    if (view->indexes[variant] != NULL) return COVEY_OK;
    covey__buffer_init(&bytes, view->client->env, BLOB_BYTES_MAX);
    covey_status status = covey__fleet_get_blob(view->client, said->manifest_sha256, &bytes, error);
    if (status == COVEY_OK)
        status = covey__manifest_parse(view->client->env, bytes.data != NULL ? bytes.data : "",
                                       bytes.size, &view->manifests[variant], error);
    if (status == COVEY_OK)
        status =
            covey__release_check_manifest(view->release, said, view->manifests[variant], error);
    if (status == COVEY_OK) status = load_indexes(view, variant, &bytes, error);
    covey__buffer_free(&bytes);
    return status;
}

/* ---- a component's file ------------------------------------------------------------------- */

typedef struct making {
    covey__release_view *view;
    const covey__chunk_plan *plan;
    covey__buffer stored; /* of one chunk */
    uint8_t *content;
    uint64_t fetched;
} making;

static covey_status make_chunk(making *m, size_t number, covey_error *error) {
    const covey__chunk *chunk = &m->plan->target->chunks[number];
    if (covey__chunk_plan_read(m->plan, number, m->content, NULL) == COVEY_OK) return COVEY_OK;
    covey_status status = covey__fleet_get_blob(m->view->client, chunk->blob, &m->stored, error);
    if (status != COVEY_OK) return status;
    m->fetched += m->stored.size;
    return covey__chunk_decode(m->view->client->env, chunk, m->stored.data, m->stored.size,
                               m->content, error);
}

static covey_status make_file(making *m, int descriptor, const char *path, covey_error *error) {
    const covey__env *env = m->view->client->env;
    const covey__chunk_index *index = m->plan->target;
    covey__sha256 hash;
    uint8_t digest[32];
    covey_status status = COVEY_OK;
    covey__sha256_init(&hash);
    for (size_t i = 0; i < index->chunk_count && status == COVEY_OK; i++) {
        const covey__chunk *chunk = &index->chunks[i];
        status = make_chunk(m, i, error);
        if (status == COVEY_OK)
            status = covey__file_write_at(env, descriptor, path, chunk->offset, m->content,
                                          chunk->size, error);
        if (status == COVEY_OK) covey__sha256_update(&hash, m->content, chunk->size);
    }
    if (status != COVEY_OK) return status;
    covey__sha256_final(&hash, digest);
    if (memcmp(digest, index->component_sha256, 32) == 0) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_MISMATCH, "its chunks make another file than it says");
}

covey_status covey__release_view_make(covey__release_view *view, size_t variant, size_t component,
                                      const covey__chunk_source *sources, size_t source_count,
                                      const char *path, uint64_t *fetched, covey_error *error) {
    const covey__env *env = view->client->env;
    covey__chunk_plan *plan = NULL;
    making m = {.view = view};
    int descriptor = -1;
    covey__buffer_init(&m.stored, env, BLOB_BYTES_MAX);
    covey_status status = covey__chunk_plan_make(env, view->indexes[variant][component], sources,
                                                 source_count, &plan, error);
    m.plan = plan;
    m.content = covey__alloc(env, COVEY__CHUNK_BYTES_MAX);
    if (status == COVEY_OK && m.content == NULL)
        status = covey__no_memory(error, "a chunk", COVEY__CHUNK_BYTES_MAX);
    if (status == COVEY_OK)
        status = covey__file_open(env, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600,
                                  &descriptor, error);
    if (status == COVEY_OK) status = make_file(&m, descriptor, path, error);
    if (descriptor >= 0) (void)close(descriptor);
    *fetched = m.fetched;
    covey__free(env, m.content);
    covey__buffer_free(&m.stored);
    covey__chunk_plan_free(plan);
    return status;
}

/* ---- which there are ---------------------------------------------------------------------- */

/* "NAME/VERSION/release.json" of that name: its version, or false. */
static bool release_version(const char *target, const char *name, char version[65]) {
    size_t size = strlen(name);
    if (strncmp(target, name, size) != 0 || target[size] != '/') return false;
    const char *begin = target + size + 1, *end = strchr(begin, '/');
    if (end == NULL || strcmp(end, "/release.json") != 0 || end - begin > 64) return false;
    (void)snprintf(version, 65, "%.*s", (int)(end - begin), begin);
    return covey__semver_valid(version);
}

/* Puts a version where it belongs; what falls off the end is forgotten. */
static size_t insert(char (*versions)[65], size_t count, size_t max, const char *version) {
    size_t at = 0;
    while (at < count && covey__semver_compare(versions[at], version) > 0) at++;
    if (at < count && covey__semver_compare(versions[at], version) == 0) return count;
    if (at == max) return count;
    if (count == max) count--;
    memmove(versions + at + 1, versions + at, (count - at) * sizeof(*versions));
    (void)snprintf(versions[at], sizeof(*versions), "%s", version);
    return count + 1;
}

size_t covey__release_versions(covey__metadata_set *set, const char *name, const char *below,
                               char (*versions)[65], size_t max) {
    size_t count = 0;
    for (size_t r = 0; r < set->role_count; r++) {
        const covey__tuf_document *document = set->roles[r].document;
        if (document->type != COVEY__TUF_TARGETS) continue;
        for (size_t t = 0; t < document->target_count; t++) {
            const covey__tuf_entry *entry = document->targets[t];
            char version[65];
            if (!release_version(entry->name, name, version)) continue;
            if (covey__semver_compare(version, below) >= 0) continue;
            count = insert(versions, count, max, version);
        }
    }
    return count;
}
