/* Causal attention of one sequence, forward and backward, in blocks of query rows: scores are
 * products over packed keys, never more than a block of them is held, and the backward pass
 * computes them again from the saved log-sums (as FlashAttention does, arXiv:2205.14135). */
#include <math.h>
#include <string.h>

#include "train/train_net.h"

#define BLOCK_TILES 4

typedef struct parts {
    size_t nr, block, padded; /* tile columns, rows of a block, tokens up to whole panels */
    size_t head_columns;      /* head_dim up to whole panels */
    float *product, *keys, *values, *keys_plain, *values_plain, *rows_plain, *scores, *d_scores;
} parts;

static size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

/* Lays the scratch out; with `base` NULL only its size counts. */
static size_t lay_out(const covey__train_kernels *kernels, int32_t head_dim, size_t context,
                      float *base, parts *p) {
    size_t at = 0, hd = (size_t)head_dim;
    p->nr = (size_t)kernels->tile_columns;
    p->block = (size_t)kernels->tile_rows * BLOCK_TILES;
    p->padded = round_up(context, p->nr);
    p->head_columns = round_up(hd, p->nr);
    float **fields[] = {&p->product,      &p->keys,       &p->values, &p->keys_plain,
                        &p->values_plain, &p->rows_plain, &p->scores, &p->d_scores};
    size_t sizes[] = {covey__train_product_scratch(hd),
                      hd * p->padded,
                      hd * p->padded,
                      p->head_columns * context,
                      p->head_columns * context,
                      p->head_columns * p->block,
                      p->block * p->padded,
                      p->block * p->padded};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (base) *fields[i] = base + at;
        at += round_up(sizes[i], 16);
    }
    return at;
}

size_t covey__net_attention_scratch(const covey__train_kernels *kernels, int32_t head_dim,
                                    size_t context) {
    parts p;
    return lay_out(kernels, head_dim, context, NULL, &p);
}

static size_t qkv_width(const covey__net_attention *a) {
    return (size_t)a->head_dim * (size_t)(a->heads + 2 * a->kv_heads);
}

/* out (+)= a · packed. */
static void multiply(const covey__net_attention *at, const parts *p, size_t rows, size_t columns,
                     size_t depth, const float *a, size_t lda, bool transpose_a,
                     const float *packed, size_t packed_depth, float *c, size_t ldc, bool add) {
    covey__train_product product = {.rows = rows,
                                    .columns = columns,
                                    .depth = depth,
                                    .a = a,
                                    .lda = lda,
                                    .transpose_a = transpose_a,
                                    .c = c,
                                    .ldc = ldc,
                                    .add = add};
    covey__train_multiply_packed(at->kernels, &product, packed, packed_depth, p->product);
}

static void forward_head(const covey__net_attention *at, const parts *p, int32_t head) {
    size_t hd = (size_t)at->head_dim, width = hd * (size_t)at->heads, qkv = qkv_width(at);
    float scale = 1.0f / sqrtf((float)at->head_dim);
    const float *q = at->qkv + (size_t)head * hd;
    for (size_t first = 0; first < at->tokens; first += p->block) {
        size_t rows = at->tokens - first < p->block ? at->tokens - first : p->block;
        size_t keys = first + rows;
        multiply(at, p, rows, round_up(keys, p->nr), hd, q + first * qkv, qkv, false, p->keys, hd,
                 p->scores, p->padded, false);
        for (size_t r = 0; r < rows; r++) {
            float *row = p->scores + r * p->padded;
            size_t seen = first + r + 1;
            at->lse[(first + r) * (size_t)at->heads + (size_t)head] =
                at->kernels->softmax(row, seen, scale);
            memset(row + seen, 0, (keys - seen) * sizeof(float));
        }
        multiply(at, p, rows, hd, keys, p->scores, p->padded, false, p->values_plain, at->tokens,
                 at->out + first * width + (size_t)head * hd, width, false);
    }
}

