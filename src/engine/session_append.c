/* Appending to one session and to many, and sliding. New tokens stand behind the session's own
 * until the last pass over them is through, and count only then: what fails leaves the session as
 * it was. The prefix tree and the pages come before the passes, so nothing here is in their way. */
#include "engine/engine.h"

#include <inttypes.h>
#include <string.h>

#define EACH_ROWS COVEY__MANY_MAX

/* ---- Checks ---- */

size_t covey__slide_dropped(size_t length, size_t keep, size_t context) {
    size_t step = (context - keep + 1) / 2;
    if (length <= context) return 0;
    return (length - context + step - 1) / step * step;
}

void covey__session_set_keep(covey_session *session, size_t keep) {
    session->keep = (int32_t)keep;
}

bool covey__session_slides(const covey_session *session, size_t token_count) {
    return session->policy == COVEY_CONTEXT_SLIDE &&
           token_count > (size_t)session->context - session->token_count;
}

static covey_status check_tokens(const covey_session *session, const covey_token *tokens,
                                 size_t token_count, bool may_slide, covey_error *error) {
    int32_t vocabulary = session->model->hyper.vocabulary_size;
    for (size_t i = 0; i < token_count; i++)
        if (tokens[i] < 0 || tokens[i] >= vocabulary)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "token %zu: expected an id from 0 to %" PRId32 ", found %" PRId32, i,
                               vocabulary - 1, tokens[i]);
    if (token_count <= (size_t)session->context - session->token_count) return COVEY_OK;
    if (may_slide && covey__session_slides(session, token_count)) return COVEY_OK;
    int64_t needed = token_count > INT64_MAX - session->token_count
                         ? INT64_MAX
                         : (int64_t)(session->token_count + token_count);
    return covey__fail_sizes(error, COVEY_ERROR_CONTEXT_SIZE, session->context, needed,
                             "the context holds %" PRId32 " tokens, %" PRId64
                             " would be needed (%zu held, %zu to append): shorten the prompt, or "
                             "open the session with a larger context_tokens",
                             session->context, needed, session->token_count, token_count);
}

/* ---- One session's tokens on their way ---- */

/* Drops `count` of the session's tokens behind the kept ones. */
static void drop_held(covey_session *session, size_t count) {
    size_t keep = (size_t)session->keep, rest = session->token_count - keep - count;
    memmove(session->tokens + keep, session->tokens + keep + count, rest * sizeof *session->tokens);
    session->token_count = keep + rest;
    if (session->ready > keep) session->ready = keep;
    session->has_logits = false;
    covey__pages_drop(session, covey__pages_of(session->ready));
}

/* Puts the tokens behind the session's own, sliding as if they came one by one: of a long piece,
 * some may be gone before they were computed. Returns how many stand there. */
static size_t place(covey_session *session, const covey_token *tokens, size_t token_count) {
    size_t keep = (size_t)session->keep, held = session->token_count, skipped = 0;
    if (covey__session_slides(session, token_count)) {
        skipped = covey__slide_dropped(held + token_count, keep, (size_t)session->context);
        size_t after = held > keep ? held - keep : 0, old = skipped < after ? skipped : after;
        if (old > 0) drop_held(session, old);
        skipped -= old;
    }
    covey_token *to = session->tokens + session->token_count;
    size_t kept = held < keep ? keep - held : 0; /* new tokens that are among the kept ones */
    if (kept > token_count) kept = token_count;
    memcpy(to, tokens, kept * sizeof *to);
    memcpy(to + kept, tokens + kept + skipped, (token_count - kept - skipped) * sizeof *to);
    return token_count - skipped;
}

/* Puts the tokens behind the session's own, and makes the request for what must be computed.
 * Returns how many will count as appended. */
static size_t begin(covey_session *session, const covey_token *tokens, size_t token_count,
                    covey__request *request) {
    token_count = place(session, tokens, token_count);
    size_t total = session->token_count + token_count;
    session->reused = 0;
    covey__prefix_find(session, total, false);
    covey__pages_prepare(session, session->ready, total);
    *request = (covey__request){.session = session,
                                .tokens = session->tokens + session->ready,
                                .count = (int32_t)(total - session->ready),
                                .position = (int32_t)session->ready,
                                .wanted = 1,
                                .logits = session->logits};
    return token_count;
}

