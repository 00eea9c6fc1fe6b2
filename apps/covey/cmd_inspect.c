/* covey inspect: what a model makes of text and tokens, for comparing engines and checking files.
 */
#include "covey/commands.h"
#include "covey/context.h"

#include "common/files.h"
#include "common/json_text.h"
#include "common/options.h"

#include <covey/embedding.h>
#include <covey/session.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)1 << 30)

static const char usage[] =
    "usage: covey inspect tokens MODEL [--special] < TEXT\n"
    "       covey inspect logits MODEL OUT [--all] [-t THREADS] [--kv TYPE] TOKEN...\n"
    "       covey inspect perplexity MODEL FILE [--window TOKENS] [-t THREADS] [--kv TYPE]\n"
    "       covey inspect embed MODEL TEXT [--pooling NAME] [--raw] [-t THREADS]\n"
    "       covey inspect adapter MODEL ADAPTER [--bind OUT]\n"
    "       covey inspect model MODEL\n"
    "       covey inspect ensemble FOLDER\n"
    "\n"
    "tokens      reads text on standard input and prints token ids on one line, without BOS;\n"
    "            --special makes control tokens of their text\n"
    "logits      writes the logits after the last token as raw little-endian float32; with\n"
    "            --all those after each token\n"
    "perplexity  prints JSON: windows that do not overlap, each after BOS, all positions (256)\n"
    "embed       prints the vector of a text, one number a line; --pooling mean, cls or last in\n"
    "            place of the model's own; --raw leaves its length, which else becomes 1\n"
    "adapter     checks that a LoRA fits; --bind OUT writes a copy that is bound to this model;\n"
    "            OUT is replaced in one step and may be the LoRA itself\n"
    "model       prints what the file says of itself, as JSON\n"
    "ensemble    opens a model and its adapters and prints what they are, as JSON\n"
    "\n"
    "covey inspect VERB --help says more.\n"
    "\n"
    "example:\n"
    "  echo 'Once upon a time' | covey inspect tokens model.gguf\n";

typedef struct inspect {
    const char *verb;
    const char *positional[2]; /* MODEL, OUT or FILE */
    char **tokens;             /* of logits, borrowed from argv */
    int token_count;
    int64_t threads, window;
    bool special, raw, all;
    const char *pooling;
    covey_kv_type kv;
    app_texts adapters;
    const char *bind;
    covey_runtime *runtime;
    covey_model *model;
    covey_model_info info;
} inspect;

static int complain(const char *what, const char *found) {
    fprintf(stderr, "covey inspect: %s, found \"%s\"; see covey inspect --help\n", what, found);
    return APP_EXIT_USAGE;
}

static int failed(const covey_error *error) {
    fprintf(stderr, "covey inspect: %s\n", error->message);
    return 1;
}

/* --adapter of a session; a scale of 0 is no adapter. */
typedef struct adapter_list {
    covey_ensemble_parts parts;
    covey_adapter_use uses[COVEY_ADAPTERS_MAX];
} adapter_list;

static covey_status open_adapters(const inspect *in, adapter_list *list,
                                  covey_session_options *options, covey_error *error) {
    list->parts.model = in->model;
    covey_status status = app_add_adapters(&in->adapters, &list->parts, error);
    options->adapters = list->uses;
    for (size_t i = 0; i < list->parts.adapter_count; i++)
        if (!list->parts.adapters[i].on_request)
            list->uses[options->adapter_count++] =
                (covey_adapter_use){list->parts.adapters[i].adapter, list->parts.adapters[i].scale};
    return status;
}

static void close_adapters(adapter_list *list) {
    list->parts.model = NULL; /* it stays open */
    covey_ensemble_close_parts(&list->parts);
}

static bool to_int(const char *text, long min, long max, int *out) {
    char *end = NULL;
    errno = 0;
    long value = text ? strtol(text, &end, 10) : 0;
    if (!text || !*text || *end || errno || value < min || value > max) return false;
    *out = (int)value;
    return true;
}

