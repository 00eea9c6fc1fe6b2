/* The choice among the kernels that code residuals. */
#include "delta/residual.h"

const covey__residual_kernel *covey__residual_kernel_get(covey__isa isa) {
#if defined(__x86_64__)
    if (isa == COVEY__ISA_AVX512 && covey__cpu_read().avx512_vbmi2) return &covey__residual_vbmi2;
    if (isa == COVEY__ISA_AVX512 || isa == COVEY__ISA_AVX2 || isa == COVEY__ISA_AVX_VNNI)
        return &covey__residual_avx2;
#elif defined(__aarch64__)
    if (isa == COVEY__ISA_NEON || isa == COVEY__ISA_NEON_DOTPROD || isa == COVEY__ISA_NEON_I8MM)
        return &covey__residual_neon;
#endif
    (void)isa;
    return &covey__residual_scalar;
}
