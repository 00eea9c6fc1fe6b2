/* A client of The Update Framework (TUF), specification 1.0.3x: metadata that says which files are
 * their publisher's, and fresh, against a stolen server, a stolen key, an old mirror and a wrong
 * clock. docs/trust.md says how Covey uses it. The agent does all of this by itself; an app needs
 * this header only for files of its own.
 *
 * One client is used by one thread at a time, and one process at a time refreshes a store. */
#ifndef COVEY_TUF_H
#define COVEY_TUF_H

#include <covey/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fields at 0 or NULL take the default. Strings are copied. */
typedef struct covey_tuf_options {
    size_t size;
    const char *store_dir;    /* the trusted metadata, byte for byte; made when absent. Required */
    const char *metadata_url; /* where N.root.json and the rest lie; a missing last '/' is added */
    const char *targets_url;  /* where targets lie; needed to fetch them alone */
    const char *floor_path;   /* the versions and the time seen, apart from the store; NULL: none */
    /* The first root, as it came with the app: where a lost or damaged store begins again. NULL
     * with 0 trusts only a root that the store holds. */
    const void *root;
    size_t root_size;
    const char *const *headers; /* "Name: value" lines for requests of metadata; never logged */
    size_t header_count;
    uint64_t root_bytes_max;      /* 512,000 */
    uint64_t timestamp_bytes_max; /* 16,384 */
    uint64_t snapshot_bytes_max;  /* 2,000,000 */
    uint64_t targets_bytes_max;   /* 5,000,000, of each targets role */
    uint32_t root_count_max;      /* new roots in one refresh: 256 */
    uint32_t role_count_max;      /* roles visited for one target, the top one included: 33 */
    uint32_t depth_max;           /* delegations below the top targets role: 8 */
    uint32_t connect_timeout_ms;  /* 10,000 */
    uint32_t idle_timeout_ms;     /* 30,000: no byte for so long is a failure */
    uint32_t metadata_timeout_ms; /* 60,000: one document, from the first byte to the last */
} covey_tuf_options;
#define COVEY_TUF_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(covey_tuf_options), NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0,  \
            0, 0, 0                                                                                \
    }

typedef struct covey_tuf covey_tuf;

/* Versions of the four top-level roles that are trusted; 0: none, or not looked at since an earlier
 * role failed. Frozen: it stands within covey_tuf_report. */
typedef struct covey_tuf_versions {
    int64_t root, timestamp, snapshot, targets;
} covey_tuf_versions;

/* What a refresh did, filled on failure too. */
typedef struct covey_tuf_report {
    size_t size;
    covey_tuf_versions before, after; /* what the store held, and holds */
    int64_t time_ms;        /* that expiry was held against: the clock's, or the floor's if later */
    bool time_is_floor;     /* the clock was behind the last time that was signed */
    int64_t expires_ms;     /* when the first of the trusted documents expires; 0 on failure */
    char expires_role[16];  /* which that is */
    uint32_t request_count; /* made so far by this client */
    uint64_t received_bytes; /* bodies, so far */
    char role[128];          /* the role that the failure is about, printable; else empty */
} covey_tuf_report;
#define COVEY_TUF_REPORT_INIT                                                                      \
    { sizeof(covey_tuf_report), {0, 0, 0, 0}, {0, 0, 0, 0}, 0, false, 0, "", 0, 0, "" }

/* A target as a trusted role describes it. Pointers are borrowed from the client until its next
 * search, refresh or end. */
typedef struct covey_tuf_target {
    size_t size;
    const char *name;
    const char *role; /* that speaks for it */
    uint64_t length;
    uint8_t sha256[32]; /* zeros when has_sha256 is false */
    const char *custom; /* the member "custom" as JSON; NULL when absent */
    size_t custom_size;
    bool has_sha256;       /* some repositories have SHA-512 alone; what is given must match */
    const uint8_t *sha512; /* 64 bytes; NULL when absent */
} covey_tuf_target;
#define COVEY_TUF_TARGET_INIT                                                                      \
    { sizeof(covey_tuf_target), NULL, NULL, 0, {0}, NULL, 0, false, NULL }

/* Puts a first root into a store, or replaces the one there: an act of the device's owner. What
 * else the store holds counts only if this root's keys signed it. FORMAT when it is no root,
 * SIGNATURE when it is not signed by its own keys. Nothing is asked over the network. */
COVEY_API COVEY_MUST_USE covey_status covey_tuf_init(covey_runtime *runtime, const char *store_dir,
                                                     const void *root, size_t root_size,
                                                     covey_error *error);

/* Opens a client. Nothing is read or asked yet. */
COVEY_API COVEY_MUST_USE covey_status covey_tuf_open(covey_runtime *runtime,
                                                     const covey_tuf_options *options,
                                                     covey_tuf **tuf, covey_error *error);
COVEY_API void covey_tuf_close(covey_tuf *tuf); /* NULL is allowed */

/* Brings the top-level metadata up to date: roots, then the timestamp, then what changed. Each
 * document is in the store before it is believed. `root_version_latest` is the newest root as
 * someone said who was just asked (0: unknown); it spares the question for a newer one. `report`
 * may be NULL.
 *
 * Failures leave what was trusted before, plus what was accepted on the way:
 *   EXPIRED    a document is no longer valid, and no newer one is to be had
 *   ROLLBACK   a document is older than one that was seen
 *   SIGNATURE  fewer good signatures than the threshold
 *   MISMATCH   its hash, length or version is not what another document says of it
 *   LIMIT      it is larger than allowed
 *   FORMAT     it is no such document
 *   NOT_FOUND  there is no root to begin with
 *   NETWORK, TIMEOUT, REMOTE: it was not to be had
 *   IO, NO_SPACE, NO_MEMORY: this device's own */
COVEY_API COVEY_MUST_USE covey_status covey_tuf_refresh(covey_tuf *tuf, int64_t root_version_latest,
                                                        covey_tuf_report *report,
                                                        covey_error *error);

/* Looks a target up, fetching the delegated roles on the way that changed. Refreshes first if
 * nothing was refreshed yet. NOT_FOUND when no trusted role describes it; else as refresh. */
COVEY_API COVEY_MUST_USE covey_status covey_tuf_find(covey_tuf *tuf, const char *name,
                                                     covey_tuf_target *target, covey_error *error);

/* Fetches a target to `path`, replaced atomically and only after its length and hash were checked.
 * Nothing is asked when the file there is the target already. */
COVEY_API COVEY_MUST_USE covey_status covey_tuf_download(covey_tuf *tuf,
                                                         const covey_tuf_target *target,
                                                         const char *path, covey_error *error);

/* The same into the caller's memory of at least target->length bytes; LIMIT when it is smaller. On
 * failure what was written there must not be used. */
COVEY_API COVEY_MUST_USE covey_status covey_tuf_download_to(covey_tuf *tuf,
                                                            const covey_tuf_target *target,
                                                            void *data, size_t capacity,
                                                            covey_error *error);

/* A file's name for any target's name: small letters, digits and "-_." stand (but a leading dot),
 * all else is percent-encoded, so that names stay apart on file systems that ignore case and none
 * leads out of its folder. A name that would be too long becomes "%_" and its SHA-256. */
#define COVEY_TUF_FILE_NAME_SIZE 200
COVEY_API void covey_tuf_file_name(const char *name, char out[COVEY_TUF_FILE_NAME_SIZE]);

/* What this client did since it was opened: the report of its last refresh with the counts of
 * now. */
COVEY_API void covey_tuf_get_report(const covey_tuf *tuf, covey_tuf_report *report);

#ifdef __cplusplus
}
#endif
#endif