/* Reads all of a stream; the caller frees. NULL, with a message, on failure. */
static char *read_all(FILE *file, size_t *size) {
    size_t capacity = 1 << 16;
    char *text = malloc(capacity);
    *size = 0;
    for (size_t got; text && (got = fread(text + *size, 1, capacity - *size, file)) > 0;) {
        *size += got;
        if (*size < capacity) continue;
        char *larger = capacity < TEXT_MAX ? realloc(text, capacity *= 2) : NULL;
        if (!larger) free(text);
        text = larger;
    }
    if (text && ferror(file)) {
        free(text);
        text = NULL;
    }
    if (!text) fprintf(stderr, "covey inspect: cannot read the text\n");
    return text;
}

static covey_token *tokenize(const inspect *in, const char *text, size_t size, size_t *count,
                             covey_error *error) {
    size_t capacity = size + 16;
    covey_token *tokens = malloc(capacity * sizeof *tokens);
    covey_status status = tokens ? COVEY_OK : COVEY_ERROR_NO_MEMORY;
    if (!tokens) snprintf(error->message, sizeof error->message, "no memory for the tokens");
    if (status == COVEY_OK)
        status = covey_model_tokenize(in->model, text, size, in->special, tokens, capacity, count,
                                      error);
    if (status == COVEY_OK) return tokens;
    free(tokens);
    return NULL;
}

static int inspect_tokens(const inspect *in) {
    covey_error error = {.message = ""};
    size_t size, count = 0;
    char *text = read_all(stdin, &size);
    if (!text) return 1;
    covey_token *tokens = tokenize(in, text, size, &count, &error);
    free(text);
    if (!tokens) return failed(&error);
    for (size_t i = 0; i < count; i++) printf("%s%d", i ? " " : "", (int)tokens[i]);
    puts("");
    free(tokens);
    return 0;
}

static bool put_floats(FILE *file, const float *values, size_t count) {
    bool ok = file != NULL;
    for (size_t i = 0; i < count && ok; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        unsigned char bytes[4] = {(unsigned char)bits, (unsigned char)(bits >> 8),
                                  (unsigned char)(bits >> 16), (unsigned char)(bits >> 24)};
        ok = fwrite(bytes, 1, 4, file) == 4;
    }
    return ok;
}

static covey_status put_row(void *user, size_t index, const float *logits, size_t logit_count) {
    (void)index;
    return put_floats(user, logits, logit_count) ? COVEY_OK : COVEY_ERROR_IO;
}

/* The logits of the session that `tokens` are put into, as they are asked for. */
static covey_status write_logits(const inspect *in, covey_session *session,
                                 const covey_token *tokens, FILE *file, covey_error *error) {
    size_t count = (size_t)in->token_count, logit_count = 0;
    if (in->all) return covey_session_append_each(session, tokens, count, error, put_row, file);
    covey_status status = covey_session_append(session, tokens, count, error);
    if (status != COVEY_OK) return status;
    const float *logits = covey_session_logits(session, &logit_count);
    return put_floats(file, logits, logit_count) ? COVEY_OK : COVEY_ERROR_IO;
}

static int inspect_logits(const inspect *in) {
    covey_error error = {.message = ""};
    covey_token *tokens = malloc((size_t)in->token_count * sizeof *tokens);
    if (!tokens) return 1;
    for (int i = 0; i < in->token_count; i++)
        if (!to_int(in->tokens[i], 0, INT32_MAX, &tokens[i])) {
            free(tokens);
            return complain("expected a token id", in->tokens[i]);
        }
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = in->token_count;
    options.kv_type = in->kv;
    covey_session *session = NULL;
    adapter_list adapters = {.parts = COVEY_ENSEMBLE_PARTS_INIT};
    covey_status status = open_adapters(in, &adapters, &options, &error);
    if (status == COVEY_OK) status = covey_session_open(in->model, &options, &session, &error);
    FILE *file = status == COVEY_OK ? fopen(in->positional[1], "wb") : NULL;
    if (file) status = write_logits(in, session, tokens, file, &error);
    bool written = file && fclose(file) == 0 && status != COVEY_ERROR_IO;
    covey_session_close(session);
    close_adapters(&adapters);
    free(tokens);
    if (status != COVEY_OK && status != COVEY_ERROR_IO) return failed(&error);
    if (!written) fprintf(stderr, "covey inspect: cannot write %s\n", in->positional[1]);
    return written ? 0 : 1;
}

