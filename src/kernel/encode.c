/* Rows of floats to rows of weights. Q8_0, and Q4_0 and Q6_K where no importance is given, are the
 * reference quantizers that ggml publishes (ggml-quants.c, quantize_row_*_ref), done again from
 * their description, so that the same floats give the same bytes. All others are searches of our
 * own: encode_block.c and encode_k.c. */
#include "kernel/encode.h"
#include "kernel/encode_fit.h"

#include <math.h>

#define SCALE_MIN 1e-15f /* a group whose greatest weight is below this counts as zero */

/* Ties to even. |x| below 2^22. */
static int nearest(float x) {
    return (int)((int32_t)(covey__f32_bits(x + 12582912.0f) & 0x7fffffu) - 0x400000);
}

/* Toward zero. A value out of reach (its block's scale is below the smallest float16, or it is not
 * a number) becomes zero. */
static int truncate_small(float x) {
    return x > -4194304.0f && x < 4194304.0f ? (int)x : 0;
}

/* Ties away from zero, as C's roundf. */
static int away(float x) {
    int whole = truncate_small(x);
    float rest = x - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

static void encode_q8_0(const float *x, covey__block_q8_0 *block) {
    float greatest = 0.0f;
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > greatest) greatest = fabsf(x[i]);
    float d = greatest / 127.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    block->d = covey__f32_to_f16(d);
    for (int i = 0; i < 32; i++)
        block->q[i] = (int8_t)covey__clamp(away(x[i] * inverse), -128, 127);
}

static void encode_q4_0(const float *x, covey__block_q4_0 *block) {
    float greatest = 0.0f, extreme = 0.0f;
    for (int i = 0; i < 32; i++) {
        if (fabsf(x[i]) > greatest) {
            greatest = fabsf(x[i]);
            extreme = x[i];
        }
    }
    float d = extreme / -8.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    block->d = covey__f32_to_f16(d);
    for (int i = 0; i < 16; i++) {
        int low = covey__clamp(truncate_small(x[i] * inverse + 8.5f), 0, 15);
        int high = covey__clamp(truncate_small(x[16 + i] * inverse + 8.5f), 0, 15);
        block->q[i] = (uint8_t)(low | high << 4);
    }
}

/* The least squares fit of x by scale * l with l = round(x * inverse), weighted by x squared. */
static void fit(const float x[16], float inverse, float *sum_lx, float *sum_l2) {
    *sum_lx = 0.0f;
    *sum_l2 = 0.0f;
    for (int i = 0; i < 16; i++) {
        float l = (float)covey__clamp(nearest(inverse * x[i]), -32, 31);
        float weight = x[i] * x[i];
        *sum_lx += weight * x[i] * l;
        *sum_l2 += weight * l * l;
    }
}

static void take_levels(const float x[16], float inverse, uint8_t levels[16]) {
    for (int i = 0; i < 16; i++)
        levels[i] = (uint8_t)(covey__clamp(nearest(inverse * x[i]), -32, 31) + 32);
}

/* The scale of 16 weights: of 19 candidates around the plain one, that with the least error. */
static float search_scale(const float x[16], uint8_t levels[16]) {
    float greatest = 0.0f, extreme = 0.0f;
    for (int i = 0; i < 16; i++) {
        if (fabsf(x[i]) > greatest) {
            greatest = fabsf(x[i]);
            extreme = x[i];
        }
    }
    memset(levels, 0, 16);
    if (greatest < SCALE_MIN) return 0.0f;
    float sum_lx, sum_l2, inverse = -32.0f / extreme;
    fit(x, inverse, &sum_lx, &sum_l2);
    float scale = sum_l2 != 0.0f ? sum_lx / sum_l2 : 0.0f;
    float best = scale * sum_lx;
    for (int step = -9; step <= 9; step++) {
        if (step == 0) continue;
        float candidate = -(32.0f + 0.1f * (float)step) / extreme;
        fit(x, candidate, &sum_lx, &sum_l2);
        if (sum_l2 > 0.0f && sum_lx * sum_lx > best * sum_l2) {
            inverse = candidate;
            scale = sum_lx / sum_l2;
            best = scale * sum_lx;
        }
    }
    take_levels(x, inverse, levels);
    return scale;
}

