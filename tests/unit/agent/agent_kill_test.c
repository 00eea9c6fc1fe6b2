/* The process killed, or a system call failed, at every fault point of an update, one after the
 * other: each write, fsync, rename, removal, reservation, and each action of the agent. After each,
 * the device answers with the old ensemble or the new one, whole, and goes on to the new one by
 * itself. */
#include "agent_double.h"

#include <errno.h>
#include <sys/wait.h>

#define MODEL_BYTES 150000
#define KILLED      77
#define POINTS_MAX  3000

typedef struct trap {
    int count, at;  /* fires at the at-th point */
    int error;      /* errno to fail with, or 0 to end the process */
    char point[32]; /* where it fired */
} trap;

static int on_point(void *user, const char *point, const char *subject) {
    trap *t = user;
    (void)subject;
    if (++t->count != t->at) return 0;
    snprintf(t->point, sizeof t->point, "%s", point);
    if (!t->error) _exit(KILLED);
    return t->error;
}

static void publish_all(control_double *c) {
    covey_error error = {0};
    double_open(c);
    double_ensemble(c, "builtin", "1.0.0", MODEL_BYTES, 10, NULL);
    double_ensemble(c, "v110", "1.1.0", MODEL_BYTES, 11, NULL);
    double_publish(c, "v110", "1.1.0");
    double_steer(c, 1,
                 "{\"id\":\"k-1\",\"kind\":\"kill\",\"versions\":\"=1.0.9\",\"reason\":\"r\","
                 "\"author\":\"a\",\"issued\":\"2026-11-20T10:00:00Z\"}");
    covey_agent *agent = double_agent(c, true);
    if (covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error))
        fail_msg("%s", error.message);
    covey_agent_close(agent);
}

/* One life of the device: opens, updates, serves, closes. Errors are allowed while the trap is set.
 */
static void live(control_double *c, trap *t, bool strict) {
    covey__env *env = covey__runtime_env_for_tests(c->runtime);
    covey_agent_options options = COVEY_AGENT_OPTIONS_INIT;
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_ensemble *ensemble = NULL;
    covey_agent *agent = NULL;
    covey_error error = {0};
    char state[300], shipped[300];
    snprintf(state, sizeof state, "%s", test_path(&c->folder, "state"));
    snprintf(shipped, sizeof shipped, "%s", test_path(&c->folder, "builtin"));
    options.state_dir = state;
    options.builtin_dir = shipped;
    options.app_version = "1.0.0";
    options.probe = double_probe;
    options.probe_user = c;
    env->fault = t ? on_point : NULL;
    env->fault_user = t;
    covey_status status = covey__agent_open(c->runtime, &options, &agent, &error);
    if (strict && status) fail_msg("open: %s", error.message);
    for (int i = 0; !status && i < 60; i++) {
        status = covey_agent_step(agent, 0, i == 0, &outcome, &error);
        if (strict && status) fail_msg("step: %s", error.message);
        if (outcome.state != COVEY_AGENT_WORKING) break;
    }
    if (agent && !covey_agent_current(agent, &ensemble, NULL)) covey_ensemble_close(ensemble);
    if (agent) status = covey_agent_step(agent, 0, false, &outcome, &error);
    if (strict && status) fail_msg("step: %s", error.message);
    covey_agent_close(agent);
    env->fault = NULL;
}

static void remove_state(control_double *c) {
    test_folder state;
    snprintf(state.path, sizeof state.path, "%s", test_path(&c->folder, "state"));
    test_folder_remove(&state);
}

/* What the device answers with right now is whole: every byte of it is checked. */
static void assert_answers(control_double *c) {
    covey_ensemble *ensemble = NULL, *whole = NULL;
    covey_error error = {0};
    covey_agent *agent = double_agent(c, true);
    if (covey_agent_current(agent, &ensemble, &error))
        fail_msg("nothing answers: %s", error.message);
    char folder[500];
    bool newer = strcmp(covey_ensemble_version(ensemble), "1.0.0") != 0;
    if (newer)
        snprintf(folder, sizeof folder, "%s/ensembles/%s", agent->state_dir,
                 covey_ensemble_digest(ensemble));
    else
        snprintf(folder, sizeof folder, "%s", test_path(&c->folder, "builtin"));
    if (covey_ensemble_open(c->runtime, folder, COVEY_CHECK_DIGESTS, &whole, &error))
        fail_msg("not whole: %s", error.message);
    covey_ensemble_close(whole);
    covey_ensemble_close(ensemble);
    covey_agent_close(agent);
}