typedef struct window_sum {
    const covey_token *targets;
    double loss;
    size_t count;
} window_sum;

static covey_status add_loss(void *user, size_t index, const float *logits, size_t logit_count) {
    window_sum *sum = user;
    double most = (double)logits[0], total = 0.0;
    for (size_t i = 1; i < logit_count; i++)
        if ((double)logits[i] > most) most = (double)logits[i];
    for (size_t i = 0; i < logit_count; i++) total += exp((double)logits[i] - most);
    sum->loss += log(total) + most - (double)logits[sum->targets[index]];
    sum->count++;
    return COVEY_OK;
}

/* Each window's input is BOS and the window but its last token; its target is the window. */
static covey_status add_windows(const inspect *in, covey_session *session,
                                const covey_token *tokens, size_t count, window_sum *sum,
                                covey_error *error) {
    size_t window = (size_t)in->window;
    covey_token *input = malloc(window * sizeof *input);
    covey_status status = input ? COVEY_OK : COVEY_ERROR_NO_MEMORY;
    for (size_t at = 0; at + window <= count && status == COVEY_OK; at += window) {
        input[0] = in->info.bos >= 0 ? in->info.bos : 0;
        memcpy(input + 1, tokens + at, (window - 1) * sizeof *input);
        sum->targets = tokens + at;
        status = covey_session_truncate(session, 0, error);
        if (status == COVEY_OK)
            status = covey_session_append_each(session, input, window, error, add_loss, sum);
    }
    free(input);
    return status;
}

static int inspect_perplexity(const inspect *in) {
    covey_error error = {.message = "no memory"};
    FILE *file = fopen(in->positional[1], "rb");
    if (!file) {
        fprintf(stderr, "covey inspect: cannot open %s: %s\n", in->positional[1], strerror(errno));
        return 1;
    }
    size_t size, count = 0;
    char *text = read_all(file, &size);
    fclose(file);
    if (!text) return 1;
    covey_token *tokens = tokenize(in, text, size, &count, &error);
    free(text);
    if (!tokens) return failed(&error);
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = (int32_t)in->window;
    options.kv_type = in->kv;
    covey_session *session = NULL;
    window_sum sum = {NULL, 0.0, 0};
    adapter_list adapters = {.parts = COVEY_ENSEMBLE_PARTS_INIT};
    covey_status status = open_adapters(in, &adapters, &options, &error);
    if (status == COVEY_OK) status = covey_session_open(in->model, &options, &session, &error);
    if (status == COVEY_OK) status = add_windows(in, session, tokens, count, &sum, &error);
    covey_session_close(session);
    close_adapters(&adapters);
    free(tokens);
    if (status != COVEY_OK) return failed(&error);
    if (sum.count == 0) {
        fprintf(stderr, "covey inspect: the text has %zu tokens, one window takes %d\n", count,
                (int)in->window);
        return 1;
    }
    printf("{\"perplexity\":%.6f,\"tokens\":%zu,\"window\":%d}\n",
           exp(sum.loss / (double)sum.count), sum.count, (int)in->window);
    return 0;
}

