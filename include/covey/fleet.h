/* The control plane, to be run in a process (server) and to be asked from one (client). What they
 * speak is docs/api.md. This header is for programs that link the fleet's static library; devices
 * need none of it. The server never holds a key that could sign a release. */
#ifndef COVEY_FLEET_H
#define COVEY_FLEET_H

#include <covey/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a runtime with what the fleet's library has as defaults (OpenSSL, libcurl). `options` may
 * be NULL. Close it with covey_runtime_close. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_runtime_open(const covey_runtime_options *options,
                                                               covey_runtime **runtime,
                                                               covey_error *error);

/* ---- server ------------------------------------------------------------------------------ */

typedef struct covey_fleet_server covey_fleet_server;

typedef struct covey_fleet_server_options {
    size_t size;
    const char *data_dir;  /* created owner-only; one server at a time may use it */
    const char *listen;    /* "HOST:PORT" with a numeric host; NULL: "127.0.0.1:0"; port 0: any */
    int64_t poll_ms;       /* how often devices are told to check in */
    int32_t threads;       /* that answer requests; one more keeps house */
    const char *blobs_url; /* where devices fetch blobs; NULL: from this server */
    /* A plain key file, owner-only, that signs snapshot and timestamp (covey_fleet_keys_make makes
     * one). NULL: the metadata that is served cannot change, and expires. */
    const char *online_key_file;
    /* Where devices find the same blobs too, absolute addresses to which sha256/HEX is added; at
     * most 8. Devices ask them before blobs_url. Borrowed for the call. */
    const char *const *mirrors;
    size_t mirror_count;
} covey_fleet_server_options;
#define COVEY_FLEET_SERVER_OPTIONS_INIT                                                            \
    { sizeof(covey_fleet_server_options), NULL, NULL, 900000, 2, NULL, NULL, NULL, 0 }

/* Opens the data folder and serves until closed. At first start it writes `admin.token` there,
 * readable by its owner alone. The requests are answered on threads of its own; every function here
 * may be called from any thread. COVEY_ERROR_BUSY: another process serves this folder. */
COVEY_API COVEY_MUST_USE covey_status
covey_fleet_server_open(covey_runtime *runtime, const covey_fleet_server_options *options,
                        covey_fleet_server **server, covey_error *error);

/* "http://127.0.0.1:40123". Borrowed from the server. */
COVEY_API const char *covey_fleet_server_url(const covey_fleet_server *server);
/* The path of the admin token's file. Borrowed from the server. */
COVEY_API const char *covey_fleet_server_token_file(const covey_fleet_server *server);

/* Stops accepting, finishes what is under way and writes everything down. COVEY_ERROR_TIMEOUT when
 * requests are still open after `timeout_ms`; the server may be closed then as well. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_server_drain(covey_fleet_server *server,
                                                               int64_t timeout_ms,
                                                               covey_error *error);
/* Ends it; requests still under way are cut. NULL is allowed. */
COVEY_API void covey_fleet_server_close(covey_fleet_server *server);

/* ---- client ------------------------------------------------------------------------------ */

typedef struct covey_fleet_client covey_fleet_client;

/* `token_file` holds the admin token. A client may be used from one thread at a time. A server's
 * refusal is COVEY_ERROR_REMOTE, with its code and message in the error's text. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_client_open(covey_runtime *runtime,
                                                              const char *url,
                                                              const char *token_file,
                                                              covey_fleet_client **client,
                                                              covey_error *error);
/* NULL is allowed. */
COVEY_API void covey_fleet_client_close(covey_fleet_client *client);

/* How answers are written: for people, or the server's JSON in one line. */
typedef enum covey_fleet_format { COVEY_FLEET_TEXT = 0, COVEY_FLEET_JSON = 1 } covey_fleet_format;

/* Frees a text that a call below made. NULL is allowed. */
COVEY_API void covey_fleet_text_free(covey_fleet_client *client, char *text);

/* One ensemble folder and the device classes it is for ("tiny,small"; NULL: all). Frozen: it
 * stands in arrays. */
typedef struct covey_fleet_bundle {
    const char *folder;
    const char *classes;
} covey_fleet_bundle;

/* `bytes_done` of about `bytes_total` were looked at, `bytes_sent` went over the line. */
typedef void (*covey_fleet_progress_fn)(void *user, uint64_t bytes_done, uint64_t bytes_total,
                                        uint64_t bytes_sent);

