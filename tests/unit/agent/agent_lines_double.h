/* The transport of agent_double.h with several exchanges under way: each is performed whole in a
 * wait, in any order. */
#ifndef COVEY_TEST_AGENT_LINES_DOUBLE_H
#define COVEY_TEST_AGENT_LINES_DOUBLE_H

#include "agent_releases.h"

/* agent_double.h has it: one exchange, answered at once. */
static inline covey_status double_fetch(void *user, const covey_http_request *request,
                                        covey_http_response *response, covey_http_sink sink,
                                        void *sink_user, covey_error *error);

static inline covey_status double_lines(void *user, covey_http_lines **lines, covey_error *error) {
    control_double *c = user;
    double_line_set *set = calloc(1, sizeof *set);
    (void)error;
    assert_non_null(set);
    set->c = c;
    c->lines_open++;
    *lines = (covey_http_lines *)set;
    return COVEY_OK;
}

static inline covey_status double_begin(covey_http_lines *lines, const covey_http_request *request,
                                        covey_http_response *response, covey_http_sink sink,
                                        void *sink_user, covey_error *error) {
    double_line_set *set = (double_line_set *)lines;
    (void)error;
    for (int i = 0; i < DOUBLE_PENDING_MAX; i++) {
        double_pending *one = &set->pending[i];
        if (one->user) continue;
        *one = (double_pending){.user = sink_user, .sink = sink, .response = response};
        one->request = *request;
        snprintf(one->method, sizeof one->method, "%s", request->method);
        snprintf(one->url, sizeof one->url, "%s", request->url);
        assert_true(request->header_count <= 2);
        for (size_t k = 0; k < request->header_count; k++) {
            snprintf(one->headers[k], sizeof one->headers[k], "%s", request->headers[k]);
            one->lines[k] = one->headers[k];
        }
        one->request.method = one->method;
        one->request.url = one->url;
        one->request.headers = one->lines;
        return COVEY_OK;
    }
    fail_msg("too many exchanges");
    return COVEY_ERROR_LIMIT;
}

static inline covey_status double_wait(covey_http_lines *lines, uint32_t timeout_ms, void **ended,
                                       covey_error *error) {
    double_line_set *set = (double_line_set *)lines;
    control_double *c = set->c;
    int start = (int)(test_random(&c->order) % DOUBLE_PENDING_MAX);
    (void)timeout_ms;
    *ended = NULL;
    for (int i = 0; i < DOUBLE_PENDING_MAX; i++) {
        double_pending *one = &set->pending[(start + i) % DOUBLE_PENDING_MAX];
        if (!one->user) continue;
        covey_status status =
            double_fetch(c, &one->request, one->response, one->sink, one->user, error);
        *ended = one->user;
        one->user = NULL;
        return status;
    }
    return COVEY_OK;
}

static inline void double_cancel(covey_http_lines *lines, void *sink_user) {
    double_line_set *set = (double_line_set *)lines;
    for (int i = 0; i < DOUBLE_PENDING_MAX; i++)
        if (set->pending[i].user == sink_user) set->pending[i].user = NULL;
}

static inline void double_hang_up(covey_http_lines *lines) {
    double_line_set *set = (double_line_set *)lines;
    for (int i = 0; i < DOUBLE_PENDING_MAX; i++) assert_null(set->pending[i].user);
    set->c->lines_open--;
    free(set);
}

#endif
