/* A private ensemble against the plain one of the same inputs: equal bits, the same answers with
 * adapters, and no plain byte of what is hidden in its folder. */
#include "built_ensemble.h"

#include "../engine/synthetic_lora.h"
#include "base/runtime.h"
#include "bundle/manifest.h"
#include "library/bundle_encrypt.h"

static covey_runtime *runtime;
static char lora_path[300], key_path[300], tools_path[300], template_path[300];
static covey_bundle_adapter adapter;

static int set_up(void **state) {
    covey_error error = {0};
    char id[33];
    make_folder(state);
    built_model(in_folder("plain.gguf"), false);
    must(covey_runtime_open(NULL, &runtime, &error), &error); /* with its crypto table */
    strcpy(lora_path, in_folder("one.gguf"));
    strcpy(key_path, in_folder("content.key"));
    strcpy(tools_path, in_folder("t.json"));
    strcpy(template_path, in_folder("c.jinja"));
    made one = MADE_PLAIN;
    write_adapter(in_folder("plain.gguf"), &one, lora_path);
    test_write(tools_path, "[{\"name\":\"x\"}]", 14);
    test_write(template_path, BUILT_TEMPLATE "<!>", strlen(BUILT_TEMPLATE "<!>"));
    must(covey_bundle_key(runtime, key_path, id, &error), &error);
    assert_int_equal(strlen(id), 32);
    assert_int_equal(covey_bundle_key(runtime, key_path, id, &error), COVEY_ERROR_EXISTS);
    adapter = (covey_bundle_adapter){lora_path, 0.5f, false};
    return 0;
}

static int tear_down(void **state) {
    covey_runtime_close(runtime);
    return remove_folder(state);
}

static covey_bundle_options options_to(const char *out, const char *key_file) {
    covey_bundle_options options = built_options();
    options.out = out;
    options.tools = tools_path;
    options.chat_template = template_path;
    options.adapters = &adapter;
    options.adapter_count = 1;
    options.content_key_file = key_file;
    return options;
}

static bool contains(const char *data, size_t size, const char *part, size_t part_size) {
    for (size_t i = 0; i + part_size <= size; i++)
        if (memcmp(data + i, part, part_size) == 0) return true;
    return false;
}

/* 48 bytes out of the middle of a plain component, which must stand in it and not in the other. */
static void expect_hidden(const char *plain_folder, const char *private_folder, const char *name) {
    char path[400];
    size_t plain_size, size;
    snprintf(path, sizeof path, "%s/%s", plain_folder, name);
    char *plain = test_read(path, &plain_size);
    snprintf(path, sizeof path, "%s/%s", private_folder, name);
    char *hidden = test_read(path, &size);
    assert_non_null(plain);
    assert_non_null(hidden);
    size_t at = plain_size / 2, count = plain_size / 2 < 48 ? plain_size / 2 : 48;
    assert_true(contains(plain, plain_size, plain + at, count));
    assert_false(contains(hidden, size, plain + at, count));
    assert_memory_equal(hidden, "COVEYENC", 8);
    free(plain);
    free(hidden);
}

static void answer(covey_ensemble *ensemble, char *out, size_t capacity) {
    covey_error error = {0};
    covey_ensemble_parts parts = COVEY_ENSEMBLE_PARTS_INIT;
    must(covey_ensemble_open_parts(ensemble, &parts, &error), &error);
    assert_int_equal(parts.adapter_count, 1);
    built_answer(parts.model, "hello", 20, out, capacity);
    covey_ensemble_close_parts(&parts);
}

static void it_answers_as_the_plain_one(void **state) {
    (void)state;
    char plain[300], hidden[300], again[300], first[2000], second[2000], path[400];
    covey_error error = {0};
    covey_probe_result result = COVEY_PROBE_RESULT_INIT, other = COVEY_PROBE_RESULT_INIT;
    covey_ensemble *open_one, *private_one;
    strcpy(plain, in_folder("open"));
    strcpy(hidden, in_folder("hidden"));
    strcpy(again, in_folder("again"));
    covey_bundle_options options = options_to(plain, NULL);
    must(covey_bundle_build(runtime, &options, &result, &error, NULL, NULL), &error);
    options = options_to(hidden, key_path);
    must(covey_bundle_build(runtime, &options, &other, &error, NULL, NULL), &error);
    assert_int_equal(other.bits_passed, result.bits_passed);
    must(covey_ensemble_open(runtime, plain, COVEY_CHECK_DIGESTS, &open_one, &error), &error);
    must(covey_ensemble_open(runtime, hidden, COVEY_CHECK_DIGESTS, &private_one, &error), &error);
    assert_false(covey_ensemble_encrypted(open_one));
    assert_true(covey_ensemble_encrypted(private_one));
    covey_ensemble_parts parts = COVEY_ENSEMBLE_PARTS_INIT;
    assert_int_equal(covey_ensemble_open_parts(private_one, &parts, &error), COVEY_ERROR_DENIED);
    assert_int_equal(covey_ensemble_probe(private_one, &other, &error, NULL, NULL),
                     COVEY_ERROR_DENIED);
    must(covey_ensemble_give_key_file(private_one, key_path, &error), &error);
    must(covey_ensemble_probe(private_one, &other, &error, NULL, NULL), &error);
    assert_int_equal(other.bits_passed, 4);
    answer(open_one, first, sizeof first);
    answer(private_one, second, sizeof second);
    assert_true(first[0] != 0);
    assert_string_equal(first, second);
    covey_ensemble_close(open_one);
    covey_ensemble_close(private_one);
    expect_hidden(plain, hidden, "model.gguf");
    expect_hidden(plain, hidden, "template.jinja");
    expect_hidden(plain, hidden, "probes.json");
    snprintf(path, sizeof path, "%s/tools.json", hidden); /* what a user consents to is readable */
    size_t size;
    char *tools = test_read(path, &size);
    assert_memory_equal(tools, "[{\"name\":\"x\"}]", 14);
    free(tools);
    /* The same inputs and key make the same ensemble. */
    covey__manifest *one, *two;
    options = options_to(again, key_path);
    must(covey_bundle_build(runtime, &options, NULL, &error, NULL, NULL), &error);
    must(covey__manifest_read(covey__runtime_env(runtime), hidden, &one, &error), &error);
    must(covey__manifest_read(covey__runtime_env(runtime), again, &two, &error), &error);
    assert_string_equal(one->digest_hex, two->digest_hex);
    covey__manifest_free(one);
    covey__manifest_free(two);
}

static void a_model_that_was_touched_does_not_open(void **state) {
    (void)state;
    char hidden[300], path[400];
    covey_error error = {0};
    covey_ensemble *ensemble;
    covey_ensemble_parts parts = COVEY_ENSEMBLE_PARTS_INIT;
    strcpy(hidden, in_folder("touched"));
    covey_bundle_options options = options_to(hidden, key_path);
    must(covey_bundle_build(runtime, &options, NULL, &error, NULL, NULL), &error);
    snprintf(path, sizeof path, "%s/model.gguf", hidden);
    size_t size;
    char *bytes = test_read(path, &size);
    bytes[size / 2] ^= 1;
    test_write(path, bytes, size);
    free(bytes);
    must(covey_ensemble_open(runtime, hidden, COVEY_CHECK_MANIFEST, &ensemble, &error), &error);
    must(covey_ensemble_give_key_file(ensemble, key_path, &error), &error);
    assert_int_equal(covey_ensemble_open_parts(ensemble, &parts, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "model.gguf"));
    covey_ensemble_close(ensemble);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_as_the_plain_one),
        cmocka_unit_test(a_model_that_was_touched_does_not_open),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
