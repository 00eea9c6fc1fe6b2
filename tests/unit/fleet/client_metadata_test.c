/* Key folders against a control plane: what is sent, what is taken, what is refused; releases and
 * steering statements on top of it. */
#include "fleet_repository.h"

#include "fleet/client_metadata.h"
#include "unit/bundle/ensemble_folder.h"

#include <unistd.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_setup, fleet_teardown)

typedef struct team {
    fleet_double *f;
    char folder[300];
    covey_fleet_keys *keys;
    covey_fleet_client *client;
} team;

/* Opens a client and the key folder of that name. */
static team join(fleet_double *f, const char *name) {
    team t = {.f = f};
    covey_error error = {0};
    snprintf(t.folder, sizeof t.folder, "%s/%s", f->folder.path, name);
    t.keys = repository_open(f->runtime, t.folder);
    repository_check(covey_fleet_client_open(f->runtime, covey_fleet_server_url(f->server),
                                             covey_fleet_server_token_file(f->server), &t.client,
                                             &error),
                     &error);
    return t;
}

/* A key folder, and the control plane started with its online key. */
static team begin(fleet_double *f, const char *name) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s/%s", f->folder.path, name);
    repository_make(f->runtime, folder);
    fleet_stop(f);
    snprintf(f->online_key, sizeof f->online_key, "%s/online.key", folder);
    fleet_start(f);
    return join(f, name);
}

static void leave(team *t) {
    covey_fleet_keys_close(t->keys);
    covey_fleet_client_close(t->client);
}

/* What was sent, in a static buffer. */
static const char *push(team *t) {
    static _Thread_local char said[2000];
    covey_error error = {0};
    char *text = NULL;
    repository_check(covey_fleet_keys_push(t->client, t->keys, &text, &error), &error);
    snprintf(said, sizeof said, "%s", text);
    covey_fleet_keys_text_free(t->keys, text);
    return said;
}

static covey_status publish(team *t, const char *bundle, const char *export_file,
                            covey_fleet_published *published, covey_error *error) {
    char folder[300];
    covey_fleet_publish_options options = COVEY_FLEET_PUBLISH_OPTIONS_INIT;
    snprintf(folder, sizeof folder, "%s/%s", t->f->folder.path, bundle);
    covey_fleet_bundle list[] = {{folder, NULL}};
    options.bundles = list;
    options.bundle_count = 1;
    options.keys = t->keys;
    options.export_file = export_file;
    *published = (covey_fleet_published)COVEY_FLEET_PUBLISHED_INIT;
    return covey_fleet_publish(t->client, &options, published, error);
}

static void make_bundle(fleet_double *f, const char *name, const char *version, uint64_t seed) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s/%s", f->folder.path, name);
    ensemble_make(covey__runtime_env(f->runtime), folder, version, "q8_0", seed);
}

/* A second folder with the first root and one key. */
static void make_folder(fleet_double *f, const team *from, const char *name, const char *key) {
    char command[1000];
    snprintf(command, sizeof command, "mkdir -m 700 '%s/%s' && cp '%s/root.json' '%s/%s' '%s/%s/'",
             f->folder.path, name, from->folder, from->folder, key, f->folder.path, name);
    assert_int_equal(system(command), 0);
}

static void sent_once(void **state) {
    fleet_double *f = *state;
    team t = begin(f, "keys");
    assert_non_null(strstr(push(&t), "sent root 1\nsent targets 1\n"));
    assert_string_equal(push(&t), "the control plane has all of it\n");
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    change.role = "targets";
    change.rotate = true;
    change.make_new = true;
    repository_apply(t.keys, &change);
    repository_apply(t.keys, &change);
    assert_string_equal(push(&t), "sent root 2\nsent root 3\nsent targets 3\n");
    leave(&t);
}

static void another_repository_is_refused(void **state) {
    fleet_double *f = *state;
    covey_error error = {0};
    char folder[300];
    team t = begin(f, "keys");
    push(&t);
    snprintf(folder, sizeof folder, "%s/other", f->folder.path);
    repository_make(f->runtime, folder);
    team other = join(f, "other");
    char *text = NULL;
    assert_int_equal(covey_fleet_keys_push(other.client, other.keys, &text, &error),
                     COVEY_ERROR_MISMATCH);
    leave(&other);
    leave(&t);
}

