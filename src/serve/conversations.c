/* The conversations that hold KV state. Slots are few and fixed; one mutex guards them, never held
 * while a model computes or is unmapped. A slot is pinned to the backend that it was opened on.
 * When the backend is exchanged, unnamed idle slots close at once, named ones stay until the drain
 * deadline, or until their slot is needed; an answer is never cut by that. When one is withdrawn,
 * none stays, and answers are. When one is drained first, none stays either, answers end, and
 * requests wait for the next backend. The pool also counts the requests that are under way, so that
 * stopping can wait until their last byte is sent.
 */
#include "serve/serve.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

covey_status covey__conversations_init(covey__conversations *pool, const covey__env *env,
                                       const covey_server_options *options, covey_error *error) {
    memset(pool, 0, sizeof *pool);
    pool->env = env;
    pool->slot_count = options->conversations_max > 0 ? options->conversations_max : 4;
    pool->parallel_max = options->parallel_max > 0 ? options->parallel_max : pool->slot_count;
    if (pool->slot_count < pool->parallel_max) pool->slot_count = pool->parallel_max;
    pool->context_tokens = options->context_tokens;
    pool->queue_timeout_us =
        (options->queue_timeout_ms > 0 ? options->queue_timeout_ms : 30000) * 1000;
    pool->drain_deadline_us =
        (options->drain_deadline_ms > 0 ? options->drain_deadline_ms : 600000) * 1000;
    pool->waiting_max = options->waiting_max > 0 ? options->waiting_max : 32;
    /* The second half is for what is closed outside the mutex. */
    pool->slots = covey__calloc(env, (size_t)pool->slot_count * 2, sizeof *pool->slots);
    if (!pool->slots)
        return covey__no_memory(error, "conversations",
                                (size_t)pool->slot_count * 2 * sizeof *pool->slots);
    pool->left = pool->slots + pool->slot_count;
    atomic_init(&pool->cut, false);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->freed, &attributes);
    pthread_condattr_destroy(&attributes);
    return COVEY_OK;
}

static void served_drop(covey__conversations *pool, covey__served *served) {
    if (!served || --served->references) return;
    pool->served_left -= served->left_us != 0;
    covey_backend_release(served->backend);
    covey__free(served->env, served);
}

covey__served *covey__conversations_current(covey__conversations *pool) {
    pthread_mutex_lock(&pool->mutex);
    covey__served *served = pool->current;
    if (served) served->references++;
    pthread_mutex_unlock(&pool->mutex);
    return served;
}

void covey__conversations_leave(covey__conversations *pool, covey__served *served) {
    pthread_mutex_lock(&pool->mutex);
    served_drop(pool, served);
    pthread_mutex_unlock(&pool->mutex);
}

static void slot_close(covey__conversations *pool, covey__serve_slot *slot) {
    if (!slot->served) return;
    if (slot->conversation) covey_conversation_close(slot->conversation);
    served_drop(pool, slot->served);
    memset(slot, 0, sizeof *slot);
}

/* The same later, by whoever holds the mutex no more: unmapping a model takes long. */
static void slot_leave(covey__conversations *pool, covey__serve_slot *slot) {
    if (pool->left_count == pool->slot_count) {
        slot_close(pool, slot);
        return;
    }
    pool->left[pool->left_count++] = *slot;
    memset(slot, 0, sizeof *slot);
}

/* Closes what was left. Not under the mutex. */
static void close_left(covey__conversations *pool) {
    pthread_mutex_lock(&pool->mutex);
    while (pool->left_count) {
        covey__serve_slot slot = pool->left[--pool->left_count];
        pool->closing_count++;
        pthread_mutex_unlock(&pool->mutex);
        if (slot.conversation) covey_conversation_close(slot.conversation);
        pthread_mutex_lock(&pool->mutex);
        covey_backend *last = slot.served->references == 1 ? slot.served->backend : NULL;
        if (last) covey_backend_retain(last); /* so that it does not end under the mutex */
        served_drop(pool, slot.served);
        pthread_mutex_unlock(&pool->mutex);
        covey_backend_release(last);
        pthread_mutex_lock(&pool->mutex);
        pool->closing_count--;
    }
    pthread_mutex_unlock(&pool->mutex);
}

