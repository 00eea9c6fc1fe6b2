/* Times as text: known dates, every day of four centuries there and back, and what is refused. */
#include "base/utc.h"

#include "support/support.h"

#include <stdio.h>
#include <string.h>

static void known_times(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},          {"2000-02-29T23:59:59Z", 951868799},
        {"2026-11-20T16:00:00Z", 1795190400}, {"2038-01-19T03:14:08Z", 2147483648},
        {"2100-03-01T00:00:00Z", 4107542400}, {"9999-12-31T23:59:59Z", 253402300799},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = -1;
        char text[COVEY__UTC_SIZE];
        assert_true(covey__utc_parse(cases[i].text, &ms));
        assert_int_equal(ms, cases[i].seconds * 1000);
        covey__utc_format(ms + 999, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void every_day(void **state) {
    (void)state;
    for (int64_t day = 0; day < 400 * 366; day++) {
        int64_t ms = -1;
        char text[COVEY__UTC_SIZE];
        covey__utc_format(day * 86400000, text);
        assert_true(covey__utc_parse(text, &ms));
        assert_int_equal(ms, day * 86400000);
    }
}

static void refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "2026-11-20",
                                      "2026-11-20T16:00:00",
                                      "2026-11-20T16:00:00+00",
                                      "2026-11-20 16:00:00Z",
                                      "2026-13-01T00:00:00Z",
                                      "2026-00-01T00:00:00Z",
                                      "2025-02-29T00:00:00Z",
                                      "2100-02-29T00:00:00Z",
                                      "2026-04-31T00:00:00Z",
                                      "2026-01-00T00:00:00Z",
                                      "2026-01-01T24:00:00Z",
                                      "2026-01-01T00:60:00Z",
                                      "2026-01-01T00:00:60Z",
                                      "1969-12-31T23:59:59Z",
                                      "-026-01-01T00:00:00Z",
                                      "2026-01-01T00:00:00.5Z",
                                      "2026-01-01t00:00:00Z",
                                      "+026-01-01T00:00:00Z"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ms = 7;
        assert_false(covey__utc_parse(bad[i], &ms));
        assert_int_equal(ms, 7);
    }
}

static void ends(void **state) {
    (void)state;
    char text[COVEY__UTC_SIZE];
    covey__utc_format(-1, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    covey__utc_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_times), cmocka_unit_test(every_day),
                                       cmocka_unit_test(refused), cmocka_unit_test(ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
