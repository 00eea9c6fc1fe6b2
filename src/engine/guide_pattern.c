/* Regular expressions of JSON Schema's `pattern` to trees over the text of a JSON string. The
 * subset of ECMA-262: characters, '.', classes, \d \w \s and their opposites, groups, alternatives,
 * *, +,
 * ?, {m,n} (lazy ones too: the language is the same), and the anchors ^ and $ where an alternative
 * of the whole begins or ends. What a string's text cannot hold plainly is written by its shortest
 * escape. Everything else (assertions, references back, \b, \p) is refused by name. */
#include "engine/guide_schema.h"

#include <stdio.h>
#include <string.h>

#define NESTED_MAX 100
#define RANGES_MAX 256

typedef covey__guide_pattern piece;

typedef struct parser {
    covey__guide_builder *builder;
    const char *text, *where;
    size_t size, at;
    int nested;
    bool failed;
    covey__guide_node *variable; /* the last part of the whole that varies in length */
    size_t variable_count;       /* of them; each that is no repeat of a character counts twice */
} parser;

static const piece no_piece = {NULL, 0, 0, NULL};

static piece refuse(parser *p, covey_status status, const char *what) {
    char shown[80];
    covey__guide_refuse(p->builder, status, "%s: pattern: character %zu of \"%s\": %s", p->where,
                        p->at, covey__printable(p->text, p->size, shown, sizeof shown), what);
    p->failed = true;
    return no_piece;
}

static int peek(const parser *p, size_t ahead) {
    return p->at + ahead < p->size ? (unsigned char)p->text[p->at + ahead] : -1;
}

static uint32_t add(uint32_t a, uint32_t b) {
    uint64_t sum = (uint64_t)a + b;
    return a == COVEY__GUIDE_NO_END || sum >= COVEY__GUIDE_NO_END ? COVEY__GUIDE_NO_END
                                                                  : (uint32_t)sum;
}

static uint32_t times(uint32_t a, uint32_t b) {
    if (a == 0 || b == 0) return 0;
    uint64_t product = (uint64_t)a * b;
    return product >= COVEY__GUIDE_NO_END ? COVEY__GUIDE_NO_END : (uint32_t)product;
}

/* ---- Characters of JSON's strings ---- */

