/* Rows of weights: sizes by type, decoding to floats (exact but for the steps that
 * docs/arithmetic.md names), and the search for weights that are not finite. Encoding is in
 * encode.c. */
#include "kernel/blocks.h"

bool covey__kernel_supports(uint32_t type) {
    return covey__kernel_block(type) != 0;
}

int32_t covey__kernel_block(uint32_t type) {
    const covey__block_info *info = covey__block_info_get(type);
    if (info) return info->columns;
    return type == COVEY__KT_F32 || type == COVEY__KT_F16 || type == COVEY__KT_BF16;
}

size_t covey__kernel_row_bytes(uint32_t type, int32_t columns) {
    size_t n = (size_t)columns;
    const covey__block_info *info = covey__block_info_get(type);
    if (info) return n / (size_t)info->columns * info->bytes;
    if (type == COVEY__KT_F32) return n * 4;
    return type == COVEY__KT_F16 || type == COVEY__KT_BF16 ? n * 2 : 0;
}

covey__act covey__kernel_act(uint32_t type) {
    const covey__block_info *info = covey__block_info_get(type);
    if (!info) return COVEY__ACT_F32;
    return info->columns == 256 ? COVEY__ACT_Q256 : COVEY__ACT_Q32;
}

static void decode32(const covey__block_info *info, const uint8_t *data, int32_t columns,
                     float *out) {
    bool minimum = info->floats == 2;
    for (int32_t b = 0; b < columns / 32; b++) {
        covey__block32 block;
        info->take32(data + (size_t)b * info->bytes, &block);
        for (int i = 0; i < 32; i++) {
            float value = (float)block.q[i] * block.d;
            out[b * 32 + i] = minimum ? value + block.m : value;
        }
    }
}

static void decode256(const covey__block_info *info, const uint8_t *data, int32_t columns,
                      float *out) {
    for (int32_t b = 0; b < columns / 256; b++) {
        covey__block256 block;
        info->take256(data + (size_t)b * info->bytes, &block);
        for (int i = 0; i < 256; i++) {
            float scale = block.d * (float)block.scale[i / 16];
            float min = block.dmin * (float)block.min[i / 16];
            out[b * 256 + i] = scale * (float)block.q[i] - min;
        }
    }
}

void covey__row_decode(uint32_t type, const void *data, int32_t columns, float *out) {
    const uint8_t *bytes = data;
    const covey__block_info *info = covey__block_info_get(type);
    if (info && info->columns == 32)
        decode32(info, bytes, columns, out);
    else if (info)
        decode256(info, bytes, columns, out);
    else if (type == COVEY__KT_F32)
        memcpy(out, data, (size_t)columns * 4);
    else if (type == COVEY__KT_F16)
        for (int32_t i = 0; i < columns; i++) out[i] = covey__half(covey__load_u16(bytes + 2 * i));
    else if (type == COVEY__KT_BF16)
        for (int32_t i = 0; i < columns; i++)
            out[i] = covey__bits_to_f32((uint32_t)covey__load_u16(bytes + 2 * i) << 16);
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

static bool row_bad(const covey__weights *w, const uint8_t *row) {
    size_t n = (size_t)w->columns;
    const covey__block_info *info = covey__block_info_get(w->type);
    if (info) {
        bool bad = false;
        for (size_t i = 0; i < info->floats; i++)
            bad |= any_special16(row + info->d + 2 * i, info->bytes, n / (size_t)info->columns,
                                 0x7c00);
        return bad;
    }
    if (w->type == COVEY__KT_F32) return any_special32(row, n);
    return any_special16(row, 2, n, w->type == COVEY__KT_F16 ? 0x7c00 : 0x7f80);
}

int32_t covey__weights_check(const covey__weights *w, int32_t r0, int32_t r1) {
    for (int32_t r = r0; r < r1; r++)
        if (row_bad(w, (const uint8_t *)w->data + (size_t)r * w->row_bytes)) return r;
    return -1;
}
