/* From fetched files to a proved ensemble. Each function is one phase and can be done again after
 * it was cut anywhere. */
#include "agent/agent_files.h"

#include "base/error.h"
#include "bundle/seal.h"

#include <stdio.h>
#include <string.h>

covey_status covey__agent_verify(covey_agent *agent, int64_t deadline_us, bool *done,
                                 covey_error *error) {
    covey_status status = covey__agent_fault(agent, "agent.verify", error);
    if (!status) status = covey__check_step(agent, "update", deadline_us, done, error);
    return status ? covey__prefix(error, status, "verify") : COVEY_OK;
}

covey_status covey__agent_check_staged(covey_agent *agent, int64_t deadline_us, bool *done,
                                       covey_error *error) {
    covey_status status = covey__agent_fault(agent, "agent.check", error);
    return status ? status : covey__check_step(agent, "ensembles", deadline_us, done, error);
}

/* The indexes go along: they tell the next update what is here. */
static covey_status move_indexes(covey_agent *agent, const char *from_folder, const char *to_folder,
                                 covey_error *error) {
    const char *digest = agent->state.update.digest;
    char *from = covey__agent_path(agent, "%s/%s.index", from_folder, digest);
    char *to = covey__agent_path(agent, "%s/%s.index", to_folder, digest);
    bool is_there = false;
    covey_status status = from && to ? covey__file_find(agent->env, from, &is_there, error)
                                     : covey__no_memory(error, "a path", 0);
    if (!status && is_there) {
        status = covey__tree_remove(agent->env, to, error);
        if (!status) status = covey__file_rename(agent->env, from, to, error);
    }
    covey__free(agent->env, from);
    covey__free(agent->env, to);
    return status;
}

static covey_status write_seal(covey_agent *agent, const char *folder, covey_error *error) {
    covey__manifest *manifest = NULL;
    covey__buffer seal;
    covey__buffer_init(&seal, agent->env, COVEY__SEAL_BYTES_MAX);
    char *path = covey__format(agent->env, "%s.seal", folder);
    covey_status status = path ? covey__manifest_read(agent->env, folder, &manifest, error)
                               : covey__no_memory(error, "a path", 0);
    if (!status) status = move_indexes(agent, "update", "ensembles", error);
    if (!status) status = covey__seal_make(agent->env, manifest, folder, &seal, error);
    if (!status) status = covey__file_replace(agent->env, path, seal.data, seal.size, error);
    covey__manifest_free(manifest);
    covey__free(agent->env, path);
    covey__buffer_free(&seal);
    return status;
}

typedef struct syncing {
    covey_agent *agent;
    const char *folder;
    covey_error *error;
} syncing;

static covey_status sync_folder(void *user, const char *name, bool is_folder) {
    syncing *at = user;
    if (!is_folder) return COVEY_OK;
    char *path = covey__path_join(at->agent->env, at->folder, name);
    if (!path) return covey__no_memory(at->error, "a path", 0);
    covey_status status = covey__folder_sync(at->agent->env, path, at->error);
    covey__free(at->agent->env, path);
    return status;
}

/* The names in a folder, once what killed processes left there is gone; folders are one deep. */
static covey_status sync_names(covey_agent *agent, const char *folder, covey_error *error) {
    syncing at = {agent, folder, error};
    covey_status status = covey__replace_tidy(agent->env, folder, error);
    if (!status) status = covey__folder_list(agent->env, folder, error, sync_folder, &at);
    return status ? status : covey__folder_sync(agent->env, folder, error);
}

/* All names of the update, so that nothing is lost between the renames to come. The bytes were
 * synced as the files were finished. A name whose sync failed then was found in its place since,
 * and is synced only here. */
static covey_status sync_update(covey_agent *agent, const char *folder, covey_error *error) {
    char *index = covey__format(agent->env, "%s.index", folder);
    char *update = covey__agent_path(agent, "update");
    bool is_there = false;
    covey_status status =
        index && update ? sync_names(agent, folder, error) : covey__no_memory(error, "a path", 0);
    if (!status) status = covey__file_find(agent->env, index, &is_there, error);
    if (!status && is_there) status = sync_names(agent, index, error);
    if (!status) status = covey__folder_sync(agent->env, update, error);
    covey__free(agent->env, index);
    covey__free(agent->env, update);
    return status;
}

