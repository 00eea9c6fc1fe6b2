/* Locks between processes: busy while held, free when dropped or when the holder dies. */
#include "support/support.h"

#include "base/file.h"

#include <sys/wait.h>
#include <unistd.h>

static void one_holder_at_a_time(void **state) {
    (void)state;
    test_folder folder;
    test_folder_make(&folder);
    test_env test;
    test_env_init(&test);
    covey_error error;
    const char *path = test_path(&folder, "lock");
    int lock, other;
    assert_int_equal(covey__lock_take(&test.env, path, false, &lock, &error), COVEY_OK);
    assert_int_equal(covey__lock_take(&test.env, path, false, &other, &error), COVEY_ERROR_BUSY);
    covey__lock_drop(lock);
    assert_int_equal(covey__lock_take(&test.env, path, true, &lock, &error), COVEY_OK);
    covey__lock_drop(lock);
    test.point = "lock";
    test.point_calls = 0;
    test.point_fails = 1;
    assert_int_equal(covey__lock_take(&test.env, path, true, &lock, &error), COVEY_ERROR_IO);
    assert_int_equal(covey__lock_take(&test.env, folder.path, false, &lock, &error),
                     COVEY_ERROR_IO);
    test_folder_remove(&folder);
}

/* The child takes the lock, says so on a pipe and waits on another one for its end. */
static void hold_until_told(const char *path, int ready, int end) {
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    int lock;
    char byte = 'x';
    if (covey__lock_take(&env, path, false, &lock, &error) != COVEY_OK) _exit(1);
    if (write(ready, &byte, 1) != 1) _exit(1);
    (void)!read(end, &byte, 1);
    _exit(0); /* without dropping it */
}

static void a_holders_death_frees_it(void **state) {
    (void)state;
    test_folder folder;
    test_folder_make(&folder);
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    const char *path = test_path(&folder, "lock");
    int ready[2], end[2], lock;
    assert_true(pipe(ready) == 0 && pipe(end) == 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) hold_until_told(path, ready[1], end[0]);
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(covey__lock_take(&env, path, false, &lock, &error), COVEY_ERROR_BUSY);
    assert_int_equal(write(end[1], "x", 1), 1);
    assert_int_equal(covey__lock_take(&env, path, true, &lock, &error), COVEY_OK);
    covey__lock_drop(lock);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(end[i]);
    }
    test_folder_remove(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_holder_at_a_time),
        cmocka_unit_test(a_holders_death_frees_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
