/* One completion. A whole answer is computed in the connection's own thread, which looks at each
 * piece of text whether the client is still there. A streamed one is computed by a thread of its
 * own that fills a bounded queue, which the connection's thread empties: a slow reader slows the
 * model down, and a reader that leaves cancels it, in the prompt already. The response begins with
 * the first piece of text, so that what fails before it has an HTTP status of its own. An answer
 * that the server's stop cut off ends as an error, so that no client takes it for whole. */
#include "serve/serve.h"

#include "base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define ANSWER_TEXT_MAX  (8u << 20)
#define STREAM_QUEUE_MAX (64u << 10)
#define LOOK_AGAIN_MS    100 /* how often a wait looks whether the client is there */

/* What both ways share. */
typedef struct job {
    covey_server *server;
    covey__serve_slot *slot;
    covey__chat_request request;
    covey__answer_head head;
    char label[COVEY__LABEL_MAX], model[COVEY__LABEL_MAX];
    int64_t start_us;
} job;

/* Generates, counts, and gives the conversation back. A cancelled answer is an error here. */
static covey_status job_run(job *work, covey_answer *answer, covey_error *error, covey_text_fn text,
                            void *user) {
    covey__serve_counters *count = &work->server->counters;
    covey_status status = covey_conversation_generate(
        work->slot->conversation, &work->request.request, answer, error, text, user);
    if (status == COVEY_ERROR_CANCELLED || (!status && answer->stop_reason == COVEY_STOP_CANCELLED))
        status = covey__fail(error, COVEY_ERROR_CANCELLED,
                             "the answer was cut off: the server is stopping; ask again");
    covey__counter_add(status == COVEY_OK                ? &count->requests_ok
                       : status == COVEY_ERROR_CANCELLED ? &count->requests_cancelled
                                                         : &count->requests_failed,
                       1);
    covey__counter_add(&count->prompt_tokens, (uint64_t)answer->prompt_token_count);
    covey__counter_add(&count->reused_tokens, (uint64_t)answer->reused_token_count);
    covey__counter_add(&count->answer_tokens, (uint64_t)answer->answer_token_count);
    if (answer->first_token_us > 0)
        covey__histogram_add_us(&count->first_token, answer->first_token_us);
    covey__histogram_add_us(&count->request, covey__monotonic_us() - work->start_us);
    return status;
}

static void job_end(job *work, covey_status status) {
    covey__conversations_give(&work->server->pool, work->slot, status == COVEY_ERROR_NUMERIC);
    work->slot = NULL;
}

