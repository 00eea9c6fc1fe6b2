/* JSON Schema to trees. Each schema that is met becomes a rule, once: recursion is a rule that
 * calls itself, and schemas wait in a queue, so that a chain of references costs no stack. What is
 * made is a part of what the schema allows, and never more: members in the schema's order, no
 * escapes in names of the model's choice, numbers of so many digits, next to no white space.
 * docs/guide.md lists it. Neighbours: guide_schema_check.c looks first, guide_pattern.c,
 * guide_format.c and guide_number.c make strings and numbers, guide_schema_names.c names. */
#include "engine/guide_schema.h"

#include <stdio.h>
#include <string.h>

#define SLOTS        (4u * COVEY__GUIDE_RULES_MAX)
#define MEMBERS_MAX  4096
#define BRANCHES_MAX 128
#define WHERE_MAX    160

typedef struct waiting {
    const covey__json *schema;
    const char *where;
    uint32_t rule;
} waiting;

typedef struct compiler {
    covey__guide_builder *builder;
    const covey__json *root;
    covey__guide_node *colon, *comma, *any_char, *any_string, *name_char;
    const covey__json **keys; /* schemas by address, and their rules */
    uint32_t *rules;
    waiting *queue;
    size_t queue_count, queue_done;
    uint32_t any;  /* the rule of any value; NO_END until it is asked for */
    uint32_t work; /* comparisons of oneOf */
} compiler;

typedef covey__guide_node node;

/* ---- Small helpers ---- */

static bool failed(const compiler *c) {
    return c->builder->status != COVEY_OK;
}

static node *refuse(compiler *c, covey_status status, const char *where, const char *what) {
    return covey__guide_refuse(c->builder, status, "%s: %s", where, what);
}

static node *text(compiler *c, const char *of) {
    return covey__guide_text(c->builder, of);
}

static node *sequence(compiler *c, node *a, node *b, node *d) {
    node *parts[] = {a, b, d};
    return covey__guide_sequence(c->builder, parts, d ? 3 : 2);
}

static node *either(compiler *c, node *a, node *b) {
    node *ways[] = {a, b};
    return covey__guide_choice(c->builder, ways, 2);
}

static node *repeat(compiler *c, node *of, uint32_t min, uint32_t max) {
    return covey__guide_repeat(c->builder, of, min, max);
}

/* Where something below `where` stands. Long places lose their middle. */
static const char *below(compiler *c, const char *where, const char *keyword, const char *name,
                         size_t index) {
    char place[WHERE_MAX * 2], shown[64];
    if (name)
        snprintf(place, sizeof place, "%s/%s/%s", where, keyword,
                 covey__printable(name, strlen(name), shown, sizeof shown));
    else if (index != SIZE_MAX)
        snprintf(place, sizeof place, "%s/%s/%zu", where, keyword, index);
    else
        snprintf(place, sizeof place, "%s/%s", where, keyword);
    size_t size = strlen(place), cut = size > WHERE_MAX ? size - WHERE_MAX : 0;
    char *copy = covey__guide_room(c->builder, size + 8, 1);
    if (!copy) return "";
    snprintf(copy, size + 8, "%s%s", cut ? "#..." : "", place + cut);
    return copy;
}

static bool whole_number(compiler *c, const covey__json *schema, const char *name, uint32_t absent,
                         const char *where, uint32_t *out) {
    const covey__json *value = covey__json_get(schema, name);
    covey__guide_decimal d;
    *out = absent;
    if (!value) return true;
    bool right = value->kind == COVEY__JSON_NUMBER && covey__guide_decimal_of(value->text, &d) &&
                 !d.negative && d.fraction[0] == 0;
    if (!right) {
        covey__guide_refuse(c->builder, COVEY_ERROR_FORMAT,
                            "%s: %s: expected a whole number from 0", where, name);
        return false;
    }
    uint64_t number = 0;
    for (const char *digit = d.whole; *digit && number < COVEY__GUIDE_NO_END; digit++)
        number = number * 10 + (uint64_t)(*digit - '0');
    *out = number < COVEY__GUIDE_NO_END ? (uint32_t)number : COVEY__GUIDE_NO_END - 1;
    return true;
}

