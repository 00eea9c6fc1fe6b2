/* The agent: opening a state folder, the step, and what its owner may ask. The machine (machine.c)
 * decides what happens; this file gives it events, stores what it says before anything else is
 * done, and performs phases one by one.
 *
 * One process at a time changes the folder: `lock` is held for a step, never between steps. The
 * state is read anew at each step, for another process may have moved on. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/runtime.h"
#include "base/semver.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define APP_VERSION_MAX 64

/* ---- Small help -------------------------------------------------------------------------------
 */

char *covey__agent_path(const covey_agent *agent, const char *format, ...) {
    char name[320];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof name) return NULL;
    return covey__path_join(agent->env, agent->state_dir, name);
}

void covey__agent_say(char *out, size_t capacity, const char *format, ...) {
    char whole[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(whole, sizeof whole, format, arguments);
    va_end(arguments);
    covey__printable(whole, strlen(whole), out, capacity);
}

void covey__agent_tell(const covey_agent *agent, covey_agent_event_kind kind, const char *phase,
                       const char *release, uint64_t done, uint64_t total, const char *format,
                       ...) {
    char whole[600], message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(whole, sizeof whole, format, arguments);
    va_end(arguments);
    covey__printable(whole, strlen(whole), message, sizeof message);
    covey__log(agent->env, COVEY_LOG_DEBUG, "agent", "%s %s: %s", phase, release, message);
    if (!agent->options.event) return;
    covey_agent_event event = {sizeof event, phase, release, message, done, total, kind};
    agent->options.event(agent->options.event_user, &event);
}

uint64_t covey__agent_random(const covey_agent *agent) {
    uint64_t value = 0;
    if (covey__random(agent->env, &value, sizeof value, NULL))
        value = (uint64_t)covey__monotonic_us() * UINT64_C(0x9e3779b97f4a7c15);
    return value;
}

int64_t covey__agent_now(const covey_agent *agent) {
    int64_t now_ms = covey__now_ms(agent->env), latest = INT64_C(1) << 52;
    return now_ms < 0 ? 0 : now_ms > latest ? latest : now_ms;
}

covey_status covey__agent_lock(const covey_agent *agent, bool wait, int *lock, covey_error *error) {
    char *path = covey__agent_path(agent, "lock");
    if (!path) return covey__no_memory(error, "a path", 0);
    covey_status status = covey__lock_take(agent->env, path, wait, lock, error);
    covey__free(agent->env, path);
    return status;
}

void covey__agent_release(const covey_agent *agent, char out[132]) {
    covey__release_name(out, agent->state.update.name, agent->state.update.version);
}

covey_status covey__agent_fault(const covey_agent *agent, const char *point, covey_error *error) {
    int failed = covey__fault(agent->env, point, agent->state_dir);
    return failed ? covey__fail_errno(error, failed, "%s", point) : COVEY_OK;
}

covey_status covey__agent_event(covey_agent *agent, covey__agent_event_in *event,
                                covey__agent_actions *actions, covey_error *error) {
    event->now_ms = covey__agent_now(agent);
    event->random = covey__agent_random(agent);
    covey__agent_state *next = covey__alloc(agent->env, sizeof *next);
    if (!next) return covey__no_memory(error, "the agent's state", sizeof *next);
    *next = agent->state;
    covey_status status = COVEY_OK;
    if (covey__machine(next, event, actions)) {
        status = covey__agent_fault(agent, "agent.state", error);
        if (!status) status = covey__state_save(agent->env, agent->state_dir, next, error);
        if (!status) agent->state = *next;
    }
    covey__free(agent->env, next);
    if (status || !actions->clean) return status;
    covey__fetching_free(agent);
    covey_error ignored;
    if (covey__agent_clean(agent, &ignored))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot clean up: %s", ignored.message);
    return COVEY_OK;
}

/* ---- Opening ----------------------------------------------------------------------------------
 */

static covey_status copy_options(covey_agent *agent, const covey_agent_options *options,
                                 covey_error *error) {
    memcpy(&agent->options, options,
           options->size < sizeof agent->options ? options->size : sizeof agent->options);
    if (!agent->options.state_dir)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "agent: no state folder is named");
    /* A wrong one would fit no ensemble, and each would be refused. */
    const char *app = agent->options.app_version;
    if (app && (strlen(app) > APP_VERSION_MAX || !covey__semver_valid(app)))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "agent: app_version: expected a semantic version such as 1.2.0");
    agent->state_dir = covey__strdup(agent->env, agent->options.state_dir);
    agent->app_version = covey__strdup(
        agent->env, agent->options.app_version ? agent->options.app_version : "0.0.0");
    if (agent->options.builtin_dir)
        agent->builtin_dir = covey__strdup(agent->env, agent->options.builtin_dir);
    if (!agent->state_dir || !agent->app_version ||
        (agent->options.builtin_dir && !agent->builtin_dir))
        return covey__no_memory(error, "the agent", 0);
    return COVEY_OK;
}

