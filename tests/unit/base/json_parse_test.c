/* The JSON parser: what RFC 8259 says must parse and must not, bounds, places of errors, memory. */
#include "support/support.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

typedef struct text {
    const char *data;
    size_t size;
} text;
#define TEXT(literal)                                                                              \
    { literal, sizeof(literal) - 1 }

static covey_status parse(covey__arena *arena, text input, covey__json_limits limits,
                          const covey__json **root, covey_error *error) {
    /* exactly as much memory as the input, so that sanitizers see a step beyond */
    char *copy = malloc(input.size > 0 ? input.size : 1);
    assert_non_null(copy);
    memcpy(copy, input.data, input.size);
    covey_status status = covey__json_parse(arena, copy, input.size, limits, root, error);
    memset(copy, 'x', input.size); /* the tree borrows nothing */
    free(copy);
    return status;
}

static const text must_parse[] = {
    TEXT("null"),
    TEXT("true"),
    TEXT("false"),
    TEXT("0"),
    TEXT("-0"),
    TEXT("\"\""),
    TEXT("[]"),
    TEXT("{}"),
    TEXT(" \t\r\n1 \t\r\n"),
    TEXT("[[]   ]"),
    TEXT("[\"\"]"),
    TEXT("[\"a\"]"),
    TEXT("[null, 1, \"1\", {}]"),
    TEXT("[1\n]"),
    TEXT(" [1]"),
    TEXT("[1,null,null,null,2]"),
    TEXT("[2] "),
    TEXT("[123e65]"),
    TEXT("[0e+1]"),
    TEXT("[0e1]"),
    TEXT("[ 4]"),
    TEXT("[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]"),
    TEXT("[20e1]"),
    TEXT("[-123]"),
    TEXT("[-1]"),
    TEXT("[1E22]"),
    TEXT("[1E-2]"),
    TEXT("[1E+2]"),
    TEXT("[123e45]"),
    TEXT("[123.456e78]"),
    TEXT("[1e-2]"),
    TEXT("[1e+2]"),
    TEXT("[123]"),
    TEXT("[123.456789]"),
    TEXT("[1e999]"),
    TEXT("[123456789012345678901234567890]"),
    TEXT("{\"asd\":\"sdf\", \"dfg\":\"fgh\"}"),
    TEXT("{\"\":0}"),
    TEXT("{\"foo\\u0000bar\": 42}"),
    TEXT("{ \"min\": -1.0e+28, \"max\": 1.0e+28 }"),
    TEXT("{\"a\":[]}"),
    TEXT("{\n\"a\": \"b\"\n}"),
    TEXT("{\"a\":1,\"A\":1,\"a \":1}"),
    TEXT("[\"\\u0060\\u012a\\u12AB\"]"),
    TEXT("[\"\\uD801\\udc37\"]"),
    TEXT("[\"\\ud83d\\ude39\\ud83d\\udc8d\"]"),
    TEXT("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"),
    TEXT("[\"\\\\u0000\"]"),
    TEXT("[\"\\\"\"]"),
    TEXT("[\"a/*b*/c/*d//e\"]"),
    TEXT("[\"\\\\a\"]"),
    TEXT("[\"\\\\n\"]"),
    TEXT("[\"\\u0012\"]"),
    TEXT("[\"\\uFFFF\"]"),
    TEXT("[\"asd \"]"),
    TEXT("[\"\xf4\x8f\xbf\xbf\"]"),
    TEXT("[\"\xef\xbf\xbf\"]"),
    TEXT("[\"\\u0000\"]"),
    TEXT("[\"\\u002c\"]"),
    TEXT("[\"\xcf\x80\"]"),
    TEXT("[\"\xe2\x80\xa8\xe2\x80\xa9\"]"),
    TEXT("\" \""),
    TEXT("[\"\\uDBFF\\uDFFF\"]"),
    TEXT("[\"\\u200B\"]"),
    TEXT("[\"\xe2\x82\xac\xf0\x9d\x84\x9e\"]"),
    TEXT("[\"a\x7f\x61\"]"),
};

