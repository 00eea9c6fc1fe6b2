/* Guided generation from end to end: whatever the model, the text parses and validates. Models with
 * random weights generate under random schemas with random seeds; a validator that shares nothing
 * with the compiler checks the text. Also: the budget, the end, forced tokens, and what a guide
 * leaves alone. */
#include "synthetic.h"

#include "engine/guide_run.h"

#include "guide_schemas.h"
#include "guide_validator.h"

#define TEXT_MAX (1 << 16)

static covey_runtime *runtime;
static covey_model *model;

static int set_up(void **state) {
    make_folder(state);
    synthetic s = {.layers = 1,
                   .width = 32,
                   .ffn = 64,
                   .heads = 1,
                   .kv_heads = 1,
                   .head_dim = 32,
                   .context = 2048,
                   .type = COVEY__TYPE_F32,
                   .output_type = COVEY__TYPE_F32,
                   .seed = 5};
    write_synthetic(&s, in_folder("model.gguf"));
    runtime = open_runtime(1, NULL);
    model = open_model(runtime, in_folder("model.gguf"));
    return 0;
}

static int tear_down(void **state) {
    covey_model_close(model);
    covey_runtime_close(runtime);
    return remove_folder(state);
}

/* ---- Generating ---- */

typedef struct heard {
    char text[TEXT_MAX];
    size_t size;
} heard;

static bool hear(void *user, const char *text, size_t size) {
    heard *h = user;
    assert_true(h->size + size < TEXT_MAX);
    memcpy(h->text + h->size, text, size);
    h->size += size;
    h->text[h->size] = 0;
    return true;
}

static heard said;

static covey_generation_result generate(covey_model *of, const covey_guide *guide, uint64_t seed,
                                        float temperature, int32_t tokens_max, int32_t context) {
    covey_error error = {.message = ""};
    const covey_token prompt[] = {1, 'a' + 3};
    covey_sampling sampling = COVEY_SAMPLING_INIT;
    covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
    options.sampling = &sampling;
    covey_generation_result result = COVEY_GENERATION_RESULT_INIT;
    covey_session *session = open_session(of, context, 0);
    append(session, prompt, 2);
    sampling.temperature = temperature;
    sampling.seed = seed;
    options.tokens_max = tokens_max;
    options.guide = guide;
    said.size = 0;
    said.text[0] = 0;
    must(covey_session_generate(session, &options, &result, &error, hear, &said), &error);
    size_t held = covey_session_token_count(session);
    assert_true(held == 2 + (size_t)result.token_count || held == 1 + (size_t)result.token_count);
    covey_session_close(session);
    return result;
}

static covey_status schema_guide(const char *schema, covey_guide **guide, covey_error *error) {
    return covey_guide_new_json_schema(runtime, schema, strlen(schema), NULL, guide, error);
}

static void check_valid(const char *schema, const covey_guide *guide,
                        const covey_generation_result *result) {
    covey_error error = {.message = ""};
    size_t matched;
    bool whole;
    must(covey_guide_match(guide, said.text, said.size, &matched, &whole, &error), &error);
    assert_int_equal(matched, said.size);
    assert_int_equal(whole, result->guide_complete);
    bool valid = text_is_valid(&plain_env, schema, said.text, said.size);
    if (result->guide_complete && !valid) fail_msg("%s\nallowed: %s", schema, said.text);
    if (result->stop_reason == COVEY_STOP_END) assert_true(result->guide_complete);
}

