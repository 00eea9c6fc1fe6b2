/* The local endpoint's daemon. Closed by default: it listens on loopback, asks for its token, and
 * refuses a Host or an Origin that is not this machine, so that a page in a browser cannot reach it
 * by a name that it rebinds. /health alone needs no token; it says nothing but whether a model is
 * loaded. Who may not ask is known before the body comes: then it is read past, not kept. */
#include "serve/serve.h"

#include "base/error.h"
#include "base/runtime.h"
#include "base/sha256.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* A request as its bytes arrive. */
typedef struct incoming {
    covey__buffer body;
    bool too_large;
    int refused; /* an HTTP status, or 0 */
    const char *code, *message;
} incoming;

enum MHD_Result covey__reply(covey_server *server, struct MHD_Connection *connection,
                             const covey__reply_head *head, const char *body, size_t size) {
    void *copy = NULL;
    char label[COVEY__LABEL_MAX], model[COVEY__LABEL_MAX];
    memcpy(&copy, &body, sizeof copy); /* MHD copies it, though its parameter is not const */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, copy, MHD_RESPMEM_MUST_COPY);
    if (!response) return MHD_NO;
    int status = head->http_status;
    MHD_add_response_header(response, "Content-Type", head->content_type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (status == 401) MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (status == 503) MHD_add_response_header(response, "Retry-After", "1");
    if (head->allow) MHD_add_response_header(response, "Allow", head->allow);
    if (head->label && *head->label)
        MHD_add_response_header(response, "X-Covey-Ensemble", head->label);
    else if (!head->label && status == 200 &&
             covey__conversations_names(&server->pool, label, model))
        MHD_add_response_header(response, "X-Covey-Ensemble", label);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result reply_json(covey_server *server, struct MHD_Connection *connection,
                                  const covey__buffer *body) {
    const covey__reply_head head = {200, "application/json", NULL, NULL};
    return body->status ? MHD_NO : covey__reply(server, connection, &head, body->data, body->size);
}

static enum MHD_Result reply_error(covey_server *server, struct MHD_Connection *connection,
                                   const covey__reply_head *head, const char *code,
                                   const char *message, const char *param) {
    covey__buffer body;
    covey__buffer_init(&body, server->env, 16384);
    covey__answer_error(&body, head->http_status, code, message, param);
    enum MHD_Result result =
        body.status ? MHD_NO : covey__reply(server, connection, head, body.data, body.size);
    covey__buffer_free(&body);
    return result;
}

enum MHD_Result covey__reply_error(covey_server *server, struct MHD_Connection *connection,
                                   int http_status, const char *code, const char *message) {
    const covey__reply_head head = {http_status, "application/json", NULL, NULL};
    return reply_error(server, connection, &head, code, message, NULL);
}

enum MHD_Result covey__reply_failure(covey_server *server, struct MHD_Connection *connection,
                                     covey_status status, const char *message, const char *param) {
    const covey__reply_head head = {covey__answer_http_status(status), "application/json", NULL,
                                    NULL};
    return reply_error(server, connection, &head, covey__answer_code(status), message, param);
}

/* Before any answer was tried. */
static enum MHD_Result refuse(covey_server *server, struct MHD_Connection *connection,
                              int http_status, const char *code, const char *message) {
    covey__counter_add(&server->counters.requests_refused, 1);
    return covey__reply_error(server, connection, http_status, code, message);
}

/* ---- Who may ask ------------------------------------------------------------------------------
 */

/* Whether `host` is `name` or `name:port`. */
static bool names_host(const char *host, const char *name) {
    size_t size = strlen(name);
    if (strncasecmp(host, name, size) || (host[size] && host[size] != ':')) return false;
    const char *port = host + size + (host[size] == ':');
    return strspn(port, "0123456789") == strlen(port);
}

/* This machine's loopback, or the address that the server was told to listen on. Neither is a name
 * that someone else could point here. */
static bool own_name(const covey_server *server, const char *host) {
    char bracketed[80];
    snprintf(bracketed, sizeof bracketed, "[%s]", server->address);
    return names_host(host, "localhost") || names_host(host, "127.0.0.1") ||
           names_host(host, "[::1]") || names_host(host, server->address) ||
           names_host(host, bracketed);
}

static bool origin_allowed(const covey_server *server, const char *origin) {
    if (!origin) return true;
    if (!strncasecmp(origin, "http://", 7)) return own_name(server, origin + 7);
    if (!strncasecmp(origin, "https://", 8)) return own_name(server, origin + 8);
    return false;
}

static bool token_equal(const covey_server *server, struct MHD_Connection *connection) {
    if (!server->token) return true;
    const char *given = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    if (!given || strncasecmp(given, "Bearer ", 7)) return false;
    uint8_t a[32], b[32];
    covey__sha256_of(given + 7, strlen(given + 7), a);
    covey__sha256_of(server->token, strlen(server->token), b);
    return covey__equal_secret(a, b, sizeof a);
}

/* Sets what refuses the request, if anything does. */
static void check_asker(const covey_server *server, struct MHD_Connection *connection,
                        const char *url, incoming *in) {
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    const char *origin = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Origin");
    if (!host || !own_name(server, host)) {
        in->refused = 403;
        in->code = "host_not_allowed";
        in->message = "the Host header is neither loopback (localhost, 127.0.0.1, [::1]) nor the "
                      "address that this server listens on";
    } else if (!origin_allowed(server, origin)) {
        in->refused = 403;
        in->code = "origin_not_allowed";
        in->message = "pages of other origins may not use this server";
    } else if (strcmp(url, "/health") && !token_equal(server, connection)) {
        in->refused = 401;
        in->code = "token_needed";
        in->message =
            "send the header \"Authorization: Bearer TOKEN\"; covey token prints the token";
    }
}

/* ---- Pages ------------------------------------------------------------------------------------
 */

static enum MHD_Result reply_none(covey_server *server, struct MHD_Connection *connection) {
    char why[COVEY__OFF_MAX];
    bool off = covey__conversations_why_none(&server->pool, why);
    return covey__reply_error(server, connection, 503, off ? "denied" : "loading", why);
}

static enum MHD_Result page_health(covey_server *server, struct MHD_Connection *connection) {
    static const char ok[] = "{\"status\":\"ok\"}";
    char label[COVEY__LABEL_MAX], model[COVEY__LABEL_MAX];
    /* The name of what is loaded is for those who have the token. */
    const covey__reply_head head = {200, "application/json", "", NULL};
    static const char soon[] = "{\"status\":\"exchanging\"}"; /* requests wait; none fails */
    if (covey__conversations_names(&server->pool, label, model))
        return covey__reply(server, connection, &head, ok, sizeof ok - 1);
    if (covey__conversations_holding(&server->pool))
        return covey__reply(server, connection, &head, soon, sizeof soon - 1);
    return reply_none(server, connection);
}

/* What requests choose from, as llama-server lists it. */
static enum MHD_Result page_adapters(covey_server *server, struct MHD_Connection *connection) {
    covey__served *served = covey__conversations_current(&server->pool);
    covey__buffer body;
    covey__json_writer json;
    if (!served) return reply_none(server, connection);
    covey__buffer_init(&body, server->env, 16384);
    covey__json_writer_init(&json, &body, false);
    covey__chat_adapters_put_offers(&json, served->backend);
    covey__conversations_leave(&server->pool, served);
    enum MHD_Result result = reply_json(server, connection, &body);
    covey__buffer_free(&body);
    return result;
}

static enum MHD_Result page_models(covey_server *server, struct MHD_Connection *connection) {
    covey__served *served = covey__conversations_current(&server->pool);
    covey__buffer body;
    covey__json_writer json;
    covey__buffer_init(&body, server->env, 16384);
    covey__json_writer_init(&json, &body, false);
    covey__json_begin_object(&json);
    covey__json_member_string(&json, "object", "list");
    covey__json_name(&json, "data");
    covey__json_begin_array(&json);
    if (served) {
        covey__json_begin_object(&json);
        covey__json_member_string(&json, "id", served->model);
        covey__json_member_string(&json, "object", "model");
        covey__json_member_i64(&json, "created", 0);
        covey__json_member_string(&json, "owned_by", "local");
        covey__json_member_string(&json, "ensemble", served->label);
        covey__json_name(&json, "adapters");
        covey__chat_adapters_put_offers(&json, served->backend);
        covey__json_end_object(&json);
        covey__conversations_leave(&server->pool, served);
    }
    covey__json_end_array(&json);
    covey__json_end_object(&json);
    enum MHD_Result result = reply_json(server, connection, &body);
    covey__buffer_free(&body);
    return result;
}

static enum MHD_Result page_metrics(covey_server *server, struct MHD_Connection *connection) {
    const covey__serve_counters *count = &server->counters;
    covey__buffer body;
    covey__buffer_init(&body, server->env, 65536);
    covey__metrics_family(&body, "covey_requests_total", "counter", "Requests by outcome.");
    covey__metrics_sample(&body, "covey_requests_total", "outcome=\"ok\"",
                          covey__counter_get(&count->requests_ok));
    covey__metrics_sample(&body, "covey_requests_total", "outcome=\"failed\"",
                          covey__counter_get(&count->requests_failed));
    covey__metrics_sample(&body, "covey_requests_total", "outcome=\"cancelled\"",
                          covey__counter_get(&count->requests_cancelled));
    covey__metrics_sample(&body, "covey_requests_total", "outcome=\"refused\"",
                          covey__counter_get(&count->requests_refused));
    covey__metrics_family(&body, "covey_tokens_total", "counter", "Tokens by kind.");
    covey__metrics_sample(&body, "covey_tokens_total", "kind=\"prompt\"",
                          covey__counter_get(&count->prompt_tokens));
    covey__metrics_sample(&body, "covey_tokens_total", "kind=\"prompt_reused\"",
                          covey__counter_get(&count->reused_tokens));
    covey__metrics_sample(&body, "covey_tokens_total", "kind=\"answer\"",
                          covey__counter_get(&count->answer_tokens));
    covey__metrics_family(&body, "covey_conversations", "gauge", "Conversations that hold state.");
    covey__metrics_sample(&body, "covey_conversations", "state=\"open\"",
                          covey__conversations_open_count(&server->pool));
    covey__metrics_sample(&body, "covey_conversations", "state=\"draining\"",
                          covey__conversations_draining(&server->pool));
    covey__metrics_family(&body, "covey_exchanges_total", "counter",
                          "Ensembles exchanged, beside the one that served or after it was "
                          "drained.");
    covey__metrics_sample(&body, "covey_exchanges_total", "way=\"beside\"",
                          covey__counter_get(&server->pool.exchanges));
    covey__metrics_sample(&body, "covey_exchanges_total", "way=\"drained\"",
                          covey__counter_get(&server->pool.exchanges_drained));
    covey__metrics_histogram(&body, "covey_time_to_first_token_seconds",
                             "From the request to its first token.", &count->first_token);
    covey__metrics_histogram(&body, "covey_request_seconds", "From the request to its end.",
                             &count->request);
    const covey__reply_head head = {200, "text/plain; version=0.0.4; charset=utf-8", NULL, NULL};
    enum MHD_Result result =
        body.status ? MHD_NO : covey__reply(server, connection, &head, body.data, body.size);
    covey__buffer_free(&body);
    return result;
}

/* ---- Routes -----------------------------------------------------------------------------------
 */

static bool is_json(struct MHD_Connection *connection) {
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Type");
    return type && !strncasecmp(type, "application/json", 16) &&
           (!type[16] || type[16] == ';' || type[16] == ' ');
}

typedef enum page {
    PAGE_HEALTH,
    PAGE_MODELS,
    PAGE_METRICS,
    PAGE_ADAPTERS,
    PAGE_CHAT,
    PAGE_TEXT,
    PAGE_EMBEDDINGS,
    PAGE_NONE
} page;

static page page_at(const char *url) {
    static const char *const urls[] = {"/health",        "/v1/models",           "/metrics",
                                       "/lora-adapters", "/v1/chat/completions", "/v1/completions",
                                       "/v1/embeddings"};
    int at = 0;
    while (at < PAGE_NONE && strcmp(url, urls[at])) at++;
    return (page)at;
}

static enum MHD_Result answer_post(covey_server *server, struct MHD_Connection *connection,
                                   page asked, const incoming *in) {
    if (in->too_large)
        return refuse(server, connection, 413, "too_large", "the body is larger than 4 MiB");
    if (!is_json(connection))
        return refuse(server, connection, 415, "not_json",
                      "send the header \"Content-Type: application/json\"");
    const char *body = in->body.data ? in->body.data : "";
    if (asked == PAGE_EMBEDDINGS)
        return covey__embeddings_answer(server, connection, body, in->body.size);
    return covey__completion_answer(server, connection, asked == PAGE_CHAT, body, in->body.size);
}

/* Answers a request that has come whole. */
static enum MHD_Result route(covey_server *server, struct MHD_Connection *connection,
                             const char *url, const char *method, const incoming *in) {
    page asked = page_at(url);
    bool wants_post = asked == PAGE_CHAT || asked == PAGE_TEXT || asked == PAGE_EMBEDDINGS;
    bool fits =
        wants_post ? !strcmp(method, "POST") : !strcmp(method, "GET") || !strcmp(method, "HEAD");
    const covey__reply_head other = {405, "application/json", NULL,
                                     wants_post ? "POST" : "GET, HEAD"};
    if (in->refused) return refuse(server, connection, in->refused, in->code, in->message);
    if (asked == PAGE_NONE)
        return refuse(server, connection, 404, "not_found", "there is nothing at this address");
    if (!fits) {
        covey__counter_add(&server->counters.requests_refused, 1);
        return reply_error(server, connection, &other, "method_not_allowed",
                           wants_post ? "only POST is known here" : "only GET is known here", NULL);
    }
    switch (asked) {
    case PAGE_HEALTH:
        return page_health(server, connection);
    case PAGE_MODELS:
        return page_models(server, connection);
    case PAGE_ADAPTERS:
        return page_adapters(server, connection);
    case PAGE_METRICS:
        return page_metrics(server, connection);
    default:
        return answer_post(server, connection, asked, in);
    }
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state) {
    (void)version;
    covey_server *server = user;
    incoming *in = *state;
    if (!in) {
        in = covey__calloc(server->env, 1, sizeof *in);
        if (!in) return MHD_NO;
        covey__buffer_init(&in->body, server->env, COVEY__SERVE_BODY_MAX);
        check_asker(server, connection, url, in);
        /* One that may not ask is read past, and as easily closed as one that says nothing. */
        covey__connections_asks(&server->connections, connection, !in->refused);
        covey__conversations_request_begins(&server->pool);
        *state = in;
        return MHD_YES;
    }
    if (*upload_size) {
        if (!in->refused && !in->too_large &&
            covey__buffer_append(&in->body, upload, *upload_size)) {
            in->too_large = true;
            covey__buffer_free(&in->body);
        }
        *upload_size = 0;
        return MHD_YES;
    }
    return route(server, connection, url, method, in);
}

static void on_completed(void *user, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code) {
    (void)code;
    covey_server *server = user;
    incoming *in = *state;
    if (!in) return;
    covey__buffer_free(&in->body);
    covey__free(server->env, in);
    *state = NULL;
    covey__connections_asks(&server->connections, connection, false);
    covey__conversations_request_ends(&server->pool);
}

/* ---- Start and stop ---------------------------------------------------------------------------
 */

/* Where to listen; `loopback` says whether only this machine can reach it. */
static covey_status read_address(const char *address, uint16_t port, struct sockaddr_storage *where,
                                 bool *loopback, covey_error *error) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memset(where, 0, sizeof *where);
    if (inet_pton(AF_INET, address, &four.sin_addr) == 1) {
        memcpy(where, &four, sizeof four);
        *loopback = ntohl(four.sin_addr.s_addr) >> 24 == 127;
    } else if (inet_pton(AF_INET6, address, &six.sin6_addr) == 1) {
        memcpy(where, &six, sizeof six);
        *loopback = IN6_IS_ADDR_LOOPBACK(&six.sin6_addr);
    } else {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "serve: address \"%.64s\" is not an IPv4 or IPv6 address", address);
    }
    return COVEY_OK;
}

