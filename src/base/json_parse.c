/* The JSON parser (RFC 8259). One pass over the input with a stack of frames in the arena, so that
 * depth costs no stack of the thread. It is strict: one value, no byte-order mark, no comments, no
 * trailing commas, UTF-8 only, no lone surrogates, no duplicate names. Bytes, depth and nodes are
 * bounded before memory is taken. Members of an object are checked for duplicates by sorting them
 * when the object closes: n log n whatever the names are. Neighbours: json_get.c reads the tree,
 * json_write.c makes text. */
#include "base/error.h"
#include "base/json.h"
#include "base/sort.h"
#include "base/utf8_sequence.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FEW_MEMBERS 8 /* compared pairwise */

/* An array or object that is still open. */
typedef struct frame {
    struct frame *up;
    covey__json *node;
    covey__json *last; /* its last child so far */
} frame;

typedef struct parser {
    covey__arena *arena;
    const char *text;
    size_t size, at;
    covey__json_limits limits;
    size_t node_count, depth;
    frame *top;   /* the innermost open one; NULL at the root */
    frame *spare; /* closed ones, for use again */
    covey_error *error;
} parser;

static covey_status fail_at(parser *p, size_t offset, covey_status status, const char *format, ...)
    COVEY_PRINTF(4, 5);

/* An error at a byte of the input, said as line and column (both from 1, columns in characters). */
static covey_status fail_at(parser *p, size_t offset, covey_status status, const char *format,
                            ...) {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (p->text[i] == '\n')
            line++, column = 1;
        else if (((unsigned char)p->text[i] & 0xc0) != 0x80)
            column++;
    }
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return covey__fail(p->error, status, "json: line %zu, column %zu: %s", line, column, what);
}

/* "expected X, found Y" at the present byte. */
static covey_status fail_expected(parser *p, const char *expected) {
    if (p->at >= p->size)
        return fail_at(p, p->at, COVEY_ERROR_FORMAT, "expected %s, found the end", expected);
    char found[8];
    size_t length = covey__utf8_sequence(p->text + p->at, p->size - p->at);
    unsigned char byte = (unsigned char)p->text[p->at];
    if (length == 0 || byte < 0x20)
        return fail_at(p, p->at, COVEY_ERROR_FORMAT, "expected %s, found the byte 0x%02x", expected,
                       (unsigned)byte);
    return fail_at(p, p->at, COVEY_ERROR_FORMAT, "expected %s, found '%s'", expected,
                   covey__printable(p->text + p->at, length, found, sizeof found));
}

static void *take(parser *p, size_t size, covey_status *status) {
    void *memory = covey__arena_alloc(p->arena, size);
    *status = memory != NULL ? COVEY_OK : covey__arena_fail(p->arena, size, p->error, "json");
    return memory;
}

static void skip_space(parser *p) {
    while (p->at < p->size) {
        char c = p->text[p->at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
        p->at++;
    }
}

static bool next_is(const parser *p, char c) {
    return p->at < p->size && p->text[p->at] == c;
}

static bool skip_char(parser *p, char c) {
    if (!next_is(p, c)) return false;
    p->at++;
    return true;
}

/* Four hex digits at `at`; false when they are not. */
static bool read_hex4(const parser *p, size_t at, uint32_t *value) {
    if (p->size - at < 4) return false;
    *value = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = p->text[at + i];
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A') + 10;
        else
            return false;
        *value = *value << 4 | digit;
    }
    return true;
}

static size_t encode_utf8(uint32_t code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00 >> length & 0xff) | code);
    return length;
}

/* The \u escape at the present 'u', with its second half where it needs one. */
static covey_status read_unicode_escape(parser *p, char *out, size_t *used) {
    size_t begin = p->at - 1;
    uint32_t code, low;
    if (!read_hex4(p, p->at + 1, &code))
        return fail_at(p, begin, COVEY_ERROR_FORMAT, "expected four hex digits after \\u");
    p->at += 5;
    if (code >= 0xd800 && code <= 0xdfff) {
        bool pair = code < 0xdc00 && p->size - p->at >= 6 && p->text[p->at] == '\\' &&
                    p->text[p->at + 1] == 'u' && read_hex4(p, p->at + 2, &low) && low >= 0xdc00 &&
                    low <= 0xdfff;
        if (!pair)
            return fail_at(p, begin, COVEY_ERROR_FORMAT, "\\u%04x is half of a surrogate pair",
                           (unsigned)code);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        p->at += 6;
    }
    *used += encode_utf8(code, out + *used);
    return COVEY_OK;
}

static covey_status read_escape(parser *p, char *out, size_t *used) {
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    p->at++;
    if (next_is(p, 'u')) return read_unicode_escape(p, out, used);
    const char *found =
        p->at < p->size && p->text[p->at] != '\0' ? strchr(names, p->text[p->at]) : NULL;
    if (found == NULL) return fail_expected(p, "an escape such as \\n or \\u0041");
    out[(*used)++] = values[found - names];
    p->at++;
    return COVEY_OK;
}