static const text must_not_parse[] = {
    TEXT(""),
    TEXT(" "),
    TEXT("[1 true]"),
    TEXT("[a\xe5]"),
    TEXT("[\"\": 1]"),
    TEXT("[\"\"],"),
    TEXT("[,1]"),
    TEXT("[1,,2]"),
    TEXT("[\"x\",,]"),
    TEXT("[\"x\"]]"),
    TEXT("[\"\","),
    TEXT("[\"x\""),
    TEXT("[x"),
    TEXT("[3[4]]"),
    TEXT("[\xff]"),
    TEXT("[1:2]"),
    TEXT("[,]"),
    TEXT("[-]"),
    TEXT("[   , \"\"]"),
    TEXT("[\"a\",\n4\n,1,"),
    TEXT("[1,]"),
    TEXT("[1,,]"),
    TEXT("[\"\va\"\\f]"),
    TEXT("[*]"),
    TEXT("[1,\n1\n,1"),
    TEXT("[{}"),
    TEXT("[fals]"),
    TEXT("[nul]"),
    TEXT("[tru]"),
    TEXT("123\0"),
    TEXT("[++1234]"),
    TEXT("[+1]"),
    TEXT("[+Inf]"),
    TEXT("[-01]"),
    TEXT("[-1.0.]"),
    TEXT("[-2.]"),
    TEXT("[-NaN]"),
    TEXT("[.-1]"),
    TEXT("[.2e-3]"),
    TEXT("[0.1.2]"),
    TEXT("[0.3e+]"),
    TEXT("[0.3e]"),
    TEXT("[0.e1]"),
    TEXT("[0E+]"),
    TEXT("[0E]"),
    TEXT("[1.0e+]"),
    TEXT("[1.0e-]"),
    TEXT("[1.0e]"),
    TEXT("[1 000.0]"),
    TEXT("[1eE2]"),
    TEXT("[2.e+3]"),
    TEXT("[2.e3]"),
    TEXT("[9.e+]"),
    TEXT("[Inf]"),
    TEXT("[NaN]"),
    TEXT("[\xef\xbc\x91]"),
    TEXT("[1+2]"),
    TEXT("[0x1]"),
    TEXT("[0x42]"),
    TEXT("[Infinity]"),
    TEXT("[0e+-1]"),
    TEXT("[-123.123foo]"),
    TEXT("[123\xe5]"),
    TEXT("[1e1\xe5]"),
    TEXT("[-Infinity]"),
    TEXT("[-foo]"),
    TEXT("[- 1]"),
    TEXT("[-012]"),
    TEXT("[-.123]"),
    TEXT("[-1x]"),
    TEXT("[1ea]"),
    TEXT("[1.]"),
    TEXT("[.123]"),
    TEXT("[1.2a-3]"),
    TEXT("[1.8011670033376514H-308]"),
    TEXT("[012]"),
    TEXT("[00]"),
    TEXT("[\"x\", truth]"),
    TEXT("{[: \"x\"}\n"),
    TEXT("{\"x\", null}"),
    TEXT("{\"x\"::\"b\"}"),
    TEXT("{\"a\":\"a\" 123}"),
    TEXT("{key: 'value'}"),
    TEXT("{\"\xb9\":\"0\",}"),
    TEXT("{\"a\" b}"),
    TEXT("{:\"b\"}"),
    TEXT("{\"a\" \"b\"}"),
    TEXT("{\"a\":"),
    TEXT("{\"a\""),
    TEXT("{1:1}"),
    TEXT("{9999E9999:1}"),
    TEXT("{null:null,null:null}"),
    TEXT("{\"id\":0,,,,,}"),
    TEXT("{'a':0}"),
    TEXT("{\"id\":0,}"),
    TEXT("{\"a\":\"b\"}/**/"),
    TEXT("{\"a\":\"b\"}#"),
    TEXT("{\"a\":\"b\"}//"),
    TEXT("{\"a\":\"b\",,\"c\":\"d\"}"),
    TEXT("{a: \"b\"}"),
    TEXT("{\"a\":\"a"),
    TEXT("{ \"foo\" : \"bar\", \"a\" }"),
    TEXT("{\"a\":\"b\"}#{}"),
    TEXT("{\"a\":1,\"a\":2}"),
    TEXT("{\"a\":1,\"\\u0061\":1}"),
    TEXT("[\"\\uD800\\\"]"),
    TEXT("[\"\\uD800\\u\"]"),
    TEXT("[\"\\uD800\\u1\"]"),
    TEXT("[\"\\uD800\\u1x\"]"),
    TEXT("[\xc3\xa9]"),
    TEXT("[\"\\\0\"]"),
    TEXT("[\"\\x00\"]"),
    TEXT("[\"\\\\\\\"]"),
    TEXT("[\"\\\t\"]"),
    TEXT("[\"\\\xf0\x9f\x8c\x80\"]"),
    TEXT("[\"\\\"]"),
    TEXT("[\"\\u00A\"]"),
    TEXT("[\"\\uD834\\uDd\"]"),
    TEXT("[\"\\uD800\\uD800\\x\"]"),
    TEXT("[\"\\u\xe5\"]"),
    TEXT("[\"\\a\"]"),
    TEXT("[\"\\uqqqq\"]"),
    TEXT("[\"\\\xe5\"]"),
    TEXT("[\\u0020\"asd\"]"),
    TEXT("[\\n]"),
    TEXT("\""),
    TEXT("['single quote']"),
    TEXT("abc"),
    TEXT("[\"\\"),
    TEXT("[\"a\0a\"]"),
    TEXT("[\"new\nline\"]"),
    TEXT("[\"\t\"]"),
    TEXT("\"\\UA66D\""),
    TEXT("\"\"x"),
    TEXT("[\xe2\x81\xa0]"),
    TEXT("\xef\xbb\xbf{}"),
    TEXT("<.>"),
    TEXT("[<null>]"),
    TEXT("[1]x"),
    TEXT("[1]]"),
    TEXT("[\"asd]"),
    TEXT("a\xc3\xa5"),
    TEXT("[True]"),
    TEXT("1]"),
    TEXT("{\"x\": true,"),
    TEXT("[][]"),
    TEXT("]"),
    TEXT("\xef\xbb{}"),
    TEXT("\xe5"),
    TEXT("["),
    TEXT("{}}"),
    TEXT("{\"\":"),
    TEXT("{\"a\":/*comment*/\"b\"}"),
    TEXT("{\"a\": true} \"x\""),
    TEXT("['"),
    TEXT("[,"),
    TEXT("[{"),
    TEXT("[\"a"),
    TEXT("[\"a\""),
    TEXT("{"),
    TEXT("{]"),
    TEXT("{,"),
    TEXT("{["),
    TEXT("{\"a"),
    TEXT("{'a'"),
    TEXT("[\"\\{[\"\\{[\"\\{[\"\\{"),
    TEXT("*"),
    TEXT("{\"a\":\"b\"}#{}"),
    TEXT("[\\u000A\"\"]"),
    TEXT("[1"),
    TEXT("[ false, nul"),
    TEXT("[ true, fals"),
    TEXT("[ false, tru"),
    TEXT("{\"asd\":\"asd\""),
    TEXT("\xc3\xa5"),
    TEXT("[\f]"),
    TEXT("[\"\\uDC00\"]"),
    TEXT("[\"\\uDd1e\\uD834\"]"),
    TEXT("[\"\\uD800\"]"),
    TEXT("[\"\\ud800abc\"]"),
    TEXT("[\"\xed\xa0\x80\"]"),
    TEXT("[\"\xc0\xaf\"]"),
    TEXT("[\"\xf4\x90\x80\x80\"]"),
    TEXT("[\"\xff\"]"),
    TEXT("[\"\x81\"]"),
    TEXT("[\"\xe6\x97\"]"),
    TEXT("\xff\xfe[\0\"\0\xe9\0\"\0]\0"),
    TEXT("nul"),
    TEXT("nulll"),
    TEXT("-"),
    TEXT("1.e1"),
    TEXT("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"c\":0}"),
};

