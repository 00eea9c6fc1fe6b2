/* Signature documents: what must hold, what must not, and what each failure is called. */
#include "support/support.h"

#include "base/sha256.h"
#include "trust/signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char release[] = "{\"format\":1,\"name\":\"assistant\"}";

typedef struct fixture {
    test_env test;
    covey__key keys[2];
    covey__trusted_keys trusted; /* keys[0] */
    covey__buffer document;      /* by keys[0] */
} fixture;

static void trust(covey__trusted_keys *trusted, const covey__key *key) {
    char hex[65];
    covey_error error;
    covey__hex(key->public_key, 32, hex);
    assert_int_equal(covey__trusted_add(trusted, hex, &error), COVEY_OK);
}

static int set_up(void **state) {
    static fixture f;
    covey_error error;
    memset(&f, 0, sizeof f);
    test_env_init(&f.test);
    f.test.env.crypto = covey__crypto_openssl();
    assert_int_equal(covey__key_make(&f.test.env, &f.keys[0], &error), COVEY_OK);
    assert_int_equal(covey__key_make(&f.test.env, &f.keys[1], &error), COVEY_OK);
    trust(&f.trusted, &f.keys[0]);
    covey__buffer_init(&f.document, &f.test.env, COVEY__SIGNATURE_BYTES_MAX);
    assert_int_equal(covey__signature_make(&f.test.env, COVEY__DOMAIN_RELEASE, release,
                                           strlen(release), f.keys, 1, &f.document, &error),
                     COVEY_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    covey__buffer_free(&f->document);
    assert_int_equal(f->test.alive, 0);
    return 0;
}

static covey_status check(fixture *f, const char *data, const char *document, size_t size,
                          covey_error *error) {
    uint8_t signer[32];
    return covey__signature_check(&f->test.env, COVEY__DOMAIN_RELEASE, data, strlen(data), document,
                                  size, &f->trusted, signer, error);
}

static void a_trusted_signature_holds(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    uint8_t signer[32] = {0};
    assert_int_equal(covey__signature_check(&f->test.env, COVEY__DOMAIN_RELEASE, release,
                                            strlen(release), f->document.data, f->document.size,
                                            &f->trusted, signer, &error),
                     COVEY_OK);
    assert_memory_equal(signer, f->keys[0].public_key, 32);
}

static void other_bytes_are_refused(void **state) {
    fixture *f = *state;
    for (size_t i = 0; i < strlen(release); i++) {
        char changed[sizeof release];
        covey_error error = {0};
        memcpy(changed, release, sizeof release);
        changed[i] ^= 1;
        assert_int_equal(check(f, changed, f->document.data, f->document.size, &error),
                         COVEY_ERROR_MISMATCH);
    }
}

/* The digest in the document is made to agree, so that only the signature can tell. */
static void a_document_that_agrees_with_itself_is_no_proof(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    static const char forged[] = "{\"format\":1,\"name\":\"forged!!!\"}";
    uint8_t digest[32];
    char hex[65];
    covey__sha256_of(forged, strlen(forged), digest);
    covey__hex(digest, 32, hex);
    char *at = strstr(f->document.data, "\"sha256\":\"");
    memcpy(at + strlen("\"sha256\":\""), hex, 64);
    assert_int_equal(check(f, forged, f->document.data, f->document.size, &error),
                     COVEY_ERROR_MISMATCH);
}

static void no_changed_byte_of_the_document_passes_as_another(void **state) {
    fixture *f = *state;
    for (size_t i = 0; i < f->document.size; i++) {
        covey_error error = {0};
        char kept = f->document.data[i];
        f->document.data[i] ^= 4;
        covey_status status = check(f, release, f->document.data, f->document.size, &error);
        /* A changed name of a member, key or digit: never accepted, but for hex of another case. */
        char lower = (char)(kept | 0x20);
        if (status == COVEY_OK) assert_true(lower >= 'a' && lower <= 'f');
        f->document.data[i] = kept;
    }
}

static void an_unknown_signer_is_denied(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__trusted_keys other = {.key_count = 0};
    trust(&other, &f->keys[1]);
    f->trusted = other;
    assert_int_equal(check(f, release, f->document.data, f->document.size, &error),
                     COVEY_ERROR_DENIED);
    f->trusted.key_count = 0;
    assert_int_equal(check(f, release, f->document.data, f->document.size, &error),
                     COVEY_ERROR_DENIED);
}

static void one_of_two_signers_is_enough_and_a_wrong_one_is_not(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__buffer both;
    covey__buffer_init(&both, &f->test.env, COVEY__SIGNATURE_BYTES_MAX);
    assert_int_equal(covey__signature_make(&f->test.env, COVEY__DOMAIN_RELEASE, release,
                                           strlen(release), f->keys, 2, &both, &error),
                     COVEY_OK);
    assert_int_equal(check(f, release, both.data, both.size, &error), COVEY_OK);
    /* The second signature is spoilt: nobody minds while its key is unknown; then it counts. */
    char *at = strrchr(both.data, ':');
    at[2] = at[2] == '0' ? '1' : '0';
    assert_int_equal(check(f, release, both.data, both.size, &error), COVEY_OK);
    trust(&f->trusted, &f->keys[1]);
    assert_int_equal(check(f, release, both.data, both.size, &error), COVEY_ERROR_MISMATCH);
    covey__buffer_free(&both);
}

static void another_domain_is_refused(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__buffer other;
    covey__buffer_init(&other, &f->test.env, COVEY__SIGNATURE_BYTES_MAX);
    assert_int_equal(covey__signature_make(&f->test.env, "covey-steering-v1", release,
                                           strlen(release), f->keys, 1, &other, &error),
                     COVEY_OK);
    assert_int_equal(check(f, release, other.data, other.size, &error), COVEY_ERROR_MISMATCH);
    /* The document renames its domain: now only the signature can tell. */
    char *at = strstr(other.data, "covey-steering-v1");
    memcpy(at, "covey-release-v1\"", 17);
    at[17] = ' ';
    assert_int_equal(check(f, release, other.data, other.size, &error), COVEY_ERROR_MISMATCH);
    covey__buffer_free(&other);
}

static void malformed_documents_are_named(void **state) {
    fixture *f = *state;
    static const char *const texts[] = {"", "[]", "{}", "{\"format\":1}",
                                        "{\"format\":1,\"domain\":\"covey-release-v1\","
                                        "\"sha256\":\"00\",\"signatures\":[]}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        covey_error error = {0};
        assert_int_equal(check(f, release, texts[i], strlen(texts[i]), &error), COVEY_ERROR_FORMAT);
        assert_non_null(strstr(error.message, "signature"));
    }
}

static void trusted_keys_are_bounded_and_counted_once(void **state) {
    (void)state;
    covey__trusted_keys trusted = {.key_count = 0};
    covey_error error = {0};
    char hex[65];
    for (int i = 0; i < COVEY__TRUSTED_KEY_COUNT_MAX; i++) {
        snprintf(hex, sizeof hex, "%064d", i);
        assert_int_equal(covey__trusted_add(&trusted, hex, &error), COVEY_OK);
        assert_int_equal(covey__trusted_add(&trusted, hex, &error), COVEY_OK);
    }
    assert_int_equal(trusted.key_count, COVEY__TRUSTED_KEY_COUNT_MAX);
    snprintf(hex, sizeof hex, "%064d", 99);
    assert_int_equal(covey__trusted_add(&trusted, hex, &error), COVEY_ERROR_LIMIT);
    assert_int_equal(covey__trusted_add(&trusted, "beef", &error), COVEY_ERROR_FORMAT);
}

static covey_status check_step(const covey__env *env, void *user, covey_error *error) {
    fixture *f = user;
    covey__env with = *env;
    with.crypto = covey__crypto_openssl();
    return covey__signature_check(&with, COVEY__DOMAIN_RELEASE, release, strlen(release),
                                  f->document.data, f->document.size, &f->trusted, NULL, error);
}

static void survives_each_failed_allocation(void **state) {
    assert_true(test_fail_each_allocation(check_step, *state) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_trusted_signature_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_bytes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_document_that_agrees_with_itself_is_no_proof, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_changed_byte_of_the_document_passes_as_another, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_signer_is_denied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_of_two_signers_is_enough_and_a_wrong_one_is_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(another_domain_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(malformed_documents_are_named, set_up, tear_down),
        cmocka_unit_test(trusted_keys_are_bounded_and_counted_once),
        cmocka_unit_test_setup_teardown(survives_each_failed_allocation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
