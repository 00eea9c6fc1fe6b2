/* The ensemble to serve. Readers need no lock: state.json is replaced whole, and an ensemble's
 * folder is never changed once it has its name. What cannot be opened is passed over, first for the
 * previous ensemble, then for the built-in one. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "bundle/seal.h"

#include <string.h>

covey_status covey__slot_check_needs(const covey_agent *agent, const covey_ensemble *ensemble,
                                     covey_error *error) {
    covey__platform platform;
    covey_device_facts facts = {.size = sizeof facts};
    char os_version[32];
    covey_status status = covey_device_read(agent->runtime, agent->state_dir, &facts, error);
    if (status) return status;
    covey__platform_default(&platform, os_version);
    platform.app_version = agent->app_version;
    platform.memory_total_bytes = facts.memory_total_bytes;
    return covey__manifest_check_needs(covey__ensemble_manifest(ensemble), &platform, error);
}

/* The seal tells in microseconds that nothing changed. Where it does not, every byte is hashed, and
 * a right ensemble is sealed anew (a restored backup has other inodes). */
static covey_status check_seal(covey_agent *agent, const char *folder,
                               const covey__manifest *manifest, covey_error *error) {
    covey__buffer seal;
    covey__buffer_init(&seal, agent->env, COVEY__SEAL_BYTES_MAX);
    char *path = covey__format(agent->env, "%s.seal", folder);
    covey_status status = path ? COVEY_OK : covey__no_memory(error, "a path", 0);
    bool whole = false;
    if (!status)
        whole = !covey__file_read(agent->env, path, &seal, NULL) &&
                !covey__seal_check(agent->env, manifest, folder, seal.data ? seal.data : "",
                                   seal.size, NULL);
    if (!status && !whole) {
        status =
            covey__manifest_check_files(agent->env, manifest, folder, COVEY_CHECK_DIGESTS, error);
        covey__buffer_clear(&seal);
        if (!status && !covey__seal_make(agent->env, manifest, folder, &seal, NULL) &&
            covey__file_replace(agent->env, path, seal.data, seal.size, NULL))
            covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot seal %s again", folder);
    }
    covey__free(agent->env, path);
    covey__buffer_free(&seal);
    return status;
}

covey_status covey__slot_open(covey_agent *agent, const covey__agent_slot *slot,
                              covey_ensemble **ensemble, covey_error *error) {
    char *folder = covey__agent_path(agent, "ensembles/%s", slot->digest);
    if (!folder) return covey__no_memory(error, "a path", 0);
    *ensemble = NULL;
    covey_status status =
        covey_ensemble_open(agent->runtime, folder, COVEY_CHECK_MANIFEST, ensemble, error);
    if (!status && strcmp(covey_ensemble_digest(*ensemble), slot->digest))
        status = covey__fail(error, COVEY_ERROR_MISMATCH, "its manifest was changed");
    if (!status) status = check_seal(agent, folder, covey__ensemble_manifest(*ensemble), error);
    if (!status) status = covey__slot_check_needs(agent, *ensemble, error);
    if (!status) status = covey__agent_keys_give(agent, *ensemble, error);
    if (status) {
        covey_ensemble_close(*ensemble);
        *ensemble = NULL;
        covey__prefix(error, status, "%s@%s", slot->name, slot->version);
    }
    covey__free(agent->env, folder);
    return status;
}

/* Whether a failure to use current will still be there the next time, and what it means then.
 * Memory and the disk may recover. */
static bool is_lasting(covey_status status, covey__event_kind *kind) {
    *kind = COVEY__EVENT_CURRENT_BAD;
    switch (status) {
    case COVEY_ERROR_MISMATCH:
    case COVEY_ERROR_NOT_FOUND:
    case COVEY_ERROR_FORMAT:
        *kind = COVEY__EVENT_CURRENT_DAMAGED;
        return true;
    case COVEY_ERROR_UNSUPPORTED:
    case COVEY_ERROR_NUMERIC:
    case COVEY_ERROR_REFUSED:
        return true;
    default:
        return false;
    }
}

/* Current, then previous. With the lock, one that is damaged or unfit is left for good; without it,
 * and for a failure that may pass, for this time. */
