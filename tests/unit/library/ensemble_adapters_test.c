/* Ensembles with adapters: built, proved, opened and refused as their publisher and their device
 * see it. */
#include "built_ensemble.h"

#include "../engine/synthetic_lora.h"

#include "bundle/manifest.h"
#include "library/probe_run.h"

#include <unistd.h>

static covey_runtime *runtime;
static covey_bundle_adapter adapters[2];
static char one_path[300], two_path[300];

static int set_up(void **state) {
    make_folder(state);
    made one = MADE_PLAIN, two = MADE_PLAIN;
    two.seed = 9;
    built_model(in_folder("plain.gguf"), false);
    snprintf(one_path, sizeof one_path, "%s", in_folder("one.gguf"));
    snprintf(two_path, sizeof two_path, "%s", in_folder("two.gguf"));
    write_adapter(in_folder("plain.gguf"), &one, one_path);
    write_adapter(in_folder("plain.gguf"), &two, two_path);
    adapters[0] = (covey_bundle_adapter){one_path, 0.7f, false};
    adapters[1] = (covey_bundle_adapter){two_path, 0.0f, true};
    runtime = open_runtime(1, NULL);
    return 0;
}

static int tear_down(void **state) {
    covey_runtime_close(runtime);
    return remove_folder(state);
}

static covey_bundle_options options_with(size_t count) {
    covey_bundle_options options = built_options();
    options.adapters = adapters;
    options.adapter_count = count;
    return options;
}

static void build(const covey_bundle_options *options) {
    covey_error error = {.message = ""};
    covey_probe_result result = COVEY_PROBE_RESULT_INIT;
    must(covey_bundle_build(runtime, options, &result, &error, NULL, NULL), &error);
    assert_int_equal(result.bits_count, 4);
    assert_int_equal(result.bits_passed, 4);
}

static void expect_no_build(const covey_bundle_options *options, covey_status expected,
                            const char *text) {
    covey_error error = {.message = ""};
    covey_status status = covey_bundle_build(runtime, options, NULL, &error, NULL, NULL);
    if (status != expected || !strstr(error.message, text))
        fail_msg("expected %s with \"%s\", found %s: %s", covey_status_name(expected), text,
                 covey_status_name(status), error.message);
    assert_int_not_equal(access(options->out, F_OK), 0);
}

static covey_ensemble *open_built(covey_check_depth depth) {
    covey_error error = {.message = ""};
    covey_ensemble *ensemble = NULL;
    must(covey_ensemble_open(runtime, in_folder("built"), depth, &ensemble, &error), &error);
    return ensemble;
}

