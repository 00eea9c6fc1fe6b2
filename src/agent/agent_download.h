/* Downloads: blobs by their digest, several at once, from whichever mirror serves them.
 *
 * Invariants:
 *  1. What is handed to `take` has the size and the SHA-256 that were asked for. What is handed to
 *     `data` comes in order, each byte once, never more than `size`, wherever the lines broke.
 *  2. A part of a blob that is kept over a cut is a file named after the blob, and its length is
 *     the only record; its bytes count for nothing before the whole blob's digest is right.
 *  3. A mirror that sent wrong bytes is named through `note`, and asked again last.
 *  4. Nothing is received while the rate has no room, and nothing after the deadline: what is under
 *     way then stays under way and holds its sender back.
 *
 * Neighbours: download_mirrors.h chooses where from, download_rate.h how fast; agent_fetch.c feeds
 * it with chunks. One thread at a time. */
#ifndef COVEY_AGENT_AGENT_DOWNLOAD_H
#define COVEY_AGENT_AGENT_DOWNLOAD_H

#include "agent/download_mirrors.h"
#include "agent/download_rate.h"
#include "base/env.h"
#include "base/sha256.h"

#define COVEY__DOWNLOAD_WHOLE_MAX    (16u << 20) /* bytes of a blob that is kept in memory */
#define COVEY__DOWNLOAD_IN_FLIGHT    4
#define COVEY__DOWNLOAD_PARTIALS_MAX 16 /* files of parts that may lie in the folder */

typedef struct covey__download covey__download;

/* A blob to be fetched; copied by covey__download_add. Either `take` is set, or `data` and `done`.
 * They may not call the functions below. */
typedef struct covey__download_item {
    uint8_t sha256[32]; /* its name */
    uint64_t size;      /* its bytes, at least 1; at most COVEY__DOWNLOAD_WHOLE_MAX with `take` */
    /* The whole blob, verified; borrowed for the call. What it returns but COVEY_OK ends the run
     * with that. */
    covey_status (*take)(void *user, const struct covey__download_item *item, const void *data,
                         covey_error *error);
    /* A piece that begins at byte `offset` of the blob, each following the one before; not verified
     * yet. What it returns but COVEY_OK ends the run with that. */
    covey_status (*data)(void *user, const struct covey__download_item *item, uint64_t offset,
                         const void *data, size_t size, covey_error *error);
    /* With `data`: how many bytes of the blob the caller has (not all), and the digest's state
     * after them; the engine goes on from both. */
    uint64_t first;
    covey__sha256 hash;
    /* With `data`, at the end: COVEY_OK, the digest is right. COVEY_ERROR_MISMATCH: it is not; the
     * caller drops all bytes, and returns COVEY_OK to have the blob from byte 0 again. */
    covey_status (*done)(void *user, const struct covey__download_item *item, covey_status status,
                         covey_error *error);
    void *user;
    size_t tag; /* the caller's */
} covey__download_item;

/* A sentence for the log, the control plane and the status: a mirror that sent wrong bytes, say. */
typedef void (*covey__download_note_fn)(void *user, const char *mirror, const char *message);

typedef struct covey__download_options {
    const char *partial_folder;   /* where parts are kept, "partial.HEX"; NULL: nowhere */
    covey__mirrors *mirrors;      /* borrowed */
    covey__rate *rate;            /* borrowed; NULL: no ceiling */
    const covey__stop_flag *stop; /* set by another thread: the run ends with CANCELLED; or NULL */
    size_t in_flight_max;         /* 0: COVEY__DOWNLOAD_IN_FLIGHT */
    uint32_t stall_ms;            /* no byte for so long: tried elsewhere; 0: 15 s */
    covey__download_note_fn note; /* may be NULL */
    void *note_user;
} covey__download_options;

covey_status covey__download_new(const covey__env *env, const covey__download_options *options,
                                 covey__download **download, covey_error *error) COVEY_MUST_USE;
/* Cancels what is under way and keeps its parts. NULL is allowed. */
void covey__download_free(covey__download *download);

/* How many more blobs it takes now. */
size_t covey__download_room(const covey__download *download);
/* LIMIT when there is no room. */
covey_status covey__download_add(covey__download *download, const covey__download_item *item,
                                 covey_error *error) COVEY_MUST_USE;
/* Whether a blob of that name is on its way. */
bool covey__download_has(const covey__download *download, const uint8_t sha256[32]);

/* Goes on until there is room for `room` more blobs, or until the deadline (monotonic; 0: only
 * takes what is there, without waiting). All of it is done when room is COVEY__DOWNLOAD_ALL. Ends
 * with an error once no mirror serves a blob: REMOTE with the HTTP status in `found` (410 where all
 * said 410, 404 where all said either), NETWORK, TIMEOUT, MISMATCH; `retry_after_ms` of the
 * download then says when a mirror may be asked again. Everything else that is under way is then
 * cancelled and its parts are kept; the blobs are forgotten, and may be added again. */
#define COVEY__DOWNLOAD_ALL SIZE_MAX
covey_status covey__download_run(covey__download *download, int64_t deadline_us, size_t room,
                                 bool *done, covey_error *error) COVEY_MUST_USE;
/* Cancels and forgets all blobs, and keeps their parts. */
void covey__download_stop(covey__download *download);

typedef struct covey__download_counts {
    uint64_t received_bytes; /* over the network, all of it */
    uint64_t useful_bytes;   /* of it, what was not thrown away; may shrink when it is */
    uint64_t kept_bytes;     /* of blobs that were added, what parts on the disk spared */
    uint32_t retry_after_ms; /* after a run that failed: not before; 0 when no one said */
} covey__download_counts;
covey__download_counts covey__download_count(const covey__download *download);

#endif
