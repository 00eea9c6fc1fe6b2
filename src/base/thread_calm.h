/* A thread that works in the background: its disk and processor time come after those of others. */
#ifndef COVEY_BASE_THREAD_CALM_H
#define COVEY_BASE_THREAD_CALM_H

#include "base/env.h"

/* What the thread had before, to be given back. */
typedef struct covey__calm {
    bool disk, processor; /* changed, and to be restored */
    int disk_before, processor_before;
} covey__calm;

/* The calling thread's disk accesses become idle ones, and its nice value COVEY__CALM_NICE, each as
 * far as the system allows. A thread that was lent must get back what it had: with for_good false
 * the nice value is left alone where this process could not restore it (Linux: without
 * CAP_SYS_NICE, RLIMIT_NICE decides). Calm threads stay so when entered again. Fault point
 * "priority": nothing changes. */
#define COVEY__CALM_NICE 10
void covey__calm_enter(const covey__env *env, bool for_good, covey__calm *before);
void covey__calm_leave(const covey__calm *before);

#endif
