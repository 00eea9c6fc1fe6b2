/* Values of a rendering: making them, comparing them, printing them. They live in the rendering's
 * arena and are never changed, namespaces aside, so lists and strings share memory freely. */
#include "text/template_value.h"

#include <string.h>

covey__value covey__value_undefined(void) {
    return (covey__value){.kind = COVEY__VALUE_UNDEFINED};
}

covey__value covey__value_none(void) {
    return (covey__value){.kind = COVEY__VALUE_NONE};
}

covey__value covey__value_bool(bool value) {
    return (covey__value){.kind = COVEY__VALUE_BOOL, .as.boolean = value};
}

covey__value covey__value_integer(int64_t value) {
    return (covey__value){.kind = COVEY__VALUE_INTEGER, .as.integer = value};
}

covey__value covey__value_float(double value) {
    return (covey__value){.kind = COVEY__VALUE_FLOAT, .as.number = value};
}

covey__value covey__value_text(const char *data, size_t size, bool trusted) {
    covey__value value = {.kind = COVEY__VALUE_STRING, .trusted = trusted};
    value.as.string.data = data;
    value.as.string.size = size;
    return value;
}

covey__value covey__value_list(const covey__value *items, size_t count) {
    covey__value value = {.kind = COVEY__VALUE_LIST};
    value.as.list.items = items;
    value.as.list.count = count;
    return value;
}

covey__value covey__value_tuple(const covey__value *items, size_t count) {
    covey__value value = covey__value_list(items, count);
    value.as.list.tuple = true;
    return value;
}

const char *covey__value_kind_name(const covey__value *value) {
    static const char *const names[] = {
        "an undefined value", "none",     "a truth value", "an integer",
        "a number",           "a string", "a list",        "a mapping",
        "a namespace",        "a loop",   "a macro",       "a function"};
    return names[value->kind];
}

bool covey__value_is_true(const covey__value *value) {
    switch (value->kind) {
    case COVEY__VALUE_UNDEFINED:
    case COVEY__VALUE_NONE:
        return false;
    case COVEY__VALUE_BOOL:
        return value->as.boolean;
    case COVEY__VALUE_INTEGER:
        return value->as.integer != 0;
    case COVEY__VALUE_FLOAT:
        return value->as.number != 0.0;
    case COVEY__VALUE_STRING:
        return value->as.string.size > 0;
    case COVEY__VALUE_LIST:
        return value->as.list.count > 0;
    case COVEY__VALUE_DICT:
        return value->as.dict->count > 0;
    default:
        return true;
    }
}

double covey__value_number(const covey__value *value) {
    return value->kind == COVEY__VALUE_FLOAT  ? value->as.number
           : value->kind == COVEY__VALUE_BOOL ? (double)value->as.boolean
                                              : (double)value->as.integer;
}

static int64_t integer_of(const covey__value *value) {
    return value->kind == COVEY__VALUE_BOOL ? (int64_t)value->as.boolean : value->as.integer;
}

static bool string_equal(const covey__value *a, const covey__value *b) {
    return a->as.string.size == b->as.string.size &&
           memcmp(a->as.string.data, b->as.string.data, a->as.string.size) == 0;
}

static covey_status lists_equal(covey__render *r, const covey__value *a, const covey__value *b,
                                bool *equal) {
    *equal = a->as.list.count == b->as.list.count;
    for (size_t i = 0; *equal && i < a->as.list.count; i++) {
        COVEY__TRY(covey__value_equal(r, &a->as.list.items[i], &b->as.list.items[i], equal));
    }
    return COVEY_OK;
}

static covey_status dicts_equal(covey__render *r, const covey__dict *a, const covey__dict *b,
                                bool *equal) {
    *equal = a->count == b->count;
    for (size_t i = 0; *equal && i < a->count; i++) {
        const covey__value *key = &a->entries[i].key;
        const covey__value *other = covey__dict_get(b, key->as.string.data, key->as.string.size);
        COVEY__TRY(covey__render_step(r, b->count));
        *equal = other != NULL;
        if (other) {
            COVEY__TRY(covey__value_equal(r, &a->entries[i].value, other, equal));
        }
    }
    return COVEY_OK;
}

