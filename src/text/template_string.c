/* Strings of a rendering. Each keeps which of its bytes the template wrote and which came from
 * messages, as spans; everything that cuts or joins strings goes through covey__string_slice and
 * covey__string_join, so that none of them can be lost on the way. */
#include "text/template_value.h"

#include "text/unicode.h"
#include <string.h>

typedef struct {
    covey__value *values;
    size_t count, capacity;
} value_list;

static covey_status push(covey__render *r, value_list *list, const covey__value *value) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 8;
        covey__value *more = covey__render_alloc(r, capacity, sizeof *more);
        if (!more) {
            return covey__render_no_memory(r);
        }
        if (list->count > 0) {
            memcpy(more, list->values, list->count * sizeof *more);
        }
        list->values = more;
        list->capacity = capacity;
    }
    list->values[list->count++] = *value;
    return COVEY_OK;
}

covey_status covey__string_slice(covey__render *r, const covey__value *string, size_t from,
                                 size_t to, covey__value *out) {
    covey__value slice =
        covey__value_text(string->as.string.data + from, to - from, string->trusted);
    const covey__text_span *spans = string->as.string.spans;
    size_t count = string->as.string.span_count;
    if (spans && to > from) {
        size_t first = 0;
        while (spans[first].end <= from) {
            first++;
        }
        size_t last = first;
        while (spans[last].end < to) {
            last++;
        }
        COVEY__TRY(covey__render_step(r, count * 4));
        slice.trusted = spans[first].trusted;
        if (last > first) {
            covey__text_span *cut = covey__render_alloc(r, last - first + 1, sizeof *cut);
            if (!cut) {
                return covey__render_no_memory(r);
            }
            for (size_t i = first; i <= last; i++) {
                size_t end = spans[i].end < to ? spans[i].end : to;
                cut[i - first] = (covey__text_span){end - from, spans[i].trusted};
            }
            slice.as.string.spans = cut;
            slice.as.string.span_count = last - first + 1;
        }
    }
    *out = slice;
    return COVEY_OK;
}

/* Adds a span that ends at `end`; neighbours of one kind are one. */
static size_t add_span(covey__text_span *spans, size_t count, size_t end, bool trusted) {
    size_t begin = count > 0 ? spans[count - 1].end : 0;
    if (end == begin) {
        return count;
    }
    if (count > 0 && spans[count - 1].trusted == trusted) {
        spans[count - 1].end = end;
        return count;
    }
    spans[count] = (covey__text_span){end, trusted};
    return count + 1;
}

covey_status covey__string_join(covey__render *r, const covey__value *parts, size_t count,
                                covey__value *out) {
    size_t size = 0, span_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!covey__add_size(size, parts[i].as.string.size, &size)) {
            return covey__render_no_memory(r);
        }
        span_count += parts[i].as.string.spans ? parts[i].as.string.span_count : 1;
    }
    COVEY__TRY(covey__render_step(r, size + count));
    char *data = covey__render_alloc(r, size + 1, 1);
    covey__text_span *spans = covey__render_alloc(r, span_count + 1, sizeof *spans);
    if (!data || !spans) {
        return covey__render_no_memory(r);
    }
    size_t at = 0, used = 0;
    for (size_t i = 0; i < count; i++) {
        const covey__value *part = &parts[i];
        if (part->as.string.size > 0) {
            memcpy(data + at, part->as.string.data, part->as.string.size);
        }
        for (size_t k = 0; part->as.string.spans && k < part->as.string.span_count; k++) {
            const covey__text_span *span = &part->as.string.spans[k];
            used = add_span(spans, used, at + span->end, span->trusted);
        }
        at += part->as.string.size;
        if (!part->as.string.spans) {
            used = add_span(spans, used, at, part->trusted);
        }
    }
    data[size] = 0;
    *out = covey__value_text(data, size, used == 0 || spans[0].trusted);
    if (used > 1) {
        out->as.string.spans = spans;
        out->as.string.span_count = used;
    }
    return COVEY_OK;
}

