/* Every arithmetic operation of inference, as docs/arithmetic.md defines them (arithmetic version
 * 1).
 *
 * A kernel table holds one instruction set's functions. All tables give the same bits: the scalar
 * one is the definition. No result depends on how rows are split over threads, how tokens are
 * grouped, how many are in a batch, or where pages lie in memory. Nothing here allocates, fails,
 * or keeps state; shapes are the caller's promise and are asserted only. Callers run with
 * round-to-nearest and without flushing subnormals (covey__fp_enter, or a thread of the pool).
 * Memory named "scratch" and the memory of activations is 64-byte aligned and belongs to one
 * thread (scratch) or to the whole job (activations). */
#ifndef COVEY_KERNEL_KERNEL_H
#define COVEY_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

#define COVEY__ARITHMETIC_VERSION 1

/* ---- Weights ----------------------------------------------------------------------------------
 */

/* Types this library computes with, by GGUF's numbers. */
typedef enum covey__kt {
    COVEY__KT_F32 = 0,
    COVEY__KT_F16 = 1,
    COVEY__KT_Q4_0 = 2,
    COVEY__KT_Q4_1 = 3,
    COVEY__KT_Q5_0 = 6,
    COVEY__KT_Q5_1 = 7,
    COVEY__KT_Q8_0 = 8,
    COVEY__KT_Q2_K = 10,
    COVEY__KT_Q3_K = 11,
    COVEY__KT_Q4_K = 12,
    COVEY__KT_Q5_K = 13,
    COVEY__KT_Q6_K = 14,
    COVEY__KT_IQ4_NL = 20,
    COVEY__KT_IQ4_XS = 23,
    COVEY__KT_BF16 = 30
} covey__kt;

/* Whether products and row decoding exist for a GGUF type number. */
bool covey__kernel_supports(uint32_t type);
/* Columns must be a multiple of this (1, 32 or 256); 0 for a type that is not supported. */
int32_t covey__kernel_block(uint32_t type);
/* Bytes of a row of `columns` weights; 0 for a type that is not supported. */
size_t covey__kernel_row_bytes(uint32_t type, int32_t columns);

/* A matrix as it lies in the file: `rows` outputs, each a dot product over `columns` inputs. */
typedef struct covey__weights {
    const void *data; /* 2-byte aligned at least (4 for F32); borrowed */
    uint32_t type;    /* covey__kt */
    int32_t rows;
    int32_t columns;
    size_t row_bytes; /* covey__kernel_row_bytes(type, columns) */
} covey__weights;

/* Looks for a NaN or an infinity among the weights (or their block scales) of rows [r0, r1).
 * Returns the first such row, or -1 when all are finite. */
int32_t covey__weights_check(const covey__weights *w, int32_t r0, int32_t r1);

/* ---- Activations: the inputs of a product ------------------------------------------------------
 */

typedef enum covey__act {
    COVEY__ACT_F32,  /* as they are: for F32, F16 and BF16 weights */
    COVEY__ACT_Q32,  /* int8 by blocks of 32: for Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and IQ4_NL */
    COVEY__ACT_Q256, /* int8 by blocks of 256: for the K types and IQ4_XS */
    COVEY__ACT_KINDS
} covey__act;
covey__act covey__kernel_act(uint32_t type);

/* Opaque but for its first three fields; made by covey__activations_init in the caller's memory. */
typedef struct covey__activations {
    covey__act kind;
    int32_t columns;
    int32_t tokens;
    int32_t group;    /* tokens laid out together; 1 means plain rows */
    float *x;         /* ACT_F32: a row a token, zeros up to a multiple of 16 */
    int8_t *q;        /* quantized values */
    float *d;         /* their scales */
    int32_t *bias[2]; /* what unsigned weights add too much: Q32 -8 and -128 times the sums by 32;
                         Q256 -32 times the sums by 16, and -128 times those by 32 */
    int16_t *sums16;  /* Q256: sums by 16, [tokens][columns / 16] */
    int16_t *sums32;  /* Q256: sums by 32, [tokens][columns / 32] */
} covey__activations;

/* Bytes that init needs, for `tokens` tokens and any smaller number of them. */
size_t covey__activations_bytes(covey__act kind, int32_t columns, int32_t tokens);
/* Lays out `memory` (64-byte aligned) and clears what no token will fill. Cheap; one thread. */
void covey__activations_init(covey__activations *a, covey__act kind, int32_t columns,
                             int32_t tokens, void *memory);

