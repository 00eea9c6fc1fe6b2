/* A manifest against a folder: absent, shorter, longer, changed and replaced files. */
#include "ensemble_folder.h"

#include "base/sha256.h"
#include "bundle/manifest.h"

#include <sys/stat.h>
#include <unistd.h>

typedef struct fixture {
    test_env test;
    test_folder folder;
    covey__manifest *manifest;
    char model[300];
} fixture;

static int set_up(void **state) {
    static fixture f;
    covey_error error;
    test_env_init(&f.test);
    test_folder_make(&f.folder);
    ensemble_make(&f.test.env, f.folder.path, "1.0.0", "f32", 1);
    assert_int_equal(covey__manifest_read(&f.test.env, f.folder.path, &f.manifest, &error),
                     COVEY_OK);
    strcpy(f.model, test_path(&f.folder, "model.gguf"));
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    covey__manifest_free(f->manifest);
    test_folder_remove(&f->folder);
    assert_int_equal(f->test.alive, 0);
    return 0;
}

static covey_status check(fixture *f, covey_check_depth depth, covey_error *error) {
    memset(error, 0, sizeof *error);
    return covey__manifest_check_files(&f->test.env, f->manifest, f->folder.path, depth, error);
}

static void what_was_built_is_whole(void **state) {
    fixture *f = *state;
    covey_error error;
    assert_int_equal(check(f, COVEY_CHECK_MANIFEST, &error), COVEY_OK);
    assert_int_equal(check(f, COVEY_CHECK_DIGESTS, &error), COVEY_OK);
}

static void a_flipped_bit_anywhere_is_seen_by_the_deep_check(void **state) {
    fixture *f = *state;
    covey_error error;
    static const size_t places[] = {0, 100, 5000, 300000, 700000, SIZE_MAX};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        ensemble_flip(f->model, places[i]);
        assert_int_equal(check(f, COVEY_CHECK_MANIFEST, &error), COVEY_OK);
        assert_int_equal(check(f, COVEY_CHECK_DIGESTS, &error), COVEY_ERROR_MISMATCH);
        assert_non_null(strstr(error.message, "component \"model\" (model.gguf)"));
        assert_non_null(strstr(error.message, "digest"));
        ensemble_flip(f->model, places[i]);
    }
    assert_int_equal(check(f, COVEY_CHECK_DIGESTS, &error), COVEY_OK);
}

/* In slices it says the same, at every place, and can be left in the middle. */
static void the_deep_check_goes_in_slices(void **state) {
    fixture *f = *state;
    covey_error error;
    covey__files_check *slices;
    bool done;
    for (int flipped = 0; flipped < 2; flipped++) {
        if (flipped) ensemble_flip(f->model, 5000);
        assert_int_equal(
            covey__files_check_new(&f->test.env, f->manifest, f->folder.path, &slices, &error),
            COVEY_OK);
        covey_status status = COVEY_OK;
        for (done = false; !done && status == COVEY_OK;)
            status = covey__files_check_step(slices, 0, &done, &error);
        assert_int_equal(status, flipped ? COVEY_ERROR_MISMATCH : COVEY_OK);
        if (flipped) assert_non_null(strstr(error.message, "component \"model\" (model.gguf)"));
        covey__files_check_free(slices);
    }
    ensemble_flip(f->model, 5000);
    /* a component of 20 MiB takes more than one step: each has 8 MiB at least */
    char *big = calloc(20, 1 << 20);
    assert_non_null(big);
    test_write(f->model, big, 20 << 20);
    covey__component *model = &f->manifest->components[0];
    assert_string_equal(model->file, "model.gguf");
    model->size = 20 << 20;
    covey__sha256_of(big, 20 << 20, model->sha256);
    free(big);
    assert_int_equal(
        covey__files_check_new(&f->test.env, f->manifest, f->folder.path, &slices, &error),
        COVEY_OK);
    int steps = 0;
    for (done = false; !done; steps++)
        assert_int_equal(covey__files_check_step(slices, 0, &done, &error), COVEY_OK);
    assert_in_range(steps, 2, 3);
    covey__files_check_free(slices);
    assert_int_equal(
        covey__files_check_new(&f->test.env, f->manifest, f->folder.path, &slices, &error),
        COVEY_OK);
    assert_int_equal(covey__files_check_step(slices, 0, &done, &error), COVEY_OK);
    assert_false(done);
    covey__files_check_free(slices);
}

static void another_size_is_seen_at_once(void **state) {
    fixture *f = *state;
    covey_error error;
    assert_int_equal(truncate(f->model, 1000), 0);
    assert_int_equal(check(f, COVEY_CHECK_MANIFEST, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "1000 bytes"));
}

static void an_absent_file_is_named(void **state) {
    fixture *f = *state;
    covey_error error;
    assert_int_equal(unlink(test_path(&f->folder, "policies/policy.json")), 0);
    assert_int_equal(check(f, COVEY_CHECK_MANIFEST, &error), COVEY_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "component \"policy\" (policies/policy.json)"));
}

static void only_regular_files_count(void **state) {
    fixture *f = *state;
    covey_error error;
    const char *tools = test_path(&f->folder, "tools.json");
    const char *elsewhere = test_path(&f->folder, "elsewhere");
    assert_int_equal(rename(tools, elsewhere), 0);
    assert_int_equal(symlink("elsewhere", tools), 0);
    assert_int_not_equal(check(f, COVEY_CHECK_DIGESTS, &error), COVEY_OK);
    assert_non_null(strstr(error.message, "tools.json"));
    assert_int_equal(unlink(tools), 0);
    assert_int_equal(mkfifo(tools, 0600), 0); /* must not block */
    assert_int_equal(check(f, COVEY_CHECK_MANIFEST, &error), COVEY_ERROR_MISMATCH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_built_is_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flipped_bit_anywhere_is_seen_by_the_deep_check, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_deep_check_goes_in_slices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_size_is_seen_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_absent_file_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_regular_files_count, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
