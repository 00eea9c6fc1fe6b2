/* Signers: what they give out holds, and a maker that signs wrongly is found at once. */
#include "support/support.h"

#include "trust/signer.h"

#include <string.h>

static void set_up(test_env *test, covey__key *key) {
    test_env_init(test);
    test->env.crypto = covey__crypto_openssl();
    assert_int_equal(covey__key_make(&test->env, key, NULL), COVEY_OK);
}

static void signs_with_a_key(void **state) {
    (void)state;
    test_env test;
    covey__key key;
    covey__signer signer;
    covey__buffer signature;
    covey_error error = {0};
    set_up(&test, &key);
    covey__buffer_init(&signature, &test.env, 1024);
    assert_int_equal(covey__signer_of_key(&test.env, &key, &signer, &error), COVEY_OK);
    assert_int_equal(covey__signer_sign(&signer, "bytes", 5, &signature, &error), COVEY_OK);
    assert_int_equal(signature.size, 64);
    assert_int_equal(
        covey__public_key_verify(&test.env, &signer.key, "bytes", 5, signature.data, 64, &error),
        COVEY_OK);
    covey__signer_close(&signer);
    covey__signer_close(&signer);
    covey__buffer_free(&signature);
    assert_int_equal(test.alive, 0);
}

static void signs_with_a_file(void **state) {
    (void)state;
    test_env test;
    test_folder folder;
    covey__key key;
    covey__signer signer;
    covey__buffer signature;
    covey_error error = {0};
    covey__passphrase right = {"p", 1, 16}, wrong = {"q", 1, 16};
    set_up(&test, &key);
    test_folder_make(&folder);
    const char *path = test_path(&folder, "root.key");
    assert_int_equal(covey__key_write_encrypted(&test.env, path, &key, &right, &error), COVEY_OK);
    assert_int_equal(covey__signer_of_file(&test.env, path, &wrong, &signer, &error),
                     COVEY_ERROR_DENIED);
    assert_int_equal(covey__signer_of_file(&test.env, path, &right, &signer, &error), COVEY_OK);
    assert_memory_equal(signer.key.bytes, key.public_key, 32);
    covey__buffer_init(&signature, &test.env, 1024);
    assert_int_equal(covey__signer_sign(&signer, NULL, 0, &signature, &error), COVEY_OK);
    covey__signer_close(&signer);
    covey__buffer_free(&signature);
    test_folder_remove(&folder);
    assert_int_equal(test.alive, 0);
}

static covey_status sign_wrongly(void *user, const void *bytes, size_t size,
                                 covey__buffer *signature, covey_error *error) {
    const char *what = user;
    (void)bytes, (void)size, (void)error;
    covey__buffer_append(signature, what, strlen(what));
    return COVEY_OK;
}

static void a_wrong_signature_is_not_given_out(void **state) {
    (void)state;
    static char nothing[] = "", few[] = "abc", many[2000];
    static char sixty_four[] = "0123456789012345678901234567890123456789012345678901234567890123";
    char *const rows[] = {nothing, few, sixty_four, many};
    test_env test;
    covey__key key;
    covey_error error = {0};
    set_up(&test, &key);
    memset(many, 'x', sizeof many - 1);
    for (size_t i = 0; i < 4; i++) {
        covey__signer signer;
        covey__buffer signature;
        covey__buffer_init(&signature, &test.env, 4096);
        assert_int_equal(
            covey__signer_begin(&test.env, COVEY_KEY_ED25519, key.public_key, 32, &signer, &error),
            COVEY_OK);
        signer.sign = sign_wrongly;
        signer.user = rows[i];
        assert_int_equal(covey__signer_sign(&signer, "bytes", 5, &signature, &error),
                         i == 3 ? COVEY_ERROR_LIMIT : COVEY_ERROR_MISMATCH);
        assert_int_equal(signature.size, 0);
        covey__signer_close(&signer);
        covey__buffer_free(&signature);
    }
    assert_int_equal(test.alive, 0);
}

static covey_status step(const covey__env *env, void *user, covey_error *error) {
    covey__env with = *env;
    covey__signer signer;
    covey__buffer signature;
    with.crypto = covey__crypto_openssl();
    covey_status status = covey__signer_of_key(&with, user, &signer, error);
    if (status != COVEY_OK) return status;
    covey__buffer_init(&signature, &with, 1024);
    status = covey__signer_sign(&signer, "bytes", 5, &signature, error);
    covey__buffer_free(&signature);
    covey__signer_close(&signer);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    (void)state;
    test_env test;
    covey__key key;
    set_up(&test, &key);
    assert_true(test_fail_each_allocation(step, &key) > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_with_a_key),
        cmocka_unit_test(signs_with_a_file),
        cmocka_unit_test(a_wrong_signature_is_not_given_out),
        cmocka_unit_test(survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