/* ---- Products ----------------------------------------------------------------------------------
 */

/* out[t * out_stride + r] = dot(w row r, activations of token t). */
typedef struct covey__product {
    const covey__weights *w;
    const covey__activations *a; /* of kind covey__kernel_act(w->type), w->columns columns */
    float *out;
    size_t out_stride; /* floats between two tokens' outputs; at least w->rows */
} covey__product;

/* Row ranges that start at multiples of this are fastest; any range is right. Give each thread one
 * long contiguous range (or few): prefetching runs ahead within it. */
#define COVEY__ROW_TILE 32
/* Of the scratch a product needs a thread, for any type and any token count. */
size_t covey__product_scratch_bytes(int32_t columns_max);

/* ---- Attention ---------------------------------------------------------------------------------
 */

/* Keys in a page. Of each layer and KV head a page holds K transposed, [head_dim][32], and V as
 * [32][head_dim]; in Q8_0 the int8 values in that order, then the f16 scales: of K
 * [head_dim / 32][32], of V [32][head_dim / 32]. Key j of a session is in page j / 32, at slot
 * j % 32. Pages begin 64-byte aligned. A page must have been zeroed before its first use; slots
 * that were put before hold finite values and need no zeroing. */
#define COVEY__PAGE_KEYS    32
#define COVEY__HEAD_DIM_MAX 512

typedef enum covey__kv_type {
    COVEY__KV_F32,
    COVEY__KV_F16,
    COVEY__KV_Q8_0, /* head sizes that are multiples of 32 alone */
    COVEY__KV_TYPES
} covey__kv_type;

/* Bytes of K, and of V, of one layer and KV head in a page: multiples of 64. */
size_t covey__page_k_bytes(covey__kv_type kv, int32_t head_dim);
size_t covey__page_v_bytes(covey__kv_type kv, int32_t head_dim);
/* Writes one token's K and V of one KV head at `slot` (0 to 31) of its page. False when a value is
 * beyond what the type can hold: it was stored as the nearest that it can, and the pass must fail.
 * The values must be finite. */
bool covey__page_put(covey__kv_type kv, void *k_page, void *v_page, int32_t head_dim, int32_t slot,
                     const float *k, const float *v);

/* The queries of consecutive tokens on one KV head: `heads` query heads that share it. Token t is
 * at position + t and sees the keys up to its own: all of them, or the last `window`, or in an
 * encoder keys 0 .. keys - 1 whatever its position. The caller splits work by KV heads, query heads
 * and tokens as it likes. Pages before the first key that any token sees are not looked at. */
typedef struct covey__attention {
    const void *const *pages;  /* page p of the session begins at pages[p] */
    size_t k_offset, v_offset; /* of this layer's and KV head's K and V in each page, in bytes:
                                  multiples of 64 */
    covey__kv_type kv;
    int32_t head_dim;
    int32_t heads; /* query heads: head h at q + h * head_dim, and so its output */
    int32_t tokens;
    int32_t position; /* of the first token */
    int32_t window;   /* 0: none; else a token at p sees keys max(0, p - window + 1) .. p */
    int32_t keys;     /* 0: causal; else bidirectional over so many keys, without a window */
    float scale;      /* queries are multiplied by it first */
    const float *q;
    size_t q_stride; /* floats between tokens */
    float *out;
    size_t out_stride;
} covey__attention;
/* Of the scratch a thread needs for attention over at most `keys_max` keys. */
size_t covey__attention_scratch_bytes(int32_t head_dim, int32_t keys_max);

/* ---- RoPE --------------------------------------------------------------------------------------
 */

typedef enum covey__rope_style {
    COVEY__ROPE_NORM, /* pairs (2i, 2i + 1): the llama architecture in GGUF */
    COVEY__ROPE_NEOX  /* pairs (i, i + dims / 2) */
} covey__rope_style;

/* frequencies[i] = base^(-2i / dims) * scale / factors[i], for i < dims / 2; factors (the tensor
 * rope_freqs.weight of Llama 3) may be NULL. scale is 1, or 1 / factor of linear scaling. */
void covey__rope_frequencies(double base, int32_t dims, double scale, const float *factors,
                             double *frequencies);
/* For each of `positions` positions from `position`: dims / 2 cosines, then dims / 2 sines. */
void covey__rope_table(const double *frequencies, int32_t dims, int32_t position, int32_t positions,
                       float *table);

/* ---- The table of functions ---------------------------------------------------------------------
 */

