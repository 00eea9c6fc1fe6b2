/* A model's numbers out of its metadata, for any architecture: each key is the architecture's name
 * and a suffix (github.com/ggml-org/ggml docs/gguf.md, and gguf-py's constants). Whatever would
 * change the arithmetic and is not computed is refused by its key; a key that says "none" changes
 * nothing and may stand. */
#include "engine/architecture.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define KEY_MAX 96

static const covey__architecture *const architectures[] = {
    &covey__arch_bert,  &covey__arch_gemma3, &covey__arch_llama,   &covey__arch_phi3,
    &covey__arch_qwen2, &covey__arch_qwen3,  &covey__arch_smollm3,
};

/* Keys that ask for arithmetic which is not built, unless they say 0 or false. */
static const char *const refused[] = {
    "activation_sparsity_scale",
    "altup.num_inputs",
    "attention.clamp_kqv",
    "attention.key_length_swa",
    "attention.kv_lora_rank",
    "attention.max_alibi_bias",
    "attention.output_scale",
    "attention.q_lora_rank",
    "attention.recurrent_layers",
    "attention.relative_buckets_count",
    "attention.rope_pattern",
    "attention.shared_kv_layers",
    "attention.temperature_length",
    "attention.temperature_scale",
    "attention.value_length_swa",
    "attention.value_scale",
    "attn_logit_softcapping",
    "embedding_scale",
    "expert_count",
    "expert_used_count",
    "final_logit_softcapping",
    "full_attention_interval",
    "hidden_activation",
    "interleave_moe_layer_step",
    "logit_scale",
    "moe_every_n_layers",
    "nextn_predict_layers",
    "num_loops",
    "rescale_every_n_layers",
    "residual_scale",
    "rope.dimension_count_swa",
    "rope.dimension_sections",
    "rope.scaling.alpha",
    "rope.scaling.yarn_log_multiplier",
    "swiglu_clamp_exp",
    "use_parallel_residual",
};

/* Where values come from; `key` is the last one asked for. */
typedef struct reader {
    const covey__architecture *architecture;
    const covey__gguf *gguf;
    covey__hyper *hyper;
    covey_error *error;
    char key[KEY_MAX];
} reader;

static bool has(reader *r, const char *suffix) {
    snprintf(r->key, sizeof r->key, "%s.%s", r->architecture->name, suffix);
    return covey__gguf_has(r->gguf, r->key);
}

/* `absent` below 0: the key must be there. */
static covey_status read_i32(reader *r, const char *suffix, uint64_t min, uint64_t max,
                             int64_t absent, int32_t *out) {
    if (!has(r, suffix) && absent >= 0) {
        *out = (int32_t)absent;
        return COVEY_OK;
    }
    uint64_t value = 0;
    covey_status status = covey__gguf_u64(r->gguf, r->key, min, max, &value, r->error);
    if (status == COVEY_OK) *out = (int32_t)value;
    return status;
}

static covey_status read_f64(reader *r, const char *suffix, double min, double max, double absent,
                             double *out) {
    *out = absent;
    if (!has(r, suffix)) return COVEY_OK;
    float value = 0;
    covey_status status = covey__gguf_f32(r->gguf, r->key, &value, r->error);
    if (status != COVEY_OK) return status;
    if (!(value >= min && value <= max))
        return covey__fail(r->error, COVEY_ERROR_FORMAT, "%s: expected %g to %g, found %g", r->key,
                           min, max, (double)value);
    *out = (double)value;
    return COVEY_OK;
}

/* ---- What is refused ---- */

static covey_status refuse(reader *r, const char *suffix) {
    if (!has(r, suffix)) return COVEY_OK;
    uint64_t zero = 1;
    float real = 1.0f;
    bool flag = true;
    if (covey__gguf_u64(r->gguf, r->key, 0, 0, &zero, NULL) == COVEY_OK) return COVEY_OK;
    if (covey__gguf_f32(r->gguf, r->key, &real, NULL) == COVEY_OK && real == 0.0f) return COVEY_OK;
    if (covey__gguf_bool(r->gguf, r->key, &flag, NULL) == COVEY_OK && !flag) return COVEY_OK;
    return covey__fail(r->error, COVEY_ERROR_UNSUPPORTED,
                       "%s: this library does not compute what it asks for", r->key);
}

static covey_status check_refused(reader *r) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        covey_status status = refuse(r, refused[i]);
        if (status != COVEY_OK) return status;
    }
    bool wanted = !r->architecture->is_encoder, causal = wanted;
    if (has(r, "attention.causal")) {
        covey_status status = covey__gguf_bool(r->gguf, r->key, &causal, r->error);
        if (status != COVEY_OK) return status;
    }
    if (causal == wanted) return COVEY_OK;
    return covey__fail(r->error, COVEY_ERROR_UNSUPPORTED, "%s: only %s attention is supported here",
                       r->key, wanted ? "causal" : "bidirectional");
}

