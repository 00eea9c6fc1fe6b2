/* Filters and tests, by name. They are looked up when they are reached: a template that uses an
 * unknown one in a branch for tools still serves plain conversations. */
#include "text/template_filter.h"

#include <string.h>

covey_status covey__need_string(covey__render *r, covey__text name, const covey__value *value) {
    if (covey__is_string(value)) {
        return COVEY_OK;
    }
    return covey__render_fail(r, "\"%.*s\" takes a string, not %s", (int)name.size, name.data,
                              covey__value_kind_name(value));
}

covey_status covey__need_argument(covey__render *r, covey__text name,
                                  const covey__value *argument) {
    if (argument) {
        return COVEY_OK;
    }
    return covey__render_fail(r, "\"%.*s\" lacks an argument", (int)name.size, name.data);
}

/* The name of a filter or test as a value: only the template may say it, which also keeps messages
 * out of errors. */
static covey_status need_name(covey__render *r, covey__text name, const covey__value *value) {
    COVEY__TRY(covey__need_string(r, name, value));
    if (value->trusted && !value->as.string.spans) {
        return COVEY_OK;
    }
    return covey__render_fail(r, "\"%.*s\" is given a name that comes from a message",
                              (int)name.size, name.data);
}

covey_status covey__new_list(covey__render *r, size_t count, covey__value **items) {
    COVEY__TRY(covey__render_step(r, count * sizeof **items));
    *items = covey__render_alloc(r, count + 1, sizeof **items);
    return *items ? COVEY_OK : covey__render_no_memory(r);
}

static covey_status filter_trim(covey__render *r, covey__text name, const covey__value *value,
                                const covey__arguments *arguments, covey__value *out) {
    const covey__value *what = covey__argument(arguments, 0, "chars");
    covey__value text;
    if (what) {
        COVEY__TRY(covey__need_string(r, name, what));
    }
    COVEY__TRY(covey__value_print(r, value, &text)); /* Jinja turns values into text first */
    return covey__string_strip(r, &text, what, COVEY__SIDE_BOTH, out);
}

/* Two strings: what stands between elements, and between a name and its value. */
static covey_status read_separators(covey__render *r, const covey__value *pair,
                                    covey__json_style *style) {
    covey__text *parts[2] = {&style->between, &style->colon};
    bool two = pair->kind == COVEY__VALUE_LIST && pair->as.list.count == 2;
    for (size_t i = 0; i < 2; i++) {
        if (!two || !covey__is_string(&pair->as.list.items[i])) {
            return covey__render_fail(r, "\"tojson\" takes two strings as separators");
        }
        *parts[i] = (covey__text){pair->as.list.items[i].as.string.data,
                                  pair->as.list.items[i].as.string.size};
    }
    return COVEY_OK;
}

/* tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false), as Hugging Face has
 * it. */
static covey_status filter_tojson(covey__render *r, covey__text name, const covey__value *value,
                                  const covey__arguments *arguments, covey__value *out) {
    static const char *const known[] = {"ensure_ascii", "indent", "separators", "sort_keys"};
    const covey__value *options[4];
    covey__json_style style = {-1, {", ", 2}, {": ", 2}, false, false};
    (void)name;
    for (size_t i = arguments->positional_count; i < arguments->count; i++) {
        bool found = false;
        for (size_t k = 0; k < 4; k++) {
            found = found || covey__text_is(arguments->names[i], known[k]);
        }
        if (!found) {
            covey__text shown = arguments->foreign[i] ? (covey__text){"", 0} : arguments->names[i];
            return covey__render_unsupported(r, "for \"tojson\", the argument", shown);
        }
    }
    for (size_t k = 0; k < 4; k++) {
        options[k] = covey__argument(arguments, k, known[k]);
    }
    style.ascii = options[0] && covey__value_is_true(options[0]);
    style.sorted = options[3] && covey__value_is_true(options[3]);
    if (options[1] && options[1]->kind == COVEY__VALUE_INTEGER) {
        style.indent = options[1]->as.integer;
        style.between = (covey__text){",", 1};
    }
    if (options[2] && options[2]->kind != COVEY__VALUE_NONE) {
        COVEY__TRY(read_separators(r, options[2], &style));
    }
    return covey__value_to_json(r, value, &style, out);
}

static covey_status filter_length(covey__render *r, covey__text name, const covey__value *value,
                                  const covey__arguments *arguments, covey__value *out) {
    int64_t length;
    (void)name;
    (void)arguments;
    COVEY__TRY(covey__value_length(r, value, &length));
    *out = covey__value_integer(length);
    return COVEY_OK;
}

