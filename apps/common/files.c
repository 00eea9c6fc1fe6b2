/* Small file matters of the programs; see files.h. */
#include "common/files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *app_read_stream(FILE *stream, size_t max, size_t *size) {
    size_t capacity = 4096, used = 0;
    char *text = malloc(capacity);
    while (text) {
        used += fread(text + used, 1, capacity - used - 1, stream);
        if (used < capacity - 1) break;
        if (capacity > max) {
            free(text);
            errno = EFBIG;
            return NULL;
        }
        char *larger = realloc(text, capacity *= 2);
        if (!larger) free(text);
        text = larger;
    }
    if (!text) return NULL;
    if (ferror(stream) || used > max) {
        int saved = used > max ? EFBIG : errno ? errno : EIO;
        free(text);
        errno = saved;
        return NULL;
    }
    text[used] = 0;
    *size = used;
    return text;
}

char *app_read_file(const char *path, size_t max, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    char *text = app_read_stream(file, max, size);
    int saved = errno;
    fclose(file);
    errno = saved;
    return text;
}

char *app_read_secret(const char *path) {
    struct stat info;
    size_t size = 0;
    if (stat(path, &info)) return NULL;
    if (S_ISREG(info.st_mode) && (info.st_mode & 077)) {
        errno = EPERM;
        return NULL;
    }
    char *text = app_read_file(path, 4096, &size);
    if (text) text[strcspn(text, "\r\n")] = 0;
    return text;
}

bool app_make_folder(const char *path) {
    char *copy = strdup(path);
    if (!copy) return false;
    for (char *at = copy + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        if (mkdir(copy, 0700) && errno != EEXIST) break;
        *at = '/';
    }
    bool ok = !mkdir(copy, 0700) || errno == EEXIST;
    free(copy);
    return ok && app_is_folder(path);
}

static bool write_secret(const char *path, const char *text, bool replace) {
    size_t size = strlen(text);
    char *temporary = malloc(strlen(path) + 16);
    if (!temporary) return false;
    snprintf(temporary, strlen(path) + 16, "%s.%ld", path, (long)getpid());
    int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = file >= 0 && write(file, text, size) == (ssize_t)size && !fsync(file);
    if (file >= 0 && close(file)) ok = false;
    if (ok) ok = replace ? !rename(temporary, path) : !link(temporary, path);
    int saved = errno;
    if (file >= 0 && !(ok && replace)) unlink(temporary);
    free(temporary);
    errno = saved;
    return ok;
}

bool app_write_secret(const char *path, const char *text) {
    return write_secret(path, text, true);
}

bool app_create_secret(const char *path, const char *text) {
    return write_secret(path, text, false);
}

/* The umask can be read by setting it only: no thread may make files meanwhile. */
static int share(const char *path, const struct stat *info, int type, struct FTW *at) {
    mode_t mask = umask(0);
    umask(mask);
    (void)at;
    if (type == FTW_F) (void)!chmod(path, (info->st_mode | 0666) & ~mask & 0777);
    if (type == FTW_D) (void)!chmod(path, (info->st_mode | 0777) & ~mask & 0777);
    return 0;
}

void app_share(const char *path) {
    (void)nftw(path, share, 8, FTW_PHYS);
}

bool app_is_file(const char *path) {
    struct stat info;
    return !stat(path, &info) && S_ISREG(info.st_mode);
}

bool app_is_folder(const char *path) {
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

char *app_join(const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path) snprintf(path, size, "%s/%s", folder, name);
    return path;
}