/* Python's str.isspace: White_Space and the four information separators. */
static bool is_white(uint32_t code) {
    return (code >= 0x1C && code <= 0x1F) || covey__unicode_class_of(code) == COVEY__UNICODE_SPACE;
}

static bool is_stripped(const covey__value *string, size_t at, size_t bytes,
                        const covey__value *what) {
    const char *data = string->as.string.data + at;
    if (!what) {
        covey__utf8_char c = covey__utf8_decode(data, bytes);
        return c.valid && is_white(c.code);
    }
    covey__value one = covey__value_text(data, bytes, true);
    return covey__string_find(what, &one, 0) >= 0;
}

/* Bytes of the character that ends at `end`. */
static size_t last_character(const char *data, size_t end) {
    size_t bytes = 1;
    while (bytes < 4 && bytes < end && ((uint8_t)data[end - bytes] & 0xC0) == 0x80) {
        bytes++;
    }
    return covey__utf8_decode(data + end - bytes, bytes).size == bytes ? bytes : 1;
}

covey_status covey__string_strip(covey__render *r, const covey__value *string,
                                 const covey__value *what, covey__string_side side,
                                 covey__value *out) {
    const char *data = string->as.string.data;
    size_t from = 0, to = string->as.string.size;
    COVEY__TRY(covey__render_step(r, to));
    while (side & COVEY__SIDE_LEFT && from < to) {
        size_t bytes = covey__utf8_decode(data + from, to - from).size;
        if (!is_stripped(string, from, bytes, what)) {
            break;
        }
        from += bytes;
    }
    while (side & COVEY__SIDE_RIGHT && to > from) {
        size_t bytes = last_character(data, to);
        if (!is_stripped(string, to - bytes, bytes, what)) {
            break;
        }
        to -= bytes;
    }
    return covey__string_slice(r, string, from, to, out);
}

int64_t covey__string_find(const covey__value *string, const covey__value *part, size_t from) {
    if (part->as.string.size == 0) {
        return (int64_t)from;
    }
    const char *at = memmem(string->as.string.data + from, string->as.string.size - from,
                            part->as.string.data, part->as.string.size);
    return at ? at - string->as.string.data : -1;
}

covey_status covey__string_replace(covey__render *r, const covey__value *string,
                                   const covey__value *old, const covey__value *with,
                                   int64_t count_max, covey__value *out) {
    if (old->as.string.size == 0) {
        return covey__render_unsupported(r, "replacing", (covey__text){"", 0});
    }
    value_list parts = {0};
    size_t from = 0;
    COVEY__TRY(covey__render_step(r, string->as.string.size));
    for (int64_t n = 0; count_max < 0 || n < count_max; n++) {
        int64_t at = covey__string_find(string, old, from);
        if (at < 0) {
            break;
        }
        covey__value before;
        COVEY__TRY(covey__string_slice(r, string, from, (size_t)at, &before));
        COVEY__TRY(push(r, &parts, &before));
        COVEY__TRY(push(r, &parts, with));
        from = (size_t)at + old->as.string.size;
    }
    covey__value rest;
    COVEY__TRY(covey__string_slice(r, string, from, string->as.string.size, &rest));
    COVEY__TRY(push(r, &parts, &rest));
    return covey__string_join(r, parts.values, parts.count, out);
}

/* Up to the next white space, or past it; `white` says which. */
static size_t walk(const covey__value *string, size_t at, bool white) {
    while (at < string->as.string.size) {
        covey__utf8_char c =
            covey__utf8_decode(string->as.string.data + at, string->as.string.size - at);
        if ((c.valid && is_white(c.code)) != white) {
            break;
        }
        at += c.size;
    }
    return at;
}

static covey_status split_white(covey__render *r, const covey__value *string, int64_t count_max,
                                value_list *parts) {
    size_t size = string->as.string.size;
    for (size_t at = walk(string, 0, true); at < size;) {
        bool last = count_max >= 0 && (int64_t)parts->count == count_max;
        size_t end = last ? size : walk(string, at, false);
        covey__value part;
        COVEY__TRY(covey__string_slice(r, string, at, end, &part));
        if (last) {
            COVEY__TRY(covey__string_strip(r, &part, NULL, COVEY__SIDE_RIGHT, &part));
        }
        COVEY__TRY(push(r, parts, &part));
        at = walk(string, end, true);
    }
    return COVEY_OK;
}

