/* Downloads: which blob is asked for where and when. The engine has a few slots, each for one blob
 * on its way; a run begins exchanges for those that wait, lets bytes move, and ends when there is
 * room again, or at its deadline. download_exchange.c knows what an answer means. */
#include "agent/download_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define STALL_MS     15000
#define WAIT_MS      100    /* at most, so that the stop flag is seen */
#define LAST_WAIT_MS 10     /* of a run whose deadline has passed when it begins */
#define COUNTED_US   200000 /* of a wait, at most: the process may have been stopped in it */
#define SAVE_US      INT64_C(2000000)
#define SAVE_BYTES   65536
#define PATIENCE_MS                                                                                \
    2000 /* for a mirror that is to be left alone, where nothing else is under way */
#define SLOW_US         INT64_C(20000000)
#define SLOW_BYTES_S    512   /* whoever sends less for long is asked no more */
#define LINE_RATE_BYTES 65536 /* a second, that a line should have, or there are fewer of them */

covey_status covey__download_new(const covey__env *env, const covey__download_options *options,
                                 covey__download **download, covey_error *error) {
    *download = NULL;
    const covey_transport *transport = env->transport;
    if (!transport || !transport->fetch)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "this program was built without a transport");
    covey__download *made = covey__calloc(env, 1, sizeof *made);
    if (!made) return covey__no_memory(error, "downloads", sizeof *made);
    made->env = env;
    made->options = *options;
    made->transport = transport;
    made->fresh = true;
    if (!made->options.stall_ms) made->options.stall_ms = STALL_MS;
    made->slot_count = options->in_flight_max ? options->in_flight_max : COVEY__DOWNLOAD_IN_FLIGHT;
    made->slots = covey__calloc(env, made->slot_count, sizeof *made->slots);
    covey_status status =
        made->slots ? COVEY_OK : covey__no_memory(error, "downloads", made->slot_count);
    for (size_t i = 0; !status && i < made->slot_count; i++)
        made->slots[i] = (covey__download_slot){.download = made, .mirror = -1};
    if (!status && options->partial_folder) {
        made->partial_folder = covey__strdup(env, options->partial_folder);
        if (!made->partial_folder) status = covey__no_memory(error, "a path", 0);
        if (!status) covey__partial_clean(env, made->partial_folder);
    }
    bool several = transport->open && transport->begin && transport->wait && transport->cancel &&
                   transport->close;
    if (!status && several) status = transport->open(transport->user, &made->lines, error);
    if (status) {
        covey__download_free(made);
        return status;
    }
    *download = made;
    return COVEY_OK;
}

static void drop_slot(covey__download_slot *slot) {
    covey__download *d = slot->download;
    if (slot->state == COVEY__SLOT_FLYING) {
        d->transport->cancel(d->lines, slot);
        d->options.mirrors->list[slot->mirror].in_flight--;
    }
    if (slot->state != COVEY__SLOT_FREE) covey__partial_save(slot);
    covey__download_release(slot);
}

void covey__download_stop(covey__download *download) {
    for (size_t i = 0; i < download->slot_count; i++) drop_slot(&download->slots[i]);
    download->failed = COVEY_OK;
    download->fresh = true;
}

void covey__download_free(covey__download *download) {
    if (!download) return;
    if (download->slots) covey__download_stop(download);
    if (download->lines) download->transport->close(download->lines);
    covey__free(download->env, download->slots);
    covey__free(download->env, download->partial_folder);
    covey__free(download->env, download);
}

/* ---- Blobs ------------------------------------------------------------------------------------
 */

static size_t count_state(const covey__download *download, covey__slot_state state) {
    size_t count = 0;
    for (size_t i = 0; i < download->slot_count; i++) count += download->slots[i].state == state;
    return count;
}

size_t covey__download_room(const covey__download *download) {
    return download->failed ? 0 : count_state(download, COVEY__SLOT_FREE);
}

bool covey__download_has(const covey__download *download, const uint8_t sha256[32]) {
    for (size_t i = 0; i < download->slot_count; i++)
        if (download->slots[i].state != COVEY__SLOT_FREE &&
            !memcmp(download->slots[i].item.sha256, sha256, 32))
            return true;
    return false;
}

