/* Room for an update, before its first byte is fetched. All that it will write is reserved: every
 * component at its full size, and what the way to one needs meanwhile. Where that does not fit,
 * things are given up, in this order, each said to the caller and in the audit log:
 *
 *   1. what is in ensembles/ and no slot names
 *   2. downloads that were set aside
 *   3. the previous ensemble, when the user's settings allow it, current is not on trial, and a
 *      built-in one remains that may serve
 *   4. cache/, and indexes of what is installed: they can be made again
 *
 * Never current, never the built-in one. Nothing is given up in vain: when all of it together is
 * not enough, nothing goes, and the update waits with both numbers. What went may have been a
 * source of chunks, so the plan is made anew. A disk that fills up in spite of what was reserved
 * fails a write; then the update waits, and all this is done again before it goes on. */
#include "agent/agent_files.h"

#include "base/error.h"
#include "base/file_space.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MARGIN_BYTES (16u << 20) /* left free for the state, the logs and others */

/* ---- What is lacking --------------------------------------------------------------------------
 */

static char *component_path(const covey_agent *agent, size_t component) {
    return covey__agent_path(agent, "update/%s/%s", agent->fetching.digest,
                             agent->fetching.manifest->components[component].file);
}

/* Bytes that the update will still take from the disk. */
static covey_status count_lacking(const covey_agent *agent, uint64_t *lacking, covey_error *error) {
    const covey__fetching *fetching = &agent->fetching;
    covey_status status = COVEY_OK;
    *lacking = fetching->room_bytes;
    for (size_t i = 0; !status && i < fetching->manifest->component_count; i++) {
        uint64_t taken = 0, size = fetching->manifest->components[i].size;
        char *path = component_path(agent, i);
        status = path ? covey__file_taken(agent->env, path, &taken, error)
                      : covey__no_memory(error, "a path", 0);
        covey__free(agent->env, path);
        if (!status && taken < size && !covey__add_u64(*lacking, size - taken, lacking))
            return covey__fail(error, COVEY_ERROR_LIMIT, "the ensemble is too large for any disk");
    }
    return status;
}

/* ---- What may go ------------------------------------------------------------------------------
 */

typedef enum candidate { ORPHANS, ASIDES, PREVIOUS, CACHES, CANDIDATE_COUNT } candidate;

typedef struct orphans {
    const covey_agent *agent;
    const char *folder;
    uint64_t bytes;
} orphans;

static covey_status count_orphan(void *user, const char *name, bool is_folder) {
    orphans *at = user;
    if (!is_folder || covey__agent_wants(at->agent, name)) return COVEY_OK;
    char *path = covey__path_join(at->agent->env, at->folder, name);
    if (path) at->bytes += covey__tree_taken(at->agent->env, path);
    covey__free(at->agent->env, path);
    return COVEY_OK;
}

static uint64_t taken_below(const covey_agent *agent, const char *name) {
    char *path = covey__agent_path(agent, "%s", name);
    uint64_t bytes = path ? covey__tree_taken(agent->env, path) : 0;
    covey__free(agent->env, path);
    return bytes;
}

/* Why the previous ensemble stays; NULL: it may go. */
static const char *previous_stays(const covey_agent *agent) {
    covey__policy policy;
    covey_error why;
    if (agent->state.current.trial) return "the current one is on trial";
    if (!agent->builtin) return "no built-in one stands behind it";
    if (covey__steering_forbids_return(agent, NULL, &why))
        return "the built-in one may not serve any more";
    if (covey__agent_policy(agent, &policy, NULL) || !policy.update_give_up_previous)
        return "this device's settings keep it";
    return NULL;
}

static uint64_t previous_bytes(const covey_agent *agent) {
    char name[80];
    const char *digest = agent->state.previous.digest;
    if (!digest[0] || !strcmp(digest, agent->state.current.digest)) return 0;
    snprintf(name, sizeof name, "ensembles/%s", digest);
    return taken_below(agent, name);
}

