/* Counters and histograms that several threads add to, and their text in Prometheus' exposition
 * format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). Plain structs: their owner
 * embeds them. */
#ifndef COVEY_TELEMETRY_METRICS_H
#define COVEY_TELEMETRY_METRICS_H

#include "base/buffer.h"

#include <stdatomic.h>

typedef struct covey__counter {
    atomic_uint_fast64_t value;
} covey__counter;
void covey__counter_add(covey__counter *counter, uint64_t amount);
uint64_t covey__counter_get(const covey__counter *counter);

#define COVEY__HISTOGRAM_BUCKETS 14
/* Upper bounds double from 1 ms to 8.192 s; the last bucket takes the rest. */
typedef struct covey__histogram {
    atomic_uint_fast64_t buckets[COVEY__HISTOGRAM_BUCKETS + 1];
    atomic_uint_fast64_t sum_us;
} covey__histogram;
void covey__histogram_add_us(covey__histogram *histogram, int64_t microseconds);

/* HELP and TYPE lines of one family; `type` is "counter", "gauge" or "histogram". */
void covey__metrics_family(covey__buffer *out, const char *name, const char *type,
                           const char *help);
/* One sample; `labels` is NULL or like outcome="ok". */
void covey__metrics_sample(covey__buffer *out, const char *name, const char *labels,
                           uint64_t value);
/* The family of a histogram in seconds. */
void covey__metrics_histogram(covey__buffer *out, const char *name, const char *help,
                              const covey__histogram *histogram);

#endif
