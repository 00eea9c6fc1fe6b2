/* Which tensor takes which type: quantize_mixture.c. */
#ifndef COVEY_TRAIN_QUANTIZE_MIXTURE_H
#define COVEY_TRAIN_QUANTIZE_MIXTURE_H

#include "base/error.h"
#include "gguf/gguf.h"
#include <covey/train.h>

/* A named way of quantizing a whole model. */
typedef struct covey__mixture {
    const char *name;
    covey_weight_type type;
    covey__type base;   /* what a matrix takes unless a rule says otherwise */
    uint32_t file_type; /* general.file_type: llama.cpp's numbers */
} covey__mixture;

/* NULL for an unknown one. */
const covey__mixture *covey__mixture_get(covey_weight_type type);
const covey__mixture *covey__mixture_named(const char *name);
/* "F32, F16, …": all names, for a message. */
const char *covey__mixture_names(void);

/* What the rules look at beside a tensor's name and shape. */
typedef struct covey__mixture_model {
    bool tied; /* no output matrix: the embedding is it */
    bool importance;
    int32_t layers;
    int32_t queries_per_key; /* query heads on one KV head */
} covey__mixture_model;
covey__mixture_model covey__mixture_model_read(const covey__gguf *gguf, bool importance);

/* The type of the tensor in the new file: its own where it is no matrix. */
covey__type covey__mixture_type(const covey__mixture *mixture, const covey__mixture_model *model,
                                const covey__gguf_tensor *tensor);

#endif
