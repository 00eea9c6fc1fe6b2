/* A control plane in the test's own process, behind the transport table: it publishes real, signed
 * releases of small ensembles, answers enrollment, check-ins, reports and blobs with ranges, and
 * misbehaves on demand. Requests are bounded by the tests; nothing touches a network. */
#ifndef COVEY_TEST_AGENT_DOUBLE_H
#define COVEY_TEST_AGENT_DOUBLE_H

#include "agent_lines_double.h"

/* ---- The transport ----------------------------------------------------------------------------
 */

static inline covey_status double_send(covey_http_response *response, int status, const char *text,
                                       covey_http_sink sink, void *user) {
    response->status = status;
    return sink(user, response, text, strlen(text));
}

static inline void double_take_reports(control_double *c, const char *body, size_t size) {
    const covey__env *env = covey__runtime_env(c->runtime);
    covey__arena arena;
    const covey__json *root = NULL;
    covey__arena_init(&arena, env, 8u << 20);
    assert_int_equal(covey__json_parse(&arena, body, size, COVEY__JSON_LIMITS_DEFAULT, &root, NULL),
                     COVEY_OK);
    const covey__json *events = covey__json_get(root, "events");
    for (const covey__json *event = events->child; event; event = event->next) {
        const char *id = covey__json_get(event, "id")->text;
        bool known = false;
        for (size_t i = 0; i < c->report_count; i++) known |= !strcmp(c->report_ids[i], id);
        if (known || c->report_count == DOUBLE_REPORTS_MAX) continue;
        const covey__json *message = covey__json_get(event, "message");
        snprintf(c->report_ids[c->report_count], 64, "%s", id);
        snprintf(c->reports[c->report_count++], 512, "%s %s %s: %s",
                 covey__json_get(event, "phase")->text, covey__json_get(event, "outcome")->text,
                 covey__json_get(event, "release")->text, message ? message->text : "");
    }
    covey__arena_free(&arena);
}

static inline covey_status double_blob_answer(control_double *c, const covey_http_request *request,
                                              covey_http_response *response, covey_http_sink sink,
                                              void *user) {
    uint8_t digest[32];
    const char *hex = strrchr(request->url, '/') + 1;
    c->blob_requests++;
    if (request->range_first) c->range_requests++;
    if (c->on_blob) c->on_blob(c);
    bool bad = c->bad_host && strstr(request->url, c->bad_host);
    if (bad) c->bad_host_requests++;
    if (bad && c->bad_host_status)
        return double_send(response, c->bad_host_status, "{}", sink, user);
    if (c->page) return double_send(response, 200, c->page, sink, user);
    if (c->blob_status) return double_send(response, c->blob_status, "{}", sink, user);
    assert_true(covey__unhex(hex, strlen(hex), digest, 32));
    for (size_t i = 0; i < c->blob_count; i++) {
        const double_blob *blob = &c->blobs[i];
        if (memcmp(blob->sha256, digest, 32)) continue;
        uint64_t first = c->ignore_range ? 0 : request->range_first;
        size_t size = blob->size - (size_t)first;
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, (const uint8_t *)blob->data + first, size);
        if (bad || c->spoil_at_request == c->blob_requests) copy[size / 2] ^= 1;
        bool cut = c->cut_at_request == c->blob_requests;
        if (cut) size /= 2;
        response->status = first ? 206 : 200;
        response->range_first = first;
        covey_status status = sink(user, response, copy, size);
        c->blob_bytes += size;
        free(copy);
        return !status && cut ? COVEY_ERROR_NETWORK : status;
    }
    return double_send(response, 404,
                       "{\"error\":{\"code\":\"not_found\",\"message\":\"no such blob\"}}", sink,
                       user);
}

static inline void double_metadata(const control_double *c, char *out, size_t capacity) {
    const agent_repository *r = &c->repository;
    snprintf(out, capacity, "{\"root\":%lld,\"timestamp\":%lld}", (long long)r->root,
             (long long)(c->served_timestamp ? c->served_timestamp : r->timestamp));
}

