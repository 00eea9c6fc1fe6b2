/* Cutting: pieces make the file, GGUFs are cut at tensors' borders, and what did not change is
 * found again however far it moved. */
#include "delta_gguf.h"

#include "base/sha256.h"
#include "delta/chunk_maker.h"
#include "delta/chunk_plan.h"

#include <unistd.h>

typedef struct fixture {
    test_env test;
    test_folder folder;
} fixture;

static int set_up(void **state) {
    static fixture f;
    test_env_init(&f.test);
    test_folder_make(&f.folder);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    test_folder_remove(&f->folder);
    assert_int_equal(f->test.alive, 0);
    return 0;
}

static void check_pieces(const covey__chunk_index *index, const uint8_t *data, size_t size) {
    uint64_t at = 0;
    uint8_t digest[32];
    for (size_t i = 0; i < index->chunk_count; i++) {
        const covey__chunk *chunk = &index->chunks[i];
        assert_int_equal(chunk->offset, at);
        assert_in_range(chunk->size, 1, COVEY__CHUNK_BYTES_MAX);
        covey__sha256_of(data + at, chunk->size, digest);
        assert_memory_equal(digest, chunk->sha256, 32);
        at += chunk->size;
    }
    assert_int_equal(at, size);
    covey__sha256_of(data, size, digest);
    assert_memory_equal(digest, index->component_sha256, 32);
    assert_int_equal(index->component_size, size);
}

static void any_size_is_cut_into_the_whole(void **state) {
    fixture *f = *state;
    static const size_t sizes[] = {0,     1,      3,      4,      32767,  32768,
                                   32769, 131072, 524288, 524289, 3000000};
    uint64_t random = 5;
    uint8_t *data = malloc(3000000);
    for (size_t i = 0; i < 3000000; i++) data[i] = (uint8_t)test_random(&random);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        covey_error error = {0};
        covey__chunk_index *index;
        assert_int_equal(covey__chunk_index_make_memory(&f->test.env, data, sizes[s], &index,
                                                        &error, NULL, NULL),
                         COVEY_OK);
        check_pieces(index, data, sizes[s]);
        if (sizes[s] == 0) assert_int_equal(index->chunk_count, 0);
        /* About one chunk for each 128 KiB: within a factor of two of what is meant. */
        if (sizes[s] == 3000000) assert_in_range(index->chunk_count, 11, 46);
        covey__chunk_index_free(index);
    }
    /* All equal bytes have no border in them: the maximum holds. */
    memset(data, 0, 3000000);
    covey_error error = {0};
    covey__chunk_index *index;
    assert_int_equal(
        covey__chunk_index_make_memory(&f->test.env, data, 3000000, &index, &error, NULL, NULL),
        COVEY_OK);
    check_pieces(index, data, 3000000);
    covey__chunk_index_free(index);
    free(data);
}

/* Bytes of `target` that are not in `source`. */
static uint64_t new_bytes(fixture *f, const covey__chunk_index *source,
                          const covey__chunk_index *target) {
    covey_error error = {0};
    covey__chunk_plan *plan;
    covey__chunk_source list = {"unused", source};
    assert_int_equal(covey__chunk_plan_make(&f->test.env, target, &list, 1, &plan, &error),
                     COVEY_OK);
    uint64_t bytes = plan->fetch_bytes;
    covey__chunk_plan_free(plan);
    return bytes;
}

static void an_insertion_moves_few_borders(void **state) {
    fixture *f = *state;
    enum { size = 3000000 };
    uint64_t random = 9;
    uint8_t *data = malloc(size + 100);
    covey_error error = {0};
    covey__chunk_index *before, *after;
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)test_random(&random);
    assert_int_equal(
        covey__chunk_index_make_memory(&f->test.env, data, size, &before, &error, NULL, NULL),
        COVEY_OK);
    memmove(data + 1000100, data + 1000000, size - 1000000);
    memset(data + 1000000, 7, 100);
    assert_int_equal(
        covey__chunk_index_make_memory(&f->test.env, data, size + 100, &after, &error, NULL, NULL),
        COVEY_OK);
    assert_true(new_bytes(f, before, after) <= 2 * 512 * 1024);
    assert_true(new_bytes(f, before, after) > 0);
    covey__chunk_index_free(before);
    covey__chunk_index_free(after);
    free(data);
}

