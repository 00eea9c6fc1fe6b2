/* Bringing the top-level roles up to date: section 5 of the specification, step by step. Rules that
 * hold throughout:
 *   1. A document is believed in memory only after the store has it.
 *   2. What the store holds is verified again under the root of now; what does not hold is as good
 *      as absent. It may be expired or superseded and still tell what versions were seen.
 *   3. No version goes below the store's or the floor's, unless the role's keys were rotated.
 *   4. Each document is fetched only if another one, or the number of the next root, asks for it.
 * Neighbours: tuf_client.c (report), tuf_find.c (delegated roles), tuf_fetch.c, tuf_floor.c. */
#include "base/error.h"
#include "base/utc.h"
#include "trust/tuf_client.h"

#include <inttypes.h>
#include <string.h>

covey_status covey__tuf_check_expiry(const covey_tuf *tuf, const covey__tuf_document *document,
                                     covey_error *error) {
    if (document->expires_ms > tuf->now_ms) return COVEY_OK;
    char expires[COVEY__UTC_SIZE], now[COVEY__UTC_SIZE];
    covey__utc_format(document->expires_ms, expires);
    covey__utc_format(tuf->now_ms, now);
    return covey__fail(error, COVEY_ERROR_EXPIRED, "version %" PRId64 " expired %s, it is %s%s",
                       document->version, expires, now,
                       tuf->now_ms > tuf->clock_ms ? " by the last signed time" : "");
}

static covey_status older(int64_t seen, int64_t found, const char *where, covey_error *error) {
    return covey__fail_sizes(error, COVEY_ERROR_ROLLBACK, seen, found,
                             "%s version %" PRId64 " was seen before, found the older %" PRId64,
                             where, seen, found);
}

static uint64_t bytes_max_of(const covey_tuf *tuf, covey__tuf_type type) {
    switch (type) {
    case COVEY__TUF_ROOT:
        return tuf->options.root_bytes_max;
    case COVEY__TUF_TIMESTAMP:
        return tuf->options.timestamp_bytes_max;
    case COVEY__TUF_SNAPSHOT:
        return tuf->options.snapshot_bytes_max;
    case COVEY__TUF_TARGETS:
    default:
        return tuf->options.targets_bytes_max;
    }
}

/* Reads and verifies bytes as a document of a role. */
static covey_status read_document(const covey_tuf *tuf, covey__tuf_type type,
                                  const covey__tuf_role *role, const covey__buffer *bytes,
                                  covey__tuf_document **out, covey_error *error) {
    const char *data = bytes->size > 0 ? bytes->data : "";
    covey_status status = covey__tuf_parse(tuf->env, type, data, bytes->size, out, error);
    if (status != COVEY_OK) return status;
    /* A root may answer for itself. */
    if (role == NULL) role = (*out)->top + COVEY__TUF_ROOT;
    status = covey__tuf_verify(tuf->env, *out, role, error);
    if (status == COVEY_OK) return COVEY_OK;
    covey__tuf_free(*out);
    *out = NULL;
    return status;
}

/* The store's document of a role with its bytes in `bytes`; `*out` is NULL when there is none that
 * holds. Fails only when memory or the disk does. */
static covey_status read_stored(const covey_tuf *tuf, covey__tuf_type type,
                                const covey__tuf_role *role, covey__buffer *bytes,
                                covey__tuf_document **out, covey_error *error) {
    const char *name = role != NULL ? role->name : covey__tuf_type_name(type);
    *out = NULL;
    covey_status status = covey__tuf_store_read(&tuf->store, name, bytes, error);
    if (status == COVEY_ERROR_NOT_FOUND) return COVEY_OK;
    if (status == COVEY_OK) status = read_document(tuf, type, role, bytes, out, error);
    bool ours = status == COVEY_ERROR_NO_MEMORY || status == COVEY_ERROR_IO ||
                status == COVEY_ERROR_DENIED || status == COVEY_ERROR_NO_SPACE;
    return ours ? status : COVEY_OK;
}

