/* Which part of the new file comes from where: tensors by name, type and row, renamed ones by their
 * bytes, rows that were added; and everything is covered, in order. */
#include "support/support.h"

#include "delta/patch_match.h"
#include "gguf/gguf.h"

#include <stdlib.h>
#include <string.h>

#define ROW 256 /* weights */

typedef struct tensor {
    const char *name;
    covey__type type;
    uint64_t rows, seed;
} tensor;

static covey__match_file make(const covey__env *env, const char *path, const tensor *tensors,
                              size_t count) {
    covey__gguf_writer *writer;
    covey_error error;
    size_t size;
    assert_int_equal(covey__gguf_writer_new(env, path, &writer, &error), COVEY_OK);
    covey__gguf_put_string(writer, "general.architecture", "llama", 5);
    for (size_t i = 0; i < count; i++) {
        const uint64_t dimensions[2] = {ROW, tensors[i].rows};
        assert_int_equal(
            covey__gguf_add_tensor(writer, tensors[i].name, tensors[i].type, 2, dimensions, &error),
            COVEY_OK);
    }
    assert_int_equal(covey__gguf_write_header(writer, &error), COVEY_OK);
    for (size_t i = 0; i < count; i++) {
        const covey__type_info *info = covey__type_get(tensors[i].type);
        size_t bytes = (size_t)tensors[i].rows * ROW / info->block_values * info->block_bytes;
        uint8_t *data = malloc(bytes);
        uint64_t seed = tensors[i].seed;
        for (size_t k = 0; k < bytes; k++) data[k] = (uint8_t)test_random(&seed);
        assert_int_equal(covey__gguf_write_data(writer, data, bytes, &error), COVEY_OK);
        free(data);
    }
    assert_int_equal(covey__gguf_finish(writer, &error), COVEY_OK);
    covey__gguf_writer_free(writer);
    uint8_t *data = (uint8_t *)test_read(path, &size);
    return (covey__match_file){data, size};
}

typedef struct fixture {
    test_env test;
    test_folder folder;
    covey__match_file old, fresh;
    covey__match_list list;
} fixture;

static void match(fixture *f, const tensor *olds, size_t old_count, const tensor *news,
                  size_t new_count) {
    covey_error error = {0};
    memset(f, 0, sizeof *f);
    test_env_init(&f->test);
    test_folder_make(&f->folder);
    f->old = make(&f->test.env, test_path(&f->folder, "old"), olds, old_count);
    f->fresh = make(&f->test.env, test_path(&f->folder, "new"), news, new_count);
    assert_int_equal(covey__patch_match(&f->test.env, &f->old, &f->fresh, &f->list, &error),
                     COVEY_OK);
    uint64_t at = 0;
    for (size_t i = 0; i < f->list.count; i++) {
        const covey__match *m = &f->list.items[i];
        assert_int_equal(m->new_offset, at);
        assert_true(m->size > 0 && m->old_offset + m->old_size <= f->old.size);
        if (m->kind != COVEY__MATCH_BYTES) assert_int_equal(m->size, m->old_size);
        if (m->kind == COVEY__MATCH_COPY)
            assert_memory_equal(f->fresh.data + m->new_offset, f->old.data + m->old_offset,
                                m->size);
        at += m->size;
    }
    assert_int_equal(at, f->fresh.size);
}

static void end(fixture *f) {
    covey__match_list_free(&f->list);
    free((void *)(uintptr_t)f->old.data);
    free((void *)(uintptr_t)f->fresh.data);
    test_folder_remove(&f->folder);
    assert_int_equal(f->test.alive, 0);
}

/* The match at which the tensor begins. */
static const covey__match *find(const fixture *f, const char *name) {
    for (size_t i = 0; i < f->list.count; i++) {
        const covey__match *m = &f->list.items[i];
        if (m->named && m->name_size == strlen(name) && memcmp(m->name, name, m->name_size) == 0)
            return m;
    }
    fail_msg("no match for %s", name);
    return NULL;
}