/* Lists and mappings come from JSON or from the template's own literals, both of bounded depth; a
 * list that grows around itself in a loop meets the bound below. */
covey_status covey__value_equal(covey__render *r, const covey__value *a, const covey__value *b,
                                bool *equal) {
    *equal = false;
    if (covey__is_number(a) && covey__is_number(b)) {
        *equal = a->kind == COVEY__VALUE_FLOAT || b->kind == COVEY__VALUE_FLOAT
                     ? covey__value_number(a) == covey__value_number(b)
                     : integer_of(a) == integer_of(b);
        return COVEY_OK;
    }
    if (a->kind != b->kind) {
        return COVEY_OK;
    }
    if (a->kind == COVEY__VALUE_STRING) {
        COVEY__TRY(covey__render_step(r, a->as.string.size));
        *equal = string_equal(a, b);
        return COVEY_OK;
    }
    if (a->kind == COVEY__VALUE_NONE || a->kind == COVEY__VALUE_UNDEFINED) {
        *equal = true;
        return COVEY_OK;
    }
    if (a->kind != COVEY__VALUE_LIST && !covey__is_dict(a)) {
        return covey__render_fail(r, "%s cannot be compared", covey__value_kind_name(a));
    }
    COVEY__TRY(covey__render_enter(r, COVEY__STACK_VALUE));
    if (a->kind == COVEY__VALUE_LIST) {
        COVEY__TRY(lists_equal(r, a, b, equal));
    } else {
        COVEY__TRY(dicts_equal(r, a->as.dict, b->as.dict, equal));
    }
    covey__render_leave(r, COVEY__STACK_VALUE);
    return COVEY_OK;
}

covey_status covey__value_contains(covey__render *r, const covey__value *container,
                                   const covey__value *item, bool *found) {
    *found = false;
    if (covey__is_string(container)) {
        if (!covey__is_string(item)) {
            return covey__render_fail(r, "%s is not looked for in a string",
                                      covey__value_kind_name(item));
        }
        COVEY__TRY(covey__render_step(r, container->as.string.size));
        *found = covey__string_find(container, item, 0) >= 0;
        return COVEY_OK;
    }
    if (covey__is_dict(container)) {
        COVEY__TRY(covey__render_step(r, container->as.dict->count));
        *found = covey__is_string(item) &&
                 covey__dict_get(container->as.dict, item->as.string.data, item->as.string.size);
        return COVEY_OK;
    }
    if (container->kind == COVEY__VALUE_UNDEFINED) {
        return COVEY_OK;
    }
    if (container->kind != COVEY__VALUE_LIST) {
        return covey__render_fail(r, "%s holds nothing that \"in\" could find",
                                  covey__value_kind_name(container));
    }
    for (size_t i = 0; !*found && i < container->as.list.count; i++) {
        COVEY__TRY(covey__render_step(r, 0));
        COVEY__TRY(covey__value_equal(r, &container->as.list.items[i], item, found));
    }
    return COVEY_OK;
}

covey_status covey__render_text(covey__render *r, const char *text, size_t size,
                                covey__value *out) {
    char *copy = covey__render_alloc(r, size + 1, 1);
    if (!copy) {
        return covey__render_no_memory(r);
    }
    if (size > 0) {
        memcpy(copy, text, size);
    }
    *out = covey__value_text(copy, size, true);
    return COVEY_OK;
}

/* Shortest form that reads back, with ".0" where it would look like an integer. */
static covey_status print_float(covey__render *r, double number, covey__value *out) {
    covey__buffer text;
    covey__buffer_init(&text, r->env, 64);
    covey__json_writer writer;
    covey__json_writer_init(&writer, &text, false);
    covey__json_put_f64(&writer, number);
    bool plain = text.status == COVEY_OK;
    for (size_t i = 0; i < text.size; i++) {
        plain = plain && text.data[i] != '.' && text.data[i] != 'e' && text.data[i] != 'n';
    }
    if (plain) {
        (void)covey__buffer_text(&text, ".0");
    }
    covey_status status = covey__buffer_check(&text, r->error, "template: a number");
    status = status == COVEY_OK ? covey__render_text(r, text.data, text.size, out) : status;
    covey__buffer_free(&text);
    return status;
}

