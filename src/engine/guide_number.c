/* Numbers within bounds, exactly: the decimals that lie between two others form a regular language,
 * since they are compared digit by digit. An integer is written without fraction or exponent, a
 * bounded number without exponent. Digits are few enough (15, or as many as a bound has) that a
 * reader who keeps numbers as doubles sees them on the same side of a bound. Neighbours:
 * guide_schema.c reads the bounds. */
#include "engine/guide_schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WHOLE_DIGITS    15
#define FRACTION_DIGITS 15
#define MULTIPLES_MAX   4096
#define WHOLE_MAX       UINT64_C(999999999999999999) /* 18 digits */

/* ---- Decimals ---- */

static void trim(covey__guide_decimal *d) {
    size_t zeros = strspn(d->whole, "0"), size = strlen(d->whole);
    if (zeros == size && size > 0) zeros--;
    memmove(d->whole, d->whole + zeros, size - zeros + 1);
    if (d->whole[0] == 0) strcpy(d->whole, "0");
    for (size = strlen(d->fraction); size > 0 && d->fraction[size - 1] == '0';)
        d->fraction[--size] = 0;
    if (!strcmp(d->whole, "0") && d->fraction[0] == 0) d->negative = false;
}

bool covey__guide_decimal_of(const char *text, covey__guide_decimal *out) {
    char digits[2 * COVEY__GUIDE_DIGITS_MAX];
    size_t count = 0;
    int64_t point = 0, exponent = 0;
    bool behind = false;
    memset(out, 0, sizeof *out);
    if (*text == '-') out->negative = *text++ == '-';
    for (; (*text >= '0' && *text <= '9') || *text == '.'; text++) {
        if (*text == '.') {
            behind = true;
            continue;
        }
        if (count == 0 && *text == '0') { /* zeros in front only move the point */
            point -= behind;
            continue;
        }
        if (count == sizeof digits) return false;
        digits[count++] = *text;
        point += !behind;
    }
    if (*text == 'e' || *text == 'E') {
        bool minus = *++text == '-';
        text += *text == '-' || *text == '+';
        for (; *text >= '0' && *text <= '9' && exponent < 100000; text++)
            exponent = 10 * exponent + (*text - '0');
        point += minus ? -exponent : exponent;
    }
    if (count == 0) point = 0;
    /* 0.digits times 10^point */
    while (count > 0 && digits[count - 1] == '0') count--;
    if (point > COVEY__GUIDE_DIGITS_MAX || point < -COVEY__GUIDE_DIGITS_MAX) return false;
    if ((int64_t)count - point > COVEY__GUIDE_DIGITS_MAX) return false;
    for (int64_t i = 0; i < point; i++) out->whole[i] = i < (int64_t)count ? digits[i] : '0';
    int64_t written = 0;
    for (int64_t i = point; i < (int64_t)count; i++)
        out->fraction[written++] = i < 0 ? '0' : digits[i];
    trim(out);
    return true;
}

static int compare_sizes(const covey__guide_decimal *a, const covey__guide_decimal *b) {
    size_t left = strlen(a->whole), right = strlen(b->whole);
    if (left != right) return left < right ? -1 : 1;
    int order = strcmp(a->whole, b->whole);
    return order ? order : strcmp(a->fraction, b->fraction);
}

int covey__guide_decimal_compare(const covey__guide_decimal *a, const covey__guide_decimal *b) {
    if (a->negative != b->negative) return a->negative ? -1 : 1;
    int order = compare_sizes(a, b);
    return a->negative ? -order : order;
}

/* ---- Digits ---- */

typedef struct maker {
    covey__guide_builder *builder;
    const char *where;
} maker;

static covey__guide_node *digit(maker *m, int low, int high) {
    covey__guide_range range = {(uint32_t)('0' + low), (uint32_t)('0' + high)};
    return low > high ? covey__guide_nothing(m->builder)
                      : covey__guide_chars(m->builder, &range, 1, false);
}

static covey__guide_node *digits(maker *m, size_t min, size_t max) {
    return covey__guide_repeat(m->builder, digit(m, 0, 9), (uint32_t)min, (uint32_t)max);
}

