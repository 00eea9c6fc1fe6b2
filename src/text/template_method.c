/* Methods of strings, mappings, lists and loops, as Python has them. */
#include "text/template_value.h"

#include <string.h>

enum { PARTS_MAX = 1024, WIDTH_MAX = 1000 };

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

/* The byte at which `part` last begins, or -1. */
static int64_t find_last(const covey__value *self, const covey__value *part) {
    int64_t last = -1;
    for (int64_t at = covey__string_find(self, part, 0); at >= 0;
         at = (size_t)at < self->as.string.size ? covey__string_find(self, part, (size_t)at + 1)
                                                : -1) {
        last = at;
    }
    return last;
}

/* find, rfind, index: in characters, as Python counts; -1 when it is not there. */
static covey_status method_find(covey__render *r, covey__text name, const covey__value *self,
                                const covey__arguments *arguments, covey__value *out) {
    const covey__value *part = covey__argument(arguments, 0, "");
    int64_t length = -1;
    COVEY__TRY(string_argument(r, name, part));
    COVEY__TRY(covey__render_step(r, 8 * self->as.string.size));
    int64_t at = name.data[0] == 'r' ? find_last(self, part) : covey__string_find(self, part, 0);
    if (at >= 0) {
        covey__value before = covey__value_text(self->as.string.data, (size_t)at, true);
        COVEY__TRY(covey__value_length(r, &before, &length));
    } else if (name.data[0] == 'i') {
        return covey__render_fail(r, ".index() does not find its argument");
    }
    *out = covey__value_integer(length);
    return COVEY_OK;
}

static covey_status method_count(covey__render *r, covey__text name, const covey__value *self,
                                 const covey__arguments *arguments, covey__value *out) {
    const covey__value *part = covey__argument(arguments, 0, "");
    int64_t count = 0;
    COVEY__TRY(string_argument(r, name, part));
    COVEY__TRY(covey__render_step(r, self->as.string.size));
    if (part->as.string.size == 0) {
        COVEY__TRY(covey__value_length(r, self, &count));
        *out = covey__value_integer(count + 1);
        return COVEY_OK;
    }
    for (int64_t at = covey__string_find(self, part, 0); at >= 0;
         at = covey__string_find(self, part, (size_t)at + part->as.string.size)) {
        count++;
    }
    *out = covey__value_integer(count);
    return COVEY_OK;
}

/* rsplit(sep, maxsplit): as split, but the last splits are made where not all are. */
static covey_status method_rsplit(covey__render *r, covey__text name, const covey__value *self,
                                  const covey__arguments *arguments, covey__value *out) {
    const covey__value *separator = covey__argument(arguments, 0, "sep");
    int64_t most = count_argument(arguments, 1, "maxsplit");
    covey__value all, first;
    bool given = separator && separator->kind != COVEY__VALUE_NONE;
    if (given) {
        COVEY__TRY(string_argument(r, name, separator));
    }
    COVEY__TRY(covey__string_split(r, self, given ? separator : NULL, -1, &all));
    size_t count = all.as.list.count;
    if (most < 0 || count <= (size_t)most + 1) {
        *out = all;
        return COVEY_OK;
    }
    if (!given) {
        return covey__render_unsupported(r, "at white space, the method", name);
    }
    size_t joined = count - (size_t)most;
    covey__value *parts = covey__render_alloc(r, 2 * joined + (size_t)most + 1, sizeof *parts);
    if (!parts) {
        return covey__render_no_memory(r);
    }
    for (size_t i = 0; i < joined; i++) {
        parts[2 * i] = all.as.list.items[i];
        parts[2 * i + 1] = *separator;
    }
    COVEY__TRY(covey__string_join(r, parts, 2 * joined - 1, &first));
    parts[0] = first;
    for (size_t i = 0; i < (size_t)most; i++) {
        parts[i + 1] = all.as.list.items[joined + i];
    }
    *out = covey__value_list(parts, (size_t)most + 1);
    return COVEY_OK;
}

