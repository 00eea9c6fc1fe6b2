/* Constant load on a server's /v1/completions, and what came of it: for e2e/swap_load.sh and
 * bench/swap-under-load.
 *
 * usage: swap_load run HOST:PORT TOKEN RECORDS STOP [STREAMS [ANSWER_TOKENS [WORDS]]]
 *        swap_load check RECORDS ENSEMBLE=HOST:PORT...
 *        swap_load count RECORDS
 *        swap_load spans RECORDS BEGUN FIRST OLD
 *        swap_load stamp
 *
 * `run` asks from so many streams (8) until the file STOP exists, then lets each finish: half of
 * them single requests, half conversations of three turns by name. Each answer is a line of
 * RECORDS: when it began, how long its first word took, who gave it (by its header, its stream and
 * its end, which must agree), and its words. WORDS is so much filler before each question, so that
 * no two begin alike and none is in the server's cache. `check` asks the servers of the single
 * ensembles the same again, greedily: every answer must be one that the ensemble it names gives.
 * `count` prints how many failed and who answered. `spans` prints the time to the first word
 * before, during and after a swap: BEGUN is when the load began, FIRST when the update did, both in
 * seconds since 1970, and the swap lasts until the last answer of the ensemble OLD. `stamp` copies
 * the standard input's lines with the time of each before it.
 *
 * Exit status 1: a request failed, an answer is mixed, or the 99th percentile during the swap is
 * above 1.5 times that before. Each stream is a thread with connections of its own. */
#include "base/arena.h"
#include "base/env.h"
#include "base/json.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROMPTS       6
#define WORDS         22
#define STREAMS_MAX   256
#define ASKERS        4    /* threads that ask again */
#define WARM_S        10.0 /* the first passes read the model */
#define RATIO_MAX     1.5
#define ANSWER_MAX    ((size_t)1 << 24)
#define RECORDS_MAX   ((size_t)1 << 30)
#define NAME_SIZE_MAX 200

static const char *const prompts[PROMPTS] = {
    "set a timer for ten minutes",   "what is the weather like in Lisbon tomorrow",
    "remind me to call Ana at noon", "turn off the lights in the kitchen",
    "play some quiet music",         "how far is the moon from here"};
static const char *const filler[WORDS] = {
    "the",     "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "while", "seven",
    "wizards", "judge", "my",    "vow", "and",   "pack", "a",   "box",  "of",  "five",  "dozen"};

/* One streamed answer as it comes. */
typedef struct answer {
    covey__env env;
    covey__buffer line, text; /* the line that is not whole yet; the words so far */
    double start, first_s, whole_s;
    double begun; /* by the clock that never jumps */
    char header[NAME_SIZE_MAX], ensemble[NAME_SIZE_MAX], print[NAME_SIZE_MAX];
    bool prints_differ, done;
    char failed[300]; /* empty: a whole answer */
} answer;

typedef struct question {
    const char *prompt, *name; /* name: NULL for a single request */
    long tokens;
} question;

typedef struct load {
    const char *address, *token, *stop;
    long tokens, words;
    FILE *records;
    pthread_mutex_t lock;
} load;

typedef struct stream {
    load *load;
    long index;
} stream;

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void fail(answer *a, const char *what, const char *why) {
    if (!*a->failed) snprintf(a->failed, sizeof a->failed, "%s%s", what, why);
}

static const char *text_of(const covey__json *object, const char *name) {
    const covey__json *member = covey__json_get(object, name);
    return member != NULL && member->kind == COVEY__JSON_STRING ? member->text : "";
}

