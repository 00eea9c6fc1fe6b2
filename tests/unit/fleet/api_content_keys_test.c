/* Content keys at the control plane: it hands a device what was wrapped for the key that it has
 * now, and nobody else anything; the publisher sees who lacks one. */
#include "fleet_double.h"

#include "trust/envelope.h"

#include <sys/stat.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_setup, fleet_teardown)

/* A device with an X25519 key pair. */
typedef struct private_device {
    fleet_device is;
    uint8_t secret[32], public_key[32];
    char hex[65];
} private_device;

static void say_key(fleet_double *f, private_device *d, uint8_t seed) {
    char body[300];
    covey_error error = {0};
    memset(d->secret, seed, 32);
    assert_int_equal(
        covey__x25519_public(covey__runtime_env(f->runtime), d->secret, d->public_key, &error),
        COVEY_OK);
    covey__hex(d->public_key, 32, d->hex);
    snprintf(body, sizeof body, "{\"device\":{\"class\":\"small\"},\"encryption_key\":\"%s\"}",
             d->hex);
    fleet_expect(f, fleet_call(f, "POST", "/v1/checkin", d->is.token, body), 200);
}

typedef struct publisher {
    covey_fleet_client *client;
    covey__content_key key;
    char file[400], id[33];
} publisher;

static void make_publisher(fleet_double *f, publisher *p) {
    covey_error error = {0};
    const covey__env *env = covey__runtime_env(f->runtime);
    assert_int_equal(covey_fleet_client_open(f->runtime, covey_fleet_server_url(f->server),
                                             covey_fleet_server_token_file(f->server), &p->client,
                                             &error),
                     COVEY_OK);
    snprintf(p->file, sizeof p->file, "%s/content.key", f->folder.path);
    assert_int_equal(covey__content_key_make(env, &p->key, &error), COVEY_OK);
    assert_int_equal(covey__content_key_write(env, p->file, &p->key, &error), COVEY_OK);
    covey__hex(p->key.id, 16, p->id);
}

static covey_status wrap(const publisher *p, const char *device, const char *device_key,
                         covey_fleet_wrapped *done, covey_error *error) {
    covey_fleet_wrap_options options = COVEY_FLEET_WRAP_OPTIONS_INIT;
    *done = (covey_fleet_wrapped)COVEY_FLEET_WRAPPED_INIT;
    *error = (covey_error){0};
    options.key_file = p->file;
    options.device = device;
    options.device_key = device_key;
    return covey_fleet_content_key_wrap(p->client, &options, done, error);
}

static int fetch(fleet_double *f, const publisher *p, const char *token) {
    char path[120];
    snprintf(path, sizeof path, "/v1/content-keys/%s", p->id);
    return fleet_call(f, "GET", path, token, NULL);
}

/* Fetches as the device and opens what came. */
static covey_status open_wrap(fleet_double *f, const publisher *p, const private_device *d) {
    char hex[200];
    uint8_t wrapped[80];
    covey__content_key key;
    covey_error error = {0};
    fleet_expect(f, fetch(f, p, d->is.token), 200);
    fleet_member(f, "wrapped", hex, sizeof hex);
    assert_true(covey__unhex(hex, strlen(hex), wrapped, sizeof wrapped));
    covey_status status = covey__content_key_unwrap(covey__runtime_env(f->runtime), p->key.id,
                                                    d->is.id, d->secret, wrapped, &key, &error);
    if (status == COVEY_OK) assert_memory_equal(key.key, p->key.key, 32);
    return status;
}