static void the_standard_decides(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    for (size_t pass = 0; pass < 2; pass++) {
        const text *cases = pass == 0 ? must_parse : must_not_parse;
        size_t count = pass == 0 ? sizeof must_parse / sizeof *must_parse
                                 : sizeof must_not_parse / sizeof *must_not_parse;
        for (size_t i = 0; i < count; i++) {
            covey__arena arena;
            covey__arena_init(&arena, &test.env, 1 << 20);
            const covey__json *root;
            covey_error error = {COVEY_OK, 0, 0, 0, ""};
            covey_status status =
                parse(&arena, cases[i], COVEY__JSON_LIMITS_DEFAULT, &root, &error);
            covey_status expected = pass == 0 ? COVEY_OK : COVEY_ERROR_FORMAT;
            if (status != expected)
                fail_msg("%s: expected %s, found %s (%s)", cases[i].data,
                         covey_status_name(expected), covey_status_name(status), error.message);
            covey__arena_free(&arena);
        }
    }
    assert_int_equal(test.alive, 0);
}

/* Every cut of a document is an error, since the root closes with its last byte. */
static void every_cut_is_an_error(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    static const char document[] =
        "{\"a\":[1.5e3,\"\\ud83d\\ude00\\n\xc3\xa9\",null,true,[[]],{}]}";
    for (size_t size = 0; size < sizeof document; size++) {
        covey__arena arena;
        covey__arena_init(&arena, &env, 1 << 20);
        const covey__json *root;
        covey_status status =
            parse(&arena, (text){document, size}, COVEY__JSON_LIMITS_DEFAULT, &root, NULL);
        assert_int_equal(status, size == sizeof document - 1 ? COVEY_OK : COVEY_ERROR_FORMAT);
        covey__arena_free(&arena);
    }
}

