/* The messages of a request: roles and members are checked, and a content of text parts becomes one
 * string. A conversation of plain turns goes on as such; one with names, tool calls or their ids,
 * or with tools, goes on as the JSON that chat templates read. What is not known is refused by
 * name. */
#include "serve/chat.h"

#include "base/error.h"

#include <string.h>

static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", NULL};
static const char *const members[] = {"role",         "content",           "name", "tool_calls",
                                      "tool_call_id", "reasoning_content", NULL};

static bool listed(const char *const *names, const char *name) {
    while (*names && strcmp(*names, name)) names++;
    return *names != NULL;
}

static bool is_text(const covey__json *node) {
    return node && node->kind == COVEY__JSON_STRING && !memchr(node->text, 0, node->size);
}

static covey_status joined(covey__arena *arena, const covey__json *parts, size_t index,
                           const char **out, covey_error *error) {
    size_t total = 1;
    for (const covey__json *part = parts->child; part; part = part->next) {
        const covey__json *type = covey__json_get(part, "type");
        const covey__json *text = covey__json_get(part, "text");
        if (!is_text(type) || strcmp(type->text, "text") || !is_text(text))
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "messages[%zu].content: parts other than text are not supported",
                               index);
        total += text->size;
    }
    char *at = covey__arena_alloc(arena, total);
    if (!at) return covey__fail(error, COVEY_ERROR_LIMIT, "the request is too large");
    *out = at;
    for (const covey__json *part = parts->child; part; part = part->next) {
        const covey__json *text = covey__json_get(part, "text");
        memcpy(at, text->text, text->size);
        at += text->size;
    }
    *at = 0;
    return COVEY_OK;
}

/* NULL for an assistant's turn that has none because it called tools. */
static covey_status content_of(covey__arena *arena, const covey__json *message, size_t index,
                               const char **out, covey_error *error) {
    const covey__json *content = covey__json_get(message, "content");
    const covey__json *calls = covey__json_get(message, "tool_calls");
    if (is_text(content)) {
        *out = content->text;
        return COVEY_OK;
    }
    if (content && content->kind == COVEY__JSON_ARRAY)
        return joined(arena, content, index, out, error);
    bool absent = !content || content->kind == COVEY__JSON_NULL;
    *out = NULL;
    if (absent && calls && calls->kind == COVEY__JSON_ARRAY && calls->size) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "messages[%zu].content: expected a string or an array of text parts", index);
}

/* Checks one message; `rich`: it has more than a role and a content. */
static covey_status check(covey__arena *arena, const covey__json *message, size_t index,
                          covey_message *out, bool *rich, covey_error *error) {
    const covey__json *role = covey__json_get(message, "role");
    if (!is_text(role) || !listed(roles, role->text))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "messages[%zu].role: expected system, user, assistant or tool", index);
    for (const covey__json *member = message->child; member; member = member->next) {
        if (member->kind == COVEY__JSON_NULL) continue;
        if (!listed(members, member->name))
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "messages[%zu].%.64s is not supported here; leave it out", index,
                               member->name);
        if (strcmp(member->name, "role") && strcmp(member->name, "content")) *rich = true;
    }
    out->role = strcmp(role->text, "developer") ? role->text : "system";
    return content_of(arena, message, index, &out->content, error);
}

static void put(covey__json_writer *json, const covey__json *message, const covey_message *read) {
    covey__json_begin_object(json);
    covey__json_member_string(json, "role", read->role);
    covey__json_member_string(json, "content", read->content);
    for (const covey__json *member = message->child; member; member = member->next) {
        if (member->kind == COVEY__JSON_NULL || !strcmp(member->name, "role") ||
            !strcmp(member->name, "content"))
            continue;
        covey__json_name(json, member->name);
        covey__json_put_node(json, member);
    }
    covey__json_end_object(json);
}

static covey_status to_json(covey__arena *arena, const covey__json *list, const covey_message *read,
                            covey_chat *chat, covey_error *error) {
    covey__buffer text;
    covey__json_writer json;
    covey__buffer_init(&text, arena->env, 2 * COVEY__SERVE_BODY_MAX);
    covey__json_writer_init(&json, &text, false);
    covey__json_begin_array(&json);
    for (const covey__json *message = list->child; message; message = message->next)
        put(&json, message, read++);
    covey__json_end_array(&json);
    covey_status status = covey__buffer_check(&text, error, "messages");
    if (!status) {
        chat->messages_json = covey__arena_strndup(arena, text.data, text.size);
        chat->messages_json_size = text.size;
        if (!chat->messages_json)
            status = covey__fail(error, COVEY_ERROR_LIMIT, "the request is too large");
    }
    covey__buffer_free(&text);
    return status;
}

covey_status covey__chat_messages_read(covey__arena *arena, const covey__json *list, bool rich,
                                       covey__chat_request *out, covey_error *error) {
    if (!list || list->kind != COVEY__JSON_ARRAY || !list->size ||
        list->size > COVEY__SERVE_MESSAGES_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "messages: expected an array of 1 to %d messages",
                           COVEY__SERVE_MESSAGES_MAX);
    covey_message *read = covey__arena_calloc(arena, list->size, sizeof *read);
    if (!read) return covey__fail(error, COVEY_ERROR_LIMIT, "the request is too large");
    size_t i = 0;
    for (const covey__json *message = list->child; message; message = message->next, i++) {
        covey_status status = check(arena, message, i, &read[i], &rich, error);
        if (status) return status;
    }
    out->said = list;
    out->messages = read;
    if (rich) {
        out->request.chat = &out->chat;
        return to_json(arena, list, read, &out->chat, error);
    }
    out->request.messages = read;
    out->request.message_count = i;
    return COVEY_OK;
}
