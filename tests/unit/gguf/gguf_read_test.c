/* Opening GGUF files: good ones of both versions, and hostile ones, each of which must give one
 * error that names the field. */
#include "unit/gguf/gguf_bytes.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bytes file;

/* Opens `file`, which must fail with this status and a message that holds `part`. */
static void expect(covey_status status, const char *part) {
    test_env test;
    test_env_init(&test);
    covey__gguf *gguf;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_status found = open_bytes(&test.env, &file, &gguf, &error);
    if (found != status || strstr(error.message, part) == NULL)
        fail_msg("expected %s with \"%s\", found %s: %s", covey_status_name(status), part,
                 covey_status_name(found), error.message);
    assert_int_equal(test.alive, 0);
}

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
        covey__map map = {copy, size, NULL, 0};
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
    expect(COVEY_ERROR_FORMAT, "magic");
    add_header(&file, 3, 0, 0);
    file.data[0] = 'X';
    expect(COVEY_ERROR_FORMAT, "magic: expected \"GGUF\", found the bytes 58 47 55 46");
    add_header(&file, 1, 0, 0);
    expect(COVEY_ERROR_UNSUPPORTED, "version: expected 2 or 3, found 1");
    add_header(&file, 4, 0, 0);
    expect(COVEY_ERROR_UNSUPPORTED, "version: expected 2 or 3, found 4");
    add_header(&file, 0, 0, 0);
    expect(COVEY_ERROR_UNSUPPORTED, "version");
    add_header(&file, 0x03000000, 0, 0);
    expect(COVEY_ERROR_UNSUPPORTED, "big-endian");
    add_header(&file, 3, UINT64_MAX, 0);
    expect(COVEY_ERROR_LIMIT, "tensor_count: 18446744073709551615");
    add_header(&file, 3, 0, 70000);
    expect(COVEY_ERROR_LIMIT, "metadata_kv_count: 70000 is more than the limit of 65536");
    add_header(&file, 3, 0, 60000);
    expect(COVEY_ERROR_FORMAT, "metadata_kv_count: 60000 cannot fit");
    add_header(&file, 3, 1000, 0);
    expect(COVEY_ERROR_FORMAT, "tensor_count: 1000 cannot fit");
}

static void bad_keys(void **state) {
    (void)state;
    add_header(&file, 3, 0, 1);
    add_u64(&file, UINT64_MAX);
    add_padding(&file, 8, 64);
    expect(COVEY_ERROR_FORMAT, "metadata key 0 goes past the end");
    static const char *const bad[] = {"a\nb", "\x7f", "\xff", "\xc3"};
    for (int i = 0; i < 4; i++) {
        add_header(&file, 3, 0, 1);
        add_key(&file, bad[i], COVEY__GGUF_U64);
        add_u64(&file, 0);
        expect(COVEY_ERROR_FORMAT, "the key is not plain UTF-8 text");
    }
    add_header(&file, 3, 0, 1);
    add_key(&file, "", COVEY__GGUF_U64);
    add_u64(&file, 0);
    expect(COVEY_ERROR_FORMAT, "metadata key 0: expected 1 to 65535 bytes, found 0");
    add_header(&file, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        add_key(&file, "same", COVEY__GGUF_U32);
        add_u32(&file, 1);
    }
    expect(COVEY_ERROR_FORMAT, "key \"same\": it is there twice");
}

static void bad_values(void **state) {
    (void)state;
    add_header(&file, 3, 0, 1);
    add_key(&file, "k", 13);
    add_u64(&file, 0);
    expect(COVEY_ERROR_UNSUPPORTED, "key \"k\": its value type 13 is not known");
    add_header(&file, 3, 0, 1);
    add_key(&file, "flag", COVEY__GGUF_BOOL);
    add_bytes(&file, "\2", 1);
    expect(COVEY_ERROR_FORMAT, "key \"flag\": a bool is neither 0 nor 1");
    add_header(&file, 3, 0, 1);
    add_key(&file, "s", COVEY__GGUF_STRING);
    add_u64(&file, 100);
    expect(COVEY_ERROR_FORMAT, "key \"s\"");
    add_header(&file, 3, 0, 1);
    add_key(&file, "s", COVEY__GGUF_STRING);
    add_u64(&file, UINT64_MAX - 7);
    add_padding(&file, 8, 64);
    expect(COVEY_ERROR_FORMAT, "key \"s\"");
    static const uint32_t kinds[] = {COVEY__GGUF_U8, COVEY__GGUF_F64, COVEY__GGUF_STRING,
                                     COVEY__GGUF_ARRAY};
    static const uint64_t counts[] = {1000, UINT64_MAX, UINT64_MAX / 8, UINT64_C(1) << 61};
    for (int k = 0; k < 4; k++)
        for (int c = 0; c < 4; c++) {
            add_header(&file, 3, 0, 1);
            add_array(&file, "list", kinds[k], counts[c]);
            add_padding(&file, 8, 64);
            expect(COVEY_ERROR_FORMAT, "key \"list\": its count");
        }
    add_header(&file, 3, 0, 1);
    add_array(&file, "list", COVEY__GGUF_STRING, 2);
    add_text(&file, "good");
    add_u64(&file, 50);
    expect(COVEY_ERROR_FORMAT, "key \"list\": string 1 of 2 goes past the end");
    add_header(&file, 3, 0, 1);
    add_array(&file, "list", 99, 0);
    expect(COVEY_ERROR_UNSUPPORTED, "key \"list\": its value type 99");
    add_header(&file, 3, 0, 1);
    add_array(&file, "list", COVEY__GGUF_ARRAY, 1);
    for (int depth = 0; depth < 200; depth++) {
        add_u32(&file, COVEY__GGUF_ARRAY);
        add_u64(&file, 1);
    }
    expect(COVEY_ERROR_LIMIT, "key \"list\": arrays nested deeper than 4");
}

