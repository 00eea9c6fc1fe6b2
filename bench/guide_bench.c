/* Masks of guided generation: what they take on a real vocabulary under real schemas, cold (the
 * automaton and the masks are new) and warm. The text of an example answer is fed as the tokens
 * that the tokenizer makes of it; before each, its mask is made, and must allow it.
 *
 *   guide_bench VOCABULARY.gguf      prints one line for each schema */
#include "base/runtime.h"
#include "engine/engine.h"
#include "engine/guide_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct example {
    const char *name, *schema, *answer;
    bool gbnf;
} example;

static const example examples[] = {
    {"person",
     "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":"
     "\"integer\",\"minimum\":0,\"maximum\":150},\"email\":{\"type\":\"string\",\"format\":"
     "\"email\"},\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"new\",\"vip\",\"blocked\"]}}},"
     "\"required\":[\"name\",\"age\",\"email\",\"tags\"],\"additionalProperties\":false}",
     "{\"name\": \"Ada Lovelace, Countess of \xc3\x8ele-de-France\", \"age\": 36, \"email\": "
     "\"ada.l@example.org\", \"tags\": [\"new\", \"vip\"]}",
     false},
    {"tool call",
     "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"tool\":{\"const\":\"set_timer\"},"
     "\"seconds\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":86400},\"label\":{\"type\":"
     "\"string\",\"maxLength\":40}},\"required\":[\"tool\",\"seconds\"]},{\"type\":\"object\","
     "\"properties\":{\"tool\":{\"const\":\"send_message\"},\"to\":{\"type\":\"string\","
     "\"maxLength\":80},\"text\":{\"type\":\"string\",\"maxLength\":400}},\"required\":[\"tool\","
     "\"to\",\"text\"]},{\"type\":\"object\",\"properties\":{\"tool\":{\"const\":\"calendar\"},"
     "\"when\":{\"type\":\"string\",\"format\":\"date-time\"},\"id\":{\"type\":\"string\","
     "\"format\":\"uuid\"}},\"required\":[\"tool\",\"when\",\"id\"]}]}",
     "{\"tool\": \"send_message\", \"to\": \"Grandmother\", \"text\": \"We will be there at "
     "seven, and we bring the cake. Don't wait with the tea!\"}",
     false},
    {"calendar",
     "{\"type\":\"object\",\"properties\":{\"when\":{\"type\":\"string\",\"format\":\"date-time\"},"
     "\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"price\":{\"type\":\"number\",\"minimum\":"
     "0,\"maximum\":9999.99,\"multipleOf\":0.01},\"code\":{\"type\":\"string\",\"pattern\":"
     "\"^[A-Z]{3}-\\\\d{4,8}$\"}},\"required\":[\"when\",\"id\",\"price\",\"code\"]}",
     "{\"when\": \"2026-11-20T13:45:00Z\", \"id\": \"123e4567-e89b-12d3-a456-426614174000\", "
     "\"price\": 49.95, \"code\": \"ABC-123456\"}",
     false},
    {"any JSON", "{}",
     "{\"menu\": {\"id\": \"file\", \"value\": [1, 2.5, -3e10, true, null], \"popup\": {\"items\": "
     "[{\"text\": \"New \\\"one\\\"\", \"on\": \"create()\"}, {\"text\": \"\xe6\x96\xb0\xe3\x81\x97"
     "\xe3\x81\x84\"}]}}}",
     false},
    {"tree",
     "{\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"string\"},\"c\":{"
     "\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n\"}}},\"required\":[\"v\",\"c\"]}},"
     "\"$ref\":\"#/$defs/n\"}",
     "{\"v\": \"root\", \"c\": [{\"v\": \"left branch\", \"c\": []}, {\"v\": \"right\", \"c\": "
     "[{\"v\": \"leaf\", \"c\": []}]}]}",
     false},
    {"GBNF: JSON",
     "root ::= object\nvalue ::= object | array | string | number | (\"true\" | \"false\" | "
     "\"null\") ws\nobject ::= \"{\" ws ( string \":\" ws value (\",\" ws string \":\" ws value)* "
     ")? \"}\" ws\narray ::= \"[\" ws ( value (\",\" ws value)* )? \"]\" ws\nstring ::= \"\\\"\" ( "
     "[^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" [0-9a-fA-F]{4}) )* \"\\\"\" ws\n"
     "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] "
     "[1-9]{0,15})? ws\nws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n",
     "{\n  \"name\": \"Ada\",\n  \"list\": [1, 2, 3.5],\n  \"nested\": {\"a\": null}\n}", true},
    {"GBNF: prose", "root ::= sentence+\nsentence ::= [A-Z] [^.!?]* [.!?] \" \"?\n",
     "The sea was calm that day. Nobody had seen the old ship leave! It came back at night.", true},
};

#define TOKENS_MAX 512
#define ROUNDS     5

static int by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void stop(const char *what, const covey_error *error) {
    fprintf(stderr, "guide_bench: %s: %s\n", what, error->message);
    exit(1);
}

/* Microseconds of each mask; the number of tokens. */
static size_t feed(covey__guide_run *run, const covey_token *tokens, size_t count, double *us,
                   covey_error *error) {
    for (size_t i = 0; i < count; i++) {
        const uint32_t *mask;
        double start = now_us();
        if (covey__guide_mask(run, &mask, error)) stop("mask", error);
        us[i] = now_us() - start;
        if (!(mask[tokens[i] / 32] >> tokens[i] % 32 & 1)) {
            fprintf(stderr, "guide_bench: token %zu is not allowed\n", i);
            exit(1);
        }
        if (covey__guide_take(run, tokens[i], error)) stop("take", error);
    }
    return count;
}

