/* Rows of floats: norms, RoPE, activation functions, sums, softmax. Every instruction set gives the
 * definition's bits for every length, and never writes beyond the row. */
#include <math.h>

#include "kernel_cases.h"

#define LENGTH_MAX 700

typedef void (*operation)(const covey__kernels *k, float *x, float *y, size_t n);

static void do_norm(const covey__kernels *k, float *x, float *y, size_t n) {
    k->rms_norm(x, y, (int32_t)n, 1e-5f, x);
}
static void do_layer_norm(const covey__kernels *k, float *x, float *y, size_t n) {
    k->layer_norm(x, y, y, (int32_t)n, 1e-12f, x);
}
static void do_gelu_mul(const covey__kernels *k, float *x, float *y, size_t n) {
    k->gelu_mul(x, y, n, y);
}
static void do_gelu(const covey__kernels *k, float *x, float *y, size_t n) {
    k->gelu(x, n, y);
}
static void do_silu(const covey__kernels *k, float *x, float *y, size_t n) {
    k->silu_mul(x, y, n, y);
}
static void do_add(const covey__kernels *k, float *x, float *y, size_t n) {
    k->add(x, y, n);
}
static void do_scale(const covey__kernels *k, float *x, float *y, size_t n) {
    k->scale(x, y[0], n);
}
static void do_softmax(const covey__kernels *k, float *x, float *y, size_t n) {
    (void)y;
    k->softmax(x, n);
}

static void fill(uint64_t *seed, float *x, size_t n, int kind) {
    for (size_t i = 0; i < n; i++) {
        x[i] = case_value(seed);
        if (kind == 1) x[i] *= 60.0f;
        if (kind == 2) x[i] *= 0x1p-60f;
        if (kind == 3) x[i] = case_random(seed) % 3 ? 0.0f : -0.0f;
        if (kind == 4) x[i] *= 1e4f;
    }
}

static void sweep(operation op, const char *name) {
    uint64_t seed = 2463534242u;
    covey__isa sets[COVEY__ISA_COUNT];
    int count = case_sets(sets);
    for (size_t n = 1; n < LENGTH_MAX; n += n < 70 ? 1 : 37) {
        float x[LENGTH_MAX], y[LENGTH_MAX], wx[LENGTH_MAX], wy[LENGTH_MAX];
        fill(&seed, x, LENGTH_MAX, (int)(n % 5));
        fill(&seed, y, LENGTH_MAX, (int)(n % 4));
        memcpy(wx, x, sizeof x);
        memcpy(wy, y, sizeof y);
        op(covey__kernels_get(COVEY__ISA_SCALAR), wx, wy, n);
        for (int i = 0; i < count; i++) {
            float gx[LENGTH_MAX], gy[LENGTH_MAX];
            memcpy(gx, x, sizeof x);
            memcpy(gy, y, sizeof y);
            op(covey__kernels_get(sets[i]), gx, gy, n);
            assert_same_bits(wx, gx, LENGTH_MAX, name);
            assert_same_bits(wy, gy, LENGTH_MAX, name);
        }
    }
}

static void rows_agree(void **state) {
    (void)state;
    sweep(do_norm, "rms_norm");
    sweep(do_layer_norm, "layer_norm");
    sweep(do_silu, "silu_mul");
    sweep(do_gelu_mul, "gelu_mul");
    sweep(do_gelu, "gelu");
    sweep(do_add, "add");
    sweep(do_scale, "scale");
    sweep(do_softmax, "softmax");
}

static void rope_agrees(void **state) {
    (void)state;
    uint64_t seed = 31u;
    covey__isa sets[COVEY__ISA_COUNT];
    int count = case_sets(sets);
    static const int32_t dims[] = {2, 6, 8, 16, 20, 32, 48, 64, 80, 128};
    for (size_t d = 0; d < 10; d++) {
        for (int style = 0; style < 2; style++) {
            int32_t dim = dims[d], head_dim = dim + (d % 2 ? 4 : 0), heads = 3;
            double frequencies[64];
            float table[3 * 128], x[3 * 132], want[3 * 132];
            covey__rope_frequencies(10000.0, dim, 1.0, NULL, frequencies);
            covey__rope_table(frequencies, dim, 1000, 3, table);
            fill(&seed, x, 3 * 132, 0);
            memcpy(want, x, sizeof x);
            const float *row = table + dim;
            covey__kernels_get(COVEY__ISA_SCALAR)
                ->rope(want, heads, head_dim, dim, (covey__rope_style)style, row);
            for (int i = 0; i < count; i++) {
                float got[3 * 132];
                memcpy(got, x, sizeof x);
                covey__kernels_get(sets[i])->rope(got, heads, head_dim, dim,
                                                  (covey__rope_style)style, row);
                assert_same_bits(want, got, 3 * 132, "rope");
            }
        }
    }
}

static bool near(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * (1.0 + fabs(b));
}

