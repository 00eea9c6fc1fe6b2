/* Room for an update: what is reserved before the first byte, what is given up and in which order,
 * and what is said when there is too little. The state folder lies on a small file system of its
 * own, which a super-user, or whoever may have a namespace of its own, can mount. */
#include "agent_double.h"

#include "agent/agent_files.h"
#include "base/file_space.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#define MODEL_BYTES 3000000
#define MARGIN      (16 << 20)
#define DISK_BYTES  (64 << 20)

static const char *state_file(control_double *c, const char *name) {
    char path[300];
    snprintf(path, sizeof path, "state/%s", name);
    return test_path(&c->folder, path);
}

static bool may_mount;

/* Once a process: a namespace of mounts of its own where mounting is not allowed otherwise. */
static int find_out(void **state) {
    (void)state;
    test_folder folder;
    test_folder_make(&folder);
    may_mount = mount("covey-test", folder.path, "tmpfs", 0, "size=1m") == 0;
    if (!may_mount && unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0)
        may_mount = mount("covey-test", folder.path, "tmpfs", 0, "size=1m") == 0;
    if (may_mount) umount(folder.path);
    test_folder_remove(&folder);
    return 0;
}

#define MOUNT_OR_SKIP()                                                                            \
    if (!may_mount) {                                                                              \
        print_message("skipped: this process may not mount a small file system\n");                \
        skip();                                                                                    \
    }

static covey_agent *device_of(control_double *c, bool builtin) {
    covey_error error = {0};
    double_open(c);
    if (builtin) double_ensemble(c, "builtin", "1.0.0", 100000, 10, NULL);
    const char *state = test_path(&c->folder, "state");
    assert_int_equal(mkdir(state, 0700), 0);
    char options[40];
    snprintf(options, sizeof options, "size=%d", DISK_BYTES);
    if (mount("covey-test", state, "tmpfs", 0, options)) fail_msg("mount: errno %d", errno);
    covey_agent *agent = double_agent(c, builtin);
    if (covey_agent_enroll(agent, "http://fleet.test/", "cve_x", NULL, &error))
        fail_msg("%s", error.message);
    return agent;
}

static void finish(control_double *c, covey_agent *agent) {
    covey_agent_close(agent);
    assert_int_equal(umount2(test_path(&c->folder, "state"), MNT_DETACH), 0);
    double_close(c);
}

/* Version `i` of a model of which nothing is here. */
static void publish(control_double *c, const char *version, uint64_t seed) {
    char path[400], text[2048], hex[65];
    uint8_t digest[32];
    assert_int_equal(mkdir(test_path(&c->folder, version), 0700), 0);
    uint8_t *model = malloc(MODEL_BYTES);
    for (size_t i = 0; i < MODEL_BYTES; i++) model[i] = (uint8_t)test_random(&seed);
    covey__sha256_of(model, MODEL_BYTES, digest);
    covey__hex(digest, 32, hex);
    snprintf(path, sizeof path, "%s/model.gguf", test_path(&c->folder, version));
    test_write(path, model, MODEL_BYTES);
    free(model);
    snprintf(text, sizeof text,
             "{\"format\":1,\"name\":\"assistant\",\"version\":\"%s\",\"variant\":\"q8_0\","
             "\"components\":["
             "{\"role\":\"model\",\"file\":\"model.gguf\",\"size\":%d,\"sha256\":\"%s\"}],"
             "\"needs\":{\"memory_bytes\":1000,\"engine_interface\":1,\"arithmetic_version\":1,"
             "\"app\":\"*\"}}",
             version, MODEL_BYTES, hex);
    snprintf(path, sizeof path, "%s/ensemble.json", test_path(&c->folder, version));
    test_write(path, text, strlen(text));
    double_publish(c, version, version);
}

static void install(control_double *c, covey_agent *agent, const char *version, uint64_t seed) {
    publish(c, version, seed);
    double_steps(c, agent, 200);
    double_assert_serves(agent, version);
    double_steps(c, agent, 10); /* it served: it is no trial any more */
    assert_false(agent->state.current.trial);
}

