/* What the kernel's own files share: the layout of activations, conversions, and the functions of
 * each instruction set that kernels.c puts into tables. Nothing outside of src/kernel includes
 * this.
 */
#ifndef COVEY_KERNEL_PARTS_H
#define COVEY_KERNEL_PARTS_H

#include <string.h>

#include "kernel/kernel.h"

#if defined(__clang__)
#define COVEY__UNROLL    _Pragma("clang loop unroll(full)")
#define COVEY__NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define COVEY__UNROLL    _Pragma("GCC unroll 16")
#define COVEY__NO_UNROLL _Pragma("GCC unroll 1")
#endif
#define COVEY__INLINE   static inline __attribute__((always_inline))
#define COVEY__NOINLINE __attribute__((noinline))
/* Keeps the compiler from moving sums of an accumulator around, which makes it spill. */
#define COVEY__KEEP(x) __asm__("" : "+x"(x))

/* A count that the compiler does not know: it leaves such a loop as it is. */
COVEY__INLINE size_t covey__opaque(size_t n) {
    __asm__("" : "+r"(n));
    return n;
}

/* Tokens that the packed layout interleaves, and the most that stay plain rows. */
#define COVEY__GROUP          6
#define COVEY__PLAIN_MAX      2
#define COVEY__LANES          16 /* partial sums of a float reduction */
#define COVEY__SCORE_ROWS     32 /* queries that attention works on together, and the least */
#define COVEY__SCORE_ROWS_MIN 8
/* A tile's bytes, at most: 32 rows of 8,192 columns, scales and minimums of sub-blocks and of
 * blocks.
 */
#define COVEY__TILE_SCRATCH (8192 * 32 + 8192 / 16 * (128 + 64) + 8192 / 32 * (128 + 128))
/* 32 rows of 512 float columns, and 16 partial sums of 32 rows by 96 tokens. */
#define COVEY__FLOAT_SCRATCH (32 * 512 * 4 + 32 * 96 * 64)

/* The line half a page ahead of one that is read in order: the hardware's own prefetching ends
 * where pages do, and rows of activations are about as long. */
COVEY__INLINE void covey__prefetch_row(const float *x) {
    __builtin_prefetch(x + 512);
}

COVEY__INLINE float covey__bits_to_f32(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

COVEY__INLINE uint32_t covey__f32_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

/* IEEE binary16 to binary32, exact. */
COVEY__INLINE float covey__half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 31;
    uint32_t fraction = half & 1023u;
    if (exponent == 31) return covey__bits_to_f32(sign | 0x7f800000u | (fraction << 13));
    if (exponent) return covey__bits_to_f32(sign | ((exponent + 112) << 23) | (fraction << 13));
    return covey__bits_to_f32(sign | covey__f32_bits((float)fraction * 0x1p-24f));
}

COVEY__INLINE uint16_t covey__load_u16(const void *p) {
    uint16_t value;
    memcpy(&value, p, 2);
    return value;
}

/* The end of every float reduction: lane i takes lane i + 8, then + 4, + 2, + 1. */
COVEY__INLINE float covey__tree16(float p[COVEY__LANES]) {
    for (int width = COVEY__LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) p[i] = p[i] + p[i + width];
    return p[0];
}

COVEY__INLINE size_t covey__pad16(size_t n) {
    return (n + 15) & ~(size_t)15;
}

/* Floats between two tokens of float activations: not a power of two, which would put the same
 * column of all tokens into one set of the cache. */
COVEY__INLINE size_t covey__act_stride(size_t columns) {
    return covey__pad16(columns) + 16;
}

/* Where things lie in activations: `unit` counts 4 values, a block, or a sub-block of a token. */
COVEY__INLINE size_t covey__act_at(const covey__activations *a, int32_t token, size_t unit,
                                   size_t units) {
    size_t group = (size_t)a->group;
    size_t t = (size_t)token;
    return (t / group * units + unit) * group + t % group;
}
COVEY__INLINE int32_t covey__act_block(covey__act kind) {
    return kind == COVEY__ACT_Q256 ? 256 : 32;
}

