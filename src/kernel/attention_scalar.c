/* The definition of attention: docs/arithmetic.md, "Attention". One query at a time. The pages'
 * slots beyond the last key that a query sees are never read here; the SIMD files read them and
 * multiply by zero, which changes nothing as long as they are finite. */
#include "kernel/parts.h"

size_t covey__attention_scratch_bytes(int32_t head_dim, int32_t keys_max) {
    size_t keys = ((size_t)keys_max + COVEY__PAGE_KEYS - 1) / COVEY__PAGE_KEYS * COVEY__PAGE_KEYS;
    size_t floats = COVEY__SCORE_ROWS * (keys + COVEY__PAGE_KEYS + covey__pad16((size_t)head_dim));
    return (floats + 2 * COVEY__LANES) * sizeof(float);
}

void covey__page_put(float *k_page, float *v_page, int32_t head_dim, int32_t slot, const float *k,
                     const float *v) {
    for (int32_t d = 0; d < head_dim; d++) k_page[d * COVEY__PAGE_KEYS + slot] = k[d];
    memcpy(v_page + (size_t)slot * (size_t)head_dim, v, (size_t)head_dim * sizeof *v);
}

static const float *k_page(const covey__attention *a, int32_t key) {
    return a->pages[key / COVEY__PAGE_KEYS] + a->k_offset;
}

static const float *v_row(const covey__attention *a, int32_t key) {
    return a->pages[key / COVEY__PAGE_KEYS] + a->v_offset +
           (size_t)(key % COVEY__PAGE_KEYS) * (size_t)a->head_dim;
}

static void attend(const covey__attention *a, const float *q, int32_t keys, float *scores,
                   float *out) {
    float greatest = 0.0f, partial[COVEY__LANES] = {0};
    for (int32_t j = 0; j < keys; j++) {
        const float *k = k_page(a, j) + j % COVEY__PAGE_KEYS;
        float score = 0.0f;
        for (int32_t d = 0; d < a->head_dim; d++)
            score = score + (q[d] * a->scale) * k[d * COVEY__PAGE_KEYS];
        scores[j] = score;
        greatest = j == 0 || score > greatest ? score : greatest;
    }
    for (int32_t j = 0; j < keys; j++) {
        scores[j] = covey__exp_f32(scores[j] - greatest);
        partial[j % 16] = partial[j % 16] + scores[j];
    }
    float inverse = 1.0f / covey__tree16(partial);
    for (int32_t d = 0; d < a->head_dim; d++) out[d] = 0.0f;
    for (int32_t j = 0; j < keys; j++) {
        const float *v = v_row(a, j);
        for (int32_t d = 0; d < a->head_dim; d++) out[d] = out[d] + scores[j] * v[d];
    }
    for (int32_t d = 0; d < a->head_dim; d++) out[d] = out[d] * inverse;
}

void covey__attention_scalar(const covey__attention *a, void *scratch) {
    for (int32_t t = 0; t < a->tokens; t++) {
        for (int32_t h = 0; h < a->heads; h++) {
            size_t head = (size_t)h * (size_t)a->head_dim;
            attend(a, a->q + (size_t)t * a->q_stride + head, a->position + t + 1, scratch,
                   a->out + (size_t)t * a->out_stride + head);
        }
    }
}
