/* A fleet that goes from release to release, event by event: what each policy of patches costs. */
#ifndef COVEY_FLEET_SIMULATE_UPDATES_H
#define COVEY_FLEET_SIMULATE_UPDATES_H

#include "fleet/simulate_scenario.h"

#define COVEY__SIM_ADOPTIONS 3 /* 50, 90 and 99 percent of the devices */

typedef struct covey__sim_release_result {
    double published_day;
    double days_to[COVEY__SIM_ADOPTIONS]; /* since it was published; below 0: never reached */
    double percent_at_end;                /* of the devices with it or a later one */
} covey__sim_release_result;

typedef struct covey__sim_result {
    uint64_t bytes_served;               /* all of it, what follows included */
    uint64_t bytes_abandoned;            /* for a release that a newer one overtook on its way in */
    uint64_t bytes_fallback;             /* chunks after a patch failed */
    uint64_t updates;                    /* that a device completed */
    uint64_t by_patch;                   /* of these, with a patch for some component */
    uint64_t by_chain;                   /* of these, with two in a row */
    uint64_t fallbacks;                  /* with a patch that failed */
    double mean, p50, p95;               /* bytes of a completed update */
    double peak_mbit;                    /* of the busiest slot of time */
    uint64_t release_bytes, patch_bytes; /* at the origin when that was most */
    uint64_t patches_made, patches_dropped;
    double make_seconds;                  /* of one core */
    double cost;                          /* bytes_served at price_per_gb */
    double days_to[COVEY__SIM_ADOPTIONS]; /* the median release's; below 0: most never reached it */
    covey__sim_release_result releases[COVEY__SIM_RELEASES_MAX]; /* [i]: release i + 1 */
    double slot_minutes;                                         /* how finely time is looked at */
} covey__sim_result;

/* Pure: the same scenario and policy give the same result. */
covey_status covey__simulate_updates(const covey__env *env, const covey__sim_scenario *scenario,
                                     const covey__sim_policy *policy, covey__sim_result *result,
                                     covey_error *error) COVEY_MUST_USE;

/* The results as text, one a policy of the scenario. */
void covey__sim_updates_text(const covey__sim_scenario *scenario, const covey__sim_result *results,
                             covey__buffer *out);
void covey__sim_updates_json(const covey__sim_scenario *scenario, const covey__sim_result *results,
                             covey__buffer *out);

#endif
