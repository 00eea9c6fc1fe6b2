/* Inside of the SQLite driver: what its files share. */
#ifndef COVEY_FLEET_STORE_SQLITE_H
#define COVEY_FLEET_STORE_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>

#include "fleet/store.h"

/* Statements are prepared at first use and kept. A list entry: name, SQL. */
#define COVEY__STATEMENTS(X)                                                                       \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(TOKEN_ADD, "INSERT INTO enroll_tokens (hash, uses, uses_left, created_ms, expires_ms, note)" \
                 " VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                               \
    X(TOKEN_EACH, "SELECT id, uses, uses_left, created_ms, expires_ms, note FROM enroll_tokens"    \
                  " ORDER BY id DESC LIMIT 1000")                                                  \
    X(TOKEN_FIND, "SELECT id, uses_left, expires_ms FROM enroll_tokens WHERE hash = ?1")           \
    X(TOKEN_USE, "UPDATE enroll_tokens SET uses_left = uses_left - 1 WHERE id = ?1")               \
    X(ENROLL_FIND, "SELECT key, id, revoked FROM devices WHERE request_hash = ?1")                 \
    X(ENROLL_AGAIN, "UPDATE devices SET token_hash = ?2, last_seen_ms = ?3,"                       \
                    " encryption_key = coalesce(?4, encryption_key) WHERE key = ?1")               \
    X(ENROLL_NEW, "INSERT INTO devices (id, token_hash, request_hash, class, name, version,"       \
                  " state, state_digest, enrolled_ms, last_seen_ms, encryption_key, variant)"      \
                  " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11)")                    \
    X(DEVICE_BY_TOKEN, "SELECT key, id, revoked, class, name, version, state_digest, variant"      \
                       " FROM devices WHERE token_hash = ?1")                                      \
    X(DEVICE_UPDATE, "UPDATE devices SET class = ?2, name = ?3, version = ?4, state = ?5,"         \
                     " state_digest = ?6, last_seen_ms = max(last_seen_ms, ?7), variant = ?9,"     \
                     " encryption_key = coalesce(?8, encryption_key) WHERE key = ?1")              \
    X(DEVICE_SETTLE, "UPDATE rollout_devices SET state = ?4, changed_ms = ?5 WHERE device = ?1"    \
                     " AND state <> ?4 AND (?4 <> 2 OR state = 0) AND rollout IN ("                \
                     "SELECT rollouts.key FROM rollouts JOIN releases"                             \
                     " ON releases.key = rollouts.release"                                         \
                     " WHERE releases.name = ?2 AND releases.version = ?3)")                       \
    X(DEVICE_SEEN, "UPDATE devices SET last_seen_ms = max(last_seen_ms, ?2) WHERE key = ?1")       \
    X(DEVICE_GET, "SELECT key, id, revoked, class, name, version, state_digest, variant, state,"   \
                  " enrolled_ms, last_seen_ms, update_release, update_phase, update_outcome,"      \
                  " update_message, update_ms FROM devices WHERE id = ?1")                         \
    X(DEVICE_EACH, "SELECT key, id, revoked, class, name, version, state_digest, variant, state,"  \
                   " enrolled_ms, last_seen_ms, update_release, update_phase, update_outcome,"     \
                   " update_message, update_ms FROM devices WHERE id > ?1"                         \
                   " AND (?2 < 0 OR class = ?2) AND (?3 IS NULL OR version = ?3)"                  \
                   " ORDER BY id LIMIT ?4")                                                        \
    X(DEVICE_REVOKE, "UPDATE devices SET revoked = 1 WHERE id = ?1")                               \
    X(WRAP_ADD, "INSERT INTO wrapped_keys (id, device, device_key, wrapped, created_ms)"           \
                " SELECT ?1, key, ?3, ?4, ?5 FROM devices WHERE id = ?2 AND revoked = 0"           \
                " AND encryption_key = ?3 ON CONFLICT (id, device) DO UPDATE SET"                  \
                " device_key = excluded.device_key, wrapped = excluded.wrapped,"                   \
                " created_ms = excluded.created_ms")                                               \
    X(WRAP_GET, "SELECT wrapped FROM wrapped_keys JOIN devices ON devices.key = device"            \
                " WHERE wrapped_keys.id = ?1 AND device = ?2 AND device_key = encryption_key"      \
                " AND revoked = 0")                                                                \
    X(WRAP_DROP,                                                                                   \
      "DELETE FROM wrapped_keys WHERE device = (SELECT key FROM devices WHERE id = ?1)")           \
    X(WRAP_DEVICES, "SELECT devices.id, encryption_key, device_key FROM devices"                   \
                    " LEFT JOIN wrapped_keys ON device = devices.key AND wrapped_keys.id = ?1"     \
                    " WHERE revoked = 0 AND devices.id > ?2 AND (?3 IS NULL OR devices.id = ?3)"   \
                    " AND (?4 = 0 OR device_key IS NULL OR encryption_key IS NULL"                 \
                    " OR device_key <> encryption_key) ORDER BY devices.id LIMIT ?5")              \
    X(WRAP_EACH, "SELECT wrapped_keys.id, coalesce(sum(device_key = encryption_key), 0),"          \
                 " (SELECT count(*) FROM devices WHERE revoked = 0), max(created_ms)"              \
                 " FROM wrapped_keys JOIN devices ON devices.key = device WHERE revoked = 0"       \
                 " GROUP BY wrapped_keys.id ORDER BY max(created_ms) DESC LIMIT 1000")             \
    X(REFUSAL_ADD, "INSERT OR IGNORE INTO refusals (device, release, reason, at_ms)"               \
                   " VALUES (?1, ?2, ?3, ?4)")                                                     \
    X(REFUSAL_KEEP, "DELETE FROM refusals WHERE device = ?1"                                       \
                    " AND release NOT IN (SELECT value FROM json_each(?2))")                       \
    X(REFUSAL_EACH, "SELECT release, reason FROM refusals WHERE device = ?1"                       \
                    " ORDER BY at_ms DESC, release LIMIT 64")                                      \
    X(REPORT_ADD, "INSERT OR IGNORE INTO reports (device, id, time_ms, received_ms, phase,"        \
                  " outcome, release, rollout, message, bytes, elapsed_ms)"                        \
                  " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")                        \
    X(REPORT_PRUNE, "DELETE FROM reports WHERE device = ?1 AND seq <= (SELECT seq FROM reports"    \
                    " WHERE device = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)")                     \
    X(REPORT_LAST, "UPDATE devices SET update_release = ?2, update_phase = ?3,"                    \
                   " update_outcome = ?4, update_message = ?5, update_ms = ?6 WHERE key = ?1")     \
    X(REPORT_EACH, "SELECT id, phase, outcome, release, rollout, message, time_ms, received_ms,"   \
                   " bytes, elapsed_ms FROM reports WHERE device = ?1 ORDER BY seq DESC LIMIT ?2") \
    X(RELEASE_GET, "SELECT key, name, version, digest, size, bytes, published_ms"                  \
                   " FROM releases WHERE name = ?1 AND version = ?2")                              \
    X(RELEASE_ADD, "INSERT INTO releases (name, version, digest, size, bytes, published_ms)"       \
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                             \
    X(RELEASE_EACH, "SELECT key, name, version, digest, size, bytes, published_ms"                 \
                    " FROM releases ORDER BY key DESC LIMIT 1000")                                 \
    X(ROLLOUT_ADD, "INSERT INTO rollouts (release, percent_milli, classes, state, salt, note,"     \
                   " created_ms, changed_ms, bytes_max, patched_first, patched_from)"              \
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10)")                        \
    X(ROLLOUT_CHANGE, "UPDATE rollouts SET changed_ms = ?4,"                                       \
                      " percent_milli = iif(?2 < 0, percent_milli, ?2),"                           \
                      " state = iif(?3 < 0, state, ?3),"                                           \
                      " bytes_max = iif(?5 < 0, bytes_max, ?5),"                                   \
                      " patched_first = iif(?6 < 0, patched_first, ?6)"                            \
                      " WHERE key = ?1 AND state <> 2")                                            \
    X(ROLLOUT_EACH, "SELECT releases.key, releases.name, releases.version, releases.digest,"       \
                    " releases.size, releases.bytes, releases.published_ms,"                       \
                    " rollouts.key, percent_milli, classes, state, salt, note, created_ms,"        \
                    " changed_ms, bytes_max, patched_first, patched_from"                          \
                    " FROM rollouts JOIN releases ON releases.key = rollouts.release"              \
                    " ORDER BY rollouts.key DESC LIMIT 1000")                                      \
    X(ROLLOUT_COUNTS, "SELECT count(*), coalesce(sum(state = 1), 0), coalesce(sum(state = 2), 0)," \
                      " coalesce(sum(state = 3), 0) FROM rollout_devices WHERE rollout = ?1")      \
    X(ROLLOUT_OFFERED, "INSERT OR IGNORE INTO rollout_devices (rollout, device, state,"            \
                       " changed_ms) VALUES (?1, ?2, 0, ?3)")                                      \
    X(ROLLOUT_HAS, "SELECT 1 FROM rollout_devices WHERE rollout = ?1 AND device = ?2")             \
    X(COUNTS, "SELECT (SELECT count(*) FROM devices), (SELECT coalesce(sum(revoked), 0) FROM"      \
              " devices), (SELECT count(*) FROM releases), (SELECT count(*) FROM reports)")

