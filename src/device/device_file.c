/* Reads of small system files. They are read in one go into the caller's buffer: files of /proc and
 * /sys have no true size, and a fact is worth no allocation. */
#include "device/device_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool covey__device_text(const char *root, const char *path, char *out, size_t capacity) {
    char full[PATH_MAX];
    out[0] = '\0';
    int length = snprintf(full, sizeof full, "%s%s", root, path);
    if (length < 0 || (size_t)length >= sizeof full) return false;
    int descriptor = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return false;
    size_t size = 0;
    while (size + 1 < capacity) {
        ssize_t got = read(descriptor, out + size, capacity - 1 - size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        size += (size_t)got;
    }
    close(descriptor);
    while (size > 0 && strchr(" \t\r\n", out[size - 1]) != NULL) size--;
    out[size] = '\0';
    return size > 0;
}

bool covey__device_number(const char *root, const char *path, int64_t *out) {
    char text[64], *end;
    if (!covey__device_text(root, path, text, sizeof text)) return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || errno != 0) return false;
    *out = value;
    return true;
}
