/* Methods of strings and mappings, as Python has them, and the functions that every template can
 * call: namespace, range, raise_exception, strftime_now. */
#include "text/template_value.h"

#include <string.h>
#include <time.h>

enum { RANGE_MAX = 100000 };

static covey_status string_argument(covey__render *r, covey__text name,
                                    const covey__value *argument) {
    if (argument && covey__is_string(argument)) {
        return COVEY_OK;
    }
    return covey__render_fail(r, ".%.*s() takes a string, not %s", (int)name.size, name.data,
                              argument ? covey__value_kind_name(argument) : "nothing");
}

static int64_t count_argument(const covey__arguments *arguments, size_t index, const char *name) {
    const covey__value *count = covey__argument(arguments, index, name);
    return count && count->kind == COVEY__VALUE_INTEGER ? count->as.integer : -1;
}

static covey_status method_strip(covey__render *r, covey__text name, const covey__value *self,
                                 const covey__arguments *arguments, covey__value *out) {
    const covey__value *what = covey__argument(arguments, 0, "chars");
    covey__string_side side = name.data[0] == 'l'   ? COVEY__SIDE_LEFT
                              : name.data[0] == 'r' ? COVEY__SIDE_RIGHT
                                                    : COVEY__SIDE_BOTH;
    if (what && what->kind == COVEY__VALUE_NONE) {
        what = NULL;
    }
    if (what) {
        COVEY__TRY(string_argument(r, name, what));
    }
    return covey__string_strip(r, self, what, side, out);
}

static bool has_end(const covey__value *self, const covey__value *part, bool start) {
    size_t size = part->as.string.size;
    if (size > self->as.string.size) {
        return false;
    }
    size_t from = start ? 0 : self->as.string.size - size;
    return memcmp(self->as.string.data + from, part->as.string.data, size) == 0;
}

/* startswith, endswith: of one string, or of any of a tuple. */
static covey_status method_ends(covey__render *r, covey__text name, const covey__value *self,
                                const covey__arguments *arguments, covey__value *out) {
    const covey__value *part = covey__argument(arguments, 0, "");
    size_t count = 1;
    if (part && part->kind == COVEY__VALUE_LIST) {
        count = part->as.list.count;
        part = part->as.list.items;
    }
    bool holds = false;
    for (size_t i = 0; i < count; i++) {
        const covey__value *one = part ? part + i : NULL;
        COVEY__TRY(string_argument(r, name, one));
        COVEY__TRY(covey__render_step(r, one->as.string.size));
        holds = holds || has_end(self, one, name.data[0] == 's');
    }
    *out = covey__value_bool(holds);
    return COVEY_OK;
}

static covey_status method_split(covey__render *r, covey__text name, const covey__value *self,
                                 const covey__arguments *arguments, covey__value *out) {
    const covey__value *separator = covey__argument(arguments, 0, "sep");
    if (separator && separator->kind == COVEY__VALUE_NONE) {
        separator = NULL;
    }
    if (separator) {
        COVEY__TRY(string_argument(r, name, separator));
    }
    return covey__string_split(r, self, separator, count_argument(arguments, 1, "maxsplit"), out);
}

static covey_status method_replace(covey__render *r, covey__text name, const covey__value *self,
                                   const covey__arguments *arguments, covey__value *out) {
    const covey__value *old = covey__argument(arguments, 0, "old");
    const covey__value *with = covey__argument(arguments, 1, "new");
    COVEY__TRY(string_argument(r, name, old));
    COVEY__TRY(string_argument(r, name, with));
    return covey__string_replace(r, self, old, with, count_argument(arguments, 2, "count"), out);
}

static covey_status method_case(covey__render *r, covey__text name, const covey__value *self,
                                const covey__arguments *arguments, covey__value *out) {
    (void)arguments;
    covey__string_case to = covey__text_is(name, "upper")   ? COVEY__CASE_UPPER
                            : covey__text_is(name, "lower") ? COVEY__CASE_LOWER
                            : covey__text_is(name, "title") ? COVEY__CASE_TITLE
                                                            : COVEY__CASE_CAPITALIZE;
    return covey__string_case_of(r, self, to, out);
}

/* In characters, as Python counts; -1 when it is not there. */
static covey_status method_find(covey__render *r, covey__text name, const covey__value *self,
                                const covey__arguments *arguments, covey__value *out) {
    const covey__value *part = covey__argument(arguments, 0, "");
    int64_t length = -1;
    COVEY__TRY(string_argument(r, name, part));
    COVEY__TRY(covey__render_step(r, self->as.string.size));
    int64_t at = covey__string_find(self, part, 0);
    if (at >= 0) {
        covey__value before = covey__value_text(self->as.string.data, (size_t)at, true);
        COVEY__TRY(covey__value_length(r, &before, &length));
    }
    *out = covey__value_integer(length);
    return COVEY_OK;
}

