/* Publishing and rollouts from end to end: a bundle on disk, the client, the server, a device's
 * check-in. */
#include "fleet_repository.h"

#include "bundle/release.h"
#include "fleet/fleet_server.h"
#include "unit/bundle/ensemble_folder.h"

#include <unistd.h>

typedef struct publisher {
    fleet_double *f;
    covey_fleet_client *client;
    covey_fleet_keys *keys;
} publisher;

static publisher publisher_open(fleet_double *f) {
    publisher p = {.f = f};
    covey_error error = {0};
    char folder[300], *text = NULL;
    snprintf(folder, sizeof folder, "%s/keys", f->folder.path);
    repository_make(f->runtime, folder);
    fleet_stop(f);
    snprintf(f->online_key, sizeof f->online_key, "%s/online.key", folder);
    fleet_start(f);
    p.keys = repository_open(f->runtime, folder);
    repository_check(covey_fleet_client_open(f->runtime, covey_fleet_server_url(f->server),
                                             covey_fleet_server_token_file(f->server), &p.client,
                                             &error),
                     &error);
    repository_check(covey_fleet_keys_push(p.client, p.keys, &text, &error), &error);
    covey_fleet_keys_text_free(p.keys, text);
    return p;
}

static void publisher_close(publisher *p) {
    covey_fleet_keys_close(p->keys);
    covey_fleet_client_close(p->client);
}

static void make_bundle(fleet_double *f, const char *name, const char *version, uint64_t seed) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s/%s", f->folder.path, name);
    ensemble_make(covey__runtime_env(f->runtime), folder, version, "q8_0", seed);
}

static covey_status publish(publisher *p, const char *bundle, const char *classes,
                            covey_fleet_published *result, covey_error *error) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s/%s", p->f->folder.path, bundle);
    covey_fleet_bundle list[] = {{folder, classes}};
    covey_fleet_publish_options options = COVEY_FLEET_PUBLISH_OPTIONS_INIT;
    covey_fleet_published fresh = COVEY_FLEET_PUBLISHED_INIT;
    options.bundles = list;
    options.bundle_count = 1;
    options.keys = p->keys;
    *result = fresh;
    return covey_fleet_publish(p->client, &options, result, error);
}

static covey_fleet_published published(publisher *p, const char *bundle) {
    covey_fleet_published result;
    covey_error error = {0};
    if (publish(p, bundle, NULL, &result, &error) != COVEY_OK) fail_msg("%s", error.message);
    return result;
}

static int rollout(fleet_double *f, const char *json) {
    return fleet_call(f, "POST", "/v1/rollouts", f->admin, json);
}

static void only_what_is_new_is_sent(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    make_bundle(f, "one", "1.0.0", 1);
    make_bundle(f, "two", "1.1.0", 2);
    covey_fleet_published first = published(&p, "one");
    assert_string_equal(first.release, "assistant@1.0.0");
    assert_int_equal(first.blobs_sent, first.blob_count);
    assert_int_equal(first.bytes_sent, first.bytes_total);
    assert_true(first.bytes_total > 100000);
    assert_false(first.was_known);
    covey_fleet_published again = published(&p, "one");
    assert_true(again.was_known);
    assert_int_equal(again.bytes_sent, 0);
    assert_string_equal(again.digest, first.digest);
    /* Half of the second model's tensors are the first's. */
    covey_fleet_published second = published(&p, "two");
    assert_true(second.bytes_sent > 0);
    assert_true(second.bytes_sent < second.bytes_total);
    publisher_close(&p);
}

static void a_version_cannot_be_published_twice_over(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    covey_error error = {0};
    covey_fleet_published result;
    make_bundle(f, "one", "1.0.0", 1);
    make_bundle(f, "other", "1.0.0", 2);
    published(&p, "one");
    assert_int_equal(publish(&p, "other", NULL, &result, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "conflict"));
    publisher_close(&p);
}

