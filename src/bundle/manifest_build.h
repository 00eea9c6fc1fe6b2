/* Writing a manifest over files that stand in a folder. */
#ifndef COVEY_BUNDLE_MANIFEST_BUILD_H
#define COVEY_BUNDLE_MANIFEST_BUILD_H

#include "bundle/manifest.h"

typedef struct covey__manifest_part {
    const char *role;
    const char *file;
    float scale; /* of an adapter; 0: 1 */
    bool on_request;
    bool encrypted; /* the file is; its header says how */
} covey__manifest_part;

typedef struct covey__manifest_spec {
    const char *name, *version, *variant;
    const covey__manifest_part *parts; /* the model before its adapters */
    size_t part_count;
    uint64_t memory_bytes;
    int32_t arithmetic_version;
    const char *app;       /* range; NULL: any */
    const char *const *os; /* "linux" or "linux >=4.19.0" */
    size_t os_count;
} covey__manifest_spec;

/* Checks what a person wrote, before any work is done. */
covey_status covey__manifest_spec_check(const covey__manifest_spec *spec,
                                        covey_error *error) COVEY_MUST_USE;
/* Hashes the parts and writes ensemble.json into the folder, after reading it back as a device
 * would. */
covey_status covey__manifest_write(const covey__env *env, const char *folder,
                                   const covey__manifest_spec *spec,
                                   covey_error *error) COVEY_MUST_USE;

#endif
