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

typedef struct heard {
    uint64_t last, total;
    int calls, stop_at;
} heard;

static covey_status on_progress(void *user, covey_quantize_phase phase, uint64_t done,
                                uint64_t total) {
    heard *h = user;
    assert_int_equal(phase, COVEY_QUANTIZE_OBSERVE);
    assert_true(done >= h->last && done <= total);
    h->last = done;
    h->total = total;
    return ++h->calls == h->stop_at ? COVEY_ERROR_CANCELLED : COVEY_OK;
}

static covey_status collect(covey_runtime *runtime, const char *text, size_t piece, heard *h,
                            covey__importance_matrix **out, covey_error *error) {
    const char *root = getenv("COVEY_SOURCE_DIR");
    char model[1024];
    snprintf(model, sizeof model, "%s/models/assistant/1.0.0/model.gguf", root ? root : ".");
    covey__importance_options options = {.model_path = model,
                                         .text_path = text,
                                         .window = 60,
                                         .piece_bytes = piece,
                                         .progress = on_progress,
                                         .user = h};
    return covey__importance_collect(runtime, &options, out, error);
}

/* Where lines end, this vocabulary's tokens do too: pieces that end there change nothing. */
static void pieces_of_the_text_change_nothing(void **state) {
    (void)state;
    char text[2000], path[300];
    size_t size = 0;
    for (int i = 0; i < 40; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "wake me at %d, and note: %c\n",
                                 i * i, 'a' + i % 26);
    snprintf(path, sizeof path, "%s", in_folder("lines.txt"));
    test_write(path, text, size);
    static const covey__gguf_text name = {"blk.2.ffn_down.weight", 21};
    covey_runtime *runtime = open_runtime(1, NULL);
    covey__importance_matrix *matrices[2];
    for (int i = 0; i < 2; i++) {
        covey_error error = {.message = ""};
        heard h = {0};
        must(collect(runtime, path, i ? 100 : 0, &h, &matrices[i], &error), &error);
        assert_int_equal(h.total, size);
        assert_int_equal(h.last, size);
        assert_true(h.calls > 5);
    }
    assert_int_equal(covey__importance_tokens(matrices[0]), covey__importance_tokens(matrices[1]));
    assert_true(covey__importance_perplexity(matrices[0]) ==
                covey__importance_perplexity(matrices[1]));
    const float *whole = covey__importance_find(matrices[0], name, 512);
    const float *pieces = covey__importance_find(matrices[1], name, 512);
    assert_non_null(whole);
    assert_memory_equal(whole, pieces, 512 * sizeof *whole);
    for (int i = 0; i < 2; i++) covey__importance_free(matrices[i]);
    covey_runtime_close(runtime);
}

static void one_long_line_and_a_stop(void **state) {
    (void)state;
    char text[1200], path[300];
    for (size_t i = 0; i < sizeof text; i += 3) memcpy(text + i, "\xE2\x82\xAC", 3);
    snprintf(path, sizeof path, "%s", in_folder("line.txt"));
    test_write(path, text, sizeof text);
    covey_runtime *runtime = open_runtime(1, NULL);
    covey__importance_matrix *matrix = NULL;
    uint64_t tokens[2];
    for (int i = 0; i < 2; i++) {
        covey_error error = {.message = ""};
        heard h = {0};
        must(collect(runtime, path, i ? 100 : 0, &h, &matrix, &error), &error);
        tokens[i] = covey__importance_tokens(matrix);
        covey__importance_free(matrix);
    }
    /* No character is cut in two, though 3 does not divide 100; but a piece may end inside a token.
     */
    assert_in_range(tokens[1], tokens[0], tokens[0] + 2 * 12);
    covey_error error = {.message = ""};
    heard h = {.stop_at = 2};
    assert_int_equal(collect(runtime, path, 100, &h, &matrix, &error), COVEY_ERROR_CANCELLED);
    assert_string_equal(error.message, "importance: stopped");
    covey_runtime_close(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_change_no_byte),
        cmocka_unit_test(texts_that_do_not_serve),
        cmocka_unit_test(pieces_of_the_text_change_nothing),
        cmocka_unit_test(one_long_line_and_a_stop),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
