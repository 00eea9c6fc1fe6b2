/* The store's files: names, bytes, and what counts as absent. */
#include "support/support.h"

#include "trust/tuf_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static covey_status read_role(const covey__tuf_store *store, const char *role, covey__buffer *out) {
    covey__buffer_clear(out);
    return covey__tuf_store_read(store, role, out, NULL);
}

static void bytes_as_they_came(void **unused) {
    (void)unused;
    test_folder folder;
    test_env t;
    covey__buffer out;
    test_folder_make(&folder);
    test_env_init(&t);
    char path[300];
    strcpy(path, test_path(&folder, "new/store"));
    covey__tuf_store store = {&t.env, path, false};
    covey__buffer_init(&out, &t.env, 100);
    assert_int_equal(read_role(&store, "../a", &out), COVEY_ERROR_NOT_FOUND);
    assert_int_equal(covey__tuf_store_remove(&store, "../a", NULL), COVEY_OK);
    assert_int_equal(covey__tuf_store_write(&store, "../a", "{ }\n", 4, NULL), COVEY_OK);
    assert_int_equal(read_role(&store, "../a", &out), COVEY_OK);
    assert_string_equal(out.data, "{ }\n");
    char *stored = test_read(test_path(&folder, "new/store/%2E.%2Fa.json"), &(size_t){0});
    assert_string_equal(stored, "{ }\n");
    free(stored);
    assert_null(test_read(test_path(&folder, "new/a.json"), &(size_t){0}));
    assert_int_equal(covey__tuf_store_remove(&store, "../a", NULL), COVEY_OK);
    assert_int_equal(read_role(&store, "../a", &out), COVEY_ERROR_NOT_FOUND);
    covey__buffer_free(&out);
    test_folder_remove(&folder);
}

/* What cannot be read is an error without a floor, and absent with one; too long is absent. */
static void what_cannot_be_read(void **unused) {
    (void)unused;
    test_folder folder;
    test_env t;
    covey__buffer out;
    test_folder_make(&folder);
    test_env_init(&t);
    covey__tuf_store store = {&t.env, folder.path, false};
    covey__buffer_init(&out, &t.env, 8);
    test_write(test_path(&folder, "a.json"), "0123456789", 10);
    assert_int_equal(read_role(&store, "a", &out), COVEY_ERROR_NOT_FOUND);
    test_write(test_path(&folder, "a.json"), "01234", 5);
    for (int tolerant = 0; tolerant < 2; tolerant++) {
        store.tolerant = tolerant != 0;
        t.point = "read";
        t.point_calls = 0;
        t.point_fails = 1;
        assert_int_equal(read_role(&store, "a", &out),
                         tolerant ? COVEY_ERROR_NOT_FOUND : COVEY_ERROR_IO);
        t.point_fails = 0;
        assert_int_equal(read_role(&store, "a", &out), COVEY_OK);
    }
    covey__buffer_free(&out);
    test_folder_remove(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_as_they_came),
        cmocka_unit_test(what_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
