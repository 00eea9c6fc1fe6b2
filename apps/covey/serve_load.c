/* What the machine is doing, from proc(5), and priorities of setpriority(2) and ioprio_set(2),
 * which on Linux are a thread's. */
#include "covey/serve_load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Below the library's own background work: 3 % of a core that others want, and never none. */
#define CALM_NICE 15

static bool read_text(const char *path, char *text, size_t capacity) {
    FILE *file = fopen(path, "r");
    if (!file) return false;
    size_t size = fread(text, 1, capacity - 1, file);
    text[size] = 0;
    fclose(file);
    return size > 0;
}

/* The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. */
static bool read_machine(app_load *now) {
    char text[1024];
    long long f[8] = {0};
    if (!read_text("/proc/stat", text, sizeof text)) return false;
    if (sscanf(text, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &f[0], &f[1], &f[2], &f[3],
               &f[4], &f[5], &f[6], &f[7]) < 4)
        return false;
    for (int i = 0; i < 8; i++) now->all += f[i];
    now->busy = now->all - f[3] - f[4];
    return now->all > 0;
}

/* utime and stime, behind the program's name, which may hold anything. */
static bool read_own(app_load *now) {
    char text[1024];
    long long user = 0, system = 0;
    if (!read_text("/proc/self/stat", text, sizeof text)) return false;
    const char *at = strrchr(text, ')');
    if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld", &user,
                      &system) != 2)
        return false;
    now->own = user + system;
    return true;
}

int app_load_of_others(app_load *last) {
    app_load now = {0};
    int share = 0;
    if (!read_machine(&now) || !read_own(&now)) return 0;
    int64_t all = now.all - last->all;
    int64_t others = (now.busy - last->busy) - (now.own - last->own);
    if (last->all && all > 0 && others > 0) share = (int)(others * 100 / all);
    *last = now;
    return share > 100 ? 100 : share;
}

static int64_t kib_of(const char *path, const char *name) {
    char text[8192];
    if (!read_text(path, text, sizeof text)) return -1;
    const char *at = strstr(text, name);
    return at ? strtoll(at + strlen(name), NULL, 10) : -1;
}

int64_t app_mapped_resident(void) {
    int64_t kib = kib_of("/proc/self/status", "RssFile:");
    return kib > 0 ? kib * 1024 : 0;
}

bool app_counts_mapped(int64_t available) {
    int64_t kib = kib_of("/proc/meminfo", "MemAvailable:");
    return kib > 0 && available / 1024 >= kib - kib / 16; /* it moves from look to look */
}

void app_calm_thread(void) {
#if defined(__linux__)
    (void)setpriority(PRIO_PROCESS, 0, CALM_NICE);
    (void)syscall(SYS_ioprio_set, 1 /* a thread */, 0, 3 << 13 /* idle */);
#endif
}
