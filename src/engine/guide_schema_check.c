/* Looking at a schema before anything is made of it: which keywords it has and whether they may
 * stand together, which types it allows, where references lead, whether two schemas exclude each
 * other. Every refusal names the keyword and its place. Neighbours: guide_schema.c. */
#include "engine/guide_schema.h"

#include <string.h>

#define RESOLVE_MAX 64
#define JOINED_MAX  1024       /* properties of an allOf */
#define WORK_MAX    (1u << 24) /* comparisons, in all of a schema */

enum {
    NOTE = 0, /* says nothing of values */
    ANY_TYPE, /* type */
    FIXED,    /* enum, const */
    STRINGS,
    NUMBERS,
    ARRAYS,
    OBJECTS,
    COMBINED, /* anyOf and its like */
    REFERENCE
};

static const struct {
    const char *name;
    int group;
} keywords[] = {
    {"$comment", NOTE},      {"$defs", NOTE},
    {"$id", NOTE},           {"$schema", NOTE},
    {"definitions", NOTE},   {"default", NOTE},
    {"deprecated", NOTE},    {"description", NOTE},
    {"examples", NOTE},      {"readOnly", NOTE},
    {"title", NOTE},         {"writeOnly", NOTE},
    {"type", ANY_TYPE},      {"const", FIXED},
    {"enum", FIXED},         {"format", STRINGS},
    {"maxLength", STRINGS},  {"minLength", STRINGS},
    {"pattern", STRINGS},    {"exclusiveMaximum", NUMBERS},
    {"maximum", NUMBERS},    {"minimum", NUMBERS},
    {"multipleOf", NUMBERS}, {"exclusiveMinimum", NUMBERS},
    {"items", ARRAYS},       {"maxItems", ARRAYS},
    {"minItems", ARRAYS},    {"prefixItems", ARRAYS},
    {"uniqueItems", ARRAYS}, {"additionalProperties", OBJECTS},
    {"required", OBJECTS},   {"maxProperties", OBJECTS},
    {"properties", OBJECTS}, {"minProperties", OBJECTS},
    {"allOf", COMBINED},     {"anyOf", COMBINED},
    {"oneOf", COMBINED},     {"$ref", REFERENCE},
};

static int group_of(const char *name) {
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (!strcmp(keywords[i].name, name)) return keywords[i].group;
    return -1;
}

static bool refuse(covey__guide_builder *b, const covey__json *keyword, const char *where,
                   const char *why) {
    char shown[80];
    covey__guide_refuse(b, COVEY_ERROR_UNSUPPORTED, "%s: the keyword \"%s\" %s", where,
                        covey__printable(keyword->name, keyword->name_size, shown, sizeof shown),
                        why);
    return false;
}

/* The keyword that says what the schema is, beside which others would have to be joined to it. */
static bool check_together(covey__guide_builder *b, const covey__json *schema, const char *where) {
    const covey__json *whole = NULL;
    int group = NOTE;
    for (const covey__json *k = schema->child; k; k = k->next) {
        int of = group_of(k->name);
        if (of != FIXED && of != COMBINED && of != REFERENCE) continue;
        if (whole)
            return refuse(b, k, where,
                          "stands beside another of enum, const, anyOf, oneOf, allOf and $ref, "
                          "which is not supported");
        whole = k;
        group = of;
    }
    for (const covey__json *k = schema->child; whole && k; k = k->next) {
        int of = group_of(k->name);
        if (k == whole || of == NOTE || (of == ANY_TYPE && group == FIXED)) continue;
        return refuse(b, k, where,
                      "stands beside one of enum, const, anyOf, oneOf, allOf and $ref, which is "
                      "not supported");
    }
    return true;
}

bool covey__schema_check(covey__guide_builder *b, const covey__json *schema, const char *where) {
    if (schema->kind == COVEY__JSON_BOOL) return true;
    if (schema->kind != COVEY__JSON_OBJECT) {
        covey__guide_refuse(b, COVEY_ERROR_FORMAT,
                            "%s: expected a schema: an object, true or false", where);
        return false;
    }
    for (const covey__json *k = schema->child; k; k = k->next) {
        if (group_of(k->name) < 0 || strlen(k->name) != k->name_size)
            return refuse(b, k, where, "is not supported");
        if (!strcmp(k->name, "uniqueItems") && (k->kind != COVEY__JSON_BOOL || k->boolean))
            return refuse(b, k, where, "is supported as false alone");
    }
    return check_together(b, schema, where);
}

/* ---- Types ---- */

