/* Sessions: KV pages, tokens and logits of one conversation. All memory is reserved when a session
 * opens; a page is zeroed when the first token comes near it, so room that is never used stays
 * untouched. Appending runs passes of at most `batch` rows under the workspace's lock, one at a
 * time for a model, and counts the tokens as the session's only when the last pass is through: a
 * failure or a cancel leaves what was there. */
#include "engine/engine.h"

#include <inttypes.h>
#include <string.h>

#define CONTEXT_DEFAULT 4096
#define CONTEXT_MAX     (1 << 22)
#define BATCH_DEFAULT   512
#define BATCH_MAX       4096
#define EACH_ROWS       64

typedef struct session_plan {
    int32_t context, batch, page_count;
    uint64_t page_floats, bytes;
} session_plan;

/* ---- Planning ---- */

static covey_status make_plan(const covey_model *model, const covey_session_options *options,
                              session_plan *out, covey_error *error) {
    covey_session_options full = COVEY_SESSION_OPTIONS_INIT;
    if (options) memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    const covey__hyper *hyper = &model->hyper;
    int32_t trained = hyper->context_tokens;
    covey_status status = covey__model_generates(model, error);
    if (status != COVEY_OK) return status;
    if (full.context_tokens < 0 || full.context_tokens > CONTEXT_MAX || full.batch_tokens < 0 ||
        full.batch_tokens > BATCH_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "expected context_tokens from 0 to %d and batch_tokens from 0 to %d, "
                           "found %" PRId32 " and %" PRId32,
                           CONTEXT_MAX, BATCH_MAX, full.context_tokens, full.batch_tokens);
    if (full.context_tokens > trained)
        covey__log(model->env, COVEY_LOG_WARN, "engine",
                   "a context of %" PRId32 " tokens is longer than the %" PRId32
                   " that the model was trained for",
                   full.context_tokens, trained);
    out->context = full.context_tokens;
    if (out->context == 0) out->context = trained < CONTEXT_DEFAULT ? trained : CONTEXT_DEFAULT;
    out->batch = full.batch_tokens ? full.batch_tokens : BATCH_DEFAULT;
    if (out->batch > out->context) out->batch = out->context;
    out->page_count = (out->context + COVEY__PAGE_KEYS - 1) / COVEY__PAGE_KEYS;
    out->page_floats = (uint64_t)hyper->layer_count * (uint64_t)hyper->kv_head_count * 2 *
                       (uint64_t)hyper->head_dim * COVEY__PAGE_KEYS;
    uint64_t pages = 0;
    if (!covey__mul_u64(out->page_floats * sizeof(float), (uint64_t)out->page_count, &pages) ||
        pages > SIZE_MAX / 2)
        return covey__no_memory(error, "KV pages", SIZE_MAX);
    out->bytes = pages + 63;
    return COVEY_OK;
}

static int32_t workspace_batch(const session_plan *plan) {
    return plan->batch > COVEY__MANY_MAX ? plan->batch : COVEY__MANY_MAX;
}

/* Bytes of a session beside its KV pages. */
static uint64_t rest_bytes(const covey_model *model, const session_plan *plan, uint64_t text) {
    uint64_t vocabulary = (uint64_t)model->hyper.vocabulary_size;
    return sizeof(covey_session) + (uint64_t)plan->page_count * sizeof(float *) +
           (uint64_t)plan->context * sizeof(covey_token) +
           vocabulary * (sizeof(float) + sizeof(covey__candidate)) + vocabulary / 8 + 1 + text;
}

static uint64_t text_bytes(const covey_model *model) {
    return COVEY__TEXT_HELD_MAX + 2 * model->token_bytes_max + 16;
}

covey_status covey_session_plan(const covey_model *model, const covey_session_options *options,
                                uint64_t *bytes, covey_error *error) {
    if (!model || !bytes)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "session: plan: model and bytes must be given");
    session_plan plan;
    covey_status status = make_plan(model, options, &plan, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: plan");
    *bytes = plan.bytes + rest_bytes(model, &plan, text_bytes(model)) +
             covey__workspace_bytes(model, workspace_batch(&plan), plan.context);
    return COVEY_OK;
}

/* ---- Open and close ---- */

