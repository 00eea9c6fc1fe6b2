/* The GGUF writer: what it writes reads back the same; mistakes are told; at whatever step it fails
 * the old file stays whole. */
#include "gguf/gguf.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static test_folder folder;
static char path[300];

static int make_folder(void **state) {
    (void)state;
    test_folder_make(&folder);
    snprintf(path, sizeof path, "%s/out.gguf", folder.path);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

static const uint64_t matrix[2] = {64, 3}, vector[1] = {5};
static uint8_t matrix_bytes[2 * 34 * 3];
static const float vector_values[5] = {1, 2, 3, 4, 5};

static void put_metadata(covey__gguf_writer *writer) {
    static const covey__gguf_text tokens[] = {{"<s>", 3}, {"", 0}, {"a\0b", 3}};
    static const int32_t types[] = {3, 1, -1};
    static const float scores[] = {0.0f, -1.5f, 2.0f};
    /* each failure is kept and told by write_header */
    (void)covey__gguf_put_string(writer, "general.architecture", "llama", 5);
    (void)covey__gguf_put_u32(writer, "llama.block_count", 7);
    (void)covey__gguf_put_u64(writer, "big", UINT64_MAX);
    (void)covey__gguf_put_f32(writer, "rope", 10000.0f);
    (void)covey__gguf_put_bool(writer, "flag", true);
    (void)covey__gguf_put_strings(writer, "tokens", tokens, 3);
    (void)covey__gguf_put_i32s(writer, "types", types, 3);
    (void)covey__gguf_put_f32s(writer, "scores", scores, 3);
}

static covey_status write_file(const covey__env *env, void *user, covey_error *error) {
    covey__gguf_writer *writer;
    covey_status status = covey__gguf_writer_new(env, user, &writer, error);
    if (status != COVEY_OK) return status;
    for (size_t i = 0; i < sizeof matrix_bytes; i++) matrix_bytes[i] = (uint8_t)(i * 3);
    put_metadata(writer);
    status = covey__gguf_add_tensor(writer, "matrix", COVEY__TYPE_Q8_0, 2, matrix, error);
    if (status == COVEY_OK)
        status = covey__gguf_add_tensor(writer, "vector", COVEY__TYPE_F32, 1, vector, error);
    if (status == COVEY_OK) status = covey__gguf_write_header(writer, error);
    if (status == COVEY_OK) status = covey__gguf_write_data(writer, matrix_bytes, 100, error);
    if (status == COVEY_OK)
        status =
            covey__gguf_write_data(writer, matrix_bytes + 100, sizeof matrix_bytes - 100, error);
    if (status == COVEY_OK)
        status = covey__gguf_write_data(writer, vector_values, sizeof vector_values, error);
    if (status == COVEY_OK) status = covey__gguf_finish(writer, error);
    covey__gguf_writer_free(writer);
    return status;
}

static covey__gguf *open_file(const covey__env *env, const char *name) {
    covey__gguf *gguf;
    covey_error error;
    if (covey__gguf_open_path(env, name, &gguf, &error) != COVEY_OK) fail_msg("%s", error.message);
    return gguf;
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    if (write_file(&test.env, path, &error) != COVEY_OK) fail_msg("%s", error.message);
    covey__gguf *gguf = open_file(&test.env, path);
    uint64_t number;
    float real, scores[3];
    int32_t types[3];
    bool flag;
    covey__gguf_text text;
    assert_int_equal(covey__gguf_string(gguf, "general.architecture", &text, &error), COVEY_OK);
    assert_memory_equal(text.data, "llama", 5);
    assert_int_equal(covey__gguf_u64(gguf, "llama.block_count", 7, 7, &number, &error), COVEY_OK);
    assert_int_equal(covey__gguf_u64(gguf, "big", 0, UINT64_MAX, &number, &error), COVEY_OK);
    assert_true(number == UINT64_MAX);
    assert_int_equal(covey__gguf_f32(gguf, "rope", &real, &error), COVEY_OK);
    assert_true(real == 10000.0f);
    assert_int_equal(covey__gguf_bool(gguf, "flag", &flag, &error), COVEY_OK);
    assert_true(flag);
    text = covey__gguf_array_string(gguf, "tokens", 2);
    assert_int_equal(text.size, 3);
    assert_memory_equal(text.data, "a\0b", 3);
    assert_int_equal(covey__gguf_array_i32(gguf, "types", types, 3, &error), COVEY_OK);
    assert_int_equal(types[2], -1);
    assert_int_equal(covey__gguf_array_f32(gguf, "scores", scores, 3, &error), COVEY_OK);
    assert_true(scores[1] == -1.5f);
    const covey__gguf_tensor *tensor = covey__gguf_tensor_find(gguf, "matrix");
    assert_int_equal(tensor->bytes, sizeof matrix_bytes);
    assert_memory_equal(tensor->data, matrix_bytes, sizeof matrix_bytes);
    tensor = covey__gguf_tensor_find(gguf, "vector");
    assert_int_equal(tensor->file_offset % 32, 0);
    assert_memory_equal(tensor->data, vector_values, sizeof vector_values);
    assert_int_equal(covey__gguf_size(gguf) % 32, 0);
    covey__gguf_close(gguf);
    assert_int_equal(test.alive, 0);
}

static covey_status copy_file(const covey__env *env, const covey__gguf *gguf, const char *to,
                              covey_error *error) {
    covey__gguf_writer *writer;
    covey_status status = covey__gguf_writer_new(env, to, &writer, error);
    if (status != COVEY_OK) return status;
    for (size_t i = 0; i < covey__gguf_value_count(gguf); i++) {
        covey__gguf_value value = covey__gguf_value_at(gguf, i);
        (void)covey__gguf_put_value(writer, &value);
    }
    size_t count = covey__gguf_tensor_count(gguf);
    for (size_t i = 0; i < count && status == COVEY_OK; i++) {
        const covey__gguf_tensor *tensor = covey__gguf_tensor_at(gguf, i);
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)tensor->name.size, tensor->name.data);
        status = covey__gguf_add_tensor(writer, name, tensor->type, tensor->dimension_count,
                                        tensor->dimensions, error);
    }
    if (status == COVEY_OK) status = covey__gguf_write_header(writer, error);
    for (size_t i = 0; i < count && status == COVEY_OK; i++) {
        const covey__gguf_tensor *tensor = covey__gguf_tensor_at(gguf, i);
        status = covey__gguf_write_data(writer, tensor->data, (size_t)tensor->bytes, error);
    }
    if (status == COVEY_OK) status = covey__gguf_finish(writer, error);
    covey__gguf_writer_free(writer);
    return status;
}

