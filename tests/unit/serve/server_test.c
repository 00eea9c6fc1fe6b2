/* The daemon: who may ask, which addresses and methods there are, what it says while nothing is
 * loaded, and that what it refuses it does not keep. */
#include "serve_double.h"

static const char hello[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
static served_test test;

static int begin(void **state) {
    (void)state;
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    options.token = TOKEN;
    served_begin(&test, &options);
    served_set(&test, &test.one, "assistant@1.0.0");
    return 0;
}

static int end(void **state) {
    (void)state;
    served_end(&test, false);
    return 0;
}

static void test_token(void **state) {
    (void)state;
    static const char *const wrong[] = {"",
                                        "Authorization: Bearer wrong\r\n",
                                        "Authorization: Bearer \r\n",
                                        "Authorization: Basic " TOKEN "\r\n",
                                        "Authorization: Bearer " TOKEN "x\r\n",
                                        "Authorization: " TOKEN "\r\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        reply r = client_do(test.port, "GET", "/v1/models", wrong[i], NULL);
        assert_true(head_has(&r, "WWW-Authenticate: Bearer"));
        assert_false(head_has(&r, "X-Covey-Ensemble"));
        expect(r, 401, "\"code\":\"token_needed\"");
    }
    expect(client_do(test.port, "GET", "/metrics", "", NULL), 401, "token_needed");
    expect(client_do(test.port, "GET", "/nothing", "", NULL), 401, "token_needed");
    expect(client_do(test.port, "POST", "/v1/chat/completions", JSON, hello), 401, "token_needed");
    expect(client_do(test.port, "GET", "/v1/models", BEARER, NULL), 200, "\"id\":\"assistant\"");
    expect(client_do(test.port, "GET", "/v1/models", "authorization: bearer " TOKEN "\r\n", NULL),
           200, "\"object\":\"list\"");
}

/* /health is for anyone on this machine, so it names nothing. */
static void test_health(void **state) {
    (void)state;
    reply r = client_do(test.port, "GET", "/health", "", NULL);
    assert_false(head_has(&r, "assistant"));
    assert_string_equal(r.body, "{\"status\":\"ok\"}");
    expect(r, 200, NULL);
}

static int raw_status(const char *request) {
    int file = client_open(test.port);
    assert_true(file >= 0);
    client_send(file, request, strlen(request));
    reply r = client_finish(file, (reply){0});
    int status = r.status;
    reply_free(&r);
    return status;
}

static void test_host(void **state) {
    (void)state;
    static const struct {
        const char *host;
        int status;
    } cases[] = {
        {"Host: localhost\r\n", 200},        {"Host: LOCALHOST:1234\r\n", 200},
        {"Host: 127.0.0.1\r\n", 200},        {"Host: [::1]:80\r\n", 200},
        {"Host: evil.example\r\n", 403},     {"Host: localhost.evil.example\r\n", 403},
        {"Host: 127.0.0.1.nip.io\r\n", 403}, {"Host: localhost:80@evil.example\r\n", 403},
        {"Host: 127.0.0.2\r\n", 403},        {"Host: \r\n", 403},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[256];
        snprintf(request, sizeof request, "GET /health HTTP/1.1\r\n%sConnection: close\r\n\r\n",
                 cases[i].host);
        int status = raw_status(request);
        if (status != cases[i].status)
            fail_msg("%s: expected %d, found %d", cases[i].host, cases[i].status, status);
    }
    assert_int_not_equal(raw_status("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"), 200);
    assert_int_not_equal(raw_status("GET /health HTTP/1.0\r\n\r\n"), 200);
}

static void test_origin(void **state) {
    (void)state;
    static const struct {
        const char *origin;
        int status;
    } cases[] = {
        {"Origin: http://localhost:3000\r\n", 200},
        {"Origin: https://127.0.0.1\r\n", 200},
        {"Origin: http://evil.example\r\n", 403},
        {"Origin: http://localhost.evil.example\r\n", 403},
        {"Origin: null\r\n", 403},
        {"Origin: file://\r\n", 403},
        {"Origin: localhost\r\n", 403},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reply r = client_do(test.port, "GET", "/health", cases[i].origin, NULL);
        if (r.status != cases[i].status)
            fail_msg("%s: expected %d, found %d", cases[i].origin, cases[i].status, r.status);
        assert_false(head_has(&r, "Access-Control-Allow-Origin"));
        reply_free(&r);
    }
}

static void test_addresses_and_methods(void **state) {
    (void)state;
    expect(client_do(test.port, "GET", "/v1/nothing", BEARER, NULL), 404, "\"code\":\"not_found\"");
    expect(client_do(test.port, "POST", "/v1/rerank", BEARER JSON, "{}"), 404, "not_found");
    reply r = client_do(test.port, "GET", "/v1/chat/completions", BEARER, NULL);
    assert_true(head_has(&r, "Allow: POST\r\n"));
    expect(r, 405, "method_not_allowed");
    r = client_do(test.port, "POST", "/v1/models", BEARER JSON, "{}");
    assert_true(head_has(&r, "Allow: GET, HEAD\r\n"));
    expect(r, 405, "method_not_allowed");
    expect(client_do(test.port, "DELETE", "/v1/models", BEARER, NULL), 405, NULL);
    expect(client_do(test.port, "OPTIONS", "/v1/chat/completions", BEARER, NULL), 405, NULL);
    r = client_do(test.port, "HEAD", "/v1/models", BEARER, NULL);
    assert_int_equal(r.body_size, 0);
    assert_true(head_has(&r, "Content-Type: application/json"));
    expect(r, 200, NULL);
}

static void test_body(void **state) {
    (void)state;
    static const char url[] = "/v1/chat/completions";
    expect(client_do(test.port, "POST", url, BEARER, hello), 415, "not_json");
    expect(client_do(test.port, "POST", url, BEARER "Content-Type: text/plain\r\n", hello), 415,
           "not_json");
    expect(client_do(test.port, "POST", url, BEARER "Content-Type: application/jsonl\r\n", hello),
           415, "not_json");
    expect(client_do(test.port, "POST", url,
                     BEARER "Content-Type: Application/JSON; charset=utf-8\r\n", hello),
           200, "Hello world");
    expect(client_do(test.port, "POST", url, BEARER JSON, "{\"messages\":"), 400,
           "\"type\":\"invalid_request_error\"");
    expect(client_do(test.port, "POST", url, BEARER JSON, ""), 400, NULL);
    expect(client_do(test.port, "POST", url, BEARER JSON, "[]"), 400, "not a JSON object");
}

static void test_too_large(void **state) {
    (void)state;
    size_t size = COVEY__SERVE_BODY_MAX + 2;
    char *body = malloc(size + 1);
    assert_non_null(body);
    memset(body, ' ', size);
    body[size] = 0;
    expect(client_do(test.port, "POST", "/v1/chat/completions", BEARER JSON, body), 413,
           "\"code\":\"too_large\"");
    /* Without the token it is read past, and says why. */
    expect(client_do(test.port, "POST", "/v1/chat/completions", JSON, body), 401, "token_needed");
    free(body);
}

static void test_metrics(void **state) {
    (void)state;
    expect(client_do(test.port, "POST", "/v1/chat/completions", BEARER JSON, hello), 200, NULL);
    expect(client_do(test.port, "POST", "/v1/chat/completions", BEARER JSON, "{"), 400, NULL);
    assert_int_equal(metric(test.port, "covey_requests_total{outcome=\"ok\"} "), 1);
    assert_int_equal(metric(test.port, "covey_requests_total{outcome=\"refused\"} "), 1);
    assert_int_equal(metric(test.port, "covey_requests_total{outcome=\"failed\"} "), 0);
    assert_int_equal(metric(test.port, "covey_tokens_total{kind=\"prompt\"} "), 7);
    assert_int_equal(metric(test.port, "covey_tokens_total{kind=\"answer\"} "), 3);
    assert_int_equal(metric(test.port, "covey_conversations{state=\"open\"} "), 1);
    assert_int_equal(metric(test.port, "covey_time_to_first_token_seconds_count "), 1);
    reply r = client_do(test.port, "GET", "/metrics", BEARER, NULL);
    assert_true(head_has(&r, "Content-Type: text/plain; version=0.0.4"));
    expect(r, 200, "# TYPE covey_requests_total counter\n");
}

/* Two requests on one connection. */
static void test_keeps_alive(void **state) {
    (void)state;
    static const char request[] = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int file = client_open(test.port);
    reply r = {0};
    client_send(file, request, strlen(request));
    client_read_until(file, &r, "{\"status\":\"ok\"}");
    reply_free(&r);
    client_send(file, request, strlen(request));
    client_read_until(file, &r, "{\"status\":\"ok\"}");
    reply_free(&r);
    close(file);
}

static void test_nothing_loaded(void **state) {
    (void)state;
    served_test empty;
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    served_begin(&empty, &options);
    reply r = client_do(empty.port, "GET", "/health", "", NULL);
    assert_true(head_has(&r, "Retry-After: 1"));
    expect(r, 503, "\"code\":\"loading\"");
    expect(client_do(empty.port, "GET", "/v1/models", "", NULL), 200, "\"data\":[]");
    expect(client_do(empty.port, "POST", "/v1/chat/completions", JSON, hello), 503,
           "no model is loaded");
    covey_server_close(empty.server, 0);
    covey_runtime_close(empty.runtime);
}

static void test_listening(void **state) {
    (void)state;
    covey_error error = {0};
    covey_server *other = NULL;
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    options.address = "localhost";
    assert_int_equal(covey_server_open(test.runtime, &options, &other, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "localhost"));
    options.address = "0.0.0.0";
    assert_int_equal(covey_server_open(test.runtime, &options, &other, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "token"));
    options.address = NULL;
    options.context_tokens = 1;
    assert_int_equal(covey_server_open(test.runtime, &options, &other, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "at least 2 tokens"));
    options.context_tokens = 0;
    options.port = test.port;
    assert_int_not_equal(covey_server_open(test.runtime, &options, &other, &error), COVEY_OK);
    assert_null(other);
    covey_server_close(NULL, 0);
}

/* More connections than there may be, all silent: none keeps a new request from being answered. */
static void test_silent_connections(void **state) {
    (void)state;
    served_test few;
    static const char *const said[] = {"", "GET /health HTTP/1.1\r\nHo",
                                       "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"};
    int silent[24];
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    options.connections_max = 4;
    served_begin(&few, &options);
    served_set(&few, &few.one, "assistant@1.0.0");
    for (size_t i = 0; i < 24; i++) {
        silent[i] = client_open(few.port);
        assert_true(silent[i] >= 0);
        client_send(silent[i], said[i % 3], strlen(said[i % 3]));
    }
    int64_t begin_us = covey__monotonic_us();
    expect(client_do(few.port, "GET", "/health", "", NULL), 200, "ok");
    expect(client_do(few.port, "POST", "/v1/chat/completions", JSON, hello), 200, "Hello world");
    assert_true(covey__monotonic_us() - begin_us < 5000000);
    for (size_t i = 0; i < 24; i++) close(silent[i]);
    served_end(&few, false);
}

/* A request under way never gives way, however many connections come. */
static void test_asking_connections_stay(void **state) {
    (void)state;
    served_test few;
    int silent[12];
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    options.connections_max = 4;
    served_begin(&few, &options);
    served_set(&few, &few.one, "assistant@1.0.0");
    int held = client_ask(few.port, "POST", "/v1/chat/completions", JSON,
                          "{\"messages\":[{\"role\":\"user\",\"content\":\"hold\"}]}");
    double_await(&few.one, &few.one.waiting, 1);
    for (size_t i = 0; i < 12; i++) silent[i] = client_open(few.port);
    expect(client_do(few.port, "GET", "/health", "", NULL), 200, "ok");
    double_release(&few.one);
    expect(client_finish(held, (reply){0}), 200, "one two");
    for (size_t i = 0; i < 12; i++) close(silent[i]);
    served_end(&few, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_token, begin, end),
        cmocka_unit_test_setup_teardown(test_health, begin, end),
        cmocka_unit_test_setup_teardown(test_host, begin, end),
        cmocka_unit_test_setup_teardown(test_origin, begin, end),
        cmocka_unit_test_setup_teardown(test_addresses_and_methods, begin, end),
        cmocka_unit_test_setup_teardown(test_body, begin, end),
        cmocka_unit_test_setup_teardown(test_too_large, begin, end),
        cmocka_unit_test_setup_teardown(test_metrics, begin, end),
        cmocka_unit_test_setup_teardown(test_keeps_alive, begin, end),
        cmocka_unit_test(test_silent_connections),
        cmocka_unit_test(test_asking_connections_stay),
        cmocka_unit_test(test_nothing_loaded),
        cmocka_unit_test_setup_teardown(test_listening, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
