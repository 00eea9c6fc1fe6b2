/* Generation: draw, hand on the text, append, until something stops it. Text leaves in whole UTF-8
 * characters, invalid bytes as U+FFFD, and what could still become a stop string is held back: no
 * part of one is ever seen. The session then holds every token drawn, but not the one that ended
 * the answer (an end token, a stop string's last, one that was cancelled). */
#include "engine/engine.h"

#include <string.h>

typedef struct stream {
    covey_session *session;
    const covey_generation_options *options;
    covey_text_fn text;
    void *user;
    size_t held; /* bytes in session->text that were not handed on */
} stream;

static covey_status check_options(const covey_generation_options *options, covey_error *error) {
    if (options->tokens_max < 0)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "tokens_max: expected 0 (as the context allows) or more");
    if (options->stop_count > COVEY__STOP_STRINGS_MAX || (options->stop_count && !options->stop))
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__STOP_STRINGS_MAX,
                                 (int64_t)options->stop_count,
                                 "stop: expected at most %d strings, found %zu",
                                 COVEY__STOP_STRINGS_MAX, options->stop_count);
    for (size_t i = 0; i < options->stop_count; i++) {
        size_t size = options->stop[i] ? strlen(options->stop[i]) : 0;
        if (size == 0 || size > COVEY__TEXT_HELD_MAX)
            return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__TEXT_HELD_MAX, (int64_t)size,
                                     "stop[%zu]: expected 1 to %d bytes, found %zu", i,
                                     COVEY__TEXT_HELD_MAX, size);
    }
    return covey__sampling_check(&options->sampling, error);
}

/* ---- Text ---- */

/* Hands on `size` bytes in whole characters; false when the callback says stop. */
static bool hand_on(const stream *s, const char *bytes, size_t size) {
    if (!s->text) return true;
    size_t start = 0;
    for (size_t at = 0; at < size;) {
        covey__utf8_char c = covey__utf8_decode(bytes + at, size - at);
        if (!c.valid) {
            if (at > start && !s->text(s->user, bytes + start, at - start)) return false;
            if (!s->text(s->user, "\xef\xbf\xbd", 3)) return false;
            start = at + c.size;
        }
        at += c.size;
    }
    return start >= size || s->text(s->user, bytes + start, size - start);
}

/* Where the first stop string begins in the held text; its size when there is none. */
static size_t find_stop(const stream *s) {
    const char *text = s->session->text;
    for (size_t at = 0; at < s->held; at++)
        for (size_t i = 0; i < s->options->stop_count; i++) {
            size_t size = strlen(s->options->stop[i]);
            if (size <= s->held - at && memcmp(text + at, s->options->stop[i], size) == 0)
                return at;
        }
    return s->held;
}

/* Bytes before the first place from which a stop string could still grow. */
static size_t before_possible_stop(const stream *s) {
    const char *text = s->session->text;
    for (size_t at = 0; at < s->held; at++)
        for (size_t i = 0; i < s->options->stop_count; i++) {
            size_t left = s->held - at;
            if (left < strlen(s->options->stop[i]) &&
                memcmp(text + at, s->options->stop[i], left) == 0)
                return at;
        }
    return s->held;
}

/* Takes a token's bytes in and hands on what is safe. False when it stops; then `*reason` says
 * why. */
static bool take_text(stream *s, covey_token token, covey_stop_reason *reason) {
    char *text = s->session->text;
    size_t room = s->session->text_capacity - s->held;
    size_t size =
        covey__tokenizer_bytes_of(s->session->model->tokenizer, token, false, text + s->held, room);
    s->held += size < room ? size : room;
    size_t stop = find_stop(s);
    bool stopped = stop < s->held;
    size_t safe = stopped ? stop : before_possible_stop(s);
    if (!stopped) safe = covey__utf8_whole(text, safe);
    bool goes_on = hand_on(s, text, safe);
    memmove(text, text + safe, s->held - safe);
    s->held -= safe;
    if (stopped) *reason = COVEY_STOP_STRING;
    if (!goes_on) *reason = COVEY_STOP_CANCELLED;
    return goes_on && !stopped;
}