/* Fills the disk but for so many bytes. */
static void leave(control_double *c, covey_agent *agent, int64_t bytes) {
    covey__volume volume;
    unlink(state_file(c, "ballast"));
    assert_int_equal(covey__volume_read(agent->env, agent->state_dir, &volume, NULL), COVEY_OK);
    assert_true((int64_t)volume.available_bytes > bytes);
    int ballast = open(state_file(c, "ballast"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(ballast >= 0);
    assert_int_equal(posix_fallocate(ballast, 0, (off_t)((int64_t)volume.available_bytes - bytes)),
                     0);
    close(ballast);
}

typedef struct looking {
    const char *what;
    bool found;
} looking;

static void look(void *user, const covey_agent_audit_item *item) {
    looking *at = user;
    if (item->kind != COVEY_AGENT_AUDIT_CHANGE || strcmp(item->event, "given-up")) return;
    if (!strcmp(item->from, at->what)) at->found = true;
}

static bool audited(covey_agent *agent, const char *what) {
    covey_agent_audit_report report = COVEY_AGENT_AUDIT_REPORT_INIT;
    looking at = {what, false};
    assert_int_equal(covey_agent_audit(agent, &report, NULL, look, &at), COVEY_OK);
    return at.found;
}

static void all_is_reserved_before_the_first_byte(void **unused) {
    (void)unused;
    MOUNT_OR_SKIP();
    control_double c;
    char path[200];
    uint64_t taken;
    covey_agent *agent = device_of(&c, true);
    publish(&c, "1.1.0", 21);
    c.cut_at_request = -1;
    for (int i = 0; agent->state.update.phase != COVEY__PHASE_FETCH; i++) {
        covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
        assert_true(i < 50);
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, NULL), COVEY_OK);
    }
    assert_true(c.blob_bytes < 100000); /* documents alone */
    snprintf(path, sizeof path, "update/%s/model.gguf", agent->state.update.digest);
    assert_int_equal(covey__file_taken(agent->env, state_file(&c, path), &taken, NULL), COVEY_OK);
    assert_true(taken >= MODEL_BYTES);
    /* then the disk may be full: all fits that is to come, but for the state and the logs */
    leave(&c, agent, 300000);
    double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.1.0");
    finish(&c, agent);
}

static void too_little_is_said_with_both_numbers(void **unused) {
    (void)unused;
    MOUNT_OR_SKIP();
    control_double c;
    char needed[40];
    covey_agent *agent = device_of(&c, true);
    install(&c, agent, "1.1.0", 21);
    publish(&c, "1.2.0", 22);
    leave(&c, agent, MARGIN + MODEL_BYTES / 2);
    covey_agent_outcome outcome = double_steps(&c, agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    snprintf(needed, sizeof needed, "needs %d bytes", MODEL_BYTES);
    if (!strstr(outcome.message, needed) || !strstr(outcome.message, " are free"))
        fail_msg("%s", outcome.message);
    assert_true(double_reported(&c, "waiting assistant@1.2.0") || agent->state.outbox_count > 0);
    assert_int_equal(agent->state.refused_count, 0);
    double_assert_serves(agent, "1.1.0");
    unlink(state_file(&c, "ballast"));
    c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.2.0");
    finish(&c, agent);
}

static void previous_goes_last_and_only_where_it_may(void **unused) {
    (void)unused;
    MOUNT_OR_SKIP();
    control_double c;
    char path[200];
    static const char settings[] = "{\"format\":1,\"update\":{\"give_up_previous\":false}}";
    covey_agent *agent = device_of(&c, true);
    install(&c, agent, "1.1.0", 21);
    install(&c, agent, "1.2.0", 22);
    snprintf(path, sizeof path, "ensembles/%s", agent->state.previous.digest);
    assert_string_equal(agent->state.previous.version, "1.1.0");
    publish(&c, "1.3.0", 23);
    leave(&c, agent, MARGIN + MODEL_BYTES / 2);
    /* by the settings it stays */
    test_write(state_file(&c, "policy.json"), settings, sizeof settings - 1);
    covey_agent_outcome outcome = double_steps(&c, agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    if (!strstr(outcome.message, "settings keep it")) fail_msg("%s", outcome.message);
    /* and while current is on trial */
    unlink(state_file(&c, "policy.json"));
    agent->state.current.trial = true;
    assert_int_equal(covey__state_save(agent->env, agent->state_dir, &agent->state, NULL), 0);
    agent->served_digest[0] = 0;
    c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    outcome = double_steps(&c, agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    if (!strstr(outcome.message, "on trial")) fail_msg("%s", outcome.message);
    assert_true(covey__file_exists(state_file(&c, path)));
    /* else it goes, and is in the log */
    agent->state.current.trial = false;
    assert_int_equal(covey__state_save(agent->env, agent->state_dir, &agent->state, NULL), 0);
    c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    for (int i = 0; agent->state.update.phase == COVEY__PHASE_PLAN; i++) {
        assert_true(i < 50);
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, NULL), COVEY_OK);
    }
    assert_int_equal(agent->state.previous.digest[0], 0);
    assert_false(covey__file_exists(state_file(&c, path)));
    assert_true(audited(agent, "assistant@1.1.0"));
    double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.3.0");
    assert_string_equal(agent->state.previous.version, "1.2.0");
    finish(&c, agent);
}

static void previous_stays_where_nothing_stands_behind_it(void **unused) {
    (void)unused;
    MOUNT_OR_SKIP();
    control_double c;
    covey_agent *agent = device_of(&c, false);
    install(&c, agent, "1.1.0", 21);
    install(&c, agent, "1.2.0", 22);
    publish(&c, "1.3.0", 23);
    leave(&c, agent, MARGIN + MODEL_BYTES / 2);
    covey_agent_outcome outcome = double_steps(&c, agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    if (!strstr(outcome.message, "no built-in one")) fail_msg("%s", outcome.message);
    assert_string_equal(agent->state.previous.version, "1.1.0");
    finish(&c, agent);
}

/* What no slot names goes first, then downloads that were set aside; previous stays as long as that
 * is enough. */
static void the_order_is_kept(void **unused) {
    (void)unused;
    MOUNT_OR_SKIP();
    control_double c;
    char orphan[200], found[65];
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_agent *agent = device_of(&c, true);
    install(&c, agent, "1.1.0", 21);
    install(&c, agent, "1.2.0", 22);
    publish(&c, "1.3.0", 23);
    for (int i = 0; c.blob_bytes < 5 * MODEL_BYTES / 2; i++) {
        assert_true(i < 100);
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, NULL), COVEY_OK);
    }
    publish(&c, "1.4.0", 24);
    /* lacks a little: the orphan is enough */
    while (strcmp(agent->state.update.version, "1.4.0"))
        assert_int_equal(covey_agent_step(agent, 0, true, &outcome, NULL), COVEY_OK);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_PLAN);
    snprintf(orphan, sizeof orphan, "ensembles/%064d", 7);
    assert_int_equal(mkdir(state_file(&c, orphan), 0700), 0);
    strcat(orphan, "/model.gguf");
    uint8_t *bytes = calloc(MODEL_BYTES, 1);
    test_write(state_file(&c, orphan), bytes, MODEL_BYTES);
    free(bytes);
    leave(&c, agent, MARGIN + MODEL_BYTES / 2);
    for (int i = 0; strcmp(agent->state.update.version, "1.4.0") ||
                    agent->state.update.phase != COVEY__PHASE_FETCH;
         i++) {
        assert_true(i < 100);
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, NULL), COVEY_OK);
        if (outcome.state == COVEY_AGENT_WAITING) fail_msg("%s", outcome.message);
    }
    assert_false(covey__file_exists(state_file(&c, orphan)));
    assert_true(audited(agent, "what no slot names"));
    assert_true(covey__aside_at(agent, 0, found));
    assert_string_equal(agent->state.previous.version, "1.1.0");
    /* the room of 1.4.0, of which nothing came, is not enough: what was set aside goes too */
    publish(&c, "1.5.0", 25);
    leave(&c, agent, MARGIN - MODEL_BYTES * 3 / 10);
    for (int i = 0; strcmp(agent->state.update.version, "1.5.0") ||
                    agent->state.update.phase != COVEY__PHASE_FETCH;
         i++) {
        assert_true(i < 100);
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, NULL), COVEY_OK);
        if (outcome.state == COVEY_AGENT_WAITING) fail_msg("%s", outcome.message);
    }
    assert_true(audited(agent, "downloads that were set aside"));
    assert_string_equal(agent->state.previous.version, "1.1.0");
    double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.5.0");
    finish(&c, agent);
}

