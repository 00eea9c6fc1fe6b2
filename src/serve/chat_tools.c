/* Tools: what a request offers, the schema that a forced call follows, and calls in what the model
 * said. Models write calls in a few ways: an object {"name": …, "arguments": …} by itself or in an
 * array, or such objects between <tool_call> and </tool_call> behind some text (Hermes, Qwen);
 * "parameters" (Llama) and "args" stand for "arguments", "tool" for "name". What does not name a
 * tool of the request is text. */
#include "serve/chat.h"

#include "base/error.h"

#include <string.h>

static const char open_tag[] = "<tool_call>", close_tag[] = "</tool_call>";
#define OPEN_SIZE (sizeof open_tag - 1)

static bool is_string(const covey__json *node) {
    return node && node->kind == COVEY__JSON_STRING && !memchr(node->text, 0, node->size);
}

/* ---- The request ---- */

static const char *name_of(const covey__json *tool) {
    const covey__json *name = covey__json_get(covey__json_get(tool, "function"), "name");
    return is_string(name) ? name->text : NULL;
}

static bool offers(const covey__tools *tools, const char *name) {
    for (const covey__json *tool = tools->list ? tools->list->child : NULL; tool; tool = tool->next)
        if (!strcmp(name_of(tool), name)) return true;
    return false;
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
        if (!name_of(tool) || !*name_of(tool))
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "tools[%zu].function.name: expected a name", i);
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
    if (out->name && !offers(out, out->name))
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

static void put_call_schema(covey__json_writer *json, const covey__json *tool) {
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
        covey__json_put_node(json, parameters);
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
    for (const covey__json *tool = tools->list->child; tool; tool = tool->next)
        if (!tools->name || !strcmp(tools->name, name_of(tool))) put_call_schema(&json, tool);
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
} calls;

static bool add_call(calls *out, const covey__json *object) {
    static const char *const names[] = {"name", "tool", NULL};
    static const char *const arguments[] = {"arguments", "parameters", "args", NULL};
    const covey__json *name = first_of(object, names), *given = first_of(object, arguments);
    if (!is_string(name) || !offers(out->tools, name->text) || out->count == COVEY__SERVE_CALLS_MAX)
        return false;
    covey__buffer text;
    covey__json_writer json;
    covey__buffer_init(&text, out->arena->env, COVEY__SERVE_BODY_MAX);
    covey__json_writer_init(&json, &text, false);
    if (is_string(given))
        covey__buffer_append(&text, given->text, given->size);
    else if (given)
        covey__json_put_node(&json, given);
    else
        covey__buffer_text(&text, "{}");
    char *copy = text.status ? NULL : covey__arena_strndup(out->arena, text.data, text.size);
    covey__buffer_free(&text);
    if (!copy) return false;
    out->items[out->count++] = (covey__tool_call){name->text, copy};
    return true;
}

static bool add_calls(calls *out, const char *text, size_t size) {
    const covey__json *root = NULL;
    covey__json_limits limits = {COVEY__SERVE_BODY_MAX, 60, 100000};
    if (covey__json_parse(out->arena, text, size, limits, &root, NULL)) return false;
    if (root->kind != COVEY__JSON_ARRAY) return add_call(out, root);
    for (const covey__json *node = root->child; node; node = node->next)
        if (!add_call(out, node)) return false;
    return root->size > 0;
}

static size_t find(const char *text, size_t size, const char *what) {
    size_t length = strlen(what);
    for (size_t at = 0; at + length <= size; at++)
        if (memcmp(text + at, what, length) == 0) return at;
    return size;
}

size_t covey__tools_calls(const covey__tools *tools, covey__arena *arena, const char *text,
                          size_t size, const covey__tool_call **out) {
    calls found = {tools, arena, NULL, 0};
    if (tools->choice == COVEY__TOOLS_NONE) return 0;
    found.items = covey__arena_calloc(arena, COVEY__SERVE_CALLS_MAX, sizeof *found.items);
    if (!found.items) return 0;
    size_t at = skip_space(text, size, 0);
    bool fits = at < size;
    while (at < size && fits) {
        bool tagged = size - at >= OPEN_SIZE && memcmp(text + at, open_tag, OPEN_SIZE) == 0;
        if (tagged) at += OPEN_SIZE;
        size_t length = tagged ? find(text + at, size - at, close_tag) : size - at;
        fits = add_calls(&found, text + at, length);
        at += length;
        if (tagged && at < size) at += sizeof close_tag - 1;
        at = skip_space(text, size, at);
    }
    *out = found.items;
    return fits ? found.count : 0;
}
