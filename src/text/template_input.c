/* What a template is rendered with, as its global variables. All text in it is someone's words:
 * none of it is trusted but the special tokens.
 *
 * Templates do not agree on how a message with tool calls looks. Most want content "" and arguments
 * that are an object; DeepSeek's want content none and arguments that are JSON text, and with the
 * others' form leave the calls out, or fail. So the form is found out: a small conversation of our
 * own is rendered in each, and the first in which its call comes out is taken. */
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

/* {"function": {"arguments": "{…}"}}: the text becomes the object that it says, or the other way
 * round. */
static covey_status settle_call(covey__render *r, const covey__value *call) {
    static const covey__json_style style = {-1, {", ", 2}, {": ", 2}, false, false};
    covey__value *function = member(call, "function");
    covey__value *arguments = function ? member(function, "arguments") : NULL;
    const covey__json *read;
    if (arguments && arguments->kind == COVEY__VALUE_DICT && r->form.text_arguments) {
        return covey__value_to_json(r, arguments, &style, arguments);
    }
    if (!arguments || !covey__is_string(arguments) || r->form.text_arguments) {
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

/* The calls of a message; NULL where it has none. */
static const covey__value *calls_of(const covey__value *message) {
    const covey__value *calls = member(message, "tool_calls");
    return calls && calls->kind == COVEY__VALUE_LIST && calls->as.list.count > 0 ? calls : NULL;
}

static covey_status settle_message(covey__render *r, const covey__value *message) {
    const covey__value key = covey__value_text("content", 7, true);
    const covey__value empty = covey__value_text("", 0, false);
    const covey__value none = {.kind = COVEY__VALUE_NONE};
    const covey__value *said = member(message, "content"), *calls = calls_of(message);
    bool silent = !said || said->kind == COVEY__VALUE_NONE ||
                  (covey__is_string(said) && said->as.string.size == 0);
    if (message->kind == COVEY__VALUE_DICT && silent) {
        bool as_none = calls && r->form.none_content;
        COVEY__TRY(covey__dict_set(r, message->as.dict, &key, as_none ? &none : &empty));
    }
    for (size_t i = 0; calls && i < calls->as.list.count; i++) {
        COVEY__TRY(settle_call(r, &calls->as.list.items[i]));
    }
    return COVEY_OK;
}

/* Messages as OpenAI's API has them to those that templates expect. */
static covey_status settle_messages(covey__render *r, covey__value *messages) {
    size_t count = messages->kind == COVEY__VALUE_LIST ? messages->as.list.count : 0;
    for (size_t i = 0; i < count; i++) {
        COVEY__TRY(settle_message(r, &messages->as.list.items[i]));
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

static bool has_calls(const covey__json *conversation) {
    const covey__json *one =
        conversation && conversation->kind == COVEY__JSON_ARRAY ? conversation->child : NULL;
    for (; one; one = one->next) {
        const covey__json *calls =
            one->kind == COVEY__JSON_OBJECT ? covey__json_get(one, "tool_calls") : NULL;
        if (calls && calls->kind == COVEY__JSON_ARRAY && calls->size > 0) {
            return true;
        }
    }
    return false;
}

#define PROBE(content, arguments)                                                                  \
    "[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":" content          \
    ",\"tool_calls\":[{\"id\":\"call00000\",\"type\":\"function\",\"function\":{"                  \
    "\"name\":\"covey_probe\",\"arguments\":" arguments "}}]}]"
#define PROBE_OBJECT "{\"covey_key\":1}"
#define PROBE_TEXT   "\"{\\\"covey_key\\\": 1}\""

/* Renders our own call in one form. `*shown`: its name and argument came out, the latter not as
 * Python writes mappings. */
static covey_status probe(const covey__template *compiled, const covey__template_input *input,
                          const char *conversation, bool *shown, covey_error *error) {
    covey__template_input small = *input;
    covey__arena arena;
    covey__rendered out;
    *shown = false;
    small.from_api = false;
    small.probe = true;
    covey__arena_init(&arena, compiled->env, (size_t)1 << 20);
    covey_status status = covey__json_parse(&arena, conversation, strlen(conversation),
                                            COVEY__JSON_LIMITS_DEFAULT, &small.conversation, error);
    if (status == COVEY_OK) {
        status = covey__template_render(compiled, &small, &out, NULL);
        status = status == COVEY_OK ? covey__buffer_byte(&out.text, 0) : status;
        if (status == COVEY_OK) {
            const char *text = out.text.data;
            *shown = strstr(text, "covey_probe") && strstr(text, "covey_key") &&
                     !strstr(text, "'covey_key'");
        }
        covey__rendered_free(&out);
        bool memory = status == COVEY_ERROR_NO_MEMORY;
        status = memory ? covey__no_memory(error, "template: tool calls", out.text.size) : COVEY_OK;
    }
    covey__arena_free(&arena);
    return status;
}

covey_status covey__template_call_form(const covey__template *compiled,
                                       const covey__template_input *input, covey__call_form *form,
                                       covey_error *error) {
    static const struct {
        covey__call_form form;
        const char *conversation;
    } probes[] = {
        {{.none_content = false, .text_arguments = false}, PROBE("\"\"", PROBE_OBJECT)},
        {{.none_content = true, .text_arguments = false}, PROBE("null", PROBE_OBJECT)},
        {{.none_content = false, .text_arguments = true}, PROBE("\"\"", PROBE_TEXT)},
        {{.none_content = true, .text_arguments = true}, PROBE("null", PROBE_TEXT)},
    };
    *form = probes[0].form;
    bool shown = !input->from_api || !has_calls(input->conversation);
    for (size_t i = 0; i < sizeof probes / sizeof *probes && !shown; i++) {
        COVEY__TRY(probe(compiled, input, probes[i].conversation, &shown, error));
        if (shown) {
            *form = probes[i].form;
        }
    }
    return COVEY_OK;
}
