/* One exchange of a download: the request, each piece as it comes, and what its end means. Whatever
 * a mirror answers, the bytes here stay the blob's first ones in order: a 200 where a rest was
 * asked for is taken from its start, a 206 from where it says it begins, and what would leave a gap
 * is refused. */
#include "agent/download_parts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CONNECT_TIMEOUT_MS 10000
#define REFUSED_BYTES_MAX  (64u << 10) /* of an error's page */
#define RESTARTS_MAX       4
#define NAP_US             20000
#define PROGRESS_BYTES     65536 /* an exchange that broke after so many is simply gone on with */

uint64_t covey__download_random(const covey__download *download) {
    uint64_t value = 0;
    if (covey__random(download->env, &value, sizeof value, NULL))
        value = (uint64_t)covey__monotonic_us() * UINT64_C(0x9e3779b97f4a7c15);
    return value;
}

void covey__download_fail(covey__download *download, covey_status status,
                          const covey_error *error) {
    if (download->failed) return; /* the first one is told */
    download->failed = status;
    download->failed_error = *error;
}

void covey__download_release(covey__download_slot *slot) {
    covey__download *d = slot->download;
    covey__free(d->env, slot->bytes);
    memset(slot, 0, sizeof *slot);
    slot->download = d;
    slot->mirror = -1;
}

/* ---- Pieces -----------------------------------------------------------------------------------
 */

static covey_status refuse(covey__download_slot *slot, covey_status status, const char *format, ...)
    COVEY_PRINTF(3, 4);
static covey_status refuse(covey__download_slot *slot, covey_status status, const char *format,
                           ...) {
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    slot->why = status;
    return covey__fail_sizes(&slot->why_error, status, 0, slot->response.status, "%s", text);
}

/* What the head says of the blob, before a byte of it is taken. */
static covey_status check_head(covey__download_slot *slot, const covey_http_response *response) {
    uint64_t size = slot->item.size, first = response->status == 206 ? response->range_first : 0;
    uint64_t length = response->content_length > 0 ? (uint64_t)response->content_length : 0;
    if (first > slot->have)
        return refuse(slot, COVEY_ERROR_REMOTE,
                      "the server sent bytes from %" PRIu64 " on where those from %" PRIu64
                      " were asked for",
                      first, slot->have);
    if (response->status == 206 && response->range_total && response->range_total != size)
        return refuse(slot, COVEY_ERROR_REMOTE,
                      "the server's file has %" PRIu64 " bytes, the blob %" PRIu64,
                      response->range_total, size);
    if (length > size - first || (response->status == 200 && length && length != size))
        return refuse(slot, COVEY_ERROR_REMOTE,
                      "the server would send %" PRIu64 " bytes that are not the %" PRIu64
                      " asked for",
                      length, size - first);
    slot->at = first;
    if (response->status == 200 && slot->have) slot->rangeless |= UINT32_C(1) << slot->mirror;
    bool strong = response->etag[0] == '"';
    snprintf(slot->etag, sizeof slot->etag, "%s", strong ? response->etag : "");
    slot->etag_mirror = slot->mirror;
    slot->sources |= UINT32_C(1) << slot->mirror;
    return COVEY_OK;
}

static covey_status keep(covey__download_slot *slot, const uint8_t *data, size_t size) {
    if (slot->item.take) {
        if (slot->at < slot->have && slot->saved > slot->at) {
            size_t both = (size_t)(slot->have - slot->at);
            if (memcmp(slot->bytes + slot->at, data, both < size ? both : size) != 0)
                covey__partial_drop(slot); /* what is written next is written whole */
        }
        memcpy(slot->bytes + slot->at, data, size);
        slot->at += size;
        if (slot->have < slot->at) slot->have = slot->at;
        return COVEY_OK;
    }
    uint64_t known = slot->have - slot->at; /* was handed on before */
    if (known > size) known = size;
    slot->at += size;
    data += known;
    size -= (size_t)known;
    if (!size) return COVEY_OK;
    covey_status status =
        slot->item.data(slot->item.user, &slot->item, slot->have, data, size, &slot->why_error);
    if (status) {
        slot->fatal = true;
        return slot->why = status;
    }
    covey__sha256_update(&slot->item.hash, data, size);
    slot->have += size;
    return COVEY_OK;
}

