/* Residuals with plain C: the definition. */
#include "delta/lane_step_scalar.h"

#define RESIDUAL_NAME(name) residual_##name##_scalar
#include "delta/residual_body.h"
#include "delta/residual_factor_body.h"
#include "delta/residual_record_body.h"

const covey__residual_kernel covey__residual_scalar = {
    COVEY__ISA_SCALAR,
    residual_scales_scalar,
    residual_codes_scalar,
    residual_bytes_scalar,
    residual_record_scales_scalar,
    residual_record_codes_scalar,
    residual_record_bytes_scalar,
    residual_project_scalar,
    residual_spread_scalar,
    residual_dots_scalar,
};