static void parts_are_what_the_manifest_says(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_bundle_options options = options_with(2);
    build(&options);
    covey_ensemble *ensemble = open_built(COVEY_CHECK_DIGESTS);
    covey_component component = {.size = sizeof component};
    must(covey_ensemble_component(ensemble, 1, &component, &error), &error);
    assert_string_equal(component.role, "adapter");
    assert_string_equal(component.file, "one.gguf");
    assert_true(component.scale == 0.7f && !component.on_request);
    covey_ensemble_parts parts = COVEY_ENSEMBLE_PARTS_INIT;
    must(covey_ensemble_open_parts(ensemble, &parts, &error), &error);
    assert_int_equal(parts.adapter_count, 2);
    assert_true(parts.adapters[0].scale == 0.7f && !parts.adapters[0].on_request);
    assert_true(parts.adapters[1].scale == 1.0f && parts.adapters[1].on_request);
    for (int i = 0; i < 2; i++) { /* the copies name the ensemble's model */
        covey_adapter_info info = COVEY_ADAPTER_INFO_INIT;
        covey_adapter_describe(parts.adapters[i].adapter, &info);
        assert_true(info.bound);
    }
    covey_ensemble_close_parts(&parts);
    assert_null(parts.model);
    covey_model *model = NULL; /* alone it would be another ensemble */
    assert_int_equal(covey_ensemble_open_model(ensemble, &model, &error), COVEY_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "covey_ensemble_open_parts"));
    parts.size = 8;
    assert_int_equal(covey_ensemble_open_parts(ensemble, &parts, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_ensemble_close(ensemble);
}

/* The first bits probe of what was built. */
static void first_digest(uint8_t out[32]) {
    covey_error error = {.message = ""};
    covey__probes *probes = NULL;
    size_t size = 0;
    char *text = test_read(in_folder("built/probes.json"), &size);
    must(covey__probes_parse(&plain_env, text, size, &probes, &error), &error);
    memcpy(out, probes->bits[0].logits[0], 32);
    covey__probes_free(probes);
    free(text);
}

/* An edit of the manifest, of equal length. */
static void edit_manifest(const char *from, const char *to) {
    size_t size = 0;
    char *text = test_read(in_folder("built/ensemble.json"), &size);
    char *at = strstr(text, from);
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    test_write(in_folder("built/ensemble.json"), text, size);
    free(text);
}

static void probes_see_the_adapters_that_are_on(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_probe_result result = COVEY_PROBE_RESULT_INIT;
    uint8_t bare[32], with_one[32], with_both[32];
    covey_bundle_options options = options_with(0);
    build(&options);
    first_digest(bare);
    assert_int_equal(rename(in_folder("built"), in_folder("bare")), 0);
    options = options_with(1);
    build(&options);
    first_digest(with_one);
    assert_int_equal(rename(in_folder("built"), in_folder("one")), 0);
    options = options_with(2);
    build(&options);
    first_digest(with_both);
    assert_memory_not_equal(bare, with_one, 32);
    assert_memory_equal(with_one, with_both, 32); /* the second is on request only */
    covey_ensemble *ensemble = open_built(COVEY_CHECK_DIGESTS);
    must(covey_ensemble_probe(ensemble, &result, &error, NULL, NULL), &error);
    assert_int_equal(result.bits_passed, 4);
    char before[65];
    snprintf(before, sizeof before, "%s", covey_ensemble_digest(ensemble));
    covey_ensemble_close(ensemble);
    edit_manifest("\"scale\": 0.7", "\"scale\": 0.8"); /* another scale: other bits, other digest */
    ensemble = open_built(COVEY_CHECK_DIGESTS);
    assert_string_not_equal(covey_ensemble_digest(ensemble), before);
    assert_int_equal(covey_ensemble_probe(ensemble, &result, &error, NULL, NULL),
                     COVEY_ERROR_REFUSED);
    assert_int_equal(result.bits_passed, 0);
    covey_ensemble_close(ensemble);
}

static void a_wrong_base_is_not_built(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    synthetic other = SYNTHETIC_ODD;
    other.seed = 77;
    other.chat_template = BUILT_TEMPLATE;
    write_synthetic(&other, in_folder("other.gguf"));
    covey_model *model = open_model(runtime, in_folder("other.gguf"));
    must(covey_adapter_bind(model, two_path, one_path, &error), &error);
    covey_model_close(model);
    covey_bundle_options options = options_with(1);
    expect_no_build(&options, COVEY_ERROR_MISMATCH, "adapter \"one.gguf\"");
    expect_no_build(&options, COVEY_ERROR_MISMATCH, "bound to another base");
    made wider = MADE_PLAIN;
    wider.wider = 1;
    write_adapter(in_folder("plain.gguf"), &wider, one_path);
    expect_no_build(&options, COVEY_ERROR_MISMATCH, "blk.0.attn_q.weight");
}

/* Bound to the model as it was given, whose copy gets another template. */
static void a_template_does_not_part_them(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_model *model = open_model(runtime, in_folder("plain.gguf"));
    must(covey_adapter_bind(model, one_path, one_path, &error), &error);
    covey_model_close(model);
    covey_bundle_options options = options_with(1);
    static char path[300];
    snprintf(path, sizeof path, "%s", in_folder("template"));
    test_write(path, BUILT_TEMPLATE " ", strlen(BUILT_TEMPLATE " "));
    options.chat_template = path;
    build(&options);
}

static void names_and_scales_are_checked_first(void **state) {
    (void)state;
    covey_bundle_options options = options_with(2);
    adapters[1].path = one_path;
    expect_no_build(&options, COVEY_ERROR_INVALID_ARGUMENT, "another component has this name");
    adapters[1].path = "/x/MODEL.gguf";
    expect_no_build(&options, COVEY_ERROR_INVALID_ARGUMENT, "another component has this name");
    adapters[1].path = "/x/two words.gguf";
    expect_no_build(&options, COVEY_ERROR_INVALID_ARGUMENT, "rename the file");
    adapters[1] = (covey_bundle_adapter){two_path, NAN, false};
    expect_no_build(&options, COVEY_ERROR_INVALID_ARGUMENT, "the scale is a number");
    adapters[1] = (covey_bundle_adapter){in_folder("absent.gguf"), 1.0f, false};
    expect_no_build(&options, COVEY_ERROR_NOT_FOUND, "absent.gguf");
    options.adapter_count = COVEY_ADAPTERS_MAX + 1;
    expect_no_build(&options, COVEY_ERROR_LIMIT, "at most 8 adapters");
}

static void expect_not_opened(covey_status expected, const char *text) {
    covey_error error = {.message = ""};
    covey_ensemble_parts parts = COVEY_ENSEMBLE_PARTS_INIT;
    covey_ensemble *ensemble = open_built(COVEY_CHECK_MANIFEST);
    covey_status status = covey_ensemble_open_parts(ensemble, &parts, &error);
    if (status != expected || !strstr(error.message, text))
        fail_msg("expected %s with \"%s\", found %s: %s", covey_status_name(expected), text,
                 covey_status_name(status), error.message);
    assert_non_null(strstr(error.message, "component \"adapter\" (one.gguf)"));
    assert_true(parts.model == NULL && parts.adapter_count == 0);
    covey_ensemble_close(ensemble);
}

static void what_was_changed_is_not_opened(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_bundle_options options = options_with(1);
    build(&options);
    size_t size = 0;
    char *bytes = test_read(in_folder("built/one.gguf"), &size);
    bytes[size - 1] ^= 1; /* the last weight's exponent: still a number */
    test_write(in_folder("built/one.gguf"), bytes, size);
    expect_not_opened(COVEY_ERROR_MISMATCH, "digest is not the manifest's");
    covey_ensemble *ensemble = NULL;
    assert_int_equal(
        covey_ensemble_open(runtime, in_folder("built"), COVEY_CHECK_DIGESTS, &ensemble, &error),
        COVEY_ERROR_MISMATCH);
    bytes[size - 1] ^= 1;
    /* Its file names another base than the manifest does. */
    char *named = NULL;
    for (size_t i = 0; i + 18 < size && !named; i++)
        if (!memcmp(bytes + i, "covey.adapter.base", 18)) named = bytes + i + 18 + 12;
    assert_non_null(named);
    named[0] = named[0] == 'a' ? 'b' : 'a';
    test_write(in_folder("built/one.gguf"), bytes, size);
    expect_not_opened(COVEY_ERROR_MISMATCH, "bound to another base");
    free(bytes);
    assert_int_equal(unlink(in_folder("built/one.gguf")), 0);
    assert_int_equal(
        covey_ensemble_open(runtime, in_folder("built"), COVEY_CHECK_MANIFEST, &ensemble, &error),
        COVEY_ERROR_NOT_FOUND);
}

/* The manifest says that it is on another model. */
static void a_manifest_with_a_wrong_base_is_refused(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_ensemble *ensemble = NULL;
    covey_bundle_options options = options_with(1);
    build(&options);
    edit_manifest("\"base_sha256\": \"", "\"base_sha256\": \"00000000");
    assert_int_equal(
        covey_ensemble_open(runtime, in_folder("built"), COVEY_CHECK_MANIFEST, &ensemble, &error),
        COVEY_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "components[1].base_sha256"));
}

