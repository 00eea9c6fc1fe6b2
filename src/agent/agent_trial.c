/* A trial between the app that tells of its answers and the machine that judges them: what was told
 * is gathered in memory and put to the machine at a step, in few enough events that a busy server
 * does not write state.json for each answer. What a process was told and had not written when it
 * died is lost; that it died is counted at the next start.
 *
 * Neighbours: trial.c (slow or not), machine.c (what follows), agent_slots.c (what serves). */
#include "agent/agent_parts.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

#define TOLD_MAX       8                  /* good answers that wait to be written down */
#define TOLD_WAIT_US   (INT64_C(5000000)) /* or so long */
#define SPEEDS_WAIT_US (INT64_C(60000000))

/* ---- What is measured -------------------------------------------------------------------------
 */

static bool is_current(const covey_agent *agent) {
    return agent->served_digest[0] && !strcmp(agent->served_digest, agent->state.current.digest);
}

/* The speeds of what serves, as they are stored; NULL when it has no place there. */
static covey__speed *stored_speeds(covey_agent *agent) {
    covey__agent_state *state = &agent->state;
    if (state->current.digest[0] && !strcmp(agent->gauge.digest, state->current.digest))
        return state->current.speeds;
    if (agent->builtin && !strcmp(agent->gauge.digest, covey_ensemble_digest(agent->builtin)))
        return state->builtin_speeds;
    return NULL;
}

/* Those of the one before a trial. */
static const covey__speed *speeds_before(const covey_agent *agent) {
    const covey__agent_state *state = &agent->state;
    if (!state->current.trial || strcmp(agent->gauge.digest, state->current.digest)) return NULL;
    if (state->previous.digest[0]) return state->previous.speeds;
    if (agent->builtin && !strcmp(state->builtin_digest, covey_ensemble_digest(agent->builtin)))
        return state->builtin_speeds;
    return NULL;
}

void covey__trial_serves(covey_agent *agent, const char *digest) {
    covey__policy policy;
    if (!agent->options.tells_answers || !strcmp(agent->gauge.digest, digest)) return;
    memset(&agent->gauge, 0, sizeof agent->gauge);
    snprintf(agent->gauge.digest, sizeof agent->gauge.digest, "%s", digest);
    memset(agent->speeds, 0, sizeof agent->speeds);
    const covey__speed *stored = stored_speeds(agent);
    if (stored) memcpy(agent->speeds, stored, sizeof agent->speeds);
    agent->told_good = agent->told_failed = 0;
    agent->told_since_us = 0;
    agent->pace = COVEY__PACE_UNKNOWN;
    agent->speeds_changed = false;
    agent->trial_since_us = covey__monotonic_us();
    covey__trial_policy(agent, &policy);
    agent->slower_max_percent = policy.trial_slower_max_percent;
    agent->busy_max_percent = policy.trial_busy_max_percent;
}

void covey__trial_policy(const covey_agent *agent, covey__policy *policy) {
    covey__policy theirs;
    if (covey__agent_policy(agent, policy, NULL)) covey__policy_init(policy);
    if (policy->has_trial || !covey__ensembles_policy(agent, &theirs) || !theirs.has_trial) return;
    policy->trial_answers = theirs.trial_answers;
    policy->trial_time_ms = theirs.trial_time_ms;
    policy->trial_slower_max_percent = theirs.trial_slower_max_percent;
    policy->trial_busy_max_percent = theirs.trial_busy_max_percent;
}

/* Whether the ensemble is to blame. What may be the caller's, the client's or the memory's is not.
 */
static bool is_failure(covey_status status) {
    return status == COVEY_ERROR_NUMERIC || status == COVEY_ERROR_FORMAT ||
           status == COVEY_ERROR_MISMATCH || status == COVEY_ERROR_INTERNAL;
}

