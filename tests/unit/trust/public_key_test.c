/* Key objects of TUF metadata: which are taken, which are not known, and what names them. */
#include "support/support.h"
#include "unit/trust/key_vectors.h"

#include "base/sha256.h"
#include "trust/public_key.h"

#include <stdio.h>
#include <string.h>

typedef struct fixture {
    test_env test;
    covey__arena arena;
    covey_error error;
} fixture;

static void set_up(fixture *f) {
    memset(f, 0, sizeof *f);
    test_env_init(&f->test);
    f->test.env.crypto = covey__crypto_openssl();
    covey__arena_init(&f->arena, &f->test.env, 4u << 20);
}

static void tear_down(fixture *f) {
    covey__arena_free(&f->arena);
    assert_int_equal(f->test.alive, 0);
}

static covey_status read_text(fixture *f, const char *text, covey__public_key *key) {
    const covey__json *object = NULL;
    assert_int_equal(covey__json_parse(&f->arena, text, strlen(text), COVEY__JSON_LIMITS_DEFAULT,
                                       &object, &f->error),
                     COVEY_OK);
    return covey__public_key_read(&f->arena, object, key, &f->error);
}

/* The object of a type, a scheme and a value, with its newlines escaped. */
static covey__public_key read_key(fixture *f, const char *type, const char *scheme,
                                  const char *value) {
    covey__buffer text;
    covey__json_writer writer;
    covey__public_key key;
    covey__buffer_init(&text, &f->test.env, 1u << 16);
    covey__json_writer_init(&writer, &text, false);
    covey__json_begin_object(&writer);
    covey__json_member_string(&writer, "keytype", type);
    covey__json_member_string(&writer, "scheme", scheme);
    covey__json_name(&writer, "keyval");
    covey__json_begin_object(&writer);
    covey__json_member_string(&writer, "public", value);
    covey__json_end_object(&writer);
    covey__json_end_object(&writer);
    assert_int_equal(read_text(f, text.data, &key), COVEY_OK);
    covey__buffer_free(&text);
    return key;
}

static covey_status verify(fixture *f, const covey__public_key *key, const char *signature_hex) {
    uint8_t signature[512];
    size_t size = strlen(signature_hex) / 2;
    assert_true(covey__unhex(signature_hex, 2 * size, signature, size));
    return covey__public_key_verify(&f->test.env, key, SIGNED_TEXT, strlen(SIGNED_TEXT), signature,
                                    size, &f->error);
}

static void takes_the_known_types(void **state) {
    (void)state;
    static const struct {
        const char *type, *scheme, *value;
        covey_key_scheme expected;
        const char *signature;
    } rows[] = {
        {"ed25519", "ed25519", ED_HEX, COVEY_KEY_ED25519, ED_SIGNATURE},
        {"ed25519", "ed25519", ED_PEM, COVEY_KEY_ED25519, ED_SIGNATURE},
        {"ecdsa", "ecdsa-sha2-nistp256", EC_PEM, COVEY_KEY_ECDSA_P256_SHA256, EC_SIGNATURE},
        {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", EC_PEM, COVEY_KEY_ECDSA_P256_SHA256,
         EC_SIGNATURE},
        {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", EC_POINT, COVEY_KEY_ECDSA_P256_SHA256,
         EC_SIGNATURE},
        {"rsa", "rsassa-pss-sha256", RSA_PEM, COVEY_KEY_RSA_PSS_SHA256, RSA_PSS_32},
        {"rsa", "rsa-pkcs1v15-sha256", RSA_PEM, COVEY_KEY_RSA_PKCS1_SHA256, RSA_PKCS1_SIGNATURE},
    };
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        covey__public_key key = read_key(&f, rows[i].type, rows[i].scheme, rows[i].value);
        assert_int_equal(key.scheme, rows[i].expected);
        assert_int_equal(verify(&f, &key, rows[i].signature), COVEY_OK);
        assert_int_equal(verify(&f, &key, RSA_PSS_SHA512), COVEY_ERROR_MISMATCH);
    }
    tear_down(&f);
}

