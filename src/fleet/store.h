/* What the control plane remembers, behind a table of functions, so that the same server runs on
 * SQLite now and on another engine later. Nothing above this header knows SQL.
 *
 * Every function may be called from any thread and is one transaction: when it returns COVEY_OK,
 * what it wrote is durable (`seen` aside, see there). Rows are handed to callbacks with borrowed
 * strings; a callback must not call the store. Secrets come in hashed (SHA-256). */
#ifndef COVEY_FLEET_STORE_H
#define COVEY_FLEET_STORE_H

#include "base/env.h"

#define COVEY__DEVICE_ID_SIZE    33 /* 32 hex digits and a NUL */
#define COVEY__RELEASE_NAME_SIZE 65
#define COVEY__RELEASE_TEXT_SIZE 132 /* name@version and a NUL */
#define COVEY__REFUSED_COUNT_MAX 16  /* that a check-in may name */
#define COVEY__REPORTS_KEPT      256 /* of one device */

/* A device as a check-in needs it. */
typedef struct covey__device_known {
    int64_t key; /* the store's own */
    char id[COVEY__DEVICE_ID_SIZE];
    bool revoked;
    int32_t device_class;                /* covey_device_class */
    char name[COVEY__RELEASE_NAME_SIZE]; /* of the ensemble it serves; "" for none */
    char version[COVEY__RELEASE_NAME_SIZE];
    char variant[COVEY__RELEASE_NAME_SIZE]; /* of it; "": not known */
    uint8_t state_digest[32];               /* of the check-in that said so */
} covey__device_known;

/* What a device said of itself. */
typedef struct covey__device_state {
    int32_t device_class;
    const char *name, *version, *variant;
    const char *json; /* {"device":…,"slots":…,…} as the API shows it */
    uint8_t digest[32];
    const char *refused[COVEY__REFUSED_COUNT_MAX];
    size_t refused_count;
    bool refused_said;       /* the list was there: what it does not name is not refused any more */
    bool has_encryption_key; /* without one the key that is known stays */
    uint8_t encryption_key[32]; /* X25519: what content keys are wrapped for */
} covey__device_state;

/* A content key wrapped for a device (docs/formats/encrypted-component.md). */
typedef struct covey__wrap {
    const char *device;
    uint8_t device_key[32]; /* that it was wrapped for */
    uint8_t wrapped[80];
    bool stored; /* out: the device is here, not revoked, and that is its key */
} covey__wrap;

typedef struct covey__wrap_filter {
    uint8_t key[16];
    const char *after;  /* id, "" for the first page */
    const char *device; /* only this one; NULL: all */
    bool lacking;       /* only those that have no wrap for their key */
    int32_t limit;
} covey__wrap_filter;

typedef struct covey__wrap_device {
    const char *device;
    bool has_key, has_wrap, is_current; /* is_current: the wrap is for the key that it has now */
    uint8_t device_key[32];
} covey__wrap_device;

typedef struct covey__wrap_key {
    uint8_t id[16];
    int64_t devices_wrapped, devices_lacking, last_ms;
} covey__wrap_key;

typedef struct covey__device_row {
    covey__device_known known;
    const char *json;
    int64_t enrolled_ms, last_seen_ms;
    const char *update_release; /* NULL: no report yet; else the fields of the last one */
    const char *update_phase, *update_outcome, *update_message;
    int64_t update_ms;
} covey__device_row;

typedef struct covey__seen {
    int64_t device;
    int64_t at_ms;
} covey__seen;

typedef struct covey__device_filter {
    int32_t limit;
    const char *after;    /* id, "" for the first page */
    int32_t device_class; /* -1: any */
    const char *version;  /* NULL: any */
} covey__device_filter;

typedef enum covey__enroll_outcome {
    COVEY__ENROLL_NEW,
    COVEY__ENROLL_AGAIN, /* the same request as before: the same device with a new token */
    COVEY__ENROLL_UNKNOWN,
    COVEY__ENROLL_EXPIRED,
    COVEY__ENROLL_USED_UP
} covey__enroll_outcome;

