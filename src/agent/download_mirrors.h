/* Where blobs come from: base addresses, each with what is known of its health. A pure table: time
 * and randomness are given to it. */
#ifndef COVEY_AGENT_DOWNLOAD_MIRRORS_H
#define COVEY_AGENT_DOWNLOAD_MIRRORS_H

#include <covey/base.h>

#define COVEY__MIRRORS_MAX     10 /* the user's, eight of the control plane's, and its own */
#define COVEY__MIRROR_URL_SIZE 512

/* Whoever is in a lower tier is asked first, as long as it is healthy. */
typedef enum covey__mirror_tier {
    COVEY__MIRROR_USERS,  /* named in policy.json */
    COVEY__MIRROR_NAMED,  /* named by the control plane */
    COVEY__MIRROR_ORIGIN, /* the control plane's own */
} covey__mirror_tier;

typedef struct covey__mirror {
    char url[COVEY__MIRROR_URL_SIZE]; /* blobs lie at URL/sha256/HEX */
    covey__mirror_tier tier;
    int32_t failures;      /* in a row: errors of the line, 5xx, 429, 403 */
    int32_t misses;        /* in a row: 404 and 410 */
    int32_t bad_count;     /* blobs whose bytes were wrong */
    int32_t in_flight;     /* exchanges under way */
    int64_t not_before_us; /* monotonic; 0: now */
} covey__mirror;

typedef struct covey__mirrors {
    covey__mirror list[COVEY__MIRRORS_MAX];
    int32_t count;
    int32_t pause_first_ms; /* the bound of the first pause; 0: 500 */
} covey__mirrors;

/* Adds one, unless it is there already or there are too many; what is known of it stays. */
void covey__mirrors_add(covey__mirrors *mirrors, const char *url, covey__mirror_tier tier);

/* The healthiest one that is not in the bit set `tried` and may be asked now, or -1. */
int32_t covey__mirrors_choose(const covey__mirrors *mirrors, uint32_t tried, int64_t now_us);

/* What came of an exchange. */
typedef enum covey__mirror_outcome {
    COVEY__MIRROR_GOOD,
    COVEY__MIRROR_MISSING, /* 404, 410 */
    COVEY__MIRROR_FAILED,  /* to be asked again after a pause; `retry_after_ms` at least */
    COVEY__MIRROR_BAD      /* wrong bytes */
} covey__mirror_outcome;
void covey__mirrors_note(covey__mirrors *mirrors, int32_t mirror, covey__mirror_outcome outcome,
                         uint32_t retry_after_ms, int64_t now_us, uint64_t random);

/* Ends all pauses: whoever waits for a retry by its own rule has waited. */
void covey__mirrors_forgive(covey__mirrors *mirrors);

/* How long until any mirror may be asked, in ms; 0 when one may now. */
int64_t covey__mirrors_wait_ms(const covey__mirrors *mirrors, int64_t now_us);

#endif
