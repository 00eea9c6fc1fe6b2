/* IQ4_NL times one token, AVX-512 VNNI: see matvec_32_avx512.h. */
#include "kernel/matvec_32_avx512.h"

void covey__matvec_iq4_nl_avx512(const covey__weights *w, const covey__act_row *a, int32_t r0,
                                 int32_t r1, const uint8_t *next, float *out) {
    covey__matvec_32(w, a, r0, r1, next, out, 18, 2, false, 1, 0, covey__levels32_book);
}
