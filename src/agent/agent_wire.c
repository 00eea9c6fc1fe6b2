/* What the agent says to a control plane and hears from it (docs/api.md). Answers are bounded and
 * checked member by member; nothing in them is trusted but what a release key signed. A retried
 * message is harmless: enrollment has a request id, a check-in repeats the state, and a report
 * counts once by its id. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/json.h"
#include "base/semver.h"
#include "base/sha256.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_BYTES_MAX (256u << 10)
#define CONNECT_TIMEOUT  10000
#define IDLE_TIMEOUT     30000
#define TOKEN_SIZE       160
#define SIGNATURE_FILE   "update/signature.json"

/* ---- One exchange -----------------------------------------------------------------------------
 */

#define SLOW_AFTER_US (INT64_C(60) * 1000000)
#define SLOW_BYTES_S  512 /* whoever sends less for long would hold the state folder for days */
#define POLL_MIN_MS   50
#define POLL_MAX_MS   86400000

typedef struct sink {
    covey__buffer *out;
    bool restarted; /* a whole body came where the rest was asked for */
    uint64_t first;
    uint64_t bytes;
    int64_t begin_us;
} sink;

static covey_status sink_body(void *user, const covey_http_response *response, const void *data,
                              size_t size) {
    sink *to = user;
    int64_t took_us = covey__monotonic_us() - to->begin_us;
    to->bytes += size;
    if (took_us > SLOW_AFTER_US && to->bytes < (uint64_t)(took_us / 1000000) * SLOW_BYTES_S)
        return COVEY_ERROR_TIMEOUT;
    if (to->first && response->status == 200 && !to->restarted) {
        covey__buffer_clear(to->out);
        to->restarted = true;
    }
    if (response->status == 206 && response->range_first != to->first) return COVEY_ERROR_REMOTE;
    return covey__buffer_append(to->out, data, size);
}

static const covey_transport *transport_of(const covey_agent *agent) {
    return agent->env->transport;
}

/* Sends and collects; the HTTP status is the caller's matter. */
static covey_status exchange(covey_agent *agent, covey_http_request *request,
                             covey_http_response *response, sink *to, covey_error *error) {
    const covey_transport *transport = transport_of(agent);
    if (!transport)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "agent: this program was built without a transport");
    *response = (covey_http_response){.size = sizeof *response};
    request->size = sizeof *request;
    request->connect_timeout_ms = CONNECT_TIMEOUT;
    request->idle_timeout_ms = IDLE_TIMEOUT;
    to->begin_us = covey__monotonic_us();
    covey_status status =
        transport->fetch(transport->user, request, response, sink_body, to, error);
    agent->retry_after_ms = status ? 0 : response->retry_after_ms;
    return status;
}

/* The message of an error answer, as far as it has one. */
static covey_status remote_error(const covey_agent *agent, const covey_http_response *response,
                                 const covey__buffer *body, const char *what, covey_error *error) {
    covey__arena arena;
    const covey__json *root = NULL, *node = NULL, *message = NULL;
    char text[160] = "";
    covey__arena_init(&arena, agent->env, 1u << 20);
    if (!covey__json_parse(&arena, body->data ? body->data : "", body->size,
                           COVEY__JSON_LIMITS_DEFAULT, &root, NULL)) {
        node = covey__json_get(root, "error");
        message = node ? covey__json_get(node, "message") : NULL;
        if (message && message->kind == COVEY__JSON_STRING)
            covey__printable(message->text, message->size, text, sizeof text);
    }
    covey__arena_free(&arena);
    return covey__fail_sizes(error, COVEY_ERROR_REMOTE, 0, response->status,
                             "%s: the control plane answered %d%s%s", what, response->status,
                             text[0] ? ": " : "", text);
}

/* POSTs `body`, with the device's token where `token` is not NULL, and parses the answer into the
 * arena. */
