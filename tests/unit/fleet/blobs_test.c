/* The blob folder: whole or not there, whatever fails. */
#include "support/support.h"

#include "base/file.h"
#include "fleet/blobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fixture {
    test_folder folder;
    test_env test;
    covey__blobs blobs;
    uint8_t sha256[32];
    char path[400], incoming[400];
} fixture;

static const char content[] = "a chunk of a model";

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    char hex[65];
    test_folder_make(&f->folder);
    test_env_init(&f->test);
    covey_error error = {0};
    char folder[300];
    snprintf(folder, sizeof folder, "%s/blobs", f->folder.path);
    assert_int_equal(covey__blobs_open(&f->test.env, folder, &f->blobs, &error), COVEY_OK);
    covey__sha256_of(content, sizeof content, f->sha256);
    covey__hex(f->sha256, 32, hex);
    snprintf(f->path, sizeof f->path, "%s/sha256/%.2s/%s", folder, hex, hex);
    snprintf(f->incoming, sizeof f->incoming, "%s/incoming", folder);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    covey__blobs_close(&f->blobs);
    assert_int_equal(f->test.alive, 0);
    test_folder_remove(&f->folder);
    free(f);
    return 0;
}

static covey_status upload(fixture *f, const void *data, size_t size, covey_error *error) {
    covey__blob_upload up;
    covey_status status = covey__blob_begin(&f->blobs, f->sha256, &up, error);
    if (status != COVEY_OK) return status;
    status = covey__blob_write(&up, data, size / 2, error);
    if (status == COVEY_OK) {
        status = covey__blob_write(&up, (const char *)data + size / 2, size - size / 2, error);
    }
    if (status == COVEY_OK) return covey__blob_finish(&up, error);
    covey__blob_abort(&up);
    return status;
}

static covey_status count_name(void *user, const char *name, bool is_folder) {
    (void)name;
    (void)is_folder;
    ++*(int *)user;
    return COVEY_OK;
}

static int incoming_count(fixture *f) {
    int count = 0;
    covey_error error = {0};
    assert_int_equal(covey__folder_list(&f->test.env, f->incoming, &error, count_name, &count),
                     COVEY_OK);
    return count;
}

static void comes_in_and_goes_out(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__buffer out;
    uint64_t size = 0;
    assert_false(covey__blob_has(&f->blobs, f->sha256));
    assert_int_equal(covey__blob_size(&f->blobs, f->sha256, &size, &error), COVEY_ERROR_NOT_FOUND);
    assert_int_equal(upload(f, content, sizeof content, &error), COVEY_OK);
    assert_true(covey__blob_has(&f->blobs, f->sha256));
    assert_int_equal(access(f->path, R_OK), 0); /* where any static server would look */
    assert_int_equal(covey__blob_size(&f->blobs, f->sha256, &size, &error), COVEY_OK);
    assert_int_equal(size, sizeof content);
    covey__buffer_init(&out, &f->test.env, 1000);
    assert_int_equal(covey__blob_read(&f->blobs, f->sha256, &out, &error), COVEY_OK);
    assert_memory_equal(out.data, content, sizeof content);
    covey__buffer_free(&out);
    assert_int_equal(incoming_count(f), 0);
    /* Again: the same. */
    assert_int_equal(upload(f, content, sizeof content, &error), COVEY_OK);
}

static void other_bytes_are_refused(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    assert_int_equal(upload(f, "other", 6, &error), COVEY_ERROR_MISMATCH);
    assert_false(covey__blob_has(&f->blobs, f->sha256));
    assert_int_equal(upload(f, "", 0, &error), COVEY_ERROR_MISMATCH);
    assert_int_equal(incoming_count(f), 0);
}

static void too_large_is_refused(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__blob_upload up;
    static char block[1 << 20];
    assert_int_equal(covey__blob_begin(&f->blobs, f->sha256, &up, &error), COVEY_OK);
    for (size_t i = 0; i < COVEY__BLOB_BYTES_MAX / sizeof block; i++) {
        assert_int_equal(covey__blob_write(&up, block, sizeof block, &error), COVEY_OK);
    }
    assert_int_equal(covey__blob_write(&up, block, 1, &error), COVEY_ERROR_LIMIT);
    covey__blob_abort(&up);
    assert_int_equal(incoming_count(f), 0);
}

static void every_failure_leaves_nothing(void **state) {
    fixture *f = *state;
    static const char *const points[] = {"open", "write", "fsync", "rename"};
    static const int codes[] = {EMFILE, ENOSPC, EIO, EIO};
    for (size_t i = 0; i < 4; i++) {
        covey_error error = {0};
        f->test.point = points[i];
        f->test.point_calls = 0;
        f->test.point_fails = 1;
        f->test.point_errno = codes[i];
        covey_status status = upload(f, content, sizeof content, &error);
        if (status == COVEY_OK) fail_msg("%s did not fail", points[i]);
        if (codes[i] == ENOSPC) assert_int_equal(status, COVEY_ERROR_NO_SPACE);
        assert_false(covey__blob_has(&f->blobs, f->sha256));
        f->test.point = NULL;
        f->test.point_fails = 0;
        assert_int_equal(incoming_count(f), 0);
    }
    /* And then it works. */
    covey_error error = {0};
    assert_int_equal(upload(f, content, sizeof content, &error), COVEY_OK);
}

static void changed_bytes_are_noticed(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__buffer out;
    assert_int_equal(upload(f, content, sizeof content, &error), COVEY_OK);
    test_write(f->path, "a chunk of a modem", sizeof content);
    covey__buffer_init(&out, &f->test.env, 1000);
    assert_int_equal(covey__blob_read(&f->blobs, f->sha256, &out, &error), COVEY_ERROR_MISMATCH);
    covey__buffer_free(&out);
    /* A publisher is told that it is not here, and sends it again. */
    assert_false(covey__blob_has(&f->blobs, f->sha256));
    test_write(f->path, content, sizeof content - 1);
    assert_false(covey__blob_has(&f->blobs, f->sha256));
    assert_int_equal(upload(f, content, sizeof content, &error), COVEY_OK);
    assert_true(covey__blob_has(&f->blobs, f->sha256));
}

static void start_drops_what_was_interrupted(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    char half[500], folder[300];
    snprintf(half, sizeof half, "%s/0123", f->incoming);
    snprintf(folder, sizeof folder, "%s/blobs", f->folder.path);
    assert_int_equal(upload(f, content, sizeof content, &error), COVEY_OK);
    test_write(half, "half", 4);
    covey__blobs_close(&f->blobs);
    assert_int_equal(covey__blobs_open(&f->test.env, folder, &f->blobs, &error), COVEY_OK);
    assert_int_equal(incoming_count(f), 0);
    assert_true(covey__blob_has(&f->blobs, f->sha256));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(comes_in_and_goes_out),     TEST(other_bytes_are_refused),
        TEST(too_large_is_refused),      TEST(every_failure_leaves_nothing),
        TEST(changed_bytes_are_noticed), TEST(start_drops_what_was_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
