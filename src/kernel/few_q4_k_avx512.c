/* Q4_K times 2 to 8 tokens, AVX-512 VNNI: see few_avx512.h. */
#include "kernel/few_avx512.h"
#include "kernel/k_avx512.h"
#include "kernel/unpack_k_avx512.h"

#define BYTES 144
#define PACE  (16 * BYTES / 40 + 1)

/* 64 columns: two sub-blocks, low nibbles and high ones of the same 32 bytes at `at`; `k` is their
 * first dword. */
COVEY__INLINE void chunk(covey__few f, size_t at, size_t k, const uint8_t *ahead,
                         const __m512i scales[2], __m512i *sum, const int tokens) {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i x[2][8];
    covey__few_zero(x[0], tokens);
    covey__few_zero(x[1], tokens);
    for (size_t end = k + 8; k < end; k += 4, at += 16, ahead += 5 * PACE) {
        __m512i z[4];
        covey__few_prefetch(ahead, 0, PACE);
        covey__few_dwords(f, at, z);
        COVEY__UNROLL
        for (int i = 0; i < 4; i++) {
            size_t dword = k + (size_t)i;
            covey__few_prefetch(ahead, 1 + i, PACE);
            covey__few_dot(f, x[0], _mm512_and_si512(z[i], nibble), dword, tokens);
            covey__few_dot(f, x[1], _mm512_and_si512(_mm512_srli_epi16(z[i], 4), nibble), dword + 8,
                           tokens);
        }
    }
    COVEY__UNROLL
    for (int s = 0; s < 2; s++) COVEY__UNROLL
    for (int t = 0; t < tokens; t++)
        sum[t] = _mm512_add_epi32(sum[t], _mm512_mullo_epi32(x[s][t], scales[s]));
}

/* Two sub-blocks' minimums of each row as int16 pairs. */
COVEY__INLINE __m512i pair(__m512i mins, const int second) {
    const __m512i low = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
    return _mm512_shuffle_epi8(second ? _mm512_srli_epi32(mins, 16) : mins, low);
}

COVEY__INLINE void finish(covey__few f, size_t b, const __m512i mins[2], __m512i halves,
                          const __m512i *sum, __m512 *acc, const int tokens) {
    const size_t blocks = (size_t)f.a->columns / 256;
    __m512 d = covey__few_halves(halves), m = covey__few_halves(_mm512_srli_epi32(halves, 16));
    __m512i pairs[4] = {pair(mins[0], 0), pair(mins[0], 1), pair(mins[1], 0), pair(mins[1], 1)};
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        size_t token = (size_t)(t < f.a->tokens ? t : 0);
        const int16_t *sums = f.a->sums32 + (token * blocks + b) * 8;
        __m512i msum = _mm512_setzero_si512();
        COVEY__UNROLL
        for (int i = 0; i < 4; i++)
            msum = _mm512_dpwssd_epi32(msum, pairs[i], covey__spread32(sums + 2 * i));
        __m512 y = _mm512_sub_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum[t]), d),
                                 _mm512_mul_ps(_mm512_cvtepi32_ps(msum), m));
        acc[t] = _mm512_add_ps(acc[t], _mm512_mul_ps(y, covey__few_d(f, b, blocks, t, tokens)));
    }
}

COVEY__INLINE void block(covey__few f, size_t b, size_t at, const uint8_t *ahead, __m512 *acc,
                         const int tokens) {
    const __m512i byte = _mm512_set1_epi32(255);
    __m512i heads[4], bits[4], by_row[4], scales[8], sum[8];
    COVEY__UNROLL
    for (int k = 0; k < 4; k++) {
        heads[k] = covey__rows4(f.row + 4 * k, at);
        bits[k] = covey__six_bits4(heads[k]);
    }
    covey__transpose4(bits, by_row);
    covey__few_zero(sum, tokens);
    COVEY__UNROLL
    for (int s = 0; s < 8; s++)
        scales[s] =
            _mm512_and_si512(_mm512_srli_epi32(by_row[s / 4], (unsigned)(8 * (s % 4))), byte);
    /* no unrolling: the whole would not fit the instruction cache */
    for (size_t c = 0; c < 4; c++)
        chunk(f, at + 16 + 32 * c, b * 64 + 16 * c, ahead + 10 * PACE * c, scales + 2 * c, sum,
              tokens);
    finish(f, b, by_row + 2, covey__first_dwords4(heads), sum, acc, tokens);
}

COVEY__FEW_FROM_3(q4_k, BYTES, 256)
