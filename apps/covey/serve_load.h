/* What this machine is doing beside serving, for covey serve: whether other programs keep it busy,
 * what of this process's files is in memory, and a thread's priority. On systems that do not tell,
 * nothing is known and nothing changes. */
#ifndef COVEY_APPS_SERVE_LOAD_H
#define COVEY_APPS_SERVE_LOAD_H

#include <stdbool.h>
#include <stdint.h>

/* Processor time as it stood at the last look. */
typedef struct app_load {
    int64_t all, busy, own; /* in the system's ticks; all 0: never looked */
} app_load;

/* The share of the machine's processor time, in percent, that other programs took since the last
 * look; 0 when that is not known. */
int app_load_of_others(app_load *last);
/* Resident bytes of files that this process maps; 0 when not known. */
int64_t app_mapped_resident(void);
/* Whether `available` may count such pages as available: it is the machine's figure, and no
 * control group's, where they count as used. */
bool app_counts_mapped(int64_t available);
/* The calling thread's work comes after others' from here on, for good. */
void app_calm_thread(void);

#endif