static covey_status filter_case(covey__render *r, covey__text name, const covey__value *value,
                                const covey__arguments *arguments, covey__value *out) {
    covey__string_case to = covey__text_is(name, "upper")   ? COVEY__CASE_UPPER
                            : covey__text_is(name, "lower") ? COVEY__CASE_LOWER
                            : covey__text_is(name, "title") ? COVEY__CASE_WORDS
                                                            : COVEY__CASE_CAPITALIZE;
    covey__value text;
    (void)arguments;
    COVEY__TRY(covey__value_print(r, value, &text));
    return covey__string_case_of(r, &text, to, out);
}

static covey_status filter_default(covey__render *r, covey__text name, const covey__value *value,
                                   const covey__arguments *arguments, covey__value *out) {
    const covey__value *other = covey__argument(arguments, 0, "default_value");
    const covey__value *by_truth = covey__argument(arguments, 1, "boolean");
    (void)r;
    (void)name;
    bool absent = value->kind == COVEY__VALUE_UNDEFINED ||
                  (by_truth && covey__value_is_true(by_truth) && !covey__value_is_true(value));
    *out = !absent ? *value : other ? *other : covey__value_text("", 0, true);
    return COVEY_OK;
}

static covey_status filter_join(covey__render *r, covey__text name, const covey__value *value,
                                const covey__arguments *arguments, covey__value *out) {
    const covey__value *separator = covey__argument(arguments, 0, "d");
    const covey__value *items;
    covey__value *parts;
    size_t count, used = 0;
    const covey__value *attribute = covey__argument(arguments, 1, "attribute");
    if (separator) {
        COVEY__TRY(covey__need_string(r, name, separator));
    }
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    COVEY__TRY(covey__new_list(r, 2 * count, &parts));
    for (size_t i = 0; i < count; i++) {
        if (separator && i > 0) {
            parts[used++] = *separator;
        }
        covey__value item = items[i];
        if (attribute) {
            COVEY__TRY(covey__value_path(r, &items[i], attribute, &item));
        }
        COVEY__TRY(covey__value_print(r, &item, &parts[used++]));
    }
    return covey__string_join(r, parts, used, out);
}

static covey_status filter_end(covey__render *r, covey__text name, const covey__value *value,
                               const covey__arguments *arguments, covey__value *out) {
    const covey__value *items;
    size_t count;
    (void)arguments;
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    *out = count == 0                      ? covey__value_undefined()
           : covey__text_is(name, "first") ? items[0]
                                           : items[count - 1];
    return COVEY_OK;
}

static covey_status filter_list(covey__render *r, covey__text name, const covey__value *value,
                                const covey__arguments *arguments, covey__value *out) {
    const covey__value *items;
    size_t count;
    (void)name;
    (void)arguments;
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    *out = covey__value_list(items, count);
    return COVEY_OK;
}

static covey_status filter_reverse(covey__render *r, covey__text name, const covey__value *value,
                                   const covey__arguments *arguments, covey__value *out) {
    covey__value bounds[3] = {covey__value_none(), covey__value_none(), covey__value_integer(-1)};
    (void)name;
    (void)arguments;
    return covey__slice(r, value, bounds, out);
}

static covey_status filter_string(covey__render *r, covey__text name, const covey__value *value,
                                  const covey__arguments *arguments, covey__value *out) {
    (void)name;
    (void)arguments;
    return covey__value_print(r, value, out);
}

static covey_status filter_safe(covey__render *r, covey__text name, const covey__value *value,
                                const covey__arguments *arguments, covey__value *out) {
    (void)r;
    (void)name;
    (void)arguments;
    *out = *value;
    return COVEY_OK;
}

/* Digits of a base, with a sign and the base's prefix; false when it is something else or beyond 64
 * bits. */
static bool read_integer(const char *text, size_t size, int64_t base, int64_t *out) {
    size_t at = size > 0 && (text[0] == '-' || text[0] == '+');
    bool negative = at > 0 && text[0] == '-';
    char prefix = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : 0;
    if (prefix && size > at + 2 && text[at] == '0' && (text[at + 1] | 32) == prefix) {
        at += 2;
    }
    bool good = at < size;
    for (*out = 0; good && at < size; at++) {
        char c = text[at];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' ? (c | 32) - 'a' + 10 : 99;
        good = digit < base && !__builtin_mul_overflow(*out, base, out) &&
               !__builtin_add_overflow(*out, negative ? -digit : digit, out);
    }
    return good;
}

