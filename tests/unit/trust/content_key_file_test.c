/* Content key files: what is written is read, by its owner alone, and nothing else passes. */
#include "support/support.h"

#include "trust/envelope.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static test_env test;
static test_folder folder;
static char path[300];

static int set_up(void **state) {
    (void)state;
    test_env_init(&test);
    test.env.crypto = covey__crypto_openssl();
    test_folder_make(&folder);
    strcpy(path, test_path(&folder, "content.key"));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    test_folder_remove(&folder);
    assert_int_equal(test.alive, 0);
    return 0;
}

static void round_trip(void **state) {
    (void)state;
    covey_error error = {0};
    covey__content_key key, read;
    struct stat facts;
    assert_int_equal(covey__content_key_make(&test.env, &key, &error), COVEY_OK);
    assert_int_equal(covey__content_key_write(&test.env, path, &key, &error), COVEY_OK);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    assert_int_equal(covey__content_key_read(&test.env, path, &read, &error), COVEY_OK);
    assert_memory_equal(&key, &read, sizeof key);
    assert_int_equal(covey__content_key_write(&test.env, path, &key, &error), COVEY_ERROR_EXISTS);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(covey__content_key_read(&test.env, path, &read, &error), COVEY_ERROR_DENIED);
}

static void what_is_no_key(void **state) {
    (void)state;
#define FRAME "{\"format\":1,\"algorithm\":\"covey-content-key-1\","
#define HEX32 "00000000000000000000000000000000"
    static const char *const texts[] = {
        "",
        "{}",
        "{\"format\":2,\"algorithm\":\"covey-content-key-1\"}",
        "{\"format\":1,\"algorithm\":\"ed25519\",\"id\":\"" HEX32 "\",\"key\":\"" HEX32 HEX32 "\"}",
        FRAME "\"key\":\"" HEX32 HEX32 "\"}",
        FRAME "\"id\":\"" HEX32 "\",\"key\":\"" HEX32 "\"}",
        FRAME "\"id\":\"" HEX32 "\",\"key\":\"" HEX32 HEX32 "\"}", /* not its id */
    };
    covey_error error;
    covey__content_key read;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        test_write(path, texts[i], strlen(texts[i]));
        assert_int_equal(chmod(path, 0600), 0);
        memset(&error, 0, sizeof error);
        assert_int_equal(covey__content_key_read(&test.env, path, &read, &error),
                         COVEY_ERROR_FORMAT);
        assert_non_null(strstr(error.message, "content.key"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_key, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
