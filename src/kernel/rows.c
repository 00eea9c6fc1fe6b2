/* Rows of weights: sizes by type, decoding to floats (exact but for one product a weight), and the
 * search for weights that are not finite. Encoding is in encode.c. */
#include "kernel/parts.h"

bool covey__kernel_supports(uint32_t type) {
    return covey__kernel_block(type) != 0;
}

int32_t covey__kernel_block(uint32_t type) {
    switch (type) {
    case COVEY__KT_F32:
    case COVEY__KT_F16:
    case COVEY__KT_BF16:
        return 1;
    case COVEY__KT_Q8_0:
    case COVEY__KT_Q4_0:
        return 32;
    case COVEY__KT_Q6_K:
        return 256;
    default:
        return 0;
    }
}

size_t covey__kernel_row_bytes(uint32_t type, int32_t columns) {
    size_t n = (size_t)columns;
    switch (type) {
    case COVEY__KT_F32:
        return n * 4;
    case COVEY__KT_F16:
    case COVEY__KT_BF16:
        return n * 2;
    case COVEY__KT_Q8_0:
        return n / 32 * sizeof(covey__block_q8_0);
    case COVEY__KT_Q4_0:
        return n / 32 * sizeof(covey__block_q4_0);
    case COVEY__KT_Q6_K:
        return n / 256 * sizeof(covey__block_q6_k);
    default:
        return 0;
    }
}

covey__act covey__kernel_act(uint32_t type) {
    if (type == COVEY__KT_Q6_K) return COVEY__ACT_Q256;
    return type == COVEY__KT_Q8_0 || type == COVEY__KT_Q4_0 ? COVEY__ACT_Q32 : COVEY__ACT_F32;
}

static void decode_q8_0(const uint8_t *data, int32_t columns, float *out) {
    for (int32_t b = 0; b < columns / 32; b++) {
        covey__block_q8_0 block;
        memcpy(&block, data + (size_t)b * sizeof block, sizeof block);
        float d = covey__half(block.d);
        for (int i = 0; i < 32; i++) out[b * 32 + i] = (float)block.q[i] * d;
    }
}

static void decode_q4_0(const uint8_t *data, int32_t columns, float *out) {
    for (int32_t b = 0; b < columns / 32; b++) {
        covey__block_q4_0 block;
        memcpy(&block, data + (size_t)b * sizeof block, sizeof block);
        float d = covey__half(block.d);
        for (int i = 0; i < 16; i++) {
            out[b * 32 + i] = (float)((block.q[i] & 15) - 8) * d;
            out[b * 32 + 16 + i] = (float)((block.q[i] >> 4) - 8) * d;
        }
    }
}

static void decode_q6_k(const uint8_t *data, int32_t columns, float *out) {
    for (int32_t b = 0; b < columns / 256; b++) {
        covey__block_q6_k block;
        memcpy(&block, data + (size_t)b * sizeof block, sizeof block);
        float d = covey__half(block.d);
        for (int i = 0; i < 256; i++) {
            int half = i >> 7, lane = i & 31, quarter = (i >> 5) & 3;
            int low = block.low[half * 64 + (quarter & 1) * 32 + lane];
            low = quarter & 2 ? low >> 4 : low & 15;
            int q = (low | ((block.high[half * 32 + lane] >> (2 * quarter)) & 3) << 4) - 32;
            out[b * 256 + i] = (d * (float)block.scales[i >> 4]) * (float)q;
        }
    }
}

void covey__row_decode(uint32_t type, const void *data, int32_t columns, float *out) {
    const uint8_t *bytes = data;
    switch (type) {
    case COVEY__KT_F32:
        memcpy(out, data, (size_t)columns * 4);
        break;
    case COVEY__KT_F16:
        for (int32_t i = 0; i < columns; i++) out[i] = covey__half(covey__load_u16(bytes + 2 * i));
        break;
    case COVEY__KT_BF16:
        for (int32_t i = 0; i < columns; i++)
            out[i] = covey__bits_to_f32((uint32_t)covey__load_u16(bytes + 2 * i) << 16);
        break;
    case COVEY__KT_Q8_0:
        decode_q8_0(bytes, columns, out);
        break;
    case COVEY__KT_Q4_0:
        decode_q4_0(bytes, columns, out);
        break;
    case COVEY__KT_Q6_K:
        decode_q6_k(bytes, columns, out);
        break;
    default:
        break;
    }
}

/* Whether any of `count` 16-bit floats, `stride` bytes apart, has all exponent bits set. */
static bool any_special16(const uint8_t *p, size_t stride, size_t count, uint16_t exponent) {
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++)
        bad |= (covey__load_u16(p + i * stride) & exponent) == exponent;
    return bad != 0;
}

static bool any_special32(const uint8_t *p, size_t count) {
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, p + 4 * i, 4);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return bad != 0;
}

int32_t covey__weights_check(const covey__weights *w, int32_t r0, int32_t r1) {
    size_t n = (size_t)w->columns;
    for (int32_t r = r0; r < r1; r++) {
        const uint8_t *row = (const uint8_t *)w->data + (size_t)r * w->row_bytes;
        bool bad = false;
        switch (w->type) {
        case COVEY__KT_F32:
            bad = any_special32(row, n);
            break;
        case COVEY__KT_F16:
            bad = any_special16(row, 2, n, 0x7c00);
            break;
        case COVEY__KT_BF16:
            bad = any_special16(row, 2, n, 0x7f80);
            break;
        case COVEY__KT_Q8_0:
            bad = any_special16(row, 34, n / 32, 0x7c00);
            break;
        case COVEY__KT_Q4_0:
            bad = any_special16(row, 18, n / 32, 0x7c00);
            break;
        case COVEY__KT_Q6_K:
            bad = any_special16(row + 208, 210, n / 256, 0x7c00);
            break;
        default:
            break;
        }
        if (bad) return r;
    }
    return -1;
}
