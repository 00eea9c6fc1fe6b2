/* Whether a release may be published: its document, and that all it names is here.
 */
#ifndef COVEY_FLEET_RELEASE_CHECK_H
#define COVEY_FLEET_RELEASE_CHECK_H

#include "bundle/release.h"
#include "fleet/blobs.h"

#define COVEY__MISSING_SHOWN_MAX 16

typedef enum covey__release_verdict {
    COVEY__RELEASE_GOOD,
    COVEY__RELEASE_BAD, /* the release document or what it names contradicts itself */
    COVEY__RELEASE_MISSING_BLOBS
} covey__release_verdict;

typedef struct covey__release_checked {
    covey__release_verdict verdict;
    char message[COVEY_ERROR_MESSAGE_SIZE]; /* why, unless GOOD */
    char name[65], version[65];             /* when GOOD */
    uint64_t size, bytes; /* of the document; of all that fetching every variant takes */
    uint64_t missing_count;
    uint8_t missing[COVEY__MISSING_SHOWN_MAX][32];
} covey__release_checked;

/* COVEY_OK with a verdict, or a failure of disk or memory. That the metadata
 * names the document is for the caller to see. */
covey_status covey__release_check(const covey__env *env, const covey__blobs *blobs,
                                  const uint8_t digest[32], covey__release_checked *checked,
                                  covey_error *error) COVEY_MUST_USE;

/* The same for a release's patch index (docs/formats/patch-index.md), whose blob is `digest`: all
 * that its edges name is here. `checked` gets the verdict and what is missing. */
covey_status covey__release_check_patches(const covey__env *env, const covey__blobs *blobs,
                                          const uint8_t digest[32], const char *name,
                                          const char *version, covey__release_checked *checked,
                                          covey_error *error) COVEY_MUST_USE;

#endif
