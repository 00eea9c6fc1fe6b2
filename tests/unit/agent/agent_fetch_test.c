/* How an update's bytes come: from mirrors, some of which lie or lack them, under the user's
 * settings and the user's pause, and never longer than a step may take. */
#include "agent_double.h"

#include "base/runtime.h"

#define MODEL_BYTES 400000

#define MIRRORS "[\"http://one.test/b\",\"http://two.test/b\",\"no address\",7]"

static covey_agent *device(control_double *c) {
    return double_device(c, MODEL_BYTES, true);
}

static void policy_of(covey_agent *agent, const char *text) {
    char path[400];
    snprintf(path, sizeof path, "%s/policy.json", agent->state_dir);
    test_write(path, text, strlen(text));
}

static void test_a_lying_mirror_is_named(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    c.mirrors = MIRRORS;
    c.bad_host = "one.test";
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_true(double_reported(&c, "http://one.test/b with other bytes than its name says"));
    assert_false(double_reported(&c, "two.test"));
    assert_true(c.bad_host_requests >= 1 && c.bad_host_requests < c.blob_requests);
    assert_int_equal(agent->state.mirror_count, 2); /* what is no address is left out */
    assert_int_equal(agent->state.refused_count, 0);
    int named = 0;
    for (size_t i = 0; i < c.report_count; i++) named += strstr(c.reports[i], "one.test") != NULL;
    assert_int_equal(named, 1); /* once, and not for each blob */
    c.mirrors = NULL;
    double_steps(&c, agent, 100);
    assert_int_equal(agent->state.mirror_count, 0); /* named no more, asked no more */
    double_finish(&c, agent);
}

static void test_mirrors_that_lack_blobs(void **unused) {
    (void)unused;
    static const int statuses[] = {404, 410, 403, 500, 503};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        control_double c;
        covey_agent *agent = device(&c);
        c.mirrors = "[\"http://one.test/b\"]";
        c.bad_host = "one.test";
        c.bad_host_status = statuses[i];
        double_steps(&c, agent, 100);
        double_assert_serves(agent, "1.1.0");
        assert_true(c.bad_host_requests >= 1);
        assert_int_equal(agent->state.refused_count, 0);
        double_finish(&c, agent);
    }
}

static void test_the_users_mirror_is_asked_first(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    policy_of(agent, "{\"format\":1,\"update\":{\"mirror\":\"http://home.test/b/\"}}");
    c.mirrors = MIRRORS;
    c.bad_host = "home.test";
    c.bad_host_status = 0;
    c.blob_status = 0;
    double_steps(&c, agent, 1);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_true(double_reported(&c, "http://home.test/b with other bytes"));
    double_finish(&c, agent);
}

/* All say 410: it will never be there. 404 everywhere waits for mirrors to catch up. */
static void test_410_is_final_at_once(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_steps(&c, agent, 2);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
    c.blob_status = 410;
    double_steps(&c, agent, 100);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_NONE);
    assert_true(covey__is_refused(&agent->state, "assistant@1.1.0"));
    assert_true(double_reported(&c, "fetch refused assistant@1.1.0"));
    int before = c.blob_requests;
    for (int i = 0; i < 20; i++) { /* and it is asked for no more */
        c.now_ms += 2 * COVEY__RETRY_MAX_MS;
        double_steps(&c, agent, 10);
    }
    assert_int_equal(c.blob_requests, before);
    double_finish(&c, agent);
}

/* ---- The user's pause -------------------------------------------------------------------------
 */