static covey__guide_node *both(maker *m, covey__guide_node *a, covey__guide_node *b) {
    covey__guide_node *parts[] = {a, b};
    return covey__guide_sequence(m->builder, parts, 2);
}

static covey__guide_node *either(maker *m, covey__guide_node *a, covey__guide_node *b) {
    covey__guide_node *ways[] = {a, b};
    return covey__guide_choice(m->builder, ways, 2);
}

/* ---- Whole numbers ---- */

/* Digits i and on of numbers with n digits; `low` and `high` bound them (NULL: no more). */
static covey__guide_node *whole_digits(maker *m, const char *low, const char *high, size_t i,
                                       size_t n) {
    if (i == n) return covey__guide_empty(m->builder);
    if (!low && !high) return digits(m, n - i, n - i);
    int from = low ? low[i] - '0' : 0, to = high ? high[i] - '0' : 9;
    if (low && high && from == to)
        return both(m, digit(m, from, from), whole_digits(m, low, high, i + 1, n));
    covey__guide_node *node = covey__guide_nothing(m->builder);
    if (low) {
        node = either(m, node, both(m, digit(m, from, from), whole_digits(m, low, NULL, i + 1, n)));
        from++;
    }
    if (high) {
        node = either(m, node, both(m, digit(m, to, to), whole_digits(m, NULL, high, i + 1, n)));
        to--;
    }
    return from > to
               ? node
               : either(m, node, both(m, digit(m, from, to), digits(m, n - i - 1, n - i - 1)));
}

static covey__guide_node *whole_between(maker *m, uint64_t low, uint64_t high) {
    covey__guide_node *node = covey__guide_nothing(m->builder);
    uint64_t least = 0, most = 9;
    for (size_t n = 1; n <= 18 && low <= high; n++) {
        uint64_t from = low > least ? low : least, to = high < most ? high : most;
        if (from <= to) {
            char a[24], b[24];
            snprintf(a, sizeof a, "%" PRIu64, from);
            snprintf(b, sizeof b, "%" PRIu64, to);
            node = either(m, node, whole_digits(m, a, b, 0, n));
        }
        least = most + 1;
        most = most * 10 + 9;
    }
    return node;
}

/* As a number of at most 18 digits. */
static uint64_t whole_of(const covey__guide_decimal *d) {
    uint64_t value = 0;
    if (strlen(d->whole) > 18) return WHOLE_MAX;
    for (const char *c = d->whole; *c; c++) value = value * 10 + (uint64_t)(*c - '0');
    return value;
}

/* The least integer that is not below the decimal (above it, when `open`). */
static int64_t ceiling(const covey__guide_decimal *d, bool open) {
    int64_t whole = (int64_t)whole_of(d);
    bool fraction = d->fraction[0] != 0;
    if (d->negative) return fraction ? -whole : -whole + open;
    return whole + (fraction || open);
}

static int64_t floor_of(const covey__guide_decimal *d, bool open) {
    covey__guide_decimal mirrored = *d;
    mirrored.negative = !d->negative;
    return -ceiling(&mirrored, open);
}

static covey__guide_node *minus(maker *m, covey__guide_node *node) {
    return both(m, covey__guide_text(m->builder, "-"), node);
}

static covey__guide_node *integers_between(maker *m, int64_t low, int64_t high) {
    covey__guide_node *node = covey__guide_nothing(m->builder);
    if (high >= 0 && high >= low)
        node = whole_between(m, low > 0 ? (uint64_t)low : 0, (uint64_t)high);
    if (low < 0 && high >= low)
        node = either(m, node,
                      minus(m, whole_between(m, high < 0 ? (uint64_t)-high : 1, (uint64_t)-low)));
    return node;
}

static bool is_one(const covey__guide_decimal *d) {
    return !strcmp(d->whole, "1") && d->fraction[0] == 0;
}

