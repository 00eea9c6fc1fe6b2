/* Mirrors in the test's own process, behind the transport table: each answers its next requests by
 * a script, then as it should. Exchanges block (fetch), or several are under way and bytes move in
 * wait alone, a piece of one of them a call, in an order drawn from a seed. */
#ifndef COVEY_TEST_DOWNLOAD_DOUBLE_H
#define COVEY_TEST_DOWNLOAD_DOUBLE_H

#include "support/support.h"

#include "agent/agent_download.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DOUBLE_BLOBS_MAX   64
#define DOUBLE_MIRRORS_MAX 4
#define DOUBLE_SCRIPT_MAX  256
#define DOUBLE_FLYING_MAX  8
#define DOUBLE_PIECE       4096

typedef struct double_act {
    int status;              /* 0: 200 or 206 */
    uint64_t cut_after;      /* the line breaks after so many bytes of this answer; 0: never */
    uint64_t ends_after;     /* the answer ends there, as if it were whole */
    bool spoil;              /* a wrong byte */
    bool spoil_always;       /* in every answer from here on */
    bool ignore_range;       /* 200 with all of it */
    bool shift_range;        /* a 206 that begins a byte later than asked for */
    bool early_range;        /* a 206 that begins a byte earlier */
    bool stall;              /* nothing comes any more once cut_after bytes came */
    bool endless;            /* and more, and more */
    bool long_head;          /* its Content-Length says more than there is */
    bool other_total;        /* its Content-Range is of another file */
    uint32_t retry_after_ms; /* */
} double_act;

typedef struct double_exchange {
    void *user; /* sink_user; NULL: free */
    covey_http_sink sink;
    covey_http_response *response;
    double_act act;
    int mirror, blob;
    uint64_t first, at; /* next byte of the blob */
    uint64_t sent;
} double_exchange;

typedef struct download_double {
    test_env test;
    covey_transport transport;
    uint64_t seed;
    uint8_t *blobs[DOUBLE_BLOBS_MAX];
    uint64_t sizes[DOUBLE_BLOBS_MAX];
    uint8_t digests[DOUBLE_BLOBS_MAX][32];
    int blob_count;
    double_act script[DOUBLE_MIRRORS_MAX][DOUBLE_SCRIPT_MAX];
    int script_count[DOUBLE_MIRRORS_MAX], script_at[DOUBLE_MIRRORS_MAX];
    bool spoiled[DOUBLE_MIRRORS_MAX];
    double_exchange flying[DOUBLE_FLYING_MAX];
    /* what was seen */
    int requests[DOUBLE_MIRRORS_MAX], ranges, conditions, most_flying, cancels;
    uint64_t bytes;
    /* the caller's side */
    covey__mirrors mirrors;
    covey__rate rate;
    uint32_t stall_ms; /* for engines that are made from here on */
    int taken[DOUBLE_BLOBS_MAX];
    uint8_t *streamed;
    uint64_t streamed_size;
    int restarts;
    char notes[8][300];
    int note_count;
    covey_status take_says;
} download_double;

static inline int double_blob_of(const download_double *d, const char *url) {
    uint8_t digest[32];
    const char *hex = strrchr(url, '/') + 1;
    assert_true(covey__unhex(hex, strlen(hex), digest, 32));
    for (int i = 0; i < d->blob_count; i++)
        if (!memcmp(d->digests[i], digest, 32)) return i;
    fail_msg("a blob that no one has: %s", url);
    return -1;
}

static inline void double_begin(download_double *d, const covey_http_request *request,
                                covey_http_response *response, covey_http_sink sink, void *user,
                                double_exchange *x) {
    int mirror = request->url[strlen("http://m")] - '0';
    assert_in_range(mirror, 0, DOUBLE_MIRRORS_MAX - 1);
    *x = (double_exchange){.user = user, .sink = sink, .response = response, .mirror = mirror};
    if (d->script_at[mirror] < d->script_count[mirror])
        x->act = d->script[mirror][d->script_at[mirror]++];
    if (x->act.spoil_always) d->spoiled[mirror] = true;
    x->blob = double_blob_of(d, request->url);
    d->requests[mirror]++;
    d->ranges += request->range_first > 0;
    d->conditions += request->header_count > 0;
    uint64_t size = d->sizes[x->blob], first = x->act.ignore_range ? 0 : request->range_first;
    covey_http_response answer = {.size = response->size, .status = first ? 206 : 200};
    if (x->act.shift_range && first) first++;
    if (x->act.early_range && first) first--;
    snprintf(answer.etag, sizeof answer.etag, "\"%d-%d\"", mirror, x->blob);
    if (answer.status == 206) {
        answer.range_first = first;
        answer.range_total = x->act.other_total ? size + 7 : size;
    }
    answer.content_length = (int64_t)(size - first) + (x->act.long_head ? 5 : 0);
    if (x->act.endless) answer.content_length = 0;
    if (x->act.status)
        answer = (covey_http_response){.size = response->size, .status = x->act.status};
    answer.retry_after_ms = x->act.retry_after_ms;
    *response = answer;
    x->first = x->at = first;
}

