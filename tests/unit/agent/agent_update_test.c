/* The whole way of an update on a device, against a control plane in the same process: what goes
 * well, and each thing that can go wrong on the network, on the disk, in the ensemble, and with the
 * user. */
#include "agent_double.h"

#define MODEL_BYTES 400000

/* A device that shipped with 1.0.0 and is enrolled. */
static covey_agent *device(control_double *c) {
    covey_agent *agent = double_device(c, MODEL_BYTES, false);
    double_assert_serves(agent, "1.0.0");
    return agent;
}

static void test_moves_and_fetches_little(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    covey_agent_outcome outcome = double_steps(&c, agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_IDLE);
    assert_int_equal(c.probe_runs, 1);
    double_assert_serves(agent, "1.1.0");
    assert_true(agent->state.current.trial);
    assert_true(c.blob_bytes < MODEL_BYTES); /* most chunks were in the built-in ensemble */
    covey_error error = {0};
    assert_int_equal(covey_agent_step(agent, 1000, false, &outcome, &error), COVEY_OK);
    assert_false(agent->state.current.trial);
    assert_true(double_reported(&c, "activate ok assistant@1.1.0"));
    assert_true(double_reported(&c, "commit ok assistant@1.1.0"));
    double_steps(&c, agent, 100);
    assert_non_null(strstr(c.last_checkin, "\"version\":\"1.1.0\""));
    assert_int_equal(c.probe_runs, 1);
    double_finish(&c, agent);
}

static void test_second_update_uses_the_first_and_cleans_up(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    char old[65];
    memcpy(old, agent->state.current.digest, 65);
    const char *versions[] = {"1.2.0", "1.3.0"};
    for (int i = 0; i < 2; i++) {
        double_ensemble(&c, versions[i], versions[i], MODEL_BYTES, (uint64_t)(20 + i), NULL);
        double_publish(&c, versions[i], versions[i]);
        uint64_t before = c.blob_bytes;
        double_steps(&c, agent, 100);
        double_assert_serves(agent, versions[i]);
        assert_true(c.blob_bytes - before < MODEL_BYTES);
    }
    assert_string_equal(agent->state.previous.version, "1.2.0");
    char path[400];
    snprintf(path, sizeof path, "%s/ensembles/%s", agent->state_dir, old);
    double_steps(&c, agent, 10);
    covey_agent_close(agent);
    agent = double_agent(&c, true); /* opening cleans */
    assert_false(covey__file_exists(path));
    double_assert_serves(agent, "1.3.0");
    double_finish(&c, agent);
}

static void test_network_gone_and_back(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    c.offline = true;
    covey_agent_outcome outcome = double_steps(&c, agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_IDLE);
    assert_non_null(strstr(outcome.message, "network is down"));
    assert_true(outcome.next_step_ms > 0);
    double_assert_serves(agent, "1.0.0");
    c.offline = false;
    c.now_ms += outcome.next_step_ms + COVEY__RETRY_MAX_MS;
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

/* Every blob request breaks once in its middle: the rest is asked for with a range, or the whole is
 * taken again where the server ignores ranges. */
static void break_and_resume(bool ignore_range) {
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    c.ignore_range = ignore_range;
    int rounds = 0;
    for (c.cut_at_request = 1; rounds < 60;
         rounds++, c.cut_at_request = c.blob_requests + 1 + rounds % 3) {
        double_steps(&c, agent, 100);
        double_assert_serves(agent, agent->state.current.digest[0] ? "1.1.0" : "1.0.0");
        if (agent->state.current.digest[0]) break;
        c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    }
    assert_true(rounds > 0 && rounds < 60);
    assert_true(c.range_requests > 0);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

static void test_resumes_with_ranges(void **unused) {
    (void)unused;
    break_and_resume(false);
}

static void test_server_that_ignores_ranges(void **unused) {
    (void)unused;
    break_and_resume(true);
}

static void test_wrong_bytes_are_never_used(void **unused) {
    (void)unused;
    for (int spoil = 1; spoil < 8; spoil++) {
        control_double c;
        covey_agent *agent = device(&c);
        double_publish(&c, "v110", "1.1.0");
        c.spoil_at_request = spoil;
        double_steps(&c, agent, 100);
        if (agent->state.update.phase != COVEY__PHASE_NONE || !agent->state.current.digest[0]) {
            double_assert_serves(agent, "1.0.0");
            c.now_ms += 2 * COVEY__RETRY_MAX_MS;
            double_steps(&c, agent, 100);
        }
        /* A release that came wrong once is either repaired or refused, and never half used. */
        double_assert_serves(agent, agent->state.current.digest[0] ? "1.1.0" : "1.0.0");
        double_finish(&c, agent);
    }
}

/* A digest that differs costs the bytes that are wrong, and nothing of what is right. */
static void test_a_mismatch_deletes_nothing_else(void **unused) {
    (void)unused;
    int whole = 0;
    for (int how = 0; how < 3; how++) {
        control_double c;
        covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
        covey_agent *agent = device(&c);
        double_publish(&c, "v110", "1.1.0");
        if (how == 1) c.spoil_at_request = whole; /* the last chunk */
        for (int i = 0; i < 100 && agent->state.update.phase != COVEY__PHASE_VERIFY; i++) {
            assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, NULL), COVEY_OK);
            if (outcome.state == COVEY_AGENT_WAITING) c.now_ms += 2 * COVEY__RETRY_MAX_MS;
        }
        assert_int_equal(agent->state.update.phase, COVEY__PHASE_VERIFY);
        if (how == 0) whole = c.blob_requests;
        if (how == 1) assert_in_range(c.blob_requests, whole + 1, whole + 2);
        if (how == 2) { /* on the disk, after it was fetched */
            char path[600];
            size_t size = 0;
            snprintf(path, sizeof path, "%s/update/%s/model.gguf", agent->state_dir,
                     agent->state.update.digest);
            char *bytes = test_read(path, &size);
            assert_non_null(bytes);
            bytes[size / 2] ^= 1;
            test_write(path, bytes, size);
            free(bytes);
        }
        for (int i = 0; i < 5 && !agent->state.current.digest[0]; i++) {
            double_steps(&c, agent, 100);
            c.now_ms += 2 * COVEY__RETRY_MAX_MS;
        }
        double_assert_serves(agent, "1.1.0");
        assert_in_range(c.blob_requests, whole, whole + 2);
        double_finish(&c, agent);
    }
}

