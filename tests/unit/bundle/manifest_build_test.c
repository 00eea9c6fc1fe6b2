/* The manifest's writer: what a person got wrong is said before any work, and a failure leaves the
 * old manifest. */
#include "ensemble_folder.h"

#include "bundle/manifest_build.h"

#include <unistd.h>

static void what_a_person_got_wrong_is_said(void **state) {
    (void)state;
    static const char *const good_os[] = {"linux", "android >=12.0.0"};
    static const char *const wrong_os[] = {"linux newest"};
    const covey__manifest_spec good = {.name = "assistant",
                                       .version = "1.0.0",
                                       .variant = "q8_0",
                                       .app = ">=1.0.0",
                                       .os = good_os,
                                       .os_count = 2,
                                       .arithmetic_version = 1};
    covey_error error = {0};
    assert_int_equal(covey__manifest_spec_check(&good, &error), COVEY_OK);
    struct {
        covey__manifest_spec spec;
        const char *says;
    } cases[8];
    for (size_t i = 0; i < 8; i++) cases[i].spec = good;
    cases[0].spec.name = NULL, cases[0].says = "name";
    cases[1].spec.name = "a b", cases[1].says = "\"a b\"";
    cases[2].spec.version = "1", cases[2].says = "version";
    cases[3].spec.version = NULL, cases[3].says = "version";
    cases[4].spec.variant = "", cases[4].says = "variant";
    cases[5].spec.app = "later", cases[5].says = "needs.app";
    cases[6].spec.os = wrong_os, cases[6].spec.os_count = 1, cases[6].says = "needs.os";
    cases[7].spec.memory_bytes = UINT64_MAX, cases[7].says = "memory";
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(covey__manifest_spec_check(&cases[i].spec, &error),
                         COVEY_ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, cases[i].says));
    }
}

static void what_is_written_is_read(void **state) {
    (void)state;
    static const char *const os[] = {"linux >=4.19.0", "android"};
    static const covey__manifest_part parts[] = {{.role = "model", .file = "m.gguf"}};
    test_env test;
    test_folder folder;
    covey_error error = {0};
    covey__manifest *manifest;
    test_env_init(&test);
    test_folder_make(&folder);
    test_write(test_path(&folder, "m.gguf"), "model", 5);
    covey__manifest_spec spec = {.name = "a",
                                 .version = "1.0.0-rc.1+5",
                                 .variant = "v",
                                 .parts = parts,
                                 .part_count = 1,
                                 .memory_bytes = 7,
                                 .arithmetic_version = 1,
                                 .os = os,
                                 .os_count = 2};
    assert_int_equal(covey__manifest_write(&test.env, folder.path, &spec, &error), COVEY_OK);
    assert_int_equal(covey__manifest_read(&test.env, folder.path, &manifest, &error), COVEY_OK);
    assert_string_equal(manifest->version, "1.0.0-rc.1+5");
    assert_int_equal(manifest->components[0].size, 5);
    assert_string_equal(manifest->os[0].range, ">=4.19.0");
    assert_string_equal(manifest->os[1].range, "*");
    assert_string_equal(manifest->app, "*");
    assert_int_equal(
        covey__manifest_check_files(&test.env, manifest, folder.path, COVEY_CHECK_DIGESTS, &error),
        COVEY_OK);
    covey__manifest_free(manifest);
    /* A part that is absent: refused by name, and the manifest that was there stays. */
    assert_int_equal(unlink(test_path(&folder, "m.gguf")), 0);
    assert_int_equal(covey__manifest_write(&test.env, folder.path, &spec, &error),
                     COVEY_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "component \"model\""));
    assert_int_equal(covey__manifest_read(&test.env, folder.path, &manifest, &error), COVEY_OK);
    covey__manifest_free(manifest);
    test_folder_remove(&folder);
    assert_int_equal(test.alive, 0);
}

static void a_manifest_that_no_device_would_take_is_not_written(void **state) {
    (void)state;
    static const covey__manifest_part parts[] = {{.role = "model", .file = "../m.gguf"}};
    test_env test;
    test_folder folder;
    covey_error error = {0};
    test_env_init(&test);
    test_folder_make(&folder);
    char inner[300];
    strcpy(inner, test_path(&folder, "inner"));
    assert_int_equal(covey__folder_make(&test.env, inner, &error), COVEY_OK);
    test_write(test_path(&folder, "m.gguf"), "model", 5);
    covey__manifest_spec spec = {.name = "a",
                                 .version = "1.0.0",
                                 .variant = "v",
                                 .parts = parts,
                                 .part_count = 1,
                                 .arithmetic_version = 1};
    assert_int_equal(covey__manifest_write(&test.env, inner, &spec, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(access(test_path(&folder, "inner/ensemble.json"), F_OK), -1);
    test_folder_remove(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_person_got_wrong_is_said),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_manifest_that_no_device_would_take_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
