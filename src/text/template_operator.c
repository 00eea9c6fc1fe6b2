/* Operators between two values, as Python has them, and JSON as Python writes it. */
#include "text/template_value.h"

#include <math.h>
#include <string.h>

static covey_status mismatch(covey__render *r, covey__text sign, const covey__value *a,
                             const covey__value *b) {
    return covey__render_fail(r, "%s and %s do not go with \"%.*s\"", covey__value_kind_name(a),
                              covey__value_kind_name(b), (int)sign.size, sign.data);
}

static int64_t integer_of(const covey__value *value) {
    return value->kind == COVEY__VALUE_BOOL ? (int64_t)value->as.boolean : value->as.integer;
}

/* Python's // and % round towards minus infinity. */
static covey_status divide(covey__render *r, covey__text sign, int64_t x, int64_t y,
                           covey__value *out) {
    if (y == 0 || (x == INT64_MIN && y == -1)) {
        return covey__render_fail(r, "a division by zero, or beyond 64 bits");
    }
    int64_t quotient = x / y, rest = x % y;
    if (rest != 0 && (rest < 0) != (y < 0)) {
        quotient--;
        rest += y;
    }
    *out = covey__value_integer(covey__text_is(sign, "%") ? rest : quotient);
    return COVEY_OK;
}

static covey_status integers(covey__render *r, covey__text sign, int64_t x, int64_t y,
                             covey__value *out) {
    int64_t result = 0;
    bool over = false;
    if (covey__text_is(sign, "//") || covey__text_is(sign, "%")) {
        return divide(r, sign, x, y, out);
    }
    if (covey__text_is(sign, "+")) {
        over = __builtin_add_overflow(x, y, &result);
    } else if (covey__text_is(sign, "-")) {
        over = __builtin_sub_overflow(x, y, &result);
    } else {
        over = __builtin_mul_overflow(x, y, &result);
    }
    if (over) {
        return covey__render_fail(r, "a number is beyond 64 bits");
    }
    *out = covey__value_integer(result);
    return COVEY_OK;
}

static covey_status floats(covey__render *r, covey__text sign, double x, double y,
                           covey__value *out) {
    bool divides = sign.data[0] == '/' || sign.data[0] == '%';
    if (divides && y == 0.0) {
        return covey__render_fail(r, "a division by zero");
    }
    double result = covey__text_is(sign, "+")    ? x + y
                    : covey__text_is(sign, "-")  ? x - y
                    : covey__text_is(sign, "*")  ? x * y
                    : covey__text_is(sign, "/")  ? x / y
                    : covey__text_is(sign, "//") ? floor(x / y)
                                                 : x - y * floor(x / y);
    *out = covey__value_float(result);
    return COVEY_OK;
}

static covey_status repeat(covey__render *r, const covey__value *string, int64_t count,
                           covey__value *out) {
    size_t size = string->as.string.size, parts = count > 0 && size > 0 ? (size_t)count : 0, all;
    if (!covey__mul_size(parts, size, &all) || all > COVEY__TEMPLATE_OUTPUT_MAX) {
        return covey__render_fail(r, "a string is repeated beyond %zu bytes",
                                  COVEY__TEMPLATE_OUTPUT_MAX);
    }
    COVEY__TRY(covey__render_step(r, parts * sizeof *string));
    covey__value *copies = covey__render_alloc(r, parts + 1, sizeof *copies);
    if (!copies) {
        return covey__render_no_memory(r);
    }
    for (size_t i = 0; i < parts; i++) {
        copies[i] = *string;
    }
    return covey__string_join(r, copies, parts, out);
}

static covey_status add_lists(covey__render *r, const covey__value *a, const covey__value *b,
                              covey__value *out) {
    size_t count = a->as.list.count + b->as.list.count;
    COVEY__TRY(covey__render_step(r, count * sizeof *a));
    covey__value *items = covey__render_alloc(r, count + 1, sizeof *items);
    if (!items) {
        return covey__render_no_memory(r);
    }
    if (a->as.list.count > 0) {
        memcpy(items, a->as.list.items, a->as.list.count * sizeof *items);
    }
    if (b->as.list.count > 0) {
        memcpy(items + a->as.list.count, b->as.list.items, b->as.list.count * sizeof *items);
    }
    *out = covey__value_list(items, count);
    return COVEY_OK;
}

