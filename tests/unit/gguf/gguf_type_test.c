/* The tensor types' layouts, against what a block is made of in the format's reference. */
#include "gguf/gguf.h"
#include "support/support.h"

static void layouts(void **state) {
    (void)state;
    static const struct {
        covey__type type;
        const char *name;
        uint32_t values, bytes;
    } cases[] = {
        {COVEY__TYPE_F32, "F32", 1, 4},
        {COVEY__TYPE_F16, "F16", 1, 2},
        {COVEY__TYPE_BF16, "BF16", 1, 2},
        {COVEY__TYPE_Q4_0, "Q4_0", 32, 2 + 16},
        {COVEY__TYPE_Q4_1, "Q4_1", 32, 2 + 2 + 16},
        {COVEY__TYPE_Q5_0, "Q5_0", 32, 2 + 4 + 16},
        {COVEY__TYPE_Q5_1, "Q5_1", 32, 2 + 2 + 4 + 16},
        {COVEY__TYPE_Q8_0, "Q8_0", 32, 2 + 32},
        {COVEY__TYPE_Q2_K, "Q2_K", 256, 16 + 64 + 2 + 2},
        {COVEY__TYPE_Q3_K, "Q3_K", 256, 32 + 64 + 12 + 2},
        {COVEY__TYPE_Q4_K, "Q4_K", 256, 2 + 2 + 12 + 128},
        {COVEY__TYPE_Q5_K, "Q5_K", 256, 2 + 2 + 12 + 32 + 128},
        {COVEY__TYPE_Q6_K, "Q6_K", 256, 128 + 64 + 16 + 2},
        {COVEY__TYPE_IQ4_NL, "IQ4_NL", 32, 2 + 16},
        {COVEY__TYPE_IQ4_XS, "IQ4_XS", 256, 2 + 2 + 4 + 128},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const covey__type_info *info = covey__type_get((uint32_t)cases[i].type);
        assert_non_null(info);
        assert_string_equal(info->name, cases[i].name);
        assert_int_equal(info->block_values, cases[i].values);
        assert_int_equal(info->block_bytes, cases[i].bytes);
    }
    static const uint32_t unknown[] = {4, 5, 9, 16, 24, 28, 31, 32, 33, 100, UINT32_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_null(covey__type_get(unknown[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(layouts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
