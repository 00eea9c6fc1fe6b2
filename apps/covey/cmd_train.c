/* covey train: trains a small model from JSON lines. Control-C stops after the step under way and
 * leaves a checkpoint, if one was asked for. */
#include "covey/commands.h"

#include "common/files.h"
#include "common/options.h"

#include <covey/train.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SIZE_OPTION_MAX  (1 << 24)
#define COUNT_OPTION_MAX 9e15
#define OPTIONS_MAX      48

typedef struct arguments {
    app_texts corpora;
    covey_train_options train;
    covey_model_shape shape;
    covey_runtime_options runtime;
    const char *type;
    bool vocabulary_only, json;
    double last_line_s;
} arguments;

/* The options that are numbers, in the widths that the command line is read in. */
typedef struct numbers {
    int64_t vocabulary_size, layers, width, heads, kv_heads, ff, model_context;
    int64_t tokens, context, batch, warmup, seed, threads, eval_every;
    double epochs, single, rate, rate_min, weight_decay, beta1, beta2, clip, checkpoint_every;
} numbers;

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- The command line -------------------------------------------------------------------------
 */

static numbers defaults_of(const arguments *a) {
    const covey_train_options *t = &a->train;
    const covey_model_shape *s = &a->shape;
    return (numbers){.vocabulary_size = s->vocabulary_size,
                     .layers = s->layers,
                     .width = s->width,
                     .heads = s->heads,
                     .kv_heads = s->kv_heads,
                     .ff = s->ff,
                     .model_context = s->context,
                     .tokens = (int64_t)t->tokens_max,
                     .context = t->context_tokens,
                     .batch = t->batch_tokens,
                     .warmup = t->warmup_steps,
                     .seed = (int64_t)t->seed,
                     .eval_every = t->eval_steps,
                     .epochs = t->epochs,
                     .single = (double)t->single_share,
                     .rate = t->rate,
                     .rate_min = -1, /* not given */
                     .weight_decay = (double)t->weight_decay,
                     .beta1 = (double)t->beta1,
                     .beta2 = (double)t->beta2,
                     .clip = (double)t->clip_norm,
                     .checkpoint_every = t->checkpoint_seconds};
}

static void take_numbers(arguments *a, const numbers *n) {
    covey_train_options *t = &a->train;
    covey_model_shape *s = &a->shape;
    s->vocabulary_size = (int32_t)n->vocabulary_size;
    s->layers = (int32_t)n->layers;
    s->width = (int32_t)n->width;
    s->heads = (int32_t)n->heads;
    s->kv_heads = (int32_t)n->kv_heads;
    s->ff = (int32_t)n->ff;
    s->context = (int32_t)n->model_context;
    t->tokens_max = (uint64_t)n->tokens;
    t->context_tokens = (int32_t)n->context;
    t->batch_tokens = (int32_t)n->batch;
    t->warmup_steps = n->warmup;
    t->seed = (uint64_t)n->seed;
    t->eval_steps = n->eval_every;
    t->epochs = n->epochs;
    t->single_share = (float)n->single;
    t->rate = n->rate;
    if (n->rate_min >= 0)
        t->rate_min = n->rate_min;
    else if (t->rate_min > t->rate / 10)
        t->rate_min = t->rate / 10;
    t->weight_decay = (float)n->weight_decay;
    t->beta1 = (float)n->beta1;
    t->beta2 = (float)n->beta2;
    t->clip_norm = (float)n->clip;
    t->checkpoint_seconds = n->checkpoint_every;
    a->runtime.threads = (int32_t)n->threads;
}

/* One option a line. */
#define TEXT(name, field, argument, help)                                                          \
    { name, 0, APP_TEXT, &(field), argument, help, 0, 0 }
#define FLAG(name, field, help)                                                                    \
    { name, 0, APP_FLAG, &(field), NULL, help, 0, 0 }
#define WHOLE(name, field, help, min, max)                                                         \
    { name, 0, APP_INT, &(field), "N", help, min, max }