/* Few multiples are listed. */
static covey__guide_node *multiples(maker *m, int64_t low, int64_t high, int64_t step,
                                    bool bounded) {
    int64_t first = low / step, last = high / step;
    if (low > 0 && low % step) first++;
    if (high < 0 && high % step) last--;
    if (!bounded || last - first >= MULTIPLES_MAX)
        return covey__guide_refuse(
            m->builder, COVEY_ERROR_UNSUPPORTED,
            "%s: multipleOf: supported for integers with a minimum and a maximum and at most %d "
            "multiples between them, and for numbers 1, 0.1, 0.01, ...",
            m->where, MULTIPLES_MAX);
    size_t count = last >= first ? (size_t)(last - first + 1) : 0;
    covey__guide_node **ways = covey__guide_room(m->builder, count, sizeof(*ways));
    if (!ways) return NULL;
    for (size_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%" PRId64, (first + (int64_t)i) * step);
        ways[i] = covey__guide_text(m->builder, text);
    }
    return covey__guide_choice(m->builder, ways, count);
}

covey__guide_node *covey__guide_integer(covey__guide_builder *builder,
                                        const covey__guide_bounds *bounds, const char *where) {
    maker m = {builder, where};
    const int64_t far = INT64_C(999999999999999);
    int64_t low = bounds->has_low ? ceiling(&bounds->low, bounds->low_open) : -far;
    int64_t high = bounds->has_high ? floor_of(&bounds->high, bounds->high_open) : far;
    if (!bounds->has_low && high < 0) low = -(int64_t)WHOLE_MAX;
    if (!bounds->has_high && low > 0 && low > high) high = (int64_t)WHOLE_MAX;
    if (bounds->has_low && strlen(bounds->low.whole) > 18 && !bounds->low.negative) low = INT64_MAX;
    if (bounds->has_high && strlen(bounds->high.whole) > 18 && bounds->high.negative)
        high = INT64_MIN;
    if (low > high) return covey__guide_nothing(builder);
    if (low < -(int64_t)WHOLE_MAX) low = -(int64_t)WHOLE_MAX;
    if (high > (int64_t)WHOLE_MAX) high = (int64_t)WHOLE_MAX;
    if (bounds->has_step && !is_one(&bounds->step)) {
        /* The multiples of 1/n are integers too; every integer is one. */
        bool part = !strcmp(bounds->step.whole, "0") &&
                    strspn(bounds->step.fraction, "0") + 1 == strlen(bounds->step.fraction) &&
                    strchr(bounds->step.fraction, '1');
        bool whole = bounds->step.fraction[0] == 0 && strlen(bounds->step.whole) <= 15;
        if (!part)
            return multiples(&m, low, high, whole ? (int64_t)whole_of(&bounds->step) : 1,
                             whole && bounds->has_low && bounds->has_high);
    }
    return integers_between(&m, low, high);
}

/* ---- Fractions ---- */

/* What bounds a fraction: digits of equal length, padded by zeros. */
typedef struct fraction_bounds {
    char low[COVEY__GUIDE_DIGITS_MAX + 1], high[COVEY__GUIDE_DIGITS_MAX + 1];
    bool low_open, high_open;
    size_t size, most; /* digits of the bounds; digits that may be written */
} fraction_bounds;

/* Whether a number may end behind i digits that are those of the bounds it is still tight to. */
static bool may_end(const fraction_bounds *f, size_t i, bool tight_low, bool tight_high) {
    bool low_rest = strspn(f->low + i, "0") < f->size - i;
    bool high_rest = strspn(f->high + i, "0") < f->size - i;
    return (!tight_low || (!low_rest && !f->low_open)) &&
           (!tight_high || high_rest || !f->high_open);
}

/* Digits behind all those of the bounds. */
static covey__guide_node *more_digits(maker *m, const fraction_bounds *f, bool tight_low,
                                      bool tight_high) {
    size_t room = f->most > f->size ? f->most - f->size : 0;
    if (room == 0) return covey__guide_nothing(m->builder);
    if (tight_high) /* zeros alone */
        return f->high_open || (tight_low && f->low_open)
                   ? covey__guide_nothing(m->builder)
                   : covey__guide_repeat(m->builder, digit(m, 0, 0), 1, room < 2 ? 1 : 2);
    if (!tight_low || !f->low_open) return digits(m, 1, room);
    covey__guide_node *zeros = covey__guide_repeat(m->builder, digit(m, 0, 0), 0, 2);
    return both(m, zeros, both(m, digit(m, 1, 9), digits(m, 0, room - 1)));
}

