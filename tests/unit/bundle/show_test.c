/* What is shown of an ensemble, and what a change is said to cost. */
#include "ensemble_folder.h"

#include "base/json.h"
#include "base/runtime.h"

#include <covey/bundle.h>

typedef struct fixture {
    covey_runtime *runtime;
    test_folder folder;
    char one[300], two[300];
} fixture;

static int set_up(void **state) {
    static fixture f;
    test_env test;
    covey_error error;
    test_env_init(&test);
    test_folder_make(&f.folder);
    strcpy(f.one, test_path(&f.folder, "one"));
    strcpy(f.two, test_path(&f.folder, "two"));
    ensemble_make(&test.env, f.one, "1.0.0", "f32", 1);
    ensemble_make(&test.env, f.two, "1.1.0", "f32", 2);
    assert_int_equal(covey__runtime_new(NULL, &f.runtime, &error), COVEY_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    covey_runtime_close(f->runtime);
    test_folder_remove(&f->folder);
    return 0;
}

/* The tree of a text that the library gave; `arena` is freed by the caller. */
static const covey__json *parse(covey__arena *arena, const char *text) {
    static test_env test;
    const covey__json *root;
    covey_error error;
    test_env_init(&test);
    covey__arena_init(arena, &test.env, 16u << 20);
    assert_int_equal(
        covey__json_parse(arena, text, strlen(text), COVEY__JSON_LIMITS_DEFAULT, &root, &error),
        COVEY_OK);
    return root;
}

static int64_t number(const covey__json *object, const char *name) {
    int64_t value = -1;
    const covey__json *node = covey__json_get(object, name);
    assert_non_null(node);
    assert_true(covey__json_to_i64(node, &value));
    return value;
}

static void show(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    char *text;
    covey__arena arena;
    assert_int_equal(covey_bundle_show(f->runtime, f->one, false, &text, &error), COVEY_OK);
    assert_non_null(strstr(text, "assistant@1.0.0 f32"));
    assert_non_null(strstr(text, "model.gguf"));
    covey_bundle_free_text(f->runtime, text);
    assert_int_equal(covey_bundle_show(f->runtime, f->one, true, &text, &error), COVEY_OK);
    const covey__json *root = parse(&arena, text);
    assert_string_equal(covey__json_get(covey__json_get(root, "manifest"), "name")->text,
                        "assistant");
    assert_int_equal(covey__json_get(root, "digest")->size, 64);
    covey__arena_free(&arena);
    covey_bundle_free_text(f->runtime, text);
}

static void a_change_costs_what_is_new(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    char *text;
    covey__arena arena;
    assert_int_equal(covey_bundle_diff(f->runtime, f->one, f->two, true, &text, &error), COVEY_OK);
    const covey__json *root = parse(&arena, text);
    const covey__json *model = covey__json_get(root, "components")->child;
    assert_string_equal(covey__json_get(model, "kind")->text, "changed");
    assert_string_equal(covey__json_get(model->next, "kind")->text, "same");
    assert_int_equal(number(model->next, "fetch_bytes"), 0);
    /* One of two tensors of 400,000 bytes changed. */
    assert_in_range(number(root, "fetch_bytes"), 1, 400000);
    covey__arena_free(&arena);
    covey_bundle_free_text(f->runtime, text);
    assert_int_equal(covey_bundle_diff(f->runtime, f->one, f->two, false, &text, &error), COVEY_OK);
    assert_non_null(strstr(text, "1.0.0 f32 -> assistant@1.1.0 f32"));
    covey_bundle_free_text(f->runtime, text);
}

static void nothing_changed_costs_nothing(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    char *text;
    covey__arena arena;
    assert_int_equal(covey_bundle_diff(f->runtime, f->one, f->one, true, &text, &error), COVEY_OK);
    assert_int_equal(number(parse(&arena, text), "fetch_bytes"), 0);
    covey__arena_free(&arena);
    covey_bundle_free_text(f->runtime, text);
}

static void a_damaged_side_is_refused(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    char *text;
    ensemble_flip(test_path(&f->folder, "two/model.gguf"), 600000);
    assert_int_equal(covey_bundle_diff(f->runtime, f->one, f->two, true, &text, &error),
                     COVEY_ERROR_MISMATCH);
    assert_null(text);
}

static covey_status diff_step(const covey__env *env, void *user, covey_error *error) {
    fixture *f = user;
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_runtime *runtime;
    char *text = NULL;
    options.allocator = &env->allocator;
    covey_status status = covey__runtime_new(&options, &runtime, error);
    if (status != COVEY_OK) return status;
    status = covey_bundle_diff(runtime, f->one, f->two, false, &text, error);
    covey_bundle_free_text(runtime, text);
    if (status == COVEY_OK) status = covey_bundle_show(runtime, f->one, true, &text, error);
    if (status == COVEY_OK) covey_bundle_free_text(runtime, text);
    covey_runtime_close(runtime);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    assert_true(test_fail_each_allocation(diff_step, *state) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(show, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_change_costs_what_is_new, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_changed_costs_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_side_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_each_failed_allocation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
