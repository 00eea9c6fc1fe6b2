/* covey_ensemble_open and its accessors, as an app calls them. */
#include "ensemble_folder.h"

#include "base/runtime.h"

#include <covey/ensemble.h>

#include <unistd.h>

typedef struct fixture {
    covey_runtime *runtime;
    test_folder folder;
} fixture;

static int set_up(void **state) {
    static fixture f;
    test_env test;
    covey_error error;
    test_env_init(&test);
    test_folder_make(&f.folder);
    ensemble_make(&test.env, f.folder.path, "1.0.0", "f32", 1);
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

static void it_says_what_it_is(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey_ensemble *ensemble;
    covey_component component = {.size = sizeof component};
    assert_int_equal(
        covey_ensemble_open(f->runtime, f->folder.path, COVEY_CHECK_DIGESTS, &ensemble, &error),
        COVEY_OK);
    assert_string_equal(covey_ensemble_name(ensemble), "assistant");
    assert_string_equal(covey_ensemble_version(ensemble), "1.0.0");
    assert_string_equal(covey_ensemble_variant(ensemble), "f32");
    assert_string_equal(covey_ensemble_folder(ensemble), f->folder.path);
    assert_int_equal(strlen(covey_ensemble_digest(ensemble)), 64);
    assert_int_equal(covey_ensemble_component_count(ensemble), 3);
    assert_int_equal(covey_ensemble_component(ensemble, 2, &component, &error), COVEY_OK);
    assert_string_equal(component.role, "policy");
    assert_string_equal(component.file, "policies/policy.json");
    assert_int_equal(component.bytes, strlen("{\"format\":1}"));
    assert_int_equal(strlen(component.sha256), 64);
    assert_int_equal(covey_ensemble_component(ensemble, 3, &component, &error),
                     COVEY_ERROR_NOT_FOUND);
    component.size = 4;
    assert_int_equal(covey_ensemble_component(ensemble, 0, &component, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_ensemble_close(ensemble);
}

static void the_depth_decides_what_is_seen(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey_ensemble *ensemble;
    ensemble_flip(test_path(&f->folder, "model.gguf"), 600000);
    assert_int_equal(
        covey_ensemble_open(f->runtime, f->folder.path, COVEY_CHECK_MANIFEST, &ensemble, &error),
        COVEY_OK);
    covey_ensemble_close(ensemble);
    assert_int_equal(
        covey_ensemble_open(f->runtime, f->folder.path, COVEY_CHECK_DIGESTS, &ensemble, &error),
        COVEY_ERROR_MISMATCH);
    assert_null(ensemble);
    assert_non_null(strstr(error.message, "component \"model\""));
}

static void what_is_not_there_is_said(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey_ensemble *ensemble;
    assert_int_equal(
        covey_ensemble_open(f->runtime, "/nonexistent", COVEY_CHECK_MANIFEST, &ensemble, &error),
        COVEY_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "manifest"));
    assert_int_equal(covey_ensemble_open(f->runtime, NULL, COVEY_CHECK_MANIFEST, &ensemble, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_ensemble_close(NULL);
}

static covey_status open_step(const covey__env *env, void *user, covey_error *error) {
    fixture *f = user;
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_runtime *runtime;
    covey_ensemble *ensemble = NULL;
    options.allocator = &env->allocator;
    covey_status status = covey__runtime_new(&options, &runtime, error);
    if (status != COVEY_OK) return status;
    status = covey_ensemble_open(runtime, f->folder.path, COVEY_CHECK_DIGESTS, &ensemble, error);
    covey_ensemble_close(ensemble);
    covey_runtime_close(runtime);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    assert_true(test_fail_each_allocation(open_step, *state) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_says_what_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_depth_decides_what_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_each_failed_allocation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
