/* Answers over HTTP: whole and streamed, in OpenAI's shapes; conversations that stay with their
 * backend; clients that leave; a server that is closed in the middle of an answer. */
#include "serve_double.h"

#define CHAT       "/v1/chat/completions"
#define TEXT       "/v1/completions"
#define SAY(words) "{\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}]}"
#define STREAM(words)                                                                              \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}],\"stream\":true}"

static served_test test;

static void begin_with(const covey_server_options *options) {
    served_begin(&test, options);
    served_set(&test, &test.one, "assistant@1.0.0");
}

static int begin(void **state) {
    (void)state;
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    options.token = TOKEN;
    begin_with(&options);
    return 0;
}

static int end(void **state) {
    (void)state;
    served_end(&test, false);
    return 0;
}

static const covey__json *parsed(covey__arena *arena, const char *text, size_t size) {
    static covey__env env;
    covey_error error = {0};
    const covey__json *root = NULL;
    covey__env_init(&env);
    covey__arena_init(arena, &env, 1u << 20);
    if (covey__json_parse(arena, text, size, COVEY__JSON_LIMITS_DEFAULT, &root, &error))
        fail_msg("%s in %.*s", error.message, (int)size, text);
    return root;
}

/* The value at a path like "choices.0.message.content". */
static const covey__json *at(const covey__json *node, const char *path) {
    char name[64];
    for (const char *from = path; node && *from;) {
        size_t size = strcspn(from, ".");
        snprintf(name, sizeof name, "%.*s", (int)size, from);
        if (node->kind == COVEY__JSON_ARRAY) {
            long index = strtol(name, NULL, 10);
            for (node = node->child; node && index--;) node = node->next;
        } else {
            node = covey__json_get(node, name);
        }
        from += size + (from[size] == '.');
    }
    return node;
}

static void expect_text(const covey__json *root, const char *path, const char *wanted) {
    const covey__json *node = at(root, path);
    if (!node || !node->text) fail_msg("%s is absent", path);
    assert_string_equal(node->text, wanted);
}

static void expect_null(const covey__json *root, const char *path) {
    const covey__json *node = at(root, path);
    assert_non_null(node);
    assert_int_equal(node->kind, COVEY__JSON_NULL);
}

/* ---- Shapes ---- */

static void test_whole_chat(void **state) {
    (void)state;
    covey__arena arena;
    reply r = client_do(test.port, "POST", CHAT, BEARER JSON, SAY("hello"));
    assert_int_equal(r.status, 200);
    assert_true(head_has(&r, "X-Covey-Ensemble: assistant@1.0.0"));
    const covey__json *root = parsed(&arena, r.body, r.body_size);
    assert_memory_equal(at(root, "id")->text, "chatcmpl-", 9);
    expect_text(root, "object", "chat.completion");
    expect_text(root, "model", "assistant");
    expect_text(root, "choices.0.index", "0");
    expect_text(root, "choices.0.message.role", "assistant");
    expect_text(root, "choices.0.message.content", "Hello world");
    expect_text(root, "choices.0.finish_reason", "stop");
    expect_null(root, "choices.0.logprobs");
    expect_text(root, "usage.prompt_tokens", "7");
    expect_text(root, "usage.completion_tokens", "3");
    expect_text(root, "usage.total_tokens", "10");
    expect_text(root, "usage.prompt_tokens_details.cached_tokens", "0");
    expect_text(root, "covey.ensemble", "assistant@1.0.0");
    expect_text(root, "covey.route", "local");
    covey__arena_free(&arena);
    reply_free(&r);
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, SAY("hello")), 200,
           "\"cached_tokens\":5");
}

static void test_whole_text(void **state) {
    (void)state;
    covey__arena arena;
    reply r = client_do(test.port, "POST", TEXT, BEARER JSON, "{\"prompt\":\"a \\\"quote\\\"\"}");
    assert_int_equal(r.status, 200);
    const covey__json *root = parsed(&arena, r.body, r.body_size);
    expect_text(root, "object", "text_completion");
    expect_text(root, "choices.0.text", "a \"quote\"");
    assert_null(at(root, "choices.0.message"));
    covey__arena_free(&arena);
    reply_free(&r);
}

/* One event of a stream at a time; NULL when there is none. */
static char *next_event(char **from) {
    char *event = strstr(*from, "data: ");
    if (!event) return NULL;
    char *stop = strstr(event, "\n\n");
    assert_non_null(stop);
    *stop = 0;
    *from = stop + 2;
    return event + 6;
}

