/* SQLite: enrollment tokens, devices, reports.
 *
 * Invariants: a token is used up and its device made in one transaction. A report's effects (last
 * update, refusal, the rollout's count) happen in the transaction that first stores its id, and
 * never again.
 *
 * Neighbours: store.h, store_sqlite.c.
 */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "fleet/cohort.h"
#include "fleet/store_sqlite.h"

enum { SETTLED_DONE = 1, SETTLED_FAILED = 2, SETTLED_REFUSED = 3 };

covey_status covey__sqlite_token_add(covey__store *store, const uint8_t hash[32],
                                     covey__token_row *row, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_TOKEN_ADD, &q, error);
    if (status == COVEY_OK) {
        covey__bind_blob(q, 1, hash, 32);
        (void)sqlite3_bind_int64(q, 2, row->uses);
        (void)sqlite3_bind_int64(q, 3, row->uses_left);
        (void)sqlite3_bind_int64(q, 4, row->created_ms);
        (void)sqlite3_bind_int64(q, 5, row->expires_ms);
        covey__bind_text(q, 6, row->note);
        status = covey__sqlite_run(s, q, error);
        if (status == COVEY_OK) row->id = sqlite3_last_insert_rowid(s->db);
    }
    covey__sqlite_leave(s);
    return status;
}

covey_status covey__sqlite_token_each(covey__store *store, covey__token_fn each, void *user,
                                      covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool row = true;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_TOKEN_EACH, &q, error);
    while (status == COVEY_OK) {
        status = covey__sqlite_step(s, q, &row, error);
        if (status != COVEY_OK || !row) break;
        covey__token_row token = {.id = sqlite3_column_int64(q, 0),
                                  .uses = sqlite3_column_int64(q, 1),
                                  .uses_left = sqlite3_column_int64(q, 2),
                                  .created_ms = sqlite3_column_int64(q, 3),
                                  .expires_ms = sqlite3_column_int64(q, 4),
                                  .note = covey__column_text(q, 5)};
        status = each(user, &token);
        if (status != COVEY_OK) (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    return status;
}

/* A device forgets a refusal when its app, library or system changed: it may take the release now.
 */
static covey_status keep_refusals(covey__sqlite *s, int64_t device,
                                  const covey__device_state *state, covey_error *error) {
    sqlite3_stmt *q = NULL;
    covey__buffer list;
    covey__json_writer json;
    if (!state->refused_said) return COVEY_OK;
    covey__buffer_init(&list, s->store.env, 1u << 16);
    covey__json_writer_init(&json, &list, false);
    covey__json_begin_array(&json);
    for (size_t i = 0; i < state->refused_count; i++)
        covey__json_put_string(&json, state->refused[i]);
    covey__json_end_array(&json);
    covey_status status = covey__buffer_check(&list, error, "refusals");
    if (status == COVEY_OK) status = covey__sqlite_get(s, COVEY__SQL_REFUSAL_KEEP, &q, error);
    if (status == COVEY_OK) {
        (void)sqlite3_bind_int64(q, 1, device);
        covey__bind_text(q, 2, list.data);
        status = covey__sqlite_run(s, q, error);
    }
    covey__buffer_free(&list);
    return status;
}

static covey_status add_refusals(covey__sqlite *s, int64_t device, const covey__device_state *state,
                                 int64_t now_ms, covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < state->refused_count && status == COVEY_OK; i++) {
        sqlite3_stmt *q = NULL;
        status = covey__sqlite_get(s, COVEY__SQL_REFUSAL_ADD, &q, error);
        if (status != COVEY_OK) break;
        (void)sqlite3_bind_int64(q, 1, device);
        covey__bind_text(q, 2, state->refused[i]);
        covey__bind_text(q, 3, "the device said so when it checked in");
        (void)sqlite3_bind_int64(q, 4, now_ms);
        status = covey__sqlite_run(s, q, error);
    }
    return status;
}

/* The token's row, judged. UNKNOWN, EXPIRED or USED_UP end the enrollment; a request seen before
 * goes on even with a token that is used up, since this request was what used it. */
