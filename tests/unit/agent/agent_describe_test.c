/* What a device says of itself, and that it keeps the user's settings: opted out of updates it
 * fetches nothing, says why, and goes on answering. */
#include "agent_double.h"

#define MODEL_BYTES 120000

/* A device that shipped with 1.0.0 and is enrolled, and 1.1.0 is offered. */
static covey_agent *device(control_double *c) {
    return double_device(c, MODEL_BYTES, true);
}

static covey_agent_summary describe(covey_agent *agent) {
    covey_agent_summary summary = COVEY_AGENT_SUMMARY_INIT;
    covey_error error = {0};
    if (covey_agent_describe(agent, &summary, &error)) fail_msg("%s", error.message);
    return summary;
}

static void set_policy(control_double *c, const char *text) {
    test_write(test_path(&c->folder, "state/policy.json"), text, strlen(text));
}

static void test_summary_before_and_after_an_update(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    covey_agent_summary summary = describe(agent);
    assert_string_equal(summary.builtin.version, "1.0.0");
    assert_string_equal(summary.current.version, "");
    assert_string_equal(summary.control_plane, "http://fleet.test");
    assert_int_equal(summary.last_checkin_ms, 0);
    assert_string_equal(summary.last_phase, "");
    double_steps(&c, agent, 100);
    summary = describe(agent);
    assert_string_equal(summary.current.name, "assistant");
    assert_string_equal(summary.current.version, "1.1.0");
    assert_int_equal(strlen(summary.current.digest), 64);
    assert_string_equal(summary.previous.digest, "");
    assert_true(summary.trial);
    assert_string_equal(summary.last_release, "assistant@1.1.0");
    assert_int_equal(summary.last_checkin_ms, c.now_ms);
    double_finish(&c, agent);
}

/* An app built against an older header has a smaller struct: nothing behind it is written. */
static void test_summary_of_an_older_header(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    covey_agent *agent = device(&c);
    covey_agent_summary summary;
    memset(&summary, 0x5a, sizeof summary);
    summary.size = offsetof(covey_agent_summary, drain_deadline_ms);
    assert_int_equal(covey_agent_describe(agent, &summary, &error), COVEY_OK);
    assert_string_equal(summary.builtin.version, "1.0.0");
    assert_int_equal(summary.drain_deadline_ms, 0x5a5a5a5a5a5a5a5a);
    assert_int_equal(summary.size, offsetof(covey_agent_summary, drain_deadline_ms));
    double_finish(&c, agent);
}

static void test_drain_deadline_is_the_users(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    assert_int_equal(describe(agent).drain_deadline_ms, 600000);
    set_policy(&c, "{\"format\":1,\"drain\":{\"deadline_ms\":1500}}");
    assert_int_equal(describe(agent).drain_deadline_ms, 1500);
    set_policy(&c, "{\"format\":1,\"drain\":{\"deadline\":1500}}"); /* not understood */
    assert_int_equal(describe(agent).drain_deadline_ms, 600000);
    double_finish(&c, agent);
}

static void test_opted_out(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    set_policy(&c, "{\"format\":1,\"update\":{\"enabled\":false}}");
    covey_agent_outcome outcome = double_steps(&c, agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    assert_non_null(strstr(outcome.message, "update.enabled"));
    double_assert_serves(agent, "1.0.0");
    assert_string_equal(describe(agent).current.version, "");
    assert_int_equal(agent->state.refused_count, 0);
    set_policy(&c, "{\"format\":1,\"update\":{\"enabled\":true}}");
    c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summary_before_and_after_an_update),
        cmocka_unit_test(test_summary_of_an_older_header),
        cmocka_unit_test(test_drain_deadline_is_the_users),
        cmocka_unit_test(test_opted_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
