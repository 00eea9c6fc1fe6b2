/* Adapters: against a model whose weights were merged by hand, bits whatever threads, batches and
 * instruction sets, sessions side by side, and what is refused. */
#include "synthetic_lora.h"

#define PROMPT 40

/* row[c] += scale * alpha / rank * sum of b[r][k] a[k][c], in doubles. */
static void merge_row(const made *m, size_t target, float scale, uint64_t r, uint64_t columns,
                      uint64_t rows, float *row) {
    float *a = malloc(RANK * (size_t)columns * sizeof *a);
    float *b = malloc(RANK * (size_t)rows * sizeof *b);
    assert_true(a && b);
    numbers(m, target, 'a', a, RANK * (size_t)columns);
    numbers(m, target, 'b', b, RANK * (size_t)rows);
    for (uint64_t c = 0; c < columns; c++) {
        double sum = 0.0;
        for (uint64_t k = 0; k < RANK; k++)
            sum += (double)b[r * RANK + k] * (double)a[k * columns + c];
        row[c] = (float)((double)row[c] + (double)scale * 10.0 / RANK * sum);
    }
    free(a);
    free(b);
}

static void write_merged(const char *base_path, const made *m, float scale, const char *path) {
    covey_error error = {.message = ""};
    covey__gguf *base = NULL;
    covey__gguf_writer *writer = NULL;
    must(covey__gguf_open_path(&plain_env, base_path, &base, &error), &error);
    must(covey__gguf_writer_new(&plain_env, path, &writer, &error), &error);
    for (size_t i = 0; i < covey__gguf_value_count(base); i++) {
        covey__gguf_value value = covey__gguf_value_at(base, i);
        covey__gguf_put_value(writer, &value);
    }
    for (size_t i = 0; i < covey__gguf_tensor_count(base); i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_at(base, i);
        char name[80];
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        must(covey__gguf_add_tensor(writer, name, t->type, t->dimension_count, t->dimensions,
                                    &error),
             &error);
    }
    must(covey__gguf_write_header(writer, &error), &error);
    for (size_t i = 0; i < covey__gguf_tensor_count(base); i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_at(base, i);
        uint64_t columns = t->dimensions[0], rows = t->dimensions[1];
        for (uint64_t r = 0; r < rows; r++) {
            float row[1024];
            memcpy(row, t->data + r * columns * 4, (size_t)columns * 4);
            for (size_t k = 0; k < TARGETS; k++)
                if (t->name.size == strlen(targets[k]) &&
                    memcmp(t->name.data, targets[k], t->name.size) == 0)
                    merge_row(m, k, scale, r, columns, rows, row);
            must(covey__gguf_write_data(writer, row, (size_t)columns * 4, &error), &error);
        }
    }
    must(covey__gguf_finish(writer, &error), &error);
    covey__gguf_writer_free(writer);
    covey__gguf_close(base);
}

/* ---- Running ---- */

static char base_path[300], one_path[300], two_path[300];

static void write_files(void) {
    synthetic shape = SYNTHETIC_ODD;
    made one = MADE_PLAIN, two = MADE_PLAIN;
    two.seed = 9;
    two.type = COVEY__TYPE_F16;
    snprintf(base_path, sizeof base_path, "%s", in_folder("base.gguf"));
    snprintf(one_path, sizeof one_path, "%s", in_folder("one.gguf"));
    snprintf(two_path, sizeof two_path, "%s", in_folder("two.gguf"));
    write_synthetic(&shape, base_path);
    write_adapter(base_path, &one, one_path);
    write_adapter(base_path, &two, two_path);
}

typedef struct bench {
    covey_runtime *runtime;
    covey_model *model;
    covey_adapter *one, *two;
} bench;

static void bench_open(bench *b, int32_t threads, const char *isa) {
    covey_error error = {.message = ""};
    b->runtime = open_runtime(threads, isa);
    b->model = open_model(b->runtime, base_path);
    must(covey_adapter_open(b->model, one_path, &b->one, &error), &error);
    must(covey_adapter_open(b->model, two_path, &b->two, &error), &error);
}