static bool is_stopped(const covey__download *d) {
    return d->options.stop && atomic_load(d->options.stop);
}

static void nap(int64_t us) {
    struct timespec time = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (us % 1000000) * 1000};
    if (us > 0) (void)nanosleep(&time, NULL);
}

/* Where exchanges block, the rate and the deadline are kept here. What was received by then stays,
 * and the rest is asked for in the next run. */
static covey_status hold_back(covey__download_slot *slot) {
    covey__download *d = slot->download;
    if (d->lines) return COVEY_OK;
    for (;;) {
        int64_t now_us = covey__monotonic_us();
        int64_t wait_us = d->options.rate ? covey__rate_wait_us(d->options.rate, now_us) : 0;
        if (is_stopped(d)) return refuse(slot, COVEY_ERROR_CANCELLED, "stopped");
        bool some = slot->slow_bytes >= 16384;
        if (now_us >= d->deadline_us && some && slot->have < slot->item.size)
            return refuse(slot, COVEY_ERROR_BUSY, "out of time");
        if (!wait_us) return COVEY_OK;
        if (now_us >= d->deadline_us) return COVEY_OK; /* a debt, for the next run to pay */
        int64_t left_us = d->deadline_us - now_us;
        if (wait_us > left_us) wait_us = left_us;
        nap(wait_us < NAP_US ? wait_us : NAP_US);
    }
}

static covey_status on_piece(void *user, const covey_http_response *response, const void *data,
                             size_t size) {
    covey__download_slot *slot = user;
    covey__download *d = slot->download;
    char hex[65];
    if (slot->why) return slot->why;
    d->counts.received_bytes += size;
    if (d->options.rate) covey__rate_spend(d->options.rate, size, covey__monotonic_us());
    slot->idle_us = 0;
    slot->slow_bytes += size;
    covey__hex(slot->item.sha256, 32, hex);
    if (covey__fault(d->env, "net.data", hex))
        return refuse(slot, COVEY_ERROR_NETWORK, "the line broke on purpose");
    if (response->status != 200 && response->status != 206) {
        slot->response = *response;
        slot->refused_bytes += size;
        return slot->refused_bytes > REFUSED_BYTES_MAX ? COVEY_ERROR_REMOTE : COVEY_OK;
    }
    covey_status status = slot->head_seen ? COVEY_OK : check_head(slot, response);
    slot->head_seen = true;
    if (status) return status;
    uint64_t room = slot->item.size - slot->at;
    bool more = size > room;
    status = keep(slot, data, more ? (size_t)room : size);
    if (status) return status;
    if (more) return COVEY_ERROR_LIMIT; /* it is whole; what follows it is not wanted */
    return hold_back(slot);
}

/* ---- The request ------------------------------------------------------------------------------
 */

void covey__download_ask(covey__download_slot *slot) {
    covey__download *d = slot->download;
    char hex[65], condition[160];
    const char *headers[1] = {condition};
    covey_error error = {0};
    covey__mirror *mirror = &d->options.mirrors->list[slot->mirror];
    bool ranges = !(slot->rangeless & UINT32_C(1) << slot->mirror);
    covey__hex(slot->item.sha256, 32, hex);
    char *url = covey__format(d->env, "%s/sha256/%s", mirror->url, hex);
    covey_http_request request = {.size = sizeof request,
                                  .method = "GET",
                                  .url = url,
                                  .headers = headers,
                                  .range_first = ranges ? slot->have : 0,
                                  .body_bytes_max = UINT64_MAX, /* on_piece has the bound */
                                  .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                  .idle_timeout_ms = d->options.stall_ms};
    /* The digest is the truth; this only spares what a changed file would cost. */
    if (request.range_first && slot->etag[0] && slot->etag_mirror == slot->mirror) {
        snprintf(condition, sizeof condition, "If-Range: %s", slot->etag);
        request.header_count = 1;
    }
    slot->response = (covey_http_response){.size = sizeof slot->response};
    slot->head_seen = slot->fatal = false;
    slot->why = COVEY_OK;
    slot->at = 0;
    slot->begun = slot->have;
    slot->refused_bytes = slot->slow_bytes = 0;
    slot->idle_us = slot->slow_us = 0;
    slot->state = COVEY__SLOT_FLYING;
    slot->saved_us = covey__monotonic_us();
    mirror->in_flight++;
    const covey_transport *t = d->transport;
    covey_status status = COVEY_OK;
    if (!url)
        status = covey__no_memory(&error, "an address", 0);
    else if (covey__fault(d->env, "net.begin", url))
        status = covey__fail(&error, COVEY_ERROR_NETWORK, "the request failed on purpose");
    else if (d->lines)
        status = t->begin(d->lines, &request, &slot->response, on_piece, slot, &error);
    else
        status = t->fetch(t->user, &request, &slot->response, on_piece, slot, &error);
    covey__free(d->env, url);
    if (status || !d->lines) covey__download_settle(slot, status, &error);
}

