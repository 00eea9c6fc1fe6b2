/* Room on a disk: how much there is, keeping some for a file before its bytes come, sharing blocks
 * between files, giving blocks back. What each system promises is in docs/base.md. Fault points:
 * "statvfs", "fallocate", "clone", "copy", "punch". */
#ifndef COVEY_BASE_FILE_SPACE_H
#define COVEY_BASE_FILE_SPACE_H

#include "base/file.h"

/* The file system that holds a path. */
typedef struct covey__volume {
    uint64_t available_bytes; /* for this user: without what is kept back for the super-user; a
                                 quota that the system does not tell here is met when reserving */
    uint64_t total_bytes;
    uint32_t block_bytes; /* blocks begin at its multiples: what can be shared and punched */
} covey__volume;
covey_status covey__volume_read(const covey__env *env, const char *path, covey__volume *volume,
                                covey_error *error) COVEY_MUST_USE;

/* Bytes on the disk that the file at `path` holds, which is less than its size where it has holes;
 * 0 when there is none. */
covey_status covey__file_taken(const covey__env *env, const char *path, uint64_t *bytes,
                               covey_error *error) COVEY_MUST_USE;

/* The same, of all files below a folder; links are not followed. What cannot be read is not
 * counted. */
uint64_t covey__tree_taken(const covey__env *env, const char *path);

/* Makes the file at least `size` bytes long with blocks for all of it; what it holds stays, and
 * nothing is written. `*promised` is false where the system can keep no blocks: then the file only
 * has its size, and a write may still find the disk full. NO_SPACE leaves the file as it was; the
 * error has what was still to come and what is free. */
covey_status covey__file_reserve(const covey__env *env, int descriptor, const char *path,
                                 uint64_t size, bool *promised, covey_error *error) COVEY_MUST_USE;

/* A range of an open file. */
typedef struct covey__file_place {
    int descriptor;
    const char *path; /* for messages */
    uint64_t offset;
} covey__file_place;

/* Has both ranges stand on the same blocks. `*shared` is false, and nothing changed, where the
 * system cannot: other file systems, or ranges that do not begin and end at blocks. */
covey_status covey__file_share_range(const covey__env *env, const covey__file_place *from,
                                     const covey__file_place *to, uint64_t size, bool *shared,
                                     covey_error *error) COVEY_MUST_USE;

typedef enum covey__copy_way {
    COVEY__COPY_SHARED, /* both files have the same blocks: no bytes moved, no room taken */
    COVEY__COPY_SYSTEM, /* the system copied (or shared: it does not say) */
    COVEY__COPY_READ    /* read and written */
} covey__copy_way;
/* The cheapest way that this system offers. Both ranges must lie in their files, or the target's at
 * its end; they do not overlap. FORMAT when the source ends before. `way` may be NULL. */
covey_status covey__file_copy_range(const covey__env *env, const covey__file_place *from,
                                    const covey__file_place *to, uint64_t size,
                                    covey__copy_way *way, covey_error *error) COVEY_MUST_USE;

/* Gives back the whole blocks in a range, which reads as zeros from then on; the file keeps its
 * size. `*freed` is false, and nothing changed, where the system cannot. */
covey_status covey__file_punch(const covey__env *env, int descriptor, const char *path,
                               uint64_t offset, uint64_t size, bool *freed,
                               covey_error *error) COVEY_MUST_USE;

/* Gives back blocks that were reserved and never written: the file keeps its size and its bytes.
 * Does nothing where the system cannot tell them. Fault point "punch". */
covey_status covey__file_unreserve(const covey__env *env, int descriptor, const char *path,
                                   covey_error *error) COVEY_MUST_USE;

#endif