static covey__chunk_index *index_of(fixture *f, const char *path) {
    covey_error error = {0};
    covey__chunk_index *index;
    assert_int_equal(covey__chunk_index_make(&f->test.env, path, &index, &error, NULL, NULL),
                     COVEY_OK);
    return index;
}

static bool begins_chunk(const covey__chunk_index *index, uint64_t offset) {
    for (size_t i = 0; i < index->chunk_count; i++)
        if (index->chunks[i].offset == offset) return true;
    return false;
}

static void a_gguf_is_cut_at_its_tensors(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__gguf *gguf;
    size_t size;
    const char *path = test_path(&f->folder, "model.gguf");
    delta_gguf_make(&f->test.env, path, "1.0.0", 0);
    covey__chunk_index *index = index_of(f, path);
    char *data = test_read(path, &size);
    check_pieces(index, (const uint8_t *)data, size);
    free(data);
    assert_int_equal(covey__gguf_open_path(&f->test.env, path, &gguf, &error), COVEY_OK);
    assert_true(begins_chunk(index, covey__gguf_tensor_find(gguf, "big")->file_offset));
    assert_true(begins_chunk(index, covey__gguf_tensor_find(gguf, "middle.0")->file_offset));
    assert_true(begins_chunk(index, covey__gguf_tensor_find(gguf, "middle.1")->file_offset));
    assert_true(begins_chunk(index, covey__gguf_tensor_find(gguf, "small.0")->file_offset));
    /* Small tensors share chunks of 128 KiB or more: 40 of 4 KiB are one or two. */
    assert_false(begins_chunk(index, covey__gguf_tensor_find(gguf, "small.1")->file_offset));
    assert_true(index->chunk_count <= 1 + 3 + 2 + 2);
    covey__gguf_close(gguf);
    covey__chunk_index_free(index);
}

static void a_changed_tensor_costs_its_own_bytes(void **state) {
    fixture *f = *state;
    char old_path[300];
    strcpy(old_path, test_path(&f->folder, "old.gguf"));
    const char *new_path = test_path(&f->folder, "new.gguf");
    delta_gguf_make(&f->test.env, old_path, "1.0.0", 0);
    /* A longer version string moves all that follows; one tensor changes. */
    delta_gguf_make(&f->test.env, new_path, "1.1.0-with-a-much-longer-name-than-before", 50);
    covey__chunk_index *before = index_of(f, old_path), *after = index_of(f, new_path);
    uint64_t header = after->chunks[0].size;
    assert_int_equal(new_bytes(f, before, after), header + 2621440);
    covey__chunk_index_free(before);
    covey__chunk_index_free(after);
}

static void a_broken_gguf_is_cut_by_content(void **state) {
    fixture *f = *state;
    uint8_t data[100000];
    covey_error error = {0};
    covey__chunk_index *index;
    memset(data, 0xff, sizeof data);
    memcpy(data, "GGUF", 4);
    assert_int_equal(
        covey__chunk_index_make_memory(&f->test.env, data, sizeof data, &index, &error, NULL, NULL),
        COVEY_OK);
    check_pieces(index, data, sizeof data);
    covey__chunk_index_free(index);
}

static void the_index_is_small(void **state) {
    fixture *f = *state;
    covey__buffer bytes;
    covey_error error = {0};
    size_t size;
    const char *path = test_shared("data/models/stories3M.gguf");
    if (path == NULL) path = test_path(&f->folder, "made.gguf");
    if (strstr(path, "made") != NULL) delta_gguf_make(&f->test.env, path, "1", 0);
    covey__chunk_index *index = index_of(f, path);
    covey__buffer_init(&bytes, &f->test.env, COVEY__INDEX_BYTES_MAX);
    assert_int_equal(covey__chunk_index_write(index, &bytes, &error), COVEY_OK);
    free(test_read(path, &size));
    print_message("%zu bytes: %zu chunks, index %zu bytes (%.3f %%)\n", size, index->chunk_count,
                  bytes.size, 100.0 * (double)bytes.size / (double)size);
    assert_true(bytes.size * 1000 < size);
    covey__buffer_free(&bytes);
    covey__chunk_index_free(index);
}

