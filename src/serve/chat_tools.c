/* Tools: what a request offers, the schema that a forced call follows, and calls in what the model
 * said. Models write calls in a few ways: an object {"name": …, "arguments": …} by itself or in an
 * array, or such objects between <tool_call> and </tool_call> behind some text (Hermes, Qwen);
 * "parameters" (Llama) and "args" stand for "arguments", "tool" for "name". What does not name a
 * tool of the request is text; but what stands behind <tool_call>, or names a tool, is meant as a
 * call, and where it does not parse or its arguments break their schema, the fault is told. */
#include "serve/chat.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

static const char open_tag[] = "<tool_call>", close_tag[] = "</tool_call>";
#define OPEN_SIZE (sizeof open_tag - 1)

static bool is_string(const covey__json *node) {
    return node && node->kind == COVEY__JSON_STRING && !memchr(node->text, 0, node->size);
}

static bool listed(const char *const *names, const char *name) {
    while (*names && strcmp(*names, name)) names++;
    return *names != NULL;
}

/* ---- The request ---- */

static const char *name_of(const covey__json *tool) {
    const covey__json *name = covey__json_get(covey__json_get(tool, "function"), "name");
    return is_string(name) ? name->text : NULL;
}

static const covey__json *tool_named(const covey__json *list, const char *name) {
    for (const covey__json *tool = list ? list->child : NULL; tool; tool = tool->next)
        if (!strcmp(name_of(tool), name)) return tool;
    return NULL;
}

static bool name_is_valid(const char *name) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t size = name ? strlen(name) : 0;
    return size && size <= COVEY__TOOL_NAME_MAX && strspn(name, allowed) == size;
}

static covey_status check_list(const covey__json *list, covey_error *error) {
    size_t i = 0;
    if (list->kind != COVEY__JSON_ARRAY || list->size > COVEY__SERVE_TOOLS_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "tools: expected an array of at most %d tools", COVEY__SERVE_TOOLS_MAX);
    for (const covey__json *tool = list->child; tool; tool = tool->next, i++) {
        const covey__json *type = covey__json_get(tool, "type");
        const covey__json *parameters =
            covey__json_get(covey__json_get(tool, "function"), "parameters");
        if (!is_string(type) || strcmp(type->text, "function"))
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "tools[%zu].type: only \"function\" is supported", i);
        if (!name_is_valid(name_of(tool)))
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "tools[%zu].function.name: expected 1 to %d letters, digits, '_' or "
                               "'-'",
                               i, COVEY__TOOL_NAME_MAX);
        if (tool_named(list, name_of(tool)) != tool)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "tools[%zu].function.name: \"%s\" is the name of another tool", i,
                               name_of(tool));
        if (parameters && parameters->kind != COVEY__JSON_OBJECT &&
            parameters->kind != COVEY__JSON_NULL)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "tools[%zu].function.parameters: expected a JSON Schema", i);
    }
    return COVEY_OK;
}

static covey_status read_choice(const covey__json *choice, covey__tools *out, covey_error *error) {
    const covey__json *name = covey__json_get(covey__json_get(choice, "function"), "name");
    if (is_string(choice) && !strcmp(choice->text, "none")) {
        out->choice = COVEY__TOOLS_NONE;
    } else if (is_string(choice) && !strcmp(choice->text, "auto")) {
        out->choice = COVEY__TOOLS_AUTO;
    } else if (is_string(choice) && !strcmp(choice->text, "required")) {
        out->choice = COVEY__TOOLS_REQUIRED;
    } else if (is_string(name)) {
        out->choice = COVEY__TOOLS_REQUIRED;
        out->name = name->text;
    } else {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "tool_choice: expected \"none\", \"auto\", \"required\" or a function");
    }
    if (out->choice == COVEY__TOOLS_REQUIRED && !out->list)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "tool_choice: there are no tools");
    if (out->name && !tool_named(out->list, out->name))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "tool_choice: \"%.64s\" is none of the tools", out->name);
    return COVEY_OK;
}

covey_status covey__tools_read(const covey__json *list, const covey__json *choice,
                               covey__tools *out, covey_error *error) {
    *out = (covey__tools){.choice = COVEY__TOOLS_NONE};
    if (list) {
        covey_status status = check_list(list, error);
        if (status) return status;
        if (list->size) {
            out->list = list;
            out->choice = COVEY__TOOLS_AUTO;
        }
    }
    return choice ? read_choice(choice, out, error) : COVEY_OK;
}

/* What stands under a schema's keyword: no schema, or members that are schemas by names of the
 * caller's choice, which mean nothing. */
static bool is_value(const char *keyword) {
    static const char *const values[] = {"const", "enum", "default", "examples", NULL};
    return listed(values, keyword);
}

