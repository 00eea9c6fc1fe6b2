/* Qwen2 and 2.5: biases on query, key and value; rotary positions on halves of the head. */
#include "engine/arch/slots.h"

static const covey__slot roots[] = {
    COVEY__DECODER_ROOTS,
};

static const covey__slot layer[] = {
    COVEY__DECODER_BLOCKS,
    COVEY__QKV_MATRICES,
    COVEY__QKV_BIASES,
    COVEY__GATE_UP_MATRICES,
};

const covey__architecture covey__arch_qwen2 = {
    .name = "qwen2",
    .rope_style = COVEY__ROPE_NEOX,
    .roots = roots,
    .root_count = COVEY__COUNT_OF(roots),
    .layer = layer,
    .layer_slot_count = COVEY__COUNT_OF(layer),
};
