/* The patches of a release that is being published: made, judged, handed over as blobs. */
#ifndef COVEY_FLEET_PUBLISH_PATCHES_H
#define COVEY_FLEET_PUBLISH_PATCHES_H

#include "fleet/publish_release.h"

#define COVEY__PATCHES_SAVED_MIN  30         /* percent of what chunks would take */
#define COVEY__PATCHES_CHUNKS_MIN (8u << 10) /* what chunks take at least, to try a patch */

typedef struct covey__patch_making {
    covey_fleet_client *client;
    covey__metadata_set *set;                   /* verified */
    const covey_fleet_publish_options *options; /* bundles, and what of patches is wanted */
    const void *document;                       /* of the release; all that it names is there */
    size_t document_size;
    covey__blob_fn blob;
    void *blob_user;
} covey__patch_making;

/* Appends the patch index, or nothing when no patch is kept. A patch that cannot be made is told of
 * and left out; what fails here is the network, the disk or memory. */
covey_status covey__publish_patches(const covey__patch_making *making, covey__buffer *out,
                                    covey_error *error) COVEY_MUST_USE;

#endif
