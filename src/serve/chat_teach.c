/* Tools for a model whose chat template has no place for them. What such a template would drop in
 * silence is told in words: the tools stand in the system message, or before the first user's words
 * where there is none, since not every template takes a system message; calls of earlier turns
 * become the text that the model is taught to write, and results become a user's turn. The way of
 * writing is the one that chat_tools.c reads, <tool_call> with an object, which most models that
 * know tools have seen. */
#include "serve/chat.h"

#include "base/error.h"

#include <string.h>

static const char calls_as_text[] =
    "You can call functions. Each line between <tools> and </tools> describes one as JSON:\n";
static const char how_to_call[] =
    "To call a function, write nothing but this, once for each call, with the function's name and "
    "an object of arguments that its parameters allow:\n"
    "<tool_call>\n{\"name\": \"FUNCTION\", \"arguments\": {}}\n</tool_call>\n"
    "Results come back between <tool_response> and </tool_response>. Where no function helps, "
    "answer in words.";
static const char how_to_answer[] =
    "Answer with one call of a function and nothing else, written as "
    "{\"name\": \"FUNCTION\", \"arguments\": {}}, with an object of arguments that its parameters "
    "allow.";

static covey_status too_large(covey_error *error) {
    return covey__fail(error, COVEY_ERROR_LIMIT, "the request is too large");
}

static bool is_text(const covey__json *node) {
    return node && node->kind == COVEY__JSON_STRING;
}

static void put_tools(const covey__tools *tools, covey__buffer *out) {
    covey__json_writer json;
    covey__buffer_text(out, calls_as_text);
    covey__buffer_text(out, "<tools>\n");
    for (const covey__json *tool = tools->list->child; tool; tool = tool->next) {
        const covey__json *function = covey__json_get(tool, "function");
        const covey__json *name = covey__json_get(function, "name");
        if (tools->name && strcmp(tools->name, name->text) != 0) continue;
        covey__json_writer_init(&json, out, false);
        covey__json_put_node(&json, function);
        covey__buffer_text(out, "\n");
    }
    covey__buffer_text(out, "</tools>\n");
    covey__buffer_text(out, tools->choice == COVEY__TOOLS_REQUIRED ? how_to_answer : how_to_call);
}

/* Arguments come as the text of an object. */
static void put_call(const covey__json *call, covey__buffer *out) {
    covey__json_writer json;
    const covey__json *function = covey__json_get(call, "function");
    const covey__json *name = covey__json_get(function, "name");
    const covey__json *arguments = covey__json_get(function, "arguments");
    covey__buffer_text(out, "<tool_call>\n");
    covey__json_writer_init(&json, out, false);
    covey__json_begin_object(&json);
    covey__json_member_string(&json, "name", is_text(name) ? name->text : "");
    covey__json_name(&json, "arguments");
    if (is_text(arguments) && arguments->size)
        covey__json_put_raw(&json, arguments->text, arguments->size);
    else if (arguments && !is_text(arguments))
        covey__json_put_node(&json, arguments);
    else
        covey__json_put_raw(&json, "{}", 2);
    covey__json_end_object(&json);
    covey__buffer_text(out, "\n</tool_call>");
}

static void put_turn(const covey__json *said, const covey_message *read, covey__buffer *out) {
    bool result = !strcmp(read->role, "tool");
    const covey__json *calls = covey__json_get(said, "tool_calls");
    if (result) covey__buffer_text(out, "<tool_response>\n");
    if (read->content) covey__buffer_text(out, read->content);
    if (result) covey__buffer_text(out, "\n</tool_response>");
    bool called = calls && calls->kind == COVEY__JSON_ARRAY;
    for (const covey__json *call = called ? calls->child : NULL; call; call = call->next) {
        if (out->size) covey__buffer_text(out, "\n");
        put_call(call, out);
    }
}

/* One turn of the new conversation, from the messages at `*said` on: results in a row are one. */
static void put_message(const covey__chat_request *request, const covey__json **said, size_t *at,
                        bool teach, covey__buffer *out) {
    const covey_message *read = &request->messages[*at];
    bool system = !strcmp(read->role, "system");
    if (teach && !system) {
        put_tools(&request->tools, out);
        covey__buffer_text(out, "\n\n");
    }
    put_turn(*said, read, out);
    while ((*said)->next && !strcmp(read->role, "tool") && !strcmp(read[1].role, "tool")) {
        *said = (*said)->next;
        ++*at;
        covey__buffer_text(out, "\n");
        put_turn(*said, ++read, out);
    }
    if (teach && system) {
        covey__buffer_text(out, "\n\n");
        put_tools(&request->tools, out);
    }
}

static bool speaks_of_tools(const covey__chat_request *request) {
    const covey__json *said = request->said ? request->said->child : NULL;
    for (size_t i = 0; said; said = said->next, i++)
        if (!strcmp(request->messages[i].role, "tool") || covey__json_get(said, "tool_calls"))
            return true;
    return false;
}

covey_status covey__chat_teach_tools(covey__chat_request *request, covey_error *error) {
    bool offered = request->tools.list && request->tools.choice != COVEY__TOOLS_NONE;
    if (!request->said || (!offered && !speaks_of_tools(request))) return COVEY_OK;
    covey_message *taught =
        covey__arena_calloc(&request->arena, request->said->size, sizeof *taught);
    if (!taught) return too_large(error);
    size_t count = 0, at = 0;
    covey_status status = COVEY_OK;
    for (const covey__json *said = request->said->child; said && !status; said = said->next, at++) {
        covey__buffer text;
        const char *role = request->messages[at].role;
        covey__buffer_init(&text, request->arena.env, 2 * COVEY__SERVE_BODY_MAX);
        put_message(request, &said, &at, offered && !count, &text);
        covey_message turn = {strcmp(role, "tool") ? role : "user", NULL};
        if (!text.status)
            turn.content =
                covey__arena_strndup(&request->arena, text.data ? text.data : "", text.size);
        if (!turn.content) status = too_large(error);
        taught[count++] = turn;
        covey__buffer_free(&text);
    }
    if (request->chat.variables_json) {
        request->chat.messages_json = request->chat.tools_json = NULL;
        request->chat.messages_json_size = request->chat.tools_json_size = 0;
        request->chat.messages = taught;
        request->chat.message_count = count;
        return status;
    }
    request->request.chat = NULL;
    request->request.messages = taught;
    request->request.message_count = count;
    return status;
}
