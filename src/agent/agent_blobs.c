/* Where the agent's blobs come from: the download engine with the mirrors that the control plane
 * and the user name, the user's ceiling on rate, and parts in update/. The engine and its
 * connections live as long as an update does; what is under way stays so between steps.
 *
 * Neighbours: agent_download.h is the engine; agent_fetch.c feeds it with chunks, agent_plan.c asks
 * for documents here. */
#include "agent/agent_blobs.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_US INT64_C(120000000) /* for a document, outside of an update's phases */

static void on_note(void *user, const char *mirror, const char *message) {
    covey_agent *agent = user;
    covey__agent_blobs *blobs = &agent->blobs;
    for (int32_t i = 0; i < blobs->mirrors.count; i++) {
        uint32_t bit = UINT32_C(1) << i;
        if (strcmp(blobs->mirrors.list[i].url, mirror) != 0 || blobs->noted & bit) continue;
        blobs->noted |= bit; /* once an update; the log has each */
        covey__printable(message, strlen(message), blobs->note, sizeof blobs->note);
    }
}

covey_status covey__agent_tell_notes(covey_agent *agent, covey_error *error) {
    char release[132];
    covey__agent_actions actions;
    covey__agent_event_in event = {.kind = COVEY__EVENT_NOTED, .message = agent->blobs.note};
    if (!agent->blobs.note[0]) return COVEY_OK;
    covey__agent_release(agent, release);
    covey_status status = covey__agent_event(agent, &event, &actions, error);
    covey__agent_tell(agent, COVEY_AGENT_EVENT_DAMAGED,
                      covey__phase_name(agent->state.update.phase), release, 0, 0, "%s",
                      agent->blobs.note);
    agent->blobs.note[0] = 0;
    return status;
}

/* ---- Mirrors ----------------------------------------------------------------------------------
 */

static bool same_addresses(const covey__mirrors *a, const covey__mirrors *b) {
    if (a->count != b->count) return false;
    for (int32_t i = 0; i < a->count; i++)
        if (strcmp(a->list[i].url, b->list[i].url) != 0) return false;
    return true;
}

/* The user's mirror, then the control plane's in an order of this device's own, so that a fleet
 * spreads over them, then the control plane itself. */
static void list_mirrors(const covey_agent *agent, const covey__policy *policy,
                         covey__mirrors *mirrors) {
    const covey__agent_state *state = &agent->state;
    uint32_t start = 0;
    mirrors->count = 0;
    if (policy->update_mirror[0])
        covey__mirrors_add(mirrors, policy->update_mirror, COVEY__MIRROR_USERS);
    for (const char *at = state->device_id; *at; at++) start = start * 31 + (uint8_t)*at;
    for (int32_t i = 0; i < state->mirror_count; i++) {
        int32_t next = (int32_t)((start + (uint32_t)i) % (uint32_t)state->mirror_count);
        covey__mirrors_add(mirrors, state->mirrors[next], COVEY__MIRROR_NAMED);
    }
    covey__mirrors_add(mirrors, state->blobs_url, COVEY__MIRROR_ORIGIN);
}

/* What is known of an address stays when the list changes. */
static void take_mirrors(covey_agent *agent, const covey__mirrors *next) {
    covey__agent_blobs *blobs = &agent->blobs;
    covey__mirrors before = blobs->mirrors;
    if (same_addresses(&before, next)) return;
    covey__agent_blobs_stop(agent);
    blobs->mirrors = *next;
    blobs->noted = 0;
    for (int32_t i = 0; i < next->count; i++)
        for (int32_t k = 0; k < before.count; k++)
            if (!strcmp(next->list[i].url, before.list[k].url)) {
                covey__mirror_tier tier = next->list[i].tier;
                blobs->mirrors.list[i] = before.list[k];
                blobs->mirrors.list[i].tier = tier;
                blobs->mirrors.list[i].in_flight = 0;
            }
}

/* ---- The engine -------------------------------------------------------------------------------
 */

