/* Expressions to values. Depth is that of the tree, which the parser bounded, and of the macros
 * that are open; time is bounded by counting each node as a step. */
#include "text/template_value.h"

#include <string.h>

static covey_status look_up(covey__render *r, covey__text name, covey__value *out) {
    static const char *const functions[] = {"namespace", "dict", "range", "raise_exception",
                                            "strftime_now"};
    for (const covey__frame *frame = r->frame; frame; frame = frame->outer) {
        for (size_t i = frame->count; i > 0; i--) {
            const covey__variable *variable = &frame->variables[i - 1];
            if (variable->name.size == name.size &&
                memcmp(variable->name.data, name.data, name.size) == 0) {
                *out = variable->value;
                return COVEY_OK;
            }
        }
        COVEY__TRY(covey__render_step(r, frame->count));
    }
    *out = covey__value_undefined();
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        bool given = r->now_ms >= 0 || functions[i][0] != 's';
        if (given && covey__text_is(name, functions[i])) {
            out->kind = COVEY__VALUE_FUNCTION;
            out->as.function = name;
        }
    }
    return COVEY_OK;
}

static covey_status loop_attribute(covey__render *r, const covey__loop *loop, covey__text name,
                                   covey__value *out) {
    int64_t index = (int64_t)loop->index, count = (int64_t)loop->count;
    const struct {
        const char *name;
        covey__value value;
    } attributes[] = {
        {"index", covey__value_integer(index + 1)},
        {"index0", covey__value_integer(index)},
        {"first", covey__value_bool(index == 0)},
        {"last", covey__value_bool(index + 1 == count)},
        {"length", covey__value_integer(count)},
        {"revindex", covey__value_integer(count - index)},
        {"revindex0", covey__value_integer(count - index - 1)},
        {"previtem", index > 0 ? loop->items[index - 1] : covey__value_undefined()},
        {"nextitem", index + 1 < count ? loop->items[index + 1] : covey__value_undefined()},
        {"depth", covey__value_integer((int64_t)loop->depth + 1)},
        {"depth0", covey__value_integer((int64_t)loop->depth)},
    };
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
        if (covey__text_is(name, attributes[i].name)) {
            *out = attributes[i].value;
            return COVEY_OK;
        }
    }
    return covey__render_unsupported(r, "of a loop,", name);
}

covey_status covey__value_attribute(covey__render *r, const covey__value *value,
                                    const covey__value *name, covey__value *out) {
    covey__text text = {name->as.string.data, name->as.string.size};
    char shown[48];
    if (value->kind == COVEY__VALUE_UNDEFINED) {
        const char *printable = name->trusted && !name->as.string.spans
                                    ? covey__printable(text.data, text.size, shown, sizeof shown)
                                    : "an attribute";
        return covey__render_fail(r, "\"%s\" is asked of an undefined value", printable);
    }
    if (value->kind == COVEY__VALUE_LOOP) {
        return loop_attribute(r, value->as.loop, text, out);
    }
    *out = covey__value_undefined();
    if (covey__is_dict(value)) {
        COVEY__TRY(covey__render_step(r, value->as.dict->count));
        const covey__value *found = covey__dict_get(value->as.dict, text.data, text.size);
        *out = found ? *found : *out;
    }
    return COVEY_OK;
}

covey_status covey__value_item(covey__render *r, const covey__value *of, const covey__value *index,
                               covey__value *out) {
    if (covey__is_string(index)) {
        return covey__value_attribute(r, of, index, out);
    }
    *out = covey__value_undefined();
    if (of->kind == COVEY__VALUE_UNDEFINED) {
        return covey__render_fail(r, "an element is asked of an undefined value");
    }
    if (index->kind != COVEY__VALUE_INTEGER) {
        return COVEY_OK;
    }
    if (covey__is_string(of)) {
        return covey__string_at(r, of, index->as.integer, out);
    }
    if (of->kind == COVEY__VALUE_LIST) {
        int64_t count = (int64_t)of->as.list.count;
        int64_t at = index->as.integer + (index->as.integer < 0 ? count : 0);
        if (at >= 0 && at < count) {
            *out = of->as.list.items[at];
        }
    }
    return COVEY_OK;
}

static covey_status eval_item(covey__render *r, const covey__node *node, covey__value *out) {
    covey__value of, index;
    COVEY__TRY(covey__eval(r, node->a, &of));
    COVEY__TRY(covey__eval(r, node->b, &index));
    r->line = node->line;
    return covey__value_item(r, &of, &index, out);
}

