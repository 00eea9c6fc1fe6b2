/* Adapters over HTTP, on the engine: what requests choose, what answers say of it, and that
 * requests with other adapters at the same time get the very numbers that each gets alone. */
#include "../engine/synthetic_lora.h"

#include "serve_client.h"

#include <covey/serve.h>

#include <stdlib.h>

static covey_runtime *runtime;

static const char template_text[] =
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

static int begin(void **state) {
    make_folder(state);
    synthetic s = SYNTHETIC_ODD;
    made one = MADE_PLAIN, two = MADE_PLAIN;
    s.context = 128;
    s.gain = 4.0f;
    s.chat_template = template_text;
    two.seed = 9;
    write_synthetic(&s, in_folder("small.gguf"));
    write_adapter(in_folder("small.gguf"), &one, in_folder("one.gguf"));
    write_adapter(in_folder("small.gguf"), &two, in_folder("two.gguf"));
    runtime = open_runtime(1, NULL);
    return 0;
}

static int finish(void **state) {
    covey_runtime_close(runtime);
    return remove_folder(state);
}

/* one.gguf at 0.7 by default, two.gguf at 0.25 on request. */
static covey_server *serve(int32_t parallel, bool alone, bool adapters) {
    covey_error error = {.message = ""};
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    covey_local_options local = COVEY_LOCAL_OPTIONS_INIT;
    covey_session_options session = COVEY_SESSION_OPTIONS_INIT;
    covey_adapter_offer offers[] = {{NULL, 0.7f, false}, {NULL, 0.25f, true}};
    covey_server *server = NULL;
    covey_backend *backend = NULL;
    covey_model *model = open_model(runtime, in_folder("small.gguf"));
    must(covey_adapter_open(model, in_folder("one.gguf"), &offers[0].adapter, &error), &error);
    must(covey_adapter_open(model, in_folder("two.gguf"), &offers[1].adapter, &error), &error);
    session.alone = alone;
    local.session = &session;
    local.conversations_max = 4;
    local.adapters = offers;
    local.adapter_count = adapters ? 2 : 0;
    options.token = TOKEN;
    options.parallel_max = parallel;
    must(covey_backend_local_with(runtime, model, &local, &backend, &error), &error);
    must(covey_server_open(runtime, &options, &server, &error), &error);
    must(covey_server_set_backend(server, backend, "small@1.0.0", "small", &error), &error);
    covey_backend_release(backend);
    covey_adapter_close(offers[0].adapter);
    covey_adapter_close(offers[1].adapter);
    return server;
}

static void expect_in(const reply *r, int status, const char *text) {
    if (r->status != status || !strstr(r->body, text))
        fail_msg("expected %d with %s, found %d: %s", status, text, r->status, r->body);
}

#define CHAT "/v1/chat/completions"
#define ASK(more)                                                                                  \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"tell me of the sea\"}],\"max_tokens\":8,"     \
    "\"logprobs\":true,\"top_logprobs\":2" more "}"

static const struct {
    const char *body, *adapters;
} asked[] = {
    {ASK(""), "\"adapters\":[{\"id\":0,\"name\":\"one.gguf\",\"scale\":0.7,\"sha256\":"},
    {ASK(",\"lora\":null"), "\"adapters\":[{\"id\":0,\"name\":\"one.gguf\",\"scale\":0.7,"},
    {ASK(",\"lora\":[]"), "\"adapters\":[]"},
    {ASK(",\"lora\":[{\"id\":1}]"),
     "\"adapters\":[{\"id\":1,\"name\":\"two.gguf\",\"scale\":0.25,"},
    {ASK(",\"lora\":[{\"id\":1,\"scale\":-1.5},{\"id\":0,\"scale\":0}]"),
     "\"adapters\":[{\"id\":1,\"name\":\"two.gguf\",\"scale\":-1.5,"},
    {ASK(",\"lora\":[{\"id\":1,\"scale\":0.5},{\"id\":0,\"scale\":1}]"),
     "\"adapters\":[{\"id\":0,\"name\":\"one.gguf\",\"scale\":1,"},
};
#define ASKED (sizeof asked / sizeof *asked)

/* What the model said, with its log-probabilities, digit by digit. */
static char *said(const reply *r) {
    const char *from = strstr(r->body, "\"choices\":"), *to = strstr(r->body, "\"usage\":");
    if (r->status != 200 || !from || !to) fail_msg("%d: %s", r->status, r->body);
    char *copy = calloc(1, (size_t)(to - from) + 1);
    assert_non_null(copy);
    memcpy(copy, from, (size_t)(to - from));
    return copy;
}

static void test_requests_choose(void **state) {
    (void)state;
    char *solo[ASKED];
    covey_server *server = serve(1, true, true);
    for (size_t i = 0; i < ASKED; i++) {
        reply r = client_do(covey_server_port(server), "POST", CHAT, BEARER JSON, asked[i].body);
        expect_in(&r, 200, asked[i].adapters);
        expect_in(&r, 200, "\"ensemble\":\"small@1.0.0\"");
        solo[i] = said(&r);
        reply_free(&r);
    }
    assert_string_equal(solo[0], solo[1]);
    for (size_t i = 2; i < ASKED; i++)
        for (size_t k = 1; k < i; k++) assert_string_not_equal(solo[i], solo[k]);
    covey_server_close(server, 0);
    server = serve(4, false, true);
    for (int round = 0; round < 3; round++) {
        int files[2 * ASKED];
        for (size_t i = 0; i < 2 * ASKED; i++) /* all at once, each set twice */
            files[i] = client_ask(covey_server_port(server), "POST", CHAT, BEARER JSON,
                                  asked[i % ASKED].body);
        for (size_t i = 0; i < 2 * ASKED; i++) {
            reply r = client_finish(files[i], (reply){0});
            expect_in(&r, 200, asked[i % ASKED].adapters);
            char *found = said(&r);
            assert_string_equal(found, solo[i % ASKED]);
            free(found);
            reply_free(&r);
        }
    }
    for (size_t i = 0; i < ASKED; i++) free(solo[i]);
    covey_server_close(server, 0);
}

