/* One completion. A whole answer is computed in the connection's own thread, which looks at each
 * piece of text whether the client is still there. A streamed one is computed by a thread of its
 * own that fills a bounded queue, which the connection's thread empties: a slow reader slows the
 * model down, and a reader that leaves cancels it, in the prompt already. The response begins with
 * the first piece of text, so that what fails before it has an HTTP status of its own. An answer
 * that the server's stop cut off ends as an error, so that no client takes it for whole. Several
 * answers to one request come one after the other, each with the next seed; their prompt is
 * computed once. Where tools are offered, text that may become a call is held back until it is one
 * or not. */
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
    int32_t index; /* of the answer at hand */
    covey__logprobs notes[COVEY__SERVE_ANSWERS_MAX];
    covey__tool_fault faults[COVEY__SERVE_ANSWERS_MAX];
    char label[COVEY__LABEL_MAX], model[COVEY__LABEL_MAX], digest[65];
    int64_t start_us;
} job;

/* Called when an answer is whole. */
typedef void (*ended_fn)(void *user, const covey_answer *answer);

static void count_answer(covey__serve_counters *count, const covey_answer *sum) {
    covey__counter_add(&count->prompt_tokens, (uint64_t)sum->prompt_token_count);
    covey__counter_add(&count->reused_tokens, (uint64_t)sum->reused_token_count);
    covey__counter_add(&count->answer_tokens, (uint64_t)sum->answer_token_count);
    if (sum->first_token_us > 0) covey__histogram_add_us(&count->first_token, sum->first_token_us);
}

/* Tells who wants to know, while the slot is still ours. */
static void tell(const job *work, covey_status status, const covey_answer *answer,
                 const covey_error *error) {
    covey_server *server = work->server;
    if (!server->answered) return;
    covey_server_answer told = {.size = sizeof told,
                                .label = work->label,
                                .digest = work->digest,
                                .status = status,
                                .message = status ? error->message : "",
                                .prompt_token_count =
                                    answer->prompt_token_count - answer->reused_token_count,
                                .answer_token_count = answer->answer_token_count,
                                .first_token_us = answer->first_token_us,
                                .decode_us = answer->decode_us};
    covey__conversations_load(&server->pool, work->slot, &told.at_once, &told.beside);
    server->answered(server->answered_user, &told);
}

static covey_status run_one(job *work, covey_answer *answer, covey_error *error, covey_text_fn text,
                            void *user) {
    covey_request *request = &work->request.request;
    covey_generation_options *generation = &work->request.generation;
    if (request->chat) request->chat = &work->request.chat; /* the job may have moved */
    request->generation = generation;
    generation->sampling = &work->request.sampling;
    if (work->request.logprobs) {
        generation->token_scored = covey__logprobs_note;
        generation->token_user = &work->notes[work->index];
    }
    covey_status status =
        covey_conversation_generate(work->slot->conversation, request, answer, error, text, user);
    covey__chat_adapters_note(&work->head.adapters, work->slot->served->backend, answer);
    work->request.sampling.seed++;
    bool cancelled = !status && answer->stop_reason == COVEY_STOP_CANCELLED;
    covey_status said = cancelled ? COVEY_ERROR_CANCELLED : status;
    /* Scales that a request chose can drive any model to NaN: that says nothing of the ensemble. */
    if (said == COVEY_ERROR_NUMERIC && request->adapter_count > 0)
        said = COVEY_ERROR_INVALID_ARGUMENT;
    tell(work, said, answer, error);
    if (status == COVEY_ERROR_CANCELLED || (!status && answer->stop_reason == COVEY_STOP_CANCELLED))
        return covey__fail(error, COVEY_ERROR_CANCELLED,
                           "the answer was cut off: the server is stopping; ask again");
    return status;
}

/* Generates all answers and counts. A cancelled answer is an error here. */
static covey_status job_run(job *work, covey_answer *sum, covey_error *error, covey_text_fn text,
                            ended_fn ended, void *user) {
    covey__serve_counters *count = &work->server->counters;
    covey_status status = COVEY_OK;
    for (work->index = 0; work->index < work->request.answers && !status; work->index++) {
        covey_answer answer = COVEY_ANSWER_INIT;
        covey__logprobs_init(&work->notes[work->index], work->server->env,
                             work->slot->served->backend, work->head.chat);
        status = run_one(work, &answer, error, text, user);
        if (work->index == 0)
            *sum = answer;
        else
            sum->answer_token_count += answer.answer_token_count;
        if (!status) ended(user, &answer);
    }
    covey__counter_add(status == COVEY_OK                ? &count->requests_ok
                       : status == COVEY_ERROR_CANCELLED ? &count->requests_cancelled
                                                         : &count->requests_failed,
                       1);
    count_answer(count, sum);
    covey__histogram_add_us(&count->request, covey__monotonic_us() - work->start_us);
    return status;
}

/* What a client may change where the model refuses a request: the prompt is too long, or the
 * template does not take it. */
