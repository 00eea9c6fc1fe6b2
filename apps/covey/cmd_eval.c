/* covey eval: the share of a file's prompts that a model answers exactly as written there, by
 * intent. Each prompt is a conversation of one message, rendered by the model's own chat template
 * and answered greedily, so the figure is the same on every device. Threads share nothing but the
 * list of items: each has a runtime, a map of the model and a session of its own, since a small
 * model gains more from whole items side by side than from threads within one. */
#include "covey/commands.h"

#include "common/files.h"
#include "common/options.h"

#include <covey/session.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES_MAX   (64u << 20)
#define ITEMS_MAX        1000000u
#define INTENTS_MAX      256
#define THREADS_MAX      64
#define PROMPT_TOKENS    2048
#define ANSWER_BYTES_MAX 4096

typedef struct eval_item {
    const char *intent, *prompt, *expect; /* in the file's text */
    char *answer;                         /* NULL when it was as expected */
    bool exact;
} eval_item;

typedef struct eval_intent {
    const char *name;
    size_t count, exact;
} eval_intent;

typedef struct eval {
    const char *model_path, *file_path;
    int64_t threads, tokens_max, failures;
    double minimum;
    bool json;
    char *text;
    eval_item *items;
    size_t item_count;
    eval_intent intents[INTENTS_MAX];
    size_t intent_count, exact;
    atomic_size_t next;
    atomic_bool failed;
    pthread_mutex_t lock;
    covey_error error;
    char quantization[16], isa[16];
    uint64_t parameters;
    double seconds;
} eval;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- the file: a flat JSON object of strings a line */

static char *skip_space(char *p) {
    return p + strspn(p, " \t\r");
}

