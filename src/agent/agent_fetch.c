/* Files chunk by chunk, several chunks under way at once. A file is made at its full size and
 * filled, from files here or from the network, in whatever order chunks arrive. Nothing is noted
 * down on the way: a process that starts again reads what is there, and a chunk whose digest is
 * right is done. So no record can disagree with the disk. What broke off in the middle of a chunk
 * is kept beside it and asked for from there on (download_partial.c).
 *
 * The user's settings and the device's facts are looked at all the time: a network that becomes
 * metered ends the fetch, and says so. */
#include "agent/agent_blobs.h"
#include "agent/agent_files.h"
#include "agent/agent_ways.h"

#include "base/error.h"
#include "base/file_cache.h"
#include "base/file_space.h"
#include "base/sha256.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_BYTES (256u << 10)
#define PROGRESS_US    500000
#define LOOK_BYTES     (4u << 20) /* between two looks at the settings, or ... */
#define LOOK_US        1000000
#define LOCAL_US       5000 /* of work here between two looks at the network */

/* Its room was reserved before the first byte, or is now: a full disk does not show in the middle.
 */
static covey_status open_file(covey__fetch_file *file, covey_error *error) {
    const covey__env *env = file->agent->env;
    bool promised;
    if (file->component != COVEY__NO_COMPONENT)
        return covey__space_open(file->agent, file->component, &file->descriptor, error);
    covey_status status =
        covey__file_open(env, file->path, O_RDWR | O_CREAT, 0600, &file->descriptor, error);
    if (!status)
        status =
            covey__file_reserve(env, file->descriptor, file->path, file->size, &promised, error);
    if (!status)
        status = covey__file_truncate(env, file->descriptor, file->path, file->size, error);
    if (status && file->descriptor >= 0) {
        close(file->descriptor);
        file->descriptor = -1;
    }
    return status;
}

static covey_status finish_file(covey__fetch_file *file, covey_error *error) {
    const covey__env *env = file->agent->env;
    covey_status status = covey__file_sync(env, file->descriptor, file->path, error);
    if (!status) covey__file_forget(file->descriptor, 0, 0); /* it is read once more, much later */
    /* After a failed fsync the system's memory may show bytes that never reached the disk. */
    if (status && covey__file_truncate(env, file->descriptor, file->path, 0, NULL))
        covey__log(env, COVEY_LOG_WARN, "agent", "cannot empty a file that failed to sync");
    close(file->descriptor);
    file->descriptor = -1;
    file->done = !status;
    return status;
}

/* ---- Chunks -----------------------------------------------------------------------------------
 */

static bool chunk_is_here(const covey__fetch_file *file, const covey__chunk *chunk,
                          uint8_t *content) {
    uint8_t digest[32];
    if (covey__file_read_passing(file->agent->env, file->descriptor, file->path, chunk->offset,
                                 content, chunk->size, NULL))
        return false;
    covey__sha256_of(content, chunk->size, digest);
    return !memcmp(digest, chunk->sha256, 32);
}

static covey_status write_range(covey__fetch_file *file, uint64_t offset, const void *content,
                                uint64_t size, covey_error *error) {
    const covey__env *env = file->agent->env;
    if (!size) return COVEY_OK;
    covey_status status = covey__file_write_at(env, file->descriptor, file->path, offset, content,
                                               (size_t)size, error);
    if (status) return status;
    return covey__flush_written(env, &file->flush, file->descriptor, file->path, offset, size,
                                error);
}

static covey_status write_chunk(covey__fetch_file *file, const covey__chunk *chunk,
                                const void *content, covey_error *error) {
    return write_range(file, chunk->offset, content, chunk->size, error);
}

/* A chunk that stands in a file here: as far as it covers whole blocks, both files may share them.
 */
static covey_status write_planned(covey__fetch_file *file, const covey__chunk *chunk,
                                  const uint8_t *content, covey_error *error) {
    covey__fetching *fetching = &file->agent->fetching;
    uint64_t from = chunk->offset, to = from, end = from + chunk->size;
    covey_status status =
        covey__chunk_plan_share(file->plan, file->next, file->descriptor, file->path,
                                fetching->block_bytes, &from, &to, error);
    fetching->bytes_shared += to - from;
    if (!status) status = write_range(file, chunk->offset, content, from - chunk->offset, error);
    if (!status) status = write_range(file, to, content + (to - chunk->offset), end - to, error);
    return status;
}