static void one_key_has_one_fingerprint(void **state) {
    (void)state;
    static const char scheme[] = "ecdsa-sha2-nistp256";
    fixture f;
    set_up(&f);
    covey__public_key a = read_key(&f, "ecdsa", scheme, EC_PEM);
    covey__public_key b = read_key(&f, "ecdsa-sha2-nistp256", scheme, EC_PEM);
    covey__public_key c = read_key(&f, "ecdsa", scheme, EC_POINT);
    covey__public_key d = read_key(&f, "ecdsa", scheme, "\r\n " EC_PEM "\r\n\t ");
    covey__public_key e = read_key(&f, "ed25519", "ed25519", ED_HEX);
    assert_memory_equal(a.fingerprint, b.fingerprint, 32);
    assert_memory_equal(a.fingerprint, c.fingerprint, 32);
    assert_memory_equal(a.fingerprint, d.fingerprint, 32);
    assert_memory_not_equal(a.fingerprint, e.fingerprint, 32);
    covey__public_key pss = read_key(&f, "rsa", "rsassa-pss-sha256", RSA_PEM);
    covey__public_key pkcs1 = read_key(&f, "rsa", "rsa-pkcs1v15-sha256", RSA_PEM);
    assert_memory_equal(pss.fingerprint, pkcs1.fingerprint, 32);
    assert_int_not_equal(pss.scheme, pkcs1.scheme);
    assert_string_not_equal(a.id, b.id);
    assert_string_not_equal(a.id, c.id);
    tear_down(&f);
}

static void what_is_not_known_is_no_error(void **state) {
    (void)state;
    static const char *const rows[][3] = {
        {"sigstore-oidc", "sigstore-oidc", "x"},
        {"ed25519", "ecdsa-sha2-nistp256", ED_HEX},
        {"ed25519", "ed25519", EC_PEM},
        {"ed25519", "ed25519", ED_HEX "00"},
        {"ed25519", "ed25519", "zz"},
        {"ed25519", "ed25519", ""},
        {"ecdsa", "ecdsa-sha2-nistp256", P384_PEM},
        {"ecdsa", "ecdsa-sha2-nistp256", EC_COMPRESSED},
        {"ecdsa", "ecdsa-sha2-nistp256", RSA_PEM},
        {"ecdsa", "ecdsa-sha2-nistp384", P384_PEM},
        {"rsa", "rsassa-pss-sha256", RSA1024_PEM},
        {"rsa", "rsassa-pss-sha256", EC_PEM},
        {"rsa", "rsa-pkcs1v15-sha512", RSA_PEM},
        {"rsa", "rsa-pkcs1v15-sha256", RSA1024_PEM},
        {"rsa", "rsassa-pss-sha256", RSA_PEM RSA_PEM},
        {"rsa", "rsassa-pss-sha256", "x" RSA_PEM},
        {"rsa", "rsassa-pss-sha256", "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----"},
    };
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        covey__public_key key = read_key(&f, rows[i][0], rows[i][1], rows[i][2]);
        assert_int_equal(key.scheme, COVEY__KEY_UNKNOWN);
        assert_null(key.bytes);
        assert_int_equal(strlen(key.id), 64);
        assert_int_equal(verify(&f, &key, ED_SIGNATURE), COVEY_ERROR_UNSUPPORTED);
    }
    covey__public_key key; /* as tuf-on-ci writes keys of people: no "public" at all */
    assert_int_equal(read_text(&f,
                               "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":"
                               "{\"identity\":\"a@b\",\"issuer\":\"c\"},\"x\":[1]}",
                               &key),
                     COVEY_OK);
    assert_int_equal(key.scheme, COVEY__KEY_UNKNOWN);
    tear_down(&f);
}

