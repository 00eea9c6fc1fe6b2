/* Patch indexes (docs/formats/patch-index.md): which patches lead into a release, as edges between
 * components, with the edges that lead to where those begin. A target of the metadata beside the
 * release document. */
#ifndef COVEY_BUNDLE_PATCH_INDEX_H
#define COVEY_BUNDLE_PATCH_INDEX_H

#include "base/arena.h"
#include "base/buffer.h"
#include "delta/chunk_index.h"

#define COVEY__PATCH_INDEX_FORMAT    1
#define COVEY__PATCH_INDEX_BYTES_MAX (1u << 20)
#define COVEY__PATCH_EDGE_COUNT_MAX  1024
#define COVEY__PATCH_INDEX_FILE      "patches.json" /* the target is PRODUCT/VERSION/patches.json */

/* A blob by its digest. */
typedef struct covey__patch_blob {
    uint8_t sha256[32];
    uint64_t size;
} covey__patch_blob;

typedef struct covey__patch_edge {
    const char *role, *file;               /* of the component, as in the manifests: for people */
    const char *from_release, *to_release; /* versions */
    const char **variants; /* of from_release, whose ensembles have the component `from` */
    size_t variant_count;
    covey__patch_blob from, to; /* the components, as manifests name them */
    covey__patch_blob patch;    /* the patch file */
    covey__patch_blob index;    /* its chunk index: a blob. The patch is fetched by its chunks */
    bool sealed; /* the components are encrypted: the patch is between plain bytes, and encrypted
                  * under the content key of `to` */
} covey__patch_edge;

typedef struct covey__patch_index {
    covey__arena arena;
    const char *name, *version; /* of the release that its edges lead into */
    covey__patch_edge *edges;
    size_t edge_count;
} covey__patch_index;

covey_status covey__patch_index_parse(const covey__env *env, const char *text, size_t size,
                                      covey__patch_index **index,
                                      covey_error *error) COVEY_MUST_USE;
void covey__patch_index_free(covey__patch_index *index); /* NULL is allowed */

/* Appends the document. `name`, `version` and the edges are borrowed. What cannot be read back is
 * not made. */
covey_status covey__patch_index_write(const covey__env *env, const char *name, const char *version,
                                      const covey__patch_edge *edges, size_t edge_count,
                                      covey__buffer *out, covey_error *error) COVEY_MUST_USE;

/* What fetching the patch takes. */
uint64_t covey__patch_edge_bytes(const covey__patch_edge *edge);
/* The chunk index of a patch, held against the edge that names it. MISMATCH says what differs. */
covey_status covey__patch_edge_check(const covey__patch_edge *edge, const covey__chunk_index *index,
                                     covey_error *error) COVEY_MUST_USE;
/* Whether a device that serves this version and variant can go on by a patch: by an edge that
 * begins there. */
bool covey__patch_index_serves(const covey__patch_index *index, const char *version,
                               const char *variant);

#endif
