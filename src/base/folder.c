/* Folders: making, listing, syncing, removing. Removal goes by descriptors and follows no links, so
 * that nothing outside the tree is touched however the tree is built. Neighbour: file.c. */
#include "base/error.h"
#include "base/file.h"
#include "base/sort.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX 1000000 /* of one folder */
#define DEPTH_MAX 64      /* of a tree that is removed: one descriptor a level */

covey_status covey__folder_sync(const covey__env *env, const char *path, covey_error *error) {
    int descriptor;
    covey_status status =
        covey__file_open(env, path, O_RDONLY | O_DIRECTORY, 0, &descriptor, error);
    if (status != COVEY_OK) return status;
    int code = covey__fault(env, "fsync", path);
    if (code == 0) {
        int done;
        do done = fsync(descriptor);
        while (done != 0 && errno == EINTR);
        if (done != 0) code = errno;
    }
    close(descriptor);
    /* EINVAL: a file system whose folders need no sync */
    if (code == 0 || code == EINVAL) return COVEY_OK;
    return covey__fail_path(error, code, "fsync", path);
}

static covey_status make_one(const covey__env *env, const char *path, covey_error *error) {
    struct stat info;
    int seen = covey__fault(env, "stat", path);
    if (seen == 0 && stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode)) return COVEY_OK;
        return covey__fail_path(error, ENOTDIR, "mkdir", path);
    }
    if (seen != 0) return covey__fail_path(error, seen, "mkdir", path);
    int fault = covey__fault(env, "mkdir", path);
    if (fault != 0) return covey__fail_path(error, fault, "mkdir", path);
    if (mkdir(path, 0700) == 0) return COVEY_OK;
    int code = errno;
    if (code == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return COVEY_OK;
    return covey__fail_path(error, code, "mkdir", path);
}

covey_status covey__folder_make(const covey__env *env, const char *path, covey_error *error) {
    char *copy = covey__strdup(env, path);
    if (copy == NULL) return covey__no_memory(error, path, strlen(path) + 1);
    covey_status status = COVEY_OK;
    for (char *at = copy + 1; copy[0] != '\0' && *at != '\0' && status == COVEY_OK; at++) {
        if (*at != '/' || at[-1] == '/') continue;
        *at = '\0';
        status = make_one(env, copy, error);
        *at = '/';
    }
    if (status == COVEY_OK) status = make_one(env, copy, error);
    covey__free(env, copy);
    return status;
}

/* A name in a list that is collected before it is used. */
typedef struct entry {
    struct entry *next;
    bool is_folder;
    char name[];
} entry;

typedef struct entry_list {
    entry *first;
    size_t count;
} entry_list;

static void free_entries(const covey__env *env, entry_list *list) {
    for (entry *each = list->first, *next; each != NULL; each = next) {
        next = each->next;
        covey__free(env, each);
    }
    list->first = NULL;
    list->count = 0;
}

