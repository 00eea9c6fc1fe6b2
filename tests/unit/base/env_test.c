/* The environment: memory through any allocator, log, clock, randomness. */
#include "support/support.h"

#include "base/env.h"

#include <string.h>

static void memory_goes_through_the_allocator(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    char *block = covey__alloc(&test.env, 0);
    assert_non_null(block);
    block = covey__resize(&test.env, block, 100);
    assert_non_null(block);
    covey__free(&test.env, block);
    covey__free(&test.env, NULL);
    unsigned char *zeroed = covey__calloc(&test.env, 10, 10);
    for (int i = 0; i < 100; i++) assert_int_equal(zeroed[i], 0);
    covey__free(&test.env, zeroed);
    int64_t before = test.allocations;
    assert_null(covey__calloc(&test.env, SIZE_MAX / 2, 3));
    assert_int_equal(test.allocations, before);
    assert_int_equal(test.alive, 0);
}

static void aligned_memory_is_aligned_and_zeroed(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey__env system;
    covey__env_init(&system);
    const covey__env *envs[] = {&test.env, &system};
    for (int e = 0; e < 2; e++) {
        for (size_t size = 0; size < 300; size += 37) {
            unsigned char *block = covey__alloc_aligned(envs[e], size);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % 64, 0);
            for (size_t i = 0; i < size; i++) assert_int_equal(block[i], 0);
            memset(block, 1, size);
            covey__free_aligned(envs[e], block);
        }
        covey__free_aligned(envs[e], NULL);
        assert_null(covey__alloc_aligned(envs[e], SIZE_MAX - 10));
    }
    assert_int_equal(test.alive, 0);
}

static void strings_are_copied(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    char *copy = covey__strdup(&test.env, "hello"), *part = covey__strndup(&test.env, "hello", 2);
    char *made = covey__format(&test.env, "%s-%d", "v", 12);
    assert_string_equal(copy, "hello");
    assert_string_equal(part, "he");
    assert_string_equal(made, "v-12");
    covey__free(&test.env, copy);
    covey__free(&test.env, part);
    covey__free(&test.env, made);
    test.fail_at = test.allocations + 1;
    assert_null(covey__format(&test.env, "x"));
    assert_int_equal(test.alive, 0);
}

typedef struct lines {
    int count;
    covey_log_level level;
    char component[32], message[2048];
} lines;

static void record(void *user, covey_log_level level, const char *component, const char *message) {
    lines *seen = user;
    seen->count++;
    seen->level = level;
    strcpy(seen->component, component);
    strcpy(seen->message, message);
}

static void the_log_is_one_line_at_the_asked_level(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey__log(&test.env, COVEY_LOG_ERROR, "base", "nobody listens");
    lines seen = {0, COVEY_LOG_ERROR, "", ""};
    test.env.log = record;
    test.env.log_user = &seen;
    test.env.log_level = COVEY_LOG_WARN;
    covey__log(&test.env, COVEY_LOG_INFO, "base", "too quiet");
    assert_int_equal(seen.count, 0);
    covey__log(&test.env, COVEY_LOG_WARN, "agent", "two\nlines %d", 7);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.level, COVEY_LOG_WARN);
    assert_string_equal(seen.component, "agent");
    assert_string_equal(seen.message, "two?lines 7");
    char text[3000];
    memset(text, 'y', sizeof text);
    text[sizeof text - 1] = '\0';
    covey__log(&test.env, COVEY_LOG_ERROR, "agent", "%s", text);
    assert_true(strlen(seen.message) >= 1000 && strlen(seen.message) < 1024);
}

static int64_t fixed_clock(void *user) {
    return *(const int64_t *)user;
}

static void the_clock_is_the_environments(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    assert_true(covey__now_ms(&env) > 1700000000000);
    int64_t time = 42;
    env.clock = fixed_clock;
    env.clock_user = &time;
    assert_int_equal(covey__now_ms(&env), 42);
    int64_t first = covey__monotonic_us(), second = covey__monotonic_us();
    assert_true(second >= first);
}

static covey_status no_random(void *user, void *out, size_t size) {
    (void)user;
    (void)out;
    (void)size;
    return COVEY_ERROR_IO;
}

static void random_bytes_differ(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    unsigned char a[600] = {0}, b[600] = {0};
    covey_error error;
    assert_int_equal(covey__random(&test.env, a, sizeof a, &error), COVEY_OK);
    assert_int_equal(covey__random(&test.env, b, sizeof b, &error), COVEY_OK);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a + 568, b + 568, 32);
    assert_memory_not_equal(a, a + 256, 32);
    covey_crypto crypto;
    memset(&crypto, 0, sizeof crypto);
    crypto.size = sizeof crypto;
    crypto.random = no_random;
    test.env.crypto = &crypto;
    assert_int_equal(covey__random(&test.env, a, sizeof a, &error), COVEY_ERROR_IO);
    test.point = "random";
    test.point_calls = 0;
    test.point_fails = 1;
    assert_int_equal(covey__random(&test.env, a, sizeof a, &error), COVEY_ERROR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_goes_through_the_allocator),
        cmocka_unit_test(aligned_memory_is_aligned_and_zeroed),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(the_log_is_one_line_at_the_asked_level),
        cmocka_unit_test(the_clock_is_the_environments),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
