/* The draw and the rules of rollouts. No state, no clock, no store: the same rollout and device
 * give the same verdict anywhere, so a simulation can use this very code.
 *
 * Invariants: a device is never offered a version that is not higher than what it serves, whatever
 * the rollout says. Raising the percentage never takes a device out.
 *
 * Neighbours: api_device.c offers by it, api_admin.c explains by it.
 */
#include "fleet/cohort.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/semver.h"
#include "base/sha256.h"
#include "bundle/manifest.h"

static const char *const class_names[COVEY__CLASS_COUNT] = {"tiny", "small", "medium", "large"};
static const char *const state_names[] = {"running", "paused", "aborted"};

bool covey__release_split(const char *text, char *name, char *version) {
    const char *at = strchr(text, '@');
    if (at == NULL) return false;
    size_t name_size = (size_t)(at - text), version_size = strlen(at + 1);
    if (name_size == 0 || name_size >= COVEY__RELEASE_NAME_SIZE ||
        version_size >= COVEY__RELEASE_NAME_SIZE) {
        return false;
    }
    memcpy(name, text, name_size);
    name[name_size] = '\0';
    memcpy(version, at + 1, version_size + 1);
    return covey__ensemble_name_valid(name) && covey__semver_valid(version);
}

const char *covey__class_name(int32_t device_class) {
    return device_class >= 0 && device_class < COVEY__CLASS_COUNT ? class_names[device_class]
                                                                  : NULL;
}

int32_t covey__class_parse(const char *name) {
    for (int32_t i = 0; i < COVEY__CLASS_COUNT; i++) {
        if (strcmp(name, class_names[i]) == 0) return i;
    }
    return -1;
}

const char *covey__rollout_state_name(covey__rollout_state state) {
    return (size_t)state < 3 ? state_names[state] : "unknown";
}

bool covey__rollout_state_parse(const char *name, covey__rollout_state *state) {
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, state_names[i]) != 0) continue;
        *state = (covey__rollout_state)i;
        return true;
    }
    return false;
}

/* Whether a patch leads from what the device serves. Of a variant that is not known the version
 * must do. */
static bool has_patch(const covey__rollout_row *rollout, const covey__device_known *device) {
    char from[2 * COVEY__RELEASE_NAME_SIZE + 4];
    if (device->name[0] == '\0' || rollout->patched_from == NULL) return false;
    if (device->variant[0] != '\0')
        (void)snprintf(from, sizeof(from), ",%s/%s,", device->version, device->variant);
    else
        (void)snprintf(from, sizeof(from), ",%s/", device->version);
    return strstr(rollout->patched_from, from) != NULL;
}

covey__verdict covey__cohort_judge(const covey__rollout_row *rollout,
                                   const covey__device_known *device, bool refused) {
    if (device->name[0] != '\0') {
        if (strcmp(device->name, rollout->release.name) != 0) return COVEY__VERDICT_OTHER_NAME;
        if (covey__semver_valid(device->version)) {
            int order = covey__semver_compare(rollout->release.version, device->version);
            if (order == 0) return COVEY__VERDICT_HAS_IT;
            if (order < 0) return COVEY__VERDICT_OLDER;
        }
    }
    if (rollout->state == COVEY__ROLLOUT_ABORTED) return COVEY__VERDICT_ABORTED;
    if (rollout->state != COVEY__ROLLOUT_RUNNING) return COVEY__VERDICT_PAUSED;
    if (refused) return COVEY__VERDICT_REFUSED;
    if (rollout->classes != 0 && (rollout->classes >> device->device_class & 1) == 0) {
        return COVEY__VERDICT_CLASS;
    }
    if (rollout->patched_first && !has_patch(rollout, device)) return COVEY__VERDICT_NO_PATCH;
    uint64_t draw = covey__cohort_draw(rollout->salt, device->id);
    return covey__cohort_within(draw, rollout->percent_milli) ? COVEY__VERDICT_OFFER
                                                              : COVEY__VERDICT_DRAW;
}

void covey__verdict_text(covey__verdict verdict, const covey__rollout_row *rollout,
                         const covey__device_known *device, const char *reason, char *out,
                         size_t capacity) {
    char percent[16], why[640];
    covey__percent_format(rollout->percent_milli, percent);
    double draw = (double)covey__cohort_draw(rollout->salt, device->id) / 18446744073709551616.0;
    const char *class_name = covey__class_name(device->device_class);
    if (class_name == NULL) class_name = "unknown";
    switch (verdict) {
    case COVEY__VERDICT_OFFER:
        (void)snprintf(why, sizeof(why), "offered to this device");
        break;
    case COVEY__VERDICT_HAS_IT:
        (void)snprintf(why, sizeof(why), "this device serves it");
        break;
    case COVEY__VERDICT_OLDER:
        (void)snprintf(why, sizeof(why), "this device serves %s, which is newer", device->version);
        break;
    case COVEY__VERDICT_OTHER_NAME:
        (void)snprintf(why, sizeof(why), "this device serves another ensemble, %s", device->name);
        break;
    case COVEY__VERDICT_REFUSED:
        (void)snprintf(why, sizeof(why), "this device refused it: %s",
                       reason != NULL && reason[0] != '\0' ? reason : "it gave no reason");
        break;
    case COVEY__VERDICT_CLASS:
        (void)snprintf(why, sizeof(why), "not for class %s", class_name);
        break;
    case COVEY__VERDICT_NO_PATCH:
        (void)snprintf(why, sizeof(why),
                       "no patch leads from what this device serves, and those with one go first");
        break;
    case COVEY__VERDICT_DRAW:
        (void)snprintf(why, sizeof(why), "this device drew %.3f %%, the rollout goes up to %s %%",
                       draw * 100.0, percent);
        break;
    case COVEY__VERDICT_PAUSED:
        (void)snprintf(why, sizeof(why), "the rollout is paused");
        break;
    case COVEY__VERDICT_ABORTED:
        (void)snprintf(why, sizeof(why), "the rollout was aborted");
        break;
    }
    (void)snprintf(out, capacity, "r-%" PRId64 " %s@%s (%s, %s %%): %s", rollout->key,
                   rollout->release.name, rollout->release.version,
                   covey__rollout_state_name(rollout->state), percent, why);
}

bool covey__cohort_prefers(const covey__rollout_row *a, const covey__rollout_row *b) {
    int order = covey__semver_compare(a->release.version, b->release.version);
    return order != 0 ? order > 0 : a->key > b->key;
}
