/* Publishing and rollouts from end to end: a bundle on disk, the client, the server, a device's
 * check-in. */
#include "fleet_double.h"

#include "bundle/release.h"
#include "fleet/fleet_server.h"
#include "trust/key_file.h"
#include "unit/bundle/ensemble_folder.h"

#include <unistd.h>

typedef struct publisher {
    fleet_double *f;
    covey_fleet_client *client;
    char key[300], public_key[65];
} publisher;

static publisher publisher_open(fleet_double *f, const char *keys, bool trusted) {
    publisher p = {.f = f};
    covey_error error = {0};
    char folder[300], pub[300];
    snprintf(folder, sizeof folder, "%s/%s", f->folder.path, keys);
    snprintf(p.key, sizeof p.key, "%s/release.key", folder);
    snprintf(pub, sizeof pub, "%s/release.pub", folder);
    assert_int_equal(covey_fleet_keys_init(f->runtime, folder, p.public_key, &error), COVEY_OK);
    if (covey_fleet_client_open(f->runtime, covey_fleet_server_url(f->server),
                                covey_fleet_server_token_file(f->server), &p.client,
                                &error) != COVEY_OK) {
        fail_msg("%s", error.message);
    }
    if (trusted) assert_int_equal(covey_fleet_trust(p.client, pub, &error), COVEY_OK);
    return p;
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
    options.key_file = p->key;
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
    publisher p = publisher_open(f, "keys", true);
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
    covey_fleet_client_close(p.client);
}

static void a_version_cannot_be_published_twice_over(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f, "keys", true);
    covey_error error = {0};
    covey_fleet_published result;
    make_bundle(f, "one", "1.0.0", 1);
    make_bundle(f, "other", "1.0.0", 2);
    published(&p, "one");
    assert_int_equal(publish(&p, "other", NULL, &result, &error), COVEY_ERROR_REMOTE);
    assert_int_equal(error.found, 409);
    assert_non_null(strstr(error.message, "conflict"));
    covey_fleet_client_close(p.client);
}

static void keys_that_are_not_trusted(void **state) {
    fleet_double *f = *state;
    publisher stranger = publisher_open(f, "stranger", false);
    covey_error error = {0};
    covey_fleet_published result;
    make_bundle(f, "one", "1.0.0", 1);
    assert_int_equal(publish(&stranger, "one", NULL, &result, &error), COVEY_ERROR_REMOTE);
    assert_int_equal(error.found, 403);
    assert_non_null(strstr(error.message, "untrusted_key"));
    fleet_expect(f, fleet_call(f, "GET", "/v1/releases", f->admin, NULL), 200);
    assert_string_equal(fleet_text(f), "{\"releases\":[]}");
    /* Keys can be trusted at start too, and last. */
    char pub[300];
    snprintf(pub, sizeof pub, "%s/stranger/release.pub", f->folder.path);
    assert_int_equal(covey_fleet_server_trust(f->server, pub, &error), COVEY_OK);
    assert_int_equal(covey_fleet_server_trust(f->server, pub, &error), COVEY_OK);
    published(&stranger, "one");
    fleet_expect(f, fleet_call(f, "GET", "/v1/release-keys", f->admin, NULL), 200);
    assert_non_null(strstr(fleet_text(f), stranger.public_key));
    test_write(pub, "not a key\n", 10);
    assert_int_equal(covey_fleet_server_trust(f->server, pub, &error), COVEY_ERROR_FORMAT);
    covey_fleet_client_close(stranger.client);
}

