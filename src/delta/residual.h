/* Residuals: small integers, 32 at a time, coded in contexts that know how near the prediction lies
 * to a rounding border and how far the neighbours moved (docs/formats/patch.md, "Residuals"). A
 * kernel, one an instruction set, decodes runs, and records them for the encoder; both walk the
 * same arrays. */
#ifndef COVEY_DELTA_RESIDUAL_H
#define COVEY_DELTA_RESIDUAL_H

#include "base/cpu.h"
#include "delta/lane_coder.h"

#define COVEY__RESIDUAL_CONTEXTS 623 /* of a stream */
#define COVEY__BYTE_CONTEXTS     85  /* of one byte in four steps */
#define COVEY__FACTOR_WIDTH      16  /* directions are handled by sixteen */

/* One group of up to 32 integers with a prediction, a class, a sign and a step size each: scales.
 */
typedef struct covey__scale_run {
    uint32_t base; /* of the contexts, a multiple of 16 */
    uint32_t mask; /* lanes that are there */
    float *est;
    int32_t prediction[32];
    uint8_t near[32];  /* F, 0 to 15 */
    uint8_t below[32]; /* 1: g is -1 */
    float step[32];
    int32_t value[32]; /* prediction + residual: made, or given */
} covey__scale_run;

/* Codes in whole groups of 32, each of one or two sub-blocks. */
typedef struct covey__code_run {
    uint32_t base;
    float *est;
    size_t groups;
    int32_t subs;                  /* sub-blocks in a group, 1 or 2 */
    const int8_t *old;             /* 32 a group */
    int8_t *fresh;                 /* made, or given */
    const float *k, *b, *h, *step; /* `subs` a group; h may be NULL */
    const int32_t *dot;            /* 32 a group, with h */
    float low, high;               /* of codes */
    bool has_codebook;             /* codes are indices of covey__iq4_values */
} covey__code_run;

/* 32 bytes, or fewer, of four steps each. */
typedef struct covey__byte_run {
    uint32_t mask;
    uint32_t base;
    uint16_t first[32]; /* of each lane's 85 contexts, from base */
    uint8_t value[32];
} covey__byte_run;

/* All tables of a patch, and the same again in rows of sixteen. */
typedef struct covey__residual_tables {
    const covey__lane_table *tables;
    const covey__lane_row *rows;
} covey__residual_tables;

typedef struct covey__residual_kernel {
    covey__isa isa;
    void (*scales)(covey__lane_decoder *decoder, const covey__residual_tables *tables,
                   covey__scale_run *run);
    void (*codes)(covey__lane_decoder *decoder, const covey__residual_tables *tables,
                  covey__code_run *run);
    void (*bytes)(covey__lane_decoder *decoder, const covey__residual_tables *tables,
                  covey__byte_run *run);
    /* The encoder's side: records the steps that give run->value, run->fresh. */
    void (*record_scales)(covey__lane_encoder *encoder, covey__scale_run *run);
    void (*record_codes)(covey__lane_encoder *encoder, covey__code_run *run);
    void (*record_bytes)(covey__lane_encoder *encoder, covey__byte_run *run);
    /* Finding factors, `rank` a multiple of COVEY__FACTOR_WIDTH: numbers u = rows times v, and v +=
     * rows' columns times u. Rows have `columns` numbers, u and v `rank` a row and a column. */
    void (*project)(const float *rows, size_t count, const float *v, size_t columns, size_t rank,
                    float *u);
    void (*spread)(const float *rows, size_t count, const float *u, size_t columns, size_t rank,
                   float *v);
    /* dot[i] = the sum over the rank of u[r] * v[r * stride + i], for `count` columns. */
    void (*dots)(const int8_t *u, const int8_t *v, size_t stride, size_t rank, size_t count,
                 int32_t *dot);
} covey__residual_kernel;

/* The best this machine has, or the one of `isa` (scalar where there is none of its own). */
const covey__residual_kernel *covey__residual_kernel_get(covey__isa isa);
extern const covey__residual_kernel covey__residual_scalar, covey__residual_avx2,
    covey__residual_vbmi2, covey__residual_neon;

#endif
