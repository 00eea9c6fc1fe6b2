/* Masks against the automaton itself, token by token; the shortcuts of the walk must not show.
 * Forced tokens are the tokenizer's own. A machine that fills up forgets and goes on. */
#include "guide_cases.h"

typedef struct vocabulary {
    covey_model *model;
    covey__token_trie *trie;
} vocabulary;

static bool open_vocabulary(const char *name, vocabulary *v) {
    const char *path = test_shared(name);
    covey_error error = {.message = ""};
    if (!path) return false;
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = path;
    source.vocabulary_only = true;
    must(covey_model_open(case_runtime, &source, &v->model, &error), &error);
    must(covey__guide_trie_of(v->model, &v->trie, &error), &error);
    return true;
}

static covey__guide_run *begin(const covey_guide *guide, const vocabulary *v) {
    covey_error error = {.message = ""};
    covey__guide_run *run = NULL;
    must(covey__guide_run_begin(guide, v->model->tokenizer, v->trie, &run, &error), &error);
    return run;
}

/* What the mask must say, from the definition: each token alone, byte by byte. */
static bool may_come(covey__guide_run *run, const vocabulary *v, covey_token token) {
    char bytes[300];
    const covey__tokenizer *t = v->model->tokenizer;
    covey__token_type type = covey__tokenizer_type_of(t, token);
    if (covey__tokenizer_is_end(t, token)) return covey__guide_accepts(run);
    if (type == COVEY__TOKEN_CONTROL || type == COVEY__TOKEN_UNKNOWN || type == COVEY__TOKEN_UNUSED)
        return false;
    size_t size = covey__tokenizer_bytes_of(t, token, false, bytes, sizeof bytes);
    if (size == 0 || size > 255) return false;
    uint32_t set = run->set;
    for (size_t i = 0; i < size && set != 0; i++) {
        set = covey__guide_step(run->machine, set, (uint8_t)bytes[i]);
        assert_true(set != COVEY__GUIDE_NONE);
    }
    return set != 0;
}

static covey_token check_mask(covey__guide_run *run, const vocabulary *v, uint64_t *random) {
    covey_error error = {.message = ""};
    const uint32_t *mask;
    must(covey__guide_mask(run, &mask, &error), &error);
    covey_token chosen = -1;
    uint32_t count = 0;
    int32_t all = covey__tokenizer_specials_of(v->model->tokenizer).token_count;
    for (int32_t id = 0; id < all; id++) {
        bool may = mask[id / 32] >> id % 32 & 1;
        if (may != may_come(run, v, id)) fail_msg("token %d: the mask says %d", (int)id, may);
        if (may && next_random(random) % ++count == 0) chosen = id;
    }
    return chosen;
}

static const struct {
    const char *text;
    bool is_schema;
} guides[] = {
    {"{}", true},
    {"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":3,\"maxLength\":12},"
     "\"minItems\":3}",
     true},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"^[a-z]{2,9}-"
     "\\\\d+$\"},"
     "\"b\":{\"type\":\"string\"},\"c\":{\"type\":\"number\",\"minimum\":-3.5,\"maximum\":12}},"
     "\"required\":[\"a\",\"b\",\"c\"],\"additionalProperties\":true}",
     true},
    {"{\"type\":\"string\",\"pattern\":\"[^a-y]{3}\"}", true},
    {"root ::= [A-Z] [^.!?]* [.!?] (\" \" root)?", false},
    {"root ::= [a-zA-Z\xc3\xa9 ]* \"\\n\" .*", false},
    {"root ::= ([^\\x00-\\x1f\"\\\\] | \"\\\\\" .)* \"\\\"\" root?", false},
    {"root ::= [\\U00000080-\\U0010ffff]+ \"x\" [\\u0400-\\u04ff]{2,4}", false},
};

static void test_against_definition(void **state) {
    (void)state;
    static const char *const names[] = {"data/vocab/ggml-vocab-gpt-2.gguf",
                                        "data/vocab/ggml-vocab-llama-spm.gguf",
                                        "data/vocab/ggml-vocab-qwen2.gguf"};
    int opened = 0;
    for (size_t n = 0; n < 3; n++) {
        vocabulary v;
        if (!open_vocabulary(names[n], &v)) continue;
        opened++;
        for (size_t g = 0; g < sizeof guides / sizeof *guides; g++) {
            covey_error error = {.message = ""};
            covey_guide *guide = NULL;
            must(new_guide(guides[g].is_schema, guides[g].text, &guide, &error), &error);
            uint64_t random = 77 + g + 10 * n;
            covey__guide_run *run = begin(guide, &v);
            for (int i = 0; i < 12; i++) {
                covey_token token = check_mask(run, &v, &random);
                if (token < 0 || covey__tokenizer_is_end(v.model->tokenizer, token)) break;
                must(covey__guide_take(run, token, &error), &error);
            }
            covey__guide_run_end(run);
            covey_guide_free(guide);
        }
        covey__token_trie_drop(v.trie);
        covey_model_close(v.model);
    }
    if (!opened) skip();
}