static unsigned type_named(const covey__json *name) {
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {{"null", COVEY__SCHEMA_NULL},       {"boolean", COVEY__SCHEMA_BOOLEAN},
                 {"integer", COVEY__SCHEMA_INTEGER}, {"number", COVEY__SCHEMA_NUMBER},
                 {"string", COVEY__SCHEMA_STRING},   {"array", COVEY__SCHEMA_ARRAY},
                 {"object", COVEY__SCHEMA_OBJECT}};
    for (size_t i = 0; name->kind == COVEY__JSON_STRING && i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, name->text)) return types[i].type;
    return 0;
}

/* Without `type`, the keywords of one type mean that type (a part of what the schema allows). */
static unsigned implied_types(const covey__json *schema) {
    unsigned types = 0;
    for (const covey__json *k = schema->child; k; k = k->next) {
        int group = group_of(k->name);
        if (group == STRINGS) types |= COVEY__SCHEMA_STRING;
        if (group == NUMBERS) types |= COVEY__SCHEMA_NUMBER;
        if (group == ARRAYS) types |= COVEY__SCHEMA_ARRAY;
        if (group == OBJECTS) types |= COVEY__SCHEMA_OBJECT;
    }
    return types ? types : COVEY__SCHEMA_ALL;
}

unsigned covey__schema_types(covey__guide_builder *b, const covey__json *schema,
                             const char *where) {
    const covey__json *type = covey__json_get(schema, "type");
    unsigned types = 0;
    if (!type) return implied_types(schema);
    if (type->kind == COVEY__JSON_STRING) types = type_named(type);
    for (const covey__json *t = type->child; type->kind == COVEY__JSON_ARRAY && t; t = t->next) {
        unsigned one = type_named(t);
        types = one ? types | one : 0;
        if (!one) break;
    }
    if (!types)
        covey__guide_refuse(b, COVEY_ERROR_FORMAT,
                            "%s: type: expected null, boolean, integer, number, string, array, "
                            "object, or an array of them",
                            where);
    return types;
}

unsigned covey__schema_type_of(const covey__json *value) {
    covey__guide_decimal decimal;
    switch (value->kind) {
    case COVEY__JSON_NULL:
        return COVEY__SCHEMA_NULL;
    case COVEY__JSON_BOOL:
        return COVEY__SCHEMA_BOOLEAN;
    case COVEY__JSON_STRING:
        return COVEY__SCHEMA_STRING;
    case COVEY__JSON_ARRAY:
        return COVEY__SCHEMA_ARRAY;
    case COVEY__JSON_OBJECT:
        return COVEY__SCHEMA_OBJECT;
    case COVEY__JSON_NUMBER:
        break;
    }
    if (!covey__guide_decimal_of(value->text, &decimal)) return COVEY__SCHEMA_NUMBER;
    return decimal.fraction[0] == 0 ? COVEY__SCHEMA_INTEGER : COVEY__SCHEMA_REAL;
}

/* ---- References ---- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The next part of a pointer (RFC 6901, percent-encoded) into `part`; false at its end, or when it
 * is malformed, which `*bad` says. */
static bool next_part(const char **at, char *part, size_t capacity, bool *bad) {
    const char *p = *at;
    size_t size = 0;
    *bad = *p != '/' && *p != 0;
    if (*p != '/') return false;
    for (p++; *p && *p != '/' && !*bad; size++) {
        char c = *p++;
        if (c == '%' && hex_digit(p[0]) >= 0 && hex_digit(p[1]) >= 0) {
            c = (char)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
            p += 2;
        }
        if (c == '~') {
            *bad = *p != '0' && *p != '1';
            c = *p == '1' ? '/' : '~';
            p += !*bad;
        }
        if (size + 1 >= capacity) *bad = true;
        if (!*bad) part[size] = c;
    }
    part[*bad ? 0 : size] = 0;
    *at = p;
    return !*bad;
}

static const covey__json *child_named(const covey__json *node, const char *name) {
    if (node->kind == COVEY__JSON_OBJECT) return covey__json_get(node, name);
    if (node->kind != COVEY__JSON_ARRAY || strspn(name, "0123456789") != strlen(name) ||
        strlen(name) == 0 || strlen(name) > 6)
        return NULL;
    size_t index = 0;
    for (; *name; name++) index = index * 10 + (size_t)(*name - '0');
    const covey__json *element = node->child;
    while (element && index-- > 0) element = element->next;
    return element;
}

static const covey__json *follow(const covey__json *root, const covey__json *reference) {
    char part[256];
    bool bad = false;
    if (reference->kind != COVEY__JSON_STRING || reference->text[0] != '#') return NULL;
    const char *at = reference->text + 1;
    const covey__json *node = root;
    while (node && next_part(&at, part, sizeof part, &bad)) node = child_named(node, part);
    return bad ? NULL : node;
}

