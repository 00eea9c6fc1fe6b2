/* Opening an ensemble's model, and running its probes, through the public calls. */
#include "built_ensemble.h"

#include "bundle/manifest_build.h"

#include <unistd.h>

static int set_up(void **state) {
    make_folder(state);
    covey_error error = {.message = ""};
    covey_bundle_options options = built_options();
    built_model(options.model, false);
    covey_runtime *runtime = open_runtime(1, NULL);
    must(covey_bundle_build(runtime, &options, NULL, &error, NULL, NULL), &error);
    covey_runtime_close(runtime);
    return 0;
}

/* Writes the manifest anew over what is in the folder. */
static void rewrite(const covey__manifest_part *parts, size_t count, int32_t arithmetic) {
    covey_error error = {.message = ""};
    covey__manifest_spec spec = {.name = "assistant",
                                 .version = "1.0.0",
                                 .variant = "f32",
                                 .parts = parts,
                                 .part_count = count,
                                 .arithmetic_version = arithmetic};
    must(covey__manifest_write(&plain_env, in_folder("built"), &spec, &error), &error);
}

typedef struct opened {
    covey_runtime *runtime;
    covey_ensemble *ensemble;
} opened;

static opened open_built(void) {
    opened o;
    covey_error error = {.message = ""};
    o.runtime = open_runtime(1, NULL);
    must(covey_ensemble_open(o.runtime, in_folder("built"), COVEY_CHECK_MANIFEST, &o.ensemble,
                             &error),
         &error);
    return o;
}

static void close_built(opened o) {
    covey_ensemble_close(o.ensemble);
    covey_runtime_close(o.runtime);
}

static void the_model_answers_after_its_ensemble_is_closed(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_model *model;
    char answer[64];
    opened o = open_built();
    must(covey_ensemble_open_model(o.ensemble, &model, &error), &error);
    covey_ensemble_close(o.ensemble);
    built_answer(model, "x", 4, answer, sizeof answer);
    assert_true(strlen(answer) > 0);
    covey_model_close(model);
    covey_runtime_close(o.runtime);
}

static uint64_t idle_after_a_session(const opened *o, int64_t budget) {
    covey_error error = {.message = ""};
    covey_ensemble_parts parts = COVEY_ENSEMBLE_PARTS_INIT;
    covey_kv_info info = COVEY_KV_INFO_INIT;
    covey_session *session;
    const covey_token tokens[] = {1, 2, 3, 4};
    parts.idle_kv_bytes_max = budget;
    must(covey_ensemble_open_parts(o->ensemble, &parts, &error), &error);
    must(covey_session_open(parts.model, NULL, &session, &error), &error);
    must(covey_session_append(session, tokens, 4, &error), &error);
    covey_session_close(session);
    covey_model_describe_kv(parts.model, &info);
    covey_ensemble_close_parts(&parts);
    return info.idle_bytes;
}

static void the_budget_of_idle_prefixes_is_the_callers(void **state) {
    (void)state;
    opened o = open_built();
    assert_true(idle_after_a_session(&o, 0) > 0); /* the default */
    assert_true(idle_after_a_session(&o, 1 << 20) > 0);
    assert_true(idle_after_a_session(&o, -1) == 0);
    close_built(o);
}

static void a_model_that_went_is_named(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_model *model;
    opened o = open_built();
    assert_int_equal(unlink(in_folder("built/model.gguf")), 0);
    assert_int_equal(covey_ensemble_open_model(o.ensemble, &model, &error), COVEY_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "component \"model\" (model.gguf)"));
    assert_null(model);
    close_built(o);
}

static void without_probes_only_the_model_is_tried(void **state) {
    (void)state;
    static const covey__manifest_part parts[] = {{.role = "model", .file = "model.gguf"}};
    covey_error error = {.message = ""};
    covey_probe_result result = COVEY_PROBE_RESULT_INIT;
    rewrite(parts, 1, 1);
    opened o = open_built();
    must(covey_ensemble_probe(o.ensemble, &result, &error, NULL, NULL), &error);
    assert_int_equal(result.bits_count + result.task_count, 0);
    close_built(o);
}

static void malformed_probes_are_an_error_that_names_them(void **state) {
    (void)state;
    static const covey__manifest_part parts[] = {{.role = "model", .file = "model.gguf"},
                                                 {.role = "probes", .file = "probes.json"}};
    covey_error error = {.message = ""};
    covey_probe_result result = COVEY_PROBE_RESULT_INIT;
    test_write(in_folder("built/probes.json"), "{\"format\":1}", 12);
    rewrite(parts, 2, 1);
    opened o = open_built();
    assert_int_equal(covey_ensemble_probe(o.ensemble, &result, &error, NULL, NULL),
                     COVEY_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "component \"probes\" (probes.json)"));
    close_built(o);
}

static void misuse_is_said(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_probe_result result = COVEY_PROBE_RESULT_INIT;
    opened o = open_built();
    result.size = 3;
    assert_int_equal(covey_ensemble_probe(o.ensemble, &result, &error, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_ensemble_open_model(NULL, NULL, &error), COVEY_ERROR_INVALID_ARGUMENT);
    close_built(o);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(the_model_answers_after_its_ensemble_is_closed),
        T(the_budget_of_idle_prefixes_is_the_callers),
        T(a_model_that_went_is_named),
        T(without_probes_only_the_model_is_tried),
        T(malformed_probes_are_an_error_that_names_them),
        T(misuse_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