static covey_status arithmetic(covey__render *r, covey__text sign, const covey__value *a,
                               const covey__value *b, covey__value *out) {
    bool plus = covey__text_is(sign, "+"), times = covey__text_is(sign, "*");
    if (plus && covey__is_string(a) && covey__is_string(b)) {
        const covey__value both[2] = {*a, *b};
        return covey__string_join(r, both, 2, out);
    }
    if (plus && a->kind == COVEY__VALUE_LIST && b->kind == COVEY__VALUE_LIST) {
        return add_lists(r, a, b, out);
    }
    if (times && covey__is_string(a) && b->kind == COVEY__VALUE_INTEGER) {
        return repeat(r, a, b->as.integer, out);
    }
    if (!covey__is_number(a) || !covey__is_number(b)) {
        return mismatch(r, sign, a, b);
    }
    bool real =
        a->kind == COVEY__VALUE_FLOAT || b->kind == COVEY__VALUE_FLOAT || covey__text_is(sign, "/");
    return real ? floats(r, sign, covey__value_number(a), covey__value_number(b), out)
                : integers(r, sign, integer_of(a), integer_of(b), out);
}

static covey_status order(covey__render *r, covey__text sign, const covey__value *a,
                          const covey__value *b, covey__value *out) {
    int way;
    if (covey__is_string(a) && covey__is_string(b)) {
        size_t size = a->as.string.size < b->as.string.size ? a->as.string.size : b->as.string.size;
        way = memcmp(a->as.string.data, b->as.string.data, size);
        if (way == 0) {
            way = (a->as.string.size > b->as.string.size) - (a->as.string.size < b->as.string.size);
        }
    } else if (covey__is_number(a) && covey__is_number(b)) {
        double x = covey__value_number(a), y = covey__value_number(b);
        way = (x > y) - (x < y);
    } else {
        return mismatch(r, sign, a, b);
    }
    bool equal = sign.size == 2 && way == 0;
    *out = covey__value_bool(equal || (sign.data[0] == '<' ? way < 0 : way > 0));
    return COVEY_OK;
}

covey_status covey__apply_operator(covey__render *r, covey__text sign, const covey__value *a,
                                   const covey__value *b, covey__value *out) {
    bool result;
    if (covey__text_is(sign, "==") || covey__text_is(sign, "!=")) {
        COVEY__TRY(covey__value_equal(r, a, b, &result));
        *out = covey__value_bool(result == (sign.data[0] == '='));
        return COVEY_OK;
    }
    if (covey__text_is(sign, "in") || covey__text_is(sign, "not in")) {
        COVEY__TRY(covey__value_contains(r, b, a, &result));
        *out = covey__value_bool(result == (sign.data[0] == 'i'));
        return COVEY_OK;
    }
    if (sign.data[0] == '<' || sign.data[0] == '>') {
        return order(r, sign, a, b, out);
    }
    if (covey__text_is(sign, "~")) {
        covey__value both[2];
        COVEY__TRY(covey__value_print(r, a, &both[0]));
        COVEY__TRY(covey__value_print(r, b, &both[1]));
        return covey__string_join(r, both, 2, out);
    }
    return arithmetic(r, sign, a, b, out);
}

/* ---- JSON ---- */

static void json_line(covey__buffer *out, int64_t indent, uint32_t level) {
    if (indent < 0) {
        return;
    }
    (void)covey__buffer_byte(out, '\n');
    for (int64_t i = 0; i < indent * level; i++) {
        (void)covey__buffer_byte(out, ' ');
    }
}