/* A state that cannot be read must not keep the device from answering: it is put aside, and the
 * device is as new. */
static covey_status load_or_begin(covey_agent *agent, covey_error *error) {
    covey_status status = covey__state_load(agent->env, agent->state_dir, &agent->state, error);
    if (status != COVEY_ERROR_FORMAT && status != COVEY_ERROR_LIMIT) return status;
    char *path = covey__agent_path(agent, "state.json");
    char *aside = covey__agent_path(agent, "state.json.damaged");
    status = path && aside ? covey__file_rename(agent->env, path, aside, error)
                           : covey__no_memory(error, "a path", 0);
    if (status == COVEY_ERROR_NOT_FOUND) status = COVEY_OK; /* another process was faster */
    covey__log(agent->env, COVEY_LOG_ERROR, "agent",
               "state.json was damaged and is put aside; enroll this device again");
    covey__free(agent->env, path);
    covey__free(agent->env, aside);
    if (!status) status = covey__state_load(agent->env, agent->state_dir, &agent->state, error);
    return status;
}

covey_status covey__agent_load(covey_agent *agent, covey_error *error) {
    char platform[COVEY__PLATFORM_SIZE];
    covey_status status = load_or_begin(agent, error);
    if (!status && agent->state.refused_count) {
        covey__agent_platform(agent, platform);
        covey__refusals_review(&agent->state, platform);
    }
    return status;
}

static covey_status open_builtin(covey_agent *agent, covey_error *error) {
    if (!agent->builtin_dir) return COVEY_OK;
    covey_error why = {0};
    covey_status status = covey_ensemble_open(agent->runtime, agent->builtin_dir,
                                              COVEY_CHECK_MANIFEST, &agent->builtin, &why);
    if (!status) return COVEY_OK;
    covey__prefix(&why, status, "agent: the built-in ensemble");
    if (error) *error = why;
    if (!agent->state.current.digest[0]) return status;
    /* What was installed answers all the same. */
    covey__log(agent->env, COVEY_LOG_ERROR, "agent", "%s", why.message);
    return COVEY_OK;
}

covey_status covey__agent_open(covey_runtime *runtime, const covey_agent_options *options,
                               covey_agent **agent, covey_error *error) {
    const covey__env *env = covey__runtime_env(runtime);
    int lock = -1;
    *agent = NULL;
    covey_agent *made = covey__calloc(env, 1, sizeof *made);
    if (!made) return covey__no_memory(error, "the agent", sizeof *made);
    made->runtime = runtime;
    made->env = env;
    made->fetching.descriptor = -1;
    covey_status status = copy_options(made, options, error);
    if (!status) status = covey__folder_make(env, made->state_dir, error);
    if (!status) status = covey__agent_load(made, error);
    if (status == COVEY_ERROR_UNSUPPORTED && made->builtin_dir) {
        /* A newer program's state, after the app went back: it is left as it is, each step says so,
         * and the built-in ensemble answers. */
        covey__log(env, COVEY_LOG_ERROR, "agent", "state.json was written by a newer program");
        status = COVEY_OK;
    }
    if (status == COVEY_ERROR_DENIED && made->builtin_dir) {
        covey__log(env, COVEY_LOG_ERROR, "agent", "state.json of %s may not be read by this user",
                   made->state_dir);
        status = COVEY_OK; /* the built-in ensemble answers */
    }
    if (!status) status = open_builtin(made, error);
    if (status) {
        covey_agent_close(made);
        return status;
    }
    memcpy(made->shown_digest, made->state.current.digest, sizeof made->shown_digest);
    if (!covey__agent_lock(made, false, &lock, NULL)) {
        covey_error ignored = {0};
        /* Read again: another process may have begun an update since. */
        status = covey__agent_load(made, &ignored);
        if (!status) status = covey__agent_clean(made, &ignored);
        if (status)
            covey__log(env, COVEY_LOG_WARN, "agent", "cannot clean up: %s", ignored.message);
        covey__lock_drop(lock);
    }
    *agent = made;
    return COVEY_OK;
}

/* What served here without harm has proved itself. */
static covey_status commit_served(covey_agent *agent, covey_error *error) {
    const covey__agent_slot *current = &agent->state.current;
    covey__agent_actions actions;
    if (!current->trial || strcmp(agent->served_digest, current->digest)) return COVEY_OK;
    covey__agent_event_in event = {.kind = COVEY__EVENT_CURRENT_GOOD};
    char release[132];
    covey__release_name(release, current->name, current->version);
    covey_status status = covey__agent_fault(agent, "agent.commit", error);
    if (!status) status = covey__agent_event(agent, &event, &actions, error);
    if (!status)
        covey__agent_tell(agent, COVEY_AGENT_EVENT_DONE, "commit", release, 0, 0,
                          "it served; it stays");
    return status;
}

