/* Scores of drawn tokens against plain sums in doubles. */
#include "synthetic.h"

#include "engine/score.h"

#include <math.h>

static double log_sum(const float *x, size_t count) {
    double top = (double)x[covey__argmax(x, count)], sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += exp((double)x[i] - top);
    return top + log(sum);
}

static void check_score(const covey_session *session, covey_token token,
                        const covey_token_score *score) {
    size_t count;
    const float *x = covey_session_logits(session, &count);
    double whole = log_sum(x, count), entropy = 0.0;
    for (size_t i = 0; i < count; i++) {
        double logprob = (double)x[i] - whole;
        entropy -= exp(logprob) * logprob;
    }
    assert_true(fabs((double)score->logprob - ((double)x[token] - whole)) < 1e-4);
    assert_true(fabs((double)score->entropy - entropy) < 1e-3);
    for (size_t i = 0; i < score->top_count; i++) {
        assert_true(fabs((double)score->top[i].logprob - ((double)x[score->top[i].token] - whole)) <
                    1e-4);
        size_t above = 0;
        for (size_t id = 0; id < count; id++)
            above += x[id] > x[score->top[i].token] ||
                     (x[id] == x[score->top[i].token] && (covey_token)id < score->top[i].token);
        assert_int_equal(above, i);
    }
}

static void as_in_doubles(void **state) {
    (void)state;
    synthetic shape = SYNTHETIC_ODD;
    shape.gain = 3.0f;
    write_synthetic(&shape, in_folder("plain.gguf"));
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = open_model(runtime, in_folder("plain.gguf"));
    covey_session *session = open_session(model, 64, 0);
    float scratch[SYNTHETIC_VOCABULARY];
    covey_token tokens[20];
    random_tokens(tokens, 20, SYNTHETIC_VOCABULARY, 3);
    for (int i = 0; i < 20; i++) {
        covey_token_top top[COVEY_TOP_MAX];
        covey_token_score score = {.token = tokens[i]};
        append(session, &tokens[i], 1);
        covey__score(session, tokens[i], scratch, &score, top, (size_t)i);
        assert_int_equal(score.top_count, i);
        check_score(session, tokens[i], &score);
    }
    covey_session_close(session);
    covey_model_close(model);
    covey_runtime_close(runtime);
}

typedef struct seen {
    double sum, least;
    int32_t count, ends;
    covey_model *model;
} seen;

static void note(void *user, const covey_token_score *score) {
    seen *s = user;
    assert_int_equal(score->top_count, 3);
    assert_true(score->top[0].logprob >= score->logprob);
    s->sum += (double)score->logprob;
    if (s->count++ == 0 || (double)score->logprob < s->least) s->least = (double)score->logprob;
    s->ends += covey_model_token_is_end(s->model, score->token);
}

static void a_generation_sums_up(void **state) {
    (void)state;
    synthetic shape = SYNTHETIC_ODD;
    write_synthetic(&shape, in_folder("plain.gguf"));
    covey_error error = {.message = ""};
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = open_model(runtime, in_folder("plain.gguf"));
    covey_session *session = open_session(model, 64, 0);
    covey_sampling sampling = COVEY_SAMPLING_INIT;
    covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
    options.sampling = &sampling;
    covey_generation_result result = COVEY_GENERATION_RESULT_INIT;
    seen s = {.model = model};
    covey_token one = 5;
    append(session, &one, 1);
    sampling.temperature = 1.0f;
    options.tokens_max = 30;
    options.top_logprobs = 3;
    options.token_scored = note;
    options.token_user = &s;
    must(covey_session_generate(session, &options, &result, &error, NULL, NULL), &error);
    assert_int_equal(s.count, result.token_count);
    assert_int_equal(s.ends, result.stop_reason == COVEY_STOP_END);
    assert_true(fabs((double)result.confidence - exp(s.sum / s.count)) < 1e-5);
    assert_true((double)result.least_logprob == s.least);
    assert_true(result.mean_entropy > 0.0f && (double)result.mean_entropy < log(259.0) + 0.01);
    covey_session_close(session);
    covey_model_close(model);
    covey_runtime_close(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_in_doubles),
        cmocka_unit_test(a_generation_sums_up),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
