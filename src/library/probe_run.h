/* Running and recording probes on the engine: shared by covey_ensemble_probe and
 * covey_bundle_build. */
#ifndef COVEY_LIBRARY_PROBE_RUN_H
#define COVEY_LIBRARY_PROBE_RUN_H

#include <covey/ensemble.h>

#include "bundle/probes.h"

/* What is probed: a model with the adapters that are on by default. */
typedef struct covey__probed {
    covey_model *model;
    covey_adapter_use adapters[COVEY_ADAPTERS_MAX];
    size_t adapter_count;
} covey__probed;
/* Takes those of the offered adapters that are on by default. */
void covey__probed_use(covey__probed *probed, const covey_adapter_offer *offers, size_t count);

/* Computes a bits probe's tokens and digests from its KV type and prompt, in a session that takes
 * nothing over from others. `each` may be NULL; it is asked after every token and may stop by
 * returning anything but COVEY_OK. */
typedef covey_status (*covey__bits_fn)(void *user, size_t index, covey_token token,
                                       const uint8_t logits[32]);
covey_status covey__bits_compute(const covey__probed *probed, const covey__bits_probe *probe,
                                 covey_error *error, covey__bits_fn each,
                                 void *user) COVEY_MUST_USE;

/* Records `count` bits probes into the set, whose other parts are there already. */
covey_status covey__bits_record(covey__probes *probes, const covey__probed *probed, int32_t count,
                                covey_error *error) COVEY_MUST_USE;

/* The tokens that a task probe's messages make; the caller frees with covey__free. */
covey_status covey__task_prompt(const covey__env *env, const covey_model *model,
                                const covey__task_probe *task, covey_token **tokens, size_t *count,
                                covey_error *error) COVEY_MUST_USE;

/* Runs all probes; what covey_ensemble_probe returns. */
covey_status covey__probes_run(const covey__env *env, const covey__probes *probes,
                               const covey__probed *probed, covey_probe_result *result,
                               covey_error *error, covey_progress_fn progress,
                               void *user) COVEY_MUST_USE;

#endif
