/* covey bench: speed and memory of a model on this device. Tokens are random, as in any run of the
 * same seed; a first round warms up and is not counted; the medians of the others are printed. */
#include "covey/bench_drafts.h"
#include "covey/commands.h"
#include "covey/context.h"

#include "common/options.h"

#include <covey/session.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define SESSIONS_MAX 32
#define REPEATS_MAX  64
#define FIRST_TOKENS 16
#define TOKENS_MAX   (1 << 20)

typedef struct bench {
    const char *path, *isa, *tokenize;
    int prompt, decode, threads, repeats, sessions;
    bool json;
    double drafts; /* share of right guesses; negative: no measurement of drafts */
    int draft_tokens;
    covey_kv_type kv;
    covey_model *model;
    covey_model_info info;
    covey_session *open[SESSIONS_MAX];
    covey_token *tokens;
    double first_token_ms;
    double prefill[REPEATS_MAX], generate[REPEATS_MAX];
} bench;

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

static int failed(const covey_error *error) {
    fprintf(stderr, "covey bench: %s\n", error->message);
    return APP_EXIT_FAILED;
}

static covey_token random_token(const bench *b) {
    return rand() % b->info.vocabulary_size;
}

static covey_status prefill_all(bench *b, covey_error *error) {
    for (int s = 0; s < b->sessions && b->prompt > 0; s++) {
        for (int i = 0; i < b->prompt; i++) b->tokens[i] = random_token(b);
        covey_status status = covey_session_append(b->open[s], b->tokens, (size_t)b->prompt, error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

static covey_status decode_all(bench *b, covey_error *error) {
    for (int i = 0; i < b->decode; i++) {
        covey_session_part parts[SESSIONS_MAX];
        for (int s = 0; s < b->sessions; s++) {
            b->tokens[s] = random_token(b);
            parts[s] = (covey_session_part){b->open[s], &b->tokens[s], 1, COVEY_OK};
        }
        covey_status status = covey_session_append_many(parts, (size_t)b->sessions, error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

/* Round -1 warms up. */
static covey_status run_round(bench *b, int round, covey_error *error) {
    covey_status status = COVEY_OK;
    srand((unsigned)(7 + round));
    for (int s = 0; s < b->sessions && status == COVEY_OK; s++)
        status = covey_session_truncate(b->open[s], 0, error);
    double start = now_s();
    if (status == COVEY_OK) status = prefill_all(b, error);
    double middle = now_s();
    if (status == COVEY_OK) status = decode_all(b, error);
    double end = now_s();
    if (round < 0 || status != COVEY_OK) return status;
    b->prefill[round] = b->prompt * b->sessions / (middle - start);
    b->generate[round] = b->decode * b->sessions / (end - middle);
    return COVEY_OK;
}

/* From nothing to the first token of a short prompt: open, prefill, draw. */
static covey_status open_model(bench *b, covey_runtime *runtime, covey_error *error) {
    double start = now_s();
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = b->path;
    covey_status status = covey_model_open(runtime, &source, &b->model, error);
    if (status != COVEY_OK) return status;
    b->info = (covey_model_info)COVEY_MODEL_INFO_INIT;
    covey_model_describe(b->model, &b->info);
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.alone = true; /* every token is computed */
    options.kv_type = b->kv;
    int room = b->prompt + b->decode + 8;
    options.context_tokens = room > FIRST_TOKENS + 1 ? room : FIRST_TOKENS + 1;
    for (int s = 0; s < b->sessions && status == COVEY_OK; s++)
        status = covey_session_open(b->model, &options, &b->open[s], error);
    covey_token first[FIRST_TOKENS], drawn;
    for (int i = 0; i < FIRST_TOKENS; i++) first[i] = (i * 7919 + 11) % b->info.vocabulary_size;
    if (status == COVEY_OK) status = covey_session_append(b->open[0], first, FIRST_TOKENS, error);
    if (status == COVEY_OK) status = covey_session_sample(b->open[0], NULL, &drawn, error);
    b->first_token_ms = (now_s() - start) * 1e3;
    return status;
}

static void print_result(const bench *b, const covey_runtime *runtime) {
    struct rusage usage_now;
    getrusage(RUSAGE_SELF, &usage_now);
    double rss = (double)usage_now.ru_maxrss / 1024.0;
    double prefill = b->prompt ? b->prefill[b->repeats / 2] : 0.0;
    double decode = b->decode ? b->generate[b->repeats / 2] : 0.0;
    const char *isa = covey_runtime_isa(runtime);
    int threads = (int)covey_runtime_threads(runtime);
    if (b->json) {
        printf("{\"engine\":\"covey %s\",\"threads\":%d,\"isa\":\"%s\",\"quantization\":\"%s\","
               "\"load_ms\":%lld,\"first_token_ms\":%.1f,\"prefill_tokens\":%d,"
               "\"prefill_tps\":%.2f,\"decode_tokens\":%d,\"sessions\":%d,\"decode_tps\":%.2f,"
               "\"peak_rss_mib\":%.1f}\n",
               covey_version(), threads, isa, b->info.quantization, (long long)b->info.load_ms,
               b->first_token_ms, b->prompt, prefill, b->decode, b->sessions, decode, rss);
        return;
    }
    printf("%s, %s, %d threads, %s\n", b->path, b->info.quantization, threads, isa);
    printf("  load           %8lld ms\n", (long long)b->info.load_ms);
    printf("  first token    %8.1f ms, from nothing, after %d tokens\n", b->first_token_ms,
           FIRST_TOKENS);
    printf("  prefill        %8.1f tokens/s, %d tokens\n", prefill, b->prompt);
    printf("  decode         %8.1f tokens/s, %d tokens, sessions: %d\n", decode, b->decode,
           b->sessions);
    printf("  peak memory    %8.1f MiB\n", rss);
}

static covey_status run_drafts(bench *b, covey_runtime *runtime, covey_error *error) {
    bench_drafts drafts = {.share = b->drafts,
                           .tokens = b->decode,
                           .draft = b->draft_tokens,
                           .repeats = b->repeats,
                           .kv = b->kv,
                           .json = b->json};
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = b->path;
    covey_status status = covey_model_open(runtime, &source, &b->model, error);
    if (status == COVEY_OK && !b->json)
        printf("%s, %d threads, %s\n", b->path, (int)covey_runtime_threads(runtime),
               covey_runtime_isa(runtime));
    return status == COVEY_OK ? bench_drafts_run(b->model, &drafts, error) : status;
}

static covey_status run_bench(bench *b, covey_runtime *runtime, covey_error *error) {
    if (b->drafts >= 0.0) return run_drafts(b, runtime, error);
    covey_status status = open_model(b, runtime, error);
    for (int r = -1; r < b->repeats && status == COVEY_OK; r++) status = run_round(b, r, error);
    if (status != COVEY_OK) return status;
    qsort(b->prefill, (size_t)b->repeats, sizeof *b->prefill, by_value);
    qsort(b->generate, (size_t)b->repeats, sizeof *b->generate, by_value);
    print_result(b, runtime);
    return COVEY_OK;
}

static bool read_options(bench *b, int argc, char **argv, int *exit_status) {
    int64_t prompt = b->prompt, decode = b->decode, threads = 0, repeats = b->repeats,
            sessions = b->sessions, draft_tokens = 4;
    const char *kv = NULL;
    const app_option options[] = {
        {"prompt", 'p', APP_INT, &prompt, "N", "tokens of the prompt, 0 to skip (512)", 0,
         TOKENS_MAX},
        {"decode", 'n', APP_INT, &decode, "N", "tokens decoded one at a time, 0 to skip (64)", 0,
         TOKENS_MAX},
        {"threads", 't', APP_INT, &threads, "N", "threads that compute; 0: one a core (0)", 0, 256},
        {"repeats", 'r', APP_INT, &repeats, "N", "rounds, of which the median counts (3)", 1,
         REPEATS_MAX},
        {"sessions", 's', APP_INT, &sessions, "N",
         "prefilled apart and decoded together, one pass a step (1)", 1, SESSIONS_MAX},
        {"drafts", 0, APP_NUMBER, &b->drafts, "SHARE",
         "measure decoding with drafts instead, of which this share of tokens is right", 0, 1},
        {"draft-tokens", 0, APP_INT, &draft_tokens, "N", "tokens of a draft (4)", 1, 16},
        {"kv", 0, APP_TEXT, &kv, "TYPE", APP_KV_HELP, 0, 0},
        {"isa", 0, APP_TEXT, &b->isa, "NAME", "scalar, avx2, avx-vnni or avx512; default: the best",
         0, 0},
        {"tokenize", 0, APP_TEXT, &b->tokenize, "FILE",
         "measure tokenizing this text instead; the vocabulary alone is opened", 0, 0},
        {"json", 0, APP_FLAG, &b->json, NULL, "print one JSON object", 0, 0},
        {0}};
    const app_command command = {
        "covey bench",
        "MODEL.gguf",
        "Measures load, prefill, decode and memory of a GGUF model, with random tokens.",
        "  covey bench model.gguf -p 512 -n 64 -t 2 -r 3 --json",
        options,
        1,
        1};
    app_positional words;
    if (!app_options_read(&command, argc, argv, &words, exit_status)) return false;
    if (!app_read_kv("covey bench", kv, &b->kv)) {
        *exit_status = APP_EXIT_USAGE;
        return false;
    }
    b->path = words.items[0];
    b->prompt = (int)prompt;
    b->decode = (int)decode;
    b->threads = (int)threads;
    b->repeats = (int)repeats;
    b->sessions = (int)sessions;
    b->draft_tokens = (int)draft_tokens;
    return true;
}

int covey_cmd_bench(int argc, char **argv) {
    int exit_status;
    bench b = {.prompt = 512, .decode = 64, .repeats = 3, .sessions = 1, .drafts = -1.0};
    if (!read_options(&b, argc, argv, &exit_status)) return exit_status;
    if (b.tokenize) return covey_bench_tokenize(b.path, b.tokenize, b.json);
    covey_error error = {.message = ""};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.threads = b.threads;
    options.isa = b.isa;
    covey_runtime *runtime = NULL;
    if (covey_runtime_open(&options, &runtime, &error) != COVEY_OK) return failed(&error);
    size_t room = (size_t)(b.prompt > b.sessions ? b.prompt : b.sessions);
    b.tokens = malloc(room * sizeof *b.tokens);
    covey_status status = COVEY_ERROR_NO_MEMORY;
    if (b.tokens)
        status = run_bench(&b, runtime, &error);
    else
        snprintf(error.message, sizeof error.message, "no memory for the tokens");
    for (int s = 0; s < b.sessions; s++) covey_session_close(b.open[s]);
    covey_model_close(b.model);
    covey_runtime_close(runtime);
    free(b.tokens);
    return status == COVEY_OK ? 0 : failed(&error);
}
