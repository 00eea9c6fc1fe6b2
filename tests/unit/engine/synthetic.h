/* Small models with random weights and awkward sizes, written with the GGUF writer into a folder of
 * the test, and the helpers that open them. Each test program includes this once. */
#ifndef COVEY_TESTS_ENGINE_SYNTHETIC_H
#define COVEY_TESTS_ENGINE_SYNTHETIC_H

#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "synthetic_plan.h"

static test_folder folder;
static covey__env plain_env;

static inline void must(covey_status status, const covey_error *error) {
    if (status != COVEY_OK) fail_msg("%s: %s", covey_status_name(status), error->message);
}

static inline int make_folder(void **state) {
    (void)state;
    covey__env_init(&plain_env);
    test_folder_make(&folder);
    return 0;
}

static inline int remove_folder(void **state) {
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

static inline const char *in_folder(const char *name) {
    return test_path(&folder, name);
}

/* xorshift64*, so that every machine has the same model. */
static inline uint32_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)(*state * 0x2545F4914F6CDD1Dull >> 32);
}

static inline float next_value(uint64_t *state) {
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) sum += (float)(int32_t)next_random(state) * 0x1p-31f;
    return sum;
}

/* ---- Writing ---- */

static inline void put_vocabulary(covey__gguf_writer *writer) {
    static char names[SYNTHETIC_VOCABULARY][8];
    covey__gguf_text tokens[SYNTHETIC_VOCABULARY];
    float scores[SYNTHETIC_VOCABULARY] = {0};
    int32_t types[SYNTHETIC_VOCABULARY];
    for (int i = 0; i < SYNTHETIC_VOCABULARY; i++) {
        if (i < 3)
            snprintf(names[i], sizeof names[i], "%s", i == 0 ? "<unk>" : i == 1 ? "<s>" : "</s>");
        else
            snprintf(names[i], sizeof names[i], "<0x%02X>", i - 3);
        tokens[i] = (covey__gguf_text){names[i], strlen(names[i])};
        types[i] = i == 0 ? COVEY__TOKEN_UNKNOWN : i < 3 ? COVEY__TOKEN_CONTROL : COVEY__TOKEN_BYTE;
    }
    covey__gguf_put_string(writer, "tokenizer.ggml.model", "llama", 5);
    covey__gguf_put_strings(writer, "tokenizer.ggml.tokens", tokens, SYNTHETIC_VOCABULARY);
    covey__gguf_put_f32s(writer, "tokenizer.ggml.scores", scores, SYNTHETIC_VOCABULARY);
    covey__gguf_put_i32s(writer, "tokenizer.ggml.token_type", types, SYNTHETIC_VOCABULARY);
    covey__gguf_put_u32(writer, "tokenizer.ggml.bos_token_id", 1);
    covey__gguf_put_u32(writer, "tokenizer.ggml.eos_token_id", 2);
    covey__gguf_put_u32(writer, "tokenizer.ggml.unknown_token_id", 0);
}

/* Makes the first weight infinite: its value, or its block's scale. */
static inline void spoil(covey__type type, uint8_t *row) {
    const uint8_t half[2] = {0x00, 0x7c}, single[4] = {0, 0, 0x80, 0x7f};
    if (type == COVEY__TYPE_F32)
        memcpy(row, single, 4);
    else if (type == COVEY__TYPE_BF16)
        memcpy(row, single + 2, 2);
    else if (type == COVEY__TYPE_Q6_K)
        memcpy(row + 208, half, 2);
    else
        memcpy(row, half, 2);
}

static inline void write_tensor(covey__gguf_writer *writer, const synthetic *s,
                                const synthetic_tensor *t, uint64_t *random) {
    static float values[4096];
    static uint8_t encoded[4096 * 4];
    covey_error error = {.message = ""};
    bool vector = t->rows == 0, spoiled = s->spoiled && strcmp(s->spoiled, t->name) == 0;
    float gain = s->gain > 0.0f ? s->gain : 1.0f;
    bool is_bias = strstr(t->name, ".bias") != NULL;
    float scale = strncmp(t->name, "token_embd", 10) == 0 ? 0.5f : gain * 0.09f;
    const covey__type_info *info = covey__type_get((uint32_t)t->type);
    size_t bytes = (size_t)(t->columns / info->block_values * info->block_bytes);
    for (uint64_t row = 0; row < (vector ? 1 : t->rows); row++) {
        for (uint64_t i = 0; i < t->columns; i++)
            values[i] =
                vector && !is_bias ? 1.0f + 0.05f * next_value(random) : scale * next_value(random);
        covey__row_encode((uint32_t)t->type, values, (int32_t)t->columns, encoded);
        if (spoiled && row == 0) spoil(t->type, encoded);
        must(covey__gguf_write_data(writer, encoded, bytes, &error), &error);
    }
}

static inline void write_synthetic(const synthetic *s, const char *path) {
    covey_error error = {.message = ""};
    synthetic_plan plan;
    make_plan_of(&plan, s);
    covey__gguf_writer *writer = NULL;
    must(covey__gguf_writer_new(&plain_env, path, &writer, &error), &error);
    put_metadata(writer, s);
    put_vocabulary(writer);
    for (size_t i = 0; i < plan.count; i++) {
        const synthetic_tensor *t = &plan.tensors[i];
        uint64_t dimensions[2] = {t->columns, t->rows};
        must(covey__gguf_add_tensor(writer, t->name, t->type, t->rows ? 2 : 1, dimensions, &error),
             &error);
    }
    must(covey__gguf_write_header(writer, &error), &error);
    uint64_t random = s->seed * 0x9E3779B97F4A7C15ull + 1;
    for (size_t i = 0; i < plan.count; i++) write_tensor(writer, s, &plan.tensors[i], &random);
    must(covey__gguf_finish(writer, &error), &error);
    covey__gguf_writer_free(writer);
}

/* ---- Opening ---- */

static inline covey_runtime *open_runtime(int32_t threads, const char *isa) {
    covey_error error = {.message = ""};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.threads = threads;
    options.isa = isa;
    covey_runtime *runtime = NULL;
    must(covey__runtime_new(&options, &runtime, &error), &error);
    return runtime;
}

static inline covey_status try_model(covey_runtime *runtime, const char *path, covey_model **model,
                                     covey_error *error) {
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = path;
    return covey_model_open(runtime, &source, model, error);
}

static inline covey_model *open_model(covey_runtime *runtime, const char *path) {
    covey_error error = {.message = ""};
    covey_model *model = NULL;
    must(try_model(runtime, path, &model, &error), &error);
    return model;
}

static inline covey_session *open_session(covey_model *model, int32_t context, int32_t batch) {
    covey_error error = {.message = ""};
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = context;
    options.batch_tokens = batch;
    options.alone = true; /* every token is computed */
    covey_session *session = NULL;
    must(covey_session_open(model, &options, &session, &error), &error);
    return session;
}

static inline void append(covey_session *session, const covey_token *tokens, size_t count) {
    covey_error error = {.message = ""};
    must(covey_session_append(session, tokens, count, &error), &error);
}

static inline void random_tokens(covey_token *tokens, size_t count, int32_t vocabulary,
                                 uint64_t seed) {
    uint64_t random = seed * 0x9E3779B97F4A7C15ull + 7;
    for (size_t i = 0; i < count; i++)
        tokens[i] = (covey_token)(next_random(&random) % (uint32_t)vocabulary);
}

#endif