static void bench_close(bench *b) {
    covey_adapter_close(b->one);
    covey_adapter_close(b->two);
    covey_model_close(b->model);
    covey_runtime_close(b->runtime);
}

/* With the first `count` of both adapters. */
static covey_session *session_with(const bench *b, size_t count, float scale, int32_t batch,
                                   bool alone) {
    covey_error error = {.message = ""};
    covey_adapter_use uses[2] = {{b->one, scale}, {b->two, -0.25f}};
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = 64;
    options.batch_tokens = batch;
    options.kv_type = COVEY_KV_F32;
    options.alone = alone;
    options.adapters = uses;
    options.adapter_count = count;
    covey_session *session = NULL;
    must(covey_session_open(b->model, &options, &session, &error), &error);
    return session;
}

static const float *prompted(covey_session *session) {
    covey_token tokens[PROMPT];
    random_tokens(tokens, PROMPT, SYNTHETIC_VOCABULARY, 5);
    append(session, tokens, PROMPT);
    return covey_session_logits(session, NULL);
}

static double difference(const float *a, const float *b) {
    double error = 0.0, size = 0.0;
    for (int i = 0; i < SYNTHETIC_VOCABULARY; i++) {
        error += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        size += (double)b[i] * (double)b[i];
    }
    return error / size;
}

static void as_merged_into_the_weights(void **state) {
    (void)state;
    made one = MADE_PLAIN;
    bench b;
    bench_open(&b, 2, NULL);
    for (int i = 0; i < 2; i++) {
        float scale = i ? 0.5f : 1.0f;
        write_merged(base_path, &one, scale, in_folder("merged.gguf"));
        covey_model *merged = open_model(b.runtime, in_folder("merged.gguf"));
        covey_session *expected = open_session(merged, 64, 0);
        covey_session *found = session_with(&b, 1, scale, 0, true);
        covey_session *plain = session_with(&b, 0, 1.0f, 0, true);
        const float *want = prompted(expected), *have = prompted(found), *base = prompted(plain);
        assert_true(difference(have, want) < 1e-5);
        assert_true(difference(base, want) > 1e-2); /* it does something */
        covey_session_close(expected);
        covey_session_close(found);
        covey_session_close(plain);
        covey_model_close(merged);
    }
    bench_close(&b);
}

static void nothing_moves_a_bit(void **state) {
    (void)state;
    static const char *const sets[] = {"scalar", NULL};
    float expected[SYNTHETIC_VOCABULARY];
    for (int32_t threads = 1; threads <= 3; threads++)
        for (int set = 0; set < 2; set++) {
            bench b;
            bench_open(&b, threads, sets[set]);
            b.model->parallel_bytes_min = 0; /* threads share also this little */
            for (int32_t batch = 1; batch <= 64; batch = batch * 6 + 1) {
                covey_session *session = session_with(&b, 2, 1.0f, batch, true);
                const float *logits = prompted(session);
                if (threads == 1 && set == 0 && batch == 1)
                    memcpy(expected, logits, sizeof expected);
                assert_memory_equal(logits, expected, sizeof expected);
                covey_session_close(session);
            }
            bench_close(&b);
        }
}

