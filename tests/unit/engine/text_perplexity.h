/* The perplexity of a model over a text as llama.cpp's tools count it: windows that do not overlap,
 * each after BOS, all positions. */
#ifndef COVEY_TESTS_TEXT_PERPLEXITY_H
#define COVEY_TESTS_TEXT_PERPLEXITY_H

#include "unit/engine/synthetic.h"

#include <math.h>

#define WINDOW 256

typedef struct sum {
    const covey_token *targets;
    double loss;
    size_t count;
} sum;

static inline covey_status add_loss(void *user, size_t index, const float *logits, size_t count) {
    sum *s = user;
    double most = (double)logits[0], total = 0.0;
    for (size_t i = 1; i < count; i++)
        if ((double)logits[i] > most) most = (double)logits[i];
    for (size_t i = 0; i < count; i++) total += exp((double)logits[i] - most);
    s->loss += log(total) + most - (double)logits[s->targets[index]];
    s->count++;
    return COVEY_OK;
}

/* Control tokens count where the text spells them, as in llama.cpp's tools. */
static inline double perplexity_of(const char *path, const char *text, size_t size,
                                   size_t *positions) {
    covey_error error = {.message = ""};
    size_t count = 0;
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = open_model(runtime, path);
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(model, &info);
    covey_token *tokens = malloc((size + 16) * sizeof *tokens), input[WINDOW];
    assert_non_null(tokens);
    must(covey_model_tokenize(model, text, size, true, tokens, size + 16, &count, &error), &error);
    covey_session *session = open_session(model, WINDOW, 0);
    sum s = {NULL, 0.0, 0};
    for (size_t at = 0; at + WINDOW <= count; at += WINDOW) {
        input[0] = info.bos;
        memcpy(input + 1, tokens + at, (WINDOW - 1) * sizeof *input);
        s.targets = tokens + at;
        must(covey_session_truncate(session, 0, &error), &error);
        must(covey_session_append_each(session, input, WINDOW, &error, add_loss, &s), &error);
    }
    covey_session_close(session);
    covey_model_close(model);
    covey_runtime_close(runtime);
    free(tokens);
    *positions = s.count;
    return exp(s.loss / (double)s.count);
}

static inline double perplexity(const char *path, const char *text_path) {
    size_t size, positions;
    char *text = test_read(text_path, &size);
    assert_non_null(text);
    double found = perplexity_of(path, text, size, &positions);
    free(text);
    assert_int_equal(positions, 2048);
    return found;
}

#endif