covey_status covey__agent_downloads(covey_agent *agent, covey__download **download,
                                    covey_error *error) {
    covey__agent_blobs *blobs = &agent->blobs;
    covey__policy policy;
    covey__mirrors mirrors;
    covey_status status = COVEY_OK;
    /* Whether anything may be fetched at all is not asked here: statements arrive in any case. */
    if (covey__agent_policy(agent, &policy, NULL)) covey__policy_init(&policy);
    list_mirrors(agent, &policy, &mirrors);
    take_mirrors(agent, &mirrors);
    covey__rate_set(&blobs->rate, policy.update_rate_bytes_per_second_max);
    if (!blobs->download) {
        char *folder = covey__agent_path(agent, "update");
        if (!folder) return covey__no_memory(error, "a path", 0);
        covey__download_options options = {.partial_folder = folder,
                                           .mirrors = &blobs->mirrors,
                                           .rate = &blobs->rate,
                                           .stop = &agent->interrupted,
                                           .note = on_note,
                                           .note_user = agent};
        status = covey__download_new(agent->env, &options, &blobs->download, error);
        covey__free(agent->env, folder);
    }
    *download = blobs->download;
    return status;
}

void covey__agent_blobs_stop(covey_agent *agent) {
    covey__agent_blobs *blobs = &agent->blobs;
    if (blobs->download) covey__download_stop(blobs->download);
    covey__files_rewind(agent);
    covey__free(agent->env, blobs->content);
    blobs->content = NULL;
    blobs->asked = false;
}

void covey__agent_blobs_free(covey_agent *agent) {
    covey__agent_blobs_stop(agent);
    covey__download_free(agent->blobs.download);
    agent->blobs.download = NULL;
    agent->blobs.noted = 0;
    covey__agent_hang_up(agent);
}

/* ---- One blob ---------------------------------------------------------------------------------
 */

/* Kept by the agent, since the step that asked for it may be over. */
static covey_status take_blob(void *user, const covey__download_item *item, const void *data,
                              covey_error *error) {
    covey_agent *agent = user;
    covey__agent_blobs *blobs = &agent->blobs;
    covey__free(agent->env, blobs->content);
    blobs->content = covey__alloc(agent->env, (size_t)item->size);
    if (!blobs->content) return covey__no_memory(error, "a blob", (size_t)item->size);
    memcpy(blobs->content, data, (size_t)item->size);
    return COVEY_OK;
}

static covey_status ask_for_blob(covey_agent *agent, covey__download *download,
                                 const uint8_t sha256[32], uint64_t size, covey_error *error) {
    covey__agent_blobs *blobs = &agent->blobs;
    covey__download_item item = {.size = size, .take = take_blob, .user = agent};
    if (blobs->asked && !memcmp(blobs->sha256, sha256, 32) &&
        (blobs->content || covey__download_has(download, sha256)))
        return COVEY_OK;
    covey__agent_blobs_stop(agent);
    memcpy(item.sha256, sha256, 32);
    memcpy(blobs->sha256, sha256, 32);
    covey_status status = covey__download_add(download, &item, error);
    blobs->asked = !status;
    return status;
}

covey_status covey__agent_get_blob(covey_agent *agent, const uint8_t sha256[32], uint64_t size,
                                   covey__buffer *out, covey_error *error) {
    static const uint8_t of_nothing[32] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                                           0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                                           0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                                           0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
    covey__agent_blobs *blobs = &agent->blobs;
    covey__download *download = NULL;
    bool done = false;
    int64_t deadline_us = agent->deadline_us;
    if (!deadline_us) deadline_us = covey__monotonic_us() + PATIENCE_US;
    agent->out_of_time = false;
    if (!size && !memcmp(sha256, of_nothing, 32)) return COVEY_OK;
    if (!size || size > out->size_max || size > COVEY__DOWNLOAD_WHOLE_MAX)
        return covey__fail(error, COVEY_ERROR_LIMIT, "a blob of %" PRIu64 " bytes", size);
    covey_status status = covey__agent_downloads(agent, &download, error);
    if (!status) status = ask_for_blob(agent, download, sha256, size, error);
    if (!status && !blobs->content)
        status = covey__download_run(download, deadline_us, COVEY__DOWNLOAD_ALL, &done, error);
    if (covey__agent_tell_notes(agent, NULL))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot report what a mirror did");
    if (status) {
        if (download) agent->retry_after_ms = covey__download_count(download).retry_after_ms;
        covey__agent_blobs_stop(agent);
        return status;
    }
    if (!blobs->content) { /* it stays under way: the next step asks again */
        agent->out_of_time = true;
        return covey__fail(error, COVEY_ERROR_CANCELLED, "it is still under way");
    }
    (void)covey__buffer_append(out, blobs->content, (size_t)size);
    covey__free(agent->env, blobs->content);
    blobs->content = NULL;
    blobs->asked = false;
    return covey__buffer_check(out, error, "a blob");
}
