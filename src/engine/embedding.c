/* Embeddings: a text goes through the layers as any session's tokens do, in passes that end in the
 * last layer's vectors instead of logits; then the vectors become one (docs/arithmetic.md,
 * "Embeddings"). An encoder needs the whole text in one pass, since each token sees all others. The
 * pages of keys and values, F32, belong to the call: no session knows of them. */
#include "engine/engine.h"

#include <covey/embedding.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define BATCH_ROWS 512

typedef struct embedder {
    covey_model *model;
    covey_pooling pooling;
    bool raw;
    int32_t batch;      /* rows of one pass */
    covey_session room; /* pages, and what else a pass wants of a session */
    void *pages_base;
    float *rows;  /* [batch][width]: the vectors of a pass */
    double *sums; /* [width] */
} embedder;

/* ---- Memory ---- */

static covey_status make_room(embedder *e, size_t tokens_max, covey_error *error) {
    const covey__env *env = e->model->env;
    const covey__hyper *hyper = &e->model->hyper;
    covey_session *room = &e->room;
    size_t pages = (tokens_max + COVEY__PAGE_KEYS - 1) / COVEY__PAGE_KEYS, bytes = 0;
    size_t block = covey__page_k_bytes(COVEY__KV_F32, hyper->head_dim) +
                   covey__page_v_bytes(COVEY__KV_F32, hyper->head_dim);
    block *= (size_t)hyper->layer_count * (size_t)hyper->kv_head_count;
    room->model = e->model;
    room->context = (int32_t)tokens_max;
    room->kv = COVEY__KV_F32;
    room->page_count = (int32_t)pages;
    atomic_init(&room->cancelled, false);
    room->pages = covey__calloc(env, pages, sizeof *room->pages);
    char *first =
        covey__mul_size(block, pages, &bytes) ? covey__reserve(env, bytes, &e->pages_base) : NULL;
    e->rows = covey__calloc(env, (size_t)e->batch, (size_t)hyper->width * sizeof(float));
    e->sums = covey__calloc(env, (size_t)hyper->width, sizeof *e->sums);
    if (!room->pages || !first || !e->rows || !e->sums)
        return covey__no_memory(error, "a text's keys and values", bytes);
    memset(first, 0, bytes);
    for (size_t p = 0; p < pages; p++) room->pages[p] = first + p * block;
    return COVEY_OK;
}

static void free_room(embedder *e) {
    const covey__env *env = e->model->env;
    covey__free(env, e->room.pages);
    covey__free(env, e->pages_base);
    covey__free(env, e->rows);
    covey__free(env, e->sums);
}

/* ---- One text ---- */

/* The vectors of the last `wanted` rows of tokens [at, at + count). */
static covey_status run_rows(embedder *e, const covey_token *tokens, size_t at, int32_t count,
                             int32_t wanted, covey_error *error) {
    covey__run run = {&e->room, 0, count, (int32_t)at};
    covey__pass pass = {.model = e->model,
                        .tokens = tokens + at,
                        .rows = count,
                        .runs = &run,
                        .run_count = 1,
                        .logit_first = count - wanted,
                        .logit_rows = wanted,
                        .vectors = e->rows};
    covey_status status = covey__workspace_take(e->model, error);
    if (status != COVEY_OK) return status;
    status = covey__pass_run(&pass, error);
    covey__workspace_give(e->model);
    return status;
}

static void add_rows(embedder *e, int32_t rows) {
    size_t width = (size_t)e->model->hyper.width;
    for (int32_t t = 0; t < rows; t++)
        for (size_t i = 0; i < width; i++)
            e->sums[i] = e->sums[i] + (double)e->rows[(size_t)t * width + i];
}

/* A decoder's first token sees itself alone, so it needs no other. */
static covey_status pool(embedder *e, const covey_embedding_input *input, covey_error *error) {
    bool is_encoder = e->model->architecture->is_encoder;
    size_t total = e->pooling == COVEY_POOLING_CLS && !is_encoder ? 1 : input->token_count;
    memset(e->sums, 0, (size_t)e->model->hyper.width * sizeof *e->sums);
    for (size_t at = 0; at < total;) {
        size_t left = total - at, most = (size_t)e->batch;
        int32_t count = (int32_t)(left < most ? left : most);
        bool ends = (size_t)count == left;
        bool wants_last = e->pooling == COVEY_POOLING_LAST;
        int32_t wanted = !wants_last ? count : ends ? 1 : 0;
        covey_status status = run_rows(e, input->tokens, at, count, wanted, error);
        if (status != COVEY_OK) return status;
        add_rows(e, e->pooling == COVEY_POOLING_CLS ? 1 : wanted);
        at += (size_t)count;
    }
    return COVEY_OK;
}

static void finish(const embedder *e, size_t token_count, float *vector) {
    size_t width = (size_t)e->model->hyper.width;
    double divisor = e->pooling == COVEY_POOLING_MEAN ? (double)token_count : 1.0, squares = 0.0;
    for (size_t i = 0; i < width; i++) {
        vector[i] = (float)(e->sums[i] / divisor);
        squares = squares + (double)vector[i] * (double)vector[i];
    }
    double length = sqrt(squares);
    for (size_t i = 0; i < width && !e->raw && length > 0.0; i++)
        vector[i] = (float)((double)vector[i] / length);
}