static void tensors_by_name(void **state) {
    (void)state;
    static const tensor olds[] = {{"a", COVEY__TYPE_Q8_0, 8, 1},
                                  {"b", COVEY__TYPE_Q4_K, 8, 2},
                                  {"gone", COVEY__TYPE_F32, 1, 3},
                                  {"c", COVEY__TYPE_Q8_0, 8, 4}};
    /* in another order, one with another type */
    static const tensor news[] = {{"c", COVEY__TYPE_Q8_0, 8, 14},
                                  {"b", COVEY__TYPE_Q6_K, 8, 12},
                                  {"a", COVEY__TYPE_Q8_0, 8, 11}};
    fixture f;
    match(&f, olds, 4, news, 3);
    assert_int_equal(f.list.items[0].kind, COVEY__MATCH_BYTES);
    assert_int_equal(f.list.items[0].type, COVEY__MATCH_NO_TYPE);
    assert_true(f.list.items[0].old_size > 0);
    assert_int_equal(find(&f, "a")->kind, COVEY__MATCH_TENSOR);
    assert_int_equal(find(&f, "a")->columns, ROW);
    assert_int_equal(find(&f, "c")->kind, COVEY__MATCH_TENSOR);
    assert_true(find(&f, "c")->old_offset > find(&f, "a")->old_offset);
    assert_int_equal(find(&f, "b")->kind, COVEY__MATCH_BYTES);
    assert_int_equal(find(&f, "b")->old_size, 0);
    end(&f);
}

static void a_tensor_under_another_name(void **state) {
    (void)state;
    static const tensor olds[] = {{"x", COVEY__TYPE_Q8_0, 8, 1}, {"y", COVEY__TYPE_Q8_0, 8, 2}};
    static const tensor news[] = {{"z", COVEY__TYPE_Q8_0, 8, 2}, {"w", COVEY__TYPE_Q8_0, 8, 3}};
    fixture f;
    match(&f, olds, 2, news, 2);
    assert_int_equal(find(&f, "z")->kind, COVEY__MATCH_COPY);
    assert_int_equal(find(&f, "w")->kind, COVEY__MATCH_BYTES);
    end(&f);
}

static void rows_that_were_added_or_taken(void **state) {
    (void)state;
    static const tensor olds[] = {{"grows", COVEY__TYPE_Q8_0, 8, 1},
                                  {"shrinks", COVEY__TYPE_Q8_0, 8, 2}};
    static const tensor news[] = {{"grows", COVEY__TYPE_Q8_0, 11, 5},
                                  {"shrinks", COVEY__TYPE_Q8_0, 3, 6}};
    fixture f;
    match(&f, olds, 2, news, 2);
    const covey__match *grows = find(&f, "grows"), *shrinks = find(&f, "shrinks");
    assert_int_equal(grows->kind, COVEY__MATCH_TENSOR);
    assert_int_equal(grows->size, 8 * ROW / 32 * 34);
    assert_int_equal(grows[1].kind, COVEY__MATCH_BYTES);
    assert_false(grows[1].named);
    assert_int_equal(grows[1].size, 3 * ROW / 32 * 34);
    assert_int_equal(shrinks->kind, COVEY__MATCH_TENSOR);
    assert_int_equal(shrinks->size, 3 * ROW / 32 * 34);
    end(&f);
}

/* Q4_0 rows of 144 bytes: tensors of odd rows have padding between them. */
static void padding_is_covered(void **state) {
    (void)state;
    static const tensor olds[] = {{"a", COVEY__TYPE_Q4_0, 3, 1}, {"b", COVEY__TYPE_Q4_0, 3, 2}};
    static const tensor news[] = {{"a", COVEY__TYPE_Q4_0, 3, 1}, {"b", COVEY__TYPE_Q4_0, 3, 9}};
    fixture f;
    match(&f, olds, 2, news, 2);
    const covey__match *a = find(&f, "a");
    assert_int_equal(a->kind, COVEY__MATCH_TENSOR);
    assert_int_equal(a[1].type, COVEY__MATCH_NO_TYPE);
    assert_true(a[1].size < 32);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_by_name),
        cmocka_unit_test(a_tensor_under_another_name),
        cmocka_unit_test(rows_that_were_added_or_taken),
        cmocka_unit_test(padding_is_covered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
