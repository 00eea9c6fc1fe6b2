/* The typed getters: every kind, every range, and errors that name the key. */
#include "unit/gguf/gguf_bytes.h"
#include "support/support.h"

#include <math.h>
#include <string.h>

static bytes file;
static covey__env env;
static covey__gguf *gguf;

static void add_all_kinds(void) {
    static const uint8_t ones[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const struct {
        const char *key;
        uint32_t kind;
        size_t size;
    } plain[] = {
        {"u8", COVEY__GGUF_U8, 1},   {"i8", COVEY__GGUF_I8, 1},   {"u16", COVEY__GGUF_U16, 2},
        {"i16", COVEY__GGUF_I16, 2}, {"u32", COVEY__GGUF_U32, 4}, {"i32", COVEY__GGUF_I32, 4},
        {"u64", COVEY__GGUF_U64, 8}, {"i64", COVEY__GGUF_I64, 8}, {"nan", COVEY__GGUF_F32, 4}};
    for (size_t i = 0; i < 9; i++) {
        add_key(&file, plain[i].key, plain[i].kind);
        add_bytes(&file, ones, plain[i].size);
    }
    add_key(&file, "f32", COVEY__GGUF_F32);
    add_u32(&file, 0x3fc00000); /* 1.5 */
    add_key(&file, "f64", COVEY__GGUF_F64);
    add_u64(&file, 0x3ff8000000000000u);
    add_key(&file, "huge", COVEY__GGUF_F64);
    add_u64(&file, 0x7fe0000000000000u); /* beyond single precision */
    add_key(&file, "yes", COVEY__GGUF_BOOL);
    add_bytes(&file, "\1", 1);
    add_key(&file, "text", COVEY__GGUF_STRING);
    add_text(&file, "hello");
}

static int begin(void **state) {
    (void)state;
    covey__env_init(&env);
    add_header(&file, 3, 0, 19);
    add_all_kinds();
    add_array(&file, "i16s", COVEY__GGUF_I16, 3);
    add_bytes(&file, "\x01\x00\xff\xff\x00\x80", 6);
    add_array(&file, "i64s", COVEY__GGUF_I64, 2);
    add_u64(&file, (uint64_t)INT32_MIN);
    add_u64(&file, (uint64_t)INT32_MIN - 1);
    add_array(&file, "u64s", COVEY__GGUF_U64, 1);
    add_u64(&file, UINT64_MAX);
    add_array(&file, "f64s", COVEY__GGUF_F64, 2);
    add_u64(&file, 0x3ff8000000000000u);
    add_u64(&file, 0xbfe0000000000000u);
    add_array(&file, "none", COVEY__GGUF_STRING, 0);
    covey_error error;
    return open_bytes(&env, &file, &gguf, &error) == COVEY_OK ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    covey__gguf_close(gguf);
    return 0;
}

static void integers_of_any_width(void **state) {
    (void)state;
    covey_error error;
    uint64_t value;
    static const struct {
        const char *key;
        uint64_t value;
    } cases[] = {{"u8", 255}, {"u16", 65535}, {"u32", UINT32_MAX}, {"u64", UINT64_MAX}};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(covey__gguf_u64(gguf, cases[i].key, 0, UINT64_MAX, &value, &error),
                         COVEY_OK);
        assert_true(value == cases[i].value);
        assert_int_equal(covey__gguf_u64(gguf, cases[i].key, 0, cases[i].value - 1, &value, &error),
                         COVEY_ERROR_FORMAT);
    }
    static const char *const negative[] = {"i8", "i16", "i32", "i64"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(covey__gguf_u64(gguf, negative[i], 0, UINT64_MAX, &value, &error),
                         COVEY_ERROR_FORMAT);
        assert_non_null(strstr(error.message, "found -1"));
    }
    assert_int_equal(covey__gguf_u64(gguf, "u8", 256, 300, &value, &error), COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "gguf: key \"u8\": expected 256 to 300, found 255");
    assert_int_equal(covey__gguf_u64(gguf, "f32", 0, 9, &value, &error), COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "gguf: key \"f32\": expected an integer, found f32");
    assert_int_equal(covey__gguf_u64(gguf, "absent", 0, 9, &value, &error), COVEY_ERROR_NOT_FOUND);
    assert_string_equal(error.message, "gguf: key \"absent\" is missing");
}

