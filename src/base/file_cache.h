/* Passing over big files beside someone who serves: bytes that are read or written once leave the
 * system's page cache as it was, and reach the disk in pieces, so that no sync of gigabytes stalls
 * others. Fault points: "read" and "flush"; hints have none, since nothing depends on them. */
#ifndef COVEY_BASE_FILE_CACHE_H
#define COVEY_BASE_FILE_CACHE_H

#include "base/file.h"

#define COVEY__PASS_BYTES (1u << 20) /* a good size of one read */

/* As covey__file_read_at, but pages that only this read brought into the cache go again. The
 * descriptor is set to no read-ahead: read COVEY__PASS_BYTES at a time. */
covey_status covey__file_read_passing(const covey__env *env, int descriptor, const char *path,
                                      uint64_t offset, void *data, size_t size,
                                      covey_error *error) COVEY_MUST_USE;

/* Reading goes on from `offset`: the system may begin before it is asked. */
void covey__file_ahead(int descriptor, uint64_t offset, uint64_t size);
/* Pages of the range that no process maps and that are on the disk leave the cache; size 0: up to
 * the file's end. */
void covey__file_forget(int descriptor, uint64_t offset, uint64_t size);

/* Bytes that were written set out for the disk; returns at once, as far as the system can. */
covey_status covey__flush_start(const covey__env *env, int descriptor, const char *path,
                                uint64_t offset, uint64_t size, covey_error *error) COVEY_MUST_USE;
/* Waits until they are there, and has them and what stands before them leave the cache. No promise
 * against a power cut: that is covey__file_sync's, which has little left to do then. Like after a
 * failed sync, bytes of a file for which this failed must be written again. */
covey_status covey__flush_finish(const covey__env *env, int descriptor, const char *path,
                                 uint64_t offset, uint64_t size, covey_error *error) COVEY_MUST_USE;

/* Both for a file that is written piece by piece, in any order: told of each, it has what was
 * written COVEY__FLUSH_BYTES before set out, and waits for what set out before that. So at most
 * twice as much is on its way, and the last sync finds little. Begins zeroed, one a file. */
#define COVEY__FLUSH_BYTES (8u << 20)
typedef struct covey__flush_window {
    uint64_t from, to, bytes;          /* written since the last start, within [from, to) */
    uint64_t started_from, started_to; /* on its way */
} covey__flush_window;
covey_status covey__flush_written(const covey__env *env, covey__flush_window *window,
                                  int descriptor, const char *path, uint64_t offset, uint64_t size,
                                  covey_error *error) COVEY_MUST_USE;

#endif