covey_status covey__agent_stage(covey_agent *agent, covey_error *error) {
    const char *digest = agent->state.update.digest;
    char *ensembles = covey__agent_path(agent, "ensembles");
    char *from = covey__agent_path(agent, "update/%s", digest);
    char *to = covey__agent_path(agent, "ensembles/%s", digest);
    covey_status status = COVEY_OK;
    bool is_there = false;
    if (!ensembles || !from || !to) status = covey__no_memory(error, "a path", 0);
    if (!status) status = covey__agent_fault(agent, "agent.stage", error);
    if (!status) status = covey__folder_make(agent->env, ensembles, error);
    if (!status) status = covey__file_find(agent->env, from, &is_there, error);
    if (!status && is_there) {
        status = covey__tree_remove(agent->env, to, error); /* left there when it was damaged */
        if (!status) status = sync_update(agent, from, error);
        if (!status) status = covey__file_rename(agent->env, from, to, error);
    }
    /* Every byte is here: what other downloads left is of no use to it any more. */
    if (!status) status = covey__aside_remove_all(agent, error);
    if (!status) status = covey__folder_sync(agent->env, ensembles, error);
    if (!status) status = write_seal(agent, to, error);
    covey__free(agent->env, ensembles);
    covey__free(agent->env, from);
    covey__free(agent->env, to);
    return status ? covey__prefix(error, status, "stage") : COVEY_OK;
}

covey_status covey__agent_unstage(covey_agent *agent, covey_error *error) {
    const char *digest = agent->state.update.digest;
    char *from = covey__agent_path(agent, "ensembles/%s", digest);
    char *to = covey__agent_path(agent, "update/%s", digest);
    char *seal = covey__agent_path(agent, "ensembles/%s.seal", digest);
    char *update = covey__agent_path(agent, "update");
    covey_status status = COVEY_OK;
    bool is_there = false;
    if (!from || !to || !seal || !update) status = covey__no_memory(error, "a path", 0);
    if (!status) status = covey__file_remove(agent->env, seal, error);
    if (!status) status = covey__folder_make(agent->env, update, error);
    if (!status) status = covey__file_find(agent->env, from, &is_there, error);
    if (!status && is_there) {
        status = covey__tree_remove(agent->env, to, error);
        if (!status) status = covey__file_rename(agent->env, from, to, error);
    }
    if (!status) status = move_indexes(agent, "ensembles", "update", error);
    covey__free(agent->env, from);
    covey__free(agent->env, to);
    covey__free(agent->env, seal);
    covey__free(agent->env, update);
    return status;
}

void covey__agent_proof(const covey_agent *agent, char out[128]) {
    covey_device_facts facts = {.size = sizeof facts};
    if (covey_device_read(agent->runtime, agent->state_dir, &facts, NULL)) facts.os[0] = 0;
    snprintf(out, 128, "%s %s %s %s", covey_version(), facts.os, facts.os_version,
             covey_runtime_isa(agent->runtime));
}

void covey__agent_platform(const covey_agent *agent, char out[COVEY__PLATFORM_SIZE]) {
    covey_device_facts facts = {.size = sizeof facts};
    char proof[128];
    covey__agent_proof(agent, proof);
    if (covey_device_read(agent->runtime, agent->state_dir, &facts, NULL))
        facts.memory_total_bytes = -1;
    /* In steps of 256 MiB: what a machine reports moves a little from start to start. */
    snprintf(out, COVEY__PLATFORM_SIZE, "%s app %.64s memory %d", proof, agent->app_version,
             (int)(facts.memory_total_bytes >> 28));
}

/* Opens the staged ensemble, of which every byte was checked, and has its probes run. MISMATCH, and
 * NOT_FOUND of a file, mean damage. */
