/* Read-only maps of files. A map begins at a page, so one with an offset keeps the page's start
 * beside the byte that was asked for. An empty range has no pages: its data is a byte of our own.
 * Memory that stands in a file's place is made here too. Neighbour: file.c. */
#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const _Alignas(64) uint8_t nothing[1] = {0};

static covey_status map_range(const covey__env *env, int descriptor, const char *name,
                              uint64_t offset, uint64_t length, covey__map *map,
                              covey_error *error) {
    memset(map, 0, sizeof *map);
    map->data = nothing;
    if (length == 0) return COVEY_OK;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t before = offset % page;
    uint64_t bytes = before + length; /* cannot overflow: both lie within the file */
    if (bytes > SIZE_MAX / 2)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, INT64_MAX, (int64_t)(bytes / 2),
                                 "%s: too large to map here", name);
    int fault = covey__fault(env, "map", name);
    if (fault != 0) return covey__fail_path(error, fault, "map", name);
    void *base =
        mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, descriptor, (off_t)(offset - before));
    if (base == MAP_FAILED) return covey__fail_path(error, errno, "map", name);
    map->base = base;
    map->base_size = (size_t)bytes;
    map->data = (const uint8_t *)base + before;
    map->size = (size_t)length;
    map->end = offset + length;
    /* Without a descriptor left, the map works all the same; only a shrinking file goes unseen. */
#if defined(F_DUPFD_CLOEXEC)
    map->descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    map->has_descriptor = map->descriptor >= 0;
#endif
    return COVEY_OK;
}

static covey_status map_named(const covey__env *env, int descriptor, const char *name,
                              uint64_t offset, uint64_t length, covey__map *map,
                              covey_error *error) {
    struct stat info;
    int fault = covey__fault(env, "stat", name);
    if (fault != 0 || fstat(descriptor, &info) != 0)
        return covey__fail_path(error, fault != 0 ? fault : errno, "stat", name);
    if (!S_ISREG(info.st_mode))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "%s: expected a file, found %s",
                           name, S_ISDIR(info.st_mode) ? "a folder" : "something else");
    uint64_t size = (uint64_t)info.st_size;
    if (offset > size || length > size - offset)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: has %" PRIu64 " bytes, expected %" PRIu64 " from byte %" PRIu64,
                           name, size, length, offset);
    return map_range(env, descriptor, name, offset, length > 0 ? length : size - offset, map,
                     error);
}

covey_status covey__map_path(const covey__env *env, const char *path, covey__map *map,
                             covey_error *error) {
    memset(map, 0, sizeof *map);
    int descriptor;
    covey_status status = covey__file_open(env, path, O_RDONLY | O_NONBLOCK, 0, &descriptor, error);
    if (status != COVEY_OK) return status;
    char shown[240];
    covey__printable(path, strlen(path), shown, sizeof shown);
    status = map_named(env, descriptor, shown, 0, 0, map, error);
    close(descriptor);
    return status;
}

covey_status covey__map_descriptor(const covey__env *env, int descriptor, uint64_t offset,
                                   uint64_t length, covey__map *map, covey_error *error) {
    memset(map, 0, sizeof *map);
    return map_named(env, descriptor, "descriptor", offset, length, map, error);
}

covey_status covey__map_check(const covey__map *map, covey_error *error) {
    struct stat info;
    if (!map->has_descriptor) return COVEY_OK;
    if (fstat(map->descriptor, &info) != 0)
        return covey__fail_errno(error, errno, "the mapped file cannot be looked at");
    if ((uint64_t)info.st_size >= map->end) return COVEY_OK;
    return covey__fail_sizes(error, COVEY_ERROR_MISMATCH, (int64_t)map->end, info.st_size,
                             "the file shrank while it was in use: %" PRIu64
                             " bytes are mapped, %" PRId64
                             " are left; restore it and open it again",
                             map->end, (int64_t)info.st_size);
}

void covey__map_close(covey__map *map) {
    if (map == NULL) return;
    if (map->base != NULL) munmap(map->base, map->base_size);
    if (map->has_descriptor) close(map->descriptor);
    memset(map, 0, sizeof *map);
}

covey_status covey__map_memory(const covey__env *env, size_t size, covey__map *map,
                               covey_error *error) {
    memset(map, 0, sizeof *map);
    map->data = nothing;
    if (size == 0) return COVEY_OK;
    int fault = covey__fault(env, "map", "memory");
    if (fault != 0 || size > SIZE_MAX / 2) return covey__no_memory(error, "memory", size);
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return covey__no_memory(error, "memory", size);
#if defined(MADV_DONTDUMP)
    (void)madvise(base, size, MADV_DONTDUMP);
#endif
#if !defined(__wasi__)
    (void)mlock(base, size); /* most processes may not lock so much; then it may be swapped */
#endif
    map->base = base;
    map->base_size = size;
    map->data = base;
    map->size = size;
    map->end = size;
    return COVEY_OK;
}

covey_status covey__map_settle(covey__map *map, covey_error *error) {
#if !defined(__wasi__)
    if (map->base != NULL && mprotect(map->base, map->base_size, PROT_READ) != 0)
        return covey__fail_errno(error, errno, "memory cannot be made read-only");
#else
    (void)map;
    (void)error;
#endif
    return COVEY_OK;
}
