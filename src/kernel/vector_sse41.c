/* Rows of floats and activations with SSE4.1: vector_v128.h for this set. */
#define COVEY__SET(name) name##_sse41
#include "kernel/vector_v128.h"
