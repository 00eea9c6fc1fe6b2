/* The floating-point state: set to the contract's, and put back as it was. */
#include "support/support.h"

#include "base/pool.h"

#include <fenv.h>
#include <float.h>

static void rounding_is_set_and_restored(void **state) {
    (void)state;
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    for (int i = 0; i < 4; i++) {
        fesetround(modes[i]);
        covey__fp_state saved = covey__fp_enter();
        volatile float one = 1.0f, tiny = FLT_EPSILON / 4;
        float sum = one + tiny;
        int inside = fegetround();
        covey__fp_leave(saved);
        int after = fegetround();
        fesetround(FE_TONEAREST);
        assert_int_equal(inside, FE_TONEAREST);
        assert_int_equal(after, modes[i]);
        assert_true(sum == 1.0f);
    }
}

#if defined(__SSE__)
#include <immintrin.h>

static void subnormals_survive(void **state) {
    (void)state;
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* flush to zero, denormals are zeros */
    covey__fp_state saved = covey__fp_enter();
    volatile float smallest = FLT_MIN;
    volatile float half = smallest / 2;
    float back = half * 2;
    covey__fp_leave(saved);
    unsigned after = _mm_getcsr();
    volatile float flushed = smallest / 2;
    _mm_setcsr(before);
    assert_true(back == FLT_MIN);
    assert_int_equal(after & 0x8040, 0x8040);
    assert_true(flushed == 0.0f);
}
#elif defined(__aarch64__)
static void subnormals_survive(void **state) {
    (void)state;
    uint64_t before, after;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | 1u << 24)); /* flush to zero */
    covey__fp_state saved = covey__fp_enter();
    volatile float smallest = FLT_MIN;
    volatile float half = smallest / 2;
    float back = half * 2;
    covey__fp_leave(saved);
    __asm__ volatile("mrs %0, fpcr" : "=r"(after));
    volatile float flushed = smallest / 2;
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
    assert_true(back == FLT_MIN);
    assert_int_equal(after & 1u << 24, 1u << 24);
    assert_true(flushed == 0.0f);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_is_set_and_restored),
#if defined(__SSE__) || defined(__aarch64__)
        cmocka_unit_test(subnormals_survive),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
