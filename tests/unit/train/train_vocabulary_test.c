/* Learning a vocabulary: the merges of a small corpus, worked out by hand; that a learned
 * vocabulary comes back from its file the same; and that what cannot be is refused. */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#include "base/runtime.h"
#include "train/train_vocabulary.h"
#include <covey/train.h>

static covey_status learn(const covey__env *env, const char *text, int32_t size,
                          covey__train_vocabulary *vocabulary, covey_error *error) {
    covey__word_counts *counts;
    covey_status status = covey__word_counts_new(env, &counts, error);
    if (status != COVEY_OK) return status;
    status = covey__word_counts_add(counts, text, strlen(text), error);
    if (status == COVEY_OK)
        status = covey__train_vocabulary_learn(env, counts, size, vocabulary, error, NULL, NULL);
    covey__word_counts_free(counts);
    return status;
}

static void assert_text(covey__text text, const char *expected) {
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}

static void merges_the_commonest_pair_first(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey__train_vocabulary v;
    /* " low" stands four times, " lower" twice, " new" three times. Pairs: "lo" and "ow" six
     * times each, " l" six times; of equal ones the lower ids win, and the space (32) is lowest. */
    assert_int_equal(learn(&env, " low low low low lower lower new new new", 256 + 4 + 4, &v, NULL),
                     COVEY_OK);
    assert_int_equal(v.token_count, 264);
    assert_int_equal(v.merge_count, 4);
    /* The first " low" is joined to nothing before it, so that all nine words open with a space:
     * " l" 6, "lo" 6, "ow" 6; then " n" 3 and so on. */
    assert_text(v.merges[0], "\xc4\xa0 l");
    assert_text(v.merges[1], "o w");
    assert_text(v.merges[2], "\xc4\xa0l ow");
    assert_text(v.tokens[256], "\xc4\xa0l");
    assert_text(v.tokens[258], "\xc4\xa0low");
    assert_text(v.tokens[260], "<|pad|>");
    assert_text(v.tokens[263], "<|end|>");
    assert_int_equal(v.end, 263);
    assert_int_equal(v.user, 261);
    assert_int_equal(v.assistant, 262);
    int32_t ids[16];
    size_t count;
    assert_int_equal(
        covey__tokenizer_encode(v.tokenizer, " lower", 6, false, ids, 16, &count, NULL), COVEY_OK);
    assert_int_equal(count, 3);
    assert_int_equal(ids[0], 258);
    assert_int_equal(ids[1], 'e');
    assert_int_equal(ids[2], 'r');
    covey__train_vocabulary_free(&v);
}

static void overlapping_pairs_are_counted_right(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey__train_vocabulary v;
    assert_int_equal(learn(&env, "aaaaaaa aaaaaaa", 256 + 3 + 4, &v, NULL), COVEY_OK);
    assert_text(v.merges[0], "a a");
    /* Words are now aa aa aa a (and one with a space): "aa aa" twice a word. */
    assert_text(v.merges[1], "aa aa");
    covey__train_vocabulary_free(&v);
}

static void digits_stay_apart(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey__train_vocabulary v;
    covey_error error = {0};
    assert_int_equal(learn(&env, "1234 1234 1234 1234", 256 + 1 + 4, &v, &error),
                     COVEY_ERROR_LIMIT);
    assert_non_null(strstr(error.message, "260 tokens"));
}