typedef struct covey__enrollment {
    uint8_t token_hash[32];
    bool has_request;
    uint8_t request_hash[32];              /* over token and request id */
    char device_id[COVEY__DEVICE_ID_SIZE]; /* in: for a new one; out: the device's */
    uint8_t device_token_hash[32];
    const covey__device_state *state;
    int64_t now_ms;
} covey__enrollment;

typedef struct covey__token_row {
    int64_t id, uses, uses_left, created_ms, expires_ms;
    const char *note;
} covey__token_row;

typedef struct covey__report {
    const char *id, *phase, *outcome, *release, *rollout, *message;
    int64_t time_ms, received_ms, bytes, elapsed_ms;
} covey__report;

typedef struct covey__release_row {
    int64_t key;
    const char *name, *version;
    uint8_t digest[32];
    int64_t size, bytes, published_ms;
} covey__release_row;

typedef enum covey__rollout_state {
    COVEY__ROLLOUT_RUNNING = 0,
    COVEY__ROLLOUT_PAUSED = 1,
    COVEY__ROLLOUT_ABORTED = 2
} covey__rollout_state;

typedef struct covey__rollout_row {
    int64_t key; /* its id is "r-" and this */
    covey__release_row release;
    int64_t percent_milli; /* thousandths of a percent */
    uint32_t classes;      /* a bit a class; 0: all */
    covey__rollout_state state;
    uint8_t salt[16];
    const char *note;
    int64_t bytes_max;        /* that a device may fetch for it; 0: no bound */
    bool patched_first;       /* only those that can go on by a patch, until it is for everyone */
    const char *patched_from; /* which those are: ",1.0.0/q8_0,1.0.0/q4_0," */
    int64_t created_ms, changed_ms;
    int64_t offered_count, done_count, failed_count, refused_count;
} covey__rollout_row;

/* What is changed of a rollout: negative values keep what is. */
typedef struct covey__rollout_change {
    int64_t percent_milli;
    int32_t state;
    int64_t bytes_max;
    int32_t patched_first;
} covey__rollout_change;
#define COVEY__ROLLOUT_CHANGE_NONE ((covey__rollout_change){-1, -1, -1, -1})

typedef struct covey__store_counts {
    int64_t devices, devices_revoked, releases, reports;
} covey__store_counts;

typedef covey_status (*covey__device_fn)(void *user, const covey__device_row *row);
typedef covey_status (*covey__refusal_fn)(void *user, const char *release, const char *reason);
typedef covey_status (*covey__report_fn)(void *user, const covey__report *report);
typedef covey_status (*covey__token_fn)(void *user, const covey__token_row *row);
typedef covey_status (*covey__release_fn)(void *user, const covey__release_row *row);
typedef covey_status (*covey__rollout_fn)(void *user, const covey__rollout_row *row);
typedef covey_status (*covey__wrap_device_fn)(void *user, const covey__wrap_device *row);
typedef covey_status (*covey__wrap_key_fn)(void *user, const covey__wrap_key *row);

typedef struct covey__store covey__store;

/* "each" functions hand over rows in the order named; a callback that returns anything but COVEY_OK
 * stops them, and they return that. NOT_FOUND means that the thing named does not exist. */
