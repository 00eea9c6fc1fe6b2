/* Products of float weights with NEON: float_v128.h for this set. */
#define COVEY__SET(name) name##_neon
#include "kernel/float_v128.h"
