/* Folders: made with parents, listed in order, removed without following links. */
#include "support/support.h"

#include "base/file.h"

#include <stdio.h>
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

static void parents_are_made(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    const char *deep = test_path(&folder, "a//b/c/");
    assert_int_equal(covey__folder_make(&test.env, deep, &error), COVEY_OK);
    assert_int_equal(covey__folder_make(&test.env, deep, &error), COVEY_OK);
    struct stat info;
    assert_int_equal(stat(test_path(&folder, "a/b/c"), &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(covey__folder_sync(&test.env, test_path(&folder, "a/b"), &error), COVEY_OK);
    test_write(test_path(&folder, "a/file"), "x", 1);
    assert_int_equal(covey__folder_make(&test.env, test_path(&folder, "a/file/d"), &error),
                     COVEY_ERROR_IO);
    assert_int_equal(covey__folder_make(&test.env, test_path(&folder, "a/file"), &error),
                     COVEY_ERROR_IO);
    test.point = "mkdir";
    test.point_calls = 0;
    test.point_fails = 2;
    assert_int_equal(covey__folder_make(&test.env, test_path(&folder, "x/y/z"), &error),
                     COVEY_ERROR_IO);
    assert_true(covey__file_exists(test_path(&folder, "x")));
    assert_false(covey__file_exists(test_path(&folder, "x/y")));
    assert_int_equal(test.alive, 0);
}

typedef struct names {
    char all[256];
    int stop_after;
} names;

static covey_status add_name(void *user, const char *name, bool is_folder) {
    names *seen = user;
    strcat(seen->all, name);
    strcat(seen->all, is_folder ? "/ " : " ");
    return --seen->stop_after == 0 ? COVEY_ERROR_CANCELLED : COVEY_OK;
}

static covey_status list(const covey__env *env, void *user, covey_error *error) {
    ((names *)user)->all[0] = '\0';
    ((names *)user)->stop_after = 0;
    return covey__folder_list(env, test_path(&folder, "list"), error, add_name, user);
}

static void names_come_sorted(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    assert_int_equal(covey__folder_make(&test.env, test_path(&folder, "list/dir"), &error),
                     COVEY_OK);
    static const char *const files[] = {"list/zeta", "list/.hidden", "list/alpha", "list/Beta"};
    for (int i = 0; i < 4; i++) test_write(test_path(&folder, files[i]), "", 0);
    assert_int_equal(symlink(".", test_path(&folder, "list/link")), 0);
    names seen;
    assert_int_equal(list(&test.env, &seen, &error), COVEY_OK);
    assert_string_equal(seen.all, ".hidden Beta alpha dir/ link zeta ");
    seen = (names){"", 2};
    assert_int_equal(
        covey__folder_list(&test.env, test_path(&folder, "list"), &error, add_name, &seen),
        COVEY_ERROR_CANCELLED);
    assert_string_equal(seen.all, ".hidden Beta ");
    assert_int_equal(
        covey__folder_list(&test.env, test_path(&folder, "none"), &error, add_name, &seen),
        COVEY_ERROR_NOT_FOUND);
    assert_int_equal(test.alive, 0);
    assert_int_equal(test_fail_each_allocation(list, &seen), 7);
    for (int64_t n = 1; n <= 8; n++) { /* open, then "list" once a name with . and .. and the end */
        test_env_init(&test);
        test.point_fails = n;
        assert_int_equal(list(&test.env, &seen, &error), COVEY_ERROR_IO);
        assert_int_equal(test.alive, 0);
    }
}

static void grow_tree(covey__env *env) {
    covey_error error;
    assert_int_equal(covey__folder_make(env, test_path(&folder, "tree/one/two"), &error), COVEY_OK);
    assert_int_equal(covey__folder_make(env, test_path(&folder, "tree/three"), &error), COVEY_OK);
    assert_int_equal(covey__folder_make(env, test_path(&folder, "outside"), &error), COVEY_OK);
    test_write(test_path(&folder, "outside/kept"), "kept", 4);
    test_write(test_path(&folder, "tree/one/two/file"), "x", 1);
    test_write(test_path(&folder, "tree/file"), "x", 1);
    (void)!symlink("../outside", test_path(&folder, "tree/link"));
    (void)!symlink("/nowhere", test_path(&folder, "tree/one/broken"));
}

static void a_tree_goes_and_links_are_not_followed(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    char tree[300];
    snprintf(tree, sizeof tree, "%s/tree", folder.path);
    grow_tree(&test.env);
    assert_int_equal(covey__tree_remove(&test.env, tree, &error), COVEY_OK);
    assert_false(covey__file_exists(tree));
    assert_true(covey__file_exists(test_path(&folder, "outside/kept")));
    assert_int_equal(covey__tree_remove(&test.env, tree, &error), COVEY_OK);
    assert_int_equal(symlink("outside", test_path(&folder, "way")), 0);
    assert_int_equal(covey__tree_remove(&test.env, test_path(&folder, "way"), &error), COVEY_OK);
    assert_true(covey__file_exists(test_path(&folder, "outside/kept")));
    assert_int_equal(test.alive, 0);
}

static void a_removal_that_fails_can_be_repeated(void **state) {
    (void)state;
    char tree[300];
    snprintf(tree, sizeof tree, "%s/tree", folder.path);
    int64_t n = 1;
    for (;; n++) {
        covey__env plain;
        covey__env_init(&plain);
        grow_tree(&plain);
        test_env test;
        test_env_init(&test);
        covey_error error;
        test.point_fails = n;
        covey_status status = covey__tree_remove(&test.env, tree, &error);
        assert_int_equal(test.alive, 0);
        if (status == COVEY_OK) break;
        assert_int_equal(status, COVEY_ERROR_IO);
        assert_true(covey__file_exists(tree));
        test.point_fails = 0;
        assert_int_equal(covey__tree_remove(&test.env, tree, &error), COVEY_OK);
        assert_false(covey__file_exists(tree));
    }
    assert_true(n > 10);
}

static void a_tree_too_deep_is_refused(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    char path[600];
    int size = snprintf(path, sizeof path, "%s/deep", folder.path);
    for (int i = 0; i < 80; i++) size += snprintf(path + size, sizeof path - (size_t)size, "/d");
    assert_int_equal(covey__folder_make(&env, path, &error), COVEY_OK);
    assert_int_equal(covey__tree_remove(&env, test_path(&folder, "deep"), &error),
                     COVEY_ERROR_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parents_are_made),
        cmocka_unit_test(names_come_sorted),
        cmocka_unit_test(a_tree_goes_and_links_are_not_followed),
        cmocka_unit_test(a_removal_that_fails_can_be_repeated),
        cmocka_unit_test(a_tree_too_deep_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