static void what_is_no_key_object_is_an_error(void **state) {
    (void)state;
    static const char *const rows[] = {
        "[]",
        "1",
        "{}",
        "{\"keytype\":1,\"scheme\":\"ed25519\",\"keyval\":{}}",
        "{\"keytype\":\"ed25519\",\"keyval\":{}}",
        "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":\"x\"}",
        "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{},\"x\":1.5}"};
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        covey__public_key key;
        assert_int_equal(read_text(&f, rows[i], &key), COVEY_ERROR_FORMAT);
    }
    tear_down(&f);
}

/* The id that securesystemslib and the conformance suite would give: SHA-256 of this text. */
static void the_id_is_that_of_the_canonical_object(void **state) {
    (void)state;
    static const char canonical[] = "{\"keytype\":\"ecdsa\",\"keyval\":{\"public\":\"" EC_PEM
                                    "\"},\"scheme\":\"ecdsa-sha2-nistp256\"}";
    uint8_t digest[32];
    char hex[65];
    fixture f;
    set_up(&f);
    covey__sha256_of(canonical, strlen(canonical), digest);
    covey__hex(digest, 32, hex);
    covey__public_key key = read_key(&f, "ecdsa", "ecdsa-sha2-nistp256", EC_PEM);
    assert_string_equal(key.id, hex);
    tear_down(&f);
}

static void what_is_written_is_read_again(void **state) {
    (void)state;
    static const struct {
        covey_key_scheme scheme;
        const char *bytes;
    } rows[] = {{COVEY_KEY_ED25519, ED_HEX},
                {COVEY_KEY_ECDSA_P256_SHA256, EC_DER},
                {COVEY_KEY_RSA_PSS_SHA256, RSA_DER},
                {COVEY_KEY_RSA_PKCS1_SHA256, RSA_DER}};
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bytes[400];
        size_t size = strlen(rows[i].bytes) / 2;
        covey__public_key made, again;
        covey__buffer text;
        covey__json_writer writer;
        assert_true(covey__unhex(rows[i].bytes, 2 * size, bytes, size));
        assert_int_equal(
            covey__public_key_make(&f.arena, rows[i].scheme, bytes, size, &made, &f.error),
            COVEY_OK);
        covey__buffer_init(&text, &f.test.env, 1u << 16);
        covey__json_writer_init(&writer, &text, false);
        covey__public_key_write(&writer, &made);
        assert_int_equal(read_text(&f, text.data, &again), COVEY_OK);
        covey__buffer_free(&text);
        assert_int_equal(again.scheme, rows[i].scheme);
        assert_string_equal(again.id, made.id);
        assert_memory_equal(again.fingerprint, made.fingerprint, 32);
        assert_int_equal(again.size, size);
        assert_memory_equal(again.bytes, bytes, size);
        assert_int_equal(
            covey__public_key_make(&f.arena, rows[i].scheme, bytes, size - 1, &made, &f.error),
            COVEY_ERROR_FORMAT);
    }
    tear_down(&f);
}

static covey_status allocation_step(const covey__env *env, void *user, covey_error *error) {
    uint8_t bytes[400];
    covey__arena arena;
    covey__public_key key;
    (void)user;
    assert_true(covey__unhex(EC_DER, strlen(EC_DER), bytes, strlen(EC_DER) / 2));
    covey__arena_init(&arena, env, 1u << 20);
    covey_status status = covey__public_key_make(&arena, COVEY_KEY_ECDSA_P256_SHA256, bytes,
                                                 strlen(EC_DER) / 2, &key, error);
    covey__arena_free(&arena);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(allocation_step, NULL) > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_known_types),
        cmocka_unit_test(one_key_has_one_fingerprint),
        cmocka_unit_test(what_is_not_known_is_no_error),
        cmocka_unit_test(what_is_no_key_object_is_an_error),
        cmocka_unit_test(the_id_is_that_of_the_canonical_object),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
