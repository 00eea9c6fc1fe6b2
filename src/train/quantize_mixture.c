/* The usual mixtures: which tensor takes which type when a whole model is quantized. They follow
 * llama.cpp's (llama-quant.cpp, as of v0.5.0), so that a file of ours has the size and the places
 * of precision that people know by these names: the output, the values of attention and the way
 * down of the feed-forward are worth more bits than the rest, most of all in the first and last
 * layers. Rows that no block of a type divides take the next type that has blocks of 32, or F16. */
#include "train/quantize_mixture.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const covey__mixture mixtures[] = {
    {"F32", COVEY_WEIGHT_F32, COVEY__TYPE_F32, 0},
    {"F16", COVEY_WEIGHT_F16, COVEY__TYPE_F16, 1},
    {"Q8_0", COVEY_WEIGHT_Q8_0, COVEY__TYPE_Q8_0, 7},
    {"Q6_K", COVEY_WEIGHT_Q6_K, COVEY__TYPE_Q6_K, 18},
    {"Q5_K_M", COVEY_WEIGHT_Q5_K_M, COVEY__TYPE_Q5_K, 17},
    {"Q4_K_M", COVEY_WEIGHT_Q4_K_M, COVEY__TYPE_Q4_K, 15},
    {"Q4_0", COVEY_WEIGHT_Q4_0, COVEY__TYPE_Q4_0, 2},
    {"Q3_K_M", COVEY_WEIGHT_Q3_K_M, COVEY__TYPE_Q3_K, 12},
    {"Q2_K", COVEY_WEIGHT_Q2_K, COVEY__TYPE_Q2_K, 10},
};
#define MIXTURE_COUNT (sizeof mixtures / sizeof mixtures[0])

const covey__mixture *covey__mixture_get(covey_weight_type type) {
    for (size_t i = 0; i < MIXTURE_COUNT; i++)
        if (mixtures[i].type == type) return &mixtures[i];
    return NULL;
}

const covey__mixture *covey__mixture_named(const char *name) {
    for (size_t i = 0; name && i < MIXTURE_COUNT; i++)
        if (strcasecmp(name, mixtures[i].name) == 0) return &mixtures[i];
    return NULL;
}

const char *covey__mixture_names(void) {
    return "F32, F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0, Q3_K_M and Q2_K";
}

/* A number of the architecture's own keys; 0 where it has none. */
static uint64_t number(const covey__gguf *gguf, const char *key) {
    char name[128];
    covey__gguf_text architecture;
    uint64_t value = 0;
    if (covey__gguf_string(gguf, "general.architecture", &architecture, NULL) != COVEY_OK) return 0;
    if (architecture.size > 64) return 0;
    snprintf(name, sizeof name, "%.*s.%s", (int)architecture.size, architecture.data, key);
    return covey__gguf_u64(gguf, name, 0, 1u << 20, &value, NULL) == COVEY_OK ? value : 0;
}

covey__mixture_model covey__mixture_model_read(const covey__gguf *gguf, bool importance) {
    uint64_t heads = number(gguf, "attention.head_count");
    uint64_t kv_heads = number(gguf, "attention.head_count_kv");
    return (covey__mixture_model){
        .tied = covey__gguf_tensor_find(gguf, "output.weight") == NULL,
        .importance = importance,
        .layers = (int32_t)number(gguf, "block_count"),
        .queries_per_key = kv_heads ? (int32_t)(heads / kv_heads) : 1,
    };
}

/* ---- Names ---- */

static bool ends_with(covey__gguf_text name, const char *end) {
    size_t size = strlen(end);
    return name.size >= size && memcmp(name.data + name.size - size, end, size) == 0;
}

static bool is_named(covey__gguf_text name, const char *text) {
    return name.size == strlen(text) && memcmp(name.data, text, name.size) == 0;
}

/* Matrices that products read. Norms, the router of experts, and the two small tables that an
 * encoder adds to its embeddings stay as they are. */
static bool is_matrix(const covey__gguf_tensor *t) {
    return t->element_count > t->dimensions[0] && ends_with(t->name, "weight") &&
           !ends_with(t->name, "_norm.weight") && !ends_with(t->name, "ffn_gate_inp.weight") &&
           !is_named(t->name, "position_embd.weight") && !is_named(t->name, "token_types.weight");
}

/* The layer of "blk.N.…"; -1 elsewhere. */
static int32_t layer_of(covey__gguf_text name) {
    if (name.size < 5 || memcmp(name.data, "blk.", 4) != 0) return -1;
    int32_t layer = 0;
    for (size_t i = 4; i < name.size && name.data[i] >= '0' && name.data[i] <= '9'; i++)
        if (layer < 1 << 20) layer = layer * 10 + (name.data[i] - '0');
    return layer;
}

