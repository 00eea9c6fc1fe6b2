/* Numbers as text: shortest round trip, in any locale and rounding mode. */
#include "support/support.h"

#include "base/c_locale.h"

#include <fenv.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void known_texts(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.0, "0"},
                 {-0.0, "-0"},
                 {1.0, "1"},
                 {0.1, "0.1"},
                 {1.0 / 3, "0.3333333333333333"},
                 {123456.0, "123456"},
                 {1e22, "1e+22"},
                 {5e-324, "5e-324"},
                 {2.2250738585072014e-308, "2.2250738585072014e-308"},
                 {1.7976931348623157e308, "1.7976931348623157e+308"},
                 {0.30000000000000004, "0.30000000000000004"},
                 {9007199254740993.0, "9007199254740992"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[COVEY__C_DOUBLE_SIZE];
        covey__c_format_double(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void a_float_has_its_own_digits(void **state) {
    (void)state;
    static const struct {
        float value;
        const char *text;
    } cases[] = {{1.0f, "1"},
                 {0.7f, "0.7"},
                 {-0.25f, "-0.25"},
                 {1.0f / 3, "0.33333334"},
                 {16777217.0f, "16777216"}};
    char text[COVEY__C_DOUBLE_SIZE];
    uint64_t seed = 6;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__c_format_float(cases[i].value, text);
        if (i == 4)
            assert_true((float)covey__c_strtod(text) == cases[i].value);
        else
            assert_string_equal(text, cases[i].text);
    }
    for (int i = 0; i < 20000; i++) {
        uint32_t bits = (uint32_t)test_random(&seed);
        float value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        covey__c_format_float(value, text);
        assert_true((float)covey__c_strtod(text) == value);
    }
}

static void any_double_reads_back(void **state) {
    (void)state;
    uint64_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = test_random(&seed);
        double value, back;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        char text[COVEY__C_DOUBLE_SIZE], shorter[64];
        covey__c_format_double(value, text);
        back = covey__c_strtod(text);
        assert_memory_equal(&back, &value, sizeof value);
        size_t digits = 0, zeros = 0; /* significant ones; zeros at the end are not */
        for (const char *c = text; *c != '\0' && *c != 'e'; c++) {
            if (*c < '0' || *c > '9' || (*c == '0' && digits == 0)) continue;
            digits++;
            zeros = *c == '0' ? zeros + 1 : 0;
        }
        digits -= zeros;
        if (digits > 1) { /* one digit fewer is another number */
            snprintf(shorter, sizeof shorter, "%.*e", (int)digits - 2, value);
            assert_true(strtod(shorter, NULL) != value);
        }
    }
}

static void a_locale_with_a_comma_changes_nothing(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    const char *set = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && set == NULL; i++)
        set = setlocale(LC_NUMERIC, names[i]);
    if (set == NULL) {
        print_message("skipped: no locale with a decimal comma is installed\n");
        skip();
    }
    char text[COVEY__C_DOUBLE_SIZE];
    covey__c_format_double(1.5, text);
    double value = covey__c_strtod("2.25");
    char own[16];
    snprintf(own, sizeof own, "%.1f", 0.5);
    setlocale(LC_NUMERIC, "C");
    assert_string_equal(text, "1.5");
    assert_true(value == 2.25);
    assert_string_equal(own, "0,5");
}

static void the_apps_rounding_mode_changes_nothing(void **state) {
    (void)state;
    fesetround(FE_UPWARD);
    double value = covey__c_strtod("0.1");
    char text[COVEY__C_DOUBLE_SIZE];
    covey__c_format_double(0.1, text);
    int after = fegetround();
    fesetround(FE_TONEAREST);
    assert_true(value == 0.1);
    assert_string_equal(text, "0.1");
    assert_int_equal(after, FE_UPWARD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts),
        cmocka_unit_test(a_float_has_its_own_digits),
        cmocka_unit_test(any_double_reads_back),
        cmocka_unit_test(a_locale_with_a_comma_changes_nothing),
        cmocka_unit_test(the_apps_rounding_mode_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
