/* UTF-8 by RFC 3629: what is a character, and what is not. */
#include "support/support.h"

#include "text/utf8.h"

#include <string.h>

/* RFC 3629: the first and last of each length, and what lies just outside. */
static void test_decode(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        uint32_t code; /* 0xFFFD with size 1: invalid */
        uint8_t bytes;
    } cases[] = {
        {"\0", 1, 0, 1},
        {"\x7F", 1, 0x7F, 1},
        {"\x80", 1, 0xFFFD, 1},
        {"\xC1\xBF", 2, 0xFFFD, 1},
        {"\xC2\x80", 2, 0x80, 2},
        {"\xDF\xBF", 2, 0x7FF, 2},
        {"\xE0\x9F\xBF", 3, 0xFFFD, 1},
        {"\xE0\xA0\x80", 3, 0x800, 3},
        {"\xED\x9F\xBF", 3, 0xD7FF, 3},
        {"\xED\xA0\x80", 3, 0xFFFD, 1},
        {"\xEE\x80\x80", 3, 0xE000, 3},
        {"\xEF\xBF\xBF", 3, 0xFFFF, 3},
        {"\xF0\x8F\xBF\xBF", 4, 0xFFFD, 1},
        {"\xF0\x90\x80\x80", 4, 0x10000, 4},
        {"\xF4\x8F\xBF\xBF", 4, 0x10FFFF, 4},
        {"\xF4\x90\x80\x80", 4, 0xFFFD, 1},
        {"\xF5\x80\x80\x80", 4, 0xFFFD, 1},
        {"\xE2\x82", 2, 0xFFFD, 1},
        {"\xE2\x82\x41", 3, 0xFFFD, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__utf8_char c = covey__utf8_decode(cases[i].text, cases[i].size);
        bool valid = cases[i].bytes > 1 || (uint8_t)cases[i].text[0] < 0x80;
        assert_int_equal(c.code, cases[i].code);
        assert_int_equal(c.size, cases[i].bytes);
        assert_int_equal(c.valid, valid);
        assert_int_equal(covey__utf8_is_valid(cases[i].text, cases[i].size), valid);
    }
}

static void test_round_trip(void **state) {
    (void)state;
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        char text[4];
        if (code >= 0xD800 && code < 0xE000) {
            continue;
        }
        size_t size = covey__utf8_encode(code, text);
        covey__utf8_char c = covey__utf8_decode(text, size);
        assert_true(c.valid && c.code == code && c.size == size);
        assert_int_equal(covey__utf8_whole(text, size), size);
        for (size_t cut = 1; cut < size; cut++) {
            assert_int_equal(covey__utf8_whole(text, cut), 0);
        }
    }
}

static void test_whole(void **state) {
    (void)state;
    assert_int_equal(covey__utf8_whole("", 0), 0);
    assert_int_equal(covey__utf8_whole("ab\xE2\x82", 4), 2);
    assert_int_equal(covey__utf8_whole("ab\xF0\x9F\x9A", 5), 2);
    /* What no byte can complete is not waited for. */
    assert_int_equal(covey__utf8_whole("ab\x80", 3), 3);
    assert_int_equal(covey__utf8_whole("ab\x80\x80\x80\x80", 6), 6);
    assert_int_equal(covey__utf8_whole("ab\xFF", 3), 3);
    assert_int_equal(covey__utf8_whole("ab\xE0\x80", 4), 4);
    assert_int_equal(covey__utf8_whole("ab\xED\xA0", 4), 4);
}

static void test_classes(void **state) {
    (void)state;
    static const struct {
        uint32_t code;
        covey__unicode_class class;
    } cases[] = {
        {'a', COVEY__UNICODE_LETTER},       {'Z', COVEY__UNICODE_LETTER},
        {'5', COVEY__UNICODE_NUMBER},       {' ', COVEY__UNICODE_SPACE},
        {'\t', COVEY__UNICODE_SPACE},       {0x85, COVEY__UNICODE_SPACE},
        {0xA0, COVEY__UNICODE_SPACE},       {0x200B, COVEY__UNICODE_OTHER},
        {0x3000, COVEY__UNICODE_SPACE},     {'.', COVEY__UNICODE_PUNCTUATION},
        {'+', COVEY__UNICODE_SYMBOL},       {0x301, COVEY__UNICODE_MARK},
        {0xBD, COVEY__UNICODE_NUMBER},      {0x2167, COVEY__UNICODE_NUMBER},
        {0x4E00, COVEY__UNICODE_LETTER},    {0x5678, COVEY__UNICODE_LETTER},
        {0x9FFF, COVEY__UNICODE_LETTER},    {0xAC00, COVEY__UNICODE_LETTER},
        {0xD7A3, COVEY__UNICODE_LETTER},    {0xD7A4, COVEY__UNICODE_OTHER},
        {0x1F680, COVEY__UNICODE_SYMBOL},   {0x20000, COVEY__UNICODE_LETTER},
        {0xE000, COVEY__UNICODE_OTHER},     {0xFFFD, COVEY__UNICODE_SYMBOL},
        {0x10FFFF, COVEY__UNICODE_OTHER},   {0x110000, COVEY__UNICODE_OTHER},
        {0xFFFFFFFF, COVEY__UNICODE_OTHER}, {0, COVEY__UNICODE_OTHER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(covey__unicode_class_of(cases[i].code), cases[i].class);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
