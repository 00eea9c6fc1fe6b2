/* Building an ensemble: whole or not at all, and every refusal names what is wrong. */
#include "built_ensemble.h"

#include "base/runtime.h"
#include "bundle/manifest.h"

#include <dirent.h>
#include <unistd.h>

static int set_up(void **state) {
    make_folder(state);
    built_model(in_folder("plain.gguf"), false);
    return 0;
}

static size_t entries(void) {
    size_t count = 0;
    DIR *list = opendir(folder.path);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) count += entry->d_name[0] != '.';
    closedir(list);
    return count;
}

static covey_status build(const covey_bundle_options *options, covey_probe_result *result,
                          covey_error *error) {
    covey_runtime *runtime = open_runtime(1, NULL);
    *error = (covey_error){.message = ""};
    covey_status status = covey_bundle_build(runtime, options, result, error, NULL, NULL);
    covey_runtime_close(runtime);
    return status;
}

static void everything_is_in_it(void **state) {
    (void)state;
    static const char *const os[] = {"linux >=3.0.0"};
    covey_error error;
    covey_probe_result result = COVEY_PROBE_RESULT_INIT;
    covey_bundle_options options = built_options();
    covey__manifest *manifest;
    char tools[300], policy[300], text[300];
    strcpy(tools, in_folder("t.json"));
    strcpy(policy, in_folder("p.json"));
    strcpy(text, in_folder("c.jinja"));
    test_write(tools, "[{\"name\":\"x\"}]", 14);
    test_write(policy, "{\"format\":1}", 12);
    test_write(text, BUILT_TEMPLATE "<!>", strlen(BUILT_TEMPLATE "<!>"));
    options.tools = tools;
    options.policy = policy;
    options.chat_template = text;
    options.needs_app = ">=1.0.0";
    options.needs_os = os;
    options.needs_os_count = 1;
    must(build(&options, &result, &error), &error);
    assert_int_equal(result.bits_passed, 4);
    must(covey__manifest_read(&plain_env, options.out, &manifest, &error), &error);
    assert_string_equal(manifest->variant, "f32");
    assert_int_equal(manifest->component_count, 5);
    assert_non_null(covey__manifest_find(manifest, "tools"));
    assert_non_null(covey__manifest_find(manifest, "policy"));
    assert_non_null(covey__manifest_find(manifest, "template"));
    assert_non_null(covey__manifest_find(manifest, "probes"));
    assert_string_equal(manifest->app, ">=1.0.0");
    assert_true(manifest->memory_bytes > covey__manifest_find(manifest, "model")->size);
    covey__manifest_free(manifest);
    /* The same inputs make the same ensemble, to the digest. */
    char again[300];
    size_t size_a, size_b;
    snprintf(again, sizeof again, "%s/again", folder.path);
    char first[400], second[400];
    snprintf(first, sizeof first, "%s/ensemble.json", options.out);
    snprintf(second, sizeof second, "%s/ensemble.json", again);
    strcat(again, "/"); /* as shells complete it */
    options.out = again;
    must(build(&options, &result, &error), &error);
    char *a = test_read(first, &size_a), *b = test_read(second, &size_b);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(a, b, size_a);
    free(a);
    free(b);
}

static void each_wrong_input_is_named_and_leaves_nothing(void **state) {
    (void)state;
    char broken[300];
    strcpy(broken, in_folder("broken"));
    test_write(broken, "{", 1);
    covey_bundle_options good = built_options();
    struct {
        covey_bundle_options options;
        covey_status status;
        const char *says;
    } cases[13];
    size_t n = 0;
    char encoder[300];
    synthetic bert = SYNTHETIC_ODD;
    bert.architecture = "bert";
    strcpy(encoder, in_folder("bert.gguf"));
    write_synthetic(&bert, encoder);
#define CASE(field, value, expected, text)                                                         \
    cases[n].options = good, cases[n].options.field = value, cases[n].status = expected,           \
    cases[n++].says = text
    CASE(name, "a b", COVEY_ERROR_INVALID_ARGUMENT, "name");
    CASE(version, "one", COVEY_ERROR_INVALID_ARGUMENT, "version");
    CASE(model, NULL, COVEY_ERROR_INVALID_ARGUMENT, "model");
    CASE(model, "/nonexistent.gguf", COVEY_ERROR_NOT_FOUND, "model");
    CASE(model, broken, COVEY_ERROR_FORMAT, "gguf");
    CASE(model, encoder, COVEY_ERROR_UNSUPPORTED, "found an encoder (bert)");
    CASE(tools, broken, COVEY_ERROR_FORMAT, "tools");
    CASE(policy, broken, COVEY_ERROR_FORMAT, "policy");
    CASE(task_probes, broken, COVEY_ERROR_FORMAT, "line 1");
    CASE(task_score_min, 1.5, COVEY_ERROR_INVALID_ARGUMENT, "score");
    CASE(bits_probe_count, 1000, COVEY_ERROR_INVALID_ARGUMENT, "bits probes");
    CASE(needs_app, "new", COVEY_ERROR_INVALID_ARGUMENT, "needs.app");
    CASE(out, folder.path, COVEY_ERROR_EXISTS, folder.path);
    for (size_t i = 0; i < n; i++) {
        covey_error error;
        size_t before = entries();
        covey_status status = build(&cases[i].options, NULL, &error);
        if (status != cases[i].status || strstr(error.message, cases[i].says) == NULL)
            fail_msg("case %zu: found %s: %s", i, covey_status_name(status), error.message);
        assert_int_equal(entries(), before);
    }
}