static bool is_named(const char *keyword) {
    static const char *const named[] = {"properties", "$defs", "definitions", NULL};
    return listed(named, keyword);
}

/* A schema that stands at `place` of a larger one: what it refers to moves with it. `names`: the
 * node's members are named by the caller. */
static void put_schema(covey__json_writer *json, const covey__json *node, const char *place,
                       bool names) {
    bool is_reference = node->name && !strcmp(node->name, "$ref") && is_string(node);
    if (is_reference && node->text[0] == '#') {
        covey__buffer moved;
        covey__buffer_init(&moved, json->out->env, COVEY__SERVE_BODY_MAX);
        covey__buffer_format(&moved, "#%s%s", place, node->text + 1);
        covey__json_put_text(json, moved.data ? moved.data : "", moved.size);
        covey__buffer_free(&moved);
    } else if (node->kind == COVEY__JSON_OBJECT) {
        covey__json_begin_object(json);
        for (const covey__json *member = node->child; member; member = member->next) {
            covey__json_name(json, member->name);
            if (!names && is_value(member->name))
                covey__json_put_node(json, member);
            else
                put_schema(json, member, place, !names && is_named(member->name));
        }
        covey__json_end_object(json);
    } else if (node->kind == COVEY__JSON_ARRAY) {
        covey__json_begin_array(json);
        for (const covey__json *one = node->child; one; one = one->next)
            put_schema(json, one, place, false);
        covey__json_end_array(json);
    } else {
        covey__json_put_node(json, node);
    }
}

/* The `index`th of the calls that there may be. */
static void put_call_schema(covey__json_writer *json, const covey__json *tool, size_t index) {
    char place[64];
    snprintf(place, sizeof place, "/anyOf/%zu/properties/arguments", index);
    const covey__json *parameters =
        covey__json_get(covey__json_get(tool, "function"), "parameters");
    covey__json_begin_object(json);
    covey__json_member_string(json, "type", "object");
    covey__json_name(json, "properties");
    covey__json_begin_object(json);
    covey__json_name(json, "name");
    covey__json_begin_object(json);
    covey__json_member_string(json, "const", name_of(tool));
    covey__json_end_object(json);
    covey__json_name(json, "arguments");
    if (parameters && parameters->kind == COVEY__JSON_OBJECT)
        put_schema(json, parameters, place, false);
    else
        covey__json_put_raw(json, "{\"type\":\"object\"}", 17);
    covey__json_end_object(json);
    covey__json_name(json, "required");
    covey__json_put_raw(json, "[\"name\",\"arguments\"]", 20);
    covey__json_member_bool(json, "additionalProperties", false);
    covey__json_end_object(json);
}

void covey__tools_put_schema(const covey__tools *tools, covey__buffer *out) {
    covey__json_writer json;
    covey__json_writer_init(&json, out, false);
    covey__json_begin_object(&json);
    covey__json_name(&json, "anyOf");
    covey__json_begin_array(&json);
    size_t index = 0;
    for (const covey__json *tool = tools->list->child; tool; tool = tool->next)
        if (!tools->name || !strcmp(tools->name, name_of(tool)))
            put_call_schema(&json, tool, index++);
    covey__json_end_array(&json);
    covey__json_end_object(&json);
}

/* ---- The answer ---- */

