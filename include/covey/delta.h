/* Patches: what turns one file into another, bit for bit, in few bytes. Any two files will do; of
 * two GGUF files the tensors are matched by name, and quantized ones are predicted from the old
 * weights. The format is docs/formats/patch.md. Updates of ensembles make and apply patches by
 * themselves; these calls are for who moves models in another way.
 *
 * The calls run until they are done, on the caller's thread; any thread may make one. Memory stays
 * under 64 MiB whatever the files' size, pages of mapped files apart. */
#ifndef COVEY_DELTA_H
#define COVEY_DELTA_H

#include <covey/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Told now and then of work done, in bytes; `total` is 0 while it is not known. Anything but
 * COVEY_OK stops: it becomes the call's status, and nothing is left of the new file. */
typedef covey_status (*covey_delta_progress_fn)(void *user, uint64_t done, uint64_t total);

/* Paths are borrowed for the call. */
typedef struct covey_delta_make_options {
    size_t size;
    const char *old_path, *new_path;
    const char *patch_path; /* appears whole or not at all */
    bool replace; /* a file that is there already; else COVEY_ERROR_EXISTS. Never old or new */
} covey_delta_make_options;
#define COVEY_DELTA_MAKE_OPTIONS_INIT                                                              \
    { sizeof(covey_delta_make_options), NULL, NULL, NULL, false }

typedef struct covey_delta_result {
    size_t size;
    uint64_t old_bytes, new_bytes; /* of the two files */
    uint64_t patch_bytes;
    uint64_t head_bytes;       /* of the patch: what stands before the first frame */
    uint64_t copied_bytes;     /* of the new file, by the way they are made: copied from the old, */
    uint64_t stored_bytes;     /* stored as they are, */
    uint64_t compressed_bytes; /* compressed, */
    uint64_t coded_bytes;      /* and coded as a tensor that was predicted from the old one */
} covey_delta_result;
#define COVEY_DELTA_RESULT_INIT                                                                    \
    { sizeof(covey_delta_result), 0, 0, 0, 0, 0, 0, 0, 0 }

/* Makes a patch. `result` and `progress` may be NULL. */
COVEY_API COVEY_MUST_USE covey_status covey_delta_make(
    covey_runtime *runtime, const covey_delta_make_options *options, covey_delta_result *result,
    covey_error *error, covey_delta_progress_fn progress, void *user);

typedef struct covey_delta_apply_options {
    size_t size;
    const char *old_path, *patch_path;
    const char *new_path; /* appears whole or not at all, and only with the right SHA-256 */
    bool replace; /* a file that is there already; else COVEY_ERROR_EXISTS. Never old or patch */
} covey_delta_apply_options;
#define COVEY_DELTA_APPLY_OPTIONS_INIT                                                             \
    { sizeof(covey_delta_apply_options), NULL, NULL, NULL, false }

/* Makes the new file. COVEY_ERROR_MISMATCH, with both digests, when `old_path` is not the file that
 * the patch was made from; COVEY_ERROR_FORMAT when the patch is damaged. `progress` counts bytes of
 * the new file and may be NULL. */
COVEY_API COVEY_MUST_USE covey_status covey_delta_apply(covey_runtime *runtime,
                                                        const covey_delta_apply_options *options,
                                                        covey_error *error,
                                                        covey_delta_progress_fn progress,
                                                        void *user);

/* One tensor of the new file, or the bytes before the first (then `name` is ""). */
typedef struct covey_delta_tensor {
    size_t size;
    const char *name; /* valid for the call */
    const char *type; /* "Q4_K"; "" for bytes that are no tensor, or of an unknown type */
    uint64_t bytes;
    uint64_t patch_bytes; /* its share of the patch without the head: to the byte, or nearly where
                             small tensors are coded together */
    uint64_t copied_bytes, stored_bytes, compressed_bytes, coded_bytes; /* as in a result */
    uint32_t rank; /* of a low-rank prediction; 0: none */
} covey_delta_tensor;
/* Anything but COVEY_OK stops and becomes the call's status. */
typedef covey_status (*covey_delta_tensor_fn)(void *user, const covey_delta_tensor *tensor);

typedef struct covey_delta_info {
    size_t size;
    char old_sha256[65], new_sha256[65];                                /* lower-case hex */
    uint64_t old_bytes, new_bytes, patch_bytes, head_bytes;             /* as in a result, */
    uint64_t copied_bytes, stored_bytes, compressed_bytes, coded_bytes; /* these too */
    uint64_t part_count, frame_count, tensor_count;
} covey_delta_info;
#define COVEY_DELTA_INFO_INIT                                                                      \
    { sizeof(covey_delta_info), {0}, {0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* What a patch says of itself: its head alone is read. `info` and `each` may be NULL. */
COVEY_API COVEY_MUST_USE covey_status covey_delta_show(covey_runtime *runtime,
                                                       const char *patch_path,
                                                       covey_delta_info *info, covey_error *error,
                                                       covey_delta_tensor_fn each, void *user);

#ifdef __cplusplus
}
#endif
#endif