static bool read_float(const char *text, size_t size, double *out) {
    char digits[64];
    bool any = false, good = size > 0 && size < sizeof digits;
    for (size_t i = 0; good && i < size; i++) {
        good = memchr("0123456789.-+eE", text[i], 15) != NULL;
        any = any || (text[i] >= '0' && text[i] <= '9');
        good = good && (!strchr("-+", text[i]) || i == 0 || (text[i - 1] | 32) == 'e');
    }
    if (good && any) {
        memcpy(digits, text, size);
        digits[size] = 0;
        covey__json json = {.kind = COVEY__JSON_NUMBER, .text = digits, .size = size};
        *out = covey__json_to_f64(&json);
    }
    return good && any;
}

/* int(default=0, base=10) and float(default=0.0): what is no number is the default. */
static covey_status filter_number(covey__render *r, covey__text name, const covey__value *value,
                                  const covey__arguments *arguments, covey__value *out) {
    bool whole = covey__text_is(name, "int"), found = covey__is_number(value);
    const covey__value *otherwise = covey__argument(arguments, 0, "default");
    const covey__value *base = covey__argument(arguments, 1, "base");
    covey__value trimmed = *value;
    int64_t integer;
    double number = found ? covey__value_number(value) : 0.0;
    if (covey__is_string(value)) {
        COVEY__TRY(covey__string_strip(r, value, NULL, COVEY__SIDE_BOTH, &trimmed));
        const char *text = trimmed.as.string.data;
        size_t size = trimmed.as.string.size;
        int64_t of = base && base->kind == COVEY__VALUE_INTEGER ? base->as.integer : 10;
        if (whole && of >= 2 && of <= 36 && read_integer(text, size, of, &integer)) {
            *out = covey__value_integer(integer);
            return COVEY_OK;
        }
        found = read_float(text, size, &number);
    }
    if (!found) {
        *out = otherwise ? *otherwise : whole ? covey__value_integer(0) : covey__value_float(0.0);
    } else if (whole && value->kind == COVEY__VALUE_INTEGER) {
        *out = *value;
    } else if (whole) {
        bool fits = number > -9.2e18 && number < 9.2e18;
        *out = covey__value_integer(fits ? (int64_t)number : 0);
    } else {
        *out = covey__value_float(number);
    }
    return COVEY_OK;
}

static covey_status filter_replace(covey__render *r, covey__text name, const covey__value *value,
                                   const covey__arguments *arguments, covey__value *out) {
    const covey__value *old = covey__argument(arguments, 0, "old");
    const covey__value *with = covey__argument(arguments, 1, "new");
    const covey__value *count = covey__argument(arguments, 2, "count");
    COVEY__TRY(covey__need_argument(r, name, old));
    COVEY__TRY(covey__need_argument(r, name, with));
    COVEY__TRY(covey__need_string(r, name, value));
    COVEY__TRY(covey__need_string(r, name, old));
    COVEY__TRY(covey__need_string(r, name, with));
    int64_t count_max = count && count->kind == COVEY__VALUE_INTEGER ? count->as.integer : -1;
    return covey__string_replace(r, value, old, with, count_max, out);
}

static covey_status filter_items(covey__render *r, covey__text name, const covey__value *value,
                                 const covey__arguments *arguments, covey__value *out) {
    (void)arguments;
    if (value->kind == COVEY__VALUE_UNDEFINED) {
        *out = covey__value_list(NULL, 0);
        return COVEY_OK;
    }
    if (value->kind != COVEY__VALUE_DICT) {
        return covey__render_fail(r, "\"%.*s\" takes a mapping, not %s", (int)name.size, name.data,
                                  covey__value_kind_name(value));
    }
    const covey__dict *dict = value->as.dict;
    covey__value *pairs;
    COVEY__TRY(covey__new_list(r, dict->count, &pairs));
    for (size_t i = 0; i < dict->count; i++) {
        covey__value *pair;
        COVEY__TRY(covey__new_list(r, 2, &pair));
        pair[0] = dict->entries[i].key;
        pair[1] = dict->entries[i].value;
        pairs[i] = covey__value_tuple(pair, 2);
    }
    *out = covey__value_list(pairs, dict->count);
    return COVEY_OK;
}