void covey_agent_close(covey_agent *agent) {
    if (!agent) return;
    const covey__env *env = agent->env;
    if (agent->served_digest[0] && agent->state.current.trial) {
        int lock = -1;
        covey_error ignored;
        if (!covey__agent_lock(agent, false, &lock, NULL)) {
            if (!covey__state_load(env, agent->state_dir, &agent->state, &ignored) &&
                commit_served(agent, &ignored))
                covey__log(env, COVEY_LOG_WARN, "agent", "cannot commit: %s", ignored.message);
            covey__lock_drop(lock);
        }
    }
    covey__fetching_free(agent);
    covey_ensemble_close(agent->builtin);
    covey__free(env, agent->state_dir);
    covey__free(env, agent->builtin_dir);
    covey__free(env, agent->app_version);
    covey__free(env, agent);
}

/* ---- The phases -------------------------------------------------------------------------------
 */

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
         * would only be a burden. */
        if (error->found != 404 && error->found != 410) return COVEY__EVENT_FAILED;
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
    *done = true;
    switch (agent->state.update.phase) {
    case COVEY__PHASE_PLAN:
        status = covey__agent_plan(agent, error);
        return status ? status : covey__agent_may_fetch(agent, error);
    case COVEY__PHASE_FETCH:
        status = covey__agent_fetch(agent, deadline_us, done, error);
        event->bytes = (int64_t)agent->fetching.bytes_done;
        event->elapsed_ms = (covey__monotonic_us() - agent->fetching.started_us) / 1000;
        return status;
    case COVEY__PHASE_VERIFY:
        return covey__agent_verify(agent, error);
    case COVEY__PHASE_STAGE:
        return covey__agent_stage(agent, error);
    case COVEY__PHASE_PROBE:
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
        return covey__agent_probe(agent, error);
    case COVEY__PHASE_ACTIVATE:
        covey__agent_proof(agent, proof);
        event->proved = proof;
        return covey__agent_fault(agent, "agent.activate", error);
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
        covey__agent_tell(agent, kind, name, release, 0, fetching->bytes_total,
                          "%" PRIu64 " bytes to fetch", fetching->bytes_total);
    else if (phase == COVEY__PHASE_FETCH)
        covey__agent_tell(agent, kind, name, release, done, fetching->bytes_total,
                          "%" PRIu64 " bytes fetched, %" PRIu64 " were here", done,
                          fetching->bytes_local);
    else
        covey__agent_tell(agent, kind, name, release, 0, 0, "done in %" PRId64 " ms",
                          event->elapsed_ms);
}

/* One phase, or a part of the fetch. */
static covey_status advance(covey_agent *agent, int64_t deadline_us, covey_error *error) {
    covey__phase phase = agent->state.update.phase;
    covey__agent_event_in event = {.kind = COVEY__EVENT_DONE};
    covey__agent_actions actions;
    covey_error why = {0};
    char release[132], proof[128], platform[COVEY__PLATFORM_SIZE];
    bool done = false;
    agent->retry_after_ms = 0;
    int64_t start_us = covey__monotonic_us();
    covey__agent_release(agent, release);
    covey_status status = run_phase(agent, deadline_us, &done, &event, proof, &why);
    if (!status && !done) return COVEY_OK;
    if (phase != COVEY__PHASE_FETCH) event.elapsed_ms = (covey__monotonic_us() - start_us) / 1000;
    if (status) {
        event.kind = meaning(agent, status, &why);
        event.message = why.message;
        event.retry_after_ms = agent->retry_after_ms;
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
    if (!stored) tell_outcome(agent, phase, release, &event);
    return stored;
}

/* ---- The step ---------------------------------------------------------------------------------
 */

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
    return covey__state_save(agent->env, agent->state_dir, &agent->state, error);
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
        return current->trial
                   ? COVEY_OK
                   : covey__state_save(agent->env, agent->state_dir, &agent->state, error);
    }
    *acted = true;
    bool good = event.kind == COVEY__EVENT_CURRENT_GOOD;
    event.proved = good ? proof : NULL;
    event.message = good ? NULL : why.message;
    if (good && current->trial) { /* it passes here, but it still has to serve */
        snprintf(current->proved, sizeof current->proved, "%s", proof);
        return covey__state_save(agent->env, agent->state_dir, &agent->state, error);
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
    return covey__state_save(agent->env, agent->state_dir, state, error);
}

