/* The calls behind disk.h. Each is named __wrap_NAME, which the linker puts in NAME's place, and
 * reaches the system through __real_NAME. With 64-bit offsets the C library's headers call NAME64
 * for some: both stand here. */
#include "support/disk.h"

#include "support/support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS 1024
#define INODE_FIRST 1000 /* made up: the node's number and this */

typedef struct disk {
    bool armed;
    char root[300];
    size_t root_size;
    disk_plan plan;
    disk_model model;
    int64_t count;
    uint32_t nodes[DESCRIPTORS]; /* of an open file, or DISK_NONE */
    int64_t clock;               /* monotonic, in microseconds */
    uint64_t random;
    bool announced;
    char unannounced[600];
    pthread_mutex_t lock;
} disk;

static disk it = {.lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};

static const char *const kind_names[DISK_KINDS] = {
    "open",   "create", "stat",   "read",  "list",    "map",
    "lock",   "write",  "resize", "chmod", "sync",    "sync of a folder",
    "rename", "link",   "unlink", "mkdir", "request", "answer",
    "step"};

const char *disk_kind_name(disk_kind kind) {
    return kind_names[kind];
}

/* ---- Arming -----------------------------------------------------------------------------------
 */

void disk_arm(const char *root, const disk_image *image, const disk_plan *plan) {
    disk_image_lay_out(image, root);
    disk_model_load(&it.model, image);
    snprintf(it.root, sizeof it.root, "%s", root);
    it.root_size = strlen(it.root);
    it.plan = *plan;
    it.count = 0;
    it.clock = 1000000;
    it.random = 1;
    it.announced = false;
    it.unannounced[0] = 0;
    for (int i = 0; i < DESCRIPTORS; i++) it.nodes[i] = DISK_NONE;
    it.armed = true;
}

int64_t disk_disarm(void) {
    it.armed = false;
    disk_model_free(&it.model);
    return it.count;
}

void disk_crash(disk_fate fate, uint64_t seed, disk_image *out) {
    disk_model_crash(&it.model, fate, seed, out);
}

bool disk_is_folder(const char *path) {
    uint32_t node = disk_model_find(&it.model, 0, path);
    return node != DISK_NONE && it.model.live.nodes[node].is_folder;
}

uint64_t disk_version(void) {
    return it.model.version;
}

const char *disk_unannounced(void) {
    return it.unannounced;
}

covey_status disk_random(void *user, void *out, size_t size) {
    (void)user;
    unsigned char *bytes = out;
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)test_random(&it.random);
    return COVEY_OK;
}

/* ---- Actions ----------------------------------------------------------------------------------
 */

static void call_each(disk_kind kind, const char *subject, bool halfway) {
    disk_action action = {it.count, kind, subject, halfway};
    if (it.plan.each) it.plan.each(it.plan.user, &action);
}

/* 0, or what this action fails with. */
static int act(disk_kind kind, const char *subject) {
    it.count++;
    call_each(kind, subject, false);
    return it.count == it.plan.at && !it.plan.cut ? it.plan.error : 0;
}

/* Whether this action, which was counted, is to take half and then fail. */
static bool is_cut(void) {
    return it.count == it.plan.at && it.plan.cut;
}

int disk_act(disk_kind kind, const char *subject) {
    if (!it.armed) return 0;
    (void)pthread_mutex_lock(&it.lock);
    int error = act(kind, subject);
    if (!error && is_cut()) error = it.plan.error;
    (void)pthread_mutex_unlock(&it.lock);
    return error;
}

int disk_point(void *user, const char *point, const char *subject) {
    static const char *const others[] = {"agent.", "fetch", "spawn", "delta."};
    (void)user;
    (void)subject;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strncmp(point, others[i], strlen(others[i]))) return disk_act(DISK_STEP, point);
    it.announced = true;
    return 0;
}

