/* Downloads: what is not the target never comes to its place, and what is there is not asked for.
 */
#include "support/tuf_double.h"

#include "trust/sha512.h"

#define CONTENT "target file contents"

static covey_tuf *open_with(tuf_double *d, const char *name, covey_tuf_target *target) {
    covey_error error = {0};
    tuf_double_open(d);
    d->target_list = tuf_double_target(d, name, CONTENT);
    tuf_double_publish(d, TUF_ALL);
    covey_tuf *tuf = tuf_double_client(d, false);
    *target = (covey_tuf_target)COVEY_TUF_TARGET_INIT;
    if (covey_tuf_find(tuf, name, target, &error) != COVEY_OK) fail_msg("%s", error.message);
    d->log[0] = '\0';
    return tuf;
}

static void spoil(tuf_double *d, const char *content) {
    for (size_t i = 0; i < d->file_count; i++) {
        if (strncmp(d->files[i].name, "targets/", 8) == 0) {
            char name[200];
            snprintf(name, sizeof name, "%s", d->files[i].name);
            tuf_double_put(d, name, content, strlen(content));
        }
    }
}

static void to_a_file(void **unused) {
    (void)unused;
    tuf_double d;
    covey_tuf_target target;
    size_t size;
    covey_tuf *tuf = open_with(&d, "path/to/a file.txt", &target);
    const char *path = test_path(&d.folder, "out");
    char hex[65], expected[200];
    covey__hex(target.sha256, 32, hex);
    snprintf(expected, sizeof expected, "targets/path/to/%s.a%%20file.txt ", hex);
    assert_int_equal(covey_tuf_download(tuf, &target, path, NULL), COVEY_ERROR_REMOTE);
    assert_string_equal(d.log, expected); /* quoted as a path: its '/' stand */
    expected[strlen(expected) - 1] = '\0';
    tuf_double_put(&d, expected, CONTENT, strlen(CONTENT));
    assert_int_equal(covey_tuf_download(tuf, &target, path, NULL), COVEY_OK);
    char *got = test_read(path, &size);
    assert_int_equal(size, strlen(CONTENT));
    assert_memory_equal(got, CONTENT, size);
    free(got);
    d.log[0] = '\0';
    assert_int_equal(covey_tuf_download(tuf, &target, path, NULL), COVEY_OK);
    assert_string_equal(d.log, "");
    test_write(path, "target file cOntents", strlen(CONTENT)); /* of the same length */
    assert_int_equal(covey_tuf_download(tuf, &target, path, NULL), COVEY_OK);
    assert_string_not_equal(d.log, "");
    covey_tuf_close(tuf);
    tuf_double_close(&d);
}

static void what_is_not_the_target(void **unused) {
    (void)unused;
    static const struct {
        const char *content;
        covey_status expected;
    } cases[] = {{"target file contentS", COVEY_ERROR_MISMATCH},
                 {"target file content", COVEY_ERROR_MISMATCH},
                 {"target file contents and more", COVEY_ERROR_LIMIT},
                 {"", COVEY_ERROR_MISMATCH}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tuf_double d;
        covey_tuf_target target;
        covey_error error = {0};
        uint8_t memory[64];
        covey_tuf *tuf = open_with(&d, "file", &target);
        const char *path = test_path(&d.folder, "out");
        spoil(&d, cases[i].content);
        assert_int_equal(covey_tuf_download(tuf, &target, path, &error), cases[i].expected);
        assert_non_null(strstr(error.message, "target \"file\""));
        assert_null(test_read(path, &(size_t){0}));
        assert_null(test_read(test_path(&d.folder, "out.new"), &(size_t){0}));
        assert_int_equal(covey_tuf_download_to(tuf, &target, memory, sizeof memory, &error),
                         cases[i].expected);
        test_write(path, "older", 5); /* what was there stays */
        assert_int_equal(covey_tuf_download(tuf, &target, path, &error), cases[i].expected);
        char *kept = test_read(path, &(size_t){0});
        assert_string_equal(kept, "older");
        free(kept);
        covey_tuf_close(tuf);
        tuf_double_close(&d);
    }
}

static void to_memory(void **unused) {
    (void)unused;
    tuf_double d;
    covey_tuf_target target;
    char memory[64] = "";
    covey_tuf *tuf = open_with(&d, "file", &target);
    assert_int_equal(covey_tuf_download_to(tuf, &target, memory, 3, NULL), COVEY_ERROR_LIMIT);
    assert_string_equal(d.log, "");
    assert_int_equal(covey_tuf_download_to(tuf, &target, memory, sizeof memory, NULL), COVEY_OK);
    assert_string_equal(memory, CONTENT);
    d.answer = 503;
    covey_error error = {0};
    assert_int_equal(covey_tuf_download_to(tuf, &target, memory, sizeof memory, &error),
                     COVEY_ERROR_REMOTE);
    assert_int_equal(error.found, 503);
    covey_tuf_close(tuf);
    tuf_double_close(&d);
}

static void an_empty_target(void **unused) {
    (void)unused;
    tuf_double d;
    covey_tuf_target target = COVEY_TUF_TARGET_INIT;
    tuf_double_open(&d);
    d.consistent = false;
    d.target_list = tuf_double_target(&d, "empty", "");
    tuf_double_publish(&d, TUF_ALL);
    covey_tuf *tuf = tuf_double_client(&d, false);
    assert_int_equal(covey_tuf_find(tuf, "empty", &target, NULL), COVEY_OK);
    d.log[0] = '\0';
    assert_int_equal(covey_tuf_download(tuf, &target, test_path(&d.folder, "out"), NULL), COVEY_OK);
    assert_string_equal(d.log, "targets/empty ");
    assert_int_equal(covey_tuf_download_to(tuf, &target, NULL, 0, NULL), COVEY_OK);
    covey_tuf_close(tuf);
    tuf_double_close(&d);
}