/* Sessions with other adapters, or none, in the same passes and on the same prompt. */
static void sessions_side_by_side(void **state) {
    (void)state;
    bench b;
    bench_open(&b, 2, NULL);
    float expected[3][SYNTHETIC_VOCABULARY];
    for (size_t i = 0; i < 3; i++) {
        covey_session *solo = session_with(&b, i, 1.0f, 0, true);
        memcpy(expected[i], prompted(solo), sizeof expected[i]);
        covey_session_close(solo);
    }
    for (int round = 0; round < 2; round++) { /* the second finds prefixes */
        covey_error error = {.message = ""};
        covey_token tokens[PROMPT];
        covey_session_part parts[3];
        random_tokens(tokens, PROMPT, SYNTHETIC_VOCABULARY, 5);
        for (size_t i = 0; i < 3; i++)
            parts[i] =
                (covey_session_part){session_with(&b, i, 1.0f, 0, false), tokens, PROMPT, COVEY_OK};
        must(covey_session_append_many(parts, 3, &error), &error);
        for (size_t i = 0; i < 3; i++) {
            const float *logits = covey_session_logits(parts[i].session, NULL);
            assert_memory_equal(logits, expected[i], sizeof expected[i]);
            if (round == 1) assert_true(covey_session_reused_count(parts[i].session) > 0);
            covey_session_close(parts[i].session);
        }
    }
    covey_session *session = session_with(&b, 2, 1.0f, 0, true), *fork = NULL;
    covey_error error = {.message = ""};
    must(covey_session_fork(session, &fork, &error), &error);
    covey_session_close(session);
    covey_adapter_close(b.one); /* the fork holds its adapters */
    covey_adapter_close(b.two);
    b.one = b.two = NULL;
    assert_memory_equal(prompted(fork), expected[2], sizeof expected[2]);
    covey_session_close(fork);
    bench_close(&b);
}

/* ---- Refusals ---- */

static void refuse(const made *m, covey_status expected, const char *part) {
    covey_error error = {.message = ""};
    covey_adapter *adapter = NULL;
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = open_model(runtime, base_path);
    write_adapter(base_path, m, in_folder("refused.gguf"));
    covey_status status = covey_adapter_open(model, in_folder("refused.gguf"), &adapter, &error);
    if (status != expected || !strstr(error.message, part))
        fail_msg("expected %s with \"%s\", found %s: %s", covey_status_name(expected), part,
                 covey_status_name(status), error.message);
    assert_null(adapter);
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    made m = MADE_PLAIN;
    m.architecture = "qwen2";
    refuse(&m, COVEY_ERROR_MISMATCH, "general.architecture");
    m = (made)MADE_PLAIN;
    m.kind = "control";
    refuse(&m, COVEY_ERROR_MISMATCH, "adapter.type");
    m = (made)MADE_PLAIN;
    m.wider = 1;
    refuse(&m, COVEY_ERROR_MISMATCH, "blk.0.attn_q.weight");
    m = (made)MADE_PLAIN;
    m.rename = "blk.7.attn_q.weight";
    refuse(&m, COVEY_ERROR_MISMATCH, "blk.7.attn_q.weight");
    m = (made)MADE_PLAIN;
    m.without = "blk.0.attn_q.weight.lora_b";
    refuse(&m, COVEY_ERROR_FORMAT, "blk.0.attn_q.weight.lora_b");
    m.without = "blk.0.attn_q.weight.lora_a";
    refuse(&m, COVEY_ERROR_FORMAT, "blk.0.attn_q.weight.lora_a");
    m = (made)MADE_PLAIN;
    m.spoiled = true;
    refuse(&m, COVEY_ERROR_NUMERIC, "blk.1.attn_v.weight");
}

