/* covey_train as a caller sees it: a tiny model learns a small corpus by heart; stopped and resumed
 * it ends with the same bytes as uninterrupted; the engine computes what was trained; and what is
 * wrong in options, corpora and files is said. */
#include "support/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/runtime.h"
#include "train/train_step.h"
#include <covey/session.h>

#define TURNS 24

typedef struct bed {
    test_folder folder;
    covey_runtime *runtime;
    char corpus[300], model[300], checkpoint[300];
    const char *corpora[1];
    covey_model_shape shape;
    covey_train_options options;
} bed;

static covey_runtime *open_runtime(int32_t threads) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_runtime *runtime;
    options.threads = threads;
    assert_int_equal(covey__runtime_new(&options, &runtime, NULL), COVEY_OK);
    return runtime;
}

static void write_corpus(const char *path) {
    static const char *const things[] = {"tea", "rice", "eggs", "the run", "a nap", "pasta"};
    char text[TURNS * 128];
    size_t at = 0;
    for (int i = 0; i < TURNS; i++)
        at += (size_t)snprintf(text + at, sizeof text - at,
                               "{\"user\":\"set a timer of %d minutes for %s\",\"note\":%d,"
                               "\"assistant\":\"timer(%d, %s)\"}\n",
                               i + 3, things[i % 6], i, i + 3, things[i % 6]);
    test_write(path, text, at);
}

static void bed_make(bed *b) {
    test_folder_make(&b->folder);
    b->runtime = open_runtime(2);
    snprintf(b->corpus, sizeof b->corpus, "%s/corpus.jsonl", b->folder.path);
    snprintf(b->model, sizeof b->model, "%s/model.gguf", b->folder.path);
    snprintf(b->checkpoint, sizeof b->checkpoint, "%s/checkpoint.gguf", b->folder.path);
    write_corpus(b->corpus);
    b->corpora[0] = b->corpus;
    b->shape = (covey_model_shape)COVEY_MODEL_SHAPE_INIT;
    b->shape.layers = 2;
    b->shape.width = 32;
    b->shape.heads = 4;
    b->shape.kv_heads = 2;
    b->shape.ff = 48;
    b->shape.context = 128;
    b->shape.vocabulary_size = 290;
    b->options = (covey_train_options)COVEY_TRAIN_OPTIONS_INIT;
    b->options.corpus_paths = b->corpora;
    b->options.corpus_count = 1;
    b->options.out_path = b->model;
    b->options.shape = &b->shape;
    b->options.epochs = 4;
    b->options.context_tokens = 96;
    b->options.batch_tokens = 200;
    b->options.rate = 1e-2;
    b->options.rate_min = 1e-3;
    b->options.warmup_steps = 5;
    b->options.weight_decay = 0.01f;
}

static void bed_remove(bed *b) {
    covey_runtime_close(b->runtime);
    test_folder_remove(&b->folder);
}

static covey_train_result train(bed *b) {
    covey_train_result result = COVEY_TRAIN_RESULT_INIT;
    covey_error error = {0};
    covey_status status = covey_train(b->runtime, &b->options, &result, &error);
    if (status != COVEY_OK) fail_msg("%s", error.message);
    return result;
}

static void assert_same_file(const char *a, const char *b) {
    size_t a_size, b_size;
    char *a_bytes = test_read(a, &a_size), *b_bytes = test_read(b, &b_size);
    assert_non_null(a_bytes);
    assert_non_null(b_bytes);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a_bytes, b_bytes, a_size);
    free(a_bytes);
    free(b_bytes);
}

static void learn_by_heart(bool bfloat16) {
    bed b;
    bed_make(&b);
    b.options.bfloat16 = bfloat16;
    b.options.epochs = 150;
    b.options.eval_path = b.corpus;
    b.options.single_share = 0.8f;
    covey_train_result result = train(&b);
    print_message("loss %.4f, exact %.2f after %lld steps\n", result.eval_loss, result.eval_exact,
                  (long long)result.steps);
    assert_int_equal(result.corpus_turns, TURNS);
    assert_true(result.eval_loss < 0.1);
    assert_true(result.eval_exact > 0.9);
    bed_remove(&b);
}

static void learns_a_small_corpus_by_heart(void **state) {
    (void)state;
    learn_by_heart(false);
}

static void learns_in_bfloat16(void **state) {
    (void)state;
    if (!covey__train_has_bf16()) {
        print_message("skipped: this CPU has no AVX512_BF16\n");
        skip();
    }
    learn_by_heart(true);
}

/* ---- Stopping and going on ---- */

typedef struct stop {
    int64_t at;
    int64_t steps_seen;
} stop;

