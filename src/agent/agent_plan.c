/* From a target to a plan: the release document, which the metadata names by length and digest, the
 * manifest, the chunk indexes, each fetched once, stored, and checked every time it is read, since
 * a process may have died or a disk erred in between. Then what is here already is set against what
 * is needed: chunks of installed ensembles, whatever file they moved to. */
#include "agent/agent_blobs.h"
#include "agent/agent_files.h"
#include "agent/agent_ways.h"

#include "base/error.h"
#include "base/sha256.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- Small files of the update ----------------------------------------------------------------
 */

covey_status covey__agent_stored_blob(covey_agent *agent, const char *path,
                                      const uint8_t sha256[32], uint64_t size, covey__buffer *out,
                                      covey_error *error) {
    uint8_t digest[32];
    if (!covey__file_read(agent->env, path, out, NULL)) {
        covey__sha256_of(out->data ? out->data : "", out->size, digest);
        if (out->size == size && !memcmp(digest, sha256, 32)) return COVEY_OK;
    }
    covey__buffer_clear(out);
    covey_status status = covey__agent_get_blob(agent, sha256, size, out, error);
    if (!status) status = covey__file_replace(agent->env, path, out->data, out->size, error);
    return status;
}

static covey_status read_release(covey_agent *agent, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    const covey__agent_update *update = &agent->state.update;
    uint8_t digest[32];
    covey__buffer text;
    covey__buffer_init(&text, agent->env, COVEY__RELEASE_BYTES_MAX);
    char *folder = covey__agent_path(agent, "update");
    char *path = covey__agent_path(agent, "update/release.json");
    covey_status status = COVEY_OK;
    if (!folder || !path) status = covey__no_memory(error, "a path", 0);
    if (!status) status = covey__folder_make(agent->env, folder, error);
    if (!status && !covey__unhex(update->release_digest, 64, digest, 32))
        status = covey__fail(error, COVEY_ERROR_FORMAT, "the release's digest is malformed");
    if (!status)
        status = covey__agent_stored_blob(agent, path, digest, (uint64_t)update->release_size,
                                          &text, error);
    if (!status)
        status = covey__release_parse(agent->env, text.data, text.size, &fetching->release, error);
    if (!status && (strcmp(fetching->release->name, update->name) ||
                    strcmp(fetching->release->version, update->version)))
        status = covey__fail(
            error, COVEY_ERROR_MISMATCH, "release: the document is of %s@%s, not of %s@%s",
            fetching->release->name, fetching->release->version, update->name, update->version);
    agent->authentic = !status;
    covey__free(agent->env, folder);
    covey__free(agent->env, path);
    covey__buffer_free(&text);
    return status;
}

/* What was planned stays: the device's class may change while its files are on their way. */
static const covey__release_variant *planned_variant(const covey_agent *agent) {
    const covey__release *release = agent->fetching.release;
    char hex[65];
    if (agent->state.update.phase == COVEY__PHASE_PLAN) return NULL;
    for (size_t i = 0; i < release->variant_count; i++) {
        covey__hex(release->variants[i].manifest_sha256, 32, hex);
        if (!strcmp(hex, agent->state.update.digest)) return &release->variants[i];
    }
    return NULL;
}

static covey_status choose_variant(covey_agent *agent, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    covey_device_facts facts = {.size = sizeof facts};
    covey_status status = covey_device_read(agent->runtime, agent->state_dir, &facts, error);
    if (status) return status;
    const char *name = covey_device_class_name(facts.device_class);
    fetching->variant = planned_variant(agent);
    if (!fetching->variant) fetching->variant = covey__release_choose(fetching->release, name);
    if (!fetching->variant)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "release %s@%s has no variant for devices of class %s",
                           fetching->release->name, fetching->release->version, name);
    covey__hex(fetching->variant->manifest_sha256, 32, fetching->digest);
    return COVEY_OK;
}

