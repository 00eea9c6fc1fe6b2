/* The pool of conversations without HTTP around it: who gets which, who is given up for whom, and
 * when an exchanged backend goes. */
#include "serve_double.h"

typedef struct pool_test {
    covey_runtime *runtime;
    covey__conversations pool;
    double_backend one, two;
} pool_test;

static pool_test test;

static void begin(int32_t slots, int64_t queue_ms, int64_t drain_ms, int32_t backend_max) {
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    covey_error error = {0};
    memset(&test, 0, sizeof test);
    options.conversations_max = slots;
    options.queue_timeout_ms = queue_ms;
    options.drain_deadline_ms = drain_ms;
    double_init(&test.one, "one", backend_max);
    double_init(&test.two, "two", backend_max);
    if (covey__runtime_new(NULL, &test.runtime, &error) ||
        covey__conversations_init(&test.pool, covey__runtime_env(test.runtime), &options, &error))
        fail_msg("%s", error.message);
}

static void set(double_backend *backend) {
    covey_error error = {0};
    covey_backend *made = double_make(test.runtime, backend);
    covey_server_names names = COVEY_SERVER_NAMES_INIT;
    names.label = backend->name;
    names.model = "assistant";
    names.digest = backend->name;
    assert_int_equal(covey__conversations_exchange(&test.pool, made, &names, &error), 0);
    covey_backend_release(made);
}

static void finish(void) {
    covey__conversations_stop(&test.pool, 0);
    covey__conversations_free(&test.pool);
    covey_runtime_close(test.runtime);
}

static covey__serve_slot *take(const char *id) {
    covey_error error = {0};
    covey__serve_slot *slot = NULL;
    if (covey__conversations_take(&test.pool, id, &slot, &error)) fail_msg("%s", error.message);
    return slot;
}

static void give(covey__serve_slot *slot) {
    covey__conversations_give(&test.pool, slot, false);
}

static covey_status try_take(const char *id) {
    covey_error error = {0};
    covey__serve_slot *slot = NULL;
    covey_status status = covey__conversations_take(&test.pool, id, &slot, &error);
    if (status) assert_null(slot);
    return status;
}

static void test_no_backend(void **state) {
    (void)state;
    begin(2, 10, 1000, 4);
    assert_int_equal(try_take(""), COVEY_ERROR_NOT_FOUND);
    finish();
}

static void test_names_keep_their_slot(void **state) {
    (void)state;
    begin(3, 10, 1000, 4);
    set(&test.one);
    covey__serve_slot *a = take("a"), *unnamed = take("");
    assert_ptr_not_equal(a, unnamed);
    assert_int_equal(try_take("a"), COVEY_ERROR_BUSY); /* one request at a time */
    give(a);
    give(unnamed);
    assert_ptr_equal(take("a"), a);
    assert_ptr_equal(take(""), unnamed);
    give(a);
    give(unnamed);
    assert_int_equal(test.one.open, 2);
    finish();
    double_free(&test.one);
}

/* Where slots run short, an unnamed conversation goes first, then the named one used longest ago.
 */
static void test_who_is_given_up(void **state) {
    (void)state;
    begin(3, 10, 1000, 4);
    set(&test.one);
    covey__serve_slot *a = take("a");
    give(a);
    covey__serve_slot *b = take("b");
    give(b);
    covey__serve_slot *unnamed = take("");
    give(unnamed);
    covey__serve_slot *c = take("c");
    assert_ptr_equal(c, unnamed);
    give(c);
    assert_ptr_equal(take("a"), a); /* a is now the one used last */
    give(a);
    assert_ptr_equal(take("d"), b);
    give(b);
    assert_string_equal(a->id, "a");
    assert_int_equal(covey__conversations_open_count(&test.pool), 3);
    finish();
    double_free(&test.one);
}

static void test_all_busy(void **state) {
    (void)state;
    begin(2, 10, 1000, 4);
    set(&test.one);
    covey__serve_slot *a = take(""), *b = take("");
    assert_int_equal(try_take(""), COVEY_ERROR_BUSY);
    give(a);
    assert_ptr_equal(take(""), a);
    give(a);
    give(b);
    finish();
    double_free(&test.one);
}

/* A backend that takes fewer conversations than there are slots is asked again, not given up on. */
static void test_backend_is_full(void **state) {
    (void)state;
    begin(4, 10, 1000, 1);
    set(&test.one);
    covey__serve_slot *a = take("a");
    assert_int_equal(try_take("b"), COVEY_ERROR_BUSY);
    give(a);
    covey__serve_slot *b = take("b");
    assert_string_equal(b->id, "b");
    assert_int_equal(covey__conversations_open_count(&test.pool), 1);
    give(b);
    finish();
    double_free(&test.one);
}