static covey_status eval_slice(covey__render *r, const covey__node *node, covey__value *out) {
    covey__value of, bounds[3];
    size_t count = 0;
    COVEY__TRY(covey__eval(r, node->a, &of));
    for (const covey__node *bound = node->list; bound; bound = bound->next) {
        COVEY__TRY(covey__eval(r, bound, &bounds[count++]));
    }
    r->line = node->line;
    return covey__slice(r, &of, bounds, out);
}

const covey__value *covey__argument(const covey__arguments *arguments, size_t index,
                                    const char *name) {
    if (index < arguments->positional_count) {
        return &arguments->values[index];
    }
    for (size_t i = arguments->positional_count; i < arguments->count; i++) {
        if (covey__text_is(arguments->names[i], name)) {
            return &arguments->values[i];
        }
    }
    return NULL;
}

covey__value covey__argument_key(const covey__arguments *arguments, size_t index) {
    covey__text name = arguments->names[index];
    return covey__value_text(name.data, name.size, !arguments->foreign[index]);
}

static covey_status add_argument(covey__render *r, covey__arguments *arguments, covey__text name,
                                 bool foreign, const covey__value *value) {
    if (arguments->count == COVEY__ARGUMENTS_MAX) {
        return covey__render_fail(r, "more than %d arguments", COVEY__ARGUMENTS_MAX);
    }
    if (name.size == 0 && arguments->positional_count < arguments->count) {
        return covey__render_fail(r, "an argument without a name follows one with a name");
    }
    arguments->values[arguments->count] = *value;
    arguments->names[arguments->count] = name;
    arguments->foreign[arguments->count] = foreign;
    arguments->count++;
    arguments->positional_count += name.size == 0;
    return COVEY_OK;
}

/* *list and **mapping. */
static covey_status spread_argument(covey__render *r, covey__arguments *arguments, bool names,
                                    const covey__value *value) {
    const covey__value *items;
    size_t count;
    if (!names) {
        COVEY__TRY(covey__value_items(r, value, &items, &count));
        for (size_t i = 0; i < count; i++) {
            COVEY__TRY(add_argument(r, arguments, (covey__text){"", 0}, false, &items[i]));
        }
        return COVEY_OK;
    }
    if (value->kind != COVEY__VALUE_DICT) {
        return covey__render_fail(r, "** takes a mapping, not %s", covey__value_kind_name(value));
    }
    for (size_t i = 0; i < value->as.dict->count; i++) {
        const covey__dict_entry *entry = &value->as.dict->entries[i];
        covey__text name = {entry->key.as.string.data, entry->key.as.string.size};
        if (name.size > 0) {
            COVEY__TRY(add_argument(r, arguments, name, true, &entry->value));
        }
    }
    return COVEY_OK;
}

covey_status covey__eval_arguments(covey__render *r, const covey__node *first,
                                   covey__arguments *arguments) {
    arguments->count = 0;
    arguments->positional_count = 0;
    for (const covey__node *node = first; node; node = node->next) {
        covey__value value;
        bool named = node->kind == COVEY__NODE_KEYWORD;
        bool names = node->kind == COVEY__NODE_SPREAD_NAMES;
        bool spread = names || node->kind == COVEY__NODE_SPREAD;
        COVEY__TRY(covey__eval(r, named || spread ? node->a : node, &value));
        COVEY__TRY(spread ? spread_argument(r, arguments, names, &value)
                          : add_argument(r, arguments, named ? node->text : (covey__text){"", 0},
                                         false, &value));
    }
    return COVEY_OK;
}

/* An argument of a macro by place or name; marks it as taken. */
static const covey__value *take_argument(const covey__arguments *arguments, size_t index,
                                         covey__text name, bool taken[COVEY__ARGUMENTS_MAX]) {
    if (index < arguments->positional_count) {
        taken[index] = true;
        return &arguments->values[index];
    }
    for (size_t i = arguments->positional_count; i < arguments->count; i++) {
        if (arguments->names[i].size == name.size &&
            memcmp(arguments->names[i].data, name.data, name.size) == 0) {
            taken[i] = true;
            return &arguments->values[i];
        }
    }
    return NULL;
}

