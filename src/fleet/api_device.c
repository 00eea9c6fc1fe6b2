/* What devices ask: enrollment, check-in, reports (docs/api.md).
 *
 * A check-in that changes nothing costs one hash, one look-up by token (http.c), one comparison and
 * the walk over the running rollouts; the time of it is written down later, in a batch.
 *
 * Invariants: what is offered passed covey__cohort_judge with the device's refusals known. A
 * report's effects are the store's, once an id.
 *
 * Neighbours: device_state.c reads what a device says; cohort.c decides; store.h keeps.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fleet/cohort.h"
#include "fleet/device_state.h"
#include "fleet/routes.h"

#define REPORT_COUNT_MAX 64
#define STATE_BYTES_MAX  (8u << 10)

covey_status covey__token_make(const covey__env *env, const char *prefix,
                               char token[COVEY__TOKEN_TEXT_SIZE], uint8_t hash[32],
                               covey_error *error) {
    uint8_t secret[32];
    covey_status status = covey__random(env, secret, sizeof(secret), error);
    if (status != COVEY_OK) return status;
    memcpy(token, prefix, 4);
    covey__hex(secret, sizeof(secret), token + 4);
    covey__sha256_of(token, COVEY__TOKEN_TEXT_SIZE - 1, hash);
    return COVEY_OK;
}

/* ---- enrollment --------------------------------------------------------------------------- */

static bool request_id_valid(const char *id) {
    size_t size = strlen(id);
    return size >= 32 && size <= 64 && strspn(id, "0123456789abcdefABCDEF") == size;
}

/* Named anew in each answer, so that one which is gone is forgotten at the next check-in. */
static void write_mirrors(const covey_fleet_server *server, covey__json_writer *w) {
    if (server->mirror_count == 0) return;
    covey__json_name(w, "mirrors");
    covey__json_begin_array(w);
    for (size_t i = 0; i < server->mirror_count; i++) covey__json_put_string(w, server->mirrors[i]);
    covey__json_end_array(w);
}

static void answer_enrolled(covey__exchange *x, const covey__enrollment *e, const char *token) {
    covey_fleet_server *server = x->server;
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_member_string(&w, "device_id", e->device_id);
    covey__json_member_string(&w, "device_token", token);
    covey__json_member_string(&w, "blobs_url", server->blobs_url);
    write_mirrors(server, &w);
    covey__json_member_string(&w, "metadata_url", "/v1/metadata");
    covey__json_member_string(&w, "targets_url", "/v1/targets");
    covey__metadata_write_versions(x, &w);
    covey__json_member_i64(&w, "poll_ms", server->poll_ms);
    covey__json_end_object(&w);
}

static int answer_outcome(covey__exchange *x, covey__enroll_outcome outcome,
                          const covey__enrollment *e, const char *token) {
    switch (outcome) {
    case COVEY__ENROLL_UNKNOWN:
        return covey__answer_error(x, 401, "unknown_token", "this enrollment token is not known");
    case COVEY__ENROLL_EXPIRED:
        return covey__answer_error(x, 403, "token_expired", "this enrollment token has expired");
    case COVEY__ENROLL_USED_UP:
        return covey__answer_error(x, 403, "token_used_up",
                                   "this enrollment token was used as often as it may be");
    case COVEY__ENROLL_NEW:
    case COVEY__ENROLL_AGAIN:
        break;
    }
    covey__counter_add(&x->server->metrics.enrollments, 1);
    answer_enrolled(x, e, token);
    return outcome == COVEY__ENROLL_NEW ? 201 : 200;
}

/* Hashes of the enrollment token, and of it with the request's id. */
static covey_status read_tokens(const covey__json *root, covey__enrollment *e, covey_error *error) {
    const char *token, *id;
    covey_status status = covey__json_string(root, "token", "token", &token, error);
    if (status != COVEY_OK) return status;
    covey__sha256_of(token, strlen(token), e->token_hash);
    if (covey__json_get(root, "request_id") == NULL) return COVEY_OK;
    status = covey__json_string(root, "request_id", "request_id", &id, error);
    if (status != COVEY_OK) return status;
    if (!request_id_valid(id)) {
        return covey__fail(error, COVEY_ERROR_FORMAT, "request_id: expected 32 to 64 hex digits");
    }
    covey__sha256 hash;
    covey__sha256_init(&hash);
    covey__sha256_update(&hash, e->token_hash, 32);
    covey__sha256_update(&hash, id, strlen(id));
    covey__sha256_final(&hash, e->request_hash);
    e->has_request = true;
    return COVEY_OK;
}

