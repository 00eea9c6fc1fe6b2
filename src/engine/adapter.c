/* Opening adapters. A LoRA of a matrix is two tensors named after it, "….lora_a" [rank][inputs] and
 * "….lora_b" [outputs][rank] (llama.cpp, convert_lora_to_gguf.py). They are tied to the matrices
 * that the passes know by where the base's tensor lies, so that a tensor which an architecture
 * splits (a fused query, key and value) is split in its adapter too. All is checked here: a session
 * that uses an adapter can rely on its shapes. The weights stay in the file. */
#include "engine/adapter.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/sha256.h"
#include "engine/engine.h"

#define GROUPS 4 /* of a layer */
#define SLOTS  (GROUPS * COVEY__GROUP_MAX)

struct covey_adapter {
    covey_model *model; /* held */
    const covey__env *env;
    covey__gguf *gguf;
    atomic_int references;
    covey__lora *loras; /* [layers][SLOTS], then [COVEY__GROUP_MAX] of the output */
    size_t lora_count;
    covey_adapter_info info;
    char name[128], file[128];
};

/* ---- Where a matrix is ---- */

static const covey__group *group_of_layer(const covey__layer *layer, int32_t index) {
    const covey__group *groups[GROUPS] = {&layer->qkv, &layer->attention_output, &layer->gate_up,
                                          &layer->down};
    return groups[index];
}

static size_t first_slot(const covey_model *model, const covey__group *group) {
    size_t layers = (size_t)model->hyper.layer_count;
    if (group == &model->roots.output) return layers * SLOTS;
    size_t layer =
        (size_t)((const char *)group - (const char *)model->layers) / sizeof(covey__layer);
    int32_t which = 0;
    while (which < GROUPS - 1 && group_of_layer(&model->layers[layer], which) != group) which++;
    return layer * SLOTS + (size_t)which * COVEY__GROUP_MAX;
}

const covey__lora *covey__adapter_find(const covey_adapter *adapter, const covey__group *group,
                                       int32_t matrix) {
    const covey__lora *lora = &adapter->loras[first_slot(adapter->model, group) + (size_t)matrix];
    return lora->a.data ? lora : NULL;
}

/* ---- Tensors ---- */

typedef struct pair {
    const covey__gguf_tensor *base, *a, *b;
    char name[96]; /* of the base's tensor */
} pair;

static covey_status check_type(const covey__gguf_tensor *t, covey_error *error) {
    const covey__type_info *info = covey__type_get(t->type);
    char name[96];
    if (t->type == COVEY__TYPE_F32 || t->type == COVEY__TYPE_F16 || t->type == COVEY__TYPE_BF16)
        return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "tensor \"%s\": type %s is not supported in adapters, only F32, F16 and "
                       "BF16",
                       covey__printable(t->name.data, t->name.size, name, sizeof name),
                       info ? info->name : "unknown");
}

static covey_status check_shape(const pair *p, covey_error *error) {
    uint64_t rank = p->a->dimensions[1];
    bool fits = p->a->dimension_count == 2 && p->b->dimension_count == 2 &&
                p->a->dimensions[0] == p->base->dimensions[0] &&
                p->b->dimensions[1] == p->base->dimensions[1] && p->b->dimensions[0] == rank &&
                rank >= 1 && rank <= COVEY__ADAPTER_RANK_MAX;
    if (fits) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "\"%s\": expected a of [%" PRIu64 ", rank] and b of [rank, %" PRIu64
                       "] with a rank of 1 to %d, found [%" PRIu64 ", %" PRIu64 "] and [%" PRIu64
                       ", %" PRIu64 "]: it was made for another model",
                       p->name, p->base->dimensions[0], p->base->dimensions[1],
                       COVEY__ADAPTER_RANK_MAX, p->a->dimensions[0], p->a->dimensions[1],
                       p->b->dimensions[0], p->b->dimensions[1]);
}

static covey__weights weights_of(const covey__gguf_tensor *t, uint64_t first_row, int32_t rows) {
    int32_t columns = (int32_t)t->dimensions[0];
    size_t row_bytes = covey__kernel_row_bytes((uint32_t)t->type, columns);
    return (covey__weights){t->data + first_row * row_bytes, (uint32_t)t->type, rows, columns,
                            row_bytes};
}