/* What is withdrawn keeps nobody: idle conversations go at once, a busy one when it is given back,
 * and where nothing takes its place, requests hear why. */
static void test_withdraw(void **state) {
    (void)state;
    covey_error error = {0};
    covey__serve_slot *slot = NULL;
    begin(3, 50, 600000, 8);
    set(&test.one);
    give(take("idle"));
    covey__serve_slot *busy = take("busy");
    set(&test.two);
    assert_int_equal(covey__conversations_draining(&test.pool), 2);
    covey__conversations_withdraw(&test.pool, NULL);
    assert_int_equal(covey__conversations_draining(&test.pool), 1);
    give(busy);
    assert_int_equal(covey__conversations_draining(&test.pool), 0);
    slot = take("idle"); /* begins anew on what came after */
    assert_string_equal(slot->served->label, "two");
    give(slot);
    covey__conversations_withdraw(&test.pool, "off by steering k-1: wrong answers");
    assert_int_equal(covey__conversations_take(&test.pool, "", &slot, &error), COVEY_ERROR_DENIED);
    assert_string_equal(error.message, "off by steering k-1: wrong answers");
    assert_int_equal(covey__conversations_open_count(&test.pool), 0);
    set(&test.one);
    give(take(""));
    finish();
}

static void test_exchange(void **state) {
    (void)state;
    begin(4, 10, 1000000, 4);
    set(&test.one);
    covey__serve_slot *unnamed = take(""), *named = take("a"), *busy = take("");
    give(unnamed);
    give(named);
    set(&test.two);
    assert_int_equal(covey__conversations_draining(&test.pool), 2); /* the idle unnamed one went */
    assert_false(test.one.destroyed);
    assert_string_equal(take("")->served->label, "two");
    covey__serve_slot *again = take("a");
    assert_ptr_equal(again, named);
    assert_string_equal(again->served->label, "one");
    give(again);
    give(busy);
    assert_int_equal(covey__conversations_draining(&test.pool), 1);
    covey__conversations_give(&test.pool, take("a"), true);
    assert_int_equal(covey__conversations_draining(&test.pool), 0);
    assert_true(test.one.destroyed);
    for (int32_t i = 0; i < 4; i++)
        if (test.pool.slots[i].busy) give(&test.pool.slots[i]);
    finish();
    double_free(&test.one);
    double_free(&test.two);
}

/* A named conversation leaves the old backend at the deadline, once it is idle. */
static void test_drain_deadline(void **state) {
    (void)state;
    begin(2, 10, 1, 4);
    set(&test.one);
    give(take("a"));
    covey__serve_slot *busy = take("b");
    set(&test.two);
    struct timespec pause = {0, 1000000};
    for (int waited = 0; covey__conversations_draining(&test.pool) != 1; waited++) {
        assert_true(waited < PATIENCE_MS);
        nanosleep(&pause, NULL);
    }
    assert_false(test.one.destroyed); /* b still answers */
    give(busy);
    for (int waited = 0; covey__conversations_draining(&test.pool) != 0; waited++) {
        assert_true(waited < PATIENCE_MS);
        nanosleep(&pause, NULL);
    }
    assert_true(test.one.destroyed);
    covey__serve_slot *a = take("a");
    assert_string_equal(a->served->label, "two");
    give(a);
    finish();
    double_free(&test.one);
    double_free(&test.two);
}

/* A conversation that goes on and on is moved at the deadline all the same, between two answers. */
static void test_deadline_of_a_lively_one(void **state) {
    (void)state;
    begin(2, 10, 20, 4);
    set(&test.one);
    covey__serve_slot *a = take("a");
    set(&test.two);
    struct timespec pause = {0, 1000000};
    int moved = 0;
    for (int waited = 0; !moved; waited++) {
        assert_true(waited < PATIENCE_MS);
        bool late = covey__monotonic_us() > a->served->left_us + 20000;
        assert_string_equal(a->served->label, "one"); /* never in mid-answer */
        give(a);
        nanosleep(&pause, NULL);
        a = take("a");
        moved = a->served->left_us == 0;
        if (late) assert_true(moved);
    }
    assert_string_equal(a->served->label, "two");
    assert_string_equal(a->served->digest, "two");
    give(a);
    assert_int_equal(covey__conversations_draining(&test.pool), 0);
    assert_true(test.one.destroyed);
    finish();
    double_free(&test.one);
    double_free(&test.two);
}

typedef struct waiter {
    pthread_t thread;
    covey_status status;
    char label[16];
} waiter;

