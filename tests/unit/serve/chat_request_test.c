/* The body of a request: what is taken over, and that everything else is refused by its name. */
#include "support/support.h"

#include "serve/serve.h"

#include <stdio.h>
#include <string.h>

static covey__env env;

static covey_status parse(const char *body, bool chat, covey__chat_request *out,
                          covey_error *error) {
    covey__env_init(&env);
    memset(error, 0, sizeof *error);
    return covey__chat_request_parse(&env, body, strlen(body), chat, out, error);
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
    static const char *const members[] = {"\"tools\":[]",
                                          "\"tool_choice\":\"none\"",
                                          "\"functions\":[]",
                                          "\"logit_bias\":{}",
                                          "\"parallel_tool_calls\":true",
                                          "\"service_tier\":\"auto\"",
                                          "\"reasoning_effort\":\"low\"",
                                          "\"modalities\":[\"text\"]",
                                          "\"audio\":{}",
                                          "\"prediction\":{}",
                                          "\"top_logprobs\":3",
                                          "\"best_of\":2",
                                          "\"suffix\":\"x\"",
                                          "\"temprature\":1",
                                          "\"n\":2",
                                          "\"logprobs\":true",
                                          "\"echo\":true",
                                          "\"presence_penalty\":0.5",
                                          "\"frequency_penalty\":-1",
                                          "\"response_format\":{\"type\":\"json_object\"}"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        char body[256], name[64];
        snprintf(body, sizeof body, "{" M ",%s}", members[i]);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(members[i] + 1, "\""), members[i] + 1);
        expect_refused(body, true, name);
    }
    expect_refused("{" M ",\"stream_options\":{\"nonsense\":1}}", true, "stream_options.nonsense");
    expect_refused("{\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"tool_calls\":[]}]}", true,
                   "messages[0].tool_calls");
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
                           "{\"role\":\"tool\",\"content\":\"t\",\"name\":\"x\"}],\"stop\":\"END\","
                           "\"max_tokens\":5,\"seed\":-1,\"stream\":true}",
                           true, &request, &error),
                     COVEY_OK);
    assert_int_equal(request.request.message_count, 4);
    assert_string_equal(request.request.messages[0].role, "system");
    assert_string_equal(request.request.messages[1].content, "ab");
    assert_string_equal(request.request.messages[3].role, "tool");
    assert_int_equal(request.request.generation.stop_count, 1);
    assert_string_equal(request.request.generation.stop[0], "END");
    assert_int_equal(request.request.generation.tokens_max, 5);
    assert_true(request.request.generation.sampling.seed == UINT64_MAX);
    assert_true(request.request.generation.sampling.temperature == 0.0f);
    assert_true(request.stream);
    assert_false(request.include_usage);
    assert_null(request.request.prompt);
    covey__chat_request_free(&request);
    assert_int_equal(parse("{\"prompt\":\"once\"}", false, &request, &error), COVEY_OK);
    assert_string_equal(request.request.prompt, "once");
    assert_int_equal(request.request.message_count, 0);
    covey__chat_request_free(&request);
}

static covey_status parse_step(const covey__env *broken, void *user, covey_error *error) {
    covey__chat_request request;
    const char *body = user;
    covey_status status =
        covey__chat_request_parse(broken, body, strlen(body), true, &request, error);
    if (!status) covey__chat_request_free(&request);
    return status;
}

static void test_memory(void **state) {
    (void)state;
    char body[] = "{" M ",\"stop\":[\"a\",\"b\"]}";
    assert_true(test_fail_each_allocation(parse_step, body) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unsupported_by_name),
        cmocka_unit_test(test_neutral_values_pass),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_taken_over),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
