/* Adapters: against a model whose weights were merged by hand, bits whatever threads, batches and
 * instruction sets, sessions side by side, and what is refused. */
#include "synthetic.h"

#include <math.h>

#define PROMPT 40
#define RANK   5

static const char *const targets[] = {"blk.0.attn_q.weight", "blk.1.attn_v.weight",
                                      "blk.1.ffn_down.weight", "blk.2.ffn_up.weight",
                                      "blk.2.attn_output.weight"};
#define TARGETS (sizeof targets / sizeof *targets)

/* What a test wants of an adapter's file. */
typedef struct made {
    const char *architecture, *kind;
    uint64_t seed;
    float gain; /* of b */
    covey__type type;
    const char *without; /* a tensor left out */
    const char *rename;  /* what the first target is called instead */
    int wider;           /* columns more in the first a */
    bool spoiled;
} made;
#define MADE_PLAIN                                                                                 \
    { .architecture = "llama", .kind = "lora", .seed = 3, .gain = 0.5f, .type = COVEY__TYPE_F32 }

static void shape_of(const covey__gguf *base, const char *target, uint64_t *columns,
                     uint64_t *rows) {
    const covey__gguf_tensor *t = covey__gguf_tensor_find(base, target);
    assert_non_null(t);
    *columns = t->dimensions[0];
    *rows = t->dimensions[1];
}

static void tensor_name(const made *m, size_t target, char which, char out[80]) {
    const char *name = target == 0 && m->rename ? m->rename : targets[target];
    snprintf(out, 80, "%s.lora_%c", name, which);
}

/* a as [RANK][columns], b as [rows][RANK]; the same numbers whatever the type. */
static void numbers(const made *m, size_t target, char which, float *out, size_t count) {
    uint64_t random = (m->seed * 31 + target) * 7 + (uint64_t)which;
    for (int i = 0; i < 8; i++) next_random(&random);
    for (size_t i = 0; i < count; i++)
        out[i] = next_value(&random) * (which == 'a' ? 0.1f : m->gain);
    if (m->spoiled && target == 1 && which == 'b') out[3] = NAN;
}

static void write_part(covey__gguf_writer *writer, const made *m, size_t target, char which,
                       uint64_t columns, uint64_t rows) {
    covey_error error = {.message = ""};
    float *values = malloc((size_t)(columns * rows) * sizeof *values);
    char *row = malloc((size_t)columns * 4);
    assert_true(values && row);
    numbers(m, target, which, values, (size_t)(columns * rows));
    for (uint64_t r = 0; r < rows; r++) {
        covey__row_encode((uint32_t)m->type, values + r * columns, (int32_t)columns, row);
        must(covey__gguf_write_data(
                 writer, row, covey__kernel_row_bytes((uint32_t)m->type, (int32_t)columns), &error),
             &error);
    }
    free(row);
    free(values);
}

static void write_adapter(const char *base_path, const made *m, const char *path) {
    covey_error error = {.message = ""};
    covey__gguf *base = NULL;
    covey__gguf_writer *writer = NULL;
    must(covey__gguf_open_path(&plain_env, base_path, &base, &error), &error);
    must(covey__gguf_writer_new(&plain_env, path, &writer, &error), &error);
    covey__gguf_put_string(writer, "general.type", "adapter", 7);
    covey__gguf_put_string(writer, "general.architecture", m->architecture,
                           strlen(m->architecture));
    covey__gguf_put_string(writer, "adapter.type", m->kind, strlen(m->kind));
    covey__gguf_put_f32(writer, "adapter.lora.alpha", 10.0f);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < TARGETS; i++)
            for (char which = 'a'; which <= 'b'; which++) {
                uint64_t columns, rows;
                char name[80];
                shape_of(base, targets[i], &columns, &rows);
                tensor_name(m, i, which, name);
                if (m->without && strcmp(m->without, name) == 0) continue;
                if (i == 0) columns += (uint64_t)m->wider;
                uint64_t dimensions[2] = {which == 'a' ? columns : RANK,
                                          which == 'a' ? RANK : rows};
                if (pass == 0)
                    must(covey__gguf_add_tensor(writer, name, m->type, 2, dimensions, &error),
                         &error);
                else
                    write_part(writer, m, i, which, dimensions[0], dimensions[1]);
            }
        if (pass == 0) must(covey__gguf_write_header(writer, &error), &error);
    }
    must(covey__gguf_finish(writer, &error), &error);
    covey__gguf_writer_free(writer);
    covey__gguf_close(base);
}

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
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
