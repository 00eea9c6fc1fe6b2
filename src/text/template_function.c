/* The functions that every template can call: namespace, dict, range, raise_exception,
 * strftime_now. */
#include "text/template_value.h"

#include <string.h>
#include <time.h>

enum { RANGE_MAX = 100000 };

static covey_status call_namespace(covey__render *r, const covey__arguments *arguments,
                                   covey__value *out) {
    const covey__value *from = covey__argument(arguments, 0, "");
    COVEY__TRY(covey__dict_new(r, COVEY__VALUE_NAMESPACE, out));
    for (size_t i = 0; from && covey__is_dict(from) && i < from->as.dict->count; i++) {
        const covey__dict_entry *entry = &from->as.dict->entries[i];
        COVEY__TRY(covey__dict_set(r, out->as.dict, &entry->key, &entry->value));
    }
    for (size_t i = arguments->positional_count; i < arguments->count; i++) {
        covey__value key = covey__argument_key(arguments, i);
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
    if (!format || !covey__is_string(format)) {
        return covey__render_fail(r, "strftime_now() takes a string");
    }
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
