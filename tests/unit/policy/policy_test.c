/* The policy: defaults, strictness, and a table of decisions. */
#include "support/support.h"

#include "policy/policy.h"

#include <stdio.h>
#include <string.h>

static covey_status parse(const char *text, covey__policy *policy, covey_error *error) {
    test_env test;
    test_env_init(&test);
    memset(error, 0, sizeof *error);
    covey_status status = covey__policy_parse(&test.env, text, strlen(text), policy, error);
    assert_int_equal(test.alive, 0);
    return status;
}

/* Field by field: padding has no value. */
static void assert_same(const covey__policy *a, const covey__policy *b) {
    assert_int_equal(a->update_enabled, b->update_enabled);
    assert_int_equal(a->update_on_metered, b->update_on_metered);
    assert_int_equal(a->update_metered_bytes_max, b->update_metered_bytes_max);
    assert_int_equal(a->update_only_charging, b->update_only_charging);
    assert_int_equal(a->update_battery_min_percent, b->update_battery_min_percent);
    assert_int_equal(a->update_thermal_max_percent, b->update_thermal_max_percent);
    assert_int_equal(a->drain_deadline_ms, b->drain_deadline_ms);
}

static void settings_left_out_have_their_defaults(void **state) {
    (void)state;
    covey__policy policy, defaults;
    covey_error error;
    covey__policy_init(&defaults);
    assert_int_equal(parse("{\"format\":1}", &policy, &error), COVEY_OK);
    assert_same(&policy, &defaults);
    assert_int_equal(
        parse("{\"format\":1,\"update\":{\"on_metered\":true},\"drain\":{}}", &policy, &error),
        COVEY_OK);
    assert_true(policy.update_on_metered);
    assert_true(policy.update_enabled);
    assert_int_equal(policy.drain_deadline_ms, 600000);
}

static void round_trip(void **state) {
    (void)state;
    static const char text[] =
        "{\"format\":1,\"update\":{\"enabled\":false,\"on_metered\":true,\"metered_bytes_max\":5,"
        "\"only_charging\":true,\"battery_min_percent\":33,\"thermal_max_percent\":44},"
        "\"drain\":{\"deadline_ms\":77}}";
    test_env test;
    covey__policy policy, again;
    covey_error error;
    covey__buffer out;
    test_env_init(&test);
    assert_int_equal(parse(text, &policy, &error), COVEY_OK);
    assert_false(policy.update_enabled);
    assert_int_equal(policy.update_metered_bytes_max, 5);
    assert_int_equal(policy.update_battery_min_percent, 33);
    assert_int_equal(policy.update_thermal_max_percent, 44);
    assert_int_equal(policy.drain_deadline_ms, 77);
    covey__buffer_init(&out, &test.env, COVEY__POLICY_BYTES_MAX);
    assert_int_equal(covey__policy_write(&policy, &out, &error), COVEY_OK);
    assert_int_equal(parse(out.data, &again, &error), COVEY_OK);
    assert_same(&policy, &again);
    covey__buffer_free(&out);
}

static void what_is_not_understood_is_refused_and_changes_nothing(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "policy"},
        {"[]", "object"},
        {"{}", "format"},
        {"{\"format\":2}", "format"},
        {"{\"format\":1,\"updates\":{}}", "updates"},
        {"{\"format\":1,\"update\":{\"on_meterd\":true}}", "on_meterd"},
        {"{\"format\":1,\"update\":{\"on_metered\":1}}", "update.on_metered"},
        {"{\"format\":1,\"update\":{\"enabled\":null}}", "update.enabled"},
        {"{\"format\":1,\"update\":{\"battery_min_percent\":101}}", "battery_min_percent"},
        {"{\"format\":1,\"update\":{\"battery_min_percent\":-1}}", "battery_min_percent"},
        {"{\"format\":1,\"update\":{\"metered_bytes_max\":-1}}", "metered_bytes_max"},
        {"{\"format\":1,\"update\":[]}", "update"},
        {"{\"format\":1,\"drain\":{\"deadline_ms\":\"10\"}}", "drain.deadline_ms"},
        {"{\"format\":1,\"drain\":{\"deadline_ms\":604800001}}", "drain.deadline_ms"},
        {"{\"format\":1,\"drain\":{\"grace\":1}}", "grace"},
        {"{\"format\":1,\"features\":{\"on\":[]}}", "on"},
        {"{\"format\":1,\"features\":{\"all\":0}}", "features.all"},
        {"{\"format\":1,\"features\":{\"off\":[\"a b\"]}}", "features.off"},
        {"{\"format\":1,\"features\":{\"off\":[\"\"]}}", "features.off"},
        {"{\"format\":1,\"features\":{\"off\":[\"a\\u0000\"]}}", "features.off"},
        {"{\"format\":1,\"degrade\":{\"to\":\"on\"}}", "degrade.to"},
        {"{\"format\":1,\"degrade\":{\"features\":{\"a\":1}}}", "degrade.features"},
        {"{\"format\":1,\"degrade\":{\"features\":{\"a/b\":\"off\"}}}", "degrade.features"},
        {"{\"format\":1,\"leaves\":{\"words\":true}}", "leaves.words"},
        {"{\"format\":1,\"leaves\":{\"to\":[\"http://x\"]}}", "leaves.to"},
        {"{\"format\":1,\"consent\":{\"given\":true}}", "given"},
    };
    covey__policy before;
    memset(&before, 0x5a, sizeof before);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        covey__policy policy;
        memcpy(&policy, &before, sizeof policy);
        covey_error error;
        covey_status status = parse(cases[i].text, &policy, &error);
        if (status == COVEY_OK || strstr(error.message, cases[i].says) == NULL)
            fail_msg("case %zu: found %s: %s", i, covey_status_name(status), error.message);
        assert_memory_equal(&policy, &before, sizeof policy);
    }
}

