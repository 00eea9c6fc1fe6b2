/* Signers that are programs: shell scripts here, which answer with a signature that was made
 * before. */
#include "support/support.h"
#include "unit/trust/key_vectors.h"

#include "base/sha256.h"
#include "fleet/signer_program.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct fixture {
    test_env test;
    test_folder folder;
    char path[300];
    uint8_t key[32];
    covey__buffer signature;
    covey_error error;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    test_env_init(&f->test);
    f->test.env.crypto = covey__crypto_openssl();
    test_folder_make(&f->folder);
    strcpy(f->path, test_path(&f->folder, "signer"));
    assert_true(covey__unhex(ED_HEX, 64, f->key, 32));
    covey__buffer_init(&f->signature, &f->test.env, 4096);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    covey__buffer_free(&f->signature);
    test_folder_remove(&f->folder);
    assert_int_equal(f->test.alive, 0);
    free(f);
    return 0;
}

/* Signs with a script of these lines; its arguments are "$1" and so on. */
static covey_status sign(fixture *f, const char *script, const char *bytes, size_t size,
                         uint32_t timeout_ms) {
    char text[2048];
    const char *const arguments[] = {f->path, f->folder.path, "a b; $(touch x) *", NULL};
    const char *const environment[] = {"TOKEN=one two", NULL};
    covey__signer_program program = {arguments, environment, timeout_ms};
    covey__signer signer;
    snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
    test_write(f->path, text, strlen(text));
    assert_int_equal(chmod(f->path, 0700), 0);
    covey__buffer_clear(&f->signature);
    covey_status status = covey__signer_of_program(&f->test.env, &program, COVEY_KEY_ED25519,
                                                   f->key, 32, &signer, &f->error);
    assert_int_equal(status, COVEY_OK);
    status = covey__signer_sign(&signer, bytes, size, &f->signature, &f->error);
    covey__signer_close(&signer);
    return status;
}

static covey_status sign_text(fixture *f, const char *script) {
    return sign(f, script, SIGNED_TEXT, strlen(SIGNED_TEXT), 0);
}

static void takes_hex_and_raw_signatures(void **state) {
    fixture *f = *state;
    assert_int_equal(sign_text(f, "cat >/dev/null; echo " ED_SIGNATURE), COVEY_OK);
    assert_int_equal(f->signature.size, 64);
    assert_int_equal(sign_text(f, "cat >\"$1/seen\"; printf %s " ED_SIGNATURE), COVEY_OK);
    size_t size;
    char *seen = test_read(test_path(&f->folder, "seen"), &size);
    assert_string_equal(seen, SIGNED_TEXT);
    free(seen);
    char raw[1024] = "cat >/dev/null; printf '", octal[8];
    uint8_t bytes[64];
    assert_true(covey__unhex(ED_SIGNATURE, 128, bytes, 64));
    for (int i = 0; i < 64; i++) {
        snprintf(octal, sizeof octal, "\\%03o", bytes[i]);
        strcat(raw, octal);
    }
    strcat(raw, "'");
    assert_int_equal(sign_text(f, raw), COVEY_OK);
    assert_memory_equal(f->signature.data, bytes, 64);
}

static void its_world_is_small(void **state) {
    fixture *f = *state;
    size_t size;
    setenv("COVEY_TEST_SECRET", "do-not-pass", 1);
    assert_int_equal(
        sign_text(f, "env >\"$1/env\"; printf %s \"$2\" >\"$1/argument\"; echo " ED_SIGNATURE),
        COVEY_OK);
    char *text = test_read(test_path(&f->folder, "env"), &size);
    assert_null(strstr(text, "COVEY_TEST_SECRET"));
    assert_non_null(strstr(text, "TOKEN=one two"));
    assert_non_null(strstr(text, "COVEY_KEY_ID="));
    assert_non_null(strstr(text, "PATH="));
    assert_null(strstr(text, "HOME="));
    free(text);
    text = test_read(test_path(&f->folder, "argument"), &size);
    assert_string_equal(text, "a b; $(touch x) *");
    free(text);
}

static void a_wrong_signature_is_found(void **state) {
    fixture *f = *state;
    static const char *const scripts[] = {"true", "echo 00", "echo hello", "head -c 64 /dev/zero",
                                          "echo " EC_SIGNATURE};
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        assert_int_equal(sign_text(f, scripts[i]), COVEY_ERROR_MISMATCH);
        assert_int_equal(f->signature.size, 0);
    }
    assert_int_equal(sign(f, "echo " ED_SIGNATURE, "other", 5, 0), COVEY_ERROR_MISMATCH);
}

