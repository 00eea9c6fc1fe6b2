/* The user's pause, which is stored, and the interruption of a step, which is not. */
#include "agent/agent_blobs.h"

#include "base/error.h"

covey_status covey__agent_is_paused(const covey_agent *agent, covey_error *error) {
    if (!agent->state.paused) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_BUSY,
                       "its user paused updates; covey update --resume goes on");
}

covey_status covey_agent_pause(covey_agent *agent, bool paused, covey_error *error) {
    covey__agent_actions actions;
    covey__agent_event_in event = {.kind = paused ? COVEY__EVENT_PAUSED : COVEY__EVENT_RESUMED,
                                   .message = paused ? "its user paused updates"
                                                     : "its user resumed updates"};
    int lock = -1;
    covey_status status = covey__agent_lock(agent, true, &lock, error);
    if (status) return status;
    status = covey__agent_load(agent, error);
    if (!status) status = covey__agent_event(agent, &event, &actions, error);
    if (!status && paused) covey__agent_blobs_stop(agent); /* and keeps the parts */
    covey__lock_drop(lock);
    return status;
}

void covey_agent_interrupt(covey_agent *agent, bool interrupted) {
    atomic_store(&agent->interrupted, interrupted);
}
