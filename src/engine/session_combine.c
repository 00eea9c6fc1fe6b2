/* The queue of appends. Threads that append to sessions of one model at the same time are computed
 * together: each puts its requests into the queue, one of them leads, which is to gather a batch,
 * compute its pass and tell the others, until its own requests are through; then the first in the
 * queue leads. No thread is added, and with one thread alone nothing is waited for.
 *
 *   - Short requests (answers that go on, checks of drafts) are taken in the queue's order as far
 *     as a batch holds them. Long ones (prompts) fill what is left, in pieces; while others
 *     generate, a batch has few rows of those, so that nobody's next token waits long. A request
 *     that is not through goes to the queue's end.
 *   - A session that generates comes back soon after its pass. The leader waits for those that took
 *     part in the last pass, a part of that pass's time at most; who does not come in time is not
 *     waited for again for a while (`patience`). So N threads that generate settle into one pass.
 *   - What was computed of a prompt is in the prefix tree after each piece, and a prompt looks
 * there again before each: prompts that begin alike and come together are computed once.
 *   - What fails one request does not fail another: a pass that meets a number that is not finite
 *     is computed again for each request by itself; a cancelled request is dropped.
 *
 * The lock is never held while a pass is computed. It is taken inside the workspace's lock, never
 * the other way round. */
#include "engine/engine.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define SHORT_TOKENS 8    /* at most, left of a request that goes before prompts */
#define PROMPT_ROWS  64   /* of prompts in a batch while others generate */
#define WAIT_US_MAX  4000 /* for sessions that generate ... */
#define WAIT_PARTS   4    /* ... and at most this part of the last pass */
#define MISSES_MAX   6    /* of which patience is a power of two */

typedef struct batch {
    covey__request *requests[COVEY__MANY_MAX];
    int32_t count, rows, logit_rows;
} batch;

/* ---- The queue ---- */

static void push(covey__combine *c, covey__request *request) {
    request->next = NULL;
    *(c->last ? &c->last->next : &c->first) = request;
    c->last = request;
}

/* Takes the request that `link` points to out of the queue. */
static void unlink_at(covey__combine *c, covey__request **link) {
    covey__request *request = *link;
    *link = request->next;
    if (c->last == request) {
        c->last = NULL;
        for (covey__request *r = c->first; r; r = r->next) c->last = r;
    }
}

/* The request is through: from here on it is its thread's again. */
static void finish(covey__combine *c, covey__request *request) {
    covey_session *session = request->session;
    if (session->generating && request->status == COVEY_OK) {
        session->expected = 0;
        if (session->patience > 0) {
            session->patience--;
        } else {
            session->expected = c->round;
            c->missing++;
        }
    }
    if (--request->waiter->pending == 0) pthread_cond_signal(request->waiter->wake);
}

/* A session that was expected has come, in time or not, or will not come any more. */
static void arrive(covey__combine *c, covey_session *session, bool comes) {
    if (session->expected == c->round) {
        c->missing--;
        session->misses = 0;
    } else if (session->expected && comes) {
        if (session->misses < MISSES_MAX) session->misses++;
        session->patience = 1 << session->misses;
    }
    session->expected = 0;
    if (c->awaiting) pthread_cond_signal(&c->arrived);
}

/* Waits for the sessions that are expected, but not long. */
static void await(covey__combine *c) {
    int64_t most = c->pass_us / WAIT_PARTS;
    if (most > WAIT_US_MAX) most = WAIT_US_MAX;
    if (c->missing == 0) return;
    int64_t end = covey__monotonic_us() + most;
    struct timespec until = {.tv_sec = (time_t)(end / 1000000),
                             .tv_nsec = (long)(end % 1000000) * 1000};
    c->awaiting = true;
    while (c->missing > 0 && pthread_cond_timedwait(&c->arrived, &c->lock, &until) != ETIMEDOUT) {
    }
    c->awaiting = false;
    if (c->missing == 0) return;
    c->missing = 0;
    if (++c->round == 0) c->round = 1;
}

/* ---- A batch ---- */

static bool take(batch *b, covey__request *request, int32_t rows, int32_t rows_max) {
    int32_t left = request->count - request->done;
    int32_t wanted = rows == left ? request->wanted : 0;
    if (b->count == COVEY__MANY_MAX || b->rows + rows > rows_max ||
        b->logit_rows + wanted > COVEY__MANY_MAX)
        return false;
    request->taken = rows;
    b->requests[b->count++] = request;
    b->rows += rows;
    b->logit_rows += wanted;
    return true;
}

static bool is_short(const covey__request *request) {
    int32_t left = request->count - request->done;
    return left <= SHORT_TOKENS || (request->wanted > 1 && left <= COVEY__MANY_MAX);
}

