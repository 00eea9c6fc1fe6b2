/* Residuals with NEON. */
#include "delta/lane_step_neon.h"

#define RESIDUAL_NAME(name) residual_##name##_neon
#include "delta/residual_body.h"
#include "delta/residual_factor_body.h"
#include "delta/residual_record_body.h"

const covey__residual_kernel covey__residual_neon = {
    COVEY__ISA_NEON,
    residual_scales_neon,
    residual_codes_neon,
    residual_bytes_neon,
    residual_record_scales_neon,
    residual_record_codes_neon,
    residual_record_bytes_neon,
    residual_project_neon,
    residual_spread_neon,
    residual_dots_neon,
};
