/* Tensors by name into a model's layers, as the architecture's table says. A tensor that is
 * absent, has another shape or type, or that nobody asked for is refused by name: weights that
 * would be ignored change answers unseen. Matrices stay in the mapped file. Norms are small: they
 * are copied, which aligns them, and checked for NaN and infinity; the matrices' scales are not
 * read at load, and the pass finds what they spoil. */
#include "engine/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int64_t dim_size(const covey__hyper *hyper, covey__dim dim) {
    switch (dim) {
    case COVEY__DIM_ONE:
        return 1;
    case COVEY__DIM_WIDTH:
        return hyper->width;
    case COVEY__DIM_QUERY:
        return (int64_t)hyper->head_count * hyper->head_dim;
    case COVEY__DIM_KV:
        return (int64_t)hyper->kv_head_count * hyper->head_dim;
    case COVEY__DIM_FFN:
        return hyper->ffn_width;
    case COVEY__DIM_VOCABULARY:
        return hyper->vocabulary_size;
    case COVEY__DIM_ROPE:
        return hyper->rope_dims / 2;
    case COVEY__DIM_HEAD:
        return hyper->head_dim;
    case COVEY__DIM_CONTEXT:
        return hyper->context_tokens;
    case COVEY__DIM_ANY:
        break;
    }
    return -1;
}

static covey_status check_shape(const covey__gguf_tensor *tensor, const char *name, int64_t columns,
                                int64_t rows, covey_error *error) {
    const uint64_t *found = tensor->dimensions;
    if (found[0] == (uint64_t)columns && found[1] == (uint64_t)rows && found[2] == 1 &&
        found[3] == 1)
        return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_FORMAT,
                       "tensor \"%s\": expected %" PRId64 " x %" PRId64 ", found %" PRIu64
                       " x %" PRIu64 " x %" PRIu64 " x %" PRIu64,
                       name, columns, rows, found[0], found[1], found[2], found[3]);
}

static const char *type_name(uint32_t type) {
    const covey__type_info *info = covey__type_get(type);
    return info ? info->name : "unknown";
}

static covey_status take_vector(covey_model *model, const covey__gguf_tensor *tensor,
                                const char *name, int64_t count, const float **out,
                                covey_error *error) {
    if (tensor->type != COVEY__TYPE_F32)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED, "tensor \"%s\": expected F32, found %s",
                           name, type_name(tensor->type));
    float *values = covey__arena_calloc(&model->arena, (size_t)count, sizeof *values);
    if (!values) return covey__no_memory(error, name, (size_t)count * sizeof *values);
    memcpy(values, tensor->data, (size_t)count * sizeof *values);
    if (!covey__finite(values, (size_t)count))
        return covey__fail(error, COVEY_ERROR_NUMERIC,
                           "tensor \"%s\" holds a NaN or an infinity: the file is damaged or its "
                           "training failed",
                           name);
    *out = values;
    return COVEY_OK;
}

static covey_status take_matrix(covey_model *model, const covey__gguf_tensor *tensor,
                                const char *name, int64_t columns, int64_t rows,
                                covey__weights *out, covey_error *error) {
    uint32_t type = (uint32_t)tensor->type;
    if (!covey__kernel_supports(type))
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "tensor \"%s\": type %s is not supported; convert the model to Q8_0, "
                           "Q6_K, Q5_K_M, Q4_K_M, Q4_0, F16, BF16 or F32",
                           name, type_name(type));
    if (columns % covey__kernel_block(type) != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "tensor \"%s\": %" PRId64 " columns are no multiple of %s's %" PRId32,
                           name, columns, type_name(type), covey__kernel_block(type));
    *out = (covey__weights){tensor->data, type, (int32_t)rows, (int32_t)columns,
                            covey__kernel_row_bytes(type, (int32_t)columns)};
    model->kinds[covey__kernel_act(type)] = true;
    return COVEY_OK;
}