/* ---- Positions ---- */

static bool text_is(covey__gguf_text text, const char *wanted) {
    return text.size == strlen(wanted) && memcmp(text.data, wanted, text.size) == 0;
}

/* Positions are divided by the factor of linear scaling, which is the kind where none is named.
 * Llama 3's scaling, and LongRoPE's, come as tensors. */
static covey_status read_rope_scaling(reader *r) {
    double factor = 1.0;
    covey__gguf_text type = {"linear", 6};
    covey_status status = read_f64(r, "rope.scale_linear", 1e-3, 1e6, 1.0, &factor);
    if (status == COVEY_OK) status = read_f64(r, "rope.scaling.factor", 1e-3, 1e6, factor, &factor);
    if (status == COVEY_OK && has(r, "rope.scaling.type"))
        status = covey__gguf_string(r->gguf, r->key, &type, r->error);
    if (status != COVEY_OK) return status;
    bool is_long = r->architecture->has_long_rope && text_is(type, "longrope");
    if (text_is(type, "none")) factor = 1.0;
    if (is_long && factor != 1.0)
        return covey__fail(r->error, COVEY_ERROR_UNSUPPORTED,
                           "%s.rope.scaling.factor: \"longrope\" with a factor is not computed",
                           r->architecture->name);
    char shown[40];
    if (!is_long && !text_is(type, "none") && !text_is(type, "linear"))
        return covey__fail(r->error, COVEY_ERROR_UNSUPPORTED,
                           "%s: expected \"none\" or \"linear\", found \"%s\", which this library "
                           "does not compute",
                           r->key, covey__printable(type.data, type.size, shown, sizeof shown));
    r->hyper->rope_scale = 1.0 / factor;
    return COVEY_OK;
}

static covey_status read_rope(reader *r) {
    covey__hyper *hyper = r->hyper;
    if (r->architecture->is_encoder) return COVEY_OK;
    double magnitude = 1.0, local = r->architecture->local_rope_base;
    covey_status status = read_i32(r, "rope.dimension_count", 2, (uint64_t)hyper->head_dim,
                                   hyper->head_dim, &hyper->rope_dims);
    if (status != COVEY_OK) return status;
    if (hyper->rope_dims % 2 != 0)
        return covey__fail(r->error, COVEY_ERROR_FORMAT,
                           "%s: expected an even number, found %" PRId32, r->key, hyper->rope_dims);
    status = read_f64(r, "rope.freq_base", 1.0, 1e12, 10000.0, &hyper->rope_base);
    if (status == COVEY_OK && local == 0.0) status = refuse(r, "rope.freq_base_swa");
    if (status == COVEY_OK && local > 0.0)
        status = read_f64(r, "rope.freq_base_swa", 1.0, 1e12, local, &hyper->local_rope_base);
    if (status == COVEY_OK)
        status = read_f64(r, "rope.scaling.attn_factor", 1e-3, 1e3, 1.0, &magnitude);
    if (status == COVEY_OK)
        status = read_i32(r, "rope.scaling.original_context_length", 0, 1 << 24,
                          hyper->context_tokens, &hyper->rope_original_context);
    hyper->rope_magnitude = (float)magnitude;
    return status == COVEY_OK ? read_rope_scaling(r) : status;
}

static covey_status read_window(reader *r) {
    covey__hyper *hyper = r->hyper;
    if (!r->architecture->has_window) {
        covey_status status = refuse(r, "attention.sliding_window");
        return status == COVEY_OK ? refuse(r, "attention.sliding_window_pattern") : status;
    }
    covey_status status = read_i32(r, "attention.sliding_window", 0, 1 << 24, 0, &hyper->window);
    if (status != COVEY_OK) return status;
    return read_i32(r, "attention.sliding_window_pattern", 0, 1024, r->architecture->window_period,
                    &hyper->window_period);
}

/* ---- Shapes ---- */

