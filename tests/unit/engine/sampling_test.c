/* Sampling: each option does what covey/session.h says, in that order, and draws follow the
 * distribution and nothing but seed and position. */
#include "synthetic.h"

#include <math.h>

#define COUNT 16

static covey__candidate candidates[4096];
static uint8_t seen[4096 / 8 + 1];

static covey_sampling with_temperature(float temperature) {
    covey_sampling sampling = COVEY_SAMPLING_INIT;
    sampling.temperature = temperature;
    return sampling;
}

static covey_token draw(covey_sampling sampling, const float *logits, uint64_t seed,
                        size_t position) {
    static const covey_token none[4096] = {0};
    sampling.seed = seed;
    assert_true(position <= 4096);
    covey_token token =
        covey__sample(&sampling, logits, COUNT, none, position, candidates, seen, NULL);
    for (size_t i = 0; i < sizeof seen; i++) assert_int_equal(seen[i], 0);
    return token;
}

static void count_draws(covey_sampling sampling, const float *logits, int draws,
                        int counts[COUNT]) {
    memset(counts, 0, COUNT * sizeof *counts);
    for (int i = 0; i < draws; i++) counts[draw(sampling, logits, (uint64_t)i, (size_t)i % 97)]++;
}

static void ramp(float logits[COUNT]) {
    for (int i = 0; i < COUNT; i++) logits[i] = -0.5f * (float)i;
}

static void test_greedy(void **state) {
    (void)state;
    float logits[COUNT] = {1, 3, 2, 3, 3};
    assert_int_equal(draw(with_temperature(0.0f), logits, 1, 0), 1);
    logits[9] = 3.5f;
    assert_int_equal(draw(with_temperature(0.0f), logits, 1, 0), 9);
    /* A temperature near zero is as good as greedy. */
    for (uint64_t seed = 0; seed < 200; seed++)
        assert_int_equal(draw(with_temperature(1e-6f), logits, seed, 0), 9);
}

static void test_penalty(void **state) {
    (void)state;
    covey_sampling sampling = with_temperature(0.0f);
    sampling.repetition_penalty = 2.0f;
    float logits[COUNT] = {4.0f, 3.0f, -1.0f};
    for (int i = 3; i < COUNT; i++) logits[i] = -9.0f;
    const covey_token history[] = {1, 0, 0, 0};
    /* Token 0 counts once though it stands there three times: 4 / 2 < 3. Token 1 is too long ago.
     */
    sampling.repetition_last = 3;
    assert_int_equal(covey__sample(&sampling, logits, COUNT, history, 4, candidates, seen, NULL),
                     1);
    sampling.repetition_last = 4; /* 2, 1.5 */
    assert_int_equal(covey__sample(&sampling, logits, COUNT, history, 4, candidates, seen, NULL),
                     0);
    sampling.repetition_last = 0;
    assert_int_equal(covey__sample(&sampling, logits, COUNT, history, 4, candidates, seen, NULL),
                     0);
    /* Negative logits move down too: -1 becomes -2, below -1.5. */
    float negative[COUNT];
    for (int i = 0; i < COUNT; i++) negative[i] = -9.0f;
    negative[2] = -1.0f;
    negative[5] = -1.5f;
    const covey_token two[] = {2};
    sampling.repetition_last = 64;
    assert_int_equal(covey__sample(&sampling, negative, COUNT, two, 1, candidates, seen, NULL), 5);
}

