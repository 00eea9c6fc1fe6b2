/* Sessions: what one is planned to hold, opening, closing, forking, truncating. Appending is in
 * session_append.c, the pages in session_pages.c. Everything that a session will need is reserved
 * here, so that steps allocate nothing. */
#include "base/sha256.h"
#include "engine/draft.h"
#include "engine/engine.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define CONTEXT_DEFAULT 4096
#define CONTEXT_MAX     (1 << 22)
#define BATCH_DEFAULT   512
#define BATCH_MAX       4096
#define DRAFT_ROWS      (COVEY__DRAFT_DEFAULT + 1) /* untouched memory where none is made */

/* ---- Options ---- */

static covey_status check_numbers(const covey_session_options *options, covey_error *error) {
    if (options->context_tokens < 0 || options->context_tokens > CONTEXT_MAX ||
        options->batch_tokens < 0 || options->batch_tokens > BATCH_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "expected context_tokens from 0 to %d and batch_tokens from 0 to %d, "
                           "found %" PRId32 " and %" PRId32,
                           CONTEXT_MAX, BATCH_MAX, options->context_tokens, options->batch_tokens);
    if (options->kv_type < COVEY_KV_DEFAULT || options->kv_type > COVEY_KV_Q8_0)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "kv_type: expected F32, F16, Q8_0 or the default, found %d",
                           (int)options->kv_type);
    if (options->context_policy != COVEY_CONTEXT_ERROR &&
        options->context_policy != COVEY_CONTEXT_SLIDE)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "context_policy: expected error or slide, found %d",
                           (int)options->context_policy);
    return COVEY_OK;
}

static covey__kv_type inner_type(covey_kv_type type) {
    if (type == COVEY_KV_F32) return COVEY__KV_F32;
    return type == COVEY_KV_Q8_0 ? COVEY__KV_Q8_0 : COVEY__KV_F16;
}

/* The session's adapters in their order, and the digest that tells such sessions apart. */
static covey_status set_adapters(covey_session *session, const covey_session_options *options,
                                 covey_error *error) {
    covey__sha256 hash;
    if (options->adapter_count == 0) return COVEY_OK;
    if (options->adapter_count > COVEY_ADAPTERS_MAX || !options->adapters)
        return covey__fail_sizes(
            error, COVEY_ERROR_LIMIT, COVEY_ADAPTERS_MAX, (int64_t)options->adapter_count,
            "adapters: expected at most %d, found %zu", COVEY_ADAPTERS_MAX, options->adapter_count);
    covey__sha256_init(&hash);
    for (size_t i = 0; i < options->adapter_count; i++) {
        const covey_adapter_use *use = &options->adapters[i];
        if (!use->adapter || covey__adapter_model(use->adapter) != session->model)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "adapters[%zu]: expected one that was opened for this model", i);
        if (!isfinite(use->scale))
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "adapters[%zu]: the scale is not finite", i);
        session->adapter[i] = (covey__adapter_use){use->adapter, use->scale};
        covey__sha256_update(&hash, covey__adapter_digest(use->adapter), 32);
        covey__sha256_update(&hash, &use->scale, sizeof use->scale);
    }
    session->adapter_count = (int32_t)options->adapter_count;
    covey__sha256_final(&hash, session->adapters);
    return COVEY_OK;
}

covey_status covey__session_set_options(covey_session *session,
                                        const covey_session_options *options, covey_error *error) {
    covey_session_options full = COVEY_SESSION_OPTIONS_INIT;
    if (options) memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    const covey_model *model = session->model;
    int32_t trained = model->hyper.context_tokens;
    covey_status status = covey__model_generates(model, error);
    if (status == COVEY_OK) status = check_numbers(&full, error);
    if (status != COVEY_OK) return status;
    if (full.context_tokens > trained)
        covey__log(model->env, COVEY_LOG_WARN, "engine",
                   "a context of %" PRId32 " tokens is longer than the %" PRId32
                   " that the model was trained for",
                   full.context_tokens, trained);
    session->context = full.context_tokens;
    if (session->context == 0)
        session->context = trained < CONTEXT_DEFAULT ? trained : CONTEXT_DEFAULT;
    session->batch = full.batch_tokens ? full.batch_tokens : BATCH_DEFAULT;
    if (session->batch > session->context) session->batch = session->context;
    session->kv = inner_type(full.kv_type);
    session->policy = full.context_policy;
    session->keep = full.keep_tokens;
    session->alone = full.alone;
    if (session->keep < 0 || session->keep >= session->context)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "keep_tokens: expected 0 to %" PRId32 ", less than the context, found "
                           "%" PRId32,
                           session->context - 1, session->keep);
    if (session->kv == COVEY__KV_Q8_0 && model->hyper.head_dim % 32 != 0)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "kv_type Q8_0 needs a head dimension that is a multiple of 32; this "
                           "model's is %" PRId32,
                           model->hyper.head_dim);
    return set_adapters(session, &full, error);
}