/* Bytes from behind the opening quote to the closing one; the input's end when there is none. */
static size_t raw_length(const parser *p) {
    size_t at = p->at;
    while (at < p->size && p->text[at] != '"')
        at += p->text[at] == '\\' && at + 1 < p->size ? 2 : 1;
    return at - p->at;
}

/* The string at the present quote, decoded: never longer than it was written. */
static covey_status read_string(parser *p, const char **text, size_t *size) {
    p->at++;
    size_t raw = raw_length(p);
    if (raw >= p->size - p->at)
        return fail_at(p, p->at - 1, COVEY_ERROR_FORMAT, "the string does not end");
    covey_status status;
    char *out = take(p, raw + 1, &status);
    size_t used = 0;
    while (status == COVEY_OK && p->text[p->at] != '"') {
        if (p->text[p->at] == '\\') {
            status = read_escape(p, out, &used);
            continue;
        }
        size_t length = covey__utf8_sequence(p->text + p->at, p->size - p->at);
        if (length == 0) return fail_at(p, p->at, COVEY_ERROR_FORMAT, "the string is not UTF-8");
        if ((unsigned char)p->text[p->at] < 0x20)
            return fail_at(p, p->at, COVEY_ERROR_FORMAT,
                           "a control character in a string, expected \\u%04x",
                           (unsigned)p->text[p->at]);
        memcpy(out + used, p->text + p->at, length);
        used += length;
        p->at += length;
    }
    if (status != COVEY_OK) return status;
    p->at++;
    *text = out;
    *size = used;
    return COVEY_OK;
}

static bool skip_digits(parser *p) {
    size_t begin = p->at;
    while (p->at < p->size && p->text[p->at] >= '0' && p->text[p->at] <= '9') p->at++;
    return p->at > begin;
}

static covey_status read_number(parser *p, covey__json *node) {
    size_t begin = p->at;
    (void)skip_char(p, '-');
    if (!skip_char(p, '0') && !skip_digits(p)) return fail_expected(p, "a digit");
    if (skip_char(p, '.') && !skip_digits(p)) return fail_expected(p, "a digit after the point");
    if (next_is(p, 'e') || next_is(p, 'E')) {
        p->at++;
        if (!skip_char(p, '+')) (void)skip_char(p, '-');
        if (!skip_digits(p)) return fail_expected(p, "a digit of the exponent");
    }
    node->kind = COVEY__JSON_NUMBER;
    node->size = p->at - begin;
    covey_status status;
    char *copy = take(p, node->size + 1, &status);
    if (status != COVEY_OK) return status;
    memcpy(copy, p->text + begin, node->size);
    node->text = copy;
    return COVEY_OK;
}

static bool skip_word(parser *p, const char *word) {
    size_t size = strlen(word);
    if (p->size - p->at < size || memcmp(p->text + p->at, word, size) != 0) return false;
    p->at += size;
    return true;
}

static covey_status read_scalar(parser *p, covey__json *node) {
    char c = p->at < p->size ? p->text[p->at] : '\0';
    if (c == '"') {
        node->kind = COVEY__JSON_STRING;
        return read_string(p, &node->text, &node->size);
    }
    if (c == '-' || (c >= '0' && c <= '9')) return read_number(p, node);
    if (skip_word(p, "null")) return COVEY_OK;
    node->kind = COVEY__JSON_BOOL;
    node->boolean = skip_word(p, "true");
    if (node->boolean || skip_word(p, "false")) return COVEY_OK;
    return fail_expected(p, "a value");
}

static covey_status new_node(parser *p, covey__json **out) {
    if (p->node_count == p->limits.node_count_max)
        return fail_at(p, p->at, COVEY_ERROR_LIMIT, "more than %zu values",
                       p->limits.node_count_max);
    p->node_count++;
    covey_status status;
    *out = take(p, sizeof **out, &status);
    if (status == COVEY_OK) (*out)->offset = p->at;
    return status;
}

/* The name and colon before a member's value. */
static covey_status read_name(parser *p, covey__json *node) {
    if (!next_is(p, '"')) return fail_expected(p, "a name in quotes");
    covey_status status = read_string(p, &node->name, &node->name_size);
    if (status != COVEY_OK) return status;
    skip_space(p);
    if (!skip_char(p, ':')) return fail_expected(p, "':'");
    skip_space(p);
    node->offset = p->at;
    return COVEY_OK;
}

static void attach(frame *parent, covey__json *node) {
    if (parent->last == NULL)
        parent->node->child = node;
    else
        parent->last->next = node;
    parent->last = node;
    parent->node->size++;
}

static covey_status push(parser *p, covey__json *node) {
    if (p->depth == p->limits.depth_max)
        return fail_at(p, p->at, COVEY_ERROR_LIMIT, "nested deeper than %zu", p->limits.depth_max);
    p->depth++;
    frame *added = p->spare;
    covey_status status = COVEY_OK;
    if (added != NULL)
        p->spare = added->up;
    else
        added = take(p, sizeof *added, &status);
    if (status != COVEY_OK) return status;
    *added = (frame){p->top, node, NULL};
    p->top = added;
    return COVEY_OK;
}

