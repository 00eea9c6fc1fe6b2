/* The control plane's client: one function a thing to ask, each one call of the API.
 *
 * Invariants: the token goes into one header and nowhere else. A server's refusal keeps its own
 * words. Connections are kept between calls.
 *
 * Neighbours: client_publish.c does the one thing that takes many calls; client_text.c writes
 * answers for people.
 */
#include "fleet/client.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"
#include "base/sha256.h"

#define ANSWER_BYTES_MAX (16u << 20)
#define IDLE_CONNECTIONS 4

/* ---- the client --------------------------------------------------------------------------- */

/* "Authorization: Bearer TOKEN" from the first line of a file. */
static covey_status read_token(covey_fleet_client *client, const char *file, covey_error *error) {
    covey__buffer text;
    covey__buffer_init(&text, client->env, 4096);
    covey_status status = covey__file_read(client->env, file, &text, error);
    if (status == COVEY_OK) {
        size_t size = strcspn(text.data != NULL ? text.data : "", " \t\r\n");
        if (size == 0 || size > 512) {
            status = covey__fail(error, COVEY_ERROR_FORMAT,
                                 "%s: expected a token in its first line", file);
        } else {
            client->authorization =
                covey__format(client->env, "Authorization: Bearer %.*s", (int)size, text.data);
            if (client->authorization == NULL) status = covey__no_memory(error, "token", size);
        }
    }
    if (text.data != NULL) explicit_bzero(text.data, text.size);
    covey__buffer_free(&text);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "admin token");
}

covey_status covey_fleet_client_open(covey_runtime *runtime, const char *url,
                                     const char *token_file, covey_fleet_client **client,
                                     covey_error *error) {
    const covey__env *env = covey__runtime_env(runtime);
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "url: expected http://HOST:PORT or https://HOST");
    }
    covey_fleet_client *c = covey__calloc(env, 1, sizeof(*c));
    if (c == NULL) return covey__no_memory(error, "client", sizeof(*c));
    c->env = env;
    size_t size = strlen(url);
    while (size > 0 && url[size - 1] == '/') size--;
    c->url = covey__strndup(env, url, size);
    covey_status status = c->url != NULL ? COVEY_OK : covey__no_memory(error, "client", size);
    if (status == COVEY_OK) status = read_token(c, token_file, error);
    c->transport = env->transport;
    /* The default opens a connection an exchange; publishing makes thousands of them. */
    if (status == COVEY_OK &&
        (env->transport == NULL || env->transport->fetch == covey__transport_curl()->fetch)) {
        status = covey__transport_pool_new(env, IDLE_CONNECTIONS, &c->pool, error);
        if (status == COVEY_OK) c->transport = covey__transport_pool_table(c->pool);
    }
    if (status != COVEY_OK) {
        covey_fleet_client_close(c);
        return status;
    }
    *client = c;
    return COVEY_OK;
}

void covey_fleet_client_close(covey_fleet_client *client) {
    if (client == NULL) return;
    covey__transport_pool_free(client->pool);
    if (client->authorization != NULL) {
        explicit_bzero(client->authorization, strlen(client->authorization));
    }
    covey__free(client->env, client->authorization);
    covey__free(client->env, client->url);
    covey__free(client->env, client);
}

void covey_fleet_text_free(covey_fleet_client *client, char *text) {
    covey__free(client->env, text);
}

/* ---- one call ----------------------------------------------------------------------------- */

static covey_status collect(void *user, const covey_http_response *response, const void *data,
                            size_t size) {
    (void)response;
    return covey__buffer_append(user, data, size);
}