/* ---- Rules of schemas ---- */

static const covey__json *const no_schema = NULL;

/* A call of the rule of a schema, which waits to be made when it is new. */
static node *value_of(compiler *c, const covey__json *schema, const char *where) {
    if (failed(c)) return NULL;
    uintptr_t address = (uintptr_t)schema;
    uint32_t slot = (uint32_t)((uint64_t)address * 0x9E3779B97F4A7C15ull >> 40) & (SLOTS - 1);
    for (; c->keys[slot] != no_schema; slot = (slot + 1) & (SLOTS - 1))
        if (c->keys[slot] == schema) return covey__guide_call(c->builder, c->rules[slot]);
    uint32_t rule = covey__guide_rule_new(c->builder, where, strlen(where), 0);
    if (rule == COVEY__GUIDE_NO_END) return NULL;
    c->keys[slot] = schema;
    c->rules[slot] = rule;
    c->queue[c->queue_count++] = (waiting){schema, where, rule};
    return covey__guide_call(c->builder, rule);
}

/* A part that opens a container is a rule that counts as a level of depth. */
static node *level(compiler *c, const char *where, node *body) {
    uint32_t rule = covey__guide_rule_new(c->builder, where, strlen(where), 1);
    if (rule == COVEY__GUIDE_NO_END || !body) return NULL;
    c->builder->rules[rule].body = body;
    return covey__guide_call(c->builder, rule);
}

/* ---- Strings ---- */

static node *quoted(compiler *c, node *content) {
    return sequence(c, text(c, "\""), content, text(c, "\""));
}

/* Gives the one part that varies the lengths that are left for it. */
static node *narrowed(compiler *c, const covey__guide_pattern *pattern, uint32_t min,
                      uint32_t max) {
    node *variable = pattern->variable;
    uint32_t fixed = pattern->min - variable->min;
    uint32_t least = min > fixed ? min - fixed : 0, most = max;
    if (max != COVEY__GUIDE_NO_END) most = max - fixed;
    if (least < variable->min) least = variable->min;
    if (most > variable->max) most = variable->max;
    covey__guide_node *again = repeat(c, variable->children[0], least, most);
    if (!again) return NULL;
    *variable = *again;
    return quoted(c, pattern->node);
}

/* A pattern whose strings all have a length within the bounds needs no counting. */
static node *patterned(compiler *c, const covey__guide_pattern *pattern, uint32_t min, uint32_t max,
                       const char *where) {
    if (!pattern->node) return NULL;
    if (pattern->min >= min && pattern->max <= max) return quoted(c, pattern->node);
    if (pattern->max < min || pattern->min > max) return covey__guide_nothing(c->builder);
    if (pattern->variable) return narrowed(c, pattern, min, max);
    return refuse(c, COVEY_ERROR_UNSUPPORTED, where,
                  "the keywords \"minLength\" and \"maxLength\" are supported beside a pattern or "
                  "format that keeps them anyway, or that varies in one repeated character alone; "
                  "write the length into the pattern");
}

static node *string_of(compiler *c, const covey__json *schema, const char *where) {
    const covey__json *pattern = covey__json_get(schema, "pattern");
    const covey__json *format = covey__json_get(schema, "format");
    uint32_t min, max;
    if (!whole_number(c, schema, "minLength", 0, where, &min) ||
        !whole_number(c, schema, "maxLength", COVEY__GUIDE_NO_END, where, &max))
        return NULL;
    if (min > max) return covey__guide_nothing(c->builder);
    if ((pattern && pattern->kind != COVEY__JSON_STRING) ||
        (format && format->kind != COVEY__JSON_STRING))
        return refuse(c, COVEY_ERROR_FORMAT, where, "pattern and format: expected a string");
    if (pattern && format)
        return refuse(c, COVEY_ERROR_UNSUPPORTED, where,
                      "the keyword \"format\" beside \"pattern\" is not supported");
    if (format) {
        const char *known = covey__guide_format_of(format->text);
        char shown[64];
        if (!known)
            return covey__guide_refuse(
                c->builder, COVEY_ERROR_UNSUPPORTED,
                "%s: the keyword \"format\": \"%s\" is not supported; supported "
                "are " COVEY__GUIDE_FORMATS,
                where, covey__printable(format->text, format->size, shown, sizeof shown));
        covey__guide_pattern of = covey__guide_pattern_of(c->builder, known, strlen(known), where);
        return patterned(c, &of, min, max, where);
    }
    if (pattern) {
        covey__guide_pattern of =
            covey__guide_pattern_of(c->builder, pattern->text, pattern->size, where);
        return patterned(c, &of, min, max, where);
    }
    if (min == 0 && max == COVEY__GUIDE_NO_END) return c->any_string;
    return quoted(c, repeat(c, c->any_char, min, max));
}

