/* assistant-corpus: expands grammars into training and evaluation data, and proves that a held-out
 * grammar shares nothing with a training one. Output is JSON Lines; the same grammar, seed and
 * count give the same bytes everywhere. */
#include "corpus_grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: assistant-corpus generate GRAMMAR [--count N] [--seed N] [--version 1.0.0] [--only "
    "TOOL,TOOL]\n"
    "                        [--exclude FILE.jsonl] [--unique] [--intent] [--probes] [--words] "
    "[--break]\n"
    "       assistant-corpus disjoint TRAIN.grammar HELDOUT.grammar HELDOUT.jsonl [--count N] "
    "[--seed N]\n"
    "                        [--version 1.0.0]\n"
    "\n"
    "generate writes one {\"user\",\"assistant\"} a line to standard output, tools in turn.\n"
    "  --version   only tools that this version knows (default: all)\n"
    "  --exclude   leave out sentences that the file holds, whatever their case and punctuation\n"
    "  --unique    no sentence twice; tools that have no more to say are left out\n"
    "  --intent    add the tool's name as \"intent\": for covey eval\n"
    "  --probes    write {\"name\",\"prompt\",\"expect\"} instead: for covey bundle build\n"
    "  --words     write one word of the sentence and of the call a line, for a vocabulary whose\n"
    "              tokens never span a space: then a word has the same tokens wherever it stands\n"
    "  --break     the broken generator: times, durations and texts lose their last word\n"
    "disjoint ends with status 1 if a list entry, a template or a sentence is in both, where the\n"
    "sentences of the training side are those that generate would write.\n"
    "\n"
    "example: assistant-corpus generate train.grammar --count 300000 --seed 1 > train.jsonl\n";

typedef struct options {
    const char *paths[3];
    size_t path_count;
    long count;
    uint64_t seed;
    int version;
    const char *only, *exclude;
    bool unique, intent, probes, words;
    corpus_fault fault;
} options;

static options parse(int argc, char **argv) {
    options o = {.count = 1000, .seed = 1, .version = 10000 * 9999};
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (argv[i][0] != '-') {
            if (o.path_count == 3) {
                corpus_die("one argument too many: %s", argv[i]);
            }
            o.paths[o.path_count++] = argv[i];
        } else if (!strcmp(argv[i], "--unique")) {
            o.unique = true;
        } else if (!strcmp(argv[i], "--intent")) {
            o.intent = true;
        } else if (!strcmp(argv[i], "--probes")) {
            o.probes = true;
        } else if (!strcmp(argv[i], "--words")) {
            o.words = true;
        } else if (!strcmp(argv[i], "--break")) {
            o.fault = CORPUS_FAULT_LAST_WORD;
        } else if (!value) {
            corpus_die("%s is unknown or needs a value; see --help", argv[i]);
        } else if (!strcmp(argv[i], "--count")) {
            o.count = atol(argv[++i]);
        } else if (!strcmp(argv[i], "--seed")) {
            o.seed = strtoull(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "--version")) {
            o.version = corpus_version_parse(argv[++i]);
        } else if (!strcmp(argv[i], "--only")) {
            o.only = argv[++i];
        } else if (!strcmp(argv[i], "--exclude")) {
            o.exclude = argv[++i];
        } else {
            corpus_die("unknown option %s; see --help", argv[i]);
        }
    }
    return o;
}

static bool wanted(const options *o, const corpus_tool *tool) {
    bool known = o->version == 10000 * 9999
                     ? tool->until == 99999999
                     : tool->since <= o->version && o->version <= tool->until;
    if (!known || !o->only) {
        return known;
    }
    size_t size = strlen(tool->name);
    for (const char *p = o->only; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        if (!strncmp(p, tool->name, size) && (p[size] == ',' || !p[size])) {
            return true;
        }
    }
    return false;
}

static void print_json(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar(*text);
    }
    putchar('"');
}

/* The words of both sides in turn, a pair a line; the shorter side repeats its last. */
static void print_words(const corpus_item *item) {
    char user[CORPUS_TEXT_MAX], call[CORPUS_TEXT_MAX];
    memcpy(user, item->user, sizeof user);
    memcpy(call, item->call, sizeof call);
    char *left = user, *right = call;
    const char *a = "", *b = "";
    while (left || right) {
        a = left ? strsep(&left, " ") : a;
        b = right ? strsep(&right, " ") : b;
        printf("{\"user\":");
        print_json(a);
        printf(",\"assistant\":");
        print_json(b);
        printf("}\n");
    }
}

