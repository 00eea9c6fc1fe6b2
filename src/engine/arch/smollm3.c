/* SmolLM3: llama with no rotary positions in every fourth layer. */
#include "engine/arch/slots.h"

static const covey__slot roots[] = {
    COVEY__DECODER_ROOTS,
};

static const covey__slot layer[] = {
    COVEY__DECODER_BLOCKS,
    COVEY__QKV_MATRICES,
    COVEY__GATE_UP_MATRICES,
};

const covey__architecture covey__arch_smollm3 = {
    .name = "smollm3",
    .rope_style = COVEY__ROPE_NORM,
    .rope_less_every = 4,
    .roots = roots,
    .root_count = COVEY__COUNT_OF(roots),
    .layer = layer,
    .layer_slot_count = COVEY__COUNT_OF(layer),
};
