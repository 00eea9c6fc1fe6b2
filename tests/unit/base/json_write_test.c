/* The JSON writer: commas, indentation, escapes, numbers, trees, and its bounds. */
#include "support/support.h"

#include "base/json.h"

#include <math.h>
#include <string.h>

static covey__env env;
static covey__buffer buffer;
static covey__json_writer writer;

static void start(bool pretty) {
    covey__env_init(&env);
    covey__buffer_free(&buffer);
    covey__buffer_init(&buffer, &env, 1 << 20);
    covey__json_writer_init(&writer, &buffer, pretty);
}

static void put_sample(void) {
    covey__json_begin_object(&writer);
    covey__json_member_string(&writer, "name", "a");
    covey__json_member_string(&writer, "none", NULL);
    covey__json_name(&writer, "list");
    covey__json_begin_array(&writer);
    covey__json_put_i64(&writer, INT64_MIN);
    covey__json_put_u64(&writer, UINT64_MAX);
    covey__json_begin_object(&writer);
    covey__json_end_object(&writer);
    covey__json_begin_array(&writer);
    covey__json_end_array(&writer);
    covey__json_end_array(&writer);
    covey__json_member_bool(&writer, "yes", true);
    covey__json_member_f64(&writer, "half", 0.5);
    covey__json_member_i64(&writer, "minus", -1);
    covey__json_member_u64(&writer, "plus", 1);
    covey__json_end_object(&writer);
}

static void compact_and_pretty(void **state) {
    (void)state;
    start(false);
    put_sample();
    assert_string_equal(buffer.data,
                        "{\"name\":\"a\",\"none\":null,\"list\":[-9223372036854775808,"
                        "18446744073709551615,{},[]],\"yes\":true,\"half\":0.5,\"minus\":-1,"
                        "\"plus\":1}");
    start(true);
    put_sample();
    assert_string_equal(buffer.data, "{\n  \"name\": \"a\",\n  \"none\": null,\n  \"list\": [\n"
                                     "    -9223372036854775808,\n    18446744073709551615,\n"
                                     "    {},\n    []\n  ],\n  \"yes\": true,\n  \"half\": 0.5,\n"
                                     "  \"minus\": -1,\n  \"plus\": 1\n}");
}

static void strings_are_escaped(void **state) {
    (void)state;
    start(false);
    covey__json_put_text(&writer, "\"\\/\b\f\n\r\t\x01\x1f\x7f\0\xc3\xa9", 14);
    assert_string_equal(buffer.data,
                        "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000\xc3\xa9\"");
    start(false);
    covey__json_put_text(&writer, "a\xff\xc3(\xed\xa0\x80z\xe2\x82", 10);
    assert_string_equal(buffer.data, "\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf"
                                     "\xbdz\xef\xbf\xbd\xef\xbf\xbd\"");
    start(false);
    covey__json_put_string(&writer, "");
    assert_string_equal(buffer.data, "\"\"");
}

static void numbers_without_json_become_null(void **state) {
    (void)state;
    start(false);
    covey__json_begin_array(&writer);
    covey__json_put_f64(&writer, NAN);
    covey__json_put_f64(&writer, -INFINITY);
    covey__json_put_f64(&writer, 1e300);
    covey__json_put_null(&writer);
    covey__json_put_raw(&writer, "1.0", 3);
    covey__json_end_array(&writer);
    assert_string_equal(buffer.data, "[null,null,1e+300,null,1.0]");
}

static void a_tree_is_written_as_it_was_read(void **state) {
    (void)state;
    static const char document[] =
        "{\"a\":[1.50,-0,1E5,\"x\\u0000y\",[],{}],\"b\\u0001\":{\"\":[null,"
        "true,false,{\"c\":\"\xc3\xa9\"}]}}";
    start(false);
    covey__arena arena;
    covey__arena_init(&arena, &env, 1 << 20);
    const covey__json *root;
    assert_int_equal(covey__json_parse(&arena, document, sizeof document - 1,
                                       COVEY__JSON_LIMITS_DEFAULT, &root, NULL),
                     COVEY_OK);
    covey__json_put_node(&writer, root);
    assert_string_equal(buffer.data, document);
    covey__arena_free(&arena);
}

static void nesting_is_bounded(void **state) {
    (void)state;
    for (int depth = 64; depth <= 65; depth++) {
        start(false);
        for (int i = 0; i < depth; i++) covey__json_begin_array(&writer);
        for (int i = 0; i < depth; i++) covey__json_end_array(&writer);
        assert_int_equal(buffer.status, depth == 64 ? COVEY_OK : COVEY_ERROR_LIMIT);
        if (depth == 64) assert_int_equal(buffer.size, 128);
    }
    start(false);
    covey__arena arena;
    covey__arena_init(&arena, &env, 1 << 22);
    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    const covey__json *root;
    covey__json_limits limits = {1000, 1000, 1000};
    assert_int_equal(covey__json_parse(&arena, deep, 400, limits, &root, NULL), COVEY_OK);
    covey__json_put_node(&writer, root);
    assert_int_equal(buffer.status, COVEY_ERROR_LIMIT);
    covey__arena_free(&arena);
}

static int end(void **state) {
    (void)state;
    covey__buffer_free(&buffer);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compact_and_pretty),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(numbers_without_json_become_null),
        cmocka_unit_test(a_tree_is_written_as_it_was_read),
        cmocka_unit_test(nesting_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
