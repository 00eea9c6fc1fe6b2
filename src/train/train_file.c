/* GGUF in and out of training: keys of the llama architecture as llama.cpp reads them, weights as
 * the net's tensors name them. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/sha256.h"
#include "kernel/kernel.h"
#include "train/train_file.h"

#define FIRST_MOMENT  "covey.train.first"
#define SECOND_MOMENT "covey.train.second"
#define CHUNK         4096

bool covey__train_file_has_weights(const covey__gguf *gguf) {
    return covey__gguf_tensor_find(gguf, "token_embd.weight") != NULL;
}

static covey_status read_i32(const covey__gguf *gguf, const char *key, uint64_t max, int32_t *out,
                             covey_error *error) {
    uint64_t value;
    covey_status status = covey__gguf_u64(gguf, key, 1, max, &value, error);
    if (status == COVEY_OK) *out = (int32_t)value;
    return status;
}

static covey_status refuse_unknown(const covey__gguf *gguf, const covey__net_shape *shape,
                                   covey_error *error) {
    covey__gguf_text text;
    if (covey__gguf_has(gguf, "llama.rope.scaling.type") ||
        covey__gguf_tensor_find(gguf, "rope_freqs.weight"))
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "models with RoPE scaling cannot be trained yet");
    if (covey__gguf_has(gguf, "llama.rope.dimension_count")) {
        uint64_t dims;
        covey_status status =
            covey__gguf_u64(gguf, "llama.rope.dimension_count", 1, 1 << 16, &dims, error);
        if (status != COVEY_OK) return status;
        if (dims != (uint64_t)(shape->width / shape->heads))
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "RoPE over a part of each head cannot be trained yet");
    }
    covey_status status = covey__gguf_string(gguf, "general.architecture", &text, error);
    if (status != COVEY_OK) return status;
    if (text.size != 5 || memcmp(text.data, "llama", 5) != 0) {
        char name[32];
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "architecture \"%s\" cannot be trained, only \"llama\"",
                           covey__printable(text.data, text.size, name, sizeof name));
    }
    return COVEY_OK;
}

covey_status covey__train_file_shape(const covey__gguf *gguf, size_t vocabulary_size,
                                     covey__net_shape *shape, covey_error *error) {
    *shape = (covey__net_shape){.vocabulary = (int32_t)vocabulary_size,
                                .rope_base = 10000.0f,
                                .untied = covey__gguf_tensor_find(gguf, "output.weight") != NULL};
    const struct {
        const char *key;
        uint64_t max;
        int32_t *out;
    } fields[] = {{"llama.block_count", 1024, &shape->layers},
                  {"llama.embedding_length", 1 << 20, &shape->width},
                  {"llama.attention.head_count", 1 << 16, &shape->heads},
                  {"llama.feed_forward_length", 1 << 20, &shape->ff},
                  {"llama.context_length", 1 << 24, &shape->context}};
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && status == COVEY_OK; i++)
        status = read_i32(gguf, fields[i].key, fields[i].max, fields[i].out, error);
    if (status != COVEY_OK) return status;
    shape->kv_heads = shape->heads;
    if (covey__gguf_has(gguf, "llama.attention.head_count_kv"))
        status = read_i32(gguf, "llama.attention.head_count_kv", 1 << 16, &shape->kv_heads, error);
    if (status == COVEY_OK && covey__gguf_has(gguf, "llama.rope.freq_base"))
        status = covey__gguf_f32(gguf, "llama.rope.freq_base", &shape->rope_base, error);
    if (status == COVEY_OK)
        status =
            covey__gguf_f32(gguf, "llama.attention.layer_norm_rms_epsilon", &shape->epsilon, error);
    if (status != COVEY_OK) return status;
    return refuse_unknown(gguf, shape, error);
}

/* A tensor of the expected shape and a type that training reads. */
static covey_status find_tensor(const covey__gguf *gguf, const char *name, uint64_t columns,
                                uint64_t rows, const covey__gguf_tensor **tensor,
                                covey_error *error) {
    const covey__gguf_tensor *t = covey__gguf_tensor_find(gguf, name);
    if (!t) return covey__fail(error, COVEY_ERROR_FORMAT, "tensor \"%s\" is missing", name);
    if (t->dimensions[0] != columns || t->dimensions[1] != rows || t->dimensions[2] != 1 ||
        t->dimensions[3] != 1)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "tensor \"%s\": expected %" PRIu64 " x %" PRIu64 ", found %" PRIu64
                           " x %" PRIu64,
                           name, columns, rows, t->dimensions[0], t->dimensions[1]);
    if (t->type != COVEY__TYPE_F32 && t->type != COVEY__TYPE_F16 && t->type != COVEY__TYPE_BF16) {
        const covey__type_info *info = covey__type_get(t->type);
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "tensor \"%s\" is %s; training goes on from F32, F16 or BF16 only", name,
                           info ? info->name : "of an unknown type");
    }
    *tensor = t;
    return COVEY_OK;
}

