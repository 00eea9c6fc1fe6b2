/* The parts of covey_ensemble that need an engine: opening its model and adapters, and running its
 * probes, with the adapters that are on by default. They stand here since the layer bundle may not
 * know an engine. */
#include <covey/ensemble.h>

#include "base/error.h"
#include "base/runtime.h"
#include "bundle/component_open.h"
#include "engine/adapter.h"
#include "engine/engine.h"
#include "library/probe_run.h"

#include <string.h>

/* The engine must keep the arithmetic that the ensemble was proved under. */
static covey_status check_arithmetic(const covey__manifest *manifest, const covey_model *model,
                                     covey_error *error) {
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(model, &info);
    if (info.arithmetic_version == manifest->arithmetic_version) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "needs.arithmetic_version: it was proved under %d, this engine computes "
                       "under %d",
                       (int)manifest->arithmetic_version, (int)info.arithmetic_version);
}

static covey_status open_base(covey_ensemble *ensemble, covey_runtime *runtime,
                              int64_t idle_kv_bytes_max, covey_model **model, covey_error *error) {
    const covey__manifest *manifest = covey__ensemble_manifest(ensemble);
    const covey__component *component = covey__manifest_find(manifest, "model");
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    covey__map map;
    source.idle_kv_bytes_max = idle_kv_bytes_max;
    /* what saved sessions and adapters are bound to */
    source.identity = covey__component_identity(component);
    covey_status status = covey__component_map(ensemble, component, &map, error);
    if (status == COVEY_OK) status = covey__model_open_taking(runtime, &source, &map, model, error);
    if (status == COVEY_OK) {
        status = check_arithmetic(manifest, *model, error);
        if (status == COVEY_OK) return COVEY_OK;
        covey_model_close(*model);
        *model = NULL;
    }
    return covey__prefix(error, status, "ensemble: component \"model\" (%s)", component->file);
}

covey_status covey_ensemble_open_model(covey_ensemble *ensemble, covey_model **model,
                                       covey_error *error) {
    if (ensemble == NULL || model == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "ensemble: ensemble and model must not be NULL");
    *model = NULL;
    const covey__component *adapter =
        covey__manifest_find(covey__ensemble_manifest(ensemble), "adapter");
    if (adapter != NULL) /* answering as the base alone would be another ensemble */
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "ensemble: it answers with the adapter %s; open it with "
                           "covey_ensemble_open_parts",
                           adapter->file);
    return open_base(ensemble, covey__ensemble_runtime(ensemble), 0, model, error);
}

/* Its base is the manifest's model, which the manifest was checked to say; what the file itself
 * names, if anything, is checked here, and its shapes. */
static covey_status open_adapter(covey_ensemble *ensemble, const covey__component *component,
                                 covey_model *model, covey_adapter **adapter, covey_error *error) {
    covey_adapter_info info = COVEY_ADAPTER_INFO_INIT;
    covey__map map;
    *adapter = NULL;
    const covey__env *env = covey__runtime_env(covey__ensemble_runtime(ensemble));
    char *path = covey__path_join(env, covey_ensemble_folder(ensemble), component->file);
    if (path == NULL) return covey__no_memory(error, "ensemble: path", 1);
    covey_status status = covey__component_map(ensemble, component, &map, error);
    if (status == COVEY_OK) status = covey__adapter_open_taking(model, &map, path, adapter, error);
    covey__free(env, path);
    if (status == COVEY_OK && !component->encrypted) { /* else opening it proved its bytes */
        covey_adapter_describe(*adapter, &info);
        if (memcmp(info.sha256, component->sha256, sizeof info.sha256) != 0)
            status = covey__fail(error, COVEY_ERROR_MISMATCH,
                                 "the file's digest is not the manifest's; it was changed");
    }
    if (status == COVEY_OK) return COVEY_OK;
    covey_adapter_close(*adapter);
    *adapter = NULL;
    return covey__prefix(error, status, "ensemble: component \"adapter\" (%s)", component->file);
}

/* Programs built when the struct ended earlier know less of it, but all of what must be closed. */
#define PARTS_SIZE_MIN offsetof(covey_ensemble_parts, knows_tools)

