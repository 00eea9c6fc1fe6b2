/* The SQLite driver's ground: opening and migrating the file, statements, transactions.
 *
 * One connection under one lock: SQLite writes one at a time anyway, and a read by key costs a few
 * microseconds. WAL with synchronous=FULL, so what was committed survives a power cut.
 *
 * Invariants: SQL is only ever the fixed text of COVEY__STATEMENTS and of the migrations; values
 * are bound. No statement stays open when the lock is dropped. No transaction outlives a call.
 *
 * Neighbours: store.h says what each function must do; store_sqlite_devices.c and
 * store_sqlite_releases.c do it; store_schema.c has the tables.
 */
#include "fleet/store_sqlite.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "fleet/store_schema.h"

#define COVEY__STATEMENT_SQL(name, sql) sql,
static const char *const statement_sql[] = {COVEY__STATEMENTS(COVEY__STATEMENT_SQL)};

static covey_status sqlite_failed(sqlite3 *db, int code, const char *what, covey_error *error) {
    static const struct {
        int code;
        covey_status status;
    } known[] = {{SQLITE_FULL, COVEY_ERROR_NO_SPACE},    {SQLITE_NOMEM, COVEY_ERROR_NO_MEMORY},
                 {SQLITE_BUSY, COVEY_ERROR_BUSY},        {SQLITE_LOCKED, COVEY_ERROR_BUSY},
                 {SQLITE_CORRUPT, COVEY_ERROR_FORMAT},   {SQLITE_NOTADB, COVEY_ERROR_FORMAT},
                 {SQLITE_CONSTRAINT, COVEY_ERROR_EXISTS}};
    covey_status status = COVEY_ERROR_IO;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if ((code & 0xff) == known[i].code) status = known[i].status;
    }
    return covey__fail(error, status, "store: %s: %s", what,
                       db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(code));
}

covey__sqlite *covey__sqlite_enter(covey__store *store) {
    covey__sqlite *s = (covey__sqlite *)store;
    (void)pthread_mutex_lock(&s->lock);
    return s;
}

void covey__sqlite_leave(covey__sqlite *s) {
    (void)pthread_mutex_unlock(&s->lock);
}

covey_status covey__sqlite_get(covey__sqlite *s, covey__statement which, sqlite3_stmt **statement,
                               covey_error *error) {
    sqlite3_stmt **kept = &s->statements[which];
    if (*kept == NULL) {
        int code = sqlite3_prepare_v3(s->db, statement_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                                      kept, NULL);
        if (code != SQLITE_OK) return sqlite_failed(s->db, code, "prepare", error);
    }
    (void)sqlite3_reset(*kept);
    (void)sqlite3_clear_bindings(*kept);
    *statement = *kept;
    return COVEY_OK;
}

covey_status covey__sqlite_step(covey__sqlite *s, sqlite3_stmt *statement, bool *row,
                                covey_error *error) {
    int code = sqlite3_step(statement);
    *row = code == SQLITE_ROW;
    if (code == SQLITE_ROW) return COVEY_OK;
    covey_status status = COVEY_OK;
    if (code != SQLITE_DONE) status = sqlite_failed(s->db, code, "step", error);
    (void)sqlite3_reset(statement);
    return status;
}

covey_status covey__sqlite_run(covey__sqlite *s, sqlite3_stmt *statement, covey_error *error) {
    bool row = false;
    covey_status status = covey__sqlite_step(s, statement, &row, error);
    (void)sqlite3_reset(statement);
    return status;
}

static covey_status run_plain(covey__sqlite *s, covey__statement which, covey_error *error) {
    sqlite3_stmt *statement = NULL;
    covey_status status = covey__sqlite_get(s, which, &statement, error);
    return status == COVEY_OK ? covey__sqlite_run(s, statement, error) : status;
}

covey_status covey__sqlite_begin(covey__sqlite *s, covey_error *error) {
    return run_plain(s, COVEY__SQL_BEGIN, error);
}

covey_status covey__sqlite_end(covey__sqlite *s, covey_status status, covey_error *error) {
    if (status == COVEY_OK) status = run_plain(s, COVEY__SQL_COMMIT, error);
    /* A failed commit may have rolled back by itself; a second rollback then only says so. */
    if (status != COVEY_OK && sqlite3_get_autocommit(s->db) == 0) {
        covey_status rolled = run_plain(s, COVEY__SQL_ROLLBACK, NULL);
        if (rolled != COVEY_OK) {
            covey__log(s->store.env, COVEY_LOG_ERROR, "fleet", "store: cannot roll back: %s",
                       sqlite3_errmsg(s->db));
        }
    }
    return status;
}

void covey__bind_text(sqlite3_stmt *statement, int at, const char *text) {
    if (text == NULL) {
        (void)sqlite3_bind_null(statement, at);
    } else {
        (void)sqlite3_bind_text64(statement, at, text, strlen(text), SQLITE_STATIC, SQLITE_UTF8);
    }
}

void covey__bind_blob(sqlite3_stmt *statement, int at, const void *data, size_t size) {
    (void)sqlite3_bind_blob64(statement, at, data, size, SQLITE_STATIC);
}

