/* The network against a plain definition in double: the loss it computes, and the gradients, which
 * finite differences of that definition must equal. Odd shapes, every instruction set here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "train/train_net.h"

/* ---- The definition ---- */

static void norm_of(const double *x, const double *w, int n, double epsilon, double *out) {
    double sum = 0.0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    for (int i = 0; i < n; i++) out[i] = x[i] / sqrt(sum / n + epsilon) * w[i];
}

static void map_of(const double *x, const double *w, int in, int out_count, double *out) {
    for (int r = 0; r < out_count; r++) {
        out[r] = 0.0;
        for (int i = 0; i < in; i++) out[r] += w[r * in + i] * x[i];
    }
}

static void turn_of(double *x, int heads, int head_dim, int position, double base) {
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < head_dim; i += 2) {
            double angle = position * pow(base, -(double)i / head_dim);
            double *p = x + h * head_dim + i, a = p[0], b = p[1];
            p[0] = a * cos(angle) - b * sin(angle);
            p[1] = a * sin(angle) + b * cos(angle);
        }
}

static void attend(const covey__net *net, const double *q, const double *keys, const double *values,
                   int last, double *out) {
    int hd = net->head_dim, kv = net->kv_width;
    int group = net->shape.heads / net->shape.kv_heads;
    for (int h = 0; h < net->shape.heads; h++) {
        double p[256], sum = 0.0;
        for (int j = 0; j <= last; j++) {
            double dot = 0.0;
            for (int i = 0; i < hd; i++) dot += q[h * hd + i] * keys[j * kv + h / group * hd + i];
            p[j] = exp(dot / sqrt(hd));
            sum += p[j];
        }
        for (int i = 0; i < hd; i++) {
            out[h * hd + i] = 0.0;
            for (int j = 0; j <= last; j++)
                out[h * hd + i] += p[j] / sum * values[j * kv + h / group * hd + i];
        }
    }
}

