/* Signing through the environment's table: domains keep documents apart. */
#include "support/support.h"

#include "trust/crypto.h"

#include <string.h>

static void a_signature_holds_in_its_domain_only(void **state) {
    (void)state;
    test_env test;
    covey__key key;
    covey_error error = {0};
    uint8_t signature[64];
    test_env_init(&test);
    test.env.crypto = covey__crypto_openssl();
    assert_int_equal(covey__key_make(&test.env, &key, &error), COVEY_OK);
    assert_int_equal(covey__sign(&test.env, "one", "data", 4, &key, signature, &error), COVEY_OK);
    assert_int_equal(covey__verify(&test.env, "one", "data", 4, key.public_key, signature, &error),
                     COVEY_OK);
    assert_int_equal(covey__verify(&test.env, "two", "data", 4, key.public_key, signature, &error),
                     COVEY_ERROR_MISMATCH);
    assert_int_equal(covey__verify(&test.env, "one", "dat", 3, key.public_key, signature, &error),
                     COVEY_ERROR_MISMATCH);
    /* The NUL between domain and bytes: "oned" + "ata" is another message. */
    assert_int_equal(covey__verify(&test.env, "oned", "ata", 3, key.public_key, signature, &error),
                     COVEY_ERROR_MISMATCH);
    assert_int_equal(test.alive, 0);
}

static void an_empty_document_can_be_signed(void **state) {
    (void)state;
    test_env test;
    covey__key key;
    covey_error error = {0};
    uint8_t signature[64];
    test_env_init(&test);
    test.env.crypto = covey__crypto_openssl();
    assert_int_equal(covey__key_make(&test.env, &key, &error), COVEY_OK);
    assert_int_equal(covey__sign(&test.env, "one", NULL, 0, &key, signature, &error), COVEY_OK);
    assert_int_equal(covey__verify(&test.env, "one", NULL, 0, key.public_key, signature, &error),
                     COVEY_OK);
}

static void without_a_table_it_says_so(void **state) {
    (void)state;
    test_env test;
    covey__key key;
    covey_error error = {0};
    test_env_init(&test);
    test.env.crypto = NULL;
    assert_int_equal(covey__key_make(&test.env, &key, &error), COVEY_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "crypto"));
}

static void wiping_leaves_nothing(void **state) {
    (void)state;
    covey__key key, zero;
    memset(&key, 0x5a, sizeof key);
    memset(&zero, 0, sizeof zero);
    covey__key_wipe(&key);
    assert_memory_equal(&key, &zero, sizeof key);
}

static covey_status sign_step(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    covey__env with = *env;
    covey__key key;
    uint8_t signature[64];
    with.crypto = covey__crypto_openssl();
    covey_status status = covey__key_make(&with, &key, error);
    if (status == COVEY_OK) status = covey__sign(&with, "d", "data", 4, &key, signature, error);
    if (status == COVEY_OK)
        status = covey__verify(&with, "d", "data", 4, key.public_key, signature, error);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(sign_step, NULL) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_holds_in_its_domain_only),
        cmocka_unit_test(an_empty_document_can_be_signed),
        cmocka_unit_test(without_a_table_it_says_so),
        cmocka_unit_test(wiping_leaves_nothing),
        cmocka_unit_test(survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
