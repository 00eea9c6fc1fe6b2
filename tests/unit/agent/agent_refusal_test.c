/* What may end an update for ever and what may not: lines, settings, disks, clocks, other processes
 * and hostile answers come and go, and none of them may cost a device its release or its state. */
#include "agent_double.h"

#include <errno.h>
#include <sys/wait.h>

#define MODEL_BYTES 120000

/* A device that shipped with 1.0.0 and is enrolled, and 1.1.0 is offered. */
static covey_agent *device(control_double *c) {
    return double_device(c, MODEL_BYTES, true);
}

static void goes_on(control_double *c, covey_agent *agent) {
    c->now_ms += 2 * COVEY__RETRY_MAX_MS;
    double_steps(c, agent, 100);
    double_assert_serves(agent, "1.1.0");
}

static void step_to(covey_agent *agent, covey__phase phase) {
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    for (int i = 0; i < 40 && agent->state.update.phase != phase; i++)
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, &error), COVEY_OK);
    assert_int_equal(agent->state.update.phase, phase);
}

static const char *state_file(control_double *c, const char *name) {
    char path[300];
    snprintf(path, sizeof path, "state/%s", name);
    return test_path(&c->folder, path);
}

/* A message that is cut must be cut between characters, or the state is not read again. */
static void test_long_messages_do_not_cost_the_state(void **unused) {
    (void)unused;
    for (size_t prefix = 240; prefix < 262; prefix++) {
        control_double c;
        char text[400];
        covey_agent *agent = device(&c);
        memset(text, 'a', prefix);
        snprintf(text + prefix, sizeof text - prefix, "%s",
                 "\xe2\x80\xa6\xc3\xa9\xf0\x9f\x98\x80 and on");
        c.probe_status = COVEY_ERROR_REFUSED;
        c.probe_message = text;
        double_steps(&c, agent, 100);
        covey_agent_close(agent);
        agent = double_agent(&c, true);
        assert_string_equal(agent->state.url, "http://fleet.test");
        assert_true(covey__is_refused(&agent->state, "assistant@1.1.0"));
        double_finish(&c, agent);
    }
}

static void test_sign_in_page_refuses_nothing(void **unused) {
    (void)unused;
    static const covey__phase phases[] = {COVEY__PHASE_PLAN, COVEY__PHASE_FETCH};
    for (int i = 0; i < 2; i++) {
        control_double c;
        covey_agent *agent = device(&c);
        step_to(agent, phases[i]);
        c.page = "<html>Welcome to our hotel</html>";
        double_steps(&c, agent, 100);
        assert_int_equal(agent->state.refused_count, 0);
        assert_int_equal(agent->state.update.phase, phases[i]);
        c.page = NULL;
        goes_on(&c, agent);
        double_finish(&c, agent);
    }
}

static void test_wrong_settings_hold_but_refuse_nothing(void **unused) {
    (void)unused;
    static const char *const settings[] = {"{", "{\"format\":2}", "{\"format\":1,\"updat\":{}}"};
    for (int i = 0; i < 3; i++) {
        control_double c;
        covey_agent *agent = device(&c);
        test_write(state_file(&c, "policy.json"), settings[i], strlen(settings[i]));
        covey_agent_outcome outcome = double_steps(&c, agent, 100);
        assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
        assert_non_null(strstr(outcome.message, "policy.json"));
        assert_int_equal(agent->state.refused_count, 0);
        unlink(state_file(&c, "policy.json"));
        goes_on(&c, agent);
        double_finish(&c, agent);
    }
}

/* The control plane says that a good release is of another name or version than it is. */
static void test_false_target_refuses_nothing(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    char right[65536];
    memcpy(right, c.target, sizeof right);
    char *version = strstr(c.target, "1.1.0");
    memcpy(version, "1.9.0", 5);
    double_steps(&c, agent, 100);
    assert_int_equal(agent->state.refused_count, 0);
    double_assert_serves(agent, "1.0.0");
    memcpy(c.target, right, sizeof right);
    goes_on(&c, agent);
    double_finish(&c, agent);
}

