/* The user's view: the log of every change, whole after a kill anywhere; what the channel may do;
 * consent; and what the user switches off. */
#include "agent_double.h"

#include "trust/hash_log.h"

#include <sys/wait.h>

#define MODEL_BYTES 60000
#define KILLED      77

/* ---- Reading the log --------------------------------------------------------------------------
 */

typedef struct seen {
    char events[4000]; /* " enrolled[to] root[1] ..." */
    char may[8000], may_not[8000];
    char signed_by[COVEY__SIGNED_BY_SIZE]; /* of the last that is installed */
} seen;

static void add_text(char *out, size_t capacity, const char *text) {
    assert_true(strlen(out) + strlen(text) + 1 < capacity);
    strcat(out, text);
}

static void on_item(void *user, const covey_agent_audit_item *item) {
    seen *all = user;
    char text[1200];
    if (item->kind == COVEY_AGENT_AUDIT_CHANGE) {
        snprintf(text, sizeof text, " %s[%s]", item->event, item->to);
        add_text(all->events, sizeof all->events, text);
        if (!strcmp(item->event, "installed"))
            snprintf(all->signed_by, sizeof all->signed_by, "%s", item->signed_by);
        return;
    }
    bool may = item->kind == COVEY_AGENT_AUDIT_MAY;
    snprintf(text, sizeof text, "%s\n", item->text);
    add_text(may ? all->may : all->may_not, sizeof all->may, text);
}

static covey_agent_audit_report audit(covey_agent *agent, seen *all) {
    covey_agent_audit_report report = COVEY_AGENT_AUDIT_REPORT_INIT;
    covey_error error = {0};
    memset(all, 0, sizeof *all);
    if (covey_agent_audit(agent, &report, &error, on_item, all)) fail_msg("%s", error.message);
    return report;
}

static void assert_has(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("expected \"%s\" in:\n%s", part, text);
}

static void assert_events(covey_agent *agent, const char *expected) {
    seen all;
    covey_agent_audit_report report = audit(agent, &all);
    if (!report.intact) fail_msg("%s", report.problem);
    assert_string_equal(all.events, expected);
}

static covey_agent *again(control_double *c, covey_agent *agent) {
    covey_agent_close(agent);
    return double_agent(c, true);
}

static const char *log_path(control_double *c) {
    return test_path(&c->folder, "state/audit.log/00000001.log");
}

#define ENROLLED " enrolled[http://fleet.test] root[1]"

/* ---- The log ----------------------------------------------------------------------------------
 */

static void test_an_update(void **unused) {
    (void)unused;
    control_double c;
    seen all;
    covey_agent *agent = double_device(&c, MODEL_BYTES, true);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_steps(&c, agent, 100);
    assert_events(agent, ENROLLED " update-begun[assistant@1.1.0] installed[assistant@1.1.0]"
                                  " committed[assistant@1.1.0]");
    covey_agent_audit_report report = audit(agent, &all);
    assert_int_equal(report.entry_count, 5);
    assert_int_equal(strncmp(all.signed_by, "assistant ", 10), 0);
    assert_int_equal(strlen(all.signed_by), 10 + 64);
    assert_has(all.may, "the role steering may stop");
    assert_has(all.may, "the role root may change who the other roles are: 2 of 2 keys");
    assert_has(all.may, "the ensemble here may use the tool timer");
    assert_has(all.may_not, "go below version 1.1.0");
    assert_has(all.may_not, "install a product other than assistant");
    assert_has(all.may_not, "take your words from this device");
    double_finish(&c, agent);
}

static void test_a_kill_and_a_rollback(void **unused) {
    (void)unused;
    control_double c;
    seen all;
    covey_error error = {0};
    covey_agent *agent = double_device(&c, MODEL_BYTES, true);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_steps(&c, agent, 100);
    double_steer(&c, 7,
                 "{\"id\":\"k-1\",\"kind\":\"kill\",\"versions\":\"=1.1.0\",\"reason\":\"it is "
                 "wrong\",\"author\":\"a\",\"issued\":\"2026-11-20T10:00:00Z\"}");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.0.0");
    audit(agent, &all);
    assert_has(all.events, " steering[7] killed[the built-in one]");
    assert_has(all.may_not, "serve, install or return to version =1.1.0: kill k-1, it is wrong");
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    double_publish(&c, "v120", "1.2.0");
    double_steps(&c, agent, 100);
    if (covey_agent_rollback(agent, &error)) fail_msg("%s", error.message);
    audit(agent, &all);
    assert_has(all.events, " installed[assistant@1.2.0] refused[assistant@1.2.0]"
                           " returned[the built-in one]");
    double_finish(&c, agent);
}

