/* covey quantize: a GGUF in a smaller type. */
#include "covey/commands.h"

#include "common/files.h"
#include "common/options.h"

#include <covey/train.h>

#include <stdio.h>
#include <unistd.h>

typedef struct arguments {
    const char *in, *out;
    covey_weight_type type;
    int64_t threads;
    bool json;
} arguments;

static bool read_options(arguments *a, int argc, char **argv, int *exit_status) {
    const app_option options[] = {
        {"threads", 't', APP_INT, &a->threads, "N", "0: one a core (0)", 0, 256},
        {"json", 0, APP_FLAG, &a->json, NULL, "print one JSON object with the sizes", 0, 0},
        {0}};
    const app_command command = {
        "covey quantize",
        "IN.gguf OUT.gguf TYPE",
        "Writes a model's matrices as TYPE: F32, F16, Q8_0 or Q4_0 (with Q6_K for the output, as\n"
        "llama.cpp mixes them). IN is in F32, F16 or BF16. OUT is replaced when all is written.",
        "  covey quantize assistant.f16.gguf assistant.q8_0.gguf Q8_0",
        options,
        3,
        3};
    app_positional words;
    covey_error error = {0};
    if (!app_options_read(&command, argc, argv, &words, exit_status)) return false;
    a->in = words.items[0];
    a->out = words.items[1];
    if (covey_weight_type_parse(words.items[2], &a->type, &error) == COVEY_OK) return true;
    app_print_failure("covey quantize", error.message);
    *exit_status = APP_EXIT_USAGE;
    return false;
}

/* A line a second on a terminal, nothing elsewhere. */
static covey_status on_progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    if (isatty(STDERR_FILENO) && total > 0)
        fprintf(stderr, "\r\033[K%3.0f %%", 100.0 * (double)done / (double)total);
    return COVEY_OK;
}

int covey_cmd_quantize(int argc, char **argv) {
    arguments a = {0};
    int exit_status;
    if (!read_options(&a, argc, argv, &exit_status)) return exit_status;
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.threads = (int32_t)a.threads;
    covey_runtime *runtime = NULL;
    covey_error error = {0};
    covey_quantize_result r = COVEY_QUANTIZE_RESULT_INIT;
    covey_status status = covey_runtime_open(&options, &runtime, &error);
    if (status == COVEY_OK)
        status = covey_quantize(runtime, a.in, a.out, a.type, &r, &error, on_progress, NULL);
    covey_runtime_close(runtime);
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    if (status != COVEY_OK) {
        app_print_failure("covey quantize", error.message);
        return APP_EXIT_FAILED;
    }
    app_share(a.out);
    if (a.json)
        printf("{\"bytes_in\":%llu,\"bytes_out\":%llu,\"tensors_quantized\":%zu,"
               "\"tensors_kept\":%zu}\n",
               (unsigned long long)r.bytes_in, (unsigned long long)r.bytes_out, r.tensors_quantized,
               r.tensors_kept);
    else
        printf("%s: %.2f MB to %.2f MB (%.0f %%), %zu tensors quantized, %zu kept\n", a.out,
               (double)r.bytes_in * 1e-6, (double)r.bytes_out * 1e-6,
               r.bytes_in ? 100.0 * (double)r.bytes_out / (double)r.bytes_in : 0.0,
               r.tensors_quantized, r.tensors_kept);
    return APP_EXIT_DONE;
}
