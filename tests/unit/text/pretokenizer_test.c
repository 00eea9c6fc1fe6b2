/* Cutting text into words before merging: each pretokenizer on the cases where they differ. */
#include "support/support.h"

#include "text/pretokenizer.h"

#include <stdlib.h>
#include <string.h>

/* Words joined by a bar. */
static const char *cut(covey__pretokenizer pretokenizer, const char *text) {
    static char out[512];
    size_t size = strlen(text), at = 0, written = 0;
    while (at < size) {
        size_t word = covey__pretokenizer_next(pretokenizer, text + at, size - at);
        assert_in_range(word, 1, size - at);
        memcpy(out + written, text + at, word);
        written += word;
        out[written++] = '|';
        at += word;
    }
    out[written] = 0;
    return out;
}

/* Expected cuts follow from the patterns, which src/text/pretokenizer_scan.c states. */
static void test_cuts(void **state) {
    (void)state;
    static const struct {
        const char *text, *gpt2, *llama3, *qwen2;
    } cases[] = {
        {"Hello world", "Hello| world|", "Hello| world|", "Hello| world|"},
        {"it's we'll I'd", "it|'s| we|'ll| I|'d|", "it|'s| we|'ll| I|'d|", "it|'s| we|'ll| I|'d|"},
        {"IT'S we'LL", "IT|'|S| we|'|LL|", "IT|'S| we|'LL|", "IT|'S| we|'LL|"},
        {"'twas", "'t|was|", "'t|was|", "'t|was|"},
        {"'x", "'|x|", "'x|", "'x|"},
        {"a1234567b", "a|1234567|b|", "a|123|456|7|b|", "a|1|2|3|4|5|6|7|b|"},
        {" 12", " 12|", " |12|", " |1|2|"},
        {"a  b", "a| | b|", "a| | b|", "a| | b|"},
        {"a  ", "a|  |", "a|  |", "a|  |"},
        {"a \n b", "a| \n| b|", "a| \n| b|", "a| \n| b|"},
        {"a\n\n\nb", "a|\n\n|\n|b|", "a|\n\n\n|b|", "a|\n\n\n|b|"},
        {"a\n \n  b", "a|\n \n | b|", "a|\n \n| | b|", "a|\n \n| | b|"},
        {"x;\ny", "x|;|\n|y|", "x|;\n|y|", "x|;\n|y|"},
        {"x ...\r\n\r\ny", "x| ...|\r\n\r|\n|y|", "x| ...\r\n\r\n|y|", "x| ...\r\n\r\n|y|"},
        {"\tfoo", "\t|foo|", "\tfoo|", "\tfoo|"},
        {"_foo", "_|foo|", "_foo|", "_foo|"},
        {"(a)", "(|a|)|", "(a|)|", "(a|)|"},
        {"!!a", "!!|a|", "!!|a|", "!!|a|"},
        {"e\xCC\x81t", "e|\xCC\x81|t|", "e|\xCC\x81t|", "e|\xCC\x81t|"},
        {"\xC3\xA9t\xC3\xA9", "\xC3\xA9t\xC3\xA9|", "\xC3\xA9t\xC3\xA9|", "\xC3\xA9t\xC3\xA9|"},
        {"a\xE3\x80\x80z", "a|\xE3\x80\x80|z|", "a|\xE3\x80\x80z|", "a|\xE3\x80\x80z|"},
        {"a \xE3\x80\x80z", "a| |\xE3\x80\x80|z|", "a| |\xE3\x80\x80z|", "a| |\xE3\x80\x80z|"},
        {"a\xFF\xFF"
         "b",
         "a|\xFF\xFF|b|", "a|\xFF\xFF|b|", "a|\xFF\xFF|b|"},
        {" ", " |", " |", " |"},
        {"'", "'|", "'|", "'|"},
        {"\n", "\n|", "\n|", "\n|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(cut(COVEY__PRETOKENIZER_GPT2, cases[i].text), cases[i].gpt2);
        assert_string_equal(cut(COVEY__PRETOKENIZER_LLAMA3, cases[i].text), cases[i].llama3);
        assert_string_equal(cut(COVEY__PRETOKENIZER_QWEN2, cases[i].text), cases[i].qwen2);
    }
}

/* The same of those that have no vocabulary here to compare with. tests/npm/pretokenizers.mjs cuts
 * random texts with the expressions themselves. */
static void test_more_cuts(void **state) {
    (void)state;
    static const struct {
        covey__pretokenizer kind;
        const char *text, *cuts;
    } cases[] = {
        {COVEY__PRETOKENIZER_STARCODER, "it's a  5 12x", "it|'s| a|  |5| |1|2|x|"},
        {COVEY__PRETOKENIZER_STARCODER, "IT'S (a)\n b", "IT|'|S| (|a|)|\n| b|"},
        {COVEY__PRETOKENIZER_FALCON, "it's (x) <= 12345", "it|'|s| |(|x|)| |<=| |123|45|"},
        {COVEY__PRETOKENIZER_FALCON, "a 12 b1234", "a| 12| b|123|4|"},
        {COVEY__PRETOKENIZER_DEEPSEEK_LLM, "na\xC3\xAFve !a\n 12", "na|\xC3\xAF|ve| !|a|\n| |12|"},
        {COVEY__PRETOKENIZER_DEEPSEEK_LLM, "1  ", "1|  |"},
        {COVEY__PRETOKENIZER_DEEPSEEK_CODER, "na\xC3\xAFve (a) 12+ b",
         "na\xC3\xAFve| (|a|)| |1|2|+| b|"},
        {COVEY__PRETOKENIZER_DEEPSEEK3, "a 1234 _x!! \xE4\xBD\xA0\xE5\xA5\xBD b",
         "a| |123|4| _|x|!!| |\xE4\xBD\xA0\xE5\xA5\xBD| b|"},
        {COVEY__PRETOKENIZER_GPT4O, "HTMLParser don't 1234 a/b\n",
         "HTMLParser| don't| |123|4| a|/b|\n|"},
        {COVEY__PRETOKENIZER_TEKKEN, "HTMLParser don't 12 ://\nX",
         "HTMLParser| don|'t| |1|2| ://\n|X|"},
        {COVEY__PRETOKENIZER_GPT4O,
         "AB\xE4\xBD\xA0"
         "CD",
         "AB\xE4\xBD\xA0|CD|"},
        {COVEY__PRETOKENIZER_QWEN35, "e\xCC\x81t \xCC\x81", "e\xCC\x81t| \xCC\x81|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(cut(cases[i].kind, cases[i].text), cases[i].cuts);
    }
}

static void test_find(void **state) {
    (void)state;
    covey__pretokenizer_traits found;
    covey_error error;
    assert_int_equal(covey__pretokenizer_find("", 0, &found, &error), COVEY_OK);
    assert_int_equal(found.kind, COVEY__PRETOKENIZER_GPT2);
    assert_int_equal(covey__pretokenizer_find("llama-bpe", 9, &found, &error), COVEY_OK);
    assert_int_equal(found.kind, COVEY__PRETOKENIZER_LLAMA3);
    assert_int_equal(covey__pretokenizer_find("qwen2", 5, &found, &error), COVEY_OK);
    assert_int_equal(found.kind, COVEY__PRETOKENIZER_QWEN2);
    assert_false(found.adds_bos || found.whole_words_first);
    assert_int_equal(covey__pretokenizer_find("tekken", 6, &found, &error), COVEY_OK);
    assert_int_equal(found.kind, COVEY__PRETOKENIZER_TEKKEN);
    assert_true(found.adds_bos && found.whole_words_first);
    assert_int_equal(covey__pretokenizer_find("minerva-7b", 10, &found, &error), COVEY_OK);
    assert_int_equal(found.kind, COVEY__PRETOKENIZER_STARCODER);
    static const char *const unknown[] = {"kimi-k2", "qwen", " ", "gpt-2 gpt2", "wen2"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_int_equal(covey__pretokenizer_find(unknown[i], strlen(unknown[i]), &found, &error),
                         COVEY_ERROR_UNSUPPORTED);
        assert_non_null(strstr(error.message, unknown[i]));
    }
}

/* Any bytes are cut into words that join to the same bytes, in time that does not explode. */
static void test_any_bytes(void **state) {
    (void)state;
    uint64_t seed = 7;
    enum { SIZE = 200000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    static const char *const parts[] = {
        "1",           "1\xD9\xA3",   "\xE2\x80\x83 ", "\xE4\xBD\xA0 ", "A\xE4\xBD\xA0",
        "\xD8\xA8 1 ", "\xE2\x80\x8B"};
    for (int round = 0; round < 11; round++) {
        for (size_t i = 0; i < SIZE; i++) {
            static const char spaces[] = " \n\r\t";
            text[i] = round == 0   ? (char)test_random(&seed)
                      : round == 1 ? spaces[test_random(&seed) % 4]
                      : round == 2 ? ' '
                      : round == 3 ? '\''
                                   : parts[round - 4][i % strlen(parts[round - 4])];
        }
        for (int kind = 0; kind <= COVEY__PRETOKENIZER_TEKKEN; kind++) {
            size_t at = 0;
            while (at < SIZE) {
                size_t word =
                    covey__pretokenizer_next((covey__pretokenizer)kind, text + at, SIZE - at);
                assert_in_range(word, 1, SIZE - at);
                at += word;
            }
        }
    }
    free(text);
}

/* GPT-2's table: known pairs, and both ways for all bytes. */
static void test_byte_codes(void **state) {
    (void)state;
    assert_int_equal(covey__byte_to_code(' '), 0x120);
    assert_int_equal(covey__byte_to_code('\n'), 0x10A);
    assert_int_equal(covey__byte_to_code('A'), 'A');
    assert_int_equal(covey__byte_to_code(0xAD), 0x143);
    assert_int_equal(covey__byte_to_code(0x7F), 0x121);
    bool seen[512] = {false};
    for (int byte = 0; byte < 256; byte++) {
        uint32_t code = covey__byte_to_code((uint8_t)byte);
        assert_true(code < 512 && !seen[code]);
        seen[code] = true;
        assert_int_equal(covey__code_to_byte(code), byte);
    }
    for (uint32_t code = 0; code < 512; code++) {
        assert_int_equal(covey__code_to_byte(code) >= 0, seen[code]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),       cmocka_unit_test(test_more_cuts),
        cmocka_unit_test(test_find),       cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_byte_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
