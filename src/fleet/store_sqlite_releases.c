/* SQLite: releases, rollouts, counts.
 *
 * Neighbours: store.h, store_sqlite.c.
 */
#include <string.h>

#include "base/error.h"
#include "fleet/store_sqlite.h"

static void read_release(sqlite3_stmt *q, covey__release_row *row) {
    row->key = sqlite3_column_int64(q, 0);
    row->name = covey__column_text(q, 1);
    row->version = covey__column_text(q, 2);
    covey__column_blob(q, 3, row->digest, 32);
    row->size = sqlite3_column_int64(q, 4);
    row->bytes = sqlite3_column_int64(q, 5);
    row->published_ms = sqlite3_column_int64(q, 6);
}

static covey_status find_release(covey__sqlite *s, const char *name, const char *version,
                                 sqlite3_stmt **q, bool *row, covey_error *error) {
    covey_status status = covey__sqlite_get(s, COVEY__SQL_RELEASE_GET, q, error);
    if (status != COVEY_OK) return status;
    covey__bind_text(*q, 1, name);
    covey__bind_text(*q, 2, version);
    return covey__sqlite_step(s, *q, row, error);
}

covey_status covey__sqlite_release_get(covey__store *store, const char *name, const char *version,
                                       covey__release_fn each, void *user, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool found = false;
    covey_status status = find_release(s, name, version, &q, &found, error);
    if (status == COVEY_OK && found) {
        covey__release_row row;
        read_release(q, &row);
        status = each(user, &row);
        (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    if (status == COVEY_OK && !found) {
        return covey__fail(error, COVEY_ERROR_NOT_FOUND, "store: %s@%s was not published", name,
                           version);
    }
    return status;
}

static covey_status insert_release(covey__sqlite *s, const covey__release_row *row,
                                   covey_error *error) {
    sqlite3_stmt *q = NULL;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_RELEASE_ADD, &q, error);
    if (status != COVEY_OK) return status;
    covey__bind_text(q, 1, row->name);
    covey__bind_text(q, 2, row->version);
    covey__bind_blob(q, 3, row->digest, 32);
    (void)sqlite3_bind_int64(q, 4, row->size);
    (void)sqlite3_bind_int64(q, 5, row->bytes);
    (void)sqlite3_bind_int64(q, 6, row->published_ms);
    return covey__sqlite_run(s, q, error);
}

covey_status covey__sqlite_release_add(covey__store *store, const covey__release_row *row,
                                       bool *was_known, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    *was_known = false;
    covey_status status = covey__sqlite_begin(s, error);
    if (status == COVEY_OK) {
        status = find_release(s, row->name, row->version, &q, was_known, error);
        if (status == COVEY_OK && *was_known) {
            covey__release_row old;
            read_release(q, &old);
            if (memcmp(old.digest, row->digest, 32) != 0) {
                status = covey__fail(error, COVEY_ERROR_EXISTS,
                                     "%s@%s was published with other contents; a version is never "
                                     "changed: publish a higher one",
                                     row->name, row->version);
            }
            (void)sqlite3_reset(q);
        }
        if (status == COVEY_OK && !*was_known) status = insert_release(s, row, error);
        status = covey__sqlite_end(s, status, error);
    }
    covey__sqlite_leave(s);
    return status;
}

covey_status covey__sqlite_release_each(covey__store *store, covey__release_fn each, void *user,
                                        covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool found = true;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_RELEASE_EACH, &q, error);
    while (status == COVEY_OK) {
        status = covey__sqlite_step(s, q, &found, error);
        if (status != COVEY_OK || !found) break;
        covey__release_row row;
        read_release(q, &row);
        status = each(user, &row);
        if (status != COVEY_OK) (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    return status;
}

covey_status covey__sqlite_rollout_add(covey__store *store, covey__rollout_row *row,
                                       covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_ROLLOUT_ADD, &q, error);
    if (status == COVEY_OK) {
        (void)sqlite3_bind_int64(q, 1, row->release.key);
        (void)sqlite3_bind_int64(q, 2, row->percent_milli);
        (void)sqlite3_bind_int64(q, 3, row->classes);
        (void)sqlite3_bind_int(q, 4, (int)row->state);
        covey__bind_blob(q, 5, row->salt, sizeof(row->salt));
        covey__bind_text(q, 6, row->note);
        (void)sqlite3_bind_int64(q, 7, row->created_ms);
        (void)sqlite3_bind_int64(q, 8, row->bytes_max);
        (void)sqlite3_bind_int(q, 9, row->patched_first);
        covey__bind_text(q, 10, row->patched_from != NULL ? row->patched_from : "");
        status = covey__sqlite_run(s, q, error);
        if (status == COVEY_OK) row->key = sqlite3_last_insert_rowid(s->db);
    }
    covey__sqlite_leave(s);
    return status;
}

covey_status covey__sqlite_rollout_change(covey__store *store, int64_t rollout,
                                          const covey__rollout_change *change, int64_t now_ms,
                                          covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_ROLLOUT_CHANGE, &q, error);
    if (status == COVEY_OK) {
        (void)sqlite3_bind_int64(q, 1, rollout);
        (void)sqlite3_bind_int64(q, 2, change->percent_milli);
        (void)sqlite3_bind_int(q, 3, change->state);
        (void)sqlite3_bind_int64(q, 4, now_ms);
        (void)sqlite3_bind_int64(q, 5, change->bytes_max);
        (void)sqlite3_bind_int(q, 6, change->patched_first);
        status = covey__sqlite_run(s, q, error);
    }
    bool found = status == COVEY_OK && sqlite3_changes(s->db) > 0;
    covey__sqlite_leave(s);
    if (status == COVEY_OK && !found) {
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "store: there is no such rollout, or it was aborted");
    }
    return status;
}

