/* The update's life as a pure function; machine.h has its diagram and its invariants. */
#include "agent/machine.h"

#include "base/error.h"
#include "base/semver.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const phase_names[] = {"idle",  "plan",     "fetch",  "verify", "stage",
                                          "probe", "activate", "commit", "return", "check-in"};
#define PHASE_COUNT (sizeof phase_names / sizeof *phase_names)

const char *covey__phase_name(covey__phase phase) {
    return (size_t)phase < PHASE_COUNT ? phase_names[phase] : "idle";
}

covey__phase covey__phase_from(const char *name) {
    for (size_t i = 1; i < PHASE_COUNT; i++)
        if (!strcmp(name, phase_names[i])) return (covey__phase)i;
    return COVEY__PHASE_NONE;
}

void covey__release_name(char out[132], const char *name, const char *version) {
    snprintf(out, 132, "%s@%s", name, version);
}

bool covey__is_refused(const covey__agent_state *state, const char *release) {
    for (int32_t i = 0; i < state->refused_count; i++)
        if (!strcmp(state->refused[i].release, release)) return true;
    return false;
}

bool covey__digest_is_refused(const covey__agent_state *state, const char *digest) {
    for (int32_t i = 0; i < state->refused_count && digest[0]; i++)
        if (!strcmp(state->refused[i].digest, digest)) return true;
    return false;
}

void covey__refusals_review(covey__agent_state *state, const char *under) {
    int32_t kept = 0;
    for (int32_t i = 0; i < state->refused_count; i++) {
        const covey__agent_refusal *one = &state->refused[i];
        if (one->under[0] && strcmp(one->under, under)) continue;
        if (kept != i) state->refused[kept] = *one;
        kept++;
    }
    state->refused_count = kept;
}

int64_t covey__retry_delay(int32_t failures, uint64_t random) {
    int64_t bound = COVEY__RETRY_FIRST_MS;
    for (int32_t i = 1; i < failures && bound < COVEY__RETRY_MAX_MS; i++) bound *= 2;
    if (bound > COVEY__RETRY_MAX_MS) bound = COVEY__RETRY_MAX_MS;
    return 1 + (int64_t)(random % (uint64_t)bound);
}

/* ---- Reports ----------------------------------------------------------------------------------
 */

/* Cut between characters: what is stored must come back as it was, or the state would be taken for
 * damaged. */
static void put_message(char out[256], const char *message) {
    covey__printable(message ? message : "", message ? strlen(message) : 0, out, 256);
}

static void report(covey__agent_state *state, const covey__agent_event_in *event,
                   covey__phase phase, const char *outcome, const char *release,
                   const char *rollout) {
    covey__agent_report made = {.time_ms = event->now_ms,
                                .phase = phase,
                                .bytes = event->bytes,
                                .elapsed_ms = event->elapsed_ms};
    state->report_serial++;
    snprintf(made.id, sizeof made.id, "%" PRId64 "-%08" PRIx64, state->report_serial,
             event->random & 0xffffffffu);
    snprintf(made.outcome, sizeof made.outcome, "%s", outcome);
    snprintf(made.release, sizeof made.release, "%s", release);
    snprintf(made.rollout, sizeof made.rollout, "%s", rollout);
    put_message(made.message, event->message);
    state->last = made;
    if (!state->url[0]) return;
    if (state->outbox_count == COVEY__OUTBOX_MAX) {
        memmove(state->outbox, state->outbox + 1, sizeof state->outbox - sizeof *state->outbox);
        state->outbox_count--;
        state->outbox_dropped++;
    }
    state->outbox[state->outbox_count++] = made;
}

static void report_update(covey__agent_state *state, const covey__agent_event_in *event,
                          const char *outcome) {
    char release[132];
    covey__release_name(release, state->update.name, state->update.version);
    report(state, event, state->update.phase, outcome, release, state->update.rollout);
}

static void report_current(covey__agent_state *state, const covey__agent_event_in *event,
                           covey__phase phase, const char *outcome) {
    char release[132];
    covey__release_name(release, state->current.name, state->current.version);
    report(state, event, phase, outcome, release, "");
}

