/* Blocks of 32 times one token, AVX2: 8 rows together, their integer sums transposed into lanes so
 * that the float steps of 8 outputs run side by side. Unsigned levels are multiplied as they are:
 * two products fit int16 (31 * 127 * 2), and what is too much goes back out once a block. Of signed
 * ones the unsigned factor is |w|, with the sign moved to the activation (-128 may occur in w,
 * never in the activation; 128 * 127 * 2 fits). */
#include "kernel/quants_avx2.h"

#define ROWS    8
#define SIGNED  (-1)
#define MINIMUM (-2)

/* `excess`: unsigned levels are 2^excess more than the weights; or SIGNED or MINIMUM. */
COVEY__INLINE void matvec(const covey__weights *w, const covey__act_row *a, int32_t r0, int32_t r1,
                          const uint8_t *next, float *out, const size_t bytes,
                          covey__levels_fn levels, const int excess) {
    const __m256i one = _mm256_set1_epi16(1);
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 32; b++, ahead += bytes * ROWS) {
            size_t at = (size_t)b * bytes;
            covey__prefetch(ahead, bytes * ROWS);
            __m256i q = covey__load256(a->q + 32 * b), z[ROWS];
            COVEY__UNROLL
            for (int i = 0; i < ROWS; i++) {
                __m256i u = levels(p[i] + at), v = q;
                if (excess == SIGNED) {
                    v = _mm256_sign_epi8(q, u);
                    u = _mm256_abs_epi8(u);
                }
                z[i] = _mm256_madd_epi16(_mm256_maddubs_epi16(u, v), one);
            }
            __m256i isum = covey__sum_rows8(z);
            int32_t bias = a->bias[0][b]; /* -8 times the sum */
            if (excess >= 3)
                isum = _mm256_add_epi32(isum, _mm256_set1_epi32(bias * (1 << (excess - 3))));
            __m256 y = _mm256_cvtepi32_ps(isum), d = covey__scales8(p, at);
            __m256 da = _mm256_set1_ps(a->d[b]);
            if (excess == MINIMUM) {
                __m256 sum = _mm256_set1_ps((float)(-bias / 8));
                y = _mm256_add_ps(_mm256_mul_ps(y, d),
                                  _mm256_mul_ps(sum, covey__scales8(p, at + 2)));
                acc = _mm256_add_ps(acc, _mm256_mul_ps(y, da));
            } else
                acc = _mm256_add_ps(acc, _mm256_mul_ps(y, _mm256_mul_ps(d, da)));
        }
        covey__put8(out + r, r1 - r, acc);
    }
}

#define MATVEC(type, bytes, excess)                                                                \
    void covey__matvec_##type##_avx2(const covey__weights *w, const covey__act_row *a, int32_t r0, \
                                     int32_t r1, const uint8_t *next, float *out) {                \
        matvec(w, a, r0, r1, next, out, bytes, covey__levels_##type, excess);                      \
    }
MATVEC(q8_0, 34, SIGNED)
MATVEC(iq4_nl, 18, SIGNED)
MATVEC(q4_0, 18, 3)
MATVEC(q5_0, 22, 4)
MATVEC(q4_1, 20, MINIMUM)
MATVEC(q5_1, 24, MINIMUM)