/* An action of a system call. Sets errno. */
static bool fails(disk_kind kind, const char *subject) {
    /* covey__file_exists has no point, for it has no error to return; nor has a hint that maps */
    bool needs_point = kind != DISK_STAT && kind != DISK_MAP;
    if (needs_point && !it.announced && !it.unannounced[0])
        snprintf(it.unannounced, sizeof it.unannounced, "%s of %s (action %d)", kind_names[kind],
                 subject, (int)it.count + 1);
    if (needs_point) it.announced = false;
    int error = act(kind, subject);
    if (error) errno = error;
    return error != 0;
}

/* The path below the root, or NULL. */
static const char *below(const char *path) {
    if (!it.armed || !path || strncmp(path, it.root, it.root_size)) return NULL;
    if (path[it.root_size] && path[it.root_size] != '/') return NULL;
    path += it.root_size;
    while (*path == '/') path++;
    return path;
}

static uint32_t node_of(int descriptor) {
    if (!it.armed || descriptor < 0 || descriptor >= DESCRIPTORS) return DISK_NONE;
    return it.nodes[descriptor];
}

/* Where a call with a folder's descriptor and a path begins. False: it is not ours. */
static bool start_of(int folder, const char **path, uint32_t *from) {
    if (path && *path && **path == '/') folder = AT_FDCWD;
    *from = folder == AT_FDCWD ? 0 : node_of(folder);
    if (folder != AT_FDCWD) return *from != DISK_NONE;
    const char *found = below(*path);
    if (!found) return false;
    *path = found;
    return true;
}

static void hold(void) {
    (void)pthread_mutex_lock(&it.lock);
}

/* Keeps errno. */
static void let_go(void) {
    int error = errno;
    (void)pthread_mutex_unlock(&it.lock);
    errno = error;
}

#define REAL(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

/* ---- Opening and closing ----------------------------------------------------------------------
 */

int __real_openat(int folder, const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...);
int __wrap_openat64(int folder, const char *path, int flags, ...);

static int open_at(int folder, const char *path, int flags, int mode) {
    const char *name = path, *last;
    uint32_t from;
    hold();
    if (!start_of(folder, &name, &from)) {
        let_go();
        return __real_openat(folder, path, flags, mode);
    }
    uint32_t node = disk_model_find(&it.model, from, name);
    bool made = node == DISK_NONE && (flags & O_CREAT);
    int opened =
        fails(made ? DISK_CREATE : DISK_OPEN, name) ? -1 : __real_openat(folder, path, flags, mode);
    if (opened >= 0) {
        if (made) {
            uint32_t parent = disk_model_parent(&it.model, from, name, &last);
            node = disk_model_make(&it.model, parent, last, false);
        }
        if (flags & O_TRUNC) disk_model_size(&it.model, node, 0);
        if (opened < DESCRIPTORS) it.nodes[opened] = node;
    }
    let_go();
    return opened;
}

static int mode_of(int flags, va_list arguments) {
    return flags & O_CREAT ? va_arg(arguments, int) : 0;
}

#define OPEN_WRAP(name)                                                                            \
    int __wrap_##name(const char *path, int flags, ...) {                                          \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        int mode = mode_of(flags, arguments);                                                      \
        va_end(arguments);                                                                         \
        return open_at(AT_FDCWD, path, flags, mode);                                               \
    }
#define OPENAT_WRAP(name)                                                                          \
    int __wrap_##name(int folder, const char *path, int flags, ...) {                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        int mode = mode_of(flags, arguments);                                                      \
        va_end(arguments);                                                                         \
        return open_at(folder, path, flags, mode);                                                 \
    }
OPEN_WRAP(open)
OPEN_WRAP(open64)
OPENAT_WRAP(openat)
OPENAT_WRAP(openat64)

REAL(int, close, int descriptor) {
    if (it.armed && descriptor >= 0 && descriptor < DESCRIPTORS) it.nodes[descriptor] = DISK_NONE;
    return __real_close(descriptor);
}

REAL(int, closedir, DIR *stream) {
    int descriptor = dirfd(stream);
    if (it.armed && descriptor >= 0 && descriptor < DESCRIPTORS) it.nodes[descriptor] = DISK_NONE;
    return __real_closedir(stream);
}