/* A repository that has SHA-512 alone, or both. */
static void other_hashes(void **unused) {
    (void)unused;
    for (int both = 0; both < 2; both++) {
        tuf_double d;
        covey_tuf_target target = COVEY_TUF_TARGET_INIT;
        uint8_t sha256[32], sha512[64];
        char hex[65], long_hex[129], list[500], name[200];
        covey__sha256_of(CONTENT, strlen(CONTENT), sha256);
        covey__sha512_of(CONTENT, strlen(CONTENT), sha512);
        covey__hex(sha256, 32, hex);
        covey__hex(sha512, 64, long_hex);
        tuf_double_open(&d);
        snprintf(list, sizeof list,
                 "\"file\":{\"length\":%zu,\"hashes\":{\"sha512\":\"%s\"%s%s%s}}", strlen(CONTENT),
                 long_hex, both ? ",\"sha256\":\"" : "", both ? hex : "", both ? "\"" : "");
        snprintf(name, sizeof name, "targets/%s.file", both ? hex : long_hex);
        tuf_double_put(&d, name, CONTENT, strlen(CONTENT));
        d.target_list = list;
        tuf_double_publish(&d, TUF_ALL);
        covey_tuf *tuf = tuf_double_client(&d, false);
        const char *path = test_path(&d.folder, "out");
        assert_int_equal(covey_tuf_find(tuf, "file", &target, NULL), COVEY_OK);
        assert_int_equal(covey_tuf_download(tuf, &target, path, NULL), COVEY_OK);
        d.log[0] = '\0';
        assert_int_equal(covey_tuf_download(tuf, &target, path, NULL), COVEY_OK);
        assert_string_equal(d.log, "");
        spoil(&d, "target file contentS");
        uint8_t memory[64];
        assert_int_equal(covey_tuf_download_to(tuf, &target, memory, sizeof memory, NULL),
                         COVEY_ERROR_MISMATCH);
        covey_tuf_close(tuf);
        tuf_double_close(&d);
    }
}

/* Metadata is asked for with the caller's headers, targets with none. */
static void request_headers(void **unused) {
    (void)unused;
    static const char *const headers[] = {"Authorization: Bearer secret", "X-One: 1"};
    tuf_double d;
    covey_tuf *tuf;
    covey_tuf_target target = COVEY_TUF_TARGET_INIT;
    covey_tuf_options options = COVEY_TUF_OPTIONS_INIT;
    char store[300], memory[64];
    tuf_double_open(&d);
    d.target_list = tuf_double_target(&d, "file", CONTENT);
    tuf_double_publish(&d, TUF_ALL);
    snprintf(store, sizeof store, "%s", test_path(&d.folder, "store"));
    options.store_dir = store;
    options.metadata_url = "http://repository.test/metadata";
    options.targets_url = "http://repository.test/targets";
    options.root = tuf_double_find(&d, "1.root.json")->data;
    options.root_size = tuf_double_find(&d, "1.root.json")->size;
    options.headers = headers;
    options.header_count = 2;
    assert_int_equal(covey_tuf_open(d.runtime, &options, &tuf, NULL), COVEY_OK);
    assert_int_equal(covey_tuf_find(tuf, "file", &target, NULL), COVEY_OK);
    assert_string_equal(d.headers,
                        "Cache-Control: no-cache\nAuthorization: Bearer secret\nX-One: 1\n");
    assert_int_equal(covey_tuf_download_to(tuf, &target, memory, sizeof memory, NULL), COVEY_OK);
    assert_string_equal(d.headers, "");
    covey_tuf_close(tuf);
    options.header_count = 17;
    assert_int_equal(covey_tuf_open(d.runtime, &options, &tuf, NULL), COVEY_ERROR_INVALID_ARGUMENT);
    tuf_double_close(&d);
}

/* A document that trickles is given up on. */
static void slow_documents(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    tuf_double_publish(&d, TUF_ALL);
    covey_tuf_options options = COVEY_TUF_OPTIONS_INIT;
    covey_tuf *tuf;
    covey_error error = {0};
    char store[300];
    snprintf(store, sizeof store, "%s", test_path(&d.folder, "store"));
    options.store_dir = store;
    options.metadata_url = "http://repository.test/metadata/";
    options.metadata_timeout_ms = 1;
    options.timestamp_bytes_max = 8u << 20;
    options.root = tuf_double_find(&d, "1.root.json")->data;
    options.root_size = tuf_double_find(&d, "1.root.json")->size;
    assert_int_equal(covey_tuf_open(d.runtime, &options, &tuf, NULL), COVEY_OK);
    d.endless = UINT64_MAX / 2; /* more than a millisecond's worth, whatever the machine */
    covey_status status = covey_tuf_refresh(tuf, 1, NULL, &error);
    assert_true(status == COVEY_ERROR_TIMEOUT || status == COVEY_ERROR_LIMIT);
    covey_tuf_close(tuf);
    tuf_double_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_a_file),       cmocka_unit_test(what_is_not_the_target),
        cmocka_unit_test(to_memory),       cmocka_unit_test(an_empty_target),
        cmocka_unit_test(slow_documents),  cmocka_unit_test(other_hashes),
        cmocka_unit_test(request_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
