/* Our own functions against the C library's, within stated bounds; half precision over all values;
 * the generator against published vectors. */
#include <math.h>

#include "kernel_cases.h"

static double ulps32(float got, double want) {
    float near = fabsf((float)want);
    return fabs((double)got - want) / (double)(nextafterf(near, INFINITY) - near);
}

static double ulps64(double got, double want) {
    double size = fabs(want);
    return fabs(got - want) / (nextafter(size, INFINITY) - size);
}

static void exp_is_near(void **state) {
    (void)state;
    double worst = 0.0;
    for (double x = -86.9; x < 88.0; x += 0.00037) {
        double error = ulps32(covey__exp_f32((float)x), exp((double)(float)x));
        if (error > worst) worst = error;
    }
    print_message("exp_f32: %.2f ulp at most\n", worst);
    assert_true(worst < 1.5);
    assert_true(covey__exp_f32(0.0f) == 1.0f && covey__exp_f32(-0.0f) == 1.0f);
    assert_true(covey__exp_f32(-INFINITY) == 0.0f && covey__exp_f32(-87.01f) == 0.0f);
    assert_true(covey__exp_f32(INFINITY) == covey__exp_f32(88.0f));
}

static void erfc_is_near(void **state) {
    (void)state;
    double worst = 0.0, relative = 0.0;
    for (double x = -12.0; x < 12.0; x += 0.000061) {
        double want = erfc((double)(float)x);
        double error = fabs((double)covey__erfc_f32((float)x) - want);
        if (error > worst) worst = error;
        if (x < 9.0 && error / want > relative) relative = error / want;
    }
    print_message("erfc_f32: %.3g absolute, %.3g relative up to 9\n", worst, relative);
    assert_true(worst < 5e-7 && relative < 1e-5);
    assert_true(covey__erfc_f32(-INFINITY) == 2.0f && covey__erfc_f32(50.0f) == 0.0f);
    assert_true(fabsf(covey__erfc_f32(0.0f) - 1.0f) < 5e-7f);
}

static void double_functions_are_near(void **state) {
    (void)state;
    uint64_t seed = 77u;
    double worst_exp = 0, worst_log = 0, worst_sin = 0, worst_pow = 0;
    for (int i = 0; i < 300000; i++) {
        double u = (double)case_random(&seed) * 0x1p-32, s = u * 2 - 1;
        double e = ulps64(covey__exp_f64(s * 700), exp(s * 700));
        double x = i % 2 ? u * 3 + 1e-300 : exp(s * 700);
        double l = ulps64(covey__log_f64(x), log(x));
        double angle = s * (i % 3 ? 100.0 : 131072.0);
        double t = fabs(covey__sin_f64(angle) - sin(angle));
        double c = fabs(covey__cos_f64(angle) - cos(angle));
        double p = fabs(covey__pow_f64(500000.0, s) / pow(500000.0, s) - 1);
        if (e > worst_exp) worst_exp = e;
        if (l > worst_log) worst_log = l;
        if (t > worst_sin) worst_sin = t;
        if (c > worst_sin) worst_sin = c;
        if (p > worst_pow) worst_pow = p;
    }
    print_message("exp_f64 %.2f ulp, log_f64 %.2f ulp, sin and cos %.3g, pow %.3g relative\n",
                  worst_exp, worst_log, worst_sin, worst_pow);
    assert_true(worst_exp < 2.0 && worst_log < 3.0 && worst_sin < 4e-16 && worst_pow < 4e-15);
    assert_true(covey__log_f64(1.0) == 0.0 && covey__exp_f64(0.0) == 1.0);
    assert_true(covey__cos_f64(0.0) == 1.0 && covey__sin_f64(0.0) == 0.0);
    assert_true(isinf(covey__log_f64(0.0)) && isnan(covey__log_f64(-1.0)));
    assert_true(isinf(covey__log_f64(INFINITY)) && isnan(covey__log_f64(NAN)));
    assert_true(fabs(covey__log_f64(0x1p-1060) - log(0x1p-1060)) < 1e-12);
}

/* Converts through the exponent by arithmetic, unlike the code under test. */
static double half_value(uint32_t half) {
    int exponent = (int)(half >> 10 & 31), fraction = (int)(half & 1023);
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return half & 0x8000 ? -size : size;
}

static void halves_convert(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        if ((h & 0x7c00) == 0x7c00) continue;
        float f = covey__f16_to_f32((uint16_t)h);
        assert_true((double)f == half_value(h) && !signbit(f) == !(h >> 15));
        assert_int_equal(covey__f32_to_f16(f), h);
        if ((h & 0x7fff) == 0x7bff) continue;
        /* between this one and the next: to the nearer, the middle to the even one */
        double a = half_value(h), b = half_value(h + 1);
        assert_int_equal(covey__f32_to_f16((float)(a * 0.5 + b * 0.5)), h & 1 ? h + 1 : h);
        assert_int_equal(covey__f32_to_f16((float)(a * 0.51 + b * 0.49)), h);
        assert_int_equal(covey__f32_to_f16((float)(a * 0.49 + b * 0.51)), h + 1);
    }
    assert_int_equal(covey__f32_to_f16(65519.9f), 0x7bff);
    assert_int_equal(covey__f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(covey__f32_to_f16(-INFINITY), 0xfc00);
    assert_true(isnan(covey__f16_to_f32(covey__f32_to_f16(NAN))));
    assert_int_equal(covey__f32_to_bf16(1.0f), 0x3f80);
    assert_int_equal(covey__f32_to_bf16(1.00390625f), 0x3f80); /* a tie: to even */
    assert_int_equal(covey__f32_to_bf16(1.01171875f), 0x3f82);
}

/* The first word of Random123's known answers for philox4x32-10. */
static void generator_is_philox(void **state) {
    (void)state;
    assert_true(covey__uniform(0, 0, 0) == (float)(0x6627e8d5u >> 8) * 0x1p-24f);
    double sum = 0.0;
    for (uint64_t i = 0; i < 100000; i++) {
        float u = covey__uniform(12345, i, 1);
        assert_true(u >= 0.0f && u < 1.0f);
        sum += (double)u;
    }
    assert_true(fabs(sum / 100000 - 0.5) < 0.005);
    assert_true(covey__uniform(1, 2, 3) != covey__uniform(1, 2, 4));
    assert_true(covey__uniform(1, 2, 3) != covey__uniform(1, 3, 3));
    assert_true(covey__uniform(1, 2, 3) != covey__uniform(1ull << 32, 2, 3));
}

static void scans_find(void **state) {
    (void)state;
    float x[37];
    for (int i = 0; i < 37; i++) x[i] = (float)(i % 7);
    assert_int_equal(covey__argmax(x, 37), 6);
    assert_true(covey__finite(x, 37));
    x[36] = NAN;
    assert_false(covey__finite(x, 37));
    x[36] = -INFINITY;
    assert_false(covey__finite(x, 37));
    assert_true(covey__finite(x, 36));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_near),
        cmocka_unit_test(erfc_is_near),
        cmocka_unit_test(double_functions_are_near),
        cmocka_unit_test(halves_convert),
        cmocka_unit_test(generator_is_philox),
        cmocka_unit_test(scans_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
