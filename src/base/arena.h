/* An arena: many small allocations, freed together. Capped. */
#ifndef COVEY_BASE_ARENA_H
#define COVEY_BASE_ARENA_H

#include "base/env.h"

typedef struct covey__arena_block covey__arena_block;
typedef struct covey__arena {
    const covey__env *env;
    covey__arena_block *blocks;
    size_t bytes, bytes_max;
} covey__arena;

void covey__arena_init(covey__arena *arena, const covey__env *env, size_t bytes_max);
void covey__arena_free(covey__arena *arena);
/* Zeroed, aligned to 16; NULL when memory or the cap says no. */
void *covey__arena_alloc(covey__arena *arena, size_t size);
void *covey__arena_calloc(covey__arena *arena, size_t count, size_t size);
char *covey__arena_strndup(covey__arena *arena, const char *text, size_t size);
/* Why the arena just refused `size` bytes for `what`: LIMIT or NO_MEMORY. */
covey_status covey__arena_fail(const covey__arena *arena, size_t size, covey_error *error,
                               const char *what);

#endif
