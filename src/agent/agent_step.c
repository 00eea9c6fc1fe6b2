/* The step: what is due now, one thing after the other, under the lock of the state folder, and
 * what the caller is told of it. Phases are performed in agent_phases.c; check-ins in agent_wire.c;
 * statements of the publisher are applied before anything else (agent_steering.c). */
#include "agent/agent_blobs.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What the outcome of probing the current ensemble again says of it; FAILED: nothing. */
static covey__event_kind judge_current(covey_status status) {
    switch (status) {
    case COVEY_OK:
        return COVEY__EVENT_CURRENT_GOOD;
    case COVEY_ERROR_REFUSED:
    case COVEY_ERROR_UNSUPPORTED:
    case COVEY_ERROR_NUMERIC:
        return COVEY__EVENT_CURRENT_BAD;
    case COVEY_ERROR_MISMATCH:
    case COVEY_ERROR_NOT_FOUND:
    case COVEY_ERROR_FORMAT:
        return COVEY__EVENT_CURRENT_DAMAGED;
    default:
        return COVEY__EVENT_FAILED;
    }
}

/* Writes down that probes begin, so that those which take the process with them are not begun for
 * ever. A trial's starts are counted already. */
static covey_status count_start(covey_agent *agent, int32_t starts, covey_error *error) {
    if (agent->state.current.trial || agent->state.current.starts == starts) return COVEY_OK;
    agent->state.current.starts = starts;
    return covey__agent_save(agent, &agent->state, error);
}

static covey_status probe_current(covey_agent *agent, covey_error *error) {
    covey_probe_result result = COVEY_PROBE_RESULT_INIT;
    covey_ensemble *ensemble = NULL;
    const covey__agent_slot *current = &agent->state.current;
    if (!current->trial && current->starts >= COVEY__PROBE_STARTS_MAX)
        return covey__fail(error, COVEY_ERROR_REFUSED,
                           "its probes ended the process each time they ran after a change of "
                           "library or system");
    covey_status status = covey__slot_open(agent, current, &ensemble, error);
    if (!status) status = agent->options.probe(agent->options.probe_user, ensemble, &result, error);
    covey_ensemble_close(ensemble);
    return status;
}

/* The library, the system or the instruction set is another than when the current ensemble was
 * proved. */
static covey_status prove_again(covey_agent *agent, bool *acted, covey_error *error) {
    covey__agent_actions actions;
    covey_error why = {0};
    char proof[128], release[132], platform[COVEY__PLATFORM_SIZE];
    covey__agent_slot *current = &agent->state.current;
    if (!current->digest[0] || !agent->options.probe) return COVEY_OK;
    if (covey__monotonic_us() < agent->prove_at_us) return COVEY_OK;
    covey__agent_proof(agent, proof);
    if (!strcmp(proof, current->proved)) return COVEY_OK;
    covey__agent_platform(agent, platform);
    covey__release_name(release, current->name, current->version);
    int32_t starts = current->starts;
    covey_status status = count_start(agent, starts + 1, error);
    if (status) return status;
    if (!current->trial) current->starts = starts;
    covey__agent_event_in event = {.kind = judge_current(probe_current(agent, &why)),
                                   .under = platform};
    if (event.kind == COVEY__EVENT_FAILED) { /* memory, the disk, the caller: it may pass */
        agent->prove_at_us = covey__monotonic_us() + INT64_C(60000000);
        return current->trial ? COVEY_OK : covey__agent_save(agent, &agent->state, error);
    }
    *acted = true;
    bool good = event.kind == COVEY__EVENT_CURRENT_GOOD;
    event.proved = good ? proof : NULL;
    event.message = good ? NULL : why.message;
    if (good && current->trial) { /* it passes here, but it still has to serve */
        snprintf(current->proved, sizeof current->proved, "%s", proof);
        return covey__agent_save(agent, &agent->state, error);
    }
    if (!current->trial) current->starts = 0;
    status = covey__agent_event(agent, &event, &actions, error);
    if (!status)
        covey__agent_tell(agent, COVEY_AGENT_EVENT_DONE, good ? "probe" : "return", release, 0, 0,
                          "%s", good ? "proved again after a change of the system" : why.message);
    return status;
}