static covey_status judge_token(covey__sqlite *s, const covey__enrollment *e, int64_t *token,
                                covey__enroll_outcome *outcome, covey_error *error) {
    sqlite3_stmt *q = NULL;
    bool row = false;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_TOKEN_FIND, &q, error);
    if (status != COVEY_OK) return status;
    covey__bind_blob(q, 1, e->token_hash, 32);
    status = covey__sqlite_step(s, q, &row, error);
    if (status != COVEY_OK) return status;
    *outcome = COVEY__ENROLL_UNKNOWN;
    if (!row) return COVEY_OK;
    *token = sqlite3_column_int64(q, 0);
    *outcome = COVEY__ENROLL_NEW;
    if (sqlite3_column_int64(q, 1) <= 0) *outcome = COVEY__ENROLL_USED_UP;
    if (sqlite3_column_int64(q, 2) <= e->now_ms) *outcome = COVEY__ENROLL_EXPIRED;
    (void)sqlite3_reset(q);
    return COVEY_OK;
}

/* Whether this very request made a device before: then that device gets the new token, unless it
 * was revoked, which no retry undoes. */
static covey_status enroll_again(covey__sqlite *s, covey__enrollment *e,
                                 covey__enroll_outcome *outcome, covey_error *error) {
    sqlite3_stmt *q = NULL;
    bool row = false;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_ENROLL_FIND, &q, error);
    if (status != COVEY_OK) return status;
    covey__bind_blob(q, 1, e->request_hash, 32);
    status = covey__sqlite_step(s, q, &row, error);
    if (status != COVEY_OK || !row) return status;
    int64_t device = sqlite3_column_int64(q, 0);
    covey__column_copy(q, 1, e->device_id, sizeof(e->device_id));
    bool revoked = sqlite3_column_int(q, 2) != 0;
    (void)sqlite3_reset(q);
    *outcome = revoked ? COVEY__ENROLL_USED_UP : COVEY__ENROLL_AGAIN;
    if (revoked) return COVEY_OK;
    status = covey__sqlite_get(s, COVEY__SQL_ENROLL_AGAIN, &q, error);
    if (status != COVEY_OK) return status;
    (void)sqlite3_bind_int64(q, 1, device);
    covey__bind_blob(q, 2, e->device_token_hash, 32);
    (void)sqlite3_bind_int64(q, 3, e->now_ms);
    if (e->state->has_encryption_key) covey__bind_blob(q, 4, e->state->encryption_key, 32);
    return covey__sqlite_run(s, q, error);
}

static covey_status enroll_new(covey__sqlite *s, const covey__enrollment *e, int64_t token,
                               covey_error *error) {
    sqlite3_stmt *q = NULL;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_TOKEN_USE, &q, error);
    if (status != COVEY_OK) return status;
    (void)sqlite3_bind_int64(q, 1, token);
    status = covey__sqlite_run(s, q, error);
    if (status == COVEY_OK) status = covey__sqlite_get(s, COVEY__SQL_ENROLL_NEW, &q, error);
    if (status != COVEY_OK) return status;
    covey__bind_text(q, 1, e->device_id);
    covey__bind_blob(q, 2, e->device_token_hash, 32);
    if (e->has_request) covey__bind_blob(q, 3, e->request_hash, 32);
    (void)sqlite3_bind_int(q, 4, e->state->device_class);
    covey__bind_text(q, 5, e->state->name);
    covey__bind_text(q, 6, e->state->version);
    covey__bind_text(q, 7, e->state->json);
    covey__bind_blob(q, 8, e->state->digest, 32);
    (void)sqlite3_bind_int64(q, 9, e->now_ms);
    if (e->state->has_encryption_key) covey__bind_blob(q, 10, e->state->encryption_key, 32);
    covey__bind_text(q, 11, e->state->variant != NULL ? e->state->variant : "");
    return covey__sqlite_run(s, q, error);
}

covey_status covey__sqlite_enroll(covey__store *store, covey__enrollment *enrollment,
                                  covey__enroll_outcome *outcome, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    int64_t token = 0;
    covey_status status = covey__sqlite_begin(s, error);
    if (status == COVEY_OK) {
        status = judge_token(s, enrollment, &token, outcome, error);
        if (status == COVEY_OK && enrollment->has_request &&
            (*outcome == COVEY__ENROLL_NEW || *outcome == COVEY__ENROLL_USED_UP)) {
            status = enroll_again(s, enrollment, outcome, error);
        }
        if (status == COVEY_OK && *outcome == COVEY__ENROLL_NEW) {
            status = enroll_new(s, enrollment, token, error);
        }
        status = covey__sqlite_end(s, status, error);
    }
    covey__sqlite_leave(s);
    return status;
}

