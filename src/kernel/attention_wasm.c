/* Attention with WebAssembly's SIMD128: attention_v128.h for this set. */
#define COVEY__SET(name) name##_wasm
#include "kernel/attention_v128.h"
