/* The definition of the matrix products: docs/arithmetic.md, "Products". Each output is one chain
 * of float operations over blocks in ascending order (quantized weights), or 16 partial sums and a
 * tree (float weights). Integer sums are exact, so their order is free. */
#include "kernel/blocks.h"

/* Types with blocks of 32 and one scale. */
COVEY__INLINE float dot_scale(const uint8_t *w, const covey__act_row *a, int32_t columns,
                              size_t bytes, covey__take32_fn take) {
    float acc = 0.0f;
    for (int32_t b = 0; b < columns / 32; b++) {
        covey__block32 block;
        take(w + (size_t)b * bytes, &block);
        int32_t isum = 0;
        for (int32_t i = 0; i < 32; i++) isum += block.q[i] * a->q[b * 32 + i];
        float scale = block.d * a->d[b];
        acc = acc + (float)isum * scale;
    }
    return acc;
}

/* Types with blocks of 32, a scale and a minimum. */
COVEY__INLINE float dot_min(const uint8_t *w, const covey__act_row *a, int32_t columns,
                            size_t bytes, covey__take32_fn take) {
    float acc = 0.0f;
    for (int32_t b = 0; b < columns / 32; b++) {
        covey__block32 block;
        take(w + (size_t)b * bytes, &block);
        int32_t isum = 0, asum = 0;
        for (int32_t i = 0; i < 32; i++) {
            isum += block.q[i] * a->q[b * 32 + i];
            asum += a->q[b * 32 + i];
        }
        float product = (float)isum * block.d, offset = (float)asum * block.m;
        float sum = product + offset;
        acc = acc + sum * a->d[b];
    }
    return acc;
}

/* Types with blocks of 256. Without minimums msum and dmin are 0, and taking +0 away changes no
 * bit. */
COVEY__INLINE float dot_k(const uint8_t *w, const covey__act_row *a, int32_t columns, size_t bytes,
                          covey__take256_fn take) {
    float acc = 0.0f;
    for (int32_t b = 0; b < columns / 256; b++) {
        covey__block256 block;
        take(w + (size_t)b * bytes, &block);
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

#define DOT(type, kind, bytes)                                                                     \
    static float dot_##type(const uint8_t *w, const covey__act_row *a, int32_t columns) {          \
        return dot_##kind(w, a, columns, bytes, covey__take_##type);                               \
    }
DOT(q8_0, scale, 34)
DOT(q4_0, scale, 18)
DOT(q5_0, scale, 22)
DOT(iq4_nl, scale, 18)
DOT(q4_1, min, 20)
DOT(q5_1, min, 24)
DOT(q2_k, k, 84)
DOT(q3_k, k, 110)
DOT(q4_k, k, 144)
DOT(q5_k, k, 176)
DOT(q6_k, k, 210)
DOT(iq4_xs, k, 136)

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

typedef float (*dot_fn)(const uint8_t *w, const covey__act_row *a, int32_t columns);

COVEY__INLINE void matvec(const covey__weights *w, const covey__act_row *a, int32_t r0, int32_t r1,
                          float *out, dot_fn dot) {
    const uint8_t *data = w->data;
    for (int32_t r = r0; r < r1; r++) out[r] = dot(data + (size_t)r * w->row_bytes, a, w->columns);
}

#define MATVEC(type)                                                                               \
    void covey__matvec_##type##_scalar(const covey__weights *w, const covey__act_row *a,           \
                                       int32_t r0, int32_t r1, const uint8_t *next, float *out) {  \
        (void)next;                                                                                \
        matvec(w, a, r0, r1, out, dot_##type);                                                     \
    }
MATVEC(f32)
MATVEC(f16)
MATVEC(bf16)
MATVEC(q8_0)
MATVEC(q4_0)
MATVEC(q6_k)
MATVEC(q4_1)
MATVEC(q5_0)
MATVEC(q5_1)
MATVEC(iq4_nl)
MATVEC(q2_k)
MATVEC(q3_k)
MATVEC(q4_k)
MATVEC(q5_k)
MATVEC(iq4_xs)

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

static void matmul(const covey__product *p, int32_t r0, int32_t r1, void *scratch, dot_fn dot) {
    for (int32_t t = 0; t < p->a->tokens; t++) {
        covey__act_row row = gather(p->a, t, scratch);
        matvec(p->w, &row, r0, r1, p->out + (size_t)t * p->out_stride, dot);
    }
}

#define MATMUL(type)                                                                               \
    void covey__matmul_##type##_scalar(const covey__product *p, int32_t r0, int32_t r1,            \
                                       void *scratch) {                                            \
        matmul(p, r0, r1, scratch, dot_##type);                                                    \
    }
MATMUL(q8_0)
MATMUL(q4_0)
MATMUL(q6_k)
MATMUL(q4_1)
MATMUL(q5_0)
MATMUL(q5_1)
MATMUL(iq4_nl)
MATMUL(q2_k)
MATMUL(q3_k)
MATMUL(q4_k)
MATMUL(q5_k)
MATMUL(iq4_xs)

void covey__matmul_float_scalar(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    uint32_t type = p->w->type;
    dot_fn dot = type == COVEY__KT_F32 ? dot_f32 : type == COVEY__KT_F16 ? dot_f16 : dot_bf16;
    matmul(p, r0, r1, scratch, dot);
}