static void test_other_name_is_not_taken(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    char *name = strstr(c.target, "\"name\":\"assistant\"");
    memcpy(name + 8, "assistanx", 9);
    double_steps(&c, agent, 100);
    assert_int_equal(c.blob_requests, 0);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_NONE);
    double_finish(&c, agent);
}

static void test_probes_that_wait_are_not_probes_that_kill(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    c.probe_status = COVEY_ERROR_BUSY;
    c.probe_message = "not now";
    for (int i = 0; i < 3 * COVEY__PROBE_STARTS_MAX; i++) {
        double_steps(&c, agent, 100);
        c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    }
    assert_true(c.probe_runs > COVEY__PROBE_STARTS_MAX);
    assert_int_equal(agent->state.refused_count, 0);
    c.probe_status = COVEY_OK;
    goes_on(&c, agent);
    double_finish(&c, agent);
}

static int deny_update(void *user, const char *point, const char *subject) {
    (void)user;
    return !strcmp(point, "open") && strstr(subject, "model.gguf") ? EACCES : 0;
}

/* Files that only another user may open today are no fault of the release. */
static void test_denied_by_the_file_system(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    step_to(agent, COVEY__PHASE_FETCH);
    covey__env *env = covey__runtime_env_for_tests(c.runtime);
    env->fault = deny_update;
    double_steps(&c, agent, 100);
    env->fault = NULL;
    assert_int_equal(agent->state.refused_count, 0);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
    goes_on(&c, agent);
    double_finish(&c, agent);
}

static covey_agent *agent_of_app(control_double *c, const char *version) {
    covey_agent *agent = NULL;
    covey_error error = {0};
    char state[300], shipped[300];
    covey_agent_options options = COVEY_AGENT_OPTIONS_INIT;
    snprintf(state, sizeof state, "%s", test_path(&c->folder, "state"));
    snprintf(shipped, sizeof shipped, "%s", test_path(&c->folder, "builtin"));
    options.state_dir = state;
    options.builtin_dir = shipped;
    options.app_version = version;
    options.probe = double_probe;
    options.probe_user = c;
    return covey__agent_open(c->runtime, &options, &agent, &error) ? NULL : agent;
}

/* The release needs a newer app. When that app comes, it is taken. */
static void test_a_newer_app_brings_what_needed_it(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, ">=2.0.0");
    double_publish(&c, "v120", "1.2.0");
    double_steps(&c, agent, 100);
    assert_true(covey__is_refused(&agent->state, "assistant@1.2.0"));
    covey_agent_close(agent);
    agent = agent_of_app(&c, "1.0.0"); /* the same app: it stays refused */
    int before = c.blob_requests;
    double_steps(&c, agent, 100);
    assert_int_equal(c.blob_requests, before);
    covey_agent_close(agent);
    agent = agent_of_app(&c, "2.1.0");
    assert_false(covey__is_refused(&agent->state, "assistant@1.2.0"));
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.2.0");
    double_finish(&c, agent);
}

static void test_app_version_is_checked(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    assert_null(agent_of_app(&c, "1.0"));
    assert_null(agent_of_app(&c, ""));
    assert_null(agent_of_app(
        &c, "1.0.0-a234567890123456789012345678901234567890123456789012345678901234567890"));
    double_finish(&c, agent);
}

/* One process that asks for the ensemble again and again has not failed to start. */
static void test_many_openings_in_one_process(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_steps(&c, agent, 100);
    for (int i = 0; i < 3 * COVEY__TRIAL_STARTS_MAX; i++) double_assert_serves(agent, "1.1.0");
    assert_int_equal(agent->state.refused_count, 0);
    double_finish(&c, agent);
}

/* The system changed, and the files were damaged meanwhile: that is no word against the release. */
static void test_damage_found_when_proved_again(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_steps(&c, agent, 10);
    char name[200];
    snprintf(name, sizeof name, "ensembles/%s/model.gguf", agent->state.current.digest);
    test_write(state_file(&c, name), "short", 5);
    snprintf(agent->state.current.proved, 128, "another library");
    covey_error error = {0};
    assert_int_equal(covey__state_save(agent->env, agent->state_dir, &agent->state, &error), 0);
    double_steps(&c, agent, 100);
    assert_int_equal(agent->state.refused_count, 0);
    goes_on(&c, agent);
    double_finish(&c, agent);
}