typedef struct covey__kernels {
    covey__isa isa;
    /* Fills tokens [t0, t1) of `a` from rows x + t * x_stride (t counted from 0 at the batch's
     * first token). Disjoint ranges may be filled by different threads. */
    void (*activations)(covey__activations *a, const float *x, size_t x_stride, int32_t t0,
                        int32_t t1);
    /* Rows [r0, r1) for all tokens of the activations. `next`: where this thread will read weights
     * next (the first row of its range in the next product), or NULL. */
    void (*product)(const covey__product *p, int32_t r0, int32_t r1, const void *next,
                    void *scratch);
    void (*attention)(const covey__attention *a, void *scratch);
    /* out = x / rms(x) * w, over n values; out may be x. */
    void (*rms_norm)(const float *x, const float *w, int32_t n, float eps, float *out);
    /* Turns the first `dims` values of each of `heads` heads; `row` is one position of the table.
     */
    void (*rope)(float *x, int32_t heads, int32_t head_dim, int32_t dims, covey__rope_style style,
                 const float *row);
    /* out = (x - mean) / sqrt(variance + eps) * w + b, over n values; out may be x. */
    void (*layer_norm)(const float *x, const float *w, const float *b, int32_t n, float eps,
                       float *out);
    /* out = silu(gate) * up; out may be either. */
    void (*silu_mul)(const float *gate, const float *up, size_t n, float *out);
    /* out = gelu(gate) * up, GELU as its usual approximation by tanh; out may be either. */
    void (*gelu_mul)(const float *gate, const float *up, size_t n, float *out);
    /* out = gelu(x), the exact one (by erf); out may be x. */
    void (*gelu)(const float *x, size_t n, float *out);
    /* x = x + y: residuals and biases (one token's row at a time). */
    void (*add)(float *x, const float *y, size_t n);
    /* x = x * factor. */
    void (*scale)(float *x, float factor, size_t n);
    /* x = exp(x - max(x)) / sum, n of at least 1. */
    void (*softmax)(float *x, size_t n);
    /* Row `row` of the matrix as floats: the embedding of a token. */
    void (*row)(const covey__weights *w, int32_t row, float *out);
} covey__kernels;

/* The table of an instruction set; the caller made sure that the CPU has it. Never NULL: a set
 * that this build lacks gives the scalar table. */
const covey__kernels *covey__kernels_get(covey__isa isa);

/* ---- Numbers -----------------------------------------------------------------------------------
 */

/* True when no value is NaN or infinite. */
bool covey__finite(const float *x, size_t n);
/* Index of the greatest value; the lowest index among equals. n of at least 1. */
size_t covey__argmax(const float *x, size_t n);

/* Ours, from add, multiply, divide and square root: the same bits everywhere. Accuracy is in
 * docs/arithmetic.md. The f32 ones are what the SIMD kernels compute, lane by lane. */
float covey__exp_f32(float x);
float covey__log_f32(float x);
float covey__erfc_f32(float x); /* 1 - erf(x) */
double covey__exp_f64(double x);
double covey__log_f64(double x);
double covey__pow_f64(double base, double exponent); /* base > 0 */
double covey__sin_f64(double x);                     /* |x| up to 2^30 */
double covey__cos_f64(double x);

/* A uniform number in [0, 1), of 24 bits, that depends on these alone (Philox 4x32-10). `draw`
 * tells apart several numbers for one position. */
float covey__uniform(uint64_t seed, uint64_t position, uint32_t draw);

float covey__f16_to_f32(uint16_t half);
uint16_t covey__f32_to_f16(float value); /* to nearest even */
uint16_t covey__f32_to_bf16(float value);

/* ---- Rows to and from floats, of any supported type (columns: a multiple of its block)
 * ----------- */

void covey__row_decode(uint32_t type, const void *data, int32_t columns, float *out);
/* Whether rows of a type can be made: all supported ones but IQ4_XS. */
bool covey__kernel_encodes(uint32_t type);
/* Q8_0, Q4_0 and Q6_K are ggml's published reference quantizers; the rest is searched for the least
 * error. A NaN among x gives undefined bytes. */
void covey__row_encode(uint32_t type, const float *x, int32_t columns, void *out);
/* The same where columns count differently: `importance` is the mean square of the inputs that meet
 * each one, finite and at least 0; NULL: all alike. Then Q4_0 and Q6_K are searched for too. */
void covey__row_encode_by(uint32_t type, const float *x, const float *importance, int32_t columns,
                          void *out);

#endif