static void test_404_is_final_in_time_and_503_is_not(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    c.blob_status = 503;
    double_steps(&c, agent, 100);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_PLAN);
    assert_true(agent->state.update.retry_at_ms > c.now_ms);
    int before = c.blob_requests;
    double_steps(&c, agent, 1); /* one check-in; nothing is hammered */
    assert_int_equal(c.blob_requests, before);
    c.blob_status = 0;
    c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    double_steps(&c, agent, 2); /* the plan was made: what is signed names these chunks */
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
    c.blob_status = 404; /* not on this mirror yet, perhaps */
    for (int i = 1; i < COVEY__GONE_MAX; i++) {
        c.now_ms += 2 * COVEY__RETRY_MAX_MS;
        double_steps(&c, agent, 100);
        assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
        assert_int_equal(agent->state.update.attempts, i);
    }
    c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    double_steps(&c, agent, 100);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_NONE);
    assert_true(covey__is_refused(&agent->state, "assistant@1.1.0"));
    assert_true(double_reported(&c, "fetch refused assistant@1.1.0"));
    double_assert_serves(agent, "1.0.0");
    double_finish(&c, agent);
}

static void test_bad_probes_are_refused_and_reported(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    c.probe_status = COVEY_ERROR_REFUSED;
    c.probe_message = "task score 0.41 is under 0.85";
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.0.0");
    assert_true(
        double_reported(&c, "probe refused assistant@1.1.0: task score 0.41 is under 0.85"));
    int runs = c.probe_runs;
    double_steps(&c, agent, 100); /* the server still offers it */
    assert_int_equal(c.probe_runs, runs);
    assert_non_null(strstr(c.last_checkin, "\"refused\":[\"assistant@1.1.0\"]"));
    double_finish(&c, agent);
}

static void flip_staged_byte(covey_agent *agent) {
    char path[400];
    snprintf(path, sizeof path, "%s/ensembles/%s/model.gguf", agent->state_dir,
             agent->state.update.digest);
    size_t size = 0;
    char *bytes = test_read(path, &size);
    assert_non_null(bytes);
    bytes[size / 2] ^= 1;
    test_write(path, bytes, size);
    free(bytes);
}

static void test_flipped_byte_is_found_and_repaired(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    bool check_now = true;
    while (agent->state.update.phase != COVEY__PHASE_PROBE) {
        assert_int_equal(covey_agent_step(agent, 0, check_now, &outcome, &error), COVEY_OK);
        check_now = false;
    }
    flip_staged_byte(agent);
    assert_int_equal(covey_agent_step(agent, 0, false, &outcome, &error), COVEY_OK);
    assert_int_equal(c.probe_runs, 0);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
    int before = c.blob_requests;
    double_steps(&c, agent, 100);
    assert_true(c.blob_requests <=
                before + 1); /* only the chunk that differed, if it was not here */
    assert_true(double_reported(&c, "probe failed assistant@1.1.0"));
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

/* A control plane that offers what nobody signed: it is not taken, and the true one of that name
 * is, later. */
static void test_unsigned_release(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    c.unsigned_too = true;
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.0.0");
    assert_int_equal(c.blob_requests, 0);
    assert_true(double_reported(&c, "check-in failed assistant@1.0.0: not signed"));
    assert_int_equal(agent->state.refused_count, 0);
    c.unsigned_too = false;
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_string_equal(agent->state.trust.message, "");
    double_finish(&c, agent);
}

static void test_needs_of_the_app(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, ">=2.0.0");
    double_publish(&c, "v120", "1.2.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.0.0");
    assert_true(double_reported(&c, "plan refused assistant@1.2.0"));
    double_finish(&c, agent);
}