/* {"error":{"code","message"}} in the error's words. */
static covey_status remote_error(covey_fleet_client *client, const char *method, const char *path,
                                 int http_status, const covey__buffer *answer, covey_error *error) {
    covey__arena arena;
    const covey__json *root = NULL;
    const char *code = "", *message = "";
    char shown[320];
    covey__arena_init(&arena, client->env, 4u << 20);
    covey__json_limits limits = {1u << 20, 16, 8192};
    if (covey__json_parse(&arena, answer->data != NULL ? answer->data : "", answer->size, limits,
                          &root, NULL) == COVEY_OK) {
        const covey__json *body = covey__json_get(root, "error");
        const covey__json *c = covey__json_get(body, "code");
        const covey__json *m = covey__json_get(body, "message");
        if (c != NULL && c->kind == COVEY__JSON_STRING) code = c->text;
        if (m != NULL && m->kind == COVEY__JSON_STRING) message = m->text;
    }
    covey__printable(message, strlen(message), shown, sizeof(shown));
    covey_status status = covey__fail_sizes(error, COVEY_ERROR_REMOTE, 0, http_status,
                                            "%s %s: the server answered %d %s%s%s", method, path,
                                            http_status, code, shown[0] != '\0' ? ": " : "", shown);
    covey__arena_free(&arena);
    return status;
}

covey_status covey__fleet_call(covey_fleet_client *client, const char *method, const char *path,
                               const void *body, size_t body_size, covey__buffer *answer,
                               int *http_status, covey_error *error) {
    covey__buffer own;
    covey__buffer_init(&own, client->env, ANSWER_BYTES_MAX);
    covey__buffer *out = answer != NULL ? answer : &own;
    covey__buffer_clear(out);
    char *url = covey__format(client->env, "%s%s", client->url, path);
    if (url == NULL) return covey__no_memory(error, "url", 0);
    const char *headers[] = {client->authorization, "Content-Type: application/json"};
    covey_http_request request = {.size = sizeof(request),
                                  .method = method,
                                  .url = url,
                                  .headers = headers,
                                  .header_count = strcmp(method, "PUT") == 0 ? 1 : 2,
                                  .body = body,
                                  .body_size = body_size,
                                  .body_bytes_max = ANSWER_BYTES_MAX,
                                  .connect_timeout_ms = 10000,
                                  .idle_timeout_ms = 60000};
    covey_http_response response = {.size = sizeof(response)};
    covey_status status =
        client->transport->fetch(client->transport->user, &request, &response, collect, out, error);
    if (status == COVEY_OK && http_status != NULL) *http_status = response.status;
    if (status == COVEY_OK && (response.status < 200 || response.status > 299)) {
        status = remote_error(client, method, path, response.status, out, error);
    }
    covey__free(client->env, url);
    covey__buffer_free(&own);
    return status;
}

/* A call whose answer becomes the caller's text. */
static covey_status ask(covey_fleet_client *client, const char *method, const char *path,
                        const covey__buffer *body, covey__shown what, covey_fleet_format format,
                        char **text, covey_error *error) {
    covey__buffer answer, shown;
    covey__buffer_init(&answer, client->env, ANSWER_BYTES_MAX);
    covey__buffer_init(&shown, client->env, ANSWER_BYTES_MAX);
    covey_status status = COVEY_OK;
    if (body != NULL) status = covey__buffer_check(body, error, "request");
    if (status == COVEY_OK) {
        status = covey__fleet_call(client, method, path, body != NULL ? body->data : NULL,
                                   body != NULL ? body->size : 0, &answer, NULL, error);
    }
    if (status == COVEY_OK && format == COVEY_FLEET_JSON) {
        (void)covey__buffer_append(&shown, answer.data, answer.size);
        (void)covey__buffer_byte(&shown, '\n');
        status = covey__buffer_check(&shown, error, "answer");
    } else if (status == COVEY_OK) {
        status = covey__fleet_show(client->env, what, covey__now_ms(client->env), &answer, &shown,
                                   error);
    }
    if (status == COVEY_OK) {
        size_t size;
        *text = covey__buffer_take(&shown, &size);
        if (*text == NULL) status = covey__no_memory(error, "answer", 0);
    }
    covey__buffer_free(&shown);
    covey__buffer_free(&answer);
    return status;
}

covey_status covey__fleet_ask(covey_fleet_client *client, const char *path, covey__shown what,
                              covey_fleet_format format, char **text, covey_error *error) {
    return ask(client, "GET", path, NULL, what, format, text, error);
}

/* ---- what can be asked -------------------------------------------------------------------- */

covey_status covey_fleet_releases(covey_fleet_client *client, covey_fleet_format format,
                                  char **text, covey_error *error) {
    return ask(client, "GET", "/v1/releases", NULL, COVEY__SHOWN_RELEASES, format, text, error);
}

