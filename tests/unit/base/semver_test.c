/* Semantic versions: the specification's examples, and ranges. */
#include "support/support.h"

#include "base/semver.h"

static void grammar(void **state) {
    (void)state;
    static const char *const valid[] = {
        "0.0.4",
        "1.2.3",
        "10.20.30",
        "1.1.2-prerelease+meta",
        "1.1.2+meta",
        "1.0.0-alpha",
        "1.0.0-alpha.beta",
        "1.0.0-alpha.0valid",
        "1.0.0-0A.is.legal",
        "1.2.3----RC-SNAPSHOT.12.9.1--.12",
        "99999999999999999999999.999999999999999999.99999999999999999",
        "1.0.0--",
        "1.0.0+001"};
    static const char *const invalid[] = {"",
                                          "1",
                                          "1.2",
                                          "1.2.3.4",
                                          "01.1.1",
                                          "1.01.1",
                                          "1.1.01",
                                          "1.2.3-0123",
                                          "1.2.3-0123.0123",
                                          "1.1.2+.123",
                                          "+invalid",
                                          "-invalid",
                                          "alpha",
                                          "1.0.0-alpha_beta",
                                          "1.0.0-alpha..",
                                          "1.2.3 ",
                                          " 1.2.3",
                                          "v1.2.3",
                                          "1.2.3-",
                                          "1.2.3+",
                                          "1.0.0-\xc3\xa9",
                                          "1.2.3+a+b",
                                          "1..3",
                                          "a.b.c",
                                          "-1.0.3"};
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++)
        if (!covey__semver_valid(valid[i])) fail_msg("refused: %s", valid[i]);
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        if (covey__semver_valid(invalid[i])) fail_msg("accepted: %s", invalid[i]);
    assert_false(covey__semver_valid(NULL));
}

/* Section 11 of the specification, and more, in ascending order. */
static void precedence(void **state) {
    (void)state;
    static const char *const ascending[] = {"0.9.9",
                                            "1.0.0-1",
                                            "1.0.0-2",
                                            "1.0.0-10",
                                            "1.0.0-alpha",
                                            "1.0.0-alpha.1",
                                            "1.0.0-alpha.beta",
                                            "1.0.0-beta",
                                            "1.0.0-beta.2",
                                            "1.0.0-beta.11",
                                            "1.0.0-rc.1",
                                            "1.0.0",
                                            "1.0.1",
                                            "1.2.0",
                                            "1.10.0",
                                            "2.0.0",
                                            "10.0.0",
                                            "18446744073709551616.0.0",
                                            "18446744073709551617.0.0"};
    size_t count = sizeof ascending / sizeof *ascending;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            int expected = i < j ? -1 : i > j ? 1 : 0;
            if (covey__semver_compare(ascending[i], ascending[j]) != expected)
                fail_msg("%s against %s", ascending[i], ascending[j]);
        }
    assert_int_equal(covey__semver_compare("1.0.0+a", "1.0.0+b"), 0);
    assert_int_equal(covey__semver_compare("1.0.0-x+a", "1.0.0-x"), 0);
}

static void ranges(void **state) {
    (void)state;
    static const struct {
        const char *range, *version;
        bool in;
    } cases[] = {
        {"*", "0.0.1", true},
        {">=1.2.0 <2.0.0", "1.2.0", true},
        {">=1.2.0 <2.0.0", "1.99.0", true},
        {">=1.2.0 <2.0.0", "2.0.0", false},
        {">=1.2.0 <2.0.0", "1.1.9", false},
        {">=1.2.0  <2.0.0", "1.5.0", true},
        {"=1.2.3", "1.2.3", true},
        {"=1.2.3", "1.2.3+build", true},
        {"=1.2.3", "1.2.4", false},
        {">1.2.3", "1.2.3", false},
        {"<=1.2.3", "1.2.3", true},
        {"<2.0.0", "2.0.0-rc.1", true},
        {">1.0.0 <1.0.0", "1.0.0", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(covey__semver_range_valid(cases[i].range));
        if (covey__semver_in_range(cases[i].version, cases[i].range) != cases[i].in)
            fail_msg("%s in %s", cases[i].version, cases[i].range);
    }
    static const char *const invalid[] = {
        "",   " ",  "1.2.3",    ">",        ">=1.2",   "=>1.2.3", ">=1.2.3,<2.0.0", ">= 1.2.3",
        "**", "* ", ">=1.2.3 ", " >=1.2.3", "==1.2.3", "^1.2.3",  ">=1.2.3 *"};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        if (covey__semver_range_valid(invalid[i])) fail_msg("accepted: \"%s\"", invalid[i]);
        assert_false(covey__semver_in_range("1.2.3", invalid[i]));
    }
    assert_false(covey__semver_in_range("1.2", "*"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grammar),
        cmocka_unit_test(precedence),
        cmocka_unit_test(ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
