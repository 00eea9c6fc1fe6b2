/* One completion. A whole answer is computed in the connection's own thread, which looks now and
 * then whether the client is still there. A streamed one is computed by a thread of its own that
 * fills a bounded queue, which the connection's thread empties: a slow reader slows the model down,
 * and a reader that leaves cancels it. */
#include "serve/serve.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_TEXT_MAX  (8u << 20)
#define STREAM_QUEUE_MAX (64u << 10)

/* What both ways share. */
typedef struct job {
    covey_server *server;
    covey__serve_slot *slot;
    covey__chat_request request;
    covey__answer_head head;
    char label[COVEY__LABEL_MAX], model[COVEY__LABEL_MAX];
    int64_t start_us;
} job;

static void job_count(const job *work, covey_status status, const covey_answer *answer) {
    covey__serve_counters *count = &work->server->counters;
    if (status == COVEY_ERROR_CANCELLED || answer->stop_reason == COVEY_STOP_CANCELLED)
        covey__counter_add(&count->requests_cancelled, 1);
    else
        covey__counter_add(status ? &count->requests_failed : &count->requests_ok, 1);
    covey__counter_add(&count->prompt_tokens, (uint64_t)answer->prompt_token_count);
    covey__counter_add(&count->reused_tokens, (uint64_t)answer->reused_token_count);
    covey__counter_add(&count->answer_tokens, (uint64_t)answer->answer_token_count);
    if (answer->first_token_us > 0)
        covey__histogram_add_us(&count->first_token, answer->first_token_us);
    covey__histogram_add_us(&count->request, covey__monotonic_us() - work->start_us);
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
    char byte;
    if (covey__buffer_append(&out->text, text, size)) return false;
    return out->socket < 0 || recv(out->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

static enum MHD_Result answer_whole(job *work, struct MHD_Connection *connection) {
    covey_server *server = work->server;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    whole out = {.socket = info ? info->connect_fd : -1};
    covey__buffer_init(&out.text, server->env, ANSWER_TEXT_MAX);
    covey_answer answer = COVEY_ANSWER_INIT;
    covey_error error = {0};
    covey_status status = covey_conversation_generate(
        work->slot->conversation, &work->request.request, &answer, &error, whole_text, &out);
    if (!status && out.text.status) status = covey__buffer_check(&out.text, &error, "the answer");
    job_count(work, status, &answer);
    covey__conversations_give(&server->pool, work->slot, status == COVEY_ERROR_NUMERIC);
    enum MHD_Result result;
    if (status) {
        result = covey__reply_error(server, connection, covey__answer_http_status(status),
                                    covey_status_name(status), error.message);
    } else {
        covey__buffer body;
        covey__buffer_init(&body, server->env, 2 * ANSWER_TEXT_MAX);
        covey__answer_whole(&body, &work->head, out.text.data ? out.text.data : "", out.text.size,
                            &answer);
        result = body.status ? covey__reply_error(server, connection, 500, "no_memory",
                                                  "the answer is too large to send")
                             : covey__reply(server, connection, 200, "application/json", body.data,
                                            body.size);
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
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    covey__buffer queue; /* bytes not yet sent, from `taken` on */
    size_t taken;
    bool done, gone;
    bool first;
} stream;

/* Called by the model's thread. Waits while the reader is behind. */
static bool stream_push(stream *out, const char *data, size_t size) {
    pthread_mutex_lock(&out->mutex);
    while (!out->gone && out->queue.size - out->taken > STREAM_QUEUE_MAX)
        pthread_cond_wait(&out->changed, &out->mutex);
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
    covey_status status = covey_conversation_generate(
        work->slot->conversation, &work->request.request, &answer, &error, stream_text, out);
    job_count(work, status, &answer);
    covey__conversations_give(&work->server->pool, work->slot, status == COVEY_ERROR_NUMERIC);
    covey__buffer event;
    covey__buffer_init(&event, work->server->env, STREAM_QUEUE_MAX);
    if (status) {
        covey__buffer_text(&event, "data: ");
        covey__answer_error(&event, covey__answer_http_status(status), covey_status_name(status),
                            error.message);
        covey__buffer_text(&event, "\n\n");
    } else {
        if (out->first) covey__answer_piece(&event, &work->head, "", 0, true);
        covey__answer_final(&event, &work->head, &answer, work->request.include_usage);
    }
    if (!event.status) stream_push(out, event.data, event.size);
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
    while (out->taken == out->queue.size && !out->done)
        pthread_cond_wait(&out->changed, &out->mutex);
    size_t size = out->queue.size - out->taken;
    if (size > capacity) size = capacity;
    if (size) memcpy(data, out->queue.data + out->taken, size);
    out->taken += size;
    pthread_cond_broadcast(&out->changed);
    pthread_mutex_unlock(&out->mutex);
    return size ? (ssize_t)size : MHD_CONTENT_READER_END_OF_STREAM;
}

/* The response is over, sent or broken off: a model that still computes is cancelled. */
static void stream_free(void *user) {
    stream *out = user;
    pthread_mutex_lock(&out->mutex);
    out->gone = true;
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

static enum MHD_Result answer_stream(job *begun, struct MHD_Connection *connection) {
    covey_server *server = begun->server;
    stream *out = covey__calloc(server->env, 1, sizeof *out);
    struct MHD_Response *response = NULL;
    if (out) {
        out->work = *begun;
        out->work.head.model = out->work.model;
        out->work.head.label = out->work.label;
        out->first = true;
        covey__buffer_init(&out->queue, server->env, 4 * STREAM_QUEUE_MAX);
        pthread_mutex_init(&out->mutex, NULL);
        pthread_cond_init(&out->changed, NULL);
        if (pthread_create(&out->thread, NULL, stream_run, out)) {
            pthread_cond_destroy(&out->changed);
            pthread_mutex_destroy(&out->mutex);
            covey__free(server->env, out);
            out = NULL;
        }
    }
    if (!out) {
        covey__conversations_give(&server->pool, begun->slot, false);
        covey__chat_request_free(&begun->request);
        return covey__reply_error(server, connection, 503, "no_memory",
                                  "no memory for another answer; try again");
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
                                  covey_status_name(status), error.message);
    }
    job_begin(&work, server, slot, chat);
    return work.request.stream ? answer_stream(&work, connection) : answer_whole(&work, connection);
}
