/* What to fetch for a component, given the files that are here already. */
#ifndef COVEY_DELTA_CHUNK_PLAN_H
#define COVEY_DELTA_CHUNK_PLAN_H

#include "delta/chunk_index.h"

/* A file on this device with the index of its bytes. Both are borrowed until the plan is freed. */
typedef struct covey__chunk_source {
    const char *path;
    const covey__chunk_index *index;
} covey__chunk_source;

typedef struct covey__chunk_step {
    int32_t source;  /* index into the sources, or -1: to be fetched */
    uint64_t offset; /* where in the source the content stands */
} covey__chunk_step;

typedef struct covey__chunk_plan {
    const covey__env *env;
    const covey__chunk_index *target;
    const covey__chunk_source *sources;
    size_t source_count;
    covey__chunk_step *steps; /* one a chunk of the target */
    uint64_t local_bytes;     /* content that is here */
    uint64_t fetch_bytes;     /* stored bytes to fetch, a chunk that repeats counted once */
    size_t fetch_count;
} covey__chunk_plan;

covey_status covey__chunk_plan_make(const covey__env *env, const covey__chunk_index *target,
                                    const covey__chunk_source *sources, size_t source_count,
                                    covey__chunk_plan **plan, covey_error *error) COVEY_MUST_USE;
void covey__chunk_plan_free(covey__chunk_plan *plan); /* NULL is allowed */

/* Reads the content of chunk `chunk` from its source into `out` (chunk size bytes) and holds it
 * against the target's digest: MISMATCH when the file there is no longer what its index said (then
 * fetch it), NOT_FOUND when the step is to fetch. */
covey_status covey__chunk_plan_read(const covey__chunk_plan *plan, size_t chunk, void *out,
                                    covey_error *error) COVEY_MUST_USE;

/* After covey__chunk_plan_read: has whole blocks of a file in which the chunk is to stand at its
 * place be the source's own, where the file system can. What [*from, *to) of the file then holds
 * need not be written; empty where nothing can be shared. The source may have changed since it was
 * read, so the file is to be verified as a whole. */
covey_status covey__chunk_plan_share(const covey__chunk_plan *plan, size_t chunk, int descriptor,
                                     const char *path, uint32_t block_bytes, uint64_t *from,
                                     uint64_t *to, covey_error *error) COVEY_MUST_USE;

#endif
