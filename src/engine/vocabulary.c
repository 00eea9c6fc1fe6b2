/* The glue between a GGUF's metadata and the text layer, which knows nothing of files: tokens,
 * scores, types and merges into a tokenizer, and the chat template into a compiled one. Metadata
 * keys: github.com/ggml-org/ggml docs/gguf.md. Also the public functions of a model that speak of
 * text. */
#include "engine/engine.h"

#include "text/pretokenizer.h"

#include <inttypes.h>
#include <string.h>

#define TOKENS_MAX (1u << 22)
#define MERGES_MAX (1u << 24)

/* Arrays that live while the tokenizer is built. */
typedef struct vocabulary_parts {
    const covey__env *env;
    covey__text *tokens, *merges;
    float *scores;
    int32_t *types;
} vocabulary_parts;

static covey__text as_text(covey__gguf_text text) {
    return (covey__text){text.data, text.size};
}

static covey_status read_string(const covey__gguf *gguf, const char *key, covey__text *out,
                                covey_error *error) {
    covey__gguf_text text = {"", 0};
    *out = (covey__text){"", 0};
    if (!covey__gguf_has(gguf, key)) return COVEY_OK;
    covey_status status = covey__gguf_string(gguf, key, &text, error);
    if (status == COVEY_OK) *out = as_text(text);
    return status;
}

static covey_status read_strings(const covey__env *env, const covey__gguf *gguf, const char *key,
                                 size_t count_max, covey__text **out, size_t *count,
                                 covey_error *error) {
    covey__gguf_kind kind;
    covey_status status = covey__gguf_array(gguf, key, &kind, count, error);
    if (status != COVEY_OK) return status;
    if (kind != COVEY__GGUF_STRING)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: expected an array of strings", key);
    if (*count > count_max)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)count_max, (int64_t)*count,
                                 "%s: expected at most %zu strings, found %zu", key, count_max,
                                 *count);
    *out = covey__calloc(env, *count ? *count : 1, sizeof **out);
    if (!*out) return covey__no_memory(error, key, *count * sizeof **out);
    for (size_t i = 0; i < *count; i++) (*out)[i] = as_text(covey__gguf_array_string(gguf, key, i));
    return COVEY_OK;
}

static covey_status read_token(const covey__gguf *gguf, const char *key, size_t token_count,
                               int32_t *out, covey_error *error) {
    *out = -1;
    if (!covey__gguf_has(gguf, key)) return COVEY_OK;
    uint64_t value = 0;
    /* Some writers put 2^32 - 1 for "none". */
    covey_status status = covey__gguf_u64(gguf, key, 0, UINT32_MAX, &value, error);
    if (status != COVEY_OK) return status;
    if (value == UINT32_MAX) return COVEY_OK;
    if (value >= token_count)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: expected an id below %zu, found %" PRIu64, key, token_count, value);
    *out = (int32_t)value;
    return COVEY_OK;
}

static covey_status read_flag(const covey__gguf *gguf, const char *key, bool absent, bool *out,
                              covey_error *error) {
    *out = absent;
    if (!covey__gguf_has(gguf, key)) return COVEY_OK;
    return covey__gguf_bool(gguf, key, out, error);
}

static covey_status read_arrays(const covey__gguf *gguf, vocabulary_parts *parts,
                                covey__vocabulary *words, covey_error *error) {
    covey_status status = read_strings(parts->env, gguf, "tokenizer.ggml.tokens", TOKENS_MAX,
                                       &parts->tokens, &words->token_count, error);
    if (status == COVEY_OK && covey__gguf_has(gguf, "tokenizer.ggml.merges"))
        status = read_strings(parts->env, gguf, "tokenizer.ggml.merges", MERGES_MAX, &parts->merges,
                              &words->merge_count, error);
    if (status == COVEY_OK && covey__gguf_has(gguf, "tokenizer.ggml.scores")) {
        parts->scores = covey__calloc(parts->env, words->token_count, sizeof *parts->scores);
        if (!parts->scores) return covey__no_memory(error, "scores", words->token_count);
        status = covey__gguf_array_f32(gguf, "tokenizer.ggml.scores", parts->scores,
                                       words->token_count, error);
    }
    if (status == COVEY_OK && covey__gguf_has(gguf, "tokenizer.ggml.token_type")) {
        parts->types = covey__calloc(parts->env, words->token_count, sizeof *parts->types);
        if (!parts->types) return covey__no_memory(error, "token types", words->token_count);
        status = covey__gguf_array_i32(gguf, "tokenizer.ggml.token_type", parts->types,
                                       words->token_count, error);
    }
    words->tokens = parts->tokens;
    words->merges = parts->merges;
    words->scores = parts->scores;
    words->types = parts->types;
    return status;
}

