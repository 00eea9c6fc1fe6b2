/* Products over tiles with AVX2: bytes are multiplied in pairs, u8 by i8 to i16, which saturates;
 * so weights of few bits are added up in int16 as far as they fit, and weights of 8 bits are first
 * made |w|, with the sign moved to the activation (-128 may occur in w, never in an activation). */
#include "kernel/tile_dots_avx2.h"

COVEY__INLINE void dots_wide(const uint8_t *w, const int8_t *q, ints x, const int steps,
                             const int tokens) {
    const __m256i one = _mm256_set1_epi16(1), high = _mm256_set1_epi8((char)0x80);
    for (int k = 0; k < steps; k++, w += 64, q += 4 * COVEY__GROUP) {
        __m256i w0 = _mm256_xor_si256(covey__load256(w), high);
        __m256i w1 = _mm256_xor_si256(covey__load256(w + 32), high);
        __m256i u0 = _mm256_abs_epi8(w0), u1 = _mm256_abs_epi8(w1);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            __m256i a = covey__spread32(q + 4 * t);
            __m256i y0 = _mm256_maddubs_epi16(u0, _mm256_sign_epi8(a, w0));
            __m256i y1 = _mm256_maddubs_epi16(u1, _mm256_sign_epi8(a, w1));
            x[t][0] = _mm256_add_epi32(x[t][0], _mm256_madd_epi16(y0, one));
            x[t][1] = _mm256_add_epi32(x[t][1], _mm256_madd_epi16(y1, one));
            COVEY__KEEP(x[t][0]);
            COVEY__KEEP(x[t][1]);
        }
    }
}

/* Sums of products in int16: `steps` is at most what fits. */
COVEY__INLINE void dots_int16(const uint8_t *w, const int8_t *q, ints y, const int steps,
                              const int tokens) {
    COVEY__UNROLL
    for (int k = 0; k < steps; k++) {
        __m256i w0 = covey__load256(w + 64 * k), w1 = covey__load256(w + 64 * k + 32);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            __m256i a = covey__spread32(q + 4 * (COVEY__GROUP * k + t));
            __m256i p0 = _mm256_maddubs_epi16(w0, a), p1 = _mm256_maddubs_epi16(w1, a);
            y[t][0] = k ? _mm256_add_epi16(y[t][0], p0) : p0;
            y[t][1] = k ? _mm256_add_epi16(y[t][1], p1) : p1;
            COVEY__KEEP(y[t][0]);
            COVEY__KEEP(y[t][1]);
        }
    }
}

/* x = x + s * dot for weights that fit: the scales, each twice, make int32 of pairs of int16. */
COVEY__INLINE void dots_pairs(const uint8_t *w, const int8_t *q, const __m256i s[2], ints x,
                              const int steps, const int fit, const int tokens) {
    const int some = fit < steps ? fit : steps;
    COVEY__UNROLL
    for (int k = 0; k < steps; k += some) {
        ints y;
        dots_int16(w + 64 * k, q + 4 * COVEY__GROUP * k, y, some, tokens);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            x[t][0] = _mm256_add_epi32(x[t][0], _mm256_madd_epi16(y[t][0], s[0]));
            x[t][1] = _mm256_add_epi32(x[t][1], _mm256_madd_epi16(y[t][1], s[1]));
        }
    }
}

COVEY__INLINE void dots(const uint8_t *w, const int8_t *q, ints x, const int steps, const int fit,
                        const int tokens) {
    const __m256i one[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
    if (fit == FIT_WIDE)
        dots_wide(w, q, x, steps, tokens);
    else
        dots_pairs(w, q, one, x, steps, fit, tokens);
}

COVEY__INLINE void dots_scaled(const uint8_t *w, const int8_t *q, const int16_t *s, ints x,
                               const int steps, const int fit, const int tokens) {
    const __m256i scale[2] = {covey__load256(s), covey__load256(s + 16)};
    if (fit != FIT_WIDE) {
        dots_pairs(w, q, scale, x, steps, fit, tokens);
        return;
    }
    ints y;
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) y[t][0] = y[t][1] = _mm256_setzero_si256();
    dots_wide(w, q, y, steps, tokens);
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) COVEY__UNROLL
    for (int half = 0; half < 2; half++) {
        __m256i product = _mm256_mullo_epi32(y[t][half], _mm256_srai_epi32(scale[half], 16));
        x[t][half] = _mm256_add_epi32(x[t][half], product);
    }
}