static covey_status stop_at(void *user, const covey_train_progress *progress) {
    stop *s = user;
    if (progress->phase != COVEY_TRAIN_STEP) return COVEY_OK;
    s->steps_seen++;
    return progress->step == s->at ? COVEY_ERROR_CANCELLED : COVEY_OK;
}

static void resumed_training_ends_the_same(void **state) {
    (void)state;
    bed b;
    bed_make(&b);
    train(&b);
    char whole[300];
    snprintf(whole, sizeof whole, "%s/whole.gguf", b.folder.path);
    assert_int_equal(rename(b.model, whole), 0);
    stop s = {0, 0};
    b.options.checkpoint_path = b.checkpoint;
    b.options.resume = true;
    b.options.progress = stop_at;
    b.options.progress_user = &s;
    covey_error error = {0};
    for (s.at = 3; s.at <= 9; s.at += 3) { /* stopped three times, once past an epoch's end */
        assert_int_equal(covey_train(b.runtime, &b.options, NULL, &error), COVEY_ERROR_CANCELLED);
        assert_null(test_read(b.model, &(size_t){0}));
    }
    assert_int_equal(s.steps_seen, 9);
    s.at = -1;
    train(&b);
    assert_same_file(b.model, whole);
    bed_remove(&b);
}

static void same_options_give_the_same_bytes_for_any_threads(void **state) {
    (void)state;
    bed b;
    bed_make(&b);
    b.options.batch_tokens = 4000;
    b.options.epochs = 20;
    train(&b);
    char first[300];
    snprintf(first, sizeof first, "%s/first.gguf", b.folder.path);
    assert_int_equal(rename(b.model, first), 0);
    for (int32_t threads = 1; threads <= 3; threads++) {
        covey_runtime_close(b.runtime);
        b.runtime = open_runtime(threads);
        train(&b);
        assert_same_file(b.model, first);
    }
    b.options.seed = 2;
    train(&b);
    size_t size, other_size;
    char *bytes = test_read(first, &size), *other = test_read(b.model, &other_size);
    assert_int_equal(size, other_size);
    assert_true(memcmp(bytes, other, size) != 0);
    free(bytes);
    free(other);
    bed_remove(&b);
}

static void another_corpus_or_seed_cannot_resume(void **state) {
    (void)state;
    bed b;
    bed_make(&b);
    b.options.checkpoint_path = b.checkpoint;
    b.options.resume = true; /* there is none yet: begins anew */
    b.options.tokens_max = 300;
    train(&b);
    covey_error error = {0};
    b.options.seed = 9;
    assert_int_equal(covey_train(b.runtime, &b.options, NULL, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "seed 1"));
    b.options.seed = 1;
    test_write(b.corpus, "{\"user\":\"a\",\"assistant\":\"b\"}\n", 29);
    assert_int_equal(covey_train(b.runtime, &b.options, NULL, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "corpus"));
    bed_remove(&b);
}

static void goes_on_from_a_model(void **state) {
    (void)state;
    bed b;
    bed_make(&b);
    b.options.epochs = 60;
    b.options.eval_path = b.corpus;
    b.options.name = "first";
    covey_train_result first = train(&b);
    char from[300];
    snprintf(from, sizeof from, "%s/from.gguf", b.folder.path);
    assert_int_equal(rename(b.model, from), 0);
    b.options.from_path = from;
    b.options.name = NULL;
    b.options.out_type = COVEY_WEIGHT_F16;
    b.options.epochs = 1;
    b.options.rate = b.options.rate_min = 1e-5;
    covey_train_result second = train(&b);
    assert_true(fabs(second.eval_loss - first.eval_loss) < 0.05 * (1.0 + first.eval_loss));
    covey__gguf *gguf;
    covey__gguf_text name;
    assert_int_equal(covey__gguf_open_path(covey__runtime_env(b.runtime), b.model, &gguf, NULL),
                     COVEY_OK);
    assert_int_equal(covey__gguf_string(gguf, "general.name", &name, NULL), COVEY_OK);
    assert_int_equal(name.size, 5);
    assert_memory_equal(name.data, "first", 5);
    assert_int_equal(covey__gguf_tensor_find(gguf, "blk.1.ffn_down.weight")->type, COVEY__TYPE_F16);
    assert_int_equal(covey__gguf_tensor_find(gguf, "blk.1.ffn_norm.weight")->type, COVEY__TYPE_F32);
    covey__gguf_close(gguf);
    bed_remove(&b);
}

/* ---- The engine computes what was trained ---- */

typedef struct comparison {
    const float *expected;
    size_t rows, count;
    double worst;
} comparison;

static covey_status compare(void *user, size_t index, const float *logits, size_t count) {
    comparison *c = user;
    assert_true(index < c->rows && count == c->count);
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)logits[i] - (double)c->expected[index * count + i]);
        if (difference > c->worst) c->worst = difference;
    }
    return COVEY_OK;
}

