/* Patches (docs/formats/patch.md): making one from two files, and applying one while it arrives.
 * Neither takes more memory for a larger file: make maps its files and holds a few parts, apply
 * holds the patch's head and one frame. docs/delta.md says which file does what. */
#ifndef COVEY_DELTA_PATCH_H
#define COVEY_DELTA_PATCH_H

#include "delta/patch_head.h"

/* --- Making --- */

/* Called now and then with bytes of work done of `total`; anything but COVEY_OK stops. */
typedef covey_status (*covey__patch_progress_fn)(void *user, uint64_t done, uint64_t total);

typedef struct covey__patch_options {
    covey__patch_progress_fn progress; /* may be NULL */
    void *progress_user;
} covey__patch_options;

typedef struct covey__patch_stats {
    uint64_t old_size, new_size;
    uint64_t patch_size; /* of the whole patch file */
    uint64_t head_size;
    uint8_t head_sha256[32];            /* of the first head_size bytes */
    uint64_t bytes[COVEY__PATCH_KINDS]; /* of the new file, by kind of part */
} covey__patch_stats;

/* Writes the patch that turns the file at old_path into that at new_path; it appears whole or not
 * at all. Any two files will do, empty ones too. `options` and `stats` may be NULL. Under 64 MiB of
 * memory beside the mapped files. */
covey_status covey__patch_make(const covey__env *env, const char *old_path, const char *new_path,
                               const char *patch_path, const covey__patch_options *options,
                               covey__patch_stats *stats, covey_error *error) COVEY_MUST_USE;

/* --- Applying --- */

/* The old file: bytes at an offset, of a file or of what a caller decrypts on the way. `read` gives
 * exactly `size` bytes or fails. */
typedef struct covey__patch_source {
    covey_status (*read)(void *user, uint64_t offset, void *data, size_t size, covey_error *error);
    void *user;
    uint64_t size; /* of the whole file */
} covey__patch_source;

/* The new file, written from front to back in pieces of at most 2 MiB. `read` gives back what
 * stands there: needed by covey__patch_apply_scan alone, else NULL; it fails where the file ends
 * before. `frame_done` (may be NULL) is told each time a frame's bytes have all been written. */
typedef struct covey__patch_target {
    covey_status (*write)(void *user, uint64_t offset, const void *data, size_t size,
                          covey_error *error);
    covey_status (*read)(void *user, uint64_t offset, void *data, size_t size, covey_error *error);
    covey_status (*frame_done)(void *user, uint64_t new_offset, covey_error *error);
    void *user;
} covey__patch_target;

/* An open file as source or target: set the first four, then make the one or the other of it. */
typedef struct covey__patch_file {
    const covey__env *env;
    int descriptor;
    const char *path;        /* for messages */
    bool passing;            /* its bytes leave the system's cache as it was (base/file_cache.h) */
    uint64_t flushed, begun; /* target: up to where bytes are on the disk, or on their way */
} covey__patch_file;
covey_status covey__patch_file_source(covey__patch_file *file, covey__patch_source *source,
                                      covey_error *error) COVEY_MUST_USE; /* asks for the size */
void covey__patch_file_target(covey__patch_file *file, covey__patch_target *target);

typedef struct covey__patch_apply_options {
    covey__patch_source old_file;
    covey__patch_target new_file;
    /* What a signed document says of the head and of the two files: MISMATCH, before a byte of the
     * directory is read, when the patch has others. NULL or 0 where nobody said. */
    const uint8_t *head_sha256; /* 32 bytes */
    uint64_t head_size;
    const uint8_t *old_sha256, *new_sha256;
    bool trust_digests; /* for fuzzing: digests are believed, not computed */
} covey__patch_apply_options;

typedef struct covey__patch_apply covey__patch_apply;

/* Where an apply stands. */
typedef struct covey__patch_position {
    uint64_t next;                 /* offset in the patch of the byte that feed expects next */
    uint64_t patch_offset;         /* the last frame border: where to go on from after a break */
    uint64_t new_offset;           /* how much of the new file is written, at that border */
    uint64_t patch_size, new_size; /* of the whole, 0 until the head is there */
    uint32_t frame, frame_count;
} covey__patch_position;

covey_status covey__patch_apply_open(const covey__env *env,
                                     const covey__patch_apply_options *options,
                                     covey__patch_apply **apply,
                                     covey_error *error) COVEY_MUST_USE; /* options are copied */
void covey__patch_apply_close(covey__patch_apply *apply);                /* NULL is allowed */

/* The patch's next bytes, in any pieces. A frame is made as soon as its payload is whole and has
 * its digest; of a part whose old bytes or result differ from their digests nothing is written.
 * FORMAT and MISMATCH (with the tensor's name) are final: the patch, or the base, is not the right
 * one. What read and write return comes back as it is: go on feeding at position's `next`, which
 * may be nothing but the same frame again (a feed of 0 bytes). More bytes than the patch has are
 * FORMAT. */
covey_status covey__patch_apply_feed(covey__patch_apply *apply, const void *data, size_t size,
                                     covey_error *error) COVEY_MUST_USE;
void covey__patch_apply_position(const covey__patch_apply *apply, covey__patch_position *position);
/* NULL until the head has been fed. */
const covey__patch_head *covey__patch_apply_head(const covey__patch_apply *apply);

/* After a break: feed the head again (patch bytes 0 to head_size and no more), then this. It reads
 * the new file as far as it is there and holds it, part by part, against the digests; the first
 * frame that is not there whole is where feed goes on, at position's `next`. So nothing needs to be
 * remembered, and a write that a power cut lost is found. */
covey_status covey__patch_apply_scan(covey__patch_apply *apply, covey_error *error) COVEY_MUST_USE;

/* After the last byte: MISMATCH unless all frames are made and the new file's SHA-256 is what the
 * head says; the digest was computed on the way. Syncing the file is the caller's. */
covey_status covey__patch_apply_finish(covey__patch_apply *apply,
                                       covey_error *error) COVEY_MUST_USE;

/* All of the above for three paths: the new file appears whole or not at all. MISMATCH with both
 * digests when old_path is not the patch's base. */
covey_status covey__patch_apply_files(const covey__env *env, const char *old_path,
                                      const char *patch_path, const char *new_path,
                                      const covey__patch_options *options,
                                      covey_error *error) COVEY_MUST_USE;

#endif
