/* How much of the C stack chat templates take: whatever a template does, compiling and rendering it
 * stay under 256 KiB, for threads of phones and of musl have no more. Measured: each template runs
 * in a thread whose stack was painted before. */
#include "support/support.h"

#include "base/env.h"
#include "text/template.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURED 0 /* frames are larger there */
#define STACK    ((size_t)16 << 20)
#else
#define MEASURED 1
#define STACK    ((size_t)2 << 20)
#endif
#define MOST  ((size_t)256 << 10)
#define PAINT 0x5a
#define TEXT  (200u << 10)

typedef struct task {
    const char *text;
    covey_status status;
    covey_error error;
} task;

static void *compile_and_render(void *user) {
    task *t = user;
    covey__env env;
    covey__template *compiled = NULL;
    covey__rendered out;
    covey_message message = {"user", "hello"};
    covey__template_input input = COVEY__TEMPLATE_INPUT_INIT;
    covey__env_init(&env);
    input.messages = &message;
    input.message_count = 1;
    t->status = covey__template_compile(&env, t->text, strlen(t->text), &compiled, &t->error);
    if (t->status) return NULL;
    t->status = covey__template_render(compiled, &input, &out, &t->error);
    covey__rendered_free(&out);
    covey__template_free(compiled);
    return NULL;
}

static size_t most_used;

/* Bytes of the stack that it took. */
static size_t run(task *t) {
    pthread_t thread;
    pthread_attr_t attributes;
    unsigned char *stack = aligned_alloc(1 << 16, STACK);
    size_t untouched = 0;
    assert_non_null(stack);
    memset(stack, PAINT, STACK);
    t->error.message[0] = 0;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attributes, compile_and_render, t), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    while (untouched < STACK && stack[untouched] == PAINT) untouched++;
    free(stack);
    if (STACK - untouched > most_used) most_used = STACK - untouched;
    return STACK - untouched;
}

static void check(const char *text, covey_status expected) {
    task t = {.text = text};
    size_t used = run(&t);
    if (t.status != expected)
        fail_msg("%.60s: expected %s, found %s: %s", text, covey_status_name(expected),
                 covey_status_name(t.status), t.error.message);
    if (expected == COVEY_ERROR_LIMIT) assert_non_null(strstr(t.error.message, "nested"));
    if (MEASURED && used > MOST) fail_msg("%.60s: takes %zu bytes of the stack", text, used);
}

/* `head`, `open` times over, `middle`, `close` as often, `tail`. */
static char *nest(const char *head, const char *open, size_t times, const char *middle,
                  const char *close, const char *tail) {
    char *all = calloc(TEXT, 1);
    assert_non_null(all);
    strcat(all, head);
    for (size_t i = 0; i < times; i++) strcat(all, open);
    strcat(all, middle);
    for (size_t i = 0; i < times; i++) strcat(all, close);
    strcat(all, tail);
    assert_true(strlen(all) < TEXT - 1);
    return all;
}

/* Macros that call themselves without end, from within as many blocks as there may be. */
static void test_endless_calls(void **state) {
    (void)state;
    static const struct {
        const char *open, *close;
    } blocks[] = {
        {"", ""},
        {"{% if true %}", "{% endif %}"},
        {"{% for x in [1] %}", "{% endfor %}"},
        {"{% with a = 1 %}", "{% endwith %}"},
        {"{% filter trim %}", "{% endfilter %}"},
        {"{% set a %}", "{% endset %}"},
        {"{% call c() %}", "{% endcall %}"},
        {"{% for x in [1] recursive %}", "{{ loop([1]) }}{% endfor %}"},
    };
    static const char *const calls[] = {"{{ m(1) }}",
                                        "{{ [m(1)][0] }}",
                                        "{{ ((1, m(1))|list|first)|trim }}",
                                        "{{ 'x'.replace('x', m(1)) }}",
                                        "{{ ns.m(1) }}",
                                        "{% if m(1) is string %}{% endif %}"};
    static const size_t depths[] = {0, 1, 5, 30, 58};
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
        for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
            for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
                char *text = nest("{% macro c() %}{{ caller() }}{% endmacro %}{% macro m(a) %}",
                                  blocks[b].open, depths[d], calls[c], blocks[b].close,
                                  "{% endmacro %}{% set ns = namespace(m=m) %}{{ m(1) }}");
                task t = {.text = text};
                size_t used = run(&t);
                if (t.status == COVEY_OK || (MEASURED && used > MOST))
                    fail_msg("%zu x %s with %s: %s (%s), %zu bytes of the stack", depths[d],
                             blocks[b].open, calls[c], covey_status_name(t.status), t.error.message,
                             used);
                free(text);
            }
}

/* Expressions within each other, as deep as the compiler takes them, and deeper. */
static void test_expressions(void **state) {
    (void)state;
    static const struct {
        const char *open, *middle, *close;
    } cases[] = {
        {"(", "1", ")"},
        {"[", "1", "]"},
        {"{'a': ", "1", "}"},
        {"'x'.replace('x', ", "'y'", ")"},
        {"(1 if ", "1", " else 2)"},
        {"not ", "1", ""},
        {"-", "1", ""},
        {"", "x", "|default(1)"},
        {"[1][", "0", "]"},
        {"(1 + ", "1", ")"},
        {"[[", "1", "]|map('int')|list]"},
        {"([1]|select('equalto', ", "1", ")|list|first)"},
    };
    static const size_t depths[] = {10, 20, 30, 60, 200};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
            char *text =
                nest("{{ ", cases[i].open, depths[d], cases[i].middle, cases[i].close, " }}");
            task t = {.text = text};
            size_t used = run(&t);
            if (MEASURED && used > MOST)
                fail_msg("%zu x %s: %zu bytes of the stack (%s)", depths[d], cases[i].open, used,
                         t.error.message);
            if (depths[d] == 10 && t.status != COVEY_OK)
                fail_msg("%s: %s", cases[i].open, t.error.message);
            free(text);
        }
}

/* Values within values, and filters that map filters. */
static void test_values(void **state) {
    (void)state;
    check("{% set n = namespace(l=[]) %}{% for i in range(2000) %}{% set n.l = [n.l] %}{% endfor %}"
          "{{ n.l|tojson }}",
          COVEY_ERROR_LIMIT);
    check("{% set n = namespace(l=[], m=[]) %}{% for i in range(2000) %}{% set n.l = [n.l] %}"
          "{% set n.m = [n.m] %}{% endfor %}{{ n.l == n.m }}",
          COVEY_ERROR_LIMIT);
    check("{% set n = namespace(l=['x']) %}{% for i in range(12) %}{% set n.l = [n.l] %}{% endfor "
          "%}{{ n.l|map('map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', "
          "'upper')|list|length }}",
          COVEY_OK);
}

/* What real templates do with tools: macros that call themselves for each level of a schema. */
static void test_room_for_schemas(void **state) {
    (void)state;
    check("{% macro m(n) %}{% if n > 0 %}{% if true %}{% for x in [1] %}{{ 'a' }}{{ m(n - 1)|trim "
          "}}{% endfor %}{% endif %}{% endif %}{% endmacro %}{{ m(16) }}",
          COVEY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endless_calls),
        cmocka_unit_test(test_expressions),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_room_for_schemas),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("at most %zu KiB of the stack\n", most_used >> 10);
    return failed;
}
