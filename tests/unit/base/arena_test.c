/* The arena: alignment, zeroes, the cap and refused memory. */
#include "support/support.h"

#include "base/arena.h"

#include <string.h>

static void pieces_are_aligned_zeroed_and_apart(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey__arena arena;
    covey__arena_init(&arena, &test.env, 1 << 20);
    unsigned char *before = NULL;
    size_t size_before = 0;
    for (size_t i = 0; i < 600; i++) {
        size_t size = i * 7 % 300;
        unsigned char *piece = covey__arena_alloc(&arena, size);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % 16, 0);
        for (size_t j = 0; j < size; j++) assert_int_equal(piece[j], 0);
        memset(piece, 0xff, size);
        if (before != NULL && piece > before) assert_true(piece >= before + size_before);
        before = piece;
        size_before = size;
    }
    assert_true(test.allocations < 30);
    covey__arena_free(&arena);
    assert_int_equal(test.alive, 0);
}

static void the_cap_holds(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey__arena arena;
    covey__arena_init(&arena, &test.env, 4096);
    size_t taken = 0;
    while (covey__arena_alloc(&arena, 100) != NULL) taken += 100;
    assert_true(taken > 2500 && taken <= 4096);
    assert_true(arena.bytes <= 4096);
    covey_error error;
    assert_int_equal(covey__arena_fail(&arena, 5000, &error, "thing"), COVEY_ERROR_LIMIT);
    assert_int_equal(error.expected, 4096);
    assert_null(covey__arena_alloc(&arena, SIZE_MAX));
    assert_null(covey__arena_calloc(&arena, SIZE_MAX / 2, 3));
    covey__arena_free(&arena);

    covey__arena_init(&arena, &test.env, 10);
    assert_null(covey__arena_alloc(&arena, 1));
    covey__arena_free(&arena);
    assert_int_equal(test.alive, 0);
}

static void a_large_piece_leaves_the_block_in_use(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey__arena arena;
    covey__arena_init(&arena, &test.env, 1 << 24);
    char *first = covey__arena_strndup(&arena, "abcdef", 3);
    assert_string_equal(first, "abc");
    assert_non_null(covey__arena_alloc(&arena, 1 << 20));
    char *second = covey__arena_strndup(&arena, "", 0);
    assert_true(second > first && second < first + 1024);
    covey__arena_free(&arena);
    assert_int_equal(test.alive, 0);
}

static void refused_memory_is_null(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    test.fail_at = 2;
    covey__arena arena;
    covey__arena_init(&arena, &test.env, 1 << 24);
    assert_non_null(covey__arena_alloc(&arena, 10));
    assert_null(covey__arena_alloc(&arena, 1 << 16));
    covey_error error;
    assert_int_equal(covey__arena_fail(&arena, 1 << 16, &error, "thing"), COVEY_ERROR_NO_MEMORY);
    assert_non_null(covey__arena_alloc(&arena, 1 << 16));
    covey__arena_free(&arena);
    assert_int_equal(test.alive, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_zeroed_and_apart),
        cmocka_unit_test(the_cap_holds),
        cmocka_unit_test(a_large_piece_leaves_the_block_in_use),
        cmocka_unit_test(refused_memory_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
