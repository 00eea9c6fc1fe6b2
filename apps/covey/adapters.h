/* --adapter FILE[:SCALE], as several commands take it. */
#ifndef COVEY_APPS_ADAPTERS_H
#define COVEY_APPS_ADAPTERS_H

#include "common/options.h"

#include <covey/adapter.h>

#define APP_OPTION_ADAPTER(texts)                                                                  \
    {                                                                                              \
        "adapter", 0, APP_TEXTS, &(texts), "FILE[:SCALE]",                                         \
            "a LoRA for the model (scale 1); may be given several times", 0, 0                     \
    }

typedef struct app_adapters {
    covey_adapter_use uses[COVEY_ADAPTERS_MAX];
    size_t count;
} app_adapters;

/* Opens what was given for the model. On failure nothing is left open. */
covey_status app_open_adapters(const app_texts *given, covey_model *model, app_adapters *adapters,
                               covey_error *error);
void app_close_adapters(app_adapters *adapters);

#endif