void covey__session_key(const covey_session *session, uint8_t key[COVEY__KV_KEY_BYTES]) {
    const covey_model *model = session->model;
    uint8_t parts[2 + sizeof session->adapters];
    parts[0] = (uint8_t)session->kv;
    parts[1] = 0;
    for (int32_t i = 0; i < model->rope_count; i++)
        if (model->ropes[i].long_frequencies)
            parts[1] = session->context > model->hyper.rope_original_context;
    memcpy(parts + 2, session->adapters, sizeof session->adapters);
    covey__sha256_of(parts, sizeof parts, key);
}

/* ---- Planning ---- */

static covey__workspace_need workspace_need(const covey_session *session) {
    return (covey__workspace_need){
        .batch = session->batch > COVEY__MANY_MAX ? session->batch : COVEY__MANY_MAX,
        .context = session->context,
        .adapter_floats = covey__adapters_row_floats(session->adapter, session->adapter_count)};
}

static uint64_t text_bytes(const covey_model *model) {
    return COVEY__TEXT_HELD_MAX + 2 * model->token_bytes_max + 16;
}

/* Bytes of a session beside its pages. */
static uint64_t rest_bytes(const covey_session *session) {
    uint64_t vocabulary = (uint64_t)session->model->hyper.vocabulary_size;
    return sizeof(covey_session) + sizeof(covey__root) +
           (uint64_t)covey__pages_of((size_t)session->context) * 2 * sizeof(void *) +
           (uint64_t)session->context * sizeof(covey_token) +
           vocabulary * (DRAFT_ROWS * sizeof(float) + sizeof(float) + sizeof(covey__candidate)) +
           vocabulary / 8 + 1 + text_bytes(session->model);
}

static covey_status page_bytes(const covey_session *session, uint64_t *bytes, covey_error *error) {
    uint64_t page = 0, count = (uint64_t)covey__pages_of((size_t)session->context);
    if (!covey__kv_page_bytes(session->model, session->kv, &page) ||
        !covey__mul_u64(covey__kv_block_bytes(page), count, bytes) || *bytes > SIZE_MAX / 2)
        return covey__no_memory(error, "KV pages", SIZE_MAX);
    return COVEY_OK;
}

covey_status covey_session_plan(const covey_model *model, const covey_session_options *options,
                                uint64_t *bytes, covey_error *error) {
    if (!model || !bytes)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "session: plan: model and bytes must be given");
    covey_session planned;
    memset(&planned, 0, sizeof planned);
    planned.model = (covey_model *)(uintptr_t)model; /* read only */
    uint64_t pages = 0;
    covey_status status = covey__session_set_options(&planned, options, error);
    if (status == COVEY_OK) status = page_bytes(&planned, &pages, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: plan");
    *bytes = pages + rest_bytes(&planned) + covey__workspace_bytes(model, workspace_need(&planned));
    return COVEY_OK;
}

/* ---- Open and close ---- */

static bool allocate(covey_session *session) {
    const covey__env *env = session->model->env;
    size_t vocabulary = (size_t)session->model->hyper.vocabulary_size;
    size_t places = (size_t)covey__pages_of((size_t)session->context);
    session->page_count = (int32_t)places;
    session->text_capacity = text_bytes(session->model);
    session->held = covey__calloc(env, places, sizeof *session->held);
    session->pages = covey__calloc(env, places, sizeof *session->pages);
    session->tokens = covey__alloc(env, (size_t)session->context * sizeof *session->tokens);
    session->logits = covey__alloc(env, vocabulary * sizeof *session->logits);
    session->candidates = covey__alloc(env, vocabulary * sizeof *session->candidates);
    session->draft_logits = covey__alloc(env, DRAFT_ROWS * vocabulary * sizeof(float));
    session->seen = covey__calloc(env, vocabulary / 8 + 1, 1);
    session->text = covey__alloc(env, session->text_capacity);
    return session->held && session->pages && session->tokens && session->logits &&
           session->candidates && session->draft_logits && session->seen && session->text;
}

static void release(covey_session *session) {
    const covey__env *env = session->model->env;
    covey__kv_leave(session);
    pthread_cond_destroy(&session->wake);
    for (int32_t i = 0; i < session->adapter_count; i++)
        covey_adapter_close(session->adapter[i].adapter);
    covey__free(env, session->held);
    covey__free(env, session->pages);
    covey__free(env, session->tokens);
    covey__free(env, session->logits);
    covey__free(env, session->candidates);
    covey__free(env, session->draft_logits);
    covey__free(env, session->seen);
    covey__free(env, session->text);
    covey__free(env, session);
}

