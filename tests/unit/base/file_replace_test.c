/* Atomic replacement: at whatever step it fails or the process dies, a reader finds the old bytes
 * or the new ones, and the next replacement works. */
#include "support/support.h"

#include "base/file.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

static const char old_bytes[] = "the old bytes, which are longer than the new ones";
static const char new_bytes[] = "the new bytes";

/* What is at the path: 'o' old, 'n' new, '-' nothing; anything else fails the test. */
static char which(const char *path) {
    size_t size;
    char *data = test_read(path, &size);
    if (data == NULL) return '-';
    char found = '?';
    if (size == sizeof old_bytes && memcmp(data, old_bytes, size) == 0) found = 'o';
    if (size == sizeof new_bytes && memcmp(data, new_bytes, size) == 0) found = 'n';
    if (found == '?') fail_msg("%s holds neither the old bytes nor the new: \"%s\"", path, data);
    free(data);
    return found;
}

static void replaces_and_leaves_nothing_beside(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    const char *path = test_path(&folder, "plain"), *temporary = test_path(&folder, "plain.new");
    assert_int_equal(covey__file_replace(&test.env, path, old_bytes, sizeof old_bytes, &error),
                     COVEY_OK);
    assert_int_equal(which(path), 'o');
    assert_int_equal(covey__file_replace(&test.env, path, new_bytes, sizeof new_bytes, &error),
                     COVEY_OK);
    assert_int_equal(which(path), 'n');
    assert_false(covey__file_exists(temporary));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(covey__file_replace(&test.env, path, "", 0, &error), COVEY_OK);
    size_t size;
    free(test_read(path, &size));
    assert_int_equal(size, 0);
    assert_int_equal(test.alive, 0);
    assert_int_equal(covey__file_replace(&test.env, test_path(&folder, "no/such"), "x", 1, &error),
                     COVEY_ERROR_NOT_FOUND);
}

static void any_step_that_fails_leaves_old_or_new(void **state) {
    (void)state;
    const char *path = test_path(&folder, "steps"), *temporary = test_path(&folder, "steps.new");
    int64_t n = 1;
    for (;; n++) {
        test_env test;
        test_env_init(&test);
        test_write(path, old_bytes, sizeof old_bytes);
        test.point_fails = n;
        covey_error error;
        covey_status status =
            covey__file_replace(&test.env, path, new_bytes, sizeof new_bytes, &error);
        assert_int_equal(test.alive, 0);
        /* one that may be another writer's stays, empty, for the next to take over */
        size_t left = 0;
        free(test_read(temporary, &left));
        assert_int_equal(left, 0);
        char found = which(path);
        if (status == COVEY_OK) {
            assert_int_equal(found, 'n');
            if (test.point_calls < n) break;
            assert_true(n > 9); /* the folder's sync, which is tried twice */
            continue;
        }
        assert_int_equal(status, COVEY_ERROR_IO);
        /* what fails after the rename is the folder's sync: the new bytes are there */
        assert_true(found == 'o' || n > 9);
        test.point_fails = 0;
        assert_int_equal(covey__file_replace(&test.env, path, new_bytes, sizeof new_bytes, &error),
                         COVEY_OK);
        assert_int_equal(which(path), 'n');
        assert_false(covey__file_exists(temporary));
    }
    assert_true(n >= 11);
}

static covey_status replace(const covey__env *env, void *user, covey_error *error) {
    return covey__file_replace(env, user, new_bytes, sizeof new_bytes, error);
}

static void refused_memory_leaves_old_or_new(void **state) {
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s/memory", folder.path);
    test_write(path, old_bytes, sizeof old_bytes);
    assert_true(test_fail_each_allocation(replace, path) >= 3);
    assert_int_equal(which(path), 'n');
}

static int die(void *user, const char *point, const char *subject) {
    (void)point;
    (void)subject;
    if (--*(int *)user == 0) _exit(9);
    return 0;
}

/* Runs a replacement in a process of its own that dies at its Nth fault point; true when it did. */
static bool replace_and_die(const char *path, int n) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        covey__env env;
        covey__env_init(&env);
        env.fault = die;
        env.fault_user = &n;
        covey_error error;
        _exit(covey__file_replace(&env, path, new_bytes, sizeof new_bytes, &error) == COVEY_OK ? 0
                                                                                               : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0);
    return WEXITSTATUS(status) == 9;
}

static void a_process_killed_at_any_step_leaves_old_or_new(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    const char *path = test_path(&folder, "killed"), *temporary = test_path(&folder, "killed.new");
    int n = 1, left = 0;
    for (bool died = true; died; n++) {
        test_write(path, old_bytes, sizeof old_bytes);
        died = replace_and_die(path, n);
        assert_true(which(path) == (died && n <= 9 ? 'o' : 'n'));
        if (covey__file_exists(temporary)) left++;
        /* a longer temporary that was left is used again, and cut */
        if (covey__file_exists(temporary)) test_write(temporary, old_bytes, sizeof old_bytes);
        assert_int_equal(covey__file_replace(&env, path, new_bytes, sizeof new_bytes, &error),
                         COVEY_OK);
        assert_int_equal(which(path), 'n');
        assert_false(covey__file_exists(temporary));
    }
    assert_true(n > 10 && left >= 7);
}

