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

static covey_status eval_item(covey__render *r, const covey__node *node, covey__value *out) {
    covey__value of, index;
    COVEY__TRY(covey__eval(r, node->a, &of));
    COVEY__TRY(covey__eval(r, node->b, &index));
    r->line = node->line;
    if (covey__is_string(&index)) {
        return covey__value_attribute(r, &of, &index, out);
    }
    *out = covey__value_undefined();
    if (of.kind == COVEY__VALUE_UNDEFINED) {
        return covey__render_fail(r, "an element is asked of an undefined value");
    }
    if (index.kind != COVEY__VALUE_INTEGER) {
        return COVEY_OK;
    }
    if (covey__is_string(&of)) {
        return covey__string_at(r, &of, index.as.integer, out);
    }
    if (of.kind == COVEY__VALUE_LIST) {
        int64_t count = (int64_t)of.as.list.count;
        int64_t at = index.as.integer + (index.as.integer < 0 ? count : 0);
        if (at >= 0 && at < count) {
            *out = of.as.list.items[at];
        }
    }
    return COVEY_OK;
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

covey_status covey__eval_arguments(covey__render *r, const covey__node *first,
                                   covey__arguments *arguments) {
    arguments->count = 0;
    arguments->positional_count = 0;
    for (const covey__node *node = first; node; node = node->next) {
        bool named = node->kind == COVEY__NODE_KEYWORD;
        if (arguments->count == COVEY__ARGUMENTS_MAX) {
            return covey__render_fail(r, "more than %d arguments", COVEY__ARGUMENTS_MAX);
        }
        if (!named && arguments->positional_count < arguments->count) {
            return covey__render_fail(r, "an argument without a name follows one with a name");
        }
        COVEY__TRY(covey__eval(r, named ? node->a : node, &arguments->values[arguments->count]));
        arguments->names[arguments->count] = named ? node->text : (covey__text){"", 0};
        arguments->count++;
        arguments->positional_count += !named;
    }
    return COVEY_OK;
}

/* A macro sees the template's own variables and its parameters, and gives what it prints. */
static covey_status call_macro(covey__render *r, const covey__node *macro,
                               const covey__arguments *arguments, covey__value *out) {
    covey__frame frame = {.outer = r->global}, *caller = r->frame;
    size_t index = 0;
    COVEY__TRY(covey__render_enter(r));
    for (const covey__node *p = macro->b->list; p; p = p->next, index++) {
        char name[64];
        size_t size = p->text.size < sizeof name ? p->text.size : sizeof name - 1;
        memcpy(name, p->text.data, size);
        name[size] = 0;
        const covey__value *given = covey__argument(arguments, index, name);
        covey__value value = given ? *given : covey__value_undefined();
        if (!given && p->a) {
            COVEY__TRY(covey__eval(r, p->a, &value));
        }
        COVEY__TRY(covey__frame_set(r, &frame, p->text, value));
    }
    r->frame = &frame;
    covey_status status = covey__run_captured(r, macro->list, out);
    r->frame = caller;
    r->depth--;
    return status;
}

static covey_status eval_call(covey__render *r, const covey__node *node, covey__value *out) {
    covey__arguments arguments;
    covey__value called;
    if (node->a->kind == COVEY__NODE_ATTRIBUTE) {
        COVEY__TRY(covey__eval(r, node->a->a, &called));
        COVEY__TRY(covey__eval_arguments(r, node->list, &arguments));
        r->line = node->line;
        return covey__call_method(r, node->a->text, &called, &arguments, out);
    }
    COVEY__TRY(covey__eval(r, node->a, &called));
    COVEY__TRY(covey__eval_arguments(r, node->list, &arguments));
    r->line = node->line;
    if (called.kind == COVEY__VALUE_FUNCTION) {
        return covey__call_function(r, called.as.function, &arguments, out);
    }
    if (called.kind == COVEY__VALUE_MACRO) {
        return call_macro(r, called.as.macro, &arguments, out);
    }
    return covey__render_unsupported(r, "the function", node->text);
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
    *out = covey__value_list(items, count);
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
        return eval_call(r, node, out);
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
    COVEY__TRY(covey__render_enter(r));
    COVEY__TRY(eval_kind(r, node, out));
    r->depth--;
    return COVEY_OK;
}