static void the_tree_is_what_was_written(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey__arena arena;
    covey__arena_init(&arena, &env, 1 << 20);
    const covey__json *root;
    covey_error error;
    text input =
        TEXT(" {\"n\": -1.50e+01, \"s\\u00e9\": \"a\\u0000b\\ud83d\\ude00\", \"l\": [true, "
             "false, null, []], \"o\": {}}");
    assert_int_equal(parse(&arena, input, COVEY__JSON_LIMITS_DEFAULT, &root, &error), COVEY_OK);
    assert_int_equal(root->kind, COVEY__JSON_OBJECT);
    assert_int_equal(root->size, 4);
    assert_int_equal(root->offset, 1);
    assert_null(root->name);
    const covey__json *node = root->child;
    assert_string_equal(node->name, "n");
    assert_int_equal(node->kind, COVEY__JSON_NUMBER);
    assert_string_equal(node->text, "-1.50e+01");
    assert_int_equal(node->offset, 7);
    node = node->next;
    assert_string_equal(node->name, "s\xc3\xa9");
    assert_int_equal(node->name_size, 3);
    assert_int_equal(node->size, 7);
    assert_memory_equal(node->text, "a\0b\xf0\x9f\x98\x80", 8);
    node = node->next;
    assert_int_equal(node->kind, COVEY__JSON_ARRAY);
    assert_int_equal(node->size, 4);
    assert_true(node->child->boolean);
    assert_int_equal(node->child->kind, COVEY__JSON_BOOL);
    assert_false(node->child->next->boolean);
    assert_int_equal(node->child->next->next->kind, COVEY__JSON_NULL);
    assert_int_equal(node->child->next->next->next->size, 0);
    assert_null(node->child->next->next->next->next);
    node = node->next;
    assert_int_equal(node->kind, COVEY__JSON_OBJECT);
    assert_null(node->child);
    assert_null(node->next);
    covey__arena_free(&arena);
}

static void errors_name_line_and_column(void **state) {
    (void)state;
    static const struct {
        text input;
        const char *message;
    } cases[] = {
        {TEXT("[1,\n  2,\n  x]"), "json: line 3, column 3: expected a value, found 'x'"},
        {TEXT("[\"\xc3\xa9\xc3\xa9\" 1]"),
         "json: line 1, column 7: expected ',' or ']', found '1'"},
        {TEXT("{\"a\":1"), "json: line 1, column 7: expected ',' or '}', found the end"},
        {TEXT("[\n\"\xff\"]"), "json: line 2, column 2: the string is not UTF-8"},
        {TEXT("[\x01]"), "json: line 1, column 2: expected a value, found the byte 0x01"},
        {TEXT("[\xff]"), "json: line 1, column 2: expected a value, found the byte 0xff"},
        {TEXT("{\"a\":1,\n\"a\":2}"), "json: line 2, column 5: the name \"a\" is there twice"},
        {TEXT("[\"a\tb\"]"),
         "json: line 1, column 4: a control character in a string, expected \\u0009"},
        {TEXT("\"\\x\""), "json: line 1, column 3: expected an escape such as \\n or \\u0041, "
                          "found 'x'"},
    };
    covey__env env;
    covey__env_init(&env);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__arena arena;
        covey__arena_init(&arena, &env, 1 << 20);
        const covey__json *root;
        covey_error error;
        assert_int_equal(parse(&arena, cases[i].input, COVEY__JSON_LIMITS_DEFAULT, &root, &error),
                         COVEY_ERROR_FORMAT);
        assert_string_equal(error.message, cases[i].message);
        covey__arena_free(&arena);
    }
}

