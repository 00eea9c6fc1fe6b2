/* covey bench --drafts: what drafts gain at a given share of right guesses. */
#ifndef COVEY_APPS_BENCH_DRAFTS_H
#define COVEY_APPS_BENCH_DRAFTS_H

#include <covey/session.h>

typedef struct bench_drafts {
    double share;    /* of guessed tokens that are right, 0 to 1 */
    int32_t tokens;  /* of an answer */
    int32_t draft;   /* of one draft */
    int32_t repeats; /* medians of so many pairs */
    covey_kv_type kv;
    bool json;
} bench_drafts;

covey_status bench_drafts_run(covey_model *model, const bench_drafts *bench, covey_error *error);

#endif