static uint64_t count_candidate(const covey_agent *agent, candidate what) {
    switch (what) {
    case ORPHANS: {
        char *folder = covey__agent_path(agent, "ensembles");
        orphans at = {agent, folder, 0};
        if (folder && covey__file_exists(folder) &&
            covey__folder_list(agent->env, folder, NULL, count_orphan, &at))
            at.bytes = 0;
        covey__free(agent->env, folder);
        return at.bytes;
    }
    case ASIDES:
        return taken_below(agent, "partial");
    case PREVIOUS:
        return previous_stays(agent) ? 0 : previous_bytes(agent);
    default: /* once: the next survey makes some of it again */
        return agent->caches_given ? 0 : taken_below(agent, "cache");
    }
}

/* ---- Giving up --------------------------------------------------------------------------------
 */

/* In the log and to the caller, before it goes. */
static covey_status say(covey_agent *agent, covey__agent_state *next, candidate what,
                        uint64_t bytes, covey_error *error) {
    static const char *const names[] = {"what no slot names", "downloads that were set aside", "",
                                        "chunk indexes that can be made again"};
    covey__audit_entry entry = {.event = "given-up"};
    char release[132];
    covey__agent_release(agent, release);
    if (what == PREVIOUS) {
        covey__release_name(entry.from, agent->state.previous.name, agent->state.previous.version);
        memcpy(entry.digest, agent->state.previous.digest, sizeof entry.digest);
    } else {
        snprintf(entry.from, sizeof entry.from, "%s", names[what]);
    }
    snprintf(entry.why, sizeof entry.why, "%s needs room; %" PRIu64 " bytes", release, bytes);
    covey_status status = covey__agent_save_noting(agent, next, &entry, error);
    if (!status)
        covey__agent_tell(agent, COVEY_AGENT_EVENT_PROGRESS, "plan", release, 0, 0,
                          "%s%s gives its room to it: %" PRIu64 " bytes",
                          what == PREVIOUS ? "the previous ensemble " : "", entry.from, bytes);
    return status;
}

static covey_status remove_below(const covey_agent *agent, const char *name, covey_error *error) {
    char *path = covey__agent_path(agent, "%s", name);
    covey_status status =
        path ? covey__tree_remove(agent->env, path, error) : covey__no_memory(error, "a path", 0);
    covey__free(agent->env, path);
    return status;
}

static covey_status give_up(covey_agent *agent, candidate what, uint64_t bytes,
                            covey_error *error) {
    covey__agent_state *next = covey__alloc(agent->env, sizeof *next);
    if (!next) return covey__no_memory(error, "the agent's state", sizeof *next);
    *next = agent->state;
    if (what == PREVIOUS) memset(&next->previous, 0, sizeof next->previous);
    covey_status status = covey__agent_fault(agent, "agent.give-up", error);
    if (!status) status = say(agent, next, what, bytes, error);
    if (!status) agent->state = *next;
    covey__free(agent->env, next);
    if (status) return status;
    switch (what) {
    case ORPHANS:
    case PREVIOUS: /* its slot is empty now, so its files are what no slot names */
        return covey__agent_clean(agent, error);
    case ASIDES:
        return covey__aside_remove_all(agent, error);
    default:
        agent->caches_given = true;
        return remove_below(agent, "cache", error);
    }
}

/* Why there is too little, with what would be there besides. */
static covey_status refuse(const covey_agent *agent, uint64_t needed, uint64_t available,
                           uint64_t more, covey_error *error) {
    char also[200] = "";
    const char *stays = agent->state.previous.digest[0] ? previous_stays(agent) : NULL;
    if (stays)
        snprintf(also, sizeof also, " (the previous ensemble has %" PRIu64 ", and stays: %s)",
                 previous_bytes(agent), stays);
    else if (more)
        snprintf(also, sizeof also, ", with all that this device could give up %" PRIu64,
                 available + more);
    uint64_t wanted = needed + MARGIN_BYTES;
    return covey__fail_sizes(error, COVEY_ERROR_NO_SPACE,
                             wanted < INT64_MAX ? (int64_t)wanted : INT64_MAX,
                             available < INT64_MAX ? (int64_t)available : INT64_MAX,
                             "the update needs %" PRIu64 " bytes and %u of margin, and %" PRIu64
                             " are free%s; free some, and it goes on by itself",
                             needed, MARGIN_BYTES, available, also);
}

static covey_status available_bytes(const covey_agent *agent, uint64_t *bytes, covey_error *error) {
    covey__volume volume;
    covey_status status = covey__volume_read(agent->env, agent->state_dir, &volume, error);
    *bytes = volume.available_bytes;
    return status;
}

