/* Appends of several threads in one pass. The test holds the workspace while the threads queue up,
 * so that what one pass takes is known: no timing is in it. */
#include "synthetic.h"

#include <sched.h>

#define THREADS 6

static covey_runtime *runtime;
static covey_model *model;
static covey_token tokens[600];

static int set_up(void **state) {
    make_folder(state);
    synthetic s = SYNTHETIC_ODD;
    s.context = 600;
    write_synthetic(&s, in_folder("model.gguf"));
    s.gain = 1e6f; /* keys and values beyond F16, and all else finite */
    write_synthetic(&s, in_folder("loud.gguf"));
    runtime = open_runtime(1, NULL);
    model = open_model(runtime, in_folder("model.gguf"));
    random_tokens(tokens, 600, SYNTHETIC_VOCABULARY, 1);
    return 0;
}

static int tear_down(void **state) {
    covey_model_close(model);
    covey_runtime_close(runtime);
    return remove_folder(state);
}

typedef struct appender {
    covey_session *session;
    const covey_token *tokens;
    size_t count;
    covey_status status;
    covey_error error;
    pthread_t thread;
} appender;

static void *run_append(void *user) {
    appender *a = user;
    a->status = covey_session_append(a->session, a->tokens, a->count, &a->error);
    return NULL;
}

static size_t queued(covey_model *on) {
    size_t count = 0;
    pthread_mutex_lock(&on->combine.lock);
    for (covey__request *r = on->combine.first; r; r = r->next) count++;
    pthread_mutex_unlock(&on->combine.lock);
    return count;
}

/* All at once: queued in order while the workspace is held, then computed. */
static void run_together(covey_model *on, appender *appenders, size_t count,
                         covey_session *cancelled) {
    covey_error error = {.message = ""};
    must(covey__workspace_take(on, &error), &error);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&appenders[i].thread, NULL, run_append, &appenders[i]), 0);
        while (queued(on) < i + 1) sched_yield();
    }
    if (cancelled) covey_session_cancel(cancelled);
    covey__workspace_give(on);
    for (size_t i = 0; i < count; i++) pthread_join(appenders[i].thread, NULL);
}

static covey_kv_info info_of(covey_model *on) {
    covey_kv_info info = COVEY_KV_INFO_INIT;
    covey_model_describe_kv(on, &info);
    return info;
}

static void open_all(covey_model *on, appender *appenders, size_t count) {
    for (size_t i = 0; i < count; i++) {
        appenders[i] = (appender){.session = open_session(on, 600, 0),
                                  .tokens = tokens + 3 * i,
                                  .count = 1,
                                  .error = {.message = ""}};
        append(appenders[i].session, tokens, 3 * i + 1);
        appenders[i].tokens = tokens + 3 * i + 1;
    }
}

/* Every session's bits are a solo run's. */
static void check_and_close(covey_model *on, appender *appenders, size_t count) {
    for (size_t i = 0; i < count; i++) {
        appender *a = &appenders[i];
        if (a->status == COVEY_OK) {
            covey_session *solo = open_session(on, 600, 0);
            append(solo, tokens, covey_session_token_count(a->session));
            assert_memory_equal(covey_session_logits(a->session, NULL),
                                covey_session_logits(solo, NULL),
                                SYNTHETIC_VOCABULARY * sizeof(float));
            covey_session_close(solo);
        }
        covey_session_close(a->session);
    }
}

static void test_one_pass(void **state) {
    (void)state;
    appender appenders[THREADS];
    open_all(model, appenders, THREADS);
    covey_kv_info before = info_of(model);
    run_together(model, appenders, THREADS, NULL);
    covey_kv_info after = info_of(model);
    assert_int_equal(after.pass_count - before.pass_count, 1);
    assert_int_equal(after.run_count - before.run_count, THREADS);
    for (int i = 0; i < THREADS; i++) assert_int_equal(appenders[i].status, COVEY_OK);
    check_and_close(model, appenders, THREADS);
}

/* Two prompts and four answers: the answers' tokens wait for one pass, with 64 rows of prompt; then
 * the prompts have it for themselves. */
static void test_prompts_make_room(void **state) {
    (void)state;
    appender appenders[THREADS];
    open_all(model, appenders, THREADS);
    appenders[0].count = 300;
    appenders[1].count = 200;
    covey_kv_info before = info_of(model);
    run_together(model, appenders, THREADS, NULL);
    covey_kv_info after = info_of(model);
    assert_int_equal(after.pass_count - before.pass_count, 2);
    assert_int_equal(after.run_count - before.run_count, 5 + 2);
    for (int i = 0; i < THREADS; i++) assert_int_equal(appenders[i].status, COVEY_OK);
    check_and_close(model, appenders, THREADS);
}

