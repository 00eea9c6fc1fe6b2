/* The API over real HTTP, against a server in this process (docs/api.md is the expectation). */
#include "fleet_double.h"

#include "fleet/fleet_server.h"
#include "trust/key_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_setup, fleet_teardown)

/* ---- the ground rules --------------------------------------------------------------------- */

static void health_and_metrics_need_no_token(void **state) {
    fleet_double *f = *state;
    fleet_expect(f, fleet_call(f, "GET", "/health", NULL, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "\"status\":\"ok\""));
    fleet_enroll(f, "small");
    fleet_expect(f, fleet_call(f, "GET", "/metrics", NULL, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "\ncovey_fleet_devices 1\n"));
    assert_non_null(strstr(fleet_text(f), "covey_fleet_enrollments_total 1\n"));
}

static void wrong_paths_methods_and_tokens(void **state) {
    fleet_double *f = *state;
    fleet_device device = fleet_enroll(f, "small");
    fleet_expect_error(f, fleet_call(f, "GET", "/v2", NULL, NULL), 404, "not_found");
    fleet_expect_error(f, fleet_call(f, "GET", "/v1/devices/a/b", NULL, NULL), 404, "not_found");
    fleet_expect_error(f, fleet_call(f, "DELETE", "/v1/rollouts", NULL, NULL), 405,
                       "method_not_allowed");
    fleet_expect_error(f, fleet_call(f, "GET", "/v1/devices", NULL, NULL), 401, "no_token");
    fleet_expect_error(f, fleet_call(f, "GET", "/v1/devices", "cva_0", NULL), 401, "unknown_token");
    fleet_expect_error(f, fleet_call(f, "GET", "/v1/devices", device.token, NULL), 403,
                       "not_admin");
    fleet_expect_error(f, fleet_call(f, "POST", "/v1/checkin", "cvd_0", "{}"), 401,
                       "unknown_token");
    fleet_expect_error(f, fleet_call(f, "POST", "/v1/checkin", f->admin, "{}"), 401,
                       "unknown_token");
    fleet_expect_error(f, fleet_call(f, "POST", "/v1/checkin", NULL, "{}"), 401, "no_token");
}