covey_status covey__download_add(covey__download *download, const covey__download_item *item,
                                 covey_error *error) {
    if (!item->size || (item->take && item->size > COVEY__DOWNLOAD_WHOLE_MAX) ||
        !item->take == !item->data || (item->data && !item->done) || item->first >= item->size)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "download: no such blob");
    for (size_t i = 0; i < download->slot_count; i++) {
        covey__download_slot *slot = &download->slots[i];
        if (slot->state != COVEY__SLOT_FREE) continue;
        slot->item = *item;
        if (item->take) {
            slot->item.first = 0;
            slot->bytes = covey__alloc(download->env, (size_t)item->size);
            if (!slot->bytes) return covey__no_memory(error, "a blob", (size_t)item->size);
            covey__partial_load(slot);
        } else {
            slot->have = item->first;
        }
        slot->state = COVEY__SLOT_WAITING;
        return COVEY_OK;
    }
    return covey__fail(error, COVEY_ERROR_LIMIT, "download: %zu blobs are under way already",
                       download->slot_count);
}

covey__download_counts covey__download_count(const covey__download *download) {
    covey__download_counts counts = download->counts;
    for (size_t i = 0; i < download->slot_count; i++) {
        const covey__download_slot *slot = &download->slots[i];
        if (slot->state != COVEY__SLOT_FREE)
            counts.useful_bytes += slot->have - slot->from_disk - slot->item.first;
    }
    return counts;
}

/* ---- Beginning --------------------------------------------------------------------------------
 */

static size_t in_flight_max(const covey__download *d) {
    int64_t most = d->options.rate ? d->options.rate->bytes_per_second_max : 0;
    if (!d->lines) return 1;
    if (!most || most / LINE_RATE_BYTES >= (int64_t)d->slot_count) return d->slot_count;
    return most > LINE_RATE_BYTES ? (size_t)(most / LINE_RATE_BYTES) : 1;
}

/* A blob that every mirror was asked for in vain. */
static void lose(covey__download_slot *slot) {
    covey__download *d = slot->download;
    covey_error none = {0};
    const covey_error *error = slot->last_error.status ? &slot->last_error : &none;
    if (!slot->last_error.status)
        (void)covey__fail(&none, COVEY_ERROR_NETWORK, "no mirror may be asked now");
    covey__download_fail(d, error->status, error);
    d->counts.retry_after_ms =
        (uint32_t)covey__mirrors_wait_ms(d->options.mirrors, covey__monotonic_us());
    covey__partial_save(slot);
    covey__download_release(slot);
}

static bool all_tried(const covey__download_slot *slot) {
    uint32_t all = (UINT32_C(1) << slot->download->options.mirrors->count) - 1;
    return (slot->tried & all) == all;
}

/* Asks for what waits, as far as there are lines and mirrors. One at a time where exchanges block.
 */
static void begin_waiting(covey__download *d) {
    size_t flying = count_state(d, COVEY__SLOT_FLYING), most = in_flight_max(d);
    for (size_t i = 0; i < d->slot_count && flying < most && !d->failed; i++) {
        covey__download_slot *slot = &d->slots[i];
        if (slot->state != COVEY__SLOT_WAITING) continue;
        int64_t now_us = covey__monotonic_us();
        int32_t mirror = covey__mirrors_choose(d->options.mirrors, slot->tried, now_us);
        if (mirror < 0 && !all_tried(slot) &&
            (flying || covey__mirrors_wait_ms(d->options.mirrors, now_us) <= PATIENCE_MS))
            continue; /* one may be asked soon */
        if (mirror < 0) {
            lose(slot);
            continue;
        }
        slot->mirror = mirror;
        covey__download_ask(slot);
        flying = count_state(d, COVEY__SLOT_FLYING);
        if (!d->lines) return;
    }
}

/* ---- Moving -----------------------------------------------------------------------------------
 */

static void rest(int64_t us) {
    struct timespec time = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (us % 1000000) * 1000};
    if (us > 0) (void)nanosleep(&time, NULL);
}

static void end_flight(covey__download_slot *slot, covey_status status, const char *what) {
    covey_error error = {0};
    status = covey__fail(&error, status, "%s", what);
    slot->download->transport->cancel(slot->download->lines, slot);
    covey__download_settle(slot, status, &error);
}

/* Drops whoever sends nothing, or next to nothing, in `us` of waiting for it. */
static void look_at_stalls(covey__download *d, int64_t us) {
    int64_t floor = SLOW_BYTES_S,
            ceiling = d->options.rate ? d->options.rate->bytes_per_second_max : 0;
    if (ceiling && ceiling / 16 < floor) floor = ceiling / 16;
    if (us > COUNTED_US) us = COUNTED_US;
    for (size_t i = 0; i < d->slot_count; i++) {
        covey__download_slot *slot = &d->slots[i];
        if (slot->state != COVEY__SLOT_FLYING) continue;
        slot->idle_us += us;
        slot->slow_us += us;
        if (slot->idle_us >= (int64_t)d->options.stall_ms * 1000) {
            end_flight(slot, COVEY_ERROR_TIMEOUT, "nothing came for too long");
        } else if (slot->slow_us >= SLOW_US) {
            bool slow = slot->slow_bytes < (uint64_t)(floor * (slot->slow_us / 1000000));
            slot->slow_us = 0;
            slot->slow_bytes = 0;
            if (slow) end_flight(slot, COVEY_ERROR_TIMEOUT, "the server sends too slowly");
        }
    }
}

