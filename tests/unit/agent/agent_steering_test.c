/* Statements of the publisher on a device: taken once, held without a network and for ever, and
 * obeyed by what serves, by updates, by returns and by flags. */
#include "agent_double.h"

#define MODEL_BYTES 60000
#define WHO         "\"reason\":\"wrong answers\",\"author\":\"a@b\",\"issued\":\"2026-11-20T10:00:00Z\""
#define KILL_110    "{\"id\":\"k-1\",\"kind\":\"kill\",\"versions\":\"=1.1.0\"," WHO "}"
#define KILL_ALL    "{\"id\":\"k-2\",\"kind\":\"kill\",\"versions\":\"<=1.1.0\"," WHO "}"

/* A device that shipped with 1.0.0, is enrolled, and serves 1.1.0 where `updated`. */
static covey_agent *device(control_double *c, bool updated) {
    covey_agent *agent = double_device(c, MODEL_BYTES, updated);
    if (updated) {
        double_steps(c, agent, 100);
        double_assert_serves(agent, "1.1.0");
        double_steps(c, agent, 10);
    }
    return agent;
}

static void assert_off(covey_agent *agent, const char *reason) {
    covey_ensemble *ensemble = NULL;
    covey_error error = {0};
    assert_int_equal(covey_agent_current(agent, &ensemble, &error), COVEY_ERROR_DENIED);
    assert_non_null(strstr(error.message, "off by steering"));
    assert_non_null(strstr(error.message, reason));
}

static void publish_version(control_double *c, const char *version, uint64_t seed) {
    double_ensemble(c, version, version, MODEL_BYTES, seed, NULL);
    double_publish(c, version, version);
}

static void test_kill_sends_back_and_holds_offline(void **unused) {
    (void)unused;
    control_double c;
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    covey_agent *agent = device(&c, true);
    double_steer(&c, 1, KILL_110);
    bool changed = false, stopped = false;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, &error), COVEY_OK);
        changed |= outcome.current_changed;
        stopped |= outcome.stopped;
    }
    assert_true(changed && stopped);
    double_assert_serves(agent, "1.0.0");
    assert_true(double_reported(&c, "return refused assistant@1.1.0: off by steering k-1"));
    double_steps(&c, agent, 20); /* it is still offered */
    double_assert_serves(agent, "1.0.0");
    assert_non_null(strstr(agent->state.trust.message, "k-1"));
    assert_int_equal(agent->state.refused_count, 0);
    covey_agent_close(agent);
    c.offline = true;
    agent = double_agent(&c, true);
    double_steps(&c, agent, 5);
    double_assert_serves(agent, "1.0.0");
    double_finish(&c, agent);
}

/* What another process took in holds at the next start, before any step. */
static void test_kill_holds_at_a_start(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c, true);
    double_steer(&c, 1, KILL_110);
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    assert_int_equal(covey_agent_step(agent, 0, true, &outcome, &error), COVEY_OK);
    assert_string_equal(agent->state.current.version, "1.1.0"); /* taken, not obeyed yet */
    covey_agent_close(agent);
    c.offline = true;
    agent = double_agent(&c, true);
    double_assert_serves(agent, "1.0.0");
    assert_string_equal(agent->state.current.digest, "");
    double_finish(&c, agent);
}

static void test_nothing_left_is_off(void **unused) {
    (void)unused;
    control_double c;
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_agent_summary summary = COVEY_AGENT_SUMMARY_INIT;
    covey_error error = {0};
    covey_agent *agent = device(&c, false);
    double_steer(&c, 1, KILL_ALL);
    assert_int_equal(covey_agent_step(agent, 0, true, &outcome, &error), COVEY_OK);
    assert_true(outcome.current_changed && outcome.stopped);
    assert_off(agent, "wrong answers");
    assert_int_equal(covey_agent_describe(agent, &summary, &error), COVEY_OK);
    assert_non_null(strstr(summary.off, "k-2"));
    covey_agent_close(agent);
    agent = double_agent(&c, true);
    assert_off(agent, "k-2");
    publish_version(&c, "1.2.0", 20); /* a mistaken kill is answered with a new release */
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.2.0");
    double_finish(&c, agent);
}