static void bodies_that_are_not_right(void **state) {
    fleet_double *f = *state;
    fleet_device device = fleet_enroll(f, "small");
    static const struct {
        const char *body, *code;
    } cases[] = {{"", "bad_json"},
                 {"{", "bad_json"},
                 {"[]", "bad_json"},
                 {"{\"device\":{},\"device\":{}}", "bad_json"},
                 {"{}", "bad_field"},
                 {"{\"device\":{}}", "bad_field"},
                 {"{\"device\":{\"class\":\"huge\"}}", "bad_field"},
                 {"{\"device\":{\"class\":7}}", "bad_field"},
                 {"{\"device\":{\"class\":\"tiny\"},\"slots\":{\"current\":{\"name\":\"../a\","
                  "\"version\":\"1.0.0\"}}}",
                  "bad_field"},
                 {"{\"device\":{\"class\":\"tiny\"},\"slots\":{\"current\":{\"name\":\"a\","
                  "\"version\":\"one\"}}}",
                  "bad_field"},
                 {"{\"device\":{\"class\":\"tiny\"},\"refused\":[\"a\"]}", "bad_field"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = fleet_call(f, "POST", "/v1/checkin", device.token, cases[i].body);
        fleet_expect_error(f, status, 400, cases[i].code);
    }
    char deep[4000];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    fleet_expect_error(f, fleet_call(f, "POST", "/v1/checkin", device.token, deep), 400,
                       "bad_json");
    /* What a device adds later is no error; what a person misspells is. */
    fleet_expect(f,
                 fleet_call(f, "POST", "/v1/checkin", device.token,
                            "{\"device\":{\"class\":\"tiny\",\"new\":1},\"newer\":[]}"),
                 200);
    fleet_expect_error(f, fleet_call(f, "POST", "/v1/enroll-tokens", f->admin, "{\"use\":2}"), 400,
                       "bad_field");
}

static void bodies_that_are_too_large(void **state) {
    fleet_double *f = *state;
    fleet_device device = fleet_enroll(f, "small");
    static const size_t sizes[] = {(16u << 10) + 1, 300000, 3u << 20};
    for (size_t i = 0; i < 3; i++) {
        char *body = malloc(sizes[i]);
        memset(body, ' ', sizes[i]);
        int status = fleet_send(f, "POST", "/v1/checkin", device.token, NULL, body, sizes[i]);
        fleet_expect_error(f, status, 413, "too_large");
        /* Without a length, the bound is met on the way. */
        if (i < 2) {
            status = fleet_send(f, "POST", "/v1/checkin", device.token,
                                "Transfer-Encoding: chunked", body, sizes[i]);
            fleet_expect_error(f, status, 413, "too_large");
        }
        free(body);
    }
    fleet_expect(f, fleet_checkin(f, &device, "small", "1.0.0"), 200);
}

static void secrets_are_owner_only_and_hashed(void **state) {
    fleet_double *f = *state;
    struct stat info;
    char path[400];
    fleet_device device = fleet_enroll(f, "small");
    assert_int_equal(stat(covey_fleet_server_token_file(f->server), &info), 0);
    assert_int_equal(info.st_mode & 077, 0);
    fleet_stop(f);
    static const char *const files[] = {"fleet.db", "fleet.db-wal"};
    for (size_t i = 0; i < 2; i++) {
        size_t size = 0;
        snprintf(path, sizeof path, "%s/%s", f->data, files[i]);
        char *bytes = test_read(path, &size);
        if (bytes == NULL) continue;
        assert_null(memmem(bytes, size, device.token + 4, 64));
        assert_null(memmem(bytes, size, f->admin + 4, 64));
        free(bytes);
    }
    /* The same token after a restart. */
    char before[128];
    snprintf(before, sizeof before, "%s", f->admin);
    fleet_start(f);
    assert_string_equal(before, f->admin);
    fleet_expect(f, fleet_checkin(f, &device, "small", "1.0.0"), 200);
}

static void one_server_a_folder(void **state) {
    fleet_double *f = *state;
    covey_error error = {0};
    covey_fleet_server *second = NULL;
    covey_fleet_server_options options = COVEY_FLEET_SERVER_OPTIONS_INIT;
    options.data_dir = f->data;
    assert_int_equal(covey_fleet_server_open(f->runtime, &options, &second, &error),
                     COVEY_ERROR_BUSY);
    options.data_dir = test_path(&f->folder, "other");
    options.listen = "example.org:80";
    assert_int_equal(covey_fleet_server_open(f->runtime, &options, &second, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    options.listen = "127.0.0.1:65536";
    assert_int_equal(covey_fleet_server_open(f->runtime, &options, &second, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    options.listen = NULL;
    static const char *const blobs[] = {"", "zzz", "ftp://x/y", "https://", "http://a@b", "/a b"};
    for (size_t i = 0; i < sizeof blobs / sizeof *blobs; i++) { /* no device would take it */
        options.blobs_url = blobs[i];
        assert_int_equal(covey_fleet_server_open(f->runtime, &options, &second, &error),
                         COVEY_ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, "blobs-url"));
    }
    options.blobs_url = "https://cdn.example/v1/blobs";
    options.listen = covey_fleet_server_url(f->server) + strlen("http://");
    assert_int_equal(covey_fleet_server_open(f->runtime, &options, &second, &error),
                     COVEY_ERROR_IO); /* the port is taken */
}

/* ---- enrollment --------------------------------------------------------------------------- */

static void make_token(fleet_double *f, const char *request, char token[80]) {
    fleet_expect(f, fleet_call(f, "POST", "/v1/enroll-tokens", f->admin, request), 201);
    fleet_member(f, "token", token, 80);
}

static int enroll(fleet_double *f, const char *token, const char *request_id) {
    char body[400], id[120] = "";
    if (request_id) snprintf(id, sizeof id, "\"request_id\":\"%s\",", request_id);
    snprintf(body, sizeof body, "{\"token\":\"%s\",%s\"device\":{\"class\":\"small\"}}", token, id);
    return fleet_call(f, "POST", "/v1/enroll", NULL, body);
}

static void a_one_time_token_is_used_once(void **state) {
    fleet_double *f = *state;
    char token[80], device[80], again[80], id[40], id_again[40];
    static const char request[] = "00112233445566778899aabbccddeeff";
    make_token(f, "{}", token);
    fleet_expect(f, enroll(f, token, request), 201);
    assert_non_null(strstr(fleet_text(f), "\"poll_ms\":1234"));
    assert_non_null(strstr(fleet_text(f), "\"blobs_url\":\"/v1/blobs\""));
    fleet_member(f, "device_token", device, sizeof device);
    fleet_member(f, "device_id", id, sizeof id);
    fleet_expect_error(f, enroll(f, token, NULL), 403, "token_used_up");
    fleet_expect_error(f, enroll(f, token, "ffffffffffffffffffffffffffffffff"), 403,
                       "token_used_up");
    /* The answer was lost: the same request is the same device, with another token. */
    fleet_expect(f, enroll(f, token, request), 200);
    fleet_member(f, "device_token", again, sizeof again);
    fleet_member(f, "device_id", id_again, sizeof id_again);
    assert_string_equal(id, id_again);
    assert_string_not_equal(device, again);
    fleet_expect_error(f, fleet_call(f, "POST", "/v1/checkin", device, "{}"), 401, "unknown_token");
    fleet_expect_error(f, enroll(f, token, "short"), 400, "bad_field");
    fleet_expect_error(f, enroll(f, "cve_0", NULL), 401, "unknown_token");
}

static void tokens_expire(void **state) {
    fleet_double *f = *state;
    char token[80];
    make_token(f, "{\"uses\":5,\"expires_ms\":60000}", token);
    fleet_expect(f, enroll(f, token, NULL), 201);
    f->now_ms += 59999;
    fleet_expect(f, enroll(f, token, NULL), 201);
    f->now_ms += 1;
    fleet_expect_error(f, enroll(f, token, NULL), 403, "token_expired");
    fleet_expect(f, fleet_call(f, "GET", "/v1/enroll-tokens", f->admin, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "\"uses\":5,\"uses_left\":3"));
    assert_null(strstr(fleet_text(f), "cve_"));
}

static void revoked_devices_are_told(void **state) {
    fleet_double *f = *state;
    fleet_device device = fleet_enroll(f, "small");
    char path[80];
    snprintf(path, sizeof path, "/v1/devices/%s", device.id);
    fleet_expect(f, fleet_call(f, "DELETE", path, f->admin, NULL), 200);
    fleet_expect_error(f, fleet_checkin(f, &device, "small", "1.0.0"), 403, "revoked");
    fleet_expect(f, fleet_call(f, "GET", path, f->admin, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "\"revoked\":true"));
    fleet_expect_error(f, fleet_call(f, "DELETE", "/v1/devices/x", f->admin, NULL), 404,
                       "not_found");
}

/* ---- check-in and devices ----------------------------------------------------------------- */

static void check_ins_are_kept(void **state) {
    fleet_double *f = *state;
    fleet_device device = fleet_enroll(f, "small");
    char path[80], seen[80];
    snprintf(path, sizeof path, "/v1/devices/%s", device.id);
    f->now_ms += 5000;
    fleet_expect(f, fleet_checkin(f, &device, "medium", "1.0.0"), 200);
    assert_string_equal(
        fleet_text(f),
        "{\"poll_ms\":1234,\"metadata\":{\"root\":0,\"timestamp\":0},\"target\":null}");
    f->now_ms += 5000;
    fleet_expect(f, fleet_checkin(f, &device, "medium", "1.0.0"), 200); /* nothing new */
    fleet_expect(f, fleet_call(f, "GET", path, f->admin, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "\"class\":\"medium\""));
    assert_non_null(strstr(fleet_text(f), "\"current\":{\"name\":\"assistant\","
                                          "\"version\":\"1.0.0\",\"state\":\"good\"}"));
    snprintf(seen, sizeof seen, "\"last_seen_ms\":%" PRId64, f->now_ms);
    assert_non_null(strstr(fleet_text(f), seen));
    assert_non_null(strstr(fleet_text(f), "\"last_update\":null"));
    fleet_expect_error(f, fleet_call(f, "GET", "/v1/devices/none", f->admin, NULL), 404,
                       "not_found");
}

static void the_list_comes_in_pages(void **state) {
    fleet_double *f = *state;
    char next[64], path[120];
    int count = 0;
    for (int i = 0; i < 5; i++) fleet_enroll(f, i < 2 ? "tiny" : "large");
    snprintf(path, sizeof path, "/v1/devices?limit=2");
    for (int page = 0; page < 4; page++) {
        fleet_expect(f, fleet_call(f, "GET", path, f->admin, NULL), 200);
        for (const char *at = fleet_text(f); (at = strstr(at, "\"enrolled_ms\"")) != NULL; at++) {
            count++;
        }
        if (strstr(fleet_text(f), "\"next\":null")) break;
        fleet_member(f, "next", next, sizeof next);
        snprintf(path, sizeof path, "/v1/devices?limit=2&after=%s", next);
    }
    assert_int_equal(count, 5);
    fleet_expect(f, fleet_call(f, "GET", "/v1/devices?class=tiny", f->admin, NULL), 200);
    assert_null(strstr(fleet_text(f), "large"));
    static const char *const wrong[] = {"limit=0", "limit=1001", "limit=x", "class=huge"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "/v1/devices?%s", wrong[i]);
        fleet_expect_error(f, fleet_call(f, "GET", path, f->admin, NULL), 400, "bad_request");
    }
}

static void reports_count_once(void **state) {
    fleet_double *f = *state;
    fleet_device device = fleet_enroll(f, "small");
    static const char two[] =
        "{\"events\":[{\"id\":\"a\",\"time_ms\":1,\"phase\":\"fetch\",\"outcome\":\"ok\","
        "\"release\":\"assistant@1.1.0\",\"bytes\":7},{\"id\":\"b\",\"time_ms\":2,"
        "\"phase\":\"probe\",\"outcome\":\"refused\",\"release\":\"assistant@1.1.0\","
        "\"message\":\"score \\u0007 0.5\"}]}";
    char path[80];
    fleet_expect(f, fleet_call(f, "POST", "/v1/reports", device.token, two), 200);
    assert_string_equal(fleet_text(f), "{\"accepted\":2,\"known\":0}");
    fleet_expect(f, fleet_call(f, "POST", "/v1/reports", device.token, two), 200);
    assert_string_equal(fleet_text(f), "{\"accepted\":0,\"known\":2}");
    snprintf(path, sizeof path, "/v1/devices/%s", device.id);
    fleet_expect(f, fleet_call(f, "GET", path, f->admin, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "\"outcome\":\"refused\",\"message\":\"score"));
    assert_non_null(strstr(fleet_text(f), "\"refused\":[\"assistant@1.1.0\"]"));
    static const char *const wrong[] = {
        "{\"events\":{}}",
        "{\"events\":[1]}",
        "{\"events\":[{\"id\":\"a b\",\"time_ms\":1,\"phase\":\"fetch\",\"outcome\":\"ok\","
        "\"release\":\"a@1.0.0\"}]}",
        "{\"events\":[{\"id\":\"a\",\"time_ms\":1,\"phase\":\"dance\",\"outcome\":\"ok\","
        "\"release\":\"a@1.0.0\"}]}",
        "{\"events\":[{\"id\":\"a\",\"time_ms\":1,\"phase\":\"fetch\",\"outcome\":\"fine\","
        "\"release\":\"a@1.0.0\"}]}",
        "{\"events\":[{\"id\":\"a\",\"time_ms\":-1,\"phase\":\"fetch\",\"outcome\":\"ok\","
        "\"release\":\"a@1.0.0\"}]}",
        "{\"events\":[{\"id\":\"a\",\"time_ms\":1,\"phase\":\"fetch\",\"outcome\":\"ok\","
        "\"release\":\"a\"}]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fleet_expect_error(f, fleet_call(f, "POST", "/v1/reports", device.token, wrong[i]), 400,
                           "bad_field");
    }
}

/* ---- blobs -------------------------------------------------------------------------------- */

static void blob_path(const void *data, size_t size, char path[120]) {
    uint8_t digest[32];
    char hex[65];
    covey__sha256_of(data, size, digest);
    covey__hex(digest, 32, hex);
    snprintf(path, 120, "/v1/blobs/sha256/%s", hex);
}

static void blobs_are_checked_on_the_way_in(void **state) {
    fleet_double *f = *state;
    fleet_device device = fleet_enroll(f, "small");
    static uint8_t data[200000];
    char path[120], body[300];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 31 >> 3);
    blob_path(data, sizeof data, path);
    fleet_expect_error(f, fleet_send(f, "PUT", path, NULL, NULL, data, sizeof data), 401,
                       "no_token");
    fleet_expect_error(f, fleet_send(f, "PUT", path, device.token, NULL, data, sizeof data), 403,
                       "not_admin");
    fleet_expect_error(f, fleet_send(f, "PUT", path, f->admin, NULL, data, sizeof data - 1), 422,
                       "digest_mismatch");
    fleet_expect_error(f, fleet_call(f, "GET", path, NULL, NULL), 404, "not_found");
    fleet_expect_error(
        f, fleet_send(f, "PUT", path, f->admin, "Transfer-Encoding: chunked", data, sizeof data),
        411, "length_required");
    fleet_expect(f, fleet_send(f, "PUT", path, f->admin, NULL, data, sizeof data), 201);
    fleet_expect(f, fleet_send(f, "PUT", path, f->admin, NULL, data, sizeof data), 200);
    fleet_expect(f, fleet_call(f, "GET", path, NULL, NULL), 200);
    assert_int_equal(f->body.size, sizeof data);
    assert_memory_equal(f->body.data, data, sizeof data);
    static const char *const names[] = {
        "/v1/blobs/sha256/00", "/v1/blobs/sha256/..%2f..%2ffleet.db", "/v1/blobs/sha256/XX"};
    for (size_t i = 0; i < 3; i++) {
        int status = fleet_call(f, "GET", names[i], NULL, NULL);
        if (status != 404) fleet_expect_error(f, status, 400, "bad_request");
    }
    snprintf(body, sizeof body, "{\"blobs\":[\"%s\",\"%064d\"]}", strrchr(path, '/') + 1, 7);
    fleet_expect(f, fleet_call(f, "POST", "/v1/blobs/missing", f->admin, body), 200);
    snprintf(body, sizeof body, "{\"missing\":[\"%064d\"]}", 7);
    assert_string_equal(fleet_text(f), body);
}

static void a_blob_too_large_is_refused(void **state) {
    fleet_double *f = *state;
    size_t size = COVEY__BLOB_BYTES_MAX + 1;
    char *data = calloc(1, size), path[120];
    blob_path(data, size, path);
    fleet_expect_error(f, fleet_send(f, "PUT", path, f->admin, NULL, data, size), 413, "too_large");
    free(data);
}

static void ranges(void **state) {
    fleet_double *f = *state;
    static const char data[] = "0123456789";
    char path[120], header[200];
    blob_path(data, 10, path);
    fleet_expect(f, fleet_send(f, "PUT", path, f->admin, NULL, data, 10), 201);
    static const struct {
        const char *range;
        int status;
        const char *body;
        uint64_t first;
    } cases[] = {{"bytes=0-3", 206, "0123", 0},
                 {"bytes=4-", 206, "456789", 4},
                 {"bytes=-3", 206, "789", 7},
                 {"bytes=8-100", 206, "89", 8},
                 {"bytes=-100", 206, "0123456789", 0},
                 {"bytes=9-9", 206, "9", 9},
                 {"bytes=0-1,3-4", 200, "0123456789", 0},
                 {"lines=1-2", 200, "0123456789", 0},
                 {"bytes=5-2", 200, "0123456789", 0},
                 {"bytes=x", 200, "0123456789", 0},
                 {"bytes=99999999999999999999-", 200, "0123456789", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(header, sizeof header, "Range: %s", cases[i].range);
        fleet_expect(f, fleet_send(f, "GET", path, NULL, header, NULL, 0), cases[i].status);
        assert_string_equal(fleet_text(f), cases[i].body);
        assert_int_equal(f->response.range_first, cases[i].first);
    }
    static const char *const beyond[] = {"Range: bytes=10-", "Range: bytes=-0"};
    for (size_t i = 0; i < 2; i++) {
        fleet_expect_error(f, fleet_send(f, "GET", path, NULL, beyond[i], NULL, 0), 416,
                           "bad_range");
    }
    fleet_expect(f, fleet_call(f, "HEAD", path, NULL, NULL), 200);
    assert_int_equal(f->body.size, 0);
    assert_int_equal(f->response.etag[0], '"');
    snprintf(header, sizeof header, "If-None-Match: %.80s", f->response.etag);
    fleet_expect(f, fleet_send(f, "GET", path, NULL, header, NULL, 0), 304);
    fleet_expect(f, fleet_send(f, "GET", path, NULL, "If-None-Match: \"other\"", NULL, 0), 200);
}

/* ---- drain -------------------------------------------------------------------------------- */

static int connect_to(fleet_double *f) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_port = htons((uint16_t)atoi(strrchr(covey_fleet_server_url(f->server), ':') + 1));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int code = connect(s, (struct sockaddr *)&at, sizeof at);
    if (code == 0) return s;
    close(s);
    return -1;
}

static void send_all(int s, const char *text) {
    assert_int_equal(send(s, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static size_t receive_all(int s, char *out, size_t capacity) {
    size_t size = 0;
    ssize_t got;
    while (size + 1 < capacity && (got = recv(s, out + size, capacity - 1 - size, 0)) > 0) {
        size += (size_t)got;
    }
    out[size] = '\0';
    return size;
}

static size_t in_flight(fleet_double *f) {
    pthread_mutex_lock(&f->server->state_lock);
    size_t count = f->server->in_flight;
    pthread_mutex_unlock(&f->server->state_lock);
    return count;
}

/* A request whose body comes only after the drain began is still answered in full. */
static void drain_finishes_what_is_under_way(void **state) {
    fleet_double *f = *state;
    covey_error error = {0};
    char request[600], answer[2000];
    fleet_device device = fleet_enroll(f, "small");
    static const char body[] = "{\"device\":{\"class\":\"small\"}}";
    while (in_flight(f) > 0) sched_yield(); /* the enrollment is over */
    int slow = connect_to(f);
    assert_true(slow >= 0);
    snprintf(request, sizeof request,
             "POST /v1/checkin HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n"
             "Content-Length: %zu\r\n\r\n{",
             device.token, strlen(body));
    send_all(slow, request);
    while (in_flight(f) == 0) sched_yield(); /* until the head was read */
    /* A drain without patience says that something is open, and stops accepting. */
    assert_int_equal(covey_fleet_server_drain(f->server, 0, &error), COVEY_ERROR_TIMEOUT);
    assert_int_equal(connect_to(f), -1);
    send_all(slow, body + 1);
    receive_all(slow, answer, sizeof answer);
    close(slow);
    assert_non_null(strstr(answer, "HTTP/1.1 200 "));
    assert_non_null(strstr(answer, "\"target\":null"));
    assert_int_equal(covey_fleet_server_drain(f->server, 10000, &error), COVEY_OK);
}

static void an_upload_that_breaks_off_leaves_nothing(void **state) {
    fleet_double *f = *state;
    char request[400], path[120], folder[400];
    blob_path("abc", 3, path);
    int line = connect_to(f);
    snprintf(request, sizeof request,
             "PUT %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: 3\r\n\r\na",
             path, f->admin);
    send_all(line, request);
    while (in_flight(f) == 0) sched_yield();
    close(line);
    while (in_flight(f) > 0) sched_yield();
    fleet_expect_error(f, fleet_call(f, "GET", path, NULL, NULL), 404, "not_found");
    snprintf(folder, sizeof folder, "%s/blobs/incoming", f->data);
    assert_int_equal(rmdir(folder), 0); /* it is empty */
}

/* A client that sends nothing, or half a request, loses its place when its time is up. */
static void slow_clients_are_cut(void **state) {
    fleet_double *f = *state;
    static const covey__line_phase phases[] = {COVEY__LINE_IDLE, COVEY__LINE_READS};
    char byte;
    for (size_t i = 0; i < 2; i++) {
        int line = connect_to(f);
        assert_true(line >= 0);
        if (phases[i] == COVEY__LINE_READS) {
            send_all(line, "POST /v1/enroll HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{");
            while (in_flight(f) == 0) sched_yield();
        }
        covey__lines_cut_slow(f->server); /* in time: nothing happens */
        int64_t limit_us = f->server->line_limits_us[phases[i]];
        pthread_mutex_lock(&f->server->lines_lock);
        f->server->line_limits_us[phases[i]] = -1;
        pthread_mutex_unlock(&f->server->lines_lock);
        /* The housekeeper does it within a second; the connection ends without an answer. */
        assert_int_equal(recv(line, &byte, 1, 0), 0);
        close(line);
        pthread_mutex_lock(&f->server->lines_lock);
        f->server->line_limits_us[phases[i]] = limit_us;
        pthread_mutex_unlock(&f->server->lines_lock);
    }
    fleet_expect(f, fleet_call(f, "GET", "/health", NULL, NULL), 200);
}

/* A full disk while a blob comes in: an error that says so, nothing half there, and then it works.
 */
static void a_full_disk_is_said(void **state) {
    fleet_double *f = *state;
    char path[120];
    blob_path("abc", 3, path);
    covey__env *env = covey__runtime_env_for_tests(f->runtime);
    test_env broken;
    test_env_init(&broken);
    broken.point = "write";
    broken.point_fails = 1;
    broken.point_errno = ENOSPC;
    fleet_stop(f);
    env->fault_user = broken.env.fault_user;
    env->fault = broken.env.fault;
    fleet_start(f);
    int status = fleet_send(f, "PUT", path, f->admin, NULL, "abc", 3);
    fleet_expect_error(f, status, 507, "no_space");
    fleet_expect_error(f, fleet_call(f, "GET", path, NULL, NULL), 404, "not_found");
    fleet_expect(f, fleet_send(f, "PUT", path, f->admin, NULL, "abc", 3), 201);
    fleet_stop(f);
    env->fault = NULL;
    fleet_start(f);
}

static covey_status open_and_close(const covey__env *env, void *user, covey_error *error) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_fleet_server_options server_options = COVEY_FLEET_SERVER_OPTIONS_INIT;
    covey_runtime *runtime = NULL;
    covey_fleet_server *server = NULL;
    options.allocator = &env->allocator;
    server_options.data_dir = user;
    covey_status status = covey_fleet_runtime_open(&options, &runtime, error);
    if (status != COVEY_OK) return status;
    status = covey_fleet_server_open(runtime, &server_options, &server, error);
    covey_fleet_server_close(server);
    covey_runtime_close(runtime);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    test_folder folder;
    char data[300];
    test_folder_make(&folder);
    snprintf(data, sizeof data, "%s/data", folder.path);
    assert_true(test_fail_each_allocation(open_and_close, data) > 10);
    test_folder_remove(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(health_and_metrics_need_no_token),
        TEST(wrong_paths_methods_and_tokens),
        TEST(bodies_that_are_not_right),
        TEST(bodies_that_are_too_large),
        TEST(secrets_are_owner_only_and_hashed),
        TEST(one_server_a_folder),
        TEST(a_one_time_token_is_used_once),
        TEST(tokens_expire),
        TEST(revoked_devices_are_told),
        TEST(check_ins_are_kept),
        TEST(the_list_comes_in_pages),
        TEST(reports_count_once),
        TEST(blobs_are_checked_on_the_way_in),
        TEST(a_blob_too_large_is_refused),
        TEST(ranges),
        TEST(drain_finishes_what_is_under_way),
        TEST(an_upload_that_breaks_off_leaves_nothing),
        TEST(slow_clients_are_cut),
        TEST(a_full_disk_is_said),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
