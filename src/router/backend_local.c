/* The engine as a backend: the first maker of the interface. Each conversation is a session; a
 * request that begins with what the session already holds reuses that part and computes the rest.
 * A request with other adapters than the one before gives the session to them; what it held stays
 * in the prefix tree, under the old ones. Control tokens come from the chat template alone, and a
 * plain prompt never holds any (local_prompt.c). The model is shared by all conversations and
 * closed with the backend. */
#include "router/local_prompt.h"
#include "router/router.h"

#include "base/error.h"
#include "base/runtime.h"
#include "engine/adapter.h"
#include "engine/engine.h"
#include <covey/embedding.h>

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define TOKENS_AROUND 16 /* room for what stands before and behind an embedded text */

typedef struct local_backend {
    const covey__env *env;
    covey_runtime *runtime;
    covey_model *model;
    covey_model_info info;
    int32_t conversations_max;
    covey_session_options session;                    /* what conversations are opened with */
    covey_adapter_offer adapters[COVEY_ADAPTERS_MAX]; /* held */
    int32_t adapter_count;
    atomic_int conversation_count;
    bool knows_tools;
} local_backend;

typedef struct local_conversation {
    covey_session *session;
    covey_token *prompt; /* of the request at hand; capacity is the context */
    size_t context;
} local_conversation;

static covey_availability local_available(void *user, char *reason, size_t reason_size) {
    local_backend *local = user;
    int32_t open = atomic_load(&local->conversation_count);
    if (open < local->conversations_max) return COVEY_AVAILABLE;
    if (reason && reason_size)
        snprintf(reason, reason_size, "All %d conversations are in use.", (int)open);
    return COVEY_UNAVAILABLE_BUSY;
}

static void local_report(void *user, covey_backend_report *report) {
    const local_backend *local = user;
    size_t size = report->size;
    covey_backend_report full = {0};
    full.size = size;
    snprintf(full.kind, sizeof full.kind, "covey");
    snprintf(full.isa, sizeof full.isa, "%s", covey_runtime_isa(local->runtime));
    snprintf(full.quantization, sizeof full.quantization, "%s", local->info.quantization);
    full.exact = true;
    full.arithmetic_version = local->info.arithmetic_version;
    full.threads = covey_runtime_threads(local->runtime);
    full.context_tokens_max = local->info.context_tokens_max;
    full.load_ms = local->info.load_ms;
    full.weight_bytes = local->info.weight_bytes;
    full.embedding_width = local->info.embedding_width;
    full.generates = local->info.generates;
    full.takes_tools = local->info.chat_template_tools || local->knows_tools;
    memcpy(report, &full, size < sizeof full ? size : sizeof full);
}

static covey_status local_count_tokens(void *user, const covey_request *request,
                                       size_t *token_count, covey_error *error) {
    const local_backend *local = user;
    covey_error ignored;
    const covey__prompter to = {.env = local->env, .model = local->model, .info = &local->info};
    covey_status status = covey__prompt_render(&to, request, NULL, 0, token_count, &ignored);
    if (status == COVEY_OK || status == COVEY_ERROR_LIMIT) return COVEY_OK;
    if (error) *error = ignored;
    return status;
}

/* ---- Adapters ---- */

static bool local_adapter(void *user, int32_t id, covey_backend_adapter *adapter) {
    const local_backend *local = user;
    covey_adapter_info info = COVEY_ADAPTER_INFO_INIT;
    if (id >= local->adapter_count) return false;
    covey_adapter_describe(local->adapters[id].adapter, &info);
    adapter->name = info.file;
    adapter->scale = local->adapters[id].scale;
    adapter->on_request = local->adapters[id].on_request;
    memcpy(adapter->sha256, info.sha256, sizeof info.sha256);
    return true;
}

