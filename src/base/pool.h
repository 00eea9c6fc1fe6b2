/* A thread pool for one job at a time: the caller and the workers run the same function, each with
 * its own index, and meet at barriers. A pool of one thread starts none. Workers spin briefly
 * between jobs, then sleep. */
#ifndef COVEY_BASE_POOL_H
#define COVEY_BASE_POOL_H

#include "base/env.h"

typedef struct covey__pool covey__pool;
typedef void (*covey__pool_fn)(void *user, int32_t thread_index, int32_t thread_count);

covey_status covey__pool_new(const covey__env *env, int32_t threads, covey__pool **pool,
                             covey_error *error) COVEY_MUST_USE;
void covey__pool_free(covey__pool *pool);
int32_t covey__pool_threads(const covey__pool *pool);
/* Runs `job` on every thread, the caller as index 0, and returns when all are done. Calls from
 * several threads take turns. Every thread runs with round-to-nearest and without flushing
 * subnormals. */
void covey__pool_run(covey__pool *pool, covey__pool_fn job, void *user);
/* Inside a job: waits until every thread of the job has come here. */
void covey__pool_barrier(covey__pool *pool);

/* The caller's floating-point state, set to the contract's for the time between. */
typedef struct covey__fp_state {
    uint32_t saved;
} covey__fp_state;
covey__fp_state covey__fp_enter(void);
void covey__fp_leave(covey__fp_state state);

#endif
