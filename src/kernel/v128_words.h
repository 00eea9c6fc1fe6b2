/* What SSE4.1 and WebAssembly have in common in v128.h: halves converted by integer operations, and
 * integer products of words in pairs (pmaddwd, i32x4.dot_i16x8_s). A tile holds words, so that the
 * scales of sub-blocks are in them already: [columns / 2][8 rows][2]. */
#ifndef COVEY_KERNEL_V128_WORDS_H
#define COVEY_KERNEL_V128_WORDS_H

#define COVEY__MANY_REGISTERS 0 /* 16, not 32 */
#define COVEY__TILE_WORDS     1
#define COVEY__TILE_TOKENS    3

COVEY__INLINE covey__h8 covey__low_words(covey__b16 v);
COVEY__INLINE covey__h8 covey__high_words(covey__b16 v);
COVEY__INLINE covey__i4 covey__pairs(covey__h8 a, covey__h8 b);
COVEY__INLINE void covey__transpose4(covey__i4 r[4]);

/* The exponent is moved by a multiplication, which subnormals need, and the greatest one, of
 * infinities and NaN, is put back. */
COVEY__INLINE covey__f4 covey__half4(const uint16_t h[4]) {
    covey__u4 bits = {h[0], h[1], h[2], h[3]}, rest = bits & 0x7fffu;
    covey__f4 value = (covey__f4)(rest << 13) * 0x1p112f;
    covey__u4 special = (covey__u4)(rest >= 0x7c00u) & 0x7f800000u;
    return (covey__f4)((covey__u4)value | special | (bits & 0x8000u) << 16);
}

/* 8 rows of 8 columns into a tile. */
COVEY__INLINE void covey__tile_put(uint8_t *to, const covey__h8 rows[8]) {
    COVEY__UNROLL
    for (int half = 0; half < 2; half++) {
        covey__i4 r[4];
        COVEY__UNROLL
        for (int i = 0; i < 4; i++) r[i] = (covey__i4)rows[4 * half + i];
        covey__transpose4(r);
        COVEY__UNROLL
        for (int i = 0; i < 4; i++) covey__store_i4(to + 32 * i + 16 * half, r[i]);
    }
}

/* acc[2 * t + half] takes the products of 8 rows and token t over `columns` columns; rows are in
 * the lanes. */
COVEY__INLINE void covey__tile_dot(covey__i4 *acc, const uint8_t *w, const int8_t *q,
                                   int32_t columns, const int tokens) {
    COVEY__UNROLL_LITTLE
    for (int32_t k = 0; k < columns; k += 4, w += 64, q += 4 * COVEY__GROUP) {
        covey__h8 w0 = covey__load_h8(w), w1 = covey__load_h8(w + 16);
        covey__h8 w2 = covey__load_h8(w + 32), w3 = covey__load_h8(w + 48);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            covey__b16 bytes = {0};
            memcpy(&bytes, q + 4 * t, 4);
            covey__i4 a = (covey__i4)covey__low_words(bytes);
            covey__h8 a0 = (covey__h8)__builtin_shufflevector(a, a, 0, 0, 0, 0);
            covey__h8 a1 = (covey__h8)__builtin_shufflevector(a, a, 1, 1, 1, 1);
            acc[2 * t] = acc[2 * t] + covey__pairs(w0, a0);
            acc[2 * t + 1] = acc[2 * t + 1] + covey__pairs(w1, a0);
            acc[2 * t] = acc[2 * t] + covey__pairs(w2, a1);
            acc[2 * t + 1] = acc[2 * t + 1] + covey__pairs(w3, a1);
        }
    }
}
COVEY__INLINE void covey__tile_lanes(covey__i4 *acc, const int tokens) {
    (void)acc, (void)tokens; /* they are in place */
}

/* Where the minimum of sub-block j of row i lies among those of 8 rows. */
COVEY__INLINE int32_t covey__min_place(int32_t j, int32_t i) {
    return (j / 2 * 8 + i) * 2 + j % 2;
}
/* x[0] and x[1]: the minima of 8 rows times the sums of a token over `count` sub-blocks. */
COVEY__INLINE void covey__min_dot(covey__i4 x[2], const int16_t *mins, const int16_t *sums,
                                  const int count) {
    x[0] = x[1] = (covey__i4){0};
    COVEY__UNROLL
    for (int j = 0; j < count; j += 2) {
        int32_t pair;
        memcpy(&pair, sums + j, 4);
        covey__h8 both = (covey__h8)covey__splat_i4(pair);
        x[0] = x[0] + covey__pairs(covey__load_h8(mins + 8 * j), both);
        x[1] = x[1] + covey__pairs(covey__load_h8(mins + 8 * j + 8), both);
    }
}

#endif
