/* Which kind of network the default route uses, out of /proc/net (proc(5)). The kernel does not
 * know what a link costs: only a modem's interface says so by its name. Every other link is unknown
 * until the app, which can ask the system's network manager, pushes what it knows. Without any
 * default route there is no network beyond this machine. */
#include "device/device_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTE_BYTES_MAX 16384

static bool is_modem(const char *interface) {
    static const char *const prefixes[] = {"wwan", "rmnet", "ppp", "ccmni", "usbwwan"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(interface, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return false;
}

static char *next_line(char **rest) {
    char *line = *rest;
    if (line == NULL || *line == '\0') return NULL;
    char *end = strchr(line, '\n');
    if (end != NULL) *end = '\0';
    *rest = end == NULL ? NULL : end + 1;
    return line;
}

/* The interface of the IPv4 default route with the lowest metric. */
static bool route4(const char *root, char interface[32]) {
    char text[ROUTE_BYTES_MAX], *rest = text, *line, name[32];
    unsigned destination, gateway, flags, mask;
    int metric, lowest = 0;
    bool found = false;
    if (!covey__device_text(root, "/proc/net/route", text, sizeof text)) return false;
    while ((line = next_line(&rest)) != NULL) {
        if (sscanf(line, "%31s %x %x %x %*d %*d %d %x", name, &destination, &gateway, &flags,
                   &metric, &mask) != 6)
            continue;
        if (destination != 0 || mask != 0 || (flags & 1) == 0) continue;
        if (found && metric >= lowest) continue;
        found = true;
        lowest = metric;
        memcpy(interface, name, sizeof name);
    }
    return found;
}

static bool route6(const char *root, char interface[32]) {
    char text[ROUTE_BYTES_MAX], *rest = text, *line, name[32], destination[40];
    unsigned prefix, flags;
    if (!covey__device_text(root, "/proc/net/ipv6_route", text, sizeof text)) return false;
    while ((line = next_line(&rest)) != NULL) {
        if (sscanf(line, "%39s %x %*s %*s %*s %*s %*s %*s %x %31s", destination, &prefix, &flags,
                   name) != 4)
            continue;
        bool unreachable = (flags & 0x200) != 0 || strcmp(name, "lo") == 0;
        if (prefix != 0 || unreachable || strspn(destination, "0") != strlen(destination)) continue;
        memcpy(interface, name, sizeof name);
        return true;
    }
    return false;
}

void covey__device_network(const char *root, covey_device_facts *facts) {
    char interface[32] = "", line[64];
    if (route4(root, interface) || route6(root, interface)) {
        facts->network = is_modem(interface) ? COVEY_NETWORK_METERED : COVEY_NETWORK_UNKNOWN;
    } else if (covey__device_text(root, "/proc/net/route", line, sizeof line)) {
        facts->network = COVEY_NETWORK_NONE;
    }
}