static struct timespec at_us(int64_t us) {
    return (struct timespec){.tv_sec = us / 1000000, .tv_nsec = (us % 1000000) * 1000};
}

static int32_t busy_count(const covey__conversations *pool) {
    int32_t count = 0;
    for (int32_t i = 0; i < pool->slot_count; i++) count += pool->slots[i].busy;
    return count;
}

static bool has_turn(const covey__conversations *pool) {
    return busy_count(pool) + pool->embedding_count < pool->parallel_max;
}

static bool any_busy(const covey__conversations *pool) {
    return busy_count(pool) > 0;
}

/* Waits until no request is under way, or until the time is over. */
static void wait_for_requests(covey__conversations *pool, int64_t end_us) {
    struct timespec end = at_us(end_us);
    while (any_busy(pool) || pool->request_count)
        if (pthread_cond_timedwait(&pool->freed, &pool->mutex, &end) == ETIMEDOUT) break;
}

void covey__conversations_stop(covey__conversations *pool, int64_t grace_ms) {
    if (!pool->slots) return;
    pthread_mutex_lock(&pool->mutex);
    pool->closing = true;
    pthread_cond_broadcast(&pool->freed);
    int64_t end_us = covey__monotonic_us() + (grace_ms > 0 ? grace_ms : 0) * 1000;
    wait_for_requests(pool, end_us);
    /* What is left is cut. A model stops at its next token; then there is a moment to say so. */
    atomic_store(&pool->cut, true);
    while (any_busy(pool)) {
        for (int32_t i = 0; i < pool->slot_count; i++)
            if (pool->slots[i].busy && pool->slots[i].conversation)
                covey_conversation_cancel(pool->slots[i].conversation);
        struct timespec soon = at_us(covey__monotonic_us() + 20000);
        pthread_cond_timedwait(&pool->freed, &pool->mutex, &soon);
    }
    wait_for_requests(pool, covey__monotonic_us() + COVEY__SERVE_LAST_BYTES_MS * 1000);
    pthread_mutex_unlock(&pool->mutex);
}

void covey__conversations_request_begins(covey__conversations *pool) {
    pthread_mutex_lock(&pool->mutex);
    pool->request_count++;
    pthread_mutex_unlock(&pool->mutex);
}

void covey__conversations_request_ends(covey__conversations *pool) {
    pthread_mutex_lock(&pool->mutex);
    pool->request_count--;
    pthread_cond_broadcast(&pool->freed);
    pthread_mutex_unlock(&pool->mutex);
}

void covey__conversations_free(covey__conversations *pool) {
    if (!pool->slots) return;
    close_left(pool);
    for (int32_t i = 0; i < pool->slot_count; i++) slot_close(pool, &pool->slots[i]);
    served_drop(pool, pool->current);
    pthread_cond_destroy(&pool->freed);
    pthread_mutex_destroy(&pool->mutex);
    covey__free(pool->env, pool->slots);
    pool->slots = NULL;
}

/* Leaves idle slots of exchanged backends that have no reason to stay. */
static size_t sweep(covey__conversations *pool) {
    size_t draining = 0;
    int64_t now = covey__monotonic_us();
    for (int32_t i = 0; i < pool->slot_count; i++) {
        covey__serve_slot *slot = &pool->slots[i];
        if (!slot->conversation || !slot->served->left_us) continue;
        bool leaves = slot->served->withdrawn || pool->holding || !slot->id[0] ||
                      now - slot->served->left_us >= pool->drain_deadline_us;
        if (!slot->busy && leaves)
            slot_leave(pool, slot);
        else
            draining++;
    }
    draining += (size_t)(pool->left_count + pool->closing_count);
    /* What computes without a conversation holds a backend too. */
    return draining ? draining : pool->served_left > 0;
}