/* ---- The loop ---- */

static covey_status run(stream *s, covey_generation_result *result, int64_t start,
                        covey_error *error) {
    covey_session *session = s->session;
    int64_t first = 0;
    for (;;) {
        if (covey__session_take_cancel(session)) {
            result->stop_reason = COVEY_STOP_CANCELLED;
            return COVEY_OK;
        }
        if (session->token_count >= (size_t)session->context &&
            !covey__session_slides(session, 1)) {
            result->stop_reason = COVEY_STOP_CONTEXT;
            break;
        }
        covey_token token = covey__sample(
            &s->options->sampling, session->logits, (size_t)session->model->hyper.vocabulary_size,
            session->tokens, session->token_count, session->candidates, session->seen);
        int64_t now = covey__monotonic_us();
        if (result->token_count++ == 0) result->first_token_us = (first = now) - start;
        result->decode_us = now - first;
        if (covey__tokenizer_is_end(session->model->tokenizer, token)) {
            result->stop_reason = COVEY_STOP_END;
            break;
        }
        if (!take_text(s, token, &result->stop_reason)) return COVEY_OK;
        covey_status status = covey_session_append(session, &token, 1, error);
        if (status == COVEY_ERROR_CANCELLED) {
            result->stop_reason = COVEY_STOP_CANCELLED;
            return COVEY_OK;
        }
        if (status != COVEY_OK) return status;
        if (result->token_count == s->options->tokens_max) {
            result->stop_reason = COVEY_STOP_LENGTH;
            break;
        }
    }
    if (!hand_on(s, session->text, s->held)) result->stop_reason = COVEY_STOP_CANCELLED;
    return COVEY_OK;
}

static covey_status check_ready(const covey_session *session, covey_error *error) {
    if (!session)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "a session must be given");
    if (!session->has_logits)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "the session has no logits: append at least one token first");
    return COVEY_OK;
}

static covey_sampling full_sampling(const covey_sampling *sampling) {
    covey_sampling full = COVEY_SAMPLING_INIT;
    if (sampling)
        memcpy(&full, sampling, sampling->size < sizeof full ? sampling->size : sizeof full);
    return full;
}

covey_status covey_session_generate(covey_session *session, const covey_generation_options *options,
                                    covey_generation_result *result, covey_error *error,
                                    covey_text_fn text, void *user) {
    int64_t start = covey__monotonic_us();
    covey_generation_options full = COVEY_GENERATION_OPTIONS_INIT;
    if (options) {
        memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
        full.sampling = full_sampling(&options->sampling);
    }
    covey_status status = check_ready(session, error);
    if (status == COVEY_OK) status = check_options(&full, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: generate");
    covey_generation_result done = COVEY_GENERATION_RESULT_INIT;
    stream out = {session, &full, text, user, 0};
    covey__fp_state fp = covey__fp_enter();
    covey__combine_generates(session, true);
    status = run(&out, &done, start, error);
    covey__combine_generates(session, false);
    covey__fp_leave(fp);
    if (result) {
        done.size = result->size;
        memcpy(result, &done, result->size < sizeof done ? result->size : sizeof done);
    }
    return status == COVEY_OK ? status : covey__prefix(error, status, "session: generate");
}

covey_status covey_session_sample(covey_session *session, const covey_sampling *sampling,
                                  covey_token *token, covey_error *error) {
    covey_sampling full = full_sampling(sampling);
    covey_status status = check_ready(session, error);
    if (status == COVEY_OK && !token)
        status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "token must be given");
    if (status == COVEY_OK) status = covey__sampling_check(&full, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: sample");
    covey__fp_state fp = covey__fp_enter();
    *token =
        covey__sample(&full, session->logits, (size_t)session->model->hyper.vocabulary_size,
                      session->tokens, session->token_count, session->candidates, session->seen);
    covey__fp_leave(fp);
    return COVEY_OK;
}