static covey_status method_join(covey__render *r, covey__text name, const covey__value *self,
                                const covey__arguments *arguments, covey__value *out) {
    const covey__value *items = covey__argument(arguments, 0, "");
    covey__arguments separator = {.count = 1, .positional_count = 1};
    separator.values[0] = *self;
    if (!items) {
        return string_argument(r, name, items);
    }
    return covey__apply_filter(r, name, items, &separator, out);
}

static covey_status dict_part(covey__render *r, covey__text name, const covey__value *self,
                              const covey__arguments *arguments, covey__value *out) {
    if (covey__text_is(name, "get")) {
        const covey__value *key = covey__argument(arguments, 0, "");
        const covey__value *otherwise = covey__argument(arguments, 1, "default");
        COVEY__TRY(string_argument(r, name, key));
        COVEY__TRY(covey__render_step(r, self->as.dict->count));
        const covey__value *found =
            covey__dict_get(self->as.dict, key->as.string.data, key->as.string.size);
        *out = found ? *found : otherwise ? *otherwise : covey__value_none();
        return COVEY_OK;
    }
    covey__text items = {"items", 5};
    covey__value pairs;
    COVEY__TRY(covey__apply_filter(r, items, self, arguments, &pairs));
    if (covey__text_is(name, "items")) {
        *out = pairs;
        return COVEY_OK;
    }
    covey__value *parts = covey__render_alloc(r, pairs.as.list.count + 1, sizeof *parts);
    if (!parts) {
        return covey__render_no_memory(r);
    }
    for (size_t i = 0; i < pairs.as.list.count; i++) {
        parts[i] = pairs.as.list.items[i].as.list.items[covey__text_is(name, "values")];
    }
    *out = covey__value_list(parts, pairs.as.list.count);
    return COVEY_OK;
}

covey_status covey__call_method(covey__render *r, covey__text name, const covey__value *self,
                                const covey__arguments *arguments, covey__value *out) {
    static const struct {
        const char *name;
        bool of_string;
        covey_status (*call)(covey__render *r, covey__text name, const covey__value *self,
                             const covey__arguments *arguments, covey__value *out);
    } methods[] = {
        {"strip", true, method_strip},     {"lstrip", true, method_strip},
        {"rstrip", true, method_strip},    {"startswith", true, method_ends},
        {"endswith", true, method_ends},   {"split", true, method_split},
        {"replace", true, method_replace}, {"upper", true, method_case},
        {"lower", true, method_case},      {"title", true, method_case},
        {"capitalize", true, method_case}, {"find", true, method_find},
        {"join", true, method_join},       {"items", false, dict_part},
        {"keys", false, dict_part},        {"values", false, dict_part},
        {"get", false, dict_part},
    };
    bool string = covey__is_string(self), dict = self->kind == COVEY__VALUE_DICT;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (covey__text_is(name, methods[i].name) && (methods[i].of_string ? string : dict)) {
            return methods[i].call(r, name, self, arguments, out);
        }
    }
    if (string || dict) {
        return covey__render_unsupported(r, "the method", name);
    }
    return covey__render_fail(r, "%s has no method \"%.*s\"", covey__value_kind_name(self),
                              (int)name.size, name.data);
}

/* ---- functions ---- */

static covey_status call_namespace(covey__render *r, const covey__arguments *arguments,
                                   covey__value *out) {
    COVEY__TRY(covey__dict_new(r, COVEY__VALUE_NAMESPACE, out));
    for (size_t i = arguments->positional_count; i < arguments->count; i++) {
        covey__text name = arguments->names[i];
        covey__value key = covey__value_text(name.data, name.size, true);
        COVEY__TRY(covey__dict_set(r, out->as.dict, &key, &arguments->values[i]));
    }
    return COVEY_OK;
}

static covey_status call_range(covey__render *r, const covey__arguments *arguments,
                               covey__value *out) {
    int64_t bounds[3] = {0, 0, 1};
    for (size_t i = 0; i < arguments->count; i++) {
        if (i > 2 || arguments->values[i].kind != COVEY__VALUE_INTEGER) {
            return covey__render_fail(r, "range() takes one to three integers");
        }
        bounds[arguments->count == 1 ? 1 : i] = arguments->values[i].as.integer;
    }
    int64_t step = bounds[2], count = 0;
    if (step == 0 || bounds[0] < -RANGE_MAX || bounds[0] > RANGE_MAX || step > RANGE_MAX ||
        step < -RANGE_MAX) {
        return covey__render_fail(r, "range() takes steps other than 0, and up to %d", RANGE_MAX);
    }
    covey__value *items = NULL;
    for (int pass = 0; pass < 2; pass++) {
        count = 0;
        for (int64_t at = bounds[0]; step > 0 ? at < bounds[1] : at > bounds[1]; at += step) {
            if (count == RANGE_MAX) {
                return covey__render_fail(r, "range() gives more than %d numbers", RANGE_MAX);
            }
            if (items) {
                items[count] = covey__value_integer(at);
            }
            count++;
        }
        COVEY__TRY(covey__render_step(r, (size_t)count * sizeof *items));
        items = items ? items : covey__render_alloc(r, (size_t)count + 1, sizeof *items);
        if (!items) {
            return covey__render_no_memory(r);
        }
    }
    *out = covey__value_list(items, (size_t)count);
    return COVEY_OK;
}