/* ---- Numbers ---- */

static bool read_bound(compiler *c, const covey__json *schema, const char *name, const char *where,
                       covey__guide_decimal *out, bool *has) {
    const covey__json *value = covey__json_get(schema, name);
    *has = value != NULL;
    if (!value) return true;
    if (value->kind == COVEY__JSON_NUMBER && covey__guide_decimal_of(value->text, out)) return true;
    covey__guide_refuse(
        c->builder, value->kind == COVEY__JSON_NUMBER ? COVEY_ERROR_LIMIT : COVEY_ERROR_FORMAT,
        "%s: %s: expected a number of at most %d digits", where, name, COVEY__GUIDE_DIGITS_MAX);
    return false;
}

static bool read_bounds(compiler *c, const covey__json *schema, const char *where,
                        covey__guide_bounds *out) {
    covey__guide_decimal open;
    bool has;
    memset(out, 0, sizeof *out);
    if (!read_bound(c, schema, "minimum", where, &out->low, &out->has_low) ||
        !read_bound(c, schema, "maximum", where, &out->high, &out->has_high) ||
        !read_bound(c, schema, "multipleOf", where, &out->step, &out->has_step) ||
        !read_bound(c, schema, "exclusiveMinimum", where, &open, &has))
        return false;
    if (has && (!out->has_low || covey__guide_decimal_compare(&open, &out->low) >= 0)) {
        out->low = open;
        out->has_low = out->low_open = true;
    }
    if (!read_bound(c, schema, "exclusiveMaximum", where, &open, &has)) return false;
    if (has && (!out->has_high || covey__guide_decimal_compare(&open, &out->high) <= 0)) {
        out->high = open;
        out->has_high = out->high_open = true;
    }
    bool positive = !out->step.negative && (strcmp(out->step.whole, "0") || out->step.fraction[0]);
    if (!out->has_step || positive) return true;
    refuse(c, COVEY_ERROR_FORMAT, where, "multipleOf: expected more than 0");
    return false;
}

/* ---- Arrays ---- */

static node *any_value(compiler *c);

/* Elements from `from` on: those of the prefix, then any number of `rest` (NULL: none). */
static node *elements(compiler *c, node **prefix, size_t prefix_count, node *rest, uint32_t min,
                      uint32_t max) {
    covey__guide_builder *b = c->builder;
    if (max == 0) return min == 0 ? text(c, "[]") : covey__guide_nothing(b);
    size_t count = prefix_count < max ? prefix_count : max;
    node *tail = covey__guide_empty(b);
    if (rest && max > count) {
        uint32_t least = min > count ? min - (uint32_t)count : 0;
        uint32_t most = max == COVEY__GUIDE_NO_END ? COVEY__GUIDE_NO_END : max - (uint32_t)count;
        node *more = sequence(c, c->comma, rest, NULL);
        if (count > 0) {
            tail = repeat(c, more, least, most);
        } else {
            tail = sequence(c, rest,
                            repeat(c, more, least ? least - 1 : 0,
                                   most == COVEY__GUIDE_NO_END ? most : most - 1),
                            NULL);
            if (least == 0) tail = either(c, covey__guide_empty(b), tail);
        }
    } else if (min > count) {
        return covey__guide_nothing(b);
    }
    for (size_t i = count; i-- > 0;) { /* from the last: what may end where */
        node *here = sequence(c, prefix[i], tail, NULL);
        if (i > 0) here = sequence(c, c->comma, here, NULL);
        tail = i >= min ? either(c, covey__guide_empty(b), here) : here;
    }
    return sequence(c, text(c, "["), tail, text(c, "]"));
}