static void take_event(answer *a, const covey__json *event) {
    const covey__json *error = covey__json_get(event, "error");
    const covey__json *choices = covey__json_get(event, "choices");
    const covey__json *ours = covey__json_get(event, "covey");
    if (error != NULL) {
        fail(a, "cut: ", text_of(error, "message"));
        return;
    }
    const char *print = text_of(event, "system_fingerprint");
    if (a->first_s < 0.0)
        snprintf(a->print, sizeof a->print, "%s", print);
    else if (strcmp(a->print, print) != 0)
        a->prints_differ = true;
    if (a->first_s < 0.0) a->first_s = seconds(CLOCK_MONOTONIC) - a->begun;
    if (ours != NULL) snprintf(a->ensemble, sizeof a->ensemble, "%s", text_of(ours, "ensemble"));
    const covey__json *choice = choices != NULL ? choices->child : NULL;
    for (; choice != NULL; choice = choice->next) {
        const covey__json *text = covey__json_get(choice, "text");
        if (text != NULL && text->kind == COVEY__JSON_STRING)
            covey__buffer_append(&a->text, text->text, text->size);
    }
}

static void take_line(answer *a) {
    const covey__json *event = NULL;
    covey__arena arena;
    covey_error error = {0};
    if (a->line.size < 6 || memcmp(a->line.data, "data: ", 6) != 0) return;
    if (strncmp(a->line.data, "data: [DONE]", 12) == 0) {
        a->done = true;
        return;
    }
    covey__arena_init(&arena, &a->env, ANSWER_MAX);
    if (covey__json_parse(&arena, a->line.data + 6, a->line.size - 6, COVEY__JSON_LIMITS_DEFAULT,
                          &event, &error) != COVEY_OK)
        fail(a, "not JSON: ", error.message);
    else
        take_event(a, event);
    covey__arena_free(&arena);
}

static size_t take_bytes(char *data, size_t one, size_t count, void *user) {
    answer *a = user;
    for (size_t i = 0; i < one * count; i++) {
        if (data[i] != '\n') {
            covey__buffer_byte(&a->line, data[i]);
            continue;
        }
        take_line(a);
        covey__buffer_clear(&a->line);
    }
    return one * count;
}

static size_t take_header(char *data, size_t one, size_t count, void *user) {
    static const char name[] = "X-Covey-Ensemble:";
    answer *a = user;
    size_t size = one * count, at = sizeof name - 1;
    if (size < at || curl_strnequal(data, name, at) == 0) return size;
    while (at < size && data[at] == ' ') at++;
    snprintf(a->header, sizeof a->header, "%.*s", (int)strcspn(data + at, "\r\n"), data + at);
    return size;
}

static struct curl_slist *headers_of(const char *token, const char *name) {
    char line[600];
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (token != NULL && *token) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", token);
        headers = curl_slist_append(headers, line);
    }
    if (name != NULL) {
        snprintf(line, sizeof line, "X-Covey-Conversation: %s", name);
        headers = curl_slist_append(headers, line);
    }
    return headers;
}

static void put_question(covey__buffer *body, const question *q) {
    covey__json_writer writer;
    covey__json_writer_init(&writer, body, false);
    covey__json_begin_object(&writer);
    covey__json_member_string(&writer, "prompt", q->prompt);
    covey__json_member_i64(&writer, "max_tokens", q->tokens);
    covey__json_member_i64(&writer, "temperature", 0);
    covey__json_member_bool(&writer, "stream", true);
    covey__json_end_object(&writer);
}

static void answer_free(answer *a) {
    covey__buffer_free(&a->line);
    covey__buffer_free(&a->text);
}

