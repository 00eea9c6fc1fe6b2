/* Patches into files. The way of a component may be one patch or two: the first begins with a file
 * of an installed ensemble, the second with what the first made, which lies in update/between
 * meanwhile. A patch is fetched by its chunks, each verified before the decoder sees it, and
 * applied as they come: a chunk and a frame are in memory.
 *
 * Invariants: the base is hashed before anything is fetched, and nothing is written over it. What
 * is written counts for nothing: the chunk pass behind this one reads every byte of it, and the
 * phase `verify` again. No record says how far it came: after a break the head, which is kept in
 * update/N.S.head, is fed again, and the new file itself tells where to go on. A patch that is not
 * what was signed, does not fit, or is not there is given up once for this update; the way is then
 * chosen anew, and the machine reports it.
 *
 * Neighbours: agent_ways.c chose; delta/patch.h decodes; agent_fetch.c does what is left. */
#include "agent/agent_files.h"
#include "agent/agent_ways.h"

#include "base/error.h"
#include "base/file_cache.h"
#include "base/file_space.h"
#include "base/sha256.h"
#include "delta/patch.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRANSFER_TRIES 3 /* failures in a row, of a line that works, after which it is given up */
#define PIECE_BYTES    (1u << 20)

typedef enum job_phase { JOB_BASE, JOB_INDEX, JOB_OPEN, JOB_BODY } job_phase;

struct covey__patch_job {
    size_t component;
    uint32_t step; /* 1: the second of a chain */
    job_phase phase;
    const covey__patch_edge *edge;
    char *base_path, *new_path, *head_path;
    covey__patch_file base, made;
    covey__sha256 hash; /* of the base, up to base_at */
    uint64_t base_at;
    covey__chunk_index *index; /* of the patch file */
    covey__patch_apply *apply;
    uint64_t head_size;       /* of the patch; 0 until it is known */
    uint8_t *content;         /* of one chunk */
    const covey__chunk *held; /* whose it is; NULL: nobody's */
    bool fetched;             /* what fails from here on is the patch, and not its transfer */
};

static void job_free(covey_agent *agent, covey__patch_job *job) {
    if (!job) return;
    covey__patch_apply_close(job->apply);
    covey__chunk_index_free(job->index);
    if (job->base.descriptor >= 0) close(job->base.descriptor);
    if (job->made.descriptor >= 0) close(job->made.descriptor);
    covey__free(agent->env, job->base_path);
    covey__free(agent->env, job->new_path);
    covey__free(agent->env, job->head_path);
    covey__free(agent->env, job->content);
    covey__free(agent->env, job);
}

void covey__patch_job_free(covey_agent *agent) {
    covey__ways *ways = agent->fetching.ways;
    if (!ways) return;
    job_free(agent, ways->job);
    ways->job = NULL;
}

static bool is_wanted(const covey_agent *agent, size_t component) {
    const covey__ways *ways = agent->fetching.ways;
    return ways && component < ways->count && !ways->list[component].made &&
           ways->list[component].path.way >= COVEY__WAY_PATCH;
}

/* ---- Beginning --------------------------------------------------------------------------------
 */

static covey_status job_new(covey_agent *agent, size_t component, uint32_t step,
                            covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    const covey__way *way = &fetching->ways->list[component];
    bool last = step == 1 || way->path.way == COVEY__WAY_PATCH;
    covey__patch_job *job = covey__calloc(agent->env, 1, sizeof *job);
    if (!job) return covey__no_memory(error, "a patch", sizeof *job);
    job->component = component;
    job->step = step;
    job->edge = way->edges[step];
    job->base.descriptor = job->made.descriptor = -1;
    job->base_path = step ? covey__agent_path(agent, "update/between")
                          : covey__strdup(agent->env, way->sources[0] ? way->sources[0] : "");
    job->new_path = last ? covey__agent_path(agent, "update/%s/%s", fetching->digest,
                                             fetching->manifest->components[component].file)
                         : covey__agent_path(agent, "update/between");
    job->head_path = covey__agent_path(agent, "update/%zu.%u.head", component, (unsigned)step);
    job->content = covey__alloc(agent->env, COVEY__CHUNK_BYTES_MAX);
    covey__sha256_init(&job->hash);
    fetching->ways->job = job;
    if (!job->base_path || !job->new_path || !job->head_path || !job->content)
        return covey__no_memory(error, "a patch", COVEY__CHUNK_BYTES_MAX);
    return COVEY_OK;
}

