/* Which names in a manifest may become paths. A manifest comes from outside and its files are made
 * by name on the device, so the rule is a list of what is allowed, narrow enough for every file
 * system that Covey may meet: no case folding, reserved device name, stream, drive or parent folder
 * can hide in it. */
#include "bundle/manifest.h"

#include <string.h>
#include <strings.h>

static bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* CON, NUL, COM1 and their like mean devices on Windows, whatever extension follows. */
static bool is_reserved(const char *part, size_t size) {
    static const char *const names[] = {"con", "prn", "aux", "nul"};
    const char *dot = memchr(part, '.', size);
    size_t stem = dot == NULL ? size : (size_t)(dot - part);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (stem == 3 && strncasecmp(part, names[i], 3) == 0) return true;
    if (stem != 4 || part[3] < '0' || part[3] > '9') return false;
    return strncasecmp(part, "com", 3) == 0 || strncasecmp(part, "lpt", 3) == 0;
}

static bool part_valid(const char *part, size_t size) {
    if (size == 0 || part[0] == '.' || part[size - 1] == '.') return false;
    for (size_t i = 0; i < size; i++)
        if (!is_plain(part[i])) return false;
    return !is_reserved(part, size);
}

bool covey__component_name_valid(const char *file) {
    size_t size = strlen(file);
    if (size == 0 || size > 128) return false;
    const char *slash = strchr(file, '/');
    if (slash == NULL) return part_valid(file, size);
    size_t folder = (size_t)(slash - file);
    return part_valid(file, folder) && part_valid(slash + 1, size - folder - 1);
}

bool covey__ensemble_name_valid(const char *name) {
    size_t size = strlen(name);
    if (size == 0 || size > 64 || !is_plain(name[0]) || strchr("._-", name[0]) != NULL)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!is_plain(name[i])) return false;
    return true;
}