int __real_fcntl(int descriptor, int command, ...);
int __wrap_fcntl(int descriptor, int command, ...);
int __wrap_fcntl64(int descriptor, int command, ...);

#define FCNTL_WRAP(name)                                                                           \
    int __wrap_##name(int descriptor, int command, ...) {                                          \
        va_list arguments;                                                                         \
        va_start(arguments, command);                                                              \
        long value = va_arg(arguments, long);                                                      \
        va_end(arguments);                                                                         \
        int made = __real_fcntl(descriptor, command, value);                                       \
        bool twin = command == F_DUPFD || command == F_DUPFD_CLOEXEC;                              \
        if (twin && made >= 0 && made < DESCRIPTORS) it.nodes[made] = node_of(descriptor);         \
        return made;                                                                               \
    }
FCNTL_WRAP(fcntl)
FCNTL_WRAP(fcntl64)

/* ---- Bytes ------------------------------------------------------------------------------------
 */

#define PLAIN(result, call, kind, subject_node, failed)                                            \
    hold();                                                                                        \
    bool ours = node_of(subject_node) != DISK_NONE;                                                \
    result got = ours && fails(kind, "an open file") ? failed : call;                              \
    let_go();                                                                                      \
    return got

REAL(ssize_t, read, int descriptor, void *data, size_t size) {
    PLAIN(ssize_t, __real_read(descriptor, data, size), DISK_READ, descriptor, -1);
}

REAL(ssize_t, pread, int descriptor, void *data, size_t size, off_t offset) {
    PLAIN(ssize_t, __real_pread(descriptor, data, size, offset), DISK_READ, descriptor, -1);
}

ssize_t __wrap_pread64(int descriptor, void *data, size_t size, off_t offset);
ssize_t __wrap_pread64(int descriptor, void *data, size_t size, off_t offset) {
    return __wrap_pread(descriptor, data, size, offset);
}

REAL(ssize_t, pwrite, int descriptor, const void *data, size_t size, off_t offset) {
    hold();
    uint32_t node = node_of(descriptor);
    ssize_t done = -1;
    if (node == DISK_NONE) {
        done = __real_pwrite(descriptor, data, size, offset);
    } else if (!fails(DISK_WRITE, "an open file")) {
        size_t half = size / 2;
        done = __real_pwrite(descriptor, data, is_cut() ? half : size, offset);
        bool parts = half && done == (ssize_t)size; /* a state between: half of it was taken */
        if (parts) {
            disk_model_write(&it.model, node, (uint64_t)offset, data, half);
            call_each(DISK_WRITE, "an open file", true);
            disk_model_write(&it.model, node, (uint64_t)offset + half, (const char *)data + half,
                             size - half);
        } else if (done > 0) {
            disk_model_write(&it.model, node, (uint64_t)offset, data, (size_t)done);
        }
        if (is_cut()) { /* the rest fails, once it is asked for */
            it.plan.at = it.count + 1;
            it.plan.cut = false;
            if (!half) done = -1;
            if (!half) errno = it.plan.error;
        }
    }
    let_go();
    return done;
}

ssize_t __wrap_pwrite64(int descriptor, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int descriptor, const void *data, size_t size, off_t offset) {
    return __wrap_pwrite(descriptor, data, size, offset);
}

REAL(ssize_t, write, int descriptor, const void *data, size_t size) {
    if (node_of(descriptor) == DISK_NONE) return __real_write(descriptor, data, size);
    off_t at = lseek(descriptor, 0, SEEK_CUR);
    ssize_t done = __wrap_pwrite(descriptor, data, size, at);
    if (done > 0) (void)lseek(descriptor, at + done, SEEK_SET);
    return done;
}

ssize_t __real_copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t size,
                               unsigned flags);
ssize_t __wrap_copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t size,
                               unsigned flags);
