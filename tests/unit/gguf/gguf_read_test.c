/* Opening GGUF files: good ones of both versions, and hostile ones, each of which must give one
 * error that names the field. */
#include "unit/gguf/gguf_bytes.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bytes file;

static covey__gguf *open_good(const covey__env *env) {
    covey__gguf *gguf;
    covey_error error;
    if (open_bytes(env, &file, &gguf, &error) != COVEY_OK) fail_msg("refused: %s", error.message);
    return gguf;
}

static void make_good(uint32_t version) {
    add_header(&file, version, 3, 4);
    add_key(&file, "general.architecture", COVEY__GGUF_STRING);
    add_text(&file, "llama");
    add_array(&file, "tokens", COVEY__GGUF_STRING, 3);
    add_text(&file, "<s>");
    add_text(&file, "");
    add_text(&file, "\xc3\xa9");
    add_key(&file, "general.alignment", COVEY__GGUF_U32);
    add_u32(&file, 64);
    add_array(&file, "nested", COVEY__GGUF_ARRAY, 2);
    add_u32(&file, COVEY__GGUF_U8);
    add_u64(&file, 3);
    add_bytes(&file, "abc", 3);
    add_u32(&file, COVEY__GGUF_STRING);
    add_u64(&file, 1);
    add_text(&file, "deep");
    add_tensor(&file, "b", 32, 2, COVEY__TYPE_Q8_0, 64); /* 68 bytes, from 64 */
    add_tensor(&file, "a", 16, 0, COVEY__TYPE_F32, 0);   /* 64 bytes, before it */
    add_tensor(&file, "c", 3, 0, COVEY__TYPE_F16, 192);  /* behind a gap, and not padded */
    add_padding(&file, 64, 198);
}

static void good_files_open(void **state) {
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        test_env test;
        test_env_init(&test);
        make_good(version);
        covey__gguf *gguf = open_good(&test.env);
        assert_int_equal(covey__gguf_tensor_count(gguf), 3);
        assert_int_equal(covey__gguf_size(gguf), file.size);
        assert_ptr_equal(covey__gguf_bytes(gguf), file.data);
        assert_int_equal(covey__gguf_data_offset(gguf), file.size - 198);
        const covey__gguf_tensor *b = covey__gguf_tensor_at(gguf, 0);
        assert_int_equal(b->bytes, 68);
        assert_int_equal(b->element_count, 64);
        assert_int_equal(b->dimension_count, 2);
        assert_int_equal(b->dimensions[3], 1);
        assert_int_equal(b->file_offset, covey__gguf_data_offset(gguf) + 64);
        assert_ptr_equal(b->data, file.data + b->file_offset);
        assert_ptr_equal(covey__gguf_tensor_find(gguf, "b"), b);
        assert_int_equal(covey__gguf_tensor_find(gguf, "a")->bytes, 64);
        assert_int_equal(covey__gguf_tensor_find(gguf, "c")->type, COVEY__TYPE_F16);
        assert_null(covey__gguf_tensor_find(gguf, "ab"));
        assert_null(covey__gguf_tensor_find(gguf, ""));
        assert_null(covey__gguf_tensor_at(gguf, 3));
        assert_int_equal(covey__gguf_array_string(gguf, "tokens", 1).size, 0);
        covey__gguf_text last = covey__gguf_array_string(gguf, "tokens", 2);
        assert_int_equal(last.size, 2);
        assert_memory_equal(last.data, "\xc3\xa9", 2);
        covey__gguf_close(gguf);
        assert_int_equal(test.alive, 0);
    }
    covey__gguf_close(NULL);
}

/* Each shorter version of a good file is an error; none reads beyond its end. */
static void every_cut_is_an_error(void **state) {
    (void)state;
    make_good(3);
    covey__env env;
    covey__env_init(&env);
    for (size_t size = 0; size < file.size; size++) {
        uint8_t *copy = malloc(size > 0 ? size : 1);
        assert_non_null(copy);
        memcpy(copy, file.data, size);
        covey__map map = {.data = copy, .size = size};
        covey__gguf *gguf;
        covey_error error = {COVEY_OK, 0, 0, 0, ""};
        assert_int_equal(covey__gguf_open(&env, &map, &gguf, &error), COVEY_ERROR_FORMAT);
        assert_memory_equal(error.message, "gguf: ", 6);
        free(copy);
    }
}

