/* How sure the model was: the log-probability of each token drawn and the entropy of what it was
 * drawn from, both of the plain distribution over the whole vocabulary, before penalties,
 * temperature, cuts and guides. The softmax is the kernels' (docs/arithmetic.md); the rest is done
 * in doubles, in a fixed order. */
#include "engine/engine.h"
#include "engine/score.h"

#include <math.h>
#include <string.h>

#define LANES 16

/* sum of p * (x - top), by lanes and then over them. */
static double mean_below_top(const float *p, const float *x, float top, size_t count) {
    double lanes[LANES] = {0.0}, sum = 0.0;
    size_t whole = count / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += (double)p[i + lane] * (double)(x[i + lane] - top);
    for (size_t i = whole; i < count; i++) lanes[i % LANES] += (double)p[i] * (double)(x[i] - top);
    for (size_t lane = 0; lane < LANES; lane++) sum += lanes[lane];
    return sum;
}

/* The likeliest tokens, the likeliest first, the lowest id in a tie. */
static void find_top(const float *x, size_t count, covey_token_top *top, size_t wanted) {
    size_t held = 0;
    for (size_t id = 0; id < count; id++) {
        if (held == wanted && !(x[id] > top[held - 1].logprob)) continue;
        size_t at = held < wanted ? held++ : held - 1;
        for (; at > 0 && top[at - 1].logprob < x[id]; at--) top[at] = top[at - 1];
        top[at] = (covey_token_top){(covey_token)id, x[id]};
    }
}

void covey__score(const covey_session *session, covey_token token, float *scratch,
                  covey_token_score *score, covey_token_top *top, size_t top_count) {
    const covey_model *model = session->model;
    size_t count = (size_t)model->hyper.vocabulary_size;
    const float *x = session->logits;
    size_t best = covey__argmax(x, count);
    memcpy(scratch, x, count * sizeof *scratch);
    model->kernels->softmax(scratch, count);
    double log_top = covey__log_f64((double)scratch[best]); /* of the likeliest token */
    score->logprob = (float)((double)(x[token] - x[best]) + log_top);
    score->entropy = (float)(-log_top - mean_below_top(scratch, x, x[best], count));
    if (score->entropy < 0.0f) score->entropy = 0.0f;
    if (top_count > count) top_count = count;
    if (top_count > 0) find_top(x, count, top, top_count);
    for (size_t i = 0; i < top_count; i++)
        top[i].logprob = (float)((double)(top[i].logprob - x[best]) + log_top);
    score->top = top;
    score->top_count = top_count;
}
