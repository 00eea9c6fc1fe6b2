/* Probes on the engine: equal on every instruction set and thread count, and refused for a wrong
 * bit, a wrong token, a wrong answer. */
#include "built_ensemble.h"

#include "base/cpu.h"
#include "base/runtime.h"
#include "bundle/manifest.h"
#include "gguf/gguf.h"
#include "library/probe_run.h"

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

static covey_status probe(covey_runtime *runtime, covey_probe_result *result, covey_error *error,
                          covey_progress_fn progress, void *user) {
    covey_ensemble *ensemble;
    *error = (covey_error){.message = ""};
    *result = (covey_probe_result)COVEY_PROBE_RESULT_INIT;
    must(covey_ensemble_open(runtime, in_folder("built"), COVEY_CHECK_MANIFEST, &ensemble, error),
         error);
    covey_status status = covey_ensemble_probe(ensemble, result, error, progress, user);
    covey_ensemble_close(ensemble);
    return status;
}

static void they_pass_on_every_path(void **state) {
    (void)state;
    for (covey__isa isa = COVEY__ISA_SCALAR; isa < COVEY__ISA_COUNT; isa++) {
        for (int32_t threads = 1; threads <= 3; threads++) {
            covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
            covey_runtime *runtime;
            covey_probe_result result;
            covey_error error;
            options.isa = covey__isa_name(isa);
            options.threads = threads;
            if (covey__runtime_new(&options, &runtime, &error) != COVEY_OK) {
                print_message("%s is not here\n", options.isa);
                break;
            }
            assert_int_equal(probe(runtime, &result, &error, NULL, NULL), COVEY_OK);
            assert_int_equal(result.bits_count, 4);
            assert_int_equal(result.bits_passed, 4);
            assert_string_equal(result.first_failure, "");
            covey_runtime_close(runtime);
        }
    }
}

static void flip_weight(const char *tensor, size_t at) {
    covey_error error = {.message = ""};
    covey__gguf *gguf;
    size_t size;
    must(covey__gguf_open_path(&plain_env, in_folder("built/model.gguf"), &gguf, &error), &error);
    size_t offset = (size_t)covey__gguf_tensor_find(gguf, tensor)->file_offset + at;
    covey__gguf_close(gguf);
    char *data = test_read(in_folder("built/model.gguf"), &size);
    data[offset] ^= 1;
    test_write(in_folder("built/model.gguf"), data, size);
    free(data);
}

/* One bit of one weight, in the middle of its mantissa, the size kept: only the probes can tell. */
static void one_wrong_bit_of_a_weight_is_seen(void **state) {
    (void)state;
    static const char *const tensors[] = {"blk.0.attn_q.weight", "blk.1.ffn_down.weight",
                                          "blk.2.attn_norm.weight", "output.weight"};
    covey_runtime *runtime = open_runtime(1, NULL);
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        covey_probe_result result;
        covey_error error;
        flip_weight(tensors[i], 402);
        assert_int_equal(probe(runtime, &result, &error, NULL, NULL), COVEY_ERROR_REFUSED);
        assert_int_equal(result.bits_count, 4);
        assert_true(result.bits_passed < 4);
        assert_non_null(strstr(result.first_failure, "the logits before token"));
        assert_non_null(strstr(error.message, "bits probes"));
        flip_weight(tensors[i], 402);
        assert_int_equal(probe(runtime, &result, &error, NULL, NULL), COVEY_OK);
    }
    covey_runtime_close(runtime);
}

/* Runs a set of probes on the built model. */
static covey_status run_set(const covey__probes *probes, covey_probe_result *result,
                            covey_error *error) {
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = open_model(runtime, in_folder("built/model.gguf"));
    *error = (covey_error){.message = ""};
    *result = (covey_probe_result)COVEY_PROBE_RESULT_INIT;
    const covey__probed probed = {.model = model};
    covey_status status = covey__probes_run(&plain_env, probes, &probed, result, error, NULL, NULL);
    covey_model_close(model);
    covey_runtime_close(runtime);
    return status;
}

static covey__probes *read_probes(void) {
    covey_error error = {.message = ""};
    covey__probes *probes;
    size_t size;
    char *text = test_read(in_folder("built/probes.json"), &size);
    must(covey__probes_parse(&plain_env, text, size, &probes, &error), &error);
    free(text);
    return probes;
}

