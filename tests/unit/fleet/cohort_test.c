/* The draw and the rules: stable, monotone, and never backwards. */
#include "support/support.h"

#include "fleet/cohort.h"

#include <stdio.h>
#include <string.h>

#define DEVICES 20000

static void id_of(int number, char id[COVEY__DEVICE_ID_SIZE]) {
    snprintf(id, COVEY__DEVICE_ID_SIZE, "%032x", (unsigned)number * 2654435761u);
}

static covey__rollout_row rollout(const char *version, int64_t milli) {
    covey__rollout_row row = {.key = 3,
                              .release = {.name = "assistant", .version = version},
                              .percent_milli = milli,
                              .note = ""};
    memset(row.salt, 7, sizeof row.salt);
    return row;
}

static covey__device_known device(const char *version) {
    covey__device_known known = {.key = 1, .device_class = 1};
    id_of(12, known.id);
    if (version[0] != '\0') snprintf(known.name, sizeof known.name, "assistant");
    snprintf(known.version, sizeof known.version, "%s", version);
    return known;
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
    char id[COVEY__DEVICE_ID_SIZE];
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
    char id[COVEY__DEVICE_ID_SIZE];
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

static void verdicts(void **state) {
    (void)state;
    static const struct {
        const char *serves;
        const char *offered;
        covey__rollout_state rollout;
        uint32_t classes;
        int64_t milli;
        bool refused;
        covey__verdict verdict;
    } cases[] = {
        {"1.0.0", "1.1.0", COVEY__ROLLOUT_RUNNING, 0, 100000, false, COVEY__VERDICT_OFFER},
        {"", "1.1.0", COVEY__ROLLOUT_RUNNING, 0, 100000, false, COVEY__VERDICT_OFFER},
        {"1.1.0-rc.1", "1.1.0", COVEY__ROLLOUT_RUNNING, 0, 100000, false, COVEY__VERDICT_OFFER},
        {"1.1.0", "1.1.0", COVEY__ROLLOUT_RUNNING, 0, 100000, false, COVEY__VERDICT_HAS_IT},
        {"1.1.0+b", "1.1.0+a", COVEY__ROLLOUT_RUNNING, 0, 100000, false, COVEY__VERDICT_HAS_IT},
        {"1.10.0", "1.9.0", COVEY__ROLLOUT_RUNNING, 0, 100000, false, COVEY__VERDICT_OLDER},
        {"2.0.0", "1.9.0", COVEY__ROLLOUT_RUNNING, 0, 100000, false, COVEY__VERDICT_OLDER},
        {"1.0.0", "1.1.0", COVEY__ROLLOUT_RUNNING, 0, 100000, true, COVEY__VERDICT_REFUSED},
        {"1.0.0", "1.1.0", COVEY__ROLLOUT_PAUSED, 0, 100000, false, COVEY__VERDICT_PAUSED},
        {"1.0.0", "1.1.0", COVEY__ROLLOUT_ABORTED, 0, 100000, false, COVEY__VERDICT_ABORTED},
        {"1.0.0", "1.1.0", COVEY__ROLLOUT_RUNNING, 2, 100000, false, COVEY__VERDICT_OFFER},
        {"1.0.0", "1.1.0", COVEY__ROLLOUT_RUNNING, 13, 100000, false, COVEY__VERDICT_CLASS},
        {"1.0.0", "1.1.0", COVEY__ROLLOUT_RUNNING, 0, 0, false, COVEY__VERDICT_DRAW},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__device_known known = device(cases[i].serves);
        covey__rollout_row row = rollout(cases[i].offered, cases[i].milli);
        char text[1024];
        row.state = cases[i].rollout;
        row.classes = cases[i].classes;
        covey__verdict found = covey__cohort_judge(&row, &known, cases[i].refused);
        if (found != cases[i].verdict) fail_msg("case %zu: verdict %d", i, (int)found);
        covey__verdict_text(found, &row, &known, "too slow", text, sizeof text);
        assert_non_null(strstr(text, "r-3 assistant@"));
        if (found == COVEY__VERDICT_REFUSED) assert_non_null(strstr(text, "too slow"));
    }
    covey__device_known other = device("1.0.0");
    snprintf(other.name, sizeof other.name, "translator");
    covey__rollout_row row = rollout("1.1.0", 100000);
    assert_int_equal(covey__cohort_judge(&row, &other, false), COVEY__VERDICT_OTHER_NAME);
}

static void higher_version_wins_then_newer(void **state) {
    (void)state;
    covey__rollout_row low = rollout("1.9.0", 1), high = rollout("1.10.0", 1), newer = low;
    newer.key = 4;
    assert_true(covey__cohort_prefers(&high, &low));
    assert_false(covey__cohort_prefers(&low, &high));
    assert_true(covey__cohort_prefers(&newer, &low));
    assert_false(covey__cohort_prefers(&low, &newer));
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

static void release_names(void **state) {
    (void)state;
    char name[COVEY__RELEASE_NAME_SIZE], version[COVEY__RELEASE_NAME_SIZE];
    assert_true(covey__release_split("assistant@1.2.3-rc.1+b", name, version));
    assert_string_equal(name, "assistant");
    assert_string_equal(version, "1.2.3-rc.1+b");
    static const char *const wrong[] = {"",           "@",      "assistant",
                                        "assistant@", "@1.0.0", "a b@1.0.0",
                                        "../x@1.0.0", "a@1.0",  "a@1.0.0@2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (covey__release_split(wrong[i], name, version)) fail_msg("\"%s\" passed", wrong[i]);
    }
    char longest[200];
    memset(longest, 'a', 70);
    snprintf(longest + 70, sizeof longest - 70, "@1.0.0");
    assert_false(covey__release_split(longest, name, version));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draw_is_what_the_page_says),
        cmocka_unit_test(share_is_near_and_grows_only),
        cmocka_unit_test(salts_draw_afresh),
        cmocka_unit_test(borders_of_the_fraction),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(higher_version_wins_then_newer),
        cmocka_unit_test(percentages_as_text),
        cmocka_unit_test(release_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
