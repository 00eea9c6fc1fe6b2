/* One thread's passes over the network. Forward keeps of each layer what backward cannot cheaply
 * make again: the residual stream at both norms, q, k and v after RoPE, the attention's output
 * with its log-sums, and gate and up. Norms, SwiGLU and scores are computed again.
 *
 * Only tokens with a target need logits, so from the last layer's attention on only their rows
 * are carried: rows are squeezed there and spread again on the way back. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "train/train_net.h"

#define LOGIT_ROWS 256

typedef struct kept {
    float *x, *inverse, *qkv, *attended, *lse, *middle, *middle_inverse, *gate_up;
} kept;

struct covey__net_worker {
    const covey__env *env;
    const covey__net *net;
    const covey__train_kernels *kernels;
    size_t tokens_max, context;
    float *gradients; /* of the call that runs now, the caller's */
    float *memory;
    kept *layers;
    float *turn; /* cosines and sines: [context][head_dim] as pairs */
    float *final, *final_inverse;
    float *normed, *hidden, *dx, *d_wide, *d_hidden, *d_qkv, *logits;
    float *product, *attention;
    size_t *rows; /* of tokens with targets */
    size_t row_count;
};

static size_t round_up(size_t n) {
    return (n + 15) / 16 * 16;
}

/* Hands out parts of one block; a first walk with no block counts. */
static void take(float **field, float *base, size_t *at, size_t floats) {
    if (base) *field = base + *at;
    *at += round_up(floats);
}

static size_t lay_out(covey__net_worker *w, float *base) {
    const covey__net_shape *s = &w->net->shape;
    size_t n = w->tokens_max, width = (size_t)s->width, qkv = (size_t)w->net->qkv_width;
    size_t ff = (size_t)s->ff, at = 0, widest = ff > width ? 2 * ff : 2 * width;
    if ((size_t)s->vocabulary > widest) widest = (size_t)s->vocabulary;
    if (qkv > widest) widest = qkv;
    for (int32_t i = 0; i < s->layers; i++) {
        kept *k = &w->layers[i];
        take(&k->x, base, &at, n * width);
        take(&k->inverse, base, &at, n);
        take(&k->qkv, base, &at, n * qkv);
        take(&k->attended, base, &at, n * width);
        take(&k->lse, base, &at, n * (size_t)s->heads);
        take(&k->middle, base, &at, n * width);
        take(&k->middle_inverse, base, &at, n);
        take(&k->gate_up, base, &at, n * 2 * ff);
    }
    take(&w->turn, base, &at, w->context * (size_t)w->net->head_dim);
    take(&w->final, base, &at, n * width);
    take(&w->final_inverse, base, &at, n);
    take(&w->normed, base, &at, n * width);
    take(&w->hidden, base, &at, n * ff);
    take(&w->dx, base, &at, n * width);
    take(&w->d_wide, base, &at, n * 2 * ff);
    take(&w->d_hidden, base, &at, n * (ff > width ? ff : width));
    take(&w->d_qkv, base, &at, n * qkv);
    take(&w->logits, base, &at, LOGIT_ROWS * (size_t)s->vocabulary);
    take(&w->product, base, &at, covey__train_product_scratch(widest));
    take(&w->attention, base, &at,
         covey__net_attention_scratch(w->kernels, w->net->head_dim, w->context));
    return at;
}

static void fill_turns(covey__net_worker *w) {
    int32_t half = w->net->head_dim / 2;
    for (size_t p = 0; p < w->context; p++)
        for (int32_t i = 0; i < half; i++) {
            double angle = (double)p * pow(w->net->shape.rope_base, -(double)i / half);
            w->turn[p * (size_t)w->net->head_dim + 2 * (size_t)i] = (float)cos(angle);
            w->turn[p * (size_t)w->net->head_dim + 2 * (size_t)i + 1] = (float)sin(angle);
        }
}

covey_status covey__net_worker_new(const covey__env *env, const covey__net *net,
                                   const covey__train_kernels *kernels, size_t tokens_max,
                                   size_t context, covey__net_worker **worker, covey_error *error) {
    *worker = NULL;
    covey__net_worker *w = covey__calloc(env, 1, sizeof *w);
    if (!w) return covey__no_memory(error, "train: worker", sizeof *w);
    *w = (covey__net_worker){
        .env = env, .net = net, .kernels = kernels, .tokens_max = tokens_max, .context = context};
    w->layers = covey__calloc(env, (size_t)net->shape.layers, sizeof *w->layers);
    w->rows = covey__calloc(env, tokens_max, sizeof *w->rows);
    size_t floats = w->layers ? lay_out(w, NULL) : 0;
    w->memory = covey__alloc_aligned(env, floats * sizeof(float));
    if (!w->layers || !w->rows || !w->memory) {
        covey__net_worker_free(w);
        return covey__no_memory(error, "train: activations", floats * sizeof(float));
    }
    lay_out(w, w->memory);
    fill_turns(w);
    *worker = w;
    return COVEY_OK;
}

