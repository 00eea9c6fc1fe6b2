/* The definition of attention: docs/arithmetic.md, "Attention". One query at a time. The pages'
 * slots of keys that a query must not see are never read here; the SIMD files read them and
 * multiply by zero, which changes nothing as long as they are finite. */
#include "kernel/parts.h"

size_t covey__attention_scratch_bytes(int32_t head_dim, int32_t keys_max) {
    size_t dim = covey__pad16((size_t)head_dim);
    /* what attention_lanes.h lays out, with the scores of the row count that takes most */
    int32_t pages = keys_max / COVEY__PAGE_KEYS + 2, bound = 8192 / COVEY__PAGE_KEYS + 2;
    size_t many =
        COVEY__SCORE_ROWS * covey__score_stride(pages < bound / 2 + 1 ? pages : bound / 2 + 1);
    size_t some = 16 * covey__score_stride(pages < bound ? pages : bound);
    size_t few = COVEY__SCORE_ROWS_MIN * covey__score_stride(pages);
    size_t scores = many > some ? many : some;
    if (few > scores) scores = few;
    return ((2 * COVEY__SCORE_ROWS + COVEY__PAGE_KEYS + 1) * dim + scores) * sizeof(float);
}

/* The values of a block that a page holds: at `index`, of the scale at `scale`. */
static float decoded(const covey__attention *a, const uint8_t *page, size_t index, size_t scale) {
    if (a->kv == COVEY__KV_F32) {
        float value;
        memcpy(&value, page + 4 * index, 4);
        return value;
    }
    if (a->kv == COVEY__KV_F16) return covey__half(covey__load_u16(page + 2 * index));
    const uint8_t *scales = page + (size_t)a->head_dim * COVEY__PAGE_KEYS;
    return (float)(int8_t)page[index] * covey__half(covey__load_u16(scales + 2 * scale));
}

static const uint8_t *page_of(const covey__attention *a, int32_t key) {
    return a->pages[key / COVEY__PAGE_KEYS];
}

static float key_at(const covey__attention *a, int32_t j, int32_t d) {
    size_t slot = (size_t)(j % COVEY__PAGE_KEYS);
    return decoded(a, page_of(a, j) + a->k_offset, (size_t)d * COVEY__PAGE_KEYS + slot,
                   (size_t)(d / 32) * COVEY__PAGE_KEYS + slot);
}

static float value_at(const covey__attention *a, int32_t j, int32_t d) {
    size_t slot = (size_t)(j % COVEY__PAGE_KEYS), dim = (size_t)a->head_dim;
    return decoded(a, page_of(a, j) + a->v_offset, slot * dim + (size_t)d,
                   slot * (dim / 32) + (size_t)(d / 32));
}

/* `scores` holds those of keys `see.first` to `see.end` - 1. */
static void attend(const covey__attention *a, const float *q, covey__sight see, float *scores,
                   float *out) {
    float greatest = 0.0f, partial[COVEY__LANES] = {0};
    for (int32_t j = see.first; j < see.end; j++) {
        float score = 0.0f;
        for (int32_t d = 0; d < a->head_dim; d++)
            score = score + (q[d] * a->scale) * key_at(a, j, d);
        scores[j - see.first] = score;
        greatest = j == see.first || score > greatest ? score : greatest;
    }
    for (int32_t j = see.first; j < see.end; j++) {
        scores[j - see.first] = covey__exp_f32(scores[j - see.first] - greatest);
        partial[j % 16] = partial[j % 16] + scores[j - see.first];
    }
    float inverse = 1.0f / covey__tree16(partial);
    for (int32_t d = 0; d < a->head_dim; d++) out[d] = 0.0f;
    for (int32_t j = see.first; j < see.end; j++)
        for (int32_t d = 0; d < a->head_dim; d++)
            out[d] = out[d] + scores[j - see.first] * value_at(a, j, d);
    for (int32_t d = 0; d < a->head_dim; d++) out[d] = out[d] * inverse;
}

void covey__attention_scalar(const covey__attention *a, void *scratch) {
    for (int32_t t = 0; t < a->tokens; t++) {
        for (int32_t h = 0; h < a->heads; h++) {
            size_t head = (size_t)h * (size_t)a->head_dim;
            attend(a, a->q + (size_t)t * a->q_stride + head, covey__sight_of(a, t), scratch,
                   a->out + (size_t)t * a->out_stride + head);
        }
    }
}
