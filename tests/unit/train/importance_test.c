/* Importance matrices and what they are for: the same numbers for any number of threads, and
 * texts that do not serve. That models stay good: quantize_quality_test.c. */
#include "unit/engine/synthetic.h"

#include "train/importance.h"
#include <covey/train.h>

static covey_status quantize(const char *in, const char *out, covey_weight_type type,
                             const char *text, int32_t threads, covey_quantize_result *result,
                             covey_error *error) {
    covey_quantize_options options = COVEY_QUANTIZE_OPTIONS_INIT;
    options.in_path = in;
    options.out_path = out;
    options.type = type;
    options.importance_text_path = text;
    options.importance_window = 40;
    covey_runtime *runtime = open_runtime(threads, NULL);
    covey_status status = covey_quantize(runtime, &options, result, error, NULL, NULL);
    covey_runtime_close(runtime);
    return status;
}

static void expect_same_files(const char *a, const char *b) {
    size_t a_size, b_size;
    char *first = test_read(a, &a_size), *second = test_read(b, &b_size);
    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(first, second, a_size);
    free(first);
    free(second);
}

static void threads_change_no_byte(void **state) {
    (void)state;
    synthetic shape = SYNTHETIC_WIDE;
    shape.type = shape.output_type = COVEY__TYPE_F32;
    char model[300], text[300], out[2][300];
    snprintf(model, sizeof model, "%s", in_folder("plain.gguf"));
    snprintf(text, sizeof text, "%s", in_folder("words.txt"));
    write_synthetic(&shape, model);
    char words[600];
    for (size_t i = 0; i < sizeof words; i++) words[i] = (char)('a' + i * i % 23);
    test_write(text, words, sizeof words);
    for (int i = 0; i < 2; i++) {
        covey_error error = {.message = ""};
        covey_quantize_result result = COVEY_QUANTIZE_RESULT_INIT;
        snprintf(out[i], sizeof out[i], "%s", in_folder(i ? "three.gguf" : "one.gguf"));
        must(quantize(model, out[i], COVEY_WEIGHT_Q3_K_M, text, i ? 3 : 1, &result, &error),
             &error);
        assert_true(result.importance_tokens >= 600);
        assert_true(result.importance_perplexity > 1.0);
        assert_true(result.error > 0.05 && result.error < 0.25);
    }
    expect_same_files(out[0], out[1]);
    covey_error error = {.message = ""};
    must(quantize(model, out[1], COVEY_WEIGHT_Q3_K_M, NULL, 1, NULL, &error), &error);
    size_t size;
    char *with = test_read(out[0], &size), *without = test_read(out[1], &size);
    assert_true(memcmp(with, without, size) != 0); /* the matrix is used */
    free(with);
    free(without);
}

static void texts_that_do_not_serve(void **state) {
    (void)state;
    synthetic shape = SYNTHETIC_WIDE;
    shape.type = shape.output_type = COVEY__TYPE_F32;
    char model[300], text[300], out[300];
    snprintf(model, sizeof model, "%s", in_folder("plain.gguf"));
    snprintf(text, sizeof text, "%s", in_folder("empty.txt"));
    snprintf(out, sizeof out, "%s", in_folder("out.gguf"));
    write_synthetic(&shape, model);
    test_write(text, "", 0);
    covey_error error = {.message = ""};
    assert_int_equal(quantize(model, out, COVEY_WEIGHT_Q2_K, text, 1, NULL, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "empty.txt"));
    assert_int_equal(quantize(model, out, COVEY_WEIGHT_Q2_K, in_folder("none"), 1, NULL, &error),
                     COVEY_ERROR_NOT_FOUND);
    size_t size;
    assert_null(test_read(out, &size));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_change_no_byte),
        cmocka_unit_test(texts_that_do_not_serve),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