/* The parts of a matrix's rows, each a matrix of its own. */
static covey_status take_parts(covey_model *model, const covey__slot *slot,
                               const covey__gguf_tensor *tensor, const char *name,
                               covey__weights *out, covey_error *error) {
    covey__weights whole;
    int64_t rows = (int64_t)tensor->dimensions[1], first = 0;
    covey_status status =
        take_matrix(model, tensor, name, (int64_t)tensor->dimensions[0], rows, &whole, error);
    for (size_t i = 0; status == COVEY_OK && first < rows; i++) {
        int64_t size = dim_size(&model->hyper, slot->rows[i]);
        out[i] = whole;
        out[i].data = (const char *)whole.data + (size_t)first * whole.row_bytes;
        out[i].rows = (int32_t)(size < 0 ? rows : size);
        first += out[i].rows;
    }
    return status;
}

/* Rows of a slot's tensor, all parts together. */
static int64_t slot_rows(const covey__hyper *hyper, const covey__slot *slot,
                         const covey__gguf_tensor *tensor) {
    if (slot->kind == COVEY__SLOT_VECTOR) return 1;
    if (slot->rows[0] == COVEY__DIM_ANY) {
        bool fits = tensor->dimensions[1] > 0 && tensor->dimensions[1] <= INT32_MAX;
        return fits ? (int64_t)tensor->dimensions[1] : 1;
    }
    int64_t rows = 0;
    for (int i = 0; i < COVEY__GROUP_MAX && slot->rows[i] != COVEY__DIM_ONE; i++)
        rows += dim_size(hyper, slot->rows[i]);
    return rows;
}

static covey_status take_slot(covey_model *model, const covey__slot *slot, const char *name,
                              void *into, size_t *taken, covey_error *error) {
    const covey__gguf_tensor *tensor = covey__gguf_tensor_find(model->gguf, name);
    if (!tensor && slot->optional) return COVEY_OK;
    if (!tensor) return covey__fail(error, COVEY_ERROR_FORMAT, "tensor \"%s\" is missing", name);
    int64_t columns = dim_size(&model->hyper, slot->columns);
    int64_t rows = slot_rows(&model->hyper, slot, tensor);
    covey_status status = check_shape(tensor, name, columns, rows, error);
    if (status != COVEY_OK) return status;
    ++*taken;
    char *field = (char *)into + slot->offset;
    if (slot->kind == COVEY__SLOT_VECTOR)
        return take_vector(model, tensor, name, columns, (const float **)(void *)field, error);
    return take_parts(model, slot, tensor, name, (covey__weights *)(void *)field, error);
}

/* Whether the tensor's name is one that some slot takes. */
static bool is_known(const covey_model *model, covey__gguf_text name) {
    const covey__architecture *architecture = model->architecture;
    for (size_t i = 0; i < architecture->root_count; i++) {
        const char *root = architecture->roots[i].name;
        if (strlen(root) == name.size && memcmp(root, name.data, name.size) == 0) return true;
    }
    if (name.size < 4 || memcmp(name.data, "blk.", 4) != 0) return false;
    size_t at = 4, layer = 0;
    while (at < name.size && name.data[at] >= '0' && name.data[at] <= '9' && at < 9)
        layer = layer * 10 + (size_t)(name.data[at++] - '0');
    if (at == 4 || (name.data[4] == '0' && at > 5)) return false;
    if (at >= name.size || name.data[at] != '.' || layer >= (size_t)model->hyper.layer_count)
        return false;
    at++;
    for (size_t i = 0; i < architecture->layer_slot_count; i++) {
        const char *suffix = architecture->layer[i].name;
        if (strlen(suffix) == name.size - at && memcmp(suffix, name.data + at, name.size - at) == 0)
            return true;
    }
    return false;
}

static covey_status check_unknown(const covey_model *model, size_t taken, covey_error *error) {
    size_t count = covey__gguf_tensor_count(model->gguf);
    for (size_t i = 0; i < count && taken < count; i++) {
        const covey__gguf_tensor *tensor = covey__gguf_tensor_at(model->gguf, i);
        char shown[80];
        if (!is_known(model, tensor->name))
            return covey__fail(
                error, COVEY_ERROR_UNSUPPORTED,
                "tensor \"%s\" is not part of the %s architecture as this library "
                "knows it",
                covey__printable(tensor->name.data, tensor->name.size, shown, sizeof shown),
                model->architecture->name);
    }
    return COVEY_OK;
}