/* The keys that the token at `position` sees, as attention counts them. */
typedef struct covey__sight {
    int32_t first, end;
} covey__sight;
COVEY__INLINE covey__sight covey__sight_of(const covey__attention *a, int32_t token) {
    int32_t position = a->position + token;
    if (a->keys) return (covey__sight){0, a->keys};
    bool cut = a->window > 0 && position >= a->window;
    return (covey__sight){cut ? position - a->window + 1 : 0, position + 1};
}

/* Floats between two queries' scores over so many pages: 16 more than the keys, since rows at a
 * power of two would share cache sets. */
COVEY__INLINE size_t covey__score_stride(int32_t pages) {
    return (size_t)pages * COVEY__PAGE_KEYS + 16;
}
/* Queries whose scores over `keys` keys stay in the second cache. */
COVEY__INLINE int32_t covey__score_rows(int32_t keys) {
    return keys <= 4096 ? COVEY__SCORE_ROWS : keys <= 8192 ? 16 : COVEY__SCORE_ROWS_MIN;
}

COVEY__INLINE void covey__prefetch(const uint8_t *p, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(p + at);
}

/* Rows r, r + 1, ... of a matrix; rows from `end` on are its last one again, so that a tile is
 * always full and nothing beyond the matrix is read. */
COVEY__INLINE void covey__rows(const covey__weights *w, int32_t r, int32_t end, size_t at,
                               const uint8_t **p, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        int32_t row = r + i < end ? r + i : end - 1;
        p[i] = (const uint8_t *)w->data + (size_t)row * w->row_bytes + at;
    }
}

/* Where to prefetch while rows r to r + count - 1 are worked on: the rows after them, or the next
 * operation's; if there is none, here again, which costs next to nothing. */
COVEY__INLINE const uint8_t *covey__ahead(const covey__weights *w, int32_t r, int32_t end,
                                          int32_t count, const uint8_t *next) {
    const uint8_t *data = w->data;
    if (r + count < end) return data + (size_t)(r + count) * w->row_bytes;
    return next ? next : data + (size_t)r * w->row_bytes;
}

/* One token's activations as plain rows. */
typedef struct covey__act_row {
    const float *x;
    const int8_t *q;
    const float *d;
    const int32_t *bias[2];
    const int16_t *sums16, *sums32;
} covey__act_row;
covey__act_row covey__act_row_get(const covey__activations *a, int32_t token);

/* Rows [r0, r1) for one token of plain layout; `out` is indexed by row. */
typedef void (*covey__matvec_fn)(const covey__weights *w, const covey__act_row *a, int32_t r0,
                                 int32_t r1, const uint8_t *next, float *out);
/* Rows [r0, r1) for all tokens: packed layout, or plain for float activations. */
typedef void (*covey__matmul_fn)(const covey__product *p, int32_t r0, int32_t r1, void *scratch);

typedef struct covey__product_ops {
    covey__matvec_fn matvec;
    covey__matmul_fn matmul;
} covey__product_ops;
/* Index of a supported type in a table of product_ops, in the order of these names. */
enum {
    COVEY__OP_F32,
    COVEY__OP_F16,
    COVEY__OP_BF16,
    COVEY__OP_Q8_0,
    COVEY__OP_Q4_0,
    COVEY__OP_Q6_K,
    COVEY__OP_Q4_1,
    COVEY__OP_Q5_0,
    COVEY__OP_Q5_1,
    COVEY__OP_IQ4_NL,
    COVEY__OP_Q2_K,
    COVEY__OP_Q3_K,
    COVEY__OP_Q4_K,
    COVEY__OP_Q5_K,
    COVEY__OP_IQ4_XS,
    COVEY__OP_COUNT
};

void covey__product_run(const covey__product_ops *ops, const covey__product *p, int32_t r0,
                        int32_t r1, const void *next, void *scratch);