/* "a,b" as a JSON list. */
static void write_list(covey__json_writer *w, const char *list) {
    covey__json_begin_array(w);
    while (list != NULL && *list != '\0') {
        size_t size = strcspn(list, ",");
        if (size > 0) covey__json_put_text(w, list, size);
        list += size + (list[size] == ',' ? 1 : 0);
    }
    covey__json_end_array(w);
}

/* At most three decimals, as the API wants it, whatever the locale's decimal point is. */
static void write_percent(covey__json_writer *w, double percent) {
    char text[32];
    if (!(percent >= -1e9 && percent <= 1e9)) percent = -1; /* the server says what it expects */
    long long milli = (long long)(percent * 1000.0 + (percent < 0 ? -0.5 : 0.5));
    int size = snprintf(text, sizeof(text), "%s%lld.%03lld", milli < 0 ? "-" : "",
                        (milli < 0 ? -milli : milli) / 1000, (milli < 0 ? -milli : milli) % 1000);
    covey__json_name(w, "percent");
    covey__json_put_raw(w, text, (size_t)size);
}

covey_status covey_fleet_rollout_create(covey_fleet_client *client,
                                        const covey_fleet_rollout_options *options,
                                        covey_fleet_format format, char **text,
                                        covey_error *error) {
    covey_fleet_rollout_options full = COVEY_FLEET_ROLLOUT_OPTIONS_INIT;
    memcpy(&full, options, options->size < sizeof(full) ? options->size : sizeof(full));
    if (full.release == NULL) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "rollout: names no release");
    }
    covey__buffer body;
    covey__json_writer w;
    covey__buffer_init(&body, client->env, 16u << 10);
    covey__json_writer_init(&w, &body, false);
    covey__json_begin_object(&w);
    covey__json_member_string(&w, "release", full.release);
    write_percent(&w, full.percent);
    covey__json_name(&w, "classes");
    write_list(&w, full.classes);
    if (full.note != NULL) covey__json_member_string(&w, "note", full.note);
    if (full.bytes_max != 0) covey__json_member_i64(&w, "bytes_max", full.bytes_max);
    if (full.patched_first) covey__json_member_bool(&w, "patched_first", true);
    covey__json_end_object(&w);
    covey_status status =
        ask(client, "POST", "/v1/rollouts", &body, COVEY__SHOWN_ROLLOUT, format, text, error);
    covey__buffer_free(&body);
    return status;
}

/* An id from outside as a path's segment: what is not plain cannot be an id of ours. */
static bool plain(const char *id) {
    return id[0] != '\0' && strlen(id) <= 64 &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") ==
               strlen(id);
}

static covey_status not_plain(const char *id, covey_error *error) {
    char shown[80];
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "\"%s\" is no id",
                       covey__printable(id, strlen(id), shown, sizeof(shown)));
}

covey_status covey_fleet_rollout_change(covey_fleet_client *client, const char *id,
                                        const covey_fleet_rollout_changes *changes,
                                        covey_fleet_format format, char **text,
                                        covey_error *error) {
    covey_fleet_rollout_changes full = COVEY_FLEET_ROLLOUT_CHANGES_INIT;
    memcpy(&full, changes, changes->size < sizeof(full) ? changes->size : sizeof(full));
    covey__buffer body;
    covey__json_writer w;
    char path[96];
    if (!plain(id)) return not_plain(id, error);
    (void)snprintf(path, sizeof(path), "/v1/rollouts/%s", id);
    covey__buffer_init(&body, client->env, 16u << 10);
    covey__json_writer_init(&w, &body, false);
    covey__json_begin_object(&w);
    if (full.percent >= 0) write_percent(&w, full.percent);
    if (full.state != NULL) covey__json_member_string(&w, "state", full.state);
    if (full.bytes_max >= 0) covey__json_member_i64(&w, "bytes_max", full.bytes_max);
    if (full.everyone) covey__json_member_bool(&w, "patched_first", false);
    covey__json_end_object(&w);
    covey_status status =
        ask(client, "PATCH", path, &body, COVEY__SHOWN_ROLLOUT, format, text, error);
    covey__buffer_free(&body);
    return status;
}