static void bound_to_its_base(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    bench b;
    bench_open(&b, 1, NULL);
    covey_adapter *bound = NULL;
    covey_adapter_info info = COVEY_ADAPTER_INFO_INIT;
    must(covey_adapter_bind(b.model, one_path, in_folder("bound.gguf"), &error), &error);
    must(covey_adapter_open(b.model, in_folder("bound.gguf"), &bound, &error), &error);
    covey_adapter_describe(bound, &info);
    assert_true(info.bound);
    assert_int_equal(info.matrix_count, TARGETS);
    assert_int_equal(info.rank_max, RANK);
    covey_adapter_close(bound);
    synthetic other = SYNTHETIC_ODD;
    other.seed = 77; /* the same shapes, other weights */
    write_synthetic(&other, in_folder("other.gguf"));
    covey_model *model = open_model(b.runtime, in_folder("other.gguf"));
    assert_int_equal(covey_adapter_open(model, in_folder("bound.gguf"), &bound, &error),
                     COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "another base"));
    must(covey_adapter_open(model, one_path, &bound, &error), &error); /* unbound: it fits */
    covey_adapter_use use = {bound, 1.0f};
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    covey_session *session = NULL;
    options.adapters = &use;
    options.adapter_count = 1;
    assert_int_equal(covey_session_open(b.model, &options, &session, &error),
                     COVEY_ERROR_INVALID_ARGUMENT); /* opened for the other model */
    use = (covey_adapter_use){b.one, INFINITY};
    assert_int_equal(covey_session_open(b.model, &options, &session, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    options.adapter_count = 9;
    assert_int_equal(covey_session_open(b.model, &options, &session, &error), COVEY_ERROR_LIMIT);
    covey_adapter_close(bound);
    covey_model_close(model);
    bench_close(&b);
}

/* A session that goes from adapters to adapters computes what a new one would, and leaves behind
 * what it computed under each. */
static void a_session_changes_its_adapters(void **state) {
    (void)state;
    bench b;
    bench_open(&b, 2, NULL);
    covey_error error = {.message = ""};
    covey_adapter_use uses[2] = {{b.one, 1.0f}, {b.two, -0.25f}};
    float expected[3][SYNTHETIC_VOCABULARY];
    for (size_t i = 0; i < 3; i++) {
        covey_session *solo = session_with(&b, i, 1.0f, 0, true);
        memcpy(expected[i], prompted(solo), sizeof expected[i]);
        covey_session_close(solo);
    }
    covey_session *session = session_with(&b, 0, 1.0f, 0, false);
    covey_session *other = session_with(&b, 2, 1.0f, 0, false);
    assert_memory_equal(prompted(other), expected[2], sizeof expected[2]);
    static const size_t turns[] = {0, 2, 1, 0, 1, 2, 2};
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        size_t held = covey_session_token_count(session);
        must(covey_session_set_adapters(session, uses, turns[i], &error), &error);
        bool same = i > 0 && turns[i] == turns[i - 1];
        assert_int_equal(covey_session_token_count(session), same ? held : 0);
        if (same) must(covey_session_truncate(session, 0, &error), &error);
        assert_memory_equal(prompted(session), expected[turns[i]], sizeof expected[0]);
        if (i >= 3 && !same) assert_true(covey_session_reused_count(session) > 0);
    }
    assert_int_equal(covey_session_token_count(other), PROMPT); /* nobody touched it */
    assert_memory_equal(covey_session_logits(other, NULL), expected[2], sizeof expected[2]);
    /* What is wrong changes nothing. */
    uses[0].scale = NAN;
    assert_int_equal(covey_session_set_adapters(session, uses, 1, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_session_set_adapters(session, uses, 9, &error), COVEY_ERROR_LIMIT);
    assert_memory_equal(covey_session_logits(session, NULL), expected[2], sizeof expected[2]);
    covey_session_close(session);
    covey_session_close(other);
    covey_kv_info kv = COVEY_KV_INFO_INIT;
    covey_model_describe_kv(b.model, &kv);
    assert_int_equal(kv.session_count, 0);
    assert_int_equal(kv.used_bytes, 0);
    bench_close(&b);
}

/* Bound with a file of its own, used under the digest of an ensemble, and the other way. */
static void either_digest_of_the_base_will_do(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    bench b;
    bench_open(&b, 1, NULL);
    uint8_t digest[32];
    must(covey__model_file_digest(b.model, digest, &error), &error);
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = base_path;
    source.identity = digest;
    covey_model *model = NULL;
    must(covey_model_open(b.runtime, &source, &model, &error), &error);
    must(covey_adapter_bind(b.model, one_path, in_folder("sampled.gguf"), &error), &error);
    must(covey_adapter_bind(model, one_path, in_folder("whole.gguf"), &error), &error);
    covey_model *models[] = {b.model, model};
    static const char *const files[] = {"sampled.gguf", "whole.gguf"};
    for (int i = 0; i < 4; i++) {
        covey_adapter *adapter = NULL;
        covey_adapter_info info = COVEY_ADAPTER_INFO_INIT;
        must(covey_adapter_open(models[i / 2], in_folder(files[i % 2]), &adapter, &error), &error);
        covey_adapter_describe(adapter, &info);
        assert_true(info.bound);
        assert_string_equal(info.file, files[i % 2]);
        covey_adapter_close(adapter);
    }
    covey_model_close(model);
    bench_close(&b);
}

static void binding_onto_itself(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    bench b;
    bench_open(&b, 1, NULL);
    made plain = MADE_PLAIN;
    write_adapter(base_path, &plain, in_folder("self.gguf"));
    covey_adapter *before = NULL, *after = NULL;
    covey_adapter_info info = COVEY_ADAPTER_INFO_INIT;
    must(covey_adapter_open(b.model, in_folder("self.gguf"), &before, &error), &error);
    must(covey_adapter_bind(b.model, in_folder("self.gguf"), in_folder("self.gguf"), &error),
         &error);
    must(covey_adapter_open(b.model, in_folder("self.gguf"), &after, &error), &error);
    covey_adapter_describe(before, &info);
    assert_false(info.bound);
    covey_adapter_describe(after, &info);
    assert_true(info.bound);
    covey_adapter *pair[] = {before, after};
    float logits[2][SYNTHETIC_VOCABULARY];
    for (int i = 0; i < 2; i++) { /* the open one still reads what it was */
        covey_adapter_use use = {pair[i], 1.0f};
        covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
        covey_session *session = NULL;
        options.context_tokens = 64;
        options.adapters = &use;
        options.adapter_count = 1;
        must(covey_session_open(b.model, &options, &session, &error), &error);
        memcpy(logits[i], prompted(session), sizeof logits[i]);
        covey_session_close(session);
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    covey_adapter_close(before);
    covey_adapter_close(after);
    bench_close(&b);
}

static void note_warning(void *user, covey_log_level level, const char *component,
                         const char *message) {
    (void)component;
    if (level == COVEY_LOG_WARN && strstr(message, "names no base")) ++*(int *)user;
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_runtime *runtime = NULL;
    covey_adapter *adapter = NULL;
    int warnings = 0;
    options.threads = 1;
    options.log = note_warning;
    options.log_user = &warnings;
    must(covey__runtime_new(&options, &runtime, &error), &error);
    covey_model *model = open_model(runtime, base_path), *none = NULL;
    must(covey_adapter_open(model, one_path, &adapter, &error), &error);
    assert_int_equal(warnings, 1); /* it is unbound */
    covey_adapter_close(adapter);
    must(covey_adapter_bind(model, one_path, in_folder("quiet.gguf"), &error), &error);
    must(covey_adapter_open(model, in_folder("quiet.gguf"), &adapter, &error), &error);
    assert_int_equal(warnings, 1);
    covey_adapter_close(adapter);
    assert_int_equal(covey_adapter_open(model, base_path, &adapter, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "the file is a model, not an adapter"));
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = one_path;
    assert_int_equal(covey_model_open(runtime, &source, &none, &error), COVEY_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "the file is an adapter (a LoRA), not a model"));
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static int set_up(void **state) {
    int failed = make_folder(state);
    if (!failed) write_files();
    return failed;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_merged_into_the_weights),
        cmocka_unit_test(nothing_moves_a_bit),
        cmocka_unit_test(sessions_side_by_side),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(bound_to_its_base),
        cmocka_unit_test(a_session_changes_its_adapters),
        cmocka_unit_test(either_digest_of_the_base_will_do),
        cmocka_unit_test(binding_onto_itself),
        cmocka_unit_test(what_is_wrong_is_said),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
