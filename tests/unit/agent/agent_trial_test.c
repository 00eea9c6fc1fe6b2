/* A trial that proves itself by its answers: what makes it stay, what makes the device return, what
 * the control plane hears of it, and that nothing but what happens here moves it. */
#include "agent_double.h"

#define MODEL_BYTES 100000

/* A device whose app tells of its answers, which moved to 1.1.0 and serves it on trial. */
static covey_agent *on_trial(control_double *c) {
    covey_error error = {0};
    double_open(c);
    c->tells_answers = true;
    double_ensemble(c, "builtin", "1.0.0", MODEL_BYTES, 10, NULL);
    double_ensemble(c, "v110", "1.1.0", MODEL_BYTES, 11, NULL);
    covey_agent *agent = double_agent(c, true);
    if (covey_agent_enroll(agent, "http://fleet.test/", "cve_x", NULL, &error))
        fail_msg("%s", error.message);
    double_assert_serves(agent, "1.0.0");
    return agent;
}

static void move(control_double *c, covey_agent *agent) {
    double_publish(c, "v110", "1.1.0");
    double_steps(c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_true(agent->state.current.trial);
}

/* Tells of answers of what serves, each of so many microseconds a token. */
static void tell(covey_agent *agent, int count, covey_status status, int64_t us) {
    for (int i = 0; i < count; i++) {
        covey_agent_answer answer = COVEY_AGENT_ANSWER_INIT;
        answer.digest = agent->gauge.digest;
        answer.status = status;
        answer.prompt_token_count = 100;
        answer.answer_token_count = 100;
        answer.first_token_us = answer.decode_us = us * 100;
        covey_agent_answered(agent, &answer, 1, status ? "NaN in the logits" : NULL);
    }
}

static void step(covey_agent *agent) {
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    for (int i = 0; i < 8; i++)
        assert_int_equal(covey_agent_step(agent, 0, false, &outcome, &error), COVEY_OK);
}

static void write_policy(control_double *c, const char *text) {
    test_write(test_path(&c->folder, "state/policy.json"), text, strlen(text));
}

static void test_good_answers_prove_it(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = on_trial(&c);
    move(&c, agent);
    step(agent);
    assert_true(agent->state.current.trial); /* that steps go by proves nothing */
    tell(agent, 31, COVEY_OK, 1000);
    step(agent);
    assert_true(agent->state.current.trial);
    tell(agent, 1, COVEY_OK, 1000);
    step(agent);
    assert_false(agent->state.current.trial);
    assert_true(double_reported(&c, "commit ok assistant@1.1.0"));
    double_finish(&c, agent);
}

static void test_time_proves_it(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = on_trial(&c);
    write_policy(&c, "{\"format\":1,\"trial\":{\"time_ms\":0}}");
    move(&c, agent);
    step(agent);
    assert_false(agent->state.current.trial);
    double_finish(&c, agent);
}

/* What a caller, a client or the memory ended is not the ensemble's fault; an engine's error is. */
static void test_failed_answers(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = on_trial(&c);
    move(&c, agent);
    tell(agent, 50, COVEY_ERROR_CANCELLED, 0);
    tell(agent, 50, COVEY_ERROR_CONTEXT_SIZE, 0);
    tell(agent, 50, COVEY_ERROR_NO_MEMORY, 0);
    tell(agent, 2, COVEY_ERROR_NUMERIC, 0);
    step(agent);
    double_assert_serves(agent, "1.1.0");
    tell(agent, 1, COVEY_ERROR_NUMERIC, 0);
    step(agent);
    double_assert_serves(agent, "1.0.0");
    assert_true(double_reported(
        &c, "return refused assistant@1.1.0: answers of its trial failed: NaN in the logits"));
    /* The server hears what serves, and that this is not tried again. */
    double_steps(&c, agent, 100);
    assert_non_null(strstr(c.last_checkin, "\"current\":null"));
    assert_non_null(strstr(c.last_checkin, "\"refused\":[\"assistant@1.1.0\"]"));
    double_assert_serves(agent, "1.0.0");
    /* Until its user wants it. */
    covey_error error = {0};
    assert_int_equal(covey_agent_retry(agent, "1.2.0", &error), COVEY_ERROR_NOT_FOUND);
    assert_int_equal(covey_agent_retry(agent, "1.1.0", &error), COVEY_OK);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_int_equal(agent->state.current.failed, 0);
    double_finish(&c, agent);
}

/* What the built-in ensemble measured here is what the trial is held against, over restarts too. */
static void test_slow(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = on_trial(&c);
    tell(agent, COVEY__TRIAL_WINDOW, COVEY_OK, 1000);
    covey_agent_close(agent);
    agent = double_agent(&c, true);
    write_policy(&c, "{\"format\":1,\"trial\":{\"answers\":1000}}");
    move(&c, agent);
    tell(agent, 10 * COVEY__TRIAL_WINDOW, COVEY_OK, 1900);
    step(agent);
    double_assert_serves(agent, "1.1.0");
    tell(agent, COVEY__TRIAL_WINDOW, COVEY_OK, 2100);
    step(agent);
    double_assert_serves(agent, "1.1.0");
    tell(agent, COVEY__TRIAL_WINDOW, COVEY_OK, 2100);
    step(agent);
    double_assert_serves(agent, "1.0.0");
    assert_true(
        double_reported(&c, "return refused assistant@1.1.0: it is slower than the one before"));
    double_finish(&c, agent);
}

/* Reports that do not arrive, and are sent again and again, are no failures of the trial (Mender's
 * pull requests 485, 502, 810: retried status reports were counted, and a good update left). */
static void test_retried_reports_count_nothing(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = on_trial(&c);
    move(&c, agent);
    c.offline = true;
    covey_error why = {0}; /* something to report */
    assert_int_equal(covey_agent_opt_out(agent, "feature:search", true, &why), COVEY_OK);
    for (int i = 0; i < 100; i++) {
        covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
        covey_error error = {0};
        c.now_ms += 3600000;
        assert_int_equal(covey_agent_step(agent, 0, true, &outcome, &error), COVEY_OK);
        step(agent);
    }
    assert_true(agent->state.outbox_count > 0);
    assert_true(agent->state.current.trial);
    assert_int_equal(agent->state.current.failed, 0);
    assert_int_equal(agent->state.current.runs, 1);
    c.offline = false;
    c.now_ms += 3600000;
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

/* A program that is killed each time, and one that ends in order each time. */
static void test_starts(void **unused) {
    (void)unused;
    for (int orderly = 0; orderly < 2; orderly++) {
        control_double c;
        covey_agent *agent = on_trial(&c);
        move(&c, agent);
        for (int i = 0; i < 6; i++) {
            if (!orderly) agent->served_digest[0] = 0; /* its close does nothing, as a kill */
            covey_agent_close(agent);
            agent = double_agent(&c, true);
            double_assert_serves(agent, orderly || i < 2 ? "1.1.0" : "1.0.0");
        }
        assert_int_equal(covey__is_refused(&agent->state, "assistant@1.1.0"), !orderly);
        double_finish(&c, agent);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_answers_prove_it),
        cmocka_unit_test(test_time_proves_it),
        cmocka_unit_test(test_failed_answers),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_retried_reports_count_nothing),
        cmocka_unit_test(test_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
