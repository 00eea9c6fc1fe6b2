/* Where blobs come from: download_mirrors.h. A mirror that fails is left alone for a random time
 * below a bound that doubles (full jitter), so that a fleet does not come back to it at once. One
 * that lacks some blobs is asked less and less; one that sent wrong bytes is asked when no other is
 * left. */
#include "agent/download_mirrors.h"

#include <stdio.h>
#include <string.h>

#define PAUSE_FIRST_MS 500
#define PAUSE_MAX_MS   900000
#define MISSES_MAX     3 /* in a row before a mirror is left alone for a while */

void covey__mirrors_add(covey__mirrors *mirrors, const char *url, covey__mirror_tier tier) {
    size_t size = strlen(url);
    while (size && url[size - 1] == '/') size--;
    if (!size || size >= COVEY__MIRROR_URL_SIZE) return;
    for (int32_t i = 0; i < mirrors->count; i++)
        if (!strncmp(mirrors->list[i].url, url, size) && !mirrors->list[i].url[size]) return;
    if (mirrors->count == COVEY__MIRRORS_MAX) return;
    covey__mirror *made = &mirrors->list[mirrors->count++];
    *made = (covey__mirror){.tier = tier};
    memcpy(made->url, url, size);
}

static bool is_better(const covey__mirror *a, const covey__mirror *b) {
    bool a_bad = a->bad_count > 0, b_bad = b->bad_count > 0;
    if (a_bad != b_bad) return b_bad;
    if (a->tier != b->tier) return a->tier < b->tier;
    return a->in_flight < b->in_flight;
}

int32_t covey__mirrors_choose(const covey__mirrors *mirrors, uint32_t tried, int64_t now_us) {
    int32_t best = -1;
    for (int32_t i = 0; i < mirrors->count; i++) {
        if (tried & (UINT32_C(1) << i) || mirrors->list[i].not_before_us > now_us) continue;
        if (best < 0 || is_better(&mirrors->list[i], &mirrors->list[best])) best = i;
    }
    return best;
}

/* Full jitter below a bound that doubles, but not before the server's own word. */
static void pause_for(const covey__mirrors *mirrors, covey__mirror *mirror, int32_t failures,
                      uint32_t retry_after_ms, int64_t now_us, uint64_t random) {
    int64_t bound = mirrors->pause_first_ms ? mirrors->pause_first_ms : PAUSE_FIRST_MS;
    for (int32_t i = 1; i < failures && bound < PAUSE_MAX_MS; i++) bound *= 2;
    if (bound > PAUSE_MAX_MS) bound = PAUSE_MAX_MS;
    int64_t pause = 1 + (int64_t)(random % (uint64_t)bound);
    if (pause < retry_after_ms) pause = retry_after_ms;
    if (pause > PAUSE_MAX_MS) pause = PAUSE_MAX_MS;
    mirror->not_before_us = now_us + pause * 1000;
}

void covey__mirrors_note(covey__mirrors *mirrors, int32_t mirror, covey__mirror_outcome outcome,
                         uint32_t retry_after_ms, int64_t now_us, uint64_t random) {
    covey__mirror *one = &mirrors->list[mirror];
    switch (outcome) {
    case COVEY__MIRROR_GOOD:
        one->failures = one->misses = 0; /* a pause that it asked for stays */
        break;
    case COVEY__MIRROR_MISSING: /* not a failure: it may not have it yet */
        one->failures = 0;
        if (++one->misses >= MISSES_MAX && mirrors->count > 1)
            pause_for(mirrors, one, one->misses - MISSES_MAX + 1, 0, now_us, random);
        break;
    case COVEY__MIRROR_BAD:
        one->bad_count++;
        break;
    case COVEY__MIRROR_FAILED:
        pause_for(mirrors, one, ++one->failures, retry_after_ms, now_us, random);
        break;
    }
}

int64_t covey__mirrors_wait_ms(const covey__mirrors *mirrors, int64_t now_us) {
    int64_t least = 0;
    for (int32_t i = 0; i < mirrors->count; i++) {
        int64_t left = mirrors->list[i].not_before_us - now_us;
        if (left <= 0) return 0;
        if (!least || left < least) least = left;
    }
    return (least + 999) / 1000;
}

void covey__mirrors_forgive(covey__mirrors *mirrors) {
    for (int32_t i = 0; i < mirrors->count; i++) mirrors->list[i].not_before_us = 0;
}