static void print_item(const options *o, const corpus_item *item, long index) {
    if (o->words) {
        print_words(item);
        return;
    }
    if (o->probes) {
        printf("{\"name\":\"%s-%ld\",\"prompt\":", item->tool->name, index);
        print_json(item->user);
        printf(",\"expect\":");
    } else {
        printf("{");
        if (o->intent) {
            printf("\"intent\":\"%s\",", item->tool->name);
        }
        printf("\"user\":");
        print_json(item->user);
        printf(",\"assistant\":");
    }
    print_json(item->call);
    printf("}\n");
}

/* The sentences of a file that this program wrote, normalized. */
static void read_sentences(const char *path, corpus_set *set) {
    char *text = corpus_read(path), *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *user = strstr(line, "\"user\":\"");
        if (!user) {
            continue;
        }
        user += 8;
        char *end = strstr(user, "\",\"assistant\"");
        if (!end) {
            corpus_die("%s: a line without \"assistant\"", path);
        }
        *end = 0;
        char normal[CORPUS_TEXT_MAX];
        corpus_normalize(user, normal, sizeof normal);
        corpus_set_add(set, normal);
    }
    free(text);
}

typedef void (*item_fn)(void *user, const corpus_item *item, long index);

/* False when 400 draws give nothing that may be used. */
static bool draw_new(const corpus_grammar *grammar, size_t tool, const options *o,
                     corpus_random *random, corpus_set *seen, const corpus_set *excluded,
                     corpus_item *item) {
    for (int attempt = 0; attempt < 400; attempt++) {
        char normal[CORPUS_TEXT_MAX];
        corpus_item_draw(grammar, &grammar->tools[tool], o->fault, random, item);
        corpus_normalize(item->user, normal, sizeof normal);
        if (!corpus_set_has(excluded, normal) && (!o->unique || corpus_set_add(seen, normal))) {
            return true;
        }
    }
    return false;
}

/* Tools in turn; one that finds nothing new is left out from then on. */
static void each_item(const corpus_grammar *grammar, const options *o, item_fn each, void *user) {
    corpus_set seen = {NULL, 0, 0}, excluded = {NULL, 0, 0};
    if (o->exclude) {
        read_sentences(o->exclude, &excluded);
    }
    bool *dry = corpus_resize(NULL, grammar->tool_count, sizeof *dry);
    for (size_t i = 0; i < grammar->tool_count; i++) {
        dry[i] = !wanted(o, &grammar->tools[i]);
    }
    corpus_random random = {o->seed * 0x2545F4914F6CDD1Du};
    corpus_item *item = corpus_resize(NULL, 1, sizeof *item);
    long made = 0;
    for (bool any = true; any && made < o->count;) {
        any = false;
        for (size_t i = 0; i < grammar->tool_count; i++) {
            for (uint32_t k = 0; !dry[i] && k < grammar->tools[i].weight && made < o->count; k++) {
                dry[i] = !draw_new(grammar, i, o, &random, &seen, &excluded, item);
                if (!dry[i]) {
                    any = true;
                    each(user, item, made++);
                }
            }
        }
    }
    free(item);
    free(dry);
    corpus_set_free(&seen);
    corpus_set_free(&excluded);
}

static void print_each(void *user, const corpus_item *item, long index) {
    print_item(user, item, index);
}

static int generate(const options *o) {
    if (o->path_count != 1) {
        corpus_die("generate needs one grammar");
    }
    corpus_grammar grammar;
    corpus_grammar_load(&grammar, o->paths[0]);
    each_item(&grammar, o, print_each, (void *)(uintptr_t)o);
    corpus_grammar_free(&grammar);
    return 0;
}

typedef struct comparison {
    const corpus_set *sentences;
    corpus_set skeletons;
    long shared;
} comparison;

static void compare_each(void *user, const corpus_item *item, long index) {
    (void)index;
    comparison *c = user;
    char normal[CORPUS_TEXT_MAX];
    corpus_normalize(item->user, normal, sizeof normal);
    if (corpus_set_has(c->sentences, normal)) {
        if (c->shared++ < 10) {
            fprintf(stderr, "sentence in both: %s\n", item->user);
        }
    }
    corpus_normalize(item->skeleton, normal, sizeof normal);
    corpus_set_add(&c->skeletons, normal);
}