static const char *fault_of(const job *work, covey_status status) {
    if (status != COVEY_ERROR_CONTEXT_SIZE && status != COVEY_ERROR_INVALID_ARGUMENT) return NULL;
    return work->head.chat ? "messages" : "prompt";
}

static void job_end(job *work, covey_status status) {
    covey__conversations_give(&work->server->pool, work->slot, status == COVEY_ERROR_NUMERIC);
    work->slot = NULL;
}

static void job_free(job *work) {
    for (int32_t i = 0; i < COVEY__SERVE_ANSWERS_MAX; i++)
        if (work->notes[i].backend) covey__logprobs_free(&work->notes[i]);
    covey__chat_request_free(&work->request);
}

int covey__client_socket(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

bool covey__client_left(int socket) {
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
    memcpy(work->digest, slot->served->digest, sizeof work->digest);
    work->head = (covey__answer_head){.chat = chat,
                                      .created_s = covey__now_ms(server->env) / 1000,
                                      .model = work->model,
                                      .label = work->label,
                                      .digest = work->digest};
    snprintf(work->head.id, sizeof work->head.id, "%s-%" PRIx64 "-%" PRIx64,
             chat ? "chatcmpl" : "cmpl", (uint64_t)covey__now_ms(server->env),
             (uint64_t)atomic_fetch_add(&server->serial, 1));
}

/* ---- Whole answers ----------------------------------------------------------------------------
 */

typedef struct whole {
    job *work;
    covey__buffer texts[COVEY__SERVE_ANSWERS_MAX];
    covey_answer answers[COVEY__SERVE_ANSWERS_MAX];
    int socket;
} whole;

static bool whole_text(void *user, const char *text, size_t size) {
    whole *out = user;
    covey__buffer *to = &out->texts[out->work->index];
    return covey__buffer_append(to, text, size) == COVEY_OK && !covey__client_left(out->socket);
}

static void whole_ended(void *user, const covey_answer *answer) {
    whole *out = user;
    out->answers[out->work->index] = *answer;
}

/* The answer's text, and the calls that it ends with. */
static covey__choice whole_choice(whole *out, int32_t index) {
    job *work = out->work;
    const covey__buffer *text = &out->texts[index];
    covey__choice choice = {.index = index,
                            .text = text->data ? text->data : "",
                            .text_size = text->size,
                            .logprobs = work->request.logprobs ? &work->notes[index] : NULL,
                            .answer = &out->answers[index]};
    size_t said = covey__tools_text_size(&work->request.tools, choice.text, text->size, true);
    if (said < text->size)
        choice.call_count =
            covey__tools_calls(&work->request.tools, &work->request.arena, choice.text + said,
                               text->size - said, &choice.calls, &work->faults[index]);
    choice.fault = &work->faults[index];
    if (choice.call_count) choice.text_size = said;
    return choice;
}

static enum MHD_Result send_whole(whole *out, struct MHD_Connection *connection,
                                  const covey_answer *sum) {
    job *work = out->work;
    const covey__reply_head head = {200, "application/json", work->label, NULL};
    covey__choice choices[COVEY__SERVE_ANSWERS_MAX];
    covey__buffer body;
    covey__buffer_init(&body, work->server->env, 8 * ANSWER_TEXT_MAX);
    for (int32_t i = 0; i < work->request.answers; i++) choices[i] = whole_choice(out, i);
    covey__answer_whole(&body, &work->head, choices, (size_t)work->request.answers, sum);
    enum MHD_Result result =
        body.status ? covey__reply_error(work->server, connection, 500, "no_memory",
                                         "the answer is too large to send")
                    : covey__reply(work->server, connection, &head, body.data, body.size);
    covey__buffer_free(&body);
    return result;
}

static enum MHD_Result answer_whole(job *work, struct MHD_Connection *connection) {
    covey_server *server = work->server;
    whole out = {.work = work, .socket = covey__client_socket(connection)};
    bool too_large = false;
    for (int32_t i = 0; i < work->request.answers; i++)
        covey__buffer_init(&out.texts[i], server->env, ANSWER_TEXT_MAX);
    covey_answer sum = COVEY_ANSWER_INIT;
    covey_error error = {0};
    covey_status status = job_run(work, &sum, &error, whole_text, whole_ended, &out);
    job_end(work, status);
    for (int32_t i = 0; i < work->request.answers; i++)
        too_large |= out.texts[i].status != COVEY_OK;
    enum MHD_Result result;
    if (too_large)
        result = covey__reply_error(server, connection, 500, "no_memory",
                                    "the answer is too large to send whole; stream it");
    else if (status)
        result =
            covey__reply_failure(server, connection, status, error.message, fault_of(work, status));
    else
        result = send_whole(&out, connection, &sum);
    for (int32_t i = 0; i < work->request.answers; i++) covey__buffer_free(&out.texts[i]);
    job_free(work);
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
    bool opened;         /* of the answer at hand something was said */
    covey__buffer held;  /* of its text, what may become a call */
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

static bool stream_choice(stream *out, covey__choice *choice) {
    job *work = &out->work;
    covey__buffer event;
    covey__buffer_init(&event, work->server->env, COVEY__SERVE_BODY_MAX);
    choice->index = work->index;
    choice->logprobs = work->request.logprobs ? &work->notes[work->index] : NULL;
    if (choice->answer)
        covey__answer_final(&event, &work->head, choice);
    else
        covey__answer_piece(&event, &work->head, choice, !out->opened);
    out->opened = true;
    out->first = false;
    bool ok = !event.status && stream_push(out, event.data, event.size);
    covey__buffer_free(&event);
    return ok;
}

static bool stream_text(void *user, const char *text, size_t size) {
    stream *out = user;
    covey__choice choice = {.text = text, .text_size = size};
    const covey__tools *tools = &out->work.request.tools;
    if (tools->choice == COVEY__TOOLS_NONE) return stream_choice(out, &choice);
    if (covey__buffer_append(&out->held, text, size)) return false;
    choice.text = out->held.data;
    choice.text_size = covey__tools_text_size(tools, out->held.data, out->held.size, !out->opened);
    if (!choice.text_size) return true;
    if (!stream_choice(out, &choice)) return false;
    out->held.size -= choice.text_size;
    memmove(out->held.data, out->held.data + choice.text_size, out->held.size + 1);
    return true;
}

/* What was held back is calls, or text after all; then the answer's end. */
static void stream_ended(void *user, const covey_answer *answer) {
    stream *out = user;
    job *work = &out->work;
    covey__choice last = {.answer = answer};
    if (out->held.size) {
        covey__choice rest = {0};
        rest.call_count =
            covey__tools_calls(&work->request.tools, &work->request.arena, out->held.data,
                               out->held.size, &rest.calls, &work->faults[work->index]);
        last.fault = &work->faults[work->index];
        if (!rest.call_count) {
            rest.text = out->held.data;
            rest.text_size = out->held.size;
        }
        stream_choice(out, &rest);
        last.call_count = rest.call_count;
        covey__buffer_clear(&out->held);
    }
    if (!out->opened) {
        covey__choice none = {.text = ""};
        stream_choice(out, &none);
    }
    stream_choice(out, &last);
    out->opened = false;
}

static void *stream_run(void *user) {
    stream *out = user;
    job *work = &out->work;
    covey_answer sum = COVEY_ANSWER_INIT;
    covey_error error = {0};
    covey_status status = job_run(work, &sum, &error, stream_text, stream_ended, out);
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
                            error.message, fault_of(work, status));
        covey__buffer_text(&event, "\n\n");
    } else {
        covey__answer_end(&event, &work->head, &sum, work->request.include_usage);
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
        left = stream_wait(out) && covey__client_left(out->socket);
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
    covey__buffer_free(&out->held);
    job_free(&out->work);
    covey__free(out->work.server->env, out);
}

static void add_headers(struct MHD_Response *response, const job *work) {
    MHD_add_response_header(response, "Content-Type", "text/event-stream");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "X-Covey-Ensemble", work->label);
}