static size_t skip_space(const char *text, size_t size, size_t at) {
    while (at < size &&
           (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t'))
        at++;
    return at;
}

/* Where the tag begins, or could begin at the text's end; its size when it is nowhere. */
static size_t find_tag(const char *text, size_t size, bool *whole) {
    for (size_t at = 0; at < size; at++) {
        size_t left = size - at, most = left < OPEN_SIZE ? left : OPEN_SIZE;
        if (memcmp(text + at, open_tag, most) != 0) continue;
        *whole = left >= OPEN_SIZE;
        return at;
    }
    *whole = false;
    return size;
}

size_t covey__tools_text_size(const covey__tools *tools, const char *text, size_t size,
                              bool begins) {
    bool whole;
    if (tools->choice == COVEY__TOOLS_NONE) return size;
    if (tools->choice == COVEY__TOOLS_REQUIRED) return 0;
    size_t first = skip_space(text, size, 0);
    if (begins && (first == size || text[first] == '{' || text[first] == '[')) return 0;
    return find_tag(text, size, &whole);
}

static const covey__json *first_of(const covey__json *object, const char *const *names) {
    for (; *names; names++) {
        const covey__json *found = covey__json_get(object, *names);
        if (found) return found;
    }
    return NULL;
}

typedef struct calls {
    const covey__tools *tools;
    covey__arena *arena;
    covey__tool_call *items;
    size_t count;
    covey__tool_fault *fault;
} calls;

static bool at_fault(calls *in, const char *code, const char *tool, const char *message) {
    if (in->fault->code) return false;
    in->fault->code = code;
    snprintf(in->fault->tool, sizeof in->fault->tool, "%s", tool);
    snprintf(in->fault->message, sizeof in->fault->message, "%s", message);
    return false;
}

/* Arguments may be an object, or the text of one. */
static const covey__json *arguments_of(calls *in, const covey__json *given) {
    static const covey__json none = {.kind = COVEY__JSON_OBJECT};
    const covey__json *root = NULL;
    covey__json_limits limits = {COVEY__SERVE_BODY_MAX, 60, 100000};
    if (!given) return &none;
    if (given->kind != COVEY__JSON_STRING) return given;
    return covey__json_parse(in->arena, given->text, given->size, limits, &root, NULL) ? NULL
                                                                                       : root;
}

/* One object that may be a call; `meant`: it stands where only a call may stand. */
static bool add_call(calls *out, const covey__json *object, bool meant) {
    static const char *const names[] = {"name", "tool", NULL};
    static const char *const arguments[] = {"arguments", "parameters", "args", NULL};
    const covey__json *name = first_of(object, names), *given = first_of(object, arguments);
    const covey__json *tool = is_string(name) ? tool_named(out->tools->list, name->text) : NULL;
    if (!tool && !meant) return false;
    if (!is_string(name)) return at_fault(out, "tool_call_invalid", "", "the call names no tool");
    if (!tool)
        return at_fault(out, "tool_unknown", name->text, "the call names a tool that is not here");
    if (out->count == COVEY__SERVE_CALLS_MAX)
        return at_fault(out, "tool_call_invalid", name->text, "too many calls in one answer");
    const covey__json *read = arguments_of(out, given);
    if (!read || read->kind != COVEY__JSON_OBJECT)
        return at_fault(out, "tool_arguments_invalid", name->text,
                        "the arguments are not a JSON object");
    if (!covey__arguments_fit(out->tools, out->arena, tool, read, out->fault)) return false;
    covey__buffer text;
    covey__json_writer json;
    covey__buffer_init(&text, out->arena->env, COVEY__SERVE_BODY_MAX);
    covey__json_writer_init(&json, &text, false);
    covey__json_put_node(&json, read);
    char *copy = text.status ? NULL : covey__arena_strndup(out->arena, text.data, text.size);
    covey__buffer_free(&text);
    if (!copy) return at_fault(out, "tool_call_invalid", name->text, "the call is too large");
    out->items[out->count++] = (covey__tool_call){name_of(tool), copy};
    return true;
}

static bool add_calls(calls *out, const char *text, size_t size, bool meant) {
    const covey__json *root = NULL;
    covey_error why = {.message = ""};
    covey__json_limits limits = {COVEY__SERVE_BODY_MAX, 60, 100000};
    if (covey__json_parse(out->arena, text, size, limits, &root, &why))
        return meant && at_fault(out, "tool_call_invalid", "", why.message);
    if (root->kind != COVEY__JSON_ARRAY) return add_call(out, root, meant);
    for (const covey__json *node = root->child; node; node = node->next)
        if (!add_call(out, node, meant)) return false;
    return root->size > 0;
}

static size_t find(const char *text, size_t size, const char *what) {
    size_t length = strlen(what);
    for (size_t at = 0; at + length <= size; at++)
        if (memcmp(text + at, what, length) == 0) return at;
    return size;
}

size_t covey__tools_calls(const covey__tools *tools, covey__arena *arena, const char *text,
                          size_t size, const covey__tool_call **out, covey__tool_fault *fault) {
    calls found = {tools, arena, NULL, 0, fault};
    *fault = (covey__tool_fault){.code = NULL};
    if (tools->choice == COVEY__TOOLS_NONE) return 0;
    found.items = covey__arena_calloc(arena, COVEY__SERVE_CALLS_MAX, sizeof *found.items);
    if (!found.items) return 0;
    size_t at = skip_space(text, size, 0);
    bool fits = at < size;
    while (at < size && fits) {
        bool tagged = size - at >= OPEN_SIZE && memcmp(text + at, open_tag, OPEN_SIZE) == 0;
        if (tagged) at += OPEN_SIZE;
        size_t length = tagged ? find(text + at, size - at, close_tag) : size - at;
        fits = add_calls(&found, text + at, length, tagged);
        at += length;
        if (tagged && at < size) at += sizeof close_tag - 1;
        at = skip_space(text, size, at);
    }
    *out = found.items;
    return fits ? found.count : 0;
}
