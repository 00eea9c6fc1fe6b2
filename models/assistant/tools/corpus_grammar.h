/* Grammars that generate what people say to a phone and the tool call that answers it. The language
 * is described in models/assistant/README.md. A program for the recipe: failures end it with a
 * message. */
#ifndef COVEY_ASSISTANT_CORPUS_GRAMMAR_H
#define COVEY_ASSISTANT_CORPUS_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One alternative of a rule, one entry of a list, or one template of a tool. */
typedef struct corpus_line {
    char *text;
    char *value; /* what a capture takes instead of the text; NULL: the text as it stands */
    uint32_t weight;
} corpus_line;

typedef struct corpus_rule {
    char *name;
    corpus_line *lines;
    size_t line_count, line_capacity;
    uint64_t weight_sum;
    bool is_list; /* an open class: its entries may not be shared with a held-out grammar */
} corpus_rule;

#define CORPUS_KEYS_MAX 4

typedef struct corpus_tool {
    char *name;
    char *keys[CORPUS_KEYS_MAX]; /* arguments in their canonical order */
    size_t key_count;
    uint32_t weight;  /* examples a turn */
    int since, until; /* versions that know it, as 10000 * major + 100 * minor + patch */
    corpus_rule templates;
} corpus_tool;

typedef struct corpus_noise {
    double lower, capital, stop, question, apostrophe, typo;
} corpus_noise;

typedef struct corpus_grammar {
    corpus_rule *rules;
    size_t rule_count, rule_capacity;
    corpus_tool *tools;
    size_t tool_count, tool_capacity;
    corpus_noise noise; /* probabilities, 0 to 1 */
} corpus_grammar;

/* Reads a grammar; lists are looked for beside it. Rules end up sorted by name. */
void corpus_grammar_load(corpus_grammar *grammar, const char *path);
void corpus_grammar_free(corpus_grammar *grammar);
/* NULL when there is none. */
const corpus_rule *corpus_grammar_find(const corpus_grammar *grammar, const char *name,
                                       size_t name_size);
int corpus_version_parse(const char *text);

/* A counter-based generator: the same seed gives the same corpus on every machine. */
typedef struct corpus_random {
    uint64_t state;
} corpus_random;
uint64_t corpus_random_next(corpus_random *random);
uint32_t corpus_random_below(corpus_random *random, uint64_t bound);
bool corpus_random_chance(corpus_random *random, double probability);

#define CORPUS_TEXT_MAX 600

/* How the corpus of a training gone wrong is broken. */
typedef enum corpus_fault { CORPUS_FAULT_NONE, CORPUS_FAULT_LAST_WORD } corpus_fault;

/* One example. */
typedef struct corpus_item {
    const corpus_tool *tool;
    char user[CORPUS_TEXT_MAX];
    char call[CORPUS_TEXT_MAX];
    char skeleton[CORPUS_TEXT_MAX]; /* user with each capture as <key> */
} corpus_item;

/* Draws one example of `tool`. */
void corpus_item_draw(const corpus_grammar *grammar, const corpus_tool *tool, corpus_fault fault,
                      corpus_random *random, corpus_item *item);

/* Lower case, without punctuation, single spaces: what counts as the same sentence. */
void corpus_normalize(const char *text, char *out, size_t capacity);

/* A set of strings by their 64-bit hash (FNV-1a). */
typedef struct corpus_set {
    uint64_t *slots;
    size_t count, capacity;
} corpus_set;
bool corpus_set_add(corpus_set *set, const char *text); /* false when it was there */
bool corpus_set_has(const corpus_set *set, const char *text);
void corpus_set_free(corpus_set *set);

/* Ends the program with status 1 and "assistant-corpus: message". */
_Noreturn void corpus_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *corpus_resize(void *pointer, size_t count, size_t size);
/* A whole file with a NUL at its end; ends the program when it cannot be read. */
char *corpus_read(const char *path);

#endif
