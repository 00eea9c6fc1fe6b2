/* Making and comparing ensembles: for whoever publishes them. A device needs covey/ensemble.h only.
 * The calls run until they are done; any thread may make one. */
#ifndef COVEY_BUNDLE_H
#define COVEY_BUNDLE_H

#include <covey/ensemble.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An adapter (a LoRA) of an ensemble. Frozen: it stands in arrays. */
typedef struct covey_bundle_adapter {
    const char *path; /* a GGUF; its last part, without folders, is the component's file name */
    float scale;      /* 1: as it was trained; 0: 1 */
    bool on_request;  /* off for requests that choose nothing */
} covey_bundle_adapter;

/* What goes into an ensemble. Paths are of files that are copied; NULL leaves a component out. */
typedef struct covey_bundle_options {
    size_t size;
    const char *name;             /* "assistant" */
    const char *version;          /* semantic version */
    const char *variant;          /* NULL: the model's quantization in lower case */
    const char *model;            /* a GGUF */
    const char *tools;            /* JSON */
    const char *chat_template;    /* Jinja; it is written into the copy of the model too */
    const char *policy;           /* JSON, docs/formats/policy.md */
    const char *task_probes;      /* JSON lines, docs/formats/ensemble.md */
    int32_t task_probe_count_max; /* so many, evenly spread over the file; 0: all */
    int32_t task_tokens_max;      /* of an answer; 0: 96 */
    double task_score_min;        /* share of the task probes that must be answered as expected */
    int32_t bits_probe_count;     /* recorded on this engine; 0: 3; -1: none */
    uint64_t needs_memory_bytes;  /* 0: the model's file and a session of default length */
    const char *needs_app;        /* range of app versions; NULL: any */
    const char *const *needs_os;  /* "linux" or "linux >=4.19.0"; none: any */
    size_t needs_os_count;
    const char *out;    /* a folder that does not exist yet; made whole or not at all */
    bool allow_failing; /* keep an ensemble that fails its own task probes */
    const covey_bundle_adapter *adapters; /* at most COVEY_ADAPTERS_MAX, for this model: the copies
                                             are bound to the ensemble's */
    size_t adapter_count;
    const char *content_key_file; /* encrypts all but tools and policy; NULL: nothing */
} covey_bundle_options;
#define COVEY_BUNDLE_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(covey_bundle_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0.0,   \
            0, 0, NULL, NULL, 0, NULL, false, NULL, 0, NULL                                        \
    }

/* Builds an ensemble: copies its components, refuses adapters of another model, records bits probes
 * on this engine, writes probes and manifest, then opens what it made as a device would and runs
 * all probes. COVEY_ERROR_REFUSED when task probes fail and `allow_failing` is not set: then
 * nothing is left behind. `result` gets the figures in either case; it and `progress` may be NULL.
 * `progress` is told of copying, then of probes, and may stop it all. */
COVEY_API COVEY_MUST_USE covey_status covey_bundle_build(covey_runtime *runtime,
                                                         const covey_bundle_options *options,
                                                         covey_probe_result *result,
                                                         covey_error *error,
                                                         covey_progress_fn progress, void *user);

/* Makes a content key for private ensembles (docs/formats/encrypted-component.md) in a new file
 * that only its owner may read. `id` gets its name, 32 hex digits. COVEY_ERROR_EXISTS when the file
 * is there: a key is never overwritten. */
COVEY_API COVEY_MUST_USE covey_status covey_bundle_key(covey_runtime *runtime, const char *path,
                                                       char id[33], covey_error *error);

/* What an ensemble is, for people or, with `json`, as one JSON object. The manifest alone is read.
 * Free the text with covey_bundle_free_text. */
COVEY_API COVEY_MUST_USE covey_status covey_bundle_show(covey_runtime *runtime, const char *folder,
                                                        bool json, char **text, covey_error *error);

/* What changes from one ensemble to another: components, needs, and the bytes that a device which
 * has the first would fetch for the second. Both are checked to the last byte. */
COVEY_API COVEY_MUST_USE covey_status covey_bundle_diff(covey_runtime *runtime, const char *from,
                                                        const char *to, bool json, char **text,
                                                        covey_error *error);

/* Frees a text that a call above made. NULL is allowed. */
COVEY_API void covey_bundle_free_text(covey_runtime *runtime, char *text);

#ifdef __cplusplus
}
#endif
#endif