const covey__json *covey__schema_resolve(covey__guide_builder *b, const covey__json *root,
                                         const covey__json *reference, const char *where) {
    const covey__json *found = follow(root, reference);
    char shown[120];
    bool text = reference->kind == COVEY__JSON_STRING;
    if (found) return found;
    if (text && reference->text[0] != '#')
        covey__guide_refuse(b, COVEY_ERROR_UNSUPPORTED,
                            "%s: $ref: references are supported within the schema (#...) alone",
                            where);
    else
        covey__guide_refuse(
            b, COVEY_ERROR_FORMAT, "%s: $ref: nothing stands at \"%s\"", where,
            text ? covey__printable(reference->text, reference->size, shown, sizeof shown) : "");
    return NULL;
}

/* ---- Schemas that exclude each other ---- */

static bool equal_numbers(const covey__json *a, const covey__json *b) {
    covey__guide_decimal left, right;
    if (!covey__guide_decimal_of(a->text, &left) || !covey__guide_decimal_of(b->text, &right))
        return true; /* not shown to differ */
    return covey__guide_decimal_compare(&left, &right) == 0;
}

/* JSON's trees are at most 64 deep. */
bool covey__schema_equal(const covey__json *a, const covey__json *b) {
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case COVEY__JSON_NULL:
        return true;
    case COVEY__JSON_BOOL:
        return a->boolean == b->boolean;
    case COVEY__JSON_NUMBER:
        return equal_numbers(a, b);
    case COVEY__JSON_STRING:
        return a->size == b->size && !memcmp(a->text, b->text, a->size);
    case COVEY__JSON_ARRAY:
        if (a->size != b->size) return false;
        for (a = a->child, b = b->child; a; a = a->next, b = b->next)
            if (!covey__schema_equal(a, b)) return false;
        return true;
    case COVEY__JSON_OBJECT:
        if (a->size != b->size) return false;
        for (a = a->child; a; a = a->next) {
            const covey__json *same = covey__json_get(b, a->name);
            if (!same || !covey__schema_equal(a, same)) return false;
        }
        return true;
    }
    return false;
}

static const covey__json *through_references(const covey__json *root, const covey__json *schema) {
    for (int i = 0; schema && i < RESOLVE_MAX; i++) {
        const covey__json *reference = covey__json_get(schema, "$ref");
        if (!reference) return schema;
        schema = follow(root, reference);
    }
    return NULL;
}

/* The values that enum or const list: the first, and whether more follow it. NULL: neither. */
static const covey__json *listed(const covey__json *schema, bool *many) {
    const covey__json *one = covey__json_get(schema, "const");
    const covey__json *several = covey__json_get(schema, "enum");
    *many = !one;
    if (one) return one;
    return several && several->kind == COVEY__JSON_ARRAY ? several->child : NULL;
}

static bool lists_differ(const covey__json *a, const covey__json *b, uint32_t *work) {
    bool many_a, many_b;
    const covey__json *first = listed(a, &many_a), *second = listed(b, &many_b);
    if (!first || !second) return false;
    for (; first; first = many_a ? first->next : NULL)
        for (const covey__json *other = second; other; other = many_b ? other->next : NULL)
            if (++*work > WORK_MAX || covey__schema_equal(first, other)) return false;
    return true;
}

static unsigned shown_types(const covey__json *schema) {
    covey__guide_builder quiet = {.status = COVEY_OK};
    bool many;
    unsigned types = 0;
    const covey__json *value = listed(schema, &many);
    if (value) {
        for (; value; value = many ? value->next : NULL) types |= covey__schema_type_of(value);
        return types;
    }
    if (!covey__json_get(schema, "type")) return COVEY__SCHEMA_ALL;
    return covey__schema_types(&quiet, schema, "");
}

static bool requires(const covey__json *schema, const char *name) {
    const covey__json *required = covey__json_get(schema, "required");
    if (!required || required->kind != COVEY__JSON_ARRAY) return false;
    for (const covey__json *r = required->child; r; r = r->next)
        if (r->kind == COVEY__JSON_STRING && !strcmp(r->text, name)) return true;
    return false;
}

bool covey__schema_disjoint(const covey__json *root, const covey__json *a, const covey__json *b,
                            uint32_t *work) {
    a = through_references(root, a);
    b = through_references(root, b);
    if (!a || !b) return false;
    if (a->kind != COVEY__JSON_OBJECT || b->kind != COVEY__JSON_OBJECT)
        return (a->kind == COVEY__JSON_BOOL && !a->boolean) ||
               (b->kind == COVEY__JSON_BOOL && !b->boolean);
    unsigned both = shown_types(a) & shown_types(b);
    if (!both || lists_differ(a, b, work)) return true;
    const covey__json *of = covey__json_get(a, "properties");
    const covey__json *others = covey__json_get(b, "properties");
    if (both != COVEY__SCHEMA_OBJECT || !of || of->kind != COVEY__JSON_OBJECT || !others)
        return false;
    for (const covey__json *p = of->child; p; p = p->next) {
        *work += (uint32_t)(others->size + of->size);
        if (*work > WORK_MAX) return false;
        const covey__json *other = covey__json_get(others, p->name);
        if (other && requires(a, p->name) && requires(b, p->name) && lists_differ(p, other, work))
            return true;
    }
    return false;
}