static covey_status post(covey_agent *agent, const char *url, const char *path, const char *token,
                         const covey__buffer *body, covey__arena *arena, const covey__json **root,
                         covey_error *error) {
    char authorization[TOKEN_SIZE + 32];
    const char *headers[2] = {"Content-Type: application/json", authorization};
    char *full = covey__format(agent->env, "%s%s", url, path);
    if (!full) return covey__no_memory(error, "an address", 0);
    if (token) snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", token);
    covey__buffer answer;
    covey__buffer_init(&answer, agent->env, ANSWER_BYTES_MAX);
    covey_http_request request = {.method = "POST",
                                  .url = full,
                                  .headers = headers,
                                  .header_count = token ? 2 : 1,
                                  .body = body->data,
                                  .body_size = body->size,
                                  .body_bytes_max = ANSWER_BYTES_MAX};
    covey_http_response response;
    sink to = {.out = &answer};
    covey_status status = exchange(agent, &request, &response, &to, error);
    if (!status && (response.status < 200 || response.status > 299))
        status = remote_error(agent, &response, &answer, path, error);
    if (!status)
        status = covey__json_parse(arena, answer.data ? answer.data : "", answer.size,
                                   COVEY__JSON_LIMITS_DEFAULT, root, error);
    explicit_bzero(authorization, sizeof authorization);
    covey__buffer_free(&answer);
    covey__free(agent->env, full);
    return status;
}

/* ---- Bodies -----------------------------------------------------------------------------------
 */

static covey_status put_device(const covey_agent *agent, covey__json_writer *json,
                               covey_error *error) {
    covey_device_facts facts = {.size = sizeof facts};
    covey_status status = covey_device_read(agent->runtime, agent->state_dir, &facts, error);
    if (status) return status;
    covey__json_name(json, "device");
    covey__json_begin_object(json);
    covey__json_member_string(json, "class", covey_device_class_name(facts.device_class));
    covey__json_member_string(json, "os", facts.os);
    covey__json_member_string(json, "os_version", facts.os_version);
    covey__json_member_string(json, "architecture", facts.architecture);
    covey__json_member_string(json, "isa", facts.isa);
    covey__json_member_string(json, "cpu", facts.cpu);
    if (facts.core_count >= 0) covey__json_member_i64(json, "core_count", facts.core_count);
    if (facts.memory_total_bytes >= 0)
        covey__json_member_i64(json, "memory_total_bytes", facts.memory_total_bytes);
    covey__json_end_object(json);
    covey__json_member_string(json, "app_version", agent->app_version);
    covey__json_member_string(json, "library_version", covey_version());
    return COVEY_OK;
}

static void put_refused(const covey_agent *agent, covey__json_writer *json) {
    const covey__agent_state *state = &agent->state;
    covey__json_name(json, "refused");
    covey__json_begin_array(json);
    for (int32_t i = 0; i < state->refused_count; i++)
        covey__json_put_string(json, state->refused[i].release);
    covey__json_end_array(json);
}

/* ---- Enrollment -------------------------------------------------------------------------------
 */

/* A base to which paths are added. It is shown and logged, so it may hold no password. */
static bool url_valid(const char *url) {
    size_t size = strlen(url);
    if (size > 400 || strpbrk(url, "\"<>\\@?#")) return false;
    for (size_t i = 0; i < size; i++)
        if (url[i] <= ' ' || url[i] > '~') return false;
    size_t scheme = !strncmp(url, "https://", 8) ? 8 : !strncmp(url, "http://", 7) ? 7 : 0;
    return scheme && url[scheme] && url[scheme] != '/';
}

/* What goes into a header or an address. */
static bool plain_word(const char *text) {
    for (; *text; text++)
        if (*text <= ' ' || *text > '~') return false;
    return true;
}

static covey_status take_keys(covey__agent_state *state, const covey__json *root,
                              const char *release_key, covey_error *error) {
    covey__trusted_keys check = {0};
    state->release_key_count = 0;
    if (release_key) {
        covey_status status = covey__trusted_add(&check, release_key, error);
        if (status) return covey__prefix(error, status, "the release key");
        snprintf(state->release_keys[state->release_key_count++], 65, "%s", release_key);
        return COVEY_OK;
    }
    const covey__json *keys = NULL;
    covey_status status =
        covey__json_member(root, "release_keys", "release_keys", COVEY__JSON_ARRAY, &keys, error);
    if (status) return status;
    for (const covey__json *key = keys->child; key; key = key->next) {
        if (key->kind != COVEY__JSON_STRING || state->release_key_count == COVEY__RELEASE_KEYS_MAX)
            return covey__fail(error, COVEY_ERROR_FORMAT, "release_keys: not a list of keys");
        status = covey__trusted_add(&check, key->text, error);
        if (status) return status;
        snprintf(state->release_keys[state->release_key_count++], 65, "%s", key->text);
    }
    if (!state->release_key_count)
        return covey__fail(
            error, COVEY_ERROR_FORMAT,
            "release_keys: the control plane names none; tell it one, or name it here");
    return COVEY_OK;
}

