/* Arguments of a call that the model chose to make, held to their schema. The guide of the tools
 * says which calls there are, but it knows the members of an object in its schema's order alone,
 * and a model that nothing holds may take another. So the arguments are written again in that order
 * and without spaces, and then matched; what a schema says of an object is looked for through $ref
 * and the alternatives that it has. Where alternatives name the same members in different orders,
 * the first one's order is taken. Neighbours: chat_tools.c finds calls, chat_guide.c makes the
 * guide. */
#include "serve/chat.h"

#include <stdio.h>
#include <string.h>

#define SCHEMAS_MAX 64 /* that may speak of one value */
#define DEPTH_MAX   64
#define SHOWN_MAX   40 /* bytes of the arguments in a message */

/* The schemas that may speak of a value, the nearest first. */
typedef struct schemas {
    const covey__json *items[SCHEMAS_MAX];
    size_t count;
} schemas;

typedef struct rewriting {
    const covey__json *root; /* of the schema: where "#" is */
    covey__json_writer json;
} rewriting;

/* "#/$defs/NAME": escapes are left to the guide, which knows references whole. */
static const covey__json *referred(const covey__json *root, const covey__json *reference) {
    const covey__json *at = root;
    char name[128];
    if (!reference || reference->kind != COVEY__JSON_STRING || reference->text[0] != '#')
        return NULL;
    for (const char *from = reference->text + 1; at && *from == '/';) {
        size_t size = strcspn(++from, "/");
        if (size >= sizeof name) return NULL;
        memcpy(name, from, size);
        name[size] = 0;
        at = covey__json_get(at, name);
        from += size;
    }
    return at;
}

static void add_schema(const covey__json *root, schemas *to, const covey__json *schema, int depth) {
    static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
    if (!schema || schema->kind != COVEY__JSON_OBJECT || depth > 8 || to->count == SCHEMAS_MAX)
        return;
    for (size_t i = 0; i < to->count; i++)
        if (to->items[i] == schema) return;
    to->items[to->count++] = schema;
    add_schema(root, to, referred(root, covey__json_get(schema, "$ref")), depth + 1);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const covey__json *list = covey__json_get(schema, lists[i]);
        for (const covey__json *one = list ? list->child : NULL; one; one = one->next)
            add_schema(root, to, one, depth + 1);
    }
}

static void put_value(rewriting *r, const schemas *known, const covey__json *value, int depth);

static void put_member(rewriting *r, const schemas *known, const covey__json *member, int depth) {
    schemas inner = {.count = 0};
    for (size_t i = 0; i < known->count; i++) {
        const covey__json *properties = covey__json_get(known->items[i], "properties");
        const covey__json *own = covey__json_get(properties, member->name);
        if (!own) own = covey__json_get(known->items[i], "additionalProperties");
        add_schema(r->root, &inner, own, 0);
    }
    covey__json_name(&r->json, member->name);
    put_value(r, &inner, member, depth + 1);
}

/* Whether one of the first `count` schemas names it. */
static bool named_before(const schemas *known, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (covey__json_get(covey__json_get(known->items[i], "properties"), name)) return true;
    return false;
}

static void put_object(rewriting *r, const schemas *known, const covey__json *value, int depth) {
    covey__json_begin_object(&r->json);
    for (size_t i = 0; i < known->count; i++) {
        const covey__json *properties = covey__json_get(known->items[i], "properties");
        for (const covey__json *p = properties ? properties->child : NULL; p; p = p->next) {
            const covey__json *member = covey__json_get(value, p->name);
            if (member && !named_before(known, i, p->name)) put_member(r, known, member, depth);
        }
    }
    for (const covey__json *member = value->child; member; member = member->next)
        if (!named_before(known, known->count, member->name)) put_member(r, known, member, depth);
    covey__json_end_object(&r->json);
}

static void put_array(rewriting *r, const schemas *known, const covey__json *value, int depth) {
    size_t at = 0;
    covey__json_begin_array(&r->json);
    for (const covey__json *element = value->child; element; element = element->next, at++) {
        schemas inner = {.count = 0};
        for (size_t i = 0; i < known->count; i++) {
            const covey__json *first = covey__json_get(known->items[i], "prefixItems");
            const covey__json *own = first ? first->child : NULL;
            for (size_t skip = at; own && skip; skip--) own = own->next;
            add_schema(r->root, &inner, own ? own : covey__json_get(known->items[i], "items"), 0);
        }
        put_value(r, &inner, element, depth + 1);
    }
    covey__json_end_array(&r->json);
}

static void put_value(rewriting *r, const schemas *known, const covey__json *value, int depth) {
    if (depth > DEPTH_MAX)
        covey__json_put_null(&r->json); /* deeper than what was read can be */
    else if (value->kind == COVEY__JSON_OBJECT)
        put_object(r, known, value, depth);
    else if (value->kind == COVEY__JSON_ARRAY)
        put_array(r, known, value, depth);
    else
        covey__json_put_node(&r->json, value);
}

static bool refuse(covey__tool_fault *fault, const char *tool, const covey__buffer *text,
                   size_t begin, size_t matched) {
    char shown[SHOWN_MAX + 1];
    size_t at = matched > begin ? matched - begin : 0,
           back = at < SHOWN_MAX / 2 ? at : SHOWN_MAX / 2;
    const char *from = text->data ? text->data + begin + at - back : "";
    snprintf(shown, sizeof shown, "%s", from);
    fault->code = "tool_arguments_invalid";
    snprintf(fault->tool, sizeof fault->tool, "%s", tool);
    snprintf(fault->message, sizeof fault->message,
             "the arguments break the tool's schema at byte %zu, near: %s", at, shown);
    return false;
}

bool covey__arguments_fit(const covey__tools *tools, covey__arena *arena, const covey__json *tool,
                          const covey__json *arguments, covey__tool_fault *fault) {
    const covey__json *function = covey__json_get(tool, "function");
    const char *name = covey__json_get(function, "name")->text;
    schemas known = {.count = 0};
    rewriting r = {.root = covey__json_get(function, "parameters")};
    covey__buffer text;
    size_t begin, matched = 0;
    bool whole = false;
    if (!tools->calls) return true;
    covey__buffer_init(&text, arena->env, COVEY__SERVE_BODY_MAX);
    covey__json_writer_init(&r.json, &text, false);
    add_schema(r.root, &known, r.root, 0);
    covey__json_begin_object(&r.json);
    covey__json_member_string(&r.json, "name", name);
    covey__json_name(&r.json, "arguments");
    begin = text.size;
    put_value(&r, &known, arguments, 0);
    covey__json_end_object(&r.json);
    covey_status status = text.status;
    if (!status)
        status = covey_guide_match(tools->calls, text.data, text.size, &matched, &whole, NULL);
    bool fits = !status && whole;
    if (!fits) refuse(fault, name, &text, begin, matched);
    covey__buffer_free(&text);
    return fits;
}
