/* covey bench --tokenize: tokens a second of turning a text file into ids, the median of five. */
#include "covey/commands.h"

#include "common/options.h"

#include <covey/model.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5 };
#define TEXT_MAX ((size_t)512 << 20)

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* The whole file; NULL with a message where it cannot be read. */
static char *read_text(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    long end = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *text = end >= 0 && (size_t)end <= TEXT_MAX ? malloc((size_t)end + 1) : NULL;
    *size = end > 0 ? (size_t)end : 0;
    if (text && (fseek(file, 0, SEEK_SET) != 0 || fread(text, 1, *size, file) != *size)) {
        free(text);
        text = NULL;
    }
    if (file) fclose(file);
    if (!text) fprintf(stderr, "covey bench: %s cannot be read, or is larger than 512 MiB\n", path);
    return text;
}

static covey_status measure(const covey_model *model, const char *text, size_t size, bool json,
                            covey_error *error) {
    double rates[ROUNDS];
    size_t count = 0;
    covey_token *tokens = malloc((size + 16) * sizeof *tokens);
    covey_status status = COVEY_OK;
    if (!tokens) {
        snprintf(error->message, sizeof error->message, "no memory for the tokens");
        return COVEY_ERROR_NO_MEMORY;
    }
    for (int i = 0; i < ROUNDS && status == COVEY_OK; i++) {
        double start = now_s();
        status = covey_model_tokenize(model, text, size, true, tokens, size + 16, &count, error);
        rates[i] = (double)count / (now_s() - start);
    }
    free(tokens);
    if (status != COVEY_OK) return status;
    qsort(rates, ROUNDS, sizeof *rates, by_value);
    printf(json ? "{\"tokens\":%zu,\"bytes\":%zu,\"tokens_per_s\":%.0f}\n"
                : "%zu tokens of %zu bytes, %.0f tokens/s\n",
           count, size, rates[ROUNDS / 2]);
    return COVEY_OK;
}

int covey_bench_tokenize(const char *model_path, const char *text_path, bool json) {
    covey_error error = {.message = ""};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_runtime *runtime = NULL;
    covey_model *model = NULL;
    size_t size;
    char *text = read_text(text_path, &size);
    if (!text) return APP_EXIT_FAILED;
    options.threads = 1;
    covey_status status = covey_runtime_open(&options, &runtime, &error);
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = model_path;
    source.vocabulary_only = true;
    if (status == COVEY_OK) status = covey_model_open(runtime, &source, &model, &error);
    if (status == COVEY_OK) status = measure(model, text, size, json, &error);
    if (status != COVEY_OK) fprintf(stderr, "covey bench: %s\n", error.message);
    covey_model_close(model);
    covey_runtime_close(runtime);
    free(text);
    return status == COVEY_OK ? 0 : APP_EXIT_FAILED;
}
