/* How far an ensemble reaches, and what of a later one must be asked: a table of cases. */
#include "support/support.h"

#include "policy/reach.h"

#include <stdio.h>
#include <string.h>

static test_env test;

static void fill(covey__reach *reach, const char *tools, const char *policy_text) {
    covey__policy policy;
    covey_error error = {0};
    covey__reach_init(reach, &test.env);
    if (tools && covey__reach_add_tools(reach, tools, strlen(tools), &error))
        fail_msg("%s", error.message);
    if (!policy_text) return;
    if (covey__policy_parse(&test.env, policy_text, strlen(policy_text), &policy, &error) ||
        covey__reach_add_policy(reach, &policy, &error))
        fail_msg("%s", error.message);
}

/* The lines that `wanted` would ask for, each followed by a '\n'. */
static void asks(const char *present_tools, const char *present_policy, const char *tools,
                 const char *policy, char *out, size_t capacity) {
    covey__reach present, wanted, given, missing;
    covey_error error = {0};
    test_env_init(&test);
    fill(&present, present_tools, present_policy);
    fill(&wanted, tools, policy);
    fill(&given, NULL, NULL);
    covey__reach_init(&missing, &test.env);
    assert_int_equal(covey__reach_missing(&wanted, &present, &given, &missing, &error), COVEY_OK);
    out[0] = '\0';
    for (size_t i = 0; i < missing.count; i++) {
        assert_true(strlen(out) + strlen(missing.lines[i]) + 2 < capacity);
        strcat(strcat(out, missing.lines[i]), "\n");
    }
    covey__reach_free(&missing);
    covey__reach_free(&given);
    covey__reach_free(&wanted);
    covey__reach_free(&present);
    assert_int_equal(test.alive, 0);
}

#define TOOL(name, rest) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\"" rest "}}"
#define TIMER                                                                                      \
    TOOL("timer", ",\"parameters\":{\"type\":\"object\",\"properties\":{\"minutes\":"              \
                  "{\"type\":\"integer\"}},\"additionalProperties\":false}")
#define POLICY(rest) "{\"format\":1" rest "}"

