/* Cases and decompositions, by known characters and by what holds for all of them. */
#include "support/support.h"

#include "text/unicode.h"
#include "text/utf8.h"

static void test_lower(void **state) {
    (void)state;
    static const uint32_t cases[][2] = {
        {'A', 'a'},     {'z', 'z'},         {'[', '['},       {0xC4, 0xE4},        {0xD7, 0xD7},
        {0x130, 'i'},   {0x178, 0xFF},      {0x100, 0x101},   {0x101, 0x101},      {0x1C4, 0x1C6},
        {0x1C5, 0x1C6}, {0x391, 0x3B1},     {0x410, 0x430},   {0x1E9E, 0xDF},      {0x2126, 0x3C9},
        {0x212A, 'k'},  {0x10400, 0x10428}, {0x4E00, 0x4E00}, {0x10FFFF, 0x10FFFF}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(covey__unicode_lower(cases[i][0]), cases[i][1]);
    }
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        uint32_t lower = covey__unicode_lower(code);
        assert_int_equal(covey__unicode_lower(lower), lower);
    }
}

static void test_upper(void **state) {
    (void)state;
    static const uint32_t cases[][4] = {
        {'a', 'A', 0, 0},          {'Z', 'Z', 0, 0},     {0xDF, 'S', 'S', 0},
        {0xFF, 0x178, 0, 0},       {0xB5, 0x39C, 0, 0},  {0x149, 0x2BC, 'N', 0},
        {0xFB03, 'F', 'F', 'I'},   {0x3C2, 0x3A3, 0, 0}, {0x1C5, 0x1C4, 0, 0},
        {0x1C6, 0x1C4, 0, 0},      {0x430, 0x410, 0, 0}, {0x10428, 0x10400, 0, 0},
        {0x1F80, 0x1F08, 0x399, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t upper[3] = {0, 0, 0};
        size_t count = covey__unicode_upper(cases[i][0], upper);
        assert_int_equal(count, cases[i][3] ? 3 : cases[i][2] ? 2 : 1);
        assert_memory_equal(upper, &cases[i][1], count * sizeof *upper);
    }
}

static void test_bare(void **state) {
    (void)state;
    static const uint32_t cases[][4] = {{'a', 'a', 0, 0},
                                        {0xE9, 'e', 0, 0},
                                        {0x1EED, 'u', 0, 0},
                                        {0xAC01, 0x1100, 0x1161, 0x11A8},
                                        {0xAC00, 0x1100, 0x1161, 0},
                                        {0x212B, 'A', 0, 0},
                                        {0x37E, ';', 0, 0},
                                        {0x9CB, 0x9C7, 0x9BE, 0},
                                        {0x2F800, 0x4E3D, 0, 0},
                                        {0xF900, 0x8C48, 0, 0},
                                        {0xFB01, 0xFB01, 0, 0},
                                        {0x1D160, 0x1D158, 0x1D165, 0x1D16E}};
    uint32_t bare[3];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t count = covey__unicode_bare(cases[i][0], bare);
        assert_int_equal(count, cases[i][3] ? 3 : cases[i][2] ? 2 : 1);
        assert_memory_equal(bare, &cases[i][1], count * sizeof *bare);
    }
    assert_int_equal(covey__unicode_bare(0x301, bare), 0);
    /* What is left is bare itself. */
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        size_t count = covey__unicode_bare(code, bare);
        for (size_t i = 0; i < count; i++) {
            uint32_t again[3];
            assert_int_equal(covey__unicode_bare(bare[i], again), 1);
            assert_int_equal(again[0], bare[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lower),
        cmocka_unit_test(test_upper),
        cmocka_unit_test(test_bare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