static void check_copy(const char *from) {
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    char to[300];
    snprintf(to, sizeof to, "%s/copy.gguf", folder.path);
    covey__gguf *gguf = open_file(&env, from);
    if (copy_file(&env, gguf, to, &error) != COVEY_OK) fail_msg("%s", error.message);
    covey__gguf *copy = open_file(&env, to);
    assert_int_equal(covey__gguf_size(copy), covey__gguf_size(gguf));
    assert_memory_equal(covey__gguf_bytes(copy), covey__gguf_bytes(gguf),
                        (size_t)covey__gguf_size(gguf));
    covey__gguf_close(copy);
    covey__gguf_close(gguf);
}

static void a_copy_is_the_same_bytes(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    assert_int_equal(write_file(&env, path, &error), COVEY_OK);
    check_copy(path);
    TEST_SHARED_OR_SKIP(real, "data/models/stories260K.gguf");
    char kept[1024];
    snprintf(kept, sizeof kept, "%s", real);
    check_copy(kept);
}

static void the_alignment_is_kept(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    covey__gguf_writer *writer;
    assert_int_equal(covey__gguf_writer_new(&env, path, &writer, &error), COVEY_OK);
    assert_int_equal(covey__gguf_put_u32(writer, "general.alignment", 256), COVEY_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            covey__gguf_add_tensor(writer, i == 0 ? "a" : "b", COVEY__TYPE_F32, 1, vector, &error),
            COVEY_OK);
    assert_int_equal(covey__gguf_write_header(writer, &error), COVEY_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            covey__gguf_write_data(writer, vector_values, sizeof vector_values, &error), COVEY_OK);
    assert_int_equal(covey__gguf_finish(writer, &error), COVEY_OK);
    covey__gguf_writer_free(writer);
    covey__gguf *gguf = open_file(&env, path);
    assert_int_equal(covey__gguf_tensor_find(gguf, "b")->file_offset % 256, 0);
    covey__gguf_close(gguf);
    check_copy(path);

    assert_int_equal(covey__gguf_writer_new(&env, path, &writer, &error), COVEY_OK);
    assert_int_equal(covey__gguf_put_u32(writer, "general.alignment", 24),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey__gguf_write_header(writer, &error), COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "general.alignment"));
    covey__gguf_writer_free(writer);
}

