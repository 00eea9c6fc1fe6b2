/* covey_quantize: which tensor gets which type, that the rows are the kernel's, that a failure
 * leaves no file, and that a model still speaks afterwards. */
#include "support/support.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/runtime.h"
#include "gguf/gguf.h"
#include "kernel/kernel.h"
#include <covey/train.h>

typedef struct bed {
    test_folder folder;
    covey_runtime *runtime;
    char in[300], out[300];
} bed;

static void bed_make(bed *b, int32_t threads) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.threads = threads;
    test_folder_make(&b->folder);
    assert_int_equal(covey__runtime_new(&options, &b->runtime, NULL), COVEY_OK);
    snprintf(b->in, sizeof b->in, "%s/in.gguf", b->folder.path);
    snprintf(b->out, sizeof b->out, "%s/out.gguf", b->folder.path);
}

static void bed_remove(bed *b) {
    covey_runtime_close(b->runtime);
    test_folder_remove(&b->folder);
}

typedef struct made {
    const char *name;
    uint64_t columns, rows; /* rows 0: a vector */
} made;

/* Writes a file of F32 tensors with numbers of the test's generator; `poison` puts a NaN at the end
 * of that tensor. */
static void write_kind(bed *b, const char *kind, const made *tensors, size_t count,
                       const char *poison) {
    const covey__env *env = covey__runtime_env(b->runtime);
    covey__gguf_writer *writer;
    uint64_t state = 5;
    assert_int_equal(covey__gguf_writer_new(env, b->in, &writer, NULL), COVEY_OK);
    covey__gguf_put_string(writer, "general.architecture", "llama", 5);
    if (kind) covey__gguf_put_string(writer, "general.type", kind, strlen(kind));
    covey__gguf_put_u32(writer, "general.file_type", 0);
    covey__gguf_put_u32(writer, "llama.block_count", 1);
    for (size_t i = 0; i < count; i++) {
        uint64_t dimensions[2] = {tensors[i].columns, tensors[i].rows};
        assert_int_equal(covey__gguf_add_tensor(writer, tensors[i].name, COVEY__TYPE_F32,
                                                tensors[i].rows ? 2 : 1, dimensions, NULL),
                         COVEY_OK);
    }
    assert_int_equal(covey__gguf_write_header(writer, NULL), COVEY_OK);
    for (size_t i = 0; i < count; i++) {
        size_t n = (size_t)(tensors[i].columns * (tensors[i].rows ? tensors[i].rows : 1));
        float *x = malloc(n * sizeof *x);
        for (size_t j = 0; j < n; j++)
            x[j] = (float)(int64_t)(test_random(&state) % 2001) / 1000.0f - 1.0f;
        if (poison && strcmp(poison, tensors[i].name) == 0) x[n - 1] = NAN;
        assert_int_equal(covey__gguf_write_data(writer, x, n * sizeof *x, NULL), COVEY_OK);
        free(x);
    }
    assert_int_equal(covey__gguf_finish(writer, NULL), COVEY_OK);
    covey__gguf_writer_free(writer);
}

static void write_model(bed *b, const made *tensors, size_t count, const char *poison) {
    write_kind(b, NULL, tensors, count, poison);
}

static const made model[] = {{"token_embd.weight", 256, 40},    {"blk.0.attn_norm.weight", 256, 0},
                             {"blk.0.attn_q.weight", 256, 256}, {"blk.0.ffn_down.weight", 96, 256},
                             {"blk.0.ffn_gate.weight", 20, 96}, {"output_norm.weight", 256, 0}};
#define MODEL_COUNT (sizeof model / sizeof model[0])

static covey__type type_of(const covey__gguf *gguf, const char *name) {
    const covey__gguf_tensor *tensor = covey__gguf_tensor_find(gguf, name);
    assert_non_null(tensor);
    return tensor->type;
}

static covey_status run(covey_runtime *runtime, const char *in, const char *out,
                        covey_weight_type type, covey_quantize_result *result, covey_error *error) {
    covey_quantize_options options = COVEY_QUANTIZE_OPTIONS_INIT;
    options.in_path = in;
    options.out_path = out;
    options.type = type;
    return covey_quantize(runtime, &options, result, error, NULL, NULL);
}

static covey__gguf *quantize(bed *b, covey_weight_type type) {
    covey_error error = {0};
    covey_quantize_result result = COVEY_QUANTIZE_RESULT_INIT;
    if (run(b->runtime, b->in, b->out, type, &result, &error) != COVEY_OK)
        fail_msg("%s", error.message);
    covey__gguf *gguf;
    assert_int_equal(covey__gguf_open_path(covey__runtime_env(b->runtime), b->out, &gguf, NULL),
                     COVEY_OK);
    assert_int_equal(result.bytes_out, covey__gguf_size(gguf));
    assert_int_equal(result.tensors_quantized + result.tensors_kept,
                     covey__gguf_tensor_count(gguf));
    return gguf;
}

