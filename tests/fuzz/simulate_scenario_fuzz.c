/* Settings of simulated fleets: what is taken holds every bound, and can be weighed. */
#include "fuzz/fuzz_target.h"

#include "fleet/simulate_scenario.h"
#include "fleet/simulate_ways.h"

static void weigh(const covey__env *env, const covey__sim_scenario *scenario) {
    covey__sim_ways ways;
    for (size_t i = 0; i < scenario->policy_count; i++) {
        const covey__sim_policy *policy = scenario->policies[i];
        FUZZ_CHECK(!covey__sim_ways_make(env, scenario, policy, &ways, NULL));
        int32_t last = (int32_t)scenario->releases;
        for (int32_t have = 0; have < last; have++) {
            const covey__sim_way *way = covey__sim_ways_get(&ways, 0, have, last);
            FUZZ_CHECK(way->bytes <= way->fallback);
            FUZZ_CHECK(way->patches == 0 || (policy->depth > 0 && way->bytes < way->fallback));
            FUZZ_CHECK(way->patches < 2 || policy->chains);
        }
        FUZZ_CHECK(ways.patches_dropped <= ways.patches_made);
        covey__sim_ways_free(&ways);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    static covey__sim_settings settings;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__env_init(&env);
    covey__sim_settings_init(&settings);
    covey_status status =
        covey__sim_settings_read(&env, "fuzz", (const char *)data, size, &settings, &error);
    if (status == COVEY_OK) status = covey__sim_settings_finish(&settings, &error);
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (status != COVEY_OK) return 0;
    const covey__sim_scenario *s = &settings.scenario;
    FUZZ_CHECK(s->devices >= 1 && s->devices <= COVEY__SIM_DEVICES_MAX);
    FUZZ_CHECK(s->releases >= 1 && s->releases <= COVEY__SIM_RELEASES_MAX);
    FUZZ_CHECK(s->presence.count > 0 && s->links.count > 0 && s->stages.count > 0);
    FUZZ_CHECK(s->stages.items[s->stages.count - 1].percent > 99.9);
    FUZZ_CHECK(s->variant_count > 0 && s->policy_count > 0);
    weigh(&env, s);
    return 0;
}
