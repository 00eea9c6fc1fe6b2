/* Metadata over real HTTP: what anyone may read, what publishers may send, what check-ins say, and
 * what is renewed and warned of by itself. docs/api.md and docs/trust.md are the expectation. */
#include "fleet_metadata.h"

#include "fleet/metadata_house.h"

#include <sys/stat.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_setup, fleet_teardown)

static fleet_keys begin(fleet_double *f) {
    fleet_keys k;
    fleet_keys_make(&k, covey__runtime_env(f->runtime));
    fleet_restart_online(f, &k);
    fleet_expect(f, fleet_post_first(f, &k, "assistant"), 200);
    assert_string_equal(fleet_text(f), "{\"root\":1,\"timestamp\":1}");
    return k;
}

static void put_blob(fleet_double *f, const char *text, char hex[65]) {
    char path[120];
    uint8_t digest[32];
    covey__sha256_of(text, strlen(text), digest);
    covey__hex(digest, 32, hex);
    snprintf(path, sizeof path, "/v1/blobs/sha256/%s", hex);
    fleet_expect(f, fleet_call(f, "PUT", path, f->admin, text), 201);
}

/* The product's role with one target; returns the HTTP status. */
static int post_product(fleet_double *f, const fleet_keys *k, int64_t version, const char *name,
                        const char *text) {
    static const char *const roles[] = {"assistant"};
    covey__buffer document;
    fleet_role(k, (covey__tuf_head){version, f->now_ms + FLEET_YEAR}, FLEET_PRODUCT, name, text,
               strlen(text), &document);
    return fleet_post_metadata(f, roles, &document, 1);
}

static void documents_are_for_anyone(void **state) {
    fleet_double *f = *state;
    static const char *const names[] = {"1.root.json", "1.targets.json", "1.steering.json",
                                        "1.assistant.json", "1.snapshot.json"};
    char path[100], tag[200];
    fleet_expect_error(f, fleet_call(f, "GET", "/v1/metadata/1.root.json", NULL, NULL), 404,
                       "not_found");
    fleet_keys k = begin(f);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/v1/metadata/%s", names[i]);
        fleet_expect(f, fleet_call(f, "GET", path, NULL, NULL), 200);
        assert_non_null(strstr(fleet_text(f), "\"signatures\""));
    }
    fleet_expect(f, fleet_call(f, "GET", "/v1/metadata/timestamp.json", NULL, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "\"covey_issued\":\""));
    uint8_t digest[32];
    char hex[65];
    covey__sha256_of(fleet_text(f), f->body.size, digest);
    covey__hex(digest, 32, hex);
    snprintf(tag, sizeof tag, "If-None-Match: \"%s\"", hex);
    fleet_expect(f, fleet_send(f, "GET", "/v1/metadata/timestamp.json", NULL, tag, NULL, 0), 304);
    static const char *const absent[] = {"2.root.json", "root.json", "1.timestamp.json", "a/b.json",
                                         "%2e%2e%2fadmin.token"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        snprintf(path, sizeof path, "/v1/metadata/%s", absent[i]);
        fleet_expect_error(f, fleet_call(f, "GET", path, NULL, NULL), 404, "not_found");
    }
    fleet_keys_free(&k);
}

static void targets_are_blobs(void **state) {
    fleet_double *f = *state;
    char hex[65], other[65], path[300];
    fleet_keys k = begin(f);
    /* Nothing is named before it is here. */
    fleet_expect_error(f, post_product(f, &k, 2, "assistant/1.0.0/release.json", "hello"), 422,
                       "bad_metadata");
    put_blob(f, "hello", hex);
    put_blob(f, "other", other);
    fleet_expect(f, post_product(f, &k, 2, "assistant/1.0.0/release.json", "hello"), 200);
    snprintf(path, sizeof path, "/v1/targets/assistant/1.0.0/%s.release.json", hex);
    fleet_expect(f, fleet_call(f, "GET", path, NULL, NULL), 200);
    assert_string_equal(fleet_text(f), "hello");
    fleet_expect(f, fleet_send(f, "GET", path, NULL, "Range: bytes=1-2", NULL, 0), 206);
    assert_string_equal(fleet_text(f), "el");
    static const char *const wrong[] = {"assistant/2.0.0/%s.release.json", "%s.release.json",
                                        "assistant/1.0.0/%s", "assistant/1.0.0/x%s.release.json",
                                        "%s."};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char name[200];
        snprintf(name, sizeof name, wrong[i], hex);
        snprintf(path, sizeof path, "/v1/targets/%s", name);
        fleet_expect_error(f, fleet_call(f, "GET", path, NULL, NULL), 404, "not_found");
    }
    fleet_keys_free(&k);
}

