/* Training kernels in plain vectors of four floats, for any machine, and the choice of a table. */
#include <math.h>

#define LANES        4
#define TILE_ROWS    4
#define FMA(a, b, c) ((c) + (a) * (b))
#define SQRT(x)      ((vf){sqrtf((x)[0]), sqrtf((x)[1]), sqrtf((x)[2]), sqrtf((x)[3])})
#include "train/train_kernels_body.h"

const covey__train_kernels covey__train_kernels_generic = TABLE_OF(false);

const covey__train_kernels *covey__train_kernels_get(covey__isa isa, bool bf16) {
#if defined(__x86_64__)
    if (isa == COVEY__ISA_AVX512 && bf16 && covey__train_has_bf16())
        return &covey__train_kernels_avx512_bf16;
    if (isa == COVEY__ISA_AVX512) return &covey__train_kernels_avx512;
    if (isa == COVEY__ISA_AVX2 || isa == COVEY__ISA_AVX_VNNI) return &covey__train_kernels_avx2;
#endif
    (void)isa, (void)bf16;
    return &covey__train_kernels_generic;
}
