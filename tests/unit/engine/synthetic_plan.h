/* What a synthetic model is made of: its sizes, and from them the tensors and metadata keys of its
 * architecture. synthetic.h writes it to a file. */
#ifndef COVEY_TESTS_ENGINE_SYNTHETIC_PLAN_H
#define COVEY_TESTS_ENGINE_SYNTHETIC_PLAN_H

#include "support/support.h"

#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

/* What a synthetic model is made of; what a test wants to break, it breaks here. */
typedef struct synthetic {
    uint32_t layers, width, ffn, heads, kv_heads, head_dim, context;
    covey__type type;        /* of matrices */
    covey__type output_type; /* of output.weight */
    bool tied;
    bool rope_factors;
    float linear_scaling;     /* 0: none */
    const char *scaling_type; /* NULL: none, or "linear" with a factor */
    const char *architecture; /* NULL: "llama" */
    uint32_t window;          /* attention.sliding_window; 0: none */
    uint32_t original;        /* LongRoPE's factors for contexts beyond it; 0: none */
    const char *without;      /* a tensor to leave out */
    const char *extra;        /* a tensor to add */
    const char *misshapen;    /* a tensor to give one row or value more */
    const char *spoiled;      /* a tensor whose first value, or scale, is not finite */
    const char *key;          /* one more metadata key ... */
    uint32_t key_value;       /* ... with this value */
    const char *chat_template;
    const char *tool_template;
    float gain; /* of all matrices; 0: 1 */
    uint64_t seed;
} synthetic;

#define SYNTHETIC_ODD                                                                              \
    {                                                                                              \
        .layers = 3, .width = 160, .ffn = 416, .heads = 5, .kv_heads = 1, .head_dim = 32,          \
        .context = 512, .type = COVEY__TYPE_F32, .output_type = COVEY__TYPE_F32, .seed = 1         \
    }
#define SYNTHETIC_WIDE                                                                             \
    {                                                                                              \
        .layers = 2, .width = 256, .ffn = 768, .heads = 8, .kv_heads = 4, .head_dim = 32,          \
        .context = 512, .type = COVEY__TYPE_Q6_K, .output_type = COVEY__TYPE_Q6_K, .seed = 2       \
    }
#define SYNTHETIC_VOCABULARY 259 /* three control tokens and the bytes */

typedef struct synthetic_tensor {
    char name[64];
    covey__type type;
    uint64_t columns, rows; /* rows 0: a vector */
} synthetic_tensor;

#define SYNTHETIC_TENSORS 160
typedef struct synthetic_plan {
    synthetic_tensor tensors[SYNTHETIC_TENSORS];
    size_t count;
} synthetic_plan;

static inline void plan_tensor(synthetic_plan *plan, const synthetic *s, const char *name,
                               covey__type type, uint64_t columns, uint64_t rows) {
    if (s->without && strcmp(s->without, name) == 0) return;
    synthetic_tensor *t = &plan->tensors[plan->count++];
    assert_true(plan->count <= SYNTHETIC_TENSORS);
    snprintf(t->name, sizeof t->name, "%s", name);
    bool wrong = s->misshapen && strcmp(s->misshapen, name) == 0;
    *t = (synthetic_tensor){
        .type = type, .columns = rows ? columns : columns + wrong, .rows = rows ? rows + wrong : 0};
    snprintf(t->name, sizeof t->name, "%s", name);
}

/* Of which architectures a layer has a tensor, as bits. */
enum {
    IN_LLAMA = 1,
    IN_SMOLLM3 = 2,
    IN_QWEN2 = 4,
    IN_QWEN3 = 8,
    IN_GEMMA3 = 16,
    IN_PHI3 = 32,
    IN_BERT = 64,
    IN_DECODERS = 63,
    IN_PLAIN = 95 /* query, key and value each by itself */
};

static inline const char *architecture_of(const synthetic *s) {
    return s->architecture ? s->architecture : "llama";
}

static inline int architecture_bit(const synthetic *s) {
    static const char *const names[] = {"llama",  "smollm3", "qwen2", "qwen3",
                                        "gemma3", "phi3",    "bert"};
    for (int i = 0; i < 7; i++)
        if (strcmp(names[i], architecture_of(s)) == 0) return 1 << i;
    return IN_LLAMA;
}

static inline void plan_layer(synthetic_plan *plan, const synthetic *s, uint32_t layer) {
    uint64_t query = (uint64_t)s->heads * s->head_dim, kv = (uint64_t)s->kv_heads * s->head_dim;
    const struct {
        const char *name;
        uint64_t columns, rows; /* rows 0: a vector */
        int in;
    } parts[] = {
        {"attn_norm.weight", s->width, 0, IN_DECODERS},
        {"attn_q.weight", s->width, query, IN_PLAIN},
        {"attn_k.weight", s->width, kv, IN_PLAIN},
        {"attn_v.weight", s->width, kv, IN_PLAIN},
        {"attn_output.weight", query, s->width, IN_DECODERS | IN_BERT},
        {"ffn_norm.weight", s->width, 0, IN_DECODERS},
        {"ffn_gate.weight", s->width, s->ffn, IN_DECODERS & ~IN_PHI3},
        {"ffn_up.weight", s->width, s->ffn, IN_PLAIN},
        {"ffn_down.weight", s->ffn, s->width, IN_DECODERS | IN_BERT},
        {"attn_qkv.weight", s->width, query + 2 * kv, IN_PHI3},
        {"ffn_up.weight", s->width, 2 * (uint64_t)s->ffn, IN_PHI3},
        {"attn_q.bias", query, 0, IN_QWEN2 | IN_BERT},
        {"attn_k.bias", kv, 0, IN_QWEN2 | IN_BERT},
        {"attn_v.bias", kv, 0, IN_QWEN2 | IN_BERT},
        {"attn_q_norm.weight", s->head_dim, 0, IN_QWEN3 | IN_GEMMA3},
        {"attn_k_norm.weight", s->head_dim, 0, IN_QWEN3 | IN_GEMMA3},
        {"post_attention_norm.weight", s->width, 0, IN_GEMMA3},
        {"post_ffw_norm.weight", s->width, 0, IN_GEMMA3},
        {"attn_output.bias", s->width, 0, IN_BERT},
        {"attn_output_norm.weight", s->width, 0, IN_BERT},
        {"attn_output_norm.bias", s->width, 0, IN_BERT},
        {"ffn_up.bias", s->ffn, 0, IN_BERT},
        {"ffn_down.bias", s->width, 0, IN_BERT},
        {"layer_output_norm.weight", s->width, 0, IN_BERT},
        {"layer_output_norm.bias", s->width, 0, IN_BERT},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!(parts[i].in & architecture_bit(s))) continue;
        char name[64];
        snprintf(name, sizeof name, "blk.%u.%s", layer, parts[i].name);
        plan_tensor(plan, s, name, parts[i].rows ? s->type : COVEY__TYPE_F32, parts[i].columns,
                    parts[i].rows);
    }
}

