/* The device's facts, put together: the system as its files tell it, then what the app pushed,
 * which wins since the app may know better. The class follows from what does not change by the
 * minute (total memory, instruction set), so that a device stays in its cohort. Nothing here fails
 * for want of a fact: it stays unknown. */
#include "device/device_read.h"

#include "base/cpu.h"
#include "base/error.h"
#include "base/runtime.h"
#include "device/device_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#define GIB (INT64_C(1) << 30)

static const covey_device_facts unknown_facts = COVEY_DEVICE_FACTS_INIT;

static void copy_text(char *out, size_t capacity, const char *text) {
    snprintf(out, capacity, "%.*s", (int)(capacity - 1), text);
}

/* "model name : AMD EPYC 9R14" of the first processor; "Model : Raspberry Pi 4" on others. */
static void read_cpu(const char *root, covey_device_facts *facts) {
    static const char *const names[] = {"model name", "Model", "Hardware", "cpu model"};
    char text[16384];
    if (!covey__device_text(root, "/proc/cpuinfo", text, sizeof text)) return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *at = strstr(text, names[i]);
        const char *end = at == NULL ? NULL : strchr(at, '\n');
        const char *colon = at == NULL ? NULL : strchr(at, ':');
        if (colon == NULL || (end != NULL && colon > end)) continue;
        colon += strspn(colon, ": \t");
        size_t size = end == NULL ? strlen(colon) : (size_t)(end - colon);
        covey__printable(colon, size, facts->cpu, sizeof facts->cpu);
        return;
    }
}

static void read_system(const char *root, covey_device_facts *facts) {
    struct utsname name;
    char text[64];
    unsigned parts[3] = {0, 0, 0};
    copy_text(facts->os, sizeof facts->os, "linux");
    if (covey__device_text(root, "/proc/sys/kernel/osrelease", text, sizeof text) &&
        sscanf(text, "%5u.%5u.%5u", &parts[0], &parts[1], &parts[2]) >= 2)
        snprintf(facts->os_version, sizeof facts->os_version, "%u.%u.%u", parts[0], parts[1],
                 parts[2]);
    if (root[0] != '\0') {
        covey__device_text(root, "/covey/architecture", facts->architecture,
                           sizeof facts->architecture);
        covey__device_text(root, "/covey/isa", facts->isa, sizeof facts->isa);
        return;
    }
    if (uname(&name) == 0) copy_text(facts->architecture, sizeof facts->architecture, name.machine);
    copy_text(facts->isa, sizeof facts->isa, covey__isa_name(covey__cpu_best()));
}

static void read_storage(const char *state_dir, covey_device_facts *facts) {
    struct statvfs space;
    if (state_dir == NULL || statvfs(state_dir, &space) != 0) return;
    uint64_t bytes;
    if (!covey__mul_u64(space.f_bavail, space.f_frsize, &bytes) || bytes > INT64_MAX) return;
    facts->storage_available_bytes = (int64_t)bytes;
}

static void apply_pushed(const covey_signals *pushed, covey_device_facts *facts) {
    if (pushed->battery_percent >= 0) facts->battery_percent = pushed->battery_percent;
    if (pushed->charging >= 0) facts->charging = pushed->charging;
    if (pushed->network != COVEY_NETWORK_UNKNOWN) facts->network = pushed->network;
    if (pushed->thermal_percent >= 0) facts->thermal_percent = pushed->thermal_percent;
    if (pushed->memory_available_bytes >= 0)
        facts->memory_available_bytes = pushed->memory_available_bytes;
}

covey_device_class covey__device_classify(int64_t memory_total_bytes, const char *isa) {
    int64_t for_models = memory_total_bytes / 2;
    if (for_models < GIB || strcmp(isa, "scalar") == 0) return COVEY_CLASS_TINY;
    if (for_models < 4 * GIB) return COVEY_CLASS_SMALL;
    return for_models < 12 * GIB ? COVEY_CLASS_MEDIUM : COVEY_CLASS_LARGE;
}

covey_status covey__device_read_at(const covey__env *env, const char *root, const char *state_dir,
                                   const covey_signals *pushed, covey_device_facts *facts,
                                   covey_error *error) {
    (void)error;
    if (root == NULL) root = "";
    *facts = unknown_facts;
    read_system(root, facts);
    read_cpu(root, facts);
    facts->core_count = covey__device_cores(root);
    covey__device_memory(root, facts);
    covey__device_power(env, root, facts);
    covey__device_thermal(env, root, facts);
    covey__device_network(root, facts);
    read_storage(state_dir, facts);
    if (pushed != NULL) apply_pushed(pushed, facts);
    facts->device_class = covey__device_classify(facts->memory_total_bytes, facts->isa);
    return COVEY_OK;
}

covey_status covey_device_read(covey_runtime *runtime, const char *state_dir,
                               covey_device_facts *facts, covey_error *error) {
    if (runtime == NULL || facts == NULL || facts->size < sizeof(size_t))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "device: facts must be set to COVEY_DEVICE_FACTS_INIT first");
    covey_device_facts read;
    covey_signals pushed = covey__runtime_signals(runtime);
    /* Lets a test, or a person, play another device; it can only mislead the one who sets it. */
    const char *root = secure_getenv("COVEY_DEVICE_ROOT");
    covey_status status =
        covey__device_read_at(covey__runtime_env(runtime), root, state_dir, &pushed, &read, error);
    if (status != COVEY_OK) return status;
    size_t size = facts->size < sizeof read ? facts->size : sizeof read;
    memcpy(facts, &read, size);
    facts->size = size;
    return COVEY_OK;
}

const char *covey_device_class_name(covey_device_class device_class) {
    switch (device_class) {
    case COVEY_CLASS_TINY:
        return "tiny";
    case COVEY_CLASS_SMALL:
        return "small";
    case COVEY_CLASS_MEDIUM:
        return "medium";
    case COVEY_CLASS_LARGE:
        return "large";
    }
    return "unknown";
}