static covey__guide_node *fraction_digits(maker *m, const fraction_bounds *f, size_t i,
                                          bool tight_low, bool tight_high);

/* Digit i from `from` to `to`, and what may follow. */
static covey__guide_node *fraction_digit(maker *m, const fraction_bounds *f, size_t i, int from,
                                         int to, bool tight_low, bool tight_high) {
    covey__guide_node *rest = fraction_digits(m, f, i + 1, tight_low, tight_high);
    if (may_end(f, i + 1, tight_low, tight_high))
        rest = either(m, covey__guide_empty(m->builder), rest);
    return both(m, digit(m, from, to), rest);
}

/* At least one digit more, behind i of them. */
static covey__guide_node *fraction_digits(maker *m, const fraction_bounds *f, size_t i,
                                          bool tight_low, bool tight_high) {
    if (i >= f->most) return covey__guide_nothing(m->builder);
    if (!tight_low && !tight_high) return digits(m, 1, f->most - i);
    if (i == f->size) return more_digits(m, f, tight_low, tight_high);
    int from = tight_low ? f->low[i] - '0' : 0, to = tight_high ? f->high[i] - '0' : 9;
    if (tight_low && tight_high && from == to) return fraction_digit(m, f, i, from, to, true, true);
    covey__guide_node *node = covey__guide_nothing(m->builder);
    if (tight_low) {
        node = either(m, node, fraction_digit(m, f, i, from, from, true, false));
        from++;
    }
    if (tight_high) {
        node = either(m, node, fraction_digit(m, f, i, to, to, false, true));
        to--;
    }
    return from > to ? node : either(m, node, fraction_digit(m, f, i, from, to, false, false));
}

static covey__guide_node *fraction(maker *m, const covey__guide_decimal *low, bool low_open,
                                   const covey__guide_decimal *high, bool high_open, size_t most) {
    fraction_bounds f = {.low_open = low_open, .high_open = high_open, .most = most};
    size_t a = low ? strlen(low->fraction) : 0, b = high ? strlen(high->fraction) : 0;
    f.size = a > b ? a : b;
    memset(f.low, '0', f.size);
    memset(f.high, '0', f.size);
    if (low) memcpy(f.low, low->fraction, a);
    if (high) memcpy(f.high, high->fraction, b);
    covey__guide_node *node = both(m, covey__guide_text(m->builder, "."),
                                   fraction_digits(m, &f, 0, low != NULL, high != NULL));
    return may_end(&f, 0, low != NULL, high != NULL)
               ? either(m, covey__guide_empty(m->builder), node)
               : node;
}

/* ---- Numbers ---- */

static covey__guide_node *whole_text(maker *m, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return covey__guide_text(m->builder, text);
}

/* Numbers from `low` to `high`, neither negative. */
static covey__guide_node *real_between(maker *m, const covey__guide_decimal *low, bool low_open,
                                       const covey__guide_decimal *high, bool high_open,
                                       size_t most) {
    uint64_t from = whole_of(low), to = whole_of(high);
    if (covey__guide_decimal_compare(low, high) > 0) return covey__guide_nothing(m->builder);
    if (from == to)
        return both(m, whole_text(m, from), fraction(m, low, low_open, high, high_open, most));
    covey__guide_node *node =
        either(m, both(m, whole_text(m, from), fraction(m, low, low_open, NULL, false, most)),
               both(m, whole_text(m, to), fraction(m, NULL, false, high, high_open, most)));
    if (to - from < 2) return node;
    return either(
        m, node,
        both(m, whole_between(m, from + 1, to - 1), fraction(m, NULL, false, NULL, false, most)));
}