static covey_status read_manifest(covey_agent *agent, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    covey__buffer text;
    covey__buffer_init(&text, agent->env, COVEY__MANIFEST_BYTES_MAX);
    char *folder = covey__agent_path(agent, "update/%s", fetching->digest);
    char *path = covey__agent_path(agent, "update/%s/%s", fetching->digest, COVEY__MANIFEST_FILE);
    covey_status status = folder && path ? covey__folder_make(agent->env, folder, error)
                                         : covey__no_memory(error, "a path", 0);
    if (!status)
        status = covey__agent_stored_blob(agent, path, fetching->variant->manifest_sha256,
                                          fetching->variant->manifest_size, &text, error);
    if (!status)
        status =
            covey__manifest_parse(agent->env, text.data, text.size, &fetching->manifest, error);
    if (!status)
        status = covey__release_check_manifest(fetching->release, fetching->variant,
                                               fetching->manifest, error);
    covey__free(agent->env, folder);
    covey__free(agent->env, path);
    covey__buffer_free(&text);
    return status;
}

static covey_status check_needs(covey_agent *agent, covey_error *error) {
    covey__platform platform;
    covey_device_facts facts = {.size = sizeof facts};
    char os_version[32];
    covey_status status = covey_device_read(agent->runtime, agent->state_dir, &facts, error);
    if (status) return status;
    covey__platform_default(&platform, os_version);
    platform.app_version = agent->app_version;
    platform.memory_total_bytes = facts.memory_total_bytes;
    return covey__manifest_check_needs(agent->fetching.manifest, &platform, error);
}

static covey_status read_indexes(covey_agent *agent, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    size_t count = fetching->manifest->component_count;
    fetching->indexes = covey__calloc(agent->env, count, sizeof *fetching->indexes);
    fetching->plans = covey__calloc(agent->env, count, sizeof *fetching->plans);
    if (!fetching->indexes || !fetching->plans) return covey__no_memory(error, "indexes", count);
    char *folder = covey__agent_path(agent, "update/%s.index", fetching->digest);
    covey_status status = folder ? covey__folder_make(agent->env, folder, error)
                                 : covey__no_memory(error, "a path", 0);
    covey__free(agent->env, folder);
    covey__buffer bytes;
    covey__buffer_init(&bytes, agent->env, COVEY__INDEX_BYTES_MAX);
    for (size_t i = 0; !status && i < count; i++) {
        const covey__release_component *component = &fetching->variant->components[i];
        char *path = covey__agent_path(agent, "update/%s.index/%zu", fetching->digest, i);
        if (!path) status = covey__no_memory(error, "a path", 0);
        covey__buffer_clear(&bytes);
        if (!status)
            status = covey__agent_stored_blob(agent, path, component->index_sha256,
                                              component->index_size, &bytes, error);
        if (!status)
            status = covey__chunk_index_parse(agent->env, bytes.data, bytes.size,
                                              &fetching->indexes[i], error);
        if (!status) status = covey__release_check_index(component, fetching->indexes[i], error);
        if (status)
            covey__prefix(error, status, "component \"%s\": its index",
                          fetching->manifest->components[i].file);
        covey__free(agent->env, path);
    }
    covey__buffer_free(&bytes);
    return status;
}

/* ---- The whole --------------------------------------------------------------------------------
 */

void covey__fetching_free(covey_agent *agent) {
    covey__fetching *fetching = &agent->fetching;
    size_t count = fetching->manifest ? fetching->manifest->component_count : 0;
    covey__ways_free(agent);
    if (fetching->files) covey__files_close(agent, fetching->files, fetching->file_count);
    covey__free(agent->env, fetching->files);
    for (size_t i = 0; i < count; i++) {
        if (fetching->plans) covey__chunk_plan_free(fetching->plans[i]);
        if (fetching->indexes) covey__chunk_index_free(fetching->indexes[i]);
    }
    for (size_t i = 0; i < fetching->source_count; i++) {
        covey__chunk_index_free(fetching->source_indexes[i]);
        covey__free(agent->env, fetching->source_paths[i]);
    }
    covey__free(agent->env, fetching->plans);
    covey__free(agent->env, fetching->indexes);
    covey__free(agent->env, fetching->sources);
    covey__free(agent->env, fetching->source_paths);
    covey__free(agent->env, fetching->source_indexes);
    covey__manifest_free(fetching->manifest);
    covey__release_free(fetching->release);
    memset(fetching, 0, sizeof *fetching);
}