static void test_pause_and_resume(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    covey_agent_summary summary = COVEY_AGENT_SUMMARY_INIT;
    covey_agent *agent = device(&c);
    double_steps(&c, agent, 3);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
    assert_int_equal(covey_agent_pause(agent, true, &error), COVEY_OK);
    int before = c.blob_requests;
    covey_agent_outcome outcome = double_steps(&c, agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    assert_non_null(strstr(outcome.message, "paused"));
    assert_non_null(strstr(c.last_checkin, "\"paused\":true"));
    assert_true(double_reported(&c, "fetch waiting assistant@1.1.0: its user paused updates"));
    covey_agent_close(agent);
    agent = double_agent(&c, true); /* it holds over restarts */
    for (int i = 0; i < 5; i++) {
        c.now_ms += 2 * COVEY__RETRY_MAX_MS;
        double_steps(&c, agent, 100);
    }
    assert_int_equal(c.blob_requests, before);
    double_assert_serves(agent, "1.0.0");
    assert_int_equal(covey_agent_describe(agent, &summary, &error), COVEY_OK);
    assert_true(summary.paused);
    size_t reports = 0;
    for (size_t i = 0; i < c.report_count; i++) reports += strstr(c.reports[i], "paused") != NULL;
    assert_int_equal(reports, 1);
    assert_int_equal(covey_agent_pause(agent, false, &error), COVEY_OK);
    double_steps(&c, agent, 100); /* at once: nothing is waited for */
    double_assert_serves(agent, "1.1.0");
    double_steps(&c, agent, 100);
    assert_null(strstr(c.last_checkin, "paused"));
    double_finish(&c, agent);
}

static void test_a_kill_holds_while_paused(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    covey_agent *agent = device(&c);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_int_equal(covey_agent_pause(agent, true, &error), COVEY_OK);
    double_steer(&c, 1,
                 "{\"id\":\"k-1\",\"kind\":\"kill\",\"versions\":\"=1.1.0\",\"reason\":\"r\","
                 "\"author\":\"a\",\"issued\":\"2026-11-20T10:00:00Z\"}");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.0.0");
    double_finish(&c, agent);
}

/* ---- Settings and facts, all the time ---------------------------------------------------------
 */

static void become_metered(control_double *c) {
    covey_signals signals = COVEY_SIGNALS_INIT;
    covey_error error = {0};
    if (c->blob_requests < 12) return;
    signals.network = COVEY_NETWORK_METERED;
    assert_int_equal(covey_runtime_push_signals(c->runtime, &signals, &error), COVEY_OK);
}

/* In the middle of one long step. */
static void test_a_network_that_becomes_metered(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_signals signals = COVEY_SIGNALS_INIT;
    double_open(&c);
    double_ensemble(&c, "v110", "1.1.0", 24 << 20, 11, NULL);
    double_publish(&c, "v110", "1.1.0");
    covey_agent *agent = double_agent(&c, false);
    assert_int_equal(covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error),
                     COVEY_OK);
    signals.network = COVEY_NETWORK_UNMETERED;
    assert_int_equal(covey_runtime_push_signals(c.runtime, &signals, &error), COVEY_OK);
    c.on_blob = become_metered;
    for (int i = 0; i < 20 && outcome.state != COVEY_AGENT_WAITING; i++)
        assert_int_equal(covey_agent_step(agent, 60000, i == 0, &outcome, &error), COVEY_OK);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    assert_non_null(strstr(outcome.message, "metered"));
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
    assert_true(double_reported(&c, "fetch waiting assistant@1.1.0"));
    uint64_t before = c.blob_bytes;
    assert_true(before > 4 << 20 && before < 16 << 20);
    c.on_blob = NULL;
    assert_int_equal(covey_runtime_push_signals(c.runtime, &signals, &error), COVEY_OK);
    c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    for (int i = 0; i < 20 && !agent->state.current.digest[0]; i++)
        assert_int_equal(covey_agent_step(agent, 60000, false, &outcome, &error), COVEY_OK);
    double_assert_serves(agent, "1.1.0");
    assert_true(c.blob_bytes - before < (24 << 20) - (4 << 20)); /* what had come stayed */
    double_finish(&c, agent);
}

static void test_the_ceiling_on_rate(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    double_open(&c);
    double_ensemble(&c, "v110", "1.1.0", 1500000, 11, NULL);
    double_publish(&c, "v110", "1.1.0");
    covey_agent *agent = double_agent(&c, false);
    assert_int_equal(covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error),
                     COVEY_OK);
    policy_of(agent, "{\"format\":1,\"update\":{\"rate_bytes_per_second_max\":1000000}}");
    int64_t begin_us = covey__monotonic_us();
    for (int i = 0; i < 2000 && !agent->state.current.digest[0]; i++)
        assert_int_equal(covey_agent_step(agent, 100, i == 0, &outcome, &error), COVEY_OK);
    double_assert_serves(agent, "1.1.0");
    double seconds = (double)(covey__monotonic_us() - begin_us) / 1e6;
    /* What came last may be owed: here a whole chunk comes at once. */
    assert_true(seconds > (double)(c.blob_bytes - (1 << 20)) / 1e6);
    double_finish(&c, agent);
}

/* ---- Time -------------------------------------------------------------------------------------
 */