/* What no parameter took: `varargs` and `kwargs`, and what a call block gives, `caller`. */
static covey_status bind_rest(covey__render *r, const covey__arguments *arguments,
                              const bool taken[COVEY__ARGUMENTS_MAX], const covey__value *caller,
                              covey__frame *frame) {
    covey__value names, *more = covey__render_alloc(r, COVEY__ARGUMENTS_MAX, sizeof *more);
    size_t count = 0;
    if (!more) {
        return covey__render_no_memory(r);
    }
    COVEY__TRY(covey__dict_new(r, COVEY__VALUE_DICT, &names));
    for (size_t i = 0; i < arguments->count; i++) {
        covey__value key = covey__argument_key(arguments, i);
        if (!taken[i] && i < arguments->positional_count) {
            more[count++] = arguments->values[i];
        } else if (!taken[i]) {
            COVEY__TRY(covey__dict_set(r, names.as.dict, &key, &arguments->values[i]));
        }
    }
    COVEY__TRY(
        covey__frame_set(r, frame, (covey__text){"varargs", 7}, covey__value_tuple(more, count)));
    COVEY__TRY(covey__frame_set(r, frame, (covey__text){"kwargs", 6}, names));
    return covey__frame_set(r, frame, (covey__text){"caller", 6}, *caller);
}

/* Whether a call block is open yet: its frame is on the C stack, and a template may keep caller. */
static bool is_open(const covey__render *r, const covey__frame *frame) {
    const covey__caller *caller = r->callers;
    while (caller && caller->frame != frame) {
        caller = caller->outer;
    }
    return caller != NULL;
}

covey_status covey__call_macro(covey__render *r, const covey__value *called,
                               const covey__arguments *arguments, const covey__value *caller,
                               covey__value *out) {
    const covey__node *macro = called->as.macro.node;
    covey__frame *scope = called->as.macro.frame;
    bool taken[COVEY__ARGUMENTS_MAX] = {false};
    size_t index = 0;
    if (scope && !is_open(r, scope)) {
        return covey__render_fail(r, "caller() is called after its block has ended");
    }
    covey__frame frame = {.outer = scope ? scope : r->global}, *before = r->frame;
    COVEY__TRY(covey__render_enter(r, COVEY__STACK_MACRO));
    for (const covey__node *p = macro->b->list; p; p = p->next, index++) {
        const covey__value *given = take_argument(arguments, index, p->text, taken);
        COVEY__TRY(covey__frame_set(r, &frame, p->text, given ? *given : covey__value_undefined()));
    }
    if (!scope) {
        COVEY__TRY(bind_rest(r, arguments, taken, caller, &frame));
    }
    r->frame = &frame;
    covey_status status = COVEY_OK;
    index = 0;
    for (const covey__node *p = macro->b->list; p && status == COVEY_OK; p = p->next, index++) {
        covey__value value;
        if (p->a && !take_argument(arguments, index, p->text, taken)) {
            status = covey__eval(r, p->a, &value);
            status = status == COVEY_OK ? covey__frame_set(r, &frame, p->text, value) : status;
        }
    }
    size_t loop_depth = r->loop_depth;
    r->loop_depth = 0;
    status = status == COVEY_OK ? covey__run_captured(r, macro->list, out) : status;
    r->loop_depth = loop_depth;
    r->frame = before;
    covey__render_leave(r, COVEY__STACK_MACRO);
    return status;
}

/* .append(x) and .extend(xs) of a list that a name or an attribute holds: that then holds the
 * longer list. Other names of the same list do not see it, unlike in Python. */
static covey_status grow_list(covey__render *r, const covey__node *node, const covey__value *list,
                              const covey__arguments *arguments, covey__value *out) {
    covey__value added, longer, of;
    const covey__value *given = covey__argument(arguments, 0, "");
    if (!given) {
        return covey__render_fail(r, ".%.*s() lacks an argument", (int)node->a->text.size,
                                  node->a->text.data);
    }
    added = covey__text_is(node->a->text, "append") ? covey__value_list(given, 1) : *given;
    COVEY__TRY(covey__apply_operator(r, (covey__text){"+", 1}, list, &added, &longer));
    *out = covey__value_none();
    const covey__node *place = node->a->a;
    if (place->kind == COVEY__NODE_ATTRIBUTE) {
        covey__value key = covey__value_text(place->text.data, place->text.size, true);
        COVEY__TRY(covey__eval(r, place->a, &of));
        if (covey__is_dict(&of)) {
            return covey__dict_set(r, of.as.dict, &key, &longer);
        }
    }
    for (covey__frame *frame = r->frame; place->kind == COVEY__NODE_NAME && frame;
         frame = frame->outer) {
        for (size_t i = frame->count; i > 0; i--) {
            covey__variable *variable = &frame->variables[i - 1];
            if (variable->name.size == place->text.size &&
                memcmp(variable->name.data, place->text.data, place->text.size) == 0) {
                variable->value = longer;
                return COVEY_OK;
            }
        }
    }
    return covey__render_unsupported(r, "on a list without a name, the method", node->a->text);
}