static void check_mixture(bed *b, covey_weight_type type, uint64_t file_type, covey__type matrix,
                          covey__type embedding) {
    uint64_t value;
    covey__gguf *gguf = quantize(b, type);
    assert_int_equal(type_of(gguf, "token_embd.weight"), embedding);
    assert_int_equal(type_of(gguf, "blk.0.attn_q.weight"), matrix);
    assert_int_equal(type_of(gguf, "blk.0.ffn_down.weight"), matrix);
    assert_int_equal(type_of(gguf, "blk.0.ffn_gate.weight"), COVEY__TYPE_F16); /* 20 columns */
    assert_int_equal(type_of(gguf, "blk.0.attn_norm.weight"), COVEY__TYPE_F32);
    assert_int_equal(type_of(gguf, "output_norm.weight"), COVEY__TYPE_F32);
    assert_int_equal(covey__gguf_u64(gguf, "general.file_type", 0, 99, &value, NULL), COVEY_OK);
    assert_int_equal(value, file_type);
    assert_int_equal(covey__gguf_u64(gguf, "llama.block_count", 0, 99, &value, NULL), COVEY_OK);
    covey__gguf_close(gguf);
}

static void types_follow_the_mixture(void **state) {
    (void)state;
    bed b;
    bed_make(&b, 2);
    write_model(&b, model, MODEL_COUNT, NULL);
    check_mixture(&b, COVEY_WEIGHT_F16, 1, COVEY__TYPE_F16, COVEY__TYPE_F16);
    check_mixture(&b, COVEY_WEIGHT_Q8_0, 7, COVEY__TYPE_Q8_0, COVEY__TYPE_Q8_0);
    check_mixture(&b, COVEY_WEIGHT_Q4_0, 2, COVEY__TYPE_Q4_0, COVEY__TYPE_Q6_K);
    /* With an output matrix of its own, of a width that 256 does not divide. */
    made untied[] = {{"output.weight", 64, 8}, {"token_embd.weight", 64, 8}};
    write_model(&b, untied, 2, NULL);
    covey__gguf *gguf = quantize(&b, COVEY_WEIGHT_Q4_0);
    assert_int_equal(type_of(gguf, "output.weight"), COVEY__TYPE_Q8_0);
    assert_int_equal(type_of(gguf, "token_embd.weight"), COVEY__TYPE_Q4_0);
    covey__gguf_close(gguf);
    bed_remove(&b);
}

static void rows_are_the_kernels_for_any_threads(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= 3; threads++) {
        bed b;
        bed_make(&b, threads);
        write_model(&b, model, MODEL_COUNT, NULL);
        covey__gguf *in, *out = quantize(&b, COVEY_WEIGHT_Q4_0);
        assert_int_equal(covey__gguf_open_path(covey__runtime_env(b.runtime), b.in, &in, NULL),
                         COVEY_OK);
        for (size_t i = 0; i < MODEL_COUNT; i++) {
            const covey__gguf_tensor *from = covey__gguf_tensor_find(in, model[i].name);
            const covey__gguf_tensor *to = covey__gguf_tensor_find(out, model[i].name);
            size_t rows = model[i].rows ? (size_t)model[i].rows : 1;
            size_t row_bytes = (size_t)to->bytes / rows;
            float row[256];
            uint8_t expected[1024];
            for (size_t r = 0; r < rows; r++) {
                memcpy(row, from->data + r * model[i].columns * 4, model[i].columns * 4);
                covey__row_encode(to->type, row, (int32_t)model[i].columns, expected);
                assert_memory_equal(to->data + r * row_bytes, expected, row_bytes);
            }
        }
        covey__gguf_close(in);
        covey__gguf_close(out);
        bed_remove(&b);
    }
}

static void expect_failure(bed *b, covey_weight_type type, covey_status expected,
                           const char *part) {
    covey_error error = {0};
    assert_int_equal(run(b->runtime, b->in, b->out, type, NULL, &error), expected);
    if (!strstr(error.message, part)) fail_msg("\"%s\" not in \"%s\"", part, error.message);
    assert_false(covey__file_exists(b->out));
}

static void failures_name_the_cause_and_leave_nothing(void **state) {
    (void)state;
    bed b;
    bed_make(&b, 1);
    expect_failure(&b, COVEY_WEIGHT_Q8_0, COVEY_ERROR_NOT_FOUND, "in.gguf");
    test_write(b.in, "not a model!", 12);
    expect_failure(&b, COVEY_WEIGHT_Q8_0, COVEY_ERROR_FORMAT, "in.gguf");
    write_model(&b, model, MODEL_COUNT, "blk.0.attn_q.weight");
    expect_failure(&b, COVEY_WEIGHT_Q8_0, COVEY_ERROR_NUMERIC, "\"blk.0.attn_q.weight\", row 255");
    write_model(&b, model, MODEL_COUNT, NULL);
    covey__env *env = covey__runtime_env_for_tests(b.runtime);
    test_env broken;
    test_env_init(&broken);
    env->fault = broken.env.fault;
    env->fault_user = broken.env.fault_user;
    broken.point = "write";
    broken.point_fails = 2;
    broken.point_errno = ENOSPC;
    expect_failure(&b, COVEY_WEIGHT_Q8_0, COVEY_ERROR_NO_SPACE, "");
    env->fault = NULL;
    bed_remove(&b);
}

