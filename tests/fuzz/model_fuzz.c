/* Models: whatever GGUF opens as a model must run within its memory and give finite logits, and a
 * finite embedding, or one clear error; nothing else may come of it. The bytes are also read as
 * text for its tokenizer. */
#include "fuzz/fuzz_target.h"

#include "base/runtime.h"
#include "kernel/kernel.h"
#include <covey/embedding.h>
#include <covey/session.h>

#include <string.h>

#define PLAN_MAX ((uint64_t)64 << 20)

static void run_session(covey_model *model, const covey_token *tokens, size_t count) {
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = 40;
    uint64_t bytes = 0;
    covey_session *session = NULL;
    if (covey_session_plan(model, &options, &bytes, &error) != COVEY_OK || bytes > PLAN_MAX) return;
    if (covey_session_open(model, &options, &session, &error) != COVEY_OK) return;
    covey_status status = covey_session_append(session, tokens, count, &error);
    if (status == COVEY_OK) {
        size_t logit_count = 0;
        const float *logits = covey_session_logits(session, &logit_count);
        FUZZ_CHECK(logits != NULL && covey__finite(logits, logit_count));
        covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
        generation.tokens_max = 3;
        status = covey_session_generate(session, &generation, NULL, &error, NULL, NULL);
    }
    FUZZ_CHECK(status == COVEY_OK || (status == error.status && error.message[0]));
    covey_session_close(session);
}

static void run_embedding(covey_model *model, const covey_token *tokens, size_t count) {
    static float vector[1 << 12];
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_embedding_input input = {tokens, count};
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(model, &info);
    uint64_t keys = (uint64_t)info.layer_count * (uint64_t)info.embedding_width * 64;
    if (info.embedding_width > 1 << 12 || keys * 64 > PLAN_MAX) return;
    covey_status status = covey_model_embed(model, NULL, &input, 1, vector, &error);
    if (status == COVEY_OK)
        FUZZ_CHECK(covey__finite(vector, (size_t)info.embedding_width));
    else
        FUZZ_CHECK(status == error.status && error.message[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_runtime *runtime = NULL;
    if (size == 0 || covey__runtime_new(NULL, &runtime, &error) != COVEY_OK) return 0;
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.memory = data;
    source.memory_size = size;
    covey_model *model = NULL;
    covey_status status = covey_model_open(runtime, &source, &model, &error);
    if (status == COVEY_OK) {
        covey_token tokens[34];
        size_t count = 0, part = size < 200 ? size : 200;
        status =
            covey_model_tokenize(model, (const char *)data, part, true, tokens, 34, &count, &error);
        FUZZ_CHECK(status == COVEY_OK || status == COVEY_ERROR_LIMIT);
        run_session(model, tokens, count < 34 ? count : 34);
        run_embedding(model, tokens, count < 34 ? count : 34);
    } else {
        FUZZ_CHECK(model == NULL && status == error.status &&
                   strncmp(error.message, "model", 5) == 0);
    }
    covey_model_close(model);
    covey_runtime_close(runtime);
    return 0;
}
