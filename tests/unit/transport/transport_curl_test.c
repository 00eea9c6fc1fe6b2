/* The transport against a server that says exactly what a test wants, byte by byte. */
#include "support/support.h"

#include "base/buffer.h"
#include "transport/transport_curl.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static covey__env env; /* set in main */

/* Answers connections one after the other; each script is sent after one request's head came. */
typedef struct script_server {
    int listener;
    unsigned port;
    pthread_t thread;
    const char *const *scripts; /* NULL ends; "" answers nothing and waits for the client to go */
    bool keep_alive;            /* all scripts on the first connection */
    int connections;
    char last_request[4096];
} script_server;

static bool read_head(int line, char *out, size_t capacity) {
    size_t size = 0;
    while (size + 1 < capacity) {
        ssize_t got = recv(line, out + size, capacity - 1 - size, 0);
        if (got <= 0) return false;
        size += (size_t)got;
        out[size] = '\0';
        if (strstr(out, "\r\n\r\n")) return true;
    }
    return false;
}

static void *serve_scripts(void *user) {
    script_server *s = user;
    int line = -1;
    for (const char *const *script = s->scripts; *script != NULL; script++) {
        if (line < 0) {
            line = accept(s->listener, NULL, NULL);
            if (line < 0) return NULL;
            s->connections++;
        }
        if (!read_head(line, s->last_request, sizeof s->last_request)) break;
        if ((*script)[0] == '\0') {
            char byte;
            while (recv(line, &byte, 1, 0) > 0) {
            }
        } else {
            (void)send(line, *script, strlen(*script), MSG_NOSIGNAL);
        }
        if (!s->keep_alive) {
            close(line);
            line = -1;
        }
    }
    if (line >= 0) close(line);
    return NULL;
}

static void server_start(script_server *s, const char *const *scripts) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->scripts = scripts;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s->listener, 8), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&at, &size), 0);
    s->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve_scripts, s), 0);
}

static void server_stop(script_server *s) {
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
}

typedef struct exchange {
    covey_http_request request;
    covey_http_response response;
    covey_error error;
    covey__buffer body;
    covey_status sink_says;
    char url[200];
} exchange;

static void exchange_init(exchange *x, const covey__env *from, unsigned port, const char *method) {
    memset(x, 0, sizeof *x);
    snprintf(x->url, sizeof x->url, "http://127.0.0.1:%u/a?secret=1", port);
    x->request = (covey_http_request){.size = sizeof x->request,
                                      .method = method,
                                      .url = x->url,
                                      .body_bytes_max = 1000,
                                      .connect_timeout_ms = 2000,
                                      .idle_timeout_ms = 5000};
    x->response.size = sizeof x->response;
    covey__buffer_init(&x->body, from, 10000);
}

static covey_status collect(void *user, const covey_http_response *response, const void *data,
                            size_t size) {
    exchange *x = user;
    assert_int_not_equal(response->status, 0); /* known before the first byte */
    (void)covey__buffer_append(&x->body, data, size);
    return x->sink_says;
}

static covey_status fetch(exchange *x, const covey_transport *transport) {
    return transport->fetch(transport->user, &x->request, &x->response, collect, x, &x->error);
}

/* One exchange with one script on the default transport. */
static covey_status once(exchange *x, const char *script) {
    const char *scripts[] = {script, NULL};
    script_server s = {0};
    server_start(&s, scripts);
    exchange_init(x, &env, s.port, "GET");
    covey_status status = fetch(x, covey__transport_curl());
    server_stop(&s);
    return status;
}

/* Every socket of this process, in the middle of an answer, ends with exec. */
static covey_status look_at_sockets(void *user, const covey_http_response *response,
                                    const void *data, size_t size) {
    int *seen = user;
    (void)response, (void)data, (void)size;
    for (int descriptor = 3; descriptor < 256; descriptor++) {
        int type = 0, flags = fcntl(descriptor, F_GETFD);
        socklen_t type_size = sizeof type;
        struct sockaddr_in peer;
        socklen_t peer_size = sizeof peer;
        if (flags < 0 || getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &type_size)) continue;
        if (getpeername(descriptor, (struct sockaddr *)&peer, &peer_size)) continue;
        if (ntohs(peer.sin_port) != (unsigned)seen[1]) continue;
        assert_true(flags & FD_CLOEXEC);
        seen[0]++;
    }
    return COVEY_OK;
}

static void sockets_are_not_inherited(void **state) {
    (void)state;
    static const char *const scripts[] = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", NULL};
    script_server s = {0};
    exchange x;
    server_start(&s, scripts);
    exchange_init(&x, &env, s.port, "GET");
    int seen[2] = {0, (int)s.port};
    const covey_transport *transport = covey__transport_curl();
    assert_int_equal(
        transport->fetch(transport->user, &x.request, &x.response, look_at_sockets, seen, &x.error),
        COVEY_OK);
    assert_int_equal(seen[0], 1);
    server_stop(&s);
}

