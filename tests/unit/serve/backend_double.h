/* A backend whose answers a test scripts by the prompt's words.
 *
 * Prompts: "hello" answers "Hello world"; "hold" says "one " and waits for double_release; "quiet"
 * waits without a word, as a long prompt does; "endless" talks until it is stopped; "cut" ends at
 * its tokens; "long" and "nan" fail, "breaks" in the middle. Anything else is said back. */
#ifndef COVEY_TESTS_SERVE_BACKEND_DOUBLE_H
#define COVEY_TESTS_SERVE_BACKEND_DOUBLE_H

#include "support/support.h"

#include "base/error.h"
#include "base/runtime.h"
#include "serve/serve.h"
#include "serve_client.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct double_backend {
    const char *name;
    int32_t conversations_max;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int32_t open, answering, released, waiting;
    bool destroyed;
    covey_sampling last_sampling;
    bool no_tools; /* its chat template has no place for them */
    int32_t adapter_count;
    covey_generation_options last; /* of the last request; its stop strings are not kept */
    size_t last_stop_count;
    char last_stop[64], last_role[32];
    size_t last_message_count;
} double_backend;

typedef struct double_conversation {
    atomic_bool cancelled;
    int32_t requests;
} double_conversation;

static inline covey_availability double_available(void *user, char *reason, size_t size) {
    (void)user;
    if (size) reason[0] = 0;
    return COVEY_AVAILABLE;
}

static inline void double_report(void *user, covey_backend_report *report) {
    const double_backend *backend = user;
    snprintf(report->kind, sizeof report->kind, "%s", backend->name);
    report->embedding_width = 2;
    report->takes_tools = !backend->no_tools;
}

static inline covey_status double_count(void *user, const covey_request *request, size_t *count,
                                        covey_error *error) {
    (void)user;
    (void)error;
    *count = request->message_count;
    return COVEY_OK;
}

static inline covey_status double_open(void *user, int32_t context_tokens, void **conversation,
                                       covey_error *error) {
    double_backend *backend = user;
    (void)context_tokens;
    pthread_mutex_lock(&backend->mutex);
    bool full = backend->open >= backend->conversations_max;
    if (!full) backend->open++;
    pthread_mutex_unlock(&backend->mutex);
    if (full) return covey__fail(error, COVEY_ERROR_BUSY, "the double is full");
    *conversation = calloc(1, sizeof(double_conversation));
    assert_non_null(*conversation);
    return COVEY_OK;
}

static inline void double_close(void *user, void *conversation) {
    double_backend *backend = user;
    free(conversation);
    pthread_mutex_lock(&backend->mutex);
    backend->open--;
    pthread_cond_broadcast(&backend->changed);
    pthread_mutex_unlock(&backend->mutex);
}

/* Waits for a release or a cancel; cancels set no condition, so it looks now and then. */
static inline bool double_wait(double_backend *backend, const double_conversation *talk) {
    pthread_mutex_lock(&backend->mutex);
    backend->waiting++;
    pthread_cond_broadcast(&backend->changed);
    while (!backend->released && !atomic_load(&talk->cancelled)) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 2000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&backend->changed, &backend->mutex, &until);
    }
    bool released = backend->released > 0;
    if (released) backend->released--;
    backend->waiting--;
    pthread_mutex_unlock(&backend->mutex);
    return released;
}

static inline covey_status double_say(double_backend *backend, double_conversation *talk,
                                      const char *words, covey_answer *answer, covey_error *error,
                                      covey_text_fn text, void *user) {
    bool goes_on = true;
    if (!strcmp(words, "long"))
        return covey__fail_sizes(error, COVEY_ERROR_CONTEXT_SIZE, 10, 20,
                                 "prompt: 19 tokens do not fit a context of 10");
    if (!strcmp(words, "breaks")) (void)text(user, "so far", 6);
    if (!strcmp(words, "nan") || !strcmp(words, "breaks"))
        return covey__fail(error, COVEY_ERROR_NUMERIC, "NaN in the logits");
    if (!strcmp(words, "quiet")) {
        if (!double_wait(backend, talk))
            return covey__fail(error, COVEY_ERROR_CANCELLED, "cancelled");
        goes_on = text(user, "at last", 7);
    } else if (!strcmp(words, "hold")) {
        goes_on = text(user, "one ", 4) && double_wait(backend, talk) && text(user, "two", 3);
    } else if (!strcmp(words, "endless")) {
        static const char line[] = "all work and no play makes a dull answer; ";
        while (goes_on)
            goes_on = !atomic_load(&talk->cancelled) && text(user, line, sizeof line - 1);
    } else if (!strcmp(words, "cut")) {
        goes_on = text(user, "{\"half", 6);
        answer->stop_reason = COVEY_STOP_LENGTH;
    } else if (!strcmp(words, "hello")) {
        goes_on = text(user, "Hello", 5) && text(user, " world", 6);
    } else {
        goes_on = text(user, words, strlen(words));
    }
    if (!goes_on) answer->stop_reason = COVEY_STOP_CANCELLED;
    return COVEY_OK;
}

/* The words of the last message, of whichever kind. */
static inline const char *double_words(const covey_request *request, char *out, size_t size) {
    if (request->prompt) return request->prompt;
    if (!request->chat) return request->messages[request->message_count - 1].content;
    covey__env env;
    covey__arena arena;
    const covey__json *root = NULL;
    covey__env_init(&env);
    covey__arena_init(&arena, &env, 1u << 20);
    assert_int_equal(covey__json_parse(&arena, request->chat->messages_json,
                                       request->chat->messages_json_size,
                                       COVEY__JSON_LIMITS_DEFAULT, &root, NULL),
                     COVEY_OK);
    const covey__json *last = root->child;
    while (last->next) last = last->next;
    snprintf(out, size, "%s", covey__json_get(last, "content")->text);
    covey__arena_free(&arena);
    return out;
}