/* Also where the same content stands again: it is fetched once. */
static covey_status write_everywhere(covey__fetch_file *file, size_t which, const void *content,
                                     covey_error *error) {
    const covey__chunk_index *index = file->index;
    const covey__chunk *chunk = &index->chunks[which];
    covey_status status = write_chunk(file, chunk, content, error);
    for (size_t i = which + 1; !status && i < index->chunk_count; i++)
        if (!memcmp(index->chunks[i].sha256, chunk->sha256, 32))
            status = write_chunk(file, &index->chunks[i], content, error);
    return status;
}

/* A chunk arrived, with the bytes that its blob's name says. */
static covey_status take_chunk(void *user, const covey__download_item *item, const void *data,
                               covey_error *error) {
    covey__fetch_file *file = user;
    const covey__env *env = file->agent->env;
    const covey__chunk *chunk = &file->index->chunks[item->tag];
    covey_status status = COVEY_OK;
    if (chunk->stored_size == chunk->size) { /* stored as it is, under its content's own name */
        status = write_everywhere(file, item->tag, data, error);
    } else {
        uint8_t *content = covey__alloc(env, chunk->size);
        if (!content) return covey__no_memory(error, "a chunk", chunk->size);
        status = covey__chunk_decode(env, chunk, data, chunk->stored_size, content, error);
        if (!status) status = write_everywhere(file, item->tag, content, error);
        covey__free(env, content);
    }
    for (size_t i = 0; i < file->flying_count; i++)
        if (file->flying[i] == item->tag) {
            file->flying[i] = file->flying[--file->flying_count];
            break;
        }
    return status ? covey__prefix(error, status, "\"%s\"", file->name) : COVEY_OK;
}

/* Looks at the file's next chunk: it is here, or it can be made here, or it is asked for. `*full`:
 * something has to arrive first. */
static covey_status next_chunk(covey__fetch_file *file, covey__download *download, uint8_t *content,
                               bool *full, covey_error *error) {
    covey_agent *agent = file->agent;
    const covey__chunk *chunk = &file->index->chunks[file->next];
    bool planned = file->plan && file->plan->steps[file->next].source >= 0;
    covey_status status = covey__agent_fault(agent, "agent.fetch", error);
    if (status) return status;
    if (chunk_is_here(file, chunk, content)) {
        if (!planned) agent->fetching.bytes_kept += chunk->stored_size;
    } else if (planned && !covey__chunk_plan_read(file->plan, file->next, content, NULL)) {
        agent->fetching.bytes_local += chunk->size;
        status = write_planned(file, chunk, content, error);
    } else {
        *full = !covey__download_room(download) || covey__download_has(download, chunk->blob) ||
                file->flying_count == COVEY__DOWNLOAD_IN_FLIGHT;
        if (*full) return COVEY_OK;
        covey__download_item item = {
            .size = chunk->stored_size, .take = take_chunk, .user = file, .tag = file->next};
        memcpy(item.sha256, chunk->blob, 32);
        status = covey__download_add(download, &item, error);
        if (!status) file->flying[file->flying_count++] = file->next;
    }
    if (!status) file->next++;
    return status;
}

/* ---- Files ------------------------------------------------------------------------------------
 */

void covey__files_rewind(covey_agent *agent) {
    covey__agent_blobs *blobs = &agent->blobs;
    for (size_t i = blobs->file_count; i-- > 0;) {
        covey__fetch_file *file = &blobs->files[i];
        for (size_t k = 0; k < file->flying_count; k++)
            if (file->flying[k] < file->next) file->next = file->flying[k];
        if (file->flying_count && *blobs->file > i) *blobs->file = i;
        file->flying_count = 0;
    }
}

void covey__files_close(covey_agent *agent, covey__fetch_file *files, size_t count) {
    covey__agent_blobs *blobs = &agent->blobs;
    if (blobs->files == files) {
        covey__agent_blobs_stop(agent);
        blobs->files = NULL;
        blobs->file_count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (files[i].descriptor >= 0) close(files[i].descriptor);
        covey__free(agent->env, files[i].path);
    }
}

