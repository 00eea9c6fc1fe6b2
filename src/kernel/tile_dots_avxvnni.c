/* Products over tiles with AVX-VNNI: bytes are multiplied in fours, u8 by i8, and added to int32 at
 * once, so that all weights fit. */
#include "kernel/tile_dots_avx2.h"

#define WIDE_EXCESS 7

COVEY__INLINE void dots(const uint8_t *w, const int8_t *q, ints x, const int steps, const int fit,
                        const int tokens) {
    (void)fit;
    COVEY__UNROLL
    for (int k = 0; k < steps; k++) {
        __m256i w0 = covey__load256(w + 64 * k), w1 = covey__load256(w + 64 * k + 32);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            __m256i a = covey__spread32(q + 4 * (COVEY__GROUP * k + t));
            x[t][0] = _mm256_dpbusd_avx_epi32(x[t][0], w0, a);
            x[t][1] = _mm256_dpbusd_avx_epi32(x[t][1], w1, a);
        }
    }
}

COVEY__INLINE void dots_scaled(const uint8_t *w, const int8_t *q, const int16_t *s, ints x,
                               const int steps, const int fit, const int tokens) {
    ints y;
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) y[t][0] = y[t][1] = _mm256_setzero_si256();
    dots(w, q, y, steps, fit, tokens);
    COVEY__UNROLL
    for (int half = 0; half < 2; half++) {
        __m256i scale = _mm256_srai_epi32(covey__load256(s + 16 * half), 16);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            __m256i product = _mm256_mullo_epi32(y[t][half], scale);
            x[t][half] = _mm256_add_epi32(x[t][half], product);
        }
    }
}

#define SHAPE_32(shape, fit, excess)                                                               \
    SHAPE_FN_32(shape, 3, fit, excess)                                                             \
    SHAPE_FN_32(shape, 6, fit, excess)                                                             \
    static const covey__tile_ops shape = {shape##_3, shape##_6, 0};
#define SHAPE_256(shape, fit, excess, sub)                                                         \
    SHAPE_FN_256(shape, 3, fit, excess, sub)                                                       \
    SHAPE_FN_256(shape, 6, fit, excess, sub)                                                       \
    static const covey__tile_ops shape = {shape##_3, shape##_6, sub};

SHAPE_32(byte_32, FIT_WIDE, WIDE_EXCESS)
SHAPE_32(nibble_32, 8, 3)
SHAPE_32(five_32, 8, 4)
SHAPE_32(min_32, 8, MINIMA)
SHAPE_256(byte_256, FIT_WIDE, WIDE_EXCESS, 32)
SHAPE_256(min_256, 8, MINIMA, 32)
SHAPE_256(whole_256_min, FIT_WHOLE, MINIMA, 16)
SHAPE_256(whole_256, FIT_WHOLE, 0, 16)
SHAPE_256(six_256, 4, 5, 16)

MATMUL(q8_0, avxvnni, byte_32)
MATMUL(iq4_nl, avxvnni, byte_32)
MATMUL(q4_0, avxvnni, nibble_32)
MATMUL(q5_0, avxvnni, five_32)
MATMUL(q4_1, avxvnni, min_32)
MATMUL(q5_1, avxvnni, min_32)
MATMUL_OF(q2_k, avxvnni, whole_256_min, covey__unpack_q2_k_whole_avx2)
MATMUL_OF(q3_k, avxvnni, whole_256, covey__unpack_q3_k_whole_avx2)
MATMUL(q4_k, avxvnni, min_256)
MATMUL(q5_k, avxvnni, min_256)
MATMUL(q6_k, avxvnni, six_256)
MATMUL(iq4_xs, avxvnni, byte_256)