typedef struct writer {
    const char *path;
    char letter;
} writer;

static void *write_often(void *user) {
    const writer *self = user;
    covey__env env;
    covey__env_init(&env);
    char block[4096];
    memset(block, self->letter, sizeof block);
    for (int i = 0; i < 100; i++) {
        covey_error error;
        if (covey__file_replace(&env, self->path, block, sizeof block, &error) != COVEY_OK)
            return NULL;
    }
    return user;
}

static void writers_at_once_never_mix(void **state) {
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s/many", folder.path);
    writer writers[3] = {{path, 'a'}, {path, 'b'}, {path, 'c'}};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_often, &writers[i]), 0);
    for (int reads = 0; reads < 200; reads++) {
        size_t size;
        char *data = test_read(path, &size);
        if (data == NULL) continue;
        assert_int_equal(size, 4096);
        for (size_t i = 1; i < size; i++) assert_int_equal(data[i], data[0]);
        free(data);
    }
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, &writers[i]);
    }
    assert_int_equal(access(test_path(&folder, "many.new"), F_OK), -1);
}

static void in_steps_it_can_be_busy_or_dropped(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    covey__replacement first, second;
    const char *path = test_path(&folder, "stepwise");
    test_write(path, old_bytes, sizeof old_bytes);
    assert_int_equal(covey__replace_begin(&test.env, path, false, &first, &error), COVEY_OK);
    assert_int_equal(covey__replace_begin(&test.env, path, false, &second, &error),
                     COVEY_ERROR_BUSY);
    covey__replace_abort(&second);
    covey__replace_abort(&first);
    covey__replace_abort(&first);
    assert_int_equal(which(path), 'o');
    assert_false(covey__file_exists(test_path(&folder, "stepwise.new")));
    assert_int_equal(covey__replace_begin(&test.env, path, false, &first, &error), COVEY_OK);
    assert_int_equal(covey__file_write_at(&test.env, first.descriptor, first.temporary, 0,
                                          new_bytes, sizeof new_bytes, &error),
                     COVEY_OK);
    assert_int_equal(covey__replace_commit(&first, &error), COVEY_OK);
    assert_int_equal(which(path), 'n');
    covey__replace_abort(&first);
    assert_int_equal(test.alive, 0);
}

/* A link at the temporary's place must not make us write somewhere else. */
static void a_link_is_not_followed(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    const char *target = test_path(&folder, "target"), *path = test_path(&folder, "linked");
    test_write(target, old_bytes, sizeof old_bytes);
    assert_int_equal(symlink(target, test_path(&folder, "linked.new")), 0);
    assert_int_equal(covey__file_replace(&env, path, new_bytes, sizeof new_bytes, &error),
                     COVEY_ERROR_IO);
    assert_int_equal(error.system_code, ELOOP);
    assert_int_equal(which(target), 'o');
}

/* A device, a pipe or a folder of that name stays what it is. */
static void only_plain_files_are_replaced(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    const char *pipe_path = test_path(&folder, "pipe"), *dir_path = test_path(&folder, "folder");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(mkdir(dir_path, 0700), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(covey__file_replace(&env, i ? pipe_path : dir_path, new_bytes,
                                             sizeof new_bytes, &error),
                         COVEY_ERROR_DENIED);
    struct stat found;
    assert_int_equal(lstat(pipe_path, &found), 0);
    assert_true(S_ISFIFO(found.st_mode));
}

/* What a killed process left may be readable by others, or be another file's second name. */
static void a_leftover_becomes_private(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    const char *path = test_path(&folder, "private"), *left = test_path(&folder, "private.new");
    struct stat found;
    test_write(left, old_bytes, sizeof old_bytes);
    assert_int_equal(chmod(left, 0666), 0);
    assert_int_equal(covey__file_replace(&env, path, new_bytes, sizeof new_bytes, &error),
                     COVEY_OK);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    const char *other = test_path(&folder, "other");
    test_write(other, old_bytes, sizeof old_bytes);
    assert_int_equal(link(other, left), 0);
    assert_int_equal(covey__file_replace(&env, path, new_bytes, sizeof new_bytes, &error),
                     COVEY_OK);
    assert_int_equal(which(path), 'n');
    assert_int_equal(which(other), 'o');
    assert_false(covey__file_exists(left));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_and_leaves_nothing_beside),
        cmocka_unit_test(any_step_that_fails_leaves_old_or_new),
        cmocka_unit_test(refused_memory_leaves_old_or_new),
        cmocka_unit_test(a_process_killed_at_any_step_leaves_old_or_new),
        cmocka_unit_test(writers_at_once_never_mix),
        cmocka_unit_test(in_steps_it_can_be_busy_or_dropped),
        cmocka_unit_test(a_link_is_not_followed),
        cmocka_unit_test(only_plain_files_are_replaced),
        cmocka_unit_test(a_leftover_becomes_private),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