/* <covey/fleet_keys.h> */
typedef struct covey_fleet_keys covey_fleet_keys;

/* A patch that was made, or not. Strings are valid for the call. */
typedef struct covey_fleet_patch {
    size_t size;
    const char *role, *file, *variant; /* of the component */
    const char *from_release;          /* the version that it leads from */
    uint64_t component_bytes;          /* of the whole component */
    uint64_t chunk_bytes; /* what a device of that version would fetch without a patch */
    uint64_t patch_bytes; /* to fetch with it; 0: none was made */
    bool kept;
    const char *why; /* "saves 81 %", or why it is not kept */
} covey_fleet_patch;
typedef void (*covey_fleet_patch_fn)(void *user, const covey_fleet_patch *patch);

typedef struct covey_fleet_publish_options {
    size_t size;
    const covey_fleet_bundle *bundles; /* variants of one release, the preferred first */
    size_t bundle_count;
    const char *release; /* "name@version" that the bundles must have; NULL: whatever they have */
    covey_fleet_progress_fn progress;
    void *progress_user;
    covey_fleet_keys *keys;        /* the key folder (covey_fleet_keys_open); borrowed */
    const char *export_file;       /* upload, but write what is to be signed here; NULL: publish */
    int32_t patch_count;           /* patches are made from so many versions before; 0: from none */
    const char *const *patch_from; /* from these versions instead */
    size_t patch_from_count;
    const char *patch_folder;   /* where components of earlier versions are kept for the next time;
                                 * NULL: a temporary folder, removed at the end */
    covey_fleet_patch_fn patch; /* told of each; may be NULL */
    void *patch_user;
} covey_fleet_publish_options;
#define COVEY_FLEET_PUBLISH_OPTIONS_INIT                                                           \
    {                                                                                              \
        sizeof(covey_fleet_publish_options), NULL, 0, NULL, NULL, NULL, NULL, NULL, 2, NULL, 0,    \
            NULL, NULL, NULL                                                                       \
    }

typedef struct covey_fleet_published {
    size_t size;
    char release[132]; /* name@version */
    char digest[65];   /* of the release document */
    uint64_t blob_count, blobs_sent;
    uint64_t bytes_total, bytes_sent;
    bool was_known;                     /* this very release had been published before */
    bool was_exported;                  /* it waits for signatures */
    uint64_t patches_kept, patch_bytes; /* patches that were kept, and their bytes */
} covey_fleet_published;
#define COVEY_FLEET_PUBLISHED_INIT                                                                 \
    { sizeof(covey_fleet_published), "", "", 0, 0, 0, 0, false, false, 0, 0 }

/* Checks every byte of the bundles, uploads the blobs that the server lacks, signs the
 * product's metadata with the release in it and publishes it. May be repeated after any failure:
 * what is there is not sent again. */
COVEY_API COVEY_MUST_USE covey_status
covey_fleet_publish(covey_fleet_client *client, const covey_fleet_publish_options *options,
                    covey_fleet_published *published, covey_error *error);
/* What was published, newest first. Here and below, `*text` is freed with covey_fleet_text_free. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_releases(covey_fleet_client *client,
                                                           covey_fleet_format format, char **text,
                                                           covey_error *error);

typedef struct covey_fleet_rollout_options {
    size_t size;
    const char *release; /* "name@version" */
    double percent;
    const char *classes; /* "small,medium"; NULL: all */
    const char *note;    /* may be NULL */
    int64_t bytes_max;   /* that a device may fetch for it; beyond that it waits. 0: no bound */
    bool patched_first;  /* offered only to devices that can go on by a patch, until
                          * covey_fleet_rollout_change says `everyone` */
} covey_fleet_rollout_options;
#define COVEY_FLEET_ROLLOUT_OPTIONS_INIT                                                           \
    { sizeof(covey_fleet_rollout_options), NULL, 100.0, NULL, NULL, 0, false }

/* Begins to offer a published release. */
COVEY_API COVEY_MUST_USE covey_status
covey_fleet_rollout_create(covey_fleet_client *client, const covey_fleet_rollout_options *options,
                           covey_fleet_format format, char **text, covey_error *error);
/* `percent` below 0 and `state` NULL keep what is. `state`: "running", "paused", "aborted". */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_rollout_set(covey_fleet_client *client,
                                                              const char *id, double percent,
                                                              const char *state,
                                                              covey_fleet_format format,
                                                              char **text, covey_error *error);
