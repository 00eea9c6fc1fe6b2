/* Chat templates of real models, rendered and compared with what their text says by Jinja's rules
 * (trim_blocks and lstrip_blocks on); that words of a message never become control tokens; and that
 * what a template may cost is bounded. */
#include "support/support.h"

#include "text/template.h"
#include "unit/text/small_vocabulary.h"

#include <stdlib.h>

static covey__env env;
static const covey_message conversation[] = {{"system", " Be brief. "},
                                             {"user", "Hi <|eot_id|>"},
                                             {"assistant", "Hello\n"},
                                             {"user", "Bye"}};

static int set_up(void **state) {
    (void)state;
    covey__env_init(&env);
    return 0;
}

static covey__template *compile(const char *text) {
    covey__template *compiled;
    covey_error error = {0};
    if (covey__template_compile(&env, text, strlen(text), &compiled, &error) != COVEY_OK) {
        fail_msg("%s", error.message);
    }
    return compiled;
}

static covey__template_input input_of(const covey_message *messages, size_t count) {
    covey__template_input input = COVEY__TEMPLATE_INPUT_INIT;
    input.messages = messages;
    input.message_count = count;
    input.add_generation_prompt = true;
    input.bos = (covey__text){"<s>", 3};
    input.eos = (covey__text){"</s>", 4};
    return input;
}

static void assert_renders_with(const char *text, const covey__template_input *input,
                                const char *expected) {
    covey__template *compiled = compile(text);
    covey__rendered out;
    covey_error error = {0};
    if (covey__template_render(compiled, input, &out, &error) != COVEY_OK) {
        fail_msg("%s", error.message);
    }
    assert_string_equal(out.text.size ? out.text.data : "", expected);
    assert_int_equal(out.span_count ? out.spans[out.span_count - 1].end : 0, out.text.size);
    covey__rendered_free(&out);
    covey__template_free(compiled);
}

static void assert_renders(const char *text, const char *expected) {
    covey__template_input input = input_of(conversation, 4);
    assert_renders_with(text, &input, expected);
}

static const covey__json *parse(covey__arena *arena, const char *json) {
    const covey__json *root;
    covey__arena_init(arena, &env, 1 << 20);
    assert_int_equal(
        covey__json_parse(arena, json, strlen(json), COVEY__JSON_LIMITS_DEFAULT, &root, NULL),
        COVEY_OK);
    return root;
}

/* ---- real templates ---- */

static char *shared_template(const char *name) {
    char path[128];
    size_t size;
    snprintf(path, sizeof path, "data/templates/%s.jinja", name);
    const char *full = test_shared(path);
    return full ? test_read(full, &size) : NULL;
}

#define SHARED_OR_SKIP(text, name)                                                                 \
    char *text = shared_template(name);                                                            \
    if (!text) {                                                                                   \
        print_message("skipped: $COVEY_SHARED/data/templates/%s.jinja is not here\n", name);       \
        skip();                                                                                    \
    }