static inline void plan_encoder_roots(synthetic_plan *plan, const synthetic *s) {
    plan_tensor(plan, s, "token_types.weight", COVEY__TYPE_F32, s->width, 2);
    plan_tensor(plan, s, "position_embd.weight", COVEY__TYPE_F32, s->width, s->context);
    plan_tensor(plan, s, "token_embd_norm.weight", COVEY__TYPE_F32, s->width, 0);
    plan_tensor(plan, s, "token_embd_norm.bias", COVEY__TYPE_F32, s->width, 0);
}

static inline void make_plan_of(synthetic_plan *plan, const synthetic *s) {
    bool is_encoder = architecture_bit(s) == IN_BERT;
    plan->count = 0;
    plan_tensor(plan, s, "token_embd.weight", s->type, s->width, SYNTHETIC_VOCABULARY);
    if (is_encoder)
        plan_encoder_roots(plan, s);
    else
        plan_tensor(plan, s, "output_norm.weight", COVEY__TYPE_F32, s->width, 0);
    if (!s->tied && !is_encoder)
        plan_tensor(plan, s, "output.weight", s->output_type, s->width, SYNTHETIC_VOCABULARY);
    if (s->rope_factors)
        plan_tensor(plan, s, "rope_freqs.weight", COVEY__TYPE_F32, s->head_dim / 2, 0);
    if (s->original) {
        plan_tensor(plan, s, "rope_factors_short.weight", COVEY__TYPE_F32, s->head_dim / 2, 0);
        plan_tensor(plan, s, "rope_factors_long.weight", COVEY__TYPE_F32, s->head_dim / 2, 0);
    }
    for (uint32_t i = 0; i < s->layers; i++) plan_layer(plan, s, i);
    if (s->extra) plan_tensor(plan, s, s->extra, COVEY__TYPE_F32, 32, 0);
}

static inline const char *key_of(const synthetic *s, const char *suffix) {
    static char key[96];
    snprintf(key, sizeof key, "%s.%s", architecture_of(s), suffix);
    return key;
}

static inline void put_shape(covey__gguf_writer *writer, const synthetic *s) {
    const struct {
        const char *suffix;
        uint32_t value;
    } numbers[] = {
        {"block_count", s->layers},
        {"context_length", s->context},
        {"embedding_length", s->width},
        {"feed_forward_length", s->ffn},
        {"attention.head_count", s->heads},
        {"attention.head_count_kv", s->kv_heads},
        {"attention.key_length", s->head_dim},
        {"attention.value_length", s->head_dim},
        {"rope.dimension_count", s->head_dim},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        covey__gguf_put_u32(writer, key_of(s, numbers[i].suffix), numbers[i].value);
    if (architecture_bit(s) == IN_BERT)
        covey__gguf_put_f32(writer, key_of(s, "attention.layer_norm_epsilon"), 1e-12f);
    else
        covey__gguf_put_f32(writer, key_of(s, "attention.layer_norm_rms_epsilon"), 1e-5f);
}

static inline void put_metadata(covey__gguf_writer *writer, const synthetic *s) {
    const char *architecture = architecture_of(s);
    covey__gguf_put_string(writer, "general.architecture", architecture, strlen(architecture));
    covey__gguf_put_string(writer, "general.name", "synthetic", 9);
    put_shape(writer, s);
    if (s->scaling_type)
        covey__gguf_put_string(writer, key_of(s, "rope.scaling.type"), s->scaling_type,
                               strlen(s->scaling_type));
    if (s->linear_scaling > 0.0f)
        covey__gguf_put_f32(writer, key_of(s, "rope.scaling.factor"), s->linear_scaling);
    if (s->window) covey__gguf_put_u32(writer, key_of(s, "attention.sliding_window"), s->window);
    if (s->original) {
        covey__gguf_put_f32(writer, key_of(s, "rope.scaling.attn_factor"), 1.19f);
        covey__gguf_put_u32(writer, key_of(s, "rope.scaling.original_context_length"), s->original);
    }
    if (s->key) covey__gguf_put_u32(writer, s->key, s->key_value);
    if (s->tool_template)
        covey__gguf_put_string(writer, "tokenizer.chat_template.tool_use", s->tool_template,
                               strlen(s->tool_template));
    if (s->chat_template)
        covey__gguf_put_string(writer, "tokenizer.chat_template", s->chat_template,
                               strlen(s->chat_template));
}

#endif
