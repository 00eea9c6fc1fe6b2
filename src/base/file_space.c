/* Room on a disk. Each call asks the system for the best that it has and says what it got: a
 * promise that no one gave would be found out in the middle of a download. What a system lacks is
 * told by an errno of "unsupported"; everything else is a failure. Neighbours: file.c, and
 * file_cache.c for what passes through the page cache. */
#include "base/file_space.h"

#include "base/error.h"
#include "base/file_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#endif
#if !defined(__wasi__)
#include <sys/statvfs.h>
#endif

#define COPY_BYTES  (256u << 10) /* of one read */
#define SHOWN_BYTES 240

/* The answers of systems and file systems that do not offer a call. */
static bool is_unsupported(int code) {
    return code == EOPNOTSUPP || code == ENOTSUP || code == ENOSYS || code == EINVAL;
}

/* The same for two files: they may lie on two file systems, at odds in their borders, or the call
 * may be filtered. */
static bool cannot_share(int code) {
    return is_unsupported(code) || code == ENOTTY || code == EXDEV || code == EPERM ||
           code == ETXTBSY || code == EBADF;
}

/* ---- How much there is ------------------------------------------------------------------------
 */

#if defined(__wasi__)
static int read_volume(const char *path, covey__volume *volume) {
    (void)path;
    (void)volume;
    return ENOSYS;
}
#else
static int read_volume(const char *path, covey__volume *volume) {
    struct statvfs facts;
    int code;
    do code = statvfs(path, &facts);
    while (code != 0 && errno == EINTR);
    if (code != 0) return errno;
    uint64_t unit = facts.f_frsize != 0 ? facts.f_frsize : facts.f_bsize;
    if (!covey__mul_u64(facts.f_bavail, unit, &volume->available_bytes))
        volume->available_bytes = UINT64_MAX; /* of a system that does not tell */
    if (!covey__mul_u64(facts.f_blocks, unit, &volume->total_bytes))
        volume->total_bytes = UINT64_MAX;
    /* Some file systems name what they like to be read by, up to megabytes, as f_bsize. */
    volume->block_bytes = unit >= 512 && unit <= (1u << 20) ? (uint32_t)unit : 4096;
    return 0;
}
#endif

covey_status covey__volume_read(const covey__env *env, const char *path, covey__volume *volume,
                                covey_error *error) {
    memset(volume, 0, sizeof *volume);
    int code = covey__fault(env, "statvfs", path);
    if (code == 0) code = read_volume(path, volume);
    return code == 0 ? COVEY_OK : covey__fail_path(error, code, "read the free space of", path);
}

static uint64_t taken_bytes(const struct stat *info) {
#if defined(__wasi__)
    return (uint64_t)info->st_size;
#else
    return (uint64_t)info->st_blocks * 512; /* POSIX names no unit; every system uses this one */
#endif
}

covey_status covey__file_taken(const covey__env *env, const char *path, uint64_t *bytes,
                               covey_error *error) {
    struct stat info;
    *bytes = 0;
    int code = covey__fault(env, "stat", path);
    if (code == 0 && lstat(path, &info) != 0) code = errno;
    if (code == ENOENT) return COVEY_OK;
    if (code != 0) return covey__fail_path(error, code, "stat", path);
    if (S_ISREG(info.st_mode)) *bytes = taken_bytes(&info);
    return COVEY_OK;
}

#define TREE_DEPTH_MAX 16

typedef struct counting {
    const covey__env *env;
    const char *path;
    uint64_t bytes;
    int depth;
} counting;

static covey_status count_entry(void *user, const char *name, bool is_folder) {
    counting *at = user;
    uint64_t bytes = 0;
    char *path = covey__path_join(at->env, at->path, name);
    if (path == NULL) return COVEY_OK;
    if (is_folder && at->depth < TREE_DEPTH_MAX) {
        counting below = {at->env, path, 0, at->depth + 1};
        if (covey__folder_list(at->env, path, NULL, count_entry, &below) == COVEY_OK)
            bytes = below.bytes;
    } else if (!is_folder && covey__file_taken(at->env, path, &bytes, NULL) != COVEY_OK) {
        bytes = 0;
    }
    at->bytes += bytes;
    covey__free(at->env, path);
    return COVEY_OK;
}

uint64_t covey__tree_taken(const covey__env *env, const char *path) {
    counting at = {env, path, 0, 0};
    if (!covey__file_exists(path)) return 0;
    return covey__folder_list(env, path, NULL, count_entry, &at) == COVEY_OK ? at.bytes : 0;
}

/* ---- Keeping some -----------------------------------------------------------------------------
 */

/* Blocks for [0, size). 0, or an errno. Glibc's posix_fallocate is not it: where the file system
 * cannot, it writes a zero to every block, so each byte would be written twice. */