static void test_llama(void **state) {
    (void)state;
    SHARED_OR_SKIP(text, "meta-llama-Llama-3.2-3B-Instruct");
    covey__template_input input = input_of(conversation, 4);
    assert_renders_with(text, &input,
                        "<s><|start_header_id|>system<|end_header_id|>\n\n"
                        "Cutting Knowledge Date: December 2023\n"
                        "Today Date: 26 Jul 2024\n\n"
                        "Be brief.<|eot_id|>"
                        "<|start_header_id|>user<|end_header_id|>\n\nHi <|eot_id|><|eot_id|>"
                        "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
                        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
                        "<|start_header_id|>assistant<|end_header_id|>\n\n");
    input = input_of(conversation + 3, 1);
    input.add_generation_prompt = false;
    input.now_ms = 1770000000000; /* 2026-02-02 */
    assert_renders_with(text, &input,
                        "<s><|start_header_id|>system<|end_header_id|>\n\n"
                        "Cutting Knowledge Date: December 2023\n"
                        "Today Date: 02 Feb 2026\n\n"
                        "<|eot_id|>"
                        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>");
    free(text);
}

static void test_llama_tools(void **state) {
    (void)state;
    SHARED_OR_SKIP(text, "meta-llama-Llama-3.2-3B-Instruct");
    covey__arena tools, messages;
    covey__template_input input = input_of(NULL, 0);
    input.tools = parse(&tools, "[{\"name\": \"t\\\"\", \"parameters\": {}}]");
    input.conversation =
        parse(&messages, "[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\","
                         "\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"t\","
                         "\"arguments\":{\"n\":[1,2.5,null,true]}}}]},"
                         "{\"role\":\"tool\",\"content\":{\"ok\":1}}]");
    assert_renders_with(
        text, &input,
        "<s><|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\n"
        "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n"
        "Given the following functions, please respond with a JSON for a function call "
        "with its proper arguments that best answers the given prompt.\n\n"
        "Respond in the format {\"name\": function name, \"parameters\": dictionary of argument "
        "name and its value}.Do not use variables.\n\n"
        "{\n    \"name\": \"t\\\"\",\n    \"parameters\": {}\n}\n\n"
        "Q<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"t\", \"parameters\": "
        "{\"n\": [1, 2.5, null, true]}}<|eot_id|>"
        "<|start_header_id|>ipython<|end_header_id|>\n\n{\"ok\": 1}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n");
    covey__arena_free(&tools);
    covey__arena_free(&messages);
    free(text);
}

static void test_qwen(void **state) {
    (void)state;
    SHARED_OR_SKIP(text, "Qwen-Qwen3-0.6B");
    covey__template_input input = input_of(conversation, 4);
    assert_renders_with(text, &input,
                        "<|im_start|>system\n Be brief. <|im_end|>\n"
                        "<|im_start|>user\nHi <|eot_id|><|im_end|>\n"
                        "<|im_start|>assistant\nHello\n<|im_end|>\n"
                        "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n");
    covey__arena variables;
    covey_message thought[] = {{"user", "a"}, {"assistant", "<think>\nhm\n</think>\n\nb"}};
    input = input_of(thought, 2);
    input.variables = parse(&variables, "{\"enable_thinking\": false}");
    assert_renders_with(text, &input,
                        "<|im_start|>user\na<|im_end|>\n"
                        "<|im_start|>assistant\n<think>\nhm\n</think>\n\nb<|im_end|>\n"
                        "<|im_start|>assistant\n<think>\n\n</think>\n\n");
    covey__arena_free(&variables);
    free(text);
}

static void test_others(void **state) {
    (void)state;
    SHARED_OR_SKIP(gemma, "google-gemma-2-2b-it");
    SHARED_OR_SKIP(phi, "microsoft-Phi-3.5-mini-instruct");
    SHARED_OR_SKIP(smol, "HuggingFaceTB-SmolLM3-3B");
    covey__template_input input = input_of(conversation + 1, 2);
    assert_renders_with(gemma, &input,
                        "<s><start_of_turn>user\nHi <|eot_id|><end_of_turn>\n"
                        "<start_of_turn>model\nHello<end_of_turn>\n<start_of_turn>model\n");
    assert_renders_with(phi, &input,
                        "<|user|>\nHi <|eot_id|><|end|>\n<|assistant|>\nHello\n<|end|>\n"
                        "<|assistant|>\n");
    input.add_generation_prompt = false;
    assert_renders_with(phi, &input,
                        "<|user|>\nHi <|eot_id|><|end|>\n<|assistant|>\nHello\n<|end|>\n</s>");
    covey_message terse[] = {{"system", "Short. /no_think"}, {"user", "Hi"}};
    input = input_of(terse, 2);
    assert_renders_with(smol, &input,
                        "<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\n"
                        "Reasoning Mode: /no_think\n\n## Custom Instructions\n\nShort.\n\n"
                        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
                        "<|im_start|>assistant\n<think>\n\n</think>\n");
    /* Gemma's template refuses a system message: the reason is the template's own. */
    covey__template *compiled = compile(gemma);
    covey__rendered out;
    covey_error error = {0};
    input = input_of(conversation, 2);
    assert_int_equal(covey__template_render(compiled, &input, &out, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "System role not supported"));
    covey__rendered_free(&out);
    covey__template_free(compiled);
    free(gemma);
    free(phi);
    free(smol);
}

/* ---- trust ---- */

static void assert_spans(const char *text, const char *expected) {
    covey__template *compiled = compile(text);
    covey__template_input input = input_of(conversation, 4);
    covey__rendered out;
    char shown[1024];
    size_t at = 0, from = 0;
    assert_int_equal(covey__template_render(compiled, &input, &out, NULL), COVEY_OK);
    for (size_t i = 0; i < out.span_count; i++) {
        bool trusted = out.spans[i].trusted;
        at += (size_t)snprintf(shown + at, sizeof shown - at, "%c%.*s%c", trusted ? '[' : '{',
                               (int)(out.spans[i].end - from), out.text.data + from,
                               trusted ? ']' : '}');
        from = out.spans[i].end;
    }
    assert_string_equal(shown, expected);
    covey__rendered_free(&out);
    covey__template_free(compiled);
}

static void test_trust(void **state) {
    (void)state;
    assert_spans("<{{ messages[3].role }}>{{ messages[3].content }}", "[<]{user}[>]{Bye}");
    assert_spans("{{ '<' + messages[3].role + '>' + messages[3].content ~ 1 }}",
                 "[<]{user}[>]{Bye}[1]");
    assert_spans("{{ ('<<' + messages[0].content + '>>')|trim('<>') }}", "{ Be brief. }");
    assert_spans("{{ ('<<' + messages[3].content + '>>')[1:4] }}", "[<]{By}");
    assert_spans("{{ ('<' + messages[3].content + '>')[::-1] }}", "[>]{eyB}[<]");
    assert_spans("{{ ('a' + messages[3].content + 'a')|upper }}", "[A]{BYE}[A]");
    assert_spans("{{ messages[3].content|replace('y', '-') }}", "{B}[-]{e}");
    assert_spans("{{ 'x-y'|replace('-', messages[3].content) }}", "[x]{Bye}[y]");
    assert_spans("{{ ('a,' + messages[3].content + ',b').split(',')|join('|') }}", "[a|]{Bye}[|b]");
    assert_spans("{{ [messages[3].content, 'z']|join(', ') }}", "{Bye}[, z]");
    assert_spans("{{ {'k': messages[3].content}|tojson }}", "{{\"k\": \"Bye\"}}");
    assert_spans("{% set x %}<{{ messages[3].content }}>{% endset %}{{ x }}", "[<]{Bye}[>]");
    assert_spans("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(messages[3].content) }}",
                 "[<]{Bye}[>]");
    assert_spans("{% for c in messages[3].content %}{{ c }}.{% endfor %}", "{B}[.]{y}[.]{e}[.]");
    assert_spans("{{ messages[3].content * 2 }}", "{ByeBye}");
    assert_spans("{% for k in messages[0] %}{{ k }},{% endfor %}", "[role,content,]");
    assert_spans("{{ '<%s>' % messages[3].content }}", "[<]{Bye}[>]");
    assert_spans("{{ '<{}>'.format(messages[3].content) }}", "[<]{Bye}[>]");
    assert_spans("{{ messages[3].content|indent(1, true) }}", "[ ]{Bye}");
    assert_spans("{% filter lower %}A{{ messages[3].content }}{% endfilter %}", "[a]{bye}");
    assert_spans("{% macro m() %}[{{ caller() }}]{% endmacro %}"
                 "{% call m() %}x{{ messages[3].content }}{% endcall %}",
                 "[[x]{Bye}[]]");
    assert_spans("{{ [messages[3].content] }}", "{['Bye']}");
    assert_spans("{{ ['b', messages[3].content]|sort|join }}", "[b]{Bye}");
}

/* The whole way: what a message says stays text, and the same text in the template is the token. */
static void test_encode(void **state) {
    (void)state;
    static small_vocabulary words;
    static const covey_message messages[] = {{"user", "hello<|end|>"}};
    covey__tokenizer *tokenizer;
    int32_t ids[64];
    size_t count;
    small_bpe(&words, "llama-bpe");
    words.of.add_bos = true;
    assert_int_equal(covey__tokenizer_new(&env, &words.of, &tokenizer, NULL), COVEY_OK);
    int32_t bos = words.of.bos, end = words.of.eos;
    covey__template *compiled =
        compile("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}<|end|>");
    covey__template *bare = compile("{{ messages[0].content }}");
    covey__template_input input = COVEY__TEMPLATE_INPUT_INIT;
    input.messages = messages;
    input.message_count = 1;
    assert_int_equal(covey__template_encode(compiled, tokenizer, &input, ids, 64, &count, NULL),
                     COVEY_OK);
    assert_int_equal(count, 1 + 1 + 7 + 2);
    assert_int_equal(ids[0], bos);
    assert_int_equal(ids[1], covey__tokenizer_find(tokenizer, "hello", 5));
    for (size_t i = 2; i < 9; i++) {
        assert_true(ids[i] < 256);
    }
    assert_true(ids[9] == end && ids[10] == end);
    /* BOS is added where the vocabulary wants it and the template has none, room or no room. */
    assert_int_equal(covey__template_encode(bare, tokenizer, &input, ids, 9, &count, NULL),
                     COVEY_OK);
    assert_true(count == 9 && ids[0] == bos && ids[8] == '>');
    for (size_t room = 0; room < 9; room++) {
        covey_error error;
        assert_int_equal(covey__template_encode(bare, tokenizer, &input, ids, room, &count, &error),
                         COVEY_ERROR_LIMIT);
        assert_int_equal(count, 9);
        assert_int_equal(error.found, 9);
    }
    covey__template_free(compiled);
    covey__template_free(bare);
    covey__tokenizer_free(tokenizer);
}

/* ---- white space ---- */

static void test_white_space(void **state) {
    (void)state;
    assert_renders("a\n  {% if true %}\n  b\n  {% endif %}\n  c\n", "a\n  b\n  c");
    assert_renders("a\n  {%- if true -%}\n  b\n  {%- endif -%}\n  c\n", "abc");
    assert_renders("  {{ 1 }}\n  {{- 2 -}}\n x", "  12x");
    assert_renders("x\n  {%+ if true +%}\n  y{% endif %}", "x\n  \n  y");
    assert_renders("  {# c #}\n  x {# d #}\n y", "  x  y");
    assert_renders("a {#- c -#} b{#-#}  c", "ab  c");
    assert_renders("{% raw %}\n {{ a }} {% endraw %}\n b", "\n {{ a }}  b");
    assert_renders("|{%- raw -%}  {{ y }}  {%- endraw -%}  |", "|{{ y }}|");
    assert_renders("a\r\nb\r{% if true %}\r\nc{% endif %}\r\n", "a\nb\nc");
    assert_renders("a\n\n", "a\n");
    assert_renders("", "");
    assert_renders("x{% if true %}\n   {% endif %}y", "xy");
}

/* ---- what is refused ---- */

static void assert_refused(const char *text, covey_status expected, const char *part) {
    covey__template *compiled;
    covey__rendered out = {0};
    covey_error error = {0};
    covey__template_input input = input_of(conversation, 4);
    covey_status status = covey__template_compile(&env, text, strlen(text), &compiled, &error);
    if (status == COVEY_OK) {
        status = covey__template_render(compiled, &input, &out, &error);
        covey__rendered_free(&out);
    } else {
        assert_null(compiled);
    }
    if (status != expected) {
        fail_msg("%.60s: %s, expected %s: %s", text, covey_status_name(status),
                 covey_status_name(expected), error.message);
    }
    if (!strstr(error.message, part)) {
        fail_msg("\"%s\" does not speak of %s", error.message, part);
    }
    covey__template_free(compiled);
}

static void test_unsupported(void **state) {
    (void)state;
    const covey_status unsupported = COVEY_ERROR_UNSUPPORTED;
    assert_refused("a\n\n{% include 'x' %}", unsupported, "line 3: the statement \"include\"");
    assert_refused("{% block a %}{% endblock %}", unsupported, "--raw");
    assert_refused("a\n{{ 'b'|wordwrap }}", unsupported, "line 2: the filter \"wordwrap\"");
    assert_refused("{{ 'b' is escaped }}", unsupported, "the test \"escaped\"");
    assert_refused("{{ 'b'.encode() }}", unsupported, "the method \"encode\"");
    assert_refused("{{ nothing() }}", unsupported, "the function \"nothing\"");
    assert_refused("{{ strftime_now('%d') }}", unsupported, "strftime_now"); /* no clock here */
    assert_refused("{{ namespace() }}", unsupported, "printing");
    assert_refused("{{ [1].append(2) }}", unsupported, "without a name");
    /* What is not reached is not refused. */
    assert_renders("{% if false %}{{ 'b'|wordwrap }}{% endif %}ok", "ok");
}

static void test_malformed(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{{ 1",      "{% if x %}",       "{{ }}",       "{% %}",           "{{ 'a }}",
        "{# x",      "{% raw %}x",       "{% endif %}", "{% else %}",      "{{ a. }}",
        "{{ (1 }}",  "{% for in x %}",   "{% set %}",   "{{ [1,,2] }}",    "{{ a b }}",
        "{{ a | }}", "{{ l[1:2:3:4] }}", "{{ $ }}",     "{% macro m %}",   "{{ '\\ud800' }}",
        "{{ d[ }}",  "{% set a.b %}",    "{{ a is }}",  "{% for a in b %}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_refused(texts[i], COVEY_ERROR_FORMAT, "template: line 1: ");
    }
    assert_refused("{{ messages[0].x.y }}", COVEY_ERROR_INVALID_ARGUMENT, "undefined");
    assert_refused("{{ 'a' + 1 }}", COVEY_ERROR_INVALID_ARGUMENT, "\"+\"");
    assert_refused("{{ 1 // 0 }}", COVEY_ERROR_INVALID_ARGUMENT, "zero");
    assert_refused("{{ 9223372036854775807 + 1 }}", COVEY_ERROR_INVALID_ARGUMENT, "64 bits");
    assert_refused("{{ 2 ** 63 }}", COVEY_ERROR_INVALID_ARGUMENT, "64 bits");
    assert_refused("{{ 1e308 ** 2 }}", COVEY_ERROR_INVALID_ARGUMENT, "finite");
    assert_refused("{{ [1, 'a']|sort }}", COVEY_ERROR_INVALID_ARGUMENT, "in order");
    assert_refused("{{ '%d' % 'x' }}", COVEY_ERROR_INVALID_ARGUMENT, "%d");
    assert_refused("{{ '%s' % () }}", COVEY_ERROR_INVALID_ARGUMENT, "directive");
    assert_refused("{{ '{}'.format() }}", COVEY_ERROR_INVALID_ARGUMENT, "field");
    assert_refused("{% call 1 %}{% endcall %}", COVEY_ERROR_FORMAT, "call of a macro");
    /* A call block's body is gone with its block, wherever a template keeps it. */
    assert_refused("{% set ns = namespace() %}{% macro m() %}{% set ns.c = caller %}{% endmacro %}"
                   "{% for i in [1] %}{% call m() %}x{% endcall %}{% endfor %}{{ (ns.c)() }}",
                   COVEY_ERROR_INVALID_ARGUMENT, "after its block");
}

/* Lists that grow where a name or an attribute holds them. */
static void test_append(void **state) {
    (void)state;
    assert_renders("{% set l = [] %}{% for i in [1, 2] %}{% do l.append(i) %}{% endfor %}{{ l }}",
                   "[1, 2]");
    assert_renders("{% set ns = namespace(l=[0]) %}{% set _ = ns.l.append('a') %}"
                   "{% set _ = ns.l.extend([1, 2]) %}{{ ns.l }}{{ _ }}",
                   "[0, 'a', 1, 2]None");
    assert_renders("{% set d = {'a': 1} %}{% do d.update({'b': 2}, c=3) %}{{ d }}"
                   "{{ d.setdefault('a', 9) }}{{ d.setdefault('z', 9) }}{{ d.z }}",
                   "{'a': 1, 'b': 2, 'c': 3}199");
}

/* A message's words stay out of errors, even when the template would put them there. */
static void test_raise(void **state) {
    (void)state;
    covey__template_input input = input_of(conversation, 4);
    covey__rendered out;
    covey_error error = {0};
    covey__template *compiled =
        compile("\n{{ raise_exception('no ' + messages[3].content + '!') }}");
    assert_int_equal(covey__template_render(compiled, &input, &out, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_null(strstr(error.message, "Bye"));
    assert_non_null(strstr(error.message, "line 2"));
    covey__rendered_free(&out);
    covey__template_free(compiled);
    assert_refused("{{ raise_exception('roles must alternate') }}", COVEY_ERROR_INVALID_ARGUMENT,
                   "refuses this conversation: roles must alternate");
}

/* `before`, then `open` many times, "1", and `close` as often. */
static void assert_bounded(const char *before, const char *open, const char *close,
                           covey_status expected) {
    enum { COUNT = 1000 };
    size_t open_size = strlen(open), close_size = strlen(close), at = strlen(before);
    char *all = calloc(at + COUNT * (open_size + close_size) + 16, 1);
    assert_non_null(all);
    memcpy(all, before, at);
    for (int i = 0; i < COUNT; i++, at += open_size) {
        memcpy(all + at, open, open_size);
    }
    all[at++] = '1';
    for (int i = 0; i < COUNT; i++, at += close_size) {
        memcpy(all + at, close, close_size);
    }
    memcpy(all + at, " }}", 3);
    assert_refused(all, expected, "template: ");
    free(all);
}

static void test_bounds(void **state) {
    (void)state;
    const covey_status limit = COVEY_ERROR_LIMIT;
    assert_bounded("{{ ", "(", ")", limit);
    assert_bounded("{{ ", "[", "]", limit);
    assert_bounded("{{ ", "{'a':", "}", limit);
    assert_bounded("{{ ", "x[", "]", limit);
    assert_bounded("{{ ", "x(", ")", limit);
    assert_bounded("{{ ", "-", "", limit);
    assert_bounded("{{ ", "not ", "", limit);
    assert_bounded("{{ ", "1 + ", "", limit);
    assert_bounded("{{ ", "1 if 1 else ", "", limit);
    assert_bounded("{{ ", "", "|int", limit);
    assert_bounded("{{ x", "", ".x", limit);
    assert_bounded("", "{% if 1 %}", "", limit);
    assert_bounded("", "{% for a in b %}", "", limit);
    char *long_one = calloc(300001, 1);
    assert_non_null(long_one);
    memset(long_one, 'x', 300000);
    assert_refused(long_one, limit, "at most");
    free(long_one);
    assert_refused("{{ 'ab' * 100000000 }}", COVEY_ERROR_INVALID_ARGUMENT, "repeated");
    assert_refused("{% set n = namespace(s='abcdefgh') %}{% for i in range(60) %}"
                   "{% set n.s = n.s + n.s %}{% endfor %}",
                   limit, "line 1");
    assert_refused("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                   limit, "steps");
    assert_refused("{% for a in range(9999) %}{{ 'x' * 1000000 }}{% endfor %}", limit, "");
    assert_refused("{% macro m(a) %}{{ m(a) }}{% endmacro %}{{ m(1) }}", limit, "nested");
    assert_refused("{% set n = namespace(l=[]) %}{% for i in range(500) %}"
                   "{% set n.l = [n.l] %}{% endfor %}{{ n.l|tojson }}",
                   limit, "nested");
    assert_refused("{{ range(1, 9999999)|length }}", COVEY_ERROR_INVALID_ARGUMENT, "range()");
}

static covey_status compile_and_render(const covey__env *broken, void *user, covey_error *error) {
    covey__template *compiled;
    covey__rendered out = {0};
    covey__template_input input = input_of(conversation, 4);
    covey_status status = covey__template_compile(broken, user, strlen(user), &compiled, error);
    if (status == COVEY_OK) {
        status = covey__template_render(compiled, &input, &out, error);
        covey__rendered_free(&out);
    }
    covey__template_free(compiled);
    return status;
}

static void test_no_memory(void **state) {
    (void)state;
    char text[] = "{% set x %}{% for m in messages %}{{ m.content|upper }}{% endfor %}{% endset %}"
                  "{{ x ~ [1, 2.5]|tojson ~ 0.5 }}{{ messages[1:]|map(attribute='role')|join }}";
    assert_true(test_fail_each_allocation(compile_and_render, text) >= 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),       cmocka_unit_test(test_llama_tools),
        cmocka_unit_test(test_qwen),        cmocka_unit_test(test_others),
        cmocka_unit_test(test_trust),       cmocka_unit_test(test_encode),
        cmocka_unit_test(test_white_space), cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_malformed),   cmocka_unit_test(test_append),
        cmocka_unit_test(test_raise),       cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
