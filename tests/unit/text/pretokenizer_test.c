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

/* Expected cuts follow from the patterns, which src/text/pretokenizer.c states. */
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

static void test_find(void **state) {
    (void)state;
    covey__pretokenizer found;
    covey_error error;
    assert_int_equal(covey__pretokenizer_find("", 0, &found, &error), COVEY_OK);
    assert_int_equal(found, COVEY__PRETOKENIZER_GPT2);
    assert_int_equal(covey__pretokenizer_find("llama-bpe", 9, &found, &error), COVEY_OK);
    assert_int_equal(found, COVEY__PRETOKENIZER_LLAMA3);
    assert_int_equal(covey__pretokenizer_find("qwen2", 5, &found, &error), COVEY_OK);
    assert_int_equal(found, COVEY__PRETOKENIZER_QWEN2);
    assert_int_equal(covey__pretokenizer_find("tekken", 6, &found, &error),
                     COVEY_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "\"tekken\""));
    assert_non_null(strstr(error.message, "llama-bpe"));
    assert_int_equal(covey__pretokenizer_find("qwen", 4, &found, NULL), COVEY_ERROR_UNSUPPORTED);
}

/* Any bytes are cut into words that join to the same bytes, in time that does not explode. */
static void test_any_bytes(void **state) {
    (void)state;
    uint64_t seed = 7;
    enum { SIZE = 200000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < SIZE; i++) {
            static const char spaces[] = " \n\r\t";
            text[i] = round == 0   ? (char)test_random(&seed)
                      : round == 1 ? spaces[test_random(&seed) % 4]
                      : round == 2 ? ' '
                                   : '\'';
        }
        for (int kind = 0; kind < 3; kind++) {
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
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_byte_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