#define REAL(name, field, help, min, max)                                                          \
    { name, 0, APP_NUMBER, &(field), "X", help, min, max }

static size_t model_options(arguments *a, numbers *n, app_option *out) {
    const app_option options[] = {
        APP_OPTION_HEADING("what to begin from (a new model, a vocabulary of the corpora)"),
        TEXT("from", a->train.from_path, "MODEL", "go on from a GGUF in F32, F16 or BF16"),
        TEXT("vocabulary", a->train.vocabulary_path, "FILE", "take the vocabulary of a GGUF"),
        WHOLE("vocabulary-size", n->vocabulary_size, "tokens of a new vocabulary (2048)", 260,
              SIZE_OPTION_MAX),
        FLAG("vocabulary-only", a->vocabulary_only, "learn the vocabulary, write it, and stop"),
        WHOLE("layers", n->layers, "of a new model (5)", 1, SIZE_OPTION_MAX),
        WHOLE("width", n->width, "of its embedding (256)", 2, SIZE_OPTION_MAX),
        WHOLE("heads", n->heads, "of attention (8)", 1, SIZE_OPTION_MAX),
        WHOLE("kv-heads", n->kv_heads, "of keys and values (4)", 1, SIZE_OPTION_MAX),
        WHOLE("ff", n->ff, "width of the feed-forward layer (768)", 1, SIZE_OPTION_MAX),
        FLAG("untied", a->shape.untied, "an output matrix of its own"),
        WHOLE("model-context", n->model_context, "context that the file declares (1024)", 1,
              SIZE_OPTION_MAX),
        TEXT("name", a->train.name, "NAME", "general.name of the file"),
        TEXT("type", a->type, "F32|F16", "of the weights in the file (F32)")};
    memcpy(out, options, sizeof options);
    return sizeof options / sizeof *options;
}

static size_t training_options(arguments *a, numbers *n, app_option *out) {
    covey_train_options *t = &a->train;
    const app_option options[] = {
        APP_OPTION_HEADING("how long and how"),
        REAL("epochs", n->epochs, "passes over the corpora (1), or", 1e-6, 1e6),
        WHOLE("tokens", n->tokens, "tokens to train", 1, COUNT_OPTION_MAX),
        WHOLE("context", n->context, "tokens of a sequence at most (256)", 3, SIZE_OPTION_MAX),
        WHOLE("batch", n->batch, "tokens a step (8192)", 1, SIZE_OPTION_MAX),
        REAL("single", n->single, "share of sequences that hold one turn (0.5)", 0, 1),
        FLAG("train-on-all", t->train_on_all, "learn the user's words too"),
        REAL("rate", n->rate, "learning rate (1e-3)", 1e-12, 1),
        REAL("rate-min", n->rate_min, "what it falls to (1e-4, at most a tenth)", 0, 1),
        WHOLE("warmup", n->warmup, "steps to reach the rate (100)", 0, COUNT_OPTION_MAX),
        REAL("weight-decay", n->weight_decay, "of AdamW (0.1)", 0, 10),
        REAL("beta1", n->beta1, "of AdamW (0.9)", 0, 0.999999),
        REAL("beta2", n->beta2, "of AdamW (0.95)", 0, 0.999999),
        REAL("clip", n->clip, "norm of the gradient at most; 0: off (1)", 0, 1e6),
        WHOLE("seed", n->seed, "of weights and order (1)", 0, COUNT_OPTION_MAX),
        {"threads", 't', APP_INT, &n->threads, "N", "0: one a core (0)", 0, 256},
        FLAG("bf16", t->bfloat16, "multiply in bfloat16 where the CPU can: faster by half"),
        TEXT("isa", a->runtime.isa, "NAME", "scalar, avx2, avx-vnni or avx512; default: the best"),
        APP_OPTION_HEADING("checks and checkpoints"),
        TEXT("eval", t->eval_path, "FILE", "turns held out of training"),
        WHOLE("eval-every", n->eval_every, "steps between evaluations; 0: at the end (0)", 0,
              COUNT_OPTION_MAX),
        TEXT("checkpoint", t->checkpoint_path, "FILE", "written when stopped and at the end"),
        REAL("checkpoint-every", n->checkpoint_every, "and every X seconds; 0: never (0)", 0, 1e9),
        FLAG("resume", t->resume, "go on from the checkpoint where it exists"),
        FLAG("json", a->json, "print one JSON object with the result")};
    memcpy(out, options, sizeof options);
    return sizeof options / sizeof *options;
}

