/* The arithmetic of training: matrix products and the loops over rows, one table an instruction
 * set. Unlike inference, training promises no equal bits between instruction sets: the widest
 * vectors and fused multiply-adds are welcome here. All functions run on the caller's thread.
 * Matrices are row-major; `ld` is the distance of two rows in floats. */
#ifndef COVEY_TRAIN_TRAIN_KERNELS_H
#define COVEY_TRAIN_TRAIN_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

/* Largest tile of any table, and depth of one block of a product. */
#define COVEY__TRAIN_TILE_ROWS_MAX    14
#define COVEY__TRAIN_TILE_COLUMNS_MAX 32
#define COVEY__TRAIN_DEPTH            256

/* One step of AdamW (Loshchilov and Hutter, arXiv:1711.05101), the same for a range of weights. */
typedef struct covey__adam_step {
    float beta1, beta2, epsilon;
    float rate;           /* with the correction of the first moment */
    float second_scale;   /* 1 / (1 - beta2^t) */
    float decay;          /* rate * weight decay */
    float gradient_scale; /* of clipping */
} covey__adam_step;

typedef struct covey__train_kernels {
    int32_t tile_rows, tile_columns;
    bool bf16; /* covey__train_multiply rounds factors to bfloat16 */
    /* C tile (+)= A · B, full tiles. A as rows (element r, p at a[r * lda + p]) or packed (at
     * a[p * tile_rows + r]); B packed (p, c at b[p * tile_columns + c]). */
    void (*tile)(size_t depth, const float *a, size_t lda, const float *b, float *c, size_t ldc,
                 bool add);
    void (*tile_packed)(size_t depth, const float *a, const float *b, float *c, size_t ldc,
                        bool add);
    /* out = x / rms(x) * w; returns 1 / rms(x). */
    float (*norm)(const float *x, const float *w, size_t n, float epsilon, float *out);
    /* dx += gradient through the norm of `dy`; dw += its weight's. */
    void (*norm_back)(const float *x, const float *w, const float *dy, float inverse, size_t n,
                      float *dx, float *dw);
    /* out = silu(gate) * up. */
    void (*silu)(const float *gate, const float *up, size_t n, float *out);
    /* From dh, the gradient of silu(gate) * up: dgate and dup. */
    void (*silu_back)(const float *gate, const float *up, const float *dh, size_t n, float *dgate,
                      float *dup);
    /* x = exp(scale * x - m) / sum over n; returns log of the sum of exp(scale * x). */
    float (*softmax)(float *x, size_t n, float scale);
    /* x = exp(scale * x - lse). */
    void (*softmax_again)(float *x, size_t n, float scale, float lse);
    /* dp = p * (dp - d) * scale. */
    void (*softmax_back)(const float *p, float *dp, size_t n, float d, float scale);
    float (*dot)(const float *a, const float *b, size_t n);
    /* y += x; returns nothing. */
    void (*add)(float *y, const float *x, size_t n);
    void (*scale)(float *y, float factor, size_t n);
    /* Sum of squares, in double. */
    double (*square_sum)(const float *x, size_t n);
    void (*adam)(const covey__adam_step *step, const float *gradient, size_t n, float *weight,
                 float *first, float *second);
} covey__train_kernels;

/* With `bf16`, products in bfloat16 where the set and the CPU have them. */
const covey__train_kernels *covey__train_kernels_get(covey__isa isa, bool bf16);

/* The tables, each in its own file; absent where the compiler's target has no such set. */
extern const covey__train_kernels covey__train_kernels_generic;
#if defined(__x86_64__)
extern const covey__train_kernels covey__train_kernels_avx2;
extern const covey__train_kernels covey__train_kernels_avx512;
extern const covey__train_kernels covey__train_kernels_avx512_bf16;
#endif

/* ---- Products of any size, over a table ---- */

/* C (+)= op(A) · op(B), C of rows x columns, over depth. With transpose_a, A is stored depth x
 * rows; with transpose_b, B is stored columns x depth. */
typedef struct covey__train_product {
    size_t rows, columns, depth;
    const float *a;
    size_t lda;
    bool transpose_a;
    const float *b;
    size_t ldb;
    bool transpose_b;
    float *c;
    size_t ldc;
    bool add;
} covey__train_product;

/* Floats of scratch that products with up to `columns` columns need, 64-byte aligned. */
size_t covey__train_product_scratch(size_t columns);
void covey__train_multiply(const covey__train_kernels *kernels, const covey__train_product *product,
                           float *scratch);

/* B laid out in panels of tile_columns once, to be used by several products. Panel p begins at
 * p * depth * tile_columns. */
size_t covey__train_packed_floats(const covey__train_kernels *kernels, size_t depth,
                                  size_t columns);
void covey__train_pack(const covey__train_kernels *kernels, const float *b, size_t ldb,
                       bool transpose, size_t depth, size_t columns, float *packed);
/* As covey__train_multiply with B packed at `packed_depth`, of which the first `depth` are used;
 * product->b, ldb and transpose_b are not read. Depth is not cut: keep it moderate. */
void covey__train_multiply_packed(const covey__train_kernels *kernels,
                                  const covey__train_product *product, const float *packed,
                                  size_t packed_depth, float *scratch);

/* The same with factors rounded to bfloat16, on CPUs with AVX512_BF16; `memory` is 64-byte aligned
 * and holds covey__train_bf16_scratch() floats. */
bool covey__train_has_bf16(void);
size_t covey__train_bf16_scratch(void);
void covey__train_multiply_bf16(const covey__train_product *product, float *memory);

#endif