static void decisions(void **state) {
    (void)state;
    enum { unknown = -1, metered = COVEY_NETWORK_METERED, free_link = COVEY_NETWORK_UNMETERED };
    static const struct {
        const char *policy;
        int32_t battery, charging, network, thermal;
        uint64_t bytes;
        bool allowed;
        const char *rule;
    } cases[] = {
        {"{}", -1, -1, unknown, -1, 1, true, "default"},
        {"{}", -1, -1, COVEY_NETWORK_NONE, -1, 1, true, "default"},
        {"{}", 50, 0, free_link, 10, 1, true, "default"},
        {"{}", 50, 0, metered, 10, 1, false, "update.on_metered"},
        {"{}", 50, 0, metered, 10, 0, true, "update.metered_bytes_max"},
        {"{\"on_metered\":true}", 50, 0, metered, 10, 1, true, "update.on_metered"},
        {"{\"metered_bytes_max\":100}", 50, 0, metered, 10, 100, true, "update.metered_bytes_max"},
        {"{\"metered_bytes_max\":100}", 50, 0, metered, 10, 101, false, "update.on_metered"},
        {"{\"enabled\":false}", 100, 1, free_link, 0, 1, false, "update.enabled"},
        {"{}", 19, 0, free_link, 10, 1, false, "update.battery_min_percent"},
        {"{}", 20, 0, free_link, 10, 1, true, "default"},
        {"{}", 19, 1, free_link, 10, 1, true, "default"},
        {"{}", 19, -1, free_link, 10, 1, false, "update.battery_min_percent"},
        {"{\"only_charging\":true}", 100, 0, free_link, 10, 1, false, "update.only_charging"},
        {"{\"only_charging\":true}", 100, 1, free_link, 10, 1, true, "default"},
        {"{\"only_charging\":true}", -1, -1, free_link, 10, 1, true, "default"},
        {"{}", 50, 1, free_link, 81, 1, false, "update.thermal_max_percent"},
        {"{}", 50, 1, free_link, 80, 1, true, "default"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        covey__policy policy;
        covey_error error;
        covey_device_facts facts = COVEY_DEVICE_FACTS_INIT;
        covey__policy_decision decision;
        strcpy(text, "{\"format\":1,\"update\":");
        strcat(text, cases[i].policy);
        strcat(text, "}");
        assert_int_equal(parse(text, &policy, &error), COVEY_OK);
        facts.battery_percent = cases[i].battery;
        facts.charging = cases[i].charging;
        facts.network = cases[i].network;
        facts.thermal_percent = cases[i].thermal;
        covey__policy_may_fetch(&policy, &facts, cases[i].bytes, &decision);
        if (decision.allowed != cases[i].allowed || strcmp(decision.rule, cases[i].rule) != 0)
            fail_msg("case %zu: %s by %s: %s", i, decision.allowed ? "allowed" : "held back",
                     decision.rule, decision.reason);
        assert_true(strlen(decision.reason) > 5);
    }
}

static void what_the_user_switched_off_stays_off_when_written(void **state) {
    (void)state;
    static const char text[] =
        "{\"format\":1,\"features\":{\"all\":false,\"off\":[\"search\",\"voice\"]},"
        "\"degrade\":{\"features\":{\"search\":\"off\"}},\"consent\":{\"ask\":false},"
        "\"leaves\":{\"words\":\"redacted\",\"numbers\":true,\"to\":[\"a.example:443\"]}}";
    test_env test;
    covey__policy policy, again;
    covey_error error;
    covey__buffer out;
    test_env_init(&test);
    assert_int_equal(parse(text, &policy, &error), COVEY_OK);
    assert_false(policy.has_degrade);
    covey__buffer_init(&out, &test.env, COVEY__POLICY_BYTES_MAX);
    assert_int_equal(covey__policy_write(&policy, &out, &error), COVEY_OK);
    assert_int_equal(parse(out.data, &again, &error), COVEY_OK);
    covey__buffer_free(&out);
    assert_false(again.features_all);
    assert_false(again.consent_ask);
    assert_false(again.has_degrade);
    assert_int_equal(again.leaves_words, COVEY__LEAVES_REDACTED);
    assert_true(again.leaves_numbers);
    assert_string_equal(again.leaves_to[0], "a.example:443");
    assert_true(covey__policy_opted_out(&again, "assistant", "search"));
    assert_true(covey__policy_opted_out(&again, "assistant", "assistant"));
    assert_false(covey__policy_opted_out(&again, "assistant", "other"));
    assert_false(covey__policy_opted_out(&again, "", ""));
    assert_int_equal(covey__policy_set_feature(&again, "search", false, &error), COVEY_OK);
    assert_false(covey__policy_opted_out(&again, "assistant", "search"));
    assert_true(covey__policy_opted_out(&again, "assistant", "voice"));
    assert_int_equal(covey__policy_set_feature(&again, "a b", true, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    for (int i = 0; i < COVEY__POLICY_FEATURES_MAX - 1; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(covey__policy_set_feature(&again, name, true, &error), COVEY_OK);
    }
    assert_int_equal(covey__policy_set_feature(&again, "more", true, &error), COVEY_ERROR_LIMIT);
    assert_int_equal(covey__policy_set_feature(&again, "voice", true, &error), COVEY_OK);
}

/* The ensemble says what it is made for, and the user's file can only narrow it. */
static void degrading(void **state) {
    (void)state;
    static const struct {
        const char *user, *ensemble; /* members of degrade; NULL: no such document or member */
        bool has_builtin;
        covey__degrade expected;
    } cases[] = {
        {NULL, NULL, true, COVEY__DEGRADE_BUILTIN},
        {NULL, NULL, false, COVEY__DEGRADE_OFF},
        {NULL, "\"to\":\"cloud\"", true, COVEY__DEGRADE_CLOUD},
        {NULL, "\"to\":\"cloud\"", false, COVEY__DEGRADE_CLOUD},
        {NULL, "\"to\":\"off\"", true, COVEY__DEGRADE_OFF},
        {"\"to\":\"builtin\"", "\"to\":\"cloud\"", true, COVEY__DEGRADE_BUILTIN},
        {"\"to\":\"builtin\"", "\"to\":\"cloud\"", false, COVEY__DEGRADE_OFF},
        {"\"to\":\"cloud\"", "\"to\":\"off\"", true, COVEY__DEGRADE_OFF},
        {"\"to\":\"cloud\"", NULL, true, COVEY__DEGRADE_BUILTIN},
        {NULL, "\"to\":\"off\",\"features\":{\"x\":\"cloud\"}", true, COVEY__DEGRADE_CLOUD},
        {"\"features\":{\"x\":\"off\"}", "\"to\":\"cloud\"", true, COVEY__DEGRADE_OFF},
        {"\"features\":{\"y\":\"off\"}", "\"to\":\"cloud\"", true, COVEY__DEGRADE_CLOUD},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        covey__policy user, ensemble;
        covey_error error;
        char text[300];
        covey__policy_init(&user);
        snprintf(text, sizeof text, "{\"format\":1,\"degrade\":{%s}}",
                 cases[i].user ? cases[i].user : "");
        assert_int_equal(parse(text, &user, &error), COVEY_OK);
        snprintf(text, sizeof text, "{\"format\":1,\"degrade\":{%s}}",
                 cases[i].ensemble ? cases[i].ensemble : "");
        assert_int_equal(parse(text, &ensemble, &error), COVEY_OK);
        covey__degrade found = covey__policy_degrade(&user, cases[i].ensemble ? &ensemble : NULL,
                                                     "x", cases[i].has_builtin);
        if (found != cases[i].expected) fail_msg("case %zu: %s", i, covey__degrade_name(found));
    }
}

static covey_status parse_step(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    covey__policy policy;
    return covey__policy_parse(env, "{\"format\":1,\"drain\":{}}", 23, &policy, error);
}

static void survives_each_failed_allocation(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(parse_step, NULL) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_left_out_have_their_defaults),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(what_is_not_understood_is_refused_and_changes_nothing),
        cmocka_unit_test(decisions),
        cmocka_unit_test(what_the_user_switched_off_stays_off_when_written),
        cmocka_unit_test(degrading),
        cmocka_unit_test(survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
