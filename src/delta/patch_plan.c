/* Cutting matches into parts, and packing these into frames. A part has at most 2 MiB, 1 MiB where
 * the file is large, so that an encoder's memory stays small; a frame takes parts until it is full.
 * Of a matched tensor, parts whose bytes did not change are copies. Neighbours: patch_match.c gives
 * the matches, patch_make.c walks the plan. */
#include "delta/patch_plan.h"

#include "base/error.h"
#include "delta/patch_stream.h"

#include <string.h>

#define LARGE_FILE   (64u << 20)
#define SLIVER_BYTES (128u << 10) /* a frame is not filled with less of a larger part */
#define COPIES_MAX   (64u << 20)  /* bytes of copies in a frame: what a break may cost */
#define FACTORS_MAX  (16u << 20)  /* bytes of all factors: tensors beyond get none */

typedef struct planner {
    covey__patch_plan *plan;
    const uint8_t *old, *fresh;
    uint64_t part_max;
    uint64_t made, copied; /* in the open frame */
    covey_error *error;
} planner;

static void end_frame(planner *p) {
    if (p->plan->count > 0) p->plan->parts[p->plan->count - 1].ends_frame = true;
    p->made = p->copied = 0;
}

static covey_status add_part(planner *p, const covey__plan_part *part) {
    covey__patch_plan *plan = p->plan;
    if (plan->count == plan->capacity) {
        size_t capacity = plan->capacity == 0 ? 64 : plan->capacity * 2;
        covey__plan_part *parts = covey__resize(plan->env, plan->parts, capacity * sizeof *parts);
        if (parts == NULL) return covey__no_memory(p->error, "parts", capacity * sizeof *parts);
        plan->parts = parts;
        plan->capacity = capacity;
    }
    plan->parts[plan->count++] = *part;
    if (part->kind == COVEY__PATCH_COPY) p->copied += part->size;
    if (part->kind != COVEY__PATCH_COPY) p->made += part->size;
    if (part->kind == COVEY__PATCH_TENSOR) plan->coded_bytes += part->size;
    if (p->copied >= COPIES_MAX) end_frame(p);
    return COVEY_OK;
}

/* How much of `left` bytes the next part takes, in whole units; the frame is closed first where it
 * has no good room. */
static uint64_t next_size(planner *p, uint64_t left, uint64_t unit) {
    uint64_t room = p->part_max - p->made;
    if (left > room && room < SLIVER_BYTES + unit) {
        end_frame(p);
        room = p->part_max;
    }
    return left <= room ? left : room - room % unit;
}

/* The 8 MiB of the old range that lie about where the part does. */
static void choose_prefix(const covey__match *match, covey__plan_part *part) {
    uint64_t most = COVEY__PATCH_PREFIX_MAX;
    part->old_offset = match->old_offset;
    part->old_size = match->old_size;
    if (match->old_size <= most) return;
    double share = (double)(part->new_offset - match->new_offset) / (double)match->size;
    uint64_t near = (uint64_t)(share * (double)match->old_size);
    uint64_t before = (most - part->size) / 2;
    uint64_t at = near > before ? near - before : 0;
    if (at > match->old_size - most) at = match->old_size - most;
    part->old_offset = match->old_offset + at;
    part->old_size = most;
}

static covey_status plan_bytes(planner *p, const covey__match *match, covey__plan_part *part) {
    covey_status status = COVEY_OK;
    for (uint64_t at = 0; status == COVEY_OK && at < match->size; at += part->size) {
        part->new_offset = match->new_offset + at;
        part->size = next_size(p, match->size - at, 1);
        choose_prefix(match, part);
        status = add_part(p, part);
        part->first = false;
    }
    return status;
}

static covey_status plan_copy(planner *p, const covey__match *match, covey__plan_part *part) {
    covey_status status = COVEY_OK;
    for (uint64_t at = 0; status == COVEY_OK && at < match->size; at += part->size) {
        uint64_t left = match->size - at;
        part->new_offset = match->new_offset + at;
        part->size = left < COVEY__PATCH_PART_MAX ? left : COVEY__PATCH_PART_MAX;
        part->old_offset = match->old_offset + at;
        part->old_size = part->size;
        status = add_part(p, part);
        part->first = false;
    }
    return status;
}