/* The definition against what the formulas say, in double precision by the C library. */
static void definition_follows_formulas(void **state) {
    (void)state;
    const covey__kernels *k = covey__kernels_get(COVEY__ISA_SCALAR);
    uint64_t seed = 8u;
    float x[64], w[64], out[64];
    double squares = 0.0;
    fill(&seed, x, 64, 0);
    fill(&seed, w, 64, 0);
    for (int i = 0; i < 64; i++) squares += (double)x[i] * (double)x[i];
    k->rms_norm(x, w, 64, 1e-5f, out);
    for (int i = 0; i < 64; i++)
        assert_true(
            near((double)out[i], (double)x[i] / sqrt(squares / 64 + 1e-5) * (double)w[i], 1e-6));
    k->silu_mul(x, w, 64, out);
    for (int i = 0; i < 64; i++)
        assert_true(
            near((double)out[i], (double)x[i] / (1 + exp(-(double)x[i])) * (double)w[i], 1e-6));
    double frequencies[4], factors_of[4];
    const float factors[4] = {1.0f, 2.0f, 8.0f, 32.0f};
    covey__rope_frequencies(500000.0, 8, 1.0, NULL, frequencies);
    covey__rope_frequencies(500000.0, 8, 0.25, factors, factors_of);
    float table[16], turned[8];
    covey__rope_table(frequencies, 8, 70000, 2, table);
    memcpy(turned, x, sizeof turned);
    k->rope(turned, 1, 8, 8, COVEY__ROPE_NORM, table + 8);
    for (int i = 0; i < 4; i++) {
        double f = pow(500000.0, -2.0 * i / 8), angle = 70001 * f;
        assert_true(near(frequencies[i], f, 1e-14));
        assert_true(near(factors_of[i], f / 4 / (double)factors[i], 1e-14));
        assert_true(near((double)table[8 + i], cos(angle), 1e-7));
        assert_true(near((double)table[12 + i], sin(angle), 1e-7));
        double a = (double)x[2 * i], b = (double)x[2 * i + 1];
        assert_true(near((double)turned[2 * i], a * cos(angle) - b * sin(angle), 1e-6));
        assert_true(near((double)turned[2 * i + 1], a * sin(angle) + b * cos(angle), 1e-6));
    }
}

static void new_ones_follow_formulas(void **state) {
    (void)state;
    const covey__kernels *k = covey__kernels_get(COVEY__ISA_SCALAR);
    uint64_t seed = 81u;
    float x[64], w[64], b[64], out[64];
    double mean = 0.0, variance = 0.0;
    fill(&seed, x, 64, 0);
    fill(&seed, w, 64, 0);
    fill(&seed, b, 64, 0);
    for (int i = 0; i < 64; i++) x[i] += 3.0f;
    for (int i = 0; i < 64; i++) mean += (double)x[i] / 64;
    for (int i = 0; i < 64; i++) variance += ((double)x[i] - mean) * ((double)x[i] - mean) / 64;
    k->layer_norm(x, w, b, 64, 1e-12f, out);
    for (int i = 0; i < 64; i++) {
        double want = ((double)x[i] - mean) / sqrt(variance + 1e-12) * (double)w[i] + (double)b[i];
        assert_true(near((double)out[i], want, 2e-6));
    }
    for (int i = 0; i < 64; i++) x[i] = (float)(i - 32) * 0.37f;
    x[0] = -1e5f;
    x[63] = 1e20f;
    k->gelu_mul(x, w, 64, out);
    for (int i = 0; i < 64; i++) {
        double g = (double)x[i], z = sqrt(2 / M_PI) * (g + 0.044715 * g * g * g);
        assert_true(near((double)out[i], 0.5 * g * (1 + tanh(z)) * (double)w[i], 1e-6));
    }
    k->gelu(x, 64, out);
    for (int i = 0; i < 64; i++) {
        double v = (double)x[i];
        assert_true(near((double)out[i], v * 0.5 * (1 + erf(v / sqrt(2))), 1e-6));
    }
}

static void softmax_sums_to_one(void **state) {
    (void)state;
    uint64_t seed = 3u;
    float x[500];
    for (int set = 0; set < COVEY__ISA_COUNT; set++) {
        if (!covey__cpu_has((covey__isa)set)) continue;
        fill(&seed, x, 500, 1);
        x[77] = -INFINITY; /* a token that a constraint forbids */
        double sum = 0.0;
        covey__kernels_get((covey__isa)set)->softmax(x, 500);
        for (int i = 0; i < 500; i++) sum += (double)x[i];
        assert_true(near(sum, 1.0, 1e-6));
        assert_true(x[77] == 0.0f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_agree),
        cmocka_unit_test(rope_agrees),
        cmocka_unit_test(definition_follows_formulas),
        cmocka_unit_test(new_ones_follow_formulas),
        cmocka_unit_test(softmax_sums_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
