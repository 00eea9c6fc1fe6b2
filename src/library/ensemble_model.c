/* The parts of covey_ensemble that need an engine: opening its model and running its probes. They
 * stand here since the layer bundle may not know an engine. */
#include <covey/ensemble.h>

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"
#include "bundle/manifest.h"
#include "library/probe_run.h"

#include <string.h>

static char *component_path(const covey_ensemble *ensemble, const covey__component *component) {
    const covey__env *env = covey__runtime_env(covey__ensemble_runtime(ensemble));
    return covey__path_join(env, covey_ensemble_folder(ensemble), component->file);
}

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

covey_status covey_ensemble_open_model(covey_ensemble *ensemble, covey_model **model,
                                       covey_error *error) {
    if (ensemble == NULL || model == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "ensemble: ensemble and model must not be NULL");
    *model = NULL;
    covey_runtime *runtime = covey__ensemble_runtime(ensemble);
    const covey__manifest *manifest = covey__ensemble_manifest(ensemble);
    const covey__component *component = covey__manifest_find(manifest, "model");
    const covey__component *adapter = covey__manifest_find(manifest, "adapter");
    if (adapter != NULL) /* answering as the base alone would be another ensemble */
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "ensemble: component \"adapter\" (%s): ensembles with adapters are not "
                           "run by this version",
                           adapter->file);
    char *path = component_path(ensemble, component);
    if (path == NULL) return covey__no_memory(error, "ensemble: path", 1);
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = path;
    source.identity = component->sha256; /* what saved sessions are bound to */
    covey_status status = covey_model_open(runtime, &source, model, error);
    covey__free(covey__runtime_env(runtime), path);
    if (status == COVEY_OK) {
        status = check_arithmetic(manifest, *model, error);
        if (status == COVEY_OK) return COVEY_OK;
        covey_model_close(*model);
        *model = NULL;
    }
    return covey__prefix(error, status, "ensemble: component \"model\" (%s)", component->file);
}

/* NULL probes when the ensemble has none. */
static covey_status read_probes(const covey_ensemble *ensemble, covey__probes **probes,
                                covey_error *error) {
    const covey__env *env = covey__runtime_env(covey__ensemble_runtime(ensemble));
    const covey__component *component =
        covey__manifest_find(covey__ensemble_manifest(ensemble), "probes");
    covey__buffer text;
    *probes = NULL;
    if (component == NULL) return COVEY_OK;
    covey__buffer_init(&text, env, COVEY__PROBES_BYTES_MAX);
    char *path = component_path(ensemble, component);
    covey_status status = path == NULL ? covey__no_memory(error, "path", 1)
                                       : covey__file_read(env, path, &text, error);
    if (status == COVEY_OK) status = covey__probes_parse(env, text.data, text.size, probes, error);
    covey__free(env, path);
    covey__buffer_free(&text);
    if (status == COVEY_OK) return COVEY_OK;
    return covey__prefix(error, status, "ensemble: component \"probes\" (%s)", component->file);
}

covey_status covey_ensemble_probe(covey_ensemble *ensemble, covey_probe_result *result,
                                  covey_error *error, covey_progress_fn progress, void *user) {
    if (ensemble == NULL || result == NULL || result->size < sizeof *result)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "ensemble: result must be set to COVEY_PROBE_RESULT_INIT first");
    const covey__env *env = covey__runtime_env(covey__ensemble_runtime(ensemble));
    int64_t begin = covey__monotonic_us();
    covey__probes *probes = NULL;
    covey_model *model = NULL;
    *result = (covey_probe_result)COVEY_PROBE_RESULT_INIT;
    covey_status status = read_probes(ensemble, &probes, error);
    if (status == COVEY_OK) status = covey_ensemble_open_model(ensemble, &model, error);
    if (status == COVEY_OK && probes != NULL)
        status = covey__probes_run(env, probes, model, result, error, progress, user);
    covey_model_close(model);
    covey__probes_free(probes);
    result->elapsed_ms = (covey__monotonic_us() - begin) / 1000;
    return status;
}