/* With blocks of 32 six tokens together are a little faster, with 256 they are not. Two are for the
 * types that most models come in: drafts and a few sessions (docs/kernel.md). */
PRODUCT_32(byte_32_2, 2, FIT_WIDE, NONE, false)
PRODUCT_32(byte_32_3, 3, FIT_WIDE, NONE, false)
PRODUCT_32(byte_32_6, 6, FIT_WIDE, NONE, false)
PRODUCT_32(nibble_32_2, 2, 8, 3, false)
PRODUCT_32(nibble_32_3, 3, 8, 3, false)
PRODUCT_32(nibble_32_6, 6, 8, 3, false)
PRODUCT_32(five_32_3, 3, 4, 4, false)
PRODUCT_32(nibble_32_min_3, 3, 8, NONE, true)
PRODUCT_32(five_32_min_3, 3, 4, NONE, true)
PRODUCT_256(byte_256_3, 3, FIT_WIDE, 32)
PRODUCT_256(nibble_256_2, 2, 8, 32)
PRODUCT_256(nibble_256_3, 3, 8, 32)
PRODUCT_256(five_256_3, 3, 4, 32)
PRODUCT_256(three_256_3, 3, 4, 16)
PRODUCT_256(six_256_2, 2, 2, 16)
PRODUCT_256(six_256_3, 3, 2, 16)

static const covey__tile_ops byte_32 = {byte_32_3, byte_32_2, byte_32_6, NULL, 0, 0};
static const covey__tile_ops nibble_32 = {nibble_32_3, nibble_32_2, nibble_32_6, NULL, 0, 3};
static const covey__tile_ops five_32 = {five_32_3, NULL, NULL, NULL, 0, 4};
static const covey__tile_ops nibble_32_min = {nibble_32_min_3, NULL, NULL, NULL, 0, 0};
static const covey__tile_ops five_32_min = {five_32_min_3, NULL, NULL, NULL, 0, 0};
static const covey__tile_ops byte_256 = {byte_256_3, NULL, NULL, covey__steps_0_avx2, 32, 0};
static const covey__tile_ops nibble_256 = {
    nibble_256_3, nibble_256_2, NULL, covey__steps_8_min_avx2, 32, 0};
static const covey__tile_ops five_256 = {five_256_3, NULL, NULL, covey__steps_8_min_avx2, 32, 0};
static const covey__tile_ops two_256 = {three_256_3, NULL, NULL, covey__steps_16_min_avx2, 16, 0};
static const covey__tile_ops three_256 = {three_256_3, NULL, NULL, covey__steps_16_avx2, 16, 2};
static const covey__tile_ops six_256 = {six_256_3, six_256_2, NULL, covey__steps_16_avx2, 16, 5};

MATMUL(q8_0, avx2, byte_32)
MATMUL(iq4_nl, avx2, byte_32)
MATMUL(q4_0, avx2, nibble_32)
MATMUL(q5_0, avx2, five_32)
MATMUL(q4_1, avx2, nibble_32_min)
MATMUL(q5_1, avx2, five_32_min)
MATMUL(q2_k, avx2, two_256)
MATMUL(q3_k, avx2, three_256)
MATMUL(q4_k, avx2, nibble_256)
MATMUL(q5_k, avx2, five_256)
MATMUL(q6_k, avx2, six_256)
MATMUL(iq4_xs, avx2, byte_256)