static void layer_of(const covey__net *net, const double *weights, int layer, double *x, int n) {
    covey__net_layer at = covey__net_layer_at(net, layer);
    int width = net->shape.width, kv = net->kv_width, ff = net->shape.ff;
    double eps = net->shape.epsilon, base = net->shape.rope_base;
    double *keys = calloc((size_t)(n * kv), sizeof(double));
    double *values = calloc((size_t)(n * kv), sizeof(double));
    double normed[64], q[64], out[64], gate[128], up[128], down[64];
    for (int t = 0; t < n; t++) {
        double *row = x + t * width;
        norm_of(row, weights + at.attn_norm, width, eps, normed);
        map_of(normed, weights + at.q, width, width, q);
        map_of(normed, weights + at.k, width, kv, keys + t * kv);
        map_of(normed, weights + at.v, width, kv, values + t * kv);
        turn_of(q, net->shape.heads, net->head_dim, t, base);
        turn_of(keys + t * kv, net->shape.kv_heads, net->head_dim, t, base);
        attend(net, q, keys, values, t, out);
        map_of(out, weights + at.attn_output, width, width, down);
        for (int i = 0; i < width; i++) row[i] += down[i];
        norm_of(row, weights + at.ffn_norm, width, eps, normed);
        map_of(normed, weights + at.gate, width, ff, gate);
        map_of(normed, weights + at.up, width, ff, up);
        for (int i = 0; i < ff; i++) gate[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
        map_of(gate, weights + at.down, ff, width, down);
        for (int i = 0; i < width; i++) row[i] += down[i];
    }
    free(keys);
    free(values);
}

static double loss_of(const covey__net *net, const double *weights, const covey__net_batch *batch) {
    int width = net->shape.width, vocabulary = net->shape.vocabulary;
    double loss = 0.0, normed[64], logits[256];
    for (size_t s = 0; s < batch->sequence_count; s++) {
        size_t first = batch->starts[s];
        int n = (int)(batch->starts[s + 1] - first);
        double *x = calloc((size_t)(n * width), sizeof(double));
        for (int t = 0; t < n; t++)
            memcpy(x + t * width, weights + batch->tokens[first + (size_t)t] * width,
                   (size_t)width * sizeof(double));
        for (int l = 0; l < net->shape.layers; l++) layer_of(net, weights, l, x, n);
        for (int t = 0; t < n; t++) {
            int target = batch->targets[first + (size_t)t];
            if (target < 0) continue;
            double sum = 0.0;
            norm_of(x + t * width, weights + net->output_norm, width, net->shape.epsilon, normed);
            map_of(normed, weights + net->output, width, vocabulary, logits);
            for (int i = 0; i < vocabulary; i++) sum += exp(logits[i]);
            loss += log(sum) - logits[target];
        }
        free(x);
    }
    return loss;
}

/* ---- The comparison ---- */

typedef struct trial {
    covey__env env;
    covey__net net;
    double *weights;
    int32_t tokens[256], targets[256];
    size_t starts[8];
    covey__net_batch batch;
} trial;

static void set_up(trial *t, const covey__net_shape *shape, const size_t *lengths, size_t count) {
    covey__env_init(&t->env);
    assert_int_equal(covey__net_init(&t->env, shape, &t->net, NULL), COVEY_OK);
    covey__net_randomize(&t->net, 3);
    t->weights = calloc(t->net.parameter_count, sizeof(double));
    for (size_t i = 0; i < t->net.parameter_count; i++) {
        /* Larger than at the start of training, so that every path matters. */
        float noise = (float)(covey__train_random(4, 4, i) >> 40) / 16777216.0f - 0.5f;
        t->net.weights[i] = t->net.weights[i] * 4.0f + noise * 0.2f;
        t->weights[i] = t->net.weights[i];
    }
    size_t n = 0;
    for (size_t s = 0; s < count; s++) {
        t->starts[s] = n;
        for (size_t i = 0; i < lengths[s]; i++, n++) {
            uint64_t bits = covey__train_random(5, 5, n);
            t->tokens[n] = (int32_t)(bits % (uint64_t)shape->vocabulary);
            t->targets[n] =
                (bits >> 32) % 3 == 0 ? -1 : (int32_t)((bits >> 40) % (uint64_t)shape->vocabulary);
        }
    }
    t->starts[count] = n;
    t->batch = (covey__net_batch){t->tokens, t->targets, n, t->starts, count};
}

static void tear_down(trial *t) {
    covey__net_free(&t->env, &t->net);
    free(t->weights);
}

static void check_gradient(trial *t, const float *gradients, const covey__net_tensor *tensor) {
    size_t count = (size_t)tensor->rows * (size_t)tensor->columns;
    for (uint64_t draw = 0; draw < 4; draw++) {
        size_t at = tensor->offset;
        /* The first draw of the embedding: a token that surely occurs. */
        if (draw == 0 && tensor->offset == 0)
            at += (size_t)t->tokens[0] * (size_t)tensor->columns + 1;
        else
            at += covey__train_random(6, tensor->offset, draw) % count;
        double was = t->weights[at], step = 1e-5;
        t->weights[at] = was + step;
        double above = loss_of(&t->net, t->weights, &t->batch);
        t->weights[at] = was - step;
        double below = loss_of(&t->net, t->weights, &t->batch);
        t->weights[at] = was;
        double expected = 0.5 * (above - below) / (2.0 * step);
        if (fabs(expected - gradients[at]) > 2e-4 + 1e-3 * fabs(expected))
            fail_msg("%s[%zu]: gradient is %g, finite differences say %g", tensor->name,
                     at - tensor->offset, gradients[at], expected);
    }
}

static void check(const covey__net_shape *shape, const size_t *lengths, size_t count) {
    trial t;
    set_up(&t, shape, lengths, count);
    double expected = loss_of(&t.net, t.weights, &t.batch);
    for (int isa = COVEY__ISA_SCALAR; isa < COVEY__ISA_COUNT; isa++) {
        if (!covey__cpu_has((covey__isa)isa)) continue;
        const covey__train_kernels *kernels = covey__train_kernels_get((covey__isa)isa, false);
        covey__net_worker *worker;
        bool right[256];
        assert_int_equal(covey__net_worker_new(&t.env, &t.net, kernels, 256, 128, &worker, NULL),
                         COVEY_OK);
        double loss = covey__net_forward(worker, &t.batch, right, NULL);
        assert_true(fabs(loss - expected) < 1e-4 * expected);
        float *gradients = calloc(t.net.parameter_count, sizeof *gradients);
        loss = covey__net_train(worker, &t.batch, 0.5f, gradients);
        assert_true(fabs(loss - expected) < 1e-4 * expected);
        for (size_t i = 0; i < covey__net_tensor_count(&t.net); i++) {
            covey__net_tensor tensor = covey__net_tensor_at(&t.net, i);
            check_gradient(&t, gradients, &tensor);
        }
        covey__net_worker_free(worker);
        free(gradients);
    }
    tear_down(&t);
}

static void gradients_equal_finite_differences(void **state) {
    (void)state;
    covey__net_shape shape = {.layers = 2,
                              .width = 24,
                              .heads = 4,
                              .kv_heads = 2,
                              .ff = 21,
                              .vocabulary = 37,
                              .context = 64,
                              .rope_base = 100.0f,
                              .epsilon = 1e-5f};
    size_t lengths[] = {17, 1, 70, 5};
    check(&shape, lengths, 4);
}

static void gradients_of_untied_and_wide_heads(void **state) {
    (void)state;
    covey__net_shape shape = {.layers = 1,
                              .width = 36,
                              .heads = 1,
                              .kv_heads = 1,
                              .ff = 40,
                              .vocabulary = 50,
                              .context = 64,
                              .untied = true,
                              .rope_base = 10000.0f,
                              .epsilon = 1e-5f};
    size_t lengths[] = {3, 9};
    check(&shape, lengths, 2);
}

/* Rounding factors to bfloat16 must leave the gradient's direction and length nearly as they are.
 */
static void gradient_in_bfloat16_is_near(void **state) {
    (void)state;
    if (!covey__train_has_bf16()) {
        print_message("skipped: this CPU has no AVX512_BF16\n");
        skip();
    }
    covey__net_shape shape = {.layers = 2,
                              .width = 32,
                              .heads = 4,
                              .kv_heads = 2,
                              .ff = 48,
                              .vocabulary = 60,
                              .context = 64,
                              .rope_base = 100.0f,
                              .epsilon = 1e-5f};
    trial t;
    size_t lengths[] = {40, 31, 2};
    set_up(&t, &shape, lengths, 3);
    size_t count = t.net.parameter_count;
    covey__net_randomize(&t.net, 3); /* as training begins */
    float *gradients[2];
    for (int i = 0; i < 2; i++) {
        covey__net_worker *worker;
        gradients[i] = calloc(count, sizeof(float));
        assert_int_equal(covey__net_worker_new(&t.env, &t.net,
                                               covey__train_kernels_get(COVEY__ISA_AVX512, i == 1),
                                               128, 64, &worker, NULL),
                         COVEY_OK);
        covey__net_train(worker, &t.batch, 1.0f, gradients[i]);
        covey__net_worker_free(worker);
    }
    double apart = 0.0, length = 0.0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)gradients[1][i] - (double)gradients[0][i];
        apart += d * d;
        length += (double)gradients[0][i] * (double)gradients[0][i];
    }
    assert_true(apart > 0.0); /* it did run another way */
    print_message("apart by %.4f of its length\n", sqrt(apart / length));
    assert_true(sqrt(apart) < 0.02 * sqrt(length));
    free(gradients[0]);
    free(gradients[1]);
    tear_down(&t);
}

