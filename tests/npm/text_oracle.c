/* Compares this library with what scripts in JavaScript say: tests/npm writes cases with the
 * answers of a regular expression engine, of @huggingface/tokenizers and of @huggingface/jinja,
 * and this program gives its own.
 *
 *   text_oracle cut FILE      [{"pre": NAME, "text": …, "words": [bytes of each word]}]
 *   text_oracle encode FILE   {"model": NAME, "tokens": […], "special": [ids], "unknown": id,
 *                              "cases": [{"text": …, "ids": […]}]}
 *   text_oracle encode FILE VOCABULARY.gguf   the same without the vocabulary; "special": true in a
 *                              case where special tokens are parsed. Besides, random bytes must
 *                              come back from their ids.
 *   text_oracle render FILE   {"templates": {NAME: text},
 *                              "cases": [{"template": NAME, "input": {…}, "expected": … or null}]}
 *
 * `expected` is null where the other side refuses. It prints each difference, up to a few, and
 * ends with 1 where there was one. */
#include "base/arena.h"
#include "base/json.h"
#include "engine/engine.h"
#include "gguf/gguf.h"
#include "text/pretokenizer.h"
#include "text/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 12, IDS_MAX = 1 << 16, ROUND_TRIPS = 2000 };

typedef struct {
    covey__env env;
    covey__arena arena;
    size_t cases, differences;
} oracle;

static char *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    char *data = NULL;
    *size = 0;
    for (size_t room = 0, got = 1; file && got > 0; *size += got) {
        if (*size == room) {
            room = room ? 2 * room : 1 << 20;
            data = realloc(data, room);
        }
        got = data ? fread(data + *size, 1, room - *size, file) : 0;
    }
    if (file) {
        fclose(file);
    }
    return data;
}

static void cut_one(oracle *o, const covey__json *one) {
    const covey__json *pre = covey__json_get(one, "pre"), *text = covey__json_get(one, "text");
    const covey__json *word = covey__json_get(one, "words")->child;
    covey__pretokenizer_traits traits;
    covey_error error = {0};
    if (covey__pretokenizer_find(pre->text, pre->size, &traits, &error) != COVEY_OK) {
        fprintf(stderr, "%s\n", error.message);
        o->differences++;
        return;
    }
    size_t at = 0;
    while (at < text->size && word) {
        int64_t expected = 0;
        size_t size = covey__pretokenizer_next(traits.kind, text->text + at, text->size - at);
        (void)covey__json_to_i64(word, &expected);
        if ((int64_t)size != expected) {
            break;
        }
        at += size;
        word = word->next;
    }
    if (at < text->size || word) {
        size_t size = covey__pretokenizer_next(traits.kind, text->text + at, text->size - at);
        if (o->differences++ < SHOWN_MAX) {
            fprintf(stderr, "%s: a word of %zu bytes at %zu, expected %s, in \"", pre->text, size,
                    at, word ? word->text : "the end");
            for (size_t i = 0; i < text->size; i++) {
                uint8_t c = (uint8_t)text->text[i];
                fprintf(stderr, c < 0x20 ? "\\x%02X" : "%c", c);
            }
            fprintf(stderr, "\"\n");
        }
    }
}

/* A tokenizer of the vocabulary in `root`; NULL with a message. */
static covey__tokenizer *make_tokenizer(oracle *o, const covey__json *root) {
    const covey__json *tokens = covey__json_get(root, "tokens");
    const covey__json *model = covey__json_get(root, "model");
    covey__vocabulary words = COVEY__VOCABULARY_INIT;
    covey__tokenizer *tokenizer = NULL;
    covey_error error = {0};
    int64_t id = -1;
    covey__text *texts = calloc(tokens->size, sizeof *texts);
    int32_t *types = calloc(tokens->size, sizeof *types);
    for (const covey__json *one = tokens->child; texts && types && one; one = one->next) {
        texts[words.token_count] = (covey__text){one->text, one->size};
        types[words.token_count++] = COVEY__TOKEN_NORMAL;
    }
    for (const covey__json *one = covey__json_get(root, "special")->child; one; one = one->next) {
        if (covey__json_to_i64(one, &id) && id >= 0 && (size_t)id < words.token_count) {
            types[id] = COVEY__TOKEN_CONTROL;
        }
    }
    (void)covey__json_to_i64(covey__json_get(root, "unknown"), &id);
    words.unknown = (int32_t)id;
    words.model = (covey__text){model->text, model->size};
    words.tokens = texts;
    words.types = types;
    if (covey__tokenizer_new(&o->env, &words, &tokenizer, &error) != COVEY_OK) {
        fprintf(stderr, "%s\n", error.message);
    }
    free(texts);
    free(types);
    return tokenizer;
}