int covey__api_enroll(covey__exchange *x) {
    covey_error error = {0};
    const covey__json *root;
    covey__device_state state;
    covey__enrollment e = {.state = &state, .now_ms = covey__now_ms(x->env)};
    int answer = covey__read_json(x, &root);
    if (answer != 0) return answer;
    covey__buffer json;
    covey__buffer_init(&json, x->env, STATE_BYTES_MAX);
    covey_status status = read_tokens(root, &e, &error);
    if (status == COVEY_OK) status = covey__device_state_read(root, &json, &state, &error);
    if (status != COVEY_OK) {
        covey__buffer_free(&json);
        return covey__bad_field(x, &error);
    }
    uint8_t id[16];
    char token[COVEY__TOKEN_TEXT_SIZE];
    covey__enroll_outcome outcome = COVEY__ENROLL_UNKNOWN;
    status = covey__random(x->env, id, sizeof(id), &error);
    covey__hex(id, sizeof(id), e.device_id);
    if (status == COVEY_OK) {
        status = covey__token_make(x->env, "cvd_", token, e.device_token_hash, &error);
    }
    if (status == COVEY_OK) {
        status = x->server->store->driver->enroll(x->server->store, &e, &outcome, &error);
    }
    covey__buffer_free(&json);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    return answer_outcome(x, outcome, &e, token);
}

/* ---- check-in ----------------------------------------------------------------------------- */

/* The rollouts that a device passed so far, less those that it refused. */
typedef struct choice {
    const covey__rollout_set *set;
    const covey__device_known *device;
    const char *refused[64];
    size_t refused_count;
    covey__arena *arena;
} choice;

static covey_status note_refusal(void *user, const char *release, const char *reason) {
    choice *c = user;
    (void)reason;
    if (c->refused_count == sizeof(c->refused) / sizeof(c->refused[0])) return COVEY_OK;
    const char *copy = covey__arena_strndup(c->arena, release, strlen(release));
    if (copy == NULL) return COVEY_ERROR_NO_MEMORY;
    c->refused[c->refused_count++] = copy;
    return COVEY_OK;
}

static bool has_refused(const choice *c, const covey__release_row *release) {
    size_t name_size = strlen(release->name);
    for (size_t i = 0; i < c->refused_count; i++) {
        const char *text = c->refused[i];
        if (strncmp(text, release->name, name_size) == 0 && text[name_size] == '@' &&
            strcmp(text + name_size + 1, release->version) == 0) {
            return true;
        }
    }
    return false;
}

static const covey__rollout_row *best(const choice *c) {
    const covey__rollout_row *chosen = NULL;
    for (size_t i = 0; i < c->set->running_count; i++) {
        const covey__rollout_row *row = c->set->running[i];
        bool refused = has_refused(c, &row->release);
        if (covey__cohort_judge(row, c->device, refused) != COVEY__VERDICT_OFFER) continue;
        if (chosen == NULL || covey__cohort_prefers(row, chosen)) chosen = row;
    }
    return chosen;
}

/* What to offer: most devices are through after the first walk, without asking for refusals. */
static covey_status choose(covey__exchange *x, const covey__rollout_set *set,
                           const covey__rollout_row **chosen, covey_error *error) {
    choice c = {.set = set, .device = &x->device, .arena = &x->arena};
    covey__store *store = x->server->store;
    *chosen = best(&c);
    if (*chosen == NULL) return COVEY_OK;
    covey_status status =
        store->driver->refusal_each(store, x->device.key, note_refusal, &c, error);
    if (status != COVEY_OK) return status;
    if (c.refused_count > 0) *chosen = best(&c);
    if (*chosen == NULL) return COVEY_OK;
    return store->driver->rollout_offered(store, (*chosen)->key, x->device.key,
                                          covey__now_ms(x->env), error);
}

