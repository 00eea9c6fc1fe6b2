/* KV pages: their layout by type, and how a token's key and value are stored in them.
 * docs/arithmetic.md, "Attention", says which bits. Reading them is attention's: the definition in
 * attention_scalar.c, and one file for each instruction set. */
#include "kernel/parts.h"

#define F16_MAX 65504.0f

size_t covey__page_k_bytes(covey__kv_type kv, int32_t head_dim) {
    size_t values = (size_t)head_dim * COVEY__PAGE_KEYS;
    if (kv == COVEY__KV_F32) return values * sizeof(float);
    if (kv == COVEY__KV_F16) return values * sizeof(uint16_t);
    return values + values / 32 * sizeof(uint16_t);
}

size_t covey__page_v_bytes(covey__kv_type kv, int32_t head_dim) {
    return covey__page_k_bytes(kv, head_dim);
}

static float magnitude(float x) {
    return covey__bits_to_f32(covey__f32_bits(x) & 0x7fffffffu);
}

/* To F16, or to the greatest one of its sign; `fits` is cleared then. */
static uint16_t to_half(float x, bool *fits) {
    uint16_t half = covey__f32_to_f16(x);
    if ((half & 0x7c00) != 0x7c00) return half;
    *fits = false;
    return (uint16_t)((half & 0x8000) | 0x7bff);
}

/* One block of 32 to int8; returns its scale's bits. */
static uint16_t quantize(const float *x, int8_t *q, bool *fits) {
    float amax = 0.0f;
    for (int i = 0; i < 32; i++) amax = magnitude(x[i]) > amax ? magnitude(x[i]) : amax;
    uint16_t half = to_half(amax / 127.0f, fits);
    if (half == 0) {
        memset(q, 0, 32);
        return 0;
    }
    float inverse = 1.0f / covey__half(half);
    for (int i = 0; i < 32; i++) {
        float y = x[i] * inverse;
        y = y > 127.0f ? 127.0f : y < -127.0f ? -127.0f : y;
        y = y + 0x1.8p23f;
        q[i] = (int8_t)(int32_t)(y - 0x1.8p23f);
    }
    return half;
}

static void put_f32(float *k_page, float *v_page, int32_t head_dim, int32_t slot, const float *k,
                    const float *v) {
    for (int32_t d = 0; d < head_dim; d++) k_page[d * COVEY__PAGE_KEYS + slot] = k[d];
    memcpy(v_page + (size_t)slot * (size_t)head_dim, v, (size_t)head_dim * sizeof *v);
}

/* to_half of a row, without branches, so that compilers make SIMD of it: both ways of rounding are
 * computed (covey__f32_to_f16 says what they are). */
static COVEY__NOINLINE bool to_halves(const float *x, int32_t n, uint16_t *out) {
    int32_t over = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t bits = covey__f32_bits(x[i]), sign = bits >> 16 & 0x8000u;
        int32_t whole = (int32_t)(bits & 0x7fffffffu);
        float sum = magnitude(x[i]) + 0.5f;
        int32_t small = (int32_t)covey__f32_bits(sum) - 0x3f000000;
        int32_t normal = (whole - 0x38000000 + 0xfff + (whole >> 13 & 1)) >> 13;
        int32_t subnormal = (whole - 0x38800000) >> 31; /* all ones or none */
        int32_t half = (small & subnormal) | (normal & ~subnormal);
        int32_t above = (0x7bff - half) >> 31;
        over |= above;
        half = (0x7bff & above) | (half & ~above);
        out[i] = (uint16_t)(sign | (uint32_t)half);
    }
    return over == 0;
}

static bool put_f16(uint16_t *k_page, uint16_t *v_page, int32_t head_dim, int32_t slot,
                    const float *k, const float *v) {
    uint16_t halves[COVEY__HEAD_DIM_MAX];
    bool fits = to_halves(v, head_dim, v_page + (size_t)slot * (size_t)head_dim);
    fits = to_halves(k, head_dim, halves) && fits;
    for (int32_t d = 0; d < head_dim; d++) k_page[d * COVEY__PAGE_KEYS + slot] = halves[d];
    return fits;
}

static bool put_q8_0(int8_t *k_page, int8_t *v_page, int32_t head_dim, int32_t slot, const float *k,
                     const float *v) {
    bool fits = true;
    size_t values = (size_t)head_dim * COVEY__PAGE_KEYS;
    int32_t blocks = head_dim / 32;
    uint16_t *k_scales = (uint16_t *)(void *)(k_page + values);
    uint16_t *v_scales = (uint16_t *)(void *)(v_page + values);
    for (int32_t b = 0; b < blocks; b++) {
        int8_t q[32];
        k_scales[b * COVEY__PAGE_KEYS + slot] = quantize(k + 32 * b, q, &fits);
        for (int32_t i = 0; i < 32; i++) k_page[(32 * b + i) * COVEY__PAGE_KEYS + slot] = q[i];
        v_scales[slot * blocks + b] =
            quantize(v + 32 * b, v_page + slot * head_dim + 32 * b, &fits);
    }
    return fits;
}

bool covey__page_put(covey__kv_type kv, void *k_page, void *v_page, int32_t head_dim, int32_t slot,
                     const float *k, const float *v) {
    if (kv == COVEY__KV_F16) return put_f16(k_page, v_page, head_dim, slot, k, v);
    if (kv == COVEY__KV_Q8_0) return put_q8_0(k_page, v_page, head_dim, slot, k, v);
    put_f32(k_page, v_page, head_dim, slot, k, v);
    return true;
}