static bool flag_of(const covey__json *object, const char *name) {
    const covey__json *value = covey__json_get(object, name);
    return value && value->kind == COVEY__JSON_BOOL && value->boolean;
}

static void encode_one(oracle *o, const covey__tokenizer *tokenizer, const covey__json *one) {
    const covey__json *text = covey__json_get(one, "text"), *ids = covey__json_get(one, "ids");
    static int32_t found[IDS_MAX];
    size_t count = 0, at = 0;
    covey_error error = {0};
    bool same = covey__tokenizer_encode(tokenizer, text->text, text->size, flag_of(one, "special"),
                                        found, IDS_MAX, &count, &error) == COVEY_OK &&
                count == ids->size;
    for (const covey__json *id = ids->child; same && id; id = id->next, at++) {
        int64_t expected = -1;
        same = covey__json_to_i64(id, &expected) && expected == found[at];
    }
    if (!same && o->differences++ < SHOWN_MAX) {
        at -= at > 0 && count == ids->size;
        fprintf(stderr, "%zu ids, expected %zu, unlike at %zu, of \"%s\": %s\n", count, ids->size,
                at, text->text, error.message);
    }
}

/* Bytes of any kind are the bytes of their tokens. */
static void round_trip(oracle *o, const covey__tokenizer *tokenizer, uint64_t seed) {
    static int32_t ids[IDS_MAX];
    char text[64], back[256];
    size_t count = 0, size = 1 + seed % sizeof text, back_size = 0;
    covey_error error = {0};
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        text[i] = (char)(seed >> 56);
    }
    if (covey__tokenizer_encode(tokenizer, text, size, false, ids, IDS_MAX, &count, &error)) {
        count = 0;
    }
    for (size_t i = 0; i < count && back_size < sizeof back; i++) {
        back_size += covey__tokenizer_bytes_of(tokenizer, ids[i], false, back + back_size,
                                               sizeof back - back_size);
    }
    if ((back_size != size || memcmp(back, text, size) != 0) && o->differences++ < SHOWN_MAX) {
        fprintf(stderr, "%zu bytes became %zu tokens of %zu bytes: %s\n", size, count, back_size,
                error.message);
    }
}

static covey__text text_of(const covey__json *object, const char *name) {
    const covey__json *value = covey__json_get(object, name);
    return value && value->kind == COVEY__JSON_STRING ? (covey__text){value->text, value->size}
                                                      : (covey__text){"", 0};
}

