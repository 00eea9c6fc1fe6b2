/* The check before a release is published: what a device would find, the server finds first.
 *
 * It walks as a device does: the document, each variant's manifest, each component's chunk index,
 * and each chunk's presence and size. What is missing is collected and not fatal at once, so that a
 * publisher learns of all of it.
 *
 * Invariant: GOOD means that every blob of every variant is here, with the size that its referrer
 * says. (Their digests were checked when they came in.)
 *
 * Neighbours: api_releases.c; bundle/release.h and delta/chunk_index.h read the formats.
 */
#include "fleet/release_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "bundle/patch_index.h"

typedef struct walk {
    const covey__env *env;
    const covey__blobs *blobs;
    covey__release_checked *checked;
} walk;

static covey_status judged(walk *w, covey__release_verdict verdict, const char *message) {
    w->checked->verdict = verdict;
    (void)snprintf(w->checked->message, sizeof(w->checked->message), "%s", message);
    return COVEY_OK;
}

static void note_missing(walk *w, const uint8_t sha256[32]) {
    if (w->checked->missing_count < COVEY__MISSING_SHOWN_MAX) {
        memcpy(w->checked->missing[w->checked->missing_count], sha256, 32);
    }
    w->checked->missing_count++;
}

/* A failure to read a format is the publisher's; of disk or memory, ours. */
static bool is_ours(covey_status status) {
    return status == COVEY_ERROR_IO || status == COVEY_ERROR_NO_MEMORY ||
           status == COVEY_ERROR_NO_SPACE || status == COVEY_ERROR_DENIED;
}

/* Reads a blob of a stated size. *found is false when it is missing; a verdict may be set. */
static covey_status read_blob(walk *w, const uint8_t sha256[32], uint64_t size, uint64_t size_max,
                              const char *what, covey__buffer *out, bool *found,
                              covey_error *error) {
    uint64_t stored = 0;
    *found = false;
    covey_status status = covey__blob_size(w->blobs, sha256, &stored, error);
    if (status == COVEY_ERROR_NOT_FOUND) {
        note_missing(w, sha256);
        return COVEY_OK;
    }
    if (status != COVEY_OK) return status;
    if ((size != 0 && stored != size) || stored > size_max) {
        char message[160];
        (void)snprintf(message, sizeof(message),
                       "%s: the release says %" PRIu64 " bytes, the blob has %" PRIu64 " (at most "
                       "%" PRIu64 ")",
                       what, size, stored, size_max);
        return judged(w, COVEY__RELEASE_BAD, message);
    }
    covey__buffer_init(out, w->env, (size_t)size_max);
    status = covey__blob_read(w->blobs, sha256, out, error);
    if (status != COVEY_OK) covey__buffer_free(out);
    *found = status == COVEY_OK;
    w->checked->bytes += stored;
    return status;
}

static covey_status check_chunks(walk *w, const covey__chunk_index *index, covey_error *error) {
    for (size_t i = 0; i < index->chunk_count; i++) {
        uint64_t stored = 0;
        const covey__chunk *chunk = &index->chunks[i];
        covey_status status = covey__blob_size(w->blobs, chunk->blob, &stored, error);
        if (status == COVEY_ERROR_NOT_FOUND) {
            note_missing(w, chunk->blob);
            continue;
        }
        if (status != COVEY_OK) return status;
        if (stored != chunk->stored_size) {
            char message[120];
            (void)snprintf(message, sizeof(message),
                           "chunk %zu: the index says %" PRIu32 " bytes, the blob has %" PRIu64, i,
                           chunk->stored_size, stored);
            return judged(w, COVEY__RELEASE_BAD, message);
        }
        w->checked->bytes += stored;
    }
    return COVEY_OK;
}

/* The chunks of an index, which it takes, where what was said of it holds; else the verdict. */
static covey_status check_index(walk *w, covey__chunk_index *index, covey_status status,
                                const covey_error *bad, covey_error *error) {
    if (status == COVEY_OK)
        status = check_chunks(w, index, error);
    else if (is_ours(status))
        *error = *bad;
    else
        status = judged(w, COVEY__RELEASE_BAD, bad->message);
    covey__chunk_index_free(index);
    return status;
}

static covey_status check_component(walk *w, const covey__release_component *component,
                                    covey_error *error) {
    covey__buffer bytes;
    covey__chunk_index *index = NULL;
    bool found;
    covey_status status = read_blob(w, component->index_sha256, component->index_size,
                                    COVEY__INDEX_BYTES_MAX, "chunk index", &bytes, &found, error);
    if (status != COVEY_OK || !found) return status;
    covey_error bad = {0};
    status = covey__chunk_index_parse(w->env, bytes.data, bytes.size, &index, &bad);
    covey__buffer_free(&bytes);
    if (status == COVEY_OK) status = covey__release_check_index(component, index, &bad);
    return check_index(w, index, status, &bad, error);
}

