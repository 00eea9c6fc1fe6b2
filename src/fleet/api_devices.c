/* Devices and enrollment tokens for operators (docs/api.md): pages, one device with its reports,
 * and in words why it is where it is.
 *
 * Neighbours: cohort.c judges with the same function that check-ins use, so what is shown as the
 * reason is the reason.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fleet/cohort.h"
#include "fleet/routes.h"

#define PAGE_MAX            1000
#define REPORTS_SHOWN       32
#define WHY_MAX             64
#define TOKEN_USES_MAX      1000000
#define TOKEN_EXPIRY_MAX_MS (INT64_C(365) * 86400000)

/* Refusals of one device, copied out of the store. */
typedef struct refusals {
    covey__arena *arena;
    struct {
        const char *release, *reason;
    } items[64];
    size_t count;
} refusals;

static covey_status note_refusal(void *user, const char *release, const char *reason) {
    refusals *r = user;
    if (r->count == sizeof(r->items) / sizeof(r->items[0])) return COVEY_OK;
    r->items[r->count].release = covey__arena_strndup(r->arena, release, strlen(release));
    r->items[r->count].reason = covey__arena_strndup(r->arena, reason, strlen(reason));
    if (r->items[r->count].release == NULL || r->items[r->count].reason == NULL) {
        return COVEY_ERROR_NO_MEMORY;
    }
    r->count++;
    return COVEY_OK;
}

/* The reason for which the device refused the rollout's release; NULL when it did not. */
static const char *reason_of(const refusals *r, const covey__rollout_row *row) {
    char text[COVEY__RELEASE_TEXT_SIZE];
    (void)snprintf(text, sizeof(text), "%s@%s", row->release.name, row->release.version);
    for (size_t i = 0; i < r->count; i++) {
        if (strcmp(r->items[i].release, text) == 0) return r->items[i].reason;
    }
    return NULL;
}

/* A row copied out of the store, so that the store may be asked again. */
typedef struct device_copy {
    covey__arena *arena;
    covey__device_row row;
    struct device_copy *next;
} device_copy;

static const char *keep(covey__arena *arena, const char *text) {
    return text != NULL ? covey__arena_strndup(arena, text, strlen(text)) : NULL;
}

static covey_status copy_device(void *user, const covey__device_row *row) {
    device_copy *copy = user;
    copy->row = *row;
    copy->row.json = keep(copy->arena, row->json);
    copy->row.update_release = keep(copy->arena, row->update_release);
    copy->row.update_phase = keep(copy->arena, row->update_phase);
    copy->row.update_outcome = keep(copy->arena, row->update_outcome);
    copy->row.update_message = keep(copy->arena, row->update_message);
    if (copy->row.json == NULL ||
        (row->update_release != NULL && copy->row.update_message == NULL)) {
        return COVEY_ERROR_NO_MEMORY;
    }
    return COVEY_OK;
}

typedef struct page {
    covey__arena *arena;
    device_copy *first, **last;
    size_t count;
} page;

static covey_status add_to_page(void *user, const covey__device_row *row) {
    page *p = user;
    device_copy *copy = covey__arena_alloc(p->arena, sizeof(*copy));
    if (copy == NULL) return COVEY_ERROR_NO_MEMORY;
    copy->arena = p->arena;
    *p->last = copy;
    p->last = &copy->next;
    p->count++;
    return copy_device(copy, row);
}

static void write_last_update(covey__json_writer *w, const covey__device_row *row) {
    covey__json_name(w, "last_update");
    if (row->update_release == NULL) {
        covey__json_put_null(w);
        return;
    }
    covey__json_begin_object(w);
    covey__json_member_string(w, "release", row->update_release);
    covey__json_member_string(w, "phase", row->update_phase);
    covey__json_member_string(w, "outcome", row->update_outcome);
    covey__json_member_string(w, "message", row->update_message);
    covey__json_member_i64(w, "time_ms", row->update_ms);
    covey__json_end_object(w);
}

/* The members that the device told of itself, from the JSON that the store keeps. */
static covey_status write_told(covey__json_writer *w, covey__arena *arena, const char *json,
                               covey_error *error) {
    const covey__json *root;
    covey_status status =
        covey__json_parse(arena, json, strlen(json), COVEY__JSON_LIMITS_DEFAULT, &root, error);
    if (status != COVEY_OK) return status;
    for (const covey__json *each = root->child; each != NULL; each = each->next) {
        covey__json_name(w, each->name);
        covey__json_put_node(w, each);
    }
    return COVEY_OK;
}

static void write_target(covey__json_writer *w, const covey__rollout_row *target) {
    covey__json_name(w, "target");
    if (target == NULL) {
        covey__json_put_null(w);
        return;
    }
    char id[32], release[COVEY__RELEASE_TEXT_SIZE];
    (void)snprintf(id, sizeof(id), "r-%" PRId64, target->key);
    (void)snprintf(release, sizeof(release), "%s@%s", target->release.name,
                   target->release.version);
    covey__json_begin_object(w);
    covey__json_member_string(w, "rollout", id);
    covey__json_member_string(w, "release", release);
    covey__json_end_object(w);
}

