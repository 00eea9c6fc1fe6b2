/* Products of quantized weights with NEON and its dot products of bytes: products_v128.h for this
 * set. */
#include "kernel/products_v128.h"

PRODUCT_TABLE(neon_dotprod, neon)