static void json_text(covey__buffer *out, const covey__value *string) {
    static const char letters[] = "\b\f\n\r\t\"\\", escapes[] = "bfnrt\"\\";
    (void)covey__buffer_byte(out, '"');
    for (size_t i = 0; i < string->as.string.size; i++) {
        char c = string->as.string.data[i];
        const char *letter = c ? strchr(letters, c) : NULL;
        if (letter) {
            (void)covey__buffer_byte(out, '\\');
            (void)covey__buffer_byte(out, escapes[letter - letters]);
        } else if ((uint8_t)c < 0x20) {
            (void)covey__buffer_format(out, "\\u%04x", c);
        } else {
            (void)covey__buffer_byte(out, c);
        }
    }
    (void)covey__buffer_byte(out, '"');
}

static covey_status to_json(covey__render *r, const covey__value *value, int64_t indent,
                            uint32_t level, covey__buffer *out);

/* One element or entry of several, with what stands before it. */
static void json_between(covey__buffer *out, size_t index, int64_t indent, uint32_t level) {
    if (index > 0) {
        (void)covey__buffer_text(out, indent < 0 ? ", " : ",");
    }
    json_line(out, indent, level + 1);
}

static covey_status json_inside(covey__render *r, const covey__value *value, int64_t indent,
                                uint32_t level, covey__buffer *out) {
    bool list = value->kind == COVEY__VALUE_LIST;
    size_t count = list ? value->as.list.count : value->as.dict->count;
    (void)covey__buffer_byte(out, list ? '[' : '{');
    for (size_t i = 0; i < count; i++) {
        json_between(out, i, indent, level);
        if (!list) {
            json_text(out, &value->as.dict->entries[i].key);
            (void)covey__buffer_text(out, ": ");
        }
        COVEY__TRY(to_json(r, list ? &value->as.list.items[i] : &value->as.dict->entries[i].value,
                           indent, level + 1, out));
    }
    if (count > 0) {
        json_line(out, indent, level);
    }
    (void)covey__buffer_byte(out, list ? ']' : '}');
    return COVEY_OK;
}

static covey_status to_json(covey__render *r, const covey__value *value, int64_t indent,
                            uint32_t level, covey__buffer *out) {
    covey__value text;
    size_t before = out->size;
    switch (value->kind) {
    case COVEY__VALUE_NONE:
        (void)covey__buffer_text(out, "null");
        break;
    case COVEY__VALUE_BOOL:
        (void)covey__buffer_text(out, value->as.boolean ? "true" : "false");
        break;
    case COVEY__VALUE_INTEGER:
    case COVEY__VALUE_FLOAT:
        COVEY__TRY(covey__value_print(r, value, &text));
        (void)covey__buffer_append(out, text.as.string.data, text.as.string.size);
        break;
    case COVEY__VALUE_STRING:
        json_text(out, value);
        break;
    case COVEY__VALUE_LIST:
    case COVEY__VALUE_DICT:
        COVEY__TRY(covey__render_enter(r));
        COVEY__TRY(json_inside(r, value, indent, level, out));
        r->depth--;
        break;
    default:
        return covey__render_fail(r, "%s has no form in JSON", covey__value_kind_name(value));
    }
    COVEY__TRY(covey__render_step(r, out->size - before));
    return covey__buffer_check(out, r->error, "template: JSON");
}

/* What was built out of messages is not trusted; neither is what stands beside it. */
covey_status covey__value_to_json(covey__render *r, const covey__value *value, int64_t indent,
                                  covey__value *out) {
    covey__buffer text;
    covey__buffer_init(&text, r->env, COVEY__TEMPLATE_OUTPUT_MAX);
    covey_status status = to_json(r, value, indent > 16 ? 16 : indent, 0, &text);
    char *copy = status == COVEY_OK ? covey__render_alloc(r, text.size + 1, 1) : NULL;
    if (copy) {
        memcpy(copy, text.data, text.size);
        *out = covey__value_text(copy, text.size, false);
    } else if (status == COVEY_OK) {
        status = covey__render_no_memory(r);
    }
    covey__buffer_free(&text);
    return status;
}