static int socket_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* The other side closed its end, or the line broke. */
static bool client_left(int socket) {
    char byte;
    if (socket < 0) return false;
    ssize_t size = recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return size == 0 || (size < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static void job_begin(job *work, covey_server *server, covey__serve_slot *slot, bool chat) {
    work->server = server;
    work->slot = slot;
    work->start_us = covey__monotonic_us();
    snprintf(work->label, sizeof work->label, "%s", slot->served->label);
    snprintf(work->model, sizeof work->model, "%s", slot->served->model);
    work->head = (covey__answer_head){.chat = chat,
                                      .created_s = covey__now_ms(server->env) / 1000,
                                      .model = work->model,
                                      .label = work->label};
    snprintf(work->head.id, sizeof work->head.id, "%s-%" PRIx64 "-%" PRIx64,
             chat ? "chatcmpl" : "cmpl", (uint64_t)covey__now_ms(server->env),
             (uint64_t)atomic_fetch_add(&server->serial, 1));
}

/* ---- Whole answers ----------------------------------------------------------------------------
 */

typedef struct whole {
    covey__buffer text;
    int socket;
} whole;

static bool whole_text(void *user, const char *text, size_t size) {
    whole *out = user;
    return covey__buffer_append(&out->text, text, size) == COVEY_OK && !client_left(out->socket);
}

static enum MHD_Result answer_whole(job *work, struct MHD_Connection *connection) {
    covey_server *server = work->server;
    const covey__reply_head head = {200, "application/json", work->label, NULL};
    whole out = {.socket = socket_of(connection)};
    covey__buffer_init(&out.text, server->env, ANSWER_TEXT_MAX);
    covey_answer answer = COVEY_ANSWER_INIT;
    covey_error error = {0};
    covey_status status = job_run(work, &answer, &error, whole_text, &out);
    job_end(work, status);
    enum MHD_Result result;
    if (out.text.status) {
        result = covey__reply_error(server, connection, 500, "no_memory",
                                    "the answer is too large to send whole; stream it");
    } else if (status) {
        result = covey__reply_error(server, connection, covey__answer_http_status(status),
                                    covey__answer_code(status), error.message);
    } else {
        covey__buffer body;
        covey__buffer_init(&body, server->env, 2 * ANSWER_TEXT_MAX);
        covey__answer_whole(&body, &work->head, out.text.data ? out.text.data : "", out.text.size,
                            &answer);
        result = body.status ? covey__reply_error(server, connection, 500, "no_memory",
                                                  "the answer is too large to send")
                             : covey__reply(server, connection, &head, body.data, body.size);
        covey__buffer_free(&body);
    }
    covey__buffer_free(&out.text);
    covey__chat_request_free(&work->request);
    return result;
}

/* ---- Streamed answers -------------------------------------------------------------------------
 */

typedef struct stream {
    job work;
    pthread_t thread;
    int socket;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    covey__buffer queue; /* bytes not yet sent, from `taken` on */
    size_t taken;
    bool answering;      /* the conversation is ours: it may be cancelled */
    bool done;           /* nothing more is pushed */
    bool gone;           /* nothing more is read */
    bool first;          /* nothing was said yet */
    covey_status failed; /* before anything was said */
    covey_error error;
} stream;

/* Waits for a change, or a moment. True when that moment passed without one. */
static bool stream_wait(stream *out) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_AGAIN_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return pthread_cond_timedwait(&out->changed, &out->mutex, &until) == ETIMEDOUT;
}

/* Called by the model's thread. Waits while the reader is behind, unless the server must stop. */
static bool stream_push(stream *out, const char *data, size_t size) {
    covey__conversations *pool = &out->work.server->pool;
    pthread_mutex_lock(&out->mutex);
    while (!out->gone && out->queue.size - out->taken > STREAM_QUEUE_MAX &&
           !atomic_load(&pool->cut))
        stream_wait(out);
    if (out->taken) {
        size_t left = out->queue.size - out->taken;
        memmove(out->queue.data, out->queue.data + out->taken, left + 1);
        out->queue.size = left;
        out->taken = 0;
    }
    bool ok = !out->gone && covey__buffer_append(&out->queue, data, size) == COVEY_OK;
    pthread_cond_broadcast(&out->changed);
    pthread_mutex_unlock(&out->mutex);
    return ok;
}

static bool stream_text(void *user, const char *text, size_t size) {
    stream *out = user;
    covey__buffer event;
    covey__buffer_init(&event, out->work.server->env, STREAM_QUEUE_MAX);
    covey__answer_piece(&event, &out->work.head, text, size, out->first);
    out->first = false;
    bool ok = !event.status && stream_push(out, event.data, event.size);
    covey__buffer_free(&event);
    return ok;
}

static void *stream_run(void *user) {
    stream *out = user;
    job *work = &out->work;
    covey_answer answer = COVEY_ANSWER_INIT;
    covey_error error = {0};
    covey_status status = job_run(work, &answer, &error, stream_text, out);
    pthread_mutex_lock(&out->mutex);
    out->answering = false;
    pthread_mutex_unlock(&out->mutex);
    job_end(work, status);
    covey__buffer event;
    covey__buffer_init(&event, work->server->env, STREAM_QUEUE_MAX);
    if (status && out->first) {
        out->failed = status;
        out->error = error;
    } else if (status) {
        covey__buffer_text(&event, "data: ");
        covey__answer_error(&event, covey__answer_http_status(status), covey__answer_code(status),
                            error.message);
        covey__buffer_text(&event, "\n\n");
    } else {
        if (out->first) covey__answer_piece(&event, &work->head, "", 0, true);
        covey__answer_final(&event, &work->head, &answer, work->request.include_usage);
    }
    if (!event.status && event.size) stream_push(out, event.data, event.size);
    covey__buffer_free(&event);
    pthread_mutex_lock(&out->mutex);
    out->done = true;
    pthread_cond_broadcast(&out->changed);
    pthread_mutex_unlock(&out->mutex);
    return NULL;
}

static ssize_t stream_read(void *user, uint64_t position, char *data, size_t capacity) {
    (void)position;
    stream *out = user;
    pthread_mutex_lock(&out->mutex);
    bool left = false;
    while (out->taken == out->queue.size && !out->done && !left)
        left = stream_wait(out) && client_left(out->socket);
    size_t size = out->queue.size - out->taken;
    if (size > capacity) size = capacity;
    if (size) memcpy(data, out->queue.data + out->taken, size);
    out->taken += size;
    pthread_cond_broadcast(&out->changed);
    pthread_mutex_unlock(&out->mutex);
    if (size) return (ssize_t)size;
    return left ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
}

/* The response is over, sent or broken off: a model that still computes is cancelled. */
static void stream_free(void *user) {
    stream *out = user;
    pthread_mutex_lock(&out->mutex);
    out->gone = true;
    if (out->answering) covey_conversation_cancel(out->work.slot->conversation);
    pthread_cond_broadcast(&out->changed);
    pthread_mutex_unlock(&out->mutex);
    pthread_join(out->thread, NULL);
    pthread_cond_destroy(&out->changed);
    pthread_mutex_destroy(&out->mutex);
    covey__buffer_free(&out->queue);
    covey__chat_request_free(&out->work.request);
    covey__free(out->work.server->env, out);
}

static void add_headers(struct MHD_Response *response, const job *work) {
    MHD_add_response_header(response, "Content-Type", "text/event-stream");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "X-Covey-Ensemble", work->label);
}

