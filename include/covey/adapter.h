/* Adapters: low-rank changes of a model's matrices (LoRA, Hu et al. 2021), in GGUF as llama.cpp's
 * convert_lora_to_gguf.py writes them. An adapter stands beside its base: weights are never merged,
 * so each session chooses its own, several at once with scales, and no other session is touched. */
#ifndef COVEY_ADAPTER_H
#define COVEY_ADAPTER_H

#include <covey/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_adapter covey_adapter;

#define COVEY_ADAPTERS_MAX 8 /* of one session */

/* Opens an adapter for a model from a file, which is mapped until it is closed. Refused with
 * COVEY_ERROR_MISMATCH: one of another architecture, one that was bound to another base
 * (covey_adapter_bind), one with a tensor that the model does not have or of another shape. With
 * COVEY_ERROR_UNSUPPORTED: weights of a type other than F32, F16 and BF16, and tensors that no
 * product reads (embeddings). The message names the tensor. One that names no base is taken with a
 * warning to the log: only names and shapes tell then that it fits. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_adapter_open(covey_model *model, const char *path,
                                                         covey_adapter **adapter,
                                                         covey_error *error);
/* Lets go of it: it ends once no session uses it any more. NULL is allowed. Any thread. */
COVEY_API void covey_adapter_close(covey_adapter *adapter);

/* Strings are borrowed from the adapter. */
typedef struct covey_adapter_info {
    size_t size;
    const char *name; /* general.name, or "" */
    float alpha;      /* the change is B (A x), times alpha / rank and the session's scale */
    int32_t rank_max;
    int32_t matrix_count; /* matrices of the model that it changes */
    uint64_t bytes;       /* of the file */
    bool bound;           /* it names its base, and this model is it */
    uint8_t sha256[32];   /* of the file */
    const char *file;     /* the last part of its path */
} covey_adapter_info;
#define COVEY_ADAPTER_INFO_INIT                                                                    \
    { sizeof(covey_adapter_info), NULL, 0.0f, 0, 0, 0, false, {0}, NULL }
/* Fills `info`, up to the size it was made with. Any thread. */
COVEY_API void covey_adapter_describe(const covey_adapter *adapter, covey_adapter_info *info);

/* Writes a copy of an adapter's file that names `model` as its base, by its identity (the digest
 * that covey_model_source gave, or one of its metadata and samples of its tensors): other models
 * refuse it then. `out_path` is replaced atomically, and may be `in_path`: it is then the file as
 * it was or the bound one, whatever happens, and an adapter that is open on it stays good. Any
 * thread. */
COVEY_API COVEY_MUST_USE covey_status covey_adapter_bind(covey_model *model, const char *in_path,
                                                         const char *out_path, covey_error *error);

/* An adapter at work in a session (covey_session_options). Frozen: it stands in arrays. */
typedef struct covey_adapter_use {
    covey_adapter *adapter; /* held by the session until it closes */
    float scale;            /* 1: as it was trained; finite */
} covey_adapter_use;

/* An adapter that requests may choose (covey_local_options). Those who choose nothing get it at
 * this scale, unless it is there on request only. Its number, from 0, is its place in the list.
 * Frozen: it stands in arrays. */
typedef struct covey_adapter_offer {
    covey_adapter *adapter;
    float scale; /* finite and not 0 */
    bool on_request;
} covey_adapter_offer;

/* One of the offered adapters, for a request. Frozen: it stands in arrays. */
typedef struct covey_adapter_choice {
    int32_t id;  /* its number */
    float scale; /* 0: off; NaN: the offer's own */
} covey_adapter_choice;

#ifdef __cplusplus
}
#endif
#endif