/* Two equal prompts at once: the second takes over what was computed of the first meanwhile. */
static void test_equal_prompts(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    appender appenders[2];
    for (int i = 0; i < 2; i++) {
        appenders[i] = (appender){.tokens = tokens, .count = 590, .error = {.message = ""}};
        must(covey_session_open(model, NULL, &appenders[i].session, &error), &error);
    }
    run_together(model, appenders, 2, NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(appenders[i].status, COVEY_OK);
        assert_int_equal(covey_session_reused_count(appenders[i].session), 512 * (size_t)i);
    }
    check_and_close(model, appenders, 2);
    covey_runtime_trim(runtime);
}

typedef struct kept_rows {
    float *rows;
    size_t first;
} kept_rows;

static covey_status keep_rows(void *user, size_t index, const float *logits, size_t count) {
    kept_rows *kept = user;
    if (index >= kept->first)
        memcpy(kept->rows + (index - kept->first) * count, logits, count * sizeof *logits);
    return COVEY_OK;
}

/* A long request that wants the logits of its last rows: it comes in pieces, those rows in one. */
static void test_last_rows(void **state) {
    (void)state;
    enum { COUNT = 150, WANTED = 20 };
    static float rows[WANTED * SYNTHETIC_VOCABULARY], expected[WANTED * SYNTHETIC_VOCABULARY];
    covey_error error = {.message = ""};
    kept_rows kept = {expected, COUNT - WANTED};
    covey_session *session = open_session(model, 600, 16), *solo = open_session(model, 600, 0);
    must(covey_session_append_each(solo, tokens, COUNT, &error, keep_rows, &kept), &error);
    covey__pages_prepare(session, 0, COUNT);
    covey__request request = {
        .session = session, .tokens = tokens, .count = COUNT, .wanted = WANTED, .logits = rows};
    covey__combine_run(model, &request, 1);
    must(request.status, &request.error);
    assert_memory_equal(rows, expected, sizeof rows);
    covey_session_close(session);
    covey_session_close(solo);
}

/* While others generate, prompts stay short even where no answer waits at the moment. */
static void test_room_for_who_generates(void **state) {
    (void)state;
    appender a;
    open_all(model, &a, 1);
    a.count = 300;
    covey_session *other = open_session(model, 600, 0);
    append(other, tokens, 5);
    covey__combine_generates(other, true);
    covey_kv_info before = info_of(model);
    run_together(model, &a, 1, NULL);
    covey__combine_generates(other, false);
    assert_int_equal(info_of(model).pass_count - before.pass_count, 5);
    check_and_close(model, &a, 1);
    covey_session_close(other);
}

static void test_cancel_one(void **state) {
    (void)state;
    appender appenders[THREADS];
    open_all(model, appenders, THREADS);
    run_together(model, appenders, THREADS, appenders[2].session);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(appenders[i].status, i == 2 ? COVEY_ERROR_CANCELLED : COVEY_OK);
    assert_int_equal(covey_session_token_count(appenders[2].session), 7);
    append(appenders[2].session, appenders[2].tokens, 1); /* the flag was taken */
    appenders[2].status = COVEY_OK;
    check_and_close(model, appenders, THREADS);
}

/* Sessions with F16 keys fail on a model whose keys are too large for it; the F32 one beside them
 * in the same pass does not. */
static void test_numbers_of_one(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_model *loud = open_model(runtime, in_folder("loud.gguf"));
    appender appenders[3];
    for (int i = 0; i < 3; i++) {
        covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
        options.kv_type = i == 1 ? COVEY_KV_F32 : COVEY_KV_F16;
        appenders[i] = (appender){.tokens = tokens, .count = 4, .error = {.message = ""}};
        must(covey_session_open(loud, &options, &appenders[i].session, &error), &error);
    }
    run_together(loud, appenders, 3, NULL);
    for (int i = 0; i < 3; i++) {
        if (i == 1) {
            must(appenders[i].status, &appenders[i].error);
            continue;
        }
        assert_int_equal(appenders[i].status, COVEY_ERROR_NUMERIC);
        assert_non_null(strstr(appenders[i].error.message, "layer 0"));
        assert_non_null(strstr(appenders[i].error.message, "F32"));
        assert_int_equal(covey_session_token_count(appenders[i].session), 0);
    }
    for (int i = 0; i < 3; i++) covey_session_close(appenders[i].session);
    covey_model_close(loud);
}

