/* Key files: what is written is read, nothing is overwritten, and a file that others can read is
 * refused with the command that mends it. */
#include "support/support.h"

#include "trust/key_file.h"

#include <errno.h>
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

static int fail_folder_syncs(void *user, const char *point, const char *subject) {
    (void)subject;
    return strcmp(point, "fsync") == 0 && ++*(int *)user > 1 ? EIO : 0;
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
    covey_error error = {0};
    covey__env env = f->test.env;
    int syncs = 0;
    env.fault = fail_folder_syncs;
    env.fault_user = &syncs;
    assert_int_not_equal(covey__key_write(&env, f->path, &f->key, &error), COVEY_OK);
    assert_int_equal(access(f->path, F_OK), -1);
    assert_true(syncs > 1);
}

static void a_pipe_is_not_waited_for(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__key read;
    assert_int_equal(mkfifo(f->path, 0600), 0);
    (void)alarm(20); /* one that waits for a writer would wait for ever */
    assert_int_equal(covey__key_read(&f->test.env, f->path, &read, &error), COVEY_ERROR_DENIED);
    (void)alarm(0);
    assert_non_null(strstr(error.message, "not a regular file"));
}

static const covey__passphrase right = {"correct horse", 13, 16};

static void an_encrypted_key_opens_with_its_passphrase(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__key read;
    covey__key_facts facts;
    covey__passphrase wrong = {"correct horsf", 13, 0}, longer = {"correct horse ", 14, 0};
    assert_int_equal(covey__key_write_encrypted(&f->test.env, f->path, &f->key, &right, &error),
                     COVEY_OK);
    assert_int_equal(chmod(f->path, 0644), 0); /* it may lie anywhere */
    assert_int_equal(covey__key_open(&f->test.env, f->path, &right, &read, &error), COVEY_OK);
    assert_memory_equal(&read, &f->key, sizeof read);
    assert_int_equal(covey__key_facts_read(&f->test.env, f->path, &facts, &error), COVEY_OK);
    assert_true(facts.encrypted);
    assert_memory_equal(facts.public_key, f->key.public_key, 32);
    assert_int_equal(covey__key_read(&f->test.env, f->path, &read, &error), COVEY_ERROR_DENIED);
    assert_non_null(strstr(error.message, "passphrase is needed"));
    assert_int_equal(covey__key_open(&f->test.env, f->path, &wrong, &read, &error),
                     COVEY_ERROR_DENIED);
    assert_non_null(strstr(error.message, "passphrase is wrong"));
    assert_int_equal(covey__key_open(&f->test.env, f->path, &longer, &read, &error),
                     COVEY_ERROR_DENIED);
}

/* Written by a second program, in Python, from docs/formats/key-file.md. */
static void a_file_of_another_program_opens(void **state) {
    fixture *f = *state;
    static const char text[] =
        "{\"format\":2,\"algorithm\":\"ed25519\",\"public\":\"ea4a6c63e29c520abef5507b132"
        "ec5f9954776aebebe7b92421eea691446d22c\",\"kdf\":{\"name\":\"scrypt\",\"n\":16,\""
        "r\":8,\"p\":1,\"salt\":\"000102030405060708090a0b0c0d0e0f101112131415161718191a1"
        "b1c1d1e1f\"},\"cipher\":\"aes-256-gcm\",\"sealed\":\"a5d6225035592eb6d3042dbf8ac"
        "dba3b2c5adfc248f6f02f79e9bf9092fc59ca6b7d03413a56e72d79cb9caa35b2d0ce\"}";
    covey_error error = {0};
    covey__key read;
    covey__key_facts facts;
    covey__passphrase passphrase = {"p", 1, 0};
    assert_int_equal(
        covey__key_parse(&f->test.env, text, strlen(text), &passphrase, &facts, &read, &error),
        COVEY_OK);
    for (int i = 0; i < 32; i++) assert_int_equal(read.seed[i], 7);
}

