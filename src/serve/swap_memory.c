/* Whether memory holds two backends for the time of an exchange. A pure function of figures that
 * were measured or declared, so that a table tests it. */
#include "serve/serve.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Sums of what is known, held to what the type can keep. */
static int64_t plus(int64_t a, int64_t b) {
    if (a < 0) a = 0;
    if (b < 0) b = 0;
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

static int64_t mib(int64_t bytes) {
    return bytes / (1 << 20) + (bytes % (1 << 20) != 0);
}

bool covey_swap_fits(const covey_swap_memory *memory, char *reason, size_t reason_size) {
    covey_swap_memory m = COVEY_SWAP_MEMORY_INIT;
    memcpy(&m, memory, memory->size < sizeof m ? memory->size : sizeof m);
    int64_t needed = plus(m.weight_bytes, plus(m.heap_bytes, m.session_bytes));
    int64_t both = plus(needed, m.serving_bytes);
    if (m.limit_bytes > 0 && both > m.limit_bytes) {
        snprintf(reason, reason_size,
                 "both need %" PRId64 " MiB, and %" PRId64 " MiB are allowed: the one that serves "
                 "is drained first",
                 mib(both), m.limit_bytes >> 20);
        return false;
    }
    int64_t free_bytes = m.available_bytes - (m.mapped_bytes > 0 ? m.mapped_bytes : 0);
    if (free_bytes < 0) free_bytes = 0;
    if (m.available_bytes >= 0 && needed > free_bytes - free_bytes / 16) {
        snprintf(reason, reason_size,
                 "the next one needs %" PRId64 " MiB, and %" PRId64 " MiB are free: the one that "
                 "serves is drained first",
                 mib(needed), free_bytes >> 20);
        return false;
    }
    if (m.available_bytes < 0)
        snprintf(reason, reason_size,
                 "the next one needs %" PRId64 " MiB; what is free is not known", mib(needed));
    else
        snprintf(reason, reason_size,
                 "the next one needs %" PRId64 " MiB, and %" PRId64 " MiB are free: both are held",
                 mib(needed), free_bytes >> 20);
    return true;
}
