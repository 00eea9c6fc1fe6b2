/* What the core's tests use of cmocka's interface, for targets that no package brings cmocka to:
 * cross builds run the same tests under an emulator. A failed check ends its test (by longjmp;
 * where the target has none, the program). Everything is static: each test program is one file.
 * Written after the API reference at https://api.cmocka.org. */
#ifndef COVEY_TESTS_SMALL_CMOCKA_H
#define COVEY_TESTS_SMALL_CMOCKA_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*small_fixture)(void **state);

struct CMUnitTest {
    const char *name;
    void (*test)(void **state);
    small_fixture setup, teardown;
};

#define cmocka_unit_test_setup_teardown(f, setup, teardown)                                        \
    { #f, f, setup, teardown }
#define cmocka_unit_test_setup(f, setup)       cmocka_unit_test_setup_teardown(f, setup, NULL)
#define cmocka_unit_test_teardown(f, teardown) cmocka_unit_test_setup_teardown(f, NULL, teardown)
#define cmocka_unit_test(f)                    cmocka_unit_test_setup_teardown(f, NULL, NULL)
#define print_error                            printf
#define print_message                          printf

enum { SMALL_FAILED = 1, SMALL_SKIPPED = 2 };

#if defined(__wasi__)
static int small_outcome;
__attribute__((noreturn, unused)) static void small_leave(int outcome) {
    small_outcome = outcome;
    if (outcome == SMALL_SKIPPED) {
        printf("[  SKIPPED ] and with it what follows in this program\n");
        exit(0);
    }
    exit(1);
}
#define SMALL_RUN(f) ((f)(&state), 0)
#else
#include <setjmp.h>
/* Weak, so that several files of one program share it. */
__attribute__((weak)) jmp_buf small_way_out;
__attribute__((noreturn, unused)) static void small_leave(int outcome) {
    longjmp(small_way_out, outcome);
}
__attribute__((unused)) static int small_guarded(void (*test)(void **state), void **state) {
    int outcome = setjmp(small_way_out);
    if (outcome == 0) test(state);
    return outcome;
}
#define SMALL_RUN(f) small_guarded(f, &state)
#endif

#define skip()   small_leave(SMALL_SKIPPED)
#define SMALL_AT "%s:%d: "
#define fail_msg(...)                                                                              \
    (printf(SMALL_AT, __FILE__, __LINE__), printf(__VA_ARGS__), printf("\n"),                      \
     small_leave(SMALL_FAILED))
#define fail() fail_msg("failed")

#define assert_true(c)                                                                             \
    do {                                                                                           \
        if (!(c)) fail_msg("not true: %s", #c);                                                    \
    } while (0)
#define assert_false(c)                                                                            \
    do {                                                                                           \
        if (c) fail_msg("not false: %s", #c);                                                      \
    } while (0)
#define assert_null(p)     assert_true((p) == NULL)
#define assert_non_null(p) assert_true((p) != NULL)

#define SMALL_NUMBER(x) ((uintmax_t)(x))
#define SMALL_COMPARE(a, op, b)                                                                    \
    do {                                                                                           \
        uintmax_t small_a = SMALL_NUMBER(a), small_b = SMALL_NUMBER(b);                            \
        if (!(small_a op small_b))                                                                 \
            fail_msg("%s %s %s: %" PRIdMAX " and %" PRIdMAX, #a, #op, #b, (intmax_t)small_a,       \
                     (intmax_t)small_b);                                                           \
    } while (0)
#define assert_int_equal(a, b)     SMALL_COMPARE(a, ==, b)
#define assert_int_not_equal(a, b) SMALL_COMPARE(a, !=, b)
#define assert_ptr_equal(a, b)     SMALL_COMPARE((uintptr_t)(a), ==, (uintptr_t)(b))
#define assert_ptr_not_equal(a, b) SMALL_COMPARE((uintptr_t)(a), !=, (uintptr_t)(b))
#define assert_return_code(x, e)   assert_true((x) >= 0)
#define assert_not_in_range(x, low, high)                                                          \
    assert_true(SMALL_NUMBER(x) < SMALL_NUMBER(low) || SMALL_NUMBER(x) > SMALL_NUMBER(high))
#define assert_float_equal(a, b, error)  assert_true((a) - (b) <= (error) && (b) - (a) <= (error))
#define assert_double_equal(a, b, error) assert_float_equal(a, b, error)
#define assert_in_range(x, low, high)                                                              \
    do {                                                                                           \
        SMALL_COMPARE(x, >=, low);                                                                 \
        SMALL_COMPARE(x, <=, high);                                                                \
    } while (0)

#define assert_string_equal(a, b)                                                                  \
    do {                                                                                           \
        const char *small_s = (a), *small_t = (b);                                                 \
        if (strcmp(small_s, small_t) != 0) fail_msg("\"%s\" is not \"%s\"", small_s, small_t);     \
    } while (0)
#define assert_string_not_equal(a, b)                                                              \
    do {                                                                                           \
        const char *small_s = (a);                                                                 \
        if (strcmp(small_s, (b)) == 0) fail_msg("\"%s\" on both sides", small_s);                  \
    } while (0)
#define assert_memory_equal(a, b, n)                                                               \
    do {                                                                                           \
        if (memcmp((a), (b), (n)) != 0) fail_msg("bytes differ: %s and %s", #a, #b);               \
    } while (0)
#define assert_memory_not_equal(a, b, n)                                                           \
    do {                                                                                           \
        if (memcmp((a), (b), (n)) == 0) fail_msg("bytes are equal: %s and %s", #a, #b);            \
    } while (0)

__attribute__((unused)) static int small_run(const struct CMUnitTest *tests, size_t count,
                                             small_fixture setup, small_fixture teardown) {
    int failed = 0, skipped = 0, passed = 0;
    void *group = NULL;
    setvbuf(stdout, NULL, _IONBF, 0);
    if (setup != NULL && setup(&group) != 0) {
        printf("[  FAILED  ] setup: 1 test(s), listed below:\n");
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        void *state = group;
        printf("[ RUN      ] %s\n", tests[i].name);
        int outcome = tests[i].setup != NULL && tests[i].setup(&state) != 0 ? SMALL_FAILED : 0;
        if (outcome == 0) outcome = SMALL_RUN(tests[i].test);
        if (tests[i].teardown != NULL && tests[i].teardown(&state) != 0) outcome = SMALL_FAILED;
        printf(outcome == 0               ? "[       OK ] %s\n"
               : outcome == SMALL_SKIPPED ? "[  SKIPPED ] %s\n"
                                          : "[  FAILED  ] %s\n",
               tests[i].name);
        passed += outcome == 0;
        skipped += outcome == SMALL_SKIPPED;
        failed += outcome == SMALL_FAILED;
    }
    printf("[  PASSED  ] %d test(s).\n", passed);
    if (skipped > 0) printf("[  SKIPPED ] %d test(s), listed below:\n", skipped);
    if (failed > 0) printf("[  FAILED  ] cases: %d test(s), listed below:\n", failed);
    return teardown != NULL && teardown(&group) != 0 ? failed + 1 : failed;
}
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    small_run(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown)                                  \
    small_run(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

#endif