static bool to_pooling(const char *name, covey_pooling *pooling) {
    static const char *const names[] = {"model", "mean", "cls", "last"};
    for (int i = 0; i < 4; i++)
        if (!name || !strcmp(name, names[i])) {
            *pooling = (covey_pooling)i;
            return true;
        }
    return false;
}

static int inspect_embed(const inspect *in) {
    covey_error error = {.message = "no memory"};
    covey_embedding_options options = COVEY_EMBEDDING_OPTIONS_INIT;
    options.raw = in->raw;
    if (!to_pooling(in->pooling, &options.pooling))
        return complain("expected --pooling model, mean, cls or last", in->pooling);
    const char *text = in->positional[1];
    size_t size = strlen(text), width = (size_t)in->info.embedding_width;
    covey_token *tokens = malloc((size + 16) * sizeof *tokens);
    float *vector = malloc(width * sizeof *vector);
    covey_embedding_input input = {tokens, 0};
    covey_status status = tokens && vector ? COVEY_OK : COVEY_ERROR_NO_MEMORY;
    if (status == COVEY_OK)
        status = covey_embedding_tokenize(in->model, text, size, tokens, size + 16,
                                          &input.token_count, &error);
    if (status == COVEY_OK)
        status = covey_model_embed(in->model, &options, &input, 1, vector, &error);
    for (size_t i = 0; i < width && status == COVEY_OK; i++) printf("%.9g\n", (double)vector[i]);
    free(tokens);
    free(vector);
    return status == COVEY_OK ? 0 : failed(&error);
}

static int inspect_model(const inspect *in) {
    const covey_model_info *info = &in->info;
    printf("{\"name\":");
    app_put_json_text(stdout, info->name);
    printf(",\"architecture\":\"%s\",\"quantization\":\"%s\",\"parameters\":%llu,"
           "\"weight_bytes\":%llu,\"vocabulary\":%d,\"context\":%d,\"layers\":%d,\"width\":%d,"
           "\"bos\":%d,\"eos\":%d,\"chat_template\":%s,\"generates\":%s,"
           "\"arithmetic_version\":%d,\"load_ms\":%lld}\n",
           info->architecture, info->quantization, (unsigned long long)info->parameter_count,
           (unsigned long long)info->weight_bytes, (int)info->vocabulary_size,
           (int)info->context_tokens_max, (int)info->layer_count, (int)info->embedding_width,
           (int)info->bos, (int)info->eos, info->has_chat_template ? "true" : "false",
           info->generates ? "true" : "false", (int)info->arithmetic_version,
           (long long)info->load_ms);
    return 0;
}

static void put_adapter(const covey_adapter_info *info) {
    printf("\"name\":");
    app_put_json_text(stdout, info->name);
    printf(",\"rank\":%d,\"alpha\":%g,\"matrices\":%d,\"bytes\":%llu,\"bound\":%s",
           (int)info->rank_max, (double)info->alpha, (int)info->matrix_count,
           (unsigned long long)info->bytes, info->bound ? "true" : "false");
}

static void put_parts(const covey_ensemble *ensemble, const covey_ensemble_parts *parts) {
    covey_model_info model = COVEY_MODEL_INFO_INIT;
    covey_model_describe(parts->model, &model);
    printf("{\"name\":\"%s\",\"version\":\"%s\",\"digest\":\"%s\",\"architecture\":\"%s\","
           "\"quantization\":\"%s\",\"adapters\":[",
           covey_ensemble_name(ensemble), covey_ensemble_version(ensemble),
           covey_ensemble_digest(ensemble), model.architecture, model.quantization);
    for (size_t i = 0; i < parts->adapter_count; i++) {
        const covey_adapter_offer *offer = &parts->adapters[i];
        covey_adapter_info info = COVEY_ADAPTER_INFO_INIT;
        covey_adapter_describe(offer->adapter, &info);
        printf("%s{\"id\":%d,\"file\":", i ? "," : "", (int)i);
        app_put_json_text(stdout, info.file);
        printf(",\"scale\":%g,\"on_request\":%s,", (double)offer->scale,
               offer->on_request ? "true" : "false");
        put_adapter(&info);
        putchar('}');
    }
    puts("]}");
}