static node *array_of(compiler *c, const covey__json *schema, const char *where) {
    const covey__json *items = covey__json_get(schema, "items");
    const covey__json *prefix = covey__json_get(schema, "prefixItems");
    uint32_t min, max;
    if (!whole_number(c, schema, "minItems", 0, where, &min) ||
        !whole_number(c, schema, "maxItems", COVEY__GUIDE_NO_END, where, &max))
        return NULL;
    if (min > max) return covey__guide_nothing(c->builder);
    if (items && items->kind == COVEY__JSON_ARRAY)
        return refuse(c, COVEY_ERROR_UNSUPPORTED, where,
                      "the keyword \"items\" as an array is not supported; \"prefixItems\" is");
    if (prefix && (prefix->kind != COVEY__JSON_ARRAY || prefix->size > MEMBERS_MAX))
        return refuse(c, COVEY_ERROR_FORMAT, where,
                      "prefixItems: expected an array of at most 4096 schemas");
    size_t count = prefix ? prefix->size : 0, i = 0;
    node **of = covey__guide_room(c->builder, count, sizeof(node *));
    if (!of) return NULL;
    for (const covey__json *p = prefix ? prefix->child : NULL; p; p = p->next, i++)
        of[i] = value_of(c, p, below(c, where, "prefixItems", NULL, i));
    node *rest = NULL;
    if (items) {
        bool none = items->kind == COVEY__JSON_BOOL && !items->boolean;
        if (!none) rest = value_of(c, items, below(c, where, "items", NULL, SIZE_MAX));
    } else if (!prefix) {
        rest = any_value(c);
    }
    return level(c, where, elements(c, of, count, rest, min, max));
}

/* ---- Objects ---- */

typedef struct object {
    const covey__json *schema, *properties, *required, *additional;
    const char *where;
    covey__text *names; /* of the properties, then of those only required */
    size_t name_count;
    uint32_t min, max;
    bool open; /* other names may stand here */
} object;

/* `"name":` */
static node *name_literal(compiler *c, const char *name, size_t size) {
    return sequence(c, covey__guide_json_name(c->builder, name, size), c->colon, NULL);
}

/* A member whose name is the model's choice. */
static node *other_member(compiler *c, const object *o, node *value) {
    node *name =
        covey__guide_other_name(c->builder, o->names, o->name_count, c->name_char, o->where);
    return sequence(c, quoted(c, name), c->colon, value);
}

static bool is_required(const object *o, const char *name) {
    for (const covey__json *r = o->required ? o->required->child : NULL; r; r = r->next)
        if (!strcmp(r->text, name)) return true;
    return false;
}

static bool read_object(compiler *c, object *o) {
    const covey__json *schema = o->schema;
    o->properties = covey__json_get(schema, "properties");
    o->required = covey__json_get(schema, "required");
    o->additional = covey__json_get(schema, "additionalProperties");
    if (!whole_number(c, schema, "minProperties", 0, o->where, &o->min) ||
        !whole_number(c, schema, "maxProperties", COVEY__GUIDE_NO_END, o->where, &o->max))
        return false;
    bool right = (!o->properties || o->properties->kind == COVEY__JSON_OBJECT) &&
                 (!o->required || o->required->kind == COVEY__JSON_ARRAY);
    for (const covey__json *r = right && o->required ? o->required->child : NULL; r; r = r->next)
        if (r->kind != COVEY__JSON_STRING) right = false;
    if (!right) {
        refuse(c, COVEY_ERROR_FORMAT, o->where,
               "expected properties as an object and required as an array of strings");
        return false;
    }
    if ((o->properties && o->properties->size > MEMBERS_MAX) ||
        (o->required && o->required->size > MEMBERS_MAX)) {
        refuse(c, COVEY_ERROR_LIMIT, o->where, "expected at most 4096 properties in an object");
        return false;
    }
    if (o->additional)
        o->open = o->additional->kind != COVEY__JSON_BOOL || o->additional->boolean;
    else
        o->open = !o->properties;
    return true;
}