/* Counts the tokens if they were computed; else leaves the session as it was, but for what a slide
 * had to compute anew. */
static void end(covey_session *session, size_t token_count, const covey__request *request) {
    size_t ready = (size_t)(request->position + request->done);
    if (request->status == COVEY_OK) {
        session->token_count += token_count;
        session->ready = session->token_count;
        session->has_logits = true;
    } else {
        session->ready = ready < session->token_count ? ready : session->token_count;
        session->reused = 0;
        covey__pages_drop(session, covey__pages_of(session->ready));
        if (request->overwrote) session->has_logits = false;
        if (request->status == COVEY_ERROR_CANCELLED) covey__session_take_cancel(session);
    }
    covey__prefix_publish(session, false);
}

static covey_status outcome(const covey__request *request, covey_error *error, const char *what) {
    if (request->status == COVEY_OK) return COVEY_OK;
    if (error) *error = request->error;
    return covey__prefix(error, request->status, "%s", what);
}

covey_status covey_session_append(covey_session *session, const covey_token *tokens,
                                  size_t token_count, covey_error *error) {
    if (!session || (!tokens && token_count > 0))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "session: append: session and tokens must be given");
    covey_status status = check_tokens(session, tokens, token_count, true, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: append");
    if (token_count == 0) return COVEY_OK;
    covey__request request;
    size_t appended = begin(session, tokens, token_count, &request);
    covey__combine_run(session->model, &request, 1);
    end(session, appended, &request);
    return outcome(&request, error, "session: append");
}

/* ---- Drafts ---- */

covey_status covey__session_append_draft(covey_session *session, const covey_token *tokens,
                                         size_t count, const covey_token *draft, size_t draft_count,
                                         float *logits) {
    size_t total = session->token_count + count + draft_count;
    size_t vocabulary = (size_t)session->model->hyper.vocabulary_size;
    if (session->ready < session->token_count || total > (size_t)session->context)
        return COVEY_ERROR_CONTEXT_SIZE;
    memcpy(session->tokens + session->token_count, tokens, count * sizeof *tokens);
    memcpy(session->tokens + session->token_count + count, draft, draft_count * sizeof *draft);
    session->reused = 0;
    covey__pages_prepare(session, session->ready, total);
    covey__request request = {.session = session,
                              .tokens = session->tokens + session->ready,
                              .count = (int32_t)(total - session->ready),
                              .position = (int32_t)session->ready,
                              .wanted = (int32_t)draft_count + 1,
                              .logits = logits};
    covey__combine_run(session->model, &request, 1);
    if (request.status != COVEY_OK) {
        /* A cancel is left for who asks next. */
        covey__pages_drop(session, covey__pages_of(session->ready));
        return request.status;
    }
    session->token_count += count;
    session->ready = session->token_count;
    session->has_logits = true;
    memcpy(session->logits, logits, vocabulary * sizeof *logits);
    return COVEY_OK;
}

void covey__session_keep_draft(covey_session *session, size_t count, const float *logits) {
    size_t vocabulary = (size_t)session->model->hyper.vocabulary_size;
    session->token_count += count;
    session->ready = session->token_count;
    memcpy(session->logits, logits, vocabulary * sizeof *logits);
}

void covey__session_drop_draft(covey_session *session) {
    covey__pages_drop(session, covey__pages_of(session->ready));
    covey__prefix_publish(session, false);
}

/* ---- The logits after every token ---- */

/* What a slide that failed left to compute. */
static covey_status catch_up(covey_session *session, covey_error *error) {
    if (session->ready == session->token_count) return COVEY_OK;
    covey__request request = {.session = session,
                              .tokens = session->tokens + session->ready,
                              .count = (int32_t)(session->token_count - session->ready),
                              .position = (int32_t)session->ready};
    covey__pages_prepare(session, session->ready, session->token_count);
    covey__combine_run(session->model, &request, 1);
    end(session, 0, &request);
    session->has_logits = false;
    return outcome(&request, error, "session: append");
}