/* The base's bytes against its digest, a piece at a time. */
static covey_status check_base(covey_agent *agent, covey__patch_job *job, covey_error *error) {
    uint8_t digest[32];
    uint64_t size = 0;
    covey_status status = COVEY_OK;
    if (job->base.descriptor < 0) {
        status = covey__agent_fault(agent, "agent.patch-base", error);
        job->base.env = agent->env;
        job->base.path = job->base_path;
        job->base.passing = true;
        if (!status)
            status = covey__file_open(agent->env, job->base_path, O_RDONLY | O_CLOEXEC, 0,
                                      &job->base.descriptor, error);
        if (!status) status = covey__file_size(agent->env, job->base_path, &size, error);
        if (!status && size != job->edge->from.size)
            status = covey__fail(error, COVEY_ERROR_MISMATCH,
                                 "the base has %" PRIu64 " bytes, %" PRIu64 " are expected", size,
                                 job->edge->from.size);
        if (status) return status;
    }
    uint64_t left = job->edge->from.size - job->base_at;
    size_t piece = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    status = covey__file_read_passing(agent->env, job->base.descriptor, job->base_path,
                                      job->base_at, job->content, piece, error);
    if (status) return status;
    covey__sha256_update(&job->hash, job->content, piece);
    job->base_at += piece;
    if (job->base_at < job->edge->from.size) return COVEY_OK;
    covey__sha256_final(&job->hash, digest);
    if (memcmp(digest, job->edge->from.sha256, 32))
        return covey__fail(error, COVEY_ERROR_MISMATCH, "the base here is damaged");
    job->phase = JOB_INDEX;
    return COVEY_OK;
}

static covey_status read_index(covey_agent *agent, covey__patch_job *job, covey_error *error) {
    covey__buffer bytes;
    covey__buffer_init(&bytes, agent->env, COVEY__INDEX_BYTES_MAX);
    char *path = covey__agent_path(agent, "update/%zu.%u.patch", job->component, job->step);
    bool here = false;
    covey_status status = path ? covey__file_find(agent->env, path, &here, error)
                               : covey__no_memory(error, "a path", 0);
    if (!status)
        status = covey__agent_stored_blob(agent, path, job->edge->index.sha256,
                                          job->edge->index.size, &bytes, error);
    if (!status && !here) {
        agent->fetching.bytes_done += bytes.size;
        agent->fetching.ways->patch_bytes += bytes.size;
        agent->fetching.ways->list[job->component].spent += bytes.size;
    }
    job->fetched = !status;
    if (!status)
        status = covey__chunk_index_parse(agent->env, bytes.data ? bytes.data : "", bytes.size,
                                          &job->index, error);
    if (!status) status = covey__patch_edge_check(job->edge, job->index, error);
    covey__free(agent->env, path);
    covey__buffer_free(&bytes);
    if (!status) job->phase = JOB_OPEN;
    return status;
}

/* The new file with room for all of it, and the decoder between the two. */
static covey_status open_both(covey_agent *agent, covey__patch_job *job, covey_error *error) {
    bool promised;
    covey__patch_apply_options options = {.old_sha256 = job->edge->from.sha256,
                                          .new_sha256 = job->edge->to.sha256};
    bool last =
        job->step == 1 || agent->fetching.ways->list[job->component].path.way == COVEY__WAY_PATCH;
    covey_status status = covey__agent_fault(agent, "agent.patch-open", error);
    job->made.env = agent->env;
    job->made.path = job->new_path;
    job->made.passing = true;
    if (!status && last) {
        status = covey__space_open(agent, job->component, &job->made.descriptor, error);
    } else if (!status) {
        status = covey__file_open(agent->env, job->new_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600,
                                  &job->made.descriptor, error);
        if (!status)
            status = covey__file_reserve(agent->env, job->made.descriptor, job->new_path,
                                         job->edge->to.size, &promised, error);
        if (!status) /* an earlier target may have left a longer one */
            status = covey__file_truncate(agent->env, job->made.descriptor, job->new_path,
                                          job->edge->to.size, error);
    }
    if (!status) status = covey__patch_file_source(&job->base, &options.old_file, error);
    if (status) return status;
    covey__patch_file_target(&job->made, &options.new_file);
    status = covey__patch_apply_open(agent->env, &options, &job->apply, error);
    if (!status) job->phase = JOB_BODY;
    return status;
}

