/* covey quantize: a GGUF in a smaller type. */
#include "covey/commands.h"
#include "covey/context.h"

#include "common/files.h"
#include "common/options.h"

#include <covey/train.h>

#include <stdio.h>
#include <unistd.h>

typedef struct arguments {
    covey_quantize_options quantize;
    const char *imatrix;
    int64_t threads;
    bool json;
} arguments;

static bool read_options(arguments *a, int argc, char **argv, int *exit_status) {
    const app_option options[] = {
        {"imatrix", 0, APP_TEXT, &a->imatrix, "TEXT",
         "run the model over this text first, and keep the error low where its inputs are strong",
         0, 0},
        {"threads", 't', APP_INT, &a->threads, "N", "0: one a core (0)", 0, 256},
        {"json", 0, APP_FLAG, &a->json, NULL, "print one JSON object with the figures", 0, 0},
        {0}};
    const app_command command = {
        "covey quantize",
        "IN.gguf OUT.gguf TYPE",
        "Writes a model's matrices in a smaller type: Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0, Q3_K_M or\n"
        "Q2_K (or F32, F16). Each is the usual mixture: the output, and some matrices of some\n"
        "layers, take more bits. IN is in F32, F16 or BF16. OUT is replaced when all is written.\n"
        "Below 5 bits, use --imatrix with a text of the kind that the model will meet.",
        "  covey quantize assistant.f16.gguf assistant.q4_k_m.gguf Q4_K_M --imatrix turns.txt",
        options,
        3,
        3};
    app_positional words;
    covey_error error = {0};
    a->quantize = (covey_quantize_options)COVEY_QUANTIZE_OPTIONS_INIT;
    if (!app_options_read(&command, argc, argv, &words, exit_status)) return false;
    a->quantize.in_path = words.items[0];
    a->quantize.out_path = words.items[1];
    a->quantize.importance_text_path = a->imatrix;
    if (covey_weight_type_parse(words.items[2], &a->quantize.type, &error) == COVEY_OK) return true;
    app_print_failure("covey quantize", error.message);
    *exit_status = APP_EXIT_USAGE;
    return false;
}

/* Fewer tokens say little of most columns: some pages of text have more. */
#define IMATRIX_TOKENS_FEW 1000

/* A line that is written over on a terminal, nothing elsewhere. After Control-C the library stops,
 * and removes what it began. */
static covey_status on_progress(void *user, covey_quantize_phase phase, uint64_t done,
                                uint64_t total) {
    (void)user;
    if (isatty(STDERR_FILENO) && total > 0)
        fprintf(stderr, "\r\033[K%s %3.0f %%",
                phase == COVEY_QUANTIZE_OBSERVE ? "reading the text" : "writing",
                100.0 * (double)done / (double)total);
    return app_interrupted() ? COVEY_ERROR_CANCELLED : COVEY_OK;
}

static void print_json(const covey_quantize_result *r) {
    printf("{\"bytes_in\":%llu,\"bytes_out\":%llu,\"tensors_quantized\":%zu,"
           "\"tensors_kept\":%zu,\"error\":%.6f,\"imatrix_tokens\":%llu}\n",
           (unsigned long long)r->bytes_in, (unsigned long long)r->bytes_out, r->tensors_quantized,
           r->tensors_kept, r->error, (unsigned long long)r->importance_tokens);
}

static void print_result(const arguments *a, const covey_quantize_result *r) {
    if (a->imatrix)
        printf("importance of inputs from %llu tokens of %s (perplexity %.3f)\n",
               (unsigned long long)r->importance_tokens, a->imatrix, r->importance_perplexity);
    printf("%s: %.2f MB to %.2f MB (%.0f %%), %zu tensors quantized, %zu kept\n",
           a->quantize.out_path, (double)r->bytes_in * 1e-6, (double)r->bytes_out * 1e-6,
           r->bytes_in ? 100.0 * (double)r->bytes_out / (double)r->bytes_in : 0.0,
           r->tensors_quantized, r->tensors_kept);
    printf("error added: %.3f %% of the weights' size (root mean square)\n", 100.0 * r->error);
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
    app_catch_signals(NULL);
    covey_status status = covey_runtime_open(&options, &runtime, &error);
    if (status == COVEY_OK)
        status = covey_quantize(runtime, &a.quantize, &r, &error, on_progress, NULL);
    covey_runtime_close(runtime);
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    if (status != COVEY_OK) {
        app_print_failure("covey quantize", error.message);
        return APP_EXIT_FAILED;
    }
    app_share(a.quantize.out_path);
    if (a.imatrix && r.importance_tokens < IMATRIX_TOKENS_FEW)
        fprintf(stderr,
                "covey quantize: warning: %s has %llu tokens only; expected some pages, at least "
                "%d tokens, or its few inputs count for all\n",
                a.imatrix, (unsigned long long)r.importance_tokens, IMATRIX_TOKENS_FEW);
    if (a.json)
        print_json(&r);
    else
        print_result(&a, &r);
    return APP_EXIT_DONE;
}
