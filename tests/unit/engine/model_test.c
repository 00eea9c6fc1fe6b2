/* Opening models: what is read, where from, and that whatever is wrong is refused by name with
 * nothing left behind. */
#include "synthetic.h"

#include <fcntl.h>
#include <unistd.h>

static covey_runtime *runtime;

static int set_up(void **state) {
    runtime = open_runtime(1, NULL);
    return make_folder(state);
}

static int tear_down(void **state) {
    covey_runtime_close(runtime);
    return remove_folder(state);
}

static void expect_refused(const synthetic *s, covey_status expected, const char *named) {
    covey_error error = {.message = ""};
    covey_model *model = NULL;
    const char *path = in_folder("refused.gguf");
    write_synthetic(s, path);
    covey_status status = try_model(runtime, path, &model, &error);
    if (status == COVEY_OK) fail_msg("opened, though %s is wrong", named);
    assert_null(model);
    if (status != expected || !strstr(error.message, named))
        fail_msg("expected %s naming \"%s\", found %s: %s", covey_status_name(expected), named,
                 covey_status_name(status), error.message);
    assert_int_equal(error.status, status);
}

static void test_describes(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.type = COVEY__TYPE_Q8_0;
    const char *path = in_folder("info.gguf");
    write_synthetic(&s, path);
    covey_model *model = open_model(runtime, path);
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(model, &info);
    assert_string_equal(info.architecture, "llama");
    assert_string_equal(info.name, "synthetic");
    assert_string_equal(info.quantization, "Q8_0");
    assert_int_equal(info.vocabulary_size, SYNTHETIC_VOCABULARY);
    assert_int_equal(info.context_tokens_max, 512);
    assert_int_equal(info.layer_count, 3);
    assert_int_equal(info.embedding_width, 160);
    assert_int_equal(info.arithmetic_version, 1);
    assert_int_equal(info.bos, 1);
    assert_int_equal(info.eos, 2);
    assert_false(info.has_chat_template);
    uint64_t layer = 160 * (160 + 32 + 32) + 160 * 160 + 3 * 160 * 416 + 2 * 160;
    assert_int_equal(info.parameter_count, 3 * layer + 2 * 160 * SYNTHETIC_VOCABULARY + 160);
    assert_true(covey_model_token_is_end(model, 2));
    assert_false(covey_model_token_is_end(model, 65));
    covey_model_close(model);
    covey_model_close(NULL);
}

static void test_tokens_and_bytes(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    const char *path = in_folder("tokens.gguf");
    write_synthetic(&s, path);
    covey_model *model = open_model(runtime, path);
    covey_error error = {.message = ""};
    covey_token tokens[8];
    size_t count = 0;
    /* A SentencePiece vocabulary of bytes: the space in front is three bytes. */
    must(covey_model_tokenize(model, "AB", 2, false, tokens, 8, &count, &error), &error);
    assert_true(count >= 2);
    assert_int_equal(tokens[count - 2], 'A' + 3);
    assert_int_equal(tokens[count - 1], 'B' + 3);
    size_t all = count;
    assert_int_equal(covey_model_tokenize(model, "AB", 2, false, tokens, 1, &count, &error),
                     COVEY_ERROR_LIMIT);
    assert_int_equal(count, all);
    char byte = 0;
    assert_int_equal(covey_model_token_bytes(model, 'A' + 3, false, &byte, 1), 1);
    assert_int_equal(byte, 'A');
    assert_int_equal(covey_model_token_bytes(model, 2, false, &byte, 1), 0);
    assert_int_equal(covey_model_token_bytes(model, 2, true, NULL, 0), 4);
    assert_int_equal(covey_model_token_bytes(model, 9999, true, NULL, 0), 0);
    covey_message message = {"user", "hi"};
    assert_int_equal(covey_model_render_chat(model, &message, 1, true, tokens, 8, &count, &error),
                     COVEY_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "template"));
    covey_model_close(model);
}

static void test_chat(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.chat_template = "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}";
    const char *path = in_folder("chat.gguf");
    write_synthetic(&s, path);
    covey_model *model = open_model(runtime, path);
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(model, &info);
    assert_true(info.has_chat_template);
    covey_error error = {.message = ""};
    covey_token tokens[64];
    size_t count = 0;
    /* The end token comes out of the template; its name inside a message stays text. */
    covey_message messages[] = {{"user", "a"}, {"assistant", "</s>"}};
    must(covey_model_render_chat(model, messages, 2, false, tokens, 64, &count, &error), &error);
    size_t ends = 0, last = 0;
    for (size_t i = 0; i < count; i++)
        if (tokens[i] == 2) ends++, last = i;
    assert_int_equal(ends, 2);
    assert_int_equal(last, count - 1);
    covey_model_close(model);
}

