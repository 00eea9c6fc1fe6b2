/* Residuals with AVX-512 and VBMI2. */
#include "delta/lane_step_vbmi2.h"

#define RESIDUAL_NAME(name) residual_##name##_vbmi2
#include "delta/residual_body.h"
#include "delta/residual_factor_body.h"
#include "delta/residual_record_body.h"

const covey__residual_kernel covey__residual_vbmi2 = {
    COVEY__ISA_AVX512,           residual_scales_vbmi2,        residual_codes_vbmi2,
    residual_bytes_vbmi2,        residual_record_scales_vbmi2, residual_record_codes_vbmi2,
    residual_record_bytes_vbmi2, residual_project_vbmi2,       residual_spread_vbmi2,
    residual_dots_vbmi2,
};
