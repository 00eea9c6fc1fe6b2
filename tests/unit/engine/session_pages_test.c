/* Pages: how many there are, who holds them, when they are copied and when they go. */
#include "synthetic.h"

static covey_runtime *runtime;
static covey_model *model;

static const synthetic small = {.layers = 2,
                                .width = 64,
                                .ffn = 96,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = 32,
                                .context = 512,
                                .type = COVEY__TYPE_F32,
                                .output_type = COVEY__TYPE_F32,
                                .seed = 9};

static covey_model *open_with_budget(int64_t budget) {
    covey_error error = {.message = ""};
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    covey_model *opened = NULL;
    source.path = in_folder("small.gguf");
    source.idle_kv_bytes_max = budget;
    must(covey_model_open(runtime, &source, &opened, &error), &error);
    return opened;
}

static int set_up(void **state) {
    make_folder(state);
    write_synthetic(&small, in_folder("small.gguf"));
    runtime = open_runtime(1, NULL);
    return 0;
}

static int tear_down(void **state) {
    covey_runtime_close(runtime);
    return remove_folder(state);
}

static int set_up_model(void **state) {
    (void)state;
    model = open_with_budget(0);
    return 0;
}

static int tear_down_model(void **state) {
    (void)state;
    covey_model_close(model);
    return 0;
}

static covey_session *open_shared(int32_t context) {
    covey_error error = {.message = ""};
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = context;
    covey_session *session = NULL;
    must(covey_session_open(model, &options, &session, &error), &error);
    return session;
}

static covey_session *fork_of(covey_session *session) {
    covey_error error = {.message = ""};
    covey_session *forked = NULL;
    must(covey_session_fork(session, &forked, &error), &error);
    return forked;
}

static covey_kv_info info_now(void) {
    covey_kv_info info = COVEY_KV_INFO_INIT;
    covey_model_describe_kv(model, &info);
    return info;
}

static uint64_t page_bytes(void) {
    uint64_t bytes = 0;
    assert_true(covey__kv_page_bytes(model, COVEY__KV_F16, &bytes));
    assert_int_equal(bytes, 2 * 2 * 2 * 32 * 32 * sizeof(uint16_t));
    return bytes;
}

static void fill(covey_session *session, size_t count, uint64_t seed) {
    covey_token tokens[256];
    random_tokens(tokens, count, SYNTHETIC_VOCABULARY, seed);
    append(session, tokens, count);
}

static void test_reserved_at_open(void **state) {
    (void)state;
    covey_session *session = open_shared(100);
    assert_int_equal(info_now().bytes, 4 * page_bytes());
    assert_int_equal(info_now().used_bytes, 0);
    assert_int_equal(info_now().session_count, 1);
    fill(session, 33, 1);
    assert_int_equal(info_now().used_bytes, 2 * page_bytes());
    covey_session_close(session);
    assert_int_equal(info_now().bytes, 2 * page_bytes()); /* what it computed idles */
    assert_int_equal(info_now().idle_bytes, 2 * page_bytes());
    assert_int_equal(info_now().session_count, 0);
    covey_runtime_trim(runtime);
    assert_int_equal(info_now().bytes, 0);
    assert_int_equal(info_now().evicted_pages, 2);
}

static void test_fork_shares(void **state) {
    (void)state;
    covey_session *first = open_shared(128);
    fill(first, 70, 2); /* two pages and a part of one */
    covey_session *second = fork_of(first);
    assert_int_equal(info_now().used_bytes, 3 * page_bytes());
    assert_int_equal(info_now().bytes, 8 * page_bytes()); /* each can go on by itself */
    assert_memory_equal(covey_session_logits(first, NULL), covey_session_logits(second, NULL),
                        SYNTHETIC_VOCABULARY * sizeof(float));
    fill(second, 1, 3);
    assert_int_equal(info_now().used_bytes, 4 * page_bytes()); /* the last page was copied */
    assert_ptr_equal(first->pages[1], second->pages[1]);
    assert_ptr_not_equal(first->pages[2], second->pages[2]);
    void *page = first->pages[2];
    fill(first, 1, 4); /* nobody else holds it any more: no copy */
    assert_ptr_equal(first->pages[2], page);
    covey_session_close(first);
    fill(second, 20, 5);
    covey_session_close(second);
}

/* Eight forks of a full context, each truncated and filled again, find their pages. */
static void test_forks_never_run_out(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *sessions[8] = {open_shared(96)};
    fill(sessions[0], 96, 6);
    for (int i = 1; i < 8; i++) sessions[i] = fork_of(sessions[0]);
    assert_int_equal(info_now().used_bytes, 3 * page_bytes());
    for (size_t i = 0; i < 8; i++) {
        must(covey_session_truncate(sessions[i], 5 * i, &error), &error);
        fill(sessions[i], 96 - 5 * i, 10 + i);
    }
    assert_int_equal(info_now().used_bytes, 24 * page_bytes());
    for (int i = 0; i < 8; i++) covey_session_close(sessions[i]);
}

