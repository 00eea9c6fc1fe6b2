/* Blocks to arrays and back for any machine, and the values of IQ4's codes. */
#define TENSOR_LAYOUT covey__block_layout_get
#include "delta/tensor_blocks_body.h"

const int8_t covey__iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