/* No server makes a device hurry. */
static covey_status read_poll(const covey__json *root, int64_t *poll_ms, covey_error *error) {
    covey_status status =
        covey__json_i64(root, "poll_ms", "poll_ms", 1, POLL_MAX_MS, poll_ms, error);
    if (!status && *poll_ms < POLL_MIN_MS) *poll_ms = POLL_MIN_MS;
    return status;
}

static covey_status read_enrollment(const covey__json *root, const char *url,
                                    const char *release_key, covey__agent_state *next,
                                    const char **token, covey_error *error) {
    const char *id = NULL, *blobs = NULL;
    covey_status status = covey__json_string(root, "device_id", "device_id", &id, error);
    if (!status) status = covey__json_string(root, "device_token", "device_token", token, error);
    if (!status) status = covey__json_string(root, "blobs_url", "blobs_url", &blobs, error);
    if (!status) status = read_poll(root, &next->poll_ms, error);
    if (!status) status = take_keys(next, root, release_key, error);
    if (status) return status;
    if (strlen(id) >= sizeof next->device_id || strlen(*token) >= TOKEN_SIZE ||
        strlen(blobs) + strlen(url) >= sizeof next->blobs_url)
        return covey__fail(error, COVEY_ERROR_FORMAT, "the answer has a member that is too long");
    if (!plain_word(id) || !plain_word(*token))
        return covey__fail(error, COVEY_ERROR_FORMAT, "the answer's id or token is malformed");
    snprintf(next->device_id, sizeof next->device_id, "%s", id);
    snprintf(next->url, sizeof next->url, "%s", url);
    snprintf(next->blobs_url, sizeof next->blobs_url, "%s%s", blobs[0] == '/' ? url : "", blobs);
    if (!url_valid(next->blobs_url))
        return covey__fail(error, COVEY_ERROR_FORMAT, "blobs_url: not an http address");
    return COVEY_OK;
}

/* Under the lock and on what state.json says now: another process may have updated this device
 * since. What the control plane before wanted, and what was to be told it, ends here. */
static covey_status take_enrollment(covey_agent *agent, const covey__json *root, const char *url,
                                    const char *release_key, covey_error *error) {
    const char *token = NULL;
    covey_status status = covey__agent_load(agent, error);
    if (status) return status;
    covey__agent_state next = agent->state;
    status = read_enrollment(root, url, release_key, &next, &token, error);
    if (status) return status;
    memset(&next.update, 0, sizeof next.update);
    next.outbox_count = 0;
    next.next_report_ms = 0;
    next.next_checkin_ms = 0;
    next.checkin_failures = 0;
    next.checkin_message[0] = 0;
    status = covey__secret_put(agent, "device_token", token, error);
    if (!status) status = covey__state_save(agent->env, agent->state_dir, &next, error);
    if (status) return status;
    agent->state = next;
    covey__fetching_free(agent);
    return COVEY_OK;
}

/* The id of the request is kept until it was answered, so that a lost answer does not cost a second
 * device. */
static covey_status request_id(covey_agent *agent, char id[65], covey_error *error) {
    uint8_t bytes[16];
    if (!covey__secret_get(agent, "enroll_request", id, 65, NULL) && strlen(id) == 32)
        return COVEY_OK;
    covey_status status = covey__random(agent->env, bytes, sizeof bytes, error);
    if (status) return status;
    covey__hex(bytes, sizeof bytes, id);
    return covey__secret_put(agent, "enroll_request", id, error);
}

