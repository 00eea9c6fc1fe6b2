/* Cuts a template into tokens. White space around tags is settled here, once: `-` in a tag takes
 * all of it away, a block or comment takes the line break behind it (trim_blocks) and, where it
 * stands first on its line, the indent before it (lstrip_blocks); `+` keeps them. One line break at
 * the template's end is dropped, and \r\n counts as \n. Source: Jinja 3.1's documentation,
 * "Whitespace Control", and the settings with which Hugging Face renders chat templates. */
#include "text/template_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    covey__arena *arena;
    const char *text;
    size_t size, at;
    uint32_t line;
    covey__lexeme *lexemes;
    size_t count, capacity;
    bool line_start; /* what was taken last ended a line */
    covey_error *error;
} lexer;

covey_status covey__template_fail(covey_error *error, covey_status status, uint32_t line,
                                  const char *format, ...) {
    char message[COVEY_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return covey__fail(error, status, "template: line %u: %s", line, message);
}

covey_status covey__template_unsupported(covey_error *error, uint32_t line, const char *what,
                                         covey__text name) {
    char shown[64];
    return covey__template_fail(
        error, COVEY_ERROR_UNSUPPORTED, line,
        "%s \"%s\" is not supported; give the prompt as text with --raw, or use a template "
        "without it",
        what, covey__printable(name.data, name.size, shown, sizeof shown));
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool starts(const lexer *l, size_t at, const char *what) {
    size_t size = strlen(what);
    return l->size - at >= size && memcmp(l->text + at, what, size) == 0;
}

static covey_status add(lexer *l, covey__lexeme_kind kind, const char *data, size_t size) {
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 256;
        covey__lexeme *more = covey__arena_calloc(l->arena, capacity, sizeof *more);
        if (!more) {
            return covey__no_memory(l->error, "template: tokens", capacity * sizeof *more);
        }
        if (l->count > 0) {
            memcpy(more, l->lexemes, l->count * sizeof *more);
        }
        l->lexemes = more;
        l->capacity = capacity;
    }
    l->lexemes[l->count++] = (covey__lexeme){kind, l->line, {data, size}};
    return COVEY_OK;
}

static void count_lines(lexer *l, size_t from, size_t to) {
    for (; from < to; from++) {
        l->line += l->text[from] == '\n';
    }
}

/* Past white space; keeps count of lines. */
static void skip_space(lexer *l) {
    while (l->at < l->size && is_space(l->text[l->at])) {
        l->line += l->text[l->at++] == '\n';
    }
}

/* Text in front of a tag, which `sign` (the character after the tag's opening) and the tag's kind
 * may shorten. */
static covey_status add_text(lexer *l, size_t from, size_t to, char sign, bool strips_indent) {
    size_t end = to;
    if (sign == '-') {
        while (end > from && is_space(l->text[end - 1])) {
            end--;
        }
    } else if (sign != '+' && strips_indent) {
        size_t line = end;
        while (line > from && l->text[line - 1] != '\n' && is_space(l->text[line - 1])) {
            line--;
        }
        if (line > from ? l->text[line - 1] == '\n' : l->line_start) {
            end = line;
        }
    }
    covey_status status =
        end > from ? add(l, COVEY__LEX_TEXT, l->text + from, end - from) : COVEY_OK;
    count_lines(l, from, to);
    return status;
}

/* After a tag's end: takes the white space that belongs to it. */
static void end_tag(lexer *l, char sign, bool trims_break) {
    size_t from = l->at;
    if (sign == '-') {
        skip_space(l);
    } else if (sign != '+' && trims_break && l->at < l->size && l->text[l->at] == '\n') {
        l->at++;
        l->line++;
    }
    l->line_start = l->at > from && l->text[l->at - 1] == '\n';
}

static covey_status lex_comment(lexer *l, uint32_t line) {
    const char *end = NULL;
    for (size_t at = l->at; at + 1 < l->size && !end; at++) {
        end = starts(l, at, "#}") ? l->text + at : NULL;
    }
    if (!end) {
        return covey__template_fail(l->error, COVEY_ERROR_FORMAT, line,
                                    "the comment that begins here has no end");
    }
    size_t at = (size_t)(end - l->text);
    char sign = at > l->at ? end[-1] : 0;
    count_lines(l, l->at, at);
    l->at = at + 2;
    end_tag(l, sign, true);
    return COVEY_OK;
}

/* {% raw %} … {% endraw %}: `at` is behind the opening "{%". False when it is another block. */
static bool is_tag(const lexer *l, size_t at, const char *name, size_t *behind, char *sign) {
    at += at < l->size && (l->text[at] == '-' || l->text[at] == '+');
    while (at < l->size && is_space(l->text[at])) {
        at++;
    }
    if (!starts(l, at, name)) {
        return false;
    }
    at += strlen(name);
    while (at < l->size && is_space(l->text[at])) {
        at++;
    }
    *sign = at < l->size ? l->text[at] : 0;
    at += *sign == '-' || *sign == '+';
    *behind = at + 2;
    return at <= l->size && starts(l, at, "%}");
}

static covey_status lex_raw(lexer *l, size_t behind, char sign, uint32_t line) {
    count_lines(l, l->at, behind);
    l->at = behind;
    end_tag(l, sign, false);
    size_t from = l->at, end_behind;
    for (size_t at = from; at + 1 < l->size; at++) {
        if (starts(l, at, "{%") && is_tag(l, at + 2, "endraw", &end_behind, &sign)) {
            COVEY__TRY(add_text(l, from, at, l->text[at + 2], true));
            count_lines(l, at, end_behind);
            l->at = end_behind;
            end_tag(l, sign, true);
            return COVEY_OK;
        }
    }
    return covey__template_fail(l->error, COVEY_ERROR_FORMAT, line,
                                "the raw block that begins here has no end");
}

static int hex_value(char c) {
    if (is_digit(c)) {
        return c - '0';
    }
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* An escape of `digits` hex digits at `text`: the code point, or -1. */
static int64_t hex_escape(const char *text, size_t size, size_t digits) {
    int64_t code = 0;
    for (size_t i = 0; i < digits; i++) {
        int value = i < size ? hex_value(text[i]) : -1;
        if (value < 0) {
            return -1;
        }
        code = code * 16 + value;
    }
    return code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ? -1 : code;
}

/* Reads the escape behind a backslash into `out`; what is no escape stays as it is. Returns bytes
 * read, 0 for a bad code point. */
static size_t unescape(const char *text, size_t size, char *out, size_t *written) {
    static const char letters[] = "ntrbfav0\\'\"", values[] = "\n\t\r\b\f\a\v\0\\'\"";
    const char *letter = memchr(letters, text[0], sizeof letters - 1);
    if (letter) {
        out[(*written)++] = values[letter - letters];
        return 1;
    }
    if (text[0] == '\n') {
        return 1;
    }
    size_t digits = text[0] == 'x' ? 2 : text[0] == 'u' ? 4 : text[0] == 'U' ? 8 : 0;
    if (digits == 0) {
        out[(*written)++] = '\\';
        out[(*written)++] = text[0];
        return 1;
    }
    int64_t code = hex_escape(text + 1, size - 1, digits);
    if (code < 0) {
        return 0;
    }
    *written += covey__utf8_encode((uint32_t)code, out + *written);
    return digits + 1;
}

static covey_status lex_string(lexer *l) {
    char quote = l->text[l->at];
    size_t from = l->at + 1, end = from, written = 0;
    while (end < l->size && l->text[end] != quote) {
        end += l->text[end] == '\\' ? 2 : 1;
    }
    if (end >= l->size) {
        return covey__template_fail(l->error, COVEY_ERROR_FORMAT, l->line,
                                    "the string that begins here has no end");
    }
    char *text = covey__arena_alloc(l->arena, end - from + 1);
    if (!text) {
        return covey__no_memory(l->error, "template: a string", end - from + 1);
    }
    for (size_t at = from; at < end;) {
        if (l->text[at] != '\\') {
            text[written++] = l->text[at++];
            continue;
        }
        size_t read = unescape(l->text + at + 1, end - at - 1, text, &written);
        if (read == 0) {
            return covey__template_fail(l->error, COVEY_ERROR_FORMAT, l->line,
                                        "a string has an escape that names no character");
        }
        at += 1 + read;
    }
    covey_status status = add(l, COVEY__LEX_STRING, text, written);
    count_lines(l, l->at, end);
    l->at = end + 1;
    return status;
}

static covey_status lex_number(lexer *l) {
    size_t at = l->at;
    covey__lexeme_kind kind = COVEY__LEX_INTEGER;
    while (at < l->size && is_digit(l->text[at])) {
        at++;
    }
    if (at + 1 < l->size && l->text[at] == '.' && is_digit(l->text[at + 1])) {
        kind = COVEY__LEX_FLOAT;
        for (at++; at < l->size && is_digit(l->text[at]);) {
            at++;
        }
    }
    size_t digits = at + 1; /* of an exponent */
    if (digits < l->size && (l->text[digits] == '+' || l->text[digits] == '-')) {
        digits++;
    }
    if (at < l->size && (l->text[at] | 32) == 'e' && digits < l->size &&
        is_digit(l->text[digits])) {
        kind = COVEY__LEX_FLOAT;
        for (at = digits; at < l->size && is_digit(l->text[at]);) {
            at++;
        }
    }
    if (at < l->size && (is_name_start(l->text[at]))) {
        return covey__template_unsupported(l->error, l->line, "the number",
                                           (covey__text){l->text + l->at, at + 1 - l->at});
    }
    covey_status status = add(l, kind, l->text + l->at, at - l->at);
    l->at = at;
    return status;
}

static covey_status lex_operator(lexer *l) {
    static const char *const signs[] = {"==", "!=", "<=", ">=", "//", "**", "+", "-", "*",
                                        "/",  "%",  "~",  "(",  ")",  "[",  "]", "{", "}",
                                        "<",  ">",  "=",  ".",  ",",  ":",  "|"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (starts(l, l->at, signs[i])) {
            l->at += strlen(signs[i]);
            return add(l, COVEY__LEX_OPERATOR, signs[i], strlen(signs[i]));
        }
    }
    char shown[8];
    return covey__template_fail(l->error, COVEY_ERROR_FORMAT, l->line,
                                "\"%s\" is not part of an expression",
                                covey__printable(l->text + l->at, 1, shown, sizeof shown));
}

/* The inside of a tag, up to and with its end. */
static covey_status lex_tag(lexer *l, bool block, uint32_t line) {
    const char *end = block ? "%}" : "}}";
    covey__lexeme_kind end_kind = block ? COVEY__LEX_BLOCK_END : COVEY__LEX_PRINT_END;
    size_t open = 0; /* brackets: a brace may close them where it would end the tag */
    for (;;) {
        skip_space(l);
        if (l->at >= l->size) {
            return covey__template_fail(l->error, COVEY_ERROR_FORMAT, line,
                                        "the tag that begins here has no end");
        }
        char c = l->text[l->at];
        bool signed_end = (c == '-' || (c == '+' && block)) && starts(l, l->at + 1, end);
        if (open == 0 && (signed_end || starts(l, l->at, end))) {
            covey_status status = add(l, end_kind, end, 2);
            l->at += signed_end ? 3 : 2;
            end_tag(l, signed_end ? c : 0, block);
            return status;
        }
        covey_status status;
        if (is_name_start(c)) {
            size_t from = l->at;
            while (l->at < l->size && (is_name_start(l->text[l->at]) || is_digit(l->text[l->at]))) {
                l->at++;
            }
            status = add(l, COVEY__LEX_NAME, l->text + from, l->at - from);
        } else if (is_digit(c)) {
            status = lex_number(l);
        } else if (c == '\'' || c == '"') {
            status = lex_string(l);
        } else {
            open += c == '(' || c == '[' || c == '{';
            open -= open > 0 && (c == ')' || c == ']' || c == '}');
            status = lex_operator(l);
        }
        COVEY__TRY(status);
    }
}

static covey_status lex_all(lexer *l) {
    l->line_start = true;
    for (size_t from = 0, at = 0;;) {
        while (at < l->size &&
               !(l->text[at] == '{' &&
                 (starts(l, at, "{{") || starts(l, at, "{%") || starts(l, at, "{#")))) {
            at++;
        }
        char kind = at < l->size ? l->text[at + 1] : 0;
        char sign = kind && at + 2 < l->size ? l->text[at + 2] : 0;
        if (!kind) {
            COVEY__TRY(add_text(l, from, at, '+', false));
            return add(l, COVEY__LEX_END, "", 0);
        }
        COVEY__TRY(add_text(l, from, at, sign, kind != '{'));
        uint32_t line = l->line;
        size_t behind;
        char raw_sign;
        l->at = at + 2 + (sign == '-' || sign == '+');
        if (kind == '#') {
            COVEY__TRY(lex_comment(l, line));
        } else if (kind == '%' && is_tag(l, at + 2, "raw", &behind, &raw_sign)) {
            COVEY__TRY(lex_raw(l, behind, raw_sign, line));
        } else {
            bool block = kind == '%';
            COVEY__TRY(add(l, block ? COVEY__LEX_BLOCK_BEGIN : COVEY__LEX_PRINT_BEGIN, "", 0));
            COVEY__TRY(lex_tag(l, block, line));
        }
        from = at = l->at;
    }
}

/* A copy with \r\n and \r as \n, and without one line break at the end. */
static char *normalise(covey__arena *arena, const char *text, size_t *size) {
    char *copy = covey__arena_alloc(arena, *size + 1);
    size_t written = 0;
    for (size_t at = 0; copy && at < *size; at++) {
        bool pair = text[at] == '\r' && at + 1 < *size && text[at + 1] == '\n';
        if (!pair) {
            copy[written++] = text[at] == '\r' ? '\n' : text[at];
        }
    }
    if (written > 0 && copy[written - 1] == '\n') {
        written--;
    }
    *size = written;
    return copy;
}

covey_status covey__template_lex(covey__arena *arena, const char *text, size_t size,
                                 covey__lexeme **lexemes, covey_error *error) {
    lexer l = {.arena = arena, .size = size, .line = 1, .error = error};
    l.text = normalise(arena, text, &l.size);
    if (!l.text) {
        return covey__no_memory(error, "template", size);
    }
    COVEY__TRY(lex_all(&l));
    *lexemes = l.lexemes;
    return COVEY_OK;
}