/* Syncs the files that are whole. */
static covey_status finish_files(covey__fetch_file *files, size_t count, covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; !status && i < count; i++) {
        covey__fetch_file *file = &files[i];
        if (file->done || file->flying_count || file->descriptor < 0 ||
            file->next < file->index->chunk_count)
            continue;
        status = finish_file(file, error);
        if (status) covey__prefix(error, status, "\"%s\"", file->name);
    }
    return status;
}

/* Goes over the chunks until something has to arrive, a while has passed, or the last one. */
static covey_status walk(covey__fetch_file *files, size_t count, size_t *at,
                         covey__download *download, uint8_t *content, int64_t until_us, bool *full,
                         covey_error *error) {
    covey_status status = COVEY_OK;
    *full = false;
    while (!status && !*full && *at < count) {
        covey__fetch_file *file = &files[*at];
        if (!file->done && file->descriptor < 0) status = open_file(file, error);
        if (status) break;
        if (file->done || file->next == file->index->chunk_count) {
            ++*at;
            continue;
        }
        status = next_chunk(file, download, content, full, error);
        if (status) covey__prefix(error, status, "\"%s\"", file->name);
        if (covey__monotonic_us() >= until_us) break;
    }
    return status;
}

/* ---- What is told, and what may end it --------------------------------------------------------
 */

static void count_bytes(covey_agent *agent, const covey__download *download) {
    covey__agent_blobs *blobs = &agent->blobs;
    covey__download_counts counts = covey__download_count(download);
    uint64_t useful = counts.useful_bytes;
    agent->fetching.bytes_done = useful > blobs->useful_before ? useful - blobs->useful_before : 0;
}

static void tell_progress(covey_agent *agent, const covey__download *download, bool now) {
    covey__agent_blobs *blobs = &agent->blobs;
    covey__fetching *fetching = &agent->fetching;
    char release[132];
    int64_t now_us = covey__monotonic_us();
    count_bytes(agent, download);
    uint64_t done = fetching->bytes_done + fetching->bytes_kept +
                    covey__download_count(download).kept_bytes - blobs->kept_before;
    if (done > fetching->bytes_total) done = fetching->bytes_total; /* what came twice */
    covey__progress_update(&blobs->progress, done, fetching->bytes_total,
                           blobs->rate.bytes_per_second_max, now_us, &blobs->bytes_per_second,
                           &blobs->left_ms);
    bool due = done >= blobs->told_bytes + PROGRESS_BYTES || now_us >= blobs->told_us + PROGRESS_US;
    if (!now && !due) return;
    blobs->told_bytes = done;
    blobs->told_us = now_us;
    covey__agent_release(agent, release);
    covey__agent_tell(agent, COVEY_AGENT_EVENT_PROGRESS, "fetch", release, done,
                      fetching->bytes_total, "fetching");
}

/* The settings and the device's facts may change while bytes come. */
static covey_status look_around(covey_agent *agent, covey_error *error) {
    covey__agent_blobs *blobs = &agent->blobs;
    int64_t now_us = covey__monotonic_us();
    uint64_t bytes = agent->fetching.bytes_done;
    if (now_us < blobs->looked_us + LOOK_US && bytes < blobs->looked_bytes + LOOK_BYTES)
        return COVEY_OK;
    covey__download *same;
    covey_status status = covey__agent_may_fetch(agent, error);
    if (!status) status = covey__agent_downloads(agent, &same, error);
    blobs->looked_us = covey__monotonic_us();
    blobs->looked_bytes = bytes;
    return status;
}

/* ---- The whole --------------------------------------------------------------------------------
 */

static void begin(covey_agent *agent, covey__fetch_file *files, size_t count, size_t *at,
                  const covey__download *download) {
    covey__agent_blobs *blobs = &agent->blobs;
    covey__download_counts counts = covey__download_count(download);
    if (blobs->files == files) return;
    blobs->files = files;
    blobs->file_count = count;
    blobs->file = at;
    blobs->useful_before = counts.useful_bytes - agent->fetching.bytes_done;
    blobs->kept_before = counts.kept_bytes;
    blobs->told_bytes = blobs->looked_bytes = 0;
    blobs->looked_us = covey__monotonic_us();
    covey__progress_init(&blobs->progress);
}

