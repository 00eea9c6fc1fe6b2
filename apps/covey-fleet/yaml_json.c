/* YAML to JSON by libyaml's events. Plain scalars that are numbers, true, false or null in JSON are
 * those, and "~" or nothing is null; all else is text, so `1.1.0`, `yes` and `0x10` stay what was
 * written. JSON is YAML, so one reader serves both.
 *
 * Invariants: depth and size are bounded; nothing is resolved that a reader would not see. Members
 * that stand twice are left for the JSON parser to refuse.
 */
#include "covey-fleet/yaml_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/files.h"
#include "common/json_text.h"

#define BYTES_MAX (1u << 20)
#define DEPTH_MAX 16

typedef struct level {
    bool is_map, at_value; /* of a map: the name was written */
    size_t count;
} level;

typedef struct writer {
    FILE *out;
    level levels[DEPTH_MAX + 1];
    size_t depth;
    const char *problem;
} writer;

static bool fail(writer *w, const char *problem) {
    w->problem = problem;
    return false;
}

/* RFC 8259: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
static bool is_number(const char *text, size_t size) {
    static const char digits[] = "0123456789";
    const char *at = text + (text[0] == '-'), *end = text + size;
    size_t whole = strspn(at, digits);
    if (whole == 0 || (whole > 1 && at[0] == '0')) return false;
    at += whole;
    if (*at == '.') {
        size_t part = strspn(++at, digits);
        if (part == 0) return false;
        at += part;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-';
        size_t part = strspn(at, digits);
        if (part == 0) return false;
        at += part;
    }
    return at == end;
}

/* The comma or colon before a value; false where a map's name must be a text. */
static bool before_value(writer *w, bool is_scalar) {
    level *l = &w->levels[w->depth];
    if (w->depth == 0) return true;
    if (!l->is_map) {
        if (l->count++ > 0) fputc(',', w->out);
        return true;
    }
    if (l->at_value) {
        fputc(':', w->out);
        l->at_value = false;
        return true;
    }
    if (!is_scalar) return fail(w, "a member's name must be a text");
    if (l->count++ > 0) fputc(',', w->out);
    l->at_value = true;
    return true;
}

static bool put_scalar(writer *w, const yaml_event_t *event) {
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    const level *l = &w->levels[w->depth];
    bool is_name = w->depth > 0 && l->is_map && !l->at_value;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL)
        return fail(w, "anchors and tags are not read");
    if (strlen(text) != size) return fail(w, "a text holds a NUL");
    if (!before_value(w, true)) return false;
    if (plain && !is_name && (size == 0 || strcmp(text, "~") == 0))
        fputs("null", w->out);
    else if (plain && !is_name &&
             (is_number(text, size) || strcmp(text, "true") == 0 || strcmp(text, "false") == 0 ||
              strcmp(text, "null") == 0))
        fputs(text, w->out);
    else
        app_put_json_text(w->out, text);
    return true;
}

static bool begin(writer *w, bool is_map, const unsigned char *anchor, const unsigned char *tag) {
    if (anchor != NULL || tag != NULL) return fail(w, "anchors and tags are not read");
    if (w->depth == DEPTH_MAX) return fail(w, "it is nested too deeply");
    if (!before_value(w, false)) return false;
    w->levels[++w->depth] = (level){is_map, false, 0};
    fputc(is_map ? '{' : '[', w->out);
    return true;
}

static bool end(writer *w, char bracket) {
    fputc(bracket, w->out);
    w->depth--;
    return true;
}

static bool put_event(writer *w, const yaml_event_t *event, size_t *documents) {
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return put_scalar(w, event);
    case YAML_MAPPING_START_EVENT:
        return begin(w, true, event->data.mapping_start.anchor, event->data.mapping_start.tag);
    case YAML_SEQUENCE_START_EVENT:
        return begin(w, false, event->data.sequence_start.anchor, event->data.sequence_start.tag);
    case YAML_MAPPING_END_EVENT:
        return end(w, '}');
    case YAML_SEQUENCE_END_EVENT:
        return end(w, ']');
    case YAML_ALIAS_EVENT:
        return fail(w, "anchors and tags are not read");
    case YAML_DOCUMENT_START_EVENT:
        return ++*documents == 1 || fail(w, "it holds more than one document");
    default:
        return true;
    }
}

static bool convert(yaml_parser_t *parser, writer *w, char *message, size_t capacity) {
    size_t documents = 0;
    for (bool more = true; more;) {
        yaml_event_t event;
        if (yaml_parser_parse(parser, &event) == 0) {
            (void)snprintf(message, capacity, "line %zu: %s", parser->problem_mark.line + 1,
                           parser->problem != NULL ? parser->problem : "it could not be read");
            return false;
        }
        size_t line = event.start_mark.line + 1;
        bool good = put_event(w, &event, &documents);
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        if (good) continue;
        (void)snprintf(message, capacity, "line %zu: %s", line, w->problem);
        return false;
    }
    if (documents == 0) (void)snprintf(message, capacity, "it is empty");
    return documents > 0;
}

char *app_yaml_to_json(const char *path, size_t *size, char *message, size_t capacity) {
    size_t read = 0;
    bool is_stdin = strcmp(path, "-") == 0;
    char *text =
        is_stdin ? app_read_stream(stdin, BYTES_MAX, &read) : app_read_file(path, BYTES_MAX, &read);
    char *json = NULL;
    yaml_parser_t parser;
    if (text == NULL) {
        (void)snprintf(message, capacity, "it could not be read: %s", strerror(errno));
        return NULL;
    }
    writer w = {.out = open_memstream(&json, size)};
    bool good = false;
    if (w.out == NULL || yaml_parser_initialize(&parser) == 0) {
        (void)snprintf(message, capacity, "memory ran out");
    } else {
        yaml_parser_set_input_string(&parser, (const unsigned char *)text, read);
        good = convert(&parser, &w, message, capacity);
        yaml_parser_delete(&parser);
    }
    if (w.out != NULL && fclose(w.out) != 0) good = false;
    free(text);
    if (good) return json;
    free(json);
    return NULL;
}