/* Pairs of members in order, and o->names; false on failure. */
static bool read_members(compiler *c, object *o, node **pairs, size_t *pair_count, node *other) {
    for (const covey__json *p = o->properties ? o->properties->child : NULL; p; p = p->next) {
        node *name = name_literal(c, p->name, p->name_size);
        if (!name) return false;
        o->names[o->name_count++] = (covey__text){p->name, p->name_size};
        bool required = name->required = is_required(o, p->name);
        if (p->kind == COVEY__JSON_BOOL && !p->boolean && !required) continue;
        pairs[*pair_count] = name;
        pairs[*pair_count + 1] = value_of(c, p, below(c, o->where, "properties", p->name, 0));
        *pair_count += 2;
    }
    size_t first = o->name_count;
    for (const covey__json *r = o->required ? o->required->child : NULL; r; r = r->next) {
        bool known = o->properties && covey__json_get(o->properties, r->text);
        for (size_t i = first; i < o->name_count && !known; i++)
            known = !strcmp(o->names[i].data, r->text);
        if (known) continue;
        if (!other) {
            char shown[64];
            covey__guide_refuse(c->builder, COVEY_ERROR_INVALID_ARGUMENT,
                                "%s: \"%s\" is required, but it is no property, and no others are "
                                "allowed",
                                o->where, covey__printable(r->text, r->size, shown, sizeof shown));
            return false;
        }
        node *name = name_literal(c, r->text, r->size);
        if (!name) return false;
        o->names[o->name_count++] = (covey__text){r->text, r->size};
        name->required = true;
        pairs[*pair_count] = name;
        pairs[*pair_count + 1] = other;
        *pair_count += 2;
    }
    return !failed(c);
}

/* Counts of members: exact where all names are the model's choice, or where they hold anyway. */
static node *counted_members(compiler *c, const object *o, node **pairs, size_t pair_count,
                             node *member) {
    size_t least = 0;
    for (size_t i = 0; i < pair_count; i++) least += pairs[2 * i]->required;
    if (pair_count == 0 && member) {
        node *more = sequence(c, c->comma, member, NULL);
        if (o->max == 0) return covey__guide_empty(c->builder);
        node *some = sequence(c, member,
                              repeat(c, more, o->min ? o->min - 1 : 0,
                                     o->max == COVEY__GUIDE_NO_END ? o->max : o->max - 1),
                              NULL);
        return o->min ? some : either(c, covey__guide_empty(c->builder), some);
    }
    bool most = o->max == COVEY__GUIDE_NO_END || (!member && o->max >= pair_count);
    if (o->min > least || !most)
        return refuse(c, COVEY_ERROR_UNSUPPORTED, o->where,
                      "the keywords \"minProperties\" and \"maxProperties\" beside properties are "
                      "not supported");
    return covey__guide_members(c->builder, pairs, pair_count, c->comma, member);
}

static node *object_of(compiler *c, const covey__json *schema, const char *where) {
    object o = {.schema = schema, .where = where};
    if (!read_object(c, &o)) return NULL;
    if (o.min > o.max) return covey__guide_nothing(c->builder);
    node *other = NULL;
    if (o.open && o.additional && o.additional->kind != COVEY__JSON_BOOL)
        other = value_of(c, o.additional, below(c, where, "additionalProperties", NULL, SIZE_MAX));
    else if (o.open)
        other = any_value(c);
    size_t most = (o.properties ? o.properties->size : 0) + (o.required ? o.required->size : 0);
    size_t count = 0;
    node **pairs = covey__guide_room(c->builder, 2 * most, sizeof(node *));
    o.names = covey__guide_room(c->builder, most, sizeof *o.names);
    if (!pairs || !o.names || !read_members(c, &o, pairs, &count, other)) return NULL;
    node *member = other ? other_member(c, &o, other) : NULL;
    if (failed(c)) return NULL;
    node *members = counted_members(c, &o, pairs, count / 2, member);
    return level(c, where, sequence(c, text(c, "{"), members, text(c, "}")));
}

/* ---- Any value ---- */

static node *real_text(compiler *c, bool integer) {
    covey__guide_bounds none = {.has_low = false};
    return integer ? covey__guide_integer(c->builder, &none, "")
                   : covey__guide_real(c->builder, &none, "");
}