static void a_backend_answers_with_them(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_bundle_options options = options_with(2);
    build(&options);
    covey_ensemble *ensemble = open_built(COVEY_CHECK_DIGESTS);
    covey_ensemble_parts parts = COVEY_ENSEMBLE_PARTS_INIT;
    must(covey_ensemble_open_parts(ensemble, &parts, &error), &error);
    covey_ensemble_close(ensemble);
    covey_local_options local = COVEY_LOCAL_OPTIONS_INIT;
    local.adapters = parts.adapters;
    local.adapter_count = parts.adapter_count;
    covey_backend *backend = NULL;
    must(covey_backend_local_with(runtime, parts.model, &local, &backend, &error), &error);
    parts.model = NULL;
    covey_ensemble_close_parts(&parts);
    covey_conversation *talk = NULL;
    must(covey_conversation_open(backend, 0, &talk, &error), &error);
    covey_request request = COVEY_REQUEST_INIT;
    covey_answer answer = COVEY_ANSWER_INIT;
    covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
    generation.tokens_max = 4;
    request.prompt = "x";
    request.generation = &generation;
    must(covey_conversation_generate(talk, &request, &answer, &error, NULL, NULL), &error);
    assert_int_equal(answer.adapter_count, 1);
    assert_true(answer.adapters[0].id == 0 && answer.adapters[0].scale == 0.7f);
    covey_conversation_close(talk);
    covey_backend_release(backend);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(parts_are_what_the_manifest_says),
        T(probes_see_the_adapters_that_are_on),
        T(a_wrong_base_is_not_built),
        T(a_template_does_not_part_them),
        T(names_and_scales_are_checked_first),
        T(what_was_changed_is_not_opened),
        T(a_manifest_with_a_wrong_base_is_refused),
        T(a_backend_answers_with_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
