/* The ensemble manifest, ensemble.json (docs/formats/ensemble.md): parsed, checked against itself,
 * against a folder, and against what this library and device have. */
#ifndef COVEY_BUNDLE_MANIFEST_H
#define COVEY_BUNDLE_MANIFEST_H

#include <covey/ensemble.h>

#include "base/arena.h"
#include "base/buffer.h"

#define COVEY__MANIFEST_FILE          "ensemble.json"
#define COVEY__MANIFEST_FORMAT        1
#define COVEY__MANIFEST_BYTES_MAX     (1u << 20)
#define COVEY__COMPONENT_COUNT_MAX    256
#define COVEY__ADAPTER_COUNT_MAX      8 /* what a session takes */
#define COVEY__ENGINE_INTERFACE       1 /* what `needs.engine_interface` means to this library */
#define COVEY__ARITHMETIC_VERSION_MAX 1 /* versions 1 to this are kept (docs/arithmetic.md) */

typedef struct covey__component {
    const char *role; /* "model", "adapter", "template", "tools", "index", "probes", "policy" */
    const char *file; /* relative to the folder; safe on every file system */
    uint64_t size;
    uint8_t sha256[32];
    bool optional; /* an unknown role may be left unused */
    bool has_base; /* adapters: what they were trained on */
    uint8_t base_sha256[32];
    float scale;        /* adapters: how strongly they change the model; 1 as they were trained */
    bool on_request;    /* adapters: off for requests that choose nothing */
    bool encrypted;     /* docs/formats/encrypted-component.md; size and sha256 are the file's */
    uint8_t key_id[16]; /* of the content key */
    uint8_t component_id[32]; /* a keyed digest of the plain bytes */
    uint64_t plain_size;
} covey__component;

typedef struct covey__os_range {
    const char *os;    /* "linux" */
    const char *range; /* of its version */
} covey__os_range;

typedef struct covey__manifest {
    covey__arena arena;
    const char *name, *version, *variant;
    covey__component *components;
    size_t component_count;
    uint64_t memory_bytes;
    int32_t engine_interface, arithmetic_version;
    const char *app;     /* range of app versions, "*" when any */
    covey__os_range *os; /* none: any system */
    size_t os_count;
    uint8_t digest[32]; /* of the manifest's bytes: the ensemble's digest */
    char digest_hex[65];
} covey__manifest;

/* Parses and checks it against itself. FORMAT and UNSUPPORTED (a newer format, a feature in
 * `requires`) name the field. */
covey_status covey__manifest_parse(const covey__env *env, const char *text, size_t size,
                                   covey__manifest **manifest, covey_error *error) COVEY_MUST_USE;
covey_status covey__manifest_read(const covey__env *env, const char *folder,
                                  covey__manifest **manifest, covey_error *error) COVEY_MUST_USE;
void covey__manifest_free(covey__manifest *manifest); /* NULL is allowed */

/* The features that a manifest may require. */
#define COVEY__FEATURE_ENCRYPTION "encryption"
#define COVEY__ENCRYPTION_SCHEME  "covey-aes-256-gcm-1"
/* What identifies a component's plain bytes: their SHA-256, or the keyed digest. */
const uint8_t *covey__component_identity(const covey__component *component);
/* Roles whose files may be encrypted. What a user is asked to consent to (tools, policy) may not:
 * it must be readable without a key. */
bool covey__role_may_hide(const char *role);

/* The first component with a role; NULL if none. */
const covey__component *covey__manifest_find(const covey__manifest *manifest, const char *role);

/* The components against a folder's files: NOT_FOUND or MISMATCH naming the component. */
covey_status covey__manifest_check_files(const covey__env *env, const covey__manifest *manifest,
                                         const char *folder, covey_check_depth depth,
                                         covey_error *error) COVEY_MUST_USE;

/* The deep check in slices, for whoever works beside someone that serves: the page cache stays as
 * it was. The manifest is borrowed until it is freed. A step goes on, at least by some MiB, until
 * the deadline (monotonic) or the end (*done); a failure is for good. */
typedef struct covey__files_check covey__files_check;
covey_status covey__files_check_new(const covey__env *env, const covey__manifest *manifest,
                                    const char *folder, covey__files_check **check,
                                    covey_error *error) COVEY_MUST_USE;
covey_status covey__files_check_step(covey__files_check *check, int64_t deadline_us, bool *done,
                                     covey_error *error) COVEY_MUST_USE;
void covey__files_check_free(covey__files_check *check); /* NULL is allowed */

/* Whether a name in a manifest may become a path: "name" or "folder/name" of letters, digits, '.',
 * '_' and '-', no part starting with '.', none that Windows reserves, at most 128 bytes. */
bool covey__component_name_valid(const char *file);
/* Finite, not 0, at most 1,000 either way. */
bool covey__adapter_scale_valid(float scale);
/* Letters, digits, '.', '_', '-'; starts with a letter or digit; 1 to 64 bytes. */
bool covey__ensemble_name_valid(const char *name);

/* What the needs are held against. */
typedef struct covey__platform {
    int32_t engine_interface;
    int32_t arithmetic_version_max;
    const char *app_version;     /* NULL: not known here, not checked */
    const char *os, *os_version; /* "linux", "6.1.0" */
    int64_t memory_total_bytes;  /* -1 unknown, not checked */
} covey__platform;
/* This library on this system; app version NULL. `os_version` must outlive the platform. */
void covey__platform_default(covey__platform *platform, char os_version[32]);
/* UNSUPPORTED, saying which need is not met, what is here, and what to do. */
covey_status covey__manifest_check_needs(const covey__manifest *manifest,
                                         const covey__platform *platform,
                                         covey_error *error) COVEY_MUST_USE;

/* Inside of a covey_ensemble. */
const covey__manifest *covey__ensemble_manifest(const covey_ensemble *ensemble);
covey_runtime *covey__ensemble_runtime(const covey_ensemble *ensemble);

#endif
