/* The OpenSSL maker against the vectors of RFC 8032, section 7.1. */
#include "support/support.h"

#include "base/sha256.h"
#include "trust/crypto_openssl.h"

#include <string.h>

typedef struct vector {
    const char *seed, *public_key, *message, *signature;
} vector;

static const vector vectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9"
     "b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f1"
     "1d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984d"
     "c6594a7c15e9716ed28dc027beceea1ec40a"},
};

static void unhex(const char *text, uint8_t *out, size_t size) {
    assert_true(covey__unhex(text, strlen(text), out, size));
}

static void signs_and_verifies_the_rfc_vectors(void **state) {
    (void)state;
    const covey_crypto *crypto = covey__crypto_openssl();
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t seed[32], public_key[32], message[8], signature[64], made[64], made_key[32];
        size_t size = strlen(vectors[i].message) / 2;
        unhex(vectors[i].seed, seed, 32);
        unhex(vectors[i].public_key, public_key, 32);
        unhex(vectors[i].message, message, size);
        unhex(vectors[i].signature, signature, 64);
        assert_int_equal(crypto->ed25519_public(crypto->user, seed, made_key), COVEY_OK);
        assert_memory_equal(made_key, public_key, 32);
        assert_int_equal(crypto->ed25519_sign(crypto->user, seed, message, size, made), COVEY_OK);
        assert_memory_equal(made, signature, 64);
        assert_int_equal(crypto->ed25519_verify(crypto->user, public_key, message, size, signature),
                         COVEY_OK);
    }
}

static void refuses_every_flipped_bit(void **state) {
    (void)state;
    const covey_crypto *crypto = covey__crypto_openssl();
    uint8_t seed[32] = {7}, public_key[32], signature[64], message[] = "a release";
    assert_int_equal(crypto->ed25519_public(crypto->user, seed, public_key), COVEY_OK);
    assert_int_equal(crypto->ed25519_sign(crypto->user, seed, message, sizeof message, signature),
                     COVEY_OK);
    for (size_t bit = 0; bit < 512; bit++) {
        signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(
            crypto->ed25519_verify(crypto->user, public_key, message, sizeof message, signature),
            COVEY_ERROR_MISMATCH);
        signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < 256; bit++) {
        public_key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(
            crypto->ed25519_verify(crypto->user, public_key, message, sizeof message, signature),
            COVEY_OK);
        public_key[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void random_bytes_differ(void **state) {
    (void)state;
    const covey_crypto *crypto = covey__crypto_openssl();
    uint8_t a[32] = {0}, b[32] = {0};
    assert_int_equal(crypto->random(crypto->user, a, sizeof a), COVEY_OK);
    assert_int_equal(crypto->random(crypto->user, b, sizeof b), COVEY_OK);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_and_verifies_the_rfc_vectors),
        cmocka_unit_test(refuses_every_flipped_bit),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