static void a_release_and_its_second_version(void **state) {
    fleet_double *f = *state;
    covey_error error = {0};
    covey_fleet_published published;
    team t = begin(f, "keys");
    make_bundle(f, "one", "1.0.0", 1);
    make_bundle(f, "other", "1.0.0", 2);
    make_bundle(f, "two", "1.1.0", 3);
    repository_check(publish(&t, "one", NULL, &published, &error), &error);
    assert_false(published.was_known);
    repository_check(publish(&t, "one", NULL, &published, &error), &error);
    assert_true(published.was_known);
    assert_int_equal(repository_version(t.keys, "assistant"), 2);
    assert_int_equal(publish(&t, "other", NULL, &published, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "conflict"));
    repository_check(publish(&t, "two", NULL, &published, &error), &error);
    const covey__tuf_document *role = covey__metadata_item_find(t.keys->set, "assistant")->document;
    assert_int_equal(role->target_count, 2);
    assert_non_null(covey__tuf_entry_find(role, "assistant/1.0.0/release.json"));
    /* Devices are offered it. */
    fleet_device device = fleet_enroll(f, "small");
    fleet_expect(
        f, fleet_call(f, "POST", "/v1/rollouts", f->admin, "{\"release\":\"assistant@1.1.0\"}"),
        201);
    fleet_expect(f, fleet_checkin(f, &device, "small", "1.0.0"), 200);
    assert_string_equal(fleet_target(f), "assistant@1.1.0");
    leave(&t);
}

static void a_release_without_a_target(void **state) {
    fleet_double *f = *state;
    covey_error error = {0};
    covey_fleet_published published;
    char body[120], file[300];
    team t = begin(f, "keys");
    make_bundle(f, "one", "1.0.0", 1);
    push(&t);
    snprintf(file, sizeof file, "%s/to-sign.json", f->folder.path);
    repository_check(publish(&t, "one", file, &published, &error), &error);
    assert_true(published.was_exported);
    snprintf(body, sizeof body, "{\"digest\":\"%s\"}", published.digest);
    fleet_expect_error(f, fleet_call(f, "POST", "/v1/releases", f->admin, body), 403,
                       "not_in_metadata");
    /* The key was here, so the file is signed: it only needs to be brought back. */
    char *text = NULL;
    repository_check(covey_fleet_import(t.client, t.keys, file, &text, &error), &error);
    assert_non_null(strstr(text, "published assistant@1.0.0"));
    covey_fleet_keys_text_free(t.keys, text);
    leave(&t);
}

static void a_team_with_one_key(void **state) {
    fleet_double *f = *state;
    covey_error error = {0};
    covey_fleet_published published;
    char key[400];
    team t = begin(f, "keys");
    push(&t);
    make_folder(f, &t, "team", "assistant.key");
    make_bundle(f, "one", "1.0.0", 1);
    make_bundle(f, "two", "1.1.0", 2);
    team own = join(f, "team");
    repository_check(publish(&own, "one", NULL, &published, &error), &error);
    /* The first folder knows nothing of it until it asks; its next release keeps the team's. */
    repository_check(publish(&t, "two", NULL, &published, &error), &error);
    assert_int_equal(repository_version(t.keys, "assistant"), 3);
    /* The team may sign nothing else. */
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    char *text = NULL;
    change.role = "steering";
    change.rotate = true;
    change.make_new = true;
    assert_int_equal(covey_fleet_keys_apply(own.keys, &change, &text, &error),
                     COVEY_ERROR_SIGNATURE);
    snprintf(key, sizeof key, "%s/steering.key", own.folder);
    assert_int_equal(access(key, F_OK), -1); /* made for nothing, and gone again */
    leave(&own);
    leave(&t);
}

/* Two folders make the same version at once: what was served holds. */
static void what_is_served_holds(void **state) {
    fleet_double *f = *state;
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    covey_error error = {0};
    covey_fleet_published published;
    team t = begin(f, "keys");
    push(&t);
    make_folder(f, &t, "team", "assistant.key");
    make_bundle(f, "one", "1.0.0", 1);
    team own = join(f, "team");
    repository_check(publish(&own, "one", NULL, &published, &error), &error);
    f->now_ms += 5000;
    change.role = "assistant";
    change.renew = true;
    repository_apply(t.keys, &change); /* also version 2, not sent */
    assert_int_equal(repository_version(t.keys, "assistant"), 2);
    assert_string_equal(push(&t), "the control plane has all of it\n");
    const covey__tuf_document *role = covey__metadata_item_find(t.keys->set, "assistant")->document;
    assert_int_equal(role->target_count, 1);
    leave(&own);
    leave(&t);
}