/* By reading and writing, so that what was copied is known. */
ssize_t __wrap_copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t size,
                               unsigned flags) {
    static char piece[65536];
    if (node_of(out) == DISK_NONE || !in_at || !out_at)
        return __real_copy_file_range(in, in_at, out, out_at, size, flags);
    if (size > sizeof piece) size = sizeof piece;
    ssize_t got = __real_pread(in, piece, size, *in_at);
    if (got > 0) got = __wrap_pwrite(out, piece, (size_t)got, *out_at);
    if (got <= 0) return got;
    *in_at += got;
    *out_at += got;
    return got;
}

int __real_ioctl(int descriptor, unsigned long request, ...);
int __wrap_ioctl(int descriptor, unsigned long request, ...);
/* Shared blocks would be another way of copying: the tests' folders have none. */
int __wrap_ioctl(int descriptor, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *value = va_arg(arguments, void *);
    va_end(arguments);
    if (node_of(descriptor) == DISK_NONE) return __real_ioctl(descriptor, request, value);
    it.announced = false;
    errno = EOPNOTSUPP;
    return -1;
}

/* The size of the file as it is now goes into the model. */
static void note_size(int descriptor, uint32_t node) {
    off_t end = lseek(descriptor, 0, SEEK_END);
    if (end >= 0 && (size_t)end != it.model.live.nodes[node].size)
        disk_model_size(&it.model, node, (uint64_t)end);
}

#define RESIZE(call, failed)                                                                       \
    hold();                                                                                        \
    uint32_t node = node_of(descriptor);                                                           \
    int got;                                                                                       \
    if (node != DISK_NONE && fails(DISK_RESIZE, "an open file")) {                                 \
        got = failed;                                                                              \
    } else {                                                                                       \
        got = call;                                                                                \
        if (got == 0 && node != DISK_NONE) note_size(descriptor, node);                            \
    }                                                                                              \
    let_go();                                                                                      \
    return got

REAL(int, ftruncate, int descriptor, off_t size) {
    RESIZE(__real_ftruncate(descriptor, size), -1);
}

int __wrap_ftruncate64(int descriptor, off_t size);
int __wrap_ftruncate64(int descriptor, off_t size) {
    return __wrap_ftruncate(descriptor, size);
}

REAL(int, posix_fallocate, int descriptor, off_t offset, off_t size) {
    RESIZE(__real_posix_fallocate(descriptor, offset, size), errno);
}

int __wrap_posix_fallocate64(int descriptor, off_t offset, off_t size);
int __wrap_posix_fallocate64(int descriptor, off_t offset, off_t size) {
    return __wrap_posix_fallocate(descriptor, offset, size);
}

REAL(int, fallocate, int descriptor, int mode, off_t offset, off_t size) {
    if (mode & FALLOC_FL_PUNCH_HOLE && node_of(descriptor) != DISK_NONE) {
        void *zeros = calloc(1, (size_t)size);
        off_t end = lseek(descriptor, 0, SEEK_END);
        if (offset + size > end) size = end - offset;
        ssize_t done = size > 0 ? __wrap_pwrite(descriptor, zeros, (size_t)size, offset) : 0;
        free(zeros);
        return done < 0 ? -1 : 0;
    }
    RESIZE(__real_fallocate(descriptor, mode, offset, size), -1);
}

int __wrap_fallocate64(int descriptor, int mode, off_t offset, off_t size);
int __wrap_fallocate64(int descriptor, int mode, off_t offset, off_t size) {
    return __wrap_fallocate(descriptor, mode, offset, size);
}

/* A sync that failed leaves bytes in memory that no later sync will write: as on Linux. */
REAL(int, fsync, int descriptor) {
    hold();
    uint32_t node = node_of(descriptor);
    int got = 0;
    if (node == DISK_NONE) {
        got = __real_fsync(descriptor);
    } else {
        bool folder = it.model.live.nodes[node].is_folder;
        if (fails(folder ? DISK_SYNC_FOLDER : DISK_SYNC, folder ? "a folder" : "an open file")) {
            if (!folder) disk_model_doom(&it.model, node);
            got = -1;
        } else {
            disk_model_sync(&it.model, node);
        }
    }
    let_go();
    return got;
}

