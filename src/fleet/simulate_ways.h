/* What bringing one device from one release to another weighs under a policy, for all pairs of
 * releases, and what that policy keeps at the origin. */
#ifndef COVEY_FLEET_SIMULATE_WAYS_H
#define COVEY_FLEET_SIMULATE_WAYS_H

#include "fleet/simulate_scenario.h"

/* One component of a variant, from the release that a device has to the one that it takes. */
typedef struct covey__sim_way {
    uint64_t bytes;    /* to fetch */
    uint64_t fallback; /* to fetch as well where its patches fail */
    int32_t patches;   /* 0, 1, or 2: a chain */
} covey__sim_way;

typedef struct covey__sim_ways {
    const covey__env *env;
    const covey__sim_scenario *scenario;
    covey__sim_way *ways[COVEY__SIM_VARIANTS_MAX];
    uint64_t release_bytes, patch_bytes; /* kept at the origin when that was most */
    uint64_t patches_made, patches_dropped;
    uint64_t made_from_bytes; /* of the new components for which patches were made */
} covey__sim_ways;

covey_status covey__sim_ways_make(const covey__env *env, const covey__sim_scenario *scenario,
                                  const covey__sim_policy *policy, covey__sim_ways *ways,
                                  covey_error *error) COVEY_MUST_USE;
void covey__sim_ways_free(covey__sim_ways *ways);

/* One a component of the variant. Releases count from 0, which devices begin with. */
const covey__sim_way *covey__sim_ways_get(const covey__sim_ways *ways, size_t variant, int32_t have,
                                          int32_t target);
/* Whether some component of it comes by patches. */
bool covey__sim_ways_patched(const covey__sim_ways *ways, size_t variant, int32_t have,
                             int32_t target);

#endif
