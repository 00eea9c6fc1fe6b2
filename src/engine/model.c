/* Opening a model: map the GGUF, read the vocabulary, read and check the hyperparameters, find the
 * tensors. No weight is read here, so that opening takes the vocabulary's time and no more. A model
 * is counted: each session holds it, and it closes with the last of them. */
#include "engine/engine.h"
#include "engine/guide_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MODEL_ARENA_MAX    ((size_t)256 << 20)
#define PARALLEL_BYTES_MIN ((uint64_t)4 << 20)

/* `in_memory` (may be NULL) is moved from: the source then names nothing. */
static covey_status map_source(const covey__env *env, const covey_model_source *source,
                               covey__map *in_memory, covey__map *map, covey_error *error) {
    if (in_memory) {
        *map = *in_memory;
        memset(in_memory, 0, sizeof *in_memory);
        return COVEY_OK;
    }
    int given = (source->path != NULL) + (source->descriptor >= 0) + (source->memory != NULL);
    if (given != 1)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "expected one of path, descriptor and memory, found %d", given);
    if (source->path) return covey__map_path(env, source->path, map, error);
    if (source->descriptor >= 0)
        return covey__map_descriptor(env, source->descriptor, source->descriptor_offset,
                                     source->descriptor_length, map, error);
    *map = (covey__map){.data = source->memory, .size = source->memory_size};
    return COVEY_OK;
}

/* An adapter has its base's architecture and none of its keys: what would be said of those would
 * not help. */
static covey_status refuse_adapter(const covey_model *model, covey_error *error) {
    if (!covey__gguf_string_is(model->gguf, "general.type", "adapter")) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "general.type: the file is an adapter (a LoRA), not a model; open the model "
                       "that it was trained on, and this beside it (--adapter)");
}

static covey_status find_architecture(covey_model *model, bool vocabulary_only,
                                      covey_error *error) {
    covey__gguf_text name;
    covey_status status = refuse_adapter(model, error);
    if (status != COVEY_OK) return status;
    status = covey__gguf_string(model->gguf, "general.architecture", &name, error);
    if (status != COVEY_OK) return status;
    model->architecture_name = covey__arena_strndup(&model->arena, name.data, name.size);
    if (!model->architecture_name) return covey__no_memory(error, "a name", name.size);
    if (vocabulary_only) return COVEY_OK;
    char shown[64], names[160];
    model->architecture = covey__architecture_find(name, names, sizeof names);
    if (model->architecture) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "general.architecture: \"%s\" is not supported; supported are %s",
                       covey__printable(name.data, name.size, shown, sizeof shown), names);
}

static covey_status check_vocabulary(const covey_model *model, covey_error *error) {
    char key[80];
    uint64_t stated = 0;
    snprintf(key, sizeof key, "%s.vocab_size", model->architecture->name);
    if (!covey__gguf_has(model->gguf, key)) return COVEY_OK;
    covey_status status = covey__gguf_u64(model->gguf, key, 1, INT32_MAX, &stated, error);
    if (status != COVEY_OK) return status;
    if (stated == (uint64_t)model->hyper.vocabulary_size) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_FORMAT,
                       "%s: %" PRIu64 " differs from the %" PRId32 " entries of "
                       "tokenizer.ggml.tokens",
                       key, stated, model->hyper.vocabulary_size);
}

static covey_status set_name(covey_model *model, covey_error *error) {
    covey__gguf_text name = {"", 0};
    if (covey__gguf_has(model->gguf, "general.name") &&
        covey__gguf_string(model->gguf, "general.name", &name, NULL) != COVEY_OK)
        name = (covey__gguf_text){"", 0};
    model->name = covey__arena_strndup(&model->arena, name.data, name.size);
    return model->name ? COVEY_OK : covey__no_memory(error, "the model's name", name.size);
}

static covey_status check_factors(const float *factors, size_t count, const char *name,
                                  covey_error *error) {
    for (size_t i = 0; factors && i < count; i++)
        if (!(factors[i] > 0.0f))
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "tensor \"%s\": expected positive factors, found %g at %zu", name,
                               (double)factors[i], i);
    return COVEY_OK;
}