static void read_net(const covey__env *env, const char *path, covey__net *net) {
    covey__gguf *gguf;
    covey__net_shape shape;
    size_t tokens;
    covey__gguf_kind kind;
    assert_int_equal(covey__gguf_open_path(env, path, &gguf, NULL), COVEY_OK);
    assert_int_equal(covey__gguf_array(gguf, "tokenizer.ggml.tokens", &kind, &tokens, NULL),
                     COVEY_OK);
    assert_int_equal(covey__train_file_shape(gguf, tokens, &shape, NULL), COVEY_OK);
    assert_int_equal(covey__net_init(env, &shape, net, NULL), COVEY_OK);
    assert_int_equal(covey__train_file_weights(gguf, net, NULL), COVEY_OK);
    covey__gguf_close(gguf);
}

static double worst_difference(covey_runtime *runtime, const char *path) {
    enum { N = 40 };
    const covey__env *env = covey__runtime_env(runtime);
    covey__net net;
    read_net(env, path, &net);
    int32_t tokens[N], targets[N];
    size_t starts[2] = {0, N}, vocabulary = (size_t)net.shape.vocabulary;
    for (size_t i = 0; i < N; i++) {
        tokens[i] = (int32_t)(covey__train_random(1, 9, i) % vocabulary);
        targets[i] = 0;
    }
    covey__net_batch batch = {tokens, targets, N, starts, 1};
    covey__net_worker *worker;
    float *logits = malloc(N * vocabulary * sizeof *logits);
    assert_int_equal(covey__net_worker_new(env, &net,
                                           covey__train_kernels_get(covey__cpu_best(), false), N, N,
                                           &worker, NULL),
                     COVEY_OK);
    covey__net_forward(worker, &batch, NULL, logits);
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    covey_model *model;
    covey_session *session;
    covey_error error = {0};
    source.path = path;
    if (covey_model_open(runtime, &source, &model, &error) != COVEY_OK)
        fail_msg("%s", error.message);
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.kv_type = COVEY_KV_F32; /* as in training */
    assert_int_equal(covey_session_open(model, &options, &session, NULL), COVEY_OK);
    comparison c = {logits, N, vocabulary, 0.0};
    assert_int_equal(covey_session_append_each(session, tokens, N, NULL, compare, &c), COVEY_OK);
    covey_session_close(session);
    covey_model_close(model);
    covey__net_worker_free(worker);
    covey__net_free(env, &net);
    free(logits);
    return c.worst;
}

static void engine_agrees_on_a_trained_model(void **state) {
    (void)state;
    bed b;
    bed_make(&b);
    b.options.epochs = 20;
    train(&b);
    assert_true(worst_difference(b.runtime, b.model) < 1e-3);
    b.shape.untied = true;
    train(&b);
    assert_true(worst_difference(b.runtime, b.model) < 1e-3);
    bed_remove(&b);
}

static void engine_agrees_on_a_model_from_elsewhere(void **state) {
    (void)state;
    TEST_SHARED_OR_SKIP(path, "data/models/stories260K.gguf");
    covey_runtime *runtime = open_runtime(1);
    assert_true(worst_difference(runtime, path) < 1e-3);
    covey_runtime_close(runtime);
}

/* ---- What is wrong is said ---- */

static void expect_failure(bed *b, covey_status expected, const char *part) {
    covey_error error = {0};
    assert_int_equal(covey_train(b->runtime, &b->options, NULL, &error), expected);
    if (!strstr(error.message, part)) fail_msg("\"%s\" not in \"%s\"", part, error.message);
}