static const struct {
    const char *name, *present_tools, *present_policy, *tools, *policy;
    const char *asked; /* part of what is asked; NULL: nothing is */
} cases[] = {
    {"nothing to nothing", NULL, NULL, NULL, NULL, NULL},
    {"an empty list", NULL, NULL, "[]", NULL, NULL},
    {"the same tool", "[" TIMER "]", NULL, "[" TIMER "]", NULL, NULL},
    {"a first tool", NULL, NULL, "[" TIMER "]", NULL, "may use the tool timer\n"},
    {"a second tool", "[" TIMER "]", NULL, "[" TIMER "," TOOL("alarm", "") "]", NULL,
     "may use the tool alarm\n"},
    {"a tool that went", "[" TIMER "," TOOL("alarm", "") "]", NULL, "[" TIMER "]", NULL, NULL},
    {"another order", "[" TOOL("a", "") "," TOOL("b", "") "]", NULL,
     "[" TOOL("b", "") "," TOOL("a", "") "]", NULL, NULL},
    {"other words", "[" TOOL("a", ",\"description\":\"x\"") "]", NULL,
     "[" TOOL("a", ",\"description\":\"y\"") "]", NULL, NULL},
    {"a permission", "[" TOOL("a", "") "]", NULL,
     "[" TOOL("a", ",\"permissions\":[\"read contacts\"]") "]", NULL,
     "says that the tool a may: read contacts\n"},
    {"a permission beside the function", "[" TOOL("a", "") "]", NULL,
     "[{\"type\":\"function\",\"function\":{\"name\":\"a\"},\"permissions\":[\"network\"]}]", NULL,
     "says that the tool a may: network\n"},
    {"a permission that went", "[" TOOL("a", ",\"permissions\":[\"network\"]") "]", NULL,
     "[" TOOL("a", "") "]", NULL, NULL},
    {"a new parameter", "[" TIMER "]", NULL,
     "[" TOOL("timer", ",\"parameters\":{\"type\":\"object\",\"properties\":{\"minutes\":"
                       "{\"type\":\"integer\"},\"song\":{\"type\":\"string\"}},"
                       "\"additionalProperties\":false}") "]",
     NULL, "says that the tool timer takes song: {\"type\":\"string\"}\n"},
    {"a parameter of another type", "[" TIMER "]", NULL,
     "[" TOOL("timer", ",\"parameters\":{\"type\":\"object\",\"properties\":{\"minutes\":"
                       "{\"type\":\"string\"}},\"additionalProperties\":false}") "]",
     NULL, "says that the tool timer takes minutes: {\"type\":\"string\"}\n"},
    {"a described parameter", "[" TIMER "]", NULL,
     "[" TOOL("timer", ",\"parameters\":{\"type\":\"object\",\"properties\":{\"minutes\":"
                       "{\"description\":\"how long\",\"type\":\"integer\",\"examples\":[1]}},"
                       "\"additionalProperties\":false}") "]",
     NULL, NULL},
    {"parameters that are not named", "[" TIMER "]", NULL,
     "[" TOOL("timer", ",\"parameters\":{\"type\":\"object\",\"properties\":{\"minutes\":"
                       "{\"type\":\"integer\"}}}") "]",
     NULL, "says that the tool timer follows: "},
    {"a parameter that went, where others may be anything",
     "[" TOOL("a", ",\"parameters\":{\"properties\":{\"b\":{\"type\":\"integer\"}}}") "]", NULL,
     "[" TOOL("a", ",\"parameters\":{\"properties\":{}}") "]", NULL,
     "says that the tool a follows: "},
    {"a rule that went", "[" TOOL("a", ",\"parameters\":{\"required\":[\"confirm\"]}") "]", NULL,
     "[" TOOL("a", ",\"parameters\":{}") "]", NULL, "says that the tool a follows: "},
    {"a property whose name is description", "[" TOOL("a", "") "]", NULL,
     "[" TOOL("a", ",\"parameters\":{\"properties\":{\"description\":{\"type\":\"string\"}}}") "]",
     NULL, "says that the tool a takes description: "},
    {"a description that is data",
     "[" TOOL("a", ",\"parameters\":{\"properties\":{\"b\":{\"const\":{\"title\":\"x\"}}}}") "]",
     NULL,
     "[" TOOL("a", ",\"parameters\":{\"properties\":{\"b\":{\"const\":{\"title\":\"y\"}}}}") "]",
     NULL, "says that the tool a takes b: {\"const\":{\"title\":\"y\"}}\n"},
    {"strict that went", "[" TOOL("a", ",\"strict\":true") "]", NULL, "[" TOOL("a", "") "]", NULL,
     "says that the tool a follows: "},
    {"another form", "{\"v\":1}", NULL, "{\"v\":2}", NULL, "in a form that is not known here"},
    {"the same unknown form", "{\"v\":1}", NULL, "{\"v\":1}", NULL, NULL},
    {"no JSON at all", "[]", NULL, "[", NULL, "in a form that is not known here"},
    {"two tools of one name", "[" TOOL("a", "") "]", NULL, "[" TOOL("a", "") "," TOOL("a", "") "]",
     NULL, "in a form that is not known here"},
    {"words leave, redacted", NULL, POLICY(""), NULL,
     POLICY(",\"leaves\":{\"words\":\"redacted\"}"), "may send your words away, redacted\n"},
    {"words leave as they are", NULL, POLICY(",\"leaves\":{\"words\":\"redacted\"}"), NULL,
     POLICY(",\"leaves\":{\"words\":\"all\"}"), "may send your words away as they are\n"},
    {"fewer words leave", NULL, POLICY(",\"leaves\":{\"words\":\"all\"}"), NULL,
     POLICY(",\"leaves\":{\"words\":\"redacted\"}"), NULL},
    {"a new host", NULL, POLICY(",\"leaves\":{\"to\":[\"a.example\"]}"), NULL,
     POLICY(",\"leaves\":{\"to\":[\"a.example\",\"b.example\"]}"), "may send to b.example\n"},
    {"measures", NULL, NULL, NULL, POLICY(",\"leaves\":{\"numbers\":true}"),
     "may send measures away\n"},
    {"the cloud instead", NULL, POLICY(",\"degrade\":{\"to\":\"off\"}"), NULL,
     POLICY(",\"degrade\":{\"to\":\"cloud\"}"), "may answer from the cloud"},
    {"the cloud for a feature", NULL, NULL, NULL,
     POLICY(",\"degrade\":{\"features\":{\"search\":\"cloud\"}}"), "may do search in the cloud"},
    {"settings that are the user's", NULL, NULL, NULL,
     POLICY(",\"update\":{\"on_metered\":true},\"consent\":{\"ask\":false}"), NULL},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char asked[4096];
        asks(cases[i].present_tools, cases[i].present_policy, cases[i].tools, cases[i].policy,
             asked, sizeof asked);
        bool right = cases[i].asked ? strstr(asked, cases[i].asked) != NULL : asked[0] == '\0';
        if (!right) fail_msg("%s: asks \"%s\"", cases[i].name, asked);
    }
}

