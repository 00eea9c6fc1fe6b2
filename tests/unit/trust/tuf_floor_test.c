/* The floor: what is kept, what a rotation of keys resets, and what a damaged file is. */
#include "support/support.h"

#include "trust/tuf_floor.h"

#include <string.h>

static const char *const one[] = {"k1"}, *const both[] = {"k1", "k2"}, *const other[] = {"k2"};

static covey__tuf_role role(const char *name, const char *const *ids, size_t count) {
    return (covey__tuf_role){
        .name = name, .key_ids = (const char **)(uintptr_t)ids, .key_count = count};
}

static void load(covey__tuf_floor *floor, const covey__env *env, const char *path) {
    assert_int_equal(covey__tuf_floor_load(floor, env, path, NULL), COVEY_OK);
}

static void kept_and_reset(void **unused) {
    (void)unused;
    test_folder folder;
    test_env t;
    covey__tuf_floor floor;
    char path[300];
    test_folder_make(&folder);
    test_env_init(&t);
    strcpy(path, test_path(&folder, "floor.json"));
    covey__tuf_role a = role("a", one, 1), a_both = role("a", both, 2),
                    a_other = role("a", other, 1);
    covey__tuf_role b = role("b\n\"", one, 1), root = role("root", one, 1),
                    new_root = role("root", other, 1);
    load(&floor, &t.env, path);
    assert_int_equal(covey__tuf_floor_version(&floor, &a), 0);
    assert_int_equal(covey__tuf_floor_raise(&floor, &a, 5, NULL), COVEY_OK);
    assert_int_equal(covey__tuf_floor_raise(&floor, &a, 3, NULL), COVEY_OK);
    assert_int_equal(covey__tuf_floor_raise(&floor, &b, 2, NULL), COVEY_OK);
    assert_int_equal(covey__tuf_floor_raise(&floor, &root, 9, NULL), COVEY_OK);
    covey__tuf_floor_set_time(&floor, 1000000);
    assert_int_equal(covey__tuf_floor_save(&floor, NULL), COVEY_OK);
    covey__tuf_floor_free(&floor);
    load(&floor, &t.env, path);
    assert_int_equal(floor.time_ms, 1000000);
    assert_int_equal(floor.role_count, 3);
    assert_int_equal(covey__tuf_floor_version(&floor, &a), 5);
    assert_int_equal(covey__tuf_floor_version(&floor, &b), 2);
    assert_int_equal(covey__tuf_floor_version(&floor, &a_both), 5); /* one was added */
    assert_int_equal(covey__tuf_floor_version(&floor, &a_other), 0);
    assert_true(covey__tuf_floor_rotated(&floor, &a_other));
    assert_int_equal(covey__tuf_floor_version(&floor, &new_root), 9); /* never the root's */
    assert_int_equal(covey__tuf_floor_raise(&floor, &a_both, 5, NULL), COVEY_OK);
    assert_int_equal(covey__tuf_floor_version(&floor, &a), 0); /* k2 is gone again */
    assert_int_equal(covey__tuf_floor_raise(&floor, &a_other, 1, NULL), COVEY_OK);
    assert_int_equal(covey__tuf_floor_version(&floor, &a_other), 1);
    assert_int_equal(floor.role_count, 3);
    assert_int_equal(covey__tuf_floor_raise(&floor, &new_root, 8, NULL), COVEY_OK);
    assert_int_equal(covey__tuf_floor_version(&floor, &new_root), 9);
    t.point = "write";
    t.point_calls = 0;
    t.point_fails = 1;
    assert_int_equal(covey__tuf_floor_save(&floor, NULL), COVEY_ERROR_IO);
    assert_int_equal(covey__tuf_floor_save(&floor, NULL), COVEY_OK);
    int64_t writes = t.point_calls;
    assert_int_equal(covey__tuf_floor_save(&floor, NULL), COVEY_OK);
    assert_int_equal(t.point_calls, writes); /* nothing new is not written */
    covey__tuf_floor_free(&floor);
    assert_int_equal(t.alive, 0);
    test_folder_remove(&folder);
}

static void damaged_or_none(void **unused) {
    (void)unused;
    static const char *const texts[] = {"",
                                        "[]",
                                        "{\"roles\":1}",
                                        "{\"roles\":{\"a\":{\"version\":0,\"keyids\":[]}}}",
                                        "{\"roles\":{\"a\":{\"version\":1,\"keyids\":[1]}}}",
                                        "{\"roles\":{},\"time\":\"x\"}"};
    test_folder folder;
    test_env t;
    covey__tuf_floor floor;
    test_folder_make(&folder);
    test_env_init(&t);
    covey__tuf_role a = role("a", one, 1);
    char path[300];
    strcpy(path, test_path(&folder, "floor.json"));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        test_write(path, texts[i], strlen(texts[i]));
        load(&floor, &t.env, path);
        assert_int_equal(floor.role_count, 0);
        assert_int_equal(floor.time_ms, 0);
        covey__tuf_floor_free(&floor);
    }
    t.point = "read";
    t.point_calls = 0;
    t.point_fails = 1;
    assert_int_equal(covey__tuf_floor_load(&floor, &t.env, path, NULL), COVEY_ERROR_IO);
    covey__tuf_floor_free(&floor);
    load(&floor, &t.env, NULL);
    assert_int_equal(covey__tuf_floor_raise(&floor, &a, 5, NULL), COVEY_OK);
    assert_int_equal(covey__tuf_floor_version(&floor, &a), 0);
    assert_int_equal(covey__tuf_floor_save(&floor, NULL), COVEY_OK);
    covey__tuf_floor_free(&floor);
    assert_int_equal(t.alive, 0);
    test_folder_remove(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_and_reset),
        cmocka_unit_test(damaged_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