/* A byte that was changed, a line that was cut off, a folder that was removed. */
static void test_tampering_shows(void **unused) {
    (void)unused;
    control_double c;
    seen all;
    size_t size;
    covey_agent *agent = double_device(&c, MODEL_BYTES, true);
    double_steps(&c, agent, 100);
    char *log = test_read(log_path(&c), &size);
    for (int way = 0; way < 3; way++) {
        char *copy = malloc(size);
        size_t kept = size;
        memcpy(copy, log, size);
        if (way == 0) memcpy(strstr(copy, "fleet.test"), "other.test", 10);
        if (way == 1)
            while (copy[--kept - 1] != '\n') continue;
        if (way == 2) kept = 0;
        test_write(log_path(&c), copy, kept);
        free(copy);
        covey_agent_audit_report report = audit(agent, &all);
        assert_false(report.intact);
        assert_true(strlen(report.problem) > 5);
        if (way == 0) assert_int_equal(report.broken_segment, 1);
        test_write(log_path(&c), log, size);
        assert_true(audit(agent, &all).intact);
    }
    /* The next change puts it aside, and says so. */
    log[size / 2] ^= 1;
    test_write(log_path(&c), log, size);
    free(log);
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    double_publish(&c, "v120", "1.2.0");
    double_steps(&c, agent, 100);
    covey_agent_audit_report report = audit(agent, &all);
    assert_true(report.intact);
    assert_true(report.has_broken);
    assert_int_equal(strncmp(all.events, " log-replaced[] update-begun[", 29), 0);
    double_finish(&c, agent);
}

/* ---- Kills ------------------------------------------------------------------------------------
 */

typedef struct trap {
    int count, at;
    bool armed;
} trap;

static int on_point(void *user, const char *point, const char *subject) {
    trap *t = user;
    (void)point;
    (void)subject;
    if (t->armed && ++t->count == t->at) _exit(KILLED);
    return 0;
}

/* Enrolls, updates, serves and commits, in a process that ends at the at-th point. */
static bool killed_at(control_double *c, int at) {
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        covey__env *env = covey__runtime_env_for_tests(c->runtime);
        trap t = {.at = at, .armed = true};
        covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
        covey_ensemble *ensemble = NULL;
        covey_error error = {0};
        env->fault = on_point;
        env->fault_user = &t;
        covey_agent *agent = double_agent(c, true);
        for (int i = 0; i < 60; i++)
            if (covey_agent_step(agent, 0, i == 0, &outcome, &error) ||
                outcome.state != COVEY_AGENT_WORKING)
                break;
        if (!covey_agent_current(agent, &ensemble, &error)) covey_ensemble_close(ensemble);
        covey_agent_close(agent);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == KILLED;
}

/* Whatever was killed, each change is told, and told once. */
static void test_killed_at_every_point(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    int at = 1;
    covey_agent_close(double_device(&c, MODEL_BYTES, true));
    for (; at < 2000; at++) {
        bool killed = killed_at(&c, at);
        covey_agent *agent = double_agent(&c, true);
        for (int i = 0; i < 20 && (!agent->state.current.digest[0] || agent->state.current.trial);
             i++) {
            c.now_ms += 2 * COVEY__RETRY_MAX_MS;
            double_steps(&c, agent, 100);
            double_assert_serves(agent, agent->state.current.digest[0] ? "1.1.0" : "1.0.0");
            double_steps(&c, agent, 100);
        }
        assert_events(agent, ENROLLED " update-begun[assistant@1.1.0] installed[assistant@1.1.0]"
                                      " committed[assistant@1.1.0]");
        covey_agent_close(agent);
        if (!killed) break;
        test_folder state;
        snprintf(state.path, sizeof state.path, "%s", test_path(&c.folder, "state"));
        test_folder_remove(&state);
        agent = double_agent(&c, true);
        if (covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error))
            fail_msg("%s", error.message);
        covey_agent_close(agent);
        c.report_count = 0;
    }
    print_message("killed at %d points\n", at - 1);
    assert_true(at > 60 && at < 2000);
    double_close(&c);
}

