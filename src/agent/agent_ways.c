/* The ways of an update's components. The signed patch index is set against the whole components
 * that are here and against what chunks would cost; the cheapest way wins (delta/update_path.c).
 * The estimate is told before a byte is fetched, and the truth after. Both are held against the
 * rollout's budget: no update becomes a full download silently.
 *
 * Neighbours: agent_plan.c made the chunk plans; agent_patch.c walks the ways of patches, and
 * agent_fetch.c behind it those of chunks. */
#include "agent/agent_ways.h"

#include "base/error.h"
#include "base/sha256.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STORE_STEP (4u << 20) /* bytes after which what was spent is stored */

/* ---- The patch index --------------------------------------------------------------------------
 */

static covey_status read_index(covey_agent *agent, covey__patch_index **index, covey_error *error) {
    const covey__agent_update *update = &agent->state.update;
    uint8_t digest[32];
    covey__buffer text;
    covey__buffer_init(&text, agent->env, COVEY__PATCH_INDEX_BYTES_MAX);
    char *path = covey__agent_path(agent, "update/" COVEY__PATCH_INDEX_FILE);
    covey_status status = path ? COVEY_OK : covey__no_memory(error, "a path", 0);
    if (!status && !covey__unhex(update->patches, 64, digest, 32))
        status = covey__fail(error, COVEY_ERROR_FORMAT, "its digest is malformed");
    if (!status)
        status = covey__agent_stored_blob(agent, path, digest, (uint64_t)update->patches_size,
                                          &text, error);
    if (!status)
        status = covey__patch_index_parse(agent->env, text.data ? text.data : "", text.size, index,
                                          error);
    if (!status &&
        (strcmp((*index)->name, update->name) || strcmp((*index)->version, update->version))) {
        status = covey__fail(error, COVEY_ERROR_MISMATCH, "it is of %s@%s", (*index)->name,
                             (*index)->version);
        covey__patch_index_free(*index);
        *index = NULL;
    }
    covey__free(agent->env, path);
    covey__buffer_free(&text);
    return status;
}

/* ---- Choosing ---------------------------------------------------------------------------------
 */

static bool was_given_up(const covey__agent_update *update, const covey__patch_edge *edge) {
    char hex[65];
    covey__hex(edge->patch.sha256, 32, hex);
    for (int32_t i = 0; i < update->given_up_count; i++)
        if (!strcmp(update->given_up[i], hex)) return true;
    return false;
}

static const char *path_of(const covey__fetching *fetching, const uint8_t sha256[32]) {
    for (size_t i = 0; i < fetching->source_count; i++)
        if (!memcmp(fetching->sources[i].index->component_sha256, sha256, 32))
            return fetching->sources[i].path;
    return NULL;
}

typedef struct choice {
    covey__path_edge *edges;
    size_t edge_count;
    uint8_t (*here)[32];
    size_t here_count;
} choice;

static void choose(covey_agent *agent, const choice *from, size_t component) {
    covey__fetching *fetching = &agent->fetching;
    covey__way *way = &fetching->ways->list[component];
    const covey__patch_edge *edges = fetching->ways->index ? fetching->ways->index->edges : NULL;
    covey__path_query query = {.wanted = fetching->manifest->components[component].sha256,
                               .full_bytes = fetching->variant->components[component].stored_size,
                               .chunk_bytes = fetching->plans[component]->fetch_bytes,
                               .here = (const uint8_t(*)[32])from->here,
                               .here_count = from->here_count,
                               .edges = from->edges,
                               .edge_count = from->edge_count};
    *way = (covey__way){0};
    covey__update_path_choose(&query, &way->path);
    if (way->path.way < COVEY__WAY_PATCH) return;
    way->edges[0] = &edges[way->path.edge[0]];
    if (way->path.way == COVEY__WAY_CHAIN) way->edges[1] = &edges[way->path.edge[1]];
    way->sources[0] = path_of(fetching, way->edges[0]->from.sha256);
}

