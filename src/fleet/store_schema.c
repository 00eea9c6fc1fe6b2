/* The SQLite schema, as migrations. Times are milliseconds since 1970. Secrets are SHA-256 of what
 * the client holds. devices.state is the JSON that the API shows; what is searched by stands in
 * columns of its own. rollout_devices.state: 0 offered, 1 done, 2 failed, 3 refused.
 *
 * Neighbours: store_sqlite*.c holds all statements over these tables.
 */
#include "fleet/store_schema.h"

const char *const covey__migrations[] = {
    /* 1 */
    "CREATE TABLE enroll_tokens ("
    " id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, uses INTEGER NOT NULL,"
    " uses_left INTEGER NOT NULL CHECK (uses_left >= 0), created_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL, note TEXT NOT NULL) STRICT;"
    "CREATE TABLE devices ("
    " key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, token_hash BLOB NOT NULL UNIQUE,"
    " request_hash BLOB UNIQUE, revoked INTEGER NOT NULL DEFAULT 0, class INTEGER NOT NULL,"
    " name TEXT NOT NULL, version TEXT NOT NULL, state TEXT NOT NULL, state_digest BLOB NOT NULL,"
    " enrolled_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL, update_release TEXT,"
    " update_phase TEXT, update_outcome TEXT, update_message TEXT, update_ms INTEGER) STRICT;"
    "CREATE TABLE refusals ("
    " device INTEGER NOT NULL REFERENCES devices(key), release TEXT NOT NULL,"
    " reason TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (device, release))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE reports ("
    " seq INTEGER PRIMARY KEY, device INTEGER NOT NULL REFERENCES devices(key), id TEXT NOT NULL,"
    " time_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL, phase TEXT NOT NULL,"
    " outcome TEXT NOT NULL, release TEXT NOT NULL, rollout TEXT NOT NULL, message TEXT NOT NULL,"
    " bytes INTEGER NOT NULL, elapsed_ms INTEGER NOT NULL, UNIQUE (device, id)) STRICT;"
    "CREATE INDEX reports_by_device ON reports (device, seq);"
    "CREATE TABLE release_keys (key BLOB PRIMARY KEY, added_ms INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE releases ("
    " key INTEGER PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL,"
    " digest BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " signature TEXT NOT NULL, published_ms INTEGER NOT NULL, UNIQUE (name, version)) STRICT;"
    "CREATE TABLE rollouts ("
    " key INTEGER PRIMARY KEY AUTOINCREMENT, release INTEGER NOT NULL REFERENCES releases(key),"
    " percent_milli INTEGER NOT NULL CHECK (percent_milli BETWEEN 0 AND 100000),"
    " classes INTEGER NOT NULL, state INTEGER NOT NULL, salt BLOB NOT NULL, note TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE rollout_devices ("
    " rollout INTEGER NOT NULL REFERENCES rollouts(key),"
    " device INTEGER NOT NULL REFERENCES devices(key), state INTEGER NOT NULL,"
    " changed_ms INTEGER NOT NULL, PRIMARY KEY (rollout, device)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX rollout_devices_by_device ON rollout_devices (device);",
    /* 2: content keys of private ensembles, each sealed to a device's X25519 key */
    "ALTER TABLE devices ADD COLUMN encryption_key BLOB;"
    "CREATE TABLE wrapped_keys ("
    " id BLOB NOT NULL, device INTEGER NOT NULL REFERENCES devices(key),"
    " device_key BLOB NOT NULL, wrapped BLOB NOT NULL, created_ms INTEGER NOT NULL,"
    " PRIMARY KEY (id, device)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX wrapped_keys_by_device ON wrapped_keys (device);",
    /* 3: releases are vouched for by TUF metadata (docs/trust.md), which lies beside the store. */
    "DROP TABLE release_keys;"
    "ALTER TABLE releases DROP COLUMN signature;",
    /* 4: patches (docs/formats/patch-index.md): a rollout's budget of bytes a device, and which
     * devices go first */
    "ALTER TABLE devices ADD COLUMN variant TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE rollouts ADD COLUMN bytes_max INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE rollouts ADD COLUMN patched_first INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE rollouts ADD COLUMN patched_from TEXT NOT NULL DEFAULT '';",
};

const size_t covey__migration_count = sizeof(covey__migrations) / sizeof(covey__migrations[0]);
