/* What the agent says to a control plane and hears from it (docs/api.md). Answers are bounded and
 * checked member by member; nothing in them is trusted but what the metadata names (agent_trust.c).
 * A retried message is harmless: enrollment has a request id, a check-in repeats the state, and a
 * report counts once by its id. */
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
#define TOKEN_SIZE       COVEY__AGENT_TOKEN_SIZE

/* ---- One exchange -----------------------------------------------------------------------------
 */

#define SLOW_AFTER_US (INT64_C(60) * 1000000)
#define SLOW_BYTES_S  512 /* whoever sends less for long would hold the state folder for days */
#define POLL_MIN_MS   50
#define POLL_MAX_MS   86400000

typedef struct sink {
    const covey__env *env;
    covey__buffer *out;
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
    (void)response;
    if (covey__fault(to->env, "net.data", "")) return COVEY_ERROR_NETWORK;
    return covey__buffer_append(to->out, data, size);
}

/* Sends and collects; the HTTP status is the caller's matter. */
static covey_status exchange(covey_agent *agent, covey_http_request *request,
                             covey_http_response *response, sink *to, covey_error *error) {
    *response = (covey_http_response){.size = sizeof *response};
    request->size = sizeof *request;
    request->connect_timeout_ms = CONNECT_TIMEOUT;
    request->idle_timeout_ms = IDLE_TIMEOUT;
    to->begin_us = covey__monotonic_us();
    to->env = agent->env;
    covey_status status = covey__agent_carry(agent, request, response, sink_body, to, error);
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

covey_status covey__agent_post(covey_agent *agent, const char *url, const char *path,
                               const char *token, const covey__buffer *body, covey__arena *arena,
                               const covey__json **root, covey_error *error) {
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

covey_status covey__agent_get(covey_agent *agent, const char *url, covey__buffer *out,
                              int *http_status, covey_error *error) {
    covey_http_request request = {.method = "GET", .url = url, .body_bytes_max = out->size_max};
    covey_http_response response;
    sink to = {.out = out};
    covey_status status = exchange(agent, &request, &response, &to, error);
    *http_status = response.status;
    return status;
}

/* ---- Bodies -----------------------------------------------------------------------------------
 */

covey_status covey__agent_put_device(const covey_agent *agent, covey__json_writer *json,
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
    covey__agent_put_key(agent, true, json);
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

covey_status covey__agent_read_poll(const covey__json *root, int64_t *poll_ms, covey_error *error) {
    covey_status status =
        covey__json_i64(root, "poll_ms", "poll_ms", 1, POLL_MAX_MS, poll_ms, error);
    if (!status && *poll_ms < POLL_MIN_MS) *poll_ms = POLL_MIN_MS;
    return status;
}

/* A control plane that is asked by TLS names no mirror that is not. */
static bool mirror_fits(const covey__agent_state *state, const char *mirror) {
    return strncmp(state->url, "https://", 8) != 0 || strncmp(mirror, "https://", 8) == 0;
}

void covey__agent_read_mirrors(const covey__json *list, covey__agent_state *state) {
    state->mirror_count = 0;
    if (!list || list->kind != COVEY__JSON_ARRAY) return;
    for (const covey__json *node = list->child; node; node = node->next) {
        if (state->mirror_count == COVEY__AGENT_MIRRORS_MAX) return;
        if (node->kind != COVEY__JSON_STRING || !covey__agent_url_valid(node->text) ||
            !mirror_fits(state, node->text))
            continue;
        snprintf(state->mirrors[state->mirror_count++], sizeof *state->mirrors, "%s", node->text);
    }
}

/* ---- Check-in ---------------------------------------------------------------------------------
 */

static covey_status read_target(const covey__json *target, covey__agent_update *out,
                                covey_error *error) {
    const covey__json *release = NULL;
    const char *rollout = NULL, *name = NULL, *version = NULL, *digest = NULL;
    uint8_t bytes[32];
    covey_status status = covey__json_string(target, "rollout", "target.rollout", &rollout, error);
    if (!status)
        status = covey__json_member(target, "release", "target.release", COVEY__JSON_OBJECT,
                                    &release, error);
    if (!status) status = covey__json_string(release, "name", "release.name", &name, error);
    if (!status)
        status = covey__json_string(release, "version", "release.version", &version, error);
    if (!status) status = covey__json_string(release, "digest", "release.digest", &digest, error);
    if (!status)
        status = covey__json_i64(release, "size", "release.size", 1, COVEY__RELEASE_BYTES_MAX,
                                 &out->release_size, error);
    if (!status && covey__json_get(target, "bytes_max"))
        status = covey__json_i64(target, "bytes_max", "target.bytes_max", 0, INT64_MAX,
                                 &out->bytes_max, error);
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

static covey_status take_checkin(covey_agent *agent, const covey__json *root, covey_error *error) {
    int64_t poll_ms = agent->state.poll_ms;
    covey__served_metadata served;
    covey_status status = covey__agent_read_poll(root, &poll_ms, error);
    if (!status) status = covey__trust_read_served(root, &served, error);
    if (status) return status;
    agent->state.poll_ms = poll_ms;
    covey__agent_read_mirrors(covey__json_get(root, "mirrors"), &agent->state);
    covey__agent_update target = {0};
    covey__agent_actions actions;
    covey__verdict verdict = {0};
    covey__agent_event_in event = {.kind = COVEY__EVENT_TARGET_NONE};
    const covey__json *node = covey__json_get(root, "target");
    if (node && node->kind != COVEY__JSON_NULL) {
        status = read_target(node, &target, error);
        if (status) return status;
        event.kind = COVEY__EVENT_TARGET;
        event.target = &target;
    }
    status = covey__trust_judge(agent, &served, &event, &verdict, error);
    if (status || !verdict.take) return status;
    memcpy(target.patches, verdict.patches, sizeof target.patches);
    target.patches_size = verdict.patches_size;
    return covey__agent_event(agent, &event, &actions, error);
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
    status = covey__agent_put_device(agent, &json, error);
    covey__state_write_slots(agent, &json);
    put_refused(agent, &json);
    if (agent->state.paused) covey__json_member_bool(&json, "paused", true);
    covey__json_end_object(&json);
    if (!status) status = covey__buffer_check(&body, error, "the request");
    if (!status)
        status = covey__agent_post(agent, agent->state.url, "/v1/checkin", token, &body, &arena,
                                   &root, error);
    if (!status) status = take_checkin(agent, root, error);
    if (!status) covey__agent_keys_refresh(agent);
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
        status = covey__agent_post(agent, agent->state.url, "/v1/reports", token, &body, &arena,
                                   &root, &local);
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
        status = covey__agent_save(agent, &agent->state, error);
    } else if (error) {
        *error = local;
    }
    covey__arena_free(&arena);
    covey__buffer_free(&body);
    return status;
}
