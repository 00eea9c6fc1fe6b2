/* Tokenizers of both kinds on small vocabularies written by hand: what merges, what falls back to
 * bytes, what is special, and that text comes back as it went in. */
#include "support/support.h"

#include "unit/text/small_vocabulary.h"

#include <pthread.h>
#include <stdlib.h>

static covey__env env;
static small_vocabulary words; /* large, so not on the stack */

static int set_up(void **state) {
    (void)state;
    covey__env_init(&env);
    return 0;
}

static covey__tokenizer *make(void) {
    covey__tokenizer *tokenizer;
    covey_error error = {0};
    if (covey__tokenizer_new(&env, &words.of, &tokenizer, &error) != COVEY_OK) {
        fail_msg("%s", error.message);
    }
    return tokenizer;
}

/* The tokens' texts, joined by bars; byte tokens of SentencePiece by their names. */
static const char *shown(const covey__tokenizer *t, const char *text, size_t size, bool special) {
    static char out[1024];
    int32_t ids[256];
    size_t count, at = 0;
    assert_int_equal(covey__tokenizer_encode(t, text, size, special, ids, 256, &count, NULL),
                     COVEY_OK);
    for (size_t i = 0; i < count; i++) {
        at += covey__tokenizer_bytes_of(t, ids[i], true, out + at, sizeof out - at - 2);
        out[at++] = '|';
    }
    out[at] = 0;
    return out;
}

static void assert_tokens(const covey__tokenizer *t, const char *text, bool special,
                          const char *expected) {
    assert_string_equal(shown(t, text, strlen(text), special), expected);
}

static void test_bpe(void **state) {
    (void)state;
    small_bpe(&words, "gpt-2");
    covey__tokenizer *t = make();
    assert_tokens(t, "hello world", false, "hello| world|");
    assert_tokens(t, "hello  worhell", false, "hello| | wor|hell|"); /* blanks: other words */
    assert_tokens(t, "aaaaaaaaaaaaaaaaaaa", false, "aaaaaaaa|aaaaaaaa|aa|a|");
    assert_tokens(t, "aaaaaaa", false, "aaaa|aa|a|");
    assert_tokens(t, "it's\n\n123", false, "i|t|'s|\n|\n|123|");
    assert_tokens(t, "\xC3\xA9\xFF", false, "\xC3\xA9|\xFF|");
    assert_tokens(t, "", false, "");
    covey__tokenizer_free(t);
}

/* The order of merges decides, not what stands first: "l l" comes before "he ll". */
static void test_merge_order(void **state) {
    (void)state;
    small_begin(&words, "gpt2", "");
    for (const char *c = "abc"; *c; c++) {
        small_add(&words, c, 1, COVEY__TOKEN_NORMAL, 0);
    }
    small_add_merge(&words, "b c");
    small_add_merge(&words, "a b");
    small_add_merge(&words, "a bc");
    covey__tokenizer *t = make();
    assert_tokens(t, "abc", false, "abc|");
    assert_tokens(t, "abab", false, "ab|ab|");
    covey__tokenizer_free(t);
    /* Without the merge, the token "abc" is in the vocabulary and out of reach, */
    words.of.merge_count = 2;
    t = make();
    assert_tokens(t, "abc", false, "a|bc|");
    assert_tokens(t, "abc", false, "a|bc|"); /* also when it was remembered */
    covey__tokenizer_free(t);
    /* except where whole words come first. */
    words.of.pretokenizer = (covey__text){"llama-bpe", 9};
    t = make();
    assert_tokens(t, "abc", false, "abc|");
    covey__tokenizer_free(t);
}

static void test_specials(void **state) {
    (void)state;
    small_bpe(&words, "llama-bpe");
    covey__tokenizer *t = make();
    assert_tokens(t, "a<|end|>b", true, "a|<|end|>|b|");
    assert_tokens(t, "a<|end|>xb", true, "a|<|end|>x|b|"); /* the longest */
    assert_tokens(t, "<|end|", true, "<|||e|n|d|||");
    assert_tokens(t, "a<|end|>", false, "a|<|||e|n|d|||>|");
    assert_tokens(t, "a<tool><|begin|>", false, "a|<tool>|<|||b|e|g|in|||>|");
    assert_tokens(t, "<tool><tool><|begin|><|begin|>", true, "<tool>|<tool>|<|begin|>|<|begin|>|");
    assert_tokens(t, "[PAD0]", true, "[|P|A|D|0|]|");
    int32_t end = covey__tokenizer_find(t, "<|end|>", 7),
            tool = covey__tokenizer_find(t, "<tool>", 6);
    assert_true(end >= 0 && end == words.of.eos);
    assert_true(covey__tokenizer_is_end(t, end));
    assert_false(covey__tokenizer_is_end(t, words.of.bos));
    assert_false(covey__tokenizer_is_end(t, -1));
    assert_false(covey__tokenizer_is_end(t, 1 << 30));
    assert_int_equal(covey__tokenizer_type_of(t, end), COVEY__TOKEN_CONTROL);
    assert_int_equal(covey__tokenizer_type_of(t, tool), COVEY__TOKEN_USER_DEFINED);
    assert_int_equal(covey__tokenizer_find(t, "hello", 5), 256 + 3);
    assert_int_equal(covey__tokenizer_find(t, "nothing", 7), -1);
    assert_int_equal(covey__tokenizer_find(t, "", 0), -1);
    covey__tokenizer_free(t);
}

