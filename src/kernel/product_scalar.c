/* The definition of the matrix products: docs/arithmetic.md, "Products". Each output is one chain
 * of float operations over blocks in ascending order (quantized weights), or 16 partial sums and a
 * tree (float weights). Integer sums are exact, so their order is free. */
#include "kernel/blocks.h"

/* Blocks of 32 with a scale, and some with a minimum. */
static float dot32(const covey__block_info *info, const uint8_t *w, const covey__act_row *a,
                   int32_t columns) {
    float acc = 0.0f;
    for (int32_t b = 0; b < columns / 32; b++) {
        covey__block32 block;
        info->take32(w + (size_t)b * info->bytes, &block);
        int32_t isum = 0, asum = 0;
        for (int32_t i = 0; i < 32; i++) {
            isum += block.q[i] * a->q[b * 32 + i];
            asum += a->q[b * 32 + i];
        }
        if (info->floats == 1) {
            float scale = block.d * a->d[b];
            acc = acc + (float)isum * scale;
        } else {
            float product = (float)isum * block.d, offset = (float)asum * block.m;
            float sum = product + offset;
            acc = acc + sum * a->d[b];
        }
    }
    return acc;
}

/* Blocks of 256. Without minimums msum and dmin are 0, and taking +0 away changes no bit. */
static float dot256(const covey__block_info *info, const uint8_t *w, const covey__act_row *a,
                    int32_t columns) {
    float acc = 0.0f;
    for (int32_t b = 0; b < columns / 256; b++) {
        covey__block256 block;
        info->take256(w + (size_t)b * info->bytes, &block);
        int32_t isum = 0, msum = 0;
        for (int32_t j = 0; j < 16; j++) {
            const int8_t *q = a->q + b * 256 + j * 16;
            int32_t dot = 0, asum = 0;
            for (int32_t i = 0; i < 16; i++) {
                dot += block.q[j * 16 + i] * q[i];
                asum += q[i];
            }
            isum += block.scale[j] * dot;
            msum += block.min[j] * asum;
        }
        float product = (float)isum * block.d, offset = (float)msum * block.dmin;
        float sum = product - offset;
        acc = acc + sum * a->d[b];
    }
    return acc;
}

/* Partial sum p takes the columns p, p + 16, p + 32 and so on. */
static float dot_f32(const uint8_t *w, const covey__act_row *a, int32_t columns) {
    float partial[COVEY__LANES] = {0};
    for (int32_t i = 0; i < columns; i++) {
        float weight;
        memcpy(&weight, w + 4 * (size_t)i, 4);
        partial[i % 16] = partial[i % 16] + weight * a->x[i];
    }
    return covey__tree16(partial);
}

static float dot_f16(const uint8_t *w, const covey__act_row *a, int32_t columns) {
    float partial[COVEY__LANES] = {0};
    for (int32_t i = 0; i < columns; i++) {
        float weight = covey__half(covey__load_u16(w + 2 * (size_t)i));
        partial[i % 16] = partial[i % 16] + weight * a->x[i];
    }
    return covey__tree16(partial);
}

static float dot_bf16(const uint8_t *w, const covey__act_row *a, int32_t columns) {
    float partial[COVEY__LANES] = {0};
    for (int32_t i = 0; i < columns; i++) {
        float weight = covey__bits_to_f32((uint32_t)covey__load_u16(w + 2 * (size_t)i) << 16);
        partial[i % 16] = partial[i % 16] + weight * a->x[i];
    }
    return covey__tree16(partial);
}

void covey__matvec_any_scalar(const covey__weights *w, const covey__act_row *a, int32_t r0,
                              int32_t r1, const uint8_t *next, float *out) {
    (void)next;
    const covey__block_info *info = covey__block_info_get(w->type);
    for (int32_t r = r0; r < r1; r++) {
        const uint8_t *row = (const uint8_t *)w->data + (size_t)r * w->row_bytes;
        if (info)
            out[r] = info->columns == 32 ? dot32(info, row, a, w->columns)
                                         : dot256(info, row, a, w->columns);
        else if (w->type == COVEY__KT_F32)
            out[r] = dot_f32(row, a, w->columns);
        else
            out[r] = w->type == COVEY__KT_F16 ? dot_f16(row, a, w->columns)
                                              : dot_bf16(row, a, w->columns);
    }
}

/* A packed token as a plain row, in scratch: columns bytes, then their scales. */
static covey__act_row gather(const covey__activations *a, int32_t token, void *scratch) {
    if (a->group == 1) return covey__act_row_get(a, token);
    size_t units = (size_t)a->columns / 4,
           blocks = (size_t)(a->columns / covey__act_block(a->kind));
    int8_t *q = scratch;
    float *d = (float *)(void *)(q + covey__pad16((size_t)a->columns));
    for (size_t i = 0; i < units; i++)
        memcpy(q + 4 * i, a->q + 4 * covey__act_at(a, token, i, units), 4);
    for (size_t b = 0; b < blocks; b++) d[b] = a->d[covey__act_at(a, token, b, blocks)];
    covey__act_row row = {NULL, q, d, {NULL, NULL}, NULL, NULL};
    return row;
}

void covey__matmul_any_scalar(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    for (int32_t t = 0; t < p->a->tokens; t++) {
        covey__act_row row = gather(p->a, t, scratch);
        covey__matvec_any_scalar(p->w, &row, r0, r1, NULL, p->out + (size_t)t * p->out_stride);
    }
}
