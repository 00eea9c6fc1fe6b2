/* When a trial is slow: the rule of trial.h, case by case. */
#include "support/support.h"

#include "agent/trial.h"

#include <string.h>

typedef struct measured {
    covey__gauge gauge;
    covey__speed before[COVEY__LOADS], mine[COVEY__LOADS];
    bool changed;
    char message[256];
} measured;

/* An answer of 100 prompt tokens and 50 answer tokens, in microseconds a token. */
static covey__pace answer(measured *m, int64_t prompt_us, int64_t decode_us, int32_t at_once) {
    covey__timing timing = {100, 50, prompt_us * 100, decode_us * 50, at_once};
    return covey__gauge_take(&m->gauge, &timing, m->before, 200, m->mine, &m->changed, m->message);
}

static covey__pace window(measured *m, int64_t prompt_us, int64_t decode_us) {
    covey__pace last = COVEY__PACE_UNKNOWN;
    for (int i = 0; i < COVEY__TRIAL_WINDOW; i++) last = answer(m, prompt_us, decode_us, 1);
    return last;
}

static void begin(measured *m) {
    memset(m, 0, sizeof *m);
    for (int i = 0; i < COVEY__LOADS; i++) m->before[i] = (covey__speed){1000000, 20000000};
}

static void test_loads(void **unused) {
    (void)unused;
    static const int loads[] = {0, 0, 1, 1, 2, 2, 2, 2, 3, 3};
    for (int i = 0; i < 10; i++) assert_int_equal(covey__load_of(i), loads[i]);
    assert_int_equal(covey__load_of(INT32_MAX), COVEY__LOADS - 1);
}

static void test_two_slow_windows_in_a_row(void **unused) {
    (void)unused;
    measured m;
    begin(&m);
    assert_int_equal(window(&m, 1900, 39000), COVEY__PACE_FINE);
    assert_int_equal(window(&m, 1900, 41000), COVEY__PACE_DOUBT);
    assert_true(covey__gauge_in_doubt(&m.gauge));
    assert_non_null(strstr(m.message, "answering takes 41.000 ms a token, 20.000 ms before"));
    assert_int_equal(window(&m, 1900, 30000), COVEY__PACE_FINE); /* it was an odd one */
    assert_false(covey__gauge_in_doubt(&m.gauge));
    assert_int_equal(window(&m, 2100, 30000), COVEY__PACE_DOUBT);
    assert_int_equal(window(&m, 2100, 30000), COVEY__PACE_SLOW);
    assert_non_null(strstr(m.message, "the time to the first word"));
}

/* However slow, fewer than half of a window's answers move nothing. */
static void test_single_slow_answers_count_nothing(void **unused) {
    (void)unused;
    measured m;
    begin(&m);
    for (int i = 0; i < 10 * COVEY__TRIAL_WINDOW; i++) {
        bool slow = i % COVEY__TRIAL_WINDOW < COVEY__TRIAL_WINDOW / 2 - 1;
        covey__pace pace = answer(&m, slow ? 1000000 : 1000, slow ? 1000000 : 20000, 1);
        assert_true(pace == COVEY__PACE_UNKNOWN || pace == COVEY__PACE_FINE);
    }
}

/* Loads are kept apart: a busy hour is no measure for a quiet one. */
static void test_by_load(void **unused) {
    (void)unused;
    measured m;
    begin(&m);
    m.before[3] = (covey__speed){10000000, 200000000};
    for (int i = 0; i < 4 * COVEY__TRIAL_WINDOW; i++)
        assert_int_not_equal(answer(&m, 11000, 220000, 8), COVEY__PACE_DOUBT);
    assert_int_equal(m.mine[0].prompt_ns, 0);
    assert_int_equal(m.mine[3].prompt_ns, 11000000);
    m.before[0].decode_ns = 0; /* not measured before: nothing to be slower than */
    for (int i = 0; i < 4 * COVEY__TRIAL_WINDOW; i++)
        assert_int_not_equal(answer(&m, 1000, 9000000, 1), COVEY__PACE_DOUBT);
}

static void test_what_is_too_short_is_not_measured(void **unused) {
    (void)unused;
    measured m;
    begin(&m);
    const covey__timing odd[] = {
        {15, 7, 100000000, 100000000, 1}, /* too few tokens: all would be overhead */
        {100, 50, 0, 0, 1},               /* no time */
        {100, 50, -5, -5, 1},
        {100, 50, INT64_MAX, INT64_MAX, 1},
        {0, 0, 100000000, 100000000, 1},
    };
    for (int i = 0; i < 1000; i++) {
        covey__pace pace =
            covey__gauge_take(&m.gauge, &odd[i % 5], m.before, 200, m.mine, &m.changed, m.message);
        assert_int_equal(pace, COVEY__PACE_UNKNOWN);
    }
}

/* What is learnt moves by a quarter of a window at a time. */
static void test_learning(void **unused) {
    (void)unused;
    measured m;
    begin(&m);
    window(&m, 1000, 20000);
    assert_int_equal(m.mine[0].prompt_ns, 1000000);
    window(&m, 2000, 20000);
    assert_int_equal(m.mine[0].prompt_ns, 1250000);
    covey__timing timing = {100, 50, 1, 1, 1};
    for (int i = 0; i < COVEY__TRIAL_WINDOW; i++)
        assert_int_not_equal(
            covey__gauge_take(&m.gauge, &timing, NULL, 200, m.mine, &m.changed, m.message),
            COVEY__PACE_SLOW);
    begin(&m); /* a policy that judges nothing */
    timing = (covey__timing){100, 50, INT64_C(1000000000), INT64_C(1000000000), 1};
    for (int i = 0; i < 3 * COVEY__TRIAL_WINDOW; i++)
        assert_int_not_equal(
            covey__gauge_take(&m.gauge, &timing, m.before, 0, m.mine, &m.changed, m.message),
            COVEY__PACE_DOUBT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_two_slow_windows_in_a_row),
        cmocka_unit_test(test_single_slow_answers_count_nothing),
        cmocka_unit_test(test_by_load),
        cmocka_unit_test(test_what_is_too_short_is_not_measured),
        cmocka_unit_test(test_learning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
