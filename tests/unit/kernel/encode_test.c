/* Encoding and decoding of rows: known blocks by hand, error bounds, and inputs at the edges. */
#include <math.h>

#include "kernel_cases.h"

static void types_are_named_or_refused(void **state) {
    (void)state;
    for (uint32_t type = 0; type < 64; type++) {
        bool known = false;
        for (size_t i = 0; i < CASE_TYPES; i++) known = known || case_types[i] == type;
        assert_int_equal(covey__kernel_supports(type), known);
        assert_int_equal(covey__kernel_row_bytes(type, 256) != 0, known);
    }
    assert_int_equal(covey__kernel_row_bytes(COVEY__KT_Q8_0, 2048), 2176);
    assert_int_equal(covey__kernel_row_bytes(COVEY__KT_Q4_0, 2048), 1152);
    assert_int_equal(covey__kernel_row_bytes(COVEY__KT_Q6_K, 2048), 1680);
    assert_int_equal(covey__kernel_row_bytes(COVEY__KT_F32, 3), 12);
    assert_int_equal(covey__kernel_row_bytes(COVEY__KT_Q4_K, 2048), 1152);
    assert_int_equal(covey__kernel_row_bytes(COVEY__KT_IQ4_NL, 64), 36);
}

/* Greatest 127 * 2: scale 2, ties away from zero. */
static void q8_0_by_hand(void **state) {
    (void)state;
    float x[32] = {254.0f, -254.0f, 1.0f, -1.0f, 3.0f, 2.9f, 0.9f, 0.0f};
    uint8_t out[34];
    covey__row_encode(COVEY__KT_Q8_0, x, 32, out);
    static const int8_t want[9] = {127, -127, 1, -1, 2, 1, 0, 0, 0};
    assert_int_equal(out[0] | out[1] << 8, 0x4000);
    assert_memory_equal(out + 2, want, 9);
}

/* The value farthest from zero becomes -8: its sign sets the scale's. */
static void q4_0_by_hand(void **state) {
    (void)state;
    float x[32] = {8.0f, 7.0f, -7.0f, 0.4f};
    x[16] = -8.0f;
    x[17] = 1.0f;
    uint8_t out[18];
    covey__row_encode(COVEY__KT_Q4_0, x, 32, out);
    assert_int_equal(out[0] | out[1] << 8, 0xbc00); /* -1 */
    assert_int_equal(out[2], 0xf0);                 /* -8 (0); -8 / -1 = 8, clipped to 15 */
    assert_int_equal(out[3], 0x71);
    assert_int_equal(out[4] & 15, 15);
    assert_int_equal(out[5], 0x88);
    float back[32];
    covey__row_decode(COVEY__KT_Q4_0, out, 32, back);
    assert_true(back[0] == 8.0f && back[1] == 7.0f && back[2] == -7.0f && back[16] == -7.0f);
}

static double error_of(uint32_t type, const float *x, int32_t n) {
    float back[1024];
    uint8_t data[4096];
    double error = 0.0, size = 0.0;
    covey__row_encode(type, x, n, data);
    covey__row_decode(type, data, n, back);
    for (int32_t i = 0; i < n; i++) {
        error += ((double)x[i] - (double)back[i]) * ((double)x[i] - (double)back[i]);
        size += (double)x[i] * (double)x[i];
    }
    return sqrt(error / size);
}

static void errors_are_small(void **state) {
    (void)state;
    uint64_t seed = 1u;
    float x[1024];
    for (int n = 0; n < 20; n++) {
        float size = ldexpf(1.0f, -n / 2);
        for (int i = 0; i < 1024; i++) x[i] = case_value(&seed) * size;
        assert_true(error_of(COVEY__KT_F32, x, 1024) == 0.0);
        assert_true(error_of(COVEY__KT_F16, x, 1024) < 4e-4);
        assert_true(error_of(COVEY__KT_BF16, x, 1024) < 3e-3);
        assert_true(error_of(COVEY__KT_Q8_0, x, 1024) < 0.012);
        assert_true(error_of(COVEY__KT_Q6_K, x, 1024) < 0.035);
        assert_true(error_of(COVEY__KT_Q4_0, x, 1024) < 0.2);
        assert_true(error_of(COVEY__KT_Q4_1, x, 1024) < 0.13);
        assert_true(error_of(COVEY__KT_Q5_0, x, 1024) < 0.08);
        assert_true(error_of(COVEY__KT_Q5_1, x, 1024) < 0.065);
        assert_true(error_of(COVEY__KT_IQ4_NL, x, 1024) < 0.12);
        assert_true(error_of(COVEY__KT_Q5_K, x, 1024) < 0.065);
        assert_true(error_of(COVEY__KT_Q4_K, x, 1024) < 0.13);
        assert_true(error_of(COVEY__KT_Q3_K, x, 1024) < 0.24);
        assert_true(error_of(COVEY__KT_Q2_K, x, 1024) < 0.38);
    }
}

