/* The chunk index: round trip, every field tampered with, and stored chunks that lie. */
#include "support/support.h"

#include "base/sha256.h"
#include "delta/chunk_maker.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define DATA_SIZE 400000u

typedef struct fixture {
    test_env test;
    uint8_t *data; /* compressible in part */
    covey__chunk_index *index;
    covey__buffer bytes;
    uint8_t *stored[64]; /* by chunk */
} fixture;

static covey_status keep(void *user, const covey__chunk *chunk, const void *stored,
                         covey_error *error) {
    fixture *f = user;
    (void)error;
    size_t i = 0;
    while (f->stored[i] != NULL) i++;
    f->stored[i] = malloc(chunk->stored_size);
    memcpy(f->stored[i], stored, chunk->stored_size);
    return COVEY_OK;
}

static int set_up(void **state) {
    static fixture f;
    covey_error error;
    uint64_t random = 1;
    memset(&f, 0, sizeof f);
    test_env_init(&f.test);
    f.data = malloc(DATA_SIZE);
    for (size_t i = 0; i < DATA_SIZE; i++)
        f.data[i] = i < DATA_SIZE / 2 ? (uint8_t)(i / 1000) : (uint8_t)test_random(&random);
    assert_int_equal(
        covey__chunk_index_make_memory(&f.test.env, f.data, DATA_SIZE, &f.index, &error, keep, &f),
        COVEY_OK);
    covey__buffer_init(&f.bytes, &f.test.env, COVEY__INDEX_BYTES_MAX);
    assert_int_equal(covey__chunk_index_write(f.index, &f.bytes, &error), COVEY_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    covey__chunk_index_free(f->index);
    covey__buffer_free(&f->bytes);
    for (size_t i = 0; i < 64; i++) free(f->stored[i]);
    free(f->data);
    assert_int_equal(f->test.alive, 0);
    return 0;
}

static void round_trip(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__chunk_index *read;
    assert_int_equal(
        covey__chunk_index_parse(&f->test.env, f->bytes.data, f->bytes.size, &read, &error),
        COVEY_OK);
    assert_int_equal(read->chunk_count, f->index->chunk_count);
    assert_int_equal(read->component_size, DATA_SIZE);
    assert_memory_equal(read->chunks, f->index->chunks, read->chunk_count * sizeof *read->chunks);
    assert_true(covey__chunk_index_stored_bytes(read) < DATA_SIZE); /* half of it compresses */
    assert_true(covey__chunk_index_stored_bytes(read) > DATA_SIZE / 2);
    covey__chunk_index_free(read);
}

static void chunks_decode_to_the_file(void **state) {
    fixture *f = *state;
    uint8_t *out = malloc(COVEY__CHUNK_BYTES_MAX);
    bool raw = false, compressed = false;
    for (size_t i = 0; i < f->index->chunk_count; i++) {
        const covey__chunk *chunk = &f->index->chunks[i];
        covey_error error = {0};
        assert_int_equal(
            covey__chunk_decode(&f->test.env, chunk, f->stored[i], chunk->stored_size, out, &error),
            COVEY_OK);
        assert_memory_equal(out, f->data + chunk->offset, chunk->size);
        if (chunk->stored_size == chunk->size)
            raw = true;
        else
            compressed = true;
    }
    assert_true(raw && compressed);
    free(out);
}

static void a_flipped_bit_in_a_stored_chunk_is_seen(void **state) {
    fixture *f = *state;
    uint8_t *out = malloc(COVEY__CHUNK_BYTES_MAX);
    for (size_t i = 0; i < f->index->chunk_count; i++) {
        const covey__chunk *chunk = &f->index->chunks[i];
        for (size_t at = 0; at < chunk->stored_size; at += 1 + chunk->stored_size / 50) {
            covey_error error = {0};
            f->stored[i][at] ^= 0x10;
            assert_int_equal(covey__chunk_decode(&f->test.env, chunk, f->stored[i],
                                                 chunk->stored_size, out, &error),
                             COVEY_ERROR_MISMATCH);
            f->stored[i][at] ^= 0x10;
        }
        covey_error error = {0};
        assert_int_equal(covey__chunk_decode(&f->test.env, chunk, f->stored[i],
                                             chunk->stored_size - 1, out, &error),
                         COVEY_ERROR_MISMATCH);
    }
    free(out);
}

/* An index whose maker lies: the stored bytes are what it says, their content is not. */
static void stored_bytes_that_lie_about_their_content_are_refused(void **state) {
    fixture *f = *state;
    enum { size = 1000 };
    uint8_t content[size], out[size], frame[2 * size];
    covey_error error = {0};
    covey__chunk chunk = {.size = size};
    memset(content, 'a', sizeof content);
    covey__sha256_of(content, sizeof content, chunk.sha256);
    /* another content of the right size */
    memset(content, 'b', sizeof content);
    size_t made = ZSTD_compress(frame, sizeof frame, content, sizeof content, 3);
    chunk.stored_size = (uint32_t)made;
    covey__sha256_of(frame, made, chunk.blob);
    assert_int_equal(covey__chunk_decode(&f->test.env, &chunk, frame, made, out, &error),
                     COVEY_ERROR_MISMATCH);
    /* a frame that would unpack to more than was said: never written past the room for it */
    made = ZSTD_compress(frame, sizeof frame, f->data, 2 * size, 3);
    chunk.stored_size = (uint32_t)made;
    covey__sha256_of(frame, made, chunk.blob);
    assert_int_equal(covey__chunk_decode(&f->test.env, &chunk, frame, made, out, &error),
                     COVEY_ERROR_FORMAT);
    /* not zstd at all */
    memset(frame, 'x', 100);
    chunk.stored_size = 100;
    covey__sha256_of(frame, 100, chunk.blob);
    assert_int_equal(covey__chunk_decode(&f->test.env, &chunk, frame, 100, out, &error),
                     COVEY_ERROR_FORMAT);
}

static covey_status parse_changed(fixture *f, size_t at, const void *bytes, size_t size) {
    covey_error error = {0};
    covey__chunk_index *read;
    char *copy = malloc(f->bytes.size);
    memcpy(copy, f->bytes.data, f->bytes.size);
    memcpy(copy + at, bytes, size);
    covey_status status =
        covey__chunk_index_parse(&f->test.env, copy, f->bytes.size, &read, &error);
    if (status != COVEY_OK) assert_non_null(strstr(error.message, "chunk index"));
    covey__chunk_index_free(read);
    free(copy);
    return status;
}

static void every_field_is_checked(void **state) {
    fixture *f = *state;
    static const uint8_t zero[4] = {0}, huge[4] = {0xff, 0xff, 0xff, 0xff}, two[4] = {2, 0, 0, 0};
    assert_int_equal(parse_changed(f, 0, "X", 1), COVEY_ERROR_FORMAT);      /* magic */
    assert_int_equal(parse_changed(f, 8, two, 4), COVEY_ERROR_UNSUPPORTED); /* format */
    assert_int_equal(parse_changed(f, 12, huge, 4), COVEY_ERROR_FORMAT);    /* chunk count */
    assert_int_equal(parse_changed(f, 12, zero, 4), COVEY_ERROR_FORMAT);
    assert_int_equal(parse_changed(f, 16, zero, 4), COVEY_ERROR_FORMAT); /* component size */
    assert_int_equal(parse_changed(f, 20, huge, 4), COVEY_ERROR_FORMAT);
    for (size_t i = 0; i < f->index->chunk_count; i++) {
        size_t entry = 56 + 72 * i;
        assert_int_equal(parse_changed(f, entry, zero, 4), COVEY_ERROR_FORMAT); /* size */
        assert_int_equal(parse_changed(f, entry, huge, 4), COVEY_ERROR_FORMAT);
        assert_int_equal(parse_changed(f, entry, two, 4), COVEY_ERROR_FORMAT);
        assert_int_equal(parse_changed(f, entry + 4, zero, 4), COVEY_ERROR_FORMAT); /* stored */
        assert_int_equal(parse_changed(f, entry + 4, huge, 4), COVEY_ERROR_FORMAT);
    }
}

static void a_chunk_stored_as_it_is_has_one_digest(void **state) {
    fixture *f = *state;
    for (size_t i = 0; i < f->index->chunk_count; i++) {
        const covey__chunk *chunk = &f->index->chunks[i];
        if (chunk->stored_size != chunk->size) continue;
        uint8_t other[4] = {(uint8_t)(chunk->blob[0] ^ 1), chunk->blob[1], chunk->blob[2],
                            chunk->blob[3]};
        assert_int_equal(parse_changed(f, 56 + 72 * i + 40, other, 4), COVEY_ERROR_FORMAT);
        return;
    }
    fail_msg("no chunk is stored as it is");
}

static void every_length_but_the_right_one_is_refused(void **state) {
    fixture *f = *state;
    for (size_t size = 0; size < f->bytes.size; size++) {
        covey_error error = {0};
        covey__chunk_index *read;
        assert_int_equal(covey__chunk_index_parse(&f->test.env, f->bytes.data, size, &read, &error),
                         COVEY_ERROR_FORMAT);
        assert_null(read);
    }
}

static covey_status parse_step(const covey__env *env, void *user, covey_error *error) {
    fixture *f = user;
    covey__chunk_index *read;
    covey_status status = covey__chunk_index_parse(env, f->bytes.data, f->bytes.size, &read, error);
    covey__chunk_index_free(read);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    assert_true(test_fail_each_allocation(parse_step, *state) >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chunks_decode_to_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flipped_bit_in_a_stored_chunk_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stored_bytes_that_lie_about_their_content_are_refused,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_field_is_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_chunk_stored_as_it_is_has_one_digest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_length_but_the_right_one_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(survives_each_failed_allocation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