/* Bytes that were changed on the control plane's disk are not taken. */
static void a_control_plane_that_lies(void **state) {
    fleet_double *f = *state;
    covey_error error = {0};
    covey_fleet_published published;
    char path[400];
    size_t size;
    team t = begin(f, "keys");
    push(&t);
    make_folder(f, &t, "team", "assistant.key");
    make_bundle(f, "one", "1.0.0", 1);
    repository_check(publish(&t, "one", NULL, &published, &error), &error);
    static const char *const files[] = {"2.assistant.json", "timestamp.json"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/metadata/%s", f->data, files[i]);
        char *text = test_read(path, &size);
        assert_non_null(text);
        text[size / 2] ^= 1;
        test_write(path, text, size);
        team own = join(f, "team");
        assert_int_not_equal(covey_fleet_keys_pull(own.client, own.keys, &error), COVEY_OK);
        assert_int_equal(repository_version(own.keys, "assistant"), 0);
        leave(&own);
        text[size / 2] ^= 1;
        test_write(path, text, size);
        free(text);
    }
    team own = join(f, "team");
    repository_check(covey_fleet_keys_pull(own.client, own.keys, &error), &error);
    assert_int_equal(repository_version(own.keys, "assistant"), 2);
    leave(&own);
    leave(&t);
}

/* ---- steering ----------------------------------------------------------------------------- */

static covey_status say(team *t, const char *kind, const char *versions, const char *version,
                        covey_error *error) {
    covey_fleet_statement said = COVEY_FLEET_STATEMENT_INIT;
    char *text = NULL;
    said.kind = kind;
    said.product = "assistant";
    said.reason = "why";
    said.author = "ops";
    said.versions = versions;
    said.version = version;
    covey_status status = covey_fleet_steer_add(t->client, t->keys, &said, &text, error);
    covey_fleet_keys_text_free(t->keys, text);
    return status;
}

static covey_status steer_push(team *t, covey_error *error) {
    char *text = NULL;
    covey_status status =
        covey_fleet_steer_push(t->client, t->keys, "assistant", NULL, &text, error);
    covey_fleet_keys_text_free(t->keys, text);
    return status;
}

static void statements_only_narrow(void **state) {
    fleet_double *f = *state;
    covey_error error = {0};
    char path[400], *text = NULL;
    size_t size;
    team t = begin(f, "keys");
    push(&t);
    assert_int_equal(steer_push(&t, &error), COVEY_ERROR_NOT_FOUND);
    repository_check(say(&t, "kill", "=1.0.0", NULL, &error), &error);
    repository_check(say(&t, "pin", NULL, "1.2.0", &error), &error);
    assert_int_equal(say(&t, "kill", ">=1.0.0", NULL, &error), COVEY_ERROR_FORMAT);
    assert_int_equal(say(&t, "praise", NULL, NULL, &error), COVEY_OK); /* kept, for newer devices */
    repository_check(steer_push(&t, &error), &error);
    repository_check(steer_push(&t, &error), &error);
    assert_int_equal(repository_version(t.keys, "steering"), 2);
    /* The next serial; a kill that is gone from the document is refused. */
    repository_check(say(&t, "minimum", NULL, "0.9.0", &error), &error);
    repository_check(covey_fleet_steer_show(t.keys, "assistant", &text, &error), &error);
    assert_non_null(strstr(text, "\"serial\": 2"));
    covey_fleet_keys_text_free(t.keys, text);
    snprintf(path, sizeof path, "%s/steering/assistant.json", t.folder);
    text = test_read(path, &size);
    char *at = strstr(text, "=1.0.0");
    assert_non_null(at);
    at[1] = '2';
    test_write(path, text, size);
    assert_int_equal(steer_push(&t, &error), COVEY_ERROR_REFUSED);
    assert_int_equal(error.status, COVEY_ERROR_REFUSED);
    at[1] = '1';
    test_write(path, text, size);
    free(text);
    repository_check(steer_push(&t, &error), &error);
    leave(&t);
    /* Another folder with the steering key goes on from what is served. */
    make_folder(f, &t, "on-call", "steering.key");
    team own = join(f, "on-call");
    repository_check(say(&own, "minimum", NULL, "0.9.5", &error), &error);
    repository_check(steer_push(&own, &error), &error);
    assert_int_equal(repository_version(own.keys, "steering"), 4);
    leave(&own);
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(sent_once),
                                       TEST(another_repository_is_refused),
                                       TEST(a_release_and_its_second_version),
                                       TEST(a_release_without_a_target),
                                       TEST(a_team_with_one_key),
                                       TEST(what_is_served_holds),
                                       TEST(a_control_plane_that_lies),
                                       TEST(statements_only_narrow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