static covey_status start(covey_server *server, const covey_server_options *options,
                          covey_error *error) {
    const char *address = server->address;
    struct sockaddr_storage where;
    bool loopback = false;
    /* With ITC the daemon can be quiesced: it stops accepting while answers finish. */
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                     MHD_USE_POLL | MHD_USE_ITC;
    covey_status status = read_address(address, options->port, &where, &loopback, error);
    if (status) return status;
    if (!loopback && !server->token)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "serve: %.64s can be reached from other machines; that needs a token",
                           address);
    if (where.ss_family == AF_INET6) flags |= MHD_USE_IPv6;
    unsigned connections = options->connections_max > 0 ? (unsigned)options->connections_max : 64;
    status = covey__connections_init(&server->connections, server->env, connections, error);
    if (status) return status;
    server->daemon = MHD_start_daemon(
        flags, options->port, NULL, NULL, on_request, server, MHD_OPTION_SOCK_ADDR,
        (struct sockaddr *)&where, MHD_OPTION_CONNECTION_LIMIT,
        connections + COVEY__CONNECTIONS_SPARE, MHD_OPTION_CONNECTION_TIMEOUT, 60u,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)65536, MHD_OPTION_LISTEN_BACKLOG_SIZE,
        COVEY__CONNECTIONS_SPARE, MHD_OPTION_THREAD_STACK_SIZE, COVEY__SERVE_STACK,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        covey__connections_notify, &server->connections, MHD_OPTION_END);
    if (!server->daemon)
        return covey__fail_errno(error, errno, "serve: cannot listen on %.64s port %u", address,
                                 (unsigned)options->port);
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    server->port = info ? info->port : options->port;
    return COVEY_OK;
}

