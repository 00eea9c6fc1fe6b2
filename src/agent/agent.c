/* The agent: opening a state folder, and what its owner may ask. The machine (machine.c) decides
 * what happens; this file gives it events and stores what it says before anything else is done.
 *
 * One process at a time changes the folder: `lock` is held for a step, never between steps. The
 * state is read anew at each step, for another process may have moved on. */
#include "agent/agent_blobs.h"
#include "agent/agent_files.h"

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
    bool counts = kind == COVEY_AGENT_EVENT_PROGRESS && total;
    covey_agent_event event = {.size = sizeof event,
                               .phase = phase,
                               .release = release,
                               .message = message,
                               .bytes_done = done,
                               .bytes_total = total,
                               .kind = kind,
                               .bytes_per_second = counts ? agent->blobs.bytes_per_second : 0,
                               .left_ms = counts ? agent->blobs.left_ms : -1};
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
    covey_error previous = {0};
    if (agent->state.previous.digest[0] &&
        covey__steering_forbids_return(agent, &agent->state.previous, &previous))
        event->previous_denied = previous.message;
    covey__agent_state *next = covey__alloc(agent->env, sizeof *next);
    if (!next) return covey__no_memory(error, "the agent's state", sizeof *next);
    *next = agent->state;
    covey_status status = COVEY_OK;
    if (covey__machine(next, event, actions)) {
        status = covey__agent_fault(agent, "agent.state", error);
        if (!status) status = covey__agent_save(agent, next, error);
        if (!status) agent->state = *next;
    }
    covey__free(agent->env, next);
    event->previous_denied = NULL;
    if (status || !actions->clean) return status;
    covey__fetching_free(agent);
    covey__agent_blobs_free(agent);
    covey__survey_free(agent);
    covey__check_free(agent);
    covey_error ignored;
    /* Nothing is wrong with a release that is not offered any more: it may be offered again. */
    if (event->kind == COVEY__EVENT_TARGET_NONE) covey__aside_keep(agent, "");
    if (event->kind == COVEY__EVENT_ROLLBACK && covey__aside_remove_all(agent, &ignored))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot clean up: %s", ignored.message);
    if (covey__agent_clean(agent, &ignored))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot clean up: %s", ignored.message);
    return COVEY_OK;
}

/* ---- Opening ----------------------------------------------------------------------------------
 */

/* The root that came with the app: named, or root.json beside the built-in ensemble's folder. */
static covey_status find_root(covey_agent *agent, covey_error *error) {
    if (agent->options.root_path) {
        agent->root_path = covey__strdup(agent->env, agent->options.root_path);
        return agent->root_path ? COVEY_OK : covey__no_memory(error, "the agent", 0);
    }
    if (!agent->builtin_dir) return COVEY_OK;
    size_t size = strlen(agent->builtin_dir);
    while (size && agent->builtin_dir[size - 1] == '/') size--;
    while (size && agent->builtin_dir[size - 1] != '/') size--;
    agent->root_path = covey__format(agent->env, "%.*sroot.json", (int)size, agent->builtin_dir);
    if (!agent->root_path) return covey__no_memory(error, "the agent", 0);
    bool is_there = false;
    covey_status status = covey__file_find(agent->env, agent->root_path, &is_there, error);
    if (is_there) return COVEY_OK;
    covey__free(agent->env, agent->root_path);
    agent->root_path = NULL;
    return status;
}

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
    return find_root(agent, error);
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
    if (!status) covey__steering_load(agent);
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
    made->blobs.left_ms = -1;
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
    covey__agent_show(made);
    if (!covey__agent_lock(made, false, &lock, NULL)) {
        covey_error ignored = {0};
        /* Read again: another process may have begun an update since. */
        status = covey__state_settle(env, made->state_dir, &ignored);
        if (!status) status = covey__agent_load(made, &ignored);
        if (!status) status = covey__audit_settle(made, &ignored);
        if (!status) status = covey__agent_clean(made, &ignored);
        if (status)
            covey__log(env, COVEY_LOG_WARN, "agent", "cannot clean up: %s", ignored.message);
        covey__lock_drop(lock);
    }
    *agent = made;
    return COVEY_OK;
}

/* What served here without harm has proved itself. */
covey_status covey__agent_commit(covey_agent *agent, covey_error *error) {
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

/* What this process served, when it ends in order. */
static void close_trial(covey_agent *agent) {
    bool tells = agent->options.tells_answers;
    int lock = -1;
    covey_error ignored = {0};
    bool due = agent->served_digest[0] && agent->state.current.trial;
    if (!due && !agent->speeds_changed) return;
    if (covey__agent_lock(agent, false, &lock, NULL)) return;
    covey_status status = covey__state_load(agent->env, agent->state_dir, &agent->state, &ignored);
    if (!status)
        status = tells ? covey__trial_close(agent, &ignored) : covey__agent_commit(agent, &ignored);
    if (status)
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot commit: %s", ignored.message);
    covey__lock_drop(lock);
}

void covey_agent_close(covey_agent *agent) {
    if (!agent) return;
    const covey__env *env = agent->env;
    close_trial(agent);
    covey__fetching_free(agent);
    covey__agent_blobs_free(agent);
    covey__survey_free(agent);
    covey__check_free(agent);
    covey_ensemble_close(agent->builtin);
    covey__free(env, agent->state_dir);
    covey__steering_free(agent->steering);
    covey__free(env, agent->builtin_dir);
    covey__free(env, agent->root_path);
    covey__free(env, agent->app_version);
    covey__free(env, agent);
}

/* ---- What the owner may ask -------------------------------------------------------------------
 */

/* What the user goes back to may not be what its publisher stopped, nor below a minimum. */
static covey_status may_roll_back(const covey_agent *agent, covey_error *error) {
    const covey__agent_slot *previous = &agent->state.previous;
    covey_error why = {0};
    if (!previous->digest[0] && !agent->builtin)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "rollback: there is neither a previous nor a built-in ensemble");
    if (!covey__steering_forbids_return(agent, previous->digest[0] ? previous : NULL, &why))
        return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_DENIED, "rollback: %s", why.message);
}

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
    if (!status) status = may_roll_back(agent, error);
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
    covey__steering_load(agent);
    covey__buffer_init(&out, agent->env, 1u << 20);
    status = covey__state_write_status(agent, &out, error);
    if (!status) *json = covey__buffer_take(&out, NULL);
    covey__buffer_free(&out);
    return status;
}

void covey_agent_free_text(covey_agent *agent, char *json) {
    covey__free(agent->env, json);
}