static covey_status check_variant(walk *w, const covey__release *release,
                                  const covey__release_variant *variant, covey_error *error) {
    covey__buffer bytes;
    covey__manifest *manifest = NULL;
    bool found;
    covey_status status = read_blob(w, variant->manifest_sha256, variant->manifest_size,
                                    COVEY__MANIFEST_BYTES_MAX, "manifest", &bytes, &found, error);
    if (status != COVEY_OK) return status;
    if (found) {
        covey_error bad = {0};
        status = covey__manifest_parse(w->env, bytes.data, bytes.size, &manifest, &bad);
        covey__buffer_free(&bytes);
        if (status == COVEY_OK) {
            status = covey__release_check_manifest(release, variant, manifest, &bad);
        }
        covey__manifest_free(manifest);
        if (is_ours(status)) *error = bad;
        if (is_ours(status)) return status;
        if (status != COVEY_OK) return judged(w, COVEY__RELEASE_BAD, bad.message);
    }
    for (size_t i = 0; i < variant->component_count; i++) {
        if (w->checked->verdict != COVEY__RELEASE_GOOD) return COVEY_OK;
        status = check_component(w, &variant->components[i], error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

static covey_status check_document(walk *w, const covey__buffer *document, covey_error *error) {
    covey__release *release = NULL;
    covey_error bad = {0};
    covey_status status =
        covey__release_parse(w->env, document->data, document->size, &release, &bad);
    if (is_ours(status)) {
        *error = bad;
        return status;
    }
    if (status != COVEY_OK) return judged(w, COVEY__RELEASE_BAD, bad.message);
    (void)snprintf(w->checked->name, sizeof(w->checked->name), "%s", release->name);
    (void)snprintf(w->checked->version, sizeof(w->checked->version), "%s", release->version);
    for (size_t i = 0; i < release->variant_count && status == COVEY_OK; i++) {
        if (w->checked->verdict != COVEY__RELEASE_GOOD) break;
        status = check_variant(w, release, &release->variants[i], error);
    }
    covey__release_free(release);
    return status;
}

/* What is missing is a verdict too, once all of it is known. */
static void note_verdict(walk *w) {
    char message[96];
    if (w->checked->verdict != COVEY__RELEASE_GOOD || w->checked->missing_count == 0) return;
    (void)snprintf(message, sizeof(message),
                   "%" PRIu64 " blobs that the release names are not here: upload them first",
                   w->checked->missing_count);
    (void)judged(w, COVEY__RELEASE_MISSING_BLOBS, message);
}

covey_status covey__release_check(const covey__env *env, const covey__blobs *blobs,
                                  const uint8_t digest[32], covey__release_checked *checked,
                                  covey_error *error) {
    walk w = {env, blobs, checked};
    covey__buffer document;
    bool found;
    memset(checked, 0, sizeof(*checked));
    covey_status status = read_blob(&w, digest, 0, COVEY__RELEASE_BYTES_MAX, "release document",
                                    &document, &found, error);
    if (status == COVEY_OK && found) {
        checked->size = document.size;
        status = check_document(&w, &document, error);
        covey__buffer_free(&document);
    }
    note_verdict(&w);
    return status;
}

/* ---- patches ------------------------------------------------------------------------------ */

static covey_status check_edge(walk *w, const covey__patch_edge *edge, covey_error *error) {
    covey__buffer bytes;
    covey__chunk_index *index = NULL;
    covey_error bad = {0};
    bool found;
    covey_status status = read_blob(w, edge->index.sha256, edge->index.size, COVEY__INDEX_BYTES_MAX,
                                    "chunk index of a patch", &bytes, &found, error);
    if (status != COVEY_OK || !found) return status;
    status = covey__chunk_index_parse(w->env, bytes.data, bytes.size, &index, &bad);
    covey__buffer_free(&bytes);
    if (status == COVEY_OK) status = covey__patch_edge_check(edge, index, &bad);
    return check_index(w, index, status, &bad, error);
}

covey_status covey__release_check_patches(const covey__env *env, const covey__blobs *blobs,
                                          const uint8_t digest[32], const char *name,
                                          const char *version, covey__release_checked *checked,
                                          covey_error *error) {
    walk w = {env, blobs, checked};
    covey__buffer document;
    covey__patch_index *index = NULL;
    covey_error bad = {0};
    bool found;
    memset(checked, 0, sizeof(*checked));
    covey_status status = read_blob(&w, digest, 0, COVEY__PATCH_INDEX_BYTES_MAX, "patch index",
                                    &document, &found, error);
    if (status == COVEY_OK && found) {
        status = covey__patch_index_parse(env, document.data, document.size, &index, &bad);
        covey__buffer_free(&document);
        if (status == COVEY_OK &&
            (strcmp(index->name, name) != 0 || strcmp(index->version, version) != 0))
            status = covey__fail(&bad, COVEY_ERROR_MISMATCH, "patch index: is of %s@%s",
                                 index->name, index->version);
        if (is_ours(status)) *error = bad;
        if (status != COVEY_OK && !is_ours(status))
            status = judged(&w, COVEY__RELEASE_BAD, bad.message);
    }
    for (size_t i = 0; status == COVEY_OK && index != NULL && i < index->edge_count; i++) {
        if (checked->verdict != COVEY__RELEASE_GOOD) break;
        status = check_edge(&w, &index->edges[i], error);
    }
    covey__patch_index_free(index);
    note_verdict(&w);
    return status;
}
