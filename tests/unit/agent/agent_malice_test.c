/* A control plane in an attacker's hands: with the online key (timestamp and snapshot), the blobs
 * and the wire, but none of the offline keys. Whatever it does, the device goes on serving what it
 * served, and its status says why nothing new is believed. Then clocks that are far off. */
#include "agent_double.h"

#include "base/utc.h"

#define MODEL_BYTES 60000
#define WHO         "\"reason\":\"wrong\",\"author\":\"a@b\",\"issued\":\"2026-11-20T10:00:00Z\""
#define KILL        "{\"id\":\"k-1\",\"kind\":\"kill\",\"versions\":\"=1.1.0\"," WHO "}"

static void fresh_device(control_double *c, covey_agent **agent) {
    *agent = double_device(c, MODEL_BYTES, true);
    double_steps(c, *agent, 100);
    double_assert_serves(*agent, "1.1.0");
    double_steps(c, *agent, 10);
    assert_string_equal((*agent)->state.trust.message, "");
}

/* It serves what it served, says why in its status, and a report of it goes out. */
static void assert_held(control_double *c, covey_agent *agent, const char *version,
                        const char *why) {
    covey_agent_summary summary = COVEY_AGENT_SUMMARY_INIT;
    covey_error error = {0};
    double_steps(c, agent, 100);
    double_assert_serves(agent, version);
    assert_int_equal(agent->state.refused_count, 0);
    assert_int_equal(agent->state.checkin_failures, 0);
    assert_int_equal(covey_agent_describe(agent, &summary, &error), COVEY_OK);
    if (!strstr(summary.held_back, why)) fail_msg("\"%s\" is not in: %s", why, summary.held_back);
    char reported[100];
    snprintf(reported, sizeof reported, "check-in failed assistant@%s", version);
    assert_true(double_reported(c, reported));
}

/* And goes on by itself when the attacker is gone. */
static void assert_recovers(control_double *c, covey_agent *agent, const char *version) {
    if (!test_read(test_path(&c->folder, "v190/ensemble.json"), &(size_t){0}))
        double_ensemble(c, "v190", "1.9.0", MODEL_BYTES, 90, NULL);
    double_publish(c, "v190", "1.9.0");
    double_steps(c, agent, 100);
    double_assert_serves(agent, version);
    assert_string_equal(agent->state.trust.message, "");
}

typedef struct saved {
    char *data;
    size_t size;
} saved;

static saved save(control_double *c, const char *name) {
    const repo_file *file = repo_find(&c->repository, name);
    saved copy = {malloc(file->size), file->size};
    memcpy(copy.data, file->data, file->size);
    return copy;
}

static void put_back(control_double *c, const char *name, saved copy) {
    repo_put(&c->repository, name, copy.data, copy.size);
    free(copy.data);
}

static void test_replay_of_old_metadata(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    fresh_device(&c, &agent);
    saved old = save(&c, "timestamp.json");
    repo_publish(&c.repository);
    double_steps(&c, agent, 10);
    put_back(&c, "timestamp.json", old);
    c.served_timestamp = 1;
    assert_held(&c, agent, "1.1.0", "was seen before");
    c.served_timestamp = 0;
    assert_recovers(&c, agent, "1.9.0");
    double_finish(&c, agent);
}

static void test_freeze(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    fresh_device(&c, &agent);
    int64_t later_ms = c.repository.expires_ms;
    c.repository.expires_ms = c.now_ms + REPO_DAY_MS; /* of what the online key signs */
    repo_publish_snapshot(&c.repository);
    repo_publish_timestamp(&c.repository);
    double_steps(&c, agent, 10);
    c.now_ms += 2 * REPO_DAY_MS;
    c.repository.requests = 0;
    char why[160], date[COVEY__UTC_SIZE];
    covey__utc_format(c.repository.expires_ms, date);
    snprintf(why, sizeof why,
             "held back: the metadata expired on %s and the control plane has no newer", date);
    assert_held(&c, agent, "1.1.0", why);
    assert_int_equal(c.repository.requests, 1); /* one for each check-in */
    /* Something newer is offered, with the metadata of before. */
    c.unsigned_too = true;
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    double_publish(&c, "v120", "1.2.0");
    assert_held(&c, agent, "1.1.0", why);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_NONE);
    c.unsigned_too = false;
    c.repository.expires_ms = later_ms;
    assert_recovers(&c, agent, "1.9.0");
    double_finish(&c, agent);
}