static bool start_thread(stream *out) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes)) return false;
    bool started = !pthread_attr_setstacksize(&attributes, COVEY__SERVE_STACK) &&
                   !pthread_create(&out->thread, &attributes, stream_run, out);
    pthread_attr_destroy(&attributes);
    return started;
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
    out->work.head.digest = out->work.digest;
    out->first = out->answering = true;
    out->socket = covey__client_socket(connection);
    covey__buffer_init(&out->queue, env, STREAM_QUEUE_MAX + COVEY__SERVE_BODY_MAX);
    covey__buffer_init(&out->held, env, ANSWER_TEXT_MAX);
    pthread_mutex_init(&out->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&out->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (start_thread(out)) return out;
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
        left = stream_wait(out) && covey__client_left(out->socket);
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
        enum MHD_Result refused = covey__reply_failure(
            server, connection, out->failed, out->error.message, fault_of(&out->work, out->failed));
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

static bool takes_tools(const covey__serve_slot *slot) {
    covey_backend_report report = {.size = sizeof report};
    covey_backend_get_report(slot->served->backend, &report);
    return report.takes_tools;
}

enum MHD_Result covey__completion_answer(covey_server *server, struct MHD_Connection *connection,
                                         bool chat, const char *body, size_t body_size) {
    job work = {0};
    char param[COVEY__PARAM_MAX];
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
        status = covey__chat_request_parse(server->runtime, body, body_size, chat, &work.request,
                                           &error);
    if (!status) {
        status = covey__conversations_take(&server->pool, id ? id : "", &slot, &error);
        if (!status)
            status =
                covey__chat_adapters_check(&work.request.request, slot->served->backend, &error);
        if (!status && !takes_tools(slot)) status = covey__chat_teach_tools(&work.request, &error);
        if (status && slot) covey__conversations_give(&server->pool, slot, false);
        if (status) covey__chat_request_free(&work.request);
    }
    if (status) {
        covey__counter_add(&server->counters.requests_refused, 1);
        return covey__reply_failure(server, connection, status, error.message,
                                    covey__chat_request_param(error.message, param));
    }
    job_begin(&work, server, slot, chat);
    return work.request.stream ? answer_stream(&work, connection) : answer_whole(&work, connection);
}