/* A method, or a macro or function that an attribute holds. */
static covey_status call_attribute(covey__render *r, const covey__node *node, covey__value *out) {
    covey__arguments arguments;
    covey__value self, held = covey__value_undefined(), none = covey__value_undefined();
    covey__text name = node->a->text;
    COVEY__TRY(covey__eval(r, node->a->a, &self));
    COVEY__TRY(covey__eval_arguments(r, node->list, &arguments));
    r->line = node->line;
    if (covey__is_dict(&self)) {
        const covey__value *found = covey__dict_get(self.as.dict, name.data, name.size);
        held = found ? *found : held;
    }
    if (held.kind == COVEY__VALUE_MACRO) {
        return covey__call_macro(r, &held, &arguments, &none, out);
    }
    if (self.kind == COVEY__VALUE_LIST &&
        (covey__text_is(name, "append") || covey__text_is(name, "extend"))) {
        return grow_list(r, node, &self, &arguments, out);
    }
    return covey__call_method(r, name, &self, &arguments, out);
}

/* `caller`: what a call block gives, or undefined. */
static covey_status call_value(covey__render *r, const covey__node *node,
                               const covey__value *caller, covey__value *out) {
    covey__arguments arguments;
    covey__value called;
    COVEY__TRY(covey__eval(r, node->a, &called));
    COVEY__TRY(covey__eval_arguments(r, node->list, &arguments));
    r->line = node->line;
    if (called.kind == COVEY__VALUE_FUNCTION) {
        return covey__call_function(r, called.as.function, &arguments, out);
    }
    if (called.kind == COVEY__VALUE_MACRO) {
        return covey__call_macro(r, &called, &arguments, caller, out);
    }
    const covey__value *over = covey__argument(&arguments, 0, "");
    if (called.kind == COVEY__VALUE_LOOP && called.as.loop->node && over) {
        return covey__run_loop_captured(r, called.as.loop->node, over, out);
    }
    return covey__render_unsupported(r, "the function", node->text);
}

covey_status covey__eval_call(covey__render *r, const covey__node *node, const covey__value *caller,
                              covey__value *out) {
    return node->a->kind == COVEY__NODE_ATTRIBUTE ? call_attribute(r, node, out)
                                                  : call_value(r, node, caller, out);
}

static covey_status eval_applied(covey__render *r, const covey__node *node, covey__value *out) {
    covey__arguments arguments;
    covey__value value;
    COVEY__TRY(covey__eval(r, node->a, &value));
    COVEY__TRY(covey__eval_arguments(r, node->list, &arguments));
    r->line = node->line;
    if (node->kind == COVEY__NODE_FILTER) {
        return covey__apply_filter(r, node->text, &value, &arguments, out);
    }
    bool holds;
    COVEY__TRY(covey__apply_test(r, node->text, &value, &arguments, &holds));
    *out = covey__value_bool(holds);
    return COVEY_OK;
}

static covey_status eval_list(covey__render *r, const covey__node *node, covey__value *out) {
    size_t count = 0;
    for (const covey__node *element = node->list; element; element = element->next) {
        count++;
    }
    covey__value *items = covey__render_alloc(r, count + 1, sizeof *items);
    if (!items) {
        return covey__render_no_memory(r);
    }
    *out = node->integer ? covey__value_tuple(items, count) : covey__value_list(items, count);
    for (const covey__node *element = node->list; element; element = element->next) {
        COVEY__TRY(covey__eval(r, element, items++));
    }
    return COVEY_OK;
}

static covey_status eval_dict(covey__render *r, const covey__node *node, covey__value *out) {
    COVEY__TRY(covey__dict_new(r, COVEY__VALUE_DICT, out));
    for (const covey__node *key = node->list; key; key = key->next->next) {
        covey__value name, value;
        COVEY__TRY(covey__eval(r, key, &name));
        COVEY__TRY(covey__eval(r, key->next, &value));
        if (!covey__is_string(&name)) {
            return covey__render_fail(r, "a mapping's key is %s, not a string",
                                      covey__value_kind_name(&name));
        }
        COVEY__TRY(covey__dict_set(r, out->as.dict, &name, &value));
    }
    return COVEY_OK;
}