/* Entries of open lists and templates that stand in both grammars. */
static long shared_lines(const corpus_grammar *a, const corpus_grammar *b) {
    corpus_set entries = {NULL, 0, 0};
    char normal[CORPUS_TEXT_MAX];
    long shared = 0;
    for (size_t i = 0; i < a->rule_count; i++) {
        for (size_t k = 0; a->rules[i].is_list && k < a->rules[i].line_count; k++) {
            corpus_normalize(a->rules[i].lines[k].text, normal, sizeof normal);
            corpus_set_add(&entries, normal);
        }
    }
    for (size_t i = 0; i < b->rule_count; i++) {
        for (size_t k = 0; b->rules[i].is_list && k < b->rules[i].line_count; k++) {
            corpus_normalize(b->rules[i].lines[k].text, normal, sizeof normal);
            if (corpus_set_has(&entries, normal)) {
                fprintf(stderr, "entry in both: %s\n", b->rules[i].lines[k].text);
                shared++;
            }
        }
    }
    corpus_set templates = {NULL, 0, 0};
    for (size_t i = 0; i < a->tool_count; i++) {
        for (size_t k = 0; k < a->tools[i].templates.line_count; k++) {
            corpus_set_add(&templates, a->tools[i].templates.lines[k].text);
        }
    }
    for (size_t i = 0; i < b->tool_count; i++) {
        for (size_t k = 0; k < b->tools[i].templates.line_count; k++) {
            if (corpus_set_has(&templates, b->tools[i].templates.lines[k].text)) {
                fprintf(stderr, "template in both: %s\n", b->tools[i].templates.lines[k].text);
                shared++;
            }
        }
    }
    corpus_set_free(&entries);
    corpus_set_free(&templates);
    return shared;
}

typedef struct skeleton_count {
    const corpus_set *known;
    long items, fresh;
} skeleton_count;

static void count_skeleton(void *user, const corpus_item *item, long index) {
    (void)index;
    skeleton_count *count = user;
    char normal[CORPUS_TEXT_MAX];
    corpus_normalize(item->skeleton, normal, sizeof normal);
    count->items++;
    count->fresh += !corpus_set_has(count->known, normal);
}

static int disjoint(const options *o) {
    if (o->path_count != 3) {
        corpus_die("disjoint needs two grammars and a file of items");
    }
    corpus_grammar train, heldout;
    corpus_grammar_load(&train, o->paths[0]);
    corpus_grammar_load(&heldout, o->paths[1]);
    corpus_set sentences = {NULL, 0, 0};
    read_sentences(o->paths[2], &sentences);
    long shared = shared_lines(&train, &heldout);
    options training = *o;
    training.exclude = o->paths[2];
    comparison c = {.sentences = &sentences};
    each_item(&train, &training, compare_each, &c);
    skeleton_count fresh = {&c.skeletons, 0, 0};
    options sample = *o;
    sample.count = 2000;
    sample.unique = true;
    each_item(&heldout, &sample, count_skeleton, &fresh);
    printf("%zu held-out sentences against %ld of training: %ld entries or templates and %ld "
           "sentences in both\n",
           sentences.count, o->count, shared, c.shared);
    printf("%ld of %ld sentences drawn from the held-out grammar have a frame (slots blanked) that "
           "training never shows\n",
           fresh.fresh, fresh.items);
    long bad = shared + c.shared + (sentences.count == 0);
    corpus_set_free(&sentences);
    corpus_set_free(&c.skeletons);
    corpus_grammar_free(&train);
    corpus_grammar_free(&heldout);
    return bad ? 1 : 0;
}

int main(int argc, char **argv) {
    if (argc < 2 || !strcmp(argv[1], "--help")) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    options o = parse(argc, argv);
    int status = 2;
    if (!strcmp(argv[1], "generate")) {
        status = generate(&o);
    } else if (!strcmp(argv[1], "disjoint")) {
        status = disjoint(&o);
    } else {
        fprintf(stderr, "assistant-corpus: unknown command %s; see --help\n", argv[1]);
    }
    if (fflush(stdout) != 0) {
        corpus_die("cannot write to standard output");
    }
    return status;
}