/* Probes of the current ensemble that cannot run now are not run at every step. */
static void test_proving_again_has_patience(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    covey_error error = {0};
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_steps(&c, agent, 10);
    snprintf(agent->state.current.proved, 128, "another library");
    assert_int_equal(covey__state_save(agent->env, agent->state_dir, &agent->state, &error), 0);
    c.probe_status = COVEY_ERROR_NO_MEMORY;
    c.probe_message = "no memory";
    int before = c.probe_runs;
    for (int i = 0; i < 20; i++) double_steps(&c, agent, 3);
    assert_int_equal(c.probe_runs, before + 1);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

static covey_status probe_that_kills(void *user, covey_ensemble *ensemble,
                                     covey_probe_result *result, covey_error *error) {
    (void)user, (void)ensemble, (void)result, (void)error;
    _exit(77);
}

/* A library that crashes on what is installed, each time it is to be proved again: it is left. */
static void test_proving_again_that_kills_is_given_up(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    covey_error error = {0};
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    double_steps(&c, agent, 10);
    c.target[0] = 0;
    snprintf(agent->state.current.proved, 128, "another library");
    assert_int_equal(covey__state_save(agent->env, agent->state_dir, &agent->state, &error), 0);
    int deaths = 0, status = 0;
    for (; deaths < 10; deaths++) {
        fflush(stdout);
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            agent->options.probe = probe_that_kills;
            for (int i = 0; i < 5; i++)
                if (covey_agent_step(agent, 0, false, &outcome, &error)) _exit(1);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WEXITSTATUS(status) != 77) break;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(deaths, COVEY__PROBE_STARTS_MAX);
    double_assert_serves(agent, "1.0.0");
    double_finish(&c, agent);
}

static void note_refusal(void *user, const covey_agent_event *event) {
    if (event->kind == COVEY_AGENT_EVENT_REFUSED && !strcmp(event->release, "assistant@1.1.0"))
        *(int *)user += strstr(event->message, "ended the process") != NULL;
}

/* An update whose probes take the process with them is given up, and the app is told. */
static void test_probes_that_kill_are_refused_aloud(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    covey_error error = {0};
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    int deaths = 0, status = 0, refusals = 0;
    for (; deaths < 10; deaths++) {
        fflush(stdout);
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            covey_agent *own = double_agent(&c, true);
            own->options.probe = probe_that_kills;
            own->options.event = note_refusal;
            own->options.event_user = &refusals;
            for (int i = 0; i < 50; i++)
                if (covey_agent_step(own, 0, false, &outcome, &error)) _exit(2);
            _exit(refusals);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WEXITSTATUS(status) != 77) break;
    }
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_int_equal(deaths, COVEY__PROBE_STARTS_MAX);
    double_assert_serves(agent, "1.0.0");
    double_finish(&c, agent);
}

/* Another process moved on since this one opened: enrolling must build on what is true now. */
static void test_enrolling_keeps_what_another_process_did(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    covey_error error = {0};
    covey_agent *other = double_agent(&c, true);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_int_equal(covey_agent_enroll(other, "http://second.test", "cve_y", NULL, &error),
                     COVEY_OK);
    double_assert_serves(other, "1.1.0");
    assert_string_equal(other->state.url, "http://second.test");
    covey_agent_close(other);
    double_finish(&c, agent);
}

/* What the first control plane wanted ends with it, and the second is not told of it. */
static void test_enrolling_elsewhere_ends_the_update(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    covey_error error = {0};
    step_to(agent, COVEY__PHASE_FETCH);
    assert_true(agent->state.outbox_count > 0);
    assert_int_equal(covey_agent_enroll(agent, "http://second.test", "cve_y", NULL, &error),
                     COVEY_OK);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_NONE);
    assert_int_equal(agent->state.outbox_count, 0);
    goes_on(&c, agent);
    double_finish(&c, agent);
}