/* Freed by answer_free, also when it failed. */
static void ask(const char *address, const char *token, const question *q, answer *a) {
    char url[300];
    long status = 0;
    covey__buffer body;
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = headers_of(token, q->name);
    *a = (answer){.start = seconds(CLOCK_REALTIME), .first_s = -1.0};
    covey__env_init(&a->env);
    covey__buffer_init(&body, &a->env, ANSWER_MAX);
    covey__buffer_init(&a->line, &a->env, ANSWER_MAX);
    covey__buffer_init(&a->text, &a->env, ANSWER_MAX);
    put_question(&body, q);
    snprintf(url, sizeof url, "http://%s/v1/completions", address);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.size);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, a);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 600L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    a->begun = seconds(CLOCK_MONOTONIC);
    CURLcode code = curl_easy_perform(curl);
    a->whole_s = seconds(CLOCK_MONOTONIC) - a->begun;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) fail(a, status == 200 ? "cut: " : "", curl_easy_strerror(code));
    if (status != 200) {
        snprintf(url, sizeof url, "status %ld: ", status);
        fail(a, url, a->line.size ? a->line.data : "");
    }
    if (!a->done || a->first_s < 0.0) fail(a, "cut: ", "the stream ended without its last event");
    if (a->line.status || a->text.status) fail(a, "", "the answer is too long");
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    covey__buffer_free(&body);
}

static void write_record(load *l, const question *q, const answer *a) {
    covey__buffer out;
    covey__json_writer writer;
    covey__buffer_init(&out, &a->env, ANSWER_MAX);
    covey__json_writer_init(&writer, &out, false);
    covey__json_begin_object(&writer);
    covey__json_member_f64(&writer, "start", a->start);
    if (*a->failed) {
        covey__json_member_string(&writer, "failed", a->failed);
    } else {
        covey__json_member_string(&writer, "prompt", q->prompt);
        covey__json_member_string(&writer, "name", q->name);
        covey__json_member_i64(&writer, "tokens", q->tokens);
        covey__json_member_string(&writer, "header", a->header);
        covey__json_member_string(&writer, "ensemble", a->ensemble);
        covey__json_member_bool(&writer, "prints_differ", a->prints_differ);
        covey__json_member_f64(&writer, "first_s", a->first_s);
        covey__json_member_f64(&writer, "whole_s", a->whole_s);
        covey__json_name(&writer, "text");
        covey__json_put_text(&writer, a->text.data ? a->text.data : "", a->text.size);
    }
    covey__json_end_object(&writer);
    covey__buffer_byte(&out, '\n');
    pthread_mutex_lock(&l->lock);
    if (out.status || fwrite(out.data, 1, out.size, l->records) != out.size || fflush(l->records))
        fprintf(stderr, "swap_load: a record cannot be written\n");
    pthread_mutex_unlock(&l->lock);
    covey__buffer_free(&out);
}

static void begin_prompt(covey__buffer *prompt, const load *l, long index, long serial) {
    covey__buffer_clear(prompt);
    if (l->words) covey__buffer_format(prompt, "%ld %ld ", serial, index);
    for (long i = 0; i < l->words; i++)
        covey__buffer_format(prompt, "%s ", filler[(index + i) % WORDS]);
    covey__buffer_text(prompt, prompts[(index + serial) % PROMPTS]);
}

static void *run_stream(void *user) {
    const stream *s = user;
    load *l = s->load;
    char name[64];
    covey__env env;
    covey__buffer prompt;
    covey__env_init(&env);
    covey__buffer_init(&prompt, &env, ANSWER_MAX);
    for (long turn = 0, serial = 0; access(l->stop, F_OK) != 0; serial += turn == 0) {
        bool named = s->index % 2 == 1;
        answer a;
        if (turn == 0) begin_prompt(&prompt, l, s->index, serial);
        snprintf(name, sizeof name, "talk-%ld-%ld", s->index, serial);
        question q = {prompt.data, named ? name : NULL, l->tokens};
        ask(l->address, l->token, &q, &a);
        write_record(l, &q, &a);
        if (*a.failed) {
            nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
            turn = 0;
        } else {
            covey__buffer_append(&prompt, a.text.data, a.text.size);
            covey__buffer_format(&prompt, " and %s",
                                 prompts[(s->index + serial + turn + 1) % PROMPTS]);
            turn = named ? (turn + 1) % 3 : 0;
        }
        answer_free(&a);
    }
    covey__buffer_free(&prompt);
    return NULL;
}

