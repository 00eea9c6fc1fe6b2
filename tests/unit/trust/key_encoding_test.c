/* PEM and DER, strictly: equal keys have equal bytes, and what could be written in two ways is
 * taken in one. */
#include "support/support.h"
#include "unit/trust/key_vectors.h"

#include "base/sha256.h"
#include "trust/key_encoding.h"

#include <stdio.h>
#include <string.h>

static size_t unhex(const char *text, uint8_t *out) {
    assert_true(covey__unhex(text, strlen(text), out, strlen(text) / 2));
    return strlen(text) / 2;
}

static covey__key_kind kind_of(const char *hex) {
    uint8_t info[2048];
    const uint8_t *key;
    size_t key_size, size = unhex(hex, info);
    return covey__key_info_read(info, size, &key, &key_size);
}

static void pem_goes_both_ways(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {RSA_PEM, RSA_DER}, {EC_PEM, EC_DER}, {P384_PEM, P384_DER}};
    test_env test;
    test_env_init(&test);
    for (size_t i = 0; i < 3; i++) {
        uint8_t expected[600], out[600];
        size_t size = unhex(rows[i][1], expected), out_size = 0;
        assert_true(covey__pem_decode(rows[i][0], strlen(rows[i][0]), out, sizeof out, &out_size));
        assert_int_equal(out_size, size);
        assert_memory_equal(out, expected, size);
        assert_false(covey__pem_decode(rows[i][0], strlen(rows[i][0]), out, size - 1, &out_size));
        covey__buffer text;
        covey__buffer_init(&text, &test.env, 4096);
        assert_int_equal(covey__pem_encode(expected, size, &text), COVEY_OK);
        assert_string_equal(text.data, rows[i][0]);
        covey__buffer_free(&text);
    }
}

static void pem_of_every_length_goes_both_ways(void **state) {
    (void)state;
    test_env test;
    uint8_t bytes[200], out[200];
    test_env_init(&test);
    for (size_t size = 1; size < sizeof bytes; size++) {
        covey__buffer text;
        size_t out_size = 0;
        bytes[size - 1] = (uint8_t)(size * 37);
        covey__buffer_init(&text, &test.env, 4096);
        assert_int_equal(covey__pem_encode(bytes, size, &text), COVEY_OK);
        assert_true(covey__pem_decode(text.data, text.size, out, size, &out_size));
        assert_int_equal(out_size, size);
        assert_memory_equal(out, bytes, size);
        covey__buffer_free(&text);
    }
}

static void base64_is_strict(void **state) {
    (void)state;
    static const struct {
        const char *body;
        bool right;
    } rows[] = {{"AAEC", true},   {"AAE=", true},  {"AA==", true},      {" A\nA\r\n=\t= ", true},
                {"AAF=", false},  {"AB==", false}, {"AA=", false},      {"AA", false},
                {"A===", false},  {"====", false}, {"AA==AAAA", false}, {"AA=A", false},
                {"AA-_", false},  {"", false},     {"AAEC!", false},    {"AAECA", false},
                {"AA==\f", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[128];
        uint8_t out[16];
        size_t size;
        snprintf(text, sizeof text, "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----",
                 rows[i].body);
        assert_int_equal(covey__pem_decode(text, strlen(text), out, sizeof out, &size),
                         rows[i].right);
    }
}

static void tells_the_kinds_apart(void **state) {
    (void)state;
    assert_int_equal(kind_of(RSA_DER), COVEY__KEY_KIND_RSA);
    assert_int_equal(kind_of(EC_DER), COVEY__KEY_KIND_P256);
    assert_int_equal(kind_of("302a300506032b6570032100" ED_HEX), COVEY__KEY_KIND_ED25519);
    static const char *const none[] = {
        RSA1024_DER, RSA_PKCS1_DER, P384_DER,    EC_COMPRESSED_DER,
        "",          RSA_DER "00",  EC_DER "00", "302a300506032b6570032100" ED_HEX "00"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(kind_of(none[i]), COVEY__KEY_KIND_NONE);
}

/* Every change to the frame of an RSA key must be refused; the modulus and exponent are free. */
static void rsa_is_taken_in_one_encoding(void **state) {
    (void)state;
    uint8_t info[400];
    const uint8_t *key;
    size_t key_size, size = unhex(RSA_DER, info);
    for (size_t i = 0; i < size; i++) {
        bool in_numbers = (i >= 32 && i < 33 + 256) || i >= size - 3;
        uint8_t kept = info[i];
        for (unsigned value = 0; value < 256 && !in_numbers; value++) {
            if (value == kept) continue;
            info[i] = (uint8_t)value;
            if (covey__key_info_read(info, size, &key, &key_size) != COVEY__KEY_KIND_NONE)
                fail_msg("byte %zu as 0x%02x was taken", i, value);
        }
        info[i] = kept;
        assert_int_equal(covey__key_info_read(info, i, &key, &key_size), COVEY__KEY_KIND_NONE);
    }
    info[33] &= 0x7f; /* 2047 bits, and a zero before that needs none */
    assert_int_equal(covey__key_info_read(info, size, &key, &key_size), COVEY__KEY_KIND_NONE);
    info[33] |= 0x80;
    info[33 + 255] &= 0xfe; /* even */
    assert_int_equal(covey__key_info_read(info, size, &key, &key_size), COVEY__KEY_KIND_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pem_goes_both_ways),
        cmocka_unit_test(pem_of_every_length_goes_both_ways),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(tells_the_kinds_apart),
        cmocka_unit_test(rsa_is_taken_in_one_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