covey_status covey_agent_enroll(covey_agent *agent, const char *url, const char *token,
                                const char *release_key, covey_error *error) {
    char base[512], id[65];
    int lock = -1;
    if (!url || !url_valid(url) || !token || !token[0])
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "enroll: expected an address such as https://fleet.example, without "
                           "user or query, and a token");
    snprintf(base, sizeof base, "%s", url);
    for (size_t n = strlen(base); n && base[n - 1] == '/'; n--) base[n - 1] = 0;
    covey__buffer body;
    covey__json_writer json;
    covey__arena arena;
    const covey__json *root = NULL;
    covey__buffer_init(&body, agent->env, 16u << 10);
    covey__arena_init(&arena, agent->env, 4u << 20);
    covey_status status = request_id(agent, id, error);
    covey__json_writer_init(&json, &body, false);
    covey__json_begin_object(&json);
    covey__json_member_string(&json, "token", token);
    covey__json_member_string(&json, "request_id", id);
    if (!status) status = put_device(agent, &json, error);
    covey__json_end_object(&json);
    if (!status) status = covey__buffer_check(&body, error, "the request");
    if (!status) status = post(agent, base, "/v1/enroll", NULL, &body, &arena, &root, error);
    if (!status) status = covey__agent_lock(agent, true, &lock, error);
    if (!status) {
        status = take_enrollment(agent, root, base, release_key, error);
        if (!status && covey__secret_remove(agent, "enroll_request", NULL))
            covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot forget the enrollment's id");
        covey__lock_drop(lock);
    }
    if (body.data) explicit_bzero(body.data, body.size); /* the token */
    if (status) covey__prefix(error, status, "enroll");
    covey__arena_free(&arena);
    covey__buffer_free(&body);
    return status;
}

/* ---- Check-in ---------------------------------------------------------------------------------
 */

static covey_status read_target(const covey__json *target, covey__agent_update *out,
                                const covey__json **signature, covey_error *error) {
    const covey__json *release = NULL;
    const char *rollout = NULL, *name = NULL, *version = NULL, *digest = NULL;
    uint8_t bytes[32];
    covey_status status = covey__json_string(target, "rollout", "target.rollout", &rollout, error);
    if (!status)
        status = covey__json_member(target, "release", "target.release", COVEY__JSON_OBJECT,
                                    &release, error);
    if (!status)
        status = covey__json_member(target, "signature", "target.signature", COVEY__JSON_OBJECT,
                                    signature, error);
    if (!status) status = covey__json_string(release, "name", "release.name", &name, error);
    if (!status)
        status = covey__json_string(release, "version", "release.version", &version, error);
    if (!status) status = covey__json_string(release, "digest", "release.digest", &digest, error);
    if (!status)
        status = covey__json_i64(release, "size", "release.size", 1, COVEY__RELEASE_BYTES_MAX,
                                 &out->release_size, error);
    if (status) return status;
    if (strlen(rollout) >= sizeof out->rollout || !covey__ensemble_name_valid(name) ||
        strlen(version) >= sizeof out->version || !covey__semver_valid(version) ||
        !covey__unhex(digest, strlen(digest), bytes, sizeof bytes))
        return covey__fail(error, COVEY_ERROR_FORMAT, "the target is malformed");
    snprintf(out->rollout, sizeof out->rollout, "%s", rollout);
    snprintf(out->name, sizeof out->name, "%s", name);
    snprintf(out->version, sizeof out->version, "%s", version);
    covey__hex(bytes, sizeof bytes, out->release_digest);
    return COVEY_OK;
}

/* The signature is stored before the state says that there is an update which needs it, and again
 * whenever it comes: the same release may be signed anew, or an earlier try may have been cut. */
static covey_status store_signature(covey_agent *agent, const covey__json *signature,
                                    covey_error *error) {
    covey__buffer text, known;
    covey__json_writer json;
    covey__buffer_init(&text, agent->env, COVEY__SIGNATURE_BYTES_MAX);
    covey__json_writer_init(&json, &text, false);
    covey__json_put_node(&json, signature);
    char *folder = covey__agent_path(agent, "update"),
         *path = covey__agent_path(agent, SIGNATURE_FILE);
    covey_status status = covey__buffer_check(&text, error, "the signature");
    if (!status && (!folder || !path)) status = covey__no_memory(error, "a path", 0);
    if (!status) status = covey__folder_make(agent->env, folder, error);
    covey__buffer_init(&known, agent->env, COVEY__SIGNATURE_BYTES_MAX);
    bool same = !status && !covey__file_read(agent->env, path, &known, NULL) &&
                known.size == text.size && !memcmp(known.data, text.data, text.size);
    if (!status && !same)
        status = covey__file_replace(agent->env, path, text.data, text.size, error);
    covey__free(agent->env, folder);
    covey__free(agent->env, path);
    covey__buffer_free(&known);
    covey__buffer_free(&text);
    return status;
}

