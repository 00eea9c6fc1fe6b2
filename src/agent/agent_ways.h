/* By which way each component comes: chunks, a patch, a chain of two (delta/update_path.h); what it
 * is to cost and what it did; and patches as they are applied. */
#ifndef COVEY_AGENT_AGENT_WAYS_H
#define COVEY_AGENT_AGENT_WAYS_H

#include "agent/agent_parts.h"
#include "bundle/patch_index.h"
#include "delta/update_path.h"

typedef struct covey__way {
    covey__update_path path;
    const covey__patch_edge *edges[2]; /* of a patch and a chain, in the order they are applied */
    const char *sources[2];            /* [0]: the file here that the first begins with */
    uint64_t spent;                    /* that came for its patches, in this process */
    bool made; /* the patches made the file, or were given up: what it lacks comes by chunks */
} covey__way;

typedef struct covey__patch_job covey__patch_job;

/* Of the update at hand; part of the fetching, and gone with it. */
typedef struct covey__ways {
    covey__patch_index *index; /* NULL: there is none that can be used */
    covey__way *list;          /* one a component */
    size_t count;
    size_t at;             /* the component that is looked at for patches */
    covey__patch_job *job; /* the patch that is being applied */
    uint64_t patch_bytes;  /* that came over the network for patches, in this process */
    uint32_t patches_done;
} covey__ways;

/* ---- agent_ways.c */
/* Chooses, once chunk plans are made; fetching.bytes_total becomes what the ways cost. A patch
 * index that cannot be had or read means chunks, and is said. */
covey_status covey__ways_plan(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
void covey__ways_free(covey_agent *agent);
/* Tells of each component by which way it comes, and what in place of. */
void covey__ways_tell(const covey_agent *agent);
/* BUSY when the rollout's budget does not hold what the update takes, or is used up. */
covey_status covey__ways_budget(const covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* Bytes on the disk that ways need beside the ensemble's files: what lies between two patches. */
uint64_t covey__ways_room(const covey_agent *agent);
/* Puts what came since into the update at hand; it is stored with the next event. */
void covey__ways_count(covey_agent *agent);
/* The same, and stores it, once it is much and there is a budget. */
covey_status covey__ways_store(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* What the ways are to cost, in words. */
void covey__ways_estimate(const covey_agent *agent, char out[160]);
/* What came by which way, in words. */
void covey__ways_words(const covey_agent *agent, char out[160]);

/* ---- agent_patch.c */
/* Goes on making files by patches, until all are made or were given up (*done) or until the
 * deadline (monotonic). A patch that fails is given up, told of, and another way is taken; what
 * fails here is what may pass: a line, a disk, memory. CANCELLED: a blob is still under way. */
covey_status covey__patches_step(covey_agent *agent, int64_t deadline_us, bool *done,
                                 covey_error *error) COVEY_MUST_USE;
void covey__patch_job_free(covey_agent *agent);

#endif
