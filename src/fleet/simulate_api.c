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

typedef struct job {
    const covey__env *env;
    covey__sim_settings settings;
    covey__sim_result results[COVEY__SIM_POLICIES_MAX];
    covey_status status[COVEY__SIM_POLICIES_MAX];
    covey_error errors[COVEY__SIM_POLICIES_MAX];
} job;

/* Policies know nothing of each other, so each thread takes some. */
static void simulate_some(void *user, int32_t thread_index, int32_t thread_count) {
    job *j = user;
    const covey__sim_scenario *s = &j->settings.scenario;
    for (size_t i = (size_t)thread_index; i < s->policy_count; i += (size_t)thread_count) {
        j->status[i] =
            covey__simulate_updates(j->env, s, s->policies[i], &j->results[i], &j->errors[i]);
    }
}

static covey_status simulate_updates(covey_runtime *runtime, job *j, covey_fleet_format format,
                                     covey__buffer *out, covey_error *error) {
    const covey__sim_scenario *s = &j->settings.scenario;
    covey__pool_run(covey__runtime_pool(runtime), simulate_some, j);
    for (size_t i = 0; i < s->policy_count; i++) {
        if (j->status[i] == COVEY_OK) continue;
        if (error != NULL) *error = j->errors[i];
        return j->status[i];
    }
    if (format == COVEY_FLEET_JSON)
        covey__sim_updates_json(s, j->results, out);
    else
        covey__sim_updates_text(s, j->results, out);
    return covey__buffer_check(out, error, "result");
}

covey_status covey_fleet_simulate_updates(covey_runtime *runtime,
                                          const covey_fleet_scenario *scenarios, size_t count,
                                          covey_fleet_format format, char **text,
                                          covey_error *error) {
    const covey__env *env = covey__runtime_env(runtime);
    job *j = covey__calloc(env, 1, sizeof(*j));
    covey__buffer out;
    if (j == NULL) return covey__no_memory(error, "simulate", sizeof(*j));
    j->env = env;
    covey__buffer_init(&out, env, TEXT_BYTES_MAX);
    covey_status status = read_scenarios(env, scenarios, count, &j->settings, error);
    if (status == COVEY_OK) status = simulate_updates(runtime, j, format, &out, error);
    if (status == COVEY_OK) *text = covey__buffer_take(&out, NULL);
    covey__buffer_free(&out);
    covey__free(env, j);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "simulate");
}

void covey_fleet_simulated_free(covey_runtime *runtime, char *text) {
    covey__free(covey__runtime_env(runtime), text);
}