static void write_target(covey__json_writer *w, const covey__rollout_row *row) {
    char id[32], hex[65], blob[80];
    (void)snprintf(id, sizeof(id), "r-%lld", (long long)row->key);
    covey__hex(row->release.digest, 32, hex);
    (void)snprintf(blob, sizeof(blob), "sha256/%s", hex);
    covey__json_begin_object(w);
    covey__json_member_string(w, "rollout", id);
    covey__json_name(w, "release");
    covey__json_begin_object(w);
    covey__json_member_string(w, "name", row->release.name);
    covey__json_member_string(w, "version", row->release.version);
    covey__json_member_string(w, "digest", hex);
    covey__json_member_i64(w, "size", row->release.size);
    covey__json_end_object(w);
    covey__json_member_string(w, "blob", blob);
    if (row->bytes_max > 0) covey__json_member_i64(w, "bytes_max", row->bytes_max);
    covey__json_end_object(w);
}

/* The device's state, when it differs from what is known; 0 or the answer's status. */
static int take_state(covey__exchange *x) {
    covey_error error = {0};
    const covey__json *root;
    covey__device_state state;
    uint8_t digest[32];
    int64_t now_ms = covey__now_ms(x->env);
    covey__sha256_of(x->body.data != NULL ? x->body.data : "", x->body.size, digest);
    if (memcmp(digest, x->device.state_digest, 32) == 0) {
        covey__fleet_seen(x->server, x->device.key, now_ms);
        return 0;
    }
    int answer = covey__read_json(x, &root);
    if (answer != 0) return answer;
    covey__buffer json;
    covey__buffer_init(&json, x->env, STATE_BYTES_MAX);
    covey_status status = covey__device_state_read(root, &json, &state, &error);
    if (status != COVEY_OK) {
        covey__buffer_free(&json);
        return covey__bad_field(x, &error);
    }
    memcpy(state.digest, digest, 32);
    covey__store *store = x->server->store;
    status = store->driver->device_update(store, x->device.key, &state, now_ms, &error);
    if (status == COVEY_OK) {
        x->device.device_class = state.device_class;
        (void)snprintf(x->device.name, sizeof(x->device.name), "%s", state.name);
        (void)snprintf(x->device.version, sizeof(x->device.version), "%s", state.version);
        (void)snprintf(x->device.variant, sizeof(x->device.variant), "%s", state.variant);
    }
    covey__buffer_free(&json);
    return status == COVEY_OK ? 0 : covey__answer_failure(x, status, &error);
}

int covey__api_checkin(covey__exchange *x) {
    covey_error error = {0};
    covey_fleet_server *server = x->server;
    const covey__rollout_row *chosen = NULL;
    covey__json_writer w;
    covey__counter_add(&server->metrics.checkins, 1);
    int answer = take_state(x);
    if (answer != 0) return answer;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_member_i64(&w, "poll_ms", server->poll_ms);
    write_mirrors(server, &w);
    covey__metadata_write_versions(x, &w);
    covey__json_name(&w, "target");
    (void)pthread_rwlock_rdlock(&server->facts_lock);
    covey_status status = choose(x, server->rollouts, &chosen, &error);
    if (status == COVEY_OK && chosen != NULL) {
        write_target(&w, chosen);
        covey__counter_add(&server->metrics.offers, 1);
    }
    (void)pthread_rwlock_unlock(&server->facts_lock);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    if (chosen == NULL) covey__json_put_null(&w);
    covey__json_end_object(&w);
    return 200;
}

/* ---- reports ------------------------------------------------------------------------------ */

static bool one_of(const char *text, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, list[i]) == 0) return true;
    }
    return false;
}

static bool event_id_valid(const char *id) {
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t size = strlen(id);
    return size >= 1 && size <= 64 && strspn(id, allowed) == size;
}

/* A number that may be left out. */
static covey_status read_count(const covey__json *event, const char *name, int64_t *out,
                               covey_error *error) {
    *out = 0;
    if (covey__json_get(event, name) == NULL) return COVEY_OK;
    return covey__json_i64(event, name, name, 0, INT64_MAX, out, error);
}

/* A text that may be left out, cut to `bytes_max`. */
static covey_status read_text(covey__arena *arena, const covey__json *event, const char *name,
                              size_t bytes_max, const char **out, covey_error *error) {
    *out = "";
    if (covey__json_get(event, name) == NULL) return COVEY_OK;
    covey_status status = covey__json_string(event, name, name, out, error);
    if (status != COVEY_OK || strlen(*out) <= bytes_max) return status;
    size_t size = bytes_max; /* not within a character */
    while (size > 0 && ((unsigned char)(*out)[size] & 0xc0) == 0x80) size--;
    *out = covey__arena_strndup(arena, *out, size);
    return *out != NULL ? COVEY_OK : covey__no_memory(error, name, size);
}

