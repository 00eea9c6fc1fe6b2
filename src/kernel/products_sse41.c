/* Products of quantized weights with SSE4.1: products_v128.h for this set. */
#include "kernel/products_v128.h"

PRODUCT_TABLE(sse41, sse41)
