/* Prompts cut to a full context: what is kept of them is the system prompt, whatever the template,
 * and what is left is what a session would hold if the tokens had come one by one. */
#include "../engine/synthetic.h"

#include "router/local_prompt.h"

#include <covey/backend.h>

#define CONTEXT 96
#define MARK    "\xe2\x96\x81" /* a space in the vocabulary, here three tokens */

/* Ways in which real templates treat the system's text. `kept` is what stands before the user's
 * words. */
typedef struct way {
    const char *name, *text;
    const char *system; /* NULL: none is given */
    const char *kept;
} way;

static const way ways[] = {
    {"its own turn",
     "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
     "{% if add_generation_prompt %}[assistant]{% endif %}",
     "Be brief.", "[system]Be brief.[user]"},
    {"in the user's first turn, as Gemma",
     "{{ bos_token }}{% if messages[0].role == 'system' %}{% set first = messages[0].content %}"
     "{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}"
     "{% endif %}{% for m in rest %}[{{ m.role }}]{% if loop.first %}{{ first }} {% endif %}"
     "{{ m.content }}{% endfor %}[assistant]",
     "Be brief.", "[user]Be brief. "},
    {"one of its own where none is given, as Qwen",
     "{{ bos_token }}{% if messages[0].role != 'system' %}[system]Help.{% endif %}"
     "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]",
     NULL, "[system]Help.[user]"},
    {"a user is asked for, as Mistral",
     "{% if messages[-1].role == 'system' %}{{ raise_exception('a user must speak') }}{% endif %}"
     "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]",
     "Be brief.", "[system]Be brief.[user]"},
    {"none", "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
     NULL, "[user]"},
};

typedef struct opened {
    covey_runtime *runtime;
    covey_model *model;
    covey_model_info info;
    covey__prompter to;
} opened;

static void open_with(opened *o, const char *template_text) {
    synthetic s = SYNTHETIC_ODD;
    s.context = 128;
    s.chat_template = template_text;
    write_synthetic(&s, in_folder("model.gguf"));
    o->runtime = open_runtime(1, NULL);
    o->model = open_model(o->runtime, in_folder("model.gguf"));
    o->info = (covey_model_info)COVEY_MODEL_INFO_INIT;
    covey_model_describe(o->model, &o->info);
    o->to = (covey__prompter){&plain_env, o->model, &o->info, true, CONTEXT, 0};
}

static void close_all(opened *o) {
    covey_model_close(o->model);
    covey_runtime_close(o->runtime);
}

static covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;

static covey_request request_of(const covey_message *messages, size_t count) {
    covey_request request = COVEY_REQUEST_INIT;
    generation.tokens_max = 0;
    request.messages = messages;
    request.message_count = count;
    request.generation = &generation;
    return request;
}

/* The window by its definition, of all tokens. */
static size_t window(const covey_token *all, size_t count, size_t keep, covey_token *out) {
    size_t held = 0;
    for (size_t i = 0; i < count; i++) {
        if (held == CONTEXT) {
            size_t rest = (held - keep) / 2;
            memmove(out + keep, out + held - rest, rest * sizeof *out);
            held = keep + rest;
        }
        out[held++] = all[i];
    }
    return held;
}

/* The kept tokens say `text`, and no less; spaces that the vocabulary puts before pieces aside. */
static void check_kept(const opened *o, const covey__prompt *prompt, const char *text) {
    char said[400] = "";
    size_t size = 0;
    for (size_t i = 0; i < prompt->keep; i++)
        size += covey_model_token_bytes(o->model, prompt->tokens[i], false, said + size,
                                        sizeof said - size - 1);
    said[size] = 0;
    const char *at = said;
    for (; *at; at++) {
        bool space = memcmp(at, MARK, strlen(MARK)) == 0;
        if (space) at += strlen(MARK) - 1;
        if (space && *text != ' ') continue;
        if ((space ? ' ' : *at) != *text)
            fail_msg("kept: found \"%s\", expected a rest of \"%s\"", said, text);
        text++;
    }
    assert_string_equal(text, "");
}

static void check_prompt(opened *o, const covey_request *request, const char *kept) {
    covey_error error = {.message = ""};
    covey_token all[1000], expected[CONTEXT], found[CONTEXT];
    covey__prompt prompt = {.tokens = found};
    size_t count = 0;
    must(covey__prompt_render(&o->to, request, all, 1000, &count, &error), &error);
    must(covey__prompt_make(&o->to, request, &prompt, &error), &error);
    check_kept(o, &prompt, kept);
    assert_int_equal(prompt.count, window(all, count, prompt.keep, expected));
    assert_int_equal(prompt.count + prompt.dropped, count);
    assert_memory_equal(found, expected, prompt.count * sizeof *found);
}

/* A conversation that grows, as messages and as JSON. */
static void test_ways(void **state) {
    (void)state;
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        opened o;
        covey_message messages[24];
        size_t count = 0;
        char json[2000] = "[";
        covey_chat chat = COVEY_CHAT_INIT;
        print_message("%s\n", ways[w].name);
        open_with(&o, ways[w].text);
        if (ways[w].system) messages[count++] = (covey_message){"system", ways[w].system};
        if (ways[w].system)
            snprintf(json, sizeof json, "[{\"role\":\"system\",\"content\":\"%s\"},",
                     ways[w].system);
        for (size_t turn = 0; turn < 20; turn++) {
            /* Its first words may begin as the ones that are compared with. */
            static const char *const said[] = {"Q is what?", "77", "and then a longer piece", ""};
            messages[count++] = (covey_message){turn % 2 ? "assistant" : "user", said[turn % 4]};
            snprintf(json + strlen(json), sizeof json - strlen(json),
                     "%s{\"role\":\"%s\",\"content\":\"%s\"}", turn ? "," : "",
                     messages[count - 1].role, messages[count - 1].content);
            covey_request request = request_of(messages, count);
            check_prompt(&o, &request, ways[w].kept);
            char whole[2048];
            snprintf(whole, sizeof whole, "%s]", json);
            chat.messages_json = whole;
            chat.messages_json_size = strlen(whole);
            request = request_of(NULL, 0);
            request.chat = &chat;
            check_prompt(&o, &request, ways[w].kept);
        }
        close_all(&o);
    }
}