void covey__column_blob(sqlite3_stmt *statement, int at, void *out, size_t size) {
    memset(out, 0, size);
    const void *data = sqlite3_column_blob(statement, at);
    if (data != NULL && sqlite3_column_bytes(statement, at) == (int)size) memcpy(out, data, size);
}

const char *covey__column_text(sqlite3_stmt *statement, int at) {
    const unsigned char *text = sqlite3_column_text(statement, at);
    return text != NULL ? (const char *)text : "";
}

void covey__column_copy(sqlite3_stmt *statement, int at, char *out, size_t capacity) {
    (void)snprintf(out, capacity, "%s", covey__column_text(statement, at));
}

static covey_status exec(sqlite3 *db, const char *sql, const char *what, covey_error *error) {
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? COVEY_OK : sqlite_failed(db, code, what, error);
}

static covey_status read_version(sqlite3 *db, int64_t *version, covey_error *error) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(statement);
    if (code == SQLITE_ROW) *version = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW ? COVEY_OK : sqlite_failed(db, code, "read its version", error);
}

static covey_status migrate(sqlite3 *db, const char *path, covey_error *error) {
    int64_t version = 0;
    covey_status status = read_version(db, &version, error);
    if (status != COVEY_OK) return status;
    if (version < 0 || version > (int64_t)covey__migration_count) {
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "store: %s has schema %" PRId64 ", this server knows up to %zu: use the "
                           "newer covey-fleet that wrote it",
                           path, version, covey__migration_count);
    }
    for (; version < (int64_t)covey__migration_count && status == COVEY_OK; version++) {
        char done[64];
        (void)snprintf(done, sizeof(done), "PRAGMA user_version = %" PRId64 "; COMMIT",
                       version + 1);
        status = exec(db, "BEGIN IMMEDIATE", "migrate", error);
        if (status == COVEY_OK) status = exec(db, covey__migrations[version], "migrate", error);
        if (status == COVEY_OK) status = exec(db, done, "migrate", error);
        if (status != COVEY_OK) (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return status;
}

static void sqlite_close(covey__store *store) {
    if (store == NULL) return;
    covey__sqlite *s = (covey__sqlite *)store;
    for (size_t i = 0; i < COVEY__SQL_COUNT; i++) (void)sqlite3_finalize(s->statements[i]);
    (void)sqlite3_close(s->db);
    (void)pthread_mutex_destroy(&s->lock);
    covey__free(store->env, s);
}

static const covey__store_driver sqlite_driver = {
    .close = sqlite_close,
    .token_add = covey__sqlite_token_add,
    .token_each = covey__sqlite_token_each,
    .enroll = covey__sqlite_enroll,
    .device_by_token = covey__sqlite_device_by_token,
    .device_update = covey__sqlite_device_update,
    .seen = covey__sqlite_seen,
    .device_get = covey__sqlite_device_get,
    .device_each = covey__sqlite_device_each,
    .device_revoke = covey__sqlite_device_revoke,
    .wrap_add = covey__sqlite_wrap_add,
    .wrap_get = covey__sqlite_wrap_get,
    .wrap_devices = covey__sqlite_wrap_devices,
    .wrap_each = covey__sqlite_wrap_each,
    .refusal_each = covey__sqlite_refusal_each,
    .report_add = covey__sqlite_report_add,
    .report_each = covey__sqlite_report_each,
    .release_add = covey__sqlite_release_add,
    .release_get = covey__sqlite_release_get,
    .release_each = covey__sqlite_release_each,
    .rollout_add = covey__sqlite_rollout_add,
    .rollout_change = covey__sqlite_rollout_change,
    .rollout_each = covey__sqlite_rollout_each,
    .rollout_offered = covey__sqlite_rollout_offered,
    .counts = covey__sqlite_counts,
};

static covey_status set_up(covey__sqlite *s, const char *path, covey_error *error) {
    int code = sqlite3_open_v2(
        path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) return sqlite_failed(s->db, code, path, error);
    (void)sqlite3_extended_result_codes(s->db, 1);
    (void)sqlite3_busy_timeout(s->db, 5000);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    covey_status status = exec(s->db,
                               "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                               "PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864",
                               path, error);
    return status == COVEY_OK ? migrate(s->db, path, error) : status;
}

covey_status covey__store_open_sqlite(const covey__env *env, const char *path, covey__store **store,
                                      covey_error *error) {
    /* SQLite gives its side files the main file's mode: make that one owner-only first. */
    int descriptor = -1;
    covey_status status =
        covey__file_open(env, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &descriptor, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "store");
    (void)close(descriptor);
    covey__sqlite *s = covey__calloc(env, 1, sizeof(*s));
    if (s == NULL) return covey__no_memory(error, "store", sizeof(*s));
    s->store = (covey__store){&sqlite_driver, env};
    (void)pthread_mutex_init(&s->lock, NULL);
    status = set_up(s, path, error);
    if (status != COVEY_OK) {
        sqlite_close(&s->store);
        return status;
    }
    *store = &s->store;
    return COVEY_OK;
}