/* Takes the job over; NULL when there is no memory or no thread for it, and the job stays. */
static stream *stream_start(job *begun, struct MHD_Connection *connection) {
    const covey__env *env = begun->server->env;
    pthread_condattr_t attributes;
    stream *out = covey__calloc(env, 1, sizeof *out);
    if (!out) return NULL;
    out->work = *begun;
    out->work.head.model = out->work.model;
    out->work.head.label = out->work.label;
    out->first = out->answering = true;
    out->socket = socket_of(connection);
    covey__buffer_init(&out->queue, env, 4 * STREAM_QUEUE_MAX);
    pthread_mutex_init(&out->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&out->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (!pthread_create(&out->thread, NULL, stream_run, out)) return out;
    pthread_cond_destroy(&out->changed);
    pthread_mutex_destroy(&out->mutex);
    covey__free(env, out);
    return NULL;
}

/* Waits for the first piece, or the end. False when the client left meanwhile. */
static bool stream_begins(stream *out) {
    bool left = false;
    pthread_mutex_lock(&out->mutex);
    while (!out->queue.size && !out->done && !left)
        left = stream_wait(out) && client_left(out->socket);
    pthread_mutex_unlock(&out->mutex);
    return !left;
}

static enum MHD_Result answer_stream(job *begun, struct MHD_Connection *connection) {
    covey_server *server = begun->server;
    stream *out = stream_start(begun, connection);
    struct MHD_Response *response = NULL;
    if (!out) {
        covey__conversations_give(&server->pool, begun->slot, false);
        covey__chat_request_free(&begun->request);
        return covey__reply_error(server, connection, 503, "no_memory",
                                  "no memory for another answer; try again");
    }
    if (!stream_begins(out)) {
        stream_free(out);
        return MHD_NO;
    }
    if (out->failed) {
        enum MHD_Result refused =
            covey__reply_error(server, connection, covey__answer_http_status(out->failed),
                               covey__answer_code(out->failed), out->error.message);
        stream_free(out);
        return refused;
    }
    response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, stream_read, out, stream_free);
    if (!response) {
        stream_free(out);
        return MHD_NO;
    }
    add_headers(response, &out->work);
    enum MHD_Result result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- Both -------------------------------------------------------------------------------------
 */

static bool id_valid(const char *id) {
    size_t size = strlen(id);
    return size && size <= COVEY__CONVERSATION_ID_MAX &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == size;
}

enum MHD_Result covey__completion_answer(covey_server *server, struct MHD_Connection *connection,
                                         bool chat, const char *body, size_t body_size) {
    job work = {0};
    covey_error error = {0};
    covey__serve_slot *slot = NULL;
    const char *id =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-Covey-Conversation");
    covey_status status = COVEY_OK;
    if (id && !id_valid(id))
        status =
            covey__fail(&error, COVEY_ERROR_INVALID_ARGUMENT,
                        "X-Covey-Conversation: expected 1 to %d letters, digits, '.', '-' or '_'",
                        COVEY__CONVERSATION_ID_MAX);
    if (!status)
        status =
            covey__chat_request_parse(server->env, body, body_size, chat, &work.request, &error);
    if (!status) {
        status = covey__conversations_take(&server->pool, id ? id : "", &slot, &error);
        if (status) covey__chat_request_free(&work.request);
    }
    if (status) {
        covey__counter_add(&server->counters.requests_refused, 1);
        return covey__reply_error(server, connection, covey__answer_http_status(status),
                                  covey__answer_code(status), error.message);
    }
    job_begin(&work, server, slot, chat);
    return work.request.stream ? answer_stream(&work, connection) : answer_whole(&work, connection);
}
