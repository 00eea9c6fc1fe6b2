/* Qwen3: a norm over each head's query and key in place of Qwen2's biases; heads whose width
 * together is not the model's. */
#include "engine/arch/slots.h"

static const covey__slot roots[] = {
    COVEY__DECODER_ROOTS,
};

static const covey__slot layer[] = {
    COVEY__DECODER_BLOCKS,
    COVEY__QKV_MATRICES,
    COVEY__QK_NORMS,
    COVEY__GATE_UP_MATRICES,
};

const covey__architecture covey__arch_qwen3 = {
    .name = "qwen3",
    .rope_style = COVEY__ROPE_NEOX,
    .roots = roots,
    .root_count = COVEY__COUNT_OF(roots),
    .layer = layer,
    .layer_slot_count = COVEY__COUNT_OF(layer),
};
