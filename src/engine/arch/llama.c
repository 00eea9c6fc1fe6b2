/* The llama architecture as GGUF stores it: RMS norm before each block, grouped-query attention
 * with rotary positions on pairs of neighbours, a gated SiLU feed-forward, no biases. Metadata
 * keys: github.com/ggml-org/ggml docs/gguf.md. What would change the arithmetic and is not built
 * is refused by its key. */
#include "engine/engine.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define ROOT(name, kind, columns, rows, field, optional)                                           \
    { name, kind, columns, rows, offsetof(covey__roots, field), optional }
#define LAYER(name, kind, columns, rows, field)                                                    \
    { name, kind, columns, rows, offsetof(covey__layer, field), false }

static const covey__slot roots[] = {
    ROOT("token_embd.weight", COVEY__SLOT_MATRIX, COVEY__DIM_WIDTH, COVEY__DIM_VOCABULARY,
         token_embedding, false),
    ROOT("output_norm.weight", COVEY__SLOT_VECTOR, COVEY__DIM_WIDTH, COVEY__DIM_ONE, output_norm,
         false),
    ROOT("output.weight", COVEY__SLOT_MATRIX, COVEY__DIM_WIDTH, COVEY__DIM_VOCABULARY,
         output.matrices[0], true),
    ROOT("rope_freqs.weight", COVEY__SLOT_VECTOR, COVEY__DIM_ROPE, COVEY__DIM_ONE, rope_factors,
         true),
};

static const covey__slot layer[] = {
    LAYER("attn_norm.weight", COVEY__SLOT_VECTOR, COVEY__DIM_WIDTH, COVEY__DIM_ONE, attention_norm),
    LAYER("attn_q.weight", COVEY__SLOT_MATRIX, COVEY__DIM_WIDTH, COVEY__DIM_QUERY, qkv.matrices[0]),
    LAYER("attn_k.weight", COVEY__SLOT_MATRIX, COVEY__DIM_WIDTH, COVEY__DIM_KV, qkv.matrices[1]),
    LAYER("attn_v.weight", COVEY__SLOT_MATRIX, COVEY__DIM_WIDTH, COVEY__DIM_KV, qkv.matrices[2]),
    LAYER("attn_output.weight", COVEY__SLOT_MATRIX, COVEY__DIM_QUERY, COVEY__DIM_WIDTH,
          attention_output.matrices[0]),
    LAYER("ffn_norm.weight", COVEY__SLOT_VECTOR, COVEY__DIM_WIDTH, COVEY__DIM_ONE, ffn_norm),
    LAYER("ffn_gate.weight", COVEY__SLOT_MATRIX, COVEY__DIM_WIDTH, COVEY__DIM_FFN,
          gate_up.matrices[0]),
    LAYER("ffn_up.weight", COVEY__SLOT_MATRIX, COVEY__DIM_WIDTH, COVEY__DIM_FFN,
          gate_up.matrices[1]),
    LAYER("ffn_down.weight", COVEY__SLOT_MATRIX, COVEY__DIM_FFN, COVEY__DIM_WIDTH,
          down.matrices[0]),
};

/* Keys whose presence means arithmetic that is not built here. */
static const char *const refused[] = {
    "llama.expert_count",
    "llama.attention.sliding_window",
    "llama.attention.scale",
    "llama.attention.clamp_kqv",
    "llama.attention.max_alibi_bias",
    "llama.attention.temperature_scale",
    "llama.logit_scale",
    "llama.embedding_scale",
    "llama.residual_scale",
    "llama.final_logit_softcapping",
    "llama.attn_logit_softcapping",
};

static covey_status read_i32(const covey__gguf *gguf, const char *key, uint64_t min, uint64_t max,
                             int64_t absent, int32_t *out, covey_error *error) {
    if (absent >= 0 && !covey__gguf_has(gguf, key)) {
        *out = (int32_t)absent;
        return COVEY_OK;
    }
    uint64_t value = 0;
    covey_status status = covey__gguf_u64(gguf, key, min, max, &value, error);
    if (status != COVEY_OK) return status;
    *out = (int32_t)value;
    return COVEY_OK;
}

static covey_status read_f64(const covey__gguf *gguf, const char *key, double min, double max,
                             double absent, double *out, covey_error *error) {
    *out = absent;
    if (!covey__gguf_has(gguf, key)) return COVEY_OK;
    float value = 0;
    covey_status status = covey__gguf_f32(gguf, key, &value, error);
    if (status != COVEY_OK) return status;
    if (!(value >= min && value <= max))
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: expected %g to %g, found %g", key, min,
                           max, (double)value);
    *out = (double)value;
    return COVEY_OK;
}

static covey_status check_refused(const covey__gguf *gguf, covey_error *error) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (!covey__gguf_has(gguf, refused[i])) continue;
        uint64_t zero = 1;
        float real = 1.0f;
        /* A key that says "none" changes nothing. */
        if (covey__gguf_u64(gguf, refused[i], 0, 0, &zero, NULL) == COVEY_OK) continue;
        if (covey__gguf_f32(gguf, refused[i], &real, NULL) == COVEY_OK && real == 0.0f) continue;
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "%s: this library does not compute what it asks for", refused[i]);
    }
    bool causal = true;
    if (covey__gguf_has(gguf, "llama.attention.causal")) {
        covey_status status = covey__gguf_bool(gguf, "llama.attention.causal", &causal, error);
        if (status != COVEY_OK) return status;
    }
    if (!causal)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "llama.attention.causal: only causal attention is supported");
    return COVEY_OK;
}

