/* Steering: what is read, what may follow, and a table of judgements. */
#include "support/support.h"

#include "bundle/steering.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHO "\"reason\":\"it is bad\",\"author\":\"ops\",\"issued\":\"2026-11-20T10:00:00Z\""

static const covey__steering_device small = {"small", "0123456789abcdef0123456789abcdef", "1.5.0"};

static covey_status parse(const covey__env *env, int64_t serial, const char *statements,
                          covey__steering **out, covey_error *error) {
    char text[8192];
    snprintf(text, sizeof text,
             "{\"format\":1,\"product\":\"assistant\",\"serial\":%lld,\"statements\":[%s]}",
             (long long)serial, statements);
    return covey__steering_parse(env, text, strlen(text), out, error);
}

static covey__steering *read(const covey__env *env, int64_t serial, const char *statements) {
    covey__steering *steering = NULL;
    covey_error error = {0};
    if (parse(env, serial, statements, &steering, &error)) fail_msg("%s", error.message);
    return steering;
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *statement, *says;
    } cases[] = {
        {"{\"id\":\"k\",\"kind\":\"kill\",\"versions\":\">=1.0.0\"," WHO "}", "upper bound"},
        {"{\"id\":\"k\",\"kind\":\"kill\",\"versions\":\"*\"," WHO "}", "upper bound"},
        {"{\"id\":\"k\",\"kind\":\"kill\"," WHO "}", "statements[0].versions"},
        {"{\"id\":\"k\",\"kind\":\"kill\",\"versions\":\"<1\"," WHO "}", "no range"},
        {"{\"id\":\"k/1\",\"kind\":\"kill\",\"versions\":\"<1.0.0\"," WHO "}", "statements[0].id"},
        {"{\"id\":\"m\",\"kind\":\"minimum\",\"version\":\"1.0\"," WHO "}", "no semantic version"},
        {"{\"id\":\"m\",\"kind\":\"minimum\",\"version\":\"1.0.0\"}", "statements[0].reason"},
        {"{\"id\":\"p\",\"kind\":\"pin\"," WHO "}", "statements[0].version"},
        {"{\"id\":\"f\",\"kind\":\"flag\",\"flag\":\"a b\"," WHO "}", "statements[0].flag"},
        {"{\"id\":\"e\",\"kind\":\"end-of-support\",\"versions\":\"*\",\"at\":\"soon\"," WHO "}",
         "statements[0].at"},
        {"{\"id\":\"p\",\"kind\":\"pin\",\"version\":\"1.0.0\",\"cohort\":{\"salt\":\"00\","
         "\"percent\":1}," WHO "}",
         "cohort.salt"},
        {"{\"id\":\"p\",\"kind\":\"pin\",\"version\":\"1.0.0\",\"cohort\":{\"salt\":"
         "\"00112233445566778899aabbccddeeff\",\"percent\":101}," WHO "}",
         "cohort.percent"},
        {"{\"id\":\"p\",\"kind\":\"pin\",\"version\":\"1.0.0\",\"classes\":[]," WHO "}", "classes"},
        {"{\"id\":\"p\",\"kind\":\"pin\",\"version\":\"1.0.0\"," WHO "},"
         "{\"id\":\"p\",\"kind\":\"pin\",\"version\":\"1.0.0\"," WHO "}",
         "stands twice"},
        {"7", "statements[0]"},
    };
    test_env env;
    test_env_init(&env);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__steering *steering = NULL;
        covey_error error = {0};
        assert_int_equal(parse(&env.env, 1, cases[i].statement, &steering, &error),
                         COVEY_ERROR_FORMAT);
        if (!strstr(error.message, cases[i].says)) fail_msg("%zu: %s", i, error.message);
        assert_null(steering);
    }
    assert_int_equal(env.alive, 0);
}

static void newer_formats(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"format\":2,\"product\":\"a\",\"serial\":1,\"statements\":[]}",
        "{\"format\":1,\"requires\":[\"x\"],\"product\":\"a\",\"serial\":1,\"statements\":[]}"};
    test_env env;
    test_env_init(&env);
    for (size_t i = 0; i < 2; i++) {
        covey__steering *steering = NULL;
        assert_int_equal(
            covey__steering_parse(&env.env, texts[i], strlen(texts[i]), &steering, NULL),
            COVEY_ERROR_UNSUPPORTED);
    }
    covey__steering *unknown = read(&env.env, 1, "{\"id\":\"n\",\"kind\":\"nudge\"}");
    assert_int_equal(unknown->statement_count, 1);
    assert_int_equal(unknown->statements[0].kind, COVEY__STEERING_UNKNOWN);
    covey__steering_free(unknown);
    assert_int_equal(env.alive, 0);
}

#define KILL_12 "{\"id\":\"k\",\"kind\":\"kill\",\"versions\":\"=1.2.0\"," WHO "}"
#define KILL_13 "{\"id\":\"k\",\"kind\":\"kill\",\"versions\":\"=1.3.0\"," WHO "}"
#define MINIMUM "{\"id\":\"m\",\"kind\":\"minimum\",\"version\":\"1.1.0\"," WHO "}"
#define PIN     "{\"id\":\"p\",\"kind\":\"pin\",\"version\":\"1.2.0\"," WHO "}"

