/* Products over tiles with AVX-VNNI: bytes are multiplied in fours, u8 by i8, and added to int32 at
 * once, so that all weights fit. */
#include "kernel/tile_dots_avx2.h"

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

PRODUCT_32(any_32_2, 2, FIT_WIDE, ANY, false)
PRODUCT_32(any_32_3, 3, FIT_WIDE, ANY, false)
PRODUCT_32(any_32_6, 6, FIT_WIDE, ANY, false)
PRODUCT_32(min_32_3, 3, FIT_WIDE, NONE, true)
PRODUCT_32(min_32_6, 6, FIT_WIDE, NONE, true)
PRODUCT_256(eight_256_2, 2, FIT_WIDE, 32)
PRODUCT_256(eight_256_3, 3, FIT_WIDE, 32)
PRODUCT_256(eight_256_6, 6, FIT_WIDE, 32)
PRODUCT_256(sixteen_256_2, 2, FIT_WIDE, 16)
PRODUCT_256(sixteen_256_3, 3, FIT_WIDE, 16)
PRODUCT_256(sixteen_256_6, 6, FIT_WIDE, 16)
PRODUCT_256(whole_256_3, 3, FIT_WHOLE, 16)
PRODUCT_256(whole_256_6, 6, FIT_WHOLE, 16)

static const covey__tile_ops byte_32 = {any_32_3, any_32_2, any_32_6, NULL, 0, 7};
static const covey__tile_ops nibble_32 = {any_32_3, any_32_2, any_32_6, NULL, 0, 3};
static const covey__tile_ops five_32 = {any_32_3, any_32_2, any_32_6, NULL, 0, 4};
static const covey__tile_ops min_32 = {min_32_3, NULL, min_32_6, NULL, 0, 0};
static const covey__tile_ops byte_256 = {eight_256_3,         eight_256_2, eight_256_6,
                                         covey__steps_8_avx2, 32,          7};
static const covey__tile_ops min_256 = {
    eight_256_3, eight_256_2, eight_256_6, covey__steps_8_min_avx2, 32, 0};
static const covey__tile_ops six_256 = {
    sixteen_256_3, sixteen_256_2, sixteen_256_6, covey__steps_16_avx2, 16, 5};
/* What is too much is in the tile's pairs: 127 times, which no shift is. */
static const covey__tile_ops whole_256 = {whole_256_3,          NULL, whole_256_6,
                                          covey__steps_16_avx2, 16,   0};
static const covey__tile_ops whole_256_min = {
    whole_256_3, NULL, whole_256_6, covey__steps_16_min_avx2, 16, 0};

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