static void gather_short(covey__combine *c, batch *b, int32_t rows_max) {
    for (covey__request **link = &c->first; *link;) {
        covey__request *request = *link;
        if (atomic_load(&request->session->cancelled)) {
            request->status = covey__fail(&request->error, COVEY_ERROR_CANCELLED,
                                          "cancelled by covey_session_cancel");
            unlink_at(c, link);
            finish(c, request);
        } else if (is_short(request) &&
                   take(b, request, request->count - request->done, rows_max)) {
            unlink_at(c, link);
        } else {
            link = &request->next;
        }
    }
}

/* Rows of prompts that the batch may have. */
static int32_t prompt_rows(const covey__combine *c, const batch *b, int32_t rows_max) {
    int32_t others = c->generating;
    for (const covey__request *r = c->first; r; r = r->next) others -= r->session->generating;
    int32_t left = rows_max - b->rows;
    return (b->count > 0 || others > 0) && left > PROMPT_ROWS ? PROMPT_ROWS : left;
}

/* A prompt's beginning may have been computed by others since it was queued. */
static void look_again(covey__request *request) {
    covey_session *session = request->session;
    size_t total = (size_t)(request->position + request->count), before = session->ready;
    covey__prefix_find(session, total, true);
    if (session->ready == before) return;
    covey__pages_prepare(session, session->ready, total);
    request->tokens = session->tokens + session->ready;
    request->position = (int32_t)session->ready;
    request->count = (int32_t)(total - session->ready);
    request->done = 0;
}

static void gather_long(covey__combine *c, batch *b, int32_t rows_max) {
    int32_t budget = prompt_rows(c, b, rows_max);
    for (covey__request **link = &c->first; *link && budget > 0;) {
        covey__request *request = *link;
        if (request->wanted <= 1 && !is_short(request)) look_again(request);
        int32_t left = request->count - request->done, rows = left;
        if (rows > request->session->batch) rows = request->session->batch;
        if (rows > budget) rows = budget;
        if (rows < left && rows > left - request->wanted)
            rows = left - request->wanted; /* those are of one pass */
        if (rows <= 0 || !take(b, request, rows, rows_max)) {
            link = &request->next;
        } else {
            unlink_at(c, link);
            budget -= rows;
        }
    }
}

/* Lays the batch's rows out: first those whose logits nobody wants, then the others, so that the
 * rows of the request at the seam are one run. */
static int32_t lay_out_runs(const batch *b, covey__run *runs, covey_token *tokens) {
    int32_t count = 0, row = 0, seam = b->count - 1;
    for (int32_t pass = 0; pass < 2; pass++) {
        for (int32_t i = 0; i < b->count; i++) {
            int32_t at = pass == 0 ? i : (i + seam) % b->count; /* the seam's first */
            const covey__request *r = b->requests[at];
            bool whole = r->done + r->taken == r->count;
            int32_t wanted = whole ? r->wanted : 0;
            int32_t first = pass == 0 ? 0 : r->taken - wanted;
            int32_t rows = pass == 0 ? r->taken - wanted : wanted;
            if (rows == 0) continue;
            memcpy(tokens + row, r->tokens + r->done + first, (size_t)rows * sizeof *tokens);
            if (pass == 1 && at == seam && count > 0 && runs[count - 1].session == r->session)
                runs[count - 1].count += rows;
            else
                runs[count++] = (covey__run){r->session, row, rows, r->position + r->done + first};
            row += rows;
        }
    }
    return count;
}

static void hand_out_logits(const covey_model *model, const batch *b) {
    size_t vocabulary = (size_t)model->hyper.vocabulary_size;
    const float *logits = model->workspace.logits;
    for (int32_t i = 0; i < b->count; i++) {
        covey__request *r = b->requests[(i + b->count - 1) % b->count];
        if (r->wanted == 0 || r->done + r->taken < r->count) continue;
        memcpy(r->logits, logits, (size_t)r->wanted * vocabulary * sizeof *logits);
        logits += (size_t)r->wanted * vocabulary;
    }
}

static covey_status compute(covey_model *model, const batch *b, covey_error *error) {
    covey__run runs[COVEY__RUNS_MAX];
    int32_t run_count = lay_out_runs(b, runs, model->workspace.tokens);
    bool direct = b->count == 1;
    if (direct) b->requests[0]->overwrote = b->logit_rows > 0;
    covey__pass pass = {.model = model,
                        .tokens = model->workspace.tokens,
                        .rows = b->rows,
                        .runs = runs,
                        .run_count = run_count,
                        .logit_first = b->rows - b->logit_rows,
                        .logit_rows = b->logit_rows,
                        .logits = direct ? b->requests[0]->logits : model->workspace.logits};
    covey_status status = covey__pass_run(&pass, error);
    if (status == COVEY_OK && !direct) hand_out_logits(model, b);
    if (status == COVEY_OK) atomic_fetch_add(&model->kv.runs, (unsigned long long)b->count);
    return status;
}