static bool is_folder_at(int folder, const struct dirent *found) {
    if (found->d_type != DT_UNKNOWN) return found->d_type == DT_DIR;
    struct stat info; /* what cannot be told is taken as a file, whose removal then says why */
    return fstatat(folder, found->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

/* All names of an open folder; takes the stream's place as it finds it. */
static covey_status read_entries(const covey__env *env, DIR *stream, const char *path,
                                 entry_list *list, covey_error *error) {
    for (;;) {
        int fault = covey__fault(env, "list", path);
        if (fault != 0) return covey__fail_path(error, fault, "list", path);
        errno = 0;
        const struct dirent *found = readdir(stream);
        if (found == NULL)
            return errno == 0 ? COVEY_OK : covey__fail_path(error, errno, "list", path);
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) continue;
        if (list->count == NAMES_MAX)
            return covey__fail_sizes(error, COVEY_ERROR_LIMIT, NAMES_MAX, NAMES_MAX + 1,
                                     "folder: has more than %d names", NAMES_MAX);
        size_t size = strlen(found->d_name) + 1;
        entry *added = covey__alloc(env, sizeof *added + size);
        if (added == NULL) return covey__no_memory(error, path, sizeof *added + size);
        added->is_folder = is_folder_at(dirfd(stream), found);
        memcpy(added->name, found->d_name, size);
        added->next = list->first;
        list->first = added;
        list->count++;
    }
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

/* Calls `each` on the sorted list. */
static covey_status visit_sorted(const covey__env *env, const entry_list *list, const char *path,
                                 covey_error *error, covey__name_fn each, void *user) {
    const void **sorted = covey__calloc(env, 2 * list->count, sizeof *sorted);
    if (sorted == NULL) return covey__no_memory(error, path, 2 * list->count * sizeof *sorted);
    size_t count = 0;
    for (const entry *one = list->first; one != NULL; one = one->next) sorted[count++] = one;
    covey__sort_pointers(sorted, sorted + count, count, compare_entries);
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < count && status == COVEY_OK; i++) {
        const entry *one = sorted[i];
        status = each(user, one->name, one->is_folder);
    }
    covey__free(env, sorted);
    return status;
}

covey_status covey__folder_list(const covey__env *env, const char *path, covey_error *error,
                                covey__name_fn each, void *user) {
    int descriptor;
    covey_status status =
        covey__file_open(env, path, O_RDONLY | O_DIRECTORY, 0, &descriptor, error);
    if (status != COVEY_OK) return status;
    DIR *stream = fdopendir(descriptor);
    if (stream == NULL) {
        status = covey__fail_path(error, errno, "list", path);
        close(descriptor);
        return status;
    }
    entry_list list = {NULL, 0};
    status = read_entries(env, stream, path, &list, error);
    closedir(stream); /* before the callback, which may change the folder */
    if (status == COVEY_OK) status = visit_sorted(env, &list, path, error, each, user);
    free_entries(env, &list);
    return status;
}

static covey_status remove_at(const covey__env *env, int folder, const char *name, int flags,
                              covey_error *error) {
    int fault = covey__fault(env, "unlink", name);
    if (fault != 0) return covey__fail_path(error, fault, "unlink", name);
    if (unlinkat(folder, name, flags) != 0 && errno != ENOENT)
        return covey__fail_path(error, errno, "unlink", name);
    return COVEY_OK;
}

/* Removes what the folder `name` in `parent` holds, then the folder. At most DEPTH_MAX deep. */
static covey_status remove_folder(const covey__env *env, int parent, const char *name, int depth,
                                  covey_error *error) {
    if (depth == DEPTH_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, DEPTH_MAX, DEPTH_MAX + 1,
                                 "folder: the tree is deeper than %d", DEPTH_MAX);
    int fault = covey__fault(env, "open", name);
    int descriptor = -1;
    if (fault == 0)
        descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = descriptor >= 0 ? fdopendir(descriptor) : NULL;
    if (stream == NULL) {
        int code = fault != 0 ? fault : errno;
        if (descriptor >= 0) close(descriptor);
        return covey__fail_path(error, code, "open", name);
    }
    entry_list list = {NULL, 0};
    covey_status status = read_entries(env, stream, name, &list, error);
    for (const entry *each = list.first; each != NULL && status == COVEY_OK; each = each->next)
        status = each->is_folder ? remove_folder(env, dirfd(stream), each->name, depth + 1, error)
                                 : remove_at(env, dirfd(stream), each->name, 0, error);
    free_entries(env, &list);
    closedir(stream);
    if (status != COVEY_OK) return status;
    return remove_at(env, parent, name, AT_REMOVEDIR, error);
}

covey_status covey__tree_remove(const covey__env *env, const char *path, covey_error *error) {
    struct stat info;
    int code = covey__fault(env, "stat", path);
    if (code == 0 && lstat(path, &info) != 0) code = errno;
    if (code != 0) return code == ENOENT ? COVEY_OK : covey__fail_path(error, code, "stat", path);
    if (!S_ISDIR(info.st_mode)) return covey__file_remove(env, path, error);
    return remove_folder(env, AT_FDCWD, path, 0, error);
}