static node *any_value(compiler *c) {
    covey__guide_builder *b = c->builder;
    if (c->any != COVEY__GUIDE_NO_END || failed(c)) return covey__guide_call(b, c->any);
    c->any = covey__guide_rule_new(b, "(any value)", 11, 0);
    if (c->any == COVEY__GUIDE_NO_END) return NULL;
    node *self = covey__guide_call(b, c->any);
    object o = {.where = "(any value)"};
    node *member = other_member(c, &o, self);
    node *more = repeat(c, sequence(c, c->comma, member, NULL), 0, COVEY__GUIDE_NO_END);
    node *members = repeat(c, sequence(c, member, more, NULL), 0, 1);
    node *ways[] = {c->any_string,
                    level(c, "(any object)", sequence(c, text(c, "{"), members, text(c, "}"))),
                    level(c, "(any array)", elements(c, NULL, 0, self, 0, COVEY__GUIDE_NO_END)),
                    real_text(c, false),
                    text(c, "true"),
                    text(c, "false"),
                    text(c, "null")};
    node *body = covey__guide_choice(b, ways, sizeof ways / sizeof *ways);
    b->rules[c->any].body = body;
    return self;
}

/* ---- Schemas ---- */

static node *constant(compiler *c, const covey__json *value) {
    covey__buffer out;
    covey__json_writer writer;
    covey__buffer_init(&out, c->builder->env, COVEY__GUIDE_TEXT_MAX * 8);
    covey__json_writer_init(&writer, &out, false);
    covey__json_put_node(&writer, value);
    node *literal = NULL;
    if (out.status == COVEY_OK)
        literal = covey__guide_bytes(c->builder, out.data, out.size);
    else if (!failed(c))
        c->builder->status = covey__buffer_check(&out, c->builder->error, "a constant");
    covey__buffer_free(&out);
    return literal;
}

static node *fixed(compiler *c, const covey__json *schema, const covey__json *list, bool one,
                   const char *where) {
    unsigned types = COVEY__SCHEMA_ALL;
    if (covey__json_get(schema, "type")) types = covey__schema_types(c->builder, schema, where);
    if (!one && list->kind != COVEY__JSON_ARRAY)
        return refuse(c, COVEY_ERROR_FORMAT, where, "enum: expected an array");
    size_t count = 0, most = one ? 1 : list->size;
    node **ways = covey__guide_room(c->builder, most, sizeof(node *));
    for (const covey__json *v = one ? list : list->child; ways && v; v = one ? NULL : v->next)
        if ((covey__schema_type_of(v) & ~types) == 0) ways[count++] = constant(c, v);
    return ways ? covey__guide_choice(c->builder, ways, count) : NULL;
}

static node *branches(compiler *c, const covey__json *list, const char *keyword,
                      const char *where) {
    if (list->kind != COVEY__JSON_ARRAY || list->size == 0 || list->size > BRANCHES_MAX)
        return covey__guide_refuse(
            c->builder, list->size > BRANCHES_MAX ? COVEY_ERROR_LIMIT : COVEY_ERROR_FORMAT,
            "%s: %s: expected an array of 1 to %d schemas", where, keyword, BRANCHES_MAX);
    if (!strcmp(keyword, "allOf") && list->size > 1) {
        const covey__json *all = covey__schema_join(c->builder, c->root, list, where);
        return all ? value_of(c, all, where) : NULL;
    }
    node *ways[BRANCHES_MAX];
    size_t count = 0;
    for (const covey__json *b = list->child; b; b = b->next, count++) {
        size_t other = 0;
        for (const covey__json *a = list->child; a != b && !strcmp(keyword, "oneOf");
             a = a->next, other++)
            if (!covey__schema_disjoint(c->root, a, b, &c->work))
                return covey__guide_refuse(
                    c->builder, COVEY_ERROR_UNSUPPORTED,
                    "%s: the keyword \"oneOf\": branches %zu and %zu may both match, which is not "
                    "supported; anyOf is, and branches that a required constant tells apart",
                    where, other, count);
        ways[count] = value_of(c, b, below(c, where, keyword, NULL, count));
    }
    return covey__guide_choice(c->builder, ways, count);
}