static void test_streamed_chat(void **state) {
    (void)state;
    static const char *const contents[] = {"Hello", " world"};
    covey__arena arena;
    reply r = client_do(test.port, "POST", CHAT, BEARER JSON,
                        "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],"
                        "\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    assert_int_equal(r.status, 200);
    assert_true(r.whole);
    assert_true(head_has(&r, "Content-Type: text/event-stream"));
    assert_true(head_has(&r, "X-Covey-Ensemble: assistant@1.0.0"));
    char *from = r.bytes + (r.body - r.bytes), id[64] = "";
    for (int i = 0; i < 2; i++) {
        char *event = next_event(&from);
        const covey__json *root = parsed(&arena, event, strlen(event));
        expect_text(root, "object", "chat.completion.chunk");
        expect_text(root, "choices.0.delta.content", contents[i]);
        if (i == 0) expect_text(root, "choices.0.delta.role", "assistant");
        expect_null(root, "choices.0.finish_reason");
        if (i == 1) assert_string_equal(at(root, "id")->text, id);
        snprintf(id, sizeof id, "%s", at(root, "id")->text);
        covey__arena_free(&arena);
    }
    char *event = next_event(&from);
    const covey__json *root = parsed(&arena, event, strlen(event));
    expect_text(root, "choices.0.finish_reason", "stop");
    assert_int_equal(at(root, "choices.0.delta")->size, 0);
    expect_text(root, "covey.ensemble", "assistant@1.0.0");
    covey__arena_free(&arena);
    event = next_event(&from);
    root = parsed(&arena, event, strlen(event));
    assert_int_equal(at(root, "choices")->size, 0);
    expect_text(root, "usage.total_tokens", "10");
    covey__arena_free(&arena);
    assert_string_equal(next_event(&from), "[DONE]");
    assert_null(next_event(&from));
    reply_free(&r);
}

static void test_streamed_text(void **state) {
    (void)state;
    reply r =
        client_do(test.port, "POST", TEXT, BEARER JSON, "{\"prompt\":\"hello\",\"stream\":true}");
    assert_true(body_has(&r, "\"text\":\"Hello\""));
    assert_true(body_has(&r, "\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"stop\""));
    assert_null(strstr(r.body, "usage"));
    expect(r, 200, "data: [DONE]\n\n");
}

/* An answer without a word still has its first piece, with the role. */
static void test_streamed_nothing(void **state) {
    (void)state;
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, STREAM("")), 200,
           "\"role\":\"assistant\"");
}

static void test_failures(void **state) {
    (void)state;
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, SAY("long")), 400,
           "\"code\":\"context_length_exceeded\"");
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, SAY("nan")), 500,
           "\"type\":\"server_error\"");
    /* A stream that fails before its first word fails as a whole answer does. */
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, STREAM("long")), 400,
           "{\"error\":{\"message\":\"prompt: 19 tokens");
    assert_int_equal(metric(test.port, "covey_requests_total{outcome=\"failed\"} "), 3);
    /* Numbers that broke are not built upon. */
    assert_int_equal(metric(test.port, "covey_conversations{state=\"open\"} "), 1);
    reply r = client_do(test.port, "POST", CHAT, BEARER JSON, STREAM("breaks"));
    assert_true(r.whole);
    assert_true(body_has(&r, "so far"));
    assert_null(strstr(r.body, "[DONE]"));
    expect(r, 200, "data: {\"error\":{\"message\":\"NaN in the logits");
    await_metric(test.port, "covey_conversations{state=\"open\"} ", 0);
}

static void test_options_reach_the_backend(void **state) {
    (void)state;
    expect(client_do(test.port, "POST", CHAT, BEARER JSON,
                     "{\"messages\":[{\"role\":\"developer\",\"content\":\"be brief\"},"
                     "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hel\"},"
                     "{\"type\":\"text\",\"text\":\"lo\"}]}],\"stop\":[\"END\",\"x\"],"
                     "\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40,\"min_p\":0.1,\"seed\":9,"
                     "\"max_completion_tokens\":12,\"repetition_penalty\":1.25}"),
           200, "Hello world");
    assert_int_equal(test.one.last_message_count, 2);
    assert_string_equal(test.one.last_role, "system");
    assert_int_equal(test.one.last_stop_count, 2);
    assert_string_equal(test.one.last_stop, "END");
    assert_int_equal(test.one.last.tokens_max, 12);
    assert_int_equal(test.one.last_sampling.top_k, 40);
    assert_int_equal(test.one.last_sampling.seed, 9);
    assert_true(test.one.last_sampling.temperature == 0.5f);
    assert_true(test.one.last_sampling.top_p == 0.9f);
    assert_true(test.one.last_sampling.min_p == 0.1f);
    assert_true(test.one.last_sampling.repetition_penalty == 1.25f);
}

/* ---- Conversations and backends ---- */

#define TALK(id) BEARER JSON "X-Covey-Conversation: " id "\r\n"

