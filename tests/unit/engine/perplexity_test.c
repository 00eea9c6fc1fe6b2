/* Real models against an independent engine: the perplexity of a text, as llama.cpp gives it for
 * the same windows, within half a percent. The quantized variants are made here, of the F32 file,
 * with the types that llama.cpp's mixtures give these shapes. */
#include "text_perplexity.h"

static covey__type type_for(const covey__gguf_tensor *t, covey__type matrix, covey__type output) {
    if (t->dimension_count < 2) return t->type;
    if (t->dimensions[0] % 32 != 0) return COVEY__TYPE_F16; /* blocks do not fit */
    bool is_output = t->name.size == 13 && memcmp(t->name.data, "output.weight", 13) == 0;
    return is_output ? output : matrix;
}

static void convert(const char *from, const char *to, covey__type matrix, covey__type output) {
    covey_error error = {.message = ""};
    covey__gguf *gguf = NULL;
    covey__gguf_writer *writer = NULL;
    must(covey__gguf_open_path(&plain_env, from, &gguf, &error), &error);
    must(covey__gguf_writer_new(&plain_env, to, &writer, &error), &error);
    for (size_t i = 0; i < covey__gguf_value_count(gguf); i++) {
        covey__gguf_value value = covey__gguf_value_at(gguf, i);
        covey__gguf_put_value(writer, &value);
    }
    for (size_t i = 0; i < covey__gguf_tensor_count(gguf); i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_at(gguf, i);
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        must(covey__gguf_add_tensor(writer, name, type_for(t, matrix, output), t->dimension_count,
                                    t->dimensions, &error),
             &error);
    }
    must(covey__gguf_write_header(writer, &error), &error);
    for (size_t i = 0; i < covey__gguf_tensor_count(gguf); i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_at(gguf, i);
        covey__type type = type_for(t, matrix, output);
        const covey__type_info *info = covey__type_get((uint32_t)type);
        size_t columns = (size_t)t->dimensions[0];
        size_t row_bytes = columns / info->block_values * info->block_bytes;
        uint8_t *row = malloc(row_bytes);
        float *values = malloc(columns * sizeof *values);
        assert_true(row && values);
        for (size_t r = 0; r < (size_t)t->dimensions[1]; r++) {
            memcpy(values, t->data + r * columns * 4, columns * 4);
            covey__row_encode((uint32_t)type, values, (int32_t)columns, row);
            must(covey__gguf_write_data(writer, row, row_bytes, &error), &error);
        }
        free(row);
        free(values);
    }
    must(covey__gguf_finish(writer, &error), &error);
    covey__gguf_writer_free(writer);
    covey__gguf_close(gguf);
}

static void expect_near(double found, double expected) {
    if (fabs(found / expected - 1.0) > 0.005)
        fail_msg("expected %g within 0.5 %%, found %g", expected, found);
}

static void check(covey__type matrix, covey__type output, double expected) {
    char model[1024], text[1024];
    TEST_SHARED_OR_SKIP(model_path, "data/models/stories260K.gguf");
    snprintf(model, sizeof model, "%s", model_path);
    TEST_SHARED_OR_SKIP(text_path, "data/text/stories.txt");
    snprintf(text, sizeof text, "%s", text_path);
    if (matrix != COVEY__TYPE_F32) {
        convert(model, in_folder("quantized.gguf"), matrix, output);
        snprintf(model, sizeof model, "%s", in_folder("quantized.gguf"));
    }
    expect_near(perplexity(model, text), expected);
}

static void test_f32(void **state) {
    (void)state;
    check(COVEY__TYPE_F32, COVEY__TYPE_F32, 2.5923);
}

static void test_q8_0(void **state) {
    (void)state;
    check(COVEY__TYPE_Q8_0, COVEY__TYPE_Q8_0, 2.5918);
}

/* Rows of 64 are too short for Q6_K, so the output is Q8_0. */
static void test_q4_0(void **state) {
    (void)state;
    check(COVEY__TYPE_Q4_0, COVEY__TYPE_Q8_0, 2.8057);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_q8_0),
        cmocka_unit_test(test_q4_0),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