/* One chunk a step gives the index that one pass gives, also of what is no GGUF. */
static void it_can_be_cut_in_steps(void **state) {
    fixture *f = *state;
    char paths[2][300];
    covey_error error = {0};
    strcpy(paths[0], test_path(&f->folder, "steps.gguf"));
    strcpy(paths[1], test_path(&f->folder, "steps.bin"));
    delta_gguf_make(&f->test.env, paths[0], "1.0.0", 0);
    uint64_t random = 21;
    uint8_t *data = malloc(1800000);
    for (size_t i = 0; i < 1800000; i++) data[i] = (uint8_t)test_random(&random);
    test_write(paths[1], data, 1800000);
    free(data);
    for (int i = 0; i < 2; i++) {
        covey__chunk_maker *maker;
        covey__chunk_index *whole = index_of(f, paths[i]), *index = NULL;
        assert_int_equal(covey__chunk_maker_open(&f->test.env, paths[i], &maker, &error), COVEY_OK);
        size_t steps = 0;
        while (index == NULL) {
            assert_int_equal(covey__chunk_maker_step(maker, 0, &index, &error), COVEY_OK);
            steps++;
        }
        assert_int_equal(steps, whole->chunk_count);
        assert_int_equal(index->chunk_count, whole->chunk_count);
        assert_memory_equal(index->chunks, whole->chunks,
                            whole->chunk_count * sizeof *whole->chunks);
        assert_memory_equal(index->component_sha256, whole->component_sha256, 32);
        covey__chunk_index_free(index);
        covey__chunk_index_free(whole);
        covey__chunk_maker_free(maker);
        assert_int_equal(covey__chunk_maker_open(&f->test.env, paths[i], &maker, &error), COVEY_OK);
        assert_int_equal(covey__chunk_maker_step(maker, 0, &index, &error), COVEY_OK);
        covey__chunk_maker_free(maker); /* left in the middle */
    }
}

/* A file that shrinks while it is cut is an error and no crash. */
static void a_file_that_shrinks_is_an_error(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__chunk_maker *maker;
    covey__chunk_index *index;
    const char *path = test_path(&f->folder, "shrinks.gguf");
    delta_gguf_make(&f->test.env, path, "1.0.0", 0);
    assert_int_equal(covey__chunk_maker_open(&f->test.env, path, &maker, &error), COVEY_OK);
    assert_int_equal(covey__chunk_maker_step(maker, 0, &index, &error), COVEY_OK);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(covey__chunk_maker_step(maker, INT64_MAX, &index, &error), COVEY_ERROR_FORMAT);
    covey__chunk_maker_free(maker);
}

static covey_status stop(void *user, const covey__chunk *chunk, const void *stored,
                         covey_error *error) {
    (void)chunk;
    (void)stored;
    (void)error;
    (*(int *)user)++;
    return COVEY_ERROR_NO_SPACE;
}

static void the_receiver_can_stop_it(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__chunk_index *index;
    int calls = 0;
    static const uint8_t data[700000] = {0};
    assert_int_equal(covey__chunk_index_make_memory(&f->test.env, data, sizeof data, &index, &error,
                                                    stop, &calls),
                     COVEY_ERROR_NO_SPACE);
    assert_int_equal(calls, 1);
    assert_null(index);
}

static covey_status ignore(void *user, const covey__chunk *chunk, const void *stored,
                           covey_error *error) {
    (void)user;
    (void)chunk;
    (void)stored;
    (void)error;
    return COVEY_OK;
}

static covey_status make_step(const covey__env *env, void *user, covey_error *error) {
    covey__chunk_index *index;
    covey_status status = covey__chunk_index_make(env, user, &index, error, ignore, NULL);
    covey__chunk_index_free(index);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    fixture *f = *state;
    char path[300];
    strcpy(path, test_path(&f->folder, "model.gguf"));
    delta_gguf_make(&f->test.env, path, "1.0.0", 0);
    assert_true(test_fail_each_allocation(make_step, path) >= 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_size_is_cut_into_the_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_insertion_moves_few_borders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_gguf_is_cut_at_its_tensors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_changed_tensor_costs_its_own_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_gguf_is_cut_by_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_index_is_small, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_can_be_cut_in_steps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_shrinks_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_receiver_can_stop_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_each_failed_allocation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
