/* Several exchanges in one thread, against a server on loopback whose steps the test knows: no
 * answer is sent before all requests came, so what is said to be together is together. */
#include "support/support.h"

#include "transport/transport_curl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINES_MAX 8

typedef struct server {
    int listener;
    unsigned port;
    pthread_t thread;
    int together; /* connections whose requests are awaited before any is answered */
    int rounds;   /* answers on each connection */
    bool flood;   /* sends without end until it is held back */
    sem_t held;   /* then this is posted */
    const char *answer;
    int connections;
} server;

static bool read_head(int line) {
    char text[4096];
    size_t size = 0;
    while (size + 1 < sizeof text) {
        ssize_t got = recv(line, text + size, sizeof text - 1 - size, 0);
        if (got <= 0) return false;
        size += (size_t)got;
        text[size] = 0;
        if (strstr(text, "\r\n\r\n")) return true;
    }
    return false;
}

/* Until the other side takes no more for a while: its window and ours are full. */
static void flood(server *s, int line) {
    static const char head[] = "HTTP/1.1 200 OK\r\n\r\n";
    char block[65536];
    memset(block, 'x', sizeof block);
    (void)send(line, head, sizeof head - 1, MSG_NOSIGNAL);
    for (;;) {
        struct pollfd ready = {.fd = line, .events = POLLOUT};
        if (poll(&ready, 1, 300) == 0) {
            sem_post(&s->held);
            while (recv(line, block, sizeof block, 0) > 0) {
            }
            return;
        }
        if (send(line, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
            return;
    }
}

static void *serve(void *user) {
    server *s = user;
    int lines[LINES_MAX];
    for (int i = 0; i < s->together; i++) {
        lines[i] = accept(s->listener, NULL, NULL);
        if (lines[i] < 0) return NULL;
        s->connections++;
    }
    for (int round = 0; round < s->rounds; round++) {
        for (int i = 0; i < s->together; i++)
            if (!read_head(lines[i])) goto out;
        for (int i = 0; i < s->together; i++) {
            if (s->flood)
                flood(s, lines[i]);
            else
                (void)send(lines[i], s->answer, strlen(s->answer), MSG_NOSIGNAL);
        }
    }
out:
    for (int i = 0; i < s->together; i++) close(lines[i]);
    return NULL;
}

static void start(server *s) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(sem_init(&s->held, 0, 0), 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s->listener, LINES_MAX), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&at, &size), 0);
    s->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(server *s) {
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    sem_destroy(&s->held);
}

typedef struct exchange {
    covey_http_response response;
    uint64_t bytes;
    bool ended;
    covey_status status;
} exchange;

static covey_status count(void *user, const covey_http_response *response, const void *data,
                          size_t size) {
    exchange *x = user;
    (void)data;
    assert_int_not_equal(response->status, 0);
    x->bytes += size;
    return COVEY_OK;
}

static void begin(covey_http_lines *lines, const server *s, exchange *x) {
    char url[100]; /* borrowed for the call alone */
    covey_error error = {0};
    const covey_transport *t = covey__transport_curl();
    snprintf(url, sizeof url, "http://127.0.0.1:%u/a", s->port);
    covey_http_request request = {.size = sizeof request,
                                  .method = "GET",
                                  .url = url,
                                  .body_bytes_max = UINT64_MAX,
                                  .connect_timeout_ms = 5000,
                                  .idle_timeout_ms = 20000};
    *x = (exchange){.response = {.size = sizeof x->response}};
    if (t->begin(lines, &request, &x->response, count, x, &error)) fail_msg("%s", error.message);
    memset(url, 'x', sizeof url);
}

/* Until `count` of them ended. */
static void wait_for(covey_http_lines *lines, int ends) {
    const covey_transport *t = covey__transport_curl();
    while (ends) {
        void *ended = NULL;
        covey_error error = {0};
        covey_status status = t->wait(lines, 1000, &ended, &error);
        if (!ended) {
            assert_int_equal(status, COVEY_OK);
            continue;
        }
        exchange *x = ended;
        assert_false(x->ended);
        x->ended = true;
        x->status = status;
        ends--;
    }
}

static covey_http_lines *open_lines(void) {
    covey_http_lines *lines = NULL;
    covey_error error = {0};
    const covey_transport *t = covey__transport_curl();
    assert_int_equal(t->open(t->user, &lines, &error), COVEY_OK);
    return lines;
}