void covey__net_worker_free(covey__net_worker *worker) {
    if (!worker) return;
    covey__free_aligned(worker->env, worker->memory);
    covey__free(worker->env, worker->rows);
    covey__free(worker->env, worker->layers);
    covey__free(worker->env, worker);
}

/* ---- Steps ---- */

/* y (+)= x · W^T for W of `out` rows: a layer's linear map. */
static void linear(covey__net_worker *w, size_t rows, size_t in, size_t out, const float *x,
                   const float *weight, float *y, bool add) {
    covey__train_product product = {.rows = rows,
                                    .columns = out,
                                    .depth = in,
                                    .a = x,
                                    .lda = in,
                                    .b = weight,
                                    .ldb = in,
                                    .transpose_b = true,
                                    .c = y,
                                    .ldc = out,
                                    .add = add};
    covey__train_multiply(w->kernels, &product, w->product);
}

/* dx = dy · W. */
static void linear_back(covey__net_worker *w, size_t rows, size_t in, size_t out, const float *dy,
                        const float *weight, float *dx) {
    covey__train_product product = {.rows = rows,
                                    .columns = in,
                                    .depth = out,
                                    .a = dy,
                                    .lda = out,
                                    .b = weight,
                                    .ldb = in,
                                    .c = dx,
                                    .ldc = in};
    covey__train_multiply(w->kernels, &product, w->product);
}

/* dW += dy^T · x. */
static void linear_gradient(covey__net_worker *w, size_t rows, size_t in, size_t out,
                            const float *dy, const float *x, size_t weight_at) {
    covey__train_product product = {.rows = out,
                                    .columns = in,
                                    .depth = rows,
                                    .a = dy,
                                    .lda = out,
                                    .transpose_a = true,
                                    .b = x,
                                    .ldb = in,
                                    .c = w->gradients + weight_at,
                                    .ldc = in,
                                    .add = true};
    covey__train_multiply(w->kernels, &product, w->product);
}

static void norm_rows(covey__net_worker *w, size_t rows, const float *x, size_t weight_at,
                      float *inverse, float *out) {
    size_t width = (size_t)w->net->shape.width;
    for (size_t i = 0; i < rows; i++)
        inverse[i] = w->kernels->norm(x + i * width, w->net->weights + weight_at, width,
                                      w->net->shape.epsilon, out + i * width);
}

/* dx += the gradient `dy` of the norm's output, led back to its input. */
static void norm_rows_back(covey__net_worker *w, size_t rows, const float *x, size_t weight_at,
                           const float *inverse, const float *dy, float *dx) {
    size_t width = (size_t)w->net->shape.width;
    for (size_t i = 0; i < rows; i++)
        w->kernels->norm_back(x + i * width, w->net->weights + weight_at, dy + i * width,
                              inverse[i], width, dx + i * width, w->gradients + weight_at);
}

/* Turns queries and keys by their positions; `direction` -1 turns gradients back. */
static void rope(const covey__net_worker *w, const covey__net_batch *batch, float *qkv,
                 float direction) {
    size_t hd = (size_t)w->net->head_dim, row = (size_t)w->net->qkv_width;
    size_t turned = (size_t)(w->net->shape.width + w->net->kv_width);
    for (size_t s = 0; s < batch->sequence_count; s++)
        for (size_t t = batch->starts[s]; t < batch->starts[s + 1]; t++) {
            const float *turn = w->turn + (t - batch->starts[s]) * hd;
            for (size_t h = 0; h < turned; h += hd) {
                float *x = qkv + t * row + h;
                for (size_t i = 0; i < hd; i += 2) {
                    float c = turn[i], n = turn[i + 1] * direction, a = x[i], b = x[i + 1];
                    x[i] = a * c - b * n;
                    x[i + 1] = a * n + b * c;
                }
            }
        }
}

static covey__net_attention attention_of(covey__net_worker *w, const covey__net_batch *batch,
                                         const kept *k, size_t sequence) {
    const covey__net_shape *s = &w->net->shape;
    size_t first = batch->starts[sequence], width = (size_t)s->width;
    return (covey__net_attention){.kernels = w->kernels,
                                  .head_dim = w->net->head_dim,
                                  .heads = s->heads,
                                  .kv_heads = s->kv_heads,
                                  .tokens = batch->starts[sequence + 1] - first,
                                  .context = w->context,
                                  .qkv = k->qkv + first * (size_t)w->net->qkv_width,
                                  .out = k->attended + first * width,
                                  .lse = k->lse + first * (size_t)s->heads,
                                  .d_out = w->d_hidden + first * width,
                                  .d_qkv = w->d_qkv + first * (size_t)w->net->qkv_width,
                                  .scratch = w->attention};
}