/* Into the store, and only then the client's. Takes `document`. */
static covey_status accept(covey_tuf *tuf, const char *name, const covey__buffer *bytes,
                           covey__tuf_document *document, covey__tuf_document **slot,
                           covey_error *error) {
    covey_status status =
        covey__tuf_store_write(&tuf->store, name, bytes->data, bytes->size, error);
    if (status != COVEY_OK) {
        covey__tuf_free(document);
        return status;
    }
    if (document->type != COVEY__TUF_ROOT) covey__tuf_slim(document);
    covey__tuf_free(*slot);
    *slot = document;
    return COVEY_OK;
}

/* The root to begin with: the store's, or the one that came with the app. */
static covey_status load_first_root(covey_tuf *tuf, covey_error *error) {
    covey__buffer bytes;
    covey__tuf_document *first = NULL;
    covey__buffer_init(&bytes, tuf->env, (size_t)tuf->options.root_bytes_max);
    covey_status status = read_stored(tuf, COVEY__TUF_ROOT, NULL, &bytes, &tuf->root, error);
    if (status == COVEY_OK && tuf->root == NULL) {
        covey__buffer_clear(&bytes);
        if (tuf->options.root == NULL)
            status = covey__fail(error, COVEY_ERROR_NOT_FOUND,
                                 "the store has no root that holds, and none came with the app; "
                                 "begin with one that you trust");
        else
            status = covey__buffer_append(&bytes, tuf->options.root, tuf->options.root_size);
        if (bytes.status != COVEY_OK) status = covey__buffer_check(&bytes, error, "first root");
        if (status == COVEY_OK)
            status = read_document(tuf, COVEY__TUF_ROOT, NULL, &bytes, &first, error);
        if (status == COVEY_OK) status = accept(tuf, "root", &bytes, first, &tuf->root, error);
    }
    covey__buffer_free(&bytes);
    return status;
}

/* Verifies the next root by the one in hand and by itself. */
static covey_status check_next_root(const covey_tuf *tuf, const covey__tuf_document *next,
                                    covey_error *error) {
    const covey__tuf_document *root = tuf->root;
    covey_status status = covey__tuf_verify(tuf->env, next, root->top + COVEY__TUF_ROOT, error);
    if (status != COVEY_OK)
        return covey__prefix(error, status, "the keys of version %" PRId64, root->version);
    if (next->version <= root->version) return older(root->version, next->version, "root", error);
    if (next->version != root->version + 1)
        return covey__fail_sizes(error, COVEY_ERROR_MISMATCH, root->version + 1, next->version,
                                 "expected version %" PRId64 ", found %" PRId64, root->version + 1,
                                 next->version);
    return COVEY_OK;
}

/* One step of the chain. `*more` is false when there is no newer root. */
static covey_status next_root(covey_tuf *tuf, bool *rotated, bool *more, covey_error *error) {
    covey__tuf_request request = {"root", tuf->root->version + 1, tuf->options.root_bytes_max,
                                  true};
    covey__tuf_document *next = NULL;
    covey__buffer bytes;
    covey__buffer_init(&bytes, tuf->env, (size_t)request.bytes_max);
    covey_status status = covey__tuf_fetch(tuf, &request, &bytes, more, error);
    if (status == COVEY_OK && *more) {
        status = read_document(tuf, COVEY__TUF_ROOT, NULL, &bytes, &next, error);
        if (status == COVEY_OK) status = check_next_root(tuf, next, error);
        if (status != COVEY_OK) {
            covey__tuf_free(next);
        } else {
            bool timestamp = covey__tuf_rotated(tuf->root->top + COVEY__TUF_TIMESTAMP,
                                                next->top + COVEY__TUF_TIMESTAMP);
            bool snapshot = covey__tuf_rotated(tuf->root->top + COVEY__TUF_SNAPSHOT,
                                               next->top + COVEY__TUF_SNAPSHOT);
            status = accept(tuf, "root", &bytes, next, &tuf->root, error);
            *rotated = *rotated || timestamp || snapshot;
        }
    }
    covey__buffer_free(&bytes);
    return status;
}