/* select, reject, selectattr, rejectattr: by a test, or by truth where none is named. */
static covey_status filter_select(covey__render *r, covey__text name, const covey__value *value,
                                  const covey__arguments *arguments, covey__value *out) {
    bool by_attribute = name.size > 6;
    const covey__value *attribute = by_attribute ? covey__argument(arguments, 0, "") : NULL;
    const covey__value *test = covey__argument(arguments, by_attribute, "");
    covey__arguments rest = {.count = 0};
    const covey__value *items;
    covey__value *kept;
    size_t count, used = 0;
    if (by_attribute) {
        COVEY__TRY(covey__need_argument(r, name, attribute));
        COVEY__TRY(covey__need_string(r, name, attribute));
    }
    if (test) {
        COVEY__TRY(need_name(r, name, test));
    }
    for (size_t i = by_attribute + 1u; i < arguments->positional_count; i++) {
        rest.values[rest.count++] = arguments->values[i];
    }
    rest.positional_count = rest.count;
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    COVEY__TRY(covey__new_list(r, count, &kept));
    for (size_t i = 0; i < count; i++) {
        covey__value tested = items[i];
        bool holds;
        if (attribute) {
            COVEY__TRY(covey__value_path(r, &items[i], attribute, &tested));
        }
        holds = covey__value_is_true(&tested);
        if (test) {
            covey__text test_name = {test->as.string.data, test->as.string.size};
            COVEY__TRY(covey__apply_test(r, test_name, &tested, &rest, &holds));
        }
        if (holds == (name.data[0] == 's')) {
            kept[used++] = items[i];
        }
    }
    *out = covey__value_list(kept, used);
    return COVEY_OK;
}

/* map(attribute="name"), or map("filter", arguments…). */
static covey_status filter_map(covey__render *r, covey__text name, const covey__value *value,
                               const covey__arguments *arguments, covey__value *out) {
    const covey__value *attribute = covey__argument(arguments, 99, "attribute");
    const covey__value *otherwise = covey__argument(arguments, 99, "default");
    const covey__value *filter = covey__argument(arguments, 0, "");
    const covey__value *items;
    covey__arguments rest = {.count = 0};
    covey__value *mapped;
    size_t count;
    COVEY__TRY(covey__need_argument(r, name, attribute ? attribute : filter));
    COVEY__TRY(need_name(r, name, attribute ? attribute : filter));
    for (size_t i = 1; i < arguments->positional_count; i++) {
        rest.values[rest.count++] = arguments->values[i];
    }
    rest.positional_count = rest.count;
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    COVEY__TRY(covey__new_list(r, count, &mapped));
    for (size_t i = 0; i < count; i++) {
        if (attribute) {
            COVEY__TRY(covey__value_path(r, &items[i], attribute, &mapped[i]));
            if (otherwise && mapped[i].kind == COVEY__VALUE_UNDEFINED) {
                mapped[i] = *otherwise;
            }
            continue;
        }
        covey__text filter_name = {filter->as.string.data, filter->as.string.size};
        COVEY__TRY(covey__render_enter(r, COVEY__STACK_CALL));
        COVEY__TRY(covey__apply_filter(r, filter_name, &items[i], &rest, &mapped[i]));
        covey__render_leave(r, COVEY__STACK_CALL);
    }
    *out = covey__value_list(mapped, count);
    return COVEY_OK;
}

covey_status covey__apply_filter(covey__render *r, covey__text name, const covey__value *value,
                                 const covey__arguments *arguments, covey__value *out) {
    static const struct {
        const char *name;
        covey__filter_fn apply;
    } filters[] = {
        {"trim", filter_trim},         {"tojson", filter_tojson},   {"length", filter_length},
        {"count", filter_length},      {"upper", filter_case},      {"lower", filter_case},
        {"title", filter_case},        {"capitalize", filter_case}, {"default", filter_default},
        {"d", filter_default},         {"join", filter_join},       {"first", filter_end},
        {"last", filter_end},          {"list", filter_list},       {"reverse", filter_reverse},
        {"string", filter_string},     {"safe", filter_safe},       {"int", filter_number},
        {"float", filter_number},      {"replace", filter_replace}, {"items", filter_items},
        {"select", filter_select},     {"reject", filter_select},   {"selectattr", filter_select},
        {"rejectattr", filter_select}, {"map", filter_map},
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (covey__text_is(name, filters[i].name)) {
            return filters[i].apply(r, name, value, arguments, out);
        }
    }
    covey__filter_fn found = covey__find_list_filter(name);
    found = found ? found : covey__find_text_filter(name);
    return found ? found(r, name, value, arguments, out)
                 : covey__render_unsupported(r, "the filter", name);
}

/* ---- tests ---- */