static void refuse(covey__agent_state *state, const char *name, const char *version,
                   const char *digest, const covey__agent_event_in *event) {
    char release[132];
    covey__release_name(release, name, version);
    if (covey__is_refused(state, release)) return;
    if (state->refused_count == COVEY__REFUSED_MAX) {
        memmove(state->refused, state->refused + 1, sizeof state->refused - sizeof *state->refused);
        state->refused_count--;
    }
    covey__agent_refusal *made = &state->refused[state->refused_count++];
    memcpy(made->release, release, sizeof made->release);
    memcpy(made->digest, digest, sizeof made->digest);
    put_message(made->message, event->message);
    snprintf(made->under, sizeof made->under, "%s", event->under ? event->under : "");
}

/* ---- Transitions ------------------------------------------------------------------------------
 */

static void end_update(covey__agent_state *state, covey__agent_actions *actions) {
    memset(&state->update, 0, sizeof state->update);
    actions->clean = true;
}

/* Says why an update ends that nothing was wrong with until now. */
static void report_stopped(covey__agent_state *state, const covey__agent_event_in *event) {
    covey__agent_event_in why = *event;
    if (event->denied) why.message = event->denied;
    report_update(state, &why, "refused");
}

/* The update at hand is wanted still: what may have changed about it is the rollout, its budget,
 * and which patches there are. A wait for the budget is over when it changed. */
static bool renew(covey__agent_update *update, const covey__agent_update *target) {
    bool budget = update->bytes_max != target->bytes_max;
    bool patches = target->patches[0] && strcmp(update->patches, target->patches) != 0;
    if (!budget && !patches && !strcmp(update->rollout, target->rollout)) return false;
    memcpy(update->rollout, target->rollout, sizeof update->rollout);
    update->bytes_max = target->bytes_max;
    if (patches) {
        memcpy(update->patches, target->patches, sizeof update->patches);
        update->patches_size = target->patches_size;
        update->given_up_count = 0;
    }
    if (budget) {
        update->retry_at_ms = 0;
        update->waiting_said = false;
    }
    return true;
}

static bool on_target(covey__agent_state *state, const covey__agent_event_in *event,
                      covey__agent_actions *actions) {
    const covey__agent_update *target = event->target;
    char release[132];
    covey__release_name(release, target->name, target->version);
    bool has_current = state->current.digest[0] != 0;
    const char *here = has_current ? state->current.version : event->builtin_version;
    const char *name = has_current ? state->current.name : event->builtin_name;
    int order = here ? covey__semver_compare(target->version, here) : 1;
    bool wanted = !covey__is_refused(state, release) && (!name || !strcmp(target->name, name)) &&
                  (order > 0 || (order < 0 && event->downgrade)) && !event->denied;
    bool same = state->update.phase != COVEY__PHASE_NONE &&
                !strcmp(state->update.release_digest, target->release_digest) &&
                !strcmp(state->update.name, target->name) &&
                !strcmp(state->update.version, target->version);
    if (wanted && same) return renew(&state->update, target);
    bool changed = state->update.phase != COVEY__PHASE_NONE;
    if (changed && event->denied) report_stopped(state, event);
    if (changed) end_update(state, actions);
    if (!wanted) return changed;
    state->update = *target;
    state->update.phase = COVEY__PHASE_PLAN;
    if (event->signed_by)
        snprintf(state->update.signed_by, sizeof state->update.signed_by, "%s", event->signed_by);
    return true;
}

static void activate(covey__agent_state *state, const covey__agent_event_in *event,
                     covey__agent_actions *actions) {
    covey__agent_slot next = {.trial = true};
    memcpy(next.name, state->update.name, sizeof next.name);
    memcpy(next.version, state->update.version, sizeof next.version);
    memcpy(next.variant, state->update.variant, sizeof next.variant);
    memcpy(next.digest, state->update.digest, sizeof next.digest);
    snprintf(next.proved, sizeof next.proved, "%s", event->proved ? event->proved : "");
    next.without_probes = state->update.without_probes;
    report_update(state, event, "ok");
    /* One that never came to serve is nothing to return to: what was before it stays. */
    const covey__agent_slot *current = &state->current;
    if (!current->trial || (current->good > 0 && !current->failed)) state->previous = *current;
    state->previous.starts = 0;
    state->current = next;
    state->stopped[0] = 0;
    end_update(state, actions);
    actions->current_changed = true;
    state->next_checkin_ms = 0; /* so that the server does not believe otherwise for long */
}

