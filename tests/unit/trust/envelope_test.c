/* Encrypted components: the same content gives the same file, what opens is what was sealed, and
 * each way to change, cut, move or mix chunks shows. */
#include "support/support.h"

#include "base/sha256.h"
#include "trust/envelope.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK  COVEY__ENVELOPE_CHUNK_BYTES
#define SEALED (CHUNK + COVEY__GCM_TAG_BYTES)

typedef struct fixture {
    test_env test;
    test_folder folder;
    covey__content_key key;
    covey_error error;
    char plain[300], sealed[300];
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    uint8_t bytes[32];
    test_env_init(&f->test);
    f->test.env.crypto = covey__crypto_openssl();
    test_folder_make(&f->folder);
    strcpy(f->plain, test_path(&f->folder, "plain"));
    strcpy(f->sealed, test_path(&f->folder, "sealed"));
    for (int i = 0; i < 32; i++) bytes[i] = (uint8_t)(i * 3);
    covey__content_key_of(bytes, &f->key);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    test_folder_remove(&f->folder);
    assert_int_equal(f->test.alive, 0);
    free(f);
    return 0;
}

static uint8_t *make_plain(fixture *f, size_t size, uint64_t seed) {
    uint8_t *bytes = malloc(size + 1);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t number = test_random(&seed);
        memcpy(bytes + i, &number, size - i < 8 ? size - i : 8);
    }
    test_write(f->plain, bytes, size);
    return bytes;
}

static covey_status open_all(fixture *f, uint8_t *out, size_t size) {
    return covey__envelope_decrypt_file(&f->test.env, &f->key, f->sealed, out, size, &f->error);
}

static void every_size_goes_both_ways(void **state) {
    fixture *f = *state;
    static const size_t sizes[] = {0,     1,         15,        16,           CHUNK - 1,
                                   CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i], sealed_size, again_size;
        uint8_t *plain = make_plain(f, size, i + 1), *out = malloc(size + 1);
        covey__envelope_header header;
        assert_int_equal(
            covey__envelope_encrypt_file(&f->test.env, &f->key, f->plain, f->sealed, &f->error),
            COVEY_OK);
        char *sealed = test_read(f->sealed, &sealed_size);
        assert_int_equal(sealed_size, covey__envelope_size(size));
        assert_int_equal(covey__envelope_file_header(&f->test.env, f->sealed, &header, &f->error),
                         COVEY_OK);
        assert_int_equal(header.plain_size, size);
        assert_int_equal(open_all(f, out, size), COVEY_OK);
        assert_memory_equal(out, plain, size);
        /* Again: the same bytes. */
        assert_int_equal(
            covey__envelope_encrypt_file(&f->test.env, &f->key, f->plain, f->sealed, &f->error),
            COVEY_OK);
        char *again = test_read(f->sealed, &again_size);
        assert_int_equal(again_size, sealed_size);
        assert_memory_equal(again, sealed, sealed_size);
        assert_int_equal(open_all(f, out, size + 1), COVEY_ERROR_MISMATCH);
        free(again);
        free(sealed);
        free(plain);
        free(out);
    }
}

/* A fixed content under a fixed key: these bytes are what the format says, so they never change.
 * Worked out by a second program in Python from docs/formats/encrypted-component.md. */
static void the_format_does_not_change(void **state) {
    fixture *f = *state;
    static const char expected[] =
        "434f564559454e430100000000001000050000000000000064c75e3fbb871b53e2bbc014e7c2bad7"
        "6845cc2db621a8d556e6d017e566d8dc75e56e634e2ad53c46599df2cfd571410000000000000000"
        "38b7e86a0254ebc4f864f34c5526264dad98b568e7";
    uint8_t bytes[200];
    size_t size;
    test_write(f->plain, "covey", 5);
    assert_int_equal(
        covey__envelope_encrypt_file(&f->test.env, &f->key, f->plain, f->sealed, &f->error),
        COVEY_OK);
    char *made = test_read(f->sealed, &size), hex[400];
    memcpy(bytes, made, size);
    covey__hex(bytes, size, hex);
    assert_string_equal(hex, expected);
    free(made);
}

static void another_content_or_key_shares_nothing(void **state) {
    fixture *f = *state;
    covey__envelope_header a, b, c;
    covey__content_key other;
    covey__envelope envelope;
    uint8_t digest[32] = {1};
    assert_int_equal(covey__content_key_make(&f->test.env, &other, &f->error), COVEY_OK);
    assert_int_equal(covey__envelope_header_make(&f->key, 100, digest, &a, &f->error), COVEY_OK);
    digest[31] ^= 1;
    assert_int_equal(covey__envelope_header_make(&f->key, 100, digest, &b, &f->error), COVEY_OK);
    assert_int_equal(covey__envelope_header_make(&other, 100, digest, &c, &f->error), COVEY_OK);
    assert_memory_not_equal(a.component_id, b.component_id, 32);
    assert_memory_not_equal(b.component_id, c.component_id, 32);
    assert_memory_not_equal(b.key_id, c.key_id, 16);
    assert_int_equal(covey__envelope_open(&f->test.env, &other, &a, &envelope, &f->error),
                     COVEY_ERROR_DENIED);
    assert_non_null(strstr(f->error.message, "needs the content key"));
    covey__envelope one, two;
    assert_int_equal(covey__envelope_open(&f->test.env, &f->key, &a, &one, &f->error), COVEY_OK);
    assert_int_equal(covey__envelope_open(&f->test.env, &f->key, &b, &two, &f->error), COVEY_OK);
    assert_memory_not_equal(one.key, two.key, 32);
}

