/* BERT, the encoder of BGE and MiniLM: token, type and position rows are added and normed; layer
 * norms with biases after each block; biases on every product; a feed-forward of GELU that nothing
 * gates. Each token sees all others. It gives a vector for each token and no logits. */
#include "engine/arch/slots.h"

#define NORM(name, field)                                                                          \
    COVEY__LAYER_VECTOR(name ".weight", COVEY__DIM_WIDTH, field.weight),                           \
        COVEY__LAYER_VECTOR(name ".bias", COVEY__DIM_WIDTH, field.bias)

static const covey__slot roots[] = {
    COVEY__ROOT_MATRIX("token_embd.weight", COVEY__DIM_WIDTH, COVEY__DIM_VOCABULARY,
                       token_embedding, false),
    COVEY__ROOT_MATRIX("token_types.weight", COVEY__DIM_WIDTH, COVEY__DIM_ANY, token_types, true),
    COVEY__ROOT_MATRIX("position_embd.weight", COVEY__DIM_WIDTH, COVEY__DIM_CONTEXT, positions,
                       false),
    COVEY__ROOT_VECTOR("token_embd_norm.weight", COVEY__DIM_WIDTH, embedding_norm.weight, false),
    COVEY__ROOT_VECTOR("token_embd_norm.bias", COVEY__DIM_WIDTH, embedding_norm.bias, false),
};

static const covey__slot layer[] = {
    COVEY__QKV_MATRICES,
    COVEY__QKV_BIASES,
    COVEY__LAYER_MATRIX("attn_output.weight", COVEY__DIM_QUERY, attention_output.matrices[0],
                        COVEY__DIM_WIDTH),
    COVEY__LAYER_VECTOR("attn_output.bias", COVEY__DIM_WIDTH, attention_output.biases[0]),
    NORM("attn_output_norm", attention.sum),
    COVEY__LAYER_MATRIX("ffn_up.weight", COVEY__DIM_WIDTH, gate_up.matrices[0], COVEY__DIM_FFN),
    COVEY__LAYER_VECTOR("ffn_up.bias", COVEY__DIM_FFN, gate_up.biases[0]),
    COVEY__LAYER_MATRIX("ffn_down.weight", COVEY__DIM_FFN, down.matrices[0], COVEY__DIM_WIDTH),
    COVEY__LAYER_VECTOR("ffn_down.bias", COVEY__DIM_WIDTH, down.biases[0]),
    NORM("layer_output_norm", ffn.sum),
};

const covey__architecture covey__arch_bert = {
    .name = "bert",
    .norm = COVEY__NORM_LAYER,
    .activation = COVEY__ACTIVATION_GELU_ERF,
    .is_encoder = true,
    .roots = roots,
    .root_count = COVEY__COUNT_OF(roots),
    .layer = layer,
    .layer_slot_count = COVEY__COUNT_OF(layer),
};