static void devices_get_what_was_wrapped_for_them(void **state) {
    fleet_double *f = *state;
    publisher p;
    covey_fleet_wrapped done;
    covey_error error;
    char *text = NULL;
    private_device one = {.is = fleet_enroll(f, "small")}, two = {.is = fleet_enroll(f, "small")};
    fleet_device old = fleet_enroll(f, "small"); /* says no key */
    make_publisher(f, &p);
    say_key(f, &one, 1);
    say_key(f, &two, 2);
    fleet_expect_error(f, fetch(f, &p, one.is.token), 404, "not_wrapped");
    assert_int_equal(wrap(&p, one.is.id, NULL, &done, &error), COVEY_OK);
    assert_int_equal(done.wrapped, 1);
    assert_string_equal(done.key, p.id);
    assert_int_equal(open_wrap(f, &p, &one), COVEY_OK);
    fleet_expect_error(f, fetch(f, &p, two.is.token), 404, "not_wrapped");
    /* The list says who lacks it. */
    assert_int_equal(covey_fleet_content_keys(p.client, COVEY_FLEET_TEXT, &text, &error), COVEY_OK);
    assert_non_null(strstr(text, p.id));
    assert_non_null(strstr(text, "1 devices have it, 2 lack it"));
    covey_fleet_text_free(p.client, text);
    assert_int_equal(covey_fleet_content_key_devices(p.client, p.id, NULL, true, COVEY_FLEET_TEXT,
                                                     &text, &error),
                     COVEY_OK);
    assert_null(strstr(text, one.is.id));
    assert_non_null(strstr(text, two.is.id));
    assert_non_null(strstr(text, "no_key"));
    covey_fleet_text_free(p.client, text);
    /* All that lack it; again it finds none but the old one. */
    assert_int_equal(wrap(&p, NULL, NULL, &done, &error), COVEY_OK);
    assert_int_equal(done.wrapped, 1);
    assert_int_equal(done.without_key, 1);
    assert_int_equal(open_wrap(f, &p, &two), COVEY_OK);
    assert_int_equal(wrap(&p, NULL, NULL, &done, &error), COVEY_OK);
    assert_int_equal(done.wrapped, 0);
    assert_int_equal(done.devices, 1);
    fleet_expect_error(f, fetch(f, &p, old.token), 404, "not_wrapped");
    covey_fleet_client_close(p.client);
}

static void another_devices_wrap_does_not_open(void **state) {
    fleet_double *f = *state;
    publisher p;
    covey_fleet_wrapped done;
    covey_error error = {0};
    covey__content_key key;
    uint8_t wrapped[80];
    char hex[200];
    private_device one = {.is = fleet_enroll(f, "small")}, two = {.is = fleet_enroll(f, "small")};
    make_publisher(f, &p);
    say_key(f, &one, 1);
    say_key(f, &two, 2);
    assert_int_equal(wrap(&p, NULL, NULL, &done, &error), COVEY_OK);
    fleet_expect(f, fetch(f, &p, one.is.token), 200);
    fleet_member(f, "wrapped", hex, sizeof hex);
    assert_true(covey__unhex(hex, strlen(hex), wrapped, sizeof wrapped));
    const covey__env *env = covey__runtime_env(f->runtime);
    assert_int_equal(
        covey__content_key_unwrap(env, p.key.id, two.is.id, two.secret, wrapped, &key, &error),
        COVEY_ERROR_MISMATCH);
    /* Nor for the same key under another id. */
    assert_int_equal(
        covey__content_key_unwrap(env, p.key.id, two.is.id, one.secret, wrapped, &key, &error),
        COVEY_ERROR_MISMATCH);
    covey_fleet_client_close(p.client);
}

static void a_new_key_wants_a_new_wrap(void **state) {
    fleet_double *f = *state;
    publisher p;
    covey_fleet_wrapped done;
    covey_error error;
    char *text = NULL, old[65];
    private_device d = {.is = fleet_enroll(f, "small")};
    make_publisher(f, &p);
    say_key(f, &d, 1);
    memcpy(old, d.hex, sizeof old);
    assert_int_equal(wrap(&p, NULL, NULL, &done, &error), COVEY_OK);
    say_key(f, &d, 3); /* its keystore was lost */
    fleet_expect_error(f, fetch(f, &p, d.is.token), 404, "not_wrapped");
    assert_int_equal(covey_fleet_content_key_devices(p.client, p.id, NULL, false, COVEY_FLEET_TEXT,
                                                     &text, &error),
                     COVEY_OK);
    assert_non_null(strstr(text, "stale"));
    covey_fleet_text_free(p.client, text);
    assert_int_equal(wrap(&p, d.is.id, old, &done, &error), COVEY_ERROR_REFUSED);
    assert_int_equal(wrap(&p, d.is.id, d.hex, &done, &error), COVEY_OK);
    assert_int_equal(open_wrap(f, &p, &d), COVEY_OK);
    /* A check-in that says no key takes none away. */
    fleet_expect(f, fleet_checkin(f, &d.is, "small", "1.0.0"), 200);
    assert_int_equal(open_wrap(f, &p, &d), COVEY_OK);
    covey_fleet_client_close(p.client);
}