static int run(int argc, char **argv) {
    long count = argc > 6 ? strtol(argv[6], NULL, 10) : 8;
    load l = {.address = argv[2], .token = argv[3], .stop = argv[5], .tokens = 24};
    pthread_t threads[STREAMS_MAX];
    stream streams[STREAMS_MAX];
    if (argc > 7) l.tokens = strtol(argv[7], NULL, 10);
    if (argc > 8) l.words = strtol(argv[8], NULL, 10);
    l.records = fopen(argv[4], "a");
    if (l.records == NULL || count < 1 || count > STREAMS_MAX) {
        fprintf(stderr, "swap_load: a file for records and 1 to %d streams expected\n",
                STREAMS_MAX);
        return 2;
    }
    pthread_mutex_init(&l.lock, NULL);
    long started = 0;
    for (; started < count; started++) {
        streams[started] = (stream){&l, started};
        if (pthread_create(&threads[started], NULL, run_stream, &streams[started])) break;
    }
    for (long i = 0; i < started; i++) pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&l.lock);
    return fclose(l.records) == 0 && started == count ? 0 : 1;
}

/* What `run` wrote, read back. */
typedef struct record {
    const char *failed; /* NULL: an answer */
    const char *prompt, *header, *ensemble, *text;
    double start, first_s, whole_s;
    int64_t tokens;
    bool prints_differ;
} record;

typedef struct record_list {
    covey__env env;
    covey__arena arena;
    record *items;
    size_t count, capacity;
} record_list;

static record record_of(const covey__json *line) {
    const covey__json *failed = covey__json_get(line, "failed");
    covey_error error = {0};
    record r = {.failed = failed ? failed->text : NULL,
                .prompt = text_of(line, "prompt"),
                .header = text_of(line, "header"),
                .ensemble = text_of(line, "ensemble"),
                .text = text_of(line, "text"),
                .prints_differ = true};
    bool whole =
        !covey__json_f64(line, "start", "", &r.start, &error) &&
        (failed || (!covey__json_f64(line, "first_s", "", &r.first_s, &error) &&
                    !covey__json_f64(line, "whole_s", "", &r.whole_s, &error) &&
                    !covey__json_bool(line, "prints_differ", "", &r.prints_differ, &error) &&
                    !covey__json_i64(line, "tokens", "", 0, INT32_MAX, &r.tokens, &error)));
    if (!whole) r.failed = "its record is not whole";
    return r;
}

static bool read_records(const char *path, record_list *list) {
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    bool good = file != NULL;
    *list = (record_list){.count = 0};
    covey__env_init(&list->env);
    covey__arena_init(&list->arena, &list->env, RECORDS_MAX);
    while (good && (size = getline(&line, &room, file)) > 0) {
        const covey__json *root = NULL;
        good = covey__json_parse(&list->arena, line, (size_t)size, COVEY__JSON_LIMITS_DEFAULT,
                                 &root, NULL) == COVEY_OK;
        if (good && list->count == list->capacity) {
            list->capacity = list->capacity * 2 + 256;
            record *more = realloc(list->items, list->capacity * sizeof *more);
            if (more == NULL) abort();
            list->items = more;
        }
        if (good) list->items[list->count++] = record_of(root);
    }
    free(line);
    if (file != NULL) fclose(file);
    if (!good) fprintf(stderr, "swap_load: %s: records expected\n", path);
    return good;
}

static void free_records(record_list *list) {
    free(list->items);
    covey__arena_free(&list->arena);
}