static covey_status choose_all(covey_agent *agent, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    const covey__patch_index *index = fetching->ways->index;
    choice from = {.edge_count = index ? index->edge_count : 0};
    from.edges = covey__calloc(agent->env, from.edge_count + 1, sizeof *from.edges);
    from.here = covey__calloc(agent->env, fetching->source_count + 1, sizeof *from.here);
    if (from.edges && from.here) {
        for (size_t i = 0; i < from.edge_count; i++)
            from.edges[i] = (covey__path_edge){
                index->edges[i].from.sha256, index->edges[i].to.sha256,
                covey__patch_edge_bytes(&index->edges[i]), index->edges[i].to.size,
                !index->edges[i].sealed && !was_given_up(&agent->state.update, &index->edges[i])};
        for (size_t i = 0; i < fetching->source_count; i++)
            memcpy(from.here[from.here_count++], fetching->sources[i].index->component_sha256, 32);
        for (size_t i = 0; i < fetching->ways->count; i++)
            if (!fetching->ways->list[i].made) choose(agent, &from, i);
    }
    covey_status status =
        from.edges && from.here ? COVEY_OK : covey__no_memory(error, "the ways", from.edge_count);
    covey__free(agent->env, from.edges);
    covey__free(agent->env, from.here);
    fetching->bytes_total = 0;
    for (size_t i = 0; !status && i < fetching->ways->count; i++)
        fetching->bytes_total += fetching->ways->list[i].path.bytes;
    return status;
}

covey_status covey__ways_plan(covey_agent *agent, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    covey_error why = {0};
    if (fetching->ways) return choose_all(agent, error); /* again, after a patch was given up */
    covey__ways *made = covey__calloc(agent->env, 1, sizeof *made);
    if (!made) return covey__no_memory(error, "the ways", sizeof *made);
    made->count = fetching->manifest->component_count;
    made->list = covey__calloc(agent->env, made->count, sizeof *made->list);
    fetching->ways = made;
    if (!made->list) return covey__no_memory(error, "the ways", made->count);
    if (agent->state.update.patches[0]) {
        covey_status status = read_index(agent, &made->index, &why);
        if (status == COVEY_ERROR_NETWORK || status == COVEY_ERROR_TIMEOUT ||
            status == COVEY_ERROR_NO_MEMORY || status == COVEY_ERROR_NO_SPACE ||
            status == COVEY_ERROR_IO || status == COVEY_ERROR_CANCELLED) {
            if (error) *error = why;
            return covey__prefix(error, status, "the patch index");
        }
        char release[132];
        covey__agent_release(agent, release);
        if (status)
            covey__agent_tell(agent, COVEY_AGENT_EVENT_PROGRESS, "plan", release, 0, 0,
                              "no patches can be used: %s", why.message);
    }
    return choose_all(agent, error);
}

void covey__ways_free(covey_agent *agent) {
    covey__ways *ways = agent->fetching.ways;
    if (!ways) return;
    covey__patch_job_free(agent);
    covey__patch_index_free(ways->index);
    covey__free(agent->env, ways->list);
    covey__free(agent->env, ways);
    agent->fetching.ways = NULL;
}

/* ---- Telling ----------------------------------------------------------------------------------
 */

/* "in place of 3520000 by chunks" */
static void say_instead(const covey__update_path *path, char out[64]) {
    out[0] = 0;
    if (path->way >= COVEY__WAY_PATCH)
        snprintf(out, 64, " in place of %" PRIu64 " by chunks", path->by_chunks);
    else if (path->way == COVEY__WAY_CHUNKS)
        snprintf(out, 64, " in place of %" PRIu64 " in full", path->by_full);
}

void covey__ways_tell(const covey_agent *agent) {
    const covey__fetching *fetching = &agent->fetching;
    char release[132];
    covey__agent_release(agent, release);
    for (size_t i = 0; fetching->ways && i < fetching->ways->count; i++) {
        const covey__way *way = &fetching->ways->list[i];
        char instead[64], how[160];
        say_instead(&way->path, instead);
        if (way->path.way == COVEY__WAY_HERE) continue;
        if (way->path.way == COVEY__WAY_PATCH)
            snprintf(how, sizeof how, "by a patch from %s", way->edges[0]->from_release);
        else if (way->path.way == COVEY__WAY_CHAIN)
            snprintf(how, sizeof how, "by two patches, from %s over %s",
                     way->edges[0]->from_release, way->edges[1]->from_release);
        else
            snprintf(how, sizeof how, "%s",
                     way->path.way == COVEY__WAY_FULL ? "in full" : "by chunks");
        covey__agent_tell(agent, COVEY_AGENT_EVENT_PROGRESS, "plan", release, 0, way->path.bytes,
                          "%s %s: %" PRIu64 " bytes%s", fetching->manifest->components[i].file, how,
                          way->path.bytes, instead);
    }
}

