/* covey_delta_* over real pairs: a model and its fine-tune, and two versions of the assistant, in
 * every type that our quantizer writes. The new file comes out again, the patch is as small as it
 * was found to be, and what it says of itself adds up. */
#include "support/support.h"

#include <covey/delta.h>
#include <covey/train.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct pair_case {
    covey_weight_type type;
    const char *name;
    int percent_max; /* of the new file */
} pair_case;

typedef struct sums {
    uint64_t bytes, patch_bytes;
    size_t count;
} sums;

static covey_status add_up(void *user, const covey_delta_tensor *t) {
    sums *s = user;
    assert_int_equal(t->bytes,
                     t->copied_bytes + t->stored_bytes + t->compressed_bytes + t->coded_bytes);
    s->bytes += t->bytes;
    s->patch_bytes += t->patch_bytes;
    s->count++;
    return COVEY_OK;
}

static void check_info(covey_runtime *runtime, const char *patch,
                       const covey_delta_result *result) {
    covey_delta_info info = COVEY_DELTA_INFO_INIT;
    covey_error error = {0};
    sums s = {0};
    assert_int_equal(covey_delta_show(runtime, patch, &info, &error, add_up, &s), COVEY_OK);
    assert_int_equal(s.bytes, result->new_bytes);
    assert_int_equal(info.patch_bytes, result->patch_bytes);
    assert_int_equal(info.coded_bytes, result->coded_bytes);
    assert_true(info.tensor_count > 10 && s.count == info.tensor_count + 1);
    /* what the tensors take is shared out nearly right */
    uint64_t frames = result->patch_bytes - result->head_bytes;
    assert_true(s.patch_bytes <= frames + frames / 50 &&
                frames <= s.patch_bytes + frames / 50 + 200 * info.frame_count);
}

static void same_files(const char *a, const char *b) {
    size_t a_size, b_size;
    char *x = test_read(a, &a_size), *y = test_read(b, &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(x, y, a_size);
    free(x);
    free(y);
}

static void one_pair(covey_runtime *runtime, const test_folder *folder, const char *from,
                     const char *to, const pair_case *c) {
    covey_quantize_options quantize = COVEY_QUANTIZE_OPTIONS_INIT;
    covey_delta_make_options make = COVEY_DELTA_MAKE_OPTIONS_INIT;
    covey_delta_apply_options apply = COVEY_DELTA_APPLY_OPTIONS_INIT;
    covey_delta_result result = COVEY_DELTA_RESULT_INIT;
    covey_error error = {0};
    quantize.type = c->type;
    quantize.in_path = from;
    quantize.out_path = make.old_path = apply.old_path = test_path(folder, "old.gguf");
    assert_int_equal(covey_quantize(runtime, &quantize, NULL, &error, NULL, NULL), COVEY_OK);
    quantize.in_path = to;
    quantize.out_path = make.new_path = test_path(folder, "new.gguf");
    assert_int_equal(covey_quantize(runtime, &quantize, NULL, &error, NULL, NULL), COVEY_OK);
    make.patch_path = apply.patch_path = test_path(folder, "patch");
    apply.new_path = test_path(folder, "made.gguf");
    make.replace = apply.replace = true;
    if (covey_delta_make(runtime, &make, &result, &error, NULL, NULL) != COVEY_OK)
        fail_msg("%s: %s", c->name, error.message);
    if (covey_delta_apply(runtime, &apply, &error, NULL, NULL) != COVEY_OK)
        fail_msg("%s: %s", c->name, error.message);
    same_files(make.new_path, apply.new_path);
    check_info(runtime, make.patch_path, &result);
    print_message("%s: %llu bytes of %llu, %.1f %%\n", c->name,
                  (unsigned long long)result.patch_bytes, (unsigned long long)result.new_bytes,
                  100.0 * (double)result.patch_bytes / (double)result.new_bytes);
    assert_true(result.patch_bytes * 100 < result.new_bytes * (uint64_t)c->percent_max);
}

static void all_of(const char *from, const char *to, const pair_case *cases, size_t count) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_runtime *runtime;
    covey_error error = {0};
    test_folder folder;
    options.threads = 1;
    test_folder_make(&folder);
    assert_int_equal(covey_runtime_open(&options, &runtime, &error), COVEY_OK);
    for (size_t i = 0; i < count; i++) one_pair(runtime, &folder, from, to, &cases[i]);
    covey_runtime_close(runtime);
    test_folder_remove(&folder);
}

static void a_fine_tune(void **state) {
    (void)state;
    static const pair_case cases[] = {
        {COVEY_WEIGHT_F32, "F32", 60},       {COVEY_WEIGHT_F16, "F16", 40},
        {COVEY_WEIGHT_Q8_0, "Q8_0", 24},     {COVEY_WEIGHT_Q6_K, "Q6_K", 18},
        {COVEY_WEIGHT_Q5_K_M, "Q5_K_M", 15}, {COVEY_WEIGHT_Q4_K_M, "Q4_K_M", 14},
        {COVEY_WEIGHT_Q4_0, "Q4_0", 14},     {COVEY_WEIGHT_Q3_K_M, "Q3_K_M", 10},
        {COVEY_WEIGHT_Q2_K, "Q2_K", 8}};
    char from[400];
    TEST_SHARED_OR_SKIP(old, "data/models/stories3M.gguf");
    snprintf(from, sizeof from, "%s", old);
    TEST_SHARED_OR_SKIP(to, "data/models/stories3M-finetuned.gguf");
    all_of(from, to, cases, sizeof cases / sizeof *cases);
}

