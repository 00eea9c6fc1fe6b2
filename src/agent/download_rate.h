/* How fast: a ceiling on bytes a second, and what is left at the speed there was. Pure: time is
 * given to them. */
#ifndef COVEY_AGENT_DOWNLOAD_RATE_H
#define COVEY_AGENT_DOWNLOAD_RATE_H

#include <covey/base.h>

#include <stdatomic.h>

/* Set from any thread or a signal's handler. */
typedef atomic_int covey__stop_flag;

#define COVEY__RATE_MAX INT64_C(100000000000) /* bytes a second */

/* A token bucket over all connections. It may go into debt by what was read at once, and pays it
 * back, so the mean holds over any longer time. */
typedef struct covey__rate {
    int64_t bytes_per_second_max; /* 0: no ceiling */
    int64_t tokens;               /* bytes that may come now; below 0: a debt */
    int64_t at_us;                /* when they were counted; 0: never */
} covey__rate;
void covey__rate_set(covey__rate *rate, int64_t bytes_per_second_max);
void covey__rate_spend(covey__rate *rate, uint64_t bytes, int64_t now_us);
/* How long to wait before more may be received, in us; 0: not at all. */
int64_t covey__rate_wait_us(covey__rate *rate, int64_t now_us);

/* Speed and time left over a sliding window. */
#define COVEY__PROGRESS_SAMPLES 32
typedef struct covey__progress {
    struct {
        int64_t at_us;
        uint64_t bytes;
    } samples[COVEY__PROGRESS_SAMPLES]; /* a ring, oldest at `first` */
    int32_t first, count;
    int64_t left_ms; /* as it was told last; -1: unknown */
    int64_t told_us; /* when */
} covey__progress;
void covey__progress_init(covey__progress *progress);
/* `done` bytes of `total` are here at `now_us`. `ceiling` is the rate's, 0 for none. Writes bytes a
 * second (0: unknown) and the time left in ms (-1: unknown). */
void covey__progress_update(covey__progress *progress, uint64_t done, uint64_t total,
                            int64_t ceiling, int64_t now_us, int64_t *bytes_per_second,
                            int64_t *left_ms);

#endif
