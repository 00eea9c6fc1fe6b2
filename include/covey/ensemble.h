/* Ensembles: all that must agree for an answer to be right, in one folder with its manifest,
 * ensemble.json (docs/formats/ensemble.md, schema/ensemble.schema.json).
 *
 * An open ensemble is immutable: any number of threads may use it, but for closing it. Opening and
 * probing run on the caller's thread, and on the runtime's, and take as long as they take. */
#ifndef COVEY_ENSEMBLE_H
#define COVEY_ENSEMBLE_H

#include <covey/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_ensemble covey_ensemble;

typedef enum covey_check_depth {
    COVEY_CHECK_MANIFEST = 0, /* the manifest alone, and that files are there with the right size */
    COVEY_CHECK_DIGESTS = 1   /* every byte of every component */
} covey_check_depth;

/* Opens the folder's manifest and checks it as deep as asked, and what it needs against this
 * library and device. COVEY_ERROR_FORMAT: the manifest is malformed or contradicts itself.
 * COVEY_ERROR_NOT_FOUND, COVEY_ERROR_MISMATCH: a component is absent or differs.
 * COVEY_ERROR_UNSUPPORTED: it needs what this library lacks. Each names the component or field. */
COVEY_API COVEY_MUST_USE covey_status covey_ensemble_open(covey_runtime *runtime,
                                                          const char *folder,
                                                          covey_check_depth depth,
                                                          covey_ensemble **ensemble,
                                                          covey_error *error);
/* Closes it; models opened from it stay open. NULL is allowed. */
COVEY_API void covey_ensemble_close(covey_ensemble *ensemble);

/* Borrowed from the ensemble, never NULL. */
COVEY_API const char *covey_ensemble_name(const covey_ensemble *ensemble);
COVEY_API const char *covey_ensemble_version(const covey_ensemble *ensemble);
COVEY_API const char *covey_ensemble_variant(const covey_ensemble *ensemble);
COVEY_API const char *covey_ensemble_digest(const covey_ensemble *ensemble); /* 64 hex digits */
COVEY_API const char *covey_ensemble_folder(const covey_ensemble *ensemble); /* as it was opened */

typedef struct covey_component {
    size_t size;
    const char *role;
    const char *file;   /* relative to the folder */
    const char *sha256; /* 64 hex digits */
    uint64_t bytes;
    float scale;     /* of an adapter, 0 for others */
    bool on_request; /* an adapter that is off for requests that choose nothing */
} covey_component;
COVEY_API size_t covey_ensemble_component_count(const covey_ensemble *ensemble);
/* Component `index` of the manifest's order; strings are borrowed from the ensemble.
 * COVEY_ERROR_NOT_FOUND when there are not so many. Set `size` before. */
COVEY_API COVEY_MUST_USE covey_status covey_ensemble_component(const covey_ensemble *ensemble,
                                                               size_t index,
                                                               covey_component *component,
                                                               covey_error *error);

/* Whether components of it are encrypted (docs/formats/encrypted-component.md): then its model,
 * adapters and probes open only with their content key. */
COVEY_API bool covey_ensemble_encrypted(const covey_ensemble *ensemble);
/* Gives it a content key: its 32 bytes, or a file that "covey bundle key" made. It is copied, and
 * wiped when the ensemble is closed. Before other threads use the ensemble. Not needed for one that
 * covey_agent_current gave, nor where the runtime's keystore has it as "content_key." with the
 * key's id in hex, its value in hex. COVEY_ERROR_MISMATCH when no component was encrypted with it.
 */
COVEY_API COVEY_MUST_USE covey_status covey_ensemble_give_key(covey_ensemble *ensemble,
                                                              const uint8_t key[32],
                                                              covey_error *error);
COVEY_API COVEY_MUST_USE covey_status covey_ensemble_give_key_file(covey_ensemble *ensemble,
                                                                   const char *path,
                                                                   covey_error *error);

/* Opens the component with role "model" on the engine; the caller closes it. Fails as
 * covey_model_open does, and with COVEY_ERROR_UNSUPPORTED where the ensemble has adapters: the
 * model alone would answer otherwise than the ensemble (covey_ensemble_open_parts). An encrypted
 * one is decrypted to memory of this process, which costs its whole size; COVEY_ERROR_DENIED
 * without its content key. */
COVEY_API COVEY_MUST_USE covey_status covey_ensemble_open_model(covey_ensemble *ensemble,
                                                                covey_model **model,
                                                                covey_error *error);

/* What an ensemble answers with. */
typedef struct covey_ensemble_parts {
    size_t size;
    covey_model *model;
    covey_adapter_offer adapters[COVEY_ADAPTERS_MAX]; /* in the manifest's order */
    size_t adapter_count;
    int64_t idle_kv_bytes_max; /* set before, as in covey_model_source */
    bool knows_tools;          /* it has a component "tools": the model was trained on them */
    covey_runtime *runtime;    /* set before: the one to open them in; NULL: the ensemble's */
} covey_ensemble_parts;
#define COVEY_ENSEMBLE_PARTS_INIT                                                                  \
    { sizeof(covey_ensemble_parts), NULL, {{NULL, 0.0f, false}}, 0, 0, false, NULL }

/* Opens the model and the adapters; each adapter is held against its digest and the model. Give
 * them to covey_backend_local_with. Fails as covey_model_open and covey_adapter_open do, naming the
 * component; nothing is open then. Set `size` before. */
COVEY_API COVEY_MUST_USE covey_status covey_ensemble_open_parts(covey_ensemble *ensemble,
                                                                covey_ensemble_parts *parts,
                                                                covey_error *error);
/* Closes the adapters, and the model too where `parts->model` is not NULL: set it to NULL when a
 * backend took it. */
COVEY_API void covey_ensemble_close_parts(covey_ensemble_parts *parts);

/* The outcome of an ensemble's probes. */
typedef struct covey_probe_result {
    size_t size;
    int32_t bits_count, bits_passed;
    int32_t task_count, task_passed;
    double task_score, task_score_min; /* shares of 1 */
    int64_t elapsed_ms;
    char first_failure[256]; /* which probe, what was expected, what came; "" when all passed */
} covey_probe_result;
#define COVEY_PROBE_RESULT_INIT                                                                    \
    { sizeof(covey_probe_result), 0, 0, 0, 0, 0.0, 0.0, 0, "" }

/* Called after each probe; return false to stop with COVEY_ERROR_CANCELLED. */
typedef bool (*covey_progress_fn)(void *user, const char *what, uint64_t done, uint64_t total);

/* Loads the model and runs every probe. COVEY_OK when all bits probes are equal and the task score
 * reaches its minimum; COVEY_ERROR_REFUSED when not, with `result` filled; another error when they
 * could not be run. An ensemble without probes passes. `progress` may be NULL. */
COVEY_API COVEY_MUST_USE covey_status covey_ensemble_probe(covey_ensemble *ensemble,
                                                           covey_probe_result *result,
                                                           covey_error *error,
                                                           covey_progress_fn progress, void *user);

#ifdef __cplusplus
}
#endif
#endif