static covey_status read_head_dim(reader *r) {
    covey__hyper *hyper = r->hyper;
    bool divides = hyper->width % hyper->head_count == 0;
    if (!has(r, "attention.key_length") && !divides)
        return covey__fail(r->error, COVEY_ERROR_FORMAT,
                           "%s.attention.head_count: %" PRId32 " does not divide "
                           "embedding_length %" PRId32 " and no attention.key_length is given",
                           r->architecture->name, hyper->head_count, hyper->width);
    int32_t value_dim = 0;
    covey_status status =
        read_i32(r, "attention.key_length", 2, COVEY__HEAD_DIM_MAX,
                 divides ? hyper->width / hyper->head_count : -1, &hyper->head_dim);
    if (status != COVEY_OK) return status;
    if (hyper->head_dim > COVEY__HEAD_DIM_MAX || hyper->head_dim < 2 || hyper->head_dim % 2 != 0)
        return covey__fail(r->error, COVEY_ERROR_UNSUPPORTED,
                           "%s: expected an even number from 2 to %d, found %" PRId32, r->key,
                           COVEY__HEAD_DIM_MAX, hyper->head_dim);
    status =
        read_i32(r, "attention.value_length", 1, COVEY__HEAD_DIM_MAX, hyper->head_dim, &value_dim);
    if (status == COVEY_OK && value_dim != hyper->head_dim)
        return covey__fail(r->error, COVEY_ERROR_UNSUPPORTED,
                           "%s: %" PRId32 " differs from key_length %" PRId32, r->key, value_dim,
                           hyper->head_dim);
    return status;
}

static covey_status read_heads(reader *r) {
    covey__hyper *hyper = r->hyper;
    covey_status status = read_i32(r, "attention.head_count", 1, 1024, -1, &hyper->head_count);
    if (status == COVEY_OK)
        status = read_i32(r, "attention.head_count_kv", 1, (uint64_t)hyper->head_count,
                          hyper->head_count, &hyper->kv_head_count);
    if (status != COVEY_OK) return status;
    if (hyper->head_count % hyper->kv_head_count != 0)
        return covey__fail(r->error, COVEY_ERROR_FORMAT,
                           "%s: %" PRId32 " does not divide head_count %" PRId32, r->key,
                           hyper->kv_head_count, hyper->head_count);
    status = read_head_dim(r);
    if (status != COVEY_OK) return status;
    double scale = 0.0;
    status = read_f64(r, "attention.scale", 0.0, 1e6, 0.0, &scale);
    hyper->attention_scale = scale > 0.0 ? (float)scale : 1.0f / sqrtf((float)hyper->head_dim);
    return status;
}

static covey_status read_shape(reader *r) {
    covey__hyper *hyper = r->hyper;
    bool is_rms = r->architecture->norm == COVEY__NORM_RMS;
    double epsilon = 0;
    covey_status status = read_i32(r, "block_count", 1, 1024, -1, &hyper->layer_count);
    if (status == COVEY_OK) status = read_i32(r, "embedding_length", 1, 1 << 17, -1, &hyper->width);
    if (status == COVEY_OK)
        status = read_i32(r, "feed_forward_length", 1, 1 << 19, -1, &hyper->ffn_width);
    if (status == COVEY_OK)
        status = read_i32(r, "context_length", 1, 1 << 24, -1, &hyper->context_tokens);
    if (status == COVEY_OK)
        status = is_rms ? read_f64(r, "attention.layer_norm_rms_epsilon", 0.0, 1.0, 1e-5, &epsilon)
                        : read_f64(r, "attention.layer_norm_epsilon", 0.0, 1.0, 1e-12, &epsilon);
    hyper->norm_epsilon = (float)epsilon;
    hyper->embedding_scale = r->architecture->scales_embedding ? sqrtf((float)hyper->width) : 1.0f;
    return status;
}

static covey_status read_pooling(reader *r) {
    int32_t pooling = 0;
    covey_status status = read_i32(r, "pooling_type", 0, INT32_MAX, 0, &pooling);
    if (status == COVEY_OK && pooling > COVEY_POOLING_LAST)
        return covey__fail(r->error, COVEY_ERROR_UNSUPPORTED,
                           "%s: expected 0 to 3 (none, mean, CLS, last), found %" PRId32, r->key,
                           pooling);
    r->hyper->pooling = (covey_pooling)pooling;
    return status;
}

covey_status covey__hyper_read(const covey__architecture *architecture, const covey__gguf *gguf,
                               covey__hyper *hyper, covey_error *error) {
    reader r = {.architecture = architecture, .gguf = gguf, .hyper = hyper, .error = error};
    covey_status status = read_shape(&r);
    if (status == COVEY_OK) status = read_heads(&r);
    if (status == COVEY_OK) status = read_rope(&r);
    if (status == COVEY_OK) status = read_window(&r);
    if (status == COVEY_OK) status = read_pooling(&r);
    if (status == COVEY_OK) status = check_refused(&r);
    if (status == COVEY_OK && architecture->adjust) architecture->adjust(hyper);
    return status;
}

const covey__architecture *covey__architecture_find(covey__gguf_text name, char *names,
                                                    size_t names_size) {
    size_t used = 0;
    const covey__architecture *found = NULL;
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++) {
        if (text_is(name, architectures[i]->name)) found = architectures[i];
        if (used < names_size)
            used += (size_t)snprintf(names + used, names_size - used, "%s%s", i ? ", " : "",
                                     architectures[i]->name);
    }
    return found;
}