static void what_a_206_says(void **state) {
    (void)state;
    exchange x;
    assert_int_equal(once(&x, "HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-7/100\r\n"
                              "ETag: \"abc\"\r\nContent-Length: 3\r\n\r\nxyz"),
                     COVEY_OK);
    assert_int_equal(x.response.status, 206);
    assert_int_equal(x.response.range_first, 5);
    assert_string_equal(x.response.etag, "\"abc\"");
    assert_string_equal(x.body.data, "xyz");
    covey__buffer_free(&x.body);
}

static void a_range_ignored_is_a_200(void **state) {
    (void)state;
    exchange x;
    assert_int_equal(once(&x, "HTTP/1.1 200 OK\r\nContent-Range: bytes 5-7/100\r\n"
                              "Content-Length: 3\r\n\r\nabc"),
                     COVEY_OK);
    assert_int_equal(x.response.status, 200);
    assert_int_equal(x.response.range_first, 0);
    covey__buffer_free(&x.body);
}

static void retry_after_in_both_forms(void **state) {
    (void)state;
    exchange x;
    assert_int_equal(once(&x, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"),
                     COVEY_OK);
    assert_int_equal(x.response.status, 503);
    assert_int_equal(x.response.retry_after_ms, 7000);
    assert_int_equal(once(&x, "HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 2199 23:59:59 GMT\r\n"
                              "Content-Length: 0\r\n\r\n"),
                     COVEY_OK);
    assert_true(x.response.retry_after_ms > 1000000);
    assert_int_equal(once(&x, "HTTP/1.1 503 Busy\r\nRetry-After: soon\r\n"
                              "Content-Length: 0\r\n\r\n"),
                     COVEY_OK);
    assert_int_equal(x.response.retry_after_ms, 0);
}

static void a_body_that_breaks_off_is_a_failure(void **state) {
    (void)state;
    exchange x;
    assert_int_equal(once(&x, "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc"),
                     COVEY_ERROR_NETWORK);
    assert_null(strstr(x.error.message, "secret")); /* no query in messages */
    assert_non_null(strstr(x.error.message, "/a"));
    covey__buffer_free(&x.body);
    assert_int_equal(once(&x, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
                     COVEY_ERROR_NETWORK);
    covey__buffer_free(&x.body);
    assert_int_equal(once(&x, "nonsense\r\n\r\n"), COVEY_ERROR_NETWORK);
    covey__buffer_free(&x.body);
}

static void a_body_beyond_the_bound_is_stopped(void **state) {
    (void)state;
    exchange x;
    char script[4000];
    int size = snprintf(script, sizeof script, "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n");
    memset(script + size, 'a', 1001);
    script[size + 1001] = '\0';
    assert_int_equal(once(&x, script), COVEY_ERROR_LIMIT);
    assert_int_equal(x.error.expected, 1000);
    assert_true(x.body.size <= 1000);
    covey__buffer_free(&x.body);
}

static void the_sink_can_stop_it(void **state) {
    (void)state;
    const char *scripts[] = {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", NULL};
    exchange x;
    script_server s = {0};
    server_start(&s, scripts);
    exchange_init(&x, &env, s.port, "GET");
    x.sink_says = COVEY_ERROR_CANCELLED;
    assert_int_equal(fetch(&x, covey__transport_curl()), COVEY_ERROR_CANCELLED);
    server_stop(&s);
    covey__buffer_free(&x.body);
}

static void a_silent_server_times_out(void **state) {
    (void)state;
    const char *scripts[] = {"", NULL};
    exchange x;
    script_server s = {0};
    server_start(&s, scripts);
    exchange_init(&x, &env, s.port, "GET");
    x.request.idle_timeout_ms = 1000;
    assert_int_equal(fetch(&x, covey__transport_curl()), COVEY_ERROR_TIMEOUT);
    server_stop(&s);
    covey__buffer_free(&x.body);
}

static void nobody_listens(void **state) {
    (void)state;
    exchange x;
    exchange_init(&x, &env, 1, "GET");
    assert_int_equal(fetch(&x, covey__transport_curl()), COVEY_ERROR_NETWORK);
    snprintf(x.url, sizeof x.url, "file:///etc/passwd");
    assert_int_equal(fetch(&x, covey__transport_curl()), COVEY_ERROR_INVALID_ARGUMENT);
    covey__buffer_free(&x.body);
}

static void redirects_stay_within_the_scheme(void **state) {
    (void)state;
    exchange x;
    assert_int_equal(once(&x, "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/x\r\n"
                              "Content-Length: 0\r\n\r\n"),
                     COVEY_ERROR_NETWORK);
    assert_int_equal(once(&x, "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n"
                              "Content-Length: 0\r\n\r\n"),
                     COVEY_ERROR_NETWORK);
    const char *scripts[] = {
        "HTTP/1.1 302 Found\r\nLocation: /b\r\nETag: \"old\"\r\nContent-Length: 4\r\n\r\ngone",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", NULL};
    script_server s = {0};
    server_start(&s, scripts);
    exchange_init(&x, &env, s.port, "GET");
    assert_int_equal(fetch(&x, covey__transport_curl()), COVEY_OK);
    server_stop(&s);
    assert_string_equal(x.body.data, "ok");
    assert_string_equal(x.response.etag, ""); /* the answer's, not the redirect's */
    assert_int_equal(strncmp(s.last_request, "GET /b ", 7), 0);
    covey__buffer_free(&x.body);
}

static void a_post_is_not_redirected(void **state) {
    (void)state;
    const char *scripts[] = {"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
                             NULL};
    exchange x;
    script_server s = {0};
    server_start(&s, scripts);
    exchange_init(&x, &env, s.port, "POST");
    x.request.body = "{}";
    x.request.body_size = 2;
    assert_int_equal(fetch(&x, covey__transport_curl()), COVEY_OK);
    server_stop(&s);
    assert_int_equal(x.response.status, 302);
}

static void what_is_sent(void **state) {
    (void)state;
    const char *scripts[] = {"HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n", NULL};
    const char *headers[] = {"Authorization: Bearer t", "X-B: c"};
    const char *broken[] = {"X-A: b\r\nX-Evil: 1"};
    exchange x;
    script_server s = {0};
    server_start(&s, scripts);
    exchange_init(&x, &env, s.port, "PUT");
    x.request.headers = broken;
    x.request.header_count = 1;
    assert_int_equal(fetch(&x, covey__transport_curl()), COVEY_ERROR_INVALID_ARGUMENT);
    x.request.headers = headers;
    x.request.header_count = 2;
    x.request.body = "body";
    x.request.body_size = 4;
    assert_int_equal(fetch(&x, covey__transport_curl()), COVEY_OK);
    server_stop(&s);
    assert_int_equal(x.response.status, 201);
    assert_int_equal(strncmp(s.last_request, "PUT /a?secret=1 HTTP/1.1\r\n", 26), 0);
    assert_non_null(strstr(s.last_request, "\r\nAuthorization: Bearer t\r\n"));
    assert_non_null(strstr(s.last_request, "\r\nContent-Length: 4\r\n"));
    assert_null(strstr(s.last_request, "Expect:"));
    assert_null(strstr(s.last_request, "Accept-Encoding"));
}

static void ranges_as_sent(void **state) {
    (void)state;
    static const struct {
        uint64_t first, count;
        const char *header;
    } cases[] = {{10, 5, "\r\nRange: bytes=10-14\r\n"},
                 {10, 0, "\r\nRange: bytes=10-\r\n"},
                 {0, 1, "\r\nRange: bytes=0-0\r\n"},
                 {0, 0, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *scripts[] = {"HTTP/1.1 204 None\r\n\r\n", NULL};
        exchange x;
        script_server s = {0};
        server_start(&s, scripts);
        exchange_init(&x, &env, s.port, "GET");
        x.request.range_first = cases[i].first;
        x.request.range_count = cases[i].count;
        assert_int_equal(fetch(&x, covey__transport_curl()), COVEY_OK);
        server_stop(&s);
        if (cases[i].header != NULL) {
            assert_non_null(strstr(s.last_request, cases[i].header));
        } else {
            assert_null(strstr(s.last_request, "Range:"));
        }
    }
}

static void a_pool_keeps_its_connection(void **state) {
    (void)state;
    const char *scripts[] = {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
                             "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb",
                             "HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nc", NULL};
    test_env test;
    exchange x;
    covey_error error = {0};
    covey__transport_pool *pool = NULL;
    script_server s = {.keep_alive = true};
    server_start(&s, scripts);
    test_env_init(&test);
    assert_int_equal(covey__transport_pool_new(&test.env, 2, &pool, &error), COVEY_OK);
    exchange_init(&x, &test.env, s.port, "GET");
    for (int i = 0; i < 3; i++) {
        /* Nothing of one request may stay for the next. */
        x.request.range_count = i == 0 ? 1 : 0;
        assert_int_equal(fetch(&x, covey__transport_pool_table(pool)), COVEY_OK);
    }
    assert_null(strstr(s.last_request, "Range:"));
    assert_int_equal(x.response.status, 404);
    assert_string_equal(x.body.data, "abc");
    covey__transport_pool_free(pool);
    server_stop(&s);
    assert_int_equal(s.connections, 1);
    covey__buffer_free(&x.body);
    assert_int_equal(test.alive, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_are_not_inherited),
        cmocka_unit_test(what_a_206_says),
        cmocka_unit_test(a_range_ignored_is_a_200),
        cmocka_unit_test(retry_after_in_both_forms),
        cmocka_unit_test(a_body_that_breaks_off_is_a_failure),
        cmocka_unit_test(a_body_beyond_the_bound_is_stopped),
        cmocka_unit_test(the_sink_can_stop_it),
        cmocka_unit_test(a_silent_server_times_out),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(redirects_stay_within_the_scheme),
        cmocka_unit_test(a_post_is_not_redirected),
        cmocka_unit_test(what_is_sent),
        cmocka_unit_test(ranges_as_sent),
        cmocka_unit_test(a_pool_keeps_its_connection),
    };
    covey__env_init(&env);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
