/* What is served at a start: what an ensemble needs is checked each time, since the app and the
 * system change under it. */
#include "agent_double.h"

#define MODEL_BYTES 120000

/* An app that was replaced by an older one cannot use what the newer one took. */
static void test_app_range_at_a_start(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    double_open(&c);
    double_ensemble(&c, "builtin", "1.0.0", MODEL_BYTES, 10, NULL);
    double_ensemble(&c, "v110", "1.1.0", MODEL_BYTES, 11, ">=2.0.0 <3.0.0");
    double_publish(&c, "v110", "1.1.0");
    covey_agent *agent = double_agent_of(&c, true, "2.0.0");
    assert_int_equal(covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error),
                     COVEY_OK);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    covey_agent_close(agent);
    agent = double_agent_of(&c, true, "1.9.0");
    double_assert_serves(agent, "1.0.0");
    covey_agent_close(agent);
    double_close(&c);
}

/* One that was shipped with the wrong app says so; it does not answer. */
static void test_app_range_of_the_builtin(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    covey_ensemble *ensemble = NULL;
    double_open(&c);
    double_ensemble(&c, "builtin", "1.0.0", MODEL_BYTES, 10, ">=1.5.0");
    covey_agent *agent = double_agent_of(&c, true, "1.5.0");
    double_assert_serves(agent, "1.0.0");
    covey_agent_close(agent);
    agent = double_agent_of(&c, true, "1.4.9");
    assert_int_equal(covey_agent_current(agent, &ensemble, &error), COVEY_ERROR_UNSUPPORTED);
    assert_null(ensemble);
    assert_non_null(strstr(error.message, "built-in ensemble"));
    assert_non_null(strstr(error.message, "needs.app"));
    covey_agent_close(agent);
    double_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_app_range_at_a_start),
        cmocka_unit_test(test_app_range_of_the_builtin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