/* What a check-in now would be offered, and a line for each rollout when `why` is asked for. Needs
 * the facts lock. */
static const covey__rollout_row *judge_all(const covey__rollout_set *set,
                                           const covey__device_known *device, const refusals *r,
                                           covey__json_writer *why) {
    const covey__rollout_row *target = NULL;
    char text[1024];
    for (size_t i = 0; i < set->row_count; i++) {
        const covey__rollout_row *row = &set->rows[i];
        const char *reason = reason_of(r, row);
        covey__verdict verdict = covey__cohort_judge(row, device, reason != NULL);
        if (verdict == COVEY__VERDICT_OFFER &&
            (target == NULL || covey__cohort_prefers(row, target))) {
            target = row;
        }
        if (why == NULL || i >= WHY_MAX) continue;
        covey__verdict_text(verdict, row, device, reason, text, sizeof(text));
        covey__json_put_text(why, text, strlen(text));
    }
    return target;
}

/* Everything of a device but its reports; the object stays open. */
static covey_status write_device(covey__exchange *x, covey__json_writer *w,
                                 const covey__device_row *row, bool with_why, covey_error *error) {
    covey__store *store = x->server->store;
    refusals refused = {.arena = &x->arena};
    covey_status status =
        store->driver->refusal_each(store, row->known.key, note_refusal, &refused, error);
    if (status != COVEY_OK) return status;
    covey__json_begin_object(w);
    covey__json_member_string(w, "id", row->known.id);
    status = write_told(w, &x->arena, row->json, error);
    if (status != COVEY_OK) return status;
    covey__json_member_i64(w, "enrolled_ms", row->enrolled_ms);
    covey__json_member_i64(w, "last_seen_ms", row->last_seen_ms);
    covey__json_member_bool(w, "revoked", row->known.revoked);
    write_last_update(w, row);
    covey__json_name(w, "refused");
    covey__json_begin_array(w);
    for (size_t i = 0; i < refused.count; i++) {
        covey__json_put_string(w, refused.items[i].release);
    }
    covey__json_end_array(w);
    if (with_why) {
        covey__json_name(w, "why");
        covey__json_begin_array(w);
    }
    (void)pthread_rwlock_rdlock(&x->server->facts_lock);
    const covey__rollout_row *target =
        judge_all(x->server->rollouts, &row->known, &refused, with_why ? w : NULL);
    if (with_why) covey__json_end_array(w);
    write_target(w, target);
    (void)pthread_rwlock_unlock(&x->server->facts_lock);
    return COVEY_OK;
}

/* ---- the list ----------------------------------------------------------------------------- */

static const char *argument(covey__exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);
}

static int read_filter(covey__exchange *x, covey__device_filter *filter) {
    const char *limit = argument(x, "limit"), *after = argument(x, "after");
    const char *class_name = argument(x, "class");
    *filter = (covey__device_filter){.limit = 100, .after = "", .device_class = -1};
    if (limit != NULL) {
        size_t digits = strspn(limit, "0123456789");
        filter->limit = 0;
        for (size_t i = 0; i < digits && digits <= 4; i++) {
            filter->limit = filter->limit * 10 + (limit[i] - '0');
        }
        if (limit[digits] != '\0' || filter->limit < 1 || filter->limit > PAGE_MAX) {
            return covey__answer_error(x, 400, "bad_request", "limit: expected 1 to %d", PAGE_MAX);
        }
    }
    if (after != NULL) filter->after = after;
    if (class_name != NULL) {
        filter->device_class = covey__class_parse(class_name);
        if (filter->device_class < 0) {
            return covey__answer_error(x, 400, "bad_request",
                                       "class: expected tiny, small, medium or large");
        }
    }
    filter->version = argument(x, "version");
    return 0;
}

int covey__api_devices_list(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    covey__device_filter filter;
    page p = {.arena = &x->arena, .last = &p.first};
    int answer = read_filter(x, &filter);
    if (answer != 0) return answer;
    covey_status status = covey__fleet_flush_seen(x->server, &error);
    if (status == COVEY_OK) {
        status = store->driver->device_each(store, &filter, add_to_page, &p, &error);
    }
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__json_writer w;
    const char *last = NULL;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "devices");
    covey__json_begin_array(&w);
    for (device_copy *each = p.first; each != NULL; each = each->next) {
        status = write_device(x, &w, &each->row, false, &error);
        if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
        covey__json_end_object(&w);
        last = each->row.known.id;
    }
    covey__json_end_array(&w);
    covey__json_member_string(&w, "next", p.count == (size_t)filter.limit ? last : NULL);
    covey__json_end_object(&w);
    return 200;
}

/* ---- one ---------------------------------------------------------------------------------- */