static void on_refused(covey__agent_state *state, const covey__agent_event_in *event,
                       covey__agent_actions *actions) {
    report_update(state, event, "refused");
    refuse(state, state->update.name, state->update.version, state->update.digest, event);
    end_update(state, actions);
}

static void on_done(covey__agent_state *state, const covey__agent_event_in *event,
                    covey__agent_actions *actions) {
    covey__agent_update *update = &state->update;
    if (update->phase == COVEY__PHASE_ACTIVATE) {
        activate(state, event, actions);
        return;
    }
    if (update->phase == COVEY__PHASE_PLAN && covey__digest_is_refused(state, update->digest)) {
        covey__agent_event_in left = *event;
        left.message = "this ensemble was refused here under another release";
        on_refused(state, &left, actions);
        return;
    }
    if (update->phase == COVEY__PHASE_PROBE) update->without_probes = event->without_probes;
    if (event->how) snprintf(update->how, sizeof update->how, "%s", event->how);
    report_update(state, event, "ok");
    update->phase = (covey__phase)(update->phase + 1);
    update->attempts = 0;
    update->retry_at_ms = 0;
    update->waiting_said = false;
}

/* Probes that ended, whatever came of them, did not take the process with them. */
static void probes_ended(covey__agent_update *update) {
    if (update->phase == COVEY__PHASE_PROBE && update->probe_starts) update->probe_starts--;
}

static void on_failed(covey__agent_state *state, const covey__agent_event_in *event) {
    covey__agent_update *update = &state->update;
    if (event->progressed) update->attempts = 0;
    int64_t delay = covey__retry_delay(++update->attempts, event->random);
    if (delay < event->retry_after_ms) delay = event->retry_after_ms;
    probes_ended(update);
    update->retry_at_ms =
        event->now_ms + (delay < COVEY__RETRY_MAX_MS ? delay : COVEY__RETRY_MAX_MS);
    /* Each failure doubles the wait; telling about the first and then every fourth is enough. */
    if (update->attempts % 4 == 1) report_update(state, event, "failed");
}

/* A patch failed, which ends nothing: what it was to make comes by another way. Each is told. */
static void on_fell_back(covey__agent_state *state, const covey__agent_event_in *event) {
    covey__agent_update *update = &state->update;
    report_update(state, event, "failed");
    if (update->given_up_count == COVEY__GIVEN_UP_MAX) {
        memmove(update->given_up, update->given_up + 1,
                sizeof update->given_up - sizeof *update->given_up);
        update->given_up_count--;
    }
    snprintf(update->given_up[update->given_up_count++], sizeof *update->given_up, "%s",
             event->patch);
    update->attempts = 0;
    update->retry_at_ms = 0;
    update->waiting_said = false;
}

static void on_waiting(covey__agent_state *state, const covey__agent_event_in *event) {
    covey__agent_update *update = &state->update;
    /* Soon at first; later seldom, since each look is written down. */
    int32_t patience = update->waiting_said ? 10 : 6;
    if (!update->waiting_said)
        report_update(state, event, "waiting");
    else if (!strcmp(state->last.outcome, "waiting")) /* what it waits for may have changed */
        put_message(state->last.message, event->message);
    update->waiting_said = true;
    probes_ended(update);
    update->retry_at_ms = event->now_ms + covey__retry_delay(patience, event->random);
}

static void on_damaged(covey__agent_state *state, const covey__agent_event_in *event,
                       covey__agent_actions *actions) {
    covey__agent_update *update = &state->update;
    if (++update->repairs > COVEY__REPAIRS_MAX) {
        on_refused(state, event, actions);
        return;
    }
    report_update(state, event, "failed");
    update->phase = COVEY__PHASE_FETCH;
    update->attempts = 0;
    update->probe_starts = 0;
    update->retry_at_ms = 0;
    update->waiting_said = false;
}