static void test_template_that_cannot_run(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.chat_template = "{% frobnicate %}";
    const char *path = in_folder("chat.gguf");
    write_synthetic(&s, path);
    covey_model *model = open_model(runtime, path);
    covey_error error = {.message = ""};
    covey_token token;
    size_t count;
    covey_message message = {"user", "a"};
    assert_int_not_equal(
        covey_model_render_chat(model, &message, 1, true, &token, 1, &count, &error), COVEY_OK);
    assert_non_null(strstr(error.message, "frobnicate"));
    covey_model_close(model);
}

static void test_refuses_tensors(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.without = "blk.2.ffn_up.weight";
    expect_refused(&s, COVEY_ERROR_FORMAT, "blk.2.ffn_up.weight");
    s.without = "output_norm.weight";
    expect_refused(&s, COVEY_ERROR_FORMAT, "output_norm.weight");
    s.without = NULL;
    s.extra = "blk.0.attn_q.bias";
    expect_refused(&s, COVEY_ERROR_UNSUPPORTED, "blk.0.attn_q.bias");
    s.extra = "blk.3.attn_norm.weight";
    expect_refused(&s, COVEY_ERROR_UNSUPPORTED, "blk.3.attn_norm.weight");
    s.extra = "blk.00.attn_norm.weight";
    expect_refused(&s, COVEY_ERROR_UNSUPPORTED, "blk.00.attn_norm.weight");
    s.extra = NULL;
    s.misshapen = "blk.1.attn_k.weight";
    expect_refused(&s, COVEY_ERROR_FORMAT, "blk.1.attn_k.weight");
    s.misshapen = "blk.1.attn_norm.weight";
    expect_refused(&s, COVEY_ERROR_FORMAT, "blk.1.attn_norm.weight");
    s.misshapen = "token_embd.weight";
    expect_refused(&s, COVEY_ERROR_FORMAT, "token_embd.weight");
    s.misshapen = NULL;
    s.spoiled = "blk.1.ffn_norm.weight";
    expect_refused(&s, COVEY_ERROR_NUMERIC, "blk.1.ffn_norm.weight");
}

static void test_refuses_metadata(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "mamba";
    expect_refused(&s, COVEY_ERROR_UNSUPPORTED, "mamba");
    s.architecture = NULL;
    s.scaling_type = "yarn";
    expect_refused(&s, COVEY_ERROR_UNSUPPORTED, "yarn");
    s.scaling_type = NULL;
    s.key = "llama.vocab_size";
    s.key_value = 258;
    expect_refused(&s, COVEY_ERROR_FORMAT, "llama.vocab_size");
    s.key = "llama.expert_count";
    s.key_value = 8;
    expect_refused(&s, COVEY_ERROR_UNSUPPORTED, "llama.expert_count");
    s.key = NULL;
    s.heads = 3;
    s.kv_heads = 2;
    expect_refused(&s, COVEY_ERROR_FORMAT, "head_count_kv");
    s = (synthetic)SYNTHETIC_ODD;
    s.layers = 0;
    expect_refused(&s, COVEY_ERROR_FORMAT, "block_count");
    s = (synthetic)SYNTHETIC_ODD;
    s.head_dim = 33;
    expect_refused(&s, COVEY_ERROR_UNSUPPORTED, "key_length");
    s = (synthetic)SYNTHETIC_ODD;
    s.context = 0;
    expect_refused(&s, COVEY_ERROR_FORMAT, "context_length");
}

static void test_expert_count_of_zero_is_fine(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.key = "llama.expert_count";
    const char *path = in_folder("dense.gguf");
    write_synthetic(&s, path);
    covey_model_close(open_model(runtime, path));
}

static const float *logits_of(covey_model *model, covey_session **session) {
    const covey_token tokens[] = {1, 70, 71};
    *session = open_session(model, 16, 0);
    append(*session, tokens, 3);
    return covey_session_logits(*session, NULL);
}

/* The same file by path, by descriptor behind other bytes, and from memory. */
static void test_sources(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    synthetic s = SYNTHETIC_ODD;
    const char *path = in_folder("source.gguf");
    write_synthetic(&s, path);
    size_t size;
    char *bytes = test_read(path, &size);
    assert_non_null(bytes);
    covey_model *models[3];
    models[0] = open_model(runtime, path);

    const char *container_path = in_folder("container");
    FILE *container = fopen(container_path, "wb");
    assert_non_null(container);
    char filler[4100] = {0};
    assert_int_equal(fwrite(filler, 1, sizeof filler, container), sizeof filler);
    assert_int_equal(fwrite(bytes, 1, size, container), size);
    assert_int_equal(fwrite(filler, 1, 100, container), 100);
    fclose(container);
    int descriptor = open(container_path, O_RDONLY);
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.descriptor = descriptor;
    source.descriptor_offset = sizeof filler;
    source.descriptor_length = size;
    must(covey_model_open(runtime, &source, &models[1], &error), &error);
    close(descriptor);

    source = (covey_model_source)COVEY_MODEL_SOURCE_INIT;
    source.memory = bytes;
    source.memory_size = size;
    must(covey_model_open(runtime, &source, &models[2], &error), &error);

    covey_session *sessions[3];
    const float *expected = logits_of(models[0], &sessions[0]);
    for (int i = 1; i < 3; i++) {
        const float *found = logits_of(models[i], &sessions[i]);
        assert_memory_equal(expected, found, SYNTHETIC_VOCABULARY * sizeof *found);
    }
    for (int i = 0; i < 3; i++) {
        covey_model_close(models[i]); /* the session holds it */
        covey_session_close(sessions[i]);
    }
    free(bytes);
}

