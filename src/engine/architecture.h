/* What a model is made of: its numbers, its layers, and the table that says how one architecture
 * differs from another. A file in arch/ is such a table and no more; hyper.c and tensors.c fill a
 * model by it, and the pass computes what the layers hold, so none of them knows an architecture
 * by its name. What each one computes, in which order, is in docs/arithmetic.md, "Layers". */
#ifndef COVEY_ENGINE_ARCHITECTURE_H
#define COVEY_ENGINE_ARCHITECTURE_H

#include <covey/model.h>

#include "base/error.h"
#include "gguf/gguf.h"
#include "kernel/kernel.h"

/* ---- What a model holds ---- */

typedef struct covey__hyper {
    int32_t layer_count;
    int32_t width;
    int32_t ffn_width;
    int32_t head_count;
    int32_t kv_head_count;
    int32_t head_dim;
    int32_t rope_dims; /* 0: positions are learned */
    int32_t vocabulary_size;
    int32_t context_tokens;
    float norm_epsilon;
    float embedding_scale; /* of a token's row; 1 leaves it as it is */
    float attention_scale;
    double rope_base;
    double rope_scale;             /* positions are multiplied by it */
    double local_rope_base;        /* of layers with a window */
    float rope_magnitude;          /* cosines and sines are multiplied by it */
    int32_t rope_original_context; /* a longer declared context takes the long factors */
    int32_t window;                /* tokens that a layer with a window sees; 0: none has one */
    int32_t window_period;         /* every such layer sees all; 0: all layers have the window */
    covey_pooling pooling;         /* MODEL: the file does not say */
} covey__hyper;

/* Matrices that read the same input: computed together, split over threads as one. */
#define COVEY__GROUP_MAX 3
typedef struct covey__group {
    covey__weights matrices[COVEY__GROUP_MAX];
    const float *biases[COVEY__GROUP_MAX]; /* NULL: none */
    int32_t count;
    bool together; /* of equal shape, and split side by side instead of one after the other */
} covey__group;

/* The weights of a row's norm; `weight` is NULL where there is none. */
typedef struct covey__norm {
    const float *weight;
    const float *bias; /* of layer norms */
} covey__norm;

/* Where a block of a layer, attention or feed-forward, has norms. */
typedef struct covey__norms {
    covey__norm input;  /* of what the block reads */
    covey__norm output; /* of what it adds to the residual stream */
    covey__norm sum;    /* of the residual stream after that */
} covey__norms;

typedef struct covey__layer {
    covey__norms attention;
    covey__norms ffn;
    covey__group qkv;        /* query, key, value */
    const float *query_norm; /* of each head, before RoPE; NULL: none */
    const float *key_norm;
    covey__group attention_output; /* one matrix */
    covey__group gate_up;          /* gate, up: of equal shape; up alone where nothing gates it */
    covey__group down;             /* one matrix */
    int32_t window;                /* 0: it sees all keys */
    int32_t rope;                  /* of the model's `ropes`; -1: none */
} covey__layer;

/* The model's tensors beside its layers. */
typedef struct covey__roots {
    covey__weights token_embedding;
    covey__weights token_types; /* a row each; the first is what a text's tokens have */
    covey__weights positions;   /* learned: a row each */
    covey__norm embedding_norm;
    covey__group output; /* one matrix; the token embedding where it is tied; none in an encoder */
    covey__norm output_norm;
    const float *rope_factors;       /* NULL for none */
    const float *rope_factors_short; /* NULL for none: of contexts up to the original one */
    const float *rope_factors_long;  /* and beyond it */
} covey__roots;

/* Rotary frequencies of a model's layers: one set for most, another for layers with a window. */
#define COVEY__ROPES_MAX 2
typedef struct covey__rope {
    const double *frequencies;      /* [rope_dims / 2] */
    const double *long_frequencies; /* of sessions with a longer context than the original one */
} covey__rope;

/* ---- What an architecture is ---- */

typedef enum covey__dim {
    COVEY__DIM_ONE = 0,
    COVEY__DIM_WIDTH,
    COVEY__DIM_QUERY, /* head_count * head_dim */
    COVEY__DIM_KV,    /* kv_head_count * head_dim */
    COVEY__DIM_FFN,
    COVEY__DIM_VOCABULARY,
    COVEY__DIM_ROPE, /* rope_dims / 2 */
    COVEY__DIM_HEAD, /* head_dim */
    COVEY__DIM_CONTEXT,
    COVEY__DIM_ANY /* what the file has, one at least */
} covey__dim;

typedef enum covey__slot_kind {
    COVEY__SLOT_VECTOR, /* F32 values, copied and checked: a const float * */
    COVEY__SLOT_MATRIX  /* stays in the file: a covey__weights for each part of its rows */
} covey__slot_kind;

/* A tensor that an architecture has, and where it goes in covey__layer or covey__roots. */
typedef struct covey__slot {
    const char *name; /* of a layer's tensor: what follows "blk.N." */
    covey__slot_kind kind;
    bool optional;
    size_t offset;
    covey__dim columns;                /* GGUF's first dimension */
    covey__dim rows[COVEY__GROUP_MAX]; /* of each part, to the first DIM_ONE; none for a vector */
} covey__slot;

typedef enum covey__norm_kind { COVEY__NORM_RMS, COVEY__NORM_LAYER } covey__norm_kind;

typedef enum covey__activation {
    COVEY__ACTIVATION_SILU_GATE,      /* silu(gate) * up */
    COVEY__ACTIVATION_GELU_TANH_GATE, /* gelu(gate) * up, by tanh */
    COVEY__ACTIVATION_GELU_ERF        /* gelu(up), by erf */
} covey__activation;

typedef struct covey__architecture {
    const char *name; /* and what its metadata keys begin with */
    covey__rope_style rope_style;
    covey__norm_kind norm;
    covey__activation activation;
    bool is_encoder;         /* attention sees all tokens; no logits; positions are learned */
    bool scales_embedding;   /* by the square root of the width */
    bool has_window;         /* knows attention.sliding_window */
    bool has_long_rope;      /* knows rope.scaling.type "longrope", and its two sets of factors */
    int32_t window_period;   /* the default of covey__hyper's */
    double local_rope_base;  /* the default of covey__hyper's; 0: layers share one base */
    int32_t rope_less_every; /* every such layer has no RoPE; 0: each has it */
    const covey__slot *roots;
    size_t root_count;
    const covey__slot *layer;
    size_t layer_slot_count;
    void (*adjust)(covey__hyper *hyper); /* what no key says; may be NULL */
} covey__architecture;

extern const covey__architecture covey__arch_bert, covey__arch_gemma3, covey__arch_llama,
    covey__arch_phi3, covey__arch_qwen2, covey__arch_qwen3, covey__arch_smollm3;

/* The architecture of that name, or NULL. `names` gets all of them, for an error's message. */
const covey__architecture *covey__architecture_find(covey__gguf_text name, char *names,
                                                    size_t names_size);

/* Reads and checks all of `hyper` but the size of the vocabulary; refuses, by its key, whatever
 * would change the arithmetic and is not computed. */
covey_status covey__hyper_read(const covey__architecture *architecture, const covey__gguf *gguf,
                               covey__hyper *hyper, covey_error *error) COVEY_MUST_USE;

#endif