static covey_status go_on(covey_agent *agent, covey__fetch_file *files, size_t count, size_t *at,
                          covey__download *download, int64_t deadline_us, uint8_t *content,
                          bool *done, covey_error *error) {
    covey_status status = COVEY_OK;
    while (!status && !*done) {
        bool full, arrived = false;
        status = walk(files, count, at, download, content, covey__monotonic_us() + LOCAL_US, &full,
                      error);
        bool last = *at == count;
        /* One place more than are free: what it waits for may be on its way for another file while
         * there is room, and without a wait for it nothing would move. */
        size_t room = last ? COVEY__DOWNLOAD_ALL : covey__download_room(download) + 1;
        if (!status)
            status = covey__download_run(download, full || last ? deadline_us : 0, room, &arrived,
                                         error);
        if (!status) status = finish_files(files, count, error);
        tell_progress(agent, download, false);
        if (!status) status = look_around(agent, error);
        *done = !status && arrived && last && *at == count;
        if (covey__monotonic_us() >= deadline_us) break;
    }
    return status;
}

covey_status covey__files_fetch(covey_agent *agent, covey__fetch_file *files, size_t count,
                                size_t *at, int64_t deadline_us, bool *done, covey_error *error) {
    covey__download *download = NULL;
    *done = false;
    covey_status status = covey__agent_downloads(agent, &download, error);
    if (status) return status;
    begin(agent, files, count, at, download);
    uint8_t *content = covey__alloc(agent->env, COVEY__CHUNK_BYTES_MAX);
    if (!content) return covey__no_memory(error, "a chunk", COVEY__CHUNK_BYTES_MAX);
    status = go_on(agent, files, count, at, download, deadline_us, content, done, error);
    covey__free(agent->env, content);
    if (!status) return covey__agent_tell_notes(agent, error);
    count_bytes(agent, download);
    agent->retry_after_ms = covey__download_count(download).retry_after_ms;
    covey__agent_blobs_stop(agent);
    if (covey__agent_tell_notes(agent, NULL))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot report what a mirror did");
    return status;
}

static covey_status list_files(covey_agent *agent, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    size_t count = fetching->manifest->component_count;
    covey__fetch_file *files = covey__calloc(agent->env, count, sizeof *files);
    if (!files) return covey__no_memory(error, "the list of components", count);
    for (size_t i = 0; i < count; i++) files[i].descriptor = -1;
    fetching->files = files;
    fetching->file_count = count;
    fetching->file = 0;
    for (size_t i = 0; i < count; i++) {
        const covey__component *component = &fetching->manifest->components[i];
        files[i].agent = agent;
        files[i].component = i;
        files[i].name = component->file;
        files[i].size = component->size;
        files[i].index = fetching->indexes[i];
        files[i].plan = fetching->plans[i];
        files[i].path = covey__agent_path(agent, "update/%s/%s", fetching->digest, component->file);
        if (!files[i].path) return covey__no_memory(error, "a path", 0);
    }
    return COVEY_OK;
}

covey_status covey__agent_fetch(covey_agent *agent, int64_t deadline_us, bool *done,
                                covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    *done = false;
    covey_status status = COVEY_OK;
    bool planned = fetching->ready;
    if (!planned) status = covey__agent_plan(agent, deadline_us, &planned, error);
    if (!status && !planned) return COVEY_OK; /* the look through the files here goes on */
    if (!status) status = covey__agent_may_fetch(agent, error);
    bool again = false;
    if (!status && !fetching->reserved) status = covey__space_reserve(agent, &again, error);
    if (!status && again) return COVEY_OK; /* planned once more, without what was given up */
    bool patched = false;
    if (!status) status = covey__patches_step(agent, deadline_us, &patched, error);
    if (!status && !patched) return COVEY_OK;
    if (!status && !fetching->files) status = list_files(agent, error);
    if (!status)
        status = covey__files_fetch(agent, fetching->files, fetching->file_count, &fetching->file,
                                    deadline_us, done, error);
    if (status) return covey__prefix(error, status, "fetch");
    if (*done) tell_progress(agent, agent->blobs.download, true);
    return COVEY_OK;
}
