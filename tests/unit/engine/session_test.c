/* Sessions: what they plan, hold, forget and refuse; that the token loop allocates nothing; that a
 * cancelled or failed append leaves what was there. */
#include "synthetic.h"

#include <covey/guide.h>

#include <math.h>
#include <pthread.h>

static covey_runtime *runtime;
static covey_model *model;

static int set_up(void **state) {
    make_folder(state);
    synthetic s = SYNTHETIC_ODD;
    s.type = COVEY__TYPE_Q8_0;
    write_synthetic(&s, in_folder("model.gguf"));
    runtime = open_runtime(2, NULL);
    model = open_model(runtime, in_folder("model.gguf"));
    model->parallel_bytes_min = 0;
    return 0;
}

static int tear_down(void **state) {
    covey_model_close(model);
    covey_runtime_close(runtime);
    return remove_folder(state);
}

static void test_empty(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = open_session(model, 0, 0);
    size_t count = 1;
    assert_null(covey_session_logits(session, &count));
    assert_int_equal(count, 0);
    assert_int_equal(covey_session_token_count(session), 0);
    must(covey_session_append(session, NULL, 0, &error), &error);
    assert_null(covey_session_logits(session, NULL));
    covey_token token;
    assert_int_equal(covey_session_sample(session, NULL, &token, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_session_close(session);
    covey_session_close(NULL);
}

static void test_truncate(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = open_session(model, 32, 0);
    covey_token tokens[8];
    random_tokens(tokens, 8, SYNTHETIC_VOCABULARY, 3);
    append(session, tokens, 8);
    size_t held = 0;
    assert_memory_equal(covey__session_tokens(session, &held), tokens, sizeof tokens);
    assert_int_equal(held, 8);
    must(covey_session_truncate(session, 8, &error), &error);
    assert_non_null(covey_session_logits(session, NULL));
    must(covey_session_truncate(session, 5, &error), &error);
    assert_int_equal(covey_session_token_count(session), 5);
    assert_null(covey_session_logits(session, NULL));
    assert_int_equal(covey_session_truncate(session, 6, &error), COVEY_ERROR_INVALID_ARGUMENT);
    covey_session_close(session);
}

/* A prompt that does not fit says both lengths, and nothing of it is appended. */
static void test_context_size(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = open_session(model, 40, 0);
    covey_token tokens[64];
    random_tokens(tokens, 64, SYNTHETIC_VOCABULARY, 4);
    assert_int_equal(covey_session_append(session, tokens, 41, &error), COVEY_ERROR_CONTEXT_SIZE);
    assert_int_equal(error.expected, 40);
    assert_int_equal(error.found, 41);
    assert_non_null(strstr(error.message, "40"));
    assert_non_null(strstr(error.message, "41"));
    assert_int_equal(covey_session_token_count(session), 0);
    append(session, tokens, 40);
    assert_int_equal(covey_session_append(session, tokens, 1, &error), COVEY_ERROR_CONTEXT_SIZE);
    assert_int_equal(error.found, 41);
    assert_int_equal(covey_session_token_count(session), 40);
    assert_non_null(covey_session_logits(session, NULL));
    covey_session_close(session);
}

static void test_refuses_tokens(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = open_session(model, 40, 0);
    covey_token tokens[3] = {5, SYNTHETIC_VOCABULARY, 6};
    assert_int_equal(covey_session_append(session, tokens, 3, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "token 1"));
    tokens[1] = -1;
    assert_int_equal(covey_session_append(session, tokens, 3, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_session_token_count(session), 0);
    covey_session_close(session);
}

static void test_refuses_options(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = NULL;
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = -1;
    assert_int_equal(covey_session_open(model, &options, &session, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    options.context_tokens = 0;
    options.batch_tokens = 1 << 20;
    assert_int_equal(covey_session_open(model, &options, &session, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_null(session);
}

static void test_refuses_many(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *a = open_session(model, 8, 0), *b = open_session(model, 4, 0);
    covey_token tokens[] = {5, 6, 7, 8};
    append(a, tokens, 3);
    append(b, tokens, 4);
    covey_session_part same[] = {{a, tokens, 1, COVEY_OK}, {a, tokens, 1, COVEY_OK}};
    covey_session_part full[] = {{a, tokens, 2, COVEY_OK}, {b, tokens, 1, COVEY_OK}};
    covey_session_part none[] = {{a, tokens, 0, COVEY_OK}};
    assert_int_equal(covey_session_append_many(same, 2, &error), COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_session_append_many(full, 2, &error), COVEY_ERROR_CONTEXT_SIZE);
    assert_int_equal(covey_session_token_count(a), 3);
    assert_int_equal(covey_session_append_many(full, 0, &error), COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_session_append_many(full, 65, &error), COVEY_ERROR_LIMIT);
    assert_int_equal(covey_session_append_many(none, 1, &error), COVEY_ERROR_INVALID_ARGUMENT);
    covey_session_close(a);
    covey_session_close(b);
}

static covey_status stop_at_five(void *user, size_t index, const float *logits, size_t count) {
    (void)user;
    (void)logits;
    (void)count;
    return index == 5 ? COVEY_ERROR_DENIED : COVEY_OK;
}

static void test_each_can_stop(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = open_session(model, 40, 0);
    covey_token tokens[20];
    random_tokens(tokens, 20, SYNTHETIC_VOCABULARY, 5);
    assert_int_equal(covey_session_append_each(session, tokens, 20, &error, stop_at_five, NULL),
                     COVEY_ERROR_DENIED);
    assert_int_equal(covey_session_token_count(session), 0);
    append(session, tokens, 20);
    covey_session_close(session);
}

/* ---- Memory ---- */

typedef struct counter {
    size_t bytes, most, calls;
} counter;

/* As realloc, with the size kept in front. */
static void *count_resize(void *user, void *pointer, size_t size) {
    counter *c = user;
    size_t *block = pointer ? (size_t *)pointer - 2 : NULL;
    size_t old = block ? *block : 0;
    c->calls++;
    if (size == 0) {
        c->bytes -= old;
        free(block);
        return NULL;
    }
    block = realloc(block, size + 2 * sizeof *block);
    if (!block) return NULL;
    *block = size;
    c->bytes += size - old;
    if (c->bytes > c->most) c->most = c->bytes;
    return block + 2;
}

static bool ignore_text(void *user, const char *text, size_t size) {
    (void)user;
    (void)text;
    (void)size;
    return true;
}

static void test_memory_is_planned(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    counter c = {0, 0, 0};
    covey_allocator allocator = {count_resize, &c};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.allocator = &allocator;
    options.threads = 2;
    covey_runtime *own = NULL;
    must(covey__runtime_new(&options, &own, &error), &error);
    covey_model *counted = open_model(own, in_folder("model.gguf"));
    uint64_t planned = 0;
    covey_session_options session_options = COVEY_SESSION_OPTIONS_INIT;
    session_options.context_tokens = 200;
    must(covey_session_plan(counted, &session_options, &planned, &error), &error);
    size_t before = c.bytes;
    covey_session *session = NULL;
    must(covey_session_open(counted, &session_options, &session, &error), &error);
    assert_true(c.bytes - before <= planned);
    assert_true(c.bytes - before > planned / 2);

    covey_token tokens[100];
    random_tokens(tokens, 100, SYNTHETIC_VOCABULARY, 6);
    size_t calls = c.calls;
    append(session, tokens, 100);
    covey_sampling sampling = COVEY_SAMPLING_INIT;
    covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
    generation.sampling = &sampling;
    sampling.temperature = 1.0f;
    sampling.top_k = 20;
    sampling.repetition_penalty = 1.1f;
    generation.tokens_max = 20;
    must(covey_session_generate(session, &generation, NULL, &error, ignore_text, NULL), &error);
    covey_session_part part = {session, tokens, 1, COVEY_OK};
    must(covey_session_append_many(&part, 1, &error), &error);
    assert_int_equal(c.calls, calls);

    /* A trim gives scratch back; the next append makes it again, and the bits stay. */
    covey_session *twin = open_session(counted, 200, 0);
    append(twin, tokens, 50);
    size_t held = c.bytes;
    covey_runtime_trim(own);
    assert_true(c.bytes < held);
    append(twin, tokens + 50, 10);
    covey_session *whole = open_session(counted, 200, 0);
    append(whole, tokens, 60);
    assert_memory_equal(covey_session_logits(whole, NULL), covey_session_logits(twin, NULL),
                        SYNTHETIC_VOCABULARY * sizeof(float));
    covey_session_close(whole);
    covey_session_close(twin);
    covey_session_close(session);
    covey_model_close(counted);
    covey_runtime_close(own);
    assert_int_equal(c.bytes, 0);
}

/* Under a guide, too: what a run of it needs is taken when the first generation begins, and kept.
 */
static void test_guided_loop_allocates_nothing(void **state) {
    (void)state;
    static const char schema[] =
        "{\"enum\": [\"all-of-this-is-forced-once-its-first-letter-is-drawn\", "
        "\"but-so-it-is-where-the-other-one-is-not\"]}";
    covey_error error = {.message = ""};
    counter c = {0, 0, 0};
    covey_allocator allocator = {count_resize, &c};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.allocator = &allocator;
    options.threads = 1;
    covey_runtime *own = NULL;
    must(covey__runtime_new(&options, &own, &error), &error);
    covey_model *counted = open_model(own, in_folder("model.gguf"));
    covey_guide *guide = NULL;
    must(covey_guide_new_json_schema(own, schema, strlen(schema), NULL, &guide, &error), &error);
    covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
    generation.guide = guide;
    const covey_token prompt[] = {1, 'a' + 3};
    for (int round = 0; round < 2; round++) {
        covey_session *session = open_session(counted, 200, 0);
        append(session, prompt, 2);
        covey_generation_result result = COVEY_GENERATION_RESULT_INIT;
        size_t calls = c.calls;
        must(covey_session_generate(session, &generation, &result, &error, ignore_text, NULL),
             &error);
        assert_true(result.guide_complete);
        assert_true(result.forced_count > 20);
        if (round == 1) assert_int_equal(c.calls, calls);
        covey_session_close(session);
    }
    covey_guide_free(guide);
    covey_model_close(counted);
    covey_runtime_close(own);
    assert_int_equal(c.bytes, 0);
}

/* ---- Cancel ---- */

static void test_cancel_before(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = open_session(model, 64, 0);
    covey_token tokens[40];
    random_tokens(tokens, 40, SYNTHETIC_VOCABULARY, 7);
    append(session, tokens, 10);
    float before[SYNTHETIC_VOCABULARY];
    memcpy(before, covey_session_logits(session, NULL), sizeof before);
    covey_session_cancel(session);
    assert_int_equal(covey_session_append(session, tokens + 10, 30, &error), COVEY_ERROR_CANCELLED);
    assert_int_equal(covey_session_token_count(session), 10);
    assert_memory_equal(covey_session_logits(session, NULL), before, sizeof before);
    append(session, tokens + 10, 30); /* the flag was taken */

    covey_session *other = open_session(model, 64, 0);
    covey_session_part both[] = {{session, tokens, 1, COVEY_OK}, {other, tokens + 1, 1, COVEY_OK}};
    append(other, tokens, 1);
    covey_session_cancel(other);
    assert_int_equal(covey_session_append_many(both, 2, &error), COVEY_ERROR_CANCELLED);
    assert_int_equal(both[0].status, COVEY_OK); /* each for itself */
    assert_int_equal(both[1].status, COVEY_ERROR_CANCELLED);
    assert_int_equal(covey_session_token_count(session), 41);
    assert_int_equal(covey_session_token_count(other), 1);
    must(covey_session_append_many(both, 2, &error), &error);
    covey_session_close(other);
    covey_session_close(session);
}

typedef struct canceller {
    covey_session *session;
    atomic_bool done;
} canceller;

static void *cancel_until_done(void *user) {
    canceller *c = user;
    while (!atomic_load(&c->done)) covey_session_cancel(c->session);
    return NULL;
}

/* Another thread cancels all the time: every append is whole or not at all. */
static void test_cancel_from_a_thread(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_token tokens[300];
    random_tokens(tokens, 300, SYNTHETIC_VOCABULARY, 8);
    canceller c = {.session = open_session(model, 512, 16)};
    atomic_init(&c.done, false);
    append(c.session, tokens, 20);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_until_done, &c), 0);
    int cancelled = 0;
    for (int i = 0; i < 1000 && cancelled < 20; i++) {
        covey_status status = covey_session_append(c.session, tokens + 20, 280, &error);
        if (status == COVEY_OK)
            must(covey_session_truncate(c.session, 20, &error), &error);
        else
            assert_int_equal(status, COVEY_ERROR_CANCELLED);
        cancelled += status != COVEY_OK;
        assert_int_equal(covey_session_token_count(c.session), 20);
    }
    assert_int_equal(cancelled, 20);
    atomic_store(&c.done, true);
    pthread_join(thread, NULL);
    covey__session_take_cancel(c.session);
    append(c.session, tokens + 20, 280);
    covey_session *calm = open_session(model, 512, 0);
    append(calm, tokens, 300);
    assert_memory_equal(covey_session_logits(calm, NULL), covey_session_logits(c.session, NULL),
                        SYNTHETIC_VOCABULARY * sizeof(float));
    covey_session_close(calm);
    covey_session_close(c.session);
}

/* ---- Threads ---- */

typedef struct talker {
    covey_token tokens[60];
    float logits[SYNTHETIC_VOCABULARY];
} talker;

static void *talk(void *user) {
    talker *t = user;
    covey_session *session = open_session(model, 64, 0);
    for (size_t at = 0; at < 60; at += 6) append(session, t->tokens + at, 6);
    memcpy(t->logits, covey_session_logits(session, NULL), sizeof t->logits);
    covey_session_close(session);
    return NULL;
}

/* Sessions of one model on several threads at once do not touch each other. */
static void test_sessions_on_threads(void **state) {
    (void)state;
    enum { COUNT = 4 };
    static talker apart[COUNT], alone[COUNT];
    pthread_t threads[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        random_tokens(apart[i].tokens, 60, SYNTHETIC_VOCABULARY, 20 + i);
        memcpy(alone[i].tokens, apart[i].tokens, sizeof alone[i].tokens);
        talk(&alone[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, talk, &apart[i]), 0);
    for (size_t i = 0; i < COUNT; i++) {
        pthread_join(threads[i], NULL);
        assert_memory_equal(apart[i].logits, alone[i].logits, sizeof alone[i].logits);
    }
}

/* ---- Numbers ---- */

/* The model opens, since its scales are not read then; the first append names the tensor. */
static void expect_numeric(synthetic s, const char *named) {
    covey_error error = {.message = ""};
    write_synthetic(&s, in_folder("spoiled.gguf"));
    covey_model *spoiled = open_model(runtime, in_folder("spoiled.gguf"));
    covey_session *session = open_session(spoiled, 64, 0);
    covey_token tokens[40] = {0};
    covey_status status = covey_session_append(session, tokens, 40, &error);
    if (status != COVEY_ERROR_NUMERIC || !strstr(error.message, named))
        fail_msg("%s: expected numeric, found %s: %s", named, covey_status_name(status),
                 error.message);
    assert_int_equal(covey_session_token_count(session), 0);
    assert_null(covey_session_logits(session, NULL));
    covey_session_close(session);
    covey_model_close(spoiled);
}

static void test_not_finite(void **state) {
    (void)state;
    const char *const names[] = {
        "token_embd.weight",   "blk.0.attn_q.weight",      "blk.0.attn_k.weight",
        "blk.1.attn_v.weight", "blk.2.attn_output.weight", "blk.1.ffn_gate.weight",
        "blk.1.ffn_up.weight", "blk.2.ffn_down.weight",    "output.weight"};
    const covey__type types[] = {COVEY__TYPE_F32, COVEY__TYPE_F16, COVEY__TYPE_BF16,
                                 COVEY__TYPE_Q8_0, COVEY__TYPE_Q4_0};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            synthetic s = SYNTHETIC_ODD;
            s.type = s.output_type = types[t];
            s.spoiled = names[i];
            expect_numeric(s, names[i]);
        }
    synthetic s = SYNTHETIC_WIDE;
    s.spoiled = "blk.1.ffn_down.weight";
    expect_numeric(s, s.spoiled);
}

/* Weights that are finite but too large: the layer is named. */
static void test_overflow(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.gain = 1e30f;
    expect_numeric(s, "layer ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_context_size),
        cmocka_unit_test(test_refuses_tokens),
        cmocka_unit_test(test_refuses_options),
        cmocka_unit_test(test_refuses_many),
        cmocka_unit_test(test_each_can_stop),
        cmocka_unit_test(test_memory_is_planned),
        cmocka_unit_test(test_guided_loop_allocates_nothing),
        cmocka_unit_test(test_cancel_before),
        cmocka_unit_test(test_cancel_from_a_thread),
        cmocka_unit_test(test_sessions_on_threads),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_overflow),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