static covey__guide_node *any_real(maker *m) {
    covey__guide_builder *b = m->builder;
    covey__guide_range signs[] = {{'+', '+'}, {'-', '-'}}, exponents[] = {{'e', 'e'}, {'E', 'E'}};
    covey__guide_node *exponent[] = {
        covey__guide_chars(b, exponents, 2, false),
        covey__guide_repeat(b, covey__guide_chars(b, signs, 2, false), 0, 1), digits(m, 1, 2)};
    covey__guide_node *parts[] = {
        covey__guide_repeat(b, covey__guide_text(b, "-"), 0, 1),
        either(m, digit(m, 0, 0), both(m, digit(m, 1, 9), digits(m, 0, WHOLE_DIGITS - 1))),
        covey__guide_repeat(b, both(m, covey__guide_text(b, "."), digits(m, 1, FRACTION_DIGITS)), 0,
                            1),
        covey__guide_repeat(b, covey__guide_sequence(b, exponent, 3), 0, 1)};
    return covey__guide_sequence(b, parts, 4);
}

/* Digits of a fraction under multipleOf; false when it is none of 1, 0.1, 0.01, ... */
static bool fraction_step(const covey__guide_decimal *step, size_t *most) {
    size_t zeros = strspn(step->fraction, "0");
    if (is_one(step)) {
        *most = 0;
        return true;
    }
    *most = zeros + 1;
    return !strcmp(step->whole, "0") && step->fraction[zeros] == '1' && !step->fraction[zeros + 1];
}

static covey__guide_decimal far_away(bool negative, size_t count) {
    covey__guide_decimal d = {.negative = negative};
    memset(d.whole, '9', count);
    return d;
}

/* Fraction digits that leave a double 15 digits in all, and more than the bounds have. */
static size_t digits_behind(const covey__guide_decimal *low, const covey__guide_decimal *high) {
    size_t a = strlen(low->whole), b = strlen(high->whole), whole = a > b ? a : b;
    size_t behind = whole < WHOLE_DIGITS ? WHOLE_DIGITS - whole : 1;
    size_t c = strlen(low->fraction), d = strlen(high->fraction), bounds = c > d ? c : d;
    return behind > bounds ? behind : bounds + 1;
}

covey__guide_node *covey__guide_real(covey__guide_builder *builder,
                                     const covey__guide_bounds *bounds, const char *where) {
    maker m = {builder, where};
    size_t most = 0;
    bool stepped = bounds->has_step;
    if (!bounds->has_low && !bounds->has_high && !stepped) return any_real(&m);
    if (stepped && !fraction_step(&bounds->step, &most)) return multiples(&m, 0, 0, 1, false);
    if (stepped && most == 0) {
        covey__guide_bounds whole = *bounds;
        whole.has_step = false;
        return covey__guide_integer(builder, &whole, where);
    }
    /* Without a bound on one side: 9 digits, so that there is room for a fraction. */
    size_t count = 9, a = strlen(bounds->low.whole), b = strlen(bounds->high.whole);
    if (bounds->has_low && a >= count) count = a + 1;
    if (bounds->has_high && b >= count) count = b + 1;
    if (count > 18) count = 18;
    covey__guide_decimal zero = {.whole = "0"};
    covey__guide_decimal low = bounds->has_low ? bounds->low : far_away(true, count);
    covey__guide_decimal high = bounds->has_high ? bounds->high : far_away(false, count);
    if (strlen(low.whole) > 18) low = far_away(low.negative, low.negative ? 18 : 19);
    if (strlen(high.whole) > 18) high = far_away(high.negative, high.negative ? 19 : 18);
    if (covey__guide_decimal_compare(&low, &high) > 0 || strlen(low.whole) > 18 ||
        strlen(high.whole) > 18)
        return covey__guide_nothing(builder);
    if (!stepped) most = digits_behind(&low, &high);
    covey__guide_node *node = covey__guide_nothing(builder);
    if (!high.negative) {
        bool from_zero = low.negative;
        node = real_between(&m, from_zero ? &zero : &low, !from_zero && bounds->low_open, &high,
                            bounds->high_open, most);
    }
    if (low.negative) {
        bool to_zero = !high.negative;
        covey__guide_decimal from = to_zero ? zero : high, to = low;
        from.negative = to.negative = false;
        node = either(&m, node,
                      minus(&m, real_between(&m, &from, to_zero || bounds->high_open, &to,
                                             bounds->low_open, most)));
    }
    return node;
}