static covey_status take_checkin(covey_agent *agent, const covey__json *root, covey_error *error) {
    int64_t poll_ms = agent->state.poll_ms;
    covey_status status = read_poll(root, &poll_ms, error);
    if (status) return status;
    agent->state.poll_ms = poll_ms;
    covey__agent_update target = {0};
    covey__agent_actions actions;
    covey__agent_event_in event = {.kind = COVEY__EVENT_TARGET_NONE};
    const covey__json *node = covey__json_get(root, "target"), *signature = NULL;
    if (node && node->kind != COVEY__JSON_NULL) {
        status = read_target(node, &target, &signature, error);
        if (status) return status;
        event.kind = COVEY__EVENT_TARGET;
        event.target = &target;
        if (agent->builtin) {
            event.builtin_name = covey_ensemble_name(agent->builtin);
            event.builtin_version = covey_ensemble_version(agent->builtin);
        }
        covey__agent_state next = agent->state;
        covey__machine(&next, &event, &actions);
        if (next.update.phase == COVEY__PHASE_PLAN) covey__fetching_free(agent);
        if (next.update.phase != COVEY__PHASE_NONE)
            status = store_signature(agent, signature, error);
    }
    return status ? status : covey__agent_event(agent, &event, &actions, error);
}

covey_status covey__agent_checkin(covey_agent *agent, covey_error *error) {
    char token[TOKEN_SIZE];
    covey__buffer body;
    covey__json_writer json;
    covey__arena arena;
    const covey__json *root = NULL;
    covey_status status = covey__secret_get(agent, "device_token", token, sizeof token, error);
    if (status) return covey__prefix(error, status, "check-in: this device's token");
    covey__buffer_init(&body, agent->env, 16u << 10);
    covey__arena_init(&arena, agent->env, 4u << 20);
    covey__json_writer_init(&json, &body, false);
    covey__json_begin_object(&json);
    status = put_device(agent, &json, error);
    covey__state_write_slots(agent, &json);
    put_refused(agent, &json);
    covey__json_end_object(&json);
    if (!status) status = covey__buffer_check(&body, error, "the request");
    if (!status)
        status = post(agent, agent->state.url, "/v1/checkin", token, &body, &arena, &root, error);
    if (!status) status = take_checkin(agent, root, error);
    explicit_bzero(token, sizeof token);
    covey__arena_free(&arena);
    covey__buffer_free(&body);
    return status;
}

/* ---- Reports ----------------------------------------------------------------------------------
 */

static void put_events(const covey__agent_state *state, int32_t count, covey__json_writer *json) {
    covey__json_begin_object(json);
    covey__json_name(json, "events");
    covey__json_begin_array(json);
    for (int32_t i = 0; i < count; i++) {
        const covey__agent_report *report = &state->outbox[i];
        covey__json_begin_object(json);
        covey__json_member_string(json, "id", report->id);
        covey__json_member_i64(json, "time_ms", report->time_ms);
        covey__json_member_string(json, "phase", covey__phase_name(report->phase));
        covey__json_member_string(json, "outcome", report->outcome);
        covey__json_member_string(json, "release", report->release);
        if (report->rollout[0]) covey__json_member_string(json, "rollout", report->rollout);
        if (report->message[0]) covey__json_member_string(json, "message", report->message);
        covey__json_member_i64(json, "bytes", report->bytes);
        covey__json_member_i64(json, "elapsed_ms", report->elapsed_ms);
        covey__json_end_object(json);
    }
    covey__json_end_array(json);
    covey__json_end_object(json);
}