static bool checkin_due(const covey_agent *agent, int64_t now_ms) {
    const covey__agent_state *state = &agent->state;
    /* A clock that was set back must not put the next check-in off for years. */
    return now_ms >= state->next_checkin_ms ||
           state->next_checkin_ms > now_ms + 2 * state->poll_ms + COVEY__RETRY_MAX_MS;
}

/* When to ask again after a failure: soon where it may pass, at the usual time where the server
 * does not want this device, and never before it said. */
static int64_t checkin_delay(const covey_agent *agent, covey_status status,
                             const covey_error *why) {
    const covey__agent_state *state = &agent->state;
    int64_t delay = covey__retry_delay(state->checkin_failures + 2, covey__agent_random(agent));
    bool unwanted = status == COVEY_ERROR_REMOTE && why->found >= 400 && why->found < 500 &&
                    why->found != 408 && why->found != 429;
    if (unwanted && delay < state->poll_ms) delay = state->poll_ms;
    if (delay < agent->retry_after_ms) delay = agent->retry_after_ms;
    int64_t most = state->poll_ms + COVEY__RETRY_MAX_MS;
    return delay < most ? delay : most;
}

static covey_status check_in(covey_agent *agent, covey_error *error) {
    covey_error why = {0};
    agent->retry_after_ms = 0;
    covey__agent_tell(agent, COVEY_AGENT_EVENT_PROGRESS, "check-in", "", 0, 0, "asking %s",
                      agent->state.url);
    covey_status status = covey__agent_fault(agent, "agent.check-in", &why);
    if (!status) status = covey__agent_checkin(agent, &why);
    if (status == COVEY_ERROR_CANCELLED && atomic_load(&agent->interrupted)) return COVEY_OK;
    int64_t now_ms = covey__agent_now(agent);
    covey__agent_state *state = &agent->state;
    if (status) {
        state->checkin_failures++;
        state->next_checkin_ms = now_ms + checkin_delay(agent, status, &why);
        covey__printable(why.message, strlen(why.message), state->checkin_message,
                         sizeof state->checkin_message);
        covey__agent_tell(agent, COVEY_AGENT_EVENT_FAILED, "check-in", "", 0, 0, "failed: %s",
                          why.message);
    } else {
        int64_t jitter = state->poll_ms / 10 + 1;
        state->checkin_failures = 0;
        state->checkin_message[0] = 0;
        state->last_checkin_ms = now_ms;
        state->next_checkin_ms = now_ms + state->poll_ms - jitter +
                                 (int64_t)(covey__agent_random(agent) % (uint64_t)(2 * jitter));
    }
    return covey__agent_save(agent, state, error);
}

static covey_status send_reports(covey_agent *agent, covey_error *error) {
    covey_error why = {0};
    agent->retry_after_ms = 0;
    covey_status status = covey__agent_fault(agent, "agent.report", &why);
    if (!status) status = covey__agent_send_reports(agent, &why);
    if (!status || (status == COVEY_ERROR_CANCELLED && atomic_load(&agent->interrupted)))
        return COVEY_OK;
    int64_t delay = covey__retry_delay(6, covey__agent_random(agent));
    if (delay < agent->retry_after_ms) delay = agent->retry_after_ms;
    if (delay > COVEY__RETRY_MAX_MS) delay = COVEY__RETRY_MAX_MS;
    agent->state.next_report_ms = covey__agent_now(agent) + delay;
    return covey__agent_save(agent, &agent->state, error);
}

