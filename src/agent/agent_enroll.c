/* Enrollment: a one-time token becomes a device that a control plane knows, and that knows whose
 * metadata it believes. What the answer says is taken under the lock and on the state as it is
 * then, in one replacement of state.json; the root of trust is put aside before that and becomes
 * the root after it (agent_trust.c). A lost answer is harmless: the request has an id. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/sha256.h"

#include <stdio.h>
#include <string.h>

/* A root of trust for an enrollment. */
typedef struct first_root {
    bool named;          /* by the device's owner: it replaces the one in hand */
    char sha256[65];     /* "": what is in hand stays, or the app's */
    covey__buffer bytes; /* empty: not known yet, or in hand */
} first_root;

/* What the answer says, before it is taken. Strings are the document's. */
typedef struct answered {
    const char *id, *token;
    char blobs_url[512], metadata_url[512];
    const covey__json *mirrors; /* NULL: none are named */
    int64_t poll_ms;
    covey__served_metadata served;
} answered;

bool covey__agent_url_valid(const char *url) {
    return covey__mirror_valid(url);
}

/* What goes into a header or an address. */
static bool plain_word(const char *text) {
    for (; *text; text++)
        if (*text <= ' ' || *text > '~') return false;
    return true;
}

/* An address that may be relative to the control plane's. */
static covey_status read_address(const covey__json *root, const char *name, const char *url,
                                 char out[512], covey_error *error) {
    const char *text = NULL;
    covey_status status = covey__json_string(root, name, name, &text, error);
    if (status) return status;
    if (strlen(text) + strlen(url) >= 512)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: too long", name);
    snprintf(out, 512, "%s%s", text[0] == '/' ? url : "", text);
    if (!covey__agent_url_valid(out))
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: not an http address", name);
    return COVEY_OK;
}

static covey_status read_answer(const covey__json *root, const char *url, answered *out,
                                covey_error *error) {
    covey_status status = covey__json_string(root, "device_id", "device_id", &out->id, error);
    if (!status)
        status = covey__json_string(root, "device_token", "device_token", &out->token, error);
    if (!status) status = read_address(root, "blobs_url", url, out->blobs_url, error);
    out->mirrors = covey__json_get(root, "mirrors");
    if (!status) status = covey__agent_read_poll(root, &out->poll_ms, error);
    if (!status) status = covey__trust_read_served(root, &out->served, error);
    if (!status) status = read_address(root, "metadata_url", url, out->metadata_url, error);
    if (status) return status;
    if (strlen(out->id) > 32 || strlen(out->token) >= COVEY__AGENT_TOKEN_SIZE)
        return covey__fail(error, COVEY_ERROR_FORMAT, "the answer has a member that is too long");
    if (!plain_word(out->id) || !plain_word(out->token))
        return covey__fail(error, COVEY_ERROR_FORMAT, "the answer's id or token is malformed");
    return COVEY_OK;
}

/* The root to begin with, as far as it can be known: what its owner named is fetched where it is
 * not in hand, and where nothing is, the control plane's own is trusted this once. */
static covey_status find_root(covey_agent *agent, const answered *answer, first_root *first,
                              covey_error *error) {
    const char *pinned = agent->state.trust.root_sha256;
    if (!first->named) memcpy(first->sha256, pinned, sizeof first->sha256);
    bool in_hand = !strcmp(first->sha256, pinned);
    bool has_root = false;
    covey_status status = in_hand ? covey__trust_has_root(agent, &has_root, error) : COVEY_OK;
    if (status) return status;
    bool needed = !first->bytes.size && !has_root;
    if (!needed || !answer->served.root) return COVEY_OK;
    return covey__trust_fetch_root(agent, answer->metadata_url, answer->served.root, &first->bytes,
                                   first->sha256, error);
}

/* What was seen of one root says nothing of another's documents. */
static void begin_anew(covey__agent_trust *trust, const char *sha256) {
    memset(trust, 0, sizeof *trust);
    snprintf(trust->root_sha256, sizeof trust->root_sha256, "%s", sha256);
}

