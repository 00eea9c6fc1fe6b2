/* Phi-3, 3.5 and 4-mini: query, key and value in one tensor, gate and up in another, each a run of
 * rows of it; a sliding window in every layer where the file names one; and LongRoPE, which has two
 * sets of factors and takes the long one where the declared context exceeds the original one. */
#include "engine/arch/slots.h"

static const covey__slot roots[] = {
    COVEY__DECODER_ROOTS,
    COVEY__ROOT_VECTOR("rope_factors_short.weight", COVEY__DIM_ROPE, rope_factors_short, true),
    COVEY__ROOT_VECTOR("rope_factors_long.weight", COVEY__DIM_ROPE, rope_factors_long, true),
};

static const covey__slot layer[] = {
    COVEY__DECODER_BLOCKS,
    COVEY__LAYER_MATRIX("attn_qkv.weight", COVEY__DIM_WIDTH, qkv.matrices[0], COVEY__DIM_QUERY,
                        COVEY__DIM_KV, COVEY__DIM_KV),
    COVEY__LAYER_MATRIX("ffn_up.weight", COVEY__DIM_WIDTH, gate_up.matrices[0], COVEY__DIM_FFN,
                        COVEY__DIM_FFN),
};

const covey__architecture covey__arch_phi3 = {
    .name = "phi3",
    .rope_style = COVEY__ROPE_NEOX,
    .has_window = true,
    .has_long_rope = true,
    .roots = roots,
    .root_count = COVEY__COUNT_OF(roots),
    .layer = layer,
    .layer_slot_count = COVEY__COUNT_OF(layer),
};
