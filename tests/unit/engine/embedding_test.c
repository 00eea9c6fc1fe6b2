/* Embeddings: what the pooled vector is made of, the contract for encoders (the same bits for any
 * threads, instruction set and neighbours in the call), and what is refused. */
#include "synthetic.h"

#include <math.h>

#include <covey/embedding.h>

#include "base/cpu.h"

#define WIDTH  160
#define TOKENS 40

static synthetic encoder(void) {
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "bert";
    s.kv_heads = s.heads;
    s.type = COVEY__TYPE_Q8_0;
    return s;
}

static covey_model *make_model(covey_runtime *runtime, const synthetic *s) {
    const char *path = in_folder("embedding.gguf");
    write_synthetic(s, path);
    covey_model *model = open_model(runtime, path);
    model->parallel_bytes_min = 0;
    return model;
}

static void embed(covey_model *model, covey_pooling pooling, bool raw, const covey_token *tokens,
                  size_t count, float *vector) {
    covey_error error = {.message = ""};
    covey_embedding_options options = COVEY_EMBEDDING_OPTIONS_INIT;
    options.pooling = pooling;
    options.raw = raw;
    covey_embedding_input input = {tokens, count};
    must(covey_model_embed(model, &options, &input, 1, vector, &error), &error);
}

/* Each instruction set and number of threads against scalar code on one thread; alone and between
 * others. */
static void test_encoder_bits(void **state) {
    (void)state;
    covey_token tokens[3][TOKENS];
    covey_embedding_input inputs[3];
    float expected[3][WIDTH], found[3][WIDTH];
    covey_error error = {.message = ""};
    synthetic s = encoder();
    for (size_t i = 0; i < 3; i++) {
        random_tokens(tokens[i], TOKENS, SYNTHETIC_VOCABULARY, i + 3);
        inputs[i] = (covey_embedding_input){tokens[i], TOKENS - 3 * i};
    }
    covey_runtime *scalar = open_runtime(1, "scalar");
    covey_model *reference = make_model(scalar, &s);
    for (size_t i = 0; i < 3; i++)
        embed(reference, COVEY_POOLING_MODEL, false, tokens[i], inputs[i].token_count, expected[i]);
    for (int32_t threads = 1; threads <= 3; threads++) {
        covey_runtime *runtime = open_runtime(threads, NULL);
        covey_model *model = make_model(runtime, &s);
        must(covey_model_embed(model, NULL, inputs, 3, found[0], &error), &error);
        assert_memory_equal(expected, found, sizeof found);
        covey_model_close(model);
        covey_runtime_close(runtime);
    }
    covey_model_close(reference);
    covey_runtime_close(scalar);
}

/* The first token's vector depends on the last token: it sees all. */
static void test_encoder_sees_all(void **state) {
    (void)state;
    covey_token tokens[TOKENS];
    float before[WIDTH], after[WIDTH];
    synthetic s = encoder();
    random_tokens(tokens, TOKENS, SYNTHETIC_VOCABULARY, 9);
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = make_model(runtime, &s);
    embed(model, COVEY_POOLING_CLS, true, tokens, TOKENS, before);
    tokens[TOKENS - 1] = (tokens[TOKENS - 1] + 1) % SYNTHETIC_VOCABULARY;
    embed(model, COVEY_POOLING_CLS, true, tokens, TOKENS, after);
    assert_memory_not_equal(before, after, sizeof before);
    covey_model_close(model);
    covey_runtime_close(runtime);
}

/* In a decoder the last vector of each beginning of a text is that of a token in the whole. */
static void test_pooling(void **state) {
    (void)state;
    covey_token tokens[TOKENS];
    float last[WIDTH], first[WIDTH], mean[WIDTH], unit[WIDTH];
    double sums[WIDTH] = {0}, squares = 0.0;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "gemma3";
    s.window = 12;
    s.layers = 6;
    random_tokens(tokens, TOKENS, SYNTHETIC_VOCABULARY, 4);
    covey_runtime *runtime = open_runtime(2, NULL);
    covey_model *model = make_model(runtime, &s);
    for (size_t n = 1; n <= TOKENS; n++) {
        embed(model, COVEY_POOLING_LAST, true, tokens, n, last);
        for (size_t i = 0; i < WIDTH; i++) sums[i] += (double)last[i];
        if (n > 1) continue;
        embed(model, COVEY_POOLING_CLS, true, tokens, TOKENS, first);
        assert_memory_equal(first, last, sizeof last);
    }
    embed(model, COVEY_POOLING_MEAN, true, tokens, TOKENS, mean);
    embed(model, COVEY_POOLING_MODEL, false, tokens, TOKENS, unit); /* the file says nothing */
    for (size_t i = 0; i < WIDTH; i++) {
        assert_true(mean[i] == (float)(sums[i] / TOKENS));
        squares += (double)mean[i] * (double)mean[i];
    }
    for (size_t i = 0; i < WIDTH; i++)
        assert_true(unit[i] == (float)((double)mean[i] / sqrt(squares)));
    covey_model_close(model);
    covey_runtime_close(runtime);
}

