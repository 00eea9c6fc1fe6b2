/* A control plane in this process for tests: a server on a port of the system's choice over a
 * temporary folder, and plain HTTP calls to it. */
#ifndef COVEY_TEST_FLEET_DOUBLE_H
#define COVEY_TEST_FLEET_DOUBLE_H

#include "support/support.h"

#include <covey/fleet.h>

#include "base/file.h"
#include "base/json.h"
#include "base/runtime.h"
#include "base/sha256.h"
#include "transport/transport_curl.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Time stands still until a test moves it. */
typedef struct fleet_double {
    test_folder folder;
    covey_runtime *runtime;
    covey_fleet_server *server;
    covey__transport_pool *pool;
    atomic_int_least64_t now_ms;
    char online_key[300];         /* of the server; "": none */
    char admin[128];              /* the admin token */
    char data[300];               /* the server's data folder */
    covey_http_response response; /* of the last call */
    covey__buffer body;
} fleet_double;

static inline int64_t fleet_clock(void *user) {
    return ((fleet_double *)user)->now_ms;
}

static inline void fleet_start(fleet_double *f) {
    covey_error error = {0};
    covey_fleet_server_options options = COVEY_FLEET_SERVER_OPTIONS_INIT;
    options.data_dir = f->data;
    options.poll_ms = 1234;
    options.online_key_file = f->online_key[0] != '\0' ? f->online_key : NULL;
    covey_status status = covey_fleet_server_open(f->runtime, &options, &f->server, &error);
    if (status != COVEY_OK) fail_msg("server: %s", error.message);
    char *token = test_read(covey_fleet_server_token_file(f->server), NULL);
    assert_non_null(token);
    snprintf(f->admin, sizeof f->admin, "%.*s", (int)strcspn(token, "\n"), token);
    free(token);
}

static inline void fleet_stop(fleet_double *f) {
    covey_fleet_server_close(f->server);
    f->server = NULL;
}

static inline int fleet_setup(void **state) {
    fleet_double *f = calloc(1, sizeof *f);
    covey_error error = {0};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    test_folder_make(&f->folder);
    snprintf(f->data, sizeof f->data, "%s/data", f->folder.path);
    f->now_ms = INT64_C(1789000000000);
    options.clock = fleet_clock;
    options.clock_user = f;
    assert_int_equal(covey_fleet_runtime_open(&options, &f->runtime, &error), COVEY_OK);
    const covey__env *env = covey__runtime_env(f->runtime);
    assert_int_equal(covey__transport_pool_new(env, 4, &f->pool, &error), COVEY_OK);
    covey__buffer_init(&f->body, env, 32u << 20);
    fleet_start(f);
    *state = f;
    return 0;
}

static inline int fleet_teardown(void **state) {
    fleet_double *f = *state;
    fleet_stop(f);
    covey__transport_pool_free(f->pool);
    covey__buffer_free(&f->body);
    covey_runtime_close(f->runtime);
    test_folder_remove(&f->folder);
    free(f);
    return 0;
}

static inline covey_status fleet_collect(void *user, const covey_http_response *response,
                                         const void *data, size_t size) {
    (void)response;
    return covey__buffer_append(user, data, size);
}

/* One call; `token` and `header` may be NULL. Returns the HTTP status; the body is in f->body. */
static inline int fleet_send(fleet_double *f, const char *method, const char *path,
                             const char *token, const char *header, const void *body, size_t size) {
    covey_error error = {0};
    char url[300], authorization[200];
    const char *headers[2];
    size_t count = 0;
    snprintf(url, sizeof url, "%s%s", covey_fleet_server_url(f->server), path);
    snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", token ? token : "");
    if (token) headers[count++] = authorization;
    if (header) headers[count++] = header;
    covey_http_request request = {.size = sizeof request,
                                  .method = method,
                                  .url = url,
                                  .headers = headers,
                                  .header_count = count,
                                  .body = body,
                                  .body_size = size,
                                  .body_bytes_max = 32u << 20};
    f->response = (covey_http_response){.size = sizeof f->response};
    covey__buffer_clear(&f->body);
    covey_status status = covey__transport_pool_table(f->pool)->fetch(
        f->pool, &request, &f->response, fleet_collect, &f->body, &error);
    if (status != COVEY_OK) fail_msg("%s %s: %s", method, path, error.message);
    return f->response.status;
}

static inline int fleet_call(fleet_double *f, const char *method, const char *path,
                             const char *token, const char *json) {
    return fleet_send(f, method, path, token, NULL, json, json ? strlen(json) : 0);
}

static inline const char *fleet_text(fleet_double *f) {
    return f->body.data != NULL ? f->body.data : "";
}

/* Copies the string member `name` of the last answer, wherever it stands first. */
static inline void fleet_member(fleet_double *f, const char *name, char *out, size_t capacity) {
    char key[80];
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *at = strstr(fleet_text(f), key);
    if (at == NULL) fail_msg("no %s in %s", name, fleet_text(f));
    at += strlen(key);
    snprintf(out, capacity, "%.*s", (int)strcspn(at, "\""), at);
}

/* Whether the last answer is an error with this code. */
static inline void fleet_expect_error(fleet_double *f, int status, int expected, const char *code) {
    char found[64];
    if (status != expected) fail_msg("%d, expected %d: %s", status, expected, fleet_text(f));
    fleet_member(f, "code", found, sizeof found);
    assert_string_equal(found, code);
}

static inline void fleet_expect(fleet_double *f, int status, int expected) {
    if (status != expected) fail_msg("%d, expected %d: %s", status, expected, fleet_text(f));
}

/* An enrolled device of a class; its token and id. */
typedef struct fleet_device {
    char token[80], id[40];
} fleet_device;

static inline fleet_device fleet_enroll(fleet_double *f, const char *device_class) {
    char token[80], body[300];
    fleet_device device;
    fleet_expect(f, fleet_call(f, "POST", "/v1/enroll-tokens", f->admin, "{}"), 201);
    fleet_member(f, "token", token, sizeof token);
    snprintf(body, sizeof body, "{\"token\":\"%s\",\"device\":{\"class\":\"%s\",\"os\":\"linux\"}}",
             token, device_class);
    fleet_expect(f, fleet_call(f, "POST", "/v1/enroll", NULL, body), 201);
    fleet_member(f, "device_token", device.token, sizeof device.token);
    fleet_member(f, "device_id", device.id, sizeof device.id);
    return device;
}

/* A check-in of a device that serves `version` of assistant ("" for nothing). */
static inline int fleet_checkin(fleet_double *f, const fleet_device *device,
                                const char *device_class, const char *version) {
    char slot[120] = "null", body[500];
    if (version[0] != '\0') {
        snprintf(slot, sizeof slot,
                 "{\"name\":\"assistant\",\"version\":\"%s\",\"state\":\"good\"}", version);
    }
    snprintf(body, sizeof body,
             "{\"device\":{\"class\":\"%s\"},\"app_version\":\"1.0.0\",\"slots\":{\"current\":%s}}",
             device_class, slot);
    return fleet_call(f, "POST", "/v1/checkin", device->token, body);
}

/* "assistant@1.1.0"-like text of the target in the last answer, "" when it was null. */
static inline const char *fleet_target(fleet_double *f) {
    static _Thread_local char text[80];
    if (strstr(fleet_text(f), "\"target\":null")) return "";
    char name[64], version[64];
    fleet_member(f, "name", name, sizeof name);
    fleet_member(f, "version", version, sizeof version);
    snprintf(text, sizeof text, "%.30s@%.30s", name, version);
    return text;
}

#endif
