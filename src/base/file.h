/* Files: whole reads with a cap, atomic replacement, maps, folders, locks. Every system call that
 * can fail has a fault point: "open", "stat", "read", "write", "truncate", "fsync", "rename",
 * "unlink", "mkdir", "list", "map", "lock". No other layer touches files by itself (tools/tidy), so
 * a test reaches every action (docs/base.md, "The simulated disk"). Paths are UTF-8. Files and
 * folders are made owner-only unless said otherwise. */
#ifndef COVEY_BASE_FILE_H
#define COVEY_BASE_FILE_H

#include "base/buffer.h"

struct stat;

/* Appends the whole file; LIMIT beyond the buffer's cap. Only regular files. */
covey_status covey__file_read(const covey__env *env, const char *path, covey__buffer *out,
                              covey_error *error) COVEY_MUST_USE;

/* Temporary beside it, write, fsync, rename, fsync of the folder: readers see the old bytes or the
 * new. */
covey_status covey__file_replace(const covey__env *env, const char *path, const void *data,
                                 size_t size, covey_error *error) COVEY_MUST_USE;

/* The same in steps, for what is too large for memory: begin opens the temporary (at its start,
 * empty), the caller writes to `descriptor`, and commit makes it the file at `path`; abort leaves
 * nothing behind. Two that replace one path take turns: with wait false, begin is BUSY while
 * another is at it. A temporary that a killed process left is used again by the next begin. After
 * commit or a failure the struct is closed; aborting it again is harmless. */
typedef struct covey__replacement {
    const covey__env *env;
    char *path, *temporary;
    int descriptor; /* -1 when closed */
} covey__replacement;
covey_status covey__replace_begin(const covey__env *env, const char *path, bool wait,
                                  covey__replacement *replacement,
                                  covey_error *error) COVEY_MUST_USE;
covey_status covey__replace_commit(covey__replacement *replacement,
                                   covey_error *error) COVEY_MUST_USE;
void covey__replace_abort(covey__replacement *replacement);
/* Removes the temporaries that killed processes left in a folder: every NAME.new that nobody is
 * writing. A folder that is not there is clean. */
covey_status covey__replace_tidy(const covey__env *env, const char *folder,
                                 covey_error *error) COVEY_MUST_USE;

/* The pieces of the above, for files that grow in steps. */
covey_status covey__file_open(const covey__env *env, const char *path, int flags, int mode,
                              int *descriptor, covey_error *error) COVEY_MUST_USE;
covey_status covey__file_write_at(const covey__env *env, int descriptor, const char *path,
                                  uint64_t offset, const void *data, size_t size,
                                  covey_error *error) COVEY_MUST_USE;
/* Reads exactly `size` bytes; a shorter file is COVEY_ERROR_FORMAT. */
covey_status covey__file_read_at(const covey__env *env, int descriptor, const char *path,
                                 uint64_t offset, void *data, size_t size,
                                 covey_error *error) COVEY_MUST_USE;
/* What the system says of an open file; the caller includes <sys/stat.h>. */
covey_status covey__file_facts(const covey__env *env, int descriptor, const char *path,
                               struct stat *facts, covey_error *error) COVEY_MUST_USE;
/* Cuts the file to `size`, or grows it by zeros. */
covey_status covey__file_truncate(const covey__env *env, int descriptor, const char *path,
                                  uint64_t size, covey_error *error) COVEY_MUST_USE;
covey_status covey__file_sync(const covey__env *env, int descriptor, const char *path,
                              covey_error *error) COVEY_MUST_USE;
covey_status covey__file_rename(const covey__env *env, const char *from, const char *to,
                                covey_error *error) COVEY_MUST_USE; /* folder not synced */
covey_status covey__folder_sync(const covey__env *env, const char *path,
                                covey_error *error) COVEY_MUST_USE;
covey_status covey__folder_make(const covey__env *env, const char *path,
                                covey_error *error) COVEY_MUST_USE; /* and parents */
/* Absent is fine. Follows no links. */
covey_status covey__file_remove(const covey__env *env, const char *path,
                                covey_error *error) COVEY_MUST_USE;
covey_status covey__tree_remove(const covey__env *env, const char *path,
                                covey_error *error) COVEY_MUST_USE;
/* Whether something has this name. What the disk does not tell is an error, and not "no": a
 * setting or a journal that cannot be looked at is not one that was never made. */
covey_status covey__file_find(const covey__env *env, const char *path, bool *is_there,
                              covey_error *error) COVEY_MUST_USE;
/* The same for who would do the same in either case: false also when it cannot be told. */
bool covey__file_exists(const char *path);
covey_status covey__file_size(const covey__env *env, const char *path, uint64_t *size,
                              covey_error *error) COVEY_MUST_USE;
/* Names in a folder, sorted, without . and ..; `each` returning anything but COVEY_OK stops. */
typedef covey_status (*covey__name_fn)(void *user, const char *name, bool is_folder);
covey_status covey__folder_list(const covey__env *env, const char *path, covey_error *error,
                                covey__name_fn each, void *user) COVEY_MUST_USE;

/* covey__fail_errno as "path: what: errno text", the path made printable. */
covey_status covey__fail_path(covey_error *error, int errno_value, const char *what,
                              const char *path);

/* "a/b" in new memory; NULL when refused. */
char *covey__path_join(const covey__env *env, const char *folder, const char *name);

/* A read-only map. A file that shrinks under the map faults on access: covey__map_check tells
 * before. */
typedef struct covey__map {
    const uint8_t *data;
    size_t size;
    void *base; /* page-aligned start of the map; NULL when data is borrowed memory */
    size_t base_size;
    bool has_descriptor; /* of the file, kept open to see whether it shrank */
    int descriptor;
    uint64_t end; /* of the map in the file */
} covey__map;
covey_status covey__map_path(const covey__env *env, const char *path, covey__map *map,
                             covey_error *error) COVEY_MUST_USE;
covey_status covey__map_descriptor(const covey__env *env, int descriptor, uint64_t offset,
                                   uint64_t length, covey__map *map,
                                   covey_error *error) COVEY_MUST_USE; /* length 0: to the end */
/* MISMATCH when the file became shorter than the map: to be asked before its bytes are read for
 * long. What shrinks in the middle of a read cannot be caught without signals, which a library must
 * not take. */
covey_status covey__map_check(const covey__map *map, covey_error *error) COVEY_MUST_USE;
void covey__map_close(covey__map *map);

/* Anonymous memory in a map's place, for what must not lie on a disk in plain: left out of core
 * dumps, and locked in memory as far as the system allows this process (RLIMIT_MEMLOCK), else it
 * may be swapped. The caller fills data, which may be written until covey__map_settle. */
covey_status covey__map_memory(const covey__env *env, size_t size, covey__map *map,
                               covey_error *error) COVEY_MUST_USE;
/* Read-only from here on, as every map is. */
covey_status covey__map_settle(covey__map *map, covey_error *error) COVEY_MUST_USE;

/* An exclusive lock between processes on a file (made if absent). With wait false, BUSY when
 * another holds it. */
covey_status covey__lock_take(const covey__env *env, const char *path, bool wait, int *lock,
                              covey_error *error) COVEY_MUST_USE;
void covey__lock_drop(int lock);

#endif
