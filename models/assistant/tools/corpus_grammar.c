/* Reads grammar files. A line that starts at the margin opens a block (list, words, rule, tool,
 * noise, include); indented lines are its alternatives. Invariant: once loaded, every <name> that a
 * line mentions exists, so that drawing cannot fail. corpus_expand.c draws. */
#include "corpus_grammar.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    corpus_grammar *grammar;
    const char *path;
    int line_number;
    size_t rule; /* the open block: a rule, or a tool when `in_tool` */
    bool in_tool, in_block;
} reader;

static char *copy(const char *text, size_t size) {
    char *result = corpus_resize(NULL, size + 1, 1);
    memcpy(result, text, size);
    result[size] = 0;
    return result;
}

static char *trim(char *text) {
    while (isspace((unsigned char)*text)) {
        text++;
    }
    size_t size = strlen(text);
    while (size && isspace((unsigned char)text[size - 1])) {
        text[--size] = 0;
    }
    return text;
}

int corpus_version_parse(const char *text) {
    int major = 0, minor = 0, patch = 0;
    if (sscanf(text, "%d.%d.%d", &major, &minor, &patch) != 3) {
        corpus_die("version \"%s\" should look like 1.0.0", text);
    }
    return major * 10000 + minor * 100 + patch;
}

static void add_line(corpus_rule *rule, const char *text, const char *value, uint32_t weight) {
    if (rule->line_count == rule->line_capacity) {
        rule->line_capacity = rule->line_capacity ? rule->line_capacity * 2 : 8;
        rule->lines = corpus_resize(rule->lines, rule->line_capacity, sizeof *rule->lines);
    }
    rule->lines[rule->line_count++] =
        (corpus_line){copy(text, strlen(text)), value ? copy(value, strlen(value)) : NULL, weight};
    rule->weight_sum += weight;
}

static size_t open_rule(reader *in, const char *name, bool is_list) {
    corpus_grammar *grammar = in->grammar;
    for (size_t i = 0; i < grammar->rule_count; i++) {
        if (!strcmp(grammar->rules[i].name, name)) {
            corpus_die("%s:%d: \"%s\" is defined twice", in->path, in->line_number, name);
        }
    }
    if (grammar->rule_count == grammar->rule_capacity) {
        grammar->rule_capacity = grammar->rule_capacity ? grammar->rule_capacity * 2 : 32;
        grammar->rules =
            corpus_resize(grammar->rules, grammar->rule_capacity, sizeof *grammar->rules);
    }
    grammar->rules[grammar->rule_count] =
        (corpus_rule){.name = copy(name, strlen(name)), .is_list = is_list};
    return grammar->rule_count++;
}

static char *beside(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    char *result = corpus_resize(NULL, folder + strlen(name) + 1, 1);
    memcpy(result, path, folder);
    strcpy(result + folder, name);
    return result;
}

/* "list NAME FILE": an entry a line. "words NAME FILE": entries between any white space. */
static void read_list(reader *in, const char *name, const char *file, const char *separators) {
    size_t rule = open_rule(in, name, true);
    char *path = beside(in->path, file);
    char *text = corpus_read(path), *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *comment = strchr(line, '#');
        if (comment) {
            *comment = 0;
        }
        char *pieces = line, *piece;
        while ((piece = strsep(&pieces, separators)) != NULL) {
            piece = trim(piece);
            if (*piece) {
                add_line(&in->grammar->rules[rule], piece, NULL, 1);
            }
        }
    }
    if (!in->grammar->rules[rule].line_count) {
        corpus_die("%s: holds no entry", path);
    }
    free(text);
    free(path);
}