/* Without its probes, which covey bundle check runs. */
static int inspect_ensemble(const inspect *in) {
    covey_error error = {.message = ""};
    covey_ensemble *ensemble = NULL;
    covey_ensemble_parts parts = COVEY_ENSEMBLE_PARTS_INIT;
    covey_status status =
        covey_ensemble_open(in->runtime, in->positional[0], COVEY_CHECK_DIGESTS, &ensemble, &error);
    if (status == COVEY_OK) status = covey_ensemble_open_parts(ensemble, &parts, &error);
    if (status == COVEY_OK) put_parts(ensemble, &parts);
    covey_ensemble_close_parts(&parts);
    covey_ensemble_close(ensemble);
    return status == COVEY_OK ? 0 : failed(&error);
}

/* Opening it is the check. */
static int inspect_adapter(const inspect *in) {
    covey_error error = {.message = ""};
    covey_adapter *adapter = NULL;
    covey_adapter_info info = COVEY_ADAPTER_INFO_INIT;
    covey_status status = covey_adapter_open(in->model, in->positional[1], &adapter, &error);
    if (status != COVEY_OK) return failed(&error);
    covey_adapter_describe(adapter, &info);
    putchar('{');
    put_adapter(&info);
    puts("}");
    covey_adapter_close(adapter);
    if (in->bind) status = covey_adapter_bind(in->model, in->positional[1], in->bind, &error);
    if (status == COVEY_OK && in->bind) app_share(in->bind);
    return status == COVEY_OK ? 0 : failed(&error);
}

typedef struct inspect_verb {
    const char *name, *arguments, *summary, *example;
    size_t positional_min, positional_max;
    int (*run)(const inspect *in);
    const char *options; /* the names of those that it takes, each behind a space */
} inspect_verb;

static const inspect_verb verbs[] = {
    {"tokens", "MODEL.gguf", "Reads text on standard input and prints its token ids, without BOS.",
     "  echo 'Once upon a time' | covey inspect tokens model.gguf", 1, 1, inspect_tokens,
     " special threads"},
    {"logits", "MODEL.gguf OUT TOKEN...",
     "Writes the logits after the last token to OUT, as raw little-endian float32.",
     "  covey inspect logits model.gguf logits.f32 -t 1 1 9038 2501", 3, APP_POSITIONAL_MAX,
     inspect_logits, " all adapter kv threads"},
    {"perplexity", "MODEL.gguf FILE",
     "Prints the perplexity of a text as JSON: windows that do not overlap, each after BOS, all\n"
     "positions.",
     "  covey inspect perplexity model.gguf text.txt --window 256", 2, 2, inspect_perplexity,
     " window adapter kv threads"},
    {"embed", "MODEL.gguf TEXT", "Prints the vector of a text, one number a line.",
     "  covey inspect embed bge.gguf 'a cat on a mat'", 2, 2, inspect_embed,
     " pooling raw threads"},
    {"adapter", "MODEL.gguf ADAPTER.gguf",
     "Checks that a LoRA fits the model and prints what it is, as JSON. With --bind, writes a "
     "copy\n"
     "that names the model as its base: others refuse it then. OUT is replaced in one step; it\n"
     "may be the LoRA itself.",
     "  covey inspect adapter model.gguf lora.gguf --bind bound.gguf", 2, 2, inspect_adapter,
     " bind threads"},
    {"model", "MODEL.gguf", "Prints what the file says of itself, as JSON.",
     "  covey inspect model model.gguf", 1, 1, inspect_model, " threads"},
    {"ensemble", "FOLDER",
     "Opens an ensemble's model and adapters and prints what they are, as JSON: each adapter's\n"
     "number, by which requests name it, its scale, and whether it is on by default.",
     "  covey inspect ensemble assistant-1.0.0", 1, 1, inspect_ensemble, " threads"},
};