void covey__pack_q6_k(const uint8_t levels[256], covey__block_q6_k *block) {
    for (int half = 0; half < 2; half++) {
        const uint8_t *l = levels + half * 128;
        for (int i = 0; i < 32; i++) {
            block->low[half * 64 + i] = (uint8_t)((l[i] & 15) | (l[i + 64] & 15) << 4);
            block->low[half * 64 + 32 + i] = (uint8_t)((l[i + 32] & 15) | (l[i + 96] & 15) << 4);
            block->high[half * 32 + i] = (uint8_t)(l[i] >> 4 | l[i + 32] >> 4 << 2 |
                                                   l[i + 64] >> 4 << 4 | l[i + 96] >> 4 << 6);
        }
    }
}

static void encode_q6_k(const float *x, covey__block_q6_k *block) {
    float scales[16], extreme = 0.0f, greatest = 0.0f;
    uint8_t levels[256];
    memset(block, 0, sizeof *block);
    for (int j = 0; j < 16; j++) {
        scales[j] = search_scale(x + 16 * j, levels + 16 * j);
        if (fabsf(scales[j]) > greatest) {
            greatest = fabsf(scales[j]);
            extreme = scales[j];
        }
    }
    if (greatest < SCALE_MIN) return;
    float inverse = -128.0f / extreme;
    block->d = covey__f32_to_f16(1.0f / inverse);
    for (int j = 0; j < 16; j++) {
        block->scales[j] = (int8_t)covey__clamp(nearest(inverse * scales[j]), -128, 127);
        float d = covey__half(block->d) * (float)block->scales[j];
        if (d == 0.0f) continue; /* decodes to zero whatever the levels */
        for (int i = 0; i < 16; i++) {
            int level = covey__clamp(nearest(x[16 * j + i] / d), -32, 31);
            levels[16 * j + i] = (uint8_t)(level + 32);
        }
    }
    covey__pack_q6_k(levels, block);
}

bool covey__kernel_encodes(uint32_t type) {
    return covey__kernel_supports(type) && type != COVEY__KT_IQ4_XS;
}

static void encode_plain(uint32_t type, const float *x, int32_t columns, void *out) {
    uint16_t *half = out;
    if (type == COVEY__KT_F32) memcpy(out, x, (size_t)columns * 4);
    for (int32_t i = 0; type == COVEY__KT_F16 && i < columns; i++)
        half[i] = covey__f32_to_f16(x[i]);
    for (int32_t i = 0; type == COVEY__KT_BF16 && i < columns; i++)
        half[i] = covey__f32_to_bf16(x[i]);
    for (int32_t b = 0; type == COVEY__KT_Q8_0 && b < columns / 32; b++)
        encode_q8_0(x + 32 * b, (covey__block_q8_0 *)out + b);
    for (int32_t b = 0; type == COVEY__KT_Q4_0 && b < columns / 32; b++)
        encode_q4_0(x + 32 * b, (covey__block_q4_0 *)out + b);
    for (int32_t b = 0; type == COVEY__KT_Q6_K && b < columns / 256; b++)
        encode_q6_k(x + 256 * b, (covey__block_q6_k *)out + b);
}

void covey__row_encode(uint32_t type, const float *x, int32_t columns, void *out) {
    covey__row_encode_by(type, x, NULL, columns, out);
}

void covey__row_encode_by(uint32_t type, const float *x, const float *importance, int32_t columns,
                          void *out) {
    bool reference = !importance && (type == COVEY__KT_Q4_0 || type == COVEY__KT_Q6_K);
    if (covey__kernel_block(type) == 1 || type == COVEY__KT_Q8_0 || reference)
        encode_plain(type, x, columns, out);
    else if (covey__kernel_block(type) == 32)
        covey__encode_block(type, x, importance, columns, out);
    else if (covey__kernel_encodes(type))
        covey__encode_k(type, x, importance, columns, out);
}