static void test_interrupted_steps_end(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_agent *agent = device(&c);
    double_steps(&c, agent, 2);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
    int before = c.blob_requests, attempts = agent->state.update.attempts;
    covey_agent_interrupt(agent, true);
    assert_int_equal(covey_agent_step(agent, 60000, false, &outcome, &error), COVEY_OK);
    assert_int_equal(c.blob_requests, before);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
    assert_int_equal(agent->state.update.attempts, attempts); /* nothing failed */
    covey_agent_interrupt(agent, false);
    assert_int_equal(covey_agent_step(agent, 60000, false, &outcome, &error), COVEY_OK);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

/* A line that breaks again and again after it brought much is not waited for longer and longer. */
static void test_progress_begins_the_count_anew(void **unused) {
    (void)unused;
    covey__agent_state *state = calloc(1, sizeof *state);
    covey__agent_actions actions;
    covey__agent_event_in event = {.kind = COVEY__EVENT_FAILED, .random = 3, .now_ms = 1000};
    state->update.phase = COVEY__PHASE_FETCH;
    for (int i = 0; i < 9; i++) assert_true(covey__machine(state, &event, &actions));
    assert_int_equal(state->update.attempts, 9);
    event.progressed = true;
    assert_true(covey__machine(state, &event, &actions));
    assert_int_equal(state->update.attempts, 1);
    free(state);
}

/* A chunk that stands in a file many times comes over the network once. */
static void test_equal_chunks_come_once(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    char path[400];
    double_open(&c);
    double_ensemble(&c, "v110", "1.1.0", 8 << 20, 11, NULL);
    snprintf(path, sizeof path, "%s/model.gguf", test_path(&c.folder, "v110"));
    size_t size;
    char *model = test_read(path, &size), text[2000], hex[65], old[65];
    uint8_t digest[32];
    covey__sha256_of(model, size, digest);
    covey__hex(digest, 32, old);
    memset(model + (1 << 20), 0, 6 << 20);
    test_write(path, model, size);
    covey__sha256_of(model, size, digest);
    covey__hex(digest, 32, hex);
    free(model);
    snprintf(path, sizeof path, "%s/ensemble.json", test_path(&c.folder, "v110"));
    char *manifest = test_read(path, &size);
    char *at = strstr(manifest, old);
    assert_non_null(at);
    memcpy(at, hex, 64);
    snprintf(text, sizeof text, "%s", manifest);
    test_write(path, text, strlen(text));
    free(manifest);
    double_publish(&c, "v110", "1.1.0");
    covey_agent *agent = double_agent(&c, false);
    assert_int_equal(covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error),
                     COVEY_OK);
    double_steps(&c, agent, 300);
    double_assert_serves(agent, "1.1.0");
    size_t blobs = c.blob_count;
    assert_true((size_t)c.blob_requests <= blobs + 1);
    double_finish(&c, agent);
}

/* What is asked over TLS does not send devices to lines without it. */
static void test_mirrors_keep_the_lines_secrecy(void **unused) {
    (void)unused;
    static covey__agent_state state;
    covey__env env;
    covey__arena arena;
    const covey__json *list;
    covey_error error;
    const char text[] = "[\"http://a.test/b\",\"https://c.test/d\",\"file:///etc\"]";
    covey__env_init(&env);
    covey__arena_init(&arena, &env, 1 << 16);
    assert_int_equal(
        covey__json_parse(&arena, text, sizeof text - 1, COVEY__JSON_LIMITS_DEFAULT, &list, &error),
        COVEY_OK);
    strcpy(state.url, "https://fleet.test");
    covey__agent_read_mirrors(list, &state);
    assert_int_equal(state.mirror_count, 1);
    assert_string_equal(state.mirrors[0], "https://c.test/d");
    strcpy(state.url, "http://127.0.0.1:8080");
    covey__agent_read_mirrors(list, &state);
    assert_int_equal(state.mirror_count, 2);
    covey__arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lying_mirror_is_named),
        cmocka_unit_test(test_mirrors_keep_the_lines_secrecy),
        cmocka_unit_test(test_mirrors_that_lack_blobs),
        cmocka_unit_test(test_the_users_mirror_is_asked_first),
        cmocka_unit_test(test_410_is_final_at_once),
        cmocka_unit_test(test_pause_and_resume),
        cmocka_unit_test(test_a_kill_holds_while_paused),
        cmocka_unit_test(test_a_network_that_becomes_metered),
        cmocka_unit_test(test_the_ceiling_on_rate),
        cmocka_unit_test(test_interrupted_steps_end),
        cmocka_unit_test(test_progress_begins_the_count_anew),
        cmocka_unit_test(test_equal_chunks_come_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
