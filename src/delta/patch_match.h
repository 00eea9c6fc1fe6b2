/* Which part of the new file comes from where in the old one: what a patch is made from. */
#ifndef COVEY_DELTA_PATCH_MATCH_H
#define COVEY_DELTA_PATCH_MATCH_H

#include "base/env.h"
#include "delta/patch_bytes.h"

typedef enum covey__match_kind {
    COVEY__MATCH_BYTES, /* to be compressed; the old range, if any, is where to look for the like */
    COVEY__MATCH_COPY,  /* equal bytes */
    COVEY__MATCH_TENSOR, /* a tensor, or its first rows, of the same type in both */
} covey__match_kind;

typedef struct covey__match {
    covey__match_kind kind;
    uint8_t type;     /* GGUF's number; COVEY__MATCH_NO_TYPE where no tensor is */
    bool named;       /* a tensor begins here; else the match belongs to what is before it */
    const char *name; /* into the new file's bytes, not NUL-terminated */
    size_t name_size;
    uint64_t columns; /* of a tensor's row */
    uint64_t new_offset, size;
    uint64_t old_offset, old_size;
    covey__pack_effort effort; /* of BYTES */
} covey__match;

#define COVEY__MATCH_NO_TYPE 255

typedef struct covey__match_list {
    const covey__env *env;
    covey__match *items; /* in the new file's order, without gaps */
    size_t count, capacity;
} covey__match_list;

typedef struct covey__match_file { /* borrowed; a size of 0 is allowed */
    const uint8_t *data;
    uint64_t size;
} covey__match_file;

covey_status covey__patch_match(const covey__env *env, const covey__match_file *old,
                                const covey__match_file *fresh, covey__match_list *list,
                                covey_error *error) COVEY_MUST_USE;
void covey__match_list_free(covey__match_list *list);

#endif
