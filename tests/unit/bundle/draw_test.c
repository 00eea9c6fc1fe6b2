/* The draw of a cohort: its exact value, its shares, and percentages as text. */
#include "support/support.h"

#include "bundle/draw.h"

#include <stdio.h>
#include <string.h>

#define DEVICES        20000
#define DEVICE_ID_SIZE 33

static void id_of(int number, char id[DEVICE_ID_SIZE]) {
    snprintf(id, DEVICE_ID_SIZE, "%032x", (unsigned)number * 2654435761u);
}

static void draw_is_what_the_page_says(void **state) {
    (void)state;
    uint8_t salt[16];
    for (int i = 0; i < 16; i++) salt[i] = (uint8_t)i;
    /* printf '000102…0f' | xxd -r -p; printf %s "0123456789abcdef0123456789abcdef" | sha256sum */
    uint64_t draw = covey__cohort_draw(salt, "0123456789abcdef0123456789abcdef");
    assert_true(draw == UINT64_C(0x52ae296f00c0732d));
}

static void share_is_near_and_grows_only(void **state) {
    (void)state;
    static const int64_t steps[] = {0, 1, 500, 1000, 5000, 12500, 50000, 99999, 100000};
    uint8_t salt[16] = {9, 1, 2};
    static bool in[DEVICES];
    char id[DEVICE_ID_SIZE];
    memset(in, 0, sizeof in);
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        int count = 0;
        for (int i = 0; i < DEVICES; i++) {
            id_of(i, id);
            bool now = covey__cohort_within(covey__cohort_draw(salt, id), steps[s]);
            assert_true(now || !in[i]); /* nobody leaves when the percentage grows */
            in[i] = now;
            count += now;
        }
        double share = (double)count / DEVICES, wanted = (double)steps[s] / 100000.0;
        assert_true(share > wanted - 0.012 && share < wanted + 0.012);
        if (steps[s] == 0) assert_int_equal(count, 0);
        if (steps[s] == 100000) assert_int_equal(count, DEVICES);
    }
}

static void salts_draw_afresh(void **state) {
    (void)state;
    uint8_t one[16] = {1}, two[16] = {2};
    char id[DEVICE_ID_SIZE];
    int both = 0;
    for (int i = 0; i < DEVICES; i++) {
        id_of(i, id);
        both += covey__cohort_within(covey__cohort_draw(one, id), 10000) &&
                covey__cohort_within(covey__cohort_draw(two, id), 10000);
    }
    /* Independent draws of 10 % meet in 1 %; the same draw would in 10 %. */
    assert_in_range(both, DEVICES / 100 - 80, DEVICES / 100 + 80);
}

static void borders_of_the_fraction(void **state) {
    (void)state;
    assert_true(covey__cohort_within(0, 1));
    assert_false(covey__cohort_within(0, 0));
    assert_false(covey__cohort_within(UINT64_MAX, 99999));
    assert_true(covey__cohort_within(UINT64_MAX, 100000));
    /* ceil(2^64 / 100000) is the first draw outside of 0.001 %. */
    assert_true(covey__cohort_within(UINT64_C(184467440737095), 1));
    assert_false(covey__cohort_within(UINT64_C(184467440737096), 1));
    assert_true(covey__cohort_within(UINT64_C(0x7fffffffffffffff), 50000));
    assert_false(covey__cohort_within(UINT64_C(0x8000000000000000), 50000));
}

static void percentages_as_text(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t milli; /* -1: refused */
        const char *back;
    } cases[] = {{"0", 0, "0"},           {"100", 100000, "100"},
                 {"12.5", 12500, "12.5"}, {"0.001", 1, "0.001"},
                 {"7.250", 7250, "7.25"}, {"99.9990", 99999, "99.999"},
                 {"100.001", -1, NULL},   {"101", -1, NULL},
                 {"0.0001", -1, NULL},    {"-1", -1, NULL},
                 {"", -1, NULL},          {"1e1", -1, NULL},
                 {"5.", -1, NULL},        {"99999999999999999999", -1, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t milli = -7;
        char back[16];
        bool right = covey__percent_parse(cases[i].text, &milli);
        if (right != (cases[i].milli >= 0)) fail_msg("%s", cases[i].text);
        if (!right) continue;
        assert_int_equal(milli, cases[i].milli);
        covey__percent_format(milli, back);
        assert_string_equal(back, cases[i].back);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draw_is_what_the_page_says),
        cmocka_unit_test(share_is_near_and_grows_only), cmocka_unit_test(salts_draw_afresh),
        cmocka_unit_test(borders_of_the_fraction), cmocka_unit_test(percentages_as_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
