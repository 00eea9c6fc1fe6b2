/* The kernel tables, one an instruction set, and the way of a product to the function for its type:
 * one or two tokens go over rows as they lie in the file, many go over unpacked tiles, and a few
 * have a way of their own where an instruction set has one for the type. */
#include "kernel/parts.h"

#if defined(__x86_64__)
#define COVEY_X86 1
#else
#define COVEY_X86 0
#endif

static int op_index(uint32_t type) {
    static const uint8_t indices[] = {
        [COVEY__KT_F32] = COVEY__OP_F32,       [COVEY__KT_F16] = COVEY__OP_F16,
        [COVEY__KT_BF16] = COVEY__OP_BF16,     [COVEY__KT_Q8_0] = COVEY__OP_Q8_0,
        [COVEY__KT_Q4_0] = COVEY__OP_Q4_0,     [COVEY__KT_Q6_K] = COVEY__OP_Q6_K,
        [COVEY__KT_Q4_1] = COVEY__OP_Q4_1,     [COVEY__KT_Q5_0] = COVEY__OP_Q5_0,
        [COVEY__KT_Q5_1] = COVEY__OP_Q5_1,     [COVEY__KT_IQ4_NL] = COVEY__OP_IQ4_NL,
        [COVEY__KT_Q2_K] = COVEY__OP_Q2_K,     [COVEY__KT_Q3_K] = COVEY__OP_Q3_K,
        [COVEY__KT_Q4_K] = COVEY__OP_Q4_K,     [COVEY__KT_Q5_K] = COVEY__OP_Q5_K,
        [COVEY__KT_IQ4_XS] = COVEY__OP_IQ4_XS,
    };
    return indices[type];
}

size_t covey__product_scratch_bytes(int32_t columns_max) {
    _Static_assert(COVEY__TILE_SCRATCH >= COVEY__FLOAT_SCRATCH, "scratch");
    /* A tile of quantized weights needs most; 4 rows of floats (AVX2) or a token's plain row
     * (scalar) may be more with very many columns. */
    size_t rows = (covey__pad16((size_t)columns_max) + 64) * 16;
    return rows > COVEY__TILE_SCRATCH ? rows : COVEY__TILE_SCRATCH;
}

/* Rows that stay in the first cache while the second token passes over them. */
#define ROW_BYTES_NEAR 16384

static void run_plain(covey__matvec_fn matvec, const covey__product *p, int32_t r0, int32_t r1,
                      const uint8_t *next) {
    const covey__weights *w = p->w;
    int32_t step = r1 - r0;
    if (p->a->tokens > 1) step = (int32_t)(ROW_BYTES_NEAR / (w->row_bytes + 1) + 16) & ~15;
    for (int32_t r = r0; r < r1; r += step) {
        int32_t end = r1 - r < step ? r1 : r + step;
        const uint8_t *after = (const uint8_t *)w->data + (size_t)end * w->row_bytes;
        for (int32_t t = 0; t < p->a->tokens; t++) {
            covey__act_row row = covey__act_row_get(p->a, t);
            bool last = t == p->a->tokens - 1;
            matvec(w, &row, r, end,
                   !last       ? NULL
                   : end == r1 ? next
                               : after,
                   p->out + (size_t)t * p->out_stride);
        }
    }
}

void covey__product_run(const covey__product_ops *ops, const covey__product *p, int32_t r0,
                        int32_t r1, const void *next, void *scratch) {
    const covey__product_ops *op = &ops[op_index(p->w->type)];
    if (r0 >= r1) return;
    if (p->a->group == 1 && p->a->tokens <= COVEY__PLAIN_MAX)
        run_plain(op->matvec, p, r0, r1, next);
    else
        op->matmul(p, r0, r1, scratch);
}

