/* Needs against a platform: each one alone is refused, with what is here and what would help. */
#include "support/support.h"

#include "base/semver.h"
#include "bundle/manifest.h"

#include <stdio.h>
#include <string.h>

#define D1 "1111111111111111111111111111111111111111111111111111111111111111"

static covey__manifest *manifest_with(test_env *test, const char *needs, const char *parts) {
    char text[2000];
    covey__manifest *manifest;
    covey_error error = {0};
    snprintf(text, sizeof text,
             "{\"format\":1,\"name\":\"a\",\"version\":\"1.0.0\",\"variant\":\"v\",\"components\":["
             "{\"role\":\"model\",\"file\":\"m\",\"size\":1,\"sha256\":\"" D1
             "\"}%s],\"needs\":%s}",
             parts, needs);
    covey_status status = covey__manifest_parse(&test->env, text, strlen(text), &manifest, &error);
    if (status != COVEY_OK) fail_msg("%s", error.message);
    return manifest;
}

static const covey__platform platform = {.engine_interface = 1,
                                         .arithmetic_version_max = 1,
                                         .app_version = "2.1.0",
                                         .os = "linux",
                                         .os_version = "5.10.0",
                                         .memory_total_bytes = 1000000};

static void check(const char *needs, const char *parts, covey_status expected, const char *says) {
    test_env test;
    covey_error error = {0};
    test_env_init(&test);
    covey__manifest *manifest = manifest_with(&test, needs, parts);
    covey_status status = covey__manifest_check_needs(manifest, &platform, &error);
    if (status != expected || (says != NULL && strstr(error.message, says) == NULL))
        fail_msg("%s: found %s: %s", needs, covey_status_name(status), error.message);
    covey__manifest_free(manifest);
    assert_int_equal(test.alive, 0);
}

#define N(rest) "{\"memory_bytes\":1,\"engine_interface\":1,\"arithmetic_version\":1" rest "}"

static void each_need_is_held(void **state) {
    (void)state;
    check(N(""), "", COVEY_OK, NULL);
    check(N(",\"app\":\">=2.0.0 <3.0.0\",\"os\":{\"linux\":\">=4.0.0\"}"), "", COVEY_OK, NULL);
    check(N(",\"app\":\">=3.0.0\""), "", COVEY_ERROR_UNSUPPORTED, "2.1.0");
    check(N(",\"os\":{\"linux\":\">=6.0.0\"}"), "", COVEY_ERROR_UNSUPPORTED, "needs.os.linux");
    check(N(",\"os\":{\"android\":\"*\"}"), "", COVEY_ERROR_UNSUPPORTED, "needs.os");
    check("{\"memory_bytes\":1000000,\"engine_interface\":1,\"arithmetic_version\":1}", "",
          COVEY_OK, NULL);
    check("{\"memory_bytes\":1000001,\"engine_interface\":1,\"arithmetic_version\":1}", "",
          COVEY_ERROR_UNSUPPORTED, "1000001");
    check("{\"memory_bytes\":1,\"engine_interface\":2,\"arithmetic_version\":1}", "",
          COVEY_ERROR_UNSUPPORTED, "needs.engine_interface");
    check("{\"memory_bytes\":1,\"engine_interface\":1,\"arithmetic_version\":2}", "",
          COVEY_ERROR_UNSUPPORTED, "needs.arithmetic_version");
}

static void components_that_cannot_be_used_are_refused_unless_optional(void **state) {
    (void)state;
#define INDEX(more) ",{\"role\":\"index\",\"file\":\"a\",\"size\":1,\"sha256\":\"" D1 "\"" more "}"
    check(N(""), INDEX(""), COVEY_ERROR_UNSUPPORTED, "component \"index\" (a)");
    check(N(""), INDEX(",\"optional\":true"), COVEY_OK, NULL);
    check(N(""),
          ",{\"role\":\"adapter\",\"file\":\"a\",\"size\":1,\"sha256\":\"" D1
          "\",\"base_sha256\":\"" D1 "\"}",
          COVEY_OK, NULL);
}

static void unknown_facts_refuse_nothing(void **state) {
    (void)state;
    test_env test;
    covey_error error = {0};
    covey__platform unknown = platform;
    unknown.app_version = NULL;
    unknown.memory_total_bytes = -1;
    test_env_init(&test);
    covey__manifest *manifest = manifest_with(
        &test,
        "{\"memory_bytes\":99999999999,\"engine_interface\":1,\"arithmetic_version\":1,\"app\":"
        "\">=9.0.0\"}",
        "");
    assert_int_equal(covey__manifest_check_needs(manifest, &unknown, &error), COVEY_OK);
    covey__manifest_free(manifest);
}

static void the_default_platform_is_this_one(void **state) {
    (void)state;
    covey__platform here;
    char version[32];
    covey__platform_default(&here, version);
    assert_true(covey__semver_valid(here.os_version));
    assert_true(here.memory_total_bytes > 0);
    assert_null(here.app_version);
    assert_int_equal(here.engine_interface, COVEY__ENGINE_INTERFACE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_need_is_held),
        cmocka_unit_test(components_that_cannot_be_used_are_refused_unless_optional),
        cmocka_unit_test(unknown_facts_refuse_nothing),
        cmocka_unit_test(the_default_platform_is_this_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
