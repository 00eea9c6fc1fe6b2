/* WordPiece on a handmade vocabulary: what is dropped, folded, cut and looked for. Expectations
 * follow from BERT's definition; real ids are compared in tests/unit/engine/vocabulary_test.c. */
#include "support/support.h"

#include "text/tokenizer.h"
#include "unit/text/small_vocabulary.h"

#include <stdlib.h>
#include <string.h>

static covey__env env;
static small_vocabulary words;

static covey__tokenizer *make(bool lower_case, bool strip_accents) {
    static const char *const tokens[] = {"[PAD]",
                                         "[UNK]",
                                         "[CLS]",
                                         "[SEP]",
                                         "\xE2\x96\x81un",
                                         "\xE2\x96\x81u",
                                         "aff",
                                         "able",
                                         "a",
                                         "e",
                                         "\xE2\x96\x81"
                                         "cafe",
                                         "\xE2\x96\x81"
                                         "caf\xC3\xA9",
                                         "\xE2\x96\x81"
                                         "Cafe",
                                         "\xE2\x96\x81,",
                                         "\xE2\x96\x81$",
                                         "\xE2\x96\x81\xE3\x80\x82",
                                         "\xE2\x96\x81\xE6\x88\x91",
                                         "\xE2\x96\x81\xE6\x83\xB3",
                                         "\xE2\x96\x81\xE1\x84\x80\xE1\x85\xA1",
                                         "\xE2\x96\x81+",
                                         "\xE2\x96\x81\xE2\x82\xAC",
                                         "\xE2\x96\x81["};
    covey__tokenizer *tokenizer;
    covey_error error = {0};
    small_begin(&words, "bert", "jina-v2-en");
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        small_add_text(&words, tokens[i], i < 4 ? COVEY__TOKEN_CONTROL : COVEY__TOKEN_NORMAL, 0);
    }
    words.of.unknown = 1;
    words.of.cls = 2;
    words.of.separator = 3;
    words.of.add_bos = words.of.add_separator = true;
    words.of.lower_case = lower_case;
    words.of.strip_accents = strip_accents;
    if (covey__tokenizer_new(&env, &words.of, &tokenizer, &error) != COVEY_OK) {
        fail_msg("%s", error.message);
    }
    return tokenizer;
}

static void assert_tokens(const covey__tokenizer *t, const char *text, size_t size,
                          const char *expected) {
    char out[1024];
    int32_t ids[256];
    size_t count, at = 0;
    assert_int_equal(covey__tokenizer_encode(t, text, size, false, ids, 256, &count, NULL),
                     COVEY_OK);
    for (size_t i = 0; i < count; i++) {
        at += covey__tokenizer_bytes_of(t, ids[i], true, out + at, sizeof out - at - 2);
        out[at++] = '|';
    }
    out[at] = 0;
    assert_string_equal(out, expected);
}

#define CHECK(t, text, expected) assert_tokens(t, text, sizeof(text) - 1, expected)

static void test_pieces(void **state) {
    (void)state;
    covey__tokenizer *t = make(true, true);
    CHECK(t, "", "");
    CHECK(t, " \t\n\r ", "");
    CHECK(t, "unaffable", " un|aff|able|");
    CHECK(t, "un affable", " un|[UNK]|"); /* nothing begins a word with "aff" */
    CHECK(t, "unaffablex", "[UNK]|");     /* all or nothing */
    CHECK(t, "ua", " u|a|");
    CHECK(t, "UNaFFable,un", " un|aff|able| ,| un|");
    CHECK(t, "un$un", " un| $| un|"); /* symbols of ASCII stand alone */
    CHECK(t, "un\xE2\x82\xAC", "[UNK]|");
    CHECK(t, "\xE2\x82\xAC", " \xE2\x82\xAC|"); /* others are part of words */
    CHECK(t, "[CLS]", " [|[UNK]|[UNK]|");       /* a user's words are no control tokens */
    covey__tokenizer_free(t);
}

static void test_normalizing(void **state) {
    (void)state;
    covey__tokenizer *t = make(true, true);
    CHECK(t, "Caf\xC3\xA9", " cafe|");
    CHECK(t, "CAFE\xCC\x81", " cafe|");
    CHECK(t, "\xCC\x81 \xCC\x81", "");                                 /* accents alone */
    CHECK(t, "u\xE2\x80\x8Bn\x01\x7F\x0B \xEE\x80\x80un", " un| un|"); /* Cf, Cc, Co are dropped */
    CHECK(t, "u\0n\xFF\xEF\xBF\xBD", " un|");
    CHECK(t, "un\xC2\xA0un\xE3\x80\x80un", " un| un| un|");
    CHECK(t, "\xE6\x88\x91\xE6\x83\xB3un\xE3\x80\x82",
          " \xE6\x88\x91| \xE6\x83\xB3| un| \xE3\x80\x82|");
    CHECK(t, "\xEA\xB0\x80", " \xE1\x84\x80\xE1\x85\xA1|"); /* Hangul into its letters */
    CHECK(t, "\xE2\x84\xAB", "[UNK]|");                     /* a, but only within a word */
    CHECK(t, "u\xE2\x84\xAB", " u|a|");
    covey__tokenizer_free(t);
    t = make(false, false);
    CHECK(t, "Cafe cafe caf\xC3\xA9 UN", " Cafe| cafe| caf\xC3\xA9|[UNK]|");
    covey__tokenizer_free(t);
}

static void test_long_words(void **state) {
    (void)state;
    covey__tokenizer *t = make(true, true);
    char text[400];
    int32_t ids[256];
    size_t count;
    memset(text, 'a', sizeof text);
    text[0] = 'u';
    assert_int_equal(covey__tokenizer_encode(t, text, 100, false, ids, 256, &count, NULL),
                     COVEY_OK);
    assert_int_equal(count, 100);
    assert_int_equal(covey__tokenizer_encode(t, text, 101, false, ids, 256, &count, NULL),
                     COVEY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(ids[0], 1);
    assert_int_equal(covey__tokenizer_encode(t, text, 400, false, ids, 1, &count, NULL), COVEY_OK);
    /* A word that fails late leaves nothing behind where there is no room either. */
    text[99] = 'x';
    assert_int_equal(covey__tokenizer_encode(t, text, 100, false, ids, 1, &count, NULL), COVEY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(ids[0], 1);
    covey__tokenizer_free(t);
}

static void test_around(void **state) {
    (void)state;
    covey__tokenizer *t = make(true, true);
    int32_t begin, end, ids[4];
    size_t count;
    covey__tokenizer_around(t, &begin, &end);
    assert_int_equal(begin, 2);
    assert_int_equal(end, 3);
    assert_int_equal(covey__tokenizer_encode(t, "[CLS]un[SEP]", 12, true, ids, 4, &count, NULL),
                     COVEY_OK);
    assert_int_equal(count, 3);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[2], 3);
    covey__tokenizer_free(t);
}

int main(void) {
    covey__env_init(&env);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_normalizing),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
