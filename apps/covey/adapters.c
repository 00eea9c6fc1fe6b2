/* --adapter FILE[:SCALE]: what stands behind the last colon is the scale where it is a number, so
 * that a file's name may hold colons. */
#include "covey/adapters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_MAX_BYTES 4096

/* The path without its scale; false when it is too long. */
static bool split(const char *given, char path[PATH_MAX_BYTES], float *scale) {
    const char *colon = strrchr(given, ':');
    char *end = NULL;
    size_t size = strlen(given);
    *scale = 1.0f;
    if (colon && colon[1]) {
        float value = strtof(colon + 1, &end);
        if (*end == 0 && isfinite(value)) {
            *scale = value;
            size = (size_t)(colon - given);
        }
    }
    if (size >= PATH_MAX_BYTES) return false;
    memcpy(path, given, size);
    path[size] = 0;
    return true;
}

static covey_status fail(covey_error *error, covey_status status, const char *message) {
    error->status = status;
    snprintf(error->message, sizeof error->message, "%s", message);
    return status;
}

covey_status app_open_adapters(const app_texts *given, covey_model *model, app_adapters *adapters,
                               covey_error *error) {
    covey_status status = COVEY_OK;
    char path[PATH_MAX_BYTES];
    adapters->count = 0;
    if (given->count > COVEY_ADAPTERS_MAX)
        return fail(error, COVEY_ERROR_LIMIT, "--adapter: at most 8 times");
    for (size_t i = 0; i < given->count && !status; i++) {
        covey_adapter_use *use = &adapters->uses[i];
        if (!split(given->items[i], path, &use->scale))
            status = fail(error, COVEY_ERROR_LIMIT, "--adapter: the path is too long");
        else
            status = covey_adapter_open(model, path, &use->adapter, error);
        if (!status) adapters->count++;
    }
    if (status) app_close_adapters(adapters);
    return status;
}

void app_close_adapters(app_adapters *adapters) {
    for (size_t i = 0; i < adapters->count; i++) covey_adapter_close(adapters->uses[i].adapter);
    adapters->count = 0;
}