static void fill_state(const char *url, const answered *answer, const first_root *first,
                       covey__agent_state *next) {
    snprintf(next->device_id, sizeof next->device_id, "%s", answer->id);
    snprintf(next->url, sizeof next->url, "%s", url);
    snprintf(next->blobs_url, sizeof next->blobs_url, "%s", answer->blobs_url);
    covey__agent_read_mirrors(answer->mirrors, next);
    next->poll_ms = answer->poll_ms;
    if (first->sha256[0] && strcmp(first->sha256, next->trust.root_sha256))
        begin_anew(&next->trust, first->sha256);
    snprintf(next->trust.metadata_url, sizeof next->trust.metadata_url, "%s", answer->metadata_url);
    next->trust.problem[0] = next->trust.message[0] = 0;
}

/* Under the lock and on what state.json says now: another process may have updated this device
 * since. What the control plane before wanted, and what was to be told it, ends here. */
static covey_status take_enrollment(covey_agent *agent, const covey__json *root, const char *url,
                                    first_root *first, covey_error *error) {
    answered answer = {0};
    covey_status status = covey__agent_load(agent, error);
    if (!status) status = read_answer(root, url, &answer, error);
    if (!status) status = covey__trust_settle(agent, error);
    if (!status) status = find_root(agent, &answer, first, error);
    if (status) return status;
    covey__agent_state next = agent->state;
    fill_state(url, &answer, first, &next);
    memset(&next.update, 0, sizeof next.update);
    next.outbox_count = 0;
    next.next_report_ms = 0;
    next.next_checkin_ms = 0;
    next.checkin_failures = 0;
    next.checkin_message[0] = 0;
    if (first->bytes.size) status = covey__trust_put_root(agent, &first->bytes, error);
    if (!status) status = covey__secret_put(agent, "device_token", answer.token, error);
    if (!status) status = covey__agent_save(agent, &next, error);
    if (status) return status;
    agent->state = next;
    covey__fetching_free(agent);
    return covey__trust_settle(agent, error);
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

static covey_status ask(covey_agent *agent, const char *base, const char *token, first_root *first,
                        covey_error *error) {
    char id[65] = "";
    int lock = -1;
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
    if (!status) status = covey__agent_put_device(agent, &json, error);
    covey__json_end_object(&json);
    if (!status) status = covey__buffer_check(&body, error, "the request");
    if (!status)
        status = covey__agent_post(agent, base, "/v1/enroll", NULL, &body, &arena, &root, error);
    if (!status) status = covey__agent_lock(agent, true, &lock, error);
    if (!status) {
        status = take_enrollment(agent, root, base, first, error);
        if (!status && covey__secret_remove(agent, "enroll_request", NULL))
            covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot forget the enrollment's id");
        covey__lock_drop(lock);
    }
    if (body.data) explicit_bzero(body.data, body.size); /* the token */
    covey__arena_free(&arena);
    covey__buffer_free(&body);
    return status;
}

covey_status covey_agent_enroll(covey_agent *agent, const char *url, const char *token,
                                const char *root, covey_error *error) {
    char base[512];
    first_root first = {.named = root != NULL};
    if (!url || !covey__agent_url_valid(url) || !token || !token[0])
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "enroll: expected an address such as https://fleet.example, without "
                           "user or query, and a token");
    snprintf(base, sizeof base, "%s", url);
    for (size_t n = strlen(base); n && base[n - 1] == '/'; n--) base[n - 1] = 0;
    covey__buffer_init(&first.bytes, agent->env, COVEY__ROOT_BYTES_MAX);
    covey_status status = COVEY_OK;
    if (root) status = covey__trust_name_root(agent, root, &first.bytes, first.sha256, error);
    if (!status) status = ask(agent, base, token, &first, error);
    covey__buffer_free(&first.bytes);
    return status ? covey__prefix(error, status, "enroll") : COVEY_OK;
}