static bool allocate(covey_session *session, const session_plan *plan) {
    const covey__env *env = session->model->env;
    size_t vocabulary = (size_t)session->model->hyper.vocabulary_size;
    session->text_capacity = text_bytes(session->model);
    session->page_floats = (size_t)plan->page_floats;
    session->page_count = plan->page_count;
    session->pages = covey__calloc(env, (size_t)plan->page_count, sizeof *session->pages);
    session->tokens = covey__alloc(env, (size_t)plan->context * sizeof *session->tokens);
    session->logits = covey__alloc(env, vocabulary * sizeof *session->logits);
    session->candidates = covey__alloc(env, vocabulary * sizeof *session->candidates);
    session->seen = covey__calloc(env, vocabulary / 8 + 1, 1);
    session->text = covey__alloc(env, session->text_capacity);
    float *first = covey__reserve(env, (size_t)plan->bytes - 63, &session->pages_base);
    if (!session->pages || !session->tokens || !session->logits || !session->candidates ||
        !session->seen || !session->text || !first)
        return false;
    for (int32_t p = 0; p < plan->page_count; p++)
        session->pages[p] = first + (size_t)p * session->page_floats;
    return true;
}

static void release(covey_session *session) {
    const covey__env *env = session->model->env;
    covey__free(env, session->pages);
    covey__free(env, session->tokens);
    covey__free(env, session->logits);
    covey__free(env, session->candidates);
    covey__free(env, session->seen);
    covey__free(env, session->text);
    covey__free(env, session->pages_base);
    covey__free(env, session);
}

covey_status covey_session_open(covey_model *model, const covey_session_options *options,
                                covey_session **session, covey_error *error) {
    if (!model || !session)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "session: model and session must be given");
    *session = NULL;
    session_plan plan;
    covey_status status = make_plan(model, options, &plan, error);
    if (status == COVEY_OK)
        status = covey__workspace_reserve(model, workspace_batch(&plan), plan.context, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session");
    covey_session *opened = covey__calloc(model->env, 1, sizeof *opened);
    if (!opened) return covey__no_memory(error, "session", sizeof *opened);
    opened->model = model;
    opened->context = plan.context;
    opened->batch = plan.batch;
    atomic_init(&opened->cancelled, false);
    if (!allocate(opened, &plan)) {
        release(opened);
        return covey__no_memory(error, "session", (size_t)plan.bytes);
    }
    covey__model_hold(model);
    *session = opened;
    return COVEY_OK;
}

void covey_session_close(covey_session *session) {
    if (!session) return;
    covey_model *model = session->model;
    release(session);
    covey__model_drop(model);
}

/* ---- What a session holds ---- */

const float *covey_session_logits(const covey_session *session, size_t *logit_count) {
    bool has = session && session->has_logits;
    if (logit_count) *logit_count = has ? (size_t)session->model->hyper.vocabulary_size : 0;
    return has ? session->logits : NULL;
}

size_t covey_session_token_count(const covey_session *session) {
    return session ? session->token_count : 0;
}

const covey_token *covey__session_tokens(const covey_session *session, size_t *token_count) {
    *token_count = session->token_count;
    return session->tokens;
}

covey_status covey_session_truncate(covey_session *session, size_t token_count,
                                    covey_error *error) {
    if (!session || token_count > session->token_count)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "session: truncate: expected at most %zu tokens, found %zu",
                           session ? session->token_count : 0, token_count);
    if (token_count < session->token_count) session->has_logits = false;
    session->token_count = token_count;
    return COVEY_OK;
}

void covey_session_cancel(covey_session *session) {
    if (session) atomic_store(&session->cancelled, true);
}

bool covey__session_take_cancel(covey_session *session) {
    return atomic_exchange(&session->cancelled, false);
}

/* ---- Append ---- */

static covey_status check_tokens(const covey_session *session, const covey_token *tokens,
                                 size_t token_count, covey_error *error) {
    int32_t vocabulary = session->model->hyper.vocabulary_size;
    for (size_t i = 0; i < token_count; i++)
        if (tokens[i] < 0 || tokens[i] >= vocabulary)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "token %zu: expected an id from 0 to %" PRId32 ", found %" PRId32, i,
                               vocabulary - 1, tokens[i]);
    if (token_count <= (size_t)session->context - session->token_count) return COVEY_OK;
    size_t needed = session->token_count + token_count;
    return covey__fail_sizes(error, COVEY_ERROR_CONTEXT_SIZE, session->context, (int64_t)needed,
                             "the context holds %" PRId32 " tokens, %zu would be needed (%zu held, "
                             "%zu to append): shorten the prompt, or open the session with a "
                             "larger context_tokens",
                             session->context, needed, session->token_count, token_count);
}