/* Random schemas: each is compiled, or refused for a reason that such a schema can have. */
static void test_random_schemas(void **state) {
    (void)state;
    static writer w;
    int compiled = 0, whole = 0, runs = 0;
    for (uint64_t seed = 1; seed <= 250; seed++) {
        covey_error error = {.message = ""};
        covey_guide *guide = NULL;
        write_schema(&w, seed);
        covey_status status = schema_guide(w.text, &guide, &error);
        if (status != COVEY_OK) { /* recursion without end, or at its own beginning */
            if (status != COVEY_ERROR_INVALID_ARGUMENT && status != COVEY_ERROR_UNSUPPORTED)
                fail_msg("%s: %s", w.text, error.message);
            continue;
        }
        compiled++;
        for (int i = 0; i < 3; i++) {
            covey_generation_result result = generate(model, guide, seed * 7 + (uint64_t)i,
                                                      i == 0   ? 0.0f
                                                      : i == 1 ? 1.0f
                                                               : 40.0f,
                                                      400, 512);
            check_valid(w.text, guide, &result);
            whole += result.guide_complete;
            runs++;
        }
        covey_guide_free(guide);
    }
    assert_true(compiled > 150);
    assert_int_equal(whole, runs); /* the shortest answers of all these schemas fit 400 tokens */
}

/* A budget that the shortest completion fits is kept, whatever it is; else it is a beginning. */
static void test_budget(void **state) {
    (void)state;
    static const char *const schemas[] = {
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"list\":{\"type\":"
        "\"array\",\"items\":{\"type\":\"integer\"}}},\"required\":[\"name\",\"list\"]}",
        "{\"type\":\"array\",\"items\":{\"type\":\"array\"},\"minItems\":2}", "{}",
        "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\"}}"};
    static const int32_t shortest[] = {21, 7, 1, 2}; /* bytes, and so tokens of this model */
    for (size_t i = 0; i < 4; i++) {
        covey_error error = {.message = ""};
        covey_guide *guide = NULL;
        must(schema_guide(schemas[i], &guide, &error), &error);
        for (int32_t room = 1; room < 60; room++) {
            for (uint64_t seed = 0; seed < 3; seed++) {
                covey_generation_result result = generate(model, guide, seed, 40.0f, room, 128);
                check_valid(schemas[i], guide, &result);
                assert_true(result.token_count <= room);
                if (room >= shortest[i]) assert_true(result.guide_complete);
                if (room < shortest[i]) assert_false(result.guide_complete);
                /* The context is a budget too. */
                result = generate(model, guide, seed, 40.0f, 0, room + 2);
                check_valid(schemas[i], guide, &result);
                if (room >= shortest[i]) assert_true(result.guide_complete);
            }
        }
        covey_guide_free(guide);
    }
}

static void test_open_ended(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_guide_options options = COVEY_GUIDE_OPTIONS_INIT;
    options.open_ended = true;
    const char *schema = "{\"type\":\"string\",\"minLength\":100}";
    covey_guide *guide = NULL;
    must(covey_guide_new_json_schema(runtime, schema, strlen(schema), &options, &guide, &error),
         &error);
    covey_generation_result result = generate(model, guide, 1, 5.0f, 20, 64);
    assert_int_equal(result.stop_reason, COVEY_STOP_LENGTH);
    assert_false(result.guide_complete);
    assert_int_equal(result.token_count, 20);
    covey_guide_free(guide);
}

/* Where there is no choice there is no draw, and behind the end nothing more. */
static void test_forced(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_guide *guide = NULL;
    const char *schema = "{\"type\":\"object\",\"properties\":{\"first\":{\"const\":\"value\"},"
                         "\"second\":{\"type\":\"boolean\"}},\"required\":[\"first\",\"second\"]}";
    covey_guide_options options = COVEY_GUIDE_OPTIONS_INIT;
    options.spaces = COVEY_GUIDE_SPACES_NONE;
    must(covey_guide_new_json_schema(runtime, schema, strlen(schema), &options, &guide, &error),
         &error);
    covey_generation_result result = generate(model, guide, 1, 1.0f, 0, 128);
    bool yes = strcmp(said.text, "{\"first\":\"value\",\"second\":true}") == 0;
    bool no = strcmp(said.text, "{\"first\":\"value\",\"second\":false}") == 0;
    assert_true(yes || no);
    assert_int_equal(result.stop_reason, COVEY_STOP_END);
    assert_int_equal(result.token_count, said.size); /* no token for the end: nothing may follow */
    assert_int_equal(result.forced_count, said.size - 2); /* drawn: '{', and 't' or 'f' */
    covey_guide_free(guide);
    must(covey_guide_new_gbnf(runtime, "root ::= \"abc\" [0-9]*", 21, NULL, &guide, &error),
         &error);
    for (uint64_t seed = 0; seed < 20; seed++) {
        result = generate(model, guide, seed, 3.0f, 12, 64);
        assert_memory_equal(said.text, "abc", 3);
        assert_true(result.guide_complete);
    }
    covey_guide_free(guide);
}