static void test_one_conversation_changes_adapters(void **state) {
    (void)state;
    covey_server *server = serve(2, false, true);
    uint16_t port = covey_server_port(server);
    char *first[2] = {NULL, NULL};
    for (int i = 0; i < 6; i++) {
        reply r = client_do(port, "POST", CHAT, BEARER JSON "X-Covey-Conversation: one\r\n",
                            asked[i % 2 ? 2 : 0].body);
        expect_in(&r, 200, asked[i % 2 ? 2 : 0].adapters);
        char *found = said(&r);
        if (i < 2) {
            first[i] = found;
        } else {
            assert_string_equal(found, first[i % 2]);
            assert_null(strstr(r.body, "\"cached_tokens\":0}")); /* found again in the tree */
            free(found);
        }
        reply_free(&r);
    }
    free(first[0]);
    free(first[1]);
    covey_server_close(server, 0);
}

static void test_a_stream_says_it_too(void **state) {
    (void)state;
    covey_server *server = serve(1, false, true);
    reply r = client_do(covey_server_port(server), "POST", "/v1/completions", BEARER JSON,
                        "{\"prompt\":\"x\",\"max_tokens\":3,\"stream\":true,"
                        "\"lora\":[{\"id\":1,\"scale\":2}]}");
    expect_in(&r, 200, "\"adapters\":[{\"id\":1,\"name\":\"two.gguf\",\"scale\":2,");
    reply_free(&r);
    covey_server_close(server, 0);
}

static void test_what_is_offered(void **state) {
    (void)state;
    covey_server *server = serve(1, false, true);
    uint16_t port = covey_server_port(server);
    static const char list[] =
        "[{\"id\":0,\"path\":\"one.gguf\",\"scale\":0.7,\"on_request\":false,"
        "\"request_scale\":0.7,\"sha256\":\"";
    static const char second[] = ",{\"id\":1,\"path\":\"two.gguf\",\"scale\":0,\"on_request\":true,"
                                 "\"request_scale\":0.25,\"sha256\":\"";
    static const char *const urls[] = {"/lora-adapters", "/v1/models"};
    for (int i = 0; i < 2; i++) {
        reply r = client_do(port, "GET", urls[i], BEARER, NULL);
        expect_in(&r, 200, list);
        expect_in(&r, 200, second);
        reply_free(&r);
    }
    reply r = client_do(port, "POST", "/lora-adapters", BEARER JSON, "[]");
    assert_int_equal(r.status, 405);
    reply_free(&r);
    r = client_do(port, "GET", "/lora-adapters", "", NULL);
    assert_int_equal(r.status, 401);
    reply_free(&r);
    covey_server_close(server, 0);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *lora, *message, *param;
    } bad[] = {
        {"{}", "lora: expected an array", "\"param\":\"lora\""},
        {"[1]", "lora[0]: expected an object", "\"param\":\"lora[0]\""},
        {"[{\"scale\":1}]", "lora[0].id: expected the number", "\"param\":\"lora[0].id\""},
        {"[{\"id\":0.5}]", "lora[0].id: expected the number", "\"param\":\"lora[0].id\""},
        {"[{\"id\":-1}]", "lora[0].id: expected the number", "\"param\":\"lora[0].id\""},
        {"[{\"id\":0,\"scale\":\"1\"}]", "lora[0].scale: expected", "\"param\":\"lora[0].scale\""},
        {"[{\"id\":0,\"scale\":1e9}]", "lora[0].scale: expected", "\"param\":\"lora[0].scale\""},
        {"[{\"id\":0,\"name\":1}]", "lora[0].name is not supported", "\"param\":\"lora[0].name\""},
        {"[{\"id\":0},{\"id\":0}]", "lora[1].id: adapter 0 is named", "\"param\":\"lora[1].id\""},
        {"[{\"id\":0},{\"id\":7}]", "lora[1].id: there is no adapter 7; there are 2",
         "\"param\":\"lora[1].id\""},
        {"[0,1,2,3,4,5,6,7,8]", "lora: expected an array of at most 8", "\"param\":\"lora\""},
    };
    covey_server *server = serve(1, false, true), *bare = serve(1, false, false);
    char body[300];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(body, sizeof body, "{\"prompt\":\"x\",\"max_tokens\":1,\"lora\":%s}", bad[i].lora);
        reply r =
            client_do(covey_server_port(server), "POST", "/v1/completions", BEARER JSON, body);
        expect_in(&r, 400, bad[i].message);
        expect_in(&r, 400, bad[i].param);
        reply_free(&r);
    }
    reply r = client_do(covey_server_port(bare), "POST", CHAT, BEARER JSON, asked[3].body);
    expect_in(&r, 400, "lora[0].id: there is no adapter 1; there are 0");
    reply_free(&r);
    r = client_do(covey_server_port(bare), "GET", "/lora-adapters", BEARER, NULL);
    expect_in(&r, 200, "[]");
    reply_free(&r);
    r = client_do(covey_server_port(bare), "POST", CHAT, BEARER JSON, asked[2].body);
    expect_in(&r, 200, "\"adapters\":[]");
    reply_free(&r);
    covey_server_close(server, 0);
    covey_server_close(bare, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_choose),
        cmocka_unit_test(test_one_conversation_changes_adapters),
        cmocka_unit_test(test_a_stream_says_it_too),
        cmocka_unit_test(test_what_is_offered),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