/* A content key as it was wrapped, for whoever shows the device's token. */
static inline covey_status double_key_answer(control_double *c, const covey_http_request *request,
                                             covey_http_response *response, covey_http_sink sink,
                                             void *user) {
    char text[400];
    c->key_requests++;
    assert_int_equal(request->header_count, 1);
    assert_string_equal(request->headers[0], "Authorization: Bearer cvd_secret");
    if (c->wrapped[0] == 0) return double_send(response, 404, "{}", sink, user);
    snprintf(text, sizeof text, "{\"key\":\"%s\",\"wrapped\":\"%s\"}",
             strrchr(request->url, '/') + 1, c->wrapped);
    return double_send(response, 200, text, sink, user);
}

static inline covey_status double_fetch(void *user, const covey_http_request *request,
                                        covey_http_response *response, covey_http_sink sink,
                                        void *sink_user, covey_error *error) {
    control_double *c = user;
    if (c->offline) return covey__fail(error, COVEY_ERROR_NETWORK, "the network is down");
    if (strstr(request->url, "/sha256/")) {
        covey_status status = double_blob_answer(c, request, response, sink, sink_user);
        return status ? covey__fail(error, status, "the line broke") : COVEY_OK;
    }
    if (strstr(request->url, "/v1/metadata/"))
        return repo_fetch(&c->repository, request->url, response, sink, sink_user, error);
    if (strstr(request->url, "/v1/content-keys/"))
        return double_key_answer(c, request, response, sink, sink_user);
    if (strstr(request->url, "/v1/enroll")) {
        snprintf(c->last_enrollment, sizeof c->last_enrollment, "%.*s", (int)request->body_size,
                 (const char *)request->body);
        char text[1024], metadata[200];
        double_metadata(c, metadata, sizeof metadata);
        snprintf(
            text, sizeof text,
            "{\"device_id\":\"00112233445566778899aabbccddeeff\",\"device_token\":\"cvd_secret\","
            "\"blobs_url\":\"/v1/blobs\",\"metadata_url\":\"/v1/metadata\","
            "\"targets_url\":\"/v1/targets\",\"metadata\":%s,\"poll_ms\":60000}",
            c->rootless ? "null" : metadata);
        return double_send(response, 201, text, sink, sink_user);
    }
    if (strstr(request->url, "/v1/checkin")) {
        static char text[70000];
        char metadata[200];
        double_metadata(c, metadata, sizeof metadata);
        c->checkins++;
        snprintf(c->last_checkin, sizeof c->last_checkin, "%.*s", (int)request->body_size,
                 (const char *)request->body);
        response->retry_after_ms = c->retry_after_ms;
        if (c->checkin_status)
            return double_send(response, c->checkin_status, "{}", sink, sink_user);
        snprintf(text, sizeof text, "{\"poll_ms\":%lld,%s%s%s\"metadata\":%s,\"target\":%s}",
                 c->poll_ms ? (long long)c->poll_ms : 60000LL, c->mirrors ? "\"mirrors\":" : "",
                 c->mirrors ? c->mirrors : "", c->mirrors ? "," : "", metadata,
                 c->target[0] ? c->target : "null");
        return double_send(response, 200, text, sink, sink_user);
    }
    if (strstr(request->url, "/v1/reports")) {
        double_take_reports(c, request->body, request->body_size);
        return double_send(response, 200, "{\"accepted\":1,\"known\":0}", sink, sink_user);
    }
    return double_send(response, 404, "{}", sink, sink_user);
}

static inline bool double_reported(const control_double *c, const char *part) {
    for (size_t i = 0; i < c->report_count; i++)
        if (strstr(c->reports[i], part)) return true;
    return false;
}

/* ---- The device -------------------------------------------------------------------------------
 */

static inline int64_t double_clock(void *user) {
    return ((control_double *)user)->now_ms;
}

static inline covey_status double_probe(void *user, covey_ensemble *ensemble,
                                        covey_probe_result *result, covey_error *error) {
    control_double *c = user;
    (void)ensemble;
    (void)result;
    c->probe_runs++;
    if (c->probe_status) return covey__fail(error, c->probe_status, "%s", c->probe_message);
    return COVEY_OK;
}

