/* Products of every shape and storage against the definition, for every instruction set here. The
 * numbers are small whole ones, so that sums are exact in any order and must be equal. */
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/train_kernels.h"

static float *numbers(uint64_t *state, size_t count) {
    float *x = malloc((count + 1) * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = (float)(int)(test_random(state) % 17) - 8.0f;
    return x;
}

static size_t pick(uint64_t *state, size_t most) {
    return 1 + (size_t)(test_random(state) % most);
}

static void check_product(const covey__train_kernels *kernels, uint64_t *state, float *scratch) {
    size_t rows = pick(state, 70), columns = pick(state, 80), depth = pick(state, 600);
    size_t gap = pick(state, 5) - 1;
    bool ta = test_random(state) & 1, tb = test_random(state) & 1, add = test_random(state) & 1;
    size_t lda = (ta ? rows : depth) + gap, ldb = (tb ? depth : columns) + gap, ldc = columns + gap;
    float *a = numbers(state, lda * (ta ? depth : rows));
    float *b = numbers(state, ldb * (tb ? columns : depth));
    float *c = numbers(state, ldc * rows), *expected = malloc(ldc * rows * sizeof *expected);
    memcpy(expected, c, ldc * rows * sizeof *expected);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++) {
            double sum = add ? expected[r * ldc + j] : 0.0;
            for (size_t p = 0; p < depth; p++)
                sum += (double)(ta ? a[p * lda + r] : a[r * lda + p]) *
                       (double)(tb ? b[j * ldb + p] : b[p * ldb + j]);
            expected[r * ldc + j] = (float)sum;
        }
    covey__train_product product = {rows, columns, depth, a, lda, ta, b, ldb, tb, c, ldc, add};
    covey__train_multiply(kernels, &product, scratch);
    /* What lies between the rows must be as it was, too. */
    assert_memory_equal(c, expected, ldc * rows * sizeof *c);
    free(a);
    free(b);
    free(c);
    free(expected);
}

static void products_equal_the_definition(void **state) {
    (void)state;
    uint64_t seed = 11;
    covey__env env;
    covey__env_init(&env);
    float *scratch =
        covey__alloc_aligned(&env, covey__train_product_scratch(600) * sizeof *scratch);
    for (int isa = COVEY__ISA_SCALAR; isa < COVEY__ISA_COUNT; isa++) {
        if (!covey__cpu_has((covey__isa)isa)) continue;
        for (int i = 0; i < 150; i++)
            check_product(covey__train_kernels_get((covey__isa)isa, false), &seed, scratch);
    }
    /* Whole numbers this small are exact in bfloat16, too. */
    if (covey__train_has_bf16())
        for (int i = 0; i < 300; i++)
            check_product(covey__train_kernels_get(COVEY__ISA_AVX512, true), &seed, scratch);
    covey__free_aligned(&env, scratch);
}

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-5 + 2e-5 * fabs(b);
}

static void check_rows(const covey__train_kernels *k, size_t n, uint64_t *state) {
    float *x = numbers(state, n), *y = malloc((n + 1) * sizeof *y);
    double sum = 0.0, top = -1e9;
    for (size_t i = 0; i < n; i++) x[i] *= 0.7f;
    for (size_t i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
    for (size_t i = 0; i < n; i++) sum += exp(0.5 * (x[i] - top));
    memcpy(y, x, n * sizeof *y);
    y[n] = 77.0f;
    float lse = k->softmax(y, n, 0.5f);
    assert_true(near(lse, 0.5 * top + log(sum)));
    for (size_t i = 0; i < n; i++) assert_true(near(y[i], exp(0.5 * (x[i] - top)) / sum));
    memcpy(y, x, n * sizeof *y);
    k->softmax_again(y, n, 0.5f, lse);
    for (size_t i = 0; i < n; i++) assert_true(near(y[i], exp(0.5 * (x[i] - top)) / sum));
    k->silu(x, x, n, y);
    for (size_t i = 0; i < n; i++) assert_true(near(y[i], x[i] * x[i] / (1.0 + exp(-x[i]))));
    double square = 0.0;
    for (size_t i = 0; i < n; i++) square += (double)x[i] * x[i];
    assert_true(near(k->dot(x, x, n), square));
    assert_true(near(k->square_sum(x, n), square));
    assert_true(y[n] == 77.0f); /* nothing behind the end was touched */
    free(x);
    free(y);
}

static void rows_equal_the_definition(void **state) {
    (void)state;
    uint64_t seed = 12;
    for (int isa = COVEY__ISA_SCALAR; isa < COVEY__ISA_COUNT; isa++) {
        if (!covey__cpu_has((covey__isa)isa)) continue;
        for (size_t n = 1; n < 70; n++)
            check_rows(covey__train_kernels_get((covey__isa)isa, false), n, &seed);
    }
}

static void adam_equals_the_definition(void **state) {
    (void)state;
    uint64_t seed = 13;
    enum { N = 37 };
    covey__adam_step step = {.beta1 = 0.9f,
                             .beta2 = 0.95f,
                             .epsilon = 1e-8f,
                             .rate = 0.01f,
                             .second_scale = 4.0f,
                             .decay = 0.001f,
                             .gradient_scale = 0.5f};
    for (int isa = COVEY__ISA_SCALAR; isa < COVEY__ISA_COUNT; isa++) {
        if (!covey__cpu_has((covey__isa)isa)) continue;
        float *g = numbers(&seed, N), *w = numbers(&seed, N), *m = numbers(&seed, N);
        float *v = numbers(&seed, N), was_w[N], was_m[N], was_v[N];
        for (int i = 0; i < N; i++) v[i] = fabsf(v[i]);
        memcpy(was_w, w, sizeof was_w);
        memcpy(was_m, m, sizeof was_m);
        memcpy(was_v, v, sizeof was_v);
        covey__train_kernels_get((covey__isa)isa, false)->adam(&step, g, N, w, m, v);
        for (int i = 0; i < N; i++) {
            double gradient = 0.5 * g[i], first = 0.9 * was_m[i] + 0.1 * gradient;
            double second = 0.95 * was_v[i] + 0.05 * gradient * gradient;
            assert_true(near(m[i], first) && near(v[i], second));
            double expected =
                was_w[i] - 0.001 * was_w[i] - 0.01 * first / (sqrt(4.0 * second) + 1e-8);
            assert_true(near(w[i], expected));
        }
        free(g);
        free(w);
        free(m);
        free(v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_the_definition),
        cmocka_unit_test(rows_equal_the_definition),
        cmocka_unit_test(adam_equals_the_definition),
    };
    return cmocka_run_group_tests_name("train_multiply", tests, NULL, NULL);
}