/* The oldest reports, as many as fit. Returns how many. */
static int32_t fill_reports(const covey__agent_state *state, covey__buffer *body) {
    covey__json_writer json;
    for (int32_t count = state->outbox_count;; count /= 2) {
        covey__buffer_clear(body);
        covey__json_writer_init(&json, body, false);
        put_events(state, count, &json);
        if (body->status != COVEY_ERROR_LIMIT || count <= 1) return count;
    }
}

static void drop_reports(covey__agent_state *state, int32_t count) {
    state->outbox_count -= count;
    memmove(state->outbox, state->outbox + count,
            (size_t)state->outbox_count * sizeof *state->outbox);
}

covey_status covey__agent_send_reports(covey_agent *agent, covey_error *error) {
    char token[TOKEN_SIZE];
    covey__buffer body;
    covey__arena arena;
    covey_error local = {0};
    const covey__json *root = NULL;
    covey_status status = covey__secret_get(agent, "device_token", token, sizeof token, &local);
    covey__buffer_init(&body, agent->env, 64u << 10);
    covey__arena_init(&arena, agent->env, 1u << 20);
    int32_t count = fill_reports(&agent->state, &body);
    if (!status) status = covey__buffer_check(&body, &local, "the reports");
    bool too_large = status == COVEY_ERROR_LIMIT;
    if (!status)
        status = post(agent, agent->state.url, "/v1/reports", token, &body, &arena, &root, &local);
    explicit_bzero(token, sizeof token);
    /* What the server will never take is dropped and counted, or it would block what comes after
     * it. */
    bool refused = status == COVEY_ERROR_REMOTE && local.found >= 400 && local.found < 500 &&
                   local.found != 401 && local.found != 403 && local.found != 408 &&
                   local.found != 429;
    if (!status || refused || too_large) {
        if (status) agent->state.outbox_dropped += count;
        drop_reports(&agent->state, count);
        agent->state.next_report_ms = 0;
        status = covey__state_save(agent->env, agent->state_dir, &agent->state, error);
    } else if (error) {
        *error = local;
    }
    covey__arena_free(&arena);
    covey__buffer_free(&body);
    return status;
}

/* ---- Blobs ------------------------------------------------------------------------------------
 */

covey_status covey__agent_get_range(covey_agent *agent, const uint8_t sha256[32], uint64_t first,
                                    covey__buffer *out, covey_error *error) {
    char hex[65];
    covey__hex(sha256, 32, hex);
    char *url = covey__format(agent->env, "%s/sha256/%s", agent->state.blobs_url, hex);
    if (!url) return covey__no_memory(error, "an address", 0);
    covey_http_request request = {
        .method = "GET", .url = url, .range_first = first, .body_bytes_max = out->size_max};
    covey_http_response response;
    sink to = {.out = out, .first = first};
    covey_status status = exchange(agent, &request, &response, &to, error);
    if (status == COVEY_ERROR_LIMIT) /* the server's doing, and not the release's */
        status = covey__fail_sizes(error, COVEY_ERROR_REMOTE, 0, response.status,
                                   "blob %.16s…: the server sent more than %zu bytes", hex,
                                   out->size_max);
    if (!status && response.status != 200 && response.status != 206) {
        covey__buffer_clear(out);
        status = covey__fail_sizes(error, COVEY_ERROR_REMOTE, 0, response.status,
                                   "blob %.16s…: the server answered %d", hex, response.status);
    }
    covey__free(agent->env, url);
    return status;
}

covey_status covey__agent_get_blob(covey_agent *agent, const uint8_t sha256[32], uint64_t size,
                                   covey__buffer *out, covey_error *error) {
    uint8_t digest[32];
    covey_status status = covey__agent_get_range(agent, sha256, 0, out, error);
    if (status) return status;
    covey__sha256_of(out->data ? out->data : "", out->size, digest);
    /* Not the release's fault: a proxy or a sign-in page may have answered. */
    if (out->size != size || memcmp(digest, sha256, 32))
        return covey__fail_sizes(error, COVEY_ERROR_REMOTE, 0, 200,
                                 "the server sent %zu bytes that are not the %" PRIu64
                                 " asked for: their digest differs",
                                 out->size, size);
    return COVEY_OK;
}
