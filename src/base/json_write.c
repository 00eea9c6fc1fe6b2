/* The JSON writer: appends to a buffer and puts commas and indentation itself. It checks nothing at
 * each step: a failure of the buffer is sticky, and nesting beyond 64 levels becomes one (LIMIT).
 * Output is always UTF-8. Neighbour: json_parse.c reads what this writes. */
#include "base/c_locale.h"
#include "base/json.h"
#include "base/utf8_sequence.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define DEPTH_MAX 64 /* bits of has_element */

void covey__json_writer_init(covey__json_writer *writer, covey__buffer *out, bool pretty) {
    memset(writer, 0, sizeof *writer);
    writer->out = out;
    writer->pretty = pretty;
}

static void new_line(covey__json_writer *writer) {
    if (!writer->pretty) return;
    covey__buffer_byte(writer->out, '\n');
    for (int32_t i = 0; i < writer->depth; i++) covey__buffer_append(writer->out, "  ", 2);
}

static uint64_t level_bit(const covey__json_writer *writer) {
    return (uint64_t)1 << (writer->depth - 1);
}

/* What stands before a value or a name: a comma, a line. */
static void begin_element(covey__json_writer *writer) {
    if (writer->after_name) {
        writer->after_name = false;
        return;
    }
    if (writer->depth == 0 || writer->depth > DEPTH_MAX) return;
    if ((writer->has_element & level_bit(writer)) != 0) covey__buffer_byte(writer->out, ',');
    writer->has_element |= level_bit(writer);
    new_line(writer);
}

static void open_level(covey__json_writer *writer, char bracket) {
    begin_element(writer);
    covey__buffer_byte(writer->out, bracket);
    writer->depth++;
    if (writer->depth > DEPTH_MAX) {
        if (writer->out->status == COVEY_OK) writer->out->status = COVEY_ERROR_LIMIT;
        return;
    }
    writer->has_element &= ~level_bit(writer);
}

static void close_level(covey__json_writer *writer, char bracket) {
    assert(writer->depth > 0 && !writer->after_name);
    bool some = writer->depth <= DEPTH_MAX && (writer->has_element & level_bit(writer)) != 0;
    writer->depth--;
    if (some) new_line(writer);
    covey__buffer_byte(writer->out, bracket);
}

void covey__json_begin_object(covey__json_writer *writer) {
    open_level(writer, '{');
}
void covey__json_end_object(covey__json_writer *writer) {
    close_level(writer, '}');
}
void covey__json_begin_array(covey__json_writer *writer) {
    open_level(writer, '[');
}
void covey__json_end_array(covey__json_writer *writer) {
    close_level(writer, ']');
}

static void put_escaped(covey__buffer *out, char c) {
    static const char hex[] = "0123456789abcdef";
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    const char *found = c != '\0' ? strchr(plain, c) : NULL;
    if (found != NULL) {
        char pair[2] = {'\\', letters[found - plain]};
        covey__buffer_append(out, pair, sizeof pair);
        return;
    }
    char escape[6] = {'\\', 'u', '0', '0', hex[(unsigned char)c >> 4], hex[c & 15]};
    covey__buffer_append(out, escape, sizeof escape);
}

/* Bytes from `at` that need no change. */
static size_t plain_length(const char *text, size_t size) {
    size_t at = 0;
    while (at < size) {
        unsigned char c = (unsigned char)text[at];
        size_t length = c < 0x80 ? 1 : covey__utf8_sequence(text + at, size - at);
        if (length == 0 || c < 0x20 || c == '"' || c == '\\') break;
        at += length;
    }
    return at;
}

static void put_quoted(covey__buffer *out, const char *text, size_t size) {
    covey__buffer_byte(out, '"');
    for (size_t at = 0; at < size;) {
        size_t plain = plain_length(text + at, size - at);
        covey__buffer_append(out, text + at, plain);
        at += plain;
        if (at == size) break;
        if ((unsigned char)text[at] < 0x80)
            put_escaped(out, text[at]);
        else
            covey__buffer_append(out, "\xef\xbf\xbd", 3);
        at++;
    }
    covey__buffer_byte(out, '"');
}