/* and, or: the value that decides, as in Python. */
static covey_status eval_logic(covey__render *r, const covey__node *node, covey__value *out) {
    COVEY__TRY(covey__eval(r, node->a, out));
    bool is_true = covey__value_is_true(out);
    return is_true == (node->kind == COVEY__NODE_AND) ? covey__eval(r, node->b, out) : COVEY_OK;
}

static covey_status eval_choice(covey__render *r, const covey__node *node, covey__value *out) {
    covey__value condition;
    COVEY__TRY(covey__eval(r, node->a, &condition));
    if (covey__value_is_true(&condition)) {
        return covey__eval(r, node->b, out);
    }
    *out = covey__value_undefined();
    return node->c ? covey__eval(r, node->c, out) : COVEY_OK;
}

static covey_status eval_negate(covey__render *r, const covey__node *node, covey__value *out) {
    covey__value value;
    COVEY__TRY(covey__eval(r, node->a, &value));
    if (value.kind == COVEY__VALUE_FLOAT) {
        *out = covey__value_float(-value.as.number);
        return COVEY_OK;
    }
    covey__value zero = covey__value_integer(0);
    return covey__apply_operator(r, (covey__text){"-", 1}, &zero, &value, out);
}

static covey_status eval_binary(covey__render *r, const covey__node *node, covey__value *out) {
    covey__value left, right;
    COVEY__TRY(covey__eval(r, node->a, &left));
    COVEY__TRY(covey__eval(r, node->b, &right));
    r->line = node->line;
    return covey__apply_operator(r, node->text, &left, &right, out);
}

static covey_status eval_kind(covey__render *r, const covey__node *node, covey__value *out) {
    covey__value value;
    switch (node->kind) {
    case COVEY__NODE_NONE:
        *out = covey__value_none();
        return COVEY_OK;
    case COVEY__NODE_BOOL:
        *out = covey__value_bool(node->integer != 0);
        return COVEY_OK;
    case COVEY__NODE_INTEGER:
        *out = covey__value_integer(node->integer);
        return COVEY_OK;
    case COVEY__NODE_FLOAT:
        *out = covey__value_float(node->number);
        return COVEY_OK;
    case COVEY__NODE_STRING:
        *out = covey__value_text(node->text.data, node->text.size, true);
        return COVEY_OK;
    case COVEY__NODE_NAME:
        return look_up(r, node->text, out);
    case COVEY__NODE_LIST:
        return eval_list(r, node, out);
    case COVEY__NODE_DICT:
        return eval_dict(r, node, out);
    case COVEY__NODE_ATTRIBUTE: {
        covey__value name = covey__value_text(node->text.data, node->text.size, true);
        COVEY__TRY(covey__eval(r, node->a, &value));
        r->line = node->line;
        return covey__value_attribute(r, &value, &name, out);
    }
    case COVEY__NODE_ITEM:
        return eval_item(r, node, out);
    case COVEY__NODE_SLICE:
        return eval_slice(r, node, out);
    case COVEY__NODE_CALL:
        value = covey__value_undefined();
        return covey__eval_call(r, node, &value, out);
    case COVEY__NODE_CAPTURED:
        *out = r->captured;
        return COVEY_OK;
    case COVEY__NODE_FILTER:
    case COVEY__NODE_TEST:
        return eval_applied(r, node, out);
    case COVEY__NODE_NOT:
        COVEY__TRY(covey__eval(r, node->a, &value));
        *out = covey__value_bool(!covey__value_is_true(&value));
        return COVEY_OK;
    case COVEY__NODE_NEGATE:
        return eval_negate(r, node, out);
    case COVEY__NODE_AND:
    case COVEY__NODE_OR:
        return eval_logic(r, node, out);
    case COVEY__NODE_BINARY:
        return eval_binary(r, node, out);
    case COVEY__NODE_CHOICE:
        return eval_choice(r, node, out);
    default:
        return covey__fail(r->error, COVEY_ERROR_INTERNAL, "template: node %d is no expression",
                           (int)node->kind);
    }
}

covey_status covey__eval(covey__render *r, const covey__node *node, covey__value *out) {
    COVEY__TRY(covey__render_step(r, 0));
    bool calls = node->kind == COVEY__NODE_CALL || node->kind == COVEY__NODE_FILTER ||
                 node->kind == COVEY__NODE_TEST;
    uint32_t bytes = COVEY__STACK_VALUE + (calls ? COVEY__STACK_CALL : 0);
    COVEY__TRY(covey__render_enter(r, bytes));
    COVEY__TRY(eval_kind(r, node, out));
    covey__render_leave(r, bytes);
    return COVEY_OK;
}