static void save_slow_ones(covey__download *d, int64_t now_us) {
    for (size_t i = 0; i < d->slot_count; i++) {
        covey__download_slot *slot = &d->slots[i];
        if (slot->state != COVEY__SLOT_FLYING || now_us < slot->saved_us + SAVE_US ||
            slot->have < slot->saved + SAVE_BYTES)
            continue;
        covey__partial_save(slot);
        slot->saved_us = now_us;
    }
}

static void end_all(covey__download *d, covey_status status, const covey_error *error) {
    for (size_t i = 0; i < d->slot_count; i++)
        if (d->slots[i].state == COVEY__SLOT_FLYING)
            end_flight(&d->slots[i], status, error->message);
}

/* Lets bytes move once, or waits while the rate has no room. */
static void move(covey__download *d, int64_t now_us) {
    void *ended = NULL;
    covey_error error = {0};
    int64_t left_us = d->deadline_us - now_us;
    int64_t wait_us = d->options.rate ? covey__rate_wait_us(d->options.rate, now_us) : 0;
    if (wait_us > 0) {
        if (wait_us > left_us) wait_us = left_us;
        rest(wait_us < WAIT_MS * 500 ? wait_us : WAIT_MS * 500);
        return;
    }
    int64_t wait_ms = left_us > 0 ? (left_us + 999) / 1000 : d->deadline_us ? LAST_WAIT_MS : 0;
    if (wait_ms > WAIT_MS) wait_ms = WAIT_MS;
    covey_status status = d->transport->wait(d->lines, (uint32_t)wait_ms, &ended, &error);
    int64_t after_us = covey__monotonic_us();
    if (ended)
        covey__download_settle(ended, status, &error);
    else if (status)
        end_all(d, status, &error);
    look_at_stalls(d, after_us - now_us);
    save_slow_ones(d, after_us);
}

/* Every mirror is left alone for a moment. */
static void rest_for_mirrors(const covey__download *d, int64_t now_us) {
    int64_t wait_us = covey__mirrors_wait_ms(d->options.mirrors, now_us) * 1000;
    if (wait_us > d->deadline_us - now_us) wait_us = d->deadline_us - now_us;
    rest(wait_us < WAIT_MS * 500 ? wait_us : WAIT_MS * 500);
}

/* ---- A run ------------------------------------------------------------------------------------
 */

static covey_status tell_failure(covey__download *d, covey_error *error) {
    covey_status status = d->failed;
    if (error) *error = d->failed_error;
    covey__download_stop(d);
    return status;
}

covey_status covey__download_run(covey__download *download, int64_t deadline_us, size_t room,
                                 bool *done, covey_error *error) {
    covey__download *d = download;
    bool moved = false;
    *done = false;
    d->deadline_us = deadline_us;
    if (room > d->slot_count) room = d->slot_count;
    /* Whoever comes back after a failure has waited as its own rule says. */
    if (d->fresh && covey__mirrors_wait_ms(d->options.mirrors, covey__monotonic_us()))
        covey__mirrors_forgive(d->options.mirrors);
    if (d->fresh) d->counts.retry_after_ms = 0;
    d->fresh = false;
    if (!deadline_us && !d->lines) return COVEY_OK; /* it would take long */
    for (;;) {
        if (d->options.stop && atomic_load(d->options.stop)) {
            covey__download_stop(d);
            return covey__fail(error, COVEY_ERROR_CANCELLED, "stopped");
        }
        int64_t now_us = covey__monotonic_us();
        bool in_time = !moved || now_us < deadline_us;
        if (in_time) begin_waiting(d);
        size_t flying = count_state(d, COVEY__SLOT_FLYING);
        if (d->failed && !flying) return tell_failure(d, error);
        if (!d->failed && count_state(d, COVEY__SLOT_FREE) >= room) {
            *done = true;
            return COVEY_OK;
        }
        if (!in_time) return COVEY_OK;
        if (flying)
            move(d, now_us);
        else if (moved)
            rest_for_mirrors(d, now_us);
        moved = true;
    }
}
