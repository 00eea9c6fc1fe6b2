/* covey train: trains a small model from JSON lines. Control-C stops after the step under way and
 * leaves a checkpoint, if one was asked for. */
#include "covey/commands.h"

#include <covey/train.h>

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CORPORA_MAX  64
#define STATUS_USAGE 2

static const char usage[] =
    "usage: covey train --corpus FILE [--corpus FILE ...] --out MODEL.gguf [options]\n"
    "\n"
    "Trains a model of the llama architecture. A corpus has one turn a line:\n"
    "    {\"user\": \"wake me at seven\", \"assistant\": \"...\"}\n"
    "\n"
    "what to begin from (default: a new model and a vocabulary learned from the corpora)\n"
    "  --from MODEL              go on from the weights of a GGUF in F32, F16 or BF16\n"
    "  --vocabulary FILE         a new model with the vocabulary of a GGUF\n"
    "  --vocabulary-size N       tokens of a new vocabulary (2048)\n"
    "  --vocabulary-only         learn the vocabulary, write it to --out, and stop\n"
    "  --layers N --width N --heads N --kv-heads N --ff N   shape (5 256 8 4 768)\n"
    "  --untied                  an output matrix of its own\n"
    "  --model-context N         context that the file declares (1024)\n"
    "  --name NAME               general.name of the file\n"
    "  --type F32|F16            type of the weights in the file (F32)\n"
    "how long and how\n"
    "  --epochs X                passes over the corpora (1), or\n"
    "  --tokens N                tokens to train\n"
    "  --context N               tokens of a sequence at most (256)\n"
    "  --batch N                 tokens a step (8192)\n"
    "  --single X                share of sequences that hold one turn, 0 to 1 (0.5)\n"
    "  --train-on-all            learn the user's words too\n"
    "  --rate X --rate-min X     learning rate, and what it falls to (1e-3 1e-4)\n"
    "  --warmup N                steps to reach the rate (100)\n"
    "  --weight-decay X --beta1 X --beta2 X --clip X   AdamW (0.1 0.9 0.95 1)\n"
    "  --seed N                  of weights and order (1)\n"
    "  --threads N               0: one a core (0)\n"
    "  --bf16                    multiply in bfloat16 where the CPU can: faster by half\n"
    "  --isa NAME                scalar, avx2 or avx512; default: the best here\n"
    "checks and checkpoints\n"
    "  --eval FILE               turns held out of training\n"
    "  --eval-every N            steps between evaluations; 0: at the end (0)\n"
    "  --checkpoint FILE         written when stopped and at the end\n"
    "  --checkpoint-every S      and every S seconds\n"
    "  --resume                  go on from the checkpoint where it exists\n"
    "  --json                    one JSON object with the result on standard output\n"
    "\n"
    "example: covey train --corpus turns.jsonl --out assistant.gguf --type F16 --epochs 8 \\\n"
    "             --eval heldout.jsonl --checkpoint assistant.ckpt --resume\n"
    "\n"
    "exit status: 0 done, 1 failed or stopped, 2 used wrongly\n";

enum option_id {
    OPTION_CORPUS = 256,
    OPTION_OUT,
    OPTION_FROM,
    OPTION_VOCABULARY,
    OPTION_VOCABULARY_SIZE,
    OPTION_VOCABULARY_ONLY,
    OPTION_LAYERS,
    OPTION_WIDTH,
    OPTION_HEADS,
    OPTION_KV_HEADS,
    OPTION_FF,
    OPTION_UNTIED,
    OPTION_MODEL_CONTEXT,
    OPTION_NAME,
    OPTION_TYPE,
    OPTION_EPOCHS,
    OPTION_TOKENS,
    OPTION_CONTEXT,
    OPTION_BATCH,
    OPTION_SINGLE,
    OPTION_TRAIN_ON_ALL,
    OPTION_RATE,
    OPTION_RATE_MIN,
    OPTION_WARMUP,
    OPTION_WEIGHT_DECAY,
    OPTION_BETA1,
    OPTION_BETA2,
    OPTION_CLIP,
    OPTION_SEED,
    OPTION_THREADS,
    OPTION_ISA,
    OPTION_BF16,
    OPTION_EVAL,
    OPTION_EVAL_EVERY,
    OPTION_CHECKPOINT,
    OPTION_CHECKPOINT_EVERY,
    OPTION_RESUME,
    OPTION_JSON,
    OPTION_HELP
};

