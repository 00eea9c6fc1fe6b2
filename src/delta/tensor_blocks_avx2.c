/* Blocks to arrays and back, compiled for AVX2. */
#define TENSOR_LAYOUT covey__block_layout_avx2
#include "delta/tensor_blocks_body.h"
