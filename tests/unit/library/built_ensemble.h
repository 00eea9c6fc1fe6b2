/* An ensemble on a synthetic model, built as a publisher builds it. */
#ifndef COVEY_TEST_BUILT_ENSEMBLE_H
#define COVEY_TEST_BUILT_ENSEMBLE_H

#include "../engine/synthetic.h"

#include <covey/bundle.h>

#define BUILT_TEMPLATE                                                                             \
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}"     \
    "{% if add_generation_prompt %}<a>{% endif %}"

static inline void built_model(const char *path, bool spoiled) {
    synthetic s = SYNTHETIC_ODD;
    s.chat_template = BUILT_TEMPLATE;
    s.spoiled = spoiled ? "blk.1.ffn_up.weight" : NULL;
    write_synthetic(&s, path);
}

/* Options for a model at FOLDER/plain.gguf and an ensemble at FOLDER/built. */
static inline covey_bundle_options built_options(void) {
    static char model[300], out[300];
    covey_bundle_options options = COVEY_BUNDLE_OPTIONS_INIT;
    snprintf(model, sizeof model, "%s/plain.gguf", folder.path);
    snprintf(out, sizeof out, "%s/built", folder.path);
    options.name = "assistant";
    options.version = "1.0.0";
    options.model = model;
    options.out = out;
    options.bits_probe_count = 4;
    return options;
}

/* The answer of the built model to `prompt`, as the probes draw it. */
static inline void built_answer(covey_model *model, const char *prompt, int32_t tokens_max,
                                char *answer, size_t capacity);

typedef struct built_text {
    char *out;
    size_t size, capacity;
} built_text;

static inline bool built_collect(void *user, const char *text, size_t size) {
    built_text *t = user;
    if (t->size + size + 1 > t->capacity) return false;
    memcpy(t->out + t->size, text, size);
    t->size += size;
    t->out[t->size] = '\0';
    return true;
}

static inline void built_answer(covey_model *model, const char *prompt, int32_t tokens_max,
                                char *answer, size_t capacity) {
    covey_error error = {.message = ""};
    covey_message message = {"user", prompt};
    covey_token tokens[256];
    size_t count;
    covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
    built_text text = {answer, 0, capacity};
    answer[0] = '\0';
    generation.tokens_max = tokens_max;
    must(covey_model_render_chat(model, &message, 1, true, tokens, 256, &count, &error), &error);
    covey_session *session = open_session(model, 400, 0);
    append(session, tokens, count);
    must(covey_session_generate(session, &generation, NULL, &error, built_collect, &text), &error);
    covey_session_close(session);
}

#endif
