/* HTTP on libmicrohttpd: from a connection's bytes to a route's handler and back.
 *
 * A request goes through three states, all in on_request: first its head (route, authorization and
 * size are judged before a byte of the body is read), then its body (collected up to the route's
 * bound, or streamed into a blob), then its answer. A request that is refused at its head has its
 * body read and dropped, up to a bound, so that the client reads the answer and not a broken
 * line.
 *
 * Invariants: nothing of a request is logged but method, path and status; never a header or a
 * body. A body is never longer than its route allows. Every error answer has the one form.
 *
 * Neighbours: routes.c has the table; api_*.c and http_blobs.c the handlers; connections.c cuts
 * slow clients.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fleet/fleet_server.h"

/* Of a refused body, what is read so that the client comes to read why. */
#define SWALLOW_MAX          (1u << 20)
#define SWALLOW_DEVICE_MAX   (4u << 20)
#define SWALLOW_ADMIN_MAX    (64u << 20)
#define ARENA_MAX            (8u << 20)
#define HEADER_MEMORY        (32u << 10)
#define CONNECTION_COUNT_MAX 4096u
#define CONNECTION_IP_MAX    1024u
#define IDLE_TIMEOUT_S       30u

int covey__answer_error(covey__exchange *x, int status, const char *code, const char *format, ...) {
    char message[COVEY_ERROR_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    covey__json_writer w;
    covey__buffer_clear(&x->answer);
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "error");
    covey__json_begin_object(&w);
    covey__json_member_string(&w, "code", code);
    covey__json_name(&w, "message");
    covey__json_put_text(&w, message, strlen(message));
    covey__json_end_object(&w);
    covey__json_end_object(&w);
    return status;
}

int covey__answer_failure(covey__exchange *x, covey_status status, const covey_error *error) {
    if (status == COVEY_ERROR_NO_SPACE) {
        return covey__answer_error(x, 507, "no_space", "the server's disk is full");
    }
    if (status == COVEY_ERROR_BUSY) {
        return covey__answer_error(x, 503, "busy", "the store is busy: try again");
    }
    covey__log(x->env, COVEY_LOG_ERROR, "fleet", "%s %s: %s", x->route->method, x->route->path,
               error->message);
    return covey__answer_error(x, 500, "internal", "the server failed; its log says why");
}

int covey__bad_field(covey__exchange *x, const covey_error *error) {
    return covey__answer_error(x, 400, "bad_field", "%s", error->message);
}

int covey__read_json(covey__exchange *x, const covey__json **root) {
    covey_error error = {0};
    covey__json_limits limits = {x->route->body_bytes_max, 16, 32768};
    covey_status status = covey__json_parse(&x->arena, x->body.size > 0 ? x->body.data : "",
                                            x->body.size, limits, root, &error);
    if (status != COVEY_OK) return covey__answer_error(x, 400, "bad_json", "%s", error.message);
    if ((*root)->kind != COVEY__JSON_OBJECT) {
        return covey__answer_error(x, 400, "bad_json", "the body must be a JSON object");
    }
    return 0;
}

/* ---- a request's head --------------------------------------------------------------------- */

/* Whether `path` is `pattern`; the segment that a "*" stands for, or all that is left at a "**" at
 * its end, goes to `parameter`. */
static bool match_path(const char *pattern, const char *path, char *parameter, size_t capacity) {
    const char *star = strchr(pattern, '*');
    if (star == NULL) return strcmp(pattern, path) == 0;
    bool many = star[1] == '*';
    if (many) star++;
    size_t before = (size_t)(star - pattern) - many, after = strlen(star + 1), size = strlen(path);
    if (size < before + after + 1 || memcmp(pattern, path, before) != 0 ||
        strcmp(star + 1, path + size - after) != 0) {
        return false;
    }
    size_t value = size - before - after;
    if (value >= capacity) return false;
    if (!many && memchr(path + before, '/', value) != NULL) return false;
    memcpy(parameter, path + before, value);
    parameter[value] = '\0';
    return true;
}

