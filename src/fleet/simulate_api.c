/* The public face of what is simulated: documents in, one text out.
 *
 * Neighbours: simulate_scenario.c reads, simulate_updates.c computes, simulate_text.c writes.
 */
#include <covey/fleet_simulate.h>

#include "base/error.h"
#include "base/runtime.h"
#include "fleet/simulate_updates.h"

#define TEXT_BYTES_MAX (4u << 20)

static covey_status read_scenarios(const covey__env *env, const covey_fleet_scenario *scenarios,
                                   size_t count, covey__sim_settings *settings,
                                   covey_error *error) {
    covey_status status = COVEY_OK;
    covey__sim_settings_init(settings);
    for (size_t i = 0; i < count && status == COVEY_OK; i++) {
        status = covey__sim_settings_read(env, scenarios[i].name, scenarios[i].json,
                                          scenarios[i].size, settings, error);
    }
    return status == COVEY_OK ? covey__sim_settings_finish(settings, error) : status;
}

covey_status covey_fleet_simulate_updates(covey_runtime *runtime,
                                          const covey_fleet_scenario *scenarios, size_t count,
                                          covey_fleet_format format, char **text,
                                          covey_error *error) {
    const covey__env *env = covey__runtime_env(runtime);
    covey__sim_settings *settings = covey__calloc(env, 1, sizeof(*settings));
    covey__sim_result *results =
        covey__calloc(env, COVEY__SIM_POLICIES_MAX, sizeof(covey__sim_result));
    covey__buffer out;
    covey_status status;
    covey__buffer_init(&out, env, TEXT_BYTES_MAX);
    if (settings == NULL || results == NULL) {
        status = covey__no_memory(error, "simulate", sizeof(*settings));
    } else {
        const covey__sim_scenario *s = &settings->scenario;
        status = read_scenarios(env, scenarios, count, settings, error);
        for (size_t i = 0; status == COVEY_OK && i < s->policy_count; i++)
            status = covey__simulate_updates(env, s, s->policies[i], &results[i], error);
        if (status == COVEY_OK) {
            (format == COVEY_FLEET_JSON ? covey__sim_updates_json
                                        : covey__sim_updates_text)(s, results, &out);
            status = covey__buffer_check(&out, error, "simulate");
        }
    }
    if (status == COVEY_OK) *text = covey__buffer_take(&out, NULL);
    covey__buffer_free(&out);
    covey__free(env, settings);
    covey__free(env, results);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "simulate");
}

void covey_fleet_simulated_free(covey_runtime *runtime, char *text) {
    covey__free(covey__runtime_env(runtime), text);
}