static bool wrong(const char *what, const char *found, int *exit_status) {
    fprintf(stderr, "covey train: %s%s%s%s; see covey train --help\n", what,
            found ? ", found \"" : "", found ? found : "", found ? "\"" : "");
    *exit_status = APP_EXIT_USAGE;
    return false;
}

static bool read_options(arguments *a, numbers *n, int argc, char **argv, int *exit_status) {
    app_option options[OPTIONS_MAX + 1] = {
        {"corpus", 0, APP_TEXTS, &a->corpora, "FILE", "what to learn; may be repeated", 0, 0},
        TEXT("out", a->train.out_path, "MODEL.gguf", "what to write")};
    covey_error error;
    app_positional none;
    size_t count = 2; /* the rest stays empty and ends the table */
    count += model_options(a, n, options + count);
    training_options(a, n, options + count);
    const app_command command = {
        "covey train",
        "--corpus FILE --out MODEL.gguf",
        "Trains a model of the llama architecture. A corpus has one turn a line:\n"
        "    {\"user\": \"wake me at seven\", \"assistant\": \"...\"}\n"
        "Control-C stops after the step under way and leaves the checkpoint.",
        "  covey train --corpus turns.jsonl --out assistant.gguf --type F16 --epochs 8 \\\n"
        "      --eval heldout.jsonl --checkpoint assistant.ckpt --resume",
        options,
        0,
        0};
    if (!app_options_read(&command, argc, argv, &none, exit_status)) return false;
    if (!a->corpora.count || !a->train.out_path)
        return wrong("expected --corpus FILE and --out MODEL.gguf", NULL, exit_status);
    take_numbers(a, n);
    if (a->type &&
        (covey_weight_type_parse(a->type, &a->train.out_type, &error) != COVEY_OK ||
         (a->train.out_type != COVEY_WEIGHT_F32 && a->train.out_type != COVEY_WEIGHT_F16)))
        return wrong("--type: expected F32 or F16", a->type, exit_status);
    return true;
}

static void print_time(double seconds) {
    if (seconds < 0.0) {
        fputs("?", stderr);
        return;
    }
    long long whole = seconds < 1e12 ? (long long)seconds : 0;
    if (whole < 60)
        fprintf(stderr, "%lld s", whole);
    else
        fprintf(stderr, "%lld min %02lld s", whole / 60, whole % 60);
}

static void print_line(const covey_train_progress *p, bool terminal) {
    double percent = p->total ? 100.0 * (double)p->done / (double)p->total : 0.0;
    if (terminal) fputs("\r\033[K", stderr);
    if (percent > 100.0) percent = 100.0;
    switch (p->phase) {
    case COVEY_TRAIN_VOCABULARY:
        fprintf(stderr, "vocabulary %3.0f %%", percent);
        break;
    case COVEY_TRAIN_READ:
        fprintf(stderr, "reading %3.0f %%", percent);
        break;
    case COVEY_TRAIN_SAVE:
        fputs("saved", stderr);
        break;
    case COVEY_TRAIN_EVALUATE:
        fprintf(stderr, "step %lld: held out: loss %.4f, exact %.2f %%", (long long)p->step,
                p->eval_loss, 100.0 * p->eval_exact);
        break;
    case COVEY_TRAIN_STEP:
        fprintf(stderr, "step %lld, %4.1f %%: loss %.4f, norm %.2f, rate %.2e, %.0f tokens/s, ",
                (long long)p->step, percent, p->loss, p->gradient_norm, p->rate,
                p->tokens_per_second);
        print_time(p->seconds_left);
        fputs(" left", stderr);
        break;
    }
    if (!terminal || p->phase >= COVEY_TRAIN_EVALUATE) fputc('\n', stderr);
    fflush(stderr);
}