static void put_name(covey__json_writer *writer, const char *name, size_t size) {
    assert(!writer->after_name);
    begin_element(writer);
    put_quoted(writer->out, name, size);
    covey__buffer_byte(writer->out, ':');
    if (writer->pretty) covey__buffer_byte(writer->out, ' ');
    writer->after_name = true;
}

void covey__json_name(covey__json_writer *writer, const char *name) {
    put_name(writer, name, strlen(name));
}

void covey__json_put_text(covey__json_writer *writer, const char *text, size_t size) {
    begin_element(writer);
    put_quoted(writer->out, text, size);
}

void covey__json_put_string(covey__json_writer *writer, const char *text) {
    if (text == NULL)
        covey__json_put_null(writer);
    else
        covey__json_put_text(writer, text, strlen(text));
}

void covey__json_put_i64(covey__json_writer *writer, int64_t value) {
    begin_element(writer);
    covey__buffer_format(writer->out, "%" PRId64, value);
}

void covey__json_put_u64(covey__json_writer *writer, uint64_t value) {
    begin_element(writer);
    covey__buffer_format(writer->out, "%" PRIu64, value);
}

void covey__json_put_f64(covey__json_writer *writer, double value) {
    if (!isfinite(value)) {
        covey__json_put_null(writer);
        return;
    }
    char text[COVEY__C_DOUBLE_SIZE];
    covey__c_format_double(value, text);
    covey__json_put_raw(writer, text, strlen(text));
}

void covey__json_put_bool(covey__json_writer *writer, bool value) {
    covey__json_put_raw(writer, value ? "true" : "false", value ? 4 : 5);
}

void covey__json_put_null(covey__json_writer *writer) {
    covey__json_put_raw(writer, "null", 4);
}

void covey__json_put_raw(covey__json_writer *writer, const char *json, size_t size) {
    begin_element(writer);
    covey__buffer_append(writer->out, json, size);
}

/* Calls itself for what a node holds; a level beyond DEPTH_MAX fails the buffer, which ends it. */
void covey__json_put_node(covey__json_writer *writer, const covey__json *node) {
    if (writer->out->status != COVEY_OK) {
        writer->after_name = false; /* as if the value had been written */
        return;
    }
    bool is_object = node->kind == COVEY__JSON_OBJECT;
    switch (node->kind) {
    case COVEY__JSON_NULL:
        covey__json_put_null(writer);
        return;
    case COVEY__JSON_BOOL:
        covey__json_put_bool(writer, node->boolean);
        return;
    case COVEY__JSON_NUMBER:
        covey__json_put_raw(writer, node->text, node->size);
        return;
    case COVEY__JSON_STRING:
        covey__json_put_text(writer, node->text, node->size);
        return;
    case COVEY__JSON_ARRAY:
    case COVEY__JSON_OBJECT:
        break;
    }
    open_level(writer, is_object ? '{' : '[');
    for (const covey__json *each = node->child; each != NULL; each = each->next) {
        if (is_object && writer->out->status == COVEY_OK)
            put_name(writer, each->name, each->name_size);
        covey__json_put_node(writer, each);
    }
    writer->after_name = false;
    close_level(writer, is_object ? '}' : ']');
}

void covey__json_member_string(covey__json_writer *writer, const char *name, const char *text) {
    covey__json_name(writer, name);
    covey__json_put_string(writer, text);
}

void covey__json_member_i64(covey__json_writer *writer, const char *name, int64_t value) {
    covey__json_name(writer, name);
    covey__json_put_i64(writer, value);
}

void covey__json_member_u64(covey__json_writer *writer, const char *name, uint64_t value) {
    covey__json_name(writer, name);
    covey__json_put_u64(writer, value);
}

void covey__json_member_f64(covey__json_writer *writer, const char *name, double value) {
    covey__json_name(writer, name);
    covey__json_put_f64(writer, value);
}

void covey__json_member_bool(covey__json_writer *writer, const char *name, bool value) {
    covey__json_name(writer, name);
    covey__json_put_bool(writer, value);
}