typedef struct covey_fleet_rollout_changes {
    size_t size;
    double percent;    /* below 0: stays */
    const char *state; /* "running", "paused", "aborted"; NULL: stays */
    int64_t bytes_max; /* that a device may fetch for it, 0: no bound; below 0: stays */
    bool everyone;     /* devices without a patch are offered it too from now on */
} covey_fleet_rollout_changes;
#define COVEY_FLEET_ROLLOUT_CHANGES_INIT                                                           \
    { sizeof(covey_fleet_rollout_changes), -1.0, NULL, -1, false }
/* The same with all that can be changed. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_rollout_change(
    covey_fleet_client *client, const char *id, const covey_fleet_rollout_changes *changes,
    covey_fleet_format format, char **text, covey_error *error);
/* All rollouts, newest first, with what became of them. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_rollouts(covey_fleet_client *client,
                                                           covey_fleet_format format, char **text,
                                                           covey_error *error);

typedef struct covey_fleet_device_filter {
    size_t size;
    int32_t limit;            /* of one page, 1 to 1000 */
    const char *after;        /* the id that the page before ended with, or NULL */
    const char *device_class; /* NULL: any */
    const char *version;      /* that it serves; NULL: any */
} covey_fleet_device_filter;
#define COVEY_FLEET_DEVICE_FILTER_INIT                                                             \
    { sizeof(covey_fleet_device_filter), 100, NULL, NULL, NULL }

/* A page of devices, in the order of their ids. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_devices(covey_fleet_client *client,
                                                          const covey_fleet_device_filter *filter,
                                                          covey_fleet_format format, char **text,
                                                          covey_error *error);
/* One device with its last reports and why it is where it is. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_device(covey_fleet_client *client, const char *id,
                                                         covey_fleet_format format, char **text,
                                                         covey_error *error);
/* Its token is worth nothing from now on. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_device_revoke(covey_fleet_client *client,
                                                                const char *id, covey_error *error);

/* An enrollment token good for `uses` devices during `expires_ms`. As text: the token alone. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_token_create(covey_fleet_client *client,
                                                               int64_t uses, int64_t expires_ms,
                                                               const char *note,
                                                               covey_fleet_format format,
                                                               char **text, covey_error *error);

typedef struct covey_fleet_wrap_options {
    size_t size;
    const char *key_file;   /* that "covey bundle key" made */
    const char *device;     /* id; NULL: all enrolled devices that lack the key */
    const char *device_key; /* 64 hex digits: refuse the device unless this is its key; or NULL */
} covey_fleet_wrap_options;
#define COVEY_FLEET_WRAP_OPTIONS_INIT                                                              \
    { sizeof(covey_fleet_wrap_options), NULL, NULL, NULL }

typedef struct covey_fleet_wrapped {
    size_t size;
    char key[33];         /* the content key's id */
    uint64_t devices;     /* that were looked at */
    uint64_t wrapped;     /* that can fetch it now */
    uint64_t without_key; /* that never said a key of their own: too old, or without a keystore */
    uint64_t skipped;     /* that were revoked, or changed their key, meanwhile */
} covey_fleet_wrapped;
#define COVEY_FLEET_WRAPPED_INIT                                                                   \
    { sizeof(covey_fleet_wrapped), "", 0, 0, 0, 0 }

/* Wraps a content key for devices, each by its own key, and uploads that; the content key does not
 * leave this process. `wrapped` may be NULL. May be repeated at any time: for devices that enrolled
 * since, or whose key is another now. REFUSED when a device's key is not `device_key`. */
COVEY_API COVEY_MUST_USE covey_status
covey_fleet_content_key_wrap(covey_fleet_client *client, const covey_fleet_wrap_options *options,
                             covey_fleet_wrapped *wrapped, covey_error *error);
/* The content keys that were wrapped, with how many devices have and lack each. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_content_keys(covey_fleet_client *client,
                                                               covey_fleet_format format,
                                                               char **text, covey_error *error);
/* Devices, in the order of their ids, and whether each has the content key: "wrapped", "lacking",
 * "stale" (wrapped for a key that it had before) or "no_key". Revoked ones are left out. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_content_key_devices(
    covey_fleet_client *client, const char *key_id, const char *after, bool lacking,
    covey_fleet_format format, char **text, covey_error *error);

#ifdef __cplusplus
}
#endif
#endif
