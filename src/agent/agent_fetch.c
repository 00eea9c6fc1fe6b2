/* Chunks into files. A component's file is made at its full size and filled chunk by chunk, from
 * files here or from the network. Nothing is noted down on the way: a process that starts again
 * reads what is there, and a chunk whose digest is right is done. So no record can disagree with
 * the disk. What broke off in the middle of a chunk is kept in update/partial and asked for from
 * there on. */
#include "agent/agent_files.h"

#include "base/error.h"
#include "base/sha256.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_STEP (256u << 10)

static bool chunk_is_here(covey_agent *agent, const covey__chunk *chunk, uint8_t *content) {
    uint8_t digest[32];
    if (covey__file_read_at(agent->env, agent->fetching.descriptor, "", chunk->offset, content,
                            chunk->size, NULL))
        return false;
    covey__sha256_of(content, chunk->size, digest);
    return !memcmp(digest, chunk->sha256, 32);
}

/* What a broken exchange left of this very blob. */
static void partial_load(covey_agent *agent, const char *path, const covey__chunk *chunk,
                         covey__buffer *stored) {
    covey__buffer text;
    covey__buffer_init(&text, agent->env, COVEY__CHUNK_BYTES_MAX + 32);
    if (covey__file_exists(path) && !covey__file_read(agent->env, path, &text, NULL) &&
        text.size > 32 && !memcmp(text.data, chunk->blob, 32) &&
        text.size - 32 < chunk->stored_size)
        covey__buffer_append(stored, text.data + 32, text.size - 32);
    covey__buffer_free(&text);
}

static void partial_save(covey_agent *agent, const char *path, const covey__chunk *chunk,
                         const covey__buffer *stored) {
    covey__buffer text;
    if (!stored->size || stored->size >= chunk->stored_size) return;
    covey__buffer_init(&text, agent->env, COVEY__CHUNK_BYTES_MAX + 32);
    covey__buffer_append(&text, chunk->blob, 32);
    covey__buffer_append(&text, stored->data, stored->size);
    if (!text.status && covey__file_replace(agent->env, path, text.data, text.size, NULL))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot keep a part of a chunk");
    covey__buffer_free(&text);
}

/* One chunk over the network, from where an earlier try broke off. A chunk that comes wrong is
 * asked for once more. */
static covey_status chunk_from_network(covey_agent *agent, const covey__chunk *chunk,
                                       uint8_t *content, covey_error *error) {
    covey__buffer stored;
    covey__buffer_init(&stored, agent->env, COVEY__CHUNK_BYTES_MAX);
    char *path = covey__agent_path(agent, "update/partial");
    if (!path) return covey__no_memory(error, "a path", 0);
    partial_load(agent, path, chunk, &stored);
    covey_status status = COVEY_OK;
    for (int attempt = 0; attempt < 2; attempt++) {
        uint64_t first = stored.size;
        status = covey__agent_get_range(agent, chunk->blob, first, &stored, error);
        if (status) {
            if (status == COVEY_ERROR_NETWORK || status == COVEY_ERROR_TIMEOUT)
                partial_save(agent, path, chunk, &stored);
            if (status != COVEY_ERROR_REMOTE || !first) break;
            covey__buffer_clear(&stored); /* it may be the range that the server does not like */
            continue;
        }
        agent->fetching.bytes_done += stored.size > first ? stored.size - first : 0;
        status = covey__chunk_decode(agent->env, chunk, stored.data, stored.size, content, error);
        if (status != COVEY_ERROR_MISMATCH && status != COVEY_ERROR_FORMAT) break;
        covey__buffer_clear(&stored);
    }
    covey__free(agent->env, path);
    covey__buffer_free(&stored);
    return status;
}

static covey_status one_chunk(covey_agent *agent, uint8_t *content, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    const covey__chunk *chunk = &fetching->indexes[fetching->component]->chunks[fetching->chunk];
    covey_status status = covey__agent_fault(agent, "agent.fetch", error);
    if (status) return status;
    if (chunk_is_here(agent, chunk, content)) return COVEY_OK;
    if (!covey__chunk_plan_read(fetching->plans[fetching->component], fetching->chunk, content,
                                NULL))
        fetching->bytes_local += chunk->size;
    else
        status = chunk_from_network(agent, chunk, content, error);
    if (!status)
        status = covey__file_write_at(agent->env, fetching->descriptor, "the component",
                                      chunk->offset, content, chunk->size, error);
    return status;
}

static covey_status finish_component(covey_agent *agent, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    covey_status status =
        covey__file_sync(agent->env, fetching->descriptor, "the component", error);
    /* After a failed fsync the system's memory may show bytes that never reached the disk. */
    if (status && covey__file_truncate(agent->env, fetching->descriptor, "the component", 0, NULL))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot empty a file that failed to sync");
    close(fetching->descriptor);
    fetching->descriptor = -1;
    if (status) return status;
    fetching->component++;
    fetching->chunk = 0;
    return COVEY_OK;
}

covey_status covey__agent_fetch(covey_agent *agent, int64_t deadline_us, bool *done,
                                covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    char release[132];
    uint64_t told = 0;
    *done = false;
    covey_status status = COVEY_OK;
    bool planned = fetching->ready;
    if (!planned) status = covey__agent_plan(agent, deadline_us, &planned, error);
    if (!status && !planned) return COVEY_OK; /* the look through the files here goes on */
    if (!status) status = covey__agent_may_fetch(agent, error);
    bool again = false;
    if (!status && !fetching->reserved) status = covey__space_reserve(agent, &again, error);
    if (status || again) return status;
    covey__agent_release(agent, release);
    uint8_t *content = covey__alloc(agent->env, COVEY__CHUNK_BYTES_MAX);
    if (!content) return covey__no_memory(error, "a chunk", COVEY__CHUNK_BYTES_MAX);
    while (!status && fetching->component < fetching->manifest->component_count) {
        if (fetching->descriptor < 0)
            status = covey__space_open(agent, fetching->component, &fetching->descriptor, error);
        if (status) break;
        if (fetching->chunk == fetching->indexes[fetching->component]->chunk_count) {
            status = finish_component(agent, error);
            continue;
        }
        status = one_chunk(agent, content, error);
        if (status) break;
        fetching->chunk++;
        if (fetching->bytes_done >= told + PROGRESS_STEP) {
            told = fetching->bytes_done;
            covey__agent_tell(agent, COVEY_AGENT_EVENT_PROGRESS, "fetch", release, told,
                              fetching->bytes_total, "fetching");
        }
        if (covey__monotonic_us() >= deadline_us) break;
    }
    covey__free(agent->env, content);
    if (status) {
        const covey__component *component = &fetching->manifest->components[fetching->component];
        return covey__prefix(error, status, "fetch: component \"%s\"", component->file);
    }
    *done = fetching->component == fetching->manifest->component_count;
    covey__agent_tell(agent, COVEY_AGENT_EVENT_PROGRESS, "fetch", release, fetching->bytes_done,
                      fetching->bytes_total, *done ? "fetched" : "fetching");
    return COVEY_OK;
}
