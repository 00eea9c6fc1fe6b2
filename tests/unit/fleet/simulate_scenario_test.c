/* Settings: what documents may say, what is said of those that are wrong, and the shares. */
#include "support/support.h"

#include "fleet/simulate_scenario.h"

#include <string.h>

static covey_status read(covey__sim_settings *settings, const char *json, covey_error *error) {
    covey__env env;
    covey__env_init(&env);
    covey__sim_settings_init(settings);
    covey_status status =
        covey__sim_settings_read(&env, "fleet.yaml", json, strlen(json), settings, error);
    return status == COVEY_OK ? covey__sim_settings_finish(settings, error) : status;
}

static void defaults(void **state) {
    (void)state;
    covey__sim_settings settings;
    covey_error error = {0};
    assert_int_equal(read(&settings, "{}", &error), COVEY_OK);
    const covey__sim_scenario *s = &settings.scenario;
    assert_int_equal(s->devices, 1000000);
    assert_int_equal(s->policy_count, covey__sim_policy_count);
    assert_int_equal(s->variant_count, 1);
    assert_int_equal(s->variants[0].components[0].bytes, 807000000);
    assert_true(s->variants[0].components[0].patch.items[0] < 0.5);
}

static void everything(void **state) {
    (void)state;
    covey__sim_settings settings;
    covey_error error = {0};
    const char *json =
        "{\"devices\": 500, \"every_days\": 7.5, \"presence\": \" 25 : 1.5 ,75:30\","
        "\"stages\": \"5:2,100\", \"policies\": \"last-two, full\", \"variants\": ["
        "{\"name\": \"small\", \"percent\": 40, \"components\": [{\"name\": \"model\","
        "\"bytes\": 1000, \"stored\": 0.9, \"chunks\": [0.5, 0.7], \"patch\": 0.2,"
        "\"patch_growth\": 1.5}]},"
        "{\"percent\": 60, \"components\": [{\"bytes\": 7, \"changes_every\": 3}]}]}";
    assert_int_equal(read(&settings, json, &error), COVEY_OK);
    const covey__sim_scenario *s = &settings.scenario;
    assert_int_equal(s->devices, 500);
    assert_true(s->every_days == 7.5);
    assert_int_equal(s->presence.count, 2);
    assert_true(s->presence.items[0].percent == 25 && s->presence.items[0].value == 1.5);
    assert_true(s->stages.items[1].percent == 100 && s->stages.items[1].value == 0);
    assert_int_equal(s->policy_count, 2);
    assert_string_equal(s->policies[0]->name, "last-two");
    assert_string_equal(s->policies[1]->name, "full");
    assert_string_equal(s->variants[0].name, "small");
    const covey__sim_component *model = &s->variants[0].components[0];
    assert_true(covey__sim_ratio(&model->chunks, 1) == 0.5);
    assert_true(covey__sim_ratio(&model->chunks, 2) == 0.7);
    assert_true(covey__sim_ratio(&model->chunks, 9) == 0.7);
    assert_true(covey__sim_ratio(&model->patch, 1) == 0.2);
    assert_float_equal(covey__sim_ratio(&model->patch, 3), 0.45, 1e-12);
    assert_true(covey__sim_ratio(&model->patch, 40) == 1);
    assert_int_equal(s->variants[1].components[0].changes_every, 3);
    assert_true(covey__sim_ratio(&s->variants[1].components[0].patch, 1) == 1);
}

static void a_later_document_goes_above(void **state) {
    (void)state;
    covey__env env;
    covey__sim_settings settings;
    covey_error error = {0};
    covey__env_init(&env);
    covey__sim_settings_init(&settings);
    const char *first = "{\"devices\": 10, \"seed\": 4}", *second = "{\"devices\": 20}";
    assert_int_equal(covey__sim_settings_read(&env, "a", first, strlen(first), &settings, &error),
                     COVEY_OK);
    assert_int_equal(covey__sim_settings_read(&env, "b", second, strlen(second), &settings, &error),
                     COVEY_OK);
    assert_int_equal(settings.scenario.devices, 20);
    assert_int_equal(settings.scenario.seed, 4);
}

static void mistakes_are_named(void **state) {
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{\"device\": 1}", "fleet.yaml: \"device\": there is no such setting"},
        {"{\"devices\": 0}", "devices: expected a whole number from 1"},
        {"{\"devices\": 1.5}", "devices: expected a whole number"},
        {"{\"every_days\": \"often\"}", "every_days: expected a number"},
        {"{\"presence\": 5}", "presence: expected a text"},
        {"{\"presence\": \"100\"}", "presence: expected at most 8 pairs"},
        {"{\"presence\": \"100:1:2\"}", "found \"100:1:2\""},
        {"{\"presence\": \"100:-1\"}", "found \"100:-1\""},
        {"{\"presence\": \"100:1,\"}", "found \"100:1,\""},
        {"{\"presence\": \"1..0:1\"}", "found \"1..0:1\""},
        {"{\"presence\": \"101:1\"}", "presence: expected at most 8"},
        {"{\"presence\": \"1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,92:1\"}", "expected at most 8 pairs"},
        {"{\"presence\": \"99:1\"}", "presence: expected shares that make 100 percent, found 99"},
        {"{\"links\": \"60:1,60:2\"}", "links: expected shares that make 100 percent, found 120"},
        {"{\"stages\": \"10:1,10:1,100\"}", "stages: expected percentages that rise"},
        {"{\"stages\": \"10:1,50\"}", "stages: expected shares that make 100 percent, found 50"},
        {"{\"jitter_days\": 16}", "jitter_days: expected at most half"},
        {"{\"releases\": 64, \"every_days\": 3650}", "at most 36500 days, found 233633"},
        {"{\"type\": \"q5_1\"}", "found \"q5_1\" and \"light\""},
        {"{\"policies\": \"full,best\"}", "found \"best\""},
        {"{\"policies\": \"\"}", "policies: expected a text"},
        {"{\"variants\": []}", "variants: expected 1 to 8"},
        {"{\"variants\": [{\"components\": []}]}", "variants[0].components: expected 1 to 8"},
        {"{\"variants\": [{\"components\": [{}]}]}", "variants[0].components[0].bytes: is missing"},
        {"{\"variants\": [{\"components\": [{\"bytes\": 1, \"patch\": [0.1, 2]}]}]}",
         "variants[0].components[0].patch: expected a number from 0 to 1"},
        {"{\"variants\": [{\"components\": [{\"bytes\": 1, \"size\": 2}]}]}", "size"},
        {"{\"variants\": [{\"percent\": 50, \"components\": [{\"bytes\": 1}]}]}",
         "variants: expected shares that make 100 percent, found 50"},
        {"[1]", "expected an object of settings"},
        {"{", "fleet.yaml: "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        covey__sim_settings settings;
        covey_error error = {0};
        assert_int_not_equal(read(&settings, cases[i].json, &error), COVEY_OK);
        if (strstr(error.message, cases[i].says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].json, error.message, cases[i].says);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(everything),
        cmocka_unit_test(a_later_document_goes_above),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