/* Keeps the rows with targets, in place or into another array. */
static void squeeze(const covey__net_worker *w, const float *from, float *to) {
    size_t width = (size_t)w->net->shape.width;
    for (size_t i = 0; i < w->row_count; i++)
        memmove(to + i * width, from + w->rows[i] * width, width * sizeof(float));
}

/* Puts squeezed rows back to their places, zeros between. */
static void spread(const covey__net_worker *w, float *x, size_t token_count) {
    size_t width = (size_t)w->net->shape.width, next = token_count;
    for (size_t i = w->row_count; i-- > 0;) {
        size_t to = w->rows[i];
        if (to != i) memcpy(x + to * width, x + i * width, width * sizeof(float));
        memset(x + (to + 1) * width, 0, (next - to - 1) * width * sizeof(float));
        next = to;
    }
    memset(x, 0, next * width * sizeof(float));
}

static void layer_forward(covey__net_worker *w, const covey__net_batch *batch, int32_t layer,
                          float *out) {
    const covey__net_shape *s = &w->net->shape;
    covey__net_layer at = covey__net_layer_at(w->net, layer);
    const float *weights = w->net->weights;
    kept *k = &w->layers[layer];
    size_t n = batch->token_count, width = (size_t)s->width, ff = (size_t)s->ff;
    norm_rows(w, n, k->x, at.attn_norm, k->inverse, w->normed);
    linear(w, n, width, (size_t)w->net->qkv_width, w->normed, weights + at.q, k->qkv, false);
    rope(w, batch, k->qkv, 1.0f);
    for (size_t i = 0; i < batch->sequence_count; i++) {
        covey__net_attention attention = attention_of(w, batch, k, i);
        covey__net_attention_forward(&attention);
    }
    if (layer == s->layers - 1) {
        squeeze(w, k->attended, k->attended);
        squeeze(w, k->x, k->middle);
        n = w->row_count;
    } else {
        memcpy(k->middle, k->x, n * width * sizeof(float));
    }
    linear(w, n, width, width, k->attended, weights + at.attn_output, k->middle, true);
    norm_rows(w, n, k->middle, at.ffn_norm, k->middle_inverse, w->normed);
    linear(w, n, width, 2 * ff, w->normed, weights + at.gate, k->gate_up, false);
    for (size_t i = 0; i < n; i++)
        w->kernels->silu(k->gate_up + i * 2 * ff, k->gate_up + i * 2 * ff + ff, ff,
                         w->hidden + i * ff);
    memcpy(out, k->middle, n * width * sizeof(float));
    linear(w, n, ff, width, w->hidden, weights + at.down, out, true);
}

/* w->dx holds the gradient of the layer's output and leaves with that of its input. */
static void ffn_backward(covey__net_worker *w, const covey__net_layer *at, kept *k, size_t n) {
    size_t width = (size_t)w->net->shape.width, ff = (size_t)w->net->shape.ff;
    const float *weights = w->net->weights;
    linear_back(w, n, ff, width, w->dx, weights + at->down, w->d_hidden);
    for (size_t i = 0; i < n; i++) {
        const float *gate = k->gate_up + i * 2 * ff;
        w->kernels->silu(gate, gate + ff, ff, w->hidden + i * ff);
        w->kernels->silu_back(gate, gate + ff, w->d_hidden + i * ff, ff, w->d_wide + i * 2 * ff,
                              w->d_wide + i * 2 * ff + ff);
    }
    linear_gradient(w, n, ff, width, w->dx, w->hidden, at->down);
    norm_rows(w, n, k->middle, at->ffn_norm, k->middle_inverse, w->normed);
    linear_gradient(w, n, width, 2 * ff, w->d_wide, w->normed, at->gate);
    linear_back(w, n, width, 2 * ff, w->d_wide, weights + at->gate, w->normed);
    norm_rows_back(w, n, k->middle, at->ffn_norm, k->middle_inverse, w->normed, w->dx);
}