static void expect_from(const char *headers, const char *body, const char *label) {
    char wanted[128];
    reply r = client_do(test.port, "POST", CHAT, headers, body);
    snprintf(wanted, sizeof wanted, "X-Covey-Ensemble: %s\r\n", label);
    if (!head_has(&r, wanted)) fail_msg("expected %s, found %s", label, r.head);
    expect(r, 200, label[0] ? label : NULL);
}

static void test_conversations_stay(void **state) {
    (void)state;
    expect_from(TALK("a"), SAY("hello"), "assistant@1.0.0");
    expect_from(TALK("b"), SAY("hello"), "assistant@1.0.0");
    int file = client_ask(test.port, "POST", CHAT, TALK("c"), STREAM("hold"));
    reply held = {0};
    client_read_until(file, &held, "one ");
    served_set(&test, &test.two, "assistant@1.1.0");
    assert_int_equal(covey_server_draining(test.server), 3);
    expect_from(BEARER JSON, SAY("hello"), "assistant@1.1.0");
    expect_from(TALK("new"), SAY("hello"), "assistant@1.1.0");
    expect_from(TALK("a"), SAY("hello"), "assistant@1.0.0");
    expect_from(TALK("a"), STREAM("hello"), "assistant@1.0.0");
    double_release(&test.one);
    held = client_finish(file, held);
    assert_true(body_has(&held, "two"));
    assert_true(head_has(&held, "X-Covey-Ensemble: assistant@1.0.0"));
    expect(held, 200, "[DONE]");
    assert_false(test.one.destroyed);
    expect(client_do(test.port, "GET", "/v1/models", BEARER, NULL), 200, "assistant@1.1.0");
}

static int end_two(void **state) {
    (void)state;
    served_end(&test, true);
    return 0;
}

static void test_bad_conversation_name(void **state) {
    (void)state;
    expect(client_do(test.port, "POST", CHAT, TALK("a b"), SAY("hello")), 400,
           "X-Covey-Conversation");
    expect(client_do(test.port, "POST", CHAT,
                     TALK("0123456789012345678901234567890123456789012345678901234567890123456"),
                     SAY("hello")),
           400, "64");
}

/* One conversation, in use: the next request waits for its time and is told so. */
static void test_queue_timeout(void **state) {
    (void)state;
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    options.token = TOKEN;
    options.conversations_max = 1;
    options.queue_timeout_ms = 30;
    begin_with(&options);
    int file = client_ask(test.port, "POST", CHAT, BEARER JSON, STREAM("hold"));
    reply held = {0};
    client_read_until(file, &held, "one ");
    reply r = client_do(test.port, "POST", CHAT, BEARER JSON, SAY("hello"));
    assert_true(head_has(&r, "Retry-After: 1"));
    expect(r, 503, "\"code\":\"busy\"");
    double_release(&test.one);
    expect(client_finish(file, held), 200, "[DONE]");
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, SAY("hello")), 200, "Hello world");
    served_end(&test, false);
}

/* ---- Clients that leave ---- */

static void leave_while(const char *body, const char *seen, bool wait_for_backend) {
    int file = client_ask(test.port, "POST", CHAT, BEARER JSON, body);
    reply begun = {0};
    if (seen) client_read_until(file, &begun, seen);
    if (wait_for_backend) double_await(&test.one, &test.one.waiting, 1);
    close(file);
    reply_free(&begun);
    double_await(&test.one, &test.one.answering, 0);
}

static void test_client_leaves(void **state) {
    (void)state;
    static const char cancelled[] = "covey_requests_total{outcome=\"cancelled\"} ";
    leave_while(STREAM("endless"), "all work", false); /* while it reads */
    await_metric(test.port, cancelled, 1);
    leave_while(STREAM("hold"), "one ", true); /* between two pieces */
    await_metric(test.port, cancelled, 2);
    leave_while(STREAM("quiet"), NULL, true); /* in the prompt */
    await_metric(test.port, cancelled, 3);
    leave_while(SAY("endless"), NULL, false); /* while a whole answer forms */
    await_metric(test.port, cancelled, 4);
    /* Its conversation is free and answers the next as if nothing had been. */
    assert_int_equal(metric(test.port, "covey_conversations{state=\"open\"} "), 1);
    expect(client_do(test.port, "POST", CHAT, BEARER JSON, SAY("hello")), 200, "Hello world");
    assert_int_equal(metric(test.port, "covey_requests_total{outcome=\"ok\"} "), 1);
}

/* A client that reads nothing slows its model down, and no more than a bounded queue is kept. */
static void test_slow_reader(void **state) {
    (void)state;
    int file = client_ask(test.port, "POST", CHAT, BEARER JSON, STREAM("endless"));
    reply r = {0};
    for (size_t seen = 0; seen < (1u << 20); seen = r.size)
        if (!client_read_some(file, &r)) fail_msg("the stream ended");
    close(file);
    reply_free(&r);
    double_await(&test.one, &test.one.answering, 0);
}

