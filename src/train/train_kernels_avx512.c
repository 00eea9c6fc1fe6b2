/* Training kernels for AVX-512: tiles of 14 x 32 keep 28 of the 32 registers as sums. */
#if defined(__x86_64__)
#include <immintrin.h>

#define LANES        16
#define TILE_ROWS    14
#define FMA(a, b, c) ((vf)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define SQRT(x)      ((vf)_mm512_sqrt_ps((__m512)(x)))
#include "train/train_kernels_body.h"

const covey__train_kernels covey__train_kernels_avx512 = TABLE_OF(false);
const covey__train_kernels covey__train_kernels_avx512_bf16 = TABLE_OF(true);
#else
typedef int covey__train_kernels_no_avx512;
#endif