static inline void double_open(control_double *c) {
    covey_error error = {0};
    memset(c, 0, sizeof *c);
    test_folder_make(&c->folder);
    c->now_ms = 1789000000000;
    c->transport = (covey_transport){.size = sizeof c->transport,
                                     .user = c,
                                     .fetch = double_fetch,
                                     .open = double_lines,
                                     .begin = double_begin,
                                     .wait = double_wait,
                                     .cancel = double_cancel,
                                     .close = double_hang_up};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.clock = double_clock;
    options.clock_user = c;
    options.crypto = covey__crypto_openssl();
    options.transport = &c->transport;
    if (covey__runtime_new(&options, &c->runtime, &error)) fail_msg("%s", error.message);
    repo_open(&c->repository, covey__runtime_env(c->runtime), 1);
    c->repository.expires_ms = c->now_ms + 3650 * REPO_DAY_MS;
    c->repository.issued_ms = c->now_ms;
    repo_publish(&c->repository);
}

static inline void double_close(control_double *c) {
    assert_int_equal(c->lines_open, 0); /* agents that ended hung up */
    for (size_t i = 0; i < c->blob_count; i++) free(c->blobs[i].data);
    repo_close(&c->repository);
    covey_runtime_close(c->runtime);
    test_folder_remove(&c->folder);
}

/* The agent of an app's version, on the same state each time. */
static inline covey_agent *double_agent_of(control_double *c, bool builtin,
                                           const char *app_version) {
    covey_agent *agent = NULL;
    covey_error error = {0};
    char state[300], shipped[300];
    covey_agent_options options = COVEY_AGENT_OPTIONS_INIT;
    snprintf(state, sizeof state, "%s", test_path(&c->folder, "state"));
    snprintf(shipped, sizeof shipped, "%s", test_path(&c->folder, "builtin"));
    options.state_dir = state;
    options.builtin_dir = builtin ? shipped : NULL;
    options.app_version = app_version;
    options.probe = double_probe;
    options.probe_user = c;
    options.tells_answers = c->tells_answers;
    if (covey__agent_open(c->runtime, &options, &agent, &error))
        fail_msg("open: %s", error.message);
    return agent;
}

static inline covey_agent *double_agent(control_double *c, bool builtin) {
    return double_agent_of(c, builtin, "1.0.0");
}

/* Steps until nothing is left to do now; at most so many times. Returns the last outcome. */
static inline covey_agent_outcome double_steps(control_double *c, covey_agent *agent, int most) {
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    for (int i = 0; i < most; i++) {
        if (covey_agent_step(agent, 0, i == 0, &outcome, &error))
            fail_msg("step: %s", error.message);
        if (outcome.state != COVEY_AGENT_WORKING) break;
    }
    (void)c;
    return outcome;
}

/* The version that is served now; the ensemble is opened and checked as an app would. */
static inline void double_assert_serves(covey_agent *agent, const char *version) {
    covey_ensemble *ensemble = NULL;
    covey_error error = {0};
    if (covey_agent_current(agent, &ensemble, &error)) fail_msg("current: %s", error.message);
    assert_string_equal(covey_ensemble_version(ensemble), version);
    covey_ensemble_close(ensemble);
}

/* A device that shipped with 1.0.0 and is enrolled; 1.1.0 is built, and published where `publish`.
 */
static inline covey_agent *double_device(control_double *c, size_t model_bytes, bool publish) {
    covey_error error = {0};
    double_open(c);
    double_ensemble(c, "builtin", "1.0.0", model_bytes, 10, NULL);
    double_ensemble(c, "v110", "1.1.0", model_bytes, 11, NULL);
    if (publish) double_publish(c, "v110", "1.1.0");
    covey_agent *agent = double_agent(c, true);
    if (covey_agent_enroll(agent, "http://fleet.test/", "cve_x", NULL, &error))
        fail_msg("%s", error.message);
    return agent;
}

static inline void double_finish(control_double *c, covey_agent *agent) {
    covey_agent_close(agent);
    double_close(c);
}

#endif