static void read_values(const covey__gguf_tensor *t, float *out) {
    for (size_t i = 0; i < t->element_count; i++) {
        uint16_t half = 0;
        uint32_t bits;
        if (t->type == COVEY__TYPE_F32) {
            memcpy(&out[i], t->data + 4 * i, 4);
            continue;
        }
        memcpy(&half, t->data + 2 * i, 2);
        if (t->type == COVEY__TYPE_F16) {
            out[i] = covey__f16_to_f32(half);
        } else {
            bits = (uint32_t)half << 16;
            memcpy(&out[i], &bits, 4);
        }
    }
}

covey_status covey__train_file_check(const covey__gguf *gguf, const covey__net *net,
                                     covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < covey__net_tensor_count(net) && status == COVEY_OK; i++) {
        covey__net_tensor want = covey__net_tensor_at(net, i);
        const covey__gguf_tensor *tensor;
        status = find_tensor(gguf, want.name, (uint64_t)want.columns, (uint64_t)want.rows, &tensor,
                             error);
    }
    return status;
}

covey_status covey__train_file_weights(const covey__gguf *gguf, covey__net *net,
                                       covey_error *error) {
    for (size_t i = 0; i < covey__net_tensor_count(net); i++) {
        covey__net_tensor want = covey__net_tensor_at(net, i);
        const covey__gguf_tensor *tensor;
        covey_status status = find_tensor(gguf, want.name, (uint64_t)want.columns,
                                          (uint64_t)want.rows, &tensor, error);
        if (status != COVEY_OK) return status;
        read_values(tensor, net->weights + want.offset);
    }
    return COVEY_OK;
}

covey_status covey__train_file_state(const covey__gguf *gguf, const covey__net *net,
                                     covey__train_state *state, covey_error *error) {
    uint64_t step = 0;
    const struct {
        const char *key;
        uint64_t *out;
    } fields[] = {{"covey.train.step", &step},
                  {"covey.train.tokens", &state->tokens},
                  {"covey.train.epoch", &state->position.epoch},
                  {"covey.train.turn", &state->position.turn},
                  {"covey.train.sequence", &state->position.sequence},
                  {"covey.train.seed", &state->seed},
                  {"covey.train.batch_tokens", &state->batch_tokens},
                  {"covey.train.context_tokens", &state->context_tokens}};
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && status == COVEY_OK; i++)
        status = covey__gguf_u64(gguf, fields[i].key, 0, UINT64_MAX, fields[i].out, error);
    if (status != COVEY_OK) return status;
    if (step > INT64_MAX)
        return covey__fail(error, COVEY_ERROR_FORMAT, "covey.train.step: out of range");
    state->step = (int64_t)step;
    covey__gguf_text text;
    status = covey__gguf_string(gguf, "covey.train.corpus", &text, error);
    if (status != COVEY_OK) return status;
    if (!covey__unhex(text.data, text.size, state->corpus_digest, 32))
        return covey__fail(error, COVEY_ERROR_FORMAT, "covey.train.corpus: not a digest");
    const covey__gguf_tensor *first, *second;
    status = find_tensor(gguf, FIRST_MOMENT, net->parameter_count, 1, &first, error);
    if (status == COVEY_OK)
        status = find_tensor(gguf, SECOND_MOMENT, net->parameter_count, 1, &second, error);
    if (status != COVEY_OK) return status;
    read_values(first, state->first);
    read_values(second, state->second);
    return COVEY_OK;
}

/* ---- Writing ---- */

static void put_shape(covey__gguf_writer *writer, const char *name, const covey__net *net,
                      covey_weight_type type) {
    const covey__net_shape *s = &net->shape;
    covey__gguf_put_string(writer, "general.architecture", "llama", 5);
    covey__gguf_put_string(writer, "general.name", name, strlen(name));
    covey__gguf_put_u32(writer, "general.file_type", type == COVEY_WEIGHT_F16 ? 1 : 0);
    covey__gguf_put_u32(writer, "llama.context_length", (uint32_t)s->context);
    covey__gguf_put_u32(writer, "llama.embedding_length", (uint32_t)s->width);
    covey__gguf_put_u32(writer, "llama.block_count", (uint32_t)s->layers);
    covey__gguf_put_u32(writer, "llama.feed_forward_length", (uint32_t)s->ff);
    covey__gguf_put_u32(writer, "llama.attention.head_count", (uint32_t)s->heads);
    covey__gguf_put_u32(writer, "llama.attention.head_count_kv", (uint32_t)s->kv_heads);
    covey__gguf_put_f32(writer, "llama.attention.layer_norm_rms_epsilon", s->epsilon);
    covey__gguf_put_u32(writer, "llama.rope.dimension_count", (uint32_t)net->head_dim);
    covey__gguf_put_f32(writer, "llama.rope.freq_base", s->rope_base);
    covey__gguf_put_u32(writer, "llama.vocab_size", (uint32_t)s->vocabulary);
}