static void return_to_previous(covey__agent_state *state, const covey__agent_event_in *event,
                               const char *outcome, covey__agent_actions *actions) {
    report_current(state, event, COVEY__PHASE_RETURN, outcome);
    /* A statement holds by itself, as long as it does: it needs no refusal beside it. */
    if (event->kind != COVEY__EVENT_CURRENT_DAMAGED && event->kind != COVEY__EVENT_CURRENT_STOPPED)
        refuse(state, state->current.name, state->current.version, state->current.digest, event);
    state->stopped[0] = 0;
    if (event->kind == COVEY__EVENT_CURRENT_STOPPED) put_message(state->stopped, event->message);
    if (event->previous_denied)
        memset(&state->current, 0, sizeof state->current);
    else
        state->current = state->previous;
    memset(&state->previous, 0, sizeof state->previous);
    actions->current_changed = true;
    state->next_checkin_ms = 0; /* so that the server does not believe otherwise for long */
    actions->clean = true;      /* and what was left goes too */
}

static bool on_current_good(covey__agent_state *state, const covey__agent_event_in *event) {
    covey__agent_slot *current = &state->current;
    bool changed = false;
    if (event->proved && strcmp(current->proved, event->proved)) {
        snprintf(current->proved, sizeof current->proved, "%s", event->proved);
        changed = true;
    }
    if (!current->trial) return changed;
    current->trial = false;
    current->starts = current->runs = 0;
    report_current(state, event, COVEY__PHASE_COMMIT, "ok");
    return true;
}

/* A trial that did not prove itself. */
static void leave_trial(covey__agent_state *state, const covey__agent_event_in *event,
                        const char *why, covey__agent_actions *actions) {
    covey__agent_event_in left = *event;
    if (why) left.message = why;
    return_to_previous(state, &left, "refused", actions);
}

static bool on_trial_start(covey__agent_state *state, const covey__agent_event_in *event,
                           covey__agent_actions *actions) {
    covey__agent_slot *current = &state->current;
    current->starts++;
    current->runs++;
    if (current->starts > COVEY__TRIAL_STARTS_MAX)
        leave_trial(state, event, "it was started three times and never came to serve", actions);
    else if (current->runs > COVEY__TRIAL_RUNS_MAX)
        leave_trial(state, event, "it was started ten times, and never ended in order", actions);
    return true;
}

static bool on_trial_answered(covey__agent_state *state, const covey__agent_event_in *event,
                              covey__agent_actions *actions) {
    covey__agent_slot *current = &state->current;
    if (!event->good && !event->failed) return false;
    current->good += event->good;
    current->failed += event->failed;
    if (event->good) current->starts = 0;
    if (current->failed >= COVEY__TRIAL_FAILED_MAX)
        leave_trial(state, event, NULL, actions);
    else if (current->good >= event->answers_min && !event->undecided)
        on_current_good(state, event);
    return true;
}

/* Nothing went wrong in this run: it is none that counts against it. */
static bool on_trial_closed(covey__agent_state *state) {
    covey__agent_slot *current = &state->current;
    if (!current->runs) return false;
    current->starts = 0;
    current->runs--;
    return true;
}

static bool on_trial(covey__agent_state *state, const covey__agent_event_in *event,
                     covey__agent_actions *actions) {
    switch (event->kind) {
    case COVEY__EVENT_TRIAL_START:
        return on_trial_start(state, event, actions);
    case COVEY__EVENT_TRIAL_ANSWERED:
        return on_trial_answered(state, event, actions);
    case COVEY__EVENT_TRIAL_OVER:
        return on_current_good(state, event);
    case COVEY__EVENT_TRIAL_SLOW:
        leave_trial(state, event, NULL, actions);
        return true;
    default:
        return on_trial_closed(state);
    }
}

static bool on_retry(covey__agent_state *state, const covey__agent_event_in *event) {
    int32_t kept = 0;
    for (int32_t i = 0; i < state->refused_count; i++)
        if (strcmp(state->refused[i].release, event->release))
            state->refused[kept++] = state->refused[i];
    bool changed = kept != state->refused_count;
    state->refused_count = kept;
    if (changed) report(state, event, COVEY__PHASE_CHECKIN, "ok", event->release, "");
    return changed;
}

