/* Memory and cores, of the machine or of the control group that this process is in, whichever is
 * less. Formats: proc(5); the kernel's cgroup-v2.rst and cgroup-v1/memory.rst. In a container the
 * group's path of /proc/self/cgroup need not exist under /sys/fs/cgroup, whose top is then the
 * group itself: so the path's folders are tried from the deepest up to the top, and the smallest
 * limit on the way is the one that binds. */
#include "device/device_file.h"

#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct group_files {
    const char *mount; /* where the hierarchy is */
    const char *limit; /* files in each folder */
    const char *current;
} group_files;

static const group_files version2 = {"/sys/fs/cgroup", "memory.max", "memory.current"};
static const group_files version1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                     "memory.usage_in_bytes"};

/* "MemTotal:   16384 kB" in bytes; -1 when absent. */
static int64_t meminfo_field(const char *text, const char *name) {
    const char *at = strstr(text, name);
    if (at == NULL) return -1;
    long long kib = strtoll(at + strlen(name), NULL, 10);
    return kib < 0 || kib > INT64_MAX / 1024 ? -1 : (int64_t)kib * 1024;
}

static int64_t lesser(int64_t known, int64_t other) {
    if (other < 0) return known;
    return known < 0 || other < known ? other : known;
}

/* Page cache that the group can give back at once. */
static int64_t inactive_file(const char *root, const char *folder) {
    char path[PATH_MAX], text[8192];
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    if (!covey__device_text(root, path, text, sizeof text)) return 0;
    const char *at = strstr(text, "\ninactive_file ");
    return at == NULL ? 0 : strtoll(at + strlen("\ninactive_file "), NULL, 10);
}

static void one_group(const char *root, const group_files *files, const char *folder,
                      covey_device_facts *facts) {
    char path[PATH_MAX];
    int64_t limit, current;
    snprintf(path, sizeof path, "%s/%s", folder, files->limit);
    /* "max" is no number; version 1 says "none" by a number near 2^63. */
    if (!covey__device_number(root, path, &limit) || limit <= 0 || limit > INT64_MAX / 2) return;
    facts->memory_total_bytes = lesser(facts->memory_total_bytes, limit);
    snprintf(path, sizeof path, "%s/%s", folder, files->current);
    if (!covey__device_number(root, path, &current) || current < 0) return;
    int64_t used = current - inactive_file(root, folder);
    if (used < 0) used = 0;
    facts->memory_available_bytes =
        lesser(facts->memory_available_bytes, used < limit ? limit - used : 0);
}

/* `path` is the group's, as /proc/self/cgroup says it; its folders up to the mount are visited. */
static void group_and_parents(const char *root, const group_files *files, const char *path,
                              covey_device_facts *facts) {
    char folder[1100];
    size_t top = strlen(files->mount);
    /* A path that leaves the hierarchy (a foreign namespace) says nothing about folders here. */
    if (strstr(path, "..") != NULL) path = "";
    if (snprintf(folder, sizeof folder, "%s%s", files->mount, path) >= (int)sizeof folder) return;
    for (;;) {
        one_group(root, files, folder, facts);
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < top) break;
        *slash = '\0';
    }
}

/* The path of the group in `text` after a line's `prefix`; false when there is no such line. */
static bool group_path(const char *text, const char *prefix, char *out, size_t capacity) {
    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *colon = strchr(line, ':');
        const char *end = strchr(line, '\n');
        size_t length = end == NULL ? strlen(line) : (size_t)(end - line);
        if (colon != NULL && strncmp(colon, prefix, strlen(prefix)) == 0) {
            const char *path = colon + strlen(prefix);
            size_t size = length - (size_t)(path - line);
            if (size >= capacity) return false;
            memcpy(out, path, size);
            out[size] = '\0';
            if (strcmp(out, "/") == 0) out[0] = '\0';
            return true;
        }
        line = end == NULL ? NULL : end + 1;
    }
    return false;
}

void covey__device_memory(const char *root, covey_device_facts *facts) {
    char text[8192], path[1024];
    if (covey__device_text(root, "/proc/meminfo", text, sizeof text)) {
        facts->memory_total_bytes = meminfo_field(text, "MemTotal:");
        facts->memory_available_bytes = meminfo_field(text, "MemAvailable:");
    }
    if (!covey__device_text(root, "/proc/self/cgroup", text, sizeof text)) return;
    if (group_path(text, "::", path, sizeof path)) group_and_parents(root, &version2, path, facts);
    if (group_path(text, ":memory:", path, sizeof path))
        group_and_parents(root, &version1, path, facts);
}

/* A processor quota of version 2 ("200000 100000") in whole cores, rounded up; -1 for none. */
static int64_t quota_cores(const char *root) {
    char text[4096], path[1024], file[PATH_MAX];
    long long quota, period;
    if (!covey__device_text(root, "/proc/self/cgroup", text, sizeof text) ||
        !group_path(text, "::", path, sizeof path) || strstr(path, "..") != NULL)
        path[0] = '\0';
    snprintf(file, sizeof file, "/sys/fs/cgroup%s/cpu.max", path);
    if (!covey__device_text(root, file, text, sizeof text) &&
        !covey__device_text(root, "/sys/fs/cgroup/cpu.max", text, sizeof text))
        return -1;
    if (sscanf(text, "%lld %lld", &quota, &period) != 2 || quota <= 0 || period <= 0) return -1;
    return quota / period + (quota % period != 0);
}

int32_t covey__device_cores(const char *root) {
    int64_t cores = -1;
    if (root[0] != '\0') {
        if (!covey__device_number(root, "/covey/cores", &cores)) cores = -1;
    } else {
#if defined(__linux__)
        cpu_set_t set;
        if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
#endif
        if (cores <= 0) cores = sysconf(_SC_NPROCESSORS_ONLN);
    }
    cores = lesser(cores, quota_cores(root));
    return cores > 0 && cores < INT32_MAX ? (int32_t)cores : -1;
}
