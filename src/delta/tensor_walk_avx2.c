/* The walk over a part, compiled for AVX2. */
#define TENSOR_WALK covey__tensor_walk_avx2
#include "delta/tensor_walk_body.h"