static void test_mix_and_match(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    fresh_device(&c, &agent);
    agent_repository *r = &c.repository;
    /* The newest snapshot, by the stolen online key, over the product's role of before. */
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    double_publish(&c, "v120", "1.2.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.2.0");
    double_steps(&c, agent, 10);
    r->product--;
    repo_publish_snapshot(r);
    repo_publish_timestamp(r);
    assert_held(&c, agent, "1.2.0", "assistant.json");
    r->product++;
    assert_recovers(&c, agent, "1.9.0");
    double_finish(&c, agent);
}

/* Metadata of a role whose key the attacker does not have, under a snapshot that names it. */
static void test_forged_product_role(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    fresh_device(&c, &agent);
    agent_repository *r = &c.repository;
    c.unsigned_too = true;
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    double_publish(&c, "v120", "1.2.0");
    covey__tuf_make_target forged = r->releases[0];
    forged.name = "assistant/1.2.0/release.json";
    repo_publish_role(r, "assistant", ++r->product, REPO_ONLINE_KEY, &forged, 1);
    repo_publish_snapshot(r);
    repo_publish_timestamp(r);
    assert_held(&c, agent, "1.1.0", "held back: assistant@1.2.0: ");
    c.unsigned_too = false;
    assert_recovers(&c, agent, "1.9.0");
    double_finish(&c, agent);
}

static void test_wrong_assignment(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    fresh_device(&c, &agent);
    /* Another product. */
    char *name = strstr(c.target, "\"name\":\"assistant\"");
    memcpy(name + 8, "assistanx", 9);
    assert_held(&c, agent, "1.1.0", "assistanx@1.1.0 is not taken");
    /* An older version, properly signed. */
    double_ensemble(&c, "v105", "1.0.5", MODEL_BYTES, 13, NULL);
    double_publish(&c, "v105", "1.0.5");
    assert_held(&c, agent, "1.1.0", "no signed statement permits to go back");
    /* A killed one. */
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 14, NULL);
    double_publish(&c, "v120", "1.2.0");
    double_steer(&c, 1, "{\"id\":\"k-2\",\"kind\":\"kill\",\"versions\":\"=1.2.0\"," WHO "}");
    assert_held(&c, agent, "1.1.0", "steering k-2");
    /* The document of one version under the name of another. */
    char *version = strstr(c.target, "1.2.0");
    memcpy(version, "1.1.5", 5);
    assert_held(&c, agent, "1.1.0", "not signed: no trusted role names a release assistant@1.1.5");
    assert_recovers(&c, agent, "1.9.0");
    double_finish(&c, agent);
}

/* Signed, but for devices of another class: that is refused, as long as the device is what it is.
 */