static covey_status write_report(void *user, const covey__report *r) {
    covey__json_writer *w = user;
    covey__json_begin_object(w);
    covey__json_member_string(w, "id", r->id);
    covey__json_member_i64(w, "time_ms", r->time_ms);
    covey__json_member_i64(w, "received_ms", r->received_ms);
    covey__json_member_string(w, "phase", r->phase);
    covey__json_member_string(w, "outcome", r->outcome);
    covey__json_member_string(w, "release", r->release);
    covey__json_member_string(w, "rollout", r->rollout);
    covey__json_member_string(w, "message", r->message);
    covey__json_member_i64(w, "bytes", r->bytes);
    covey__json_member_i64(w, "elapsed_ms", r->elapsed_ms);
    covey__json_end_object(w);
    return COVEY_OK;
}

static int no_such(covey__exchange *x) {
    return covey__answer_error(x, 404, "not_found", "there is no such device");
}

int covey__api_device_get(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    device_copy copy = {.arena = &x->arena};
    covey_status status = covey__fleet_flush_seen(x->server, &error);
    if (status == COVEY_OK) {
        status = store->driver->device_get(store, x->parameter, copy_device, &copy, &error);
    }
    if (status == COVEY_ERROR_NOT_FOUND) return no_such(x);
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    if (status == COVEY_OK) status = write_device(x, &w, &copy.row, true, &error);
    if (status == COVEY_OK) {
        covey__json_name(&w, "reports");
        covey__json_begin_array(&w);
        status = store->driver->report_each(store, copy.row.known.key, REPORTS_SHOWN, write_report,
                                            &w, &error);
        covey__json_end_array(&w);
    }
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__json_end_object(&w);
    return 200;
}

int covey__api_device_revoke(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    covey_status status = store->driver->device_revoke(store, x->parameter, &error);
    if (status == COVEY_ERROR_NOT_FOUND) return no_such(x);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__log(x->env, COVEY_LOG_INFO, "fleet", "device %s was revoked", x->parameter);
    (void)covey__buffer_text(&x->answer, "{}");
    return 200;
}

/* ---- enrollment tokens -------------------------------------------------------------------- */

static covey_status read_token_request(const covey__json *root, covey__token_row *row,
                                       int64_t *expires_ms, covey_error *error) {
    static const char *const members[] = {"uses", "expires_ms", "note", NULL};
    covey_status status = covey__json_only(root, "", members, error);
    if (status == COVEY_OK && covey__json_get(root, "uses") != NULL) {
        status = covey__json_i64(root, "uses", "uses", 1, TOKEN_USES_MAX, &row->uses, error);
    }
    if (status == COVEY_OK && covey__json_get(root, "expires_ms") != NULL) {
        status = covey__json_i64(root, "expires_ms", "expires_ms", 1000, TOKEN_EXPIRY_MAX_MS,
                                 expires_ms, error);
    }
    if (status == COVEY_OK && covey__json_get(root, "note") != NULL) {
        status = covey__json_string(root, "note", "note", &row->note, error);
    }
    if (status == COVEY_OK && strlen(row->note) > 200) {
        status = covey__fail(error, COVEY_ERROR_LIMIT, "note: at most 200 bytes");
    }
    return status;
}

int covey__api_token_add(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    const covey__json *root;
    covey__token_row row = {.uses = 1, .note = "", .created_ms = covey__now_ms(x->env)};
    int64_t expires_ms = 3600000;
    char token[COVEY__TOKEN_TEXT_SIZE];
    uint8_t hash[32];
    int answer = covey__read_json(x, &root);
    if (answer != 0) return answer;
    if (read_token_request(root, &row, &expires_ms, &error) != COVEY_OK) {
        return covey__bad_field(x, &error);
    }
    row.uses_left = row.uses;
    row.expires_ms = row.created_ms + expires_ms;
    covey_status status = covey__token_make(x->env, "cve_", token, hash, &error);
    if (status == COVEY_OK) status = store->driver->token_add(store, hash, &row, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_member_string(&w, "token", token);
    covey__json_member_i64(&w, "id", row.id);
    covey__json_member_i64(&w, "uses", row.uses);
    covey__json_member_i64(&w, "expires_at_ms", row.expires_ms);
    covey__json_end_object(&w);
    return 201;
}

static covey_status write_token(void *user, const covey__token_row *row) {
    covey__json_writer *w = user;
    covey__json_begin_object(w);
    covey__json_member_i64(w, "id", row->id);
    covey__json_member_i64(w, "uses", row->uses);
    covey__json_member_i64(w, "uses_left", row->uses_left);
    covey__json_member_i64(w, "created_ms", row->created_ms);
    covey__json_member_i64(w, "expires_at_ms", row->expires_ms);
    covey__json_member_string(w, "note", row->note);
    covey__json_end_object(w);
    return COVEY_OK;
}

int covey__api_tokens_list(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "enroll_tokens");
    covey__json_begin_array(&w);
    covey_status status = store->driver->token_each(store, write_token, &w, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    return 200;
}