/* ---- allOf ---- */

typedef struct joined {
    covey__guide_builder *builder;
    const char *where;
    covey__json *properties, *required;
    const covey__json *last_property, *last_required;
} joined;

static covey__json *new_node(joined *j, const covey__json *like, const char *name,
                             covey__json_kind kind) {
    covey__json *made = covey__guide_room(j->builder, 1, sizeof *made);
    if (!made) return NULL;
    if (like) *made = *like;
    made->next = NULL;
    if (like) return made;
    made->kind = kind;
    made->name = name;
    made->name_size = name ? strlen(name) : 0;
    return made;
}

/* A copy at the end of a container's children. */
static bool append_copy(joined *j, covey__json *to, const covey__json **last,
                        const covey__json *child) {
    covey__json *copy = new_node(j, child, NULL, COVEY__JSON_NULL);
    if (!copy) return false;
    if (*last) {
        covey__json *before = NULL;
        memcpy(&before, last, sizeof before); /* made here, so ours to change */
        before->next = copy;
    } else {
        to->child = copy;
    }
    *last = copy;
    to->size++;
    return true;
}

static bool join_properties(joined *j, const covey__json *properties) {
    for (const covey__json *p = properties ? properties->child : NULL; p; p = p->next) {
        const covey__json *known = covey__json_get(j->properties, p->name);
        if (known && !covey__schema_equal(known, p)) {
            char shown[64];
            covey__guide_refuse(
                j->builder, COVEY_ERROR_UNSUPPORTED,
                "%s: the keyword \"allOf\": the property \"%s\" differs between its "
                "schemas, which is not supported",
                j->where, covey__printable(p->name, p->name_size, shown, 64));
            return false;
        }
        if (j->properties->size >= JOINED_MAX) {
            covey__guide_refuse(j->builder, COVEY_ERROR_LIMIT,
                                "%s: allOf: expected at most %d properties", j->where, JOINED_MAX);
            return false;
        }
        if (!known && !append_copy(j, j->properties, &j->last_property, p)) return false;
    }
    return true;
}

/* Schemas of objects with properties and required members alone can be joined exactly. */
static bool join_one(joined *j, const covey__json *schema) {
    const covey__json *properties = NULL, *required = NULL;
    for (const covey__json *k = schema ? schema->child : NULL; k; k = k->next) {
        bool is_object = k->kind == COVEY__JSON_STRING && !strcmp(k->text, "object");
        if (!strcmp(k->name, "properties") && k->kind == COVEY__JSON_OBJECT)
            properties = k;
        else if (!strcmp(k->name, "required") && k->kind == COVEY__JSON_ARRAY)
            required = k;
        else if (group_of(k->name) != NOTE && !(!strcmp(k->name, "type") && is_object))
            return refuse(j->builder, k, j->where, "within allOf is not supported");
    }
    if (!schema || schema->kind != COVEY__JSON_OBJECT || !(properties || required)) {
        covey__guide_refuse(j->builder, COVEY_ERROR_UNSUPPORTED,
                            "%s: the keyword \"allOf\" is supported for one schema, or for objects "
                            "with properties and required alone",
                            j->where);
        return false;
    }
    for (const covey__json *r = required ? required->child : NULL; r; r = r->next)
        if (!append_copy(j, j->required, &j->last_required, r)) return false;
    return join_properties(j, properties);
}

const covey__json *covey__schema_join(covey__guide_builder *b, const covey__json *root,
                                      const covey__json *list, const char *where) {
    joined j = {.builder = b, .where = where};
    covey__json *schema = new_node(&j, NULL, NULL, COVEY__JSON_OBJECT);
    covey__json *type = new_node(&j, NULL, "type", COVEY__JSON_STRING);
    j.properties = new_node(&j, NULL, "properties", COVEY__JSON_OBJECT);
    j.required = new_node(&j, NULL, "required", COVEY__JSON_ARRAY);
    if (!schema || !type || !j.properties || !j.required) return NULL;
    type->text = "object";
    type->size = 6;
    for (const covey__json *one = list->child; one; one = one->next)
        if (!join_one(&j, through_references(root, one))) return NULL;
    if (j.required->size > JOINED_MAX) {
        covey__guide_refuse(b, COVEY_ERROR_LIMIT, "%s: allOf: expected at most %d required names",
                            where, JOINED_MAX);
        return NULL;
    }
    schema->child = type;
    schema->size = 3;
    type->next = j.properties;
    j.properties->next = j.required;
    return schema;
}