#define COVEY__STATEMENT_ENUM(name, sql) COVEY__SQL_##name,
typedef enum covey__statement {
    COVEY__STATEMENTS(COVEY__STATEMENT_ENUM) COVEY__SQL_COUNT
} covey__statement;

typedef struct covey__sqlite {
    covey__store store; /* first: a covey__store * is one of these */
    sqlite3 *db;
    pthread_mutex_t lock;
    sqlite3_stmt *statements[COVEY__SQL_COUNT];
} covey__sqlite;

/* Takes the lock. The matching call resets what is left open and drops it. */
covey__sqlite *covey__sqlite_enter(covey__store *store);
void covey__sqlite_leave(covey__sqlite *s);

/* The prepared statement, reset and unbound. All of the following need the lock. */
covey_status covey__sqlite_get(covey__sqlite *s, covey__statement which, sqlite3_stmt **statement,
                               covey_error *error) COVEY_MUST_USE;
/* Steps a statement that gives no row, and resets it. */
covey_status covey__sqlite_run(covey__sqlite *s, sqlite3_stmt *statement,
                               covey_error *error) COVEY_MUST_USE;
/* Steps once: *row tells whether there was one. Resets after the last. */
covey_status covey__sqlite_step(covey__sqlite *s, sqlite3_stmt *statement, bool *row,
                                covey_error *error) COVEY_MUST_USE;