static covey_status check_finite(const covey__weights *w, const char *name, covey_error *error) {
    int32_t row = covey__weights_check(w, 0, w->rows);
    return row < 0 ? COVEY_OK
                   : covey__fail(error, COVEY_ERROR_NUMERIC,
                                 "\"%s\" holds a NaN or an infinity in row %" PRId32
                                 ": the file is damaged or its training failed",
                                 name, row);
}

/* Ties the pair to a matrix that lies in its base tensor; counts it. */
static covey_status tie(covey_adapter *adapter, const covey__group *group, int32_t matrix,
                        const pair *p, covey_error *error) {
    const covey__weights *w = &group->matrices[matrix];
    const uint8_t *data = w->data;
    if (data < p->base->data || data >= p->base->data + p->base->bytes) return COVEY_OK;
    uint64_t first = (uint64_t)(data - p->base->data) / w->row_bytes;
    covey__lora *lora = &adapter->loras[first_slot(adapter->model, group) + (size_t)matrix];
    int32_t rank = (int32_t)p->a->dimensions[1];
    lora->a = weights_of(p->a, 0, rank);
    lora->b = weights_of(p->b, first, w->rows);
    lora->factor = adapter->info.alpha / (float)rank;
    if (rank > adapter->info.rank_max) adapter->info.rank_max = rank;
    adapter->info.matrix_count++;
    covey_status status = check_finite(&lora->a, p->name, error);
    return status == COVEY_OK ? check_finite(&lora->b, p->name, error) : status;
}

static covey_status tie_all(covey_adapter *adapter, const pair *p, covey_error *error) {
    const covey_model *model = adapter->model;
    int32_t before = adapter->info.matrix_count;
    covey_status status = COVEY_OK;
    for (int32_t i = 0; i < model->hyper.layer_count; i++)
        for (int32_t g = 0; g < GROUPS; g++) {
            const covey__group *group = group_of_layer(&model->layers[i], g);
            for (int32_t m = 0; m < group->count && status == COVEY_OK; m++)
                status = tie(adapter, group, m, p, error);
        }
    bool is_tied_embedding =
        model->roots.output.matrices[0].data == model->roots.token_embedding.data;
    if (status == COVEY_OK && !is_tied_embedding && model->roots.output.count > 0)
        status = tie(adapter, &model->roots.output, 0, p, error);
    if (status != COVEY_OK || adapter->info.matrix_count > before) return status;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "\"%s\": adapters of this tensor are not supported, only of the matrices of "
                       "attention, the feed-forward and the output",
                       p->name);
}

static bool cut(covey__gguf_text name, const char *end, char *out, size_t capacity) {
    size_t size = strlen(end);
    if (name.size <= size || name.size - size >= capacity ||
        memcmp(name.data + name.size - size, end, size) != 0)
        return false;
    memcpy(out, name.data, name.size - size);
    out[name.size - size] = 0;
    return true;
}

/* The pair that begins with the tensor `a`. */
static covey_status take_pair(covey_adapter *adapter, const covey__gguf_tensor *a,
                              covey_error *error) {
    pair p = {.a = a};
    char other[104], shown[96];
    if (!cut(a->name, ".lora_a", p.name, sizeof p.name)) {
        if (cut(a->name, ".lora_b", p.name, sizeof p.name)) {
            snprintf(other, sizeof other, "%s.lora_a", p.name);
            if (covey__gguf_tensor_find(adapter->gguf, other)) return COVEY_OK;
            return covey__fail(error, COVEY_ERROR_FORMAT, "\"%s\" is missing", other);
        }
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED, "tensor \"%s\" is no part of a LoRA",
                           covey__printable(a->name.data, a->name.size, shown, sizeof shown));
    }
    snprintf(other, sizeof other, "%s.lora_b", p.name);
    p.b = covey__gguf_tensor_find(adapter->gguf, other);
    if (!p.b) return covey__fail(error, COVEY_ERROR_FORMAT, "\"%s\" is missing", other);
    p.base = covey__gguf_tensor_find(adapter->model->gguf, p.name);
    if (!p.base)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "the model has no tensor \"%s\": the adapter was made for another one",
                           covey__printable(p.name, strlen(p.name), shown, sizeof shown));
    covey_status status = check_type(p.a, error);
    if (status == COVEY_OK) status = check_type(p.b, error);
    if (status == COVEY_OK) status = check_shape(&p, error);
    return status == COVEY_OK ? tie_all(adapter, &p, error) : status;
}

