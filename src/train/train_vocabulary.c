/* A vocabulary in and out of GGUF. What was read is written again value by value, so that nothing
 * of a model that is trained on gets lost; what was learned is written as llama.cpp expects a
 * "gpt2" vocabulary. Learning itself is in train_bpe.c. */
#include <string.h>

#include "base/error.h"
#include "train/train_vocabulary.h"

#define TOKENS_MAX ((size_t)1 << 20)
#define MERGES_MAX ((size_t)1 << 22)

static const char chat_template[] =
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ '<|assistant|>' + message['content'] + '<|end|>' }}"
    "{% else %}{{ raise_exception('this model knows user and assistant only') }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

void covey__train_vocabulary_free(covey__train_vocabulary *vocabulary) {
    covey__tokenizer_free(vocabulary->tokenizer);
    vocabulary->tokenizer = NULL;
    covey__arena_free(&vocabulary->arena);
}

static covey_status find_control(const covey__train_vocabulary *v, const char *name, int32_t *id,
                                 covey_error *error) {
    *id = covey__tokenizer_find(v->tokenizer, name, strlen(name));
    if (*id >= 0 && covey__tokenizer_type_of(v->tokenizer, *id) == COVEY__TOKEN_CONTROL)
        return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "train: the vocabulary has no control token %s; training needs <|user|>, "
                       "<|assistant|> and <|end|>, as `covey train` makes them",
                       name);
}

static covey_status read_strings(covey__train_vocabulary *v, const char *key, size_t most,
                                 covey__text **texts, size_t *count, covey_error *error) {
    covey__gguf_kind kind;
    covey_status status = covey__gguf_array(v->source, key, &kind, count, error);
    if (status != COVEY_OK) return status;
    if (kind != COVEY__GGUF_STRING || *count > most)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: not an array of at most %zu strings",
                           key, most);
    *texts = covey__arena_calloc(&v->arena, *count + 1, sizeof **texts);
    if (!*texts) return covey__no_memory(error, key, *count * sizeof **texts);
    for (size_t i = 0; i < *count; i++) {
        covey__gguf_text text = covey__gguf_array_string(v->source, key, i);
        (*texts)[i] = (covey__text){text.data, text.size};
    }
    return COVEY_OK;
}

static covey_status read_id(const covey__gguf *gguf, const char *key, int32_t *id,
                            covey_error *error) {
    uint64_t value = 0;
    *id = -1;
    if (!covey__gguf_has(gguf, key)) return COVEY_OK;
    covey_status status = covey__gguf_u64(gguf, key, 0, TOKENS_MAX, &value, error);
    if (status == COVEY_OK) *id = (int32_t)value;
    return status;
}

static covey_status read_arrays(covey__train_vocabulary *v, covey__vocabulary *out,
                                covey_error *error) {
    covey__gguf_text model, pre = {"", 0};
    covey_status status = covey__gguf_string(v->source, "tokenizer.ggml.model", &model, error);
    if (status == COVEY_OK && covey__gguf_has(v->source, "tokenizer.ggml.pre"))
        status = covey__gguf_string(v->source, "tokenizer.ggml.pre", &pre, error);
    if (status == COVEY_OK)
        status = read_strings(v, "tokenizer.ggml.tokens", TOKENS_MAX, &v->tokens, &v->token_count,
                              error);
    if (status == COVEY_OK)
        status = read_strings(v, "tokenizer.ggml.merges", MERGES_MAX, &v->merges, &v->merge_count,
                              error);
    if (status != COVEY_OK) return status;
    v->types = covey__arena_calloc(&v->arena, v->token_count + 1, sizeof *v->types);
    if (!v->types) return covey__no_memory(error, "types", v->token_count * sizeof *v->types);
    status = covey__gguf_array_i32(v->source, "tokenizer.ggml.token_type", v->types, v->token_count,
                                   error);
    out->model = (covey__text){model.data, model.size};
    out->pretokenizer = (covey__text){pre.data, pre.size};
    return status;
}

static covey_status make_tokenizer(const covey__env *env, covey__train_vocabulary *v,
                                   covey__vocabulary *as, covey_error *error) {
    as->tokens = v->tokens;
    as->token_count = v->token_count;
    as->types = v->types;
    as->merges = v->merges;
    as->merge_count = v->merge_count;
    covey_status status = covey__tokenizer_new(env, as, &v->tokenizer, error);
    if (status == COVEY_OK) status = find_control(v, "<|user|>", &v->user, error);
    if (status == COVEY_OK) status = find_control(v, "<|assistant|>", &v->assistant, error);
    if (status == COVEY_OK) status = find_control(v, "<|end|>", &v->end, error);
    if (status == COVEY_OK) v->pad = covey__tokenizer_find(v->tokenizer, "<|pad|>", 7);
    return status;
}