static void mistakes_are_told(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    covey__gguf_writer *writer;
    assert_int_equal(covey__gguf_writer_new(&env, path, &writer, &error), COVEY_OK);
    static const uint64_t odd[1] = {33}, zero[2] = {32, 0},
                          large[2] = {UINT64_C(1) << 40, UINT64_C(1) << 40};
    const covey_status invalid = COVEY_ERROR_INVALID_ARGUMENT;
    assert_int_equal(covey__gguf_add_tensor(writer, "t", COVEY__TYPE_Q8_0, 1, odd, &error),
                     invalid);
    assert_int_equal(covey__gguf_add_tensor(writer, "t", COVEY__TYPE_F32, 2, zero, &error),
                     invalid);
    assert_int_equal(covey__gguf_add_tensor(writer, "t", COVEY__TYPE_F32, 2, large, &error),
                     invalid);
    assert_int_equal(covey__gguf_add_tensor(writer, "t", (covey__type)4, 1, vector, &error),
                     invalid);
    assert_int_equal(covey__gguf_add_tensor(writer, "t", COVEY__TYPE_F32, 5, vector, &error),
                     invalid);
    assert_int_equal(covey__gguf_add_tensor(writer, "", COVEY__TYPE_F32, 1, vector, &error),
                     invalid);
    assert_int_equal(covey__gguf_add_tensor(writer, "t", COVEY__TYPE_F32, 1, vector, &error),
                     COVEY_OK);
    assert_int_equal(covey__gguf_add_tensor(writer, "t", COVEY__TYPE_F32, 1, vector, &error),
                     invalid);
    assert_string_equal(error.message, "gguf writer: tensor \"t\": added twice");
    assert_int_equal(covey__gguf_write_data(writer, vector_values, 4, &error), invalid);
    assert_int_equal(covey__gguf_finish(writer, &error), invalid);
    assert_int_equal(covey__gguf_write_header(writer, &error), COVEY_OK);
    assert_int_equal(covey__gguf_write_header(writer, &error), invalid);
    assert_int_equal(covey__gguf_put_u32(writer, "late", 1), invalid);
    assert_int_equal(covey__gguf_write_data(writer, vector_values, 16, &error), COVEY_OK);
    assert_int_equal(covey__gguf_finish(writer, &error), invalid);
    assert_int_equal(covey__gguf_write_data(writer, vector_values, 8, &error), invalid);
    assert_int_equal(covey__gguf_write_data(writer, vector_values, 4, &error), COVEY_OK);
    assert_int_equal(covey__gguf_write_data(writer, vector_values, 4, &error), invalid);
    assert_int_equal(covey__gguf_finish(writer, &error), COVEY_OK);
    covey__gguf_writer_free(writer);

    assert_int_equal(covey__gguf_writer_new(&env, path, &writer, &error), COVEY_OK);
    assert_int_equal(covey__gguf_put_u32(writer, "k", 1), COVEY_OK);
    assert_int_equal(covey__gguf_put_bool(writer, "k", true), invalid);
    assert_int_equal(covey__gguf_put_u32(writer, "m", 1), invalid); /* sticky */
    assert_int_equal(covey__gguf_write_header(writer, &error), invalid);
    assert_string_equal(error.message, "gguf writer: key \"k\": put twice");
    covey__gguf_writer_free(writer);
    covey__gguf_writer_free(NULL);
}

static void any_step_that_fails_leaves_the_old_file(void **state) {
    (void)state;
    char temporary[310];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    int64_t n = 1;
    for (;; n++) {
        test_env test;
        test_env_init(&test);
        test_write(path, "old", 3);
        test.point_fails = n;
        covey_error error;
        covey_status status = write_file(&test.env, path, &error);
        assert_int_equal(test.alive, 0);
        /* one that may be another writer's stays, empty, for the next to take over */
        size_t left = 0;
        free(test_read(temporary, &left));
        assert_int_equal(left, 0);
        if (status == COVEY_OK && test.point_calls < n) break;
        if (status == COVEY_OK) continue; /* the folder's sync, which is tried twice */
        assert_int_equal(status, COVEY_ERROR_IO);
        size_t size;
        char *data = test_read(path, &size);
        bool old = size == 3 && memcmp(data, "old", 3) == 0;
        free(data);
        if (!old) covey__gguf_close(open_file(&test.env, path));
    }
    assert_true(n > 10);
    assert_true(test_fail_each_allocation(write_file, path) >= 10);
}

static void a_writer_dropped_leaves_nothing(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    covey__gguf_writer *writer, *other;
    test_write(path, "old", 3);
    assert_int_equal(covey__gguf_writer_new(&test.env, path, &writer, &error), COVEY_OK);
    assert_int_equal(covey__gguf_writer_new(&test.env, path, &other, &error), COVEY_ERROR_BUSY);
    put_metadata(writer);
    assert_int_equal(covey__gguf_write_header(writer, &error), COVEY_OK);
    covey__gguf_writer_free(writer);
    assert_int_equal(test.alive, 0);
    size_t size;
    char *data = test_read(path, &size);
    assert_memory_equal(data, "old", 4);
    free(data);
    assert_false(covey__file_exists(test_path(&folder, "out.gguf.new")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(the_alignment_is_kept),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(any_step_that_fails_leaves_the_old_file),
        cmocka_unit_test(a_writer_dropped_leaves_nothing),
        cmocka_unit_test(a_copy_is_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
