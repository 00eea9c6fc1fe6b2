/* Signatures of three schemes against vectors, and each of them bent. */
#include "support/support.h"
#include "unit/trust/key_vectors.h"

#include "base/sha256.h"
#include "trust/crypto_openssl.h"

#include <openssl/err.h>
#include <string.h>

typedef struct bytes {
    uint8_t data[1200];
    size_t size;
} bytes;

static bytes unhex(const char *text) {
    bytes out = {.size = strlen(text) / 2};
    assert_true(covey__unhex(text, strlen(text), out.data, out.size));
    return out;
}

static covey_status check(covey_key_scheme scheme, const bytes *key, const char *message,
                          const bytes *signature) {
    const covey_crypto *crypto = covey__crypto_openssl();
    covey_status status = crypto->verify(crypto->user, scheme, key->data, key->size, message,
                                         strlen(message), signature->data, signature->size);
    assert_int_equal(ERR_peek_error(), 0); /* the app's queue stays clean */
    return status;
}

static covey_status check_hex(covey_key_scheme scheme, const char *key, const char *signature) {
    bytes key_bytes = unhex(key), signature_bytes = unhex(signature);
    return check(scheme, &key_bytes, SIGNED_TEXT, &signature_bytes);
}

static void takes_what_is_right(void **state) {
    (void)state;
    bytes key = unhex(RFC6979_DER), signature = unhex(RFC6979_SAMPLE);
    assert_int_equal(check(COVEY_KEY_ECDSA_P256_SHA256, &key, "sample", &signature), COVEY_OK);
    assert_int_equal(check(COVEY_KEY_ECDSA_P256_SHA256, &key, "Sample", &signature),
                     COVEY_ERROR_MISMATCH);
    assert_int_equal(check_hex(COVEY_KEY_ECDSA_P256_SHA256, EC_DER, EC_SIGNATURE), COVEY_OK);
    assert_int_equal(check_hex(COVEY_KEY_ED25519, ED_HEX, ED_SIGNATURE), COVEY_OK);
    assert_int_equal(check_hex(COVEY_KEY_RSA_PSS_SHA256, RSA_DER, RSA_PSS_32), COVEY_OK);
    assert_int_equal(check_hex(COVEY_KEY_RSA_PSS_SHA256, RSA_DER, RSA_PSS_MAX), COVEY_OK);
    assert_int_equal(check_hex(COVEY_KEY_RSA_PSS_SHA256, RSA_DER, RSA_PSS_0), COVEY_OK);
    assert_int_equal(check_hex(COVEY_KEY_RSA_PKCS1_SHA256, RSA_DER, RSA_PKCS1_SIGNATURE), COVEY_OK);
}

static void refuses_other_schemes(void **state) {
    (void)state;
    const char *others[] = {RSA_PKCS1_SIGNATURE, RSA_PSS_SHA1_MGF, RSA_PSS_SHA512, ED_SIGNATURE,
                            EC_SIGNATURE};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(check_hex(COVEY_KEY_RSA_PSS_SHA256, RSA_DER, others[i]),
                         COVEY_ERROR_MISMATCH);
    assert_int_equal(check_hex(COVEY_KEY_RSA_PKCS1_SHA256, RSA_DER, RSA_PSS_32),
                     COVEY_ERROR_MISMATCH);
    const char *ec_others[] = {EC_RAW_SIGNATURE, EC_SHA384_SIGNATURE, RSA_PSS_32, "00", "3000"};
    for (size_t i = 0; i < sizeof ec_others / sizeof *ec_others; i++)
        assert_int_equal(check_hex(COVEY_KEY_ECDSA_P256_SHA256, EC_DER, ec_others[i]),
                         COVEY_ERROR_MISMATCH);
    assert_int_equal(check_hex(COVEY_KEY_ED25519, ED_HEX, EC_SIGNATURE), COVEY_ERROR_MISMATCH);
    assert_int_equal(check_hex(COVEY_KEY_ED25519, ED_HEX, ""), COVEY_ERROR_MISMATCH);
}

static void refuses_keys_of_another_kind(void **state) {
    (void)state;
    const char *keys[] = {RSA_DER, RSA1024_DER, RSA_PKCS1_DER, EC_DER, P384_DER, ED_HEX, "", "30"};
    const covey_key_scheme schemes[] = {COVEY_KEY_ED25519, COVEY_KEY_ECDSA_P256_SHA256,
                                        COVEY_KEY_RSA_PSS_SHA256};
    const char *own[] = {ED_HEX, EC_DER, RSA_DER};
    for (size_t s = 0; s < 3; s++)
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            if (strcmp(keys[k], own[s]) != 0)
                assert_int_equal(check_hex(schemes[s], keys[k], ED_SIGNATURE), COVEY_ERROR_FORMAT);
    assert_int_equal(check_hex(COVEY_KEY_RSA_PSS_SHA256, RSA1024_DER, RSA1024_PSS),
                     COVEY_ERROR_FORMAT);
    assert_int_equal(check_hex(COVEY_KEY_RSA_PSS_SHA256, RSA_DER "00", RSA_PSS_32),
                     COVEY_ERROR_FORMAT);
    assert_int_equal(check_hex((covey_key_scheme)0, ED_HEX, ED_SIGNATURE), COVEY_ERROR_UNSUPPORTED);
    assert_int_equal(check_hex((covey_key_scheme)9, ED_HEX, ED_SIGNATURE), COVEY_ERROR_UNSUPPORTED);
    bytes off = unhex(EC_DER), signature = unhex(EC_SIGNATURE);
    off.data[off.size - 1] ^= 1; /* not on the curve */
    assert_int_equal(check(COVEY_KEY_ECDSA_P256_SHA256, &off, SIGNED_TEXT, &signature),
                     COVEY_ERROR_FORMAT);
}

