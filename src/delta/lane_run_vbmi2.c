/* The coder without a model, by lane_step_vbmi2.h. */
#include "delta/lane_run.h"
#include "delta/lane_step_vbmi2.h"

COVEY__LANE_RUN(covey__lane_run_vbmi2)