static void render_one(oracle *o, const covey__json *templates, const covey__json *one) {
    const covey__json *name = covey__json_get(one, "template");
    const covey__json *given = covey__json_get(one, "input");
    const covey__json *expected = covey__json_get(one, "expected");
    const covey__json *text = covey__json_get(templates, name->text);
    covey__template *compiled = NULL;
    covey__rendered out;
    covey_error error = {0};
    memset(&out, 0, sizeof out);
    covey_status status =
        covey__template_compile(&o->env, text->text, text->size, &compiled, &error);
    if (status == COVEY_OK) {
        covey__template_input input = COVEY__TEMPLATE_INPUT_INIT;
        const covey__json *now = covey__json_get(given, "now_ms");
        input.conversation = covey__json_get(given, "messages");
        input.tools = covey__json_get(given, "tools");
        input.variables = covey__json_get(given, "variables");
        input.from_api = flag_of(given, "from_api");
        input.add_generation_prompt = flag_of(given, "add_generation_prompt");
        input.bos = text_of(given, "bos_token");
        input.eos = text_of(given, "eos_token");
        if (now) {
            (void)covey__json_to_i64(now, &input.now_ms);
        }
        status = covey__template_render(compiled, &input, &out, &error);
    }
    bool refused = expected->kind == COVEY__JSON_NULL;
    bool same = refused ? status != COVEY_OK && status != COVEY_ERROR_UNSUPPORTED
                        : status == COVEY_OK && out.text.size == expected->size &&
                              memcmp(out.text.data, expected->text, expected->size) == 0;
    if (!same && o->differences++ < SHOWN_MAX) {
        size_t at = 0;
        while (status == COVEY_OK && !refused && at < out.text.size && at < expected->size &&
               out.text.data[at] == expected->text[at]) {
            at++;
        }
        size_t from = at > 60 ? at - 60 : 0;
        fprintf(stderr, "%s, case %zu, byte %zu: %s\n  expected: %.200s\n  found:    %.200s\n",
                name->text, o->cases, at, error.message,
                refused ? "(refused)" : expected->text + from,
                status == COVEY_OK && out.text.size > from ? out.text.data + from : "");
    }
    if (compiled) {
        covey__rendered_free(&out);
    }
    covey__template_free(compiled);
}

/* The vocabulary of a GGUF into `model`; its tokenizer, or NULL with a message. */
static const covey__tokenizer *open_vocabulary(oracle *o, const char *path, covey_model *model) {
    covey_error error = {0};
    model->env = &o->env;
    covey_status status = covey__gguf_open_path(&o->env, path, &model->gguf, &error);
    if (status == COVEY_OK) {
        status = covey__vocabulary_load(model, &error);
    }
    if (status != COVEY_OK) {
        fprintf(stderr, "%s: %s\n", path, error.message);
        return NULL;
    }
    return model->tokenizer;
}

static void encode_all(oracle *o, const covey__json *root, const char *path) {
    covey_model model;
    memset(&model, 0, sizeof model);
    covey__tokenizer *own = path ? NULL : make_tokenizer(o, root);
    const covey__tokenizer *tokenizer = path ? open_vocabulary(o, path, &model) : own;
    const covey__json *one = covey__json_get(root, "cases")->child;
    o->differences = !tokenizer;
    for (; tokenizer && one; one = one->next, o->cases++) {
        encode_one(o, tokenizer, one);
    }
    for (uint64_t i = 0; tokenizer && path && i < ROUND_TRIPS; i++) {
        round_trip(o, tokenizer, i);
    }
    covey__tokenizer_free(own);
    if (path) {
        covey__vocabulary_free(&model);
        covey__gguf_close(model.gguf);
    }
}

static void run(oracle *o, const char *command, const covey__json *root, const char *path) {
    const covey__json *templates = covey__json_get(root, "templates");
    bool cut = strcmp(command, "cut") == 0;
    if (strcmp(command, "encode") == 0) {
        encode_all(o, root, path);
        return;
    }
    const covey__json *one = cut ? root->child : covey__json_get(root, "cases")->child;
    for (; one; one = one->next, o->cases++) {
        if (cut) {
            cut_one(o, one);
        } else {
            render_one(o, templates, one);
        }
    }
}

int main(int argc, char **argv) {
    oracle o = {.cases = 0};
    size_t size;
    const covey__json *root;
    covey_error error = {0};
    char *text = argc == 3 || argc == 4 ? read_all(argv[2], &size) : NULL;
    if (!text) {
        fprintf(stderr, "usage: text_oracle cut|encode|render FILE [VOCABULARY.gguf]\n");
        return 2;
    }
    covey__env_init(&o.env);
    covey__arena_init(&o.arena, &o.env, (size_t)4 << 30);
    covey__json_limits limits = {(size_t)1 << 30, 128, (size_t)1 << 24};
    if (covey__json_parse(&o.arena, text, size, limits, &root, &error) != COVEY_OK) {
        fprintf(stderr, "%s: %s\n", argv[2], error.message);
        return 2;
    }
    run(&o, argv[1], root, argv[3]);
    printf("%zu cases, %zu differences\n", o.cases, o.differences);
    covey__arena_free(&o.arena);
    free(text);
    return o.differences > 0 || o.cases == 0;
}
