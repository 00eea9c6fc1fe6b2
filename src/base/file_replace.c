/* Atomic replacement: the new bytes go to PATH.new, which is synced and renamed over PATH, and the
 * folder is synced. A reader sees the old bytes or the new ones, also after a power cut.
 *
 * The temporary has one fixed name, so a process that was killed leaves at most one, which the next
 * replacement takes over. Writers of one path take turns by a lock on the temporary's inode:
 *   1. Whoever holds the lock and finds that PATH.new still names the locked inode may write it.
 *   2. Rename and unlink of PATH.new happen only under that lock.
 * So a writer that waited while another renamed sees that the name moved on, and opens anew: it
 * never writes into a file that already is PATH. */
#include "base/file.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static covey_status lock_temporary(const covey__env *env, int descriptor, const char *path,
                                   bool wait, covey_error *error) {
    int code;
    do {
        code = covey__fault(env, "lock", path);
        if (code == 0 && flock(descriptor, wait ? LOCK_EX : LOCK_EX | LOCK_NB) != 0) code = errno;
    } while (code == EINTR);
    if (code == 0) return COVEY_OK;
    if (code == EWOULDBLOCK) {
        char shown[240];
        return covey__fail(error, COVEY_ERROR_BUSY, "%s: another process is writing it",
                           covey__printable(path, strlen(path), shown, sizeof shown));
    }
    /* a file system without locks: writers there are not kept apart */
    if (code == ENOLCK || code == EOPNOTSUPP || code == ENOSYS) return COVEY_OK;
    return covey__fail_path(error, code, "lock", path);
}

#ifdef __wasi__ /* files have neither modes nor owners there */
#define geteuid()     0u
#define fchmod(fd, m) ((void)(fd), 0)
#endif

/* A temporary that was there already may have another mode or another owner. */
static covey_status make_private(const covey__env *env, int descriptor, const struct stat *opened,
                                 const char *path, covey_error *error) {
    char shown[240];
    if (!S_ISREG(opened->st_mode) || opened->st_uid != geteuid())
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "%s: expected a plain file of one's own; remove it",
                           covey__printable(path, strlen(path), shown, sizeof shown));
    if ((opened->st_mode & 0777) == 0600) return COVEY_OK;
    int code = covey__fault(env, "chmod", path);
    if (code == 0 && fchmod(descriptor, 0600) != 0) code = errno;
    return code == 0 ? COVEY_OK : covey__fail_path(error, code, "change the mode of", path);
}

/* Opens and locks PATH.new once; `*same` says whether the name still leads to what was locked. */
static covey_status try_begin(covey__replacement *replacement, bool wait, bool *same,
                              covey_error *error) {
    const char *temporary = replacement->temporary;
    covey_status status =
        covey__file_open(replacement->env, temporary, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600,
                         &replacement->descriptor, error);
    if (status != COVEY_OK) return status;
    const covey__env *env = replacement->env;
    struct stat opened, named;
    status = lock_temporary(env, replacement->descriptor, temporary, wait, error);
    if (status == COVEY_OK)
        status = covey__file_facts(env, replacement->descriptor, temporary, &opened, error);
    if (status == COVEY_OK)
        status = make_private(env, replacement->descriptor, &opened, temporary, error);
    if (status != COVEY_OK) return status;
    int code = covey__fault(env, "stat", temporary);
    if (code == 0 && lstat(temporary, &named) != 0) code = errno;
    if (code != 0 && code != ENOENT) return covey__fail_path(error, code, "stat", temporary);
    *same = code == 0 && named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
    if (!*same || opened.st_nlink < 2) return COVEY_OK;
    /* A second name of another file: of what it was renamed to, where a crash tore the rename. That
     * file is not to be written to. The name goes, and a new file takes it. */
    *same = false;
    return covey__file_remove(env, temporary, error);
}

static void close_all(covey__replacement *replacement) {
    if (replacement->descriptor >= 0) close(replacement->descriptor);
    replacement->descriptor = -1;
    if (replacement->env == NULL) return;
    covey__free(replacement->env, replacement->path);
    covey__free(replacement->env, replacement->temporary);
    replacement->path = NULL;
    replacement->temporary = NULL;
}

covey_status covey__replace_begin(const covey__env *env, const char *path, bool wait,
                                  covey__replacement *replacement, covey_error *error) {
    *replacement = (covey__replacement){env, NULL, NULL, -1};
    struct stat there;
    char shown[240];
    int code = covey__fault(env, "stat", path);
    if (code == 0 && lstat(path, &there) != 0) code = errno;
    if (code != 0 && code != ENOENT) return covey__fail_path(error, code, "stat", path);
    if (code == 0 && !S_ISREG(there.st_mode) && !S_ISLNK(there.st_mode))
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "%s: it is there and is no plain file; name another one",
                           covey__printable(path, strlen(path), shown, sizeof shown));
    replacement->path = covey__strdup(env, path);
    replacement->temporary = covey__format(env, "%s.new", path);
    covey_status status = COVEY_OK;
    if (replacement->path == NULL || replacement->temporary == NULL)
        status = covey__no_memory(error, path, strlen(path) + sizeof ".new");
    bool same = false;
    while (status == COVEY_OK && !same) {
        if (replacement->descriptor >= 0) close(replacement->descriptor);
        replacement->descriptor = -1;
        status = try_begin(replacement, wait, &same, error);
    }
    if (status == COVEY_OK) {
        status =
            covey__file_truncate(env, replacement->descriptor, replacement->temporary, 0, error);
        if (status != COVEY_OK) covey__replace_abort(replacement);
    }
    if (status != COVEY_OK) close_all(replacement);
    return status;
}