/* ---- The end ----------------------------------------------------------------------------------
 */

static void start_over(covey__download_slot *slot) {
    slot->have = slot->from_disk = 0;
    slot->sources = 0;
    slot->etag[0] = 0;
    covey__sha256_init(&slot->item.hash);
    covey__partial_drop(slot);
    slot->restart_count++;
}

/* Gives the mirror up for this blob, and remembers what it said. */
static void give_up(covey__download_slot *slot, covey__mirror_outcome outcome, covey_status status,
                    const char *what) {
    covey__download *d = slot->download;
    char hex[65];
    int http = slot->response.status;
    covey__mirror *mirror = &d->options.mirrors->list[slot->mirror];
    covey__mirrors_note(d->options.mirrors, slot->mirror, outcome, slot->response.retry_after_ms,
                        covey__monotonic_us(), covey__download_random(d));
    slot->tried |= UINT32_C(1) << slot->mirror;
    if (http == 404)
        slot->said_404++;
    else if (http == 410)
        slot->said_410++;
    else
        slot->said_other++;
    covey__hex(slot->item.sha256, 32, hex);
    if (http == 404 || http == 410) {
        if (slot->said_other) return; /* that is to be told: it may pass */
        http = slot->said_404 ? 404 : 410;
    }
    covey_error *error = &slot->last_error;
    if (d->options.mirrors->count > 1)
        status = covey__fail_sizes(error, status, 0, http, "blob %.16s…: %.120s: %s", hex,
                                   mirror->url, what);
    else
        status = covey__fail_sizes(error, status, 0, http, "blob %.16s…: %s", hex, what);
    covey__log(d->env, COVEY_LOG_INFO, "agent", "%s", error->message);
}

/* A line that broke after it brought something: the rest is asked for as if nothing were wrong with
 * the mirror, after a short pause. */
static bool goes_on(covey__download_slot *slot) {
    covey__download *d = slot->download;
    if (slot->have < slot->begun + PROGRESS_BYTES) return false;
    d->options.mirrors->list[slot->mirror].failures = 0;
    covey__mirrors_note(d->options.mirrors, slot->mirror, COVEY__MIRROR_FAILED, 0,
                        covey__monotonic_us(), covey__download_random(d));
    return true;
}

static void on_refused(covey__download_slot *slot) {
    char what[64];
    int http = slot->response.status;
    snprintf(what, sizeof what, "the server answered %d", http);
    uint32_t bit = UINT32_C(1) << slot->mirror;
    if (http == 416 && slot->have && !(slot->rangeless & bit)) {
        if (slot->item.take) start_over(slot);
        slot->rangeless |= bit; /* a stream asks for all and skips what it has */
        return;
    }
    bool gone = http == 404 || http == 410;
    give_up(slot, gone ? COVEY__MIRROR_MISSING : COVEY__MIRROR_FAILED, COVEY_ERROR_REMOTE, what);
}

/* All bytes came, and their digest is another. A mirror is to blame only where all of them are its
 * own. */
