/* Q5_0 times one token, AVX-512 VNNI: see matvec_32_avx512.h. */
#include "kernel/matvec_32_avx512.h"

void covey__matvec_q5_0_avx512(const covey__weights *w, const covey__act_row *a, int32_t r0,
                               int32_t r1, const uint8_t *next, float *out) {
    covey__matvec_32(w, a, r0, r1, next, out, 22, 6, false, 0, 1, covey__levels32_q5_0);
}