/* Each word is a token; its number is how long it is. */
static inline void double_score(const covey_request *request, const char *words) {
    const covey_token_top top[2] = {{3, -0.25f}, {5, -1.5f}};
    if (!request->generation->token_scored) return;
    for (const char *at = words; *at;) {
        size_t size = strcspn(at, " ") + (at[strcspn(at, " ")] == ' ');
        covey_token_score score = {.token = (covey_token)size, .logprob = -0.5f, .top = top};
        score.top_count =
            (size_t)(request->generation->top_logprobs < 2 ? request->generation->top_logprobs : 2);
        request->generation->token_scored(request->generation->token_user, &score);
        at += size;
    }
}

static inline size_t double_bytes(void *user, covey_token token, char *bytes, size_t capacity) {
    (void)user;
    for (int32_t i = 0; i < token && (size_t)i < capacity; i++) bytes[i] = 'x';
    return (size_t)token;
}

/* Two numbers: the text's size, and one. */
static inline covey_status double_embed(void *user, const char *text, size_t size, float *vector,
                                        size_t *count, covey_error *error) {
    (void)user;
    if (!strcmp(text, "nan")) return covey__fail(error, COVEY_ERROR_NUMERIC, "NaN in the vector");
    vector[0] = (float)size;
    vector[1] = 1.0f;
    *count = size;
    return COVEY_OK;
}

static inline covey_status double_generate(void *user, void *conversation,
                                           const covey_request *request, covey_answer *answer,
                                           covey_error *error, covey_text_fn text,
                                           void *text_user) {
    double_backend *backend = user;
    double_conversation *talk = conversation;
    char said[512];
    const char *words = double_words(request, said, sizeof said);
    atomic_store(&talk->cancelled, false);
    pthread_mutex_lock(&backend->mutex);
    backend->answering++;
    pthread_cond_broadcast(&backend->changed);
    backend->last = *request->generation;
    backend->last_sampling = *request->generation->sampling;
    backend->last_stop_count = request->generation->stop_count;
    snprintf(backend->last_stop, sizeof backend->last_stop, "%s",
             request->generation->stop_count ? request->generation->stop[0] : "");
    backend->last_message_count = request->message_count;
    snprintf(backend->last_role, sizeof backend->last_role, "%s",
             request->messages ? request->messages[0].role : "");
    pthread_mutex_unlock(&backend->mutex);
    answer->prompt_token_count = 7;
    answer->reused_token_count = talk->requests++ ? 5 : 0;
    answer->answer_token_count = 3;
    answer->first_token_us = 1500;
    answer->prefill_us = 1000;
    answer->decode_us = 2000;
    double_score(request, words);
    covey_status status = double_say(backend, talk, words, answer, error, text, text_user);
    pthread_mutex_lock(&backend->mutex);
    backend->answering--;
    pthread_cond_broadcast(&backend->changed);
    pthread_mutex_unlock(&backend->mutex);
    return status;
}

static inline void double_cancel(void *user, void *conversation) {
    (void)user;
    atomic_store(&((double_conversation *)conversation)->cancelled, true);
}

static inline bool double_adapter(void *user, int32_t id, covey_backend_adapter *adapter) {
    adapter->name = "adapter";
    return id >= 0 && id < ((const double_backend *)user)->adapter_count;
}

static inline void double_destroy(void *user) {
    double_backend *backend = user;
    pthread_mutex_lock(&backend->mutex);
    backend->destroyed = true;
    pthread_mutex_unlock(&backend->mutex);
}

static inline void double_init(double_backend *backend, const char *name, int32_t max) {
    memset(backend, 0, sizeof *backend);
    backend->name = name;
    backend->conversations_max = max;
    pthread_mutex_init(&backend->mutex, NULL);
    pthread_cond_init(&backend->changed, NULL);
}

static inline void double_free(double_backend *backend) {
    assert_true(backend->destroyed);
    assert_int_equal(backend->open, 0);
    pthread_cond_destroy(&backend->changed);
    pthread_mutex_destroy(&backend->mutex);
}

static inline covey_backend *double_make(covey_runtime *runtime, double_backend *backend) {
    covey_backend_table table = {.size = sizeof table,
                                 .user = backend,
                                 .available = double_available,
                                 .report = double_report,
                                 .count_tokens = double_count,
                                 .open = double_open,
                                 .close = double_close,
                                 .generate = double_generate,
                                 .cancel = double_cancel,
                                 .destroy = double_destroy,
                                 .embed = double_embed,
                                 .token_bytes = double_bytes,
                                 .adapter = double_adapter};
    covey_backend *made = NULL;
    covey_error error = {0};
    if (covey_backend_new(runtime, &table, &made, &error)) fail_msg("%s", error.message);
    return made;
}

/* Waits until `*value` is `wanted`; fails the test when that does not come. */
static inline void double_await(double_backend *backend, const int32_t *value, int32_t wanted) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&backend->mutex);
    int failed = 0;
    while (*value != wanted && !failed)
        failed = pthread_cond_timedwait(&backend->changed, &backend->mutex, &until);
    int32_t found = *value;
    pthread_mutex_unlock(&backend->mutex);
    if (failed) fail_msg("waited for %d, found %d", (int)wanted, (int)found);
}

static inline void double_release(double_backend *backend) {
    pthread_mutex_lock(&backend->mutex);
    backend->released++;
    pthread_cond_broadcast(&backend->changed);
    pthread_mutex_unlock(&backend->mutex);
}

#endif