static int allocate(int descriptor, uint64_t size) {
#if defined(__linux__)
    int code;
    do code = fallocate(descriptor, 0, 0, (off_t)size);
    while (code != 0 && errno == EINTR);
    return code == 0 ? 0 : errno;
#elif defined(F_PREALLOCATE)
    struct stat info;
    if (fstat(descriptor, &info) != 0) return errno;
    if (taken_bytes(&info) >= size) return 0;
    fstore_t store = {F_ALLOCATEALL, F_PEOFPOSMODE, 0, (off_t)(size - taken_bytes(&info)), 0};
    return fcntl(descriptor, F_PREALLOCATE, &store) == 0 ? 0 : errno;
#else
    (void)descriptor;
    (void)size;
    return ENOSYS;
#endif
}

/* A quota is full as a disk is, but the number that says so is the user's. */
static covey_status fail_full(const char *path, int code, uint64_t lacking, covey_error *error) {
    char shown[SHOWN_BYTES];
    covey__volume volume = {0};
    covey__printable(path, strlen(path), shown, sizeof shown);
    bool known = read_volume(path, &volume) == 0;
    int64_t free_bytes =
        known && volume.available_bytes < INT64_MAX ? (int64_t)volume.available_bytes : INT64_MAX;
    if (code == EDQUOT || !known || volume.available_bytes >= lacking)
        return covey__fail_sizes(error, COVEY_ERROR_NO_SPACE, (int64_t)lacking, free_bytes,
                                 "%s: cannot reserve its %" PRIu64
                                 " bytes: this user's quota or the disk's reserve is used up",
                                 shown, lacking);
    return covey__fail_sizes(error, COVEY_ERROR_NO_SPACE, (int64_t)lacking, free_bytes,
                             "%s: cannot reserve its %" PRIu64 " bytes: %" PRId64 " are free",
                             shown, lacking, free_bytes);
}

covey_status covey__file_reserve(const covey__env *env, int descriptor, const char *path,
                                 uint64_t size, bool *promised, covey_error *error) {
    struct stat info;
    *promised = false;
    if (size > INT64_MAX) return covey__fail_path(error, EFBIG, "reserve", path);
    covey_status status = covey__file_facts(env, descriptor, path, &info, error);
    if (status != COVEY_OK) return status;
    uint64_t taken = taken_bytes(&info), lacking = size > taken ? size - taken : 0;
    int code = covey__fault(env, "fallocate", path);
    if (code == 0 && size > 0) code = allocate(descriptor, size);
    if (code == 0) *promised = true;
    /* Also after success: not every way of allocating moves the end of the file. */
    if (code == 0 || is_unsupported(code)) {
        if ((uint64_t)info.st_size >= size) return COVEY_OK;
        status = covey__file_truncate(env, descriptor, path, size, error);
        if (status == COVEY_OK) return COVEY_OK;
    }
    /* What was allocated before the disk was full goes back. */
    covey_error ignored;
    if (covey__file_truncate(env, descriptor, path, (uint64_t)info.st_size, &ignored) != COVEY_OK)
        covey__log(env, COVEY_LOG_WARN, "base", "%s", ignored.message);
    if (status == COVEY_ERROR_NO_SPACE) code = ENOSPC;
    if (code == ENOSPC || code == EDQUOT) return fail_full(path, code, lacking, error);
    return status != COVEY_OK ? status : covey__fail_path(error, code, "reserve", path);
}

/* ---- Sharing and copying ----------------------------------------------------------------------
 */

static int share(const covey__file_place *from, const covey__file_place *to, uint64_t size) {
#if defined(__linux__) && defined(FICLONERANGE)
    struct file_clone_range range = {.src_fd = from->descriptor,
                                     .src_offset = from->offset,
                                     .src_length = size,
                                     .dest_offset = to->offset};
    int code;
    do code = ioctl(to->descriptor, FICLONERANGE, &range);
    while (code != 0 && errno == EINTR);
    return code == 0 ? 0 : errno;
#else
    (void)from;
    (void)to;
    (void)size;
    return ENOSYS;
#endif
}

/* One call; `*done` bytes. 0, or an errno. */
static int system_copy(const covey__file_place *from, const covey__file_place *to, uint64_t size,
                       uint64_t *done) {
    *done = 0;
#if defined(__linux__)
    off_t in = (off_t)from->offset, out = (off_t)to->offset;
    size_t most = size < (1u << 30) ? (size_t)size : 1u << 30;
    ssize_t copied;
    do copied = copy_file_range(from->descriptor, &in, to->descriptor, &out, most, 0);
    while (copied < 0 && errno == EINTR);
    if (copied < 0) return errno;
    *done = (uint64_t)copied;
    return 0;
#else
    (void)from;
    (void)to;
    (void)size;
    return ENOSYS;
#endif
}