static covey_status each_rows(covey_session *session, size_t token_count, float *logits,
                              covey_error *error, covey_logits_fn each, void *user) {
    size_t vocabulary = (size_t)session->model->hyper.vocabulary_size;
    size_t most = (size_t)session->batch < EACH_ROWS ? (size_t)session->batch : EACH_ROWS;
    for (size_t at = 0; at < token_count;) {
        size_t count = token_count - at < most ? token_count - at : most;
        covey__request request = {.session = session,
                                  .tokens = session->tokens + session->token_count + at,
                                  .count = (int32_t)count,
                                  .position = (int32_t)(session->token_count + at),
                                  .wanted = (int32_t)count,
                                  .logits = logits};
        covey__combine_run(session->model, &request, 1);
        if (request.status == COVEY_ERROR_CANCELLED) covey__session_take_cancel(session);
        if (request.status != COVEY_OK) return outcome(&request, error, "session: append");
        for (size_t i = 0; i < count; i++) {
            covey_status status = each(user, at + i, logits + i * vocabulary, vocabulary);
            if (status != COVEY_OK)
                return covey__fail(error, status,
                                   "session: append: stopped after token %zu by the callback",
                                   at + i);
        }
        at += count;
        if (at == token_count)
            memcpy(session->logits, logits + (count - 1) * vocabulary, vocabulary * sizeof *logits);
    }
    return COVEY_OK;
}

covey_status covey_session_append_each(covey_session *session, const covey_token *tokens,
                                       size_t token_count, covey_error *error, covey_logits_fn each,
                                       void *user) {
    if (!session || (!tokens && token_count > 0) || !each)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "session: append: session, tokens and callback must be given");
    covey_status status = check_tokens(session, tokens, token_count, false, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: append");
    if (token_count == 0) return COVEY_OK;
    const covey__env *env = session->model->env;
    size_t rows = token_count < EACH_ROWS ? token_count : EACH_ROWS;
    size_t bytes = rows * (size_t)session->model->hyper.vocabulary_size * sizeof(float);
    float *logits = covey__alloc(env, bytes);
    if (!logits) return covey__no_memory(error, "session: append: logits", bytes);
    status = catch_up(session, error);
    if (status == COVEY_OK) {
        size_t total = session->token_count + token_count;
        memcpy(session->tokens + session->token_count, tokens, token_count * sizeof *tokens);
        covey__pages_prepare(session, session->token_count, total);
        status = each_rows(session, token_count, logits, error, each, user);
        covey__request done = {
            .session = session, .position = (int32_t)session->token_count, .status = status};
        session->reused = 0;
        end(session, token_count, &done);
    }
    covey__free(env, logits);
    return status;
}

/* ---- Append to many ---- */

static covey_status check_many(const covey_session_part *parts, size_t part_count,
                               covey_error *error) {
    if (!parts || part_count == 0)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "parts must be given");
    if (part_count > COVEY__MANY_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__MANY_MAX, (int64_t)part_count,
                                 "expected at most %d sessions in one pass, found %zu",
                                 COVEY__MANY_MAX, part_count);
    for (size_t i = 0; i < part_count; i++) {
        if (!parts[i].session || parts[i].session->model != parts[0].session->model)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "part %zu: expected a session of the first one's model", i);
        if (!parts[i].tokens || parts[i].token_count == 0)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "part %zu: tokens must be given", i);
        for (size_t j = 0; j < i; j++)
            if (parts[j].session == parts[i].session)
                return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                                   "the sessions of parts %zu and %zu are the same", j, i);
    }
    for (size_t i = 0; i < part_count; i++) {
        covey_status status =
            check_tokens(parts[i].session, parts[i].tokens, parts[i].token_count, true, error);
        if (status != COVEY_OK) return covey__prefix(error, status, "part %zu", i);
    }
    return COVEY_OK;
}

covey_status covey_session_append_many(covey_session_part *parts, size_t part_count,
                                       covey_error *error) {
    covey_status status = check_many(parts, part_count, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: append to many");
    covey_model *model = parts[0].session->model;
    covey__request requests[COVEY__MANY_MAX];
    size_t appended[COVEY__MANY_MAX];
    for (size_t i = 0; i < part_count; i++)
        appended[i] = begin(parts[i].session, parts[i].tokens, parts[i].token_count, &requests[i]);
    covey__combine_run(model, requests, (int32_t)part_count);
    for (size_t i = 0; i < part_count; i++) {
        end(parts[i].session, appended[i], &requests[i]);
        parts[i].status = requests[i].status;
        if (status == COVEY_OK) status = outcome(&requests[i], error, "session: append to many");
    }
    return status;
}
