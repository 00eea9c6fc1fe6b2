/* The parts and frames that a patch will have, planned before anything is coded: both passes over
 * the tensors walk the same parts. */
#ifndef COVEY_DELTA_PATCH_PLAN_H
#define COVEY_DELTA_PATCH_PLAN_H

#include "delta/patch_factor.h"
#include "delta/patch_head.h"
#include "delta/patch_match.h"

typedef struct covey__plan_part {
    uint32_t match; /* of the list */
    bool first;     /* of its match */
    bool ends_frame;
    covey__patch_kind kind; /* COPY, COMPRESSED (or STORED, as it comes out), TENSOR */
    uint64_t new_offset, size, old_offset, old_size;
    uint8_t starts[COVEY__PATCH_STREAMS];
    uint32_t factor; /* of the plan's factors; COVEY__PATCH_NO_FACTOR */
    uint32_t first_row;
} covey__plan_part;

typedef struct covey__patch_plan {
    const covey__env *env;
    covey__match_list matches;
    covey__plan_part *parts;
    size_t count, capacity;
    uint64_t coded_bytes;   /* of parts of kind TENSOR */
    covey__factor *factors; /* each of a rank above 0 */
    size_t factor_count, factor_capacity;
    size_t factor_bytes;
} covey__patch_plan;

covey_status covey__patch_plan_make(const covey__env *env, const covey__match_file *old,
                                    const covey__match_file *fresh, covey__patch_plan *plan,
                                    covey_error *error) COVEY_MUST_USE;
void covey__patch_plan_free(covey__patch_plan *plan);

#endif