/* The scale of each adapter; 0 is off. */
static covey_status scales_of(const local_backend *local, const covey_request *request,
                              float scales[COVEY_ADAPTERS_MAX], covey_error *error) {
    bool named[COVEY_ADAPTERS_MAX] = {false};
    for (int32_t i = 0; i < local->adapter_count; i++) {
        const covey_adapter_offer *offer = &local->adapters[i];
        scales[i] = request->adapters || offer->on_request ? 0.0f : offer->scale;
    }
    for (size_t i = 0; i < request->adapter_count; i++) {
        const covey_adapter_choice *choice = &request->adapters[i];
        if (choice->id < 0 || choice->id >= local->adapter_count)
            return covey__fail(
                error, COVEY_ERROR_INVALID_ARGUMENT,
                "adapters[%zu]: there is no adapter %d; there are %d, counted from 0", i,
                (int)choice->id, (int)local->adapter_count);
        if (named[choice->id] || isinf(choice->scale))
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "adapters[%zu]: adapter %d %s",
                               i, (int)choice->id,
                               named[choice->id] ? "is named twice" : "has no finite scale");
        named[choice->id] = true;
        scales[choice->id] =
            isnan(choice->scale) ? local->adapters[choice->id].scale : choice->scale;
    }
    return COVEY_OK;
}

/* Gives the conversation the adapters that the request chooses, in the order of their numbers: one
 * set is one way to compute, however it was named. `answer` is told. */
static covey_status choose_adapters(const local_backend *local, local_conversation *talk,
                                    const covey_request *request, covey_answer *answer,
                                    covey_error *error) {
    float scales[COVEY_ADAPTERS_MAX];
    covey_adapter_use uses[COVEY_ADAPTERS_MAX];
    size_t count = 0;
    covey_status status = scales_of(local, request, scales, error);
    if (status) return status;
    for (int32_t i = 0; i < local->adapter_count; i++) {
        if (scales[i] == 0.0f) continue;
        uses[count] = (covey_adapter_use){local->adapters[i].adapter, scales[i]};
        answer->adapters[count++] = (covey_adapter_choice){i, scales[i]};
    }
    answer->adapter_count = count;
    return covey_session_set_adapters(talk->session, uses, count, error);
}

/* ---- Conversations ---- */

static void local_close(void *user, void *conversation) {
    local_backend *local = user;
    local_conversation *talk = conversation;
    covey_session_close(talk->session);
    covey__free(local->env, talk->prompt);
    covey__free(local->env, talk);
    atomic_fetch_sub(&local->conversation_count, 1);
}

/* Of a session for a new conversation; its adapters are written to `uses`. */
static covey_session_options options_of(const local_backend *local, int32_t context_tokens,
                                        covey_adapter_use uses[COVEY_ADAPTERS_MAX]) {
    covey_session_options options = local->session;
    options.adapters = uses;
    for (int32_t i = 0; i < local->adapter_count; i++)
        if (!local->adapters[i].on_request)
            uses[options.adapter_count++] =
                (covey_adapter_use){local->adapters[i].adapter, local->adapters[i].scale};
    options.keep_tokens = 0; /* each request's */
    options.context_tokens = context_tokens;
    if (options.context_tokens <= 0) {
        options.context_tokens = local->info.context_tokens_max;
        if (options.context_tokens > COVEY__CONTEXT_DEFAULT)
            options.context_tokens = COVEY__CONTEXT_DEFAULT;
    }
    return options;
}

