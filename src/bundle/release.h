/* Release documents (docs/formats/release.md): name@version with its variants, what devices each is
 * for, and the digests and sizes of all that a device fetches. A target of
 * the metadata (docs/trust.md). */
#ifndef COVEY_BUNDLE_RELEASE_H
#define COVEY_BUNDLE_RELEASE_H

#include "bundle/manifest.h"
#include "delta/chunk_maker.h"

#define COVEY__RELEASE_FORMAT    1
#define COVEY__RELEASE_BYTES_MAX (1u << 20)
#define COVEY__VARIANT_COUNT_MAX 32

typedef struct covey__release_component {
    uint8_t sha256[32]; /* of the component, as in the manifest */
    uint64_t size;
    uint8_t index_sha256[32]; /* of its chunk index */
    uint64_t index_size;
    uint64_t stored_size; /* sum of its chunks' stored sizes: what a fetch in full costs */
} covey__release_component;

typedef struct covey__release_variant {
    const char *variant;
    const char **classes; /* device classes it is for, by name */
    size_t class_count;
    uint8_t manifest_sha256[32]; /* the ensemble's digest */
    uint64_t manifest_size;
    covey__release_component *components; /* in the manifest's order */
    size_t component_count;
} covey__release_variant;

typedef struct covey__release {
    covey__arena arena;
    const char *name, *version;
    covey__release_variant *variants; /* in order of preference */
    size_t variant_count;
    uint8_t digest[32]; /* of the document's bytes */
    char digest_hex[65];
} covey__release;

covey_status covey__release_parse(const covey__env *env, const char *text, size_t size,
                                  covey__release **release, covey_error *error) COVEY_MUST_USE;
void covey__release_free(covey__release *release); /* NULL is allowed */

/* The first variant that is for a device class ("tiny", "small", …); NULL if none is. */
const covey__release_variant *covey__release_choose(const covey__release *release,
                                                    const char *device_class);

/* Holds a fetched manifest against the release that named it: same name, version, variant, the same
 * components in the same order. MISMATCH says what differs. */
covey_status covey__release_check_manifest(const covey__release *release,
                                           const covey__release_variant *variant,
                                           const covey__manifest *manifest,
                                           covey_error *error) COVEY_MUST_USE;
/* Holds a fetched chunk index against the component that it is for. */
covey_status covey__release_check_index(const covey__release_component *component,
                                        const covey__chunk_index *index,
                                        covey_error *error) COVEY_MUST_USE;

/* Receives each blob once or more: `sha256` is that of the bytes. */
typedef covey_status (*covey__blob_fn)(void *user, const uint8_t sha256[32], const void *data,
                                       size_t size, covey_error *error);

typedef struct covey__release_source {
    const char *folder;         /* of a built ensemble; checked to the last byte */
    const char *const *classes; /* device classes it is for */
    size_t class_count;
} covey__release_source;

/* Makes a release of one or more ensembles that share name and version: hands over all their blobs
 * (manifests, indexes, chunks) and appends the document, which is itself not handed over. */
covey_status covey__release_build(const covey__env *env, const covey__release_source *sources,
                                  size_t source_count, covey__buffer *out, covey_error *error,
                                  covey__blob_fn blob, void *user) COVEY_MUST_USE;

#endif