static void measure(covey_agent *agent, const covey_agent_answer *answer) {
    bool changed = false;
    char message[256] = "";
    covey__timing timing = {answer->prompt_token_count, answer->answer_token_count,
                            answer->first_token_us, answer->decode_us, answer->at_once};
    covey__pace pace =
        covey__gauge_take(&agent->gauge, &timing, speeds_before(agent), agent->slower_max_percent,
                          agent->speeds, &changed, message);
    agent->speeds_changed |= changed;
    if (pace == COVEY__PACE_UNKNOWN || agent->pace == COVEY__PACE_SLOW) return;
    agent->pace = pace;
    memcpy(agent->pace_message, message, sizeof message);
}

void covey_agent_answered(covey_agent *agent, const covey_agent_answer *answers, size_t count,
                          const char *why) {
    for (size_t i = 0; i < count; i++) {
        covey_agent_answer answer = COVEY_AGENT_ANSWER_INIT;
        /* An array's elements are as long as the caller knows them. */
        const char *at = (const char *)answers + i * answers->size;
        memcpy(&answer, at, answers->size < sizeof answer ? answers->size : sizeof answer);
        if (!answer.digest || strcmp(answer.digest, agent->gauge.digest)) continue;
        if (is_failure(answer.status)) {
            agent->told_failed++;
            covey__agent_say(agent->told_why, sizeof agent->told_why, "%s", why ? why : "");
        } else if (answer.status == COVEY_OK) {
            agent->told_good++;
            if (!answer.disturbed && answer.others_percent <= agent->busy_max_percent)
                measure(agent, &answer);
        }
        if (!agent->told_since_us) agent->told_since_us = covey__monotonic_us();
    }
}

/* ---- What follows from it ---------------------------------------------------------------------
 */

static covey_status save_speeds(covey_agent *agent, covey_error *error) {
    covey__speed *stored = stored_speeds(agent);
    agent->speeds_changed = false;
    agent->speeds_saved_us = covey__monotonic_us();
    if (!stored) return COVEY_OK;
    memcpy(stored, agent->speeds, sizeof agent->speeds);
    if (stored == agent->state.builtin_speeds)
        snprintf(agent->state.builtin_digest, 65, "%s", agent->gauge.digest);
    return covey__agent_save(agent, &agent->state, error);
}

/* Puts an event of the trial to the machine, and says what came of it. */
static covey_status put(covey_agent *agent, covey__agent_event_in *event, covey_error *error) {
    covey__agent_actions actions;
    char release[132];
    const covey__agent_slot *current = &agent->state.current;
    covey__release_name(release, current->name, current->version);
    if (agent->speeds_changed) {
        memcpy(agent->state.current.speeds, agent->speeds, sizeof agent->speeds);
        agent->speeds_changed = false;
    }
    covey_status status = covey__agent_fault(agent, "agent.trial", error);
    if (!status) status = covey__agent_event(agent, event, &actions, error);
    if (status) return status;
    if (actions.current_changed) {
        agent->served_digest[0] = 0;
        covey__agent_tell(agent, COVEY_AGENT_EVENT_DONE, "return", release, 0, 0, "%s",
                          agent->state.last.message);
    } else if (!current->trial) {
        covey__agent_tell(agent, COVEY_AGENT_EVENT_DONE, "commit", release, 0, 0,
                          "%d answers were good; it stays", (int)current->good);
    }
    return COVEY_OK;
}

static covey_status put_answers(covey_agent *agent, const covey__policy *policy,
                                covey_error *error) {
    char why[256];
    covey__agent_event_in event = {.kind = COVEY__EVENT_TRIAL_ANSWERED,
                                   .good = agent->told_good,
                                   .failed = agent->told_failed,
                                   .answers_min = policy->trial_answers,
                                   .undecided = covey__gauge_in_doubt(&agent->gauge)};
    covey__agent_say(why, sizeof why, "answers of its trial failed: %s", agent->told_why);
    event.message = agent->told_failed ? why : NULL;
    covey_status status = put(agent, &event, error);
    if (status) return status;
    agent->told_good = agent->told_failed = 0;
    agent->told_since_us = 0;
    return COVEY_OK;
}

/* Whether what was told is to be written down now. */
static bool answers_due(const covey_agent *agent, const covey__policy *policy) {
    const covey__agent_slot *current = &agent->state.current;
    if (!agent->told_good && !agent->told_failed) return false;
    return agent->told_failed || !current->good || agent->told_good >= TOLD_MAX ||
           current->good + agent->told_good >= policy->trial_answers ||
           covey__monotonic_us() - agent->told_since_us >= TOLD_WAIT_US;
}

