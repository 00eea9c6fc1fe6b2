/* Recording: the same prompts for everyone, of both kinds, and within the model's context. */
#include "built_ensemble.h"

#include "library/probe_run.h"

static int set_up(void **state) {
    make_folder(state);
    built_model(in_folder("plain.gguf"), false);
    return 0;
}

static covey__probes *record(const char *file, const char *tasks, int32_t count) {
    covey_error error = {.message = ""};
    covey__probes *probes;
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = open_model(runtime, in_folder(file));
    const covey__probed probed = {.model = model};
    must(covey__probes_new(&plain_env, &probes, &error), &error);
    must(covey__probes_add_lines(probes, tasks, strlen(tasks), &error), &error);
    must(covey__bits_record(probes, &probed, count, &error), &error);
    covey_model_close(model);
    covey_runtime_close(runtime);
    return probes;
}

static void assert_equal_probes(const covey__probes *a, const covey__probes *b) {
    assert_int_equal(a->bits_count, b->bits_count);
    for (size_t i = 0; i < a->bits_count; i++) {
        const covey__bits_probe *x = &a->bits[i], *y = &b->bits[i];
        assert_int_equal(x->prompt_count, y->prompt_count);
        assert_memory_equal(x->prompt, y->prompt, x->prompt_count * sizeof *x->prompt);
        assert_memory_equal(x->tokens, y->tokens, x->token_count * sizeof *x->tokens);
        assert_memory_equal(x->logits, y->logits, x->token_count * 32);
    }
}

static void two_recordings_are_one(void **state) {
    (void)state;
    covey__probes *a = record("plain.gguf", "", 4), *b = record("plain.gguf", "", 4);
    assert_equal_probes(a, b);
    assert_int_equal(a->bits_count, 4);
    assert_true(a->bits[0].prompt_count != a->bits[2].prompt_count);
    covey__probes_free(a);
    covey__probes_free(b);
}

static void task_prompts_alternate_with_even_ones(void **state) {
    (void)state;
    static const char tasks[] = "{\"prompt\":\"hello\",\"expect\":\"x\"}\n";
    covey__probes *p = record("plain.gguf", tasks, 3);
    /* It ends with "hello<a>", a token a byte. */
    const covey__bits_probe *task = &p->bits[1];
    static const char end[] = "hello<a>";
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(task->prompt[task->prompt_count - 8 + i], 3 + end[i]);
    assert_int_equal(p->bits[0].prompt_count, 5);
    covey__probes_free(p);
}

static void a_short_context_gets_short_prompts(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.context = 24;
    write_synthetic(&s, in_folder("short.gguf"));
    covey__probes *p = record("short.gguf", "", 4);
    for (size_t i = 0; i < p->bits_count; i++)
        assert_in_range(p->bits[i].prompt_count + p->bits[i].token_count, 1, 24);
    covey__probes_free(p);
}

static void none_is_none(void **state) {
    (void)state;
    covey__probes *p = record("plain.gguf", "", -1);
    assert_int_equal(p->bits_count, 0);
    covey__probes_free(p);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(two_recordings_are_one),
        T(task_prompts_alternate_with_even_ones),
        T(a_short_context_gets_short_prompts),
        T(none_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
