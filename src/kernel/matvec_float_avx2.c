/* F32, F16 and BF16 weights times one token, AVX2: the 16 partial sums of the definition are two
 * registers a row; 4 rows together hide the additions' latency. */
#include "kernel/float_avx2.h"

#define ROWS 4

COVEY__INLINE void matvec(const covey__weights *w, const covey__act_row *a, int32_t r0, int32_t r1,
                          const uint8_t *next, float *out, uint32_t type) {
    size_t step = type == COVEY__KT_F32 ? 64 : 32;
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m256 acc[ROWS][2];
        COVEY__UNROLL
        for (int i = 0; i < ROWS; i++) acc[i][0] = acc[i][1] = _mm256_setzero_ps();
        for (int32_t k = 0; k < w->columns; k += 16, ahead += step * ROWS) {
            int32_t left = w->columns - k;
            __m256 x0 = _mm256_loadu_ps(a->x + k), x1 = _mm256_loadu_ps(a->x + k + 8);
            covey__prefetch(ahead, step * ROWS);
            COVEY__UNROLL
            for (int i = 0; i < ROWS; i++) {
                __m256 w0 = covey__weights8(type, p[i], k, left);
                __m256 w1 = covey__weights8(type, p[i], k + 8, left - 8);
                acc[i][0] = _mm256_add_ps(acc[i][0], _mm256_mul_ps(w0, x0));
                acc[i][1] = _mm256_add_ps(acc[i][1], _mm256_mul_ps(w1, x1));
            }
        }
        COVEY__UNROLL
        for (int i = 0; i < ROWS; i++)
            if (r + i < r1) out[r + i] = covey__sum16(acc[i][0], acc[i][1]);
    }
}

#define MATVEC(name, type)                                                                         \
    void covey__matvec_##name##_avx2(const covey__weights *w, const covey__act_row *a, int32_t r0, \
                                     int32_t r1, const uint8_t *next, float *out) {                \
        matvec(w, a, r0, r1, next, out, type);                                                     \
    }
MATVEC(f32, COVEY__KT_F32)
MATVEC(f16, COVEY__KT_F16)
MATVEC(bf16, COVEY__KT_BF16)