void covey__ways_estimate(const covey_agent *agent, char out[160]) {
    const covey__fetching *fetching = &agent->fetching;
    uint64_t patches = 0, chunks = 0;
    for (size_t i = 0; fetching->ways && i < fetching->ways->count; i++) {
        const covey__update_path *path = &fetching->ways->list[i].path;
        if (path->way >= COVEY__WAY_PATCH) patches += path->bytes;
        chunks += path->by_chunks;
    }
    if (patches)
        snprintf(out, 160,
                 "%" PRIu64 " bytes to fetch, %" PRIu64 " of them by patches; %" PRIu64
                 " without patches",
                 fetching->bytes_total, patches, chunks);
    else
        snprintf(out, 160, "%" PRIu64 " bytes to fetch", fetching->bytes_total);
}

void covey__ways_words(const covey_agent *agent, char out[160]) {
    const covey__fetching *fetching = &agent->fetching;
    const covey__ways *ways = fetching->ways;
    uint64_t patches = ways ? ways->patch_bytes : 0;
    int64_t before = agent->state.update.spent_bytes - (int64_t)fetching->bytes_counted;
    char earlier[48] = "";
    if (before > 0) snprintf(earlier, sizeof earlier, "; %" PRId64 " came before", before);
    if (ways && (ways->patches_done || patches))
        snprintf(out, 160,
                 "fetched %" PRIu64 " bytes: %" PRIu64 " of %u patch%s, %" PRIu64
                 " of chunks; %" PRIu64 " were here%s",
                 fetching->bytes_done, patches, (unsigned)ways->patches_done,
                 ways->patches_done == 1 ? "" : "es", fetching->bytes_done - patches,
                 fetching->bytes_local, earlier);
    else
        snprintf(out, 160, "fetched %" PRIu64 " bytes of chunks; %" PRIu64 " were here%s",
                 fetching->bytes_done, fetching->bytes_local, earlier);
}

/* ---- The budget -------------------------------------------------------------------------------
 */

static int64_t spent(const covey_agent *agent) {
    const covey__fetching *fetching = &agent->fetching;
    return agent->state.update.spent_bytes +
           (int64_t)(fetching->bytes_done - fetching->bytes_counted);
}

/* In PLAN the estimate is new. Later it is the one that was stored, with what fallbacks added. */
static int64_t estimate(const covey_agent *agent) {
    const covey__agent_update *update = &agent->state.update;
    return update->phase == COVEY__PHASE_PLAN ? (int64_t)agent->fetching.bytes_total
                                              : update->fetch_bytes;
}

covey_status covey__ways_budget(const covey_agent *agent, covey_error *error) {
    int64_t budget = agent->state.update.bytes_max, wanted = estimate(agent), come = spent(agent);
    if (!budget) return COVEY_OK;
    if (wanted > budget)
        return covey__fail_sizes(error, COVEY_ERROR_BUSY, budget, wanted,
                                 "over the rollout's budget: the update takes %" PRId64
                                 " bytes, and %" PRId64
                                 " may be fetched; it goes on when the budget is raised or a "
                                 "smaller patch is there",
                                 wanted, budget);
    if (come > budget)
        return covey__fail_sizes(error, COVEY_ERROR_BUSY, budget, come,
                                 "the rollout's budget is used up: %" PRId64 " bytes of %" PRId64
                                 " came, and not all is here; it goes on when the budget is raised",
                                 come, budget);
    return COVEY_OK;
}

void covey__ways_count(covey_agent *agent) {
    covey__fetching *fetching = &agent->fetching;
    agent->state.update.spent_bytes += (int64_t)(fetching->bytes_done - fetching->bytes_counted);
    fetching->bytes_counted = fetching->bytes_done;
}

covey_status covey__ways_store(covey_agent *agent, covey_error *error) {
    const covey__fetching *fetching = &agent->fetching;
    if (!agent->state.update.bytes_max ||
        fetching->bytes_done - fetching->bytes_counted < STORE_STEP)
        return COVEY_OK;
    covey__ways_count(agent);
    return covey__agent_save(agent, &agent->state, error);
}

uint64_t covey__ways_room(const covey_agent *agent) {
    const covey__ways *ways = agent->fetching.ways;
    uint64_t room = 0;
    for (size_t i = 0; ways && i < ways->count; i++) /* one at a time: the largest */
        if (ways->list[i].path.way == COVEY__WAY_CHAIN && !ways->list[i].made &&
            ways->list[i].path.between > room)
            room = ways->list[i].path.between;
    return room;
}
