/* Products of float weights with WebAssembly's SIMD128: float_v128.h for this set. */
#define COVEY__SET(name) name##_wasm
#include "kernel/float_v128.h"