static void test_refuses_sources(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_model *model = NULL;
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    assert_int_equal(covey_model_open(runtime, &source, &model, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    source.path = "x";
    source.descriptor = 0;
    assert_int_equal(covey_model_open(runtime, &source, &model, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(try_model(runtime, in_folder("absent"), &model, &error),
                     COVEY_ERROR_NOT_FOUND);
    assert_int_equal(covey_model_open(runtime, NULL, &model, &error), COVEY_ERROR_INVALID_ARGUMENT);
    source = (covey_model_source)COVEY_MODEL_SOURCE_INIT;
    const uint32_t magic_alone = 0x46554747; /* "GGUF" */
    source.memory = &magic_alone;
    source.memory_size = sizeof magic_alone;
    assert_int_equal(covey_model_open(runtime, &source, &model, &error), COVEY_ERROR_FORMAT);
}

/* A model in memory that is one byte off a multiple of four cannot be used as it lies. */
static void test_misaligned_memory(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    synthetic s = SYNTHETIC_ODD;
    const char *path = in_folder("source.gguf");
    write_synthetic(&s, path);
    size_t size;
    char *bytes = test_read(path, &size);
    char *moved = malloc(size + 1);
    assert_non_null(moved);
    memcpy(moved + 1, bytes, size);
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.memory = moved + 1;
    source.memory_size = size;
    covey_model *model = NULL;
    assert_int_equal(covey_model_open(runtime, &source, &model, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "multiple of 4"));
    free(moved);
    free(bytes);
}

/* Every prefix of the file is refused; no byte beyond it is touched. */
static void test_truncated_files(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.layers = 1;
    const char *path = in_folder("source.gguf");
    write_synthetic(&s, path);
    size_t size;
    char *bytes = test_read(path, &size);
    for (size_t cut = 1; cut < size; cut += cut < 20000 ? 97 : size / 41) {
        char *part = malloc(cut); /* of just this size, for the address sanitizer */
        assert_non_null(part);
        memcpy(part, bytes, cut);
        covey_model_source source = COVEY_MODEL_SOURCE_INIT;
        source.memory = part;
        source.memory_size = cut;
        covey_model *model = NULL;
        assert_int_not_equal(covey_model_open(runtime, &source, &model, NULL), COVEY_OK);
        free(part);
    }
    free(bytes);
}

/* A file cut under an open model is an error at the next step, which says so, and no crash. */
static void test_file_that_shrinks(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    const char *path = in_folder("shrinks.gguf");
    write_synthetic(&s, path);
    covey_error error = {.message = ""};
    covey_token token = 1;
    covey_model *model = open_model(runtime, path);
    covey_session *session = open_session(model, 64, 0);
    append(session, &token, 1);
    assert_int_equal(truncate(path, 4096), 0);
    assert_int_equal(covey_session_append(session, &token, 1, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "shrank"));
    assert_int_equal(covey_session_token_count(session), 1);
    covey_session_close(session);
    covey_model_close(model);
}

static covey_status open_once(const covey__env *env, void *user, covey_error *error) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.allocator = &env->allocator;
    options.threads = 1;
    covey_runtime *own = NULL;
    covey_model *model = NULL;
    covey_session *session = NULL;
    covey_status status = covey__runtime_new(&options, &own, error);
    if (status == COVEY_OK) status = try_model(own, user, &model, error);
    if (status == COVEY_OK) status = covey_session_open(model, NULL, &session, error);
    covey_session_close(session);
    covey_model_close(model);
    covey_runtime_close(own);
    return status;
}

static void test_no_memory(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.layers = 1;
    s.chat_template = "{{ messages[0]['content'] }}";
    char path[160];
    snprintf(path, sizeof path, "%s", in_folder("memory.gguf"));
    write_synthetic(&s, path);
    assert_true(test_fail_each_allocation(open_once, path) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_describes),
        cmocka_unit_test(test_tokens_and_bytes),
        cmocka_unit_test(test_chat),
        cmocka_unit_test(test_template_that_cannot_run),
        cmocka_unit_test(test_refuses_tensors),
        cmocka_unit_test(test_refuses_metadata),
        cmocka_unit_test(test_expert_count_of_zero_is_fine),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_refuses_sources),
        cmocka_unit_test(test_misaligned_memory),
        cmocka_unit_test(test_truncated_files),
        cmocka_unit_test(test_file_that_shrinks),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
