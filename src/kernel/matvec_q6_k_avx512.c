/* Q6_K times one token, AVX-512 VNNI: see matvec_k_avx512.h. */
#include "kernel/matvec_k_avx512.h"

COVEY__INLINE __m512i as_they_are(__m512i scales) {
    return scales;
}

void covey__matvec_q6_k_avx512(const covey__weights *w, const covey__act_row *a, int32_t r0,
                               int32_t r1, const uint8_t *next, float *out) {
    covey__matvec_sixteen(w, a, r0, r1, next, out, 210, 192, 5, covey__levels_q6_k, as_they_are,
                          covey__order_whole, covey__spread_whole);
}