static void each_change_to_a_file_shows(void **state) {
    fixture *f = *state;
    const size_t size = 2 * CHUNK + 5;
    size_t sealed_size;
    uint8_t *plain = make_plain(f, size, 9), *out = malloc(size), *zeros = calloc(1, size);
    assert_int_equal(
        covey__envelope_encrypt_file(&f->test.env, &f->key, f->plain, f->sealed, &f->error),
        COVEY_OK);
    char *sealed = test_read(f->sealed, &sealed_size), *kept = malloc(sealed_size);
    memcpy(kept, sealed, sealed_size);
    size_t places[110], count = 0;
    for (size_t i = 0; i < COVEY__ENVELOPE_HEADER_BYTES; i++) places[count++] = i;
    for (size_t i = 0; i < 21; i++) places[count++] = sealed_size - 1 - i; /* the last chunk */
    places[count++] = COVEY__ENVELOPE_HEADER_BYTES;
    places[count++] = COVEY__ENVELOPE_HEADER_BYTES + CHUNK; /* a tag */
    places[count++] = COVEY__ENVELOPE_HEADER_BYTES + SEALED;
    for (size_t i = 0; i < count; i++) {
        sealed[places[i]] ^= 1;
        test_write(f->sealed, sealed, sealed_size);
        memset(out, 0x55, size);
        assert_int_not_equal(open_all(f, out, size), COVEY_OK);
        if (places[i] >= COVEY__ENVELOPE_HEADER_BYTES) assert_memory_equal(out, zeros, size);
        sealed[places[i]] ^= 1;
    }
    /* The first two chunks change places. */
    memcpy(sealed + COVEY__ENVELOPE_HEADER_BYTES, kept + COVEY__ENVELOPE_HEADER_BYTES + SEALED,
           SEALED);
    memcpy(sealed + COVEY__ENVELOPE_HEADER_BYTES + SEALED, kept + COVEY__ENVELOPE_HEADER_BYTES,
           SEALED);
    test_write(f->sealed, sealed, sealed_size);
    assert_int_equal(open_all(f, out, size), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(f->error.message, "chunk 0 of 3"));
    /* Too short, too long. */
    test_write(f->sealed, kept, sealed_size - 1);
    assert_int_equal(open_all(f, out, size), COVEY_ERROR_MISMATCH);
    test_write(f->sealed, kept, COVEY__ENVELOPE_HEADER_BYTES + SEALED);
    assert_int_equal(open_all(f, out, size), COVEY_ERROR_MISMATCH);
    test_write(f->sealed, kept, 40);
    assert_int_equal(open_all(f, out, size), COVEY_ERROR_FORMAT);
    free(zeros);
    free(kept);
    free(sealed);
    free(plain);
    free(out);
}

/* Whole chunks of one file in another of the same key, and a file cut at a chunk with its size made
 * to fit: the header's digest is in each chunk. */
static void chunks_belong_to_their_file(void **state) {
    fixture *f = *state;
    size_t sealed_size, first_size;
    uint8_t *out = malloc(2 * CHUNK);
    free(make_plain(f, 2 * CHUNK, 1));
    assert_int_equal(
        covey__envelope_encrypt_file(&f->test.env, &f->key, f->plain, f->sealed, &f->error),
        COVEY_OK);
    char *first = test_read(f->sealed, &first_size);
    free(make_plain(f, 2 * CHUNK, 2));
    assert_int_equal(
        covey__envelope_encrypt_file(&f->test.env, &f->key, f->plain, f->sealed, &f->error),
        COVEY_OK);
    char *second = test_read(f->sealed, &sealed_size);
    memcpy(second + COVEY__ENVELOPE_HEADER_BYTES + SEALED,
           first + COVEY__ENVELOPE_HEADER_BYTES + SEALED, SEALED);
    test_write(f->sealed, second, sealed_size);
    assert_int_equal(open_all(f, out, 2 * CHUNK), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(f->error.message, "chunk 1 of 2"));
    memset(first + 16, 0, 8);
    first[18] = 0x10; /* 1 MiB */
    test_write(f->sealed, first, COVEY__ENVELOPE_HEADER_BYTES + SEALED);
    assert_int_equal(open_all(f, out, CHUNK), COVEY_ERROR_MISMATCH);
    free(first);
    free(second);
    free(out);
}