/* Sends a piece. True when the exchange is over, with `*status` as it ended. */
static inline bool double_move(download_double *d, double_exchange *x, covey_status *status,
                               covey_error *error) {
    uint8_t piece[DOUBLE_PIECE];
    const double_act *act = &x->act;
    uint64_t size = d->sizes[x->blob], n = sizeof piece;
    *status = COVEY_OK;
    if (act->status) {
        *status = x->sink(x->user, x->response, "{}", 2);
        return true;
    }
    if (act->cut_after && n > act->cut_after - x->sent) n = act->cut_after - x->sent;
    if (act->ends_after && n > act->ends_after - x->sent) n = act->ends_after - x->sent;
    if (!act->endless && n > size - x->at) n = size - x->at;
    if (!n && act->stall) return false;
    for (uint64_t i = 0; i < n; i++)
        piece[i] = x->at + i < size ? d->blobs[x->blob][x->at + i] : 'x';
    if (n && (act->spoil || d->spoiled[x->mirror])) piece[n / 2] ^= 1;
    x->at += n;
    x->sent += n;
    d->bytes += n;
    if (n) *status = x->sink(x->user, x->response, piece, (size_t)n);
    if (*status) {
        covey__fail(error, *status, "stopped by the receiver");
        return true;
    }
    if (act->cut_after && x->sent == act->cut_after && !act->stall) {
        *status = covey__fail(error, COVEY_ERROR_NETWORK, "the line broke");
        return true;
    }
    if (act->ends_after && x->sent == act->ends_after) return true;
    return !act->endless && !act->stall && x->at == size;
}

static inline covey_status double_blob_fetch(void *user, const covey_http_request *request,
                                             covey_http_response *response, covey_http_sink sink,
                                             void *sink_user, covey_error *error) {
    download_double *d = user;
    double_exchange x;
    covey_status status;
    double_begin(d, request, response, sink, sink_user, &x);
    while (!double_move(d, &x, &status, error))
        if (x.act.stall && x.sent == x.act.cut_after)
            return covey__fail(error, COVEY_ERROR_TIMEOUT, "nothing came");
    return status;
}

static inline covey_status double_lines_open(void *user, covey_http_lines **lines,
                                             covey_error *error) {
    (void)error;
    *lines = user;
    return COVEY_OK;
}

static inline covey_status double_lines_begin(covey_http_lines *lines,
                                              const covey_http_request *request,
                                              covey_http_response *response, covey_http_sink sink,
                                              void *sink_user, covey_error *error) {
    download_double *d = (download_double *)lines;
    int count = 0;
    double_exchange *free_one = NULL;
    for (int i = 0; i < DOUBLE_FLYING_MAX; i++) {
        assert_ptr_not_equal(d->flying[i].user, sink_user);
        if (d->flying[i].user)
            count++;
        else
            free_one = &d->flying[i];
    }
    (void)error;
    assert_non_null(free_one);
    if (count + 1 > d->most_flying) d->most_flying = count + 1;
    double_begin(d, request, response, sink, sink_user, free_one);
    return COVEY_OK;
}

static inline covey_status double_lines_wait(covey_http_lines *lines, uint32_t timeout_ms,
                                             void **ended, covey_error *error) {
    download_double *d = (download_double *)lines;
    covey_status status = COVEY_OK;
    *ended = NULL;
    int start = (int)(test_random(&d->seed) % DOUBLE_FLYING_MAX);
    for (int i = 0; i < DOUBLE_FLYING_MAX; i++) {
        double_exchange *x = &d->flying[(start + i) % DOUBLE_FLYING_MAX];
        if (!x->user) continue;
        if (x->act.stall && x->sent == x->act.cut_after) continue;
        if (double_move(d, x, &status, error)) {
            *ended = x->user;
            x->user = NULL;
        }
        return status;
    }
    struct timespec time = {.tv_nsec = (timeout_ms < 5 ? timeout_ms : 5) * 1000000L};
    (void)nanosleep(&time, NULL); /* as a line does on which nothing comes */
    return COVEY_OK;
}

static inline void double_lines_cancel(covey_http_lines *lines, void *sink_user) {
    download_double *d = (download_double *)lines;
    for (int i = 0; i < DOUBLE_FLYING_MAX; i++)
        if (d->flying[i].user == sink_user) {
            d->flying[i].user = NULL;
            d->cancels++;
            return;
        }
    fail_msg("an exchange was cancelled that is not under way");
}

static inline void double_lines_close(covey_http_lines *lines) {
    download_double *d = (download_double *)lines;
    for (int i = 0; i < DOUBLE_FLYING_MAX; i++) assert_null(d->flying[i].user);
}

#endif