static void test_strip_right(void **state) {
    (void)state;
    small_bpe(&words, "llama-bpe");
    words.of.special_strip_right = true;
    covey__tokenizer *t = make();
    assert_tokens(t, "<|end|>x \n a", true, "<|end|>x|a|");
    assert_tokens(t, "<|end|>\na", true, "<|end|>|a|");
    covey__tokenizer_free(t);
    small_spm(&words);
    words.of.special_strip_right = true;
    t = make();
    assert_tokens(t, "</s> \na", true, "</s>| |a|");
    assert_tokens(t, "<s> a", true, "<s>|  |a|"); /* by their names, some do not */
    covey__tokenizer_free(t);
}

/* A control token is found only where all of its text is trusted; the ids are those of the joined
 * text otherwise. */
static void test_trust(void **state) {
    (void)state;
    small_bpe(&words, "llama-bpe");
    covey__tokenizer *t = make();
    const char *text = "<|end|>hello<|end|>";
    int32_t ids[32], end = words.of.eos;
    size_t count, size = strlen(text);
    for (size_t cut = 0; cut <= size; cut++) {
        covey__text_span spans[] = {{cut, true}, {size, false}};
        assert_int_equal(
            covey__tokenizer_encode_spans(t, text, size, spans, 2, ids, 32, &count, NULL),
            COVEY_OK);
        assert_int_equal(ids[0] == end, cut >= 7);
        assert_int_equal(ids[count - 1] == end, cut == size);
    }
    /* Trusted neighbours are one stretch; a word runs across a seam. */
    covey__text_span parts[] = {{3, true},  {3, true},  {7, true},
                                {9, false}, {12, true}, {19, false}};
    assert_int_equal(covey__tokenizer_encode_spans(t, text, size, parts, 6, ids, 32, &count, NULL),
                     COVEY_OK);
    assert_int_equal(ids[0], end);
    assert_int_equal(ids[1], covey__tokenizer_find(t, "hello", 5));
    assert_int_equal(count, 2 + 7);
    /* What no span covers is not trusted. */
    assert_int_equal(covey__tokenizer_encode_spans(t, text, size, NULL, 0, ids, 32, &count, NULL),
                     COVEY_OK);
    assert_true(ids[0] != end && ids[count - 1] != end);
    covey__text_span bad[] = {{5, true}, {4, true}};
    assert_int_equal(covey__tokenizer_encode_spans(t, text, size, bad, 2, ids, 32, &count, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey__tokenizer_free(t);
}

static void test_sentencepiece(void **state) {
    (void)state;
    small_spm(&words);
    covey__tokenizer *t = make();
    assert_tokens(t, "hello world", false, " hello| world|");
    /* The best score first, wherever it stands: "ll" before "lo". */
    assert_tokens(t, "xllo", false, " |x|ll|o|");
    assert_tokens(t, "xhelo", false, " |x|he|lo|");
    assert_tokens(t, "   aaaaa", false, "  |  |aaaa|a|");
    assert_tokens(t, "\xC3\xA9\xC3\xBC", false, " |\xC3\xA9|\xC3|\xBC|");
    assert_tokens(t, "", false, "");
    /* U+2581 in the text is a space to SentencePiece. */
    assert_tokens(t, "a\xE2\x96\x81world", false, " |a| world|");
    assert_tokens(t, "a<tool>world", false, " |a|<tool>| world|");
    /* Control tokens never come out of plain text, even where pieces would merge into one. */
    assert_tokens(t, "</s>", false, " |<|/|s|>|");
    assert_tokens(t, "</s>world", true, "</s>| world|");
    int32_t ids[4];
    size_t count;
    assert_int_equal(covey__tokenizer_encode(t, "\n", 1, false, ids, 4, &count, NULL), COVEY_OK);
    assert_int_equal(count, 2);
    assert_int_equal(ids[1], 3 + '\n');
    assert_int_equal(covey__tokenizer_type_of(t, ids[1]), COVEY__TOKEN_BYTE);
    covey__tokenizer_free(t);
    words.of.add_space_prefix = false;
    t = make();
    assert_tokens(t, "hello world", false, "hello| world|");
    covey__tokenizer_free(t);
}

/* A vocabulary in which a token has a space inside: words are not cut at spaces then. */
static void test_inner_space(void **state) {
    (void)state;
    small_spm(&words);
    words.of.add_space_prefix = false;
    small_add_text(&words, "a\xE2\x96\x81", COVEY__TOKEN_NORMAL, -0.5f);
    small_add_text(&words, "a\xE2\x96\x81w", COVEY__TOKEN_NORMAL, -0.4f);
    covey__tokenizer *t = make();
    assert_tokens(t, "a world a", false, "a w|or|ld| |a|");
    covey__tokenizer_free(t);
}

/* Without types, "<0x0A>" is still that byte. */
static void test_no_types(void **state) {
    (void)state;
    small_spm(&words);
    words.of.types = NULL;
    covey__tokenizer *t = make();
    assert_tokens(t, "\n", false, " |\n|");
    covey__tokenizer_free(t);
}

/* What a vocabulary cannot say is its unknown token, or nothing. */
static void test_unknown(void **state) {
    (void)state;
    small_begin(&words, "llama", "");
    small_add_text(&words, "a", COVEY__TOKEN_NORMAL, 0);
    words.of.unknown = small_add_text(&words, "<unk>", COVEY__TOKEN_UNKNOWN, 0);
    covey__tokenizer *t = make();
    assert_tokens(t, "aba", true, "a|<unk>|a|");
    assert_tokens(t, "a<unk>a", false, "a|<unk>|<unk>|<unk>|<unk>|<unk>|a|");
    covey__tokenizer_free(t);
    words.of.unknown = -1;
    t = make();
    assert_tokens(t, "aba", true, "a|a|");
    covey__tokenizer_free(t);
}

static void test_room(void **state) {
    (void)state;
    small_bpe(&words, "gpt2");
    covey__tokenizer *t = make();
    int32_t ids[3] = {-7, -7, -7};
    size_t count;
    covey_error error;
    assert_int_equal(covey__tokenizer_encode(t, "1 2 3", 5, false, ids, 2, &count, &error),
                     COVEY_ERROR_LIMIT);
    assert_int_equal(count, 5);
    assert_int_equal(error.expected, 2);
    assert_int_equal(error.found, 5);
    assert_int_equal(ids[2], -7);
    assert_int_equal(covey__tokenizer_encode(t, "1 2 3", 5, false, NULL, 0, &count, &error),
                     COVEY_ERROR_LIMIT);
    assert_int_equal(count, 5);
    char bytes[8] = "zzzzzzz";
    int32_t hello = covey__tokenizer_find(t, "hello", 5);
    assert_int_equal(covey__tokenizer_bytes_of(t, hello, false, bytes, 2), 5);
    assert_memory_equal(bytes, "hezz", 4);
    assert_int_equal(covey__tokenizer_bytes_of(t, hello, false, NULL, 0), 5);
    assert_int_equal(covey__tokenizer_bytes_of(t, words.of.eos, false, bytes, 8), 0);
    assert_int_equal(covey__tokenizer_bytes_of(t, words.of.eos, true, bytes, 8), 7);
    assert_int_equal(covey__tokenizer_bytes_of(t, -1, true, bytes, 8), 0);
    assert_int_equal(covey__tokenizer_bytes_of(t, (int32_t)words.of.token_count, true, bytes, 8),
                     0);
    covey__tokenizer_specials specials = covey__tokenizer_specials_of(t);
    assert_int_equal(specials.token_count, words.of.token_count);
    assert_int_equal(specials.eos, words.of.eos);
    assert_int_equal(specials.eot, -1);
    covey__tokenizer_free(t);
    covey__tokenizer_free(NULL);
}

static void assert_refused(covey_status expected, const char *part) {
    covey__tokenizer *t = (covey__tokenizer *)&words;
    covey_error error = {0};
    assert_int_equal(covey__tokenizer_new(&env, &words.of, &t, &error), expected);
    assert_null(t);
    assert_non_null(strstr(error.message, part));
}

static void test_refusals(void **state) {
    (void)state;
    small_begin(&words, "rwkv", "");
    small_add_text(&words, "a", COVEY__TOKEN_NORMAL, 0);
    assert_refused(COVEY_ERROR_UNSUPPORTED, "\"rwkv\"");
    words.of.model = (covey__text){"gpt2", 4};
    words.of.pretokenizer = (covey__text){"kimi-k2", 7};
    assert_refused(COVEY_ERROR_UNSUPPORTED, "\"kimi-k2\"");
    words.of.pretokenizer.size = 0;
    words.types[0] = 7;
    assert_refused(COVEY_ERROR_FORMAT, "type 7");
    words.types[0] = 1;
    words.of.eos = 1;
    assert_refused(COVEY_ERROR_FORMAT, "eos");
    words.of.eos = -1;
    small_add_merge(&words, "a a");
    words.merges[0] = (covey__text){"aa", 2};
    assert_refused(COVEY_ERROR_FORMAT, "merge 0");
    words.merges[0] = (covey__text){" a", 2};
    assert_refused(COVEY_ERROR_FORMAT, "merge 0");
    words.of.merge_count = 0;
    words.of.token_count = 0;
    assert_refused(COVEY_ERROR_LIMIT, "0 tokens");
    words.of.token_count = 1;
    words.of.model = (covey__text){"llama", 5};
    words.scores[0] = (float)(0.0 * (double)words.scores[0]) / 0.0f;
    assert_refused(COVEY_ERROR_FORMAT, "scores");
}

static covey_status make_and_use(const covey__env *broken, void *user, covey_error *error) {
    covey__tokenizer *t;
    covey_status status = covey__tokenizer_new(broken, user, &t, error);
    if (status == COVEY_OK) {
        char text[300];
        int32_t ids[600];
        size_t count;
        memset(text, 'e', sizeof text);
        status = covey__tokenizer_encode(t, text, sizeof text, true, ids, 600, &count, error);
    }
    covey__tokenizer_free(t);
    return status;
}

static void test_no_memory(void **state) {
    (void)state;
    small_bpe(&words, "gpt-2");
    assert_true(test_fail_each_allocation(make_and_use, &words.of) >= 9);
    small_spm(&words);
    assert_true(test_fail_each_allocation(make_and_use, &words.of) >= 9);
}

/* A megabyte without a space takes n log n steps: seconds would show here if it did not. */
static void test_long_words(void **state) {
    (void)state;
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    int32_t *ids = malloc((SIZE + 1) * sizeof *ids);
    size_t count;
    assert_true(text && ids);
    memset(text, 'a', SIZE);
    small_bpe(&words, "qwen2");
    covey__tokenizer *t = make();
    assert_int_equal(covey__tokenizer_encode(t, text, SIZE, false, ids, SIZE, &count, NULL),
                     COVEY_OK);
    assert_int_equal(count, SIZE / 8);
    memset(text, '<', SIZE);
    assert_int_equal(covey__tokenizer_encode(t, text, SIZE, true, ids, SIZE, &count, NULL),
                     COVEY_OK);
    assert_int_equal(count, SIZE);
    covey__tokenizer_free(t);
    small_spm(&words);
    t = make();
    memset(text, 'a', SIZE);
    assert_int_equal(covey__tokenizer_encode(t, text, SIZE, false, ids, SIZE + 1, &count, NULL),
                     COVEY_OK);
    assert_int_equal(count, 1 + SIZE / 4);
    covey__tokenizer_free(t);
    free(text);
    free(ids);
}

static void *encode_often(void *user) {
    int32_t ids[64];
    size_t count = 0;
    for (int i = 0; i < 2000; i++) {
        if (covey__tokenizer_encode(user, "hello world it's aaaa inging", 28, false, ids, 64,
                                    &count, NULL) != COVEY_OK) {
            return NULL;
        }
    }
    return (void *)(uintptr_t)count;
}

static void test_threads(void **state) {
    (void)state;
    small_bpe(&words, "llama-bpe");
    covey__tokenizer *t = make();
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, t), 0);
    }
    for (int i = 0; i < 3; i++) {
        void *count;
        assert_int_equal(pthread_join(threads[i], &count), 0);
        assert_int_equal((uintptr_t)count, 11);
    }
    covey__tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe),         cmocka_unit_test(test_merge_order),
        cmocka_unit_test(test_specials),    cmocka_unit_test(test_strip_right),
        cmocka_unit_test(test_trust),       cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_inner_space), cmocka_unit_test(test_no_types),
        cmocka_unit_test(test_unknown),     cmocka_unit_test(test_room),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_long_words),  cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
