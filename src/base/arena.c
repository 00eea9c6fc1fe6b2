/* The arena: blocks in a list, the newest first, from which pieces are cut in order. Invariants:
 * every piece is aligned to 16 and zeroed; `bytes` counts what was asked for, headers included, and
 * never passes `bytes_max`. A piece larger than a block gets a block of its own behind the
 * current one, so that the current one is not wasted. */
#include "base/arena.h"
#include "base/error.h"

#include <string.h>

#define BLOCK_BYTES_FIRST 1024
#define BLOCK_BYTES_MOST  65536
#define ALIGNMENT         16

struct covey__arena_block {
    covey__arena_block *next;
    size_t capacity, used; /* of the bytes after this header */
};
#define HEADER_BYTES ((sizeof(covey__arena_block) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

void covey__arena_init(covey__arena *arena, const covey__env *env, size_t bytes_max) {
    memset(arena, 0, sizeof *arena);
    arena->env = env;
    arena->bytes_max = bytes_max;
}

void covey__arena_free(covey__arena *arena) {
    if (arena == NULL) return;
    for (covey__arena_block *block = arena->blocks, *next; block != NULL; block = next) {
        next = block->next;
        covey__free_aligned(arena->env, block);
    }
    arena->blocks = NULL;
    arena->bytes = 0;
}

static bool beyond_cap(const covey__arena *arena, size_t size) {
    size_t left = arena->bytes_max - arena->bytes;
    return left < HEADER_BYTES || size > left - HEADER_BYTES;
}

/* A new zeroed block of at least `size` bytes; NULL when memory or the cap says no. */
static covey__arena_block *add_block(covey__arena *arena, size_t size) {
    if (beyond_cap(arena, size)) return NULL;
    size_t left = arena->bytes_max - arena->bytes;
    covey__arena_block *current = arena->blocks;
    size_t capacity = current != NULL ? 2 * current->capacity : BLOCK_BYTES_FIRST;
    if (capacity > BLOCK_BYTES_MOST) capacity = BLOCK_BYTES_MOST;
    if (capacity < size) capacity = size;
    if (capacity > left - HEADER_BYTES) capacity = (left - HEADER_BYTES) / ALIGNMENT * ALIGNMENT;
    if (capacity < size) return NULL;
    covey__arena_block *block = covey__alloc_aligned(arena->env, HEADER_BYTES + capacity);
    if (block == NULL) return NULL;
    block->capacity = capacity;
    arena->bytes += HEADER_BYTES + capacity;
    if (current != NULL && size > BLOCK_BYTES_MOST) {
        block->next = current->next;
        current->next = block;
    } else {
        block->next = current;
        arena->blocks = block;
    }
    return block;
}

void *covey__arena_alloc(covey__arena *arena, size_t size) {
    size_t rounded;
    if (!covey__add_size(size > 0 ? size : 1, ALIGNMENT - 1, &rounded)) return NULL;
    rounded = rounded / ALIGNMENT * ALIGNMENT;
    covey__arena_block *block = arena->blocks;
    if (block == NULL || block->capacity - block->used < rounded) {
        block = add_block(arena, rounded);
        if (block == NULL) return NULL;
    }
    void *piece = (char *)block + HEADER_BYTES + block->used;
    block->used += rounded;
    return piece;
}

void *covey__arena_calloc(covey__arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (!covey__mul_size(count, size, &bytes)) return NULL;
    return covey__arena_alloc(arena, bytes);
}

char *covey__arena_strndup(covey__arena *arena, const char *text, size_t size) {
    size_t bytes;
    if (!covey__add_size(size, 1, &bytes)) return NULL;
    char *copy = covey__arena_alloc(arena, bytes);
    if (copy == NULL) return NULL;
    if (size > 0) memcpy(copy, text, size);
    return copy;
}

covey_status covey__arena_fail(const covey__arena *arena, size_t size, covey_error *error,
                               const char *what) {
    if (!beyond_cap(arena, size)) return covey__no_memory(error, what, size);
    int64_t bound = (uint64_t)arena->bytes_max > INT64_MAX ? INT64_MAX : (int64_t)arena->bytes_max;
    return covey__fail_sizes(error, COVEY_ERROR_LIMIT, bound, (int64_t)arena->bytes,
                             "%s: would take more than the limit of %zu bytes of memory", what,
                             arena->bytes_max);
}
