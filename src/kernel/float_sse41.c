/* Products of float weights with SSE4.1: float_v128.h for this set. */
#define COVEY__SET(name) name##_sse41
#include "kernel/float_v128.h"
