/* How fast an ensemble answers on this device, and whether a trial is slower than the one before
 * it: pure functions over what was measured at answers. machine.c decides what else a trial has to
 * show; agent_trial.c feeds both.
 *
 * The rule. Times are taken a token, so that a long prompt is no slow one: from the request to the
 * first token by the tokens of the prompt that were computed (at least 16), and the time after it
 * by the tokens of the answer (at least 8). They are kept apart by how many answers were computed
 * at once. A window is full with 16 such answers; its medians are what is compared, so no single
 * slow answer counts. A trial is slow when the medians of two windows in a row, in the same
 * measure, took more than the policy's percentage of what the previous ensemble's took here under
 * the same load. Answers that were computed beside another ensemble's, on a hot device or while
 * other programs kept the machine busy, are not measured. */
#ifndef COVEY_AGENT_TRIAL_H
#define COVEY_AGENT_TRIAL_H

#include "agent/machine.h"

#define COVEY__TRIAL_WINDOW     16
#define COVEY__TRIAL_PROMPT_MIN 16
#define COVEY__TRIAL_ANSWER_MIN 8
#define COVEY__TRIAL_STRIKES    2 /* slow windows in a row that make a trial slow */

/* Times of one measure under one load, until they fill a window. */
typedef struct covey__window {
    int64_t ns[COVEY__TRIAL_WINDOW];
    int32_t count;
    int32_t strikes; /* slow windows in a row */
} covey__window;

/* What this process measured of the ensemble with this digest. */
typedef struct covey__gauge {
    char digest[65];
    covey__window prompt[COVEY__LOADS], decode[COVEY__LOADS];
} covey__gauge;

/* An answer that came whole. */
typedef struct covey__timing {
    int32_t prompt_tokens; /* that were computed */
    int32_t answer_tokens;
    int64_t first_token_us, decode_us;
    int32_t at_once; /* answers computed then, this one included */
} covey__timing;

typedef enum covey__pace {
    COVEY__PACE_UNKNOWN, /* nothing to say yet */
    COVEY__PACE_FINE,    /* a window was full, and not slow */
    COVEY__PACE_DOUBT,   /* a window was slow: the next one tells */
    COVEY__PACE_SLOW     /* and was slow again */
} covey__pace;

/* Which of COVEY__LOADS. */
int covey__load_of(int32_t at_once);

/* Takes one answer. Where a window fills, it is held against `before` (of the previous ensemble, or
 * NULL), judged, and mixed into `mine`, the speeds of this one; `*changed` says that it was. The
 * verdict is of the windows that this answer filled; a slow one outweighs a fine one. `message`
 * says with figures what was slow. `slower_max_percent` of 0 judges nothing. */
covey__pace covey__gauge_take(covey__gauge *gauge, const covey__timing *timing,
                              const covey__speed *before, int32_t slower_max_percent,
                              covey__speed *mine, bool *changed, char message[256]);
/* Whether a slow window waits for the one that settles it. */
bool covey__gauge_in_doubt(const covey__gauge *gauge);

#endif