/* One thing that is due. `*acted` says whether there was one. */
static covey_status act(covey_agent *agent, int64_t deadline_us, bool *check_now, bool *acted,
                        covey_error *error) {
    covey__agent_state *state = &agent->state;
    int64_t now_ms = covey__agent_now(agent);
    *acted = false;
    covey_status status = covey__steering_obey(agent, acted, error);
    if (!status && !*acted) status = covey__audit_settle(agent, error);
    if (!status && !*acted) status = covey__opt_out_notice(agent, acted, error);
    if (status || *acted) return status;
    if (state->url[0] && (*check_now || checkin_due(agent, now_ms))) {
        /* Who asks for a check now does not want to wait for a retry either. */
        if (*check_now) state->update.retry_at_ms = 0;
        *check_now = false;
        *acted = true;
        return check_in(agent, error);
    }
    if (!agent->options.tells_answers && state->current.trial &&
        !strcmp(agent->served_digest, state->current.digest)) {
        *acted = true;
        return covey__agent_commit(agent, error);
    }
    status = covey__trial_step(agent, acted, error);
    if (status || *acted) return status;
    int64_t retry_at = state->update.retry_at_ms;
    bool due = now_ms >= retry_at || retry_at > now_ms + 2 * COVEY__RETRY_MAX_MS;
    if (state->update.phase != COVEY__PHASE_NONE && due) {
        *acted = true;
        return covey__agent_advance(agent, deadline_us, error);
    }
    status = prove_again(agent, acted, error);
    if (status || *acted) return status;
    bool report_due =
        now_ms >= state->next_report_ms || state->next_report_ms > now_ms + 2 * COVEY__RETRY_MAX_MS;
    if (state->url[0] && state->outbox_count && report_due) {
        *acted = true;
        return send_reports(agent, error);
    }
    return COVEY_OK;
}

/* What serves now: a digest, "" for the built-in one, or that nothing may. */
static void what_serves(const covey_agent *agent, char out[65]) {
    covey_error why;
    covey__degrade to;
    bool left = covey__opt_out_model(agent, &to);
    if (left && to != COVEY__DEGRADE_BUILTIN)
        snprintf(out, 65, "%s", COVEY__AGENT_OFF);
    else
        snprintf(out, 65, "%s",
                 covey__agent_is_off(agent, &why) ? COVEY__AGENT_OFF
                 : left                           ? ""
                                                  : agent->state.current.digest);
}

void covey__agent_show(covey_agent *agent) {
    covey__agent_slot *shown = &agent->shown;
    what_serves(agent, agent->shown_digest);
    *shown = agent->state.current;
    if (shown->digest[0] || !agent->builtin) return;
    snprintf(shown->name, sizeof shown->name, "%s", covey_ensemble_name(agent->builtin));
    snprintf(shown->version, sizeof shown->version, "%s", covey_ensemble_version(agent->builtin));
    snprintf(shown->variant, sizeof shown->variant, "%s", covey_ensemble_variant(agent->builtin));
}

/* Says what became of the ensemble that the caller knows. */
static void fill_change(covey_agent *agent, covey_agent_outcome *outcome) {
    char now[65];
    covey_error why;
    const covey__agent_slot *shown = &agent->shown;
    what_serves(agent, now);
    outcome->current_changed = strcmp(agent->shown_digest, now) != 0;
    covey__degrade to;
    outcome->stopped =
        outcome->current_changed && strcmp(agent->shown_digest, COVEY__AGENT_OFF) &&
        (covey__steering_stops(agent, shown->name, shown->version, shown->variant, &why) ||
         covey__opt_out_model(agent, &to));
    if (outcome->current_changed) covey__agent_show(agent);
}

