/* How arch/NAME.c writes its tables of tensors, and the rows that most decoders share. */
#ifndef COVEY_ENGINE_ARCH_SLOTS_H
#define COVEY_ENGINE_ARCH_SLOTS_H

#include <stddef.h>

#include "engine/architecture.h"

#define COVEY__COUNT_OF(array) (sizeof(array) / sizeof *(array))

#define COVEY__ROOT_VECTOR(name, columns, field, optional)                                         \
    {                                                                                              \
        name, COVEY__SLOT_VECTOR, optional, offsetof(covey__roots, field), columns, {              \
            COVEY__DIM_ONE                                                                         \
        }                                                                                          \
    }
#define COVEY__ROOT_MATRIX(name, columns, rows, field, optional)                                   \
    {                                                                                              \
        name, COVEY__SLOT_MATRIX, optional, offsetof(covey__roots, field), columns, {              \
            rows                                                                                   \
        }                                                                                          \
    }

#define COVEY__LAYER_VECTOR(name, columns, field)                                                  \
    {                                                                                              \
        name, COVEY__SLOT_VECTOR, false, offsetof(covey__layer, field), columns, {                 \
            COVEY__DIM_ONE                                                                         \
        }                                                                                          \
    }
/* The rows' parts, each a matrix of its own, follow `field`. */
#define COVEY__LAYER_MATRIX(name, columns, field, ...)                                             \
    {                                                                                              \
        name, COVEY__SLOT_MATRIX, false, offsetof(covey__layer, field), columns, {                 \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

/* Roots of a decoder: the output may be tied to the embedding. */
#define COVEY__DECODER_ROOTS                                                                       \
    COVEY__ROOT_MATRIX("token_embd.weight", COVEY__DIM_WIDTH, COVEY__DIM_VOCABULARY,               \
                       token_embedding, false),                                                    \
        COVEY__ROOT_VECTOR("output_norm.weight", COVEY__DIM_WIDTH, output_norm.weight, false),     \
        COVEY__ROOT_MATRIX("output.weight", COVEY__DIM_WIDTH, COVEY__DIM_VOCABULARY,               \
                           output.matrices[0], true)

/* A decoder's norms in front of its blocks, and the matrices after attention and gating. */
#define COVEY__DECODER_BLOCKS                                                                      \
    COVEY__LAYER_VECTOR("attn_norm.weight", COVEY__DIM_WIDTH, attention.input.weight),             \
        COVEY__LAYER_MATRIX("attn_output.weight", COVEY__DIM_QUERY, attention_output.matrices[0],  \
                            COVEY__DIM_WIDTH),                                                     \
        COVEY__LAYER_VECTOR("ffn_norm.weight", COVEY__DIM_WIDTH, ffn.input.weight),                \
        COVEY__LAYER_MATRIX("ffn_down.weight", COVEY__DIM_FFN, down.matrices[0], COVEY__DIM_WIDTH)

#define COVEY__QKV_MATRICES                                                                        \
    COVEY__LAYER_MATRIX("attn_q.weight", COVEY__DIM_WIDTH, qkv.matrices[0], COVEY__DIM_QUERY),     \
        COVEY__LAYER_MATRIX("attn_k.weight", COVEY__DIM_WIDTH, qkv.matrices[1], COVEY__DIM_KV),    \
        COVEY__LAYER_MATRIX("attn_v.weight", COVEY__DIM_WIDTH, qkv.matrices[2], COVEY__DIM_KV)

#define COVEY__QKV_BIASES                                                                          \
    COVEY__LAYER_VECTOR("attn_q.bias", COVEY__DIM_QUERY, qkv.biases[0]),                           \
        COVEY__LAYER_VECTOR("attn_k.bias", COVEY__DIM_KV, qkv.biases[1]),                          \
        COVEY__LAYER_VECTOR("attn_v.bias", COVEY__DIM_KV, qkv.biases[2])

#define COVEY__QK_NORMS                                                                            \
    COVEY__LAYER_VECTOR("attn_q_norm.weight", COVEY__DIM_HEAD, query_norm),                        \
        COVEY__LAYER_VECTOR("attn_k_norm.weight", COVEY__DIM_HEAD, key_norm)

#define COVEY__GATE_UP_MATRICES                                                                    \
    COVEY__LAYER_MATRIX("ffn_gate.weight", COVEY__DIM_WIDTH, gate_up.matrices[0], COVEY__DIM_FFN), \
        COVEY__LAYER_MATRIX("ffn_up.weight", COVEY__DIM_WIDTH, gate_up.matrices[1],                \
                            COVEY__DIM_FFN)

#endif