/* The folders that were made for this update last from here on: what is in them was synced. */
static covey_status sync_update(covey_agent *agent, covey_error *error) {
    char *folder = covey__agent_path(agent, "update");
    covey_status status = folder ? covey__folder_sync(agent->env, folder, error)
                                 : covey__no_memory(error, "a path", 0);
    covey__free(agent->env, folder);
    return status;
}

covey_status covey__agent_plan(covey_agent *agent, int64_t deadline_us, bool *done,
                               covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    *done = false;
    covey__fetching_free(agent);
    agent->authentic = false;
    bool surveyed = false;
    covey_status status = covey__agent_fault(agent, "agent.plan", error);
    if (!status) status = read_release(agent, error);
    if (!status) status = choose_variant(agent, error);
    if (!status) covey__aside_keep(agent, fetching->digest);
    if (!status) status = covey__aside_take(agent, fetching->digest, error);
    if (!status) status = read_manifest(agent, error);
    if (!status) status = check_needs(agent, error);
    if (!status) status = covey__agent_keys_fetch(agent, fetching->manifest, error);
    if (!status) status = read_indexes(agent, error);
    if (!status) status = sync_update(agent, error);
    if (!status) status = covey__survey_step(agent, deadline_us, &surveyed, error);
    if (!status && !surveyed) {
        covey__fetching_free(agent); /* what was read so far is read again: it is little */
        return COVEY_OK;
    }
    if (!status) status = covey__sources_find(agent, error);
    for (size_t i = 0; !status && i < fetching->manifest->component_count; i++) {
        status = covey__chunk_plan_make(agent->env, fetching->indexes[i], fetching->sources,
                                        fetching->source_count, &fetching->plans[i], error);
    }
    if (!status) status = covey__ways_plan(agent, error);
    fetching->room_bytes = covey__ways_room(agent);
    if (status) {
        covey__fetching_free(agent);
        return covey__prefix(error, status, "plan");
    }
    fetching->started_us = covey__monotonic_us();
    fetching->ready = true;
    *done = true;
    return COVEY_OK;
}

/* The user's settings. While they cannot be read nothing is fetched, since they may forbid it; that
 * says nothing against the release. */
covey_status covey__agent_policy(const covey_agent *agent, covey__policy *policy,
                                 covey_error *error) {
    covey_error why = {0};
    covey__buffer text;
    covey__policy_init(policy);
    covey__buffer_init(&text, agent->env, COVEY__POLICY_BYTES_MAX);
    char *path = covey__agent_path(agent, "policy.json");
    bool is_there = false;
    covey_status status = path ? covey__file_find(agent->env, path, &is_there, &why)
                               : covey__no_memory(&why, "a path", 0);
    if (!status && is_there) {
        status = covey__file_read(agent->env, path, &text, &why);
        if (!status)
            status = covey__policy_parse(agent->env, text.data ? text.data : "", text.size, policy,
                                         &why);
    }
    covey__free(agent->env, path);
    covey__buffer_free(&text);
    if (!status) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_BUSY, "updates wait until policy.json can be read: %s",
                       why.message);
}

covey_status covey__agent_may_fetch(covey_agent *agent, covey_error *error) {
    covey__policy policy;
    covey__policy_decision decision;
    covey_device_facts facts = {.size = sizeof facts};
    covey_status status = covey__agent_policy(agent, &policy, error);
    if (!status) status = covey__ways_budget(agent, error);
    if (!status) status = covey_device_read(agent->runtime, agent->state_dir, &facts, error);
    if (status) return status;
    covey__policy_may_fetch(&policy, &facts, agent->fetching.bytes_total, &decision);
    if (!decision.allowed)
        return covey__fail(error, COVEY_ERROR_BUSY, "%s (%s)", decision.reason, decision.rule);
    return covey__space_check(agent, error);
}
