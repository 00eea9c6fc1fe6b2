/* The plan for one component: for every chunk, where on this device its content stands, or that it
 * must be fetched. Content is looked up by digest over all chunks of all sources, in a sorted
 * table, so the plan costs n log n whatever moved where. The sources are believed only until they
 * are read: covey__chunk_plan_read holds every byte against the target's digest. */
#include "delta/chunk_plan.h"

#include "base/error.h"
#include "base/file_cache.h"
#include "base/file_space.h"
#include "base/sha256.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct place {
    const covey__chunk *chunk;
    int32_t source;
} place;

static int by_content(const void *a, const void *b) {
    const place *x = a, *y = b;
    int order = memcmp(x->chunk->sha256, y->chunk->sha256, 32);
    if (order != 0) return order;
    if (x->source != y->source) return x->source < y->source ? -1 : 1;
    if (x->chunk->offset != y->chunk->offset) return x->chunk->offset < y->chunk->offset ? -1 : 1;
    return 0;
}

/* All chunks of all sources and of the target itself (source -1), sorted by content. */
static covey_status gather(const covey__env *env, const covey__chunk_plan *plan, place **places,
                           size_t *count, covey_error *error) {
    size_t total = plan->target->chunk_count;
    for (size_t i = 0; i < plan->source_count; i++)
        if (!covey__add_size(total, plan->sources[i].index->chunk_count, &total))
            return covey__fail(error, COVEY_ERROR_LIMIT, "delta: plan: too many chunks");
    place *table = covey__calloc(env, total + 1, sizeof *table);
    if (table == NULL) return covey__no_memory(error, "delta: plan", total * sizeof *table);
    size_t at = 0;
    for (size_t i = 0; i < plan->target->chunk_count; i++)
        table[at++] = (place){&plan->target->chunks[i], -1};
    for (size_t s = 0; s < plan->source_count; s++)
        for (size_t i = 0; i < plan->sources[s].index->chunk_count; i++)
            table[at++] = (place){&plan->sources[s].index->chunks[i], (int32_t)s};
    qsort(table, total, sizeof *table, by_content);
    *places = table;
    *count = total;
    return COVEY_OK;
}

/* One run of places with equal content: the target's chunks (source -1) come first. */
static void settle_run(covey__chunk_plan *plan, const place *run, size_t count) {
    size_t wanted = 0;
    while (wanted < count && run[wanted].source < 0) wanted++;
    if (wanted == 0) return;
    const place *found = wanted < count ? &run[wanted] : NULL;
    /* Equal digests of unequal sizes cannot be; a source that says so is not believed. */
    if (found != NULL && found->chunk->size != run[0].chunk->size) found = NULL;
    for (size_t i = 0; i < wanted; i++) {
        size_t chunk = (size_t)(run[i].chunk - plan->target->chunks);
        plan->steps[chunk].source = found != NULL ? found->source : -1;
        plan->steps[chunk].offset = found != NULL ? found->chunk->offset : 0;
        if (found != NULL) plan->local_bytes += run[i].chunk->size;
    }
    if (found == NULL) {
        plan->fetch_bytes += run[0].chunk->stored_size;
        plan->fetch_count++;
    }
}

covey_status covey__chunk_plan_make(const covey__env *env, const covey__chunk_index *target,
                                    const covey__chunk_source *sources, size_t source_count,
                                    covey__chunk_plan **plan, covey_error *error) {
    *plan = NULL;
    covey__chunk_plan *made = covey__calloc(env, 1, sizeof *made);
    if (made == NULL) return covey__no_memory(error, "delta: plan", sizeof *made);
    *made = (covey__chunk_plan){
        .env = env, .target = target, .sources = sources, .source_count = source_count};
    made->steps = covey__calloc(env, target->chunk_count + 1, sizeof *made->steps);
    place *places = NULL;
    size_t count = 0;
    covey_status status =
        made->steps == NULL
            ? covey__no_memory(error, "delta: plan", target->chunk_count * sizeof *made->steps)
            : gather(env, made, &places, &count, error);
    if (status != COVEY_OK) {
        covey__chunk_plan_free(made);
        return status;
    }
    for (size_t from = 0, to; from < count; from = to) {
        to = from + 1;
        while (to < count && memcmp(places[to].chunk->sha256, places[from].chunk->sha256, 32) == 0)
            to++;
        settle_run(made, places + from, to - from);
    }
    covey__free(env, places);
    *plan = made;
    return COVEY_OK;
}

void covey__chunk_plan_free(covey__chunk_plan *plan) {
    if (plan == NULL) return;
    covey__free(plan->env, plan->steps);
    covey__free(plan->env, plan);
}

covey_status covey__chunk_plan_read(const covey__chunk_plan *plan, size_t chunk, void *out,
                                    covey_error *error) {
    const covey__chunk_step *step = &plan->steps[chunk];
    const covey__chunk *wanted = &plan->target->chunks[chunk];
    uint8_t digest[32];
    int descriptor;
    if (step->source < 0)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND, "delta: chunk %zu is in no local file",
                           chunk);
    const char *path = plan->sources[step->source].path;
    covey_status status =
        covey__file_open(plan->env, path, O_RDONLY | O_CLOEXEC, 0, &descriptor, error);
    if (status != COVEY_OK) return status;
    status = covey__file_read_passing(plan->env, descriptor, path, step->offset, out, wanted->size,
                                      error);
    close(descriptor);
    if (status == COVEY_OK) {
        covey__sha256_of(out, wanted->size, digest);
        if (memcmp(digest, wanted->sha256, 32) == 0) return COVEY_OK;
    } else if (status != COVEY_ERROR_FORMAT) {
        return status;
    }
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "delta: chunk %zu: %s no longer holds what its index says; it is fetched "
                       "instead",
                       chunk, path);
}

covey_status covey__chunk_plan_share(const covey__chunk_plan *plan, size_t chunk, int descriptor,
                                     const char *path, uint32_t block_bytes, uint64_t *from,
                                     uint64_t *to, covey_error *error) {
    const covey__chunk_step *step = &plan->steps[chunk];
    const covey__chunk *wanted = &plan->target->chunks[chunk];
    uint64_t block = block_bytes, end = wanted->offset + wanted->size;
    bool shared;
    *from = *to = wanted->offset;
    if (step->source < 0 || step->offset % block != wanted->offset % block) return COVEY_OK;
    uint64_t first = (wanted->offset + block - 1) / block * block, last = end / block * block;
    if (first >= last) return COVEY_OK;
    const char *source = plan->sources[step->source].path;
    covey__file_place origin = {-1, source, step->offset + (first - wanted->offset)};
    covey__file_place target = {descriptor, path, first};
    covey_status status =
        covey__file_open(plan->env, source, O_RDONLY | O_CLOEXEC, 0, &origin.descriptor, error);
    if (status != COVEY_OK) return status;
    status = covey__file_share_range(plan->env, &origin, &target, last - first, &shared, error);
    close(origin.descriptor);
    if (status != COVEY_OK || !shared) return status;
    *from = first;
    *to = last;
    return COVEY_OK;
}