static covey_status read_event(covey__arena *arena, const covey__json *event, covey__report *r,
                               covey_error *error) {
    static const char *const phases[] = {"check-in", "plan",     "fetch",  "verify", "stage",
                                         "probe",    "activate", "commit", "return"};
    static const char *const outcomes[] = {"ok", "failed", "refused", "waiting"};
    char name[COVEY__RELEASE_NAME_SIZE], version[COVEY__RELEASE_NAME_SIZE];
    covey_status status = covey__json_string(event, "id", "id", &r->id, error);
    if (status == COVEY_OK && !event_id_valid(r->id)) {
        status =
            covey__fail(error, COVEY_ERROR_FORMAT, "id: expected 1 to 64 of A-Z a-z 0-9 . _ -");
    }
    if (status == COVEY_OK) status = covey__json_string(event, "phase", "phase", &r->phase, error);
    if (status == COVEY_OK && !one_of(r->phase, phases, sizeof(phases) / sizeof(phases[0]))) {
        status = covey__fail(error, COVEY_ERROR_FORMAT, "phase: is none that is known");
    }
    if (status == COVEY_OK) {
        status = covey__json_string(event, "outcome", "outcome", &r->outcome, error);
    }
    if (status == COVEY_OK && !one_of(r->outcome, outcomes, 4)) {
        status = covey__fail(error, COVEY_ERROR_FORMAT,
                             "outcome: expected ok, failed, refused or waiting");
    }
    if (status == COVEY_OK) {
        status = covey__json_string(event, "release", "release", &r->release, error);
    }
    if (status == COVEY_OK && !covey__release_split(r->release, name, version)) {
        status = covey__fail(error, COVEY_ERROR_FORMAT, "release: expected name@version");
    }
    if (status == COVEY_OK) {
        status = covey__json_i64(event, "time_ms", "time_ms", 0, INT64_MAX, &r->time_ms, error);
    }
    if (status == COVEY_OK) status = read_text(arena, event, "rollout", 32, &r->rollout, error);
    if (status == COVEY_OK) {
        status = read_text(arena, event, "message", COVEY_ERROR_MESSAGE_SIZE, &r->message, error);
    }
    if (status == COVEY_OK) status = read_count(event, "bytes", &r->bytes, error);
    if (status == COVEY_OK) status = read_count(event, "elapsed_ms", &r->elapsed_ms, error);
    return status;
}

int covey__api_reports(covey__exchange *x) {
    covey_error error = {0};
    const covey__json *root, *events;
    int answer = covey__read_json(x, &root);
    if (answer != 0) return answer;
    covey_status status =
        covey__json_member(root, "events", "events", COVEY__JSON_ARRAY, &events, &error);
    if (status == COVEY_OK && events->size > REPORT_COUNT_MAX) {
        status = covey__fail(&error, COVEY_ERROR_LIMIT, "events: expected at most %d, found %zu",
                             REPORT_COUNT_MAX, events->size);
    }
    if (status != COVEY_OK) return covey__bad_field(x, &error);
    covey__report *reports = covey__arena_calloc(&x->arena, REPORT_COUNT_MAX, sizeof(*reports));
    if (reports == NULL) return covey__answer_error(x, 503, "busy", "out of memory: try again");
    size_t count = 0, accepted = 0;
    for (const covey__json *each = events->child; each != NULL; each = each->next, count++) {
        status = read_event(&x->arena, each, &reports[count], &error);
        if (status == COVEY_OK) continue;
        status = covey__prefix(&error, status, "events[%zu]", count);
        return covey__bad_field(x, &error);
    }
    covey__store *store = x->server->store;
    status = store->driver->report_add(store, x->device.key, reports, count, covey__now_ms(x->env),
                                       &accepted, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__counter_add(&x->server->metrics.reports_accepted, accepted);
    covey__counter_add(&x->server->metrics.reports_known, count - accepted);
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_member_u64(&w, "accepted", accepted);
    covey__json_member_u64(&w, "known", count - accepted);
    covey__json_end_object(&w);
    return 200;
}
