/* Filters of text and numbers: indent, escape, wordcount, center, truncate, format, abs, round, and
 * Python's % between a string and values. */
#include "text/template_filter.h"

#include "base/c_locale.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { INDENT_MAX = 1000, PARTS_MAX = 256, NUMBER_TEXT_MAX = 512 };

static covey_status blanks(covey__render *r, int64_t count, covey__value *out) {
    if (count > INDENT_MAX) {
        return covey__render_fail(r, "more than %d blanks", INDENT_MAX);
    }
    covey__value one = covey__value_text(" ", 1, true), times = covey__value_integer(count);
    return covey__apply_operator(r, (covey__text){"*", 1}, &one, &times, out);
}

static int64_t integer_or(const covey__arguments *arguments, size_t index, const char *name,
                          int64_t otherwise) {
    const covey__value *value = covey__argument(arguments, index, name);
    return value && value->kind == COVEY__VALUE_INTEGER ? value->as.integer : otherwise;
}

static bool flag_of(const covey__arguments *arguments, size_t index, const char *name) {
    const covey__value *flag = covey__argument(arguments, index, name);
    return flag && covey__value_is_true(flag);
}

static covey_status filter_indent(covey__render *r, covey__text name, const covey__value *value,
                                  const covey__arguments *arguments, covey__value *out) {
    const covey__value *width = covey__argument(arguments, 0, "width");
    bool first = flag_of(arguments, 1, "first"), blank = flag_of(arguments, 2, "blank");
    covey__value margin, line_end = covey__value_text("\n", 1, true), lines;
    covey__value *parts;
    COVEY__TRY(covey__need_string(r, name, value));
    if (width && covey__is_string(width)) {
        margin = *width;
    } else {
        COVEY__TRY(blanks(r, integer_or(arguments, 0, "width", 4), &margin));
    }
    COVEY__TRY(covey__string_split(r, value, &line_end, -1, &lines));
    size_t count = lines.as.list.count, used = 0;
    COVEY__TRY(covey__new_list(r, 3 * count, &parts));
    for (size_t i = 0; i < count; i++) {
        const covey__value *line = &lines.as.list.items[i];
        if (i > 0) {
            parts[used++] = line_end;
        }
        if ((i > 0 || first) && (line->as.string.size > 0 || blank)) {
            parts[used++] = margin;
        }
        parts[used++] = *line;
    }
    return covey__string_join(r, parts, used, out);
}