/* A plain prompt keeps what the vocabulary puts first. */
static void test_plain(void **state) {
    (void)state;
    opened o;
    char text[400];
    memset(text, 'x', sizeof text);
    open_with(&o, NULL);
    covey_request request = request_of(NULL, 0);
    request.prompt = text;
    for (size_t size = 1; size < sizeof text; size += 37) {
        memset(text, 'x', sizeof text);
        text[size] = 0;
        check_prompt(&o, &request, "");
    }
    close_all(&o);
}

static void test_limits(void **state) {
    (void)state;
    opened o;
    covey_error error = {.message = ""};
    covey_token found[CONTEXT];
    covey__prompt prompt = {.tokens = found};
    char text[200];
    open_with(&o, ways[0].text);
    covey_message messages[] = {{"system", text}, {"user", "hi"}};
    /* A system prompt that leaves no room, by one token. */
    for (size_t size = CONTEXT - 20; size < CONTEXT + 20; size++) {
        memset(text, 's', sizeof text);
        text[size] = 0;
        covey_request request = request_of(messages, 2);
        size_t keep = 1 + strlen(MARK "[system]") + size + strlen("[user]");
        covey_status status = covey__prompt_make(&o.to, &request, &prompt, &error);
        assert_int_equal(status, keep < CONTEXT ? COVEY_OK : COVEY_ERROR_CONTEXT_SIZE);
        if (status) assert_int_equal(error.found, (int64_t)keep + 1);
        if (!status) assert_int_equal(prompt.keep, keep);
        if (!status) assert_true(prompt.count > keep && prompt.count <= CONTEXT);
    }
    /* Without sliding: refused, with both lengths. */
    memset(text, 'u', sizeof text);
    text[100] = 0;
    o.to.slides = false;
    covey_request request = request_of(&(covey_message){"user", text}, 1);
    assert_int_equal(covey__prompt_make(&o.to, &request, &prompt, &error),
                     COVEY_ERROR_CONTEXT_SIZE);
    assert_int_equal(error.expected, CONTEXT);
    assert_int_equal(error.found, 1 + 3 + 6 + 100 + 11 + 1);
    /* Where the answer is bounded and fits, nothing needs to be known of what is kept. */
    o.to.slides = true;
    text[10] = 0;
    request = request_of(&(covey_message){"user", text}, 1);
    generation.tokens_max = 5;
    must(covey__prompt_make(&o.to, &request, &prompt, &error), &error);
    assert_int_equal(prompt.dropped, 0);
    close_all(&o);
}

/* A template that writes the same whatever is said: all of it is kept, and that may fill the
 * context to its last token. */
static void test_constant(void **state) {
    (void)state;
    for (size_t size = CONTEXT - 2; size <= CONTEXT + 1; size++) {
        opened o;
        covey_error error = {.message = ""};
        covey_token found[CONTEXT];
        covey__prompt prompt = {.tokens = found};
        char text[200] = "{{ bos_token }}";
        size_t letters = size - 1 - strlen(MARK);
        memset(text + strlen(text), 's', letters);
        open_with(&o, text);
        covey_request request = request_of(&(covey_message){"user", "hi"}, 1);
        covey_status status = covey__prompt_make(&o.to, &request, &prompt, &error);
        assert_int_equal(status, size < CONTEXT ? COVEY_OK : COVEY_ERROR_CONTEXT_SIZE);
        if (status) assert_int_equal(error.found, (int64_t)size + 1);
        if (!status) assert_int_equal(prompt.keep, size);
        close_all(&o);
    }
}

static int64_t next_minute(void *user) {
    return *(int64_t *)user += 60000;
}

/* The time stands before the system's words, and goes on between any two looks at the clock. */
static void test_time(void **state) {
    (void)state;
    opened o;
    covey_error error = {.message = ""};
    covey_token found[CONTEXT];
    covey__prompt prompt = {.tokens = found};
    int64_t now = 1770000000000;
    covey__env env = plain_env;
    char text[200];
    env.clock = next_minute;
    env.clock_user = &now;
    open_with(&o, "{{ bos_token }}[{{ strftime_now('%H%M') }}]{% for m in messages %}"
                  "[{{ m.role }}]{{ m.content }}{% endfor %}");
    o.to.env = &env;
    for (size_t size = 10; size <= 150; size += 140) { /* it fits; it is cut */
        memset(text, 'u', sizeof text);
        text[size] = 0;
        covey_request request = request_of(&(covey_message){"user", text}, 1);
        must(covey__prompt_make(&o.to, &request, &prompt, &error), &error);
        assert_int_equal(prompt.keep, 1 + strlen(MARK "[0000]"
                                                      "[user]"));
    }
    close_all(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways),   cmocka_unit_test(test_plain),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_constant),
        cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
