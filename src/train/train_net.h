/* The network that is trained: the llama architecture (RMSNorm, RoPE on pairs, grouped-query
 * attention, SwiGLU), its weights in one array, and a worker that runs sequences forward and
 * backward on one thread. Workers share weights read-only; whoever runs one brings the gradients.
 */
#ifndef COVEY_TRAIN_TRAIN_NET_H
#define COVEY_TRAIN_TRAIN_NET_H

#include "base/env.h"
#include "train/train_kernels.h"

#define COVEY__TRAIN_CONTEXT_MAX 4096

typedef struct covey__net_shape {
    int32_t layers, width, heads, kv_heads, ff, vocabulary, context;
    bool untied;
    float rope_base, epsilon;
} covey__net_shape;

/* Where a layer's weights begin. The rows of q, k and v lie together, as do those of gate and up,
 * so that each group is one product; GGUF's tensors are stretches of the same array. */
typedef struct covey__net_layer {
    size_t attn_norm, q, k, v, attn_output, ffn_norm, gate, up, down;
} covey__net_layer;

typedef struct covey__net {
    covey__net_shape shape;
    int32_t head_dim, kv_width, qkv_width; /* of a head; of all K (or V) heads; of q, k and v */
    size_t parameter_count;
    size_t embedding, output_norm, output; /* output is embedding when tied */
    float *weights;
} covey__net;

/* One tensor of the file, for those who read, write or update weights one by one. */
typedef struct covey__net_tensor {
    char name[64];
    size_t offset;
    int32_t rows, columns; /* rows is 1 for a vector */
    bool vector;
} covey__net_tensor;

/* Checks the shape and fills all but the weights. */
covey_status covey__net_plan(const covey__net_shape *shape, covey__net *net,
                             covey_error *error) COVEY_MUST_USE;
/* The same, and reserves zeroed weights. */
covey_status covey__net_init(const covey__env *env, const covey__net_shape *shape, covey__net *net,
                             covey_error *error) COVEY_MUST_USE;
void covey__net_free(const covey__env *env, covey__net *net);
/* Normal weights of deviation 0.02, smaller where they add to the residual stream; norms are 1. */
void covey__net_randomize(covey__net *net, uint64_t seed);
covey__net_layer covey__net_layer_at(const covey__net *net, int32_t layer);
size_t covey__net_tensor_count(const covey__net *net);
covey__net_tensor covey__net_tensor_at(const covey__net *net, size_t index);

/* 64 bits that depend on these alone (SplitMix64, Steele and others 2014). */
uint64_t covey__train_random(uint64_t seed, uint64_t stream, uint64_t index);

/* What a worker runs: sequences one after the other in `tokens`. */
typedef struct covey__net_batch {
    const int32_t *tokens;
    const int32_t *targets; /* the token that should follow, or -1 where nothing is learned */
    size_t token_count;
    const size_t *starts; /* sequence_count + 1 of them, the last is token_count */
    size_t sequence_count;
} covey__net_batch;

typedef struct covey__net_worker covey__net_worker;

/* For batches of at most `tokens_max` tokens in sequences of at most `context`. */
covey_status covey__net_worker_new(const covey__env *env, const covey__net *net,
                                   const covey__train_kernels *kernels, size_t tokens_max,
                                   size_t context, covey__net_worker **worker,
                                   covey_error *error) COVEY_MUST_USE;
void covey__net_worker_free(covey__net_worker *worker);

/* Forward. Returns the sum over targets of their negative log likelihoods. Where `right` is not
 * NULL, right[i] tells for each token with a target whether that was the likeliest. Where `logits`
 * is not NULL it receives the rows of tokens with targets. */
double covey__net_forward(covey__net_worker *worker, const covey__net_batch *batch, bool *right,
                          float *logits);
/* Forward and backward: adds factor * gradient of that sum to `gradients`, parameter_count of
 * them. */
double covey__net_train(covey__net_worker *worker, const covey__net_batch *batch, float factor,
                        float *gradients);

/* ---- Attention of one sequence, for the worker ---- */

typedef struct covey__net_attention {
    const covey__train_kernels *kernels;
    int32_t head_dim, heads, kv_heads;
    size_t tokens;
    size_t context; /* for which scratch was sized */
    float *qkv;     /* [tokens][qkv_width], queries and keys turned */
    float *out;     /* [tokens][heads * head_dim] */
    float *lse;     /* [tokens][heads] */
    float *d_out;   /* gradients of the above */
    float *d_qkv;   /* zeroed by the caller */
    float *scratch;
} covey__net_attention;
size_t covey__net_attention_scratch(const covey__train_kernels *kernels, int32_t head_dim,
                                    size_t context);
void covey__net_attention_forward(const covey__net_attention *attention);
void covey__net_attention_backward(const covey__net_attention *attention);

#endif