static void refuses_what_is_no_header(void **state) {
    fixture *f = *state;
    covey__envelope_header made, read;
    uint8_t digest[32] = {0}, bytes[COVEY__ENVELOPE_HEADER_BYTES];
    static const struct {
        size_t at;
        uint8_t value;
        covey_status status;
    } rows[] = {{0, 'x', COVEY_ERROR_FORMAT},     {8, 2, COVEY_ERROR_UNSUPPORTED},
                {12, 1, COVEY_ERROR_UNSUPPORTED}, {23, 1, COVEY_ERROR_FORMAT},
                {72, 1, COVEY_ERROR_FORMAT},      {79, 1, COVEY_ERROR_FORMAT}};
    assert_int_equal(covey__envelope_header_make(&f->key, 7, digest, &made, &f->error), COVEY_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(bytes, made.bytes, sizeof bytes);
        bytes[rows[i].at] = rows[i].value;
        assert_int_equal(covey__envelope_header_read(bytes, sizeof bytes, &read, &f->error),
                         rows[i].status);
    }
    assert_int_equal(covey__envelope_header_read(made.bytes, 79, &read, &f->error),
                     COVEY_ERROR_FORMAT);
    assert_int_equal(covey__envelope_header_make(&f->key, COVEY__ENVELOPE_PLAIN_MAX + 1, digest,
                                                 &made, &f->error),
                     COVEY_ERROR_FORMAT);
}

static void a_wrapped_key_is_its_devices(void **state) {
    fixture *f = *state;
    uint8_t ours[32] = {40}, others[32] = {80}, ours_public[32], wrapped[80];
    covey__content_key opened;
    const covey__env *env = &f->test.env;
    assert_int_equal(covey__x25519_public(env, ours, ours_public, &f->error), COVEY_OK);
    assert_int_equal(
        covey__content_key_wrap(env, &f->key, "device-1", ours_public, wrapped, &f->error),
        COVEY_OK);
    assert_int_equal(
        covey__content_key_unwrap(env, f->key.id, "device-1", ours, wrapped, &opened, &f->error),
        COVEY_OK);
    assert_memory_equal(&opened, &f->key, sizeof opened);
    assert_int_equal(
        covey__content_key_unwrap(env, f->key.id, "device-2", ours, wrapped, &opened, &f->error),
        COVEY_ERROR_MISMATCH);
    assert_int_equal(
        covey__content_key_unwrap(env, f->key.id, "device-1", others, wrapped, &opened, &f->error),
        COVEY_ERROR_MISMATCH);
    uint8_t id[16];
    memcpy(id, f->key.id, 16);
    id[0] ^= 1;
    assert_int_equal(
        covey__content_key_unwrap(env, id, "device-1", ours, wrapped, &opened, &f->error),
        COVEY_ERROR_MISMATCH);
    /* Whoever wraps may lie about the id: the key that comes out is asked. */
    covey__content_key liar = f->key;
    liar.id[0] ^= 1;
    assert_int_equal(covey__content_key_wrap(env, &liar, "device-1", ours_public, wrapped, NULL),
                     COVEY_OK);
    assert_int_equal(
        covey__content_key_unwrap(env, liar.id, "device-1", ours, wrapped, &opened, &f->error),
        COVEY_ERROR_MISMATCH);
    assert_int_equal(covey__content_key_wrap(env, &f->key, "", ours_public, wrapped, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
}

/* Each write, fsync and rename fails in turn: no half file stands at the name. */
static void a_failed_encryption_leaves_nothing(void **state) {
    fixture *f = *state;
    static const char *const points[] = {"open", "stat", "read", "write", "fsync", "rename"};
    int failures = 0;
    free(make_plain(f, CHUNK + 3, 4));
    for (size_t p = 0; p < sizeof points / sizeof *points; p++)
        for (int nth = 1; nth < 20; nth++) {
            f->test.point = points[p];
            f->test.point_calls = 0;
            f->test.point_fails = nth;
            covey_status status =
                covey__envelope_encrypt_file(&f->test.env, &f->key, f->plain, f->sealed, &f->error);
            f->test.point_fails = 0;
            if (status == COVEY_OK) break;
            failures++;
            size_t size = 0;
            char *there = test_read(f->sealed, &size);
            if (there != NULL) assert_int_equal(size, covey__envelope_size(CHUNK + 3));
            free(there);
        }
    assert_true(failures > 8);
}

static covey_status allocation_step(const covey__env *env, void *user, covey_error *error) {
    fixture *f = user;
    covey__env with = *env;
    uint8_t out[10];
    with.crypto = covey__crypto_openssl();
    covey_status status = covey__envelope_encrypt_file(&with, &f->key, f->plain, f->sealed, error);
    if (status != COVEY_OK) return status;
    return covey__envelope_decrypt_file(&with, &f->key, f->sealed, out, sizeof out, error);
}

static void survives_each_failed_allocation(void **state) {
    fixture *f = *state;
    test_write(f->plain, "0123456789", 10);
    assert_true(test_fail_each_allocation(allocation_step, f) > 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_size_goes_both_ways),
        TEST(the_format_does_not_change),
        TEST(another_content_or_key_shares_nothing),
        TEST(each_change_to_a_file_shows),
        TEST(chunks_belong_to_their_file),
        TEST(refuses_what_is_no_header),
        TEST(a_wrapped_key_is_its_devices),
        TEST(a_failed_encryption_leaves_nothing),
        TEST(survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