static covey_status make_frequencies(covey_model *model, double base, double scale,
                                     const float *factors, const double **out, covey_error *error) {
    int32_t dims = model->hyper.rope_dims;
    size_t count = (size_t)dims / 2;
    double *frequencies = covey__arena_calloc(&model->arena, count, sizeof *frequencies);
    if (!frequencies) return covey__no_memory(error, "frequencies", count * sizeof *frequencies);
    covey__rope_frequencies(base, dims, scale, factors, frequencies);
    *out = frequencies;
    return COVEY_OK;
}

static covey_status set_ropes(covey_model *model, covey_error *error) {
    const covey__hyper *hyper = &model->hyper;
    const covey__roots *roots = &model->roots;
    const float *plain = roots->rope_factors ? roots->rope_factors : roots->rope_factors_short;
    size_t count = (size_t)hyper->rope_dims / 2;
    if (hyper->rope_dims == 0) return COVEY_OK;
    if (!roots->rope_factors_short != !roots->rope_factors_long)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "tensor \"rope_factors_%s.weight\" is missing",
                           roots->rope_factors_short ? "long" : "short");
    covey_status status = check_factors(roots->rope_factors, count, "rope_freqs.weight", error);
    if (status == COVEY_OK)
        status =
            check_factors(roots->rope_factors_short, count, "rope_factors_short.weight", error);
    if (status == COVEY_OK)
        status = check_factors(roots->rope_factors_long, count, "rope_factors_long.weight", error);
    if (status == COVEY_OK)
        status = make_frequencies(model, hyper->rope_base, hyper->rope_scale, plain,
                                  &model->ropes[0].frequencies, error);
    if (status == COVEY_OK && roots->rope_factors_long)
        status =
            make_frequencies(model, hyper->rope_base, hyper->rope_scale, roots->rope_factors_long,
                             &model->ropes[0].long_frequencies, error);
    model->rope_count = 1;
    if (status != COVEY_OK || hyper->window == 0 || hyper->local_rope_base == 0.0) return status;
    model->rope_count = 2;
    return make_frequencies(model, hyper->local_rope_base, 1.0, NULL, &model->ropes[1].frequencies,
                            error);
}

static covey_status load(covey_model *model, const covey_model_source *source,
                         covey__map *in_memory, covey_error *error) {
    covey__map map;
    covey_status status = map_source(model->env, source, in_memory, &map, error);
    if (status == COVEY_OK) status = covey__gguf_open(model->env, &map, &model->gguf, error);
    if (status == COVEY_OK) status = find_architecture(model, source->vocabulary_only, error);
    if (status == COVEY_OK && source->vocabulary_only) {
        model->quantization = "none";
        status = covey__vocabulary_load(model, error);
        return status == COVEY_OK ? set_name(model, error) : status;
    }
    if (status == COVEY_OK)
        status = covey__hyper_read(model->architecture, model->gguf, &model->hyper, error);
    if (status == COVEY_OK) status = covey__vocabulary_load(model, error);
    if (status == COVEY_OK) status = check_vocabulary(model, error);
    if (status == COVEY_OK) status = covey__tensors_load(model, error);
    if (status == COVEY_OK) status = set_ropes(model, error);
    if (status == COVEY_OK) status = set_name(model, error);
    return status;
}

static void destroy(covey_model *model) {
    const covey__env *env = model->env;
    covey__kv_close(model);
    covey__combine_close(model);
    covey__workspace_close(model);
    covey__token_trie_drop(model->token_trie);
    covey__vocabulary_free(model);
    covey__arena_free(&model->arena);
    covey__gguf_close(model->gguf);
    covey__free(env, model);
}

/* What sessions share; all of it, or nothing. */
static covey_status open_shared(covey_model *model, const covey_model_source *source,
                                covey_error *error) {
    covey_status status = covey__workspace_open(model, error);
    if (status != COVEY_OK) return status;
    status = covey__combine_open(model, error);
    if (status == COVEY_OK) {
        status = covey__kv_open(model, source->idle_kv_bytes_max, error);
        if (status == COVEY_OK) return COVEY_OK;
        covey__combine_close(model);
    }
    covey__workspace_close(model);
    return status;
}

