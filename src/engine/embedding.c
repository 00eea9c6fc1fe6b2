/* Embeddings: a text goes through the layers as any session's tokens do, in passes that end in the
 * last layer's vectors instead of logits; then the vectors become one (docs/arithmetic.md,
 * "Embeddings"). Short texts share a pass, each a run of its own, and a long one takes several; but
 * an encoder needs each text whole in one pass, since its tokens see all others. The pages of keys
 * and values, F32, belong to the call: no session knows of them. */
#include "engine/engine.h"

#include <covey/embedding.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define BATCH_ROWS  512 /* of a pass, unless an encoder's text is longer */
#define GROUP_PAGES 64  /* of the texts of one pass, unless one text needs more */

typedef struct embedder {
    covey_model *model;
    covey_pooling pooling;
    bool raw;
    int32_t batch;      /* rows of one pass */
    int32_t page_count; /* of one pass */
    covey_session
        *rooms;   /* [MANY_MAX]: each text's pages, and what else a pass wants of a session */
    void **pages; /* [page_count] */
    void *pages_base;
    covey_token *tokens; /* [batch]: those of several texts */
    float *rows;         /* [batch][width]: the vectors of a pass */
    double *sums;        /* [width] */
} embedder;

static int32_t pages_of(size_t tokens) {
    return (int32_t)((tokens + COVEY__PAGE_KEYS - 1) / COVEY__PAGE_KEYS);
}

/* Tokens that matter: a decoder's first one sees itself alone. */
static size_t token_count(const embedder *e, const covey_embedding_input *input) {
    bool first_alone = e->pooling == COVEY_POOLING_CLS && !e->model->architecture->is_encoder;
    return first_alone ? 1 : input->token_count;
}

/* ---- Memory ---- */

/* How much one pass takes, for texts of `longest` tokens and `total` in all. */
static void plan(embedder *e, size_t longest, size_t total, size_t input_count) {
    bool fits = longest <= BATCH_ROWS;
    size_t batch = total < BATCH_ROWS ? total : BATCH_ROWS;
    if (!fits && e->model->architecture->is_encoder) batch = longest;
    size_t pages = total / COVEY__PAGE_KEYS + input_count;
    if (pages > GROUP_PAGES) pages = GROUP_PAGES;
    e->batch = (int32_t)batch;
    e->page_count = (int32_t)pages;
    if (e->page_count < pages_of(longest)) e->page_count = pages_of(longest);
}

static covey_status make_room(embedder *e, covey_error *error) {
    const covey__env *env = e->model->env;
    size_t width = (size_t)e->model->hyper.width, bytes = 0;
    uint64_t page = 0;
    char *first = NULL;
    if (covey__kv_page_bytes(e->model, COVEY__KV_F32, &page) &&
        covey__mul_size((size_t)page, (size_t)e->page_count, &bytes))
        first = covey__reserve(env, bytes, &e->pages_base);
    e->rooms = covey__calloc(env, COVEY__MANY_MAX, sizeof *e->rooms);
    e->pages = covey__calloc(env, (size_t)e->page_count, sizeof *e->pages);
    e->tokens = covey__calloc(env, (size_t)e->batch, sizeof *e->tokens);
    e->rows = covey__calloc(env, (size_t)e->batch, width * sizeof *e->rows);
    e->sums = covey__calloc(env, width, sizeof *e->sums);
    if (!first || !e->rooms || !e->pages || !e->tokens || !e->rows || !e->sums)
        return covey__no_memory(error, "keys and values of texts", bytes);
    memset(first, 0, bytes);
    for (int32_t p = 0; p < e->page_count; p++) e->pages[p] = first + (size_t)p * (size_t)page;
    return COVEY_OK;
}

static void free_room(embedder *e) {
    const covey__env *env = e->model->env;
    covey__free(env, e->rooms);
    covey__free(env, e->pages);
    covey__free(env, e->pages_base);
    covey__free(env, e->tokens);
    covey__free(env, e->rows);
    covey__free(env, e->sums);
}

/* The `index`th text's room, with the pages from `first` on. */
static covey_session *enter_room(embedder *e, int32_t index, size_t tokens, int32_t first) {
    covey_session *room = &e->rooms[index];
    room->model = e->model;
    room->context = (int32_t)tokens;
    room->kv = COVEY__KV_F32;
    room->page_count = pages_of(tokens);
    room->pages = e->pages + first;
    atomic_init(&room->cancelled, false);
    return room;
}

/* ---- Passes ---- */

/* The vectors of the last `wanted` rows. */
static covey_status run_rows(embedder *e, const covey_token *tokens, int32_t rows,
                             const covey__run *runs, int32_t run_count, int32_t wanted,
                             covey_error *error) {
    covey__pass pass = {.model = e->model,
                        .tokens = tokens,
                        .rows = rows,
                        .runs = runs,
                        .run_count = run_count,
                        .logit_first = rows - wanted,
                        .logit_rows = wanted,
                        .vectors = e->rows};
    covey_status status = covey__workspace_take(e->model, error);
    if (status != COVEY_OK) return status;
    status = covey__pass_run(&pass, error);
    covey__workspace_give(e->model);
    return status;
}

static void clear_sums(embedder *e) {
    memset(e->sums, 0, (size_t)e->model->hyper.width * sizeof *e->sums);
}

