/* Generation: draw, hand on the text, append, until something stops it. Text leaves in whole UTF-8
 * characters, invalid bytes as U+FFFD, and what could still become a stop string is held back: no
 * part of one is ever seen. The session then holds every token drawn, but not the one that ended
 * the answer (an end token, a stop string's last, one that was cancelled). Under a guide only what
 * it allows is drawn, and tokens that it leaves no choice about come with the one before them, in
 * one pass. What is drawn never depends on drafts (draft.c). */
#include "engine/draft.h"
#include "engine/engine.h"
#include "engine/guide_run.h"
#include "engine/score.h"

#include <math.h>
#include <string.h>

typedef struct stream {
    covey_session *session;
    const covey_generation_options *options;
    covey_text_fn text;
    void *user;
    size_t held; /* bytes in session->text that were not handed on */
    covey__guide_run *guide;
    bool closes; /* the guide's answer is closed before there is no room for it */
    covey_token drawn[COVEY__GUIDE_FORCED_MAX + 1];
    covey__drafts drafts;
    double logprobs, entropies; /* sums over the tokens drawn */
    int32_t scored;
} stream;

#define REJECTED_MAX 64 /* draws of tokens that a guide takes back; then it says the next one */

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
    if (options->top_logprobs < 0 || options->top_logprobs > COVEY_TOP_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "top_logprobs: expected 0 to %d, found %d", COVEY_TOP_MAX,
                           (int)options->top_logprobs);
    return covey__sampling_check(options->sampling, error);
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

/* ---- The next tokens ---- */

static covey_token sample(const stream *s, const uint32_t *allowed) {
    const covey_session *session = s->session;
    return covey__sample(s->options->sampling, session->logits,
                         (size_t)session->model->hyper.vocabulary_size, session->tokens,
                         session->token_count, session->candidates, session->seen, allowed);
}

/* How many tokens may still be drawn; INT32_MAX: without end. */
static int32_t room_of(const stream *s, const covey_generation_result *result) {
    const covey_session *session = s->session;
    int32_t room = INT32_MAX;
    if (!covey__session_slides(session, (size_t)session->context - session->token_count + 1))
        room = session->context - (int32_t)session->token_count;
    int32_t most = s->options->tokens_max;
    if (most > 0 && most - result->token_count < room) room = most - result->token_count;
    return room;
}

/* What comes next, one token or more. `*closed`: they complete the answer, for want of room. */
typedef struct next_tokens {
    const covey_token *tokens;
    size_t count;
    bool closed;
} next_tokens;

/* No draw is left: the first token of the shortest completion, or, to close the answer, all of
 * it. */
static covey_status take_plan(stream *s, int32_t room, bool close, next_tokens *next,
                              covey_error *error) {
    next->count = covey__guide_plan(s->guide, s->closes ? room : INT32_MAX, &next->tokens);
    if (next->count == 0)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "guide: no token of the vocabulary continues the text as it must go on");
    next->closed = close;
    if (close) return COVEY_OK;
    s->drawn[0] = next->tokens[0];
    next->tokens = s->drawn;
    next->count = 1;
    return covey__guide_take(s->guide, s->drawn[0], error);
}

static covey_status next_guided(stream *s, int32_t room, next_tokens *next, covey_error *error) {
    const covey__tokenizer *tokenizer = s->session->model->tokenizer;
    int32_t left = room == INT32_MAX ? room : room - 1;
    const uint32_t *allowed;
    covey_status status = covey__guide_mask(s->guide, &allowed, error);
    if (status != COVEY_OK) return status;
    for (int rejected = 0;; rejected++) {
        s->drawn[0] = sample(s, allowed);
        if (covey__tokenizer_is_end(tokenizer, s->drawn[0])) return COVEY_OK;
        covey__guide_answer answer =
            covey__guide_allows(s->guide, s->drawn[0], s->closes ? left : INT32_MAX);
        if (answer == COVEY__GUIDE_YES) break;
        allowed = covey__guide_reject(s->guide, allowed, s->drawn[0]);
        bool close = answer == COVEY__GUIDE_NO_ROOM;
        if (close || !allowed || rejected == REJECTED_MAX)
            return take_plan(s, room, close, next, error);
    }
    status = covey__guide_take(s->guide, s->drawn[0], error);
    if (status != COVEY_OK) return status;
    const covey_token *forced;
    int32_t most = left < COVEY__GUIDE_FORCED_MAX ? left : COVEY__GUIDE_FORCED_MAX;
    size_t count = covey__guide_forced(s->guide, most, s->closes ? left : INT32_MAX, &forced);
    memcpy(s->drawn + 1, forced, count * sizeof *forced);
    next->count = 1 + count;
    return COVEY_OK;
}

static covey_status draw(stream *s, int32_t room, next_tokens *next, covey_error *error) {
    *next = (next_tokens){s->drawn, 1, false};
    if (s->guide) return next_guided(s, room, next, error);
    s->drawn[0] = sample(s, NULL);
    return COVEY_OK;
}

/* ---- Scores ---- */

static void note_drawn(stream *s, covey_token token, covey_generation_result *result) {
    if (!s->options->score && !s->options->token_scored) return;
    covey_token_top top[COVEY_TOP_MAX];
    covey_token_score score = {.size = sizeof score, .token = token};
    float *scratch = (float *)(void *)s->session->candidates; /* the draw is done with them */
    covey__score(s->session, token, scratch, &score, top, (size_t)s->options->top_logprobs);
    if (s->scored == 0 || score.logprob < result->least_logprob)
        result->least_logprob = score.logprob;
    s->logprobs += (double)score.logprob;
    s->entropies += (double)score.entropy;
    s->scored++;
    if (s->options->token_scored) s->options->token_scored(s->options->token_user, &score);
}