#define OP(type, isa)                                                                              \
    { covey__matvec_##type##_##isa, covey__matmul_##type##_##isa }
/* One token waits for memory: AVX-VNNI has nothing to add to AVX2 there, nor with floats. */
#define VNNI(type)                                                                                 \
    { covey__matvec_##type##_avx2, covey__matmul_##type##_avxvnni }
#define FLOATS(isa)                                                                                \
    [COVEY__OP_F32] = {covey__matvec_f32_##isa, covey__matmul_float_##isa},                        \
    [COVEY__OP_F16] = {covey__matvec_f16_##isa, covey__matmul_float_##isa},                        \
    [COVEY__OP_BF16] = {covey__matvec_bf16_##isa, covey__matmul_float_##isa}

#define PRODUCT(isa)                                                                               \
    static void product_##isa(const covey__product *p, int32_t r0, int32_t r1, const void *next,   \
                              void *scratch) {                                                     \
        covey__product_run(covey__product_ops_##isa, p, r0, r1, next, scratch);                    \
    }

#define ANY OP(any, scalar)
const covey__product_ops covey__product_ops_scalar[COVEY__OP_COUNT] = {
    ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY,
};

#if COVEY_X86
const covey__product_ops covey__product_ops_avx2[COVEY__OP_COUNT] = {
    FLOATS(avx2),
    [COVEY__OP_Q8_0] = OP(q8_0, avx2),
    [COVEY__OP_Q4_0] = OP(q4_0, avx2),
    [COVEY__OP_Q6_K] = OP(q6_k, avx2),
    [COVEY__OP_Q4_1] = OP(q4_1, avx2),
    [COVEY__OP_Q5_0] = OP(q5_0, avx2),
    [COVEY__OP_Q5_1] = OP(q5_1, avx2),
    [COVEY__OP_IQ4_NL] = OP(iq4_nl, avx2),
    [COVEY__OP_Q2_K] = OP(q2_k, avx2),
    [COVEY__OP_Q3_K] = OP(q3_k, avx2),
    [COVEY__OP_Q4_K] = OP(q4_k, avx2),
    [COVEY__OP_Q5_K] = OP(q5_k, avx2),
    [COVEY__OP_IQ4_XS] = OP(iq4_xs, avx2),
};

const covey__product_ops covey__product_ops_avxvnni[COVEY__OP_COUNT] = {
    FLOATS(avx2),
    [COVEY__OP_Q8_0] = VNNI(q8_0),
    [COVEY__OP_Q4_0] = VNNI(q4_0),
    [COVEY__OP_Q6_K] = VNNI(q6_k),
    [COVEY__OP_Q4_1] = VNNI(q4_1),
    [COVEY__OP_Q5_0] = VNNI(q5_0),
    [COVEY__OP_Q5_1] = VNNI(q5_1),
    [COVEY__OP_IQ4_NL] = VNNI(iq4_nl),
    [COVEY__OP_Q2_K] = VNNI(q2_k),
    [COVEY__OP_Q3_K] = VNNI(q3_k),
    [COVEY__OP_Q4_K] = VNNI(q4_k),
    [COVEY__OP_Q5_K] = VNNI(q5_k),
    [COVEY__OP_IQ4_XS] = VNNI(iq4_xs),
};

const covey__product_ops covey__product_ops_avx512[COVEY__OP_COUNT] = {
    FLOATS(avx512),
    [COVEY__OP_Q8_0] = OP(q8_0, avx512),
    [COVEY__OP_Q4_0] = OP(q4_0, avx512),
    [COVEY__OP_Q6_K] = OP(q6_k, avx512),
    [COVEY__OP_Q4_1] = OP(q4_1, avx512),
    [COVEY__OP_Q5_0] = OP(q5_0, avx512),
    [COVEY__OP_Q5_1] = OP(q5_1, avx512),
    [COVEY__OP_IQ4_NL] = OP(iq4_nl, avx512),
    [COVEY__OP_Q2_K] = OP(q2_k, avx512),
    [COVEY__OP_Q3_K] = OP(q3_k, avx512),
    [COVEY__OP_Q4_K] = OP(q4_k, avx512),
    [COVEY__OP_Q5_K] = OP(q5_k, avx512),
    [COVEY__OP_IQ4_XS] = OP(iq4_xs, avx512),
};
#endif

static void row(const covey__weights *w, int32_t r, float *out) {
    const uint8_t *data = w->data;
    covey__row_decode(w->type, data + (size_t)r * w->row_bytes, w->columns, out);
}

#define TABLE(id, set) TABLE_OF(id, set, set)
#define TABLE_OF(id, set, products)                                                                \
    {                                                                                              \
        .isa = (id), .activations = covey__activations_##set, .product = product_##products,       \
        .attention = covey__attention_##set, .rms_norm = covey__rms_norm_##set,                    \
        .rope = covey__rope_##set, .layer_norm = covey__layer_norm_##set,                          \
        .silu_mul = covey__silu_mul_##set, .gelu_mul = covey__gelu_mul_##set,                      \
        .gelu = covey__gelu_##set, .add = covey__add_##set, .scale = covey__scale_##set,           \
        .softmax = covey__softmax_##set, .row = row                                                \
    }

PRODUCT(scalar)
static const covey__kernels scalar_kernels = TABLE(COVEY__ISA_SCALAR, scalar);

#if COVEY_X86
PRODUCT(avx2)
PRODUCT(avxvnni)
/* The types that have a way of their own for few tokens, and from how many on. */
static const struct {
    covey__few_fn run;
    int32_t least;
} few_avx512[COVEY__OP_COUNT] = {
    [COVEY__OP_Q4_K] = {covey__few_q4_k_avx512, 3},
    [COVEY__OP_Q6_K] = {covey__few_q6_k_avx512, 3},
    [COVEY__OP_Q8_0] = {covey__few_q8_0_avx512, 2},
    [COVEY__OP_Q4_0] = {covey__few_q4_0_avx512, 2},
};

static void product_avx512(const covey__product *p, int32_t r0, int32_t r1, const void *next,
                           void *scratch) {
    int op = op_index(p->w->type);
    int32_t least = few_avx512[op].least, tokens = p->a->tokens;
    if (least && tokens >= least && tokens <= COVEY__FEW_MAX && r0 < r1)
        few_avx512[op].run(p, r0, r1, next);
    else
        covey__product_run(covey__product_ops_avx512, p, r0, r1, next, scratch);
}
static const covey__kernels avx2_kernels = TABLE(COVEY__ISA_AVX2, avx2);
static const covey__kernels avx512_kernels = TABLE(COVEY__ISA_AVX512, avx512);
static const covey__kernels avxvnni_kernels = TABLE_OF(COVEY__ISA_AVX_VNNI, avx2, avxvnni);
#endif

const covey__kernels *covey__kernels_get(covey__isa isa) {
#if COVEY_X86
    if (isa == COVEY__ISA_AVX512) return &avx512_kernels;
    if (isa == COVEY__ISA_AVX_VNNI) return &avxvnni_kernels;
    if (isa == COVEY__ISA_AVX2) return &avx2_kernels;
#endif
    const covey__kernels *narrow = covey__kernels_v128(isa);
    return narrow != NULL ? narrow : &scalar_kernels;
}