/* So long a time has passed. A doubt waits for the window that settles it, but not for ever. */
static bool time_is_over(const covey_agent *agent, const covey__policy *policy) {
    int64_t served_ms = (covey__monotonic_us() - agent->trial_since_us) / 1000;
    int64_t times = covey__gauge_in_doubt(&agent->gauge) ? 2 : 1;
    return served_ms >= policy->trial_time_ms * times;
}

static covey_status trial_step(covey_agent *agent, bool *acted, covey_error *error) {
    covey__policy policy;
    covey__trial_policy(agent, &policy);
    agent->slower_max_percent = policy.trial_slower_max_percent;
    agent->busy_max_percent = policy.trial_busy_max_percent;
    if (agent->pace == COVEY__PACE_SLOW) {
        covey__agent_event_in event = {.kind = COVEY__EVENT_TRIAL_SLOW,
                                       .message = agent->pace_message};
        *acted = true;
        return put(agent, &event, error);
    }
    if (answers_due(agent, &policy)) {
        *acted = true;
        return put_answers(agent, &policy, error);
    }
    if (!time_is_over(agent, &policy)) return COVEY_OK;
    covey__agent_event_in event = {.kind = COVEY__EVENT_TRIAL_OVER};
    *acted = true;
    return put(agent, &event, error);
}

covey_status covey__trial_step(covey_agent *agent, bool *acted, covey_error *error) {
    if (!agent->options.tells_answers) return COVEY_OK;
    if (is_current(agent) && agent->state.current.trial) return trial_step(agent, acted, error);
    agent->told_good = agent->told_failed = 0;
    agent->told_since_us = 0;
    if (!agent->speeds_changed ||
        (agent->speeds_saved_us && covey__monotonic_us() - agent->speeds_saved_us < SPEEDS_WAIT_US))
        return COVEY_OK;
    return save_speeds(agent, error);
}

covey_status covey__trial_close(covey_agent *agent, covey_error *error) {
    covey__agent_event_in closed = {.kind = COVEY__EVENT_TRIAL_CLOSED};
    covey__agent_actions actions;
    covey__policy policy;
    covey_status status = COVEY_OK;
    if (!is_current(agent) || !agent->state.current.trial)
        return agent->speeds_changed ? save_speeds(agent, error) : COVEY_OK;
    covey__trial_policy(agent, &policy);
    if (agent->told_good || agent->told_failed) status = put_answers(agent, &policy, error);
    if (status || !is_current(agent) || !agent->state.current.trial) return status;
    return covey__agent_event(agent, &closed, &actions, error);
}

/* ---- What its user wants ----------------------------------------------------------------------
 */

/* The refusal that `release` names: a version, or a name with it. */
static const char *find_refused(const covey__agent_state *state, const char *release) {
    for (int32_t i = 0; i < state->refused_count; i++) {
        const char *known = state->refused[i].release, *at = strchr(known, '@');
        if (!strcmp(known, release) || (at && !strcmp(at + 1, release))) return known;
    }
    return NULL;
}

covey_status covey_agent_retry(covey_agent *agent, const char *release, covey_error *error) {
    covey__agent_actions actions;
    char name[132];
    int lock = -1;
    covey_status status = covey__agent_lock(agent, true, &lock, error);
    if (status) return status;
    status = covey__agent_load(agent, error);
    const char *known = status ? NULL : find_refused(&agent->state, release);
    if (!status && !known)
        status = covey__fail(error, COVEY_ERROR_NOT_FOUND,
                             "retry: no release \"%.130s\" is refused on this device", release);
    if (!status) {
        snprintf(name, sizeof name, "%s", known);
        covey__agent_event_in event = {.kind = COVEY__EVENT_RETRY,
                                       .release = name,
                                       .message = "its user wants it tried again"};
        status = covey__agent_event(agent, &event, &actions, error);
    }
    covey__lock_drop(lock);
    return status;
}
