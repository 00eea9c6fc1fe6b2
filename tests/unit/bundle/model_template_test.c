/* A template beside a model must be the model's own; setting one changes nothing else. */
#include "ensemble_folder.h"

#include "bundle/model_template.h"

typedef struct fixture {
    test_env test;
    test_folder folder;
    char model[300], copy[300];
} fixture;

static int set_up(void **state) {
    static fixture f;
    test_env_init(&f.test);
    test_folder_make(&f.folder);
    strcpy(f.model, test_path(&f.folder, "model.gguf"));
    strcpy(f.copy, test_path(&f.folder, "copy.gguf"));
    ensemble_model(&f.test.env, f.model, 1);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    test_folder_remove(&f->folder);
    assert_int_equal(f->test.alive, 0);
    return 0;
}

static void setting_changes_the_template_alone(void **state) {
    fixture *f = *state;
    static const char text[] = "another {{ template }}";
    covey_error error = {0};
    covey__gguf *from, *to;
    covey__gguf_text found;
    assert_int_equal(
        covey__template_set(&f->test.env, f->model, f->copy, text, strlen(text), &error), COVEY_OK);
    assert_int_equal(covey__gguf_open_path(&f->test.env, f->model, &from, &error), COVEY_OK);
    assert_int_equal(covey__gguf_open_path(&f->test.env, f->copy, &to, &error), COVEY_OK);
    assert_int_equal(covey__gguf_string(to, "tokenizer.chat_template", &found, &error), COVEY_OK);
    assert_int_equal(found.size, strlen(text));
    assert_memory_equal(found.data, text, found.size);
    assert_int_equal(covey__gguf_value_count(to), covey__gguf_value_count(from));
    assert_int_equal(covey__gguf_tensor_count(to), covey__gguf_tensor_count(from));
    for (size_t i = 0; i < covey__gguf_tensor_count(to); i++) {
        const covey__gguf_tensor *a = covey__gguf_tensor_at(from, i);
        const covey__gguf_tensor *b = covey__gguf_tensor_at(to, i);
        assert_int_equal(a->bytes, b->bytes);
        assert_int_equal(a->type, b->type);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    covey__gguf_close(from);
    covey__gguf_close(to);
}

static covey_status check(fixture *f, const char *text, covey_error *error) {
    static const covey__manifest_part parts[] = {{.role = "model", .file = "model.gguf"},
                                                 {.role = "template", .file = "t.jinja"}};
    covey__manifest_spec spec = {.name = "a",
                                 .version = "1.0.0",
                                 .variant = "v",
                                 .parts = parts,
                                 .part_count = 2,
                                 .arithmetic_version = 1};
    covey__manifest *manifest;
    test_write(test_path(&f->folder, "t.jinja"), text, strlen(text));
    assert_int_equal(covey__manifest_write(&f->test.env, f->folder.path, &spec, error), COVEY_OK);
    assert_int_equal(covey__manifest_read(&f->test.env, f->folder.path, &manifest, error),
                     COVEY_OK);
    covey_status status = covey__template_check(&f->test.env, manifest, f->folder.path, error);
    covey__manifest_free(manifest);
    return status;
}

static void a_template_that_is_not_the_models_is_refused(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    assert_int_equal(check(f, ENSEMBLE_TEMPLATE, &error), COVEY_OK);
    assert_int_equal(check(f, ENSEMBLE_TEMPLATE " ", &error), COVEY_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "component \"template\" (t.jinja)"));
    assert_int_equal(check(f, "", &error), COVEY_ERROR_FORMAT);
}

static covey_status set_step(const covey__env *env, void *user, covey_error *error) {
    fixture *f = user;
    return covey__template_set(env, f->model, f->copy, "x", 1, error);
}

static void survives_each_failed_allocation(void **state) {
    assert_true(test_fail_each_allocation(set_step, *state) > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(setting_changes_the_template_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_template_that_is_not_the_models_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(survives_each_failed_allocation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