static covey_status local_open(void *user, int32_t context_tokens, void **conversation,
                               covey_error *error) {
    local_backend *local = user;
    int32_t before = atomic_fetch_add(&local->conversation_count, 1);
    covey_status status = COVEY_OK;
    local_conversation *talk = NULL;
    if (before >= local->conversations_max) {
        atomic_fetch_sub(&local->conversation_count, 1);
        return covey__fail(error, COVEY_ERROR_BUSY,
                           "backend: all %d conversations are in use; close one or try again",
                           (int)local->conversations_max);
    }
    covey_adapter_use uses[COVEY_ADAPTERS_MAX];
    covey_session_options options = options_of(local, context_tokens, uses);
    talk = covey__calloc(local->env, 1, sizeof *talk);
    if (talk) {
        talk->context = (size_t)options.context_tokens;
        talk->prompt = covey__calloc(local->env, talk->context, sizeof *talk->prompt);
    }
    if (!talk || !talk->prompt) status = covey__no_memory(error, "a conversation", sizeof *talk);
    if (!status) status = covey_session_open(local->model, &options, &talk->session, error);
    if (status) {
        if (talk) covey__free(local->env, talk->prompt);
        covey__free(local->env, talk);
        atomic_fetch_sub(&local->conversation_count, 1);
        return status;
    }
    *conversation = talk;
    return COVEY_OK;
}

static bool slides(const local_backend *local) {
    return local->session.context_policy == COVEY_CONTEXT_SLIDE;
}

/* Keeps what the session and the prompt share, but never the whole prompt: its last token's logits
 * are needed. */
static covey_status append_prompt(local_conversation *talk, const covey__prompt *prompt,
                                  size_t *reused, covey_error *error) {
    size_t held = 0, same = 0, count = prompt->count;
    const covey_token *tokens = covey__session_tokens(talk->session, &held);
    while (same < held && same + 1 < count && tokens[same] == prompt->tokens[same]) same++;
    covey_status status = covey_session_truncate(talk->session, same, error);
    covey__session_set_keep(talk->session, prompt->keep);
    if (!status)
        status = covey_session_append(talk->session, prompt->tokens + same, count - same, error);
    *reused = same + covey_session_reused_count(talk->session);
    return status;
}

static covey_status local_generate(void *user, void *conversation, const covey_request *request,
                                   covey_answer *answer, covey_error *error, covey_text_fn text,
                                   void *text_user) {
    local_backend *local = user;
    local_conversation *talk = conversation;
    int64_t start = covey__monotonic_us();
    size_t reused = 0;
    covey_generation_options generation = *request->generation;
    covey__session_take_cancel(talk->session); /* one from before was not meant for this answer */
    const covey__prompter to = {.env = local->env,
                                .model = local->model,
                                .info = &local->info,
                                .slides = slides(local),
                                .context = talk->context};
    covey__prompt prompt = {.tokens = talk->prompt};
    covey_status status = covey__prompt_make(&to, request, &prompt, error);
    covey_answer full = COVEY_ANSWER_INIT;
    if (!status) status = choose_adapters(local, talk, request, &full, error);
    if (!status) status = append_prompt(talk, &prompt, &reused, error);
    if (status) return status;
    /* What slides has no end of its own. */
    if (to.slides && generation.tokens_max == 0) generation.tokens_max = (int32_t)talk->context;
    int64_t prefilled = covey__monotonic_us();
    covey_generation_result result = COVEY_GENERATION_RESULT_INIT;
    status = covey_session_generate(talk->session, &generation, &result, error, text, text_user);
    full.size = answer->size;
    full.stop_reason = result.stop_reason;
    full.prompt_token_count = (int32_t)prompt.count;
    full.dropped_token_count = (int32_t)prompt.dropped;
    full.reused_token_count = (int32_t)reused;
    full.answer_token_count = result.token_count;
    full.prefill_us = prefilled - start;
    full.first_token_us = full.prefill_us + result.first_token_us;
    full.decode_us = result.decode_us;
    full.confidence = result.confidence;
    full.mean_entropy = result.mean_entropy;
    full.forced_token_count = result.forced_count;
    full.drafted_token_count = result.drafted_count;
    full.accepted_token_count = result.accepted_count;
    memcpy(answer, &full, answer->size < sizeof full ? answer->size : sizeof full);
    return status;
}

