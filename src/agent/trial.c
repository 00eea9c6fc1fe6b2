/* How fast an ensemble answers, and whether that is slow; trial.h has the rule. No clock, no file:
 * a table tests it. */
#include "agent/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int covey__load_of(int32_t at_once) {
    return at_once <= 1 ? 0 : at_once <= 3 ? 1 : at_once <= 7 ? 2 : 3;
}

static int by_size(const void *a, const void *b) {
    const int64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* Of a full window. */
static int64_t median(const covey__window *window) {
    int64_t sorted[COVEY__TRIAL_WINDOW];
    memcpy(sorted, window->ns, sizeof sorted);
    qsort(sorted, COVEY__TRIAL_WINDOW, sizeof *sorted, by_size);
    int64_t low = sorted[COVEY__TRIAL_WINDOW / 2 - 1], high = sorted[COVEY__TRIAL_WINDOW / 2];
    return low + (high - low) / 2;
}

typedef struct judging {
    const char *what;
    int64_t before; /* the previous ensemble's; 0: not measured */
    int32_t slower_max_percent;
    int64_t *mine;
    bool *changed;
    char *message;
} judging;

/* Mixes a window into what is known: it moves by a quarter, so that one odd hour does not become
 * the measure. */
static void learn(const judging *by, int64_t now) {
    int64_t known = *by->mine, next = known ? known + (now - known) / 4 : now;
    if (next < 1) next = 1;
    if (next == known) return;
    *by->mine = next;
    *by->changed = true;
}

static covey__pace take(covey__window *window, int64_t ns, const judging *by) {
    window->ns[window->count++] = ns;
    if (window->count < COVEY__TRIAL_WINDOW) return COVEY__PACE_UNKNOWN;
    window->count = 0;
    int64_t now = median(window);
    learn(by, now);
    if (!by->before || !by->slower_max_percent) return COVEY__PACE_FINE;
    bool slow = (double)now * 100 > (double)by->before * by->slower_max_percent;
    window->strikes = slow ? window->strikes + 1 : 0;
    if (!slow) return COVEY__PACE_FINE;
    snprintf(by->message, 256,
             "it is slower than the one before: %s takes %.3f ms a token, %.3f ms before; %d %% is "
             "the limit",
             by->what, (double)now / 1e6, (double)by->before / 1e6, (int)by->slower_max_percent);
    return window->strikes >= COVEY__TRIAL_STRIKES ? COVEY__PACE_SLOW : COVEY__PACE_DOUBT;
}

/* A time that no clock tells, or an answer too short to measure, is none. */
static bool fits(int64_t us, int32_t tokens, int32_t tokens_min) {
    return us > 0 && us < INT64_MAX / 1000 && tokens >= tokens_min;
}

covey__pace covey__gauge_take(covey__gauge *gauge, const covey__timing *timing,
                              const covey__speed *before, int32_t slower_max_percent,
                              covey__speed *mine, bool *changed, char message[256]) {
    int load = covey__load_of(timing->at_once);
    judging by = {.slower_max_percent = slower_max_percent, .changed = changed, .message = message};
    covey__pace first = COVEY__PACE_UNKNOWN, later = COVEY__PACE_UNKNOWN;
    *changed = false;
    if (fits(timing->first_token_us, timing->prompt_tokens, COVEY__TRIAL_PROMPT_MIN)) {
        by.what = "the time to the first word";
        by.before = before ? before[load].prompt_ns : 0;
        by.mine = &mine[load].prompt_ns;
        first =
            take(&gauge->prompt[load], timing->first_token_us * 1000 / timing->prompt_tokens, &by);
    }
    if (fits(timing->decode_us, timing->answer_tokens, COVEY__TRIAL_ANSWER_MIN)) {
        by.what = "answering";
        by.before = before ? before[load].decode_ns : 0;
        by.mine = &mine[load].decode_ns;
        later = take(&gauge->decode[load], timing->decode_us * 1000 / timing->answer_tokens, &by);
    }
    return first > later ? first : later;
}

bool covey__gauge_in_doubt(const covey__gauge *gauge) {
    for (int i = 0; i < COVEY__LOADS; i++)
        if (gauge->prompt[i].strikes || gauge->decode[i].strikes) return true;
    return false;
}