static void batch_without_targets_changes_nothing(void **state) {
    (void)state;
    covey__net_shape shape = {.layers = 2,
                              .width = 16,
                              .heads = 2,
                              .kv_heads = 1,
                              .ff = 8,
                              .vocabulary = 20,
                              .context = 16,
                              .rope_base = 100.0f,
                              .epsilon = 1e-5f};
    trial t;
    size_t lengths[] = {6};
    set_up(&t, &shape, lengths, 1);
    for (size_t i = 0; i < t.batch.token_count; i++) t.targets[i] = -1;
    covey__net_worker *worker;
    float *gradients = calloc(t.net.parameter_count, sizeof *gradients);
    assert_int_equal(covey__net_worker_new(&t.env, &t.net,
                                           covey__train_kernels_get(COVEY__ISA_SCALAR, false), 16,
                                           16, &worker, NULL),
                     COVEY_OK);
    assert_true(covey__net_train(worker, &t.batch, 1.0f, gradients) == 0.0);
    for (size_t i = 0; i < t.net.parameter_count; i++) assert_true(gradients[i] == 0.0f);
    free(gradients);
    covey__net_worker_free(worker);
    tear_down(&t);
}

static void shapes_that_cannot_be_are_refused(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey__net_shape good = {.layers = 1,
                             .width = 16,
                             .heads = 4,
                             .kv_heads = 2,
                             .ff = 8,
                             .vocabulary = 20,
                             .context = 16,
                             .rope_base = 100.0f,
                             .epsilon = 1e-5f};
    covey__net_shape bad[] = {good, good, good, good, good};
    bad[0].heads = 3;
    bad[1].kv_heads = 3;
    bad[2].width = 12; /* heads of 3 */
    bad[3].layers = 0;
    bad[4].width = 16384, bad[4].ff = 65536, bad[4].layers = 128;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        covey__net net;
        covey_error error = {0};
        assert_int_not_equal(covey__net_init(&env, &bad[i], &net, &error), COVEY_OK);
        assert_true(error.message[0] != 0);
        covey__net_free(&env, &net);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_finite_differences),
        cmocka_unit_test(gradients_of_untied_and_wide_heads),
        cmocka_unit_test(gradient_in_bfloat16_is_near),
        cmocka_unit_test(batch_without_targets_changes_nothing),
        cmocka_unit_test(shapes_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests_name("train_net", tests, NULL, NULL);
}