static covey_status filter_escape(covey__render *r, covey__text name, const covey__value *value,
                                  const covey__arguments *arguments, covey__value *out) {
    static const char *const pairs[][2] = {
        {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&#34;"}, {"'", "&#39;"}};
    (void)name;
    (void)arguments;
    COVEY__TRY(covey__value_print(r, value, out));
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        covey__value old = covey__value_text(pairs[i][0], 1, true), from = *out;
        covey__value with = covey__value_text(pairs[i][1], strlen(pairs[i][1]), true);
        COVEY__TRY(covey__string_replace(r, &from, &old, &with, -1, out));
    }
    return COVEY_OK;
}

/* Runs of letters, digits and "_", as \w+ finds them. */
static covey_status filter_wordcount(covey__render *r, covey__text name, const covey__value *value,
                                     const covey__arguments *arguments, covey__value *out) {
    int64_t count = 0;
    bool inside = false;
    covey__value text;
    (void)name;
    (void)arguments;
    COVEY__TRY(covey__value_print(r, value, &text));
    COVEY__TRY(covey__render_step(r, text.as.string.size));
    for (size_t at = 0; at < text.as.string.size;) {
        covey__utf8_char c = covey__utf8_decode(text.as.string.data + at, text.as.string.size - at);
        covey__unicode_class class = covey__unicode_class_of(c.code);
        bool word =
            class == COVEY__UNICODE_LETTER || class == COVEY__UNICODE_NUMBER || c.code == '_';
        count += word && !inside;
        inside = word;
        at += c.size;
    }
    *out = covey__value_integer(count);
    return COVEY_OK;
}

static covey_status filter_center(covey__render *r, covey__text name, const covey__value *value,
                                  const covey__arguments *arguments, covey__value *out) {
    covey__value parts[3];
    int64_t length, width = integer_or(arguments, 0, "width", 80);
    (void)name;
    COVEY__TRY(covey__value_print(r, value, &parts[1]));
    COVEY__TRY(covey__value_length(r, &parts[1], &length));
    int64_t room = width > length ? width - length : 0, left = room / 2 + (room & width & 1);
    COVEY__TRY(blanks(r, left, &parts[0]));
    COVEY__TRY(blanks(r, room - left, &parts[2]));
    return covey__string_join(r, parts, 3, out);
}

/* truncate(length=255, killwords=false, end="...", leeway=5) */
static covey_status filter_truncate(covey__render *r, covey__text name, const covey__value *value,
                                    const covey__arguments *arguments, covey__value *out) {
    int64_t most = integer_or(arguments, 0, "length", 255), length, end_length;
    const covey__value *given = covey__argument(arguments, 2, "end");
    covey__value bounds[3] = {covey__value_integer(0), covey__value_integer(0),
                              covey__value_none()};
    covey__value parts[2] = {*value, covey__value_text("...", 3, true)};
    COVEY__TRY(covey__need_string(r, name, value));
    if (given) {
        COVEY__TRY(covey__need_string(r, name, given));
        parts[1] = *given;
    }
    COVEY__TRY(covey__value_length(r, value, &length));
    COVEY__TRY(covey__value_length(r, &parts[1], &end_length));
    if (most < end_length) {
        return covey__render_fail(r, "\"truncate\" takes a length of at least its end's");
    }
    if (length <= most + integer_or(arguments, 3, "leeway", 5)) {
        *out = *value;
        return COVEY_OK;
    }
    bounds[1].as.integer = most - end_length;
    COVEY__TRY(covey__slice(r, value, bounds, &parts[0]));
    if (!flag_of(arguments, 1, "killwords")) {
        const covey__value *cut = &parts[0];
        size_t to = cut->as.string.size;
        while (to > 0 && cut->as.string.data[to - 1] != ' ') {
            to--;
        }
        if (to > 0) {
            covey__value whole = *cut;
            COVEY__TRY(covey__string_slice(r, &whole, 0, to - 1, &parts[0]));
        }
    }
    return covey__string_join(r, parts, 2, out);
}

static covey_status filter_abs(covey__render *r, covey__text name, const covey__value *value,
                               const covey__arguments *arguments, covey__value *out) {
    covey__value zero = covey__value_integer(0);
    (void)arguments;
    if (!covey__is_number(value)) {
        return covey__render_fail(r, "\"%.*s\" takes a number, not %s", (int)name.size, name.data,
                                  covey__value_kind_name(value));
    }
    if (value->kind == COVEY__VALUE_FLOAT) {
        *out = covey__value_float(fabs(value->as.number));
        return COVEY_OK;
    }
    bool negative = covey__value_number(value) < 0;
    return covey__apply_operator(r, (covey__text){negative ? "-" : "+", 1}, &zero, value, out);
}

/* round(precision=0, method="common"): a float, as Jinja's. Common rounds halves to even. */
static covey_status filter_round(covey__render *r, covey__text name, const covey__value *value,
                                 const covey__arguments *arguments, covey__value *out) {
    int64_t precision = integer_or(arguments, 0, "precision", 0);
    const covey__value *method = covey__argument(arguments, 1, "method");
    if (!covey__is_number(value) || precision < 0 || precision > 15) {
        return covey__render_fail(r, "\"%.*s\" takes a number and 0 to 15 places", (int)name.size,
                                  name.data);
    }
    double number = covey__value_number(value), scale = 1.0;
    for (int64_t i = 0; i < precision; i++) {
        scale *= 10.0;
    }
    bool named = method && covey__is_string(method);
    covey__text way = named ? (covey__text){method->as.string.data, method->as.string.size}
                            : (covey__text){"common", 6};
    if (value->kind != COVEY__VALUE_FLOAT && covey__text_is(way, "common")) {
        *out = *value;
        return COVEY_OK;
    }
    if (covey__text_is(way, "floor") || covey__text_is(way, "ceil")) {
        double scaled = number * scale;
        *out = covey__value_float((way.data[0] == 'f' ? floor(scaled) : ceil(scaled)) / scale);
        return COVEY_OK;
    }
    char format[16], digits[NUMBER_TEXT_MAX]; /* exactly, by the decimal digits */
    (void)snprintf(format, sizeof format, "%%.%df", (int)precision);
    int size = covey__c_format(format, number, digits, sizeof digits);
    covey__json json = {.kind = COVEY__JSON_NUMBER, .text = digits, .size = (size_t)size};
    *out = covey__value_float(covey__json_to_f64(&json));
    return COVEY_OK;
}

/* One number by a directive such as %05.2f, in C's own words, which are Python's for these. */
static covey_status format_number(covey__render *r, const char *directive, size_t size,
                                  const covey__value *value, covey__value *out) {
    char spec[24], text[NUMBER_TEXT_MAX];
    char letter = directive[size - 1];
    int written;
    if (!covey__is_number(value)) {
        return covey__render_fail(r, "%%%c takes a number, not %s", letter,
                                  covey__value_kind_name(value));
    }
    memcpy(spec, directive, size - 1);
    if (strchr("diuxXo", letter)) {
        spec[size - 1] = 'l';
        spec[size] = 'l';
        spec[size + 1] = letter == 'u' || letter == 'i' ? 'd' : letter;
        spec[size + 2] = 0;
        double number = covey__value_number(value);
        if (!(fabs(number) < 9.2e18)) {
            return covey__render_fail(r, "a number is beyond 64 bits");
        }
        long long whole =
            value->kind == COVEY__VALUE_INTEGER ? (long long)value->as.integer : (long long)number;
        written = snprintf(text, sizeof text, spec, whole);
    } else {
        spec[size - 1] = letter;
        spec[size] = 0;
        written = covey__c_format(spec, covey__value_number(value), text, sizeof text);
    }
    if (written < 0 || (size_t)written >= sizeof text) {
        return covey__render_fail(r, "a number's text is too long");
    }
    return covey__render_text(r, text, (size_t)written, out);
}

/* The directive at `text`, which begins with "%": its bytes, or 0. Width and precision have two
 * digits at most. */
static size_t directive_size(const char *text, size_t size) {
    size_t at = 1;
    while (at < size && at < 4 && strchr("-+ 0#", text[at]) && text[at]) {
        at++;
    }
    for (int i = 0; i < 2 && at < size && text[at] >= '0' && text[at] <= '9'; i++) {
        at++;
    }
    if (at < size && text[at] == '.') {
        at++;
        for (int i = 0; i < 2 && at < size && text[at] >= '0' && text[at] <= '9'; i++) {
            at++;
        }
    }
    return at < size && text[at] && strchr("srdiuxXofFeEgG%", text[at]) ? at + 1 : 0;
}

covey_status covey__string_format(covey__render *r, const covey__value *format,
                                  const covey__value *values, size_t count, covey__value *out) {
    covey__value *parts;
    size_t used = 0, taken = 0, from = 0, size = format->as.string.size;
    const char *text = format->as.string.data;
    COVEY__TRY(covey__render_step(r, size));
    COVEY__TRY(covey__new_list(r, 2 * PARTS_MAX + 1, &parts));
    for (size_t at = 0; at < size;) {
        if (text[at] != '%') {
            at++;
            continue;
        }
        size_t bytes = directive_size(text + at, size - at);
        char letter = bytes ? text[at + bytes - 1] : 0;
        if (bytes == 0 || used + 2 > 2 * PARTS_MAX || (letter != '%' && taken == count)) {
            return covey__render_fail(r, "a format has a directive that is not known, or that no "
                                         "value is left for");
        }
        COVEY__TRY(covey__string_slice(r, format, from, at, &parts[used++]));
        covey__value *part = &parts[used++];
        if (letter == '%') {
            *part = covey__value_text("%", 1, true);
        } else if (letter == 's' && bytes == 2) {
            COVEY__TRY(covey__value_print(r, &values[taken++], part));
        } else if (letter == 's' || letter == 'r') {
            return covey__render_unsupported(r, "in a format,",
                                             (covey__text){letter == 's' ? "%Ns" : "%r", 2});
        } else {
            COVEY__TRY(format_number(r, text + at, bytes, &values[taken++], part));
        }
        at += bytes;
        from = at;
    }
    if (taken < count) {
        return covey__render_fail(r, "not all values have a place in the format");
    }
    COVEY__TRY(covey__string_slice(r, format, from, size, &parts[used++]));
    return covey__string_join(r, parts, used, out);
}

static covey_status filter_format(covey__render *r, covey__text name, const covey__value *value,
                                  const covey__arguments *arguments, covey__value *out) {
    COVEY__TRY(covey__need_string(r, name, value));
    return covey__string_format(r, value, arguments->values, arguments->positional_count, out);
}

covey__filter_fn covey__find_text_filter(covey__text name) {
    static const struct {
        const char *name;
        covey__filter_fn apply;
    } filters[] = {{"indent", filter_indent}, {"escape", filter_escape},
                   {"e", filter_escape},      {"wordcount", filter_wordcount},
                   {"center", filter_center}, {"truncate", filter_truncate},
                   {"abs", filter_abs},       {"round", filter_round},
                   {"format", filter_format}, {"forceescape", filter_escape}};
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (covey__text_is(name, filters[i].name)) {
            return filters[i].apply;
        }
    }
    return NULL;
}
