/* The phases of an update, one after the other: performs the one at hand and tells the machine what
 * came of it. What a failure means for the release is decided here: only what was signed and can
 * never be right on this device ends it for ever. */
#include "agent/agent_files.h"
#include "agent/agent_ways.h"

#include "base/error.h"
#include "base/thread_calm.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROGRESS_BYTES (256u << 10) /* a fetch that failed after so many begins to count anew */

/* What a failure of a phase means for the update. Refused for ever is only what was signed and can
 * never be right here: what a line, a disk, a setting or a forged answer did may pass. */
static covey__event_kind meaning(const covey_agent *agent, covey_status status,
                                 const covey_error *error) {
    covey__phase phase = agent->state.update.phase;
    bool moved = phase == COVEY__PHASE_VERIFY || phase == COVEY__PHASE_STAGE; /* files we wrote */
    /* An unsigned word against a release must not outlast it. */
    if (phase <= COVEY__PHASE_FETCH && !agent->authentic && status != COVEY_ERROR_BUSY &&
        status != COVEY_ERROR_NO_SPACE)
        return COVEY__EVENT_FAILED;
    switch (status) {
    case COVEY_ERROR_BUSY:
    case COVEY_ERROR_NO_SPACE:
        return COVEY__EVENT_WAITING;
    case COVEY_ERROR_UNSUPPORTED:
    case COVEY_ERROR_REFUSED:
    case COVEY_ERROR_NUMERIC:
        return COVEY__EVENT_REFUSED;
    case COVEY_ERROR_DENIED: /* of a rule; of the file system it may pass */
        return error->system_code ? COVEY__EVENT_FAILED : COVEY__EVENT_REFUSED;
    case COVEY_ERROR_FORMAT:
    case COVEY_ERROR_LIMIT:
        return moved ? COVEY__EVENT_DAMAGED : COVEY__EVENT_REFUSED;
    case COVEY_ERROR_MISMATCH:
        if (phase == COVEY__PHASE_PLAN) return COVEY__EVENT_REFUSED;
        return phase == COVEY__PHASE_FETCH ? COVEY__EVENT_FAILED : COVEY__EVENT_DAMAGED;
    case COVEY_ERROR_NOT_FOUND:
        return phase >= COVEY__PHASE_VERIFY ? COVEY__EVENT_DAMAGED : COVEY__EVENT_FAILED;
    case COVEY_ERROR_REMOTE:
        /* A file may still be on its way to all of a server's mirrors. Gone for good, asking again
         * would only be a burden; 410 says so at once. */
        if (error->found == 410) return COVEY__EVENT_REFUSED;
        if (error->found != 404) return COVEY__EVENT_FAILED;
        return agent->state.update.attempts + 1 < COVEY__GONE_MAX ? COVEY__EVENT_FAILED
                                                                  : COVEY__EVENT_REFUSED;
    default:
        return COVEY__EVENT_FAILED;
    }
}

static covey_status run_phase(covey_agent *agent, int64_t deadline_us, bool *done,
                              covey__agent_event_in *event, char proof[128], covey_error *error) {
    covey__agent_actions actions;
    covey__agent_event_in start = {.kind = COVEY__EVENT_PROBE_START};
    char release[132];
    covey_status status;
    bool again = false;
    *done = true;
    switch (agent->state.update.phase) {
    case COVEY__PHASE_PLAN:
        status = covey__agent_plan(agent, deadline_us, done, error);
        if (!status && *done) status = covey__agent_may_fetch(agent, error);
        if (!status && *done) {
            status = covey__space_reserve(agent, &again, error);
            *done = !again;
        }
        return status;
    case COVEY__PHASE_FETCH:
        status = covey__agent_fetch(agent, deadline_us, done, error);
        event->bytes = (int64_t)agent->fetching.bytes_done;
        event->elapsed_ms = (covey__monotonic_us() - agent->fetching.started_us) / 1000;
        return status;
    case COVEY__PHASE_VERIFY:
        return covey__agent_verify(agent, deadline_us, done, error);
    case COVEY__PHASE_STAGE:
        return covey__agent_stage(agent, error);
    case COVEY__PHASE_PROBE:
        if (strcmp(agent->staged_checked, agent->state.update.digest)) {
            status = covey__agent_check_staged(agent, deadline_us, done, error);
            if (status || !*done) return status;
            memcpy(agent->staged_checked, agent->state.update.digest, 65);
            *done = false; /* the probes may take long: in a step of their own, if need be */
            if (covey__monotonic_us() >= deadline_us) return COVEY_OK;
        }
        *done = true;
        agent->staged_checked[0] = 0; /* once */
        covey__agent_release(agent, release);
        status = covey__agent_event(agent, &start, &actions, error);
        if (status || agent->state.update.phase != COVEY__PHASE_PROBE) {
            *done = false;
            if (!status)
                covey__agent_tell(agent, COVEY_AGENT_EVENT_REFUSED, "probe", release, 0, 0,
                                  "refused: %s", agent->state.last.message);
            return status;
        }
        covey__agent_proof(agent, proof);
        event->proved = proof;
        return covey__agent_probe(agent, &event->without_probes, error);
    case COVEY__PHASE_ACTIVATE:
        covey__agent_proof(agent, proof);
        event->proved = proof;
        status = covey__consent_check(agent, error);
        return status ? status : covey__agent_fault(agent, "agent.activate", error);
    default:
        *done = false;
        return COVEY_OK;
    }
}

