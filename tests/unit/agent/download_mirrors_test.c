/* The choice among mirrors, as a table. */
#include "support/support.h"

#include "agent/download_mirrors.h"

#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000)

static covey__mirrors three(void) {
    covey__mirrors mirrors = {.count = 0};
    covey__mirrors_add(&mirrors, "http://users.test/b/", COVEY__MIRROR_USERS);
    covey__mirrors_add(&mirrors, "http://named.test/b", COVEY__MIRROR_NAMED);
    covey__mirrors_add(&mirrors, "http://origin.test/b", COVEY__MIRROR_ORIGIN);
    return mirrors;
}

static void test_addresses(void **unused) {
    (void)unused;
    covey__mirrors mirrors = three();
    assert_string_equal(mirrors.list[0].url, "http://users.test/b");
    covey__mirrors_add(&mirrors, "http://users.test/b", COVEY__MIRROR_NAMED);
    covey__mirrors_add(&mirrors, "http://origin.test/b//", COVEY__MIRROR_NAMED);
    covey__mirrors_add(&mirrors, "", COVEY__MIRROR_NAMED);
    assert_int_equal(mirrors.count, 3);
    for (int i = 0; i < 30; i++) {
        char url[40];
        snprintf(url, sizeof url, "http://m%d.test", i);
        covey__mirrors_add(&mirrors, url, COVEY__MIRROR_NAMED);
    }
    assert_int_equal(mirrors.count, COVEY__MIRRORS_MAX);
}

static void test_tiers_then_load(void **unused) {
    (void)unused;
    covey__mirrors mirrors = three();
    assert_int_equal(covey__mirrors_choose(&mirrors, 0, 0), 0);
    mirrors.list[0].in_flight = 9;
    assert_int_equal(covey__mirrors_choose(&mirrors, 0, 0), 0);
    assert_int_equal(covey__mirrors_choose(&mirrors, 1, 0), 1);
    assert_int_equal(covey__mirrors_choose(&mirrors, 3, 0), 2);
    assert_int_equal(covey__mirrors_choose(&mirrors, 7, 0), -1);
    covey__mirrors_add(&mirrors, "http://other.test", COVEY__MIRROR_NAMED);
    mirrors.list[1].in_flight = 1;
    assert_int_equal(covey__mirrors_choose(&mirrors, 1, 0), 3);
}

/* A failure pauses below a bound that doubles, at least as long as the server said, and at most a
 * quarter of an hour. */
static void test_pauses(void **unused) {
    (void)unused;
    covey__mirrors mirrors = three();
    int64_t bound = 500;
    for (int i = 1; i <= 20; i++) {
        covey__mirrors_note(&mirrors, 0, COVEY__MIRROR_FAILED, 0, SECOND, UINT64_MAX - 15);
        assert_true(mirrors.list[0].not_before_us <= SECOND + bound * 1000);
        assert_true(mirrors.list[0].not_before_us > SECOND);
        if (bound < 900000) bound = bound * 2 < 900000 ? bound * 2 : 900000;
    }
    assert_int_equal(covey__mirrors_choose(&mirrors, 0, SECOND), 1);
    covey__mirrors_note(&mirrors, 1, COVEY__MIRROR_FAILED, 7000, SECOND, 0);
    assert_int_equal(mirrors.list[1].not_before_us, 8 * SECOND);
    covey__mirrors_note(&mirrors, 2, COVEY__MIRROR_FAILED, UINT32_MAX, SECOND, 0);
    assert_int_equal(mirrors.list[2].not_before_us, 901 * SECOND);
    mirrors.list[0].not_before_us = 900 * SECOND;
    assert_int_equal(covey__mirrors_choose(&mirrors, 0, SECOND), -1);
    assert_int_equal(covey__mirrors_wait_ms(&mirrors, SECOND), 7000);
    assert_int_equal(covey__mirrors_wait_ms(&mirrors, 8 * SECOND), 0);
    assert_int_equal(covey__mirrors_choose(&mirrors, 0, 8 * SECOND), 1);
    covey__mirrors_note(&mirrors, 1, COVEY__MIRROR_GOOD, 0, 8 * SECOND, 0);
    assert_int_equal(mirrors.list[1].failures, 0);
    covey__mirrors_forgive(&mirrors);
    assert_int_equal(covey__mirrors_choose(&mirrors, 0, SECOND), 0);
}

/* Full jitter: a thousand devices do not come back at once. */
static void test_jitter(void **unused) {
    (void)unused;
    int early = 0, late = 0;
    uint64_t seed = 5;
    for (int i = 0; i < 1000; i++) {
        covey__mirrors mirrors = three();
        for (int k = 0; k < 6; k++)
            covey__mirrors_note(&mirrors, 0, COVEY__MIRROR_FAILED, 0, 0, test_random(&seed));
        early += mirrors.list[0].not_before_us < 4 * SECOND;
        late += mirrors.list[0].not_before_us > 12 * SECOND;
    }
    assert_in_range(early, 180, 320); /* of 16 s */
    assert_in_range(late, 180, 320);
}

static void test_what_lacks_blobs_and_what_lies(void **unused) {
    (void)unused;
    covey__mirrors mirrors = three();
    for (int i = 0; i < 2; i++)
        covey__mirrors_note(&mirrors, 0, COVEY__MIRROR_MISSING, 0, SECOND, 100);
    assert_int_equal(covey__mirrors_choose(&mirrors, 0, SECOND), 0);
    covey__mirrors_note(&mirrors, 0, COVEY__MIRROR_MISSING, 0, SECOND, 100);
    assert_int_equal(covey__mirrors_choose(&mirrors, 0, SECOND), 1);
    covey__mirrors_note(&mirrors, 1, COVEY__MIRROR_BAD, 0, SECOND, 100);
    assert_int_equal(covey__mirrors_choose(&mirrors, 0, SECOND), 2);
    assert_int_equal(covey__mirrors_choose(&mirrors, 4, SECOND), 1); /* before none at all */
    /* The only one there is is asked again and again, if the agent wants it. */
    covey__mirrors one = {.count = 0};
    covey__mirrors_add(&one, "http://a.test", COVEY__MIRROR_ORIGIN);
    for (int i = 0; i < 9; i++) covey__mirrors_note(&one, 0, COVEY__MIRROR_MISSING, 0, SECOND, 100);
    assert_int_equal(covey__mirrors_choose(&one, 0, SECOND), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_tiers_then_load),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_what_lacks_blobs_and_what_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