static void fill_outcome(covey_agent *agent, bool acted, covey_agent_outcome *outcome) {
    const covey__agent_state *state = &agent->state;
    int64_t now_ms = covey__agent_now(agent);
    covey_agent_outcome full = COVEY_AGENT_OUTCOME_INIT;
    full.size = outcome->size;
    if (acted) {
        full.state = COVEY_AGENT_WORKING;
    } else if (!state->url[0]) {
        full.state = COVEY_AGENT_UNENROLLED;
        full.next_step_ms = COVEY__AGENT_POLL_DEFAULT_MS;
        covey__agent_say(full.message, sizeof full.message, "This device knows no control plane.");
    } else {
        bool updating = state->update.phase != COVEY__PHASE_NONE;
        int64_t next = state->next_checkin_ms;
        if (updating && state->update.retry_at_ms < next) next = state->update.retry_at_ms;
        if (state->outbox_count && state->next_report_ms < next) next = state->next_report_ms;
        full.state = updating ? COVEY_AGENT_WAITING : COVEY_AGENT_IDLE;
        full.next_step_ms = next > now_ms ? next - now_ms : 0;
        bool why_known = !strcmp(state->last.outcome, "waiting"); /* a word of its user's is none */
        if (updating)
            covey__agent_say(full.message, sizeof full.message, "%s@%s waits in %s%s%s",
                             state->update.name, state->update.version,
                             covey__phase_name(state->update.phase), why_known ? ": " : "",
                             why_known ? state->last.message : "");
        else if (state->checkin_message[0])
            covey__agent_say(full.message, sizeof full.message, "The last check-in failed: %s",
                             state->checkin_message);
        else if (state->trust.message[0])
            covey__agent_say(full.message, sizeof full.message, "%s", state->trust.message);
        else
            covey__agent_say(full.message, sizeof full.message, "Nothing to do.");
    }
    fill_change(agent, &full);
    memcpy(outcome, &full, outcome->size < sizeof full ? outcome->size : sizeof full);
}

/* A full disk or a failing one is a reason to wait, not an error of the caller's. */
static covey_status as_outcome(covey_agent *agent, covey_status status,
                               covey_agent_outcome *outcome, const covey_error *why,
                               covey_error *error) {
    if (status != COVEY_ERROR_NO_SPACE && status != COVEY_ERROR_IO &&
        status != COVEY_ERROR_NO_MEMORY) {
        if (error) *error = *why;
        return status;
    }
    fill_outcome(agent, false, outcome);
    outcome->state = COVEY_AGENT_WAITING;
    outcome->next_step_ms = 60000;
    covey__agent_say(outcome->message, sizeof outcome->message, "%s", why->message);
    covey__fetching_free(agent);
    return COVEY_OK;
}

covey_status covey_agent_step(covey_agent *agent, int64_t budget_ms, bool check_now,
                              covey_agent_outcome *outcome, covey_error *error) {
    if (budget_ms < 0) budget_ms = 0;
    if (budget_ms > INT32_MAX) budget_ms = INT32_MAX;
    int64_t deadline_us = covey__monotonic_us() + budget_ms * 1000;
    covey_error why = {0};
    int lock = -1;
    bool acted = false;
    covey_status status = covey__agent_lock(agent, false, &lock, &why);
    if (status == COVEY_ERROR_BUSY) {
        fill_outcome(agent, false, outcome);
        outcome->state = COVEY_AGENT_WAITING;
        outcome->next_step_ms = 1000;
        covey__agent_say(outcome->message, sizeof outcome->message,
                         "Another process is updating this device.");
        return COVEY_OK;
    }
    if (status) return as_outcome(agent, status, outcome, &why, error);
    char before[65];
    memcpy(before, agent->fetching.digest, sizeof before);
    status = covey__agent_load(agent, &why);
    if (!status && before[0] && strcmp(before, agent->state.update.digest))
        covey__fetching_free(agent);
    covey__phase phase = agent->state.update.phase;
    if (phase != COVEY__PHASE_PLAN && phase != COVEY__PHASE_FETCH)
        covey__agent_blobs_stop(agent); /* another process went on */
    do {
        if (!status) status = act(agent, deadline_us, &check_now, &acted, &why);
    } while (!status && acted && covey__monotonic_us() < deadline_us &&
             !atomic_load(&agent->interrupted));
    if (agent->state.update.phase == COVEY__PHASE_NONE) covey__agent_blobs_free(agent);
    covey__lock_drop(lock);
    if (status) return as_outcome(agent, status, outcome, &why, error);
    fill_outcome(agent, acted, outcome);
    return COVEY_OK;
}
