/* Files by path and descriptor: whole reads, exact reads, caps, faults. */
#include "support/support.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static test_folder folder;

static int make_folder(void **state) {
    (void)state;
    test_folder_make(&folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

static void whole_files_are_read(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    static const size_t sizes[] = {0, 1, 4095, 65536, 65537, 300000};
    char *data = malloc(300000);
    assert_non_null(data);
    for (size_t i = 0; i < 300000; i++) data[i] = (char)(i * 31 + i / 977);
    const char *path = test_path(&folder, "whole");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        test_write(path, data, sizes[i]);
        covey__buffer buffer; /* the cap is exactly enough, behind what is there already */
        covey__buffer_init(&buffer, &test.env, sizes[i] + 2);
        covey__buffer_text(&buffer, "<>");
        assert_int_equal(covey__file_read(&test.env, path, &buffer, &error), COVEY_OK);
        assert_int_equal(buffer.size, sizes[i] + 2);
        assert_memory_equal(buffer.data, "<>", 2);
        assert_memory_equal(buffer.data + 2, data, sizes[i]);
        covey__buffer_free(&buffer);
        if (sizes[i] == 0) continue;
        covey__buffer_init(&buffer, &test.env, sizes[i] - 1);
        assert_int_equal(covey__file_read(&test.env, path, &buffer, &error), COVEY_ERROR_LIMIT);
        assert_int_equal(error.expected, sizes[i] - 1);
        assert_int_equal(buffer.size, 0);
        covey__buffer_free(&buffer);
    }
    free(data);
    assert_int_equal(test.alive, 0);
}

/* Files whose size is not told in advance, as /proc has them, are read and capped too. */
static void files_of_no_told_size(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    struct stat info;
    if (stat("/proc/self/status", &info) != 0 || info.st_size != 0) {
        print_message("skipped: no /proc here\n");
        skip();
    }
    covey_error error;
    covey__buffer buffer;
    covey__buffer_init(&buffer, &env, 100000);
    assert_int_equal(covey__file_read(&env, "/proc/self/status", &buffer, &error), COVEY_OK);
    assert_memory_equal(buffer.data, "Name:", 5);
    assert_true(buffer.size > 100);
    covey__buffer_free(&buffer);
    covey__buffer_init(&buffer, &env, 10);
    assert_int_equal(covey__file_read(&env, "/proc/self/status", &buffer, &error),
                     COVEY_ERROR_LIMIT);
    assert_int_equal(buffer.size, 0);
    covey__buffer_free(&buffer);
}

static void what_is_no_file_is_refused(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    covey__buffer buffer;
    covey__buffer_init(&buffer, &env, 1000);
    assert_int_equal(covey__file_read(&env, test_path(&folder, "absent"), &buffer, &error),
                     COVEY_ERROR_NOT_FOUND);
    assert_int_equal(error.system_code, ENOENT);
    assert_non_null(strstr(error.message, "absent: open: "));
    assert_int_equal(covey__file_read(&env, folder.path, &buffer, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    const char *pipe_path = test_path(&folder, "pipe");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(covey__file_read(&env, pipe_path, &buffer, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    uint64_t size;
    assert_int_equal(covey__file_size(&env, folder.path, &size, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey__file_size(&env, test_path(&folder, "absent"), &size, &error),
                     COVEY_ERROR_NOT_FOUND);
    covey__buffer_free(&buffer);
}

static void pieces_are_written_and_read_at_offsets(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    const char *path = test_path(&folder, "pieces");
    int descriptor;
    assert_int_equal(
        covey__file_open(&env, path, O_RDWR | O_CREAT | O_TRUNC, 0600, &descriptor, &error),
        COVEY_OK);
    assert_int_equal(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(covey__file_write_at(&env, descriptor, path, 4, "EFGH", 4, &error), COVEY_OK);
    assert_int_equal(covey__file_write_at(&env, descriptor, path, 0, "ABCD", 4, &error), COVEY_OK);
    assert_int_equal(covey__file_sync(&env, descriptor, path, &error), COVEY_OK);
    char read_back[9] = {0};
    assert_int_equal(covey__file_read_at(&env, descriptor, path, 2, read_back, 6, &error),
                     COVEY_OK);
    assert_string_equal(read_back, "CDEFGH");
    assert_int_equal(covey__file_read_at(&env, descriptor, path, 2, read_back, 7, &error),
                     COVEY_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "ends at byte 8, expected at least 9"));
    assert_int_equal(
        covey__file_read_at(&env, descriptor, path, UINT64_MAX - 2, read_back, 4, &error),
        COVEY_ERROR_IO);
    assert_int_equal(covey__file_write_at(&env, descriptor, path, INT64_MAX, read_back, 4, &error),
                     COVEY_ERROR_IO);
    close(descriptor);
    uint64_t size;
    assert_int_equal(covey__file_size(&env, path, &size, &error), COVEY_OK);
    assert_int_equal(size, 8);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 077, 0);
}

static void names_move_and_go(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    const char *a = test_path(&folder, "a"), *b = test_path(&folder, "b");
    test_write(a, "x", 1);
    assert_true(covey__file_exists(a));
    assert_int_equal(covey__file_rename(&env, a, b, &error), COVEY_OK);
    assert_false(covey__file_exists(a));
    assert_int_equal(covey__file_rename(&env, a, b, &error), COVEY_ERROR_NOT_FOUND);
    assert_int_equal(covey__file_remove(&env, b, &error), COVEY_OK);
    assert_int_equal(covey__file_remove(&env, b, &error), COVEY_OK);
    assert_false(covey__file_exists(b));
}

static covey_status use_everything(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    const char *path = test_path(&folder, "every"), *moved = test_path(&folder, "moved");
    int descriptor = -1;
    char data[4];
    uint64_t size;
    covey__buffer buffer;
    covey__buffer_init(&buffer, env, 100);
    covey_status status =
        covey__file_open(env, path, O_RDWR | O_CREAT | O_TRUNC, 0600, &descriptor, error);
    if (status == COVEY_OK)
        status = covey__file_write_at(env, descriptor, path, 0, "data", 4, error);
    if (status == COVEY_OK) status = covey__file_sync(env, descriptor, path, error);
    if (status == COVEY_OK) status = covey__file_read_at(env, descriptor, path, 0, data, 4, error);
    if (descriptor >= 0) close(descriptor);
    if (status == COVEY_OK) status = covey__file_rename(env, path, moved, error);
    if (status == COVEY_OK) status = covey__file_size(env, moved, &size, error);
    if (status == COVEY_OK) status = covey__file_read(env, moved, &buffer, error);
    if (status == COVEY_OK) status = covey__file_remove(env, moved, error);
    covey__buffer_free(&buffer);
    return status;
}

static void each_step_can_fail(void **state) {
    (void)state;
    int64_t points = 0;
    for (int64_t n = 1;; n++) {
        test_env test;
        test_env_init(&test);
        test.point_fails = n;
        test.point_errno = ENOSPC;
        covey_error error = {COVEY_OK, 0, 0, 0, ""};
        covey_status status = use_everything(&test.env, NULL, &error);
        assert_int_equal(test.alive, 0);
        points = test.point_calls;
        if (points < n) {
            assert_int_equal(status, COVEY_OK);
            break;
        }
        assert_int_equal(status, COVEY_ERROR_NO_SPACE);
        assert_int_equal(error.system_code, ENOSPC);
    }
    assert_true(points >= 10);
    assert_true(test_fail_each_allocation(use_everything, NULL) >= 1);
}

static void paths_are_joined(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}};
    for (size_t i = 0; i < 4; i++) {
        char *joined = covey__path_join(&env, cases[i][0], cases[i][1]);
        assert_string_equal(joined, cases[i][2]);
        covey__free(&env, joined);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files_are_read),
        cmocka_unit_test(files_of_no_told_size),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(pieces_are_written_and_read_at_offsets),
        cmocka_unit_test(names_move_and_go),
        cmocka_unit_test(each_step_can_fail),
        cmocka_unit_test(paths_are_joined),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