static void test_older_release_is_not_taken(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_ensemble(&c, "v105", "1.0.5", MODEL_BYTES, 13, NULL);
    double_publish(&c, "v105", "1.0.5");
    int before = c.blob_requests;
    double_steps(&c, agent, 100);
    assert_int_equal(c.blob_requests, before);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

static void test_trial_that_crashes_each_start(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 100);
    for (int i = 0; i < 5; i++) {
        covey_ensemble *ensemble = NULL;
        covey_error error = {0};
        assert_int_equal(covey_agent_current(agent, &ensemble, &error), COVEY_OK);
        assert_string_equal(covey_ensemble_version(ensemble), i < 3 ? "1.1.0" : "1.0.0");
        covey_ensemble_close(ensemble);
        agent->served_digest[0] = 0; /* the process dies before it came to serve */
        covey_agent_close(agent);
        agent = double_agent(&c, true);
    }
    assert_true(covey__is_refused(&agent->state, "assistant@1.1.0"));
    double_finish(&c, agent);
}

/* An ensemble whose model does not open does not commit, whatever its probes said; one that only
 * found no memory stays. */
static void test_current_that_does_not_load(void **unused) {
    (void)unused;
    control_double c;
    covey_ensemble *ensemble = NULL;
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0}, why = {.status = COVEY_ERROR_NO_MEMORY, .message = "no memory"};
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 100);
    assert_int_equal(covey_agent_current(agent, &ensemble, &error), COVEY_OK);
    assert_int_equal(covey_agent_leave_current(agent, ensemble, &why, &error), COVEY_OK);
    assert_int_equal(covey_agent_step(agent, 0, false, &outcome, &error), COVEY_OK);
    assert_true(agent->state.current.trial);
    why.status = COVEY_ERROR_UNSUPPORTED;
    assert_int_equal(covey_agent_leave_current(agent, ensemble, &why, &error), COVEY_OK);
    covey_ensemble_close(ensemble);
    double_assert_serves(agent, "1.0.0");
    assert_true(covey__is_refused(&agent->state, "assistant@1.1.0"));
    double_finish(&c, agent);
}

static void test_commit_at_close(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 100);
    for (int i = 0; i < 6; i++) { /* a program that answers once and ends, again and again */
        double_assert_serves(agent, "1.1.0");
        covey_agent_close(agent);
        agent = double_agent(&c, true);
    }
    assert_false(agent->state.current.trial);
    double_finish(&c, agent);
}

static void test_rollback(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    covey_agent *agent = device(&c);
    assert_int_equal(covey_agent_rollback(agent, &error), COVEY_ERROR_NOT_FOUND);
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_int_equal(covey_agent_rollback(agent, &error), COVEY_OK);
    double_assert_serves(agent, "1.0.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.0.0"); /* what the user left is not taken again */
    assert_true(double_reported(&c, "return refused assistant@1.1.0"));
    double_finish(&c, agent);
}

static void test_damaged_current_falls_back(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    char path[400];
    snprintf(path, sizeof path, "%s/ensembles/%s/model.gguf", agent->state_dir,
             agent->state.current.digest);
    test_write(path, "short", 5);
    double_assert_serves(agent, "1.0.0");
    double_steps(&c, agent, 100);
    assert_true(double_reported(&c, "return failed assistant@1.1.0"));
    double_assert_serves(agent, "1.1.0"); /* the release was good: it was fetched again */
    double_finish(&c, agent);
}

static void test_damaged_state_still_answers(void **unused) {
    (void)unused;
    static const char *const states[] = {"", "{", "{}", "null", "{\"format\":1}", "\xff\xfe"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        control_double c;
        covey_agent *agent = device(&c);
        char path[400];
        snprintf(path, sizeof path, "%s/state.json", agent->state_dir);
        covey_agent_close(agent);
        test_write(path, states[i], strlen(states[i]));
        agent = double_agent(&c, true);
        double_assert_serves(agent, "1.0.0");
        assert_string_equal(agent->state.url, "");
        double_finish(&c, agent);
    }
}