/* Who generates is expected back; who does not come is not waited for again so soon. */
static void test_patience(void **state) {
    (void)state;
    const covey__combine *c = &model->combine;
    covey_session *a = open_session(model, 600, 0), *b = open_session(model, 600, 0);
    append(a, tokens, 1);
    assert_int_equal(c->missing, 0);
    covey__combine_generates(a, true);
    append(a, tokens, 1);
    assert_int_equal(c->missing, 1);
    append(a, tokens, 1); /* came in time */
    assert_int_equal(a->misses, 0);
    assert_int_equal(c->missing, 1);
    append(b, tokens, 1); /* waits, and a does not come */
    assert_int_equal(c->missing, 0);
    append(a, tokens, 1);
    assert_int_equal(a->misses, 1);
    assert_int_equal(c->missing, 0); /* for two passes it is not expected */
    append(a, tokens, 1);
    assert_int_equal(c->missing, 0);
    append(a, tokens, 1);
    assert_int_equal(c->missing, 1);
    covey__combine_generates(a, false); /* nobody waits for it any more */
    assert_int_equal(c->missing, 0);
    append(b, tokens, 1);
    covey_session_close(a);
    covey_session_close(b);
}

/* ---- Threads that generate ---- */

typedef struct talker {
    covey_model *model;
    uint64_t seed;
    bool alone;
    float logits[SYNTHETIC_VOCABULARY];
    size_t count;
} talker;

static void *talk(void *user) {
    talker *t = user;
    covey_error error = {.message = ""};
    covey_session_options session_options = COVEY_SESSION_OPTIONS_INIT;
    session_options.context_tokens = 200;
    session_options.alone = t->alone;
    covey_session *session = NULL;
    must(covey_session_open(t->model, &session_options, &session, &error), &error);
    append(session, tokens, 20 + 7 * t->seed);
    covey_sampling sampling = COVEY_SAMPLING_INIT;
    covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
    options.sampling = &sampling;
    sampling.temperature = 2.0f;
    for (uint64_t turn = 0; turn < 6; turn++) {
        sampling.seed = 10 * t->seed + turn;
        options.tokens_max = 15;
        must(covey_session_generate(session, &options, NULL, &error, NULL, NULL), &error);
    }
    t->count = covey_session_token_count(session);
    memcpy(t->logits, covey_session_logits(session, NULL), sizeof t->logits);
    covey_session_close(session);
    return NULL;
}

static void test_threads_generate(void **state) {
    (void)state;
    static talker apart[THREADS], together[THREADS];
    pthread_t threads[THREADS];
    covey_model *other = open_model(runtime, in_folder("model.gguf"));
    for (size_t i = 0; i < THREADS; i++) {
        together[i] = (talker){.model = model, .seed = i};
        apart[i] = (talker){.model = other, .seed = i, .alone = true};
        talk(&apart[i]);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, talk, &together[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(apart[i].count, together[i].count);
        assert_memory_equal(apart[i].logits, together[i].logits, sizeof apart[i].logits);
    }
    assert_int_equal(model->combine.generating, 0);
    assert_int_equal(model->combine.missing, 0);
    covey_model_close(other);
}

/* ---- Memory ---- */

static void *refuse(void *user, void *pointer, size_t size) {
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    return *(bool *)user ? NULL : realloc(pointer, size);
}

/* After a trim the scratch is made again; without memory for it everyone is told, and the next time
 * it goes. */
static void test_no_memory(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    bool refused = false;
    covey_allocator allocator = {refuse, &refused};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.allocator = &allocator;
    covey_runtime *own = NULL;
    must(covey__runtime_new(&options, &own, &error), &error);
    covey_model *mine = open_model(own, in_folder("model.gguf"));
    covey_session_part parts[2];
    for (int i = 0; i < 2; i++)
        parts[i] = (covey_session_part){open_session(mine, 100, 0), tokens, 10, COVEY_OK};
    covey_runtime_trim(own);
    refused = true;
    assert_int_equal(covey_session_append_many(parts, 2, &error), COVEY_ERROR_NO_MEMORY);
    for (int i = 0; i < 2; i++) assert_int_equal(parts[i].status, COVEY_ERROR_NO_MEMORY);
    refused = false;
    must(covey_session_append_many(parts, 2, &error), &error);
    for (int i = 0; i < 2; i++) covey_session_close(parts[i].session);
    covey_model_close(mine);
    covey_runtime_close(own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_pass),
        cmocka_unit_test(test_prompts_make_room),
        cmocka_unit_test(test_equal_prompts),
        cmocka_unit_test(test_last_rows),
        cmocka_unit_test(test_room_for_who_generates),
        cmocka_unit_test(test_cancel_one),
        cmocka_unit_test(test_numbers_of_one),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_threads_generate),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