static int hex4(const char *p) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static char *put_utf8(char *out, unsigned code) {
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

/* The escape behind a backslash at `p`; NULL when it is none. Zero cannot stand in a C string. */
static char *read_escape(char *p, char **out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (*p != 'u') {
        const char *at = *p ? strchr(from, *p) : NULL;
        if (!at) return NULL;
        *(*out)++ = to[at - from];
        return p + 1;
    }
    int code = hex4(p + 1);
    p += 5;
    if (code <= 0 || (code >= 0xDC00 && code < 0xE000)) return NULL;
    if (code >= 0xD800 && code < 0xDC00) {
        int low = p[0] == '\\' && p[1] == 'u' ? hex4(p + 2) : -1;
        if (low < 0xDC00 || low >= 0xE000) return NULL;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
    }
    *out = put_utf8(*out, (unsigned)code);
    return p;
}

/* Decodes a string in place: no escape is shorter than what it stands for. */
static char *read_string(char *p, const char **value) {
    if (*p++ != '"') return NULL;
    char *out = p;
    *value = p;
    while (p && *p != '"') {
        if ((unsigned char)*p < 0x20) return NULL;
        if (*p == '\\')
            p = read_escape(p + 1, &out);
        else
            *out++ = *p++;
    }
    if (!p) return NULL;
    *out = '\0';
    return p + 1;
}

static bool read_member(eval_item *item, const char *name, const char *value) {
    if (!strcmp(name, "user") || !strcmp(name, "prompt")) item->prompt = value;
    if (!strcmp(name, "assistant") || !strcmp(name, "expect")) item->expect = value;
    if (!strcmp(name, "intent")) item->intent = value;
    return true;
}

/* False when the line is not such an object. */
static bool read_line(char *p, eval_item *item) {
    p = skip_space(p);
    if (*p++ != '{') return false;
    for (;;) {
        const char *name, *value;
        p = read_string(skip_space(p), &name);
        if (!p) return false;
        p = skip_space(p);
        if (*p++ != ':') return false;
        p = read_string(skip_space(p), &value);
        if (!p || !read_member(item, name, value)) return false;
        p = skip_space(p);
        char end = *p++;
        if (end == '}') break;
        if (end != ',') return false;
    }
    return !*skip_space(p) && item->prompt && item->expect;
}

static bool read_items(eval *e) {
    size_t size = 0, capacity = 0;
    e->text = app_read_file(e->file_path, FILE_BYTES_MAX, &size);
    if (!e->text) {
        fprintf(stderr, "covey eval: %s: cannot be read, or is larger than %u MiB\n", e->file_path,
                FILE_BYTES_MAX >> 20);
        return false;
    }
    char *rest = e->text, *line;
    for (size_t number = 1; (line = strsep(&rest, "\n")) != NULL; number++) {
        if (!*skip_space(line)) continue;
        if (e->item_count == capacity) {
            capacity = capacity ? capacity * 2 : 256;
            eval_item *grown =
                capacity <= ITEMS_MAX * 2 ? realloc(e->items, capacity * sizeof *grown) : NULL;
            if (!grown) return false;
            e->items = grown;
        }
        eval_item item = {.intent = "all"};
        if (!read_line(line, &item)) {
            fprintf(stderr,
                    "covey eval: %s: line %zu: expected a JSON object of strings with \"user\" and "
                    "\"assistant\" (or \"prompt\" and \"expect\")\n",
                    e->file_path, number);
            return false;
        }
        e->items[e->item_count++] = item;
    }
    if (!e->item_count) fprintf(stderr, "covey eval: %s: holds no items\n", e->file_path);
    return e->item_count > 0;
}

/* ---- answers */

typedef struct eval_worker {
    eval *shared;
    covey_runtime *runtime;
    covey_model *model;
    covey_session *session;
    covey_token *tokens;
    char answer[ANSWER_BYTES_MAX];
    size_t answer_size;
} eval_worker;

static bool take_text(void *user, const char *text, size_t text_size) {
    eval_worker *w = user;
    size_t room = sizeof w->answer - 1 - w->answer_size;
    size_t taken = text_size < room ? text_size : room;
    memcpy(w->answer + w->answer_size, text, taken);
    w->answer_size += taken;
    return taken == text_size;
}

static covey_status answer_item(eval_worker *w, eval_item *item, covey_error *error) {
    covey_message message = {"user", item->prompt};
    size_t count = 0;
    covey_status status = covey_model_render_chat(w->model, &message, 1, true, w->tokens,
                                                  PROMPT_TOKENS, &count, error);
    if (status == COVEY_OK) status = covey_session_truncate(w->session, 0, error);
    if (status == COVEY_OK) status = covey_session_append(w->session, w->tokens, count, error);
    if (status != COVEY_OK) return status;
    covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
    options.tokens_max = (int32_t)w->shared->tokens_max;
    w->answer_size = 0;
    status = covey_session_generate(w->session, &options, NULL, error, take_text, w);
    if (status != COVEY_OK) return status;
    w->answer[w->answer_size] = '\0';
    item->exact = !strcmp(w->answer, item->expect);
    if (!item->exact) item->answer = strdup(w->answer);
    return COVEY_OK;
}

static covey_status open_worker(eval_worker *w, covey_error *error) {
    covey_runtime_options runtime_options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_status status = covey_runtime_open(&runtime_options, &w->runtime, error);
    if (status != COVEY_OK) return status;
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = w->shared->model_path;
    status = covey_model_open(w->runtime, &source, &w->model, error);
    if (status != COVEY_OK) return status;
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    w->tokens = calloc(PROMPT_TOKENS, sizeof *w->tokens);
    if (!w->tokens) return COVEY_ERROR_NO_MEMORY;
    return covey_session_open(w->model, &options, &w->session, error);
}

static void note_model(eval_worker *w) {
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(w->model, &info);
    pthread_mutex_lock(&w->shared->lock);
    snprintf(w->shared->quantization, sizeof w->shared->quantization, "%s", info.quantization);
    snprintf(w->shared->isa, sizeof w->shared->isa, "%s", covey_runtime_isa(w->runtime));
    w->shared->parameters = info.parameter_count;
    pthread_mutex_unlock(&w->shared->lock);
}

static void *work(void *user) {
    eval *e = user;
    eval_worker *w = calloc(1, sizeof *w);
    covey_error error = {.status = COVEY_ERROR_NO_MEMORY, .message = "no memory"};
    covey_status status = COVEY_ERROR_NO_MEMORY;
    if (w) {
        w->shared = e;
        status = open_worker(w, &error);
        if (status == COVEY_OK) note_model(w);
    }
    while (status == COVEY_OK && !atomic_load(&e->failed)) {
        size_t index = atomic_fetch_add(&e->next, 1);
        if (index >= e->item_count) break;
        status = answer_item(w, &e->items[index], &error);
    }
    if (status != COVEY_OK) {
        pthread_mutex_lock(&e->lock);
        e->error = error;
        pthread_mutex_unlock(&e->lock);
        atomic_store(&e->failed, true);
    }
    if (w) {
        covey_session_close(w->session);
        covey_model_close(w->model);
        covey_runtime_close(w->runtime);
        free(w->tokens);
        free(w);
    }
    return NULL;
}

static void answer_all(eval *e) {
    pthread_t threads[THREADS_MAX];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t wanted = e->threads ? (size_t)e->threads : (size_t)(cores > 0 ? cores : 1);
    size_t count = wanted < THREADS_MAX ? wanted : THREADS_MAX, started = 0;
    double start = now_s();
    while (started + 1 < count && !pthread_create(&threads[started], NULL, work, e)) started++;
    work(e);
    for (size_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
    e->seconds = now_s() - start;
}

/* ---- figures */

static eval_intent *find_intent(eval *e, const char *name) {
    for (size_t i = 0; i < e->intent_count; i++)
        if (!strcmp(e->intents[i].name, name)) return &e->intents[i];
    if (e->intent_count == INTENTS_MAX) return &e->intents[INTENTS_MAX - 1];
    e->intents[e->intent_count].name = name;
    return &e->intents[e->intent_count++];
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const eval_intent *)a)->name, ((const eval_intent *)b)->name);
}