covey_status covey__string_split(covey__render *r, const covey__value *string,
                                 const covey__value *separator, int64_t count_max,
                                 covey__value *out) {
    value_list parts = {0};
    size_t size = string->as.string.size, from = 0;
    COVEY__TRY(covey__render_step(r, size));
    if (!separator) {
        COVEY__TRY(split_white(r, string, count_max, &parts));
        *out = covey__value_list(parts.values, parts.count);
        return COVEY_OK;
    }
    if (separator->as.string.size == 0) {
        return covey__render_fail(r, "the separator is empty");
    }
    for (;;) {
        bool last = count_max >= 0 && (int64_t)parts.count == count_max;
        int64_t at = last ? -1 : covey__string_find(string, separator, from);
        covey__value part;
        COVEY__TRY(covey__string_slice(r, string, from, at < 0 ? size : (size_t)at, &part));
        COVEY__TRY(push(r, &parts, &part));
        if (at < 0) {
            *out = covey__value_list(parts.values, parts.count);
            return COVEY_OK;
        }
        from = (size_t)at + separator->as.string.size;
    }
}

/* Where in its text a change of case stands. */
typedef struct {
    covey__string_case to;
    bool first;  /* nothing was before */
    bool inside; /* of a word */
} case_state;

static bool is_letter(uint32_t code) {
    return covey__unicode_class_of(code) == COVEY__UNICODE_LETTER;
}

/* Sigma at the end of a word is another letter (SpecialCasing.txt, Final_Sigma). */
static uint32_t lower_of(uint32_t code, const covey__value *string, size_t at, bool behind) {
    size_t next = at + 2;
    bool more =
        next < string->as.string.size &&
        is_letter(
            covey__utf8_decode(string->as.string.data + next, string->as.string.size - next).code);
    return code == 0x3A3 && behind && !more ? 0x3C2 : covey__unicode_lower(code);
}

/* One character; up to twelve bytes to `out`. Invalid bytes stay as they are. */
static size_t case_one(case_state *state, const covey__value *string, size_t at, size_t *bytes,
                       char *out) {
    const char *data = string->as.string.data + at;
    covey__utf8_char c = covey__utf8_decode(data, string->as.string.size - at);
    uint32_t codes[3] = {c.code, 0, 0};
    size_t count = 1, written = 0;
    bool letter = is_letter(c.code), behind = state->inside;
    bool begins = state->to == COVEY__CASE_CAPITALIZE ? state->first : !state->inside;
    *bytes = c.size;
    state->first = false;
    state->inside =
        state->to == COVEY__CASE_WORDS
            ? !(c.code && c.code < 0x80 && strchr("-({[<", (int)c.code)) && !is_white(c.code)
            : letter;
    if (!c.valid) {
        out[0] = data[0];
        return 1;
    }
    if (state->to == COVEY__CASE_UPPER || (state->to != COVEY__CASE_LOWER && begins)) {
        count = covey__unicode_upper(c.code, codes);
    } else {
        codes[0] = lower_of(c.code, string, at, behind);
    }
    for (size_t i = 0; i < count; i++) {
        written += covey__utf8_encode(codes[i], out + written);
    }
    return written;
}

/* A character takes three times its bytes at most in the other case. Spans keep their places. */
covey_status covey__string_case_of(covey__render *r, const covey__value *string,
                                   covey__string_case to, covey__value *out) {
    size_t size = string->as.string.size, count = string->as.string.span_count, written = 0;
    const covey__text_span *spans = string->as.string.spans;
    case_state state = {to, true, false};
    COVEY__TRY(covey__render_step(r, 4 * size));
    char *data = covey__render_alloc(r, 3 * size + 12, 1);
    covey__text_span *moved = spans ? covey__render_alloc(r, count, sizeof *moved) : NULL;
    if (!data || (spans && !moved)) {
        return covey__render_no_memory(r);
    }
    for (size_t at = 0, span = 0; at < size;) {
        size_t bytes;
        written += case_one(&state, string, at, &bytes, data + written);
        at += bytes;
        for (; spans && span < count && spans[span].end <= at; span++) {
            moved[span] = (covey__text_span){written, spans[span].trusted};
        }
    }
    *out = covey__value_text(data, written, string->trusted);
    if (spans) {
        out->as.string.spans = moved;
        out->as.string.span_count = count;
    }
    return COVEY_OK;
}