static void count_group(covey__group *group) {
    while (group->count < COVEY__GROUP_MAX && group->matrices[group->count].data) group->count++;
}

/* What layers differ in by their place. */
static void set_pattern(const covey__architecture *architecture, const covey__hyper *hyper,
                        int32_t index, covey__layer *layer) {
    int32_t period = hyper->window_period, every = architecture->rope_less_every;
    bool sees_all = period > 0 && (index + 1) % period == 0;
    layer->window = sees_all ? 0 : hyper->window;
    bool is_local = layer->window > 0 && hyper->local_rope_base > 0.0;
    bool has_rope = hyper->rope_dims > 0 && !(every > 0 && (index + 1) % every == 0);
    layer->rope = !has_rope ? -1 : is_local ? 1 : 0;
}

static covey_status load_layer(covey_model *model, int32_t index, size_t *taken,
                               covey_error *error) {
    const covey__architecture *architecture = model->architecture;
    covey__layer *layer = &model->layers[index];
    for (size_t i = 0; i < architecture->layer_slot_count; i++) {
        char name[96];
        snprintf(name, sizeof name, "blk.%" PRId32 ".%s", index, architecture->layer[i].name);
        covey_status status = take_slot(model, &architecture->layer[i], name, layer, taken, error);
        if (status != COVEY_OK) return status;
    }
    count_group(&layer->qkv);
    count_group(&layer->attention_output);
    count_group(&layer->gate_up);
    count_group(&layer->down);
    layer->gate_up.together = true;
    set_pattern(architecture, &model->hyper, index, layer);
    return COVEY_OK;
}

static void count_weights(covey_model *model) {
    uint64_t by_type[64] = {0};
    uint64_t most = 0;
    model->quantization = "";
    for (size_t i = 0; i < covey__gguf_tensor_count(model->gguf); i++) {
        const covey__gguf_tensor *tensor = covey__gguf_tensor_at(model->gguf, i);
        model->parameter_count += tensor->element_count;
        model->weight_bytes += tensor->bytes;
        uint64_t *bytes = &by_type[(size_t)tensor->type % 64];
        *bytes += tensor->bytes;
        if (*bytes <= most) continue;
        most = *bytes;
        model->quantization = type_name(tensor->type);
    }
}

covey_status covey__tensors_load(covey_model *model, covey_error *error) {
    const covey__architecture *architecture = model->architecture;
    size_t taken = 0, layers = (size_t)model->hyper.layer_count;
    model->layers = covey__arena_calloc(&model->arena, layers, sizeof *model->layers);
    if (!model->layers) return covey__no_memory(error, "the layers", layers * sizeof(covey__layer));
    for (size_t i = 0; i < architecture->root_count; i++) {
        const covey__slot *slot = &architecture->roots[i];
        covey_status status = take_slot(model, slot, slot->name, &model->roots, &taken, error);
        if (status != COVEY_OK) return status;
    }
    for (int32_t i = 0; i < model->hyper.layer_count; i++) {
        covey_status status = load_layer(model, i, &taken, error);
        if (status != COVEY_OK) return status;
    }
    covey__group *output = &model->roots.output;
    if (!output->matrices[0].data && !architecture->is_encoder)
        output->matrices[0] = model->roots.token_embedding;
    count_group(output);
    count_weights(model);
    return check_unknown(model, taken, error);
}

bool covey__tensors_find_non_finite(const covey_model *model, char *name, size_t name_size,
                                    int32_t *row) {
    for (size_t i = 0; i < covey__gguf_tensor_count(model->gguf); i++) {
        const covey__gguf_tensor *tensor = covey__gguf_tensor_at(model->gguf, i);
        if (!covey__kernel_supports((uint32_t)tensor->type) || tensor->dimension_count > 2)
            continue;
        int32_t columns = (int32_t)tensor->dimensions[0], rows = (int32_t)tensor->dimensions[1];
        covey__weights weights = {tensor->data, (uint32_t)tensor->type, rows, columns,
                                  covey__kernel_row_bytes((uint32_t)tensor->type, columns)};
        *row = covey__weights_check(&weights, 0, rows);
        if (*row < 0) continue;
        covey__printable(tensor->name.data, tensor->name.size, name, name_size);
        return true;
    }
    return false;
}