static int find_route(covey__exchange *x, const char *method, const char *path) {
    bool known = false;
    for (size_t i = 0; i < covey__route_count; i++) {
        const covey__route *route = &covey__routes[i];
        if (!match_path(route->path, path, x->parameter, sizeof(x->parameter))) continue;
        if (strcmp(route->method, method) == 0) {
            x->route = route;
            return 0;
        }
        size_t used = strlen(x->allow);
        (void)snprintf(x->allow + used, sizeof(x->allow) - used, "%s%s", known ? ", " : "",
                       route->method);
        known = true;
    }
    if (known) {
        return covey__answer_error(x, 405, "method_not_allowed", "this path takes: %s", x->allow);
    }
    return covey__answer_error(x, 404, "not_found", "there is nothing at this path");
}

static int authorize(covey__exchange *x) {
    if (x->route->auth == COVEY__AUTH_NONE) return 0;
    const char *header =
        MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    if (header == NULL || strncmp(header, "Bearer ", 7) != 0) {
        return covey__answer_error(x, 401, "no_token",
                                   "expected the header Authorization: Bearer "
                                   "TOKEN");
    }
    uint8_t hash[32];
    covey__sha256_of(header + 7, strlen(header + 7), hash);
    if (x->route->auth == COVEY__AUTH_ADMIN) {
        if (covey__equal_secret(hash, x->server->admin_hash, 32)) return 0;
        if (strncmp(header + 7, "cvd_", 4) == 0) {
            return covey__answer_error(x, 403, "not_admin", "this needs the admin token");
        }
        return covey__answer_error(x, 401, "unknown_token",
                                   "this is not the admin token; the server wrote it to "
                                   "admin.token in its data folder");
    }
    covey_error error = {0};
    covey__store *store = x->server->store;
    covey_status status = store->driver->device_by_token(store, hash, &x->device, &error);
    if (status == COVEY_ERROR_NOT_FOUND) {
        return covey__answer_error(x, 401, "unknown_token", "no device has this token: enroll");
    }
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    if (x->device.revoked) {
        return covey__answer_error(x, 403, "revoked", "this device's token was revoked");
    }
    return 0;
}

/* The declared size of the body; false when none is declared, UINT64_MAX when it is nonsense. */
static bool declared_size(covey__exchange *x, uint64_t *size) {
    const char *header =
        MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    *size = 0;
    if (header == NULL) return false;
    for (const char *c = header; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || *size > (UINT64_MAX - 9) / 10) {
            *size = UINT64_MAX;
            return true;
        }
        *size = *size * 10 + (uint64_t)(*c - '0');
    }
    return true;
}

static int too_large(covey__exchange *x) {
    return covey__answer_error(x, 413, "too_large", "the body may have at most %zu bytes",
                               x->route->body_bytes_max);
}

/* Judges the head: 0 to read on, else the status of the answer. */
static int judge_head(covey__exchange *x, const char *method, const char *path) {
    int status = find_route(x, method, path);
    if (status != 0) return status;
    if (x->is_late && strcmp(path, "/health") != 0) {
        return covey__answer_error(x, 503, "draining", "the server is about to stop");
    }
    status = authorize(x);
    if (status != 0) return status;
    if (x->route->auth == COVEY__AUTH_DEVICE) x->swallow_max = SWALLOW_DEVICE_MAX;
    if (x->route->auth == COVEY__AUTH_ADMIN) x->swallow_max = SWALLOW_ADMIN_MAX;
    uint64_t size = 0;
    bool declared = declared_size(x, &size);
    if (size > x->route->body_bytes_max) return too_large(x);
    if (strcmp(method, "PUT") == 0) {
        if (!declared) {
            return covey__answer_error(x, 411, "length_required", "expected Content-Length");
        }
        return covey__blob_put_begin(x);
    }
    return 0;
}

/* ---- the answer --------------------------------------------------------------------------- */

static void count(covey__exchange *x) {
    covey__fleet_metrics *m = &x->server->metrics;
    covey__counter_add(&m->answers[x->status / 100 % 6], 1);
    covey__histogram_add_us(&m->request, covey__monotonic_us() - x->began_us);
}

