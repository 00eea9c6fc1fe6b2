/* GBNF to trees, as grammars/README.md of github.com/ggml-org/llama.cpp defines the notation:
 * rules, literals, classes, groups, repetition, comments. A rule ends with its line, but within
 * parentheses and behind a '|' lines go on. What its newer versions add for whole tokens (<name>,
 * <[id]>) is refused by name. Errors say line and column. Neighbours: guide_tree.c. */
#include "engine/guide.h"

#include <string.h>

#define NESTED_MAX 200
#define NAME_MAX   200

typedef struct parser {
    covey__guide_builder *builder;
    const char *text;
    size_t size, at;
    int nested;
    uint32_t *slots; /* rules by name: one more than the number, 0 is free */
} parser;

#define SLOTS (4u * COVEY__GUIDE_RULES_MAX)

/* Nodes that are gathered before their number is known. */
typedef struct list {
    covey__guide_node **items;
    size_t count, capacity;
} list;

static covey__guide_node *fail(parser *p, size_t at, covey_status status, const char *what) {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < p->size; i++) {
        column++;
        if (p->text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return covey__guide_refuse(p->builder, status, "line %zu, column %zu: %s", line, column, what);
}

static bool ok(const parser *p) {
    return p->builder->status == COVEY_OK;
}

static bool append(parser *p, list *l, covey__guide_node *node) {
    if (!node) return false;
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 8;
        covey__guide_node **items = covey__guide_room(p->builder, capacity, sizeof(*items));
        if (!items) return false;
        if (l->count) memcpy(items, l->items, l->count * sizeof *items);
        l->items = items;
        l->capacity = capacity;
    }
    l->items[l->count++] = node;
    return true;
}

/* ---- Characters ---- */

static int peek(const parser *p, size_t ahead) {
    return p->at + ahead < p->size ? (unsigned char)p->text[p->at + ahead] : -1;
}

static void skip_space(parser *p, bool lines) {
    for (int c; (c = peek(p, 0)) >= 0; p->at++) {
        if (c == '#') {
            while (p->at < p->size && p->text[p->at] != '\n' && p->text[p->at] != '\r') p->at++;
            if (p->at == p->size || !lines) return;
            continue;
        }
        if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r'))) return;
    }
}