/* What was decoded and is encoded again must not move far: a scale per group is found again. */
static void edges_do_no_harm(void **state) {
    (void)state;
    static const float edges[] = {0.0f, -0.0f, 1e-45f, 1e-38f, -1e-30f, 1e-20f, 1e-9f, 3e4f, 1e30f};
    float x[256], back[256];
    uint8_t data[1024];
    for (size_t e = 0; e < sizeof edges / sizeof edges[0]; e++) {
        for (int i = 0; i < 256; i++) x[i] = edges[e] * (float)(1 + i % 5);
        for (size_t t = 0; t < CASE_ENCODED; t++) {
            covey__row_encode(case_types[t], x, 256, data);
            covey__row_decode(case_types[t], data, 256, back);
            bool small = edges[e] < 100.0f;
            if (small) assert_true(covey__finite(back, 256));
            if (edges[e] == 0.0f)
                for (int i = 0; i < 256; i++) assert_true(back[i] == 0.0f);
        }
    }
    x[3] = NAN; /* undefined bytes, but no trap */
    for (size_t t = 0; t < CASE_ENCODED; t++) covey__row_encode(case_types[t], x, 256, data);
}

/* Bits are laid out over 128 or 256 values at a time: each value must come back in its own place.
 */
static void each_value_keeps_its_place(void **state) {
    (void)state;
    float x[256], back[256];
    uint8_t data[1024];
    for (size_t t = 0; t < CASE_ENCODED; t++)
        for (int i = 0; i < 256; i++) {
            memset(x, 0, sizeof x);
            x[i] = -32.0f;
            covey__row_encode(case_types[t], x, 256, data);
            covey__row_decode(case_types[t], data, 256, back);
            for (int j = 0; j < 256; j++) assert_true(fabsf(back[j] - x[j]) < 0.6f);
        }
}

static double weighted_error(uint32_t type, const float *x, const float *importance,
                             const float *seen) {
    float back[1024];
    uint8_t data[4096];
    double error = 0.0;
    covey__row_encode_by(type, x, seen, 1024, data);
    covey__row_decode(type, data, 1024, back);
    for (int i = 0; i < 1024; i++) {
        double off = (double)x[i] - (double)back[i];
        error += (double)importance[i] * off * off;
    }
    return error;
}

/* The weighted error is lower when the encoder knows the weights: for every type that searches. */
static void importance_moves_the_error(void **state) {
    (void)state;
    uint64_t seed = 7u;
    for (size_t t = 0; t < CASE_ENCODED; t++) {
        if (covey__kernel_block(case_types[t]) == 1 || case_types[t] == COVEY__KT_Q8_0) continue;
        double with = 0.0, without = 0.0;
        for (int row = 0; row < 8; row++) {
            float x[1024], importance[1024];
            for (int i = 0; i < 1024; i++) {
                x[i] = case_value(&seed);
                importance[i] = case_random(&seed) % 8 == 0 ? 25.0f : 0.04f;
            }
            with += weighted_error(case_types[t], x, importance, importance);
            without += weighted_error(case_types[t], x, importance, NULL);
        }
        assert_true(with < 0.97 * without);
    }
}

/* FNV-1a (Fowler, Noll, Vo). */
static uint64_t hash(const uint8_t *data, size_t size) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) h = (h ^ data[i]) * 0x100000001b3u;
    return h;
}

/* The bytes that ggml's own quantize_row_*_ref makes of the same rows, as a digest. */
static void bytes_are_those_of_ggml(void **state) {
    (void)state;
    static const uint32_t types[] = {COVEY__KT_Q8_0, COVEY__KT_Q4_0, COVEY__KT_Q6_K};
    static const uint64_t want[] = {0x4ebb037fd94d42ebu, 0xbc8d9655bfe31da3u, 0xc96c559dcb86a647u};
    for (size_t t = 0; t < 3; t++) {
        uint64_t seed = 2024, digest = 0;
        for (int row = 0; row < 64; row++) {
            float x[512], size = row % 4 == 3 ? 1e-4f : row % 4 == 2 ? 30.0f : 1.0f;
            uint8_t data[1024];
            for (int i = 0; i < 512; i++) x[i] = case_value(&seed) * size;
            if (row % 8 == 5) memset(x, 0, 96 * sizeof *x);
            covey__row_encode(types[t], x, 512, data);
            digest = digest * 31 + hash(data, covey__kernel_row_bytes(types[t], 512));
        }
        assert_int_equal(digest, want[t]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_named_or_refused),
        cmocka_unit_test(q8_0_by_hand),
        cmocka_unit_test(q4_0_by_hand),
        cmocka_unit_test(errors_are_small),
        cmocka_unit_test(edges_do_no_harm),
        cmocka_unit_test(each_value_keeps_its_place),
        cmocka_unit_test(importance_moves_the_error),
        cmocka_unit_test(bytes_are_those_of_ggml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
