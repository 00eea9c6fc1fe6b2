/* Values as text: JSON as Python's json.dumps writes it, and lists and mappings as its repr does.
 */
#include "text/template_value.h"

#include "base/sort.h"
#include <string.h>

typedef struct {
    covey__render *render;
    const covey__json_style *style; /* NULL: repr */
    covey__buffer *out;
} writer;

static void put_line(const writer *w, uint32_t level) {
    if (!w->style || w->style->indent < 0) {
        return;
    }
    int64_t indent = w->style->indent > 16 ? 16 : w->style->indent;
    (void)covey__buffer_byte(w->out, '\n');
    for (int64_t i = 0; i < indent * level; i++) {
        (void)covey__buffer_byte(w->out, ' ');
    }
}

/* \u00e9, as two of them beyond the first plane. */
static void put_ascii(covey__buffer *out, uint32_t code) {
    if (code < 0x10000) {
        (void)covey__buffer_format(out, "\\u%04x", code);
        return;
    }
    code -= 0x10000;
    (void)covey__buffer_format(out, "\\u%04x\\u%04x", 0xD800 + (code >> 10),
                               0xDC00 + (code & 0x3FF));
}

static void put_json_text(const writer *w, const covey__value *string) {
    static const char letters[] = "\b\f\n\r\t\"\\", escapes[] = "bfnrt\"\\";
    const char *data = string->as.string.data;
    size_t size = string->as.string.size;
    (void)covey__buffer_byte(w->out, '"');
    for (size_t at = 0; at < size;) {
        char c = data[at];
        const char *letter = c ? strchr(letters, c) : NULL;
        if (letter) {
            (void)covey__buffer_byte(w->out, '\\');
            (void)covey__buffer_byte(w->out, escapes[letter - letters]);
        } else if ((uint8_t)c < 0x20) {
            put_ascii(w->out, (uint8_t)c);
        } else if (w->style->ascii && (uint8_t)c >= 0x80) {
            covey__utf8_char wide = covey__utf8_decode(data + at, size - at);
            put_ascii(w->out, wide.code);
            at += wide.size;
            continue;
        } else {
            (void)covey__buffer_byte(w->out, c);
        }
        at++;
    }
    (void)covey__buffer_byte(w->out, '"');
}

/* In single quotes, or in double ones where only single ones stand inside. */
static void put_repr_text(const writer *w, const covey__value *string) {
    const char *data = string->as.string.data;
    size_t size = string->as.string.size;
    bool has_single = size > 0 && memchr(data, '\'', size);
    bool has_double = size > 0 && memchr(data, '"', size);
    char quote = has_single && !has_double ? '"' : '\'';
    (void)covey__buffer_byte(w->out, quote);
    for (size_t i = 0; i < size; i++) {
        uint8_t c = (uint8_t)data[i];
        const char *letter = c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : NULL;
        if (letter) {
            (void)covey__buffer_text(w->out, letter);
        } else if (c < 0x20 || c == 0x7F) {
            (void)covey__buffer_format(w->out, "\\x%02x", c);
        } else {
            if (c == (uint8_t)quote || c == '\\') {
                (void)covey__buffer_byte(w->out, '\\');
            }
            (void)covey__buffer_byte(w->out, (char)c);
        }
    }
    (void)covey__buffer_byte(w->out, quote);
}

static void put_text(const writer *w, const covey__value *string) {
    if (w->style) {
        put_json_text(w, string);
    } else {
        put_repr_text(w, string);
    }
}

static covey_status put(const writer *w, const covey__value *value, uint32_t level);

static int compare_entries(const void *a, const void *b) {
    return covey__value_order(&((const covey__dict_entry *)a)->key,
                              &((const covey__dict_entry *)b)->key);
}

/* A dict's entries in the order that they are written. */
static covey_status order_entries(const writer *w, const covey__dict *dict, const void ***entries) {
    *entries = covey__render_alloc(w->render, 2 * dict->count + 1, sizeof **entries);
    if (!*entries) {
        return covey__render_no_memory(w->render);
    }
    for (size_t i = 0; i < dict->count; i++) {
        (*entries)[i] = &dict->entries[i];
    }
    if (w->style && w->style->sorted) {
        COVEY__TRY(covey__render_step(w->render, 64 * dict->count));
        covey__sort_pointers(*entries, *entries + dict->count, dict->count, compare_entries);
    }
    return COVEY_OK;
}