typedef struct covey__store_driver {
    void (*close)(covey__store *store);

    covey_status (*token_add)(covey__store *store, const uint8_t hash[32], covey__token_row *row,
                              covey_error *error); /* fills row->id */
    covey_status (*token_each)(covey__store *store, covey__token_fn each, void *user,
                               covey_error *error); /* newest first */

    /* Uses the token up by one and makes the device, or says why not; OK for every outcome. */
    covey_status (*enroll)(covey__store *store, covey__enrollment *enrollment,
                           covey__enroll_outcome *outcome, covey_error *error);
    covey_status (*device_by_token)(covey__store *store, const uint8_t hash[32],
                                    covey__device_known *known, covey_error *error);
    /* A new state: also settles the rollouts whose release the device now serves. */
    covey_status (*device_update)(covey__store *store, int64_t device,
                                  const covey__device_state *state, int64_t now_ms,
                                  covey_error *error);
    /* Times of check-ins, in one transaction that need not survive a power cut. */
    covey_status (*seen)(covey__store *store, const covey__seen *seen, size_t count,
                         covey_error *error);
    covey_status (*device_get)(covey__store *store, const char *id, covey__device_fn each,
                               void *user, covey_error *error);
    covey_status (*device_each)(covey__store *store, const covey__device_filter *filter,
                                covey__device_fn each, void *user, covey_error *error); /* by id */
    covey_status (*device_revoke)(covey__store *store, const char *id, covey_error *error);
    /* All in one transaction; each wrap says whether it was stored. */
    covey_status (*wrap_add)(covey__store *store, const uint8_t id[16], covey__wrap *wraps,
                             size_t count, int64_t now_ms, covey_error *error);
    /* For the key that the device has now. */
    covey_status (*wrap_get)(covey__store *store, const uint8_t id[16], int64_t device,
                             uint8_t wrapped[80], covey_error *error);
    /* By id; without those that were revoked. */
    covey_status (*wrap_devices)(covey__store *store, const covey__wrap_filter *filter,
                                 covey__wrap_device_fn each, void *user, covey_error *error);
    covey_status (*wrap_each)(covey__store *store, covey__wrap_key_fn each, void *user,
                              covey_error *error); /* newest first */
    covey_status (*refusal_each)(covey__store *store, int64_t device, covey__refusal_fn each,
                                 void *user, covey_error *error);

    /* Reports whose id is known for the device change nothing. */
    covey_status (*report_add)(covey__store *store, int64_t device, const covey__report *reports,
                               size_t count, int64_t now_ms, size_t *accepted, covey_error *error);
    covey_status (*report_each)(covey__store *store, int64_t device, int32_t limit,
                                covey__report_fn each, void *user,
                                covey_error *error); /* newest first */

    /* EXISTS when name@version is there with another digest; the same digest sets `was_known`. */
    covey_status (*release_add)(covey__store *store, const covey__release_row *row, bool *was_known,
                                covey_error *error);
    covey_status (*release_get)(covey__store *store, const char *name, const char *version,
                                covey__release_fn each, void *user, covey_error *error);
    covey_status (*release_each)(covey__store *store, covey__release_fn each, void *user,
                                 covey_error *error); /* newest first */

    covey_status (*rollout_add)(covey__store *store, covey__rollout_row *row,
                                covey_error *error); /* of release.key; fills key */
    /* An aborted rollout is NOT_FOUND here: nothing changes it. */
    covey_status (*rollout_change)(covey__store *store, int64_t rollout,
                                   const covey__rollout_change *change, int64_t now_ms,
                                   covey_error *error);
    /* Newest first, at most 1000. Without counts, which cost a walk over its devices, they are 0.
     */
    covey_status (*rollout_each)(covey__store *store, bool with_counts, covey__rollout_fn each,
                                 void *user, covey_error *error);
    /* Notes once that the device was offered the rollout's release. */
    covey_status (*rollout_offered)(covey__store *store, int64_t rollout, int64_t device,
                                    int64_t now_ms, covey_error *error);

    covey_status (*counts)(covey__store *store, covey__store_counts *counts, covey_error *error);
} covey__store_driver;

struct covey__store {
    const covey__store_driver *driver;
    const covey__env *env;
};

/* SQLite in one file, made if absent and brought to the newest schema. UNSUPPORTED when a newer
 * server wrote it. */
covey_status covey__store_open_sqlite(const covey__env *env, const char *path, covey__store **store,
                                      covey_error *error) COVEY_MUST_USE;

#endif
