/* Counters and histograms with relaxed atomics: a sample that is a moment old does no harm, and no
 * reader sees a count without its addend for longer than that. */
#include "telemetry/metrics.h"

#include <inttypes.h>

void covey__counter_add(covey__counter *counter, uint64_t amount) {
    atomic_fetch_add_explicit(&counter->value, amount, memory_order_relaxed);
}

uint64_t covey__counter_get(const covey__counter *counter) {
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

void covey__histogram_add_us(covey__histogram *histogram, int64_t microseconds) {
    uint64_t us = microseconds > 0 ? (uint64_t)microseconds : 0;
    int bucket = 0;
    while (bucket < COVEY__HISTOGRAM_BUCKETS && us > (UINT64_C(1000) << bucket)) bucket++;
    atomic_fetch_add_explicit(&histogram->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us, us, memory_order_relaxed);
}

void covey__metrics_family(covey__buffer *out, const char *name, const char *type,
                           const char *help) {
    covey__buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void covey__metrics_sample(covey__buffer *out, const char *name, const char *labels,
                           uint64_t value) {
    if (labels)
        covey__buffer_format(out, "%s{%s} %" PRIu64 "\n", name, labels, value);
    else
        covey__buffer_format(out, "%s %" PRIu64 "\n", name, value);
}

void covey__metrics_histogram(covey__buffer *out, const char *name, const char *help,
                              const covey__histogram *histogram) {
    covey__metrics_family(out, name, "histogram", help);
    uint64_t count = 0;
    for (int i = 0; i <= COVEY__HISTOGRAM_BUCKETS; i++) {
        count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        if (i < COVEY__HISTOGRAM_BUCKETS) {
            uint64_t ms = UINT64_C(1) << i;
            covey__buffer_format(out, "%s_bucket{le=\"%" PRIu64 ".%03" PRIu64 "\"} %" PRIu64 "\n",
                                 name, ms / 1000, ms % 1000, count);
        } else {
            covey__buffer_format(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
        }
    }
    uint64_t sum = atomic_load_explicit(&histogram->sum_us, memory_order_relaxed);
    covey__buffer_format(out, "%s_sum %" PRIu64 ".%06" PRIu64 "\n%s_count %" PRIu64 "\n", name,
                         sum / 1000000, sum % 1000000, name, count);
}