/* The reference that `current` was, given up as a conversation's is. */
static void leave_current(covey__conversations *pool) {
    covey__served *before = pool->current;
    if (!before) return;
    covey__serve_slot reference = {.served = before};
    before->left_us = covey__monotonic_us();
    pool->served_left++;
    pool->current = NULL;
    sweep(pool);
    slot_leave(pool, &reference);
}

covey_status covey__conversations_exchange(covey__conversations *pool, covey_backend *backend,
                                           const covey_server_names *names, covey_error *error) {
    covey__served *served = covey__calloc(pool->env, 1, sizeof *served);
    if (!served) return covey__no_memory(error, "the server's backend", sizeof *served);
    covey_backend_retain(backend);
    served->env = pool->env;
    served->backend = backend;
    served->references = 1;
    snprintf(served->label, sizeof served->label, "%s", names->label);
    snprintf(served->model, sizeof served->model, "%s", names->model);
    snprintf(served->digest, sizeof served->digest, "%s", names->digest ? names->digest : "");
    pthread_mutex_lock(&pool->mutex);
    if (pool->current) covey__counter_add(&pool->exchanges, 1);
    if (pool->holding) covey__counter_add(&pool->exchanges_drained, 1);
    leave_current(pool);
    pool->current = served;
    pool->holding = false;
    pool->off[0] = 0;
    pthread_cond_broadcast(&pool->freed);
    pthread_mutex_unlock(&pool->mutex);
    close_left(pool);
    return COVEY_OK;
}

void covey__conversations_drain(covey__conversations *pool) {
    pthread_mutex_lock(&pool->mutex);
    pool->holding = true;
    leave_current(pool);
    pthread_mutex_unlock(&pool->mutex);
    close_left(pool);
}

void covey__conversations_withdraw(covey__conversations *pool, const char *reason) {
    pthread_mutex_lock(&pool->mutex);
    if (reason) {
        covey__printable(reason, strlen(reason), pool->off, sizeof pool->off);
        pool->holding = false;
        leave_current(pool);
    }
    for (int32_t i = 0; i < pool->slot_count; i++) {
        covey__serve_slot *slot = &pool->slots[i];
        if (!slot->conversation || !slot->served->left_us) continue;
        slot->served->withdrawn = true;
        if (slot->busy) covey_conversation_cancel(slot->conversation);
    }
    sweep(pool);
    pthread_cond_broadcast(&pool->freed);
    pthread_mutex_unlock(&pool->mutex);
    close_left(pool);
}

/* Under the mutex. */
static const char *why_none(const covey__conversations *pool) {
    return pool->off[0] ? pool->off : "no model is loaded yet; try again when /health says ok";
}

/* DENIED when it is off, by its publisher's or its user's word: asking again soon is no use. */
static covey_status fail_none(const covey__conversations *pool, covey_error *error) {
    return covey__fail(error, pool->off[0] ? COVEY_ERROR_DENIED : COVEY_ERROR_NOT_FOUND, "%s",
                       why_none(pool));
}

bool covey__conversations_why_none(covey__conversations *pool, char out[COVEY__OFF_MAX]) {
    pthread_mutex_lock(&pool->mutex);
    snprintf(out, COVEY__OFF_MAX, "%s", why_none(pool));
    bool off = pool->off[0] != 0;
    pthread_mutex_unlock(&pool->mutex);
    return off;
}

/* The idle conversation that is missed least: an unnamed one before a named one, then the one that
 * was used longest ago. Where `served` is given, one of that backend. */
static covey__serve_slot *least_missed(covey__conversations *pool, const covey__served *served) {
    covey__serve_slot *found = NULL;
    for (int32_t i = 0; i < pool->slot_count; i++) {
        covey__serve_slot *slot = &pool->slots[i];
        if (slot->busy || !slot->conversation || (served && slot->served != served)) continue;
        bool named = slot->id[0] != 0, found_named = found && found->id[0];
        if (!found || (found_named && !named) || (named == found_named && slot->used < found->used))
            found = slot;
    }
    return found;
}

