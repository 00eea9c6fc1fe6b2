/* Adapters inside the engine: adapter.c opens them, pass_adapter.c computes them. */
#ifndef COVEY_ENGINE_ADAPTER_H
#define COVEY_ENGINE_ADAPTER_H

#include <covey/adapter.h>

#include "engine/architecture.h"

#define COVEY__ADAPTER_BASE_KEY "covey.adapter.base" /* hex of the base's identity */
#define COVEY__ADAPTER_RANK_MAX 512

/* One matrix's change: b (a x), times alpha / rank. a.data is NULL where there is none. */
typedef struct covey__lora {
    covey__weights a; /* [rank][columns of the matrix] */
    covey__weights b; /* [rows of the matrix][rank] */
    float factor;     /* alpha / rank */
} covey__lora;

/* A session's adapter with its scale. */
typedef struct covey__adapter_use {
    covey_adapter *adapter;
    float scale;
} covey__adapter_use;

/* covey_adapter_open without its warning: the caller knows that the base is the right one where
 * the file does not say. */
covey_status covey__adapter_open_vouched(covey_model *model, const char *path,
                                         covey_adapter **adapter, covey_error *error);
/* The same of bytes that are in memory already, which the adapter owns from here on, also on
 * failure. `name` is the file's. */
covey_status covey__adapter_open_taking(covey_model *model, covey__map *take_map, const char *name,
                                        covey_adapter **adapter, covey_error *error);
/* covey_adapter_bind to a base of this identity, whose tensors `model` has. */
covey_status covey__adapter_bind_to(covey_model *model, const char *in_path, const char *out_path,
                                    const uint8_t identity[32], covey_error *error);
void covey__adapter_hold(covey_adapter *adapter);
/* The change of a group's matrix; NULL for none. */
const covey__lora *covey__adapter_find(const covey_adapter *adapter, const covey__group *group,
                                       int32_t matrix);
int32_t covey__adapter_rank_max(const covey_adapter *adapter);
const covey_model *covey__adapter_model(const covey_adapter *adapter);
const uint8_t *covey__adapter_digest(const covey_adapter *adapter); /* 32 bytes, of the file */

/* Floats that the pass keeps for a row, over all of a session's adapters: a x of each matrix of a
 * group. */
int32_t covey__adapters_row_floats(const covey__adapter_use *uses, int32_t count);

#endif
