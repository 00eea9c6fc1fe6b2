/* A JSON Schema validator for the tests of guided generation: written from the specification over
 * base/json, with nothing of the compiler in it. Patterns are read as POSIX extended regular
 * expressions, so tests use what means the same in both. */
#ifndef COVEY_TESTS_ENGINE_GUIDE_VALIDATOR_H
#define COVEY_TESTS_ENGINE_GUIDE_VALIDATOR_H

#include <math.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static bool valid_value(const covey__json *root, const covey__json *schema,
                        const covey__json *value);

/* References that lead to themselves without a part of the value between hold nothing. */
static int references_open;

static inline const covey__json *at_pointer(const covey__json *root, const char *pointer) {
    const covey__json *node = root;
    char part[64];
    for (pointer++; node && *pointer == '/';) {
        size_t size = strcspn(++pointer, "/");
        if (size >= sizeof part) return NULL;
        memcpy(part, pointer, size);
        part[size] = 0;
        node = covey__json_get(node, part);
        pointer += size;
    }
    return node;
}

static inline bool same_value(const covey__json *a, const covey__json *b) {
    if (a->kind != b->kind) return false;
    if (a->kind == COVEY__JSON_BOOL) return a->boolean == b->boolean;
    if (a->kind == COVEY__JSON_NUMBER) return strtod(a->text, NULL) == strtod(b->text, NULL);
    if (a->kind == COVEY__JSON_STRING)
        return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
    if (a->size != b->size) return false;
    const covey__json *x = a->child, *y = b->child;
    for (; x; x = x->next) {
        const covey__json *other = a->kind == COVEY__JSON_OBJECT ? covey__json_get(b, x->name) : y;
        if (!other || !same_value(x, other)) return false;
        if (y) y = y->next;
    }
    return true;
}

static inline bool has_type(const char *type, const covey__json *value) {
    static const char *const names[] = {"null", "boolean", "number", "string", "array", "object"};
    if (strcmp(type, "integer") == 0)
        return value->kind == COVEY__JSON_NUMBER &&
               strtod(value->text, NULL) == floor(strtod(value->text, NULL));
    return strcmp(type, names[value->kind]) == 0;
}

static inline bool valid_type(const covey__json *schema, const covey__json *value) {
    const covey__json *type = covey__json_get(schema, "type");
    if (!type) return true;
    if (type->kind == COVEY__JSON_STRING) return has_type(type->text, value);
    for (const covey__json *t = type->child; t; t = t->next)
        if (has_type(t->text, value)) return true;
    return false;
}

static inline double number_of(const covey__json *schema, const char *name, double absent) {
    const covey__json *of = covey__json_get(schema, name);
    return of ? strtod(of->text, NULL) : absent;
}

static inline bool valid_number(const covey__json *schema, const covey__json *value) {
    double x = strtod(value->text, NULL), step = number_of(schema, "multipleOf", 0);
    if (step > 0 && fabs(x / step - round(x / step)) > 1e-6) return false;
    return x >= number_of(schema, "minimum", -INFINITY) &&
           x <= number_of(schema, "maximum", INFINITY) &&
           x > number_of(schema, "exclusiveMinimum", -INFINITY) &&
           x < number_of(schema, "exclusiveMaximum", INFINITY);
}

static inline bool matches(const char *pattern, const char *text) {
    regex_t regex;
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB)) return false;
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

static inline bool valid_date(const char *text) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!matches("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", text)) return false;
    int year = atoi(text), month = atoi(text + 5), day = atoi(text + 8);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

static inline bool valid_format(const char *format, const char *text) {
    if (strcmp(format, "date") == 0) return valid_date(text);
    if (strcmp(format, "uuid") == 0)
        return matches("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", text);
    if (strcmp(format, "ipv4") == 0) {
        int part[4], end = 0;
        if (sscanf(text, "%3d.%3d.%3d.%3d%n", part, part + 1, part + 2, part + 3, &end) != 4)
            return false;
        for (int i = 0; i < 4; i++)
            if (part[i] < 0 || part[i] > 255) return false;
        return text[end] == 0;
    }
    if (strcmp(format, "time") == 0)
        return matches(
            "^([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-"
            "5][0-9])$",
            text);
    return false; /* the tests use no other */
}