/* No built-in ensemble: what was stopped leaves nothing, and the device says why. */
static void test_off_without_a_builtin(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    double_open(&c);
    double_ensemble(&c, "v110", "1.1.0", MODEL_BYTES, 11, NULL);
    double_publish(&c, "v110", "1.1.0");
    covey_agent *agent = double_agent(&c, false);
    assert_int_equal(covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error), 0);
    double_steps(&c, agent, 100);
    if (!agent->state.current.digest[0]) { /* what reaches further than nothing needs consent */
        assert_int_equal(covey_agent_consent(agent, NULL, true, &error), COVEY_OK);
        c.now_ms += 2 * COVEY__RETRY_MAX_MS;
        double_steps(&c, agent, 100);
    }
    double_assert_serves(agent, "1.1.0");
    double_steer(&c, 1, KILL_110);
    double_steps(&c, agent, 20);
    assert_off(agent, "k-1");
    covey_agent_close(agent);
    agent = double_agent(&c, false);
    assert_off(agent, "k-1");
    double_finish(&c, agent);
}

static void test_killed_update_stops(void **unused) {
    (void)unused;
    control_double c;
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    covey_agent *agent = double_device(&c, MODEL_BYTES, true);
    for (int i = 0; i < 40 && agent->state.update.phase != COVEY__PHASE_PROBE; i++)
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, &error), COVEY_OK);
    double_steer(&c, 1, KILL_110);
    double_steps(&c, agent, 20);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_NONE);
    assert_int_equal(c.probe_runs, 0);
    double_assert_serves(agent, "1.0.0");
    assert_true(double_reported(&c, "refused assistant@1.1.0: steering k-1"));
    double_finish(&c, agent);
}

static void test_pin_and_minimum(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    covey_agent *agent = device(&c, true);
    double_steer(&c, 1,
                 "{\"id\":\"p-1\",\"kind\":\"pin\",\"version\":\"1.1.0\"," WHO
                 "},{\"id\":\"m-1\",\"kind\":\"minimum\",\"version\":\"1.1.0\"," WHO "}");
    publish_version(&c, "1.2.0", 20);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_non_null(strstr(agent->state.trust.message, "p-1"));
    /* A pin is not sticky. */
    double_steer(&c, 2, "{\"id\":\"m-1\",\"kind\":\"minimum\",\"version\":\"1.1.0\"," WHO "}");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.2.0");
    double_steps(&c, agent, 10);
    assert_int_equal(covey_agent_rollback(agent, &error), COVEY_OK); /* 1.1.0 is not below */
    double_assert_serves(agent, "1.1.0");
    assert_int_equal(covey_agent_rollback(agent, &error), COVEY_OK); /* the built-in one never is */
    double_assert_serves(agent, "1.0.0");
    double_finish(&c, agent);
}

static void test_user_may_not_return_below_a_minimum(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    covey_agent *agent = device(&c, true);
    publish_version(&c, "1.2.0", 20);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.2.0");
    double_steps(&c, agent, 10);
    assert_string_equal(agent->state.previous.version, "1.1.0");
    double_steer(&c, 1, "{\"id\":\"m-2\",\"kind\":\"minimum\",\"version\":\"1.2.0\"," WHO "}");
    double_steps(&c, agent, 10);
    assert_int_equal(covey_agent_rollback(agent, &error), COVEY_ERROR_DENIED);
    assert_non_null(strstr(error.message, "m-2"));
    double_assert_serves(agent, "1.2.0");
    /* A kill passes the previous one over too. */
    double_steer(&c, 2,
                 "{\"id\":\"m-2\",\"kind\":\"minimum\",\"version\":\"1.2.0\"," WHO
                 "},{\"id\":\"k-3\",\"kind\":\"kill\",\"versions\":\"=1.2.0\"," WHO "}");
    double_steps(&c, agent, 10);
    double_assert_serves(agent, "1.0.0");
    assert_string_equal(agent->state.previous.digest, "");
    double_finish(&c, agent);
}