static covey_status on_progress(void *user, const covey_train_progress *p) {
    arguments *a = user;
    bool terminal = isatty(STDERR_FILENO);
    double now = now_s();
    if (p->phase >= COVEY_TRAIN_EVALUATE || now - a->last_line_s >= (terminal ? 0.2 : 10.0)) {
        a->last_line_s = now;
        print_line(p, terminal);
    }
    return interrupted ? COVEY_ERROR_CANCELLED : COVEY_OK;
}

static void print_result(const arguments *a, const covey_train_result *r) {
    double speed = r->seconds > 0.0 ? (double)r->tokens / r->seconds : 0.0;
    if (!a->json) {
        fprintf(stderr,
                "%s: %llu parameters; %llu turns of %llu tokens; %lld steps, %llu tokens in ",
                a->train.out_path, (unsigned long long)r->parameter_count,
                (unsigned long long)r->corpus_turns, (unsigned long long)r->corpus_tokens,
                (long long)r->steps, (unsigned long long)r->tokens);
        print_time(r->seconds);
        fprintf(stderr, ", loss %.4f\n", r->loss);
        return;
    }
    printf("{\"parameters\":%llu,\"corpus_turns\":%llu,\"corpus_tokens\":%llu,\"steps\":%lld,"
           "\"tokens\":%llu,\"seconds\":%.3f,\"tokens_per_second\":%.1f,\"loss\":%.6f",
           (unsigned long long)r->parameter_count, (unsigned long long)r->corpus_turns,
           (unsigned long long)r->corpus_tokens, (long long)r->steps, (unsigned long long)r->tokens,
           r->seconds, speed, r->loss);
    if (r->eval_loss >= 0.0)
        printf(",\"eval_loss\":%.6f,\"eval_exact\":%.6f", r->eval_loss, r->eval_exact);
    printf("}\n");
}

int covey_cmd_train(int argc, char **argv) {
    arguments a = {.train = COVEY_TRAIN_OPTIONS_INIT,
                   .shape = COVEY_MODEL_SHAPE_INIT,
                   .runtime = COVEY_RUNTIME_OPTIONS_INIT};
    a.runtime.threads = 0;
    int exit_status;
    numbers n = defaults_of(&a);
    if (!read_options(&a, &n, argc, argv, &exit_status)) return exit_status;
    a.train.corpus_paths = a.corpora.items;
    a.train.corpus_count = a.corpora.count;
    a.train.shape = &a.shape;
    a.train.progress = on_progress;
    a.train.progress_user = &a;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    covey_runtime *runtime = NULL;
    covey_error error = {0};
    covey_train_result result = COVEY_TRAIN_RESULT_INIT;
    covey_status status = covey_runtime_open(&a.runtime, &runtime, &error);
    if (status == COVEY_OK && a.vocabulary_only)
        status = covey_train_vocabulary(runtime, a.corpora.items, a.corpora.count,
                                        a.shape.vocabulary_size, a.train.out_path, &error);
    else if (status == COVEY_OK)
        status = covey_train(runtime, &a.train, &result, &error);
    covey_runtime_close(runtime);
    if (status != COVEY_OK) {
        if (isatty(STDERR_FILENO)) fputs("\n", stderr);
        app_print_failure("covey train", error.message);
        return APP_EXIT_FAILED;
    }
    app_share(a.train.out_path);
    if (!a.vocabulary_only) print_result(&a, &result);
    return APP_EXIT_DONE;
}