/* The slot to use now, or NULL when none is free. A named conversation has one slot for as long as
 * it is open; an unnamed request takes the conversation used last, which may share its beginning.
 */
static covey__serve_slot *choose(covey__conversations *pool, const char *id) {
    covey__serve_slot *unused = NULL, *idle = NULL;
    for (int32_t i = 0; i < pool->slot_count; i++) {
        covey__serve_slot *slot = &pool->slots[i];
        if (id[0] && slot->conversation && !strcmp(slot->id, id)) return slot->busy ? NULL : slot;
        if (slot->busy) continue;
        if (!slot->conversation)
            unused = unused ? unused : slot;
        else if (!id[0] && !slot->id[0] && slot->served == pool->current &&
                 (!idle || slot->used > idle->used))
            idle = slot;
    }
    if (idle) return idle;
    if (unused) return unused;
    covey__serve_slot *given_up = least_missed(pool, NULL);
    if (given_up) slot_close(pool, given_up);
    return given_up;
}

static covey_status open_in(covey__conversations *pool, covey__serve_slot *slot, const char *id,
                            covey_error *error) {
    covey__served *served = pool->current;
    if (!served) return fail_none(pool, error);
    covey_status status;
    covey__serve_slot *idle = NULL;
    do { /* a backend may take fewer conversations than there are slots */
        if (idle) slot_close(pool, idle);
        status = covey_conversation_open(served->backend, pool->context_tokens, &slot->conversation,
                                         error);
    } while (status == COVEY_ERROR_BUSY && (idle = least_missed(pool, served)));
    if (status) return status;
    served->references++;
    slot->served = served;
    snprintf(slot->id, sizeof slot->id, "%s", id);
    return COVEY_OK;
}

/* Waits until there is another backend. False when too many wait for it. */
static bool wait_for_next(covey__conversations *pool, covey_error *error) {
    if (pool->waiting >= pool->waiting_max) {
        covey__fail(error, COVEY_ERROR_BUSY,
                    "the model is being exchanged, and as many requests wait for the next one as "
                    "may; try again in a moment");
        return false;
    }
    pool->waiting++;
    while (pool->holding && !pool->closing) pthread_cond_wait(&pool->freed, &pool->mutex);
    pool->waiting--;
    return true;
}

covey_status covey__conversations_take(covey__conversations *pool, const char *id,
                                       covey__serve_slot **slot, covey_error *error) {
    covey__serve_slot *found = NULL;
    struct timespec end = at_us(covey__monotonic_us() + pool->queue_timeout_us);
    bool waited = false;
    pthread_mutex_lock(&pool->mutex);
    covey_status status = COVEY_ERROR_BUSY;
    while (status == COVEY_ERROR_BUSY) {
        if (pool->closing) {
            covey__fail(error, COVEY_ERROR_BUSY, "the server is stopping");
            break;
        }
        sweep(pool);
        if (pool->holding) {
            if (!wait_for_next(pool, error)) break;
            end = at_us(covey__monotonic_us() + pool->queue_timeout_us);
            continue;
        }
        found = has_turn(pool) ? choose(pool, id) : NULL;
        if (found) status = found->conversation ? COVEY_OK : open_in(pool, found, id, error);
        if (status != COVEY_ERROR_BUSY) break;
        if (waited) {
            covey__fail(error, COVEY_ERROR_BUSY, "%s; try again in a moment",
                        id[0] ? "this conversation, or every one, is still answering"
                              : "every conversation is answering");
            break;
        }
        waited = pthread_cond_timedwait(&pool->freed, &pool->mutex, &end) == ETIMEDOUT;
    }
    if (!status) found->busy = true;
    bool closes = pool->left_count > 0;
    pthread_mutex_unlock(&pool->mutex);
    *slot = status ? NULL : found;
    if (closes) close_left(pool);
    return status;
}