static void test_follows_the_distribution(void **state) {
    (void)state;
    enum { DRAWS = 40000 };
    float logits[COUNT];
    ramp(logits);
    int counts[COUNT];
    count_draws(with_temperature(2.0f), logits, DRAWS, counts);
    double total = 0.0, chi2 = 0.0;
    for (int i = 0; i < COUNT; i++) total += exp(-0.25 * i);
    for (int i = 0; i < COUNT; i++) {
        double expected = DRAWS * exp(-0.25 * i) / total;
        chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    /* 15 degrees of freedom: above 44 once in 10,000. The draws are always the same ones. */
    if (chi2 > 44.0) fail_msg("chi squared %g", chi2);
}

static void test_top_k(void **state) {
    (void)state;
    float logits[COUNT];
    for (int i = 0; i < COUNT; i++) logits[i] = (float)(i * 7 % COUNT) * 0.1f;
    covey_sampling sampling = with_temperature(1.0f);
    sampling.top_k = 3; /* logits 1.5, 1.4, 1.3: tokens 9, 2, 11 */
    int counts[COUNT];
    count_draws(sampling, logits, 2000, counts);
    for (int i = 0; i < COUNT; i++) assert_true((counts[i] > 500) == (i * 7 % COUNT >= COUNT - 3));
    sampling.top_k = 1;
    for (uint64_t seed = 0; seed < 50; seed++) assert_int_equal(draw(sampling, logits, seed, 0), 9);
    sampling.top_k = 1000;
    count_draws(sampling, logits, 4000, counts);
    for (int i = 0; i < COUNT; i++) assert_true(counts[i] > 0);
    /* Among equals the lower ids stay. */
    float equal[COUNT] = {0};
    sampling.top_k = 4;
    count_draws(sampling, equal, 1000, counts);
    for (int i = 0; i < COUNT; i++) assert_true((counts[i] > 150) == (i < 4));
}

static void test_top_p(void **state) {
    (void)state;
    float logits[COUNT] = {0};
    const double shares[] = {0.5, 0.25, 0.15};
    for (int i = 0; i < COUNT; i++) logits[i] = -30.0f;
    for (int i = 0; i < 3; i++) logits[i + 4] = (float)log(shares[i]);
    covey_sampling sampling = with_temperature(1.0f);
    int counts[COUNT];
    const struct {
        float top_p;
        int kept;
    } cases[] = {{0.1f, 1}, {0.5f, 1}, {0.6f, 2}, {0.8f, 2}, {0.9f, 3}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sampling.top_p = cases[c].top_p;
        count_draws(sampling, logits, 2000, counts);
        for (int i = 0; i < COUNT; i++)
            assert_true((counts[i] > 0) == (i >= 4 && i < 4 + cases[c].kept));
    }
    /* After top-k, shares are of what top-k left: 0.5 of 0.75 is two thirds. */
    sampling.top_k = 2;
    sampling.top_p = 0.65f;
    count_draws(sampling, logits, 500, counts);
    assert_int_equal(counts[4], 500);
    sampling.top_p = 0.68f;
    count_draws(sampling, logits, 500, counts);
    assert_true(counts[5] > 100);
}

static void test_min_p(void **state) {
    (void)state;
    float logits[COUNT];
    ramp(logits); /* exp(-0.5 i) of the best */
    covey_sampling sampling = with_temperature(1.0f);
    sampling.min_p = 0.2f; /* 1, 0.61, 0.37, 0.22 stay; 0.135 goes */
    int counts[COUNT];
    count_draws(sampling, logits, 3000, counts);
    for (int i = 0; i < COUNT; i++) assert_true((counts[i] > 0) == (i < 4));
    sampling.min_p = 1.0f;
    count_draws(sampling, logits, 100, counts);
    assert_int_equal(counts[0], 100);
}

static void test_seed_and_position_decide(void **state) {
    (void)state;
    float logits[COUNT] = {0};
    covey_sampling sampling = with_temperature(1.0f);
    int same_seed = 0, same_position = 0;
    for (size_t i = 0; i < 500; i++) {
        covey_token token = draw(sampling, logits, 42, i);
        assert_int_equal(token, draw(sampling, logits, 42, i));
        same_seed += token == draw(sampling, logits, 42, i + 1);
        same_position += token == draw(sampling, logits, 43, i);
    }
    /* One in 16 by chance. */
    assert_true(same_seed > 10 && same_seed < 70);
    assert_true(same_position > 10 && same_position < 70);
}

/* Extremes: equal logits of a large vocabulary, huge differences, the smallest temperature. */
static void test_extremes(void **state) {
    (void)state;
    static float logits[4096];
    const covey_token none[] = {0};
    covey_sampling sampling = with_temperature(1.0f);
    int half = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        sampling.seed = seed;
        covey_token token = covey__sample(&sampling, logits, 4096, none, 0, candidates, seen, NULL);
        assert_true(token >= 0 && token < 4096);
        half += token < 2048;
    }
    assert_true(half > 140 && half < 260);
    logits[7] = 3e38f;
    logits[8] = -3e38f;
    assert_int_equal(covey__sample(&sampling, logits, 4096, none, 0, candidates, seen, NULL), 7);
    sampling.temperature = 1e-38f;
    assert_int_equal(covey__sample(&sampling, logits, 4096, none, 0, candidates, seen, NULL), 7);
    sampling.temperature = 3e38f;
    for (uint64_t seed = 0; seed < 50; seed++) {
        sampling.seed = seed;
        assert_int_not_equal(
            covey__sample(&sampling, logits, 4096, none, 0, candidates, seen, NULL), -1);
    }
}

static void expect_bad(covey_sampling sampling, const char *named) {
    covey_error error = {.message = ""};
    assert_int_equal(covey__sampling_check(&sampling, &error), COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, named));
}

static void test_refuses(void **state) {
    (void)state;
    covey_sampling sampling = COVEY_SAMPLING_INIT;
    assert_int_equal(covey__sampling_check(&sampling, NULL), COVEY_OK);
    expect_bad(with_temperature(-1.0f), "temperature");
    expect_bad(with_temperature(NAN), "temperature");
    expect_bad(with_temperature(INFINITY), "temperature");
    sampling.top_k = -1;
    expect_bad(sampling, "top_k");
    sampling = with_temperature(1.0f);
    sampling.top_p = 0.0f;
    expect_bad(sampling, "top_p");
    sampling.top_p = 1.1f;
    expect_bad(sampling, "top_p");
    sampling = with_temperature(1.0f);
    sampling.min_p = 1.1f;
    expect_bad(sampling, "min_p");
    sampling = with_temperature(1.0f);
    sampling.repetition_penalty = 0.0f;
    expect_bad(sampling, "repetition_penalty");
    sampling = with_temperature(1.0f);
    sampling.repetition_last = -1;
    expect_bad(sampling, "repetition_last");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_penalty),
        cmocka_unit_test(test_follows_the_distribution),
        cmocka_unit_test(test_top_k),
        cmocka_unit_test(test_top_p),
        cmocka_unit_test(test_min_p),
        cmocka_unit_test(test_seed_and_position_decide),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