static const char small[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"e\"\r\n\r\nabc";

static void they_are_under_way_together(void **state) {
    (void)state;
    server s = {.together = 4, .rounds = 3, .answer = small};
    exchange x[4];
    start(&s);
    covey_http_lines *lines = open_lines();
    for (int round = 0; round < 3; round++) { /* on the connections of the first round */
        for (int i = 0; i < 4; i++) begin(lines, &s, &x[i]);
        wait_for(lines, 4);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(x[i].status, COVEY_OK);
            assert_int_equal(x[i].bytes, 3);
            assert_int_equal(x[i].response.status, 200);
            assert_int_equal(x[i].response.content_length, 3);
            assert_string_equal(x[i].response.etag, "\"e\"");
        }
    }
    covey__transport_curl()->close(lines);
    stop(&s);
    assert_int_equal(s.connections, 4);
}

static void one_is_cancelled_and_the_other_goes_on(void **state) {
    (void)state;
    server s = {.together = 2, .rounds = 1, .answer = small};
    exchange x[2];
    void *ended = NULL;
    covey_error error = {0};
    const covey_transport *t = covey__transport_curl();
    start(&s);
    covey_http_lines *lines = open_lines();
    begin(lines, &s, &x[0]);
    begin(lines, &s, &x[1]);
    wait_for(lines, 1);
    exchange *left = x[0].ended ? &x[1] : &x[0];
    if (!left->ended) t->cancel(lines, left);
    t->cancel(lines, &s); /* one that there is not */
    assert_int_equal(t->wait(lines, 0, &ended, &error), COVEY_OK);
    assert_null(ended);
    t->close(lines);
    stop(&s);
}

/* Whoever does not wait holds the sender back, and little was taken in. */
static void who_does_not_wait_holds_back(void **state) {
    (void)state;
    server s = {.together = 1, .rounds = 1, .flood = true};
    exchange x;
    void *ended = NULL;
    covey_error error = {0};
    const covey_transport *t = covey__transport_curl();
    start(&s);
    covey_http_lines *lines = open_lines();
    begin(lines, &s, &x);
    while (!x.bytes) assert_int_equal(t->wait(lines, 1000, &ended, &error), COVEY_OK);
    assert_true(x.bytes <= 4 << 20); /* one read, not all that there is */
    sem_wait(&s.held);
    t->close(lines); /* in the middle of it */
    t->close(NULL);
    stop(&s);
}

static void failures_are_told_of_each(void **state) {
    (void)state;
    server s = {
        .together = 2, .rounds = 1, .answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"};
    exchange x[3];
    start(&s);
    covey_http_lines *lines = open_lines();
    begin(lines, &s, &x[0]);
    begin(lines, &s, &x[1]);
    wait_for(lines, 2);
    for (int i = 0; i < 2; i++) assert_int_equal(x[i].status, COVEY_ERROR_NETWORK);
    stop(&s);
    begin(lines, &s, &x[2]); /* nobody listens any more */
    wait_for(lines, 1);
    assert_int_equal(x[2].status, COVEY_ERROR_NETWORK);
    covey__transport_curl()->close(lines);
}

/* A program that was built when the struct was smaller: nothing is written behind it. */
static void a_smaller_response_is_not_overrun(void **state) {
    (void)state;
    server s = {.together = 1,
                .rounds = 1,
                .answer = "HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n"
                          "Content-Range: bytes 7-9/4000\r\n\r\nabc"};
    const covey_transport *t = covey__transport_curl();
    exchange x = {.bytes = 0};
    char url[100];
    covey_error error = {0};
    start(&s);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/a", s.port);
    covey_http_request request = {
        .size = sizeof request, .method = "GET", .url = url, .body_bytes_max = 1000};
    x.response.size = offsetof(covey_http_response, content_length);
    x.response.content_length = 12345;
    x.response.range_total = 54321;
    assert_int_equal(t->fetch(t->user, &request, &x.response, count, &x, &error), COVEY_OK);
    stop(&s);
    assert_int_equal(x.response.range_first, 7);
    assert_int_equal(x.response.content_length, 12345);
    assert_int_equal(x.response.range_total, 54321);
    server again = {.together = 1, .rounds = 1, .answer = s.answer};
    start(&again);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/a", again.port);
    x.response.size = sizeof x.response;
    assert_int_equal(t->fetch(t->user, &request, &x.response, count, &x, &error), COVEY_OK);
    stop(&again);
    assert_int_equal(x.response.content_length, 3);
    assert_int_equal(x.response.range_total, 4000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_under_way_together),
        cmocka_unit_test(one_is_cancelled_and_the_other_goes_on),
        cmocka_unit_test(who_does_not_wait_holds_back),
        cmocka_unit_test(failures_are_told_of_each),
        cmocka_unit_test(a_smaller_response_is_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
