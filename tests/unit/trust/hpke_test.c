/* HPKE against RFC 9180, A.1.1 (its KEM and its key schedule, which only end in AES-128-GCM there),
 * and against a message that the Python package "cryptography" (48.0) sealed with our suite. */
#include "support/support.h"

#include "base/sha256.h"
#include "trust/hpke.h"

#include <string.h>

static void unhex(const char *text, uint8_t *out) {
    assert_true(covey__unhex(text, strlen(text), out, strlen(text) / 2));
}

static void set_up(test_env *test) {
    test_env_init(test);
    test->env.crypto = covey__crypto_openssl();
}

#define RFC_INFO "Ode on a Grecian Urn"

static void sets_up_as_the_rfc_says(void **state) {
    (void)state;
    test_env test;
    uint8_t ephemeral[32], ours[32], receiver[32], encapsulated[32], made[32], shared[32];
    uint8_t expected[32];
    covey_error error = {0};
    covey__gcm gcm;
    set_up(&test);
    unhex("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736", ephemeral);
    unhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8", ours);
    unhex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d", receiver);
    unhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431", encapsulated);
    unhex("fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc", expected);
    assert_int_equal(covey__x25519_public(&test.env, ephemeral, made, &error), COVEY_OK);
    assert_memory_equal(made, encapsulated, 32);
    assert_int_equal(covey__x25519_public(&test.env, ours, made, &error), COVEY_OK);
    assert_memory_equal(made, receiver, 32);
    assert_int_equal(
        covey__hpke_shared(&test.env, ephemeral, receiver, encapsulated, receiver, shared, &error),
        COVEY_OK);
    assert_memory_equal(shared, expected, 32);
    assert_int_equal(
        covey__hpke_shared(&test.env, ours, encapsulated, encapsulated, receiver, shared, &error),
        COVEY_OK);
    assert_memory_equal(shared, expected, 32);
    covey__hpke_schedule(shared, 1, RFC_INFO, strlen(RFC_INFO), &gcm);
    unhex("4531685d41d65f03dc48f6b8302c05b0", expected);
    assert_memory_equal(gcm.key, expected, 16);
    unhex("56d890e5accaaf011cff4b7d", expected);
    assert_memory_equal(gcm.nonce, expected, 12);
}

static void opens_what_another_program_sealed(void **state) {
    (void)state;
    test_env test;
    uint8_t sealed[80], plain[32], ours[32];
    covey_error error = {0};
    covey__hpke_context context = {"covey-test-info", 15, NULL, 0};
    set_up(&test);
    for (int i = 0; i < 32; i++) ours[i] = (uint8_t)i;
    unhex("32e5e1899301959ff3fd46784fc5cc6fb9c7e42c1eca26748f4b47ee69b4fb4e"
          "818c3b93d8a6967f80aedce77dd0ba7ce40131f27f52e04296644d3ea63882e0"
          "b6ef9f49fe1964c6efdea52895006713",
          sealed);
    assert_int_equal(
        covey__hpke_open(&test.env, ours, &context, sealed, sizeof sealed, plain, &error),
        COVEY_OK);
    for (int i = 0; i < 32; i++) assert_int_equal(plain[i], 100 + i);
}

static void opens_only_what_was_sealed(void **state) {
    (void)state;
    test_env test;
    uint8_t ours[32] = {40}, others[32] = {80}, peer[32], sealed[80], plain[32], secret[32] = {7};
    covey_error error = {0};
    covey__hpke_context context = {"info", 4, "aad", 3}, infos = {"infp", 4, "aad", 3},
                        aads = {"info", 4, "aae", 3};
    set_up(&test);
    assert_int_equal(covey__x25519_public(&test.env, ours, peer, &error), COVEY_OK);
    assert_int_equal(covey__hpke_seal(&test.env, peer, &context, secret, 32, sealed, &error),
                     COVEY_OK);
    assert_int_equal(covey__hpke_open(&test.env, ours, &context, sealed, 80, plain, &error),
                     COVEY_OK);
    assert_memory_equal(plain, secret, 32);
    assert_int_equal(covey__hpke_open(&test.env, others, &context, sealed, 80, plain, &error),
                     COVEY_ERROR_MISMATCH);
    assert_int_equal(covey__hpke_open(&test.env, ours, &infos, sealed, 80, plain, &error),
                     COVEY_ERROR_MISMATCH);
    assert_int_equal(covey__hpke_open(&test.env, ours, &aads, sealed, 80, plain, &error),
                     COVEY_ERROR_MISMATCH);
    for (size_t size = 0; size < 80; size++)
        assert_int_equal(covey__hpke_open(&test.env, ours, &context, sealed, size, plain, &error),
                         COVEY_ERROR_MISMATCH);
    for (size_t bit = 0; bit < 8 * 80; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* The highest bit of an X25519 key is not part of it, but it is part of the context. */
        assert_int_equal(covey__hpke_open(&test.env, ours, &context, sealed, 80, plain, &error),
                         COVEY_ERROR_MISMATCH);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    memset(sealed, 0, 32); /* a key of small order */
    assert_int_equal(covey__hpke_open(&test.env, ours, &context, sealed, 80, plain, &error),
                     COVEY_ERROR_MISMATCH);
    memset(peer, 0, 32);
    assert_int_equal(covey__hpke_seal(&test.env, peer, &context, secret, 32, sealed, &error),
                     COVEY_ERROR_MISMATCH);
    covey_crypto smaller = *covey__crypto_openssl();
    smaller.size = offsetof(covey_crypto, verify);
    test.env.crypto = &smaller;
    assert_int_equal(covey__hpke_open(&test.env, ours, &context, sealed, 80, plain, &error),
                     COVEY_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "x25519"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_up_as_the_rfc_says),
        cmocka_unit_test(opens_what_another_program_sealed),
        cmocka_unit_test(opens_only_what_was_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