/* "tool NAME key key ... weight=2 since=1.1.0 until=1.0.0" */
static void open_tool(reader *in, char *words) {
    corpus_grammar *grammar = in->grammar;
    if (grammar->tool_count == grammar->tool_capacity) {
        grammar->tool_capacity = grammar->tool_capacity ? grammar->tool_capacity * 2 : 32;
        grammar->tools =
            corpus_resize(grammar->tools, grammar->tool_capacity, sizeof *grammar->tools);
    }
    corpus_tool tool = {.until = 99999999, .weight = 1};
    char *word;
    while ((word = strsep(&words, " \t")) != NULL) {
        if (!*word) {
            continue;
        }
        if (!strncmp(word, "since=", 6)) {
            tool.since = corpus_version_parse(word + 6);
        } else if (!strncmp(word, "until=", 6)) {
            tool.until = corpus_version_parse(word + 6);
        } else if (!strncmp(word, "weight=", 7)) {
            tool.weight = (uint32_t)strtoul(word + 7, NULL, 10);
        } else if (!tool.name) {
            tool.name = copy(word, strlen(word));
        } else if (tool.key_count < CORPUS_KEYS_MAX) {
            tool.keys[tool.key_count++] = copy(word, strlen(word));
        } else {
            corpus_die("%s:%d: more than %d keys", in->path, in->line_number, CORPUS_KEYS_MAX);
        }
    }
    if (!tool.name) {
        corpus_die("%s:%d: a tool needs a name", in->path, in->line_number);
    }
    grammar->tools[grammar->tool_count++] = tool;
}

static void set_noise(reader *in, const char *name, const char *number) {
    corpus_noise *noise = &in->grammar->noise;
    struct {
        const char *name;
        double *field;
    } fields[] = {
        {"lower", &noise->lower},       {"capital", &noise->capital},       {"stop", &noise->stop},
        {"question", &noise->question}, {"apostrophe", &noise->apostrophe}, {"typo", &noise->typo}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (!strcmp(fields[i].name, name)) {
            *fields[i].field = atof(number);
            return;
        }
    }
    corpus_die("%s:%d: no such noise: %s", in->path, in->line_number, name);
}

static void read_file(corpus_grammar *grammar, const char *path);

static void read_header(reader *in, char *line) {
    char *rest = line, *kind = strsep(&rest, " \t");
    rest = trim(rest ? rest : kind + strlen(kind));
    in->in_block = false;
    if (!strcmp(kind, "rule")) {
        in->rule = open_rule(in, rest, false);
        in->in_tool = false;
        in->in_block = true;
        return;
    }
    if (!strcmp(kind, "tool")) {
        open_tool(in, rest);
        in->in_tool = true;
        in->in_block = true;
        return;
    }
    if (!strcmp(kind, "include")) {
        char *path = beside(in->path, rest);
        read_file(in->grammar, path);
        free(path);
        return;
    }
    char *second = rest;
    char *first = strsep(&second, " \t");
    if (!second) {
        corpus_die("%s:%d: expected \"%s NAME VALUE\"", in->path, in->line_number, kind);
    }
    second = trim(second);
    if (!strcmp(kind, "list") || !strcmp(kind, "words")) {
        read_list(in, first, second, !strcmp(kind, "list") ? "\n" : " \t");
    } else if (!strcmp(kind, "noise")) {
        set_noise(in, first, second);
    } else {
        corpus_die("%s:%d: unknown block \"%s\"", in->path, in->line_number, kind);
    }
}

static void read_alternative(reader *in, char *line) {
    if (!in->in_block) {
        corpus_die("%s:%d: an indented line outside a rule or tool", in->path, in->line_number);
    }
    uint32_t weight = 1;
    if (*line == '*') {
        char *end;
        weight = (uint32_t)strtoul(line + 1, &end, 10);
        line = trim(end);
    }
    char *value = strstr(line, "=>");
    if (value) {
        *value = 0;
        value = trim(value + 2);
        line = trim(line);
    }
    corpus_rule *rule = in->in_tool ? &in->grammar->tools[in->grammar->tool_count - 1].templates
                                    : &in->grammar->rules[in->rule];
    add_line(rule, line, value, weight);
}

