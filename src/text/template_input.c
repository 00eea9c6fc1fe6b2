/* What a template is rendered with, as its global variables. All text in it is someone's words:
 * none of it is trusted but the special tokens. */
#include "text/template_value.h"

#include <string.h>

static covey_status set_global(covey__render *r, const char *name, covey__value value) {
    return covey__frame_set(r, r->global, (covey__text){name, strlen(name)}, value);
}

/* The value of a member, to be written to: values made from JSON are this rendering's own. */
static covey__value *member(const covey__value *of, const char *name) {
    return of->kind == COVEY__VALUE_DICT
               ? (covey__value *)(uintptr_t)covey__dict_get(of->as.dict, name, strlen(name))
               : NULL;
}

/* {"function": {"arguments": "{…}"}}: the text becomes the object that it says. */
static covey_status settle_call(covey__render *r, const covey__value *call) {
    covey__value *function = member(call, "function");
    covey__value *arguments = function ? member(function, "arguments") : NULL;
    const covey__json *read;
    if (!arguments || !covey__is_string(arguments)) {
        return COVEY_OK;
    }
    COVEY__TRY(covey__render_step(r, 16 * arguments->as.string.size));
    covey_status status =
        covey__json_parse(&r->arena, arguments->as.string.data, arguments->as.string.size,
                          COVEY__JSON_LIMITS_DEFAULT, &read, NULL);
    if (status == COVEY_OK && read->kind == COVEY__JSON_OBJECT) {
        return covey__value_from_json(r, read, arguments);
    }
    return status == COVEY_ERROR_NO_MEMORY ? covey__render_no_memory(r) : COVEY_OK;
}

/* Messages as OpenAI's API has them to those that templates expect. */
static covey_status settle_messages(covey__render *r, covey__value *messages) {
    const covey__value content = covey__value_text("content", 7, true);
    const covey__value empty = covey__value_text("", 0, false);
    size_t count = messages->kind == COVEY__VALUE_LIST ? messages->as.list.count : 0;
    for (size_t i = 0; i < count; i++) {
        const covey__value *message = &messages->as.list.items[i];
        const covey__value *said = member(message, "content"), *calls;
        if (message->kind == COVEY__VALUE_DICT && (!said || said->kind == COVEY__VALUE_NONE)) {
            COVEY__TRY(covey__dict_set(r, message->as.dict, &content, &empty));
        }
        calls = member(message, "tool_calls");
        for (size_t j = 0; calls && calls->kind == COVEY__VALUE_LIST && j < calls->as.list.count;
             j++) {
            COVEY__TRY(settle_call(r, &calls->as.list.items[j]));
        }
    }
    return COVEY_OK;
}

static covey_status make_messages(covey__render *r, const covey__template_input *input,
                                  covey__value *out) {
    if (input->conversation) {
        COVEY__TRY(covey__value_from_json(r, input->conversation, out));
        return input->from_api ? settle_messages(r, out) : COVEY_OK;
    }
    covey__value *items = covey__render_alloc(r, input->message_count + 1, sizeof *items);
    const covey__value role_key = covey__value_text("role", 4, true);
    const covey__value content_key = covey__value_text("content", 7, true);
    if (!items) {
        return covey__render_no_memory(r);
    }
    for (size_t i = 0; i < input->message_count; i++) {
        const covey_message *message = &input->messages[i];
        covey__value role = covey__value_text(message->role, strlen(message->role), false);
        covey__value content = covey__value_text(message->content, strlen(message->content), false);
        COVEY__TRY(covey__dict_new(r, COVEY__VALUE_DICT, &items[i]));
        COVEY__TRY(covey__dict_set(r, items[i].as.dict, &role_key, &role));
        COVEY__TRY(covey__dict_set(r, items[i].as.dict, &content_key, &content));
    }
    *out = covey__value_list(items, input->message_count);
    return COVEY_OK;
}

/* Tools that are not given are not defined, as when Hugging Face is called without. */
covey_status covey__set_globals(covey__render *r, const covey__template_input *input) {
    covey__value value;
    COVEY__TRY(make_messages(r, input, &value));
    COVEY__TRY(set_global(r, "messages", value));
    COVEY__TRY(
        set_global(r, "add_generation_prompt", covey__value_bool(input->add_generation_prompt)));
    COVEY__TRY(
        set_global(r, "bos_token", covey__value_text(input->bos.data, input->bos.size, true)));
    COVEY__TRY(
        set_global(r, "eos_token", covey__value_text(input->eos.data, input->eos.size, true)));
    if (input->tools) {
        COVEY__TRY(covey__value_from_json(r, input->tools, &value));
        COVEY__TRY(set_global(r, "tools", value));
    }
    if (!input->variables || input->variables->kind != COVEY__JSON_OBJECT) {
        return COVEY_OK;
    }
    for (const covey__json *one = input->variables->child; one; one = one->next) {
        COVEY__TRY(covey__value_from_json(r, one, &value));
        COVEY__TRY(covey__frame_set(r, r->global, (covey__text){one->name, one->name_size}, value));
    }
    return COVEY_OK;
}