static int no_promises(void *user, const char *point, const char *subject) {
    (void)user;
    return !strcmp(point, "fallocate") && strstr(subject, "model.gguf") ? EOPNOTSUPP : 0;
}

/* Where nothing can be reserved, another process may take the room meanwhile. */
static void a_disk_that_fills_up_meanwhile_is_waited_for(void **unused) {
    (void)unused;
    MOUNT_OR_SKIP();
    control_double c;
    covey_agent *agent = device_of(&c, true);
    covey__env *env = covey__runtime_env_for_tests(c.runtime);
    env->fault = no_promises;
    publish(&c, "1.1.0", 21);
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    for (int i = 0; c.blob_bytes < MODEL_BYTES / 3; i++) {
        assert_true(i < 100);
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, NULL), COVEY_OK);
    }
    leave(&c, agent, 400000);
    outcome = double_steps(&c, agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    if (!strstr(outcome.message, " are free")) fail_msg("%s", outcome.message);
    uint64_t before = c.blob_bytes;
    unlink(state_file(&c, "ballast"));
    c.now_ms += 2 * COVEY__RETRY_MAX_MS;
    double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.1.0");
    assert_true(c.blob_bytes - before < MODEL_BYTES * 3 / 4); /* what had arrived was kept */
    env->fault = NULL;
    finish(&c, agent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_reserved_before_the_first_byte),
        cmocka_unit_test(too_little_is_said_with_both_numbers),
        cmocka_unit_test(previous_goes_last_and_only_where_it_may),
        cmocka_unit_test(previous_stays_where_nothing_stands_behind_it),
        cmocka_unit_test(the_order_is_kept),
        cmocka_unit_test(a_disk_that_fills_up_meanwhile_is_waited_for),
    };
    return cmocka_run_group_tests(tests, find_out, NULL);
}
