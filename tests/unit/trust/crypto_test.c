/* Signing and verifying through the environment's table, whole or with entries missing. */
#include "support/support.h"

#include "trust/crypto.h"

#include <stddef.h>
#include <string.h>

static covey_status verify(const covey__env *env, const covey__key *key, const char *text,
                           const uint8_t signature[64]) {
    return covey__verify_bytes(env, COVEY_KEY_ED25519, key->public_key, 32, text, strlen(text),
                               signature, 64, NULL);
}

static void a_signature_holds_for_its_bytes_only(void **state) {
    (void)state;
    test_env test;
    covey__key key, other;
    covey_error error = {0};
    uint8_t signature[64];
    test_env_init(&test);
    test.env.crypto = covey__crypto_openssl();
    assert_int_equal(covey__key_make(&test.env, &key, &error), COVEY_OK);
    assert_int_equal(covey__key_make(&test.env, &other, &error), COVEY_OK);
    assert_int_equal(covey__sign_bytes(&test.env, "data", 4, &key, signature, &error), COVEY_OK);
    assert_int_equal(verify(&test.env, &key, "data", signature), COVEY_OK);
    assert_int_equal(verify(&test.env, &key, "dat", signature), COVEY_ERROR_MISMATCH);
    assert_int_equal(verify(&test.env, &key, "dbta", signature), COVEY_ERROR_MISMATCH);
    assert_int_equal(verify(&test.env, &other, "data", signature), COVEY_ERROR_MISMATCH);
    assert_int_equal(covey__sign_bytes(&test.env, NULL, 0, &key, signature, &error), COVEY_OK);
    assert_int_equal(verify(&test.env, &key, "", signature), COVEY_OK);
    assert_int_equal(test.alive, 0);
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

/* A table of an app that was built before `verify` was there: Ed25519 goes on, the rest says what
 * is missing. The entries behind its end must not be looked at. */
static void an_older_table_says_what_it_lacks(void **state) {
    (void)state;
    test_env test;
    covey__key key;
    covey_error error = {0};
    uint8_t signature[64], bytes[64] = {9};
    covey__gcm gcm = {{0}, {0}};
    covey_scrypt asked = {"p", 1, "s", 1, 2, 1, 1};
    test_env_init(&test);
    for (int i = 0; i < 2; i++) {
        covey_crypto table = *covey__crypto_openssl();
        if (i == 0) /* smaller, with what is no pointer behind its end */
            table.size = offsetof(covey_crypto, verify);
        memset(&table.verify, i == 0 ? 0x5a : 0, sizeof table - offsetof(covey_crypto, verify));
        test.env.crypto = &table;
        assert_int_equal(covey__key_make(&test.env, &key, &error), COVEY_OK);
        assert_int_equal(covey__sign_bytes(&test.env, "data", 4, &key, signature, &error),
                         COVEY_OK);
        assert_int_equal(covey__verify_bytes(&test.env, COVEY_KEY_ED25519, key.public_key, 32,
                                             "data", 4, signature, 64, &error),
                         COVEY_OK);
        assert_int_equal(covey__verify_bytes(&test.env, COVEY_KEY_ED25519, key.public_key, 32,
                                             "data", 4, signature, 63, &error),
                         COVEY_ERROR_MISMATCH);
        assert_int_equal(covey__verify_bytes(&test.env, COVEY_KEY_ED25519, key.public_key, 31,
                                             "data", 4, signature, 64, &error),
                         COVEY_ERROR_FORMAT);
        assert_int_equal(covey__verify_bytes(&test.env, COVEY_KEY_RSA_PSS_SHA256, key.public_key,
                                             32, "data", 4, signature, 64, &error),
                         COVEY_ERROR_UNSUPPORTED);
        assert_int_equal(covey__x25519_public(&test.env, bytes, bytes, &error),
                         COVEY_ERROR_UNSUPPORTED);
        assert_non_null(strstr(error.message, "x25519"));
        assert_int_equal(covey__gcm_seal(&test.env, &gcm, NULL, 0, bytes, 16, bytes, &error),
                         COVEY_ERROR_UNSUPPORTED);
        assert_int_equal(covey__gcm_open(&test.env, &gcm, NULL, 0, bytes, 32, bytes, &error),
                         COVEY_ERROR_UNSUPPORTED);
        assert_int_equal(covey__scrypt(&test.env, &asked, bytes, 32, &error),
                         COVEY_ERROR_UNSUPPORTED);
        assert_non_null(strstr(error.message, "scrypt"));
    }
}

static void nothing_of_what_did_not_open_is_left(void **state) {
    (void)state;
    test_env test;
    covey_error error = {0};
    covey__gcm gcm = {{1}, {2}};
    uint8_t sealed[48], plain[32], zeros[32] = {0};
    test_env_init(&test);
    test.env.crypto = covey__crypto_openssl();
    memset(plain, 7, sizeof plain);
    assert_int_equal(covey__gcm_seal(&test.env, &gcm, NULL, 0, plain, 32, sealed, &error),
                     COVEY_OK);
    sealed[47] ^= 1;
    assert_int_equal(covey__gcm_open(&test.env, &gcm, NULL, 0, sealed, 48, plain, &error),
                     COVEY_ERROR_MISMATCH);
    assert_memory_equal(plain, zeros, 32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_holds_for_its_bytes_only),
        cmocka_unit_test(without_a_table_it_says_so),
        cmocka_unit_test(wiping_leaves_nothing),
        cmocka_unit_test(an_older_table_says_what_it_lacks),
        cmocka_unit_test(nothing_of_what_did_not_open_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
