/* Products of quantized weights with WebAssembly's SIMD128: products_v128.h for this set. */
#include "kernel/products_v128.h"

PRODUCT_TABLE(wasm, wasm)
