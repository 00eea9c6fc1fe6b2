/* --adapter FILE[:SCALE], as several commands take it, and what is said of adapters that answered.
 */
#ifndef COVEY_APPS_ADAPTERS_H
#define COVEY_APPS_ADAPTERS_H

#include "common/options.h"

#include <covey/ensemble.h>

#include <stdio.h>

#define APP_OPTION_ADAPTER(texts)                                                                  \
    {                                                                                              \
        "adapter", 0, APP_TEXTS, &(texts), "FILE[:SCALE]",                                         \
            "a LoRA for the model (scale 1); may be given several times", 0, 0                     \
    }

#define APP_PATH_BYTES_MAX 4096

/* The path without its scale; false with a message in `error`. */
bool app_split_adapter(const char *given, char path[APP_PATH_BYTES_MAX], float *scale,
                       covey_error *error);

/* Opens what was given for the model, behind what is in `parts` already; a scale of 0 is for
 * requests that ask for it. On failure those that were opened are in `parts`, too. */
covey_status app_add_adapters(const app_texts *given, covey_ensemble_parts *parts,
                              covey_error *error);

/* For commands that no request reaches: says on standard error which of these do nothing there, a
 * scale of 0 being for requests that ask. */
void app_say_idle_adapters(const char *command, const app_texts *given);

/* The adapters of an answer: as a JSON array, or as " + NAME:SCALE" each. */
void app_put_adapters(FILE *out, covey_backend *backend, const covey_answer *answer, bool json);
/* The same for an answer to a request that chooses nothing. */
void app_default_adapters(covey_backend *backend, covey_answer *answer);

#endif