static void tell_outcome(covey_agent *agent, covey__phase phase, const char *release,
                         const covey__agent_event_in *event) {
    const covey__fetching *fetching = &agent->fetching;
    const char *name = covey__phase_name(phase);
    uint64_t done = (uint64_t)event->bytes;
    const char *why = event->message ? event->message : "";
    switch (event->kind) {
    case COVEY__EVENT_DONE:
        break;
    case COVEY__EVENT_REFUSED:
        covey__agent_tell(agent, COVEY_AGENT_EVENT_REFUSED, name, release, 0, 0, "refused: %s",
                          why);
        return;
    case COVEY__EVENT_DAMAGED:
        covey__agent_tell(agent, COVEY_AGENT_EVENT_DAMAGED, name, release, 0, 0, "damaged: %s",
                          why);
        return;
    case COVEY__EVENT_WAITING:
        covey__agent_tell(agent, COVEY_AGENT_EVENT_WAITING, name, release, 0, 0, "waiting: %s",
                          why);
        return;
    default:
        covey__agent_tell(agent, COVEY_AGENT_EVENT_FAILED, name, release, 0, 0, "failed: %s", why);
        return;
    }
    const covey_agent_event_kind kind = COVEY_AGENT_EVENT_DONE;
    if (phase == COVEY__PHASE_PLAN)
        covey__agent_tell(agent, kind, name, release, 0, fetching->bytes_total, "%s", why);
    else if (phase == COVEY__PHASE_FETCH)
        covey__agent_tell(agent, kind, name, release, done, fetching->bytes_total, "%s", why);
    else
        covey__agent_tell(agent, kind, name, release, 0, 0, "done in %" PRId64 " ms",
                          event->elapsed_ms);
}

/* What a plan is to cost, and what a fetch did, in the event's words. */
static void say_bytes(covey_agent *agent, covey__phase phase, covey__agent_event_in *event,
                      char words[160]) {
    if (phase == COVEY__PHASE_PLAN) {
        covey__ways_estimate(agent, words);
        covey__ways_tell(agent);
        event->message = words;
    } else if (phase == COVEY__PHASE_FETCH) {
        covey__ways_words(agent, words);
        event->message = event->how = words;
    }
}

covey_status covey__agent_advance(covey_agent *agent, int64_t deadline_us, covey_error *error) {
    covey__phase phase = agent->state.update.phase;
    covey__agent_event_in event = {.kind = COVEY__EVENT_DONE};
    covey__agent_actions actions;
    covey_error why = {0};
    char release[132], proof[128], platform[COVEY__PLATFORM_SIZE], words[160];
    bool done = false;
    agent->retry_after_ms = 0;
    if (agent->timed != phase) agent->timed_us = covey__monotonic_us();
    agent->timed = phase; /* it may take several steps */
    covey__agent_release(agent, release);
    agent->out_of_time = false;
    agent->deadline_us = deadline_us;
    covey_status status = covey__agent_is_paused(agent, &why);
    covey__calm calm; /* the thread was lent: whoever serves comes first meanwhile */
    covey__calm_enter(agent->env, false, &calm);
    if (!status) status = run_phase(agent, deadline_us, &done, &event, proof, &why);
    covey__calm_leave(&calm);
    agent->deadline_us = 0;
    if (!status && !done)
        return phase == COVEY__PHASE_FETCH ? covey__ways_store(agent, error) : COVEY_OK;
    /* Nothing failed: the time was over, or another thread wants the step to end. */
    if (status == COVEY_ERROR_CANCELLED && (agent->out_of_time || atomic_load(&agent->interrupted)))
        return COVEY_OK;
    if (!status) say_bytes(agent, phase, &event, words);
    if (phase == COVEY__PHASE_FETCH) covey__ways_count(agent);
    if (phase != COVEY__PHASE_FETCH)
        event.elapsed_ms = (covey__monotonic_us() - agent->timed_us) / 1000;
    agent->timed = COVEY__PHASE_NONE;
    if (status) {
        event.kind = meaning(agent, status, &why);
        event.message = why.message;
        event.retry_after_ms = agent->retry_after_ms;
        event.progressed = agent->fetching.bytes_done > PROGRESS_BYTES;
        if (status == COVEY_ERROR_UNSUPPORTED || status == COVEY_ERROR_NUMERIC) {
            covey__agent_platform(agent, platform); /* another app or library may bring it */
            event.under = platform;
        }
        if (event.kind == COVEY__EVENT_DAMAGED && phase >= COVEY__PHASE_STAGE) {
            status = covey__agent_unstage(agent, error);
            if (status) return status;
        }
        covey__fetching_free(agent);
    } else if (phase == COVEY__PHASE_PLAN) {
        memcpy(agent->state.update.digest, agent->fetching.digest, 65);
        snprintf(agent->state.update.variant, sizeof agent->state.update.variant, "%s",
                 agent->fetching.variant->variant);
        agent->state.update.fetch_bytes = (int64_t)agent->fetching.bytes_total;
    }
    covey_status stored = covey__agent_event(agent, &event, &actions, error);
    if (!stored && event.kind == COVEY__EVENT_DONE && actions.clean && !actions.current_changed) {
        event.kind = COVEY__EVENT_REFUSED; /* the machine knew the ensemble */
        event.message = agent->state.last.message;
    }
    if (!stored) tell_outcome(agent, phase, release, &event);
    return stored;
}
