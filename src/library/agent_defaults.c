/* Opens the agent with the engine's probes where the caller named none: here the two meet that may
 * not know each other. */
#include "agent/agent.h"

#include <string.h>

static covey_status probe_here(void *user, covey_ensemble *ensemble, covey_probe_result *result,
                               covey_error *error) {
    (void)user;
    return covey_ensemble_probe(ensemble, result, error, NULL, NULL);
}

covey_status covey_agent_open(covey_runtime *runtime, const covey_agent_options *options,
                              covey_agent **agent, covey_error *error) {
    covey_agent_options full = COVEY_AGENT_OPTIONS_INIT;
    memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    full.size = sizeof full;
    if (!full.probe) full.probe = probe_here;
    return covey__agent_open(runtime, &full, agent, error);
}
