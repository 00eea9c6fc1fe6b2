/* The walk over a part for any machine (tensor_walk_body.h), and what types there are. */
#define TENSOR_WALK covey__tensor_walk
#include "delta/tensor_walk_body.h"

size_t covey__tensor_block_bytes(uint8_t type) {
    const covey__block_layout *layout = covey__block_layout_get(type);
    if (layout) return layout->bytes;
    if (type == COVEY__TYPE_F32) return 4;
    return type == COVEY__TYPE_F16 || type == COVEY__TYPE_BF16 ? 2 : 0;
}

size_t covey__tensor_block_weights(uint8_t type) {
    const covey__block_layout *layout = covey__block_layout_get(type);
    return layout ? layout->weights : 1;
}
