/* Q6_K times 2 to 8 tokens, AVX-512 VNNI: see few_avx512.h. Levels are 32 too much, which the
 * activations' bias takes back. */
#include "kernel/few_avx512.h"
#include "kernel/unpack_k_avx512.h"

#define BYTES 210
#define PACE  (16 * BYTES / 60 + 1)

/* The scale of sub-block `s` of 16 rows, from its byte. */
COVEY__INLINE __m512i scale_of(const __m512i by_row[4], const int s) {
    __m512i left = _mm512_slli_epi32(by_row[s / 4], (unsigned)(24 - 8 * (s % 4)));
    return _mm512_srai_epi32(left, 24);
}

/* Four columns of the first quarter from their low bits and their high ones. */
COVEY__INLINE __m512i levels(__m512i low, __m512i high) {
    const __m512i nibble = _mm512_set1_epi8(15), top = _mm512_set1_epi8(0x30);
    __m512i h = _mm512_slli_epi16(high, 4);
    return covey__and_or(low, nibble, _mm512_and_si512(h, top));
}

/* Sub-block `s`. */
COVEY__INLINE void quarter(covey__few f, size_t b, size_t s, const uint8_t *ahead,
                           const __m512i low[4], const __m512i high[4], const __m512i scales[16],
                           __m512i *sum, const int tokens) {
    const size_t blocks = (size_t)f.a->columns / 256;
    __m512i x[8];
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        size_t unit = covey__few_at(b * 16 + s, blocks * 16, t, tokens);
        x[t] = _mm512_set1_epi32(f.a->bias[0][unit]);
    }
    COVEY__UNROLL
    for (int k = 0; k < 4; k++) {
        if (k != 3) covey__few_prefetch(ahead, k, PACE);
        covey__few_dot(f, x, levels(low[k], high[k]), b * 64 + 4 * s + (size_t)k, tokens);
    }
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++)
        sum[t] = _mm512_add_epi32(sum[t], _mm512_mullo_epi32(x[t], scales[s]));
}

/* Half `h`, bytes 16i to 16i + 15 of each 32: four sub-blocks of 16 columns. */
COVEY__INLINE void part(covey__few f, size_t b, size_t at, size_t h, size_t i, const uint8_t *ahead,
                        const __m512i scales[16], __m512i *sum, const int tokens) {
    __m512i low[2][4], high[4];
    covey__few_prefetch(ahead, 0, PACE);
    covey__few_dwords(f, at + 64 * h + 16 * i, low[0]);
    covey__few_prefetch(ahead, 1, PACE);
    covey__few_dwords(f, at + 64 * h + 32 + 16 * i, low[1]);
    covey__few_prefetch(ahead, 2, PACE);
    covey__few_dwords(f, at + 128 + 32 * h + 16 * i, high);
    for (size_t s = 8 * h + i, end = s + 8; s < end; s += 2) {
        ahead += 3 * PACE;
        quarter(f, b, s, ahead, low[0], high, scales, sum, tokens);
        COVEY__UNROLL
        for (int k = 0; k < 4; k++) { /* the bits of the next quarter to where these were */
            __m512i done = low[0][k];
            low[0][k] = low[1][k];
            low[1][k] = _mm512_srli_epi16(done, 4);
            high[k] = _mm512_srli_epi16(high[k], 2);
        }
    }
}

COVEY__INLINE void block(covey__few f, size_t b, size_t at, const uint8_t *ahead, __m512 *acc,
                         const int tokens) {
    const size_t blocks = (size_t)f.a->columns / 256;
    __m512i z[4], by_row[4], scales[16], sum[8];
    COVEY__UNROLL
    for (int k = 0; k < 4; k++) z[k] = covey__rows4(f.row + 4 * k, at + 192);
    covey__transpose4(z, by_row);
    covey__few_zero(sum, tokens);
    COVEY__UNROLL
    for (int s = 0; s < 16; s++) scales[s] = scale_of(by_row, s);
    /* no unrolling: the whole would not fit the instruction cache */
    for (size_t n = 0; n < 4; n++)
        part(f, b, at, n / 2, n % 2, ahead + 15 * PACE * n, scales, sum, tokens);
    __m512 d = covey__scales16(f.row, at + 208);
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[t]), d);
        acc[t] = _mm512_add_ps(acc[t], _mm512_mul_ps(y, covey__few_d(f, b, blocks, t, tokens)));
    }
}

COVEY__FEW_FROM_3(q6_k, BYTES, 256)