static void print_times(const char *what, double *us, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += us[i];
    qsort(us, count, sizeof *us, by_value);
    printf("  %s %6.1f / %6.1f / %6.1f", what, us[count / 2], sum / (double)count, us[count - 1]);
}

static size_t forced_tokens(covey__guide_run *run, const covey_token *tokens, size_t count,
                            covey_error *error) {
    size_t forced = 0;
    for (size_t i = 0; i < count;) {
        if (covey__guide_take(run, tokens[i++], error)) stop("take", error);
        const covey_token *more;
        size_t got = covey__guide_forced(run, 256, INT32_MAX, &more);
        for (size_t k = 0; k < got; k++)
            if (i + k >= count || more[k] != tokens[i + k]) return SIZE_MAX; /* other tokens */
        forced += got;
        i += got;
    }
    return forced;
}

static covey_guide *compile(covey_runtime *runtime, const example *e) {
    covey_error error = {.message = ""};
    covey_guide *guide = NULL;
    covey_status status =
        e->gbnf ? covey_guide_new_gbnf(runtime, e->schema, strlen(e->schema), NULL, &guide, &error)
                : covey_guide_new_json_schema(runtime, e->schema, strlen(e->schema), NULL, &guide,
                                              &error);
    if (status) stop(e->name, &error);
    return guide;
}

static void measure(const covey_model *model, covey__token_trie *trie, covey_runtime *runtime,
                    const example *e) {
    covey_error error = {.message = ""};
    covey_guide *guide = NULL;
    covey_token tokens[TOKENS_MAX];
    static double us[TOKENS_MAX];
    size_t count = 0;
    double start = now_us();
    guide = compile(runtime, e);
    double compile_us = now_us() - start;
    if (covey_model_tokenize(model, e->answer, strlen(e->answer), false, tokens, TOKENS_MAX, &count,
                             &error))
        stop(e->name, &error);
    printf("%-12s %3zu tokens, compiled in %5.0f us;", e->name, count, compile_us);
    covey_guide_free(guide);
    /* Each mask's best of some rounds: the machine has other things to do too. */
    static double best[2][TOKENS_MAX];
    for (int round = 0; round < ROUNDS; round++) {
        guide = compile(runtime, e);
        for (int warm = 0; warm < 2; warm++) {
            covey__guide_run *run;
            if (covey__guide_run_begin(guide, model->tokenizer, trie, &run, &error))
                stop("run", &error);
            feed(run, tokens, count, us, &error);
            for (size_t i = 0; i < count; i++)
                if (round == 0 || us[i] < best[warm][i]) best[warm][i] = us[i];
            covey__guide_run_end(run);
        }
        if (round + 1 < ROUNDS) covey_guide_free(guide);
    }
    print_times("cold", best[0], count);
    print_times("warm", best[1], count);
    covey__guide_run *run;
    if (covey__guide_run_begin(guide, model->tokenizer, trie, &run, &error)) stop("run", &error);
    size_t forced = forced_tokens(run, tokens, count, &error);
    if (forced == SIZE_MAX)
        printf("  forced: differ\n");
    else
        printf("  forced %zu\n", forced);
    covey__guide_run_end(run);
    covey_guide_free(guide);
}

/* A draw from the mask within a string, where nearly all tokens are allowed, and one from all. */
static void measure_draws(covey__token_trie *trie, int32_t vocabulary) {
    float *logits = malloc((size_t)vocabulary * sizeof *logits);
    covey__candidate *candidates = malloc((size_t)vocabulary * sizeof *candidates);
    uint8_t *seen = calloc((size_t)vocabulary / 8 + 1, 1);
    uint64_t random = 1;
    if (!logits || !candidates || !seen) exit(1);
    for (int32_t i = 0; i < vocabulary; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        logits[i] = (float)(random >> 40) * 0x1p-21f;
    }
    printf("draws, best of %d, us:", 20 * ROUNDS);
    for (int kind = 0; kind < 4; kind++) {
        covey_sampling sampling = COVEY_SAMPLING_INIT;
        sampling.temperature = kind < 2 ? 0.0f : 0.7f;
        double best = 1e9;
        for (int i = 0; i < 20 * ROUNDS; i++) {
            double start = now_us();
            covey__sample(&sampling, logits, (size_t)vocabulary, NULL, 0, candidates, seen,
                          kind % 2 ? trie->plain : NULL);
            double us = now_us() - start;
            if (us < best) best = us;
        }
        printf("  %s%s %.0f", kind < 2 ? "greedy" : "0.7", kind % 2 ? " under a mask" : "", best);
    }
    printf("\n");
    free(logits);
    free(candidates);
    free(seen);
}

int main(int argc, char **argv) {
    covey_error error = {.message = ""};
    covey_runtime *runtime = NULL;
    covey_model *model = NULL;
    covey__token_trie *trie = NULL;
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    if (argc != 2) {
        fprintf(stderr, "usage: guide_bench VOCABULARY.gguf\n");
        return 2;
    }
    source.path = argv[1];
    source.vocabulary_only = true;
    if (covey__runtime_new(NULL, &runtime, &error) ||
        covey_model_open(runtime, &source, &model, &error))
        stop(argv[1], &error);
    double start = now_us();
    if (covey__guide_trie_of(model, &trie, &error)) stop("trie", &error);
    printf("%s: trie of %u nodes for %u tokens (%u plain), %.1f MB, in %.0f ms; masks: median / "
           "mean / worst us\n",
           argv[1], trie->node_count, trie->token_count, trie->plain_tokens,
           (double)trie->bytes / 1e6, (now_us() - start) / 1000);
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        measure(model, trie, runtime, &examples[i]);
    measure_draws(trie, covey__tokenizer_specials_of(model->tokenizer).token_count);
    covey_model_close(model);
    covey_runtime_close(runtime);
    return 0;
}
