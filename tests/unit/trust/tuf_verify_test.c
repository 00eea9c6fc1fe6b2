/* Thresholds count keys: not ids, not signatures. */
#include "support/tuf_double.h"

#include "trust/sha512.h"
#include "trust/tuf_document.h"

static covey__tuf_document *root_of(tuf_double *d) {
    covey__tuf_document *document = NULL;
    covey_error error = {0};
    tuf_double_publish(d, TUF_ROOT);
    const tuf_double_file *file = tuf_double_find(d, "1.root.json");
    if (covey__tuf_parse(d->env, COVEY__TUF_ROOT, file->data, file->size, &document, &error))
        fail_msg("%s", error.message);
    return document;
}

static void thresholds(void **unused) {
    (void)unused;
    static const struct {
        unsigned keys, signers;
        int threshold;
        bool good;
    } cases[] = {
        {1, 1, 1, true},       {1, 2, 1, false}, {1, 0, 1, false},        {7, 7, 3, true},
        {7, 3, 3, false},      {7, 3, 2, true},  {7, 3 | 0x70, 3, false}, {7, 7, 4, false},
        {0x1f, 0x15, 3, true}, {0, 7, 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tuf_double d;
        covey_error error = {0};
        tuf_double_open(&d);
        d.root.keys = cases[i].keys;
        d.root.signers = cases[i].signers;
        d.root.threshold = cases[i].threshold;
        covey__tuf_document *root = root_of(&d);
        covey_status status = covey__tuf_verify(d.env, root, root->top + COVEY__TUF_ROOT, &error);
        assert_int_equal(status, cases[i].good ? COVEY_OK : COVEY_ERROR_SIGNATURE);
        if (!cases[i].good) assert_int_equal(error.expected, cases[i].threshold);
        covey__tuf_free(root);
        tuf_double_close(&d);
    }
}

/* One key under many ids, each with a right signature, is one key. */
static void one_key_under_two_ids(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    d.root.keys = d.root.signers = 3;
    d.root.threshold = 2;
    d.timestamp.keys = d.snapshot.keys = d.targets.keys = 1;
    d.keys[1] = d.keys[0];
    covey_error error = {0};
    covey__tuf_document *root = root_of(&d);
    assert_int_equal(root->signature_count, 2);
    assert_int_equal(covey__tuf_verify(d.env, root, root->top + COVEY__TUF_ROOT, &error),
                     COVEY_ERROR_SIGNATURE);
    assert_int_equal(error.found, 1);
    covey__tuf_free(root);
    tuf_double_close(&d);
}

static void changed_bytes(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    covey__tuf_document *root = root_of(&d);
    const covey__tuf_role *role = root->top + COVEY__TUF_ROOT;
    assert_int_equal(covey__tuf_verify(d.env, root, role, NULL), COVEY_OK);
    root->canonical[root->canonical_size / 2] ^= 1;
    assert_int_equal(covey__tuf_verify(d.env, root, role, NULL), COVEY_ERROR_SIGNATURE);
    covey__tuf_free(root);
    tuf_double_close(&d);
}

static void rotations(void **unused) {
    (void)unused;
    static const struct {
        unsigned before, after;
        bool rotated;
    } cases[] = {{1, 1, false}, {1, 3, false}, {3, 1, true},
                 {1, 2, true},  {0, 1, false}, {1, 0, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tuf_double d;
        tuf_double_open(&d);
        d.timestamp.keys = cases[i].before;
        covey__tuf_document *before = root_of(&d);
        d.timestamp.keys = cases[i].after;
        covey__tuf_document *after = root_of(&d);
        assert_int_equal(covey__tuf_rotated(before->top + COVEY__TUF_TIMESTAMP,
                                            after->top + COVEY__TUF_TIMESTAMP),
                         cases[i].rotated);
        covey__tuf_free(before);
        covey__tuf_free(after);
        tuf_double_close(&d);
    }
}

static void files(void **unused) {
    (void)unused;
    covey__tuf_file file = {"a.json", 1, 3, {false, false, {0}, NULL}};
    uint8_t sha512[64];
    covey__sha512_of("abc", 3, sha512);
    covey__sha256_of("abc", 3, file.hashes.sha256);
    assert_int_equal(covey__tuf_file_check(&file, "abd", 3, NULL), COVEY_OK);
    assert_int_equal(covey__tuf_file_check(&file, "abcd", 4, NULL), COVEY_ERROR_MISMATCH);
    file.hashes.given = true;
    assert_int_equal(covey__tuf_file_check(&file, "abc", 3, NULL), COVEY_ERROR_UNSUPPORTED);
    file.hashes.has_sha256 = true;
    assert_int_equal(covey__tuf_file_check(&file, "abc", 3, NULL), COVEY_OK);
    assert_int_equal(covey__tuf_file_check(&file, "abd", 3, NULL), COVEY_ERROR_MISMATCH);
    file.hashes.sha512 = sha512; /* both must match */
    assert_int_equal(covey__tuf_file_check(&file, "abc", 3, NULL), COVEY_OK);
    sha512[63] ^= 1;
    assert_int_equal(covey__tuf_file_check(&file, "abc", 3, NULL), COVEY_ERROR_MISMATCH);
    sha512[63] ^= 1;
    file.hashes.has_sha256 = false;
    assert_int_equal(covey__tuf_file_check(&file, "abc", 3, NULL), COVEY_OK);
    assert_int_equal(covey__tuf_file_check(&file, "abd", 3, NULL), COVEY_ERROR_MISMATCH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thresholds),    cmocka_unit_test(one_key_under_two_ids),
        cmocka_unit_test(changed_bytes), cmocka_unit_test(rotations),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
