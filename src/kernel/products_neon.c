/* Products of quantized weights with NEON alone: products_v128.h for this set. */
#include "kernel/products_v128.h"

PRODUCT_TABLE(neon, neon)