static void add_headers(covey__exchange *x, struct MHD_Response *response) {
    if (x->status == 503 || x->status == 507) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    }
    if (x->status == 405) (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, x->allow);
    if (x->status == 401) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    }
    if (atomic_load(&x->server->draining)) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
}

static enum MHD_Result send_answer(covey__exchange *x) {
    struct MHD_Response *response = x->response;
    x->response = NULL;
    if (response == NULL) {
        covey_error error = {0};
        if (covey__buffer_check(&x->answer, &error, "answer") != COVEY_OK) {
            covey__log(x->env, COVEY_LOG_ERROR, "fleet", "%s", error.message);
            x->status = covey__answer_error(x, 500, "internal", "out of memory");
        }
        response = MHD_create_response_from_buffer(
            x->answer.size, x->answer.data != NULL ? x->answer.data : (void *)(uintptr_t) "",
            MHD_RESPMEM_MUST_COPY);
        if (response == NULL) return MHD_NO;
        bool is_metrics = x->route != NULL && strcmp(x->route->path, "/metrics") == 0;
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                      is_metrics && x->status == 200
                                          ? "text/plain; version=0.0.4; charset=utf-8"
                                          : "application/json");
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    }
    add_headers(x, response);
    count(x);
    covey__line_phase_set(x->server, x->connection, COVEY__LINE_ANSWERS);
    enum MHD_Result queued = MHD_queue_response(x->connection, (unsigned)x->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* ---- libmicrohttpd's callbacks ------------------------------------------------------------ */

static covey__exchange *exchange_new(covey_fleet_server *server,
                                     struct MHD_Connection *connection) {
    covey__exchange *x = covey__calloc(server->env, 1, sizeof(*x));
    if (x == NULL) return NULL;
    x->server = server;
    x->env = server->env;
    x->connection = connection;
    x->upload.descriptor = -1;
    x->swallow_max = SWALLOW_MAX;
    x->began_us = covey__monotonic_us();
    covey__arena_init(&x->arena, x->env, ARENA_MAX);
    covey__buffer_init(&x->answer, x->env, COVEY__ANSWER_MAX);
    (void)pthread_mutex_lock(&server->state_lock);
    server->in_flight++;
    x->is_late = atomic_load(&server->draining); /* with the count: what a drain saw is finished */
    (void)pthread_mutex_unlock(&server->state_lock);
    covey__line_phase_set(server, connection, COVEY__LINE_READS);
    return x;
}

static void on_completed(void *user, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode why) {
    (void)why;
    covey_fleet_server *server = user;
    covey__exchange *x = *slot;
    *slot = NULL;
    if (x == NULL) return;
    covey__line_phase_set(server, connection, COVEY__LINE_IDLE);
    if (x->upload.descriptor >= 0) covey__blob_abort(&x->upload);
    if (x->response != NULL) MHD_destroy_response(x->response);
    covey__buffer_free(&x->body);
    covey__buffer_free(&x->answer);
    covey__arena_free(&x->arena);
    covey__free(server->env, x);
    (void)pthread_mutex_lock(&server->state_lock);
    if (--server->in_flight == 0) (void)pthread_cond_broadcast(&server->drained);
    (void)pthread_mutex_unlock(&server->state_lock);
}

static enum MHD_Result begin(covey_fleet_server *server, struct MHD_Connection *connection,
                             const char *url, const char *method, void **slot) {
    covey__exchange *x = exchange_new(server, connection);
    if (x == NULL) return MHD_NO;
    *slot = x;
    x->status = judge_head(x, method, url);
    covey__buffer_init(&x->body, x->env, x->route != NULL ? x->route->body_bytes_max : 0);
    uint64_t size = 0;
    bool declared = declared_size(x, &size);
    /* Too much to read just to drop it: answer now, and the connection ends. */
    if (x->status != 0 && declared && size > x->swallow_max) return send_answer(x);
    return MHD_YES;
}

static enum MHD_Result take_body(covey__exchange *x, const char *data, size_t size) {
    if (x->status == 0 && x->upload.descriptor >= 0) {
        x->status = covey__blob_put_data(x, data, size);
    } else if (x->status == 0) {
        covey_status status = covey__buffer_append(&x->body, data, size);
        if (status == COVEY_ERROR_LIMIT) x->status = too_large(x);
        if (status == COVEY_ERROR_NO_MEMORY) {
            x->status = covey__answer_error(x, 503, "busy", "out of memory: try again");
        }
    }
    if (x->status == 0) return MHD_YES;
    x->swallowed += size;
    return x->swallowed <= x->swallow_max ? MHD_YES : MHD_NO;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **slot) {
    (void)version;
    covey__exchange *x = *slot;
    if (x == NULL) return begin(user, connection, url, method, slot);
    if (*data_size > 0) {
        size_t size = *data_size;
        *data_size = 0;
        if (x->route == NULL) { /* no route: nothing bounds it but this */
            x->swallowed += size;
            return x->swallowed <= x->swallow_max ? MHD_YES : MHD_NO;
        }
        return take_body(x, data, size);
    }
    if (x->status == 0) x->status = x->route->handler(x);
    return send_answer(x);
}

static void on_log(void *user, const char *format, va_list args) {
    char line[256];
    (void)vsnprintf(line, sizeof(line), format, args);
    size_t size = strcspn(line, "\r\n");
    const covey_fleet_server *server = user;
    covey__log(server->env, COVEY_LOG_DEBUG, "fleet", "http: %.*s", (int)size, line);
}

/* ---- listening ---------------------------------------------------------------------------- */

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

/* "127.0.0.1:80", "[::1]:80", "localhost:0". `host` gets what a URL needs. */
static covey_status parse_address(const char *text, address *out, char *host, size_t capacity,
                                  covey_error *error) {
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;
    bool right = colon != NULL && colon[1] != '\0' && (size_t)(colon - text) < capacity;
    for (const char *c = colon != NULL ? colon + 1 : ""; right && *c != '\0'; c++) {
        port = port * 10 + (uint64_t)(*c - '0');
        right = *c >= '0' && *c <= '9' && port <= 65535;
    }
    memset(out, 0, sizeof(*out));
    if (right) {
        size_t size = (size_t)(colon - text);
        (void)snprintf(host, capacity, "%.*s", (int)size, text);
        if (strcmp(host, "localhost") == 0) (void)snprintf(host, capacity, "127.0.0.1");
        if (size > 2 && host[0] == '[' && host[size - 1] == ']') {
            char inner[64] = "";
            (void)snprintf(inner, sizeof(inner), "%.*s", (int)(size - 2), host + 1);
            out->v6.sin6_family = AF_INET6;
            out->v6.sin6_port = htons((uint16_t)port);
            right = inet_pton(AF_INET6, inner, &out->v6.sin6_addr) == 1;
        } else {
            out->v4.sin_family = AF_INET;
            out->v4.sin_port = htons((uint16_t)port);
            right = inet_pton(AF_INET, host, &out->v4.sin_addr) == 1;
        }
    }
    if (right) return COVEY_OK;
    char shown[80];
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "listen: expected ADDRESS:PORT such as 127.0.0.1:8080 or [::1]:0, found "
                       "\"%s\"",
                       covey__printable(text, strlen(text), shown, sizeof(shown)));
}

covey_status covey__http_start(covey_fleet_server *server, const char *listen_at, int32_t threads,
                               covey_error *error) {
    address at;
    char host[72];
    covey_status status = parse_address(listen_at, &at, host, sizeof(host), error);
    if (status != COVEY_OK) return status;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    if (at.any.sa_family == AF_INET6) flags |= MHD_USE_IPv6;
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, server,
        MHD_OPTION_SOCK_ADDR, &at.any, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)threads,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTION_COUNT_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        CONNECTION_IP_MAX, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        covey__line_notify, server, MHD_OPTION_END);
    if (server->daemon == NULL) {
        return covey__fail(error, COVEY_ERROR_IO,
                           "listen: cannot listen on %s: is the port taken, or not allowed?",
                           listen_at);
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    unsigned port = info != NULL ? info->port : 0;
    server->url = covey__format(server->env, "http://%s:%u", host, port);
    if (server->url == NULL) return covey__no_memory(error, "listen: url", 0);
    return COVEY_OK;
}
