/* Conversations to the tokens of a prompt: the public face of the text layer's chat templates. */
#include "engine/engine.h"

#include <string.h>

/* What a conversation brings as JSON is read into an arena of at most this. */
#define CHAT_MEMORY_MAX ((size_t)512 << 20)

static covey_status read_part(covey__arena *arena, const char *json, size_t size,
                              covey__json_kind kind, const char *name, const covey__json **out,
                              covey_error *error) {
    if (!json) return COVEY_OK;
    covey_status status =
        covey__json_parse(arena, json, size, COVEY__JSON_LIMITS_DEFAULT, out, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "%s", name);
    if ((*out)->kind != kind)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "%s: expected %s", name,
                           kind == COVEY__JSON_ARRAY ? "an array" : "an object");
    return COVEY_OK;
}

static covey_status read_chat(covey__arena *arena, const covey_chat *chat,
                              covey__template_input *input, covey_error *error) {
    covey_status status = read_part(arena, chat->messages_json, chat->messages_json_size,
                                    COVEY__JSON_ARRAY, "messages", &input->conversation, error);
    if (status == COVEY_OK)
        status = read_part(arena, chat->tools_json, chat->tools_json_size, COVEY__JSON_ARRAY,
                           "tools", &input->tools, error);
    if (status == COVEY_OK)
        status = read_part(arena, chat->variables_json, chat->variables_json_size,
                           COVEY__JSON_OBJECT, "variables", &input->variables, error);
    return status;
}

static covey_status render(const covey_model *model, const covey_chat *chat, covey_token *tokens,
                           size_t capacity, size_t *count, covey_error *error) {
    covey__template_input input = COVEY__TEMPLATE_INPUT_INIT;
    covey__arena arena;
    input.messages = chat->messages;
    input.message_count = chat->message_count;
    input.from_api = true;
    input.add_generation_prompt = chat->add_generation_prompt;
    input.now_ms = chat->now_ms >= 0 ? chat->now_ms : covey__now_ms(model->env);
    covey__arena_init(&arena, model->env, CHAT_MEMORY_MAX);
    covey_status status = read_chat(&arena, chat, &input, error);
    bool tools = input.tools && input.tools->size > 0;
    const covey__template *used =
        tools && model->chat_with_tools ? model->chat_with_tools : model->chat;
    if (status == COVEY_OK)
        status =
            covey__template_encode(used, model->tokenizer, &input, tokens, capacity, count, error);
    covey__arena_free(&arena);
    return status;
}

covey_status covey__chat_shows_tools(const covey_model *model, const covey__template *chat,
                                     bool *shown, covey_error *error) {
    static const char conversation[] = "[{\"role\":\"user\",\"content\":\"hello\"}]";
    static const char tools[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"covey_probe\",\"description\":"
        "\"tries\",\"parameters\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":"
        "\"string\",\"description\":\"any\"}},\"required\":[\"x\"]}}}]";
    covey__template_input input = COVEY__TEMPLATE_INPUT_INIT;
    covey_chat asked = COVEY_CHAT_INIT;
    covey__rendered written = {.spans = NULL};
    covey__arena arena;
    covey_error why = {.message = ""};
    asked.messages_json = conversation;
    asked.messages_json_size = sizeof conversation - 1;
    asked.tools_json = tools;
    asked.tools_json_size = sizeof tools - 1;
    input.from_api = input.add_generation_prompt = true;
    input.now_ms = 0;
    covey__arena_init(&arena, model->env, CHAT_MEMORY_MAX);
    *shown = false;
    covey_status status = read_chat(&arena, &asked, &input, &why);
    if (status == COVEY_OK) {
        status = covey__template_render(chat, &input, &written, &why);
        if (status == COVEY_OK)
            *shown = written.text.data && strstr(written.text.data, "covey_probe");
        covey__rendered_free(&written);
    }
    covey__arena_free(&arena);
    if (status != COVEY_ERROR_NO_MEMORY) return COVEY_OK; /* a refusal shows none */
    if (error) *error = why;
    return status;
}

covey_status covey_model_render_conversation(const covey_model *model, const covey_chat *chat,
                                             covey_token *tokens, size_t capacity,
                                             size_t *token_count, covey_error *error) {
    covey_chat full = COVEY_CHAT_INIT;
    size_t count = 0;
    if (!model || !chat || (!tokens && capacity > 0))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "model: chat: model, conversation and tokens must be given");
    memcpy(&full, chat, chat->size < sizeof full ? chat->size : sizeof full);
    if (!full.messages && full.message_count > 0)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "model: chat: %zu messages, and none given", full.message_count);
    if (!model->chat) {
        if (error) *error = model->chat_error;
        return covey__prefix(error, model->chat_error.status, "model: chat template");
    }
    covey_status status = render(model, &full, tokens, capacity, &count, error);
    if (token_count) *token_count = count;
    return status == COVEY_OK ? status : covey__prefix(error, status, "model: chat template");
}

covey_status covey_model_render_chat(const covey_model *model, const covey_message *messages,
                                     size_t message_count, bool add_generation_prompt,
                                     covey_token *tokens, size_t capacity, size_t *token_count,
                                     covey_error *error) {
    covey_chat chat = COVEY_CHAT_INIT;
    chat.messages = messages;
    chat.message_count = message_count;
    chat.add_generation_prompt = add_generation_prompt;
    return covey_model_render_conversation(model, &chat, tokens, capacity, token_count, error);
}
