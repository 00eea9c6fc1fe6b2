/* Sliding, and appends to many with pieces of any size (interleave_test.c has both at random). */
#include "synthetic.h"

static covey_runtime *runtime;
static covey_model *model;
static covey_token tokens[400];

static int set_up(void **state) {
    make_folder(state);
    synthetic s = SYNTHETIC_ODD;
    write_synthetic(&s, in_folder("model.gguf"));
    runtime = open_runtime(1, NULL);
    model = open_model(runtime, in_folder("model.gguf"));
    random_tokens(tokens, 400, SYNTHETIC_VOCABULARY, 1);
    return 0;
}

static int tear_down(void **state) {
    covey_model_close(model);
    covey_runtime_close(runtime);
    return remove_folder(state);
}

static covey_session *open_sliding(int32_t context, int32_t keep) {
    covey_error error = {.message = ""};
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = context;
    options.context_policy = COVEY_CONTEXT_SLIDE;
    options.keep_tokens = keep;
    covey_session *session = NULL;
    must(covey_session_open(model, &options, &session, &error), &error);
    return session;
}

/* Its tokens and bits are those of a session of these tokens alone. */
static void check_is(const covey_session *session, const covey_token *expected, size_t count) {
    size_t held = 0;
    const covey_token *found = covey__session_tokens(session, &held);
    assert_int_equal(held, count);
    assert_memory_equal(found, expected, count * sizeof *found);
    covey_session *solo = open_session(model, (int32_t)count, 0);
    append(solo, expected, count);
    assert_memory_equal(covey_session_logits(session, NULL), covey_session_logits(solo, NULL),
                        SYNTHETIC_VOCABULARY * sizeof(float));
    covey_session_close(solo);
}

static void test_slide(void **state) {
    (void)state;
    covey_token expected[200];
    covey_session *session = open_sliding(100, 10);
    append(session, tokens, 100);
    append(session, tokens + 100, 1); /* 90 after the kept ones: 45 stay */
    memcpy(expected, tokens, 10 * sizeof *tokens);
    memcpy(expected + 10, tokens + 55, 46 * sizeof *tokens);
    check_is(session, expected, 56);
    append(session, tokens + 101, 80); /* 44 of them fill it; then 45 more go */
    memcpy(expected + 10, tokens + 100, 81 * sizeof *tokens);
    check_is(session, expected, 91);
    append(session, tokens + 181, 219); /* five more halves, of which two never were in it */
    memcpy(expected + 10, tokens + 325, 75 * sizeof *tokens);
    check_is(session, expected, 85);
    covey_session_close(session);
}

/* A window is a function of all tokens that came, not of the pieces they came in. */
static void test_slide_in_pieces(void **state) {
    (void)state;
    const int32_t keeps[] = {0, 1, 10, 33, 59}, contexts[] = {60, 61};
    for (size_t k = 0; k < 5; k++)
        for (size_t c = 0; c < 2; c++) {
            covey_session *one = open_sliding(contexts[c], keeps[k]);
            covey_session *pieces = open_sliding(contexts[c], keeps[k]), *whole = NULL;
            uint64_t random = 7 * k + c + 1;
            for (size_t at = 0; at < 300;) {
                size_t count = 1 + next_random(&random) % (at % 3 ? 20 : 150);
                if (count > 300 - at) count = 300 - at;
                append(pieces, tokens + at, count);
                for (size_t i = 0; i < count; i++) append(one, tokens + at + i, 1);
                at += count;
                whole = open_sliding(contexts[c], keeps[k]);
                append(whole, tokens, at);
                size_t held = 0;
                covey_token copy[61];
                const covey_token *found = covey__session_tokens(one, &held);
                memcpy(copy, found, held * sizeof *copy);
                assert_memory_equal(copy, tokens,
                                    (held < (size_t)keeps[k] ? held : (size_t)keeps[k]) *
                                        sizeof *tokens);
                check_is(one, copy, held);
                check_is(pieces, copy, held);
                check_is(whole, copy, held);
                covey_session_close(whole);
            }
            covey_session_close(one);
            covey_session_close(pieces);
        }
}

static void test_slide_short(void **state) {
    (void)state;
    covey_session *session = open_sliding(50, 40); /* fewer tokens held than are to be kept */
    append(session, tokens, 20);
    append(session, tokens + 20, 31);
    covey_token expected[50];
    memcpy(expected, tokens, 40 * sizeof *tokens);
    memcpy(expected + 40, tokens + 45, 6 * sizeof *tokens);
    check_is(session, expected, 46);
    covey_session_close(session);
}

/* A slide that is cancelled: the shorter session stays, and the next append computes what is
 * missing; so do a fork and the logits of each token. */
