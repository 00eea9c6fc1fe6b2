/* A device and private ensembles: without the content key it keeps what it has and says what it
 * waits for; with it it goes on; what was wrapped for others, or before its keystore was lost, is
 * no key. */
#include "agent_double.h"

#include "bundle/component_open.h"
#include "bundle/manifest_build.h"
#include "trust/envelope.h"

#include <sys/stat.h>

#define MODEL_BYTES 150000
#define DEVICE_ID   "00112233445566778899aabbccddeeff"

typedef struct fixture {
    control_double c;
    covey_agent *agent;
    covey__content_key key;
    char plain[MODEL_BYTES];
} fixture;

/* Encrypts the model of a folder and writes its manifest anew. */
static void hide(fixture *f, const char *name, const char *version) {
    static const covey__manifest_part parts[] = {
        {.role = "model", .file = "model.gguf", .encrypted = true},
        {.role = "tools", .file = "tools.json"}};
    const covey__env *env = covey__runtime_env(f->c.runtime);
    covey_error error = {0};
    size_t size;
    char folder[300], path[400];
    snprintf(folder, sizeof folder, "%s", test_path(&f->c.folder, name));
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    char *plain = test_read(path, &size);
    assert_int_equal(size, MODEL_BYTES);
    memcpy(f->plain, plain, size);
    free(plain);
    assert_int_equal(covey__envelope_encrypt_file(env, &f->key, path, path, &error), COVEY_OK);
    covey__manifest_spec spec = {.name = "assistant",
                                 .version = version,
                                 .variant = "q8_0",
                                 .parts = parts,
                                 .part_count = 2,
                                 .memory_bytes = 1000,
                                 .arithmetic_version = 1};
    if (covey__manifest_write(env, folder, &spec, &error)) fail_msg("%s", error.message);
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->agent = double_device(&f->c, MODEL_BYTES, false);
    uint8_t bytes[32] = {9, 8, 7};
    covey__content_key_of(bytes, &f->key);
    hide(f, "v110", "1.1.0");
    double_publish(&f->c, "v110", "1.1.0");
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    double_finish(&f->c, f->agent);
    free(f);
    return 0;
}

/* The key that the device told in a body. */
static void told_key(const char *body, uint8_t key[32]) {
    const char *at = strstr(body, "\"encryption_key\":\"");
    assert_non_null(at);
    at += strlen("\"encryption_key\":\"");
    assert_true(covey__unhex(at, 64, key, 32));
}

/* Wraps the content key for a device id and key. */
static void give(fixture *f, const char *device, const uint8_t device_key[32]) {
    uint8_t wrapped[80];
    covey_error error = {0};
    assert_int_equal(covey__content_key_wrap(covey__runtime_env(f->c.runtime), &f->key, device,
                                             device_key, wrapped, &error),
                     COVEY_OK);
    covey__hex(wrapped, sizeof wrapped, f->c.wrapped);
}

static void give_this_device(fixture *f) {
    uint8_t key[32];
    told_key(f->c.last_checkin, key);
    give(f, DEVICE_ID, key);
}

static void later(fixture *f) {
    f->c.now_ms += 3600000;
}

static void expect_waiting(fixture *f) {
    covey_agent_outcome outcome = double_steps(&f->c, f->agent, 100);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    assert_int_equal(f->agent->state.update.phase, COVEY__PHASE_PLAN);
    if (!strstr(outcome.message, "was not given to this device yet"))
        fail_msg("%s", outcome.message);
    double_assert_serves(f->agent, "1.0.0");
}

static void expect_served(fixture *f) {
    covey_ensemble *ensemble = NULL;
    covey_error error = {0};
    covey__map map;
    if (covey_agent_current(f->agent, &ensemble, &error)) fail_msg("%s", error.message);
    assert_string_equal(covey_ensemble_version(ensemble), "1.1.0");
    const covey__component *model =
        covey__manifest_find(covey__ensemble_manifest(ensemble), "model");
    if (covey__component_map(ensemble, model, &map, &error)) fail_msg("%s", error.message);
    assert_int_equal(map.size, MODEL_BYTES);
    assert_memory_equal(map.data, f->plain, MODEL_BYTES);
    covey__map_close(&map);
    covey_ensemble_close(ensemble);
}

