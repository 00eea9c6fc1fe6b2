/* F32, F16 and BF16 weights times one token, AVX-512: the 16 partial sums of the definition are the
 * lanes of a register; 8 rows together hide the additions' latency. */
#include "kernel/float_avx512.h"

#define ROWS 8

COVEY__INLINE void matvec(const covey__weights *w, const covey__act_row *a, int32_t r0, int32_t r1,
                          const uint8_t *next, float *out, uint32_t type) {
    size_t step = type == COVEY__KT_F32 ? 64 : 32;
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m512 acc[ROWS];
        COVEY__UNROLL
        for (int i = 0; i < ROWS; i++) acc[i] = _mm512_setzero_ps();
        for (int32_t k = 0; k < w->columns; k += 16, ahead += step * ROWS) {
            __mmask16 m = covey__mask16(w->columns - k);
            __m512 x = _mm512_loadu_ps(a->x + k);
            covey__prefetch(ahead, step * ROWS);
            COVEY__UNROLL
            for (int i = 0; i < ROWS; i++)
                acc[i] =
                    _mm512_add_ps(acc[i], _mm512_mul_ps(covey__weights16(type, p[i], k, m), x));
        }
        COVEY__UNROLL
        for (int i = 0; i < ROWS; i++)
            if (r + i < r1) out[r + i] = covey__sum16(acc[i]);
    }
}

#define MATVEC(name, type)                                                                         \
    void covey__matvec_##name##_avx512(const covey__weights *w, const covey__act_row *a,           \
                                       int32_t r0, int32_t r1, const uint8_t *next, float *out) {  \
        matvec(w, a, r0, r1, next, out, type);                                                     \
    }
MATVEC(f32, COVEY__KT_F32)
MATVEC(f16, COVEY__KT_F16)
MATVEC(bf16, COVEY__KT_BF16)