int __wrap_fdatasync(int descriptor);
int __wrap_fdatasync(int descriptor) {
    return __wrap_fsync(descriptor);
}

REAL(int, fchmod, int descriptor, mode_t mode) {
    PLAIN(int, __real_fchmod(descriptor, mode), DISK_CHMOD, descriptor, -1);
}

REAL(int, flock, int descriptor, int operation) {
    PLAIN(int, __real_flock(descriptor, operation), DISK_LOCK, descriptor, -1);
}

REAL(void *, mmap, void *address, size_t size, int protection, int flags, int descriptor,
     off_t offset) {
    PLAIN(void *, __real_mmap(address, size, protection, flags, descriptor, offset), DISK_MAP,
          descriptor, MAP_FAILED);
}

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int descriptor,
                    off_t offset);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int descriptor,
                    off_t offset) {
    return __wrap_mmap(address, size, protection, flags, descriptor, offset);
}

/* ---- Names ------------------------------------------------------------------------------------
 */

int __real_renameat(int folder, const char *from, int folder2, const char *to);
int __wrap_renameat(int folder, const char *from, int folder2, const char *to);
int __wrap_renameat(int folder, const char *from, int folder2, const char *to) {
    const char *name = from, *name2 = to, *last, *last2;
    uint32_t start, start2;
    hold();
    int got = -1;
    if (!start_of(folder, &name, &start) || !start_of(folder2, &name2, &start2)) {
        got = __real_renameat(folder, from, folder2, to);
    } else if (!fails(DISK_RENAME, name2)) {
        got = __real_renameat(folder, from, folder2, to);
        if (got == 0) {
            uint32_t parent = disk_model_parent(&it.model, start, name, &last);
            uint32_t parent2 = disk_model_parent(&it.model, start2, name2, &last2);
            disk_model_rename(&it.model, parent, last, parent2, last2);
            call_each(DISK_RENAME, name2, true);
        }
    }
    let_go();
    return got;
}

int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) {
    return __wrap_renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int __real_linkat(int folder, const char *from, int folder2, const char *to, int flags);
int __wrap_linkat(int folder, const char *from, int folder2, const char *to, int flags);
int __wrap_linkat(int folder, const char *from, int folder2, const char *to, int flags) {
    const char *name = from, *name2 = to, *last;
    uint32_t start, start2;
    hold();
    int got = -1;
    if (!start_of(folder, &name, &start) || !start_of(folder2, &name2, &start2)) {
        got = __real_linkat(folder, from, folder2, to, flags);
    } else if (!fails(DISK_LINK, name2)) {
        got = __real_linkat(folder, from, folder2, to, flags);
        uint32_t node = disk_model_find(&it.model, start, name);
        uint32_t parent = disk_model_parent(&it.model, start2, name2, &last);
        if (got == 0) disk_model_link(&it.model, node, parent, last);
    }
    let_go();
    return got;
}

int __wrap_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to) {
    return __wrap_linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

#define NAME_CALL(kind, call, note)                                                                \
    const char *name = path, *last;                                                                \
    uint32_t start;                                                                                \
    hold();                                                                                        \
    int got = -1;                                                                                  \
    if (!start_of(folder, &name, &start)) {                                                        \
        got = call;                                                                                \
    } else if (!fails(kind, name)) {                                                               \
        got = call;                                                                                \
        uint32_t parent = disk_model_parent(&it.model, start, name, &last);                        \
        if (got == 0) (void)note;                                                                  \
    }                                                                                              \
    let_go();                                                                                      \
    return got

REAL(int, unlinkat, int folder, const char *path, int flags) {
    NAME_CALL(DISK_UNLINK, __real_unlinkat(folder, path, flags),
              (disk_model_unlink(&it.model, parent, last), 0));
}

REAL(int, mkdirat, int folder, const char *path, mode_t mode) {
    NAME_CALL(DISK_MKDIR, __real_mkdirat(folder, path, mode),
              disk_model_make(&it.model, parent, last, true));
}

int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path) {
    return __wrap_unlinkat(AT_FDCWD, path, 0);
}