static covey_status local_save(void *user, void *conversation, const char *path, const void *note,
                               size_t note_size, covey_error *error) {
    (void)user;
    local_conversation *talk = conversation;
    return covey_session_save_with_note(talk->session, path, note, note_size, error);
}

static covey_status local_restore(void *user, void *conversation, const char *path,
                                  covey_error *error, covey_note_fn note, void *note_user) {
    local_backend *local = user;
    local_conversation *talk = conversation;
    covey_adapter_use uses[COVEY_ADAPTERS_MAX];
    covey_session_options options = options_of(local, (int32_t)talk->context, uses);
    covey_session *restored = NULL;
    covey_status status = covey_session_restore_with_note(local->model, &options, path, &restored,
                                                          error, note, note_user);
    if (status) return status;
    covey_session_close(talk->session);
    talk->session = restored;
    return COVEY_OK;
}

static void local_cancel(void *user, void *conversation) {
    (void)user;
    covey_session_cancel(((local_conversation *)conversation)->session);
}

/* The tokens of texts, one text behind the other. */
typedef struct embedded_texts {
    covey_token *tokens;
    size_t capacity, used;
    covey_embedding_input *inputs;
} embedded_texts;

static covey_status tokenize_texts(local_backend *local, const covey_backend_text *texts,
                                   size_t text_count, size_t *token_counts, embedded_texts *all,
                                   size_t *failed, covey_error *error) {
    const size_t most = (size_t)local->info.context_tokens_max;
    for (size_t i = 0; i < text_count; i++) {
        covey_token *to = all->tokens + all->used;
        covey_status status =
            covey_embedding_tokenize(local->model, texts[i].text, texts[i].text_size, to,
                                     all->capacity - all->used, &token_counts[i], error);
        if (!status && token_counts[i] > most)
            status = covey__fail_sizes(error, COVEY_ERROR_CONTEXT_SIZE, (int64_t)most,
                                       (int64_t)token_counts[i],
                                       "%zu tokens, and the model takes %zu: cut it into shorter "
                                       "texts",
                                       token_counts[i], most);
        *failed = i;
        if (status) return status;
        all->inputs[i] = (covey_embedding_input){to, token_counts[i]};
        all->used += token_counts[i];
    }
    return COVEY_OK;
}

static covey_status local_embed_texts(void *user, const covey_backend_text *texts,
                                      size_t text_count, float *vectors, size_t *token_counts,
                                      size_t *failed_text, covey_error *error) {
    local_backend *local = user;
    embedded_texts all = {0};
    for (size_t i = 0; i < text_count; i++)
        all.capacity += texts[i].text_size + TOKENS_AROUND; /* a token is a byte at least */
    all.tokens = covey__calloc(local->env, all.capacity + 1, sizeof *all.tokens);
    all.inputs = covey__calloc(local->env, text_count + 1, sizeof *all.inputs);
    covey_status status = COVEY_OK;
    if (!all.tokens || !all.inputs)
        status = covey__no_memory(error, "tokens", all.capacity * sizeof *all.tokens);
    *failed_text = text_count;
    if (!status)
        status = tokenize_texts(local, texts, text_count, token_counts, &all, failed_text, error);
    if (!status) *failed_text = text_count;
    if (!status)
        status = covey_model_embed(local->model, NULL, all.inputs, text_count, vectors, error);
    covey__free(local->env, all.tokens);
    covey__free(local->env, all.inputs);
    return status;
}

static covey_status local_embed(void *user, const char *text, size_t text_size, float *vector,
                                size_t *token_count, covey_error *error) {
    const covey_backend_text one = {text, text_size};
    size_t failed = 0;
    return local_embed_texts(user, &one, 1, vector, token_count, &failed, error);
}

static size_t local_token_bytes(void *user, covey_token token, char *bytes, size_t capacity) {
    return covey_model_token_bytes(((local_backend *)user)->model, token, false, bytes, capacity);
}