/* ---- The body ---------------------------------------------------------------------------------
 */

/* The patch's chunk that holds the byte at `offset`; NULL behind the end. */
static const covey__chunk *chunk_at(const covey__chunk_index *index, uint64_t offset) {
    for (size_t i = 0; i < index->chunk_count; i++)
        if (offset < index->chunks[i].offset + index->chunks[i].size) return &index->chunks[i];
    return NULL;
}

static bool read_kept(covey_agent *agent, covey__patch_job *job, const covey__chunk *chunk) {
    uint8_t digest[32];
    int descriptor;
    if (covey__file_open(agent->env, job->head_path, O_RDONLY | O_CLOEXEC, 0, &descriptor, NULL))
        return false;
    covey_status status = covey__file_read_at(agent->env, descriptor, job->head_path, chunk->offset,
                                              job->content, chunk->size, NULL);
    close(descriptor);
    if (status) return false;
    covey__sha256_of(job->content, chunk->size, digest);
    return !memcmp(digest, chunk->sha256, 32);
}

/* Not synced: what a power cut takes of it is fetched again. */
static covey_status keep(covey_agent *agent, covey__patch_job *job, const covey__chunk *chunk,
                         covey_error *error) {
    int descriptor;
    covey_status status = covey__file_open(
        agent->env, job->head_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600, &descriptor, error);
    if (status) return status;
    status = covey__file_write_at(agent->env, descriptor, job->head_path, chunk->offset,
                                  job->content, chunk->size, error);
    close(descriptor);
    return status;
}

/* Over the network; the engine has held it against its name. */
static covey_status fetch_chunk(covey_agent *agent, covey__patch_job *job,
                                const covey__chunk *chunk, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    covey__buffer stored;
    covey__buffer_init(&stored, agent->env, COVEY__CHUNK_BYTES_MAX);
    covey_status status =
        covey__agent_get_blob(agent, chunk->blob, chunk->stored_size, &stored, error);
    if (!status) {
        fetching->bytes_done += stored.size;
        fetching->ways->patch_bytes += stored.size;
        fetching->ways->list[job->component].spent += stored.size;
        status =
            covey__chunk_decode(agent->env, chunk, stored.data, stored.size, job->content, error);
        job->fetched = true; /* what was signed decodes, or it is no patch */
    }
    covey__buffer_free(&stored);
    return status;
}

/* The chunk's bytes; those of the head are kept. */
static covey_status get_chunk(covey_agent *agent, covey__patch_job *job, const covey__chunk *chunk,
                              covey_error *error) {
    bool head = !covey__patch_apply_head(job->apply);
    covey_status status = covey__agent_fault(agent, "agent.patch", error);
    if (status || job->held == chunk) return status;
    job->held = NULL;
    bool kept = (head || chunk->offset < job->head_size) && read_kept(agent, job, chunk);
    if (!kept) status = covey__ways_budget(agent, error);
    if (!status && !kept) status = fetch_chunk(agent, job, chunk, error);
    if (!status && !kept && head) status = keep(agent, job, chunk, error);
    if (!status) job->held = chunk;
    return status;
}

/* Feeds what the chunk has of what comes next: of the head no byte more than that, since behind it
 * the new file is asked where to go on. */
