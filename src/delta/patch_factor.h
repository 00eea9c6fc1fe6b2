/* Finds the low-rank prediction of a tensor (docs/formats/patch.md, "Low-rank prediction"): whether
 * what changed in a matrix has few directions, and which. The format does not depend on how they
 * are found: any factors give a right patch, better ones a smaller one. */
#ifndef COVEY_DELTA_PATCH_FACTOR_H
#define COVEY_DELTA_PATCH_FACTOR_H

#include "delta/patch_tensor.h"

/* Factors with their memory: give both arrays back with covey__factor_free. */
typedef struct covey__factor {
    covey__tensor_factor factor; /* rank 0: none are worth their bytes */
    int8_t *u, *v;
} covey__factor;

/* `old` and `fresh` are the whole tensor's bytes, `columns` its fastest dimension. Types without
 * steps (floats, IQ4) get none. Takes up to about 16 MiB while it looks. */
covey_status covey__factor_find(const covey__env *env, uint8_t type, const uint8_t *old,
                                const uint8_t *fresh, size_t size, uint64_t columns,
                                covey__factor *factor, covey_error *error) COVEY_MUST_USE;
void covey__factor_free(const covey__env *env, covey__factor *factor);

#endif