static void test_slide_cancelled(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_token expected[100];
    memcpy(expected, tokens, 10 * sizeof *tokens);
    memcpy(expected + 10, tokens + 55, 60 * sizeof *tokens);
    for (int how = 0; how < 3; how++) {
        covey_session *session = open_sliding(100, 10), *used = session, *forked = NULL;
        session->alone = true; /* or all would be found in the tree */
        append(session, tokens, 100);
        covey_session_cancel(session);
        assert_int_equal(covey_session_append(session, tokens + 100, 5, &error),
                         COVEY_ERROR_CANCELLED);
        assert_int_equal(covey_session_token_count(session), 55);
        assert_int_equal(session->ready, 10);
        assert_null(covey_session_logits(session, NULL));
        if (how == 1) {
            must(covey_session_fork(session, &forked, &error), &error);
            used = forked;
        }
        if (how == 2) {
            must(covey_session_save(session, in_folder("session"), &error), &error);
            must(covey_session_restore(model, NULL, in_folder("session"), &forked, &error), &error);
            used = forked;
        }
        append(used, tokens + 100, 5);
        check_is(used, expected, 60);
        covey_session_close(forked);
        covey_session_close(session);
    }
}

static covey_status ignore(void *user, size_t index, const float *logits, size_t count) {
    (void)logits;
    (void)count;
    assert_int_equal(index, (*(size_t *)user)++);
    return COVEY_OK;
}

static void test_each_never_slides(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    size_t seen = 0;
    covey_session *session = open_sliding(100, 10);
    append(session, tokens, 90);
    assert_int_equal(covey_session_append_each(session, tokens, 20, &error, ignore, &seen),
                     COVEY_ERROR_CONTEXT_SIZE);
    assert_int_equal(seen, 0);
    append(session, tokens + 90, 10);
    covey_session_cancel(session);
    session->alone = true;
    assert_int_equal(covey_session_append(session, tokens, 1, &error), COVEY_ERROR_CANCELLED);
    assert_true(session->ready < session->token_count);
    must(covey_session_append_each(session, tokens + 100, 20, &error, ignore, &seen), &error);
    assert_int_equal(seen, 20);
    covey_token expected[100];
    memcpy(expected, tokens, 10 * sizeof *tokens);
    memcpy(expected + 10, tokens + 55, 65 * sizeof *tokens);
    check_is(session, expected, 75);
    covey_session_close(session);
}

/* Generation goes on through a full context. */
static void test_generate_slides(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = open_sliding(60, 7);
    append(session, tokens, 50);
    covey_sampling sampling = COVEY_SAMPLING_INIT;
    covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
    options.sampling = &sampling;
    covey_generation_result result = COVEY_GENERATION_RESULT_INIT;
    sampling.temperature = 3.0f;
    int32_t drawn = 0;
    for (int seed = 0; drawn < 100 && seed < 1000; seed++) {
        options.tokens_max = 100 - drawn;
        sampling.seed = (uint64_t)seed; /* until no end token comes in between */
        must(covey_session_generate(session, &options, &result, &error, NULL, NULL), &error);
        assert_int_not_equal(result.stop_reason, COVEY_STOP_CONTEXT);
        drawn += result.token_count;
    }
    assert_true(drawn >= 100);
    size_t held = 0;
    covey_token copy[60];
    const covey_token *found = covey__session_tokens(session, &held);
    assert_memory_equal(found, tokens, 7 * sizeof *tokens);
    memcpy(copy, found, held * sizeof *found);
    check_is(session, copy, held);
    covey_session_close(session);
}

static void test_refuses_keep(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = NULL;
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = 50;
    options.keep_tokens = 50;
    assert_int_equal(covey_session_open(model, &options, &session, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    options.keep_tokens = 0;
    options.context_policy = (covey_context_policy)7;
    assert_int_equal(covey_session_open(model, &options, &session, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    options.context_policy = COVEY_CONTEXT_ERROR;
    options.kv_type = (covey_kv_type)9;
    assert_int_equal(covey_session_open(model, &options, &session, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
}

/* Prompts of many sizes and answers that go on, in one call. */
static void test_many_pieces(void **state) {
    (void)state;
    enum { COUNT = 9 };
    covey_error error = {.message = ""};
    const size_t held[COUNT] = {0, 5, 0, 31, 64, 1, 0, 100, 33};
    const size_t counts[COUNT] = {200, 1, 32, 1, 2, 7, 1, 90, 64};
    covey_session_part parts[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        parts[i] = (covey_session_part){open_session(model, 250, 40), tokens + held[i], counts[i],
                                        COVEY_ERROR_IO};
        if (held[i] > 0) append(parts[i].session, tokens, held[i]);
    }
    covey_kv_info before = COVEY_KV_INFO_INIT, after = COVEY_KV_INFO_INIT;
    covey_model_describe_kv(model, &before);
    must(covey_session_append_many(parts, COUNT, &error), &error);
    covey_model_describe_kv(model, &after);
    assert_true(after.pass_count - before.pass_count <= 6); /* 200 tokens by 40 at a time */
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(parts[i].status, COVEY_OK);
        check_is(parts[i].session, tokens, held[i] + counts[i]);
        covey_session_close(parts[i].session);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slide),
        cmocka_unit_test(test_slide_short),
        cmocka_unit_test(test_slide_in_pieces),
        cmocka_unit_test(test_slide_cancelled),
        cmocka_unit_test(test_each_never_slides),
        cmocka_unit_test(test_generate_slides),
        cmocka_unit_test(test_refuses_keep),
        cmocka_unit_test(test_many_pieces),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