static void set_time(covey_tuf *tuf) {
    int64_t floor = tuf->floor.time_ms;
    tuf->now_ms = tuf->clock_ms > floor ? tuf->clock_ms : floor;
}

/* Section 5.3. `*rotated` says whether the store's timestamp and snapshot are to be forgotten. */
static covey_status update_root(covey_tuf *tuf, int64_t latest, bool *rotated, covey_error *error) {
    const covey__tuf_role *top;
    bool more = true;
    covey_status status = load_first_root(tuf, error);
    if (status != COVEY_OK) return status;
    tuf->report.before.root = tuf->root->version;
    for (uint32_t i = 0; more && i < tuf->options.root_count_max; i++) {
        if (latest > 0 && tuf->root->version >= latest) break;
        status = next_root(tuf, rotated, &more, error);
        if (status != COVEY_OK) return status;
    }
    top = tuf->root->top;
    int64_t seen = covey__tuf_floor_version(&tuf->floor, top + COVEY__TUF_ROOT);
    if (tuf->root->version < seen) return older(seen, tuf->root->version, "root", error);
    if (covey__tuf_floor_rotated(&tuf->floor, top + COVEY__TUF_TIMESTAMP)) {
        covey__tuf_floor_set_time(&tuf->floor, 0); /* who held the old key may have run it up */
        set_time(tuf);
        *rotated = true;
    }
    if (covey__tuf_floor_rotated(&tuf->floor, top + COVEY__TUF_SNAPSHOT)) *rotated = true;
    return covey__tuf_check_expiry(tuf, tuf->root, error);
}

/* The store's timestamp or snapshot, unless a rotation of keys says to forget it. */
static covey_status read_seen(const covey_tuf *tuf, covey__tuf_type type, bool rotated,
                              covey__buffer *bytes, covey__tuf_document **out, covey_error *error) {
    covey_status status = read_stored(tuf, type, tuf->root->top + type, bytes, out, error);
    if (status != COVEY_OK || *out == NULL || !rotated) return status;
    covey__tuf_free(*out);
    *out = NULL;
    return covey__tuf_store_remove(&tuf->store, covey__tuf_type_name(type), error);
}

static int64_t snapshot_version(const covey__tuf_document *timestamp) {
    return covey__tuf_file_find(timestamp, "snapshot.json")->version;
}

/* Holds a new timestamp against what was seen. */
static covey_status check_timestamp(const covey_tuf *tuf, const covey__tuf_document *seen,
                                    const covey__tuf_document *next, covey_error *error) {
    const covey__tuf_role *top = tuf->root->top;
    if (seen != NULL && next->version < seen->version)
        return older(seen->version, next->version, "timestamp", error);
    if (seen != NULL && next->version == seen->version) next = seen; /* its contents do not count */
    int64_t floor = covey__tuf_floor_version(&tuf->floor, top + COVEY__TUF_TIMESTAMP);
    if (next->version < floor) return older(floor, next->version, "timestamp", error);
    if (seen != NULL && snapshot_version(next) < snapshot_version(seen))
        return older(snapshot_version(seen), snapshot_version(next), "snapshot", error);
    floor = covey__tuf_floor_version(&tuf->floor, top + COVEY__TUF_SNAPSHOT);
    if (snapshot_version(next) < floor)
        return older(floor, snapshot_version(next), "snapshot", error);
    return covey__tuf_check_expiry(tuf, next, error);
}