/* The tokens of an answer, and those that a guide forces on the way: the same ones. */
static void test_forced_are_the_tokenizers(void **state) {
    (void)state;
    static const char *const names[] = {"data/vocab/ggml-vocab-llama-bpe.gguf",
                                        "data/vocab/ggml-vocab-qwen2.gguf",
                                        "data/vocab/ggml-vocab-phi-3.gguf"};
    const char *schema = "{\"type\":\"object\",\"properties\":{\"temperature_celsius\":{\"type\":"
                         "\"integer\"},\"description\":{\"const\":\"partly cloudy\"},\"place\":{"
                         "\"type\":\"string\"}},\"required\":[\"temperature_celsius\","
                         "\"description\",\"place\"]}";
    const char *answer =
        "{\"temperature_celsius\":21,\"description\":\"partly cloudy\",\"place\":\"Graz\"}";
    int opened = 0;
    for (size_t n = 0; n < 3; n++) {
        vocabulary v;
        if (!open_vocabulary(names[n], &v)) continue;
        opened++;
        covey_error error = {.message = ""};
        covey_guide *guide = NULL;
        covey_guide_options options = COVEY_GUIDE_OPTIONS_INIT;
        options.spaces = COVEY_GUIDE_SPACES_NONE;
        must(covey_guide_new_json_schema(case_runtime, schema, strlen(schema), &options, &guide,
                                         &error),
             &error);
        covey__guide_run *run = begin(guide, &v);
        size_t at = 0, forced = 0, size = strlen(answer);
        char said[300];
        size_t said_size = 0;
        while (said_size < size) { /* the model: longest tokens of the answer, one at a time */
            size_t taken;
            int32_t token =
                covey__token_trie_longest(v.trie, answer + said_size, size - said_size, &taken);
            must(covey__guide_take(run, token, &error), &error);
            said_size += taken;
            const covey_token *more;
            size_t count = covey__guide_forced(run, 256, INT32_MAX, &more);
            for (size_t i = 0; i < count; i++, forced++) {
                size_t got = covey_model_token_bytes(v.model, more[i], false, said, sizeof said);
                assert_memory_equal(answer + said_size, said, got);
                said_size += got;
            }
        }
        assert_int_equal(said_size, size);
        assert_true(covey__guide_at_end(run));
        assert_true(forced >= 8);
        (void)at;
        covey__guide_run_end(run);
        covey_guide_free(guide);
        covey__token_trie_drop(v.trie);
        covey_model_close(v.model);
    }
    if (!opened) skip();
}

/* A string with so many counted characters that no machine holds all their sets. */
static void test_collect(void **state) {
    (void)state;
    vocabulary v;
    if (!open_vocabulary("data/models/stories260K.gguf", &v)) skip();
    covey_error error = {.message = ""};
    covey_guide *guide = NULL;
    const char *schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":10,"
                         "\"maxLength\":60000},\"minItems\":2}";
    must(new_guide(true, schema, &guide, &error), &error);
    covey__guide_run *run = begin(guide, &v);
    uint64_t random = 5;
    size_t chars = 0;
    for (int i = 0; i < 9000; i++) {
        const uint32_t *mask;
        covey_token token = -1;
        if (i % 1500 == 1499) {
            token = check_mask(run, &v, &random);
        } else {
            uint32_t count = 0;
            must(covey__guide_mask(run, &mask, &error), &error);
            for (int32_t id = 0; id < 512; id++)
                if ((mask[id / 32] >> id % 32 & 1) && next_random(&random) % ++count == 0)
                    token = id;
        }
        char bytes[64];
        chars += covey_model_token_bytes(v.model, token, false, bytes, sizeof bytes);
        if (covey__guide_at_end(run) || covey__tokenizer_is_end(v.model->tokenizer, token)) break;
        must(covey__guide_take(run, token, &error), &error);
    }
    covey__guide_run_end(run);
    /* And one long text. */
    static char text[50010];
    size_t matched;
    bool whole;
    memset(text, 'x', sizeof text);
    memcpy(text, "[\"", 2);
    memcpy(text + 50000, "\",\"", 3);
    memcpy(text + 50008, "\"]", 2);
    must(covey_guide_match(guide, text, 50010, &matched, &whole, &error), &error);
    assert_int_equal(matched, 50008); /* the second string has but five characters */
    assert_false(whole);
    covey_guide_free(guide);
    covey__token_trie_drop(v.trie);
    covey_model_close(v.model);
}