static void bad_headers(void **state) {
    (void)state;
    file.size = 0;
    expect(&file, COVEY_ERROR_FORMAT, "magic");
    add_header(&file, 3, 0, 0);
    file.data[0] = 'X';
    expect(&file, COVEY_ERROR_FORMAT, "magic: expected \"GGUF\", found the bytes 58 47 55 46");
    add_header(&file, 1, 0, 0);
    expect(&file, COVEY_ERROR_UNSUPPORTED, "version: expected 2 or 3, found 1");
    add_header(&file, 4, 0, 0);
    expect(&file, COVEY_ERROR_UNSUPPORTED, "version: expected 2 or 3, found 4");
    add_header(&file, 0, 0, 0);
    expect(&file, COVEY_ERROR_UNSUPPORTED, "version");
    add_header(&file, 0x03000000, 0, 0);
    expect(&file, COVEY_ERROR_UNSUPPORTED, "big-endian");
    add_header(&file, 3, UINT64_MAX, 0);
    expect(&file, COVEY_ERROR_LIMIT, "tensor_count: 18446744073709551615");
    add_header(&file, 3, 0, 70000);
    expect(&file, COVEY_ERROR_LIMIT, "metadata_kv_count: 70000 is more than the limit of 65536");
    add_header(&file, 3, 0, 60000);
    expect(&file, COVEY_ERROR_FORMAT, "metadata_kv_count: 60000 cannot fit");
    add_header(&file, 3, 1000, 0);
    expect(&file, COVEY_ERROR_FORMAT, "tensor_count: 1000 cannot fit");
}

static void memory_must_be_aligned(void **state) {
    (void)state;
    make_good(3);
    covey__env env;
    covey__env_init(&env);
    memmove(file.data + 2, file.data, file.size);
    covey__map map = {.data = file.data + 2, .size = file.size};
    covey__gguf *gguf;
    covey_error error;
    assert_int_equal(covey__gguf_open(&env, &map, &gguf, &error), COVEY_ERROR_INVALID_ARGUMENT);
}

static covey_status open_and_close(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    covey__gguf *gguf;
    covey_status status = open_bytes(env, &file, &gguf, error);
    if (status == COVEY_OK) covey__gguf_close(gguf);
    return status;
}

static void refused_memory_is_told(void **state) {
    (void)state;
    make_good(3);
    assert_int_equal(test_fail_each_allocation(open_and_close, NULL), 6);
}

static void paths_are_named(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    test_folder folder;
    test_folder_make(&folder);
    covey__gguf *gguf;
    covey_error error;
    char path[300];
    snprintf(path, sizeof path, "%s/model.gguf", folder.path);
    assert_int_equal(covey__gguf_open_path(&env, path, &gguf, &error), COVEY_ERROR_NOT_FOUND);
    test_write(path, "GGUT....", 8);
    assert_int_equal(covey__gguf_open_path(&env, path, &gguf, &error), COVEY_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "model.gguf: gguf: magic"));
    test_write(path, "", 0);
    assert_int_equal(covey__gguf_open_path(&env, path, &gguf, &error), COVEY_ERROR_FORMAT);
    make_good(3);
    test_write(path, file.data, file.size);
    assert_int_equal(covey__gguf_open_path(&env, path, &gguf, &error), COVEY_OK);
    assert_memory_equal(covey__gguf_bytes(gguf), file.data, file.size);
    covey__gguf_close(gguf);
    test_folder_remove(&folder);
}

static void real_files_open(void **state) {
    (void)state;
    static const struct {
        const char *name;
        size_t tensors, tokens;
    } cases[] = {{"models/stories260K.gguf", 48, 512},
                 {"models/stories3M.gguf", 38, 512},
                 {"vocab/ggml-vocab-llama-bpe.gguf", 0, 128256},
                 {"vocab/ggml-vocab-llama-spm.gguf", 0, 32000},
                 {"vocab/ggml-vocab-qwen2.gguf", 0, 151936}};
    TEST_SHARED_OR_SKIP(here, "data/models/stories260K.gguf");
    (void)here;
    covey__env env;
    covey__env_init(&env);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[100];
        snprintf(name, sizeof name, "data/%s", cases[i].name);
        const char *path = test_shared(name);
        if (path == NULL) continue;
        covey__gguf *gguf;
        covey_error error;
        if (covey__gguf_open_path(&env, path, &gguf, &error) != COVEY_OK)
            fail_msg("%s", error.message);
        covey__gguf_kind kind;
        size_t count;
        assert_int_equal(covey__gguf_tensor_count(gguf), cases[i].tensors);
        assert_int_equal(covey__gguf_array(gguf, "tokenizer.ggml.tokens", &kind, &count, &error),
                         COVEY_OK);
        assert_int_equal(count, cases[i].tokens);
        covey__gguf_close(gguf);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_open),
        cmocka_unit_test(every_cut_is_an_error),
        cmocka_unit_test(bad_headers),
        cmocka_unit_test(memory_must_be_aligned),
        cmocka_unit_test(refused_memory_is_told),
        cmocka_unit_test(paths_are_named),
        cmocka_unit_test(real_files_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