static covey__guide_node *escaped(covey__guide_builder *b, uint32_t code) {
    static const char letters[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *known = code ? strchr(letters, (int)code) : NULL;
    char text[8];
    if (known)
        snprintf(text, sizeof text, "\\%c", names[known - letters]);
    else
        snprintf(text, sizeof text, "\\u%04x", (unsigned)code);
    return covey__guide_text(b, text);
}

/* What of the ranges stands in text as it is. */
static size_t plain_ranges(covey__guide_set set, covey__guide_range *out) {
    static const covey__guide_range plain[] = {{0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0x10ffff}};
    size_t count = 0;
    for (size_t i = 0; i < set.count; i++)
        for (size_t j = 0; j < 3; j++) {
            covey__guide_range r = set.ranges[i];
            if (r.first < plain[j].first) r.first = plain[j].first;
            if (r.last > plain[j].last) r.last = plain[j].last;
            if (r.first <= r.last) out[count++] = r;
        }
    return count;
}

covey__guide_node *covey__guide_json_char(covey__guide_builder *b, covey__guide_set set) {
    covey__guide_node *ways[35];
    size_t count = 0;
    covey__guide_range *plain = covey__guide_room(b, 3 * set.count, sizeof *plain);
    if (!plain) return NULL;
    size_t plain_count = plain_ranges(set, plain);
    if (plain_count) ways[count++] = covey__guide_chars(b, plain, plain_count, false);
    for (uint32_t code = 0; code < 0x5d; code++)
        if ((code < 0x20 || code == '"' || code == '\\') && covey__guide_set_has(set, code))
            ways[count++] = escaped(b, code);
    return covey__guide_choice(b, ways, count);
}

covey__guide_node *covey__guide_any_char(covey__guide_builder *b) {
    static const covey__guide_range plain[] = {{0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0x10ffff}};
    static const covey__guide_range letters[] = {{'"', '"'}, {'\\', '\\'}, {'/', '/'}, {'b', 'b'},
                                                 {'f', 'f'}, {'n', 'n'},   {'r', 'r'}, {'t', 't'}};
    static const covey__guide_range hex[] = {{'0', '9'}, {'a', 'f'}, {'A', 'F'}};
    static const covey__guide_range no_d[] = {
        {'0', '9'}, {'a', 'c'}, {'e', 'f'}, {'A', 'C'}, {'E', 'F'}};
    static const covey__guide_range d[] = {{'d', 'd'}, {'D', 'D'}}, low[] = {{'0', '7'}};
    static const covey__guide_range high[] = {{'8', '9'}, {'a', 'b'}, {'A', 'B'}};
    static const covey__guide_range second[] = {{'c', 'f'}, {'C', 'F'}};
    covey__guide_node *digit = covey__guide_chars(b, hex, 3, false);
    covey__guide_node *two = covey__guide_repeat(b, digit, 2, 2);
    covey__guide_node *is_d = covey__guide_chars(b, d, 2, false);
    covey__guide_node *common[] = {covey__guide_chars(b, no_d, 5, false), digit, two};
    covey__guide_node *below[] = {is_d, covey__guide_chars(b, low, 1, false), two};
    covey__guide_node *pair[] = {
        is_d, covey__guide_chars(b, high, 3, false),   two, covey__guide_text(b, "\\u"),
        is_d, covey__guide_chars(b, second, 2, false), two};
    covey__guide_node *codes[] = {covey__guide_sequence(b, common, 3),
                                  covey__guide_sequence(b, below, 3),
                                  covey__guide_sequence(b, pair, 7)};
    covey__guide_node *code[] = {covey__guide_text(b, "u"), covey__guide_choice(b, codes, 3)};
    covey__guide_node *names[] = {covey__guide_chars(b, letters, 8, false),
                                  covey__guide_sequence(b, code, 2)};
    covey__guide_node *escape[] = {covey__guide_text(b, "\\"), covey__guide_choice(b, names, 2)};
    /* A rule, so that a character of a counted string is two states. */
    uint32_t rule = covey__guide_rule_new(b, "(escape)", 8, 0);
    if (rule == COVEY__GUIDE_NO_END) return NULL;
    b->rules[rule].body = covey__guide_sequence(b, escape, 2);
    covey__guide_node *ways[] = {covey__guide_chars(b, plain, 3, false),
                                 covey__guide_call(b, rule)};
    return covey__guide_choice(b, ways, 2);
}

/* ---- Classes ---- */

typedef struct ranges {
    covey__guide_range of[RANGES_MAX];
    size_t count;
} ranges;

static const covey__guide_range digit_set[] = {{'0', '9'}};
static const covey__guide_range word_set[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const covey__guide_range space_set[] = {
    {9, 13},          {0x20, 0x20},     {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
    {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};

static bool put_ranges(parser *p, ranges *out, const covey__guide_range *more, size_t count) {
    if (count > RANGES_MAX - out->count) {
        refuse(p, COVEY_ERROR_LIMIT, "expected at most 256 ranges in a class");
        return false;
    }
    memcpy(out->of + out->count, more, count * sizeof *more);
    out->count += count;
    return true;
}

/* \d, \w, \s and their opposites; false when the escape is none of them. */
static bool class_escape(parser *p, int c, ranges *out) {
    const covey__guide_range *known = c == 'd' || c == 'D'   ? digit_set
                                      : c == 'w' || c == 'W' ? word_set
                                      : c == 's' || c == 'S' ? space_set
                                                             : NULL;
    size_t count = known == digit_set ? 1 : known == word_set ? 4 : 10;
    if (!known) return false;
    if (c >= 'a') return put_ranges(p, out, known, count);
    covey__guide_set opposite = covey__guide_set_of(p->builder, known, count, true);
    return opposite.ranges && put_ranges(p, out, opposite.ranges, opposite.count);
}

static bool hex_code(parser *p, int digits, uint32_t *code) {
    *code = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        int c = peek(p, 0);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            refuse(p, COVEY_ERROR_FORMAT,
                   "expected two hexadecimal digits behind \\x, four behind "
                   "\\u");
            return false;
        }
        *code = *code << 4 | (uint32_t)digit;
    }
    if (*code < 0xd800 || *code > 0xdfff) return true;
    refuse(p, COVEY_ERROR_UNSUPPORTED, "surrogates are not supported");
    return false;
}

/* One character behind a backslash, which stands at p->at. */
static bool char_escape(parser *p, uint32_t *code) {
    static const char letters[] = "tnvfr", values[] = "\t\n\v\f\r";
    int c = peek(p, 1);
    const char *known = c > 0 ? strchr(letters, c) : NULL;
    p->at += 2;
    if (known) {
        *code = (uint32_t)values[known - letters];
        return true;
    }
    if (c == 'x' || c == 'u') return hex_code(p, c == 'x' ? 2 : 4, code);
    if (c == '0' && !(peek(p, 0) >= '0' && peek(p, 0) <= '9')) {
        *code = 0;
        return true;
    }
    if (c > 0 && strchr("^$\\.*+?()[]{}|/-\"'#@,:;=<>!%&~` _", c)) {
        *code = (uint32_t)c;
        return true;
    }
    p->at -= 2;
    refuse(
        p, COVEY_ERROR_UNSUPPORTED,
        "this escape is not supported (supported are \\d \\w \\s \\D \\W \\S \\t \\n \\v \\f \\r "
        "\\0 \\xHH \\uHHHH and escaped punctuation)");
    return false;
}

static bool class_char(parser *p, uint32_t *code) {
    if (p->at == p->size) {
        refuse(p, COVEY_ERROR_FORMAT, "a class without its ]");
        return false;
    }
    if (peek(p, 0) == '\\' && peek(p, 1) == 'b') {
        p->at += 2;
        *code = '\b';
        return true;
    }
    if (peek(p, 0) == '\\') return char_escape(p, code);
    covey__utf8_char c = covey__utf8_decode(p->text + p->at, p->size - p->at);
    p->at += c.size;
    *code = c.code;
    return true;
}

static piece class_of(parser *p) {
    ranges in = {.count = 0};
    p->at++;
    bool negated = peek(p, 0) == '^';
    if (negated) p->at++;
    while (peek(p, 0) != ']') {
        covey__guide_range range;
        if (peek(p, 0) == '\\' && class_escape(p, peek(p, 1), &in)) {
            p->at += 2;
            continue;
        }
        if (p->failed || !class_char(p, &range.first)) return no_piece;
        range.last = range.first;
        if (peek(p, 0) == '-' && peek(p, 1) != ']' && peek(p, 1) >= 0) {
            p->at++;
            if (peek(p, 0) == '\\' && peek(p, 1) >= 0 && strchr("dwsDWS", peek(p, 1)))
                return refuse(p, COVEY_ERROR_FORMAT, "a range that ends in a set");
            if (!class_char(p, &range.last)) return no_piece;
            if (range.last < range.first)
                return refuse(p, COVEY_ERROR_FORMAT, "a range whose end is before its beginning");
        }
        if (!put_ranges(p, &in, &range, 1)) return no_piece;
    }
    p->at++;
    covey__guide_set set = covey__guide_set_of(p->builder, in.of, in.count, negated);
    return (piece){covey__guide_json_char(p->builder, set), 1, 1, NULL};
}

static piece set_piece(parser *p, const covey__guide_range *of, size_t count, bool negated) {
    covey__guide_set set = covey__guide_set_of(p->builder, of, count, negated);
    return (piece){covey__guide_json_char(p->builder, set), 1, 1, NULL};
}

/* ---- Expressions ---- */

static piece alternatives(parser *p);

static piece group(parser *p) {
    if (p->nested == NESTED_MAX)
        return refuse(p, COVEY_ERROR_LIMIT, "expected at most 100 groups within each other");
    if (peek(p, 1) == '?' && peek(p, 2) != ':')
        return refuse(p, COVEY_ERROR_UNSUPPORTED, "assertions and named groups are not supported");
    p->at += peek(p, 1) == '?' ? 3 : 1;
    p->nested++;
    piece inner = alternatives(p);
    p->nested--;
    if (!p->failed && peek(p, 0) != ')')
        return refuse(p, COVEY_ERROR_FORMAT, "a group without its )");
    p->at++;
    return inner;
}

static piece escape_of(parser *p) {
    covey__guide_range one;
    ranges in = {.count = 0};
    if (class_escape(p, peek(p, 1), &in)) {
        p->at += 2;
        return set_piece(p, in.of, in.count, false);
    }
    if (p->failed || !char_escape(p, &one.first)) return no_piece;
    one.last = one.first;
    return set_piece(p, &one, 1, false);
}

static piece atom(parser *p) {
    static const covey__guide_range line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
    covey__guide_range one;
    int c = peek(p, 0);
    switch (c) {
    case '(':
        return group(p);
    case '[':
        return class_of(p);
    case '.':
        p->at++;
        return set_piece(p, line_ends, 3, true);
    case '\\':
        return escape_of(p);
    case '*':
    case '+':
    case '?':
        return refuse(p, COVEY_ERROR_FORMAT, "nothing to repeat");
    case '^':
    case '$':
        return refuse(p, COVEY_ERROR_UNSUPPORTED,
                      "anchors are supported at the beginning and the end alone");
    default:
        break;
    }
    covey__utf8_char code = covey__utf8_decode(p->text + p->at, p->size - p->at);
    p->at += code.size;
    one.first = one.last = code.code;
    return set_piece(p, &one, 1, false);
}

static piece quantified(parser *p, piece of) {
    covey__guide_quantifier q = covey__guide_quantifier_of(p->text + p->at, p->size - p->at, false);
    if (!q.size) return of;
    if (q.wrong) return refuse(p, COVEY_ERROR_FORMAT, COVEY__GUIDE_BAD_COUNTS);
    p->at += q.size;
    if (peek(p, 0) == '?') p->at++;
    int next = peek(p, 0);
    if (next == '*' || next == '+' || next == '?' || next == '{')
        return refuse(p, COVEY_ERROR_FORMAT, "nothing to repeat");
    piece out = {covey__guide_repeat(p->builder, of.node, q.min, q.max), times(of.min, q.min),
                 times(of.max, q.max), NULL};
    if (of.min == 1 && of.max == 1 && out.node && out.node->kind == COVEY__GUIDE_REPEAT)
        out.variable = out.node;
    if (!out.node) p->failed = true;
    return out;
}

/* Pieces one behind the other, which a list gathers in twos so that none is deep. */
static piece sequence(parser *p) {
    enum { MANY = 64 };
    covey__guide_node *parts[MANY];
    size_t count = 0;
    piece all = no_piece;
    bool top = p->nested == 0, from_start = false, to_end = false;
    if (top && peek(p, 0) == '^') from_start = ++p->at;
    for (int c; !p->failed && (c = peek(p, 0)) >= 0 && c != '|' && c != ')';) {
        if (top && c == '$' && (peek(p, 1) < 0 || peek(p, 1) == '|')) {
            to_end = ++p->at;
            continue;
        }
        piece next = atom(p);
        if (!p->failed) next = quantified(p, next);
        if (p->failed) return no_piece;
        if (count == MANY) {
            parts[0] = covey__guide_sequence(p->builder, parts, MANY);
            count = 1;
        }
        parts[count++] = next.node;
        all.min = add(all.min, next.min);
        all.max = add(all.max, next.max);
        if (top && next.min != next.max) {
            p->variable_count += next.variable ? 1 : 2;
            p->variable = next.variable;
        }
    }
    all.node = covey__guide_sequence(p->builder, parts, count);
    if (!top || p->failed || (from_start && to_end)) return all;
    covey__guide_node *any =
        covey__guide_repeat(p->builder, covey__guide_any_char(p->builder), 0, COVEY__GUIDE_NO_END);
    covey__guide_node *whole[] = {from_start ? covey__guide_empty(p->builder) : any, all.node,
                                  to_end ? covey__guide_empty(p->builder) : any};
    p->variable_count += 2;
    return (piece){covey__guide_sequence(p->builder, whole, 3), all.min, COVEY__GUIDE_NO_END, NULL};
}

static piece alternatives(parser *p) {
    piece all = sequence(p);
    while (!p->failed && peek(p, 0) == '|') {
        p->at++;
        if (p->nested == 0) p->variable_count += 2;
        piece next = sequence(p);
        covey__guide_node *ways[] = {all.node, next.node};
        all.node = covey__guide_choice(p->builder, ways, 2);
        if (next.min < all.min) all.min = next.min;
        if (next.max > all.max) all.max = next.max;
        if (!all.node) p->failed = true;
    }
    return all;
}

covey__guide_pattern covey__guide_pattern_of(covey__guide_builder *builder, const char *pattern,
                                             size_t size, const char *where) {
    parser p = {.builder = builder, .text = pattern, .where = where, .size = size};
    piece all = alternatives(&p);
    if (!p.failed && p.at < p.size) return refuse(&p, COVEY_ERROR_FORMAT, "a ) without its (");
    if (p.failed) return no_piece;
    all.variable = p.variable_count == 1 ? p.variable : NULL;
    return all;
}