void covey__net_attention_forward(const covey__net_attention *at) {
    parts p;
    lay_out(at->kernels, at->head_dim, at->context, at->scratch, &p);
    size_t hd = (size_t)at->head_dim, qkv = qkv_width(at);
    int32_t group = at->heads / at->kv_heads;
    for (int32_t kv = 0; kv < at->kv_heads; kv++) {
        const float *k = at->qkv + hd * (size_t)(at->heads + kv);
        const float *v = k + hd * (size_t)at->kv_heads;
        covey__train_pack(at->kernels, k, qkv, true, hd, at->tokens, p.keys);
        covey__train_pack(at->kernels, v, qkv, false, at->tokens, hd, p.values_plain);
        for (int32_t h = 0; h < group; h++) forward_head(at, &p, kv * group + h);
    }
}

/* Turns a block's scores into probabilities and d_scores (gradients of probabilities) into
 * gradients of scores. */
static void back_through_softmax(const covey__net_attention *at, const parts *p, int32_t head,
                                 size_t first, size_t rows, float scale) {
    size_t keys = first + rows;
    for (size_t r = 0; r < rows; r++) {
        float *row = p->scores + r * p->padded, *d_row = p->d_scores + r * p->padded;
        size_t seen = first + r + 1;
        float lse = at->lse[(first + r) * (size_t)at->heads + (size_t)head];
        at->kernels->softmax_again(row, seen, scale, lse);
        float d = at->kernels->dot(row, d_row, seen);
        at->kernels->softmax_back(row, d_row, seen, d, scale);
        memset(row + seen, 0, (keys - seen) * sizeof(float));
        memset(d_row + seen, 0, (keys - seen) * sizeof(float));
    }
}

static void backward_head(const covey__net_attention *at, const parts *p, int32_t head, float *d_k,
                          float *d_v) {
    size_t hd = (size_t)at->head_dim, width = hd * (size_t)at->heads, qkv = qkv_width(at);
    float scale = 1.0f / sqrtf((float)at->head_dim);
    const float *q = at->qkv + (size_t)head * hd, *d_out = at->d_out + (size_t)head * hd;
    float *d_q = at->d_qkv + (size_t)head * hd;
    for (size_t first = 0; first < at->tokens; first += p->block) {
        size_t rows = at->tokens - first < p->block ? at->tokens - first : p->block;
        size_t keys = first + rows, columns = round_up(keys, p->nr);
        const float *q_rows = q + first * qkv, *d_rows = d_out + first * width;
        multiply(at, p, rows, columns, hd, q_rows, qkv, false, p->keys, hd, p->scores, p->padded,
                 false);
        multiply(at, p, rows, columns, hd, d_rows, width, false, p->values, hd, p->d_scores,
                 p->padded, false);
        back_through_softmax(at, p, head, first, rows, scale);
        covey__train_pack(at->kernels, d_rows, width, false, rows, hd, p->rows_plain);
        multiply(at, p, keys, hd, rows, p->scores, p->padded, true, p->rows_plain, rows, d_v, qkv,
                 true);
        covey__train_pack(at->kernels, q_rows, qkv, false, rows, hd, p->rows_plain);
        multiply(at, p, keys, hd, rows, p->d_scores, p->padded, true, p->rows_plain, rows, d_k, qkv,
                 true);
        multiply(at, p, rows, hd, keys, p->d_scores, p->padded, false, p->keys_plain, at->tokens,
                 d_q + first * qkv, qkv, false);
    }
}

void covey__net_attention_backward(const covey__net_attention *at) {
    parts p;
    lay_out(at->kernels, at->head_dim, at->context, at->scratch, &p);
    size_t hd = (size_t)at->head_dim, qkv = qkv_width(at);
    int32_t group = at->heads / at->kv_heads;
    for (int32_t kv = 0; kv < at->kv_heads; kv++) {
        size_t k_at = hd * (size_t)(at->heads + kv), v_at = k_at + hd * (size_t)at->kv_heads;
        const float *k = at->qkv + k_at, *v = at->qkv + v_at;
        covey__train_pack(at->kernels, k, qkv, true, hd, at->tokens, p.keys);
        covey__train_pack(at->kernels, v, qkv, true, hd, at->tokens, p.values);
        covey__train_pack(at->kernels, k, qkv, false, at->tokens, hd, p.keys_plain);
        for (int32_t h = 0; h < group; h++)
            backward_head(at, &p, kv * group + h, at->d_qkv + k_at, at->d_qkv + v_at);
    }
}