/* Section 5.4. Takes `seen`. */
static covey_status update_timestamp(covey_tuf *tuf, covey__tuf_document *seen,
                                     covey_error *error) {
    covey__tuf_request request = {"timestamp", 0, tuf->options.timestamp_bytes_max, false};
    covey__tuf_document *next = NULL;
    covey__buffer bytes;
    bool found;
    covey__buffer_init(&bytes, tuf->env, (size_t)request.bytes_max);
    covey_status status = covey__tuf_fetch(tuf, &request, &bytes, &found, error);
    if (status == COVEY_OK)
        status = read_document(tuf, COVEY__TUF_TIMESTAMP, tuf->root->top + COVEY__TUF_TIMESTAMP,
                               &bytes, &next, error);
    if (status == COVEY_OK) status = check_timestamp(tuf, seen, next, error);
    if (status == COVEY_OK && seen != NULL && next->version == seen->version) {
        covey__tuf_slim(seen);
        tuf->timestamp = seen;
        seen = NULL;
    } else if (status == COVEY_OK) {
        status = accept(tuf, "timestamp", &bytes, next, &tuf->timestamp, error);
        next = NULL;
    }
    covey__tuf_free(next);
    covey__tuf_free(seen);
    covey__buffer_free(&bytes);
    return status;
}

/* Every file of the trusted snapshot is in the new one, none of them older. Both are sorted. */
static covey_status check_listed(const covey__tuf_document *seen, const covey__tuf_document *next,
                                 covey_error *error) {
    char shown[120];
    size_t at = 0;
    for (size_t i = 0; i < seen->file_count; i++) {
        const covey__tuf_file *before = seen->files[i], *after = NULL;
        while (at < next->file_count) {
            after = next->files[at];
            if (strcmp(after->name, before->name) >= 0) break;
            at++;
        }
        covey__printable(before->name, strlen(before->name), shown, sizeof shown);
        if (at == next->file_count || strcmp(after->name, before->name) != 0)
            return covey__fail_sizes(error, COVEY_ERROR_ROLLBACK, before->version, 0,
                                     "\"%s\" was listed before and is no longer", shown);
        if (after->version < before->version)
            return older(before->version, after->version, shown, error);
    }
    return COVEY_OK;
}

/* Whether a snapshot is the one that the timestamp names, and valid. */
static covey_status check_snapshot(const covey_tuf *tuf, const covey__tuf_document *snapshot,
                                   covey_error *error) {
    int64_t expected = snapshot_version(tuf->timestamp);
    if (snapshot->version != expected)
        return covey__fail_sizes(error, COVEY_ERROR_MISMATCH, expected, snapshot->version,
                                 "the timestamp names version %" PRId64 ", found %" PRId64,
                                 expected, snapshot->version);
    return covey__tuf_check_expiry(tuf, snapshot, error);
}

static covey_status fetch_named(covey_tuf *tuf, const char *name, covey__tuf_type type,
                                const covey__tuf_file *file, covey__buffer *bytes,
                                covey_error *error) {
    uint64_t bytes_max = bytes_max_of(tuf, type);
    covey__tuf_request request = {name, tuf->root->consistent_snapshot ? file->version : 0,
                                  bytes_max, false};
    bool found;
    if (file->length >= 0 && (uint64_t)file->length > bytes_max)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)bytes_max, file->length,
                                 "a document of %" PRId64 " bytes is announced, at most %" PRIu64
                                 " are allowed",
                                 file->length, bytes_max);
    if (file->length >= 0) request.bytes_max = (uint64_t)file->length;
    covey__buffer_clear(bytes);
    covey_status status = covey__tuf_fetch(tuf, &request, bytes, &found, error);
    if (status == COVEY_OK)
        status =
            covey__tuf_file_check(file, bytes->size > 0 ? bytes->data : "", bytes->size, error);
    return status;
}

