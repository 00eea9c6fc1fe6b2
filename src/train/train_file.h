/* Models and checkpoints of training in GGUF. A checkpoint is a model in F32 with AdamW's two
 * moments as tensors and the rest of the state as metadata. */
#ifndef COVEY_TRAIN_TRAIN_FILE_H
#define COVEY_TRAIN_TRAIN_FILE_H

#include <covey/train.h>

#include "train/train_corpus.h"
#include "train/train_net.h"

/* All of training that is not weights. */
typedef struct covey__train_state {
    int64_t step;
    uint64_t tokens; /* trained so far */
    covey__corpus_position position;
    uint64_t seed;
    uint8_t corpus_digest[32];
    uint64_t batch_tokens, context_tokens;
    float *first, *second; /* parameter_count each */
} covey__train_state;

/* Whether the file has weights, and their shape; whether all tensors of a planned net are there and
 * can be read, which bounds the net by the file's size; then the weights. */
bool covey__train_file_has_weights(const covey__gguf *gguf);
covey_status covey__train_file_shape(const covey__gguf *gguf, size_t vocabulary_size,
                                     covey__net_shape *shape, covey_error *error) COVEY_MUST_USE;
covey_status covey__train_file_check(const covey__gguf *gguf, const covey__net *net,
                                     covey_error *error) COVEY_MUST_USE;
covey_status covey__train_file_weights(const covey__gguf *gguf, covey__net *net,
                                       covey_error *error) COVEY_MUST_USE;
/* The state of a checkpoint; first and second point to memory of their size. */
covey_status covey__train_file_state(const covey__gguf *gguf, const covey__net *net,
                                     covey__train_state *state, covey_error *error) COVEY_MUST_USE;

/* Writes a model in F32 or F16, with `state` a checkpoint (F32). NUMERIC when a weight is not
 * finite in that type. */
covey_status covey__train_file_save(const covey__env *env, const char *path, const char *name,
                                    const covey__net *net,
                                    const covey__train_vocabulary *vocabulary,
                                    covey_weight_type type, const covey__train_state *state,
                                    covey_error *error) COVEY_MUST_USE;

#endif