static void bundles_are_checked_first(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f, "keys", true);
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
    covey_fleet_client_close(p.client);
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
    publisher p = publisher_open(f, "keys", true);
    covey_fleet_published result;
    covey_error error = {0};
    covey__buffer signature;
    const covey__env *env = covey__runtime_env(f->runtime);
    char body[4000], path[400];
    make_bundle(f, "one", "1.0.0", 1);
    /* Everything but the release: a stranger's signature leaves the blobs there. */
    publisher stranger = publisher_open(f, "stranger", false);
    assert_int_equal(publish(&stranger, "one", NULL, &result, &error), COVEY_ERROR_REMOTE);
    covey__key key;
    assert_int_equal(covey__key_read(env, p.key, &key, &error), COVEY_OK);
    snprintf(path, sizeof path, "%s/blobs/sha256/%.2s/%s", f->data, result.digest, result.digest);
    size_t size;
    char *document = test_read(path, &size);
    assert_non_null(document);
    covey__buffer_init(&signature, env, COVEY__SIGNATURE_BYTES_MAX);
    assert_int_equal(covey__signature_make(env, COVEY__DOMAIN_RELEASE, document, size, &key, 1,
                                           &signature, &error),
                     COVEY_OK);
    snprintf(body, sizeof body, "{\"digest\":\"%s\",\"signature\":%s}", result.digest,
             signature.data);
    assert_true(remove_a_blob(f, result.digest, 1000));
    int status = fleet_call(f, "POST", "/v1/releases", f->admin, body);
    fleet_expect_error(f, status, 409, "missing_blobs");
    assert_non_null(strstr(fleet_text(f), "\"missing\":{\"count\":1,\"blobs\":[\""));
    /* Publishing again sends just that one. */
    covey_fleet_published again = published(&p, "one");
    assert_int_equal(again.blobs_sent, 1);
    /* A signature over other bytes; a document that is none. */
    char *digit = strstr(body, "\"signature\":\"");
    assert_non_null(digit);
    digit += strlen("\"signature\":\"");
    digit[0] = digit[0] == 'a' ? 'b' : 'a';
    status = fleet_call(f, "POST", "/v1/releases", f->admin, body);
    fleet_expect_error(f, status, 403, "bad_signature");
    snprintf(body, sizeof body, "{\"digest\":\"%064d\",\"signature\":{}}", 1);
    status = fleet_call(f, "POST", "/v1/releases", f->admin, body);
    fleet_expect_error(f, status, 409, "missing_blobs");
    snprintf(body, sizeof body, "{\"digest\":\"12\",\"signature\":{}}");
    status = fleet_call(f, "POST", "/v1/releases", f->admin, body);
    fleet_expect_error(f, status, 400, "bad_field");
    free(document);
    covey__key_wipe(&key);
    covey__buffer_free(&signature);
    covey_fleet_client_close(stranger.client);
    covey_fleet_client_close(p.client);
}

/* ---- rollouts ----------------------------------------------------------------------------- */

static void offers_follow_the_rollout(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f, "keys", true);
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
    covey_fleet_client_close(p.client);
}

static void the_percentage_draws_devices_and_keeps_them(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f, "keys", true);
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
    covey_fleet_client_close(p.client);
}

static void a_refusal_is_final_and_explained(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f, "keys", true);
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
    covey_fleet_client_close(p.client);
}

static void what_the_server_knows_survives_it(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f, "keys", true);
    make_bundle(f, "one", "1.1.0", 1);
    published(&p, "one");
    fleet_device device = fleet_enroll(f, "small");
    fleet_expect(f, rollout(f, "{\"release\":\"assistant@1.1.0\"}"), 201);
    fleet_stop(f);
    fleet_start(f);
    fleet_expect(f, fleet_checkin(f, &device, "small", "1.0.0"), 200);
    assert_string_equal(fleet_target(f), "assistant@1.1.0");
    covey_fleet_client_close(p.client);
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
    publisher p = publisher_open(f, "keys", true);
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
    covey_fleet_client_close(p.client);
}

/* ---- the client's own words --------------------------------------------------------------- */

static void every_list_has_a_text(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f, "keys", true);
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
    covey_fleet_client_close(p.client);
}

static void keys_are_never_overwritten(void **state) {
    fleet_double *f = *state;
    covey_error error = {0};
    char key[65];
    publisher p = publisher_open(f, "keys", false);
    char folder[300];
    snprintf(folder, sizeof folder, "%s/keys", f->folder.path);
    assert_int_equal(covey_fleet_keys_init(f->runtime, folder, key, &error), COVEY_ERROR_EXISTS);
    covey_fleet_client_close(p.client);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_setup, fleet_teardown)
    const struct CMUnitTest tests[] = {
        TEST(only_what_is_new_is_sent),
        TEST(a_version_cannot_be_published_twice_over),
        TEST(keys_that_are_not_trusted),
        TEST(bundles_are_checked_first),
        TEST(a_release_needs_all_its_blobs),
        TEST(offers_follow_the_rollout),
        TEST(the_percentage_draws_devices_and_keeps_them),
        TEST(a_refusal_is_final_and_explained),
        TEST(what_the_server_knows_survives_it),
        TEST(many_at_once),
        TEST(every_list_has_a_text),
        TEST(keys_are_never_overwritten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