static void a_wrong_probe_is_refused_with_its_place(void **state) {
    (void)state;
    covey_probe_result result;
    covey_error error;
    covey__probes *probes = read_probes();
    covey_token tokens[8], *prompt = malloc(probes->bits[0].prompt_count * sizeof *prompt);
    memcpy(tokens, probes->bits[0].tokens, sizeof tokens);
    probes->bits[0].tokens = tokens;
    assert_int_equal(run_set(probes, &result, &error), COVEY_OK);
    tokens[7] = (tokens[7] + 1) % SYNTHETIC_VOCABULARY;
    assert_int_equal(run_set(probes, &result, &error), COVEY_ERROR_REFUSED);
    assert_non_null(strstr(result.first_failure, "\"bits-1\": token 7"));
    assert_int_equal(result.bits_passed, 3);
    /* A token that the vocabulary has not got: refused, not computed. */
    memcpy(prompt, probes->bits[0].prompt, probes->bits[0].prompt_count * sizeof *prompt);
    prompt[0] = SYNTHETIC_VOCABULARY;
    probes->bits[0].prompt = prompt;
    assert_int_equal(run_set(probes, &result, &error), COVEY_ERROR_REFUSED);
    assert_non_null(strstr(result.first_failure, "vocabulary"));
    probes->bits[0].arithmetic_version = 2;
    assert_int_equal(run_set(probes, &result, &error), COVEY_ERROR_REFUSED);
    assert_non_null(strstr(result.first_failure, "arithmetic version 2"));
    free(prompt);
    covey__probes_free(probes);
}

/* Answers of a random model are bytes; some are letters. Finds prompts whose one-token answer can
 * be written down. */
static size_t find_answers(char prompts[][8], char answers[][8], size_t wanted) {
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = open_model(runtime, in_folder("built/model.gguf"));
    size_t found = 0;
    for (int i = 0; i < 200 && found < wanted; i++) {
        snprintf(prompts[found], 8, "p%d", i);
        built_answer(model, prompts[found], 1, answers[found], 8);
        unsigned char c = (unsigned char)answers[found][0];
        if (c > ' ' && c != '"' && c != '\\' && c != '#') found++;
    }
    covey_model_close(model);
    covey_runtime_close(runtime);
    return found;
}

static void the_score_decides(void **state) {
    (void)state;
    char prompts[5][8], answers[5][8];
    covey_probe_result result;
    covey_error error;
    covey__probes *probes;
    char lines[1000] = "";
    assert_int_equal(find_answers(prompts, answers, 4), 4);
    for (int i = 0; i < 4; i++)
        snprintf(lines + strlen(lines), sizeof lines - strlen(lines),
                 "{\"user\":\"%s\",\"assistant\":\"%s\",\"name\":\"t%d\"}\n", prompts[i],
                 i == 2 ? "#" : answers[i], i);
    must(covey__probes_new(&plain_env, &probes, &error), &error);
    must(covey__probes_add_lines(probes, lines, strlen(lines), &error), &error);
    probes->task_tokens_max = 1;
    probes->task_score_min = 0.75;
    assert_int_equal(run_set(probes, &result, &error), COVEY_OK);
    assert_int_equal(result.task_count, 4);
    assert_int_equal(result.task_passed, 3);
    assert_true(result.task_score == 0.75);
    assert_non_null(strstr(result.first_failure, "\"t2\": expected #"));
    probes->task_score_min = 0.76;
    assert_int_equal(run_set(probes, &result, &error), COVEY_ERROR_REFUSED);
    assert_non_null(strstr(error.message, "3 of 4"));
    covey__probes_free(probes);
}

static bool stop_at_second(void *user, const char *what, uint64_t done, uint64_t total) {
    assert_non_null(what);
    assert_int_equal(total, 4);
    *(uint64_t *)user = done;
    return done < 2;
}

static void the_caller_can_stop_it(void **state) {
    (void)state;
    uint64_t last = 0;
    covey_probe_result result;
    covey_error error;
    covey_runtime *runtime = open_runtime(1, NULL);
    assert_int_equal(probe(runtime, &result, &error, stop_at_second, &last), COVEY_ERROR_CANCELLED);
    assert_int_equal(last, 2);
    assert_int_equal(result.bits_count, 2);
    covey_runtime_close(runtime);
}

static void bundle_and_kernel_name_the_same_arithmetic(void **state) {
    (void)state;
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = open_model(runtime, in_folder("built/model.gguf"));
    covey_model_describe(model, &info);
    assert_int_equal(info.arithmetic_version, COVEY__ARITHMETIC_VERSION_MAX);
    covey_model_close(model);
    covey_runtime_close(runtime);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(they_pass_on_every_path),
        T(one_wrong_bit_of_a_weight_is_seen),
        T(a_wrong_probe_is_refused_with_its_place),
        T(the_score_decides),
        T(the_caller_can_stop_it),
        T(bundle_and_kernel_name_the_same_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