static covey_status open_model(covey_runtime *runtime, const covey_model_source *source,
                               covey__map *in_memory, covey_model **model, covey_error *error) {
    if (!runtime || !source || !model)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "model: runtime, source and model must be given");
    *model = NULL;
    covey_model_source full = COVEY_MODEL_SOURCE_INIT;
    memcpy(&full, source, source->size < sizeof full ? source->size : sizeof full);
    int64_t start = covey__monotonic_us();
    const covey__env *env = covey__runtime_env(runtime);
    covey_model *opened = covey__calloc(env, 1, sizeof *opened);
    if (!opened) return covey__no_memory(error, "model", sizeof *opened);
    opened->runtime = runtime;
    opened->env = env;
    opened->pool = covey__runtime_pool(runtime);
    opened->kernels = covey__kernels_get((covey__isa)covey__runtime_isa_level(runtime));
    opened->parallel_bytes_min = PARALLEL_BYTES_MIN;
    atomic_init(&opened->references, 1);
    covey__arena_init(&opened->arena, env, MODEL_ARENA_MAX);
    opened->has_identity = full.identity != NULL;
    if (full.identity) memcpy(opened->identity, full.identity, sizeof opened->identity);
    covey_status status = open_shared(opened, &full, error);
    if (status != COVEY_OK) {
        covey__free(env, opened);
        return covey__prefix(error, status, "model");
    }
    covey__fp_state fp = covey__fp_enter();
    status = load(opened, &full, in_memory, error);
    covey__fp_leave(fp);
    if (status != COVEY_OK) {
        destroy(opened);
        return covey__prefix(error, status, "model");
    }
    opened->load_ms = (covey__monotonic_us() - start + 999) / 1000;
    covey__log(env, COVEY_LOG_INFO, "engine", "opened %s, %s, in %" PRId64 " ms",
               opened->architecture_name, opened->quantization, opened->load_ms);
    *model = opened;
    return COVEY_OK;
}

covey_status covey_model_open(covey_runtime *runtime, const covey_model_source *source,
                              covey_model **model, covey_error *error) {
    return open_model(runtime, source, NULL, model, error);
}

covey_status covey__model_open_taking(covey_runtime *runtime, const covey_model_source *source,
                                      covey__map *take_map, covey_model **model,
                                      covey_error *error) {
    covey_status status = open_model(runtime, source, take_map, model, error);
    covey__map_close(take_map);
    return status;
}

void covey__model_hold(covey_model *model) {
    atomic_fetch_add(&model->references, 1);
}

void covey__model_drop(covey_model *model) {
    if (atomic_fetch_sub(&model->references, 1) == 1) destroy(model);
}

covey_pooling covey__model_pooling(const covey_model *model) {
    return model->hyper.pooling == COVEY_POOLING_MODEL ? COVEY_POOLING_MEAN : model->hyper.pooling;
}

covey_status covey__model_generates(const covey_model *model, covey_error *error) {
    if (!model->architecture)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "the model was opened for its vocabulary alone; open it whole");
    if (model->architecture->is_encoder)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "the model is an encoder (%s): it gives embeddings and writes no text; "
                           "ask it for those, or take a model that answers",
                           model->architecture_name);
    return COVEY_OK;
}

void covey_model_close(covey_model *model) {
    if (model) covey__model_drop(model);
}

void covey_model_describe(const covey_model *model, covey_model_info *info) {
    covey__tokenizer_specials specials = covey__tokenizer_specials_of(model->tokenizer);
    covey_model_info full = COVEY_MODEL_INFO_INIT;
    full.size = info->size;
    full.architecture = model->architecture_name;
    full.name = model->name;
    full.quantization = model->quantization;
    full.parameter_count = model->parameter_count;
    full.weight_bytes = model->weight_bytes;
    full.vocabulary_size = model->hyper.vocabulary_size;
    full.context_tokens_max = model->hyper.context_tokens;
    full.layer_count = model->hyper.layer_count;
    full.embedding_width = model->hyper.width;
    full.arithmetic_version = COVEY__ARITHMETIC_VERSION;
    full.bos = specials.bos;
    full.eos = specials.eos;
    full.has_chat_template = model->chat != NULL;
    full.chat_template_tools = model->chat_takes_tools;
    full.load_ms = model->load_ms;
    full.adds_bos = specials.add_bos;
    full.generates = model->architecture && !model->architecture->is_encoder;
    full.pooling = covey__model_pooling(model);
    covey__tokenizer_around(model->tokenizer, &full.text_begin, &full.text_end);
    memcpy(info, &full, info->size < sizeof full ? info->size : sizeof full);
}