/* Texts of all lengths in one call, more than one pass holds, against each by itself. */
static void check_many(synthetic s, covey_pooling pooling) {
    enum { TEXTS = 90 };
    static covey_token tokens[TEXTS][600];
    static float found[TEXTS][WIDTH];
    covey_embedding_input inputs[TEXTS];
    covey_embedding_options options = COVEY_EMBEDDING_OPTIONS_INIT;
    covey_error error = {.message = ""};
    s.context = 600;
    options.pooling = pooling;
    for (size_t i = 0; i < TEXTS; i++) {
        size_t count = i == 41 ? 600 : i == 42 ? 512 : 1 + i * 7 % 33;
        random_tokens(tokens[i], count, SYNTHETIC_VOCABULARY, i + 1);
        inputs[i] = (covey_embedding_input){tokens[i], count};
    }
    covey_runtime *runtime = open_runtime(2, NULL);
    covey_model *model = make_model(runtime, &s);
    must(covey_model_embed(model, &options, inputs, TEXTS, found[0], &error), &error);
    for (size_t i = 0; i < TEXTS; i++) {
        float alone[WIDTH];
        embed(model, pooling, false, tokens[i], inputs[i].token_count, alone);
        if (memcmp(alone, found[i], sizeof alone) != 0) fail_msg("text %zu differs", i);
    }
    must(covey_model_embed(model, &options, NULL, 0, NULL, &error), &error);
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static void test_many_texts(void **state) {
    (void)state;
    synthetic decoder = SYNTHETIC_ODD;
    decoder.architecture = "qwen3";
    check_many(encoder(), COVEY_POOLING_MEAN);
    check_many(encoder(), COVEY_POOLING_CLS);
    check_many(decoder, COVEY_POOLING_LAST);
    check_many(decoder, COVEY_POOLING_MEAN);
    check_many(decoder, COVEY_POOLING_CLS);
}

/* A text longer than one pass: the parts of a decoder's text add up to the same. */
static void test_long_text(void **state) {
    (void)state;
    static covey_token tokens[700];
    float one[WIDTH], three[WIDTH];
    synthetic s = SYNTHETIC_ODD;
    s.context = 1024;
    random_tokens(tokens, 700, SYNTHETIC_VOCABULARY, 5);
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        covey_runtime *runtime = open_runtime(threads, NULL);
        covey_model *model = make_model(runtime, &s);
        embed(model, COVEY_POOLING_MEAN, false, tokens, 700, threads == 1 ? one : three);
        if (threads == 1) { /* the last token's, with and without a session's pages before it */
            float last[WIDTH];
            embed(model, COVEY_POOLING_LAST, false, tokens, 513, last);
            for (size_t i = 0; i < WIDTH; i++) assert_true(isfinite(last[i]));
        }
        covey_model_close(model);
        covey_runtime_close(runtime);
    }
    assert_memory_equal(one, three, sizeof one);
}