/* The folder that holds `path`, in new memory. */
static char *parent_of(const covey__env *env, const char *path) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL) return covey__strdup(env, ".");
    return covey__strndup(env, path, slash == path ? 1 : (size_t)(slash - path));
}

covey_status covey__replace_commit(covey__replacement *replacement, covey_error *error) {
    const covey__env *env = replacement->env;
    char *folder = parent_of(env, replacement->path);
    covey_status status = COVEY_OK;
    if (folder == NULL)
        status = covey__no_memory(error, replacement->path, strlen(replacement->path));
    if (status == COVEY_OK)
        status = covey__file_sync(env, replacement->descriptor, replacement->temporary, error);
    if (status == COVEY_OK)
        status = covey__file_rename(env, replacement->temporary, replacement->path, error);
    if (status == COVEY_OK) {
        /* The new bytes are in place, which cannot be taken back; if this fails, a power cut may
         * bring the old ones back. Unlike a file's bytes, names that were not synced stay to be
         * synced, so a second try is worth something, and the caller is spared an answer that is
         * neither yes nor no. */
        status = covey__folder_sync(env, folder, error);
        if (status != COVEY_OK) status = covey__folder_sync(env, folder, error);
        close_all(replacement);
    } else {
        covey__replace_abort(replacement);
    }
    covey__free(env, folder);
    return status;
}

void covey__replace_abort(covey__replacement *replacement) {
    if (replacement->descriptor < 0) return;
    /* if it fails, the next begin takes the file over */
    if (covey__file_remove(replacement->env, replacement->temporary, NULL) != COVEY_OK)
        covey__log(replacement->env, COVEY_LOG_WARN, "base", "a temporary file stays behind");
    close_all(replacement);
}

typedef struct tidying {
    const covey__env *env;
    const char *folder;
    covey_error *error;
} tidying;

/* Under the temporary's lock, as invariant 2 asks. A crash may have left it as a second name of
 * what it was renamed to; only the name goes. */
static covey_status tidy_one(void *user, const char *name, bool is_folder) {
    tidying *at = user;
    size_t size = strlen(name);
    if (is_folder || size < 5 || strcmp(name + size - 4, ".new") != 0) return COVEY_OK;
    char *path = covey__path_join(at->env, at->folder, name);
    if (path == NULL) return covey__no_memory(at->error, "a path", size);
    struct stat opened, named;
    int descriptor = -1;
    covey_status status = covey__file_open(at->env, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0,
                                           &descriptor, at->error);
    if (status == COVEY_OK) status = lock_temporary(at->env, descriptor, path, false, at->error);
    if (status == COVEY_OK)
        status = covey__file_facts(at->env, descriptor, path, &opened, at->error);
    if (status == COVEY_OK) {
        int code = covey__fault(at->env, "stat", path);
        if (code == 0 && lstat(path, &named) != 0) code = errno;
        bool same = code == 0 && S_ISREG(named.st_mode) && named.st_dev == opened.st_dev &&
                    named.st_ino == opened.st_ino;
        if (same) status = covey__file_remove(at->env, path, at->error);
        if (code != 0 && code != ENOENT) status = covey__fail_path(at->error, code, "stat", path);
    }
    if (descriptor >= 0) close(descriptor);
    covey__free(at->env, path);
    /* gone meanwhile, or being written */
    return status == COVEY_ERROR_NOT_FOUND || status == COVEY_ERROR_BUSY ? COVEY_OK : status;
}

covey_status covey__replace_tidy(const covey__env *env, const char *folder, covey_error *error) {
    tidying at = {env, folder, error};
    bool is_there = false;
    covey_status status = covey__file_find(env, folder, &is_there, error);
    if (status != COVEY_OK || !is_there) return status;
    return covey__folder_list(env, folder, error, tidy_one, &at);
}

covey_status covey__file_replace(const covey__env *env, const char *path, const void *data,
                                 size_t size, covey_error *error) {
    covey__replacement replacement;
    covey_status status = covey__replace_begin(env, path, true, &replacement, error);
    if (status != COVEY_OK) return status;
    status = covey__file_write_at(env, replacement.descriptor, replacement.temporary, 0, data, size,
                                  error);
    if (status != COVEY_OK) {
        covey__replace_abort(&replacement);
        return status;
    }
    return covey__replace_commit(&replacement, error);
}
