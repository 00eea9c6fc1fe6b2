/* Rows of floats and activations with NEON: vector_v128.h for this set. */
#define COVEY__SET(name) name##_neon
#include "kernel/vector_v128.h"
