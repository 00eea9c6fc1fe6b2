/* Rows of floats and activations with WebAssembly's SIMD128: vector_v128.h for this set. */
#define COVEY__SET(name) name##_wasm
#include "kernel/vector_v128.h"
