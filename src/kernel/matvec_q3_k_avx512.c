/* Q3_K times one token, AVX-512 VNNI: see matvec_k_avx512.h. */
#include "kernel/matvec_k_avx512.h"

void covey__matvec_q3_k_avx512(const covey__weights *w, const covey__act_row *a, int32_t r0,
                               int32_t r1, const uint8_t *next, float *out) {
    covey__matvec_sixteen(w, a, r0, r1, next, out, 110, 94, 2, covey__levels_q3_k,
                          covey__scales_q3_k, covey__order_twos, covey__spread_twos);
}
