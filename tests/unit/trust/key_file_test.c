/* Key files: what is written is read, nothing is overwritten, and a file that others can read is
 * refused with the command that mends it. */
#include "support/support.h"

#include "trust/key_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct fixture {
    test_env test;
    test_folder folder;
    covey__key key;
    char path[300];
} fixture;

static int set_up(void **state) {
    static fixture f;
    covey_error error;
    test_env_init(&f.test);
    f.test.env.crypto = covey__crypto_openssl();
    test_folder_make(&f.folder);
    strcpy(f.path, test_path(&f.folder, "release.key"));
    assert_int_equal(covey__key_make(&f.test.env, &f.key, &error), COVEY_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    test_folder_remove(&f->folder);
    assert_int_equal(f->test.alive, 0);
    return 0;
}

static void round_trip(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__key read;
    struct stat facts;
    assert_int_equal(covey__key_write(&f->test.env, f->path, &f->key, &error), COVEY_OK);
    assert_int_equal(stat(f->path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    assert_int_equal(covey__key_read(&f->test.env, f->path, &read, &error), COVEY_OK);
    assert_memory_equal(&read, &f->key, sizeof read);
}

static void never_overwrites(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    size_t size;
    test_write(f->path, "mine", 4);
    assert_int_equal(covey__key_write(&f->test.env, f->path, &f->key, &error), COVEY_ERROR_EXISTS);
    char *kept = test_read(f->path, &size);
    assert_string_equal(kept, "mine");
    free(kept);
}

static void refuses_what_others_may_read(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__key read;
    static const mode_t modes[] = {0640, 0604, 0620, 0660, 0644, 0601};
    assert_int_equal(covey__key_write(&f->test.env, f->path, &f->key, &error), COVEY_OK);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(f->path, modes[i]), 0);
        assert_int_equal(covey__key_read(&f->test.env, f->path, &read, &error), COVEY_ERROR_DENIED);
        assert_non_null(strstr(error.message, "chmod 600"));
    }
}

static void refuses_what_is_no_key(void **state) {
    fixture *f = *state;
    static const char *const texts[] = {
        "",
        "{}",
        "{\"format\":2,\"algorithm\":\"ed25519\",\"seed\":\"00\",\"public\":\"00\"}",
        "{\"format\":1,\"algorithm\":\"ed25519\",\"seed\":\"00\",\"public\":\"00\"}",
        /* a seed with another key's public half */
        "{\"format\":1,\"algorithm\":\"ed25519\","
        "\"seed\":\"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\","
        "\"public\":\"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        covey_error error = {0};
        covey__key read;
        test_write(f->path, texts[i], strlen(texts[i]));
        assert_int_equal(chmod(f->path, 0600), 0);
        assert_int_equal(covey__key_read(&f->test.env, f->path, &read, &error), COVEY_ERROR_FORMAT);
        assert_null(strstr(error.message, "9d61b19d")); /* never a secret in a message */
    }
    test_write(f->path, "x", 1);
    assert_int_equal(unlink(f->path), 0);
    covey_error error = {0};
    covey__key read;
    assert_int_equal(covey__key_read(&f->test.env, f->path, &read, &error), COVEY_ERROR_NOT_FOUND);
}

static void a_failed_write_leaves_nothing(void **state) {
    fixture *f = *state;
    static const char *const points[] = {"open", "write", "fsync"};
    for (size_t i = 0; i < 3; i++) {
        covey_error error = {0};
        f->test.point = points[i];
        f->test.point_calls = 0;
        f->test.point_fails = 1;
        assert_int_not_equal(covey__key_write(&f->test.env, f->path, &f->key, &error), COVEY_OK);
        assert_int_equal(access(f->path, F_OK), -1);
    }
    f->test.point_fails = 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(never_overwrites, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_others_may_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_write_leaves_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