/* ---- Closing ---- */

typedef struct closer {
    covey_server *server;
    int64_t grace_ms;
    pthread_t thread;
} closer;

static void *close_server(void *user) {
    closer *c = user;
    covey_server_close(c->server, c->grace_ms);
    return NULL;
}

static void closing(closer *c, int64_t grace_ms) {
    *c = (closer){.server = test.server, .grace_ms = grace_ms};
    assert_int_equal(pthread_create(&c->thread, NULL, close_server, c), 0);
}

static void closed(closer *c) {
    pthread_join(c->thread, NULL);
    double_free(&test.one);
    covey_runtime_close(test.runtime);
}

/* Waits until nobody accepts any more. */
static void await_refused(uint16_t port) {
    struct timespec pause = {0, 2000000};
    for (int waited = 0;; waited += 2) {
        int file = client_open(port);
        if (file < 0) return;
        close(file);
        if (waited > PATIENCE_MS) fail_msg("it still accepts");
        nanosleep(&pause, NULL);
    }
}

/* Within the grace an answer ends whole, while new ones are refused. */
static void test_close_lets_answers_end(void **state) {
    (void)state;
    closer c;
    int file = client_ask(test.port, "POST", CHAT, BEARER JSON, STREAM("hold"));
    int other = client_ask(test.port, "POST", CHAT, TALK("x"), SAY("hold"));
    reply held = {0};
    client_read_until(file, &held, "one ");
    double_await(&test.one, &test.one.waiting, 2);
    closing(&c, PATIENCE_MS);
    await_refused(test.port);
    double_release(&test.one);
    double_release(&test.one);
    held = client_finish(file, held);
    assert_true(held.whole);
    expect(held, 200, "[DONE]");
    expect(client_finish(other, (reply){0}), 200, "one two");
    closed(&c);
}

/* After it, an answer is cut, and says that it is not whole. */
static void test_close_cuts(void **state) {
    (void)state;
    closer c;
    int streamed = client_ask(test.port, "POST", CHAT, BEARER JSON, STREAM("endless"));
    int quiet = client_ask(test.port, "POST", CHAT, TALK("x"), SAY("quiet"));
    int silent = client_ask(test.port, "POST", CHAT, TALK("z"), STREAM("quiet"));
    int unread = client_ask(test.port, "POST", CHAT, TALK("y"), STREAM("endless"));
    reply begun = {0};
    client_read_until(streamed, &begun, "all work");
    double_await(&test.one, &test.one.answering, 4);
    closing(&c, 10);
    begun = client_finish(streamed, begun);
    assert_null(strstr(begun.body, "[DONE]"));
    expect(begun, 200, "\"code\":\"cancelled\"");
    expect(client_finish(quiet, (reply){0}), 503, "the server is stopping");
    expect(client_finish(silent, (reply){0}), 503, "the server is stopping");
    closed(&c);
    close(unread);
}

/* ---- Tools, scores, several answers, vectors ---- */

#define OFFER            ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
#define ASK(words, more) "{\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}]" more "}"
#define CALL             "{\\\"name\\\":\\\"f\\\",\\\"arguments\\\":{\\\"x\\\":1}}"

static const covey__json *ask(covey__arena *arena, const char *url, const char *body, int status) {
    reply r = client_do(test.port, "POST", url, BEARER JSON, body);
    if (r.status != status) fail_msg("%s: %d: %.*s", body, r.status, (int)r.body_size, r.body);
    const covey__json *root = parsed(arena, r.body, r.body_size);
    reply_free(&r);
    return root;
}

static void test_tool_calls(void **state) {
    (void)state;
    covey__arena arena;
    const covey__json *root = ask(&arena, CHAT, ASK(CALL, OFFER), 200);
    expect_null(root, "choices.0.message.content");
    expect_text(root, "choices.0.message.tool_calls.0.function.name", "f");
    expect_text(root, "choices.0.message.tool_calls.0.function.arguments", "{\"x\":1}");
    expect_text(root, "choices.0.message.tool_calls.0.type", "function");
    expect_text(root, "choices.0.finish_reason", "tool_calls");
    covey__arena_free(&arena);
    root = ask(&arena, CHAT, ASK("Well. <tool_call>" CALL "</tool_call>", OFFER), 200);
    expect_text(root, "choices.0.message.content", "Well. ");
    expect_text(root, "choices.0.message.tool_calls.0.function.name", "f");
    covey__arena_free(&arena);
    static const char *const no_calls[] = {
        ASK(CALL, ""), ASK("{\\\"name\\\":\\\"g\\\",\\\"arguments\\\":{}}", OFFER),
        ASK("{ not JSON", OFFER), ASK(CALL, OFFER ",\"tool_choice\":\"none\"")};
    for (size_t i = 0; i < sizeof no_calls / sizeof *no_calls; i++) {
        root = ask(&arena, CHAT, no_calls[i], 200);
        expect_text(root, "choices.0.finish_reason", "stop");
        assert_null(at(root, "choices.0.message.tool_calls"));
        assert_int_equal(at(root, "choices.0.message.content")->text[0], '{');
        covey__arena_free(&arena);
    }
}

