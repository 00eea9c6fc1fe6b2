/* The TUF metadata that the control plane serves (docs/trust.md): a folder of documents. Root,
 * targets and delegated roles come signed from people; snapshot and timestamp are made here with
 * the online key. Any thread. */
#ifndef COVEY_FLEET_METADATA_H
#define COVEY_FLEET_METADATA_H

#include "base/buffer.h"
#include "trust/signer.h"
#include "trust/tuf_document.h"

#define COVEY__METADATA_BYTES_MAX    (8u << 20) /* of one document */
#define COVEY__METADATA_ROLE_SIZE    65
#define COVEY__METADATA_ROLE_COUNT   256
#define COVEY__METADATA_SNAPSHOT_MS  (INT64_C(30) * 86400000)
#define COVEY__METADATA_TIMESTAMP_MS (INT64_C(3) * 86400000)
#define COVEY__METADATA_RENEW_MS     (INT64_C(12) * 3600000) /* a timestamp's age */

typedef struct covey__metadata covey__metadata;

/* Reads what the folder holds (made when absent) and brings it to rest after a crash. `online` is
 * the signer of snapshot and timestamp, borrowed until close; NULL serves what is there and takes
 * nothing new. */
covey_status covey__metadata_open(const covey__env *env, const char *folder,
                                  const covey__signer *online, covey__metadata **metadata,
                                  covey_error *error) COVEY_MUST_USE;
void covey__metadata_close(covey__metadata *metadata);

/* A document as it came: "root", "targets" or a delegated role's name. */
typedef struct covey__metadata_document {
    const char *role;
    const void *data;
    size_t size;
} covey__metadata_document;

/* Takes all of them or none. The whole that results is checked as a device would, from the root on:
 * thresholds, versions that go up, expiry, a document for each delegation. Then a new snapshot and
 * timestamp name it; the timestamp is written last. Several roots in a row are allowed, in order.
 * SIGNATURE, ROLLBACK, EXPIRED, FORMAT or MISMATCH name the role; what is served stays. */
covey_status covey__metadata_accept(covey__metadata *metadata,
                                    const covey__metadata_document *documents, size_t count,
                                    int64_t now_ms, covey_error *error) COVEY_MUST_USE;

/* Makes the timestamp anew when it is older than COVEY__METADATA_RENEW_MS, and the snapshot when
 * half of its time is gone. Does nothing while there is no root. */
covey_status covey__metadata_renew(covey__metadata *metadata, int64_t now_ms,
                                   covey_error *error) COVEY_MUST_USE;

/* Appends a document by its name in the folder ("3.root.json", "timestamp.json"). NOT_FOUND for
 * what is not there, and for what is no such name. */
covey_status covey__metadata_read(covey__metadata *metadata, const char *name, covey__buffer *out,
                                  covey_error *error) COVEY_MUST_USE;

/* Versions of root and timestamp as served; 0 for none. */
typedef struct covey__metadata_versions {
    int64_t root, timestamp;
} covey__metadata_versions;
covey__metadata_versions covey__metadata_newest(covey__metadata *metadata);

/* What the metadata says of a target; NOT_FOUND when no role describes it. */
typedef struct covey__metadata_target {
    uint64_t length;
    uint8_t sha256[32];
    char role[COVEY__METADATA_ROLE_SIZE];
} covey__metadata_target;
covey_status covey__metadata_find(covey__metadata *metadata, const char *name,
                                  covey__metadata_target *target,
                                  covey_error *error) COVEY_MUST_USE;

/* One served role, for `keys status` and /metrics. */
typedef struct covey__metadata_role {
    char name[COVEY__METADATA_ROLE_SIZE];
    int64_t version, expires_ms, threshold;
    size_t key_count;
} covey__metadata_role;
/* Calls `each` for root, timestamp, snapshot, targets and every delegation, in that order. */
void covey__metadata_each(covey__metadata *metadata,
                          void (*each)(void *user, const covey__metadata_role *role), void *user);

#endif