covey_status covey__train_vocabulary_load(const covey__env *env, const covey__gguf *source,
                                          covey__train_vocabulary *v, covey_error *error) {
    *v = (covey__train_vocabulary){.source = source, .pad = -1};
    covey__arena_init(&v->arena, env, (size_t)1 << 28);
    covey__vocabulary as = COVEY__VOCABULARY_INIT;
    covey_status status = read_arrays(v, &as, error);
    if (status == COVEY_OK) status = read_id(source, "tokenizer.ggml.bos_token_id", &as.bos, error);
    if (status == COVEY_OK) status = read_id(source, "tokenizer.ggml.eos_token_id", &as.eos, error);
    if (status == COVEY_OK) status = read_id(source, "tokenizer.ggml.eot_token_id", &as.eot, error);
    if (status == COVEY_OK) status = make_tokenizer(env, v, &as, error);
    if (status != COVEY_OK) {
        covey__train_vocabulary_free(v);
        return covey__prefix(error, status, "train: vocabulary");
    }
    return COVEY_OK;
}

covey_status covey__train_vocabulary_finish(const covey__env *env, covey__train_vocabulary *v,
                                            covey_error *error) {
    covey__vocabulary as = COVEY__VOCABULARY_INIT;
    as.model = (covey__text){"gpt2", 4};
    as.pretokenizer = (covey__text){"qwen2", 5};
    as.eos = as.eot = as.bos = (int32_t)v->token_count - 1;
    return make_tokenizer(env, v, &as, error);
}

static covey_status put_learned(const covey__train_vocabulary *v, covey__gguf_writer *writer,
                                covey_error *error) {
    size_t most = v->token_count > v->merge_count ? v->token_count : v->merge_count;
    covey__arena arena;
    covey__arena_init(&arena, v->arena.env, (size_t)1 << 28);
    covey__gguf_text *texts = covey__arena_calloc(&arena, most + 1, sizeof *texts);
    if (!texts) {
        covey__arena_free(&arena);
        return covey__no_memory(error, "train: vocabulary", most * sizeof *texts);
    }
    covey__gguf_put_string(writer, "tokenizer.ggml.model", "gpt2", 4);
    covey__gguf_put_string(writer, "tokenizer.ggml.pre", "qwen2", 5);
    for (size_t i = 0; i < v->token_count; i++)
        texts[i] = (covey__gguf_text){v->tokens[i].data, v->tokens[i].size};
    covey__gguf_put_strings(writer, "tokenizer.ggml.tokens", texts, v->token_count);
    covey__gguf_put_i32s(writer, "tokenizer.ggml.token_type", v->types, v->token_count);
    for (size_t i = 0; i < v->merge_count; i++)
        texts[i] = (covey__gguf_text){v->merges[i].data, v->merges[i].size};
    covey__gguf_put_strings(writer, "tokenizer.ggml.merges", texts, v->merge_count);
    covey__gguf_put_u32(writer, "tokenizer.ggml.bos_token_id", (uint32_t)v->end);
    covey__gguf_put_u32(writer, "tokenizer.ggml.eos_token_id", (uint32_t)v->end);
    covey__gguf_put_u32(writer, "tokenizer.ggml.eot_token_id", (uint32_t)v->end);
    covey__gguf_put_u32(writer, "tokenizer.ggml.padding_token_id", (uint32_t)v->pad);
    covey__gguf_put_bool(writer, "tokenizer.ggml.add_bos_token", false);
    covey__gguf_put_string(writer, "tokenizer.chat_template", chat_template,
                           sizeof chat_template - 1);
    covey__arena_free(&arena);
    return COVEY_OK;
}

covey_status covey__train_vocabulary_put(const covey__train_vocabulary *v,
                                         covey__gguf_writer *writer, covey_error *error) {
    if (!v->source) return put_learned(v, writer, error);
    for (size_t i = 0; i < covey__gguf_value_count(v->source); i++) {
        covey__gguf_value value = covey__gguf_value_at(v->source, i);
        if (value.key.size < 10 || memcmp(value.key.data, "tokenizer.", 10) != 0) continue;
        covey__gguf_put_value(writer, &value); /* a failure sticks and shows at the header */
    }
    return COVEY_OK;
}