static covey_session *copy_options(const covey_session *like) {
    covey_session *session = covey__calloc(like->model->env, 1, sizeof *session);
    if (!session) return NULL;
    session->model = like->model;
    session->context = like->context;
    session->batch = like->batch;
    session->kv = like->kv;
    session->policy = like->policy;
    session->keep = like->keep;
    session->alone = like->alone;
    session->adapter_count = like->adapter_count;
    memcpy(session->adapter, like->adapter, sizeof session->adapter);
    memcpy(session->adapters, like->adapters, sizeof session->adapters);
    atomic_init(&session->cancelled, false);
    if (pthread_cond_init(&session->wake, NULL) == 0) {
        for (int32_t i = 0; i < session->adapter_count; i++)
            covey__adapter_hold(session->adapter[i].adapter);
        return session;
    }
    covey__free(like->model->env, session);
    return NULL;
}

covey_status covey__session_new(const covey_session *like, covey_session **session,
                                covey_error *error) {
    covey_model *model = like->model;
    *session = NULL;
    uint64_t pages = 0;
    covey_status status = page_bytes(like, &pages, error);
    if (status == COVEY_OK) status = covey__workspace_reserve(model, workspace_need(like), error);
    if (status != COVEY_OK) return status;
    covey_session *opened = copy_options(like);
    if (!opened) return covey__no_memory(error, "session", sizeof *opened);
    status = allocate(opened) ? covey__kv_join(opened, error)
                              : covey__no_memory(error, "session", (size_t)rest_bytes(like));
    if (status != COVEY_OK) {
        release(opened);
        return status;
    }
    covey__model_hold(model);
    *session = opened;
    return COVEY_OK;
}

covey_status covey_session_open(covey_model *model, const covey_session_options *options,
                                covey_session **session, covey_error *error) {
    if (!model || !session)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "session: model and session must be given");
    *session = NULL;
    covey_session like;
    memset(&like, 0, sizeof like);
    like.model = model;
    covey_status status = covey__session_set_options(&like, options, error);
    if (status == COVEY_OK) status = covey__session_new(&like, session, error);
    return status == COVEY_OK ? status : covey__prefix(error, status, "session");
}

void covey_session_close(covey_session *session) {
    if (!session) return;
    covey_model *model = session->model;
    covey__prefix_publish(session, true);
    release(session);
    covey__model_drop(model);
}

covey_status covey_session_fork(covey_session *session, covey_session **forked,
                                covey_error *error) {
    if (!session || !forked)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "session: fork: session and forked must be given");
    covey_status status = covey__session_new(session, forked, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: fork");
    covey_session *made = *forked;
    int32_t whole = (int32_t)(session->ready / COVEY__PAGE_KEYS);
    made->token_count = session->token_count;
    made->ready = session->ready;
    made->has_logits = session->has_logits;
    made->published = session->published < whole ? session->published : whole;
    memcpy(made->tokens, session->tokens, session->token_count * sizeof *made->tokens);
    if (session->has_logits)
        memcpy(made->logits, session->logits,
               (size_t)session->model->hyper.vocabulary_size * sizeof *made->logits);
    covey__pages_share(session, made, covey__pages_of(session->ready));
    return COVEY_OK;
}

covey_status covey_session_set_adapters(covey_session *session, const covey_adapter_use *uses,
                                        size_t use_count, covey_error *error) {
    if (!session)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "session: a session must be given");
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    covey_session like;
    options.adapters = uses;
    options.adapter_count = use_count;
    memset(&like, 0, sizeof like);
    like.model = session->model;
    like.context = session->context;
    like.batch = session->batch;
    like.kv = session->kv;
    covey_status status = set_adapters(&like, &options, error);
    bool same = status == COVEY_OK && like.adapter_count == session->adapter_count &&
                memcmp(like.adapters, session->adapters, sizeof like.adapters) == 0;
    if (same) return COVEY_OK;
    if (status == COVEY_OK)
        status = covey__workspace_reserve(like.model, workspace_need(&like), error);
    if (status == COVEY_OK) status = covey__kv_move(session, &like, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: set adapters");
    for (int32_t i = 0; i < like.adapter_count; i++) covey__adapter_hold(like.adapter[i].adapter);
    for (int32_t i = 0; i < session->adapter_count; i++)
        covey_adapter_close(session->adapter[i].adapter);
    session->adapter_count = like.adapter_count;
    memcpy(session->adapter, like.adapter, sizeof session->adapter);
    memcpy(session->adapters, like.adapters, sizeof session->adapters);
    session->token_count = session->ready = session->reused = 0;
    session->has_logits = false;
    return COVEY_OK;
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

size_t covey_session_reused_count(const covey_session *session) {
    return session ? session->reused : 0;
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
    if (session->ready > token_count) session->ready = token_count;
    covey__pages_drop(session, covey__pages_of(session->ready));
    return COVEY_OK;
}

void covey_session_cancel(covey_session *session) {
    if (session) atomic_store(&session->cancelled, true);
}

bool covey__session_take_cancel(covey_session *session) {
    return atomic_exchange(&session->cancelled, false);
}