/* Lines without their ends; the last one only where something stands in it. */
static covey_status method_splitlines(covey__render *r, covey__text name, const covey__value *self,
                                      const covey__arguments *arguments, covey__value *out) {
    covey__value line_end = covey__value_text("\n", 1, true), pair, lines, plain;
    pair = covey__value_text("\r\n", 2, true);
    (void)name;
    (void)arguments;
    COVEY__TRY(covey__string_replace(r, self, &pair, &line_end, -1, &plain));
    COVEY__TRY(covey__string_split(r, &plain, &line_end, -1, &lines));
    size_t count = lines.as.list.count;
    bool empty_end = count > 0 && lines.as.list.items[count - 1].as.string.size == 0;
    *out = covey__value_list(lines.as.list.items, count - empty_end);
    return COVEY_OK;
}

/* removeprefix, removesuffix. */
static covey_status method_remove(covey__render *r, covey__text name, const covey__value *self,
                                  const covey__arguments *arguments, covey__value *out) {
    const covey__value *part = covey__argument(arguments, 0, "");
    bool prefix = covey__text_is(name, "removeprefix");
    COVEY__TRY(string_argument(r, name, part));
    size_t size = self->as.string.size;
    size_t cut = has_end(self, part, prefix) ? part->as.string.size : 0;
    return covey__string_slice(r, self, prefix ? cut : 0, prefix ? size : size - cut, out);
}

/* isdigit and their like: not empty, and all of a kind. isupper and islower look at letters alone.
 */
static covey_status method_is(covey__render *r, covey__text name, const covey__value *self,
                              const covey__arguments *arguments, covey__value *out) {
    (void)arguments;
    if (covey__text_is(name, "isupper") || covey__text_is(name, "islower")) {
        covey__arguments none = {.count = 0};
        bool holds;
        COVEY__TRY(
            covey__apply_test(r, (covey__text){name.data + 2, name.size - 2}, self, &none, &holds));
        *out = covey__value_bool(holds);
        return COVEY_OK;
    }
    bool all = self->as.string.size > 0;
    COVEY__TRY(covey__render_step(r, self->as.string.size));
    for (size_t at = 0; all && at < self->as.string.size;) {
        covey__utf8_char c =
            covey__utf8_decode(self->as.string.data + at, self->as.string.size - at);
        covey__unicode_class class = covey__unicode_class_of(c.code);
        bool letter = class == COVEY__UNICODE_LETTER, number = class == COVEY__UNICODE_NUMBER;
        all = covey__text_is(name, "isalpha")   ? letter
              : covey__text_is(name, "isalnum") ? letter || number
              : covey__text_is(name, "isspace") ? class == COVEY__UNICODE_SPACE
                                                : number;
        at += c.size;
    }
    *out = covey__value_bool(all);
    return COVEY_OK;
}

/* ljust, rjust, zfill. */
static covey_status method_pad(covey__render *r, covey__text name, const covey__value *self,
                               const covey__arguments *arguments, covey__value *out) {
    const covey__value *fill = covey__argument(arguments, 1, "fillchar");
    int64_t width = count_argument(arguments, 0, "width"), length;
    covey__value parts[2], one = covey__value_text(name.data[0] == 'z' ? "0" : " ", 1, true);
    COVEY__TRY(covey__value_length(r, self, &length));
    if (width > WIDTH_MAX) {
        return covey__render_fail(r, ".%.*s() takes up to %d", (int)name.size, name.data,
                                  WIDTH_MAX);
    }
    covey__value times = covey__value_integer(width > length ? width - length : 0);
    COVEY__TRY(covey__apply_operator(r, (covey__text){"*", 1},
                                     fill && covey__is_string(fill) ? fill : &one, &times,
                                     &parts[name.data[0] == 'l']));
    parts[name.data[0] != 'l'] = *self;
    return covey__string_join(r, parts, 2, out);
}