static void count_items(eval *e) {
    for (size_t i = 0; i < e->item_count; i++) {
        eval_intent *intent = find_intent(e, e->items[i].intent);
        intent->count++;
        intent->exact += e->items[i].exact;
        e->exact += e->items[i].exact;
    }
    qsort(e->intents, e->intent_count, sizeof *e->intents, by_name);
}

static void print_quoted(const char *text) {
    putchar('"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            printf("\\%c", *p);
        else if (*p < 0x20)
            printf("\\u%04x", *p);
        else
            putchar(*p);
    }
    putchar('"');
}

static void print_json(const eval *e) {
    printf("{\"items\":%zu,\"exact\":%zu,\"exact_share\":%.4f,\"quantization\":\"%s\","
           "\"parameters\":%llu,\"isa\":\"%s\",\"seconds\":%.2f,\"intents\":{",
           e->item_count, e->exact, (double)e->exact / (double)e->item_count, e->quantization,
           (unsigned long long)e->parameters, e->isa, e->seconds);
    for (size_t i = 0; i < e->intent_count; i++) {
        if (i) putchar(',');
        print_quoted(e->intents[i].name);
        printf(":{\"items\":%zu,\"exact\":%zu}", e->intents[i].count, e->intents[i].exact);
    }
    printf("}}\n");
}

static void print_table(const eval *e) {
    printf("%-20s %7s %7s %9s\n", "intent", "items", "exact", "share");
    for (size_t i = 0; i < e->intent_count; i++)
        printf("%-20s %7zu %7zu %8.1f%%\n", e->intents[i].name, e->intents[i].count,
               e->intents[i].exact,
               100.0 * (double)e->intents[i].exact / (double)e->intents[i].count);
    printf("%-20s %7zu %7zu %8.2f%%   %s, %s, %.1f s\n", "all", e->item_count, e->exact,
           100.0 * (double)e->exact / (double)e->item_count, e->quantization, e->isa, e->seconds);
}

static void print_failures(const eval *e) {
    int64_t left = e->failures;
    for (size_t i = 0; i < e->item_count && left > 0; i++) {
        if (e->items[i].exact) continue;
        fprintf(stderr, "prompt   %s\nexpected %s\nanswered %s\n\n", e->items[i].prompt,
                e->items[i].expect, e->items[i].answer ? e->items[i].answer : "");
        left--;
    }
}

static int run_eval(eval *e) {
    int status = APP_EXIT_FAILED;
    if (read_items(e)) {
        answer_all(e);
        if (atomic_load(&e->failed)) {
            fprintf(stderr, "covey eval: %s\n", e->error.message);
        } else {
            count_items(e);
            print_failures(e);
            if (e->json)
                print_json(e);
            else
                print_table(e);
            status = (double)e->exact >= e->minimum * (double)e->item_count ? APP_EXIT_DONE
                                                                            : APP_EXIT_REFUSED;
        }
    }
    for (size_t i = 0; i < e->item_count; i++) free(e->items[i].answer);
    free(e->items);
    free(e->text);
    return status;
}

int covey_cmd_eval(int argc, char **argv) {
    eval e = {.tokens_max = 256};
    const app_option options[] = {{"threads", 't', APP_INT, &e.threads, "N",
                                   "items at a time; 0: one a core (0)", 0, THREADS_MAX},
                                  {"tokens-max", 'n', APP_INT, &e.tokens_max, "N",
                                   "tokens of an answer at most (256)", 1, 4096},
                                  {"failures", 'f', APP_INT, &e.failures, "N",
                                   "print so many wrong answers to standard error (0)", 0,
                                   ITEMS_MAX},
                                  {"min", 0, APP_NUMBER, &e.minimum, "X",
                                   "exit 3 when the share is below X, 0 to 1 (0)", 0, 1},
                                  {"json", 0, APP_FLAG, &e.json, NULL, "one JSON object", 0, 0},
                                  {NULL, 0, APP_FLAG, NULL, NULL, NULL, 0, 0}};
    const app_command command = {
        .name = "covey eval",
        .arguments = "MODEL FILE.jsonl",
        .summary =
            "Answers each prompt of a file greedily and counts the answers that are exactly as "
            "expected, by intent.\nA line of the file is {\"user\": ..., \"assistant\": ..., "
            "\"intent\": ...}; \"prompt\" and \"expect\" are read too.",
        .example = "  covey eval models/assistant/1.0.0/model.gguf models/assistant/heldout.jsonl",
        .options = options,
        .positional_min = 2,
        .positional_max = 2};
    app_positional *positional = calloc(1, sizeof *positional);
    int status = APP_EXIT_FAILED;
    if (positional && app_options_read(&command, argc, argv, positional, &status)) {
        e.model_path = positional->items[0];
        e.file_path = positional->items[1];
        pthread_mutex_init(&e.lock, NULL);
        status = run_eval(&e);
        pthread_mutex_destroy(&e.lock);
    }
    free(positional);
    return status;
}
