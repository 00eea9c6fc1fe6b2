/* Rows of floats to Q4_0, Q4_1, Q5_0, Q5_1 and IQ4_NL: 32 weights with a float16 scale, and with
 * Q4_1 and Q5_1 a float16 least value, that are searched for (encode_fit.c). The layouts are
 * ggml's, as blocks.c takes them apart. */
#include "kernel/blocks.h"
#include "kernel/encode.h"
#include "kernel/encode_fit.h"

#include <math.h>

void covey__importance(const float *x, const float *importance, int n, float *out) {
    float sum = 0.0f;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    float mean = sum / (float)n;
    if (!(mean > 0.0f) || !isfinite(mean)) {
        for (int i = 0; i < n; i++) out[i] = 1.0f;
        return;
    }
    for (int i = 0; i < n; i++) {
        float weight = sqrtf(mean + x[i] * x[i]);
        out[i] = importance ? importance[i] * weight + 1e-12f * weight : weight;
    }
}

static void put_nibbles(const float levels[32], int offset, uint8_t q[16]) {
    for (int i = 0; i < 16; i++) {
        int low = (int)levels[i] + offset, high = (int)levels[16 + i] + offset;
        q[i] = (uint8_t)((low & 15) | (high & 15) << 4);
    }
}

static void put_fifth_bits(const float levels[32], int offset, uint8_t high[4]) {
    memset(high, 0, 4);
    for (int i = 0; i < 32; i++)
        high[i / 8] |= (uint8_t)((((int)levels[i] + offset) >> 4) << (i % 8));
}

static uint16_t fit_around_zero(const float *x, const float *weights, int low, float levels[32]) {
    float d = covey__fit_symmetric(x, weights, 32, low, -low - 1);
    uint16_t bits = covey__f32_to_f16(d);
    covey__levels_symmetric(x, weights, 32, low, -low - 1, covey__half(bits), levels);
    return bits;
}

static void encode_q4_0(const float *x, const float *weights, uint8_t *out) {
    covey__block_q4_0 block;
    float levels[32];
    block.d = fit_around_zero(x, weights, -8, levels);
    put_nibbles(levels, 8, block.q);
    memcpy(out, &block, sizeof block);
}

static void encode_q5_0(const float *x, const float *weights, uint8_t *out) {
    covey__block_q5_0 block;
    float levels[32];
    block.d = fit_around_zero(x, weights, -16, levels);
    put_nibbles(levels, 16, block.q);
    put_fifth_bits(levels, 16, block.high);
    memcpy(out, &block, sizeof block);
}

/* The file's least value is added, not taken off: its sign turns. It may be of either sign, so the
 * group is moved to begin at zero first. */
static void fit_from_least(const float *x, const float *weights, int top, float levels[32],
                           uint16_t *d, uint16_t *m) {
    float moved[32], least = x[0];
    for (int i = 1; i < 32; i++)
        if (x[i] < least) least = x[i];
    float base = least > 0.0f ? least : 0.0f; /* the search knows least values up to zero */
    for (int i = 0; i < 32; i++) moved[i] = x[i] - base;
    covey__affine fit = covey__fit_affine(moved, weights, 32, top);
    *d = covey__f32_to_f16(fit.d);
    *m = covey__f32_to_f16(base - fit.m);
    fit.d = covey__half(*d);
    fit.m = -covey__half(*m);
    covey__levels_affine(x, weights, 32, top, fit, levels);
}

static void encode_q4_1(const float *x, const float *weights, uint8_t *out) {
    covey__block_q4_1 block;
    float levels[32];
    fit_from_least(x, weights, 15, levels, &block.d, &block.m);
    put_nibbles(levels, 0, block.q);
    memcpy(out, &block, sizeof block);
}

static void encode_q5_1(const float *x, const float *weights, uint8_t *out) {
    covey__block_q5_1 block;
    float levels[32];
    fit_from_least(x, weights, 31, levels, &block.d, &block.m);
    put_nibbles(levels, 0, block.q);
    put_fifth_bits(levels, 0, block.high);
    memcpy(out, &block, sizeof block);
}

/* ---- IQ4_NL: levels that are not evenly spaced ---- */

static int nearest_entry(float x) {
    int low = 0, high = 15;
    if (!(x > (float)covey__codebook[0])) return 0;
    if (x >= (float)covey__codebook[15]) return 15;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (x < (float)covey__codebook[middle])
            high = middle;
        else
            low = middle;
    }
    return x - (float)covey__codebook[low] <= (float)covey__codebook[high] - x ? low : high;
}

static float take_entries(const float *x, const float *weights, float d, float levels[32],
                          float *best_scale) {
    float error = 0.0f, lx = 0.0f, ll = 0.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int i = 0; i < 32; i++) {
        int entry = nearest_entry(x[i] * inverse);
        float value = (float)covey__codebook[entry], off = d * value - x[i];
        levels[i] = (float)entry;
        error += weights[i] * off * off;
        lx += weights[i] * value * x[i];
        ll += weights[i] * value * value;
    }
    *best_scale = ll > 0.0f ? lx / ll : 0.0f;
    return error;
}

static void encode_iq4_nl(const float *x, const float *weights, uint8_t *out) {
    covey__block_iq4_nl block;
    float levels[32], extreme = 0.0f, least = INFINITY, best = 0.0f;
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    for (int start = 0; start < 18 && extreme != 0.0f; start++) {
        float reach = (float)covey__codebook[start < 9 ? 0 : 15];
        float d = extreme / (reach * (1.0f + 0.02f * (float)(start % 9 - 4))), next;
        for (int round = 0; round < 3; round++, d = next) {
            float error = take_entries(x, weights, d, levels, &next);
            if (error < least) {
                least = error;
                best = d;
            }
        }
    }
    block.d = covey__f32_to_f16(best);
    float unused;
    take_entries(x, weights, covey__half(block.d), levels, &unused);
    put_nibbles(levels, 0, block.q);
    memcpy(out, &block, sizeof block);
}

void covey__encode_block(uint32_t type, const float *x, const float *importance, int32_t columns,
                         uint8_t *out) {
    float weights[32];
    size_t bytes = covey__kernel_row_bytes(type, 32);
    for (int32_t k = 0; k < columns; k += 32, out += bytes) {
        covey__importance(x + k, importance ? importance + k : NULL, 32, weights);
        if (type == COVEY__KT_Q4_0) encode_q4_0(x + k, weights, out);
        if (type == COVEY__KT_Q4_1) encode_q4_1(x + k, weights, out);
        if (type == COVEY__KT_Q5_0) encode_q5_0(x + k, weights, out);
        if (type == COVEY__KT_Q5_1) encode_q5_1(x + k, weights, out);
        if (type == COVEY__KT_IQ4_NL) encode_iq4_nl(x + k, weights, out);
    }
}
