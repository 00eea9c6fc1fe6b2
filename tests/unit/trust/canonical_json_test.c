/* Canonical JSON against texts worked out by hand from the OLPC rules. What each text must become
 * was checked with the npm package @tufjs/canonical-json where that can say it. */
#include "support/support.h"

#include "trust/canonical_json.h"

#include <stdio.h>
#include <string.h>

typedef struct fixture {
    test_env test;
    covey__arena arena;
    covey__buffer out;
    covey_error error;
} fixture;

static void set_up(fixture *f) {
    memset(f, 0, sizeof *f);
    test_env_init(&f->test);
    covey__arena_init(&f->arena, &f->test.env, 64u << 20);
    covey__buffer_init(&f->out, &f->test.env, 1u << 20);
}

static void tear_down(fixture *f) {
    covey__arena_free(&f->arena);
    covey__buffer_free(&f->out);
    assert_int_equal(f->test.alive, 0);
}

static covey_status make(fixture *f, const char *text, size_t size) {
    const covey__json *root = NULL;
    covey__json_limits limits = {1u << 20, 200, 100000};
    covey__buffer_clear(&f->out);
    assert_int_equal(covey__json_parse(&f->arena, text, size, limits, &root, &f->error), COVEY_OK);
    return covey__canonical_json(root, &f->out, &f->error);
}

static void expect(fixture *f, const char *text, const char *canonical) {
    assert_int_equal(make(f, text, strlen(text)), COVEY_OK);
    assert_string_equal(f->out.data, canonical);
}

static void writes_the_olpc_form(void **state) {
    (void)state;
    fixture f;
    set_up(&f);
    expect(&f, " { } ", "{}");
    expect(&f, "[ ]", "[]");
    expect(&f, "\"\"", "\"\"");
    expect(&f, "[1, -2 ,0,true,\tfalse,null,\n\"x\"]", "[1,-2,0,true,false,null,\"x\"]");
    expect(&f, "{\"b\": {\"d\":1, \"c\":[{}, []]}, \"a\": 2}",
           "{\"a\":2,\"b\":{\"c\":[{},[]],\"d\":1}}");
    /* Only the quote and the backslash are escaped; the rest stands as itself. */
    expect(&f, "\"a\\nb\\tc\\u0001\\/\\u00e9\\\"\\\\\"", "\"a\nb\tc\x01/\xc3\xa9\\\"\\\\\"");
    expect(&f, "\"-----BEGIN\\nAA==\\n\"", "\"-----BEGIN\nAA==\n\"");
    tear_down(&f);
}

static void sorts_by_code_point(void **state) {
    (void)state;
    fixture f;
    set_up(&f);
    expect(&f, "{\"aa\":1,\"a\":2,\"\":3,\"B\":4,\"a0\":5,\"Z\\\"\":6}",
           "{\"\":3,\"B\":4,\"Z\\\"\":6,\"a\":2,\"a0\":5,\"aa\":1}");
    /* U+FF41 before U+1F600: by UTF-16 units it would be the other way round. */
    expect(&f, "{\"\\ud83d\\ude00\":1,\"\\uff41\":2,\"z\":3}",
           "{\"z\":3,\"\xef\xbd\x81\":2,\"\xf0\x9f\x98\x80\":1}");
    tear_down(&f);
}

static void keeps_a_nul(void **state) {
    (void)state;
    fixture f;
    const char text[] = "{\"a\\u0000b\":1,\"a\":\"\\u0000\"}";
    const char canonical[] = "{\"a\":\"\0\",\"a\0b\":1}";
    set_up(&f);
    assert_int_equal(make(&f, text, strlen(text)), COVEY_OK);
    assert_int_equal(f.out.size, sizeof canonical - 1);
    assert_memory_equal(f.out.data, canonical, sizeof canonical - 1);
    tear_down(&f);
}

static void keeps_integers_as_written(void **state) {
    (void)state;
    static const char *const refused[] = {"1.0", "0.5", "1e3", "-0", "-0.0", "1E0"};
    fixture f;
    set_up(&f);
    expect(&f, "[9007199254740993, 123456789012345678901234567890, -10]",
           "[9007199254740993,123456789012345678901234567890,-10]");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"a\":[{\"b\":%s}]}", refused[i]);
        assert_int_equal(make(&f, text, strlen(text)), COVEY_ERROR_FORMAT);
        assert_non_null(strstr(f.error.message, refused[i]));
        assert_int_equal(f.out.size, 0);
    }
    tear_down(&f);
}

static void bounds_depth_and_size(void **state) {
    (void)state;
    fixture f;
    char text[200];
    set_up(&f);
    for (int depth = 63; depth <= 66; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        covey_status status = make(&f, text, 2 * (size_t)depth);
        assert_int_equal(status,
                         depth <= COVEY__CANONICAL_DEPTH_MAX ? COVEY_OK : COVEY_ERROR_LIMIT);
    }
    covey__buffer_clear(&f.out);
    covey__buffer_text(&f.out, "kept");
    f.out.size_max = 70;
    const covey__json *root = NULL;
    memset(text, '1', 80);
    assert_int_equal(covey__json_parse(&f.arena, text, 80, COVEY__JSON_LIMITS_DEFAULT, &root, NULL),
                     COVEY_OK);
    assert_int_equal(covey__canonical_json(root, &f.out, &f.error), COVEY_ERROR_LIMIT);
    assert_string_equal(f.out.data, "kept");
    tear_down(&f);
}

static covey_status allocation_step(const covey__env *env, void *user, covey_error *error) {
    static const char text[] = "{\"b\":{\"d\":[1,{\"e\":2}],\"c\":3},\"a\":4}";
    covey__arena arena;
    covey__buffer out;
    const covey__json *root;
    (void)user;
    covey__arena_init(&arena, env, 1u << 20);
    covey__buffer_init(&out, env, 1u << 20);
    covey_status status =
        covey__json_parse(&arena, text, strlen(text), COVEY__JSON_LIMITS_DEFAULT, &root, error);
    if (status == COVEY_OK) status = covey__canonical_json(root, &out, error);
    if (status == COVEY_OK)
        assert_string_equal(out.data, "{\"a\":4,\"b\":{\"c\":3,\"d\":[1,{\"e\":2}]}}");
    covey__buffer_free(&out);
    covey__arena_free(&arena);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(allocation_step, NULL) > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_olpc_form),  cmocka_unit_test(sorts_by_code_point),
        cmocka_unit_test(keeps_a_nul),           cmocka_unit_test(keeps_integers_as_written),
        cmocka_unit_test(bounds_depth_and_size), cmocka_unit_test(survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
