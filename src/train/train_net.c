/* The network's weights in memory: shape checks, the places of tensors in the one array, names as
 * GGUF has them, and the first random values. The passes over it are in train_worker.c. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "train/train_net.h"

#define PARAMETER_COUNT_MAX ((size_t)1 << 30)
#define TENSORS_OF_LAYER    9

static covey_status check_shape(const covey__net_shape *s, covey_error *error) {
    struct {
        const char *name;
        int32_t value, min, max;
    } fields[] = {
        {"layers", s->layers, 1, 128},
        {"width", s->width, 2, 16384},
        {"heads", s->heads, 1, 256},
        {"KV heads", s->kv_heads, 1, 256},
        {"feed-forward width", s->ff, 1, 65536},
        {"vocabulary size", s->vocabulary, 2, 1 << 20},
        {"context", s->context, 1, 1 << 24},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].value < fields[i].min || fields[i].value > fields[i].max)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "train: %s is %" PRId32 ", expected %" PRId32 " to %" PRId32,
                               fields[i].name, fields[i].value, fields[i].min, fields[i].max);
    if (s->width % s->heads != 0 || s->width / s->heads % 2 != 0 || s->width / s->heads > 512)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "train: width %" PRId32 " over %" PRId32
                           " heads: a head needs an even width of at most 512",
                           s->width, s->heads);
    if (s->heads % s->kv_heads != 0)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "train: %" PRId32 " heads do not share %" PRId32 " KV heads evenly",
                           s->heads, s->kv_heads);
    if (!(s->rope_base > 1.0f) || !(s->epsilon > 0.0f) || !isfinite(s->rope_base) ||
        !(s->epsilon < 1.0f))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "train: the RoPE base must be above 1 and the norm's epsilon small");
    return COVEY_OK;
}

static size_t layer_size(const covey__net *net) {
    size_t width = (size_t)net->shape.width, ff = (size_t)net->shape.ff;
    return 2 * width + (size_t)net->qkv_width * width + width * width + 3 * ff * width;
}

covey_status covey__net_plan(const covey__net_shape *shape, covey__net *net, covey_error *error) {
    *net = (covey__net){.shape = *shape};
    covey_status status = check_shape(shape, error);
    if (status != COVEY_OK) return status;
    size_t width = (size_t)shape->width, table = width * (size_t)shape->vocabulary;
    net->head_dim = shape->width / shape->heads;
    net->kv_width = net->head_dim * shape->kv_heads;
    net->qkv_width = shape->width + 2 * net->kv_width;
    net->embedding = 0;
    net->output_norm = table + (size_t)shape->layers * layer_size(net);
    net->output = shape->untied ? net->output_norm + width : net->embedding;
    net->parameter_count = net->output_norm + width + (shape->untied ? table : 0);
    if (net->parameter_count > PARAMETER_COUNT_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)PARAMETER_COUNT_MAX,
                                 (int64_t)net->parameter_count,
                                 "train: the shape has %zu parameters, at most %zu can be trained",
                                 net->parameter_count, PARAMETER_COUNT_MAX);
    return COVEY_OK;
}

covey_status covey__net_init(const covey__env *env, const covey__net_shape *shape, covey__net *net,
                             covey_error *error) {
    covey_status status = covey__net_plan(shape, net, error);
    if (status != COVEY_OK) return status;
    net->weights = covey__alloc_aligned(env, net->parameter_count * sizeof(float));
    if (!net->weights)
        return covey__no_memory(error, "train: weights", net->parameter_count * sizeof(float));
    return COVEY_OK;
}

void covey__net_free(const covey__env *env, covey__net *net) {
    covey__free_aligned(env, net->weights);
    net->weights = NULL;
}

covey__net_layer covey__net_layer_at(const covey__net *net, int32_t layer) {
    size_t width = (size_t)net->shape.width, ff = (size_t)net->shape.ff;
    size_t kv = (size_t)net->kv_width;
    covey__net_layer at;
    at.attn_norm = width * (size_t)net->shape.vocabulary + (size_t)layer * layer_size(net);
    at.q = at.attn_norm + width;
    at.k = at.q + width * width;
    at.v = at.k + kv * width;
    at.attn_output = at.v + kv * width;
    at.ffn_norm = at.attn_output + width * width;
    at.gate = at.ffn_norm + width;
    at.up = at.gate + ff * width;
    at.down = at.up + ff * width;
    return at;
}

size_t covey__net_tensor_count(const covey__net *net) {
    return (size_t)net->shape.layers * TENSORS_OF_LAYER + (net->shape.untied ? 3 : 2);
}

static covey__net_tensor layer_tensor(const covey__net *net, int32_t layer, size_t which) {
    covey__net_layer at = covey__net_layer_at(net, layer);
    int32_t width = net->shape.width, ff = net->shape.ff, kv = net->kv_width;
    const struct {
        const char *name;
        size_t offset;
        int32_t rows, columns;
    } all[TENSORS_OF_LAYER] = {
        {"attn_norm", at.attn_norm, 1, width},
        {"attn_q", at.q, width, width},
        {"attn_k", at.k, kv, width},
        {"attn_v", at.v, kv, width},
        {"attn_output", at.attn_output, width, width},
        {"ffn_norm", at.ffn_norm, 1, width},
        {"ffn_gate", at.gate, ff, width},
        {"ffn_up", at.up, ff, width},
        {"ffn_down", at.down, width, ff},
    };
    covey__net_tensor tensor = {.offset = all[which].offset,
                                .rows = all[which].rows,
                                .columns = all[which].columns,
                                .vector = which == 0 || which == 5};
    snprintf(tensor.name, sizeof tensor.name, "blk.%" PRId32 ".%s.weight", layer, all[which].name);
    return tensor;
}

covey__net_tensor covey__net_tensor_at(const covey__net *net, size_t index) {
    int32_t width = net->shape.width, vocabulary = net->shape.vocabulary;
    size_t of_layers = (size_t)net->shape.layers * TENSORS_OF_LAYER;
    if (index == 0) return (covey__net_tensor){"token_embd.weight", 0, vocabulary, width, false};
    index--;
    if (index < of_layers)
        return layer_tensor(net, (int32_t)(index / TENSORS_OF_LAYER), index % TENSORS_OF_LAYER);
    if (index == of_layers)
        return (covey__net_tensor){"output_norm.weight", net->output_norm, 1, width, true};
    return (covey__net_tensor){"output.weight", net->output, vocabulary, width, false};
}

uint64_t covey__train_random(uint64_t seed, uint64_t stream, uint64_t index) {
    uint64_t z = seed * 0xd1342543de82ef95u + (stream << 48) + index * 0x9e3779b97f4a7c15u + 1u;
    for (int round = 0; round < 2; round++) {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
    }
    return z;
}

/* Box and Muller's way to a normal number. */
static double normal(uint64_t seed, uint64_t index) {
    uint64_t bits = covey__train_random(seed, 1, index);
    double u = ((double)(bits >> 32) + 0.5) / 4294967296.0;
    double v = (double)(bits & 0xffffffffu) / 4294967296.0;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

void covey__net_randomize(covey__net *net, uint64_t seed) {
    for (size_t i = 0; i < covey__net_tensor_count(net); i++) {
        covey__net_tensor tensor = covey__net_tensor_at(net, i);
        size_t count = (size_t)tensor.rows * (size_t)tensor.columns;
        bool adds = strstr(tensor.name, "attn_output") || strstr(tensor.name, "ffn_down");
        double deviation = adds ? 0.02 / sqrt(2.0 * net->shape.layers) : 0.02;
        for (size_t w = tensor.offset; w < tensor.offset + count; w++)
            net->weights[w] = tensor.vector ? 1.0f : (float)(deviation * normal(seed, w));
    }
}
