/* Checked members: what each takes, and how a format may grow. */
#include "support/support.h"

#include "bundle/fields.h"

#include <string.h>

typedef struct fixture {
    test_env test;
    covey__arena arena;
} fixture;

static int set_up(void **state) {
    static fixture f;
    test_env_init(&f.test);
    covey__arena_init(&f.arena, &f.test.env, 1u << 20);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    covey__arena_free(&f->arena);
    assert_int_equal(f->test.alive, 0);
    return 0;
}

static const covey__json *parse(fixture *f, const char *text) {
    const covey__json *root;
    covey_error error;
    assert_int_equal(
        covey__json_parse(&f->arena, text, strlen(text), COVEY__JSON_LIMITS_DEFAULT, &root, &error),
        COVEY_OK);
    return root;
}

static void digests_are_lower_case_and_whole(void **state) {
    fixture *f = *state;
    uint8_t digest[32];
    covey_error error;
    static const char good[] =
        "{\"d\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}";
    assert_int_equal(covey__field_digest(parse(f, good), "d", "x.d", digest, &error), COVEY_OK);
    assert_int_equal(digest[31], 0xff);
    static const char *const wrong[] = {
        "{\"d\":\"00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff\"}",
        "{\"d\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddee\"}",
        "{\"d\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00\"}",
        "{\"d\":\"g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}",
        "{\"d\":\"\"}",
        "{\"d\":7}",
        "{}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(covey__field_digest(parse(f, wrong[i]), "d", "x.d", digest, &error),
                         COVEY_ERROR_FORMAT);
        assert_non_null(strstr(error.message, "x.d"));
    }
}

static void sizes_are_integers_that_every_reader_keeps(void **state) {
    fixture *f = *state;
    covey_error error;
    uint64_t size;
    assert_int_equal(
        covey__field_size(parse(f, "{\"s\":9007199254740991}"), "s", "s", &size, &error), COVEY_OK);
    assert_int_equal(size, COVEY__JSON_INTEGER_MAX);
    static const char *const wrong[] = {"{\"s\":9007199254740992}", "{\"s\":-1}", "{\"s\":0.5}",
                                        "{\"s\":\"1\"}", "{\"s\":1e99}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(covey__field_size(parse(f, wrong[i]), "s", "s", &size, &error),
                         COVEY_ERROR_FORMAT);
}

static void a_format_grows_by_what_it_requires(void **state) {
    fixture *f = *state;
    static const struct {
        const char *text;
        covey_status status;
    } cases[] = {
        {"{\"format\":3}", COVEY_OK},
        {"{\"format\":3,\"requires\":[],\"more\":1}", COVEY_OK},
        {"{\"format\":4}", COVEY_ERROR_UNSUPPORTED},
        {"{\"format\":2}", COVEY_ERROR_UNSUPPORTED},
        {"{\"format\":3,\"requires\":[\"x\"]}", COVEY_ERROR_UNSUPPORTED},
        {"{\"format\":3,\"requires\":[1]}", COVEY_ERROR_FORMAT},
        {"{\"format\":3,\"requires\":{}}", COVEY_ERROR_FORMAT},
        {"{\"format\":\"3\"}", COVEY_ERROR_FORMAT},
        {"{}", COVEY_ERROR_FORMAT},
        {"3", COVEY_ERROR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        covey_error error;
        assert_int_equal(covey__field_format(parse(f, cases[i].text), 3, &error), cases[i].status);
    }
}

static void lists_versions_ranges_and_names(void **state) {
    fixture *f = *state;
    covey_error error;
    const covey__json *list;
    const char *text;
    const covey__json *root = parse(
        f, "{\"l\":[1,2],\"e\":[],\"v\":\"1.0.0\",\"w\":\"1.0\",\"r\":\">=1.0.0\",\"q\":\"~1\","
           "\"n\":\"a-b\",\"m\":\"a b\",\"z\":\"a\\u0000b\"}");
    assert_int_equal(covey__field_list(root, "l", "l", 2, &list, &error), COVEY_OK);
    assert_int_equal(covey__field_list(root, "l", "l", 1, &list, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__field_list(root, "e", "e", 1, &list, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__field_version(root, "v", "v", &text, &error), COVEY_OK);
    assert_int_equal(covey__field_version(root, "w", "w", &text, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__field_range(root, "r", "r", &text, &error), COVEY_OK);
    assert_int_equal(covey__field_range(root, "q", "q", &text, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__field_range(root, "absent", "x", &text, &error), COVEY_OK);
    assert_string_equal(text, "*");
    assert_int_equal(covey__field_name(root, "n", "n", &text, &error), COVEY_OK);
    assert_int_equal(covey__field_name(root, "m", "m", &text, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(covey__field_name(root, "z", "z", &text, &error), COVEY_ERROR_FORMAT);
}

static void a_long_path_is_cut(void **state) {
    (void)state;
    char path[COVEY__FIELD_PATH_SIZE], name[300];
    memset(name, 'x', sizeof name);
    name[299] = '\0';
    covey__field_path(path, "a[%d].%s", 3, name);
    assert_int_equal(strlen(path), COVEY__FIELD_PATH_SIZE - 1);
    assert_memory_equal(path, "a[3].xxx", 8);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(digests_are_lower_case_and_whole),
        T(sizes_are_integers_that_every_reader_keeps),
        T(a_format_grows_by_what_it_requires),
        T(lists_versions_ranges_and_names),
        T(a_long_path_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