static const struct option long_options[] = {
    {"corpus", required_argument, NULL, OPTION_CORPUS},
    {"out", required_argument, NULL, OPTION_OUT},
    {"from", required_argument, NULL, OPTION_FROM},
    {"vocabulary", required_argument, NULL, OPTION_VOCABULARY},
    {"vocabulary-size", required_argument, NULL, OPTION_VOCABULARY_SIZE},
    {"vocabulary-only", no_argument, NULL, OPTION_VOCABULARY_ONLY},
    {"layers", required_argument, NULL, OPTION_LAYERS},
    {"width", required_argument, NULL, OPTION_WIDTH},
    {"heads", required_argument, NULL, OPTION_HEADS},
    {"kv-heads", required_argument, NULL, OPTION_KV_HEADS},
    {"ff", required_argument, NULL, OPTION_FF},
    {"untied", no_argument, NULL, OPTION_UNTIED},
    {"model-context", required_argument, NULL, OPTION_MODEL_CONTEXT},
    {"name", required_argument, NULL, OPTION_NAME},
    {"type", required_argument, NULL, OPTION_TYPE},
    {"epochs", required_argument, NULL, OPTION_EPOCHS},
    {"tokens", required_argument, NULL, OPTION_TOKENS},
    {"context", required_argument, NULL, OPTION_CONTEXT},
    {"batch", required_argument, NULL, OPTION_BATCH},
    {"single", required_argument, NULL, OPTION_SINGLE},
    {"train-on-all", no_argument, NULL, OPTION_TRAIN_ON_ALL},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"rate-min", required_argument, NULL, OPTION_RATE_MIN},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"weight-decay", required_argument, NULL, OPTION_WEIGHT_DECAY},
    {"beta1", required_argument, NULL, OPTION_BETA1},
    {"beta2", required_argument, NULL, OPTION_BETA2},
    {"clip", required_argument, NULL, OPTION_CLIP},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"isa", required_argument, NULL, OPTION_ISA},
    {"bf16", no_argument, NULL, OPTION_BF16},
    {"eval", required_argument, NULL, OPTION_EVAL},
    {"eval-every", required_argument, NULL, OPTION_EVAL_EVERY},
    {"checkpoint", required_argument, NULL, OPTION_CHECKPOINT},
    {"checkpoint-every", required_argument, NULL, OPTION_CHECKPOINT_EVERY},
    {"resume", no_argument, NULL, OPTION_RESUME},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

typedef struct arguments {
    const char *corpora[CORPORA_MAX];
    covey_train_options train;
    covey_model_shape shape;
    covey_runtime_options runtime;
    bool vocabulary_only, json, rate_min_given;
    double last_line_s;
} arguments;

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

static const char *name_of(int id) {
    for (const struct option *o = long_options; o->name; o++)
        if (o->val == id) return o->name;
    return "?";
}

static bool read_real(int id, double min, double max, double *out) {
    char *end = NULL;
    double value = strtod(optarg, &end);
    if (*optarg && !*end && isfinite(value) && value >= min && value <= max) {
        *out = value;
        return true;
    }
    fprintf(stderr, "covey train: --%s: expected a number from %g to %g, found \"%s\"\n",
            name_of(id), min, max, optarg);
    return false;
}

static bool read_float(int id, double min, double max, float *out) {
    double value;
    if (!read_real(id, min, max, &value)) return false;
    *out = (float)value;
    return true;
}

static bool read_whole(int id, long long min, long long max, long long *out) {
    char *end = NULL;
    errno = 0;
    long long value = strtoll(optarg, &end, 10);
    if (*optarg && !*end && !errno && value >= min && value <= max) {
        *out = value;
        return true;
    }
    fprintf(stderr, "covey train: --%s: expected a whole number from %lld to %lld, found \"%s\"\n",
            name_of(id), min, max, optarg);
    return false;
}

static bool read_i32(int id, long long min, int32_t *out) {
    long long value;
    if (!read_whole(id, min, 1 << 24, &value)) return false;
    *out = (int32_t)value;
    return true;
}

static bool read_i64(int id, int64_t *out) {
    long long value;
    if (!read_whole(id, 0, (long long)1 << 60, &value)) return false;
    *out = value;
    return true;
}

static bool read_u64(int id, long long min, uint64_t *out) {
    long long value;
    if (!read_whole(id, min, (long long)1 << 60, &value)) return false;
    *out = (uint64_t)value;
    return true;
}

static bool read_type(covey_weight_type *type) {
    covey_error error;
    if (covey_weight_type_parse(optarg, type, &error) == COVEY_OK &&
        (*type == COVEY_WEIGHT_F32 || *type == COVEY_WEIGHT_F16))
        return true;
    fprintf(stderr, "covey train: --type: expected F32 or F16, found \"%s\"\n", optarg);
    return false;
}