/* One pass over rows [at, at + count) of the tokens to append. */
static covey_status append_rows(covey_session *session, const covey_token *tokens, size_t at,
                                int32_t count, int32_t logit_rows, float *logits,
                                covey_error *error) {
    covey__run run = {session, 0, count, (int32_t)(session->token_count + at)};
    covey__pass pass = {.model = session->model,
                        .tokens = tokens + at,
                        .rows = count,
                        .runs = &run,
                        .run_count = 1,
                        .logit_first = count - logit_rows,
                        .logit_rows = logit_rows,
                        .logits = logits};
    covey_status status = covey__workspace_take(session->model, error);
    if (status != COVEY_OK) return status;
    status = covey__pass_run(&pass, error);
    covey__workspace_give(session->model);
    if (status == COVEY_ERROR_CANCELLED) covey__session_take_cancel(session);
    return status;
}

static void take_tokens(covey_session *session, const covey_token *tokens, size_t token_count) {
    memcpy(session->tokens + session->token_count, tokens, token_count * sizeof *tokens);
    session->token_count += token_count;
    session->has_logits = true;
}

covey_status covey_session_append(covey_session *session, const covey_token *tokens,
                                  size_t token_count, covey_error *error) {
    if (!session || (!tokens && token_count > 0))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "session: append: session and tokens must be given");
    covey_status status = check_tokens(session, tokens, token_count, error);
    for (size_t at = 0; status == COVEY_OK && at < token_count;) {
        size_t left = token_count - at, batch = (size_t)session->batch;
        int32_t count = (int32_t)(left < batch ? left : batch);
        bool ends = (size_t)count == left;
        status = append_rows(session, tokens, at, count, ends, session->logits, error);
        if (status == COVEY_ERROR_NUMERIC && ends) session->has_logits = false;
        at += (size_t)count;
    }
    if (status != COVEY_OK) return covey__prefix(error, status, "session: append");
    if (token_count > 0) take_tokens(session, tokens, token_count);
    return COVEY_OK;
}

static covey_status each_rows(covey_session *session, const covey_token *tokens, size_t token_count,
                              float *logits, covey_error *error, covey_logits_fn each, void *user) {
    size_t vocabulary = (size_t)session->model->hyper.vocabulary_size;
    for (size_t at = 0; at < token_count;) {
        size_t left = token_count - at, most = (size_t)session->batch;
        if (most > EACH_ROWS) most = EACH_ROWS;
        size_t count = left < most ? left : most;
        covey_status status =
            append_rows(session, tokens, at, (int32_t)count, (int32_t)count, logits, error);
        if (status != COVEY_OK) return covey__prefix(error, status, "session: append");
        for (size_t i = 0; i < count; i++) {
            status = each(user, at + i, logits + i * vocabulary, vocabulary);
            if (status != COVEY_OK)
                return covey__fail(error, status,
                                   "session: append: stopped after token %zu by "
                                   "the callback",
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
    covey_status status = check_tokens(session, tokens, token_count, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: append");
    if (token_count == 0) return COVEY_OK;
    const covey__env *env = session->model->env;
    size_t rows = token_count < EACH_ROWS ? token_count : EACH_ROWS;
    size_t bytes = rows * (size_t)session->model->hyper.vocabulary_size * sizeof(float);
    float *logits = covey__alloc(env, bytes);
    if (!logits) return covey__no_memory(error, "session: append: logits", bytes);
    status = each_rows(session, tokens, token_count, logits, error, each, user);
    if (status == COVEY_OK) take_tokens(session, tokens, token_count);
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
            check_tokens(parts[i].session, parts[i].tokens, parts[i].token_count, error);
        if (status != COVEY_OK) return covey__prefix(error, status, "part %zu", i);
    }
    return COVEY_OK;
}

covey_status covey_session_append_many(covey_session_part *parts, size_t part_count,
                                       covey_error *error) {
    covey_status status = check_many(parts, part_count, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: append to many");
    for (size_t i = 0; i < part_count; i++) {
        covey_error *told = status == COVEY_OK ? error : NULL;
        parts[i].status =
            covey_session_append(parts[i].session, parts[i].tokens, parts[i].token_count, told);
        if (status == COVEY_OK) status = parts[i].status;
    }
    return status;
}