static void floats_flags_and_texts(void **state) {
    (void)state;
    covey_error error;
    float real;
    bool flag;
    covey__gguf_text text;
    assert_int_equal(covey__gguf_f32(gguf, "f32", &real, &error), COVEY_OK);
    assert_true(real == 1.5f);
    assert_int_equal(covey__gguf_f32(gguf, "f64", &real, &error), COVEY_OK);
    assert_true(real == 1.5f);
    assert_int_equal(covey__gguf_f32(gguf, "nan", &real, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__gguf_f32(gguf, "huge", &real, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__gguf_f32(gguf, "u8", &real, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__gguf_bool(gguf, "yes", &flag, &error), COVEY_OK);
    assert_true(flag);
    assert_int_equal(covey__gguf_bool(gguf, "u8", &flag, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__gguf_string(gguf, "text", &text, &error), COVEY_OK);
    assert_int_equal(text.size, 5);
    assert_memory_equal(text.data, "hello", 5);
    assert_int_equal(covey__gguf_string(gguf, "yes", &text, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__gguf_string(gguf, "none", &text, &error), COVEY_ERROR_FORMAT);
    assert_true(covey__gguf_has(gguf, "text"));
    assert_false(covey__gguf_has(gguf, "tex"));
}

static void arrays_are_converted(void **state) {
    (void)state;
    covey_error error;
    covey__gguf_kind kind;
    size_t count;
    int32_t integers[3];
    float reals[2];
    assert_int_equal(covey__gguf_array(gguf, "i16s", &kind, &count, &error), COVEY_OK);
    assert_int_equal(kind, COVEY__GGUF_I16);
    assert_int_equal(count, 3);
    assert_int_equal(covey__gguf_array_i32(gguf, "i16s", integers, 3, &error), COVEY_OK);
    assert_true(integers[0] == 1 && integers[1] == -1 && integers[2] == INT16_MIN);
    assert_int_equal(covey__gguf_array_i32(gguf, "i16s", integers, 2, &error), COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "gguf: key \"i16s\": expected 2 elements, found 3");
    assert_int_equal(covey__gguf_array_i32(gguf, "i64s", integers, 2, &error), COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "gguf: key \"i64s\": element 1 does not fit 32 bits");
    assert_int_equal(integers[0], INT32_MIN);
    assert_int_equal(covey__gguf_array_i32(gguf, "u64s", integers, 1, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__gguf_array_i32(gguf, "f64s", integers, 2, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__gguf_array_f32(gguf, "f64s", reals, 2, &error), COVEY_OK);
    assert_true(reals[0] == 1.5f && reals[1] == -0.5f);
    assert_int_equal(covey__gguf_array_f32(gguf, "i16s", reals, 3, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__gguf_array(gguf, "none", &kind, &count, &error), COVEY_OK);
    assert_int_equal(count, 0);
    assert_int_equal(covey__gguf_array(gguf, "text", &kind, &count, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__gguf_array(gguf, "absent", &kind, &count, &error),
                     COVEY_ERROR_NOT_FOUND);
}

static void the_walk_is_in_file_order(void **state) {
    (void)state;
    assert_int_equal(covey__gguf_value_count(gguf), 19);
    covey__gguf_value first = covey__gguf_value_at(gguf, 0);
    assert_memory_equal(first.key.data, "u8", 2);
    assert_int_equal(first.kind, COVEY__GGUF_U8);
    assert_int_equal(first.data_size, 1);
    covey__gguf_value text = covey__gguf_value_at(gguf, 13);
    assert_int_equal(text.kind, COVEY__GGUF_STRING);
    assert_int_equal(text.data_size, 13);
    covey__gguf_value array = covey__gguf_value_at(gguf, 14);
    assert_int_equal(array.kind, COVEY__GGUF_ARRAY);
    assert_int_equal(array.element_kind, COVEY__GGUF_I16);
    assert_int_equal(array.count, 3);
    assert_int_equal(array.data_size, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_any_width),
        cmocka_unit_test(floats_flags_and_texts),
        cmocka_unit_test(arrays_are_converted),
        cmocka_unit_test(the_walk_is_in_file_order),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