static void note_forced(const stream *s, covey_token token) {
    covey_token_score score = {.size = sizeof score, .token = token, .forced = true};
    if (s->options->token_scored) s->options->token_scored(s->options->token_user, &score);
}

static void sum_up(const stream *s, covey_generation_result *result) {
    result->drafted_count = s->drafts.drafted;
    result->accepted_count = s->drafts.kept;
    if (s->scored == 0) return;
    result->confidence = (float)covey__exp_f64(s->logprobs / s->scored);
    result->mean_entropy = (float)(s->entropies / s->scored);
}

/* ---- The loop ---- */

/* Hands on and appends what was drawn. False in `*goes_on` when that stops it. */
static covey_status take_tokens(stream *s, const next_tokens *next, int32_t room,
                                covey_generation_result *result, bool *goes_on,
                                covey_error *error) {
    size_t taken = 0;
    *goes_on = true;
    while (taken < next->count && *goes_on) {
        result->token_count += taken > 0;
        result->forced_count += taken > 0;
        if (taken > 0) note_forced(s, next->tokens[taken]);
        *goes_on = take_text(s, next->tokens[taken], &result->stop_reason);
        taken += *goes_on;
    }
    if (!*goes_on) result->guide_complete = false;
    if (taken == 0) return COVEY_OK;
    int32_t left = room - (int32_t)taken; /* a draft need not reach beyond the answer's end */
    covey_status status = covey__drafts_append(&s->drafts, next->tokens, taken, left, error);
    if (status != COVEY_ERROR_CANCELLED) return status;
    result->stop_reason = COVEY_STOP_CANCELLED;
    *goes_on = false;
    return COVEY_OK;
}

/* Whether it ends behind what was just appended. */
static bool ends(const stream *s, const next_tokens *next, int32_t room,
                 covey_generation_result *result) {
    bool full = result->token_count == s->options->tokens_max;
    result->guide_complete = s->guide && (next->closed || covey__guide_accepts(s->guide));
    if (s->guide && !next->closed && covey__guide_at_end(s->guide)) {
        result->stop_reason = COVEY_STOP_END;
        return true;
    }
    if (next->closed && !full) { /* which of the two left no room? */
        int32_t most = s->options->tokens_max, before = (int32_t)next->count;
        full = most > 0 && most - result->token_count + before == room;
    }
    result->stop_reason = full ? COVEY_STOP_LENGTH : COVEY_STOP_CONTEXT;
    return full || next->closed;
}

static covey_status run(stream *s, covey_generation_result *result, int64_t start,
                        covey_error *error) {
    covey_session *session = s->session;
    int64_t first = 0;
    bool goes_on = true;
    for (;;) {
        next_tokens next;
        if (covey__session_take_cancel(session)) {
            result->stop_reason = COVEY_STOP_CANCELLED;
            return COVEY_OK;
        }
        int32_t room = room_of(s, result);
        if (room <= 0) {
            result->stop_reason = COVEY_STOP_CONTEXT;
            break;
        }
        covey_status status = draw(s, room, &next, error);
        if (status != COVEY_OK) return status;
        int64_t now = covey__monotonic_us();
        if (result->token_count++ == 0) result->first_token_us = (first = now) - start;
        result->decode_us = now - first;
        note_drawn(s, next.tokens[0], result);
        if (covey__tokenizer_is_end(session->model->tokenizer, next.tokens[0])) {
            result->stop_reason = COVEY_STOP_END;
            result->guide_complete = s->guide != NULL;
            break;
        }
        status = take_tokens(s, &next, room, result, &goes_on, error);
        if (status != COVEY_OK || !goes_on) return status;
        if (ends(s, &next, room, result)) break;
    }
    if (!hand_on(s, session->text, s->held)) result->stop_reason = COVEY_STOP_CANCELLED;
    return COVEY_OK;
}

static covey_status begin_guide(stream *s, covey_error *error) {
    covey__token_trie *trie = NULL;
    covey_model *model = s->session->model;
    const covey_guide *guide = s->options->guide;
    covey_generation_result none = COVEY_GENERATION_RESULT_INIT;
    if (!guide) return COVEY_OK;
    covey_status status = covey__guide_trie_of(model, &trie, error);
    if (status == COVEY_OK)
        status = covey__guide_run_begin(guide, model->tokenizer, trie, &s->guide, error);
    covey__token_trie_drop(trie); /* a run holds it */
    if (status == COVEY_OK)
        s->closes = !guide->open_ended && covey__guide_fits(s->guide, room_of(s, &none));
    return status;
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
    if (options) memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    covey_sampling sampling = full_sampling(full.sampling);
    full.sampling = &sampling;
    covey_status status = check_ready(session, error);
    if (status == COVEY_OK) status = check_options(&full, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: generate");
    covey_generation_result done = COVEY_GENERATION_RESULT_INIT;
    stream out = {.session = session, .options = &full, .text = text, .user = user};
    status = covey__drafts_begin(&out.drafts, session, &full, error);
    if (status == COVEY_OK) status = begin_guide(&out, error);
    if (status == COVEY_OK) {
        covey__fp_state fp = covey__fp_enter();
        covey__combine_generates(session, true);
        status = run(&out, &done, start, error);
        covey__combine_generates(session, false);
        sum_up(&out, &done);
        covey__fp_leave(fp);
    }
    covey__guide_run_end(out.guide);
    covey__drafts_end(&out.drafts);
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
    *token = covey__sample(&full, session->logits, (size_t)session->model->hyper.vocabulary_size,
                           session->tokens, session->token_count, session->candidates,
                           session->seen, NULL);
    covey__fp_leave(fp);
    return COVEY_OK;
}
