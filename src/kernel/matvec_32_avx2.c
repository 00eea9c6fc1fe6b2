/* Blocks of 32 times one token, AVX2: 8 rows together, rows i and i + 4 in the halves of a
 * register; then their integer sums are transposed into lanes, so that the float steps of 8 outputs
 * run side by side. Unsigned levels are multiplied as they are: four products fit int16
 * (31 * 127 * 4), and what is too much goes back out once a block. Of signed ones the unsigned
 * factor is |w|, with the sign moved to the activation (-128 may occur in w, never in the
 * activation), and two fit (128 * 127 * 2). */
#include "kernel/quants_avx2.h"

#define ROWS    8
#define SIGNED  (-1)
#define MINIMUM (-2)

/* Two rows' sums: four lanes each. */
COVEY__INLINE __m256i block_sums(const uint8_t *w0, const uint8_t *w1, const __m256i q[2],
                                 covey__levels_fn levels, const bool is_signed) {
    const __m256i one = _mm256_set1_epi16(1);
    __m256i u[2], y[2];
    levels(w0, w1, u);
    COVEY__UNROLL
    for (int i = 0; i < 2; i++) {
        if (is_signed)
            y[i] = _mm256_maddubs_epi16(_mm256_abs_epi8(u[i]), _mm256_sign_epi8(q[i], u[i]));
        else
            y[i] = _mm256_maddubs_epi16(u[i], q[i]);
    }
    if (!is_signed) return _mm256_madd_epi16(_mm256_add_epi16(y[0], y[1]), one);
    return _mm256_add_epi32(_mm256_madd_epi16(y[0], one), _mm256_madd_epi16(y[1], one));
}

/* `excess`: unsigned levels are 2^excess more than the weights; or SIGNED or MINIMUM. */
COVEY__INLINE void matvec(const covey__weights *w, const covey__act_row *a, int32_t r0, int32_t r1,
                          const uint8_t *next, float *out, const size_t bytes,
                          covey__levels_fn levels, const int excess) {
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 32; b++, ahead += bytes * ROWS) {
            size_t at = (size_t)b * bytes;
            covey__prefetch(ahead, bytes * ROWS);
            __m256i q[2], z[4];
            q[0] = _mm256_broadcastsi128_si256(covey__load128(a->q + 32 * b));
            q[1] = _mm256_broadcastsi128_si256(covey__load128(a->q + 32 * b + 16));
            COVEY__UNROLL
            for (int i = 0; i < 4; i++)
                z[i] = block_sums(p[i] + at, p[i + 4] + at, q, levels, excess == SIGNED);
            __m256i isum = covey__sum_lanes4(z[0], z[1], z[2], z[3]);
            int32_t bias = a->bias[0][b]; /* -8 times the sum */
            if (excess >= 3)
                isum = _mm256_add_epi32(isum, _mm256_set1_epi32(bias * (1 << (excess - 3))));
            __m256 y = _mm256_cvtepi32_ps(isum), da = _mm256_set1_ps(a->d[b]), d, m;
            if (excess == MINIMUM) {
                covey__scales8x2(p, at, &d, &m);
                __m256 sum = _mm256_mul_ps(_mm256_set1_ps((float)(-bias / 8)), m);
                y = _mm256_mul_ps(_mm256_add_ps(_mm256_mul_ps(y, d), sum), da);
            } else
                y = _mm256_mul_ps(y, _mm256_mul_ps(covey__scales8(p, at), da));
            acc = _mm256_add_ps(acc, y);
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