static void read_known(sqlite3_stmt *q, covey__device_known *known) {
    known->key = sqlite3_column_int64(q, 0);
    covey__column_copy(q, 1, known->id, sizeof(known->id));
    known->revoked = sqlite3_column_int(q, 2) != 0;
    known->device_class = sqlite3_column_int(q, 3);
    covey__column_copy(q, 4, known->name, sizeof(known->name));
    covey__column_copy(q, 5, known->version, sizeof(known->version));
    covey__column_blob(q, 6, known->state_digest, 32);
    covey__column_copy(q, 7, known->variant, sizeof(known->variant));
}

covey_status covey__sqlite_device_by_token(covey__store *store, const uint8_t hash[32],
                                           covey__device_known *known, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool row = false;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_DEVICE_BY_TOKEN, &q, error);
    if (status == COVEY_OK) {
        covey__bind_blob(q, 1, hash, 32);
        status = covey__sqlite_step(s, q, &row, error);
    }
    if (status == COVEY_OK && row) {
        read_known(q, known);
        (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    if (status == COVEY_OK && !row) {
        return covey__fail(error, COVEY_ERROR_NOT_FOUND, "store: no device has this token");
    }
    return status;
}

/* Moves the device in the counts of rollouts of name@version. */
static covey_status settle(covey__sqlite *s, int64_t device, const char *name, const char *version,
                           int state, int64_t now_ms, covey_error *error) {
    sqlite3_stmt *q = NULL;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_DEVICE_SETTLE, &q, error);
    if (status != COVEY_OK) return status;
    (void)sqlite3_bind_int64(q, 1, device);
    covey__bind_text(q, 2, name);
    covey__bind_text(q, 3, version);
    (void)sqlite3_bind_int(q, 4, state);
    (void)sqlite3_bind_int64(q, 5, now_ms);
    return covey__sqlite_run(s, q, error);
}

covey_status covey__sqlite_device_update(covey__store *store, int64_t device,
                                         const covey__device_state *state, int64_t now_ms,
                                         covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    covey_status status = covey__sqlite_begin(s, error);
    if (status == COVEY_OK) {
        status = covey__sqlite_get(s, COVEY__SQL_DEVICE_UPDATE, &q, error);
        if (status == COVEY_OK) {
            (void)sqlite3_bind_int64(q, 1, device);
            (void)sqlite3_bind_int(q, 2, state->device_class);
            covey__bind_text(q, 3, state->name);
            covey__bind_text(q, 4, state->version);
            covey__bind_text(q, 5, state->json);
            covey__bind_blob(q, 6, state->digest, 32);
            (void)sqlite3_bind_int64(q, 7, now_ms);
            if (state->has_encryption_key) covey__bind_blob(q, 8, state->encryption_key, 32);
            covey__bind_text(q, 9, state->variant != NULL ? state->variant : "");
            status = covey__sqlite_run(s, q, error);
        }
        if (status == COVEY_OK) {
            status = settle(s, device, state->name, state->version, SETTLED_DONE, now_ms, error);
        }
        if (status == COVEY_OK) status = keep_refusals(s, device, state, error);
        if (status == COVEY_OK) status = add_refusals(s, device, state, now_ms, error);
        status = covey__sqlite_end(s, status, error);
    }
    covey__sqlite_leave(s);
    return status;
}

covey_status covey__sqlite_seen(covey__store *store, const covey__seen *seen, size_t count,
                                covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    covey_status status = covey__sqlite_begin(s, error);
    if (status == COVEY_OK) {
        for (size_t i = 0; i < count && status == COVEY_OK; i++) {
            status = covey__sqlite_get(s, COVEY__SQL_DEVICE_SEEN, &q, error);
            if (status != COVEY_OK) break;
            (void)sqlite3_bind_int64(q, 1, seen[i].device);
            (void)sqlite3_bind_int64(q, 2, seen[i].at_ms);
            status = covey__sqlite_run(s, q, error);
        }
        status = covey__sqlite_end(s, status, error);
    }
    covey__sqlite_leave(s);
    return status;
}