covey_status covey_ensemble_open_parts(covey_ensemble *ensemble, covey_ensemble_parts *parts,
                                       covey_error *error) {
    if (ensemble == NULL || parts == NULL || parts->size < PARTS_SIZE_MIN)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "ensemble: parts must be set to COVEY_ENSEMBLE_PARTS_INIT first");
    const covey__manifest *manifest = covey__ensemble_manifest(ensemble);
    size_t known = parts->size < sizeof *parts ? parts->size : sizeof *parts;
    covey_ensemble_parts made = COVEY_ENSEMBLE_PARTS_INIT;
    made.size = parts->size;
    made.knows_tools = covey__manifest_find(manifest, "tools") != NULL;
    made.idle_kv_bytes_max = parts->idle_kv_bytes_max;
    if (known == sizeof *parts) made.runtime = parts->runtime;
    covey_runtime *runtime = made.runtime ? made.runtime : covey__ensemble_runtime(ensemble);
    covey_status status = open_base(ensemble, runtime, made.idle_kv_bytes_max, &made.model, error);
    for (size_t i = 0; i < manifest->component_count && status == COVEY_OK; i++) {
        const covey__component *component = &manifest->components[i];
        if (strcmp(component->role, "adapter") != 0) continue;
        covey_adapter_offer *offer = &made.adapters[made.adapter_count];
        status = open_adapter(ensemble, component, made.model, &offer->adapter, error);
        offer->scale = component->scale;
        offer->on_request = component->on_request;
        if (status == COVEY_OK) made.adapter_count++;
    }
    if (status != COVEY_OK) covey_ensemble_close_parts(&made);
    memcpy(parts, &made, known);
    return status;
}

void covey_ensemble_close_parts(covey_ensemble_parts *parts) {
    if (parts == NULL) return;
    for (size_t i = 0; i < parts->adapter_count; i++)
        covey_adapter_close(parts->adapters[i].adapter);
    covey_model_close(parts->model);
    parts->adapter_count = 0;
    parts->model = NULL;
}

/* NULL probes when the ensemble has none. */
static covey_status read_probes(const covey_ensemble *ensemble, covey__probes **probes,
                                covey_error *error) {
    const covey__env *env = covey__runtime_env(covey__ensemble_runtime(ensemble));
    const covey__component *component =
        covey__manifest_find(covey__ensemble_manifest(ensemble), "probes");
    covey__map map;
    *probes = NULL;
    if (component == NULL) return COVEY_OK;
    covey_status status = covey__component_map(ensemble, component, &map, error);
    if (status == COVEY_OK && map.size > COVEY__PROBES_BYTES_MAX)
        status = covey__fail(error, COVEY_ERROR_LIMIT, "at most %u bytes expected",
                             (unsigned)COVEY__PROBES_BYTES_MAX);
    if (status == COVEY_OK)
        status = covey__probes_parse(env, (const char *)map.data, map.size, probes, error);
    covey__map_close(&map);
    if (status == COVEY_OK) return COVEY_OK;
    return covey__prefix(error, status, "ensemble: component \"probes\" (%s)", component->file);
}

covey_status covey_ensemble_probe(covey_ensemble *ensemble, covey_probe_result *result,
                                  covey_error *error, covey_progress_fn progress, void *user) {
    if (ensemble == NULL || result == NULL || result->size < sizeof result->size)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "ensemble: result must be set to COVEY_PROBE_RESULT_INIT first");
    const covey__env *env = covey__runtime_env(covey__ensemble_runtime(ensemble));
    int64_t begin = covey__monotonic_us();
    covey__probes *probes = NULL;
    covey_ensemble_parts parts = COVEY_ENSEMBLE_PARTS_INIT;
    size_t known = result->size < sizeof *result ? result->size : sizeof *result;
    covey_probe_result made = COVEY_PROBE_RESULT_INIT;
    made.size = result->size;
    covey_status status = read_probes(ensemble, &probes, error);
    if (status == COVEY_OK) status = covey_ensemble_open_parts(ensemble, &parts, error);
    if (status == COVEY_OK && probes != NULL) {
        covey__probed probed = {.model = parts.model};
        covey__probed_use(&probed, parts.adapters, parts.adapter_count);
        status = covey__probes_run(env, probes, &probed, &made, error, progress, user);
    }
    covey_ensemble_close_parts(&parts);
    covey__probes_free(probes);
    made.elapsed_ms = (covey__monotonic_us() - begin) / 1000;
    memcpy(result, &made, known);
    return status;
}