static void input_is_never_overwritten(void **state) {
    (void)state;
    bed b;
    bed_make(&b, 1);
    write_model(&b, model, MODEL_COUNT, NULL);
    covey_error error = {0};
    char roundabout[600];
    snprintf(roundabout, sizeof roundabout, "%s/./in.gguf", b.folder.path);
    assert_int_equal(run(b.runtime, b.in, roundabout, COVEY_WEIGHT_F16, NULL, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    bed_remove(&b);
}

static void quantized_input_is_refused_by_name(void **state) {
    (void)state;
    bed b;
    bed_make(&b, 1);
    write_model(&b, model, MODEL_COUNT, NULL);
    covey__gguf_close(quantize(&b, COVEY_WEIGHT_Q4_0));
    assert_int_equal(rename(b.out, b.in), 0);
    expect_failure(&b, COVEY_WEIGHT_Q8_0, COVEY_ERROR_UNSUPPORTED, "is Q6_K already");
    bed_remove(&b);
}

static void an_adapter_is_no_model(void **state) {
    (void)state;
    bed b;
    bed_make(&b, 1);
    write_kind(&b, "model", model, MODEL_COUNT, NULL);
    covey__gguf_close(quantize(&b, COVEY_WEIGHT_Q8_0));
    assert_int_equal(unlink(b.out), 0);
    write_kind(&b, "adapter", model, MODEL_COUNT, NULL);
    expect_failure(&b, COVEY_WEIGHT_Q8_0, COVEY_ERROR_UNSUPPORTED, "is an adapter (a LoRA)");
    bed_remove(&b);
}

static void type_names(void **state) {
    (void)state;
    covey_weight_type type;
    covey_error error = {0};
    assert_int_equal(covey_weight_type_parse("q8_0", &type, NULL), COVEY_OK);
    assert_int_equal(type, COVEY_WEIGHT_Q8_0);
    assert_int_equal(covey_weight_type_parse("Q4_K_X", &type, &error), COVEY_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "\"Q4_K_X\""));
}

static covey_status stop_soon(void *user, covey_quantize_phase phase, uint64_t done,
                              uint64_t total) {
    int *calls = user;
    assert_true(done <= total);
    assert_int_equal(phase, COVEY_QUANTIZE_WRITE);
    return ++*calls == 2 ? COVEY_ERROR_CANCELLED : COVEY_OK;
}

static void progress_can_stop_it(void **state) {
    (void)state;
    bed b;
    bed_make(&b, 1);
    write_model(&b, model, MODEL_COUNT, NULL);
    int calls = 0;
    covey_quantize_options options = COVEY_QUANTIZE_OPTIONS_INIT;
    options.in_path = b.in;
    options.out_path = b.out;
    assert_int_equal(covey_quantize(b.runtime, &options, NULL, NULL, stop_soon, &calls),
                     COVEY_ERROR_CANCELLED);
    assert_int_equal(calls, 2);
    assert_false(covey__file_exists(b.out));
    bed_remove(&b);
}

static covey_status quantize_step(const covey__env *env, void *user, covey_error *error) {
    bed *b = user;
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_runtime *runtime = NULL;
    options.allocator = &env->allocator;
    covey_status status = covey__runtime_new(&options, &runtime, error);
    if (status == COVEY_OK) status = run(runtime, b->in, b->out, COVEY_WEIGHT_Q4_0, NULL, error);
    if (runtime) covey_runtime_close(runtime);
    return status;
}

static void survives_each_refused_allocation(void **state) {
    (void)state;
    bed b;
    bed_make(&b, 1);
    write_model(&b, model, MODEL_COUNT, NULL);
    assert_true(test_fail_each_allocation(quantize_step, &b) > 10);
    bed_remove(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_follow_the_mixture),
        cmocka_unit_test(rows_are_the_kernels_for_any_threads),
        cmocka_unit_test(failures_name_the_cause_and_leave_nothing),
        cmocka_unit_test(input_is_never_overwritten),
        cmocka_unit_test(quantized_input_is_refused_by_name),
        cmocka_unit_test(an_adapter_is_no_model),
        cmocka_unit_test(type_names),
        cmocka_unit_test(progress_can_stop_it),
        cmocka_unit_test(survives_each_refused_allocation),
    };
    return cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
}
