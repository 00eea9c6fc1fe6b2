/* A server over the scripted backend of backend_double.h. Each test program includes this once. */
#ifndef COVEY_TESTS_SERVE_SERVE_DOUBLE_H
#define COVEY_TESTS_SERVE_SERVE_DOUBLE_H

#include "backend_double.h"

typedef struct served_test {
    covey_runtime *runtime;
    covey_server *server;
    double_backend one, two;
    uint16_t port;
} served_test;

static inline void served_begin(served_test *t, const covey_server_options *options) {
    covey_error error = {0};
    memset(t, 0, sizeof *t);
    double_init(&t->one, "one", 16);
    double_init(&t->two, "two", 16);
    if (covey__runtime_new(NULL, &t->runtime, &error) ||
        covey_server_open(t->runtime, options, &t->server, &error))
        fail_msg("%s", error.message);
    t->port = covey_server_port(t->server);
    assert_true(t->port > 0);
}

static inline void served_set(served_test *t, double_backend *backend, const char *label) {
    covey_error error = {0};
    covey_backend *made = double_make(t->runtime, backend);
    if (covey_server_set_backend(t->server, made, label, "assistant", &error))
        fail_msg("%s", error.message);
    covey_backend_release(made);
}

static inline void served_end(served_test *t, bool second) {
    covey_server_close(t->server, 0);
    double_free(&t->one);
    if (second) double_free(&t->two);
    covey_runtime_close(t->runtime);
}

/* The value of a sample in /metrics. */
static inline long metric(uint16_t port, const char *sample) {
    reply r = client_do(port, "GET", "/metrics", BEARER, NULL);
    char *at = r.body ? strstr(r.body, sample) : NULL;
    if (!at) fail_msg("no sample %s", sample);
    long value = strtol(at + strlen(sample), NULL, 10);
    reply_free(&r);
    return value;
}

/* Asks until the sample has the value: what happens in another thread takes a moment. */
static inline void await_metric(uint16_t port, const char *sample, long wanted) {
    struct timespec pause = {0, 2000000};
    for (int waited = 0; metric(port, sample) != wanted; waited += 2) {
        if (waited > PATIENCE_MS) fail_msg("%s did not become %ld", sample, wanted);
        nanosleep(&pause, NULL);
    }
}

#endif