static void put_state(covey__gguf_writer *writer, const covey__train_state *state) {
    char digest[65];
    covey__hex(state->corpus_digest, 32, digest);
    covey__gguf_put_u64(writer, "covey.train.step", (uint64_t)state->step);
    covey__gguf_put_u64(writer, "covey.train.tokens", state->tokens);
    covey__gguf_put_u64(writer, "covey.train.epoch", state->position.epoch);
    covey__gguf_put_u64(writer, "covey.train.turn", state->position.turn);
    covey__gguf_put_u64(writer, "covey.train.sequence", state->position.sequence);
    covey__gguf_put_u64(writer, "covey.train.seed", state->seed);
    covey__gguf_put_u64(writer, "covey.train.batch_tokens", state->batch_tokens);
    covey__gguf_put_u64(writer, "covey.train.context_tokens", state->context_tokens);
    covey__gguf_put_string(writer, "covey.train.corpus", digest, 64);
}

static covey_status write_floats(covey__gguf_writer *writer, const char *name, const float *values,
                                 size_t count, bool half, covey_error *error) {
    uint16_t halves[CHUNK];
    for (size_t i = 0; i < count; i += CHUNK) {
        size_t n = count - i < CHUNK ? count - i : CHUNK;
        bool finite = true;
        for (size_t j = 0; j < n; j++) {
            finite = finite && isfinite(values[i + j]) && (!half || fabsf(values[i + j]) < 65520.f);
            if (half) halves[j] = covey__f32_to_f16(values[i + j]);
        }
        if (!finite)
            return covey__fail(error, COVEY_ERROR_NUMERIC,
                               "train: tensor \"%s\" has a weight that is not finite in %s", name,
                               half ? "F16; write F32" : "F32; lower the learning rate");
        covey_status status =
            half ? covey__gguf_write_data(writer, halves, n * sizeof *halves, error)
                 : covey__gguf_write_data(writer, values + i, n * sizeof *values, error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

static covey_status add_tensors(covey__gguf_writer *writer, const covey__net *net, bool half,
                                bool with_state, covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < covey__net_tensor_count(net) && status == COVEY_OK; i++) {
        covey__net_tensor tensor = covey__net_tensor_at(net, i);
        uint64_t dimensions[2] = {(uint64_t)tensor.columns, (uint64_t)tensor.rows};
        status = covey__gguf_add_tensor(writer, tensor.name,
                                        half && !tensor.vector ? COVEY__TYPE_F16 : COVEY__TYPE_F32,
                                        tensor.vector ? 1 : 2, dimensions, error);
    }
    uint64_t flat = net->parameter_count;
    if (status == COVEY_OK && with_state)
        status = covey__gguf_add_tensor(writer, FIRST_MOMENT, COVEY__TYPE_F32, 1, &flat, error);
    if (status == COVEY_OK && with_state)
        status = covey__gguf_add_tensor(writer, SECOND_MOMENT, COVEY__TYPE_F32, 1, &flat, error);
    return status;
}

static covey_status write_tensors(covey__gguf_writer *writer, const covey__net *net, bool half,
                                  const covey__train_state *state, covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < covey__net_tensor_count(net) && status == COVEY_OK; i++) {
        covey__net_tensor tensor = covey__net_tensor_at(net, i);
        status = write_floats(writer, tensor.name, net->weights + tensor.offset,
                              (size_t)tensor.rows * (size_t)tensor.columns, half && !tensor.vector,
                              error);
    }
    if (!state || status != COVEY_OK) return status;
    status = write_floats(writer, FIRST_MOMENT, state->first, net->parameter_count, false, error);
    if (status != COVEY_OK) return status;
    return write_floats(writer, SECOND_MOMENT, state->second, net->parameter_count, false, error);
}

covey_status covey__train_file_save(const covey__env *env, const char *path, const char *name,
                                    const covey__net *net,
                                    const covey__train_vocabulary *vocabulary,
                                    covey_weight_type type, const covey__train_state *state,
                                    covey_error *error) {
    covey__gguf_writer *writer;
    bool half = type == COVEY_WEIGHT_F16 && !state;
    covey_status status = covey__gguf_writer_new(env, path, &writer, error);
    if (status != COVEY_OK) return status;
    put_shape(writer, name, net, half ? COVEY_WEIGHT_F16 : COVEY_WEIGHT_F32);
    status = covey__train_vocabulary_put(vocabulary, writer, error);
    if (state) put_state(writer, state);
    if (status == COVEY_OK) status = add_tensors(writer, net, half, state != NULL, error);
    if (status == COVEY_OK) status = covey__gguf_write_header(writer, error);
    if (status == COVEY_OK) status = write_tensors(writer, net, half, state, error);
    if (status == COVEY_OK) status = covey__gguf_finish(writer, error);
    covey__gguf_writer_free(writer);
    return status;
}
