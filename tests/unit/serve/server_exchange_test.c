/* Over HTTP: what answers say of the ensemble that gave them, who is told of them, and a server
 * that is drained before there is another. */
#include "serve_double.h"

#define CHAT       "/v1/chat/completions"
#define SAY(words) "{\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}]}"
#define STREAM(words)                                                                              \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}],\"stream\":true}"
#define DIGEST_ONE "11111111111111111111111111111111111111111111111111111111111111aa"
#define DIGEST_TWO "22222222222222222222222222222222222222222222222222222222222222bb"

static served_test test;

typedef struct heard {
    pthread_mutex_t mutex;
    int good, failed, cancelled, beside;
    char digest[65], message[128];
    int32_t at_once;
} heard;

static heard ear = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void on_answered(void *user, const covey_server_answer *answer) {
    heard *h = user;
    pthread_mutex_lock(&h->mutex);
    h->good += answer->status == COVEY_OK;
    h->cancelled += answer->status == COVEY_ERROR_CANCELLED;
    h->failed += answer->status == COVEY_ERROR_NUMERIC;
    h->beside += answer->beside;
    h->at_once = answer->at_once;
    snprintf(h->digest, sizeof h->digest, "%s", answer->digest);
    snprintf(h->message, sizeof h->message, "%s", answer->message);
    pthread_mutex_unlock(&h->mutex);
}

static void exchange(double_backend *backend, const char *label, const char *digest) {
    covey_error error = {0};
    covey_server_names names = COVEY_SERVER_NAMES_INIT;
    covey_backend *made = double_make(test.runtime, backend);
    names.label = label;
    names.model = "assistant";
    names.digest = digest;
    if (covey_server_exchange(test.server, made, &names, &error)) fail_msg("%s", error.message);
    covey_backend_release(made);
}

static int begin(void **state) {
    (void)state;
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    options.token = TOKEN;
    options.answered = on_answered;
    options.answered_user = &ear;
    options.waiting_max = 1;
    ear.good = ear.failed = ear.cancelled = ear.beside = 0;
    served_begin(&test, &options);
    exchange(&test.one, "assistant@1.0.0", DIGEST_ONE);
    return 0;
}

static int end(void **state) {
    (void)state;
    served_end(&test, true);
    return 0;
}

static void test_fingerprints(void **state) {
    (void)state;
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, SAY("hello")), 200,
           "\"system_fingerprint\":\"covey-1111111111111111\"");
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, STREAM("hello")), 200,
           "\"system_fingerprint\":\"covey-1111111111111111\"");
    exchange(&test.two, "assistant@1.1.0", DIGEST_TWO);
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, SAY("hello")), 200,
           "\"digest\":\"" DIGEST_TWO "\"");
    exchange(&test.one, "a file", NULL);
    reply r = client_do(test.port, "POST", CHAT, BEARER JSON, SAY("hello"));
    assert_false(body_has(&r, "system_fingerprint"));
    expect(r, 200, "a file");
}

static void test_who_is_told(void **state) {
    (void)state;
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, SAY("hello")), 200, "Hello");
    assert_int_equal(ear.good, 1);
    assert_int_equal(ear.at_once, 1);
    assert_string_equal(ear.digest, DIGEST_ONE);
    reply r = client_do(test.port, "POST", CHAT, BEARER JSON, SAY("nan"));
    assert_int_equal(r.status, 500);
    reply_free(&r);
    assert_int_equal(ear.failed, 1);
    assert_string_equal(ear.message, "NaN in the logits");
    /* A client that chose the scales of adapters may have driven it there. */
    test.one.adapter_count = 1;
    r = client_do(test.port, "POST", CHAT, BEARER JSON,
                  "{\"messages\":[{\"role\":\"user\",\"content\":\"nan\"}],"
                  "\"lora\":[{\"id\":0,\"scale\":1000}]}");
    assert_int_equal(r.status, 500);
    reply_free(&r);
    assert_int_equal(ear.failed, 1);
    r = client_do(test.port, "POST", CHAT, BEARER JSON, SAY("long"));
    assert_int_equal(r.status, 400);
    reply_free(&r);
    assert_int_equal(ear.good + ear.failed + ear.cancelled, 2); /* a caller's mistake is neither */
    /* One that is computed beside another ensemble's is told apart. */
    int file = client_ask(test.port, "POST", CHAT, BEARER JSON, STREAM("hold"));
    reply held = {0};
    client_read_until(file, &held, "one ");
    exchange(&test.two, "assistant@1.1.0", DIGEST_TWO);
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, SAY("hello")), 200, "Hello");
    assert_int_equal(ear.beside, 1);
    assert_int_equal(ear.at_once, 2);
    double_release(&test.one);
    expect(client_finish(file, held), 200, "[DONE]");
    assert_int_equal(ear.good, 3);
}

/* What is under way ends, what comes waits and is answered by the next one; one too many is told to
 * come again. */
static void test_drained_first(void **state) {
    (void)state;
    int file = client_ask(test.port, "POST", CHAT, BEARER JSON, STREAM("hold"));
    reply held = {0};
    client_read_until(file, &held, "one ");
    covey_server_drain(test.server);
    expect(client_do(test.port, "GET", "/health", "", NULL), 200, "exchanging");
    int waits = client_ask(test.port, "POST", CHAT, BEARER JSON, STREAM("hello"));
    struct timespec pause = {0, 1000000};
    for (int waited = 0;; waited++) {
        pthread_mutex_lock(&test.server->pool.mutex);
        bool there = test.server->pool.waiting == 1;
        pthread_mutex_unlock(&test.server->pool.mutex);
        if (there) break;
        assert_true(waited < PATIENCE_MS);
        nanosleep(&pause, NULL);
    }
    reply r = client_do(test.port, "POST", CHAT, BEARER JSON, SAY("hello"));
    assert_int_equal(r.status, 503);
    assert_true(head_has(&r, "Retry-After: "));
    reply_free(&r);
    assert_int_equal(covey_server_draining(test.server), 1);
    double_release(&test.one);
    expect(client_finish(file, held), 200, "[DONE]"); /* not cut */
    for (int waited = 0; covey_server_draining(test.server); waited++) {
        assert_true(waited < PATIENCE_MS);
        nanosleep(&pause, NULL);
    }
    assert_true(test.one.destroyed);
    exchange(&test.two, "assistant@1.1.0", DIGEST_TWO);
    r = client_finish(waits, (reply){0});
    assert_true(head_has(&r, "X-Covey-Ensemble: assistant@1.1.0"));
    expect(r, 200, "[DONE]");
    assert_int_equal(metric(test.port, "covey_exchanges_total{way=\"drained\"} "), 1);
    assert_int_equal(metric(test.port, "covey_exchanges_total{way=\"beside\"} "), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fingerprints, begin, end),
        cmocka_unit_test_setup_teardown(test_who_is_told, begin, end),
        cmocka_unit_test_setup_teardown(test_drained_first, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
