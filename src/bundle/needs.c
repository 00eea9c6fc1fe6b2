/* What an ensemble needs, held against this library and this system. Every refusal says which need,
 * what is here, and what would help. The agent checks again with the app's version and at every
 * start, since library, system and app change under an installed ensemble. */
#include "bundle/manifest.h"

#include "base/error.h"
#include "base/semver.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Roles that this library can put to use. Others may be listed as optional. */
static const char *const usable_roles[] = {"model", "adapter", "template",
                                           "tools", "probes",  "policy"};

/* "6.1.0-13-amd64" is no semantic version for our purpose: its tail would make it a pre-release. */
static void plain_version(const char *release, char out[32]) {
    unsigned parts[3] = {0, 0, 0};
    sscanf(release, "%5u.%5u.%5u", &parts[0], &parts[1], &parts[2]);
    snprintf(out, 32, "%u.%u.%u", parts[0], parts[1], parts[2]);
}

void covey__platform_default(covey__platform *platform, char os_version[32]) {
    struct utsname name;
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    plain_version(uname(&name) == 0 ? name.release : "0.0.0", os_version);
    *platform = (covey__platform) {
        .engine_interface = COVEY__ENGINE_INTERFACE,
        .arithmetic_version_max = COVEY__ARITHMETIC_VERSION_MAX, .app_version = NULL,
#if defined(__ANDROID__)
        .os = "android",
#elif defined(__APPLE__)
        .os = "darwin",
#elif defined(_WIN32)
        .os = "windows",
#else
        .os = "linux",
#endif
        .os_version = os_version,
        .memory_total_bytes =
            pages > 0 && page_bytes > 0 ? (int64_t)pages * (int64_t)page_bytes : -1,
    };
}

static covey_status check_roles(const covey__manifest *manifest, covey_error *error) {
    for (size_t i = 0; i < manifest->component_count; i++) {
        const covey__component *component = &manifest->components[i];
        bool usable = component->optional;
        for (size_t r = 0; r < sizeof usable_roles / sizeof usable_roles[0]; r++)
            if (strcmp(component->role, usable_roles[r]) == 0) usable = true;
        if (!usable)
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "component \"%s\" (%s): this library (%s) cannot use such a "
                               "component; update the app",
                               component->role, component->file, COVEY_VERSION);
    }
    return COVEY_OK;
}

static covey_status check_os(const covey__manifest *manifest, const covey__platform *platform,
                             covey_error *error) {
    if (manifest->os_count == 0) return COVEY_OK;
    for (size_t i = 0; i < manifest->os_count; i++) {
        if (strcmp(manifest->os[i].os, platform->os) != 0) continue;
        if (covey__semver_in_range(platform->os_version, manifest->os[i].range)) return COVEY_OK;
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "needs.os.%s: it needs version %s, this system is %s", platform->os,
                           manifest->os[i].range, platform->os_version);
    }
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "needs.os: it is not made for %s; publish a variant that is", platform->os);
}

static covey_status check_all(const covey__manifest *manifest, const covey__platform *platform,
                              covey_error *error) {
    if (manifest->engine_interface > platform->engine_interface)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "needs.engine_interface: it needs %" PRId32 ", this library (%s) has "
                           "%" PRId32 "; update the app",
                           manifest->engine_interface, COVEY_VERSION, platform->engine_interface);
    if (manifest->arithmetic_version > platform->arithmetic_version_max)
        return covey__fail(
            error, COVEY_ERROR_UNSUPPORTED,
            "needs.arithmetic_version: it needs %" PRId32 ", this library (%s) keeps "
            "1 to %" PRId32 "; update the app",
            manifest->arithmetic_version, COVEY_VERSION, platform->arithmetic_version_max);
    if (platform->app_version != NULL &&
        !covey__semver_in_range(platform->app_version, manifest->app))
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "needs.app: it needs an app %s, this one is %s", manifest->app,
                           platform->app_version);
    if (platform->memory_total_bytes >= 0 &&
        manifest->memory_bytes > (uint64_t)platform->memory_total_bytes)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "needs.memory_bytes: it needs %" PRIu64 " bytes of memory, this device "
                           "has %" PRId64 "; use a smaller variant",
                           manifest->memory_bytes, platform->memory_total_bytes);
    covey_status status = check_roles(manifest, error);
    return status == COVEY_OK ? check_os(manifest, platform, error) : status;
}

covey_status covey__manifest_check_needs(const covey__manifest *manifest,
                                         const covey__platform *platform, covey_error *error) {
    covey_status status = check_all(manifest, platform, error);
    if (status == COVEY_OK) return COVEY_OK;
    return covey__prefix(error, status, "bundle: %s@%s", manifest->name, manifest->version);
}