void covey__conversations_give(covey__conversations *pool, covey__serve_slot *slot, bool broken) {
    pthread_mutex_lock(&pool->mutex);
    slot->busy = false;
    slot->used_us = covey__monotonic_us();
    slot->used = ++pool->uses;
    if (broken) slot_leave(pool, slot);
    sweep(pool);
    bool closes = pool->left_count > 0;
    pthread_cond_broadcast(&pool->freed);
    pthread_mutex_unlock(&pool->mutex);
    if (closes) close_left(pool);
}

covey_status covey__conversations_enter(covey__conversations *pool, covey__served **served,
                                        covey_error *error) {
    struct timespec end = at_us(covey__monotonic_us() + pool->queue_timeout_us);
    bool waited = false;
    covey_status status = COVEY_OK;
    *served = NULL;
    pthread_mutex_lock(&pool->mutex);
    if (pool->holding && !wait_for_next(pool, error)) status = COVEY_ERROR_BUSY;
    end = at_us(covey__monotonic_us() + pool->queue_timeout_us);
    while (!status && !pool->closing && pool->current && !has_turn(pool) && !waited)
        waited = pthread_cond_timedwait(&pool->freed, &pool->mutex, &end) == ETIMEDOUT;
    if (status)
        *served = NULL;
    else if (pool->closing)
        status = covey__fail(error, COVEY_ERROR_BUSY, "the server is stopping");
    else if (!pool->current)
        status = fail_none(pool, error);
    else if (!has_turn(pool))
        status = covey__fail(error, COVEY_ERROR_BUSY,
                             "as many answers as there may be are computed; try again in a moment");
    if (!status) {
        *served = pool->current;
        pool->current->references++;
        pool->embedding_count++;
    }
    pthread_mutex_unlock(&pool->mutex);
    return status;
}

void covey__conversations_done(covey__conversations *pool, covey__served *served) {
    pthread_mutex_lock(&pool->mutex);
    pool->embedding_count--;
    served_drop(pool, served);
    pthread_cond_broadcast(&pool->freed);
    pthread_mutex_unlock(&pool->mutex);
}

size_t covey__conversations_draining(covey__conversations *pool) {
    pthread_mutex_lock(&pool->mutex);
    size_t draining = sweep(pool);
    bool closes = pool->left_count > 0;
    pthread_mutex_unlock(&pool->mutex);
    if (!closes) return draining;
    close_left(pool);
    pthread_mutex_lock(&pool->mutex);
    draining = sweep(pool);
    pthread_mutex_unlock(&pool->mutex);
    return draining;
}

bool covey__conversations_holding(covey__conversations *pool) {
    pthread_mutex_lock(&pool->mutex);
    bool holding = pool->holding;
    pthread_mutex_unlock(&pool->mutex);
    return holding;
}

void covey__conversations_load(covey__conversations *pool, const covey__serve_slot *slot,
                               int32_t *at_once, int32_t *beside) {
    *at_once = *beside = 0;
    pthread_mutex_lock(&pool->mutex);
    for (int32_t i = 0; i < pool->slot_count; i++) {
        if (!pool->slots[i].busy) continue;
        ++*at_once;
        *beside += pool->slots[i].served != slot->served;
    }
    pthread_mutex_unlock(&pool->mutex);
}

bool covey__conversations_names(covey__conversations *pool, char *label, char *model) {
    pthread_mutex_lock(&pool->mutex);
    bool loaded = pool->current != NULL;
    if (loaded) {
        memcpy(label, pool->current->label, COVEY__LABEL_MAX);
        memcpy(model, pool->current->model, COVEY__LABEL_MAX);
    }
    pthread_mutex_unlock(&pool->mutex);
    return loaded;
}

size_t covey__conversations_open_count(covey__conversations *pool) {
    size_t count = 0;
    pthread_mutex_lock(&pool->mutex);
    for (int32_t i = 0; i < pool->slot_count; i++) count += pool->slots[i].conversation != NULL;
    pthread_mutex_unlock(&pool->mutex);
    return count;
}