static void a_revoked_device_gets_none(void **state) {
    fleet_double *f = *state;
    publisher p;
    covey_fleet_wrapped done;
    covey_error error;
    private_device d = {.is = fleet_enroll(f, "small")};
    make_publisher(f, &p);
    say_key(f, &d, 1);
    assert_int_equal(wrap(&p, NULL, NULL, &done, &error), COVEY_OK);
    assert_int_equal(covey_fleet_device_revoke(p.client, d.is.id, &error), COVEY_OK);
    fleet_expect_error(f, fetch(f, &p, d.is.token), 403, "revoked");
    assert_int_equal(wrap(&p, d.is.id, NULL, &done, &error), COVEY_ERROR_NOT_FOUND);
    assert_int_equal(wrap(&p, NULL, NULL, &done, &error), COVEY_OK);
    assert_int_equal(done.devices, 0);
    /* Nor by hand. */
    char body[600], wrapped[161];
    memset(wrapped, 'a', 160);
    wrapped[160] = 0;
    snprintf(
        body, sizeof body,
        "{\"key\":\"%s\",\"wraps\":[{\"device\":\"%s\",\"device_key\":\"%s\",\"wrapped\":\"%s\"}]}",
        p.id, d.is.id, d.hex, wrapped);
    fleet_expect(f, fleet_call(f, "POST", "/v1/content-keys", f->admin, body), 200);
    assert_non_null(strstr(fleet_text(f), "\"stored\":0"));
    assert_non_null(strstr(fleet_text(f), d.is.id));
    covey_fleet_client_close(p.client);
}

static void what_is_malformed(void **state) {
    fleet_double *f = *state;
    private_device d = {.is = fleet_enroll(f, "small")};
    static const char *const bodies[] = {
        "{}",
        "{\"key\":\"00\",\"wraps\":[]}",
        "{\"key\":\"00112233445566778899aabbccddeeff\"}",
        "{\"key\":\"00112233445566778899aabbccddeeff\",\"wraps\":[{\"device\":\"x\"}]}",
        "{\"key\":\"00112233445566778899aabbccddeeff\",\"wraps\":[],\"more\":1}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        fleet_expect_error(f, fleet_call(f, "POST", "/v1/content-keys", f->admin, bodies[i]), 400,
                           "bad_field");
    fleet_expect_error(f, fleet_call(f, "GET", "/v1/content-keys/xyz", d.is.token, NULL), 400,
                       "bad_request");
    fleet_expect_error(f, fleet_call(f, "GET", "/v1/content-keys", d.is.token, NULL), 403,
                       "not_admin");
    fleet_expect_error(
        f,
        fleet_call(f, "GET", "/v1/content-keys/00112233445566778899aabbccddeeff/devices?limit=0",
                   f->admin, NULL),
        400, "bad_request");
    fleet_expect_error(f,
                       fleet_call(f, "POST", "/v1/checkin", d.is.token,
                                  "{\"device\":{\"class\":\"small\"},\"encryption_key\":\"00\"}"),
                       400, "bad_field");
}

/* More devices than a page has. */
static void pages_are_walked(void **state) {
    fleet_double *f = *state;
    publisher p;
    covey_fleet_wrapped done;
    covey_error error;
    enum { COUNT = 510 };
    make_publisher(f, &p);
    for (int i = 0; i < COUNT; i++) {
        private_device d = {.is = fleet_enroll(f, "small")};
        say_key(f, &d, (uint8_t)(1 + i % 200));
    }
    assert_int_equal(wrap(&p, NULL, NULL, &done, &error), COVEY_OK);
    assert_int_equal(done.wrapped, COUNT);
    assert_int_equal(wrap(&p, NULL, NULL, &done, &error), COVEY_OK);
    assert_int_equal(done.devices, 0);
    covey_fleet_client_close(p.client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(devices_get_what_was_wrapped_for_them),
        TEST(another_devices_wrap_does_not_open),
        TEST(a_new_key_wants_a_new_wrap),
        TEST(a_revoked_device_gets_none),
        TEST(what_is_malformed),
        TEST(pages_are_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
