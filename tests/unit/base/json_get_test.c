/* Typed members of JSON objects: values, ranges, and errors that name the field. */
#include "support/support.h"

#include "base/json.h"

#include <math.h>
#include <string.h>

static covey__env env;
static covey__arena arena;

static const covey__json *parsed(const char *text) {
    const covey__json *root;
    covey_error error;
    if (covey__json_parse(&arena, text, strlen(text), COVEY__JSON_LIMITS_DEFAULT, &root, &error) !=
        COVEY_OK)
        fail_msg("%s: %s", text, error.message);
    return root;
}

static int begin(void **state) {
    (void)state;
    covey__env_init(&env);
    covey__arena_init(&arena, &env, 1 << 20);
    return 0;
}

static int end(void **state) {
    (void)state;
    covey__arena_free(&arena);
    return 0;
}

static void members_are_found(void **state) {
    (void)state;
    const covey__json *root =
        parsed("{\"a\":\"x\",\"b\":12,\"c\":true,\"d\":{\"e\":[]},\"f\":1.5}");
    covey_error error;
    const char *text;
    int64_t number;
    double real;
    bool flag;
    const covey__json *member;
    assert_int_equal(covey__json_string(root, "a", "", &text, &error), COVEY_OK);
    assert_string_equal(text, "x");
    assert_int_equal(covey__json_i64(root, "b", "", 12, 12, &number, &error), COVEY_OK);
    assert_int_equal(number, 12);
    assert_int_equal(covey__json_f64(root, "b", "", &real, &error), COVEY_OK);
    assert_true(real == 12.0);
    assert_int_equal(covey__json_f64(root, "f", NULL, &real, &error), COVEY_OK);
    assert_true(real == 1.5);
    assert_int_equal(covey__json_bool(root, "c", "", &flag, &error), COVEY_OK);
    assert_true(flag);
    assert_int_equal(covey__json_member(root, "d", "", COVEY__JSON_OBJECT, &member, &error),
                     COVEY_OK);
    assert_int_equal(covey__json_get(member, "e")->kind, COVEY__JSON_ARRAY);
    assert_null(covey__json_get(root, "e"));
    assert_null(covey__json_get(covey__json_get(root, "a"), "e"));
    assert_null(covey__json_get(NULL, "e"));
}

static void errors_name_the_field(void **state) {
    (void)state;
    const covey__json *root = parsed("{\"a\":\"x\\u0000\",\"b\":12,\"big\":1e999}");
    covey_error error;
    const char *text;
    int64_t number;
    double real;
    bool flag;
    assert_int_equal(covey__json_string(root, "name", "components[2]", &text, &error),
                     COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "components[2].name: expected a string, found nothing");
    assert_int_equal(covey__json_string(root, "b", "", &text, &error), COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "b: expected a string, found a number");
    assert_int_equal(covey__json_string(root, "a", NULL, &text, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__json_i64(root, "b", "x", 13, 20, &number, &error), COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "x.b: expected an integer from 13 to 20, found 12");
    /* A member's own path is not said twice. */
    assert_int_equal(covey__json_string(root, "b", "b", &text, &error), COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "b: expected a string, found a number");
    assert_int_equal(covey__json_string(root, "b", "x.b", &text, &error), COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "x.b: expected a string, found a number");
    assert_int_equal(covey__json_string(root, "b", "xb", &text, &error), COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "xb.b: expected a string, found a number");
    assert_int_equal(covey__json_bool(root, "b", "", &flag, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__json_f64(root, "big", "", &real, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__json_i64(parsed("[1]"), "b", "", 0, 1, &number, &error),
                     COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "the document: expected an object, found an array");
    assert_int_equal(covey__json_i64(NULL, "b", "p", 0, 1, &number, &error), COVEY_ERROR_FORMAT);
}

static void integers_are_exact(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool fits;
        int64_t value;
    } cases[] = {{"0", true, 0},
                 {"-0", true, 0},
                 {"9223372036854775807", true, INT64_MAX},
                 {"-9223372036854775808", true, INT64_MIN},
                 {"9223372036854775808", false, 0},
                 {"-9223372036854775809", false, 0},
                 {"99999999999999999999999", false, 0},
                 {"1.0", false, 0},
                 {"1e2", false, 0},
                 {"\"1\"", false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = 77;
        assert_int_equal(covey__json_to_i64(parsed(cases[i].text), &value), cases[i].fits);
        assert_true(value == (cases[i].fits ? cases[i].value : 77));
    }
    assert_true(isnan(covey__json_to_f64(parsed("null"))));
    assert_true(covey__json_to_f64(parsed("1e-400")) == 0.0);
    assert_true(covey__json_to_f64(parsed("0.1")) == 0.1);
}

static void unknown_fields_are_named(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b", NULL};
    covey_error error;
    assert_int_equal(covey__json_only(parsed("{}"), "", names, &error), COVEY_OK);
    assert_int_equal(covey__json_only(parsed("{\"b\":1,\"a\":1}"), "", names, &error), COVEY_OK);
    assert_int_equal(covey__json_only(parsed("{\"a\":1,\"a\\u0000\":1}"), "", names, &error),
                     COVEY_ERROR_FORMAT);
    assert_int_equal(covey__json_only(parsed("{\"a\":1,\"zz\":1}"), "needs", names, &error),
                     COVEY_ERROR_FORMAT);
    assert_string_equal(error.message, "needs.zz: this field is not known here");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found),
        cmocka_unit_test(errors_name_the_field),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(unknown_fields_are_named),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