static covey_status hand_over_device(sqlite3_stmt *q, covey__device_fn each, void *user) {
    covey__device_row row = {.json = covey__column_text(q, 8),
                             .enrolled_ms = sqlite3_column_int64(q, 9),
                             .last_seen_ms = sqlite3_column_int64(q, 10)};
    read_known(q, &row.known);
    if (sqlite3_column_type(q, 11) != SQLITE_NULL) {
        row.update_release = covey__column_text(q, 11);
        row.update_phase = covey__column_text(q, 12);
        row.update_outcome = covey__column_text(q, 13);
        row.update_message = covey__column_text(q, 14);
        row.update_ms = sqlite3_column_int64(q, 15);
    }
    return each(user, &row);
}

covey_status covey__sqlite_device_get(covey__store *store, const char *id, covey__device_fn each,
                                      void *user, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool row = false;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_DEVICE_GET, &q, error);
    if (status == COVEY_OK) {
        covey__bind_text(q, 1, id);
        status = covey__sqlite_step(s, q, &row, error);
    }
    if (status == COVEY_OK && row) {
        status = hand_over_device(q, each, user);
        (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    if (status == COVEY_OK && !row) {
        return covey__fail(error, COVEY_ERROR_NOT_FOUND, "store: no device has this id");
    }
    return status;
}

covey_status covey__sqlite_device_each(covey__store *store, const covey__device_filter *filter,
                                       covey__device_fn each, void *user, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool row = true;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_DEVICE_EACH, &q, error);
    if (status == COVEY_OK) {
        covey__bind_text(q, 1, filter->after);
        (void)sqlite3_bind_int(q, 2, filter->device_class);
        covey__bind_text(q, 3, filter->version);
        (void)sqlite3_bind_int(q, 4, filter->limit);
    }
    while (status == COVEY_OK) {
        status = covey__sqlite_step(s, q, &row, error);
        if (status != COVEY_OK || !row) break;
        status = hand_over_device(q, each, user);
        if (status != COVEY_OK) (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    return status;
}

/* What was wrapped for it goes with its token. */
covey_status covey__sqlite_device_revoke(covey__store *store, const char *id, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool found = false;
    covey_status status = covey__sqlite_begin(s, error);
    if (status == COVEY_OK) {
        status = covey__sqlite_get(s, COVEY__SQL_DEVICE_REVOKE, &q, error);
        if (status == COVEY_OK) {
            covey__bind_text(q, 1, id);
            status = covey__sqlite_run(s, q, error);
        }
        found = status == COVEY_OK && sqlite3_changes(s->db) > 0;
        if (status == COVEY_OK) status = covey__sqlite_get(s, COVEY__SQL_WRAP_DROP, &q, error);
        if (status == COVEY_OK) {
            covey__bind_text(q, 1, id);
            status = covey__sqlite_run(s, q, error);
        }
        status = covey__sqlite_end(s, status, error);
    }
    covey__sqlite_leave(s);
    if (status == COVEY_OK && !found) {
        return covey__fail(error, COVEY_ERROR_NOT_FOUND, "store: no device has this id");
    }
    return status;
}

covey_status covey__sqlite_refusal_each(covey__store *store, int64_t device, covey__refusal_fn each,
                                        void *user, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool row = true;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_REFUSAL_EACH, &q, error);
    if (status == COVEY_OK) (void)sqlite3_bind_int64(q, 1, device);
    while (status == COVEY_OK) {
        status = covey__sqlite_step(s, q, &row, error);
        if (status != COVEY_OK || !row) break;
        status = each(user, covey__column_text(q, 0), covey__column_text(q, 1));
        if (status != COVEY_OK) (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    return status;
}

static covey_status insert_report(covey__sqlite *s, int64_t device, const covey__report *r,
                                  int64_t now_ms, bool *is_new, covey_error *error) {
    sqlite3_stmt *q = NULL;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_REPORT_ADD, &q, error);
    if (status != COVEY_OK) return status;
    (void)sqlite3_bind_int64(q, 1, device);
    covey__bind_text(q, 2, r->id);
    (void)sqlite3_bind_int64(q, 3, r->time_ms);
    (void)sqlite3_bind_int64(q, 4, now_ms);
    covey__bind_text(q, 5, r->phase);
    covey__bind_text(q, 6, r->outcome);
    covey__bind_text(q, 7, r->release);
    covey__bind_text(q, 8, r->rollout);
    covey__bind_text(q, 9, r->message);
    (void)sqlite3_bind_int64(q, 10, r->bytes);
    (void)sqlite3_bind_int64(q, 11, r->elapsed_ms);
    status = covey__sqlite_run(s, q, error);
    *is_new = status == COVEY_OK && sqlite3_changes(s->db) > 0;
    return status;
}

/* What a report that is new here means for its device. */
static covey_status apply_report(covey__sqlite *s, int64_t device, const covey__report *r,
                                 int64_t now_ms, covey_error *error) {
    sqlite3_stmt *q = NULL;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_REPORT_LAST, &q, error);
    if (status != COVEY_OK) return status;
    (void)sqlite3_bind_int64(q, 1, device);
    covey__bind_text(q, 2, r->release);
    covey__bind_text(q, 3, r->phase);
    covey__bind_text(q, 4, r->outcome);
    covey__bind_text(q, 5, r->message);
    (void)sqlite3_bind_int64(q, 6, r->time_ms);
    status = covey__sqlite_run(s, q, error);
    bool refused = strcmp(r->outcome, "refused") == 0;
    if (status == COVEY_OK && refused) {
        status = covey__sqlite_get(s, COVEY__SQL_REFUSAL_ADD, &q, error);
        if (status != COVEY_OK) return status;
        (void)sqlite3_bind_int64(q, 1, device);
        covey__bind_text(q, 2, r->release);
        covey__bind_text(q, 3, r->message);
        (void)sqlite3_bind_int64(q, 4, now_ms);
        status = covey__sqlite_run(s, q, error);
    }
    int settled = refused ? SETTLED_REFUSED : 0;
    if (strcmp(r->outcome, "failed") == 0) settled = SETTLED_FAILED;
    if (strcmp(r->outcome, "ok") == 0 && strcmp(r->phase, "commit") == 0) settled = SETTLED_DONE;
    char name[COVEY__RELEASE_NAME_SIZE], version[COVEY__RELEASE_NAME_SIZE];
    if (status == COVEY_OK && settled != 0 && covey__release_split(r->release, name, version)) {
        status = settle(s, device, name, version, settled, now_ms, error);
    }
    return status;
}

covey_status covey__sqlite_report_add(covey__store *store, int64_t device,
                                      const covey__report *reports, size_t count, int64_t now_ms,
                                      size_t *accepted, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    *accepted = 0;
    covey_status status = covey__sqlite_begin(s, error);
    if (status == COVEY_OK) {
        for (size_t i = 0; i < count && status == COVEY_OK; i++) {
            bool is_new = false;
            status = insert_report(s, device, &reports[i], now_ms, &is_new, error);
            if (status != COVEY_OK || !is_new) continue;
            ++*accepted;
            status = apply_report(s, device, &reports[i], now_ms, error);
        }
        /* Ids this old are forgotten: a device keeps far fewer reports to send again. */
        if (status == COVEY_OK && *accepted > 0) {
            status = covey__sqlite_get(s, COVEY__SQL_REPORT_PRUNE, &q, error);
            if (status == COVEY_OK) {
                (void)sqlite3_bind_int64(q, 1, device);
                (void)sqlite3_bind_int(q, 2, COVEY__REPORTS_KEPT);
                status = covey__sqlite_run(s, q, error);
            }
        }
        status = covey__sqlite_end(s, status, error);
    }
    covey__sqlite_leave(s);
    return status;
}

covey_status covey__sqlite_report_each(covey__store *store, int64_t device, int32_t limit,
                                       covey__report_fn each, void *user, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool row = true;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_REPORT_EACH, &q, error);
    if (status == COVEY_OK) {
        (void)sqlite3_bind_int64(q, 1, device);
        (void)sqlite3_bind_int(q, 2, limit);
    }
    while (status == COVEY_OK) {
        status = covey__sqlite_step(s, q, &row, error);
        if (status != COVEY_OK || !row) break;
        covey__report report = {.id = covey__column_text(q, 0),
                                .phase = covey__column_text(q, 1),
                                .outcome = covey__column_text(q, 2),
                                .release = covey__column_text(q, 3),
                                .rollout = covey__column_text(q, 4),
                                .message = covey__column_text(q, 5),
                                .time_ms = sqlite3_column_int64(q, 6),
                                .received_ms = sqlite3_column_int64(q, 7),
                                .bytes = sqlite3_column_int64(q, 8),
                                .elapsed_ms = sqlite3_column_int64(q, 9)};
        status = each(user, &report);
        if (status != COVEY_OK) (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    return status;
}