covey_status covey_server_open(covey_runtime *runtime, const covey_server_options *options,
                               covey_server **server, covey_error *error) {
    covey_server_options full = COVEY_SERVER_OPTIONS_INIT;
    if (options) memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    const covey__env *env = covey__runtime_env(runtime);
    *server = NULL;
    if (full.context_tokens < 0 || full.context_tokens == 1)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "serve: context: expected 0 (the model's) or at least 2 tokens, for one "
                           "of a prompt and one of an answer; found %d",
                           (int)full.context_tokens);
    covey_server *made = covey__calloc(env, 1, sizeof *made);
    if (!made) return covey__no_memory(error, "the server", sizeof *made);
    made->env = env;
    made->runtime = runtime;
    made->answered = full.answered;
    made->answered_user = full.answered_user;
    covey_status status = covey__conversations_init(&made->pool, env, &full, error);
    if (!status) {
        made->address = covey__strdup(env, full.address ? full.address : "127.0.0.1");
        made->token = full.token ? covey__strdup(env, full.token) : NULL;
        if (!made->address || (full.token && !made->token))
            status = covey__no_memory(error, "the server's address and token", 0);
    }
    if (!status) status = start(made, &full, error);
    if (status) {
        covey_server_close(made, 0);
        return status;
    }
    *server = made;
    return COVEY_OK;
}

