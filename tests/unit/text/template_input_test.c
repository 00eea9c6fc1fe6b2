/* Tool calls as an API's clients send them, in the form that a template shows: content "" or none,
 * arguments as an object or as JSON text. */
#include "support/support.h"

#include "text/template.h"

#include <string.h>

#define CALLS "{% for m in messages %}{% for c in m.tool_calls or [] %}"
#define END   "{% endfor %}{% endfor %}"

static const char silent[] =
    "[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":null,"
    "\"tool_calls\":[{\"id\":\"call00001\",\"type\":\"function\",\"function\":{\"name\":\"f\","
    "\"arguments\":\"{\\\"a\\\":[\\\"w\\\",null]}\"}}]}]";

static covey_status render(const covey__env *env, const char *text, const char *messages,
                           bool from_api, covey__rendered *out) {
    covey__template_input input = COVEY__TEMPLATE_INPUT_INIT;
    covey__template *compiled = NULL;
    covey__arena arena;
    memset(out, 0, sizeof *out);
    covey__arena_init(&arena, env, 1 << 20);
    covey_status status = covey__json_parse(&arena, messages, strlen(messages),
                                            COVEY__JSON_LIMITS_DEFAULT, &input.conversation, NULL);
    input.from_api = from_api;
    if (status == COVEY_OK)
        status = covey__template_compile(env, text, strlen(text), &compiled, NULL);
    if (status == COVEY_OK) {
        status = covey__template_render(compiled, &input, out, NULL);
        if (status != COVEY_OK) covey__rendered_free(out);
    }
    covey__template_free(compiled);
    covey__arena_free(&arena);
    return status;
}

static void assert_shows(const char *text, const char *messages, const char *expected) {
    covey__env env;
    covey__rendered out;
    covey__env_init(&env);
    assert_int_equal(render(&env, text, messages, true, &out), COVEY_OK);
    assert_string_equal(out.text.size ? out.text.data : "", expected);
    for (size_t i = 0, from = 0; i < out.span_count; from = out.spans[i++].end)
        assert_true(!out.spans[i].trusted || /* what clients said is never trusted */
                    !memchr(out.text.data + from, 'w', out.spans[i].end - from));
    covey__rendered_free(&out);
}

static void test_forms(void **state) {
    (void)state;
    assert_shows(CALLS "{{ m.content + c.function.name }} {{ c.function.arguments|tojson }}" END,
                 silent, "f {\"a\": [\"w\", null]}");
    assert_shows(CALLS "{% for k, v in c.function.arguments.items() %}{{ k }}{{ v[0] }}"
                       "{% endfor %} {{ c.function.name }}" END,
                 silent, "aw f");
    assert_shows(CALLS "{% if m.content is none %}{{ c.function.name }} "
                       "{{ c.function.arguments|tojson }}{% endif %}" END,
                 silent, "f {\"a\": [\"w\", null]}");
    assert_shows(CALLS "{{ m.content + c.function.name + ' ' + c.function.arguments }}" END, silent,
                 "f {\"a\":[\"w\",null]}");
    assert_shows(CALLS "{% if m.content is none %}"
                       "{{ c.function.name + ' ' + c.function.arguments }}{% endif %}" END,
                 silent, "f {\"a\":[\"w\",null]}");
    /* An object that is printed would be Python's way to write it: text is what models know. */
    assert_shows(CALLS "{{ c.function.name }} {{ c.function.arguments }}" END, silent,
                 "f {\"a\":[\"w\",null]}");
}

/* Templates that show no calls, or only such as they know, get the usual form. */
static void test_no_form(void **state) {
    (void)state;
    assert_shows("{% for m in messages %}{{ m.content + '.' }}{% endfor %}", silent, "hi..");
    assert_shows(CALLS "{{ c.function.name if c.function.name == 'f' }}"
                       "{{ c.function.arguments.a|length + 1 }}" END,
                 silent, "f3");
}

static const char full[] =
    "[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":"
    "{\"a\":1}}}]},{\"role\":\"assistant\"},{\"role\":\"assistant\",\"content\":\"x\","
    "\"tool_calls\":[{\"function\":{\"name\":\"g\",\"arguments\":\"no\"}}]},{\"content\":\"\","
    "\"tool_calls\":[{\"function\":{\"name\":\"h\",\"arguments\":\"{}\"}}]},"
    "{\"content\":\"y\",\"tool_calls\":[]}, 7]";

static void test_mixed(void **state) {
    (void)state;
    assert_shows("{% for m in messages[:5] %}{{ 'none' if m.content is none else m.content }}("
                 "{% for c in m.tool_calls or [] %}{{ c.function.name + c.function.arguments }}"
                 "{% endfor %}){% endfor %}",
                 full, "(f{\"a\": 1})()x(gno)(h{})y()");
    assert_shows("{% for m in messages[:5] %}{{ 'none' if m.content is none else m.content }}("
                 "{% for c in m.tool_calls or [] if m.content is none or m.content == 'x' %}"
                 "{{ c.function.name + c.function.arguments }}{% endfor %}){% endfor %}",
                 full, "none(f{\"a\": 1})()x(gno)none(h{})y()");
}

static void test_as_given(void **state) {
    (void)state;
    covey__env env;
    covey__rendered out;
    covey__env_init(&env);
    assert_int_equal(
        render(&env, CALLS "{{ m.content is none }} {{ c.function.arguments is string }}" END,
               silent, false, &out),
        COVEY_OK);
    assert_string_equal(out.text.data, "True True");
    covey__rendered_free(&out);
}

static covey_status render_all(const covey__env *env, void *user, covey_error *error) {
    covey__rendered out;
    (void)error;
    covey_status status = render(env, user, silent, true, &out);
    if (status == COVEY_OK) covey__rendered_free(&out);
    return status;
}

static void test_no_memory(void **state) {
    (void)state;
    char text[] = CALLS "{% if m.content is none %}{{ c.function.name + c.function.arguments }}"
                        "{% endif %}" END;
    assert_true(test_fail_each_allocation(render_all, text) >= 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms), cmocka_unit_test(test_no_form), cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_as_given), cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
