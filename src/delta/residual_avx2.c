/* Residuals with AVX2. */
#include "delta/lane_step_avx2.h"

#define RESIDUAL_NAME(name) residual_##name##_avx2
#include "delta/residual_body.h"
#include "delta/residual_factor_body.h"
#include "delta/residual_record_body.h"

const covey__residual_kernel covey__residual_avx2 = {
    COVEY__ISA_AVX2,
    residual_scales_avx2,
    residual_codes_avx2,
    residual_bytes_avx2,
    residual_record_scales_avx2,
    residual_record_codes_avx2,
    residual_record_bytes_avx2,
    residual_project_avx2,
    residual_spread_avx2,
    residual_dots_avx2,
};