static covey_status print_integer(covey__render *r, int64_t integer, covey__value *out) {
    char *text = covey__render_alloc(r, 24, 1);
    if (!text) {
        return covey__render_no_memory(r);
    }
    uint64_t left = integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer;
    size_t at = 24;
    do {
        text[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (integer < 0) {
        text[--at] = '-';
    }
    *out = covey__value_text(text + at, 24 - at, true);
    return COVEY_OK;
}

covey_status covey__value_print(covey__render *r, const covey__value *value, covey__value *out) {
    switch (value->kind) {
    case COVEY__VALUE_UNDEFINED:
        *out = covey__value_text("", 0, true);
        return COVEY_OK;
    case COVEY__VALUE_NONE:
        *out = covey__value_text("None", 4, true);
        return COVEY_OK;
    case COVEY__VALUE_BOOL:
        *out = value->as.boolean ? covey__value_text("True", 4, true)
                                 : covey__value_text("False", 5, true);
        return COVEY_OK;
    case COVEY__VALUE_STRING:
        *out = *value;
        return COVEY_OK;
    case COVEY__VALUE_INTEGER:
        return print_integer(r, value->as.integer, out);
    case COVEY__VALUE_FLOAT:
        return print_float(r, value->as.number, out);
    case COVEY__VALUE_LIST:
    case COVEY__VALUE_DICT:
        return covey__value_to_repr(r, value, out);
    default: {
        const char *name = covey__value_kind_name(value);
        return covey__render_unsupported(r, "printing", (covey__text){name, strlen(name)});
    }
    }
}

static covey_status characters(covey__render *r, const covey__value *string,
                               const covey__value **items, size_t *count) {
    size_t size = string->as.string.size, written = 0;
    COVEY__TRY(covey__render_step(r, 16 * size));
    covey__value *list = covey__render_alloc(r, size + 1, sizeof *list);
    if (!list) {
        return covey__render_no_memory(r);
    }
    for (size_t at = 0; at < size;) {
        size_t bytes = covey__utf8_decode(string->as.string.data + at, size - at).size;
        COVEY__TRY(covey__string_slice(r, string, at, at + bytes, &list[written++]));
        at += bytes;
    }
    *items = list;
    *count = written;
    return COVEY_OK;
}

covey_status covey__value_items(covey__render *r, const covey__value *value,
                                const covey__value **items, size_t *count) {
    *items = NULL;
    *count = 0;
    if (value->kind == COVEY__VALUE_UNDEFINED) {
        return COVEY_OK;
    }
    if (value->kind == COVEY__VALUE_LIST) {
        *items = value->as.list.items;
        *count = value->as.list.count;
        return COVEY_OK;
    }
    if (covey__is_string(value)) {
        return characters(r, value, items, count);
    }
    if (value->kind != COVEY__VALUE_DICT) {
        return covey__render_fail(r, "%s has no elements to go through",
                                  covey__value_kind_name(value));
    }
    const covey__dict *dict = value->as.dict;
    covey__value *keys = covey__render_alloc(r, dict->count + 1, sizeof *keys);
    if (!keys) {
        return covey__render_no_memory(r);
    }
    for (size_t i = 0; i < dict->count; i++) {
        keys[i] = dict->entries[i].key;
    }
    *items = keys;
    *count = dict->count;
    return covey__render_step(r, dict->count * sizeof *keys);
}

covey_status covey__value_length(covey__render *r, const covey__value *value, int64_t *length) {
    *length = 0;
    if (value->kind == COVEY__VALUE_UNDEFINED) {
        return COVEY_OK;
    }
    if (value->kind == COVEY__VALUE_LIST || value->kind == COVEY__VALUE_DICT) {
        *length = value->kind == COVEY__VALUE_LIST ? (int64_t)value->as.list.count
                                                   : (int64_t)value->as.dict->count;
        return COVEY_OK;
    }
    if (!covey__is_string(value)) {
        return covey__render_fail(r, "%s has no length", covey__value_kind_name(value));
    }
    for (size_t at = 0; at < value->as.string.size; ++*length) {
        at += covey__utf8_decode(value->as.string.data + at, value->as.string.size - at).size;
    }
    return covey__render_step(r, value->as.string.size);
}

covey_status covey__dict_new(covey__render *r, covey__value_kind kind, covey__value *out) {
    covey__dict *dict = covey__render_alloc(r, 1, sizeof *dict);
    if (!dict) {
        return covey__render_no_memory(r);
    }
    *dict = (covey__dict){0};
    *out = (covey__value){.kind = kind, .as.dict = dict};
    return COVEY_OK;
}

static covey__dict_entry *find_entry(const covey__dict *dict, const char *key, size_t size) {
    for (size_t i = 0; i < dict->count; i++) {
        const covey__value *have = &dict->entries[i].key;
        if (have->as.string.size == size && memcmp(have->as.string.data, key, size) == 0) {
            return &dict->entries[i];
        }
    }
    return NULL;
}

const covey__value *covey__dict_get(const covey__dict *dict, const char *key, size_t size) {
    const covey__dict_entry *entry = find_entry(dict, key, size);
    return entry ? &entry->value : NULL;
}

covey_status covey__dict_set(covey__render *r, covey__dict *dict, const covey__value *key,
                             const covey__value *value) {
    COVEY__TRY(covey__render_step(r, dict->count));
    covey__dict_entry *entry = find_entry(dict, key->as.string.data, key->as.string.size);
    if (entry) {
        entry->value = *value;
        return COVEY_OK;
    }
    if (dict->count == dict->capacity) {
        size_t capacity = dict->capacity ? 2 * dict->capacity : 4;
        covey__dict_entry *more = covey__render_alloc(r, capacity, sizeof *more);
        if (!more) {
            return covey__render_no_memory(r);
        }
        if (dict->count > 0) {
            memcpy(more, dict->entries, dict->count * sizeof *more);
        }
        dict->entries = more;
        dict->capacity = capacity;
    }
    dict->entries[dict->count++] = (covey__dict_entry){*key, *value};
    return COVEY_OK;
}

static covey_status from_array(covey__render *r, const covey__json *json, covey__value *out) {
    covey__value *items = covey__render_alloc(r, json->size + 1, sizeof *items);
    if (!items) {
        return covey__render_no_memory(r);
    }
    size_t count = 0;
    for (const covey__json *child = json->child; child; child = child->next) {
        COVEY__TRY(covey__value_from_json(r, child, &items[count++]));
    }
    *out = covey__value_list(items, count);
    return COVEY_OK;
}

/* Names in JSON are unique (its reader sees to it), so they are not compared again. */
static covey_status from_object(covey__render *r, const covey__json *json, covey__value *out) {
    COVEY__TRY(covey__dict_new(r, COVEY__VALUE_DICT, out));
    covey__dict *dict = out->as.dict;
    dict->entries = covey__render_alloc(r, json->size + 1, sizeof *dict->entries);
    if (!dict->entries) {
        return covey__render_no_memory(r);
    }
    dict->capacity = json->size;
    for (const covey__json *child = json->child; child; child = child->next) {
        covey__dict_entry *entry = &dict->entries[dict->count++];
        entry->key = covey__value_text(child->name, child->name_size, false);
        COVEY__TRY(covey__value_from_json(r, child, &entry->value));
    }
    return COVEY_OK;
}

/* The JSON's own bound on depth bounds this. Nothing in it is trusted, and all is borrowed. */
covey_status covey__value_from_json(covey__render *r, const covey__json *json, covey__value *out) {
    int64_t integer;
    COVEY__TRY(covey__render_step(r, 0));
    switch (json->kind) {
    case COVEY__JSON_BOOL:
        *out = covey__value_bool(json->boolean);
        return COVEY_OK;
    case COVEY__JSON_NUMBER:
        *out = covey__json_to_i64(json, &integer) ? covey__value_integer(integer)
                                                  : covey__value_float(covey__json_to_f64(json));
        return COVEY_OK;
    case COVEY__JSON_STRING:
        *out = covey__value_text(json->text, json->size, false);
        return COVEY_OK;
    case COVEY__JSON_ARRAY:
        return from_array(r, json, out);
    case COVEY__JSON_OBJECT:
        return from_object(r, json, out);
    case COVEY__JSON_NULL:
    default:
        *out = covey__value_none();
        return COVEY_OK;
    }
}