static void add_rows(embedder *e, int32_t first, int32_t count) {
    size_t width = (size_t)e->model->hyper.width;
    for (int32_t t = first; t < first + count; t++)
        for (size_t i = 0; i < width; i++)
            e->sums[i] = e->sums[i] + (double)e->rows[(size_t)t * width + i];
}

static void finish(const embedder *e, size_t tokens, float *vector) {
    size_t width = (size_t)e->model->hyper.width;
    double divisor = e->pooling == COVEY_POOLING_MEAN ? (double)tokens : 1.0, squares = 0.0;
    for (size_t i = 0; i < width; i++) {
        vector[i] = (float)(e->sums[i] / divisor);
        squares = squares + (double)vector[i] * (double)vector[i];
    }
    double length = sqrt(squares);
    for (size_t i = 0; i < width && !e->raw && length > 0.0; i++)
        vector[i] = (float)((double)vector[i] / length);
}

/* A decoder's text that one pass does not hold. */
static covey_status embed_long(embedder *e, const covey_embedding_input *input, float *vector,
                               covey_error *error) {
    covey_session *room = enter_room(e, 0, input->token_count, 0);
    bool is_last = e->pooling == COVEY_POOLING_LAST;
    clear_sums(e);
    for (size_t at = 0; at < input->token_count;) {
        size_t left = input->token_count - at, most = (size_t)e->batch;
        int32_t count = (int32_t)(left < most ? left : most);
        int32_t wanted = !is_last ? count : (size_t)count == left ? 1 : 0;
        covey__run run = {room, 0, count, (int32_t)at};
        covey_status status = run_rows(e, input->tokens + at, count, &run, 1, wanted, error);
        if (status != COVEY_OK) return status;
        add_rows(e, 0, wanted);
        at += (size_t)count;
    }
    finish(e, input->token_count, vector);
    return COVEY_OK;
}

/* As many of the texts as one pass holds; `*taken` says how many. */
static covey_status embed_group(embedder *e, const covey_embedding_input *inputs,
                                size_t input_count, float *vectors, size_t *taken,
                                covey_error *error) {
    covey__run runs[COVEY__MANY_MAX];
    int32_t rows = 0, pages = 0, count = 0;
    for (; count < COVEY__MANY_MAX && (size_t)count < input_count; count++) {
        size_t tokens = token_count(e, &inputs[count]);
        bool fits =
            tokens <= (size_t)(e->batch - rows) && pages_of(tokens) <= e->page_count - pages;
        if (!fits) break;
        runs[count] = (covey__run){enter_room(e, count, tokens, pages), rows, (int32_t)tokens, 0};
        memcpy(e->tokens + rows, inputs[count].tokens, tokens * sizeof *e->tokens);
        rows += (int32_t)tokens;
        pages += pages_of(tokens);
    }
    covey_status status = run_rows(e, e->tokens, rows, runs, count, rows, error);
    for (int32_t i = 0; i < count && status == COVEY_OK; i++) {
        int32_t last = runs[i].first + runs[i].count - 1;
        clear_sums(e);
        add_rows(e, e->pooling == COVEY_POOLING_LAST ? last : runs[i].first,
                 e->pooling == COVEY_POOLING_MEAN ? runs[i].count : 1);
        finish(e, (size_t)runs[i].count, vectors + (size_t)i * (size_t)e->model->hyper.width);
    }
    *taken = (size_t)count;
    return status;
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
                              size_t input_count, covey_error *error) {
    if (!e->model->architecture)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "the model was opened for its vocabulary alone; open it whole");
    if (e->pooling < COVEY_POOLING_MEAN || e->pooling > COVEY_POOLING_LAST)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "expected a pooling, found %d",
                           (int)e->pooling);
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < input_count && status == COVEY_OK; i++)
        status = check_input(e->model, &inputs[i], i, error);
    return status;
}

static covey_status embed_all(embedder *e, const covey_embedding_input *inputs, size_t input_count,
                              float *vectors, covey_error *error) {
    size_t longest = 1, total = 0, width = (size_t)e->model->hyper.width;
    for (size_t i = 0; i < input_count; i++) {
        size_t tokens = token_count(e, &inputs[i]);
        total += tokens;
        if (tokens > longest) longest = tokens;
    }
    plan(e, longest, total, input_count);
    int32_t batch = e->batch > COVEY__MANY_MAX ? e->batch : COVEY__MANY_MAX;
    covey_status status = covey__workspace_reserve(
        e->model, (covey__workspace_need){batch, (int32_t)longest, 0}, error);
    if (status == COVEY_OK) status = make_room(e, error);
    for (size_t at = 0, taken = 1; at < input_count && status == COVEY_OK; at += taken) {
        taken = 1;
        if (token_count(e, &inputs[at]) > (size_t)e->batch)
            status = embed_long(e, &inputs[at], vectors + at * width, error);
        else
            status =
                embed_group(e, inputs + at, input_count - at, vectors + at * width, &taken, error);
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
    covey_status status = check_all(&e, inputs, input_count, error);
    if (status == COVEY_OK && input_count > 0)
        status = embed_all(&e, inputs, input_count, vectors, error);
    covey__fp_leave(fp);
    return status == COVEY_OK ? status : covey__prefix(error, status, "embedding");
}