static void assert_arrives(control_double *c) {
    for (int i = 0; i < 20; i++) {
        covey__agent_state state;
        covey_error error = {0};
        live(c, NULL, true);
        assert_int_equal(covey__state_load(covey__runtime_env(c->runtime),
                                           test_path(&c->folder, "state"), &state, &error),
                         COVEY_OK);
        if (state.current.digest[0] && !state.current.trial) return;
        c->now_ms += 2 * COVEY__RETRY_MAX_MS;
    }
    char *state = test_read(test_path(&c->folder, "state/state.json"), &(size_t){0});
    print_message("%s\n", state ? state : "no state");
    free(state);
    fail_msg("the device never came to 1.1.0");
}

/* Returns false when the life ended without coming to that point. */
static bool kill_at(control_double *c, int at) {
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        trap t = {.at = at};
        live(c, &t, false);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == KILLED;
}

static void test_killed_at_every_point(void **unused) {
    (void)unused;
    control_double c;
    int at = 1;
    publish_all(&c);
    for (; at < POINTS_MAX; at++) {
        covey_error error = {0};
        if (!kill_at(&c, at)) break;
        assert_answers(&c);
        assert_arrives(&c);
        remove_state(&c);
        covey_agent *agent = double_agent(&c, true);
        if (covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error))
            fail_msg("%s", error.message);
        covey_agent_close(agent);
        c.report_count = 0;
    }
    print_message("killed at %d points\n", at - 1);
    assert_true(at > 60 && at < POINTS_MAX);
    double_close(&c);
}

/* A full disk and a failing one in turn. */
static void test_failed_at_every_point(void **unused) {
    (void)unused;
    control_double c;
    int at = 1;
    publish_all(&c);
    for (; at < POINTS_MAX; at++) {
        covey_error error = {0};
        trap t = {.at = at, .error = at % 2 ? ENOSPC : EIO};
        live(&c, &t, false);
        if (t.count < at) break;
        assert_answers(&c);
        assert_arrives(&c);
        remove_state(&c);
        covey_agent *agent = double_agent(&c, true);
        if (covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error))
            fail_msg("%s", error.message);
        covey_agent_close(agent);
        c.report_count = 0;
    }
    print_message("failed at %d points\n", at - 1);
    assert_true(at > 60 && at < POINTS_MAX);
    double_close(&c);
}

/* Another release is wanted while half of the one before is here. */
static void test_killed_as_the_target_changes(void **unused) {
    (void)unused;
    control_double c;
    int at = 1;
    publish_all(&c);
    char *first = strdup(c.target);
    assert_non_null(first);
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    for (; at < POINTS_MAX; at++) {
        covey_error error = {0};
        covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
        snprintf(c.target, sizeof c.target, "%s", first);
        remove_state(&c);
        covey_agent *agent = double_agent(&c, true);
        if (covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error))
            fail_msg("%s", error.message);
        for (int i = 0; i < 4; i++)
            assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, &error), COVEY_OK);
        assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
        covey_agent_close(agent);
        double_publish(&c, "v120", "1.2.0");
        if (!kill_at(&c, at)) break;
        assert_answers(&c);
        assert_arrives(&c);
        agent = double_agent(&c, true);
        assert_string_equal(agent->state.current.version, "1.2.0");
        assert_int_equal(agent->state.refused_count, 0);
        covey_agent_close(agent);
        c.report_count = 0;
    }
    print_message("killed at %d points\n", at - 1);
    assert_true(at > 60 && at < POINTS_MAX);
    free(first);
    double_close(&c);
}

/* Killed, and killed again while it recovers. */
static void test_killed_twice(void **unused) {
    (void)unused;
    control_double c;
    publish_all(&c);
    for (int at = 5; at < 400; at += 17) {
        for (int again = 1; again < 60; again += 7) {
            if (!kill_at(&c, at)) break;
            kill_at(&c, again);
            assert_answers(&c);
        }
    }
    assert_arrives(&c);
    double_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_at_every_point),
        cmocka_unit_test(test_failed_at_every_point),
        cmocka_unit_test(test_killed_as_the_target_changes),
        cmocka_unit_test(test_killed_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
