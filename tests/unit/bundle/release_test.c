/* Release documents: reading, choosing a variant, and what does not belong together. */
#include "ensemble_folder.h"

#include "bundle/release.h"

#define D1 "1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "2222222222222222222222222222222222222222222222222222222222222222"
#define COMPONENT                                                                                  \
    "{\"sha256\":\"" D1 "\",\"size\":100,\"stored_size\":90,\"index\":{\"sha256\":\"" D2           \
    "\",\"size\":56}}"
#define VARIANT(name, classes)                                                                     \
    "{\"variant\":\"" name "\",\"classes\":" classes ",\"manifest\":{\"sha256\":\"" D2             \
    "\",\"size\":500},\"components\":[" COMPONENT "]}"
#define RELEASE(variants)                                                                          \
    "{\"format\":1,\"requires\":[],\"name\":\"assistant\",\"version\":\"1.0.0\",\"variants\":"     \
    "[" variants "]}"

static const char two[] = RELEASE(VARIANT("q8_0", "[\"large\",\"medium\"]") "," VARIANT(
    "q4_0", "[\"small\",\"watch\",\"medium\"]"));

static covey_status parse(const char *text, covey__release **release, covey_error *error) {
    static test_env test;
    test_env_init(&test);
    memset(error, 0, sizeof *error);
    return covey__release_parse(&test.env, text, strlen(text), release, error);
}

static void the_first_variant_for_a_class_is_chosen(void **state) {
    (void)state;
    covey__release *release;
    covey_error error;
    assert_int_equal(parse(two, &release, &error), COVEY_OK);
    assert_string_equal(release->name, "assistant");
    assert_int_equal(release->variant_count, 2);
    assert_string_equal(covey__release_choose(release, "large")->variant, "q8_0");
    assert_string_equal(covey__release_choose(release, "medium")->variant, "q8_0");
    assert_string_equal(covey__release_choose(release, "small")->variant, "q4_0");
    assert_null(covey__release_choose(release, "tiny"));
    assert_int_equal(release->variants[0].components[0].stored_size, 90);
    assert_int_equal(release->variants[0].components[0].index_size, 56);
    covey__release_free(release);
}

static void wrong_ones_name_their_field(void **state) {
    (void)state;
    static const struct {
        const char *text;
        covey_status status;
        const char *says;
    } cases[] = {
        {"{}", COVEY_ERROR_FORMAT, "format"},
        {"{\"format\":7}", COVEY_ERROR_UNSUPPORTED, "format"},
        {RELEASE(""), COVEY_ERROR_FORMAT, "variants"},
        {RELEASE(VARIANT("a", "[]")), COVEY_ERROR_FORMAT, "variants[0].classes"},
        {RELEASE(VARIANT("a", "[3]")), COVEY_ERROR_FORMAT, "variants[0].classes"},
        {RELEASE(VARIANT("a", "[\"x\"]") "," VARIANT("a", "[\"y\"]")), COVEY_ERROR_FORMAT,
         "variants[1].variant"},
        {RELEASE("{\"variant\":\"a\",\"classes\":[\"x\"],\"manifest\":{\"sha256\":\"" D2
                 "\",\"size\":9999999},\"components\":[" COMPONENT "]}"),
         COVEY_ERROR_LIMIT, "variants[0].manifest.size"},
        {RELEASE("{\"variant\":\"a\",\"classes\":[\"x\"],\"manifest\":{\"sha256\":\"" D2
                 "\",\"size\":9},\"components\":[{\"sha256\":\"" D1
                 "\",\"size\":1,\"stored_size\":2,\"index\":{\"sha256\":\"" D2
                 "\",\"size\":56}}]}"),
         COVEY_ERROR_FORMAT, "variants[0].components[0].stored_size"},
        {RELEASE("{\"variant\":\"a\",\"classes\":[\"x\"],\"manifest\":{\"sha256\":\"" D2
                 "\",\"size\":9},\"components\":[{\"sha256\":\"" D1
                 "\",\"size\":1,\"stored_size\":1,\"index\":{\"sha256\":\"" D2
                 "\",\"size\":99999999}}]}"),
         COVEY_ERROR_LIMIT, "variants[0].components[0].index.size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        covey__release *release;
        covey_error error;
        covey_status status = parse(cases[i].text, &release, &error);
        if (status != cases[i].status || strstr(error.message, cases[i].says) == NULL)
            fail_msg("case %zu: found %s: %s", i, covey_status_name(status), error.message);
        assert_null(release);
    }
}

static covey_status parse_step(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    covey__release *release;
    covey_status status = covey__release_parse(env, two, strlen(two), &release, error);
    covey__release_free(release);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(parse_step, NULL) >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_variant_for_a_class_is_chosen),
        cmocka_unit_test(wrong_ones_name_their_field),
        cmocka_unit_test(survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