static void layer_backward(covey__net_worker *w, const covey__net_batch *batch, int32_t layer) {
    const covey__net_shape *s = &w->net->shape;
    covey__net_layer at = covey__net_layer_at(w->net, layer);
    const float *weights = w->net->weights;
    kept *k = &w->layers[layer];
    bool last = layer == s->layers - 1;
    size_t all = batch->token_count, n = last ? w->row_count : all;
    size_t width = (size_t)s->width, qkv = (size_t)w->net->qkv_width;
    ffn_backward(w, &at, k, n);
    linear_gradient(w, n, width, width, w->dx, k->attended, at.attn_output);
    linear_back(w, n, width, width, w->dx, weights + at.attn_output, w->d_hidden);
    if (last) {
        spread(w, w->d_hidden, all);
        spread(w, w->dx, all);
    }
    memset(w->d_qkv, 0, all * qkv * sizeof(float));
    for (size_t i = 0; i < batch->sequence_count; i++) {
        covey__net_attention attention = attention_of(w, batch, k, i);
        covey__net_attention_backward(&attention);
    }
    rope(w, batch, w->d_qkv, -1.0f);
    norm_rows(w, all, k->x, at.attn_norm, k->inverse, w->normed);
    linear_gradient(w, all, width, qkv, w->d_qkv, w->normed, at.q);
    linear_back(w, all, width, qkv, w->d_qkv, weights + at.q, w->normed);
    norm_rows_back(w, all, k->x, at.attn_norm, k->inverse, w->normed, w->dx);
}

/* Loss of a row of logits, which becomes factor * its gradient; tells whether the target was the
 * likeliest (the lowest id among equals). */
static double loss_of(const covey__train_kernels *kernels, float *logits, size_t n, int32_t target,
                      float factor, bool *right) {
    float at_target = logits[target];
    bool best = true;
    if (right) {
        for (size_t i = 0; i < n && best; i++)
            best = logits[i] < at_target || (logits[i] == at_target && i >= (size_t)target);
        *right = best;
    }
    float lse = kernels->softmax(logits, n, 1.0f);
    logits[target] -= 1.0f;
    if (factor != 1.0f) kernels->scale(logits, factor, n);
    return (double)lse - (double)at_target;
}

/* The output layer in chunks of rows. With `back`, w->normed becomes the gradient of the final
 * norm's output. */
static double output_pass(covey__net_worker *w, const covey__net_batch *batch, bool back,
                          float factor, bool *right, float *logits) {
    size_t width = (size_t)w->net->shape.width, n = (size_t)w->net->shape.vocabulary;
    const float *weight = w->net->weights + w->net->output;
    double loss = 0.0;
    for (size_t first = 0; first < w->row_count; first += LOGIT_ROWS) {
        size_t rows = w->row_count - first < LOGIT_ROWS ? w->row_count - first : LOGIT_ROWS;
        float *x = w->normed + first * width;
        linear(w, rows, width, n, x, weight, w->logits, false);
        if (logits) memcpy(logits + first * n, w->logits, rows * n * sizeof(float));
        for (size_t i = 0; i < rows; i++) {
            size_t token = w->rows[first + i];
            loss += loss_of(w->kernels, w->logits + i * n, n, batch->targets[token], factor,
                            right ? &right[token] : NULL);
        }
        if (!back) continue;
        linear_gradient(w, rows, width, n, w->logits, x, w->net->output);
        linear_back(w, rows, width, n, w->logits, weight, x);
    }
    return loss;
}

static void run_forward(covey__net_worker *w, const covey__net_batch *batch) {
    const covey__net_shape *s = &w->net->shape;
    size_t width = (size_t)s->width;
    w->row_count = 0;
    for (size_t i = 0; i < batch->token_count; i++) {
        memcpy(w->layers[0].x + i * width, w->net->weights + (size_t)batch->tokens[i] * width,
               width * sizeof(float));
        if (batch->targets[i] >= 0) w->rows[w->row_count++] = i;
    }
    for (int32_t i = 0; i < s->layers; i++)
        layer_forward(w, batch, i, i + 1 < s->layers ? w->layers[i + 1].x : w->final);
    norm_rows(w, w->row_count, w->final, w->net->output_norm, w->final_inverse, w->normed);
}

double covey__net_forward(covey__net_worker *w, const covey__net_batch *batch, bool *right,
                          float *logits) {
    run_forward(w, batch);
    return output_pass(w, batch, false, 1.0f, right, logits);
}

double covey__net_train(covey__net_worker *w, const covey__net_batch *batch, float factor,
                        float *gradients) {
    size_t width = (size_t)w->net->shape.width;
    w->gradients = gradients;
    run_forward(w, batch);
    if (w->row_count == 0) return 0.0;
    double loss = output_pass(w, batch, true, factor, NULL, NULL);
    memset(w->dx, 0, w->row_count * width * sizeof(float));
    norm_rows_back(w, w->row_count, w->final, w->net->output_norm, w->final_inverse, w->normed,
                   w->dx);
    for (int32_t i = w->net->shape.layers - 1; i >= 0; i--) layer_backward(w, batch, i);
    for (size_t i = 0; i < batch->token_count; i++)
        w->kernels->add(w->gradients + (size_t)batch->tokens[i] * width, w->dx + i * width, width);
    return loss;
}