static covey_status put_inside(const writer *w, const covey__value *value, uint32_t level) {
    bool list = value->kind == COVEY__VALUE_LIST;
    size_t count = list ? value->as.list.count : value->as.dict->count;
    covey__text between = w->style ? w->style->between : (covey__text){", ", 2};
    covey__text colon = w->style ? w->style->colon : (covey__text){": ", 2};
    const void **entries = NULL;
    if (!list) {
        COVEY__TRY(order_entries(w, value->as.dict, &entries));
    }
    bool tuple = !w->style && list && value->as.list.tuple;
    (void)covey__buffer_byte(w->out, tuple ? '(' : list ? '[' : '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            (void)covey__buffer_append(w->out, between.data, between.size);
        }
        put_line(w, level + 1);
        const covey__value *element = list ? &value->as.list.items[i] : NULL;
        if (!list) {
            const covey__dict_entry *entry = entries[i];
            put_text(w, &entry->key);
            (void)covey__buffer_append(w->out, colon.data, colon.size);
            element = &entry->value;
        }
        COVEY__TRY(put(w, element, level + 1));
    }
    if (count > 0) {
        put_line(w, level);
    }
    if (tuple && count == 1) {
        (void)covey__buffer_byte(w->out, ',');
    }
    (void)covey__buffer_byte(w->out, tuple ? ')' : list ? ']' : '}');
    return COVEY_OK;
}

static covey_status put(const writer *w, const covey__value *value, uint32_t level) {
    covey__value text;
    size_t before = w->out->size;
    switch (value->kind) {
    case COVEY__VALUE_NONE:
        (void)covey__buffer_text(w->out, w->style ? "null" : "None");
        break;
    case COVEY__VALUE_BOOL:
        if (w->style) {
            (void)covey__buffer_text(w->out, value->as.boolean ? "true" : "false");
            break;
        }
        (void)covey__buffer_text(w->out, value->as.boolean ? "True" : "False");
        break;
    case COVEY__VALUE_INTEGER:
    case COVEY__VALUE_FLOAT:
        COVEY__TRY(covey__value_print(w->render, value, &text));
        (void)covey__buffer_append(w->out, text.as.string.data, text.as.string.size);
        break;
    case COVEY__VALUE_STRING:
        put_text(w, value);
        break;
    case COVEY__VALUE_LIST:
    case COVEY__VALUE_DICT:
        COVEY__TRY(covey__render_enter(w->render, COVEY__STACK_VALUE));
        COVEY__TRY(put_inside(w, value, level));
        covey__render_leave(w->render, COVEY__STACK_VALUE);
        break;
    default:
        return covey__render_fail(w->render, "%s cannot be written out",
                                  covey__value_kind_name(value));
    }
    COVEY__TRY(covey__render_step(w->render, w->out->size - before));
    return covey__buffer_check(w->out, w->render->error, "template: a value as text");
}

/* What was built out of messages is not trusted; neither is what stands beside it. */
static covey_status write_value(covey__render *r, const covey__value *value,
                                const covey__json_style *style, covey__value *out) {
    covey__buffer text;
    covey__buffer_init(&text, r->env, COVEY__TEMPLATE_OUTPUT_MAX);
    writer w = {r, style, &text};
    covey_status status = put(&w, value, 0);
    status = status == COVEY_OK ? covey__render_text(r, text.data, text.size, out) : status;
    out->trusted = false;
    covey__buffer_free(&text);
    return status;
}

covey_status covey__value_to_json(covey__render *r, const covey__value *value,
                                  const covey__json_style *style, covey__value *out) {
    return write_value(r, value, style, out);
}

covey_status covey__value_to_repr(covey__render *r, const covey__value *value, covey__value *out) {
    return write_value(r, value, NULL, out);
}