/* ---- Metadata ---- */

static bool is_text(covey__gguf_text text, const char *expected) {
    return text.size == strlen(expected) && memcmp(text.data, expected, text.size) == 0;
}

/* A key that must be there with one value. */
static covey_status expect(const covey__gguf *gguf, const char *key, const char *expected,
                           covey_error *error) {
    covey__gguf_text found;
    char shown[64];
    covey_status status = covey__gguf_string(gguf, key, &found, error);
    if (status != COVEY_OK) return status;
    if (is_text(found, expected)) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_MISMATCH, "%s: expected \"%s\", found \"%s\"", key,
                       expected, covey__printable(found.data, found.size, shown, sizeof shown));
}

/* The digests that may stand for the model: the one that it goes by, and the other kind, since a
 * file may be bound alone and used in an ensemble, or the other way. The last reads the whole file;
 * it is only asked when the first does not fit. */
static covey_status names_model(const covey_adapter *adapter, covey__gguf_text named, bool *is_it,
                                char hex[65], covey_error *error) {
    const covey_model *model = adapter->model;
    uint8_t identity[32];
    char other[65];
    covey_status status = covey__model_identity(model, identity, error);
    if (status != COVEY_OK) return status;
    covey__hex(identity, sizeof identity, hex);
    *is_it = is_text(named, hex);
    if (*is_it) return COVEY_OK;
    status = model->has_identity ? covey__model_sampled_identity(model, identity, error)
                                 : covey__model_file_digest(model, identity, error);
    if (status != COVEY_OK) return status;
    covey__hex(identity, sizeof identity, other);
    *is_it = is_text(named, other);
    return COVEY_OK;
}

static covey_status check_base(covey_adapter *adapter, covey_error *error) {
    covey__gguf_text named;
    char hex[65];
    if (!covey__gguf_has(adapter->gguf, COVEY__ADAPTER_BASE_KEY)) return COVEY_OK;
    covey_status status = covey__gguf_string(adapter->gguf, COVEY__ADAPTER_BASE_KEY, &named, error);
    if (status == COVEY_OK) status = names_model(adapter, named, &adapter->info.bound, hex, error);
    if (status != COVEY_OK || adapter->info.bound) return status;
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "%s: the adapter is bound to another base; this model is %s",
                       COVEY__ADAPTER_BASE_KEY, hex);
}

/* Says what the file is where it is no adapter: mostly a model in an adapter's place. */
static covey_status check_kind(const covey__gguf *gguf, covey_error *error) {
    bool is_model = !covey__gguf_has(gguf, "general.type") ||
                    covey__gguf_string_is(gguf, "general.type", "model");
    if (is_model && !covey__gguf_has(gguf, "adapter.type"))
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "the file is a model, not an adapter; an adapter is a LoRA as "
                           "convert_lora_to_gguf.py writes it");
    return expect(gguf, "general.type", "adapter", error);
}

static covey_status read_metadata(covey_adapter *adapter, covey_error *error) {
    const covey__gguf *gguf = adapter->gguf;
    covey__gguf_text name;
    covey_status status = check_kind(gguf, error);
    if (status == COVEY_OK) status = expect(gguf, "adapter.type", "lora", error);
    if (status == COVEY_OK)
        status = expect(gguf, "general.architecture", adapter->model->architecture_name, error);
    if (status == COVEY_OK)
        status = covey__gguf_f32(gguf, "adapter.lora.alpha", &adapter->info.alpha, error);
    if (status == COVEY_OK && !isfinite(adapter->info.alpha))
        status = covey__fail(error, COVEY_ERROR_NUMERIC, "adapter.lora.alpha is not finite");
    if (status == COVEY_OK) status = check_base(adapter, error);
    if (covey__gguf_string(gguf, "general.name", &name, NULL) == COVEY_OK)
        covey__printable(name.data, name.size, adapter->name, sizeof adapter->name);
    adapter->info.name = adapter->name;
    return status;
}

