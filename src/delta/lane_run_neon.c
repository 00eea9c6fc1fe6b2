/* The coder without a model, by lane_step_neon.h. */
#include "delta/lane_run.h"
#include "delta/lane_step_neon.h"

COVEY__LANE_RUN(covey__lane_run_neon)