static bool text_is(covey__gguf_text text, const char *wanted) {
    return text.size == strlen(wanted) && memcmp(text.data, wanted, text.size) == 0;
}

/* Positions are divided by the factor of linear scaling. Llama 3's scaling comes as a tensor. */
static covey_status read_rope_scaling(const covey__gguf *gguf, covey__hyper *hyper,
                                      covey_error *error) {
    double factor = 1.0;
    covey_status status = read_f64(gguf, "llama.rope.scale_linear", 1e-3, 1e6, 1.0, &factor, error);
    if (status != COVEY_OK) return status;
    if (covey__gguf_has(gguf, "llama.rope.scaling.type")) {
        covey__gguf_text type;
        status = covey__gguf_string(gguf, "llama.rope.scaling.type", &type, error);
        if (status != COVEY_OK) return status;
        char shown[40];
        if (text_is(type, "linear"))
            status = read_f64(gguf, "llama.rope.scaling.factor", 1e-3, 1e6, factor, &factor, error);
        else if (!text_is(type, "none"))
            status = covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                                 "llama.rope.scaling.type: expected \"none\" or \"linear\", found "
                                 "\"%s\", which this library does not compute",
                                 covey__printable(type.data, type.size, shown, sizeof shown));
        if (status != COVEY_OK) return status;
    }
    hyper->rope_scale = 1.0 / factor;
    return COVEY_OK;
}

static covey_status read_rope(const covey__gguf *gguf, covey__hyper *hyper, covey_error *error) {
    covey_status status = read_i32(gguf, "llama.rope.dimension_count", 2, (uint64_t)hyper->head_dim,
                                   hyper->head_dim, &hyper->rope_dims, error);
    if (status != COVEY_OK) return status;
    if (hyper->rope_dims % 2 != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "llama.rope.dimension_count: expected an even number, found %" PRId32,
                           hyper->rope_dims);
    hyper->rope_style = COVEY__ROPE_NORM;
    status = read_f64(gguf, "llama.rope.freq_base", 1.0, 1e12, 10000.0, &hyper->rope_base, error);
    return status != COVEY_OK ? status : read_rope_scaling(gguf, hyper, error);
}

static covey_status read_heads(const covey__gguf *gguf, covey__hyper *hyper, covey_error *error) {
    covey_status status =
        read_i32(gguf, "llama.attention.head_count", 1, 1024, -1, &hyper->head_count, error);
    if (status == COVEY_OK)
        status = read_i32(gguf, "llama.attention.head_count_kv", 1, (uint64_t)hyper->head_count,
                          hyper->head_count, &hyper->kv_head_count, error);
    if (status != COVEY_OK) return status;
    if (hyper->head_count % hyper->kv_head_count != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "llama.attention.head_count_kv: %" PRId32
                           " does not divide head_count %" PRId32,
                           hyper->kv_head_count, hyper->head_count);
    bool divides = hyper->width % hyper->head_count == 0;
    if (!divides && !covey__gguf_has(gguf, "llama.attention.key_length"))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "llama.attention.head_count: %" PRId32
                           " does not divide embedding_length %" PRId32
                           " and no attention.key_length is given",
                           hyper->head_count, hyper->width);
    int32_t value_dim = 0, absent = divides ? hyper->width / hyper->head_count : -1;
    status = read_i32(gguf, "llama.attention.key_length", 2, COVEY__HEAD_DIM_MAX, absent,
                      &hyper->head_dim, error);
    if (status == COVEY_OK)
        status = read_i32(gguf, "llama.attention.value_length", 1, COVEY__HEAD_DIM_MAX,
                          hyper->head_dim, &value_dim, error);
    if (status != COVEY_OK) return status;
    if (hyper->head_dim > COVEY__HEAD_DIM_MAX || hyper->head_dim < 2 || hyper->head_dim % 2 != 0)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "llama.attention.key_length: expected an even number from 2 to %d, "
                           "found %" PRId32,
                           COVEY__HEAD_DIM_MAX, hyper->head_dim);
    if (value_dim != hyper->head_dim)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "llama.attention.value_length: %" PRId32 " differs from key_length "
                           "%" PRId32,
                           value_dim, hyper->head_dim);
    return COVEY_OK;
}

static covey_status read_hyper(const covey__gguf *gguf, covey__hyper *hyper, covey_error *error) {
    covey_status status =
        read_i32(gguf, "llama.block_count", 1, 1024, -1, &hyper->layer_count, error);
    if (status == COVEY_OK)
        status = read_i32(gguf, "llama.embedding_length", 1, 1 << 17, -1, &hyper->width, error);
    if (status == COVEY_OK)
        status =
            read_i32(gguf, "llama.feed_forward_length", 1, 1 << 19, -1, &hyper->ffn_width, error);
    if (status == COVEY_OK)
        status =
            read_i32(gguf, "llama.context_length", 1, 1 << 24, -1, &hyper->context_tokens, error);
    double epsilon = 0;
    if (status == COVEY_OK)
        status = read_f64(gguf, "llama.attention.layer_norm_rms_epsilon", 0.0, 1.0, 1e-5, &epsilon,
                          error);
    hyper->rms_epsilon = (float)epsilon;
    if (status == COVEY_OK) status = read_heads(gguf, hyper, error);
    if (status == COVEY_OK) status = read_rope(gguf, hyper, error);
    return status == COVEY_OK ? check_refused(gguf, error) : status;
}

const covey__architecture covey__arch_llama = {
    "llama", read_hyper, roots, sizeof roots / sizeof *roots, layer, sizeof layer / sizeof *layer,
};