static void test_clock_that_starts_in_1970(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_steps(&c, agent, 100);
    double_publish(&c, "v110", "1.1.0");
    c.now_ms = 5000; /* set back by decades: the next check-in may not wait for them */
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    int before = c.checkins;
    for (int i = 0; i < 60; i++)
        assert_int_equal(covey_agent_step(agent, 0, false, &outcome, &error), COVEY_OK);
    assert_true(c.checkins > before);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

static void test_target_withdrawn(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 3);
    assert_int_not_equal(agent->state.update.phase, COVEY__PHASE_NONE);
    c.target[0] = 0;
    double_steps(&c, agent, 100);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_NONE);
    double_assert_serves(agent, "1.0.0");
    double_finish(&c, agent);
}

static void test_user_settings_hold_an_update(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    covey_signals signals = COVEY_SIGNALS_INIT;
    covey_error error = {0};
    signals.network = COVEY_NETWORK_METERED;
    assert_int_equal(covey_runtime_push_signals(c.runtime, &signals, &error), COVEY_OK);
    double_publish(&c, "v110", "1.1.0");
    covey_agent_outcome outcome = double_steps(&c, agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    assert_true(double_reported(&c, "waiting assistant@1.1.0"));
    double_assert_serves(agent, "1.0.0");
    signals.network = COVEY_NETWORK_UNMETERED;
    assert_int_equal(covey_runtime_push_signals(c.runtime, &signals, &error), COVEY_OK);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

/* A call that succeeds leaves its error alone, also on a device that is new in every way. */
static void test_new_device_has_no_error(void **unused) {
    (void)unused;
    control_double c;
    covey__agent_state state;
    covey_error error = {0};
    double_open(&c);
    assert_int_equal(covey__state_load(covey__runtime_env(c.runtime),
                                       test_path(&c.folder, "nowhere"), &state, &error),
                     COVEY_OK);
    assert_int_equal(error.status, COVEY_OK);
    assert_string_equal(error.message, "");
    double_close(&c);
}

static void test_two_processes_take_turns(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    int lock = -1;
    char path[400];
    covey_error error = {0};
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    snprintf(path, sizeof path, "%s/lock", agent->state_dir);
    assert_int_equal(covey__lock_take(covey__runtime_env(c.runtime), path, false, &lock, &error),
                     COVEY_OK);
    assert_int_equal(covey_agent_step(agent, 10, true, &outcome, &error), COVEY_OK);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    double_assert_serves(agent, "1.0.0"); /* reading needs no lock */
    covey__lock_drop(lock);
    double_finish(&c, agent);
}

static void test_status_document(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    char *text = NULL;
    covey_error error = {0};
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 100);
    assert_int_equal(covey_agent_status(agent, &text, &error), COVEY_OK);
    assert_non_null(strstr(text, "\"version\": \"1.1.0\""));
    assert_null(strstr(text, "cvd_secret"));
    covey_agent_free_text(agent, text);
    char path[400];
    snprintf(path, sizeof path, "%s/state.json", agent->state_dir);
    size_t size = 0;
    char *state = test_read(path, &size);
    assert_null(strstr(state, "cvd_secret"));
    free(state);
    struct stat info;
    snprintf(path, sizeof path, "%s/secrets/device_token", agent->state_dir);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    double_finish(&c, agent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves_and_fetches_little),
        cmocka_unit_test(test_second_update_uses_the_first_and_cleans_up),
        cmocka_unit_test(test_network_gone_and_back),
        cmocka_unit_test(test_resumes_with_ranges),
        cmocka_unit_test(test_server_that_ignores_ranges),
        cmocka_unit_test(test_wrong_bytes_are_never_used),
        cmocka_unit_test(test_a_mismatch_deletes_nothing_else),
        cmocka_unit_test(test_404_is_final_in_time_and_503_is_not),
        cmocka_unit_test(test_bad_probes_are_refused_and_reported),
        cmocka_unit_test(test_flipped_byte_is_found_and_repaired),
        cmocka_unit_test(test_unsigned_release),
        cmocka_unit_test(test_needs_of_the_app),
        cmocka_unit_test(test_older_release_is_not_taken),
        cmocka_unit_test(test_trial_that_crashes_each_start),
        cmocka_unit_test(test_current_that_does_not_load),
        cmocka_unit_test(test_commit_at_close),
        cmocka_unit_test(test_rollback),
        cmocka_unit_test(test_damaged_current_falls_back),
        cmocka_unit_test(test_damaged_state_still_answers),
        cmocka_unit_test(test_clock_that_starts_in_1970),
        cmocka_unit_test(test_target_withdrawn),
        cmocka_unit_test(test_user_settings_hold_an_update),
        cmocka_unit_test(test_new_device_has_no_error),
        cmocka_unit_test(test_two_processes_take_turns),
        cmocka_unit_test(test_status_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