static void *wait_for_turn(void *user) {
    waiter *mine = user;
    covey_error error = {0};
    covey__serve_slot *slot = NULL;
    mine->status = covey__conversations_take(&test.pool, "", &slot, &error);
    if (mine->status) return NULL;
    snprintf(mine->label, sizeof mine->label, "%s", slot->served->label);
    give(slot);
    return NULL;
}

static void await_waiting(int32_t count) {
    struct timespec pause = {0, 1000000};
    for (int waited = 0;; waited++) {
        pthread_mutex_lock(&test.pool.mutex);
        bool there = test.pool.waiting == count;
        pthread_mutex_unlock(&test.pool.mutex);
        if (there) return;
        assert_true(waited < PATIENCE_MS);
        nanosleep(&pause, NULL);
    }
}

/* Where memory holds one only: answers end, requests wait, and none fails but those too many. */
static void test_drained_first(void **state) {
    (void)state;
    begin(4, 1, 1000000, 4);
    test.pool.waiting_max = 3;
    set(&test.one);
    give(take("named"));
    covey__serve_slot *busy = take("");
    covey__conversations_drain(&test.pool);
    assert_true(covey__conversations_holding(&test.pool));
    assert_int_equal(covey__conversations_draining(&test.pool), 1); /* the named idle one went */
    waiter waiters[3] = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_turn, &waiters[i]), 0);
    await_waiting(3);
    assert_int_equal(try_take(""), COVEY_ERROR_BUSY);
    assert_false(test.one.destroyed);
    give(busy);
    assert_int_equal(covey__conversations_draining(&test.pool), 0);
    assert_true(test.one.destroyed); /* before there is another */
    set(&test.two);
    for (int i = 0; i < 3; i++) {
        pthread_join(waiters[i].thread, NULL);
        assert_int_equal(waiters[i].status, COVEY_OK);
        assert_string_equal(waiters[i].label, "two");
    }
    assert_false(covey__conversations_holding(&test.pool));
    assert_int_equal(covey__counter_get(&test.pool.exchanges_drained), 1);
    assert_int_equal(covey__counter_get(&test.pool.exchanges), 0);
    give(take("named"));
    /* One that does not come: what waited is told. */
    covey__conversations_drain(&test.pool);
    assert_int_equal(pthread_create(&waiters[0].thread, NULL, wait_for_turn, &waiters[0]), 0);
    await_waiting(1);
    covey__conversations_withdraw(&test.pool, "it does not open");
    pthread_join(waiters[0].thread, NULL);
    assert_int_equal(waiters[0].status, COVEY_ERROR_DENIED);
    finish();
    double_free(&test.one);
    double_free(&test.two);
}

/* What computes without a conversation keeps its backend, and is waited for. */
static void test_embeddings_drain_too(void **state) {
    (void)state;
    begin(2, 10, 1000, 4);
    set(&test.one);
    covey__served *served = NULL;
    covey_error error = {0};
    assert_int_equal(covey__conversations_enter(&test.pool, &served, &error), COVEY_OK);
    covey__conversations_drain(&test.pool);
    assert_int_equal(covey__conversations_draining(&test.pool), 1);
    covey__conversations_done(&test.pool, served);
    assert_int_equal(covey__conversations_draining(&test.pool), 0);
    assert_true(test.one.destroyed);
    set(&test.two);
    finish();
    double_free(&test.one);
    double_free(&test.two);
}

static void test_stopping(void **state) {
    (void)state;
    begin(2, 1000000, 1000, 4);
    set(&test.one);
    covey__conversations_stop(&test.pool, 0);
    assert_int_equal(try_take(""), COVEY_ERROR_BUSY);
    finish();
    double_free(&test.one);
}

static void test_memory(void **state) {
    (void)state;
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    covey__conversations pool;
    covey_error error = {0};
    test_env env;
    test_env_init(&env);
    env.fail_at = 1;
    assert_int_equal(covey__conversations_init(&pool, &env.env, &options, &error),
                     COVEY_ERROR_NO_MEMORY);
    covey__conversations_free(&pool);
    assert_int_equal(env.alive, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_backend),
        cmocka_unit_test(test_names_keep_their_slot),
        cmocka_unit_test(test_who_is_given_up),
        cmocka_unit_test(test_all_busy),
        cmocka_unit_test(test_backend_is_full),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_withdraw),
        cmocka_unit_test(test_drain_deadline),
        cmocka_unit_test(test_deadline_of_a_lively_one),
        cmocka_unit_test(test_drained_first),
        cmocka_unit_test(test_embeddings_drain_too),
        cmocka_unit_test(test_stopping),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