/* A low-rank prediction for the match, where there is one that pays: the part's factor is set. */
static covey_status find_factor(planner *p, const covey__match *match, covey__plan_part *part) {
    covey__patch_plan *plan = p->plan;
    uint64_t row = covey__stream_row_bytes(match->type, match->columns);
    if (row == 0 || row > p->part_max || match->size % row != 0) return COVEY_OK;
    if (plan->factor_bytes >= FACTORS_MAX) return COVEY_OK;
    if (plan->factor_count == plan->factor_capacity) {
        size_t capacity = plan->factor_capacity == 0 ? 16 : plan->factor_capacity * 2;
        covey__factor *more = covey__resize(plan->env, plan->factors, capacity * sizeof *more);
        if (more == NULL) return covey__no_memory(p->error, "factors", capacity * sizeof *more);
        plan->factors = more;
        plan->factor_capacity = capacity;
    }
    covey__factor *factor = &plan->factors[plan->factor_count];
    covey_status status = covey__factor_find(plan->env, match->type, p->old + match->old_offset,
                                             p->fresh + match->new_offset, (size_t)match->size,
                                             match->columns, factor, p->error);
    if (status != COVEY_OK) return status;
    if (factor->factor.rank == 0) {
        covey__factor_free(plan->env, factor);
        return COVEY_OK;
    }
    plan->factor_bytes += (size_t)((match->columns + match->size / row) * factor->factor.rank);
    part->factor = (uint32_t)plan->factor_count++;
    return COVEY_OK;
}

static covey_status plan_tensor(planner *p, const covey__match *match, covey__plan_part *part) {
    uint64_t unit = covey__stream_block_bytes(match->type), row = 1;
    if (memcmp(p->old + match->old_offset, p->fresh + match->new_offset, (size_t)match->size) ==
        0) {
        part->kind = COVEY__PATCH_COPY;
        return plan_copy(p, match, part);
    }
    covey_status status = find_factor(p, match, part);
    if (part->factor != COVEY__PATCH_NO_FACTOR)
        unit = row = covey__stream_row_bytes(match->type, match->columns);
    for (uint64_t at = 0; status == COVEY_OK && at < match->size; at += part->size) {
        part->first_row = part->factor == COVEY__PATCH_NO_FACTOR ? 0 : (uint32_t)(at / row);
        part->new_offset = match->new_offset + at;
        part->size = next_size(p, match->size - at, unit == 0 ? 1 : unit);
        part->old_offset = match->old_offset + at;
        part->old_size = part->size;
        bool equal =
            memcmp(p->old + part->old_offset, p->fresh + part->new_offset, (size_t)part->size) == 0;
        part->kind = equal       ? COVEY__PATCH_COPY
                     : unit == 0 ? COVEY__PATCH_COMPRESSED
                                 : COVEY__PATCH_TENSOR;
        status = add_part(p, part);
        part->first = false;
    }
    return status;
}

covey_status covey__patch_plan_make(const covey__env *env, const covey__match_file *old,
                                    const covey__match_file *fresh, covey__patch_plan *plan,
                                    covey_error *error) {
    *plan = (covey__patch_plan){.env = env};
    planner p = {.plan = plan, .old = old->data, .fresh = fresh->data, .error = error};
    p.part_max = fresh->size >= LARGE_FILE ? COVEY__PATCH_PART_MAX / 2 : COVEY__PATCH_PART_MAX;
    covey_status status = covey__patch_match(env, old, fresh, &plan->matches, error);
    for (size_t i = 0; status == COVEY_OK && i < plan->matches.count; i++) {
        const covey__match *match = &plan->matches.items[i];
        covey__plan_part part = {
            .match = (uint32_t)i, .first = true, .factor = COVEY__PATCH_NO_FACTOR};
        part.kind = match->kind == COVEY__MATCH_COPY ? COVEY__PATCH_COPY : COVEY__PATCH_COMPRESSED;
        if (match->kind == COVEY__MATCH_TENSOR)
            status = plan_tensor(&p, match, &part);
        else if (match->kind == COVEY__MATCH_COPY)
            status = plan_copy(&p, match, &part);
        else
            status = plan_bytes(&p, match, &part);
    }
    end_frame(&p);
    if (status != COVEY_OK) covey__patch_plan_free(plan);
    return status;
}

void covey__patch_plan_free(covey__patch_plan *plan) {
    if (plan->env == NULL) return;
    if (plan->matches.env != NULL) covey__match_list_free(&plan->matches);
    for (size_t i = 0; i < plan->factor_count; i++)
        covey__factor_free(plan->env, &plan->factors[i]);
    covey__free(plan->env, plan->factors);
    plan->factors = NULL;
    plan->factor_count = plan->factor_capacity = 0;
    covey__free(plan->env, plan->parts);
    plan->parts = NULL;
    plan->count = plan->capacity = 0;
}