static void test_release_of_another_class(void **unused) {
    (void)unused;
    static const char *const none[] = {"tiny"};
    control_double c;
    covey_agent *agent;
    fresh_device(&c, &agent);
    covey_device_facts facts = {.size = sizeof facts};
    assert_int_equal(covey_device_read(c.runtime, agent->state_dir, &facts, NULL), COVEY_OK);
    if (!strcmp(covey_device_class_name(facts.device_class), "tiny")) skip();
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    covey__release_source source = {test_path(&c.folder, "v120"), none, 1};
    double_publish_variants(&c, &source, 1, "1.2.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_non_null(strstr(agent->state.last.message, "no variant for devices of class"));
    double_finish(&c, agent);
}

static void test_endless_slow_and_down(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    fresh_device(&c, &agent);
    agent_repository *r = &c.repository;
    repo_publish(r);
    r->endless = 100u << 20;
    assert_held(&c, agent, "1.1.0", "longer than");
    r->endless = 0;
    r->slow = "snapshot";
    assert_held(&c, agent, "1.1.0", "no byte for 30 s");
    r->slow = NULL;
    r->is_down = true;
    assert_held(&c, agent, "1.1.0", "503");
    r->is_down = false;
    assert_recovers(&c, agent, "1.9.0");
    double_finish(&c, agent);
}

/* Documents that are larger than what names them, or than any may be. */
static void test_oversized(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    fresh_device(&c, &agent);
    agent_repository *r = &c.repository;
    r->has_steering = true;
    r->steering = (covey__tuf_make_target){.name = "steering/assistant.json", .length = 1u << 30};
    repo_publish(r);
    assert_held(&c, agent, "1.1.0", "262144");
    r->has_steering = false;
    repo_publish(r);
    char *large = malloc(600000);
    memset(large, ' ', 600000);
    char name[40];
    snprintf(name, sizeof name, "%lld.root.json", (long long)r->root + 1);
    repo_put(r, name, large, 600000);
    free(large);
    r->root++;
    assert_held(&c, agent, "1.1.0", "root");
    r->root--;
    assert_recovers(&c, agent, "1.9.0");
    double_finish(&c, agent);
}

static void test_swapped_chunks(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    fresh_device(&c, &agent);
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    double_publish(&c, "v120", "1.2.0");
    c.spoil_at_request = c.blob_requests + 4; /* release, manifest and indexes come first */
    double_steps(&c, agent, 100);             /* asked for once more, and told of */
    assert_int_equal(agent->state.refused_count, 0);
    assert_true(double_reported(&c, "other bytes than its name says"));
    assert_true(double_reported(&c, "http://fleet.test/v1/blobs"));
    double_assert_serves(agent, "1.2.0");
    double_finish(&c, agent);
}

/* Steering that is not signed by its role, that drops a kill, or that is of another product. */
static void test_forged_steering(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    fresh_device(&c, &agent);
    agent_repository *r = &c.repository;
    c.target[0] = 0;
    double_steer(&c, 5, KILL);
    double_steps(&c, agent, 20);
    double_assert_serves(agent, "1.0.0");
    double_steer(&c, 6, "");
    assert_held(&c, agent, "1.0.0", "a kill or a minimum can not be taken back");
    double_steps(&c, agent, 10);
    assert_non_null(
        strstr(agent->state.trust.message, "can not be taken back")); /* it stays said */
    double_steer(&c, 4, KILL);
    assert_held(&c, agent, "1.0.0", "below the one held");
    double_steer(&c, 7, KILL);
    r->steering.name = "steering/other.json";
    repo_publish(r);
    assert_held(&c, agent, "1.0.0", "names no steering document any more");
    r->steering.name = "steering/assistant.json";
    repo_publish_role(r, "steering", ++r->steering_version, REPO_ONLINE_KEY, &r->steering, 1);
    repo_publish_snapshot(r);
    repo_publish_timestamp(r);
    assert_held(&c, agent, "1.0.0", "steering");
    assert_int_equal(agent->steering->serial, 5);
    double_steer(&c, 8, KILL);
    assert_recovers(&c, agent, "1.9.0");
    assert_int_equal(agent->steering->serial, 8);
    double_finish(&c, agent);
}

/* A root of a stranger, whole and well signed by itself; then the right one by one key of two. */
static void test_replaced_root(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    agent_repository own;
    fresh_device(&c, &agent);
    own = c.repository;
    repo_open(&c.repository, own.env, 99);
    c.repository.expires_ms = own.expires_ms;
    for (int i = 0; i < 6; i++) repo_publish_root(&c.repository);
    c.repository.timestamp = own.timestamp;
    repo_publish(&c.repository);
    assert_held(&c, agent, "1.1.0", "root");
    assert_int_equal(agent->state.trust.root, 1);
    repo_close(&c.repository);
    c.repository = own;
    c.repository.root_signers = 1;
    repo_publish_root(&c.repository);
    repo_publish_timestamp(&c.repository);
    assert_held(&c, agent, "1.1.0", "root");
    assert_int_equal(agent->state.trust.root, 1);
    c.repository.root--;
    c.repository.root_signers = 0;
    repo_publish_root(&c.repository); /* the ceremony, done rightly */
    assert_recovers(&c, agent, "1.9.0");
    assert_int_equal(agent->state.trust.root, 2);
    double_finish(&c, agent);
}

/* A folder whose store, floor and first root were lost begins again at the very root that was
 * trusted before, not at whatever is served. */
static void test_lost_store_begins_at_its_root(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    test_folder store;
    agent_repository own;
    fresh_device(&c, &agent);
    repo_publish_root(&c.repository);
    covey_agent_close(agent);
    snprintf(store.path, sizeof store.path, "%s", test_path(&c.folder, "state/trust"));
    test_folder_remove(&store);
    unlink(test_path(&c.folder, "state/root.json"));
    agent = double_agent(&c, true);
    own = c.repository;
    repo_open(&c.repository, own.env, 99);
    c.repository.expires_ms = own.expires_ms;
    repo_publish(&c.repository);
    c.repository.timestamp = 77;
    assert_held(&c, agent, "1.1.0", "serves no root with the SHA-256");
    covey_error error = {0};
    assert_int_equal(covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error),
                     COVEY_ERROR_DENIED);
    repo_close(&c.repository);
    c.repository = own;
    assert_recovers(&c, agent, "1.9.0");
    double_finish(&c, agent);
}

