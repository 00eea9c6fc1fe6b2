/* Seals: what touches a file after it was verified is seen at the next load. */
#include "ensemble_folder.h"

#include "bundle/seal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct fixture {
    test_env test;
    test_folder folder;
    covey__manifest *manifest;
    covey__buffer seal;
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
    covey__buffer_init(&f.seal, &f.test.env, COVEY__SEAL_BYTES_MAX);
    assert_int_equal(covey__seal_make(&f.test.env, f.manifest, f.folder.path, &f.seal, &error),
                     COVEY_OK);
    strcpy(f.model, test_path(&f.folder, "model.gguf"));
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    covey__buffer_free(&f->seal);
    covey__manifest_free(f->manifest);
    test_folder_remove(&f->folder);
    assert_int_equal(f->test.alive, 0);
    return 0;
}

static covey_status check(fixture *f, const char *folder, covey_error *error) {
    memset(error, 0, sizeof *error);
    return covey__seal_check(&f->test.env, f->manifest, folder, f->seal.data, f->seal.size, error);
}

static void set_time(const char *path, struct timespec time) {
    struct timespec times[2] = {time, time};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static struct timespec time_of(const char *path) {
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    return facts.st_mtim;
}

static void it_holds_and_survives_a_move_of_the_folder(void **state) {
    fixture *f = *state;
    covey_error error;
    char moved[300];
    assert_int_equal(check(f, f->folder.path, &error), COVEY_OK);
    snprintf(moved, sizeof moved, "%s-moved", f->folder.path);
    assert_int_equal(rename(f->folder.path, moved), 0);
    assert_int_equal(check(f, moved, &error), COVEY_OK);
    assert_int_equal(rename(moved, f->folder.path), 0);
}

static void a_write_is_seen_by_its_time(void **state) {
    fixture *f = *state;
    covey_error error;
    struct timespec later = time_of(f->model);
    later.tv_nsec = later.tv_nsec == 999999999 ? 0 : later.tv_nsec + 1;
    set_time(f->model, later);
    assert_int_equal(check(f, f->folder.path, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "model.gguf"));
    assert_non_null(strstr(error.message, "mtime"));
}

static void head_and_tail_are_seen_though_the_time_was_put_back(void **state) {
    fixture *f = *state;
    covey_error error;
    static const size_t places[] = {0, 65535, SIZE_MAX};
    for (size_t i = 0; i < 3; i++) {
        struct timespec time = time_of(f->model);
        struct stat before, after;
        assert_int_equal(stat(f->model, &before), 0);
        ensemble_flip(f->model, places[i]);
        set_time(f->model, time);
        assert_int_equal(stat(f->model, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino); /* else the inode would tell */
        assert_int_equal(check(f, f->folder.path, &error), COVEY_ERROR_MISMATCH);
        assert_non_null(strstr(error.message, "ends_sha256"));
        ensemble_flip(f->model, places[i]);
        set_time(f->model, time);
        assert_int_equal(check(f, f->folder.path, &error), COVEY_OK);
    }
}

static void a_copy_is_another_file(void **state) {
    fixture *f = *state;
    covey_error error;
    size_t size;
    char copy[310];
    struct timespec time = time_of(f->model);
    char *data = test_read(f->model, &size);
    snprintf(copy, sizeof copy, "%s.copy", f->model);
    test_write(copy, data, size);
    free(data);
    set_time(copy, time);
    assert_int_equal(rename(copy, f->model), 0);
    assert_int_equal(check(f, f->folder.path, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "inode"));
}

static void another_size_and_an_absent_file_are_seen(void **state) {
    fixture *f = *state;
    covey_error error;
    assert_int_equal(truncate(test_path(&f->folder, "tools.json"), 3), 0);
    assert_int_equal(check(f, f->folder.path, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "tools.json"));
    assert_int_equal(unlink(test_path(&f->folder, "tools.json")), 0);
    assert_int_equal(check(f, f->folder.path, &error), COVEY_ERROR_NOT_FOUND);
}

static void the_manifest_is_sealed_too(void **state) {
    fixture *f = *state;
    covey_error error;
    ensemble_flip(test_path(&f->folder, "ensemble.json"), 5);
    assert_int_equal(check(f, f->folder.path, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "ensemble.json"));
}

static void a_hard_link_for_another_slot_moves_nothing(void **state) {
    fixture *f = *state;
    covey_error error;
    char other[310];
    snprintf(other, sizeof other, "%s.link", f->model);
    assert_int_equal(link(f->model, other), 0);
    assert_int_equal(check(f, f->folder.path, &error), COVEY_OK);
}

static void a_damaged_seal_never_holds(void **state) {
    fixture *f = *state;
    covey_error error;
    for (size_t i = 0; i < f->seal.size; i++) {
        char kept = f->seal.data[i];
        f->seal.data[i] ^= 2;
        assert_int_not_equal(check(f, f->folder.path, &error), COVEY_OK);
        f->seal.data[i] = kept;
    }
    memset(&error, 0, sizeof error);
    assert_int_equal(covey__seal_check(&f->test.env, f->manifest, f->folder.path, "", 0, &error),
                     COVEY_ERROR_FORMAT);
}

static void a_seal_of_another_ensemble_does_not_hold(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__manifest *other;
    test_folder second;
    test_folder_make(&second);
    ensemble_make(&f->test.env, second.path, "1.1.0", "f32", 2);
    assert_int_equal(covey__manifest_read(&f->test.env, second.path, &other, &error), COVEY_OK);
    assert_int_equal(
        covey__seal_check(&f->test.env, other, second.path, f->seal.data, f->seal.size, &error),
        COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "another ensemble"));
    covey__manifest_free(other);
    test_folder_remove(&second);
}

static covey_status seal_step(const covey__env *env, void *user, covey_error *error) {
    fixture *f = user;
    covey__buffer seal;
    covey__buffer_init(&seal, env, COVEY__SEAL_BYTES_MAX);
    covey_status status = covey__seal_make(env, f->manifest, f->folder.path, &seal, error);
    if (status == COVEY_OK)
        status = covey__seal_check(env, f->manifest, f->folder.path, seal.data, seal.size, error);
    covey__buffer_free(&seal);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    assert_true(test_fail_each_allocation(seal_step, *state) > 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_holds_and_survives_a_move_of_the_folder, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_write_is_seen_by_its_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(head_and_tail_are_seen_though_the_time_was_put_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_copy_is_another_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_size_and_an_absent_file_are_seen, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_manifest_is_sealed_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hard_link_for_another_slot_moves_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_seal_never_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_seal_of_another_ensemble_does_not_hold, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(survives_each_failed_allocation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
