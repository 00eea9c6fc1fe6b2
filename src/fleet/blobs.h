/* The blob folder: immutable files named by the SHA-256 of their bytes. */
#ifndef COVEY_FLEET_BLOBS_H
#define COVEY_FLEET_BLOBS_H

#include "base/buffer.h"
#include "base/sha256.h"

/* Room for the largest chunk index; a chunk itself has at most 1 MiB. */
#define COVEY__BLOB_BYTES_MAX (16u << 20)

typedef struct covey__blobs {
    const covey__env *env;
    char *folder;   /* …/blobs */
    char *incoming; /* …/blobs/incoming: what is not yet whole */
} covey__blobs;

/* Makes the folders and drops what an interrupted upload left. */
covey_status covey__blobs_open(const covey__env *env, const char *folder, covey__blobs *blobs,
                               covey_error *error) COVEY_MUST_USE;
void covey__blobs_close(covey__blobs *blobs);

/* Whether it is here and whole: its bytes are read and held against its name. */
bool covey__blob_has(const covey__blobs *blobs, const uint8_t sha256[32]);
/* Opens it for reading: NOT_FOUND when it is not here. The caller closes the descriptor. */
covey_status covey__blob_open(const covey__blobs *blobs, const uint8_t sha256[32], int *descriptor,
                              uint64_t *size, covey_error *error) COVEY_MUST_USE;
/* Appends its bytes and holds them against its name: MISMATCH when the disk changed them. */
covey_status covey__blob_read(const covey__blobs *blobs, const uint8_t sha256[32],
                              covey__buffer *out, covey_error *error) COVEY_MUST_USE;
covey_status covey__blob_size(const covey__blobs *blobs, const uint8_t sha256[32], uint64_t *size,
                              covey_error *error) COVEY_MUST_USE;

/* A blob on its way in. Nobody sees it before `finish` returned COVEY_OK; `abort` or a failure
 * leaves nothing. After `begin` exactly one of the two must be called. */
typedef struct covey__blob_upload {
    const covey__blobs *blobs;
    uint8_t sha256[32];
    covey__sha256 hash;
    uint64_t size;
    int descriptor; /* -1 when nothing is under way */
    char *path;
} covey__blob_upload;
covey_status covey__blob_begin(const covey__blobs *blobs, const uint8_t sha256[32],
                               covey__blob_upload *upload, covey_error *error) COVEY_MUST_USE;
/* LIMIT beyond COVEY__BLOB_BYTES_MAX. */
covey_status covey__blob_write(covey__blob_upload *upload, const void *data, size_t size,
                               covey_error *error) COVEY_MUST_USE;
/* MISMATCH when the bytes are not what the name says. Durable on COVEY_OK. */
covey_status covey__blob_finish(covey__blob_upload *upload, covey_error *error) COVEY_MUST_USE;
void covey__blob_abort(covey__blob_upload *upload);

#endif