static void bounds_hold_exactly(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey__arena arena;
    covey__arena_init(&arena, &env, 1 << 20);
    const covey__json *root;
    covey_error error;
    covey__json_limits limits = {10, 3, 4};
    assert_int_equal(parse(&arena, (text)TEXT("[[[1]]]"), limits, &root, &error), COVEY_OK);
    assert_int_equal(parse(&arena, (text)TEXT("[[[[]]]]"), limits, &root, &error),
                     COVEY_ERROR_LIMIT);
    assert_int_equal(parse(&arena, (text)TEXT("[1,2,3]"), limits, &root, &error), COVEY_OK);
    assert_int_equal(parse(&arena, (text)TEXT("[1,2,3,4]"), limits, &root, &error),
                     COVEY_ERROR_LIMIT);
    assert_int_equal(parse(&arena, (text)TEXT("\"12345678\""), limits, &root, &error), COVEY_OK);
    assert_int_equal(parse(&arena, (text)TEXT("\"123456789\""), limits, &root, &error),
                     COVEY_ERROR_LIMIT);
    assert_int_equal(error.expected, 10);
    assert_int_equal(error.found, 11);
    covey__arena_free(&arena);
}

static void depth_costs_no_stack(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    size_t depth = 400000;
    char *nested = malloc(2 * depth);
    assert_non_null(nested);
    memset(nested, '[', depth);
    memset(nested + depth, ']', depth);
    covey__arena arena;
    covey__arena_init(&arena, &env, 256u << 20);
    covey__json_limits limits = {2 * depth, depth, depth};
    const covey__json *root;
    covey_error error;
    assert_int_equal(covey__json_parse(&arena, nested, 2 * depth, limits, &root, &error), COVEY_OK);
    assert_int_equal(
        covey__json_parse(&arena, nested, 2 * depth, COVEY__JSON_LIMITS_DEFAULT, &root, &error),
        COVEY_ERROR_LIMIT);
    covey__arena_free(&arena);
    free(nested);
}

static void a_full_arena_is_a_limit(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey__arena arena;
    covey__arena_init(&arena, &env, 2000);
    const covey__json *root;
    covey_error error;
    assert_int_equal(parse(&arena,
                           (text)TEXT("[1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9]"),
                           COVEY__JSON_LIMITS_DEFAULT, &root, &error),
                     COVEY_ERROR_LIMIT);
    covey__arena_free(&arena);
}

/* Many members: a duplicate is found among them, wherever it is. */
static void duplicates_among_many(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    for (int duplicate = -1; duplicate < 3000; duplicate += 1000) {
        covey__buffer buffer;
        covey__buffer_init(&buffer, &env, 1 << 20);
        covey__buffer_byte(&buffer, '{');
        for (int i = 0; i < 3000; i++)
            covey__buffer_format(&buffer, "\"k%d\":%d,", i * 7919 % 3001, i);
        covey__buffer_format(&buffer, "\"k%d\":0}",
                             duplicate < 0 ? 99999 : duplicate * 7919 % 3001);
        covey__arena arena;
        covey__arena_init(&arena, &env, 4 << 20);
        const covey__json *root;
        assert_int_equal(covey__json_parse(&arena, buffer.data, buffer.size,
                                           COVEY__JSON_LIMITS_DEFAULT, &root, NULL),
                         duplicate < 0 ? COVEY_OK : COVEY_ERROR_FORMAT);
        covey__arena_free(&arena);
        covey__buffer_free(&buffer);
    }
}

static covey_status parse_step(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    static const char document[] =
        "{\"a\":1,\"b\":[2,3,{\"x\":\"y\"}],\"c\":3,\"d\":4,\"e\":5,\"f\":6,"
        "\"g\":7,\"h\":8,\"i\":9,\"j\":10,\"k\":\"eleven\"}";
    covey__arena arena;
    covey__arena_init(&arena, env, 1 << 20);
    const covey__json *root;
    covey_status status = covey__json_parse(&arena, document, sizeof document - 1,
                                            COVEY__JSON_LIMITS_DEFAULT, &root, error);
    covey__arena_free(&arena);
    return status;
}

static void refused_memory_is_told(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(parse_step, NULL) >= 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standard_decides),
        cmocka_unit_test(every_cut_is_an_error),
        cmocka_unit_test(the_tree_is_what_was_written),
        cmocka_unit_test(errors_name_line_and_column),
        cmocka_unit_test(bounds_hold_exactly),
        cmocka_unit_test(depth_costs_no_stack),
        cmocka_unit_test(a_full_arena_is_a_limit),
        cmocka_unit_test(duplicates_among_many),
        cmocka_unit_test(refused_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