/* `*gave`: something went, and the plan that was made with it does not hold any more. */
static covey_status make_room(covey_agent *agent, uint64_t needed, bool *gave, covey_error *error) {
    uint64_t available, counted[CANDIDATE_COUNT], more = 0;
    covey_status status = available_bytes(agent, &available, error);
    if (status || available >= needed + MARGIN_BYTES) return status;
    for (candidate what = ORPHANS; what < CANDIDATE_COUNT; what++) {
        counted[what] = count_candidate(agent, what);
        more += counted[what];
    }
    if (available + more < needed + MARGIN_BYTES)
        return refuse(agent, needed, available, more, error);
    for (candidate what = ORPHANS; !status && what < CANDIDATE_COUNT; what++) {
        if (available >= needed + MARGIN_BYTES) return COVEY_OK;
        if (!counted[what]) continue;
        *gave = true;
        status = give_up(agent, what, counted[what], error);
        if (!status) status = available_bytes(agent, &available, error);
    }
    if (status || available >= needed + MARGIN_BYTES) return status;
    return refuse(agent, needed, available, 0, error); /* it was shared, or someone maps it */
}

/* ---- Reserving --------------------------------------------------------------------------------
 */

/* The component's file, open for writing; `*promised`: no write will find the disk full. */
static covey_status open_reserved(covey_agent *agent, size_t component, int *descriptor,
                                  bool *promised, covey_error *error) {
    uint64_t size = agent->fetching.manifest->components[component].size;
    *descriptor = -1;
    char *path = component_path(agent, component);
    char *folder = path ? covey__strdup(agent->env, path) : NULL;
    covey_status status = folder ? COVEY_OK : covey__no_memory(error, "a path", 0);
    if (!status) {
        *strrchr(folder, '/') = 0;
        status = covey__folder_make(agent->env, folder, error);
    }
    if (!status)
        status = covey__file_open(agent->env, path, O_RDWR | O_CREAT, 0600, descriptor, error);
    if (!status) status = covey__file_reserve(agent->env, *descriptor, path, size, promised, error);
    if (!status) status = covey__file_truncate(agent->env, *descriptor, path, size, error);
    if (status && *descriptor >= 0) {
        close(*descriptor);
        *descriptor = -1;
    }
    covey__free(agent->env, folder);
    covey__free(agent->env, path);
    return status;
}

covey_status covey__space_open(covey_agent *agent, size_t component, int *descriptor,
                               covey_error *error) {
    bool promised = false;
    return open_reserved(agent, component, descriptor, &promised, error);
}

covey_status covey__space_check(covey_agent *agent, covey_error *error) {
    uint64_t lacking, available;
    if (!agent->fetching.unpromised) return COVEY_OK;
    covey_status status = count_lacking(agent, &lacking, error);
    if (!status) status = available_bytes(agent, &available, error);
    if (status || !lacking || available >= lacking + MARGIN_BYTES) return status;
    return refuse(agent, lacking, available, 0, error);
}

covey_status covey__space_reserve(covey_agent *agent, bool *again, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    uint64_t lacking = 0;
    *again = false;
    covey_status status = covey__agent_fault(agent, "agent.reserve", error);
    if (!status) status = count_lacking(agent, &lacking, error);
    if (!status && lacking) status = make_room(agent, lacking, again, error);
    if (*again) { /* also after a failure: what the plan counted on may be gone */
        covey__survey_free(agent);
        covey__fetching_free(agent);
    }
    if (status || *again) return status;
    for (size_t i = 0; !status && i < fetching->manifest->component_count; i++) {
        int descriptor;
        bool promised = false;
        status = open_reserved(agent, i, &descriptor, &promised, error);
        if (!status) close(descriptor);
        if (!promised) fetching->unpromised = true;
        if (status)
            covey__prefix(error, status, "component \"%s\"",
                          fetching->manifest->components[i].file);
    }
    covey__volume volume;
    if (!status) status = covey__volume_read(agent->env, agent->state_dir, &volume, error);
    if (status) return status;
    fetching->block_bytes = volume.block_bytes;
    fetching->reserved = true;
    return COVEY_OK;
}
