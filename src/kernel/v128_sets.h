/* The functions of the sets in vectors of 128 bits, for their own files and for kernels_v128.c:
 * what parts.h has for the others. */
#ifndef COVEY_KERNEL_V128_SETS_H
#define COVEY_KERNEL_V128_SETS_H

#include "kernel/parts.h"

COVEY__DECLARE_VECTOR(sse41)
COVEY__DECLARE_VECTOR(neon)
COVEY__DECLARE_VECTOR(wasm)
extern const covey__product_ops covey__product_ops_neon_dotprod[COVEY__OP_COUNT];
extern const covey__product_ops covey__product_ops_neon_i8mm[COVEY__OP_COUNT];

/* Sets of 128 bits keep their quantized products to themselves. */
#define COVEY__DECLARE_FLOATS(isa)                                                                 \
    COVEY__DECLARE_MATVEC(f32, isa)                                                                \
    COVEY__DECLARE_MATVEC(f16, isa)                                                                \
    COVEY__DECLARE_MATVEC(bf16, isa)                                                               \
    COVEY__DECLARE_MATMUL(float, isa)
COVEY__DECLARE_FLOATS(sse41)
COVEY__DECLARE_FLOATS(neon)
COVEY__DECLARE_FLOATS(wasm)

#endif
