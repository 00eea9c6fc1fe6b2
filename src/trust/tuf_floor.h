/* The floor (docs/trust.md): the highest version seen of each role and the latest time that was
 * signed, in a small file apart from the store, so that a store that was lost or damaged is no way
 * back. Beside each version stand the ids of the role's keys: when one of them is no longer the
 * role's, the keys were rotated, and the version of a role that its old keys may have run up counts
 * no more. */
#ifndef COVEY_TRUST_TUF_FLOOR_H
#define COVEY_TRUST_TUF_FLOOR_H

#include "trust/tuf_document.h"

#define COVEY__TUF_FLOOR_BYTES_MAX      (4u << 20)
#define COVEY__TUF_FLOOR_ROLE_COUNT_MAX 4096

typedef struct covey__tuf_floor_role covey__tuf_floor_role;
typedef struct covey__tuf_floor {
    const covey__env *env;
    const char *path; /* borrowed; NULL: no floor, all of it is 0 and nothing is kept */
    covey__arena arena;
    covey__tuf_floor_role *first; /* sorted by name */
    size_t role_count;
    int64_t time_ms; /* 0: none yet */
    bool changed;
} covey__tuf_floor;

/* Reads the file. Absent or damaged is an empty floor; NO_MEMORY and a failing disk are errors. */
covey_status covey__tuf_floor_load(covey__tuf_floor *floor, const covey__env *env, const char *path,
                                   covey_error *error) COVEY_MUST_USE;
/* Writes it, if anything changed. */
covey_status covey__tuf_floor_save(covey__tuf_floor *floor, covey_error *error) COVEY_MUST_USE;
void covey__tuf_floor_free(covey__tuf_floor *floor);

/* The highest version seen of a role; 0 when none was, or when its keys were rotated since. The
 * root's is never reset. */
int64_t covey__tuf_floor_version(const covey__tuf_floor *floor, const covey__tuf_role *role);
/* Whether keys that the floor knows for the role are no longer its keys. */
bool covey__tuf_floor_rotated(const covey__tuf_floor *floor, const covey__tuf_role *role);
/* A version of the role was accepted: it and the keys are kept. */
covey_status covey__tuf_floor_raise(covey__tuf_floor *floor, const covey__tuf_role *role,
                                    int64_t version, covey_error *error) COVEY_MUST_USE;
/* Time rises with what a timestamp of these keys said, and is forgotten with keys that are. */
void covey__tuf_floor_set_time(covey__tuf_floor *floor, int64_t time_ms);

#endif