/* The inner functions, by instruction set: what kernel.h says of the table's members. */
#define COVEY__DECLARE_VECTOR(isa)                                                                 \
    void covey__activations_##isa(covey__activations *a, const float *x, size_t x_stride,          \
                                  int32_t t0, int32_t t1);                                         \
    void covey__attention_##isa(const covey__attention *a, void *scratch);                         \
    void covey__rms_norm_##isa(const float *x, const float *w, int32_t n, float eps, float *out);  \
    void covey__rope_##isa(float *x, int32_t heads, int32_t head_dim, int32_t dims,                \
                           covey__rope_style style, const float *row);                             \
    void covey__layer_norm_##isa(const float *x, const float *w, const float *b, int32_t n,        \
                                 float eps, float *out);                                           \
    void covey__silu_mul_##isa(const float *gate, const float *up, size_t n, float *out);          \
    void covey__gelu_mul_##isa(const float *gate, const float *up, size_t n, float *out);          \
    void covey__gelu_##isa(const float *x, size_t n, float *out);                                  \
    void covey__add_##isa(float *x, const float *y, size_t n);                                     \
    void covey__scale_##isa(float *x, float factor, size_t n);                                     \
    void covey__softmax_##isa(float *x, size_t n);                                                 \
    extern const covey__product_ops covey__product_ops_##isa[COVEY__OP_COUNT];
COVEY__DECLARE_VECTOR(scalar)
COVEY__DECLARE_VECTOR(avx2)
COVEY__DECLARE_VECTOR(avx512)

/* The tables of kernels_v128.c; NULL for other sets. */
const covey__kernels *covey__kernels_v128(covey__isa isa);

/* Rows [r0, r1) for 2 to COVEY__FEW_MAX tokens; see few_avx512.h. */
#define COVEY__FEW_MAX 8
typedef void (*covey__few_fn)(const covey__product *p, int32_t r0, int32_t r1, const uint8_t *next);
void covey__few_q4_k_avx512(const covey__product *p, int32_t r0, int32_t r1, const uint8_t *next);
void covey__few_q6_k_avx512(const covey__product *p, int32_t r0, int32_t r1, const uint8_t *next);
void covey__few_q8_0_avx512(const covey__product *p, int32_t r0, int32_t r1, const uint8_t *next);
void covey__few_q4_0_avx512(const covey__product *p, int32_t r0, int32_t r1, const uint8_t *next);

#define COVEY__DECLARE_MATVEC(type, isa)                                                           \
    void covey__matvec_##type##_##isa(const covey__weights *w, const covey__act_row *a,            \
                                      int32_t r0, int32_t r1, const uint8_t *next, float *out);
#define COVEY__DECLARE_MATMUL(type, isa)                                                           \
    void covey__matmul_##type##_##isa(const covey__product *p, int32_t r0, int32_t r1,             \
                                      void *scratch);
#define COVEY__DECLARE_BOTH(type, isa)                                                             \
    COVEY__DECLARE_MATVEC(type, isa)                                                               \
    COVEY__DECLARE_MATMUL(type, isa)
/* A set that has no function of its own for a type uses the scalar one: kernels.c chooses. */
#define COVEY__DECLARE_PRODUCTS(isa)                                                               \
    COVEY__DECLARE_MATVEC(f32, isa)                                                                \
    COVEY__DECLARE_MATVEC(f16, isa)                                                                \
    COVEY__DECLARE_MATVEC(bf16, isa)                                                               \
    COVEY__DECLARE_MATMUL(float, isa)                                                              \
    COVEY__DECLARE_BOTH(q8_0, isa)                                                                 \
    COVEY__DECLARE_BOTH(q4_0, isa)                                                                 \
    COVEY__DECLARE_BOTH(q6_k, isa)                                                                 \
    COVEY__DECLARE_BOTH(q4_1, isa)                                                                 \
    COVEY__DECLARE_BOTH(q5_0, isa)                                                                 \
    COVEY__DECLARE_BOTH(q5_1, isa)                                                                 \
    COVEY__DECLARE_BOTH(iq4_nl, isa)                                                               \
    COVEY__DECLARE_BOTH(q2_k, isa)                                                                 \
    COVEY__DECLARE_BOTH(q3_k, isa)                                                                 \
    COVEY__DECLARE_BOTH(q4_k, isa)                                                                 \
    COVEY__DECLARE_BOTH(q5_k, isa)                                                                 \
    COVEY__DECLARE_BOTH(iq4_xs, isa)
COVEY__DECLARE_BOTH(any, scalar) /* one for all types */
COVEY__DECLARE_PRODUCTS(avx2)
COVEY__DECLARE_PRODUCTS(avxvnni) /* the products of one token and of floats are those of AVX2 */
COVEY__DECLARE_PRODUCTS(avx512)
extern const covey__product_ops covey__product_ops_avxvnni[COVEY__OP_COUNT];

#endif