static covey_status count_devices(covey__sqlite *s, covey__rollout_row *row, covey_error *error) {
    sqlite3_stmt *q = NULL;
    bool found = false;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_ROLLOUT_COUNTS, &q, error);
    if (status != COVEY_OK) return status;
    (void)sqlite3_bind_int64(q, 1, row->key);
    status = covey__sqlite_step(s, q, &found, error);
    if (status != COVEY_OK || !found) return status;
    row->offered_count = sqlite3_column_int64(q, 0);
    row->done_count = sqlite3_column_int64(q, 1);
    row->failed_count = sqlite3_column_int64(q, 2);
    row->refused_count = sqlite3_column_int64(q, 3);
    (void)sqlite3_reset(q);
    return COVEY_OK;
}

covey_status covey__sqlite_rollout_each(covey__store *store, bool with_counts,
                                        covey__rollout_fn each, void *user, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool found = true;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_ROLLOUT_EACH, &q, error);
    while (status == COVEY_OK) {
        status = covey__sqlite_step(s, q, &found, error);
        if (status != COVEY_OK || !found) break;
        covey__rollout_row row = {0};
        read_release(q, &row.release);
        row.key = sqlite3_column_int64(q, 7);
        row.percent_milli = sqlite3_column_int64(q, 8);
        row.classes = (uint32_t)sqlite3_column_int64(q, 9);
        row.state = (covey__rollout_state)sqlite3_column_int(q, 10);
        covey__column_blob(q, 11, row.salt, sizeof(row.salt));
        row.note = covey__column_text(q, 12);
        row.created_ms = sqlite3_column_int64(q, 13);
        row.changed_ms = sqlite3_column_int64(q, 14);
        row.bytes_max = sqlite3_column_int64(q, 15);
        row.patched_first = sqlite3_column_int(q, 16) != 0;
        row.patched_from = covey__column_text(q, 17);
        if (with_counts) status = count_devices(s, &row, error);
        if (status == COVEY_OK) status = each(user, &row);
        if (status != COVEY_OK) (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    return status;
}

covey_status covey__sqlite_rollout_offered(covey__store *store, int64_t rollout, int64_t device,
                                           int64_t now_ms, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool found = false;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_ROLLOUT_HAS, &q, error);
    if (status == COVEY_OK) {
        (void)sqlite3_bind_int64(q, 1, rollout);
        (void)sqlite3_bind_int64(q, 2, device);
        status = covey__sqlite_step(s, q, &found, error);
        (void)sqlite3_reset(q);
    }
    /* Most offers repeat one: only the first costs a write. */
    if (status == COVEY_OK && !found) {
        status = covey__sqlite_get(s, COVEY__SQL_ROLLOUT_OFFERED, &q, error);
        if (status == COVEY_OK) {
            (void)sqlite3_bind_int64(q, 1, rollout);
            (void)sqlite3_bind_int64(q, 2, device);
            (void)sqlite3_bind_int64(q, 3, now_ms);
            status = covey__sqlite_run(s, q, error);
        }
    }
    covey__sqlite_leave(s);
    return status;
}

covey_status covey__sqlite_counts(covey__store *store, covey__store_counts *counts,
                                  covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool found = false;
    memset(counts, 0, sizeof(*counts));
    covey_status status = covey__sqlite_get(s, COVEY__SQL_COUNTS, &q, error);
    if (status == COVEY_OK) status = covey__sqlite_step(s, q, &found, error);
    if (status == COVEY_OK && found) {
        counts->devices = sqlite3_column_int64(q, 0);
        counts->devices_revoked = sqlite3_column_int64(q, 1);
        counts->releases = sqlite3_column_int64(q, 2);
        counts->reports = sqlite3_column_int64(q, 3);
        (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    return status;
}