/* A root of trust that came with the app: nobody's first use decides. */
static void test_root_of_the_app(void **unused) {
    (void)unused;
    control_double c;
    covey_error error = {0};
    double_open(&c);
    double_ensemble(&c, "builtin", "1.0.0", MODEL_BYTES, 10, NULL);
    double_ensemble(&c, "v110", "1.1.0", MODEL_BYTES, 11, NULL);
    double_publish(&c, "v110", "1.1.0");
    const repo_file *root = repo_find(&c.repository, "1.root.json");
    test_write(test_path(&c.folder, "root.json"), root->data, root->size);
    agent_repository own = c.repository;
    repo_open(&c.repository, own.env, 99);
    c.repository.expires_ms = own.expires_ms;
    repo_publish_root(&c.repository);
    repo_publish(&c.repository);
    covey_agent *agent = double_agent(&c, true);
    assert_int_equal(covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error), 0);
    assert_held(&c, agent, "1.0.0", "expected good signatures");
    repo_close(&c.repository);
    c.repository = own;
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    assert_false(covey__file_exists(test_path(&c.folder, "state/root.json")));
    double_finish(&c, agent);
}

/* By its owner's word a device begins anew with another root, named by file or by hash. */
static void test_owner_names_another_root(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    covey_error error = {0};
    char path[300], hex[65];
    uint8_t digest[32];
    fresh_device(&c, &agent);
    for (uint8_t seed = 50; seed < 52; seed++) {
        repo_close(&c.repository);
        repo_open(&c.repository, covey__runtime_env(c.runtime), seed);
        c.repository.expires_ms = c.now_ms + 365 * REPO_DAY_MS;
        repo_publish(&c.repository);
        repo_publish_root(&c.repository);
        for (int i = 0; i < seed; i++) repo_publish_timestamp(&c.repository);
        const repo_file *root = repo_find(&c.repository, "1.root.json");
        snprintf(path, sizeof path, "%s", test_path(&c.folder, "named.json"));
        test_write(path, root->data, root->size);
        covey__sha256_of(root->data, root->size, digest);
        covey__hex(digest, 32, hex);
        assert_held(&c, agent, "1.1.0", "held back");
        c.report_count = 0;
        assert_int_equal(covey_agent_enroll(agent, "http://fleet.test", "cve_x",
                                            seed == 50 ? path : hex, &error),
                         COVEY_OK);
        double_steps(&c, agent, 20);
        assert_string_equal(agent->state.trust.message, "");
        assert_int_equal(agent->state.trust.root, 2);
        assert_string_equal(agent->state.trust.root_sha256, hex);
    }
    assert_recovers(&c, agent, "1.9.0");
    double_finish(&c, agent);
}

/* 1970: the last time that was signed counts, so what was expired then stays so and what was valid
 * is. 2099: everything is expired, which is said, and nothing of it lasts. */
static void test_clocks(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent;
    fresh_device(&c, &agent);
    int64_t right = c.now_ms;
    c.now_ms = 5000;
    double_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 12, NULL);
    double_publish(&c, "v120", "1.2.0");
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.2.0");
    double_steps(&c, agent, 10);
    c.repository.issued_ms = right + 40 * REPO_DAY_MS;
    repo_publish_timestamp(&c.repository);
    double_steps(&c, agent, 10);
    int64_t expires_ms = c.repository.expires_ms;
    c.repository.expires_ms = right + 20 * REPO_DAY_MS; /* over by the last signed time */
    repo_publish(&c.repository);
    assert_held(&c, agent, "1.2.0", "by the last signed time");
    c.repository.expires_ms = expires_ms;
    c.now_ms = INT64_C(4070908800000);
    repo_publish(&c.repository);
    assert_held(&c, agent, "1.2.0", "held back: the metadata expired");
    c.now_ms = right;
    assert_recovers(&c, agent, "1.9.0");
    double_finish(&c, agent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay_of_old_metadata),
        cmocka_unit_test(test_freeze),
        cmocka_unit_test(test_mix_and_match),
        cmocka_unit_test(test_forged_product_role),
        cmocka_unit_test(test_wrong_assignment),
        cmocka_unit_test(test_release_of_another_class),
        cmocka_unit_test(test_endless_slow_and_down),
        cmocka_unit_test(test_oversized),
        cmocka_unit_test(test_swapped_chunks),
        cmocka_unit_test(test_forged_steering),
        cmocka_unit_test(test_replaced_root),
        cmocka_unit_test(test_lost_store_begins_at_its_root),
        cmocka_unit_test(test_root_of_the_app),
        cmocka_unit_test(test_owner_names_another_root),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
