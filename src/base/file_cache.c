/* The page cache is shared with whoever serves, and what a background pass brings into it pushes
 * out what they need. So a read asks first which pages are there, and afterwards has the others
 * forgotten; the kernel's own read-ahead is switched off meanwhile, since what it brought would
 * look as if it had been there. (Where an ordinary read stopped within the file before, the kernel
 * may go on reading ahead from there: files of an update are read in passing alone.) Pages that a
 * process maps are never forgotten. Where the system does not tell what is there (Linux tells only
 * who may write the file), nothing is forgotten.
 *
 * Written bytes go in two steps, so that a writer can let one piece set out while it makes the
 * next: start, and later finish, which waits. One sync at the end would hold the disk, and on
 * file systems with a journal everyone's syncs, until gigabytes are out. */
#include "base/file_cache.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#if !defined(__wasi__)
#include <sys/mman.h>
#endif

#if defined(__linux__)

#define RESIDENT_BYTES (COVEY__PASS_BYTES / 4096 + 2)

/* Which pages of a range are in the cache: a byte for each. False when that is not told. */
static bool ask_resident(int descriptor, uint64_t first, size_t bytes, unsigned char *resident) {
    void *base = mmap(NULL, bytes, PROT_READ, MAP_SHARED, descriptor, (off_t)first);
    if (base == MAP_FAILED) return false;
    bool told = mincore(base, bytes, resident) == 0;
    munmap(base, bytes);
    return told;
}

/* One piece of at most COVEY__PASS_BYTES. */
static covey_status read_piece(const covey__env *env, int descriptor, const char *path,
                               uint64_t offset, void *data, size_t size, covey_error *error) {
    unsigned char resident[RESIDENT_BYTES];
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t first = offset - offset % page;
    size_t pages = (size_t)((offset + size - first + page - 1) / page);
    bool told = ask_resident(descriptor, first, pages * page, resident);
    covey_status status = covey__file_read_at(env, descriptor, path, offset, data, size, error);
    if (!told) return status;
    for (size_t i = 0, end; i < pages; i = end) {
        for (end = i + 1; end < pages && ((resident[end] ^ resident[i]) & 1) == 0;) end++;
        if ((resident[i] & 1) == 0)
            covey__file_forget(descriptor, first + i * page, (end - i) * page);
    }
    return status;
}

covey_status covey__file_read_passing(const covey__env *env, int descriptor, const char *path,
                                      uint64_t offset, void *data, size_t size,
                                      covey_error *error) {
    if (offset > INT64_MAX || size > INT64_MAX - offset)
        return covey__fail_path(error, EFBIG, "read", path);
    (void)posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM);
    covey_status status = COVEY_OK;
    for (size_t done = 0; status == COVEY_OK && done < size;) {
        size_t piece = size - done < COVEY__PASS_BYTES ? size - done : COVEY__PASS_BYTES;
        status =
            read_piece(env, descriptor, path, offset + done, (char *)data + done, piece, error);
        done += piece;
    }
    return status;
}

#else

covey_status covey__file_read_passing(const covey__env *env, int descriptor, const char *path,
                                      uint64_t offset, void *data, size_t size,
                                      covey_error *error) {
    return covey__file_read_at(env, descriptor, path, offset, data, size, error);
}

#endif

void covey__file_ahead(int descriptor, uint64_t offset, uint64_t size) {
#if defined(POSIX_FADV_WILLNEED)
    (void)posix_fadvise(descriptor, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
#else
    (void)descriptor;
    (void)offset;
    (void)size;
#endif
}

void covey__file_forget(int descriptor, uint64_t offset, uint64_t size) {
#if defined(POSIX_FADV_DONTNEED)
    (void)posix_fadvise(descriptor, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
#else
    (void)descriptor;
    (void)offset;
    (void)size;
#endif
}

/* ---- Towards the disk -------------------------------------------------------------------------
 */

covey_status covey__flush_start(const covey__env *env, int descriptor, const char *path,
                                uint64_t offset, uint64_t size, covey_error *error) {
    if (size == 0) return COVEY_OK;
    int code = covey__fault(env, "flush", path);
#if defined(SYNC_FILE_RANGE_WRITE)
    if (code == 0 &&
        sync_file_range(descriptor, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE) != 0)
        code = errno;
    /* A file system without it: finish does the work. */
    if (code == EINVAL || code == ENOSYS || code == ESPIPE || code == EINTR) code = 0;
#else
    (void)descriptor;
    (void)offset;
#endif
    return code == 0 ? COVEY_OK : covey__fail_path(error, code, "flush", path);
}

/* Waits for a range. ENOSYS where the system only knows whole files. */
static int wait_for_range(int descriptor, uint64_t offset, uint64_t size) {
#if defined(SYNC_FILE_RANGE_WRITE)
    const unsigned all =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    int code;
    do code = sync_file_range(descriptor, (off_t)offset, (off_t)size, all);
    while (code != 0 && errno == EINTR);
    return code == 0 ? 0 : errno;
#else
    (void)descriptor;
    (void)offset;
    (void)size;
    return ENOSYS;
#endif
}

covey_status covey__flush_finish(const covey__env *env, int descriptor, const char *path,
                                 uint64_t offset, uint64_t size, covey_error *error) {
    if (size == 0) return COVEY_OK;
    int code = covey__fault(env, "flush", path);
    if (code == 0) {
        code = wait_for_range(descriptor, offset, size);
        if (code == EINVAL || code == ENOSYS || code == ESPIPE) {
            do code = fsync(descriptor);
            while (code != 0 && errno == EINTR);
            if (code != 0) code = errno;
        }
    }
    if (code != 0) return covey__fail_path(error, code, "flush", path);
    /* From the start, since a page of the cache may be megabytes that reach over a range's border,
     * and leaves only as a whole. What is gone already costs nothing. */
    covey__file_forget(descriptor, 0, offset + size);
    return COVEY_OK;
}

covey_status covey__flush_written(const covey__env *env, covey__flush_window *window,
                                  int descriptor, const char *path, uint64_t offset, uint64_t size,
                                  covey_error *error) {
    if (window->bytes == 0 || offset < window->from) window->from = offset;
    if (window->bytes == 0 || offset + size > window->to) window->to = offset + size;
    window->bytes += size;
    if (window->bytes < COVEY__FLUSH_BYTES) return COVEY_OK;
    covey_status status =
        covey__flush_start(env, descriptor, path, window->from, window->to - window->from, error);
    if (status == COVEY_OK)
        status = covey__flush_finish(env, descriptor, path, window->started_from,
                                     window->started_to - window->started_from, error);
    window->started_from = window->from;
    window->started_to = window->to;
    window->bytes = 0;
    return status;
}