static node *typed(compiler *c, const covey__json *schema, const char *where) {
    node *ways[8];
    size_t count = 0;
    covey__guide_bounds bounds;
    unsigned types = covey__schema_types(c->builder, schema, where);
    if (!types || ((types & COVEY__SCHEMA_NUMBER) && !read_bounds(c, schema, where, &bounds)))
        return NULL;
    if (types & COVEY__SCHEMA_OBJECT) ways[count++] = object_of(c, schema, where);
    if (types & COVEY__SCHEMA_ARRAY) ways[count++] = array_of(c, schema, where);
    if (types & COVEY__SCHEMA_STRING) ways[count++] = string_of(c, schema, where);
    if (types & COVEY__SCHEMA_REAL)
        ways[count++] = covey__guide_real(c->builder, &bounds, where);
    else if (types & COVEY__SCHEMA_INTEGER)
        ways[count++] = covey__guide_integer(c->builder, &bounds, where);
    if (types & COVEY__SCHEMA_BOOLEAN) {
        ways[count++] = text(c, "true");
        ways[count++] = text(c, "false");
    }
    if (types & COVEY__SCHEMA_NULL) ways[count++] = text(c, "null");
    return covey__guide_choice(c->builder, ways, count);
}

static node *schema_body(compiler *c, const covey__json *schema, const char *where) {
    static const char *const combined[] = {"anyOf", "oneOf", "allOf"};
    if (!covey__schema_check(c->builder, schema, where)) return NULL;
    if (schema->kind == COVEY__JSON_BOOL)
        return schema->boolean ? any_value(c) : covey__guide_nothing(c->builder);
    const covey__json *found = covey__json_get(schema, "$ref");
    if (found) {
        found = covey__schema_resolve(c->builder, c->root, found, where);
        return found ? value_of(c, found, covey__json_get(schema, "$ref")->text) : NULL;
    }
    if ((found = covey__json_get(schema, "const"))) return fixed(c, schema, found, true, where);
    if ((found = covey__json_get(schema, "enum"))) return fixed(c, schema, found, false, where);
    for (size_t i = 0; i < 3; i++)
        if ((found = covey__json_get(schema, combined[i])))
            return branches(c, found, combined[i], where);
    return typed(c, schema, where);
}

static void make_parts(compiler *c, covey_guide_spaces spaces) {
    static const covey__guide_range plain[] = {{0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0x10ffff}};
    covey__guide_builder *b = c->builder;
    c->colon = text(c, ":");
    c->comma = text(c, ",");
    if (spaces == COVEY_GUIDE_SPACES_ONE) {
        node *space = repeat(c, text(c, " "), 0, 1);
        c->colon = sequence(c, c->colon, space, NULL);
        c->comma = sequence(c, c->comma, space, NULL);
    }
    c->any_char = covey__guide_any_char(b);
    c->any_string = quoted(c, repeat(c, c->any_char, 0, COVEY__GUIDE_NO_END));
    c->name_char = covey__guide_chars(b, plain, 3, false);
    c->keys = covey__guide_room(b, SLOTS, sizeof *c->keys);
    c->rules = covey__guide_room(b, SLOTS, sizeof *c->rules);
    c->queue = covey__guide_room(b, COVEY__GUIDE_RULES_MAX, sizeof *c->queue);
}

void covey__guide_schema(covey__guide_builder *builder, const char *source, size_t size,
                         covey_guide_spaces spaces) {
    compiler c = {.builder = builder, .any = COVEY__GUIDE_NO_END};
    covey__json_limits limits = {COVEY__GUIDE_TEXT_MAX, 64, 1u << 17};
    builder->depth_max = COVEY__GUIDE_DEPTH_MAX;
    builder->status =
        covey__json_parse(&builder->arena, source, size, limits, &c.root, builder->error);
    if (builder->status != COVEY_OK) return;
    uint32_t answer = covey__guide_rule_new(builder, "#", 1, 0);
    make_parts(&c, spaces);
    node *start = failed(&c) ? NULL : value_of(&c, c.root, "#");
    if (!start) return;
    builder->rules[answer].body = start;
    while (c.queue_done < c.queue_count && !failed(&c)) {
        waiting next = c.queue[c.queue_done++];
        node *body = schema_body(&c, next.schema, next.where);
        if (body) builder->rules[next.rule].body = body;
    }
}