static void bad_alignments(void **state) {
    (void)state;
    static const uint32_t bad[] = {0, 1, 4, 12, 33, 96, 0x80000000u, UINT32_MAX};
    for (int i = 0; i < 8; i++) {
        add_header(&file, 3, 0, 1);
        add_key(&file, "general.alignment", COVEY__GGUF_U32);
        add_u32(&file, bad[i]);
        expect(COVEY_ERROR_FORMAT, "key \"general.alignment\": expected");
    }
    add_header(&file, 3, 0, 1);
    add_key(&file, "general.alignment", COVEY__GGUF_STRING);
    add_text(&file, "32");
    expect(COVEY_ERROR_FORMAT, "key \"general.alignment\": expected an integer, found string");
}

/* One tensor of these properties in a file with room for 64 bytes of data. */
static void one_tensor(uint64_t d0, uint64_t d1, uint32_t type, uint64_t offset) {
    add_header(&file, 3, 1, 0);
    add_tensor(&file, "t", d0, d1, type, offset);
    add_padding(&file, 32, 64);
}

static void bad_tensors(void **state) {
    (void)state;
    one_tensor(16, 0, 99, 0);
    expect(COVEY_ERROR_UNSUPPORTED, "tensor \"t\": type 99 is not known");
    one_tensor(16, 0, 4, 0); /* Q4_2, removed from the format */
    expect(COVEY_ERROR_UNSUPPORTED, "tensor \"t\": type 4 is not known");
    one_tensor(48, 0, COVEY__TYPE_Q8_0, 0);
    expect(COVEY_ERROR_FORMAT, "rows have 48 elements, expected a multiple of 32 for type Q8_0");
    one_tensor(0, 0, COVEY__TYPE_F32, 0);
    expect(COVEY_ERROR_FORMAT, "tensor \"t\": dimension 0 is 0");
    one_tensor(UINT64_MAX, 0, COVEY__TYPE_F32, 0);
    expect(COVEY_ERROR_FORMAT, "tensor \"t\": its dimensions multiply");
    one_tensor(UINT64_C(1) << 40, UINT64_C(1) << 40, COVEY__TYPE_F32, 0);
    expect(COVEY_ERROR_FORMAT, "tensor \"t\": its dimensions multiply");
    one_tensor(UINT64_C(1) << 62, 0, COVEY__TYPE_F32, 0);
    expect(COVEY_ERROR_FORMAT, "tensor \"t\": its size in bytes");
    one_tensor(17, 0, COVEY__TYPE_F32, 0);
    expect(COVEY_ERROR_FORMAT, "tensor \"t\": its 68 bytes at offset 0 go past the end");
    one_tensor(16, 0, COVEY__TYPE_F32, 32);
    expect(COVEY_ERROR_FORMAT, "tensor \"t\": its 64 bytes at offset 32 go past the end");
    one_tensor(16, 0, COVEY__TYPE_F32, UINT64_MAX - 31);
    expect(COVEY_ERROR_FORMAT, "tensor \"t\": its 64 bytes");
    one_tensor(8, 0, COVEY__TYPE_F32, 16);
    expect(COVEY_ERROR_FORMAT, "tensor \"t\": offset: expected a multiple of the alignment 32");
    for (uint32_t count = 0; count <= 5; count += 5) {
        add_header(&file, 3, 1, 0);
        add_text(&file, "t");
        add_u32(&file, count);
        add_padding(&file, 32, 64);
        expect(COVEY_ERROR_FORMAT, "tensor \"t\": dimension count: expected 1 to 4, found");
    }
    add_header(&file, 3, 1, 0);
    add_tensor(&file, "", 8, 0, COVEY__TYPE_F32, 0);
    add_padding(&file, 32, 64);
    expect(COVEY_ERROR_FORMAT, "tensor 0: name: expected 1 to 255 bytes, found 0");
    add_header(&file, 3, 1, 0);
    add_tensor(&file, "t\x01", 8, 0, COVEY__TYPE_F32, 0);
    add_padding(&file, 32, 64);
    expect(COVEY_ERROR_FORMAT, "the name is not plain");
}

static void tensors_that_collide(void **state) {
    (void)state;
    add_header(&file, 3, 2, 0);
    add_tensor(&file, "first", 16, 0, COVEY__TYPE_F32, 0);
    add_tensor(&file, "second", 8, 0, COVEY__TYPE_F32, 32);
    add_padding(&file, 32, 128);
    expect(COVEY_ERROR_FORMAT, "tensor \"second\": offset: its bytes overlap those of \"first\"");
    add_header(&file, 3, 2, 0);
    add_tensor(&file, "same", 8, 0, COVEY__TYPE_F32, 0);
    add_tensor(&file, "same", 8, 0, COVEY__TYPE_F32, 32);
    add_padding(&file, 32, 128);
    expect(COVEY_ERROR_FORMAT, "tensor \"same\": two tensors have this name");
}

static void memory_must_be_aligned(void **state) {
    (void)state;
    make_good(3);
    covey__env env;
    covey__env_init(&env);
    memmove(file.data + 2, file.data, file.size);
    covey__map map = {file.data + 2, file.size, NULL, 0};
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
        cmocka_unit_test(bad_keys),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(bad_alignments),
        cmocka_unit_test(bad_tensors),
        cmocka_unit_test(tensors_that_collide),
        cmocka_unit_test(memory_must_be_aligned),
        cmocka_unit_test(refused_memory_is_told),
        cmocka_unit_test(paths_are_named),
        cmocka_unit_test(real_files_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