static void a_model_with_wrong_numbers_is_not_built(void **state) {
    (void)state;
    covey_error error;
    covey_bundle_options options = built_options();
    built_model(options.model, true);
    size_t before = entries();
    assert_int_not_equal(build(&options, NULL, &error), COVEY_OK);
    assert_int_equal(entries(), before);
}

static void failing_task_probes_are_kept_only_on_demand(void **state) {
    (void)state;
    covey_error error;
    covey_probe_result result = COVEY_PROBE_RESULT_INIT;
    covey_bundle_options options = built_options();
    char lines[300];
    strcpy(lines, in_folder("tasks.jsonl"));
    static const char text[] = "{\"prompt\":\"a\",\"expect\":\"never said\"}\n"
                               "{\"prompt\":\"b\",\"expect\":\"nor this\"}\n";
    test_write(lines, text, strlen(text));
    options.task_probes = lines;
    options.task_score_min = 0.5;
    options.task_tokens_max = 4;
    size_t before = entries();
    assert_int_equal(build(&options, &result, &error), COVEY_ERROR_REFUSED);
    assert_int_equal(result.task_count, 2);
    assert_int_equal(result.task_passed, 0);
    assert_int_equal(entries(), before);
    options.allow_failing = true;
    must(build(&options, &result, &error), &error);
    assert_int_equal(result.task_passed, 0);
    assert_int_equal(entries(), before + 1);
    options.out = in_folder("fewer");
    options.task_probe_count_max = 1;
    must(build(&options, &result, &error), &error);
    assert_int_equal(result.task_count, 1);
}

static bool stop(void *user, const char *what, uint64_t done, uint64_t total) {
    (void)done;
    (void)total;
    return strcmp(what, user) != 0;
}

static void the_caller_can_stop_it_at_any_part(void **state) {
    (void)state;
    static char parts[][16] = {"MiB copied", "bits probes"};
    size_t before = entries();
    for (size_t i = 0; i < 2; i++) {
        covey_error error = {.message = ""};
        covey_bundle_options options = built_options();
        covey_runtime *runtime = open_runtime(1, NULL);
        assert_int_equal(covey_bundle_build(runtime, &options, NULL, &error, stop, parts[i]),
                         COVEY_ERROR_CANCELLED);
        covey_runtime_close(runtime);
        assert_int_equal(entries(), before);
    }
}

static int64_t calls, fail_at;

static int fail_write(void *user, const char *point, const char *subject) {
    (void)user;
    (void)point;
    (void)subject;
    return ++calls == fail_at ? 28 /* ENOSPC */ : 0;
}

/* Each file operation of a build fails in turn: nothing is left behind, and the error says so. */
static void a_full_disk_leaves_nothing(void **state) {
    (void)state;
    size_t before = entries();
    int failures = 0;
    for (fail_at = 1;; fail_at++) {
        covey_error error = {.message = ""};
        covey_bundle_options options = built_options();
        options.bits_probe_count = 1;
        covey_runtime *runtime = open_runtime(1, NULL);
        covey__runtime_env_for_tests(runtime)->fault = fail_write;
        calls = 0;
        covey_status status = covey_bundle_build(runtime, &options, NULL, &error, NULL, NULL);
        covey_runtime_close(runtime);
        if (status == COVEY_OK) break;
        assert_true(strlen(error.message) > 0);
        if (access(options.out, F_OK) == 0) fail_msg("call %d left OUT", (int)fail_at);
        assert_int_equal(entries(), before);
        failures++;
    }
    print_message("%d file operations failed in turn\n", failures);
    assert_true(failures > 10);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(everything_is_in_it),
        T(each_wrong_input_is_named_and_leaves_nothing),
        T(a_model_with_wrong_numbers_is_not_built),
        T(failing_task_probes_are_kept_only_on_demand),
        T(the_caller_can_stop_it_at_any_part),
        T(a_full_disk_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
