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

/* Who can go on by a patch goes first; then all, and nothing else changes. */
static void those_with_a_patch_go_first(void **state) {
    (void)state;
    char text[1024];
    covey__rollout_row row = rollout("1.2.0", 100000);
    row.patched_first = true;
    row.patched_from = ",1.1.0/q8_0,1.0.0/q8_0,1.0.0/q4_0,";
    static const struct {
        const char *version, *variant;
        covey__verdict verdict;
    } cases[] = {
        {"1.1.0", "q8_0", COVEY__VERDICT_OFFER},    {"1.0.0", "q4_0", COVEY__VERDICT_OFFER},
        {"1.1.0", "q4_0", COVEY__VERDICT_NO_PATCH}, {"1.0.0", "", COVEY__VERDICT_OFFER},
        {"0.1.0", "q8_0", COVEY__VERDICT_NO_PATCH}, {"0.1.0", "", COVEY__VERDICT_NO_PATCH},
        {"1.1.0", "q8", COVEY__VERDICT_NO_PATCH},   {"", "", COVEY__VERDICT_NO_PATCH},
        {"1.2.0", "q8_0", COVEY__VERDICT_HAS_IT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__device_known known = device(cases[i].version);
        snprintf(known.variant, sizeof known.variant, "%s", cases[i].variant);
        row.patched_first = true;
        covey__verdict found = covey__cohort_judge(&row, &known, false);
        if (found != cases[i].verdict) fail_msg("case %zu: verdict %d", i, (int)found);
        covey__verdict_text(found, &row, &known, NULL, text, sizeof text);
        if (found == COVEY__VERDICT_NO_PATCH) assert_non_null(strstr(text, "no patch leads"));
        row.patched_first = false;
        if (found == COVEY__VERDICT_NO_PATCH)
            assert_int_equal(covey__cohort_judge(&row, &known, false), COVEY__VERDICT_OFFER);
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
        cmocka_unit_test(verdicts),
        cmocka_unit_test(higher_version_wins_then_newer),
        cmocka_unit_test(those_with_a_patch_go_first),
        cmocka_unit_test(release_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