static bool read_options(inspect *in, const inspect_verb *verb, int argc, char **argv,
                         int *exit_status) {
    char name[64];
    const char *kv = NULL;
    const app_option all[] = {
        {"all", 0, APP_FLAG, &in->all, NULL, "the logits after each token", 0, 0},
        {"special", 0, APP_FLAG, &in->special, NULL, "the text of control tokens becomes them", 0,
         0},
        {"window", 'w', APP_INT, &in->window, "N", "tokens of a window (256)", 1, 1 << 20},
        {"pooling", 0, APP_TEXT, &in->pooling, "NAME", "mean, cls, last (the model's own)", 0, 0},
        {"raw", 0, APP_FLAG, &in->raw, NULL, "leave the vector's length as it is", 0, 0},
        APP_OPTION_ADAPTER(in->adapters),
        {"bind", 0, APP_TEXT, &in->bind, "OUT.gguf", "write a copy bound to the model", 0, 0},
        {"kv", 0, APP_TEXT, &kv, "TYPE", APP_KV_HELP, 0, 0},
        {"threads", 't', APP_INT, &in->threads, "N", "threads that compute; 0: one a core (0)", 0,
         256}};
    app_option options[sizeof all / sizeof *all + 1] = {{0}};
    for (size_t i = 0, count = 0; i < sizeof all / sizeof *all; i++) {
        char listed[32];
        snprintf(listed, sizeof listed, " %s", all[i].name);
        if (strstr(verb->options, listed)) options[count++] = all[i];
    }
    snprintf(name, sizeof name, "covey inspect %s", verb->name);
    const app_command command = {name,    verb->arguments,      verb->summary,       verb->example,
                                 options, verb->positional_min, verb->positional_max};
    app_positional words;
    if (!app_options_read(&command, argc, argv, &words, exit_status)) return false;
    if (!app_read_kv(name, kv, &in->kv)) {
        *exit_status = APP_EXIT_USAGE;
        return false;
    }
    app_say_idle_adapters(name, &in->adapters);
    for (size_t i = 0; i < words.count && i < 2; i++) in->positional[i] = words.items[i];
    if (words.count > 2) {
        in->tokens = words.items + 2;
        in->token_count = (int)(words.count - 2);
    }
    return true;
}

static int run_verb(inspect *in, const inspect_verb *verb) {
    covey_error error = {.message = ""};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.threads = (int32_t)in->threads;
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = in->positional[0];
    source.vocabulary_only = !strcmp(in->verb, "tokens");
    covey_status status = covey_runtime_open(&options, &in->runtime, &error);
    bool opens_model = verb->run != inspect_ensemble;
    if (status == COVEY_OK && opens_model)
        status = covey_model_open(in->runtime, &source, &in->model, &error);
    if (status == COVEY_OK && opens_model) covey_model_describe(in->model, &in->info);
    int result = status == COVEY_OK ? verb->run(in) : failed(&error);
    covey_model_close(in->model);
    covey_runtime_close(in->runtime);
    return result;
}

int covey_cmd_inspect(int argc, char **argv) {
    int exit_status;
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
        return fputs(usage, stdout) < 0 ? APP_EXIT_FAILED : APP_EXIT_DONE;
    if (argc < 2) {
        fputs(usage, stderr);
        return APP_EXIT_USAGE;
    }
    inspect in = {.verb = argv[1], .window = 256, .info = COVEY_MODEL_INFO_INIT};
    const inspect_verb *found = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(verbs[i].name, argv[1])) found = &verbs[i];
    if (!found)
        return complain("expected tokens, logits, perplexity, embed, adapter, model or ensemble",
                        argv[1]);
    if (!read_options(&in, found, argc - 1, argv + 1, &exit_status)) return exit_status;
    return run_verb(&in, found);
}
