/* What the tests of simulations share: a scenario from settings as JSON. */
#ifndef COVEY_TEST_SIMULATE_FLEET_H
#define COVEY_TEST_SIMULATE_FLEET_H

#include "support/support.h"

#include "fleet/simulate_scenario.h"

#include <string.h>

static inline covey__sim_scenario scenario_of(const char *json) {
    covey__env env;
    covey__sim_settings settings;
    covey_error error = {0};
    covey__env_init(&env);
    covey__sim_settings_init(&settings);
    if (covey__sim_settings_read(&env, "test", json, strlen(json), &settings, &error) != COVEY_OK ||
        covey__sim_settings_finish(&settings, &error) != COVEY_OK)
        fail_msg("%s", error.message);
    return settings.scenario;
}

static inline const covey__sim_policy *policy_named(const char *name) {
    for (size_t i = 0; i < covey__sim_policy_count; i++)
        if (strcmp(covey__sim_policies[i].name, name) == 0) return &covey__sim_policies[i];
    fail_msg("there is no policy %s", name);
    return NULL;
}

#endif