/* ---- Consent ----------------------------------------------------------------------------------
 */

#define TIMER  "{\"type\":\"function\",\"function\":{\"name\":\"timer\"}}"
#define SEARCH "{\"type\":\"function\",\"function\":{\"name\":\"search\"}}"

static void on_ask(void *user, const char *line) {
    add_text(user, 1000, line);
    add_text(user, 1000, "\n");
}

/* A device whose 1.1.0 asks for a tool more, and waits. */
static covey_agent *asking(control_double *c) {
    covey_error error = {0};
    double_open(c);
    c->tools = "[" TIMER "]";
    double_ensemble(c, "builtin", "1.0.0", MODEL_BYTES, 10, NULL);
    c->tools = "[" TIMER "," SEARCH "]";
    double_ensemble(c, "v110", "1.1.0", MODEL_BYTES, 11, NULL);
    double_publish(c, "v110", "1.1.0");
    covey_agent *agent = double_agent(c, true);
    if (covey_agent_enroll(agent, "http://fleet.test/", "cve_x", NULL, &error))
        fail_msg("%s", error.message);
    covey_agent_outcome outcome = double_steps(c, agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    assert_has(outcome.message, "consent: it may use the tool search");
    double_assert_serves(agent, "1.0.0");
    return agent;
}

static void test_consent_is_given(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    seen all;
    char asks[1000] = "", digest[65], *status = NULL;
    covey_agent *agent = asking(&c);
    assert_true(covey_agent_asks(agent, digest, on_ask, asks) > 0);
    assert_int_equal(strncmp(asks, "may use the tool search\n", 24), 0);
    assert_int_equal(covey_agent_status(agent, &status, &error), COVEY_OK);
    assert_has(status, "\"asks\"");
    covey_agent_free_text(agent, status);
    assert_int_equal(covey_agent_consent(agent, "00", true, &error), COVEY_ERROR_NOT_FOUND);
    if (covey_agent_consent(agent, digest, true, &error)) fail_msg("%s", error.message);
    agent = again(&c, agent);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_steps(&c, agent, 100);
    assert_int_equal(covey_agent_asks(agent, NULL, NULL, NULL), 0);
    audit(agent, &all);
    assert_has(all.events, " consent-asked[assistant@1.1.0] consent-given[assistant@1.1.0]"
                           " installed[assistant@1.1.0] committed[assistant@1.1.0]");
    /* What was given is not asked again, even after going back to what has it not. */
    if (covey_agent_rollback(agent, &error)) fail_msg("%s", error.message);
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    double_publish(&c, "v120", "1.2.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.2.0");
    double_finish(&c, agent);
}

static void test_consent_is_denied(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    seen all;
    covey_agent *agent = asking(&c);
    if (covey_agent_consent(agent, NULL, false, &error)) fail_msg("%s", error.message);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.0.0");
    audit(agent, &all);
    assert_has(all.events, " consent-asked[assistant@1.1.0] consent-denied[assistant@1.1.0]");
    assert_int_equal(covey_agent_consent(agent, NULL, true, &error), COVEY_ERROR_NOT_FOUND);
    /* The refusal is forgotten; the denial is not. */
    agent->state.refused_count = 0;
    assert_int_equal(covey__state_save(agent->env, agent->state_dir, &agent->state, &error),
                     COVEY_OK);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.0.0");
    assert_int_equal(agent->state.refused_count, 1);
    assert_int_equal(covey_agent_asks(agent, NULL, NULL, NULL), 0);
    double_finish(&c, agent);
}

static void test_consent_beforehand(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    covey_agent *agent = asking(&c);
    /* What else its user says meanwhile is not why it waits. */
    for (int off = 1; off >= 0; off--)
        if (covey_agent_opt_out(agent, "feature:web", off, &error)) fail_msg("%s", error.message);
    covey_agent_outcome outcome = double_steps(&c, agent, 100);
    assert_has(outcome.message, "waits in activate");
    assert_null(strstr(outcome.message, "opted"));
    static const char policy[] = "{\"format\":1,\"consent\":{\"ask\":false}}";
    test_write(test_path(&c.folder, "state/policy.json"), policy, sizeof policy - 1);
    c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

/* ---- Opting out -------------------------------------------------------------------------------
 */

static void opt_out(covey_agent *agent, const char *what, bool off) {
    covey_error error = {0};
    if (covey_agent_opt_out(agent, what, off, &error)) fail_msg("%s", error.message);
}

static void test_opting_out_of_all(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    seen all;
    char degrade[16], reason[100];
    covey_ensemble *ensemble = NULL;
    covey_agent *agent = double_device(&c, MODEL_BYTES, true);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_steps(&c, agent, 100);
    opt_out(agent, "all", true);
    covey_agent_outcome outcome = double_steps(&c, agent, 100);
    assert_true(outcome.current_changed || agent->shown_digest[0] == 0);
    double_assert_serves(agent, "1.0.0"); /* the built-in one stands in */
    assert_false(covey_agent_feature(agent, "assistant", degrade, reason, sizeof reason));
    assert_string_equal(degrade, "builtin");
    assert_true(double_reported(&c, "its user opted out"));
    /* Nothing is installed, but what stops a bad one still arrives. */
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    double_publish(&c, "v120", "1.2.0");
    double_steps(&c, agent, 100);
    assert_string_equal(agent->state.current.version, "1.1.0");
    /* Its own file decides, whatever is written there, and without a built-in one it is off. */
    agent = again(&c, agent);
    covey_agent_close(agent);
    agent = double_agent(&c, false);
    assert_int_equal(covey_agent_current(agent, &ensemble, &error), COVEY_ERROR_DENIED);
    assert_has(error.message, "opted out");
    agent = again(&c, agent);
    opt_out(agent, "all", false);
    c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.2.0");
    audit(agent, &all);
    assert_has(all.events, " opt-out[updates, the model]");
    assert_has(all.events, " opt-in[]");
    double_finish(&c, agent);
}

static void test_opting_out_of_a_feature(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    char reason[100];
    covey_agent *agent = double_device(&c, MODEL_BYTES, true);
    assert_true(covey_agent_feature(agent, "web-search", NULL, NULL, 0));
    opt_out(agent, "feature:web-search", true);
    assert_false(covey_agent_feature(agent, "web-search", NULL, reason, sizeof reason));
    assert_has(reason, "its user");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0"); /* updates and the model go on */
    opt_out(agent, "feature:assistant", true);
    double_assert_serves(agent, "1.0.0");
    /* While the file cannot be read, the model stays off. */
    test_write(test_path(&c.folder, "state/policy.json"), "{", 1);
    agent = again(&c, agent);
    double_assert_serves(agent, "1.0.0");
    assert_int_equal(covey_agent_opt_out(agent, "all", true, &error), COVEY_ERROR_BUSY);
    assert_int_equal(covey_agent_opt_out(agent, "nothing", true, &error), COVEY_ERROR_BUSY);
    double_finish(&c, agent);
}

static void test_opting_out_of_updates(void **unused) {
    (void)unused;
    control_double c;
    covey_agent_summary summary = COVEY_AGENT_SUMMARY_INIT;
    covey_error error = {0};
    covey_agent *agent = double_device(&c, MODEL_BYTES, true);
    opt_out(agent, "updates", true);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.0.0");
    assert_string_equal(agent->state.current.digest, "");
    assert_int_equal(covey_agent_describe(agent, &summary, &error), COVEY_OK);
    assert_string_equal(summary.opted_out, "updates");
    assert_string_equal(summary.degrade, "");
    assert_int_equal(covey_agent_opt_out(agent, "nothing", true, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    opt_out(agent, "updates", false);
    c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_update),
        cmocka_unit_test(test_a_kill_and_a_rollback),
        cmocka_unit_test(test_tampering_shows),
        cmocka_unit_test(test_consent_is_given),
        cmocka_unit_test(test_consent_is_denied),
        cmocka_unit_test(test_consent_beforehand),
        cmocka_unit_test(test_opting_out_of_all),
        cmocka_unit_test(test_opting_out_of_a_feature),
        cmocka_unit_test(test_opting_out_of_updates),
        cmocka_unit_test(test_killed_at_every_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
