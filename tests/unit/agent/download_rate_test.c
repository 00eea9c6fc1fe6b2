/* The ceiling and the time left, on a clock of the test's own. */
#include "support/support.h"

#include "agent/download_rate.h"

#include <stdlib.h>

#define SECOND INT64_C(1000000)

/* A line that could bring `line` bytes a second in pieces: what comes through in `seconds`. */
static uint64_t through(covey__rate *rate, int64_t line, int64_t piece, int seconds, int64_t from) {
    uint64_t bytes = 0;
    int64_t now = from, end = from + seconds * SECOND;
    while (now < end) {
        int64_t wait = covey__rate_wait_us(rate, now);
        if (wait) {
            now += wait < 50000 ? wait : 50000;
            continue;
        }
        covey__rate_spend(rate, (uint64_t)piece, now);
        bytes += (uint64_t)piece;
        now += piece * SECOND / line + 1;
    }
    return bytes;
}

static void test_the_ceiling_holds(void **unused) {
    (void)unused;
    static const int64_t ceilings[] = {10000, 50000, 1000000, 20000000, 1000000000};
    for (size_t i = 0; i < sizeof ceilings / sizeof *ceilings; i++) {
        for (int64_t piece = 1000; piece <= 65536; piece *= 4) {
            covey__rate rate = {0};
            covey__rate_set(&rate, ceilings[i]);
            int seconds = 20;
            double got = (double)through(&rate, INT64_C(4000000000), piece, seconds, 77);
            double asked = (double)ceilings[i] * seconds;
            if (got > asked * 1.05 + 65536 || got < asked * 0.95 - 65536)
                fail_msg("ceiling %lld, pieces of %lld: %.0f", (long long)ceilings[i],
                         (long long)piece, got);
        }
    }
}

static void test_a_slow_line_is_not_held(void **unused) {
    (void)unused;
    covey__rate rate = {0};
    covey__rate_set(&rate, 1000000);
    uint64_t got = through(&rate, 300000, 4096, 10, 5);
    assert_true(got > 2950000 && got < 3050000);
}

/* After a rest there is no store of tokens to burst from. */
static void test_a_rest_saves_nothing(void **unused) {
    (void)unused;
    covey__rate rate = {0};
    covey__rate_set(&rate, 100000);
    (void)through(&rate, 1000000000, 4096, 2, SECOND);
    uint64_t got = through(&rate, 1000000000, 4096, 4, 3600 * SECOND);
    assert_true(got < 400000 * 1.05 + 16384 + 4096);
}

/* Looks that are nearer to each other than a byte takes lose none. */
static void test_small_looks_add_up(void **unused) {
    (void)unused;
    covey__rate rate = {0};
    covey__rate_set(&rate, 1000);
    covey__rate_spend(&rate, 1000, 1);
    int64_t now = 1;
    while (covey__rate_wait_us(&rate, now)) now += 7;
    assert_true(now > 990000 && now < 1010000);
}

static void test_no_ceiling_and_wrong_ones(void **unused) {
    (void)unused;
    covey__rate rate = {0};
    covey__rate_spend(&rate, UINT64_MAX, 5);
    assert_int_equal(covey__rate_wait_us(&rate, 6), 0);
    covey__rate_set(&rate, -5);
    assert_int_equal(rate.bytes_per_second_max, 0);
    covey__rate_set(&rate, INT64_MAX);
    assert_int_equal(rate.bytes_per_second_max, COVEY__RATE_MAX);
    covey__rate_set(&rate, 1);
    covey__rate_spend(&rate, UINT64_MAX, 1);
    assert_true(covey__rate_wait_us(&rate, 2) > 0);
    covey__rate_spend(&rate, UINT64_MAX, 3);
    assert_true(covey__rate_wait_us(&rate, 1) > 0); /* a clock that went back */
}

/* ---- Time left --------------------------------------------------------------------------------
 */

static void test_unknown_at_first_then_right(void **unused) {
    (void)unused;
    covey__progress progress;
    int64_t speed, left;
    covey__progress_init(&progress);
    covey__progress_update(&progress, 0, 100000000, 0, SECOND, &speed, &left);
    assert_int_equal(left, -1);
    covey__progress_update(&progress, 500000, 100000000, 0, SECOND * 3 / 2, &speed, &left);
    assert_int_equal(speed, 0);
    assert_int_equal(left, -1);
    for (int i = 3; i <= 40; i++) /* a million a second */
        covey__progress_update(&progress, (uint64_t)i * 500000, 100000000, 0,
                               SECOND + i * SECOND / 2, &speed, &left);
    assert_in_range(speed, 990000, 1010000);
    assert_in_range(left, 79000, 81000);
}

/* A speed that changes all the time: the time left is never below zero, and between two looks it
 * moves by what passed and some more, but never wildly. */
static void test_it_never_jumps(void **unused) {
    (void)unused;
    uint64_t seed = 4;
    for (int round = 0; round < 50; round++) {
        covey__progress progress;
        int64_t speed, left, before = -1, now = SECOND;
        uint64_t done = 0, total = 50000000;
        covey__progress_init(&progress);
        while (done < total) {
            done += test_random(&seed) % 200000;
            if (test_random(&seed) % 50 == 0 && done > 100000) done -= 100000; /* thrown away */
            if (done > total) done = total;
            now += 100000;
            covey__progress_update(&progress, done, total, 0, now, &speed, &left);
            assert_true(left >= -1 && speed >= 0);
            if (before > 0 && left > 0) assert_true(llabs(left - before) <= before / 4 + 5000);
            before = left;
        }
        assert_true(left <= 0);
    }
}

/* A burst before the ceiling was set does not promise more than the ceiling allows. */
static void test_the_ceiling_corrects_it(void **unused) {
    (void)unused;
    covey__progress progress;
    int64_t speed, left;
    covey__progress_init(&progress);
    for (int i = 0; i <= 10; i++)
        covey__progress_update(&progress, (uint64_t)i * 1000000, 20000000, 100000,
                               SECOND + i * SECOND / 2, &speed, &left);
    assert_int_equal(speed, 100000);
    assert_true(left > 90000);
}

/* Nothing comes any more: it says so, and not a number. */
static void test_a_standstill_is_unknown(void **unused) {
    (void)unused;
    covey__progress progress;
    int64_t speed, left = 0, now = SECOND;
    covey__progress_init(&progress);
    for (int i = 0; i < 20; i++, now += SECOND / 2)
        covey__progress_update(&progress, (uint64_t)i * 1000000, 50000000, 0, now, &speed, &left);
    assert_true(left > 0);
    for (int i = 0; i < 60; i++, now += SECOND / 2)
        covey__progress_update(&progress, 19000000, 50000000, 0, now, &speed, &left);
    assert_int_equal(left, -1);
    assert_int_equal(speed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ceiling_holds),
        cmocka_unit_test(test_a_slow_line_is_not_held),
        cmocka_unit_test(test_a_rest_saves_nothing),
        cmocka_unit_test(test_small_looks_add_up),
        cmocka_unit_test(test_no_ceiling_and_wrong_ones),
        cmocka_unit_test(test_unknown_at_first_then_right),
        cmocka_unit_test(test_it_never_jumps),
        cmocka_unit_test(test_the_ceiling_corrects_it),
        cmocka_unit_test(test_a_standstill_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