static void test_downgrade_only_by_a_statement(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c, true);
    publish_version(&c, "1.0.5", 30);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_non_null(strstr(agent->state.trust.message, "no signed statement permits to go back"));
    double_steer(&c, 1,
                 "{\"id\":\"d-1\",\"kind\":\"downgrade\",\"versions\":\"=1.1.0\",\"version\":"
                 "\"1.0.5\"," WHO "}");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.0.5");
    double_finish(&c, agent);
}

static void test_flags_and_status(void **unused) {
    (void)unused;
    control_double c;
    char reason[100], *json = NULL;
    covey_agent_summary summary = COVEY_AGENT_SUMMARY_INIT;
    covey_error error = {0};
    covey_agent *agent = device(&c, false);
    assert_true(covey_agent_flag(agent, "cloud", reason, sizeof reason));
    double_steer(&c, 7,
                 "{\"id\":\"f-1\",\"kind\":\"flag\",\"flag\":\"cloud\"," WHO
                 "},{\"id\":\"e-1\",\"kind\":\"end-of-support\",\"versions\":\"<1.1.0\",\"at\":"
                 "\"2027-03-01T00:00:00Z\"," WHO "}");
    double_steps(&c, agent, 10);
    assert_false(covey_agent_flag(agent, "cloud", reason, sizeof reason));
    assert_string_equal(reason, "wrong answers");
    assert_true(covey_agent_flag(agent, "other", NULL, 0));
    assert_int_equal(covey_agent_describe(agent, &summary, &error), COVEY_OK);
    assert_int_equal(summary.steering_serial, 7);
    assert_int_equal(summary.statement_count, 2);
    assert_non_null(strstr(summary.statements[0], "2027-03-01"));
    assert_int_equal(summary.metadata_version, c.repository.timestamp);
    assert_int_equal(covey_agent_status(agent, &json, &error), COVEY_OK);
    assert_non_null(strstr(json, "\"kind\": \"flag\""));
    assert_non_null(strstr(json, "\"at_ms\": 1803859200000"));
    covey_agent_free_text(agent, json);
    double_finish(&c, agent);
}

/* The file is lost: what comes next may be the same serial again, and nothing older. */
static void test_lost_file_is_no_way_back(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c, true);
    double_steer(&c, 2, KILL_110);
    double_steps(&c, agent, 20);
    double_assert_serves(agent, "1.0.0");
    covey_agent_close(agent);
    unlink(test_path(&c.folder, "state/steering.json"));
    agent = double_agent(&c, true);
    assert_null(agent->steering);
    double_steer(&c, 1, "");
    double_steps(&c, agent, 20);
    assert_null(agent->steering);
    assert_non_null(strstr(agent->state.trust.message, "serial 1 is below the one seen, 2"));
    double_steer(&c, 2, KILL_110);
    double_steps(&c, agent, 20);
    assert_non_null(agent->steering);
    double_assert_serves(agent, "1.0.0");
    double_finish(&c, agent);
}

static void test_requests(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c, false);
    double_steps(&c, agent, 10); /* all of it is fetched */
    c.repository.requests = 0;
    c.repository.log[0] = 0;
    double_steps(&c, agent, 10);
    assert_int_equal(c.repository.requests, 0);
    repo_publish_timestamp(&c.repository);
    double_steps(&c, agent, 10);
    assert_string_equal(c.repository.log, "timestamp.json ");
    double_finish(&c, agent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_sends_back_and_holds_offline),
        cmocka_unit_test(test_kill_holds_at_a_start),
        cmocka_unit_test(test_nothing_left_is_off),
        cmocka_unit_test(test_off_without_a_builtin),
        cmocka_unit_test(test_killed_update_stops),
        cmocka_unit_test(test_pin_and_minimum),
        cmocka_unit_test(test_user_may_not_return_below_a_minimum),
        cmocka_unit_test(test_downgrade_only_by_a_statement),
        cmocka_unit_test(test_flags_and_status),
        cmocka_unit_test(test_lost_file_is_no_way_back),
        cmocka_unit_test(test_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