static void test_enrollment_is_checked(void **unused) {
    (void)unused;
    static const char *const urls[] = {"http://",          "http:///x",    "ftp://x",
                                       "http://user:pw@x", "http://x?a=b", "http://x\xff",
                                       "http://x y"};
    control_double c;
    covey_agent *agent = device(&c);
    covey_error error = {0};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        assert_int_equal(covey_agent_enroll(agent, urls[i], "cve_x", NULL, &error),
                         COVEY_ERROR_INVALID_ARGUMENT);
    static const struct {
        const char *root;
        covey_status status;
    } roots[] = {
        {"0000000000000000000000000000000000000000000000000000000000000000", COVEY_ERROR_DENIED},
        {"/nonexistent/root.json", COVEY_ERROR_NOT_FOUND},
        {"/proc/self/status", COVEY_ERROR_FORMAT},
        {"00", COVEY_ERROR_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        assert_int_equal(covey_agent_enroll(agent, "http://x", "cve_x", roots[i].root, &error),
                         roots[i].status);
    assert_string_equal(agent->state.url, "http://fleet.test");
    double_finish(&c, agent);
}

/* Half of 1.1.0 is here when 1.2.0 is wanted instead: its room is given back at once. */
static void test_new_target_frees_the_room_of_the_old(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    char old[200];
    step_to(agent, COVEY__PHASE_FETCH);
    snprintf(old, sizeof old, "update/%s", agent->state.update.digest);
    assert_true(covey__file_exists(state_file(&c, old)));
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    double_publish(&c, "v120", "1.2.0");
    double_steps(&c, agent, 2);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
    assert_false(covey__file_exists(state_file(&c, old)));
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.2.0");
    double_finish(&c, agent);
}

static void test_clock_that_is_set_back_holds_no_reports(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    covey_error error = {0};
    c.target[0] = 0;
    double_steps(&c, agent, 10);
    agent->state.outbox[0] = (covey__agent_report){
        .id = "1-1", .phase = COVEY__PHASE_PLAN, .outcome = "ok", .release = "assistant@1.1.0"};
    agent->state.outbox_count = 1;
    agent->state.next_report_ms = c.now_ms + 60000;
    assert_int_equal(covey__state_save(agent->env, agent->state_dir, &agent->state, &error), 0);
    c.now_ms = -5; /* a broken clock is no reason to lose the state either */
    double_steps(&c, agent, 10);
    assert_true(double_reported(&c, "plan ok assistant@1.1.0"));
    covey_agent_close(agent);
    agent = double_agent(&c, true);
    assert_string_equal(agent->state.url, "http://fleet.test");
    double_finish(&c, agent);
}

static void test_server_sets_the_pace_within_bounds(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    c.target[0] = 0;
    c.poll_ms = 1;
    covey_agent_outcome outcome = double_steps(&c, agent, 10);
    assert_true(outcome.next_step_ms >= 40);
    c.poll_ms = 3600000;
    double_steps(&c, agent, 10);
    c.checkin_status = 503;
    c.retry_after_ms = 120000;
    outcome = double_steps(&c, agent, 10);
    assert_true(outcome.next_step_ms >= 120000);
    c.retry_after_ms = 0;
    c.checkin_status = 401; /* not wanted here: asking sooner than usual would only be a burden */
    outcome = double_steps(&c, agent, 10);
    assert_true(outcome.next_step_ms >= 3600000);
    double_finish(&c, agent);
}

/* More than fits one message goes in several, and none is lost. */
static void test_reports_that_do_not_fit_go_in_parts(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    covey_error error = {0};
    c.target[0] = 0;
    double_steps(&c, agent, 10);
    for (int i = 0; i < COVEY__OUTBOX_MAX; i++) {
        covey__agent_report *one = &agent->state.outbox[i];
        *one = (covey__agent_report){
            .phase = COVEY__PHASE_PLAN, .outcome = "ok", .release = "a@1.0.0"};
        snprintf(one->id, sizeof one->id, "r-%d", i);
        memset(one->rollout, '\\', 32);
        memset(one->release, '"', 131);
        memset(one->message, '"', 255);
        memset(one->id + 4, '\\', 40);
        snprintf(one->id + 44, 4, "%d", i);
    }
    agent->state.outbox_count = COVEY__OUTBOX_MAX;
    assert_int_equal(covey__state_save(agent->env, agent->state_dir, &agent->state, &error), 0);
    double_steps(&c, agent, 100);
    assert_int_equal(agent->state.outbox_count, 0);
    assert_int_equal(agent->state.outbox_dropped, 0);
    assert_int_equal(c.report_count, COVEY__OUTBOX_MAX);
    double_finish(&c, agent);
}

/* A state.json that parses but cannot be is taken for damaged, whatever it would have led to. */
static void test_state_that_cannot_be(void **unused) {
    (void)unused;
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"\"phase\": \"fetch\"", "\"phase\": \"commit\""},
        {"\"version\": \"1.1.0\"", "\"version\": \"1.1\""},
        {"\"digest\": \"", "\"digest\": \"../"},
        {"\"release_digest\": \"", "\"release_digest\": \"x"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        control_double c;
        covey_agent *agent = device(&c);
        step_to(agent, COVEY__PHASE_FETCH);
        covey_agent_close(agent);
        size_t size = 0;
        char *text = test_read(state_file(&c, "state.json"), &size), made[65536];
        char *at = strstr(text, changes[i].from);
        assert_non_null(at);
        snprintf(made, sizeof made, "%.*s%s%s", (int)(at - text), text, changes[i].to,
                 at + strlen(changes[i].from));
        free(text);
        test_write(state_file(&c, "state.json"), made, strlen(made));
        agent = double_agent(&c, true);
        assert_string_equal(agent->state.url, "");
        double_assert_serves(agent, "1.0.0");
        double_finish(&c, agent);
    }
}

static void play_device(control_double *c, const char *memory_kb) {
    char text[64], path[300];
    snprintf(path, sizeof path, "%s", test_path(&c->folder, "device"));
    assert_int_equal(setenv("COVEY_DEVICE_ROOT", path, 1), 0);
    covey_error error = {0};
    const covey__env *env = covey__runtime_env(c->runtime);
    assert_int_equal(covey__folder_make(env, test_path(&c->folder, "device/proc"), &error), 0);
    assert_int_equal(covey__folder_make(env, test_path(&c->folder, "device/covey"), &error), 0);
    snprintf(text, sizeof text, "MemTotal: %s kB\n", memory_kb);
    test_write(test_path(&c->folder, "device/proc/meminfo"), text, strlen(text));
    test_write(test_path(&c->folder, "device/covey/isa"), "avx2\n", 5);
}

/* Memory was taken from the machine while its variant came: what was planned is finished. */
static void test_class_that_changes_on_the_way(void **unused) {
    (void)unused;
    static const char *const large[] = {"large"}, *const others[] = {"tiny", "small", "medium"};
    control_double c;
    size_t size = 0;
    covey_agent *agent = device(&c);
    play_device(&c, "67108864");
    double_ensemble(&c, "v110b", "1.1.0", MODEL_BYTES, 12, NULL);
    char *manifest = test_read(test_path(&c.folder, "v110b/ensemble.json"), &size);
    memcpy(strstr(manifest, "q8_0"), "q4_0", 4);
    test_write(test_path(&c.folder, "v110b/ensemble.json"), manifest, size);
    free(manifest);
    covey__release_source sources[] = {{test_path(&c.folder, "v110"), large, 1},
                                       {test_path(&c.folder, "v110b"), others, 3}};
    double_publish_variants(&c, sources, 2, "1.1.0");
    step_to(agent, COVEY__PHASE_FETCH);
    assert_string_equal(agent->state.update.variant, "q8_0");
    covey_agent_close(agent);
    play_device(&c, "1000000");
    agent = double_agent(&c, true);
    goes_on(&c, agent);
    assert_string_equal(agent->state.current.variant, "q8_0");
    assert_int_equal(agent->state.last.phase, COVEY__PHASE_ACTIVATE);
    assert_false(double_reported(&c, "verify failed"));
    unsetenv("COVEY_DEVICE_ROOT");
    double_finish(&c, agent);
}

/* The app went back to a version that does not know this state: it answers and touches nothing. */
static void test_state_of_a_newer_program(void **unused) {
    (void)unused;
    static const char newer[] = "{\"format\": 2}";
    control_double c;
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    size_t size = 0;
    covey_agent *agent = device(&c);
    double_steps(&c, agent, 100);
    char installed[200];
    snprintf(installed, sizeof installed, "ensembles/%s", agent->state.current.digest);
    covey_agent_close(agent);
    test_write(state_file(&c, "state.json"), newer, strlen(newer));
    agent = double_agent(&c, true);
    double_assert_serves(agent, "1.0.0");
    assert_int_equal(covey_agent_step(agent, 100, true, &outcome, &error), COVEY_ERROR_UNSUPPORTED);
    assert_int_equal(covey_agent_enroll(agent, "http://x", "cve_x", NULL, &error),
                     COVEY_ERROR_UNSUPPORTED);
    covey_agent_close(agent);
    agent = double_agent(&c, true);
    double_assert_serves(agent, "1.0.0");
    char *text = test_read(state_file(&c, "state.json"), &size);
    assert_string_equal(text, newer);
    free(text);
    assert_true(covey__file_exists(state_file(&c, installed)));
    double_finish(&c, agent);
}

static int deny_state(void *user, const char *point, const char *subject) {
    (void)user;
    return !strcmp(point, "open") && strstr(subject, "/state.json") ? EACCES : 0;
}

/* Another user's folder: no new device to be enrolled. What the app ships answers; each step says
 * why. */
static void test_state_that_may_not_be_read(void **unused) {
    (void)unused;
    control_double c;
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_agent_options options = COVEY_AGENT_OPTIONS_INIT;
    covey_error error = {0};
    covey_agent *agent = device(&c), *none = NULL;
    double_steps(&c, agent, 100);
    covey_agent_close(agent);
    covey__env *env = covey__runtime_env_for_tests(c.runtime);
    env->fault = deny_state;
    agent = double_agent(&c, true);
    double_assert_serves(agent, "1.0.0");
    assert_int_equal(covey_agent_step(agent, 100, true, &outcome, &error), COVEY_ERROR_DENIED);
    char state[300];
    snprintf(state, sizeof state, "%s", test_path(&c.folder, "state"));
    options.state_dir = state;
    assert_int_equal(covey__agent_open(c.runtime, &options, &none, &error), COVEY_ERROR_DENIED);
    assert_non_null(strstr(error.message, "state.json"));
    env->fault = NULL;
    covey_agent_close(agent);
    agent = double_agent(&c, true);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_messages_do_not_cost_the_state),
        cmocka_unit_test(test_sign_in_page_refuses_nothing),
        cmocka_unit_test(test_wrong_settings_hold_but_refuse_nothing),
        cmocka_unit_test(test_false_target_refuses_nothing),
        cmocka_unit_test(test_other_name_is_not_taken),
        cmocka_unit_test(test_probes_that_wait_are_not_probes_that_kill),
        cmocka_unit_test(test_denied_by_the_file_system),
        cmocka_unit_test(test_a_newer_app_brings_what_needed_it),
        cmocka_unit_test(test_app_version_is_checked),
        cmocka_unit_test(test_many_openings_in_one_process),
        cmocka_unit_test(test_damage_found_when_proved_again),
        cmocka_unit_test(test_proving_again_has_patience),
        cmocka_unit_test(test_proving_again_that_kills_is_given_up),
        cmocka_unit_test(test_probes_that_kill_are_refused_aloud),
        cmocka_unit_test(test_enrolling_keeps_what_another_process_did),
        cmocka_unit_test(test_enrolling_elsewhere_ends_the_update),
        cmocka_unit_test(test_enrollment_is_checked),
        cmocka_unit_test(test_new_target_frees_the_room_of_the_old),
        cmocka_unit_test(test_clock_that_is_set_back_holds_no_reports),
        cmocka_unit_test(test_server_sets_the_pace_within_bounds),
        cmocka_unit_test(test_reports_that_do_not_fit_go_in_parts),
        cmocka_unit_test(test_state_that_cannot_be),
        cmocka_unit_test(test_class_that_changes_on_the_way),
        cmocka_unit_test(test_state_of_a_newer_program),
        cmocka_unit_test(test_state_that_may_not_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