#define OFFER_SCHEMA                                                                               \
    ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"    \
    "\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"o\":{\"$ref\":\"#/$defs/o\"}},"     \
    "\"required\":[\"a\"],\"additionalProperties\":false,\"$defs\":{\"o\":{\"type\":\"object\","   \
    "\"properties\":{\"x\":{\"type\":\"string\"},\"y\":{\"type\":\"boolean\"}}}}}}}]"
/* Members by the names of keywords. */
#define OFFER_NAMED                                                                                \
    ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"    \
    "\"object\",\"properties\":{\"default\":{\"$ref\":\"#/$defs/const\"},\"properties\":{"         \
    "\"$ref\":\"#/$defs/const\"}},\"$defs\":{\"const\":{\"type\":\"integer\",\"default\":{"        \
    "\"$ref\":\"#\"}}}}}}]"
#define TAGGED(arguments)                                                                          \
    "<tool_call>{\\\"name\\\":\\\"f\\\",\\\"arguments\\\":" arguments "}</tool_call>"

/* Calls of the model's own choice are held to the schema, whatever the order of members. */
static void test_tool_arguments(void **state) {
    (void)state;
    covey__arena arena;
    static const char *const fit[] = {
        ASK(TAGGED("{\\\"a\\\":1}"), OFFER_SCHEMA),
        ASK(TAGGED("{\\\"default\\\":1,\\\"properties\\\":2}"), OFFER_NAMED),
        ASK(TAGGED("{\\\"o\\\":{\\\"y\\\":true,\\\"x\\\":\\\"\\\"},\\\"a\\\":-7}"), OFFER_SCHEMA)};
    static const struct {
        const char *body, *code, *tool;
    } broken[] = {
        {ASK(TAGGED("{\\\"a\\\":\\\"one\\\"}"), OFFER_SCHEMA), "tool_arguments_invalid", "f"},
        {ASK(TAGGED("{}"), OFFER_SCHEMA), "tool_arguments_invalid", "f"},
        {ASK(TAGGED("{\\\"a\\\":1,\\\"b\\\":2}"), OFFER_SCHEMA), "tool_arguments_invalid", "f"},
        {ASK(TAGGED("{\\\"a\\\":1,\\\"o\\\":{\\\"y\\\":1}}"), OFFER_SCHEMA),
         "tool_arguments_invalid", "f"},
        {ASK(TAGGED("3"), OFFER_SCHEMA), "tool_arguments_invalid", "f"},
        {ASK(TAGGED("{\\\"a\\\":"), OFFER_SCHEMA), "tool_call_invalid", NULL},
        {ASK("<tool_call>{\\\"name\\\":\\\"g\\\"}</tool_call>", OFFER_SCHEMA), "tool_unknown", "g"},
        {ASK("{\\\"name\\\":\\\"f\\\",\\\"arguments\\\":{}}", OFFER_SCHEMA),
         "tool_arguments_invalid", "f"},
    };
    for (size_t i = 0; i < sizeof fit / sizeof *fit; i++) {
        const covey__json *root = ask(&arena, CHAT, fit[i], 200);
        expect_text(root, "choices.0.finish_reason", "tool_calls");
        assert_null(at(root, "choices.0.tool_call_error"));
        covey__arena_free(&arena);
    }
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        const covey__json *root = ask(&arena, CHAT, broken[i].body, 200);
        expect_text(root, "choices.0.finish_reason", "stop");
        assert_null(at(root, "choices.0.message.tool_calls"));
        assert_non_null(strstr(at(root, "choices.0.message.content")->text, "name"));
        expect_text(root, "choices.0.tool_call_error.code", broken[i].code);
        if (broken[i].tool)
            expect_text(root, "choices.0.tool_call_error.tool", broken[i].tool);
        else
            expect_null(root, "choices.0.tool_call_error.tool");
        covey__arena_free(&arena);
    }
}

