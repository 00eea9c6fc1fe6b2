/* Products for 2 to 8 tokens with AVX-512 VNNI: several sessions decoding, or drafts to check. They
 * still wait for memory more than for arithmetic, so the weights are read once, 16 rows at a time
 * as they lie in the file, brought into lanes by rows in registers, and multiplied with all tokens;
 * no tile is written. What is read next is prefetched evenly between the steps: prefetches in a
 * burst would hold up the arithmetic, and arithmetic without them the memory.
 *
 * A type's few_*_avx512.c has one inline body, which is compiled for 2, 4, 6 and 8 tokens; tokens
 * between take the next of these, and the slots that no token fills are computed and not
 * stored. */
#ifndef COVEY_KERNEL_FEW_AVX512_H
#define COVEY_KERNEL_FEW_AVX512_H

#include "kernel/lanes_avx512.h"

#define COVEY__FEW_ROWS 16

/* 16 rows by all tokens. Passed by value where it is inlined, so that it stays in registers. */
typedef struct covey__few {
    const covey__activations *a;
    const uint8_t *const *row; /* the 16 rows */
} covey__few;

typedef void (*covey__few_body_fn)(const covey__product *p, int32_t r0, int32_t r1,
                                   const uint8_t *next);

/* Index of a token's unit `unit` of `units`: see covey__act_at. */
COVEY__INLINE size_t covey__few_at(size_t unit, size_t units, const int t, const int tokens) {
    if (tokens == 2) return (size_t)t * units + unit;
    return ((size_t)(t / COVEY__GROUP) * units + unit) * COVEY__GROUP + (size_t)(t % COVEY__GROUP);
}

/* The n-th prefetch of a stretch, `pace` bytes each. */
COVEY__INLINE void covey__few_prefetch(const uint8_t *ahead, const int n, const int pace) {
    _mm_prefetch((const char *)ahead + n * pace, _MM_HINT_T0);
}

/* 16 bytes at `at` of 16 rows, by dwords: register k has dword k of all rows, in order. */
COVEY__INLINE void covey__few_dwords(covey__few f, size_t at, __m512i out[4]) {
    __m512i z[4];
    COVEY__UNROLL
    for (int i = 0; i < 4; i++) {
        const uint8_t *rows[4] = {f.row[i], f.row[i + 4], f.row[i + 8], f.row[i + 12]};
        z[i] = covey__rows4(rows, at);
    }
    __m512i a = _mm512_unpacklo_epi32(z[0], z[1]), b = _mm512_unpackhi_epi32(z[0], z[1]);
    __m512i c = _mm512_unpacklo_epi32(z[2], z[3]), d = _mm512_unpackhi_epi32(z[2], z[3]);
    out[0] = _mm512_unpacklo_epi64(a, c);
    out[1] = _mm512_unpackhi_epi64(a, c);
    out[2] = _mm512_unpacklo_epi64(b, d);
    out[3] = _mm512_unpackhi_epi64(b, d);
}

/* Adds four columns, those of dword `k` of a token, to each token's sum. */
COVEY__INLINE void covey__few_dot(covey__few f, __m512i *x, __m512i levels, size_t k,
                                  const int tokens) {
    size_t units = (size_t)f.a->columns / 4;
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        const int8_t *q = f.a->q + 4 * covey__few_at(k, units, t, tokens);
        x[t] = _mm512_dpbusd_epi32(x[t], levels, covey__spread32(q));
    }
}

COVEY__INLINE void covey__few_zero(__m512i *x, const int tokens) {
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) x[t] = _mm512_setzero_si512();
}

/* The first dwords of 16 rows, z[k] holding rows 4k to 4k + 3 in its lanes. */
COVEY__INLINE __m512i covey__first_dwords4(const __m512i z[4]) {
    const __m512i low = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512i a = _mm512_permutex2var_epi32(z[0], low, z[1]);
    __m512i b = _mm512_permutex2var_epi32(z[2], low, z[3]);
    return _mm512_inserti64x4(a, _mm512_castsi512_si256(b), 1);
}

