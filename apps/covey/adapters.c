/* --adapter FILE[:SCALE]: what stands behind the last colon is the scale where it is a number, so
 * that a file's name may hold colons. */
#include "covey/adapters.h"

#include "common/files.h"
#include "common/json_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static covey_status fail(covey_error *error, covey_status status, const char *message,
                         const char *what) {
    error->status = status;
    snprintf(error->message, sizeof error->message, message, what);
    return status;
}

bool app_split_adapter(const char *given, char path[APP_PATH_BYTES_MAX], float *scale,
                       covey_error *error) {
    const char *colon = strrchr(given, ':');
    char *end = NULL;
    size_t size = strlen(given);
    *scale = 1.0f;
    if (size >= APP_PATH_BYTES_MAX) {
        fail(error, COVEY_ERROR_LIMIT, "--adapter: the path %.80s... is too long", given);
        return false;
    }
    memcpy(path, given, size + 1);
    if (!colon || app_is_file(given)) return true;
    path[colon - given] = 0;
    float value = strtof(colon + 1, &end);
    if (end != colon + 1 && *end == 0 && isfinite(value)) {
        *scale = value;
        return true;
    }
    if (!app_is_file(path)) { /* the colon is the name's */
        memcpy(path, given, size + 1);
        return true;
    }
    fail(error, COVEY_ERROR_INVALID_ARGUMENT,
         "--adapter %.200s: behind the colon a scale is expected, a finite number such as 0.5",
         given);
    return false;
}

covey_status app_add_adapters(const app_texts *given, covey_ensemble_parts *parts,
                              covey_error *error) {
    char path[APP_PATH_BYTES_MAX];
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < given->count && !status; i++) {
        covey_adapter_offer *offer = &parts->adapters[parts->adapter_count];
        if (parts->adapter_count == COVEY_ADAPTERS_MAX)
            return fail(error, COVEY_ERROR_LIMIT,
                        "--adapter %.200s: one more than 8, those of the ensemble counted in",
                        given->items[i]);
        if (!app_split_adapter(given->items[i], path, &offer->scale, error)) return error->status;
        offer->on_request = offer->scale == 0.0f;
        if (offer->on_request) offer->scale = 1.0f;
        status = covey_adapter_open(parts->model, path, &offer->adapter, error);
        if (!status) parts->adapter_count++;
    }
    return status;
}

void app_say_idle_adapters(const char *command, const app_texts *given) {
    char path[APP_PATH_BYTES_MAX];
    covey_error error;
    float scale;
    for (size_t i = 0; i < given->count; i++)
        if (app_split_adapter(given->items[i], path, &scale, &error) && scale == 0.0f)
            fprintf(stderr,
                    "%s: --adapter %s changes nothing: a scale of 0 is for requests that ask for "
                    "it (covey serve)\n",
                    command, given->items[i]);
}

/* The shortest number that reads back as the scale. */
static void scale_text(float scale, char out[32]) {
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(out, 32, "%.*g", digits, (double)scale);
        if (strtof(out, NULL) == scale) return;
    }
}

void app_put_adapters(FILE *out, covey_backend *backend, const covey_answer *answer, bool json) {
    if (json) fputc('[', out);
    for (size_t i = 0; i < answer->adapter_count; i++) {
        const covey_adapter_choice *one = &answer->adapters[i];
        covey_backend_adapter adapter = COVEY_BACKEND_ADAPTER_INIT;
        char scale[32];
        if (!covey_backend_get_adapter(backend, one->id, &adapter)) continue;
        scale_text(one->scale, scale);
        if (!json) {
            fprintf(out, " + %s:%s", adapter.name, scale);
            continue;
        }
        fprintf(out, "%s{\"id\":%d,\"name\":", i ? "," : "", (int)one->id);
        app_put_json_text(out, adapter.name);
        fprintf(out, ",\"scale\":%s,\"sha256\":\"", scale);
        for (size_t k = 0; k < sizeof adapter.sha256; k++) fprintf(out, "%02x", adapter.sha256[k]);
        fputs("\"}", out);
    }
    if (json) fputc(']', out);
}

void app_default_adapters(covey_backend *backend, covey_answer *answer) {
    covey_backend_adapter adapter = COVEY_BACKEND_ADAPTER_INIT;
    answer->adapter_count = 0;
    for (int32_t id = 0; id < COVEY_ADAPTERS_MAX; id++)
        if (covey_backend_get_adapter(backend, id, &adapter) && !adapter.on_request)
            answer->adapters[answer->adapter_count++] = (covey_adapter_choice){id, adapter.scale};
}