static covey_status send_reports(covey_agent *agent, covey_error *error) {
    covey_error why = {0};
    agent->retry_after_ms = 0;
    covey_status status = covey__agent_fault(agent, "agent.report", &why);
    if (!status) status = covey__agent_send_reports(agent, &why);
    if (!status) return COVEY_OK;
    int64_t delay = covey__retry_delay(6, covey__agent_random(agent));
    if (delay < agent->retry_after_ms) delay = agent->retry_after_ms;
    if (delay > COVEY__RETRY_MAX_MS) delay = COVEY__RETRY_MAX_MS;
    agent->state.next_report_ms = covey__agent_now(agent) + delay;
    return covey__state_save(agent->env, agent->state_dir, &agent->state, error);
}

/* One thing that is due. `*acted` says whether there was one. */
static covey_status act(covey_agent *agent, int64_t deadline_us, bool *check_now, bool *acted,
                        covey_error *error) {
    covey__agent_state *state = &agent->state;
    int64_t now_ms = covey__agent_now(agent);
    *acted = false;
    if (state->url[0] && (*check_now || checkin_due(agent, now_ms))) {
        /* Who asks for a check now does not want to wait for a retry either. */
        if (*check_now) state->update.retry_at_ms = 0;
        *check_now = false;
        *acted = true;
        return check_in(agent, error);
    }
    if (state->current.trial && !strcmp(agent->served_digest, state->current.digest)) {
        *acted = true;
        return commit_served(agent, error);
    }
    int64_t retry_at = state->update.retry_at_ms;
    bool due = now_ms >= retry_at || retry_at > now_ms + 2 * COVEY__RETRY_MAX_MS;
    if (state->update.phase != COVEY__PHASE_NONE && due) {
        *acted = true;
        return advance(agent, deadline_us, error);
    }
    covey_status status = prove_again(agent, acted, error);
    if (status || *acted) return status;
    bool report_due =
        now_ms >= state->next_report_ms || state->next_report_ms > now_ms + 2 * COVEY__RETRY_MAX_MS;
    if (state->url[0] && state->outbox_count && report_due) {
        *acted = true;
        return send_reports(agent, error);
    }
    return COVEY_OK;
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
        if (updating)
            covey__agent_say(full.message, sizeof full.message, "%s@%s waits in %s: %s",
                             state->update.name, state->update.version,
                             covey__phase_name(state->update.phase), state->last.message);
        else if (state->checkin_message[0])
            covey__agent_say(full.message, sizeof full.message, "The last check-in failed: %s",
                             state->checkin_message);
        else
            covey__agent_say(full.message, sizeof full.message, "Nothing to do.");
    }
    full.current_changed = strcmp(agent->shown_digest, state->current.digest) != 0;
    memcpy(agent->shown_digest, state->current.digest, sizeof agent->shown_digest);
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
    do {
        if (!status) status = act(agent, deadline_us, &check_now, &acted, &why);
    } while (!status && acted && covey__monotonic_us() < deadline_us);
    covey__lock_drop(lock);
    if (status) return as_outcome(agent, status, outcome, &why, error);
    fill_outcome(agent, acted, outcome);
    return COVEY_OK;
}

/* ---- What the owner may ask -------------------------------------------------------------------
 */

covey_status covey_agent_rollback(covey_agent *agent, covey_error *error) {
    covey__agent_actions actions;
    covey__agent_event_in event = {.kind = COVEY__EVENT_ROLLBACK,
                                   .message = "its user went back from it"};
    int lock = -1;
    covey_status status = covey__agent_lock(agent, true, &lock, error);
    if (status) return status;
    status = covey__agent_load(agent, error);
    if (!status && !agent->state.current.digest[0])
        status = covey__fail(error, COVEY_ERROR_NOT_FOUND,
                             "rollback: the built-in ensemble serves; there is nothing before it");
    if (!status && !agent->state.previous.digest[0] && !agent->builtin)
        status = covey__fail(error, COVEY_ERROR_NOT_FOUND,
                             "rollback: there is neither a previous nor a built-in ensemble");
    if (!status) status = covey__agent_event(agent, &event, &actions, error);
    covey__lock_drop(lock);
    return status;
}

covey_status covey_agent_status(covey_agent *agent, char **json, covey_error *error) {
    covey__buffer out;
    *json = NULL;
    covey__agent_state *fresh = covey__alloc(agent->env, sizeof *fresh);
    if (!fresh) return covey__no_memory(error, "the status", sizeof *fresh);
    covey_status status = covey__state_load(agent->env, agent->state_dir, fresh, error);
    if (!status) agent->state = *fresh;
    covey__free(agent->env, fresh);
    if (status) return status;
    covey__buffer_init(&out, agent->env, 1u << 20);
    status = covey__state_write_status(agent, &out, error);
    if (!status) *json = covey__buffer_take(&out, NULL);
    covey__buffer_free(&out);
    return status;
}

void covey_agent_free_text(covey_agent *agent, char *json) {
    covey__free(agent->env, json);
}