static void on_wrong(covey__download_slot *slot) {
    covey__download *d = slot->download;
    char hex[65], message[300];
    bool one_source = !(slot->sources & (slot->sources - 1));
    bool blamed = one_source && !slot->from_disk && !slot->item.first;
    const char *url = d->options.mirrors->list[slot->mirror].url;
    covey__hex(slot->item.sha256, 32, hex);
    if (slot->item.done) {
        covey_error error = {0};
        covey_status status =
            slot->item.done(slot->item.user, &slot->item, COVEY_ERROR_MISMATCH, &error);
        if (status) {
            covey__download_fail(d, status, &error);
            covey__download_release(slot);
            return;
        }
    }
    if (blamed) {
        snprintf(message, sizeof message,
                 "blob %.16s… came from %.120s with other bytes than its name says; it is fetched "
                 "again",
                 hex, url);
        covey__log(d->env, COVEY_LOG_WARN, "agent", "%s", message);
        if (d->options.note) d->options.note(d->options.note_user, url, message);
        give_up(slot, COVEY__MIRROR_BAD, COVEY_ERROR_REMOTE,
                "the server sent bytes that are not the blob's: their digest differs");
        if (!slot->wrong_count++ &&
            covey__mirrors_choose(d->options.mirrors, slot->tried, covey__monotonic_us()) < 0)
            slot->tried &= ~(UINT32_C(1) << slot->mirror); /* once more: the line may have erred */
    } else if (slot->restart_count >= RESTARTS_MAX) {
        give_up(slot, COVEY__MIRROR_FAILED, COVEY_ERROR_REMOTE,
                "its bytes came wrong again and again");
    }
    slot->item.first = 0;
    start_over(slot);
}

static void on_whole(covey__download_slot *slot) {
    covey__download *d = slot->download;
    uint8_t digest[32];
    covey_error error = {0};
    covey_status status = COVEY_OK;
    if (slot->item.take) {
        covey__sha256_of(slot->bytes, (size_t)slot->item.size, digest);
    } else {
        covey__sha256 hash = slot->item.hash;
        covey__sha256_final(&hash, digest);
    }
    if (memcmp(digest, slot->item.sha256, 32) != 0) {
        on_wrong(slot);
        return;
    }
    covey__mirrors_note(d->options.mirrors, slot->mirror, COVEY__MIRROR_GOOD, 0, 0, 0);
    d->counts.useful_bytes += slot->item.size - slot->from_disk - slot->item.first;
    if (slot->item.take)
        status = slot->item.take(slot->item.user, &slot->item, slot->bytes, &error);
    else if (slot->item.done)
        status = slot->item.done(slot->item.user, &slot->item, COVEY_OK, &error);
    if (status)
        covey__download_fail(d, status, &error);
    else
        covey__partial_drop(slot);
    covey__download_release(slot);
}

void covey__download_settle(covey__download_slot *slot, covey_status status,
                            const covey_error *error) {
    covey__download *d = slot->download;
    char hex[65];
    int http = slot->response.status;
    d->options.mirrors->list[slot->mirror].in_flight--;
    slot->state = COVEY__SLOT_WAITING;
    covey__hex(slot->item.sha256, 32, hex);
    if (!status && covey__fault(d->env, "net.end", hex)) {
        status = slot->why = COVEY_ERROR_NETWORK;
        (void)covey__fail(&slot->why_error, status, "the line broke on purpose");
    }
    const covey_error *why = slot->why ? &slot->why_error : error;
    if (slot->fatal || status == COVEY_ERROR_NO_MEMORY) {
        covey__download_fail(d, status, why);
    } else if (slot->have == slot->item.size) {
        on_whole(slot);
        return;
    } else if (slot->why == COVEY_ERROR_BUSY || slot->why == COVEY_ERROR_CANCELLED) {
        return; /* from here; it goes on later */
    } else if (http && http != 200 && http != 206) {
        on_refused(slot);
        return;
    } else if (goes_on(slot)) {
        covey__log(d->env, COVEY_LOG_DEBUG, "agent",
                   "blob %.16s…: the line broke after %" PRIu64 " of %" PRIu64 " bytes", hex,
                   slot->have, slot->item.size);
    } else if (status) {
        bool long_one = status == COVEY_ERROR_LIMIT; /* the server's doing, not the release's */
        give_up(slot, COVEY__MIRROR_FAILED, long_one ? COVEY_ERROR_REMOTE : status, why->message);
    } else {
        char what[96];
        snprintf(what, sizeof what, "the answer ended after %" PRIu64 " of %" PRIu64 " bytes",
                 slot->have, slot->item.size);
        give_up(slot, COVEY__MIRROR_FAILED, COVEY_ERROR_NETWORK, what);
    }
    covey__partial_save(slot);
}
