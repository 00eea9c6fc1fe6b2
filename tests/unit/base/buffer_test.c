/* The growing buffer: content, cap, sticky failure, taking. */
#include "support/support.h"

#include "base/buffer.h"

#include <string.h>

static void appends_and_stays_terminated(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey__buffer buffer;
    covey__buffer_init(&buffer, &test.env, 100000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(covey__buffer_format(&buffer, "%03d,", i), COVEY_OK);
        assert_int_equal(buffer.data[buffer.size], 0);
    }
    assert_int_equal(buffer.size, 4000);
    assert_memory_equal(buffer.data + 4 * 567, "567,", 4);
    assert_true(test.allocations < 12);
    covey__buffer_clear(&buffer);
    assert_int_equal(covey__buffer_text(&buffer, "ab"), COVEY_OK);
    assert_int_equal(covey__buffer_byte(&buffer, 'c'), COVEY_OK);
    char *room = covey__buffer_reserve(&buffer, 2);
    memcpy(room, "de", 2);
    buffer.size += 2;
    size_t size;
    char *taken = covey__buffer_take(&buffer, &size);
    assert_string_equal(taken, "abcde");
    assert_int_equal(size, 5);
    assert_null(buffer.data);
    assert_int_equal(buffer.size, 0);
    covey__free(&test.env, taken);
    covey__buffer_free(&buffer);
    covey__buffer_free(&buffer);
    assert_int_equal(test.alive, 0);
}

static void the_cap_is_exact_and_sticky(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey__buffer buffer;
    covey__buffer_init(&buffer, &test.env, 100);
    char block[100];
    memset(block, 'x', sizeof block);
    assert_int_equal(covey__buffer_append(&buffer, block, 99), COVEY_OK);
    assert_int_equal(covey__buffer_append(&buffer, block, 1), COVEY_OK);
    assert_int_equal(covey__buffer_append(&buffer, block, 1), COVEY_ERROR_LIMIT);
    assert_int_equal(buffer.size, 100);
    assert_int_equal(covey__buffer_append(&buffer, block, 0), COVEY_ERROR_LIMIT);
    assert_null(covey__buffer_reserve(&buffer, 0));
    assert_null(covey__buffer_take(&buffer, NULL));
    covey_error error;
    assert_int_equal(covey__buffer_check(&buffer, &error, "page"), COVEY_ERROR_LIMIT);
    assert_string_equal(error.message, "page: would be larger than the limit of 100 bytes");
    covey__buffer_clear(&buffer);
    assert_int_equal(covey__buffer_check(&buffer, &error, "page"), COVEY_OK);
    assert_null(covey__buffer_reserve(&buffer, SIZE_MAX));
    covey__buffer_free(&buffer);
    assert_int_equal(test.alive, 0);
}

static covey_status fill(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    covey__buffer buffer;
    covey__buffer_init(&buffer, env, 10000);
    for (int i = 0; i < 500; i++) covey__buffer_text(&buffer, "text ");
    covey_status status = covey__buffer_check(&buffer, error, "fill");
    if (status == COVEY_OK) assert_int_equal(buffer.size, 2500);
    covey__buffer_free(&buffer);
    return status;
}

static void refused_memory_is_told(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(fill, NULL) >= 3);
}

static void an_empty_one_can_be_taken(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey__buffer buffer;
    covey__buffer_init(&buffer, &test.env, 0);
    size_t size = 9;
    char *taken = covey__buffer_take(&buffer, &size);
    assert_string_equal(taken, "");
    assert_int_equal(size, 0);
    covey__free(&test.env, taken);
    assert_int_equal(covey__buffer_byte(&buffer, 'x'), COVEY_ERROR_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_stays_terminated),
        cmocka_unit_test(the_cap_is_exact_and_sticky),
        cmocka_unit_test(refused_memory_is_told),
        cmocka_unit_test(an_empty_one_can_be_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