/* The same text however the pool of runs was used before; without a guide nothing changes. */
static void test_same_again(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_guide *guide = NULL;
    must(schema_guide("{}", &guide, &error), &error);
    for (uint64_t seed = 0; seed < 8; seed++) {
        generate(model, guide, seed, 2.0f, 100, 256);
        static char first[TEXT_MAX];
        strcpy(first, said.text);
        generate(model, guide, seed + 100, 2.0f, 100, 256);
        generate(model, guide, seed, 2.0f, 100, 256);
        assert_string_equal(first, said.text);
    }
    covey_guide_free(guide);
    covey_generation_result result = generate(model, NULL, 3, 1.0f, 50, 256);
    assert_false(result.guide_complete);
    assert_int_equal(result.forced_count, 0);
}

/* A trained model whose vocabulary has words: its masks, forced tokens and spaces are harder. */
static void test_stories(void **state) {
    (void)state;
    const char *shared = getenv("COVEY_SHARED");
    char path[1024];
    snprintf(path, sizeof path, "%s/data/models/stories260K.gguf", shared ? shared : "");
    FILE *file = fopen(path, "rb");
    if (!file) {
        print_message("skipped: no %s\n", path);
        skip();
    }
    fclose(file);
    covey_model *stories = open_model(runtime, path);
    static writer w;
    for (uint64_t seed = 1000; seed < 1040; seed++) {
        covey_error error = {.message = ""};
        covey_guide *guide = NULL;
        write_schema(&w, seed);
        if (schema_guide(w.text, &guide, &error) != COVEY_OK) continue;
        for (int i = 0; i < 2; i++) {
            covey_generation_result result =
                generate(stories, guide, seed, i ? 1.0f : 30.0f, 250, 400);
            check_valid(w.text, guide, &result);
            assert_true(result.guide_complete);
        }
        covey_guide_free(guide);
    }
    covey_model_close(stories);
}

/* A model that would say one name again and again says others. */
static void test_names(void **state) {
    (void)state;
    static const char *const schemas[] = {
        "{\"type\":\"object\",\"additionalProperties\":{\"const\":1},\"minProperties\":30}",
        "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":{\"type\":"
        "\"boolean\"},\"properties\":{\"a\":true,\"ab\":true},\"required\":[\"a\",\"x\"]},"
        "\"minItems\":"
        "3}"};
    for (size_t i = 0; i < 2; i++) {
        covey_error error = {.message = ""};
        covey_guide *guide = NULL;
        must(schema_guide(schemas[i], &guide, &error), &error);
        for (uint64_t seed = 0; seed < 6; seed++) {
            float temperature = seed < 2 ? 0.0f : seed < 4 ? 0.1f : 20.0f;
            covey_generation_result result =
                generate(model, guide, seed, temperature, seed % 2 ? 0 : 600, 1500);
            check_valid(schemas[i], guide, &result);
            assert_true(result.guide_complete);
        }
        covey_guide_free(guide);
    }
}

/* ---- Memory and threads ---- */

static const char *const failing_schema =
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":9},\"b\":{}},"
    "\"required\":[\"a\"]}";

static covey_status make_and_run(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.allocator = &env->allocator;
    options.threads = 1;
    covey_runtime *own = NULL;
    covey_guide *guide = NULL;
    covey__token_trie *trie = NULL;
    covey__guide_run *run = NULL;
    const uint32_t *mask;
    covey_status status = covey__runtime_new(&options, &own, error);
    if (status != COVEY_OK) return status;
    status = covey_guide_new_json_schema(own, failing_schema, strlen(failing_schema), NULL, &guide,
                                         error);
    if (status == COVEY_OK) status = covey__token_trie_new(env, model->tokenizer, &trie, error);
    if (status == COVEY_OK)
        status = covey__guide_run_begin(guide, model->tokenizer, trie, &run, error);
    if (status == COVEY_OK) status = covey__guide_mask(run, &mask, error);
    covey__guide_run_end(run);
    covey__token_trie_drop(trie);
    covey_guide_free(guide);
    covey_runtime_close(own);
    return status;
}

static void test_memory(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(make_and_run, NULL) > 30);
}