covey_status covey_fleet_rollout_set(covey_fleet_client *client, const char *id, double percent,
                                     const char *state, covey_fleet_format format, char **text,
                                     covey_error *error) {
    covey_fleet_rollout_changes changes = COVEY_FLEET_ROLLOUT_CHANGES_INIT;
    changes.percent = percent;
    changes.state = state;
    return covey_fleet_rollout_change(client, id, &changes, format, text, error);
}

covey_status covey_fleet_rollouts(covey_fleet_client *client, covey_fleet_format format,
                                  char **text, covey_error *error) {
    return ask(client, "GET", "/v1/rollouts", NULL, COVEY__SHOWN_ROLLOUTS, format, text, error);
}

/* NAME=VALUE of a query, with everything but plain characters escaped. */
static void add_argument(covey__buffer *out, const char *name, const char *value) {
    static const char digits[] = "0123456789ABCDEF";
    if (value == NULL) return;
    (void)covey__buffer_format(out, "&%s=", name);
    for (const unsigned char *c = (const unsigned char *)value; *c != '\0'; c++) {
        bool is_plain = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                        (*c >= 'A' && *c <= 'Z') || *c == '-' || *c == '.';
        if (is_plain) {
            (void)covey__buffer_byte(out, (char)*c);
        } else {
            char escaped[4] = {'%', digits[*c >> 4], digits[*c & 15], '\0'};
            (void)covey__buffer_text(out, escaped);
        }
    }
}

covey_status covey_fleet_devices(covey_fleet_client *client,
                                 const covey_fleet_device_filter *filter, covey_fleet_format format,
                                 char **text, covey_error *error) {
    covey_fleet_device_filter full = COVEY_FLEET_DEVICE_FILTER_INIT;
    if (filter != NULL) {
        memcpy(&full, filter, filter->size < sizeof(full) ? filter->size : sizeof(full));
    }
    covey__buffer path;
    covey__buffer_init(&path, client->env, 4096);
    (void)covey__buffer_format(&path, "/v1/devices?limit=%d", (int)full.limit);
    add_argument(&path, "after", full.after);
    add_argument(&path, "class", full.device_class);
    add_argument(&path, "version", full.version);
    covey_status status = covey__buffer_check(&path, error, "filter");
    if (status == COVEY_OK) {
        status = ask(client, "GET", path.data, NULL, COVEY__SHOWN_DEVICES, format, text, error);
    }
    covey__buffer_free(&path);
    return status;
}

covey_status covey_fleet_device(covey_fleet_client *client, const char *id,
                                covey_fleet_format format, char **text, covey_error *error) {
    char path[96];
    if (!plain(id)) return not_plain(id, error);
    (void)snprintf(path, sizeof(path), "/v1/devices/%s", id);
    return ask(client, "GET", path, NULL, COVEY__SHOWN_DEVICE, format, text, error);
}

covey_status covey_fleet_device_revoke(covey_fleet_client *client, const char *id,
                                       covey_error *error) {
    char path[96];
    if (!plain(id)) return not_plain(id, error);
    (void)snprintf(path, sizeof(path), "/v1/devices/%s", id);
    return covey__fleet_call(client, "DELETE", path, NULL, 0, NULL, NULL, error);
}

covey_status covey_fleet_token_create(covey_fleet_client *client, int64_t uses, int64_t expires_ms,
                                      const char *note, covey_fleet_format format, char **text,
                                      covey_error *error) {
    covey__buffer body;
    covey__json_writer w;
    covey__buffer_init(&body, client->env, 4096);
    covey__json_writer_init(&w, &body, false);
    covey__json_begin_object(&w);
    covey__json_member_i64(&w, "uses", uses);
    covey__json_member_i64(&w, "expires_ms", expires_ms);
    if (note != NULL) covey__json_member_string(&w, "note", note);
    covey__json_end_object(&w);
    covey_status status =
        ask(client, "POST", "/v1/enroll-tokens", &body, COVEY__SHOWN_TOKEN, format, text, error);
    covey__buffer_free(&body);
    return status;
}