static void bundles_are_checked_first(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    covey_error error = {0};
    covey_fleet_published result;
    char model[400];
    make_bundle(f, "one", "1.0.0", 1);
    assert_int_equal(publish(&p, "absent", NULL, &result, &error), COVEY_ERROR_NOT_FOUND);
    assert_int_equal(publish(&p, "one", "small,big", &result, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    snprintf(model, sizeof model, "%s/one/model.gguf", f->folder.path);
    size_t size;
    char *bytes = test_read(model, &size);
    bytes[size - 5] ^= 1;
    test_write(model, bytes, size);
    free(bytes);
    assert_int_equal(publish(&p, "one", NULL, &result, &error), COVEY_ERROR_MISMATCH);
    fleet_expect(f, fleet_call(f, "GET", "/v1/releases", f->admin, NULL), 200);
    assert_string_equal(fleet_text(f), "{\"releases\":[]}");
    publisher_close(&p);
}

/* Removes one file below the blob folder that has at least `size_min` bytes; false when none. */
static bool remove_a_blob(fleet_double *f, const char *keep_hex, size_t size_min) {
    char command[700];
    snprintf(command, sizeof command,
             "f=$(find '%s/blobs/sha256' -type f -size +%zuc ! -name '%s' | head -n 1); "
             "test -n \"$f\" && rm \"$f\"",
             f->data, size_min, keep_hex);
    return system(command) == 0;
}

static void a_release_needs_all_its_blobs(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    char body[200];
    make_bundle(f, "one", "1.0.0", 1);
    covey_fleet_published first = published(&p, "one");
    snprintf(body, sizeof body, "{\"digest\":\"%s\"}", first.digest);
    fleet_expect(f, fleet_call(f, "POST", "/v1/releases", f->admin, body), 200);
    assert_true(remove_a_blob(f, first.digest, 1000));
    int status = fleet_call(f, "POST", "/v1/releases", f->admin, body);
    fleet_expect_error(f, status, 409, "missing_blobs");
    assert_non_null(strstr(fleet_text(f), "\"missing\":{\"count\":1,\"blobs\":[\""));
    /* Publishing again sends just that one. */
    covey_fleet_published again = published(&p, "one");
    assert_int_equal(again.blobs_sent, 1);
    snprintf(body, sizeof body, "{\"digest\":\"%064d\"}", 1);
    status = fleet_call(f, "POST", "/v1/releases", f->admin, body);
    fleet_expect_error(f, status, 409, "missing_blobs");
    status = fleet_call(f, "POST", "/v1/releases", f->admin, "{\"digest\":\"12\"}");
    fleet_expect_error(f, status, 400, "bad_field");
    status =
        fleet_call(f, "POST", "/v1/releases", f->admin, "{\"digest\":\"12\",\"signature\":{}}");
    fleet_expect_error(f, status, 400, "bad_field");
    publisher_close(&p);
}

/* ---- rollouts ----------------------------------------------------------------------------- */

static void offers_follow_the_rollout(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    make_bundle(f, "one", "1.1.0", 1);
    published(&p, "one");
    fleet_device small = fleet_enroll(f, "small"), large = fleet_enroll(f, "large");
    fleet_expect(f, fleet_checkin(f, &small, "small", "1.0.0"), 200);
    assert_string_equal(fleet_target(f), "");
    fleet_expect_error(f, rollout(f, "{\"release\":\"assistant@9.0.0\"}"), 404, "not_found");
    fleet_expect_error(f, rollout(f, "{\"release\":\"assistant@1.1.0\",\"percent\":101}"), 400,
                       "bad_field");
    fleet_expect_error(f, rollout(f, "{\"release\":\"assistant@1.1.0\",\"percents\":1}"), 400,
                       "bad_field");
    fleet_expect_error(f, rollout(f, "{\"release\":\"assistant@1.1.0\",\"classes\":[\"big\"]}"),
                       400, "bad_field");
    fleet_expect(f, rollout(f, "{\"release\":\"assistant@1.1.0\",\"classes\":[\"small\"]}"), 201);
    fleet_expect(f, fleet_checkin(f, &small, "small", "1.0.0"), 200);
    assert_string_equal(fleet_target(f), "assistant@1.1.0");
    assert_non_null(strstr(fleet_text(f), "\"rollout\":\"r-1\""));
    fleet_expect(f, fleet_checkin(f, &large, "large", "1.0.0"), 200);
    assert_string_equal(fleet_target(f), ""); /* not its class */
    fleet_expect(f, fleet_checkin(f, &small, "small", "1.1.0"), 200);
    assert_string_equal(fleet_target(f), ""); /* it has it */
    fleet_expect(f, fleet_checkin(f, &small, "small", "1.2.0"), 200);
    assert_string_equal(fleet_target(f), ""); /* never back */
    fleet_expect(f, fleet_checkin(f, &small, "small", ""), 200);
    assert_string_equal(fleet_target(f), "assistant@1.1.0"); /* it has nothing */
    static const struct {
        const char *change;
        const char *target;
    } steps[] = {{"{\"state\":\"paused\"}", ""},
                 {"{\"state\":\"running\"}", "assistant@1.1.0"},
                 {"{\"percent\":0}", ""},
                 {"{\"percent\":100}", "assistant@1.1.0"},
                 {"{\"state\":\"aborted\"}", ""}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        fleet_expect(f, fleet_call(f, "PATCH", "/v1/rollouts/r-1", f->admin, steps[i].change), 200);
        fleet_expect(f, fleet_checkin(f, &small, "small", "1.0.0"), 200);
        assert_string_equal(fleet_target(f), steps[i].target);
    }
    int status = fleet_call(f, "PATCH", "/v1/rollouts/r-1", f->admin, "{\"state\":\"running\"}");
    fleet_expect_error(f, status, 409, "final_state");
    status = fleet_call(f, "PATCH", "/v1/rollouts/r-9", f->admin, "{\"percent\":1}");
    fleet_expect_error(f, status, 404, "not_found");
    status = fleet_call(f, "PATCH", "/v1/rollouts/r-1", f->admin, "{\"state\":\"done\"}");
    fleet_expect_error(f, status, 400, "bad_field");
    publisher_close(&p);
}

static void the_percentage_draws_devices_and_keeps_them(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    enum { DEVICES = 60 };
    static fleet_device devices[DEVICES];
    static bool in[DEVICES];
    static const char *const percents[] = {"25", "50", "80", "100"};
    int counts[4] = {0};
    make_bundle(f, "one", "1.1.0", 1);
    published(&p, "one");
    memset(in, 0, sizeof in);
    for (int i = 0; i < DEVICES; i++) devices[i] = fleet_enroll(f, "small");
    fleet_expect(f, rollout(f, "{\"release\":\"assistant@1.1.0\",\"percent\":0}"), 201);
    for (int step = 0; step < 4; step++) {
        char change[40];
        snprintf(change, sizeof change, "{\"percent\":%s}", percents[step]);
        fleet_expect(f, fleet_call(f, "PATCH", "/v1/rollouts/r-1", f->admin, change), 200);
        for (int i = 0; i < DEVICES; i++) {
            fleet_expect(f, fleet_checkin(f, &devices[i], "small", "1.0.0"), 200);
            bool now = fleet_target(f)[0] != '\0';
            assert_true(now || !in[i]);
            in[i] = now;
            counts[step] += now;
        }
    }
    /* Ids are random: bounds that a right draw misses less than once in 10^9 runs. */
    assert_in_range(counts[0], 1, 40);
    assert_in_range(counts[1], 8, 52);
    assert_int_equal(counts[3], DEVICES);
    fleet_expect(f, fleet_call(f, "GET", "/v1/rollouts/r-1", f->admin, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "\"devices\":{\"offered\":60,"));
    publisher_close(&p);
}

static void a_refusal_is_final_and_explained(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    char path[80], body[400], *text = NULL;
    covey_error error = {0};
    make_bundle(f, "one", "1.1.0", 1);
    make_bundle(f, "two", "1.2.0", 2);
    published(&p, "one");
    published(&p, "two");
    fleet_device device = fleet_enroll(f, "small");
    fleet_expect(f, rollout(f, "{\"release\":\"assistant@1.1.0\"}"), 201);
    fleet_expect(f, rollout(f, "{\"release\":\"assistant@1.2.0\"}"), 201);
    fleet_expect(f, fleet_checkin(f, &device, "small", "1.0.0"), 200);
    assert_string_equal(fleet_target(f), "assistant@1.2.0"); /* the higher of the two */
    snprintf(body, sizeof body,
             "{\"events\":[{\"id\":\"x\",\"time_ms\":1,\"phase\":\"probe\",\"outcome\":\"refused\","
             "\"release\":\"assistant@1.2.0\",\"rollout\":\"r-2\","
             "\"message\":\"task score 0.61 is under 0.90\"}]}");
    fleet_expect(f, fleet_call(f, "POST", "/v1/reports", device.token, body), 200);
    fleet_expect(f, fleet_checkin(f, &device, "small", "1.0.0"), 200);
    assert_string_equal(fleet_target(f), "assistant@1.1.0"); /* the other stays open */
    snprintf(path, sizeof path, "/v1/devices/%s", device.id);
    fleet_expect(f, fleet_call(f, "GET", path, f->admin, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "r-2 assistant@1.2.0 (running, 100 %): this device "
                                          "refused it: task score 0.61 is under 0.90"));
    assert_non_null(strstr(fleet_text(f), "r-1 assistant@1.1.0 (running, 100 %): offered"));
    assert_non_null(strstr(fleet_text(f), "\"target\":{\"rollout\":\"r-1\""));
    /* A device that comes back with what it had done settles the first rollout. */
    fleet_expect(f, fleet_checkin(f, &device, "small", "1.1.0"), 200);
    assert_string_equal(fleet_target(f), "");
    fleet_expect(f, fleet_call(f, "GET", "/v1/rollouts", f->admin, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "\"offered\":1,\"done\":0,\"failed\":0,\"refused\":1"));
    assert_non_null(strstr(fleet_text(f), "\"offered\":1,\"done\":1,\"failed\":0,\"refused\":0"));
    assert_int_equal(covey_fleet_device(p.client, device.id, COVEY_FLEET_TEXT, &text, &error),
                     COVEY_OK);
    assert_non_null(strstr(text, "why: r-2 assistant@1.2.0"));
    covey_fleet_text_free(p.client, text);
    publisher_close(&p);
}

static void what_the_server_knows_survives_it(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    make_bundle(f, "one", "1.1.0", 1);
    published(&p, "one");
    fleet_device device = fleet_enroll(f, "small");
    fleet_expect(f, rollout(f, "{\"release\":\"assistant@1.1.0\"}"), 201);
    fleet_stop(f);
    fleet_start(f);
    fleet_expect(f, fleet_checkin(f, &device, "small", "1.0.0"), 200);
    assert_string_equal(fleet_target(f), "assistant@1.1.0");
    publisher_close(&p);
}

/* Devices check in and report from several threads while a rollout changes under them. */
typedef struct crowd {
    fleet_double own; /* the shared double with a pool and a body of this thread */
    fleet_device device;
    int offers;
} crowd;

static void *be_a_device(void *user) {
    crowd *c = user;
    char body[300];
    for (int i = 0; i < 40; i++) {
        fleet_expect(&c->own, fleet_checkin(&c->own, &c->device, i % 3 ? "small" : "tiny", "1.0.0"),
                     200);
        c->offers += fleet_target(&c->own)[0] != '\0';
        snprintf(body, sizeof body,
                 "{\"events\":[{\"id\":\"e%d\",\"time_ms\":1,\"phase\":\"fetch\","
                 "\"outcome\":\"failed\",\"release\":\"assistant@1.1.0\"}]}",
                 i / 2);
        fleet_expect(&c->own, fleet_call(&c->own, "POST", "/v1/reports", c->device.token, body),
                     200);
    }
    return NULL;
}

static void many_at_once(void **state) {
    fleet_double *f = *state;
    enum { THREADS = 4 };
    static crowd crowds[THREADS];
    pthread_t threads[THREADS];
    covey_error error = {0};
    publisher p = publisher_open(f);
    make_bundle(f, "one", "1.1.0", 1);
    published(&p, "one");
    fleet_expect(f, rollout(f, "{\"release\":\"assistant@1.1.0\"}"), 201);
    for (int i = 0; i < THREADS; i++) {
        const covey__env *env = covey__runtime_env(f->runtime);
        crowds[i] = (crowd){.own = *f, .device = fleet_enroll(f, "small")};
        assert_int_equal(covey__transport_pool_new(env, 1, &crowds[i].own.pool, &error), COVEY_OK);
        covey__buffer_init(&crowds[i].own.body, env, 1u << 20);
        assert_int_equal(pthread_create(&threads[i], NULL, be_a_device, &crowds[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        const char *change = i % 2 ? "{\"percent\":100}" : "{\"percent\":50}";
        fleet_expect(f, fleet_call(f, "PATCH", "/v1/rollouts/r-1", f->admin, change), 200);
        fleet_expect(f, fleet_call(f, "GET", "/v1/devices", f->admin, NULL), 200);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        covey__transport_pool_free(crowds[i].own.pool);
        covey__buffer_free(&crowds[i].own.body);
    }
    fleet_expect(f, fleet_call(f, "GET", "/metrics", NULL, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "covey_fleet_checkins_total 160\n"));
    assert_non_null(strstr(fleet_text(f), "covey_fleet_reports_total{outcome=\"accepted\"} 80\n"));
    assert_non_null(strstr(fleet_text(f), "covey_fleet_reports_total{outcome=\"known\"} 80\n"));
    publisher_close(&p);
}

/* ---- the client's own words --------------------------------------------------------------- */

static void every_list_has_a_text(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    covey_error error = {0};
    char *text = NULL;
    make_bundle(f, "one", "1.1.0", 1);
    published(&p, "one");
    fleet_enroll(f, "small");
    assert_int_equal(covey_fleet_releases(p.client, COVEY_FLEET_TEXT, &text, &error), COVEY_OK);
    assert_non_null(strstr(text, "assistant@1.1.0"));
    covey_fleet_text_free(p.client, text);
    covey_fleet_rollout_options options = COVEY_FLEET_ROLLOUT_OPTIONS_INIT;
    options.release = "assistant@1.1.0";
    options.percent = 12.5;
    options.classes = "small,large";
    assert_int_equal(
        covey_fleet_rollout_create(p.client, &options, COVEY_FLEET_TEXT, &text, &error), COVEY_OK);
    assert_non_null(strstr(text, "r-1  assistant@1.1.0  running  12.5 % of small,large"));
    covey_fleet_text_free(p.client, text);
    assert_int_equal(
        covey_fleet_rollout_set(p.client, "r-1", 30, "paused", COVEY_FLEET_JSON, &text, &error),
        COVEY_OK);
    assert_non_null(strstr(text, "\"percent\":30,"));
    assert_non_null(strstr(text, "\"state\":\"paused\""));
    covey_fleet_text_free(p.client, text);
    assert_int_equal(
        covey_fleet_rollout_set(p.client, "../x", 30, NULL, COVEY_FLEET_JSON, &text, &error),
        COVEY_ERROR_INVALID_ARGUMENT);
    covey_fleet_device_filter filter = COVEY_FLEET_DEVICE_FILTER_INIT;
    filter.version = "1.0.0&limit=7";
    assert_int_equal(covey_fleet_devices(p.client, &filter, COVEY_FLEET_TEXT, &text, &error),
                     COVEY_OK);
    assert_string_equal(text, "No device was found.\n");
    covey_fleet_text_free(p.client, text);
    assert_int_equal(covey_fleet_devices(p.client, NULL, COVEY_FLEET_TEXT, &text, &error),
                     COVEY_OK);
    assert_non_null(strstr(text, "small  nothing  seen 0 s ago"));
    covey_fleet_text_free(p.client, text);
    assert_int_equal(
        covey_fleet_token_create(p.client, 2, 60000, "n", COVEY_FLEET_TEXT, &text, &error),
        COVEY_OK);
    assert_int_equal(strncmp(text, "cve_", 4), 0);
    covey_fleet_text_free(p.client, text);
    publisher_close(&p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_setup, fleet_teardown)
    const struct CMUnitTest tests[] = {
        TEST(only_what_is_new_is_sent),
        TEST(a_version_cannot_be_published_twice_over),
        TEST(bundles_are_checked_first),
        TEST(a_release_needs_all_its_blobs),
        TEST(offers_follow_the_rollout),
        TEST(the_percentage_draws_devices_and_keeps_them),
        TEST(a_refusal_is_final_and_explained),
        TEST(what_the_server_knows_survives_it),
        TEST(many_at_once),
        TEST(every_list_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
