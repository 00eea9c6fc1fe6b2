/* Operators between two values, as Python has them. */
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

/* x ** y: of integers an integer, unless y is negative. */
static covey_status power(covey__render *r, const covey__value *a, const covey__value *b,
                          covey__value *out) {
    bool whole = a->kind != COVEY__VALUE_FLOAT && b->kind != COVEY__VALUE_FLOAT;
    if (!whole || integer_of(b) < 0) {
        double result = pow(covey__value_number(a), covey__value_number(b));
        if (!isfinite(result)) {
            return covey__render_fail(r, "a power is no finite number");
        }
        *out = covey__value_float(result);
        return COVEY_OK;
    }
    int64_t base = integer_of(a), result = 1;
    bool over = false,
         base_over = false; /* a base that is too large is no matter until it is used */
    for (int64_t left = integer_of(b); left > 0; left >>= 1) {
        if (left & 1) {
            over = over || base_over || __builtin_mul_overflow(result, base, &result);
        }
        base_over = base_over || __builtin_mul_overflow(base, base, &base);
    }
    if (over) {
        return covey__render_fail(r, "a number is beyond 64 bits");
    }
    *out = covey__value_integer(result);
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
    if (times && covey__is_string(b) && a->kind == COVEY__VALUE_INTEGER) {
        return repeat(r, b, a->as.integer, out);
    }
    if (covey__text_is(sign, "%") && covey__is_string(a)) {
        bool list = b->kind == COVEY__VALUE_LIST && b->as.list.tuple;
        return covey__string_format(r, a, list ? b->as.list.items : b, list ? b->as.list.count : 1,
                                    out);
    }
    if (!covey__is_number(a) || !covey__is_number(b)) {
        return mismatch(r, sign, a, b);
    }
    if (covey__text_is(sign, "**")) {
        return power(r, a, b, out);
    }
    bool real =
        a->kind == COVEY__VALUE_FLOAT || b->kind == COVEY__VALUE_FLOAT || covey__text_is(sign, "/");
    return real ? floats(r, sign, covey__value_number(a), covey__value_number(b), out)
                : integers(r, sign, integer_of(a), integer_of(b), out);
}

int covey__value_order(const covey__value *a, const covey__value *b) {
    if (covey__is_string(a) && covey__is_string(b)) {
        size_t size = a->as.string.size < b->as.string.size ? a->as.string.size : b->as.string.size;
        int way = memcmp(a->as.string.data, b->as.string.data, size);
        return way ? way
                   : (a->as.string.size > b->as.string.size) -
                         (a->as.string.size < b->as.string.size);
    }
    double x = covey__value_number(a), y = covey__value_number(b);
    return (x > y) - (x < y);
}

static covey_status order(covey__render *r, covey__text sign, const covey__value *a,
                          const covey__value *b, covey__value *out) {
    bool strings = covey__is_string(a) && covey__is_string(b);
    if (!strings && !(covey__is_number(a) && covey__is_number(b))) {
        return mismatch(r, sign, a, b);
    }
    if (strings) {
        COVEY__TRY(covey__render_step(r, a->as.string.size));
    }
    int way = covey__value_order(a, b);
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