static void bad_corpora_are_named_by_line(void **state) {
    (void)state;
    static const struct {
        const char *text;
        covey_status status;
        const char *part;
    } cases[] = {
        {"{\"user\":\"a\",\"assistant\":\"b\"}\n{\"user\":\"a\"}\n", COVEY_ERROR_FORMAT, "line 2"},
        {"\n\n{\"user\":1,\"assistant\":\"b\"}\n", COVEY_ERROR_FORMAT, "line 3"},
        {"hello\n", COVEY_ERROR_FORMAT, "line 1"},
        {"{\"user\":\"a\",\"assistant\":\"b\"", COVEY_ERROR_FORMAT, "line 1"},
    };
    bed b;
    bed_make(&b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_write(b.corpus, cases[i].text, strlen(cases[i].text));
        expect_failure(&b, cases[i].status, cases[i].part);
    }
    bed_remove(&b);
    bed_make(&b);
    b.options.context_tokens = 15;
    expect_failure(&b, COVEY_ERROR_CONTEXT_SIZE, "line 1");
    b.corpora[0] = "/nonexistent/corpus.jsonl";
    expect_failure(&b, COVEY_ERROR_NOT_FOUND, "corpus");
    bed_remove(&b);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    bed b;
    bed_make(&b);
    covey_train_options good = b.options;
    b.options.rate = 0.0;
    expect_failure(&b, COVEY_ERROR_INVALID_ARGUMENT, "rate");
    b.options = good;
    b.options.out_type = COVEY_WEIGHT_Q8_0;
    expect_failure(&b, COVEY_ERROR_INVALID_ARGUMENT, "quantize");
    b.options = good;
    b.options.context_tokens = 100000;
    expect_failure(&b, COVEY_ERROR_INVALID_ARGUMENT, "context");
    b.options = good;
    b.options.corpus_count = 0;
    expect_failure(&b, COVEY_ERROR_INVALID_ARGUMENT, "corpus");
    b.options = good;
    b.options.resume = true;
    expect_failure(&b, COVEY_ERROR_INVALID_ARGUMENT, "checkpoint");
    b.options = good;
    b.shape.heads = 5;
    expect_failure(&b, COVEY_ERROR_INVALID_ARGUMENT, "heads");
    bed_remove(&b);
}

static covey_status never_told(void *user, const covey_train_progress *progress) {
    (void)user;
    fail_msg("work began: phase %d", (int)progress->phase);
    return COVEY_OK;
}

/* Before any work: hours of training must not end at a folder that is not there. */
static void what_cannot_be_kept_is_not_trained(void **state) {
    (void)state;
    bed b;
    bed_make(&b);
    char nowhere[400];
    snprintf(nowhere, sizeof nowhere, "%s/nowhere/model.gguf", b.folder.path);
    b.options.progress = never_told;
    b.options.out_path = nowhere;
    expect_failure(&b, COVEY_ERROR_NOT_FOUND, "nowhere");
    b.options.out_path = b.model;
    b.options.checkpoint_path = nowhere;
    expect_failure(&b, COVEY_ERROR_NOT_FOUND, "nowhere");
    assert_int_not_equal(access(b.model, F_OK), 0);
    bed_remove(&b);
}

static void diverging_training_is_an_error(void **state) {
    (void)state;
    bed b;
    bed_make(&b);
    b.options.rate = 0.99;
    b.options.rate_min = 0.99;
    b.options.warmup_steps = 0;
    b.options.clip_norm = 0.0f;
    b.options.weight_decay = 99.0f; /* each step turns the weights round and 97 times larger */
    b.options.epochs = 1000;
    expect_failure(&b, COVEY_ERROR_NUMERIC, "rate");
    assert_null(test_read(b.model, &(size_t){0}));
    bed_remove(&b);
}

/* ---- Memory ---- */

static covey_status train_step(const covey__env *env, void *user, covey_error *error) {
    bed *b = user;
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_runtime *runtime = NULL;
    options.allocator = &env->allocator;
    covey_status status = covey__runtime_new(&options, &runtime, error);
    if (status == COVEY_OK) status = covey_train(runtime, &b->options, NULL, error);
    if (runtime) covey_runtime_close(runtime);
    return status;
}

static void survives_each_refused_allocation(void **state) {
    (void)state;
    bed b;
    bed_make(&b);
    const char line[] = "{\"user\":\"go to the hall\",\"assistant\":\"go(the hall)\"}\n";
    test_write(b.corpus, line, sizeof line - 1);
    b.shape.layers = 1;
    b.shape.width = 8;
    b.shape.heads = b.shape.kv_heads = 2;
    b.shape.ff = 8;
    b.shape.vocabulary_size = 261;
    b.options.epochs = 1;
    b.options.eval_path = b.corpus;
    b.options.checkpoint_path = b.checkpoint;
    assert_true(test_fail_each_allocation(train_step, &b) > 20);
    bed_remove(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_a_small_corpus_by_heart),
        cmocka_unit_test(learns_in_bfloat16),
        cmocka_unit_test(resumed_training_ends_the_same),
        cmocka_unit_test(same_options_give_the_same_bytes_for_any_threads),
        cmocka_unit_test(another_corpus_or_seed_cannot_resume),
        cmocka_unit_test(goes_on_from_a_model),
        cmocka_unit_test(engine_agrees_on_a_trained_model),
        cmocka_unit_test(engine_agrees_on_a_model_from_elsewhere),
        cmocka_unit_test(bad_corpora_are_named_by_line),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(what_cannot_be_kept_is_not_trained),
        cmocka_unit_test(diverging_training_is_an_error),
        cmocka_unit_test(survives_each_refused_allocation),
    };
    return cmocka_run_group_tests_name("train", tests, NULL, NULL);
}