/* A model whose template has no place for tools is told of them in the first message. */
static void test_tools_in_words(void **state) {
    (void)state;
    covey__arena arena;
    test.one.no_tools = true;
    const covey__json *root = ask(&arena, CHAT, ASK("weather?", OFFER_SCHEMA), 200);
    const char *said = at(root, "choices.0.message.content")->text;
    assert_non_null(strstr(said, "<tools>\n{\"name\":\"f\""));
    assert_non_null(strstr(said, "</tools>"));
    assert_non_null(strstr(said, "\n\nweather?"));
    covey__arena_free(&arena);
    root = ask(&arena, CHAT, ASK("weather?", OFFER_SCHEMA ",\"tool_choice\":\"none\""), 200);
    expect_text(root, "choices.0.message.content", "weather?");
    covey__arena_free(&arena);
    root = ask(&arena, CHAT,
               "{\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},"
               "{\"role\":\"user\",\"content\":\"weather?\"},"
               "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"type\":"
               "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},"
               "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"sun\"},"
               "{\"role\":\"tool\",\"tool_call_id\":\"2\",\"content\":\"rain\"}]" OFFER_SCHEMA "}",
               200);
    expect_text(root, "choices.0.message.content",
                "<tool_response>\nsun\n</tool_response>\n<tool_response>\nrain\n</tool_response>");
    assert_int_equal(test.one.last_message_count, 4);
    assert_string_equal(test.one.last_role, "system");
    covey__arena_free(&arena);
}

static void expect_param(const char *url, const char *body, const char *param) {
    covey__arena arena;
    reply r = client_do(test.port, "POST", url, BEARER JSON, body);
    const covey__json *root = parsed(&arena, r.body, r.body_size);
    const covey__json *found = at(root, "error.param");
    if (r.status < 400 || !found) fail_msg("%s: %d: %s", body, r.status, r.body);
    if (param ? found->kind != COVEY__JSON_STRING || strcmp(found->text, param) != 0
              : found->kind != COVEY__JSON_NULL)
        fail_msg("%s: expected %s in %s", body, param ? param : "null", r.body);
    covey__arena_free(&arena);
    reply_free(&r);
}

