/* Residuals decoded with AVX-512. */
#include "delta/lane_step_avx512.h"

#define RESIDUAL_NAME(name) residual_##name##_avx512
#include "delta/residual_body.h"

const covey__residual_kernel covey__residual_avx512 = {
    COVEY__ISA_AVX512,     residual_scales_avx512, residual_codes_avx512,
    residual_bytes_avx512, residual_dots_avx512,
};