static inline bool valid_string(const covey__json *schema, const covey__json *value) {
    size_t chars = 0;
    for (size_t i = 0; i < value->size; i++) chars += (value->text[i] & 0xc0) != 0x80;
    if ((double)chars < number_of(schema, "minLength", 0) ||
        (double)chars > number_of(schema, "maxLength", INFINITY))
        return false;
    const covey__json *pattern = covey__json_get(schema, "pattern");
    const covey__json *format = covey__json_get(schema, "format");
    if (pattern && !matches(pattern->text, value->text)) return false;
    return !format || valid_format(format->text, value->text);
}

static inline bool valid_array(const covey__json *root, const covey__json *schema,
                               const covey__json *value) {
    const covey__json *prefix = covey__json_get(schema, "prefixItems");
    const covey__json *items = covey__json_get(schema, "items");
    if ((double)value->size < number_of(schema, "minItems", 0) ||
        (double)value->size > number_of(schema, "maxItems", INFINITY))
        return false;
    const covey__json *own = prefix ? prefix->child : NULL;
    for (const covey__json *element = value->child; element; element = element->next) {
        const covey__json *of = own ? own : items;
        if (of && !valid_value(root, of, element)) return false;
        if (own) own = own->next;
    }
    return true;
}

static inline bool valid_object(const covey__json *root, const covey__json *schema,
                                const covey__json *value) {
    const covey__json *properties = covey__json_get(schema, "properties");
    const covey__json *required = covey__json_get(schema, "required");
    const covey__json *additional = covey__json_get(schema, "additionalProperties");
    for (const covey__json *name = required ? required->child : NULL; name; name = name->next)
        if (!covey__json_get(value, name->text)) return false;
    for (const covey__json *member = value->child; member; member = member->next) {
        const covey__json *of = properties ? covey__json_get(properties, member->name) : NULL;
        if (!of) of = additional;
        if (of && !valid_value(root, of, member)) return false;
    }
    return (double)value->size >= number_of(schema, "minProperties", 0) &&
           (double)value->size <= number_of(schema, "maxProperties", INFINITY);
}

static inline size_t count_valid(const covey__json *root, const covey__json *list,
                                 const covey__json *value) {
    size_t count = 0;
    for (const covey__json *of = list->child; of; of = of->next)
        count += valid_value(root, of, value);
    return count;
}

static inline bool valid_combined(const covey__json *root, const covey__json *schema,
                                  const covey__json *value) {
    const covey__json *any = covey__json_get(schema, "anyOf"),
                      *one = covey__json_get(schema, "oneOf");
    const covey__json *reference = covey__json_get(schema, "$ref");
    if (reference) {
        const covey__json *target = at_pointer(root, reference->text);
        if (!target || references_open > 1000) return false;
        references_open++;
        bool valid = valid_value(root, target, value);
        references_open--;
        if (!valid) return false;
    }
    if (any && count_valid(root, any, value) == 0) return false;
    return !one || count_valid(root, one, value) == 1;
}

static bool valid_value(const covey__json *root, const covey__json *schema,
                        const covey__json *value) {
    if (schema->kind == COVEY__JSON_BOOL) return schema->boolean;
    const covey__json *constant = covey__json_get(schema, "const");
    const covey__json *listed = covey__json_get(schema, "enum");
    if (!valid_type(schema, value) || !valid_combined(root, schema, value)) return false;
    if (constant && !same_value(constant, value)) return false;
    bool found = !listed;
    for (const covey__json *of = listed ? listed->child : NULL; of && !found; of = of->next)
        found = same_value(of, value);
    if (!found) return false;
    switch (value->kind) {
    case COVEY__JSON_NUMBER:
        return valid_number(schema, value);
    case COVEY__JSON_STRING:
        return valid_string(schema, value);
    case COVEY__JSON_ARRAY:
        return valid_array(root, schema, value);
    case COVEY__JSON_OBJECT:
        return valid_object(root, schema, value);
    default:
        return true;
    }
}

/* Whether `text` is one JSON value that the schema (JSON text too) allows. */
static inline bool text_is_valid(const covey__env *env, const char *schema, const char *text,
                                 size_t size) {
    covey__arena arena;
    covey__arena_init(&arena, env, 64u << 20);
    const covey__json *root = NULL, *value = NULL;
    bool valid = covey__json_parse(&arena, schema, strlen(schema), COVEY__JSON_LIMITS_DEFAULT,
                                   &root, NULL) == COVEY_OK &&
                 covey__json_parse(&arena, text, size, COVEY__JSON_LIMITS_DEFAULT, &value, NULL) ==
                     COVEY_OK &&
                 valid_value(root, root, value);
    covey__arena_free(&arena);
    return valid;
}

#endif