static void test_what_was_given_is_not_asked_again(void **state) {
    (void)state;
    covey__reach present, wanted, given, missing;
    covey_error error = {0};
    test_env_init(&test);
    fill(&present, "[]", NULL);
    fill(&wanted, "[" TIMER "]", NULL);
    fill(&given, "[" TIMER "]", NULL);
    covey__reach_init(&missing, &test.env);
    assert_int_equal(covey__reach_missing(&wanted, &present, &given, &missing, &error), COVEY_OK);
    assert_int_equal(missing.count, 0);
    covey__reach_free(&missing);
    covey__reach_free(&given);
    covey__reach_free(&wanted);
    covey__reach_free(&present);
}

/* What a terminal would obey is not shown, and what is too long is cut; both stay different. */
static void test_lines_are_plain_and_stay_apart(void **state) {
    (void)state;
    char tools[2][2000], asked[4096], padding[901];
    memset(padding, 'x', 900);
    padding[900] = '\0';
    asks(NULL, NULL, "[" TOOL("a", ",\"permissions\":[\"\\u001b[2Jhello\"]") "]", NULL, asked,
         sizeof asked);
    assert_null(strchr(asked, '\x1b'));
    assert_non_null(strstr(asked, "hello... "));
    for (int i = 0; i < 2; i++)
        snprintf(
            tools[i], sizeof tools[i],
            "[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"permissions\":[\"%s%d\"]}}]",
            padding, i);
    asks(tools[0], NULL, tools[1], NULL, asked, sizeof asked);
    assert_non_null(strstr(asked, "says that the tool a may: xxx"));
    asks(tools[0], NULL, tools[0], NULL, asked, sizeof asked);
    assert_string_equal(asked, "");
}

static void test_no_memory(void **state) {
    (void)state;
    static const char tools[] = "[" TIMER "," TOOL("a", ",\"permissions\":[\"b\",1]") "]";
    covey__reach reach;
    covey_error error;
    covey_status status = COVEY_ERROR_NO_MEMORY;
    int refused = 0;
    for (int at = 1; at < 1000 && status != COVEY_OK; at++) {
        test_env_init(&test);
        test.fail_at = at;
        covey__reach_init(&reach, &test.env);
        status = covey__reach_add_tools(&reach, tools, strlen(tools), &error);
        refused += status == COVEY_ERROR_NO_MEMORY;
        if (status != COVEY_OK) assert_int_equal(status, COVEY_ERROR_NO_MEMORY);
        covey__reach_free(&reach);
        assert_int_equal(test.alive, 0);
    }
    assert_int_equal(status, COVEY_OK);
    assert_true(refused > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_what_was_given_is_not_asked_again),
        cmocka_unit_test(test_lines_are_plain_and_stay_apart),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