static void read_file(corpus_grammar *grammar, const char *path) {
    reader in = {.grammar = grammar, .path = path};
    char *text = corpus_read(path), *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        in.line_number++;
        bool indented = *line == ' ' || *line == '\t';
        char *body = trim(line);
        if (!*body || *body == '#') {
            continue;
        }
        if (indented) {
            read_alternative(&in, body);
        } else {
            read_header(&in, body);
        }
    }
    free(text);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const corpus_rule *)a)->name, ((const corpus_rule *)b)->name);
}

const corpus_rule *corpus_grammar_find(const corpus_grammar *grammar, const char *name,
                                       size_t name_size) {
    size_t low = 0, high = grammar->rule_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *other = grammar->rules[middle].name;
        int order = strncmp(name, other, name_size);
        if (order == 0 && other[name_size]) {
            order = -1;
        }
        if (order == 0) {
            return &grammar->rules[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/* Every <name> exists, every bracket closes, every captured key is the tool's. */
static void check_line(const corpus_grammar *grammar, const char *owner, const char *text) {
    int depth = 0;
    for (const char *p = text; *p; p++) {
        depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
        if (depth < 0) {
            break;
        }
        if (*p != '<') {
            continue;
        }
        const char *end = strchr(p, '>');
        if (!end) {
            corpus_die("%s: \"%s\": a '<' without '>'", owner, text);
        }
        const char *colon = memchr(p, ':', (size_t)(end - p));
        const char *name = colon ? colon + 1 : p + 1;
        name += *name == '^';
        if (*name != '!' && *name != '#' && *name != '@' && strncmp(name, "BODY>", 5) != 0 &&
            !corpus_grammar_find(grammar, name, (size_t)(end - name))) {
            corpus_die("%s: \"%s\": no rule \"%.*s\"", owner, text, (int)(end - name), name);
        }
        p = end;
    }
    if (depth) {
        corpus_die("%s: \"%s\": brackets do not match", owner, text);
    }
}

static void check_rule(const corpus_grammar *grammar, const corpus_rule *rule, const char *name) {
    if (!rule->weight_sum) {
        corpus_die("%s: no alternatives", name);
    }
    for (size_t i = 0; !rule->is_list && i < rule->line_count; i++) {
        check_line(grammar, name, rule->lines[i].text);
    }
}

void corpus_grammar_load(corpus_grammar *grammar, const char *path) {
    memset(grammar, 0, sizeof *grammar);
    read_file(grammar, path);
    qsort(grammar->rules, grammar->rule_count, sizeof *grammar->rules, by_name);
    for (size_t i = 0; i < grammar->rule_count; i++) {
        check_rule(grammar, &grammar->rules[i], grammar->rules[i].name);
    }
    for (size_t i = 0; i < grammar->tool_count; i++) {
        check_rule(grammar, &grammar->tools[i].templates, grammar->tools[i].name);
    }
    if (!grammar->tool_count || !corpus_grammar_find(grammar, "sentence", 8) ||
        !corpus_grammar_find(grammar, "remark", 6)) {
        corpus_die("%s: needs tools and the rules \"sentence\" and \"remark\"", path);
    }
}

static void free_rule(corpus_rule *rule) {
    for (size_t i = 0; i < rule->line_count; i++) {
        free(rule->lines[i].text);
        free(rule->lines[i].value);
    }
    free(rule->lines);
    free(rule->name);
}

void corpus_grammar_free(corpus_grammar *grammar) {
    for (size_t i = 0; i < grammar->rule_count; i++) {
        free_rule(&grammar->rules[i]);
    }
    for (size_t i = 0; i < grammar->tool_count; i++) {
        for (size_t k = 0; k < grammar->tools[i].key_count; k++) {
            free(grammar->tools[i].keys[k]);
        }
        free(grammar->tools[i].name);
        free_rule(&grammar->tools[i].templates);
    }
    free(grammar->rules);
    free(grammar->tools);
}
