/* A release as a publisher needs it to make patches: its document with manifests and chunk indexes,
 * read back from the control plane, and its components made again from chunks. */
#ifndef COVEY_FLEET_PUBLISH_RELEASE_H
#define COVEY_FLEET_PUBLISH_RELEASE_H

#include "bundle/release.h"
#include "delta/chunk_plan.h"
#include "fleet/client_metadata.h"

typedef struct covey__release_view {
    covey_fleet_client *client;
    covey__release *release;
    covey__manifest *manifests[COVEY__VARIANT_COUNT_MAX];   /* NULL until the variant is loaded */
    covey__chunk_index **indexes[COVEY__VARIANT_COUNT_MAX]; /* one a component */
} covey__release_view;

/* Appends a blob, its bytes held against its name. MISMATCH when they differ. */
covey_status covey__fleet_get_blob(covey_fleet_client *client, const uint8_t sha256[32],
                                   covey__buffer *out, covey_error *error) COVEY_MUST_USE;

/* Of the document's text. Nothing else is read yet. */
covey_status covey__release_view_new(covey_fleet_client *client, const void *document, size_t size,
                                     covey__release_view **view, covey_error *error) COVEY_MUST_USE;
/* Of the document that the metadata names for PRODUCT/VERSION; NOT_FOUND when it names none. */
covey_status covey__release_view_open(covey_fleet_client *client, covey__metadata_set *set,
                                      const char *name, const char *version,
                                      covey__release_view **view,
                                      covey_error *error) COVEY_MUST_USE;
void covey__release_view_free(covey__release_view *view); /* NULL is allowed */

/* Reads the variant's manifest and indexes, once. */
covey_status covey__release_view_load(covey__release_view *view, size_t variant,
                                      covey_error *error) COVEY_MUST_USE;
/* The variant of that name; -1: none. */
int32_t covey__release_view_find(const covey__release_view *view, const char *variant);

/* Makes a component's file at `path`: chunks that stand in `sources` are read there, the rest is
 * fetched; `*fetched` bytes were. The whole is held against the component's digest. */
covey_status covey__release_view_make(covey__release_view *view, size_t variant, size_t component,
                                      const covey__chunk_source *sources, size_t source_count,
                                      const char *path, uint64_t *fetched,
                                      covey_error *error) COVEY_MUST_USE;

/* The versions of a product that the metadata names and that are lower than `below`, highest first:
 * at most `max`. Returns how many there are of them. */
size_t covey__release_versions(covey__metadata_set *set, const char *name, const char *below,
                               char (*versions)[65], size_t max);

#endif