/* Only what the template itself wrote is shown: a message may not reach a log this way. */
static covey_status call_raise(covey__render *r, const covey__arguments *arguments) {
    const covey__value *message = covey__argument(arguments, 0, "message");
    char shown[200] = "no reason given";
    if (message && covey__is_string(message) && !message->as.string.spans && message->trusted) {
        (void)covey__printable(message->as.string.data, message->as.string.size, shown,
                               sizeof shown);
    }
    return covey__render_fail(r, "the template refuses this conversation: %s", shown);
}

/* One letter of strftime's; false when it is not here. */
static bool append_time(covey__buffer *out, const struct tm *time, char letter, bool padded) {
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    const struct {
        char letter;
        int value;
    } numbers[] = {{'d', time->tm_mday},
                   {'m', time->tm_mon + 1},
                   {'y', time->tm_year % 100},
                   {'H', time->tm_hour},
                   {'M', time->tm_min},
                   {'S', time->tm_sec},
                   {'I', (time->tm_hour + 11) % 12 + 1}};
    switch (letter) {
    case 'b':
        return covey__buffer_append(out, months[time->tm_mon], 3) == COVEY_OK;
    case 'B':
        return covey__buffer_text(out, months[time->tm_mon]) == COVEY_OK;
    case 'a':
        return covey__buffer_append(out, days[time->tm_wday], 3) == COVEY_OK;
    case 'A':
        return covey__buffer_text(out, days[time->tm_wday]) == COVEY_OK;
    case 'Y':
        return covey__buffer_format(out, "%d", time->tm_year + 1900) == COVEY_OK;
    case 'j':
        return covey__buffer_format(out, padded ? "%03d" : "%d", time->tm_yday + 1) == COVEY_OK;
    case 'p':
        return covey__buffer_text(out, time->tm_hour < 12 ? "AM" : "PM") == COVEY_OK;
    case '%':
        return covey__buffer_byte(out, '%') == COVEY_OK;
    default:
        break;
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i].letter == letter) {
            return covey__buffer_format(out, padded ? "%02d" : "%d", numbers[i].value) == COVEY_OK;
        }
    }
    return false;
}

static covey_status call_strftime(covey__render *r, const covey__arguments *arguments,
                                  covey__value *out) {
    const covey__value *format = covey__argument(arguments, 0, "format");
    covey__text name = {"strftime_now", 12};
    COVEY__TRY(string_argument(r, name, format));
    time_t seconds = (time_t)(r->now_ms / 1000);
    struct tm time;
    if (!gmtime_r(&seconds, &time) || time.tm_year > 8099) {
        return covey__render_fail(r, "the clock's time is out of range");
    }
    covey__buffer text;
    covey__buffer_init(&text, r->env, 4096);
    bool good = true;
    const char *data = format->as.string.data;
    size_t size = format->as.string.size, at = 0;
    while (good && at < size) {
        if (data[at] != '%') {
            good = covey__buffer_byte(&text, data[at++]) == COVEY_OK;
            continue;
        }
        bool padded = at + 1 >= size || data[at + 1] != '-';
        at += padded ? 1 : 2;
        good = at < size && append_time(&text, &time, data[at], padded);
        at++;
    }
    covey_status status = covey__buffer_check(&text, r->error, "template: a date");
    char *copy = good && status == COVEY_OK ? covey__render_alloc(r, text.size + 1, 1) : NULL;
    if (copy) {
        if (text.size > 0) {
            memcpy(copy, text.data, text.size);
        }
        *out = covey__value_text(copy, text.size, true);
    } else if (status == COVEY_OK) {
        bool own = format->trusted && !format->as.string.spans; /* not out of a message */
        covey__text shown = {data, own ? size : 0};
        status = good ? covey__render_no_memory(r)
                      : covey__render_unsupported(r, "the date's format", shown);
    }
    covey__buffer_free(&text);
    return status;
}

covey_status covey__call_function(covey__render *r, covey__text name,
                                  const covey__arguments *arguments, covey__value *out) {
    if (covey__text_is(name, "namespace") || covey__text_is(name, "dict")) {
        COVEY__TRY(call_namespace(r, arguments, out));
        out->kind = name.data[0] == 'd' ? COVEY__VALUE_DICT : COVEY__VALUE_NAMESPACE;
        return COVEY_OK;
    }
    if (covey__text_is(name, "range")) {
        return call_range(r, arguments, out);
    }
    if (covey__text_is(name, "raise_exception")) {
        return call_raise(r, arguments);
    }
    if (covey__text_is(name, "strftime_now")) {
        return call_strftime(r, arguments, out);
    }
    return covey__render_unsupported(r, "the function", name);
}
