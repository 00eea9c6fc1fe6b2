/* Battery, charging and heat out of /sys/class (the kernel's ABI/testing/sysfs-class-power and
 * thermal/sysfs-api.rst). A mouse has a battery too: supplies whose scope is a device are not ours.
 * Heat is told as a share of the way from 40 degrees to the zone's critical point, the highest of
 * all zones that have one. */
#include "device/device_file.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COOL_MILLIDEGREES 40000

typedef struct supplies {
    const char *root;
    int64_t capacity_sum, battery_count;
    bool charging, discharging, mains_known, mains_online;
} supplies;

static void read_battery(supplies *s, const char *folder) {
    char path[320], text[32];
    int64_t capacity;
    snprintf(path, sizeof path, "%s/capacity", folder);
    if (covey__device_number(s->root, path, &capacity) && capacity >= 0 && capacity <= 100) {
        s->capacity_sum += capacity;
        s->battery_count++;
    }
    snprintf(path, sizeof path, "%s/status", folder);
    if (!covey__device_text(s->root, path, text, sizeof text)) return;
    if (strcmp(text, "Charging") == 0 || strcmp(text, "Full") == 0) s->charging = true;
    if (strcmp(text, "Discharging") == 0) s->discharging = true;
}

static covey_status read_supply(void *user, const char *name, bool is_folder) {
    (void)is_folder; /* they are links */
    supplies *s = user;
    char folder[288], path[320], text[32];
    int64_t online;
    if (strlen(name) > 200) return COVEY_OK;
    snprintf(folder, sizeof folder, "/sys/class/power_supply/%s", name);
    snprintf(path, sizeof path, "%s/scope", folder);
    if (covey__device_text(s->root, path, text, sizeof text) && strcmp(text, "Device") == 0)
        return COVEY_OK;
    snprintf(path, sizeof path, "%s/type", folder);
    if (!covey__device_text(s->root, path, text, sizeof text)) return COVEY_OK;
    if (strcmp(text, "Battery") == 0) {
        read_battery(s, folder);
        return COVEY_OK;
    }
    snprintf(path, sizeof path, "%s/online", folder);
    if (covey__device_number(s->root, path, &online)) {
        s->mains_known = true;
        if (online != 0) s->mains_online = true;
    }
    return COVEY_OK;
}

static void list(const covey__env *env, const char *root, const char *folder, covey__name_fn each,
                 void *user) {
    covey_error ignored;
    char *path = covey__format(env, "%s%s", root, folder);
    if (path == NULL) return;
    covey_status status = covey__folder_list(env, path, &ignored, each, user);
    (void)status; /* absent: the facts stay unknown */
    covey__free(env, path);
}

void covey__device_power(const covey__env *env, const char *root, covey_device_facts *facts) {
    supplies s = {.root = root};
    list(env, root, "/sys/class/power_supply", read_supply, &s);
    if (s.battery_count > 0) facts->battery_percent = (int32_t)(s.capacity_sum / s.battery_count);
    if (s.discharging && !s.mains_online) {
        facts->charging = 0;
    } else if (s.charging || s.mains_online) {
        facts->charging = 1;
    } else if (s.mains_known) {
        facts->charging = 0;
    }
}

typedef struct zones {
    const char *root;
    int64_t percent;
} zones;

static bool critical_point(const char *root, const char *zone, int64_t *point) {
    char path[320], text[32];
    for (int i = 0; i < 12; i++) {
        snprintf(path, sizeof path, "%s/trip_point_%d_type", zone, i);
        if (!covey__device_text(root, path, text, sizeof text)) return false;
        snprintf(path, sizeof path, "%s/trip_point_%d_temp", zone, i);
        if (strcmp(text, "critical") == 0) return covey__device_number(root, path, point);
    }
    return false;
}

static covey_status read_zone(void *user, const char *name, bool is_folder) {
    (void)is_folder;
    zones *z = user;
    char zone[288], path[320];
    int64_t now, critical;
    if (strncmp(name, "thermal_zone", 12) != 0 || strlen(name) > 200) return COVEY_OK;
    snprintf(zone, sizeof zone, "/sys/class/thermal/%s", name);
    snprintf(path, sizeof path, "%s/temp", zone);
    if (!covey__device_number(z->root, path, &now) || !critical_point(z->root, zone, &critical))
        return COVEY_OK;
    /* Drivers say -273000 or such for a sensor that sleeps, and 2^31 for one that has no limit. */
    if (critical <= COOL_MILLIDEGREES || critical > 250000 || now < -100000 || now > 250000)
        return COVEY_OK;
    int64_t percent = (now - COOL_MILLIDEGREES) * 100 / (critical - COOL_MILLIDEGREES);
    if (percent < 0) percent = 0;
    if (percent > 100) percent = 100;
    if (percent > z->percent) z->percent = percent;
    return COVEY_OK;
}

void covey__device_thermal(const covey__env *env, const char *root, covey_device_facts *facts) {
    zones z = {.root = root, .percent = -1};
    list(env, root, "/sys/class/thermal", read_zone, &z);
    facts->thermal_percent = (int32_t)z.percent;
}
