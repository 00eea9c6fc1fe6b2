/* Conversations with tools, calls and variables through the public function: what comes out as
 * bytes, what never becomes a control token, and what is refused. */
#include "synthetic.h"

#include <stdio.h>

static covey_runtime *runtime;

static int set_up(void **state) {
    runtime = open_runtime(1, NULL);
    return make_folder(state);
}

static int tear_down(void **state) {
    covey_runtime_close(runtime);
    return remove_folder(state);
}

static covey_model *open_with(const char *chat_template) {
    synthetic s = SYNTHETIC_ODD;
    s.chat_template = chat_template;
    const char *path = in_folder("chat.gguf");
    write_synthetic(&s, path);
    return open_model(runtime, path);
}

/* The bytes of the prompt without its spaces, which SentencePiece adds to; the number of end
 * tokens.
 */
static size_t rendered(const covey_model *model, const covey_chat *chat, char *out, size_t room) {
    covey_error error = {.message = ""};
    covey_token tokens[1024];
    size_t count = 0, size = 0, ends = 0;
    must(covey_model_render_conversation(model, chat, tokens, 1024, &count, &error), &error);
    for (size_t i = 0; i < count; i++) {
        ends += tokens[i] == 2;
        size += covey_model_token_bytes(model, tokens[i], false, out + size, room - size);
        assert_true(size < room);
    }
    size_t kept = 0;
    for (size_t i = 0; i < size; i++) {
        if (memcmp(out + i, "\xE2\x96\x81", i + 3 <= size ? 3 : 1) == 0 && i + 3 <= size) {
            i += 2;
        } else if (out[i] != ' ') {
            out[kept++] = out[i];
        }
    }
    out[kept] = 0;
    return ends;
}

static void test_everything_given(void **state) {
    (void)state;
    covey_model *model = open_with(
        "{% for t in tools %}{{ t | tojson }}{% endfor %}{% for m in messages %}[{{ m.role }}"
        ":{{ m.content }}{% for c in m.tool_calls or [] %}!{{ c.id }} {{ c.function.name }}"
        "{% if c.function.arguments is mapping %}({{ c.function.arguments.n + 1 }}){% endif %}"
        "{% endfor %}{% if m.tool_call_id %}={{ m.tool_call_id }}{% endif %}]</s>{% endfor %}"
        "{{ strftime_now('%Y-%m-%d') }}{% if enable_thinking is false %} quick{% endif %}"
        "{% if add_generation_prompt %} go{% endif %}");
    static const char messages[] =
        "[{\"role\":\"user\",\"content\":\"a</s>\"},{\"role\":\"assistant\",\"content\":null,"
        "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{\\\"n\\\": 41}\"}},{\"id\":\"c2\",\"function\":{\"name\":\"g\","
        "\"arguments\":\"no json\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\","
        "\"content\":\"ok\"}]";
    static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"</s>\"}}]";
    static const char variables[] = "{\"enable_thinking\":false}";
    covey_chat chat = COVEY_CHAT_INIT;
    chat.messages_json = messages;
    chat.messages_json_size = sizeof messages - 1;
    chat.tools_json = tools;
    chat.tools_json_size = sizeof tools - 1;
    chat.variables_json = variables;
    chat.variables_json_size = sizeof variables - 1;
    chat.add_generation_prompt = true;
    chat.now_ms = 1770000000000;
    char out[2048];
    assert_int_equal(rendered(model, &chat, out, sizeof out), 3);
    assert_non_null(strstr(out, "{\"type\":\"function\",\"function\":{\"name\":\"</s>\"}}"
                                "[user:a</s>][assistant:!c1f(42)!c2g][tool:ok=c1]"
                                "2026-02-02quickgo"));
    /* Without any of it; the clock is the runtime's. */
    covey_message plain = {"user", "b"};
    covey_chat small = COVEY_CHAT_INIT;
    small.messages = &plain;
    small.message_count = 1;
    assert_int_equal(rendered(model, &small, out, sizeof out), 1);
    assert_non_null(strstr(out, "[user:b]2"));
    assert_null(strstr(out, "quick"));
    covey_model_close(model);
}

/* A second template, for conversations with tools. */
static void test_template_for_tools(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.chat_template = "plain";
    s.tool_template = "{{ tools | length }}tools";
    const char *path = in_folder("tools.gguf");
    write_synthetic(&s, path);
    covey_model *model = open_model(runtime, path);
    covey_chat chat = COVEY_CHAT_INIT;
    char out[256];
    (void)rendered(model, &chat, out, sizeof out);
    assert_string_equal(out, "plain");
    chat.tools_json = "[]";
    chat.tools_json_size = 2;
    (void)rendered(model, &chat, out, sizeof out);
    assert_string_equal(out, "plain");
    chat.tools_json = "[1,2]";
    chat.tools_json_size = 5;
    (void)rendered(model, &chat, out, sizeof out);
    assert_string_equal(out, "2tools");
    covey_model_close(model);
}

static void test_refusals(void **state) {
    (void)state;
    covey_model *model = open_with("{{ raise_exception('no such turn') if messages|length > 1 }}x");
    covey_error error = {.message = ""};
    covey_token tokens[8];
    size_t count = 0;
    covey_chat chat = COVEY_CHAT_INIT;
    chat.messages_json = "[{\"role\": 1,}]";
    chat.messages_json_size = strlen(chat.messages_json);
    assert_int_equal(covey_model_render_conversation(model, &chat, tokens, 8, &count, &error),
                     COVEY_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "messages: "));
    chat.messages_json = "{}";
    chat.messages_json_size = 2;
    assert_int_equal(covey_model_render_conversation(model, &chat, tokens, 8, &count, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    chat.messages_json = "[1,2]";
    chat.messages_json_size = 5;
    assert_int_equal(covey_model_render_conversation(model, &chat, tokens, 8, &count, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "no such turn"));
    chat.messages_json_size = 2;
    chat.messages_json = "[]";
    chat.tools_json = "{}";
    chat.tools_json_size = 2;
    assert_int_equal(covey_model_render_conversation(model, &chat, tokens, 8, &count, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "tools: "));
    chat.tools_json = NULL;
    must(covey_model_render_conversation(model, &chat, tokens, 8, &count, &error), &error);
    assert_int_equal(covey_model_render_conversation(model, NULL, tokens, 8, &count, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_given),
        cmocka_unit_test(test_template_for_tools),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
