/* llama as GGUF stores it: RMS norm before each block, grouped-query attention with rotary
 * positions on pairs of neighbours, a gated SiLU feed-forward, no biases. Llama 1 to 3.2,
 * TinyLlama, SmolLM 1 and 2, and Mistral come under this name; Llama 3's RoPE scaling as a tensor
 * of factors. */
#include "engine/arch/slots.h"

static const covey__slot roots[] = {
    COVEY__DECODER_ROOTS,
    COVEY__ROOT_VECTOR("rope_freqs.weight", COVEY__DIM_ROPE, rope_factors, true),
};

static const covey__slot layer[] = {
    COVEY__DECODER_BLOCKS,
    COVEY__QKV_MATRICES,
    COVEY__GATE_UP_MATRICES,
};

const covey__architecture covey__arch_llama = {
    .name = "llama",
    .rope_style = COVEY__ROPE_NORM,
    .roots = roots,
    .root_count = COVEY__COUNT_OF(roots),
    .layer = layer,
    .layer_slot_count = COVEY__COUNT_OF(layer),
};