static void succession(void **state) {
    (void)state;
    static const struct {
        const char *held, *next;
        int64_t serial;
        covey_status status;
    } cases[] = {
        {KILL_12, KILL_12 "," PIN, 6, COVEY_OK},
        {KILL_12 "," PIN, KILL_12, 6, COVEY_OK},
        {KILL_12, MINIMUM "," KILL_12, 9, COVEY_OK},
        {KILL_12, KILL_12, 5, COVEY_ERROR_EXISTS},
        {KILL_12, KILL_12 "," PIN, 4, COVEY_ERROR_DENIED},
        {KILL_12, "", 6, COVEY_ERROR_DENIED},
        {KILL_12, KILL_13, 6, COVEY_ERROR_DENIED},
        {MINIMUM, PIN, 6, COVEY_ERROR_DENIED},
    };
    test_env env;
    test_env_init(&env);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__steering *held = read(&env.env, 5, cases[i].held);
        covey__steering *next = read(&env.env, cases[i].serial, cases[i].next);
        if (covey__steering_follows(held, next, NULL) != cases[i].status) fail_msg("case %zu", i);
        assert_int_equal(covey__steering_follows(NULL, next, NULL), COVEY_OK);
        covey__steering_free(held);
        covey__steering_free(next);
    }
    assert_int_equal(env.alive, 0);
}

/* Upwards is free; what a statement narrows is not. */
static void installing(void **state) {
    (void)state;
    static const struct {
        const char *statements, *from, *to, *variant;
        bool allowed;
    } cases[] = {
        {"", "1.0.0", "1.1.0", "q8", true},
        {"", "", "0.0.1", "q8", true},
        {"", "1.1.0", "1.0.0", "q8", false},
        {KILL_12, "1.0.0", "1.2.0", "q8", false},
        {KILL_12, "1.0.0", "1.2.1", "q8", true},
        {"{\"id\":\"k\",\"kind\":\"kill\",\"versions\":\"=1.2.0\",\"variants\":[\"q4\"]," WHO "}",
         "1.0.0", "1.2.0", "q8", true},
        {"{\"id\":\"k\",\"kind\":\"kill\",\"versions\":\"=1.2.0\",\"variants\":[\"q4\"]," WHO "}",
         "1.0.0", "1.2.0", "q4", false},
        {MINIMUM, "", "1.0.9", "q8", false},
        {MINIMUM, "", "1.1.0", "q8", true},
        {PIN, "1.0.0", "1.2.0", "q8", true},
        {PIN, "1.0.0", "1.2.1", "q8", false},
        {"{\"id\":\"d\",\"kind\":\"downgrade\",\"versions\":\"=1.2.0\",\"version\":\"1.1.0\"," WHO
         "}",
         "1.2.0", "1.1.0", "q8", true},
        {"{\"id\":\"d\",\"kind\":\"downgrade\",\"versions\":\"=1.2.0\",\"version\":\"1.1.0\"," WHO
         "}",
         "1.2.0", "1.0.0", "q8", false},
        {"{\"id\":\"d\",\"kind\":\"downgrade\",\"versions\":\"=1.2.0\",\"version\":\"1.1.0\"," WHO
         "}",
         "1.3.0", "1.1.0", "q8", false},
        {"{\"id\":\"d\",\"kind\":\"downgrade\",\"versions\":\"*\",\"version\":\"1.0.0\"," WHO
         "}," MINIMUM,
         "1.2.0", "1.0.0", "q8", false},
    };
    test_env env;
    test_env_init(&env);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__steering *steering = read(&env.env, 1, cases[i].statements);
        covey_error error = {0};
        covey_status status = covey__steering_may_install(steering, &small, cases[i].from,
                                                          cases[i].to, cases[i].variant, &error);
        if ((status == COVEY_OK) != cases[i].allowed) fail_msg("case %zu: %s", i, error.message);
        if (status) assert_int_equal(status, COVEY_ERROR_DENIED);
        covey__steering_free(steering);
    }
    assert_int_equal(covey__steering_may_install(NULL, &small, "1.0.0", "1.1.0", "q", NULL), 0);
    assert_int_equal(env.alive, 0);
}

static void returning(void **state) {
    (void)state;
    test_env env;
    test_env_init(&env);
    covey_error error = {0};
    covey__steering *steering = read(&env.env, 1, KILL_12 "," MINIMUM);
    assert_int_equal(covey__steering_may_return(steering, &small, "1.1.0", "q", false, NULL), 0);
    assert_int_equal(covey__steering_may_return(steering, &small, "1.2.0", "q", false, &error),
                     COVEY_ERROR_DENIED);
    assert_string_equal(error.message, "steering k: stops version 1.2.0: it is bad");
    assert_int_equal(covey__steering_may_return(steering, &small, "1.0.0", "q", false, NULL),
                     COVEY_ERROR_DENIED);
    assert_int_equal(covey__steering_may_return(steering, &small, "1.0.0", "q", true, NULL), 0);
    assert_int_equal(covey__steering_may_return(steering, &small, "1.2.0", "q", true, NULL),
                     COVEY_ERROR_DENIED);
    covey__steering_free(steering);
    assert_int_equal(env.alive, 0);
}