static void flip_each(covey_key_scheme scheme, const char *key_hex, const char *signature_hex) {
    bytes key = unhex(key_hex), signature = unhex(signature_hex);
    for (size_t bit = 0; bit < 8 * signature.size; bit += 3) {
        signature.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(check(scheme, &key, SIGNED_TEXT, &signature), COVEY_ERROR_MISMATCH);
        signature.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * key.size; bit += 5) {
        key.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(check(scheme, &key, SIGNED_TEXT, &signature), COVEY_OK);
        key.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(check(scheme, &key, "{\"_type\":\"roos\"}", &signature), COVEY_ERROR_MISMATCH);
    signature.size--;
    assert_int_equal(check(scheme, &key, SIGNED_TEXT, &signature), COVEY_ERROR_MISMATCH);
    signature.size += 2;
    assert_int_equal(check(scheme, &key, SIGNED_TEXT, &signature), COVEY_ERROR_MISMATCH);
}

static void refuses_every_flipped_bit(void **state) {
    (void)state;
    flip_each(COVEY_KEY_ED25519, ED_HEX, ED_SIGNATURE);
    flip_each(COVEY_KEY_ECDSA_P256_SHA256, EC_DER, EC_SIGNATURE);
    flip_each(COVEY_KEY_RSA_PSS_SHA256, RSA_DER, RSA_PSS_32);
    flip_each(COVEY_KEY_RSA_PKCS1_SHA256, RSA_DER, RSA_PKCS1_SIGNATURE);
}

/* As Wycheproof's cases: values at the ends of what r and s may be, and encodings that are not DER.
 */
static void refuses_odd_ecdsa_signatures(void **state) {
    (void)state;
#define ORDER "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
    static const char *const odd[] = {
        "3006020100020100",                /* r = s = 0 */
        "3006020101020100",                /* s = 0 */
        "3006020100020101",                /* r = 0 */
        "3006020101020101",                /* r = s = 1 */
        "30060201ff0201ff",                /* negative */
        "3046022100" ORDER "022100" ORDER, /* the order */
        "30260221"
        "00" ORDER "020101", /* r the order */
        "3080020101020101"
        "0000",                   /* indefinite length */
        "308106020101020101",     /* a long length */
        "300702020001020101",     /* a zero too many */
        "3009020101020101020101", /* a third number */
        "30080201010201010500",   /* a NULL behind */
        "300602010102010100",     /* a byte behind the end */
        "3003020101",
        "0500",
        "",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        assert_int_equal(check_hex(COVEY_KEY_ECDSA_P256_SHA256, EC_DER, odd[i]),
                         COVEY_ERROR_MISMATCH);
    }
    bytes key = unhex(EC_DER), right = unhex(EC_SIGNATURE), longer = right;
    longer.data[1] = 0x81; /* the same numbers in BER with a long length */
    longer.data[2] = right.data[1];
    memcpy(longer.data + 3, right.data + 2, right.size - 2);
    longer.size++;
    assert_int_equal(check(COVEY_KEY_ECDSA_P256_SHA256, &key, SIGNED_TEXT, &longer),
                     COVEY_ERROR_MISMATCH);
}

/* Ed25519: S + L is the same number on the curve and must not be a second signature (RFC 8032,
 * 5.1.7). */
static void refuses_a_malleable_ed25519_signature(void **state) {
    (void)state;
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    bytes key = unhex(ED_HEX), signature = unhex(ED_SIGNATURE);
    unsigned carry = 0;
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)signature.data[32 + i] + order[i];
        signature.data[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(carry, 0);
    assert_int_equal(check(COVEY_KEY_ED25519, &key, SIGNED_TEXT, &signature), COVEY_ERROR_MISMATCH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_is_right),
        cmocka_unit_test(refuses_other_schemes),
        cmocka_unit_test(refuses_keys_of_another_kind),
        cmocka_unit_test(refuses_every_flipped_bit),
        cmocka_unit_test(refuses_odd_ecdsa_signatures),
        cmocka_unit_test(refuses_a_malleable_ed25519_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