static int count_records(int argc, char **argv) {
    (void)argc;
    record_list list;
    if (!read_records(argv[2], &list)) return 2;
    size_t failed = 0;
    for (size_t i = 0; i < list.count; i++) {
        const record *r = &list.items[i];
        if (r->failed != NULL && failed++ < 5) printf("failed: %s\n", r->failed);
    }
    printf("requests %zu, failed %zu\n", list.count, failed);
    for (size_t i = 0; i < list.count; i++) { /* each name where it stands first */
        size_t same = 0;
        for (size_t k = 0; k < list.count && !list.items[i].failed; k++) {
            if (list.items[k].failed || strcmp(list.items[k].header, list.items[i].header))
                continue;
            if (k < i) break;
            same++;
        }
        if (same) printf("%s %zu\n", list.items[i].header, same);
    }
    free_records(&list);
    return failed ? 1 : 0;
}

/* A question that was asked, and what the server of the one ensemble says to it. */
typedef struct known {
    const record *asked;
    const char *address; /* NULL: of no ensemble that was named */
    answer answer;
} known;

typedef struct again {
    known *items;
    size_t count;
    atomic_size_t next;
} again;

static int compare_questions(const record *a, const record *b) {
    int order = strcmp(a->header, b->header);
    if (order == 0) order = strcmp(a->prompt, b->prompt);
    return order ? order : (a->tokens > b->tokens) - (a->tokens < b->tokens);
}

static int compare_known(const void *a, const void *b) {
    return compare_questions(((const known *)a)->asked, ((const known *)b)->asked);
}

static void *ask_again(void *user) {
    again *all = user;
    for (size_t i; (i = atomic_fetch_add(&all->next, 1)) < all->count;) {
        known *k = &all->items[i];
        question q = {k->asked->prompt, NULL, (long)k->asked->tokens};
        if (k->address != NULL) ask(k->address, NULL, &q, &k->answer);
    }
    return NULL;
}

static const char *address_of(const char *ensemble, int argc, char **argv) {
    size_t size = strlen(ensemble);
    for (int i = 3; i < argc; i++)
        if (strncmp(argv[i], ensemble, size) == 0 && argv[i][size] == '=')
            return argv[i] + size + 1;
    return NULL;
}

/* Each question once, in order. */
static void set_questions(again *all, const record_list *list, int argc, char **argv) {
    all->items = calloc(list->count + 1, sizeof *all->items);
    if (all->items == NULL) abort();
    for (size_t i = 0; i < list->count; i++)
        if (!list->items[i].failed) all->items[all->count++].asked = &list->items[i];
    if (all->count) qsort(all->items, all->count, sizeof *all->items, compare_known);
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (kept && compare_known(&all->items[kept - 1], &all->items[i]) == 0) continue;
        all->items[kept] = all->items[i];
        all->items[kept].address = address_of(all->items[kept].asked->header, argc, argv);
        kept++;
    }
    all->count = kept;
}

static bool is_mixed(const again *all, const record *r) {
    known key = {.asked = r};
    const known *k = bsearch(&key, all->items, all->count, sizeof key, compare_known);
    const char *said = !k || !k->address   ? "no server to ask was named"
                       : *k->answer.failed ? k->answer.failed
                                           : k->answer.text.data;
    bool given = k && k->address && !*k->answer.failed;
    if (given && said == NULL) said = ""; /* an answer of no words */
    bool agrees = strcmp(r->header, r->ensemble) == 0 && !r->prints_differ;
    if (agrees && given && strcmp(said, r->text) == 0) return false;
    fprintf(stderr, "mixed: %s (%s): \"%s\" was answered by \"%s\", and asked again: \"%s\"\n",
            r->header, r->ensemble, r->prompt, r->text, said);
    return true;
}

static int check(int argc, char **argv) {
    record_list list;
    again all = {.count = 0};
    pthread_t threads[ASKERS];
    size_t mixed = 0;
    if (!read_records(argv[2], &list)) return 2;
    set_questions(&all, &list, argc, argv);
    int started = 0;
    while (started < ASKERS && !pthread_create(&threads[started], NULL, ask_again, &all)) started++;
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < list.count; i++)
        mixed += !list.items[i].failed && is_mixed(&all, &list.items[i]);
    printf("%zu different questions asked again, %zu answers mixed\n", all.count, mixed);
    for (size_t i = 0; i < all.count; i++) answer_free(&all.items[i].answer);
    free(all.items);
    free_records(&list);
    return mixed || !started ? 1 : 0;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The smallest value that at least so large a share of all values do not exceed. */