static void two_versions(void **state) {
    (void)state;
    static const pair_case cases[] = {{COVEY_WEIGHT_Q8_0, "Q8_0", 65},
                                      {COVEY_WEIGHT_Q4_K_M, "Q4_K_M", 50}};
    const char *source = getenv("COVEY_SOURCE_DIR");
    char from[400], to[400];
    snprintf(from, sizeof from, "%s/models/assistant/1.0.0/model.gguf", source ? source : ".");
    snprintf(to, sizeof to, "%s/models/assistant/1.1.0/model.gguf", source ? source : ".");
    all_of(from, to, cases, sizeof cases / sizeof *cases);
}

/* Wrong calls, callers of other ages, and callers who stop. */
static covey_status stop(void *user, uint64_t done, uint64_t total) {
    (void)user, (void)done, (void)total;
    return COVEY_ERROR_CANCELLED;
}

static void calls_that_cannot_be(void **state) {
    (void)state;
    covey_runtime *runtime;
    covey_error error = {0};
    test_folder folder;
    covey_delta_make_options make = COVEY_DELTA_MAKE_OPTIONS_INIT;
    assert_int_equal(covey_runtime_open(NULL, &runtime, &error), COVEY_OK);
    test_folder_make(&folder);
    assert_int_equal(covey_delta_make(NULL, &make, NULL, &error, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_delta_make(runtime, &make, NULL, &error, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_delta_apply(runtime, NULL, &error, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_delta_show(runtime, NULL, NULL, &error, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    make.old_path = make.new_path = test_path(&folder, "file");
    make.patch_path = test_path(&folder, "patch");
    assert_int_equal(covey_delta_make(runtime, &make, NULL, &error, NULL, NULL),
                     COVEY_ERROR_NOT_FOUND);
    test_write(make.old_path, "some bytes", 10);
    assert_int_equal(covey_delta_make(runtime, &make, NULL, &error, stop, NULL),
                     COVEY_ERROR_CANCELLED);
    size_t size;
    assert_null(test_read(make.patch_path, &size));
    /* an old caller's options have no `replace`, and its result no sums */
    covey_delta_result result = COVEY_DELTA_RESULT_INIT;
    make.size = offsetof(covey_delta_make_options, replace);
    result.size = offsetof(covey_delta_result, head_bytes);
    assert_int_equal(covey_delta_make(runtime, &make, &result, &error, NULL, NULL), COVEY_OK);
    assert_true(result.patch_bytes > 104 && result.head_bytes == 0);
    assert_int_equal(covey_delta_make(runtime, &make, &result, &error, NULL, NULL),
                     COVEY_ERROR_EXISTS);
    covey_runtime_close(runtime);
    test_folder_remove(&folder);
}

static covey_status apply_with(covey_runtime *runtime, const char *old_path, const char *patch_path,
                               const char *new_path) {
    covey_delta_apply_options apply = COVEY_DELTA_APPLY_OPTIONS_INIT;
    apply.old_path = old_path;
    apply.patch_path = patch_path;
    apply.new_path = new_path;
    apply.replace = true;
    return covey_delta_apply(runtime, &apply, NULL, NULL, NULL);
}

/* What is read is never written over, by no name of it; a pipe is refused, not waited for. */
static void files_that_are_read_stay(void **state) {
    (void)state;
    test_folder folder;
    test_folder_make(&folder);
    char old_path[300], new_path[300], patch[300], other[300], fifo[300];
    strcpy(old_path, test_path(&folder, "old"));
    strcpy(new_path, test_path(&folder, "new"));
    strcpy(patch, test_path(&folder, "patch"));
    strcpy(other, test_path(&folder, "other"));
    strcpy(fifo, test_path(&folder, "fifo"));
    test_write(old_path, "one", 3);
    test_write(new_path, "two", 3);
    assert_int_equal(link(old_path, other), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    covey_runtime *runtime;
    assert_int_equal(covey_runtime_open(NULL, &runtime, NULL), COVEY_OK);
    const char *const written[] = {old_path, new_path, other, patch};
    for (int i = 0; i < 4; i++) {
        covey_delta_make_options make = COVEY_DELTA_MAKE_OPTIONS_INIT;
        make.old_path = old_path;
        make.new_path = new_path;
        make.patch_path = written[i];
        make.replace = true;
        assert_int_equal(covey_delta_make(runtime, &make, NULL, NULL, NULL, NULL),
                         i < 3 ? COVEY_ERROR_INVALID_ARGUMENT : COVEY_OK);
    }
    assert_int_equal(apply_with(runtime, old_path, patch, old_path), COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(apply_with(runtime, old_path, patch, other), COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(apply_with(runtime, old_path, patch, patch), COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(apply_with(runtime, old_path, fifo, new_path), COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(apply_with(runtime, fifo, patch, new_path), COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_delta_show(runtime, fifo, NULL, NULL, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(apply_with(runtime, old_path, patch, new_path), COVEY_OK);
    size_t size;
    char *kept = test_read(old_path, &size);
    assert_true(size == 3 && memcmp(kept, "one", 3) == 0);
    free(kept);
    covey_runtime_close(runtime);
    test_folder_remove(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fine_tune),
        cmocka_unit_test(two_versions),
        cmocka_unit_test(calls_that_cannot_be),
        cmocka_unit_test(files_that_are_read_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