static void bad_passphrases_are_refused(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    static char text[1025];
    covey__passphrase empty = {"", 0, 16}, huge = {text, sizeof text, 16}, odd = {"x", 1, 1000};
    assert_int_equal(covey__key_write_encrypted(&f->test.env, f->path, &f->key, &empty, &error),
                     COVEY_ERROR_DENIED);
    assert_int_equal(covey__key_write_encrypted(&f->test.env, f->path, &f->key, &huge, &error),
                     COVEY_ERROR_DENIED);
    assert_int_equal(covey__key_write_encrypted(&f->test.env, f->path, &f->key, &odd, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(access(f->path, F_OK), -1);
}

/* Each hex digit of what is sealed, of the salt and of the public key counts. */
static void a_changed_file_opens_nothing(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__key read;
    covey__key_facts facts;
    size_t size, changed = 0;
    assert_int_equal(covey__key_write_encrypted(&f->test.env, f->path, &f->key, &right, &error),
                     COVEY_OK);
    char *text = test_read(f->path, &size);
    for (size_t i = 0; i < size; i++) {
        if (strchr("0123456789abcdef", text[i]) == NULL) continue;
        char kept = text[i];
        text[i] = kept == '1' ? '2' : '1';
        assert_int_not_equal(
            covey__key_parse(&f->test.env, text, size, &right, &facts, &read, &error), COVEY_OK);
        text[i] = kept;
        changed++;
    }
    assert_true(changed > 64 + 64 + 96);
    assert_int_equal(covey__key_parse(&f->test.env, text, size, &right, &facts, &read, &error),
                     COVEY_OK);
    free(text);
}

#define SEALED(kdf, cipher)                                                                        \
    "{\"format\":2,\"algorithm\":\"ed25519\",\"public\":\"" ZERO32 "\",\"kdf\":{" kdf              \
    ",\"salt\":\"" ZERO32 "\"},\"cipher\":\"" cipher "\",\"sealed\":\"" ZERO32                     \
    "00000000000000000000000000000000\"}"
#define ZERO32 "0000000000000000000000000000000000000000000000000000000000000000"

static void a_file_cannot_ask_for_much(void **state) {
    fixture *f = *state;
    static const struct {
        const char *text;
        covey_status status;
    } rows[] = {
        {SEALED("\"name\":\"scrypt\",\"n\":16,\"r\":8,\"p\":1", "aes-256-gcm"), COVEY_ERROR_DENIED},
        {SEALED("\"name\":\"scrypt\",\"n\":524288,\"r\":8,\"p\":1", "aes-256-gcm"),
         COVEY_ERROR_FORMAT},
        {SEALED("\"name\":\"scrypt\",\"n\":9223372036854775807,\"r\":8,\"p\":1", "aes-256-gcm"),
         COVEY_ERROR_FORMAT},
        {SEALED("\"name\":\"scrypt\",\"n\":-16,\"r\":8,\"p\":1", "aes-256-gcm"),
         COVEY_ERROR_FORMAT},
        {SEALED("\"name\":\"scrypt\",\"n\":17,\"r\":8,\"p\":1", "aes-256-gcm"), COVEY_ERROR_FORMAT},
        {SEALED("\"name\":\"scrypt\",\"n\":16,\"r\":9,\"p\":1", "aes-256-gcm"), COVEY_ERROR_FORMAT},
        {SEALED("\"name\":\"scrypt\",\"n\":16,\"r\":8,\"p\":5", "aes-256-gcm"), COVEY_ERROR_FORMAT},
        {SEALED("\"name\":\"argon2\",\"n\":16,\"r\":8,\"p\":1", "aes-256-gcm"),
         COVEY_ERROR_UNSUPPORTED},
        {SEALED("\"name\":\"scrypt\",\"n\":16,\"r\":8,\"p\":1", "none"), COVEY_ERROR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        covey_error error = {0};
        covey__key read;
        covey__key_facts facts;
        assert_int_equal(covey__key_parse(&f->test.env, rows[i].text, strlen(rows[i].text), &right,
                                          &facts, &read, &error),
                         rows[i].status);
    }
}

static covey_status sealed_step(const covey__env *env, void *user, covey_error *error) {
    fixture *f = user;
    covey__env with = *env;
    covey__key read;
    with.crypto = covey__crypto_openssl();
    unlink(f->path);
    covey_status status = covey__key_write_encrypted(&with, f->path, &f->key, &right, error);
    if (status == COVEY_OK) status = covey__key_open(&with, f->path, &right, &read, error);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    assert_true(test_fail_each_allocation(sealed_step, *state) > 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(never_overwrites, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_others_may_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_write_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pipe_is_not_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_encrypted_key_opens_with_its_passphrase, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_another_program_opens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_passphrases_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_changed_file_opens_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_cannot_ask_for_much, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_each_failed_allocation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