static double percentile(const double *sorted, size_t count, size_t percent) {
    size_t rank = (count * percent + 99) / 100;
    return count ? sorted[rank ? rank - 1 : 0] : 0.0;
}

/* Prints the span from `from` up to `to` and gives its 99th percentile; 0 when it has none. */
static double put_span(const char *name, const record_list *list, double from, double to) {
    double *values = calloc(list->count + 1, sizeof *values);
    size_t count = 0;
    if (values == NULL) abort();
    for (size_t i = 0; i < list->count; i++) {
        const record *r = &list->items[i];
        if (!r->failed && r->start >= from && r->start < to) values[count++] = r->first_s * 1000.0;
    }
    qsort(values, count, sizeof *values, compare_doubles);
    double p50 = percentile(values, count, 50), p99 = percentile(values, count, 99);
    printf("%-7s %4zu answers, time to the first word: p50 %.0f ms, p99 %.0f ms\n", name, count,
           p50, p99);
    free(values);
    return p99;
}

static int spans(int argc, char **argv) {
    (void)argc;
    record_list list;
    if (!read_records(argv[2], &list)) return 2;
    double begun = strtod(argv[3], NULL), first = strtod(argv[4], NULL), last = first;
    size_t failed = 0, cut = 0;
    for (size_t i = 0; i < list.count; i++) {
        const record *r = &list.items[i];
        failed += r->failed != NULL;
        cut += r->failed != NULL && strncmp(r->failed, "cut:", 4) == 0;
        if (!r->failed && strcmp(r->header, argv[5]) == 0 && r->start + r->whole_s > last)
            last = r->start + r->whole_s;
    }
    printf("%8.2f s  the last answer of %s\n", last - begun, argv[5]);
    double before = put_span("before", &list, begun + WARM_S, first);
    double during = put_span("during", &list, first, last);
    put_span("after", &list, last, 1e18);
    bool good = before > 0.0 && during > 0.0 && during <= RATIO_MAX * before;
    printf(
        "requests %zu, failed %zu, cut %zu; p99 during is %.2f times that before (asked: at most "
        "%.1f)\n",
        list.count, failed, cut, before > 0.0 ? during / before : 0.0, RATIO_MAX);
    size_t told = 0;
    for (size_t i = 0; i < list.count; i++)
        if (list.items[i].failed && told++ < 5) printf("failed: %s\n", list.items[i].failed);
    free_records(&list);
    return good && !failed ? 0 : 1;
}

static int stamp(int argc, char **argv) {
    (void)argc, (void)argv;
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        printf("%.3f %s", seconds(CLOCK_REALTIME), line);
        fflush(stdout);
    }
    free(line);
    return 0;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int least, most;
        int (*main)(int argc, char **argv);
    } modes[] = {{"run", 6, 9, run},
                 {"check", 4, 1000, check},
                 {"count", 3, 3, count_records},
                 {"spans", 6, 6, spans},
                 {"stamp", 2, 2, stamp}};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return 2;
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
        if (strcmp(argv[1], modes[i].name) == 0 && argc >= modes[i].least && argc <= modes[i].most)
            return modes[i].main(argc, argv);
    fprintf(stderr, "usage: swap_load run HOST:PORT TOKEN RECORDS STOP [STREAMS [ANSWER_TOKENS "
                    "[WORDS]]]\n"
                    "       swap_load check RECORDS ENSEMBLE=HOST:PORT...\n"
                    "       swap_load count RECORDS\n"
                    "       swap_load spans RECORDS BEGUN FIRST OLD\n"
                    "       swap_load stamp\n");
    return 2;
}