#define BAD_TOOL(name)                                                                             \
    ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"                           \
    "{\"type\":\"function\",\"function\":{\"name\":\"" name "\"}}]"

#define WITH_NOT(choice)                                                                           \
    ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"g\"}},{\"type\":\"function\","    \
    "\"function\":{\"name\":\"f\",\"parameters\":{\"not\":{}}}}]" choice

static void test_params(void **state) {
    (void)state;
    expect_param(CHAT, ASK("x", ",\"temperature\":-1"), "temperature");
    expect_param(CHAT, ASK("x", ",\"temprature\":1"), "temprature");
    expect_param(CHAT, ASK("x", ",\"presence_penalty\":1"), "presence_penalty");
    expect_param(CHAT, ASK("x", ",\"echo\":true"), "echo");
    expect_param(CHAT, ASK("x", ",\"stop\":[1]"), "stop");
    expect_param(CHAT, ASK("x", ",\"stream_options\":{\"x\":1}"), "stream_options.x");
    expect_param(CHAT, ASK("x", ",\"grammar\":\"root ::= (\""), "grammar");
    expect_param(CHAT, ASK("x", ",\"chat_template_kwargs\":{\"tools\":1}"),
                 "chat_template_kwargs.tools");
    expect_param(CHAT, "{}", "messages");
    expect_param(CHAT, "{\"messages\":[{\"role\":\"me\",\"content\":\"\"}]}", "messages[0].role");
    expect_param(CHAT, "{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content");
    expect_param(CHAT, SAY("long"), "messages");
    expect_param(CHAT, SAY("nan"), NULL);
    expect_param(CHAT, "not JSON", NULL);
    expect_param(CHAT, "[]", NULL);
    expect_param(CHAT, ASK("x", BAD_TOOL("f")), "tools[1].function.name");
    expect_param(CHAT, ASK("x", BAD_TOOL("")), "tools[1].function.name");
    expect_param(CHAT, ASK("x", BAD_TOOL("a.b")), "tools[1].function.name");
    expect_param(CHAT,
                 ASK("x", BAD_TOOL("12345678901234567890123456789012345678901234567890"
                                   "123456789012345")),
                 "tools[1].function.name");
    expect_param(CHAT, ASK("x", WITH_NOT("")), "tools[1].function.parameters");
    expect_param(CHAT,
                 ASK("x", WITH_NOT(",\"tool_choice\":{\"type\":\"function\",\"function\":{"
                                   "\"name\":\"f\"}}")),
                 "tools[1].function.parameters");
    expect_param(CHAT,
                 ASK("x", ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                          "\"schema\":{\"not\":{}}}}"),
                 "response_format");
    expect_param(TEXT, "{\"prompt\":1}", "prompt");
    expect_param(TEXT, "{\"prompt\":\"x\",\"tools\":[]}", "tools");
    expect_param(TEXT, "{\"prompt\":\"long\"}", "prompt");
    expect_param("/v1/embeddings", "{\"input\":[\"a\",\"\"]}", "input[1]");
    expect_param("/v1/embeddings", "{\"input\":[\"a\",\"nan\"]}", "input[1]");
    expect_param("/v1/embeddings", "{\"input\":\"x\",\"dimensions\":5}", "dimensions");
    expect_param("/v1/embeddings", "{\"input\":\"x\",\"truncate\":true}", "truncate");
}

static void expect_stream(const char *body, const char *const *parts) {
    reply r = client_do(test.port, "POST", CHAT, BEARER JSON, body);
    assert_int_equal(r.status, 200);
    for (; *parts; parts++)
        if (!strstr(r.body, *parts)) fail_msg("no %s in %s", *parts, r.body);
    reply_free(&r);
}

/* An answer that ran out of tokens says so, whole and streamed, under a format too. */
static void test_cut(void **state) {
    (void)state;
    covey__arena arena;
    static const char *const length[] = {"half", "\"finish_reason\":\"length\"", "[DONE]", NULL};
#define AS_JSON ",\"response_format\":{\"type\":\"json_object\"}"
    const covey__json *root = ask(&arena, CHAT, ASK("cut", AS_JSON), 200);
    expect_text(root, "choices.0.finish_reason", "length");
    covey__arena_free(&arena);
    expect_stream(ASK("cut", AS_JSON ",\"stream\":true"), length);
    root = ask(&arena, TEXT, "{\"prompt\":\"cut\"" AS_JSON "}", 200);
    expect_text(root, "choices.0.finish_reason", "length");
    covey__arena_free(&arena);
}

static void test_streamed_tool_calls(void **state) {
    (void)state;
    static const char *const call[] = {"\"tool_calls\":[{\"index\":0,\"id\":\"call_",
                                       "\"arguments\":\"{\\\"x\\\":1}\"",
                                       "\"finish_reason\":\"tool_calls\"", "[DONE]", NULL};
    static const char *const text[] = {"\"content\":\"Hello\"", "\"finish_reason\":\"stop\"", NULL};
    static const char *const both[] = {"\"content\":\"So: \"", "\"name\":\"f\"", NULL};
    static const char *const neither[] = {"\"content\":\"<tool_\"", "\"finish_reason\":\"stop\"",
                                          NULL};
    expect_stream(ASK(CALL, OFFER ",\"stream\":true"), call);
    expect_stream(ASK("hello", OFFER ",\"stream\":true"), text);
    static const char *const broken[] = {"\"content\":\"<tool_call>{",
                                         "\"finish_reason\":\"stop\",\"tool_call_error\":{\"code\":"
                                         "\"tool_arguments_invalid\",\"tool\":\"f\"",
                                         NULL};
    expect_stream(ASK(TAGGED("{}"), OFFER_SCHEMA ",\"stream\":true"), broken);
    expect_stream(ASK("So: <tool_call>" CALL, OFFER ",\"stream\":true"), both);
    expect_stream(ASK("<tool_", OFFER ",\"stream\":true"), neither);
}

static void test_logprobs(void **state) {
    (void)state;
    covey__arena arena;
    const covey__json *root =
        ask(&arena, CHAT, ASK("ab cd", ",\"logprobs\":true,\"top_logprobs\":2"), 200);
    expect_text(root, "choices.0.logprobs.content.0.token", "xxx");
    expect_text(root, "choices.0.logprobs.content.0.logprob", "-0.5");
    expect_text(root, "choices.0.logprobs.content.1.top_logprobs.1.token", "xxxxx");
    assert_null(at(root, "choices.0.logprobs.content.2"));
    covey__arena_free(&arena);
    root = ask(&arena, TEXT, "{\"prompt\":\"ab cd\",\"logprobs\":1}", 200);
    expect_text(root, "choices.0.logprobs.tokens.1", "xx");
    expect_text(root, "choices.0.logprobs.text_offset.1", "3");
    expect_text(root, "choices.0.logprobs.top_logprobs.0.xxx", "-0.25");
    covey__arena_free(&arena);
    static const char *const streamed[] = {"\"logprobs\":{\"content\":[{\"token\":\"xxx\"", NULL};
    expect_stream(ASK("ab cd", ",\"logprobs\":true,\"stream\":true"), streamed);
}

static void test_several_answers(void **state) {
    (void)state;
    covey__arena arena;
    const covey__json *root = ask(&arena, CHAT, ASK("hello", ",\"n\":3,\"seed\":5"), 200);
    expect_text(root, "choices.2.message.content", "Hello world");
    expect_text(root, "choices.2.index", "2");
    expect_text(root, "usage.completion_tokens", "9");
    expect_text(root, "usage.prompt_tokens", "7");
    assert_null(at(root, "choices.3"));
    assert_true(test.one.last_sampling.seed == 7); /* the third's */
    covey__arena_free(&arena);
    static const char *const parts[] = {"\"index\":0", "\"index\":1", "[DONE]", NULL};
    expect_stream(ASK("hello", ",\"n\":2,\"stream\":true"), parts);
}

static void test_embeddings(void **state) {
    (void)state;
    covey__arena arena;
    const char *url = "/v1/embeddings";
    const covey__json *root = ask(&arena, url, "{\"model\":\"m\",\"input\":[\"ab\",\"abc\"]}", 200);
    expect_text(root, "data.1.embedding.0", "3");
    expect_text(root, "data.1.index", "1");
    expect_text(root, "usage.total_tokens", "5");
    covey__arena_free(&arena);
    root =
        ask(&arena, url, "{\"input\":\"ab\",\"encoding_format\":\"base64\",\"dimensions\":2}", 200);
    expect_text(root, "data.0.embedding", "AAAAQAAAgD8="); /* 2.0f, 1.0f */
    covey__arena_free(&arena);
    static const char *const refused[] = {"{\"input\":[]}",
                                          "{\"input\":[1,2]}",
                                          "{\"input\":\"\"}",
                                          "{\"input\":\"x\",\"dimensions\":5}",
                                          "{}",
                                          "{\"input\":\"x\",\"encoding_format\":\"int8\"}",
                                          "{\"input\":\"x\",\"truncate\":true}"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        ask(&arena, url, refused[i], 400);
        covey__arena_free(&arena);
    }
    long refusals = metric(test.port, "covey_requests_total{outcome=\"refused\"} ");
    long failures = metric(test.port, "covey_requests_total{outcome=\"failed\"} ");
    assert_int_equal(refusals, sizeof refused / sizeof *refused);
    ask(&arena, url, "{\"input\":\"nan\"}", 500);
    covey__arena_free(&arena);
    assert_int_equal(metric(test.port, "covey_requests_total{outcome=\"refused\"} "), refusals);
    assert_int_equal(metric(test.port, "covey_requests_total{outcome=\"failed\"} "), failures + 1);
}

/* Embeddings wait their turn among the answers that are computed. */
static void test_embeddings_wait(void **state) {
    (void)state;
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    options.parallel_max = 1;
    options.queue_timeout_ms = 1;
    options.token = TOKEN;
    begin_with(&options);
    int held = client_ask(test.port, "POST", CHAT, BEARER JSON, SAY("hold"));
    double_await(&test.one, &test.one.waiting, 1);
    expect(client_do(test.port, "POST", "/v1/embeddings", BEARER JSON, "{\"input\":\"x\"}"), 503,
           "\"code\":\"busy\"");
    double_release(&test.one);
    expect(client_finish(held, (reply){0}), 200, "one two");
    expect(client_do(test.port, "POST", "/v1/embeddings", BEARER JSON, "{\"input\":\"x\"}"), 200,
           "embedding");
    served_end(&test, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tool_calls, begin, end),
        cmocka_unit_test_setup_teardown(test_tool_arguments, begin, end),
        cmocka_unit_test_setup_teardown(test_tools_in_words, begin, end),
        cmocka_unit_test_setup_teardown(test_params, begin, end),
        cmocka_unit_test_setup_teardown(test_cut, begin, end),
        cmocka_unit_test_setup_teardown(test_streamed_tool_calls, begin, end),
        cmocka_unit_test_setup_teardown(test_logprobs, begin, end),
        cmocka_unit_test_setup_teardown(test_several_answers, begin, end),
        cmocka_unit_test_setup_teardown(test_embeddings, begin, end),
        cmocka_unit_test(test_embeddings_wait),
        cmocka_unit_test_setup_teardown(test_whole_chat, begin, end),
        cmocka_unit_test_setup_teardown(test_whole_text, begin, end),
        cmocka_unit_test_setup_teardown(test_streamed_chat, begin, end),
        cmocka_unit_test_setup_teardown(test_streamed_text, begin, end),
        cmocka_unit_test_setup_teardown(test_streamed_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_failures, begin, end),
        cmocka_unit_test_setup_teardown(test_options_reach_the_backend, begin, end),
        cmocka_unit_test_setup_teardown(test_conversations_stay, begin, end_two),
        cmocka_unit_test_setup_teardown(test_bad_conversation_name, begin, end),
        cmocka_unit_test(test_queue_timeout),
        cmocka_unit_test_setup_teardown(test_client_leaves, begin, end),
        cmocka_unit_test_setup_teardown(test_slow_reader, begin, end),
        cmocka_unit_test_setup(test_close_lets_answers_end, begin),
        cmocka_unit_test_setup(test_close_cuts, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
