/* The definition of the matrix products: docs/arithmetic.md, "Products". Each output is one chain
 * of float operations over blocks in ascending order (quantized weights), or 16 partial sums and a
 * tree (float weights). Integer sums are exact, so their order is free. */
#include "kernel/parts.h"

static float dot_q8_0(const uint8_t *w, const covey__act_row *a, int32_t columns) {
    float acc = 0.0f;
    for (int32_t b = 0; b < columns / 32; b++) {
        const uint8_t *block = w + (size_t)b * 34;
        int32_t isum = 0;
        for (int32_t i = 0; i < 32; i++) isum += (int8_t)block[2 + i] * a->q[b * 32 + i];
        float scale = covey__half(covey__load_u16(block)) * a->d[b];
        acc = acc + (float)isum * scale;
    }
    return acc;
}

static float dot_q4_0(const uint8_t *w, const covey__act_row *a, int32_t columns) {
    float acc = 0.0f;
    for (int32_t b = 0; b < columns / 32; b++) {
        const uint8_t *block = w + (size_t)b * 18;
        int32_t isum = 0;
        for (int32_t i = 0; i < 16; i++) {
            isum += ((block[2 + i] & 15) - 8) * a->q[b * 32 + i];
            isum += ((block[2 + i] >> 4) - 8) * a->q[b * 32 + 16 + i];
        }
        float scale = covey__half(covey__load_u16(block)) * a->d[b];
        acc = acc + (float)isum * scale;
    }
    return acc;
}

/* The 16 weights (-32 to 31) of sub-block `j`. */
static void sub_block_q6_k(const covey__block_q6_k *block, int32_t j, int32_t q[16]) {
    int32_t half = j / 8, quarter = (j / 2) % 4, first = (j % 2) * 16;
    for (int32_t i = 0; i < 16; i++) {
        int32_t lane = first + i;
        int32_t low = block->low[half * 64 + (quarter & 1) * 32 + lane];
        low = quarter & 2 ? low >> 4 : low & 15;
        int32_t high = (block->high[half * 32 + lane] >> (2 * quarter)) & 3;
        q[i] = (low | high << 4) - 32;
    }
}

static float dot_q6_k(const uint8_t *w, const covey__act_row *a, int32_t columns) {
    float acc = 0.0f;
    for (int32_t b = 0; b < columns / 256; b++) {
        covey__block_q6_k block;
        memcpy(&block, w + (size_t)b * sizeof block, sizeof block);
        int32_t isum = 0;
        for (int32_t j = 0; j < 16; j++) {
            int32_t q[16], sub = 0;
            sub_block_q6_k(&block, j, q);
            for (int32_t i = 0; i < 16; i++) sub += q[i] * a->q[b * 256 + j * 16 + i];
            isum += block.scales[j] * sub;
        }
        float scaled = (float)isum * covey__half(block.d);
        acc = acc + scaled * a->d[b];
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
    covey__act_row row = {NULL, q, d, {NULL, NULL}, NULL};
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

void covey__matmul_float_scalar(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    uint32_t type = p->w->type;
    dot_fn dot = type == COVEY__KT_F32 ? dot_f32 : type == COVEY__KT_F16 ? dot_f16 : dot_bf16;
    matmul(p, r0, r1, scratch, dot);
}