/* "{} {0} {name}".format(…), without what could stand behind a colon. */
static covey_status method_format(covey__render *r, covey__text name, const covey__value *self,
                                  const covey__arguments *arguments, covey__value *out) {
    const char *text = self->as.string.data;
    size_t size = self->as.string.size, from = 0, used = 0, next = 0;
    covey__value *parts = covey__render_alloc(r, 2 * PARTS_MAX + 1, sizeof *parts);
    if (!parts) {
        return covey__render_no_memory(r);
    }
    COVEY__TRY(covey__render_step(r, size));
    for (size_t at = 0; at < size; at++) {
        if (text[at] != '{' && text[at] != '}') {
            continue;
        }
        size_t end = at + 1;
        const covey__value *value = NULL;
        covey__value brace = covey__value_text(text + at, 1, self->trusted);
        if (end < size && text[end] == text[at]) {
            value = &brace;
        } else if (text[at] == '{') {
            size_t index = 0;
            bool digits = true;
            for (; end < size && text[end] != '}'; end++) {
                digits = digits && text[end] >= '0' && text[end] <= '9';
                index = digits && index < 1000 ? index * 10 + (size_t)(text[end] - '0') : index;
            }
            covey__text field = {text + at + 1, end - at - 1};
            index = field.size == 0 ? next++ : index;
            value =
                digits && index < arguments->positional_count ? &arguments->values[index] : NULL;
            for (size_t i = arguments->positional_count; !digits && i < arguments->count; i++) {
                bool same = arguments->names[i].size == field.size &&
                            memcmp(arguments->names[i].data, field.data, field.size) == 0;
                value = same ? &arguments->values[i] : value;
            }
        }
        if (!value || end >= size || used + 2 > 2 * PARTS_MAX) {
            return covey__render_fail(r, ".%.*s() has a field that no argument is for",
                                      (int)name.size, name.data);
        }
        COVEY__TRY(covey__string_slice(r, self, from, at, &parts[used++]));
        COVEY__TRY(covey__value_print(r, value, &parts[used++]));
        at = end;
        from = end + 1;
    }
    COVEY__TRY(covey__string_slice(r, self, from, size, &parts[used++]));
    return covey__string_join(r, parts, used, out);
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

/* update, setdefault, copy: a mapping is one, whatever names hold it. */
static covey_status dict_change(covey__render *r, covey__text name, const covey__value *self,
                                const covey__arguments *arguments, covey__value *out) {
    const covey__value *first = covey__argument(arguments, 0, "");
    const covey__value *otherwise = covey__argument(arguments, 1, "default");
    covey__dict *dict = self->as.dict;
    *out = covey__value_none();
    if (covey__text_is(name, "setdefault")) {
        COVEY__TRY(string_argument(r, name, first));
        const covey__value *found =
            covey__dict_get(dict, first->as.string.data, first->as.string.size);
        *out = found ? *found : otherwise ? *otherwise : *out;
        return found ? covey__render_step(r, dict->count) : covey__dict_set(r, dict, first, out);
    }
    if (covey__text_is(name, "copy")) {
        COVEY__TRY(covey__dict_new(r, COVEY__VALUE_DICT, out));
        first = self;
        dict = out->as.dict;
    }
    for (size_t i = 0; first && first->kind == COVEY__VALUE_DICT && i < first->as.dict->count;
         i++) {
        const covey__dict_entry entry = first->as.dict->entries[i];
        COVEY__TRY(covey__dict_set(r, dict, &entry.key, &entry.value));
    }
    for (size_t i = arguments->positional_count; i < arguments->count; i++) {
        covey__value key = covey__argument_key(arguments, i);
        COVEY__TRY(covey__dict_set(r, dict, &key, &arguments->values[i]));
    }
    return COVEY_OK;
}

/* index, count of a list. */
static covey_status list_find(covey__render *r, covey__text name, const covey__value *self,
                              const covey__arguments *arguments, covey__value *out) {
    const covey__value *sought = covey__argument(arguments, 0, "");
    int64_t count = 0, first = -1;
    for (size_t i = 0; sought && i < self->as.list.count; i++) {
        bool equal;
        COVEY__TRY(covey__render_step(r, 0));
        COVEY__TRY(covey__value_equal(r, &self->as.list.items[i], sought, &equal));
        count += equal;
        first = equal && first < 0 ? (int64_t)i : first;
    }
    bool counts = covey__text_is(name, "count");
    if (!sought || (!counts && first < 0)) {
        return covey__render_fail(r, ".%.*s() does not find its argument", (int)name.size,
                                  name.data);
    }
    *out = covey__value_integer(counts ? count : first);
    return COVEY_OK;
}

static covey_status loop_cycle(covey__render *r, covey__text name, const covey__value *self,
                               const covey__arguments *arguments, covey__value *out) {
    size_t count = arguments->positional_count;
    if (count == 0) {
        return covey__render_fail(r, ".%.*s() lacks an argument", (int)name.size, name.data);
    }
    *out = arguments->values[self->as.loop->index % count];
    return COVEY_OK;
}

covey_status covey__call_method(covey__render *r, covey__text name, const covey__value *self,
                                const covey__arguments *arguments, covey__value *out) {
    enum { STRING = COVEY__VALUE_STRING, DICT = COVEY__VALUE_DICT, LIST = COVEY__VALUE_LIST };
    static const struct {
        const char *name;
        int of;
        covey_status (*call)(covey__render *r, covey__text name, const covey__value *self,
                             const covey__arguments *arguments, covey__value *out);
    } methods[] = {
        {"strip", STRING, method_strip},
        {"lstrip", STRING, method_strip},
        {"rstrip", STRING, method_strip},
        {"startswith", STRING, method_ends},
        {"endswith", STRING, method_ends},
        {"split", STRING, method_split},
        {"rsplit", STRING, method_rsplit},
        {"splitlines", STRING, method_splitlines},
        {"replace", STRING, method_replace},
        {"upper", STRING, method_case},
        {"lower", STRING, method_case},
        {"title", STRING, method_case},
        {"capitalize", STRING, method_case},
        {"find", STRING, method_find},
        {"rfind", STRING, method_find},
        {"index", STRING, method_find},
        {"count", STRING, method_count},
        {"join", STRING, method_join},
        {"format", STRING, method_format},
        {"removeprefix", STRING, method_remove},
        {"removesuffix", STRING, method_remove},
        {"isdigit", STRING, method_is},
        {"isnumeric", STRING, method_is},
        {"isdecimal", STRING, method_is},
        {"isalpha", STRING, method_is},
        {"isalnum", STRING, method_is},
        {"isspace", STRING, method_is},
        {"isupper", STRING, method_is},
        {"islower", STRING, method_is},
        {"ljust", STRING, method_pad},
        {"rjust", STRING, method_pad},
        {"zfill", STRING, method_pad},
        {"items", DICT, dict_part},
        {"keys", DICT, dict_part},
        {"values", DICT, dict_part},
        {"get", DICT, dict_part},
        {"update", DICT, dict_change},
        {"setdefault", DICT, dict_change},
        {"copy", DICT, dict_change},
        {"index", LIST, list_find},
        {"count", LIST, list_find},
        {"cycle", COVEY__VALUE_LOOP, loop_cycle},
    };
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if ((int)self->kind == methods[i].of && covey__text_is(name, methods[i].name)) {
            return methods[i].call(r, name, self, arguments, out);
        }
    }
    if (covey__is_string(self) || self->kind == COVEY__VALUE_DICT ||
        self->kind == COVEY__VALUE_LIST) {
        return covey__render_unsupported(r, "the method", name);
    }
    return covey__render_fail(r, "%s has no method \"%.*s\"", covey__value_kind_name(self),
                              (int)name.size, name.data);
}