covey_status covey__sqlite_begin(covey__sqlite *s, covey_error *error) COVEY_MUST_USE;
/* Commits when `status` is COVEY_OK, else rolls back and returns it. */
covey_status covey__sqlite_end(covey__sqlite *s, covey_status status,
                               covey_error *error) COVEY_MUST_USE;

/* Binding and reading; texts are borrowed until the statement is reset. */
void covey__bind_text(sqlite3_stmt *statement, int at, const char *text); /* NULL: null */
void covey__bind_blob(sqlite3_stmt *statement, int at, const void *data, size_t size);
void covey__column_blob(sqlite3_stmt *statement, int at, void *out, size_t size);
void covey__column_copy(sqlite3_stmt *statement, int at, char *out, size_t capacity);
const char *covey__column_text(sqlite3_stmt *statement, int at); /* never NULL */

/* The driver's functions, by file. */
covey_status covey__sqlite_token_add(covey__store *, const uint8_t[32], covey__token_row *,
                                     covey_error *);
covey_status covey__sqlite_token_each(covey__store *, covey__token_fn, void *, covey_error *);
covey_status covey__sqlite_enroll(covey__store *, covey__enrollment *, covey__enroll_outcome *,
                                  covey_error *);
covey_status covey__sqlite_device_by_token(covey__store *, const uint8_t[32], covey__device_known *,
                                           covey_error *);
covey_status covey__sqlite_device_update(covey__store *, int64_t, const covey__device_state *,
                                         int64_t, covey_error *);
covey_status covey__sqlite_seen(covey__store *, const covey__seen *, size_t, covey_error *);
covey_status covey__sqlite_device_get(covey__store *, const char *, covey__device_fn, void *,
                                      covey_error *);
covey_status covey__sqlite_device_each(covey__store *, const covey__device_filter *,
                                       covey__device_fn, void *, covey_error *);
covey_status covey__sqlite_device_revoke(covey__store *, const char *, covey_error *);
covey_status covey__sqlite_wrap_add(covey__store *, const uint8_t[16], covey__wrap *, size_t,
                                    int64_t, covey_error *);
covey_status covey__sqlite_wrap_get(covey__store *, const uint8_t[16], int64_t, uint8_t[80],
                                    covey_error *);
covey_status covey__sqlite_wrap_devices(covey__store *, const covey__wrap_filter *,
                                        covey__wrap_device_fn, void *, covey_error *);
covey_status covey__sqlite_wrap_each(covey__store *, covey__wrap_key_fn, void *, covey_error *);
covey_status covey__sqlite_refusal_each(covey__store *, int64_t, covey__refusal_fn, void *,
                                        covey_error *);
covey_status covey__sqlite_report_add(covey__store *, int64_t, const covey__report *, size_t,
                                      int64_t, size_t *, covey_error *);
covey_status covey__sqlite_report_each(covey__store *, int64_t, int32_t, covey__report_fn, void *,
                                       covey_error *);
covey_status covey__sqlite_release_add(covey__store *, const covey__release_row *, bool *,
                                       covey_error *);
covey_status covey__sqlite_release_get(covey__store *, const char *, const char *,
                                       covey__release_fn, void *, covey_error *);
covey_status covey__sqlite_release_each(covey__store *, covey__release_fn, void *, covey_error *);
covey_status covey__sqlite_rollout_add(covey__store *, covey__rollout_row *, covey_error *);
covey_status covey__sqlite_rollout_change(covey__store *, int64_t, const covey__rollout_change *,
                                          int64_t, covey_error *);
covey_status covey__sqlite_rollout_each(covey__store *, bool, covey__rollout_fn, void *,
                                        covey_error *);
covey_status covey__sqlite_rollout_offered(covey__store *, int64_t, int64_t, int64_t,
                                           covey_error *);
covey_status covey__sqlite_counts(covey__store *, covey__store_counts *, covey_error *);

#endif