/* ---- The outside ---- */

covey_status covey_embedding_tokenize(const covey_model *model, const char *text, size_t text_size,
                                      covey_token *tokens, size_t capacity, size_t *token_count,
                                      covey_error *error) {
    if (!model || (!text && text_size > 0) || (!tokens && capacity > 0))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "embedding: model, text and tokens must be given");
    int32_t begin = -1, end = -1;
    covey__tokenizer_around(model->tokenizer, &begin, &end);
    size_t front = begin >= 0, around = front + (end >= 0), count = 0;
    size_t room = capacity > around ? capacity - around : 0;
    covey_status status =
        covey__tokenizer_encode(model->tokenizer, text ? text : "", text_size, false,
                                room ? tokens + front : NULL, room, &count, error);
    if (token_count) *token_count = count + around;
    if (status == COVEY_OK && count + around > capacity)
        status = covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)capacity,
                                   (int64_t)(count + around), "room for %zu tokens, %zu needed",
                                   capacity, count + around);
    if (status != COVEY_OK) return covey__prefix(error, status, "embedding");
    if (begin >= 0) tokens[0] = begin;
    if (end >= 0) tokens[front + count] = end;
    return COVEY_OK;
}

static covey_status check_input(const covey_model *model, const covey_embedding_input *input,
                                size_t index, covey_error *error) {
    int32_t vocabulary = model->hyper.vocabulary_size, context = model->hyper.context_tokens;
    if (!input->tokens || input->token_count == 0)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "text %zu has no tokens", index);
    if (input->token_count > (size_t)context)
        return covey__fail_sizes(error, COVEY_ERROR_CONTEXT_SIZE, context,
                                 (int64_t)input->token_count,
                                 "text %zu: the model takes %" PRId32 " tokens, found %zu: cut it "
                                 "into shorter texts",
                                 index, context, input->token_count);
    for (size_t i = 0; i < input->token_count; i++)
        if (input->tokens[i] < 0 || input->tokens[i] >= vocabulary)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "text %zu: token %zu: expected an id from 0 to %" PRId32
                               ", found %" PRId32,
                               index, i, vocabulary - 1, input->tokens[i]);
    return COVEY_OK;
}

static covey_status check_all(const embedder *e, const covey_embedding_input *inputs,
                              size_t input_count, size_t *tokens_max, covey_error *error) {
    if (!e->model->architecture)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "the model was opened for its vocabulary alone; open it whole");
    if (e->pooling < COVEY_POOLING_MEAN || e->pooling > COVEY_POOLING_LAST)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "expected a pooling, found %d",
                           (int)e->pooling);
    *tokens_max = 1;
    for (size_t i = 0; i < input_count; i++) {
        covey_status status = check_input(e->model, &inputs[i], i, error);
        if (status != COVEY_OK) return status;
        if (inputs[i].token_count > *tokens_max) *tokens_max = inputs[i].token_count;
    }
    return COVEY_OK;
}

static covey_status embed_all(embedder *e, const covey_embedding_input *inputs, size_t input_count,
                              float *vectors, covey_error *error) {
    size_t tokens_max = 0, width = (size_t)e->model->hyper.width;
    covey_status status = check_all(e, inputs, input_count, &tokens_max, error);
    if (status != COVEY_OK) return status;
    bool whole = e->model->architecture->is_encoder || tokens_max < BATCH_ROWS;
    e->batch = whole ? (int32_t)tokens_max : BATCH_ROWS;
    int32_t batch = e->batch > COVEY__MANY_MAX ? e->batch : COVEY__MANY_MAX;
    status = covey__workspace_reserve(e->model, batch, (int32_t)tokens_max, error);
    if (status == COVEY_OK) status = make_room(e, tokens_max, error);
    for (size_t i = 0; i < input_count && status == COVEY_OK; i++) {
        status = pool(e, &inputs[i], error);
        if (status == COVEY_OK) finish(e, inputs[i].token_count, vectors + i * width);
    }
    free_room(e);
    return status;
}

covey_status covey_model_embed(covey_model *model, const covey_embedding_options *options,
                               const covey_embedding_input *inputs, size_t input_count,
                               float *vectors, covey_error *error) {
    if (!model || (input_count > 0 && (!inputs || !vectors)))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "embedding: model, inputs and vectors must be given");
    covey_embedding_options full = COVEY_EMBEDDING_OPTIONS_INIT;
    if (options) memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    embedder e = {.model = model, .pooling = full.pooling, .raw = full.raw};
    if (e.pooling == COVEY_POOLING_MODEL) e.pooling = covey__model_pooling(model);
    covey__fp_state fp = covey__fp_enter();
    covey_status status = embed_all(&e, inputs, input_count, vectors, error);
    covey__fp_leave(fp);
    return status == COVEY_OK ? status : covey__prefix(error, status, "embedding");
}