/* Tokens that were only tried leave nothing behind, in the collected machine above too. */
static void test_back(void **state) {
    (void)state;
    vocabulary v;
    if (!open_vocabulary("data/models/stories260K.gguf", &v)) skip();
    covey_error error = {.message = ""};
    covey_guide *guide = NULL;
    must(new_guide(true, "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"null\"}}",
                   &guide, &error),
         &error);
    covey__guide_run *run = begin(guide, &v);
    static const char *const parts[] = {"{", "\"", "a", "\"", ":", "null"};
    size_t size;
    for (size_t i = 0; i < 6; i++)
        for (size_t at = 0; at < strlen(parts[i]); at += size)
            must(covey__guide_take(
                     run,
                     covey__token_trie_longest(v.trie, parts[i] + at, strlen(parts[i]) - at, &size),
                     &error),
                 &error);
    static uint32_t before[512 / 32];
    const uint32_t *mask;
    must(covey__guide_mask(run, &mask, &error), &error);
    memcpy(before, mask, sizeof before);
    covey__guide_mark(run);
    static const char tried[] = ",\"b\":null}";
    for (size_t at = 0; at < sizeof tried - 1; at++)
        must(
            covey__guide_take(run, covey__token_trie_longest(v.trie, tried + at, 1, &size), &error),
            &error);
    assert_true(covey__guide_at_end(run));
    covey__guide_back(run);
    assert_false(covey__guide_at_end(run));
    must(covey__guide_mask(run, &mask, &error), &error);
    assert_memory_equal(before, mask, sizeof before);
    /* The name that was tried is free again, the first one is not. */
    static const char again[] = ",\"a";
    for (size_t at = 0; at < sizeof again - 1; at++)
        must(
            covey__guide_take(run, covey__token_trie_longest(v.trie, again + at, 1, &size), &error),
            &error);
    covey_token quote = covey__token_trie_longest(v.trie, "\"", 1, &size);
    covey_token b = covey__token_trie_longest(v.trie, "b", 1, &size);
    assert_int_equal(covey__guide_allows(run, quote, INT32_MAX), COVEY__GUIDE_NO_NAME);
    assert_int_equal(covey__guide_allows(run, b, INT32_MAX), COVEY__GUIDE_YES);
    covey__guide_run_end(run);
    covey_guide_free(guide);
    covey__token_trie_drop(v.trie);
    covey_model_close(v.model);
}

/* What is meant to hurt: it is refused, or answered, within bounded work. */
static void test_hostile(void **state) {
    (void)state;
    vocabulary v;
    if (!open_vocabulary("data/models/stories260K.gguf", &v)) skip();
    size_t room = 1u << 20;
    char *text = malloc(room);
    assert_non_null(text);
    for (int kind = 0; kind < 5; kind++) {
        static const char *const begins[] = {"root ::= r{0,60000}\nr ::= \"a\"", "root ::= \"a\"",
                                             "root ::= x x x\nx ::= y*\ny ::= \"a\"",
                                             "root ::= ", "root ::= ."};
        static const char *const more[] = {"|\"a\" \"b\"?", "|\"b\"", "|y \"a\"?", "(\"a\"|",
                                           "{0,9} ."};
        size_t size = strlen(strcpy(text, begins[kind]));
        while (size + 40 < room) size += strlen(strcpy(text + size, more[kind]));
        covey_error error = {.message = ""};
        covey_guide *guide = NULL;
        if (covey_guide_new_gbnf(case_runtime, text, size, NULL, &guide, &error) != COVEY_OK) {
            assert_true(error.status != COVEY_ERROR_INTERNAL);
            continue;
        }
        covey__guide_run *run = NULL;
        const uint32_t *mask;
        covey_status status =
            covey__guide_run_begin(guide, v.model->tokenizer, v.trie, &run, &error);
        if (status == COVEY_OK) status = covey__guide_mask(run, &mask, &error);
        assert_true(status == COVEY_OK || status == COVEY_ERROR_LIMIT);
        covey__guide_run_end(run);
        covey_guide_free(guide);
    }
    free(text);
    covey__token_trie_drop(v.trie);
    covey_model_close(v.model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_definition),
        cmocka_unit_test(test_forced_are_the_tokenizers),
        cmocka_unit_test(test_collect),
        cmocka_unit_test(test_back),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, open_cases, close_cases);
}
