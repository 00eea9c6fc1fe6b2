/* The body of a request: what is taken over, and that everything else is refused by its name. */
#include "support/support.h"

#include "base/runtime.h"
#include "serve/serve.h"

#include <stdio.h>
#include <string.h>

static covey_runtime *runtime;

static covey_status parse(const char *body, bool chat, covey__chat_request *out,
                          covey_error *error) {
    memset(error, 0, sizeof *error);
    return covey__chat_request_parse(runtime, body, strlen(body), chat, out, error);
}

#define M "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static void expect_refused(const char *body, bool chat, const char *text) {
    covey__chat_request request;
    covey_error error;
    covey_status status = parse(body, chat, &request, &error);
    if (!status) covey__chat_request_free(&request);
    if (status != COVEY_ERROR_INVALID_ARGUMENT && status != COVEY_ERROR_UNSUPPORTED &&
        status != COVEY_ERROR_FORMAT && status != COVEY_ERROR_LIMIT)
        fail_msg("%s: found %s", body, covey_status_name(status));
    if (!strstr(error.message, text)) fail_msg("%s: %s", body, error.message);
}

static void expect_taken(const char *body, bool chat) {
    covey__chat_request request;
    covey_error error;
    if (parse(body, chat, &request, &error)) fail_msg("%s: %s", body, error.message);
    covey__chat_request_free(&request);
}

static void test_unsupported_by_name(void **state) {
    (void)state;
    static const char *const members[] = {"\"functions\":[]",
                                          "\"logit_bias\":{}",
                                          "\"service_tier\":\"auto\"",
                                          "\"reasoning_effort\":\"low\"",
                                          "\"modalities\":[\"text\"]",
                                          "\"audio\":{}",
                                          "\"prediction\":{}",
                                          "\"top_logprobs\":3",
                                          "\"best_of\":2",
                                          "\"suffix\":\"x\"",
                                          "\"temprature\":1",
                                          "\"echo\":true",
                                          "\"presence_penalty\":0.5",
                                          "\"frequency_penalty\":-1",
                                          "\"response_format\":{\"type\":\"xml\"}"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        char body[256], name[64];
        snprintf(body, sizeof body, "{" M ",%s}", members[i]);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(members[i] + 1, "\""), members[i] + 1);
        expect_refused(body, true, name);
    }
    expect_refused("{" M ",\"stream_options\":{\"nonsense\":1}}", true, "stream_options.nonsense");
    expect_refused("{\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"audio\":{}}]}", true,
                   "messages[0].audio");
    expect_refused("{\"prompt\":\"x\",\"tools\":[]}", false, "tools");
    expect_refused("{\"prompt\":\"x\",\"top_logprobs\":1}", false, "top_logprobs");
}

static void test_neutral_values_pass(void **state) {
    (void)state;
    expect_taken("{" M ",\"n\":1,\"presence_penalty\":0,\"frequency_penalty\":0.0,\"logprobs\":"
                 "false,\"echo\":false,\"response_format\":{\"type\":\"text\"},\"user\":\"u\","
                 "\"metadata\":{},\"store\":false,\"tools\":null,\"logit_bias\":null,\"stop\":null,"
                 "\"seed\":null,\"max_tokens\":null,\"model\":\"any\",\"stream_options\":null}",
                 true);
    expect_taken("{\"prompt\":\"x\",\"logprobs\":null,\"suffix\":null}", false);
}