static void note(covey__request *request, covey_status status, const covey_error *error) {
    request->status = status;
    if (status != COVEY_OK) request->error = *error;
}

/* Computes the batch; where its numbers overflow, each request by itself, to find whose do. */
static void compute_all(covey_model *model, batch *b) {
    covey_error error = {.message = ""};
    covey_status status = compute(model, b, &error);
    if (status != COVEY_ERROR_NUMERIC || b->count == 1) {
        for (int32_t i = 0; i < b->count; i++) note(b->requests[i], status, &error);
        return;
    }
    for (int32_t i = 0; i < b->count; i++) {
        covey__request *r = b->requests[i];
        bool whole = r->done + r->taken == r->count;
        batch alone = {{r}, 1, r->taken, whole ? r->wanted : 0};
        status = compute(model, &alone, &error);
        note(r, status, &error);
    }
}

/* Prompts that are not through show already what was computed of them. */
static void publish(batch *b) {
    for (int32_t i = 0; i < b->count; i++) {
        covey__request *r = b->requests[i];
        if (r->status != COVEY_OK || r->done + r->taken == r->count) continue;
        r->session->ready = (size_t)(r->position + r->done + r->taken);
        covey__prefix_publish(r->session, false);
    }
}

/* ---- Leading ---- */

static void settle(covey__combine *c, batch *b) {
    for (int32_t i = 0; i < b->count; i++) {
        covey__request *r = b->requests[i];
        if (r->status == COVEY_OK) r->done += r->taken;
        if (r->status != COVEY_OK || r->done == r->count)
            finish(c, r);
        else
            push(c, r);
    }
}

static void fail_all(covey__combine *c, covey_status status, const covey_error *error) {
    while (c->first) {
        covey__request *request = c->first;
        unlink_at(c, &c->first);
        note(request, status, error);
        finish(c, request);
    }
}

/* One batch. Called with the lock, which is given back meanwhile. */
static void step(covey_model *model) {
    covey__combine *c = &model->combine;
    covey_error error = {.message = ""};
    batch b = {.count = 0};
    await(c);
    pthread_mutex_unlock(&c->lock);
    covey_status status = covey__workspace_take(model, &error);
    pthread_mutex_lock(&c->lock);
    if (status != COVEY_OK) {
        fail_all(c, status, &error);
        return;
    }
    gather_short(c, &b, model->workspace.batch);
    gather_long(c, &b, model->workspace.batch);
    pthread_mutex_unlock(&c->lock);
    int64_t begin = covey__monotonic_us();
    if (b.count > 0) compute_all(model, &b);
    publish(&b);
    covey__workspace_give(model);
    pthread_mutex_lock(&c->lock);
    if (b.count > 0) c->pass_us = covey__monotonic_us() - begin;
    settle(c, &b);
}

void covey__combine_run(covey_model *model, covey__request *requests, int32_t count) {
    covey__combine *c = &model->combine;
    covey__waiter waiter = {&requests[0].session->wake, count};
    pthread_mutex_lock(&c->lock);
    for (int32_t i = 0; i < count; i++) {
        requests[i].waiter = &waiter;
        push(c, &requests[i]);
        arrive(c, requests[i].session, true);
    }
    while (waiter.pending > 0) {
        if (c->led) {
            pthread_cond_wait(waiter.wake, &c->lock);
            continue;
        }
        c->led = true;
        while (waiter.pending > 0) step(model);
        c->led = false;
        if (c->first) pthread_cond_signal(c->first->waiter->wake);
    }
    pthread_mutex_unlock(&c->lock);
}

void covey__combine_generates(covey_session *session, bool begins) {
    covey__combine *c = &session->model->combine;
    pthread_mutex_lock(&c->lock);
    session->generating = begins;
    c->generating += begins ? 1 : -1;
    if (!begins) arrive(c, session, false);
    pthread_mutex_unlock(&c->lock);
}

covey_status covey__combine_open(covey_model *model, covey_error *error) {
    covey__combine *c = &model->combine;
    c->round = 1;
    pthread_condattr_t attributes;
    if (pthread_mutex_init(&c->lock, NULL) != 0)
        return covey__no_memory(error, "a lock", sizeof c->lock);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&c->arrived, &attributes);
    pthread_condattr_destroy(&attributes);
    if (!failed) return COVEY_OK;
    pthread_mutex_destroy(&c->lock);
    return covey__no_memory(error, "a condition", sizeof c->arrived);
}

void covey__combine_close(covey_model *model) {
    pthread_cond_destroy(&model->combine.arrived);
    pthread_mutex_destroy(&model->combine.lock);
}