static void what_is_refused(void **state) {
    fleet_double *f = *state;
    static const char *const role[] = {"assistant"};
    fleet_keys k;
    covey__buffer document;
    fleet_keys_make(&k, covey__runtime_env(f->runtime));
    /* This control plane has no online key. */
    fleet_expect_error(f, fleet_post_first(f, &k, "assistant"), 409, "no_online_key");
    fleet_restart_online(f, &k);
    fleet_expect(f, fleet_post_first(f, &k, "assistant"), 200);
    covey__tuf_head next = {2, f->now_ms + FLEET_YEAR};
    fleet_role(&k, next, FLEET_OTHER, NULL, "", 0, &document);
    fleet_expect_error(f, fleet_post_metadata(f, role, &document, 1), 403, "bad_signature");
    fleet_role(&k, (covey__tuf_head){1, f->now_ms + FLEET_YEAR}, FLEET_PRODUCT, NULL, "", 0,
               &document);
    fleet_expect_error(f, fleet_post_metadata(f, role, &document, 1), 409, "conflict");
    fleet_role(&k, (covey__tuf_head){2, f->now_ms - 1000}, FLEET_PRODUCT, NULL, "", 0, &document);
    fleet_expect_error(f, fleet_post_metadata(f, role, &document, 1), 422, "expired");
    static const char *const root[] = {"root"};
    fleet_root(&k, next, FLEET_OTHER, &document);
    fleet_expect_error(f, fleet_post_metadata(f, root, &document, 1), 403, "wrong_online_key");
    static const struct {
        const char *body, *code;
    } bodies[] = {
        {"{}", "bad_field"},
        {"{\"documents\":[]}", "bad_field"},
        {"{\"documents\":[{\"role\":\"root\"}]}", "bad_field"},
        {"{\"documents\":[{\"role\":\"root\",\"document\":\"x\",\"more\":1}]}", "bad_field"},
        {"no", "bad_field"}};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        fleet_expect_error(f, fleet_call(f, "POST", "/v1/metadata", f->admin, bodies[i].body), 400,
                           bodies[i].code);
    fleet_expect_error(f, fleet_call(f, "POST", "/v1/metadata", NULL, "{}"), 401, "no_token");
    fleet_expect_error(f,
                       fleet_call(f, "POST", "/v1/metadata", f->admin,
                                  "{\"documents\":[{\"role\":\"assistant\",\"document\":\"x\"}]}"),
                       422, "bad_metadata");
    fleet_keys_free(&k);
}

static void devices_are_told_of_versions(void **state) {
    fleet_double *f = *state;
    fleet_device device = fleet_enroll(f, "small");
    assert_non_null(strstr(fleet_text(f), "\"metadata\":{\"root\":0,\"timestamp\":0}"));
    fleet_keys k = begin(f);
    fleet_expect(f, post_product(f, &k, 2, NULL, ""), 200);
    fleet_enroll(f, "small");
    assert_non_null(strstr(fleet_text(f), "\"metadata_url\":\"/v1/metadata\""));
    assert_non_null(strstr(fleet_text(f), "\"targets_url\":\"/v1/targets\""));
    assert_non_null(strstr(fleet_text(f), "\"metadata\":{\"root\":1,\"timestamp\":2}"));
    fleet_expect(f, fleet_checkin(f, &device, "small", "1.0.0"), 200);
    assert_non_null(strstr(fleet_text(f), "\"metadata\":{\"root\":1,\"timestamp\":2}"));
    fleet_keys_free(&k);
}

static void a_release_must_be_a_target(void **state) {
    fleet_double *f = *state;
    char hex[65], body[120];
    fleet_keys k = begin(f);
    put_blob(f, "hello", hex);
    snprintf(body, sizeof body, "{\"digest\":\"%s\"}", hex);
    /* No release document at all. */
    fleet_expect_error(f, fleet_call(f, "POST", "/v1/releases", f->admin, body), 422,
                       "bad_release");
    fleet_keys_free(&k);
}

/* The housekeeper's round, and what people are told: time is moved, nobody waits. */
static void renewal_and_warnings(void **state) {
    fleet_double *f = *state;
    covey_error error = {0};
    covey__metadata_house house;
    char folder[400];
    fleet_keys k = begin(f);
    fleet_expect(f, fleet_call(f, "GET", "/health", NULL, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "\"warnings\":[]"));
    fleet_expect(f, fleet_call(f, "GET", "/metrics", NULL, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "covey_fleet_metadata_version{role=\"steering\"} 1\n"));
    assert_non_null(
        strstr(fleet_text(f), "covey_fleet_metadata_expires_seconds{role=\"root\"} 31536000\n"));
    f->now_ms += FLEET_YEAR - COVEY__METADATA_WARN_MS + 1000;
    fleet_expect(f, fleet_call(f, "GET", "/health", NULL, NULL), 200);
    assert_non_null(strstr(fleet_text(f), "root expires at "));
    assert_non_null(strstr(fleet_text(f), "steering expires at "));
    fleet_stop(f);
    snprintf(folder, sizeof folder, "%s/metadata", f->data);
    fleet_check(covey__metadata_house_open(k.env, folder, f->online_key, &house, &error), &error);
    int64_t before = covey__metadata_newest(house.metadata).timestamp;
    covey__metadata_house_keep(&house);
    assert_int_equal(covey__metadata_newest(house.metadata).timestamp, before + 1);
    covey__metadata_house_keep(&house);
    assert_int_equal(covey__metadata_newest(house.metadata).timestamp, before + 1);
    f->now_ms += COVEY__METADATA_RENEW_MS;
    covey__metadata_house_keep(&house);
    assert_int_equal(covey__metadata_newest(house.metadata).timestamp, before + 2);
    covey__metadata_house_close(&house);
    /* A key that others can read is no secret. */
    assert_int_equal(chmod(f->online_key, 0644), 0);
    assert_int_equal(covey__metadata_house_open(k.env, folder, f->online_key, &house, &error),
                     COVEY_ERROR_DENIED);
    assert_int_equal(chmod(f->online_key, 0600), 0);
    fleet_keys_free(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(documents_are_for_anyone),
        TEST(targets_are_blobs),
        TEST(what_is_refused),
        TEST(devices_are_told_of_versions),
        TEST(a_release_must_be_a_target),
        TEST(renewal_and_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