/* A bound of a slice: an absent one is `otherwise`, a negative one counts from the end. */
static covey_status bound(covey__render *r, const covey__value *value, int64_t count,
                          int64_t otherwise, int64_t min, int64_t max, int64_t *out) {
    if (value->kind == COVEY__VALUE_NONE || value->kind == COVEY__VALUE_UNDEFINED) {
        *out = otherwise;
        return COVEY_OK;
    }
    if (value->kind != COVEY__VALUE_INTEGER) {
        return covey__render_fail(r, "a slice is bounded by integers, not by %s",
                                  covey__value_kind_name(value));
    }
    int64_t at = value->as.integer;
    at += at < 0 ? count : 0;
    *out = at < min ? min : at > max ? max : at;
    return COVEY_OK;
}

/* The byte at which the character `index` begins, from a place that is known. */
static size_t byte_of(const covey__value *string, int64_t index, size_t at) {
    for (; index > 0; index--) {
        at += covey__utf8_decode(string->as.string.data + at, string->as.string.size - at).size;
    }
    return at;
}

/* Every `step`th element of a slice that is not simply a stretch. */
static covey_status pick(covey__render *r, const covey__value *value, int64_t from, int64_t to,
                         int64_t step, covey__value *out) {
    value_list parts = {0};
    const covey__value *items;
    size_t count;
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    COVEY__TRY(covey__render_step(r, count * sizeof *items));
    for (int64_t at = from; step < 0 ? at > to : at < to; at += step) {
        COVEY__TRY(push(r, &parts, &items[at]));
    }
    if (covey__is_string(value)) {
        return covey__string_join(r, parts.values, parts.count, out);
    }
    *out = covey__value_list(parts.values, parts.count);
    return COVEY_OK;
}

covey_status covey__slice(covey__render *r, const covey__value *value, const covey__value bounds[3],
                          covey__value *out) {
    int64_t n = 0, step = 1, from = 0, to = 0;
    if (value->kind != COVEY__VALUE_LIST && !covey__is_string(value)) {
        return covey__render_fail(r, "%s cannot be sliced", covey__value_kind_name(value));
    }
    COVEY__TRY(covey__value_length(r, value, &n));
    COVEY__TRY(bound(r, &bounds[2], 0, 1, -n - 1, n + 1, &step));
    if (step == 0) {
        return covey__render_fail(r, "a slice's step is 0");
    }
    bool back = step < 0;
    COVEY__TRY(bound(r, &bounds[0], n, back ? n - 1 : 0, back ? -1 : 0, back ? n - 1 : n, &from));
    COVEY__TRY(bound(r, &bounds[1], n, back ? -1 : n, back ? -1 : 0, back ? n - 1 : n, &to));
    if (step != 1) {
        return pick(r, value, from, to, step, out);
    }
    to = to < from ? from : to;
    if (value->kind == COVEY__VALUE_LIST) {
        *out = covey__value_list(value->as.list.items + from, (size_t)(to - from));
        return COVEY_OK;
    }
    size_t first = byte_of(value, from, 0);
    return covey__string_slice(r, value, first, byte_of(value, to - from, first), out);
}

covey_status covey__string_at(covey__render *r, const covey__value *string, int64_t index,
                              covey__value *out) {
    int64_t length;
    *out = covey__value_undefined();
    COVEY__TRY(covey__value_length(r, string, &length));
    index += index < 0 ? length : 0;
    if (index < 0 || index >= length) {
        return COVEY_OK;
    }
    size_t at = byte_of(string, index, 0);
    return covey__string_slice(r, string, at, byte_of(string, 1, at), out);
}
