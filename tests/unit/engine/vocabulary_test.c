/* Real vocabularies: the ids of llama.cpp's own test texts, through the engine's loader. */
#include "support/support.h"

#include "engine/engine.h"
#include "gguf/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char separator[] = "\n__ggml_vocab_test__\n";

static covey_status open_vocabulary(const covey__env *env, const char *path, covey_model *model,
                                    covey_error *error) {
    memset(model, 0, sizeof *model);
    model->env = env;
    covey_status status = covey__gguf_open_path(env, path, &model->gguf, error);
    return status == COVEY_OK ? covey__vocabulary_load(model, error) : status;
}

static void close_vocabulary(covey_model *model) {
    covey__vocabulary_free(model);
    covey__gguf_close(model->gguf);
}

/* Every input of `path`.inp against its line of `path`.out. */
static void compare_all(const covey_model *model, const char *path) {
    char name[512];
    size_t size, out_size, cases = 0;
    snprintf(name, sizeof name, "%s.inp", path);
    char *inputs = test_read(name, &size);
    snprintf(name, sizeof name, "%s.out", path);
    char *outputs = test_read(name, &out_size);
    assert_true(inputs && outputs);
    char *line = outputs;
    for (const char *at = inputs; at; cases++) {
        const char *end = strstr(at, separator);
        size_t text_size = end ? (size_t)(end - at) : strlen(at), count;
        int32_t ids[4096];
        covey_error error = {0};
        if (covey_model_tokenize(model, at, text_size, false, ids, 4096, &count, &error)) {
            fail_msg("%s", error.message);
        }
        for (size_t i = 0; i < count; i++) {
            char *behind;
            long expected = strtol(line, &behind, 10);
            if (behind == line || memchr(line, '\n', (size_t)(behind - line))) {
                fail_msg("%s, case %zu: %zu ids, more than expected", path, cases, count);
            }
            if (expected != ids[i]) {
                fail_msg("%s, case %zu: id %zu is %d, expected %ld", path, cases, i, ids[i],
                         expected);
            }
            line = behind;
        }
        line += strspn(line, " ");
        assert_true(*line == '\n' || *line == 0);
        line += *line == '\n';
        at = end ? end + strlen(separator) : NULL;
    }
    assert_true(cases > 40);
    assert_int_equal(*line, 0);
    free(inputs);
    free(outputs);
}

/* The bytes of the tokens of a text are the text. */
static void round_trip(const covey_model *model, bool sentencepiece) {
    static const char text[] =
        "Le c\xC5\x93ur a ses raisons \xF0\x9F\x9A\x80\n\n\t\xFF\xC3 12345  x";
    int32_t ids[256];
    char back[256];
    size_t count, size = 0;
    assert_int_equal(
        covey_model_tokenize(model, text, sizeof text - 1, true, ids, 256, &count, NULL), COVEY_OK);
    for (size_t i = 0; i < count; i++) {
        size += covey_model_token_bytes(model, ids[i], false, back + size, sizeof back - size);
    }
    size_t skip = sentencepiece; /* it puts a space before the text */
    assert_int_equal(size - skip, sizeof text - 1);
    assert_memory_equal(back + skip, text, sizeof text - 1);
}

static void vocabularies_agree_with_llama_cpp(void **state) {
    (void)state;
    static const char *const names[] = {"gpt-2",     "llama-bpe", "qwen2",
                                        "llama-spm", "phi-3",     "bert-bge"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[128];
        covey__env env;
        covey_model model;
        covey_error error = {0};
        snprintf(name, sizeof name, "data/vocab/ggml-vocab-%s.gguf", names[i]);
        TEST_SHARED_OR_SKIP(path, name);
        char kept[512];
        snprintf(kept, sizeof kept, "%s", path);
        covey__env_init(&env);
        if (open_vocabulary(&env, kept, &model, &error) != COVEY_OK) {
            fail_msg("%s: %s", kept, error.message);
        }
        compare_all(&model, kept);
        if (i < 5) {
            round_trip(&model, i >= 3);
        }
        close_vocabulary(&model);
    }
}

/* What stands around a text, and what Phi-3's special tokens do with the white space behind them.
 */
static void what_no_text_shows(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int32_t begin, end;
    } cases[] = {{"gpt-2", -1, -1},
                 {"llama-bpe", 128000, -1},
                 {"llama-spm", 1, -1},
                 {"phi-3", 1, -1},
                 {"bert-bge", 101, 102}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[128];
        covey__env env;
        covey_model model;
        int32_t begin, end, with[32], without[32];
        size_t with_count, without_count;
        snprintf(name, sizeof name, "data/vocab/ggml-vocab-%s.gguf", cases[i].name);
        TEST_SHARED_OR_SKIP(path, name);
        covey__env_init(&env);
        assert_int_equal(open_vocabulary(&env, path, &model, NULL), COVEY_OK);
        covey__tokenizer_around(model.tokenizer, &begin, &end);
        assert_int_equal(begin, cases[i].begin);
        assert_int_equal(end, cases[i].end);
        assert_int_equal(
            covey_model_tokenize(&model, "<|end|>\n <s>\n", 13, true, with, 32, &with_count, NULL),
            COVEY_OK);
        assert_int_equal(covey_model_tokenize(&model, "<|end|><s>\n", 11, true, without, 32,
                                              &without_count, NULL),
                         COVEY_OK);
        bool same =
            with_count == without_count && memcmp(with, without, with_count * sizeof *with) == 0;
        assert_true(same == (strcmp(cases[i].name, "phi-3") == 0 || i == 4));
        close_vocabulary(&model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vocabularies_agree_with_llama_cpp),
        cmocka_unit_test(what_no_text_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