static const covey_guide *shared_guide;
static char shared_text[TEXT_MAX];
static size_t shared_size;

static void *generate_again(void *user) {
    const covey_token prompt[] = {1, 'a' + 3};
    heard *own = calloc(1, sizeof *own);
    for (int i = 0; i < 5 && own; i++) {
        covey_sampling sampling = COVEY_SAMPLING_INIT;
        covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
        options.sampling = &sampling;
        covey_session *session = open_session(model, 256, 0);
        append(session, prompt, 2);
        sampling.temperature = 2.0f;
        sampling.seed = 4;
        options.tokens_max = 100;
        options.guide = shared_guide;
        own->size = 0;
        if (covey_session_generate(session, &options, NULL, NULL, hear, own) ||
            own->size != shared_size || memcmp(own->text, shared_text, shared_size))
            *(bool *)user = false;
        covey_session_close(session);
    }
    free(own);
    return NULL;
}

/* One guide, several threads: each says what one alone says. */
static void test_threads(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_guide *guide = NULL;
    must(schema_guide("{}", &guide, &error), &error);
    generate(model, guide, 4, 2.0f, 100, 256);
    memcpy(shared_text, said.text, said.size);
    shared_size = said.size;
    shared_guide = guide;
    pthread_t threads[4];
    bool same[4];
    for (int i = 0; i < 4; i++) {
        same[i] = true;
        assert_int_equal(pthread_create(&threads[i], NULL, generate_again, &same[i]), 0);
    }
    for (int i = 0; i < 50; i++) covey_runtime_trim(runtime); /* meanwhile, too */
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(same[i]);
    }
    covey_guide_free(guide);
}

/* Memory that waits for the next generation is given back, and that is as before. */
static void test_trim(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_guide *guide = NULL;
    must(schema_guide("{}", &guide, &error), &error);
    generate(model, guide, 4, 2.0f, 100, 256);
    memcpy(shared_text, said.text, said.size);
    shared_size = said.size;
    assert_int_equal(guide->pool->idle_count, 1);
    assert_non_null(model->token_trie);
    covey_runtime_trim(runtime);
    assert_int_equal(guide->pool->idle_count, 0);
    assert_null(guide->pool->idle);
    assert_null(model->token_trie);
    generate(model, guide, 4, 2.0f, 100, 256);
    assert_int_equal(said.size, shared_size);
    assert_memory_equal(said.text, shared_text, shared_size);
    covey_guide_free(guide);
    covey_runtime_trim(runtime); /* it is not asked any more */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_schemas), cmocka_unit_test(test_budget),
        cmocka_unit_test(test_open_ended),     cmocka_unit_test(test_forced),
        cmocka_unit_test(test_same_again),     cmocka_unit_test(test_stories),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_memory),
        cmocka_unit_test(test_threads),        cmocka_unit_test(test_trim),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