static void test_info_and_pooling_key(void **state) {
    (void)state;
    covey_token tokens[TOKENS];
    float by_key[WIDTH], by_option[WIDTH];
    covey_error error = {.message = ""};
    synthetic s = encoder();
    s.key = "bert.pooling_type";
    s.key_value = 2;
    random_tokens(tokens, TOKENS, SYNTHETIC_VOCABULARY, 8);
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = make_model(runtime, &s);
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(model, &info);
    assert_false(info.generates);
    assert_int_equal(info.pooling, COVEY_POOLING_CLS);
    embed(model, COVEY_POOLING_MODEL, true, tokens, TOKENS, by_key);
    embed(model, COVEY_POOLING_CLS, true, tokens, TOKENS, by_option);
    assert_memory_equal(by_key, by_option, sizeof by_key);
    covey_session *session = NULL;
    assert_int_equal(covey_session_open(model, NULL, &session, &error), COVEY_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "encoder"));
    uint64_t bytes;
    assert_int_equal(covey_session_plan(model, NULL, &bytes, &error), COVEY_ERROR_UNSUPPORTED);
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static void test_tokenize(void **state) {
    (void)state;
    covey_token tokens[8];
    size_t count = 0, inside = 0;
    covey_error error = {.message = ""};
    synthetic s = SYNTHETIC_ODD;
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = make_model(runtime, &s);
    must(covey_embedding_tokenize(model, "AB", 2, tokens, 8, &count, &error), &error);
    assert_int_equal(tokens[0], 1); /* the vocabulary wants BOS, and no EOS */
    assert_int_equal(tokens[count - 1], 'B' + 3);
    must(covey_model_tokenize(model, "AB", 2, false, tokens, 8, &inside, &error), &error);
    assert_int_equal(count, inside + 1);
    assert_int_equal(covey_embedding_tokenize(model, "AB", 2, tokens, inside, &count, &error),
                     COVEY_ERROR_LIMIT);
    assert_int_equal(count, inside + 1);
    must(covey_embedding_tokenize(model, "", 0, tokens, 8, &count, &error), &error);
    assert_int_equal(covey_embedding_tokenize(model, "AB", 2, NULL, 0, &count, &error),
                     COVEY_ERROR_LIMIT);
    assert_int_equal(count, inside + 1);
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static void test_refuses(void **state) {
    (void)state;
    static covey_token tokens[600];
    float vector[WIDTH];
    covey_error error = {.message = ""};
    synthetic s = encoder();
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = make_model(runtime, &s);
    covey_embedding_options options = COVEY_EMBEDDING_OPTIONS_INIT;
    covey_embedding_input inputs[] = {{tokens, 2}, {tokens, 513}};
    assert_int_equal(covey_model_embed(model, NULL, inputs, 2, vector, &error),
                     COVEY_ERROR_CONTEXT_SIZE);
    assert_non_null(strstr(error.message, "text 1"));
    inputs[0].token_count = 0;
    assert_int_equal(covey_model_embed(model, NULL, inputs, 1, vector, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    inputs[0].token_count = 2;
    options.pooling = (covey_pooling)4;
    assert_int_equal(covey_model_embed(model, &options, inputs, 1, vector, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    tokens[1] = SYNTHETIC_VOCABULARY;
    assert_int_equal(covey_model_embed(model, NULL, inputs, 1, vector, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_model_embed(NULL, NULL, inputs, 1, vector, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_model_close(model);
    s.spoiled = "blk.2.ffn_down.weight";
    model = make_model(runtime, &s);
    tokens[1] = 0;
    assert_int_equal(covey_model_embed(model, NULL, inputs, 1, vector, &error),
                     COVEY_ERROR_NUMERIC);
    assert_non_null(strstr(error.message, "blk.2.ffn_down.weight"));
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static covey_status embed_once(const covey__env *env, void *user, covey_error *error) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.allocator = &env->allocator;
    options.threads = 1;
    covey_runtime *runtime = NULL;
    covey_model *model = NULL;
    float vector[WIDTH];
    const covey_token tokens[] = {1, 70, 71};
    covey_embedding_input input = {tokens, 3};
    covey_status status = covey__runtime_new(&options, &runtime, error);
    if (status == COVEY_OK) status = try_model(runtime, user, &model, error);
    if (status == COVEY_OK) status = covey_model_embed(model, NULL, &input, 1, vector, error);
    covey_model_close(model);
    covey_runtime_close(runtime);
    return status;
}

static void test_no_memory(void **state) {
    (void)state;
    synthetic s = encoder();
    s.layers = 1;
    char path[160];
    snprintf(path, sizeof path, "%s", in_folder("memory.gguf"));
    write_synthetic(&s, path);
    assert_true(test_fail_each_allocation(embed_once, path) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encoder_bits), cmocka_unit_test(test_encoder_sees_all),
        cmocka_unit_test(test_pooling),      cmocka_unit_test(test_many_texts),
        cmocka_unit_test(test_long_text),    cmocka_unit_test(test_info_and_pooling_key),
        cmocka_unit_test(test_tokenize),     cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
