/* The prefix tree: what is found, to the single token; what is kept apart; and that reuse changes
 * no bit (interleave_test.c has that at random). */
#include "synthetic.h"

static covey_runtime *runtime;
static covey_model *model;

static int set_up(void **state) {
    make_folder(state);
    synthetic s = SYNTHETIC_ODD;
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

static int forget(void **state) {
    (void)state;
    covey_runtime_trim(runtime);
    return 0;
}

static covey_session *open_kv(covey_kv_type kv, bool alone) {
    covey_error error = {.message = ""};
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = 256;
    options.kv_type = kv;
    options.alone = alone;
    covey_session *session = NULL;
    must(covey_session_open(model, &options, &session, &error), &error);
    return session;
}

/* A new session over these tokens: what it took over, and that its bits are a solo run's. */
static size_t reused_by(covey_kv_type kv, const covey_token *tokens, size_t count) {
    covey_session *session = open_kv(kv, false), *solo = open_kv(kv, true);
    append(session, tokens, count);
    append(solo, tokens, count);
    assert_int_equal(covey_session_reused_count(solo), 0);
    assert_memory_equal(covey_session_logits(session, NULL), covey_session_logits(solo, NULL),
                        SYNTHETIC_VOCABULARY * sizeof(float));
    size_t reused = covey_session_reused_count(session);
    session->alone = true; /* leaves nothing more behind */
    covey_session_close(session);
    covey_session_close(solo);
    return reused;
}

static void leave(covey_kv_type kv, const covey_token *tokens, size_t count) {
    covey_session *session = open_kv(kv, false);
    append(session, tokens, count);
    covey_session_close(session);
}

static void test_to_the_token(void **state) {
    (void)state;
    covey_token tokens[200];
    random_tokens(tokens, 200, SYNTHETIC_VOCABULARY, 1);
    leave(COVEY_KV_F16, tokens, 75);
    const size_t asked[] = {2, 31, 32, 33, 64, 74, 75, 76, 200};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        assert_int_equal(reused_by(COVEY_KV_F16, tokens, asked[i]),
                         asked[i] <= 75 ? asked[i] - 1 : 75);
    for (size_t at = 0; at < 75; at += 9) { /* another token: what is before it agrees */
        covey_token before = tokens[at];
        tokens[at] = (before + 1) % SYNTHETIC_VOCABULARY;
        size_t held = reused_by(COVEY_KV_F16, tokens, 100);
        assert_true(held >= at);
        tokens[at] = before;
        if (at % 32 != 0) assert_true(held <= at || held > 32);
        forget(NULL);
        leave(COVEY_KV_F16, tokens, 75);
    }
}

static void test_kept_apart(void **state) {
    (void)state;
    covey_token tokens[100];
    random_tokens(tokens, 100, SYNTHETIC_VOCABULARY, 2);
    leave(COVEY_KV_F16, tokens, 100);
    assert_int_equal(reused_by(COVEY_KV_F32, tokens, 100), 0);
    assert_int_equal(reused_by(COVEY_KV_DEFAULT, tokens, 100), 99); /* it is F16 */
    covey_session *adapted = open_kv(COVEY_KV_F16, false), other;
    uint8_t key[32], other_key[32];
    memcpy(&other, adapted, sizeof other);
    other.adapters[5] = 1;
    covey__session_key(adapted, key);
    covey__session_key(&other, other_key);
    assert_memory_not_equal(key, other_key, sizeof key);
    covey_session_close(adapted);
}

/* Two prompts that part after 40 tokens, and one that is alone. */
static void test_branches(void **state) {
    (void)state;
    covey_token left[100], right[100];
    random_tokens(left, 100, SYNTHETIC_VOCABULARY, 3);
    memcpy(right, left, sizeof right);
    for (int i = 40; i < 100; i++) right[i] = (left[i] + 1) % SYNTHETIC_VOCABULARY;
    leave(COVEY_KV_F16, left, 100);
    assert_int_equal(reused_by(COVEY_KV_F16, right, 100), 40);
    leave(COVEY_KV_F16, right, 100);
    assert_int_equal(reused_by(COVEY_KV_F16, right, 100), 99);
    assert_int_equal(reused_by(COVEY_KV_F16, left, 100), 99);
    covey_session *alone = open_kv(COVEY_KV_F16, true);
    random_tokens(left, 100, SYNTHETIC_VOCABULARY, 4);
    append(alone, left, 100);
    covey_session_close(alone);
    assert_int_equal(reused_by(COVEY_KV_F16, left, 100), 0);
}

/* An open session's full pages are there for others; pages of equal tokens become one. */
static void test_while_open(void **state) {
    (void)state;
    covey_token tokens[100];
    random_tokens(tokens, 100, SYNTHETIC_VOCABULARY, 5);
    covey_session *first = open_kv(COVEY_KV_F16, false), *second = open_kv(COVEY_KV_F16, false);
    for (int i = 0; i < 70; i++) { /* one token at a time looks nothing up */
        append(first, tokens + i, 1);
        append(second, tokens + i, 1);
    }
    assert_ptr_equal(first->pages[0], second->pages[0]);
    assert_ptr_equal(first->pages[1], second->pages[1]);
    assert_ptr_not_equal(first->pages[2], second->pages[2]);
    assert_int_equal(reused_by(COVEY_KV_F16, tokens, 100), 64);
    covey_session_close(second);
    append(first, tokens + 70, 30);
    assert_int_equal(covey_session_reused_count(first), 26); /* a page that was full meanwhile */
    covey_session_close(first);
    assert_int_equal(reused_by(COVEY_KV_F16, tokens, 100), 99);
}

/* A conversation that goes on in a new session finds all of it, and one that was truncated what is
 * left. */
static void test_goes_on(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_token tokens[200];
    random_tokens(tokens, 200, SYNTHETIC_VOCABULARY, 6);
    leave(COVEY_KV_F16, tokens, 150);
    covey_session *session = open_kv(COVEY_KV_F16, false);
    append(session, tokens, 20);
    append(session, tokens + 20, 100);
    assert_int_equal(covey_session_reused_count(session), 99);
    must(covey_session_truncate(session, 45, &error), &error);
    append(session, tokens + 45, 150);
    assert_int_equal(covey_session_reused_count(session), 105);
    append(session, tokens + 195, 5);
    assert_int_equal(covey_session_reused_count(session), 0);
    covey_kv_info info = COVEY_KV_INFO_INIT;
    covey_model_describe_kv(model, &info);
    assert_true(info.prompt_tokens >= 425 && info.reused_tokens >= 223);
    covey_session_close(session);
}

/* Who is cancelled or fails keeps what it had. */
static void test_cancel_keeps(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_token tokens[200];
    random_tokens(tokens, 200, SYNTHETIC_VOCABULARY, 7);
    leave(COVEY_KV_F16, tokens, 150);
    covey_session *session = open_kv(COVEY_KV_F16, false), *solo = open_kv(COVEY_KV_F16, true);
    append(session, tokens, 40);
    covey_session_cancel(session);
    assert_int_equal(covey_session_append(session, tokens + 40, 120, &error),
                     COVEY_ERROR_CANCELLED);
    assert_int_equal(covey_session_token_count(session), 40);
    append(session, tokens, 30); /* other tokens than those of before */
    append(solo, tokens, 40);
    append(solo, tokens, 30);
    assert_memory_equal(covey_session_logits(session, NULL), covey_session_logits(solo, NULL),
                        SYNTHETIC_VOCABULARY * sizeof(float));
    covey_session_close(session);
    covey_session_close(solo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_to_the_token, forget),
        cmocka_unit_test_setup(test_kept_apart, forget),
        cmocka_unit_test_setup(test_branches, forget),
        cmocka_unit_test_setup(test_while_open, forget),
        cmocka_unit_test_setup(test_goes_on, forget),
        cmocka_unit_test_setup(test_cancel_keeps, forget),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
