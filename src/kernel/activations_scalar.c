/* The definition of how activations become int8: docs/arithmetic.md, "Activations". */
#include "kernel/parts.h"

/* One block. Amounts below 2^-40 count as zero; a block with a NaN or an infinity gets a NaN scale
 * and zeros, so that every output it enters is NaN. Returns the scale. */
static float quantize(const float *x, int32_t n, int8_t *q) {
    uint32_t greatest = 0; /* of the absolute values' bits: their order is that of the values */
    for (int32_t i = 0; i < n; i++) {
        uint32_t bits = covey__f32_bits(x[i]) & 0x7fffffffu;
        if (bits > greatest) greatest = bits;
    }
    float amax = covey__bits_to_f32(greatest);
    bool special = greatest >= 0x7f800000u;
    if (special || amax < 0x1p-40f) {
        memset(q, 0, (size_t)n);
        return special ? covey__bits_to_f32(0x7fc00000u) : 0.0f;
    }
    float inverse = 127.0f / amax;
    for (int32_t i = 0; i < n; i++) {
        float rounded = x[i] * inverse + 0x1.8p23f;
        q[i] = (int8_t)(int32_t)(rounded - 0x1.8p23f);
    }
    return amax / 127.0f;
}

static int32_t sum(const int8_t *q, int32_t n) {
    int32_t total = 0;
    for (int32_t i = 0; i < n; i++) total += q[i];
    return total;
}

static void put_sums(covey__activations *a, int32_t token, int32_t block, const int8_t *q) {
    size_t k = (size_t)a->columns;
    if (a->kind == COVEY__ACT_Q32) {
        size_t at = covey__act_at(a, token, (size_t)block, k / 32);
        a->bias[0][at] = -8 * sum(q, 32);
        a->bias[1][at] = -128 * sum(q, 32);
        return;
    }
    for (int32_t j = 0; j < 16; j++) {
        size_t sub = (size_t)block * 16 + (size_t)j;
        int32_t total = sum(q + 16 * j, 16);
        a->bias[0][covey__act_at(a, token, sub, k / 16)] = -32 * total;
        a->sums16[(size_t)token * (k / 16) + sub] = (int16_t)total;
    }
    for (int32_t j = 0; j < 8; j++) {
        size_t sub = (size_t)block * 8 + (size_t)j;
        int32_t total = sum(q + 32 * j, 32);
        a->bias[1][covey__act_at(a, token, sub, k / 32)] = -128 * total;
        a->sums32[(size_t)token * (k / 32) + sub] = (int16_t)total;
    }
}

static void copy_row(covey__activations *a, const float *x, int32_t token) {
    size_t k = (size_t)a->columns, padded = covey__pad16(k);
    float *row = a->x + (size_t)token * covey__act_stride(k);
    memcpy(row, x, k * sizeof *x);
    for (size_t i = k; i < padded; i++) row[i] = 0.0f;
}

void covey__activations_scalar(covey__activations *a, const float *x, size_t x_stride, int32_t t0,
                               int32_t t1) {
    int32_t size = covey__act_block(a->kind), blocks = a->columns / size;
    for (int32_t t = t0; t < t1; t++) {
        const float *row = x + (size_t)t * x_stride;
        if (a->kind == COVEY__ACT_F32) {
            copy_row(a, row, t);
            continue;
        }
        for (int32_t b = 0; b < blocks; b++) {
            int8_t q[256];
            float d = quantize(row + (size_t)b * (size_t)size, size, q);
            a->d[covey__act_at(a, t, (size_t)b, (size_t)blocks)] = d;
            for (int32_t i = 0; i < size / 4; i++) {
                size_t unit = (size_t)b * (size_t)(size / 4) + (size_t)i;
                memcpy(a->q + 4 * covey__act_at(a, t, unit, (size_t)a->columns / 4), q + 4 * i, 4);
            }
            put_sums(a, t, b, q);
        }
    }
}