static bool is_word(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

static int hex_digit(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool read_hex(parser *p, int digits, uint32_t *code) {
    *code = 0;
    for (int i = 0; i < digits; i++) {
        int digit = hex_digit(peek(p, (size_t)i));
        if (digit < 0) {
            fail(p, p->at, COVEY_ERROR_FORMAT,
                 "expected as many hexadecimal digits as \\x (2), "
                 "\\u (4) or \\U (8) want");
            return false;
        }
        *code = *code << 4 | (uint32_t)digit;
    }
    p->at += (size_t)digits;
    if (*code <= 0x10ffff && !(*code >= 0xd800 && *code <= 0xdfff)) return true;
    fail(p, p->at, COVEY_ERROR_FORMAT,
         "expected a Unicode character, found a surrogate or more "
         "than U+10FFFF");
    return false;
}

static bool read_escape(parser *p, uint32_t *code) {
    int c = peek(p, 1);
    p->at += 2;
    switch (c) {
    case 'x':
        return read_hex(p, 2, code);
    case 'u':
        return read_hex(p, 4, code);
    case 'U':
        return read_hex(p, 8, code);
    case 't':
        *code = '\t';
        return true;
    case 'r':
        *code = '\r';
        return true;
    case 'n':
        *code = '\n';
        return true;
    case '\\':
    case '"':
    case '[':
    case ']':
        *code = (uint32_t)c;
        return true;
    default:
        fail(p, p->at - 2, COVEY_ERROR_FORMAT,
             "unknown escape; known are \\x \\u \\U \\t \\r \\n \\\\ \\\" \\[ \\]");
        return false;
    }
}

static bool read_char(parser *p, uint32_t *code) {
    if (peek(p, 0) == '\\') return read_escape(p, code);
    covey__utf8_char c = covey__utf8_decode(p->text + p->at, p->size - p->at);
    if (!c.valid) {
        fail(p, p->at, COVEY_ERROR_FORMAT, "a byte that is no UTF-8");
        return false;
    }
    *code = c.code;
    p->at += c.size;
    return true;
}

static covey__guide_node *literal(parser *p) {
    size_t start = p->at++, size = 0, end = p->at;
    while (end < p->size && p->text[end] != '"' && p->text[end] != '\n')
        end += p->text[end] == '\\' ? 2 : 1;
    char *bytes = covey__guide_room(p->builder, end - start + 4, 1); /* escapes are longer */
    if (!bytes) return NULL;
    while (peek(p, 0) != '"') {
        uint32_t code;
        if (p->at == p->size || peek(p, 0) == '\n')
            return fail(p, start, COVEY_ERROR_FORMAT, "a literal without its end");
        if (!read_char(p, &code)) return NULL;
        size += covey__utf8_encode(code, bytes + size);
    }
    p->at++;
    return covey__guide_bytes(p->builder, bytes, size);
}

static covey__guide_node *class_of(parser *p) {
    size_t start = p->at++, count = 0, capacity = 16;
    bool negated = peek(p, 0) == '^';
    covey__guide_range *ranges = covey__guide_room(p->builder, capacity, sizeof *ranges);
    if (negated) p->at++;
    while (ranges && peek(p, 0) != ']') {
        covey__guide_range range;
        if (p->at == p->size || peek(p, 0) == '\n')
            return fail(p, start, COVEY_ERROR_FORMAT, "a class without its ]");
        if (!read_char(p, &range.first)) return NULL;
        range.last = range.first;
        if (peek(p, 0) == '-' && peek(p, 1) != ']') {
            p->at++;
            if (p->at == p->size || !read_char(p, &range.last))
                return fail(p, start, COVEY_ERROR_FORMAT, "a class without its ]");
            if (range.last < range.first)
                return fail(p, start, COVEY_ERROR_FORMAT,
                            "a range whose end is before its "
                            "beginning");
        }
        if (count == capacity) {
            covey__guide_range *more = covey__guide_room(p->builder, 2 * capacity, sizeof *ranges);
            if (!more) return NULL;
            memcpy(more, ranges, count * sizeof *ranges);
            ranges = more;
            capacity *= 2;
        }
        ranges[count++] = range;
    }
    if (!ranges) return NULL;
    p->at++;
    return covey__guide_chars(p->builder, ranges, count, negated);
}

/* ---- Rules ---- */

static uint32_t rule_named(parser *p, size_t start, size_t size) {
    covey__guide_builder *b = p->builder;
    const char *name = p->text + start;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    uint32_t slot = (hash ^ hash >> 15) & (SLOTS - 1);
    for (; p->slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
        const char *known = b->rules[p->slots[slot] - 1].name;
        if (strlen(known) == size && !memcmp(known, name, size)) return p->slots[slot] - 1;
    }
    uint32_t rule = covey__guide_rule_new(b, name, size, 1);
    if (rule != COVEY__GUIDE_NO_END) p->slots[slot] = rule + 1;
    return rule;
}

static size_t read_name(parser *p) {
    size_t size = 0;
    while (is_word(peek(p, size))) size++;
    if (size > NAME_MAX) {
        fail(p, p->at, COVEY_ERROR_LIMIT, "a name of more than 200 characters");
        return 0;
    }
    return size;
}

static covey__guide_node *alternatives(parser *p);

static covey__guide_node *group(parser *p) {
    size_t start = p->at++;
    if (p->nested == NESTED_MAX)
        return fail(p, start, COVEY_ERROR_LIMIT,
                    "expected at most 200 parentheses within each "
                    "other");
    p->nested++;
    skip_space(p, true);
    covey__guide_node *node = alternatives(p);
    p->nested--;
    if (node && peek(p, 0) != ')')
        return fail(p, start, COVEY_ERROR_FORMAT, "a parenthesis without its )");
    p->at++;
    return node;
}

static covey__guide_node *primary(parser *p) {
    static const covey__guide_range none[1];
    int c = peek(p, 0);
    if (c == '"') return literal(p);
    if (c == '[') return class_of(p);
    if (c == '(') return group(p);
    if (c == '.') {
        p->at++;
        return covey__guide_chars(p->builder, none, 0, true);
    }
    if (c == '<' || (c == '!' && peek(p, 1) == '<'))
        return fail(p, p->at, COVEY_ERROR_UNSUPPORTED,
                    "tokens in a grammar (<name>, <[id]>) are not supported; write their text as "
                    "a literal");
    size_t size = read_name(p), start = p->at;
    if (size == 0)
        return fail(p, p->at, COVEY_ERROR_FORMAT,
                    "expected a literal, a class, a group, a dot or the name of a rule");
    p->at += size;
    uint32_t rule = rule_named(p, start, size);
    return rule == COVEY__GUIDE_NO_END ? NULL : covey__guide_call(p->builder, rule);
}

static covey__guide_node *postfix(parser *p, covey__guide_node *node) {
    while (node) {
        covey__guide_quantifier q =
            covey__guide_quantifier_of(p->text + p->at, p->size - p->at, true);
        if (!q.size) return node;
        if (q.wrong) return fail(p, p->at, COVEY_ERROR_FORMAT, COVEY__GUIDE_BAD_COUNTS);
        p->at += q.size;
        node = covey__guide_repeat(p->builder, node, q.min, q.max);
        skip_space(p, p->nested > 0);
    }
    return NULL;
}

static covey__guide_node *sequence(parser *p) {
    list parts = {0};
    for (int c; (c = peek(p, 0)) >= 0;) {
        if (c == '|' || c == ')' || c == '\n' || c == '\r') break;
        covey__guide_node *part = primary(p);
        skip_space(p, p->nested > 0);
        if (!append(p, &parts, postfix(p, part))) return NULL;
    }
    return ok(p) ? covey__guide_sequence(p->builder, parts.items, parts.count) : NULL;
}

static covey__guide_node *alternatives(parser *p) {
    list ways = {0};
    for (;;) {
        if (!append(p, &ways, sequence(p))) return NULL;
        if (p->nested == 0) { /* a line that begins with '|' goes on */
            size_t here = p->at;
            skip_space(p, true);
            if (peek(p, 0) != '|') p->at = here;
        }
        if (peek(p, 0) != '|') break;
        p->at++;
        skip_space(p, true);
    }
    return covey__guide_choice(p->builder, ways.items, ways.count);
}

static void read_rule(parser *p) {
    size_t start = p->at, size = read_name(p);
    if (size == 0) {
        fail(p, start, COVEY_ERROR_FORMAT, "expected the name of a rule: letters, digits and '-'");
        return;
    }
    p->at += size;
    skip_space(p, false);
    if (peek(p, 0) != ':' || peek(p, 1) != ':' || peek(p, 2) != '=') {
        fail(p, p->at, COVEY_ERROR_FORMAT, "expected ::= behind the name of a rule");
        return;
    }
    p->at += 3;
    skip_space(p, true);
    uint32_t rule = rule_named(p, start, size);
    if (rule == COVEY__GUIDE_NO_END) return;
    if (p->builder->rules[rule].body) {
        fail(p, start, COVEY_ERROR_FORMAT, "a rule of this name stands above already");
        return;
    }
    covey__guide_node *body = alternatives(p);
    if (!body) return;
    p->builder->rules[rule].body = body;
    if (p->at < p->size && peek(p, 0) != '\n' && peek(p, 0) != '\r')
        fail(p, p->at, COVEY_ERROR_FORMAT, "expected the end of the line");
}

void covey__guide_gbnf(covey__guide_builder *builder, const char *text, size_t size) {
    parser p = {.builder = builder, .text = text, .size = size};
    builder->depth_max = COVEY__GUIDE_CALLS_MAX;
    p.slots = covey__guide_room(builder, SLOTS, sizeof *p.slots);
    if (!p.slots) return;
    parser root = {.builder = builder, .text = "root", .size = 4, .slots = p.slots};
    rule_named(&root, 0, 4); /* rule 0 */
    for (skip_space(&p, true); p.at < p.size && ok(&p); skip_space(&p, true)) read_rule(&p);
    for (uint32_t i = 0; i < builder->rule_count && ok(&p); i++) {
        char name[80];
        const char *of = builder->rules[i].name;
        if (!builder->rules[i].body)
            covey__guide_refuse(builder, COVEY_ERROR_FORMAT,
                                i == 0 ? "there is no rule \"%s\", which is the answer"
                                       : "the rule \"%s\" is used, but never defined",
                                covey__printable(of, strlen(of), name, sizeof name));
    }
}