int __wrap_rmdir(const char *path);
int __wrap_rmdir(const char *path) {
    return __wrap_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode) {
    return __wrap_mkdirat(AT_FDCWD, path, mode);
}

/* ---- Looking ----------------------------------------------------------------------------------
 */

static void make_up(uint32_t node, struct stat *out) {
    uint64_t mtime = it.model.live.nodes[node].mtime;
    out->st_ino = INODE_FIRST + node;
    out->st_mtim = (struct timespec){1700000000 + (time_t)(mtime / 1000), (long)(mtime % 1000)};
    out->st_ctim = out->st_mtim;
}

int __real_fstatat(int folder, const char *path, struct stat *out, int flags);
int __wrap_fstatat(int folder, const char *path, struct stat *out, int flags);
int __wrap_fstatat(int folder, const char *path, struct stat *out, int flags) {
    const char *name = path;
    uint32_t start;
    hold();
    int got = -1;
    if (!start_of(folder, &name, &start)) {
        got = __real_fstatat(folder, path, out, flags);
    } else if (!fails(DISK_STAT, name)) {
        got = __real_fstatat(folder, path, out, flags);
        uint32_t node = disk_model_find(&it.model, start, name);
        if (got == 0 && node != DISK_NONE) make_up(node, out);
    }
    let_go();
    return got;
}

REAL(int, fstat, int descriptor, struct stat *out) {
    hold();
    uint32_t node = node_of(descriptor);
    int got =
        node != DISK_NONE && fails(DISK_STAT, "an open file") ? -1 : __real_fstat(descriptor, out);
    if (got == 0 && node != DISK_NONE) make_up(node, out);
    let_go();
    return got;
}

#define STAT_WRAP(name, flags)                                                                     \
    int __wrap_##name(const char *path, struct stat *out);                                         \
    int __wrap_##name(const char *path, struct stat *out) {                                        \
        return __wrap_fstatat(AT_FDCWD, path, out, flags);                                         \
    }
STAT_WRAP(stat, 0)
STAT_WRAP(stat64, 0)
STAT_WRAP(lstat, AT_SYMLINK_NOFOLLOW)
STAT_WRAP(lstat64, AT_SYMLINK_NOFOLLOW)
int __wrap_fstat64(int descriptor, struct stat *out);
int __wrap_fstat64(int descriptor, struct stat *out) {
    return __wrap_fstat(descriptor, out);
}
int __wrap_fstatat64(int folder, const char *path, struct stat *out, int flags);
int __wrap_fstatat64(int folder, const char *path, struct stat *out, int flags) {
    return __wrap_fstatat(folder, path, out, flags);
}

REAL(struct dirent *, readdir, DIR *stream) {
    PLAIN(struct dirent *, __real_readdir(stream), DISK_LIST, dirfd(stream), NULL);
}
struct dirent *__wrap_readdir64(DIR *stream);
struct dirent *__wrap_readdir64(DIR *stream) {
    return __wrap_readdir(stream);
}

/* Room that does not change from run to run. */
REAL(int, statvfs, const char *path, struct statvfs *out) {
    int got = __real_statvfs(path, out);
    const char *name = below(path);
    if (!name || got) return got;
    hold();
    if (fails(DISK_STAT, name)) got = -1;
    out->f_bavail = out->f_bfree = (fsblkcnt_t)1 << 20;
    let_go();
    return got;
}
int __wrap_statvfs64(const char *path, struct statvfs *out);
int __wrap_statvfs64(const char *path, struct statvfs *out) {
    return __wrap_statvfs(path, out);
}

REAL(int, clock_gettime, clockid_t clock, struct timespec *now) {
    if (!it.armed || clock != CLOCK_MONOTONIC) return __real_clock_gettime(clock, now);
    it.clock += 10;
    *now = (struct timespec){it.clock / 1000000, it.clock % 1000000 * 1000};
    return 0;
}

REAL(int, getentropy, void *out, size_t size) {
    if (!it.armed) return __real_getentropy(out, size);
    (void)disk_random(NULL, out, size);
    return 0;
}
