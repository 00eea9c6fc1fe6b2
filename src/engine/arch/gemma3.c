/* Gemma 3: embeddings times the square root of the width, a norm before and after each block and
 * over each head's query and key, a feed-forward gated by GELU, and in five of six layers a sliding
 * window with a RoPE base of its own. The file's norm weights hold the 1 that Gemma adds. */
#include "engine/arch/slots.h"

#include <math.h>

#define LAYERS_27B 62

static const covey__slot roots[] = {
    COVEY__DECODER_ROOTS,
};

static const covey__slot layer[] = {
    COVEY__DECODER_BLOCKS,
    COVEY__QKV_MATRICES,
    COVEY__QK_NORMS,
    COVEY__GATE_UP_MATRICES,
    COVEY__LAYER_VECTOR("post_attention_norm.weight", COVEY__DIM_WIDTH, attention.output.weight),
    COVEY__LAYER_VECTOR("post_ffw_norm.weight", COVEY__DIM_WIDTH, ffn.output.weight),
};

/* The largest one scales queries by another head size than its own, and no key says so. */
static void adjust(covey__hyper *hyper) {
    if (hyper->layer_count == LAYERS_27B)
        hyper->attention_scale = 1.0f / sqrtf((float)hyper->width / (float)hyper->head_count);
}

const covey__architecture covey__arch_gemma3 = {
    .name = "gemma3",
    .rope_style = COVEY__ROPE_NEOX,
    .activation = COVEY__ACTIVATION_GELU_TANH_GATE,
    .scales_embedding = true,
    .has_window = true,
    .window_period = 6,
    .local_rope_base = 10000.0,
    .roots = roots,
    .root_count = COVEY__COUNT_OF(roots),
    .layer = layer,
    .layer_slot_count = COVEY__COUNT_OF(layer),
    .adjust = adjust,
};
