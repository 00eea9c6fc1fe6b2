/* Files by descriptor and by path. Every system call passes its fault point first, is repeated on
 * EINTR, and fails with the path in the message. Descriptors are never inherited by programs that
 * the app starts. Neighbours: file_replace.c (atomic replacement), folder.c, map.c, file_lock.c. */
#include "base/file.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_PIECE 65536
#define CALL_BYTES ((size_t)1 << 30) /* Linux moves at most 2 GiB a call */
#define PATH_SHOWN 240

covey_status covey__fail_path(covey_error *error, int errno_value, const char *what,
                              const char *path) {
    char shown[PATH_SHOWN];
    covey__printable(path, strlen(path), shown, sizeof shown);
    return covey__fail_errno(error, errno_value, "%s: %s", shown, what);
}

covey_status covey__file_open(const covey__env *env, const char *path, int flags, int mode,
                              int *descriptor, covey_error *error) {
    int fault = covey__fault(env, "open", path);
    if (fault != 0) return covey__fail_path(error, fault, "open", path);
    int opened;
    do opened = open(path, flags | O_CLOEXEC, mode);
    while (opened < 0 && errno == EINTR);
    if (opened < 0) return covey__fail_path(error, errno, "open", path);
    *descriptor = opened;
    return COVEY_OK;
}

/* The offset type is signed: what lies beyond it cannot be in a file. */
static bool fits_offset(uint64_t offset, size_t size) {
    uint64_t end;
    return covey__add_u64(offset, size, &end) && end <= INT64_MAX;
}

covey_status covey__file_write_at(const covey__env *env, int descriptor, const char *path,
                                  uint64_t offset, const void *data, size_t size,
                                  covey_error *error) {
    if (!fits_offset(offset, size)) return covey__fail_path(error, EFBIG, "write", path);
    const char *bytes = data;
    while (size > 0) {
        int fault = covey__fault(env, "write", path);
        if (fault != 0) return covey__fail_path(error, fault, "write", path);
        ssize_t done =
            pwrite(descriptor, bytes, size < CALL_BYTES ? size : CALL_BYTES, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return covey__fail_path(error, done < 0 ? errno : EIO, "write", path);
        bytes += done;
        offset += (uint64_t)done;
        size -= (size_t)done;
    }
    return COVEY_OK;
}

covey_status covey__file_read_at(const covey__env *env, int descriptor, const char *path,
                                 uint64_t offset, void *data, size_t size, covey_error *error) {
    if (!fits_offset(offset, size)) return covey__fail_path(error, EFBIG, "read", path);
    char *bytes = data;
    uint64_t wanted_end = offset + size;
    while (size > 0) {
        int fault = covey__fault(env, "read", path);
        if (fault != 0) return covey__fail_path(error, fault, "read", path);
        ssize_t done =
            pread(descriptor, bytes, size < CALL_BYTES ? size : CALL_BYTES, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return covey__fail_path(error, errno, "read", path);
        if (done == 0) {
            char shown[PATH_SHOWN];
            covey__printable(path, strlen(path), shown, sizeof shown);
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "%s: ends at byte %" PRIu64 ", expected at least %" PRIu64, shown,
                               offset, wanted_end);
        }
        bytes += done;
        offset += (uint64_t)done;
        size -= (size_t)done;
    }
    return COVEY_OK;
}

covey_status covey__file_facts(const covey__env *env, int descriptor, const char *path,
                               struct stat *facts, covey_error *error) {
    int fault = covey__fault(env, "stat", path);
    if (fault == 0 && fstat(descriptor, facts) != 0) fault = errno;
    return fault == 0 ? COVEY_OK : covey__fail_path(error, fault, "stat", path);
}

covey_status covey__file_truncate(const covey__env *env, int descriptor, const char *path,
                                  uint64_t size, covey_error *error) {
    if (!fits_offset(size, 0)) return covey__fail_path(error, EFBIG, "truncate", path);
    int code;
    do {
        code = covey__fault(env, "truncate", path);
        if (code == 0 && ftruncate(descriptor, (off_t)size) != 0) code = errno;
    } while (code == EINTR);
    return code == 0 ? COVEY_OK : covey__fail_path(error, code, "truncate", path);
}

covey_status covey__file_sync(const covey__env *env, int descriptor, const char *path,
                              covey_error *error) {
    int fault = covey__fault(env, "fsync", path);
    if (fault != 0) return covey__fail_path(error, fault, "fsync", path);
    int code;
    do
#if defined(F_FULLFSYNC) /* where fsync alone leaves bytes in the drive's cache */
        code = fcntl(descriptor, F_FULLFSYNC);
#else
        code = fsync(descriptor);
#endif
    while (code != 0 && errno == EINTR);
    return code == 0 ? COVEY_OK : covey__fail_path(error, errno, "fsync", path);
}

covey_status covey__file_rename(const covey__env *env, const char *from, const char *to,
                                covey_error *error) {
    int fault = covey__fault(env, "rename", to);
    if (fault != 0) return covey__fail_path(error, fault, "rename", to);
    if (rename(from, to) != 0) return covey__fail_path(error, errno, "rename", to);
    return COVEY_OK;
}

covey_status covey__file_remove(const covey__env *env, const char *path, covey_error *error) {
    int fault = covey__fault(env, "unlink", path);
    if (fault != 0) return covey__fail_path(error, fault, "unlink", path);
    if (unlink(path) != 0 && errno != ENOENT) return covey__fail_path(error, errno, "unlink", path);
    return COVEY_OK;
}

covey_status covey__file_find(const covey__env *env, const char *path, bool *is_there,
                              covey_error *error) {
    struct stat info;
    int code = covey__fault(env, "stat", path);
    if (code == 0 && stat(path, &info) != 0) code = errno;
    *is_there = code == 0;
    if (code == 0 || code == ENOENT || code == ENOTDIR) return COVEY_OK;
    return covey__fail_path(error, code, "stat", path);
}

bool covey__file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

static covey_status fail_not_regular(covey_error *error, const char *path, mode_t mode) {
    char shown[PATH_SHOWN];
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "%s: expected a file, found %s",
                       covey__printable(path, strlen(path), shown, sizeof shown),
                       S_ISDIR(mode) ? "a folder" : "something else");
}