static covey_status feed(covey__patch_job *job, const covey__chunk *chunk, uint64_t next,
                         covey_error *error) {
    size_t from = (size_t)(next - chunk->offset), size = chunk->size - from;
    covey_status status = COVEY_OK;
    bool head = !covey__patch_apply_head(job->apply);
    if (next == 0 && chunk->size >= COVEY__PATCH_FIXED)
        status = covey__patch_head_size(job->content, &job->head_size, error);
    if (status) return status;
    if (head && next < job->head_size && size > job->head_size - next)
        size = (size_t)(job->head_size - next);
    status = covey__patch_apply_feed(job->apply, job->content + from, size, error);
    if (!status && head && covey__patch_apply_head(job->apply))
        status = covey__patch_apply_scan(job->apply, error);
    return status;
}

static covey_status finish_job(covey_agent *agent, covey__patch_job *job, bool *done,
                               covey_error *error) {
    covey__ways *ways = agent->fetching.ways;
    covey__way *way = &ways->list[job->component];
    size_t component = job->component;
    bool chain = way->path.way == COVEY__WAY_CHAIN, last = !chain || job->step == 1;
    covey_status status = covey__patch_apply_finish(job->apply, error);
    job->fetched = status != COVEY_OK;
    if (!status) status = covey__file_sync(agent->env, job->made.descriptor, job->new_path, error);
    if (status) return status;
    covey__patch_job_free(agent);
    ways->patches_done++;
    if (!last) return job_new(agent, component, 1, error);
    way->made = *done = true;
    char *between = chain ? covey__agent_path(agent, "update/between") : NULL;
    if (chain && (!between || covey__file_remove(agent->env, between, NULL)))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "what lay between two patches stays");
    covey__free(agent->env, between);
    return COVEY_OK;
}

static covey_status body(covey_agent *agent, covey__patch_job *job, bool *done,
                         covey_error *error) {
    covey__patch_position position;
    covey__patch_apply_position(job->apply, &position);
    const covey__chunk *chunk = chunk_at(job->index, position.next);
    job->fetched = false;
    if (!chunk) {
        job->fetched = true;
        return finish_job(agent, job, done, error);
    }
    covey_status status = get_chunk(agent, job, chunk, error);
    if (status) return status;
    job->fetched = true;
    return feed(job, chunk, position.next, error);
}

/* ---- Giving up --------------------------------------------------------------------------------
 */

/* What a failure means: it may pass (the phase is tried again), or the patch is none. */
static bool may_pass(const covey_agent *agent, const covey__patch_job *job, covey_status status) {
    bool tried = agent->state.update.attempts + 1 >= TRANSFER_TRIES;
    switch (status) {
    case COVEY_ERROR_NETWORK:
    case COVEY_ERROR_TIMEOUT:
    case COVEY_ERROR_NO_MEMORY:
    case COVEY_ERROR_NO_SPACE:
    case COVEY_ERROR_BUSY:
    case COVEY_ERROR_CANCELLED:
        return true;
    case COVEY_ERROR_REMOTE:
    case COVEY_ERROR_IO:
        return !tried;
    case COVEY_ERROR_MISMATCH: /* of bytes that came: a proxy's page, or a mirror's fault */
        return job && job->phase >= JOB_INDEX && !job->fetched && !tried;
    default:
        return false;
    }
}

/* The other way of the component, as if the patch were given up already. */
static covey_status choose_other(covey_agent *agent, const char *hex, covey_error *error) {
    covey__agent_update *update = &agent->state.update;
    int32_t count = update->given_up_count;
    if (count == COVEY__GIVEN_UP_MAX) count--;
    char saved[65];
    memcpy(saved, update->given_up[count], sizeof saved);
    int32_t saved_count = update->given_up_count;
    snprintf(update->given_up[count], sizeof *update->given_up, "%s", hex);
    update->given_up_count = count + 1;
    covey_status status = covey__ways_plan(agent, error);
    memcpy(update->given_up[count], saved, sizeof saved);
    update->given_up_count = saved_count;
    return status;
}