static void it_waits_for_its_key(void **state) {
    fixture *f = *state;
    uint8_t enrolled[32], checked[32];
    expect_waiting(f);
    told_key(f->c.last_enrollment, enrolled);
    told_key(f->c.last_checkin, checked);
    assert_memory_equal(enrolled, checked, 32);
    assert_true(f->c.key_requests > 0);
    assert_true(f->c.blob_bytes < MODEL_BYTES); /* nothing large was fetched in vain */
    assert_true(double_reported(&f->c, "plan waiting assistant@1.1.0"));
    later(f);
    expect_waiting(f);
    give_this_device(f);
    later(f);
    double_steps(&f->c, f->agent, 100);
    expect_served(f);
    assert_int_equal(f->c.probe_runs, 1);
    /* Kept, and asked for once. */
    int asked = f->c.key_requests;
    later(f);
    double_steps(&f->c, f->agent, 100);
    expect_served(f);
    assert_int_equal(f->c.key_requests, asked);
    struct stat facts;
    char hex[33], name[100];
    covey__hex(f->key.id, 16, hex);
    snprintf(name, sizeof name, "state/secrets/content_key.%s", hex);
    assert_int_equal(stat(test_path(&f->c.folder, name), &facts), 0);
    assert_int_equal(facts.st_mode & 077, 0);
}

static void what_was_wrapped_for_others_is_no_key(void **state) {
    fixture *f = *state;
    uint8_t mine[32], other[32] = {5};
    covey_error error = {0};
    expect_waiting(f);
    told_key(f->c.last_checkin, mine);
    uint8_t secret[32] = {3};
    assert_int_equal(covey__x25519_public(covey__runtime_env(f->c.runtime), secret, other, &error),
                     COVEY_OK);
    give(f, DEVICE_ID, other);
    later(f);
    expect_waiting(f);
    give(f, "ffffffffffffffffffffffffffffffff", mine);
    later(f);
    expect_waiting(f);
    snprintf(f->c.wrapped, sizeof f->c.wrapped, "no hex");
    later(f);
    expect_waiting(f);
    assert_int_equal(f->agent->state.refused_count, 0);
    give_this_device(f);
    later(f);
    double_steps(&f->c, f->agent, 100);
    expect_served(f);
}

/* Another content key under the name of the one that is wanted. */
static void a_wrong_key_is_not_kept(void **state) {
    fixture *f = *state;
    covey__content_key right = f->key;
    uint8_t bytes[32] = {1, 1, 1}, mine[32], wrapped[80];
    covey__content_key wrong;
    covey_error error = {0};
    expect_waiting(f);
    told_key(f->c.last_checkin, mine);
    covey__content_key_of(bytes, &wrong);
    memcpy(wrong.id, right.id, sizeof wrong.id);
    assert_int_equal(covey__content_key_wrap(covey__runtime_env(f->c.runtime), &wrong, DEVICE_ID,
                                             mine, wrapped, &error),
                     COVEY_OK);
    covey__hex(wrapped, sizeof wrapped, f->c.wrapped);
    later(f);
    expect_waiting(f);
}

static void a_lost_keystore_is_filled_again(void **state) {
    fixture *f = *state;
    uint8_t before[32], after[32];
    expect_waiting(f);
    give_this_device(f);
    told_key(f->c.last_checkin, before);
    later(f);
    double_steps(&f->c, f->agent, 100);
    expect_served(f);
    char hex[33], name[100];
    covey__hex(f->key.id, 16, hex);
    snprintf(name, sizeof name, "state/secrets/content_key.%s", hex);
    assert_int_equal(remove(test_path(&f->c.folder, name)), 0);
    assert_int_equal(remove(test_path(&f->c.folder, "state/secrets/device_key")), 0);
    double_assert_serves(f->agent, "1.0.0"); /* not for good */
    later(f);
    double_steps(&f->c, f->agent, 100);
    told_key(f->c.last_checkin, after);
    assert_memory_not_equal(before, after, 32);
    double_assert_serves(f->agent, "1.0.0"); /* the old wrap does not open */
    give_this_device(f);
    later(f);
    double_steps(&f->c, f->agent, 100);
    expect_served(f);
}

static void the_network_may_fail_in_between(void **state) {
    fixture *f = *state;
    expect_waiting(f);
    give_this_device(f);
    later(f);
    f->c.offline = true;
    double_steps(&f->c, f->agent, 100);
    double_assert_serves(f->agent, "1.0.0");
    assert_int_equal(f->agent->state.refused_count, 0);
    f->c.offline = false;
    later(f);
    double_steps(&f->c, f->agent, 100);
    expect_served(f);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(it_waits_for_its_key),
        T(what_was_wrapped_for_others_is_no_key),
        T(a_wrong_key_is_not_kept),
        T(a_lost_keystore_is_filled_again),
        T(the_network_may_fail_in_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