/* Class, app and cohort must all fit; a device without an id is in every narrowing cohort. */
static void scope(void **state) {
    (void)state;
    static const struct {
        const char *scope;
        bool holds, holds_without_id;
    } cases[] = {
        {"\"classes\":[\"small\",\"tiny\"]", true, true},
        {"\"classes\":[\"large\"]", false, false},
        {"\"app\":\">=1.5.0\"", true, true},
        {"\"app\":\">=1.5.1\"", false, false},
        {"\"cohort\":{\"salt\":\"00112233445566778899aabbccddeeff\",\"percent\":100}", true, true},
        {"\"cohort\":{\"salt\":\"00112233445566778899aabbccddeeff\",\"percent\":0}", false, true},
        {"\"classes\":[\"large\"],\"cohort\":{\"salt\":\"00112233445566778899aabbccddeeff\","
         "\"percent\":100}",
         false, false},
    };
    covey__steering_device nameless = small;
    nameless.device_id = "";
    test_env env;
    test_env_init(&env);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"id\":\"f\",\"kind\":\"flag\",\"flag\":\"cloud\",%s,%s}",
                 WHO, cases[i].scope);
        covey__steering *steering = read(&env.env, 1, text);
        bool holds = covey__steering_flag_off(steering, &small, "cloud") != NULL;
        if (holds != cases[i].holds) fail_msg("case %zu", i);
        holds = covey__steering_flag_off(steering, &nameless, "cloud") != NULL;
        if (holds != cases[i].holds_without_id) fail_msg("case %zu without id", i);
        assert_null(covey__steering_flag_off(steering, &small, "other"));
        covey__steering_free(steering);
    }
    covey__steering *down =
        read(&env.env, 1,
             "{\"id\":\"d\",\"kind\":\"downgrade\",\"versions\":\"*\",\"version\":\"1.0.0\","
             "\"cohort\":{\"salt\":\"00112233445566778899aabbccddeeff\",\"percent\":100}," WHO "}");
    assert_int_equal(covey__steering_may_install(down, &small, "1.1.0", "1.0.0", "q", NULL), 0);
    assert_int_equal(covey__steering_may_install(down, &nameless, "1.1.0", "1.0.0", "q", NULL),
                     COVEY_ERROR_DENIED);
    covey__steering_free(down);
    assert_int_equal(env.alive, 0);
}

static void strongest_wins(void **state) {
    (void)state;
    test_env env;
    test_env_init(&env);
    covey__steering *steering =
        read(&env.env, 1,
             "{\"id\":\"m1\",\"kind\":\"minimum\",\"version\":\"1.9.0\"," WHO "},"
             "{\"id\":\"m2\",\"kind\":\"minimum\",\"version\":\"1.10.0\"," WHO "},"
             "{\"id\":\"p1\",\"kind\":\"pin\",\"version\":\"1.12.0\"," WHO "},"
             "{\"id\":\"p2\",\"kind\":\"pin\",\"version\":\"1.11.0\"," WHO "},"
             "{\"id\":\"e1\",\"kind\":\"end-of-support\",\"versions\":\"<2.0.0\",\"at\":"
             "\"2027-06-01T00:00:00Z\"," WHO "},"
             "{\"id\":\"e2\",\"kind\":\"end-of-support\",\"versions\":\"<1.5.0\",\"at\":"
             "\"2027-03-01T00:00:00Z\"," WHO "}");
    assert_string_equal(covey__steering_minimum(steering, &small)->id, "m2");
    assert_string_equal(covey__steering_pinned(steering, &small)->id, "p2");
    assert_string_equal(covey__steering_end_of_support(steering, &small, "1.0.0")->id, "e2");
    assert_string_equal(covey__steering_end_of_support(steering, &small, "1.6.0")->id, "e1");
    assert_null(covey__steering_end_of_support(steering, &small, "2.0.0"));
    covey__steering_free(steering);
    assert_int_equal(env.alive, 0);
}

static covey_status parse_step(const covey__env *env, void *user, covey_error *error) {
    covey__steering *steering = NULL;
    (void)user;
    covey_status status = parse(env, 1, KILL_12 "," PIN, &steering, error);
    covey__steering_free(steering);
    return status;
}

static void memory_runs_out(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(parse_step, NULL) > 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),        cmocka_unit_test(newer_formats),
        cmocka_unit_test(succession),     cmocka_unit_test(installing),
        cmocka_unit_test(returning),      cmocka_unit_test(scope),
        cmocka_unit_test(strongest_wins), cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