static covey_status fetch_snapshot(covey_tuf *tuf, const covey__tuf_document *seen,
                                   covey__buffer *bytes, covey_error *error) {
    const covey__tuf_file *file = covey__tuf_file_find(tuf->timestamp, "snapshot.json");
    covey__tuf_document *next = NULL;
    covey_status status = fetch_named(tuf, "snapshot", COVEY__TUF_SNAPSHOT, file, bytes, error);
    if (status == COVEY_OK)
        status = read_document(tuf, COVEY__TUF_SNAPSHOT, tuf->root->top + COVEY__TUF_SNAPSHOT,
                               bytes, &next, error);
    if (status == COVEY_OK &&
        next->version < file->version) /* what check_snapshot says of others */
        status = older(file->version, next->version, "snapshot", error);
    if (status == COVEY_OK && seen != NULL && next->version == file->version)
        status = check_listed(seen, next, error);
    if (status == COVEY_OK) status = check_snapshot(tuf, next, error);
    if (status == COVEY_OK) return accept(tuf, "snapshot", bytes, next, &tuf->snapshot, error);
    covey__tuf_free(next);
    return status;
}

/* Section 5.5. */
static covey_status update_snapshot(covey_tuf *tuf, bool rotated, covey_error *error) {
    const covey__tuf_file *file = covey__tuf_file_find(tuf->timestamp, "snapshot.json");
    covey__tuf_document *seen = NULL;
    covey__buffer bytes;
    covey__buffer_init(&bytes, tuf->env, (size_t)tuf->options.snapshot_bytes_max);
    covey_status status = read_seen(tuf, COVEY__TUF_SNAPSHOT, rotated, &bytes, &seen, error);
    if (status == COVEY_OK && seen != NULL) {
        tuf->report.before.snapshot = seen->version;
        if (covey__tuf_file_check(file, bytes.data, bytes.size, NULL) == COVEY_OK &&
            check_snapshot(tuf, seen, NULL) == COVEY_OK) {
            covey__tuf_slim(seen);
            tuf->snapshot = seen;
            covey__buffer_free(&bytes);
            return COVEY_OK;
        }
    }
    if (status == COVEY_OK) status = fetch_snapshot(tuf, seen, &bytes, error);
    covey__tuf_free(seen);
    covey__buffer_free(&bytes);
    return status;
}

/* Whether a targets role is the one that the snapshot names, not below the floor, and valid. */
static covey_status check_targets(const covey_tuf *tuf, const covey__tuf_role *role,
                                  const covey__tuf_file *file, const covey__tuf_document *document,
                                  covey_error *error) {
    if (document->version != file->version)
        return covey__fail_sizes(error, COVEY_ERROR_MISMATCH, file->version, document->version,
                                 "the snapshot names version %" PRId64 ", found %" PRId64,
                                 file->version, document->version);
    int64_t floor = covey__tuf_floor_version(&tuf->floor, role);
    if (document->version < floor) return older(floor, document->version, "targets", error);
    return covey__tuf_check_expiry(tuf, document, error);
}

static covey_status fetch_targets(covey_tuf *tuf, const covey__tuf_role *role,
                                  const covey__tuf_file *file, covey__buffer *bytes,
                                  covey__tuf_document **out, covey_error *error) {
    covey__tuf_document *next = NULL;
    covey_status status = fetch_named(tuf, role->name, COVEY__TUF_TARGETS, file, bytes, error);
    if (status == COVEY_OK)
        status = read_document(tuf, COVEY__TUF_TARGETS, role, bytes, &next, error);
    if (status == COVEY_OK) status = check_targets(tuf, role, file, next, error);
    if (status == COVEY_OK) return accept(tuf, role->name, bytes, next, out, error);
    covey__tuf_free(next);
    return status;
}