static void its_complaint_is_told(void **state) {
    fixture *f = *state;
    assert_int_equal(sign_text(f, "echo 'no card in the reader' >&2; exit 3"), COVEY_ERROR_IO);
    assert_non_null(strstr(f->error.message, "no card in the reader"));
    assert_non_null(strstr(f->error.message, "status 3"));
    assert_int_equal(sign_text(f, "echo " ED_SIGNATURE "; exit 1"), COVEY_ERROR_IO);
    assert_int_equal(sign_text(f, "kill -9 $$"), COVEY_ERROR_IO);
    assert_non_null(strstr(f->error.message, "signal 9"));
    /* Much to say does not block it. */
    assert_int_equal(sign_text(f, "head -c 300000 /dev/zero >&2; echo " ED_SIGNATURE), COVEY_OK);
}

static void neither_side_blocks_the_other(void **state) {
    fixture *f = *state;
    size_t size = 4u << 20;
    char *much = calloc(1, size);
    /* It reads nothing; it closes its input; it reads all and answers wrongly. */
    assert_int_equal(sign(f, "echo " ED_SIGNATURE, much, size, 0), COVEY_ERROR_MISMATCH);
    assert_int_equal(sign(f, "exec <&-; echo " ED_SIGNATURE, much, size, 0), COVEY_ERROR_MISMATCH);
    assert_int_equal(sign(f, "wc -c >\"$1/count\"; echo " ED_SIGNATURE, much, size, 0),
                     COVEY_ERROR_MISMATCH);
    free(much);
    char *count = test_read(test_path(&f->folder, "count"), &size);
    assert_int_equal(atoi(count), 4 << 20);
    free(count);
    assert_int_equal(sign_text(f, "yes"), COVEY_ERROR_LIMIT);
}

/* Gone, or dead and waiting for its reaper; a killed process may need a moment for that. */
static bool is_dead(int pid) {
    int64_t deadline_us = covey__monotonic_us() + 10000000;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    while (covey__monotonic_us() < deadline_us) {
        size_t size;
        char *status = test_read(path, &size);
        bool dead = status == NULL || strpbrk(strrchr(status, ')'), "ZX") != NULL;
        free(status);
        if (dead) return true;
        sched_yield();
    }
    return false;
}

/* What hangs is ended with all that it started. */
static void it_has_its_time(void **state) {
    fixture *f = *state;
    size_t size;
    static const char *const scripts[] = {
        "echo $$ >\"$1/pid\"; sleep 1000; echo " ED_SIGNATURE,
        "sleep 1000 & echo $! >\"$1/pid\"; cat >/dev/null; echo " ED_SIGNATURE,
        "echo $$ >\"$1/pid\"; exec >&- 2>&-; sleep 1000"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sign(f, scripts[i], SIGNED_TEXT, strlen(SIGNED_TEXT), 500),
                         COVEY_ERROR_TIMEOUT);
        char *pid = test_read(test_path(&f->folder, "pid"), &size);
        assert_non_null(pid);
        assert_true(is_dead(atoi(pid)));
        free(pid);
    }
}

static void what_cannot_start_is_told(void **state) {
    fixture *f = *state;
    covey__signer signer;
    const char *const absent[] = {"/nowhere/signer", NULL}, *const relative[] = {"sh", NULL};
    covey__signer_program program = {absent, NULL, 0};
    assert_int_equal(covey__signer_of_program(&f->test.env, &program, COVEY_KEY_ED25519, f->key, 32,
                                              &signer, &f->error),
                     COVEY_OK);
    assert_int_equal(covey__signer_sign(&signer, "x", 1, &f->signature, &f->error),
                     COVEY_ERROR_NOT_FOUND);
    assert_non_null(strstr(f->error.message, "/nowhere/signer"));
    covey__signer_close(&signer);
    program.arguments = relative;
    assert_int_equal(covey__signer_of_program(&f->test.env, &program, COVEY_KEY_ED25519, f->key, 32,
                                              &signer, &f->error),
                     COVEY_ERROR_INVALID_ARGUMENT);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(takes_hex_and_raw_signatures),  TEST(its_world_is_small),
        TEST(a_wrong_signature_is_found),    TEST(its_complaint_is_told),
        TEST(neither_side_blocks_the_other), TEST(it_has_its_time),
        TEST(what_cannot_start_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