static bool on_probe_start(covey__agent_state *state, const covey__agent_event_in *event,
                           covey__agent_actions *actions) {
    if (++state->update.probe_starts <= COVEY__PROBE_STARTS_MAX) return true;
    covey__agent_event_in given_up = *event;
    given_up.message = "its probes ended the process each time they ran";
    on_refused(state, &given_up, actions);
    return true;
}

/* The user's word. What is under way stays as it is; statements and check-ins go on. */
static bool on_pause(covey__agent_state *state, const covey__agent_event_in *event, bool paused) {
    covey__agent_update *update = &state->update;
    if (state->paused == paused) return false;
    state->paused = paused;
    if (update->phase == COVEY__PHASE_NONE) return true;
    if (paused) report_update(state, event, "waiting");
    update->waiting_said = paused;
    update->retry_at_ms = 0;
    return true;
}

/* What became of the phase at hand. */
static void on_phase(covey__agent_state *state, const covey__agent_event_in *event,
                     covey__agent_actions *actions) {
    switch (event->kind) {
    case COVEY__EVENT_DONE:
        on_done(state, event, actions);
        break;
    case COVEY__EVENT_FAILED:
        on_failed(state, event);
        break;
    case COVEY__EVENT_FELL_BACK:
        on_fell_back(state, event);
        break;
    case COVEY__EVENT_WAITING:
        on_waiting(state, event);
        break;
    case COVEY__EVENT_DAMAGED:
        on_damaged(state, event, actions);
        break;
    case COVEY__EVENT_REFUSED:
        on_refused(state, event, actions);
        break;
    default: /* NOTED */
        report_update(state, event, "failed");
    }
}

bool covey__machine(covey__agent_state *state, const covey__agent_event_in *event,
                    covey__agent_actions *actions) {
    bool updating = state->update.phase != COVEY__PHASE_NONE;
    bool has_current = state->current.digest[0] != 0;
    memset(actions, 0, sizeof *actions);
    switch (event->kind) {
    case COVEY__EVENT_TARGET:
        return on_target(state, event, actions);
    case COVEY__EVENT_TARGET_NONE:
        if (updating) end_update(state, actions);
        return updating;
    case COVEY__EVENT_DONE:
    case COVEY__EVENT_FAILED:
    case COVEY__EVENT_FELL_BACK:
    case COVEY__EVENT_WAITING:
    case COVEY__EVENT_DAMAGED:
    case COVEY__EVENT_REFUSED:
    case COVEY__EVENT_NOTED:
        if (updating) on_phase(state, event, actions);
        return updating;
    case COVEY__EVENT_PROBE_START:
        return updating && on_probe_start(state, event, actions);
    case COVEY__EVENT_CURRENT_GOOD:
        return has_current && on_current_good(state, event);
    case COVEY__EVENT_CURRENT_BAD:
    case COVEY__EVENT_CURRENT_DAMAGED:
        if (has_current) return_to_previous(state, event, "failed", actions);
        return has_current;
    case COVEY__EVENT_ROLLBACK:
    case COVEY__EVENT_CURRENT_STOPPED:
        if (has_current) return_to_previous(state, event, "refused", actions);
        return has_current;
    case COVEY__EVENT_UPDATE_STOPPED:
        if (!updating) return false;
        report_stopped(state, event);
        end_update(state, actions);
        return true;
    case COVEY__EVENT_PAUSED:
    case COVEY__EVENT_RESUMED:
        return on_pause(state, event, event->kind == COVEY__EVENT_PAUSED);
    case COVEY__EVENT_TOLD:
        report(state, event, COVEY__PHASE_CHECKIN, event->outcome, event->release, "");
        return true;
    case COVEY__EVENT_TRIAL_START:
    case COVEY__EVENT_TRIAL_ANSWERED:
    case COVEY__EVENT_TRIAL_OVER:
    case COVEY__EVENT_TRIAL_SLOW:
    case COVEY__EVENT_TRIAL_CLOSED:
        return has_current && state->current.trial && on_trial(state, event, actions);
    case COVEY__EVENT_RETRY:
        return on_retry(state, event);
    }
    return false;
}