/* Tests that look at the value alone: 1 true, 0 false, -1 not one of them. */
static int simple_test(covey__text name, const covey__value *value) {
    covey__value_kind kind = value->kind;
    const struct {
        const char *name;
        bool holds;
    } tests[] = {
        {"defined", kind != COVEY__VALUE_UNDEFINED},
        {"undefined", kind == COVEY__VALUE_UNDEFINED},
        {"none", kind == COVEY__VALUE_NONE},
        {"string", kind == COVEY__VALUE_STRING},
        {"mapping", kind == COVEY__VALUE_DICT},
        {"sequence", kind == COVEY__VALUE_LIST || kind == COVEY__VALUE_STRING ||
                         kind == COVEY__VALUE_DICT || kind == COVEY__VALUE_UNDEFINED},
        {"iterable", kind == COVEY__VALUE_LIST || kind == COVEY__VALUE_STRING ||
                         kind == COVEY__VALUE_DICT || kind == COVEY__VALUE_UNDEFINED},
        {"number", covey__is_number(value)},
        {"integer", kind == COVEY__VALUE_INTEGER},
        {"float", kind == COVEY__VALUE_FLOAT},
        {"boolean", kind == COVEY__VALUE_BOOL},
        {"true", kind == COVEY__VALUE_BOOL && value->as.boolean},
        {"false", kind == COVEY__VALUE_BOOL && !value->as.boolean},
        {"callable",
         kind == COVEY__VALUE_MACRO || kind == COVEY__VALUE_FUNCTION || kind == COVEY__VALUE_LOOP},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (covey__text_is(name, tests[i].name)) {
            return tests[i].holds;
        }
    }
    return -1;
}

static covey_status number_test(covey__render *r, covey__text name, const covey__value *value,
                                const covey__arguments *arguments, bool *out) {
    int64_t by = 2;
    if (covey__text_is(name, "divisibleby")) {
        const covey__value *argument = covey__argument(arguments, 0, "num");
        COVEY__TRY(covey__need_argument(r, name, argument));
        by = argument->kind == COVEY__VALUE_INTEGER ? argument->as.integer : 0;
    }
    if (value->kind != COVEY__VALUE_INTEGER || by == 0 || by == -1) {
        return covey__render_fail(r, "\"%.*s\" takes integers other than 0", (int)name.size,
                                  name.data);
    }
    *out = (value->as.integer % by == 0) != covey__text_is(name, "odd");
    return COVEY_OK;
}

/* Whether a string has letters with a case, all of them of this one. */
static covey_status case_test(covey__render *r, covey__text name, const covey__value *value,
                              bool *out) {
    covey__value text, upper, lower;
    COVEY__TRY(covey__value_print(r, value, &text));
    COVEY__TRY(covey__string_case_of(r, &text, COVEY__CASE_UPPER, &upper));
    COVEY__TRY(covey__string_case_of(r, &text, COVEY__CASE_LOWER, &lower));
    bool is_upper = covey__value_order(&text, &upper) == 0;
    bool is_lower = covey__value_order(&text, &lower) == 0;
    *out = covey__text_is(name, "upper") ? is_upper && !is_lower : is_lower && !is_upper;
    return COVEY_OK;
}

covey_status covey__apply_test(covey__render *r, covey__text name, const covey__value *value,
                               const covey__arguments *arguments, bool *out) {
    static const struct {
        const char *name, *sign;
    } comparisons[] = {{"eq", "=="},      {"equalto", "=="}, {"==", "=="}, {"sameas", "=="},
                       {"ne", "!="},      {"!=", "!="},      {"gt", ">"},  {"greaterthan", ">"},
                       {">", ">"},        {"ge", ">="},      {">=", ">="}, {"lt", "<"},
                       {"lessthan", "<"}, {"<", "<"},        {"le", "<="}, {"<=", "<="},
                       {"in", "in"}};
    int simple = simple_test(name, value);
    if (simple >= 0) {
        *out = simple;
        return COVEY_OK;
    }
    if (covey__text_is(name, "odd") || covey__text_is(name, "even") ||
        covey__text_is(name, "divisibleby")) {
        return number_test(r, name, value, arguments, out);
    }
    if (covey__text_is(name, "upper") || covey__text_is(name, "lower")) {
        return case_test(r, name, value, out);
    }
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
        if (covey__text_is(name, comparisons[i].name)) {
            const covey__value *other = covey__argument(arguments, 0, "other");
            covey__text sign = {comparisons[i].sign, strlen(comparisons[i].sign)};
            covey__value result;
            COVEY__TRY(covey__need_argument(r, name, other));
            COVEY__TRY(covey__apply_operator(r, sign, value, other, &result));
            *out = covey__value_is_true(&result);
            return COVEY_OK;
        }
    }
    return covey__render_unsupported(r, "the test", name);
}