static covey_status read_and_write(const covey__env *env, const covey__file_place *from,
                                   const covey__file_place *to, uint64_t size, covey_error *error) {
    size_t room = size < COPY_BYTES ? (size_t)size : COPY_BYTES;
    uint8_t *bytes = covey__alloc(env, room + 1);
    if (bytes == NULL) return covey__no_memory(error, "a copy", room);
    covey_status status = COVEY_OK;
    for (uint64_t done = 0; status == COVEY_OK && done < size;) {
        size_t piece = size - done < room ? (size_t)(size - done) : room;
        status = covey__file_read_at(env, from->descriptor, from->path, from->offset + done, bytes,
                                     piece, error);
        if (status == COVEY_OK)
            status = covey__file_write_at(env, to->descriptor, to->path, to->offset + done, bytes,
                                          piece, error);
        done += piece;
    }
    covey__free(env, bytes);
    return status;
}

covey_status covey__file_share_range(const covey__env *env, const covey__file_place *from,
                                     const covey__file_place *to, uint64_t size, bool *shared,
                                     covey_error *error) {
    *shared = true;
    if (size == 0) return COVEY_OK;
    int code = covey__fault(env, "clone", to->path);
    if (code == 0) code = share(from, to, size);
    *shared = code == 0;
    if (code == 0 || cannot_share(code)) return COVEY_OK;
    return covey__fail_path(error, code, "copy a range to", to->path);
}

covey_status covey__file_copy_range(const covey__env *env, const covey__file_place *from,
                                    const covey__file_place *to, uint64_t size,
                                    covey__copy_way *way, covey_error *error) {
    covey__copy_way ignored;
    if (way == NULL) way = &ignored;
    uint64_t end;
    if (!covey__add_u64(from->offset, size, &end) || end > INT64_MAX ||
        !covey__add_u64(to->offset, size, &end) || end > INT64_MAX)
        return covey__fail_path(error, EFBIG, "copy", to->path);
    bool shared;
    covey_status status = covey__file_share_range(env, from, to, size, &shared, error);
    *way = COVEY__COPY_SHARED;
    if (status != COVEY_OK || shared) return status;
    *way = COVEY__COPY_SYSTEM;
    covey__file_place source = *from, target = *to;
    while (size > 0) {
        uint64_t done = 0;
        int code = covey__fault(env, "copy", to->path);
        if (code == 0) code = system_copy(&source, &target, size, &done);
        if (code != 0 && !cannot_share(code))
            return covey__fail_path(error, code, "copy a range to", to->path);
        if (code != 0 || done == 0) break; /* nothing done: the end, or a file that only says so */
        source.offset += done;
        target.offset += done;
        size -= done;
    }
    if (size == 0) return COVEY_OK;
    *way = COVEY__COPY_READ;
    return read_and_write(env, &source, &target, size, error);
}

/* ---- Giving back ------------------------------------------------------------------------------
 */

static int punch(int descriptor, uint64_t offset, uint64_t size) {
#if defined(FALLOC_FL_PUNCH_HOLE)
    int code;
    do
        code = fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                         (off_t)size);
    while (code != 0 && errno == EINTR);
    return code == 0 ? 0 : errno;
#else
    (void)descriptor;
    (void)offset;
    (void)size;
    return ENOSYS;
#endif
}

covey_status covey__file_punch(const covey__env *env, int descriptor, const char *path,
                               uint64_t offset, uint64_t size, bool *freed, covey_error *error) {
    *freed = false;
    uint64_t end;
    if (!covey__add_u64(offset, size, &end) || end > INT64_MAX)
        return covey__fail_path(error, EFBIG, "punch", path);
    if (size == 0) return COVEY_OK;
    int code = covey__fault(env, "punch", path);
    if (code == 0) code = punch(descriptor, offset, size);
    *freed = code == 0;
    if (code == 0 || is_unsupported(code)) return COVEY_OK;
    return covey__fail_path(error, code, "free a range of", path);
}

covey_status covey__file_unreserve(const covey__env *env, int descriptor, const char *path,
                                   covey_error *error) {
#if defined(SEEK_HOLE) && defined(SEEK_DATA)
    struct stat info;
    if (fstat(descriptor, &info) != 0) return covey__fail_path(error, errno, "stat", path);
    /* Zeros that someone read there stand in the cache, and would count as data. */
    covey__file_forget(descriptor, 0, 0);
    for (off_t at = 0; at < info.st_size;) {
        off_t hole = lseek(descriptor, at, SEEK_HOLE); /* blocks that were never written are one */
        if (hole < 0 || hole >= info.st_size) break;
        off_t data = lseek(descriptor, hole, SEEK_DATA);
        if (data < 0 && errno != ENXIO) break;
        if (data < 0) data = info.st_size; /* a hole up to the end */
        bool freed;
        covey_status status = covey__file_punch(env, descriptor, path, (uint64_t)hole,
                                                (uint64_t)(data - hole), &freed, error);
        if (status != COVEY_OK || !freed) return status;
        at = data;
    }
#else
    (void)env;
    (void)descriptor;
    (void)path;
    (void)error;
#endif
    return COVEY_OK;
}
