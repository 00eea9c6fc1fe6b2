/* SQLite: content keys of private ensembles, sealed to devices.
 *
 * Invariants: what is stored was sealed to the key that the device has now, and no device that was
 * revoked gets any. A sealing to a key that a device no longer has is kept until it is replaced,
 * and handed to nobody. The store never sees a content key.
 *
 * Neighbours: store.h, store_sqlite.c; api_content_keys.c asks.
 */
#include <string.h>

#include "base/error.h"
#include "fleet/store_sqlite.h"

static covey_status add_one(covey__sqlite *s, const uint8_t id[16], covey__wrap *wrap,
                            int64_t now_ms, covey_error *error) {
    sqlite3_stmt *q = NULL;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_WRAP_ADD, &q, error);
    if (status != COVEY_OK) return status;
    covey__bind_blob(q, 1, id, 16);
    covey__bind_text(q, 2, wrap->device);
    covey__bind_blob(q, 3, wrap->device_key, 32);
    covey__bind_blob(q, 4, wrap->wrapped, 80);
    (void)sqlite3_bind_int64(q, 5, now_ms);
    status = covey__sqlite_run(s, q, error);
    wrap->stored = status == COVEY_OK && sqlite3_changes(s->db) > 0;
    return status;
}

covey_status covey__sqlite_wrap_add(covey__store *store, const uint8_t id[16], covey__wrap *wraps,
                                    size_t count, int64_t now_ms, covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    covey_status status = covey__sqlite_begin(s, error);
    if (status == COVEY_OK) {
        for (size_t i = 0; i < count && status == COVEY_OK; i++) {
            status = add_one(s, id, &wraps[i], now_ms, error);
        }
        status = covey__sqlite_end(s, status, error);
    }
    covey__sqlite_leave(s);
    return status;
}

covey_status covey__sqlite_wrap_get(covey__store *store, const uint8_t id[16], int64_t device,
                                    uint8_t wrapped[80], covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool row = false;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_WRAP_GET, &q, error);
    if (status == COVEY_OK) {
        covey__bind_blob(q, 1, id, 16);
        (void)sqlite3_bind_int64(q, 2, device);
        status = covey__sqlite_step(s, q, &row, error);
    }
    if (status == COVEY_OK && row) {
        covey__column_blob(q, 0, wrapped, 80);
        (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    if (status == COVEY_OK && !row) {
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "store: this content key was not wrapped for this device");
    }
    return status;
}

static covey_status hand_over(sqlite3_stmt *q, covey__wrap_device_fn each, void *user) {
    covey__wrap_device row = {.device = covey__column_text(q, 0)};
    uint8_t wrapped_for[32];
    row.has_key = sqlite3_column_type(q, 1) != SQLITE_NULL;
    row.has_wrap = sqlite3_column_type(q, 2) != SQLITE_NULL;
    covey__column_blob(q, 1, row.device_key, 32);
    covey__column_blob(q, 2, wrapped_for, 32);
    row.is_current = row.has_key && row.has_wrap && memcmp(wrapped_for, row.device_key, 32) == 0;
    return each(user, &row);
}

covey_status covey__sqlite_wrap_devices(covey__store *store, const covey__wrap_filter *filter,
                                        covey__wrap_device_fn each, void *user,
                                        covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool row = true;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_WRAP_DEVICES, &q, error);
    if (status == COVEY_OK) {
        covey__bind_blob(q, 1, filter->key, 16);
        covey__bind_text(q, 2, filter->after);
        covey__bind_text(q, 3, filter->device);
        (void)sqlite3_bind_int(q, 4, filter->lacking);
        (void)sqlite3_bind_int(q, 5, filter->limit);
    }
    while (status == COVEY_OK) {
        status = covey__sqlite_step(s, q, &row, error);
        if (status != COVEY_OK || !row) break;
        status = hand_over(q, each, user);
        if (status != COVEY_OK) (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    return status;
}

covey_status covey__sqlite_wrap_each(covey__store *store, covey__wrap_key_fn each, void *user,
                                     covey_error *error) {
    covey__sqlite *s = covey__sqlite_enter(store);
    sqlite3_stmt *q = NULL;
    bool row = true;
    covey_status status = covey__sqlite_get(s, COVEY__SQL_WRAP_EACH, &q, error);
    while (status == COVEY_OK) {
        status = covey__sqlite_step(s, q, &row, error);
        if (status != COVEY_OK || !row) break;
        covey__wrap_key key = {.devices_wrapped = sqlite3_column_int64(q, 1),
                               .last_ms = sqlite3_column_int64(q, 3)};
        covey__column_blob(q, 0, key.id, 16);
        key.devices_lacking = sqlite3_column_int64(q, 2) - key.devices_wrapped;
        status = each(user, &key);
        if (status != COVEY_OK) (void)sqlite3_reset(q);
    }
    covey__sqlite_leave(s);
    return status;
}