/* The options of the model's shape and place. -1: not one of these. */
static int read_model_option(arguments *a, int id) {
    switch (id) {
    case OPTION_OUT:
        a->train.out_path = optarg;
        return 1;
    case OPTION_FROM:
        a->train.from_path = optarg;
        return 1;
    case OPTION_VOCABULARY:
        a->train.vocabulary_path = optarg;
        return 1;
    case OPTION_VOCABULARY_SIZE:
        return read_i32(id, 260, &a->shape.vocabulary_size);
    case OPTION_VOCABULARY_ONLY:
        return a->vocabulary_only = true;
    case OPTION_LAYERS:
        return read_i32(id, 1, &a->shape.layers);
    case OPTION_WIDTH:
        return read_i32(id, 2, &a->shape.width);
    case OPTION_HEADS:
        return read_i32(id, 1, &a->shape.heads);
    case OPTION_KV_HEADS:
        return read_i32(id, 1, &a->shape.kv_heads);
    case OPTION_FF:
        return read_i32(id, 1, &a->shape.ff);
    case OPTION_UNTIED:
        return a->shape.untied = true;
    case OPTION_MODEL_CONTEXT:
        return read_i32(id, 1, &a->shape.context);
    case OPTION_NAME:
        a->train.name = optarg;
        return 1;
    case OPTION_TYPE:
        return read_type(&a->train.out_type);
    case OPTION_THREADS:
        return read_i32(id, 0, &a->runtime.threads);
    case OPTION_ISA:
        a->runtime.isa = optarg;
        return 1;
    case OPTION_JSON:
        return a->json = true;
    case OPTION_CORPUS:
        if (a->train.corpus_count < CORPORA_MAX)
            a->corpora[a->train.corpus_count++] = optarg;
        else
            fprintf(stderr, "covey train: more than %d corpora\n", CORPORA_MAX);
        return a->train.corpus_count < CORPORA_MAX;
    default:
        return -1;
    }
}

/* The options of training. */
static bool read_train_option(arguments *a, int id) {
    covey_train_options *t = &a->train;
    switch (id) {
    case OPTION_EPOCHS:
        return read_real(id, 1e-6, 1e6, &t->epochs);
    case OPTION_TOKENS:
        return read_u64(id, 1, &t->tokens_max);
    case OPTION_CONTEXT:
        return read_i32(id, 3, &t->context_tokens);
    case OPTION_BATCH:
        return read_i32(id, 1, &t->batch_tokens);
    case OPTION_SINGLE:
        return read_float(id, 0.0, 1.0, &t->single_share);
    case OPTION_TRAIN_ON_ALL:
        return t->train_on_all = true;
    case OPTION_BF16:
        return t->bfloat16 = true;
    case OPTION_RATE:
        return read_real(id, 1e-12, 1.0, &t->rate);
    case OPTION_RATE_MIN:
        a->rate_min_given = true;
        return read_real(id, 0.0, 1.0, &t->rate_min);
    case OPTION_WARMUP:
        return read_i64(id, &t->warmup_steps);
    case OPTION_WEIGHT_DECAY:
        return read_float(id, 0.0, 10.0, &t->weight_decay);
    case OPTION_BETA1:
        return read_float(id, 0.0, 0.999999, &t->beta1);
    case OPTION_BETA2:
        return read_float(id, 0.0, 0.999999, &t->beta2);
    case OPTION_CLIP:
        return read_float(id, 0.0, 1e6, &t->clip_norm);
    case OPTION_SEED:
        return read_u64(id, 0, &t->seed);
    case OPTION_EVAL:
        t->eval_path = optarg;
        return true;
    case OPTION_EVAL_EVERY:
        return read_i64(id, &t->eval_steps);
    case OPTION_CHECKPOINT:
        t->checkpoint_path = optarg;
        return true;
    case OPTION_CHECKPOINT_EVERY:
        return read_real(id, 0.0, 1e9, &t->checkpoint_seconds);
    case OPTION_RESUME:
        return t->resume = true;
    default:
        return false;
    }
}

/* 0 to go on, or 1 + the status to exit with. */
static int read_options(arguments *a, int argc, char **argv) {
    optind = 1;
    for (int id; (id = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (id == OPTION_HELP) {
            fputs(usage, stdout);
            return 1;
        }
        int known = id == '?' ? 0 : read_model_option(a, id);
        if (known == -1) known = read_train_option(a, id);
        if (known == 0) {
            fputs("covey train: see covey train --help\n", stderr);
            return 1 + STATUS_USAGE;
        }
    }
    if (!a->rate_min_given && a->train.rate_min > a->train.rate / 10)
        a->train.rate_min = a->train.rate / 10;
    if (optind < argc || a->train.corpus_count == 0 || !a->train.out_path) {
        if (optind < argc) fprintf(stderr, "covey train: unknown argument \"%s\"\n", argv[optind]);
        fputs(usage, stderr);
        return 1 + STATUS_USAGE;
    }
    return 0;
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
    int stop = read_options(&a, argc, argv);
    if (stop) return stop - 1;
    a.train.corpus_paths = a.corpora;
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
        status = covey_train_vocabulary(runtime, a.corpora, a.train.corpus_count,
                                        a.shape.vocabulary_size, a.train.out_path, &error);
    else if (status == COVEY_OK)
        status = covey_train(runtime, &a.train, &result, &error);
    covey_runtime_close(runtime);
    if (status != COVEY_OK) {
        fprintf(stderr, "%scovey train: %s\n", isatty(STDERR_FILENO) ? "\n" : "", error.message);
        return 1;
    }
    if (!a.vocabulary_only) print_result(&a, &result);
    return 0;
}