covey_status covey__file_size(const covey__env *env, const char *path, uint64_t *size,
                              covey_error *error) {
    int fault = covey__fault(env, "stat", path);
    if (fault != 0) return covey__fail_path(error, fault, "stat", path);
    struct stat info;
    if (stat(path, &info) != 0) return covey__fail_path(error, errno, "stat", path);
    if (!S_ISREG(info.st_mode)) return fail_not_regular(error, path, info.st_mode);
    *size = (uint64_t)info.st_size;
    return COVEY_OK;
}

/* Appends all that the descriptor still gives. Sizes are not believed: files of /proc say 0. */
static covey_status read_all(const covey__env *env, int descriptor, const char *path, size_t hint,
                             covey__buffer *out, covey_error *error) {
    size_t piece = hint;
    for (;;) {
        size_t left = out->size_max - out->size;
        if (piece > left) piece = left;
        char extra; /* at the cap: is there one byte more? */
        char *room = left > 0 ? covey__buffer_reserve(out, piece) : &extra;
        if (room == NULL) return covey__buffer_check(out, error, path);
        int fault = covey__fault(env, "read", path);
        if (fault != 0) return covey__fail_path(error, fault, "read", path);
        ssize_t done = read(descriptor, room, left > 0 ? piece : 1);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return covey__fail_path(error, errno, "read", path);
        if (done == 0) return COVEY_OK;
        if (left == 0) {
            out->status = COVEY_ERROR_LIMIT;
            return covey__buffer_check(out, error, path);
        }
        out->size += (size_t)done;
        out->data[out->size] = '\0';
        piece = READ_PIECE;
    }
}

covey_status covey__file_read(const covey__env *env, const char *path, covey__buffer *out,
                              covey_error *error) {
    covey_status status = covey__buffer_check(out, error, path);
    if (status != COVEY_OK) return status;
    int descriptor;
    /* not blocking, so that opening a pipe by mistake does not hang */
    status = covey__file_open(env, path, O_RDONLY | O_NONBLOCK, 0, &descriptor, error);
    if (status != COVEY_OK) return status;
    size_t size_before = out->size;
    struct stat info;
    status = covey__file_facts(env, descriptor, path, &info, error);
    if (status == COVEY_OK && !S_ISREG(info.st_mode))
        status = fail_not_regular(error, path, info.st_mode);
    if (status == COVEY_OK && (uint64_t)info.st_size > out->size_max - out->size) {
        char shown[PATH_SHOWN];
        out->status = COVEY_ERROR_LIMIT;
        status = covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)out->size_max, info.st_size,
                                   "%s: has %" PRIu64 " bytes, more than the limit of %zu",
                                   covey__printable(path, strlen(path), shown, sizeof shown),
                                   (uint64_t)info.st_size, out->size_max);
    }
    if (status == COVEY_OK) {
        /* one byte more than the size, so that the end shows in the second read */
        status = read_all(env, descriptor, path, (size_t)info.st_size + 1, out, error);
    }
    close(descriptor);
    if (status != COVEY_OK && out->size != size_before) {
        out->size = size_before;
        if (out->data != NULL) out->data[size_before] = '\0';
    }
    return status;
}

char *covey__path_join(const covey__env *env, const char *folder, const char *name) {
    size_t size = strlen(folder);
    const char *slash = size > 0 && folder[size - 1] != '/' ? "/" : "";
    return covey__format(env, "%s%s%s", folder, slash, name);
}