covey_status covey__agent_probe(covey_agent *agent, bool *without_probes, covey_error *error) {
    covey_ensemble *ensemble = NULL;
    covey_probe_result result = COVEY_PROBE_RESULT_INIT;
    char *folder = covey__agent_path(agent, "ensembles/%s", agent->state.update.digest);
    if (!folder) return covey__no_memory(error, "a path", 0);
    covey_status status = covey__agent_fault(agent, "agent.probe", error);
    if (!status)
        status =
            covey_ensemble_open(agent->runtime, folder, COVEY_CHECK_MANIFEST, &ensemble, error);
    /* The plan read this manifest: what breaks its format came since. */
    if (status == COVEY_ERROR_FORMAT || status == COVEY_ERROR_LIMIT) status = COVEY_ERROR_MISMATCH;
    if (!status && strcmp(covey_ensemble_digest(ensemble), agent->state.update.digest))
        status = covey__fail(error, COVEY_ERROR_MISMATCH, "the manifest was changed");
    if (!status) status = covey__slot_check_needs(agent, ensemble, error);
    if (!status) status = covey__agent_keys_give(agent, ensemble, error);
    if (!status) {
        status = agent->options.probe
                     ? agent->options.probe(agent->options.probe_user, ensemble, &result, error)
                     : COVEY_ERROR_UNSUPPORTED;
        if (status == COVEY_ERROR_MISMATCH || status == COVEY_ERROR_NOT_FOUND)
            status = COVEY_ERROR_REFUSED; /* the bytes were right: it is the ensemble that is not */
        *without_probes =
            !status && !covey__manifest_find(covey__ensemble_manifest(ensemble), "probes");
    }
    covey_ensemble_close(ensemble);
    covey__free(agent->env, folder);
    return status;
}

/* ---- Cleaning ---------------------------------------------------------------------------------
 */

typedef struct cleaner {
    covey_agent *agent;
    const char *folder;
    covey_error *error;
} cleaner;

bool covey__agent_wants(const covey_agent *agent, const char *name) {
    const char *digests[] = {agent->state.current.digest, agent->state.previous.digest,
                             agent->state.update.digest};
    for (int i = 0; i < 3; i++)
        if (digests[i][0] && !strncmp(name, digests[i], 64)) return true;
    return false;
}

static covey_status clean_one(void *user, const char *name, bool is_folder) {
    cleaner *at = user;
    if (covey__agent_wants(at->agent, name)) return COVEY_OK;
    char *path = covey__path_join(at->agent->env, at->folder, name);
    if (!path) return covey__no_memory(at->error, "a path", 0);
    covey_status status = is_folder ? covey__tree_remove(at->agent->env, path, at->error)
                                    : covey__file_remove(at->agent->env, path, at->error);
    covey__free(at->agent->env, path);
    return status;
}

/* Half-written files beside those of the state folder. */
static covey_status clean_temporaries(covey_agent *agent, covey_error *error) {
    static const char *const folders[] = {"", "trust", "secrets", "audit.log", "ensembles"};
    covey_status status = COVEY_OK;
    for (size_t i = 0; !status && i < sizeof folders / sizeof *folders; i++) {
        char *path = covey__agent_path(agent, "%s", folders[i]);
        status = path ? covey__replace_tidy(agent->env, path, error)
                      : covey__no_memory(error, "a path", 0);
        covey__free(agent->env, path);
    }
    return status;
}

covey_status covey__agent_clean(covey_agent *agent, covey_error *error) {
    char *ensembles = covey__agent_path(agent, "ensembles");
    char *update = covey__agent_path(agent, "update");
    covey_status status = COVEY_OK;
    if (!ensembles || !update) status = covey__no_memory(error, "a path", 0);
    if (!status) status = covey__agent_fault(agent, "agent.clean", error);
    if (!status) status = clean_temporaries(agent, error);
    if (!status && agent->state.update.phase == COVEY__PHASE_NONE)
        status = covey__tree_remove(agent->env, update, error);
    bool is_there = false;
    if (!status) status = covey__file_find(agent->env, ensembles, &is_there, error);
    if (!status && is_there) {
        cleaner at = {agent, ensembles, error};
        status = covey__folder_list(agent->env, ensembles, error, clean_one, &at);
    }
    covey__free(agent->env, ensembles);
    covey__free(agent->env, update);
    return status;
}