/* A patch failed for good: stored, reported, told; the component goes by another way. */
static covey_status give_up(covey_agent *agent, size_t component, const covey__patch_edge *edge,
                            const covey_error *why, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    covey__way *way = &fetching->ways->list[component];
    covey__agent_actions actions;
    char hex[65], message[256], release[132];
    uint64_t planned = way->path.bytes, spent = way->spent;
    covey__hex(edge->patch.sha256, 32, hex);
    covey__patch_job_free(agent);
    covey_status status = choose_other(agent, hex, error);
    if (status) return status;
    int64_t more = (int64_t)(way->path.bytes + spent) - (int64_t)planned;
    if (more < 0) more = 0;
    snprintf(message, sizeof message,
             "fell back: patch of %.60s from %.40s: %.90s; by %s now, %" PRId64 " bytes more",
             edge->file, edge->from_release, why->message, covey__path_way_name(way->path.way),
             more);
    covey__agent_event_in event = {
        .kind = COVEY__EVENT_FELL_BACK, .patch = hex, .message = message, .bytes = more};
    agent->state.update.fetch_bytes += more;
    covey__agent_release(agent, release);
    covey__ways_count(agent);
    status = covey__agent_event(agent, &event, &actions, error);
    if (!status)
        covey__agent_tell(agent, COVEY_AGENT_EVENT_FAILED, "fetch", release, 0, 0, "%s", message);
    return status ? status : covey__ways_budget(agent, error);
}

/* ---- The step ---------------------------------------------------------------------------------
 */

static covey_status go_on(covey_agent *agent, size_t component, bool *done, covey_error *error) {
    covey__ways *ways = agent->fetching.ways;
    covey_status status = COVEY_OK;
    if (!ways->job) status = job_new(agent, component, 0, error);
    if (status) return status;
    switch (ways->job->phase) {
    case JOB_BASE:
        return check_base(agent, ways->job, error);
    case JOB_INDEX:
        return read_index(agent, ways->job, error);
    case JOB_OPEN:
        return open_both(agent, ways->job, error);
    case JOB_BODY:
        break;
    }
    return body(agent, ways->job, done, error);
}

static covey_status make_component(covey_agent *agent, size_t component, int64_t deadline_us,
                                   bool *done, covey_error *error) {
    covey__ways *ways = agent->fetching.ways;
    *done = false;
    /* What was damaged after it had been made is mended chunk by chunk. */
    if (agent->state.update.repairs > 0) ways->list[component].made = true;
    while (is_wanted(agent, component)) {
        covey_error why = {0};
        const covey__patch_edge *edge =
            ways->list[component].edges[ways->job ? ways->job->step : 0];
        bool made = false;
        covey_status status = go_on(agent, component, &made, &why);
        if (status && may_pass(agent, ways->job, status)) {
            if (error) *error = why;
            if (status == COVEY_ERROR_CANCELLED) return status; /* it stays under way */
            covey__patch_job_free(agent);
            return covey__prefix(error, status, "patch from %s", edge->from_release);
        }
        if (status) status = give_up(agent, component, edge, &why, error);
        if (!status) status = covey__ways_store(agent, error);
        if (status) return status;
        if (covey__monotonic_us() >= deadline_us) break;
    }
    *done = !is_wanted(agent, component);
    return COVEY_OK;
}

covey_status covey__patches_step(covey_agent *agent, int64_t deadline_us, bool *done,
                                 covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    covey__ways *ways = fetching->ways;
    char release[132];
    *done = false;
    for (; ways->at < ways->count; ways->at++) {
        bool made = false;
        if (!is_wanted(agent, ways->at)) continue;
        covey_status status = make_component(agent, ways->at, deadline_us, &made, error);
        covey__agent_release(agent, release);
        covey__agent_tell(agent, COVEY_AGENT_EVENT_PROGRESS, "fetch", release, fetching->bytes_done,
                          fetching->bytes_total, "patching");
        if (status == COVEY_ERROR_BUSY) return status; /* it is not the component's */
        if (status)
            return covey__prefix(error, status, "component \"%s\"",
                                 fetching->manifest->components[ways->at].file);
        if (!made) return COVEY_OK;
    }
    *done = true;
    return COVEY_OK;
}