static bool is_text(covey__text text, const char *expected) {
    return text.size == strlen(expected) && !memcmp(text.data, expected, text.size);
}

/* WordPiece files that do not say which tokens these are name them as BERT does. */
static void find_word_piece_tokens(covey__vocabulary *words) {
    const struct {
        const char *name;
        int32_t *out;
    } known[] = {{"[UNK]", &words->unknown},
                 {"[PAD]", &words->padding},
                 {"[CLS]", &words->cls},
                 {"[SEP]", &words->separator}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (size_t id = 0; *known[i].out < 0 && id < words->token_count; id++)
            if (is_text(words->tokens[id], known[i].name)) *known[i].out = (int32_t)id;
}

static covey_status read_tokens(const covey__gguf *gguf, covey__vocabulary *words,
                                covey_error *error) {
    const struct {
        const char *key;
        int32_t *out;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", &words->bos},
        {"tokenizer.ggml.eos_token_id", &words->eos},
        {"tokenizer.ggml.eot_token_id", &words->eot},
        {"tokenizer.ggml.eom_token_id", &words->eom},
        {"tokenizer.ggml.unknown_token_id", &words->unknown},
        {"tokenizer.ggml.padding_token_id", &words->padding},
        {"tokenizer.ggml.cls_token_id", &words->cls},
        {"tokenizer.ggml.seperator_token_id", &words->separator}, /* so spelt in the files */
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        covey_status status = read_token(gguf, ids[i].key, words->token_count, ids[i].out, error);
        if (status != COVEY_OK) return status;
    }
    if (is_text(words->model, "bert")) find_word_piece_tokens(words);
    return COVEY_OK;
}

/* What is so where the file does not say is as in llama.cpp: SentencePiece models and Llama 3 begin
 * with BOS, WordPiece puts [CLS] and [SEP] around a text. */
static covey_status read_flags(const covey__gguf *gguf, covey__vocabulary *words,
                               covey_error *error) {
    bool sentencepiece = is_text(words->model, "llama"), word_piece = is_text(words->model, "bert");
    covey__pretokenizer_traits traits;
    bool bos = sentencepiece || word_piece ||
               (covey__pretokenizer_find(words->pretokenizer.data, words->pretokenizer.size,
                                         &traits, NULL) == COVEY_OK &&
                traits.adds_bos);
    struct {
        const char *key;
        bool absent;
        bool *out;
    } flags[] = {
        {"tokenizer.ggml.add_space_prefix", sentencepiece, &words->add_space_prefix},
        {"tokenizer.ggml.add_bos_token", bos, &words->add_bos},
        {"tokenizer.ggml.add_eos_token", false, &words->add_eos},
        {"tokenizer.ggml.add_sep_token", word_piece, &words->add_separator},
        {"tokenizer.ggml.normalizer.lowercase", true, &words->lower_case},
        {"tokenizer.ggml.normalizer.strip_accents", true, &words->strip_accents},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool lower = i + 1 < sizeof flags / sizeof *flags || words->lower_case;
        covey_status status =
            read_flag(gguf, flags[i].key, flags[i].absent && lower, flags[i].out, error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

/* Phi-3's special tokens swallow the white space behind them. No key says so; as in llama.cpp, the
 * model's name tells, and its architecture where it kept Llama's vocabulary. */
static covey_status read_strip_right(const covey__gguf *gguf, covey__vocabulary *words,
                                     covey_error *error) {
    covey__text name, architecture;
    covey_status status = read_string(gguf, "general.name", &name, error);
    if (status == COVEY_OK)
        status = read_string(gguf, "general.architecture", &architecture, error);
    if (status != COVEY_OK) return status;
    bool phi3 = is_text(words->model, "llama") && is_text(architecture, "phi3");
    for (size_t at = 0; !phi3 && at + 4 <= name.size; at++) {
        const char *text = name.data + at;
        size_t digit = text[3] == '-' ? 4 : 3;
        phi3 = (text[0] == 'p' || text[0] == 'P') && (text[1] == 'h' || text[1] == 'H') &&
               (text[2] == 'i' || text[2] == 'I') && at + digit < name.size && text[digit] == '3';
    }
    words->special_strip_right = phi3;
    return COVEY_OK;
}

static covey_status read_specials(const covey__gguf *gguf, covey__vocabulary *words,
                                  covey_error *error) {
    covey_status status = read_tokens(gguf, words, error);
    if (status == COVEY_OK) status = read_flags(gguf, words, error);
    if (status == COVEY_OK) status = read_strip_right(gguf, words, error);
    return status;
}

static covey_status load_tokenizer(covey_model *model, covey_error *error) {
    const covey__gguf *gguf = model->gguf;
    covey__vocabulary words = COVEY__VOCABULARY_INIT;
    vocabulary_parts parts = {.env = model->env};
    covey_status status = read_string(gguf, "tokenizer.ggml.model", &words.model, error);
    if (status == COVEY_OK)
        status = read_string(gguf, "tokenizer.ggml.pre", &words.pretokenizer, error);
    if (status == COVEY_OK) status = read_arrays(gguf, &parts, &words, error);
    if (status == COVEY_OK) status = read_specials(gguf, &words, error);
    if (status == COVEY_OK)
        status = covey__tokenizer_new(model->env, &words, &model->tokenizer, error);
    model->hyper.vocabulary_size = (int32_t)words.token_count;
    for (size_t i = 0; status == COVEY_OK && i < words.token_count; i++)
        if (words.tokens[i].size > model->token_bytes_max)
            model->token_bytes_max = words.tokens[i].size;
    covey__free(parts.env, parts.tokens);
    covey__free(parts.env, parts.merges);
    covey__free(parts.env, parts.scores);
    covey__free(parts.env, parts.types);
    return status;
}

covey_status covey__vocabulary_load(covey_model *model, covey_error *error) {
    covey_status status = load_tokenizer(model, error);
    if (status != COVEY_OK) return status;
    covey__text text;
    status = read_string(model->gguf, "tokenizer.chat_template", &text, error);
    if (status != COVEY_OK) return status;
    if (text.size == 0) {
        covey__fail(&model->chat_error, COVEY_ERROR_UNSUPPORTED,
                    "the model has no chat template: give it a prompt as plain text");
        return COVEY_OK;
    }
    status =
        covey__template_compile(model->env, text.data, text.size, &model->chat, &model->chat_error);
    if (status == COVEY_ERROR_NO_MEMORY) {
        if (error) *error = model->chat_error;
        return status;
    }
    if (status == COVEY_OK) {
        status = covey__chat_shows_tools(model, model->chat, &model->chat_takes_tools, error);
        if (status != COVEY_OK) return status;
    }
    /* Some models (Hermes, Command R) have a second template, for conversations with tools. */
    status = read_string(model->gguf, "tokenizer.chat_template.tool_use", &text, error);
    if (status != COVEY_OK || text.size == 0) return status;
    covey_error why = {.message = ""}; /* one that cannot be run is not missed: `chat` serves */
    status =
        covey__template_compile(model->env, text.data, text.size, &model->chat_with_tools, &why);
    if (status == COVEY_OK)
        return covey__chat_shows_tools(model, model->chat_with_tools, &model->chat_takes_tools,
                                       error);
    if (status != COVEY_ERROR_NO_MEMORY) return COVEY_OK;
    if (error) *error = why;
    return status;
}

void covey__vocabulary_free(covey_model *model) {
    covey__template_free(model->chat);
    covey__template_free(model->chat_with_tools);
    model->chat_with_tools = NULL;
    covey__tokenizer_free(model->tokenizer);
    model->chat = NULL;
    model->tokenizer = NULL;
}

covey_status covey_model_tokenize(const covey_model *model, const char *text, size_t text_size,
                                  bool parse_special, covey_token *tokens, size_t capacity,
                                  size_t *token_count, covey_error *error) {
    size_t count = 0;
    if (!model || (!text && text_size > 0) || (!tokens && capacity > 0))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "model: tokenize: model, text and tokens must be given");
    covey_status status = covey__tokenizer_encode(model->tokenizer, text ? text : "", text_size,
                                                  parse_special, tokens, capacity, &count, error);
    if (token_count) *token_count = count;
    return status == COVEY_OK ? status : covey__prefix(error, status, "model: tokenize");
}

size_t covey_model_token_bytes(const covey_model *model, covey_token token, bool special,
                               char *bytes, size_t capacity) {
    if (!model) return 0;
    return covey__tokenizer_bytes_of(model->tokenizer, token, special, bytes, bytes ? capacity : 0);
}

bool covey_model_token_is_end(const covey_model *model, covey_token token) {
    return model && covey__tokenizer_is_end(model->tokenizer, token);
}
