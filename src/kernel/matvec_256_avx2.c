/* Blocks of 256 times one token, AVX2: 8 rows together. Products of pairs fit int16 (63 * 127 * 2
 * for unsigned levels; of signed ones the unsigned factor is |w|, with the sign moved to the
 * activation), and the sub-blocks' scales multiply them in the integer sum, as the definition asks.
 */
#include "kernel/quants_avx2.h"

#define ROWS   8
#define SIGNED (-1)
#define MINIMA (-2)

/* A half of a row's block against the token. `scales`: of the half, or with 8 sub-blocks all, and
 * then `first` is the half's first one. */
COVEY__INLINE __m256i half_sums(__m256i z, const __m256i u[4], const int8_t *q, __m256i scales,
                                const int first, const int sub, const bool is_signed) {
    COVEY__UNROLL
    for (int j = 0; j < 4; j++) {
        __m256i v = covey__load256(q + 32 * j), w = u[j];
        if (is_signed) {
            v = _mm256_sign_epi8(v, w);
            w = _mm256_abs_epi8(w);
        }
        __m256i pairs = _mm256_maddubs_epi16(w, v);
        z = _mm256_add_epi32(z, _mm256_madd_epi16(pairs, covey__spread(scales, first + j, sub)));
    }
    return z;
}

/* One row's block against the token: 8 partial sums, and of the minima (or nothing). */
COVEY__INLINE __m256i block_sums(const uint8_t *w, const int8_t *q, __m256i sums, __m256i *minima,
                                 covey__half_fn half, covey__scales_fn scales, const int sub,
                                 const int excess) {
    covey__scales s = scales(w);
    __m256i z = _mm256_setzero_si256(), u[4], over = z;
    if (excess != SIGNED) over = _mm256_madd_epi16(s.other, sums);
    if (excess >= 0) z = _mm256_sub_epi32(z, _mm256_slli_epi32(over, excess));
    *minima = over;
    __m256i low = s.scale, high = s.scale;
    if (sub == 16) {
        low = _mm256_permute2x128_si256(s.scale, s.scale, 0x00);
        high = _mm256_permute2x128_si256(s.scale, s.scale, 0x11);
    }
    half(w, 0, u);
    z = half_sums(z, u, q, low, 0, sub, excess == SIGNED);
    half(w, 1, u);
    return half_sums(z, u, q + 128, high, sub == 16 ? 0 : 4, sub, excess == SIGNED);
}

/* `excess`: unsigned levels are 2^excess more than the weights; or SIGNED or MINIMA. */
COVEY__INLINE void matvec(const covey__weights *w, const covey__act_row *a, int32_t r0, int32_t r1,
                          const uint8_t *next, float *out, const size_t bytes, const size_t d_at,
                          covey__half_fn half, covey__scales_fn scales, const int sub,
                          const int excess) {
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 256; b++) {
            size_t at = (size_t)b * bytes;
            __m256i z[ROWS], m[ROWS], sums;
            if (sub == 32)
                sums = _mm256_zextsi128_si256(covey__load128(a->sums32 + 8 * b));
            else
                sums = covey__load256(a->sums16 + 16 * b);
            for (int i = 0; i < ROWS; i++, ahead += bytes) {
                covey__prefetch(ahead, bytes);
                z[i] =
                    block_sums(p[i] + at, a->q + 256 * b, sums, &m[i], half, scales, sub, excess);
            }
            __m256 y = _mm256_cvtepi32_ps(covey__sum_rows8(z)), d, dmin;
            if (excess == MINIMA) {
                covey__scales8x2(p, at + d_at, &d, &dmin);
                __m256 over = _mm256_cvtepi32_ps(covey__sum_rows8(m));
                y = _mm256_sub_ps(_mm256_mul_ps(y, d), _mm256_mul_ps(over, dmin));
            } else
                y = _mm256_mul_ps(y, covey__scales8(p, at + d_at));
            acc = _mm256_add_ps(acc, _mm256_mul_ps(y, _mm256_set1_ps(a->d[b])));
        }
        covey__put8(out + r, r1 - r, acc);
    }
}

#define MATVEC(type, bytes, d_at, sub, excess)                                                     \
    void covey__matvec_##type##_avx2(const covey__weights *w, const covey__act_row *a, int32_t r0, \
                                     int32_t r1, const uint8_t *next, float *out) {                \
        matvec(w, a, r0, r1, next, out, bytes, d_at, covey__half_##type, covey__scales_##type,     \
               sub, excess);                                                                       \
    }
MATVEC(q2_k, 84, 80, 16, MINIMA)
MATVEC(q3_k, 110, 108, 16, 2)
MATVEC(q4_k, 144, 0, 32, MINIMA)
MATVEC(q5_k, 176, 0, 32, MINIMA)
MATVEC(q6_k, 210, 208, 16, 5)
MATVEC(iq4_xs, 136, 0, 32, SIGNED)