static void small_corpus_and_bad_sizes_are_refused(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey__train_vocabulary v;
    covey_error error = {0};
    assert_int_equal(learn(&env, "one two", 2048, &v, &error), COVEY_ERROR_LIMIT);
    assert_int_equal(error.found, 2048);
    assert_int_equal(learn(&env, "one two", 259, &v, &error), COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(learn(&env, "one two", 70000, &v, &error), COVEY_ERROR_INVALID_ARGUMENT);
}

static const char corpus[] =
    "{\"user\":\"set a timer for ten minutes\",\"assistant\":\"{\\\"call\\\":\\\"timer\\\"}\"}\n"
    "{\"user\":\"set a timer for two minutes\",\"assistant\":\"{\\\"call\\\":\\\"timer\\\"}\"}\n"
    "{\"user\":\"caf\\u00e9 na\\u00efve "
    "\\ud83d\\ude00\",\"assistant\":\"{\\\"call\\\":\\\"none\\\"}\"}\n";

static void file_gives_the_same_tokens(void **state) {
    (void)state;
    test_folder folder;
    test_folder_make(&folder);
    const char *paths[1] = {test_path(&folder, "c.jsonl")};
    const char *out = test_path(&folder, "v.gguf");
    test_write(paths[0], corpus, sizeof corpus - 1);
    covey_runtime *runtime;
    assert_int_equal(covey__runtime_new(NULL, &runtime, NULL), COVEY_OK);
    covey_error error = {0};
    covey_status status = covey_train_vocabulary(runtime, paths, 1, 280, out, &error);
    if (status != COVEY_OK) fail_msg("%s", error.message);
    const covey__env *env = covey__runtime_env(runtime);
    covey__gguf *gguf;
    covey__train_vocabulary v;
    assert_int_equal(covey__gguf_open_path(env, out, &gguf, NULL), COVEY_OK);
    assert_int_equal(covey__gguf_tensor_count(gguf), 0);
    assert_int_equal(covey__train_vocabulary_load(env, gguf, &v, NULL), COVEY_OK);
    assert_int_equal(v.token_count, 280);
    /* Any text goes there and back. */
    const char text[] = "Set a timer: 42 minutes, caf\xc3\xa9 \xf0\x9f\x98\x80\n\t!";
    int32_t ids[64];
    size_t count, at = 0;
    char back[128];
    assert_int_equal(
        covey__tokenizer_encode(v.tokenizer, text, sizeof text - 1, false, ids, 64, &count, NULL),
        COVEY_OK);
    assert_true(count < sizeof text - 1); /* something merged */
    for (size_t i = 0; i < count; i++)
        at += covey__tokenizer_bytes_of(v.tokenizer, ids[i], false, back + at, sizeof back - at);
    assert_int_equal(at, sizeof text - 1);
    assert_memory_equal(back, text, at);
    assert_true(covey__tokenizer_is_end(v.tokenizer, v.end));
    assert_false(covey__tokenizer_is_end(v.tokenizer, v.user));
    covey__train_vocabulary_free(&v);
    covey__gguf_close(gguf);
    covey_runtime_close(runtime);
    test_folder_remove(&folder);
}

static void foreign_vocabulary_is_refused(void **state) {
    (void)state;
    TEST_SHARED_OR_SKIP(path, "data/vocab/ggml-vocab-qwen2.gguf");
    covey__env env;
    covey__env_init(&env);
    covey__gguf *gguf;
    covey__train_vocabulary v;
    covey_error error = {0};
    assert_int_equal(covey__gguf_open_path(&env, path, &gguf, NULL), COVEY_OK);
    assert_int_equal(covey__train_vocabulary_load(&env, gguf, &v, &error), COVEY_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "<|user|>"));
    covey__gguf_close(gguf);
}

static covey_status learn_step(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    covey__train_vocabulary v;
    covey_status status = learn(env, " low low low lower lower new new", 264, &v, error);
    if (status == COVEY_OK) covey__train_vocabulary_free(&v);
    return status;
}

static void survives_each_refused_allocation(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(learn_step, NULL) > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_the_commonest_pair_first),
        cmocka_unit_test(overlapping_pairs_are_counted_right),
        cmocka_unit_test(digits_stay_apart),
        cmocka_unit_test(small_corpus_and_bad_sizes_are_refused),
        cmocka_unit_test(file_gives_the_same_tokens),
        cmocka_unit_test(foreign_vocabulary_is_refused),
        cmocka_unit_test(survives_each_refused_allocation),
    };
    return cmocka_run_group_tests_name("train_vocabulary", tests, NULL, NULL);
}
