/* Which devices can go on to a release by a patch: what a rollout with `patched_first` asks. */
#ifndef COVEY_FLEET_ROLLOUT_PATCHES_H
#define COVEY_FLEET_ROLLOUT_PATCHES_H

#include "fleet/fleet_server.h"

#define COVEY__PATCHED_FROM_MAX (64u << 10)

/* Appends ",VERSION/VARIANT,…," for each version and variant that an edge of the release's patch
 * index begins at, with a NUL. NOT_FOUND when the metadata names no patch index of it. */
covey_status covey__rollout_patched_from(covey_fleet_server *server, const char *name,
                                         const char *version, covey__buffer *out,
                                         covey_error *error) COVEY_MUST_USE;

#endif
