/* Task probes from lines, and which answers count as expected. */
#include "support/support.h"

#include "bundle/probes.h"

#include <string.h>

static void lines_of_every_form(void **state) {
    (void)state;
    static const char text[] =
        "{\"prompt\":\"ten minutes\",\"expect\":{\"tool\":\"timer\",\"n\":10}}\n"
        "\n"
        "{\"intent\":\"x\",\"user\":\"hi\",\"assistant\":\"hello\"}\r\n"
        "  {\"name\":\"mine\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":"
        "\"user\",\"content\":\"u\"}],\"expect\":\"[1]\",\"match\":\"json\"}";
    test_env test;
    covey_error error = {0};
    covey__probes *probes;
    test_env_init(&test);
    assert_int_equal(covey__probes_new(&test.env, &probes, &error), COVEY_OK);
    assert_int_equal(covey__probes_add_lines(probes, text, strlen(text), &error), COVEY_OK);
    assert_int_equal(probes->task_count, 3);
    assert_string_equal(probes->tasks[0].name, "task-1");
    assert_string_equal(probes->tasks[0].messages[0].role, "user");
    assert_string_equal(probes->tasks[0].messages[0].content, "ten minutes");
    assert_string_equal(probes->tasks[0].expect, "{\"tool\":\"timer\",\"n\":10}");
    assert_int_equal(probes->tasks[0].match, COVEY__MATCH_JSON);
    assert_string_equal(probes->tasks[1].messages[0].content, "hi");
    assert_string_equal(probes->tasks[1].expect, "hello");
    assert_int_equal(probes->tasks[1].match, COVEY__MATCH_EXACT);
    assert_string_equal(probes->tasks[2].name, "mine");
    assert_int_equal(probes->tasks[2].message_count, 2);
    /* More lines are added to those that are there. */
    assert_int_equal(
        covey__probes_add_lines(probes, "{\"prompt\":\"p\",\"expect\":\"e\"}", 27, &error),
        COVEY_OK);
    assert_int_equal(probes->task_count, 4);
    assert_string_equal(probes->tasks[2].name, "mine");
    assert_string_equal(probes->tasks[3].name, "task-4");
    covey__probes_free(probes);
    assert_int_equal(test.alive, 0);
}

static void a_wrong_line_is_named_by_its_number(void **state) {
    (void)state;
    static const char *const wrong[] = {"{",
                                        "[]",
                                        "{\"prompt\":\"p\"}",
                                        "{\"expect\":\"e\"}",
                                        "{\"prompt\":1,\"expect\":\"e\"}",
                                        "{\"prompt\":\"p\",\"expect\":\"e\",\"match\":\"near\"}",
                                        "{\"messages\":[],\"expect\":\"e\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        test_env test;
        covey_error error = {0};
        covey__probes *probes;
        char text[200] = "{\"prompt\":\"p\",\"expect\":\"e\"}\n\n";
        strcat(text, wrong[i]);
        test_env_init(&test);
        assert_int_equal(covey__probes_new(&test.env, &probes, &error), COVEY_OK);
        assert_int_equal(covey__probes_add_lines(probes, text, strlen(text), &error),
                         COVEY_ERROR_FORMAT);
        assert_non_null(strstr(error.message, "line 3"));
        covey__probes_free(probes);
        assert_int_equal(test.alive, 0);
    }
}

static bool matches(covey__match match, const char *expect, const char *answer) {
    test_env test;
    covey__task_probe probe = {.expect = expect, .match = match};
    test_env_init(&test);
    bool result = covey__task_matches(&test.env, &probe, answer, strlen(answer));
    assert_int_equal(test.alive, 0);
    return result;
}

static void exact_answers(void **state) {
    (void)state;
    assert_true(matches(COVEY__MATCH_EXACT, "hello", "hello"));
    assert_true(matches(COVEY__MATCH_EXACT, " hello\n", "\n\thello "));
    assert_true(matches(COVEY__MATCH_EXACT, "", " "));
    assert_false(matches(COVEY__MATCH_EXACT, "hello", "Hello"));
    assert_false(matches(COVEY__MATCH_EXACT, "hello", "hello there"));
    assert_false(matches(COVEY__MATCH_EXACT, "a b", "a  b"));
}

static void json_answers(void **state) {
    (void)state;
    assert_true(matches(COVEY__MATCH_JSON, "{\"a\":1,\"b\":[true,null,\"x\"]}",
                        " { \"b\" : [true, null, \"\\u0078\"], \"a\" : 1.0 } "));
    assert_false(matches(COVEY__MATCH_JSON, "{\"a\":1}", "{\"a\":2}"));
    assert_false(matches(COVEY__MATCH_JSON, "{\"a\":1}", "{\"a\":1,\"b\":2}"));
    assert_false(matches(COVEY__MATCH_JSON, "{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}"));
    assert_false(matches(COVEY__MATCH_JSON, "[1,2]", "[2,1]"));
    assert_false(matches(COVEY__MATCH_JSON, "[1,2]", "[1]"));
    assert_false(matches(COVEY__MATCH_JSON, "1", "\"1\""));
    assert_false(matches(COVEY__MATCH_JSON, "true", "false"));
    assert_false(matches(COVEY__MATCH_JSON, "{}", ""));
    assert_false(matches(COVEY__MATCH_JSON, "{}", "{} and more"));
}

static covey_status lines_step(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    covey__probes *probes;
    covey_status status = covey__probes_new(env, &probes, error);
    if (status == COVEY_OK)
        status =
            covey__probes_add_lines(probes, "{\"prompt\":\"p\",\"expect\":{\"a\":1}}", 31, error);
    covey__probes_free(probes);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(lines_step, NULL) >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_every_form),
        cmocka_unit_test(a_wrong_line_is_named_by_its_number),
        cmocka_unit_test(exact_answers),
        cmocka_unit_test(json_answers),
        cmocka_unit_test(survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