static covey_status open_installed(covey_agent *agent, bool locked, covey_ensemble **ensemble,
                                   covey_error *error) {
    covey_status status = COVEY_ERROR_NOT_FOUND;
    covey__agent_actions actions;
    char platform[COVEY__PLATFORM_SIZE];
    bool obeyed = false;
    covey_error ignored = {0};
    if (locked && covey__steering_obey(agent, &obeyed, &ignored)) locked = false;
    for (int tries = 0; tries < 2; tries++) {
        const covey__agent_slot *slot =
            tries && !locked ? &agent->state.previous : &agent->state.current;
        if (!slot->digest[0]) return COVEY_ERROR_NOT_FOUND;
        bool forbidden =
            slot == &agent->state.previous
                ? covey__steering_forbids_return(agent, slot, error)
                : covey__steering_stops(agent, slot->name, slot->version, slot->variant, error);
        if (forbidden) { /* the folder is another process's now: for this time */
            status = COVEY_ERROR_DENIED;
            locked = false;
            continue;
        }
        covey__agent_event_in event = {.kind = COVEY__EVENT_TRIAL_START};
        /* Once more in a process that lives on is no start that failed. */
        bool again = !strcmp(agent->served_digest, slot->digest);
        if (locked && !again && covey__agent_event(agent, &event, &actions, error))
            locked = false; /* a full disk must not keep it from serving */
        if (!slot->digest[0]) return COVEY_ERROR_NOT_FOUND;
        status = covey__slot_open(agent, slot, ensemble, error);
        if (!status) {
            memcpy(agent->served_digest, slot->digest, sizeof agent->served_digest);
            covey__trial_serves(agent, slot->digest);
            return COVEY_OK;
        }
        covey__log(agent->env, COVEY_LOG_ERROR, "agent", "cannot use %s@%s: %s", slot->name,
                   slot->version, error ? error->message : "");
        covey__agent_event_in left = {.message = error ? error->message : NULL};
        if (!is_lasting(status, &left.kind)) locked = false;
        covey__agent_platform(agent, platform);
        left.under = platform;
        if (locked && covey__agent_event(agent, &left, &actions, &ignored)) locked = false;
    }
    return status;
}

/* It is the last resort, but not one that may answer where it says that it must not. */
static covey_status open_builtin(covey_agent *agent, covey_ensemble **ensemble,
                                 covey_error *error) {
    covey_status status = covey_ensemble_open(agent->runtime, agent->builtin_dir,
                                              COVEY_CHECK_MANIFEST, ensemble, error);
    if (!status) status = covey__slot_check_needs(agent, *ensemble, error);
    if (!status) status = covey__agent_keys_give(agent, *ensemble, error);
    if (!status) {
        covey__trial_serves(agent, covey_ensemble_digest(*ensemble));
        return COVEY_OK;
    }
    covey_ensemble_close(*ensemble);
    *ensemble = NULL;
    return covey__prefix(error, status, "built-in ensemble");
}

/* Current may not serve, another process has the folder, and the built-in one is stopped too. */
static bool off_for_now(const covey_agent *agent, covey_status status, covey_error *why) {
    if (status != COVEY_ERROR_DENIED) return false;
    return !agent->builtin || covey__steering_stops(agent, covey_ensemble_name(agent->builtin),
                                                    covey_ensemble_version(agent->builtin),
                                                    covey_ensemble_variant(agent->builtin), why);
}

covey_status covey_agent_current(covey_agent *agent, covey_ensemble **ensemble,
                                 covey_error *error) {
    covey_error why = {0};
    int lock = -1;
    *ensemble = NULL;
    bool locked = !covey__agent_lock(agent, false, &lock, NULL);
    covey__agent_state fresh;
    if (!covey__state_load(agent->env, agent->state_dir, &fresh, &why)) agent->state = fresh;
    covey__steering_load(agent);
    covey__degrade to = COVEY__DEGRADE_OFF;
    bool left = covey__opt_out_model(agent, &to);
    covey_status status = left ? COVEY_ERROR_DENIED : open_installed(agent, locked, ensemble, &why);
    if (locked) covey__lock_drop(lock);
    if (!status) return COVEY_OK;
    if (left && to != COVEY__DEGRADE_BUILTIN) return covey__opt_out_fail(to, error);
    if (covey__agent_is_off(agent, &why) || off_for_now(agent, status, &why))
        return covey__fail(error, COVEY_ERROR_DENIED, "agent: %s", why.message);
    if (agent->builtin_dir) return open_builtin(agent, ensemble, error);
    return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                       "agent: no ensemble is installed in %s and none is built in%s%s",
                       agent->state_dir, why.message[0] ? ": " : "; enroll this device and update",
                       why.message);
}

covey_status covey_agent_leave_current(covey_agent *agent, const covey_ensemble *ensemble,
                                       const covey_error *why, covey_error *error) {
    covey__agent_actions actions;
    char platform[COVEY__PLATFORM_SIZE];
    covey__agent_event_in left = {.message = why->message};
    bool lasting = is_lasting(why->status, &left.kind);
    int lock = -1;
    covey_status status = covey__agent_lock(agent, true, &lock, error);
    if (status) return status;
    status = covey__agent_load(agent, error);
    if (!status && !strcmp(covey_ensemble_digest(ensemble), agent->state.current.digest)) {
        agent->served_digest[0] = 0;
        covey__agent_platform(agent, platform);
        left.under = platform;
        if (lasting) status = covey__agent_event(agent, &left, &actions, error);
    }
    covey__lock_drop(lock);
    return status;
}