/* ---- Rules ---- */

/* The first and the last eighth of the layers, and every third between. */
static bool in_favoured_layer(int32_t layer, int32_t layers) {
    int32_t eighth = layers / 8;
    return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

static covey__type value_type(const covey__mixture *m, const covey__mixture_model *model,
                              int32_t layer) {
    switch (m->type) {
    case COVEY_WEIGHT_Q2_K:
        return model->queries_per_key >= 4 ? COVEY__TYPE_Q4_K : COVEY__TYPE_Q3_K;
    case COVEY_WEIGHT_Q3_K_M:
        return layer < 2 ? COVEY__TYPE_Q5_K : COVEY__TYPE_Q4_K;
    case COVEY_WEIGHT_Q4_K_M:
    case COVEY_WEIGHT_Q5_K_M:
        return in_favoured_layer(layer, model->layers) ? COVEY__TYPE_Q6_K : m->base;
    default:
        return m->base;
    }
}

static covey__type down_type(const covey__mixture *m, const covey__mixture_model *model,
                             int32_t layer) {
    switch (m->type) {
    case COVEY_WEIGHT_Q2_K:
        return COVEY__TYPE_Q3_K;
    case COVEY_WEIGHT_Q3_K_M:
        return layer < model->layers / 16 ? COVEY__TYPE_Q5_K : COVEY__TYPE_Q4_K;
    case COVEY_WEIGHT_Q4_K_M:
    case COVEY_WEIGHT_Q5_K_M:
        return in_favoured_layer(layer, model->layers) ? COVEY__TYPE_Q6_K : m->base;
    case COVEY_WEIGHT_Q4_0:
        return model->importance && layer < model->layers / 8 ? COVEY__TYPE_Q4_1 : m->base;
    default:
        return m->base;
    }
}

static covey__type attention_output_type(const covey__mixture *m) {
    if (m->type == COVEY_WEIGHT_Q2_K) return COVEY__TYPE_Q3_K;
    return m->type == COVEY_WEIGHT_Q3_K_M ? COVEY__TYPE_Q4_K : m->base;
}

/* Query, key and value in one matrix. */
static covey__type fused_type(const covey__mixture *m) {
    if (m->type == COVEY_WEIGHT_Q3_K_M) return COVEY__TYPE_Q4_K;
    if (m->type == COVEY_WEIGHT_Q4_K_M) return COVEY__TYPE_Q5_K;
    return m->type == COVEY_WEIGHT_Q5_K_M ? COVEY__TYPE_Q6_K : m->base;
}

static covey__type wanted_type(const covey__mixture *m, const covey__mixture_model *model,
                               const covey__gguf_tensor *t) {
    int32_t layer = layer_of(t->name);
    bool plain = m->base == COVEY__TYPE_F32 || m->base == COVEY__TYPE_F16;
    if (plain) return m->base;
    if (is_named(t->name, "output.weight") ||
        (model->tied && is_named(t->name, "token_embd.weight"))) {
        if (m->base == COVEY__TYPE_Q8_0 || t->dimensions[0] % 256 != 0) return COVEY__TYPE_Q8_0;
        return COVEY__TYPE_Q6_K;
    }
    if (ends_with(t->name, "attn_v.weight")) return value_type(m, model, layer);
    if (ends_with(t->name, "ffn_down.weight")) return down_type(m, model, layer);
    if (ends_with(t->name, "attn_output.weight")) return attention_output_type(m);
    if (ends_with(t->name, "attn_qkv.weight")) return fused_type(m);
    return m->base;
}

/* With blocks of 32 where 256 do not divide the row. */
static covey__type smaller_blocks(covey__type type) {
    switch (type) {
    case COVEY__TYPE_Q2_K:
    case COVEY__TYPE_Q3_K:
        return COVEY__TYPE_IQ4_NL;
    case COVEY__TYPE_Q4_K:
        return COVEY__TYPE_Q5_0;
    case COVEY__TYPE_Q5_K:
        return COVEY__TYPE_Q5_1;
    case COVEY__TYPE_Q6_K:
        return COVEY__TYPE_Q8_0;
    default:
        return type;
    }
}

covey__type covey__mixture_type(const covey__mixture *mixture, const covey__mixture_model *model,
                                const covey__gguf_tensor *tensor) {
    if (!is_matrix(tensor)) return tensor->type;
    covey__type type = wanted_type(mixture, model, tensor);
    if (tensor->dimensions[0] % covey__type_get(type)->block_values != 0)
        type = smaller_blocks(type);
    if (tensor->dimensions[0] % covey__type_get(type)->block_values != 0) type = COVEY__TYPE_F16;
    return type;
}