static covey_status load(covey_adapter *adapter, covey_error *error) {
    covey_status status = read_metadata(adapter, error);
    size_t slots = (size_t)adapter->model->hyper.layer_count * SLOTS + COVEY__GROUP_MAX;
    if (status != COVEY_OK) return status;
    adapter->loras = covey__calloc(adapter->env, slots, sizeof *adapter->loras);
    if (!adapter->loras) return covey__no_memory(error, "adapter", slots * sizeof(covey__lora));
    for (size_t i = 0; i < covey__gguf_tensor_count(adapter->gguf) && status == COVEY_OK; i++)
        status = take_pair(adapter, covey__gguf_tensor_at(adapter->gguf, i), error);
    if (status == COVEY_OK && adapter->info.matrix_count == 0)
        status = covey__fail(error, COVEY_ERROR_FORMAT, "the file holds no tensors");
    adapter->info.bytes = covey__gguf_size(adapter->gguf);
    covey__sha256_of(covey__gguf_bytes(adapter->gguf), (size_t)adapter->info.bytes,
                     adapter->info.sha256);
    return status;
}

/* ---- Open and close ---- */

static void destroy(covey_adapter *adapter) {
    covey_model *model = adapter->model;
    const covey__env *env = adapter->env;
    covey__gguf_close(adapter->gguf);
    covey__free(env, adapter->loras);
    covey__free(env, adapter);
    covey__model_drop(model);
}

static void set_file(covey_adapter *adapter, const char *path) {
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    covey__printable(file, strlen(file), adapter->file, sizeof adapter->file);
    adapter->info.file = adapter->file;
}

static covey_status check_place(covey_model *model, const char *path, covey_adapter **adapter,
                                covey_error *error) {
    if (!model || !path || !adapter)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "adapter: a model, a path and a place are needed");
    *adapter = NULL;
    if (!model->layers)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "adapter: the model was opened for its vocabulary alone");
    return COVEY_OK;
}

/* Takes the file, also on failure. */
static covey_status open_on(covey_model *model, covey__gguf *gguf, const char *path,
                            covey_adapter **adapter, covey_error *error) {
    covey_adapter *opened = covey__calloc(model->env, 1, sizeof *opened);
    if (!opened) {
        covey__gguf_close(gguf);
        return covey__no_memory(error, "adapter", sizeof *opened);
    }
    covey__model_hold(model);
    opened->model = model;
    opened->env = model->env;
    opened->gguf = gguf;
    set_file(opened, path);
    atomic_init(&opened->references, 1);
    covey_status status = load(opened, error);
    if (status != COVEY_OK) {
        destroy(opened);
        return covey__prefix(error, status, "adapter: %s", path);
    }
    *adapter = opened;
    return COVEY_OK;
}

covey_status covey__adapter_open_vouched(covey_model *model, const char *path,
                                         covey_adapter **adapter, covey_error *error) {
    covey__gguf *gguf = NULL;
    covey_status status = check_place(model, path, adapter, error);
    if (status != COVEY_OK) return status;
    status = covey__gguf_open_path(model->env, path, &gguf, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "adapter");
    return open_on(model, gguf, path, adapter, error);
}

covey_status covey__adapter_open_taking(covey_model *model, covey__map *take_map, const char *name,
                                        covey_adapter **adapter, covey_error *error) {
    covey__gguf *gguf = NULL;
    covey__map map = *take_map;
    memset(take_map, 0, sizeof *take_map);
    covey_status status = check_place(model, name, adapter, error);
    if (status != COVEY_OK) {
        covey__map_close(&map);
        return status;
    }
    status = covey__gguf_open(model->env, &map, &gguf, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "adapter: %s", name);
    return open_on(model, gguf, name, adapter, error);
}

