/* covey quantize: a GGUF in a smaller type. */
#include "covey/commands.h"

#include <covey/train.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STATUS_USAGE 2

static const char usage[] =
    "usage: covey quantize IN.gguf OUT.gguf TYPE [--threads N] [--json]\n"
    "\n"
    "Writes a model's matrices as TYPE: F32, F16, Q8_0 or Q4_0 (with Q6_K for the output, as\n"
    "llama.cpp mixes them). IN is in F32, F16 or BF16. OUT is replaced when all is written.\n"
    "\n"
    "  --threads N   0: one a core (0)\n"
    "  --json        one JSON object with the sizes on standard output\n"
    "\n"
    "example: covey quantize assistant.f16.gguf assistant.q8_0.gguf Q8_0\n"
    "\n"
    "exit status: 0 done, 1 failed, 2 used wrongly\n";

typedef struct arguments {
    const char *in, *out;
    covey_weight_type type;
    int32_t threads;
    bool json;
} arguments;

static bool read_threads(const char *text, int32_t *threads) {
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (*text && !*end && !errno && value >= 0 && value <= 256) {
        *threads = (int32_t)value;
        return true;
    }
    fprintf(stderr, "covey quantize: --threads: expected a number from 0 to 256, found \"%s\"\n",
            text);
    return false;
}

/* 0 to go on, or 1 + the status to exit with. */
static int read_options(arguments *a, int argc, char **argv) {
    static const struct option options[] = {{"threads", required_argument, NULL, 't'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    optind = 1;
    for (int id; (id = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (id == 'h') {
            fputs(usage, stdout);
            return 1;
        }
        if (id == 'j') a->json = true;
        if (id == '?' || (id == 't' && !read_threads(optarg, &a->threads))) {
            fputs("covey quantize: see covey quantize --help\n", stderr);
            return 1 + STATUS_USAGE;
        }
    }
    if (argc - optind != 3) {
        fputs(usage, stderr);
        return 1 + STATUS_USAGE;
    }
    a->in = argv[optind];
    a->out = argv[optind + 1];
    covey_error error;
    if (covey_weight_type_parse(argv[optind + 2], &a->type, &error) != COVEY_OK) {
        fprintf(stderr, "covey %s\n", error.message);
        return 1 + STATUS_USAGE;
    }
    return 0;
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
    int stop = read_options(&a, argc, argv);
    if (stop) return stop - 1;
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.threads = a.threads;
    covey_runtime *runtime = NULL;
    covey_error error = {0};
    covey_quantize_result r = COVEY_QUANTIZE_RESULT_INIT;
    covey_status status = covey_runtime_open(&options, &runtime, &error);
    if (status == COVEY_OK)
        status = covey_quantize(runtime, a.in, a.out, a.type, &r, &error, on_progress, NULL);
    covey_runtime_close(runtime);
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    if (status != COVEY_OK) {
        fprintf(stderr, "covey: %s\n", error.message);
        return 1;
    }
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
    return 0;
}