static void local_destroy(void *user) {
    local_backend *local = user;
    for (int32_t i = 0; i < local->adapter_count; i++)
        covey_adapter_close(local->adapters[i].adapter);
    covey_model_close(local->model);
    covey__free(local->env, local);
}

static covey_session_options full_session(const covey_session_options *given) {
    covey_session_options full = COVEY_SESSION_OPTIONS_INIT;
    if (given) memcpy(&full, given, given->size < sizeof full ? given->size : sizeof full);
    full.size = sizeof full;
    return full;
}

/* The adapters of either list; they stay open for conversations to come. */
static covey_status keep_adapters(local_backend *local, const covey_local_options *options,
                                  covey_error *error) {
    const covey_session_options *session = &local->session;
    size_t count = options->adapter_count + session->adapter_count;
    if ((options->adapter_count && session->adapter_count) || count > COVEY_ADAPTERS_MAX)
        return covey__fail(error, COVEY_ERROR_LIMIT,
                           "backend: adapters: expected at most %d, in one of both lists, found "
                           "%zu and %zu",
                           COVEY_ADAPTERS_MAX, options->adapter_count, session->adapter_count);
    for (size_t i = 0; i < count; i++) {
        local->adapters[i] =
            options->adapter_count
                ? options->adapters[i]
                : (covey_adapter_offer){session->adapters[i].adapter, session->adapters[i].scale,
                                        session->adapters[i].scale == 0.0f};
        covey_adapter_offer *offer = &local->adapters[i];
        if (!offer->adapter || covey__adapter_model(offer->adapter) != local->model ||
            !isfinite(offer->scale))
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "backend: adapters[%zu]: expected one that was opened for this "
                               "model, with a finite scale",
                               i);
        if (offer->scale == 0.0f) offer->scale = 1.0f; /* where a request asks for it */
    }
    for (size_t i = 0; i < count; i++) covey__adapter_hold(local->adapters[i].adapter);
    local->adapter_count = (int32_t)count;
    local->session.adapters = NULL;
    local->session.adapter_count = 0;
    return COVEY_OK;
}

covey_status covey_backend_local_with(covey_runtime *runtime, covey_model *take_model,
                                      const covey_local_options *options, covey_backend **backend,
                                      covey_error *error) {
    *backend = NULL;
    covey_local_options full = COVEY_LOCAL_OPTIONS_INIT;
    if (options) memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    const covey__env *env = covey__runtime_env(runtime);
    local_backend *local = covey__calloc(env, 1, sizeof *local);
    if (!local) return covey__no_memory(error, "a backend", sizeof *local);
    local->env = env;
    local->runtime = runtime;
    local->model = take_model;
    local->info = (covey_model_info)COVEY_MODEL_INFO_INIT;
    covey_model_describe(take_model, &local->info);
    local->session = full_session(full.session);
    local->knows_tools = full.knows_tools;
    local->conversations_max =
        full.conversations_max > 0 ? full.conversations_max : COVEY__CONVERSATIONS_DEFAULT;
    covey_backend_table table = {
        sizeof table,       local,         local_available, local_report,
        local_count_tokens, local_open,    local_close,     local_generate,
        local_cancel,       local_destroy, local_embed,     local_token_bytes,
        local_embed_texts,  local_adapter, local_save,      local_restore};
    covey_status status = keep_adapters(local, &full, error);
    if (!status) status = covey_backend_new(runtime, &table, backend, error);
    if (status) {
        for (int32_t i = 0; i < local->adapter_count; i++)
            covey_adapter_close(local->adapters[i].adapter);
        covey__free(env, local);
    }
    return status;
}

covey_status covey_backend_local(covey_runtime *runtime, covey_model *take_model,
                                 int32_t conversations_max, covey_backend **backend,
                                 covey_error *error) {
    covey_local_options options = COVEY_LOCAL_OPTIONS_INIT;
    options.conversations_max = conversations_max;
    return covey_backend_local_with(runtime, take_model, &options, backend, error);
}