covey_status covey__tuf_load_targets(covey_tuf *tuf, const covey__tuf_role *role,
                                     covey__tuf_document **out, covey_error *error) {
    covey__tuf_document *stored = NULL;
    covey__buffer bytes;
    *out = NULL;
    char *path = covey__format(tuf->env, "%s.json", role->name);
    if (path == NULL) return covey__no_memory(error, "role", strlen(role->name));
    const covey__tuf_file *file = covey__tuf_file_find(tuf->snapshot, path);
    covey__free(tuf->env, path);
    if (file == NULL)
        return covey__fail(error, COVEY_ERROR_MISMATCH, "the snapshot does not name it");
    covey__buffer_init(&bytes, tuf->env, (size_t)tuf->options.targets_bytes_max);
    covey_status status = read_stored(tuf, COVEY__TUF_TARGETS, role, &bytes, &stored, error);
    if (stored != NULL && role == tuf->root->top + COVEY__TUF_TARGETS)
        tuf->report.before.targets = stored->version;
    bool holds = stored != NULL &&
                 covey__tuf_file_check(file, bytes.data, bytes.size, NULL) == COVEY_OK &&
                 check_targets(tuf, role, file, stored, NULL) == COVEY_OK;
    if (holds) {
        covey__tuf_slim(stored);
        *out = stored;
    } else {
        covey__tuf_free(stored);
        if (status == COVEY_OK) status = fetch_targets(tuf, role, file, &bytes, out, error);
    }
    covey__buffer_free(&bytes);
    return status;
}

/* Everything that was accepted raises the floor, also when a later step failed. */
static covey_status raise_floor(covey_tuf *tuf, covey_error *error) {
    const covey__tuf_document *accepted[] = {tuf->root, tuf->timestamp, tuf->snapshot,
                                             tuf->targets};
    covey_status status = COVEY_OK;
    for (int i = 0; status == COVEY_OK && i < COVEY__TUF_TOP_COUNT; i++) {
        if (accepted[i] != NULL)
            status = covey__tuf_floor_raise(&tuf->floor, tuf->root->top + i, accepted[i]->version,
                                            error);
    }
    if (status == COVEY_OK && tuf->timestamp != NULL &&
        tuf->timestamp->issued_ms > tuf->floor.time_ms &&
        tuf->timestamp->issued_ms <= tuf->timestamp->expires_ms)
        covey__tuf_floor_set_time(&tuf->floor, tuf->timestamp->issued_ms);
    return status == COVEY_OK ? covey__tuf_floor_save(&tuf->floor, error) : status;
}

static covey_status update_roles(covey_tuf *tuf, int64_t latest, covey_error *error) {
    covey__tuf_document *seen = NULL;
    covey__buffer bytes;
    bool rotated = false;
    covey_status status = update_root(tuf, latest, &rotated, error);
    if (status != COVEY_OK) return covey__tuf_blame(tuf, "root", status, error);
    covey__buffer_init(&bytes, tuf->env, (size_t)tuf->options.timestamp_bytes_max);
    status = read_seen(tuf, COVEY__TUF_TIMESTAMP, rotated, &bytes, &seen, error);
    covey__buffer_free(&bytes);
    if (seen != NULL) tuf->report.before.timestamp = seen->version;
    if (status == COVEY_OK) status = update_timestamp(tuf, seen, error);
    if (status != COVEY_OK) return covey__tuf_blame(tuf, "timestamp", status, error);
    status = update_snapshot(tuf, rotated, error);
    if (status != COVEY_OK) return covey__tuf_blame(tuf, "snapshot", status, error);
    status =
        covey__tuf_load_targets(tuf, tuf->root->top + COVEY__TUF_TARGETS, &tuf->targets, error);
    if (status != COVEY_OK) return covey__tuf_blame(tuf, "targets", status, error);
    return COVEY_OK;
}

covey_status covey__tuf_update(covey_tuf *tuf, int64_t latest, covey_error *error) {
    covey__tuf_drop(tuf);
    tuf->clock_ms = covey__now_ms(tuf->env);
    tuf->now_ms = tuf->clock_ms;
    covey__tuf_floor_free(&tuf->floor);
    covey_status status =
        covey__tuf_floor_load(&tuf->floor, tuf->env, tuf->options.floor_path, error);
    if (status != COVEY_OK) return status;
    set_time(tuf);
    status = update_roles(tuf, latest, error);
    if (tuf->root != NULL) {
        /* The first failure is the one to tell. */
        covey_status raised = raise_floor(tuf, status == COVEY_OK ? error : NULL);
        if (status == COVEY_OK) status = raised;
    }
    tuf->refreshed = status == COVEY_OK;
    return status;
}