covey_status covey_adapter_open(covey_model *model, const char *path, covey_adapter **adapter,
                                covey_error *error) {
    covey_status status = covey__adapter_open_vouched(model, path, adapter, error);
    if (status == COVEY_OK && !(*adapter)->info.bound)
        covey__log(model->env, COVEY_LOG_WARN, "engine",
                   "adapter %s names no base: its architecture, tensor names and shapes fit this "
                   "model, but so they would if it was made for another one of the same shape; "
                   "\"covey inspect adapter MODEL ADAPTER --bind OUT\" writes a copy that is bound",
                   (*adapter)->file);
    return status;
}

void covey__adapter_hold(covey_adapter *adapter) {
    atomic_fetch_add(&adapter->references, 1);
}

void covey_adapter_close(covey_adapter *adapter) {
    if (adapter && atomic_fetch_sub(&adapter->references, 1) == 1) destroy(adapter);
}

void covey_adapter_describe(const covey_adapter *adapter, covey_adapter_info *info) {
    covey_adapter_info full = adapter->info;
    size_t size = info->size < sizeof full ? info->size : sizeof full;
    full.size = info->size;
    memcpy(info, &full, size);
}

int32_t covey__adapter_rank_max(const covey_adapter *adapter) {
    return adapter->info.rank_max;
}

const covey_model *covey__adapter_model(const covey_adapter *adapter) {
    return adapter->model;
}

const uint8_t *covey__adapter_digest(const covey_adapter *adapter) {
    return adapter->info.sha256;
}

/* ---- Binding ---- */

static covey_status copy_bound(const covey_adapter *adapter, covey__gguf_writer *writer,
                               const char *hex, covey_error *error) {
    const covey__gguf *gguf = adapter->gguf;
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < covey__gguf_value_count(gguf); i++) {
        covey__gguf_value value = covey__gguf_value_at(gguf, i);
        if (!is_text(value.key, COVEY__ADAPTER_BASE_KEY)) covey__gguf_put_value(writer, &value);
    }
    covey__gguf_put_string(writer, COVEY__ADAPTER_BASE_KEY, hex, strlen(hex));
    for (size_t i = 0; i < covey__gguf_tensor_count(gguf) && status == COVEY_OK; i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_at(gguf, i);
        char *name = covey__strndup(adapter->env, t->name.data, t->name.size);
        if (!name) return covey__no_memory(error, "a name", t->name.size);
        status =
            covey__gguf_add_tensor(writer, name, t->type, t->dimension_count, t->dimensions, error);
        covey__free(adapter->env, name);
    }
    if (status == COVEY_OK) status = covey__gguf_write_header(writer, error);
    for (size_t i = 0; i < covey__gguf_tensor_count(gguf) && status == COVEY_OK; i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_at(gguf, i);
        status = covey__gguf_write_data(writer, t->data, (size_t)t->bytes, error);
    }
    return status == COVEY_OK ? covey__gguf_finish(writer, error) : status;
}

covey_status covey__adapter_bind_to(covey_model *model, const char *in_path, const char *out_path,
                                    const uint8_t identity[32], covey_error *error) {
    covey_adapter *adapter = NULL;
    covey__gguf_writer *writer = NULL;
    char hex[65];
    covey_status status = covey__adapter_open_vouched(model, in_path, &adapter, error);
    if (status != COVEY_OK) return status;
    status = covey__gguf_writer_new(model->env, out_path, &writer, error);
    if (status == COVEY_OK) {
        covey__hex(identity, 32, hex);
        status = copy_bound(adapter, writer, hex, error);
    }
    covey__gguf_writer_free(writer);
    covey_adapter_close(adapter); /* only now: the file that is replaced may be its own */
    return status == COVEY_OK ? status : covey__prefix(error, status, "adapter: bind");
}

covey_status covey_adapter_bind(covey_model *model, const char *in_path, const char *out_path,
                                covey_error *error) {
    uint8_t identity[32];
    if (!model || !in_path || !out_path)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "adapter: bind: a model and two paths are needed");
    covey_status status = covey__model_identity(model, identity, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "adapter: bind");
    return covey__adapter_bind_to(model, in_path, out_path, identity, error);
}