/* Halves in the low 16 bits of the dwords. */
COVEY__INLINE __m512 covey__few_halves(__m512i dwords) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(dwords));
}

COVEY__INLINE __m512 covey__few_d(covey__few f, size_t block, size_t blocks, const int t,
                                  const int tokens) {
    return _mm512_set1_ps(f.a->d[covey__few_at(block, blocks, t, tokens)]);
}

COVEY__INLINE void covey__few_store(const covey__product *p, int32_t r, int32_t end,
                                    const __m512 *acc, const int tokens) {
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++)
        if (t < p->a->tokens)
            _mm512_mask_storeu_ps(p->out + (size_t)t * p->out_stride + r, covey__mask16(end - r),
                                  acc[t]);
}

/* Adds block number `b` to the accumulators; it begins `at` bytes into the rows. What the 16 rows
 * after these have there is at `ahead`. */
typedef void (*covey__few_block_fn)(covey__few f, size_t b, size_t at, const uint8_t *ahead,
                                    __m512 *acc, const int tokens);
COVEY__INLINE void covey__few_run(const covey__product *p, int32_t r0, int32_t r1,
                                  const uint8_t *next, const int tokens, const size_t bytes,
                                  const int32_t columns, covey__few_block_fn block) {
    const covey__weights *w = p->w;
    for (int32_t r = r0; r < r1; r += COVEY__FEW_ROWS) {
        const uint8_t *ahead = covey__ahead(w, r, r1, COVEY__FEW_ROWS, next), *row[COVEY__FEW_ROWS];
        __m512 acc[8];
        covey__few f = {p->a, row};
        covey__rows(w, r, r1, 0, row, COVEY__FEW_ROWS);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) acc[t] = _mm512_setzero_ps();
        for (int32_t b = 0; b < w->columns / columns; b++) {
            block(f, (size_t)b, (size_t)b * bytes, ahead, acc, tokens);
            ahead += bytes * COVEY__FEW_ROWS;
        }
        covey__few_store(p, r, r1, acc, tokens);
    }
}

/* A type's function for kernels.c. */
#define COVEY__FEW_BODY(tokens, bytes, columns)                                                    \
    static COVEY__NOINLINE void few_##tokens(const covey__product *p, int32_t r0, int32_t r1,      \
                                             const uint8_t *next) {                                \
        covey__few_run(p, r0, r1, next, tokens, bytes, columns, block);                            \
    }
#define COVEY__FEW_TABLE(type, two)                                                                \
    void covey__few_##type##_avx512(const covey__product *p, int32_t r0, int32_t r1,               \
                                    const uint8_t *next) {                                         \
        static const covey__few_body_fn bodies[9] = {NULL,  NULL,  two,   few_4, few_4,            \
                                                     few_6, few_6, few_8, few_8};                  \
        bodies[p->a->tokens](p, r0, r1, next);                                                     \
    }
#define COVEY__FEW_BODIES(bytes, columns)                                                          \
    COVEY__FEW_BODY(4, bytes, columns)                                                             \
    COVEY__FEW_BODY(6, bytes, columns)                                                             \
    COVEY__FEW_BODY(8, bytes, columns)
#define COVEY__FEW(type, bytes, columns)                                                           \
    COVEY__FEW_BODY(2, bytes, columns)                                                             \
    COVEY__FEW_BODIES(bytes, columns)                                                              \
    COVEY__FEW_TABLE(type, few_2)
/* Two tokens one after the other, row by row, are as fast with K types. */
#define COVEY__FEW_FROM_3(type, bytes, columns)                                                    \
    COVEY__FEW_BODIES(bytes, columns)                                                              \
    COVEY__FEW_TABLE(type, NULL)

#endif