static void test_values(void **state) {
    (void)state;
    static const struct {
        const char *member, *text;
    } cases[] = {
        {"\"temperature\":-1", "temperature: expected a number"},
        {"\"temperature\":\"hot\"", "temperature"},
        {"\"top_p\":1.5", "top_p"},
        {"\"top_p\":0", "top_p: expected a number above 0"},
        {"\"top_p\":1e-60", "top_p: expected a number above 0"},
        {"\"min_p\":2", "min_p"},
        {"\"top_k\":1.5", "top_k: expected a whole number"},
        {"\"top_k\":-1", "top_k"},
        {"\"repetition_penalty\":0", "repetition_penalty"},
        {"\"max_tokens\":0", "max_tokens"},
        {"\"max_completion_tokens\":99999999999", "max_completion_tokens"},
        {"\"seed\":1.5", "seed"},
        {"\"stream\":1", "stream: expected true or false"},
        {"\"stream_options\":3", "stream_options: expected an object"},
        {"\"stream_options\":{\"include_usage\":3}", "include_usage"},
        {"\"stop\":5", "stop"},
        {"\"stop\":[\"\"]", "stop"},
        {"\"stop\":[\"a\\u0000b\"]", "stop"},
        {"\"stop\":[1]", "stop"},
        {"\"stop\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
         "\"a\",\"a\",\"a\",\"a\"]",
         "at most 16"},
        {"\"model\":7", "model: expected a string"},
        {"\"temperature\":1,\"temperature\":2", "temperature"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[512];
        snprintf(body, sizeof body, "{" M ",%s}", cases[i].member);
        expect_refused(body, true, cases[i].text);
    }
}

static void test_messages(void **state) {
    (void)state;
    static const struct {
        const char *messages, *text;
    } cases[] = {
        {"null", "messages: expected an array"},
        {"[]", "messages: expected an array"},
        {"{}", "messages: expected an array"},
        {"[7]", "messages[0].role"},
        {"[{\"content\":\"x\"}]", "messages[0].role"},
        {"[{\"role\":\"king\",\"content\":\"x\"}]", "messages[0].role"},
        {"[{\"role\":\"user\"}]", "messages[0].content"},
        {"[{\"role\":\"user\",\"content\":null}]", "messages[0].content"},
        {"[{\"role\":\"user\",\"content\":7}]", "messages[0].content"},
        {"[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]", "messages[0].content"},
        {"[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]", "other than text"},
        {"[{\"role\":\"user\",\"content\":[7]}]", "other than text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"messages\":%s}", cases[i].messages);
        expect_refused(body, true, cases[i].text);
    }
    expect_refused("{}", true, "messages");
    expect_refused("{}", false, "prompt");
    expect_refused("{\"prompt\":[1,2]}", false, "prompt: expected one string");
    expect_refused("{\"prompt\":\"a\\u0000b\"}", false, "prompt");
    expect_refused("[]", true, "not a JSON object");
    expect_refused("{" M "} x", true, "1"); /* names line and column */
}

static void test_too_many(void **state) {
    (void)state;
    static char body[COVEY__SERVE_MESSAGES_MAX * 40 + 100];
    size_t size = (size_t)sprintf(body, "{\"messages\":[");
    for (int i = 0; i <= COVEY__SERVE_MESSAGES_MAX; i++)
        size +=
            (size_t)sprintf(body + size, "%s{\"role\":\"user\",\"content\":\"\"}", i ? "," : "");
    memcpy(body + size, "]}", 3);
    expect_refused(body, true, "1024");
    static char deep[4096];
    memset(deep, '[', 2000);
    expect_refused(deep, true, "");
}

static void test_taken_over(void **state) {
    (void)state;
    covey__chat_request request;
    covey_error error;
    assert_int_equal(parse("{\"messages\":[{\"role\":\"developer\",\"content\":\"d\"},{\"role\":"
                           "\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
                           "\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":\"c\"},"
                           "{\"role\":\"tool\",\"content\":\"t\"}],\"stop\":\"END\","
                           "\"max_tokens\":5,\"seed\":-1,\"stream\":true}",
                           true, &request, &error),
                     COVEY_OK);
    assert_int_equal(request.request.message_count, 4);
    assert_string_equal(request.request.messages[0].role, "system");
    assert_string_equal(request.request.messages[1].content, "ab");
    assert_string_equal(request.request.messages[3].role, "tool");
    assert_int_equal(request.generation.stop_count, 1);
    assert_string_equal(request.generation.stop[0], "END");
    assert_int_equal(request.generation.tokens_max, 5);
    assert_true(request.sampling.seed == UINT64_MAX);
    assert_true(request.sampling.temperature == 0.0f);
    assert_true(request.stream);
    assert_false(request.include_usage);
    assert_null(request.request.prompt);
    covey__chat_request_free(&request);
    assert_int_equal(parse("{\"prompt\":\"once\"}", false, &request, &error), COVEY_OK);
    assert_string_equal(request.request.prompt, "once");
    assert_int_equal(request.request.message_count, 0);
    covey__chat_request_free(&request);
}

#define TOOL                                                                                       \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"     \
    "\"object\",\"properties\":{\"x\":{\"type\":\"integer\"}},\"required\":[\"x\"]}}}]"

/* With tools, or with messages that are more than words, templates get JSON. */
static void test_rich_messages(void **state) {
    (void)state;
    covey__chat_request request;
    covey_error error;
    static const char body[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]},{"
        "\"role\":"
        "\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"content\":"
        "\"t\","
        "\"tool_call_id\":\"1\"}],\"chat_template_kwargs\":{\"deep\":false}," TOOL "}";
    if (parse(body, true, &request, &error)) fail_msg("%s", error.message);
    assert_ptr_equal(request.request.chat, &request.chat);
    assert_null(request.request.messages);
    assert_string_equal(
        request.chat.messages_json,
        "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null,"
        "\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"content\":\"t\",\"tool_call_id\":\"1\"}]");
    assert_string_equal(request.chat.variables_json, "{\"deep\":false}");
    assert_non_null(strstr(request.chat.tools_json, "\"name\":\"f\""));
    assert_int_equal(request.tools.choice, COVEY__TOOLS_AUTO);
    assert_null(request.guide);
    covey__chat_request_free(&request);
    expect_taken("{" M "," TOOL ",\"tool_choice\":\"none\"}", true);
    expect_refused("{" M ",\"tool_choice\":\"required\"}", true, "tool_choice");
    expect_refused("{" M "," TOOL ",\"tool_choice\":{\"function\":{\"name\":\"g\"}}}", true,
                   "\"g\" is none of the tools");
    expect_refused("{" M ",\"tools\":[{\"type\":\"retrieval\"}]}", true, "tools[0].type");
}

static void expect_guide(const char *body, const char *fits, const char *not_so) {
    covey__chat_request request;
    covey_error error;
    size_t matched;
    bool whole = false;
    if (parse(body, true, &request, &error)) fail_msg("%s: %s", body, error.message);
    assert_non_null(request.guide);
    assert_ptr_equal(request.generation.guide, request.guide);
    assert_int_equal(covey_guide_match(request.guide, fits, strlen(fits), &matched, &whole, &error),
                     COVEY_OK);
    if (!whole) fail_msg("%s does not allow %s", body, fits);
    assert_int_equal(
        covey_guide_match(request.guide, not_so, strlen(not_so), &matched, &whole, &error),
        COVEY_OK);
    if (whole) fail_msg("%s allows %s", body, not_so);
    covey__chat_request_free(&request);
}

static void test_guides(void **state) {
    (void)state;
    expect_guide("{" M ",\"response_format\":{\"type\":\"json_object\"}}", "{\"a\":[1]}", "[1]");
    expect_guide("{" M ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                 "\"n\",\"schema\":{\"type\":\"integer\"}}}}",
                 "12", "\"12\"");
    expect_guide("{" M ",\"grammar\":\"root ::= \\\"yes\\\" | \\\"no\\\"\"}", "yes", "maybe");
    expect_guide("{" M "," TOOL ",\"tool_choice\":\"required\"}",
                 "{\"name\":\"f\",\"arguments\":{\"x\":1}}",
                 "{\"name\":\"f\",\"arguments\":{\"x\":\"1\"}}");
    expect_refused("{" M
                   ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":"
                   "{\"type\":\"integer\",\"if\":{}}}}}",
                   true, "\"if\"");
    expect_refused("{" M ",\"grammar\":\"root ::= other\"}", true, "other");
    expect_refused("{" M ",\"grammar\":\"root ::= \\\"a\\\"\",\"response_format\":{\"type\":"
                   "\"json_object\"}}",
                   true, "give one of them");
}

static void test_scores(void **state) {
    (void)state;
    covey__chat_request request;
    covey_error error;
    assert_int_equal(
        parse("{" M ",\"logprobs\":true,\"top_logprobs\":5,\"n\":3}", true, &request, &error),
        COVEY_OK);
    assert_true(request.logprobs);
    assert_int_equal(request.generation.top_logprobs, 5);
    assert_int_equal(request.answers, 3);
    covey__chat_request_free(&request);
    assert_int_equal(parse("{\"prompt\":\"x\",\"logprobs\":2}", false, &request, &error), COVEY_OK);
    assert_true(request.logprobs);
    assert_int_equal(request.generation.top_logprobs, 2);
    covey__chat_request_free(&request);
    expect_refused("{" M ",\"n\":9}", true, "n: expected");
    expect_refused("{" M ",\"logprobs\":true,\"top_logprobs\":21}", true, "top_logprobs");
    expect_refused("{\"prompt\":\"x\",\"logprobs\":true}", false, "logprobs");
}

static covey_status parse_step(const covey__env *broken, void *user, covey_error *error) {
    covey__chat_request request;
    covey_runtime *opened = NULL;
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    const char *body = user;
    options.allocator = &broken->allocator;
    covey_status status = covey__runtime_new(&options, &opened, error);
    if (status) return status;
    status = covey__chat_request_parse(opened, body, strlen(body), true, &request, error);
    if (!status) covey__chat_request_free(&request);
    covey_runtime_close(opened);
    return status;
}

static void test_memory(void **state) {
    (void)state;
    char body[] = "{" M ",\"stop\":[\"a\",\"b\"]," TOOL ",\"tool_choice\":\"required\"}";
    assert_true(test_fail_each_allocation(parse_step, body) > 0);
}

static int open_it(void **state) {
    (void)state;
    return covey__runtime_new(NULL, &runtime, NULL) != COVEY_OK;
}

static int close_it(void **state) {
    (void)state;
    covey_runtime_close(runtime);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unsupported_by_name),
        cmocka_unit_test(test_neutral_values_pass),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_taken_over),
        cmocka_unit_test(test_rich_messages),
        cmocka_unit_test(test_guides),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, open_it, close_it);
}