/* A page that only the session and the tree hold, and no free one: the tree gives it up. */
static void test_tree_gives_up(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = open_shared(32);
    fill(session, 32, 7);
    assert_non_null(session->held[0]->root);
    assert_int_equal(session->held[0]->references, 2);
    void *page = session->pages[0];
    must(covey_session_truncate(session, 10, &error), &error);
    fill(session, 1, 8);
    assert_ptr_equal(session->pages[0], page);
    assert_null(session->held[0]->root);
    assert_int_equal(info_now().bytes, page_bytes());
    covey_session_close(session);
}

static void test_budget(void **state) {
    (void)state;
    covey_model_close(model);
    model = open_with_budget((int64_t)(3 * 2 * 2 * 2 * 32 * 32 * sizeof(uint16_t))); /* 3 pages */
    covey_session *first = open_shared(64), *second = open_shared(64);
    fill(first, 64, 20);
    fill(second, 64, 21);
    covey_session_close(first);
    assert_int_equal(info_now().idle_bytes, 2 * page_bytes());
    covey_session_close(second);
    assert_int_equal(info_now().idle_bytes, 3 * page_bytes());
    assert_int_equal(info_now().evicted_pages, 1); /* the older one's last page */
    assert_int_equal(info_now().bytes, 3 * page_bytes());
    covey_session *again = open_shared(64);
    fill(again, 64, 21);
    assert_int_equal(covey_session_reused_count(again), 63);
    covey_session_close(again);
    again = open_shared(64);
    fill(again, 64, 20);
    assert_int_equal(covey_session_reused_count(again), 32);
    covey_session_close(again);
}

static void test_no_budget(void **state) {
    (void)state;
    covey_model_close(model);
    model = open_with_budget(-1);
    covey_session *first = open_shared(64), *second = open_shared(64);
    fill(first, 40, 22);
    fill(second, 40, 22); /* open sessions share all the same */
    assert_int_equal(covey_session_reused_count(second), 32);
    covey_session_close(first);
    covey_session_close(second);
    assert_int_equal(info_now().bytes, 0);
}

static void test_refuses_budget(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    covey_model *opened = NULL;
    source.path = in_folder("small.gguf");
    source.idle_kv_bytes_max = -2;
    assert_int_equal(covey_model_open(runtime, &source, &opened, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_null(opened);
}

/* ---- Memory that is refused ---- */

typedef struct refusal {
    int64_t left; /* allocations until one is refused; -1: none */
} refusal;

static void *refuse(void *user, void *pointer, size_t size) {
    refusal *r = user;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    if (r->left == 0) return NULL;
    if (r->left > 0) r->left--;
    return realloc(pointer, size);
}

/* Opening and forking with little memory: refused whole, and nothing is lost. Idle pages make room
 * before an open is refused. */
static void test_no_memory(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    refusal r = {-1};
    covey_allocator allocator = {refuse, &r};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.allocator = &allocator;
    covey_runtime *own = NULL;
    must(covey__runtime_new(&options, &own, &error), &error);
    covey_model *mine = open_model(own, in_folder("small.gguf"));
    covey_session *session = open_session(mine, 200, 0), *forked = NULL;
    fill(session, 50, 30);
    bool done = false;
    for (int64_t at = 0; !done; at++) {
        r.left = at;
        covey_status status = covey_session_fork(session, &forked, &error);
        r.left = -1;
        done = status == COVEY_OK;
        if (!done) assert_int_equal(status, COVEY_ERROR_NO_MEMORY);
        if (!done) assert_null(forked);
        assert_true(at < 100);
    }
    fill(forked, 50, 31);
    covey_session_close(forked);
    covey_session_close(session);

    covey_session_options shared = COVEY_SESSION_OPTIONS_INIT;
    shared.context_tokens = 256;
    must(covey_session_open(mine, &shared, &session, &error), &error);
    fill(session, 250, 32);
    covey_session_close(session);
    shared.alone = true;
    r.left = 12; /* what a session has beside its pages, and not enough of those */
    must(covey_session_open(mine, &shared, &session, &error), &error);
    r.left = -1;
    covey_session_close(session);
    covey_model_close(mine);
    covey_runtime_close(own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reserved_at_open, set_up_model, tear_down_model),
        cmocka_unit_test_setup_teardown(test_fork_shares, set_up_model, tear_down_model),
        cmocka_unit_test_setup_teardown(test_forks_never_run_out, set_up_model, tear_down_model),
        cmocka_unit_test_setup_teardown(test_tree_gives_up, set_up_model, tear_down_model),
        cmocka_unit_test_setup_teardown(test_budget, set_up_model, tear_down_model),
        cmocka_unit_test_setup_teardown(test_no_budget, set_up_model, tear_down_model),
        cmocka_unit_test(test_refuses_budget),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