void covey_server_close(covey_server *server, int64_t grace_ms) {
    if (!server) return;
    if (server->daemon) {
        MHD_socket listener = MHD_quiesce_daemon(server->daemon);
        if (listener != MHD_INVALID_SOCKET) shutdown(listener, SHUT_RDWR);
        covey__conversations_stop(&server->pool, grace_ms);
        MHD_stop_daemon(server->daemon);
        if (listener != MHD_INVALID_SOCKET) close(listener);
    }
    covey__conversations_free(&server->pool);
    covey__connections_free(&server->connections);
    covey__free(server->env, server->address);
    covey__free(server->env, server->token);
    covey__free(server->env, server);
}

uint16_t covey_server_port(const covey_server *server) {
    return server->port;
}

covey_status covey_server_set_backend(covey_server *server, covey_backend *backend,
                                      const char *label, const char *model, covey_error *error) {
    covey_server_names names = COVEY_SERVER_NAMES_INIT;
    names.label = label;
    names.model = model;
    return covey__conversations_exchange(&server->pool, backend, &names, error);
}

covey_status covey_server_exchange(covey_server *server, covey_backend *backend,
                                   const covey_server_names *names, covey_error *error) {
    covey_server_names full = COVEY_SERVER_NAMES_INIT;
    memcpy(&full, names, names->size < sizeof full ? names->size : sizeof full);
    return covey__conversations_exchange(&server->pool, backend, &full, error);
}

void covey_server_drain(covey_server *server) {
    covey__conversations_drain(&server->pool);
}

void covey_server_withdraw(covey_server *server, const char *reason) {
    covey__conversations_withdraw(&server->pool, reason);
}

size_t covey_server_draining(covey_server *server) {
    return covey__conversations_draining(&server->pool);
}