static int compare_names(const void *a, const void *b) {
    const covey__json *left = a, *right = b;
    size_t shorter = left->name_size < right->name_size ? left->name_size : right->name_size;
    int order = memcmp(left->name, right->name, shorter);
    if (order != 0) return order;
    return (left->name_size > right->name_size) - (left->name_size < right->name_size);
}

static covey_status fail_duplicate(parser *p, const covey__json *member) {
    char shown[80];
    return fail_at(p, member->offset, COVEY_ERROR_FORMAT, "the name \"%s\" is there twice",
                   covey__printable(member->name, member->name_size, shown, sizeof shown));
}

/* The later member of the first pair of equal names, in input order; NULL when there is none. */
static const covey__json *duplicate_of_few(const covey__json *object) {
    for (const covey__json *b = object->child; b != NULL; b = b->next)
        for (const covey__json *a = object->child; a != b; a = a->next)
            if (compare_names(a, b) == 0) return b;
    return NULL;
}

static covey_status check_names(parser *p, const covey__json *object) {
    const covey__json *duplicate = NULL;
    if (object->size <= FEW_MEMBERS) {
        duplicate = duplicate_of_few(object);
        return duplicate == NULL ? COVEY_OK : fail_duplicate(p, duplicate);
    }
    const covey__env *env = p->arena->env;
    size_t count = object->size;
    const void **members = covey__calloc(env, count, 2 * sizeof *members);
    if (members == NULL)
        return covey__no_memory(p->error, "json: an object's names", count * 2 * sizeof *members);
    size_t used = 0;
    for (const covey__json *each = object->child; each != NULL; each = each->next)
        members[used++] = each;
    covey__sort_pointers(members, members + count, count, compare_names);
    for (size_t i = 1; i < count; i++) {
        const covey__json *later = members[i]; /* the sort is stable */
        if (compare_names(members[i - 1], later) == 0 &&
            (duplicate == NULL || later->offset < duplicate->offset))
            duplicate = later;
    }
    covey__free(env, members);
    return duplicate == NULL ? COVEY_OK : fail_duplicate(p, duplicate);
}

/* Closes the innermost open one at its closing character. */
static covey_status pop(parser *p) {
    p->at++;
    frame *closed = p->top;
    covey_status status = COVEY_OK;
    if (closed->node->kind == COVEY__JSON_OBJECT) status = check_names(p, closed->node);
    p->top = closed->up;
    closed->up = p->spare;
    p->spare = closed;
    p->depth--;
    return status;
}

static char closing(const parser *p) {
    return p->top->node->kind == COVEY__JSON_OBJECT ? '}' : ']';
}

/* One value, or the opening of one that holds others. */
static covey_status read_value(parser *p, covey__json **root) {
    covey__json *node = NULL;
    covey_status status = new_node(p, &node);
    if (status == COVEY_OK && p->top != NULL && p->top->node->kind == COVEY__JSON_OBJECT)
        status = read_name(p, node);
    if (status != COVEY_OK) return status;
    if (p->top != NULL)
        attach(p->top, node);
    else
        *root = node;
    if (!next_is(p, '{') && !next_is(p, '[')) return read_scalar(p, node);
    node->kind = next_is(p, '{') ? COVEY__JSON_OBJECT : COVEY__JSON_ARRAY;
    status = push(p, node);
    p->at++;
    return status;
}

/* What may follow a value: closings, then a comma before the next. `*more` is false at the end of
 * the root. `opened`: the value just read has only begun. */
static covey_status read_after_value(parser *p, bool opened, bool *more) {
    *more = true;
    for (bool first = opened; p->top != NULL; first = false) {
        skip_space(p);
        if (next_is(p, closing(p))) {
            covey_status status = pop(p);
            if (status != COVEY_OK) return status;
            continue;
        }
        if (first) return COVEY_OK;
        if (!skip_char(p, ','))
            return fail_expected(p, closing(p) == '}' ? "',' or '}'" : "',' or ']'");
        skip_space(p);
        return COVEY_OK;
    }
    *more = false;
    return COVEY_OK;
}

covey_status covey__json_parse(covey__arena *arena, const char *text, size_t size,
                               covey__json_limits limits, const covey__json **root,
                               covey_error *error) {
    if (size > limits.bytes_max)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)limits.bytes_max, (int64_t)size,
                                 "json: %zu bytes, more than the limit of %zu", size,
                                 limits.bytes_max);
    parser p = {.arena = arena, .text = text, .size = size, .limits = limits, .error = error};
    covey__json *made = NULL;
    bool more = true;
    skip_space(&p);
    while (more) {
        size_t depth_before = p.depth;
        covey_status status = read_value(&p, &made);
        if (status == COVEY_OK) status = read_after_value(&p, p.depth > depth_before, &more);
        if (status != COVEY_OK) return status;
    }
    skip_space(&p);
    if (p.at < size) return fail_expected(&p, "the end after the value");
    *root = made;
    return COVEY_OK;
}
